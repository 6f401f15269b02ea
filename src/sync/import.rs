//! The import: what the trunk has and this home lacks comes by the journal, as if it had been recorded here.
//!
//! 1. It goes from the trunk as it was imported last to the trunk as it is. What differs is checked, appended to the journal, and
//!    synced; the worker applies it. Then the caller notes how far it is.
//! 2. All of it is from outside. A page is taken only if it is a plain file of its size, parses, has valid fields and times, lies
//!    where such a record lies, and is not known here. A known record is changed by a later revision of it alone.
//! 3. An entry says where it came from, so it is not committed here: its history is the trunk.
//! 4. State files are taken of records that this home has: the trunk has none of the others any more.
//! 5. What a person removed from the trunk stays here.
//! 6. Of one key on copies of a home the trunk's first page is the record: a home that has another one amends it to say the same. Its time,
//!    source and path stay.
//! 7. What other homes amended while a record was hidden comes with its restoration (`import/restored.rs`).
//! 8. If keys are a group's, a record whose key another one had first is retracted (`keys.rs`).
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the append | the trunk | the next import finds the same difference |
//! | after some of it, or before it is noted | entries in the journal | the next import appends them again: the same ids and revisions, without effect |

mod restored;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use git2::{Oid, Repository};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{self, Keyed};
use super::merge::{FILE_BYTES_MAX, Shape, amendment, page_of, shape_of};
use super::tree::{self, Difference, Doing as _, Found, Trees};
pub use super::whose::homes_of_pages;
use super::whose::{self, Sources};
use crate::fs::{self, Point, crash};
use crate::home::Home;
use crate::journal::{self, Appender, ENTRY_BYTES_MAX, Records};
use crate::model::{Change, FileImage, Intent, Kind, Level, Op, RecordId, RecordPath, Request, Revision, Source};
use crate::page::{self, Amendable, Parsed, Presence, StateFile, check_amended, check_time, is_path_of};
use crate::record::Keys;
use crate::target::index::{self, Index, Others};

/// How many entries are appended with one sync, and about how many bytes.
const GROUP: usize = 512;
const GROUP_BYTES: usize = 4 << 20;
/// How many of what was left out are named.
const NAMED_MAX: usize = 10;

/// Which records of others are imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// All of them.
    #[default]
    All,
    /// Rules, and the verdicts on them.
    Heuristics,
    /// None.
    None,
}

/// What is imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which records that are new here.
    pub what: What,
    /// Only records of this time or later, of those that are new here.
    pub since: Option<Timestamp>,
    /// Only records of so many days, of those that are new here. What is once too old is never imported.
    pub days: Option<u32>,
    /// Among whose records a key names one.
    pub keys: Keys,
}

impl Options {
    /// The time from which on records that are new here are imported, at the time `now`.
    fn from(&self, now: Timestamp) -> Option<Timestamp> {
        let seconds = self.days.map(|days| i64::from(days) * 24 * 3600);
        let of_days = seconds.and_then(|seconds| Timestamp::from_second(now.as_second() - seconds).ok());
        self.since.max(of_days)
    }

