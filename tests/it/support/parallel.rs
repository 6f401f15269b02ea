//! Many things at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Calls `work` for each of `0..count`, `at_once` of them at a time.
pub fn in_parallel(count: usize, at_once: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < count) {
                    work(number);
                }
            });
        }
    });
}

/// Runs `work` while `beside` is called over and over again; the latter answers how often.
pub fn beside(work: impl FnOnce(), beside: impl Fn() + Sync) -> usize {
    let done = AtomicBool::new(false);
    let times = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                beside();
                times.fetch_add(1, Ordering::Relaxed);
            }
        });
        // The other thread has to end even where this one fails, or the scope would wait for it for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    times.into_inner()
}
