//! Every way of `docs/backup.md` back to a home: the whole folder, `.git` alone, a bare clone, files alone, and the history of another
//! home in a user's repository.

use std::path::Path;
use std::process::Command;

use crate::backup::{files, full, rows};
use crate::changes::assert_agree;
use crate::support::{Receipt, TestHome, Worker, in_parallel, repository, theirs};

/// Copies `from`, a folder or a file, to `to`, as `cp -a` does.
fn copy(from: &Path, to: &Path) {
    // Files that go while they are copied are an error of `cp`, and of no interest here.
    let _ =
        Command::new("cp").arg("-a").arg(from).arg(to).stderr(std::process::Stdio::null()).status().expect("cp runs");
}

/// The ids of all records of `home`, and their pages.
fn ids(home: &TestHome) -> Vec<String> {
    rows(home).into_keys().collect()
}

/// A full home in which a record was erased, too, and that one.
fn full_and_erased() -> (TestHome, Vec<Receipt>, Receipt) {
    let (home, receipts) = full();
    let erased = home.record("failure", "erased");
    home.flush();
    let _ = home.cmd(["erase", &erased.id, "--yes"]).ok();
    (home, receipts, erased)
}

/// `home` knows that the record `erased` was erased, not only that it is away, and nothing waits to be erased.
#[track_caller]
fn assert_stays_erased(home: &TestHome, erased: &Receipt) {
    let refused = home.cmd(["restore", &erased.id]).run().exits(65);
    assert!(refused.stderr.contains("was erased"), "{refused}");
    let hidden = home.cmd(["list", "--json", "--state", "retracted"]).ok();
    assert!(!hidden.stdout.contains(&erased.id), "{hidden}");
    assert!(!home.private().join("erasing.json").exists(), "an erasure that was finished is not begun again");
    let state = home.git(["show", &format!("main:{}", state_of(erased))]).ok();
    assert!(state.stdout.contains("state: erased"), "{state}");
}

fn state_of(receipt: &Receipt) -> String {
    format!("memory/retracted/{}/{}.md", &receipt.id[receipt.id.len() - 2..], receipt.id)
}

/// `home` has the records and the pages of `of`.
#[track_caller]
fn assert_back(of: &TestHome, home: &TestHome, how: &str) {
    let _ = home.cmd(["recover"]).ok();
    assert_eq!(ids(home), ids(of), "{how}");
    let (mut of, mut has) = (files(of), files(home));
    // What its owner writes into an experiment's log is in no commit.
    let without_logs = |files: &mut std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        files.retain(|path, _| !path.ends_with("log.md"));
    };
    if [".git alone", "a bare clone", "a mirror"].iter().any(|git| how.starts_with(git)) {
        without_logs(&mut of);
        without_logs(&mut has);
    }
    assert_eq!(has.keys().collect::<Vec<_>>(), of.keys().collect::<Vec<_>>(), "{how}");
    for (path, bytes) in of {
        assert_eq!(String::from_utf8_lossy(&has[&path]), String::from_utf8_lossy(&bytes), "{how}: {}", path.display());
    }
    assert_agree(home);
    home.recover_fully();
}

#[test]
fn the_whole_folder_comes_back_with_everything() {
    let (home, receipts) = full();
    let copied = TestHome::absent();
    copy(home.path(), copied.path());
    assert_back(&home, &copied, "the whole folder");
    let gone = &receipts.last().expect("the retracted one").id;
    let _ = copied.cmd(["restore", gone]).ok();
    assert_eq!(ids(&copied).len(), ids(&home).len() + 1);
}

#[test]
fn a_copy_that_was_made_beside_a_worker_and_recorders_has_what_was_acknowledged_before() {
    let home = TestHome::new();
    let worker = Worker::quick(&home);
    let before: Vec<Receipt> = (0..10).map(|n| home.record("success", &format!("before {n}"))).collect();
    let copied = TestHome::absent();
    in_parallel(4, 4, |n| match n {
        0 => copy(home.path(), copied.path()),
        n => (0..10).for_each(|more| drop(home.record("failure", &format!("beside {n} {more}")))),
    });
    let _ = worker.stop(rustix::process::Signal::TERM);
    let _ = copied.cmd(["recover"]).ok();
    let found = ids(&copied);
    assert!(before.iter().all(|receipt| found.contains(&receipt.id)), "{found:?}");
    assert_agree(&copied);
}

