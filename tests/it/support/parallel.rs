//! Many things at once.

use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Receipt, TestHome};

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

/// Of a recorder that inserts its own row although a worker runs.
pub const OWN_ROW: [&str; 2] = ["--set", "record.row=recorder"];

/// Starts `count` recorders of these kinds in turn, lets go of all of them in one moment, when the last has been started,
/// and returns what they say. Not of experiments, which need the field that these read from their input. One in three inserts
/// its own row, even if a worker runs.
pub fn recorders_at_once(home: &TestHome, kinds: &[&str], count: usize) -> Vec<Receipt> {
    let said = tempfile::tempdir().expect("a temporary folder");
    let file = |number: usize| said.path().join(number.to_string());
    // Each waits for the end of its input, and all of them have the same one.
    let (input, gate) = std::io::pipe().expect("a pipe");
    let start = |number: usize| {
        let (kind, headline) = (kinds[number % kinds.len()], format!("number {number}"));
        let own = match kind {
            "heuristic" => ["--domain", "Rules of thumb", "--explanation", "-", "--rule"],
            _ => ["--domain", "ci", "--summary", "-", "--title"],
        };
        let row: &[&str] = if number.is_multiple_of(3) { &OWN_ROW } else { &[] };
        let args = ["record", kind, "--json"].into_iter().chain(row.iter().copied()).chain(own).chain([&*headline]);
        let mut command = home.cmd(args).into_command();
        let output = std::fs::File::create(file(number)).expect("it can be made");
        command.stdin(input.try_clone().expect("a descriptor can be doubled")).stdout(output);
        command.spawn().expect("it starts")
    };
    let mut running: Vec<_> = (0..count).map(start).collect();
    let waits = |it: &mut Child| it.try_wait().expect("it is our child").is_none();
    assert!(running.iter_mut().all(waits), "a recorder did not wait");
    drop(gate);
    let receipt = |(number, mut recorder): (usize, Child)| {
        let status = recorder.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "recorder {number} was not acknowledged: {status}");
        let text = std::fs::read_to_string(file(number)).expect("it was made");
        Receipt::of(&serde_json::from_str(&text).expect("one line of JSON"))
    };
    running.into_iter().enumerate().map(receipt).collect()
}
