//! The id of a home: what it comes from when parts of the home are lost, and that no other home's id is taken for it.

use std::fs;

use crate::adopt::{adopt, release};
use crate::support::{Git, Receipt, Tables, TestHome, assert_exactly_once, framework, repository, theirs};

/// Another home's id.
const OTHER: &str = "01234567-89ab-4cde-8f01-23456789abcd";

/// Who made the home's repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repository {
    Own,
    Users,
}

impl Repository {
    fn home(self) -> TestHome {
        match self {
            Repository::Own => TestHome::new(),
            Repository::Users => {
                let home = repository();
                let _ = home.cmd(["init"]).ok();
                home
            }
        }
    }
}

fn keyed(home: &TestHome) -> Receipt {
    home.recorder("failure", "keyed").args(["--key", "k"]).ok().receipt()
}

fn remove_index(home: &TestHome) {
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(home.join("memory").join(name));
    }
}

fn remove_private(home: &TestHome) {
    fs::remove_dir_all(home.private()).expect("it is there");
}

/// Puts a commit of another home on the home's history, as a pull or a push into it does.
fn commit_of_another_home(home: &TestHome) -> String {
    let history = home.history();
    let position = "00000000-0000-0000-0000-000000000009:77:00000abc";
    let text = format!(
        "Record failure: x\n\nIndelible-Home: {OTHER}\nIndelible-Journal: {OTHER}\nIndelible-Position: {position}\n"
    );
    let tree = format!("{history}^{{tree}}");
    let commit = theirs(home, ["commit-tree", &tree, "-p", &history, "-m", &text]).ok().stdout;
    let _ = home.git(["update-ref", &history, commit.trim()]).ok();
    commit.trim().to_owned()
}

/// The id in the index.
fn id_in_index(home: &TestHome) -> String {
    home.index().query_row("SELECT value FROM indelible WHERE name = 'home'", [], |row| row.get(0)).expect("it has one")
}

/// The table of docs/guarantees.md: what is lost, and whether the home has the same id then. The newest commit of its
/// history says that it is another home's.
#[test]
fn a_home_that_lost_parts_has_its_own_id_or_a_new_one() {
    const PRIVATE: &[fn(&TestHome)] = &[remove_private];
    const INDEX: &[fn(&TestHome)] = &[remove_index];
    const BOTH: &[fn(&TestHome)] = &[remove_private, remove_index];
    let table = [
        (Repository::Own, PRIVATE, true),
        (Repository::Own, INDEX, true),
        (Repository::Own, BOTH, true),
        (Repository::Users, PRIVATE, true),
        (Repository::Users, INDEX, true),
        (Repository::Users, BOTH, false),
    ];
    for (number, (repository, lost, is_same)) in table.into_iter().enumerate() {
        let home = repository.home();
        let mut receipts = vec![keyed(&home)];
        receipts.extend(home.record_each("before"));
        home.flush();
        let (id, history) = (home.id(), home.history());
        let foreign = commit_of_another_home(&home);
        lost.iter().for_each(|lose| lose(&home));
        home.recover_fully();
        assert_eq!(home.id() == id, is_same, "row {number}: {repository:?}");
        assert_ne!(home.id(), OTHER, "row {number}: it took another home's id");
        assert_eq!(id_in_index(&home), home.id(), "row {number}");
        let again = keyed(&home);
        assert_eq!(again.id == receipts[0].id, is_same, "row {number}: a key follows from the id");
        if !is_same {
            receipts.push(again);
            assert_eq!(home.git(["rev-parse", &history]).ok().stdout.trim(), foreign, "its old history was changed");
        }
        home.recover_fully();
        assert_exactly_once(&home, &receipts);
    }
}

/// The way back for a home in a user's repository that lost both: its owner says which home it is.
#[test]
fn a_home_goes_on_under_the_id_that_its_owner_puts_back() {
    let home = Repository::Users.home();
    let receipts = [vec![keyed(&home)], home.record_each("before")].concat();
    home.flush();
    let (id, history) = (home.id(), home.history());
    let tip = home.git(["rev-parse", &history]).ok().stdout;
    remove_private(&home);
    fs::remove_dir_all(home.join("memory")).expect("it is there");
    fs::create_dir(home.private_in_git()).expect("it can be made");
    let identity = format!("{{\"version\":1,\"id\":\"{id}\"}}");
    fs::write(home.private_in_git().join("home.json"), identity).expect("it can be written");
    let _ = home.cmd(["init"]).ok();
    home.recover_fully();
    assert_eq!((home.id(), home.git(["rev-parse", &history]).ok().stdout), (id, tip), "it was committed again");
    assert_exactly_once(&home, &receipts);
    assert!(keyed(&home).duplicate, "the key names another record");
}

/// A copy is the same home by its id, with a journal of its own.
#[test]
fn a_copy_has_the_id_of_the_home_and_another_journal_id() {
    for repository in [Repository::Own, Repository::Users] {
        let home = repository.home();
        let receipts = home.record_each("before");
        let copy = TestHome::absent();
        let copied = std::process::Command::new("cp").arg("-a").args([home.path(), copy.path()]).status();
        assert!(copied.expect("there is cp").success());
        for home in [&home, &copy] {
            home.recover_fully();
            assert_exactly_once(home, &receipts);
        }
        assert_eq!(home.id(), copy.id());
        assert_ne!(home.journal_id(), copy.journal_id());
    }
}

