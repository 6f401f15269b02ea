//! The history against real repositories, and against what the git program makes of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::journal::Replaced;
use crate::model::position::{Position, SegmentId};
use crate::model::{FileImage, HomeId, Intent, JournalId, Learning, Provenance, Record, RecordId, Severity};

const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
const HOME: HomeId = HomeId(Uuid::from_u128(8));

struct Home {
    _root: TempDir,
    path: PathBuf,
}

impl Home {
    /// A folder with what init guarantees, its identity too, and no repository.
    fn empty() -> Home {
        let root = tempfile::tempdir().expect("a folder for the test");
        let path = root.path().join("home");
        fs::create_dir_all(path.join(".indelible/tmp")).expect("the home's own folder");
        fs::write(path.join(".indelible/home.json"), format!("{{\"version\":1,\"id\":\"{HOME}\"}}")).expect("its id");
        Home { _root: root, path }
    }

    fn ours() -> (Home, History) {
        let home = Home::empty();
        let (history, made) = home.init().expect("a new home");
        assert!(made);
        (home, history)
    }

    /// Somebody's repository with a commit, a staged change and a branch of theirs.
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

    /// How many files there are among the packs, whatever they are.
    fn beside_packs(&self) -> usize {
        fs::read_dir(self.path.join(".git/objects/pack")).expect("the packs").count()
    }

    fn staging_folders(&self) -> usize {
        self.packs("staging").len()
    }

    /// How many commits of the branch introduce `path`.
    fn introductions(&self, history: &History, path: &str) -> usize {
        self.git(&["log", "--format=%H", "--diff-filter=A", history.branch(), "--", path]).lines().count()
    }
}

/// The folder of temporary files in the private folder of the home at `path`, where that belongs.
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
    };
    Intent {
        id: RecordId::new(),
        created_at: Timestamp::UNIX_EPOCH,
        key: None,
        provenance: Provenance::default(),
        record: Record::Failure(learning),
        amended: None,
        files: vec![page(path, text)],
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
    history.commit(&Batch { records: &records, pages, home: HOME, journal: JOURNAL, position })
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

#[test]
fn a_new_home_is_a_repository_to_every_git_command_that_reads() {
    let (home, history) = Home::ours();
    assert_eq!((history.branch(), history.is_owned()), ("refs/heads/main", true));
    assert_eq!(history.tip().expect("a tip"), None);
    let mode = |path: &str| fs::metadata(home.path.join(path)).expect("made").permissions().mode() & 0o777;
    assert_eq!((mode(".git"), mode(".git/objects/pack"), mode(".git/config")), (0o700, 0o700, 0o600));
    assert!(!home.path.join(".git/hooks").exists());
    assert_eq!(commit(&history, &[], &[]).expect("nothing to do"), Committed::Nothing);

    let (id, records) = keep(&history, &three_records());
    assert_eq!(records, 3);
    home.fsck();
    assert_eq!(home.git(&["rev-parse", "HEAD"]).trim(), id.to_string());
    assert_eq!(home.git(&["show", &format!("HEAD:{ONE}")]), "one\n");
    assert_eq!(home.git(&["ls-tree", "HEAD", ONE]).split(' ').next(), Some("100644"));
    assert_eq!(
        home.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>"]).trim(),
        "indelible <indelible@localhost> indelible <indelible@localhost>"
    );
    assert!(home.git(&["log", "-1", "--format=%B"]).starts_with("Record 3 failures\n\n- failure: about memory"));
    assert_eq!(
        home.git(&["log", "-1", "--format=%(trailers:key=Indelible-Journal,valueonly)"]).trim(),
        JOURNAL.to_string()
    );
    home.git(&["worktree", "add", "-q", "--detach", "../tree"]);
    assert_eq!(fs::read_to_string(home.path.join("../tree").join(TWO)).expect("checked out"), "two\n");
    assert!(!home.try_git(&["add", "."]).0, "an add has no index to fight over");
    assert!(home.packs("keep").is_empty() && home.staging_folders() == 0);
    for pack in home.packs("pack").into_iter().chain(home.packs("idx")) {
        assert_eq!(fs::metadata(&pack).expect("a pack").mode() & 0o777, 0o400, "{}", pack.display());
    }
    let trailer = Trailer { home: Some(HOME), journal: JOURNAL, position: position(3) };
    assert_eq!(history.tip().expect("a tip"), Some(Tip { commit: id, trailer: Some(trailer) }));
}

#[test]
fn init_can_be_repeated_and_open_does_not_make() {
    let home = Home::empty();
    assert!(matches!(History::open(&home.path, options()), Err(Error::Missing { .. })));
    fs::create_dir(home.path.join(".git")).expect("an empty folder is nobody's repository");
    assert!(matches!(History::open(&home.path, options()), Err(Error::Missing { .. })));
    fs::create_dir(home.path.join(".indelible/tmp/git-left-by-a-crash")).expect("left");
    assert!(home.init().expect("made").1);
    let before = fs::read(home.path.join(".git/config")).expect("a configuration");
    let (history, made) = home.init().expect("repeated");
    assert!(!made && history.is_owned());
    assert_eq!(fs::read(home.path.join(".git/config")).expect("a configuration"), before);
    assert!(
        !setup::create(&home.path, &home.path.join(".indelible/tmp"), HOME).expect("somebody was first"),
        "it was replaced"
    );
}

#[test]
fn a_batch_again_commits_nothing() {
    let (home, history) = Home::ours();
    let (id, _) = keep(&history, &three_records());
    let packs = home.packs("pack").len();
    assert_eq!(commit(&history, &three_records(), &[]).expect("again"), Committed::Nothing);
    assert_eq!(history.tip().expect("a tip").map(|it| it.commit), Some(id));
    assert_eq!(home.packs("pack").len(), packs);
}

#[test]
fn only_what_is_new_is_named_and_a_page_replaces() {
    let (home, history) = Home::ours();
    let first = three_records();
    keep(&history, &first[..1]);
    let readme = "memory/heuristics/d/README.md";
    let committed = commit(&history, &first, &[page(readme, "a")]).expect("a commit");
    assert!(matches!(committed, Committed::New { records: 2, pages: 1, .. }), "{committed:?}");
    let message = home.git(&["log", "-1", "--format=%B"]);
    assert!(message.starts_with("Record 2 failures\n") && !message.contains(ONE), "{message}");

    let edited = [record(ONE, "not what is there")];
    let committed = commit(&history, &edited, &[page(readme, "b")]).expect("a commit");
    assert!(matches!(committed, Committed::New { records: 0, pages: 1, .. }), "{committed:?}");
    assert!(home.git(&["log", "-1", "--format=%B"]).starts_with("Render 1 page\n"));
    assert_eq!(
        history.read(ONE).expect("read").as_deref(),
        Some(&b"one\n"[..]),
        "a record's file in the tree is its owner's"
    );
    assert_eq!(history.read(readme).expect("read").as_deref(), Some(&b"b"[..]));
    assert_eq!(commit(&history, &[], &[page(readme, "b")]).expect("the same page"), Committed::Nothing);
    home.fsck();
}

#[test]
fn their_index_head_and_branches_stay_byte_for_byte() {
    let (home, history) = Home::theirs();
    assert_eq!((history.branch(), history.is_owned()), ("refs/heads/indelible", false));
    let seen = || {
        let status = home.git(&["--no-optional-locks", "status", "--porcelain"]);
        let index = fs::metadata(home.path.join(".git/index")).expect("an index");
        let files = [".git/index", ".git/HEAD", ".git/refs/heads/trunk", ".git/refs/heads/side", ".git/config"];
        let bytes = files.map(|it| fs::read(home.path.join(it)).expect("theirs"));
        (status, index.ino(), index.mtime_nsec(), bytes)
    };
    let before = seen();
    keep(&history, &three_records());
    keep(&history, &[record("memory/failures/2026/01/03/four-4.md", "four")]);
    assert!(seen() == before, "something of theirs changed");
    assert_eq!(before.0.trim(), "A  staged.txt");
    home.fsck();
    assert_eq!(home.git(&["merge-base", "trunk", "indelible"]), home.git(&["rev-parse", "trunk"]));
    assert_eq!(home.git(&["show", "indelible:memory/old.md"]), "old");
    assert_eq!(
        home.git(&["diff", "--name-status", "trunk", "indelible"]).lines().filter(|it| !it.starts_with('A')).count(),
        0
    );
}

#[test]
fn what_we_write_is_excluded_once_and_what_is_there_stays() {
    let home = Home::empty();
    fs::remove_dir_all(home.path.join(".indelible")).expect("the private folder is elsewhere");
    home.git(&["init", "-q"]);
    let staging = home.path.join(".git/indelible/tmp");
    fs::create_dir_all(&staging).expect("it can be made");
    let init = || History::init(&home.path, &staging, HOME, options()).expect("adopted");
    let exclude = home.path.join(".git/info/exclude");
    let list = || fs::read_to_string(&exclude).expect("a list");
    // The lines of before go where they stand together; one that was there before ours stays.
    fs::write(&exclude, "mine\n/memory/\r\n*.o\n/experiments/\n/.indelible/\n").expect("their own list");
    init();
    let start = "mine\n/memory/\r\n*.o\n/memory/index.db\n";
    assert!(
        list().starts_with(start) && list().ends_with("[0-9a-f]/\n") && !list().contains("/.indelible/"),
        "{}",
        list()
    );
    let expected = list();
    init();
    assert_eq!(list(), expected);
    assert_eq!(fs::read_dir(home.path.join(".git/info")).expect("info").count(), 1);
}

#[test]
fn what_a_work_tree_tracks_is_not_excluded() {
    let (home, _) = Home::theirs();
    let folders = ["memory/failures/2020/01/02", "memory/heuristics/d/2020/01/02"];
    folders.iter().for_each(|folder| home.write(&format!("{folder}/theirs.md"), "theirs"));
    let exclude = home.path.join(".git/info/exclude");
    let lines = || fs::read_to_string(&exclude).expect("a list");
    assert!(lines().contains("/memory/failures/["), "{}", lines());
    home.git(&["add", "-f", "memory"]);
    fs::write(&exclude, "").expect("their own list");
    home.init().expect("adopted again");
    assert!(!lines().contains("/memory/failures/[") && !lines().contains("/memory/heuristics/*/["), "{}", lines());
    assert!(
        lines().contains("/memory/successes/[") && lines().contains("/memory/heuristics/*/README.md"),
        "{}",
        lines()
    );
}

#[test]
fn an_unborn_head_has_no_parent_to_give() {
    let home = Home::empty();
    home.git(&["init", "-q", "-b", "trunk"]);
    let (history, _) = home.init().expect("adopted");
    keep(&history, &three_records());
    home.fsck();
    assert_eq!(home.git(&["rev-list", "--count", "indelible"]).trim(), "1");
    assert!(!home.try_git(&["rev-parse", "--verify", "-q", "trunk"]).0, "their branch was born");
}

#[test]
fn a_linked_worktree_shares_its_repository() {
    let (theirs, _) = Home::theirs();
    let linked = theirs.path.with_file_name("linked");
    theirs.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    fs::create_dir_all(linked.join(".indelible/tmp")).expect("the home's own folder");
    let (history, made) = History::init(&linked, &staging(&linked), HOME, options()).expect("adopted");
    assert!(!made);
    keep(&history, &three_records());
    theirs.fsck();
    assert_eq!(theirs.git(&["show", &format!("indelible:{ONE}")]), "one\n");
    assert_eq!(git_in(&linked, &["status", "--porcelain"]), (true, String::new()));
    assert_eq!(history.missing(&[ONE]).expect("looked"), Vec::<&str>::new());
}

#[test]
fn a_packed_branch_moves_on() {
    let (home, history) = Home::theirs();
    let (first, _) = keep(&history, &three_records());
    home.git(&["pack-refs", "--all", "--prune"]);
    assert!(!home.path.join(".git/refs/heads/indelible").exists());
    assert_eq!(history.tip().expect("a tip").map(|it| it.commit), Some(first));
    fs::write(home.path.join(".git/packed-refs.lock"), "").expect("git at work on it");
    keep(&history, &[record("memory/failures/2026/01/03/four-4.md", "four")]);
    fs::remove_file(home.path.join(".git/packed-refs.lock")).expect("git is done");
    assert_eq!(home.git(&["rev-list", "--count", "trunk..indelible"]).trim(), "2");
    home.fsck();
}

#[test]
fn kinds_of_repository_that_we_do_not_write_are_refused_by_name() {
    for (args, word) in [
        (&["init", "-q", "--object-format=sha256"][..], "sha256"),
        (&["init", "-q", "--ref-format=reftable"], "refstorage"),
    ] {
        let home = Home::empty();
        home.git(args);
        let error = home.init().expect_err("it was opened");
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.is_unsupported() && !error.is_transient(),
            "{error:?}"
        );
        assert!(error.to_string().to_lowercase().contains(word), "{error}");
    }
    let home = Home::empty();
    fs::write(home.path.join(".git"), "gitdir: /nonexistent/there\n").expect("a link to nowhere");
    assert!(home.init().expect_err("it was opened").is_unsupported());
}

