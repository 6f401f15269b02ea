//! Phrases: words side by side. The full-text index knows no places, so the records that have all words of a phrase are looked at
//! for whether they have them so: the newest [`PHRASE_MAX`], and of several phrases [`PHRASES_MAX`] in all. What rare phrases
//! leave of that, the others have.

use super::find::{CANDIDATES_MAX, Search, quoted};
use super::query::Phrase;
use super::score;

/// The records that are looked at for a phrase.
const PHRASE_MAX: usize = 3_000;
/// The records that are looked at for all phrases together, in each source.
const PHRASES_MAX: usize = 2 * PHRASE_MAX;
/// What a record is worth, before it is scored, that has a phrase of the query: more than all words together.
const PHRASE: f64 = 1e6;

impl Search<'_, '_> {
    /// Looks for the phrases of the query.
    pub(super) fn find_phrases(&mut self) -> rusqlite::Result<()> {
        let phrases = &self.query.phrases;
        for number in 0..self.sources.len() {
            let mut having = Vec::with_capacity(phrases.len());
            for phrase in phrases {
                let count = match phrases.len() * PHRASE_MAX <= PHRASES_MAX {
                    true => PHRASE_MAX,
                    false => self.sources[number].matching(Some(&all_of(phrase)), PHRASE_MAX)?.len(),
                };
                having.push((count, phrase));
            }
            having.sort_by_key(|it| it.0);
            let (mut left, mut phrases_left) = (PHRASES_MAX, having.len());
            for (count, phrase) in having {
                let share = left.checked_div(phrases_left).unwrap_or(0);
                left -= self.find_phrase(number, phrase, count.min(share))?;
                self.looked.is_bounded |= count > share;
                phrases_left -= 1;
            }
        }
        Ok(())
    }

    /// Looks for a phrase in the newest `most` records of a source that have its words. Returns how many there were.
    fn find_phrase(&mut self, number: usize, phrase: &Phrase, most: usize) -> rusqlite::Result<usize> {
        let source = &mut self.sources[number];
        let docs = source.newest_matching(Some(&all_of(phrase)), most)?;
        self.looked.is_bounded |= docs.len() == PHRASE_MAX;
        self.looked.phrase_records += docs.len();
        let mut left = CANDIDATES_MAX;
        for doc in &docs {
            if left > 0 && source.sequence(*doc, |it| score::has(it, phrase))? == Some(true) {
                self.found.push(((number, *doc), PHRASE));
                left -= 1;
            }
        }
        Ok(docs.len())
    }
}

/// What the full-text index is asked for all words of a phrase.
fn all_of(phrase: &Phrase) -> String {
    phrase.tokens.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(" AND ")
}
