//! Search: words to records, over a database of its own. Knows no home and no file; works on SQLite connections.
//!
//! ```text
//!   record ──▶ expand ──▶ Writer ──▶ docs, names         what filters and lists need
//!                                    text                FTS5: word to records
//!                                    sequences           record to words: what a candidate is scored by
//!                                    sampled             how frequent a word is, about
//!   query  ──▶ Query ───▶ find ────▶ candidates ──▶ score ──▶ Hits
//! ```
//!
//! 1. Text is expanded by one function, [before it is indexed](Writer) and [before it is asked](Query). What a person can
//!    type for something finds it in any spelling.
//! 2. Any text is a query. The only error is an unknown value of a filter whose values are closed.
//! 3. The work of a search is bounded ([`find`]), whatever is asked and however many records there are.
//! 4. The database is a cache: it holds nothing that is not in the records and the history. Another [`SCHEMA`] is thrown away and rebuilt.
//! 5. A record's text is not in it, but for its words. It is contentless: results are shown from the record itself.

mod age;
mod commits;
mod dictionary;
mod expand;
mod filter;
mod find;
mod line;
mod listing;
mod narrow;
mod phrases;
mod query;
mod rank;
mod rarest;
mod schema;
mod score;
mod sequence;
mod sieve;
mod source;
mod state;
mod stem;
mod write;

pub use age::Age;
pub use commits::{
    CommitNote, NotedCommit, ObjectId, commit_at, first_commit, first_place_since, last_commit, note_commits,
    note_earlier_commits,
};
pub use filter::{FILTERS, Facts, Filter, Name, State, UnknownValue};
pub use find::{Hit, Hits, LeftOut, Looked, Options, find, find_beside};
pub use line::{BestLine, best_line};
pub use listing::{
    Listed, Located, Order, count, count_by_kind, golden, ids_ending, is_listed, kind_and_time, listed, names,
};
pub use query::Query;
pub use schema::{PRAGMAS, SCHEMA, check, create, kind_of, merge_as_they_come, meta, origin_of, set_meta};
pub use score::{Parts, WordScore};
pub use sieve::{Sieve, Words};
pub use state::{AskedState, Chosen};
pub use write::{Doc, Writer};

#[cfg(test)]
mod tests;