#[test]
fn extensions_that_change_nothing_for_us_are_allowed() {
    let (home, history) = Home::theirs();
    home.git(&["config", "core.repositoryformatversion", "1"]);
    home.git(&["config", "extensions.partialClone", "origin"]);
    home.git(&["config", "extensions.worktreeConfig", "true"]);
    home.git(&["config", "extensions.preciousObjects", "true"]);
    keep(&history, &three_records());
}

#[test]
fn a_repository_of_another_user_is_refused() {
    let (home, history) = Home::theirs();
    if !rustix::process::geteuid().is_root() {
        // Only root can give a folder away; the same check is then made on one that is root's.
        assert!(matches!(setup::open(Path::new("/")), Err(Error::ForeignOwner { .. } | Error::Unsupported { .. })));
        return;
    }
    for path in [".", ".git"] {
        std::os::unix::fs::chown(home.path.join(path), Some(12345), None).expect("given away");
    }
    let error = history.tip().expect_err("it was opened");
    assert!(matches!(error, Error::ForeignOwner { .. }) && error.is_unsupported(), "{error:?}");
}

#[test]
fn a_rewound_branch_is_noticed_and_filled_again() {
    let (home, history) = Home::ours();
    assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Absent);
    let (first, _) = keep(&history, &[record(ONE, "one\n")]);
    let (second, _) = keep(&history, &[record(TWO, "two\n")]);
    assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { commit: second });
    home.git(&["update-ref", "refs/heads/main", &first.to_string()]);
    assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Rewound { commit: second, tip: Some(first) });
    assert_eq!(history.missing(&[ONE, TWO]).expect("looked"), [TWO]);
    home.git(&["gc", "-q", "--prune=now"]);
    home.git(&["cat-file", "-e", &second.to_string()]);
    let (third, _) = keep(&history, &[record(ONE, "one\n"), record(TWO, "two\n")]);
    assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { commit: third });

    home.git(&["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Rewound { commit: third, tip: None });
    home.git(&["update-ref", "refs/heads/main", &third.to_string()]);
    let tree = home.git(&["rev-parse", "main^{tree}"]);
    let other = home.git(&["commit-tree", tree.trim(), "-m", "squashed by its owner"]);
    home.git(&["update-ref", "refs/heads/main", other.trim()]);
    assert_eq!(commit(&history, &[record(ONE, "one\n")], &[]).expect("all there"), Committed::Nothing);
    assert!(
        matches!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { commit } if commit.to_string() == other.trim())
    );
    assert_eq!(history.tip().expect("a tip").and_then(|it| it.trailer), None);
}

