//! `config`: what the settings are, where they come from, and changing one in the home's file.
//!
//! The file is replaced whole: killed at any moment it is the old one or the new one. Two that change it at once may undo
//! each other's change, and nothing worse.

use std::time::Duration;

use indelible::fs::lock::WorkerLock;
use indelible::home::Home;
use indelible::init::CONFIG;
use indelible::redact::Redactor;
use indelible::text::chain;
use indelible::worker::{Request, Want};
use serde_json::json;
use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::Context;
use crate::args::ConfigCommand;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{self, Origin, Setting, Settings, TEMPLATE};

/// How long a running worker has to say that it has read the settings again.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn run(context: &Context, what: &ConfigCommand) -> Result<Exit, Failure> {
    match what {
        ConfigCommand::List => list(context),
        ConfigCommand::Get { key } => get(context, key),
        ConfigCommand::Set { key, value } => set(context, key, value),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let home = context.open("the settings cannot be shown")?;
    let all = Settings::explained(home.dir(), &context.overrides)?;
    let file = settings::path_of(home.dir()).display().to_string();
    if context.json {
        output::json(&json!({ "file": file, "settings": all }));
        return Ok(Exit::Done);
    }
    for setting in &all {
        let from = match setting.origin {
            Origin::Default => "default".to_owned(),
            Origin::File => format!("file, instead of {}", setting.default),
            Origin::Environment => format!("{}, instead of {}", setting.variable, setting.default),
            Origin::Flag => format!("--set, instead of {}", setting.default),
        };
        output::line(&format!("{:<26} {:<22} {from}", setting.key, setting.value.to_string()));
    }
    output::line(&format!("the file is {}", indelible::text::visible_line(&file)));
    Ok(Exit::Done)
}

fn get(context: &Context, key: &str) -> Result<Exit, Failure> {
    const WHAT: &str = "the setting cannot be shown";
    let home = context.open(WHAT)?;
    let setting = find(Settings::explained(home.dir(), &context.overrides)?, key, WHAT)?;
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

fn set(context: &Context, key: &str, value: &str) -> Result<Exit, Failure> {
    const WHAT: &str = "the setting was not changed";
    let home = context.open(WHAT)?;
    let before = find(Settings::explained(home.dir(), &[])?, key, WHAT)?;
    let text = match settings::text_of(home.dir())? {
        text if text.is_empty() => TEMPLATE.to_owned(),
        text => text,
    };
    let wrong = |why: String| Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(format!("{key}: {why}")));
    let value = settings::value_like(&before.default, value);
    let text = edited(&text, key, &value).map_err(wrong)?;
    let after =
        toml::from_str(&text).and_then(Settings::of_table).map_err(|error| wrong(error.message().to_owned()))?;
    crate::logging::check(&after.log).map_err(wrong)?;
    Redactor::new(&after.redact.patterns).map_err(|error| wrong(chain(&error)))?;
    let temporary = home.private_folder("tmp").map_err(|error| Failure::of(WHAT, &error))?;
    let written = home.private().replace(CONFIG, text.as_bytes(), &temporary);
    let _ = written.map_err(|error| Failure::of(WHAT, &error))?;
    let told = tell_worker(&home);
    if context.json {
        let file = settings::path_of(home.dir()).display().to_string();
        output::json(&json!({ "key": key, "value": value, "file": file, "worker_told": told }));
    } else {
        output::line(&format!("{key} = {value}"));
    }
    if told == Some(false) {
        output::warn("the running worker did not say that it has read this; it does on SIGHUP, and when it is started");
    }
    if before.origin == Origin::Environment {
        output::warn(&format!("here {} overrides what is in the file", before.variable));
    }
    Ok(Exit::Done)
}

/// Has a running worker read its settings again. Returns whether it did; `None` if none runs.
fn tell_worker(home: &Home) -> Option<bool> {
    WorkerLock::holder(home.private()).ok()??;
    let answer = Request::ask(home, Want::Reload).ok().and_then(|request| request.wait(PATIENCE).ok()).flatten();
    Some(answer.is_some_and(|answer| answer.error.is_none()))
}

/// `text` with `section.key` set to `value`: in the place of the comment that shows its default, if there is one.
fn edited(text: &str, key: &str, value: &toml::Value) -> Result<String, String> {
    let (section, key) = key.split_once('.').ok_or("it has no section")?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let value: Value = value.to_string().parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let Some(keys) = document.get_mut(section) else {
        return Ok(format!("{}\n\n[{section}]\n{key} = {value}\n", text.trim_end()));
    };
    let keys = keys.as_table_like_mut().ok_or("its section is no table in the file")?;
    let is_new = keys.get(key).is_none();
    put(keys, key, value.clone());
    let shown = if is_new { uncommented(text, section, key, &value) } else { None };
    let shown = shown.filter(|shown| says_the_same(shown, &document));
    Ok(shown.unwrap_or_else(|| document.to_string()))
}

/// Sets `key` among `keys`; a value keeps the comments around it, a table its heading and those of what stays in it.
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

/// Whether `text` has the same values as `document`: what looks like a comment can be within a text of many lines.
fn says_the_same(text: &str, document: &DocumentMut) -> bool {
    let values = |text: &str| toml::from_str::<toml::Table>(text).ok();
    values(text).is_some_and(|it| Some(it) == values(&document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, key: &str, value: impl Into<toml::Value>) -> String {
        edited(text, key, &value.into()).expect("it can be edited")
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
