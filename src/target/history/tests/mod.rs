//! The history tested with real repositories, and with what the git program makes of them.

mod chain;
mod commits;
mod erase;
mod locks;
mod packs;
mod repositories;
mod versions;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::journal::Replaced;
use crate::model::position::{Position, SegmentId};
use crate::model::{
    Change, FileImage, HomeId, Intent, JournalId, Learning, Op, Provenance, Record, RecordId, Revision, Severity,
};

const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
const HOME: HomeId = HomeId(Uuid::from_u128(8));

struct Home {
    _root: TempDir,
    path: PathBuf,
}

impl Home {
    /// A folder with what `init` guarantees, and no repository.
    fn empty() -> Home {
        let root = tempfile::tempdir().expect("a folder for the test");
        let path = root.path().join("home");
        fs::create_dir_all(path.join(".indelible/tmp")).expect("the home's own folder");
        Home { _root: root, path }
    }

    fn ours() -> (Home, History) {
        let home = Home::empty();
        let (history, made) = home.init().expect("a new home");
        assert!(made);
        (home, history)
    }

    /// A user's repository with a commit, a staged change and a branch.
    fn theirs() -> (Home, History) {
        let home = Home::empty();
        home.git(&["init", "-q", "-b", "trunk"]);
        home.write("theirs.txt", "theirs");
        home.write("memory/old.md", "old");
        home.git(&["add", "theirs.txt", "memory/old.md"]);
        home.git(&["commit", "-q", "-m", "theirs"]);
        home.git(&["branch", "side"]);
        home.write("staged.txt", "staged");
        home.git(&["add", "staged.txt"]);
        let (history, made) = home.init().expect("an adopted home");
        assert!(!made);
        (home, history)
    }

    fn init(&self) -> Result<(History, bool), Error> {
        History::init(&self.path, &staging(&self.path), HOME, options())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("its folder");
        fs::write(path, text).expect("a file");
    }

    fn try_git(&self, args: &[&str]) -> (bool, String) {
        git_in(&self.path, args)
    }

    fn git(&self, args: &[&str]) -> String {
        let (fine, text) = self.try_git(args);
        assert!(fine, "git {args:?}: {text}");
        text
    }

    fn fsck(&self) {
        let text = self.git(&["fsck", "--strict", "--full", "--no-dangling"]);
        assert!(!text.contains("error") && !text.contains("warning") && !text.contains("missing"), "{text}");
    }

    fn packs(&self, extension: &str) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.path.join(".git/objects/pack")).expect("the packs");
        listed
            .map(|it| it.expect("a pack").path())
            .filter(|it| it.extension().is_some_and(|it| it == extension))
            .collect()
    }

    /// The number of files in the pack folder, of any kind.
    fn beside_packs(&self) -> usize {
        fs::read_dir(self.path.join(".git/objects/pack")).expect("the packs").count()
    }

    fn staging_folders(&self) -> usize {
        self.packs("staging").len()
    }

    /// The number of commits on the branch that introduce `path`.
    fn introductions(&self, history: &History, path: &str) -> usize {
        self.git(&["log", "--format=%H", "--diff-filter=A", history.branch(), "--", path]).lines().count()
    }
}

/// The folder of temporary files in the private folder of the home at `path`.
fn staging(path: &Path) -> PathBuf {
    let home = crate::fs::Dir::open(path).expect("a home");
    crate::private::settle(&home, || true).expect("it can be moved");
    let private = crate::private::make_private(&home).expect("it can be made");
    private.make_folder("tmp").expect("it can be made").path().to_owned()
}

fn git_in(folder: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(folder);
    command.args(["-c", "user.name=Somebody", "-c", "user.email=some@body"]).args(args).stdin(Stdio::null());
    let output = command.output().expect("the git program");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn options() -> HistoryOptions {
    let brief = Duration::from_millis(60);
    HistoryOptions { lock_wait: brief, lock_stale_after: Duration::from_secs(5), ..HistoryOptions::default() }
}

fn record(path: &str, text: &str) -> Intent {
    let learning = Learning {
        title: format!("about {path}"),
        domain: "d".to_owned(),
        severity: Severity::LEAST,
        tags: String::new(),
        summary: String::new(),
        ..Learning::default()
    };
    Intent {
        id: RecordId::new(),
        created_at: Timestamp::UNIX_EPOCH,
        key: None,
        provenance: Provenance::default(),
        record: Record::Failure(learning),
        amended: None,
        files: vec![page(path, text)],
        from: None,
    }
}

fn page(path: &str, text: &str) -> FileImage {
    FileImage { path: path.to_owned(), text: text.to_owned() }
}

fn position(offset: u64) -> Position {
    Position { segment: SegmentId(Uuid::from_u128(3)), offset, checksum: 1 }
}

fn commit(history: &History, records: &[Intent], pages: &[FileImage]) -> Result<Committed, Error> {
    let records: Vec<&Intent> = records.iter().collect();
    let position = position(records.len() as u64);
    history.commit(&NewCommit {
        records: &records,
        pages,
        change: None,
        begins: false,
        home: HOME,
        journal: JOURNAL,
        position,
    })
}

fn keep(history: &History, records: &[Intent]) -> (CommitId, usize) {
    match commit(history, records, &[]).expect("a commit") {
        Committed::New { commit, records, .. } => (commit, records),
        Committed::Nothing => panic!("there was something to commit"),
    }
}

const ONE: &str = "memory/failures/2026/01/02/one-00000001.md";
const TWO: &str = "memory/failures/2026/01/02/two-00000002.md";

fn three_records() -> Vec<Intent> {
    vec![record(ONE, "one\n"), record(TWO, "two\n"), record("experiments/active/x-3/log.md", "three\n")]
}
