//! Commits: their content, their obstacles, and what is found again.

use super::*;

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
    // Another process moves the branch: a stale value does not match, and nothing is overwritten.
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
    // A side branch adds a path that the first parent never had.
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

/// Adds entries to the root of the user's HEAD, as its owner might have, by mode and object.
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

/// Whatever the branch is to its owner, the history continues beside it, and nothing of theirs moves.
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
    // Loose objects, so that one can be removed and one corrupted.
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
fn an_operation_replaces_and_removes_and_a_folder_that_is_empty_goes() {
    let (home, history) = Home::ours();
    let one = record("memory/failures/2026/a.md", "one");
    let other = record("memory/successes/2026/b.md", "other");
    keep(&history, &[one.clone(), other]);
    let change = |op: Op, files: &[FileImage], removed: &[&str], at: u64| {
        let removed = removed.iter().map(|path| (*path).to_owned()).collect();
        let changes = Changes { op: &op, files: files.to_vec(), removed };
        let (records, position) = (&[][..], position(at));
        let batch = NewCommit {
            records,
            pages: &[],
            change: Some(&changes),
            begins: false,
            home: HOME,
            journal: JOURNAL,
            position,
        };
        history.commit(&batch).expect("it can be committed")
    };
    let revision = Revision { n: 2, op: Uuid::from_u128(1) };
    let base = Revision::first(one.id);
    let retraction = Change { of: one.id, revision, base, at: Timestamp::UNIX_EPOCH, path: None, because: None };
    let state = page("memory/retracted/aa/x.md", "state");
    let paths = ["memory/failures/2026/a.md", "memory/failures/2026/none.md", "memory/none/x.md"];
    let state = std::slice::from_ref(&state);
    let retracted = change(Op::Retract(retraction.clone()), state, &paths, 2);
    assert!(matches!(retracted, Committed::New { .. }));
    let tree = home.git(&["ls-tree", "-r", "-t", "--name-only", "HEAD"]);
    let expected = "memory\nmemory/retracted\nmemory/retracted/aa\nmemory/retracted/aa/x.md\nmemory/successes\n\
                    memory/successes/2026\nmemory/successes/2026/b.md\n";
    assert_eq!(tree, expected);
    assert!(home.git(&["log", "-1", "--format=%s"]).starts_with("Retract 1 record"));
    home.fsck();
    assert_eq!(change(Op::Retract(retraction.clone()), state, &paths, 3), Committed::Nothing, "it is done");
    let back = page("memory/failures/2026/a.md", "one");
    change(Op::Restore(retraction), &[page("memory/retracted/aa/x.md", "restored"), back], &[], 4);
    assert_eq!(history.read("memory/failures/2026/a.md").expect("readable").as_deref(), Some(&b"one"[..]));
    assert_eq!(history.last_of("memory/failures/2026/none.md").expect("readable"), None);
    change(Op::Retract(Change { revision: Revision { n: 4, ..revision }, ..change_of(&one) }), &[], &paths[..1], 5);
    let last = history.last_of("memory/failures/2026/a.md").expect("readable");
    assert_eq!(last.as_deref(), Some(&b"one"[..]), "the history keeps what was removed");
    assert!(history.had("memory/failures/2026/a.md", b"one").expect("readable"));
    assert!(!history.had("memory/failures/2026/a.md", b"edited").expect("readable"));
}

fn change_of(intent: &Intent) -> Change {
    let base = Revision::first(intent.id);
    Change { of: intent.id, revision: base, base, at: Timestamp::UNIX_EPOCH, path: None, because: None }
}
