//! Lines into a home, by its journal.
//!
//! 1. A line says nothing that is believed of it: id, times, revisions, limits, path and page are checked. A path that is not one
//!    that such a record has is replaced by the one that it would get here.
//! 2. That a person wrote a record is believed only if the caller answers for it: otherwise it is an `import`, which no agent is told
//!    unasked, and a promotion does not count.
//! 3. A record that the home has, or had and hides, stays as it is. It is named if the line has another revision of it.
//! 4. A line that says that a record was retracted keeps away one that the home does not know, and changes no other.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::Error;
use super::line::{BadLine, Line, RecordLine, RetractedLine, VERSION};
use crate::home::Home;
use crate::journal::{Appender, ENTRY_BYTES_MAX};
use crate::model::path::day_of;
use crate::model::{
    Amended, Change, FieldSpec, FileImage, Intent, Level, Op, Origin, Record, RecordId, RecordPath, Request, Revision,
    limits,
};
use crate::page::{self, Presence, check_amended, check_time, is_path_of};
use crate::record::Redaction;
use crate::target::index::{Index, Others};
use crate::target::spread::{self, Planned};

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are new here.
    pub imported: u64,
    /// Records that the home has already, at the same revision.
    pub known: u64,
    /// Records that the home has at another revision: they stay as they are.
    pub differ: u64,
    /// Records that were retracted or erased here: they stay away.
    pub hidden: u64,
    /// Records of persons that became imports.
    pub of_persons: u64,
    /// Retractions that are new here.
    pub retracted: u64,
    /// Retractions of records that the home has: they stay.
    pub not_retracted: u64,
}

/// Why a line was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl From<BadLine> for Refused {
    fn from(BadLine(text): BadLine) -> Refused {
        Refused(text)
    }
}

impl From<crate::model::Invalid> for Refused {
    fn from(invalid: crate::model::Invalid) -> Refused {
        Refused(invalid.to_string())
    }
}

/// Imports lines into one home. What it has taken is imported once [`Importer::keep`] returned.
#[derive(Debug)]
pub struct Importer<'h> {
    home: &'h Home,
    redaction: Redaction,
    keeps_persons: bool,
    /// The longest wait for SQLite.
    wait: Duration,
    index: Option<Index>,
    /// The records of lines since the index was opened.
    taken: HashSet<RecordId>,
    /// The names that folders will get from these.
    planned: Planned,
    /// The paths of the group.
    paths: Vec<String>,
    group: Vec<Vec<u8>>,
    group_bytes: usize,
    counts: Counts,
    /// The lines that the first line's export has, if there was a first line.
    has_begun: bool,
    lines: u64,
    has_ended: bool,
}

impl<'h> Importer<'h> {
    /// An importer for `home`, in which texts pass `redaction`. With `keeps_persons`, what persons wrote stays theirs: the caller
    /// answers for it that the lines are a backup of the person's own who asks for this.
    pub fn new(home: &'h Home, redaction: Redaction, keeps_persons: bool, wait: Duration) -> Importer<'h> {
        Importer {
            home,
            redaction,
            keeps_persons,
            wait,
            index: None,
            taken: HashSet::new(),
            planned: Planned::default(),
            paths: Vec::new(),
            group: Vec::new(),
            group_bytes: 0,
            counts: Counts::default(),
            has_begun: false,
            lines: 0,
            has_ended: false,
        }
    }

    /// What became of the lines so far. The last group counts as well.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many bytes of entries wait for [`Importer::keep`].
    pub fn waiting(&self) -> usize {
        self.group_bytes
    }

    /// How many records were taken since the index was last looked at.
    pub fn since_looked(&self) -> usize {
        self.taken.len()
    }

    /// Whether lines are missing at the end: the export said where it ends, and did not get there.
    pub fn is_cut(&self) -> bool {
        self.has_begun && !self.has_ended
    }

    /// Takes a line. Returns the id of a record that the home has at another revision.
    ///
    /// # Errors
    /// `Ok(Err(_))` for a line that is refused; it changes nothing. [`Error::Index`] if the home cannot be asked.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Result<Option<RecordId>, Refused>, Error> {
        let line = match Line::of_json(bytes) {
            Ok(line) => line,
            Err(bad) => return Ok(Err(bad.into())),
        };
        if self.has_ended {
            return Ok(Err(Refused("it comes after the line that ends the export".into())));
        }
        match line {
            Line::Begin(begin) if begin.version > VERSION => {
                let why = format!("the export is of version {}, and this program knows {VERSION}", begin.version);
                Ok(Err(Refused(why)))
            }
            Line::Begin(_) => {
                self.has_begun = true;
                Ok(Ok(None))
            }
            Line::End(end) => {
                self.has_ended = true;
                let missing = format!("the export had {} lines, and {} came before its end", end.lines, self.lines);
                Ok(if end.lines == self.lines { Ok(None) } else { Err(Refused(missing)) })
            }
            Line::Retracted(line) => {
                self.lines += 1;
                self.retracted(line)
            }
            Line::Record(line) => {
                self.lines += 1;
                self.record(*line)
            }
        }
    }

