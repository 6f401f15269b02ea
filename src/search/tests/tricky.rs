//! Queries that break others: each with the record that has to come first.
//!
//! The collection is small and every record in it is near to others: the right answer shares words with wrong ones.

use super::*;
use crate::model::{Experiment, Heuristic, Kind, Origin};

/// Number, title, summary.
const FAILURES: [(u128, &str, &str); 34] = [
    (
        1,
        "parseConfigFile drops the last line",
        "The function parse_config_file in src/config/parser.rs returned early.",
    ),
    (2, "Parsing a file of the config is slow", "We parse it twice. A config file of 2 MB took 3 seconds."),
    (3, "error[E0502]: cannot borrow `x` as mutable", "The borrow checker refused; split the struct."),
    (4, "error[E0499]: cannot borrow twice", "Two mutable borrows of one vector."),
    (5, "git commit --no-verify skipped the hook", "A developer ran it with --no-verify and secrets got in."),
    (6, "verify that no hook is skipped", "The hook did not run, because core.hooksPath pointed elsewhere."),
    (7, "src/fs/mod.rs: rename without fsync", "The directory was not synced after rename(2)."),
    (8, "src/net/mod.rs: timeout of the socket", "connect() hung for 75 seconds."),
    (9, "std::sync::mpsc deadlock", "The receiver was dropped while std::thread::sleep was going on."),
    (10, "数据库锁定导致超时", "两个进程同时写入数据库，SQLite 返回 SQLITE_BUSY。"),
    (11, "编译缓存失效", "升级编译器以后，缓存没有清理。"),
    (12, "テストが不安定です", "並列実行するとタイムアウトになる。キャッシュを消すと直る。"),
    (13, "서버가 응답하지 않음", "데이터베이스 연결이 끊어졌다. 연결 풀을 늘렸다."),
    (14, "🔥 production is on fire", "The load balancer sent everything to one machine 🚒."),
    (15, "🚀 deploy went out twice", "The pipeline was started by hand and by the timer."),
    (16, "don't trust the user's locale", "Sorting differed; it's LC_ALL=C from now on."),
    (17, "Café menu with naïve résumé encoding", "Latin-1 was read as UTF-8: crème brûlée became mojibake."),
    (18, "Upgrade to Python 3.12.1 breaks distutils", "python3.12 has no distutils; setuptools brings it."),
    (19, "Node v20.11.0 needs OpenSSL 3", "ERR_OSSL_EVP_UNSUPPORTED: set NODE_OPTIONS=--openssl-legacy-provider."),
    (20, "https://docs.rs/serde/latest/serde/ was down", "The build of the docs failed with HTTP 503."),
    (21, "AND, OR and NOT in a filter", "NEAR was taken for an operator by the database."),
    (22, "C++ templates blow up the build", "gcc took 40 minutes with -O3."),
    (23, "C# analyzers are slow", "Roslyn analyzers took half of the build."),
    (24, "C compilers disagree on signed overflow", "-fwrapv makes it defined."),
    (25, "rm -rf of the wrong folder", "The variable was empty: rm -rf \"$DIR/\" removed everything."),
    (26, "kill -9 leaves the lock file", "SIGKILL cannot be caught; the pid in the lock is stale."),
    (27, "HTTPServer does not answer HEAD", "class HTTPServer in server.py handles GET alone."),
    (28, "flaky tests in CI", "Tests fail when the runner is slow; retries hide it."),
    (29, "the test is flaking on Windows only", "Line endings: CRLF."),
    (30, "port 5432 already in use", "Another Postgres on 127.0.0.1:5432 was running."),
    (31, "sha256 mismatch of the download", "expected e3b0c44298fc1c149afbf4c8996fb924, got another."),
    (32, "user_id vs userID vs user-id", "Three spellings of one column; UserId in the API."),
    (33, "to be or not to be", "The question of the stop words."),
    (34, "Déjà vu: l'hôtel n'est pas là", "L'été, c'est chaud."),
];

