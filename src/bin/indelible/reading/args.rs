//! The command line of the commands that read, as clap sees it.

use std::ffi::OsString;

use clap::{Args as ClapArgs, ValueEnum};
use clap_complete::ArgValueCandidates;

use crate::args::HostName;
use crate::cmd::complete;

/// Examples of `list`.
pub const LIST: &str = "\
Examples:
  indelible list                                  the newest 20 records
  indelible list failure --since 7d --here        this project's failures of the last 7 days
  indelible list --severity 4+ --domain ci,ops --sort severity
  indelible list --since 2026-11 --until 2026-11 --limit 0 --csv > november.csv
  indelible list --json | jq -r '.records[].title'";

/// Examples of `search`.
pub const SEARCH: &str = "\
Words are words, whatever is in them: any text can be searched for. A record need not have all of them; those that have
more, and rarer ones, come first. `\"some words\"` side by side come first of all, `-word` leaves records out, filters
can be typed among the words: kind: domain: tag: project: severity: state: agent: session: origin: since: until:

Examples:
  indelible search flaky upload test
  indelible search '\"connection reset\" -windows domain:ci since:30d'
  indelible search --here --kind failure E0502 parseConfigFile
  indelible search -- --no-verify                 after `--` no word is a flag
  indelible search --explain --json flaky | jq '.hits[0].explain'

Exit codes: 1 nothing was found.";

/// Examples of `recall`.
pub const RECALL: &str = "\
A command is the same if it begins with the words of CMD; an error, if the line that says what went wrong is equal, numbers
and folders apart. What followed is what the same session recorded afterwards.

Examples:
  indelible recall --command 'cargo test'
  cargo test 2>&1 | indelible recall --error -

Exit codes: 1 nothing is known of it.";

/// Examples of `show`.
pub const SHOW: &str = "\
Examples:
  indelible show 8899aabb                         the end of an id, as in file names and lists
  indelible show memory/failures/2026/11/29/it-broke-8899aabb.md --history
  indelible show 8899aabb --raw > page.md

Exit codes: 1 no such record, 65 the end of several ids, which are named.";

/// Examples of `context`.
pub const CONTEXT: &str = "\
It prints what `hook` tells a session that starts in this folder, and changes nothing. Records of other projects, rules of
agents on their first day, and what no person confirmed are not told unasked: `indelible search` finds them.

Examples:
  indelible context --explain                     why each line is in, and what is left out
  indelible context --task 'speed up the build' --budget 3000
  indelible context --for codex
  indelible context --json | jq -r '.left_out[] | .why' | sort | uniq -c

Exit codes: 1 there is nothing to tell.";

/// The flags of `search` that take a value.
const WITH_VALUE: [&str; 14] = [
    "--agent",
    "--domain",
    "--home",
    "--kind",
    "--limit",
    "--origin",
    "--project",
    "--session",
    "--set",
    "--severity",
    "--since",
    "--state",
    "--tag",
    "--until",
];

/// The command line `line` with the words to exclude (`-word`) of a `search` behind a `--`, so that clap takes them for words.
/// A line of another command, a flag of two dashes, `-h` and `-V` stay as they are.
pub fn with_exclusions_apart(line: Vec<OsString>) -> Vec<OsString> {
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"--");
    let takes_value = |word: &OsString| WITH_VALUE.iter().any(|flag| word == flag);
    let mut command = None;
    let mut at = 1;
    while at < line.len() && command.is_none() {
        match &line[at] {
            word if takes_value(word) => at += 2,
            word if is_flag(word) => at += 1,
            _ => command = Some(at),
        }
    }
    if command.is_none_or(|at| line[at] != "search") {
        return line;
    }
    let (mut kept, mut words) = (Vec::with_capacity(line.len() + 1), Vec::new());
    let mut rest = line.into_iter();
    while let Some(word) = rest.next() {
        let bytes = word.as_encoded_bytes();
        match word.to_str() {
            Some("--") => break,
            _ if takes_value(&word) => kept.extend([word].into_iter().chain(rest.next())),
            Some("-" | "-h" | "-V") => kept.push(word),
            _ if bytes.starts_with(b"-") && !bytes.starts_with(b"--") => words.push(word),
            _ => kept.push(word),
        }
    }
    words.extend(rest);
    if !words.is_empty() {
        kept.push("--".into());
    }
    kept.extend(words);
    kept
}

