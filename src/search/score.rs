//! What a record is worth to a query: its words in order ([`super::sequence`]) against the query's.
//!
//! `score = (text + 0.6 x best passage) x (1 + project + age)`, where both are BM25 with the usual constants, a word of the
//! title counting as [`TITLE`] words. Frequent words count little because they are frequent; there is no list of stop words.
//! The passage is the best of the windows of [`PASSAGE`] words, each beginning in the middle of the one before, so that a
//! long record in which the words stand close together is not lost among those that have them by length alone.

use jiff::Timestamp;

use super::expand::Role;
use super::query::{Phrase, Query};
use super::sequence::Sequence;

const K1: f64 = 1.2;
const B: f64 = 0.75;
/// How much a word of the title counts.
pub(super) const TITLE: f64 = 2.5;
/// How much the best passage counts.
const PASSAGE_WEIGHT: f64 = 0.6;
/// The words of a passage.
const PASSAGE: usize = 128;
/// What a record of this project has more, in parts of its score.
const PROJECT: f64 = 0.1;
/// What a new record has more; half of it after [`AGE_HALF_DAYS`].
const AGE: f64 = 0.05;
const AGE_HALF_DAYS: f64 = 90.0;

/// How a score came about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Each word of the query that the record has, the most telling first.
    pub words: Vec<WordScore>,
    /// The words of the whole record.
    pub text: f64,
    /// The words of its best passage, before it is weighed.
    pub passage: f64,
    /// What was added because it is of this project.
    pub project: f64,
    /// What was added because it is young.
    pub age: f64,
    /// How many of the query's phrases it has.
    pub phrases: usize,
    /// How many of the query's identifiers it has, whole.
    pub identifiers: usize,
}

/// What a word has part in a score.
#[derive(Clone, Debug, PartialEq)]
pub struct WordScore {
    /// The word, as it was expanded.
    pub word: String,
    /// How rare it is: its inverse document frequency.
    pub rarity: f64,
    /// How often it stands in the title.
    pub in_title: u32,
    /// How often it stands in the body.
    pub in_body: u32,
    /// What it adds to the text's score.
    pub score: f64,
}

/// What of a collection the scores need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub docs: f64,
    pub words: f64,
}

impl Totals {
    pub fn average(self) -> f64 {
        (self.words / self.docs.max(1.0)).max(1.0)
    }

    /// How rare a word is that `docs` records have.
    pub fn rarity(self, docs: f64) -> f64 {
        let all = self.docs.max(docs);
        (1.0 + (all - docs + 0.5) / (docs + 0.5)).ln()
    }
}

/// A query, with what the collection says of its words.
pub(super) struct Scorer<'q> {
    query: &'q Query,
    /// How rare each word of the query is.
    rarities: Vec<f64>,
    totals: Totals,
    /// The query's words by hash, sorted.
    by_hash: Vec<(u32, usize)>,
    /// A bit for each of the lowest bits of a hash: most words of a record are none of the query's.
    seen: [u64; 64],
}

/// How often a record has a word of the query.
#[derive(Clone, Copy, Default)]
struct Counts {
    title: u32,
    body: u32,
}

/// Where a record has the query's words. Used again for the next record: most of them never become a hit.
#[derive(Default)]
pub(super) struct Places {
    /// By word of the query.
    counts: Vec<Counts>,
    /// Places in the body, in order, each with the word.
    body: Vec<(usize, usize)>,
    /// The places of the body.
    length: usize,
    /// By word of the query: how often a passage has it.
    in_passage: Vec<u32>,
}

/// What a record is worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score {
    pub text: f64,
    pub passage: f64,
    pub project: f64,
    pub age: f64,
    pub phrases: usize,
    pub identifiers: usize,
}

impl Score {
    /// All of it.
    pub fn sum(&self) -> f64 {
        self.text + PASSAGE_WEIGHT * self.passage + self.project + self.age
    }

    /// Adds what is known of the record.
    pub fn add_context(&mut self, of_project: bool, created_at: Timestamp, now: Timestamp) {
        let days = (now.as_second() - created_at.as_second()).max(0) as f64 / 86_400.0;
        let words = self.sum();
        self.project = if of_project { words * PROJECT } else { 0.0 };
        self.age = words * AGE * 0.5_f64.powf(days / AGE_HALF_DAYS);
    }
}

