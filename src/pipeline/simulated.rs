//! Power cuts by the thousand: the journal's, the files' and the pages' steps on a file system in memory that keeps,
//! drops, tears and reorders whatever no sync had followed (see `fs::simulated` for what it may do).
//!
//! Recorders, a worker and the home's owner take turns, call by call, until the power goes; then what a crash may leave
//! is drawn, recovery is run on it, perhaps cut off as well, and the home is looked at. All of it is decided by a seed. A
//! test that fails names the seed, and how to run it again:
//!
//! ```sh
//! SIM_SEED=7 SIM_SCHEDULES=1 cargo test --lib simulated
//! SIM_SEED=1 SIM_SCHEDULES=100000 cargo test --lib simulated
//! ```
//!
//! The code is the real one but for the rows and the commits, which are none of this file system's: a batch becomes
//! durable at once where its commit would. So what is shown is that no record is lost before that by the journal, nor
//! after it by a segment that goes while a file is not durable.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Committer, Counts, Error, Options, PassedOver, remove_finished};
use crate::exclusive::Exclusive;
use crate::fs::lock::WorkerLock;
use crate::fs::simulated::{Call, Dice, Disk, Faults, Machine, root};
use crate::fs::{Dir, Durability};
use crate::home::{Home, IDENTITY, Identity, PRIVATE, PRIVATE_FOLDERS, VERSION};
use crate::journal::{self, Appender, Found, Journal, Reader, Records};
use crate::model::position::Position;
use crate::model::{
    Confidence, Experiment, FileImage, Heuristic, HomeId, Intent, JournalId, Learning, Level, Record, RecordId,
    RecordPath, Request, Severity,
};
use crate::page::{self, PageEntry};
use crate::quarantine::{Contents, Quarantine};
use crate::record::{Policy, Recorder, Redaction};
use crate::state::State;
use crate::target::files::Applier;
use crate::target::history::{History, HistoryOptions};

/// How many power cuts every `cargo test` makes.
const SCHEDULES: u64 = 3000;
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
                    told.lock().expect("nobody panics with it in hand").add(&tally);
                }
            });
        }
    });
    eprintln!("seeds {first} to {}: {:?}", end - 1, told.into_inner().expect("nobody panics with it in hand"));
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

/// What happened, for people to see how much was shown.
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

/// A history and a lock, which a committer has, and which are not used.
struct Real {
    _root: tempfile::TempDir,
    dir: Dir,
    history: History,
}

impl Real {
    fn new() -> Real {
        let root = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(root.path()).expect("it opens");
        let (history, _) = History::init(root.path(), root.path(), HomeId::default(), HistoryOptions::default())
            .expect("it can be made");
        Real { _root: root, dir, history }
    }
}

/// What has to be found again, and what the other stores have, which lose nothing.
#[derive(Default)]
struct World {
    /// Everything that was to be recorded, by its headline.
    asked: BTreeMap<String, Record>,
    /// Intents that were found to be exactly what their recorders wrote.
    checked: HashMap<RecordId, Intent>,
    /// What was acknowledged.
    promised: Vec<Promise>,
    /// What is committed, in this order, and up to where.
    committed: Vec<Intent>,
    position: Option<Position>,
    /// The headlines of what was refused: a worker can have read it before its recorder voided it.
    refused: BTreeSet<String>,
    /// Files that their owner edited, by path.
    edits: BTreeMap<String, Edit>,
}

struct Promise {
    id: RecordId,
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

    /// Whether `found` is what may lie in the place of `file`.
    fn is_intact(&self, file: &FileImage, found: Option<&Vec<u8>>) -> bool {
        let original = found.is_some_and(|found| found == file.text.as_bytes());
        match self.edits.get(&file.path) {
            Some(edit) => found == Some(&edit.text) || !edit.durable && original,
            None => original,
        }
    }

    /// The page of the heuristics in `folder`, of those committed and of `more`.
    fn page(&self, folder: &str, more: &[Intent]) -> String {
        let mut title = "";
        let mut entries = Vec::new();
        for intent in self.committed.iter().chain(more).filter(|intent| is_in(intent, folder)) {
            let Record::Heuristic(it) = &intent.record else { continue };
            title = &it.domain;
            entries.push(PageEntry {
                id: intent.id,
                rule: it.rule.clone(),
                explanation: it.explanation.clone(),
                source: it.source.clone(),
                confidence: it.confidence.get(),
                created_at: intent.created_at,
                path: intent.path().to_owned(),
            });
        }
        page::domain_page(title, entries.into_iter())
    }

