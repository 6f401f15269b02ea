//! How well a search finds: the rules of ruff, each to be found by its message and by its name, against other engines.
//!
//! The collection is made when it is measured, from the programs `ruff` and `bm25s` of PyPI; without them the topic is skipped.
//! A rule's record has the first sentence of its explanation for a title, and the explanation for a summary. Neither its
//! message nor its name is in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use indelible::model::{Learning, Provenance, Record, RecordId};
use indelible::search::{self, Doc, Filter, Options, Query, Writer, find};
use rusqlite::Connection;
use serde_json::Value;

use crate::lab::Lab;
use crate::report::Report;
use crate::samples::Spread;

/// The hits that are looked at.
const LIMIT: usize = 10;

/// What `bm25s` finds, as its own documentation says to ask it. Reads `[documents, queries]`, prints the places.
const BM25S: &str = "
import bm25s, json, sys
documents, queries = json.load(sys.stdin)
options = dict(stopwords='en', show_progress=False)
index = bm25s.BM25()
index.index(bm25s.tokenize(documents, **options), show_progress=False)
found, _ = index.retrieve(bm25s.tokenize(queries, **options), k=10, show_progress=False)
print(json.dumps(found.tolist()))
";

struct Rule {
    title: String,
    explanation: String,
    message: String,
    name: String,
}

/// How often the right record came first, was among the first five, and the mean of one over its place (0 beyond ten).
#[derive(Default)]
struct Quality {
    first: f64,
    five: f64,
    reciprocal: f64,
}

pub fn run(lab: &Lab, report: &mut Report) {
    let Some(programs) = programs(lab) else {
        report.skip("how well a search finds: `ruff` and `bm25s` of PyPI are out of reach");
        return;
    };
    let rules = rules(&programs);
    let version = output(Command::new(programs.join("ruff")).arg("--version"), "");
    report.heading("How well a search finds");
    report.text(format!(
        "The {} rules of {}, one record each: the first sentence of the explanation is the title, the explanation the summary. \
         The question is the rule's message (without its placeholders) or its name, which the record does not have; one record \
         is right. MRR is the mean of one over the right record's place among the first ten.",
        rules.len(),
        version.trim()
    ));
    let messages: Vec<_> = rules.iter().map(|rule| without_placeholders(&rule.message)).collect();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
    let (ours, stock) = (ours(&rules), stock(&rules));
    let mut rows = Vec::new();
    for (asked, queries) in [("message", messages), ("name", names)] {
        let mut row = |engine: &str, find: &dyn Fn(&str) -> Vec<usize>| {
            let start = Instant::now();
            let found: Vec<_> = queries.iter().map(|query| find(query)).collect();
            let each = start.elapsed().as_secs_f64() * 1000.0 / queries.len() as f64;
            let quality = quality(&found);
            rows.push(cells(asked, engine, &quality, &format!("{each:.1}")));
            quality
        };
        let found = row("**indelible**", &|query| find_ours(&ours, query));
        report.figure(format!("MRR, {asked}s asked"), Spread::exactly(found.reciprocal));
        row("FTS5, words joined by OR", &|query| find_stock(&stock, query, " OR "));
        row("FTS5, words joined by AND", &|query| find_stock(&stock, query, " AND "));
        rows.push(cells(asked, "bm25s", &quality(&find_bm25s(&programs, &rules, &queries)), ""));
    }
    report.table(&["asked", "engine", "hit@1", "hit@5", "MRR", "ms a query, in process"], rows);
    report.text(
        "hit@1 and hit@5 are the shares of questions whose right record came first, or among the first five. `bm25s` (PyPI) is \
         asked as its documentation says, with its English stop words; FTS5 has its stemmer, and the words of the question in quotes.",
    );
}

fn cells(asked: &str, engine: &str, quality: &Quality, ms: &str) -> Vec<String> {
    let Quality { first, five, reciprocal } = quality;
    vec![
        asked.to_owned(),
        engine.to_owned(),
        format!("{first:.3}"),
        format!("{five:.3}"),
        format!("{reciprocal:.3}"),
        ms.to_owned(),
    ]
}

/// The programs of PyPI, in a folder that is made once; `None` where they are out of reach.
fn programs(lab: &Lab) -> Option<PathBuf> {
    let folder = lab.homes().with_file_name("python");
    let programs = folder.join("bin");
    let is_there = |programs: &Path| programs.join("ruff").is_file() && folder.join("complete").is_file();
    if !is_there(&programs) {
        let quietly = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let made = quietly(Command::new("python3").args(["-m", "venv"]).arg(&folder))
            && quietly(Command::new(programs.join("pip")).args(["install", "--quiet", "ruff", "bm25s"]));
        if !made {
            return None;
        }
        std::fs::write(folder.join("complete"), "").expect("a file beneath target can be written");
    }
    is_there(&programs).then_some(programs)
}

