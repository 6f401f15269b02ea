//! Eight homes and containers that come and go, with one remote, for a long time: records, changes, erasures, kills at any step of a
//! sync, remotes out of reach, drawn from a seed. Then all of them sync, and everything is checked.
//!
//! `SOAK_SECONDS` says for how long (an hour by default), `SOAK_SEED` draws the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indelible::fs::Point;

use crate::backup::files;
use crate::changes::assert_agree;
use crate::hosts::{Remote, home_of, sync};
use crate::support::{Dice, KINDS, Receipt, TestHome, in_parallel};
use crate::trunk::listed;

const HOMES: usize = 8;

/// The steps of a sync, and of what it brings about.
const POINTS: [Point; 14] = [
    Point::SyncBeforeTip,
    Point::SyncAfterTip,
    Point::SyncAfterPush,
    Point::SyncAfterAcked,
    Point::SyncBeforePack,
    Point::TrunkBeforePush,
    Point::TrunkAfterPush,
    Point::FoldBeforePush,
    Point::FoldHalfDone,
    Point::ImportBeforeAppend,
    Point::ImportBeforeMark,
    Point::CommitBeforeBranch,
    Point::RowBeforeCommit,
    Point::EraseBeforeReference,
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// What came of it.
#[derive(Default)]
struct Tally {
    /// What was drained: the remote has it.
    drained: Vec<Receipt>,
    /// What the homes that live have recorded.
    recorded: Vec<Receipt>,
    /// What was amended: a home that amends a record has its whole page on its own lane.
    amended: BTreeSet<String>,
    hidden: BTreeSet<String>,
    erased: BTreeSet<String>,
    kills: u64,
    offline: u64,
}

/// One step of the home `home`.
fn step(remote: &Remote, home: &TestHome, dice: &mut Dice, number: u64, tally: &mut Tally) {
    match dice.below(20) {
        0..8 => {
            let kind = KINDS[dice.below(5) as usize];
            tally.recorded.push(home.record(kind, &format!("number {number} of {}", home.id())));
        }
        8..11 => change(home, dice, number, tally),
        11..16 => drop(home.cmd(["sync", "--json", "--timeout", "60"]).run()),
        16 => {
            let point = POINTS[dice.below(POINTS.len() as u64) as usize];
            tally.kills += 1;
            let _ = home.cmd(["sync"]).env("INDELIBLE_CRASH_AT", point.name()).run();
        }
        17 => {
            tally.offline += 1;
            let away = remote.path().with_extension("away");
            std::fs::rename(remote.path(), &away).expect("it can be moved");
            let _ = home.cmd(["sync", "--timeout", "5"]).run();
            std::fs::rename(&away, remote.path()).expect("it can be moved");
        }
        18 => drop(home.cmd(["sync", "--push-only"]).run()),
        _ => {
            // A lost cache is made again.
            let _ = std::fs::remove_dir_all(home.private().join("sync.git"));
        }
    }
}

/// Amends, retracts or erases a record that the home knows.
fn change(home: &TestHome, dice: &mut Dice, number: u64, tally: &mut Tally) {
    let known: Vec<String> = listed(home).into_keys().collect();
    let Some(id) = known.get(dice.below(known.len().max(1) as u64) as usize).cloned() else { return };
    match dice.below(10) {
        0..6 => {
            let _ = home.cmd(["amend", &id, "--tags", &format!("t{number}")]).run();
            tally.amended.insert(id);
        }
        6..9 => {
            if home.cmd(["retract", &id, "--because", "drawn"]).run().code() == Some(0) {
                tally.hidden.insert(id);
            }
        }
        _ => {
            let code = home.cmd(["erase", "--yes", &id]).run().code();
            if matches!(code, Some(0 | 75)) {
                tally.erased.insert(id);
            }
        }
    }
}

/// A container: it records, drains, and is gone, or is killed before it has drained.
fn container(remote: &Remote, dice: &mut Dice, number: u64, tally: &mut Tally) {
    let home = home_of(remote);
    let receipts: Vec<Receipt> =
        (0..=dice.below(4)).map(|at| home.record("failure", &format!("container {number}, {at}"))).collect();
    let drain = home.cmd(["drain", "--close", "--timeout", "60"]);
    if dice.below(4) == 0 {
        let point = POINTS[dice.below(4) as usize];
        tally.kills += 1;
        let _ = drain.env("INDELIBLE_CRASH_AT", point.name()).run();
    } else if drain.run().code() == Some(0) {
        tally.drained.extend(receipts);
    }
}

#[test]
#[ignore = "takes as long as SOAK_SECONDS says"]
fn many_homes_for_a_long_time() {
    let seconds = number("SOAK_SECONDS").unwrap_or(3600);
    let seed = number("SOAK_SEED").unwrap_or(1);
    let mut dice = Dice(seed);
    let remote = Remote::new();
    let homes: Vec<TestHome> = (0..HOMES).map(|_| home_of(&remote)).collect();
    let mut tally = Tally::default();
    let (start, mut rounds) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let home = &homes[dice.below(HOMES as u64) as usize];
        step(&remote, home, &mut dice, rounds, &mut tally);
        if dice.below(12) == 0 {
            container(&remote, &mut dice, rounds, &mut tally);
        }
        if dice.below(25) == 0 {
            // All at once.
            in_parallel(HOMES, HOMES, |at| drop(homes[at].cmd(["sync"]).run()));
        }
        rounds += 1;
    }
    for _ in 0..3 {
        homes.iter().for_each(|home| drop(home.cmd(["sync"]).run()));
    }
    homes.iter().for_each(|home| drop(sync(home)));
    println!(
        "seed {seed}: {rounds} rounds, {} recorded, {} drained by containers, {} retracted, {} erased, {} kills, {} offline",
        tally.recorded.len(),
        tally.drained.len(),
        tally.hidden.len(),
        tally.erased.len(),
        tally.kills,
        tally.offline
    );
    check(&remote, &homes, &tally);
}

