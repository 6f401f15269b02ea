//! Lanes: what a home records gets onto a git remote, once, and nothing else does; whatever is killed, refuses, hangs or races.
//!
//! The remotes are real: a bare folder, and `git http-backend` on 127.0.0.1. What is on them is read by the git program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::erase::assert_nowhere;
use crate::support::{
    Answer, Cmd, HttpGit, Receipt, TestHome, Worker, in_parallel, repository, wait_for, write_program,
};

/// A bare repository in a folder, as a remote.
struct Remote {
    folder: tempfile::TempDir,
}

/// The prefix of lanes.
const HOSTS: &str = "refs/indelible/hosts/";

impl Remote {
    fn new() -> Remote {
        let folder = tempfile::Builder::new().prefix("indelible-remote-").tempdir().expect("a folder");
        let remote = Remote { folder };
        let _ = remote.git_at(remote.folder.path(), ["init", "--quiet", "--bare", "-b", "main", "memory.git"]).ok();
        let _ = remote.git(["config", "http.receivepack", "true"]).ok();
        remote
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("memory.git")
    }

    fn url(&self) -> String {
        self.path().to_str().expect("it is text").to_owned()
    }

    fn git_at<const N: usize>(&self, folder: &Path, args: [&str; N]) -> Cmd {
        Cmd::new("git", self.folder.path()).env("GIT_CONFIG_NOSYSTEM", "1").folder(folder).args(args)
    }

    fn git<const N: usize>(&self, args: [&str; N]) -> Cmd {
        self.git_at(&self.path(), args)
    }

    fn hook(&self, name: &str, text: &str) {
        write_program(&self.path().join("hooks").join(name), format!("#!/bin/sh\n{text}\n").as_bytes());
    }

    /// Its references and where they are.
    fn refs(&self) -> BTreeMap<String, String> {
        let text = self.git(["for-each-ref", "--format=%(refname) %(objectname)"]).ok().stdout;
        let pair = |line: &str| line.split_once(' ').map(|(name, at)| (name.to_owned(), at.to_owned()));
        text.lines().filter_map(pair).collect()
    }

    /// The lanes' names.
    fn lanes(&self) -> Vec<String> {
        self.refs().into_keys().filter(|name| name.contains("indelible")).collect()
    }

    /// Every path that any lane has.
    fn paths(&self) -> BTreeSet<String> {
        let of = |lane: &String| self.git(["ls-tree", "-r", "--name-only", lane.as_str()]).ok().stdout;
        self.lanes().iter().flat_map(|lane| of(lane).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// How many commits introduce each path, over all lanes.
    fn introduced(&self) -> BTreeMap<String, usize> {
        let log = self.git(["log", "--all", "--diff-filter=A", "--name-only", "--format="]).ok().stdout;
        let mut introduced = BTreeMap::new();
        log.lines()
            .filter(|line| !line.is_empty())
            .for_each(|path| *introduced.entry(path.to_owned()).or_default() += 1);
        introduced
    }

    /// Whether any object, reachable or not, has `text`.
    fn has_anywhere(&self, text: &str) -> bool {
        let mut git = self.git(["cat-file", "--batch-all-objects", "--batch", "--unordered"]).into_command();
        let objects = git.output().expect("git runs").stdout;
        objects.windows(text.len()).any(|it| it == text.as_bytes())
    }

    /// Holds that the remote has exactly the pages of `receipts`, each introduced once, and is sound.
    #[track_caller]
    fn assert_has_exactly(&self, receipts: &[Receipt]) {
        let wanted: BTreeSet<String> = receipts.iter().map(Receipt::page).collect();
        assert_eq!(self.paths(), wanted);
        let twice: Vec<_> = self.introduced().into_iter().filter(|(_, times)| *times != 1).collect();
        assert!(twice.is_empty(), "introduced more than once: {twice:?}");
        let _ = self.git(["fsck", "--strict"]).ok();
    }
}

/// A home with the remote `url`, added by its command.
fn home_of(url: &str) -> TestHome {
    let home = TestHome::new();
    add(&home, url);
    home
}

fn add(home: &TestHome, url: &str) {
    let _ = home.cmd(["remote", "add", url, "--yes"]).ok();
}

fn drain(home: &TestHome) -> Value {
    let outcome = home.cmd(["drain", "--json", "--timeout", "20"]).run();
    outcome.json()
}

fn sync_of(home: &TestHome) -> Value {
    home.status()["sync"].clone()
}

#[test]
fn what_is_recorded_gets_to_the_remote_and_nothing_else_does() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let receipts = home.record_each("first");
    let drained = home.cmd(["drain", "--json"]).ok().json();
    assert_eq!((&drained["reached"], &drained["records"], &drained["unreached"]), (&true.into(), &5.into(), &0.into()));
    remote.assert_has_exactly(&receipts);
    let lanes = remote.lanes();
    assert_eq!(lanes.len(), 1);
    assert!(lanes[0].starts_with(HOSTS), "{lanes:?}");
    assert_eq!(drained["lane"], lanes[0].as_str());
    assert_eq!(remote.refs().len(), 1, "nothing else is there");
    let message = remote.git(["log", "-1", "--format=%an <%ae>%n%B", &lanes[0]]).ok().stdout;
    assert!(message.starts_with("indelible <indelible@localhost>\nRecord 1 failure, 1 success, 1 "), "{message}");
    assert!(!message.contains("first"), "a title is nobody's business: {message}");
    assert!(message.contains(&format!("Indelible-Home: {}\n", home.id())), "{message}");
    let status = sync_of(&home);
    assert_eq!((&status["unpushed"], &status["error"]), (&0.into(), &Value::Null));
    let again = drain(&home);
    assert_eq!((&again["reached"], &again["records"]), (&true.into(), &0.into()));
    assert_eq!(
        home.git(["for-each-ref"]).ok().stdout.lines().count(),
        2,
        "the home's own repository has no reference of it"
    );
    home.assert_settled();
}

#[test]
fn a_push_brings_what_is_new_and_an_amendment_its_new_bytes() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let first = home.record("failure", "one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let second = home.record("success", "two");
    let _ = home.cmd(["amend", &first.id, "--title", "one, corrected"]).ok();
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let lane = remote.lanes().remove(0);
    let message = remote.git(["log", "-1", "--format=%B", &lane]).ok().stdout;
    assert!(message.starts_with("Record 1 success; amend 1 record\n"), "{message}");
    assert!(message.contains("Indelible-Records: 2 2\n"), "{message}");
    remote.assert_has_exactly(&[first.clone(), second.clone()]);
    let page = remote.git(["show", &format!("{lane}:{}", first.page())]).ok().stdout;
    assert!(page.contains("one, corrected"), "{page}");
    let _ = home.cmd(["retract", &second.id]).ok();
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert!(remote.paths().iter().any(|path| path.starts_with("memory/retracted/")), "the tombstone is a record");
    let told = home.cmd(["where", &second.id, "--json"]).ok().json();
    assert_eq!((&told["state"], &told["remote"]["state"]), (&"retracted".into(), &"acknowledged".into()), "{told}");
    assert!(told["commit"].is_string(), "its state file was committed: {told}");
    assert_eq!(remote.git(["rev-list", "--count", &lane]).ok().stdout.trim(), "3");
    let told = home.cmd(["where", &first.id, "--check", "--json"]).ok().json();
    assert_eq!(told["remote"]["state"], "acknowledged");
    assert_eq!(told["file"], "whole");
    assert!(told["commit"].is_string() && told["remote"]["lane_commit"].is_string(), "{told}");
}

#[test]
fn a_kill_at_each_step_of_a_push_introduces_nothing_twice() {
    for point in ["SyncBeforeTip", "SyncAfterTip", "SyncAfterPush", "SyncAfterAcked"] {
        let remote = Remote::new();
        let home = home_of(&remote.url());
        let mut receipts = vec![home.record("failure", "before")];
        let _ = home.cmd(["sync", "--push-only"]).ok();
        receipts.extend(home.record_each("killed"));
        home.flush();
        let _ = home.cmd(["sync", "--push-only"]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        let drained = drain(&home);
        assert_eq!(drained["reached"], true, "{point}: {drained}");
        remote.assert_has_exactly(&receipts);
        let count = remote.git(["rev-list", "--all", "--count"]).ok().stdout;
        assert_eq!(count.trim(), "2", "{point}: the same commit was pushed");
    }
}

#[test]
fn a_first_push_that_is_killed_is_made_again_with_the_same_id() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let receipts = home.record_each("first");
    home.flush();
    let _ = home.cmd(["sync", "--push-only"]).env("INDELIBLE_CRASH_AT", "SyncAfterPush").run().aborted();
    let pushed = remote.refs();
    assert_eq!(pushed.len(), 1, "the remote has it, and nothing is noted");
    std::fs::remove_dir_all(home.join(".indelible/sync.git")).expect("it is a cache");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.refs(), pushed);
    remote.assert_has_exactly(&receipts);
}

