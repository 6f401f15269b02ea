//! The plan of a search: which records are looked at, in bounded work, and their order.
//!
//! 1. The words that few records have are read, rarest first, as long as all together have no more than [`POSTINGS_MAX`], and
//!    until [`CANDIDATES_MAX`] records were found and only frequent words are left. How many records have a frequent word is
//!    known beforehand, about, from a sample. It is read which records have a word and whether it is in their title; how often
//!    they have it is seen when they are scored.
//!    Of a frequent word that is asked for alone, the newest records are looked at, those with it in the title first.
//! 2. If fewer than [`CANDIDATES_MIN`] records were found, the frequent words are looked for together: the three rarest, then
//!    two, then one, newest first.
//! 3. Phrases are looked for in the records that have all of their words (`phrases`).
//! 4. The best [`CANDIDATES_MAX`] of all these are scored in full ([`super::score`]).
//! 5. If the filters take no more than [`FEW`] records, these are the candidates instead. Otherwise candidates are held
//!    against the filters one by one, and the full-text index is asked for words and filters together where that yields
//!    too few.
//!
//! FTS5's own `bm25()` is never used: it counts all records that have a word before it gives the first one its score.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::Connection;

use super::age::Age;
use super::filter::Filter;
use super::listing::Located;
use super::query::{Query, Word};
use super::rank::{Candidate, Ranked};
use super::schema::fact;
use super::score::{self, Parts, Scorer, Totals};
use super::source::Source;
use super::state::Chosen;
use crate::model::{RecordId, Revision};

/// The records that are read by word, in all.
const POSTINGS_MAX: usize = 30_000;
/// The candidates with which no more are looked for.
const CANDIDATES_MIN: usize = 200;
/// The candidates that are scored in full.
pub(super) const CANDIDATES_MAX: usize = 400;
/// A word that more records have is frequent.
const FREQUENT: f64 = 1_000.0;
/// The candidates that are held against a filter, before the full-text index is asked for both.
const LOOKED_AT_MAX: usize = 5_000;
/// The most candidates of which all are held against the filters at once.
const HELD_MAX: usize = 10_000;
/// The records that a filter may take for all of them to be candidates.
const FEW: usize = 1_000;
/// What a record is worth more than another that was found together with it, if the word is in its title.
const IN_TITLE: f64 = 1e-3;

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
    /// The records that are looked for; `None` is any.
    pub chosen: Option<Chosen<'a>>,
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
    /// Where its page lies.
    pub located: Located,
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
    /// The records that were looked at for phrases.
    pub phrase_records: usize,
    /// The records that were scored in full.
    pub candidates: usize,
    /// Whether more records may match than were looked at.
    pub is_bounded: bool,
    /// How many candidates were not looked at at all: the others are likelier.
    pub left_over: usize,
    /// Whether the query was longer than what is looked at.
    pub is_cut: bool,
}

/// Records that belong to the collection and are in no source, since they were sifted out before: they cannot be found, and
/// count in how rare words are.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// How many.
    pub docs: u64,
    /// How many of them have each word of the query, about; empty if none has one.
    pub with_word: Vec<u64>,
}

/// A record in a source: the source's number and the record's.
pub(super) type Place = (usize, i64);

/// The records that `query` and `filter` find in `sources`, the best first.
///
/// A record that several sources have is taken from the last of them. The sources' frequencies are joined: a score means the
/// same wherever a record is.
///
/// # Errors
/// SQLite's.
pub fn find(sources: &[&Connection], query: &Query, filter: &Filter, options: &Options<'_>) -> rusqlite::Result<Hits> {
    find_beside(sources, &LeftOut::default(), query, filter, options)
}

/// As [`find`], in a collection that has the records of `left_out` as well.
///
/// # Errors
/// SQLite's.
pub fn find_beside(
    sources: &[&Connection],
    left_out: &LeftOut,
    query: &Query,
    filter: &Filter,
    options: &Options<'_>,
) -> rusqlite::Result<Hits> {
    // One snapshot of each, and no lock taken for every row that is read.
    let outside = sources.iter().filter(|it| it.is_autocommit());
    let _snapshots = outside.map(|it| it.unchecked_transaction()).collect::<rusqlite::Result<Vec<_>>>()?;
    let opened = sources.iter().map(|it| Source::open(it, query, filter, options.project));
    let sources = opened.collect::<rusqlite::Result<Vec<_>>>()?;
    let words = query.words.iter().map(|it| it.token.clone()).collect();
    let looked = Looked { words, is_cut: query.is_cut(), ..Looked::default() };
    let mut search = Search { sources, left_out, query, looked, found: Vec::new(), is_few: false };
    let rarities = search.gather(options.chosen.and_then(|it| it.ids))?;
    let scorer = Scorer::new(query, rarities, search.totals());
    search.rank(&scorer, options)
}

