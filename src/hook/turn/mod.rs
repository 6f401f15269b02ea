//! What an agent marked as learned in a whole turn, not only in its last message: from the transcript that its host keeps.
//!
//! A host appends to the transcript while it runs. It holds what the agent wrote, and also what the user wrote, what tools
//! printed, summaries, and our own answers; `lines` says which is which. A turn that was interrupted has no event of its own:
//! it is read at the next event that ends a turn, or at the session's end.
//!
//! 1. A transcript is input from outside. Only a plain file of this user's that no other user can change is read, and no link.
//!    Nothing waits: `BYTES_READ` at most, for `READ_WAIT` at most.
//! 2. Reading starts where the last event ended: `Kept`, one small file for each transcript in the folder of session logs,
//!    whose sweep removes it. It is a cache: without it, reading starts at the beginning or `BYTES_READ` before the end.
//! 3. The transcript of a fork repeats what its host copied into it. Claude Code says so of each line; Codex says in the first line
//!    which session it comes from, and what was learned has the key of that one: it is one record. OpenCode's plugin leaves
//!    copies out.
//! 4. It is written after the records are durable, and each record has a key made of the session and of what was learned. So
//!    reading twice is harmless, whether after a crash, by two hooks at once, or by Stop and SessionEnd.
//!
//! | killed | on disk | what becomes of the turn |
//! | --- | --- | --- |
//! | before the records' sync | the old offset | it is read at the next event |
//! | after it, before the offset is in place | the records, and the old offset | it is read again; equal keys make no second record |
//! | after it | both | nothing to do |
//! | by a power cut | an older offset, a torn one, or a shorter transcript | what does not fit the transcript is not believed: it is read again |

mod lines;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::payload::clean;
use super::{Event, Host, Learned, learned_in_message};
use crate::fs::os;
use crate::fs::{Dir, Durability};
use crate::model::layout::{SESSIONS, TEMPORARY};

/// The most that is read of a transcript at one event, in bytes. The next event reads on.
const BYTES_READ: u64 = 8 << 20;
/// How long a transcript is read at one event. What a slow disk has not returned by then is read at the next event.
const READ_WAIT: Duration = Duration::from_millis(400);
/// How much is read with one call, in bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// The longest line that is parsed, in bytes. No message is that long; what a tool printed can be.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The most markers that are taken at one event, but for those of one message. The next event reads on after them.
const MARKERS_MAX: usize = 100;
/// How many bytes before the offset are compared, to notice that a transcript was replaced.
const COMPARED_BYTES: usize = 256;
/// How much is read of the beginning of a transcript to see whether it is a fork's, in bytes: room for some generations.
const HEAD_BYTES: u64 = 256 << 10;
/// A larger file was not written by [`Turn::keep`].
const KEPT_BYTES_MAX: u64 = 1 << 10;

/// What was read of a transcript, and where to go on.
#[derive(Debug, Default)]
pub struct Turn {
    /// What the agent marked as learned.
    pub learned: Vec<Learned>,
    /// The session whose turns it repeats first, if it is of a fork. Only looked up if something may be learned.
    pub root: Option<String>,
    /// The offset to keep, and the name of its file; `None` if it has not moved.
    next: Option<(String, Kept)>,
}

/// How far a transcript was read. Of one that its host replaces each time, texts of the agent are counted and compared, and there
/// is no inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    inode: u64,
    /// Where to go on, in bytes.
    offset: u64,
    /// The transcript's size at that time, in bytes.
    size: u64,
    /// The checksum of the [`COMPARED_BYTES`] before the offset.
    before: u32,
}

/// Part of a transcript.
struct Window {
    bytes: Vec<u8>,
    /// The position in the transcript of the first byte.
    begin: u64,
    /// The position in `bytes` from which nothing was read before.
    start: usize,
    /// Whether the transcript ends here.
    is_end: bool,
}

impl Turn {
    /// Reads what is new in the transcript that `event` names. `private` is the private folder of the home. What cannot be read
    /// counts as empty.
    pub fn read(private: &Dir, event: &Event) -> Turn {
        Turn::try_read(private, event).unwrap_or_default()
    }

    fn try_read(private: &Dir, event: &Event) -> Option<Turn> {
        let path = event.transcript.as_deref()?;
        let file = open(Path::new(path))?;
        let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("turn\0{path}").as_bytes()).simple().to_string();
        if path.ends_with(".json") {
            let texts = lines::whole(event.host, &whole(file)?);
            return Some(Turn::of_texts(kept(private, &name), name, &texts));
        }
        let stamp = os::Stamp::of_open(&file).ok()?;
        let (inode, size) = (stamp.identity.number(), stamp.size);
        let kept = kept(private, &name).filter(|kept| kept.inode == inode && kept.size <= size);
        let window = match kept.as_ref().and_then(|kept| Some((kept, Window::read(&file, kept.offset, size)?))) {
            Some((kept, window)) if window.before() == kept.before => window,
            _ => Window::read(&file, size.saturating_sub(BYTES_READ), size)?,
        };
        let (learned, end) = window.markers(event);
        let before = checksum(&window.bytes[..end]);
        let next = Kept { inode, offset: window.begin + end as u64, size, before };
        let next = (kept.as_ref() != Some(&next)).then_some((name, next));
        // The last message can come before the transcript has it.
        let may_learn = !learned.is_empty() || event.may_have_markers();
        let root = if may_learn { root(&file, event.host) } else { None };
        Some(Turn { learned, root, next })
    }

    /// Reads on in `texts`, all that an agent wrote in a transcript that its host replaces each time.
    fn of_texts(kept: Option<Kept>, name: String, texts: &[String]) -> Turn {
        let checksum_of = |count: usize| crc32c::crc32c(texts[..count].join("\0").as_bytes());
        let count = |kept: &Kept| usize::try_from(kept.offset).ok().filter(|count| *count <= texts.len());
        let is_read = |kept: &&Kept| count(kept).is_some_and(|count| checksum_of(count) == kept.before);
        let mut at = kept.as_ref().filter(is_read).and_then(count).unwrap_or_default();
        let mut learned = Vec::new();
        while learned.len() < MARKERS_MAX && at < texts.len() {
            learned.extend(learned_in_message(&clean(&texts[at])));
            at += 1;
        }
        // The host may still be writing the last one: it is read again, to no effect.
        let offset = at.min(texts.len().saturating_sub(1));
        let next = Kept { inode: 0, offset: offset as u64, size: texts.len() as u64, before: checksum_of(offset) };
        let next = (kept.as_ref() != Some(&next)).then_some((name, next));
        Turn { learned, next, root: None }
    }

    /// Notes how far the transcript was read, once what was learned is durable. A failure is harmless.
    pub fn keep(&self, private: &Dir) {
        let Some((name, next)) = &self.next else { return };
        let text = serde_json::to_vec(next).expect("it is made of numbers");
        let put = || {
            let folder = private.make_folder(SESSIONS)?;
            folder.replace(name, &text, &private.folder(TEMPORARY)?, Durability::None)
        };
        let _: Result<(), crate::fs::Error> = put();
    }
}

