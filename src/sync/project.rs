//! The projection: which records the lane lacks, and the commit that brings them.
//!
//! A commit of a lane is a pure function of its parent and of the pages in it: its date is that of its newest record, its author is
//! fixed, its message counts. So the commit that a killed process had begun is made again with the same id, and no record is
//! introduced twice. With `sync.sign` git signs it then. An SSH key of the usual kinds signs the same bytes alike; OpenPGP says when it
//! signed, so a commit that was signed and not yet noted is made again under another id. It was not pushed then, either.
//!
//! Only a record's own page goes into a lane, and the state file of one that was retracted, restored or erased; of an experiment
//! the page alone, since its log and its outcome are made from it. A file counts as such a page by its content, so a
//! project's own files cannot get in. Titles are in pages alone, never in a message.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use git2::{Commit, ObjectType, Oid, Repository};
use uuid::Uuid;

use crate::model::path::of_state_file;
use crate::model::text::counted;
use crate::model::{HomeId, Kind, RecordId, Request};
use crate::page::{self, PageKind, Presence, StateFile};
use crate::redact::Redactor;
use crate::target::history;

use super::objects::{AUTHOR, blobs_of};
use super::secret::{NAMES_SECRET, SAYS_SECRET};
use super::store::{Held, LANE, TRUNK, file_at, target};
use super::tree::{self, Changes, Trees};
use super::{Class, Error, Session};

/// The most records in one commit of a lane.
pub const RECORDS_MAX: usize = 20_000;
/// The most bytes of pages in one.
pub const BYTES_MAX: usize = 50 << 20;
/// The version of what is pushed.
pub const FORMAT: u32 = 1;
/// Git counts seconds since 1970; this is the end of the year 9999.
const DATE_MAX: i64 = 253_402_300_799;
const RECORDS: &str = "Indelible-Records: ";
const CLOSED: &str = "Indelible-Closed: true";

/// A page that the lane lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// The page's path.
    pub path: String,
    /// The name of its bytes.
    pub blob: Oid,
    /// The bytes.
    pub bytes: Vec<u8>,
    what: What,
    /// When it was made or changed, in seconds.
    at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    New(Kind),
    Amended,
    State(Presence),
}

/// What the lane lacks, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Pages to be pushed, in the tree's order.
    pub(super) pages: Vec<Candidate>,
    /// Pages that have a secret, each with where.
    pub(super) secrets: Vec<(Candidate, &'static str)>,
    /// The paths of pages that are held already, and still as they were.
    pub(super) still_held: HashSet<String>,
    /// The home's commit that was looked at, if all of it fitted.
    pub(super) of: Option<String>,
    /// Whether all of it fitted.
    pub(super) is_all: bool,
    bytes: usize,
}

/// Why a walk over the home's tree ends early.
enum End {
    Full,
    Failed(Error),
}

impl From<history::Error> for End {
    fn from(error: history::Error) -> End {
        End::Failed(error.into())
    }
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

/// What the remote has already, in trees.
struct Known {
    repository: Repository,
    trees: Vec<Oid>,
    /// The trunk whose pages of before count, too: where nothing is known of the own lane.
    before: Option<Oid>,
    /// What it had once, as soon as that is asked for.
    ever: OnceCell<HashSet<Oid>>,
}

impl Known {
    fn of(session: &Session<'_>) -> Result<Known, Error> {
        let repository = session.store.repository()?;
        let (lane, trunk) = (target(&repository, LANE)?, target(&repository, TRUNK)?);
        let tree = |commit: Oid| Ok::<_, Error>(repository.find_commit(commit)?.tree_id());
        let trees = lane.into_iter().chain(trunk).map(tree).collect::<Result<Vec<_>, _>>()?;
        let before = trunk.filter(|_| lane.is_none());
        Ok(Known { repository, trees, before, ever: OnceCell::new() })
    }

