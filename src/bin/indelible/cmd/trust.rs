//! `trust`: which homes this user uses on this machine without naming them.

use std::path::{Path, PathBuf};

use indelible::fs::os;
use indelible::home::is_home;
use indelible::model::text;
use indelible::trust::{self, Notes, Passed, Trusted};
use serde_json::{Value, json};

use super::Context;
use crate::args::TrustArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::user;
use crate::which;

const WHAT: &str = "the home was not trusted";
const NOT_LISTED: &str = "the trusted homes cannot be listed";
const NOT_REVOKED: &str = "the home is trusted as before";

pub fn run(context: &Context, args: &TrustArgs) -> Result<Exit, Failure> {
    match &args.revoke {
        Some(dir) => revoke(context, dir),
        None if args.list => list(context),
        None => trust_home(context, args.dir.as_deref()),
    }
}

fn trust_home(context: &Context, dir: Option<&Path>) -> Result<Exit, Failure> {
    let path = match dir {
        Some(dir) => dir.to_owned(),
        None => named_or_nearest(context)?,
    };
    if !is_home(&path) {
        let why = std::io::Error::other(format!("there is no home at {}", text::path(&path)));
        let hint = format!("make one with `indelible init {}`", text::shell_path(&path));
        return Err(Failure::new(Exit::NoHome, WHAT).because(&why).hint(hint));
    }
    if !context.json {
        output::line(&format!("home: {}", text::path(&os::real_path(&path).unwrap_or(path.clone()))));
    }
    let state = user::state_folder();
    let trusted = trust::trust(state.as_deref(), &path).map_err(|error| Failure::of(WHAT, &error))?;
    let state = state.unwrap_or_default();
    let passed = Passed::read(&state).of(&trusted.path);
    let _ = Passed::forget(&state, &trusted.path);
    if context.json {
        output::json(&json!({
            "home": trusted.path,
            "id": trusted.id,
            "was_trusted": trusted.before,
            "same_id": trusted.same_id,
            "records_elsewhere": passed,
            "file": trust::notes_path(&state),
        }));
        return Ok(Exit::Done);
    }
    output::line(match trusted.before {
        true => "it was trusted already",
        false => "it is trusted now: commands that are run within it, and hooks, use it",
    });
    say_same_id(&trusted);
    if passed > 0 {
        let records = text::counted(passed, "record", "records");
        output::line(&format!(
            "{records} came from within it while it was passed by; they stay in the home they went to"
        ));
    }
    Ok(Exit::Done)
}

/// The home that `--home` or `INDELIBLE_HOME` names, or the nearest one above the working folder.
fn named_or_nearest(context: &Context) -> Result<PathBuf, Failure> {
    if let Some((path, _)) = which::named(context.home.as_deref())? {
        return Ok(path);
    }
    which::nearest().ok_or_else(|| {
        let why = std::io::Error::other("no folder above this one is a home, and the default home is always used");
        Failure::new(Exit::NoHome, WHAT).because(&why).hint("name the home: `indelible trust DIR`")
    })
}

/// Warns if another home has the same id: the user's settings for that id are for the other one.
fn say_same_id(trusted: &Trusted) {
    if let Some(other) = &trusted.same_id {
        output::warn(&format!(
            "the home at {} has the same id, {}: what your own settings say of that id does not hold for this one",
            text::path(other),
            trusted.id
        ));
    }
}

/// Notes a home that was just made or adopted as trusted. A failure is only a warning.
pub fn note(path: &Path) {
    match trust::trust(user::state_folder().as_deref(), path) {
        Ok(trusted) => say_same_id(&trusted),
        Err(error) => {
            let failure = Failure::of("it is not trusted where it is only found", &error);
            let mut text = format!("{}: {}", failure.what, failure.causes.join(": "));
            text.push_str("; it is used where --home or INDELIBLE_HOME names it");
            output::warn(&text);
        }
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let state = user::state_folder();
    let notes = state.as_deref().map(Notes::read).transpose().map_err(|error| Failure::of(NOT_LISTED, &error))?;
    let notes = notes.unwrap_or_default();
    let mut homes = Vec::new();
    for note in notes.all() {
        let places = note.places.iter().map(|place| (place.clone(), stands(state.as_deref(), place)));
        homes.push((note.id, places.collect::<Vec<_>>()));
    }
    let (default, variable) = (user::data_folder(), user::of_variable());
    let passed = state.as_deref().map(Passed::read).unwrap_or_default();
    if context.json {
        let home = |(id, places): &(_, Vec<(PathBuf, String)>)| {
            let places = places.iter().map(|(path, state)| json!({ "path": path, "state": state }));
            json!({ "id": id, "places": places.collect::<Vec<Value>>() })
        };
        let passed = passed.all().map(|(path, records)| json!({ "path": path, "records": records }));
        output::json(&json!({
            "file": state.as_deref().map(trust::notes_path),
            "homes": homes.iter().map(home).collect::<Vec<_>>(),
            "default": default,
            "environment": variable.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "passed": passed.collect::<Vec<Value>>(),
        }));
        return Ok(Exit::Done);
    }
    for (path, state) in homes.iter().flat_map(|(_, places)| places) {
        output::line(&format!("{:<10} {}", state, text::path(path)));
    }
    for path in &variable {
        output::line(&format!("{:<10} {} ({})", "trusted", text::path(path), user::TRUST));
    }
    if let Some(default) = default {
        output::line(&format!("{:<10} {} (the default home, by its place)", "trusted", text::path(&default)));
    }
    for (path, records) in passed.all() {
        output::line(&which::told_of_passed(path, records));
    }
    Ok(Exit::Done)
}

/// The state of a noted home, in a word.
fn stands(state: Option<&Path>, place: &Path) -> String {
    use indelible::trust::{Reason, Standing};
    match trust::standing(state, place) {
        Ok(Standing::Trusted | Standing::Moved(_)) => "trusted",
        Ok(Standing::Passed(Reason::Changeable { .. })) if is_home(place) => "unsafe",
        Ok(Standing::Passed(_)) if is_home(place) => "changed",
        Ok(Standing::Passed(_)) => "gone",
        Err(_) => "unknown",
    }
    .to_owned()
}

fn revoke(context: &Context, dir: &Path) -> Result<Exit, Failure> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let path = os::real_path(dir).unwrap_or(absolute);
    let state = user::state_folder();
    let places = trust::revoke(state.as_deref(), &path).map_err(|error| Failure::of(NOT_REVOKED, &error))?;
    if places.is_empty() {
        let why = std::io::Error::other(format!("{} is not among the trusted homes", text::path(&path)));
        let failure = Failure::new(Exit::Usage, "nothing was revoked").because(&why);
        return Err(failure.hint("`indelible trust --list` shows which there are"));
    }
    if context.json {
        output::json(&json!({ "revoked": places, "home": path }));
    }
    for place in places.iter().filter(|_| !context.json) {
        output::line(&format!("{} is not trusted any more", text::path(place)));
    }
    if user::is_default(&path) {
        output::warn("it is the default home, which is used because of its place");
    }
    if user::is_in_variable(&path) {
        output::warn(&format!("{} still names it", user::TRUST));
    }
    Ok(Exit::Done)
}
