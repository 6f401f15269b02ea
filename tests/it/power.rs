//! Power cuts: the whole program on a real ext4, on a disk that forgets what was not flushed.
//!
//! Killing a process loses nothing that it wrote. Here everything is killed and what no flush had followed is lost, or
//! part of it, sector by sector: what was acknowledged before has to be in all three stores, once, and what was not has
//! to be there whole or not at all. Every other recovery is cut off as well. The one that ends waits for no lock and leaves
//! none.
//!
//! A few dozen cuts are made by every `cargo test`. For hundreds, with a seed of your own, on all file systems or on one:
//!
//! ```sh
//! INDELIBLE_POWER_SEED=7 INDELIBLE_POWER_CUTS=500 cargo test --test it power::long -- --ignored --nocapture
//! INDELIBLE_POWER_FS=btrfs INDELIBLE_POWER_CUTS=100 cargo test --test it power::long -- --ignored --nocapture
//! ```

mod disk;
pub mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use disk::When;
use machine::{Flavour, Machine};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Cmd, Dice, KINDS, Outcome, PATIENCE, Receipt, TestHome, Worker, assert_exactly_once, record_args, skipped,
};

/// File systems that lose as much as they may, in different ways.
const FLAVOURS: &[Flavour] = &[
    ext4(&["-b", "4096"], "noauto_da_alloc"),
    ext4(&["-b", "1024"], "data=writeback,noauto_da_alloc,nodelalloc"),
    // Syncs one file, and little else of what happened before.
    Flavour { kind: "btrfs", make: &["-m", "single"], options: "defaults", megabytes: 160, sector: 4096 },
    ext4(&["-b", "4096"], "data=writeback,noauto_da_alloc,dioread_lock"),
    Flavour { kind: "xfs", make: &["-s", "size=4096"], options: "defaults", megabytes: 320, sector: 4096 },
    ext4(&["-b", "1024"], "data=journal"),
];

const fn ext4(make: &'static [&'static str], options: &'static str) -> Flavour {
    Flavour { kind: "ext4", make, options, megabytes: 64, sector: 512 }
}

/// So small that segments are finished, and packs rolled together, all the time.
const SMALL: [&str; 6] =
    ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0", "--set", "history.packs_max=4"];
/// How many times the power goes in one home's life.
const CUTS_OF_A_LIFE: u64 = 6;

#[test]
fn dozens() {
    run(0x1dea, 30, None);
}

#[test]
#[ignore = "takes minutes: hundreds of cuts"]
fn long() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("it is a number"));
    let kind = std::env::var("INDELIBLE_POWER_FS").ok();
    run(number("INDELIBLE_POWER_SEED").unwrap_or(1), number("INDELIBLE_POWER_CUTS").unwrap_or(400), kind.as_deref());
}

/// Cuts the power `cuts` times, on file systems of the kind `kind` or on all in turn.
fn run(seed: u64, cuts: u64, kind: Option<&str>) {
    if let Some(why) = machine::missing() {
        skipped(format!("NO POWER WAS CUT, since {why}"));
        return;
    }
    let mut flavours = Vec::new();
    for flavour in FLAVOURS.iter().filter(|flavour| kind.is_none_or(|kind| kind == flavour.kind)) {
        match flavour.missing() {
            None => flavours.push(flavour),
            Some(why) => skipped(format!("NO POWER WAS CUT ON {}, since {why}", flavour.kind)),
        }
    }
    let made = machine::apart(|| {
        let mut made = 0;
        let mut life = 0_usize;
        while made < cuts && !flavours.is_empty() {
            let flavour = flavours[life % flavours.len()];
            made += Life::live(flavour, seed, life as u64, (cuts - made).min(CUTS_OF_A_LIFE));
            life += 1;
        }
        made
    });
    eprintln!("the power was cut {made} times, with seed {seed}");
}

