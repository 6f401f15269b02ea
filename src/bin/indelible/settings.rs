//! Settings: flags over environment over `config.toml` over defaults.
//!
//! Every setting is `section.key`. In the configuration file it is `key` under `[section]`, in the environment
//! `INDELIBLE_SECTION_KEY`, on the command line `--set section.key=value`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use indelible::fs::Dir;
use indelible::home::{PRIVATE, is_home, private_of};
use indelible::hook::{Rules, Wants};
use indelible::init::CONFIG;
use indelible::redact::Redactor;
use indelible::store::history::HistoryOptions;
use indelible::{batch, worker};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use crate::exit::{Exit, Failure};

/// The text of a new home's configuration file: every setting with its default, commented out.
pub const TEMPLATE: &str = include_str!("config.toml");

/// A larger configuration file is none.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The largest whole number that TOML knows.
const MAX: u64 = i64::MAX as u64;

/// All settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Recorders.
    pub record: RecordSettings,
    /// The worker.
    pub worker: WorkerSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// The history.
    pub history: HistorySettings,
    /// The worker's log.
    pub log: LogSettings,
    /// What agents' hooks record.
    pub hook: HookSettings,
    /// Secrets.
    pub redact: RedactSettings,
}

/// `[record]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordSettings {
    pub index_wait_ms: u64,
}

/// `[worker]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    pub age_ms: u64,
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub records_due: usize,
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub records_max: usize,
    #[serde(deserialize_with = "within::<_, _, 1, 6>")]
    pub urgent_severity: u8,
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub poll_s: u64,
    pub stop_s: u64,
    pub index_wait_ms: u64,
    pub autostart: bool,
}

/// `[journal]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    #[serde(deserialize_with = "within::<_, _, 4096, MAX>")]
    pub segment_bytes_max: u64,
    pub keep_s: u64,
}

/// `[history]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    pub author_name: String,
    pub author_email: String,
    pub git_program: String,
    #[serde(deserialize_with = "within::<_, _, 2, MAX>")]
    pub packs_max: usize,
    pub pointer: bool,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    pub level: String,
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub files_max: usize,
}

/// `[hook]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookSettings {
    pub record: bool,
    pub warn: bool,
    #[serde(deserialize_with = "within::<_, _, 1, 5>")]
    pub severity: u8,
    pub answers: Vec<String>,
    /// By event, as the host spells it.
    pub events: BTreeMap<String, Wants>,
    /// By tool, as the host spells it; `mcp__*` are all that begin so.
    pub tools: BTreeMap<String, Wants>,
}

/// `[redact]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactSettings {
    pub hooks: bool,
    pub records: bool,
    /// By name, regular expressions.
    pub patterns: BTreeMap<String, String>,
}

/// A number from `LEAST` to `MOST`.
fn within<'de, D, T, const LEAST: u64, const MOST: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = u64::deserialize(deserializer)?;
    let range = if MOST == MAX { format!("at least {LEAST}") } else { format!("{LEAST} to {MOST}") };
    let wrong = || D::Error::invalid_value(Unexpected::Unsigned(number), &range.as_str());
    let number = Some(number).filter(|number| (LEAST..=MOST).contains(number)).ok_or_else(wrong)?;
    T::try_from(number).map_err(|_| wrong())
}

impl Default for RecordSettings {
    fn default() -> Self {
        RecordSettings { index_wait_ms: 50 }
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        WorkerSettings {
            age_ms: 1000,
            records_due: 1000,
            records_max: 10_000,
            urgent_severity: 5,
            poll_s: 30,
            stop_s: 20,
            index_wait_ms: 5000,
            autostart: false,
        }
    }
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings { segment_bytes_max: 8 << 20, keep_s: 600 }
    }
}

impl Default for HistorySettings {
    fn default() -> Self {
        let (author_name, author_email) = ("indelible".into(), "indelible@localhost".into());
        HistorySettings { author_name, author_email, git_program: "git".into(), packs_max: 32, pointer: true }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { level: "info".into(), files_max: 7 }
    }
}

