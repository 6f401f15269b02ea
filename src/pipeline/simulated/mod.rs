//! Power cuts by the thousand: the steps of journal, files and pages on a file system in memory that keeps, drops,
//! tears and reorders unsynced writes (see `fs::simulated` for what it may do).
//!
//! Recorders, writers of operations, a worker and the home's owner take turns, call by call, until the power goes. Then
//! what a crash may leave is drawn, a store may come back from a backup, recovery runs on it, perhaps cut off as well,
//! and the home is checked. A seed decides all of it: an even one's home has records alone, an odd one's also has
//! operations on them: every fourth one's many on few records, late and repeated. With `SIM_BACKUPS`, that one's stores come
//! back from backups instead; with `SIM_LOCKED`, its index stays locked for long. In three of sixteen, rows lag for long. A failing
//! test names the seed, and how to run it again:
//!
//! ```sh
//! SIM_SEED=7 SIM_SCHEDULES=1 cargo test --lib simulated
//! SIM_SEED=1 SIM_SCHEDULES=10000 cargo test --lib simulated
//! ```
//!
//! The code is the real one: recorders, the pipeline and recovery. Rows and history are fakes behind the traits of
//! `target` (see `rows` and `commits`), since neither SQLite nor git writes to this file system. So the tests show that
//! no record, no revision, no file and no row is lost by the journal, by a watermark, or by the removal of a segment,
//! and that files, rows, history and state files come to the same revision of each record (see `look_at_changes`).

mod as_git;
mod changes;
mod commits;
mod look;
mod look_at_changes;
mod processes;
mod restore;
mod rows;
mod seeds;
mod tally;
mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use crate::fs::simulated::{Call, Dice, Disk, Faults, Machine, root};
use crate::fs::{Dir, Durability};
use crate::home::{Home, Identity, VERSION};
use crate::journal::{Found, Journal, Records};
use crate::model::layout::{EXPERIMENTS_ACTIVE, IDENTITY, JOURNAL, MEMORY, PRIVATE, PRIVATE_FOLDERS, TEMPORARY};
use crate::model::{
    Confidence, Experiment, FileImage, Heuristic, HomeId, Intent, Learning, Level, Record, RecordId, Request,
};
use crate::page;
use crate::random::seeded;
use crate::recover::Scope;

use processes::Process;
use restore::Backup;
use tally::Tally;
use world::World;

/// The first intent of each id, in the journal's order.
type Firsts = HashMap<RecordId, Intent>;

/// How many power cuts every `cargo test` makes.
const SCHEDULES: u64 = 1000;
/// How many of them one home lives through.
const CUTS_OF_A_LIFE: u64 = 4;
/// Domains of heuristics, each of which has a page.
const DOMAINS: [&str; 2] = ["ci", "Rules of thumb"];
/// How long a record's text is, in bytes: less than a sector, or several.
const BODIES: [usize; 5] = [1, 90, 450, 1500, 6000];

#[test]
fn thousands_of_power_cuts_lose_nothing_that_was_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let (first, schedules) = (number("SIM_SEED").unwrap_or(1), number("SIM_SCHEDULES").unwrap_or(SCHEDULES));
    let (next, told) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let end = first + schedules.div_ceil(CUTS_OF_A_LIFE);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |threads| threads.get().min(8)) {
            scope.spawn(|| {
                let real = Real::new();
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < end
                {
                    let tally = live(seed, Ops::of(seed), &real).0;
                    told.lock().expect("no thread panics while it holds it").add(&tally);
                }
            });
        }
    });
    eprintln!("seeds {first} to {}: {:?}", end - 1, told.into_inner().expect("no thread panics while it holds it"));
}

#[test]
fn a_seed_gives_the_same_schedule_again() {
    let real = Real::new();
    for seed in 1..=10 {
        let ops = Ops::of(seed);
        let ((once, calls), (again, calls_again)) = (live(seed, ops, &real), live(seed, ops, &real));
        let differing = calls.iter().zip(&calls_again).find(|(once, again)| once != again);
        assert_eq!(differing, None, "seed {seed} gave two schedules");
        assert_eq!(once, again, "seed {seed} gave two schedules");
    }
}

/// The operations that a home's processes append.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ops {
    Records,
    All,
    /// Many, on few records: late, stale and repeated ones among them.
    Many,
    /// Many, and the index stays locked for long.
    ManyAndLocked,
    /// All, and stores come back from backups.
    AllAndBackups,
}

impl Ops {
    fn of(seed: u64) -> Ops {
        match seed % 4 {
            0 | 2 => Ops::Records,
            3 if std::env::var_os("SIM_BACKUPS").is_some() => Ops::AllAndBackups,
            3 if std::env::var_os("SIM_LOCKED").is_some() => Ops::ManyAndLocked,
            3 => Ops::Many,
            _ => Ops::All,
        }
    }

