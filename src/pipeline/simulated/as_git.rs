//! The simulated history answers as git does: the same commits go into both, and both are asked everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;

use super::commits::FakeCommits;
use super::world::Promise;
use super::{Life, Ops, Real, files_of, lock, open};
use crate::home::Home;
use crate::journal::{Appender, Synced};
use crate::model::path::state_file;
use crate::model::position::Position;
use crate::model::{Change, FileImage, Intent, JournalId, Op, Provenance, RecordId, RecordPath, Revision};
use crate::page::{Presence, StateFile};
use crate::quarantine::Quarantine;
use crate::target::Batch;
use crate::target::commits::{Commits, GitCommits};
use crate::target::history::{Changes, Committed, HistoryOptions};

/// How many histories are made, and how many commits each has.
const HISTORIES: u64 = 2;
const COMMITS: usize = 24;

#[test]
fn the_simulated_history_answers_as_git_does() {
    let real = Real::new();
    for seed in 1..=HISTORIES {
        let mut life = Life::begin(seed, Ops::All, &real);
        let simulated = open(&life.machine);
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().join("home");
        crate::init::init(&path, HistoryOptions::default(), "").expect("a home");
        let home = Home::open(&path).expect("it is a home");
        let journal = JournalId(uuid::Uuid::from_u128(seed.into()));
        let git = GitCommits::open(&home, journal, HistoryOptions::default()).expect("it has a history");
        let mut both = Both { git, quarantine: Quarantine::new(&home).expect("it has one"), names: BTreeMap::new() };
        let mut paths: BTreeSet<String> = BTreeSet::from(["memory/none.md".to_owned()]);
        let mut ids = vec![RecordId::new()];
        for number in 0..COMMITS {
            let step = life.step(&simulated, number);
            match &step {
                Step::Records(intents) => ids.extend(intents.iter().map(|intent| intent.id)),
                Step::Change(op, _) => ids.push(op.of()),
            }
            paths.extend(step.paths());
            let mut fake = FakeCommits { stage: life.stage(&simulated), journal };
            let synced = entry(&home);
            both.commit(&mut fake, &step, &synced, number);
            if number % 8 == 7 {
                both.compare(&fake, &paths, &ids);
            }
        }
    }
}

/// What the next commit has.
enum Step {
    Records(Vec<Intent>),
    Change(Op, Files),
}

/// The files that an operation changes, and those that it removes.
struct Files(Vec<FileImage>, Vec<String>);

impl Step {
    fn paths(&self) -> Vec<String> {
        match self {
            Step::Records(intents) => intents.iter().flat_map(|it| &it.files).map(|file| file.path.clone()).collect(),
            Step::Change(_, Files(files, removed)) => {
                files.iter().map(|file| &file.path).chain(removed).cloned().collect()
            }
        }
    }
}

/// A proof for the commits of `home`.
fn entry(home: &Home) -> Synced<Position> {
    let mut appender = Appender::open(home.journal()).expect("it opens");
    let written = appender.append(&["{}"]).expect("it is written");
    written.sync().expect("it is synced")
}

impl Life<'_> {
    /// Records, or an operation on one of them: perhaps one that the history has already, or of an unknown record.
    fn step(&mut self, home: &Home, number: usize) -> Step {
        if number == 0 || self.dice.below(4) == 0 {
            return Step::Records((0..1 + self.dice.below(3)).map(|_| self.intent()).collect());
        }
        let mut dice = self.dice.clone();
        self.dice.next();
        if dice.below(12) == 0 {
            let (of, op) = (RecordId::new(), uuid::Uuid::from_u128(number as u128));
            let revision = Revision { n: 2, op };
            let (base, at) = (Revision::first(of), jiff::Timestamp::UNIX_EPOCH);
            let change = Change { of, revision, base, at, path: None, because: None };
            let state = StateFile::of_change(&change, Presence::Retracted);
            let file = FileImage { path: state.path(), text: state.text() };
            return Step::Change(Op::Retract(change), Files(vec![file], Vec::new()));
        }
        let view = self.stage(home).view(&mut dice).expect("readable").expect("there is a record");
        let op = view.op(&mut dice);
        let files = self.files_of_change(&op, view.path());
        Step::Change(op, files)
    }

    fn intent(&mut self) -> Intent {
        let (id, created_at, record) = (RecordId::new(), crate::fs::now(), self.record());
        let files = files_of(id, created_at, &record, None);
        lock(&self.world).promised.push(Promise { id, keyed: false, files: files.clone() });
        Intent {
            id,
            created_at,
            key: None,
            record,
            provenance: Provenance::default(),
            amended: None,
            files,
            from: None,
        }
    }

    fn files_of_change(&self, op: &Op, path: &str) -> Files {
        let world = lock(&self.world);
        let both = || std::iter::once(path.to_owned()).chain(RecordPath(path).log());
        let state = |change: &Change, state| {
            let state = StateFile::of_change(change, state);
            FileImage { path: state.path(), text: state.text() }
        };
        match op {
            Op::Amend(amendment) => Files(amendment.record.files.clone(), Vec::new()),
            Op::Retract(change) => Files(vec![state(change, Presence::Retracted)], both().collect()),
            Op::Restore(change) => {
                let last = |path: String| {
                    let text = String::from_utf8(world.history.versions.get(&path)?.last()?.clone()).ok()?;
                    Some(FileImage { path, text })
                };
                Files(both().filter_map(last).chain([state(change, Presence::Restored)]).collect(), Vec::new())
            }
            Op::Record(_) | Op::Erase { .. } => Files(Vec::new(), Vec::new()),
        }
    }
}

