//! All cases of a file in memory, for its one writer: parsed, changed, and written again.

use std::collections::{BTreeSet, HashMap};

use super::bytes::{Frame, HEADER_BYTES, Header, Mark, Reader, put_case};
use super::{Case, Failure, Odd, Success, Time};
use crate::model::RecordId;
use crate::signature::Key;

/// The most cases; the newest stay.
pub const CASES_MAX: usize = 20_000;
/// The largest file that is read, in bytes. What is larger is not ours.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// The most bytes of cases in the base. The newest stay.
const CASES_BYTES_MAX: usize = 8 << 20;
/// The most bytes of the tail.
pub const TAIL_BYTES_MAX: u64 = 64 << 10;
/// A file has this many buckets at least.
const BUCKETS_MIN: usize = 16;

/// All cases of a file.
#[derive(Debug)]
pub struct Book {
    secret: [u8; 16],
    cases: HashMap<Key, Vec<Case>>,
    /// Under which key each record is known.
    records: HashMap<RecordId, Key>,
    /// The cases that changed since they were written, by key and place.
    changed: BTreeSet<(Key, String)>,
    mark: Option<Mark>,
    marked: Option<Mark>,
    base_bytes: u64,
    is_torn: bool,
}

impl Book {
    /// A book without cases, with a new secret.
    pub fn new() -> Book {
        let secret = *crate::random::id().as_bytes();
        Book {
            secret,
            cases: HashMap::new(),
            records: HashMap::new(),
            changed: BTreeSet::new(),
            mark: None,
            marked: None,
            base_bytes: 0,
            is_torn: false,
        }
    }

