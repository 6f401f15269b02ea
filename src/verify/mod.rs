//! Verify: checks that journal, files, index and git agree. It changes nothing and takes no lock.
//!
//! Recorders and a worker may be running, so it reads one store earlier than another. It rechecks every disagreement before it
//! reports one.

use serde::Serialize;

use crate::audit::{self, Audit, Copied, State, Stores, audit};
use crate::fs;
use crate::home::{self, Home};
use crate::journal::{self, Item, Reader};
use crate::model::path::of_state_file;
use crate::model::text::chain;
use crate::pipeline::{self, Progress, reached, stale_pages, waiting};
use crate::quarantine::Contents;
use crate::target::commits::{Both, ReadCommits, Trunk};
use crate::target::history::{self, History, HistoryOptions};
use crate::target::index::{self, Index, Others};
use crate::target::rows::ReadRows;
use crate::target::search::SearchStatus;

/// How often a disagreement must be seen before it is reported.
const LOOKS: usize = 3;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Records that any store knows.
    pub records: u64,
    /// How many records, and operations on records, wait to be committed.
    pub pending: u64,
    /// The first segment of the journal that only a newer program can read.
    pub newer: Option<String>,
    /// Where the stores disagree.
    pub disagreements: Vec<Disagreement>,
    /// How many of these are files that were edited by hand. `repair` leaves them alone.
    #[serde(skip)]
    pub edited: u64,
    /// Copies that the user made of records' files. They are left alone and are no disagreement.
    pub copies: Vec<Copied>,
    /// Remarks for a person. They are no disagreements.
    pub notices: Vec<String>,
    /// What is wrong with this home's lane on its remote, if it was looked at.
    pub remote: Vec<String>,
    /// What is wrong with the index as a database.
    pub index: Vec<String>,
    /// What of the history cannot be read.
    pub history: Vec<String>,
    /// How far search is. It is derived and never required: whatever is wrong with it is no disagreement.
    pub search: SearchStatus,
    /// What the journal holds.
    pub journal: JournalReport,
    /// What waits in quarantine for a person.
    pub quarantine: Contents,
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// Whole entries.
    pub entries: u64,
    /// Torn entries: their writers were killed before they were acknowledged.
    pub torn: u64,
    /// Entries that their writers voided.
    pub voided: u64,
    /// Damaged stretches.
    pub damaged: u64,
}

/// One record about which the stores disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// The record's page, or the companion file; relative to the home.
    pub path: String,
    /// The record, where it is known.
    pub id: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl Report {
    /// Whether edits by hand are all that the stores disagree about.
    pub fn is_only_edited(&self) -> bool {
        let is_all_else_clean = Report { disagreements: Vec::new(), ..self.clone() }.is_clean();
        self.edited > 0 && self.edited == self.disagreements.len() as u64 && is_all_else_clean
    }

    /// Whether all stores agree, and something in quarantine waits for a person.
    pub fn is_only_quarantined(&self) -> bool {
        !self.is_clean() && Report { quarantine: Contents::default(), ..self.clone() }.is_clean()
    }

    /// Whether everything agrees, and nothing waits for a person.
    pub fn is_clean(&self) -> bool {
        self.disagreements.is_empty()
            && self.newer.is_none()
            && self.remote.is_empty()
            && self.index.is_empty()
            && self.history.is_empty()
            && !self.quarantine.is_alarming()
    }
}

/// Why the stores could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// A file could not be read.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The index could not be read for a reason other than damage.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The history could not be read for a reason other than damage.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The stores could not be compared.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The committed position could not be found.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
}