    /// Tells these options from others: what one leaves away, another may want.
    pub(super) fn key(&self) -> String {
        let keys = if self.keys == Keys::Group { " group" } else { "" };
        format!("{:?} {:?} {:?}{keys}", self.what, self.since, self.days)
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that are new here.
    pub records: u64,
    /// Amendments, retractions, restorations and erasures.
    pub changes: u64,
    /// Records that the options leave away.
    pub unwanted: u64,
    /// Files that are no records, or not where theirs lie.
    pub left_out: u64,
    /// Some of these, and what is wrong with each.
    pub named: Vec<(String, String)>,
}

/// Why an import failed. What was appended is kept, and does no harm when it comes again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository could not be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The journal could not be read or appended to.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A test's fault.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// Imports into `home` what the commit `to` of the trunk has and its commit `from` lacks. Waits no longer than `wait` for SQLite's
/// lock.
///
/// # Errors
/// Every [`Error`].
pub fn import(
    home: &Home,
    repository: &Repository,
    (from, to): (Option<Oid>, Oid),
    options: &Options,
    wait: Duration,
) -> Result<Imported, Error> {
    if options.what == What::None || from == Some(to) {
        return Ok(Imported::default());
    }
    let trees = Trees::of(repository)?;
    let tree_of = |id: Oid| Ok::<_, Error>(repository.find_commit(id).doing("reading a commit")?.tree_id());
    let differences = trees.differences(from.map(tree_of).transpose()?, Some(tree_of(to)?))?;
    if differences.is_empty() {
        return Ok(Imported::default());
    }
    let index = Index::open_to_read(&home.index_path(), wait, Others::MayWrite)?;
    index.check_schema()?;
    let mut importing = Importing {
        home,
        trees: &trees,
        options,
        since: options.from(Timestamp::now()),
        index,
        commit: to.to_string(),
        sources: whose::sources(repository, &trees, from, to)?,
        pending: OnceCell::new(),
        paths: HashMap::new(),
        keyed: Keyed::new(),
        restored: BTreeMap::new(),
        group: Vec::new(),
        group_bytes: 0,
        imported: Imported::default(),
    };
    let (mut states, mut pages) = (Vec::new(), Vec::new());
    for Difference { path, new, .. } in differences {
        let Some(found) = new else { continue };
        match shape_of(&path) {
            Shape::State(id) => states.push((id, found)),
            Shape::Page(_) => pages.push((path, found)),
            Shape::Derived => {}
            Shape::Other => importing.leave_out(&path, "no record lies there"),
        }
    }
    for (path, found) in pages {
        importing.page(path, found)?;
    }
    for (id, found) in states {
        importing.state(id, found)?;
    }
    importing.restored(tree_of(to)?)?;
    importing.keep()?;
    importing.retract_repeats(repository, to)?;
    Ok(importing.imported)
}

/// An import under way.
struct Importing<'i> {
    home: &'i Home,
    trees: &'i Trees<'i>,
    options: &'i Options,
    since: Option<Timestamp>,
    index: Index,
    /// The trunk's commit.
    commit: String,
    sources: Sources,
    /// The records in the journal, which the index may lack.
    pending: OnceCell<HashSet<RecordId>>,
    /// Where the pages of this import lie.
    paths: HashMap<RecordId, String>,
    /// The pages of this import that have keys, if a key is the group's.
    keyed: Keyed,
    /// The records whose restoration is new on the trunk, with its revision.
    restored: BTreeMap<RecordId, Revision>,
    group: Vec<Vec<u8>>,
    group_bytes: usize,
    imported: Imported,
}

/// What this home has of a record.
struct Known {
    /// The revision of its content; `None` if it has none.
    content: Option<Revision>,
    /// Its mark.
    mark: Option<StateFile>,
}

