//! Settings: flags over environment over `config.toml` over defaults.
//!
//! Every setting is `section.key`. In the configuration file it is `key` under `[section]`, in the environment
//! `INDELIBLE_SECTION_KEY`, on the command line `--set section.key=value`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use indelible::fs::Dir;
use indelible::home::{PRIVATE, is_home};
use indelible::init::CONFIG;
use indelible::store::history::HistoryOptions;
use indelible::{batch, worker};
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// The text of a new home's configuration file: every setting with its default, commented out.
pub const TEMPLATE: &str = include_str!("config.toml");

/// A larger configuration file is none.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
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
}

/// `[record]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordSettings {
    pub index_wait_ms: u64,
}

/// `[worker]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSettings {
    pub age_ms: u64,
    pub records_due: usize,
    pub records_max: usize,
    pub urgent_severity: u8,
    pub poll_s: u64,
    pub stop_s: u64,
    pub index_wait_ms: u64,
    pub autostart: bool,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    pub segment_bytes_max: u64,
    pub keep_s: u64,
}

/// `[history]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HistorySettings {
    pub author_name: String,
    pub author_email: String,
    pub git_program: String,
    pub packs_max: usize,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    pub level: String,
    pub files_max: usize,
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
        HistorySettings { author_name, author_email, git_program: "git".into(), packs_max: 32 }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { level: "info".into(), files_max: 7 }
    }
}

/// Every setting there is, for the environment.
const KEYS: [(&str, &str); 17] = [
    ("record", "index_wait_ms"),
    ("worker", "age_ms"),
    ("worker", "records_due"),
    ("worker", "records_max"),
    ("worker", "urgent_severity"),
    ("worker", "poll_s"),
    ("worker", "stop_s"),
    ("worker", "index_wait_ms"),
    ("worker", "autostart"),
    ("journal", "segment_bytes_max"),
    ("journal", "keep_s"),
    ("history", "author_name"),
    ("history", "author_email"),
    ("history", "git_program"),
    ("history", "packs_max"),
    ("log", "level"),
    ("log", "files_max"),
];

impl Settings {
    /// The settings of the home at `home`, with `overrides` from the command line (`section.key=value`).
    ///
    /// # Errors
    /// A setting that there is not, or a value that it cannot have: exit 78 for the file, 64 for a flag.
    pub fn of(home: &Dir, overrides: &[String]) -> Result<Settings, Failure> {
        let name = format!("{PRIVATE}/{CONFIG}");
        let path = home.path().join(&name);
        let text = home.content(&name, CONFIG_BYTES_MAX).map_err(|error| unreadable(&path).because(&error))?;
        let text = String::from_utf8(text.unwrap_or_default()).map_err(|error| unreadable(&path).because(&error))?;
        Settings::read(&path, &text, overrides)
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

    fn read(path: &Path, text: &str, overrides: &[String]) -> Result<Settings, Failure> {
        // A recorder reads this file every time, and most have nothing in them but comments.
        let says_nothing = text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'));
        if says_nothing && overrides.is_empty() && !has_environment() {
            return Ok(Settings::default());
        }
        let mut table: toml::Table = toml::from_str(text).map_err(|error| unreadable(path).because(&error))?;
        for (section, key) in KEYS {
            if let Ok(value) = std::env::var(variable(section, key)) {
                set(&mut table, section, key, &value);
            }
        }
        for text in overrides {
            let wrong = || Failure::new(Exit::Usage, format!("--set takes section.key=value, not {text:?}"));
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let (section, key) = name.split_once('.').ok_or_else(wrong)?;
            set(&mut table, section, key, value);
        }
        let exit = if overrides.is_empty() { Exit::NoHome } else { Exit::Usage };
        let wrong = |error: toml::de::Error| Failure::new(exit, "a setting makes no sense").because(&error);
        table.try_into().map_err(wrong)
    }

    /// How batches are made.
    pub fn batch(&self) -> batch::Options {
        batch::Options {
            records_due: self.worker.records_due.max(1),
            records_max: self.worker.records_max.max(1),
            segment_bytes_max: self.journal.segment_bytes_max.max(4096),
            keep: Duration::from_secs(self.journal.keep_s),
            index_wait: Duration::from_millis(self.worker.index_wait_ms),
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
            packs_max: self.history.packs_max.max(2),
            git_program: (!program.is_empty()).then(|| PathBuf::from(program)),
            ..HistoryOptions::default()
        }
    }

    /// How the worker works.
    pub fn worker(&self) -> worker::Options {
        worker::Options {
            batch: self.batch(),
            age_max: Duration::from_millis(self.worker.age_ms),
            urgent: self.worker.urgent_severity,
            poll: Duration::from_secs(self.worker.poll_s.max(1)),
            stop: Duration::from_secs(self.worker.stop_s),
            ..worker::Options::default()
        }
    }
}

fn unreadable(path: &Path) -> Failure {
    Failure::new(Exit::NoHome, format!("the settings in {} cannot be read", path.display()))
        .hint("mend the file, or move it away to go on with the defaults")
}

fn variable(section: &str, key: &str) -> String {
    format!("INDELIBLE_{}_{}", section.to_uppercase(), key.to_uppercase())
}

fn has_environment() -> bool {
    KEYS.iter().any(|(section, key)| std::env::var_os(variable(section, key)).is_some())
}

/// Numbers become numbers, `true` and `false` what they mean, everything else stays text.
fn set(table: &mut toml::Table, section: &str, key: &str, value: &str) {
    let value = match (value.parse(), value.parse()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(truth)) => toml::Value::Boolean(truth),
        _ => toml::Value::String(value.to_owned()),
    };
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
