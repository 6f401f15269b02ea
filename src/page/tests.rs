use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::text;
use crate::model::{
    Confidence, Experiment, Field, FileImage, Heuristic, HomeId, Kind, Learning, Level, Origin, PROVENANCE, Provenance,
    Record, RecordPath, Severity, check_path,
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
    })
}

fn page_of(record: &Record) -> String {
    files(id(), at(), None, record, false).remove(0).text
}

fn record_in(page: &str) -> Record {
    parse(page.as_bytes()).unwrap().request.unwrap().record
}

/// A page as an owner might have written it: our three opening fields, more front matter, and a body.
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
    let wanted = r#"<!-- indelible renders this page from its heuristics and sets edits by hand aside; edit their own files. crc32c:327ab445 -->

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

- **Confidence**: 1.0
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
    };
    let second = PageEntry {
        rule: "Plain".into(),
        explanation: String::new(),
        source: "auto".into(),
        confidence: 1.0,
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

// What reading makes of edits.

#[test]
fn front_matter_in_other_hands() {
    let page = format!(
        "\u{feff}--- \r\n# a comment\r\naliases:\r\n- x\r\n1: one\r\ntags:\r\n  - git\r\n  - 2026\r\n  - 1.10\r\n  -\r\n\
         severity: High # really\r\ntitle: 'It''s  here'\r\ndomain: 007\r\nextra: {{a: [1, ~]}}\r\n\
         created_at: 2026/01/02 03:04 UTC\r\nkind: Failure\r\nkey: yes\r\nid: '{}'\r\n---\r\nNo heading.\r\nTwo.\r\n",
        id().to_string().to_uppercase()
    );
    let parsed = parse(page.as_bytes()).unwrap();
    assert_eq!(parsed.id, id());
    assert_eq!(id_of(page.as_bytes()), Some(id()));
    assert_eq!(parsed.created_at, "2026-01-02T03:04:00Z".parse().unwrap());
    let Request { record, key, provenance } = parsed.request.unwrap();
    assert_eq!((key.as_deref(), provenance), (Some("yes"), Provenance::default()));
    let wanted = Learning {
        title: "It's  here".into(),
        domain: "007".into(),
        severity: severity(4),
        tags: "git,2026,1.10".into(),
        summary: "No heading.\nTwo.".into(),
    };
    assert_eq!(record, Record::Failure(wanted));
}

#[test]
fn tags_come_in_any_shape() {
    let cases = [
        ("tags: a, b\n", "a, b"),
        ("tags: [a, \"b\"]\n", "a,b"),
        ("tags:\n  - a\n", "a"),
        ("tags:\n", ""),
        ("tags: 1.10\n", "1.10"),
        ("tags: {a: b}\n", ""),
        ("tags: [[a]]\n", ""),
        ("tags: [a, b]\ntags_exact: 'a, b'\n", "a, b"),
        ("tags: [a, c]\ntags_exact: 'a, b'\n", "a,c"),
        ("tags_exact: 'a, b'\n", ""),
    ];
    for (yaml, wanted) in cases {
        let Record::Failure(it) = record_in(&by_hand(&format!("title: t\n{yaml}"), "")) else { panic!() };
        assert_eq!(it.tags, wanted, "{yaml}");
    }
}

#[test]
fn times_come_in_many_forms() {
    let noon: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
    let midnight: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let own = Timestamp::from_millisecond(0x0198_f3a2_7c1e).unwrap();
    let cases = [
        ("2026-01-02T12:00:00.000Z", noon),
        ("\"2026-01-02T13:00:00+01:00\"", noon),
        ("2026-01-02 12:00:00", noon),
        ("2026-01-02T12:00", noon),
        ("2026-01-02 12:00:00 UTC", noon),
        ("2026-01-02", midnight),
        ("20260102", midnight),
        ("2026/01/02", midnight),
        ("last tuesday", own),
        ("", own),
        ("9999999-99-99", own),
    ];
    for (written, wanted) in cases {
        let page = format!("---\nid: {}\nkind: failure\ntitle: t\ncreated_at: {written}\n---\n", id());
        assert_eq!(parse(page.as_bytes()).unwrap().created_at, wanted, "{written}");
    }
    let keyed = format!("---\nid: {}\nkind: failure\ntitle: t\n---\n", RecordId::of_key(HomeId::default(), "k"));
    assert_eq!(parse(keyed.as_bytes()), Err(NotARecord::Missing { field: "created_at" }));
}

#[test]
fn numbers_come_as_words_and_only_within_bounds() {
    for (word, wanted) in [("low", 2), ("Medium", 3), ("HIGH", 4), ("critical", 5), ("1", 1), ("'5'", 5), ("4.0", 4)] {
        assert_eq!(
            record_in(&by_hand(&format!("title: t\nseverity: {word}\n"), "")).severity(),
            severity(wanted),
            "{word}"
        );
    }
    for word in ["0", "6", "2.5", "dire", "nan", "-1", "99999999999999999999"] {
        let page = by_hand(&format!("title: t\nseverity: {word}\n"), "");
        assert!(matches!(parse(page.as_bytes()), Err(NotARecord::Bad { field: "severity", .. })), "{word}");
    }
    let read = |word: &str| {
        let page = format!("---\nid: {}\nkind: heuristic\nrule: r\nconfidence: {word}\n---\n", id());
        parse(page.as_bytes()).map(|parsed| match parsed.request.map(|request| request.record) {
            Some(Record::Heuristic(it)) => it.confidence.get(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(read("high"), Ok(0.85));
    assert_eq!(read("1"), Ok(1.0));
    assert_eq!(read("5e-324"), Ok(5e-324));
    for word in ["1.1", "-0.1", ".nan", "inf", "sure"] {
        assert!(matches!(read(word), Err(NotARecord::Bad { field: "confidence", .. })), "{word}");
    }
}

#[test]
fn what_people_see_counts_once_they_edit_it() {
    let page = page_of(&failure("t", "", "one\r\ntwo"));
    assert_eq!(record_in(&page), failure("t", "", "one\r\ntwo"));
    let edited = page.replace("two\n", "two, and three\n");
    assert_eq!(record_in(&edited), failure("t", "", "one␍\ntwo, and three"));
    let heading = page.replace("# t\n", "# Another\n");
    assert_eq!(record_in(&heading), failure("t", "", "one\r\ntwo"), "the title is the front matter's");
    let crlf = page.replace('\n', "\r\n");
    assert_eq!(record_in(&crlf), failure("t", "", "one\r\ntwo"), "line ends are no edit");
}

#[test]
fn an_experiments_parts_are_edited_one_by_one() {
    let trap = "A.\n\n## Success criteria\n\nNot these.\n\n## Failure criteria\n\nNor these.";
    let (success, failure) = ("Yes\x07.", "No.\n\n## Failure criteria\n\nStill.");
    let page = page_of(&experiment(trap, success, failure));
    assert_eq!(record_in(&page), experiment(trap, success, failure));
    let edited = |from: &str, to: &str| {
        let at = page.rfind(from).unwrap();
        record_in(&format!("{}{to}{}", &page[..at], &page[at + from.len()..]))
    };
    assert_eq!(
        edited("Nor these.", "Nor those."),
        experiment(&trap.replace("these.", "those.").replace("Not those", "Not these"), success, failure)
    );
    assert_eq!(edited("Yes␇.", "Yes!"), experiment(trap, "Yes!", failure));
    assert_eq!(edited("Still.", "Still!"), experiment(trap, success, &failure.replace("Still.", "Still!")));

    let plain = page_of(&experiment("A.", "Yes.", "No."));
    let all = plain.replace("A.\n\n#", "B.\n\n\n#").replace("Yes.\n", "Yes!\n\n").replace("No.\n", "No!\n");
    assert_eq!(record_in(&all), experiment("B.", "Yes!", "No!"));
    let cut = &plain[..plain.find("\n\n## Failure").unwrap()];
    assert_eq!(record_in(cut), experiment("A.", "Yes.", ""));
}

#[test]
fn the_first_of_two_equal_keys_counts() {
    let page = by_hand(&format!("title: one\ntitle: two\nid: {}\n", RecordId(Uuid::from_u128(7))), "");
    let parsed = parse(page.as_bytes()).unwrap();
    assert_eq!(parsed.request.unwrap().record.headline(), "one");
    assert_eq!((Some(parsed.id), id_of(page.as_bytes())), (Some(id()), Some(id())));
}

#[test]
fn what_is_no_record_says_why() {
    let reason = |page: &str| parse(page.as_bytes()).unwrap_err();
    assert_eq!(reason(""), NotARecord::NoFrontMatter);
    assert_eq!(reason("# Just markdown\n---\nid: x\n---\n"), NotARecord::NoFrontMatter);
    assert_eq!(reason("---\nid: x\n"), NotARecord::NoFrontMatter);
    assert_eq!(reason("---\n---\n"), NotARecord::Missing { field: "id" });
    assert_eq!(reason("---\nid: x\n---\n"), NotARecord::Bad { field: "id", value: "x".into() });
    assert_eq!(reason(&by_hand("", "")), NotARecord::Missing { field: "title" });
    assert_eq!(reason("---\nid: a\0\n---\n"), NotARecord::Nul { at: 9 });
    assert_eq!(parse(b"---\n\xff"), Err(NotARecord::NotUtf8 { at: 4 }));
    assert_eq!(parse(&vec![b' '; PAGE_BYTES_MAX + 1]), Err(NotARecord::TooLong { bytes: PAGE_BYTES_MAX + 1 }));
    for yaml in ["- a\n", "text\n", "title: [a]\n", "title: a: b\n", "\"\n", "{\n", "*x\n", "%\n"] {
        assert!(matches!(reason(&by_hand(yaml, "")), NotARecord::Yaml { .. }), "{yaml:?}");
    }
}

#[test]
fn yaml_that_grows_or_nests_is_refused() {
    let deep = format!("x: {}{}\ntitle: t\n", "[".repeat(5_000), "]".repeat(5_000));
    let block: String = (0..3_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for nth in 1..12 {
        let again = vec![format!("*a{}", nth - 1); 10].join(",");
        bomb.push_str(&format!("a{nth}: &a{nth} [{again}]\n"));
    }
    let wide = format!("x: [{}]\n", "a,".repeat(200_000));
    for yaml in [deep, block, bomb, wide] {
        let page = by_hand(&yaml, "");
        assert!(matches!(parse(page.as_bytes()), Err(NotARecord::Yaml { .. })));
        assert_eq!(id_of(page.as_bytes()), Some(id()), "it is still its owner's edit");
    }
}

#[test]
fn only_an_id_in_the_front_matter_is_the_files() {
    let page = page_of(&failure("t", "", &format!("id: {}", RecordId(Uuid::from_u128(7)))));
    assert_eq!(id_of(page.as_bytes()), Some(id()));
    for (front, wanted) in [
        (format!("id: {}", id()), true),
        (format!("\"id\": \"{}\" # ours", id()), true),
        (format!("x: 1\nid : {}", id()), true),
        (format!("x: |\n  id: {}", id()), false),
        (format!("xid: {}", id()), false),
        (format!("# id: {}", id()), false),
        (String::new(), false),
    ] {
        let page = format!("---\n{front}\nbad: yaml: here\n---\nid: {}\n", RecordId(Uuid::from_u128(7)));
        assert_eq!(id_of(page.as_bytes()), wanted.then(id), "{front}");
    }
    let mut torn = page.clone().into_bytes();
    torn.push(0);
    assert_eq!(id_of(&torn), None);
    let mut latin = page.clone().into_bytes();
    latin.push(0xe9);
    assert_eq!(id_of(&latin), Some(id()));
    let end = page.find("\n---\n").unwrap();
    assert_eq!(id_of(&page.as_bytes()[..end]), None, "front matter that does not end is torn");
}

#[test]
fn a_small_confidence_is_a_number_to_old_readers_too() {
    for (number, wanted) in [(5e-324, "5.0e-324"), (1.5e-9, "1.5e-9"), (1.0, "1.0"), (0.1 + 0.2, "0.30000000000000004")]
    {
        let Record::Heuristic(it) = heuristic("d", "r") else { panic!() };
        let record = Record::Heuristic(Heuristic { confidence: confidence(number), ..it });
        let page = page_of(&record);
        assert!(page.contains(&format!("\nconfidence: {wanted}\n")), "{page}");
        assert_eq!(record_in(&page), record);
    }
}

#[test]
fn a_log_is_its_records() {
    let log = files(id(), at(), Some("k"), &experiment("h", "", ""), false).remove(1).text;
    let parsed = parse(log.as_bytes()).unwrap();
    let wanted = Parsed {
        id: id(),
        kind: PageKind::Log,
        created_at: at(),
        revision: None,
        fields: BTreeMap::new(),
        request: None,
    };
    assert_eq!(parsed, wanted);
    assert_eq!(id_of(log.as_bytes()), Some(id()));
}

// Whatever it holds.

/// Text made of what has broken such formats before, and of anything else.
fn nasty() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const PIECES: &[&str] = &[
        "---", "\n---\n", "...", "\n", "\r\n", "\r", "\t", " ", "  ", "\"", "'", "\\", "\\n", "\\x", ": ", "#", " #",
        "# ", "\n# a\n", "\n\n", ",", ", ", "[", "]", "{", "}", "&a", "*a", "!!str", "|", ">", "%", "%%", "@", "`",
        "```\n", "~", "null", "yes", "0x1", "1e3", ".nan", "<<", "<!--", "-->", "<script>", "## ",
        "\n## Success criteria\n", "\n\n## Success criteria\n\n", "\n\n## Failure criteria\n\n", "\u{feff}",
        "\u{202e}", "\u{2028}", "\u{85}", "\u{a0}", "\x1b[31m", "\x01", "\x7f", "\u{ffff}", "\u{1fffe}", "\u{e0041}",
        "\u{200b}", "\u{200d}", "👩‍👧", "ä", "日本", "id: 0198f3a2-7c1e-7b3d-9a4f-5566778899ab",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        2 => "[a-z]{0,4}",
        1 => any::<char>().prop_filter("NUL is refused before", |c| *c != '\0').prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn records() -> impl Strategy<Value = Record> {
    let number = prop_oneof![0.0..=1.0, Just(0.1 + 0.2), Just(f64::MIN_POSITIVE), Just(5e-324)];
    let learning = (nasty(), nasty(), 1..=5_u8, nasty(), nasty()).prop_map(|(title, domain, number, tags, summary)| {
        Learning { title, domain, severity: severity(number), tags, summary }
    });
    let heuristic =
        (nasty(), nasty(), nasty(), nasty(), number).prop_map(|(domain, rule, explanation, source, number)| {
            Heuristic { domain, rule, explanation, source, confidence: confidence(number) }
        });
    let experiment =
        (nasty(), nasty(), nasty(), nasty()).prop_map(|(name, hypothesis, success_criteria, failure_criteria)| {
            Experiment { name, hypothesis, success_criteria, failure_criteria }
        });
    prop_oneof![
        3 => (learning, 0..3).prop_map(|(it, kind)| match kind {
            0 => Record::Failure(it),
            1 => Record::Success(it),
            _ => Record::Observation(it),
        }),
        1 => heuristic.prop_map(Record::Heuristic),
        1 => experiment.prop_map(Record::Experiment),
    ]
}

fn provenances() -> impl Strategy<Value = Provenance> {
    let texts = proptest::collection::vec(proptest::option::of(nasty()), PROVENANCE.len());
    (texts, proptest::option::of(proptest::sample::select(&Origin::ALL))).prop_map(|(texts, origin)| {
        let mut provenance = Provenance { origin, ..Provenance::default() };
        for (spec, text) in PROVENANCE.iter().zip(texts).filter(|(spec, _)| spec.field != Field::Origin) {
            provenance.set(spec.field, text.unwrap_or_default()).unwrap();
        }
        provenance
    })
}

fn times() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800_000..253_402_207_200_000_i64).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_unedited_page_is_exactly_its_record(
        bits in any::<u128>(), at in times(), key in proptest::option::of(nasty()), record in records(), provenance in provenances(),
        level in proptest::sample::select(&Level::ALL)
    ) {
        let id = RecordId(Uuid::from_u128(bits));
        let request = Request { record, key, provenance };
        let files = super::files(id, at, &request, level);
        for file in &files {
            prop_assert_eq!(check_path(&file.path), Ok(()));
            prop_assert!(!file.text.contains(|c| text::is_hidden(c) && c != '\n' && c != '\t'));
            prop_assert_eq!(id_of(file.text.as_bytes()), Some(id));
        }
        let (revision, fields) = (Some(Revision::first(id)), BTreeMap::new());
        let mut wanted = Parsed { id, kind: PageKind::Record, created_at: at, revision, fields, request: Some(request) };
        prop_assert_eq!(&parse(files[0].text.as_bytes()).unwrap(), &wanted);
        let crlf = files[0].text.replace('\n', "\r\n");
        prop_assert_eq!(&parse(format!("\u{feff}{crlf}").as_bytes()).unwrap(), &wanted);
        // Amended, and from before there were revisions.
        let op = |n: u64| Revision { n, op: Uuid::from_u128(bits ^ u128::from(n)) };
        let fields = BTreeMap::from([("title".to_owned(), op(2)), ("tags".to_owned(), op(3))]);
        let amended = Amended { revision: op(3), fields };
        let request = wanted.request.clone().unwrap();
        let page = amended_page(id, at, &request, &amended);
        let parsed = parse(page.as_bytes()).unwrap();
        prop_assert_eq!((parsed.amended(), parsed.request), (Some(amended), Some(request)));
        wanted.revision = None;
        prop_assert_eq!(&parse(files[0].text.replacen("revision: 1\n", "", 1).as_bytes()).unwrap(), &wanted);
        prop_assert_eq!(wanted.amended(), None);
    }

    #[test]
    fn any_yaml_reader_finds_the_strings(record in records(), key in nasty()) {
        let page = files(id(), at(), Some(&key), &record, false).remove(0).text;
        let yaml = &page["---\n".len()..page.find("\n---\n").unwrap() + 1];
        let front: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        prop_assert_eq!(front["id"].as_str().unwrap(), id().to_string());
        prop_assert_eq!(front["kind"].as_str().unwrap(), record.kind().name());
        prop_assert_eq!(front["key"].as_str().unwrap(), key);
        let fields = serde_json::to_value(&record).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let found = match name.as_str() {
                "summary" | "explanation" | "hypothesis" if front.get("body").is_some() => &front["body"],
                "summary" | "explanation" | "hypothesis" => continue,
                "tags" if front.get("tags_exact").is_some() => &front["tags_exact"],
                "tags" => {
                    let items: Vec<_> = front["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
                    prop_assert_eq!(items.join(","), value.as_str().unwrap());
                    continue;
                }
                name => &front[name],
            };
            prop_assert_eq!(found, value, "{}", name);
        }
    }

    #[test]
    fn reading_never_panics(text in nasty(), front in nasty(), bytes in any::<Vec<u8>>()) {
        let _ = (parse(&bytes), id_of(&bytes));
        let _ = parse(text.as_bytes());
        for kind in Kind::ALL {
            let page = format!("---\nid: {}\nkind: {kind}\ntitle: t\nrule: r\nname: n\n{front}\n---\n{text}", id());
            let _ = parse(page.as_bytes());
        }
    }

    #[test]
    fn a_page_cut_anywhere_or_flipped_is_read_without_panic(record in records(), cut in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut page = page_of(&record).into_bytes();
        let at = cut.index(page.len());
        let _ = (parse(&page[..at]), id_of(&page[..at]));
        page[at] ^= 1_u8 << bit;
        let _ = (parse(&page), id_of(&page));
    }

    #[test]
    fn an_edited_hypothesis_keeps_its_neighbours(
        parts in (nasty(), "[a-z]{1,9}", "[a-z]{1,9}"), added in "[a-z]{1,9}"
    ) {
        let (hypothesis, success, failure) = parts;
        let page = page_of(&experiment(&hypothesis, &success, &failure));
        let edited = page.replacen("# Batch the commits\n\n", &format!("# Batch the commits\n\n{added}"), 1);
        let wanted = format!("{added}{}", text::visible(&hypothesis));
        prop_assert_eq!(record_in(&edited), experiment(&wanted, &success, &failure));
    }

    #[test]
    fn a_domain_page_shows_each_heuristic_once(rules in proptest::collection::vec((nasty(), nasty(), nasty()), 0..6)) {
        let entries: Vec<_> = rules.into_iter().zip(0_u128..).map(|((rule, explanation, source), nth)| PageEntry {
            id: RecordId(Uuid::from_u128(nth)),
            rule,
            explanation,
            source,
            confidence: 0.5,
            created_at: at(),
            path: format!("memory/heuristics/d/2026/03/04/r-{nth:08x}.md"),
        }).collect();
        let page = domain_page("d\n## x", entries.iter().cloned());
        prop_assert_eq!(&page, &domain_page("d\n## x", entries.iter().cloned()));
        prop_assert!(is_unedited(&page));
        prop_assert!(!page.contains(|c| text::is_hidden(c) && c != '\n'));
        for (entry, line) in entries.iter().zip(page.lines().filter(|line| line.starts_with("##"))) {
            let start = format!("## H-{}: ", entry.id.short());
            prop_assert!(line.starts_with(&start));
        }
        prop_assert_eq!(page.lines().filter(|line| line.starts_with("##")).count(), entries.len());
        let ours = ["> ", "- **", "[The record](", "## H-", "# Heuristics: "];
        for line in page.lines().skip(1).filter(|line| !matches!(*line, "" | ">") && !line.ends_with(" heuristics.") && *line != "1 heuristic.") {
            prop_assert!(ours.iter().any(|start| line.starts_with(start)), "{:?}", line);
            let data = line.trim_start_matches(['>', ' ', '#']);
            for mark in ["<", "`", "%%"] {
                let bare = data.match_indices(mark).any(|(at, _)| !data[..at].ends_with('\\'));
                prop_assert!(!bare, "{} bites in {:?}", mark, data);
            }
        }
    }
}

/// Not a promise, a guard against something quadratic: these take tens of milliseconds each in a release build.
#[test]
fn large_pages_take_no_time_to_speak_of() {
    let started = std::time::Instant::now();
    let text = "a \"line\" of <!-- text \u{1}\n".repeat(40_000);
    let record = experiment(&text, &text, &text);
    assert_eq!(record_in(&page_of(&record)), record);
    let entry = PageEntry {
        id: id(),
        rule: "Sync the *folder* after the rename ".repeat(4),
        explanation: "A rename is durable only once its folder is.\nSo `fsync` that.\n".repeat(4),
        source: "failure".into(),
        confidence: 0.7,
        created_at: at(),
        path: "memory/heuristics/fs/2026/03/04/sync-778899aa.md".into(),
    };
    let rendering = std::time::Instant::now();
    let page = domain_page("fs", std::iter::repeat_n(entry, 10_000));
    println!("rendered {} bytes in {:?}", page.len(), rendering.elapsed());
    assert!(is_unedited(&page));
    println!("all in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 60);
}