// What `list` and `search` leave out. Several values of one filter: by comma, or by repeating the flag.
#[derive(Debug, Default, ClapArgs)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Its domain is DOMAIN, in any case
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', add = ArgValueCandidates::new(complete::domains))]
    pub domain: Vec<String>,
    /// It has the tag TAG
    #[arg(long, value_name = "TAG", value_delimiter = ',', add = ArgValueCandidates::new(complete::tags))]
    pub tag: Vec<String>,
    /// Its project is PROJECT, or ends in /PROJECT
    #[arg(long, value_name = "PROJECT", value_delimiter = ',', add = ArgValueCandidates::new(complete::projects))]
    pub project: Vec<String>,
    /// It comes from this folder's project
    #[arg(long)]
    pub here: bool,
    /// It was recorded then or later: 12h, 7d, 2w, today, 2026-11, 2026-11-29, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// It was recorded no later than that; a month or a day is included
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Its severity: 1 to 5, low, medium, high, critical; `3+` is 3 and above
    #[arg(long, value_name = "SEVERITY", value_delimiter = ',', add = ArgValueCandidates::new(complete::severities))]
    pub severity: Vec<String>,
    /// Its state: active, golden, doubtful, dormant, retired; of experiments success, failed, inconclusive; for `list` also
    /// retracted
    #[arg(long, value_name = "STATE", value_delimiter = ',', add = ArgValueCandidates::new(complete::states))]
    pub state: Vec<String>,
    /// The agent's program is AGENT, as in 'Claude Code' or claude-code
    #[arg(long, value_name = "AGENT", value_delimiter = ',', add = ArgValueCandidates::new(complete::agents))]
    pub agent: Vec<String>,
    /// The agent's session begins with SESSION
    #[arg(long, value_name = "SESSION", value_delimiter = ',', add = ArgValueCandidates::new(complete::sessions))]
    pub session: Vec<String>,
    /// It is by a person, an agent, a hook or an import
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', add = ArgValueCandidates::new(complete::origins))]
    pub origin: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub struct ListArgs {
    /// The kinds: failure, success, observation, heuristic, experiment
    #[arg(value_name = "KIND", value_delimiter = ',', add = ArgValueCandidates::new(complete::kinds))]
    pub kind: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// The order: newest, oldest, severity
    #[arg(long, value_name = "ORDER", default_value = "newest", add = ArgValueCandidates::new(complete::sorts))]
    pub sort: String,
    /// At most so many; 0: all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print one JSON object a line, one for each record
    #[arg(long, conflicts_with = "csv")]
    pub jsonl: bool,
    /// Print a table for spreadsheets (RFC 4180)
    #[arg(long)]
    pub csv: bool,
}

#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// An id, its end (as in file names, or shorter if it is unique), or a path
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(complete::ids))]
    pub ids: Vec<String>,
    /// Every commit that changed it, with its subject
    #[arg(long, conflicts_with = "raw")]
    pub history: bool,
    /// The bytes of its page; shown safely on a terminal
    #[arg(long)]
    pub raw: bool,
}

#[derive(Debug, ClapArgs)]
pub struct SearchArgs {
    /// Words, "a phrase", -word to exclude, and filters as in domain:ci or since:7d
    #[arg(value_name = "WORDS", required = true)]
    pub words: Vec<OsString>,
    /// Its kind
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "Filters")]
    #[arg(add = ArgValueCandidates::new(complete::kinds))]
    pub kind: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many; 0: all that are looked at
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub limit: usize,
    /// Say what each hit's place comes from
    #[arg(long)]
    pub explain: bool,
    /// Print one JSON object a line, one for each hit
    #[arg(long)]
    pub jsonl: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("asked").required(true).args(["error", "command"])))]
pub struct RecallArgs {
    /// The output of what failed, or its error line; `-` reads it from stdin
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub error: Option<OsString>,
    /// The command that failed; `-` reads it from stdin
    #[arg(long, value_name = "CMD", allow_hyphen_values = true)]
    pub command: Option<OsString>,
    /// Show at most so many of the times
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub limit: usize,
}

#[derive(Debug, ClapArgs)]
pub struct ContextArgs {
    /// What the session is about: what search finds for it comes first
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub task: Option<String>,
    /// Only records of this folder's project, without golden rules of others
    #[arg(long)]
    pub here: bool,
    /// Only golden rules, and records of the domain DOMAIN
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', add = ArgValueCandidates::new(complete::domains))]
    pub domain: Vec<String>,
    /// Within the limits of HOST: claude, codex, gemini, cursor, opencode
    #[arg(long = "for", value_enum, value_name = "HOST")]
    pub host: Option<HostName>,
    /// At most so many tokens, about
    #[arg(long, value_name = "N", default_value_t = indelible::pack::BUDGET)]
    pub budget: usize,
    /// How much: minimal is golden rules, deep is twice as much and failures that came once
    #[arg(long, value_enum, value_name = "DEPTH", default_value_t = Depth::Standard)]
    pub depth: Depth,
    /// Say why each line is in, and what is left out
    #[arg(long)]
    pub explain: bool,
}

/// How much `context` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Depth {
    /// Golden rules
    Minimal,
    /// What a session is told at its start
    Standard,
    /// Twice as many of each, and failures that came once
    Deep,
}

// What a shell asks when it completes a word.
#[derive(Debug, ClapArgs)]
pub struct CompleteArgs {
    /// Write what a candidate means after it, and a tab between
    #[arg(long)]
    pub with_help: bool,
    /// The number of the word to be completed, from 0 on [default: the last]
    #[arg(long)]
    pub at: Option<usize>,
    /// The words of the line, the program's name first
    #[arg(last = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_to_exclude_are_words_and_flags_stay_flags() {
        let apart = |line: &str| {
            let line = with_exclusions_apart(line.split(' ').map(OsString::from).collect());
            line.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        for (line, wanted) in [
            ("i search a -b --json", "i search a --json -- -b"),
            ("i --home -x search -hello -h", "i --home -x search -h -- -hello"),
            ("i search --tag -x -y a", "i search --tag -x a -- -y"),
            ("i search a -b -- -c --json", "i search a -- -b -c --json"),
            ("i search a --no-verify", "i search a --no-verify"),
            ("i list -x", "i list -x"),
            ("i record failure --title search -x", "i record failure --title search -x"),
        ] {
            assert_eq!(apart(line), wanted);
        }
    }
}
