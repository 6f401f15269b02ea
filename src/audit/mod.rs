//! An audit: what each of the three stores says about each record. It changes nothing.
//!
//! `verify` lists the disagreements; `recover` and `repair` act on them. `classify` is the table of evidence and action.

mod classify;
mod companions;
mod content;
mod given_up;
mod left;
mod pending;
mod revisions;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::rc::Rc;

use serde::Serialize;

pub use classify::{Action, Evidence, File, History as HistoryState, Row, State, classify};

use self::{given_up::leave_given_up, pending::pending_paths, revisions::Known, walk::is_one_for_each_record};
use companions::{is_ours, is_torn_companion};
use content::has_edit;
pub(crate) use walk::walk;

use crate::fs::{self, Dir};
use crate::home::Home;
use crate::journal;
use crate::model::layout::ROOTS;
use crate::model::path::{is_companion, of_state_file, state_file};
use crate::model::position::Position;
use crate::model::{RecordId, RecordPath};
use crate::page::{self, StateFile};
use crate::progress::{Counter, Progress};
use crate::target::commits::{CommittedFile, ReadCommits, sum_of};
use crate::target::files::is_torn;
use crate::target::{history, index, rows::ReadRows};

/// A larger file is not a record's.
const READ_BYTES_MAX: u64 = page::PAGE_BYTES_MAX as u64;

/// Why an audit failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The history could not be read.
    #[error(transparent)]
    History(#[from] history::Error),
}

/// One path that at least one store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The record's page; relative to the home.
    pub path: String,
    /// The record, if a file or a row names it.
    pub id: Option<RecordId>,
    /// The record that the index has at this path.
    pub indexed: Option<RecordId>,
    /// What the stores say.
    pub evidence: Evidence,
    /// What the record's state file says, if a store knows it.
    pub state: Option<StateFile>,
    /// Whether the history lacks that state file, or has an earlier one.
    pub state_is_later: bool,
    /// The action that follows.
    pub action: Action,
}

/// The audit's result.
#[derive(Debug, Default)]
pub struct Audit {
    /// How many records the three stores have together.
    pub records: u64,
    /// How many of them wait to be committed.
    pub pending: u64,
    /// Where the stores disagree, by path.
    pub findings: Vec<Finding>,
    /// Records whose files were edited by hand, and say what neither row nor history does. Empty unless it was
    /// [asked for](Stores::wants_edits).
    pub edited: Vec<(String, Option<RecordId>)>,
    /// Experiments' logs and domains' pages that the history has, and of which the disk has nothing or only the start.
    pub missing_companions: Vec<String>,
    /// Files that carry the id of a record but are not its own file.
    pub copies: Vec<Copied>,
    /// Whether a record was ever amended, retracted, restored or erased here, as far as any store knows.
    pub has_operations: bool,
}

impl Audit {
    /// Whether recovery can do something about the findings.
    pub fn has_something_to_do(&self) -> bool {
        !self.missing_companions.is_empty() || self.findings.iter().any(|it| it.action.is_repaired())
    }
}

/// A record's file that its owner copied. The copy is the owner's: no other store has it, and nothing adds it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The copy; relative to the home.
    pub path: String,
    /// The record's own file.
    pub of: String,
}

/// What was collected about one path.
#[derive(Clone, Debug, Default)]
struct Collected {
    file: Option<FileSeen>,
    row: Option<RowSeen>,
    in_tree: bool,
    /// The record that the tree, or a state file, names, if no row at this path does.
    named: Option<RecordId>,
    /// Shown by the tree's blob, if it was read: the file is torn, or it is at another path (`moved`).
    torn: bool,
    moved: bool,
    /// The file says something else than the tree's blob.
    edited: bool,
}

#[derive(Clone, Copy, Debug)]
struct FileSeen {
    id: Option<RecordId>,
    /// The [sum](sum_of) of its bytes, if edits are looked for.
    sum: u64,
}

