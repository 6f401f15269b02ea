//! `config`: shows settings and their origins, and changes a setting in the file that decides it. `unset` removes one, `edit` opens
//! the file in the user's editor.
//!
//! Each file is replaced whole: killed at any point, the old file or the new one is there. The user's file is changed under a
//! lock ([`indelible::own`]). Two processes that change a home's file at once may undo each other's change, but not damage it.

mod edit;
mod unset;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indelible::fs::Durability;
use indelible::fs::lock::WorkerLock;
use indelible::home::Home;
use indelible::model::HomeId;
use indelible::model::layout::{CONFIG, TEMPORARY};
use indelible::model::text::{self, chain};
use indelible::own;
use indelible::redact::Redactor;
use indelible::worker::{Request, Want};
use serde_json::json;
use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

use super::Context;
use crate::args::ConfigCommand;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{self, Origin, Own, Setting, Settings, TEMPLATE};

/// How long to wait for a running worker to reload the settings.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait for the lock of the user's file. Each change takes milliseconds.
const OWN_WAIT: Duration = Duration::from_secs(10);
/// The first lines of a new user's file.
const OWN_HEADING: &str = "\
# Your own settings of indelible. What is in [worker], [history] and so on holds for every home; what is in
# [home.\"<id>\".worker] for one. `indelible config list` shows every setting, and the id.

";

pub fn run(context: &Context, what: &ConfigCommand) -> Result<Exit, Failure> {
    match what {
        ConfigCommand::List => list(context),
        ConfigCommand::Get { key } => get(context, key),
        ConfigCommand::Set { key, value } => set(context, key, value),
        ConfigCommand::Unset { key } => unset::run(context, key),
        ConfigCommand::Edit { user } => edit::run(context, *user),
        ConfigCommand::Path { user } => path(context, *user),
    }
}

/// Prints where the settings are: the home's, or the user's own.
fn path(context: &Context, is_user: bool) -> Result<Exit, Failure> {
    const WHAT: &str = "the file of settings cannot be named";
    let own = settings::user_path();
    if is_user && !context.json {
        // The user's own file is where it is without a home as well.
        output::line(&text::path(&own.ok_or_else(|| unknown_user(WHAT))?));
        return Ok(Exit::Done);
    }
    let home = context.open(WHAT)?;
    let file = settings::path_of(&home);
    match context.json {
        true => output::json(&json!({
            "file": file.display().to_string(),
            "user_file": own.map(|own| own.display().to_string()),
        })),
        false => output::line(&text::path(&file)),
    }
    Ok(Exit::Done)
}

/// The failure of a user whose own folder is not known.
fn unknown_user(what: &str) -> Failure {
    Failure::new(Exit::NoHome, what).because(&std::io::Error::other("HOME is not known"))
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let home = context.open("the settings cannot be shown")?;
    let all = Settings::explained(&home, &context.overrides)?;
    let (file, own) = (settings::path_of(&home), settings::user_path());
    if context.json {
        output::json(&json!({
            "file": file.display().to_string(),
            "user_file": own.map(|own| own.display().to_string()),
            "settings": all.settings,
            "notices": all.notices,
        }));
        return Ok(Exit::Done);
    }
    for setting in &all.settings {
        let from = match setting.origin {
            Origin::Default => "default".to_owned(),
            Origin::User => format!("your settings, instead of {}", setting.default),
            Origin::File => format!("file, instead of {}", setting.default),
            Origin::UserHome => format!("your settings of this home, instead of {}", setting.default),
            Origin::Environment => format!("{}, instead of {}", setting.variable, setting.default),
            Origin::Flag => format!("--set, instead of {}", setting.default),
        };
        output::line(&format!("{:<26} {:<22} {from}", setting.key, setting.value.to_string()));
    }
    output::line(&format!("the file is {}", text::path(&file)));
    if let Some(own) = own {
        output::line(&format!("your settings are {} (id of this home: {})", text::path(&own), home.id()));
    }
    all.notices.iter().for_each(|notice| output::line(&format!("notice: {notice}")));
    Ok(Exit::Done)
}

