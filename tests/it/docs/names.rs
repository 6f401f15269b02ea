//! Names: commands, flags, settings and files that a page names exist.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use super::{Page, pages, root, spans};
use crate::presentation::commands;
use crate::support::TestHome;

/// Flags of other programs, and those that are spelt but not shown in a help.
const OTHERS: &[&str] = &[
    "--dangerously-bypass-hook-trust",
    "--force",
    "--help",
    "--installed",
    "--mirror",
    "--password-stdin",
    "--project-only",
    "--project-status",
    "--skip-trust",
    "--version",
];

/// Pages about what was once, or what is rejected: they may name what no longer exists.
const OF_THE_PAST: [&str; 2] = ["CHANGELOG.md", "docs/decisions/"];

/// A file's name, and not a setting's.
const ENDS: [&str; 5] = [".git", ".json", ".lock", ".md", ".rs"];

struct Known {
    /// The flags of each command, by its words.
    flags: BTreeMap<String, BTreeSet<String>>,
    settings: BTreeSet<String>,
    /// What `status --json` says, which has fields with such names.
    status: Value,
}

impl Known {
    fn all() -> Known {
        let home = TestHome::new();
        let flag = Regex::new(r"--[a-z][a-z-]*").expect("a pattern");
        let mut flags = BTreeMap::new();
        for path in commands(&home) {
            let help = home.homeless(path.iter().map(String::as_str).chain(["--help"])).ok().stdout;
            let found = flag.find_iter(&help).map(|it| it.as_str().to_owned());
            flags.insert(path.join(" "), found.collect::<BTreeSet<_>>());
        }
        let listed = home.cmd(["config", "list", "--json"]).ok().json();
        let keys = listed["settings"].as_array().expect("a list").iter();
        let settings = keys.map(|it| it["key"].as_str().expect("text").to_owned()).collect();
        Known { flags, settings, status: home.status() }
    }

    fn has_key(&self, key: &str) -> bool {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        self.settings.contains(key)
            || self.status[section].get(name).is_some()
            || ENDS.iter().any(|it| key.ends_with(it))
    }

    /// What is wrong with the command line `line`, which begins with the program's name.
    fn wrong_in(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let mut command = String::new();
        let mut known = &self.flags[""];
        for word in words {
            if matches!(word, "|" | "&&" | "||" | ";" | "#" | ">" | "<") {
                break;
            }
            let word = word.trim_end_matches([';', ')', ',', '.', ':']);
            if let Some(flag) = word.strip_prefix("--").map(|it| it.split('=').next().unwrap_or(it)) {
                let name = format!("--{flag}");
                let is_name = flag.starts_with(|c: char| c.is_ascii_lowercase());
                if is_name && !known.contains(&name) && !OTHERS.contains(&name.as_str()) {
                    return Some(format!("`indelible {command}` has no {name}"));
                }
                continue;
            }
            let longer = if command.is_empty() { word.to_owned() } else { format!("{command} {word}") };
            if let Some(flags) = self.flags.get(&longer) {
                (command, known) = (longer, flags);
            } else if command.is_empty() && word.starts_with(|c: char| c.is_ascii_lowercase()) && word != "help" {
                return Some(format!("there is no command {word}"));
            }
        }
        None
    }
}

fn is_of_the_past(page: &Page) -> bool {
    OF_THE_PAST.iter().any(|it| page.path.starts_with(it)) && page.path != "docs/decisions/README.md"
}

#[test]
fn what_pages_name_exists() {
    let known = Known::all();
    let key = Regex::new(r"^(record|worker|journal|history|hook|mcp|redact|sync|log)\.[a-z_]+$").expect("a pattern");
    let file =
        Regex::new(r"^(src|tests|docs|build|benches|fuzz|packaging|examples|integrations|\.ci|\.github)/[\w./-]+$");
    let file = file.expect("a pattern");
    let flag = Regex::new(r"^--[a-z][a-z-]+$").expect("a pattern");
    let every: BTreeSet<_> = known.flags.values().flatten().collect();
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|page| !is_of_the_past(page)) {
        let mut say = |what: String| wrong.push(format!("{}: {what}", page.path));
        for (block, line) in page.lines() {
            // Sessions run, so what they name exists; and one shows a flag that is misspelt.
            if matches!(block, Some("console" | "toml")) {
                continue;
            }
            let code = block.is_some() || line.starts_with("    ");
            let command = line.trim_start().trim_start_matches("$ ");
            if code && command.starts_with("indelible ") {
                known.wrong_in(command).into_iter().for_each(&mut say);
            }
            if code {
                continue;
            }
            for span in spans(line) {
                if span.starts_with("indelible ") {
                    known.wrong_in(span).into_iter().for_each(&mut say);
                }
                if key.is_match(span) && !known.has_key(span) {
                    say(format!("there is no setting {span}"));
                }
                if file.is_match(span) && !root().join(span).exists() {
                    say(format!("there is no file {span}"));
                }
                if flag.is_match(span) && !every.contains(&span.to_owned()) && !OTHERS.contains(&span) {
                    say(format!("no command has {span}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