#[test]
fn a_branch_that_was_removed_is_not_made_again_and_the_history_goes_on() {
    let (home, history) = Home::theirs();
    keep(&history, &three_records());
    assert_eq!(history.advice().expect("looked"), None);
    home.git(&["commit", "-q", "-m", "staged"]);
    home.git(&["merge", "-q", "--no-edit", "indelible"]);
    home.git(&["branch", "-q", "-D", "indelible"]);
    assert!(matches!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { .. }));
    keep(&history, &[record("memory/failures/2026/01/03/four-4.md", "four")]);
    let (history, _) = home.init().expect("as a worker does when it starts");
    assert!(!home.try_git(&["rev-parse", "-q", "--verify", "indelible"]).0, "it was made again");
    assert_eq!(history.missing(&[ONE, TWO]).expect("looked"), Vec::<&str>::new());
    let advice = history.advice().expect("looked").expect("its owner wants to know");
    let command = advice.split("again: git ").nth(1).expect("how to have it again");
    home.git(&command.split(' ').collect::<Vec<_>>());
    assert_eq!(history.advice().expect("looked"), None);
    let (last, _) = keep(&history, &[record("memory/failures/2026/01/03/five-5.md", "five")]);
    assert_eq!(home.git(&["rev-parse", "indelible"]).trim(), last.to_string(), "it does not move on");
    home.fsck();
}

#[test]
fn what_others_add_while_we_write_is_kept() {
    let (home, history) = Home::ours();
    let (first, _) = keep(&history, &[record(ONE, "one\n")]);
    let (ours, _) = keep(&history, &[record(TWO, "two\n")]);
    // Somebody moves the branch: a value that was read before does not match, and nothing is overwritten.
    home.git(&["update-ref", "refs/heads/main", &first.to_string()]);
    let repository = history.repository().expect("opened");
    let stale = refs::Expected::Exactly(Some(ours.0));
    assert!(!refs::move_to(&history, &repository, history.branch(), stale, ours.0).expect("compared"));
    let absent = refs::Expected::Exactly(None);
    assert!(!refs::move_to(&history, &repository, history.branch(), absent, ours.0).expect("compared"));
    assert_eq!(home.git(&["rev-parse", "main"]).trim(), first.to_string());
    assert!(!home.path.join(".git/refs/heads/main.lock").exists());
}

#[test]
fn commits_from_many_threads_lose_nothing() {
    let (home, history) = Home::ours();
    let history = History { options: HistoryOptions { lock_wait: Duration::from_secs(60), ..options() }, ..history };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let history = &history;
            scope.spawn(move || {
                for number in 0..5 {
                    let made = record(&format!("memory/failures/2026/01/02/r-{thread}{number}.md"), "x");
                    while let Err(error) = commit(history, std::slice::from_ref(&made), &[]) {
                        assert!(matches!(error, Error::Contended { .. } | Error::Locked { .. }), "{error:?}");
                    }
                    history.sweep().expect("others' files are left alone");
                }
            });
        }
    });
    assert_eq!(home.git(&["ls-tree", "-r", "--name-only", "main"]).lines().count(), 20);
    assert_eq!(home.git(&["rev-list", "--count", "main"]).trim(), "20");
    assert!(home.packs("keep").is_empty() && home.staging_folders() == 0);
    home.fsck();
}

#[test]
fn a_held_lock_is_an_error_with_its_name() {
    let (home, history) = Home::ours();
    let lock = home.path.join(".git/refs/heads/main.lock");
    fs::write(&lock, "").expect("somebody's lock");
    let error = commit(&history, &three_records(), &[]).expect_err("it was ignored");
    assert!(error.is_transient());
    assert!(
        matches!(&error, Error::Locked { file, .. } if *file == fs::canonicalize(&lock).expect("there")),
        "{error:?}"
    );
    assert!(home.packs("keep").is_empty() && home.staging_folders() == 0, "an error left something behind");
    fs::remove_file(&lock).expect("given back");
    keep(&history, &three_records());
    home.fsck();
}

#[test]
fn a_stale_lock_is_moved_aside_and_a_live_one_is_not() {
    if !can_look_at_processes() {
        return;
    }
    let (home, history) = Home::ours();
    let options = HistoryOptions { lock_stale_after: Duration::from_millis(20), ..options() };
    let history = History { options, ..history };
    let lock = home.path.join(".git/refs/heads/main.lock");
    fs::write(&lock, "of a dead process").expect("a lock");
    let open = fs::File::open(&lock).expect("held open");
    assert!(matches!(commit(&history, &three_records(), &[]), Err(Error::Locked { .. })), "it is open in a process");
    drop(open);

    let mut git = Command::new("git")
        .args(["cat-file", "--batch"])
        .current_dir(&home.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("git");
    let comm = format!("/proc/{}/comm", git.id());
    while fs::read_to_string(&comm).expect("it runs").trim() != "git" {}
    assert!(matches!(commit(&history, &three_records(), &[]), Err(Error::Locked { .. })), "a git program is at work");
    drop(git.stdin.take());
    git.wait().expect("it ended");

    keep(&history, &three_records());
    let aside = fs::read_dir(home.path.join(".git")).expect("the repository").flatten();
    let aside: Vec<_> =
        aside.filter(|it| it.file_name().to_string_lossy().starts_with("indelible-stale-lock-")).collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read_to_string(aside[0].path()).expect("kept"), "of a dead process");
    home.fsck();
}

/// Makes the repository look as after a power cut: its claim is from another boot, and these locks are on disk.
fn cut_power(home: &Home, locks: &[&str]) -> Vec<PathBuf> {
    fs::write(home.path.join(".git/indelible-lock"), "another boot\n").expect("a claim");
    let lock = |name: &&str| {
        let path = home.path.join(".git").join(name);
        fs::write(&path, "").expect("the lock is free");
        path
    };
    locks.iter().map(lock).collect()
}

#[test]
fn a_lock_from_before_the_boot_is_waited_for_by_no_commit() {
    if !can_look_at_processes() {
        return;
    }
    for claim in ["another boot\n1:2", "", "1:2:3"] {
        let (home, history) = Home::ours();
        keep(&history, &[record("memory/first.md", "first")]);
        let locks =
            cut_power(&home, &["refs/heads/main.lock", "refs/heads/other.lock", "packed-refs.lock", "HEAD.lock"]);
        fs::write(&locks[0], "0123\n").expect("it is ours to write");
        fs::write(home.path.join(".git/indelible-lock"), claim).expect("a claim");
        keep(&history, &three_records());
        assert_eq!(history.take_waits(), 0, "{claim:?}");
        assert!(locks.iter().all(|lock| !lock.exists()), "{claim:?}: a lock was left");
        assert_eq!(stale_locks(&home), 0, "{claim:?}: there was nothing to keep");
        home.fsck();
    }
}

#[test]
fn after_a_boot_the_locks_of_others_stay_in_their_repository() {
    if !can_look_at_processes() {
        return;
    }
    let (home, history) = Home::theirs();
    keep(&history, &[record("memory/first.md", "first")]);
    let locks =
        cut_power(&home, &["refs/heads/indelible.lock", "packed-refs.lock", "index.lock", "refs/heads/other.lock"]);
    keep(&history, &three_records());
    assert_eq!(history.take_waits(), 0);
    assert_eq!(locks.iter().map(|lock| lock.exists()).collect::<Vec<_>>(), [false, true, true, true]);
}

#[test]
fn after_a_boot_a_git_program_at_work_keeps_its_lock_and_a_pack_writer_of_ours_does_not() {
    if !can_look_at_processes() {
        return;
    }
    let (home, history) = Home::ours();
    keep(&history, &[record("memory/first.md", "first")]);
    let at_work = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args(args).current_dir(&home.path).stdin(Stdio::piped()).stdout(Stdio::null());
        let git = git.spawn().expect("git");
        let comm = format!("/proc/{}/comm", git.id());
        while fs::read_to_string(&comm).expect("it runs").trim() != "git" {}
        git
    };
    let end = |mut git: std::process::Child| {
        drop(git.stdin.take());
        git.wait().expect("it ended")
    };

    let git = at_work(&["cat-file", "--batch"]);
    let locks = cut_power(&home, &["refs/heads/main.lock"]);
    assert!(matches!(commit(&history, &three_records(), &[]), Err(Error::Locked { .. })), "its lock was taken");
    end(git);
    let staging = home.path.join(".git/objects/pack/indelible-1.staging");
    fs::create_dir(&staging).expect("a folder");
    let git = at_work(&["pack-objects", "-q", staging.join("pack").to_str().expect("it is text")]);
    history.take_waits();
    keep(&history, &three_records());
    assert_eq!(history.take_waits(), 0, "the lock could still have been another program's");
    assert!(!locks[0].exists());
    end(git);
    home.fsck();
}