/// The real history, beside the simulated one.
struct Both<'h> {
    git: GitCommits<'h>,
    quarantine: Quarantine,
    /// The simulated name of each commit, by git's.
    names: BTreeMap<String, String>,
}

impl Both<'_> {
    fn commit(&mut self, fake: &mut FakeCommits<'_>, step: &Step, synced: &Synced<Position>, number: usize) {
        let mut done = Vec::new();
        for commits in [fake as &mut dyn Commits, &mut self.git] {
            let mut batch = Batch::new(*synced.get(), &self.quarantine);
            match step {
                Step::Records(intents) => {
                    batch.intents.clone_from(intents);
                    let (path, text) = ("memory/heuristics/ci/README.md".to_owned(), format!("{}\n", number / 2));
                    batch.pages.push(FileImage { path, text });
                }
                Step::Change(op, Files(files, removed)) => {
                    batch.change = Some(Changes { op, files: files.clone(), removed: removed.clone() });
                }
            }
            commits.apply(&mut batch, synced).expect("it can be committed");
            done.push(match batch.done.committed.expect("it says so") {
                Committed::New { records, .. } => Some(records),
                Committed::Nothing => None,
            });
        }
        assert_eq!(done[0], done[1], "what commit {number} has");
        let tips = [fake.tip().expect("a tip"), self.git.tip().expect("a tip")];
        if let [Some(simulated), Some(git)] = tips {
            self.names.insert(git, simulated);
        }
    }

    fn compare(&self, fake: &FakeCommits<'_>, paths: &BTreeSet<String>, ids: &[RecordId]) {
        let all = || paths.iter().cloned().chain(ids.iter().map(|id| state_file(*id)));
        let same = |what: &str, ask: &dyn Fn(&dyn Commits) -> String| {
            assert_eq!(ask(fake), ask(&self.git), "{what}");
        };
        same("each_file", &|commits| {
            let mut files = BTreeMap::new();
            let visit = &mut |file: &dyn crate::target::commits::CommittedFile| {
                files.insert(file.path().to_owned(), text(&file.read().expect("readable")));
                ControlFlow::Continue(())
            };
            commits.each_file(visit).expect("readable");
            format!("{files:#?}")
        });
        same("introduced", &|commits| shown(commits.introduced(all().collect())));
        same("present", &|commits| {
            let paths: Vec<String> = all().collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            shown(commits.present(&paths).map(BTreeSet::from_iter))
        });
        same("has_operations", &|commits| commits.has_operations().expect("readable").to_string());
        same("removed_by", &|commits| {
            let removed = commits.removed_by(all().collect()).expect("readable");
            let name = |commit: String| self.names.get(&commit).cloned().unwrap_or(commit);
            let removed = removed.into_iter().map(|(path, commit)| (path, name(commit)));
            format!("{:#?}", removed.collect::<BTreeMap<_, _>>())
        });
        for id in ids {
            same("page_before_retraction", &|commits| shown(commits.page_before_retraction(*id)));
        }
        for path in &all().collect::<BTreeSet<_>>() {
            same(path, &|commits| self.of_path(commits, path));
        }
    }

    /// All that is asked about one path.
    fn of_path(&self, commits: &dyn Commits, path: &str) -> String {
        let mut versions = Vec::new();
        let visit = &mut |bytes: &[u8]| {
            versions.push(bytes.to_vec());
            ControlFlow::Continue(())
        };
        commits.each_version(path, visit).expect("readable");
        let cut = |version: &Vec<u8>| version.get(..512).unwrap_or_default().to_vec();
        let wrote: Vec<bool> = versions
            .iter()
            .flat_map(|version| [cut(version), version[..version.len() / 2].to_vec(), b"edited".to_vec()])
            .map(|bytes| commits.wrote(path, &bytes).expect("readable"))
            .collect();
        let had: Vec<bool> = versions.iter().map(|version| commits.had(path, version).expect("readable")).collect();
        let last = commits.last_of(path).expect("readable").as_deref().map(text);
        let read = commits.read(path).expect("readable").as_deref().map(text);
        let versions: Vec<String> = versions.iter().map(|version| text(version)).collect();
        let nothing = commits.had(path, b"edited").expect("readable");
        format!("{read:?} {last:?} {versions:#?} {had:?} {wrote:?} {nothing}")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown<T: Debug, E: Debug>(answer: Result<T, E>) -> String {
    format!("{:#?}", answer.expect("readable"))
}
