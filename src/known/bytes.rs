//! Header and frames, to bytes and back. Numbers are little-endian; a text is its length in two bytes, then UTF-8.
//!
//! | header | |
//! | --- | --- |
//! | 0 | `indlknwn` |
//! | 8 | the version of the file, of the signature's function, and two bytes of zero |
//! | 12 | the number of buckets, a power of two |
//! | 16 | the secret, 16 bytes |
//! | 32 | where the base ends |
//! | 40 | the checksum of the bytes before |
//!
//! A frame is the length of its body in four bytes, the body's checksum, and the body. A body of a case begins with 1, of a mark
//! with 2; what follows is as the functions below write it. The first four bytes of a key say its bucket.

use uuid::Uuid;

use super::{Case, Odd, Session, Success, Time};
use crate::followed::Followed;
use crate::model::RecordId;
use crate::signature::{self, Key};

const MAGIC: &[u8; 8] = b"indlknwn";
/// The version of the file. A file of another one is thrown away.
const VERSION: u8 = 2;
pub(super) const HEADER_BYTES: usize = 44;
/// The bytes of a frame before its body.
const FRAME_BYTES: usize = 8;
/// The longest body of an entry, in bytes. What says that it is longer is not an entry.
const BODY_BYTES_MAX: usize = 48 << 10;
/// The bits of a time: its session is known; it is a verdict that the failure came again.
const HAS_SESSION: u8 = 1;
const IS_AGAIN: u8 = 2;
const CASE: u8 = 1;
const MARK: u8 = 2;

/// How far the file follows the index: a line of its change feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The id of the index.
    pub index: String,
    /// The line's number.
    pub seq: u64,
    /// What the line says.
    pub line: String,
}

/// The beginning of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) buckets: u32,
    pub(super) secret: [u8; 16],
    pub(super) base_end: u64,
}

impl Header {
    pub(super) fn of(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Odd> {
        let (said, checksum) = bytes.split_at(HEADER_BYTES - 4);
        if said[..8] != *MAGIC {
            return Err(Odd::Shape("is not one"));
        }
        if said[8..12] != [VERSION, signature::VERSION, 0, 0] {
            return Err(Odd::Shape("is of another version"));
        }
        if checksum != crc32c::crc32c(said).to_le_bytes() {
            return Err(Odd::Shape("is damaged"));
        }
        let mut said = Reader(&said[12..]);
        let header = (|| Some(Header { buckets: said.u32()?, secret: said.array()?, base_end: said.u64()? }))();
        let header = header.filter(|it| it.buckets.is_power_of_two() && it.base_end >= it.table_end());
        header.ok_or(Odd::Shape("is damaged"))
    }

    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend([VERSION, signature::VERSION, 0, 0]);
        bytes.extend(self.buckets.to_le_bytes());
        bytes.extend(self.secret);
        bytes.extend(self.base_end.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes.try_into().expect("these are its parts")
    }

    /// Which bucket `key` is in.
    pub(super) fn bucket_of(&self, key: &Key) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|at| key.0[at])) & (self.buckets - 1)
    }

    /// Where the entry of `bucket` lies in the table. Behind it lies the next one's, which is this one's end.
    pub(super) fn entry_of(&self, bucket: u32) -> u64 {
        HEADER_BYTES as u64 + 4 * u64::from(bucket)
    }

    /// Where the table ends, with its checksum.
    pub(super) fn table_end(&self) -> u64 {
        HEADER_BYTES as u64 + 4 * (u64::from(self.buckets) + 2)
    }
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Case(Case),
    Mark(Mark),
}

impl Frame {
    /// Takes the first frame off `bytes`; `None` if there is no whole one.
    pub(super) fn take(bytes: &mut &[u8]) -> Option<Frame> {
        let mut reader = Reader(bytes);
        let length = usize::try_from(reader.u32()?).ok().filter(|length| *length <= BODY_BYTES_MAX)?;
        let checksum = reader.u32()?;
        let body = reader.bytes(length)?;
        let frame = (crc32c::crc32c(body) == checksum).then(|| frame(body)).flatten()?;
        *bytes = reader.0;
        Some(frame)
    }

    /// Appends its bytes to `out`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Frame::Case(case) => put_case(case, out),
            Frame::Mark(mark) => put_mark(mark, out),
        }
    }
}

/// Appends the frame of `case` to `out`.
pub(super) fn put_case(case: &Case, out: &mut Vec<u8>) {
    put(out, |body| {
        body.push(CASE);
        body.extend(case.key.0);
        for text in [&case.place, &case.class, &case.program, &case.text] {
            put_text(body, text);
        }
        body.extend(case.earlier.to_le_bytes());
        body.extend(case.first.to_le_bytes());
        body.push(count(case.times.len()));
        case.times.iter().for_each(|time| put_time(time, body));
        body.push(count(case.successes.len()));
        case.successes.iter().for_each(|success| put_success(success, body));
    });
}

