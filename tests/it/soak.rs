//! Everything at once for a long time: recorders, deaths, failing steps, the owner's git commands and recoveries, all drawn
//! from a seed, then a full check.
//!
//! `SOAK_SECONDS` says for how long (an hour by default), `SOAK_SEED` draws the same again. A step can only fail on
//! demand in a debug build or with the feature `crash-points`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indelible::fs::Point;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    Dice, KINDS, Receipt, TestHome, Worker, assert_exactly_once, beside, in_parallel, repository, theirs,
};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// What came of a soak, by many threads.
#[derive(Default)]
struct Tally {
    kept: Mutex<Vec<Receipt>>,
    unpromised: AtomicUsize,
    refused: AtomicUsize,
}

/// A step to die at, or to fail with `EIO` or `ENOSPC`, perhaps only after some times.
fn fault(dice: &mut Dice) -> (&'static str, String) {
    let point = Point::ALL[dice.below(Point::ALL.len() as u64) as usize].name();
    let time = dice.below(4) + 1;
    match dice.below(4) {
        0 => ("INDELIBLE_FAIL_AT", format!("{point}:{time}=5")),
        1 => ("INDELIBLE_FAIL_AT", format!("{point}:{time}=28")),
        _ => ("INDELIBLE_CRASH_AT", format!("{point}:{time}")),
    }
}

/// Records, with or without a key; some are killed, some are stopped for a while, some have a step fail.
fn record(home: &TestHome, dice: &mut Dice, tally: &Tally, round: u64, number: usize) {
    let kind = KINDS[dice.below(5) as usize];
    let mut command = home.recorder(kind, &format!("round {round}, {number}"));
    let key = dice.below(4) == 0;
    if key {
        command = command.args(["--key", &format!("{round} {number}")]);
    }
    let fate = dice.below(10);
    if fate == 0 {
        let (variable, value) = fault(dice);
        command = command.env(variable, value);
    }
    let mut running = command.spawn();
    if fate == 1 {
        // Not a wait for something: the moment of its death is drawn by lot.
        std::thread::sleep(Duration::from_micros(dice.below(5000)));
        let _ = running.child().kill();
    } else if fate == 2 {
        let process = Pid::from_child(running.child());
        std::thread::sleep(Duration::from_micros(dice.below(5000)));
        let _ = kill_process(process, Signal::STOP);
        std::thread::sleep(Duration::from_micros(dice.below(50_000)));
        let _ = kill_process(process, Signal::CONT);
    }
    let outcome = running.wait();
    match outcome.code() {
        Some(0) => tally.kept.lock().expect("no thread panicked").push(outcome.receipt()),
        None => drop(tally.unpromised.fetch_add(1, Ordering::Relaxed)),
        // A sync that failed says itself that its record may appear.
        Some(74) if fate == 0 => drop(tally.unpromised.fetch_add(1, Ordering::Relaxed)),
        Some(74 | 75) if fate == 0 => drop(tally.refused.fetch_add(1, Ordering::Relaxed)),
        _ => panic!("a recorder failed without a fault: {outcome}"),
    }
}

/// What its owner does in the repository.
fn git(home: &TestHome, dice: &mut Dice) {
    let commands: [&[&str]; 12] = [
        &["add", "theirs.txt"],
        &["commit", "-q", "-a", "-m", "theirs", "--allow-empty"],
        &["stash", "push", "-q"],
        &["stash", "pop", "-q"],
        &["checkout", "-q", "--detach"],
        &["checkout", "-q", "-f", "trunk"],
        &["reset", "-q", "--hard"],
        &["gc", "-q", "--prune=now"],
        &["repack", "-q", "-a", "-d"],
        &["pack-refs", "--all"],
        &["status", "--porcelain"],
        &["fsck", "--connectivity-only"],
    ];
    let text = format!("{}", dice.below(1000));
    std::fs::write(home.join("theirs.txt"), text).expect("it can be written");
    let command = commands[dice.below(commands.len() as u64) as usize];
    let mut running = theirs(home, command.iter().copied()).spawn();
    if dice.below(8) == 0 {
        std::thread::sleep(Duration::from_micros(dice.below(20_000)));
        let _ = running.child().kill();
    }
    let _ = running.wait();
    let _ = std::fs::remove_file(home.join(".git/index.lock"));
}

#[test]
#[ignore = "it runs for SOAK_SECONDS, an hour by default"]
fn soak() {
    let seconds = number("SOAK_SECONDS").unwrap_or(3600);
    let seed = number("SOAK_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 7919 + 1);
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut dice = Dice(seed);
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let tally = Tally::default();
    let settings = ["worker.age_ms=1", "journal.segment_bytes_max=16384", "journal.keep_s=0", "history.packs_max=6"];
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        let fault = (dice.below(3) == 0).then(|| fault(&mut dice));
        let fault = fault.as_ref().map(|(variable, value)| (*variable, value.as_str()));
        let worker = Worker::launch(&home, &settings, fault.as_slice());
        let (seeds, gits) = (dice.below(u64::MAX), Mutex::new(Dice(dice.below(u64::MAX) + 1)));
        let work = || {
            in_parallel(40, 4, |number| {
                let mut dice = Dice((seeds ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
                record(&home, &mut dice, &tally, round, number);
            });
        };
        let _ = beside(work, || git(&home, &mut gits.lock().expect("no thread panicked")));
        if dice.below(4) == 0 {
            let _ = home.cmd(["recover", "--timeout", "20"]).run();
        }
        match dice.below(3) {
            0 => drop(worker.stop(Signal::TERM)),
            _ => drop(worker),
        }
        if round % 25 == 0 {
            check(&home, &tally, round);
        }
    }
    check(&home, &tally, round);
}

fn check(home: &TestHome, tally: &Tally, round: u64) {
    let _ = home.recover();
    let _ = home.cmd(["repair", "--dismiss"]).run();
    home.recover_fully();
    let kept = tally.kept.lock().expect("no thread panicked");
    let stores = assert_exactly_once(home, &kept);
    let unpromised = tally.unpromised.load(Ordering::Relaxed);
    let beyond = stores.ids().len() - kept.len();
    println!("round {round}: {} kept, {unpromised} unpromised, of which {beyond} are there", kept.len());
    assert!(beyond <= unpromised, "{beyond} records are there that were never recorded");
}