    /// The folders of all domains that have a heuristic.
    fn domains(&self) -> BTreeSet<String> {
        super::domain_folders(&self.committed).map(str::to_owned).collect()
    }
}

fn is_in(intent: &Intent, folder: &str) -> bool {
    RecordPath(intent.path()).domain_folder() == Some(folder)
}

/// A home from its making on, through several cuts.
struct Life<'r> {
    dice: Dice,
    real: &'r Real,
    machine: Arc<Machine>,
    world: Mutex<World>,
    tally: Tally,
    calls: Vec<Call>,
}

/// One process's view of it all.
#[derive(Clone, Copy)]
struct Stage<'s> {
    machine: &'s Machine,
    home: &'s Home,
    world: &'s Mutex<World>,
    history: &'s History,
    /// A real folder, for the worker's lock.
    real: &'s Dir,
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
        Life { dice, real, machine, world, tally: Tally::default(), calls: Vec::new() }
    }

    fn stage<'s>(&'s self, home: &'s Home) -> Stage<'s> {
        let Real { history, dir, .. } = self.real;
        Stage { machine: &self.machine, home, world: &self.world, history, real: dir }
    }

    /// Uses the home until the power goes, recovers it, looks.
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
        assert!(self.machine.disk().files(".") == before, "a second recovery changed something");
    }

    /// A number below two to the power of `bits`, of whatever magnitude.
    fn few(&mut self, bits: u64) -> u64 {
        let bits = 1 + self.dice.below(bits);
        self.dice.below(1 << bits)
    }

    /// What goes wrong beside the power, where `worker` is the worker's number.
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
        (0..count).map(|_| Request::new(self.record())).collect()
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

    /// Cuts the power, and starts the machine again with what the disk has kept. Returns whether a sync had failed.
    fn restart(&mut self) -> bool {
        let failed = self.note();
        self.machine = self.machine.after_power_cut(&mut self.dice);
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
        let stage = self.stage(&home);
        let process = move || match stage.recover() {
            Err(error) if !stage.machine.is_dark() => panic!("recovery failed: {}", crate::model::text::chain(&error)),
            _ => {}
        };
        self.machine.run(calls, Faults::default(), vec![Box::new(process)])
    }

    /// Holds that every record that has to be found again is there, before anybody mends anything. Where a recorder's
    /// sync had failed, what others were writing went with it; what of that was committed is in git alone.
    fn look_at_wreck(&self, sync_failed: bool) {
        let (home, mut world, disk) = (open(&self.machine), lock(&self.world), self.machine.disk());
        let files = disk.files("memory").into_iter().chain(disk.files("experiments")).collect::<BTreeMap<_, _>>();
        let intents = read(&home, &mut world);
        let in_files = |wanted: &[FileImage]| wanted.iter().all(|it| world.is_intact(it, files.get(&it.path)));
        for promise in &world.promised {
            let applied = world.is_committed(promise.id) && in_files(&promise.files);
            assert!(
                intents.contains_key(&promise.id) || applied,
                "{} was acknowledged and is lost: {:?}",
                promise.id,
                promise.files[0].path
            );
        }
        for intent in world.committed.iter().filter(|_| !sync_failed) {
            let refused = world.refused.contains(intent.record.headline());
            let kept = refused || intents.contains_key(&intent.id) || in_files(&intent.files);
            assert!(kept, "{} was committed before it was durable", intent.path());
        }
        if let Some(position) = world.position.filter(|_| !sync_failed && world.refused.is_empty()) {
            let reader = Reader::from_position(home.journal(), position).expect("readable");
            assert!(reader.is_some(), "the position {position} is in git and not borne out by the journal");
        }
        for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with("/README.md")) {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            assert!(page::is_unedited(text), "the page {path} is torn: {} bytes", bytes.len());
        }
    }

    /// Holds that everything is in order.
    fn look(&mut self) {
        let (home, mut world, disk) = (open(&self.machine), lock(&self.world), self.machine.disk());
        let mut files = disk.files("memory");
        files.extend(disk.files("experiments"));
        for promise in &world.promised {
            assert!(world.is_committed(promise.id), "{} was acknowledged and is not committed", promise.id);
        }
        let mut headlines = BTreeSet::new();
        let mut checked = std::mem::take(&mut world.checked);
        for intent in &world.committed {
            check(intent, &world.asked, &mut checked);
            assert!(headlines.insert(intent.record.headline()), "{:?} is there twice", intent.record.headline());
            for file in &intent.files {
                let found = files.remove(&file.path);
                let bytes = found.as_ref().map(Vec::len);
                assert!(world.is_intact(file, found.as_ref()), "{} is not what was recorded: {bytes:?}", file.path);
            }
        }
        world.checked = checked;
        for folder in world.domains() {
            let page = files.remove(&format!("{folder}/README.md")).expect("a domain has a page");
            assert!(page == world.page(&folder, &[]).as_bytes(), "the page in {folder} is not its heuristics'");
        }
        for (path, bytes) in files {
            // A power cut can have torn it: it is known by its name.
            let refused = world.refused.iter().any(|headline| path.contains(&headline.replace(' ', "-")));
            let without_record = page::parse(&bytes).is_ok_and(|parsed| parsed.request.is_none());
            assert!(refused || without_record || self.tally.failed_syncs > 0, "{path} is nobody's");
        }
        assert!(disk.files(".indelible/tmp").is_empty(), "temporary files are left");
        let contents = Contents::of(&home).expect("it can be listed");
        assert!(contents.parked.is_empty(), "what was recorded can be applied: {contents:?}");
        let edited = contents.set_aside.iter().find(|name| name.contains("edited"));
        assert!(edited.is_none(), "a page was taken for edited: {contents:?}");
        self.tally.damaged = contents.damaged.len() as u64;
        self.tally.set_aside = contents.set_aside.len() as u64;
        self.tally.segments = home.journal().newest().map_or(0, |number| number.0);
        self.tally.acknowledged = world.promised.len() as u64;
        self.tally.edited = world.edits.values().filter(|edit| edit.durable).count() as u64;
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().expect("nobody panics with it in hand")
}

