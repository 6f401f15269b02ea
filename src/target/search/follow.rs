//! Following the index: slices of a walk over all records, then slices of the change feed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::file::{SearchFile, put};
use super::{Bound, Error, Following, Search, WAIT, Watermark, documents};
use crate::home::Home;
use crate::model::RecordId;
use crate::progress::Progress;
use crate::search::{self, Writer};
use crate::target::index::{Document, FeedMark, Index};

/// The most text of a slice, in bytes.
const BYTES_MAX: usize = 8 << 20;
/// A slice while others wait, and one while nothing does.
const SHORT: Size = Size { records: 2000, time: Duration::from_millis(200) };
const LONG: Size = Size { records: 10_000, time: Duration::from_secs(2) };
/// What a slice does at least, however slow the machine is. Each slice has a price of its own: a transaction, and a segment
/// of the full-text index that has to be merged.
const RECORDS_MIN: usize = 250;
/// The feed is trimmed, after a checkpoint, once it has so many lines: more than a page of it costs each recorder a read.
const LINES_MAX: u64 = 12;

/// How large a slice may become: the most records that are read for it, and about how long it may take.
#[derive(Clone, Copy)]
struct Size {
    records: usize,
    time: Duration,
}

/// What a slice does.
struct Part {
    /// The records to look at.
    ids: Vec<RecordId>,
    /// For each of them, the watermark once it is done.
    reached: Vec<Watermark>,
    /// The watermark once all of them are done.
    end: Watermark,
    /// Whether there is nothing after it.
    is_last: bool,
    /// Whether it is of the walk over all records.
    is_walk: bool,
}