impl Default for HookSettings {
    fn default() -> Self {
        let rules = Rules::default();
        let (severity, answers) = (rules.severity, rules.answers);
        HookSettings { record: true, warn: true, severity, answers, events: BTreeMap::new(), tools: BTreeMap::new() }
    }
}

impl Default for RedactSettings {
    fn default() -> Self {
        RedactSettings { hooks: true, records: false, patterns: BTreeMap::new() }
    }
}

/// One setting: what it is, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// Its value.
    pub value: toml::Value,
    /// Where that comes from.
    pub origin: Origin,
    /// What it would be otherwise.
    pub default: toml::Value,
    /// The variable that sets it.
    pub variable: String,
}

/// Where a value comes from; each overrides those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody has said anything.
    Default,
    /// The configuration file.
    File,
    /// A variable.
    Environment,
    /// `--set` on the command line.
    Flag,
}

/// Every setting there is, with its default, as the structures above say.
fn every_setting() -> Vec<Setting> {
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

impl Settings {
    /// The settings of the home at `home`, with `overrides` from the command line (`section.key=value`).
    ///
    /// # Errors
    /// A setting that there is not, or a value that it cannot have: exit 78 for the file, 64 for a flag.
    pub fn of(home: &Dir, overrides: &[String]) -> Result<Settings, Failure> {
        Settings::read(&path_of(home), &text_of(home)?, overrides)
    }

    /// The settings of the home at `home`, which need not be there yet.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn at(home: &Path, overrides: &[String]) -> Result<Settings, Failure> {
        match Dir::open(home) {
            Err(error) if error.is_not_found() => Settings::read(home, "", overrides),
            Err(error) => Err(unreadable(home).because(&error)),
            Ok(home) => Settings::of(&home, overrides),
        }
    }

    /// The settings that `text` says, the content of the file at `path`, under those of the environment and `overrides`.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn read(path: &Path, text: &str, overrides: &[String]) -> Result<Settings, Failure> {
        // A recorder reads this file every time, and most are as `init` made them: every setting a comment.
        let says_nothing = text.is_empty() || text == TEMPLATE;
        if says_nothing && overrides.is_empty() && !has_environment() {
            return Ok(Settings::default());
        }
        let (table, _) = merged(path, text, overrides)?;
        let exit = if overrides.is_empty() { Exit::NoHome } else { Exit::Usage };
        let wrong = |error| Failure::new(exit, "a setting makes no sense").because(&in_one_line(&error));
        Settings::of_table(table).map_err(wrong)
    }

    /// The settings that `table` says, and the defaults for those that it does not.
    ///
    /// # Errors
    /// A setting that there is not, or a value that it cannot have.
    pub fn of_table(table: toml::Table) -> Result<Settings, toml::de::Error> {
        table.try_into()
    }

    /// Every setting of the home at `home`, and where its value comes from.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn explained(home: &Dir, overrides: &[String]) -> Result<Vec<Setting>, Failure> {
        let (path, text) = (path_of(home), text_of(home)?);
        let _ = Settings::read(&path, &text, overrides)?;
        merged(&path, &text, overrides).map(|(_, settings)| settings)
    }

    /// How batches are made.
    pub fn batch(&self) -> batch::Options {
        batch::Options {
            records_due: self.worker.records_due,
            records_max: self.worker.records_max,
            segment_bytes_max: self.journal.segment_bytes_max,
            keep: seconds(self.journal.keep_s),
            index_wait: milliseconds(self.worker.index_wait_ms),
            history: self.history(),
            ..batch::Options::default()
        }
    }

    /// How the history is kept.
    pub fn history(&self) -> HistoryOptions {
        let program = &self.history.git_program;
        HistoryOptions {
            author_name: self.history.author_name.clone(),
            author_email: self.history.author_email.clone(),
            packs_max: self.history.packs_max,
            pointer: self.history.pointer,
            git_program: (!program.is_empty()).then(|| PathBuf::from(program)),
            ..HistoryOptions::default()
        }
    }

    /// What hooks record.
    pub fn rules(&self) -> Rules {
        Rules {
            severity: self.hook.severity,
            answers: self.hook.answers.clone(),
            events: self.hook.events.clone(),
            tools: self.hook.tools.clone(),
        }
    }

    /// What takes secrets out.
    ///
    /// # Errors
    /// Exit 78 for a pattern that is none.
    pub fn redactor(&self) -> Result<Redactor, Failure> {
        Redactor::new(&self.redact.patterns).map_err(|error| {
            Failure::new(Exit::NoHome, "a setting makes no sense").because(&error).hint("mend [redact.patterns]")
        })
    }

    /// How the worker works.
    pub fn worker(&self) -> worker::Options {
        worker::Options {
            batch: self.batch(),
            age_max: milliseconds(self.worker.age_ms),
            urgent: self.worker.urgent_severity,
            poll: seconds(self.worker.poll_s),
            stop: seconds(self.worker.stop_s),
            ..worker::Options::default()
        }
    }
}

