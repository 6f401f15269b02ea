//! The plan of a search: which records are looked at, in bounded work, and their order.
//!
//! 1. The words that few records have are read first, posting by posting, as long as all together have no more than
//!    [`POSTINGS_MAX`]. How many records have a frequent word is known beforehand, about, from a sample.
//! 2. If fewer than [`CANDIDATES_MIN`] records were found, the frequent words are looked for together: the three rarest, then
//!    two, then one, newest first.
//! 3. Phrases are looked for as such.
//! 4. The best [`CANDIDATES_MAX`] of all these are scored in full ([`super::score`]).
//! 5. If a filter takes few records, these are the candidates, and nothing is read by word.
//!
//! FTS5's own `bm25()` is never used: it counts all records that have a word before it gives the first one its score.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;

use super::filter::Filter;
use super::query::{Phrase, Query, Word};
use super::score::{self, Parts, Scored, Scorer, Totals};
use super::source::Source;
use crate::model::{RecordId, Revision};

/// The postings that are read by word, in all.
const POSTINGS_MAX: usize = 30_000;
/// The candidates with which no more are looked for.
const CANDIDATES_MIN: usize = 200;
/// The candidates that are scored in full.
const CANDIDATES_MAX: usize = 400;
/// A word that more records have is frequent.
const FREQUENT: f64 = 1_000.0;
/// The candidates that are held against a filter.
const LOOKED_AT_MAX: usize = 20_000;

/// What a search may be told besides the query.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The most hits that are returned.
    pub limit: usize,
    /// The project whose records come a little earlier.
    pub project: Option<&'a str>,
    /// The time that ages are counted from.
    pub now: Timestamp,
    /// Records that the first source has and that do not exist any more.
    pub gone: Option<&'a HashSet<RecordId>>,
}

/// A record that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The record.
    pub id: RecordId,
    /// Which of the sources has it.
    pub source: usize,
    /// The revision that was indexed; `None` for a record's first.
    pub revision: Option<Revision>,
    /// Its page, relative to the home.
    pub path: String,
    /// The greater, the better; 0 if the query had no words.
    pub score: f64,
    /// How the score came about.
    pub parts: Parts,
    /// The query's words that it has, the most telling first.
    pub matched: Vec<String>,
}

/// What was found, the best first, and how it was looked for.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    /// The hits.
    pub hits: Vec<Hit>,
    /// How they were found.
    pub looked: Looked,
}

/// How it was looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// The words of the query, as they were expanded.
    pub words: Vec<String>,
    /// Those of them whose postings were not read: too many records have them. They count in the scores.
    pub frequent: Vec<String>,
    /// The postings that were read.
    pub postings: usize,
    /// The records that were scored in full.
    pub candidates: usize,
    /// Whether more records may match than were looked at.
    pub is_bounded: bool,
    /// Whether the query was longer than what is looked at.
    pub is_cut: bool,
}

/// A record in a source: the source's number and the record's.
type Place = (usize, i64);