impl<'q> Scorer<'q> {
    pub fn new(query: &'q Query, rarities: Vec<f64>, totals: Totals) -> Scorer<'q> {
        let mut by_hash: Vec<_> = query.words.iter().enumerate().map(|(at, word)| (word.hash, at)).collect();
        by_hash.sort_unstable();
        let mut seen = [0; 64];
        for (hash, _) in &by_hash {
            seen[(hash >> 6 & 63) as usize] |= 1 << (hash & 63);
        }
        Scorer { query, rarities, totals, by_hash, seen }
    }

    fn word_of(&self, hash: u32) -> Option<usize> {
        if self.seen[(hash >> 6 & 63) as usize] >> (hash & 63) & 1 == 0 {
            return None;
        }
        let at = self.by_hash.binary_search_by_key(&hash, |it| it.0).ok()?;
        Some(self.by_hash[at].1)
    }

    /// Scores a record by its sequence; `None` if it has none of the words, or what the query leaves out.
    pub fn score(&self, sequence: Sequence<'_>, words: f64, places: &mut Places) -> Option<Score> {
        if self.query.without.iter().any(|it| has(sequence, it)) {
            return None;
        }
        self.find(sequence, places);
        let mut score = Score::default();
        let mut is_found = self.query.is_empty();
        for (at, count) in places.counts.iter().enumerate().filter(|(_, count)| count.title + count.body > 0) {
            is_found = true;
            score.text += self.word_score(at, *count, words);
            score.identifiers += usize::from(self.query.words[at].role == Role::Whole);
        }
        score.passage = self.passage(places);
        score.phrases = self.query.phrases.iter().filter(|it| has(sequence, it)).count();
        is_found.then_some(score)
    }

    /// How the score of a record came about, and which words of the query it has, the most telling first.
    pub fn explain(&self, sequence: Sequence<'_>, words: f64, score: &Score) -> Parts {
        let mut places = Places::default();
        self.find(sequence, &mut places);
        let found = places.counts.iter().enumerate().filter(|(_, count)| count.title + count.body > 0);
        let word = |(at, count): (usize, &Counts)| WordScore {
            word: self.query.words[at].token.clone(),
            rarity: self.rarities[at],
            in_title: count.title,
            in_body: count.body,
            score: self.word_score(at, *count, words),
        };
        let mut words: Vec<_> = found.map(word).collect();
        words.sort_by(|a, b| b.score.total_cmp(&a.score));
        let Score { text, passage, project, age, phrases, identifiers } = *score;
        Parts { words, text, passage, project, age, phrases, identifiers }
    }

    /// Finds where the record has the query's words.
    fn find(&self, sequence: Sequence<'_>, places: &mut Places) {
        places.counts.clear();
        places.counts.resize(self.query.words.len(), Counts::default());
        places.body.clear();
        places.length = 0;
        for item in sequence.items() {
            places.length += usize::from(item.is_base && !item.in_title);
            let Some(word) = self.word_of(item.hash) else { continue };
            if item.in_title {
                places.counts[word].title += 1;
            } else {
                places.counts[word].body += 1;
                places.body.push((places.length, word));
            }
        }
    }

    /// What the word at `at` of the query adds to the score of a record of `words` words.
    fn word_score(&self, at: usize, count: Counts, words: f64) -> f64 {
        let frequency = TITLE * f64::from(count.title) + f64::from(count.body);
        self.query.words[at].weight() * self.rarities[at] * saturated(frequency, words / self.totals.average())
    }

    /// The score of the best passage. The title is part of each.
    fn passage(&self, places: &mut Places) -> f64 {
        let Places { counts, body, length, in_passage } = places;
        let average = self.totals.average().min(PASSAGE as f64);
        let words = (*length).clamp(1, PASSAGE) as f64 / average;
        let mut score_of = |passage: &[(usize, usize)]| -> f64 {
            in_passage.clear();
            in_passage.resize(counts.len(), 0);
            passage.iter().for_each(|(_, word)| in_passage[*word] += 1);
            let score = |(at, body): (usize, &u32)| {
                let frequency = TITLE * f64::from(counts[at].title) + f64::from(*body);
                let score = || self.query.words[at].weight() * self.rarities[at] * saturated(frequency, words);
                if frequency > 0.0 { score() } else { 0.0 }
            };
            in_passage.iter().enumerate().map(score).sum()
        };
        if *length <= PASSAGE {
            return score_of(body);
        }
        let mut best = score_of(&[]);
        for start in (0..=*length).step_by(PASSAGE / 2) {
            let from = body.partition_point(|(place, _)| *place < start);
            let to = body.partition_point(|(place, _)| *place < start + PASSAGE);
            if to > from {
                best = best.max(score_of(&body[from..to]));
            }
        }
        best
    }
}

/// What repeats of a word are worth in a text that is `length` times as long as others.
fn saturated(frequency: f64, length: f64) -> f64 {
    frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * length))
}

/// About what a word is worth in a record of usual length that has it `frequency` times.
pub(super) fn about(rarity: f64, frequency: f64) -> f64 {
    rarity * saturated(frequency, 1.0)
}

/// Whether the record has the words of `phrase` side by side; of a single word, whether it has it in any spelling.
pub(super) fn has(sequence: Sequence<'_>, phrase: &Phrase) -> bool {
    match phrase.hashes.as_slice() {
        [] => false,
        [word] => sequence.items().any(|it| it.hash == *word),
        words => {
            let (mut had, mut in_title) = (0, true);
            sequence.items().filter(|it| it.is_base).any(|it| {
                // There is a gap between title and body.
                had = if in_title == it.in_title { had } else { 0 };
                in_title = it.in_title;
                had = phrase.follow(had, it.hash);
                had == words.len()
            })
        }
    }
}