/// Cross-checks all stores of `home`.
///
/// # Errors
/// Every [`Error`]; damage is not one of them but part of the report.
pub fn verify(home: &Home, options: &HistoryOptions, progress: &mut dyn Progress) -> Result<Report, Error> {
    let mut report = Report { quarantine: Contents::of(home)?, ..Report::default() };
    report.journal = journal_report(home)?;
    let index = open_index(home, &mut report, progress)?;
    report.search = SearchStatus::checked(home, index.as_ref());
    let records = index.as_ref().map_or(0, |index| index.count_records().unwrap_or(0));
    let history = open_history(home, options, records, &mut report, progress)?;
    let mut found = look(home, index.as_ref(), history.as_ref(), progress)?;
    for _ in 1..LOOKS {
        if found.findings.is_empty() && found.edited.is_empty() && found.missing_companions.is_empty() {
            break;
        }
        let again = look(home, index.as_ref(), history.as_ref(), progress)?;
        found = both(&found, again);
    }
    let mut stale = stale(home, index.as_ref(), history.as_ref())?;
    let committed = history.as_ref().map(|history| reached(home, history, index.as_ref())).transpose()?;
    let waiting = waiting(home.journal(), committed.unwrap_or_default().committed, None, |_| true)?;
    (report.records, report.pending) = (found.records, waiting.operations);
    // Pages follow the rows with the next batch.
    stale.retain(|_| waiting.operations == 0);
    report.newer = waiting.newer.map(|error| error.to_string());
    report.copies = std::mem::take(&mut found.copies);
    report.edited = found.edited.len() as u64;
    report.disagreements = disagreements(found);
    report.disagreements.extend(stale.into_iter().map(|path| {
        let what =
            "the domain's page does not show what the rows of its rules say: `indelible repair` renders it again";
        Disagreement { path, id: None, what: what.to_owned() }
    }));
    // Nothing is here, and something is in the repository: a clone may have been put in the place of another.
    if let Some(history) = history.as_ref().filter(|_| report.records == 0) {
        report.notices = history.others()?;
    }
    Ok(report)
}

fn look(
    home: &Home,
    index: Option<&Index>,
    history: Option<&History>,
    progress: &mut dyn Progress,
) -> Result<Audit, Error> {
    // Records whose rows lag wait for the worker as those do that are not committed.
    let reached = history.map(|history| reached(home, history, index)).transpose()?.unwrap_or_default();
    let trunk = Trunk::of(home);
    let both = history.map(|own| Both { own, trunk: &trunk });
    let (index, history) = (index.map(|it| it as &dyn ReadRows), both.as_ref().map(|it| it as &dyn ReadCommits));
    let committed = reached.settled();
    let is_journal_doubted = history.is_some() && reached.committed.is_none();
    Ok(audit(&Stores { home, index, history, committed, is_journal_doubted, wants_edits: true }, progress)?)
}

/// The domains' pages that do not show what the rows say, each time that they are looked at.
fn stale(home: &Home, index: Option<&Index>, history: Option<&History>) -> Result<Vec<String>, Error> {
    let Some(index) = index else { return Ok(Vec::new()) };
    let look = || {
        let history = history.map(|it| it as &dyn ReadCommits);
        stale_pages(home, history, &|folder| index.page_entries(folder))
    };
    let mut found = look()?;
    for _ in 1..LOOKS {
        if found.is_empty() {
            break;
        }
        let again = look()?;
        found.retain(|path| again.contains(path));
    }
    Ok(found)
}

/// The findings of a second audit that the first one has too.
fn both(first: &Audit, mut second: Audit) -> Audit {
    second.edited.retain(|edited| first.edited.contains(edited));
    second.findings.retain(|finding| first.findings.iter().any(|before| before.path == finding.path));
    second.missing_companions.retain(|path| first.missing_companions.contains(path));
    second
}

fn disagreements(found: Audit) -> Vec<Disagreement> {
    let records = found.findings.into_iter().map(|finding| Disagreement {
        path: finding.path,
        id: finding.id.map(|id| id.to_string()),
        what: match finding.evidence.state {
            State::Torn => "its state file is torn, so that it counts as retracted".to_owned(),
            _ => finding.action.what().to_owned(),
        },
    });
    let companions = found.missing_companions.into_iter().map(|path| {
        let what = match of_state_file(&path) {
            Some(_) => "the state file of a record is missing, torn or of an earlier revision, and git has it",
            None => "the file beside a record is missing, and git has it",
        };
        Disagreement { id: of_state_file(&path).map(|id| id.to_string()), what: what.to_owned(), path }
    });
    let edited = found.edited.into_iter().map(|(path, id)| Disagreement {
        path,
        id: id.map(|id| id.to_string()),
        what: "its file was edited by hand, and neither row nor git has that: `indelible amend --from-files` takes it"
            .to_owned(),
    });
    records.chain(edited).chain(companions).collect()
}