/// Of the processes that may hold it, `/proc` shows none.
#[test]
#[cfg(target_os = "linux")]
fn a_lock_stays_where_processes_cannot_be_looked_at() {
    let of = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mounted = |what: &str| of(&["unshare", "-m", "sh", "-c", &format!("{what} && exec \"$0\" \"$@\"")]);
    let places = [
        of(&["unshare", "-pf", "--mount-proc"]),
        of(&["unshare", "-pf"]),
        mounted("umount -l /proc"),
        mounted("mount -t tmpfs none /proc"),
        mounted("mount -t proc -o hidepid=2 none /proc"),
    ];
    for place in places {
        if !Command::new(&place[0]).args(&place[1..]).arg("true").output().is_ok_and(|it| it.status.success()) {
            let _ = std::io::stderr().write_all(format!("\nSKIPPED: {place:?} is not possible here\n").as_bytes());
            continue;
        }
        for claim in [format!("{}\n", crate::fs::os::boot_id()), "another boot\n".to_owned()] {
            let (home, history) = Home::ours();
            keep(&history, &[record("memory/first.md", "first")]);
            let lock = cut_power(&home, &["refs/heads/main.lock"]).remove(0);
            fs::write(home.path.join(".git/indelible-lock"), &claim).expect("a claim");
            let mut child = Command::new(&place[0]);
            child.args(&place[1..]).arg(std::env::current_exe().expect("this program"));
            child.args(["--exact", "target::history::tests::child_that_crashes"]);
            let output = child.env("HISTORY_TEST_HOME", &home.path).env("HISTORY_TEST_ACTION", "meet a lock").output();
            let output = output.expect("a process");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{place:?}, {claim:?}: {said}");
            assert!(lock.exists(), "{place:?}, {claim:?}: it was taken away");
        }
    }
}

#[test]
fn anchors_of_replaced_ids_go_once_the_new_one_stands() {
    let [old, moved, gone] = [1, 2, 3].map(|nth| JournalId(Uuid::from_u128(nth)));
    let replaced = [(old, false), (moved, true), (gone, false)].map(|(id, elsewhere)| Replaced { id, elsewhere });
    let anchor = |home: &Home, id: JournalId| home.git(&["update-ref", &format!("refs/indelible/{id}"), "HEAD"]);
    for (guest, packed, worktree, left) in [
        (false, false, false, 1),
        (false, true, false, 1),
        (false, false, true, 2),
        (true, false, false, 2),
        (true, true, false, 3),
    ] {
        let (home, history) = if guest { Home::theirs() } else { Home::ours() };
        let anchors = |home: &Home| {
            let names = home.git(&["for-each-ref", "--format=%(refname)", "refs/indelible/"]);
            names.lines().filter(|name| *name != history.reference()).count()
        };
        keep(&history, &[record("memory/first.md", "first")]);
        home.git(&["update-ref", "-d", &format!("refs/indelible/{JOURNAL}")]);
        anchor(&home, old);
        anchor(&home, moved);
        if packed {
            home.git(&["pack-refs", "--all"]);
        }
        if worktree {
            fs::create_dir_all(home.path.join(".git/worktrees/linked")).expect("a folder");
        }
        let left_over = history.forget_anchors(JOURNAL, &replaced).expect("looked");
        assert_eq!((left_over.as_slice(), anchors(&home)), (&replaced[..], 2), "there is no new anchor yet");
        keep(&history, &three_records());
        assert_eq!(history.forget_anchors(JOURNAL, &replaced).expect("removed"), [], "guest {guest}, packed {packed}");
        assert_eq!(anchors(&home), left, "guest {guest}, packed {packed}, worktree {worktree}");
        assert!(matches!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { .. }));
    }
}

/// Whether a lock can be found stale here by looking at processes.
fn can_look_at_processes() -> bool {
    let can = crate::fs::os::shows_every_process();
    if !can {
        let _ = std::io::stderr().write_all(b"\nSKIPPED: not every process is seen here\n");
    }
    can
}

fn stale_locks(home: &Home) -> usize {
    let entries = fs::read_dir(home.path.join(".git")).expect("the repository").flatten();
    entries.filter(|it| it.file_name().to_string_lossy().starts_with("indelible-stale-lock-")).count()
}

/// Its holder died before the clock was set back by a year.
#[test]
fn a_stale_lock_from_the_future_is_stale_all_the_same() {
    if !can_look_at_processes() {
        return;
    }
    let (home, history) = Home::ours();
    let options = HistoryOptions { lock_stale_after: Duration::from_millis(20), ..options() };
    let history = History { options, ..history };
    let lock = fs::File::create(home.path.join(".git/refs/heads/main.lock")).expect("a lock");
    lock.set_modified(std::time::SystemTime::now() + Duration::from_secs(365 * 24 * 3600))
        .expect("a time like any other");
    drop(lock);
    keep(&history, &three_records());
    home.fsck();
}

#[test]
fn missing_tells_a_tree_from_a_file() {
    let (home, history) = Home::theirs();
    assert_eq!(history.missing(&[ONE]).expect("no branch"), [ONE]);
    keep(&history, &three_records());
    let asked =
        ["memory/old.md", TWO, "memory/failures/2026/01/02/three-3.md", "memory/old.md/x.md", "nowhere/x.md", ONE];
    assert_eq!(history.missing(&asked).expect("looked"), [asked[2], asked[3], asked[4]]);
    home.fsck();
}

#[test]
fn ten_thousand_records_are_committed_and_found() {
    let (home, history) = Home::ours();
    let path = |number: usize| format!("memory/observations/2026/01/{:02}/r-{number:08x}.md", number % 5);
    let records: Vec<Intent> = (0..10_000).map(|number| record(&path(number), &format!("record {number}\n"))).collect();
    assert_eq!(keep(&history, &records).1, 10_000);
    let mut paths: Vec<String> = (0..10_000).map(path).collect();
    paths.push("memory/observations/2026/01/00/none.md".to_owned());
    let asked: Vec<&str> = paths.iter().map(String::as_str).collect();
    let start = std::time::Instant::now();
    assert_eq!(history.missing(&asked).expect("looked"), ["memory/observations/2026/01/00/none.md"]);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let mut seen = 0;
    history
        .for_each_file(|file| {
            seen += usize::from(file.read()?.starts_with(b"record "));
            Ok::<(), Error>(())
        })
        .expect("walked");
    assert_eq!(seen, 10_000);
    assert_eq!(history.check_files(true).expect("checked"), []);
    assert!(home.git(&["log", "-1", "--format=%B"]).contains("\n- and 9000 more\n"));
    home.fsck();
}

