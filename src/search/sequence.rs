//! A document's words in order, as numbers: what a candidate is scored by, without its text.
//!
//! ```text
//! varint  words of the title
//! then each word:
//!   00nnnnnn                            one of the few most frequent words, by its number in the dictionary
//!   01nnnnnn nnnnnnnn                   a frequent word, likewise
//!   1jhhhhhh hhhhhhhh hhhhhhhh          22 bits of the stem's hash; j if it is joined from others and has no place
//! ```
//!
//! 1. The title comes first. Words of the text have places; joined ones follow the last of their parts.
//! 2. Two stems with one hash are taken for each other: one in four million. It moves a record in the ranking and never
//!    makes one a candidate.
//! 3. A document has at most [`WORDS_MAX`] words here. What follows is found through the full-text index alone.
//! 4. The dictionary ([`super::dictionary`]) only grows. A word that had no number when a document was written stays a hash
//!    there: both are read as the hash.

use std::collections::HashMap;

use super::dictionary::{Dictionary, LONG, Numbers, SHORT};
use super::expand::{Role, expand};
use super::stem::stem;

/// The words of a document that are kept.
pub(super) const WORDS_MAX: usize = 20_000;
/// The bits of a hash.
const HASH: u32 = (1 << 22) - 1;
const LONG_MARK: u8 = 0x40;
const HASH_MARK: u8 = 0x80;
const JOINED_MARK: u8 = 0x40;
/// More bytes of a length are none of ours.
const LENGTH_BYTES_MAX: usize = 3;
/// The most words whose hashes a builder keeps, and the longest of them: two megabytes or so.
const KNOWN_MAX: usize = 1 << 15;
const KNOWN_BYTES_MAX: usize = 32;

/// 22 bits of the hash (FNV-1a) of a stem.
pub(super) fn hash(stem: &[u8]) -> u32 {
    let full = stem.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (full ^ (full >> 22)) & HASH
}

/// The hash of the stem of `word`, which is made in `room` unless it is `known`.
fn hash_of(known: &mut HashMap<Box<str>, u32>, room: &mut Vec<u8>, word: &str) -> u32 {
    if let Some(hash) = known.get(word) {
        return *hash;
    }
    room.clear();
    room.extend_from_slice(word.as_bytes());
    stem(room);
    let hash = hash(room);
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    if word.len() <= KNOWN_BYTES_MAX {
        known.insert(word.into(), hash);
    }
    hash
}

/// A word of a document that is being built.
#[derive(Clone, Copy)]
struct Built {
    hash: u32,
    is_base: bool,
}

/// A sequence that is being made, and its text for the full-text index.
#[derive(Default)]
pub(super) struct Builder {
    items: Vec<Built>,
    /// How many of them are the title's.
    titled: usize,
    title: String,
    body: String,
    joined: String,
    stem: Vec<u8>,
    /// Hashes by words that were stemmed: a few thousand words are most of any text.
    known: HashMap<Box<str>, u32>,
    /// Words with a place.
    words: usize,
}

impl Builder {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.items.clear();
        self.titled = 0;
        self.title.clear();
        self.body.clear();
        self.words = 0;
    }

    /// Adds the title, which has to be the first.
    pub fn title(&mut self, text: &str) {
        let mut title = std::mem::take(&mut self.title);
        self.add(text, &mut title);
        self.title = title;
        self.titled = self.items.len();
    }

    /// Adds a part of the body.
    pub fn body(&mut self, text: &str) {
        let mut body = std::mem::take(&mut self.body);
        self.add(text, &mut body);
        self.body = body;
    }

    fn add(&mut self, text: &str, to: &mut String) {
        self.joined.clear();
        expand(text, |token| {
            let is_base = token.role.is_base();
            let words = if is_base { &mut *to } else { &mut self.joined };
            words.push_str(token.text);
            words.push(' ');
            self.words += usize::from(is_base);
            if self.items.len() < WORDS_MAX {
                let hash = match token.role {
                    Role::Single => hash(token.text.as_bytes()),
                    _ => hash_of(&mut self.known, &mut self.stem, token.text),
                };
                self.items.push(Built { hash, is_base });
            }
        });
        to.push_str(&self.joined);
    }

    /// How many words with a place there are.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The words of the title and of the body for the full-text index, each with a space behind it.
    pub fn texts(&self) -> (&str, &str) {
        (&self.title, &self.body)
    }

    /// The different words, by their hashes.
    pub fn hashes(&self) -> Vec<u32> {
        let mut hashes: Vec<u32> = self.items.iter().map(|it| it.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Writes the sequence to `bytes`.
    pub fn write(&self, numbers: &Numbers, bytes: &mut Vec<u8>) {
        bytes.clear();
        let mut titled = self.titled;
        while titled >= 0x80 {
            bytes.push(titled as u8 | 0x80);
            titled >>= 7;
        }
        bytes.push(titled as u8);
        for it in &self.items {
            match numbers.of(it.hash).filter(|_| it.is_base) {
                Some(number) if number < SHORT => bytes.push(number as u8),
                Some(number) => {
                    let number = number - SHORT;
                    bytes.extend([LONG_MARK | (number >> 8) as u8, number as u8]);
                }
                None => {
                    let mark = if it.is_base { HASH_MARK } else { HASH_MARK | JOINED_MARK };
                    let [low, middle, high, _] = it.hash.to_le_bytes();
                    bytes.extend([mark | high, middle, low]);
                }
            }
        }
    }
}

const _: () = assert!(SHORT <= 1 << 6 && LONG <= 1 << 14, "numbers fit into their bits");

/// A word of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub hash: u32,
    pub is_base: bool,
    pub in_title: bool,
}