    /// Whether there are many on few records.
    fn are_many(self) -> bool {
        matches!(self, Ops::Many | Ops::ManyAndLocked)
    }
}

/// Lives through one seed's cuts. Returns what happened, and every call that was made.
fn live(seed: u64, ops: Ops, real: &Real) -> (Tally, Vec<Call>) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::begin(seed, ops, real);
        for _ in 0..CUTS_OF_A_LIFE {
            life.round();
        }
        (life.tally, life.calls)
    }));
    lived.unwrap_or_else(|panic| {
        eprintln!("to see it again: SIM_SEED={seed} SIM_SCHEDULES=1 cargo test --lib simulated");
        resume_unwind(panic)
    })
}

/// A real folder, for the worker's lock.
struct Real {
    _root: tempfile::TempDir,
    dir: Dir,
}

impl Real {
    fn new() -> Real {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        Real { _root: root, dir }
    }
}

/// A home from its creation on, through several cuts.
struct Life<'r> {
    dice: Dice,
    real: &'r Real,
    machine: Arc<Machine>,
    world: Mutex<World>,
    options: Limits,
    tally: Tally,
    calls: Vec<Call>,
    ops: Ops,
    /// What the home was at the end of earlier rounds.
    backups: Vec<Backup>,
    /// Whether a store came back from a backup, and no recovery has ended since.
    is_restored: bool,
}

/// What differs between homes.
#[derive(Clone, Copy)]
struct Limits {
    /// The rows are locked once in so many times; never if that is 0.
    locked: u64,
    /// For how many more tries rows stay locked, at the most.
    stays_locked: u64,
    /// How much of the journal rows may hold back.
    rows_bytes_max: u64,
    /// A process stops before a sync once in so many; never if that is 0.
    stop: u64,
    /// A worker catches up with rows that lag in one step of so many. In some homes they lag for long, and are locked often.
    catches_up: u64,
}

/// One process's view of the simulation.
#[derive(Clone, Copy)]
struct Stage<'s> {
    machine: &'s Machine,
    home: &'s Home,
    world: &'s Mutex<World>,
    /// A real folder, for the worker's lock.
    real: &'s Dir,
    options: Limits,
    ops: Ops,
}

fn open(machine: &Arc<Machine>) -> Home {
    Home::within(root(machine), Path::new("simulated")).expect("it is a home")
}

impl<'r> Life<'r> {
    fn begin(seed: u64, ops: Ops, real: &'r Real) -> Life<'r> {
        let mut dice = Dice::of(seed);
        let disk = Disk::new(*dice.one_of(&[512, 512, 4096]));
        let machine = Machine::new(disk, Dice::of(dice.next()));
        make_home(&root(&machine), HomeId(uuid::Uuid::from_u128(seed.into()))).expect("nothing goes wrong yet");
        let world = Mutex::default();
        let locked = *dice.one_of(&[0, 0, 3, 10]);
        let gives_up = locked > 0 && dice.below(4) == 0;
        let stop = if matches!(seed % 16, 1 | 2) { 4 } else { 0 };
        let stays_locked = if ops == Ops::ManyAndLocked { 16 } else { 0 };
        let rows_bytes_max = if gives_up { 3000 } else { 1 << 30 };
        let options = match seed % 16 {
            5 | 6 | 14 => Limits { locked: 3, stays_locked, rows_bytes_max: 1 << 30, stop, catches_up: 12 },
            _ => Limits { locked, stays_locked, rows_bytes_max, stop, catches_up: 3 },
        };
        let (tally, calls, backups) = (Tally::default(), Vec::new(), Vec::new());
        Life { dice, real, machine, world, options, tally, calls, ops, backups, is_restored: false }
    }

    fn stage<'s>(&'s self, home: &'s Home) -> Stage<'s> {
        Stage {
            machine: &self.machine,
            home,
            world: &self.world,
            real: &self.real.dir,
            options: self.options,
            ops: self.ops,
        }
    }

    /// Uses the home until the power goes, recovers it, checks it.
    fn round(&mut self) {
        let home = open(&self.machine);
        let calls = (self.dice.below(3) > 0).then(|| self.few(10));
        let processes = self.processes();
        let worker = processes.iter().position(|process| matches!(process, Process::Worker { .. }));
        let faults = self.faults(worker.expect("there is one"));
        let stage = self.stage(&home);
        let run = processes.into_iter().enumerate().map(|(number, process)| -> Box<dyn FnOnce() + Send + '_> {
            let ids = Ids::of(&self.dice, number);
            Box::new(move || {
                ids.draw();
                process.run(stage);
            })
        });
        self.machine.run(calls, faults, run.collect());
        self.tally.cuts += 1;
        self.look_at_order();
        let failed = self.restart() && faults.sync_of.is_none();
        self.look_at_wreck(failed);
        if self.ops == Ops::AllAndBackups && self.dice.below(4) == 0 {
            self.restore();
        }
        while self.dice.below(3) == 0 {
            let calls = self.few(7);
            if !self.recover(Some(calls)) {
                break;
            }
            self.tally.cuts_of_recoveries += 1;
            self.restart();
            if !self.is_restored {
                self.look_at_wreck(failed);
            }
        }
        self.recover(None);
        self.is_restored = false;
        self.look();
        let before = self.machine.disk().files(".");
        let stores = lock(&self.world).stores();
        self.recover(None);
        let after = self.machine.disk().files(".");
        // The state names the segments that existed before the last of them was removed.
        let paths = before.iter().chain(&after).map(|(path, _)| path).filter(|path| !path.ends_with("/state.json"));
        let changed: BTreeSet<_> = paths.collect();
        let changed: Vec<_> = changed.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
        let world = lock(&self.world);
        // Only an audit of everything finds a refused row, and only one of the two may have made one. Without a commit no
        // position is kept, and each start copies a segment that cannot be synced.
        let may_change = !world.refused.is_empty() || world.history.commits == 0;
        assert!(changed.is_empty() || may_change, "a second recovery changed {changed:?}");
        assert!(world.stores() == stores || may_change, "a second recovery changed rows or history");
        drop(world);
        self.back_up();
    }

