//! Sessions: the blocks `console` of a page run in order, in a folder of a user that has nothing yet, and say what is printed.
//!
//! What differs from run to run (ids, times, names of commits, processes) is compared by its shape. An id that a command printed
//! stands for the one that is printed on the page, so later commands can name it.

use std::collections::HashMap;

use regex::Regex;

use super::{Page, pages};
use crate::support::{Cmd, TestHome};

/// The user's folder on every page.
const ADA: &str = "/home/ada";

/// Pages whose sessions run, and what was done before each.
const RUN: [(&str, &[&str]); 6] = [
    // One commit, however slow the machine is: the worker has started, and does not commit by itself.
    (
        "README.md",
        &[
            "indelible init",
            "indelible config set worker.age_ms 600000",
            "indelible worker --detach",
            "indelible flush",
        ],
    ),
    ("docs/json.md", &[]),
    ("docs/reading.md", &SHOP),
    ("docs/start.md", &[]),
    ("docs/troubleshooting.md", &[]),
    (
        "docs/using.md",
        &["indelible init", "indelible record experiment --name 'Smaller batches' --hypothesis 'Faster'"],
    ),
];

/// A project in which the same command failed in two sessions, and what was learned in between.
const SHOP: [&str; 8] = [
    "indelible init",
    "git init -q shop && git -C shop remote add origin git@github.com:ada/shop.git",
    r#"cd shop && echo '{"hook_event_name":"PostToolUseFailure","session_id":"5f0c","cwd":"'$PWD'","tool_name":"Bash",
        "tool_use_id":"t1","tool_input":{"command":"cargo test -p shop"},
        "error":"Exit code 101\nerror[E0382]: use of moved value: `cart`"}' | indelible hook"#,
    "cd shop && indelible record success --title 'Clone the cart before the loop' --domain rust --session 5f0c",
    "cd shop && indelible record heuristic --domain rust --rule 'Run clippy before you push'",
    r"cd shop && printf 'It kept every session.\nThe limit was never set.\n' | indelible record failure \
        --title 'Cache grew without bound' --domain ops --severity high --tags cache,memory --summary -",
    r#"echo '{"hook_event_name":"PostToolUseFailure","session_id":"77aa","cwd":"'$PWD'","tool_name":"Bash",
        "tool_use_id":"t2","tool_input":{"command":"cd shop && cargo test"},
        "error":"Exit code 101\nerror[E0382]: use of moved value: `cart`"}' | indelible hook"#,
    "indelible flush",
];

/// Sessions that are shown and do not run, by the page and their first command, and why.
const NOT_RUN: [(&str, &str, &str); 6] = [
    ("docs/backup.md", "export --out backup.jsonl", "a home of years"),
    ("docs/hooks.md", "hooks status", "a home after a week with an agent"),
    ("docs/looking.md", "cost --since 7d", "a home after a week with an agent"),
    ("docs/reading.md", "context --explain", "a rule that a person recorded, and failures of other days"),
    ("docs/reading.md", "review", "verdicts of many days"),
    ("docs/status.md", "status", "a home of years"),
];

/// A command and what it says.
struct Step {
    command: String,
    says: String,
}

/// The first commands of the sessions of `page` that do not run.
fn shown(page: &Page) -> Vec<&str> {
    let mut is_within = false;
    let mut first = Vec::new();
    for (block, line) in page.lines() {
        let command = line.strip_prefix("$ indelible ").filter(|_| block == Some("text"));
        first.extend(command.filter(|_| !is_within));
        is_within = block == Some("text") && (is_within || command.is_some());
    }
    first
}

fn steps(page: &Page) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (_, line) in page.lines().filter(|(block, _)| *block == Some("console")) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), says: String::new() }),
            (None, Some(step)) => step.says.push_str(&format!("{line}\n")),
            (None, None) => panic!("{}: a session begins with a command, not with {line:?}", page.path),
        }
    }
    steps
}

/// What differs from run to run, and what stands for it.
struct Shapes(Vec<(Regex, &'static str)>);

impl Shapes {
    fn new() -> Shapes {
        let shapes = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "<minute>"),
            (r"\d{4}/\d\d/\d\d", "<day>"),
            (r"process \d+", "process <number>"),
            (r"\b[0-9a-f]{12}\b", "<commit>"),
            (r"\b\d{8}-\d{6}_", "<stamp>_"),
            (r"\b[0-9a-f]{8}\b", "<id>"),
            (r"\b[0-9a-f]{7}\b", "<commit>"),
        ];
        Shapes(shapes.into_iter().map(|(it, shape)| (Regex::new(it).expect("a pattern"), shape)).collect())
    }

    fn of(&self, text: &str) -> String {
        let lines: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        self.0.iter().fold(lines, |text, (it, shape)| it.replace_all(&text, *shape).into_owned())
    }

    /// The ids in `text`, in order.
    fn ids<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let id = &self.0.iter().find(|(_, shape)| *shape == "<id>").expect("it is listed").0;
        id.find_iter(text).map(|it| it.as_str()).collect()
    }
}

fn shell(home: &TestHome, command: &str) -> (String, String) {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_indelible")).parent().expect("it lies in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is one"));
    let outcome = Cmd::new("bash", home.user()).args(["-c", command]).env("PATH", path).folder(home.user()).run();
    let said = if outcome.code() == Some(0) { outcome.stdout } else { format!("{}{}", outcome.stdout, outcome.stderr) };
    (said.replace(home.user().to_str().expect("it is text"), ADA), outcome.stderr)
}

/// Runs the sessions of `page`, and returns what differs.
fn run(page: &Page, before: &[&str]) -> Vec<String> {
    let (home, shapes) = (TestHome::absent(), Shapes::new());
    for command in before {
        let _ = shell(&home, command);
    }
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut wrong = Vec::new();
    for Step { command, says } in steps(page) {
        let meant = ids.iter().fold(command.clone(), |text, (printed, id)| text.replace(printed, id));
        let (said, errors) = shell(&home, &meant);
        if shapes.of(&said) != shapes.of(&says) {
            wrong.push(format!(
                "{}:\n$ {command}\n--- on the page\n{says}--- said\n{said}--- on stderr\n{errors}",
                page.path
            ));
        }
        let pairs = shapes.ids(&says).into_iter().zip(shapes.ids(&said));
        ids.extend(pairs.map(|(printed, id)| (printed.to_owned(), id.to_owned())));
    }
    let _ = shell(&home, "indelible worker --stop");
    wrong
}

#[test]
fn the_sessions_of_the_pages_say_what_is_printed() {
    let mut wrong = Vec::new();
    for page in pages() {
        let name = page.path.as_str();
        match RUN.iter().find(|(path, _)| *path == name) {
            Some((_, before)) => wrong.extend(run(&page, before)),
            None => assert!(steps(&page).is_empty(), "{name} has sessions, and is not listed in RUN"),
        }
        for command in shown(&page) {
            let is_known = NOT_RUN.iter().any(|(path, first, _)| (*path, *first) == (name, command));
            assert!(is_known, "{name}: `{command}` does not run: make it a console, or list it in NOT_RUN");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
