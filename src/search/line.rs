//! The line of a record that says best why it was found, with what matched marked.

use std::ops::Range;

use super::expand::expand;
use super::query::Query;
use super::score::Parts;
use super::sequence::hash;
use super::stem::stemmed;
use super::write::body_fields;
use crate::model::{Field, Record};

/// The characters of a line that is shown.
const CHARS_MAX: usize = 160;

/// A line of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BestLine {
    /// The line or a part of it, as it was recorded: it is data, and made safe where it is shown.
    pub text: String,
    /// What matched, in bytes of `text`, in order and apart from each other.
    pub marks: Vec<Range<usize>>,
    /// Whether it begins inside of its line.
    pub is_cut: bool,
    /// Whether it is of the record's headline.
    pub is_headline: bool,
}

impl BestLine {
    /// The part of it around its first mark, of at most `chars` characters.
    pub fn within(self, chars: usize) -> BestLine {
        shortened(self, chars)
    }
}

/// What a word of the headline counts in another line: a hit is shown with its headline, and the line has to say more.
const IN_HEADLINE: f64 = 0.5;

/// The line of `record` that says most of why `query` found it: the one with most of its words, each counted by how rare it
/// is, which `parts` say. Tags are taken only if they have more of the words than any sentence. A record that has none of
/// the words is shown by its headline.
pub fn best_line(query: &Query, record: &Record, parts: &Parts) -> BestLine {
    let headline = Line::of(query, record.headline());
    let known = headline.words.clone();
    let value = |line: &Line| -> f64 {
        let value = |at: &usize| query.words[*at].weight() * rarity(parts, &query.words[*at].token);
        line.words.iter().map(|at| value(at) * if known.contains(at) { IN_HEADLINE } else { 1.0 }).sum()
    };
    let mut best = (value(&headline), record.headline().to_owned(), headline);
    let mut is_headline = true;
    for field in body_fields(record.kind()).filter(|field| !matches!(field, Field::Domain | Field::Tags)) {
        let Some(text) = record.text(field) else { continue };
        for text in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let line = Line::of(query, text);
            let value = value(&line);
            if value > best.0 {
                best = (value, text.to_owned(), line);
                is_headline = false;
            }
        }
    }
    let (_, mut text, mut line) = best;
    if let Some(tags) = record.text(Field::Tags) {
        let of_tags = Line::of(query, tags.trim());
        if of_tags.words.len() > line.words.len() {
            (text, line, is_headline) = (tags.trim().to_owned(), of_tags, false);
        }
    }
    shortened(BestLine { text, marks: line.marks, is_cut: false, is_headline }, CHARS_MAX)
}

/// How rare a word is that the record has. One that its score does not know counts as usual.
fn rarity(parts: &Parts, word: &str) -> f64 {
    parts.words.iter().find(|it| it.word == word).map_or(1.0, |it| it.rarity)
}

/// What matched in a line.
struct Line {
    marks: Vec<Range<usize>>,
    /// Which words of the query it has.
    words: Vec<usize>,
}

impl Line {
    fn of(query: &Query, text: &str) -> Line {
        let mut marks = Vec::<Range<usize>>::new();
        let mut words = Vec::new();
        expand(text, |token| {
            let number = hash(stemmed(token.text).as_bytes());
            if let Some(word) = query.words.iter().position(|it| it.hash == number) {
                marks.push(token.range);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        });
        marks.sort_by_key(|it| (it.start, it.end));
        let mut apart: Vec<Range<usize>> = Vec::new();
        for mark in marks {
            match apart.last_mut() {
                Some(last) if mark.start <= last.end => last.end = last.end.max(mark.end),
                _ => apart.push(mark),
            }
        }
        Line { marks: apart, words }
    }
}

/// The part of the line around its first mark, of at most `chars` characters.
fn shortened(line: BestLine, chars: usize) -> BestLine {
    if line.text.chars().count() <= chars {
        return line;
    }
    let first = line.marks.first().map_or(0, |it| it.start);
    let mut before = line.text[..first].char_indices().rev().nth(chars / 4).map_or(0, |it| it.0);
    if before > 0 {
        // Where a word begins, if there is one.
        let blank = line.text[before..first].char_indices().find(|it| it.1.is_whitespace());
        before += blank.map_or(0, |(at, blank)| at + blank.len_utf8());
    }
    let end = line.text[before..].char_indices().nth(chars).map_or(line.text.len(), |it| before + it.0);
    let inside = line.marks.into_iter().filter(|it| it.start >= before && it.end <= end);
    let marks = inside.map(|it| it.start - before..it.end - before).collect();
    BestLine { text: line.text[before..end].to_owned(), marks, is_cut: line.is_cut || before > 0, ..line }
}
