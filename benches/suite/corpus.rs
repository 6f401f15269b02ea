//! Records as agents leave them: what hooks record of failed commands, what agents note, rules, experiments.
//!
//! Words are drawn by Zipf's law: the word of rank r comes 1/r times as often as the first. The first are words that
//! developers write, the others are made of syllables. Identifiers, paths, versions and numbers are between them, and
//! some of these are in one record alone, so that the vocabulary grows with the home. A record is the same in every run.

use std::path::Path;

use indelible::hook::{Event, Host, Rules, judge};
use indelible::model::{Confidence, Experiment, Heuristic, Learning, Origin, Provenance, Record, Request, Severity};
use indelible::record::Redaction;
use serde_json::{Value, json};

/// How many words there are besides those that are made of words.
const VOCABULARY: usize = 60_000;
/// The middle length of a text, in words, and the longest.
const WORDS_MEDIAN: f64 = 36.0;
const WORDS_MAX: usize = 1_500;
/// How many in 100 records are failures of commands.
const FAILURES: usize = 45;
/// How many records a session makes, and how many projects there are.
const RECORDS_PER_SESSION: usize = 25;
const PROJECTS: usize = 40;
/// The program that runs the agents.
const AGENT: &str = "Claude Code";
/// The project whose folder there is.
pub const PROJECT: &str = "github.com/ada/shop";
/// One record in so many is of [`PROJECT`].
const OWN_SHARE: usize = 20;

/// The most frequent words, the first most of all.
const FREQUENT: [&str; 112] = [
    "the",
    "to",
    "of",
    "a",
    "in",
    "is",
    "test",
    "and",
    "error",
    "not",
    "for",
    "build",
    "it",
    "was",
    "file",
    "with",
    "on",
    "that",
    "cache",
    "run",
    "from",
    "when",
    "failed",
    "by",
    "this",
    "be",
    "config",
    "after",
    "server",
    "as",
    "before",
    "has",
    "type",
    "path",
    "use",
    "an",
    "request",
    "thread",
    "timeout",
    "only",
    "no",
    "memory",
    "module",
    "value",
    "if",
    "release",
    "are",
    "commit",
    "log",
    "at",
    "user",
    "worker",
    "branch",
    "version",
    "set",
    "database",
    "lock",
    "missing",
    "which",
    "fix",
    "call",
    "line",
    "key",
    "connection",
    "every",
    "again",
    "token",
    "import",
    "default",
    "order",
    "none",
    "package",
    "index",
    "list",
    "string",
    "or",
    "function",
    "check",
    "instead",
    "state",
    "because",
    "folder",
    "service",
    "option",
    "field",
    "limit",
    "client",
    "first",
    "output",
    "never",
    "query",
    "port",
    "parser",
    "flag",
    "retry",
    "slow",
    "returned",
    "without",
    "table",
    "debug",
    "upgrade",
    "docker",
    "schema",
    "deploy",
    "script",
    "queue",
    "stale",
    "compile",
    "header",
    "socket",
    "migration",
    "pipeline",
];
const SYLLABLES: [&str; 60] = [
    "ba", "bor", "cal", "co", "cu", "da", "dil", "dor", "fa", "fin", "fu", "ga", "gol", "gra", "ha", "hom", "hu",
    "jal", "jo", "ka", "kin", "kor", "la", "lim", "lo", "ma", "mil", "mor", "mu", "na", "nil", "nor", "pa", "pil",
    "po", "pra", "qua", "ra", "rim", "ro", "sa", "sil", "sol", "su", "ta", "tin", "tor", "tra", "tu", "va", "vil",
    "vo", "wa", "win", "xa", "xil", "ya", "yo", "za", "zor",
];
const DOMAINS: [&str; 16] = [
    "rust",
    "ci",
    "testing",
    "database",
    "docker",
    "python",
    "network",
    "frontend",
    "git",
    "security",
    "release",
    "api",
    "performance",
    "typescript",
    "infrastructure",
    "documentation",
];
const COMMANDS: [(&str, i64); 8] = [
    ("cargo test --locked", 101),
    ("npm test", 1),
    ("pytest -q", 2),
    ("cargo clippy --all-targets -- -D warnings", 101),
    ("make release", 2),
    ("docker compose up -d", 17),
    ("go build ./...", 3),
    ("npx tsc --noEmit", 2),
];

