//! The sections of the settings, with their defaults and ranges.

use std::collections::BTreeMap;
use std::path::Path;

use indelible::hook::trail::Limits;
use indelible::hook::{Filter, Rules};
use indelible::model::PROVENANCE;
use indelible::record::{Keys, Rows};
use indelible::sync::import::What;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

/// The largest whole number in TOML.
const MAX: u64 = i64::MAX as u64;

/// `[record]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordSettings {
    /// Who inserts a record's row.
    pub row: Rows,
    pub index_wait_ms: u64,
    pub apply_wait_ms: u64,
    /// Which fields of [`PROVENANCE`] are kept.
    #[serde(deserialize_with = "provenance")]
    pub provenance: Vec<String>,
}

/// `[sync]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncSettings {
    /// The label of this machine.
    pub name: String,
    /// The address of the remote.
    pub remote: String,
    /// Whether the worker syncs by itself.
    pub auto: bool,
    /// The prefixes of lanes on the remote, in the order in which they are tried.
    #[serde(deserialize_with = "prefixes")]
    pub lanes: Vec<String>,
    /// The full name of the trunk's reference, or `auto`.
    #[serde(deserialize_with = "trunk")]
    pub trunk: String,
    pub push_age_s: u64,
    #[serde(deserialize_with = "within::<_, _, 10, MAX>")]
    pub fetch_s: u64,
    pub hold_secrets: bool,
    /// Whether this home merges lanes into the trunk.
    pub merge: bool,
    /// Which records of other homes are imported.
    pub import: What,
    /// Only records from this time on, or of the last days (`90d`); empty for all.
    #[serde(deserialize_with = "since")]
    pub import_since: String,
    /// Among whose records a key names one.
    pub keys: Keys,
    pub public: bool,
    /// Whether git signs the commits of the lane with the user's key.
    pub sign: bool,
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub timeout_s: u64,
    pub alert_s: u64,
}

/// The levels of the log.
pub const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The values of a setting that has few of them, beside `true` and `false`; empty for others.
pub fn choices(key: &str) -> &'static [&'static str] {
    match key {
        "log.level" => &LEVELS,
        "record.row" => &["auto", "recorder"],
        "sync.keys" => &["home", "group"],
        "sync.import" => &["all", "heuristics", "none"],
        _ => &[],
    }
}

/// What `sync.trunk` is if the trunk's name is to fit the remote.
pub const AUTO: &str = "auto";

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
    pub edits_s: u64,
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
    #[serde(deserialize_with = "program")]
    pub git_program: String,
    #[serde(deserialize_with = "within::<_, _, 2, MAX>")]
    pub packs_max: usize,
    pub pointer: bool,
    pub removals_max: usize,
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
    /// When agents are told something: names of [`Telling`], or [`AS_INSTALLED`].
    #[serde(deserialize_with = "tellings")]
    pub context: Vec<String>,
    /// How many calls a failure waits for its command to succeed; 0: none is waited for.
    #[serde(deserialize_with = "within::<_, _, 0, 500>")]
    pub fix_calls: usize,
    /// And how long.
    #[serde(deserialize_with = "within::<_, _, 0, 1440>")]
    pub fix_minutes: u64,
    /// By event, as the host spells it.
    pub events: BTreeMap<String, Filter>,
    /// By tool, as the host spells it; `mcp__*` are all with that prefix.
    pub tools: BTreeMap<String, Filter>,
}

/// `[mcp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McpSettings {
    #[serde(deserialize_with = "within::<_, _, 1, MAX>")]
    pub idle_s: u64,
}

/// `[redact]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactSettings {
    pub hooks: bool,
    pub records: bool,
    /// Regular expressions, by name.
    pub patterns: BTreeMap<String, String>,
}

/// The word for "when the installed hooks say so", in `hook.context`.
const AS_INSTALLED: &str = "installed";

/// When hooks tell agents something that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// When a session starts.
    Start,
    /// When something fails that failed before.
    Failure,
    /// When a person has asked for something.
    Prompt,
}

impl Telling {
    /// All of them.
    pub const ALL: [Telling; 3] = [Telling::Start, Telling::Failure, Telling::Prompt];
    /// Those of a new installation.
    pub const DEFAULT: [Telling; 2] = [Telling::Start, Telling::Failure];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Telling::Start => "start",
            Telling::Failure => "failure",
            Telling::Prompt => "prompt",
        }
    }
}

impl HookSettings {
    /// Whether agents are told something at `telling`. `installed` is what the installed hook was given, between commas.
    pub fn tells(&self, telling: Telling, installed: Option<&str>) -> bool {
        let is_installed = || installed.is_some_and(|names| names.split(',').any(|name| name.trim() == telling.name()));
        self.context.iter().any(|name| name == telling.name() || name == AS_INSTALLED && is_installed())
    }
}