    fn has_folder(&self, path: &str, id: [u8; 20]) -> bool {
        let has = |root: &Oid| {
            let entry = self.repository.find_tree(*root).ok()?.get_path(std::path::Path::new(path)).ok()?;
            Some(entry.id().as_bytes() == id)
        };
        self.trees.iter().any(|root| has(root) == Some(true))
    }

    fn has(&self, path: &str, blob: Oid) -> Result<bool, Error> {
        for root in &self.trees {
            if file_at(&self.repository, *root, path)? == Some(blob) {
                return Ok(true);
            }
        }
        let Some(before) = self.before else { return Ok(false) };
        if self.ever.get().is_none() {
            let _ = self.ever.set(blobs_of(&self.repository, before)?);
        }
        Ok(self.ever.get().is_some_and(|ever| ever.contains(&blob)))
    }

    fn has_path(&self, path: &str) -> Result<bool, Error> {
        for root in &self.trees {
            if file_at(&self.repository, *root, path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a state file says that the record `id` is erased: its page does not get into a lane, though it is here still.
    fn is_erased(&self, id: RecordId) -> Result<bool, Error> {
        let path = crate::model::path::state_file(id);
        for root in &self.trees {
            if let Some(file) = file_at(&self.repository, *root, &path)?
                && StateFile::parse(id, self.repository.find_blob(file)?.content())
                    .is_some_and(|state| state.state == Presence::Erased)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Which pages are left out for now: by path, the bytes' name.
struct Left<'s> {
    by_path: HashMap<&'s str, &'s Held>,
    secrets: Option<&'s Redactor>,
}

impl Left<'_> {
    fn is_held(&self, path: &str, blob: Oid) -> bool {
        let held = self.by_path.get(path).filter(|held| held.blob == blob.to_string());
        held.is_some_and(|held| !held.secret || self.secrets.is_some())
    }
}

/// What would be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// How many pages of records.
    pub records: u64,
    /// How many that have a secret, and stay.
    pub secrets: u64,
    /// Whether that is all, and not only what fits into one push.
    pub is_all: bool,
}

impl Session<'_> {
    /// What would be pushed now.
    ///
    /// # Errors
    /// [`Class::Later`] if the home's history cannot be read.
    pub fn preview(&self) -> Result<Preview, Error> {
        let batch = self.candidates()?;
        let (records, secrets) = (batch.pages.len() as u64, batch.secrets.len() as u64);
        Ok(Preview { records, secrets, is_all: batch.is_all })
    }

    /// What the lane lacks of the home's branch, up to the limits of one push.
    pub(super) fn candidates(&self) -> Result<Batch, Error> {
        let known = Known::of(self)?;
        let by_path = self.store.state().held.iter().map(|held| (held.path.as_str(), held)).collect();
        let left = Left { by_path, secrets: self.options.secrets.as_deref() };
        let mut batch = Batch::default();
        let skip = |path: &str, id: [u8; 20]| known.has_folder(path, id);
        let walked = self.history.for_each_file_beyond(&skip, |file| {
            if self.is_over() {
                return Err(Error::new(Class::Later, "the time was over before everything was looked at").into());
            }
            let blob = Oid::from_bytes(&file.id()).map_err(Error::from)?;
            if !may_be_page(file.path()) || known.has(file.path(), blob)? {
                return Ok(());
            }
            if left.is_held(file.path(), blob) {
                batch.still_held.insert(file.path().to_owned());
                return Ok(());
            }
            if batch.pages.len() >= RECORDS_MAX || batch.bytes >= BYTES_MAX {
                return Err(End::Full);
            }
            let Some((page, request)) = candidate(file.path(), blob, file.read()?) else { return Ok(()) };
            if request.is_none() || !known.is_erased(page.id)? {
                // A path that is there already says nothing new.
                let is_new = !known.has_path(&page.path)?;
                let names = is_new && self.names_secret(&page, request.as_ref(), left.secrets)?;
                batch.add(page, request, left.secrets, names);
            }
            Ok(())
        });
        match walked {
            Ok(tip) => {
                batch.of = tip.map(|tip| tip.to_string());
                batch.is_all = true;
            }
            Err(End::Full) => {}
            Err(End::Failed(error)) => return Err(error),
        }
        Ok(batch)
    }

    /// Whether every page in the tree of `commit` is of a record of this home: then the lane is this home's.
    pub(super) fn is_all_ours(&self, commit: Oid) -> Result<bool, Error> {
        let repository = self.store.repository()?;
        let tree = repository.find_commit(commit)?.tree()?;
        let mut paths = Vec::new();
        tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(ObjectType::Blob) {
                paths.push((format!("{folder}{}", entry.name().unwrap_or_default()), entry.id()));
            }
            git2::TreeWalkResult::Ok
        })?;
        let names: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
        let missing: HashSet<&str> = self.history.missing(&names)?.into_iter().collect();
        let mut hidden = Vec::new();
        for (path, blob) in paths.iter().filter(|(path, _)| missing.contains(path.as_str())) {
            let id = page::id_of(repository.find_blob(*blob)?.content());
            match id.filter(|_| of_state_file(path).is_none()) {
                None => return Ok(false),
                // It was retracted or erased since: its state file is there.
                Some(id) => hidden.push(crate::model::path::state_file(id)),
            }
        }
        let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
        Ok(self.history.missing(&hidden)?.is_empty())
    }

