//! Homes to measure in: new ones, and ones with so many records, built once and kept.
//!
//! A large home is made the way every home is: intents in its journal, which `flush` applies and commits. Only the
//! intents are written here, with times in the past, since no home gets a million records in one day.

use std::fs;
use std::path::{Path, PathBuf};

use indelible::home::Home;
use indelible::journal::Appender;
use indelible::model::{Intent, Learning, Level, Provenance, Record, RecordId, Request, Severity};
use indelible::page;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::json;

use crate::corpus;
use crate::lab::{Lab, indelible, output};

/// How many records a day a home got.
const RECORDS_PER_DAY: usize = 1_000;
/// More than so many are not recorded in one day, and git's folder of that day would be most of what is measured.
pub const ONE_DAY_MAX: usize = 100_000;
/// How many records a folder has where they are not in folders of days.
const RECORDS_PER_FOLDER: usize = 10_000;
const KINDS: [fn(Learning) -> Record; 3] = [Record::Failure, Record::Success, Record::Observation];
const FOLDERS: [&str; 3] = ["failures", "successes", "observations"];
/// How many bytes of intents are written before the journal goes on in a new segment.
const SEGMENT_BYTES: usize = 8 << 20;

/// Where the files of a home's records lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In a folder for each day and kind, as recorders place them.
    Dated,
    /// 10,000 to a folder, as in an adopted home.
    Flat,
}

impl Layout {
    pub fn name(self) -> &'static str {
        match self {
            Layout::Dated => "dated",
            Layout::Flat => "flat",
        }
    }
}

/// A new home at `path`, for which nothing is left to be written.
pub fn new(path: &Path) -> PathBuf {
    output(&mut indelible(path, &["init"]));
    rustix::fs::sync();
    path.to_owned()
}

/// A home of `records` records, all of them committed. It is built where there is none yet, or another build of the
/// program made it.
pub fn of(lab: &Lab, layout: Layout, records: usize) -> PathBuf {
    built(lab, layout.name(), "", records, &|number| intent(layout, number, records))
}

/// A home of `records` records of a [corpus], as [`of`].
pub fn of_text(lab: &Lab, records: usize) -> PathBuf {
    let folder = checkout(lab);
    let first: Vec<_> = (0..200).map(|number| corpus::request(number, &folder)).collect();
    let kind = format!("{:08x}", crc32c::crc32c(format!("{first:?}").as_bytes()));
    built(lab, "text", &kind, records, &|number| intent_of_text(&folder, number, records))
}

/// The folder of [`corpus::PROJECT`]: a repository with its origin. It is made once.
pub fn checkout(lab: &Lab) -> PathBuf {
    let folder = lab.homes().join("shop");
    if !folder.join(".git").is_dir() {
        let origin = format!("https://{}.git", corpus::PROJECT);
        output(std::process::Command::new("git").args(["init", "-q"]).arg(&folder));
        output(std::process::Command::new("git").arg("-C").arg(&folder).args(["remote", "add", "origin", &origin]));
    }
    folder
}

/// `kind` is what the records are, beside the program that places them.
fn built(lab: &Lab, name: &str, kind: &str, records: usize, intent: &dyn Fn(usize) -> Intent) -> PathBuf {
    let path = lab.homes().join(format!("{name}-{records}"));
    let built = path.with_extension("built");
    let program = fs::read(env!("CARGO_BIN_EXE_indelible")).expect("the program is there");
    let mark = format!("{:08x}{kind}", crc32c::crc32c(&program));
    if fs::read_to_string(&built).is_ok_and(|by| by == mark) {
        return path;
    }
    let start = std::time::Instant::now();
    let _ = fs::remove_file(&built);
    let _ = fs::remove_dir_all(&path);
    new(&path);
    append_all(&path, records, intent);
    // Few packs, as a worker leaves them.
    output(&mut indelible(
        &path,
        &["flush", "--timeout", "3600", "--set", "journal.keep_s=0", "--set", "history.packs_max=2"],
    ));
    fs::write(&built, mark).expect("a home's mark can be written");
    rustix::fs::sync();
    eprintln!("built: a home of {records} records, {name}, in {} s", start.elapsed().as_secs());
    path
}

/// Writes `records` intents into the journal of the home at `path`, synced and applied nowhere: as if so many recorders
/// had died right after their sync.
pub fn append(path: &Path, layout: Layout, records: usize) {
    append_all(path, records, &|number| intent(layout, number, records));
}

/// As [`append`], of a [corpus].
pub fn append_text(lab: &Lab, path: &Path, records: usize) {
    let folder = checkout(lab);
    append_all(path, records, &|number| intent_of_text(&folder, number, records));
}

