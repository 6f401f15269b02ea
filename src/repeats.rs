//! How often a rule or a failure came again on a day: the tally of that day, which recorders append to and the worker counts once the day
//! is over.
//!
//! The first time on a day is a record, the verdict `again`; of a failure only if it came in another session than before. Every time, the
//! first one too, is a line in `again-<day>.tally`: the verdict's id, and a digest that names the time, so that what is recorded twice by
//! one key counts once. A line of a failure also has what its verdict would say ([`Said`]): the last text of a day is kept, and the
//! worker makes the verdict if there is none. The lines are never synced: no record depends on them. When the day is over, the
//! worker amends the verdict ([`rules::counted`](crate::rules::counted)), and removes the tally.
//!
//! | killed | on disk | and then |
//! | --- | --- | --- |
//! | within an append | the line, part of it, or nothing | a reader skips what is no line: one time is not counted |
//! | between an append and the record | a time too many, of a record that was not kept | it is counted |
//! | between the amendment and the removal | both | it is counted once more, to the same number: nothing changes |
//! | by a power cut | an older state of the tally, or no tally | the times that it lacks are not counted |

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fs::{Dir, Error};
use crate::model::layout::{AGAIN, TALLY};
use crate::model::{Provenance, RecordId};

/// The size from which nothing more is appended, in bytes.
const BYTES_MAX: u64 = 1 << 20;
/// The size from which no more texts are appended, and the longest text, in bytes.
const TEXTS_BYTES_MAX: u64 = BYTES_MAX / 2;
const TEXT_BYTES_MAX: usize = 8 << 10;
/// A larger file was not written by recorders, and counts nothing. Many at once can pass [`BYTES_MAX`] by a line each.
const READ_BYTES_MAX: u64 = 2 * BYTES_MAX;
/// How long after its end a day is counted: a recorder may be about to append.
const GRACE: Duration = Duration::from_secs(10 * 60);

/// What the verdict says that a failure came again, at one of the times of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The verdict's key.
    pub key: String,
    /// The failure.
    pub of: RecordId,
    /// When it came.
    pub at: Timestamp,
    /// What was said then; empty if there was no room for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
    /// Where it came from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// How often it came on a day that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// What was said last, if it is a failure. It has a text if any time of that day has one.
    pub last: Option<Said>,
}

/// The times of a day that is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Day {
    name: String,
    /// How often each verdict's rule or failure came again.
    pub times: BTreeMap<RecordId, Times>,
}

/// Notes that what `verdict` says happened, at `at`; `key` names the time, if the caller has a name for it, and `said` is what was said
/// of a failure. What cannot be noted is not counted.
pub fn note(private: &Dir, verdict: RecordId, at: Timestamp, key: Option<&str>, said: Option<&Said>) {
    let name = name_of(day_of(at));
    let file = match private.append(&name) {
        Err(error) if error.is_not_found() => match private.create_empty(&name) {
            Err(error) if error.is_already_there() => private.append(&name),
            created => created,
        },
        opened => opened,
    };
    let which = key.map_or_else(|| RecordId::new().0, |key| Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()));
    if let Ok(file) = file
        && let Ok(found) = file.stat()
        && found.size < BYTES_MAX
    {
        let said = said.map(|said| line_of(said, found.size < TEXTS_BYTES_MAX)).unwrap_or_default();
        // A torn line before it costs that line alone.
        let _ = file.write_once(format!("\n{verdict} {}{said}\n", which.simple()).as_bytes());
    }
}

/// The part of a line that has `said`, without its text if there is no room for one.
fn line_of(said: &Said, has_room: bool) -> String {
    let room = if has_room { TEXT_BYTES_MAX } else { 0 };
    let because = said.because[..said.because.floor_char_boundary(room)].to_owned();
    let said = Said { because, ..said.clone() };
    serde_json::to_string(&said).map_or_else(|_| String::new(), |json| format!(" {json}"))
}

/// The days that are over at `now`, and not counted yet.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn over(private: &Dir, now: Timestamp) -> Result<Vec<Day>, Error> {
    let today = day_of(now.checked_sub(GRACE).unwrap_or(now));
    let is_over = |name: &String| day_in(name).is_some_and(|day| day < today);
    let mut names: Vec<String> = private.names()?.into_iter().filter(is_over).collect();
    names.sort();
    // What cannot be read counts nothing, and is removed like the others.
    let read = |name: String| {
        let content = private.content(&name, READ_BYTES_MAX).ok().flatten().unwrap_or_default();
        Day { times: times_in(&content), name }
    };
    Ok(names.into_iter().map(read).collect())
}

/// Removes the tally of `day`, which is counted.
///
/// # Errors
/// [`Error::Io`] if it cannot be removed.
pub fn remove(private: &Dir, day: &Day) -> Result<(), Error> {
    private.remove(&day.name).map(|_| ())
}