/// Opens the transcript at `path`: a plain file that only this user and root can change.
fn open(path: &Path) -> Option<File> {
    let file = path.is_absolute().then(|| os::open_itself_without_waiting(path).ok()).flatten()?;
    let is_own = file.metadata().ok()?.is_file() && os::others_who_can_change_open(&file).ok()?.is_none();
    is_own.then_some(file)
}

fn kept(private: &Dir, name: &str) -> Option<Kept> {
    let text = private.content(&format!("{SESSIONS}/{name}"), KEPT_BYTES_MAX).ok()??;
    serde_json::from_slice(&text).ok()
}

/// The session that the transcript `file` repeats first, if it is of a fork.
fn root(file: &File, host: Host) -> Option<String> {
    if host != Host::Codex {
        return None;
    }
    let head = read(file, 0, HEAD_BYTES)?;
    let parsed = head.split(|byte| *byte == b'\n').map_while(|line| serde_json::from_slice(line).ok());
    lines::root(parsed)
}

/// The content of a transcript that its host replaces each time.
fn whole(file: File) -> Option<Vec<u8>> {
    let size = file.metadata().ok()?.len();
    let content = read(&file, 0, size.min(BYTES_READ + 1))?;
    (content.len() as u64 <= BYTES_READ).then_some(content)
}

/// At most `length` bytes of `file`, from `begin`.
fn read(mut file: &File, begin: u64, length: u64) -> Option<Vec<u8>> {
    let until = Instant::now() + READ_WAIT;
    file.seek(SeekFrom::Start(begin)).ok()?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let mut filled = 0;
    while filled < bytes.len() && Instant::now() < until {
        let end = bytes.len().min(filled + CHUNK_BYTES);
        match file.read(&mut bytes[filled..end]).ok()? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Some(bytes)
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(&bytes[bytes.len().saturating_sub(COMPARED_BYTES)..])
}

impl Window {
    /// The part of `file` from `offset`, with the bytes that are compared before it.
    fn read(file: &File, offset: u64, size: u64) -> Option<Window> {
        let begin = offset.saturating_sub(COMPARED_BYTES as u64);
        let end = size.min(offset.saturating_add(BYTES_READ));
        let bytes = read(file, begin, end.checked_sub(begin)?)?;
        let start = usize::try_from(offset - begin).ok().filter(|start| *start <= bytes.len())?;
        let is_end = begin + bytes.len() as u64 >= size;
        Some(Window { bytes, begin, start, is_end })
    }

    /// The checksum of what lies before what is new.
    fn before(&self) -> u32 {
        checksum(&self.bytes[..self.start])
    }

    /// The markers in the whole lines that are new, and where to go on in `bytes`.
    fn markers(&self, event: &Event) -> (Vec<Learned>, usize) {
        let mut learned = Vec::new();
        let mut at = self.start;
        // In the middle of a line that was too long to be read.
        if at > 0 && self.bytes[at - 1] != b'\n' {
            match feed(&self.bytes[at..]) {
                Some(feed) => at += feed + 1,
                None => return (learned, self.bytes.len()),
            }
        }
        while learned.len() < MARKERS_MAX {
            let rest = &self.bytes[at..];
            let Some(feed) = feed(rest) else {
                // A host may be writing it; if it is whole all the same, it is read again later, to no effect.
                if self.is_end {
                    learned.extend(in_line(rest, event));
                } else if rest.len() as u64 >= BYTES_READ {
                    at = self.bytes.len();
                }
                break;
            };
            learned.extend(in_line(&rest[..feed], event));
            at += feed + 1;
        }
        (learned, at)
    }
}

fn feed(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// What the agent marked as learned in one line of a transcript.
fn in_line(line: &[u8], event: &Event) -> Vec<Learned> {
    if line.len() > LINE_BYTES_MAX || !super::learned::may_have_markers(line) {
        return Vec::new();
    }
    let Ok(line) = serde_json::from_slice(line) else { return Vec::new() };
    lines::written(event.host, &event.session, &line)
        .into_iter()
        .flat_map(|text| learned_in_message(&clean(text)))
        .collect()
}

#[cfg(all(test, unix))]
mod tests;
