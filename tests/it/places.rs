//! Where a home can lie: data folders on other file systems, full and read-only disks, long paths, folders that a copy did
//! not carry, and systems that refuse calls. What is acknowledged is placed, and no process ends by a signal.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Cmd, Outcome, TestHome, Worker, has_strace, skipped, wait_for};

/// The calls that a sandbox or an old system refuses, all of which have a fallback.
const REFUSABLE: &str =
    "?renameat2,?linkat,?openat2,?statx,?fallocate,?inotify_init1,?copy_file_range,?syncfs,?fdatasync";
const ROTATE: [&str; 4] = ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];

/// Something mounted, until this is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts with `args` at `path`; `None`, and that is said, where this user may not.
    fn new(args: &[&str], path: &Path) -> Option<Mount> {
        std::fs::create_dir_all(path).expect("it can be made");
        let mounted = Command::new("mount").args(args).arg(path).output().is_ok_and(|it| it.status.success());
        if !mounted {
            skipped(format!("{args:?}: this user may not mount"));
        }
        mounted.then(|| Mount(path.to_owned()))
    }

    fn tmpfs(path: &Path) -> Option<Mount> {
        Mount::new(&["-t", "tmpfs", "none"], path)
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.0).status();
        assert!(done.expect("there is mount").success(), "{} cannot be remounted {how}", self.0.display());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The records in the branch's tree.
fn committed(home: &TestHome) -> usize {
    let tree = home.git(["ls-tree", "-r", "--name-only", home.branch()]).ok().stdout;
    tree.lines().filter(|path| !path.ends_with("README.md") && !path.ends_with("/log.md")).count()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|it| it.file_name().into_string().ok()).collect()
}

/// Everything in the folder: each path with its bytes.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => found.push((path.clone(), std::fs::read(&path).unwrap_or_default())),
        }
        found.push((path, Vec::new()));
    }
    found.sort();
    found
}