/// A sequence, with the dictionary that it was written by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence<'s> {
    pub bytes: &'s [u8],
    pub dictionary: &'s Dictionary,
}

impl<'s> Sequence<'s> {
    /// The words. What is no sequence has none, or others.
    pub fn items(self) -> Items<'s> {
        let (mut title, mut rest) = (0_usize, self.bytes);
        for at in 0..LENGTH_BYTES_MAX {
            let Some((byte, after)) = rest.split_first() else { break };
            title |= usize::from(byte & 0x7f) << (7 * at);
            rest = after;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Items { rest, dictionary: self.dictionary, title }
    }
}

/// The words of a sequence, in order.
pub(super) struct Items<'s> {
    rest: &'s [u8],
    dictionary: &'s Dictionary,
    /// How many words of the title are left.
    title: usize,
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let (hash, is_base, rest) = match *self.rest {
            [mark, middle, low, ref rest @ ..] if mark & HASH_MARK != 0 => {
                (u32::from_be_bytes([0, mark & 0x3f, middle, low]), mark & JOINED_MARK == 0, rest)
            }
            [high, low, ref rest @ ..] if high & (HASH_MARK | LONG_MARK) == LONG_MARK => {
                (self.dictionary.long(usize::from(high & 0x3f) << 8 | usize::from(low)), true, rest)
            }
            [number, ref rest @ ..] if number < LONG_MARK => (self.dictionary.short(usize::from(number)), true, rest),
            _ => return None,
        };
        self.rest = rest;
        let in_title = self.title > 0;
        self.title = self.title.saturating_sub(1);
        Some(Item { hash, is_base, in_title })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(title: &str, body: &str) -> Builder {
        let mut builder = Builder::default();
        builder.title(title);
        builder.body(body);
        builder
    }

    #[test]
    fn a_sequence_says_the_same_whatever_has_a_number() {
        let title = "parseConfigFile fails ".repeat(60);
        let builder = built(&title, "a word, \u{6570}\u{636e}\u{5e93} and a/path.rs");
        let (none, mut some) = (Numbers::default(), Numbers::default());
        for (at, hash) in builder.hashes().into_iter().enumerate() {
            match at % 3 {
                0 => some.add_short(hash),
                1 => some.add_long(hash),
                _ => {}
            }
        }
        let items = |numbers: &Numbers| {
            let mut bytes = Vec::new();
            builder.write(numbers, &mut bytes);
            let dictionary = numbers.dictionary();
            (Sequence { bytes: &bytes, dictionary }.items().collect::<Vec<_>>(), bytes.len())
        };
        let (plain, long) = items(&none);
        let (numbered, short) = items(&some);
        assert_eq!(plain, numbered);
        assert!(short < long, "{short} and {long} bytes");
        assert_eq!(plain.len(), builder.items.len());
        assert_eq!(plain.iter().filter(|it| it.in_title).count(), builder.titled);
        assert!(plain.iter().any(|it| !it.is_base) && builder.titled > 0x80);
    }

    #[test]
    fn what_is_no_sequence_ends() {
        let dictionary = Dictionary::default();
        for bytes in [&[][..], &[0x80], &[0xff; 4], &[0, 0x7f], &[0, 0x80, 1], &[3, 1, 0x41, 0xff, 0xc0, 0, 0, 0x40]] {
            let count = Sequence { bytes, dictionary: &dictionary }.items().count();
            assert!(count <= bytes.len(), "{bytes:?}");
        }
    }
}