fn times_in(content: &[u8]) -> BTreeMap<RecordId, Times> {
    let (mut all, mut seen) = (BTreeMap::<RecordId, Times>::new(), HashSet::new());
    for line in content.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let parsed = || {
            let (verdict, rest) = line.split_once(' ')?;
            let (which, said) = rest.split_once(' ').map_or((rest, None), |(which, said)| (which, Some(said)));
            Some((verdict.parse::<RecordId>().ok()?, Uuid::try_parse(which).ok()?, said))
        };
        let Some((verdict, which, said)) = parsed() else { continue };
        let said = match said.map(serde_json::from_str::<Said>) {
            None => None,
            Some(Ok(said)) => Some(said),
            Some(Err(_)) => continue,
        };
        let times = all.entry(verdict).or_default();
        times.count += u64::from(seen.insert((verdict, which)));
        // A time without a text leaves the text of the one before.
        if let Some(mut said) = said {
            if let Some(last) = times.last.take().filter(|_| said.because.is_empty()) {
                said.because = last.because;
            }
            times.last = Some(said);
        }
    }
    all
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn name_of(day: Date) -> String {
    format!("{AGAIN}{day}{TALLY}")
}

fn day_in(name: &str) -> Option<Date> {
    name.strip_prefix(AGAIN)?.strip_suffix(TALLY)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many times of a rule.
    fn rule(count: u64) -> Times {
        Times { count, last: None }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_is_counted_once_it_is_over_and_a_key_counts_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(folder.path()).expect("it was just made");
        let (one, other) = (RecordId::new(), RecordId::new());
        for key in [None, None, Some("a"), Some("a"), Some("b")] {
            note(&dir, one, at("2026-03-04T23:59:59Z"), key, None);
        }
        note(&dir, other, at("2026-03-04T00:00:00Z"), Some("a"), None);
        note(&dir, other, at("2026-03-05T00:00:00Z"), None, None);
        for now in ["2026-03-04T12:00:00Z", "2026-03-05T00:09:59Z"] {
            assert_eq!(over(&dir, at(now)).expect("listed"), [], "{now}");
        }
        let days = over(&dir, at("2026-03-05T00:10:00Z")).expect("listed");
        assert_eq!(
            days.iter().map(|it| it.times.clone()).collect::<Vec<_>>(),
            [BTreeMap::from([(one, rule(4)), (other, rule(1))])]
        );
        remove(&dir, &days[0]).expect("removed");
        assert_eq!(over(&dir, at("2026-03-05T23:00:00Z")).expect("listed"), []);
        assert_eq!(over(&dir, at("2027-01-01T00:00:00Z")).expect("listed").len(), 1);
    }

    #[test]
    fn of_a_failure_the_last_text_is_kept_and_without_room_its_times_are_still_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(folder.path()).expect("it was just made");
        let (id, of) = (RecordId::new(), RecordId::new());
        let said = |number: usize| Said {
            key: "k".into(),
            of,
            at: at("2026-03-04T01:00:00Z"),
            because: format!("{number}\n{}", "ä".repeat(TEXT_BYTES_MAX)),
            provenance: Provenance { session: Some(number.to_string()), ..Provenance::default() },
        };
        let day = || over(&dir, at("2026-03-06T00:00:00Z")).expect("listed")[0].times[&id].clone();
        let note = |number: usize| note(&dir, id, said(number).at, Some(&number.to_string()), Some(&said(number)));
        note(1);
        note(2);
        let Times { count, last: Some(last) } = day() else { panic!("it is a failure") };
        assert_eq!((count, last.of, last.provenance.session.as_deref()), (2, of, Some("2")));
        assert!(last.because.starts_with("2\nää") && last.because.len() <= TEXT_BYTES_MAX);
        (3..203).for_each(note);
        let Times { count, last: Some(last) } = day() else { panic!("it is a failure") };
        assert_eq!((count, last.provenance.session.as_deref()), (202, Some("202")), "its session is noted to the end");
        let number = last.because.lines().next().and_then(|it| it.parse::<usize>().ok());
        assert!(
            number.is_some_and(|number| (50..100).contains(&number)),
            "the last that there was room for: {number:?}"
        );
    }

    #[test]
    fn garbage_counts_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = Dir::open(folder.path()).expect("it was just made");
        let id = RecordId::new();
        let name = folder.path().join("again-2026-03-04.tally");
        std::fs::write(
            &name,
            format!("\n{id} 12\n{id}\n{id} x y\n\u{fffd}\0\0 {id}\n{id} {id} {{\n{id} {id} 7\n{id} 0123"),
        )
        .expect("written");
        note(&dir, id, at("2026-03-04T01:00:00Z"), None, None);
        let days = over(&dir, at("2026-03-06T00:00:00Z")).expect("listed");
        assert_eq!(days[0].times, BTreeMap::from([(id, rule(1))]), "after half a line");
        std::fs::write(&name, vec![b' '; READ_BYTES_MAX as usize + 1]).expect("written");
        note(&dir, id, at("2026-03-04T01:00:00Z"), None, None);
        assert!(over(&dir, at("2026-03-06T00:00:00Z")).expect("listed")[0].times.is_empty(), "too large");
        for other in ["again-x.tally", "again-2026-03-04", "hooks.tally"] {
            std::fs::write(folder.path().join(other), "").expect("written");
        }
        assert_eq!(over(&dir, at("2026-03-06T00:00:00Z")).expect("listed").len(), 1);
        std::fs::remove_file(&name).expect("it is there");
        std::fs::create_dir(&name).expect("nothing is there");
        note(&dir, id, at("2026-03-04T01:00:00Z"), None, None);
        assert!(over(&dir, at("2026-03-06T00:00:00Z")).expect("listed")[0].times.is_empty(), "a folder");
    }
}
