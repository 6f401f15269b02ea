//! Counts of events by outcome, so that a quiet hook and a broken one look different.
//!
//! A hook adds one line, `HOST OUTCOME`, to `.indelible/hooks.tally` with one append, without a lock and without a sync.
//! Once the file has 64 kB, the next hook folds it: equal lines become one, `HOST OUTCOME COUNT`, in a new file that
//! replaces the old one. A folded line means the same as the lines before, so folding twice changes nothing.
//!
//! | killed | on disk |
//! | --- | --- |
//! | within the append | a line, part of a line, or none; a reader skips invalid lines |
//! | within the fold | the old file, and perhaps a temporary one, which recovery removes |
//! | by a power cut | an older state of the file, or no file: counts start from zero |
//!
//! What an agent was told, odd files that a hook found, and what a call cost ([`super::cost`]) are notes beside the outcome:
//! `HOST note:told`. They count no event.
//!
//! So counts can be a few too low: the hooks in flight when the file was folded, or those before a power cut. No record
//! depends on them.
//!
//! An event that failed or could not be read is lost, and `status` reports it until a person dismisses it: [`dismiss`] folds
//! the file and puts `seen:` before such outcomes. Killed before its rename, nothing is dismissed; after it, everything is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cost::{Call, Costs};
use super::{Host, Skipped};
use crate::fs::{self, Dir, Durability};
use crate::model::layout::{HOOKS_ERROR, HOOKS_TALLY, TEMPORARY};

/// The prefix of the outcome of lost events that a person has dismissed.
const SEEN: &str = "seen:";
/// The prefix of notes, which are no outcomes.
const NOTE: &str = "note:";
/// The size at which the file is folded, in bytes.
const BYTES_FOLDED: u64 = 64 << 10;
/// A larger file was not written by a hook, and is not read.
const BYTES_MAX: u64 = 16 << 20;
/// The most pairs of host and outcome that are read.
const LINES_MAX: usize = 1000;

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the journal. If its key was recorded before, it makes no second record.
    Recorded,
    /// There was nothing to record.
    Skipped(Skipped),
    /// The settings switch recording off.
    Off,
    /// The input was not an event.
    Unreadable(Unreadable),
    /// It could not be recorded.
    Failed,
}

/// Why the input was not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It was empty.
    Empty,
    /// It is not a JSON object.
    NotJson,
    /// It is larger than a hook reads.
    TooLarge,
    /// Its end did not arrive in time.
    Unfinished,
}

/// What is counted beside an event's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The agent was told what is known of its failure.
    Told,
    /// The file of known failures could not be used.
    OddKnown,
}

impl Note {
    fn word(self) -> &'static str {
        match self {
            Note::Told => "told",
            Note::OddKnown => "odd-known",
        }
    }
}

impl Outcome {
    /// The word for it in counts.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Recorded => "recorded",
            Outcome::Skipped(skipped) => skipped.word(),
            Outcome::Off => "switched-off",
            Outcome::Unreadable(Unreadable::Empty) => "unreadable:empty",
            Outcome::Unreadable(Unreadable::NotJson) => "unreadable:no-json",
            Outcome::Unreadable(Unreadable::TooLarge) => "unreadable:too-large",
            Outcome::Unreadable(Unreadable::Unfinished) => "unreadable:unfinished",
            Outcome::Failed => "failed",
        }
    }
}

/// All counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How many events there were.
    pub seen: u64,
    /// How many of them were recorded, copies of one event included.
    pub recorded: u64,
    /// How many had nothing to record.
    pub skipped: u64,
    /// By reason.
    pub skipped_by: BTreeMap<String, u64>,
    /// How many inputs were not events.
    pub unreadable: u64,
    /// By reason.
    pub unreadable_by: BTreeMap<String, u64>,
    /// How many could not be recorded.
    pub failed: u64,
    /// How many were unreadable or failed and have not been dismissed. An empty input lost nothing.
    pub lost: u64,
    /// How many there were by host; `unknown` if the input could not be read.
    pub by_host: BTreeMap<String, u64>,
    /// How often an agent was told what is known of its failure.
    pub told: u64,
    /// How often the file of known failures could not be used.
    pub odd_known: u64,
    /// Why the last failed event was not recorded.
    pub last_error: Option<LastError>,
}