#[test]
fn git_alone_and_every_bare_clone_bring_records_and_history_back() {
    let (home, receipts, erased) = full_and_erased();
    let git = home.join(".git");
    let clone = |how: &str, to: &TestHome| {
        let url = git.to_str().expect("UTF-8");
        let _ = home.git_in(home.user(), ["clone", "--quiet", how, url, to.join(".git").to_str().expect("UTF-8")]).ok();
    };
    let absent = || {
        let absent = TestHome::absent();
        std::fs::create_dir(absent.path()).expect("a folder");
        absent
    };
    let (alone, mirror, bare, made, used) = (absent(), absent(), absent(), TestHome::new(), TestHome::new());
    copy(&git, &alone.join(".git"));
    clone("--mirror", &mirror);
    clone("--bare", &bare);
    // In homes that are there: one that was just made, and one that has a record of its own.
    let mine = used.record("failure", "mine");
    for home in [&made, &used] {
        std::fs::remove_dir_all(home.join(".git")).expect("it is there");
        clone("--mirror", home);
    }
    let listed = made.verify().exits(1);
    assert!(listed.stdout.contains("git has it"), "records in git and nowhere else are no agreement: {listed}");
    for (restored, how) in [(&alone, ".git alone"), (&mirror, "a mirror"), (&bare, "a bare clone")] {
        let _ = restored.cmd(["init"]).ok();
        assert_back(&home, restored, how);
        assert_stays_erased(restored, &erased);
    }
    assert_back(&home, &made, "a mirror in the place of a new home's history");
    assert_stays_erased(&made, &erased);
    let gone = &receipts.last().expect("the retracted one").id;
    let _ = made.cmd(["restore", gone]).ok();
    let _ = made.cmd(["init"]).ok();
    assert_agree(&made);
    used.recover();
    let mut all = ids(&home);
    all.push(mine.id);
    all.sort();
    assert_eq!(ids(&used), all, "a mirror in the place of a used home's history");
    assert_agree(&used);
    // What comes next goes on top of it.
    let next = mirror.record("success", "the next one");
    mirror.flush();
    let log = mirror.git(["log", "--format=%s"]).ok().stdout;
    assert!(log.starts_with("Record success: the next one\n") && log.lines().count() > 5, "{log} {}", next.id);
}

#[test]
fn files_alone_bring_records_and_retractions_back() {
    let (home, receipts, erased) = full_and_erased();
    let restored = TestHome::absent();
    std::fs::create_dir(restored.path()).expect("a folder");
    for root in ["memory", "experiments"] {
        copy(&home.join(root), &restored.join(root));
    }
    for name in ["index.db", "index.db-wal", "index.db-shm", "search.db", "search.db-wal", "search.db-shm"] {
        let _ = std::fs::remove_file(restored.join("memory").join(name));
    }
    let _ = restored.cmd(["init"]).ok();
    assert_back(&home, &restored, "files alone");
    assert_stays_erased(&restored, &erased);
    let gone = &receipts.last().expect("the retracted one").id;
    let hidden = restored.cmd(["list", "--json", "--state", "retracted"]).ok().json();
    assert_eq!(hidden["records"][0]["id"], gone.as_str(), "{hidden}");
}

#[test]
fn in_a_clone_of_a_users_repository_the_other_homes_history_is_named_and_brought_here() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let receipts = home.record_each("of the other home");
    home.flush();
    let id = home.id();
    // Its .git is all of it.
    let same = TestHome::absent();
    std::fs::create_dir(same.path()).expect("a folder");
    copy(&home.join(".git"), &same.join(".git"));
    let _ = same.cmd(["recover"]).ok();
    assert_eq!(ids(&same), ids(&home));
    // A clone has no private folder.
    let other = TestHome::absent();
    let (from, to) = (home.join(".git"), other.join(".git"));
    std::fs::create_dir(other.path()).expect("a folder");
    let line = ["clone", "--quiet", "--mirror", from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8")];
    let _ = home.git_in(home.user(), line).ok();
    let made = other.cmd(["init"]).ok();
    let named = format!("refs/indelible/{id} is the history of another home, {id}");
    assert!(made.stdout.contains(&named), "{made}");
    let verified = other.verify().exits(0);
    assert!(verified.stdout.contains(&named), "no records, and not a word of those of the other home: {verified}");
    let command = verified.stdout.split('`').nth(1).expect("a command").to_owned();
    let ran = Command::new("sh").args(["-c", &command]).current_dir(other.path()).status().expect("sh runs");
    assert!(ran.success(), "{command}");
    let _ = other.cmd(["recover"]).ok();
    assert_eq!(ids(&other), ids(&home));
    let _ = other.verify().exits(0);
    assert!(!other.verify().exits(0).stdout.contains("another home"), "it has records now");
    assert_eq!(receipts.len(), ids(&other).len());
    let _ = theirs(&home, ["status"]).ok();
}

