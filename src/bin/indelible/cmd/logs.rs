//! `logs`: the worker's log, from the files in the home; with `--follow` also what comes.
//!
//! The worker writes a file a day, and removes the oldest. A line is data: what steers a terminal is made visible.

use std::time::Duration;

use indelible::fs::Dir;
use indelible::home::Home;
use indelible::model::layout::LOGS;
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;

const WHAT: &str = "the log could not be read";
/// How much of a file is looked at for its last lines, in bytes.
const TAIL_BYTES: u64 = 4 << 20;
/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How much of a followed log is read at once, in bytes.
const CHUNK_BYTES: u64 = 1 << 20;

pub fn run(context: &Context, follow: bool, lines: usize) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let mut log = Log { home: &home, json: context.json, at: None, rest: Vec::new() };
    let has_files = log.last(lines)?;
    if !has_files {
        output::note(&output::hint(
            "the worker has written no log to a file here: in the foreground it goes to the terminal, and under systemd to its \
             journal (`journalctl --user -u 'indelible@*'`); `indelible service status` says who starts it",
        ));
    }
    while follow && output::lost().is_none() {
        std::thread::sleep(LOOK);
        log.news()?;
    }
    Ok(Exit::Done)
}

/// The files of a log, up to where they were read.
struct Log<'h> {
    home: &'h Home,
    json: bool,
    /// The newest file that was read, and up to where.
    at: Option<(String, u64)>,
    /// What was read of a line that is not whole.
    rest: Vec<u8>,
}

impl Log<'_> {
    fn folder(&self) -> Result<Option<Dir>, Failure> {
        match self.home.private().folder(LOGS) {
            Err(error) if error.is_not_found() => Ok(None),
            folder => folder.map(Some).map_err(|error| Failure::of(WHAT, &error)),
        }
    }

    /// The names of the files, the oldest first.
    fn names(folder: &Dir) -> Result<Vec<String>, Failure> {
        let mut names = folder.names().map_err(|error| Failure::of(WHAT, &error))?;
        names.retain(|name| name.starts_with("worker.") && name.ends_with(".log"));
        names.sort_unstable();
        Ok(names)
    }

    /// Prints the last `wanted` lines. Returns whether there are files.
    fn last(&mut self, wanted: usize) -> Result<bool, Failure> {
        let Some(folder) = self.folder()? else { return Ok(false) };
        let names = Log::names(&folder)?;
        let mut lines: Vec<Vec<u8>> = Vec::new();
        for (place, name) in names.iter().rev().enumerate() {
            let (mut content, size) = tail(&folder, name).map_err(|error| Failure::of(WHAT, &error))?;
            if place == 0 {
                self.at = Some((name.clone(), size));
                // The rest of a line that is being written comes later.
                let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                self.rest = content.split_off(whole);
            }
            let of_file = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let mut of_file: Vec<Vec<u8>> = of_file.map(<[u8]>::to_vec).collect();
            of_file.append(&mut lines);
            lines = of_file;
            if lines.len() >= wanted {
                break;
            }
        }
        let from = lines.len().saturating_sub(wanted);
        lines[from..].iter().for_each(|line| self.say(line));
        Ok(!names.is_empty())
    }

    /// Prints what has come since the last call.
    fn news(&mut self) -> Result<(), Failure> {
        let Some(folder) = self.folder()? else { return Ok(()) };
        let names = Log::names(&folder)?;
        let known = self.at.clone();
        let is_new = |name: &&String| known.as_ref().is_none_or(|(at, _)| *name >= at);
        for name in names.iter().filter(is_new) {
            let from = self.at.as_ref().filter(|(at, _)| at == name).map_or(0, |(_, from)| *from);
            let end = self.read_from(&folder, name, from)?;
            self.at = Some((name.clone(), end));
        }
        Ok(())
    }

    /// Prints the whole lines of the file `name` from `from` on. Returns where it ends.
    fn read_from(&mut self, folder: &Dir, name: &str, from: u64) -> Result<u64, Failure> {
        let file = match folder.read(name) {
            // The worker has removed it since it was listed.
            Err(error) if error.is_not_found() => return Ok(from),
            file => file.map_err(|error| Failure::of(WHAT, &error))?,
        };
        let size = file.stat().map_err(|error| Failure::of(WHAT, &error))?.size;
        let mut end = from;
        while end < size {
            let mut chunk = vec![0; usize::try_from(CHUNK_BYTES.min(size - end)).unwrap_or(0)];
            let read = file.read_at(&mut chunk, end).map_err(|error| Failure::of(WHAT, &error))?;
            if read == 0 {
                break;
            }
            end += read as u64;
            self.rest.extend_from_slice(&chunk[..read]);
            while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                self.say(&line[..at]);
            }
        }
        Ok(end)
    }

    fn say(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match self.json {
            true => output::json(&as_json(&line)),
            false => output::line(&line),
        }
    }
}

/// The whole lines at the end of the file `name`, what follows them, and the file's size.
fn tail(folder: &Dir, name: &str) -> Result<(Vec<u8>, u64), indelible::fs::Error> {
    let file = match folder.read(name) {
        // The worker has removed it since it was listed.
        Err(error) if error.is_not_found() => return Ok((Vec::new(), 0)),
        file => file?,
    };
    let size = file.stat()?.size;
    let from = size.saturating_sub(TAIL_BYTES);
    let mut content = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let read = file.read_at(&mut content, from)?;
    content.truncate(read);
    if from > 0 {
        // The first line is cut.
        let at = content.iter().position(|byte| *byte == b'\n').map_or(content.len(), |at| at + 1);
        content.drain(..at);
    }
    Ok((content, size))
}

/// A line of the log as data: `at` and `level` are null in a line that the worker's log does not begin with them.
fn as_json(line: &str) -> serde_json::Value {
    let mut words = line.splitn(2, ' ');
    let at = words.next().filter(|at| at.parse::<jiff::Timestamp>().is_ok());
    let rest = words.next().unwrap_or_default().trim_start();
    let level = rest.split(' ').next().filter(|level| ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(level));
    match (at, level) {
        (Some(at), Some(level)) => {
            json!({ "at": at, "level": level.to_lowercase(), "text": rest[level.len()..].trim_start() })
        }
        _ => json!({ "at": null, "level": null, "text": line }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_and_its_level() {
        let line = as_json("2026-11-30T10:00:00.123Z  INFO worker started home=/a process=7");
        assert_eq!(
            line,
            json!({ "at": "2026-11-30T10:00:00.123Z", "level": "info", "text": "worker started home=/a process=7" })
        );
        for odd in ["", "a panic's line", "2026-11-30T10:00:00.123Z", "2026-11-30T10:00:00.123Z ODD x"] {
            assert_eq!(as_json(odd), json!({ "at": null, "level": null, "text": odd }), "{odd}");
        }
    }
}