/// Events that a test waits for.
enum Event {
    /// The power was cut; so many records had been promised by then.
    Cut { promised: usize },
    /// An actor is done; whether it ends by itself.
    Done { ends: bool },
}

/// Says that an actor is done, also when that was a panic.
struct Done {
    events: Sender<Event>,
    ends: bool,
}

impl Drop for Done {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Done { ends: self.ends });
    }
}

/// One thing to record.
struct Order {
    kind: &'static str,
    headline: String,
    key: Option<String>,
}

impl Order {
    fn args(&self) -> Vec<String> {
        let key = self.key.iter().flat_map(|key| ["--key".to_owned(), key.clone()]);
        record_args(self.kind, &self.headline).into_iter().chain(key).collect()
    }

    /// As a line of a batch.
    fn line(&self) -> String {
        let mut line = match self.kind {
            "heuristic" => json!({ "domain": "Rules of thumb", "rule": self.headline }),
            "experiment" => json!({ "name": self.headline, "hypothesis": "It is\nfaster." }),
            _ => json!({ "domain": "ci", "title": self.headline, "summary": "What happened." }),
        };
        line["kind"] = self.kind.into();
        if let Some(key) = &self.key {
            line["key"] = key.as_str().into();
        }
        line.to_string() + "\n"
    }
}

/// A user of the home until the power goes.
enum Actor {
    /// One process for each.
    Recorder(Vec<Order>),
    /// One process for all.
    Batch(Vec<Order>),
    /// A worker that commits all the time.
    Worker,
    /// A user who does these, one after the other.
    Keeper(Vec<Chore>),
}

/// What is done beside recording.
#[derive(Clone, Copy)]
enum Chore {
    /// This command.
    Command(&'static str),
    /// The kernel writes the pages of files to the disk, as it does after a while, and flushes nothing.
    WriteBack,
    /// Everything is synced, as the kernel does after a while.
    Sync,
}

/// What all actors share.
struct Stage<'l> {
    home: &'l TestHome,
    promised: &'l Mutex<Vec<Receipt>>,
    dark: AtomicBool,
}

impl Stage<'_> {
    /// Runs `command`, unless the power is gone. What comes of it counts only if it was not killed.
    fn run(&self, command: Cmd) -> Option<Outcome> {
        if self.dark.load(Ordering::SeqCst) {
            return None;
        }
        let outcome = command.run();
        (outcome.status.signal().is_none() && !self.dark.load(Ordering::SeqCst)).then_some(outcome)
    }

    fn promise(&self, receipts: impl IntoIterator<Item = Receipt>) {
        self.promised.lock().expect("no thread panics while it holds the lock").extend(receipts);
    }
}

/// Has the kernel write every file beneath `folder`; those that are gone by then are of no interest.
fn write_back(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            write_back(&path);
        } else if let Ok(file) = std::fs::File::open(&path) {
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }
}

impl Actor {
    fn act(&self, stage: &Stage<'_>) {
        let home = stage.home;
        match self {
            Actor::Recorder(orders) => {
                for order in orders {
                    let Some(outcome) = stage.run(home.cmd(order.args())) else { return };
                    stage.promise([outcome.exits(0).receipt()]);
                }
            }
            Actor::Batch(orders) => {
                let lines: String = orders.iter().map(Order::line).collect();
                let Some(outcome) = stage.run(home.cmd(["record", "batch", "--json"]).stdin(lines)) else { return };
                let outcome = outcome.exits(0);
                let lines = outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON"));
                stage.promise(lines.map(|line: Value| Receipt::of(&line)).collect::<Vec<_>>());
            }
            Actor::Worker => {
                let _ = stage.run(home.cmd(["worker", "--set", "worker.age_ms=20"].iter().chain(&SMALL)));
            }
            Actor::Keeper(chores) => {
                for chore in chores {
                    match chore {
                        Chore::Command(command) => {
                            // A worker can be in its way, which is no failure.
                            if let Some(outcome) = stage.run(home.cmd([*command].iter().chain(&SMALL))) {
                                assert!(matches!(outcome.code(), Some(0 | 75)), "{outcome}");
                            }
                        }
                        Chore::WriteBack => write_back(home.path()),
                        Chore::Sync => {
                            let _ = std::fs::File::open(home.path()).map(rustix::fs::syncfs);
                        }
                    }
                }
            }
        }
    }