impl Importing<'_> {
    fn leave_out(&mut self, path: &str, why: &str) {
        self.imported.left_out += 1;
        if self.imported.named.len() < NAMED_MAX {
            self.imported.named.push((path.to_owned(), why.to_owned()));
        }
    }

    fn known(&self, id: RecordId) -> Result<Known, Error> {
        let mark = self.index.mark(id)?;
        let content = match self.index.find(id)? {
            Some(_) => Some(self.index.amended(id)?.map_or(Revision::first(id), |amended| amended.revision)),
            None => None,
        };
        Ok(Known { content, mark })
    }

    /// Whether the journal has the record `id`.
    fn is_pending(&self, id: RecordId) -> Result<bool, Error> {
        if self.pending.get().is_none() {
            let mut pending = HashSet::new();
            let mut records = Records::from_start(self.home.journal())?;
            while let Some(logged) = records.as_mut().map(Records::next_op).transpose()?.flatten() {
                pending.insert(logged.op.of());
            }
            let _ = self.pending.set(pending);
        }
        Ok(self.pending.get().is_some_and(|pending| pending.contains(&id)))
    }

    fn source(&self, file: Oid, path: &str) -> Option<Box<Source>> {
        let (home, lane) = self.sources.of(file, path).map_or((None, None), |(home, lane)| (Some(home), lane));
        Some(Box::new(Source { home, lane, commit: self.commit.clone() }))
    }

    /// Takes a page that is new on the trunk, or changed.
    fn page(&mut self, path: String, found: Found) -> Result<(), Error> {
        let bytes = if found.is_plain { self.trees.file(found.id, FILE_BYTES_MAX)? } else { None };
        let Some(bytes) = bytes else {
            self.leave_out(&path, "it is no plain file, or too large");
            return Ok(());
        };
        let Some(id) = page::id_of(&bytes) else {
            self.leave_out(&path, "it names no record");
            return Ok(());
        };
        if self.options.keys == Keys::Group {
            self.note_key(&path, &bytes);
        }
        let known = self.known(id)?;
        let revision = page::later_revision_of(id, &bytes).unwrap_or(Revision::first(id));
        if known.mark.is_some_and(|mark| mark.state.is_hidden()) {
            self.paths.insert(id, path);
            return Ok(());
        }
        if known.content.is_some_and(|content| content >= revision) {
            let is_first = known.content == Some(Revision::first(id)) && revision == Revision::first(id);
            return if is_first { self.repeat(id, &path, &bytes, found.id) } else { Ok(()) };
        }
        match checked(&path, &bytes) {
            Err(why) => self.leave_out(&path, &why),
            Ok((parsed, request)) => {
                let is_change = known.content.is_some() || parsed.amended().is_some() && self.is_pending(id)?;
                self.paths.insert(id, path.clone());
                match is_change {
                    true => self.amend(&path, parsed, &bytes, found.id)?,
                    false => self.record(path, (parsed, request), bytes, found.id)?,
                }
            }
        }
        Ok(())
    }

    /// Takes the content of a page on the trunk whose key this home has used as well: it is a copy of the one that recorded the page, or
    /// that is its copy, and the trunk's first is the record.
    fn repeat(&mut self, id: RecordId, path: &str, bytes: &[u8], file: Oid) -> Result<(), Error> {
        if id.time().is_some() {
            return Ok(());
        }
        let Ok((parsed, request)) = checked(path, bytes) else { return Ok(()) };
        let is_keyed = request.key.as_deref().is_some_and(|key| RecordId::of_key(self.home.id(), key) == id);
        let Some(own) = self.index.stored(id)?.filter(|own| is_keyed && own.known.created_at != parsed.created_at)
        else {
            return Ok(());
        };
        if own.known.kind != request.record.kind() {
            self.leave_out(path, "here its key names a record of another kind");
            return Ok(());
        }
        if page::differences(&own.request.record, &request.record).is_empty() {
            return Ok(());
        }
        let first = Revision::first(id);
        let revision = Revision { n: first.n + 1, op: Uuid::new_v5(&id.0, file.to_string().as_bytes()) };
        let (created_at, path) = (own.known.created_at, RecordPath(&own.known.path).page().into_owned());
        let (at, request_of_own) = (created_at.max(parsed.created_at), own.request);
        let own = Amendable {
            id,
            created_at,
            path: path.clone(),
            request: request_of_own,
            fields: BTreeMap::new(),
            revision: first,
            latest: first,
        };
        self.imported.changes += 1;
        self.push(&path, &own.replaced(request.record, revision, at))
    }

    fn amend(&mut self, path: &str, parsed: Parsed, bytes: &[u8], file: Oid) -> Result<(), Error> {
        let Some(mut op) = amendment(path, parsed, bytes) else { return Ok(()) };
        if let Op::Amend(amendment) = &mut op {
            amendment.record.from = self.source(file, path);
            self.base_on_restoration(&mut amendment.change)?;
        }
        self.imported.changes += 1;
        self.push(path, &op)
    }

    fn record(
        &mut self,
        path: String,
        (parsed, request): (Parsed, Request),
        bytes: Vec<u8>,
        file: Oid,
    ) -> Result<(), Error> {
        let kind = request.record.kind();
        let is_of_rules = matches!(kind, Kind::Heuristic | Kind::Verdict);
        let is_wanted = self.options.what == What::All || is_of_rules;
        if !is_wanted || self.since.is_some_and(|since| parsed.created_at < since) {
            self.imported.unwanted += 1;
            return Ok(());
        }
        let (id, created_at, amended) = (parsed.id, parsed.created_at, parsed.amended());
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let mut files = vec![FileImage { path: path.clone(), text }];
        if let Some(log) = RecordPath(&path).log() {
            let made = page::files(id, created_at, &request, Level::Day).into_iter().nth(1);
            files.extend(made.map(|made| FileImage { path: log, text: made.text }));
        }
        files.extend(page::outcome_file(id, created_at, &request.record, amended.as_ref(), &path));
        let Request { record, key, provenance } = request;
        let from = self.source(file, &path);
        let op = Op::Record(Box::new(Intent { id, created_at, key, record, provenance, amended, files, from }));
        self.imported.records += 1;
        self.push(&path, &op)
    }

    /// Takes a state file that is new on the trunk, or changed.
    fn state(&mut self, id: RecordId, found: Found) -> Result<(), Error> {
        let path = crate::model::path::state_file(id);
        let bytes = if found.is_plain { self.trees.file(found.id, FILE_BYTES_MAX)? } else { None };
        let Some(state) = bytes.and_then(|bytes| StateFile::parse(id, &bytes)) else {
            self.leave_out(&path, "it does not say what became of the record");
            return Ok(());
        };
        let known = self.known(id)?;
        let is_known = known.mark.as_ref().is_some_and(|mark| mark.rank() >= state.rank());
        if state.state == Presence::Restored && known.mark.as_ref().is_none_or(|mark| mark.rank() <= state.rank()) {
            self.restored.insert(id, state.revision);
        }
        if is_known {
            return Ok(());
        }
        let is_here = known.content.is_some() || known.mark.is_some();
        if !is_here && !self.is_pending(id)? {
            return Ok(());
        }
        let StateFile { of, revision, at, because, state } = state;
        if let Err(why) = check_time("created_at", at) {
            self.leave_out(&path, &why);
            return Ok(());
        }
        let page = self.paths.get(&id).cloned();
        let change = Change { of, revision, base: Revision::first(of), at, path: page, because };
        let op = match state {
            Presence::Restored => Op::Restore(change),
            Presence::Retracted => Op::Retract(change),
            Presence::Erased => Op::Erase { of, revision },
        };
        self.imported.changes += 1;
        self.push(&path, &op)
    }

    /// Notes the key of a page on the trunk.
    fn note_key(&mut self, path: &str, bytes: &[u8]) {
        if let Ok((parsed, Request { key: Some(key), .. })) = checked(path, bytes) {
            self.keyed.entry(key).or_default().insert((parsed.id, path.to_owned()));
        }
    }

    /// Retracts the records whose key another one had first, as far as they are here.
    fn retract_repeats(&mut self, repository: &Repository, trunk: Oid) -> Result<(), Error> {
        let mut keyed = std::mem::take(&mut self.keyed);
        if keyed.is_empty() {
            return Ok(());
        }
        self.index.each_key(&mut |key, id, path| {
            if let Some(records) = keyed.get_mut(key) {
                records.insert((id, path.to_owned()));
            }
        })?;
        for change in keys::repeats(repository, trunk, keyed)? {
            let known = self.known(change.of)?;
            let is_here =
                known.content.is_some() || self.paths.contains_key(&change.of) || self.is_pending(change.of)?;
            if is_here && known.mark.is_none() {
                let path = change.path.clone().unwrap_or_default();
                self.imported.changes += 1;
                self.push(&path, &Op::Retract(change))?;
            }
        }
        self.keep()
    }

    fn push(&mut self, path: &str, op: &Op) -> Result<(), Error> {
        let json = op.to_json();
        if json.len() + 64 > ENTRY_BYTES_MAX {
            self.leave_out(path, "it makes an entry that the journal does not take");
            return Ok(());
        }
        self.group_bytes += json.len();
        self.group.push(json);
        if self.group.len() >= GROUP || self.group_bytes >= GROUP_BYTES { self.keep() } else { Ok(()) }
    }

    /// Appends what was taken, and syncs it.
    fn keep(&mut self) -> Result<(), Error> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        if !group.is_empty() {
            let journal = self.home.journal();
            crash::at(Point::ImportBeforeAppend).map_err(fs::Error::io("append to", journal.dir().path()))?;
            let _ = Appender::open_for_operations(journal)?.append(&group)?.sync()?;
        }
        Ok(())
    }
}