    /// The cases of the file `bytes`. What is torn or damaged in the tail, and all behind it, is left out: the mark before it
    /// says from where to follow again ([`Book::is_torn`]).
    ///
    /// # Errors
    /// [`Odd::Shape`] if header, table or base are not whole.
    pub fn parse(bytes: &[u8]) -> Result<Book, Odd> {
        const DAMAGED: Odd = Odd::Shape("is damaged");
        let header = Header::of(bytes.first_chunk::<HEADER_BYTES>().ok_or(DAMAGED)?)?;
        let (table_end, base_end) = (size(header.table_end()), size(header.base_end));
        let table = bytes.get(HEADER_BYTES..table_end).ok_or(DAMAGED)?;
        let (table, checksum) = table.split_at(table.len() - 4);
        let mut base = bytes.get(table_end..base_end).ok_or(DAMAGED)?;
        if Reader(checksum).u32() != Some(crc32c::crc32c(table)) {
            return Err(DAMAGED);
        }
        let mut book = Book { secret: header.secret, base_bytes: header.base_end, ..Book::new() };
        while !base.is_empty() {
            book.take(Frame::take(&mut base).ok_or(DAMAGED)?);
        }
        let mut tail = &bytes[base_end..];
        while !tail.is_empty() && !book.is_torn {
            match Frame::take(&mut tail) {
                Some(frame) => book.take(frame),
                None => book.is_torn = true,
            }
        }
        book.marked.clone_from(&book.mark);
        match book.mark {
            Some(_) => Ok(book),
            None => Err(DAMAGED),
        }
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Mark(mark) => self.mark = Some(mark),
            Frame::Case(case) => {
                let key = case.key;
                let cases = self.cases.entry(key).or_default();
                if let Some(at) = cases.iter().position(|it| it.place == case.place && is_same(it, &case)) {
                    let replaced = cases.swap_remove(at);
                    for record in records_of(&replaced) {
                        // A record that moved to another case stays known there: that case can come before this one.
                        let is_elsewhere = || cases.iter().any(|it| records_of(it).any(|other| other == record));
                        if self.records.get(&record) == Some(&key) && !is_elsewhere() {
                            self.records.remove(&record);
                        }
                    }
                }
                self.records.extend(records_of(&case).map(|record| (record, key)));
                if !case.is_empty() {
                    cases.push(case);
                }
                if cases.is_empty() {
                    self.cases.remove(&key);
                }
            }
        }
    }

    /// The size of the base that it was parsed from, in bytes.
    pub fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    /// Whether its tail was torn: it has to be written as a base.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// How far it follows the index.
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// How far the file follows it, as it was last written.
    pub fn written_mark(&self) -> Option<&Mark> {
        self.marked.as_ref()
    }

    /// It follows the index up to `mark`.
    pub fn reached(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// How many cases it has.
    pub fn count(&self) -> usize {
        self.cases.values().map(Vec::len).sum()
    }

    /// Whether some records are only counted, so that it does not know which they are.
    pub fn has_counted(&self) -> bool {
        self.cases.values().flatten().any(|case| case.earlier > 0)
    }

    /// Adds that `failure` happened in `place` at `time`.
    pub fn add(&mut self, failure: &Failure, place: String, time: Time) {
        let record = time.record;
        self.change(record, failure, place, |case| case.add(time));
    }

    /// Adds that `success` followed `failure` in `place`.
    pub fn add_success(&mut self, failure: &Failure, place: String, success: Success) {
        let record = success.record;
        self.change(record, failure, place, |case| case.add_success(success));
    }

    /// Changes the case of `failure` in `place`, which has `record` then.
    fn change(&mut self, record: RecordId, failure: &Failure, place: String, change: impl FnOnce(&mut Case)) {
        let signature = &failure.signature;
        let key = signature.key(&self.secret);
        let cases = self.cases.entry(key).or_default();
        let at = cases.iter().position(|it| it.place == place && it.is_of(signature)).unwrap_or_else(|| {
            cases.push(Case::new(signature, key, place.clone()));
            cases.len() - 1
        });
        change(&mut cases[at]);
        self.records.insert(record, key);
        self.changed.insert((key, place));
        if self.cases.len() > CASES_MAX + CASES_MAX / 4 {
            self.prune();
        }
    }

    /// Takes `record` out. Returns whether it was there.
    pub fn remove(&mut self, record: RecordId) -> bool {
        let Some(key) = self.records.remove(&record) else { return false };
        let Some(cases) = self.cases.get_mut(&key) else { return false };
        let Some(at) = cases.iter_mut().position(|case| case.remove(record)) else { return false };
        self.changed.insert((key, cases[at].place.clone()));
        true
    }

    /// Whether there is something to write.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty() || self.mark != self.marked
    }

    /// What to append to the tail: the cases that changed, and the mark.
    pub fn tail(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, place) in &self.changed {
            let cases = self.cases.get(key).into_iter().flatten();
            cases.filter(|case| case.place == *place).for_each(|case| put_case(case, &mut bytes));
        }
        if let Some(mark) = self.mark.as_ref().filter(|_| self.mark != self.marked) {
            Frame::Mark(mark.clone()).put(&mut bytes);
        }
        bytes
    }

    /// The whole file: the newest cases and the mark, and no tail.
    pub fn base(&mut self) -> Vec<u8> {
        self.prune();
        let mut cases: Vec<(Key, Vec<u8>)> = Vec::with_capacity(self.cases.len());
        let mut left = CASES_BYTES_MAX;
        for case in newest_first(&self.cases) {
            let mut bytes = Vec::new();
            put_case(case, &mut bytes);
            match left.checked_sub(bytes.len()) {
                None => break,
                Some(rest) => left = rest,
            }
            cases.push((case.key, bytes));
        }
        let buckets = cases.len().max(BUCKETS_MIN).next_power_of_two();
        let buckets = u32::try_from(buckets).unwrap_or(1 << 31);
        let mut header = Header { buckets, secret: self.secret, base_end: 0 };
        cases.sort_by_key(|(key, _)| (header.bucket_of(key), *key));
        let mut body = Vec::new();
        let mut table = Vec::with_capacity(4 * (buckets as usize + 2));
        let mut next = cases.iter().peekable();
        for bucket in 0..=buckets {
            table.extend((header.table_end() as u32 + body.len() as u32).to_le_bytes());
            while let Some((_, bytes)) = next.next_if(|(key, _)| header.bucket_of(key) == bucket) {
                body.extend_from_slice(bytes);
            }
        }
        table.extend(crc32c::crc32c(&table).to_le_bytes());
        if let Some(mark) = &self.mark {
            Frame::Mark(mark.clone()).put(&mut body);
        }
        header.base_end = header.table_end() + body.len() as u64;
        [&header.bytes()[..], &table, &body].concat()
    }

    /// What [`Book::tail`] or [`Book::base`] returned is written.
    pub fn written(&mut self) {
        for (key, place) in std::mem::take(&mut self.changed) {
            let Some(cases) = self.cases.get_mut(&key) else { continue };
            cases.retain(|case| case.place != place || !case.is_empty());
            if cases.is_empty() {
                self.cases.remove(&key);
            }
        }
        self.marked.clone_from(&self.mark);
        self.is_torn = false;
    }

    /// Leaves the newest cases.
    fn prune(&mut self) {
        if self.count() <= CASES_MAX {
            return;
        }
        let cut = newest_first(&self.cases).get(CASES_MAX - 1).map_or(i64::MIN, |case| case.last());
        for cases in self.cases.values_mut() {
            // A case that is empty is still to be written: readers have it.
            cases.retain(|case| case.last() >= cut || case.is_empty());
        }
        self.cases.retain(|_, cases| !cases.is_empty());
        let cases = &self.cases;
        self.records.retain(|_, key| cases.contains_key(key));
    }
}

impl Default for Book {
    fn default() -> Self {
        Book::new()
    }
}

/// The records that `case` knows.
fn records_of(case: &Case) -> impl Iterator<Item = RecordId> {
    let (times, successes) = (case.times.iter().map(|it| it.record), case.successes.iter().map(|it| it.record));
    times.chain(successes)
}