    /// A number below two to the power of `bits`, of any magnitude.
    fn few(&mut self, bits: u64) -> u64 {
        let bits = 1 + self.dice.below(bits);
        self.dice.below(1 << bits)
    }

    /// The faults other than power cuts, where `worker` is the worker's number.
    fn faults(&mut self, worker: usize) -> Faults {
        let faults = Faults { stop: self.options.stop, ..Faults::default() };
        match self.dice.below(5) {
            0 => Faults { sync: 8, ..faults },
            1 => Faults { sync: 3, sync_of: Some(worker), ..faults },
            2 => Faults { short: 12, kill: 200, ..faults },
            _ => faults,
        }
    }

    fn processes(&mut self) -> Vec<Process> {
        let mut processes = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            let groups = (0..1 + self.dice.below(6)).map(|_| self.requests()).collect();
            processes.push(Process::Recorder(groups));
        }
        processes.push(Process::Worker { steps: 1 + self.dice.below(16), dice: Dice::of(self.dice.next()) });
        if self.dice.below(2) == 0 {
            processes.push(Process::Owner { edits: 1 + self.dice.below(3), dice: Dice::of(self.dice.next()) });
        }
        let (writers, ops) = match self.ops {
            Ops::Records => (0, 0),
            Ops::Many | Ops::ManyAndLocked => (2, 16),
            Ops::All | Ops::AllAndBackups => (1 + self.dice.below(2), 8),
        };
        for _ in 0..writers {
            processes.push(Process::Writer { ops: 1 + self.dice.below(ops), dice: Dice::of(self.dice.next()) });
        }
        processes
    }

    fn requests(&mut self) -> Vec<Request> {
        let count = if self.dice.below(4) == 0 { 1 + self.dice.below(5) } else { 1 };
        let mut requests: Vec<_> = (0..count).map(|_| Request::new(self.record())).collect();
        for request in &mut requests {
            request.key = (self.dice.below(5) == 0).then(|| format!("key {}", self.dice.below(4)));
        }
        requests
    }

    fn record(&mut self) -> Record {
        let mut world = lock(&self.world);
        let headline = format!("number {:05}", world.asked.len());
        let body = "a word ".repeat(self.dice.one_of(&BODIES).div_ceil(7));
        let record = match self.dice.below(5) {
            0 => Record::Experiment(Experiment { name: headline.clone(), hypothesis: body, ..Experiment::default() }),
            1 | 2 => Record::Heuristic(Heuristic {
                domain: (*self.dice.one_of(&DOMAINS)).to_owned(),
                rule: headline.clone(),
                explanation: "A reason.".to_owned(),
                source: "auto".to_owned(),
                confidence: Confidence::DEFAULT,
            }),
            _ => Record::Failure(Learning {
                title: headline.clone(),
                domain: "ci".to_owned(),
                tags: "a,b".to_owned(),
                summary: body,
                ..Learning::default()
            }),
        };
        world.asked.insert(headline, record.clone());
        record
    }

    /// Cuts the power, and restarts the machine with what the disk has kept. Returns whether a sync had failed.
    fn restart(&mut self) -> bool {
        let failed = self.note();
        self.machine = self.machine.after_power_cut(&mut self.dice);
        lock(&self.world).rows.cut(&mut self.dice);
        failed > 0
    }

    /// Notes what happened on the machine. Returns how many syncs failed.
    fn note(&mut self) -> u64 {
        let (calls, failed) = (self.machine.calls(), self.machine.failed_syncs());
        self.tally.calls += calls.len() as u64;
        self.tally.failed_syncs += failed;
        self.calls.extend(calls);
        failed
    }

    /// Recovers the home, cut off after `calls` calls. Returns whether it was.
    fn recover(&mut self, calls: Option<u64>) -> bool {
        let home = open(&self.machine);
        let scope = if self.dice.below(2) == 0 { Scope::Start } else { Scope::Everything };
        let stage = self.stage(&home);
        let ids = Ids::of(&self.dice, 0);
        let process = move || {
            ids.draw();
            match stage.recover(scope) {
                Err(error) if !stage.machine.is_dark() => {
                    panic!("recovery failed: {}", crate::model::text::chain(&error))
                }
                _ => {}
            }
        };
        self.machine.run(calls, Faults::default(), vec![Box::new(process)])
    }
}

