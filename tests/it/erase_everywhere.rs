//! A search for everything that was erased, in every kind of home, with and without a worker: secrets in every field of every kind,
//! amended, parked, retracted, edited by hand, in logs and copies.

use rustix::process::Signal;

use crate::adopt::adopt;
use crate::erase::{NEEDLES, assert_agree, assert_gone, assert_whole, erase, places, planted_in};
use crate::support::{Git, Tables, TestHome, Worker, framework, repository};

/// A home of the kind `kind`, and whether its repository is ours.
fn home(kind: &str) -> (TestHome, bool) {
    match kind {
        "guest" => {
            let home = repository();
            let _ = home.cmd(["init"]).ok();
            (home, false)
        }
        "adopted" => {
            let home = framework(Tables::Usual, Git::Clean, 20);
            let _ = adopt(&home, &["--yes"]).ok();
            (home, false)
        }
        "adopted, without a repository" => {
            let home = framework(Tables::Usual, Git::None, 20);
            let _ = adopt(&home, &["--yes"]).ok();
            (home, true)
        }
        _ => (TestHome::new(), true),
    }
}

#[test]
fn nothing_that_was_erased_is_in_any_kind_of_home() {
    for kind in ["own", "guest", "adopted", "adopted, without a repository"] {
        for beside in [false, true] {
            let (home, ours) = home(kind);
            let (home, secrets, others) = planted_in(home, ours);
            assert!(places(&home, &NEEDLES).len() > 20, "{kind}: there is something to erase");
            let worker = beside.then(|| Worker::quick(&home));
            let said = erase(&home, &secrets, &["--yes"]).run();
            assert_eq!(said.code(), Some(0), "{kind}, beside a worker: {beside}: {said}");
            let after = home.record("failure", "after it");
            home.flush();
            assert_gone(&home);
            if let Some(worker) = worker {
                assert!(worker.stop(Signal::TERM).success());
            }
            assert_gone(&home);
            home.recover_fully();
            assert_gone(&home);
            assert_whole(&home, &others);
            assert_whole(&home, &[after]);
            assert_agree(&home);
        }
    }
}