fn journal_report(home: &Home) -> Result<JournalReport, Error> {
    let mut report = JournalReport::default();
    let mut reader = Reader::from_start(home.journal())?;
    loop {
        let item = match reader.as_mut().map(Reader::next).transpose() {
            // The report names it elsewhere.
            Err(journal::Error::Newer { .. }) => break,
            item => item?.flatten(),
        };
        let Some(item) = item else { break };
        match item {
            Item::Entry { .. } => report.entries += 1,
            Item::Torn => report.torn += 1,
            Item::Voided => report.voided += 1,
            Item::Damaged { .. } => report.damaged += 1,
        }
    }
    Ok(report)
}

/// Retries a look that found damage: SQLite and libgit2 report a page or an object as damaged if one read of it failed.
fn look_again<T>(is_fine: impl Fn(&T) -> bool, mut look: impl FnMut() -> T) -> T {
    let mut found = look();
    for _ in 1..LOOKS {
        if is_fine(&found) {
            break;
        }
        found = look();
    }
    found
}

fn open_index(home: &Home, report: &mut Report, progress: &mut dyn Progress) -> Result<Option<Index>, Error> {
    // SQLite does not say how far it is.
    progress.begin("checking the index", 0);
    let opened = checked_index(home, report);
    progress.end();
    opened
}

fn checked_index(home: &Home, report: &mut Report) -> Result<Option<Index>, Error> {
    let is_fine = |checked: &Result<(Index, Vec<String>), _>| checked.as_ref().is_ok_and(|(_, wrong)| wrong.is_empty());
    match look_again(is_fine, || check_index(home)) {
        Ok((index, wrong)) => {
            report.index = wrong;
            Ok(Some(index))
        }
        Err(error) if error.is_lost() => {
            report.index = vec![chain(&error)];
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn check_index(home: &Home) -> Result<(Index, Vec<String>), index::Error> {
    let index = Index::open_to_read(&home.index_path(), std::time::Duration::from_secs(5), Others::MayWrite)?;
    index.check_schema()?;
    let mut wrong = index.integrity()?;
    if !index.is_finished()? {
        wrong.push("it is being rebuilt, or a rebuild was not finished".into());
    }
    Ok((index, wrong))
}

fn open_history(
    home: &Home,
    options: &HistoryOptions,
    records: u64,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<Option<History>, Error> {
    type Checked = Result<(History, Vec<history::Damage>), history::Error>;
    let is_fine = |checked: &Checked| checked.as_ref().is_ok_and(|(_, damages)| damages.is_empty());
    match look_again(is_fine, || check_history(home, options, records, progress)) {
        Ok((history, damages)) => {
            let line = |it: history::Damage| format!("{} (object {}): {}", it.path, it.object, it.why);
            report.history = damages.into_iter().map(line).collect();
            let journal = journal::id(home.private()).ok().flatten();
            report.history.extend(history.lost_at(journal)?.map(|at| {
                let branch = history.branch();
                format!("{branch} is gone: `indelible recover` makes it again at {at}, where the last batch left it")
            }));
            Ok(Some(history))
        }
        Err(error @ (history::Error::Missing { .. } | history::Error::Damaged { .. })) => {
            report.history = vec![chain(&error)];
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn check_history(
    home: &Home,
    options: &HistoryOptions,
    records: u64,
    progress: &mut dyn Progress,
) -> Result<(History, Vec<history::Damage>), history::Error> {
    let history = History::open(home.path(), options.clone())?;
    let damages = history.check_each_file(false, records, progress)?;
    Ok((history, damages))
}
