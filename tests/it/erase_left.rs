//! `erase` where something is left that it cannot take, or that it could not see: it says so until that is gone, and takes it once it
//! can.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::erase::{assert_agree, assert_nowhere, assert_whole, erase, places, recorded};
use crate::support::{Receipt, TestHome, repository};

const NEEDLE: &str = "zqsecret1234567";

/// A home with one committed record to erase, and one beside it.
fn planted() -> (TestHome, Receipt, Receipt) {
    let home = TestHome::new();
    let other = home.record("failure", "before");
    let secret = recorded(&home, &["failure", "--title", &format!("T {NEEDLE}"), "--domain", "d"]);
    home.flush();
    (home, secret, other)
}

fn is_noted(home: &TestHome) -> bool {
    home.private().join("erasing.json").exists()
}

fn again(home: &TestHome, secret: &Receipt) -> crate::support::Cmd {
    erase(home, std::slice::from_ref(secret), &["--yes"])
}

#[test]
fn what_has_the_words_keeps_the_erasure_open_for_whichever_run_comes_next() {
    for crash in [None, Some("EraseBeforeDone")] {
        let (home, secret, other) = planted();
        let backup = home.join("memory/index.db.bak");
        home.index().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("checkpointed");
        fs::copy(home.join("memory/index.db"), &backup).expect("copied");
        match crash {
            None => {
                let begun = again(&home, &secret).run().exits(75);
                assert!(begun.stderr.contains("begun; still: memory/index.db.bak"), "{begun}");
            }
            // Killed when nothing but the copy has the words.
            Some(_) => {
                let aside = home.user().join("aside");
                fs::rename(&backup, &aside).expect("moved");
                let _ = again(&home, &secret).env("INDELIBLE_CRASH_AT", "EraseBeforeDone").run();
                fs::rename(&aside, &backup).expect("moved");
            }
        }
        let note = fs::read_to_string(home.private().join("erasing.json")).expect("a note");
        assert!(!note.contains(NEEDLE), "{note}");
        for command in ["flush", "recover"] {
            let said = home.cmd([command]).run();
            assert!(is_noted(&home) && said.stderr.contains("memory/index.db.bak"), "{command}: {said}");
            let _ = home.cmd(["status", "--check"]).run().exits(1);
        }
        let _ = again(&home, &secret).run().exits(75);
        // Under another name it is what it was, and so it is with more in it.
        let moved = home.join(".git/backup");
        fs::rename(&backup, &moved).expect("moved");
        fs::write(&moved, [fs::read(&moved).expect("read"), b"more".to_vec()].concat()).expect("written");
        let begun = again(&home, &secret).run().exits(75);
        assert!(begun.stderr.contains("begun; still: .git/backup"), "{begun}");
        fs::remove_file(&moved).expect("removed");
        home.flush();
        assert!(!is_noted(&home), "nothing has it any more");
        assert_nowhere(&home, &[NEEDLE]);
        let _ = again(&home, &secret).ok();
        assert_whole(&home, &[other]);
        assert_agree(&home);
    }
}

/// The one pack of the home.
fn pack(home: &TestHome) -> PathBuf {
    let _ = home.git(["repack", "-adfq"]).ok();
    let packs = fs::read_dir(home.join(".git/objects/pack")).expect("packs").flatten().map(|it| it.path());
    packs.into_iter().find(|path| path.extension().is_some_and(|it| it == "pack")).expect("a pack")
}

/// Versions of one page, so that a pack has some as differences from others.
fn with_versions(home: &TestHome, secret: &Receipt) {
    for n in 0..5 {
        let text = format!("version {n} of it\n{}", "a line that stays\n".repeat(40));
        let _ = home.cmd(["amend", &secret.id, "--summary", &text]).ok();
        home.flush();
    }
}

