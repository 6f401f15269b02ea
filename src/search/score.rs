//! What a record is worth to a query: its words in order ([`super::sequence`]) against the query's.
//!
//! `score = (text + 0.6 x best passage) x (1 + project + age)`, where both are BM25 with the usual constants, a word of the
//! title counting as [`TITLE`] words. Frequent words count little because they are frequent; there is no list of stop words.
//! The passage is the best of the windows of [`PASSAGE`] words, each beginning in the middle of the one before, so that a
//! long record in which the words stand close together is not lost among those that have them by length alone.

use jiff::Timestamp;

use super::expand::Role;
use super::query::{Phrase, Query};
use super::sequence;

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

/// What a record has of the query's words.
#[derive(Clone, Default)]
struct Counts {
    title: u32,
    body: u32,
}

/// A scored record.
pub(super) struct Scored {
    pub score: f64,
    pub parts: Parts,
    /// The query's words that it has, by their place in the query.
    pub matched: Vec<usize>,
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
    pub fn score(&self, bytes: &[u8], words: f64) -> Option<Scored> {
        let is_plain = self.query.without.is_empty() && self.query.phrases.is_empty();
        let placed = if is_plain { Vec::new() } else { placed(bytes) };
        if self.query.without.iter().any(|it| has(bytes, &placed, it)) {
            return None;
        }
        let mut counts = vec![Counts::default(); self.query.words.len()];
        let mut body = Vec::new();
        let mut place = 0_usize;
        for item in sequence::items(bytes) {
            place += usize::from(item.is_base && !item.in_title);
            let Some(word) = self.word_of(item.hash) else { continue };
            if item.in_title {
                counts[word].title += 1;
            } else {
                counts[word].body += 1;
                body.push((place, word));
            }
        }
        let mut parts = Parts::default();
        let mut matched = Vec::new();
        for (at, count) in counts.iter().enumerate().filter(|(_, count)| count.title + count.body > 0) {
            let frequency = TITLE * f64::from(count.title) + f64::from(count.body);
            let word = &self.query.words[at];
            let score = word.weight() * self.rarities[at] * saturated(frequency, words / self.totals.average());
            parts.text += score;
            matched.push((score, at));
            let (in_title, in_body) = (count.title, count.body);
            parts.words.push(WordScore {
                word: word.token.clone(),
                rarity: self.rarities[at],
                in_title,
                in_body,
                score,
            });
            parts.identifiers += usize::from(word.role == Role::Whole);
        }
        if matched.is_empty() && !self.query.is_empty() {
            return None;
        }
        parts.words.sort_by(|a, b| b.score.total_cmp(&a.score));
        matched.sort_by(|a, b| b.0.total_cmp(&a.0));
        parts.passage = self.passage(&body, &counts, place);
        parts.phrases = self.query.phrases.iter().filter(|it| has(bytes, &placed, it)).count();
        let score = parts.text + PASSAGE_WEIGHT * parts.passage;
        Some(Scored { score, parts, matched: matched.into_iter().map(|it| it.1).collect() })
    }

    /// The score of the best passage. `body` has the places of the query's words, in order. The title is part of each.
    fn passage(&self, body: &[(usize, usize)], counts: &[Counts], places: usize) -> f64 {
        let length = PASSAGE.min(places.max(1)) as f64;
        let average = self.totals.average().min(PASSAGE as f64);
        let score_of = |window: &[(usize, usize)]| -> f64 {
            let mut in_window = vec![0_u32; counts.len()];
            window.iter().for_each(|(_, word)| in_window[*word] += 1);
            let score = |(at, count): (usize, &u32)| {
                let frequency = TITLE * f64::from(counts[at].title) + f64::from(*count);
                let score = self.query.words[at].weight() * self.rarities[at] * saturated(frequency, length / average);
                if frequency > 0.0 { score } else { 0.0 }
            };
            in_window.iter().enumerate().map(score).sum()
        };
        let mut best = score_of(&[]);
        let mut start = 0;
        while start <= places {
            let from = body.partition_point(|(place, _)| *place < start);
            let to = body.partition_point(|(place, _)| *place < start + PASSAGE);
            if to > from {
                best = best.max(score_of(&body[from..to]));
            }
            start += PASSAGE / 2;
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

/// Adds what is known of the record.
pub(super) fn add_context(scored: &mut Scored, of_project: bool, created_at: Timestamp, now: Timestamp) {
    let days = (now.as_second() - created_at.as_second()).max(0) as f64 / 86_400.0;
    let score = scored.score;
    scored.parts.project = if of_project { score * PROJECT } else { 0.0 };
    scored.parts.age = score * AGE * 0.5_f64.powf(days / AGE_HALF_DAYS);
    scored.score += scored.parts.project + scored.parts.age;
}

/// The words of a sequence that have a place, with a gap between title and body.
fn placed(bytes: &[u8]) -> Vec<u32> {
    let mut words = Vec::with_capacity(bytes.len() / 3 + 1);
    let mut in_title = true;
    for item in sequence::items(bytes).filter(|it| it.is_base) {
        if in_title && !item.in_title {
            in_title = false;
            words.push(u32::MAX);
        }
        words.push(item.hash);
    }
    words
}

/// Whether the record has the words of `phrase` side by side; of a single word, whether it has it in any spelling.
fn has(bytes: &[u8], placed: &[u32], phrase: &Phrase) -> bool {
    match phrase.hashes.as_slice() {
        [] => false,
        [word] => sequence::items(bytes).any(|it| it.hash == *word),
        words => placed.windows(words.len()).any(|it| it == words),
    }
}