/// An error and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What.
    pub error: String,
}

/// Counts `outcome` of an event of `host`, in the home whose private folder is `private`.
///
/// # Errors
/// [`fs::Error`] if the count could not be written. The caller goes on as before.
pub fn count(private: &Dir, host: Option<Host>, outcome: Outcome) -> Result<(), fs::Error> {
    count_with(private, host, outcome, None, None)
}

/// As [`count`], with a note beside it, and what the call cost: in one write.
///
/// # Errors
/// As [`count`].
pub fn count_with(
    private: &Dir,
    host: Option<Host>,
    outcome: Outcome,
    note: Option<Note>,
    call: Option<&Call>,
) -> Result<(), fs::Error> {
    let host = host.map_or("unknown", Host::name);
    let note = note.map(|note| format!("{host} {NOTE}{}\n", note.word())).unwrap_or_default();
    let cost = call.map(|call| format!("{host} {NOTE}{}\n", call.note())).unwrap_or_default();
    append(private, &format!("{host} {}\n{note}{cost}", outcome.word()))
}

/// Adds what a call of `host` cost after it was counted.
///
/// # Errors
/// As [`count`].
pub fn add_cost(private: &Dir, host: Host, call: &Call) -> Result<(), fs::Error> {
    append(private, &format!("{} {NOTE}{}\n", host.name(), call.note()))
}

fn append(private: &Dir, lines: &str) -> Result<(), fs::Error> {
    let file = match private.append(HOOKS_TALLY) {
        Err(error) if error.is_not_found() => match private.create_empty(HOOKS_TALLY) {
            Err(error) if error.is_already_there() => private.append(HOOKS_TALLY)?,
            created => created?,
        },
        opened => opened?,
    };
    file.write_once(lines.as_bytes())?;
    if file.stat()?.size > BYTES_FOLDED {
        fold(private)?;
    }
    Ok(())
}

/// Saves why an event could not be recorded.
///
/// # Errors
/// [`fs::Error`] if the reason could not be written.
pub fn remember(private: &Dir, error: &str) -> Result<(), fs::Error> {
    let error = crate::model::text::shortened(&crate::model::text::visible_line(error), 500).into_owned();
    let last = LastError { at: Timestamp::now(), error };
    let text = serde_json::to_vec(&last).expect("it is made of a time and a string");
    private.replace(HOOKS_ERROR, &text, &private.folder(TEMPORARY)?, Durability::None)
}

/// All counts of the home whose private folder is `private`; `None` if no hook ever ran.
///
/// # Errors
/// [`fs::Error`] if it cannot be read.
pub fn counts(private: &Dir) -> Result<Option<Counts>, fs::Error> {
    let Some(text) = private.content(HOOKS_TALLY, BYTES_MAX)? else { return Ok(None) };
    let error = private.content(HOOKS_ERROR, 1 << 16)?;
    let last_error = error.and_then(|text| serde_json::from_slice(&text).ok());
    let mut counts = Counts { last_error, ..Counts::default() };
    for ((host, outcome), count) in lines(&text).0 {
        if let Some(note) = outcome.strip_prefix(NOTE) {
            match note {
                "told" => counts.told += count,
                "odd-known" => counts.odd_known += count,
                _ => {}
            }
            continue;
        }
        counts.seen += count;
        *counts.by_host.entry(host).or_default() += count;
        if is_loss(&outcome) {
            counts.lost += count;
        }
        match outcome.strip_prefix(SEEN).unwrap_or(&outcome) {
            "recorded" => counts.recorded += count,
            "failed" => counts.failed += count,
            other => match other.strip_prefix("unreadable:") {
                Some(reason) => {
                    counts.unreadable += count;
                    *counts.unreadable_by.entry(reason.to_owned()).or_default() += count;
                }
                None => {
                    counts.skipped += count;
                    *counts.skipped_by.entry(other.to_owned()).or_default() += count;
                }
            },
        }
    }
    Ok(Some(counts))
}

/// What hooks cost in the home whose private folder is `private`.
///
/// # Errors
/// [`fs::Error`] if it cannot be read.
pub fn costs(private: &Dir) -> Result<Costs, fs::Error> {
    Ok(private.content(HOOKS_TALLY, BYTES_MAX)?.map(|text| lines(&text).1).unwrap_or_default())
}