#[test]
fn what_a_killed_git_left_goes_and_another_ones_stays() {
    let (home, secret, other) = planted();
    with_versions(&home, &secret);
    let pack = pack(&home);
    let bytes = fs::read(&pack).expect("a pack");
    let folder = home.join(".git/objects/pack");
    let loose = home.git(["hash-object", "-w", "--stdin"]).stdin(format!("a note of T {NEEDLE}")).ok();
    let (start, rest) = loose.stdout.trim().split_at(2);
    let object = home.join(".git/objects").join(start).join(rest);
    let left = [
        (folder.join("tmp_pack_abc123"), &bytes[..]),
        (folder.join(".tmp-999-pack-0123456789012345678901234567890123456789.pack"), &bytes),
        (folder.join("tmp_pack_torn"), &bytes[..bytes.len() - 40]),
        (home.join(".git/objects").join(start).join("tmp_obj_Xy12"), &fs::read(&object).expect("an object")),
    ];
    fs::remove_file(&object).expect("removed");
    for (path, bytes) in &left {
        fs::write(path, bytes).expect("written");
    }
    // A pack of something else that was not finished.
    let elsewhere = TestHome::new();
    let _ = elsewhere.record("failure", "of another home");
    elsewhere.flush();
    let theirs = folder.join("tmp_pack_theirs");
    fs::copy(self::pack(&elsewhere), &theirs).expect("copied");
    // The library reads this one.
    let index = left[1].0.with_extension("idx");
    fs::copy(pack.with_extension("idx"), &index).expect("copied");
    let said = again(&home, &secret).ok();
    let stays = said.stdout.lines().filter(|line| line.contains("stays")).count();
    assert_eq!(stays, 0, "nothing that stays has it: {said}");
    for (path, _) in &left {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(theirs.exists(), "it has nothing of the record");
    assert_nowhere(&home, &[NEEDLE]);
    assert_whole(&home, &[other]);
    assert_agree(&home);
}

#[test]
fn a_pack_that_git_does_not_read_is_searched_and_holds_up_success() {
    for (name, is_torn) in
        [("pack-0123456789012345678901234567890123456789.pack", false), ("old.pack.bak", false), ("old.pack.bak", true)]
    {
        let (home, secret, other) = planted();
        with_versions(&home, &secret);
        let mut bytes = fs::read(pack(&home)).expect("a pack");
        if is_torn {
            // What comes after that cannot be read.
            bytes[14] ^= 0xff;
            bytes[15] ^= 0xff;
        }
        let copy = home.join(".git/objects/pack").join(name);
        fs::write(&copy, bytes).expect("written");
        let begun = again(&home, &secret).run().exits(75);
        assert!(begun.stderr.contains(&format!("begun; still: .git/objects/pack/{name}")), "{begun}");
        home.flush();
        assert!(is_noted(&home) && copy.exists(), "{name}");
        fs::remove_file(&copy).expect("removed");
        home.flush();
        assert!(!is_noted(&home), "{name}");
        let _ = again(&home, &secret).ok();
        assert_nowhere(&home, &[NEEDLE]);
        assert_whole(&home, &[other]);
        assert_agree(&home);
    }
}

/// In a user's repository git's leftovers are the user's for as long as `git prune` leaves them.
#[test]
fn in_a_users_repository_a_young_leftover_is_named_and_an_old_one_goes() {
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let secret = recorded(&home, &["failure", "--title", &format!("T {NEEDLE}"), "--domain", "d"]);
    home.flush();
    let bytes = fs::read(pack(&home)).expect("a pack");
    let folder = home.join(".git/objects/pack");
    let (young, old, copy) = (folder.join("tmp_pack_young"), folder.join("tmp_pack_old"), folder.join("old.pack.bak"));
    for path in [&young, &old, &copy] {
        fs::write(path, &bytes).expect("written");
    }
    let at = SystemTime::now() - Duration::from_secs(15 * 24 * 3600);
    fs::File::options().write(true).open(&old).expect("opened").set_modified(at).expect("aged");
    let said = again(&home, &secret).ok();
    for name in ["tmp_pack_young", "old.pack.bak"] {
        assert!(said.stdout.contains(&format!("says the same words, and stays: .git/objects/pack/{name}")), "{said}");
    }
    assert!(young.exists() && copy.exists() && !old.exists(), "{said}");
}

#[test]
fn no_folder_keeps_the_domain_of_an_erased_rule() {
    let domains =
        ["Acme: zqsecretproject77kw", "ZqUpper Secret77kw", "zq_secret_77kw", "a/zqsecret77kw/b", "zqsecret77kw\u{fc}"];
    for domain in domains {
        let home = TestHome::new();
        let rule = |domain: &str| recorded(&home, &["heuristic", "--rule", "some rule text here", "--domain", domain]);
        let (secret, other) = (rule(domain), rule("Other: domain"));
        home.flush();
        let empty = home.join("memory/heuristics/of a user");
        fs::create_dir(&empty).expect("made");
        let _ = again(&home, &secret).ok();
        assert_nowhere(&home, &["secretproject", "secret77kw", "secret-77kw"]);
        let folders = fs::read_dir(home.join("memory/heuristics")).expect("listed").count();
        assert_eq!(folders, 2, "the other rule's and the user's, after {domain}");
        assert!(empty.exists());
        assert_whole(&home, &[other]);
    }
}

#[test]
fn old_objects_go_once_what_kept_them_is_gone() {
    for command in ["erase", "recover"] {
        let (home, secret, other) = planted();
        let _ = home.git(["tag", "keepme", "main"]).ok();
        let said = again(&home, &secret).ok();
        assert!(said.stdout.contains("refs/tags/keepme"), "{said}");
        let repeated = again(&home, &secret).ok();
        assert!(repeated.stdout.contains("already erased"), "{repeated}");
        home.recover_fully();
        let _ = home.git(["tag", "-d", "keepme"]).ok();
        assert!(!places(&home, &[NEEDLE]).is_empty(), "its objects are still there");
        let said = if command == "erase" { again(&home, &secret).ok() } else { home.cmd([command]).ok() };
        assert_nowhere(&home, &[NEEDLE]);
        assert!(!is_noted(&home), "{said}");
        assert_whole(&home, &[other]);
        assert_agree(&home);
        let repeated = again(&home, &secret).ok();
        assert!(repeated.stdout.contains("already erased"), "{repeated}");
    }
}

#[test]
fn old_segments_beside_the_new_ones_go() {
    for command in ["recover", "flush", "repair"] {
        let (home, secret, other) = planted();
        let (journal, backup) = (home.private().join("journal"), home.user().join("backup"));
        let copy = |from: &Path, to: &Path| {
            let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
            assert!(copied.expect("cp runs").success());
        };
        fs::create_dir(&backup).expect("made");
        copy(&journal, &backup);
        let _ = again(&home, &secret).ok();
        copy(&backup, &journal);
        assert!(!places(&home, &[NEEDLE]).is_empty(), "the backup has it");
        let _ = home.cmd([command]).ok();
        fs::remove_dir_all(&backup).expect("removed");
        assert_nowhere(&home, &[NEEDLE]);
        assert_whole(&home, &[other]);
        assert_agree(&home);
    }
}

#[test]
fn a_work_tree_of_the_users_keeps_it_and_is_named() {
    let (home, secret, other) = planted();
    let linked = home.user().join("wt");
    let _ = home.git(["worktree", "add", "-q", "--detach", linked.to_str().expect("text")]).ok();
    let said = again(&home, &secret).ok();
    assert!(said.stdout.contains("index of a work tree") && said.stdout.contains(".git/worktrees/wt/index"), "{said}");
    assert!(!is_noted(&home), "{said}");
    let _ = home.git(["worktree", "remove", "--force", linked.to_str().expect("text")]).ok();
    let _ = again(&home, &secret).ok();
    assert_nowhere(&home, &[NEEDLE]);
    assert_whole(&home, &[other]);
}

#[test]
fn what_lies_in_the_place_of_the_file_is_named() {
    let (home, secret, other) = planted();
    let page = home.join(&secret.page());
    fs::remove_file(&page).expect("removed");
    std::os::unix::fs::symlink("/nowhere", &page).expect("linked");
    let begun = again(&home, &secret).run().exits(75);
    let name = page.file_name().and_then(|it| it.to_str()).expect("a name");
    assert!(begun.stderr.contains("begun; still: the state file of") && begun.stderr.contains(name), "{begun}");
    fs::remove_file(&page).expect("removed");
    let _ = again(&home, &secret).ok();
    assert_nowhere(&home, &[NEEDLE]);
    assert_whole(&home, &[other]);
    assert_agree(&home);
}