/// Where the configuration file of the home at `home` lies.
pub fn path_of(home: &Dir) -> PathBuf {
    let private = private_of(home).ok().flatten();
    private.map_or_else(|| home.path().join(PRIVATE), |private| private.path().to_owned()).join(CONFIG)
}

/// What the configuration file of the home at `home` says; nothing where there is none.
///
/// # Errors
/// Exit 78 if it cannot be read.
pub fn text_of(home: &Dir) -> Result<String, Failure> {
    let unreadable = |error: &dyn std::error::Error| unreadable(&path_of(home)).because(error);
    let private = private_of(home).map_err(|error| unreadable(&error))?;
    let text = private.map(|private| private.content(CONFIG, CONFIG_BYTES_MAX)).transpose();
    let text = text.map_err(|error| unreadable(&error))?.flatten();
    String::from_utf8(text.unwrap_or_default()).map_err(|error| unreadable(&error))
}

/// Whether the settings of the home at `home`, which make no sense as a whole, may still ask for secrets to be taken out of
/// every record. Rather too often than not at all: what is recorded stays for ever.
pub fn may_redact(home: &Dir) -> bool {
    let asks = |line: &str| {
        let said = line.split('#').next().unwrap_or_default();
        said.contains("records") && said.contains("true")
    };
    std::env::var_os("INDELIBLE_REDACT_RECORDS").is_some() || text_of(home).is_ok_and(|text| text.lines().any(asks))
}

/// What is wrong with settings, without the picture of the line that it comes with.
fn in_one_line(error: &toml::de::Error) -> std::io::Error {
    let said = error.to_string();
    let is_picture = |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    std::io::Error::other(said.lines().filter(|line| !is_picture(line)).collect::<Vec<_>>().join(", "))
}

/// What the file `text` says, overridden by the environment and that by `overrides`; and every setting there is.
fn merged(path: &Path, text: &str, overrides: &[String]) -> Result<(toml::Table, Vec<Setting>), Failure> {
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| unreadable(path).because(&in_one_line(&error)))?;
    let mut settings = every_setting();
    for setting in &mut settings {
        let (section, key) = setting.key.split_once('.').expect("it was made with one");
        let says_something = |value: &&toml::Value| value.as_table().is_none_or(|table| !table.is_empty());
        if let Some(value) = table.get(section).and_then(|section| section.get(key)).filter(says_something) {
            (setting.value, setting.origin) = (value.clone(), Origin::File);
        }
        if let Ok(text) = std::env::var(&setting.variable) {
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

/// So many seconds, or a hundred years: a time so far away that the clock cannot show it is as good as that.
pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number.min(100 * 366 * 24 * 3600))
}

/// As [`seconds`], of so many milliseconds.
pub fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number).min(seconds(u64::MAX))
}

fn unreadable(path: &Path) -> Failure {
    Failure::new(Exit::NoHome, format!("the settings in {} cannot be read", path.display()))
        .hint("mend the file, or move it away to go on with the defaults")
}