    fn index(&mut self) -> Result<&Index, Error> {
        let index = match self.index.take() {
            Some(index) => index,
            None => {
                let index = Index::open_to_read(&self.home.index_path(), self.wait, Others::MayWrite)?;
                index.check_schema()?;
                index
            }
        };
        Ok(self.index.insert(index))
    }

    /// What the home has of `id`: its revision, and whether it is hidden.
    fn known(&mut self, id: RecordId) -> Result<(Option<Revision>, bool), Error> {
        let index = self.index()?;
        let is_hidden = index.mark(id)?.is_some_and(|mark| mark.state != Presence::Restored);
        let is_there = index.find(id)?.is_some();
        let revision = match is_there {
            true => Some(index.amended(id)?.map_or(Revision::first(id), |amended| amended.revision)),
            false => None,
        };
        Ok((revision, is_hidden))
    }

    fn record(&mut self, line: RecordLine) -> Result<Result<Option<RecordId>, Refused>, Error> {
        let id = line.id;
        let said = line.provenance.origin;
        let (intent, json) = match self.intent(line).and_then(entry_of) {
            Ok(made) => made,
            Err(refused) => return Ok(Err(refused)),
        };
        let (known, is_hidden) = self.known(id)?;
        let is_repeated = !self.taken.insert(id);
        match known {
            _ if is_hidden => self.counts.hidden += 1,
            Some(revision) if revision == intent.revision() => self.counts.known += 1,
            Some(_) => {
                self.counts.differ += 1;
                return Ok(Ok(Some(id)));
            }
            None if is_repeated => self.counts.known += 1,
            None => {
                self.counts.imported += 1;
                let is_changed = said == Some(Origin::Person) && intent.provenance.origin != said;
                self.counts.of_persons += u64::from(is_changed);
                self.planned.add(intent.path());
                self.paths.push(intent.path().to_owned());
                self.group_bytes += json.len();
                self.group.push(json);
            }
        }
        Ok(Ok(None))
    }

    fn retracted(&mut self, line: RetractedLine) -> Result<Result<Option<RecordId>, Refused>, Error> {
        let RetractedLine { id, revision, at, because } = line;
        let because = because.map(|text| self.redaction.text(&text).into_owned());
        if let (Some(because), Some(spec)) = (&because, FieldSpec::named("because"))
            && let Err(invalid) = spec.check(because)
        {
            return Ok(Err(invalid.into()));
        }
        if let Err(why) = check_time("at", at) {
            return Ok(Err(Refused(why)));
        }
        let (known, is_hidden) = self.known(id)?;
        match known {
            _ if is_hidden => self.counts.known += 1,
            Some(_) => self.counts.not_retracted += 1,
            None if !self.taken.insert(id) => self.counts.not_retracted += 1,
            None => {
                self.counts.retracted += 1;
                let change = Change { of: id, revision, base: Revision::first(id), at, path: None, because };
                let json = Op::Retract(change).to_json();
                self.group_bytes += json.len();
                self.group.push(json);
            }
        }
        Ok(Ok(None))
    }

    /// The intent that `line` makes.
    fn intent(&self, line: RecordLine) -> Result<Intent, Refused> {
        let RecordLine { id, created_at, key, record, provenance, amended, path, page, log } = line;
        let mut request = Request { record, key, provenance };
        check_time("created_at", created_at).map_err(Refused)?;
        let created_at = Timestamp::from_millisecond(created_at.as_millisecond()).unwrap_or(created_at);
        if let Some(amended) = &amended {
            check_amended(id, &request.record, amended).map_err(Refused)?;
        }
        request.check()?;
        let before = request.clone();
        if request.provenance.origin == Some(Origin::Person) && !self.keeps_persons {
            request.provenance.origin = Some(Origin::Import);
        }
        request.for_each_text(|text| {
            if let Cow::Owned(redacted) = self.redaction.text(text) {
                *text = redacted;
            }
        });
        request.check()?;
        let is_as_given = request == before;
        let page = page.filter(|_| is_as_given);
        let log = log.map(|log| self.redaction.text(&log).into_owned());
        let level = match is_path_of(id, &request.record, &path) {
            true => Level::Day,
            false => self.level(id, created_at, &request.record),
        };
        let files = files_of(id, created_at, &request, amended.as_ref(), (&path, level), page, log)?;
        let Request { record, key, provenance } = request;
        Ok(Intent { id, created_at, key, record, provenance, amended, files, from: None })
    }