fn get(context: &Context, key: &str) -> Result<Exit, Failure> {
    const WHAT: &str = "the setting cannot be shown";
    let home = context.open(WHAT)?;
    let all = Settings::explained(&home, &context.overrides)?;
    let setting = find(all.settings, key, WHAT)?;
    match (&setting.value, context.json) {
        (_, true) => output::json(&setting),
        (toml::Value::String(text), false) => output::line(text),
        (value, false) => output::line(&value.to_string()),
    }
    Ok(Exit::Done)
}

fn find(all: Vec<Setting>, key: &str, what: &str) -> Result<Setting, Failure> {
    let section = key.split('.').next().unwrap_or_default();
    let alike: Vec<&str> =
        all.iter().map(|it| it.key.as_str()).filter(|it| it.split('.').any(|part| part == section)).collect();
    let hint = match alike.is_empty() {
        true => "see `indelible config list`".to_owned(),
        false => format!("there are {}", alike.join(", ")),
    };
    let why = std::io::Error::other(format!("there is no setting {key:?}"));
    let none = || Failure::new(Exit::Usage, what).because(&why).hint(hint);
    all.iter().position(|it| it.key == key).map(|at| all[at].clone()).ok_or_else(none)
}

const NOT_SET: &str = "the setting was not changed";

/// Every setting of `home`. If one is invalid, it may be the one that is to be changed, so all are as by default.
///
/// # Errors
/// A file that is no TOML, or cannot be read.
fn known(home: &Home) -> Result<Vec<Setting>, Failure> {
    let is_toml = |text: &str| text.parse::<toml::Table>().is_ok();
    Settings::explained(home, &[]).map(|all| all.settings).or_else(|failure| {
        let own = settings::user_text()?;
        let can_be_changed = is_toml(&settings::text_of(home)?) && own.is_none_or(|(_, text)| is_toml(&text));
        if can_be_changed { Ok(settings::every_setting()) } else { Err(failure) }
    })
}

fn set(context: &Context, key: &str, value: &str) -> Result<Exit, Failure> {
    let home = context.open(NOT_SET)?;
    let before = find(known(&home)?, key, NOT_SET)?;
    context.name_home()?;
    let value = settings::value_like(&before.default, value);
    let file = match key.split_once('.').is_some_and(|(section, key)| settings::is_the_users(section, key)) {
        true => set_of_user(&home, key, &value)?,
        false => set_of_home(&home, key, &value)?,
    };
    let told = tell_worker(&home);
    if context.json {
        output::json(&json!({ "key": key, "value": value, "file": file.display().to_string(), "worker_told": told }));
    } else {
        output::line(&format!("{key} = {value}"));
    }
    if told == Some(false) {
        output::warn("the running worker did not say that it has read this; it does on SIGHUP, and when it is started");
    }
    match before.origin {
        Origin::Environment => output::warn(&format!("here {} overrides what is in the file", before.variable)),
        Origin::UserHome if !file.starts_with(user_folder()) => {
            output::warn(&format!("your own settings of this home, in {}, override this", text::path(&user_folder())));
        }
        _ => {}
    }
    Ok(Exit::Done)
}

/// Sets the truth `key`, one of the user's, for `home`, unless something but the default decides it. Returns the changed file.
///
/// # Errors
/// As `config set`.
pub fn set_unless_set(home: &Home, key: &str) -> Result<Option<PathBuf>, Failure> {
    let before = find(Settings::explained(home, &[])?.settings, key, NOT_SET)?;
    match before.origin {
        Origin::Default => set_of_user(home, key, &toml::Value::Boolean(true)).map(Some),
        _ => Ok(None),
    }
}

fn wrong(key: &str, why: &str) -> Failure {
    Failure::new(Exit::Input, NOT_SET).because(&std::io::Error::other(format!("{key}: {why}")))
}

/// Sets `key` in the home's file. Returns its path.
fn set_of_home(home: &Home, key: &str, value: &toml::Value) -> Result<PathBuf, Failure> {
    if let (Some(max), Some(number)) = (settings::home_max(key), value.as_integer())
        && number > max
    {
        return Err(wrong(key, &format!("a home can say {max} at most")).hint("your own settings can say more"));
    }
    change_home(home, key, |text| edited(text, &[], key, value))
}