#[test]
fn an_answer_that_is_lost_is_no_second_push() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::CutPush);
    let home = TestHome::new();
    let _ = home.cmd(["remote", "add", &server.url("memory.git"), "--public", "--yes"]).ok();
    let receipts = home.record_each("lost");
    let outcome = home.cmd(["sync", "--push-only", "--json"]).run().exits(75).json();
    assert_eq!((&outcome["reached"], &outcome["class"]), (&false.into(), &"later".into()), "{outcome}");
    assert_eq!(remote.lanes().len(), 1, "the server took it");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    remote.assert_has_exactly(&receipts);
    assert_eq!(remote.git(["rev-list", "--all", "--count"]).ok().stdout.trim(), "1");
}

/// Containers of one image have one lane's id, and nothing tells one from the other: the second one to push begins another lane, and no
/// push takes anything away.
#[test]
fn copies_of_a_home_have_a_lane_each() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let mut receipts = vec![home.record("failure", "in the image")];
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let copies: Vec<TestHome> = (0..2).map(|_| copy_of(&home)).collect();
    for copy in &copies {
        // A copy has a journal of its own, by which it is known. In a container of the same image it would not.
        copy.flush();
        let text = std::fs::read_to_string(copy.join(".indelible/sync.json")).expect("it is text");
        let text = text.replace(&home.journal_id(), &copy.journal_id());
        std::fs::write(copy.join(".indelible/sync.json"), text).expect("it can be written");
        receipts.push(copy.record("success", "in a container"));
    }
    let wanted: BTreeSet<String> = receipts.iter().map(Receipt::page).collect();
    for copy in &copies {
        assert_eq!(drain(copy)["reached"], true);
    }
    assert_eq!(remote.lanes().len(), 2, "the first copy goes on with the lane of the image");
    assert_eq!(remote.paths(), wanted);
    receipts.push(home.record("failure", "where it came from"));
    receipts.extend(copies.iter().map(|copy| copy.record("failure", "again")));
    for home in copies.iter().chain([&home]) {
        assert_eq!(drain(home)["reached"], true);
    }
    assert_eq!(remote.lanes().len(), 3);
    assert_eq!(remote.paths(), receipts.iter().map(Receipt::page).collect());
}

/// A copy that is known as one has a lane of its own from its first push on.
#[test]
fn a_copy_that_is_known_as_one_begins_another_lane() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let first = home.record("failure", "before");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let copy = copy_of(&home);
    let second = copy.record("failure", "after");
    assert_eq!(drain(&copy)["reached"], true);
    assert_eq!(remote.lanes().len(), 2);
    remote.assert_has_exactly(&[first, second]);
}

pub fn copy_of(home: &TestHome) -> TestHome {
    let copy = TestHome::absent();
    let _ = Cmd::new("cp", home.user()).args(["-a"]).args([home.path(), copy.path()]).ok();
    let _ =
        Cmd::new("cp", home.user()).args(["-a"]).args([home.user().join(".config"), copy.user().join(".config")]).ok();
    let _ = copy.cmd(["trust", copy.path().to_str().expect("text")]).ok();
    copy
}

#[test]
fn a_lane_that_someone_deleted_is_put_there_again_and_an_emptied_remote_is_not_refilled() {
    let remote = Remote::new();
    let (home, other) = (home_of(&remote.url()), home_of(&remote.url()));
    let receipts = [home.record("failure", "one"), other.record("failure", "two")];
    for home in [&home, &other] {
        let _ = home.cmd(["sync", "--push-only"]).ok();
    }
    let lane = sync_of(&home)["lane"].as_str().expect("it has one").to_owned();
    let _ = remote.git(["update-ref", "-d", &lane]).ok();
    let _ = home.cmd(["sync", "--push-only"]).ok();
    remote.assert_has_exactly(&receipts);
    for lane in remote.lanes() {
        let _ = remote.git(["update-ref", "-d", &lane]).ok();
    }
    let refused = home.cmd(["sync", "--push-only", "--json"]).run().exits(78).json();
    assert_eq!(refused["class"], "config", "{refused}");
    // Looking does not change that, and neither does a lost cache.
    let _ = home.cmd(["where", &receipts[0].id, "--check"]).ok();
    let _ = home.cmd(["sync", "--push-only"]).run().exits(78);
    std::fs::remove_dir_all(home.join(".indelible/sync.git")).expect("it is a cache");
    let _ = home.cmd(["drain"]).run().exits(78);
    assert_eq!(remote.refs().len(), 0);
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    let _ = home.cmd(["sync", "--push-only", "--refill"]).ok();
    remote.assert_has_exactly(&receipts[..1]);
    assert_eq!(sync_of(&home)["error"], Value::Null);
}

