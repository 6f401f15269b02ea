//! A query with more words than a search has room for: it keeps those that tell most.
//!
//! Words that no record has tell nothing, whatever their place. Of the others the rarest are kept. How rare a word is, its sample
//! says if it is frequent; else up to [`COUNTED_MAX`] of its records are counted, so that the work is bounded.

use rusqlite::{Connection, OptionalExtension as _};

use super::find::quoted;
use super::query::{Query, WORDS_MAX, Word};
use super::schema::SAMPLE;

/// The records of a word that are counted: of words that more have, the sample says how many.
const COUNTED_MAX: i64 = 64;

impl Query {
    /// This query with room for its words: the `WORDS_MAX` rarest of those that `sources` have, in their order; if there is room
    /// left, the first of those that no source has. `None` if all words have room. `is_all` says that there are no other
    /// records than those of `sources`: then a word that no source has is no loss.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of_rarest(&self, sources: &[&Connection], is_all: bool) -> rusqlite::Result<Option<Query>> {
        if self.more.is_empty() {
            return Ok(None);
        }
        let words: Vec<&Word> = self.words.iter().chain(&self.more).collect();
        let mut docs = vec![0; words.len()];
        for source in sources {
            let mut counted = Counted::of(source)?;
            for (word, docs) in words.iter().zip(&mut docs) {
                *docs += counted.docs(word)?;
            }
        }
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by_key(|at| (docs[*at] == 0, docs[*at]));
        let known = docs.iter().filter(|docs| **docs > 0).count();
        order.truncate(WORDS_MAX);
        order.sort_unstable();
        let mut query = self.clone();
        query.words = order.into_iter().map(|at| words[at].clone()).collect();
        query.more = Vec::new();
        query.is_cut |= known > WORDS_MAX || !is_all;
        Ok(Some(query))
    }
}

/// The statements that count a word's records in one source.
struct Counted<'c> {
    sampled: rusqlite::Statement<'c>,
    having: rusqlite::Statement<'c>,
}

impl<'c> Counted<'c> {
    fn of(source: &'c Connection) -> rusqlite::Result<Counted<'c>> {
        Ok(Counted {
            sampled: source.prepare("SELECT docs FROM sampled WHERE hash = ?1")?,
            having: source.prepare("SELECT count(*) FROM (SELECT 1 FROM text WHERE text MATCH ?1 LIMIT ?2)")?,
        })
    }

    /// About how many records have `word`.
    fn docs(&mut self, word: &Word) -> rusqlite::Result<i64> {
        let counted: i64 = self.having.query_row((quoted(&word.token), COUNTED_MAX), |row| row.get(0))?;
        if counted < COUNTED_MAX {
            return Ok(counted);
        }
        let sampled: Option<i64> = self.sampled.query_row([word.hash], |row| row.get(0)).optional()?;
        Ok(counted.max(sampled.unwrap_or(0).saturating_mul(SAMPLE)))
    }
}
