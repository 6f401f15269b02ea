//! The commits of the history, noted as they are made, so that a reader finds a record's commit without a walk through all
//! of them.
//!
//! 1. The table is a chain: each commit is the parent of the next. A commit whose parent is not the last one begins a new
//!    chain, and the old one goes. So the table never has a commit that its last one does not reach.
//! 2. A reader checks that the last one is the history's tip. If it is not, or a commit is missing, the history is walked.
//! 3. A chain grows at both ends: new commits come after its last one, older ones before its first one, with places that
//!    go down, below zero as well.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// The name of an object of git.
pub type ObjectId = [u8; 20];

/// A commit that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitNote {
    /// Its name.
    pub id: ObjectId,
    /// The commit before it; `None` for the first.
    pub parent: Option<ObjectId>,
    /// Its tree.
    pub tree: ObjectId,
    /// When it was made, in seconds since 1970. It is not before the records in it.
    pub at: i64,
}

/// A commit in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedCommit {
    /// Its place in the chain.
    pub place: i64,
    /// Its name.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
}

const INSERT: &str = "INSERT INTO commits (place, at, id, tree) VALUES (?1, ?2, ?3, ?4)";
const FIRST: &str = "SELECT place, id, tree FROM commits ORDER BY place LIMIT 1";
const LAST: &str = "SELECT place, id, tree FROM commits ORDER BY place DESC LIMIT 1";

fn noted(row: &Row<'_>) -> rusqlite::Result<NotedCommit> {
    Ok(NotedCommit { place: row.get(0)?, id: row.get(1)?, tree: row.get(2)? })
}

/// Adds `commits`, in the order they were made, within the caller's transaction.
///
/// # Errors
/// SQLite's.
pub fn note_commits(connection: &Connection, commits: &[CommitNote]) -> rusqlite::Result<()> {
    let mut last = last_commit(connection)?;
    for commit in commits {
        if last.is_some_and(|last| Some(last.id) != commit.parent) {
            connection.execute("DELETE FROM commits", [])?;
            last = None;
        }
        let place = last.map_or(1, |last| last.place + 1);
        connection.prepare_cached(INSERT)?.execute(params![place, commit.at, commit.id, commit.tree])?;
        last = Some(NotedCommit { place, id: commit.id, tree: commit.tree });
    }
    Ok(())
}

/// Adds `commits` before the first commit of the chain, the newest of them first: each is the parent of the one that was
/// added before it. Within the caller's transaction; nothing is added to an empty chain.
///
/// # Errors
/// SQLite's.
pub fn note_earlier_commits(connection: &Connection, commits: &[CommitNote]) -> rusqlite::Result<()> {
    let Some(first) = first_commit(connection)? else { return Ok(()) };
    let mut insert = connection.prepare_cached(INSERT)?;
    for (commit, place) in commits.iter().zip((i64::MIN..first.place).rev()) {
        insert.execute(params![place, commit.at, commit.id, commit.tree])?;
    }
    Ok(())
}

/// The first commit of the chain.
///
/// # Errors
/// SQLite's.
pub fn first_commit(connection: &Connection) -> rusqlite::Result<Option<NotedCommit>> {
    connection.prepare_cached(FIRST)?.query_row([], noted).optional()
}

/// The last commit of the chain.
///
/// # Errors
/// SQLite's.
pub fn last_commit(connection: &Connection) -> rusqlite::Result<Option<NotedCommit>> {
    connection.prepare_cached(LAST)?.query_row([], noted).optional()
}

/// The commit at `place` in the chain.
///
/// # Errors
/// SQLite's.
pub fn commit_at(connection: &Connection, place: i64) -> rusqlite::Result<Option<NotedCommit>> {
    let sql = "SELECT place, id, tree FROM commits WHERE place = ?1";
    connection.prepare_cached(sql)?.query_row([place], noted).optional()
}

/// The place of the first commit that was made at or after `at`, in seconds since 1970.
///
/// # Errors
/// SQLite's.
pub fn first_place_since(connection: &Connection, at: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(place) FROM commits WHERE at >= ?1";
    connection.prepare_cached(sql)?.query_row([at], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        crate::search::create(&connection).expect("its tables");
        connection
    }

    fn commit(number: u8, parent: u8) -> CommitNote {
        let parent = (parent > 0).then_some([parent; 20]);
        CommitNote { id: [number; 20], parent, tree: [100 + number; 20], at: 1000 + i64::from(number) }
    }

    fn ids(connection: &Connection) -> Vec<u8> {
        let place = |commit: Option<NotedCommit>| commit.map_or(0, |commit| commit.place);
        let first = place(first_commit(connection).expect("read"));
        let last = place(last_commit(connection).expect("read"));
        (first..=last).map(|place| commit_at(connection, place).expect("read").expect("it is there").id[0]).collect()
    }

    #[test]
    fn a_chain_grows_and_is_found_by_time() {
        let connection = made();
        note_commits(&connection, &[commit(1, 0), commit(2, 1)]).expect("noted");
        note_commits(&connection, &[commit(3, 2)]).expect("noted");
        assert_eq!(ids(&connection), [1, 2, 3]);
        assert_eq!(first_place_since(&connection, 1002).expect("read"), Some(2));
        assert_eq!(first_place_since(&connection, 1004).expect("read"), None);
    }

    #[test]
    fn a_chain_grows_backwards_as_well() {
        let connection = made();
        note_earlier_commits(&connection, &[commit(1, 0)]).expect("noted");
        assert_eq!(last_commit(&connection).expect("read"), None, "there is nothing that it is the parent of");
        note_commits(&connection, &[commit(5, 4), commit(6, 5)]).expect("noted");
        note_earlier_commits(&connection, &[commit(4, 3), commit(3, 2)]).expect("noted");
        note_earlier_commits(&connection, &[commit(2, 1), commit(1, 0)]).expect("noted");
        note_commits(&connection, &[commit(7, 6)]).expect("noted");
        assert_eq!(ids(&connection), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(first_place_since(&connection, 1002).expect("read"), Some(-2));
    }

    #[test]
    fn a_commit_on_another_parent_begins_a_new_chain() {
        let connection = made();
        note_commits(&connection, &[commit(1, 0), commit(2, 1), commit(3, 1)]).expect("noted");
        assert_eq!(ids(&connection), [3]);
        note_commits(&connection, &[commit(4, 3), commit(7, 6)]).expect("noted");
        assert_eq!(ids(&connection), [7]);
    }
}