impl Search<'_> {
    /// Brings search up to date, as far as `bound` lets it. A failure is noted, and tried again later.
    pub fn follow(&mut self, bound: Bound, progress: &mut dyn Progress) -> Following {
        let now = Instant::now();
        if self.retry.is_some_and(|retry| now < retry) && !matches!(bound, Bound::Everything) {
            return Following::Failed;
        }
        let until = bound.until(now);
        let mut followed = self.slices(until, bound.at_least(), progress);
        // Once: a file that cannot be used directly after it was made is a failure.
        if let Err(error) = &followed
            && error.is_unusable()
        {
            self.throw_away(error);
            followed = self.slices(until, bound.at_least(), progress);
        }
        match followed {
            Ok(following) => {
                self.succeeded();
                self.is_behind = following != Following::UpToDate;
                following
            }
            Err(error) => {
                self.failed(&error);
                Following::Failed
            }
        }
    }

    /// Checks all of it, and throws it away if something is wrong. Returns what was.
    pub fn check(&mut self) -> Option<String> {
        self.is_behind = true;
        let wrong = match self.reach().and_then(|file| file.map(|file| file.damage()).transpose()) {
            Ok(damage) => damage.flatten().map(Error::Unusable),
            Err(error) if error.is_unusable() => Some(error),
            Err(error) => {
                self.failed(&error);
                None
            }
        };
        let wrong = wrong?;
        self.throw_away(&wrong);
        Some(crate::model::text::chain(&wrong))
    }

    /// The file, opened unless it is open; `None` if there is none.
    pub(super) fn reach(&mut self) -> Result<Option<&mut SearchFile>, Error> {
        if self.file.as_ref().is_none_or(SearchFile::has_moved) {
            self.file = None;
            self.file = SearchFile::open(self.exclusive.home())?;
        }
        Ok(self.file.as_mut())
    }

    /// Does slices until `until`, and `at_least` so many records.
    fn slices(
        &mut self,
        until: Option<Instant>,
        at_least: u64,
        progress: &mut dyn Progress,
    ) -> Result<Following, Error> {
        let home = self.exclusive.home();
        let mut index = Index::open(&home.index_path(), WAIT)?;
        index.check_schema()?;
        // At most: what search has already is not done again.
        let is_counted = until.is_none() || progress.is_watched();
        let (mut done, total) = (0, is_counted.then(|| index.count_records()).transpose()?.unwrap_or(0));
        progress.begin("building search", total);
        let size = if until.is_none() { LONG } else { SHORT };
        let following = loop {
            let (records, is_last) = self.slice(&mut index, size)?;
            done += records;
            progress.at(done.min(total));
            match is_last {
                true => break Following::UpToDate,
                false if done >= at_least && until.is_some_and(|until| until <= Instant::now()) => {
                    break Following::Behind;
                }
                false => {}
            }
        };
        progress.end();
        // Only this process moves it, so the rows that it promises are in the last slice's view of the index.
        let rows = if following == Following::UpToDate { index.watermark()? } else { None };
        self.note_made(rows.as_deref())?;
        if following == Following::UpToDate {
            self.tidy(&mut index)?;
            let is_noted = self.note_others(until)?;
            return Ok(if self.compact(until)? && is_noted { Following::UpToDate } else { Following::Behind });
        }
        Ok(following)
    }

    /// Does one slice. Returns how many records were looked at, and whether it was the last.
    fn slice(&mut self, index: &mut Index, size: Size) -> Result<(u64, bool), Error> {
        let home = self.exclusive.home();
        let newest = index.newest_change()?.ok_or(Error::IndexUnfinished)?;
        let watermark = self.begin(index, newest)?;
        let Some(file) = self.file.as_mut() else { return Ok((0, false)) };
        let snapshot = index.snapshot()?;
        let part = part(index, &watermark, size.records)?;
        if part.end == watermark {
            return Ok((0, part.is_last));
        }
        let done = write(home, index, file, &part, size.time)?;
        drop(snapshot);
        if file.checkpoint(home, false)? {
            trim(index, file, self.kept)?;
        }
        Ok((done as u64, part.is_last && done == part.ids.len()))
    }

    /// Opens the file, and makes it if there is none. Returns its watermark, which the index bears out.
    fn begin(&mut self, index: &Index, newest: FeedMark) -> Result<Watermark, Error> {
        let home = self.exclusive.home();
        let watermark = match self.reach()? {
            Some(file) => file.watermark()?,
            None => {
                let file = SearchFile::make(home, &newest)?;
                tracing::info!("search is being built");
                let watermark = file.watermark()?;
                self.file = Some(file);
                watermark
            }
        };
        let watermark = watermark.ok_or_else(|| Error::Unusable("it does not say how far it is".to_owned()))?;
        match index.has_line(&watermark.feed)? {
            true => Ok(watermark),
            false => Err(Error::Unusable("it follows another index, or one from another time".to_owned())),
        }
    }

    /// Search is up to date: makes that durable and trims the feed, if there is enough to trim.
    fn tidy(&mut self, index: &mut Index) -> Result<(), Error> {
        let home = self.exclusive.home();
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        let Some(watermark) = file.watermark()? else { return Ok(()) };
        if index.count_changes_after(0)? > LINES_MAX && file.checkpoint(home, true)? {
            trim_to(index, &watermark, self.kept)?;
        }
        Ok(())
    }

    /// The last step of a process that has brought it up to date: leaves no log that every reader would have to read.
    pub fn end(&mut self) {
        let home = self.exclusive.home();
        let Some(file) = self.file.as_mut() else { return };
        let tidied = file.checkpoint(home, true).and_then(|is_durable| {
            let watermark = file.watermark()?.filter(|_| is_durable);
            let Some(watermark) = watermark else { return Ok(()) };
            let mut index = Index::open(&home.index_path(), WAIT)?;
            match index.has_line(&watermark.feed)? {
                true => trim_to(&mut index, &watermark, self.kept),
                false => Ok(()),
            }
        });
        if let Err(error) = tidied {
            tracing::debug!(error = crate::model::text::chain(&error), "search was not checkpointed");
        }
        self.file = None;
    }
}