/// The word of a rank, 0 being the most frequent.
pub fn word(rank: usize) -> String {
    if let Some(word) = FREQUENT.get(rank) {
        return (*word).to_owned();
    }
    let (mut rest, mut word) = (rank, String::new());
    while rest > 0 || word.is_empty() {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
    }
    word
}

/// The record of a number, with where it comes from. `folder` is where [`PROJECT`] lies.
pub fn request(number: usize, folder: &Path) -> Request {
    let mut words = Words::of(number as u64);
    let session = (number / RECORDS_PER_SESSION) as u64;
    let mut of_session = Words::of(session ^ 0x5e55_1045);
    let is_own = of_session.below(OWN_SHARE) == 0;
    let place = of_session.rank_below(PROJECTS);
    let (project, cwd) = match is_own {
        true => (PROJECT.to_owned(), folder.display().to_string()),
        false => (format!("github.com/acme/{}", word(900 + place)), format!("/home/ada/{}", word(900 + place))),
    };
    let session = format!("{:08x}-2f6b-4f0e-9b0a-{:012x}", of_session.next() >> 32, session);
    let (record, origin) = match words.below(100) {
        0..FAILURES => (failure(&mut words, &session, &cwd), Origin::Hook),
        FAILURES..55 => (Record::Success(learning(&mut words)), Origin::Agent),
        55..80 => (Record::Observation(learning(&mut words)), Origin::Agent),
        80..97 => (rule(&mut words), if words.below(10) == 0 { Origin::Person } else { Origin::Agent }),
        _ => (experiment(&mut words), Origin::Agent),
    };
    let provenance = Provenance {
        project: Some(project),
        origin: Some(origin),
        session: Some(session),
        agent: Some(AGENT.into()),
        cwd: Some(cwd),
        ..Provenance::default()
    };
    Request { record, key: None, provenance }
}

/// What the command of the record of a number printed, if it is a failure that a hook recorded.
pub fn error(number: usize) -> Option<String> {
    let mut words = Words::of(number as u64);
    (words.below(100) < FAILURES).then(|| failed(&mut words).1)
}

/// A command, and what it printed before it failed.
fn failed(words: &mut Words) -> (&'static str, String) {
    let (command, exit) = COMMANDS[words.rank_below(COMMANDS.len())];
    (command, error_of(command, exit, words))
}

/// What a hook makes of a failed command.
fn failure(words: &mut Words, session: &str, cwd: &str) -> Record {
    let (command, error) = failed(words);
    let call = format!("toolu-{session}-{}", words.next());
    let event = tool_event("PostToolUseFailure", session, cwd, &call, command, &error);
    let bytes = event.to_string().into_bytes();
    let event = Event::of(&event, &bytes, Some(Host::Claude));
    let judged = judge(&event, &Rules::default(), &Redaction::off()).expect("a failed command is recorded");
    judged.into_iter().next().expect("there is a failure").into_request().record
}

/// What a host tells of a call of its shell, as far as a hook reads it.
pub fn tool_event(name: &str, session: &str, cwd: &str, call: &str, command: &str, error: &str) -> Value {
    json!({
        "session_id": session,
        "cwd": cwd,
        "hook_event_name": name,
        "tool_name": "Bash",
        "tool_input": { "command": command },
        "tool_response": { "stdout": "src\n", "stderr": "", "interrupted": false },
        "tool_use_id": call,
        "error": error,
    })
}

/// What a command printed before it failed. The names in it are drawn as words are, so some failures come often.
fn error_of(command: &str, exit: i64, words: &mut Words) -> String {
    let (module, name, line) = (words.name(), words.name(), 1 + words.below(900));
    let said = words.sentence(6);
    let mut text = format!("Exit code {exit}\n");
    text.push_str(&match command.split(' ').next().unwrap_or_default() {
        "cargo" if command.contains("test") => format!(
            "   Compiling {module} v0.{}.{} (/home/ada/{module})\n    Finished `test` profile in {}.{}s\nrunning {} tests\n\
             test {module}::{name} ... FAILED\n\nfailures:\n\n---- {module}::{name} stdout ----\nthread '{module}::{name}' \
             panicked at src/{module}.rs:{line}:5:\n{said}\n\nfailures:\n    {module}::{name}\n\ntest result: FAILED. {} \
             passed; 1 failed; 0 ignored\nerror: test failed, to rerun pass `--lib`",
            words.below(20), words.below(9), words.below(90), words.below(99), words.below(400), words.below(400)
        ),
        "cargo" => format!(
            "error: {said}\n  --> src/{module}/{name}.rs:{line}:9\n   |\n{line} |     let {name} = {module}();\n   |         \
             ^^^^ help: consider `_{name}`\nerror: could not compile `{module}` (lib) due to 1 previous error"
        ),
        "pytest" => format!(
            "E   AssertionError: {said}\ntests/test_{module}.py:{line}: AssertionError\nFAILED tests/test_{module}.py::\
             test_{name} - AssertionError: {said}\n1 failed, {} passed in {}.{}s",
            words.below(300), words.below(60), words.below(99)
        ),
        "npx" => format!("src/{module}/{name}.ts({line},17): error TS2345: {said}"),
        "go" => format!("./{module}/{name}.go:{line}:2: undefined: {name}"),
        "npm" => format!("FAIL src/{module}.test.js\n  x {name} ({line} ms)\n\n  {name}\n\n    expect(received).toBe(expected)\n    {said}"),
        _ => format!("{module}: error: {said}\nmake: *** [Makefile:{line}: {name}] Error {exit}"),
    });
    text
}