/// The records that `query` and `filter` find in `sources`, the best first.
///
/// A record that several sources have is taken from the last of them. The sources' frequencies are joined: a score means the
/// same wherever a record is.
///
/// # Errors
/// SQLite's.
pub fn find(sources: &[&Connection], query: &Query, filter: &Filter, options: &Options<'_>) -> rusqlite::Result<Hits> {
    let sources = sources.iter().map(|it| Source::open(it)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut search = Search { sources, query, filter, looked: Looked::default(), approximate: HashMap::new() };
    search.looked.words = query.words.iter().map(|it| it.token.clone()).collect();
    search.looked.is_cut = query.is_cut();
    let rarities = search.read()?;
    let totals = search.totals();
    let scorer = Scorer::new(query, rarities, totals);
    search.rank(&scorer, options)
}

struct Search<'q, 'c> {
    sources: Vec<Source<'c>>,
    query: &'q Query,
    filter: &'q Filter,
    looked: Looked,
    approximate: HashMap<Place, f64>,
}

/// A string of the full-text index's own syntax.
fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

fn phrase_expression(phrase: &Phrase) -> String {
    quoted(&phrase.stems.join(" "))
}

impl Search<'_, '_> {
    fn totals(&self) -> Totals {
        let sum = |value: fn(&Totals) -> f64| self.sources.iter().map(|it| value(&it.totals)).sum();
        Totals { docs: sum(|it| it.docs), words: sum(|it| it.words) }
    }

    /// Finds the candidates; returns how rare each word of the query is.
    fn read(&mut self) -> rusqlite::Result<Vec<f64>> {
        let totals = self.totals();
        let words = &self.query.words;
        let mut frequencies = Vec::with_capacity(words.len());
        for word in words {
            let mut docs = 0.0;
            for source in &mut self.sources {
                docs += source.frequency(word)?;
            }
            frequencies.push(docs);
        }
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|a, b| frequencies[*a].total_cmp(&frequencies[*b]));
        let mut unread = Vec::new();
        for at in order {
            let left = POSTINGS_MAX - self.looked.postings;
            if frequencies[at] > FREQUENT && frequencies[at] > left as f64 || left == 0 {
                self.looked.frequent.push(words[at].token.clone());
                unread.push(at);
                continue;
            }
            frequencies[at] = self.read_word(&words[at], totals)?.max(frequencies[at].min(1.0));
        }
        if self.approximate.len() < CANDIDATES_MIN && !unread.is_empty() {
            self.read_frequent(&unread)?;
        }
        self.looked.is_bounded |= !unread.is_empty();
        self.read_phrases()?;
        Ok(frequencies.into_iter().map(|docs| totals.rarity(docs)).collect())
    }

    /// Reads the postings of a word in all sources; returns how many records have it.
    fn read_word(&mut self, word: &Word, totals: Totals) -> rusqlite::Result<f64> {
        let mut docs = 0_usize;
        let mut found = Vec::new();
        for source in &mut self.sources {
            let (postings, read) = source.postings(word, POSTINGS_MAX - self.looked.postings)?;
            self.looked.postings += read;
            docs += postings.len();
            found.push(postings);
        }
        let rarity = totals.rarity(docs as f64) * word.weight();
        for (source, postings) in found.into_iter().enumerate() {
            for (doc, frequency) in postings {
                *self.approximate.entry((source, doc)).or_default() += rarity * frequency / (frequency + 1.0);
            }
        }
        Ok(docs as f64)
    }

    fn read_frequent(&mut self, words: &[usize]) -> rusqlite::Result<()> {
        for count in (1..=words.len().min(3)).rev() {
            let together: Vec<_> = words[..count].iter().map(|at| quoted(&self.query.words[*at].stem)).collect();
            self.add_matching(&together.join(" AND "), count as f64 / 100.0)?;
            if self.approximate.len() >= CANDIDATES_MIN {
                break;
            }
        }
        Ok(())
    }

    fn read_phrases(&mut self) -> rusqlite::Result<()> {
        for phrase in &self.query.phrases {
            self.add_matching(&phrase_expression(phrase), 1_000.0)?;
        }
        Ok(())
    }

    fn add_matching(&mut self, expression: &str, value: f64) -> rusqlite::Result<()> {
        for (number, source) in self.sources.iter_mut().enumerate() {
            for doc in source.matching(expression, CANDIDATES_MAX)? {
                *self.approximate.entry((number, doc)).or_default() += value;
            }
        }
        Ok(())
    }

    fn rank(mut self, scorer: &Scorer<'_>, options: &Options<'_>) -> rusqlite::Result<Hits> {
        let mut places: Vec<(Place, f64)> = self.approximate.drain().collect();
        if self.query.is_empty() {
            places = self.newest()?;
        }
        places.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        let mut hits = HashMap::<RecordId, (Hit, i64)>::new();
        for (looked_at, (place, _)) in places.into_iter().enumerate() {
            if self.looked.candidates >= CANDIDATES_MAX || looked_at >= LOOKED_AT_MAX {
                self.looked.is_bounded = true;
                break;
            }
            if let Some((hit, created)) = self.candidate(place, scorer, options)? {
                let known = hits.get(&hit.id);
                if known.is_none_or(|(other, _)| other.source < hit.source) {
                    hits.insert(hit.id, (hit, created));
                }
            }
        }
        let mut hits: Vec<(Hit, i64)> = hits.into_values().collect();
        let tier = |hit: &Hit| Reverse((hit.parts.phrases, hit.parts.identifiers));
        hits.sort_by(|(a, a_created), (b, b_created)| {
            let by_score = || b.score.total_cmp(&a.score).then(b_created.cmp(a_created)).then(b.id.cmp(&a.id));
            tier(a).cmp(&tier(b)).then_with(by_score)
        });
        let hits = hits.into_iter().map(|it| it.0).take(options.limit).collect();
        Ok(Hits { hits, looked: self.looked })
    }

    fn newest(&mut self) -> rusqlite::Result<Vec<(Place, f64)>> {
        let mut found = Vec::new();
        for (number, source) in self.sources.iter_mut().enumerate() {
            found.extend(source.newest(LOOKED_AT_MAX)?.into_iter().map(|(doc, created)| ((number, doc), created)));
        }
        Ok(found)
    }

    /// The candidate at `place` with its score, and when it was recorded; `None` if it is no hit.
    fn candidate(
        &mut self,
        place: Place,
        scorer: &Scorer<'_>,
        options: &Options<'_>,
    ) -> rusqlite::Result<Option<(Hit, i64)>> {
        let source = &mut self.sources[place.0];
        let Some(row) = source.row(place.1)? else { return Ok(None) };
        if place.0 == 0 && options.gone.is_some_and(|gone| gone.contains(&row.id)) {
            return Ok(None);
        }
        let accepted = |filter: &Filter| row.is_accepted(filter);
        let is_left_out = self.query.without_filters.iter().any(accepted);
        if is_left_out || !accepted(self.filter) || !accepted(&self.query.filter) {
            return Ok(None);
        }
        self.looked.candidates += 1;
        let words = row.words as f64;
        let scored = source.sequence(place.1, |sequence| scorer.score(sequence, words))?.flatten();
        let Some(mut scored) = scored else { return Ok(None) };
        let of_project = options.project.is_some() && options.project == row.project.as_deref();
        score::add_context(&mut scored, of_project, row.created_at(), options.now);
        let Scored { score, parts, matched } = scored;
        let matched = matched.into_iter().map(|at| self.query.words[at].token.clone()).collect();
        let hit = Hit { id: row.id, source: place.0, revision: row.revision, path: row.path, score, parts, matched };
        Ok(Some((hit, row.created)))
    }
}