#[test]
fn a_lane_that_fell_back_is_pushed_again() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let first = home.record("failure", "one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let lane = remote.lanes().remove(0);
    let old = remote.refs()[&lane].clone();
    let second = home.record("failure", "two");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let _ = remote.git(["update-ref", &lane, &old]).ok();
    let told = home.cmd(["where", &second.id, "--check", "--json"]).ok().json();
    assert_eq!(told["remote"]["state"], "unpushed", "{told}");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    remote.assert_has_exactly(&[first, second]);
}

#[test]
fn a_cache_that_is_deleted_or_damaged_is_made_again_from_the_remote() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let mut receipts = home.record_each("one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let lanes = remote.lanes();
    let cache = home.join(".indelible/sync.git");
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::remove_dir_all(&cache).expect("it can be removed"),
        &|| std::fs::remove_dir_all(cache.join("objects")).expect("it can be removed"),
        &|| std::fs::write(cache.join("HEAD"), "garbage").expect("it can be written"),
    ];
    for damage in damages {
        damage();
        receipts.push(home.record("success", "after the damage"));
        let _ = home.cmd(["sync", "--push-only"]).ok();
        assert_eq!(remote.lanes(), lanes, "it is the same lane");
        remote.assert_has_exactly(&receipts);
    }
}

#[test]
fn locks_that_a_killed_git_left_are_no_obstacle() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let _ = home.record("failure", "one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let cache = home.join(".indelible/sync.git");
    for lock in
        ["refs/indelible/lane.lock", "refs/indelible/acked.lock", "packed-refs.lock", "HEAD.lock", "config.lock"]
    {
        std::fs::write(cache.join(lock), "").expect("it can be written");
    }
    let _ = home.record("failure", "two");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.paths().len(), 2);
}

/// What a kill leaves among the packs: unfinished ones, a pack whose index was not named yet, and the other way round.
#[test]
fn packs_that_a_kill_left_half_way_are_removed() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let _ = home.record("failure", "one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let packs = home.join(".indelible/sync.git/objects/pack");
    let left = [
        "tmp_0123_pack".to_owned(),
        "tmp_0123_idx".to_owned(),
        format!("pack-{}.pack", "a".repeat(40)),
        format!("pack-{}.idx", "b".repeat(40)),
    ];
    for name in &left {
        std::fs::write(packs.join(name), "half of it").expect("it can be written");
    }
    let _ = home.record("failure", "two");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.paths().len(), 2);
    for name in &left {
        assert!(!packs.join(name).exists(), "{name} is left");
    }
    let whole = std::fs::read_dir(&packs).expect("it can be listed").count();
    assert!(whole >= 2 && whole.is_multiple_of(2), "each pack has its index still: {whole} files");
}

/// A title with a secret is in the record's path for good: an amended title does not take it out of there.
#[test]
fn a_secret_that_an_amended_title_had_is_not_pushed_in_the_path() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    const SECRET: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let is_there = || remote.has_anywhere("ghp-0123456789") || remote.has_anywhere(SECRET);
    let secret = home.record("failure", &format!("with {SECRET}"));
    let plain = home.record("failure", "of no words like that");
    assert_eq!(drain(&home)["held"][0]["id"], secret.id.as_str());
    let _ = home.cmd(["amend", &secret.id, "--title", "clean"]).ok();
    let _ = home.cmd(["amend", &plain.id, "--title", "of none either"]).ok();
    for command in [["sync", "--json"], ["drain", "--json"]] {
        let said = home.cmd(command).run().exits(77).json();
        assert!(said["held"][0]["why"].as_str().expect("text").contains("its path"), "{said}");
    }
    remote.assert_has_exactly(std::slice::from_ref(&plain));
    assert!(!is_there());
    // What is there under its path already says nothing new.
    let _ = home.cmd(["amend", &plain.id, "--title", SECRET]).ok();
    assert_eq!(drain(&home)["held"].as_array().map(Vec::len), Some(2));
    let _ = home.cmd(["amend", &plain.id, "--title", "clean again"]).ok();
    assert_eq!(drain(&home)["held"].as_array().map(Vec::len), Some(1));
    assert!(!is_there());
    let _ = home.cmd(["erase", &secret.id, "--yes"]).ok();
    assert_eq!(drain(&home)["reached"], true);
}

/// A hook that refuses one record of 64: the others arrive, and that one is held and named.
#[test]
fn a_record_that_the_remote_refuses_is_held_alone() {
    let remote = Remote::new();
    remote.hook(
        "pre-receive",
        "while read old new ref; do git ls-tree -r --name-only $new | grep -q unwanted && { echo 'no unwanted things' >&2; exit 1; }\n\
         done; exit 0",
    );
    let home = home_of(&remote.url());
    let receipts: Vec<Receipt> = (0..64).map(|number| home.record("failure", &title(number))).collect();
    let (refused, others): (Vec<_>, Vec<_>) = receipts.iter().partition(|it| it.page().contains("unwanted"));
    let drained = home.cmd(["drain", "--json", "--timeout", "120"]).run().exits(77).json();
    assert_eq!((&drained["reached"], &drained["class"]), (&false.into(), &"refused".into()), "{drained}");
    assert_eq!(drained["held"][0]["id"], refused[0].id.as_str());
    assert_eq!(remote.paths().len(), others.len());
    let status = sync_of(&home);
    assert!(status["held"][0]["why"].as_str().expect("text").contains("no unwanted things"), "{status}");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    let told = home.cmd(["where", &refused[0].id, "--json"]).ok().json();
    assert_eq!(told["remote"]["state"], "held");
    // What comes later is not kept up, and the refused one is tried again when a person asks.
    let _ = home.record("failure", "later");
    let _ = home.cmd(["drain"]).run().exits(77);
    assert_eq!(remote.paths().len(), others.len() + 1);
    std::fs::remove_file(remote.path().join("hooks/pre-receive")).expect("it can be removed");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.paths().len(), receipts.len() + 1);
    assert_eq!(sync_of(&home)["held"], Value::Array(Vec::new()));
}

