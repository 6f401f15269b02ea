//! `config unset`: removes a setting from the file that `config set` puts it into.

use serde_json::json;
use toml_edit::{DocumentMut, TableLike};

use super::{NOT_SET, change_home, change_user, find, known, says_the_same, tell_worker, wrong};
use crate::cmd::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{self, Origin, Settings, TEMPLATE};

pub fn run(context: &Context, key: &str) -> Result<Exit, Failure> {
    let home = context.open(NOT_SET)?;
    let _ = find(known(&home)?, key, NOT_SET)?;
    let is_users = key.split_once('.').is_some_and(|(section, key)| settings::is_the_users(section, key));
    let id = settings::id_of(home.dir(), Some(home.id()))?.unwrap_or(home.id()).to_string();
    let above: &[&str] = if is_users { &["home", &id] } else { &[] };
    let text = match is_users {
        true => settings::user_text()?.map(|(_, text)| text).unwrap_or_default(),
        false => settings::text_of(&home)?,
    };
    let without = |text: &str, above: &[&str]| removed(text, above, key);
    let is_set = without(&text, above).map_err(|why| wrong(key, &why))?.is_some();
    let (mut told, mut file) = (None, None);
    if is_set {
        context.name_home()?;
        let changed = |text: &str, above: &[&str]| Ok(without(text, above)?.unwrap_or_else(|| text.to_owned()));
        let path = match is_users {
            true => change_user(&home, key, |text, id| changed(text, &["home", id]))?,
            false => change_home(&home, key, |text| changed(text, &[]))?,
        };
        (told, file) = (tell_worker(&home), Some(path.display().to_string()));
    }
    let now = find(Settings::explained(&home, &[])?.settings, key, NOT_SET)?;
    if context.json {
        output::json(&json!({
            "key": key, "was_set": is_set, "value": now.value, "origin": now.origin, "file": file, "worker_told": told,
        }));
        return Ok(Exit::Done);
    }
    let was = if is_set { "" } else { "it was not set; " };
    let from = match now.origin {
        Origin::Default => "the default",
        Origin::User => "your own settings of every home",
        Origin::File => "the home's settings",
        Origin::UserHome => "your own settings of this home",
        Origin::Environment => "the environment",
        Origin::Flag => "--set",
    };
    output::line(&format!("{was}{key} = {}, from {from}", now.value));
    if told == Some(false) {
        output::warn("the running worker did not say that it has read this; it does on SIGHUP, and when it is started");
    }
    Ok(Exit::Done)
}

/// `text` without `section.key` beneath the tables `above`; `None` if that is not set. Where the template shows the default in a
/// comment, the comment takes the setting's place again.
fn removed(text: &str, above: &[&str], key: &str) -> Result<Option<String>, String> {
    let (section, key) = key.split_once('.').ok_or("it has no section")?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    let mut keys: &mut dyn TableLike = document.as_table_mut();
    for name in above.iter().chain([&section]) {
        match keys.get_mut(name).and_then(|item| item.as_table_like_mut()) {
            Some(table) => keys = table,
            None => return Ok(None),
        }
    }
    if keys.remove(key).is_none() {
        return Ok(None);
    }
    let shown = if above.is_empty() { commented(text, section, key) } else { None };
    let shown = shown.filter(|shown| says_the_same(shown, &document));
    Ok(Some(shown.unwrap_or_else(|| document.to_string())))
}

/// `text` with the line of `key` in `section` replaced by the template's comment.
fn commented(text: &str, section: &str, key: &str) -> Option<String> {
    let is_of = |line: &str, begin: &str| {
        let rest = line.trim_start().strip_prefix(begin).and_then(|rest| rest.trim_start().strip_prefix(key));
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let within = |text: &str, is_it: &dyn Fn(&str) -> bool| {
        let mut within = String::new();
        text.lines().position(|line| {
            if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                within = name.trim().to_owned();
            }
            within == section && is_it(line)
        })
    };
    let comment = TEMPLATE.lines().nth(within(TEMPLATE, &|line| is_of(line, "#"))?)?;
    let at = within(text, &|line| is_of(line, ""))?;
    let lines = text.lines().enumerate().map(|(number, old)| if number == at { comment } else { old });
    Some(lines.flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unset(text: &str, key: &str) -> Option<String> {
        removed(text, &[], key).expect("it can be edited")
    }

    #[test]
    fn a_setting_gives_its_place_back_to_the_comment() {
        let set = TEMPLATE.replace("# age_ms = 1000", "age_ms = 200");
        assert_eq!(unset(&set, "worker.age_ms").as_deref(), Some(TEMPLATE));
        assert_eq!(unset(TEMPLATE, "worker.age_ms"), None);
    }

    #[test]
    fn a_file_by_hand_loses_the_setting_alone() {
        let text = "# mine\n[log]\nlevel = \"info\"  # calm\n\n[worker] # w\nage_ms = [\n  1\n]\nstop_s = 1\n";
        assert_eq!(
            unset(text, "worker.age_ms").as_deref(),
            Some("# mine\n[log]\nlevel = \"info\"  # calm\n\n[worker] # w\nstop_s = 1\n")
        );
        let own = "[home.\"x\".log]\nlevel = \"info\"\nfiles_max = 3\n";
        let removed = removed(own, &["home", "x"], "log.level").expect("it can be edited");
        assert_eq!(removed.as_deref(), Some("[home.\"x\".log]\nfiles_max = 3\n"));
    }
}
