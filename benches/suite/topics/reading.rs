//! How fast a home is read: search, list, show and recall in homes of ever more records, against `rg` over the same files and
//! `sqlite3` with a table of FTS5 that was made by hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rusqlite::Connection;

use super::index::built;
use crate::corpus::{self, word};
use crate::homes;
use crate::lab::{Lab, has, indelible, output};
use crate::process::{MIB, Usage, measure};
use crate::report::Report;
use crate::samples::{Contender, Samples, Spread, grouped, interleave, number};

/// Smaller homes than this say nothing of searching, unless there are no larger ones.
const RECORDS_MIN: usize = 10_000;
/// Other programs take part in every so many rounds, in homes of so many records.
const EVERY: [(usize, usize); 3] = [(10_000, 5), (100_000, 10), (usize::MAX, 25)];
/// The ranks of words that are asked for: the most frequent has 0.
const RARE: usize = 9_000;
const COMMON: usize = 6;
const FOUR: [usize; 4] = [30, 400, 3_000, 9_000];
const FOUR_COMMON: [usize; 4] = [6, 8, 16, 40];
const SIDE_BY_SIDE: [usize; 2] = [12, 60];
/// A rank that no word has.
const UNKNOWN: usize = 12_345_678;

/// Something that is asked of each home.
struct Question {
    name: &'static str,
    /// Ours.
    args: Vec<String>,
    /// What `rg` is asked beside it.
    rg: Option<Vec<String>>,
    /// What `sqlite3` is asked: a query of FTS5, and what else has to hold.
    fts5: Option<(String, &'static str)>,
    /// Whether it is a search.
    is_search: bool,
}

/// A home, and the table beside it.
struct Place {
    records: usize,
    home: PathBuf,
    by_hand: PathBuf,
}

pub fn run(lab: &Lab, report: &mut Report) {
    let sizes = sizes(lab);
    report.text(
        "Homes of records as agents leave them (benches/suite/corpus.rs): words drawn by Zipf's law from 60,000, with \
         identifiers, paths and numbers between them; 45 of 100 are failures that a hook recorded with what the command \
         printed. Whole processes, all of them taking turns, with warm caches.",
    );
    for (program, package) in [("rg", "ripgrep"), ("sqlite3", "sqlite3")] {
        if !has(program, "--version") {
            report.skip(format!("`{program}` (Debian's package {package} is not installed)"));
        }
    }
    let places: Vec<Place> = sizes.iter().map(|&records| place(lab, records)).collect();
    built(
        lab,
        report,
        &places.iter().map(|it| (it.records, it.home.as_path(), it.by_hand.as_path())).collect::<Vec<_>>(),
    );
    asked(lab, report, &places);
    let has = |place: &Place| {
        let [rare, common] = [RARE, COMMON].map(|rank| records_with(&place.by_hand, &word(rank)));
        format!("of {} records, {rare} have the rare word and {common} the common one", grouped(place.records as i64))
    };
    report.text(format!("Of what was asked: {}.", places.iter().map(has).collect::<Vec<_>>().join("; ")));
}

/// How many records have `word`.
fn records_with(by_hand: &Path, word: &str) -> String {
    let connection = Connection::open(by_hand).expect("it was made");
    let count = connection.query_row("SELECT count(*) FROM t WHERE t MATCH ?1", [word], |row| row.get(0));
    grouped(count.expect("it can be read"))
}

/// The homes that are read.
pub fn sizes(lab: &Lab) -> Vec<usize> {
    let large: Vec<usize> = lab.scale.homes.iter().copied().filter(|records| *records >= RECORDS_MIN).collect();
    if large.is_empty() { lab.scale.homes.to_vec() } else { large }
}

fn place(lab: &Lab, records: usize) -> Place {
    Place { records, home: homes::of_text(lab, records), by_hand: lab.homes().join(format!("by-hand-{records}.db")) }
}

fn questions(place: &Place) -> Vec<Question> {
    let search = |name, words: &[usize]| {
        let words: Vec<String> = words.iter().map(|rank| word(*rank)).collect();
        let rg = words.iter().flat_map(|word| ["-e".to_owned(), word.clone()]);
        Question {
            name,
            args: ["search".to_owned()].into_iter().chain(words.clone()).collect(),
            rg: Some(["-w".to_owned()].into_iter().chain(rg).collect()),
            fts5: Some((words.join(" OR "), "")),
            is_search: true,
        }
    };
    let phrase = SIDE_BY_SIDE.map(word).join(" ");
    let other = |name, args: &[&str]| Question {
        name,
        args: args.iter().map(ToString::to_string).collect(),
        rg: None,
        fts5: None,
        is_search: false,
    };
    let newest = output(&mut indelible(&place.home, &["list", "--limit", "1", "--jsonl"]));
    let newest: serde_json::Value = serde_json::from_str(newest.trim()).expect("a record is JSON");
    let error = (place.records / 2..).find_map(corpus::error).expect("some records are failures");
    vec![
        search("a rare word", &[RARE]),
        search("a common word", &[COMMON]),
        search("four words", &FOUR),
        search("four common words", &FOUR_COMMON),
        Question {
            name: "a phrase",
            args: vec!["search".into(), format!("\"{phrase}\"")],
            rg: Some(vec!["-F".into(), "-e".into(), phrase.clone()]),
            fts5: Some((format!("\"{phrase}\""), "")),
            is_search: true,
        },
        Question {
            rg: None,
            args: vec!["search".into(), word(FOUR[0]), "domain:rust".into(), "kind:failure,observation".into()],
            fts5: Some((word(FOUR[0]), " AND domain = 'rust' AND kind IN ('failure', 'observation')")),
            ..search("a word and filters", &[])
        },
        search("a word that no record has", &[UNKNOWN]),
        other("`list`", &["list"]),
        other("`list observation --domain rust`", &["list", "observation", "--domain", "rust"]),
        other("`list --since 7d --severity 3+`", &["list", "--since", "7d", "--severity", "3+"]),
        other("`show`", &["show", newest["id"].as_str().expect("a record has an id")]),
        other("`recall --error`", &["recall", "--error", &error]),
        other("`recall --command`", &["recall", "--command", "cargo test"]),
    ]
}

/// One that answers a question.
struct Answer<'p> {
    question: &'static str,
    place: &'p Place,
    by: &'static str,
    command: Command,
    is_search: bool,
    runs: Vec<Usage>,
}

