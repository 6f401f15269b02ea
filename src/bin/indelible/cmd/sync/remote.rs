//! `remote`: which git remote this home's records go to.

use std::io::IsTerminal as _;
use std::time::Instant;

use indelible::home::Home;
use indelible::sync::{self, Error, Options, Preview, Session, Standing, standing, without_credentials};
use serde_json::json;

use super::{asking, failure, stop};
use crate::cmd::{Context, config};
use crate::exit::{Exit, Failure};
use crate::output::{self, count};
use crate::sync_args::RemoteAddArgs;

const NOT_ADDED: &str = "the remote was not added";
const NOT_SHOWN: &str = "the remote cannot be shown";
const NOT_TESTED: &str = "the remote cannot be used";
/// How long a first import may take, in seconds.
const FROM_S: u64 = 3600;
const NOT_REMOVED: &str = "the remote was not removed";

pub fn add(context: &Context, args: &RemoteAddArgs) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(NOT_ADDED)?;
    let settings = context.settings(&home)?;
    let before = settings.sync()?;
    let url = sync::whole(&args.url);
    if !before.remote.is_empty() && before.remote != url {
        let why = std::io::Error::other(format!("this home has the remote {}", without_credentials(&before.remote)));
        return Err(Failure::new(Exit::Input, NOT_ADDED).because(&why).hint("`indelible remote remove` first"));
    }
    if let Some(trunk) = args.trunk.as_ref().filter(|trunk| !sync::is_reference(trunk)) {
        let why = std::io::Error::other(format!("{trunk:?} is not the full name of a reference"));
        return Err(Failure::new(Exit::Usage, NOT_ADDED).because(&why).hint("for example refs/heads/memory"));
    }
    let secrets = settings.redactor()?;
    let secrets = settings.sync.hold_secrets.then(|| std::sync::Arc::new(secrets));
    let public = args.public || before.public;
    let trunk = args.trunk.clone().or(before.trunk);
    let options = Options { remote: url.clone(), public, trunk, secrets, ..before };
    let look = || {
        let mut session = open(&home, &options)?;
        let lanes = session.list()?.lanes;
        session.check_private()?;
        session.check_format()?;
        let is_other = session.is_of_other_group(args.join)?;
        Ok::<_, Error>((lanes, session.preview()?, is_other))
    };
    let (lanes, preview, is_other) = look().map_err(|error| failure(NOT_ADDED, &error))?;
    if !context.json {
        say_plan(&options, lanes, &preview);
        if is_other {
            output::warn("it belongs to another group of homes than this one: they become one");
        }
    }
    if !args.yes && !is_confirmed(context)? {
        output::line("no remote was added");
        return Ok(Exit::Done);
    }
    if is_other {
        let leave = || open(&home, &options)?.leave_group();
        leave().map_err(|error| failure(NOT_ADDED, &error))?;
    }
    keep(&home, args, &url)?;
    let told = config::tell_worker(&home);
    if context.json {
        let Preview { records, secrets, is_all } = preview;
        output::json(&json!({
            "remote": without_credentials(&url), "lanes": lanes, "records": records, "held": secrets, "all": is_all,
            "worker_told": told,
        }));
        return Ok(Exit::Done);
    }
    output::line(&match told {
        Some(true) => "added: the running worker pushes by itself".to_owned(),
        _ => output::hint("added: `indelible sync` pushes; so does a worker, by itself"),
    });
    Ok(Exit::Done)
}

/// Keeps in the user's settings what `args` say, and then that `url` is the remote of `home`.
fn keep(home: &Home, args: &RemoteAddArgs, url: &str) -> Result<(), Failure> {
    if args.public {
        config::set_of_user(home, "sync.public", &toml::Value::Boolean(true))?;
    }
    if let Some(trunk) = &args.trunk {
        config::set_of_user(home, "sync.trunk", &toml::Value::String(trunk.clone()))?;
    }
    if args.push_only {
        config::set_of_user(home, "sync.merge", &toml::Value::Boolean(false))?;
        config::set_of_user(home, "sync.import", &toml::Value::String("none".to_owned()))?;
    }
    config::set_of_user(home, "sync.remote", &toml::Value::String(url.to_owned())).map(drop)
}

