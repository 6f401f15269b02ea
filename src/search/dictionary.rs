//! Numbers for the words that many records have, so that a sequence has one or two bytes for such a word, and not three.
//!
//! | table | a row is |
//! | --- | --- |
//! | `dictionary` | a part of it: three bytes for each word's hash, in the order of their numbers |
//!
//! 1. It only grows. A number means the same word for as long as the file is there.
//! 2. Which words get a number is seen in the sample of records that frequencies are counted in. The longer it is, the more
//!    records must have a word.
//! 3. A word can have two numbers: one of the long ones first, and later one of the few short ones.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{Connection, params};

/// The short numbers.
pub(super) const SHORT: u16 = 64;
/// The long numbers, which follow them.
pub(super) const LONG: u16 = 1 << 14;
/// The sampled records that must have a word for a short number.
const SHORT_DOCS: i64 = 16;
/// With each so many long numbers, one more sampled record must have a word for the next.
const LONG_STEP: usize = 6 << 10;
/// The words of a row. Row 0 has the short numbers.
const ROW: usize = 1024;
const HASH_BYTES: usize = 3;

/// What numbers mean: hashes.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    short: Vec<u32>,
    long: Vec<u32>,
}

impl Dictionary {
    /// Reads it.
    pub fn read(c: &Connection) -> rusqlite::Result<Dictionary> {
        let mut dictionary = Dictionary::default();
        let mut statement = c.prepare("SELECT part, hashes FROM dictionary ORDER BY part")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let hashes = row.get_ref(1)?.as_blob().unwrap_or_default().chunks_exact(HASH_BYTES);
            let hashes = hashes.map(|it| u32::from_le_bytes([it[0], it[1], it[2], 0]));
            let (to, most) = match row.get::<_, i64>(0)? {
                0 => (&mut dictionary.short, SHORT),
                _ => (&mut dictionary.long, LONG),
            };
            to.extend(hashes.take(usize::from(most).saturating_sub(to.len())));
        }
        Ok(dictionary)
    }

    /// The word with a short number; a hash that no word has, if there is none.
    pub fn short(&self, number: usize) -> u32 {
        self.short.get(number).copied().unwrap_or(u32::MAX)
    }

    /// The same for a long one, counted from 0.
    pub fn long(&self, number: usize) -> u32 {
        self.long.get(number).copied().unwrap_or(u32::MAX)
    }
}

/// The dictionary of a writer: by hash too.
#[derive(Default)]
pub(super) struct Numbers {
    dictionary: Dictionary,
    of: HashMap<u32, u16, BuildHasherDefault<Spread>>,
    /// How many short and long numbers are in the file.
    written: (usize, usize),
}

impl Numbers {
    /// Reads it, to add to it.
    pub fn read(c: &Connection) -> rusqlite::Result<Numbers> {
        let dictionary = Dictionary::read(c)?;
        let written = (dictionary.short.len(), dictionary.long.len());
        let mut of = HashMap::with_capacity_and_hasher(written.0 + written.1, BuildHasherDefault::default());
        of.extend(dictionary.long.iter().copied().zip(SHORT..));
        of.extend(dictionary.short.iter().copied().zip(0..));
        Ok(Numbers { dictionary, of, written })
    }

    /// The number of the word with this hash, if it has one. Long ones begin at [`SHORT`].
    pub fn of(&self, hash: u32) -> Option<u16> {
        self.of.get(&hash).copied()
    }

    /// `docs` of the sampled records have the word: gives it a number, if that is enough and there is one left.
    pub fn counted(&mut self, hash: u32, docs: i64) {
        let long = self.dictionary.long.len();
        match self.of(hash) {
            Some(number) if number < SHORT => {}
            _ if docs >= SHORT_DOCS && self.dictionary.short.len() < usize::from(SHORT) => self.add_short(hash),
            None if long < usize::from(LONG) && docs > (long / LONG_STEP) as i64 => self.add_long(hash),
            _ => {}
        }
    }

    /// Gives the word the next short number.
    pub(super) fn add_short(&mut self, hash: u32) {
        self.of.insert(hash, self.dictionary.short.len() as u16);
        self.dictionary.short.push(hash);
    }

    /// Gives the word the next long number.
    pub(super) fn add_long(&mut self, hash: u32) {
        self.of.insert(hash, SHORT + self.dictionary.long.len() as u16);
        self.dictionary.long.push(hash);
    }

    /// What the numbers mean.
    #[cfg(test)]
    pub(super) fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// Writes what was added.
    pub fn write(&self, c: &Connection) -> rusqlite::Result<()> {
        let Dictionary { short, long } = &self.dictionary;
        let put = |part: usize, hashes: &[u32]| {
            let bytes: Vec<u8> = hashes.iter().flat_map(|it| it.to_le_bytes().into_iter().take(HASH_BYTES)).collect();
            let sql = "INSERT OR REPLACE INTO dictionary (part, hashes) VALUES (?1, ?2)";
            c.execute(sql, params![part as i64, bytes]).map(drop)
        };
        if short.len() > self.written.0 {
            put(0, short)?;
        }
        if long.len() > self.written.1 {
            let first = self.written.1 / ROW;
            long.chunks(ROW).enumerate().skip(first).try_for_each(|(at, hashes)| put(at + 1, hashes))?;
        }
        Ok(())
    }
}

/// Spreads hashes, which are numbers of 22 bits, over 64.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_the_most_frequent_are_the_shortest() {
        let c = Connection::open_in_memory().expect("memory");
        crate::search::create(&c).expect("tables");
        let mut numbers = Numbers::default();
        (0..3_000).for_each(|hash| numbers.counted(hash, 1));
        numbers.counted(2_999, SHORT_DOCS);
        numbers.write(&c).expect("written");
        assert_eq!(numbers.of(2_999), Some(0));
        let mut again = Numbers::read(&c).expect("read");
        for hash in 3_000..40_000 {
            again.counted(hash, 2);
        }
        (0..100).for_each(|hash| again.counted(hash, SHORT_DOCS));
        again.write(&c).expect("written");
        let read = Numbers::read(&c).expect("read");
        let Dictionary { short, long } = &read.dictionary;
        assert_eq!((short.len(), long.len()), (64, 2 * LONG_STEP), "two records are not enough for more");
        assert_eq!(&again.dictionary.long, long);
        assert_eq!((read.dictionary.long(2_998), read.dictionary.short(0)), (2_998, 2_999));
        assert_eq!((read.of(70), read.of(5), read.of(40_000)), (Some(SHORT + 70), Some(6), None));
        assert_eq!(read.dictionary.long(usize::from(LONG)), u32::MAX);
    }
}
