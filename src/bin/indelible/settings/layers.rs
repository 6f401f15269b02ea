//! Settings from several places, and which of them wins.

use std::path::Path;

use indelible::model::HomeId;
use indelible::model::text;
use serde::Serialize;

use super::Settings;
use super::file::mend;
use super::limits::{HOME_MAX, is_harmless, is_the_users};
use crate::exit::{Exit, Failure};

/// One setting, its value, and where the value comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// Its value.
    pub value: toml::Value,
    /// Where the value comes from.
    pub origin: Origin,
    /// Its default.
    pub default: toml::Value,
    /// The variable that sets it.
    pub variable: String,
}

/// Where a value comes from; each overrides those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It is not set anywhere.
    Default,
    /// The user's own file, for every home.
    User,
    /// The home's file.
    File,
    /// The user's own file, for this home.
    #[serde(rename = "user-home")]
    UserHome,
    /// A variable.
    Environment,
    /// `--set` on the command line.
    Flag,
}

/// Every setting, as it is by default.
pub fn every_setting() -> Vec<Setting> {
    let all = toml::Table::try_from(Settings::default()).expect("settings are numbers and text");
    let of_section = |(section, keys): (String, toml::Value)| {
        let toml::Value::Table(keys) = keys else { unreachable!("a section is a table") };
        keys.into_iter().map(move |(key, value)| Setting {
            variable: format!("INDELIBLE_{}_{}", section.to_uppercase(), key.to_uppercase()),
            key: format!("{section}.{key}"),
            default: value.clone(),
            value,
            origin: Origin::Default,
        })
    };
    all.into_iter().flat_map(of_section).collect()
}

/// The user's own file.
#[derive(Clone, Copy)]
pub struct Own<'o> {
    /// Its path.
    pub path: &'o Path,
    /// Its text.
    pub text: &'o str,
    /// The id by which it knows the home. Looked up only if the file has settings of single homes.
    pub id: &'o dyn Fn() -> Result<Option<HomeId>, Failure>,
}

/// The settings of each file, checked one by one, so that an error names the file.
#[derive(Default)]
pub(super) struct Layers {
    user: toml::Table,
    home: toml::Table,
    user_home: toml::Table,
    pub(super) notices: Vec<String>,
}

impl Layers {
    /// The settings that `text` says, the content of the home's file at `path`, and those of the user's file.
    ///
    /// # Errors
    /// Exit 78 for a file that is not TOML, or has an unknown setting or an invalid value.
    pub(super) fn of(path: &Path, text: &str, ours: Option<Own<'_>>) -> Result<Layers, Failure> {
        let mut layers = Layers { home: parsed(path, text)?, ..Layers::default() };
        if let Some(ours) = ours {
            layers.user = parsed(ours.path, ours.text)?;
            if let Some(homes) = layers.user.remove("home") {
                layers.user_home = of_home(homes, &ours)?;
            }
            checked(ours.path, &layers.user)?;
            checked(ours.path, &layers.user_home)?;
        }
        layers.confine(path);
        checked(path, &layers.home)?;
        layers.clamp(path);
        Ok(layers)
    }

    /// Removes from the home's settings what a home may not decide.
    fn confine(&mut self, path: &Path) {
        let mut ignored = Vec::new();
        for (section, keys) in &mut self.home {
            let Some(keys) = keys.as_table_mut() else { continue };
            keys.retain(|key, value| {
                let stays = !is_the_users(section, key) || is_harmless(section, key, value);
                if !stays && says_something(value) {
                    ignored.push(format!("{section}.{key}"));
                }
                stays
            });
        }
        if !ignored.is_empty() {
            self.notices.push(format!(
                "ignored in {}: {}; a home does not decide this: `indelible config set` puts it into your own settings",
                text::path(path),
                ignored.join(", ")
            ));
        }
    }

    /// Holds the home's numbers within bounds.
    fn clamp(&mut self, path: &Path) {
        for (section, key, max) in HOME_MAX {
            let value = self.home.get_mut(section).and_then(|keys| keys.get_mut(key));
            if let Some(toml::Value::Integer(number)) = value
                && *number > max
            {
                let path = text::path(path);
                self.notices.push(format!("in {path}, {section}.{key} is {number}: a home can say {max} at most"));
                *number = max;
            }
        }
    }

    /// By origin; each overrides those before it.
    fn all(&self) -> [(Origin, &toml::Table); 3] {
        [(Origin::User, &self.user), (Origin::File, &self.home), (Origin::UserHome, &self.user_home)]
    }

    /// What the files say together.
    pub(super) fn table(&self) -> toml::Table {
        let mut table = toml::Table::new();
        for (_, file) in self.all() {
            for (section, keys) in file {
                for (key, value) in keys.as_table().into_iter().flatten().filter(|(_, value)| says_something(value)) {
                    put(&mut table, section, key, value.clone());
                }
            }
        }
        if let Some(patterns) = self.patterns() {
            put(&mut table, "redact", "patterns", patterns);
        }
        table
    }

