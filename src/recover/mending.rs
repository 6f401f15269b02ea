//! Acting on the audit's findings: each missing part is appended to the journal again, as the operation that it came
//! from.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the append | nothing new | the next audit finds the same |
//! | after it, before the commit | the operation, pending | the worker or the next run; a repeat has the same or a later revision, and changes nothing twice |

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::origin::{Elsewhere, origin_of};
use super::{Base, Error, Lost, Report};
use crate::audit::{self, Action, Finding};
use crate::fs::Durability;
use crate::model::layout::{OUTCOME, TEMPORARY, join, split};
use crate::model::path::{RecordPath, beside, is_domain_page, of_state_file};
use crate::model::{
    Amended, Amendment, Change, FieldSpec, FileImage, Intent, Level, Op, Origin, Record, RecordId, Request, Revision,
};
use crate::page::{self, Parsed, Presence};
use crate::pipeline::Pipeline;
use crate::quarantine::Quarantine;
use crate::target::index::{self, RowImage};

/// How many operations are appended with one sync.
const GROUP: usize = 256;
/// The most bytes of files appended with one sync.
const GROUP_BYTES: usize = 4 << 20;
/// The largest file that can be brought back through the journal.
const READ_BYTES_MAX: u64 = 16 << 20;

/// Acts on findings, and keeps what it has found so far.
pub(super) struct Mending<'m, 'h> {
    pub(super) pipeline: &'m mut Pipeline<'h>,
    pub(super) report: &'m mut Report,
    /// Intents to be appended to the journal.
    group: Vec<Op>,
    group_bytes: usize,
    /// Records that commits of their owner's removed.
    removed: Vec<Finding>,
    /// All findings of the audit.
    findings: &'m [Finding],
    elsewhere: Elsewhere,
}

impl<'m, 'h> Mending<'m, 'h> {
    pub(super) fn new(
        pipeline: &'m mut Pipeline<'h>,
        report: &'m mut Report,
        findings: &'m [Finding],
    ) -> Mending<'m, 'h> {
        let (group, removed, elsewhere) = (Vec::new(), Vec::new(), Elsewhere::default());
        Mending { pipeline, report, group, group_bytes: 0, removed, findings, elsewhere }
    }

    /// Does what `finding` calls for.
    pub(super) fn act(&mut self, finding: &Finding) -> Result<(), Error> {
        if let (Some(id), audit::Row::Dangling) = (finding.indexed, finding.evidence.row)
            && finding.action != Action::Hide
            && !self.revive(finding, id)?
        {
            self.pipeline.forget_row(id)?;
        }
        match finding.action {
            Action::Nothing | Action::Wait => Ok(()),
            // Only a restoration brings back what a retraction took out of the history.
            action if action.is_repaired() && self.is_restoration(finding) => self.state_again(finding),
            // A record hidden by a marker comes back only when it is restored.
            Action::AddRow if finding.evidence.row == audit::Row::Marked => self.state_again(finding),
            Action::AddRow | Action::CommitFile => self.commit_file(finding),
            Action::CommitRevision | Action::UpdateRow | Action::ReplaceFile => self.revision_again(finding),
            Action::Hide | Action::WriteState => self.state_again(finding),
            Action::RestoreFile => self.restore_file(finding),
            Action::Retract => {
                self.removed.push(finding.clone());
                Ok(())
            }
            Action::CommitRow => self.commit_row(finding),
            Action::Name => {
                self.report.named.push(finding.path.clone());
                tracing::warn!(path = finding.path, id = ?finding.id, "a person has to look: {}", finding.action.what());
                Ok(())
            }
            Action::Lost => {
                self.lost(finding, finding.action.what());
                Ok(())
            }
        }
    }

    /// Puts back the row of `id`, which another program has deleted, under its old number. False if it cannot be put
    /// back.
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
        let (key, amended) = (key.as_deref(), amended.as_ref());
        let row = RowImage { id, created_at, key, record, provenance, amended, path, from: None };
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

    /// Whether the history has the record, and lacks its restoration.
    fn is_restoration(&self, finding: &Finding) -> bool {
        let evidence = finding.evidence;
        evidence.state == audit::State::Restored
            && finding.state_is_later
            && evidence.history != audit::HistoryState::Never
    }

