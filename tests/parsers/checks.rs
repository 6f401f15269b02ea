//! What holds of every parser, whatever bytes it is given: it does not panic, and what it has understood it understands
//! again. For bytes that are made up ([`super`]), those that are kept, and those that the fuzzer finds.

use std::path::{Path, PathBuf};

use indelible::fs::Dir;
use indelible::intent::{Intent, Record, RecordId};
use indelible::journal::{Item, Journal, Line, Reader, encode};
use indelible::position::Position;
use indelible::record::{Request, validate};
use indelible::store::history::trailer_of;
use indelible::store::page::{self, Parsed, id_of};
use uuid::Uuid;

use crate::settings::{Own, Settings};

/// Holds a parser against some bytes, and panics where it fails.
pub type Check = fn(&[u8]);

/// Every parser of what comes from outside.
pub const CHECKS: [(&str, Check); 6] = [
    ("journal", journal),
    ("page", page),
    ("position", position),
    ("trailer", trailer),
    ("batch", batch),
    ("config", config),
];

/// The check of the parser `name`.
pub fn named(name: &str) -> Option<Check> {
    CHECKS.into_iter().find(|(it, _)| *it == name).map(|(_, check)| check)
}

/// A journal of one segment, whose entries are for each check to write.
struct Bench {
    _folder: tempfile::TempDir,
    journal: Journal,
    segment: PathBuf,
    header: Vec<u8>,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::new(Dir::open(folder.path()).expect("it opens"));
        journal.ensure_first().expect("it can be made");
        let segment = folder.path().join("0000000001.log");
        let header = std::fs::read(&segment).expect("it was just made");
        Bench { _folder: folder, journal, segment, header }
    }
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

/// Lines of a segment: a reader finds those that are whole entries, in their order, and an entry has one form only, but for
/// the zeros that a power cut can leave behind it.
fn journal(bytes: &[u8]) {
    let mut whole = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Line::Whole { json, .. } = Line::of(line) {
            let zeros = line.iter().rev().take_while(|byte| **byte == 0).count();
            let line = &line[..line.len() - zeros];
            assert_eq!(encode(json), [b"\n", line, b"\n"].concat(), "an entry has two forms");
            whole.push(json.to_vec());
            intent(json);
        }
    }
    BENCH.with(|bench| {
        std::fs::write(&bench.segment, [&bench.header, bytes].concat()).expect("it can be written");
        let mut reader = Reader::from_start(&bench.journal).expect("readable").expect("it has a header");
        let mut found = Vec::new();
        while let Some(item) = reader.next().expect("readable") {
            if let Item::Entry { json } = item {
                found.push(json);
                let here = Reader::from_position(&bench.journal, reader.position()).expect("readable");
                assert!(here.is_some(), "a position that was read is void");
            }
        }
        assert_eq!(found, whole, "the reader sees other entries");
    });
}

/// What an entry carries.
fn intent(json: &[u8]) {
    let Ok(intent) = serde_json::from_slice::<Intent>(json) else { return };
    let again = serde_json::to_vec(&intent).expect("an intent is made of strings and numbers");
    assert_eq!(serde_json::from_slice::<Intent>(&again).expect("it was just written"), intent);
}

/// A record's page, front matter and all: what it says is what a page made of that says.
fn page(bytes: &[u8]) {
    let _ = id_of(bytes);
    let Ok(parsed) = page::parse(bytes) else { return };
    if let Parsed { id, created_at, key, record: Some(record), .. } = parsed {
        is_read_as_written(id, created_at, key.as_deref(), &record);
    }
}

fn is_read_as_written(id: RecordId, created_at: jiff::Timestamp, key: Option<&str>, record: &Record) {
    let files = page::files(id, created_at, key, record, false);
    let again = page::parse(files[0].text.as_bytes()).expect("a page of ours");
    assert_eq!(again.record.as_ref(), Some(record));
    assert_eq!((again.id, again.key.as_deref()), (id, key));
    assert_eq!(again.created_at.as_millisecond(), created_at.as_millisecond());
    assert_eq!(id_of(files[0].text.as_bytes()), Some(id));
}

/// A place in the journal.
fn position(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(position) = text.parse::<Position>() else { return };
    assert_eq!(position.to_string().parse(), Ok(position));
    let json = serde_json::to_string(&position).expect("a position is a string");
    assert_eq!(serde_json::from_str::<Position>(&json).expect("it was just written"), position);
}

/// The message of a commit.
fn trailer(bytes: &[u8]) {
    let Some(trailer) = trailer_of(bytes) else { return };
    let home = trailer.home.map(|home| format!("Indelible-Home: {home}\n")).unwrap_or_default();
    let ends = format!("Indelible-Journal: {}\nIndelible-Position: {}\n", trailer.journal, trailer.position);
    assert_eq!(trailer_of(format!("subject\n\n{home}{ends}").as_bytes()), Some(trailer));
}

/// A line of a batch: what it asks for can be asked for again, and recorded if it is as it must be.
fn batch(bytes: &[u8]) {
    let Ok(request) = Request::of_line(bytes) else { return };
    let mut line = serde_json::to_value(&request.record).expect("a record is made of strings and numbers");
    if let Some(key) = &request.key {
        line["key"] = key.as_str().into();
    }
    let again = Request::of_line(line.to_string().as_bytes());
    // A severity that is not as it must be was refused already; what else is not, is refused by what follows.
    assert_eq!(again.as_ref(), Ok(&request));
    if validate(&request).is_ok() {
        let time = jiff::Timestamp::from_second(1_767_322_800).expect("it is in range");
        is_read_as_written(RecordId(Uuid::from_u128(0xfeed)), time, request.key.as_deref(), &request.record);
    }
}

/// A configuration file, a home's and a user's, and the same text on the command line.
fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("config.toml");
    let overrides: Vec<_> = text.lines().map(str::to_owned).collect();
    let id = Uuid::from_u128(0xfeed);
    let ours = Own { path, text, id: &|| Ok(Some(id)) };
    let of_home = Settings::read(path, text, None, &[]);
    if let Ok(settings) = &of_home {
        decides_nothing_of_the_users(settings);
    }
    let [of_user, of_flags] = [Settings::read(path, "", Some(ours), &[]), Settings::read(path, "", None, &overrides)];
    for settings in [of_home, of_user, of_flags].into_iter().flatten() {
        let options = settings.worker();
        for wait in [options.age_max, options.poll, options.stop, options.batch.keep, options.batch.index_wait] {
            let now = std::time::Instant::now();
            assert!(now.checked_add(wait).is_some(), "nobody can wait for {wait:?}");
        }
        assert!(options.batch.records_max > 0 && options.batch.segment_bytes_max > 0, "nothing could be committed");
    }
}

/// Whatever a home's file says, no program, no start, no name, no log, no rule of a hook is in it, and nothing less is
/// redacted.
fn decides_nothing_of_the_users(settings: &Settings) {
    let usual = Settings::default();
    let said = |it: &Settings| {
        let (history, log, hook, worker) = (&it.history, &it.log, &it.hook, it.worker.autostart);
        format!("{history:?} {log:?} {:?} {:?} {:?} {:?} {worker}", hook.record, hook.events, hook.tools, hook.answers)
    };
    assert_eq!(said(settings), said(&usual));
    assert!(settings.redact.hooks, "a home has switched redaction off");
    assert!(settings.worker.records_max <= 100_000, "a home's number has no bound");
}