#[test]
fn what_its_owner_removed_was_still_introduced() {
    let (home, history) = Home::theirs();
    keep(&history, &[record(ONE, "one\n")]);
    keep(&history, &[record(TWO, "two\n")]);
    home.git(&["worktree", "add", "-q", "../tree", "indelible"]);
    let tree = home.path.join("../tree");
    assert!(git_in(&tree, &["rm", "-q", ONE]).0 && git_in(&tree, &["commit", "-q", "-m", "gone"]).0);
    // A side branch brings a path in that the first parent never had.
    assert!(git_in(&tree, &["checkout", "-q", "-b", "feature", "HEAD~1"]).0);
    fs::create_dir_all(tree.join("memory/failures/2026/02")).expect("a folder");
    fs::write(tree.join("memory/failures/2026/02/side.md"), "side").expect("a file");
    assert!(git_in(&tree, &["add", "-f", "memory"]).0 && git_in(&tree, &["commit", "-q", "-m", "side"]).0);
    assert!(
        git_in(&tree, &["checkout", "-q", "indelible"]).0 && git_in(&tree, &["merge", "-q", "--no-edit", "feature"]).0
    );
    keep(&history, &[record("experiments/active/x/log.md", "x")]);

    assert_eq!(history.missing(&[ONE, TWO]).expect("looked"), [ONE]);
    let names = [
        ONE,
        TWO,
        "memory/failures/2026/02/side.md",
        "memory/old.md",
        "memory/failures/2026/02/none.md",
        "theirs.txt/x.md",
    ];
    let mut candidates: BTreeSet<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let mut told = 0;
    let found = history.introduced(&mut candidates, |commits| told = commits).expect("walked");
    assert_eq!(found, names[..4].iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(candidates, names[4..].iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(told.to_string(), home.git(&["rev-list", "--count", history.reference()]).trim());
    assert_eq!(history.read(ONE).expect("read"), None);
    assert_eq!(home.introductions(&history, TWO), 1);
}

/// Adds entries to the root of their HEAD as their owner might have, by mode and object.
fn plant(home: &Home, entries: &[(&str, &str, &str)]) {
    let blob = home.git(&["rev-parse", "HEAD:theirs.txt"]);
    for (mode, path, object) in entries {
        let object = if object.is_empty() { blob.trim() } else { object };
        home.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{object},{path}")]);
    }
    home.git(&["commit", "-q", "-m", "planted"]);
}

#[test]
fn what_is_in_a_records_way_is_named_and_the_rest_can_be_committed() {
    let (home, history) = Home::theirs();
    let commit_id = home.git(&["rev-parse", "HEAD"]);
    plant(
        &home,
        &[
            ("100644", "memory/failures", ""),
            ("160000", "memory/successes", commit_id.trim()),
            ("120000", "experiments", ""),
        ],
    );
    let records = [
        record(ONE, "one"),
        record("memory/successes/2026/s.md", "s"),
        record("experiments/active/e/log.md", "e"),
        record("memory/observations/o.md", "o"),
    ];
    let error = commit(&history, &records, &[]).expect_err("it was overwritten");
    assert!(!error.is_transient());
    let Error::Obstructed { mut obstacles } = error else { panic!("{error:?}") };
    obstacles.sort_by(|a, b| a.at.cmp(&b.at));
    let told: Vec<_> = obstacles.iter().map(|it| (it.at.as_str(), it.found, it.path.as_str())).collect();
    let expected = [
        ("experiments", "a symbolic link", "experiments/active/e/log.md"),
        ("memory/failures", "a file", ONE),
        ("memory/successes", "a submodule", "memory/successes/2026/s.md"),
    ];
    assert_eq!(told, expected);
    assert_eq!(history.tip().expect("a tip"), None, "something was committed");
    keep(&history, &records[3..]);
    assert_eq!(home.git(&["ls-tree", "--name-only", "indelible", "memory/"]).lines().count(), 4);
    home.fsck();
}

#[test]
fn a_page_replaces_files_alone_and_a_batch_cannot_contradict_itself() {
    let (home, history) = Home::theirs();
    let readme = "memory/heuristics/d/README.md";
    plant(&home, &[("120000", readme, ""), ("100755", "memory/x.md", "")]);
    let error = commit(&history, &[], &[page(readme, "r")]).expect_err("it was overwritten");
    assert!(matches!(&error, Error::Obstructed { obstacles } if obstacles[0].at == readme), "{error:?}");
    commit(&history, &[], &[page("memory/x.md", "x")]).expect("a file is replaced");
    assert!(home.git(&["ls-tree", "indelible", "memory/x.md"]).starts_with("100644"));
    let twice = [record("memory/a.md", "first"), record("memory/a.md", "second")];
    keep(&history, &twice);
    assert_eq!(history.read("memory/a.md").expect("read").as_deref(), Some(&b"first"[..]));
    for paths in [["memory/b.md", "memory/b.md/c.md"], ["memory/b.md/c.md", "memory/b.md"]] {
        let error = commit(&history, &paths.map(|it| record(it, "x")), &[]).expect_err("both cannot be");
        assert!(matches!(error, Error::Obstructed { .. }), "{error:?}");
    }
    for path in
        ["../x.md", "memory/.GIT/x.md", "memory/git~1/x.md", "memory/.g\u{200c}it/x.md", "memory/.git. /x.md", "x.md"]
    {
        let error = commit(&history, &[record(path, "x")], &[]).expect_err("it was let through");
        assert!(matches!(error, Error::BadPath(_)) && !error.is_transient(), "{path}: {error:?}");
    }
    home.fsck();
}

#[test]
fn names_of_theirs_that_are_not_text_are_carried_over() {
    let home = Home::empty();
    home.git(&["init", "-q"]);
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"memory/\xff\xfe.md");
    home.write("memory/a", "a");
    fs::write(home.path.join(name), "odd").expect("a file with an odd name");
    home.git(&["add", "-A", "memory"]);
    home.git(&["commit", "-q", "-m", "odd"]);
    let (history, _) = home.init().expect("adopted");
    keep(&history, &three_records());
    assert_eq!(
        home.git(&["diff", "--name-status", "HEAD", "indelible", "--", "memory"])
            .lines()
            .filter(|it| !it.starts_with('A'))
            .count(),
        0
    );
    let mut seen = 0;
    history
        .for_each_file(|_| {
            seen += 1;
            Ok::<(), Error>(())
        })
        .expect("walked");
    assert_eq!(seen, 4, "memory/a and three of ours");
    home.fsck();
}

#[test]
fn references_that_we_cannot_move_are_named() {
    let (home, history) = Home::theirs();
    let (name, head) = (history.reference().to_owned(), home.git(&["rev-parse", "HEAD"]));
    home.git(&["update-ref", &format!("{name}/beneath"), head.trim()]);
    for _ in 0..2 {
        let error = commit(&history, &three_records(), &[]).expect_err("there is no room");
        assert!(matches!(&error, Error::Reference { .. }) && error.is_unsupported(), "{error:?}");
        home.git(&["pack-refs", "--all", "--prune"]);
    }
    home.git(&["update-ref", "-d", &format!("{name}/beneath")]);
    home.git(&["symbolic-ref", &name, "refs/heads/side"]);
    assert!(matches!(history.tip(), Err(Error::Reference { .. })));
    assert!(matches!(commit(&history, &three_records(), &[]), Err(Error::Reference { .. })));
    assert_eq!(home.git(&["rev-parse", "side"]), home.git(&["rev-parse", "trunk"]));
    home.git(&["symbolic-ref", "-d", &name]);
    let blob = home.git(&["rev-parse", "HEAD:theirs.txt"]);
    let file = home.path.join(".git").join(&name);
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it can be made");
    fs::write(&file, &blob).expect("a reference to a file");
    assert!(matches!(history.tip(), Err(Error::Reference { .. })));
    for text in ["", "nonsense", "\0\0"] {
        fs::write(&file, text).expect("a broken reference");
        assert!(matches!(history.tip(), Err(Error::Reference { .. })), "{text:?}: {:?}", history.tip());
    }
    fs::write(&file, "1".repeat(40)).expect("a reference to nothing");
    assert!(matches!(history.tip(), Err(Error::Damaged { .. })));
    assert!(matches!(commit(&history, &three_records(), &[]), Err(Error::Damaged { .. })));
}

/// Whatever the branch is to its owner, the history goes on beside it, and nothing of theirs moves.
#[test]
fn a_branch_that_we_cannot_move_stops_nothing() {
    let blob = |home: &Home| home.git(&["rev-parse", "HEAD:theirs.txt"]);
    let file = |home: &Home| home.path.join(".git/refs/heads/indelible");
    let spoil: [&dyn Fn(&Home); 5] = [
        &|home| drop(home.git(&["symbolic-ref", "refs/heads/indelible", "refs/heads/side"])),
        &|home| fs::write(file(home), blob(home)).expect("a branch at a file"),
        &|home| fs::write(file(home), "nonsense").expect("a broken branch"),
        &|home| fs::write(file(home), "1".repeat(40)).expect("a branch at nothing"),
        &|home| fs::write(file(home).with_extension("lock"), "").expect("a lock of theirs"),
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        for before in [true, false] {
            let (home, mut history) = Home::theirs();
            if before {
                keep(&history, &three_records());
            }
            spoil(&home);
            let text = fs::read(file(&home)).ok();
            if !before {
                history = home.init().expect("adopted").0;
            }
            keep(&history, &[record("memory/failures/2026/01/03/four-4.md", "four")]);
            assert_eq!(fs::read(file(&home)).ok(), text, "case {number}, {before}: it was changed");
            assert_eq!(history.missing(&["memory/failures/2026/01/03/four-4.md"]).expect("looked"), Vec::<&str>::new());
        }
    }
}

#[test]
fn damage_is_found_and_never_a_panic() {
    let (home, history) = Home::ours();
    keep(&history, &three_records());
    assert_eq!(history.check_files(true).expect("checked"), []);
    home.git(&["gc", "-q", "--prune=now"]);
    // Loose objects, so that one can be removed and one spoilt.
    let pack = home.packs("pack").remove(0);
    let apart = home.path.with_file_name("apart.pack");
    fs::rename(&pack, &apart).expect("moved");
    fs::remove_file(pack.with_extension("idx")).expect("removed");
    let unpacked = Command::new("git")
        .args(["unpack-objects", "-q"])
        .current_dir(&home.path)
        .stdin(fs::File::open(&apart).expect("there"))
        .status();
    assert!(unpacked.expect("git").success());
    let object = |spec: &str| {
        let id = home.git(&["rev-parse", spec]);
        home.path.join(".git/objects").join(&id[..2]).join(id[2..].trim())
    };
    fs::remove_file(object(&format!("main:{ONE}"))).expect("removed");
    let two = object(&format!("main:{TWO}"));
    fs::set_permissions(&two, fs::Permissions::from_mode(0o600)).expect("writable");
    fs::copy(object("main:experiments/active/x-3/log.md"), &two).expect("spoilt");
    let found =
        |contents| history.check_files(contents).expect("checked").into_iter().map(|it| it.path).collect::<Vec<_>>();
    assert_eq!(found(false), [ONE]);
    assert_eq!(found(true), [ONE, TWO]);
    assert!(matches!(history.read(ONE), Err(Error::Damaged { .. })));
    fs::remove_file(object("main^{tree}")).expect("removed");
    assert!(matches!(history.check_tip(), Err(Error::Damaged { .. })));
    assert!(matches!(history.missing(&[ONE]), Err(Error::Damaged { .. })));
}

#[test]
fn gc_between_the_pack_and_the_branch_loses_nothing() {
    for held in [true, false] {
        let (home, history) = Home::ours();
        keep(&history, &[record(ONE, "one\n")]);
        let two = record(TWO, "two\n");
        let made = [&two];
        let objects = commit::tests::objects_of(&history, &made);
        let ids = || objects.iter().map(|object| object.id);
        let placed = history.place(JOURNAL, &objects).expect("placed");
        if !held {
            placed.release().expect("released");
            home.git(&["gc", "-q", "--prune=now"]);
            assert!(pack::check_seen(&history, ids()).is_err(), "the .keep is of no use");
            continue;
        }
        home.git(&["gc", "-q", "--prune=now"]);
        assert_eq!(history.sweep().expect("swept"), Swept::default(), "a living process's pack was swept");
        pack::check_seen(&history, ids()).expect("still there");
        drop(placed);
        assert!(home.packs("keep").is_empty(), "an unfinished commit left its .keep");
    }
}

#[test]
fn gc_after_a_staged_pack_does_not_touch_it() {
    let (home, history) = Home::ours();
    keep(&history, &[record(ONE, "one\n")]);
    let staging = pack::Staging::create(&history, "x", &[]).expect("staged");
    let folder = home.packs("staging").remove(0);
    fs::write(folder.join("pack-1234.pack"), "x").expect("a pack");
    home.git(&["gc", "-q", "--prune=now"]);
    assert!(folder.join("pack-1234.pack").exists() && folder.join("keep").exists());
    assert_eq!(history.sweep().expect("swept"), Swept::default());
    drop(staging);
    assert_eq!(home.staging_folders(), 0);
}

#[test]
fn leftovers_of_ours_are_swept_and_others_are_not() {
    let (home, history) = Home::ours();
    keep(&history, &three_records());
    let packs = home.path.join(".git/objects/pack");
    let whole = home.packs("idx").remove(0).with_extension("keep");
    fs::write(&whole, format!("indelible {JOURNAL}\n")).expect("left after the branch moved");
    fs::write(packs.join("pack-aa.keep"), format!("indelible {JOURNAL}\n")).expect("left with nothing else");
    fs::write(packs.join("pack-bb.keep"), format!("indelible {JOURNAL}\n")).expect("left");
    fs::write(packs.join("pack-bb.pack"), "PACK").expect("left without its index");
    fs::create_dir(packs.join("indelible-1.staging")).expect("left");
    fs::write(packs.join("indelible-1.staging/pack_git2_x"), "x").expect("left");
    let theirs = ["pack-cc.keep", "pack-dd.keep", "pack-dd.pack", "tmp_pack_x", "pack-ee.keep"];
    fs::write(packs.join(theirs[0]), "").expect("theirs");
    fs::write(packs.join(theirs[1]), "receive-pack 1 on x").expect("theirs");
    fs::write(packs.join(theirs[2]), "PACK").expect("theirs");
    fs::write(packs.join(theirs[3]), "x").expect("theirs");
    fs::write(packs.join(theirs[4]), b"\xff\xfe").expect("theirs");
    let swept = history.sweep().expect("swept");
    assert_eq!(swept, Swept { keeps: 3, packs: 1, folders: 1, ..Swept::default() });
    assert_eq!(history.sweep().expect("swept"), Swept::default());
    assert!(theirs.iter().all(|it| packs.join(it).exists()) && home.packs("idx").len() == 1);
    assert_eq!(home.packs("pack").len(), 2);
}

/// Commits in a process that a crash point ends. Does nothing unless it is that process.
#[test]
fn child_that_crashes() {
    let Some(home) = std::env::var_os("HISTORY_TEST_HOME") else { return };
    let options = HistoryOptions { packs_max: 2, git_program: None, ..options() };
    let history = History::open(Path::new(&home), options).expect("opened");
    match std::env::var("HISTORY_TEST_ACTION").as_deref() {
        Ok("fail") => {
            let error = commit(&history, &three_records(), &[]).expect_err("the disk is full");
            assert!(error.is_transient() && matches!(error, Error::Io { .. }), "{error:?}");
        }
        Ok("meet a lock") => {
            let options = HistoryOptions { lock_stale_after: Duration::from_millis(20), ..history.options.clone() };
            let result = commit(&History { options, ..history }, &three_records(), &[]);
            assert!(matches!(result, Err(Error::Locked { .. })), "{result:?}");
        }
        Ok("repack") => assert!(history.repack_if_needed().expect("repacked").is_some()),
        Ok("repack by git") => {
            let options = HistoryOptions { git_program: Some("git".into()), ..history.options.clone() };
            assert!(History { options, ..history }.repack_if_needed().expect("repacked").is_some());
        }
        _ => drop(commit(&history, &three_records(), &[]).expect("committed")),
    }
}

fn crash(home: &Home, action: &str, point: Point) {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "target::history::tests::child_that_crashes"]);
    child.env("HISTORY_TEST_HOME", &home.path).env("HISTORY_TEST_ACTION", action);
    child.env("INDELIBLE_CRASH_AT", point.name()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = child.status().expect("a process");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{point:?} was not reached");
}