/// Puts what `home` had at `name`, kept in `old`, in the place of what it has now.
fn put_back(home: &TestHome, old: &Path, name: &str) {
    let now = home.join(name);
    let _ = std::fs::remove_dir_all(&now).or_else(|_| std::fs::remove_file(&now));
    if old.join(name).exists() {
        copy(&old.join(name), &now);
    }
}

#[test]
fn state_files_decide_over_git_journal_and_index_from_a_backup() {
    for command in ["recover", "repair"] {
        let home = TestHome::new();
        let (back, gone) = (home.record("failure", "comes back"), home.record("failure", "is erased"));
        home.flush();
        let _ = home.cmd(["retract", &back.id]).ok();
        let _ = home.cmd(["retract", &gone.id, "--because", "zebra words"]).ok();
        home.flush();
        let old = home.user().join("old");
        copy(home.path(), &old);
        let _ = home.cmd(["restore", &back.id]).ok();
        let _ = home.cmd(["erase", &gone.id, "--yes"]).ok();
        home.flush();
        for name in [".git", ".indelible", "memory/index.db", "memory/index.db-wal", "memory/index.db-shm"] {
            put_back(&home, &old, name);
        }
        let _ = home.cmd([command]).ok();
        home.flush();
        assert!(home.join(&back.path).exists(), "{command}: the restored record has its file");
        assert_eq!(ids(&home), std::slice::from_ref(&back.id), "{command}");
        assert_stays_erased(&home, &gone);
        let state = std::fs::read_to_string(home.join(&state_of(&gone))).expect("it is there");
        assert!(!state.contains("zebra"), "{command}: {state}");
        let log = home.git(["log", "-p", "--format=%B", "main"]).ok();
        assert!(!log.stdout.contains("zebra"), "{command}: {log}");
        home.recover_fully();
        assert_agree(&home);
    }
}

#[test]
fn a_domains_page_from_a_backup_is_named_and_rendered_again() {
    let home = TestHome::new();
    let (first, other) = (home.record("heuristic", "the first rule"), home.record("heuristic", "the other rule"));
    home.flush();
    let path = "memory/heuristics/rules-of-thumb/README.md";
    let read = || std::fs::read_to_string(home.join(path)).ok();
    let put = |text: &str| {
        std::fs::create_dir_all(home.join(path).parent().expect("a folder")).expect("it can be made");
        std::fs::write(home.join(path), text).expect("writable");
    };
    let named = |command: &str| {
        let verified = home.verify().exits(1);
        assert!(verified.stdout.contains(path) && verified.stdout.contains("repair"), "{verified}");
        let _ = home.cmd([command]).ok();
        assert_agree(&home);
    };
    let both = read().expect("it is rendered");
    let _ = home.cmd(["retract", &first.id]).ok();
    let one = read().expect("it is rendered");
    assert!(both.contains("the first rule") && !one.contains("the first rule"));
    put(&both);
    named("recover");
    assert_eq!(read().as_ref(), Some(&one));
    let _ = home.cmd(["erase", &first.id, "--yes"]).ok();
    put(&both);
    named("repair");
    assert_eq!(read().as_ref(), Some(&one));
    // Words of its owner's stay.
    let words = format!("{one}\nwords of its owner\n");
    put(&words);
    let _ = home.cmd(["recover"]).ok();
    assert_eq!(read(), Some(words));
    put(&one);
    // A domain without rules has no page.
    let _ = home.cmd(["retract", &other.id]).ok();
    assert_eq!(read(), None);
    put(&one);
    named("recover");
    assert_eq!(read(), None);
}

#[test]
fn a_history_whose_branch_is_gone_goes_on_where_it_was() {
    let ways: [&[&str]; 2] = [&["branch", "-m", "main", "trunk"], &["update-ref", "-d", "refs/heads/main"]];
    for lose in ways {
        for has_worker in [false, true] {
            let home = TestHome::new();
            let gone = home.record("failure", "kept in git alone");
            home.flush();
            let _ = home.cmd(["retract", &gone.id]).ok();
            let worker = has_worker.then(|| Worker::quick(&home));
            home.flush();
            let tip = home.git(["rev-parse", "main"]).ok().stdout;
            let _ = home.git(lose).ok();
            let verified = home.verify().exits(1);
            assert!(verified.stdout.contains("refs/heads/main is gone"), "{lose:?}: {verified}");
            let next = home.record("success", "the next one");
            home.flush();
            let _ = home.git(["merge-base", "--is-ancestor", tip.trim(), "main"]).ok();
            let _ = home.git(["cat-file", "-e", &format!("main:{}", next.path)]).ok();
            drop(worker);
            let _ = home.cmd(["restore", &gone.id]).ok();
            assert!(home.join(&gone.path).exists(), "{lose:?}: the history still has it");
            assert_agree(&home);
        }
    }
}
