//! Locks that are held, stale, or from before the boot; and anchors.

use super::*;

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

/// Makes the repository look as after a power cut: its claim is from another boot, and `locks` are on disk.
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
fn after_a_boot_a_git_program_at_work_keeps_its_lock_and_our_pack_writer_does_not() {
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

/// `/proc` shows none of the processes that may hold the lock.
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
            child.args(["--exact", "target::history::tests::packs::child_that_crashes"]);
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

/// Whether stale locks can be detected here by inspecting processes.
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

/// The holder died before the clock was set back by a year.
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