#[test]
fn a_crash_at_any_step_of_a_commit_is_mended() {
    use Point::{
        CommitAfterAnchor, CommitAfterBranch, CommitBeforeAnchor, CommitBeforeBranch, CommitBeforeIndex,
        CommitBeforePack, CommitKept, CommitLocked, CommitStaged,
    };
    // Keeps, packs and folders that are left, and whether the branch has moved.
    let table = [
        (CommitBeforePack, (0, 0, 0), false),
        (CommitStaged, (0, 0, 1), false),
        (CommitKept, (1, 0, 1), false),
        (CommitBeforeIndex, (1, 1, 1), false),
        (CommitBeforeBranch, (1, 0, 0), false),
        (CommitLocked, (1, 0, 0), false),
        (CommitAfterBranch, (1, 0, 0), true),
        (CommitBeforeAnchor, (0, 0, 0), true),
        (CommitAfterAnchor, (0, 0, 0), true),
    ];
    let commits = Point::ALL.iter().filter(|it| it.name().starts_with("Commit")).count();
    assert_eq!(table.len(), commits, "a new crash point needs a row");
    for (number, (point, (keeps, packs, folders), moved)) in table.into_iter().enumerate() {
        for gc in [false, true] {
            let (home, history) = if number % 2 == 0 { Home::ours() } else { Home::theirs() };
            keep(&history, &[record("memory/first.md", "first")]);
            crash(&home, "commit", point);
            let locks = usize::from(point == CommitLocked);
            // Until somebody sweeps, a lock that its holder died with is in gc's way as it is in everybody's.
            if gc && locks == 0 {
                home.git(&["gc", "-q", "--prune=now"]);
            }
            let swept = history.sweep().expect("swept");
            assert_eq!(swept, Swept { keeps, packs, folders, locks, ..Swept::default() }, "{point:?}");
            assert_eq!(history.missing(&[ONE, TWO]).expect("looked").is_empty(), moved, "{point:?}");
            let committed = commit(&history, &three_records(), &[]).expect("again");
            assert_eq!(committed == Committed::Nothing, moved, "{point:?}");
            for path in [ONE, TWO, "experiments/active/x-3/log.md"] {
                assert_eq!(home.introductions(&history, path), 1, "{point:?}");
            }
            let tip = history.tip().expect("a tip").expect("a commit").commit;
            assert_eq!(history.anchor(JOURNAL).expect("looked"), Anchor::Current { commit: tip }, "{point:?}");
            assert!(home.packs("keep").is_empty() && home.staging_folders() == 0, "{point:?}");
            assert_eq!(history.sweep().expect("swept"), Swept::default());
            home.git(&["gc", "-q", "--prune=now"]);
            home.fsck();
        }
    }
}

