//! Usage errors and help, as text or as JSON.
//!
//! A mistyped command or flag is answered by what was probably meant, and never by one that takes something away for good or
//! skips a question: who pastes an answer without reading it must lose nothing.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use indelible::fs::os::Stream;
use indelible::model::text::visible;

use crate::exit::{Exit, Failure};
use crate::output;

/// Commands and flags that are never suggested.
const DANGEROUS: [&str; 6] = ["erase", "release", "retract", "--remove", "--revoke", "--yes"];

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
    suggested.retain(|it| !DANGEROUS.contains(&it.as_str()));
    if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand)
        && is_at_top(error)
    {
        let typed = typed.to_lowercase();
        if let Some((_, meant)) = MEANT.iter().find(|(word, _)| *word == typed) {
            suggested = meant.iter().map(|it| (*it).to_owned()).collect();
        }
        if TAKE_AWAY.contains(&typed.as_str()) {
            suggested.clear();
            let tip = "what takes records away is never guessed: `indelible help retract` and `indelible help erase` say how they differ";
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.to_owned().into()]));
        }
    }
    match (suggested.len(), kind) {
        (0, _) => {}
        (_, ContextKind::SuggestedArg) => {
            error.insert(kind, ContextValue::String(suggested.swap_remove(0)));
        }
        _ => {
            error.insert(kind, ContextValue::Strings(suggested));
        }
    }
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
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    suggest(&mut error);
    let text = error.render();
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            let colours = output::has_colours(Stream::Output);
            output::write(Stream::Output, &if colours { text.ansi().to_string() } else { text.to_string() });
            return Exit::Done;
        }
        _ if !as_json => output::write(Stream::Errors, &visible(&text.to_string())),
        DisplayHelpOnMissingArgumentOrSubcommand => {
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
    for line in lines.filter(|line| !line.starts_with("For more information")) {
        match line.strip_prefix("tip: ") {
            Some(tip) => hints.push(tip),
            None if line.starts_with("Usage: ") => hints.push(line),
            None => failure.causes.push(line.to_owned()),
        }
    }
    failure.hint = (!hints.is_empty()).then(|| hints.join("; "));
    failure
}