/// Changes the home's file by `edit`, in which `key` is what an error names. Returns its path.
fn change_home(home: &Home, key: &str, edit: impl FnOnce(&str) -> Result<String, String>) -> Result<PathBuf, Failure> {
    let text = match settings::text_of(home)? {
        text if text.is_empty() => TEMPLATE.to_owned(),
        text => text,
    };
    let text = edit(&text).map_err(|why| wrong(key, &why))?;
    toml::from_str(&text).and_then(Settings::of_table).map_err(|error| wrong(key, error.message()))?;
    write_home(home, &text)?;
    Ok(settings::path_of(home))
}

/// Replaces the home's file by `text`.
fn write_home(home: &Home, text: &str) -> Result<(), Failure> {
    let temporary = home.private_folder(TEMPORARY).map_err(|error| Failure::of(NOT_SET, &error))?;
    let written = home.private().replace(CONFIG, text.as_bytes(), &temporary, Durability::Full);
    written.map_err(|error| Failure::of(NOT_SET, &error))
}

/// The folder of the user's file.
fn user_folder() -> PathBuf {
    settings::user_path().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default()
}

/// Sets `key` for this home in the user's file. Returns its path.
///
/// # Errors
/// As `config set`.
pub fn set_of_user(home: &Home, key: &str, value: &toml::Value) -> Result<PathBuf, Failure> {
    change_user(home, key, |text, id| edited(text, &["home", id], key, value))
}

/// Changes the user's file by `edit`, which gets the home's id there; `key` is what an error names. Returns its path.
fn change_user(
    home: &Home,
    key: &str,
    edit: impl FnOnce(&str, &str) -> Result<String, String>,
) -> Result<PathBuf, Failure> {
    let path = settings::user_path().ok_or_else(|| unknown_user(NOT_SET))?;
    let Some(id) = settings::id_of(home.dir(), Some(home.id()))? else {
        let why = std::io::Error::other(format!("another home that you trusted before has its id, {}", home.id()));
        return Err(Failure::new(Exit::Refused, NOT_SET).because(&why).hint("`indelible trust --list` shows them"));
    };
    let (folder, name) = (path.parent().unwrap_or(&path), path.file_name().and_then(|it| it.to_str()));
    own::change(folder, name.unwrap_or(CONFIG), OWN_WAIT, |text| {
        let text = text.map(String::from_utf8).transpose().map_err(|error| NotSet(wrong(key, &error.to_string())))?;
        let heading = if text.is_none() { OWN_HEADING } else { "" };
        let text = edit(&text.unwrap_or_default(), &id.to_string());
        let text = format!("{heading}{}", text.map_err(|why| NotSet(wrong(key, &why)))?);
        check_user(&path, &text, id).map_err(|why| NotSet(wrong(key, &why)))?;
        Ok((Some(text.into_bytes()), ()))
    })
    .map_err(|NotSet(failure)| failure)?;
    Ok(path)
}

/// Checks `text`, the user's file at `path`, in which a home is called `id`.
fn check_user(path: &Path, text: &str, id: HomeId) -> Result<(), String> {
    let ours = Own { path, text, id: &|| Ok(Some(id)) };
    let after = Settings::of_own(ours).map_err(|failure| failure.causes.join(": "))?;
    crate::logging::check(&after.log)?;
    Redactor::new(&after.redact.patterns).map(drop).map_err(|error| chain(&error))
}

/// Why the user's file was not changed.
struct NotSet(Failure);

impl From<own::Error> for NotSet {
    fn from(error: own::Error) -> NotSet {
        NotSet(Failure::of(NOT_SET, &error))
    }
}

/// Asks a running worker to reload its settings. Returns whether it did; `None` if none runs.
pub fn tell_worker(home: &Home) -> Option<bool> {
    WorkerLock::holder(home.private()).ok()??;
    let answer = Request::ask(home, Want::Reload).ok().and_then(|request| request.wait(PATIENCE).ok()).flatten();
    Some(answer.is_some_and(|answer| answer.error.is_none()))
}

