//! `hooks`: makes agents' hosts call `hook`, by editing their settings.
//!
//! The settings belong to other programs. A change is shown and confirmed first, only adds or removes indelible's entries, and
//! replaces the whole file (see `file`). A copy from before the first entry is kept beside the settings. If nothing else has
//! changed since, uninstalling restores that copy byte for byte.

pub(super) mod change;
pub(super) mod edit;
pub(super) mod file;
mod host;
pub(super) mod layout;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use indelible::fs::os;
use indelible::hook::{Host, count};
use indelible::model::text;
use serde_json::json;

use super::Context;
use super::status::hooks_line;
use crate::args::{ContextName, HooksArgs, HooksCommand, HostName, Scope};
use crate::exit::{Exit, Failure};
use crate::settings::Telling;
use crate::{lost, output, program};
use change::{Answer, Change, read, refused, unwritten};
pub(super) use host::Call;

/// How many lines of the settings are shown around a change.
const LINES_AROUND: usize = 3;

pub fn run(context: &Context, what: HooksCommand) -> Result<Exit, Failure> {
    match what {
        HooksCommand::Install(args) => install(context, &args),
        HooksCommand::Uninstall(args) => uninstall(context, &args),
        HooksCommand::Status { dir } => status(context, dir.as_deref()),
    }
}

impl From<HostName> for Host {
    fn from(name: HostName) -> Host {
        match name {
            HostName::Claude => Host::Claude,
            HostName::Codex => Host::Codex,
            HostName::Gemini => Host::Gemini,
            HostName::Cursor => Host::Cursor,
            HostName::Opencode => Host::OpenCode,
        }
    }
}

fn install(context: &Context, args: &HooksArgs) -> Result<Exit, Failure> {
    const WHAT: &str = "the hooks were not installed";
    let host = Host::from(args.host);
    let path = settings_of(args, WHAT)?;
    let is_whole = |text: &str| host == Host::OpenCode || edit::ours(text).is_ok();
    file::finish(&path, is_whole).map_err(|error| unwritten(WHAT, &path, &error))?;
    let before = read(&path, WHAT)?;
    let call = Call { context: context_of(args, host, &path, before.as_deref(), WHAT)?, ..call(context)? };
    let broken = |error: edit::Broken| refused(WHAT, &path, &error);
    let (after, first) = match host {
        Host::OpenCode => {
            if before.as_deref().is_some_and(|text| !host::is_plugin(text)) {
                return Err(refused(WHAT, &path, &io::Error::other("another plugin has this name")));
            }
            (host::plugin(&call), false)
        }
        _ => {
            let text = before.as_deref().unwrap_or(edit::empty(host));
            let first = edit::ours(text).map_err(broken)?.is_empty();
            (edit::added(text, host::entries(host, &call)).map_err(broken)?, first)
        }
    };
    let change = Change { path, before, after: Some(after), lines_around: LINES_AROUND };
    if !change.agreed(context, Answer::of(args.yes, args.dry_run), WHAT)? {
        return Ok(Exit::Done);
    }
    if first {
        keep(&change).map_err(|error| unwritten(WHAT, &file::copy_of(&change.path), &error))?;
    }
    change.make(WHAT)?;
    match context.json {
        true => output::json(&change.told(true)),
        false => {
            output::line(&format!("{}: {}", host.title(), host::by_hand(host, io::stdin().is_terminal())));
            output::line(&told_when(host, &call.context));
        }
    }
    if change.after.as_deref().is_some_and(edit::switches_off) {
        output::warn("`disableAllHooks` is true in these settings: no hook runs until it is false");
    }
    if let Err(failure) = context.open("") {
        output::warn(&format!("{}; hooks record nothing until `indelible init`", failure.causes.join(": ")));
    }
    Ok(Exit::Done)
}

/// When agents are told what was recorded: as `args` say, else as it is installed, else at the start and at failures.
fn context_of(
    args: &HooksArgs,
    host: Host,
    path: &Path,
    before: Option<&str>,
    what: &str,
) -> Result<Vec<String>, Failure> {
    let names = |tellings: &[Telling]| tellings.iter().map(|it| it.name().to_owned()).collect();
    if !args.context.is_empty() {
        let is_given = |telling: &Telling| {
            args.context.contains(match telling {
                Telling::Start => &ContextName::Start,
                Telling::Failure => &ContextName::Failure,
                Telling::Prompt => &ContextName::Prompt,
            })
        };
        return Ok(names(&Telling::ALL.into_iter().filter(is_given).collect::<Vec<_>>()));
    }
    let installed = match (host, before) {
        (_, None) => None,
        (Host::OpenCode, Some(text)) => host::is_plugin(text).then(|| host::context_of_plugin(text)),
        (_, Some(text)) => edit::context(text).map_err(|error| refused(what, path, &error))?,
    };
    Ok(installed.unwrap_or_else(|| names(&Telling::DEFAULT)))
}

