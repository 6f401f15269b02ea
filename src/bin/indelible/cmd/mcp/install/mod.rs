//! `mcp install`, `mcp remove`, `mcp status`: the server in a host's settings.
//!
//! As with `hooks install`, a change is shown and confirmed first, only adds or removes indelible's entry, and replaces the
//! whole file ([`file`]). A copy from before the entry is kept beside the settings; if nothing else has changed since,
//! removing the entry restores that copy byte for byte. No program of a host is run.
//!
//! The diff shows changed lines alone: beside ours stand other servers, with their keys.

mod host;
mod json;
mod toml;

use std::path::{Path, PathBuf};

use indelible::fs::os;
use indelible::hook::Host;
use indelible::model::text;
use serde_json::json;

use crate::cmd::Context;
use crate::cmd::hooks::change::{Answer, Change, read, refused, unwritten};
use crate::cmd::hooks::{self, edit, file};
use crate::exit::{Exit, Failure};
use crate::mcp_args::{McpArgs, McpCommand};
use crate::{output, program};

/// The name of the server in every host's settings.
const NAME: &str = "indelible";
/// The flag of `mcp` that says who put it there.
const MARK: &str = "--installed";
/// How many unchanged lines are shown around a changed one.
const LINES_AROUND: usize = 0;

pub fn run(context: &Context, what: McpCommand) -> Result<Exit, Failure> {
    match what {
        McpCommand::Install(args) => install(context, &args),
        McpCommand::Remove(args) => remove(context, &args),
        McpCommand::Status { dir } => status(context, dir.as_deref()),
    }
}

/// A server in a host's settings.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// The program and its arguments.
    words: Vec<String>,
    /// Whether the host does not start it.
    is_off: bool,
}

impl Entry {
    /// Whether `mcp install` wrote it.
    fn is_ours(&self) -> bool {
        let has = |word: &str| self.words.iter().any(|it| it == word);
        has("mcp") && has(MARK)
    }
}

/// Settings that cannot be changed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// They cannot be read.
    #[error(transparent)]
    Broken(#[from] edit::Broken),
    /// They are not TOML.
    #[error("it is not TOML: {0}")]
    NotToml(String),
    /// The entry is written in a way that is not changed here.
    #[error("its `mcp_servers` are not tables with headers of their own: change it by hand")]
    Unusual,
    /// Another entry has the name.
    #[error("it has a server `{NAME}` that `mcp install` did not write")]
    Foreign,
}

fn install(context: &Context, args: &McpArgs) -> Result<Exit, Failure> {
    const WHAT: &str = "the server was not installed";
    let host = Host::from(args.host);
    let path = settings_of(args, WHAT)?;
    let before = whole(host, &path, WHAT)?;
    let text = before.as_deref().unwrap_or(host::empty(host));
    let wrong = |problem: Problem| refused(WHAT, &path, &problem);
    let first = host::found(host, text).map_err(wrong)?.is_none();
    let after = host::added(host, text, &words(context)?).map_err(wrong)?;
    let change = Change { path, before, after: Some(after), lines_around: LINES_AROUND };
    if !change.agreed(context, Answer::of(args.yes, args.dry_run), WHAT)? {
        return Ok(Exit::Done);
    }
    if first {
        let copy = file::copy_before_server(&change.path);
        let kept = match &change.before {
            Some(before) => file::write(&copy, before),
            None => file::remove(&copy),
        };
        kept.map_err(|error| unwritten(WHAT, &copy, &error))?;
    }
    change.make(WHAT)?;
    match context.json {
        true => output::json(&change.told(true)),
        false => output::line(&format!("{}: {}", host.title(), host::by_hand(host))),
    }
    if let Err(failure) = context.open("") {
        output::warn(&format!("{}; the tools find nothing until `indelible init`", failure.causes.join(": ")));
    }
    Ok(Exit::Done)
}

fn remove(context: &Context, args: &McpArgs) -> Result<Exit, Failure> {
    const WHAT: &str = "the server was not removed";
    let host = Host::from(args.host);
    let path = settings_of(args, WHAT)?;
    let before = whole(host, &path, WHAT)?;
    let wrong = |problem: Problem| refused(WHAT, &path, &problem);
    let found = before.as_deref().map(|text| host::found(host, text)).transpose().map_err(wrong)?.flatten();
    match found {
        None => {
            let change = Change { path, after: before.clone(), before, lines_around: LINES_AROUND };
            change.idle(context, "has no server of indelible's: nothing to remove");
            return Ok(Exit::Done);
        }
        Some(entry) if !entry.is_ours() => return Err(wrong(Problem::Foreign)),
        Some(_) => {}
    }
    let copy = file::copy_before_server(&path);
    let kept = read(&copy, WHAT)?;
    let after = left(host, before.as_deref().unwrap_or_default(), kept.as_deref()).map_err(wrong)?;
    // With hooks in the same file, neither copy alone tells what was there before both.
    let copies = [read(&file::copy_of(&path), WHAT)?, kept.clone()];
    let original = after.as_deref().and_then(|left| edit::original(left, &copies, host::empty(host)));
    let is_as_before = original.is_some();
    let after = original.unwrap_or(after);
    let is_restored = after == kept;
    let change = Change { path, before, after, lines_around: LINES_AROUND };
    if !change.agreed(context, Answer::of(args.yes, args.dry_run), WHAT)? {
        return Ok(Exit::Done);
    }
    change.make(WHAT)?;
    if is_as_before {
        file::remove_copies(&change.path).map_err(|error| unwritten(WHAT, &copy, &error))?;
    } else if is_restored {
        file::remove(&copy).map_err(|error| unwritten(WHAT, &copy, &error))?;
    } else if kept.is_some() && !context.json {
        output::line(&format!("the settings from before the server was installed are still in {}", text::path(&copy)));
    }
    if context.json {
        output::json(&change.told(true));
    }
    Ok(Exit::Done)
}