/// Makes the remote at `url` that of the new home at `path`, and imports what other homes have pushed there. Returns how many records.
///
/// # Errors
/// The exit code of a sync; the home is there, and has the remote if that can be used.
pub fn import_from(context: &Context, path: &std::path::Path, url: &str) -> Result<u64, Failure> {
    const WHAT: &str = "the home was made, and what others recorded is not imported";
    let home = Home::open(path).map_err(|error| Failure::of(WHAT, &error))?;
    let before = context.settings(&home)?.sync()?;
    let url = sync::whole(url);
    let options = Options { remote: url.clone(), ..before };
    let check = || {
        let mut session = open(&home, &options)?;
        session.list()?;
        session.check_private()
    };
    check().map_err(|error| failure(WHAT, &error))?;
    config::set_of_user(&home, "sync.remote", &toml::Value::String(url))?;
    let settings = context.settings(&home)?;
    let asked = sync::Asked { combine: true, ..sync::Asked::default() };
    let outcome = super::Outcome::of(&home, &settings, asked, crate::settings::seconds(FROM_S), 1, WHAT)?;
    match outcome.error {
        Some(error) => Err(failure(WHAT, &error)),
        None => Ok(outcome.combined.imported.records),
    }
}

/// Imports what other homes have pushed to the remote that a variable or the user's own settings name, into the new home at `path`.
/// Nothing is pushed. Returns how many records; `None` if no remote is named, or nothing is to be imported.
///
/// # Errors
/// The exit code of a sync; the home is there, and a later sync imports.
pub fn import_into_new(context: &Context, path: &std::path::Path) -> Result<Option<u64>, Failure> {
    const WHAT: &str = "what others recorded is not imported";
    let home = Home::open(path).map_err(|error| Failure::of(WHAT, &error))?;
    let settings = context.settings(&home)?;
    let options = settings.sync()?;
    if options.remote.is_empty() || options.import.what == sync::import::What::None {
        return Ok(None);
    }
    let asked = sync::Asked { combine: true, fetch_only: true, ..sync::Asked::default() };
    let outcome = super::Outcome::of(&home, &settings, asked, options.timeout, 1, WHAT)?;
    match outcome.error {
        Some(error) => Err(failure(WHAT, &error)),
        None => Ok(Some(outcome.combined.imported.records)),
    }
}

fn open<'h>(home: &'h Home, options: &'h Options) -> Result<Session<'h>, Error> {
    Session::open(home, options, Instant::now() + options.timeout, stop())
}

/// What will be on the remote, and who can read it there.
fn say_plan(options: &Options, lanes: usize, preview: &Preview) {
    let shown = without_credentials(&options.remote);
    output::line(&format!(
        "{shown} is in reach, and has {} of other homes or of this one",
        count(lanes as u64, "lane", "lanes")
    ));
    let more = if preview.is_all { "" } else { " and more" };
    let records = count(preview.records, "record", "records");
    output::line(&format!(
        "it will get {records}{more}, and what is recorded from now on: titles, texts, tags, where each was made. Nothing else of \
         this folder or its repository"
    ));
    if preview.secrets > 0 {
        let held = count(
            preview.secrets,
            "record says what looks like a secret and stays",
            "records say what looks like a secret and stay",
        );
        output::line(&format!("{held} here"));
    }
    if options.public {
        output::warn("everybody may be able to read it");
    }
    if shown != options.remote {
        output::warn(
            "the address has credentials, which are kept in your settings as they are; a credential helper keeps them better",
        );
    }
    output::line("who may read the remote can read all of it, and who may write there is trusted to be one of you");
}

fn is_confirmed(context: &Context) -> Result<bool, Failure> {
    if context.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let why = std::io::Error::other("there is no terminal to ask at");
        return Err(Failure::new(Exit::Usage, NOT_ADDED).because(&why).hint("`--yes` does it"));
    }
    output::question("Use it from now on? [y/N] ");
    let mut answer = String::new();
    let _ = asking(|| std::io::stdin().read_line(&mut answer));
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub fn show(context: &Context) -> Result<Exit, Failure> {
    let home = context.open(NOT_SHOWN)?;
    let options = context.settings(&home)?.sync()?;
    let standing = standing(&home, &options).map_err(|error| failure(NOT_SHOWN, &error))?;
    if context.json {
        output::json(&json!({ "sync": standing }));
    } else {
        match standing {
            Some(standing) => lines(&standing).iter().for_each(|line| output::line(line)),
            None => output::line(&output::hint("this home has no remote: `indelible remote add URL`")),
        }
    }
    Ok(Exit::Done)
}

