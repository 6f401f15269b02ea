//! One store after the other is taken away or damaged: what still exists anywhere comes back into all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::types::Value;
use rustix::process::Signal;

use crate::support::{KINDS, Receipt, Stores, TestHome, Worker, assert_exactly_once, has_strace};

const TINY: [&str; 4] = ["--set", "journal.segment_bytes_max=4096", "--set", "journal.keep_s=0"];
/// Everything that a body can hold and a page has to say in another way.
const STRANGE: &str = "Line one\r\n\ttab, \u{1b}[31mred\u{1b}[0m, \"quotes\", \\ and ---\n---\nid: x\n\n  trailing  \n";

/// A home with records that only files, rows and history hold (their segment is gone), records that are committed and in
/// the journal, and pending ones.
struct Lived {
    home: TestHome,
    committed: Vec<Receipt>,
    /// With a file and a row.
    pending: Vec<Receipt>,
    /// Known to the journal alone.
    journalled: Vec<Receipt>,
    rows: BTreeMap<String, Vec<(String, Value)>>,
}

impl Lived {
    fn new() -> Lived {
        let home = TestHome::new();
        let mut committed = rich(&home, "old");
        committed.extend(home.record_each(&"fills the segment ".repeat(20)));
        let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
        committed.extend(rich(&home, "new"));
        let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
        assert_ne!(home.journal()[0].0, "0000000001.log", "the first segment should be gone");
        let pending = home.record_each("pending");
        let keyed = |kind| home.recorder(kind, &format!("keyed {kind}")).args(["--key", kind]).ok().receipt();
        let journalled = KINDS.iter().copied().map(keyed).collect();
        let rows = rows(&home);
        Lived { home, committed, pending, journalled, rows }
    }

    fn with_file(&self) -> Vec<Receipt> {
        [self.committed.clone(), self.pending.clone()].concat()
    }

    fn all(&self) -> Vec<Receipt> {
        [self.with_file(), self.journalled.clone()].concat()
    }

    /// Holds that `verify` complains, that `command` mends it, and that `receipts` are everywhere then, with the rows
    /// that they had.
    #[track_caller]
    fn mended_by(&self, command: &str, receipts: &[Receipt]) {
        let home = &self.home;
        let before = home.verify();
        assert!(matches!(before.code(), Some(1 | 78)), "verify does not see that something is wrong: {before}");
        let _ = home.cmd([command]).ok();
        let _ = home.verify().exits(0);
        assert_exactly_once(home, receipts);
        assert_same_rows(&self.rows, &rows(home));
        home.assert_settled();
        // And it goes on as if nothing had been.
        let more = home.record_each("afterwards");
        home.flush();
        assert_exactly_once(home, &[receipts, &more].concat());
        home.assert_settled();
    }
}

/// Records of every kind in which every field is used.
fn rich(home: &TestHome, name: &str) -> Vec<Receipt> {
    let title = |kind: &str| format!("{name} {kind}: \"quoted\" \u{202e}\ttab — ünïcödé");
    let mut receipts = Vec::new();
    for kind in ["failure", "success", "observation"] {
        let args = ["record", kind, "--json", "--domain", "a: b # c", "--severity", "4", "--tags", " x ,y,, z"];
        let record = home.cmd(args).args(["--title", &title(kind), "--summary", STRANGE]);
        receipts.push(record.ok().receipt());
    }
    let heuristic = ["record", "heuristic", "--json", "--domain", "C++", "--source", "failure", "--confidence", "0.1"];
    let heuristic = home.cmd(heuristic).args(["--rule", &title("heuristic"), "--explanation", STRANGE]);
    receipts.push(heuristic.ok().receipt());
    let criteria = ["--success-criteria", STRANGE, "--failure-criteria", "none\u{7}"];
    let experiment = home.cmd(["record", "experiment", "--json", "--hypothesis", STRANGE]).args(criteria);
    receipts.push(experiment.args(["--name", &title("experiment"), "--key", name]).ok().receipt());
    receipts
}

