//! What the note of an erasure keeps of the words of erased records: enough to find them again, and not the words.
//!
//! Of each word it keeps the length, 16 bits of a sum of its first eight bytes, and a checksum, both with a random key. A run that
//! comes later, when nothing but a file somewhere has the words, finds them by these. A guess can be tested against them while the
//! note is there; it goes once no file of ours has the words.

use std::collections::{BTreeMap, BTreeSet};

use sha1_smol::Sha1;

use crate::erasing::Trace;

/// How much of a word's beginning its start is made of. A word that is nowhere else by chance has as much.
const START_BYTES: usize = 8;

/// Words that are known by their traces alone.
#[derive(Debug)]
pub(super) struct Noted {
    key: u64,
    /// For each start of 16 bits, whether a word has it.
    begins: Vec<bool>,
    traces: BTreeMap<u16, Vec<(usize, Trace)>>,
}

impl Noted {
    /// The words of `traces`, numbered in their order; these were made with `key`.
    pub(super) fn of(traces: &BTreeSet<Trace>, key: u64) -> Noted {
        let mut noted = Noted { key, begins: vec![false; 1 << 16], traces: BTreeMap::new() };
        for (number, trace) in traces.iter().enumerate() {
            noted.begins[usize::from(trace.start)] = true;
            noted.traces.entry(trace.start).or_default().push((number, trace.clone()));
        }
        noted
    }

    /// The numbers of the words that `lower` has, which is in lower case.
    pub(super) fn hits(&self, lower: &[u8]) -> BTreeSet<usize> {
        let mut hits = BTreeSet::new();
        if self.traces.is_empty() {
            return hits;
        }
        for (at, eight) in lower.windows(START_BYTES).enumerate() {
            let start = start(eight, self.key);
            if !self.begins[usize::from(start)] {
                continue;
            }
            for (number, trace) in &self.traces[&start] {
                let word = at.checked_add(trace.bytes).and_then(|end| lower.get(at..end));
                if !hits.contains(number) && word.is_some_and(|word| sum(word, self.key) == trace.sum) {
                    hits.insert(*number);
                }
            }
        }
        hits
    }

    /// The length of the longest word, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.traces.values().flatten().map(|(_, trace)| trace.bytes).max().unwrap_or(0)
    }
}

/// What is kept of `word`, which is in lower case; `None` if it is too short.
pub(super) fn trace_of(word: &[u8], key: u64) -> Option<Trace> {
    let start = start(word.get(..START_BYTES)?, key);
    Some(Trace { bytes: word.len(), start, sum: sum(word, key) })
}

fn start(eight: &[u8], key: u64) -> u16 {
    let number = eight.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mixed = (number ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u16::try_from(mixed >> 48).unwrap_or_default()
}

fn sum(word: &[u8], key: u64) -> String {
    let mut sum = Sha1::new();
    sum.update(&key.to_be_bytes());
    sum.update(word);
    sum.digest().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_trace_wherever_it_is() {
        let words = ["t zqsecret1234567", "t zqsecret-other", "12345678"];
        let traces: BTreeSet<Trace> = words.iter().filter_map(|word| trace_of(word.as_bytes(), 77)).collect();
        assert_eq!(traces.len(), 3);
        let noted = Noted::of(&traces, 77);
        for word in words {
            for text in
                [word.to_owned(), format!("\u{e9}x {word}"), format!("{word} y"), format!("t t zqsec{word}{word}")]
            {
                assert_eq!(noted.hits(text.as_bytes()).len(), 1, "{text}");
            }
            assert!(noted.hits(&word.as_bytes()[..word.len() - 1]).is_empty());
        }
        assert!(Noted::of(&traces, 78).hits(b"t zqsecret1234567").is_empty(), "it takes the key");
        assert_eq!(trace_of(b"1234567", 77), None);
        assert_eq!(noted.longest(), 17);
    }
}
