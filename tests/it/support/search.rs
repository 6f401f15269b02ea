//! What the search database has, read without the product.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::TestHome;

pub const SEARCH: &str = "memory/search.db";

/// The search database at one moment.
pub struct SearchDb {
    /// By id, the revision and the path of each record; none where the id leads to it.
    pub docs: BTreeMap<String, (Option<String>, Option<String>)>,
    /// The newest line of the index's feed that it has.
    pub seq: i64,
    /// Which line that is.
    line: String,
    index: String,
    /// Whether it is complete up to there.
    pub is_complete: bool,
}

impl SearchDb {
    /// The search database of `home`; none if there is no file.
    pub fn read(home: &TestHome) -> Option<SearchDb> {
        if !home.join(SEARCH).exists() {
            return None;
        }
        let database = opened(home);
        let check: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be checked");
        assert_eq!(check, "ok", "SQLite finds something wrong with the search database");
        let text = |name: &str| {
            let sql = "SELECT CAST(value AS TEXT) FROM meta WHERE name = ?1";
            database
                .query_row(sql, [name], |row| row.get::<_, Option<String>>(0))
                .optional()
                .expect("readable")
                .flatten()
        };
        let mut docs = database.prepare("SELECT lower(hex(id)), revision, path FROM docs").expect("it has docs");
        let doc = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?)));
        let docs = docs.query_map([], doc).expect("readable").map(|doc| doc.expect("readable"));
        Some(SearchDb {
            docs: docs.map(|(id, doc)| (dashed(&id), doc)).collect(),
            seq: text("seq")?.parse().expect("a number"),
            line: text("seq_of")?,
            index: text("index")?,
            is_complete: text("cursor").is_none(),
        })
    }
}

/// The search database, opened beside the product and without leaving a trace.
pub fn opened(home: &TestHome) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(home.join(SEARCH), flags).expect("it opens");
    database.busy_timeout(super::PATIENCE).expect("SQLite takes a timeout");
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("SQLite takes the setting");
    database
}

fn dashed(hex: &str) -> String {
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Holds that search says nothing that the index does not: what it lacks is behind its watermark, if the index bears that
/// out at all. With `all`, holds that it lacks nothing.
#[track_caller]
pub fn assert_search_agrees(home: &TestHome, all: bool) {
    let Some(search) = SearchDb::read(home) else {
        assert!(!all, "there is no search database");
        return;
    };
    let index = home.index();
    let id: String = index
        .query_row("SELECT value FROM indelible WHERE name = 'index'", [], |row| row.get(0))
        .expect("the index has an id");
    let line = "SELECT id, at FROM changes WHERE seq = ?1";
    let line = index.query_row(line, [search.seq], |row| Ok((row.get::<_, String>(0)?, row.get::<_, f64>(1)?)));
    let line = line.optional().expect("readable").map(|(id, at)| format!("{id} {:016x}", at.to_bits()));
    if id != search.index || line.as_ref() != Some(&search.line) {
        assert!(!all, "search follows another index, or one from another time");
        return;
    }
    let mut rows = index
        .prepare("SELECT id, revision, path FROM records WHERE row_id > 0 AND kind <> 'verdict'")
        .expect("it has records");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, (row.get(1)?, row.get(2)?)));
    let rows: BTreeMap<String, (Option<String>, String)> =
        rows.query_map([], row).expect("readable").map(|row| row.expect("readable")).collect();
    let mut changed = index.prepare("SELECT id FROM changes WHERE seq > ?1").expect("it has a feed");
    let changed: BTreeSet<String> =
        changed.query_map([search.seq], |row| row.get(0)).expect("readable").map(|id| id.expect("readable")).collect();
    for (id, doc) in search.docs.iter().filter(|(id, _)| !changed.contains(*id)) {
        let (revision, path) = rows.get(id).unwrap_or_else(|| panic!("search has {id}, and the index does not"));
        assert_eq!(revision, &doc.0, "search has another revision of {id} than the index");
        match &doc.1 {
            Some(is) => assert_eq!(is, path, "search has {id} elsewhere than the index"),
            None => assert!(path.contains(&format!("-{}", &id[28..])), "{id} does not lead to {path}"),
        }
    }
    let lacking = rows.keys().filter(|id| !search.docs.contains_key(*id) && !changed.contains(*id));
    let lacking: Vec<_> = lacking.collect();
    assert!(!search.is_complete || lacking.is_empty(), "search lacks {lacking:?}, and nothing says so");
    assert!(!all || search.is_complete && changed.is_empty(), "search is behind by {changed:?}");
}
