//! What holds of every parser, whatever bytes it is given: it does not panic, and what it has understood it understands
//! again. For bytes that are made up ([`super`]), those that are kept, and those that the fuzzer finds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indelible::exclusive::Exclusive;
use indelible::fs::Dir;
use indelible::home::Home;
use indelible::init::init;
use indelible::journal::{Item, Journal, Line, Reader, encode};
use indelible::model::position::Position;
use indelible::model::{HomeId, Level, Op, PROVENANCE, RecordId, Request};
use indelible::page::{self, Parsed, id_of};
use indelible::pipeline::{self, Pipeline, Progress};
use indelible::record::{Policy, Recorder, Redaction};
use indelible::recover;
use indelible::signature::{self, TEXT_CHARS_MAX};
use indelible::status;
use indelible::target::history::{HistoryOptions, trailer_of};
use indelible::trust::{self, Notes, Passed, Standing};
use indelible::verify;
use uuid::Uuid;

use crate::settings::{Own, Settings};

/// Holds a parser against some bytes, and panics where it fails.
pub type Check = fn(&[u8]);

/// Every parser of what comes from outside.
pub const CHECKS: [(&str, Check); 8] = [
    ("journal", journal),
    ("page", page),
    ("position", position),
    ("trailer", trailer),
    ("batch", batch),
    ("config", config),
    ("notes", notes),
    ("signature", signature),
];

/// What takes too long to be held against everything that is made up.
pub const SLOW_CHECKS: [(&str, Check); 1] = [("home", home)];

/// The check of the parser `name`.
pub fn named(name: &str) -> Option<Check> {
    CHECKS.into_iter().chain(SLOW_CHECKS).find(|(it, _)| *it == name).map(|(_, check)| check)
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
            op(json);
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
fn op(json: &[u8]) {
    let Ok(op) = Op::of_json(json) else { return };
    assert_eq!(Op::of_json(&op.to_json()), Ok(op));
}

/// A record's page, front matter and all: what it says is what a page made of that says.
fn page(bytes: &[u8]) {
    let _ = id_of(bytes);
    let Ok(parsed) = page::parse(bytes) else { return };
    if let Parsed { id, created_at, request: Some(request), .. } = parsed {
        is_read_as_written(id, created_at, &request);
    }
}

fn is_read_as_written(id: RecordId, created_at: jiff::Timestamp, request: &Request) {
    let files = page::files(id, created_at, request, Level::Day);
    let again = page::parse(files[0].text.as_bytes()).expect("one of our pages");
    assert_eq!((again.id, again.request.as_ref()), (id, Some(request)));
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
    for spec in &PROVENANCE {
        if let Some(text) = request.provenance.text(spec.field) {
            line[spec.name] = (*text).into();
        }
    }
    if let Some(key) = &request.key {
        line["key"] = key.as_str().into();
    }
    let again = Request::of_line(line.to_string().as_bytes());
    // A severity that is not as it must be was refused already; what else is not, is refused by what follows.
    assert_eq!(again.as_ref(), Ok(&request));
    if request.check().is_ok() {
        let time = jiff::Timestamp::from_second(1_767_322_800).expect("it is in range");
        is_read_as_written(RecordId(Uuid::from_u128(0xfeed)), time, &request);
    }
}

/// A configuration file, a home's and a user's, and the same text on the command line.
fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("config.toml");
    let overrides: Vec<_> = text.lines().map(str::to_owned).collect();
    let id = HomeId(Uuid::from_u128(0xfeed));
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
            assert!(now.checked_add(wait).is_some(), "{wait:?} is too long to wait");
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
        let trail = (hook.fix_calls, hook.fix_minutes);
        format!(
            "{history:?} {log:?} {:?} {:?} {:?} {:?} {worker} {trail:?}",
            hook.record, hook.events, hook.tools, hook.answers
        )
    };
    assert_eq!(said(settings), said(&usual));
    assert!(settings.redact.hooks, "a home has switched redaction off");
    assert!(settings.worker.records_max <= 100_000, "a home's number has no bound");
}

/// The notes of trusted homes, and the counts of those that were passed by: nothing that they say trusts a home that has no
/// such token.
fn notes(bytes: &[u8]) {
    NOTED.with(|noted| {
        let state = noted.path().join("state");
        for name in ["homes.json", "passed"] {
            std::fs::write(state.join(name), bytes).expect("it can be written");
        }
        let home = noted.path().join("home");
        let standing = trust::standing(Some(&state), &home).expect("nothing is short");
        assert!(matches!(standing, Standing::Passed(_)), "a home without a token is trusted");
        if let Ok(notes) = Notes::read(&state) {
            let id = HomeId(Uuid::from_u128(0xfeed));
            assert!(notes.id_of(&home, id).is_none() || !notes.all().is_empty() || notes.id_of(&home, id) == Some(id));
        }
        let passed = Passed::read(&state);
        assert!(passed.all().all(|(path, count)| path.is_absolute() && count > 0));
    });
}

thread_local! {
    static NOTED: tempfile::TempDir = {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["state", "home/.indelible"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("it can be made");
        }
        folder
    };
    static HOME: Template = Template::new();
}