/// `text` with `section.key` set to `value`, beneath the tables `above`. It replaces the comment that shows the default, if
/// there is one.
fn edited(text: &str, above: &[&str], key: &str, value: &toml::Value) -> Result<String, String> {
    let (section, key) = key.split_once('.').ok_or("it has no section")?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let value: Value = value.to_string().parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    if above.is_empty() && document.get(section).is_none() {
        return Ok(format!("{}\n\n[{section}]\n{key} = {value}\n", text.trim_end()));
    }
    let mut keys: &mut dyn TableLike = document.as_table_mut();
    for name in above.iter().chain([&section]) {
        let new = || {
            let mut table = Table::new();
            table.set_implicit(*name != section);
            Item::Table(table)
        };
        let key: Key =
            toml::Value::from(*name).to_string().parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
        let key = if above.get(1) == Some(name) { key } else { Key::new(*name) };
        let table = keys.entry_format(&key).or_insert_with(new).as_table_like_mut();
        keys = table.ok_or(format!("{name} is no table in the file"))?;
    }
    let is_new = keys.get(key).is_none();
    put(keys, key, value.clone());
    let shown = if is_new && above.is_empty() { uncommented(text, section, key, &value) } else { None };
    let shown = shown.filter(|shown| says_the_same(shown, &document));
    Ok(shown.unwrap_or_else(|| document.to_string()))
}

/// Sets `key` among `keys`. A value keeps the comments around it; a table keeps its heading and the comments of its keys.
fn put(keys: &mut dyn TableLike, key: &str, mut value: Value) {
    match (keys.get_mut(key), &value) {
        (Some(Item::Table(table)), Value::InlineTable(new)) => {
            table.retain(|key, _| new.contains_key(key));
            new.iter().for_each(|(key, value)| put(table, key, value.clone().decorated(" ", "")));
        }
        (Some(Item::Value(old)), _) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            keys.insert(key, Item::Value(value));
        }
    }
}

/// `text` with the line `# key = ...` in `section` replaced by the setting itself.
fn uncommented(text: &str, section: &str, key: &str, value: &Value) -> Option<String> {
    let mut within = "";
    let shows = |line: &str| {
        let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix(key)?;
        rest.trim_start().starts_with('=').then_some(())
    };
    let at = text.lines().position(|line| {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = name.trim();
        }
        within == section && shows(line).is_some()
    })?;
    let line = format!("{key} = {}", value.to_string().trim());
    let lines = text.lines().enumerate().map(|(number, old)| if number == at { line.as_str() } else { old });
    Some(lines.flat_map(|line| [line, "\n"]).collect())
}

/// Whether `text` has the same values as `document`: a line that looks like a comment can be part of a multi-line string.
fn says_the_same(text: &str, document: &DocumentMut) -> bool {
    let values = |text: &str| toml::from_str::<toml::Table>(text).ok();
    values(text).is_some_and(|it| Some(it) == values(&document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, key: &str, value: impl Into<toml::Value>) -> String {
        edited(text, &[], key, &value.into()).expect("it can be edited")
    }

    #[test]
    fn a_setting_takes_the_place_of_its_comment() {
        let edited = set(TEMPLATE, "worker.age_ms", 200);
        assert_eq!(edited, TEMPLATE.replace("# age_ms = 1000", "age_ms = 200"));
    }

    #[test]
    fn what_is_set_already_keeps_its_place_and_its_comments() {
        let text = "# mine\n[log]\nlevel = \"info\"  # calm\n\n[worker] # w\n# age\nage_ms = 5 # ms\nstop_s = 1\n";
        let edited = set(text, "worker.age_ms", 7);
        assert_eq!(edited, text.replace("age_ms = 5 # ms", "age_ms = 7 # ms"));
        assert_eq!(set(&edited, "log.level", "a \"b\""), edited.replace("\"info\"", "'a \"b\"'"));
    }

    #[test]
    fn a_section_that_is_not_there_is_added() {
        assert_eq!(set("# mine\n", "worker.age_ms", 7), "# mine\n\n[worker]\nage_ms = 7\n");
        assert_eq!(set("[worker]\nstop_s = 1\n", "worker.age_ms", 7), "[worker]\nstop_s = 1\nage_ms = 7\n");
        assert_eq!(set("worker = { stop_s = 1 }\n", "worker.age_ms", 7), "worker = { stop_s = 1 , age_ms = 7 }\n");
    }

    #[test]
    fn what_only_looks_like_a_comment_is_left_alone() {
        let text = "[history]\nauthor_name = \"\"\"\n[worker]\n# age_ms = 1\n\"\"\"\n";
        let edited = set(text, "worker.age_ms", 7);
        assert!(edited.starts_with(text), "{edited}");
    }
}