fn title(number: u32) -> String {
    if number == 41 { "number 41 is unwanted".to_owned() } else { format!("number {number}") }
}

/// A full disk on the server, say: three records, fewer than would show a pattern. They are not held, and the next push brings them.
#[test]
fn a_refusal_that_passes_holds_no_record() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    for round in 0..2 {
        let mut receipts: Vec<Receipt> = (0..3).map(|it| home.record("failure", &format!("{round} {it}"))).collect();
        remote.hook("pre-receive", "echo full >&2; exit 1");
        let refused = home.cmd(["drain", "--json", "--timeout", "20"]).run().exits(77).json();
        assert_eq!((&refused["class"], &refused["held"]), (&"refused".into(), &Value::Array(Vec::new())), "{refused}");
        let status = sync_of(&home);
        assert_eq!((&status["unpushed"], &status["error"]["class"]), (&3.into(), &"refused".into()), "{status}");
        std::fs::remove_file(remote.path().join("hooks/pre-receive")).expect("it can be removed");
        assert_eq!(drain(&home)["records"], 3);
        // One that is refused for itself is held, though nothing else is new.
        remote.hook(
            "pre-receive",
            "while read o n r; do git ls-tree -r --name-only $n | grep -q unwanted && exit 1; done; exit 0",
        );
        let alone = home.record("failure", &format!("unwanted {round}"));
        assert_eq!(drain(&home)["held"][0]["id"], alone.id.as_str());
        let count = |name: &str| remote.git(["rev-list", "--count", name]).ok().stdout;
        let (lane, before) = (remote.lanes().remove(0), count(&remote.lanes().remove(0)));
        let _ = home.cmd(["sync", "--push-only"]).run().exits(77);
        assert_eq!(count(&lane), before, "it is known to be refused for itself");
        let _ = home.cmd(["erase", "--yes", &alone.id]).run();
        std::fs::remove_file(remote.path().join("hooks/pre-receive")).expect("it can be removed");
        receipts.clear();
        assert_eq!(drain(&home)["reached"], true);
    }
}

/// What was acknowledged once is asked for again: the lane can be gone, and so can the remote.
#[test]
fn a_drain_asks_the_remote_though_nothing_is_new() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let other = home_of(&remote.url());
    let receipts = [home.record("failure", "one"), other.record("failure", "other")];
    assert_eq!((&drain(&home)["reached"], &drain(&other)["reached"]), (&true.into(), &true.into()));
    let lane = drain(&home)["lane"].as_str().expect("text").to_owned();
    let _ = remote.git(["update-ref", "-d", &lane]).ok();
    assert_eq!(drain(&home)["reached"], true);
    remote.assert_has_exactly(&receipts);
    std::fs::remove_dir_all(remote.path()).expect("it can be removed");
    let gone = home.cmd(["drain", "--json", "--timeout", "5"]).run().exits(78).json();
    assert_eq!(gone["reached"], false, "{gone}");
}

/// A job that is ended while git waits for a server leaves no git behind.
#[test]
fn a_sync_that_is_asked_to_stop_ends_what_it_started() {
    let remote = Remote::new();
    for (command, signal) in [("drain", Signal::TERM), ("sync", Signal::HUP)] {
        let home = home_of(&remote.url());
        let _ = home.record("failure", "waits");
        let (script, pid) = (home.user().join("ssh"), home.user().join("pid"));
        write_program(
            &script,
            format!("#!/bin/sh\necho $$ >{}.new; mv {0}.new {0}\nexec sleep 77\n", pid.display()).as_bytes(),
        );
        let cmd = home.cmd([command]).env("GIT_SSH_COMMAND", script.to_str().expect("UTF-8"));
        let mut child = cmd.env("INDELIBLE_REMOTE", "git@host:m.git").into_command().spawn().expect("it starts");
        wait_for("git waits for the server", || pid.exists().then_some(()));
        let waiting = std::fs::read_to_string(&pid).expect("it is there").trim().to_owned();
        let process = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
        rustix::process::kill_process(process, signal).expect("it can be asked");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(75), "{command}");
        let stat = std::fs::read_to_string(format!("/proc/{waiting}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{command} has left {stat}");
    }
}

#[test]
fn a_remote_that_refuses_everything_holds_no_record() {
    let remote = Remote::new();
    remote.hook("pre-receive", "echo closed >&2; exit 1");
    let home = home_of(&remote.url());
    for number in 0..24 {
        let _ = home.record("failure", &format!("number {number}"));
    }
    let refused = home.cmd(["sync", "--push-only", "--json"]).run().exits(77).json();
    assert_eq!((&refused["class"], &refused["held"]), (&"refused".into(), &Value::Array(Vec::new())), "{refused}");
    assert_eq!(sync_of(&home)["unpushed"], 24);
    let metrics = home.cmd(["status", "--metrics"]).ok().stdout;
    assert!(metrics.contains("target=\"remote\"} 24"), "{metrics}");
    std::fs::remove_file(remote.path().join("hooks/pre-receive")).expect("it can be removed");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.paths().len(), 24);
}

