//! Known failures, as a target: the file that `known` describes follows the index.
//!
//! ```text
//! index.db: records ──walk, by id──▶ ┐
//!           changes ──follow───────▶ ┴─ failures that hooks recorded, and that they came again ──▶ known.bin
//! ```
//!
//! 1. It is derived, lags, and is never required: no batch waits for it, no error of it is a batch's. Losing it loses nothing.
//! 2. Only the holder of the worker's lock writes it. Hooks read it ([`crate::known::look_up`]).
//! 3. Its mark is a line of the index's change feed, and lies in the file, behind the cases that it speaks for. A mark that does not
//!    match the index, another version, or damage: everything is walked again. The walk is kept in memory until it is
//!    done; what changes meanwhile is in the feed, behind the line at which the walk began.
//! 4. What changed is appended to the tail with one write. Once the tail is full the file is replaced, at most every ten minutes
//!    unless it is small. Until then what changed waits; what is taken out does not.
//! 5. A record that is retracted is taken out at once, before its batch is reported as done ([`Known::take_out`]).
//! 6. All cases are in memory only while there is something to do, unless they are few.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the append to the tail | the file as before, with its mark | the next slice does it again |
//! | within it | a torn frame; readers are silent | the next slice reads up to the mark before it, and replaces the file |
//! | while the file is replaced | the old file, or the new one | nothing to do |
//! | after a power cut | an older file, a torn one, or none | mark and checksums tell: it is followed from there, or walked |

mod follow;

use std::time::{Duration, Instant};

use crate::exclusive::Exclusive;
use crate::fs::{self, Durability, Point, crash};
use crate::known::{Book, FILE_BYTES_MAX, Odd, TAIL_BYTES_MAX};
use crate::model::RecordId;
use crate::model::layout::{KNOWN, TEMPORARY};
use crate::model::text::chain;
use crate::target::index::{self, FeedMark};

/// The shortest time between two replacements of a file that is not small.
const REPLACE_PAUSE: Duration = Duration::from_secs(600);
/// A file up to this size is small, in bytes.
const SMALL_BYTES: u64 = 512 << 10;
/// How long a failure is not tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// How long a reader of the index waits for another process's lock.
const WAIT: Duration = Duration::from_millis(100);

/// Why the file could not be brought up to date. It is never a batch's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index could not be read.
    #[error("the index could not be followed")]
    Index(#[from] index::Error),
    /// The index is being rebuilt, or has no feed.
    #[error("the index is not complete")]
    IndexUnfinished,
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
}

/// Brings the file up to date, for the holder of the worker's lock.
#[derive(Debug)]
pub struct Known<'h> {
    exclusive: &'h Exclusive<'h>,
    open: Option<Open>,
    /// Whether the index may have changed since the file was last up to date.
    is_behind: bool,
    /// What changed has to wait until then: the tail is full.
    waits: Option<Instant>,
    retry: Option<Instant>,
    replaced: Option<Instant>,
    error: Option<String>,
    /// The first line of the feed that is still needed.
    needs: Option<u64>,
}

/// The file, as it is in memory.
#[derive(Debug)]
struct Open {
    book: Book,
    /// The size of the file, and of its tail.
    bytes: u64,
    tail_bytes: u64,
    /// Which file it is; `None` if there is none yet.
    inode: Option<u64>,
    /// While everything is walked: up to which id it was.
    walk: Option<Walk>,
}

/// A walk over all records.
#[derive(Clone, Debug)]
struct Walk {
    /// Records with ids up to this one have been walked.
    cursor: String,
    /// The line of the feed at which it began.
    begun: FeedMark,
}