pub(super) struct Search<'q, 'c> {
    pub(super) sources: Vec<Source<'c>>,
    left_out: &'q LeftOut,
    pub(super) query: &'q Query,
    pub(super) looked: Looked,
    /// Candidates, with what each is about worth.
    pub(super) found: Vec<(Place, f64)>,
    /// Whether these are all that the filters take.
    is_few: bool,
}

/// Words as a string of the full-text index's own syntax, which stems them: a stem would be stemmed again (`databas`). A word has
/// letters and digits only.
pub(super) fn quoted(words: &str) -> String {
    format!("\"{words}\"")
}

impl Search<'_, '_> {
    fn totals(&self) -> Totals {
        let sum = |value: fn(&Totals) -> f64| -> f64 { self.sources.iter().map(|it| value(&it.totals)).sum() };
        let (docs, words) = (sum(|it| it.docs), sum(|it| it.words));
        // They are about as long as the others.
        let all = docs + self.left_out.docs as f64;
        Totals { docs: all, words: if docs > 0.0 { words * (all / docs) } else { 0.0 } }
    }

    /// Finds the candidates, which are `chosen` if that is known; returns how rare each word of the query is.
    fn gather(&mut self, chosen: Option<&HashSet<RecordId>>) -> rusqlite::Result<Vec<f64>> {
        let totals = self.totals();
        let (frequencies, unread) = self.read_words()?;
        let rarities = frequencies.into_iter().map(|docs| totals.rarity(docs)).collect();
        self.merge();
        let few = match chosen {
            Some(ids) => Some(self.places_of(ids)?),
            None => self.few()?,
        };
        if let Some(few) = few {
            (self.found, self.is_few) = (few, true);
            return Ok(rarities);
        }
        self.hold_against_filters(&unread)?;
        if self.found.len() < CANDIDATES_MIN && !unread.is_empty() {
            self.find_frequent(&unread)?;
        }
        self.looked.is_bounded |= !unread.is_empty();
        self.find_phrases()?;
        if self.query.is_empty() {
            for number in 0..self.sources.len() {
                let newest = self.sources[number].newest_matching(None, FEW)?;
                self.found.extend(newest.into_iter().map(|doc| ((number, doc), 0.0)));
            }
        }
        self.merge();
        Ok(rarities)
    }

    /// Reads the postings of rare words; returns how many records have each word, and which words were not read, the rarest
    /// first.
    fn read_words(&mut self) -> rusqlite::Result<(Vec<f64>, Vec<usize>)> {
        let words = &self.query.words;
        let all = self.totals().docs;
        let mut frequencies = vec![0.0; words.len()];
        for (word, docs) in words.iter().zip(&mut frequencies) {
            for source in &mut self.sources {
                *docs += source.frequency(word)?;
            }
        }
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by(|a, b| frequencies[*a].total_cmp(&frequencies[*b]));
        let is_alone = words.len() == 1 && !self.query.leaves_out();
        let mut unread = Vec::new();
        for at in order {
            let left = POSTINGS_MAX.saturating_sub(self.looked.postings);
            // Records with rarer words are enough by then; in these, the frequent word counts all the same.
            let is_enough = self.found.len() >= CANDIDATES_MAX && frequencies[at] > FREQUENT.min(all / 8.0);
            // Beside others, it tells which of their records are worth more. Alone, the newest that have it are enough.
            let is_too_frequent = frequencies[at] > left as f64 || is_alone;
            let is_frequent = frequencies[at] > FREQUENT && is_too_frequent;
            if is_enough || is_frequent || left == 0 {
                self.looked.frequent.push(words[at].token.clone());
                unread.push(at);
            } else {
                let left_out = self.left_out.with_word.get(at).map_or(0.0, |docs| *docs as f64);
                frequencies[at] = self.read_word(&words[at], left_out)?;
            }
        }
        Ok((frequencies, unread))
    }

    /// Reads which records have a word in all sources; returns how many these are, with the `left_out` that are in no source.
    fn read_word(&mut self, word: &Word, left_out: f64) -> rusqlite::Result<f64> {
        let before = self.found.len();
        for number in 0..self.sources.len() {
            let left = POSTINGS_MAX.saturating_sub(self.looked.postings);
            let source = &mut self.sources[number];
            let having = source.having(word, left)?;
            self.looked.postings += having.len();
            self.looked.is_bounded |= having.len() == left;
            self.found.extend(having.into_iter().map(|(doc, frequency)| ((number, doc), frequency)));
        }
        let docs = (self.found.len() - before) as f64 + left_out;
        let rarity = self.totals().rarity(docs) * word.weight();
        for (_, value) in &mut self.found[before..] {
            *value = score::about(rarity, *value);
        }
        Ok(docs)
    }