/// How a home stands with its remote, for people.
pub fn lines(standing: &Standing) -> Vec<String> {
    let mut lines = vec![format!("remote      {}", standing.remote)];
    if let Some(lane) = &standing.lane {
        lines.push(format!("lane        {lane}"));
    }
    lines.push(match &standing.pushed {
        Some(pushed) => format!("pushed      {:.0}, {}", pushed.at, &pushed.commit[..pushed.commit.len().min(12)]),
        None => "pushed      never".to_owned(),
    });
    let age = standing.oldest_unpushed_s.map(|age| format!(", the oldest {age} s old")).unwrap_or_default();
    lines.push(match standing.unpushed {
        0 => "unpushed    nothing".to_owned(),
        unpushed => format!("unpushed    {}{age}", count(unpushed, "record", "records")),
    });
    lines.extend(standing.held.iter().map(|held| format!("held        {}: {}", held.id, held.why)));
    if let Some(trunk) = &standing.trunk {
        let unmerged = match standing.lanes_unmerged {
            0 => String::new(),
            lanes => format!(", {} not merged", count(lanes, "lane", "lanes")),
        };
        lines.push(format!("trunk       {:.0}, {}{unmerged}", trunk.at, &trunk.commit[..trunk.commit.len().min(12)]));
        lines.push(format!("imported    {}", count(standing.imported.records, "record", "records")));
    }
    lines.extend(standing.of_others().into_iter().map(|line| format!("others      {line}")));
    if let Some(error) = &standing.error {
        let next = error.next_try_s.map(|next| format!("; a worker tries again in {next} s")).unwrap_or_default();
        lines.push(format!("error       {:.0}: {}{next}", error.at, error.message));
    }
    lines.iter().map(|line| indelible::model::text::visible_line(line).into_owned()).collect()
}

pub fn test(context: &Context) -> Result<Exit, Failure> {
    let home = context.open(NOT_TESTED)?;
    let options = context.settings(&home)?.sync()?;
    let test = || {
        let session = open(&home, &options)?;
        let lanes = session.list()?.lanes;
        session.check_format()?;
        Ok::<_, Error>((lanes, session.is_public()?, session.would_take()?))
    };
    let (lanes, is_public, would_take) = test().map_err(|error| failure(NOT_TESTED, &error))?;
    if context.json {
        output::json(
            &json!({ "remote": without_credentials(&options.remote), "lanes": lanes, "public": is_public, "takes_pushes": would_take }),
        );
        return Ok(Exit::Done);
    }
    output::line(&format!(
        "{} is in reach, and has {}",
        without_credentials(&options.remote),
        count(lanes as u64, "lane", "lanes")
    ));
    match is_public {
        Some(true) => output::warn("everybody can read it"),
        Some(false) => output::line("strangers cannot read it"),
        None => {}
    }
    if would_take == Some(true) {
        output::line("it would take a push");
    }
    Ok(Exit::Done)
}

pub fn remove(context: &Context) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(NOT_REMOVED)?;
    let options = context.settings(&home)?.sync()?;
    if !options.remote.is_empty() {
        config::set_of_user(&home, "sync.remote", &toml::Value::String(String::new()))?;
        config::tell_worker(&home);
    }
    let left = context.settings(&home)?.sync()?.remote;
    if context.json {
        output::json(&json!({ "removed": without_credentials(&options.remote), "remote": without_credentials(&left) }));
    } else {
        output::line(if options.remote.is_empty() {
            "there was no remote"
        } else {
            "removed; the remote keeps what it has"
        });
    }
    if !left.is_empty() {
        output::warn("a variable (INDELIBLE_REMOTE, INDELIBLE_SYNC_REMOTE) or your own settings still name a remote");
    }
    Ok(Exit::Done)
}