/// By id, every column of a record's rows but for the row number.
fn rows(home: &TestHome) -> BTreeMap<String, Vec<(String, Value)>> {
    let index = home.index();
    let mut all = BTreeMap::new();
    for (table, kinds) in [
        ("learnings", "'failure','success','observation'"),
        ("heuristics", "'heuristic'"),
        ("experiments", "'experiment'"),
    ] {
        let sql = format!("SELECT t.*, r.* FROM records r JOIN {table} t ON t.id = r.row_id WHERE r.kind IN ({kinds})");
        let mut statement = index.prepare(&sql).expect("the tables are there");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let id_at = names.iter().rposition(|name| name == "id").expect("records have an id");
        let mut found = statement.query([]).expect("the rows can be read");
        while let Some(row) = found.next().expect("the rows can be read") {
            let value = |(at, name): (usize, &String)| {
                let kept = (name != "id" || at == id_at) && name != "row_id";
                kept.then(|| (format!("{table} {name} ({at})"), row.get_unwrap::<_, Value>(at)))
            };
            let values = names.iter().enumerate().filter_map(value).collect();
            all.insert(row.get_unwrap::<_, String>(id_at), values);
        }
    }
    all
}

#[track_caller]
fn assert_same_rows(before: &BTreeMap<String, Vec<(String, Value)>>, after: &BTreeMap<String, Vec<(String, Value)>>) {
    for (id, row) in before {
        let Some(now) = after.get(id) else { panic!("{id} has no row any more: {row:?}") };
        for (was, is) in row.iter().zip(now) {
            assert_eq!(was, is, "the row of {id} is another one");
        }
    }
}

fn remove_index(home: &TestHome) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(&format!("memory/index.db{suffix}")));
    }
}

/// The index as one file, with everything in it.
fn whole_index(home: &TestHome) -> Vec<u8> {
    let index = home.index();
    index.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("no other process uses the index");
    drop(index);
    fs::read(home.join("memory/index.db")).expect("it can be read")
}

fn replace_index(home: &TestHome, bytes: &[u8]) {
    remove_index(home);
    fs::write(home.join("memory/index.db"), bytes).expect("it can be written");
}

#[test]
fn a_history_that_is_gone_comes_from_files() {
    for command in ["recover", "repair"] {
        let lived = Lived::new();
        fs::remove_dir_all(lived.home.join(".git")).expect("it can be removed");
        lived.mended_by(command, &lived.all());
    }
}

/// What is committed first says where to begin next time, and all the same the rest has to come back.
#[test]
fn a_worker_that_is_killed_after_its_first_commit_of_a_new_history_leaves_the_rest_to_the_next() {
    let lived = Lived::new();
    let home = &lived.home;
    fs::remove_dir_all(home.join(".git")).expect("it can be removed");
    let mut worker = Worker::launch(home, &["worker.age_ms=1"], &[("INDELIBLE_CRASH_AT", "CommitAfterAnchor")]);
    assert!(!worker.wait().success(), "it made no commit");
    let worker = Worker::start(home, &["worker.age_ms=1"]);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    let _ = home.verify().exits(0);
    assert_exactly_once(home, &lived.all());
    home.recover_fully();
}

/// The position passes damage with the next commit, and what the damage took is in its file and its row all the same.
#[test]
fn damage_found_by_a_killed_worker_is_repaired_by_the_next() {
    let home = TestHome::new();
    let receipts = ["one", "two", "three"].map(|title| home.record("failure", title));
    let segment = home.join(".indelible/journal/0000000001.log");
    let text = fs::read_to_string(&segment).expect("a journal is text");
    fs::write(&segment, text.replacen("\"two\"", "\"tow\"", 1)).expect("it can be overwritten");
    let _ = home.cmd(["flush"]).env("INDELIBLE_CRASH_AT", "CommitAfterAnchor").run().aborted();
    home.flush();
    assert_exactly_once(&home, &receipts);
}

#[test]
fn an_index_that_is_gone_comes_from_files() {
    for command in ["recover", "repair"] {
        let lived = Lived::new();
        remove_index(&lived.home);
        lived.mended_by(command, &lived.all());
    }
}

