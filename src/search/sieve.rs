//! A sieve for raw text: which words of a query it may have. It lets through all that has one, and little else, for a
//! fraction of what it costs to expand the text.
//!
//! 1. Of each word of the query the sieve has the part that every spelling of it has: its stem, without what a stemmer may
//!    have changed at its end. It looks for these parts in the text, whose letters are run together
//!    ([`run_together`]).
//! 2. The text is read once, however many words there are: a table says which two bytes begin a part.
//!
//! A property test compares it with the expansion: what that finds, the sieve lets through.

use super::expand::run_together;
use super::query::{Query, WORDS_MAX};

const _: () = assert!(WORDS_MAX <= u64::BITS as usize, "a word has a bit");

/// Which words of a query a text may have: a bit for each, in their order.
pub type Words = u64;

/// The sieve of one query.
#[derive(Debug)]
pub struct Sieve {
    /// The parts, each with the bit of its word, sorted.
    parts: Vec<(Box<[u8]>, Words)>,
    /// For each first byte, where its parts are.
    of_byte: Box<[(u8, u8); 256]>,
    /// A bit for each pair of bytes that a part begins with.
    pairs: Box<[u64; 1024]>,
    /// All bits.
    all: Words,
    /// Used again for each text.
    letters: Vec<u8>,
}

impl Sieve {
    /// The sieve of `query`.
    pub fn of(query: &Query) -> Sieve {
        let part = |(at, stem): (usize, &str)| (part_of(stem).as_bytes().into(), 1 << at);
        let mut parts: Vec<(Box<[u8]>, Words)> =
            query.words.iter().map(|word| word.stem.as_str()).enumerate().map(part).collect();
        parts.sort_unstable();
        let (mut of_byte, mut pairs) = (Box::new([(0, 0); 256]), Box::new([0; 1024]));
        for (at, (part, _)) in parts.iter().enumerate() {
            let Some(first) = part.first() else { continue };
            let (begin, end) = &mut of_byte[usize::from(*first)];
            // There are fewer parts than a byte can count.
            let at = at as u8;
            (*begin, *end) = if *begin == *end { (at, at + 1) } else { (*begin, at + 1) };
            let seconds = part.get(1).map_or(0..=u8::MAX, |second| *second..=*second);
            for second in seconds {
                let pair = usize::from(*first) << 8 | usize::from(second);
                pairs[pair >> 6] |= 1 << (pair & 63);
            }
        }
        let all = parts.iter().fold(0, |all, (_, bit)| all | bit);
        Sieve { parts, of_byte, pairs, all, letters: Vec::new() }
    }

    /// Which words of the query `text` may have.
    pub fn words(&mut self, text: &str) -> Words {
        self.letters.clear();
        run_together(text, &mut self.letters);
        self.letters.push(b' ');
        let letters = self.letters.as_slice();
        let mut found = 0;
        for at in 1..letters.len() {
            let pair = usize::from(letters[at - 1]) << 8 | usize::from(letters[at]);
            if self.pairs[pair >> 6] >> (pair & 63) & 1 == 0 {
                continue;
            }
            let (begin, end) = self.of_byte[usize::from(letters[at - 1])];
            for (part, bit) in &self.parts[usize::from(begin)..usize::from(end)] {
                if letters[at - 1..].starts_with(part) {
                    found |= bit;
                }
            }
            if found == self.all {
                break;
            }
        }
        found
    }
}

/// What every word with this stem begins with, as [`run_together`] has it.
///
/// A stemmer cuts the end of a word, and puts three things in its place: an `i` for a `y`, an `e`, and `bl` or `ble` for
/// `bil` (`possibility`).
fn part_of(stem: &str) -> &str {
    let first = stem.chars().next().map_or(0, char::len_utf8);
    let changed = match () {
        () if stem.ends_with("ble") => 2,
        () if stem.ends_with("bl") || stem.ends_with(['e', 'i']) => 1,
        () => 0,
    };
    let mut length = (stem.len() - changed).max(first);
    // What the expansion adds: `1p23`.
    let mut before = ' ';
    for (at, c) in stem.char_indices() {
        if c == 'p' && before.is_numeric() {
            length = length.min(at);
        }
        before = c;
    }
    &stem[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stem_is_looked_for_what_every_word_with_it_begins_with() {
        for (stem, part) in [
            ("happi", "happ"),
            ("hope", "hop"),
            ("possibl", "possib"),
            ("relat", "relat"),
            ("db", "db"),
            ("i", "i"),
            ("", ""),
            ("v1p23", "v1"),
            ("\u{4e2d}\u{6587}", "\u{4e2d}\u{6587}"),
            ("\u{e9}", "\u{e9}"),
        ] {
            assert_eq!(part_of(stem), part, "{stem}");
        }
    }

    /// All words of some beginnings and two endings, of which a stemmer makes all that it can.
    #[test]
    fn every_word_begins_with_the_part_of_its_stem() {
        let endings = "s es ies ied ss ed eed ing at ate bl ble iz ize y ly e i ational tional enci ence ency anci ancy izer logi \
            bli ably alli entli ently eli ely ousli ization ation ator alism iveness fulness ousness aliti ality iviti ivity \
            biliti bility icate ative alize iciti icity ical ful ness al ance er ic able ible ant ement ment ent ou ism ate iti \
            ous ive ll tt on ion sion tion";
        let endings = || endings.split_whitespace().chain([""]);
        for begin in
            ["", "a", "b", "us", "re", "rel", "hop", "happ", "sens", "poss", "conn", "tr", "sk", "ski", "\u{44f}"]
        {
            for (one, two) in endings().flat_map(|one| endings().map(move |two| (one, two))) {
                let word = format!("{begin}{one}{two}");
                let stem = crate::search::stem::stemmed(&word);
                assert!(word.starts_with(part_of(&stem)), "{word}: {stem}");
            }
        }
    }
}