/// What `init` makes, other than the index and the history.
fn make_home(dir: &Dir) -> Result<(), Box<dyn std::error::Error>> {
    let _ = (dir.make_folder("memory")?, dir.make_folder("experiments/active")?);
    let private = dir.make_folder(PRIVATE)?;
    for folder in PRIVATE_FOLDERS {
        private.make_folder(folder)?;
    }
    let identity = serde_json::to_vec(&Identity { version: VERSION, id: HomeId(crate::random::id()) })?;
    private.replace(IDENTITY, &identity, &private.folder("tmp")?, Durability::Full)?;
    Journal::new(private.folder("journal")?).ensure_first()?;
    let _ = dir.sync_file_system()?;
    Ok(())
}

/// Every intent in the journal; each has to be one that somebody asked for.
fn read(home: &Home, world: &mut World) -> BTreeMap<RecordId, Intent> {
    let mut intents = BTreeMap::new();
    let mut records = Records::from_start(home.journal()).expect("readable");
    while let Some(found) = records.as_mut().and_then(|records| records.next().expect("readable")) {
        assert!(!matches!(found, Found::Unknown { .. }), "a whole entry is an intent");
        if let Found::Op(logged) = found {
            let intent = logged.op.into_intent().expect("recorders record, and nothing else");
            check(&intent, &world.asked, &mut world.checked);
            intents.insert(intent.id, intent);
        }
    }
    intents
}

/// Holds that `intent` is exactly what its recorder wrote.
fn check(intent: &Intent, asked: &BTreeMap<String, Record>, checked: &mut HashMap<RecordId, Intent>) {
    if checked.get(&intent.id) == Some(intent) {
        return;
    }
    let Intent { id, created_at, record, files, .. } = intent;
    assert_eq!(Some(record), asked.get(record.headline()), "nobody asked for this record");
    assert!(*files == files_of(*id, *created_at, record), "the files of {id} are not its own");
    checked.insert(*id, intent.clone());
}