fn append_all(path: &Path, records: usize, intent: &dyn Fn(usize) -> Intent) {
    let home = Home::open(path).expect("the home was made");
    let exclusive = home.exclusive("a benchmark").expect("it can be locked").expect("no worker runs");
    let journal = home.journal();
    let mut appender = Appender::open(journal).expect("the journal can be written");
    let (mut group, mut bytes) = (Vec::new(), 0);
    for number in 0..records {
        let json = serde_json::to_vec(&intent(number)).expect("an intent is text and numbers");
        bytes += json.len();
        group.push(json);
        if group.len() == 512 || number + 1 == records {
            let written = appender.append(&group).expect("the journal can be written");
            let _ = written.sync().expect("the journal can be synced");
            group.clear();
        }
        if bytes >= SEGMENT_BYTES && group.is_empty() {
            exclusive.journal().rotate().expect("the journal can go on in a new segment");
            appender = Appender::open(journal).expect("the journal can be written");
            bytes = 0;
        }
    }
}

fn intent(layout: Layout, number: usize, of: usize) -> Intent {
    let before =
        SignedDuration::from_hours(24) * i32::try_from(1 + (of - 1 - number) / RECORDS_PER_DAY).unwrap_or(i32::MAX);
    let created_at = Timestamp::from_millisecond((Timestamp::now() - before).as_millisecond()).expect("a time is one");
    let record = KINDS[number % KINDS.len()](learning(number));
    let id = RecordId::new();
    let mut files = page::files(id, created_at, &Request::new(record.clone()), Level::Day);
    if layout == Layout::Flat {
        let folder = number / RECORDS_PER_FOLDER;
        let folder = FOLDERS.get(folder).map_or_else(|| format!("archive-{folder:03}"), ToString::to_string);
        for file in &mut files {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            file.path = format!("memory/{folder}/{name}");
        }
    }
    Intent { id, created_at, key: None, record, provenance: Provenance::default(), amended: None, files, from: None }
}

/// Spread over the days before now, not all at one moment of a day.
fn intent_of_text(folder: &Path, number: usize, of: usize) -> Intent {
    let before =
        SignedDuration::from_hours(24) / RECORDS_PER_DAY as i32 * i32::try_from(of - number).unwrap_or(i32::MAX);
    let created_at = Timestamp::from_millisecond((Timestamp::now() - before).as_millisecond()).expect("a time is one");
    let request = corpus::request(number, folder);
    let id = RecordId::new();
    let files = page::files(id, created_at, &request, Level::Day);
    let Request { record, key, provenance } = request;
    Intent { id, created_at, key, record, provenance, amended: None, files, from: None }
}

fn learning(number: usize) -> Learning {
    Learning {
        title: format!("Record {number}: the cache grew without bound"),
        domain: format!("domain-{}", number % 20),
        severity: Severity::DEFAULT,
        tags: "cache,memory".into(),
        summary: "It had no limit, and nobody looked until the machine swapped. A limit of 10,000 entries holds."
            .into(),
        ..Learning::default()
    }
}

/// A file of `records` lines for `record batch`.
pub fn lines(lab: &Lab, records: usize) -> PathBuf {
    use std::io::Write as _;
    let path = lab.program(&format!("lines-{records}"));
    if !path.is_file() {
        let file = fs::File::create(&path).expect("a file beneath target can be made");
        let mut file = std::io::BufWriter::new(file);
        for number in 0..records {
            writeln!(file, "{}", line(number)).expect("it can be written");
        }
        file.flush().expect("it can be written");
    }
    path
}

/// One line for `record batch`.
pub fn line(number: usize) -> String {
    let Learning { title, domain, severity, tags, summary, .. } = learning(number);
    let kind = ["failure", "success", "observation"][number % 3];
    json!({ "kind": kind, "title": title, "domain": domain, "severity": severity, "tags": tags, "summary": summary })
        .to_string()
}

/// An index that is held open, as a worker holds it, and checkpointed outside of what is measured.
pub struct HeldOpen(Connection);

impl HeldOpen {
    pub fn index_of(home: &Path) -> HeldOpen {
        HeldOpen::database(&home.join("memory/index.db"), "SELECT count(*) FROM sqlite_schema")
    }

    pub fn database(path: &Path, first_look: &str) -> HeldOpen {
        let connection = Connection::open(path).expect("the database is there");
        connection.query_row(first_look, [], |_| Ok(())).expect("it can be read");
        HeldOpen(connection)
    }

    /// Keeps the write-ahead log as short as a worker does.
    pub fn checkpoint(&self) {
        let _ = self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// How much of something lies beneath a folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content {
    pub packs: usize,
    pub loose: usize,
    pub bytes: u64,
}

/// What the object database of the repository at `git` holds.
pub fn objects(git: &Path) -> Content {
    let mut content = Content::default();
    let mut folders = vec![git.join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // A pack that goes while it is looked at is none.
            let Ok(found) = entry.metadata() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            match found.is_dir() {
                true => folders.push(entry.path()),
                false => {
                    content.bytes += found.len();
                    content.packs += usize::from(name.ends_with(".pack"));
                    content.loose += usize::from(name.len() == 38);
                }
            }
        }
    }
    content
}