#[derive(Clone, Copy, Debug)]
struct RowSeen {
    id: RecordId,
    /// Whether its table has the row that the index names.
    is_whole: bool,
}

impl Collected {
    /// The records of this path: normally one.
    fn ids(&self) -> impl Iterator<Item = RecordId> + use<> {
        [self.row.map(|row| row.id), self.named, self.file.and_then(|file| file.id)].into_iter().flatten()
    }

    /// Whether the file is another record's than the row's, or than the tree's.
    fn has_anothers_file(&self) -> bool {
        let owner = self.row.map(|row| row.id).or(self.named);
        let file = self.file.and_then(|file| file.id);
        owner.zip(file).is_some_and(|(owner, file)| owner != file)
    }
}

/// The input of an audit.
#[derive(Clone, Copy)]
pub struct Stores<'s> {
    /// The home.
    pub home: &'s Home,
    /// Its index, unless it is lost.
    pub index: Option<&'s dyn ReadRows>,
    /// Its history, unless it is lost.
    pub history: Option<&'s dyn ReadCommits>,
    /// The position up to which the journal is committed; `None` to treat all of it as pending.
    pub committed: Option<Position>,
    /// Whether the journal may come from a backup: then it does not say whether there were operations.
    pub is_journal_doubted: bool,
    /// Whether files are looked at for edits by hand.
    pub wants_edits: bool,
}

/// Runs an audit.
///
/// # Errors
/// Every [`Error`].
pub fn audit(stores: &Stores<'_>, progress: &mut dyn Progress) -> Result<Audit, Error> {
    let mut collecting = Collecting { wants_edits: stores.wants_edits, ..Collecting::default() };
    collecting.known.had_operations = stores.is_journal_doubted || stores.home.journal().takes_operations()?;
    let records = stores.index.and_then(|index| index.count().ok()).unwrap_or(0);
    collecting.files(stores.home, records, progress)?;
    stores.index.map_or(Ok(()), |index| collecting.rows(index, records, progress))?;
    if let Some(history) = stores.history {
        collecting.tree(stores.home, history, progress)?;
    }
    // What was recorded meanwhile is in the journal by now. Reading the journal last counts it as pending.
    let pending = pending_paths(stores.home.journal(), stores.committed)?;
    let mut audit = collecting.judge(stores.home, stores.history, &pending)?;
    leave_given_up(stores.home, &mut audit)?;
    Ok(audit)
}

/// The pages of all records that have files or are in the history, for when the index is lost; and whether the branch's
/// tree has them, which it does not for copies of a record's file.
///
/// # Errors
/// Every [`Error`].
pub fn audit_files(stores: &Stores<'_>, progress: &mut dyn Progress) -> Result<Vec<(String, bool)>, Error> {
    let mut collecting = Collecting::default();
    collecting.files(stores.home, 0, progress)?;
    if let Some(history) = stores.history {
        collecting.tree(stores.home, history, progress)?;
    }
    let is_record = |it: &Collected| it.file.is_some_and(|file| file.id.is_some()) || it.in_tree && !it.moved;
    let records = collecting.paths.into_iter().filter(|(_, it)| is_record(it));
    Ok(records.map(|(path, it)| (path.to_string(), it.in_tree)).collect())
}

#[derive(Default)]
struct Collecting {
    paths: BTreeMap<Rc<str>, Collected>,
    /// The path of each record's file.
    places: HashMap<RecordId, Rc<str>>,
    /// The records whose id more than one file carries.
    copied: HashSet<RecordId>,
    companions: HashSet<String>,
    /// The pages of retracted experiments of which the log alone is left.
    left_logs: HashSet<String>,
    /// Whether the rows were read.
    has_rows: bool,
    missing_companions: Vec<String>,
    /// What the stores say about revisions and state files.
    known: Known,
    wants_edits: bool,
}