    fn lost(&mut self, finding: &Finding, why: impl Into<String>) {
        let id = finding.id.map(|id| id.to_string());
        let lost = Lost { path: finding.path.clone(), id, why: why.into() };
        tracing::error!(path = lost.path, why = lost.why, "a record cannot be brought back");
        self.report.lost.push(lost);
    }

    /// Repeats the retraction, restoration or erasure in the record's state file: its revision brings every store to it, and
    /// changes nothing in stores that have it. If only the name of a torn state file is left, it is a retraction.
    fn state_again(&mut self, finding: &Finding) -> Result<(), Error> {
        let Some(of) = finding.id.or(finding.state.as_ref().map(|state| state.of)) else { return Ok(()) };
        let path = Some(finding.path.clone()).filter(|path| of_state_file(path).is_none());
        let (presence, revision, at, because) = match &finding.state {
            Some(state) => (state.state, state.revision, state.at, state.because.clone()),
            None => (Presence::Retracted, Revision::first(of).next(), crate::fs::now(), None),
        };
        let change = Change { of, revision, base: Revision::first(of), at, path, because };
        self.push(match presence {
            Presence::Restored => Op::Restore(change),
            Presence::Retracted => Op::Retract(change),
            Presence::Erased => Op::Erase { of, revision },
        })
    }

    /// Retracts the records that commits of their owner's removed, unless there are too many: then a person decides.
    pub(super) fn retract_removed(&mut self) -> Result<(), Error> {
        let removed = std::mem::take(&mut self.removed);
        if removed.len() > self.pipeline.options().removals_max {
            self.report.removed = removed.len() as u64;
            tracing::warn!(records = removed.len(), "commits removed many records from git: a person has to decide");
            return Ok(());
        }
        let paths = removed.iter().map(|finding| finding.path.clone()).collect();
        let commits = self.pipeline.removed_by(paths)?;
        for finding in removed {
            let (Some(of), Some(commit)) = (finding.id, commits.get(&finding.path)) else { continue };
            let state = finding.state.map(|state| state.revision);
            let content = self.pipeline.amended(of)?.map(|amended| amended.revision);
            let base = state.max(content).unwrap_or(Revision::first(of));
            // Deterministic: every process that finds the commit makes the same operation.
            let revision = Revision { n: base.n + 1, op: Uuid::new_v5(&of.0, commit.as_bytes()) };
            let because = Some(format!("removed from git by the commit {commit}"));
            let change = Change { of, revision, base, at: crate::fs::now(), path: Some(finding.path), because };
            self.push(Op::Retract(change))?;
        }
        Ok(())
    }

    /// Takes an operation on a record that the audit found.
    fn push(&mut self, op: Op) -> Result<(), Error> {
        if let Op::Amend(amendment) = &op {
            self.group_bytes += amendment.record.files.iter().map(|file| file.text.len()).sum::<usize>();
        }
        self.report.reconciled += 1;
        self.group.push(op);
        if self.group.len() == GROUP || self.group_bytes > GROUP_BYTES { self.append() } else { Ok(()) }
    }

    /// Repeats the latest revision that file and history have of a record, as the operation that it came from: its
    /// revision brings every store to it.
    fn revision_again(&mut self, finding: &Finding) -> Result<(), Error> {
        let on_disk = self.pipeline.home().dir().content(&finding.path, READ_BYTES_MAX)?;
        let in_tree = self.pipeline.committed_file(&finding.path)?;
        let parsed = |bytes: &Vec<u8>| page::parse(bytes).ok().filter(|it| Some(it.id) == finding.id);
        let pages =
            [on_disk, in_tree].into_iter().flatten().filter_map(|bytes| Some((parsed(&bytes)?.amended()?, bytes)));
        let Some((amended, bytes)) = pages.max_by_key(|(amended, _)| amended.revision) else { return Ok(()) };
        let Ok(Parsed { id, created_at, request: Some(request), .. }) = page::parse(&bytes) else { return Ok(()) };
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let files = vec![FileImage { path: finding.path.clone(), text }];
        let Request { record, key, provenance } = request;
        let record = Intent { id, created_at, key, record, provenance, amended: Some(amended), files, from: None };
        self.amendment(finding, record, Revision::first(id))
    }