    /// Every pattern of both files. A home adds patterns, and replaces none.
    fn patterns(&self) -> Option<toml::Value> {
        let of = |table: &toml::Table| Some(table.get("redact")?.get("patterns")?.as_table()?.clone());
        let mut all = of(&self.user).unwrap_or_default();
        all.extend(of(&self.user_home).unwrap_or_default());
        for (mut name, pattern) in of(&self.home).unwrap_or_default() {
            while all.get(&name).is_some_and(|other| *other != pattern) {
                name.push_str("-home");
            }
            all.insert(name, pattern);
        }
        (!all.is_empty()).then_some(all.into())
    }
}

fn parsed(path: &Path, text: &str) -> Result<toml::Table, Failure> {
    toml::from_str(text).map_err(|error| mend(path).because(&in_one_line(&error)))
}

fn checked(path: &Path, table: &toml::Table) -> Result<(), Failure> {
    let wrong = |error| {
        let what = format!("invalid setting in {}", text::path(path));
        let hint = "`indelible config edit` opens the file, and `indelible config unset KEY` takes one setting out";
        Failure::new(Exit::NoHome, what).because(&in_one_line(&error)).hint(hint)
    };
    if table.is_empty() { Ok(()) } else { Settings::of_table(table.clone()).map(drop).map_err(wrong) }
}

/// What the table `homes` of the user's own file says about this home.
fn of_home(homes: toml::Value, ours: &Own<'_>) -> Result<toml::Table, Failure> {
    let wrong = |why: String| mend(ours.path).because(&std::io::Error::other(why));
    let toml::Value::Table(mut homes) = homes else { return Err(wrong("`home` is no table".to_owned())) };
    if homes.is_empty() {
        return Ok(toml::Table::new());
    }
    let Some(id) = (ours.id)()? else { return Ok(toml::Table::new()) };
    match homes.remove(&id.to_string()) {
        None => Ok(toml::Table::new()),
        Some(toml::Value::Table(own)) => Ok(own),
        Some(_) => Err(wrong(format!("`home.\"{id}\"` is no table"))),
    }
}

/// `error` in one line, without the excerpt of the file.
pub(super) fn in_one_line(error: &toml::de::Error) -> std::io::Error {
    let said = error.to_string();
    let is_picture = |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    std::io::Error::other(said.lines().filter(|line| !is_picture(line)).collect::<Vec<_>>().join(", "))
}

/// The settings of the files, overridden by the environment (if `environment`), and that by `overrides`. Also returns every
/// setting with its origin.
///
/// # Errors
/// Exit 64 for an override that is not `section.key=value`.
pub(super) fn merged(
    layers: &Layers,
    environment: bool,
    overrides: &[String],
) -> Result<(toml::Table, Vec<Setting>), Failure> {
    let mut table = layers.table();
    let mut settings = every_setting();
    for setting in &mut settings {
        let (section, key) = setting.key.split_once('.').expect("it was made with one");
        let says_it = |file: &toml::Table| file.get(section).and_then(|keys| keys.get(key)).is_some_and(says_something);
        if let Some((origin, _)) = layers.all().into_iter().rfind(|(_, file)| says_it(file)) {
            setting.origin = origin;
        }
        if let Some(value) = table.get(section).and_then(|keys| keys.get(key)) {
            setting.value = value.clone();
        }
        // Where a list of variables sets one to nothing, only a text can mean that.
        if environment
            && let Ok(text) = std::env::var(&setting.variable)
            && (setting.default.is_str() || !text.is_empty())
        {
            (setting.value, setting.origin) = (value_like(&setting.default, &text), Origin::Environment);
            put(&mut table, section, key, setting.value.clone());
        }
    }
    for text in overrides {
        let wrong = || Failure::new(Exit::Usage, format!("--set takes section.key=value, not {text:?}"));
        let (name, text) = text.split_once('=').ok_or_else(wrong)?;
        let (section, key) = name.split_once('.').ok_or_else(wrong)?;
        let known = settings.iter_mut().find(|setting| setting.key == name);
        let value = value_like(known.as_ref().map_or(&toml::Value::Boolean(true), |known| &known.default), text);
        if let Some(known) = known {
            (known.value, known.origin) = (value.clone(), Origin::Flag);
        }
        put(&mut table, section, key, value);
    }
    Ok((table, settings))
}

/// The first of `settings` that is invalid by itself, as it was said where: in a variable, or by a flag. The files were checked.
pub(super) fn wrong_one(settings: &[Setting]) -> Option<String> {
    let is_wrong = |setting: &&Setting| {
        let mut table = toml::Table::new();
        let (section, key) = setting.key.split_once('.').expect("it was made with one");
        put(&mut table, section, key, setting.value.clone());
        Settings::of_table(table).is_err()
    };
    let said = settings.iter().filter(|it| matches!(it.origin, Origin::Environment | Origin::Flag)).find(is_wrong)?;
    Some(match said.origin {
        Origin::Environment => format!("the variable {}", said.variable),
        _ => format!("--set {}", said.key),
    })
}

/// The value that `text` is for a setting with this `default`: text, if the default is text, and otherwise TOML. Text that
/// is not TOML stays text, and the setting refuses it.
pub fn value_like(default: &toml::Value, text: &str) -> toml::Value {
    let as_toml = || {
        let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
        table.remove("value").filter(|_| table.is_empty())
    };
    let value = if default.is_str() { None } else { as_toml() };
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Whether a value sets anything: an empty table does not.
fn says_something(value: &toml::Value) -> bool {
    value.as_table().is_none_or(|table| !table.is_empty())
}

fn put(table: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
}