#[test]
fn an_error_at_any_step_of_a_commit_leaves_nothing_behind() {
    for point in Point::ALL.iter().filter(|it| it.name().starts_with("Commit")) {
        let (home, history) = Home::ours();
        keep(&history, &[record("memory/first.md", "first")]);
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", "target::history::tests::child_that_crashes"]);
        child.env("HISTORY_TEST_HOME", &home.path).env("HISTORY_TEST_ACTION", "fail");
        child.env("INDELIBLE_FAIL_AT", format!("{}=28", point.name()));
        let output = child.output().expect("a process");
        assert!(output.status.success(), "{point:?}: {}", String::from_utf8_lossy(&output.stdout));
        let swept = history.sweep().expect("swept");
        assert_eq!(swept, Swept::default(), "{point:?}");
        assert_eq!(home.packs("pack").len(), home.packs("idx").len(), "{point:?}");
        let moved = history.missing(&[ONE]).expect("looked").is_empty();
        assert_eq!(commit(&history, &three_records(), &[]).expect("again") == Committed::Nothing, moved, "{point:?}");
        assert_eq!(home.introductions(&history, ONE), 1);
        home.fsck();
    }
}

#[test]
fn a_crash_at_any_step_of_a_repack_is_mended() {
    use Point::{RepackAfterRemoval, RepackBefore, RepackBeforeRemoval};
    let points = [(RepackBefore, (0, 0)), (RepackBeforeRemoval, (1, 4)), (RepackAfterRemoval, (1, 0))];
    let actions = ["repack", "repack by git"].into_iter();
    for (action, (point, (keeps, rolled))) in actions.flat_map(|action| points.map(|point| (action, point))) {
        let (home, history) = Home::ours();
        for number in 0..4 {
            keep(&history, &[record(&format!("memory/r-{number}.md"), "x")]);
        }
        home.git(&["multi-pack-index", "write"]);
        let tip = history.tip().expect("a tip");
        crash(&home, action, point);
        let swept = history.sweep().expect("swept");
        assert_eq!(swept, Swept { keeps, rolled, ..Swept::default() }, "{point:?}");
        assert_eq!(home.packs("idx").len(), if point == RepackBefore { 4 } else { 1 }, "{point:?}");
        assert_eq!(history.tip().expect("a tip"), tip);
        assert_eq!(history.check_files(true).expect("checked"), []);
        home.fsck();
    }
}

#[test]
fn packs_are_rolled_together_with_git_and_without() {
    for (program, by) in [
        (Some("git"), Repacker::Git),
        (None, Repacker::Library),
        (Some("/nonexistent/git"), Repacker::Library),
        (Some("false"), Repacker::Library),
    ] {
        let (home, history) = Home::ours();
        let options = HistoryOptions { packs_max: 16, git_program: program.map(PathBuf::from), ..options() };
        let history = History { options, ..history };
        for number in 0..9 {
            keep(&history, &[record(&format!("memory/failures/r-{number}.md"), &format!("record {number}\n"))]);
            if number < 7 {
                assert_eq!(history.repack_if_needed().expect("looked"), None);
            }
        }
        let kept = home.packs("idx").remove(0).with_extension("keep");
        fs::write(&kept, "somebody's").expect("kept");
        assert_eq!(
            history.repack_if_needed().expect("rolled"),
            Some(Repacked { by, before: 8, after: 1 }),
            "{program:?}"
        );
        assert!(kept.with_extension("pack").exists() && kept.exists());
        assert_eq!((home.packs("idx").len(), home.packs("pack").len(), home.packs("keep").len()), (2, 2, 1));
        assert_eq!(history.check_files(true).expect("checked"), []);
        assert_eq!(home.git(&["rev-list", "--count", "main"]).trim(), "9");
        home.fsck();
        keep(&history, &three_records());
        home.fsck();
    }
}

/// What small batches change most is folders that grow: written whole each time, they are nearly the same.
#[test]
fn folders_that_grow_take_little_once_they_are_rolled_together() {
    let (home, history) = Home::ours();
    let history = History { options: HistoryOptions { packs_max: 2, ..options() }, ..history };
    // More folders of one size than git compares with each other.
    for (number, day) in (0..10).flat_map(|number| (1..=20).map(move |day| (number, day))) {
        let name = |at| format!("memory/failures/2026/01/{day:02}/record-{at}-{number:04x}{day:04x}.md");
        let records: Vec<_> = (0..if number == 0 { 200 } else { 1 }).map(|at| record(&name(at), &name(at))).collect();
        keep(&history, &records);
    }
    let bytes = || -> u64 { home.packs("pack").iter().map(|it| fs::metadata(it).expect("a pack").len()).sum() };
    let before = bytes();
    assert_eq!(history.repack_if_needed().expect("rolled").map(|it| it.by), Some(Repacker::Git));
    let after = bytes();
    assert!(after * 2 < before, "{before} bytes became {after}");
}