/// When agents are told what was recorded, and how to change that.
fn told_when(host: Host, context: &[String]) -> String {
    let name = host.name();
    if context.is_empty() {
        return format!(
            "agents are told nothing that is recorded; `indelible hooks install {name} --context start,failure` changes that"
        );
    }
    let is_at_prompt = context.iter().any(|it| it == Telling::Prompt.name());
    let without = if is_at_prompt && host == Host::Cursor { " (Cursor has no place for it at a prompt)" } else { "" };
    format!(
        "agents are told what was recorded, at: {}{without}; `indelible hooks install {name} --context none` switches that \
         off, `indelible config set hook.context '[]'` in one home, for all hosts",
        context.join(", ")
    )
}

/// Keeps a copy of the settings before indelible's first entry.
fn keep(change: &Change) -> io::Result<()> {
    let copy = file::copy_of(&change.path);
    match &change.before {
        Some(before) => file::write(&copy, before),
        // An older copy must not be taken for this one.
        None => file::remove(&copy),
    }
}

fn uninstall(context: &Context, args: &HooksArgs) -> Result<Exit, Failure> {
    const WHAT: &str = "the hooks were not uninstalled";
    let host = Host::from(args.host);
    let path = settings_of(args, WHAT)?;
    let is_whole = |text: &str| host == Host::OpenCode || edit::ours(text).is_ok();
    file::finish(&path, is_whole).map_err(|error| unwritten(WHAT, &path, &error))?;
    let before = read(&path, WHAT)?;
    let broken = |error: edit::Broken| refused(WHAT, &path, &error);
    let Some(text) = &before else {
        let change = Change { path, before: None, after: None, lines_around: LINES_AROUND };
        change.idle(context, "is not there: nothing to uninstall");
        return Ok(Exit::Done);
    };
    let is_plugin = host == Host::OpenCode && host::is_plugin(text);
    if !is_plugin && (host == Host::OpenCode || edit::ours(text).map_err(broken)?.is_empty()) {
        let change = Change { path, after: before.clone(), before, lines_around: LINES_AROUND };
        change.idle(context, "has no hook of indelible's: nothing to uninstall");
        return Ok(Exit::Done);
    }
    let copy = file::copy_of(&path);
    let kept = read(&copy, WHAT)?;
    let after = if is_plugin { None } else { left(host, text, kept.as_deref()).map_err(broken)? };
    // With a server in the same file, neither copy alone tells what was there before both.
    let copies = [kept.clone(), read(&file::copy_before_server(&path), WHAT)?];
    let original = after.as_deref().and_then(|left| edit::original(left, &copies, edit::empty(host)));
    let is_as_before = original.is_some();
    let after = original.unwrap_or(after);
    let restored = after == kept;
    let change = Change { path, before, after, lines_around: LINES_AROUND };
    if !change.agreed(context, Answer::of(args.yes, args.dry_run), WHAT)? {
        return Ok(Exit::Done);
    }
    change.make(WHAT)?;
    if is_as_before {
        file::remove_copies(&change.path).map_err(|error| unwritten(WHAT, &copy, &error))?;
    } else if restored {
        file::remove(&copy).map_err(|error| unwritten(WHAT, &copy, &error))?;
    } else if kept.is_some() && !context.json {
        output::line(&format!(
            "the settings as they were before the hooks were installed are still in {}",
            text::path(&copy)
        ));
    }
    if context.json {
        output::json(&change.told(true));
    }
    Ok(Exit::Done)
}

/// The settings `text` without indelible's entries. If nothing else has changed since the copy `kept`, it is `kept`; `None` if
/// there was no file.
fn left(host: Host, text: &str, kept: Option<&str>) -> Result<Option<String>, edit::Broken> {
    let without = edit::cut(text)?;
    let call = Call { context: edit::context(text)?.unwrap_or_default(), ..Call::default() };
    let before = kept.unwrap_or(edit::empty(host));
    let unchanged = edit::added(before, host::entries(host, &call)).and_then(|with| edit::cut(&with));
    Ok(match unchanged.is_ok_and(|unchanged| unchanged == without) {
        true => kept.map(str::to_owned),
        false => Some(without),
    })
}

fn settings_of(args: &HooksArgs, what: &str) -> Result<PathBuf, Failure> {
    let project = project_of(args.scope, args.dir.as_deref(), what)?;
    Ok(host::settings(Host::from(args.host), project.as_deref(), &user(what)?))
}

