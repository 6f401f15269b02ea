//! Where a pipeline begins, and what it checks first.
//!
//! Each target's watermark says how far it is (`target`). The history's decides where reading begins. The rows' decides
//! whether rows lag, and with them the files. If a watermark cannot be trusted, an audit of everything is due. That is
//! durable before anything is committed, so a killed process does not forget it. If the history's watermark is void,
//! everything in the journal is looked up in the history.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use super::lag::Lag;
use super::log::Reading;
use super::search::Followers;
use super::{Counts, Error, Options, Pipeline, VoidReason};
use crate::exclusive::Exclusive;
use crate::journal::{self, Appender, Journal, Reader, Records};
use crate::model::JournalId;
use crate::model::layout::TEMPORARY;
use crate::quarantine::Quarantine;
use crate::state::{Left, Noted, State};
use crate::target::commits::{Commits, GitCommits};
use crate::target::files::Applier;
use crate::target::rows::{IndexRows, Rows};
use crate::target::{Log, Mark, Watermark};

impl<'h> Pipeline<'h> {
    /// The pipeline of the home of `exclusive`. Creates what the journal and the history need and lack.
    ///
    /// # Errors
    /// Every [`Error`]; what was recorded is still in the journal.
    pub fn open(exclusive: &'h Exclusive<'h>, options: Options) -> Result<Pipeline<'h>, Error> {
        let home = exclusive.home();
        let rows = Box::new(IndexRows::new(home, options.index_wait)?);
        let history = options.history.clone();
        let commits = |journal| -> Result<Box<dyn Commits + 'h>, Error> {
            Ok(Box::new(GitCommits::open(home, journal, history)?))
        };
        let mut pipeline = Pipeline::open_with(exclusive, options, rows, commits)?;
        pipeline.followers = Some(Followers::new(exclusive));
        Ok(pipeline)
    }

    /// As [`Pipeline::open`], with these rows, and the commits that `open` makes for the journal's id.
    pub(super) fn open_with(
        exclusive: &'h Exclusive<'h>,
        options: Options,
        rows: Box<dyn Rows + 'h>,
        open: impl FnOnce(JournalId) -> Result<Box<dyn Commits + 'h>, Error>,
    ) -> Result<Pipeline<'h>, Error> {
        let home = exclusive.home();
        let (private, journal) = (home.private(), home.journal());
        journal.ensure_first()?;
        journal.ensure_header()?;
        let journal_id = journal.ensure_id(private, &home.private_folder(TEMPORARY)?)?;
        let mut commits = open(journal_id)?;
        let known = State::read(private)?.filter(|state| state.journal == journal_id);
        let log = Log { journal, id: journal_id, state: known.as_ref() };
        let (reader, void) = begin(journal, commits.watermark(&log)?)?;
        if void.is_some() && !journal.takes_operations()? && commits.has_operations()? {
            // The journal is new, and records have revisions: a program that does not know them must not go on with it.
            Appender::open_for_operations(journal)?;
        }
        let at = Mark::of(&reader);
        let mut pipeline = Pipeline {
            home,
            files: Applier::new(home)?,
            quarantine: Quarantine::new(home)?,
            rows,
            commits,
            followers: None,
            journal_id,
            state: known.unwrap_or_else(|| State::of_new(journal_id)),
            at,
            stored: at,
            reading: Reading::from(Records::of(reader)),
            lag: Lag::unknown(),
            removed: HashSet::new(),
            has_joined: false,
            moved: None,
            void: None,
            last_commit: Instant::now(),
            counts: Counts::default(),
            options,
            exclusive,
        };
        pipeline.void = void.or(pipeline.state.audit_due.then_some(VoidReason::Unfinished));
        pipeline.begin_audit()?;
        match pipeline.find_rows() {
            // The index is damaged or of a newer program: the first caller that needs it reports that.
            Err(Error::Index(_)) => {}
            found => found?,
        }
        Ok(pipeline)
    }

    /// The history's watermark is void: everything in the journal is looked up in the history.
    fn begin_audit(&mut self) -> Result<(), Error> {
        let Some(reason) = self.void else { return Ok(()) };
        tracing::warn!(reason = reason.name(), "everything in the journal is looked up in the history");
        if !self.state.audit_due {
            self.state.audit_due = true;
            self.write_state()?;
        }
        self.removed = self.find_removed()?;
        Ok(())
    }

    /// Why an audit of everything is due, if one is.
    pub fn audit_due(&self) -> Option<VoidReason> {
        self.void
    }

    /// Whether an audit of everything is due and possible now.
    pub fn wants_audit(&self) -> bool {
        self.void.is_some() && self.lag.is_known()
    }

    /// Marks an audit of everything as due. If this process is killed, the next one does it.
    pub(super) fn distrust(&mut self, why: VoidReason) -> Result<(), Error> {
        if self.void.is_none() {
            tracing::warn!(reason = why.name(), "an audit of everything is due");
        }
        self.void = self.void.or(Some(why));
        if !self.state.audit_due {
            self.state.audit_due = true;
            self.write_state()?;
        }
        Ok(())
    }

    /// Notes what an audit of everything left to a person, for `status`.
    ///
    /// # Errors
    /// [`Error::Fs`].
    pub fn leave(&mut self, left: Left) -> Result<(), Error> {
        let left = Some(left).filter(|left| *left != Left::default());
        if self.state.left != left {
            self.state.left = left;
            self.write_state()?;
        }
        Ok(())
    }

    /// Recovery is complete: from now on, watermarks are trusted. `audited` says that everything was audited.
    ///
    /// # Errors
    /// [`Error::Fs`], [`Error::Index`] if that cannot be stored; then the next start checks again.
    pub fn settle(&mut self, audited: bool) -> Result<(), Error> {
        let was_held = self.may_lack_files();
        // Rows that the audit brought back but could not insert are looked for again.
        let audited = audited && !self.lag.has_missed();
        if audited && self.void.is_some() {
            self.commit_audited_pages()?;
        }
        if audited || self.void.is_none() {
            // What was looked up and found need not be looked up again.
            let looked_up = self.void.map(|_| self.commits.tip()).transpose()?.flatten();
            let noted = looked_up.map(|commit| Noted { position: self.at.position, commit });
            if noted.is_some() {
                self.stored = self.at;
            }
            let noted = noted.or(self.state.noted.clone());
            let segments = self.home.journal().ids()?;
            let mut state = self.state.clone();
            (state.noted, state.segments, state.audit_due) = (noted, segments, false);
            if state != self.state || self.void.is_some() {
                self.state = state;
                self.write_state()?;
            }
            self.void = None;
        }
        self.settle_rows(audited)?;
        if let Err(error) = self.commits.forget_replaced(self.journal_id) {
            tracing::debug!(error = crate::model::text::chain(&error), "anchors of earlier journals stay for now");
        }
        if was_held { self.prune() } else { Ok(()) }
    }

    /// The paths of records in the journal that the history once had and no longer has.
    fn find_removed(&self) -> Result<HashSet<String>, Error> {
        if self.commits.tip()?.is_none() {
            return Ok(HashSet::new());
        }
        let mut candidates = BTreeSet::new();
        let mut records = Records::from_start(self.home.journal())?;
        while let Some(intent) = records.as_mut().map(Records::next_intent).transpose()?.flatten() {
            candidates.extend(intent.files.into_iter().next().map(|file| file.path));
        }
        let paths: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let present = self.commits.present(&paths)?;
        candidates.retain(|path| !present.contains(path));
        Ok(self.commits.introduced(candidates)?.into_iter().collect())
    }
}

/// Where reading begins, by the history's watermark, and why that is void if it is.
fn begin(journal: &Journal, watermark: Watermark) -> Result<(Reader<'_>, Option<VoidReason>), Error> {
    let from = match watermark {
        Watermark::At(mark) => Reader::from_position(journal, mark.position)?,
        _ => None,
    };
    let void = match watermark {
        Watermark::Lost(reason) => Some(reason),
        // It existed a moment ago.
        Watermark::At(_) if from.is_none() => Some(VoidReason::PositionVoid),
        _ => None,
    };
    let reader = from.map_or_else(|| Reader::from_start(journal), |reader| Ok(Some(reader)))?;
    Ok((reader.ok_or_else(|| journal::Error::Empty(journal.dir().path().into()))?, void))
}