/// Whether some variable may be a setting. Every recorder asks, so which settings there are is not looked at.
fn has_environment() -> bool {
    let none = |name: &[u8]| matches!(name, b"INDELIBLE_HOME" | b"INDELIBLE_LOG");
    let may_be = |name: &[u8]| name.starts_with(b"INDELIBLE_") && !none(name);
    std::env::vars_os().any(|(name, _)| may_be(name.as_encoded_bytes()))
}

/// What `text` means for a setting whose default is `default`: itself if that is text, a value as TOML spells it
/// otherwise. What is none stays text, which the setting will refuse.
pub fn value_like(default: &toml::Value, text: &str) -> toml::Value {
    let as_toml = || {
        let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
        table.remove("value").filter(|_| table.is_empty())
    };
    let value = if default.is_str() { None } else { as_toml() };
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn put(table: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        section.insert(key.to_owned(), value);
    }
}

/// Which home is meant: `--home`, then `INDELIBLE_HOME`, then the nearest folder above that is a home, then the
/// platform's data folder.
///
/// # Errors
/// Exit 78 if there is no data folder either, since nobody knows where the user's own folder is.
pub fn home(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("INDELIBLE_HOME").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    if let Ok(here) = std::env::current_dir()
        && let Some(home) = here.ancestors().find(|folder| is_home(folder))
    {
        return Ok(home.to_owned());
    }
    data_folder()
}

/// The platform's folder for a user's data, and ours in it.
///
/// # Errors
/// As [`home`].
pub fn data_folder() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Failure::new(Exit::NoHome, "there is no home to record into")
            .because(&error)
            .hint("name one with --home or INDELIBLE_HOME")
    })?;
    Ok(strategy.data_dir().join("indelible"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_homes_file_shows_every_setting_with_its_default() {
        let shown: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix("# ").filter(|rest| rest.contains(" = ")) {
                Some(setting) => format!("{setting}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let shown: toml::Table = toml::from_str(&shown).expect("the defaults are TOML");
        let all = toml::Table::try_from(Settings::default()).expect("settings are numbers and text");
        assert_eq!(shown, all);
    }

    #[test]
    fn values_are_read_as_their_setting_needs_them() {
        let (number, text, truth) =
            (toml::Value::Integer(1), toml::Value::String(String::new()), toml::Value::from(true));
        assert_eq!(value_like(&number, "20"), toml::Value::Integer(20));
        assert_eq!(value_like(&text, "20"), toml::Value::String("20".into()));
        assert_eq!(value_like(&truth, "false"), toml::Value::Boolean(false));
        for nonsense in ["", "soon", "1\nother = 2", "\"\"\""] {
            assert_eq!(value_like(&number, nonsense), toml::Value::String(nonsense.into()), "{nonsense}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_a_line() {
        let said = |text: &str| {
            let read = Settings::read(Path::new("config.toml"), text, &[]);
            read.expect_err("it makes no sense").causes.join("; ")
        };
        assert_eq!(said("[worker]\nage_ms = \"x\"\n"), "invalid type: string \"x\", expected u64, in `worker.age_ms`");
        let range = "invalid value: integer `9`, expected 1 to 5, in `hook.severity`";
        assert_eq!(said("[hook]\nseverity = 9\n"), range);
        let broken = said("[log]\n\n[worker\n");
        assert!(
            broken.starts_with("TOML parse error at line 3, column ") && broken.contains(", unclosed table"),
            "{broken}"
        );
        assert!(!broken.contains('\u{240a}'), "{broken}");
    }

    #[test]
    fn a_new_homes_file_says_nothing() {
        let read = |text: &str| Settings::read(Path::new("config.toml"), text, &[]).expect("it makes sense");
        let settings = format!("{:?}", Settings::default());
        assert_eq!(format!("{:?}", read(TEMPLATE)), settings, "as it is not parsed");
        assert_eq!(format!("{:?}", read(&format!("{TEMPLATE}\n"))), settings, "as it is parsed");
    }
}
