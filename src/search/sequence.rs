//! A document's words in order, as numbers: what a candidate is scored by, without its text.
//!
//! ```text
//! u16 LE  words of the title
//! u24 LE  for each word: 23 bits of the stem's hash, and the highest bit if it is joined from others and has no place
//! ```
//!
//! 1. The title comes first. Words of the text have places; joined ones follow the last of their parts.
//! 2. Two stems with one hash are taken for each other: one in eight million. It moves a record in the ranking and never
//!    makes one a candidate.
//! 3. A document has at most [`WORDS_MAX`] words here. What follows is found through the full-text index alone.

use super::expand::{Role, expand};
use super::stem::stem;

/// The words of a document that are kept.
pub(super) const WORDS_MAX: usize = 20_000;
const JOINED: u32 = 1 << 23;
const BYTES: usize = 3;

/// 23 bits of the hash (FNV-1a) of a stem.
pub(super) fn hash(stem: &[u8]) -> u32 {
    let full = stem.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    (full ^ (full >> 23)) & (JOINED - 1)
}

/// A sequence that is being made, and its text for the full-text index.
#[derive(Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    title: String,
    body: String,
    joined: String,
    stem: Vec<u8>,
    /// Words with a place.
    words: usize,
    /// The stems of the document, if they are wanted: with repeats.
    pub stems: Option<Vec<Vec<u8>>>,
}

impl Builder {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.extend([0, 0]);
        self.title.clear();
        self.body.clear();
        self.words = 0;
        self.stems = None;
    }

    /// Adds the title, which has to be the first.
    pub fn title(&mut self, text: &str) {
        let mut title = std::mem::take(&mut self.title);
        self.add(text, &mut title);
        self.title = title;
        let count = u16::try_from((self.bytes.len() - 2) / BYTES).unwrap_or(u16::MAX);
        self.bytes[..2].copy_from_slice(&count.to_le_bytes());
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
            self.stem.clear();
            self.stem.extend_from_slice(token.text.as_bytes());
            if token.role != Role::Single {
                stem(&mut self.stem);
            }
            self.words += usize::from(is_base);
            if self.bytes.len() < 2 + WORDS_MAX * BYTES {
                let number = hash(&self.stem) | if is_base { 0 } else { JOINED };
                self.bytes.extend_from_slice(&number.to_le_bytes()[..BYTES]);
            }
            if let Some(stems) = &mut self.stems {
                stems.push(self.stem.clone());
            }
        });
        to.push_str(&self.joined);
    }

    /// The bytes, the words with a place, the title and the body for the full-text index.
    pub fn built(&self) -> (&[u8], usize, &str, &str) {
        (&self.bytes, self.words, &self.title, &self.body)
    }
}

/// A word of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub hash: u32,
    pub is_base: bool,
    pub in_title: bool,
}

/// The words of a sequence. What is not one has none.
pub(super) fn items(bytes: &[u8]) -> impl Iterator<Item = Item> + '_ {
    let (head, rest) = bytes.split_at_checked(2).unwrap_or((&[0, 0], &[]));
    let title = usize::from(u16::from_le_bytes([head[0], head[1]]));
    rest.chunks_exact(BYTES).enumerate().map(move |(at, it)| {
        let number = u32::from_le_bytes([it[0], it[1], it[2], 0]);
        Item { hash: number & (JOINED - 1), is_base: number & JOINED == 0, in_title: at < title }
    })
}