#[test]
fn a_prefix_that_is_refused_gives_way_to_the_next_which_is_remembered() {
    let remote = Remote::new();
    remote.hook("update", "case $1 in refs/heads/*) exit 0;; esac; echo 'branches only' >&2; exit 1");
    let home = home_of(&remote.url());
    let receipts = home.record_each("one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    remote.assert_has_exactly(&receipts);
    let lanes = remote.lanes();
    assert!(lanes[0].starts_with("refs/heads/indelible-host/"), "{lanes:?}");
    let _ = home.record("failure", "two");
    let drained = drain(&home);
    assert_eq!((&drained["reached"], &drained["attempts"]), (&true.into(), &1.into()), "{drained}");
    let third = home_of(&remote.url());
    let _ = third.record("failure", "three");
    let set = ["--set", "sync.lanes=[\"refs/heads/claude/indelible-\"]", "sync", "--push-only"];
    let _ = third.cmd(set).ok();
    assert!(remote.lanes().iter().any(|lane| lane.starts_with("refs/heads/claude/indelible-")), "{:?}", remote.lanes());
}

#[test]
fn records_with_secrets_stay_here() {
    const SECRET: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let secret = home.record("failure", &format!("pushed with {SECRET}"));
    let fine = home.record("failure", "nothing special");
    let drained = home.cmd(["drain", "--json"]).run().exits(77).json();
    assert_eq!(drained["held"][0]["id"], secret.id.as_str());
    assert_eq!(remote.paths(), BTreeSet::from([fine.page()]));
    assert!(!remote.has_anywhere(SECRET));
    // Its path has the words of its first title, of which the new one is a part.
    let _ = home.cmd(["amend", &secret.id, "--title", "pushed with"]).ok();
    let _ = home.cmd(["drain"]).run().exits(77);
    assert_eq!(remote.paths(), BTreeSet::from([fine.page()]));
    let _ = home.cmd(["erase", "--yes", &secret.id]).run();
    let secret = home.record("failure", "pushed with a token");
    let _ = home.cmd(["amend", &secret.id, "--summary", &format!("it was {SECRET}")]).ok();
    let _ = home.cmd(["drain"]).run().exits(77);
    let _ = home.cmd(["amend", &secret.id, "--summary", "it was mine"]).ok();
    let _ = home.cmd(["drain"]).ok();
    assert!(!remote.has_anywhere(SECRET), "the projection takes the page as it is now");
    let _ = home.record("failure", &format!("again {SECRET}"));
    let _ = home.cmd(["--set", "sync.hold_secrets=false", "drain"]).ok();
    assert!(remote.has_anywhere(SECRET), "only if the user wants it");
}

/// A guest home in a project with unpushed commits, hostile settings, and hooks: only records get out, and nothing of the
/// project's runs or changes.
#[test]
fn a_projects_own_commits_settings_and_hooks_stay_out_of_it() {
    let remote = Remote::new();
    let home = repository();
    std::fs::write(home.path().join("private.txt"), "a private marker\n").expect("it can be written");
    for args in
        [&["add", "private.txt"][..], &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "private"]]
    {
        let _ = home.git(args).ok();
    }
    let _ = home.cmd(["init"]).ok();
    add(&home, &remote.url());
    let log = home.user().join("hooks.log");
    let hooks = home.user().join("hooks");
    std::fs::create_dir(&hooks).expect("it can be made");
    for hook in ["pre-push", "reference-transaction", "post-update", "fsmonitor"] {
        write_program(&hooks.join(hook), format!("#!/bin/sh\necho {hook} >>{}\n", log.display()).as_bytes());
    }
    // What a folder remote runs on its own side is its own: the hooks of the one who pushes are for this side.
    let settings = format!(
        "[push]\n\tgpgSign = true\n\tpushOption = x\n\tfollowTags = true\n[core]\n\tfsmonitor = {0}/fsmonitor\n[gc]\n\tauto = 1\n\
         [commit]\n\tgpgSign = true\n[init]\n\tdefaultRefFormat = reftable\n\tdefaultObjectFormat = sha256\n\ttemplateDir = {0}\n",
        hooks.display()
    );
    std::fs::write(home.user().join(".gitconfig"), settings).expect("it can be written");
    let _ = home.git(["config", "core.hooksPath", hooks.to_str().expect("text")]).ok();
    let receipts = home.record_each("in a project");
    home.flush();
    let before = state_of(&home);
    let _ = std::fs::remove_file(&log);
    let drained = drain(&home);
    assert_eq!(drained["reached"], true, "{drained}");
    assert!(!log.exists(), "{:?}", std::fs::read_to_string(&log));
    remote.assert_has_exactly(&receipts);
    assert!(!remote.has_anywhere("a private marker"));
    assert_eq!(state_of(&home), before, "references, settings and work tree of the project are as they were");
}

fn state_of(home: &TestHome) -> Vec<String> {
    let said = |args: &[&str]| home.git(args.iter().copied()).ok().stdout;
    vec![
        said(&["for-each-ref"]),
        said(&["config", "--local", "--list"]),
        said(&["status", "--porcelain"]),
        said(&["rev-parse", "HEAD"]),
        said(&["remote"]),
    ]
}

#[test]
fn a_sync_from_within_a_git_hook_touches_no_other_repository() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let other = repository();
    let receipts = home.record_each("from a hook");
    home.flush();
    let before = state_of(&other);
    let git = other.path().join(".git");
    let objects = || Cmd::new("find", other.user()).args([git.join("objects").as_os_str()]).ok().stdout;
    let objects_before = objects();
    let drained = home
        .cmd(["drain", "--json"])
        .folder(other.path())
        .env("GIT_DIR", &git)
        .env("GIT_INDEX_FILE", git.join("index"))
        .env("GIT_WORK_TREE", other.path())
        .env("GIT_NAMESPACE", "elsewhere")
        .env("GIT_QUARANTINE_PATH", git.join("objects/incoming"))
        .env("GIT_OBJECT_DIRECTORY", git.join("objects"))
        .env("GIT_CONFIG_PARAMETERS", "'core.bare=false'")
        .env("GIT_PUSH_OPTION_COUNT", "1")
        .env("GIT_PUSH_OPTION_0", "x")
        .ok()
        .json();
    assert_eq!(drained["reached"], true);
    remote.assert_has_exactly(&receipts);
    assert_eq!(state_of(&other), before);
    assert_eq!(objects(), objects_before, "no object is written there");
}

#[test]
fn a_password_comes_from_the_users_git_and_is_never_asked_for_or_shown() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Password);
    let home = TestHome::new();
    let asked = home.user().join("asked");
    let askpass = home.user().join("askpass");
    write_program(&askpass, format!("#!/bin/sh\necho x >>{}\necho x\n", asked.display()).as_bytes());
    let url = server.url("memory.git");
    let add = |home: &TestHome, url: &str| {
        home.cmd(["remote", "add", url, "--yes"]).env("GIT_ASKPASS", &askpass).env("SSH_ASKPASS", &askpass).run()
    };
    let refused = add(&home, &url).exits(77);
    assert!(!asked.exists(), "nothing was asked");
    assert!(refused.stderr.contains("nothing is lost"), "{refused}");
    // A helper of the user's, as git has it configured.
    let helper =
        "[credential]\n\thelper = \"!f() { test $1 = get && echo username=ada && echo password=s3cret; }; f\"\n";
    std::fs::write(home.user().join(".gitconfig"), helper).expect("it can be written");
    let _ = add(&home, &url).exits(0);
    let receipts = home.record_each("with a password");
    let _ = home.cmd(["drain"]).ok();
    remote.assert_has_exactly(&receipts);
    let tested = home.cmd(["remote", "test", "--json"]).ok().json();
    assert_eq!((&tested["public"], &tested["takes_pushes"]), (&false.into(), &true.into()), "{tested}");
    // In the address itself it is used, and shown nowhere.
    let other = TestHome::new();
    let outcome = add(&other, &server.url_with_password("memory.git")).exits(0);
    let _ = other.record("failure", "one");
    let shown = [
        format!("{outcome}"),
        format!("{}", other.cmd(["drain", "--json"]).ok()),
        format!("{}", other.cmd(["remote", "show"]).ok()),
        format!("{}", other.cmd(["status"]).ok()),
    ];
    server.answers(Answer::Status(403));
    let failed = other.cmd(["sync", "--push-only"]).run().exits(77);
    for text in shown.iter().map(String::as_str).chain([failed.stdout.as_str(), failed.stderr.as_str()]) {
        assert!(!text.replace(&server.url_with_password("memory.git"), "").contains("s3cret"), "{text}");
    }
}