/// The project that the flags name; `None` for all of the user's sessions.
///
/// # Errors
/// Exit 64 for a folder without its scope, 74 for one that does not exist.
pub(super) fn project_of(scope: Scope, dir: Option<&Path>, what: &str) -> Result<Option<PathBuf>, Failure> {
    let project = match (scope, dir) {
        (Scope::User, None) => None,
        (Scope::User, Some(_)) => {
            return Err(Failure::new(Exit::Usage, what).hint("--dir names a project: give --scope project as well"));
        }
        (Scope::Project, Some(dir)) => Some(dir.to_owned()),
        (Scope::Project, None) => Some(PathBuf::from(".")),
    };
    let absolute = |dir: PathBuf| os::real_path(&dir).map_err(|error| unwritten(what, &dir, &error));
    project.map(absolute).transpose()
}

/// The user's own folders.
///
/// # Errors
/// Exit 78 if they are not known.
pub(super) fn user(what: &str) -> Result<impl etcetera::BaseStrategy, Failure> {
    etcetera::choose_base_strategy().map_err(|error| Failure::new(Exit::NoHome, what).because(&error))
}

/// This program, and the home, if one was named. Without it a hook finds its home as every command does.
///
/// # Errors
/// Exit 74 if the system does not name the program, 64 if its path is not UTF-8.
pub(super) fn call(context: &Context) -> Result<Call, Failure> {
    let what = "cannot determine which program the hooks should call";
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|_| Failure::new(Exit::Usage, what).hint("its path is not UTF-8"))
    };
    let program = program::lasting().map_err(|error| Failure::new(Exit::Io, what).because(&error))?;
    let home = context.home.as_deref().map(|home| std::path::absolute(home).unwrap_or_else(|_| home.to_owned()));
    Ok(Call { program: text(program)?, home: home.map(text).transpose()?, ..Call::default() })
}

/// The name by which a plugin calls this program.
const NAME: &str = "indelible";

/// Indelible's entries in one settings file.
struct Found {
    host: Host,
    path: PathBuf,
    /// Or why they cannot be read.
    events: Result<Vec<(String, String)>, String>,
    off: bool,
    /// The indelible plugin that the settings enable.
    plugin: Option<String>,
    /// Whether the user still has to tell the host to trust the hooks.
    untrusted: bool,
}

impl Found {
    /// What is in the user's own settings of `host`, or in those of the project at `project`.
    fn of(host: Host, project: Option<&Path>, user: &impl etcetera::BaseStrategy) -> Found {
        let path = host::settings(host, project, user);
        let text = file::read(&path).map(Option::unwrap_or_default);
        let off = text.as_ref().is_ok_and(|text| edit::switches_off(text));
        let plugin = match host {
            Host::Codex => project.map_or_else(host::plugin_of_codex, |_| None),
            _ => text.as_ref().ok().and_then(|text| edit::plugin(text)),
        };
        let untrusted = host == Host::Codex && !host::is_trusted_by_codex(&path, plugin.as_deref());
        let events = match text {
            Err(error) => Err(error.to_string()),
            Ok(text) if text.is_empty() => Ok(Vec::new()),
            Ok(text) if host == Host::OpenCode => Ok(match host::is_plugin(&text) {
                true => vec![("plugin".into(), host::called_by(&text))],
                false => Vec::new(),
            }),
            Ok(text) => edit::seen(&text).map_err(|error| error.to_string()),
        };
        Found { host, path, events, off, plugin, untrusted }
    }

    /// Why the installed hooks do not run.
    fn trouble(&self) -> Option<String> {
        let host = self.host.name();
        let events = self.events.as_ref().ok()?;
        events.iter().find_map(|(_, program)| {
            let why = program::why_not_run(Path::new(program))?;
            Some(format!("calls {program}, {why}: run `indelible hooks install {host}` again"))
        })
    }

    /// A report about the file, and whether hooks run from it. `seen` is how many events came from the host.
    fn said(&self, seen: u64) -> (bool, String) {
        let events = match (&self.events, &self.plugin) {
            (Err(error), _) => return (false, format!("cannot be read: {error}")),
            (Ok(events), Some(plugin)) if events.is_empty() => return self.said_of_plugin(plugin),
            (Ok(events), None) if events.is_empty() && seen > 0 => {
                return (false, "not installed here: events come from a plugin, or from a project's settings".into());
            }
            (Ok(events), _) if events.is_empty() => return (false, "not installed".into()),
            (Ok(events), _) => events,
        };
        if let Some(trouble) = self.trouble() {
            return (false, trouble);
        }
        if self.off {
            return (false, "installed, and switched off by `disableAllHooks`".into());
        }
        let names: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
        let names = names.join(", ");
        if let Some(untrusted) = self.untrusted() {
            return (false, format!("installed ({names}), {untrusted}"));
        }
        // Of the copies of an event, one makes a record.
        let plugin =
            self.plugin.as_ref().map_or_else(String::new, |plugin| format!(", and by the plugin {plugin} as well"));
        (true, format!("installed ({names}){plugin}"))
    }

