//! What stands where a lane is, on a remote that others may push to, and what fails when it is fetched.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use indelible::home::Home;
use indelible::sync::{Asked, Combined, Error, Options, Pushed, Session};

use crate::hosts::{Remote, TRUNK, home_of, sync};
use crate::support::{TestHome, write_program};
use crate::trunk::listed;

/// What git says to `args` in the remote.
fn git(remote: &Remote, args: &[&str]) -> String {
    let mut git = remote.outside([]).into_command();
    let output = git.arg("-C").arg(remote.path()).args(args).output().expect("git runs");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A commit with a folder that no git accepts from another.
fn hostile_commit(remote: &Remote) -> String {
    let tree = git(remote, &["rev-parse", &format!("{TRUNK}^{{tree}}")]);
    let raw = remote.path().join("raw");
    let bytes = [&b"40000 .git\0"[..], git2::Oid::from_str(&tree).expect("a name").as_bytes()].concat();
    std::fs::write(&raw, bytes).expect("it can be written");
    let tree = git(remote, &["hash-object", "-w", "-t", "tree", "--literally", raw.to_str().expect("UTF-8")]);
    git(remote, &["commit-tree", "-m", "x", &tree])
}

/// The own lane, at something that is no line of commits: another one is begun, and everything gets to the remote, also when what is
/// known here of the lane is lost.
#[test]
fn a_home_whose_lane_another_program_has_spoilt_goes_on_with_another_one() {
    for what in ["blob", "tree", "tag", "hostile"] {
        for is_lost in [false, true] {
            let remote = Remote::new();
            let home = home_of(&remote);
            let first = home.record("failure", "first");
            sync(&home);
            let lane = remote.lanes().remove(0);
            let spoilt = match what {
                "blob" => git(&remote, &["hash-object", "-w", "description"]),
                "tree" => git(&remote, &["rev-parse", &format!("{TRUNK}^{{tree}}")]),
                "tag" => {
                    let _ = git(&remote, &["tag", "-a", "-m", "x", "t", TRUNK]);
                    git(&remote, &["rev-parse", "t"])
                }
                _ => hostile_commit(&remote),
            };
            let _ = git(&remote, &["update-ref", &lane, &spoilt]);
            let second = home.record("failure", "second");
            if is_lost {
                std::fs::remove_dir_all(home.private().join("sync.git")).expect("it was there");
            }
            let compared = home.cmd(["verify", "--remote"]).run().exits(1);
            assert!(compared.stdout.contains(&lane), "{what} {is_lost}: {compared}");
            let drained = home.cmd(["drain", "--json"]).run().exits(0).json();
            assert_ne!(drained["lane"], lane.as_str(), "{what} {is_lost}: {drained}");
            let done = sync(&home);
            assert_eq!(done["lanes_left_out"][0]["lane"], lane.as_str(), "{what} {is_lost}: {done}");
            assert_eq!(remote.refs()[&lane], spoilt, "it is a person's to remove");
            let _ = git(&remote, &["update-ref", "-d", &lane]);
            let _ = git(&remote, &["prune", "--expire=now"]);
            remote.assert_has(&[first.page(), second.page()]);
            assert_eq!(home.status()["sync"]["error"], serde_json::Value::Null);
        }
    }
}

/// As a worker syncs: nothing that was left out is tried again for being asked by a person.
fn by_worker(home: &TestHome, remote: &Remote, git: PathBuf) -> Result<Combined, Error> {
    let url = remote.path().to_str().expect("UTF-8").to_owned();
    let options = Options { remote: url, git: Some(git), ..Options::default() };
    let home = Home::open(home.path()).expect("it is a home");
    let (stop, mut pushed, mut combined) = (AtomicBool::new(false), Pushed::default(), Combined::default());
    let asked = Asked { compare: true, combine: true, ..Asked::default() };
    let until = Instant::now() + options.timeout;
    let synced =
        Session::open(&home, &options, until, &stop).and_then(|mut it| it.sync(asked, &mut pushed, &mut combined));
    synced.map(|()| combined)
}

#[test]
fn a_fetch_that_fails_for_a_moment_leaves_no_lane_out_for_long() {
    let remote = Remote::new();
    let (one, other, third) = (home_of(&remote), home_of(&remote), home_of(&remote));
    let mut receipts = vec![one.record("failure", "one")];
    // No file can grow: git, or what it starts, is killed for it, or says so. Or git is killed from outside, or it may not write.
    let says = |text: &str| format!("echo '{text}' >&2; exit 128");
    for fails in [
        "ulimit -f 0".to_owned(),
        "trap '' XFSZ; ulimit -f 0".to_owned(),
        "kill -KILL $$".to_owned(),
        says("error: insufficient permission for adding an object to repository database ./objects"),
        says("fatal: Out of memory, malloc failed (tried to allocate 9 bytes)"),
        says("fatal: write error: No space left on device"),
    ] {
        for home in [&other, &third] {
            receipts.push(home.record("failure", "theirs"));
            let _ = home.cmd(["sync", "--push-only"]).ok();
        }
        let program = one.user().join("failing-git");
        let text = format!("#!/bin/sh\ncase \"$1\" in fetch) {fails};; esac\nexec git \"$@\"\n");
        write_program(&program, text.as_bytes());
        let _ = by_worker(&one, &remote, program);
        let done = by_worker(&one, &remote, "git".into()).expect("nothing fails any more");
        assert_eq!(done.unmerged, 0, "{fails}: {done:?}");
        one.flush();
        assert_eq!(listed(&one).len(), receipts.len(), "{fails}");
    }
    let pages: Vec<String> = receipts.iter().map(|it| it.page()).collect();
    remote.assert_has(&pages);
}

/// That the remote does not take the trunk is known until it takes it: neither a failure nor a race says otherwise.
#[test]
fn a_trunk_that_is_refused_is_said_until_it_is_taken() {
    let remote = Remote::new();
    let home = home_of(&remote);
    let hook = remote.path().join("hooks/update");
    write_program(&hook, format!("#!/bin/sh\n[ \"$1\" != {TRUNK} ]\n").as_bytes());
    let _ = home.record("failure", "one");
    let closed = || home.status()["sync"]["trunk_closed"].clone();
    assert!(sync(&home)["trunk_closed"].is_string() && closed().is_string());
    // The server holds a lock, as for a push of another home.
    std::fs::remove_file(&hook).expect("it was there");
    let lock = remote.path().join("refs/heads/main.lock");
    std::fs::write(&lock, "").expect("it can be written");
    sync(&home);
    assert!(closed().is_string(), "the lock says nothing of it");
    std::fs::rename(remote.path(), remote.path().with_extension("away")).expect("it can be moved");
    let _ = home.cmd(["sync"]).run().exits(78);
    assert!(closed().is_string(), "what is out of reach says nothing of it");
    std::fs::rename(remote.path().with_extension("away"), remote.path()).expect("it can be moved");
    std::fs::remove_file(&lock).expect("it was there");
    assert_eq!((sync(&home)["merged"].as_u64(), closed()), (Some(1), serde_json::Value::Null));
}

/// A commit on the trunk says that records are gone which are not erased: nothing of them goes, not even where they are erased later.
#[test]
fn a_forged_word_that_a_record_is_gone_takes_nothing_away() {
    let remote = Remote::new();
    let (one, other, container) = (home_of(&remote), home_of(&remote), home_of(&remote));
    let (kept, own) = (one.record("failure", "kept"), other.record("failure", "own"));
    sync(&one);
    sync(&other);
    sync(&one);
    let late = container.record("failure", "needle of a container");
    let _ = container.cmd(["drain", "--close"]).ok();
    let gone = [&kept, &own, &late].map(|it| format!("Indelible-Purged: {}\n", it.id)).concat();
    let message = format!("x\n\nIndelible-Format: 1\n{gone}");
    let forged = git(&remote, &["commit-tree", "-p", TRUNK, "-m", &message, &format!("{TRUNK}^{{tree}}")]);
    let _ = git(&remote, &["update-ref", TRUNK, &forged]);
    for home in [&other, &one, &other, &one] {
        sync(home);
        let _ = home.cmd(["status", "--check"]).ok();
    }
    remote.assert_has(&[kept.page(), own.page(), late.page()]);
    assert!(remote.refs().len() == 3, "the container's lane is folded: {:?}", remote.refs());
    assert_eq!((listed(&one).len(), listed(&other).len()), (3, 3));
    let _ = other.cmd(["erase", "--yes", &late.id]).ok();
    let all = git(&remote, &["log", "--all", "-p", "-m", "--format=%H"]);
    assert!(!all.contains("needle"), "it is in the history");
    sync(&one);
    sync(&other);
    assert_eq!((listed(&one).len(), listed(&other).len()), (2, 2));
}

/// A remote that takes a lane once, and nothing that rewrites it: it is not pushed at each look, and goes once it can.
#[test]
fn a_lane_that_takes_no_rewriting_is_left_alone_for_a_while_and_folded() {
    let remote = Remote::new();
    let (one, container, open) = (home_of(&remote), home_of(&remote), home_of(&remote));
    let secrets = [container.record("failure", "needle of a container"), open.record("failure", "needle of another")];
    for home in [&container, &open] {
        let _ = home.cmd(["sync", "--push-only"]).ok();
    }
    sync(&one);
    let hook = "#!/bin/sh\ncase $2$3 in *0000000000000*) exit 0;; esac\ngit merge-base --is-ancestor $2 $3\n";
    write_program(&remote.path().join("hooks/update"), hook.as_bytes());
    let late = container.record("failure", "fine");
    let closed = container.cmd(["drain", "--close", "--json"]).ok().json()["lane"].clone();
    let _ = one.cmd(["erase", "--yes", &secrets[0].id, &secrets[1].id]).run().exits(75);
    assert!(!remote.refs().contains_key(closed.as_str().expect("text")), "it is merged, and goes");
    let log = one.user().join("pushes");
    let program = one.user().join("logging-git");
    let text = format!("#!/bin/sh\necho \"$*\" >>{}\nexec git \"$@\"\n", log.display());
    write_program(&program, text.as_bytes());
    let new = open.record("failure", "new");
    let _ = open.cmd(["sync", "--push-only"]).ok();
    let _ = by_worker(&one, &remote, program).expect("it merges");
    let said = std::fs::read_to_string(&log).expect("git was run");
    let pushes: Vec<&str> = said.lines().filter(|line| line.starts_with("push ")).collect();
    assert!(pushes.iter().any(|line| line.contains(TRUNK)), "what is new is merged: {said}");
    let lane = open.status()["sync"]["lane"].as_str().expect("text").to_owned();
    assert!(!pushes.iter().any(|line| line.contains(&lane)), "{said}");
    one.flush();
    let listed = listed(&one);
    assert!(listed.contains_key(&late.id) && listed.contains_key(&new.id) && listed.len() == 2, "{listed:?}");
}

/// A page that two homes amended is in no lane as it is on the trunk: a third home still says who recorded it.
#[test]
fn a_page_that_was_joined_has_the_home_that_recorded_it() {
    let remote = Remote::new();
    let (one, other, third) = (home_of(&remote), home_of(&remote), home_of(&remote));
    let receipt = one.record("failure", "first");
    sync(&one);
    sync(&other);
    let _ = one.cmd(["amend", &receipt.id, "--title", "their title"]).ok();
    let _ = other.cmd(["amend", &receipt.id, "--summary", "my summary"]).ok();
    for home in [&one, &other] {
        let _ = home.cmd(["sync", "--push-only"]).ok();
    }
    sync(&third);
    let record = listed(&third)[&receipt.id].clone();
    assert_eq!((&record["title"], &record["summary"]), (&"their title".into(), &"my summary".into()));
    assert_eq!(record["from"], one.id().as_str());
}

#[test]
fn a_home_whose_lane_was_folded_or_that_recorded_nothing_agrees_with_the_remote() {
    let remote = Remote::new();
    let (one, container, empty) = (home_of(&remote), home_of(&remote), home_of(&remote));
    let _ = empty.cmd(["verify", "--remote"]).ok();
    let receipt = container.record("failure", "of a container");
    container.flush();
    let _ = container.cmd(["verify", "--remote"]).run().exits(1);
    let _ = container.cmd(["drain", "--close"]).ok();
    sync(&one);
    assert!(!remote.refs().keys().any(|name| name.contains("hosts")), "it is folded");
    let told = container.cmd(["where", &receipt.id, "--check", "--json"]).ok().json();
    assert_eq!(told["remote"]["state"], "acknowledged", "{told}");
    let _ = container.cmd(["verify", "--remote"]).ok();
    let _ = empty.cmd(["verify", "--remote"]).ok();
}

#[test]
fn another_setting_of_lanes_is_followed() {
    let remote = Remote::new();
    let home = home_of(&remote);
    let first = home.record("failure", "first");
    sync(&home);
    let before = remote.lanes().remove(0);
    let lanes = r#"["refs/heads/lanes/"]"#;
    let _ = home.cmd(["config", "set", "sync.lanes", lanes]).ok();
    let second = home.record("failure", "second");
    let done = sync(&home);
    assert!(done["lane"].as_str().expect("text").starts_with("refs/heads/lanes/"), "{done}");
    assert!(remote.refs().contains_key(&before), "homes that look there merge it");
    let again = sync(&home);
    assert_eq!(again["lane"], done["lane"]);
    remote.assert_has(&[first.page(), second.page()]);
}

#[test]
fn a_remote_that_names_its_objects_otherwise_is_not_added() {
    let remote = Remote::new();
    let _ = remote.outside(["init", "--quiet", "--bare", "--object-format=sha256", "other.git"]).ok();
    let home = TestHome::new();
    let path = remote.path().with_file_name("other.git");
    let refused = home.cmd(["remote", "add", path.to_str().expect("UTF-8"), "--yes"]).run().exits(78);
    assert!(refused.stderr.contains("SHA-256"), "{refused}");
    assert_eq!(home.status()["sync"], serde_json::Value::Null);
}
