//! Erasing records from real repositories: the git program finds nothing of them, and all else as it was.

use std::collections::BTreeSet;

use super::versions::recorded;
use super::*;

const SECRET: &str = "hunter2 zebra";

/// Every object of the repository, reachable or not, with its content.
fn objects(home: &Home) -> Vec<(String, String)> {
    let list =
        home.git(&["cat-file", "--batch-check=%(objectname) %(objecttype)", "--batch-all-objects", "--unordered"]);
    let content = |line: &str| {
        let (id, kind) = line.split_once(' ').expect("two words");
        (id.to_owned(), home.git(&["cat-file", kind, id]))
    };
    list.lines().map(content).collect()
}

/// The objects that say the secret, or its slug.
fn tainted(home: &Home) -> Vec<String> {
    let says = |text: &str| text.contains(SECRET) || text.contains("hunter2-zebra");
    objects(home).into_iter().filter(|(_, text)| says(text)).map(|(id, _)| id).collect()
}

/// What stays of each commit: author, dates, and how many there are.
fn dates(home: &Home, history: &History) -> String {
    home.git(&["log", "--format=%an %ae %at %cn %ce %ct", history.reference()])
}

fn page_of(record: &Intent) -> &FileImage {
    record.files.first().expect("a page")
}

/// A history with a secret in a record's page, its amendments, a message, and a domain's page; and others beside it.
fn with_secret(history: &History) -> (Intent, Vec<Intent>) {
    let (secret, others) = (recorded(SECRET), [recorded("before"), recorded("beside"), recorded("after")]);
    keep(history, &others[..1]);
    let shown = crate::page::domain_page(
        "d",
        std::iter::once(crate::page::PageEntry {
            id: secret.id,
            rule: SECRET.into(),
            explanation: String::new(),
            source: String::new(),
            confidence: 0.5,
            created_at: Timestamp::UNIX_EPOCH,
            path: page_of(&secret).path.clone(),
            given: Vec::new(),
            validated_elsewhere: 0,
            violated_elsewhere: 0,
        }),
    );
    let pages = [page("memory/heuristics/d/README.md", &shown)];
    commit(history, &[secret.clone(), others[1].clone()], &pages).expect("a commit");
    keep(history, &others[2..]);
    (secret, others.to_vec())
}

fn ids(record: &Intent) -> BTreeSet<RecordId> {
    BTreeSet::from([record.id])
}

/// Erases as the engine does, and returns what of the user's keeps something.
fn erase(history: &History, record: &Intent) -> BTreeSet<String> {
    let old = history.own_tips().expect("tips");
    history.rewrite_without(&ids(record)).expect("rewritten");
    history.remove_objects_of(&ids(record), &old).expect("removed")
}

#[test]
fn an_erased_record_is_in_no_object_and_other_commits_keep_author_and_dates() {
    let (home, history) = Home::ours();
    let (secret, others) = with_secret(&history);
    let (before, first) = (dates(&home, &history), home.git(&["rev-parse", "main~2"]));
    let traces = history.traces_of(&ids(&secret)).expect("surveyed");
    assert_eq!((traces.commits, traces.kept_by.len()), (2, 0), "{traces:?}");
    assert!(!tainted(&home).is_empty() && traces.packs > 0, "a survey changes nothing");
    // All in one pack with deltas, a commit graph, a bitmap and a multi-pack index, as a user's gc leaves them.
    home.git(&["-c", "repack.writeBitmaps=true", "gc", "-q"]);
    home.git(&["multi-pack-index", "write"]);
    home.git(&["commit-graph", "write", "--reachable"]);
    assert_eq!(erase(&history, &secret), BTreeSet::new());
    assert_eq!(tainted(&home), Vec::<String>::new());
    home.fsck();
    assert_eq!(dates(&home, &history), before);
    assert_eq!(home.git(&["rev-parse", "main~2"]), first, "a commit before it keeps its name");
    for other in &others {
        let page = page_of(other);
        assert_eq!(home.git(&["show", &format!("main:{}", page.path)]), page.text);
    }
    let log = home.git(&["log", "--format=%B"]);
    assert!(log.contains(&format!("- erased ({})", secret.id.short())), "{log}");
    assert_eq!(
        history.anchor(JOURNAL).expect("readable"),
        Anchor::Current { commit: history.tip_name().expect("a tip").expect("a tip") }
    );
    let tip = history.tip_name().expect("a tip");
    assert_eq!(erase(&history, &secret), BTreeSet::new(), "once more");
    assert_eq!(history.tip_name().expect("a tip"), tip, "once more changes nothing");
    keep(&history, &[recorded("later")]);
    home.fsck();
}

#[test]
fn two_hosts_that_erase_arrive_at_the_same_names() {
    let (home, history) = Home::ours();
    let (secret, _) = with_secret(&history);
    let other = Home::empty();
    let copied = Command::new("cp").arg("-a").arg(home.path.join(".git")).arg(&other.path).status().expect("cp");
    assert!(copied.success());
    let there = History::open(&other.path, options()).expect("it opens");
    home.git(&["gc", "-q"]);
    erase(&history, &secret);
    erase(&there, &secret);
    assert_eq!(history.tip_name().expect("a tip"), there.tip_name().expect("a tip"));
}

#[test]
fn what_a_user_keeps_stays_and_is_named_and_what_they_dropped_stays() {
    let (home, history) = Home::ours();
    let (secret, _) = with_secret(&history);
    home.git(&["branch", "mine", "main"]);
    // A commit of theirs on ours, which nothing reaches any more.
    let tree = home.git(&["rev-parse", "main^{tree}"]);
    let dropped = home.git(&["commit-tree", tree.trim(), "-p", "main", "-m", "dropped"]);
    let kept = erase(&history, &secret);
    assert!(kept.contains("refs/heads/mine"), "{kept:?}");
    assert!(kept.iter().any(|name| name.contains(dropped.trim())), "{kept:?}");
    assert_eq!(home.git(&["show", &format!("mine:{}", page_of(&secret).path)]), page_of(&secret).text);
    home.fsck();
    home.git(&["branch", "-D", "mine"]);
    let kept = history.remove_objects_of(&ids(&secret), &[]).expect("removed");
    assert_eq!(kept.len(), 1, "what was dropped stays: {kept:?}");
    home.git(&["cat-file", "-e", dropped.trim()]);
}