fn is_same(one: &Case, other: &Case) -> bool {
    one.class == other.class && one.program == other.program && one.text == other.text
}

/// All cases that can be told, the newest first.
fn newest_first(cases: &HashMap<Key, Vec<Case>>) -> Vec<&Case> {
    let mut all: Vec<&Case> = cases.values().flatten().filter(|case| !case.is_empty()).collect();
    all.sort_by(|a, b| (b.last(), b.key, &b.place).cmp(&(a.last(), a.key, &a.place)));
    all
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::known::Session;
    use crate::signature::{Signature, VERSION};

    fn failure(text: &str) -> Failure {
        let signature = Signature { version: VERSION, class: "fatal", program: "git".into(), text: text.into() };
        Failure { signature }
    }

    fn time(number: u32) -> Time {
        let (record, session) = (RecordId(Uuid::from_u128(number.into())), Some(Session::of(&number.to_string())));
        Time { record, of: record, count: 1, at: number.into(), session, host: "label".into() }
    }

    fn mark(seq: u64) -> Mark {
        Mark { index: "i".into(), seq, line: format!("line {seq}") }
    }

    fn cases(book: &Book) -> Vec<Case> {
        newest_first(&book.cases).into_iter().cloned().collect()
    }

    fn book() -> Book {
        let mut book = Book::new();
        for number in 1..=50 {
            book.add(&failure(&format!("text {}", number % 30)), format!("project {}", number % 2), time(number));
        }
        book.reached(mark(7));
        book
    }

    #[test]
    fn what_is_written_is_read() {
        let mut book = book();
        let again = Time { of: time(3).record, count: 500, ..time(51) };
        book.add(&failure("text 3"), "project 1".into(), again.clone());
        let mut file = book.base();
        book.written();
        assert!(!book.has_changed() && cases(&book).iter().any(|case| case.times.contains(&again)));
        let read = Book::parse(&file).expect("it is whole");
        assert_eq!((cases(&read), read.mark(), read.count()), (cases(&book), Some(&mark(7)), 30));
        book.add(&failure("text 1"), "project 1".into(), time(60));
        assert!(book.remove(time(2).record) && book.remove(time(32).record) && !book.remove(time(2).record));
        book.reached(mark(9));
        assert_eq!((book.mark(), book.written_mark()), (Some(&mark(9)), Some(&mark(7))));
        file.extend(book.tail());
        book.written();
        let read = Book::parse(&file).expect("it is whole");
        assert_eq!((cases(&read), read.mark(), read.count()), (cases(&book), Some(&mark(9)), 29));
        assert!(!read.is_torn() && !read.has_changed());
    }

    #[test]
    fn a_record_that_moved_to_another_case_is_known_there_when_it_is_read_again() {
        for (from, to) in [("a", "b"), ("b", "a")] {
            for (place_from, place_to, text_to) in [("p", "p", to), ("p", "q", from), ("q", "p", from)] {
                let mut book = Book::new();
                book.add(&failure(from), place_from.into(), time(1));
                book.reached(mark(1));
                let mut file = book.base();
                book.written();
                assert!(book.remove(time(1).record));
                book.add(&failure(text_to), place_to.into(), time(1));
                book.reached(mark(2));
                file.extend(book.tail());
                let mut read = Book::parse(&file).expect("it is whole");
                assert!(read.remove(time(1).record), "{from} to {text_to}, {place_from} to {place_to}");
                assert!(newest_first(&read.cases).is_empty());
            }
        }
    }

    #[test]
    fn a_torn_tail_ends_at_the_mark_before_it() {
        let mut book = book();
        let base = book.base();
        book.written();
        book.add(&failure("new"), "project 1".into(), time(60));
        book.reached(mark(8));
        let tail = book.tail();
        for cut in 1..tail.len() {
            let torn = Book::parse(&[&base[..], &tail[..cut]].concat()).expect("the base is whole");
            assert!(torn.is_torn() || torn.count() == 31, "{cut}");
            assert_eq!(torn.mark(), Some(&mark(7)), "{cut}");
        }
        for cut in 0..base.len() {
            assert!(Book::parse(&base[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_newest_cases_stay() {
        let mut book = Book::new();
        let count = u32::try_from(CASES_MAX).expect("it is small") + 10;
        for number in 0..count {
            book.add(&failure(&format!("text {number}")), "project".into(), time(number));
        }
        book.reached(mark(1));
        let read = Book::parse(&book.base()).expect("it is whole");
        assert_eq!((read.count(), cases(&read).last().map(Case::last)), (CASES_MAX, Some(10)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_for_a_file(at in any::<proptest::sample::Index>(), byte in 1..=255_u8) {
            let mut book = book();
            let mut file = book.base();
            let wanted = cases(&book);
            let at = at.index(file.len());
            file[at] ^= byte;
            // Only the secret could be another one, and the checksum covers that.
            prop_assert!(Book::parse(&file).is_err(), "{} cases", wanted.len());
        }
    }
}