/// Dismisses every lost event. Returns how many there were.
///
/// # Errors
/// [`fs::Error`] if the file cannot be replaced; then nothing is dismissed.
pub fn dismiss(private: &Dir) -> Result<u64, fs::Error> {
    let lost = counts(private)?.map_or(0, |counts| counts.lost);
    if lost > 0 {
        fold_with(private, |outcome| if is_loss(outcome) { format!("{SEEN}{outcome}") } else { outcome.to_owned() })?;
    }
    Ok(lost)
}

/// Whether events with this outcome are lost and not dismissed.
fn is_loss(outcome: &str) -> bool {
    let nothing_came = outcome == Outcome::Unreadable(Unreadable::Empty).word();
    (outcome == "failed" || outcome.starts_with("unreadable:")) && !nothing_came
}

impl Counts {
    /// A report of lost events for a person, if there are any.
    pub fn trouble(&self) -> Option<String> {
        let why = self.last_error.as_ref().map(|last| format!(", the last at {:.0}: {}", last.at, last.error));
        (self.lost > 0).then(|| {
            let events = if self.lost == 1 { "event" } else { "events" };
            format!(
                "{} {events} of hooks could not be recorded{}; `indelible repair --dismiss` once seen",
                self.lost,
                why.unwrap_or_default()
            )
        })
    }
}

fn fold(private: &Dir) -> Result<(), fs::Error> {
    fold_with(private, str::to_owned)
}

/// Folds the file, and renames each outcome by `outcome`.
fn fold_with(private: &Dir, outcome: impl Fn(&str) -> String) -> Result<(), fs::Error> {
    let Some(text) = private.content(HOOKS_TALLY, BYTES_MAX)? else { return Ok(()) };
    let line = |((host, name), count): ((String, String), u64)| format!("{host} {} {count}\n", outcome(&name));
    let (counts, costs) = lines(&text);
    let mut folded: String = counts.into_iter().map(line).collect();
    costs.folded().notes().for_each(|(host, note)| folded.push_str(&format!("{host} {NOTE}{note}\n")));
    private.replace(HOOKS_TALLY, folded.as_bytes(), &private.folder(TEMPORARY)?, Durability::None)
}

