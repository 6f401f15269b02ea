//! Usage errors and help, as text or as JSON.
//!
//! A mistyped command or flag is answered by what was probably meant, and never by one that takes something away for good or
//! skips a question: who pastes an answer without reading it must lose nothing.

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use indelible::fs::os::Stream;
use indelible::model::text::visible;

use crate::args::Args;
use crate::exit::{Exit, Failure};
use crate::output;

/// Commands and flags that are never suggested.
const DANGEROUS: [&str; 6] = ["erase", "release", "retract", "--remove", "--revoke", "--yes"];
/// How like a word has to be to one of those to be taken for it: as like as clap wants a suggestion to be.
const LIKENESS_MIN: f64 = 0.7;
/// How many suggestions there are at most, the likeliest first.
const SUGGESTED_MAX: usize = 3;
/// Commands that undo something begin like this. They are suggested only for a word that begins like this too, and such a word gets
/// no other suggestion.
const UNDOES: &str = "un";

/// What people type, and the command that does it. Each can be undone, or asks first.
const MEANT: [(&str, &[&str]); 32] = [
    ("add", &["record"]),
    ("cat", &["show"]),
    ("check", &["status", "verify"]),
    ("commit", &["flush"]),
    ("count", &["status"]),
    ("daemon", &["worker"]),
    ("doctor", &["status", "verify"]),
    ("find", &["search"]),
    ("fix", &["repair"]),
    ("get", &["show"]),
    ("grep", &["search"]),
    ("health", &["status", "verify"]),
    ("info", &["status", "show"]),
    ("learn", &["record"]),
    ("log", &["logs"]),
    ("ls", &["list"]),
    ("new", &["record"]),
    ("note", &["record"]),
    ("query.py", &["query"]),
    ("recent", &["list"]),
    ("run", &["worker"]),
    ("save", &["record"]),
    ("serve", &["worker", "mcp"]),
    ("set", &["config"]),
    ("settings", &["config"]),
    ("setup", &["init", "hooks"]),
    ("start", &["worker", "service"]),
    ("stop", &["worker"]),
    ("undelete", &["restore"]),
    ("undo", &["restore"]),
    ("update", &["amend"]),
    ("view", &["show"]),
];

/// What people type who want to take something away: they are told where to read on.
const TAKE_AWAY: [&str; 9] = ["delete", "del", "remove", "rm", "drop", "forget", "purge", "clear", "destroy"];

/// Replaces clap's suggestions in `error`.
fn suggest(error: &mut clap::Error) {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::SuggestedSubcommand,
        ErrorKind::UnknownArgument => ContextKind::SuggestedArg,
        _ => return,
    };
    let mut suggested = match error.remove(kind) {
        Some(ContextValue::String(one)) => vec![one],
        Some(ContextValue::Strings(all)) => all,
        _ => Vec::new(),
    };
    let typed = match error.get(ContextKind::InvalidSubcommand).or(error.get(ContextKind::InvalidArg)) {
        Some(ContextValue::String(typed)) => typed.to_lowercase(),
        _ => String::new(),
    };
    let is_removal = TAKE_AWAY.contains(&typed.as_str()) || means_what_is_dangerous(&typed, &suggested);
    let undoes = |word: &str| word.trim_start_matches('-').starts_with(UNDOES);
    suggested.retain(|it| !DANGEROUS.contains(&it.as_str()) && undoes(it) == undoes(&typed));
    let unlike = |word: &String| std::cmp::Reverse((strsim::jaro(&typed, word) * 1e6) as u64);
    suggested.sort_by_key(unlike);
    if kind == ContextKind::SuggestedSubcommand && is_at_top(error) {
        let commands = Args::command();
        let is_shown = |name: &str| commands.find_subcommand(name).is_some_and(|it| !it.is_hide_set());
        suggested.retain(|it| is_shown(it));
        if let Some((_, meant)) = MEANT.iter().find(|(word, _)| *word == typed) {
            suggested = meant.iter().map(|it| (*it).to_owned()).collect();
        } else if is_shown(&typed) && !DANGEROUS.contains(&typed.as_str()) {
            suggested = vec![typed];
        }
        if is_removal {
            let tip = "what takes records away is never guessed: `indelible help retract` and `indelible help erase` say how they differ";
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.to_owned().into()]));
        }
    }
    if is_removal {
        return;
    }
    match (suggested.len(), kind) {
        (0, _) => {}
        (_, ContextKind::SuggestedArg) => {
            error.insert(kind, ContextValue::String(suggested.swap_remove(0)));
        }
        _ => {
            suggested.truncate(SUGGESTED_MAX);
            error.insert(kind, ContextValue::Strings(suggested));
        }
    }
}

/// Whether `typed` is more like something that is never suggested than like what clap would suggest.
fn means_what_is_dangerous(typed: &str, suggested: &[String]) -> bool {
    let likeness = |word: &str| strsim::jaro(typed, word);
    let of_suggested = suggested.iter().filter(|it| !DANGEROUS.contains(&it.as_str()));
    let best = of_suggested.map(|word| likeness(word)).fold(LIKENESS_MIN, f64::max);
    DANGEROUS.iter().any(|word| likeness(word) > best)
}

/// Whether the command that is not known was typed behind the program's name.
fn is_at_top(error: &clap::Error) -> bool {
    match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string().contains("indelible [OPTIONS] <COMMAND>"),
        _ => false,
    }
}

/// Writes what clap found: a usage error, or help and version.
pub fn say(mut error: clap::Error, as_json: bool) -> Exit {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingSubcommand,
    };
    suggest(&mut error);
    let text = error.render();
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            let colours = output::has_colours(Stream::Output);
            output::write(Stream::Output, &if colours { text.ansi().to_string() } else { text.to_string() });
            return Exit::Done;
        }
        _ if !as_json => output::write(Stream::Errors, &visible(&text.to_string())),
        DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand => {
            output::failure(&Failure::new(Exit::Usage, "a command is missing").hint("see `indelible --help`"), true);
        }
        _ => output::failure(&parts(&text.to_string()), true),
    }
    Exit::Usage
}

/// The parts of clap's message.
fn parts(text: &str) -> Failure {
    let text = visible(text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("bad usage");
    let mut failure = Failure::new(Exit::Usage, what.strip_prefix("error: ").unwrap_or(what));
    let mut hints = Vec::new();
    let mut is_usage = false;
    for line in lines.filter(|line| !line.starts_with("For more information")) {
        is_usage |= line.starts_with("Usage: ");
        match line.strip_prefix("tip: ") {
            Some(tip) => hints.push(tip),
            // A command has more than one line of usage if it has commands of its own.
            None if is_usage => hints.push(line),
            None => failure.causes.push(line.to_owned()),
        }
    }
    failure.hint = (!hints.is_empty()).then(|| hints.join("; "));
    failure
}
