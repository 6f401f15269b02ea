//! Following the index: slices of a walk over all records, then slices of the change feed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Error, Known, Open, WAIT, Walk};
use crate::home::Home;
use crate::known::{Book, Failure, Mark, Success, Time};
use crate::model::layout::KNOWN;
use crate::model::{Kind, RecordId};
use crate::target::index::{Again, Document, Documents, FeedMark, Index};
use crate::target::search::documents;
use crate::target::search::{Bound, Following};

/// The most records of a slice, how many it has at least however slow the machine is, and about how long it may take.
const RECORDS_MAX: usize = 2000;
const RECORDS_MIN: usize = 250;
const TIME_MAX: Duration = Duration::from_millis(50);
/// All cases stay in memory between two slices if there are so few.
const CASES_KEPT_MAX: usize = 1000;

impl Known<'_> {
    /// Brings the file up to date, as far as `bound` lets it. A failure is noted, and tried again later.
    pub fn follow(&mut self, bound: Bound) -> Following {
        let due = self.due();
        let now = Instant::now();
        if due.is_none_or(|due| due > now) && !matches!(bound, Bound::Everything) {
            return if self.retry.is_some() { Following::Failed } else { Following::UpToDate };
        }
        let until = bound.until(now);
        match self.slices(until, bound.at_least()) {
            Ok(following) => {
                self.succeeded();
                self.is_behind = following != Following::UpToDate;
                following
            }
            Err(error) => {
                if error.is_refused() {
                    self.forget_all();
                }
                self.failed(&error);
                // A lock is free again soon.
                if error.is_busy() {
                    self.retry = Some(now + Duration::from_secs(1));
                }
                Following::Failed
            }
        }
    }

    /// Does slices until `until`, and `at_least` so many records.
    fn slices(&mut self, until: Option<Instant>, at_least: u64) -> Result<Following, Error> {
        let home = self.exclusive.home();
        let mut index = Index::open(&home.index_path(), WAIT)?;
        index.check_schema()?;
        let mut done = 0;
        let following = loop {
            let is_last = self.slice(&mut index, until.is_none())?;
            done += RECORDS_MIN as u64;
            match is_last {
                true => break Following::UpToDate,
                false if done >= at_least && until.is_some_and(|until| until <= Instant::now()) => {
                    break Following::Behind;
                }
                false => {}
            }
        };
        if following == Following::UpToDate
            && self.waits.is_none()
            && self.open.as_ref().is_some_and(|open| open.book.count() > CASES_KEPT_MAX)
        {
            self.open = None;
        }
        Ok(following)
    }

    /// Does one slice. Returns whether it was the last.
    fn slice(&mut self, index: &mut Index, now: bool) -> Result<bool, Error> {
        let newest = index.newest_change()?.ok_or(Error::IndexUnfinished)?;
        self.begin(index, newest)?;
        let home = self.exclusive.home();
        let Some(open) = self.open.as_mut() else { return Ok(true) };
        let snapshot = index.snapshot()?;
        let is_last = match open.walk.take() {
            Some(walk) => open.walk(home, index, walk)?,
            None => open.follow(home, index)?,
        };
        drop(snapshot);
        match &open.walk {
            Some(walk) => self.needs = Some(walk.begun.seq),
            None => {
                self.write(now)?;
                // If it waits to be written, another process follows from the mark in the file.
                let mark = self.open.as_ref().and_then(|open| open.book.written_mark());
                self.needs = mark.map(|mark| mark.seq);
            }
        }
        Ok(is_last)
    }

    /// Reads the file, and begins a walk if there is none that matches the index.
    fn begin(&mut self, index: &Index, newest: FeedMark) -> Result<(), Error> {
        let is_followed = match self.reach()? {
            None => false,
            Some(Open { walk: Some(walk), .. }) => index.has_line(&walk.begun)?,
            Some(open) => match open.book.mark() {
                Some(mark) => index.has_line(&feed_mark(mark))?,
                None => false,
            },
        };
        if !is_followed {
            // No reader is to be told of records that are gone.
            self.open = None;
            let _ = self.exclusive.home().private().remove(KNOWN)?;
            tracing::info!("the file of known failures is being made");
            let walk = Some(Walk { cursor: String::new(), begun: newest });
            self.open = Some(Open { book: Book::new(), bytes: 0, tail_bytes: 0, inode: None, walk });
        }
        Ok(())
    }
}

impl Open {
    /// A slice of the walk. Returns false: after the walk, the feed is followed.
    fn walk(&mut self, home: &Home, index: &Index, mut walk: Walk) -> Result<bool, Error> {
        let found = index.ids_after(&walk.cursor, RECORDS_MAX)?;
        let mut is_last = found.len() < RECORDS_MAX;
        let begun = Instant::now();
        let mut documents = index.documents()?;
        for (done, id) in found.iter().enumerate() {
            // What is no id is no record.
            if let Ok(record) = id.parse() {
                match documents.find(record)? {
                    Some(document) => put(&mut self.book, home, &mut documents, document)?,
                    None => {
                        let again = index.again(record)?;
                        again.map_or(Ok(()), |it| put_again(&mut self.book, home, &mut documents, it))?;
                    }
                }
            }
            walk.cursor.clone_from(id);
            if done >= RECORDS_MIN && begun.elapsed() >= TIME_MAX {
                is_last &= done + 1 == found.len();
                break;
            }
        }
        match is_last {
            true => self.book.reached(known_mark(&walk.begun)),
            false => self.walk = Some(walk),
        }
        Ok(false)
    }

