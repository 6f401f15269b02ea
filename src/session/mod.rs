//! The session log: what an agent was told in a session, which failures are open there, and the calls since. One
//! append-only file of JSON lines for each agent of each session, `sessions/<digest>`, in the private folder.
//!
//! ```text
//! {"at":1764451200123,"opened":{"failure":"0198f3a2-...","command":"cargo test","folder":"/home/ada/shop", ...}}
//! {"at":1764451209321,"step":{"does":"edited `src/cart.rs`","edits":["src/cart.rs"]}}
//! {"at":1764451211005,"told":{"key":"0198f3a2-..."}}
//! ```
//!
//! 1. It is a cache, and never synced. If it is missing, full, unreadable or garbage, an agent is told less: nothing is
//!    lost, and no hook fails. So no function here returns an error, except [`sweep`], which the worker calls.
//! 2. The file is only appended to, a line with one write. The first line with a key decides ([`SessionLog::tell_once`]):
//!    look-then-append would tell twice.
//! 3. Each line begins with a line break of its own, so that a torn line before it costs that line alone.
//! 4. It is bounded: a line by [`LINE_BYTES_MAX`], the file by [`BYTES_MAX`]. In a full log nothing more is told, and
//!    nothing more is opened.
//! 5. A look costs the same in a long session as in a new one: for what is open, the last 64 KB are read backwards, and
//!    hardly more is parsed than what is open; a key is searched for before its line is parsed.
//! 6. What is appended has passed the same redaction as a record.
//! 7. Beside the logs stand other small caches of sessions: codes (`code`), and how far transcripts were read.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | within an append | the line, part of it, or nothing | nothing to do: a reader skips what is no line |
//! | between an append and what it stands for | a key that was never told; a failure that stays open | nothing: the agent is told less; an open failure ends by its time |
//! | within [`SessionLog::reset`] or [`sweep`] | the file, or no file | the next sweep |
//! | by a power cut | an older state of the file, zeros in it, or no file | a reader skips zeros; the agent may be told again |

mod code;
mod entry;
mod failures;

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use uuid::Uuid;

pub use code::{code_of, note_code, session_of};
pub use entry::{Closed, Entry, Noted, Opened, Step, Told};
pub use failures::{ToldFailures, told_failures};

use crate::fs::{self, File};
use crate::home::Home;
use crate::model::layout::{SESSIONS, split};

/// The longest line, in bytes. A longer entry is not appended.
pub const LINE_BYTES_MAX: usize = 8 << 10;
/// The size from which nothing more is appended, in bytes.
pub const BYTES_MAX: u64 = 256 << 10;
/// A larger file was not written by hooks, and is not read. Many at once can pass [`BYTES_MAX`] by a line each.
const READ_BYTES_MAX: u64 = 2 * BYTES_MAX;
/// How much of a log is read for what is open, from its end, in bytes. A failure that was opened before that is no longer open.
const TAIL_BYTES: u64 = 64 << 10;
/// How long a log is kept after its last entry.
pub const KEEP: Duration = Duration::from_secs(14 * 24 * 3600);
/// The longest key that is kept as it is, in bytes. A longer one is kept as its digest.
const KEY_BYTES_MAX: usize = 200;

/// The log of one agent of one session. It opens nothing until it is asked.
#[derive(Debug)]
pub struct SessionLog<'h> {
    home: &'h Home,
    /// The log's path in the private folder; `None` without a session.
    path: Option<String>,
}