/// What a process draws its ids from. They are not among a life's own numbers, so that older seeds give the same lives.
struct Ids(Dice);

impl Ids {
    fn of(dice: &Dice, process: usize) -> Ids {
        Ids(Dice::of(!dice.clone().next() ^ process as u64))
    }

    /// The thread draws its ids from them from now on.
    fn draw(self) {
        let Ids(mut dice) = self;
        seeded::from(move || u128::from(dice.next()) << 64 | u128::from(dice.next()));
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().expect("no thread panics while it holds it")
}

/// Creates what `init` creates, other than the index and the history.
fn make_home(dir: &Dir, id: HomeId) -> Result<(), Box<dyn std::error::Error>> {
    let _ = (dir.make_folder(MEMORY)?, dir.make_folder(EXPERIMENTS_ACTIVE)?);
    let private = dir.make_folder(PRIVATE)?;
    for folder in PRIVATE_FOLDERS {
        private.make_folder(folder)?;
    }
    let identity = serde_json::to_vec(&Identity { version: VERSION, id })?;
    private.replace(IDENTITY, &identity, &private.folder(TEMPORARY)?, Durability::Full)?;
    Journal::new(private.folder(JOURNAL)?).ensure_first()?;
    dir.sync_file_system()?;
    Ok(())
}

/// The first intent of every record in the journal. Each must have been requested.
fn read(home: &Home, world: &mut World) -> Firsts {
    let mut intents = Firsts::new();
    let mut records = Records::from_start(home.journal()).expect("readable");
    while let Some(found) = records.as_mut().and_then(|records| records.next().expect("readable")) {
        if let Found::Unknown { json, .. } = &found {
            assert!(String::from_utf8_lossy(json).contains("frobnicate"), "a whole entry is an operation");
        }
        if let Found::Op(logged) = found
            && let Some(intent) = logged.op.into_intent()
        {
            // What is left of a file whose entry is lost can be whole by chance.
            let is_made_up = world.is_edited(&intent) || intent.amended.is_some() || world.is_forgotten(intent.id);
            if !is_made_up {
                check(&intent, &world.asked, &mut world.checked);
            }
            intents.entry(intent.id).or_insert(intent);
        }
    }
    intents
}

/// Asserts that `intent` is exactly what its recorder wrote.
fn check(intent: &Intent, asked: &BTreeMap<String, Record>, checked: &mut HashMap<RecordId, Intent>) {
    if checked.get(&intent.id) == Some(intent) {
        return;
    }
    let Intent { id, created_at, record, files, key, .. } = intent;
    assert_eq!(Some(record), asked.get(record.headline()), "this record was not requested");
    let own = files_of(*id, *created_at, record, key.as_ref());
    // Recovery goes on with what it has found: perhaps without the log, or with what a power cut left of it.
    assert!(files.first().is_some_and(|page| own.contains(page)), "the page of {id} is not its own");
    let mut paths = files.iter().map(|file| &file.path);
    assert!(paths.all(|path| own.iter().any(|own| own.path == *path)), "the files of {id} are not its own");
    checked.insert(*id, intent.clone());
}

fn files_of(id: RecordId, created_at: Timestamp, record: &Record, key: Option<&String>) -> Vec<FileImage> {
    page::files(id, created_at, &Request { key: key.cloned(), ..Request::new(record.clone()) }, Level::Day)
}