impl<'h> Known<'h> {
    /// The file in the home of `exclusive`. Nothing is opened yet.
    pub fn new(exclusive: &'h Exclusive<'h>) -> Known<'h> {
        Known {
            exclusive,
            open: None,
            is_behind: true,
            waits: None,
            retry: None,
            replaced: None,
            error: None,
            needs: None,
        }
    }

    /// The index may have changed.
    pub fn changed(&mut self) {
        self.is_behind = true;
    }

    /// When there is something to do; `None` if there is nothing until the index changes.
    pub fn due(&self) -> Option<Instant> {
        match self.is_behind {
            true => Some(self.retry.unwrap_or_else(Instant::now)),
            false => self.waits,
        }
    }

    /// The first line of the index's feed that must not be trimmed, if there is one. A file that cannot be brought up to date
    /// needs none: everything is walked once it can be.
    pub fn needs(&self) -> Option<u64> {
        self.needs
    }

    /// Takes the records `ids` out, which are retracted or erased. If that is impossible now, they are found changed in the feed.
    pub fn take_out(&mut self, ids: &[RecordId]) {
        self.is_behind = true;
        let mut take_out = || {
            // Without a file no reader finds anything.
            let Some(open) = self.reach()? else { return Ok(()) };
            let is_whole = open.walk.is_none();
            let removed = ids.iter().filter(|id| open.book.remove(**id)).count();
            if removed > 0 && is_whole { self.write(true) } else { Ok(()) }
        };
        if let Err(error) = take_out() {
            self.failed(&error);
        }
    }

    /// Removes the file: everything is walked again.
    pub fn forget_all(&mut self) {
        (self.open, self.is_behind, self.waits, self.retry) = (None, true, None, None);
        if let Err(error) = self.exclusive.home().private().remove(KNOWN) {
            self.failed(&error.into());
        }
    }

    /// The last step of a process that has brought it up to date: nothing waits any longer.
    pub fn end(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.walk.is_none())
            && let Err(error) = self.write(true)
        {
            self.failed(&error);
        }
        // A walk that is not done is lost with the process, and needs no line of the feed.
        if self.open.take().is_some_and(|open| open.walk.is_some()) {
            self.needs = None;
        }
    }

    /// The file, read unless it is in memory as it is; `None` if there is none that can be used, and nothing was begun.
    fn reach(&mut self) -> Result<Option<&mut Open>, Error> {
        let private = self.exclusive.home().private();
        let found = private.find(KNOWN)?.filter(|found| found.is_file);
        let is_same = |open: &Open| match (open.inode, &found) {
            (Some(inode), Some(found)) => inode == found.inode && open.bytes == found.size,
            // While everything is walked, there may be an older file.
            _ => open.walk.is_some(),
        };
        if self.open.as_ref().is_none_or(|open| !is_same(open)) {
            self.open = None;
            if let Some(found) = found {
                self.open = match self.read() {
                    Ok(book) => {
                        let tail_bytes = found.size.saturating_sub(book.base_bytes());
                        Some(Open { book, bytes: found.size, tail_bytes, inode: Some(found.inode), walk: None })
                    }
                    Err(Odd::Fs(error)) if error.is_transient() && !is_too_large(&error) => return Err(error.into()),
                    Err(odd) => {
                        tracing::warn!(why = chain(&odd), "the file of known failures is made again");
                        None
                    }
                };
            }
        }
        Ok(self.open.as_mut())
    }

    /// The cases in the file.
    fn read(&self) -> Result<Book, Odd> {
        let content = self.exclusive.home().private().content(KNOWN, FILE_BYTES_MAX)?;
        Book::parse(&content.ok_or(Odd::Shape("is gone"))?)
    }

    /// Writes what changed: to the tail, or all of it. With `now`, it does not wait.
    fn write(&mut self, now: bool) -> Result<(), Error> {
        let home = self.exclusive.home();
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        if !open.book.has_changed() && open.inode.is_some() && !open.book.is_torn() {
            return Ok(());
        }
        let tail = open.book.tail();
        let fits = open.tail_bytes + tail.len() as u64 <= TAIL_BYTES_MAX;
        if fits && open.inode.is_some() && !open.book.is_torn() {
            append(home.private(), &tail)?;
            (open.bytes, open.tail_bytes) = (open.bytes + tail.len() as u64, open.tail_bytes + tail.len() as u64);
            open.book.written();
            self.waits = None;
            return Ok(());
        }
        let may_be_replaced = self.replaced.map(|replaced| replaced + REPLACE_PAUSE);
        let is_due = may_be_replaced.is_none_or(|at| at <= Instant::now());
        if !(now || is_due || open.bytes <= SMALL_BYTES || open.book.is_torn()) {
            self.waits = may_be_replaced;
            return Ok(());
        }
        let base = open.book.base();
        let temporary = home.private().folder(TEMPORARY)?;
        home.private().replace(KNOWN, &base, &temporary, Durability::None)?;
        let found = home.private().find(KNOWN)?;
        (open.bytes, open.tail_bytes, open.inode) = (base.len() as u64, 0, found.map(|found| found.inode));
        open.book.written();
        (self.replaced, self.waits) = (Some(Instant::now()), None);
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        self.retry = Some(Instant::now() + RETRY_PAUSE);
        // What was read is read and judged again.
        (self.open, self.needs) = (None, None);
        let why = chain(error);
        if self.error.as_ref() != Some(&why) {
            tracing::warn!(error = why, "the file of known failures cannot be brought up to date: trying again later");
        }
        self.error = Some(why);
    }

    fn succeeded(&mut self) {
        (self.retry, self.error) = (None, None);
    }
}

fn is_too_large(error: &fs::Error) -> bool {
    error.io_kind() == Some(std::io::ErrorKind::FileTooLarge)
}

/// Appends `bytes` to the file beneath `private`, with one write.
fn append(private: &fs::Dir, bytes: &[u8]) -> Result<(), fs::Error> {
    let named = |source| fs::Error::io("write to", private.path().join(KNOWN))(source);
    let file = private.append(KNOWN)?;
    crash::at(Point::KnownBeforeAppend).map_err(named)?;
    if crash::wanted(Point::KnownHalfAppended) {
        file.write_once(&bytes[..bytes.len() / 2])?;
        crash::at(Point::KnownHalfAppended).map_err(named)?;
    }
    file.write_all(bytes)
}

impl Error {
    /// Whether the index is locked, and nothing else is wrong.
    fn is_busy(&self) -> bool {
        matches!(self, Error::Index(error) if error.is_busy())
    }

    /// Whether what lies in the file's place has to be removed.
    fn is_refused(&self) -> bool {
        matches!(self, Error::Fs(fs::Error::Refused { .. }))
    }
}