impl Collecting {
    /// Reads the files of about `records` records; 0 if their number is unknown.
    fn files(&mut self, home: &Home, records: u64, progress: &mut dyn Progress) -> Result<(), Error> {
        let mut counter = Counter::begin(progress, "reading files", records);
        for folder in ROOTS {
            walk(home.dir(), folder, &mut |dir, name, path| {
                if is_one_for_each_record(path) {
                    counter.one();
                }
                self.file(dir, name, path)
            })?;
        }
        counter.end();
        Ok(())
    }

    fn file(&mut self, dir: &Dir, name: &str, path: &str) -> Result<(), Error> {
        if is_companion(path) {
            self.companions.insert(path.to_owned());
            return Ok(());
        }
        if let Some(id) = of_state_file(path) {
            let bytes = dir.content(name, READ_BYTES_MAX)?.unwrap_or_default();
            self.known.states.insert(id, StateFile::parse(id, &bytes));
            return Ok(());
        }
        let (mut revision, mut sum) = (None, 0);
        let id = match dir.content(name, READ_BYTES_MAX) {
            Ok(bytes) => {
                let id = bytes.as_deref().and_then(page::id_of);
                sum = bytes.as_deref().filter(|_| self.wants_edits).map_or(0, sum_of);
                revision = id.zip(bytes).and_then(|(id, bytes)| page::later_revision_of(id, &bytes));
                id
            }
            Err(fs::Error::Refused { .. }) => None,
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => None,
            Err(error) => return Err(error.into()),
        };
        let path: Rc<str> = path.into();
        if let Some(id) = id
            && *self.places.entry(id).or_insert_with(|| path.clone()) != path
        {
            self.copied.insert(id);
        }
        self.known.file_revisions.extend(revision.map(|revision| (path.clone(), revision)));
        self.paths.entry(path).or_default().file = Some(FileSeen { id, sum });
        Ok(())
    }

    fn rows(&mut self, index: &dyn ReadRows, records: u64, progress: &mut dyn Progress) -> Result<(), Error> {
        self.has_rows = true;
        let mut counter = Counter::begin(progress, "reading rows", records);
        index.each(&mut |known| {
            counter.one();
            let row = RowSeen { id: known.id, is_whole: known.row_id.is_some() };
            self.paths.entry(RecordPath(&known.path).page().into()).or_default().row = Some(row);
        })?;
        index.each_amended(&mut |id, revision| self.known.revisions.extend([(id, revision)]))?;
        index.each_mark(&mut |mark| self.known.marks.extend([(mark.of, mark)]))?;
        counter.end();
        Ok(())
    }

