//! Recovery: after a crash, everything that still exists anywhere is brought back into all three stores.
//!
//! Finding out (`audit`), deciding (`audit::classify`) and doing are separate. What is brought back goes the usual
//! way: its intent is written to the journal anew, then applied and committed like any other. So recovery can be killed
//! anywhere and run again, and a second run does nothing.
//!
//! 1. sweep: temporary files, staging packs, `.keep`s of ours without a branch
//! 2. the index is built anew from the files if it is lost
//! 3. what is pending is applied and committed
//! 4. a audit; what it finds is acted upon; what that wrote is committed
//!
//! Records that were parked are tried again with that, since what was in their way may be gone; at a worker's start, and
//! now and then while it runs, those alone of whose files that can be seen.
//!
//! A worker's start goes on without rows where somebody holds SQLite's lock, or a file of the index cannot be opened;
//! `recover` fails then, after it has committed what is pending.
//! A worker's start does the last of these only where something is not as the worker left it.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | within 1 | fewer leftovers | the next run |
//! | within 2 | an index with fewer rows than files | its missing version makes the next run build it again |
//! | within 3, 4 | intents, some of them applied or committed | the next run, or the worker, which knows from the state that it was not finished |

mod rebuild;
mod revisions;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::{self, Action, Finding};
use crate::fs::{self, Durability};
use crate::home;
use crate::journal;
use crate::model::path::{RecordPath, is_domain_page, split};
use crate::model::{FileImage, Intent, Level, Op, RecordId, Request};
use crate::page::{self, Parsed};
use crate::pipeline::{self, Counts, Pipeline, Progress};
use crate::quarantine::Quarantine;
use crate::target::files;
use crate::target::history;
use crate::target::index::{self, RowImage};

/// How many intents are written anew with one sync.
const GROUP: usize = 256;
/// How many bytes of files are, at the most.
const GROUP_BYTES: usize = 4 << 20;
/// The largest file that can be brought back through the journal.
const READ_BYTES_MAX: u64 = 16 << 20;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything there is: `recover` and `repair`.
    Everything,
    /// What a worker makes sure of when it starts: all of it only if something is not as it left it.
    Start,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why everything in the journal had to be looked up in the history, if it had to.
    pub distrusted: Option<String>,
    /// Temporary files and staging packs removed.
    pub swept: u64,
    /// Whether the index was built anew.
    pub index_rebuilt: bool,
    /// The copy that it began with, in an adopted home. What other programs changed since then is not in it.
    #[serde(default)]
    pub index_base: Option<Base>,
    /// Where the damaged one is kept, if there was one.
    #[serde(default)]
    pub index_kept: Option<String>,
    /// Rows that another program had deleted, and that are back with what a copy of the index knows of them.
    #[serde(default)]
    pub rows_revived: u64,
    /// Rows that another program had deleted, and that no copy knows: what others counted in them begins again.
    #[serde(default)]
    pub rows_anew: u64,
    /// The copy that rows came back from.
    #[serde(default)]
    pub rows_base: Option<Base>,
    /// Records that were pending, and are committed.
    pub committed: u64,
    /// Files that were missing or torn, and are back.
    pub files_restored: u64,
    /// Rows that were missing, and are back.
    pub rows_added: u64,
    /// Records that history lacked, committed from their files or rows.
    pub recommitted: u64,
    /// Records of which nothing is left, with where they were.
    pub lost: Vec<Lost>,
    /// Commits made.
    pub commits: u64,
    /// The last of them.
    pub last_commit: Option<String>,
    /// Entries whose writer died, which nobody was promised.
    pub torn: u64,
    /// Damaged stretches of the journal that went to quarantine.
    pub damaged: u64,
    /// Records that could not be applied and went to quarantine.
    pub parked: u64,
    /// Records that were in quarantine and could be applied now.
    pub released: u64,
}

impl Report {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        Report { distrusted: None, ..self.clone() } == Report::default()
    }
}

/// A copy of an adopted home's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The copy.
    pub path: String,
    /// When it was made, as far as that is known.
    pub at: Option<Timestamp>,
}

impl Base {
    /// The copy at `path`.
    fn of(path: &Path) -> Base {
        let at = std::fs::metadata(path).and_then(|it| it.modified()).ok();
        Base { path: path.display().to_string(), at: at.and_then(|at| Timestamp::try_from(at).ok()) }
    }
}

/// A record that could not be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Where it was; relative to the home.
    pub path: String,
    /// Its id, where that is known.
    pub id: Option<String>,
    /// Why it could not be brought back.
    pub why: String,
}

