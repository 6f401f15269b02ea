//! Power cuts by the thousand: the steps of journal, files and pages on a file system in memory that keeps, drops,
//! tears and reorders unsynced writes (see `fs::simulated` for what it may do).
//!
//! Recorders, a worker and the home's owner take turns, call by call, until the power goes. Then what a crash may leave
//! is drawn, recovery runs on it, perhaps cut off as well, and the home is checked. A seed decides all of it. A failing
//! test names the seed, and how to run it again:
//!
//! ```sh
//! SIM_SEED=7 SIM_SCHEDULES=1 cargo test --lib simulated
//! SIM_SEED=1 SIM_SCHEDULES=10000 cargo test --lib simulated
//! ```
//!
//! The code is the real one: recorders, the pipeline and recovery. Rows and history are fakes behind the traits of
//! `target` (see `stores`), since neither SQLite nor git writes to this file system. So the tests show that no record,
//! no file and no row is lost by the journal, by a watermark, or by the removal of a segment.

mod look;
mod processes;
mod stores;

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
    Confidence, Experiment, FileImage, Heuristic, HomeId, Intent, Learning, Level, Record, RecordId, Request, Severity,
};
use crate::page;
use crate::recover::Scope;
use crate::target::pages::domain_folders;

use processes::Process;
use stores::{Firsts, History, RowsStore, page_entries};

/// How many power cuts every `cargo test` makes.
const SCHEDULES: u64 = 1500;
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
                    let tally = live(seed, &real).0;
                    told.lock().expect("no thread panics while it holds it").add(&tally);
                }
            });
        }
    });
    eprintln!("seeds {first} to {}: {:?}", end - 1, told.into_inner().expect("no thread panics while it holds it"));
}

/// Each failed once: pages that missed rows which an earlier attempt had inserted, and a torn file of a refused record.
#[test]
fn schedules_that_failed_once_hold() {
    let real = Real::new();
    for seed in [400_040, 400_043, 400_204, 400_211, 400_349] {
        live(seed, &real);
    }
}

#[test]
fn a_seed_gives_the_same_schedule_again() {
    let real = Real::new();
    for seed in 1..=10 {
        let ((once, calls), (again, calls_again)) = (live(seed, &real), live(seed, &real));
        let differing = calls.iter().zip(&calls_again).find(|(once, again)| once != again);
        assert_eq!(differing, None, "seed {seed} gave two schedules");
        assert_eq!(once, again, "seed {seed} gave two schedules");
    }
}

/// Counts of what happened, which show how much was tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    cuts: u64,
    cuts_of_recoveries: u64,
    calls: u64,
    failed_syncs: u64,
    acknowledged: u64,
    edited: u64,
    segments: u64,
    set_aside: u64,
    damaged: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.cuts += other.cuts;
        self.cuts_of_recoveries += other.cuts_of_recoveries;
        self.calls += other.calls;
        self.failed_syncs += other.failed_syncs;
        self.acknowledged += other.acknowledged;
        self.edited += other.edited;
        self.segments += other.segments;
        self.set_aside += other.set_aside;
        self.damaged += other.damaged;
    }
}