fn traced(home: &TestHome, inject: &str, args: &[&str]) -> Cmd {
    let calls = inject.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={calls}"), format!("inject={inject}"));
    home.under(&["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject], args)
}

#[test]
fn data_folders_on_other_file_systems_get_their_records() {
    let home = TestHome::new();
    let mounted = ["memory/failures", "memory/heuristics/rules-of-thumb", "experiments", ".indelible/quarantine"];
    let Some(mounts) = mounted.iter().map(|it| Mount::tmpfs(&home.join(it))).collect::<Option<Vec<_>>>() else {
        return;
    };
    let receipts = home.record_each("somewhere else");
    for receipt in &receipts {
        assert!(home.join(&receipt.page()).is_file(), "acknowledged, and not placed: {receipt:?}");
    }
    home.flush();
    assert_eq!(committed(&home), receipts.len());
    let page = home.join("memory/heuristics/rules-of-thumb/README.md");
    std::fs::write(&page, "by hand").expect("it can be written");
    let _ = home.record("heuristic", "another rule");
    home.flush();
    let aside = std::fs::read(home.join(".indelible/quarantine/edited-rules-of-thumb-README.md"));
    assert_eq!(aside.expect("it was set aside"), b"by hand", "set aside across file systems");
    // A killed recorder's leftover goes with the next recovery, and git is not shown where it was.
    let hidden = home.join("memory/failures/.indelible-tmp");
    std::fs::write(hidden.join("0123-4-5"), "half").expect("it can be written");
    home.recover_fully();
    assert_eq!(names(&hidden), [".gitignore"]);
    // A power cut empties what names the hidden folder, and the next use of the folder mends that.
    let temporary = home.join(".indelible/tmp");
    for spoil in [
        |note: &Path| drop(std::fs::write(note, "")),
        |note: &Path| {
            let _ = std::fs::remove_file(note);
            let _ = std::fs::create_dir(note);
            let _ = std::os::unix::fs::symlink("/etc/passwd", note.join("link"));
        },
    ] {
        names(&temporary).iter().for_each(|note| spoil(&temporary.join(note)));
        let _ = home.record("failure", "after a power cut");
        home.recover_fully();
        let _ = home.record("failure", "the note is written again");
        std::fs::write(hidden.join("0123-4-5"), "half").expect("it can be written");
        home.recover_fully();
        assert_eq!(names(&hidden), [".gitignore"]);
    }
    let _ = home.cmd(ROTATE.iter().chain(&["flush"])).ok();
    drop(mounts);
}

#[test]
fn a_private_folder_on_another_file_system_is_no_obstacle() {
    let home = TestHome::absent();
    let Some(_private) = Mount::tmpfs(&home.join(".indelible")) else { return };
    let Some(_journal) = Mount::tmpfs(&home.join(".indelible/journal")) else { return };
    let _ = home.cmd(["init"]).ok();
    assert!(!home.join(".indelible-tmp").exists(), "the folder that the repository was built in is left");
    let _ = home.record_each("x");
    home.flush();
    home.assert_settled();
}

#[test]
fn a_data_folder_that_cannot_be_written_is_waited_for() {
    let home = TestHome::new();
    let receipt = home.record("failure", "waits");
    let Some(mount) = Mount::tmpfs(&home.join("memory/failures")) else { return };
    mount.remount("ro");
    let refused = home.cmd(["flush"]).run().exits(74);
    assert!(refused.stderr.contains("Read-only"), "{refused}");
    assert_eq!(home.status()["quarantine"]["parked"].as_array().map(Vec::len), Some(0), "it was parked");
    mount.remount("rw");
    home.flush();
    assert!(home.join(&receipt.path).is_file());
    assert_eq!(committed(&home), 1);
}

#[test]
fn a_rename_that_crosses_file_systems_is_made_from_nearer() {
    if !has_strace() {
        return;
    }
    // Once is another file system; twice, as with a project's quota, names move within one folder alone.
    for times in ["1", "1..2"] {
        let home = TestHome::new();
        let inject = format!("renameat2:error=EXDEV:when={times}");
        let args = ["record", "failure", "--json", "--title", "x", "--domain", "d"];
        let receipt = traced(&home, &inject, &args).ok().receipt();
        assert!(home.join(&receipt.path).is_file(), "not placed after {times}");
        home.flush();
        home.assert_settled();
    }
}

#[test]
fn what_was_parked_is_applied_once_nothing_is_in_its_way() {
    let home = TestHome::new();
    let receipt = home.record("failure", "in the way");
    std::fs::remove_dir_all(home.join("memory/failures")).expect("it is there");
    std::os::unix::fs::symlink("/etc", home.join("memory/failures")).expect("a link");
    home.flush();
    let parked = || home.status()["quarantine"]["parked"].as_array().map(Vec::len);
    assert_eq!(parked(), Some(1));
    home.flush();
    assert_eq!(parked(), Some(1), "it is still in the way");
    std::fs::remove_file(home.join("memory/failures")).expect("it is there");
    let worker = Worker::start(&home, &[]);
    wait_for("the worker applies it", || (parked() == Some(0)).then_some(()));
    let _ = worker.stop(Signal::TERM);
    assert!(home.join(&receipt.path).is_file());
    assert_eq!(home.status()["published"]["counts"]["released"], 1);
    home.assert_settled();
}

#[test]
fn empty_private_folders_that_a_copy_did_not_carry_are_made_again() {
    let home = TestHome::new();
    let lose = || {
        for folder in ["tmp", "quarantine", "logs", "requests"] {
            let _ = std::fs::remove_dir_all(home.join(".indelible").join(folder));
        }
    };
    lose();
    let _ = home.cmd(["status"]).ok();
    let _ = home.verify().exits(0);
    assert!(!home.join(".indelible/quarantine").exists(), "what only looks has made a folder");
    let _ = home.record_each("x");
    lose();
    home.flush();
    lose();
    let mut worker = home.cmd(["worker", "--log", "file"]).spawn();
    wait_for("the worker serves", || (home.status()["published"]["state"] == "idle").then_some(()));
    worker.signal(Signal::TERM);
    let _ = worker.wait().exits(0);
    assert_eq!(names(&home.join(".indelible/logs")).len(), 1, "it has a log");
    home.assert_settled();
}

#[test]
fn a_new_home_without_its_empty_folders_commits() {
    for guest in [false, true] {
        let home = TestHome::absent();
        if guest {
            std::fs::create_dir(home.path()).expect("it can be made");
            let _ = home.git(["init", "-q"]).ok();
            let _ =
                home.git(["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"]).ok();
        }
        let _ = home.cmd(["init"]).ok();
        let gone = Command::new("find").arg(home.path()).args(["-type", "d", "-empty", "-delete"]).status();
        assert!(gone.expect("there is find").success());
        let _ = home.record_each("x");
        home.flush();
        assert_eq!(committed(&home), 5);
        home.assert_settled();
    }
}

#[test]
fn a_journal_that_is_missing_is_made_again_by_recovery_alone() {
    let home = TestHome::new();
    let kept = home.record_each("placed");
    home.flush();
    let pending = home.record("failure", "pending");
    std::fs::remove_dir_all(home.join(".indelible/journal")).expect("it is there");
    let refused = home.recorder("failure", "refused").run().exits(78);
    assert!(refused.stderr.contains("journal is missing"), "{refused}");
    let _ = home.recover();
    home.assert_settled();
    assert_eq!(committed(&home), kept.len() + 1, "{} is gone", pending.path);
    let _ = home.record("failure", "after it");
    home.recover_fully();
}

#[test]
fn a_path_that_has_no_room_for_an_index_is_refused_at_once() {
    let root = TestHome::absent();
    let long = |bytes: usize| {
        let mut path = root.user().canonicalize().expect("it is there");
        while path.as_os_str().len() + 60 < bytes {
            path.push("x".repeat(50));
        }
        path.push("y".repeat(bytes - path.as_os_str().len() - 1));
        path
    };
    let fits = TestHome::at(long(484));
    let _ = fits.cmd(["init"]).ok();
    let _ = fits.record_each("x");
    fits.flush();
    fits.assert_settled();
    for bytes in [485, 600, 3000] {
        let home = TestHome::at(long(bytes));
        let refused = home.cmd(["init"]).run().exits(78);
        assert!(refused.stderr.contains("shorter path") && !home.path().exists(), "{refused}");
        std::fs::create_dir_all(home.path()).expect("it can be made");
        let copied = Command::new("cp").arg("-a").arg(fits.join(".indelible")).arg(home.path()).status();
        assert!(copied.expect("there is cp").success());
        for args in [&["status"][..], &["record", "failure", "--title", "t", "--domain", "d"], &["repair"], &["adopt"]]
        {
            let refused = home.cmd(args).run().exits(78);
            assert!(refused.stderr.contains("shorter path") && !refused.stderr.contains("damaged"), "{refused}");
        }
    }
}

/// Puts something that cannot be opened in the place of a file.
fn obstruct(path: &Path, how: &str) {
    let _ = std::fs::remove_file(path);
    match how {
        "folder" => std::fs::create_dir(path).expect("it can be made"),
        "link" => std::os::unix::fs::symlink("/etc/hostname", path).expect("it can be made"),
        _ => assert!(Command::new("mkfifo").arg(path).status().expect("there is mkfifo").success()),
    }
}

#[test]
fn an_index_that_cannot_be_opened_stops_no_commit_and_is_named() {
    let files = ["", "-wal", "-shm"].into_iter().flat_map(|it| [(it, "folder"), (it, "link"), (it, "pipe")]);
    for (file, how) in files.chain([("-journal", "folder"), ("-journal", "pipe")]) {
        let home = TestHome::new();
        let keyed = || home.recorder("success", "keyed").args(["--key", "k"]);
        let first = keyed().ok().receipt();
        home.flush();
        // So that all of it is in the database: its log is about to be lost.
        let log: i64 =
            home.index().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(1)).expect("a number");
        assert_eq!(log, 0);
        let path = home.join(&format!("memory/index.db{file}"));
        obstruct(&path, how);
        let _ = home.record("failure", "meanwhile");
        let _ = keyed().ok();
        home.flush();
        assert_eq!(committed(&home), 2, "{file} as a {how}: not committed, or twice");
        let named = format!("index.db{file} is ");
        if file == "-shm" {
            // Nothing but what SQLite makes again.
            assert!(names(&home.join(".indelible/quarantine")).contains(&"index.db-shm".to_owned()), "{how}");
        } else {
            for args in [&["verify"][..], &["repair"]] {
                let refused = home.cmd(args).run().exits(74);
                assert!(refused.stderr.contains(&named), "{refused}");
            }
            let status = home.cmd(["status", "--check"]).run().exits(1);
            assert!(status.stdout.contains(&named), "{status}");
            let removed = if how == "folder" { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
            removed.expect("it is there");
        }
        home.recover_fully();
        assert!(home.join(&first.path).is_file());
        assert_eq!(committed(&home), 2, "{file} as a {how}");
    }
}

#[test]
fn a_home_that_cannot_be_written_can_be_looked_at() {
    let home = TestHome::new();
    let _ = home.record_each("committed");
    home.flush();
    let _ = home.record("failure", "pending");
    let remove = |ends: &[&str]| {
        for end in ends {
            let _ = std::fs::remove_file(home.join(&format!("memory/index.db{end}")));
        }
    };
    for gone in [&[][..], &["-wal", "-shm"]] {
        if !gone.is_empty() {
            let _ = home.cmd(["flush"]).ok();
            let log = home.index().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(1));
            assert_eq!(log.expect("a number"), 0);
            remove(gone);
        }
        let there = home.user().join("read-only");
        let Some(mount) = Mount::new(&["--bind", home.path().to_str().expect("it is UTF-8")], &there) else { return };
        mount.remount("bind,ro");
        let reader = TestHome::at(there);
        let before = everything(home.path());
        for args in [&["status"][..], &["verify"], &["hooks", "status"], &["config", "list"]] {
            let _ = reader.cmd(args).ok();
        }
        let check = reader.cmd(["status", "--check"]).run().exits(1);
        assert!(check.stdout.contains("records will be refused"), "{check}");
        let _ = reader.recorder("failure", "refused").run().exits(74);
        assert!(before == everything(home.path()), "something was changed");
    }
}

/// Runs a command that may be refused. It says so, and is not ended from outside.
#[track_caller]
fn ends_well(outcome: Outcome) -> bool {
    assert!(matches!(outcome.code(), Some(0 | 1 | 74 | 75 | 78)), "{outcome}");
    assert!(!outcome.stderr.contains("bug of its own"), "{outcome}");
    outcome.code() == Some(0)
}

#[test]
fn a_full_disk_with_small_blocks_ends_no_process() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let image = files.path().join("image");
    std::fs::File::create(&image).and_then(|it| it.set_len(12 << 20)).expect("it can be made");
    let made = Command::new("mkfs.ext4").args(["-q", "-b", "1024", "-m0"]).arg(&image).output();
    if !made.is_ok_and(|it| it.status.success()) {
        return skipped("a full disk: there is no mkfs.ext4");
    }
    let disk = files.path().join("disk");
    let loops = ["-o", "loop", image.to_str().expect("it is UTF-8")];
    let Some(_mount) = Mount::new(&loops, &disk) else { return };
    let home = TestHome::at(disk.join("home"));
    let _ = home.cmd(["init"]).ok();
    let filler = disk.join("filler");
    let mut kept = Vec::new();
    for spare in [0, 1, 3, 6, 12, 24, 40] {
        // To the last block, then so many kilobytes less.
        let file = std::fs::File::options().create(true).append(true).open(&filler).expect("it can be made");
        for block in [&[1_u8; 65536][..], &[1; 1024]] {
            while std::io::Write::write_all(&mut &file, block).is_ok() {}
        }
        file.sync_all().expect("it can be synced");
        let size = file.metadata().expect("it is there").len();
        file.set_len(size.saturating_sub(spare * 1024)).expect("it can be cut");
        for n in 0..3 {
            let title = format!("full {spare} {n}");
            let key = ["--key", &title];
            let recorder = home.recorder("failure", &title).args(if n == 2 { &key[..] } else { &[] });
            if ends_well(recorder.run()) {
                kept.push(title);
            }
        }
        for args in [&["status"][..], &["verify"], &["flush"], &["recover"]] {
            ends_well(home.cmd(args).run());
        }
        let event =
            r#"{"hook_event_name":"PostToolUseFailure","tool_name":"Bash","tool_input":{"command":"x"},"error":"y"}"#;
        let _ = home.cmd(["hook"]).stdin(event).run().exits(0);
    }
    std::fs::remove_file(&filler).expect("it is there");
    home.recover_fully();
    let titles =
        home.git(["grep", "-h", "-o", "full [0-9]* [0-9]*", home.branch(), "--", "memory/failures"]).run().stdout;
    for title in kept {
        assert!(titles.lines().any(|line| line == title), "acknowledged, and lost: {title}");
    }
}