    /// A slice of the feed. Returns whether it was the last.
    fn follow(&mut self, home: &Home, index: &Index) -> Result<bool, Error> {
        let from = self.book.mark().map_or(0, |mark| mark.seq);
        let changes = index.changes(from, RECORDS_MAX)?;
        let mut is_last = changes.len() < RECORDS_MAX;
        let begun = Instant::now();
        let mut documents = index.documents()?;
        let (count, mut seen) = (changes.len(), HashSet::new());
        for (done, change) in changes.into_iter().enumerate() {
            // A record is read as it is now, so once is enough.
            if let Some(id) = change.id.filter(|id| seen.insert(*id))
                && !self.look_at(home, index, &mut documents, id)?
            {
                self.walk = Some(Walk { cursor: String::new(), begun: change.mark });
                self.book = Book::new();
                return Ok(false);
            }
            self.book.reached(known_mark(&change.mark));
            if done >= RECORDS_MIN && begun.elapsed() >= TIME_MAX {
                is_last &= done + 1 == count;
                break;
            }
        }
        Ok(is_last)
    }

    /// Looks at the record `id` again. Returns false if it is gone, and was only counted: then no case can be told from another.
    fn look_at(
        &mut self,
        home: &Home,
        index: &Index,
        documents: &mut Documents<'_>,
        id: RecordId,
    ) -> Result<bool, Error> {
        let was_known = self.book.remove(id);
        let document = documents.find(id)?;
        if document.is_none()
            && let Some(again) = index.again(id)?
        {
            put_again(&mut self.book, home, documents, again)?;
            return Ok(true);
        }
        match document {
            Some(document) => {
                let is_failure = document.record.kind() == Kind::Failure;
                put(&mut self.book, home, documents, document)?;
                if is_failure {
                    self.follow_again(home, index, documents, id)?;
                }
            }
            None if was_known || !self.book.has_counted() => {}
            None => return Ok(index.find(id)?.is_none_or(|gone| !matches!(gone.kind, Kind::Failure | Kind::Verdict))),
        }
        Ok(true)
    }
}

impl Open {
    /// Puts in again what followed `failure`, and what says that it came again. It went out with the failure, whose text, and so
    /// whose case, can be another one by now; and before a failure is restored, what followed it is not known.
    fn follow_again(
        &mut self,
        home: &Home,
        index: &Index,
        documents: &mut Documents<'_>,
        failure: RecordId,
    ) -> Result<(), Error> {
        for success in index.resolving(failure)? {
            self.book.remove(success);
            if let Some(document) = documents.find(success)? {
                put(&mut self.book, home, documents, document)?;
            }
        }
        for again in index.again_on(&[failure])? {
            self.book.remove(again.id);
            put_again(&mut self.book, home, documents, again)?;
        }
        Ok(())
    }
}

/// Puts a record in, if it is a failure that can be known again, or a success that followed one.
fn put(book: &mut Book, home: &Home, documents: &mut Documents<'_>, document: Document) -> Result<(), Error> {
    match document.record.kind() {
        Kind::Failure => {
            let document = documents::whole(home, document);
            let time = Time::of(document.id, document.created_at.as_second(), &document.provenance);
            if let Some((failure, place)) = known(&document) {
                book.add(&failure, place, time);
            }
        }
        Kind::Success if document.from.is_none() => {
            let document = documents::whole(home, document);
            let Document { id, created_at, record, provenance, .. } = &document;
            let Some(success) = Success::of(*id, created_at.as_second(), record, provenance) else { return Ok(()) };
            let failed = documents.find(success.failure)?.map(|failed| documents::whole(home, failed));
            if let Some((failure, place)) = failed.as_ref().and_then(known) {
                book.add_success(&failure, place, success);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Puts in that a failure came again, if it can be known again.
fn put_again(book: &mut Book, home: &Home, documents: &mut Documents<'_>, again: Again) -> Result<(), Error> {
    let Again { id, of, at, times, provenance } = again;
    let failed = documents.find(of)?.map(|failed| documents::whole(home, failed));
    if let Some((failure, place)) = failed.as_ref().and_then(known) {
        book.add(&failure, place, Time::again(id, of, times, at.as_second(), &provenance));
    }
    Ok(())
}

/// By what the failure is known, and where. The file says nothing of other homes, so none of their failures is in it.
fn known(document: &Document) -> Option<(Failure, String)> {
    if document.from.is_some() {
        return None;
    }
    let failure = Failure::of(&document.record, &document.provenance)?;
    let place = failure.place(&document.provenance)?;
    Some((failure, place))
}

fn feed_mark(mark: &Mark) -> FeedMark {
    FeedMark { index: mark.index.clone(), seq: mark.seq, line: mark.line.clone() }
}

fn known_mark(mark: &FeedMark) -> Mark {
    Mark { index: mark.index.clone(), seq: mark.seq, line: mark.line.clone() }
}