/// How often each host and outcome is in `text`, and what the calls cost.
fn lines(text: &[u8]) -> (BTreeMap<(String, String), u64>, Costs) {
    let (mut counts, mut costs) = (BTreeMap::new(), Costs::default());
    let text = String::from_utf8_lossy(text);
    // A line without an end is being written, or its writer died.
    for line in text.rsplit_once('\n').map_or("", |(whole, _)| whole).split('\n') {
        let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'));
        let words: Vec<&str> = line.split(' ').filter(plain).collect();
        let (host, outcome, count) = match words.as_slice() {
            [host, outcome] => (host, outcome, 1),
            [host, outcome, count] => (host, outcome, count.parse().unwrap_or(0)),
            _ => continue,
        };
        if outcome.strip_prefix(NOTE).is_some_and(|note| costs.take(host, note, count)) {
            continue;
        }
        if count > 0 && counts.len() < LINES_MAX {
            let sum: &mut u64 = counts.entry((host.to_string(), outcome.to_string())).or_default();
            *sum = sum.saturating_add(count);
        }
    }
    (counts, costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(TEMPORARY)).expect("it is empty");
        let dir = Dir::open(folder.path()).expect("it was just made");
        (folder, dir)
    }

    #[test]
    fn nothing_counted_is_not_the_same_as_nothing_recorded() {
        let (_folder, private) = private();
        assert_eq!(counts(&private).expect("readable"), None);
        count(&private, Some(Host::Claude), Outcome::Skipped(Skipped::Nothing)).expect("counted");
        count(&private, None, Outcome::Unreadable(Unreadable::Empty)).expect("counted");
        remember(&private, "the disk\nis full").expect("remembered");
        let counts = counts(&private).expect("readable").expect("a hook ran");
        assert_eq!((counts.seen, counts.recorded, counts.skipped, counts.unreadable), (2, 0, 1, 1));
        assert_eq!(counts.by_host, BTreeMap::from([("claude".into(), 1), ("unknown".into(), 1)]));
        assert_eq!(counts.last_error.expect("there was one").error, "the disk␊is full");
    }

    #[test]
    fn the_file_stays_small_and_the_counts_right() {
        let (folder, private) = private();
        for _ in 0..10_000 {
            count(&private, Some(Host::OpenCode), Outcome::Skipped(Skipped::Nothing)).expect("counted");
        }
        let size = std::fs::metadata(folder.path().join(HOOKS_TALLY)).expect("it is there").len();
        assert!(size <= BYTES_FOLDED, "{size} bytes");
        assert_eq!(counts(&private).expect("readable").expect("hooks ran").seen, 10_000);
    }

    #[test]
    fn lost_events_are_reported_until_they_are_dismissed() {
        let (_folder, private) = private();
        let read = || counts(&private).expect("readable").expect("hooks ran");
        for outcome in [
            Outcome::Recorded,
            Outcome::Failed,
            Outcome::Unreadable(Unreadable::Empty),
            Outcome::Unreadable(Unreadable::NotJson),
        ] {
            count(&private, Some(Host::Claude), outcome).expect("counted");
        }
        assert_eq!((read().lost, read().failed, read().unreadable), (2, 1, 2));
        assert!(read().trouble().is_some_and(|text| text.contains("2 events")));
        assert_eq!(dismiss(&private).expect("dismissed"), 2);
        assert_eq!((read().lost, read().failed, read().unreadable, read().seen), (0, 1, 2, 4));
        assert_eq!(read().trouble(), None);
        count(&private, None, Outcome::Failed).expect("counted");
        assert_eq!((read().lost, read().failed), (1, 2));
    }

    #[test]
    fn notes_are_no_events() {
        let (_folder, private) = private();
        for note in [None, Some(Note::Told), Some(Note::Told), Some(Note::OddKnown)] {
            count_with(&private, Some(Host::Claude), Outcome::Recorded, note, None).expect("counted");
        }
        fold(&private).expect("folded");
        let counts = counts(&private).expect("readable").expect("hooks ran");
        assert_eq!((counts.seen, counts.recorded, counts.told, counts.odd_known), (4, 4, 2, 1));
        assert_eq!(counts.by_host, BTreeMap::from([("claude".into(), 4)]));
    }

    #[test]
    fn what_calls_cost_survives_folding_and_counts_no_event() {
        let (folder, private) = private();
        let call = |number: u64, is_rest| Call {
            at: Timestamp::from_second(1_700_000_000).expect("a time"),
            session: Some(format!("s{}", number % 7)),
            us: 1_000,
            tokens: number % 2,
            is_rest,
        };
        for number in 0..5_000 {
            let cost = call(number, false);
            let outcome = Outcome::Skipped(Skipped::Nothing);
            count_with(&private, Some(Host::Claude), outcome, None, Some(&cost)).expect("counted");
        }
        add_cost(&private, Host::Claude, &call(1, true)).expect("counted");
        let size = std::fs::metadata(folder.path().join(HOOKS_TALLY)).expect("it is there").len();
        assert!(size <= BYTES_FOLDED, "{size} bytes");
        let costs = costs(&private).expect("readable");
        let sum = |of: fn(&super::super::cost::Cost) -> u64| costs.0.values().map(of).sum::<u64>();
        assert_eq!(
            (costs.0.len(), sum(|it| it.calls), sum(|it| it.us), sum(|it| it.tokens)),
            (7, 5_000, 5_001_000, 2_501)
        );
        let counts = counts(&private).expect("readable").expect("hooks ran");
        assert_eq!((counts.seen, counts.by_host.len()), (5_000, 1));
    }

    #[test]
    fn foreign_lines_are_skipped() {
        let (folder, private) = private();
        std::fs::write(
            folder.path().join(HOOKS_TALLY),
            b"claude recorded 7\nclaud\n\xff\xff x\n\nclaude recorded\na b c d\nx y -1\nclaude reco",
        )
        .expect("written");
        let counts = counts(&private).expect("readable").expect("hooks ran");
        assert_eq!((counts.recorded, counts.seen), (8, 8));
    }
}