#[test]
fn calls_that_a_sandbox_refuses_have_another_way() {
    if !has_strace() {
        return;
    }
    for errno in ["EPERM", "ENOSYS"] {
        let home = TestHome::absent();
        let inject = format!("{REFUSABLE}:error={errno}");
        let run = |args: &[&str]| traced(&home, &inject, args).ok();
        let _ = run(&["init"]);
        for title in ["one", "two"] {
            let receipt = run(&["record", "failure", "--json", "--title", title, "--domain", "d"]).receipt();
            assert!(home.join(&receipt.path).is_file(), "{errno}: left to the worker");
            let _ = run(&["record", "heuristic", "--json", "--rule", title, "--domain", "d"]);
            let _ = run(&[&ROTATE[..], &["flush"]].concat());
        }
        for args in [&["status"][..], &["verify"], &["recover"]] {
            let _ = run(args);
        }
        assert_ne!(home.journal()[0].0, "0000000001.log", "{errno}: a finished segment did not go");
        home.assert_settled();
    }
}

#[test]
fn few_descriptors_lose_nothing() {
    let home = TestHome::new();
    let mut kept = 0;
    for descriptors in 6..24 {
        let limited = |args: &[&str]| {
            let limit = format!("ulimit -n {descriptors}; exec \"$@\"");
            home.under(&["sh", "-c", &limit, "sh"], args).run()
        };
        let title = format!("with {descriptors}");
        let recorded = limited(&["record", "failure", "--title", &title, "--domain", "d"]);
        kept += usize::from(ends_well(recorded));
        for args in [&["flush"][..], &["status"], &["verify"], &["recover"]] {
            ends_well(limited(args));
        }
    }
    assert!(kept > 5, "hardly anything was recorded");
    home.recover_fully();
    assert!(committed(&home) >= kept, "acknowledged, and lost");
}
