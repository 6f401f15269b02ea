//! `erase` where something is left that it cannot take, or that it could not see: it says so until that is gone, and takes it once it
//! can.

use std::fs;

use crate::erase::{assert_agree, assert_nowhere, assert_whole, erase, recorded};
use crate::support::{Receipt, TestHome};

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