impl<'h> SessionLog<'h> {
    /// The log of `session` in `home`; `agent` names the sub-agent, if it is one. Touches no file. Without a session there is
    /// no log: it stays empty, and nothing is told.
    pub fn of(home: &'h Home, session: &str, agent: Option<&str>) -> SessionLog<'h> {
        let name =
            || Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{session}\0{}", agent.unwrap_or_default()).as_bytes());
        let path = (!session.trim().is_empty()).then(|| format!("{SESSIONS}/{}", name().simple()));
        SessionLog { home, path }
    }

    /// Appends `entry`. Returns whether all of it is in the file.
    pub fn append(&self, entry: &Entry) -> bool {
        self.append_at(entry).is_some()
    }

    /// All entries, in order. What is no entry is skipped.
    #[cfg(test)]
    fn entries(&self) -> Vec<Noted> {
        self.content().map_or_else(Vec::new, |content| entry::all_in(&content))
    }

    /// The entries from the first failure on that is open: opened after `since`, not closed, and with less than `calls` calls after
    /// it. A failure that is opened is a call, and so is a step. Empty if none is open; if there is no log, that costs one look.
    pub fn open(&self, since: Timestamp, calls: usize) -> Vec<Noted> {
        self.tail().map_or_else(Vec::new, |content| entry::open_in(&content, since, calls))
    }

    /// All keys that were told since the last reset, in order.
    pub fn told(&self) -> Vec<String> {
        self.content().map_or_else(Vec::new, |content| entry::told_in(&content).collect())
    }

    /// Whether this is the first call with `key` since the last reset: of many at once, exactly one gets true. Then the
    /// caller tells. If the key cannot be noted, all get false: a text that comes again and again is worse than none.
    pub fn tell_once(&self, key: &str) -> bool {
        let key = kept_key(key);
        let appended = || {
            let (file, begin) = self.append_at(&Entry::Told(Told { key: key.clone() }))?;
            let mut before = vec![0; usize::try_from(begin).ok().filter(|begin| *begin as u64 <= READ_BYTES_MAX)?];
            let read = file.read_at(&mut before, 0).ok()?;
            (read == before.len()).then_some(before)
        };
        appended().is_some_and(|before| !entry::is_told_in(&before, &key))
    }

    /// Whether `key` was told since the last reset.
    pub fn was_told(&self, key: &str) -> bool {
        self.content().is_some_and(|content| entry::is_told_in(&content, &kept_key(key)))
    }

    /// Forgets everything: the agent's context was cleared or compacted.
    pub fn reset(&self) {
        if let Some(path) = &self.path
            && let Ok(folder) = self.home.private().folder(SESSIONS)
        {
            let _ = folder.remove(split(path).1);
        }
    }

    /// Appends `entry`. Returns the file and where the line begins.
    fn append_at(&self, entry: &Entry) -> Option<(File, u64)> {
        let line = Noted { at: fs::now(), entry: entry.clone() }.line();
        if line.len() > LINE_BYTES_MAX {
            return None;
        }
        let file = self.opened()?;
        if file.stat().ok()?.size >= BYTES_MAX {
            return None;
        }
        let written = file.write_once(line.as_bytes()).ok()?;
        let begin = file.end_of_write().ok()?.checked_sub(written as u64)?;
        (written == line.len()).then_some((file, begin))
    }

    /// Opens the file for appending, and makes it if it is missing.
    fn opened(&self) -> Option<File> {
        let (private, path) = (self.home.private(), self.path.as_deref()?);
        match private.append(path) {
            Err(error) if error.is_not_found() => {}
            opened => return opened.ok(),
        }
        private.make_folder(SESSIONS).ok()?;
        match private.create_empty(path) {
            Err(error) if error.is_already_there() => private.append(path).ok(),
            created => created.ok(),
        }
    }

    /// The end of the file.
    fn tail(&self) -> Option<Vec<u8>> {
        self.home.private().content_end(self.path.as_deref()?, TAIL_BYTES, READ_BYTES_MAX).ok()?
    }

    fn content(&self) -> Option<Vec<u8>> {
        self.home.private().content(self.path.as_deref()?, READ_BYTES_MAX).ok()?
    }
}

/// Removes the logs of `home` whose last entry is older than [`KEEP`]. Returns how many.
///
/// # Errors
/// [`fs::Error`] if the folder cannot be listed, or a log cannot be removed.
pub fn sweep(home: &Home) -> Result<u64, fs::Error> {
    let folder = match home.private().folder(SESSIONS) {
        Err(error) if error.is_not_found() => return Ok(0),
        folder => folder?,
    };
    let now = SystemTime::now();
    let is_old = |name: &str| {
        let changed = std::fs::symlink_metadata(folder.path().join(name)).and_then(|found| found.modified());
        changed.ok().and_then(|at| now.duration_since(at).ok()).is_some_and(|age| age > KEEP)
    };
    let mut swept = 0;
    for name in folder.names()? {
        if is_name(&name) && is_old(&name) && folder.remove(&name)? {
            swept += 1;
        }
    }
    Ok(swept)
}

/// Whether `name` is that of a log.
fn is_name(name: &str) -> bool {
    name.len() == 32 && Uuid::try_parse(name).is_ok()
}

fn kept_key(key: &str) -> String {
    match key.len() > KEY_BYTES_MAX {
        true => Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).simple().to_string(),
        false => key.to_owned(),
    }
}

#[cfg(test)]
mod tests;
