//! Keeping the file small: the full-text index's segments are merged into one, and free pages are given back.
//!
//! 1. FTS5 merges segments as they come, but never all of them: each has every frequent word again. They are merged into one
//!    after a build, and whenever there are half as many records more than the last time. So a record takes part in a few
//!    such merges, however large the home becomes.
//! 2. What a merge leaves behind are free pages. They are given back if they are more than a few per cent of the file.
//! 3. It is done in slices, each one transaction of bounded time and memory, once search is up to date. It changes nothing that
//!    is found.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before a slice is committed | search.db as before (SQLite rolls back) | the next slice does it again |
//! | between two slices | search.db, larger than it could be | the next process goes on: that it was begun is in the file |

use std::time::Instant;

use rusqlite::{Connection, params};

use super::file::error;
use super::{Error, Search};
use crate::search::{meta, set_meta};

/// So many records are not merged for.
const RECORDS_FEW: i64 = 500;
/// The pages of the full-text index, of 4 kB, that a slice merges, and the file's pages that a slice gives back.
const MERGED: i64 = 1_000;
const GIVEN_BACK: i64 = 1_024;
/// The free pages that stay: so many, and one in so many of the file's.
const FREE_MAX: i64 = 16;
const FREE_PART: i64 = 32;
/// A file of so many pages is made smaller in one go.
const SMALL: i64 = 2_048;
/// How many records there were when all was merged, and whether a merge has begun.
const MERGED_AT: &str = "merged_at";
const MERGING: &str = "merging";

/// A step towards a smaller file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Begin to merge all segments.
    Begin,
    /// Go on with it.
    Merge,
    /// Give free pages back.
    GiveBack,
}

impl Search<'_> {
    /// Makes the file smaller, until `until`, but one slice in any case, and a small file whole. Returns whether it is as small as it should be.
    pub(super) fn compact(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let home = self.exclusive.home();
        let Some(file) = self.file.as_mut() else { return Ok(true) };
        while let Some(step) = next(&file.connection).map_err(error("read"))? {
            file.write(|transaction| take(transaction, step))?;
            file.checkpoint(home, false)?;
            let is_over = until.is_some_and(|until| until <= Instant::now());
            if is_over && pragma(&file.connection, "page_count").map_err(error("read"))? > SMALL {
                return Ok(next(&file.connection).map_err(error("read"))?.is_none());
            }
        }
        Ok(true)
    }
}

/// What is to be done next.
fn next(c: &Connection) -> rusqlite::Result<Option<Step>> {
    let number = |name| Ok::<i64, rusqlite::Error>(meta::<Option<i64>>(c, name)?.flatten().unwrap_or(0));
    if number(MERGING)? != 0 {
        return Ok(Some(Step::Merge));
    }
    let merged_at = number(MERGED_AT)?;
    if number("docs")? > merged_at.saturating_add(merged_at / 2).saturating_add(RECORDS_FEW) {
        return Ok(Some(Step::Begin));
    }
    let is_large = pragma(c, "freelist_count")? > FREE_MAX + pragma(c, "page_count")? / FREE_PART;
    Ok(is_large.then_some(Step::GiveBack))
}

fn pragma(c: &Connection, name: &str) -> rusqlite::Result<i64> {
    c.pragma_query_value(None, name, |row| row.get(0))
}

fn take(c: &Connection, step: Step) -> rusqlite::Result<()> {
    if step == Step::GiveBack {
        let mut statement = c.prepare(&format!("PRAGMA incremental_vacuum({GIVEN_BACK})"))?;
        let mut rows = statement.query([])?;
        // Each step gives one page back.
        while rows.next()?.is_some() {}
        return Ok(());
    }
    let before = c.total_changes();
    // A negative number begins a merge of all segments, which are not merged otherwise.
    let pages = if step == Step::Begin { -MERGED } else { MERGED };
    c.execute("INSERT INTO text (text, rank) VALUES ('merge', ?1)", params![pages])?;
    // FTS5 says so: fewer changes than two are those of the statement itself.
    let is_over = c.total_changes() - before < 2;
    set_meta(c, MERGING, i64::from(!is_over))?;
    if is_over {
        set_meta(c, MERGED_AT, meta::<Option<i64>>(c, "docs")?.flatten())?;
    }
    Ok(())
}