/// A home with a record of each store, to copy from.
struct Template {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Template {
    fn new() -> Template {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("home");
        init(&path, options(), "").expect("it can be made");
        let home = Home::open(&path).expect("it was just made");
        for title in ["committed", "pending"] {
            let line = format!("{{\"kind\":\"failure\",\"title\":\"{title}\",\"domain\":\"d\"}}");
            let mut recorder = Recorder::new(&home, policy()).expect("it is a home");
            recorder.record(Request::of_line(line.as_bytes()).expect("a record")).expect("it is recorded");
            if title == "committed" {
                let lock = home.exclusive("a test").expect("it locks").expect("it is free");
                recovered(&lock).expect("it is committed");
            }
        }
        let mut files = Vec::new();
        walk(&path, &mut |file| files.push(file.strip_prefix(&path).expect("it is in it").to_owned()));
        files.sort();
        Template { folder, files }
    }
}

fn policy() -> Policy {
    Policy { index_wait: Some(Duration::ZERO), ..Policy::new(Redaction::off()) }
}

fn options() -> HistoryOptions {
    HistoryOptions { git_program: None, packs_max: 2, ..HistoryOptions::default() }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("it is ours").flatten() {
        match entry.path().is_dir() {
            true => walk(&entry.path(), found),
            false => found(&entry.path()),
        }
    }
}

fn recovered(exclusive: &Exclusive<'_>) -> Result<(), recover::Error> {
    let batch =
        pipeline::Options { history: options(), index_wait: Duration::from_millis(50), ..pipeline::Options::default() };
    let mut pipeline = Pipeline::open(exclusive, batch)?;
    recover::recover(&mut pipeline, recover::Scope::Everything, &mut Quiet).map(drop)
}

/// Progress callbacks that do nothing.
struct Quiet;

impl Progress for Quiet {
    fn begin(&mut self, _: &'static str, _: u64) {}
    fn at(&mut self, _: u64) {}
    fn end(&mut self) {}
}

/// A home with one of its files replaced: the first byte says which, the others are its content. Everything that reads a
/// home reads it, records into it and recovers it, and what lies beside it stays as it was.
fn home(bytes: &[u8]) {
    let Some((first, content)) = bytes.split_first() else { return };
    HOME.with(|template| {
        let root = tempfile::tempdir_in(template.folder.path()).expect("a temporary folder");
        let (from, path, beside) =
            (template.folder.path().join("home"), root.path().join("home"), root.path().join("x"));
        std::fs::write(&beside, "beside").expect("it can be written");
        walk(&from, &mut |file| {
            let to = path.join(file.strip_prefix(&from).expect("it is in it"));
            std::fs::create_dir_all(to.parent().expect("it has one")).expect("it can be made");
            std::fs::copy(file, &to).expect("it can be copied");
        });
        for folder in ["tmp", "quarantine", "logs", "requests"] {
            std::fs::create_dir_all(path.join(".indelible").join(folder)).expect("it can be made");
        }
        for folder in ["refs/tags", "refs/heads", "refs/indelible", "objects/pack", "objects/info"] {
            std::fs::create_dir_all(path.join(".git").join(folder)).expect("it can be made");
        }
        let file = path.join(&template.files[usize::from(*first) % template.files.len()]);
        std::fs::remove_file(&file).expect("it is there");
        std::fs::write(&file, content).expect("it can be written");
        use_home(&path);
        assert_eq!(std::fs::read_to_string(&beside).expect("it is there"), "beside");
        let names = std::fs::read_dir(root.path()).expect("it is there").count();
        assert_eq!(names, 2, "something was put beside the home");
    });
}

fn use_home(path: &Path) {
    let Ok(home) = Home::open(path) else { return };
    if let Ok(settings) = Settings::of(&home, &[]) {
        decides_nothing_of_the_users(&settings);
    }
    let _ =
        (status::status(&home, &options(), jiff::Timestamp::UNIX_EPOCH), verify::verify(&home, &options(), &mut Quiet));
    if let Ok(mut recorder) = Recorder::new(&home, policy()) {
        let line = b"{\"kind\":\"heuristic\",\"rule\":\"after\",\"domain\":\"d\"}";
        let _ = recorder.record(Request::of_line(line).expect("a record"));
    }
    if let Ok(Ok(lock)) = home.exclusive("a test") {
        let _ = recovered(&lock);
    }
}

/// The signature of a failure: of the first line as the command, and the rest as the output.
fn signature(bytes: &[u8]) {
    let (command, output) =
        bytes.iter().position(|byte| *byte == b'\n').map_or((bytes, bytes), |at| bytes.split_at(at));
    let command = String::from_utf8_lossy(command);
    for (exit, was_cut) in [(Some(1), false), (Some(0), false), (None, true)] {
        let Some(found) = signature::signature(&command, "/srv/a b", exit, output, was_cut) else { continue };
        assert!(found.text.chars().count() <= TEXT_CHARS_MAX, "the text is too long");
        assert!(!found.text.contains(char::is_control), "the text has control characters");
        let again = signature::signature(&command, "/srv/a b", exit, output, was_cut);
        assert_eq!(again.as_ref(), Some(&found));
        assert_eq!(found.key(b"one"), found.key(b"one"));
    }
}