fn answers(place: &Place) -> Vec<Answer<'_>> {
    let mut answers = Vec::new();
    for Question { name, args, rg, fts5, is_search } in questions(place) {
        let mut add =
            |by, command| answers.push(Answer { question: name, place, by, command, is_search, runs: Vec::new() });
        add("**indelible**", indelible(&place.home, &args.iter().map(String::as_str).collect::<Vec<_>>()));
        if let Some(rg) = rg.filter(|_| has("rg", "--version")) {
            let mut command = Command::new("rg");
            command.args(["--files-with-matches", "--ignore-case", "--no-messages", "--no-config", "-g", "*.md"]);
            command.args(rg).args(["memory", "experiments"].map(|folder| place.home.join(folder)));
            add("`rg`", command);
        }
        if let Some((query, also)) = fts5.filter(|_| has("sqlite3", "--version")) {
            let mut command = Command::new("sqlite3");
            let sql = format!("SELECT path, title FROM t WHERE t MATCH '{query}'{also} ORDER BY bm25(t) LIMIT 10");
            command.arg(&place.by_hand).arg(sql);
            add("`sqlite3`, FTS5", command);
        }
    }
    answers
}

fn asked(lab: &Lab, report: &mut Report, places: &[Place]) {
    let mut answers: Vec<Answer<'_>> = places.iter().flat_map(answers).collect();
    let mut contenders: Vec<_> = answers
        .iter_mut()
        .map(|answer| {
            let every = EVERY.iter().find(|(most, _)| answer.place.records <= *most).map_or(1, |it| it.1);
            let every = if answer.by.contains("indelible") { 1 } else { every };
            Contender::new(answer.question, every, move |_| {
                let usage = measure(lab, &answer.command, None);
                assert!(usage.exit == 0 || usage.exit == 1, "{:?}: exit {}", answer.command, usage.exit);
                answer.runs.push(usage);
                usage.wall_ms
            })
        })
        .collect();
    let turns = interleave((lab.scale.rounds / 4).max(4), 1, &mut contenders);
    drop(contenders);
    let mut rows = Vec::new();
    let mut ours = 0;
    for (at, answer) in answers.iter().enumerate() {
        if answer.by.contains("indelible") {
            ours = at;
        }
        let times = turns.of(at);
        let median = |of: fn(&Usage) -> f64| number(Samples::new(answer.runs.iter().map(of).collect()).median());
        rows.push(vec![
            grouped(answer.place.records as i64),
            answer.question.into(),
            answer.by.into(),
            format!("{} ms", number(times.median())),
            format!("{} ms", number(times.at(95.0))),
            format!("{} ms", number(times.at(99.0))),
            format!("{} ms", median(|run| run.cpu_ms)),
            turns.ratio(at, ours).spread().show(),
            format!("{} MiB", median(|run| run.memory / MIB)),
        ]);
    }
    report.heading("Asked");
    let head = ["records", "asked", "by", "p50", "p95", "p99", "CPU", "time / indelible's", "peak memory"];
    report.table(&head, rows);
    report.text(
        "`rg` names every file that has one of the words, in no order of worth; `sqlite3` sorts by `bm25` and shows ten, as \
         `search` does. Other programs are run less often, so their p95 and p99 are rough. CPU is the median of a process's CPU \
         time, on all cores together: it says more where other programs keep the machine busy.",
    );
    for place in places {
        figures(report, &answers, &turns, place);
    }
}

