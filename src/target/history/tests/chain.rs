//! Chains of commits: which one introduced a file, and what lies before one.

use std::ops::ControlFlow;

use super::*;

/// A chain of commits tells the same as a walk, in few looks, and nothing where it cannot be sure.
#[test]
fn a_chain_of_commits_tells_which_one_introduced_a_file() {
    let (_home, history) = Home::ours();
    let path = |number: i64| format!("memory/failures/2026/01/02/number-{number:08x}.md");
    let mut chain = Vec::new();
    for number in 1..=20 {
        let committed = commit(&history, &[record(&path(number), "text\n")], &[]).expect("a commit");
        let Committed::New { commit, stands, .. } = committed else { panic!("there was something to commit") };
        assert_eq!(stands.parent, chain.last().map(|last: &([u8; 20], [u8; 20])| last.0));
        chain.push((commit.bytes(), stands.tree));
    }
    let looks = std::cell::Cell::new(0);
    let at = |place: i64| {
        looks.set(looks.get() + 1);
        usize::try_from(place - 1).ok().and_then(|place| chain.get(place).copied())
    };
    let ask = |number, from, at: &dyn Fn(i64) -> Option<([u8; 20], [u8; 20])>| {
        let found = history.introduced_among(&path(number), (from, 20), at).expect("asked");
        found.map(|found| found.commit.bytes())
    };
    for number in 1..=20 {
        let name = chain[usize::try_from(number - 1).expect("small")].0;
        assert_eq!(ask(number, 1, &at), Some(name), "number {number}, from the beginning");
        looks.set(0);
        assert_eq!(ask(number, number, &at), Some(name), "number {number}, from its own place");
        assert!(looks.get() <= 4, "{} looks", looks.get());
        let walked = history.introduced_by(&path(number), Timestamp::UNIX_EPOCH, Duration::from_secs(60));
        assert_eq!(walked.expect("walked").map(|it| it.commit.bytes()), Some(name));
    }
    assert_eq!(ask(21, 1, &at), None, "no commit has it");
    assert_eq!(ask(3, 5, &at), None, "it was there before the first that is looked at");
    let without_some = |place: i64| at(place).filter(|_| place != 15);
    assert_eq!(ask(20, 1, &without_some), None, "a commit is missing");
    let later = |place: i64| at(place).filter(|_| place >= 5);
    assert_eq!(ask(9, 5, &later), None, "what was before the chain is unknown");
}

/// Going back ends at the first commit, after a merge, and where a commit is not there.
#[test]
fn going_back_follows_a_chain_and_no_further() {
    let (home, history) = Home::ours();
    let mut made = Vec::new();
    for number in 1..=4 {
        let committed = commit(&history, &[record(&format!("memory/failures/2026/{number}.md"), "text\n")], &[]);
        let Committed::New { commit, stands, .. } = committed.expect("a commit") else { panic!("nothing to commit") };
        made.push((commit, stands));
    }
    let back = |from: CommitId, most: usize| {
        let mut seen = Vec::new();
        let took = history.each_back_from(from.bytes(), |commit, stands| {
            seen.push((commit, stands));
            if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        took.map(|()| seen)
    };
    let reversed: Vec<_> = made.iter().rev().copied().collect();
    let seen = back(made[3].0, usize::MAX).expect("readable");
    let plain = |all: &[(CommitId, Standing)]| all.iter().map(|it| (it.0, it.1.parent, it.1.tree)).collect::<Vec<_>>();
    assert_eq!(plain(&seen), plain(&reversed));
    assert_eq!(plain(&back(made[3].0, 2).expect("readable")), plain(&reversed[..2]));
    let tree = home.git(&["rev-parse", "HEAD^{tree}"]);
    let ids: Vec<String> = made.iter().map(|it| it.0.to_string()).collect();
    let merge = home.git(&["commit-tree", tree.trim(), "-p", &ids[3], "-p", &ids[0], "-m", "merged"]);
    let merge = CommitId(git2::Oid::from_str(merge.trim()).expect("a name"));
    assert_eq!(back(merge, usize::MAX).expect("readable").len(), 1, "beyond a merge is no chain");
    assert_eq!(back(CommitId::numbered(7), usize::MAX).expect("it is no failure").len(), 0, "it is not there");
}
