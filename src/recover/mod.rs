//! Recovery: after a crash, whatever any store still has is brought back into all of them.
//!
//! Gathering evidence (`audit`), deciding (`audit::classify`) and acting (`mending`) are separate. What is missing is
//! appended to the journal again as an operation, and is applied and committed like any other. So recovery can be
//! killed anywhere and run again, and a second run does nothing.
//!
//! 1. sweep: temporary files, staging packs, our `.keep`s without a branch
//! 2. the index is rebuilt from the files if it is lost
//! 3. what is pending is applied and committed
//! 4. an audit; acting on its findings; committing what that wrote; in a home with operations, until nothing is left
//!
//! Parked records are retried then, since the obstacle may be gone. At a worker's start, and now and then while it
//! runs, only those are retried whose files show that.
//!
//! If another process holds SQLite's lock, or a file of the index cannot be opened, a worker's start continues without
//! rows. `recover` fails then, after it has committed what is pending. A worker's start does the audit only if
//! something is not as the worker left it.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | within 1 | fewer leftovers | the next run |
//! | within 2 | an index with fewer rows than files | its missing version makes the next run build it again |
//! | within 3, 4 | intents, some applied or committed | the next run, or the worker: its state says "not finished" |
//! | before a backup's erased records are noted | their bytes in the journal | the same: the audit is still due |
//! | after that | the note | the next holder of the lock finishes the erasure (`erasing`) |

mod mending;
mod origin;
mod rebuild;
mod report;

pub use report::{Base, Lost, Report};

use crate::audit::{self, Audit};
use crate::fs;
use crate::home;
use crate::journal;
use crate::model::layout::PARKED_FILE;
use crate::model::{Intent, Op};
use crate::pipeline::{self, Counts, Pipeline, Progress};
use crate::quarantine::Quarantine;
use crate::state::Left;
use crate::target::files;
use crate::target::history;
use crate::target::index;

use mending::Mending;

/// How often the stores are audited and mended. Each combination of what they can have ends in fewer steps: the tests of
/// `audit::classify` walk all of them.
const ROUNDS_MAX: usize = 5;

/// The scope of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything there is: `recover` and `repair`.
    Everything,
    /// What a worker checks when it starts: everything only if something is not as it left it.
    Start,
}

/// Why recovery could not be finished. Another run continues from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch could not be made.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The audit failed.
    #[error(transparent)]
    Audit(#[from] audit::Error),
}

macro_rules! through_batch {
    ($($error:ty),*) => { $(impl From<$error> for Error {
        fn from(error: $error) -> Error {
            Error::Pipeline(error.into())
        }
    })* };
}
through_batch!(fs::Error, home::Error, journal::Error, index::Error, history::Error);

impl Error {
    /// Whether a person has to change something before a retry can help.
    pub fn needs_attention(&self) -> bool {
        matches!(self, Error::Pipeline(error) if error.needs_attention())
    }
}

/// Recovers the home of `pipeline`.
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
        pipeline.update_index(scope == Scope::Everything)?;
    }
    // Before anything is committed: if several intents share an id, the one that is already committed is the record.
    let gone = pipeline.catch_up_and_check()?;
    let everything = scope == Scope::Everything || gone || report.index_rebuilt || pipeline.audit_due().is_some();
    report.committed = commit(pipeline, &mut report, progress)?;
    if let Some(error) = unopenable {
        // The remaining steps need the index, and start over next time.
        tracing::warn!(error = crate::model::text::chain(&error), "going on without the index");
        return if scope == Scope::Everything { Err(error.into()) } else { Ok(report) };
    }
    // Damage is found while the journal is read.
    let everything = everything || pipeline.audit_due().is_some();
    let audited = if everything {
        mend(pipeline, &mut report, progress)?;
        pipeline.erase_again()?
    } else {
        retry_parked(pipeline, &mut report, progress)?;
        false
    };
    if pipeline.count_repeats()? > 0 {
        commit(pipeline, &mut report, progress)?;
    }
    if scope == Scope::Everything && pipeline.is_lagging() {
        // A worker continues without rows and inserts them later. A caller that asked for everything is told that it is
        // not done.
        return Err(index::Error::Busy { waited: pipeline.options().index_wait }.into());
    }
    pipeline.settle(audited)?;
    count(&mut report, before, pipeline.counts());
    Ok(report)
}

fn count(report: &mut Report, before: Counts, after: Counts) {
    report.commits = after.commits - before.commits;
    report.operations = after.operations - before.operations;
    report.torn = after.torn - before.torn;
    report.damaged = after.damaged - before.damaged;
    report.parked = after.parked - before.parked;
    report.rows_added += after.rows_inserted - before.rows_inserted;
    report.files_restored += after.files_written - before.files_written;
}