    /// A report about a plugin that brings the hooks. It calls whatever `indelible` is on the host's PATH.
    fn said_of_plugin(&self, plugin: &str) -> (bool, String) {
        let by = format!("installed by the plugin {plugin}");
        match program::why_not_run(Path::new(NAME)) {
            _ if self.off => (false, format!("{by}, and switched off by `disableAllHooks`")),
            Some(why) => (false, format!("{by}, which calls `{NAME}`, {why} here: it does nothing then")),
            None => match self.untrusted() {
                Some(untrusted) => (false, format!("{by}, {untrusted}")),
                None => (true, by),
            },
        }
    }

    fn untrusted(&self) -> Option<String> {
        let todo = host::to_trust(io::stdin().is_terminal());
        self.untrusted.then(|| format!("and not trusted as far as Codex's config.toml says: {todo}"))
    }
}

/// Why hooks that are installed for all of this user's sessions do not run.
pub fn troubles() -> Vec<String> {
    let Ok(user) = user("") else { return Vec::new() };
    let found = Host::ALL.into_iter().map(|host| Found::of(host, None, &user));
    found.filter_map(|it| Some(format!("the hook of {} {}", it.host.title(), it.trouble()?))).collect()
}

fn status(context: &Context, project: Option<&Path>) -> Result<Exit, Failure> {
    const WHAT: &str = "the hooks' status could not be read";
    let user = user(WHAT)?;
    let project = project.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let project = os::real_path(&project).map_err(|error| unwritten(WHAT, &project, &error))?;
    let found = Host::ALL.into_iter().flat_map(|host| {
        let everywhere = Found::of(host, None, &user);
        let here = Found::of(host, Some(&project), &user);
        // A project gets a line only if it has hooks.
        let has_none = |here: &Found| here.plugin.is_none() && matches!(&here.events, Ok(it) if it.is_empty());
        let here = Some(here).filter(|here| here.path != everywhere.path && !has_none(here));
        [everywhere].into_iter().chain(here)
    });
    let found: Vec<Found> = found.collect();
    let home = context.open(WHAT);
    let counts = match &home {
        Ok(home) => count::counts(home.private()).map_err(|error| Failure::of(WHAT, &error))?,
        Err(_) => None,
    };
    let seen = |host: Host| counts.as_ref().and_then(|counts| counts.by_host.get(host.name())).copied().unwrap_or(0);
    if context.json {
        let host = |it: &Found| {
            let (runs, said) = it.said(seen(it.host));
            json!({ "host": it.host.name(), "settings": it.path.display().to_string(), "installed": runs, "state": said })
        };
        let hosts: Vec<_> = found.iter().map(host).collect();
        let home = home.as_ref().ok().map(|home| home.path().display().to_string());
        output::json(&json!({ "hosts": hosts, "home": home, "events": counts, "without_home": lost::counts() }));
        return Ok(Exit::Done);
    }
    for it in &found {
        let events = seen(it.host);
        let count = if events > 0 { format!("; {}", output::count(events, "event", "events")) } else { String::new() };
        output::line(&format!("{:<9} {}{count}, {}", it.host.name(), it.said(events).1, text::path(&it.path)));
    }
    match (&home, &counts) {
        (Err(failure), _) => output::line(&format!(
            "home      {}: hooks record nothing until `indelible init`",
            failure.causes.join(": ")
        )),
        (Ok(home), None) => output::line(&format!("home      {}: no event came yet", text::path(home.path()))),
        (Ok(home), Some(counts)) => {
            output::line(&format!("home      {}", text::path(home.path())));
            output::line(&format!("events    {}", hooks_line(counts)));
            if let Some(last) = &counts.last_error {
                output::line(&format!("error     {:.0}: {}", last.at, text::visible_line(&last.error)));
            }
        }
    }
    if let Some((folder, counts)) = lost::open().zip(lost::counts()) {
        output::line(&format!("elsewhere {}, in {}", hooks_line(&counts), folder.path().display()));
        if let Some(last) = &counts.last_error {
            output::line(&format!("error     {:.0}: {}", last.at, last.error));
        }
    }
    Ok(Exit::Done)
}
