//! Operations that are written once more, so that each store comes to the latest revision that one of them has.

use jiff::Timestamp;

use super::{Error, GROUP, GROUP_BYTES, Mending, READ_BYTES_MAX};
use crate::audit::{self, Action, Finding};
use crate::model::path::of_state_file;
use crate::model::{Amendment, Change, FileImage, Intent, Op, Request, Revision};
use crate::page::{self, Parsed};

impl Mending<'_, '_> {
    /// The retraction or restoration that the record's state file says, once more: its revision brings every store to it, and
    /// changes nothing where they have it. One of which nothing is left but the name of a torn state file is a retraction.
    pub(super) fn state_again(&mut self, finding: &Finding) -> Result<(), Error> {
        let Some(of) = finding.id.or(finding.state.as_ref().map(|state| state.of)) else { return Ok(()) };
        let path = Some(finding.path.clone()).filter(|path| of_state_file(path).is_none());
        let (restored, revision, at, because) = match &finding.state {
            Some(state) => (!state.state.is_hidden(), state.revision, state.at, state.because.clone()),
            None => (false, Revision::first(of).next(), Timestamp::now(), None),
        };
        let change = Change { of, revision, base: Revision::first(of), at, path, because };
        self.group.push(if restored { Op::Restore(change) } else { Op::Retract(change) });
        if self.group.len() == GROUP { self.append() } else { Ok(()) }
    }

    /// The latest of what file and history have of a record, once more, as the operation that it is from: its revision brings
    /// every store to it.
    pub(super) fn revision_again(&mut self, finding: &Finding) -> Result<(), Error> {
        if finding.evidence.state == audit::State::Restored && finding.action == Action::CommitRevision {
            return self.state_again(finding);
        }
        let on_disk = self.pipeline.home().dir().content(&finding.path, READ_BYTES_MAX)?;
        let in_tree = self.pipeline.committed_file(&finding.path)?;
        let parsed = |bytes: &Vec<u8>| page::parse(bytes).ok().filter(|it| Some(it.id) == finding.id);
        let pages =
            [on_disk, in_tree].into_iter().flatten().filter_map(|bytes| Some((parsed(&bytes)?.amended()?, bytes)));
        let Some((amended, bytes)) = pages.max_by_key(|(amended, _)| amended.revision) else { return Ok(()) };
        let Ok(Parsed { id, created_at, request: Some(request), .. }) = page::parse(&bytes) else { return Ok(()) };
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let (revision, files) = (amended.revision, vec![FileImage { path: finding.path.clone(), text }]);
        let Request { record, key, provenance } = request;
        let record = Intent { id, created_at, key, record, provenance, amended: Some(amended), files };
        let (base, path) = (Revision::first(id), Some(finding.path.clone()));
        let change = Change { of: id, revision, base, at: Timestamp::now(), path, because: None };
        self.group_bytes += record.files.iter().map(|file| file.text.len()).sum::<usize>();
        self.group.push(Op::Amend(Box::new(Amendment { change, record })));
        if self.group.len() == GROUP || self.group_bytes > GROUP_BYTES { self.append() } else { Ok(()) }
    }
}