#[test]
fn a_remote_that_everybody_can_read_is_refused_unless_that_is_said() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Serve);
    let home = TestHome::new();
    let url = server.url("memory.git");
    let refused = home.cmd(["remote", "add", &url, "--yes"]).run().exits(78);
    assert!(refused.stderr.contains("everybody can read it"), "{refused}");
    // By an address of the user's own, it is the same remote.
    let instead = format!("[url \"{}\"]\n\tinsteadOf = work:\n", url.trim_end_matches("memory.git"));
    std::fs::write(home.user().join(".gitconfig"), instead).expect("writable");
    let refused = home.cmd(["remote", "add", "work:memory.git", "--yes"]).run().exits(78);
    assert!(refused.stderr.contains("everybody can read it"), "{refused}");
    let _ = home.record("failure", "one");
    let _ = home.cmd(["drain"]).env("INDELIBLE_REMOTE", &url).run().exits(78);
    assert_eq!(remote.refs().len(), 0);
    let _ = home.cmd(["remote", "add", &url, "--public", "--yes"]).ok();
    let _ = home.cmd(["drain"]).ok();
    assert_eq!(remote.lanes().len(), 1);
}

/// What a container does: one variable, nothing configured, a drain at its end. It is cheap.
#[test]
fn a_container_drains_with_one_variable_and_few_requests() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Serve);
    let home = TestHome::new();
    let receipts: Vec<Receipt> = (0..20).map(|number| home.record("failure", &format!("number {number}"))).collect();
    let _ = server.traffic();
    let drained = home
        .cmd(["drain", "--json", "--close"])
        .env("INDELIBLE_REMOTE", server.url("memory.git"))
        .env("INDELIBLE_SYNC_PUBLIC", "true")
        .ok()
        .json();
    assert_eq!((&drained["reached"], &drained["records"]), (&true.into(), &20.into()), "{drained}");
    remote.assert_has_exactly(&receipts);
    let (requests, bytes) = server.traffic();
    assert!(requests <= 3 && bytes <= 15_000, "{requests} requests, {bytes} bytes");
    let message = remote.git(["log", "-1", "--format=%B", &remote.lanes()[0]]).ok().stdout;
    assert!(message.contains("Indelible-Closed: true\n"), "{message}");
}

/// One list of references says where the lane is and what others have: the greeting of the protocol, and the list.
#[test]
fn a_sync_with_nothing_new_asks_the_remote_once() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Serve);
    let (home, importer) = (TestHome::new(), TestHome::new());
    let receipt = home.record("failure", "one");
    let sync = |home: &TestHome| {
        let sync = home.cmd(["sync", "--json"]);
        let sync = sync.env("INDELIBLE_REMOTE", server.url("memory.git")).env("INDELIBLE_SYNC_PUBLIC", "true");
        let synced = sync.ok().json();
        assert_eq!(synced["reached"], true, "{synced}");
        server.traffic().0
    };
    for home in [&home, &importer] {
        let _ = (sync(home), sync(home));
        assert!(home.join(&receipt.page()).is_file(), "it was imported");
        let requests = sync(home);
        assert!((1..=2).contains(&requests), "{requests} requests");
    }
}

#[test]
fn what_cannot_be_reached_is_said_by_class() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Serve);
    let home = TestHome::new();
    let _ = home.record("failure", "one");
    let _ = home.cmd(["drain"]).run().exits(78);
    let _ = home.cmd(["sync", "--push-only", "--json"]).run().exits(78);
    let drained = |url: &str| {
        let outcome = home.cmd(["drain", "--json", "--timeout", "3"]).env("INDELIBLE_REMOTE", url).run();
        (outcome.code(), outcome.json()["class"].as_str().map(str::to_owned))
    };
    let class = |name: &str| Some(name.to_owned());
    assert_eq!(drained("/nonexistent/memory.git"), (Some(78), class("config")));
    assert_eq!(drained("http://127.0.0.1:9/memory.git"), (Some(75), class("later")), "nothing listens there");
    for (status, code, name) in
        [(404, 78, "config"), (403, 77, "person"), (401, 77, "person"), (503, 75, "later"), (429, 75, "later")]
    {
        server.answers(Answer::Status(status));
        assert_eq!(drained(&server.url("memory.git")), (Some(code), class(name)), "{status}");
    }
    for bad in ["--upload-pack=touch", "ext::sh -c true"] {
        assert_eq!(drained(bad), (Some(78), class("config")), "{bad}");
    }
    let none =
        home.cmd(["--set", "history.git_program=", "drain", "--json"]).env("INDELIBLE_REMOTE", remote.url()).run();
    assert_eq!((none.code(), none.json()["class"].as_str()), (Some(78), Some("config")), "no git program");
    let _ = home.verify().exits(0);
}

#[test]
fn a_server_that_hangs_is_given_up_in_time_and_no_process_is_left() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Hang);
    let home = TestHome::new();
    let _ = home.record("failure", "one");
    let url = server.url("memory.git");
    let outcome = home.cmd(["drain", "--json", "--timeout", "1"]).env("INDELIBLE_REMOTE", &url).run().exits(75);
    assert_eq!(outcome.json()["class"], "later");
    assert_eq!(processes_with(&url), Vec::<String>::new());
}

/// The command lines of all processes that name `text`, this one left out.
fn processes_with(text: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").expect("there is one").flatten();
    let lines = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(text)).map(|line| line.replace('\0', " ")).collect()
}