/// Holds that every home and the trunk have every record once, and nothing that was taken away.
fn check(remote: &Remote, homes: &[TestHome], tally: &Tally) {
    let trunk = remote.trunk();
    let log = remote.git(["log", "--all", "--diff-filter=A", "--name-only", "--format="]).ok().stdout;
    let mut introduced: BTreeMap<&str, u32> = BTreeMap::new();
    log.lines().for_each(|path| *introduced.entry(path).or_default() += 1);
    let of_homes = listed(&homes[0]);
    let mut wrong = Vec::new();
    for receipt in tally.drained.iter().chain(&tally.recorded) {
        let page = receipt.page();
        let is_amended = tally.amended.contains(&receipt.id);
        let (is_hidden, is_erased) = (tally.hidden.contains(&receipt.id), tally.erased.contains(&receipt.id));
        let is_there = trunk.contains_key(&page) && of_homes.contains_key(&receipt.id);
        match introduced.get(page.as_str()) {
            Some(_) if is_erased => wrong.push(format!("{page} is erased, and reached")),
            // What was retracted before it was pushed is on no lane.
            None if !is_erased && !is_hidden => wrong.push(format!("{page} is lost")),
            Some(times) if *times > 1 && !is_amended => wrong.push(format!("{page} is introduced {times} times")),
            _ => {}
        }
        if !is_there && !is_hidden && !is_erased {
            wrong.push(format!("{page} is not on the trunk and in a home"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let _ = remote.git(["fsck", "--strict"]).ok();
    for home in homes {
        for folder in [home.join(".git"), home.private().join("sync.git")] {
            let _ = home.git_in(&folder, ["fsck", "--strict", "--no-dangling"]).ok();
        }
    }
    let of = |home: &TestHome| {
        let mut files = files(home);
        // Homes that never had a record know nothing of its erasure.
        let is_own =
            |path: &str| path.ends_with("README.md") || path.ends_with("log.md") || path.contains("/retracted/");
        files.retain(|path, _| !is_own(&path.to_string_lossy()));
        files
    };
    for home in homes {
        let (here, first) = (of(home), of(&homes[0]));
        let differ = here.keys().chain(first.keys()).filter(|path| here.get(*path) != first.get(*path));
        assert_eq!(differ.collect::<BTreeSet<_>>(), BTreeSet::new(), "these files differ");
        assert_agree(home);
    }
}
