//! Opening search.db to read it, for those who do not write it.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Cursor, Error, WAIT, Watermark, file, noted};
use crate::home::Home;
use crate::model::layout::SEARCH;
use crate::model::text::chain;
use crate::search::{self, NotedCommit};
use crate::target::history::CommitId;
use crate::target::index::{self, FeedMark, Index, Others};
use crate::target::rows::RowsMark;

/// The search database, as it was at one moment: what its writer commits meanwhile is not seen.
#[derive(Debug)]
pub struct SearchDb {
    database: Index,
    watermark: Watermark,
}

/// The commits that were noted (see `search::commits`).
#[derive(Clone, Copy, Debug)]
pub struct Commits<'s> {
    connection: &'s Connection,
    last: NotedCommit,
}

impl Commits<'_> {
    /// The place of the last one.
    pub fn last(&self) -> i64 {
        self.last.place
    }

    /// The place of the first one that was made at or after `at`.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn first_since(&self, at: Timestamp) -> Result<Option<i64>, Error> {
        search::first_place_since(self.connection, at.as_second()).map_err(file::error("read"))
    }

    /// The one at `place`; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn at(&self, place: i64) -> Result<Option<NotedCommit>, Error> {
        search::commit_at(self.connection, place).map_err(file::error("read"))
    }
}

/// Opens the search database of `home` to read it. `None` if there is none that can be used: it does not exist, is of
/// another version, is damaged, or something else is in its place. It changes no file.
///
/// # Errors
/// [`Error::Busy`] if another process has locked it, [`Error::Sqlite`] if it cannot be opened.
pub fn open_to_read(home: &Home) -> Result<Option<SearchDb>, Error> {
    match SearchDb::open(home) {
        Err(error) if error.is_unusable() => {
            tracing::debug!(error = chain(&error), "there is no usable search database");
            Ok(None)
        }
        opened => opened,
    }
}

impl SearchDb {
    /// As [`open_to_read`], but what cannot be used is an error.
    pub(super) fn open(home: &Home) -> Result<Option<SearchDb>, Error> {
        let database = match Index::open_to_read(&home.path().join(SEARCH), WAIT, Others::MayWrite) {
            Err(index::Error::Missing(_)) => return Ok(None),
            Err(index::Error::Busy { .. }) => return Err(Error::Busy),
            Err(index::Error::Sqlite { source, .. }) => return Err(file::error("read")(source)),
            // A folder, a link or a file with another name; or a file that this user may not read.
            Err(error) => return Err(Error::Unusable(chain(&error))),
            Ok(database) => database,
        };
        let connection = database.connection();
        let read = || {
            connection.execute_batch("BEGIN")?;
            Ok(match search::check(connection)? {
                true => file::watermark(connection)?,
                false => None,
            })
        };
        match read().map_err(file::error("read"))? {
            Some(watermark) => Ok(Some(SearchDb { database, watermark })),
            None => Err(Error::Unusable("it is of another version, or was not finished".to_owned())),
        }
    }

    /// The connection, to search in.
    pub fn connection(&self) -> &Connection {
        self.database.connection()
    }

    /// What it has: everything up to this line of the index's feed, if [it is complete](SearchDb::is_complete) and [the
    /// index bears it out](SearchDb::is_of).
    pub fn watermark(&self) -> &FeedMark {
        &self.watermark.feed
    }

    /// The rows' watermark that holds for it: it has every row of the journal up to there, also if the index cannot be read.
    /// `None` while it is being built, or in a file that an earlier version made.
    pub fn rows_mark(&self) -> Option<RowsMark> {
        let text = file::rows_mark(self.connection()).ok().flatten().filter(|_| self.is_complete())?;
        serde_json::from_str(&text).ok()
    }

    /// Whether it has every record up to its watermark. It does not while it is being built: then records up to [a
    /// cursor](SearchDb::cursor) are in it.
    pub fn is_complete(&self) -> bool {
        self.watermark.cursor.is_none()
    }

    /// How far the walk is, if it is being built.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.watermark.cursor.as_ref()
    }

    /// Whether it follows `index` as that is now. Otherwise it is about another index, or one from another time, and
    /// nothing that it finds may be shown.
    ///
    /// # Errors
    /// [`index::Error`] if the index cannot be read.
    pub fn is_of(&self, index: &Index) -> Result<bool, index::Error> {
        index.has_line(&self.watermark.feed)
    }

    /// The commits that were noted, to look one up; `None` if their last one is not `tip`: then the history has others.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn commits(&self, tip: CommitId) -> Result<Option<Commits<'_>>, Error> {
        let last = search::last_commit(self.connection()).map_err(file::error("read"))?;
        Ok(last.filter(|last| last.id == tip.bytes()).map(|last| Commits { connection: self.connection(), last }))
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u64 {
        let docs = search::meta::<Option<i64>>(self.connection(), "docs").ok().flatten().flatten();
        docs.and_then(|docs| u64::try_from(docs).ok()).unwrap_or(0)
    }

    /// What is wrong with it: what SQLite finds at a look that does not read the content, or a commit that the history of `home` does not
    /// have so. `None` if it is sound.
    pub(super) fn damage(&self, home: &Home) -> Result<Option<String>, Error> {
        let first = self.connection().query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        match first.map_err(file::error("check"))? {
            line if line == "ok" => noted::wrong(home, self.connection()),
            line => Ok(Some(line)),
        }
    }
}