#[test]
fn the_worker_pushes_by_itself_and_commits_though_the_remote_hangs() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let quick = ["sync.push_age_s=0", "worker.age_ms=1"];
    let worker = Worker::start(&home, &quick);
    let first = home.record("failure", "one");
    wait_for("a push by the worker", || (remote.lanes().len() == 1).then_some(()));
    remote.assert_has_exactly(&[first]);
    let _ = worker.stop(Signal::TERM);

    let server = HttpGit::serve(remote.folder.path(), Answer::Hang);
    let url = server.url("memory.git");
    let worker = Worker::launch(&home, &quick, &[("INDELIBLE_REMOTE", &url)]);
    let second = home.record("failure", "two");
    worker.wait_until_committed(&home);
    wait_for("git to hang", || (!processes_with(&url).is_empty()).then_some(()));
    let third = home.record("failure", "three");
    worker.wait_until_committed(&home);
    let fourth = home.record("failure", "four");
    worker.wait_until_committed(&home);
    assert!(!processes_with(&url).is_empty(), "all that was committed while git hung");
    assert!(worker.stop(Signal::TERM).success(), "a stop is not held up");
    assert_eq!(processes_with(&url), Vec::<String>::new(), "no process is left");
    let _ = home.cmd(["drain"]).ok();
    assert!([second, third, fourth].iter().all(|it| remote.paths().contains(&it.page())));
}

#[test]
fn many_hosts_push_at_once_and_none_is_refused() {
    let remote = Remote::new();
    let homes: Vec<TestHome> = (0..8).map(|_| home_of(&remote.url())).collect();
    let receipts: Vec<Receipt> = homes.iter().flat_map(|home| home.record_each("at once")).collect();
    in_parallel(homes.len(), homes.len(), |number| {
        let drained = drain(&homes[number]);
        assert_eq!((&drained["reached"], &drained["attempts"]), (&true.into(), &1.into()), "{drained}");
    });
    assert_eq!(remote.lanes().len(), homes.len());
    remote.assert_has_exactly(&receipts);
}

#[test]
fn two_syncs_of_one_home_wait_for_each_other() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let receipts = home.record_each("one");
    in_parallel(4, 4, |_| assert_eq!(drain(&home)["reached"], true));
    remote.assert_has_exactly(&receipts);
}

/// Every push of a lane names what it expects, and none is forced.
#[test]
fn no_push_is_forced() {
    let remote = Remote::new();
    let home = TestHome::new();
    let (log, git) = (home.user().join("git.log"), home.user().join("git"));
    write_program(&git, format!("#!/bin/sh\necho \"$*\" >>{}\nexec git \"$@\"\n", log.display()).as_bytes());
    home.configure_user(&format!("[history]\ngit_program = \"{}\"\n", git.display()));
    add(&home, &remote.url());
    for number in 0..2 {
        let _ = home.record("failure", &format!("number {number}"));
        let _ = home.cmd(["sync", "--push-only"]).ok();
    }
    let log = std::fs::read_to_string(&log).expect("git was called");
    let pushes: Vec<&str> = log.lines().filter(|line| line.starts_with("push ")).collect();
    assert!(pushes.len() >= 2, "{log}");
    for push in pushes {
        assert!(push.contains("--force-with-lease=refs/"), "{push}");
        assert!(!push.contains(" --force ") && !push.contains(" -f ") && !push.contains(" +"), "{push}");
        assert!(!push.contains(&remote.url()), "an address can have a password: {push}");
    }
}

#[test]
fn a_home_that_is_not_trusted_syncs_nothing_by_itself_and_names_no_remote() {
    let remote = Remote::new();
    let home = TestHome::new();
    let config = home.join(".indelible/config.toml");
    std::fs::write(&config, format!("[sync]\nremote = \"{}\"\n", remote.url())).expect("it can be written");
    let _ = home.record("failure", "one");
    let _ = home.cmd(["drain"]).run().exits(78);
    assert_eq!(remote.refs().len(), 0, "a home's own file decides no remote");
}

/// What is erased goes out of the cache at once, and out of the lane with the next push; what is held goes out of the notes.
#[test]
fn what_is_erased_leaves_the_cache_and_the_lane() {
    let needles = ["hunter2", "zebra"];
    for beside_a_worker in [false, true] {
        let remote = Remote::new();
        let home = home_of(&remote.url());
        let _ = home.cmd(["config", "set", "sync.push_age_s", "3600"]).ok();
        let (secret, other) = (home.record("failure", "hunter2 zebra"), home.record("success", "fine"));
        let _ = home.cmd(["sync", "--push-only"]).ok();
        let lanes = remote.lanes();
        remote.assert_has_exactly(&[secret.clone(), other.clone()]);
        // Another one is refused by the remote, so the notes have its name, and the cache its page.
        remote.hook(
            "pre-receive",
            "while read old new ref; do git ls-tree -r --name-only $new | grep -q zebra-two && exit 1; done; exit 0",
        );
        let held = home.record("failure", "zebra two");
        let _ = home.cmd(["sync", "--push-only"]).run().exits(77);
        let worker = beside_a_worker.then(|| Worker::quick(&home));
        let _ = home.cmd(["erase", "--yes", &secret.id, &held.id]).ok();
        assert_nowhere(&home, &needles);
        let cache = home.join(".indelible/sync.git");
        wait_for("a sync", || {
            (home.cmd(["sync", "--push-only", "--json"]).run().json()["reached"] == true).then_some(())
        });
        assert_eq!(remote.lanes(), lanes, "it is the same lane");
        let paths = remote.paths();
        assert!(
            paths.contains(&other.page()) && paths.iter().filter(|path| path.contains("/retracted/")).count() == 2,
            "{paths:?}"
        );
        let _ = remote.git(["reflog", "expire", "--expire=now", "--all"]).ok();
        let _ = remote.git(["gc", "--quiet", "--prune=now"]).ok();
        assert!(
            !needles.iter().any(|needle| remote.has_anywhere(needle)),
            "what its references reach has nothing of it"
        );
        if let Some(worker) = worker {
            let _ = worker.stop(Signal::TERM);
        }
        let shown = home.git_in(&cache, ["cat-file", "--batch-all-objects", "--batch"]).into_command().output();
        let shown = String::from_utf8_lossy(&shown.expect("git runs").stdout).into_owned();
        assert!(!shown.contains("zebra") && shown.contains("fine"), "the new cache has nothing of it either");
        let third = home.record("success", "later");
        let _ = home.cmd(["sync", "--push-only"]).ok();
        assert!(remote.paths().contains(&third.page()));
    }
}

#[test]
fn an_erasure_that_is_killed_is_finished_and_the_lane_made_anew() {
    for point in ["EraseBeforeRows", "EraseBeforeReference", "EraseBeforeDone"] {
        let remote = Remote::new();
        let home = home_of(&remote.url());
        let (secret, _) = (home.record("failure", "hunter2"), home.record("success", "fine"));
        let _ = home.cmd(["sync", "--push-only"]).ok();
        let _ = home.cmd(["erase", "--yes", &secret.id]).env("INDELIBLE_CRASH_AT", point).run().aborted();
        let _ = home.cmd(["sync", "--push-only"]).ok();
        let _ = remote.git(["gc", "--quiet", "--prune=now"]).ok();
        assert!(!remote.has_anywhere("hunter2"), "{point}");
        assert_nowhere(&home, &["hunter2"]);
    }
}

