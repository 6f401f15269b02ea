//! The parsers of what comes from outside: entries of the journal, pages, positions, commit messages, lines of a batch,
//! the configuration. No bytes make them panic or ask for memory without bounds, and what they have understood they
//! understand again.
//!
//! Inputs are made up here, and kept in `corpus` since the fuzzer found that they reach something of their own. `fuzz/run`
//! looks for more.

mod checks;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/exit.rs"]
mod exit;
mod memory;
#[allow(dead_code, unused_imports, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/settings/mod.rs"]
mod settings;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/user.rs"]
mod user;

use std::path::{Path, PathBuf};

use checks::{CHECKS, Check, SLOW_CHECKS};
use indelible::model::position::{Position, SegmentId};
use indelible::model::{Confidence, Experiment, Heuristic, Learning, Record, Request, Severity};
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

/// Holds `check` against `bytes`, in memory in proportion to them.
#[track_caller]
fn hold(name: &str, check: Check, bytes: &[u8]) {
    let peak = memory::peak_of(|| check(bytes));
    let most = (4 << 20) + 200 * bytes.len();
    assert!(peak <= most, "{name}: {peak} bytes of memory for {} bytes of input", bytes.len());
}

/// The inputs that are kept for the parser `name`.
fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parsers/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("it can be read"))).collect()
}

#[test]
fn what_is_kept_breaks_nothing() {
    for (name, check) in CHECKS {
        let inputs = kept(name);
        assert!(inputs.len() >= 5, "hardly anything is kept for {name}");
        for (path, bytes) in inputs {
            println!("{}", path.display());
            hold(name, check, &bytes);
        }
    }
}

/// A home in which any one file holds anything, or what is kept for that file cut short or changed in one place.
#[test]
fn a_home_may_hold_anything() {
    for (name, check) in SLOW_CHECKS {
        for (path, bytes) in kept(name) {
            println!("{}", path.display());
            check(&bytes);
        }
    }
    let home = checks::named("home").expect("it is one of them");
    let contents: [&[u8]; 5] = [b"", b"\0\0\0\0", b"{}\n", b"[a]\n\xff\xfe = [[[", &[b'x'; 70_000]];
    for file in 0..20 {
        for content in contents {
            home(&[&[file], content].concat());
        }
    }
}

/// Nested, repeated and left open, thousands of times.
#[test]
fn what_never_ends_needs_no_more_memory_than_it_is_long() {
    let starts =
        ["", "---\n", "---\nid: 00000000-0000-0000-0000-000000000000\ntags: ", "{\"kind\":\"failure\",\"title\":"];
    let tokens = [
        "[",
        "{",
        "{\"a\":",
        "\"",
        "'",
        "- ",
        "&a [*a, ",
        "? ",
        "a:\n ",
        "[a.",
        "[[a]]\n",
        "a = [",
        "a.",
        "\\u0000",
        ":",
        "\n",
        "\r\n",
        " ",
        "0",
        "00000000 1 {\n",
        "Indelible-Journal: \n",
        "\n\n",
        "x: |\n",
        "<<: ",
        "!!a ",
        "\u{feff}",
    ];
    for (name, check) in CHECKS {
        for start in starts {
            for token in tokens {
                let text = format!("{start}{}", token.repeat((16 << 10) / token.len()));
                hold(&format!("{name}, {start:?} and {token:?}"), check, text.as_bytes());
            }
        }
    }
}

fn learnings() -> impl Strategy<Value = Learning> {
    (any::<[String; 4]>(), 1..6_u8).prop_map(|([title, domain, tags, summary], severity)| Learning {
        title,
        domain,
        severity: Severity::new(severity).expect("it is 1 to 5"),
        tags,
        summary,
        ..Learning::default()
    })
}

fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        learnings().prop_map(Record::Failure),
        learnings().prop_map(Record::Success),
        learnings().prop_map(Record::Observation),
        (any::<[String; 4]>(), 0.0..=1.0).prop_map(|([domain, rule, explanation, source], confidence)| {
            Record::Heuristic(Heuristic {
                domain,
                rule,
                explanation,
                source,
                confidence: Confidence::new(confidence).expect("it is 0 to 1"),
            })
        }),
        any::<[String; 4]>().prop_map(|[name, hypothesis, success_criteria, failure_criteria]| {
            let (result, outcome) = (None, String::new());
            Record::Experiment(Experiment { name, hypothesis, success_criteria, failure_criteria, result, outcome })
        }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_break_nothing(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        for (name, check) in CHECKS {
            hold(name, check, &bytes);
            hold(name, check, text.as_bytes());
        }
    }

    /// Cut, with a bit flipped, and with a piece of another put in.
    #[test]
    fn what_is_kept_may_be_changed(one: Index, other: Index, at: Index, from: Index, to: Index, bit in 0..8_u32) {
        for (name, check) in CHECKS {
            let inputs = kept(name);
            let (mut bytes, piece) = (one.get(&inputs).1.clone(), &other.get(&inputs).1);
            if bytes.is_empty() || piece.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            hold(name, check, &bytes[..at]);
            let (from, to) = (from.index(piece.len()), to.index(piece.len()));
            let spliced = [&bytes[..at], &piece[from.min(to)..from.max(to)], &bytes[at..]].concat();
            hold(name, check, &spliced);
            bytes[at] ^= 1_u8 << bit;
            hold(name, check, &bytes);
        }
    }

    #[test]
    fn a_position_survives_its_text(segment: u128, offset: u64, checksum: u32) {
        let position = Position { segment: SegmentId(Uuid::from_u128(segment)), offset, checksum };
        prop_assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn a_record_survives_a_line_of_a_batch(record in records(), key: Option<String>) {
        let mut line = serde_json::to_value(&record).expect("a record is made of strings and numbers");
        if let Some(key) = &key {
            line["key"] = key.as_str().into();
        }
        let line = line.to_string();
        prop_assert_eq!(Request::of_line(line.as_bytes()), Ok(Request { key, ..Request::new(record) }));
        hold("batch", checks::named("batch").expect("it is one of them"), line.as_bytes());
    }

    #[test]
    fn a_setting_survives_its_file(age_ms in 0..=i64::MAX, records_max in 1..u32::MAX, keep_s in 0..=i64::MAX, author: String) {
        // As JSON writes a text, so does TOML, but for one character.
        let author = author.replace('\u{7f}', "");
        let text = format!(
            "[worker]\nage_ms = {age_ms}\nrecords_max = {records_max}\n[journal]\nkeep_s = {keep_s}\n[history]\nauthor_name = {}\n",
            serde_json::to_string(&author).expect("it is a text"),
        );
        let path = Path::new("config.toml");
        let ours = settings::Own { path, text: &text, id: &|| Ok(None) };
        let read = settings::Settings::read(path, "", Some(ours), &[]).expect("it is as it must be");
        prop_assert_eq!(i64::try_from(read.worker.age_ms), Ok(age_ms));
        prop_assert_eq!(read.worker.records_max, records_max as usize);
        prop_assert_eq!(i64::try_from(read.journal.keep_s), Ok(keep_s));
        prop_assert_eq!(&read.history.author_name, &author);
        // A home's file decides less.
        let read = settings::Settings::read(path, &text, None, &[]).expect("it is as it must be");
        prop_assert!(i64::try_from(read.worker.age_ms).is_ok_and(|it| it == age_ms.min(24 * 3600 * 1000)));
        prop_assert_eq!(read.history.author_name, "indelible");
        hold("config", checks::named("config").expect("it is one of them"), text.as_bytes());
    }
}