/// A query, and what comes first; 0 if nothing is found.
const QUERIES: [(&str, u128); 132] = [
    // Identifiers in every spelling.
    ("parseConfigFile", 1),
    ("parse_config_file", 1),
    ("parse-config-file", 1),
    ("ParseConfigFile", 1),
    ("PARSE_CONFIG_FILE", 1),
    ("parseconfigfile", 1),
    ("parse::config::file", 1),
    ("parse.config.file", 1),
    ("parse_config_file()", 1),
    ("`parse_config_file`", 1),
    ("why does parseConfigFile drop lines", 1),
    ("user_id", 32),
    ("userId", 32),
    ("USER-ID", 32),
    ("userid", 32),
    ("HTTPServer", 27),
    ("http_server", 27),
    ("httpserver", 27),
    ("HttpServer", 27),
    // Error codes, numbers, versions.
    ("E0502", 3),
    ("e0502", 3),
    ("error[E0502]", 3),
    ("E0499", 4),
    ("error[E0499]: cannot borrow", 4),
    ("SQLITE_BUSY", 10),
    ("sqlite busy", 10),
    ("ERR_OSSL_EVP_UNSUPPORTED", 19),
    ("503", 20),
    ("HTTP 503", 20),
    ("5432", 30),
    ("127.0.0.1", 30),
    ("127.0.0.1:5432", 30),
    (":5432", 30),
    ("3.12.1", 18),
    ("python 3.12", 18),
    ("python3.12", 18),
    ("python3", 18),
    ("v20.11.0", 19),
    ("20.11.0", 19),
    ("node 20", 19),
    ("sha256", 31),
    ("SHA-256", 31),
    ("e3b0c44298fc1c149afbf4c8996fb924", 31),
    // Paths and URLs.
    ("src/fs/mod.rs", 7),
    ("fs/mod.rs", 7),
    ("./src/fs/mod.rs", 7),
    ("src\\fs\\mod.rs", 7),
    ("/home/me/project/src/fs/mod.rs", 7),
    ("net/mod.rs", 8),
    ("src/net", 8),
    ("parser.rs", 1),
    ("server.py", 27),
    ("std::sync::mpsc", 9),
    ("sync::mpsc", 9),
    ("std::thread::sleep", 9),
    ("thread::sleep(Duration)", 9),
    ("https://docs.rs/serde/latest/serde/", 20),
    ("docs.rs", 20),
    ("docs.rs/serde", 20),
    ("rename(2)", 7),
    ("connect()", 8),
    // Flags.
    ("--no-verify", 5),
    ("no-verify", 5),
    ("git commit --no-verify", 5),
    ("-O3", 22),
    ("-fwrapv", 24),
    ("--openssl-legacy-provider", 19),
    ("NODE_OPTIONS=--openssl-legacy-provider", 19),
    ("LC_ALL=C", 16),
    ("lc_all", 16),
    ("kill -9", 26),
    ("$DIR", 25),
    ("core.hooksPath", 6),
    ("hookspath", 6),
    // Languages.
    ("C++", 22),
    ("c++ build", 22),
    ("C#", 23),
    ("C signed", 24),
    // Chinese, Japanese, Korean.
    ("数据", 10),
    ("数据库", 10),
    ("锁定", 10),
    ("数据库超时", 10),
    ("缓存", 11),
    ("编译", 11),
    ("编译器", 11),
    ("锁", 10),
    ("SQLite 数据库", 10),
    ("テスト", 12),
    ("不安定", 12),
    ("キャッシュ", 12),
    ("ﾃｽﾄ", 12),
    ("タイムアウト", 12),
    ("서버", 13),
    ("데이터베이스", 13),
    ("연결", 13),
    ("연결을", 13),
    // Emoji.
    ("🔥", 14),
    ("🚒", 14),
    ("🚀", 15),
    ("deploy 🚀", 15),
    // Apostrophes, quotes, marks.
    ("don't trust", 16),
    ("don’t trust", 16),
    ("dont trust", 16),
    ("users locale", 16),
    ("user's locale", 16),
    ("cafe", 17),
    ("CAFÉ", 17),
    ("cafe\u{301}", 17),
    ("creme brulee", 17),
    ("naive resume", 17),
    ("hotel", 34),
    ("l'hôtel", 34),
    ("deja vu", 34),
    ("ete chaud", 34),
    // What other syntaxes make of it.
    ("AND", 21),
    ("NEAR", 21),
    ("NEAR(operator database)", 21),
    ("AND OR NOT", 21),
    ("operator OR", 21),
    ("title:flaky", 28),
    ("* OR operator", 21),
    ("operator^2 (filter", 21),
    ("{operator}: \"", 21),
    ("\"unclosed operator", 21),
    ("'; -- operator", 21),
    ("operator AND (", 21),
    ("%operator%", 21),
    // Stems.
    ("flakiest test", 28),
    ("borrowing twice", 4),
    ("renamed directories", 7),
    ("compiling caches", 24),
    ("to be or not to be", 33),
];