#[test]
fn an_index_that_is_damaged_comes_from_files() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 5] = [
        ("empty", |_| Vec::new()),
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("garbage", |bytes| vec![0xa5; bytes.len()]),
        ("zeros", |bytes| vec![0; bytes.len()]),
        ("a page of garbage in the middle", |mut bytes| {
            let (from, to) = (bytes.len() / 2 / 4096 * 4096, (bytes.len() / 2 / 4096 + 2) * 4096);
            bytes[from..to].fill(0xa5);
            bytes
        }),
    ];
    for (name, damage) in damages {
        eprintln!("an index that is {name}");
        let lived = Lived::new();
        let bytes = damage(whole_index(&lived.home));
        replace_index(&lived.home, &bytes);
        lived.mended_by("repair", &lived.all());
        // A log that is whole, beside it.
        let lived = Lived::new();
        let bytes = damage(whole_index(&lived.home));
        let logged = lived.home.record("failure", "its row is in the log");
        assert!(lived.home.join("memory/index.db-wal").metadata().is_ok_and(|log| log.len() > 0), "there is no log");
        fs::write(lived.home.join("memory/index.db"), bytes).expect("it can be written");
        lived.mended_by("repair", &[lived.all(), vec![logged]].concat());
    }
}

#[test]
fn rows_that_are_gone_come_from_files() {
    let lived = Lived::new();
    let index = lived.home.index();
    let gone = [
        "DELETE FROM records WHERE kind = 'failure'",
        "DELETE FROM learnings WHERE type IN ('failure', 'success')",
        "DELETE FROM heuristics",
        "DELETE FROM experiments",
    ];
    for sql in gone {
        index.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    drop(index);
    lived.mended_by("repair", &lived.all());
}

#[test]
fn a_private_folder_that_is_gone_is_made_again() {
    let lived = Lived::new();
    fs::remove_dir_all(lived.home.join(".indelible")).expect("it can be removed");
    // What only the journal had is gone with it.
    lived.mended_by("recover", &lived.with_file());
    let keyed = lived.committed.iter().find(|receipt| receipt.kind == "experiment").expect("one has a key");
    let repeat = lived.home.recorder("experiment", "again").args(["--key", "old"]).ok().receipt();
    assert_eq!((repeat.id.as_str(), repeat.duplicate), (keyed.id.as_str(), true), "a key names another record now");
}

#[test]
fn a_private_folder_and_an_index_that_are_gone_are_made_again() {
    let lived = Lived::new();
    fs::remove_dir_all(lived.home.join(".indelible")).expect("it can be removed");
    remove_index(&lived.home);
    lived.mended_by("recover", &lived.with_file());
}

/// The ids of keyed records follow from the home's: a new one would make a repeat another record.
#[test]
fn a_key_names_the_same_record_after_all_that_says_which_home_it_is_is_gone() {
    let home = TestHome::new();
    let record = || home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt();
    let first = record();
    home.flush();
    fs::remove_dir_all(home.join(".indelible")).expect("it can be removed");
    remove_index(&home);
    home.recover_fully();
    let again = record();
    assert_eq!((&again.id, &again.path), (&first.id, &first.path), "the key names another record by now");
    home.flush();
    let stores = assert_exactly_once(&home, &[first]);
    assert_eq!(stores.ids().len(), 1, "there is a record too many");
}

#[test]
fn an_emptied_journal_costs_only_what_no_other_store_had() {
    type Emptied = fn(&Path);
    let ways: [(&str, Emptied); 3] = [
        ("truncated", |segment| fs::write(segment, "").expect("it can be truncated")),
        ("deleted", |segment| fs::remove_file(segment).expect("it can be deleted")),
        ("cut in the middle", |segment| {
            let bytes = fs::read(segment).expect("it can be read");
            fs::write(segment, &bytes[..bytes.len().min(100)]).expect("it can be cut");
        }),
    ];
    for (name, empty) in ways {
        eprintln!("a journal that is {name}");
        let lived = Lived::new();
        for entry in fs::read_dir(lived.home.join(".indelible/journal")).expect("it is there") {
            empty(&entry.expect("it can be listed").path());
        }
        lived.mended_by("recover", &lived.with_file());
    }
}

#[test]
fn files_that_are_gone_come_from_history() {
    for command in ["recover", "repair"] {
        let lived = Lived::new();
        let before = Stores::read(&lived.home);
        for folder in ["memory/failures", "memory/successes", "memory/observations", "memory/heuristics", "experiments"]
        {
            fs::remove_dir_all(lived.home.join(folder)).expect("it can be removed");
        }
        lived.mended_by(command, &lived.all());
        let after = Stores::read(&lived.home);
        for (path, blob) in before.tree.iter().filter(|(path, _)| !path.ends_with("/README.md")) {
            assert_eq!(after.tree.get(path), Some(blob), "{path} is another one in git");
        }
    }
}

#[test]
fn torn_files_and_companions_come_from_history() {
    let lived = Lived::new();
    let experiment = lived.committed.iter().find(|receipt| receipt.kind == "experiment").expect("there is one");
    let torn = lived.committed.iter().find(|receipt| receipt.kind == "failure").expect("there is one");
    let cut = lived.committed.iter().find(|receipt| receipt.kind == "success").expect("there is one");
    fs::remove_file(lived.home.join(&format!("{}/log.md", experiment.path))).expect("it can be removed");
    fs::remove_file(lived.home.join("memory/heuristics/rules-of-thumb/README.md")).expect("it can be removed");
    fs::write(lived.home.join(&torn.path), "").expect("it can be emptied");
    let zeros = vec![0; fs::read(lived.home.join(&cut.path)).expect("it can be read").len()];
    fs::write(lived.home.join(&cut.path), zeros).expect("it can be overwritten");
    lived.mended_by("repair", &lived.all());
}

#[test]
fn without_files_and_history_the_rows_are_enough() {
    let home = TestHome::new();
    let mut receipts = home.record_each(&"fills the segment ".repeat(20));
    let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
    receipts.push(home.record("failure", "in the next segment"));
    let _ = home.cmd(["flush"].iter().chain(&TINY)).ok();
    let before = rows(&home);
    for folder in
        ["memory/failures", "memory/successes", "memory/observations", "memory/heuristics", "experiments", ".git"]
    {
        fs::remove_dir_all(home.join(folder)).expect("it can be removed");
    }
    let _ = home.verify().exits(1);
    let _ = home.cmd(["recover"]).ok();
    assert_exactly_once(&home, &receipts);
    assert_same_rows(&before, &rows(&home));
    home.assert_settled();
}

/// After a reboot by a power cut: everything that was not synced is lost.
#[test]
fn after_a_power_cut_the_journal_restores_files_and_rows() {
    let home = TestHome::new();
    let mut receipts = home.record_each("committed");
    let synced = whole_index(&home);
    receipts.extend(home.record_each("committed as well"));
    home.flush();
    let before = rows(&home);
    replace_index(&home, &synced);
    for receipt in &receipts {
        fs::write(home.join(&receipt.page()), "").expect("it can be emptied");
    }
    home.simulate_reboot();
    home.flush();
    assert_exactly_once(&home, &receipts);
    assert_same_rows(&before, &rows(&home));
    home.assert_settled();
}

/// The cut takes the file and the row of a keyed record that git has; a repeat of its key finds neither, and waits in the
/// journal when the worker starts.
#[test]
fn after_a_power_cut_a_repeat_of_a_key_is_not_the_record() {
    let home = TestHome::new();
    let synced = whole_index(&home);
    let first = home.recorder("failure", "the first").args(["--key", "k"]).ok().receipt();
    home.flush();
    replace_index(&home, &synced);
    fs::remove_file(home.join(&first.page())).expect("the worker placed it");
    let repeat = home.recorder("failure", "the repeat").args(["--key", "k"]).ok().receipt();
    assert_eq!(repeat.id, first.id, "one key is one record");
    home.simulate_reboot();
    home.flush();
    let stores = assert_exactly_once(&home, std::slice::from_ref(&first));
    assert!(stores.named("the repeat").is_empty(), "the repeat took the record's place");
    home.assert_settled();
}

#[test]
fn what_its_owner_edited_or_moved_stays_so() {
    let lived = Lived::new();
    let home = &lived.home;
    home.flush();
    let edited = home.join(&lived.committed[0].path);
    let mut text = fs::read_to_string(&edited).expect("it can be read");
    text.push_str("\nA word of mine.\n");
    fs::write(&edited, &text).expect("it can be written");
    let moved = home.join("memory/failures/mine.md");
    let pending = lived.pending.iter().find(|receipt| receipt.kind == "failure").expect("there is one");
    fs::rename(home.join(&pending.path), &moved).expect("it can be moved");
    // The edit is named until it is taken, and recovery leaves it.
    let _ = home.verify().exits(1);
    let _ = home.cmd(["repair"]).run().exits(1);
    let verified = home.cmd(["verify", "--json"]).run().exits(1).json();
    let disagreements = verified["disagreements"].as_array().expect("a list");
    assert_eq!(disagreements.len(), 1, "{verified}");
    assert_eq!(disagreements[0]["path"], lived.committed[0].path.as_str());
    assert_eq!(fs::read_to_string(&edited).expect("it can be read"), text, "an edit was undone");
    assert!(moved.exists() && !home.join(&pending.path).exists(), "a move was undone");
}

/// The owner commits a deletion on the branch, as they can in any clone or worktree.
/// A copy carries the record's id, and is not the record's file: it is named, and gets into no other store.
#[test]
fn what_its_owner_copied_is_named_and_left_alone() {
    let home = TestHome::new();
    let receipts = home.record_each("copied");
    home.flush();
    // Where a walk finds it before the record's own.
    let copies = ["failure", "heuristic"].map(|kind| {
        let own = &receipts.iter().find(|receipt| receipt.kind == kind).expect("there is one of each").path;
        let copy = home.join(&format!("experiments/a-copy-of-a-{kind}.md"));
        fs::copy(home.join(own), &copy).expect("it can be copied");
        (own.clone(), copy)
    });
    let named = || {
        let verified = home.cmd(["verify"]).ok();
        for (own, copy) in &copies {
            let name = copy.file_name().and_then(|name| name.to_str()).expect("it has a name");
            let line = format!("notice: experiments/{name} is a copy of {own}: it is left alone");
            assert!(verified.stdout.contains(&line), "a copy is not named: {verified}");
        }
    };
    let remove_rows = || {
        let index = home.index();
        for table in ["records", "learnings", "heuristics", "experiments"] {
            let _ = index.execute(&format!("DELETE FROM {table}"), []).expect("it can be emptied");
        }
    };
    named();
    for damage in [&(|| ()) as &dyn Fn(), &remove_rows, &|| remove_index(&home)] {
        damage();
        let _ = home.cmd(["repair"]).ok();
        named();
        home.assert_settled();
        let tracked = home.git(["ls-tree", "-r", "--name-only", home.branch()]).ok();
        assert!(!tracked.stdout.contains("a-copy-of"), "a copy is in git: {tracked}");
    }
    for (own, copy) in &copies {
        let bytes = fs::read(home.join(own)).expect("it is there");
        assert_eq!(fs::read(copy).ok(), Some(bytes), "a copy was changed or deleted");
        fs::remove_file(copy).expect("it is there");
    }
    assert_exactly_once(&home, &receipts);
}

/// Without the folder of files and index, both come back from git, by whichever command looks first.
#[test]
fn a_folder_of_files_that_was_moved_away_is_made_again() {
    for command in ["flush", "recover"] {
        let home = TestHome::new();
        let receipts = home.record_each("moved away");
        home.flush();
        fs::rename(home.join("memory"), home.user().join("away")).expect("it can be moved");
        let _ = home.cmd([command]).ok();
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
    }
}

/// Removes `paths` from the branch, as its owner does, in a commit of their own.
pub fn remove_from_branch(home: &TestHome, paths: &[String]) {
    let folder = home.user().join("worktree");
    let path = folder.to_str().expect("the temporary folder's name is UTF-8");
    let _ = home.git(["worktree", "add", "-q", "--detach", path, home.branch()]).ok();
    let remove = ["rm", "-q", "-r", "--"].into_iter().chain(paths.iter().map(String::as_str));
    let _ = home.git_in(&folder, remove).ok();
    let owner = ["-c", "user.name=Owner", "-c", "user.email=owner@example.org", "commit", "-q", "-m", "remove"];
    let _ = home.git_in(&folder, owner).ok();
    let commit = home.git_in(&folder, ["rev-parse", "HEAD"]).ok().stdout;
    let _ = home.git(["update-ref", &format!("refs/heads/{}", home.branch()), commit.trim()]).ok();
    let _ = home.git(["worktree", "remove", "--force", path]).ok();
}

/// Puts the file `path` with `text` on the branch, in a commit as a worker of another home makes it.
pub fn commit_of_another_home(home: &TestHome, path: &str, text: &str) {
    let folder = home.user().join("worktree");
    let name = folder.to_str().expect("the temporary folder's name is UTF-8");
    let _ = home.git(["worktree", "add", "-q", "--detach", name, home.branch()]).ok();
    let file = folder.join(path);
    fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it can be made");
    fs::write(&file, text).expect("it can be written");
    let message = home.git(["log", "-1", "--format=%B", home.branch()]).ok().stdout;
    let (before, rest) = message.split_once("Indelible-Home: ").expect("a worker wrote it");
    let (_, after) = rest.split_once('\n').expect("more follows");
    let message = format!("{before}Indelible-Home: 00000000-0000-4000-8000-000000000001\n{after}");
    let _ = home.git_in(&folder, ["add", "--", path]).ok();
    let commit = ["-c", "user.name=Other", "-c", "user.email=other@example.org", "commit", "-q", "-m", &message];
    let _ = home.git_in(&folder, commit).ok();
    let commit = home.git_in(&folder, ["rev-parse", "HEAD"]).ok().stdout;
    let _ = home.git(["update-ref", &format!("refs/heads/{}", home.branch()), commit.trim()]).ok();
    let _ = home.git(["worktree", "remove", "--force", name]).ok();
}

#[test]
fn what_its_owner_removed_stays_removed() {
    let lived = Lived::new();
    let home = &lived.home;
    home.flush();
    let removed: Vec<_> =
        [&lived.committed[0], &lived.committed[4], &lived.pending[1], &lived.pending[3]].map(Receipt::clone).to_vec();
    let paths: Vec<_> = removed.iter().map(|receipt| receipt.path.clone()).collect();
    remove_from_branch(home, &paths);
    let assert_removed = |when: &str| {
        let stores = Stores::read(home);
        for receipt in &removed {
            let back = stores.tree.contains_key(&receipt.page());
            assert!(!back, "{when}, {} is back on the branch", receipt.path);
        }
        stores
    };
    // Its file may stay; that is no reason to commit it again.
    let more = home.record_each("afterwards");
    home.flush();
    home.assert_settled();
    assert_removed("after a commit and a recovery");
    for receipt in &removed {
        let path = home.join(&receipt.path);
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    home.recover_fully();
    let stores = assert_removed("after a recovery without the files");
    assert!(removed.iter().all(|receipt| !stores.files.contains_key(&receipt.id)), "a removed file is back");
    // Where nothing is trusted any more, the history itself still says that they were removed.
    remove_index(home);
    fs::remove_file(home.join(".indelible/state.json")).expect("it can be removed");
    home.recover_fully();
    let stores = assert_removed("after everything was distrusted");
    assert!(removed.iter().all(|receipt| !stores.files.contains_key(&receipt.id)), "a removed file is back");
    for receipt in lived.all().iter().chain(&more).filter(|receipt| !removed.contains(receipt)) {
        assert_eq!(stores.problems_of(&receipt.id), Vec::<String>::new(), "what was not removed suffered");
    }
}

/// What cannot be applied waits in quarantine, and goes where it belongs once nothing is in its way.
#[test]
fn what_was_parked_is_tried_again() {
    let home = TestHome::new();
    let mut receipts = vec![home.record("failure", "in no file's way")];
    receipts.push(home.recorder("success", "parked").args(["--key", "k"]).ok().receipt());
    let folder = home.join("memory/successes");
    let elsewhere = home.user().join("elsewhere");
    fs::create_dir(&elsewhere).expect("it is new");
    fs::remove_dir_all(&folder).expect("only the recorder's empty folders are there");
    std::os::unix::fs::symlink(&elsewhere, &folder).expect("nothing is there");
    home.flush();
    assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0, "something was written through a link");
    let _ = home.cmd(["status", "--check"]).run().exits(1);
    assert_eq!(home.recover()["released"], 0, "the link is still in the way");
    let _ = home.verify().exits(1);
    fs::remove_file(&folder).expect("it is a link");
    // Killed when it is applied and still in quarantine.
    let _ = home.cmd(["recover"]).env("INDELIBLE_CRASH_AT", "SetAsideBefore").run().aborted();
    let mended = home.recover();
    assert_eq!(mended["released"], 1, "what was parked was not tried again: {mended}");
    assert_eq!(home.recover()["released"], 0, "it is still in quarantine");
    let dismissed = fs::read_dir(home.join(".indelible/quarantine/dismissed")).expect("it is there");
    let names: Vec<_> = dismissed.map(|it| it.expect("it can be listed").file_name()).collect();
    let applied = names.iter().filter(|name| name.to_string_lossy().starts_with("applied-parked-"));
    assert_eq!((applied.count(), names.len()), (1, 1), "it was not dismissed: {names:?}");
    assert_exactly_once(&home, &receipts);
    let _ = home.cmd(["status", "--check"]).ok();
    let _ = home.verify().exits(0);
    home.assert_settled();
}

/// A damaged index may hold the only copy of something: its copy is durable before anything is written to it.
#[test]
fn a_damaged_index_is_kept_before_it_is_emptied() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let receipts = home.record_each("first");
    home.flush();
    let left = [7; 9000];
    fs::write(home.join("memory/index.db"), left).expect("the index can be overwritten");
    let _ = ["-wal", "-shm"].map(|end| fs::remove_file(home.join(&format!("memory/index.db{end}"))));
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("the temporary folder's name is UTF-8");
    let calls = "trace=fsync,fdatasync,pwrite64,ftruncate";
    let _ = home.under(&["strace", "-f", "-y", "-o", name, "-e", calls], &["recover"]).ok();
    let text = fs::read_to_string(&trace).expect("strace has written it");
    let first = |call: &str, file: &str| text.lines().position(|line| line.contains(call) && line.contains(file));
    let (kept, named) = (first("fdatasync(", "/quarantine/index-"), first("fsync(", "/quarantine>"));
    let written = first("", "/memory/index.db>");
    assert!(kept.is_some() && named > kept && written > named, "{kept:?}, {named:?}, {written:?}:\n{text}");
    let aside = fs::read_dir(home.join(".indelible/quarantine")).expect("it is there");
    let names = aside.map(|it| it.expect("it can be listed").path()).filter(|it| it.extension() == Some("db".as_ref()));
    assert!(names.map(|it| fs::read(it).expect("it can be read")).eq([left.to_vec()]), "it is not what was left");
    assert_exactly_once(&home, &receipts);
}

/// A power cut took the file of a record that is committed, while a repeat of its key waits in the journal.
#[test]
fn a_pending_repeat_of_a_key_does_not_take_the_place_of_a_lost_file() {
    let home = TestHome::new();
    let record = || home.recorder("failure", "the same").args(["--key", "the one"]).ok().receipt();
    let receipts = [record(), record()];
    let one_a_batch = ["--set", "worker.records_max=1"];
    let flush = home.cmd(["flush"].iter().chain(&one_a_batch));
    let _ = flush.env("INDELIBLE_CRASH_AT", "CommitAfterAnchor").run().aborted();
    std::fs::remove_file(home.join(&receipts[0].path)).expect("it was placed");
    home.simulate_reboot();
    let _ = home.recover();
    let file = std::fs::read_to_string(home.join(&receipts[0].path)).expect("it is back");
    let committed = home.git(["show", &format!("main:{}", receipts[0].path)]).ok().stdout;
    assert_eq!(file, committed, "the repeat's bytes are in the record's place");
    home.assert_settled();
    assert_exactly_once(&home, &receipts);
}
