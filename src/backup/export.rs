//! The lines of a home. Nothing is changed.

use std::io;

use jiff::Timestamp;

use super::Error;
use super::line::{Begin, End, LINE_BYTES_MAX, Line, RecordLine, RetractedLine, VERSION};
use crate::home::Home;
use crate::model::{FileImage, Kind, Level, RecordPath, Request, limits};
use crate::page;
use crate::progress::Progress;
use crate::query::{Recorded, View, Wanted, each_retracted, every};

/// What an export has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records, verdicts among them.
    pub records: u64,
    /// Records that are only said to be retracted.
    pub retracted: u64,
    /// Records whose log, and what their owners wrote into their pages, is left out: their lines would be too long.
    pub cut: u64,
}

/// Calls `write` with each line, which ends in a line feed, of the records of `view` that `wanted` accepts and the verdicts on them. With
/// no filter, also of those that were retracted.
///
/// # Errors
/// [`Error::NoIndex`], [`Error::Query`], and [`Error::Write`] for those of `write`.
pub fn export(
    home: &Home,
    view: &View<'_>,
    wanted: Wanted<'_>,
    progress: &mut dyn Progress,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Exported, Error> {
    let mut put = |line: &Line| {
        let mut json = line.to_json();
        json.push(b'\n');
        write(&json).map_err(Error::Write)
    };
    let at = crate::fs::now();
    let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    put(&Line::Begin(Begin { version: VERSION, home: home.id(), at }))?;
    let mut exported = Exported::default();
    let has_index = every(view, wanted, progress, |recorded| {
        exported.records += 1;
        let mut line = line_of(home, view.as_kept(recorded));
        let more = line.page.as_ref().map_or(0, String::len) + line.log.as_ref().map_or(0, String::len);
        // Escaped, they can be six times as long.
        if more > LINE_BYTES_MAX / 8 && Line::Record(Box::new(line.clone())).to_json().len() >= LINE_BYTES_MAX {
            (line.page, line.log) = (None, None);
            exported.cut += 1;
        }
        put(&Line::Record(Box::new(line)))
    })?;
    if !has_index {
        return Err(Error::NoIndex);
    }
    if wanted.is_all() {
        each_retracted(view, |mark| {
            exported.retracted += 1;
            let line = RetractedLine { id: mark.of, revision: mark.revision, at: mark.at, because: mark.because };
            put(&Line::Retracted(line))
        })?;
    }
    put(&Line::End(End { lines: exported.records + exported.retracted }))?;
    Ok(exported)
}

/// The line of `recorded`.
fn line_of(home: &Home, recorded: Recorded) -> RecordLine {
    let path = RecordPath(&recorded.path).page().into_owned();
    let read = |path: &str| {
        let bytes = home.dir().content(path, limits::FILE_BYTES_MAX as u64).ok().flatten()?;
        String::from_utf8(bytes).ok()
    };
    let page = read(&path).filter(|page| is_page_of(&recorded, page));
    let log = match recorded.kind() {
        Kind::Experiment => RecordPath(&path).log().and_then(|log| read(&log)),
        _ => None,
    };
    let Recorded { id, created_at, amended, request, .. } = recorded;
    let made = page::files(id, created_at, &request, Level::Day);
    let log = log.filter(|log| made.iter().skip(1).all(|file: &FileImage| file.text != *log));
    let Request { record, key, provenance } = request;
    RecordLine { id, created_at, key, record, provenance, amended, path, page, log }
}

/// Whether `page` says what `recorded` does, in other bytes than its fields make. An edit that no amendment has taken is not exported.
fn is_page_of(recorded: &Recorded, page: &str) -> bool {
    page.as_bytes() != recorded.page()
        && page::parse(page.as_bytes()).is_ok_and(|parsed| {
            parsed.id == recorded.id
                && parsed.created_at.as_millisecond() == recorded.created_at.as_millisecond()
                && parsed.amended() == recorded.amended
                && parsed.request.as_ref() == Some(&recorded.request)
        })
}
