//! Making and opening a repository, and its ignored files.

use super::*;

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
    // Adjacent lines of an earlier version are removed; a line that was there before ours stays.
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
        // Only root can give a folder away; otherwise the same check is made on a folder of root's.
        assert!(matches!(
            setup::open(Path::new("/"), &plain::Passed::default()),
            Err(Error::ForeignOwner { .. } | Error::Unsupported { .. })
        ));
        return;
    }
    for path in [".", ".git"] {
        std::os::unix::fs::chown(home.path.join(path), Some(12345), None).expect("given away");
    }
    let error = history.tip().expect_err("it was opened");
    assert!(matches!(error, Error::ForeignOwner { .. }) && error.is_unsupported(), "{error:?}");
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