/// An index over many packs names some that a roll removes, so it goes as well.
#[test]
fn an_index_over_many_packs_names_none_that_is_gone() {
    for program in [Some("git"), None] {
        let (home, history) = Home::ours();
        let options = HistoryOptions { packs_max: 2, git_program: program.map(PathBuf::from), ..options() };
        let history = History { options, ..history };
        for number in 0..4 {
            keep(&history, &[record(&format!("memory/r-{number}.md"), "x")]);
        }
        home.git(&["multi-pack-index", "write"]);
        assert_eq!(history.repack_if_needed().expect("rolled").map(|it| (it.before, it.after)), Some((4, 1)));
        assert_eq!(history.check_files(true).expect("checked"), []);
        home.fsck();
        home.git(&["multi-pack-index", "write"]);
        home.git(&["multi-pack-index", "verify"]);
    }
}

#[test]
fn packs_that_have_grown_enough_are_left_alone() {
    for (program, by) in [(Some("git"), Repacker::Git), (None, Repacker::Library)] {
        let (home, history) = Home::ours();
        let options = HistoryOptions {
            packs_max: 8,
            // Each commit here is of four objects: a file, two folders, itself.
            roll_objects_max: 18,
            git_program: program.map(PathBuf::from),
            ..options()
        };
        let history = History { options, ..history };
        let add = |number: usize| {
            let _ = keep(&history, &[record(&format!("memory/r-{number}.md"), &format!("record {number}\n"))]);
        };
        (0..8).for_each(add);
        let rolled = |before, after| Some(Repacked { by, before, after });
        assert_eq!(history.repack_if_needed().expect("rolled"), rolled(8, 5), "four of them at a time, {program:?}");
        assert_eq!(history.repack_if_needed().expect("rolled"), rolled(5, 2), "and the other four");
        (8..11).for_each(add);
        assert_eq!(history.repack_if_needed().expect("looked"), None, "large ones do not count");
        add(11);
        assert_eq!(history.repack_if_needed().expect("rolled"), rolled(6, 3), "nor are they rolled");
        assert_eq!(history.check_files(true).expect("checked"), []);
        home.fsck();
    }
}

/// A git program that starts another, says in `hanging` which, and waits for it for ever.
fn hanging_git(home: &Home) -> PathBuf {
    let program = home.path.join("hanging-git");
    let said = home.path.join("hanging");
    let text = format!("#!/bin/sh\nsleep 600 &\necho $! > '{0}.new'\nmv '{0}.new' '{0}'\nwait\n", said.display());
    fs::write(&program, text).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("one that runs");
    program
}

/// Waits until `look` finds something.
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let found = (0..60_000).find_map(|_| {
        look().or_else(|| {
            std::thread::sleep(Duration::from_millis(1));
            None
        })
    });
    found.unwrap_or_else(|| panic!("{what}: it did not come to that"))
}

/// Waits until the program that the hanging one has started is there.
fn started(home: &Home) -> String {
    wait_for("a git program that hangs", || fs::read_to_string(home.path.join("hanging")).ok()).trim().to_owned()
}

/// Waits until the process is gone, or dead and nobody has asked how it ended.
fn assert_dies(process: &str) {
    wait_for("what the git program has started ends with it", || {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).ok();
        let is_dead = state.is_none_or(|it| it.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")));
        is_dead.then_some(())
    });
}

#[test]
fn a_git_program_that_hangs_is_ended() {
    let (home, history) = Home::ours();
    let options = HistoryOptions {
        packs_max: 3,
        git_program: Some(hanging_git(&home)),
        repack_wait: Duration::from_millis(300),
        ..options()
    };
    let history = History { options, ..history };
    for number in 0..3 {
        keep(&history, &[record(&format!("memory/r-{number}.md"), "x")]);
    }
    assert_eq!(
        history.repack_if_needed().expect("rolled"),
        Some(Repacked { by: Repacker::Library, before: 3, after: 1 })
    );
    // Where the machine is so busy that it did not come to hang, nothing was started.
    if let Ok(process) = fs::read_to_string(home.path.join("hanging")) {
        assert_dies(process.trim());
    }
    assert_eq!((home.packs("pack").len(), home.beside_packs()), (1, 2), "something is left beside the pack");
    home.fsck();
}

/// Commits go on beside a git program that hangs, and whoever ends leaves neither it nor anything of it.
#[test]
fn commits_go_on_beside_a_git_program_that_hangs() {
    let (home, history) = Home::ours();
    let options = HistoryOptions { packs_max: 3, git_program: Some(hanging_git(&home)), ..options() };
    let history = History { options, ..history };
    let add = |number: usize| {
        let _ = keep(&history, &[record(&format!("memory/r-{number}.md"), "x")]);
    };
    (0..3).for_each(add);
    let process = std::thread::scope(|scope| {
        let repack = scope.spawn(|| history.repack_if_needed());
        let process = started(&home);
        (3..6).for_each(add);
        assert!(!repack.is_finished(), "nothing hangs");
        history.end_repack();
        repack.join().expect("no panic").expect("it was ended");
        process
    });
    assert_dies(&process);
    assert_eq!((home.packs("pack").len(), home.beside_packs()), (6, 12), "something is left beside the packs");
    assert_eq!(home.git(&["rev-list", "--count", "main"]).trim(), "6");
    home.fsck();
}

/// What a git program was writing when it was killed goes where nobody runs `gc`, and only when it is long dead.
#[test]
fn what_killed_git_programs_left_is_swept_from_our_own_repository() {
    for (ours, (home, history)) in [(true, Home::ours()), (false, Home::theirs())] {
        keep(&history, &three_records());
        let packs = home.path.join(".git/objects/pack");
        fs::create_dir_all(&packs).expect("a folder of packs");
        let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
        for name in ["tmp_pack_aBc123", "tmp_idx_d4E5f6"] {
            fs::write(packs.join(name), "half").expect("written");
            fs::write(packs.join(format!("{name}.new")), "half").expect("written");
            let file = fs::File::options().write(true).open(packs.join(name)).expect("it is there");
            file.set_modified(yesterday).expect("its time can be set");
        }
        let unfinished = if ours { 2 } else { 0 };
        assert_eq!(history.sweep().expect("swept"), Swept { unfinished, ..Swept::default() });
        let names = fs::read_dir(&packs).expect("listed").map(|it| it.expect("listed").file_name());
        let left = names.filter(|name| name.to_string_lossy().contains("tmp")).count();
        assert_eq!(left, 4 - unfinished, "what may be somebody's at work is gone");
        home.fsck();
    }
}

#[test]
fn odd_authors_and_hostile_settings_break_no_commit() {
    let home = Home::empty();
    fs::create_dir_all(home.path.join("cfg")).expect("a folder");
    home.git(&["init", "-q", "-b", "trunk"]);
    let options = HistoryOptions { author_name: "<a>\nb\0 ,".to_owned(), author_email: "<>".to_owned(), ..options() };
    let (history, _) = History::init(&home.path, &staging(&home.path), HOME, options).expect("adopted");
    for (key, value) in [
        ("core.logAllRefUpdates", "always"),
        ("core.hooksPath", "/nonexistent"),
        ("commit.gpgSign", "true"),
        ("core.autocrlf", "true"),
        ("pack.packSizeLimit", "1"),
        ("user.useConfigOnly", "true"),
    ] {
        home.git(&["config", key, value]);
    }
    keep(&history, &three_records());
    home.fsck();
    assert_eq!(home.git(&["log", "-1", "--format=%an <%ae>", "indelible"]).trim(), "ab <indelible>");
    assert_eq!(home.git(&["show", &format!("indelible:{ONE}")]), "one\n");
}

#[test]
fn a_home_may_have_any_name() {
    let root = tempfile::tempdir().expect("a folder for the test");
    let path = root.path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"h\xff \xfe"));
    fs::create_dir_all(path.join(".indelible/tmp")).expect("a home");
    let options = HistoryOptions { packs_max: 2, ..options() };
    let (history, _) = History::init(&path, &path.join(".indelible/tmp"), HOME, options).expect("a new home");
    keep(&history, &[record(ONE, "one\n")]);
    keep(&history, &[record(TWO, "two\n")]);
    assert_eq!(history.repack_if_needed().expect("rolled").map(|it| it.after), Some(1));
    assert_eq!(git_in(&path, &["rev-list", "--count", "main"]).1.trim(), "2");
}