/// Queries over both collections, with phrases, exclusions and filters.
const NARROWED: [(&str, u128); 62] = [
    ("\"took 3 seconds\"", 2),
    ("\"was dropped while\"", 9),
    ("\"not to be\"", 33),
    ("\u{201c}stop words\u{201d}", 33),
    ("\u{201e}stop words\u{201c}", 33),
    ("\"数据库锁定\"", 10),
    ("\"returned early\" config", 1),
    ("\"hook did not run\"", 6),
    ("\"config file\" twice", 2),
    ("the test \"is flaking\" flaky tests", 29),
    ("config -parser", 2),
    ("config -parse", 0),
    ("mod.rs -fsync", 8),
    ("mod.rs -\"without fsync\"", 8),
    ("hook -git", 6),
    ("hook -\"hook did\"", 5),
    ("flaky ci -windows -fixed", 28),
    ("borrow -E0502", 4),
    ("C -c++ -c# signed", 24),
    ("flaky -\u{201c}hide it\u{201d} -flaking", 102),
    ("kind:failure sha256", 31),
    ("kind:heuristic sha256", 0),
    ("kind:heuristic", 101),
    ("Kind:HEURISTIC compiler", 101),
    ("compiler kind:heuristic", 101),
    ("kind:experiment", 103),
    ("kind:experiment kind:heuristic pinned", 103),
    ("-kind:failure flaky", 102),
    ("-kind:failure -kind:success flaky", 0),
    ("domain:rust", 101),
    ("DOMAIN:Rust compiler", 101),
    ("domain:\"release process\"", 104),
    ("domain:release", 0),
    ("domain:nothing flaky", 0),
    ("tag:windows flaky", 102),
    ("tag:Tests", 102),
    ("tag:test", 0),
    ("-tag:windows flaky tests", 28),
    ("project:indelible", 102),
    ("project:acme/indelible", 102),
    ("project:github.com/acme/indelible tests", 102),
    ("project:delible", 0),
    ("project:other", 104),
    ("agent:claude-code", 102),
    ("agent:\"Claude Code\" flaky", 102),
    ("session:5f3a", 102),
    ("session:5f3a99", 0),
    ("severity:5", 104),
    ("severity:critical", 104),
    ("severity:4+", 104),
    ("severity:low", 105),
    ("origin:person", 101),
    ("origin:import", 105),
    ("state:golden", 101),
    ("state:golden flaky", 0),
    ("state:active pinned", 103),
    ("until:2025", 105),
    ("until:2025-05-31", 105),
    ("since:2025-05 until:2025-06 kind:observation", 105),
    ("since:2026-11-02", 104),
    ("since:2w until:7d", 102),
    ("kind: heuristic pinned", 103),
];

fn other_records() -> Vec<Sample> {
    let sample = |number, at: &str, record| Sample {
        id: RecordId(Uuid::from_u128(number)),
        created_at: at.parse().expect("a time"),
        record,
        provenance: Provenance::default(),
        golden: false,
    };
    let learning = |kind: Kind, title: &str, domain: &str, tags: &str, severity: u8| {
        let learning = Learning {
            title: title.into(),
            domain: domain.into(),
            tags: tags.into(),
            severity: severity.try_into().expect("a severity"),
            ..Learning::default()
        };
        match kind {
            Kind::Success => Record::Success(learning),
            _ => Record::Observation(learning),
        }
    };
    let rule = Heuristic {
        rule: "Keep the compiler pinned".into(),
        domain: "Rust".into(),
        explanation: "An upgrade is a change like any other.".into(),
        source: "failure".into(),
        ..Heuristic::default()
    };
    let experiment = Experiment {
        name: "pinned runners".into(),
        hypothesis: "Builds are faster on machines that stay.".into(),
        ..Experiment::default()
    };
    let mut rule = sample(101, "2026-10-01T00:00:00Z", Record::Heuristic(rule));
    (rule.golden, rule.provenance.origin) = (true, Some(Origin::Person));
    let title = "flaky tests fixed by waiting for the event";
    let mut fixed = sample(102, "2026-10-20T00:00:00Z", learning(Kind::Success, title, "testing", "tests, Windows", 3));
    fixed.provenance = Provenance {
        project: Some("github.com/acme/indelible".into()),
        origin: Some(Origin::Agent),
        session: Some("5f3a2b10-0000".into()),
        agent: Some("Claude Code".into()),
        ..Provenance::default()
    };
    let experiment = sample(103, "2026-10-02T00:00:00Z", Record::Experiment(experiment));
    let title = "notes of the last release";
    let mut notes = sample(104, "2026-11-02T00:00:00Z", learning(Kind::Observation, title, "release process", "", 5));
    notes.provenance.project = Some("gitlab.com/acme/other".into());
    let title = "an old note";
    let mut old = sample(105, "2025-05-30T00:00:00Z", learning(Kind::Observation, title, "misc", "", 2));
    old.provenance.origin = Some(Origin::Import);
    vec![rule, fixed, experiment, notes, old]
}

fn wrong(connection: &Connection, queries: &[(&str, u128)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (text, expected) in queries {
        let found = found(connection, text);
        if found.first().copied().unwrap_or(0) != *expected {
            wrong.push(format!("{text:?}: {expected} expected, found {found:?}"));
        }
    }
    wrong
}

#[test]
fn tricky_queries_find_what_they_mean() {
    let mut connection = empty();
    let records: Vec<_> = FAILURES.iter().map(|(number, title, summary)| failure(*number, title, summary)).collect();
    put(&mut connection, &records);
    let wrong = wrong(&connection, &QUERIES);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), QUERIES.len(), wrong.join("\n"));
}

#[test]
fn filters_phrases_and_exclusions_leave_out_what_they_name() {
    let mut connection = empty();
    let mut records: Vec<_> =
        FAILURES.iter().map(|(number, title, summary)| failure(*number, title, summary)).collect();
    records.extend(other_records());
    put(&mut connection, &records);
    let wrong = wrong(&connection, &NARROWED);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), NARROWED.len(), wrong.join("\n"));
}
