//! The library's stable surface: the public names of `indelible::embed`, and their methods. A change of this list is a change for
//! programs that embed indelible, and belongs into the changelog. And the examples, which run.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What `src/embed.rs` makes public.
const SURFACE: [&str; 35] = [
    "Confidence",
    "Hit",
    "Home",
    "Learning",
    "Policy",
    "Provenance",
    "Query",
    "Query::find",
    "Query::get",
    "Query::newest",
    "Query::notes",
    "Query::open",
    "Query::standing",
    "Receipt",
    "Record",
    "RecordError",
    "RecordId",
    "Recorded",
    "Recorder",
    "Redaction",
    "Redactor",
    "Request",
    "Ruling",
    "Standing",
    "Verdict",
    "Verdicts",
    "Verdicts::new",
    "Verdicts::retire",
    "Verdicts::revive",
    "Verdicts::validate",
    "Verdicts::violate",
    "commit",
    "make",
    "Heuristic",
    "Experiment",
];

/// The names in the `pub use a::{B as C, d};` of `text`.
fn used(text: &str) -> impl Iterator<Item = String> {
    let statements = text.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let last = |name: &str| name.rsplit([' ', ':']).next().unwrap_or(name).to_owned();
    statements.flat_map(move |it| {
        let names = it.split_once('{').map_or(it, |(_, names)| names.trim_end_matches('}'));
        names.split(',').map(|name| last(name.trim())).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    })
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_stable_surface_is_as_listed() {
    let text = include_str!("../src/embed.rs");
    let (mut found, mut of) = (used(text).collect::<BTreeSet<_>>(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("impl") {
            of = word(rest.trim_start_matches("<'h>").trim());
        }
        for begin in ["pub fn ", "pub struct ", "pub enum ", "pub trait ", "pub const ", "pub type "] {
            found.extend(line.strip_prefix(begin).map(word));
        }
        found.extend(line.strip_prefix("    pub fn ").map(|rest| format!("{of}::{}", word(rest))));
    }
    let listed: BTreeSet<String> = SURFACE.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn the_examples_run() {
    let tests = std::env::current_exe().expect("it has a path");
    let folder = tests.parent().and_then(Path::parent).expect("it lies in target/debug/deps").join("examples");
    for (name, says) in [
        ("record", &["recorded: memory/failures/", "committed: 2"][..]),
        ("find", &["found: the cache is stale after an upgrade (ci)", "newest: the disk is full"]),
        ("judge", &["as recorded: confidence 0.50", "after it did not hold: confidence"]),
    ] {
        let program = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
        if !program.exists() {
            // `cargo test` builds them; `cargo test --test surface` alone does not.
            assert!(std::env::var_os("INDELIBLE_TESTS_NEED_TOOLS").is_none(), "{program:?} was not built");
            println!("skipped: {name} is not built: cargo build --examples");
            continue;
        }
        let output = Command::new(&program).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        says.iter().for_each(|it| assert!(said.contains(it), "{name} does not say {it:?}: {said}"));
    }
}