    /// Makes one candidate of those that are at one place.
    fn merge(&mut self) {
        self.found.sort_unstable_by_key(|it| it.0);
        self.found.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0.0 };
            is_same
        });
    }

    /// Where the records `ids` are, each worth what the words found there are.
    fn places_of(&mut self, ids: &HashSet<RecordId>) -> rusqlite::Result<Vec<(Place, f64)>> {
        let found = &self.found;
        let worth = |place: Place| found.binary_search_by_key(&place, |it| it.0).map_or(0.0, |at| found[at].1);
        let mut places = Vec::new();
        for (number, source) in self.sources.iter_mut().enumerate() {
            for id in ids {
                places.extend(source.doc_of(*id)?.map(|doc| ((number, doc), worth((number, doc)))));
            }
        }
        Ok(places)
    }

    /// All records that the filters take, if they are few.
    fn few(&mut self) -> rusqlite::Result<Option<Vec<(Place, f64)>>> {
        if !self.sources.iter().any(Source::has_filter) {
            return Ok(None);
        }
        let mut few = Vec::new();
        for (number, source) in self.sources.iter_mut().enumerate() {
            let docs = source.matching(None, FEW + 1)?;
            few.extend(docs.into_iter().map(|doc| ((number, doc), 0.0)));
        }
        Ok((few.len() <= FEW).then_some(few))
    }

    /// Takes those of the candidates out that the filters do not take, as far as the full-text index knows them, if there are
    /// many: to read each of them costs more. `unread` are the words that no candidate was found by.
    fn hold_against_filters(&mut self, unread: &[usize]) -> rusqlite::Result<()> {
        if !(CANDIDATES_MAX..=HELD_MAX).contains(&self.found.len()) {
            return Ok(());
        }
        let words = self.query.words.iter().enumerate().filter(|(at, _)| !unread.contains(at));
        let words: Vec<_> = words.map(|(_, word)| quoted(&word.token)).collect();
        for (number, source) in self.sources.iter_mut().enumerate().filter(|(_, source)| source.has_filter()) {
            let mut taken = source.matching(Some(&words.join(" OR ")), HELD_MAX + 1)?;
            if taken.len() <= HELD_MAX {
                taken.sort_unstable();
                self.found.retain(|((of, doc), _)| *of != number || taken.binary_search(doc).is_ok());
            }
        }
        Ok(())
    }

    /// Looks for frequent words, the rarest of them first, by twos and threes.
    fn find_frequent(&mut self, words: &[usize]) -> rusqlite::Result<()> {
        let Some(&rarest) = words.first() else { return Ok(()) };
        let words: Vec<_> = words.iter().take(3).map(|at| quoted(&self.query.words[*at].token)).collect();
        for count in (1..=words.len()).rev() {
            if count == 1 {
                let title = quoted(&fact::title(&self.query.words[rarest].token));
                self.find_matching(&title, IN_TITLE)?;
            }
            self.find_matching(&words[..count].join(" AND "), 0.0)?;
            self.merge();
            if self.found.len() >= CANDIDATES_MIN {
                break;
            }
        }
        Ok(())
    }

    fn find_matching(&mut self, words: &str, value: f64) -> rusqlite::Result<()> {
        for (number, source) in self.sources.iter_mut().enumerate() {
            let docs = source.newest_matching(Some(words), CANDIDATES_MAX)?;
            self.found.extend(docs.into_iter().map(|doc| ((number, doc), value)));
        }
        Ok(())
    }

    fn rank(mut self, scorer: &Scorer<'_>, options: &Options<'_>) -> rusqlite::Result<Hits> {
        let mut ranked = Ranked::default();
        let most = match () {
            () if options.chosen.is_some_and(|it| it.ids.is_some()) => LOOKED_AT_MAX,
            () if self.query.is_empty() || self.is_few => FEW,
            () => CANDIDATES_MAX,
        };
        self.score_found(scorer, options, most, &mut ranked)?;
        let has_filter = self.sources.iter().any(Source::has_filter);
        if has_filter && self.looked.is_bounded && ranked.hits.len() < options.limit && !self.query.is_empty() {
            let any: Vec<_> = self.query.words.iter().map(|it| quoted(&it.token)).collect();
            self.find_matching(&any.join(" OR "), 0.0)?;
            self.score_found(scorer, options, most, &mut ranked)?;
        }
        let mut best = ranked.in_order(self.query.is_of_identifiers());
        best.truncate(options.limit);
        let hits = best.iter().map(|it| self.hit(it, scorer)).collect::<rusqlite::Result<_>>()?;
        Ok(Hits { hits, looked: self.looked })
    }

    /// Scores the best of the candidates, at most `most`, and forgets all.
    fn score_found(
        &mut self,
        scorer: &Scorer<'_>,
        options: &Options<'_>,
        most: usize,
        ranked: &mut Ranked,
    ) -> rusqlite::Result<()> {
        let mut found = std::mem::take(&mut self.found);
        // Of equals, those with the greater numbers, which mostly are newer.
        let by_value = |a: &(Place, f64), b: &(Place, f64)| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0));
        if found.len() > LOOKED_AT_MAX {
            self.looked.is_bounded = true;
            self.looked.left_over = found.len() - LOOKED_AT_MAX;
            found.select_nth_unstable_by(LOOKED_AT_MAX, by_value);
            found.truncate(LOOKED_AT_MAX);
        }
        found.sort_unstable_by(by_value);
        let mut left = most;
        let mut rest = found.as_mut_slice();
        // So many of the rest are in order of age already: each run of equals is put into it once.
        let mut aged = 0;
        while left > 0 && !rest.is_empty() {
            let cut = left.min(rest.len());
            if cut >= aged {
                aged = self.newest_of_equals(rest, cut)?;
            }
            aged = aged.saturating_sub(cut);
            let (next, others) = rest.split_at_mut(cut);
            // In the order of the tables: neighbours lie on one page, which is read once.
            next.sort_unstable_by_key(|it| it.0);
            for (place, _) in next {
                left -= usize::from(self.score(*place, scorer, options, ranked)?);
            }
            rest = others;
        }
        self.looked.is_bounded |= !rest.is_empty();
        Ok(())
    }

    /// Puts those of `found` that are worth as much as the last one before `cut` in the order of their age, if some of them are
    /// behind it: the newest are to be before it. `found` is sorted by worth. Returns how many of `found` are in order then; 0 if
    /// nothing was to be done.
    fn newest_of_equals(&mut self, found: &mut [(Place, f64)], cut: usize) -> rusqlite::Result<usize> {
        let is_between_equals = cut > 0 && found.get(cut).is_some_and(|next| next.1 == found[cut - 1].1);
        let is_by_age = self.sources.len() < 2 && self.sources.iter().all(Source::is_by_age);
        if !is_between_equals || is_by_age {
            return Ok(0);
        }
        let worth = found[cut].1;
        let (first, end) = (found.partition_point(|it| it.1 > worth), found.partition_point(|it| it.1 >= worth));
        let mut aged = Vec::with_capacity(end - first);
        for equal in &found[first..end] {
            let (number, doc) = equal.0;
            aged.push((self.sources[number].age(doc)?, *equal));
        }
        aged.sort_unstable_by_key(|it| std::cmp::Reverse(it.0));
        found[first..end].iter_mut().zip(aged).for_each(|(at, (_, equal))| *at = equal);
        Ok(end)
    }

    /// Scores the record at `place`; whether the filters take it, and the query does not leave it out.
    fn score(
        &mut self,
        place: Place,
        scorer: &Scorer<'_>,
        options: &Options<'_>,
        ranked: &mut Ranked,
    ) -> rusqlite::Result<bool> {
        let (number, doc) = place;
        let (sources, later) = self.sources.split_at_mut(number + 1);
        let Some(source) = sources.last_mut() else { return Ok(false) };
        let places = &mut ranked.places;
        let read = source.read(doc, |row, sequence| {
            let words = row.words as f64;
            // In most searches no state is asked for.
            let is_chosen = match options.chosen {
                Some(chosen) => (chosen.accepts)(row.id, row.golden),
                None => self.query.accepts_row(row.golden),
            };
            let score = is_chosen.then(|| scorer.score(sequence, words, places));
            (row.id, row.project, row.created_at(), words, score)
        })?;
        let Some((id, project, created_at, words, Some(score))) = read else { return Ok(false) };
        if number == 0 && options.gone.is_some_and(|gone| gone.contains(&id)) {
            return Ok(false);
        }
        for source in later {
            if source.has(id)? {
                return Ok(false);
            }
        }
        self.looked.candidates += 1;
        let Some(mut score) = score else { return Ok(false) };
        score.add_context(source.is_of_project(project), created_at, options.now);
        ranked.hits.insert(id, Candidate { id, place, words, age: Age::new(created_at, id), score });
        Ok(true)
    }

    /// A candidate as it is returned.
    fn hit(&mut self, candidate: &Candidate, scorer: &Scorer<'_>) -> rusqlite::Result<Hit> {
        let Candidate { id, place: (number, doc), words, score, .. } = candidate;
        let source = &mut self.sources[*number];
        let parts = source.read(*doc, |_, sequence| scorer.explain(sequence, *words, score))?.unwrap_or_default();
        let (located, revision) = source.page(*doc)?;
        let matched = parts.words.iter().map(|it| it.word.clone()).collect();
        Ok(Hit { id: *id, source: *number, revision, located, score: score.sum(), parts, matched })
    }
}