fn commit(pipeline: &mut Pipeline<'_>, report: &mut Report, progress: &mut dyn Progress) -> Result<u64, Error> {
    let outcome = pipeline.commit_everything(progress)?;
    report.last_commit = outcome.commit.or(report.last_commit.take());
    Ok(outcome.records as u64)
}

/// Audits the stores and mends where they differ. An operation that is appended again brings all stores to one revision,
/// and only the next audit shows whether a store has a later one of its own: so in a home with operations it is repeated
/// until nothing is left to do.
fn mend(pipeline: &mut Pipeline<'_>, report: &mut Report, progress: &mut dyn Progress) -> Result<(), Error> {
    pipeline.reach_index()?;
    let mut audit = pipeline.audit(progress)?;
    let parked = mend_once(pipeline, &audit, true, report, progress)?;
    release(pipeline, report, &parked)?;
    for _ in 1..ROUNDS_MAX {
        if !audit.has_operations || !audit.has_something_to_do() || pipeline.is_lagging() {
            break;
        }
        audit = pipeline.audit(progress)?;
        mend_once(pipeline, &audit, false, report, progress)?;
    }
    if !pipeline.is_lagging() {
        report.files_restored += pipeline.mend_pages()?;
    }
    let left = Left { named: report.named.len() as u64, first: report.named.first().cloned(), removed: report.removed };
    pipeline.leave(left)?;
    Ok(())
}

/// Acts on the findings of `audit`, and commits what that appended. The `first` time, what is parked is retried as well;
/// the records among that are returned.
fn mend_once(
    pipeline: &mut Pipeline<'_>,
    audit: &Audit,
    first: bool,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<Vec<(String, Intent)>, Error> {
    // The last audit says what is lost: what an earlier one missed may have come back.
    report.lost.clear();
    report.named.clear();
    report.removed = 0;
    let mut mending = Mending::new(pipeline, report, &audit.findings);
    if !audit.findings.is_empty() {
        progress.begin("mending", audit.findings.len() as u64);
    }
    for (done, finding) in audit.findings.iter().enumerate() {
        mending.act(finding)?;
        progress.at(done as u64 + 1);
    }
    mending.retract_removed()?;
    let (mut parked, mut ops) = (Vec::new(), Vec::new());
    if first {
        retry_entries(mending.pipeline, mending.report)?;
        ops = mending.retry_ops(true)?;
        parked = Quarantine::new(mending.pipeline.home())?.parked()?;
        for (_, intent) in &parked {
            mending.again(intent.clone())?;
        }
    }
    mending.append()?;
    progress.end();
    mending.companions(&audit.missing_companions)?;
    let recommitted = commit(pipeline, report, progress)?;
    report.recommitted += recommitted;
    release_ops(pipeline, report, &ops)?;
    Ok(parked)
}

/// Retries parked records whose files were blocked and no longer are, and operations whose record is there by now. A worker does so when it starts, and now and
/// then. They go the usual way, through the journal. A record that is parked again stays parked.
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
    parked.retain(|(name, intent)| name.ends_with(PARKED_FILE) && files::has_room(home.dir(), intent));
    let mut mending = Mending::new(pipeline, report, &[]);
    let ops = mending.retry_ops(false)?;
    if parked.is_empty() && ops.is_empty() {
        return Ok(());
    }
    for (_, intent) in &parked {
        mending.again(intent.clone())?;
    }
    mending.append()?;
    commit(pipeline, report, progress)?;
    release_ops(pipeline, report, &ops)?;
    release(pipeline, report, &parked)
}

/// Appends parked entries to the journal again if an older program did not know their operation and this one applies
/// it. If it is killed before they leave quarantine, the next run appends them again: the revision makes the duplicate
/// harmless.
fn retry_entries(pipeline: &mut Pipeline<'_>, report: &mut Report) -> Result<(), Error> {
    let quarantine = Quarantine::new(pipeline.home())?;
    for (name, json) in quarantine.parked_entries()? {
        if Op::of_json(&json).is_err() {
            continue;
        }
        pipeline.append_again(&name, &json)?;
        report.released += 1;
    }
    Ok(())
}

/// Releases those parked and retried operations that have been applied by now.
fn release_ops(pipeline: &mut Pipeline<'_>, report: &mut Report, ops: &[(String, Op)]) -> Result<(), Error> {
    for (name, op) in ops {
        report.released += u64::from(pipeline.release_op(name, op)?);
    }
    Ok(())
}

/// Releases those parked and retried records that are in all three stores by now.
fn release(pipeline: &mut Pipeline<'_>, report: &mut Report, parked: &[(String, Intent)]) -> Result<(), Error> {
    for (name, intent) in parked {
        report.released += u64::from(pipeline.release(name, intent)?);
    }
    Ok(())
}