/// The page of a record at `path`, if it is one that such a record can have.
///
/// # Errors
/// What is wrong with it.
fn checked(path: &str, bytes: &[u8]) -> Result<(Parsed, Request), String> {
    let mut parsed = match page::parse(bytes) {
        Err(error) => return Err(error.to_string()),
        Ok(_) => page_of(bytes).ok_or("it is no record's own page")?,
    };
    let request = parsed.request.clone().ok_or("it is no record's own page")?;
    request.check().map_err(|invalid| invalid.to_string())?;
    check_time("created_at", parsed.created_at)?;
    if let Some(amended) = parsed.amended() {
        check_amended(parsed.id, &request.record, &amended)?;
    }
    let at = Timestamp::from_millisecond(parsed.created_at.as_millisecond()).unwrap_or(parsed.created_at);
    parsed.created_at = at;
    match is_path_of(parsed.id, &request.record, path) {
        true => Ok((parsed, request)),
        false => Err("a record such as this does not lie there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_back_from_now_and_the_later_limit_holds() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-30T12:00:00Z");
        let of = |days, since: Option<&str>| Options { days, since: since.map(at), ..Options::default() };
        assert_eq!(of(None, None).from(now), None);
        assert_eq!(of(Some(90), None).from(now), Some(at("2026-09-01T12:00:00Z")));
        assert_eq!(of(Some(90), Some("2026-10-01T00:00:00Z")).from(now), Some(at("2026-10-01T00:00:00Z")));
        assert_eq!(of(Some(u32::MAX), None).from(now), None, "that is before all time");
    }
}
