//! Following the index: slices of a walk over all records, then slices of the change feed.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::file::{SearchFile, put};
use super::{Bound, Cursor, Error, Following, Search, WAIT, Watermark, documents, noted};
use crate::home::Home;
use crate::model::RecordId;
use crate::progress::Progress;
use crate::search::{self, Age, Writer};
use crate::target::index::{FeedMark, Index};

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

/// The records of the feed that are put in together, by age.
const TOGETHER: usize = 250;
/// The records of the walk whose ages are read at once: some megabytes.
const AHEAD_MAX: usize = 100_000;

/// The next records of the walk, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The line of the feed at which the walk began.
    of: FeedMark,
    /// The record before them.
    begin: Cursor,
    /// When each was recorded, as its row has it, and its id.
    records: VecDeque<(Box<str>, RecordId)>,
    /// Whether these are all that are left.
    is_end: bool,
}

impl Ahead {
    /// The first `done` of them were walked, the last of which is at `reached`.
    fn walked(&mut self, done: usize, reached: Option<&Watermark>) {
        self.records.drain(..done.min(self.records.len()));
        if let Some(cursor) = reached.and_then(|it| it.cursor.as_ref()) {
            self.begin.clone_from(cursor);
        }
    }
}

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
        let home = self.exclusive.home();
        let look = |file: &mut SearchFile| match file.damage()? {
            None => noted::wrong(home, &file.connection),
            damage => Ok(damage),
        };
        let wrong = match self.reach().and_then(|file| file.map(look).transpose()) {
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
        let snapshot = index.snapshot()?;
        let part = self.part(index, &watermark, size.records)?;
        if part.end == watermark {
            return Ok((0, part.is_last));
        }
        let Some(file) = self.file.as_mut() else { return Ok((0, false)) };
        let done = write(home, index, file, &part, size.time)?;
        drop(snapshot);
        if part.is_walk {
            self.ahead.walked(done, part.reached.get(done.wrapping_sub(1)));
        }
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

impl Search<'_> {
    /// What comes after `watermark`, `limit` records at most.
    fn part(&mut self, index: &Index, watermark: &Watermark, limit: usize) -> Result<Part, Error> {
        match &watermark.cursor {
            Some(cursor) => self.part_of_walk(index, watermark, cursor, limit),
            None => part_of_feed(index, watermark, limit),
        }
    }

    fn part_of_walk(
        &mut self,
        index: &Index,
        watermark: &Watermark,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<Part, Error> {
        let ahead = &mut self.ahead;
        // There is no index of ages, so many are read at once. A record that is recorded meanwhile is in the feed.
        if ahead.of != watermark.feed || ahead.records.is_empty() || ahead.begin != *cursor {
            let (found, is_all) = index.oldest_after((&cursor.created_at, &cursor.id), AHEAD_MAX)?;
            let is_end = is_all || found.is_empty();
            let records = found.into_iter().map(|(created_at, id)| (created_at.into_boxed_str(), id)).collect();
            *ahead = Ahead { of: watermark.feed.clone(), begin: cursor.clone(), records, is_end };
        }
        let next = ahead.records.iter().take(limit);
        let cursor_at = |(created_at, id): &(Box<str>, RecordId)| {
            let cursor = Cursor { created_at: created_at.to_string(), id: id.to_string() };
            Watermark { cursor: Some(cursor), ..watermark.clone() }
        };
        let reached: Vec<Watermark> = next.clone().map(cursor_at).collect();
        let is_last = ahead.is_end && ahead.records.len() <= limit;
        let end = match is_last {
            true => Watermark { cursor: None, ..watermark.clone() },
            false => reached.last().unwrap_or(watermark).clone(),
        };
        Ok(Part { ids: next.map(|it| it.1).collect(), reached, end, is_last: false, is_walk: true })
    }
}

/// The lines of the feed after `watermark`, `limit` at most.
fn part_of_feed(index: &Index, watermark: &Watermark, limit: usize) -> Result<Part, Error> {
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
        while done < part.ids.len() && bytes < BYTES_MAX && (done < RECORDS_MIN || begun.elapsed() < time_max) {
            let mut together = Vec::new();
            for id in part.ids[done..].iter().take(TOGETHER) {
                match documents.find(*id) {
                    Ok(Some(document)) => together.push(documents::whole(home, document)),
                    Ok(None) => drop(writer.remove(*id)?),
                    Err(error) => {
                        failed = Some(error);
                        return Err(rusqlite::Error::InvalidQuery);
                    }
                }
                done += 1;
                bytes += together.last().map_or(0, documents::bytes);
                if bytes >= BYTES_MAX {
                    break;
                }
            }
            // The feed has them in the order of their rows, which is nearly that of their age.
            together.sort_by_key(|it| Age::new(it.created_at, it.id));
            together.iter().try_for_each(|it| writer.put(&documents::doc(it)))?;
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