    /// The level of the folders of its day in which a record is placed that brings no path.
    fn level(&self, id: RecordId, created_at: Timestamp, record: &Record) -> Level {
        let folder = day_of(record, created_at).and_then(|day| self.home.dir().folder(&day).ok());
        folder.and_then(|day| spread::level_in(&day, created_at, id).ok()).unwrap_or(Level::Day)
    }

    /// Appends what was taken to the journal, and syncs it: from then on it is imported, whatever happens next.
    ///
    /// # Errors
    /// [`Error::Journal`]: none of what was taken since the last call is imported.
    pub fn keep(&mut self) -> Result<(), Error> {
        self.group_bytes = 0;
        let (group, paths) = (std::mem::take(&mut self.group), std::mem::take(&mut self.paths));
        if !group.is_empty() {
            let _ = Appender::open_for_operations(self.home.journal())?.append(&group)?.sync()?;
            spread::spread_full(self.home.dir(), paths.iter().map(String::as_str), &self.planned);
        }
        Ok(())
    }

    /// Forgets the lines that wait: they are only counted.
    pub fn forget(&mut self) {
        self.group.clear();
        self.paths.clear();
        self.group_bytes = 0;
    }

    /// Closes the index, and looks at it again with the next line: what was kept may be applied then. Called before this process
    /// applies anything.
    pub fn look_again(&mut self) {
        self.index = None;
        self.taken.clear();
        self.planned = Planned::default();
    }
}

/// The files of a record: at the path of `place` if such a record can be there, else at the level of it.
fn files_of(
    id: RecordId,
    created_at: Timestamp,
    request: &Request,
    amended: Option<&Amended>,
    (path, level): (&str, Level),
    page: Option<String>,
    log: Option<String>,
) -> Result<Vec<FileImage>, Refused> {
    let mut files = page::files(id, created_at, request, level);
    let Some(own) = files.first_mut() else { return Err(Refused("the record has no page".into())) };
    if let Some(amended) = amended {
        own.text = page::amended_page(id, created_at, request, amended);
    }
    if let Some(text) = page {
        let parsed = page::parse(text.as_bytes()).map_err(|error| Refused(format!("page: {error}")))?;
        let is_its = parsed.id == id
            && parsed.created_at == created_at
            && parsed.amended().as_ref() == amended
            && parsed.request.as_ref() == Some(request);
        if !is_its {
            return Err(Refused("page: it does not say what the line says".into()));
        }
        own.text = text;
    }
    if is_path_of(id, &request.record, path) {
        own.path = path.to_owned();
        if let Some(at) = RecordPath(path).log() {
            files.truncate(1);
            let made = page::files(id, created_at, request, Level::Day).into_iter().nth(1);
            files.extend(made.map(|file| FileImage { path: at, text: file.text }));
        }
    }
    if let (Some(log), Some(file)) = (log, files.get_mut(1)) {
        if log.len() > limits::FILE_BYTES_MAX || log.contains('\0') {
            return Err(Refused("log: it is no text that a log can be".into()));
        }
        file.text = log;
    }
    let own = files.first().map(|file| file.path.clone()).unwrap_or_default();
    files.truncate(if matches!(request.record, Record::Experiment(_)) { 2 } else { 1 });
    files.extend(page::outcome_file(id, created_at, &request.record, amended, &own));
    Ok(files)
}

/// The entry of `intent`.
fn entry_of(intent: Intent) -> Result<(Intent, Vec<u8>), Refused> {
    let op = Op::Record(Box::new(intent));
    let json = op.to_json();
    let intent = op.into_intent().ok_or_else(|| Refused("it is no record".into()))?;
    match json.len() + 64 > ENTRY_BYTES_MAX {
        true => Err(Refused(format!("it makes an entry of {} bytes; the journal takes {ENTRY_BYTES_MAX}", json.len()))),
        false => Ok((intent, json)),
    }
}