fn files_of(id: RecordId, created_at: Timestamp, record: &Record) -> Vec<FileImage> {
    page::files(id, created_at, &Request::new(record.clone()), Level::Day)
}

/// Somebody who uses the home until the power goes.
enum Process {
    /// A process for each group of requests.
    Recorder(Vec<Vec<Request>>),
    /// A worker, started anew where it fails or dies.
    Worker { steps: u64, dice: Dice },
    /// The home's owner, who edits records by hand.
    Owner { edits: u64, dice: Dice },
}

impl Process {
    fn run(self, stage: Stage<'_>) {
        match self {
            Process::Recorder(groups) => groups.into_iter().for_each(|requests| stage.record(requests)),
            Process::Worker { mut steps, mut dice } => {
                while steps > 0 && !stage.machine.is_dark() {
                    stage.machine.revive();
                    let _ = stage.serve(&mut steps, &mut dice);
                }
            }
            Process::Owner { edits, mut dice } => {
                for _ in 0..edits {
                    let _ = stage.edit(&mut dice);
                }
            }
        }
    }
}

impl<'s> Stage<'s> {
    fn world(&self) -> MutexGuard<'s, World> {
        lock(self.world)
    }

    fn temporary(&self) -> Result<Dir, Error> {
        Ok(self.home.private_folder("tmp")?)
    }

    fn record(self, requests: Vec<Request>) {
        self.machine.revive();
        let policy = Policy { index_wait: Some(Duration::ZERO), ..Policy::new(Redaction::off()) };
        let Ok(mut recorder) = Recorder::new(self.home, policy) else { return };
        let records: Vec<_> = requests.iter().map(|request| request.record.clone()).collect();
        for (outcome, record) in recorder.record_all(requests).into_iter().zip(records) {
            match outcome {
                Ok(receipt) => {
                    let files = files_of(receipt.id, receipt.created_at, &record);
                    self.world().promised.push(Promise { id: receipt.id, files });
                }
                Err(_) if self.machine.is_dark() => {}
                Err(_) => drop(self.world().refused.insert(record.headline().to_owned())),
            }
        }
    }

    /// Edits the file of a record, and waits until that is durable.
    fn edit(self, dice: &mut Dice) -> Result<(), Error> {
        self.machine.revive();
        let temporary = self.temporary()?;
        // By their paths, since those that were acknowledged when the power went are in no order.
        let mut files: Vec<_> = self.world().promised.iter().map(|promise| promise.files[0].clone()).collect();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        if files.is_empty() {
            return Ok(());
        }
        let file = dice.one_of(&files).clone();
        let (folder, name) = file.path.rsplit_once('/').expect("it is in a folder");
        let folder = self.home.dir().folder(folder)?;
        let found = folder.content(name, u64::MAX)?;
        if found.is_none_or(|found| found != file.text.as_bytes()) {
            return Ok(());
        }
        let text = format!("{}\nEdited by hand.\n", file.text).into_bytes();
        self.world().edits.insert(file.path.clone(), Edit { text: text.clone(), durable: false });
        folder.replace(name, &text, &temporary, Durability::Full)?;
        let _ = self.home.dir().sync_file_system()?;
        self.world().edits.insert(file.path, Edit { text, durable: true });
        Ok(())
    }

    /// A worker's life, until a step fails.
    fn serve(self, steps: &mut u64, dice: &mut Dice) -> Result<(), Error> {
        *steps -= 1;
        let lock = self.lock()?;
        let mut committer = self.committer(&lock)?;
        while *steps > 0 {
            *steps -= 1;
            if self.batch(&mut committer)? && dice.below(6) == 0 {
                // What is committed by now has to be durable without anybody's help.
                self.machine.cut();
            }
            if dice.below(2) == 0 {
                lock.journal().rotate()?;
            }
            self.prune(&committer)?;
        }
        Ok(())
    }

    fn lock(self) -> Result<Exclusive<'s>, Error> {
        // A machine has one worker at a time; but a process that another test is just starting has, for an instant, every
        // file open that this one has, and so the last worker's lock.
        let lock = WorkerLock::take_for_worker(self.real, Duration::from_secs(60))?;
        Ok(Exclusive::simulated(self.home, lock.expect("nobody starts a process for so long")))
    }

    /// What `Committer::open` makes, with the world in the place of git.
    fn committer<'c>(self, exclusive: &'c Exclusive<'c>) -> Result<Committer<'c>, Error>
    where
        's: 'c,
    {
        let journal = self.home.journal();
        journal.ensure_first()?;
        journal.ensure_header()?;
        let position = self.world().position;
        let from = position.map(|position| Reader::from_position(journal, position)).transpose()?.flatten();
        let from = from.map_or_else(|| Reader::from_start(journal), |reader| Ok(Some(reader)))?;
        let reader = from.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?;
        Ok(Committer {
            home: self.home,
            options: Options::default(),
            applier: Applier::new(self.home)?,
            quarantine: Quarantine::new(self.home)?,
            index: None,
            history: self.history.clone(),
            journal_id: JournalId::default(),
            state: State {
                boot: String::new(),
                committed: true,
                rows_owed: Some(reader.position()),
                ..State::of_new(JournalId::default())
            },
            committed: reader.position(),
            committed_segment: reader.segment(),
            records: Records::of(reader),
            removed: HashSet::new(),
            owed_keys: HashMap::new(),
            void: None,
            pending: Vec::new(),
            pending_bytes: 0,
            change: None,
            has_joined: false,
            passed_over: PassedOver::default(),
            last_commit: Instant::now(),
            counts: Counts::default(),
            repacking: None,
            adopted: None,
            exclusive,
        })
    }

    /// What `Committer::commit` does, with the world in the place of rows and git. Returns whether there was anything.
    fn batch(self, committer: &mut Committer<'_>) -> Result<bool, Error> {
        committer.look()?;
        let Some((position, segment)) = committer.pending.last().map(|last| (last.end, last.segment)) else {
            return Ok(false);
        };
        let Some(proof) = committer.sync_journal()? else { return self.batch(committer) };
        let pending = std::mem::take(&mut committer.pending);
        let mut intents = committer.apply_all(&pending, &proof, &mut HashSet::new())?.intents;
        intents.retain(|intent| !self.world().is_committed(intent.id));
        let folders: BTreeSet<_> = super::domain_folders(&intents).map(str::to_owned).collect();
        for folder in folders {
            let text = self.world().page(&folder, &intents);
            committer.applier.page(&folder, text).map_err(|source| Error::Page { folder, source })?;
        }
        let mut world = self.world();
        world.committed.extend(intents);
        world.position = Some(position);
        committer.pending_bytes = 0;
        (committer.committed, committer.committed_segment) = (position, segment);
        Ok(true)
    }

    fn prune(self, committer: &Committer<'_>) -> Result<u64, Error> {
        remove_finished(committer.exclusive, committer.committed_segment, || Ok(true))
    }

    /// What recovery does after a boot: sweeps, looks whether what was committed is still there, commits what is pending
    /// and brings back what is gone.
    fn recover(self) -> Result<(), Error> {
        let temporary = self.temporary()?;
        for name in temporary.names()? {
            temporary.remove(&name)?;
        }
        let lock = self.lock()?;
        let mut committer = self.committer(&lock)?;
        let gone = self.gone(&committer)?;
        while self.batch(&mut committer)? {}
        if !gone.is_empty() {
            let mut appender = Appender::open(self.home.journal())?;
            let _ = appender.append(&gone)?.sync()?;
            while self.batch(&mut committer)? {}
        }
        let domains = self.world().domains();
        for folder in domains {
            let text = self.world().page(&folder, &[]);
            committer.applier.page(&folder, text).map_err(|source| Error::Page { folder, source })?;
        }
        self.prune(&committer)?;
        Ok(())
    }

    /// Of what is committed, the intents whose files are not in place, as an audit finds them in git.
    fn gone(self, committer: &Committer<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let mut gone = Vec::new();
        let committed = self.world().committed.clone();
        for intent in committed {
            let applied = committer.applier.applied(&intent);
            if applied.map_err(|source| Error::Apply { id: intent.id, source })?.is_none() {
                gone.push(serde_json::to_vec(&intent).expect("an intent is made of strings and numbers"));
            }
        }
        Ok(gone)
    }
}
