//! Packs: crashes while they are written and rolled together, and sweeping.

use super::*;

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
fn our_leftovers_are_swept_and_others_are_not() {
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

/// Commits in a process that a crash point kills. Does nothing in any other process.
#[test]
fn child_that_crashes() {
    let Some(home) = std::env::var_os("HISTORY_TEST_HOME") else { return };
    let options = HistoryOptions { packs_max: 2, git_program: None, ..options() };
    let history = History::of(Path::new(&home), Some(HOME), None, options).expect("opened");
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
    child.args(["--exact", "target::history::tests::packs::child_that_crashes"]);
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
    // The leftover keeps, packs and folders, and whether the branch has moved.
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
            // Until a sweep, the lock of a dead process blocks gc, as it blocks every program.
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
        child.args(["--exact", "target::history::tests::packs::child_that_crashes"]);
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

/// Small batches mostly change growing folders: their trees, written whole each time, are nearly equal.
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

/// A multi-pack index names some packs that a roll removes, so it is removed as well.
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
            // Each commit here has four objects: a file, two folders, the commit.
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

/// A git program that starts another, writes that one's id to `hanging`, and waits for it forever.
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

/// Waits until the hanging program's child exists.
fn started(home: &Home) -> String {
    wait_for("a git program that hangs", || fs::read_to_string(home.path.join("hanging")).ok()).trim().to_owned()
}

/// Waits until the process is gone, or is dead and not yet reaped.
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
    // On a very busy machine it may not have come to hang; then nothing was started.
    if let Ok(process) = fs::read_to_string(home.path.join("hanging")) {
        assert_dies(process.trim());
    }
    assert_eq!((home.packs("pack").len(), home.beside_packs()), (1, 2), "something is left beside the pack");
    home.fsck();
}

/// Commits continue beside a hanging git program, and a process that ends leaves no git program and none of its files.
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

/// A killed git program's files are removed where `gc` is never run, and only long after its death.
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