/// The slowest of what was asked of `place`, for the goals.
fn figures(report: &mut Report, answers: &[Answer<'_>], turns: &crate::samples::Turns, place: &Place) {
    let records = grouped(place.records as i64);
    let ours = || {
        let all = answers.iter().enumerate();
        all.filter(|(_, it)| std::ptr::eq(it.place, place) && it.by.contains("indelible"))
    };
    let slowest = |is_asked: &dyn Fn(&Answer<'_>) -> bool, percent: f64| {
        let times = ours().filter(|(_, it)| is_asked(it)).map(|(at, _)| turns.of(at));
        let all: Vec<(f64, Spread)> = times.map(|it| (it.at(percent), it.spread())).collect();
        all.into_iter().max_by(|one, other| one.0.total_cmp(&other.0)).expect("something was asked")
    };
    let search = |it: &Answer<'_>| it.is_search;
    report.figure(format!("search p50, slowest, {records}"), slowest(&search, 50.0).1);
    report.figure(format!("search p99, slowest, {records}"), Spread::exactly(slowest(&search, 99.0).0));
    for command in ["list", "show", "recall"] {
        let named = |it: &Answer<'_>| it.question.starts_with(&format!("`{command}"));
        report.figure(format!("{command} p50, slowest, {records}"), slowest(&named, 50.0).1);
    }
    let memory = ours().filter(|(_, it)| it.is_search).flat_map(|(_, it)| it.runs.iter().map(|run| run.memory / MIB));
    let most = memory.fold(0.0, f64::max);
    report.figure(format!("search memory, largest, {records}"), Spread::exactly(most));
}

/// Makes the table that a person would make: path, kind, domain, title and text, in FTS5 with its stemmer. Returns how long
/// that took in seconds, and how many bytes of text there are.
pub fn by_hand(lab: &Lab, database: &Path, records: usize) -> (f64, u64) {
    for end in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    let folder = homes::checkout(lab);
    let mut connection = Connection::open(database).expect("a database can be made");
    let table = "CREATE VIRTUAL TABLE t USING fts5(path UNINDEXED, kind UNINDEXED, domain UNINDEXED, title, body, \
                 tokenize = 'porter')";
    connection.execute_batch(table).expect("a table can be made");
    let (mut seconds, mut bytes) = (0.0, 0);
    for first in (0..records).step_by(10_000) {
        let texts: Vec<_> = (first..records.min(first + 10_000)).map(|number| text(number, &folder)).collect();
        let start = Instant::now();
        let transaction = connection.transaction().expect("a transaction");
        let mut insert = transaction.prepare("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)").expect("a statement");
        for row in &texts {
            insert.execute(rusqlite::params_from_iter(row)).expect("a row can be put");
        }
        drop(insert);
        transaction.commit().expect("it is committed");
        seconds += start.elapsed().as_secs_f64();
        bytes += texts.iter().flat_map(|row| &row[2..]).map(|text| text.len() as u64).sum::<u64>();
    }
    (seconds, bytes)
}

/// Path, kind, domain, title and text of a record.
fn text(number: usize, folder: &Path) -> [String; 5] {
    use indelible::model::Record;
    let record = corpus::request(number, folder).record;
    let kind = record.kind().name().to_owned();
    let title = record.headline().to_owned();
    let (domain, body) = match record {
        Record::Failure(it) | Record::Success(it) | Record::Observation(it) => (it.domain, it.summary),
        Record::Heuristic(it) => (it.domain, it.explanation),
        Record::Experiment(it) => (String::new(), [it.hypothesis, it.success_criteria, it.failure_criteria].join("\n")),
        Record::Verdict(_) => Default::default(),
    };
    [format!("{number}.md"), kind, domain, title, body]
}
