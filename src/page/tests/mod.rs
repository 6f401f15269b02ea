//! Pages of records and of domains, there and back.

mod any;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::text;
use crate::model::{
    Confidence, Experiment, ExperimentResult, Field, FileImage, Heuristic, HomeId, Kind, Learning, Level, Origin,
    PROVENANCE, Provenance, Record, RecordPath, Ruling, Severity, Verdict, check_path,
};

fn id() -> RecordId {
    "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".parse().unwrap()
}

fn at() -> Timestamp {
    "2026-03-04T05:06:07.089Z".parse().unwrap()
}

/// The files of a record of which nothing else is known.
fn files(id: RecordId, at: Timestamp, key: Option<&str>, record: &Record, taken: bool) -> Vec<FileImage> {
    let request = Request { key: key.map(str::to_owned), ..Request::new(record.clone()) };
    let mut files = super::files(id, at, &request, Level::Day);
    if taken {
        files.iter_mut().for_each(|file| file.path = RecordPath(&file.path).with_full_id(id));
    }
    files
}

fn severity(number: u8) -> Severity {
    Severity::new(number).expect("it is 1 to 5")
}

fn confidence(number: f64) -> Confidence {
    Confidence::new(number).expect("it is 0 to 1")
}

fn failure(title: &str, tags: &str, summary: &str) -> Record {
    Record::Failure(learning(title, tags, summary))
}

fn learning(title: &str, tags: &str, summary: &str) -> Learning {
    Learning {
        title: title.into(),
        domain: "git".into(),
        severity: severity(4),
        tags: tags.into(),
        summary: summary.into(),
        ..Learning::default()
    }
}

fn heuristic(domain: &str, rule: &str) -> Record {
    Record::Heuristic(Heuristic {
        domain: domain.into(),
        rule: rule.into(),
        explanation: "Because.".into(),
        source: "failure".into(),
        confidence: confidence(0.85),
    })
}

fn experiment(hypothesis: &str, success: &str, failure: &str) -> Record {
    Record::Experiment(Experiment {
        name: "Batch the commits".into(),
        hypothesis: hypothesis.into(),
        success_criteria: success.into(),
        failure_criteria: failure.into(),
        ..Experiment::default()
    })
}

fn page_of(record: &Record) -> String {
    files(id(), at(), None, record, false).remove(0).text
}

fn record_in(page: &str) -> Record {
    parse(page.as_bytes()).unwrap().request.unwrap().record
}

/// A page as an owner might have written it: the three opening fields, more front matter, and a body.
fn by_hand(front: &str, body: &str) -> String {
    format!("---\nid: {}\nkind: failure\ncreated_at: 2026-01-02\n{front}---\n{body}", id())
}

// What pages look like.

#[test]
fn golden_failure() {
    let record = failure("index.lock *again*", "git,lock", "It was there.\n\n- Retried: no luck.");
    let [FileImage { path, text }] = files(id(), at(), Some("k\"1"), &record, false).try_into().unwrap();
    assert_eq!(path, "memory/failures/2026/03/04/index-lock-again-778899aa.md");
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: failure
created_at: 2026-03-04T05:06:07.089Z
revision: 1
key: "k\"1"
title: "index.lock *again*"
domain: "git"
severity: 4
tags: ["git", "lock"]
---

# index.lock \*again\*

It was there.

- Retried: no luck.
"#;
    assert_eq!(text, wanted);
}

#[test]
fn golden_success_with_hidden_characters() {
    let record = Record::Success(learning("red \x1b[31m", "a, b", "one\r\ntwo\u{202e}"));
    let [FileImage { path, text }] = files(id(), at(), None, &record, true).try_into().unwrap();
    assert_eq!(path, "memory/successes/2026/03/04/red-31m-0198f3a2-7c1e-7b3d-9a4f-5566778899aa.md");
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: success
created_at: 2026-03-04T05:06:07.089Z
revision: 1
title: "red \x1B[31m"
domain: "git"
severity: 4
tags: ["a", "b"]
tags_exact: "a, b"
body: "one\r\ntwo\u202E"
---

# red ␛\[31m

one␍
two⟨U+202E⟩
"#;
    assert_eq!(text, wanted);
}

#[test]
fn golden_observation() {
    let record = Record::Observation(learning("", "", ""));
    let [FileImage { path, text }] = files(id(), at(), None, &record, false).try_into().unwrap();
    assert_eq!(path, "memory/observations/2026/03/04/untitled-778899aa.md");
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: observation
created_at: 2026-03-04T05:06:07.089Z
revision: 1
title: ""
domain: "git"
severity: 4
---

# (untitled)
"#;
    assert_eq!(text, wanted);
}

#[test]
fn golden_heuristic() {
    let [FileImage { path, text }] =
        files(id(), at(), None, &heuristic("C++", "Sync, then rename"), false).try_into().unwrap();
    assert_eq!(path, "memory/heuristics/c-634e16/2026/03/04/sync-then-rename-778899aa.md");
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: heuristic
created_at: 2026-03-04T05:06:07.089Z
revision: 1
rule: "Sync, then rename"
domain: "C++"
source: "failure"
confidence: 0.85
---

# Sync, then rename

Because.
"#;
    assert_eq!(text, wanted);
}