/// The settings `text` without indelible's entry. If nothing else has changed since the copy `kept`, it is `kept`; `None` if
/// there was no file.
fn left(host: Host, text: &str, kept: Option<&str>) -> Result<Option<String>, Problem> {
    let without = host::cut(host, text)?;
    let before = kept.unwrap_or(host::empty(host));
    let words = [NAME, "mcp", MARK].map(str::to_owned);
    let unchanged = host::added(host, before, &words).and_then(|with| host::cut(host, &with));
    Ok(match unchanged.is_ok_and(|unchanged| unchanged == without) {
        true => kept.map(str::to_owned),
        false => Some(without),
    })
}

/// What a host runs.
fn words(context: &Context) -> Result<Vec<String>, Failure> {
    let call = hooks::call(context)?;
    let home = call.home.into_iter().flat_map(|home| ["--home".to_owned(), home]);
    let mcp = ["mcp", MARK].map(str::to_owned);
    Ok([call.program].into_iter().chain(home).chain(mcp).collect())
}

/// The text of the settings, after an overwrite that was killed is completed.
fn whole(host: Host, path: &Path, what: &str) -> Result<Option<String>, Failure> {
    let is_whole = |text: &str| host::found(host, text).is_ok();
    file::finish(path, is_whole).map_err(|error| unwritten(what, path, &error))?;
    read(path, what)
}

fn settings_of(args: &McpArgs, what: &str) -> Result<PathBuf, Failure> {
    let project = hooks::project_of(args.scope, args.dir.as_deref(), what)?;
    Ok(host::settings(Host::from(args.host), project.as_deref(), &hooks::user(what)?))
}

fn status(context: &Context, project: Option<&Path>) -> Result<Exit, Failure> {
    const WHAT: &str = "the servers' status could not be read";
    let user = hooks::user(WHAT)?;
    let project = project.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let project = os::real_path(&project).map_err(|error| unwritten(WHAT, &project, &error))?;
    let mut servers = Vec::new();
    for host in Host::ALL {
        let everywhere = host::settings(host, None, &user);
        let here = host::settings(host, Some(&project), &user);
        let said = state(host, &everywhere);
        let has_here = here != everywhere && state(host, &here) != (false, NOT_INSTALLED.to_owned());
        servers.push((host, everywhere, said));
        if has_here {
            let said = state(host, &here);
            servers.push((host, here, said));
        }
    }
    if context.json {
        let shown = servers.iter().map(|(host, path, (installed, state))| {
            json!({ "host": host.name(), "settings": path.display().to_string(), "installed": installed, "state": state })
        });
        output::json(&json!({ "hosts": shown.collect::<Vec<_>>() }));
        return Ok(Exit::Done);
    }
    for (host, path, (_, state)) in servers {
        output::line(&format!("{:<9} {state}, {}", host.name(), text::path(&path)));
    }
    Ok(Exit::Done)
}

const NOT_INSTALLED: &str = "not installed";

/// Whether the settings at `path` have a server of indelible's that runs, and in words.
fn state(host: Host, path: &Path) -> (bool, String) {
    let text = match file::read(path) {
        Err(error) => return (false, format!("cannot be read: {error}")),
        Ok(text) => text.unwrap_or_else(|| host::empty(host).to_owned()),
    };
    let entry = match host::found(host, &text) {
        Err(problem) => return (false, format!("cannot be read: {problem}")),
        Ok(None) => return (false, NOT_INSTALLED.into()),
        Ok(Some(entry)) => entry,
    };
    let program = entry.words.first().map(String::as_str).unwrap_or_default();
    let why_not = Path::new(program).is_absolute().then(|| program::why_not_run(Path::new(program))).flatten();
    match why_not {
        Some(why) => (false, format!("calls {program}, {why}: run `indelible mcp install {}` again", host.name())),
        None if entry.is_off => (false, "installed, and switched off".into()),
        None if !entry.is_ours() => (true, "installed by hand".into()),
        None => (true, "installed".into()),
    }
}