/// Lives through one seed's cuts. Returns what happened, and every call that was made.
fn live(seed: u64, real: &Real) -> (Tally, Vec<Call>) {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::begin(seed, real);
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

/// What must survive, and the stores that are not on the disk.
#[derive(Default)]
struct World {
    /// The index.
    rows: RowsStore,
    /// The history.
    history: History,
    /// Every requested record, by its headline.
    asked: BTreeMap<String, Record>,
    /// Intents that matched exactly what their recorders wrote.
    checked: HashMap<RecordId, Intent>,
    /// The acknowledged records.
    promised: Vec<Promise>,
    /// The committed intents, in this order.
    committed: Vec<Intent>,
    /// The headlines of refused records: a worker can have read one before its recorder voided it.
    refused: BTreeSet<String>,
    /// Files that their owner edited, by path.
    edits: BTreeMap<String, Edit>,
}

struct Promise {
    id: RecordId,
    /// Whether it has a key: then an earlier intent may be the record.
    keyed: bool,
    files: Vec<FileImage>,
}

struct Edit {
    text: Vec<u8>,
    /// Whether it was durable when the power went.
    durable: bool,
}

impl World {
    fn is_committed(&self, id: RecordId) -> bool {
        self.committed.iter().any(|intent| intent.id == id)
    }

    /// Whether `found` is allowed in the place of `file`.
    fn is_intact(&self, file: &FileImage, found: Option<&Vec<u8>>) -> bool {
        let original = found.is_some_and(|found| found == file.text.as_bytes());
        match self.edits.get(&file.path) {
            Some(edit) => found == Some(&edit.text) || !edit.durable && original,
            None => original,
        }
    }

    fn is_refused(&self, intent: &Intent) -> bool {
        self.refused.contains(intent.record.headline())
    }

    /// Whether `intent` is one that recovery made of a file that its owner had edited.
    fn is_edited(&self, intent: &Intent) -> bool {
        intent.files.iter().any(|file| self.edits.get(&file.path).is_some_and(|it| it.text == file.text.as_bytes()))
    }

    /// The page of the heuristics in `folder`, as the rows have them; without `refused` ones that are not committed.
    fn page(&self, folder: &str, refused: bool) -> String {
        let is_there = |row: &&Intent| refused || self.is_committed(row.id) || !self.is_refused(row);
        let entries = page_entries(self.rows.iter().filter(is_there), folder);
        let title = entries.first().map(|(domain, _)| domain.clone()).unwrap_or_default();
        page::domain_page(&title, entries.into_iter().map(|(_, entry)| entry))
    }

    /// The folders of all domains that have a heuristic.
    fn domains(&self) -> BTreeSet<String> {
        domain_folders(&self.committed).map(str::to_owned).collect()
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
}

/// What differs between homes.
#[derive(Clone, Copy)]
struct Limits {
    /// The rows are locked once in so many times; never if that is 0.
    locked: u64,
    /// How much of the journal rows may hold back.
    rows_bytes_max: u64,
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
}

fn open(machine: &Arc<Machine>) -> Home {
    Home::within(root(machine), Path::new("simulated")).expect("it is a home")
}

impl<'r> Life<'r> {
    fn begin(seed: u64, real: &'r Real) -> Life<'r> {
        let mut dice = Dice::of(seed);
        let disk = Disk::new(*dice.one_of(&[512, 512, 4096]));
        let machine = Machine::new(disk, Dice::of(dice.next()));
        make_home(&root(&machine)).expect("nothing goes wrong yet");
        let world = Mutex::default();
        let locked = *dice.one_of(&[0, 0, 3, 10]);
        let gives_up = locked > 0 && dice.below(4) == 0;
        let options = Limits { locked, rows_bytes_max: if gives_up { 3000 } else { 1 << 30 } };
        Life { dice, real, machine, world, options, tally: Tally::default(), calls: Vec::new() }
    }

    fn stage<'s>(&'s self, home: &'s Home) -> Stage<'s> {
        Stage { machine: &self.machine, home, world: &self.world, real: &self.real.dir, options: self.options }
    }

    /// Uses the home until the power goes, recovers it, checks it.
    fn round(&mut self) {
        let home = open(&self.machine);
        let calls = (self.dice.below(3) > 0).then(|| self.few(10));
        let processes = self.processes();
        let worker = processes.iter().position(|process| matches!(process, Process::Worker { .. }));
        let faults = self.faults(worker.expect("there is one"));
        let stage = self.stage(&home);
        let run = processes
            .into_iter()
            .map(|process| -> Box<dyn FnOnce() + Send + '_> { Box::new(move || process.run(stage)) });
        self.machine.run(calls, faults, run.collect());
        self.tally.cuts += 1;
        let failed = self.restart() && faults.sync_of.is_none();
        self.look_at_wreck(failed);
        while self.dice.below(3) == 0 {
            let calls = self.few(7);
            if !self.recover(Some(calls)) {
                break;
            }
            self.tally.cuts_of_recoveries += 1;
            self.restart();
            self.look_at_wreck(failed);
        }
        self.recover(None);
        self.look();
        let before = self.machine.disk().files(".");
        self.recover(None);
        let after = self.machine.disk().files(".");
        // The state names the segments that existed before the last of them was removed.
        let paths = before.iter().chain(&after).map(|(path, _)| path).filter(|path| !path.ends_with("/state.json"));
        let changed: BTreeSet<_> = paths.collect();
        let changed: Vec<_> = changed.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
        // Only an audit of everything finds a refused row, and only one of the two may have made one.
        let is_settled = changed.is_empty() || !lock(&self.world).refused.is_empty();
        assert!(is_settled, "a second recovery changed {changed:?}");
    }

    /// A number below two to the power of `bits`, of any magnitude.
    fn few(&mut self, bits: u64) -> u64 {
        let bits = 1 + self.dice.below(bits);
        self.dice.below(1 << bits)
    }

    /// The faults other than power cuts, where `worker` is the worker's number.
    fn faults(&mut self, worker: usize) -> Faults {
        match self.dice.below(5) {
            0 => Faults { sync: 8, ..Faults::default() },
            1 => Faults { sync: 3, sync_of: Some(worker), ..Faults::default() },
            2 => Faults { short: 12, kill: 200, ..Faults::default() },
            _ => Faults::default(),
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
            0 => Record::Experiment(Experiment {
                name: headline.clone(),
                hypothesis: body,
                success_criteria: String::new(),
                failure_criteria: String::new(),
            }),
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
                severity: Severity::DEFAULT,
                tags: "a,b".to_owned(),
                summary: body,
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
        let process = move || match stage.recover(scope) {
            Err(error) if !stage.machine.is_dark() => panic!("recovery failed: {}", crate::model::text::chain(&error)),
            _ => {}
        };
        self.machine.run(calls, Faults::default(), vec![Box::new(process)])
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().expect("no thread panics while it holds it")
}

/// Creates what `init` creates, other than the index and the history.
fn make_home(dir: &Dir) -> Result<(), Box<dyn std::error::Error>> {
    let _ = (dir.make_folder(MEMORY)?, dir.make_folder(EXPERIMENTS_ACTIVE)?);
    let private = dir.make_folder(PRIVATE)?;
    for folder in PRIVATE_FOLDERS {
        private.make_folder(folder)?;
    }
    let identity = serde_json::to_vec(&Identity { version: VERSION, id: HomeId(crate::random::id()) })?;
    private.replace(IDENTITY, &identity, &private.folder(TEMPORARY)?, Durability::Full)?;
    Journal::new(private.folder(JOURNAL)?).ensure_first()?;
    let _ = dir.sync_file_system()?;
    Ok(())
}

/// Every intent in the journal. Each must have been requested.
fn read(home: &Home, world: &mut World) -> Firsts {
    let mut intents = Firsts::new();
    let mut records = Records::from_start(home.journal()).expect("readable");
    while let Some(found) = records.as_mut().and_then(|records| records.next().expect("readable")) {
        assert!(!matches!(found, Found::Unknown { .. }), "a whole entry is an intent");
        if let Found::Op(logged) = found {
            let intent = logged.op.into_intent().expect("recorders record, and nothing else");
            if !world.is_edited(&intent) {
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
    assert!(*files == files_of(*id, *created_at, record, key.as_ref()), "the files of {id} are not its own");
    checked.insert(*id, intent.clone());
}

fn files_of(id: RecordId, created_at: Timestamp, record: &Record, key: Option<&String>) -> Vec<FileImage> {
    page::files(id, created_at, &Request { key: key.cloned(), ..Request::new(record.clone()) }, Level::Day)
}