    /// Makes the commit that brings `pages` to the lane, after the commit `parent`.
    pub(super) fn commit(&self, parent: Option<Oid>, pages: &[Candidate], closed: bool) -> Result<Oid, Error> {
        let (home, lane) = (self.home.id(), self.store.state().lane);
        let names = Names { home, lane, closed };
        let commit = self.store.write_objects(|trees| commit_of(trees, parent, pages, names))?;
        if self.options.sign { self.signed(commit) } else { Ok(commit) }
    }

    /// The commit `commit` with the signature that the user's git makes of it.
    ///
    /// # Errors
    /// [`Class::Person`] if git cannot sign: nothing is pushed then.
    fn signed(&self, commit: Oid) -> Result<Oid, Error> {
        let repository = self.store.repository()?;
        let commit = repository.find_commit(commit)?;
        let mut args = vec!["commit-tree".to_owned(), "-S".to_owned(), commit.tree_id().to_string()];
        args.extend(commit.parent_ids().flat_map(|parent| ["-p".to_owned(), parent.to_string()]));
        args.extend(["-F", "-"].map(str::to_owned));
        let mut git = self.git.clone().setting("i18n.commitEncoding", "UTF-8");
        for who in ["AUTHOR", "COMMITTER"] {
            git = git.variable(&format!("GIT_{who}_NAME"), AUTHOR.0).variable(&format!("GIT_{who}_EMAIL"), AUTHOR.1);
            git = git.variable(&format!("GIT_{who}_DATE"), format!("@{} +0000", commit.time().seconds()));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = git.run_with_input(&args, Some(commit.message_bytes()), &self.limits())?;
        let id = Oid::from_str(output.text().trim()).ok().filter(|_| output.success);
        id.ok_or_else(|| {
            let what = "the lane's commit could not be signed, as `sync.sign` asks for, and nothing was pushed";
            Error::new(Class::Person, format!("{what}: {}", output.stderr))
        })
    }
}

/// Whether a page can lie at `path`; what it is, its content says.
pub(super) fn may_be_page(path: &str) -> bool {
    path.ends_with(".md") && !crate::model::path::is_companion(path)
}

impl Batch {
    fn add(&mut self, candidate: Candidate, request: Option<Request>, secrets: Option<&Redactor>, is_named: bool) {
        let because = request.is_none().then(|| StateFile::parse(candidate.id, &candidate.bytes)).flatten();
        let because = because.and_then(|state| state.because);
        let has_secret = secrets.is_some_and(|redactor| {
            let redacted = request.as_ref().is_some_and(|request| {
                let mut redacted = request.clone();
                redactor.request(&mut redacted);
                redacted != *request
            });
            redacted || because.is_some_and(|text| redactor.text(&text) != text)
        });
        match (has_secret, is_named) {
            (true, _) => self.secrets.push((candidate, SAYS_SECRET)),
            (_, true) => self.secrets.push((candidate, NAMES_SECRET)),
            _ => {
                self.bytes += candidate.bytes.len();
                self.pages.push(candidate);
            }
        }
    }
}

/// The page at `path` as a candidate, and what it records; `None` if it is no record's page and no state file.
fn candidate(path: &str, blob: Oid, bytes: Vec<u8>) -> Option<(Candidate, Option<Request>)> {
    if let Some(id) = of_state_file(path) {
        let state = StateFile::parse(id, &bytes)?;
        let (what, at) = (What::State(state.state), state.at.as_second());
        return Some((Candidate { id, path: path.to_owned(), blob, bytes, what, at }, None));
    }
    let parsed = page::parse(&bytes).ok().filter(|parsed| parsed.kind == PageKind::Record)?;
    let amended = parsed.amended();
    let at = amended.as_ref().and_then(page::amended_at).unwrap_or(parsed.created_at).as_second();
    let (id, request) = (parsed.id, parsed.request?);
    let what = if amended.is_some() { What::Amended } else { What::New(request.record.kind()) };
    Some((Candidate { id, path: path.to_owned(), blob, bytes, what, at }, Some(request)))
}

/// What the message of a lane's commit names.
#[derive(Clone, Copy, Debug)]
struct Names {
    home: HomeId,
    lane: Uuid,
    closed: bool,
}

fn commit_of(trees: &Trees<'_>, parent: Option<Oid>, pages: &[Candidate], names: Names) -> Result<Oid, Error> {
    let parent = parent.map(|parent| trees.objects().repository.find_commit(parent)).transpose()?;
    let base = parent.as_ref().map(Commit::tree_id);
    let before = parent.as_ref().map_or(0, |parent| records_of(parent.message_bytes()));
    let new = pages.len() - trees.find(base, pages.iter().map(|page| page.path.as_str()))?.len();
    let write = |page: &Candidate| Ok((page.path.clone(), Some(trees.write(&page.bytes)?)));
    let changes = pages.iter().map(write).collect::<Result<Changes, tree::Error>>()?;
    let tree = trees.with(base, &changes)?;
    let own = pages.iter().map(|page| page.at).max();
    let date = own.or_else(|| parent.as_ref().map(|parent| parent.time().seconds())).unwrap_or_default();
    let message = message(pages, before + new as u64, names);
    let parents: Vec<Oid> = parent.iter().map(Commit::id).collect();
    Ok(trees.objects().commit(tree, &parents, date.clamp(0, DATE_MAX), &message)?)
}

/// The message: counts and ids of home and lane, no word of a record.
fn message(pages: &[Candidate], in_all: u64, names: Names) -> String {
    let count = |what: &dyn Fn(&What) -> bool| pages.iter().filter(|page| what(&page.what)).count() as u64;
    let kinds = Kind::ALL.map(|kind| (kind, count(&|what| *what == What::New(kind))));
    let new = kinds.into_iter().filter(|(_, n)| *n > 0);
    let new: Vec<String> = new.map(|(kind, n)| counted(n, kind.name(), kind.plural())).collect();
    let mut parts = Vec::new();
    if !new.is_empty() {
        parts.push(format!("record {}", new.join(", ")));
    }
    let others = [
        ("amend", count(&|what| *what == What::Amended)),
        ("retract", count(&|what| *what == What::State(Presence::Retracted))),
        ("restore", count(&|what| *what == What::State(Presence::Restored))),
        ("erase", count(&|what| *what == What::State(Presence::Erased))),
    ];
    parts.extend(
        others
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(verb, n)| format!("{verb} {}", counted(n, "record", "records"))),
    );
    let subject = match (parts.is_empty(), names.closed) {
        (true, true) => "close the lane".to_owned(),
        (true, false) => "record nothing".to_owned(),
        (false, _) => parts.join("; "),
    };
    let (first, rest) = subject.split_at(1);
    let mut text = format!("{}{rest}\n\n", first.to_ascii_uppercase());
    let Names { home, lane, closed } = names;
    let here = pages.len();
    write!(
        text,
        "Indelible-Format: {FORMAT}\nIndelible-Home: {home}\nIndelible-Lane: {lane}\n{RECORDS}{here} {in_all}\n"
    )
    .expect("writing to a string cannot fail");
    if closed {
        text.push_str(CLOSED);
        text.push('\n');
    }
    text
}

/// How many records a lane has in all, by the message of its tip.
pub(super) fn records_of(message: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().rev().find_map(|line| line.strip_prefix(RECORDS));
    line.and_then(|line| line.split_once(' ')?.1.trim().parse().ok()).unwrap_or_default()
}

/// Whether a lane is closed, by the message of its tip: no more is to come.
pub(super) fn is_closed(message: &[u8]) -> bool {
    String::from_utf8_lossy(message).lines().any(|line| line == CLOSED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Learning, Level, Record};

    fn page(number: u128, title: &str) -> Candidate {
        let id = RecordId(Uuid::from_u128(number));
        let request = Request::new(Record::Failure(Learning {
            title: title.to_owned(),
            domain: "ci".to_owned(),
            ..Learning::default()
        }));
        let at = "2026-03-04T05:06:07Z".parse().expect("a time");
        let file = page::files(id, at, &request, Level::Day).remove(0);
        let blob = Oid::hash_object(ObjectType::Blob, file.text.as_bytes()).expect("it can be named");
        candidate(&file.path, blob, file.text.into_bytes()).expect("it is a page").0
    }

    fn names() -> Names {
        Names { home: HomeId(Uuid::from_u128(1)), lane: Uuid::from_u128(2), closed: false }
    }

    #[test]
    fn a_commit_is_a_function_of_its_pages() {
        let pages = [page(7, "a secret title"), page(8, "another")];
        let made = || {
            let folder = tempfile::tempdir().expect("a folder");
            let repository = Repository::init_bare(folder.path()).expect("a repository");
            let trees = Trees::of(&repository).expect("its objects");
            let first = commit_of(&trees, None, &pages[..1], names()).expect("it can be made");
            trees.objects().place().expect("it can be placed");
            let second = commit_of(&trees, Some(first), &pages[1..], names()).expect("it can be made");
            trees.objects().place().expect("it can be placed");
            let commit = repository.find_commit(second).expect("it is there");
            (second, commit.time().seconds(), commit.message().expect("text").to_owned())
        };
        let (id, date, message) = made();
        assert_eq!((id, date, message.clone()), made(), "another time, another folder");
        assert_eq!(date, 1_772_600_767, "the records' time, not the clock's");
        assert_eq!(
            message,
            "Record 1 failure\n\nIndelible-Format: 1\nIndelible-Home: 00000000-0000-0000-0000-000000000001\n\
             Indelible-Lane: 00000000-0000-0000-0000-000000000002\nIndelible-Records: 1 2\n"
        );
        assert_eq!(records_of(message.as_bytes()), 2);
    }

    #[test]
    fn only_pages_of_records_are_candidates() {
        let blob = Oid::ZERO_SHA1;
        for bytes in [&b"# A project's own file\n"[..], b"", b"\xff\xfe", b"---\nid: x\n---\n"] {
            assert_eq!(candidate("memory/failures/x.md", blob, bytes.to_vec()), None);
        }
        for path in ["memory/heuristics/rust/README.md", "memory/index.db", "experiments/active/x-1/log.md"] {
            assert!(!may_be_page(path), "{path}");
        }
        assert_eq!(candidate("memory/retracted/00/garbage.md", blob, b"garbage".to_vec()), None);
    }

    #[test]
    fn a_closed_lane_says_so() {
        let text = message(&[], 3, Names { closed: true, ..names() });
        assert!(text.starts_with("Close the lane\n\n") && is_closed(text.as_bytes()), "{text}");
        assert!(!is_closed(message(&[], 3, names()).as_bytes()));
    }
}