/// What the command prints, given `input`.
fn output(command: &mut Command, input: &str) -> String {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

fn rules(programs: &Path) -> Vec<Rule> {
    let json = output(Command::new(programs.join("ruff")).args(["rule", "--all", "--output-format", "json"]), "");
    let rules: Vec<Value> = serde_json::from_str(&json).expect("it is JSON");
    let rule = |rule: &Value| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let explanation = text(&rule["explanation"])?;
        let title = first_sentence(&explanation);
        Some(Rule { title, explanation, message: text(&rule["message_formats"][0])?, name: text(&rule["name"])? })
    };
    rules.iter().filter_map(rule).collect()
}

/// The first sentence below the first heading.
fn first_sentence(markdown: &str) -> String {
    let lines = markdown.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
    let text = lines.trim();
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    text[..end].chars().take(300).collect()
}

/// The message without what is between braces.
fn without_placeholders(message: &str) -> String {
    let mut depth = 0;
    let outside = |c: &char| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0 && *c != '}'
    };
    message.chars().filter(outside).collect()
}

fn quality(found: &[Vec<usize>]) -> Quality {
    let mut quality = Quality::default();
    for (right, found) in found.iter().enumerate() {
        let Some(place) = found.iter().position(|it| *it == right) else { continue };
        quality.first += f64::from(u8::from(place == 0));
        quality.five += f64::from(u8::from(place < 5));
        quality.reciprocal += 1.0 / (place + 1) as f64;
    }
    let count = found.len() as f64;
    Quality { first: quality.first / count, five: quality.five / count, reciprocal: quality.reciprocal / count }
}

fn ours(rules: &[Rule]) -> Connection {
    let mut connection = Connection::open_in_memory().expect("memory");
    connection.execute_batch(search::PRAGMAS).expect("pragmas");
    search::create(&connection).expect("tables");
    let transaction = connection.transaction().expect("a transaction");
    let mut writer = Writer::open(&transaction).expect("a writer");
    for (at, rule) in rules.iter().enumerate() {
        let learning = Learning {
            title: rule.title.clone(),
            domain: "python".into(),
            summary: rule.explanation.clone(),
            ..Learning::default()
        };
        let doc = Doc {
            id: RecordId(uuid::Uuid::from_u128(at as u128)),
            revision: None,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            path: "",
            record: &Record::Observation(learning),
            provenance: &Provenance::default(),
            golden: false,
        };
        writer.put(&doc).expect("it is put");
    }
    writer.finish().expect("it is finished");
    transaction.commit().expect("it is committed");
    connection
}

fn find_ours(connection: &Connection, text: &str) -> Vec<usize> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let query = Query::parse(text, &now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default();
    let options = Options { limit: LIMIT, project: None, now, gone: None, chosen: None };
    let hits = find(&[connection], &query, &Filter::default(), &options).expect("an answer").hits;
    hits.iter().map(|hit| usize::try_from(hit.id.0.as_u128()).expect("a place")).collect()
}

fn stock(rules: &[Rule]) -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    connection.execute_batch("CREATE VIRTUAL TABLE t USING fts5(title, body, tokenize = 'porter')").expect("a table");
    for (at, rule) in rules.iter().enumerate() {
        let row = rusqlite::params![at as i64, rule.title, rule.explanation];
        connection.execute("INSERT INTO t (rowid, title, body) VALUES (?1, ?2, ?3)", row).expect("it is put");
    }
    connection
}

/// The words of the query in quotes, as the documentation of FTS5 says to ask for text that is not its own syntax.
fn find_stock(connection: &Connection, query: &str, joined: &str) -> Vec<usize> {
    let words: Vec<_> = query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| format!("\"{word}\""))
        .collect();
    // Some messages are placeholders alone, and FTS5 takes no empty query.
    if words.is_empty() {
        return Vec::new();
    }
    let sql = "SELECT rowid FROM t WHERE t MATCH ?1 ORDER BY bm25(t) LIMIT 10";
    let mut statement = connection.prepare(sql).expect("a statement");
    let rows = statement.query_map([words.join(joined)], |row| row.get::<_, i64>(0)).expect("it is asked");
    rows.map(|row| usize::try_from(row.expect("a row")).expect("a place")).collect()
}

fn find_bm25s(programs: &Path, rules: &[Rule], queries: &[String]) -> Vec<Vec<usize>> {
    let documents: Vec<_> = rules.iter().map(|rule| format!("{}\n{}", rule.title, rule.explanation)).collect();
    let input = serde_json::to_string(&(documents, queries)).expect("it is text");
    let found = output(Command::new(programs.join("python")).args(["-c", BM25S]), &input);
    serde_json::from_str(&found).expect("it prints places")
}