fn put_time(time: &Time, body: &mut Vec<u8>) {
    body.extend(time.record.0.as_bytes());
    body.extend(time.at.to_le_bytes());
    let (session, is_again) = (time.session.as_ref(), time.of != time.record);
    body.push(session.map_or(0, |_| HAS_SESSION) | if is_again { IS_AGAIN } else { 0 });
    if is_again {
        body.extend(time.of.0.as_bytes());
        body.extend(time.count.to_le_bytes());
    }
    body.extend(session.map_or(0, |it| it.digest).to_le_bytes());
    put_text(body, session.map_or("", |it| &it.short));
    put_text(body, &time.host);
}

fn put_success(success: &Success, body: &mut Vec<u8>) {
    body.extend(success.record.0.as_bytes());
    body.extend(success.failure.0.as_bytes());
    body.extend(success.at.to_le_bytes());
    body.extend(success.session.digest.to_le_bytes());
    put_text(body, &success.session.short);
    let Followed { count: steps, steps: spelled, only_tests, spoke } = &success.followed;
    body.extend(u32::try_from(*steps).unwrap_or(u32::MAX).to_le_bytes());
    body.extend([u8::from(*only_tests), u8::from(*spoke), count(spelled.len())]);
    spelled.iter().for_each(|step| put_text(body, step));
}

/// A number of things, of which there are few.
fn count(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn put_mark(mark: &Mark, out: &mut Vec<u8>) {
    put(out, |body| {
        body.push(MARK);
        body.extend(mark.seq.to_le_bytes());
        put_text(body, &mark.index);
        put_text(body, &mark.line);
    });
}

/// Appends a frame to `out` whose body `write` appends.
fn put(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend([0; FRAME_BYTES]);
    write(out);
    let body = &out[begin + FRAME_BYTES..];
    let (length, checksum) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32c::crc32c(body));
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    out[begin + 4..begin + FRAME_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// What is in `body`; `None` if it is not as we write it.
fn frame(body: &[u8]) -> Option<Frame> {
    let mut reader = Reader(body);
    let frame = match reader.array()? {
        [CASE] => Frame::Case(case(&mut reader)?),
        [MARK] => {
            let seq = reader.u64()?;
            Frame::Mark(Mark { index: reader.text()?, seq, line: reader.text()? })
        }
        _ => return None,
    };
    reader.0.is_empty().then_some(frame)
}

fn case(reader: &mut Reader<'_>) -> Option<Case> {
    let key = Key(reader.array()?);
    let (place, class, program, text) = (reader.text()?, reader.text()?, reader.text()?, reader.text()?);
    let (earlier, first) = (reader.u32()?, reader.i64()?);
    let [count] = reader.array()?;
    let times = (0..count).map(|_| time(reader)).collect::<Option<Vec<_>>>()?;
    let [count] = reader.array()?;
    let successes = (0..count).map(|_| success(reader)).collect::<Option<Vec<_>>>()?;
    Some(Case { key, class, program, text, place, times, earlier, first, successes })
}

fn time(reader: &mut Reader<'_>) -> Option<Time> {
    let record = RecordId(Uuid::from_bytes(reader.array()?));
    let at = reader.i64()?;
    let [bits] = reader.array()?;
    let (of, count) = match bits & IS_AGAIN {
        0 => (record, 1),
        _ => (RecordId(Uuid::from_bytes(reader.array()?)), reader.u32()?),
    };
    let (digest, short) = (reader.u64()?, reader.text()?);
    let session = (bits & HAS_SESSION != 0).then_some(Session { digest, short });
    Some(Time { record, of, count, at, session, host: reader.text()? })
}

fn success(reader: &mut Reader<'_>) -> Option<Success> {
    let mut id = || Some(RecordId(Uuid::from_bytes(reader.array()?)));
    let (record, failure) = (id()?, id()?);
    let at = reader.i64()?;
    let session = Session { digest: reader.u64()?, short: reader.text()? };
    let count = usize::try_from(reader.u32()?).ok()?;
    let [only_tests, spoke, spelled] = reader.array()?;
    let steps = (0..spelled).map(|_| reader.text()).collect::<Option<Vec<_>>>()?;
    let followed = Followed { count, steps, only_tests: only_tests != 0, spoke: spoke != 0 };
    Some(Success { record, failure, at, session, followed })
}

/// Bytes that are still to be read.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.array().map(u16::from_le_bytes)?;
        let text = self.bytes(usize::from(length))?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
}