    /// Everything goes through the journal, even a lone row: applying and committing it again has no other effect.
    pub(super) fn again(&mut self, intent: Intent) -> Result<(), Error> {
        self.group_bytes += intent.files.iter().map(|file| file.text.len()).sum::<usize>();
        self.group.push(Op::Record(Box::new(intent)));
        if self.group.len() == GROUP || self.group_bytes > GROUP_BYTES { self.append() } else { Ok(()) }
    }

    /// Repeats the parked operations that can be applied by now; with `everything`, those that were refused, too.
    /// Returns them. What is parked again stays parked.
    pub(super) fn retry_ops(&mut self, everything: bool) -> Result<Vec<(String, Op)>, Error> {
        let mut ops = Vec::new();
        for (name, op) in Quarantine::new(self.pipeline.home())?.parked_ops(everything)? {
            if self.pipeline.can_apply(&op)? {
                self.group.push(op.clone());
                ops.push((name, op));
            }
        }
        Ok(ops)
    }

    pub(super) fn append(&mut self) -> Result<(), Error> {
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
        let mut companions = Vec::new();
        for path in beside(&finding.path) {
            companions.extend(dir.content(&path, READ_BYTES_MAX)?.map(|bytes| (path, bytes)));
        }
        self.bring_back(finding, bytes, companions)
    }

    fn restore_file(&mut self, finding: &Finding) -> Result<(), Error> {
        let Some(bytes) = self.pipeline.committed_file(&finding.path)? else { return Ok(()) };
        let mut companions = Vec::new();
        for path in beside(&finding.path) {
            companions.extend(self.pipeline.committed_file(&path)?.map(|bytes| (path, bytes)));
        }
        self.bring_back(finding, bytes, companions)
    }

    fn bring_back(
        &mut self,
        finding: &Finding,
        bytes: Vec<u8>,
        companions: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
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
        let (id, created_at, mut request) = parsed;
        let said = request.provenance.origin;
        request.provenance.origin = self.origin_of(finding, &request)?;
        let text = match request.provenance.origin == said || finding.evidence.history != audit::HistoryState::Never {
            true => text,
            // This home is about to commit it, so the page says what is believed.
            false => page_of(id, created_at, &request, amended.as_ref()).unwrap_or(text),
        };
        let Request { record, key, provenance } = request;
        let mut files = vec![FileImage { path: finding.path.clone(), text }];
        for (path, bytes) in companions {
            files.extend(String::from_utf8(bytes).ok().map(|text| FileImage { path, text }));
        }
        let outcome = page::outcome_file(id, created_at, &record, amended.as_ref(), &finding.path);
        files.extend(outcome.filter(|it| files.iter().all(|file| file.path != it.path)));
        let from = self.pipeline.source_of(id, &finding.path)?;
        self.again(Intent { id, created_at, key, record, provenance, amended, files, from })
    }

    /// Who `request` is by, which the page of `finding` holds. What the index has is as it was recorded.
    fn origin_of(&mut self, finding: &Finding, request: &Request) -> Result<Option<Origin>, Error> {
        let said = request.provenance.origin;
        if said != Some(Origin::Person) || matches!(finding.evidence.row, audit::Row::Present | audit::Row::Stale) {
            return Ok(said);
        }
        let committed = self.pipeline.committed_file(&finding.path)?;
        let (pipeline, findings) = (&*self.pipeline, self.findings);
        let all = || pipeline.changed_elsewhere(&findings.iter().map(|it| it.path.clone()).collect());
        Ok(origin_of(request, committed.as_deref(), || self.elsewhere.has(&finding.path, all))?)
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
        let amended = self.pipeline.amended(id)?;
        if let Some(amended) = &amended
            && let Some(page) = self.pipeline.committed_file(&finding.path)?
            && let Ok(page) = page::parse(&page)
            && page.id == id
        {
            return self.amend_again(finding, page, &request.record, amended);
        }
        let mut files = page::files(known.id, known.created_at, &request, Level::Day);
        if let (Some(amended), Some(page)) = (&amended, files.first_mut()) {
            page.text = page::amended_page(known.id, known.created_at, &request, amended);
        }
        // The row says where the record is, whatever its page would be named today.
        let folder = split(&finding.path).0;
        files.retain(|file| split(&file.path).1 != OUTCOME);
        for (at, file) in files.iter_mut().enumerate() {
            file.path = if at == 0 { finding.path.clone() } else { join(folder, split(&file.path).1) };
        }
        let (id, created_at) = (known.id, known.created_at);
        files.extend(page::outcome_file(id, created_at, &request.record, amended.as_ref(), &finding.path));
        let Request { record, key, provenance } = request;
        let from = self.pipeline.source_of(id, &finding.path)?;
        self.again(Intent { id, created_at, key, record, provenance, amended, files, from })
    }