/// A clone of a home's own repository is a new home with the same records.
#[test]
fn a_clone_of_a_homes_own_repository_has_an_id_of_its_own() {
    for kind in ["--mirror", "--bare"] {
        let home = TestHome::new();
        let first = keyed(&home);
        home.flush();
        let clone = TestHome::absent();
        fs::create_dir(clone.path()).expect("it can be made");
        let (from, to) = (home.path().to_str().expect("UTF-8"), clone.path().join(".git"));
        let _ = home.git(["clone", "-q", kind, from, to.to_str().expect("UTF-8")]).ok();
        let _ = clone.cmd(["init"]).ok();
        let id = clone.id();
        assert_ne!(id, home.id(), "{kind}");
        let _ = clone.recover();
        let second = keyed(&clone);
        assert!(!second.duplicate && second.id != first.id, "{kind}: its keys are another home's");
        clone.recover_fully();
        assert_exactly_once(&clone, &[first, second]);
        // From now on it is a home like any other.
        remove_private(&clone);
        remove_index(&clone);
        clone.recover_fully();
        assert_eq!(clone.id(), id, "{kind}");
    }
}

/// Programs of the framework add the database to git. A clone has it then, with the id of the home that it is from.
#[test]
fn an_index_that_came_with_a_clone_does_not_say_which_home_this_is() {
    let home = Repository::Users.home();
    let _ = home.record_each("there");
    home.flush();
    track_index(&home);
    let clone = TestHome::absent();
    let (from, to) = (home.path().to_str().expect("UTF-8"), clone.path().to_str().expect("UTF-8"));
    let _ = home.git(["clone", "-q", from, to]).ok();
    assert_eq!(id_in_index(&clone), home.id(), "the clone has no index");
    let _ = clone.cmd(["init"]).ok();
    let id = clone.id();
    assert_ne!(id, home.id(), "it took the id of the home that it was cloned from");
    assert_eq!(id_in_index(&clone), id);
    let receipt = clone.record("failure", "here");
    clone.flush();

    // A pull brings it again.
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(clone.join(&format!("memory/index.db{end}")));
    }
    let _ = clone.git(["checkout", "-q", "--", "memory/index.db"]).ok();
    assert_eq!(id_in_index(&clone), home.id());
    let _ = clone.cmd(["init"]).ok();
    assert_eq!((clone.id(), id_in_index(&clone)), (id.clone(), id.clone()));
    let _ = clone.cmd(["repair"]).ok();
    clone.recover_fully();
    assert_exactly_once(&clone, &[receipt]);
    let ours = clone.git(["for-each-ref", "--format=%(refname)", "refs/indelible"]).ok().stdout;
    assert!(ours.contains(&id) && !ours.contains(&home.id()), "it commits for another home: {ours}");
}

/// Commits the index of `home` with all that is in it.
fn track_index(home: &TestHome) {
    let _: i64 = home.index().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("it can be");
    let _ = home.git(["add", "-f", "memory/index.db"]).ok();
    let _ = theirs(home, ["commit", "-q", "-m", "the database"]).ok();
}

/// A home that was released and is adopted again is the same one, also where git has its database.
#[test]
fn a_released_home_that_is_adopted_again_has_its_id() {
    for (git, remove, is_same) in [(Git::Clean, false, true), (Git::Dirty, false, true), (Git::Dirty, true, false)] {
        let home = framework(Tables::Usual, git, 20);
        let _ = adopt(&home, &["--yes"]).ok();
        let _ = home.record("failure", "before");
        let id = home.id();
        let _ = release(&home, if remove { &["--yes", "--remove"] } else { &["--yes"] }).ok();
        let _ = adopt(&home, &["--yes"]).ok();
        assert_eq!(home.id() == id, is_same, "{git:?}, its private folder removed: {remove}");
        home.recover_fully();
    }
}

/// A repository that a version before this one made has a mark without the id. The next worker adds it.
#[test]
fn a_repository_of_an_earlier_version_is_marked_with_the_id() {
    let home = TestHome::new();
    let mark = home.path().join(".git/indelible");
    let text = fs::read_to_string(&mark).expect("it is there");
    assert!(text.contains(&home.id()), "{text}");
    let (first, _) = text.split_once('\n').expect("it has two lines");
    fs::write(&mark, format!("{first}\n")).expect("it can be written");
    home.flush();
    assert_eq!(fs::read_to_string(&mark).expect("it is there"), text);
    // A mark that makes no sense says nothing.
    fs::write(&mark, "\0").expect("it can be written");
    remove_private(&home);
    let _ = home.cmd(["init"]).ok();
    assert_eq!(fs::read_to_string(&mark).expect("it is there"), text, "the index had the id");
}

/// A work tree of a home's own repository, made to look into it, is another home and leaves the mark alone.
#[test]
fn a_work_tree_of_a_homes_own_repository_does_not_change_its_mark() {
    let home = TestHome::new();
    let _ = home.record("failure", "t");
    home.flush();
    let text = |home: &TestHome| fs::read_to_string(home.path().join(".git/indelible")).expect("it is there");
    let before = text(&home);
    let tree = home.path().with_file_name("tree");
    let _ = home.git(["worktree", "add", "-q", "-b", "look", tree.to_str().expect("UTF-8"), "main"]).ok();
    let looked = TestHome::at(tree);
    let _ = looked.cmd(["init"]).run();
    assert_eq!(text(&home), before);
}