/// What comes after `watermark`, `limit` records at most.
fn part(index: &Index, watermark: &Watermark, limit: usize) -> Result<Part, Error> {
    match &watermark.cursor {
        Some(cursor) => {
            let found = index.ids_after(cursor, limit)?;
            let is_last = found.len() < limit;
            let (ids, reached, end) = (Vec::new(), Vec::new(), watermark.clone());
            let mut part = Part { ids, reached, end, is_last: false, is_walk: true };
            for id in found {
                let reached = Watermark { cursor: Some(id.clone()), ..watermark.clone() };
                // What is no id is no record.
                if let Ok(id) = id.parse() {
                    part.ids.push(id);
                    part.reached.push(reached.clone());
                }
                part.end = reached;
            }
            if is_last {
                part.end.cursor = None;
            }
            Ok(part)
        }
        None => {
            let changes = index.changes(watermark.feed.seq, limit)?;
            let is_last = changes.len() < limit;
            let (ids, reached, end) = (Vec::new(), Vec::new(), watermark.clone());
            let mut part = Part { ids, reached, end, is_last, is_walk: false };
            let mut seen = HashSet::new();
            for change in changes {
                let reached = Watermark { feed: change.mark, cursor: None };
                // A record is read as it is now, so once is enough.
                if let Some(id) = change.id.filter(|id| seen.insert(*id)) {
                    part.ids.push(id);
                    part.reached.push(reached.clone());
                }
                part.end = reached;
            }
            Ok(part)
        }
    }
}

/// Puts the records of `part` in, or takes those out that have no row, in one transaction. Returns how many it did before
/// the slice was full.
fn write(home: &Home, index: &Index, file: &mut SearchFile, part: &Part, time_max: Duration) -> Result<usize, Error> {
    let mut documents = index.documents()?;
    let begun = Instant::now();
    let mut failed = None;
    let mut done = 0_usize;
    let written = file.write(|transaction| {
        let mut writer = Writer::open(transaction)?;
        let mut bytes = 0;
        for id in &part.ids {
            match documents.find(*id) {
                Ok(Some(document)) => bytes += put_in(home, &mut writer, document)?,
                Ok(None) => drop(writer.remove(*id)?),
                Err(error) => {
                    failed = Some(error);
                    return Err(rusqlite::Error::InvalidQuery);
                }
            }
            done += 1;
            if bytes >= BYTES_MAX || done >= RECORDS_MIN && begun.elapsed() >= time_max {
                break;
            }
        }
        writer.finish()?;
        let reached = part.reached.get(done.wrapping_sub(1)).filter(|_| done < part.ids.len());
        let reached = reached.unwrap_or(&part.end);
        if part.is_walk && reached.cursor.is_none() {
            search::merge_as_they_come(transaction, true)?;
        }
        put(transaction, reached)
    });
    match failed {
        Some(error) => Err(error.into()),
        None => written.map(|()| done),
    }
}

/// Puts a record in. Returns about how many bytes of text it has.
fn put_in(home: &Home, writer: &mut Writer<'_>, document: Document) -> Result<usize, rusqlite::Error> {
    let document = documents::whole(home, document);
    writer.put(&documents::doc(&document))?;
    Ok(documents::bytes(&document))
}

fn trim(index: &mut Index, file: &SearchFile, kept: Option<u64>) -> Result<(), Error> {
    match file.watermark()? {
        Some(watermark) => trim_to(index, &watermark, kept),
        None => Ok(()),
    }
}

/// Removes the lines of the feed before `watermark`, which is durable, and before the line `kept`. If the index is locked, it is
/// done later.
fn trim_to(index: &mut Index, watermark: &Watermark, kept: Option<u64>) -> Result<(), Error> {
    match index.trim_changes(watermark.feed.seq.min(kept.unwrap_or(u64::MAX))) {
        Err(error) if error.is_transient() => Ok(()),
        trimmed => Ok(trimmed.map(|_| ())?),
    }
}