fn learning(words: &mut Words) -> Learning {
    Learning {
        title: words.title(),
        domain: words.domain(),
        severity: Severity::new(1 + words.rank_below(5) as u8).expect("1 to 5"),
        tags: (0..words.below(4)).map(|_| word(30 + words.rank_below(300))).collect::<Vec<_>>().join(","),
        summary: words.text(),
        ..Learning::default()
    }
}

fn rule(words: &mut Words) -> Record {
    let verb = ["Always", "Never", "Prefer to", "Do not"][words.below(4)];
    Record::Heuristic(Heuristic {
        domain: words.domain(),
        rule: format!("{verb} {}", words.title()),
        explanation: words.text(),
        source: "observation".into(),
        confidence: Confidence::new(0.3 + 0.6 * words.unit()).expect("0 to 1"),
    })
}

fn experiment(words: &mut Words) -> Record {
    Record::Experiment(Experiment {
        name: words.title(),
        hypothesis: words.text(),
        success_criteria: words.sentence(10),
        failure_criteria: words.sentence(8),
        ..Experiment::default()
    })
}

/// Draws words; the same for the same seed.
struct Words(u64);

impl Words {
    fn of(seed: u64) -> Words {
        Words(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// A number of 64 bits: SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank below `end`, by Zipf's law.
    fn rank_below(&mut self, end: usize) -> usize {
        let drawn = (end as f64 + 1.0).powf(self.unit()) as usize;
        drawn.saturating_sub(1).min(end - 1)
    }

    fn word(&mut self) -> String {
        word(self.rank_below(VOCABULARY))
    }

    /// A word that is not one of the most frequent.
    fn name(&mut self) -> String {
        word(FREQUENT.len() + self.rank_below(VOCABULARY - FREQUENT.len()))
    }

    fn domain(&mut self) -> String {
        DOMAINS[self.rank_below(DOMAINS.len())].into()
    }

    fn title(&mut self) -> String {
        let count = 4 + self.below(7);
        self.words(count)
    }

    fn sentence(&mut self, count: usize) -> String {
        let words = self.words(count);
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect()) + "."
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.token()).collect::<Vec<_>>().join(" ")
    }

    fn token(&mut self) -> String {
        match self.below(100) {
            0..88 => self.word(),
            88..92 => format!("{}_{}", self.word(), self.name()),
            92..95 => format!("src/{}/{}.rs", self.name(), self.name()),
            95..97 => self.below(10_000).to_string(),
            97 => format!("v{}.{}.{}", self.below(20), self.below(20), self.below(20)),
            98 => format!("`{}`", self.name()),
            _ => format!("{:07x}", self.next() >> 36),
        }
    }

    /// A text of sentences. Its length is about log-normal.
    fn text(&mut self) -> String {
        let normal: f64 = (0..4).map(|_| self.unit()).sum::<f64>() * 3.0_f64.sqrt() - 2.0 * 3.0_f64.sqrt();
        let mut left = ((WORDS_MEDIAN * (0.9 * normal).exp()) as usize).clamp(5, WORDS_MAX);
        let (mut text, mut sentences) = (String::new(), 0);
        while left > 0 {
            let count = (5 + self.below(14)).min(left);
            if sentences > 0 {
                text.push_str(if sentences % 5 == 0 { "\n\n" } else { " " });
            }
            text.push_str(&self.sentence(count));
            (left, sentences) = (left - count, sentences + 1);
        }
        text
    }
}