#[test]
fn a_lost_index_changes_nothing_in_the_lane() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let receipts = home.record_each("one");
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let before = remote.refs();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
    }
    home.recover_fully();
    let _ = home.cmd(["sync", "--push-only"]).ok();
    assert_eq!(remote.refs(), before);
    remote.assert_has_exactly(&receipts);
}

#[test]
fn a_full_disk_stops_the_push_alone() {
    let remote = Remote::new();
    let home = home_of(&remote.url());
    let receipts = home.record_each("one");
    for point in ["SyncBeforeTip", "SyncAfterTip", "SyncAfterPush", "SyncAfterAcked"] {
        let failing = home.cmd(["sync", "--push-only", "--json"]).env("INDELIBLE_FAIL_AT", format!("{point}=28"));
        let failed = failing.run();
        if failed.code() != Some(0) {
            assert_eq!((failed.code(), failed.json()["class"].as_str()), (Some(75), Some("later")), "{point}");
        }
        assert_eq!(home.status()["pending"]["records"], 0, "commits go on");
    }
    let _ = home.cmd(["sync", "--push-only"]).ok();
    remote.assert_has_exactly(&receipts);
}

/// ssh is told to ask nothing, keeps the user's own command, and is ended when it hangs.
#[test]
fn an_ssh_that_hangs_is_ended() {
    let home = TestHome::new();
    let (ssh, log) = (home.user().join("ssh-that-hangs"), home.user().join("ssh.log"));
    write_program(&ssh, format!("#!/bin/sh\necho \"$@\" >>{}\nsleep 600 & wait\n", log.display()).as_bytes());
    let _ = home.record("failure", "one");
    let drained = home
        .cmd(["drain", "--json", "--timeout", "1"])
        .env("INDELIBLE_REMOTE", "ada@memory.example:x.git")
        .env("GIT_SSH_COMMAND", format!("{} -i my-key", ssh.display()))
        .env("GIT_SSH_VARIANT", "ssh")
        .run()
        .exits(75);
    assert_eq!(drained.json()["class"], "later");
    let said = std::fs::read_to_string(&log).expect("it was run");
    assert!(said.contains("-i my-key -o BatchMode=yes -o ConnectTimeout=10"), "{said}");
    assert_eq!(processes_with("ssh-that-hangs"), Vec::<String>::new());
}

/// A `push --mirror` of the user's from the project takes every lane off the remote. That may be on purpose: a person says that it was not,
/// once, and every home's lane comes back.
#[test]
fn a_mirror_push_of_the_users_is_survived() {
    let remote = Remote::new();
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    add(&home, &remote.url());
    let other = home_of(&remote.url());
    let (receipt, theirs) = (home.record("failure", "one"), other.record("failure", "two"));
    for home in [&home, &other] {
        let _ = home.cmd(["sync", "--push-only"]).ok();
    }
    let _ = home.git(["push", "--quiet", "--mirror", &remote.url()]).ok();
    assert!(!remote.refs().keys().any(|name| name.starts_with(HOSTS)));
    let _ = other.cmd(["sync", "--push-only"]).run().exits(78);
    let _ = other.cmd(["sync", "--push-only", "--refill"]).ok();
    let _ = home.cmd(["sync", "--push-only"]).ok();
    let paths = remote.paths();
    assert!(paths.contains(&receipt.page()) && paths.contains(&theirs.page()), "{paths:?}");
}

#[test]
fn a_remote_is_added_shown_and_removed() {
    let remote = Remote::new();
    let home = TestHome::new();
    let _ = home.record("failure", "one");
    let refused = home.cmd(["remote", "add", &remote.url()]).run().exits(64);
    assert!(refused.stderr.contains("--yes"), "{refused}");
    assert_eq!(sync_of(&home), Value::Null, "nothing was added");
    // A relative path means the same from everywhere.
    let added = home.cmd(["remote", "add", "memory.git", "--yes"]).folder(remote.folder.path()).ok();
    assert!(added.stdout.contains("titles, texts, tags"), "it says what will be published: {added}");
    assert_eq!(sync_of(&home)["remote"], remote.url().as_str());
    let other = Remote::new();
    let _ = home.cmd(["remote", "add", &other.url(), "--yes"]).run().exits(65);
    let _ = home.cmd(["sync"]).ok();
    let shown = home.cmd(["remote", "show"]).ok().stdout;
    assert!(shown.contains(&remote.url()) && shown.contains("unpushed    nothing"), "{shown}");
    let lane = remote.lanes().remove(0);
    let _ = home.cmd(["remote", "remove"]).ok();
    let _ = home.cmd(["sync"]).run().exits(78);
    assert_eq!(remote.lanes(), [lane.as_str()], "the remote keeps what it has");
    // The same remote again, and the same lane; then another remote, which gets all of it.
    add(&home, &remote.url());
    let second = home.record("failure", "two");
    let _ = home.cmd(["sync"]).ok();
    assert_eq!(remote.lanes(), [lane.as_str()]);
    assert!(remote.paths().contains(&second.page()));
    let _ = home.cmd(["remote", "remove"]).ok();
    add(&home, &other.url());
    let _ = home.cmd(["sync"]).ok();
    assert_eq!(other.paths(), remote.paths());
    let _ = home.cmd(["where", "ffffffff"]).run().exits(65);
}

/// As a CI job has it: the token is in the configuration of the project that was checked out.
#[test]
fn a_token_in_the_projects_configuration_is_used_and_nothing_else_of_it() {
    let remote = Remote::new();
    let server = HttpGit::serve(remote.folder.path(), Answer::Password);
    let home = repository();
    let _ = home.cmd(["init"]).ok();
    let header = "Authorization: Basic YWRhOnMzY3JldA==";
    let _ = home.git(["config", "http.extraHeader", header]).ok();
    let _ = home.git(["config", "remote.indelible-sync.url", "/nonexistent"]).ok();
    let _ = home.git(["config", "push.pushOption", "x"]).ok();
    let receipt = home.record("failure", "in a job");
    let drained = home.cmd(["drain", "--json"]).env("INDELIBLE_REMOTE", server.url("memory.git")).ok();
    assert_eq!(drained.json()["reached"], true);
    remote.assert_has_exactly(&[receipt]);
    assert!(!drained.stdout.contains("YWRh") && !home.status().to_string().contains("YWRh"));
}
