//! `erase` where something is left that it cannot take, or that it could not see: it says so until that is gone, and takes it once it
//! can.

use std::fs;

use crate::erase::{assert_nowhere, assert_whole, erase, recorded};
use crate::support::{Receipt, TestHome};

fn again(home: &TestHome, secret: &Receipt) -> crate::support::Cmd {
    erase(home, std::slice::from_ref(secret), &["--yes"])
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