    /// Repeats the amendment that only the row of a record has. A row does not hold every field: the others are as in
    /// `page`, which the history has.
    fn amend_again(&mut self, finding: &Finding, page: Parsed, row: &Record, amended: &Amended) -> Result<(), Error> {
        let (base, before) = (page.amended().map(|it| it.revision), page.fields);
        let Some(Request { mut record, key, provenance }) = page.request else { return Ok(()) };
        for (name, revision) in &amended.fields {
            let is_in_row = FieldSpec::named(name).is_some_and(|spec| index::column_of(spec.field).is_some());
            if is_in_row && page::is_later(&before, name, revision) {
                page::take(&mut record, row, name);
            }
        }
        let request = Request { record, key, provenance };
        let text = page::amended_page(page.id, page.created_at, &request, amended);
        let (id, created_at, amended) = (page.id, page.created_at, Some(amended.clone()));
        let files = vec![FileImage { path: finding.path.clone(), text }];
        let Request { record, key, provenance } = request;
        let base = base.unwrap_or(Revision::first(id));
        self.amendment(finding, Intent { id, created_at, key, record, provenance, amended, files, from: None }, base)
    }

    /// Appends the amendment to `record`, which was made from the revision `base`. If the history lacks it, and has a
    /// later restoration, the amendment is based on that: otherwise it would count as raced by the retraction before.
    fn amendment(&mut self, finding: &Finding, mut record: Intent, mut base: Revision) -> Result<(), Error> {
        let is_lacking = finding.evidence.history == audit::HistoryState::Older;
        let state = finding.state.as_ref().filter(|_| is_lacking).map(|state| state.revision);
        if let (Some(state), Some(amended)) = (state.filter(|state| *state > record.revision()), &mut record.amended) {
            (base, amended.revision) = (state, page::joined(amended.revision, state));
            let request = Request {
                record: record.record.clone(),
                key: record.key.clone(),
                provenance: record.provenance.clone(),
            };
            if let Some(file) = record.files.first_mut() {
                file.text = page::amended_page(record.id, record.created_at, &request, amended);
            }
        }
        let path = record.files.first().map(|file| file.path.clone());
        let (of, revision) = (record.id, record.revision());
        let change = Change { of, revision, base, at: crate::fs::now(), path, because: None };
        self.push(Op::Amend(Box::new(Amendment { change, record })))
    }

    /// Brings back logs, and renders pages, that are missing or that a power cut tore.
    pub(super) fn companions(&mut self, missing: &[String]) -> Result<(), Error> {
        let home = self.pipeline.home();
        let temporary = home.private_folder(TEMPORARY)?;
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
        if !missing.is_empty() {
            // They can lie in new folders, and no entry of the journal brings them back after a power cut.
            home.dir().sync_file_system()?;
        }
        Ok(())
    }
}

/// The text of the page of a record, which may have been amended.
fn page_of(id: RecordId, created_at: Timestamp, request: &Request, amended: Option<&Amended>) -> Option<String> {
    match amended {
        Some(amended) => Some(page::amended_page(id, created_at, request, amended)),
        None => page::files(id, created_at, request, Level::Day).into_iter().next().map(|file| file.text),
    }
}