#[test]
fn golden_experiment() {
    let record = experiment("Batches are faster.", "10x", "Under 2x");
    let [page, log] = files(id(), at(), None, &record, false).try_into().unwrap();
    assert_eq!(page.path, "experiments/active/20260304-050607_batch-the-commits-778899aa/hypothesis.md");
    assert_eq!(log.path, "experiments/active/20260304-050607_batch-the-commits-778899aa/log.md");
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: experiment
created_at: 2026-03-04T05:06:07.089Z
revision: 1
name: "Batch the commits"
success_criteria: "10x"
failure_criteria: "Under 2x"
body: "Batches are faster."
---

# Batch the commits

Batches are faster.

## Success criteria

10x

## Failure criteria

Under 2x
"#;
    assert_eq!(page.text, wanted);
    let wanted = r#"---
id: 0198f3a2-7c1e-7b3d-9a4f-5566778899aa
kind: experiment-log
created_at: 2026-03-04T05:06:07.089Z
name: "Batch the commits"
---

# Log: Batch the commits

- 2026-03-04 05:06:07 UTC: started
"#;
    assert_eq!(log.text, wanted);
}

#[test]
fn golden_domain_page() {
    let wanted = r#"<!-- indelible renders this page from its heuristics and sets edits by hand aside; edit their own files. crc32c:25437deb -->

# Heuristics: C++

2 heuristics.

## H-778899aa: Never \`\<\!--\`␊\#\# here

- **Confidence**: 0.85
- **Source**: failure
- **Created**: 2026-03-04 05:06:07 UTC

> \`\`\`  
> \<\!-- open
>
> \%\% hidden

[The record](2026/03/04/never-778899aa.md)

## H-778899aa: Plain

- **Confidence**: 0.5
- **Source**: auto
- **Created**: 2026-03-04 05:06:07 UTC

[The record](../../../memory/heuristics/old%20one.md)
"#;
    let first = PageEntry {
        id: id(),
        rule: "Never `<!--`\n## here".into(),
        explanation: "```\n<!-- open\n\n\t%% hidden\n".into(),
        source: "failure".into(),
        confidence: 0.85,
        created_at: at(),
        path: "memory/heuristics/c-634e16/2026/03/04/never-778899aa.md".into(),
        given: Vec::new(),
        validated_elsewhere: 0,
        violated_elsewhere: 0,
    };
    let second = PageEntry {
        rule: "Plain".into(),
        explanation: String::new(),
        source: "auto".into(),
        confidence: 0.5,
        path: "memory/heuristics/old one.md".into(),
        ..first.clone()
    };
    let page = domain_page("C++", [first, second].into_iter());
    assert_eq!(page, wanted);
    assert!(is_unedited(&page));
    assert!(!is_unedited(&page.replace("Plain", "plain")));
    assert!(!is_unedited(page.split_once('\n').unwrap().1));
    assert!(!is_unedited(""));
}

// Where they lie.

#[test]
fn the_full_id_takes_the_place_of_the_short_one() {
    for record in [failure("t", "", ""), heuristic("d", "r"), experiment("h", "", "")] {
        let short = files(id(), at(), None, &record, false);
        let full = files(id(), at(), None, &record, true);
        for (short, full) in short.iter().zip(&full) {
            assert_ne!(short.path, full.path);
            assert_eq!(RecordPath(&full.path).with_full_id(id()), full.path);
            assert_eq!(short.text, full.text);
        }
    }
    for odd in ["", "é", "memory/x.md", "experiments/active/x.md"] {
        assert_eq!(RecordPath(odd).with_full_id(id()), odd);
    }
}

#[test]
fn hostile_names_give_paths_that_a_record_may_have() {
    let names = ["../../x", "..", "", "-rf", "con", "NUL", "a/b\\c:d", "日本語", "\u{202e}", ".git", "~", "\0"];
    let long = "\u{1f600}".repeat(500);
    for name in names.into_iter().chain([long.as_str()]) {
        for record in [failure(name, "", ""), heuristic(name, name)] {
            for taken in [false, true] {
                let path = files(id(), at(), None, &record, taken).remove(0).path;
                assert_eq!(check_path(&path), Ok(()), "{name:?}");
                assert!(path.split('/').all(|part| !part.starts_with('-')), "{path}");
            }
        }
    }
}

#[test]
fn one_title_many_times_is_many_paths() {
    let paths: BTreeSet<_> = (0..500)
        .map(|nth| files(RecordId(Uuid::from_u128(nth)), at(), None, &failure("Same", "", ""), false).remove(0).path)
        .collect();
    assert_eq!(paths.len(), 500);
}

#[test]
fn a_heuristic_has_its_page_beside_it() {
    let path = files(id(), at(), None, &heuristic("C++", "r"), false).remove(0).path;
    assert_eq!(RecordPath(&path).domain_folder(), Some("memory/heuristics/c-634e16"));
    let others = ["memory/heuristics/x.md", "memory/heuristics/x/README.md", "memory/failures/2026/01/02/x.md", ""];
    for other in others.into_iter().chain(["memory/heuristics/../2026/01/02/x.md"]) {
        assert_eq!(RecordPath(other).domain_folder(), None, "{other}");
    }
}
