//! The tables of a search database.
//!
//! | table | a row is |
//! | --- | --- |
//! | `meta` | a small value by name: `schema`, `docs` and `words` (totals), and what the owner of the file keeps |
//! | `names` | a domain, project, session, agent or tag, and how many records have it |
//! | `docs` | a record, with what filters look at; names by their numbers, tags with a space before and behind each. A greater number is a newer record, but for [`LATE`] ones |
//! | `text` | the full-text index: which records have a word of their text, or a fact ([`fact`]). It knows no places |
//! | `sequences` | the words of a record in order ([`super::sequence`]) |
//! | `dictionary` | numbers for frequent words ([`super::dictionary`]) |
//! | `sampled` | a word's hash, and how many of the sampled records have it: those whose number can be divided by [`SAMPLE`] |
//! | `commits` | a commit of the history ([`super::commits`]) |
//!
//! The indexes of `docs` have kind and severity at their ends, so that the filters that are asked for most often are counted
//! without reading a row: ten thousand rows at a million records cost 18 ms, of the index alone 2 ms. Ids have no index but
//! that of their ends, which are as good as unique. Sessions and tags, which few records have each, are found through the
//! full-text index. `docs.path` is null where kind, day and id lead to the file.

use rusqlite::{Connection, OptionalExtension, params, types::FromSql, types::ToSql};

use crate::model::{Kind, Origin};

/// The version of the tables. A database of another one is thrown away and rebuilt.
pub const SCHEMA: u32 = 6;

/// What the database's owner runs on an empty file, before [`create`]. A leaf of the full-text index fills a page of this size, and
/// a small home's tables, which have at least a page each, stay small.
pub const PRAGMAS: &str = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;";

/// One record in so many is counted for the frequencies of words.
pub(super) const SAMPLE: i64 = 16;

/// The name in `meta` of how many records came late: they have a greater number than a newer record. They may be fewer, since
/// records are taken out.
pub(super) const LATE: &str = "late";

/// The segments of one size that the full-text index begins to merge: its default.
const MERGED_TOGETHER: i64 = 4;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE names (
    n INTEGER PRIMARY KEY,
    what INTEGER NOT NULL,
    name TEXT NOT NULL,
    docs INTEGER NOT NULL DEFAULT 0,
    UNIQUE (what, name)
);
CREATE TABLE docs (
    doc INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    revision TEXT,
    created INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    severity INTEGER,
    origin INTEGER,
    golden INTEGER NOT NULL DEFAULT 0,
    domain INTEGER,
    project INTEGER,
    session INTEGER,
    agent INTEGER,
    tags TEXT,
    path TEXT,
    words INTEGER NOT NULL
);
CREATE INDEX docs_created ON docs (created, severity);
CREATE INDEX docs_end ON docs (substr(id, 13));
CREATE INDEX docs_kind ON docs (kind, created, severity);
CREATE INDEX docs_domain ON docs (domain, created, kind, severity);
CREATE INDEX docs_project ON docs (project, created, kind, severity);
CREATE VIRTUAL TABLE text USING fts5(
    words, content='', contentless_delete=1, detail=none, tokenize='porter unicode61 remove_diacritics 2'
);
CREATE TABLE sequences (doc INTEGER PRIMARY KEY, words BLOB NOT NULL);
CREATE TABLE dictionary (part INTEGER PRIMARY KEY, hashes BLOB NOT NULL);
CREATE TABLE sampled (hash INTEGER PRIMARY KEY, docs INTEGER NOT NULL);
CREATE TABLE commits (place INTEGER PRIMARY KEY, at INTEGER NOT NULL, id BLOB NOT NULL, tree BLOB NOT NULL);
CREATE INDEX commits_at ON commits (at);
";

/// Makes the tables in an empty database.
///
/// # Errors
/// SQLite's.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    set_meta(connection, "schema", SCHEMA)
}

/// Lets the full-text index merge its segments as they come, as it does by default, or leaves them until they are many: what
/// is merged at the end anyway is not merged before.
///
/// # Errors
/// SQLite's.
pub fn merge_as_they_come(connection: &Connection, does: bool) -> rusqlite::Result<()> {
    let segments = if does { MERGED_TOGETHER } else { 0 };
    connection.execute("INSERT INTO text (text, rank) VALUES ('automerge', ?1)", [segments]).map(drop)
}

/// Whether these are our tables, of this version. Looks at no more than a row.
///
/// # Errors
/// SQLite's: the file is damaged, or no database.
pub fn check(connection: &Connection) -> rusqlite::Result<bool> {
    let has_meta = "SELECT 1 FROM sqlite_schema WHERE name = 'meta' AND type = 'table'";
    if connection.query_row(has_meta, [], |_| Ok(())).optional()?.is_none() {
        return Ok(false);
    }
    Ok(meta::<i64>(connection, "schema").unwrap_or(None) == Some(i64::from(SCHEMA)))
}

/// The value that is kept under `name`.
///
/// # Errors
/// SQLite's; a value of another type is one.
pub fn meta<T: FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Keeps `value` under `name`. `schema`, `docs`, `words` and `late` are taken.
///
/// # Errors
/// SQLite's.
pub fn set_meta(connection: &Connection, name: &str, value: impl ToSql) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
    connection.execute(sql, params![name, value]).map(drop)
}

/// The number of a kind in `docs.kind`.
pub(super) fn kind_number(kind: Kind) -> i64 {
    match kind {
        Kind::Failure => 1,
        Kind::Success => 2,
        Kind::Observation => 3,
        Kind::Heuristic => 4,
        Kind::Experiment => 5,
        Kind::Verdict => 6,
    }
}

/// The number of an origin in `docs.origin`.
pub(super) fn origin_number(origin: Origin) -> i64 {
    match origin {
        Origin::Person => 1,
        Origin::Agent => 2,
        Origin::Hook => 3,
        Origin::Import => 4,
    }
}

/// The kind that `docs.kind` says.
pub fn kind_of(number: i64) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind_number(*kind) == number)
}

/// The origin that `docs.origin` says.
pub fn origin_of(number: i64) -> Option<Origin> {
    Origin::ALL.into_iter().find(|origin| origin_number(*origin) == number)
}

/// Facts as words of the full-text index. Text never has them: characters for private use are no words of it.
pub(super) mod fact {
    /// The name `n` of `names`.
    pub fn name(n: i64) -> String {
        format!("\u{e000}{n}")
    }

    /// A kind.
    pub fn kind(number: i64) -> String {
        format!("\u{e001}{number}")
    }

    /// A severity.
    pub fn severity(number: u8) -> String {
        format!("\u{e002}{number}")
    }

    /// An origin.
    pub fn origin(number: i64) -> String {
        format!("\u{e003}{number}")
    }

    /// A golden rule.
    pub const GOLDEN: &str = "\u{e004}1";

    /// The period in which it was recorded, by its number.
    pub fn period(number: i64) -> String {
        format!("\u{e005}{number}")
    }

    /// A word of the title.
    pub fn title(word: &str) -> String {
        format!("\u{e007}{word}")
    }

    /// What no record has.
    pub const NONE: &str = "\u{e006}0";

    /// The number of a period: 30 days, counted from 1970; what is older is in the first.
    pub fn period_of(created_ms: i64) -> i64 {
        (created_ms / (30 * 24 * 3_600_000)).max(0)
    }
}