/// Reads names of [`Telling`], or [`AS_INSTALLED`].
fn tellings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known: Vec<&str> = Telling::ALL.map(Telling::name).into_iter().chain([AS_INSTALLED]).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(names),
        Some(name) => Err(D::Error::invalid_value(Unexpected::Str(name), &known.join(", ").as_str())),
    }
}

/// Reads a number from `LEAST` to `MOST`.
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

/// Reads a program: an absolute path, or a plain name that is looked up on `PATH`. So it is the same in every folder.
fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let path = Path::new(&name);
    let is_plain = path.file_name().is_some_and(|file| file == path.as_os_str());
    match name.is_empty() || path.is_absolute() || is_plain {
        true => Ok(name),
        false => Err(D::Error::invalid_value(Unexpected::Str(&name), &"an absolute path or a plain name")),
    }
}

/// Reads names of fields of [`PROVENANCE`].
fn provenance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_one = |name: &String| PROVENANCE.iter().any(|spec| spec.name == *name);
    match names.iter().find(|name| !is_one(name)) {
        None => Ok(names),
        Some(name) => Err(D::Error::invalid_value(Unexpected::Str(name), &provenance_names().join(", ").as_str())),
    }
}

fn provenance_names() -> Vec<&'static str> {
    PROVENANCE.iter().map(|spec| spec.name).collect()
}

/// The time in `text`: a date, or a time as in RFC 3339.
pub fn time(text: &str) -> Option<Timestamp> {
    let of_date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    text.parse().ok().or_else(of_date)
}

/// How many days `text` says: `90d`.
pub fn days(text: &str) -> Option<u32> {
    text.strip_suffix('d')?.parse().ok().filter(|days| *days > 0)
}

/// Reads the full name of a reference, or `auto`.
fn trunk<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text == AUTO || indelible::sync::is_reference(&text) {
        true => Ok(text),
        false => Err(D::Error::invalid_value(Unexpected::Str(&text), &"\"auto\", or the full name of a reference")),
    }
}

/// Reads a time or a number of days, as text, or an empty text.
fn since<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.is_empty() || time(&text).is_some() || days(&text).is_some() {
        true => Ok(text),
        false => {
            Err(D::Error::invalid_value(Unexpected::Str(&text), &"a date, a time as in RFC 3339, or days as in 90d"))
        }
    }
}

/// Reads prefixes of references: `refs/` first, without what git allows in no name.
fn prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let prefixes = Vec::<String>::deserialize(deserializer)?;
    let is_one = |prefix: &&String| indelible::sync::is_prefix(prefix);
    match prefixes.iter().find(|prefix| !is_one(prefix)) {
        None if !prefixes.is_empty() => Ok(prefixes),
        None => Err(D::Error::invalid_length(0, &"at least one prefix")),
        Some(prefix) => {
            Err(D::Error::invalid_value(Unexpected::Str(prefix), &"the beginning of a reference's full name"))
        }
    }
}

impl Default for SyncSettings {
    fn default() -> Self {
        SyncSettings {
            name: String::new(),
            remote: String::new(),
            auto: true,
            lanes: indelible::sync::LANES.map(str::to_owned).to_vec(),
            trunk: AUTO.to_owned(),
            push_age_s: 30,
            fetch_s: 300,
            hold_secrets: true,
            merge: true,
            import: What::All,
            import_since: String::new(),
            keys: Keys::Home,
            public: false,
            sign: false,
            timeout_s: 60,
            alert_s: 24 * 3600,
        }
    }
}

impl Default for RecordSettings {
    fn default() -> Self {
        let provenance = provenance_names().into_iter().map(str::to_owned).collect();
        RecordSettings { row: Rows::Auto, index_wait_ms: 50, apply_wait_ms: 2000, provenance }
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
            edits_s: 60,
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
        HistorySettings {
            author_name,
            author_email,
            git_program: "git".into(),
            packs_max: 32,
            pointer: true,
            removals_max: 50,
        }
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
        let Limits { calls, time } = Limits::default();
        HookSettings {
            record: true,
            warn: true,
            severity: rules.severity.get(),
            answers: rules.answers,
            fix_calls: calls,
            fix_minutes: time.as_secs() / 60,
            context: vec![AS_INSTALLED.to_owned()],
            events: BTreeMap::new(),
            tools: BTreeMap::new(),
        }
    }
}

impl Default for McpSettings {
    fn default() -> Self {
        McpSettings { idle_s: 24 * 3600 }
    }
}

impl Default for RedactSettings {
    fn default() -> Self {
        RedactSettings { hooks: true, records: false, patterns: BTreeMap::new() }
    }
}
