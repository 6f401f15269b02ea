//! The line of a record that says best why it was found, with what matched marked.

use std::ops::Range;

use super::expand::expand;
use super::query::Query;
use super::sequence::hash;
use super::stem::stemmed;
use super::write::body_fields;
use crate::model::Record;

/// The characters of a line that is shown.
const CHARS_MAX: usize = 160;

/// A line of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BestLine {
    /// The line or a part of it, as it was recorded: it is data, and made safe where it is shown.
    pub text: String,
    /// What matched, in bytes of `text`, in order and apart from each other.
    pub marks: Vec<Range<usize>>,
}

/// The line of `record` that has most of the query's words; of a record that has none, its headline.
pub fn best_line(query: &Query, record: &Record) -> BestLine {
    let mut best = (0.0, BestLine { text: record.headline().to_owned(), marks: marks(query, record.headline()).1 });
    for field in body_fields(record) {
        for line in field.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (value, marks) = marks(query, line);
            if value > best.0 {
                best = (value, BestLine { text: line.to_owned(), marks });
            }
        }
    }
    shortened(best.1)
}

/// What the line is worth, and what matched.
fn marks(query: &Query, line: &str) -> (f64, Vec<Range<usize>>) {
    let mut marks = Vec::<Range<usize>>::new();
    let mut seen = Vec::new();
    expand(line, |token| {
        let number = hash(stemmed(token.text).as_bytes());
        if let Some(word) = query.words.iter().find(|it| it.hash == number) {
            marks.push(token.range);
            if !seen.contains(&number) {
                seen.push(number);
                let _ = word;
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
    let words = query.words.iter().filter(|it| seen.contains(&it.hash));
    (words.map(|it| it.weight() * it.token.chars().count().min(8) as f64).sum(), apart)
}

/// The part of the line around its first mark.
fn shortened(line: BestLine) -> BestLine {
    if line.text.chars().count() <= CHARS_MAX {
        return line;
    }
    let first = line.marks.first().map_or(0, |it| it.start);
    let before = line.text[..first].char_indices().rev().nth(CHARS_MAX / 4).map_or(0, |it| it.0);
    let end = line.text[before..].char_indices().nth(CHARS_MAX).map_or(line.text.len(), |it| before + it.0);
    let inside = line.marks.into_iter().filter(|it| it.start >= before && it.end <= end);
    let marks = inside.map(|it| it.start - before..it.end - before).collect();
    BestLine { text: line.text[before..end].to_owned(), marks }
}