    fn tree(&mut self, home: &Home, history: &dyn ReadCommits, progress: &mut dyn Progress) -> Result<(), Error> {
        // It has about what files and rows have.
        let mut counter = Counter::begin(progress, "reading the history", self.paths.len() as u64);
        let mut failed = None;
        history.each_file(&mut |file| {
            if is_one_for_each_record(file.path()) {
                counter.one();
            }
            failed = self.known_file(home, file).err();
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        counter.end();
        failed.map_or(Ok(()), Err)
    }

    fn tree_file(&mut self, home: &Home, file: &dyn CommittedFile) -> Result<(), Error> {
        let path = file.path();
        if let Some(id) = of_state_file(path) {
            let state = StateFile::parse(id, &file.read()?);
            let on_disk = self.known.states.get(&id).and_then(Option::as_ref);
            // A later one on disk is not committed yet.
            if state.as_ref().is_some_and(|state| on_disk.is_none_or(|it| it.rank() < state.rank())) {
                self.missing_companions.push(path.to_owned());
            }
            self.known.committed_states.extend(state.map(|state| (id, state)));
            return Ok(());
        }
        if is_companion(path) {
            if !self.companions.contains(path) || is_torn_companion(home, file)? {
                let blob = file.read()?;
                if is_ours(path, &blob) && !self.has_moved(path, &blob) {
                    self.missing_companions.push(path.to_owned());
                }
            }
            return Ok(());
        }
        let places = &self.places;
        let Some(collected) = self.paths.get_mut(path) else {
            return self.tree_only(file);
        };
        collected.in_tree = true;
        // A home that never had an operation has no revisions to compare: that would be a blob for each record.
        let id = collected.ids().next().filter(|id| self.known.may_differ(*id, path));
        if let Some(revision) = id.map(|id| Ok::<_, Error>(page::later_revision_of(id, &file.read()?))).transpose()? {
            self.known.tree_revisions.extend(revision.map(|revision| (path.into(), revision)));
        }
        // Only a record without a row is worth a blob.
        if collected.row.is_none() && self.has_rows && collected.file.is_some_and(|file| file.id.is_some()) {
            collected.named = page::id_of(&file.read()?);
        }
        match collected.file {
            // With its id in place it is whole or edited, unless it is exactly what a power cut leaves.
            Some(FileSeen { id: Some(_), sum }) => {
                collected.edited = self.wants_edits && sum != file.sum()? && has_edit(home, file)?;
                let size = home.dir().find(path)?.map_or(0, |found| found.size);
                if size.is_multiple_of(512)
                    && let Some(bytes) = home.dir().content(path, READ_BYTES_MAX)?
                {
                    collected.torn = is_torn(&bytes, &file.read()?);
                }
            }
            // If git has a record at this path, a file without an id is torn, or not the record's. If git's version has
            // no id either, it is its owner's own, from before the home was adopted.
            Some(FileSeen { id: None, .. }) => {
                collected.named = page::id_of(&file.read()?);
                collected.torn = collected.named.is_some();
                collected.in_tree = collected.torn || collected.row.is_some();
            }
            None => {
                let id = collected.row.map(|row| row.id);
                collected.moved = id.is_some_and(|id| places.get(&id).is_some_and(|place| **place != *path));
            }
        }
        Ok(())
    }

    /// A path that only the history has. It is a record's only if its blob says so.
    fn tree_only(&mut self, file: &dyn CommittedFile) -> Result<(), Error> {
        if let Some(id) = page::id_of(&file.read()?) {
            let moved = self.places.contains_key(&id);
            let named = Some(id).filter(|_| !moved);
            let collected = Collected { in_tree: true, named, moved, ..Collected::default() };
            self.paths.insert(file.path().into(), collected);
        }
        Ok(())
    }

    fn judge(
        mut self,
        home: &Home,
        history: Option<&dyn ReadCommits>,
        pending: &HashSet<String>,
    ) -> Result<Audit, Error> {
        let missing = std::mem::take(&mut self.missing_companions);
        let missing_companions = missing.into_iter().filter(|path| !self.have_moved(path)).collect();
        self.find_left(home, history)?;
        self.unnamed(history)?;
        let removed = self.removed(history, pending)?;
        // Most records have one file, at the path of their row, and are not looked up by id: in a large home that would
        // take much memory.
        let file_id = |it: &Collected| it.file.and_then(|file| file.id);
        let strayed = |id: &RecordId, it: &Collected| file_id(it) != Some(*id) || self.copied.contains(id);
        let rows = self.paths.iter().filter_map(|(path, it)| Some((it.row?.id, &**path, it)));
        let known_ids: HashMap<RecordId, &str> =
            rows.filter(|(id, _, it)| strayed(id, it)).map(|(id, path, _)| (id, path)).collect();
        let files_in_tree = self.paths.iter().filter(|(_, it)| it.in_tree);
        let in_tree: HashMap<RecordId, &str> = files_in_tree
            .filter_map(|(path, it)| Some((file_id(it)?, &**path)))
            .filter(|(id, _)| self.copied.contains(id))
            .collect();
        let has_operations = self.known.has_operations();
        let mut audit = Audit { missing_companions, has_operations, ..Audit::default() };
        for (path, collected) in self.paths.iter().map(|(path, it)| (&**path, it)) {
            let file_id = file_id(collected);
            // An owner's own file, which none of indelible's stores names.
            let is_known = collected.row.is_some() || collected.named.is_some() || collected.in_tree;
            if file_id.is_none() && !is_known && !pending.contains(path) {
                continue;
            }
            // A file that another store has at another path: its owner copied or moved it.
            let own =
                file_id.and_then(|id| known_ids.get(&id).or_else(|| in_tree.get(&id))).filter(|own| **own != path);
            if let Some(&own) = own
                && collected.row.is_none()
                && !collected.in_tree
            {
                self.put_stray(&mut audit, (home, history), path, own, pending)?;
                continue;
            }
            let evidence = evidence(path, collected, &known_ids, &self.places, pending, &removed);
            let id = collected.ids().next();
            let (evidence, state, action) = self.classified(home, history, path, id, evidence)?;
            if collected.edited && matches!(evidence.file, File::Current | File::Edited) && action == Action::Nothing {
                audit.edited.push((path.to_owned(), id));
            }
            audit.records += 1;
            audit.pending += u64::from(action == Action::Wait);
            if action.is_disagreement() {
                let state_is_later = state.as_ref().is_some_and(|state| self.known.is_later(state));
                let (path, indexed) = (path.to_string(), collected.row.map(|row| row.id));
                audit.findings.push(Finding { path, id, indexed, evidence, state, state_is_later, action });
            }
        }
        Ok(audit)
    }

    /// Adds the records that only a state file or a mark names. One that was restored is where the history had it.
    fn unnamed(&mut self, history: Option<&dyn ReadCommits>) -> Result<(), Error> {
        for id in self.known.unnamed(self.paths.values().flat_map(Collected::ids)) {
            let path = match history {
                Some(history) if self.known.is_restored(id) => history.page_before_retraction(id)?,
                _ => None,
            };
            self.paths.entry(path.unwrap_or_else(|| state_file(id)).into()).or_default().named.get_or_insert(id);
        }
        Ok(())
    }

    /// The paths that the branch's tree lacks and once had.
    fn removed(&self, history: Option<&dyn ReadCommits>, pending: &HashSet<String>) -> Result<BTreeSet<String>, Error> {
        let ours = |it: &Collected| it.ids().next().is_some();
        let absent = self.paths.iter().filter(|(path, it)| !it.in_tree && ours(it) && !pending.contains(&***path));
        let candidates: BTreeSet<String> = absent.map(|(path, _)| path.to_string()).collect();
        match history {
            Some(history) if !candidates.is_empty() => Ok(history.introduced(candidates)?),
            _ => Ok(BTreeSet::new()),
        }
    }
}

fn evidence(
    path: &str,
    collected: &Collected,
    known_ids: &HashMap<RecordId, &str>,
    places: &HashMap<RecordId, Rc<str>>,
    pending: &HashSet<String>,
    removed: &BTreeSet<String>,
) -> Evidence {
    let moved = collected.row.is_some_and(|row| places.get(&row.id).is_some_and(|place| **place != *path));
    let file = match collected.file {
        None if collected.moved || moved => File::Moved,
        None => File::Missing,
        Some(_) if collected.has_anothers_file() => match collected.ids().next().and_then(|id| places.get(&id)) {
            Some(_) => File::Moved,
            None => File::Another,
        },
        Some(FileSeen { id: None, .. }) => File::Torn,
        Some(FileSeen { id: Some(_), .. }) if collected.torn => File::Torn,
        Some(FileSeen { id: Some(_), .. }) => File::Current,
    };
    let by_id = collected.file.and_then(|file| file.id).is_some_and(|id| known_ids.contains_key(&id));
    let row = match collected.row {
        Some(RowSeen { is_whole: true, .. }) => Row::Present,
        Some(RowSeen { is_whole: false, .. }) => Row::Dangling,
        None if by_id => Row::Present,
        None => Row::Missing,
    };
    let history = match () {
        () if collected.in_tree => HistoryState::InTree,
        () if removed.contains(path) => HistoryState::Removed,
        () => HistoryState::Never,
    };
    Evidence { pending: pending.contains(path), file, row, history, state: State::None }
}