    fn ends(&self) -> bool {
        !matches!(self, Actor::Worker)
    }
}

/// One home, from its making on, through several cuts.
struct Life {
    dice: Dice,
    flavour: &'static Flavour,
    machine: Machine,
    home: TestHome,
    /// What was acknowledged, in this order.
    promised: Arc<Mutex<Vec<Receipt>>>,
    /// The headlines of all that was to be recorded.
    asked: BTreeSet<String>,
    cuts: u64,
    /// Whether, since the last look, a disk has kept writes out of their order. It can keep the end of an entry that was
    /// never synced without its beginning then, and nothing tells that from damage to one that was.
    shuffled: bool,
    /// How many stale locks recoveries have found.
    stale_locks: usize,
}

impl Life {
    /// Lives through `cuts` cuts at the most.
    fn live(flavour: &'static Flavour, seed: u64, number: u64, cuts: u64) -> u64 {
        let mut dice = Dice((seed << 20 | number << 4 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The first numbers of seeds that are alike are alike, too.
        for _ in 0..16 {
            let _ = dice.below(2);
        }
        eprintln!("seed {seed}, life {number}: {} {:?}, mounted with {}", flavour.kind, flavour.make, flavour.options);
        let machine = Machine::start(machine::make(flavour), flavour);
        let home = TestHome::at(machine.home());
        let mut life = Life {
            dice,
            flavour,
            machine,
            home,
            promised: Arc::default(),
            asked: BTreeSet::new(),
            cuts: 0,
            shuffled: false,
            stale_locks: 0,
        };
        life.begin();
        while life.cuts < cuts {
            life.round();
        }
        life.machine.shut_down(life.flavour);
        if life.stale_locks > 0 {
            eprintln!("  {} stale locks were found", life.stale_locks);
        }
        life.cuts
    }

    /// Makes the home; now and then the power goes while it is made.
    fn begin(&mut self) {
        while self.dice.below(3) == 0 {
            let when = When::After(self.dice.below(80));
            self.act_until_cut(when, &[Actor::Keeper(vec![Chore::Command("init")])]);
        }
        let _ = self.home.cmd(["init"]).ok();
    }

    /// Uses the home, is cut off, recovers, looks.
    fn round(&mut self) {
        let when = match self.dice.below(8) {
            0 => When::Told,
            1..=3 => When::Unsynced(2 + self.few(4)),
            _ => When::After(self.few(9)),
        };
        let actors = self.actors();
        self.act_until_cut(when, &actors);
        while self.dice.below(2) == 0 {
            let when = When::After(self.few(7));
            self.act_until_cut(
                when,
                &[Actor::Keeper(vec![Chore::Command("recover")]), Actor::Keeper(vec![Chore::WriteBack; 3])],
            );
        }
        self.recover();
        self.look();
    }

    /// A number below two to the power of `bits`, of whatever magnitude.
    fn few(&mut self, bits: u64) -> u64 {
        let bits = self.dice.below(bits + 1);
        self.dice.below(1 << bits)
    }

    fn actors(&mut self) -> Vec<Actor> {
        let mut actors = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let count = 1 + self.dice.below(6);
            let orders = (0..count).map(|_| self.order()).collect();
            actors.push(Actor::Recorder(orders));
        }
        if self.dice.below(3) == 0 {
            let count = 1 + self.dice.below(12);
            let orders = (0..count).map(|_| self.order()).collect();
            actors.push(Actor::Batch(orders));
        }
        if self.dice.below(2) == 0 {
            actors.push(Actor::Worker);
        }
        const CHORES: [Chore; 8] = [
            Chore::Command("flush"),
            Chore::Command("flush"),
            Chore::Command("recover"),
            Chore::Command("repair"),
            Chore::WriteBack,
            Chore::WriteBack,
            Chore::WriteBack,
            Chore::Sync,
        ];
        for _ in 0..2 {
            let count = self.dice.below(8);
            let pick = |_| CHORES[usize::try_from(self.dice.below(8)).expect("it is small")];
            actors.push(Actor::Keeper((0..count).map(pick).collect()));
        }
        actors
    }

    fn order(&mut self) -> Order {
        let keyed = self.dice.below(4) == 0;
        let (number, key) = match keyed {
            true => (self.dice.below(12), true),
            false => (self.asked.len() as u64, false),
        };
        let kind = match keyed {
            true => KINDS[usize::try_from(number % 5).expect("it is small")],
            false => KINDS[usize::try_from(self.dice.below(5)).expect("it is small")],
        };
        let headline = if key { format!("with key {number}") } else { format!("number {number}") };
        self.asked.insert(headline.clone());
        Order { kind, headline, key: key.then(|| format!("key {number}")) }
    }

    /// Lets `actors` act until the power is cut, at the time `when`, or when all are done; then starts the machine again
    /// with what the disk has kept.
    fn act_until_cut(&mut self, when: When, actors: &[Actor]) {
        let (send, happened) = channel();
        let (promised, cut) = (Arc::clone(&self.promised), send.clone());
        self.machine.disk.cut_when(when, move || {
            let promised = promised.lock().expect("no thread panics while it holds the lock").len();
            let _ = cut.send(Event::Cut { promised });
        });
        let stage = Stage { home: &self.home, promised: &self.promised, dark: AtomicBool::new(false) };
        let mut kept = None;
        std::thread::scope(|scope| {
            for actor in actors {
                let done = Done { events: send.clone(), ends: actor.ends() };
                let stage = &stage;
                scope.spawn(move || {
                    let _done = done;
                    actor.act(stage);
                });
            }
            let (mut at_work, mut ending) = (actors.len(), actors.iter().filter(|actor| actor.ends()).count());
            let start = Instant::now();
            while at_work > 0 {
                let dark = kept.is_some();
                match happened.recv_timeout(if dark { Duration::from_millis(5) } else { PATIENCE }) {
                    Ok(Event::Cut { promised }) => kept = Some(promised),
                    Ok(Event::Done { ends }) => {
                        at_work -= 1;
                        ending -= usize::from(ends);
                    }
                    Err(_) if dark && start.elapsed() < 2 * PATIENCE => {}
                    Err(_) => {
                        self.machine.kill_everybody();
                        panic!("{at_work} actors are still at work, and nothing happens");
                    }
                }
                if kept.is_none() && ending == 0 {
                    self.machine.disk.cut();
                } else if kept.is_some() {
                    stage.dark.store(true, Ordering::SeqCst);
                    self.machine.kill_everybody();
                }
            }
        });
        self.machine.disk.cut();
        let kept = kept.or_else(|| match happened.try_recv() {
            Ok(Event::Cut { promised }) => Some(promised),
            _ => None,
        });
        self.promised
            .lock()
            .expect("no thread panics while it holds the lock")
            .truncate(kept.expect("the power was cut"));
        self.restart();
    }

    fn restart(&mut self) {
        self.cuts += 1;
        self.machine.kill_everybody();
        self.machine.unmount();
        let cut = self.machine.disk.take_cut();
        let (medium, kept) = cut.survivor(self.flavour.sector, &mut self.dice);
        self.shuffled |= ["sectors of", "most of"].iter().any(|way| kept.starts_with(way));
        let promised = self.promised.lock().expect("no thread panics while it holds the lock").len();
        eprintln!("  cut {}: {promised} records promised; unsynced writes: {kept}", self.cuts);
        self.machine = Machine::start(medium, self.flavour);
        self.home = TestHome::at(self.machine.home());
        be_booted(&self.home);
    }

    /// Has the program bring everything in order, in one way or another.
    fn recover(&mut self) {
        match self.dice.below(3) {
            0 => {
                let mut worker = Worker::start(&self.home, &["worker.age_ms=20"]);
                self.home.flush();
                worker.signal(Signal::TERM);
                let ended = worker.wait();
                let said = worker.said();
                assert_eq!(ended.code(), Some(0), "a worker that is asked to end does so: {ended}\n{said}");
                self.assert_no_lock(&said);
            }
            way => {
                let settings = if way == 1 { &SMALL[..] } else { &[] };
                let recover = self.home.cmd(["recover", "--json"].iter().chain(settings)).env("INDELIBLE_LOG", "info");
                let outcome = recover.run().exits(0);
                self.assert_no_lock(&outcome.stderr);
                let report = outcome.json();
                assert_eq!(report["parked"], 0, "a power cut leaves nothing parked: {report}");
                assert!(report["damaged"] == 0 || self.shuffled, "a power cut leaves nothing damaged: {report}");
                assert_eq!(report["lost"], json!([]), "nothing is lost by a power cut: {report}");
            }
        }
    }

    /// Holds that the recovery that said `said` has waited for no lock, and that none is left.
    fn assert_no_lock(&mut self, said: &str) {
        assert!(!said.contains("waiting for"), "the recovery waited for a lock that the power cut had left:\n{said}");
        let mut left = Vec::new();
        locks_beneath(&self.home.join(".git"), &mut left);
        assert!(left.is_empty(), "the recovery left {left:?}:\n{said}");
        self.stale_locks += said.matches("a stale lock").count();
    }

    /// Holds that everything is as it has to be.
    fn look(&mut self) {
        if std::mem::take(&mut self.shuffled) {
            let mended = self.home.cmd(["repair", "--dismiss", "--json"]).ok().json()["mended"].clone();
            for none in ["committed", "files_restored", "rows_added", "recommitted"] {
                assert_eq!(mended[none], 0, "recovery has left something to mend: {mended}");
            }
            assert_eq!(mended["lost"], json!([]), "nothing is lost by a power cut: {mended}");
        }
        self.home.assert_settled();
        let promised = self.promised.lock().expect("no thread panics while it holds the lock");
        let stores = assert_exactly_once(&self.home, &promised);
        let mut there = BTreeMap::<&str, usize>::new();
        for row in stores.rows.values() {
            *there.entry(row.headline.as_deref().unwrap_or_default()).or_default() += 1;
        }
        for (headline, count) in there {
            assert!(self.asked.contains(headline), "{headline:?} was never recorded");
            assert_eq!(count, 1, "{headline:?} was recorded once");
        }
    }
}

/// Adds every git lock beneath `folder` to `found`.
fn locks_beneath(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).expect("it can be listed").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            locks_beneath(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
}

/// Makes the home and its repository believe that the machine was rebooted.
fn be_booted(home: &TestHome) {
    let claim = home.join(".git/indelible-lock");
    if let Ok(text) = std::fs::read_to_string(&claim)
        && let Some((boot, rest)) = text.split_once('\n')
        && !boot.is_empty()
    {
        std::fs::write(&claim, format!("another boot\n{rest}")).expect("it can be written");
    }
    // A cut can have left no index, or one without tables.
    if let Ok(index) =
        rusqlite::Connection::open_with_flags(home.join("memory/index.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
    {
        let _ = index.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        let boot = "UPDATE indelible SET value = json_set(value, '$.boot', 'another boot') WHERE name = 'watermark'";
        let _ = index.execute(boot, []);
    }
}