/// Why recovery could not be finished. Running it again goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch could not be made.
    #[error(transparent)]
    Batch(#[from] pipeline::Error),
    /// The stores could not be compared.
    #[error(transparent)]
    Audit(#[from] audit::Error),
}

macro_rules! through_batch {
    ($($error:ty),*) => { $(impl From<$error> for Error {
        fn from(error: $error) -> Error {
            Error::Batch(error.into())
        }
    })* };
}
through_batch!(fs::Error, home::Error, journal::Error, index::Error, history::Error);

impl Error {
    /// Whether a person has to change something before trying again can help.
    pub fn needs_attention(&self) -> bool {
        matches!(self, Error::Batch(error) if error.needs_attention())
    }
}

/// Brings the home of `pipeline` in order.
///
/// # Errors
/// Every [`Error`]; what was done until then stays done.
pub fn recover(pipeline: &mut Pipeline<'_>, scope: Scope, progress: &mut dyn Progress) -> Result<Report, Error> {
    let before = pipeline.counts();
    let mut report =
        Report { distrusted: pipeline.audit_due().map(|void| void.name().to_owned()), ..Report::default() };
    report.swept = pipeline.sweep()?;
    let unopenable = pipeline.unblock_index()?;
    if unopenable.is_none() {
        rebuild::if_lost(pipeline, scope == Scope::Everything, &mut report, progress)?;
        pipeline.update_index()?;
    }
    // Before anything is committed: of several intents with one id, the one that is committed already is the record.
    let gone = pipeline.catch_up_and_check()?;
    let everything = scope == Scope::Everything || gone || report.index_rebuilt || pipeline.audit_due().is_some();
    report.committed = commit(pipeline, &mut report, progress)?;
    if let Some(error) = unopenable {
        // What is left to do has to wait for the index, and is begun again next time.
        tracing::warn!(error = crate::model::text::chain(&error), "going on without the index");
        return if scope == Scope::Everything { Err(error.into()) } else { Ok(report) };
    }
    // Damage is found while the journal is read.
    let everything = everything || pipeline.audit_due().is_some();
    if everything {
        mend(pipeline, &mut report, progress)?;
    } else {
        retry_parked(pipeline, &mut report, progress)?;
    }
    if scope == Scope::Everything && pipeline.is_lagging() {
        // A worker goes on without rows and inserts them later; who asked for everything is told that it is not done.
        return Err(index::Error::Busy { waited: pipeline.options().index_wait }.into());
    }
    pipeline.settle(everything)?;
    count(&mut report, before, pipeline.counts());
    Ok(report)
}

fn count(report: &mut Report, before: Counts, after: Counts) {
    report.commits = after.commits - before.commits;
    report.torn = after.torn - before.torn;
    report.damaged = after.damaged - before.damaged;
    report.parked = after.parked - before.parked;
    report.rows_added += after.rows_inserted - before.rows_inserted;
    report.files_restored += after.files_written - before.files_written;
}

fn commit(pipeline: &mut Pipeline<'_>, report: &mut Report, progress: &mut dyn Progress) -> Result<u64, Error> {
    progress.begin("committing", 0);
    let outcome = pipeline.commit_everything(|records| progress.at(records as u64))?;
    progress.end();
    report.last_commit = outcome.commit.or(report.last_commit.take());
    Ok(outcome.records as u64)
}

/// Holds the stores against each other and mends what differs.
fn mend(pipeline: &mut Pipeline<'_>, report: &mut Report, progress: &mut dyn Progress) -> Result<(), Error> {
    pipeline.reach_index()?;
    let audit = pipeline.audit(progress)?;
    let mut mending = Mending { pipeline, report, group: Vec::new(), group_bytes: 0 };
    progress.begin("mending", audit.findings.len() as u64);
    for (done, finding) in audit.findings.iter().enumerate() {
        mending.act(finding)?;
        progress.at(done as u64 + 1);
    }
    retry_entries(mending.pipeline, mending.report)?;
    let parked = Quarantine::new(mending.pipeline.home())?.parked()?;
    for (_, intent) in &parked {
        mending.again(intent.clone())?;
    }
    mending.append()?;
    progress.end();
    mending.companions(&audit.missing_companions)?;
    let recommitted = commit(pipeline, report, progress)?;
    report.recommitted += recommitted;
    release(pipeline, report, &parked)
}

/// Tries those records again that were parked since something was in the way of a file, and no longer is. A worker does so
/// when it starts, and now and then. They go the usual way, through the journal; what is parked again stays parked.
///
/// # Errors
/// Every [`Error`]; the records are still in quarantine then.
pub(crate) fn retry_parked(
    pipeline: &mut Pipeline<'_>,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    retry_entries(pipeline, report)?;
    let home = pipeline.home();
    let mut parked = Quarantine::new(home)?.parked()?;
    parked.retain(|(name, intent)| name.ends_with("-file.json") && files::has_room(home.dir(), intent));
    if parked.is_empty() {
        return Ok(());
    }
    let mut mending = Mending { pipeline, report, group: Vec::new(), group_bytes: 0 };
    for (_, intent) in &parked {
        mending.again(intent.clone())?;
    }
    mending.append()?;
    commit(pipeline, report, progress)?;
    release(pipeline, report, &parked)
}

/// Gives those entries to the journal again that an older program parked since it did not know their operation, and that this
/// one applies. Killed before they leave quarantine, the next run gives them again: the revision makes the double harmless.
fn retry_entries(pipeline: &mut Pipeline<'_>, report: &mut Report) -> Result<(), Error> {
    let quarantine = Quarantine::new(pipeline.home())?;
    for (name, json) in quarantine.parked_entries()? {
        if !Op::of_json(&json).is_ok_and(|op| pipeline::applies(&op)) {
            continue;
        }
        pipeline.append_again(&name, &json)?;
        report.released += 1;
    }
    Ok(())
}

/// Of the records that were parked and have been tried again, lets those go that are in all three stores by now.
fn release(pipeline: &mut Pipeline<'_>, report: &mut Report, parked: &[(String, Intent)]) -> Result<(), Error> {
    for (name, intent) in parked {
        report.released += u64::from(pipeline.release(name, intent)?);
    }
    Ok(())
}

struct Mending<'m, 'h> {
    pipeline: &'m mut Pipeline<'h>,
    report: &'m mut Report,
    /// Intents to be written to the journal.
    group: Vec<Op>,
    group_bytes: usize,
}

impl Mending<'_, '_> {
    fn act(&mut self, finding: &Finding) -> Result<(), Error> {
        if let (Some(id), audit::Row::Dangling) = (finding.indexed, finding.evidence.row)
            && finding.action != Action::Hide
            && !self.revive(finding, id)?
        {
            self.pipeline.forget_row(id)?;
        }
        match finding.action {
            Action::Nothing | Action::Wait => Ok(()),
            // What a mark hides, only its restoration brings back.
            Action::AddRow if finding.evidence.row == audit::Row::Marked => self.state_again(finding),
            Action::AddRow | Action::CommitFile => self.commit_file(finding),
            Action::CommitRevision | Action::UpdateRow | Action::ReplaceFile => self.revision_again(finding),
            Action::Hide | Action::WriteState => self.state_again(finding),
            Action::RestoreFile => self.restore_file(finding),
            Action::CommitRow => self.commit_row(finding),
            Action::Name => {
                tracing::warn!(path = finding.path, id = ?finding.id, "a person has to look: {}", finding.action.what());
                Ok(())
            }
            Action::Lost => {
                self.lost(finding, finding.action.what());
                Ok(())
            }
        }
    }

    /// Puts back the row of `id`, which another program has deleted, under the number that it had. False where that cannot
    /// be done.
    fn revive(&mut self, finding: &Finding, id: RecordId) -> Result<bool, Error> {
        let file = match finding.evidence.file {
            audit::File::Current | audit::File::Edited => {
                self.pipeline.home().dir().content(&finding.path, READ_BYTES_MAX)?
            }
            _ => self.pipeline.committed_file(&finding.path)?,
        };
        let parsed = file.and_then(|bytes| page::parse(&bytes).ok()).filter(|parsed| parsed.id == id);
        let amended = parsed.as_ref().and_then(Parsed::amended);
        let Some(Parsed { created_at, request: Some(request), .. }) = parsed else { return Ok(false) };
        let Request { record, key, provenance } = &request;
        let path = RecordPath(&finding.path).shown();
        let row = RowImage { id, created_at, key: key.as_deref(), record, provenance, amended: amended.as_ref(), path };
        match self.pipeline.revive_row(&row)? {
            None => return Ok(false),
            Some(Some(copy)) => {
                self.report.rows_revived += 1;
                self.report.rows_base = Some(Base::of(&copy));
            }
            Some(None) => self.report.rows_anew += 1,
        }
        self.report.rows_added += 1;
        Ok(true)
    }

    fn lost(&mut self, finding: &Finding, why: impl Into<String>) {
        let id = finding.id.map(|id| id.to_string());
        let lost = Lost { path: finding.path.clone(), id, why: why.into() };
        tracing::error!(path = lost.path, why = lost.why, "a record cannot be brought back");
        self.report.lost.push(lost);
    }

    /// Everything goes through the journal, a lone row too: applying and committing it again has no other effect.
    fn again(&mut self, intent: Intent) -> Result<(), Error> {
        self.group_bytes += intent.files.iter().map(|file| file.text.len()).sum::<usize>();
        self.group.push(Op::Record(Box::new(intent)));
        if self.group.len() == GROUP || self.group_bytes > GROUP_BYTES { self.append() } else { Ok(()) }
    }

    fn append(&mut self) -> Result<(), Error> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.group_bytes = 0;
        self.pipeline.append(&std::mem::take(&mut self.group))?;
        Ok(())
    }

    fn commit_file(&mut self, finding: &Finding) -> Result<(), Error> {
        let dir = self.pipeline.home().dir();
        let Some(bytes) = dir.content(&finding.path, READ_BYTES_MAX)? else { return Ok(()) };
        let log = match log_of(&finding.path) {
            Some(path) => dir.content(&path, READ_BYTES_MAX)?.map(|bytes| (path, bytes)),
            None => None,
        };
        self.bring_back(finding, bytes, log)
    }

    fn restore_file(&mut self, finding: &Finding) -> Result<(), Error> {
        let Some(bytes) = self.pipeline.committed_file(&finding.path)? else { return Ok(()) };
        let log = match log_of(&finding.path) {
            Some(path) => self.pipeline.committed_file(&path)?.map(|bytes| (path, bytes)),
            None => None,
        };
        self.bring_back(finding, bytes, log)
    }

    fn bring_back(&mut self, finding: &Finding, bytes: Vec<u8>, log: Option<(String, Vec<u8>)>) -> Result<(), Error> {
        let parsed = page::parse(&bytes);
        let amended = parsed.as_ref().ok().and_then(Parsed::amended);
        let parsed = match parsed {
            Ok(Parsed { id, created_at, request: Some(request), .. }) => (id, created_at, request),
            Ok(_) => {
                self.lost(finding, "the file does not say what it records");
                return Ok(());
            }
            Err(error) => {
                self.lost(finding, error.to_string());
                return Ok(());
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            {
                self.lost(finding, "the file is not UTF-8");
                return Ok(());
            }
        };
        let (id, created_at, Request { record, key, provenance }) = parsed;
        let mut files = vec![FileImage { path: finding.path.clone(), text }];
        if let Some((path, bytes)) = log
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push(FileImage { path, text });
        }
        self.again(Intent { id, created_at, key, record, provenance, amended, files })
    }

    fn commit_row(&mut self, finding: &Finding) -> Result<(), Error> {
        let Some(id) = finding.indexed else { return Ok(()) };
        let Some(known) = self.pipeline.row_of(id)? else { return Ok(()) };
        let Some(request) = self.pipeline.record_in(&known)? else {
            {
                self.lost(finding, "its row is gone");
                return Ok(());
            }
        };
        let mut files = page::files(known.id, known.created_at, &request, Level::Day);
        let amended = self.pipeline.amended(id)?;
        if let (Some(amended), Some(page)) = (&amended, files.first_mut()) {
            page.text = page::amended_page(known.id, known.created_at, &request, amended);
        }
        // The row says where the record is, whatever its page would be called today.
        let folder = finding.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for file in &mut files {
            file.path = match file.path.ends_with("/log.md") {
                true => format!("{folder}/log.md"),
                false => finding.path.clone(),
            };
        }
        let Request { record, key, provenance } = request;
        self.again(Intent { id: known.id, created_at: known.created_at, key, record, provenance, amended, files })
    }

    /// Brings back logs, and renders pages, that the disk lacks or a power cut tore.
    fn companions(&mut self, missing: &[String]) -> Result<(), Error> {
        let home = self.pipeline.home();
        let temporary = home.private_folder("tmp")?;
        let mut domains = BTreeSet::new();
        for path in missing {
            let (folder, name) = split(path);
            if is_domain_page(path) {
                domains.insert(folder.to_owned());
            } else if let Some(bytes) = self.pipeline.committed_file(path)? {
                home.dir().make_folder(folder)?.replace(name, &bytes, &temporary, Durability::Full)?;
                self.report.files_restored += 1;
            }
        }
        self.report.files_restored += domains.len() as u64;
        self.pipeline.render_pages(domains.iter().map(String::as_str))?;
        Ok(())
    }
}

/// The log beside an experiment's page.
fn log_of(path: &str) -> Option<String> {
    path.strip_suffix("/hypothesis.md").map(|folder| format!("{folder}/log.md"))
}
