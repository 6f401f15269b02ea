//! Settings: flags over environment over files over defaults.
//!
//! Every setting is `section.key`. In a file it is `key` under `[section]`, in the environment `INDELIBLE_SECTION_KEY`, on the
//! command line `--set section.key=value`. There are two files:
//!
//! - The home's own. It came with the home, perhaps from somebody else, so it decides only what can do no harm: nothing in
//!   it names a program, starts something, decides who signs commits, what is logged and what hooks record, or weakens
//!   redaction ([`is_the_users`]). What it says of those is ignored, and named. Its numbers are held within bounds.
//! - The user's (`~/.config/indelible/config.toml`), for every home, and for one beneath `[home."<id>".section]`, over what
//!   that home says. Which id a home has there is what was noted when it was trusted, not what the home says now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indelible::fs::{Dir, Error as FsError, os};
use indelible::home::{Home, PRIVATE, identity, private_of};
use indelible::hook::{Filter, Rules};
use indelible::init::CONFIG;
use indelible::model::text;
use indelible::model::{FieldSpec, PROVENANCE, Provenance, Severity};
use indelible::own;
use indelible::record::Sources;
use indelible::redact::Redactor;
use indelible::target::history::HistoryOptions;
use indelible::trust::{Notes, Standing};
use indelible::{pipeline, worker};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::exit::{Exit, Failure};
use crate::user;

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
    /// This machine among others.
    pub sync: SyncSettings,
    /// The home that they are of, once it is known.
    #[serde(skip)]
    home: Option<PathBuf>,
}

/// `[record]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordSettings {
    pub index_wait_ms: u64,
    /// Which fields of [`PROVENANCE`] are kept.
    #[serde(deserialize_with = "provenance")]
    pub provenance: Vec<String>,
}

/// `[sync]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncSettings {
    /// The label of this machine.
    pub name: String,
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
    #[serde(deserialize_with = "program")]
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
    pub events: BTreeMap<String, Filter>,
    /// By tool, as the host spells it; `mcp__*` are all that begin so.
    pub tools: BTreeMap<String, Filter>,
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

/// A program that is the same one wherever it is started from: an absolute path, or a plain name, which is looked up on `PATH`.
fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let path = Path::new(&name);
    let is_plain = path.file_name().is_some_and(|file| file == path.as_os_str());
    match name.is_empty() || path.is_absolute() || is_plain {
        true => Ok(name),
        false => Err(D::Error::invalid_value(Unexpected::Str(&name), &"an absolute path or a plain name")),
    }
}

/// Names of fields that say where a record comes from.
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

/// Whether the setting `section.key` is the user's own to decide, in every home: what names a program, starts something,
/// signs commits, names this machine, has to do with logs, decides what hooks record or what records say of where they come
/// from, or could weaken redaction.
pub fn is_the_users(section: &str, key: &str) -> bool {
    match section {
        "history" | "log" | "redact" | "sync" => true,
        "record" => key == "provenance",
        "worker" => key == "autostart",
        "hook" => matches!(key, "record" | "events" | "tools" | "answers"),
        _ => false,
    }
}

/// Whether a home may say this much of a setting that is the user's: that more is redacted.
fn is_harmless(section: &str, key: &str, value: &toml::Value) -> bool {
    section == "redact" && (key == "patterns" || value.as_bool() == Some(true))
}

/// The largest numbers that a home's file can say.
const HOME_MAX: [(&str, &str, i64); 9] = [
    ("record", "index_wait_ms", 5_000),
    ("worker", "age_ms", 24 * 3600 * 1000),
    ("worker", "records_due", 100_000),
    ("worker", "records_max", 100_000),
    ("worker", "poll_s", 3600),
    ("worker", "stop_s", 600),
    ("worker", "index_wait_ms", 60_000),
    ("journal", "segment_bytes_max", 1 << 30),
    ("journal", "keep_s", 30 * 24 * 3600),
];

/// The largest number that a home's file can say of the setting `key`, if it is one of those.
pub fn home_max(key: &str) -> Option<i64> {
    HOME_MAX.iter().find(|(section, name, _)| key.split_once('.') == Some((*section, *name))).map(|(.., max)| *max)
}

impl Default for RecordSettings {
    fn default() -> Self {
        RecordSettings { index_wait_ms: 50, provenance: provenance_names().into_iter().map(str::to_owned).collect() }
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
        let (severity, answers) = (rules.severity.get(), rules.answers);
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
    /// The settings of `home`, with `overrides` from the command line (`section.key=value`).
    ///
    /// # Errors
    /// A setting that there is not, or a value that it cannot have: exit 78 for a file, 64 for a flag. A file that cannot be
    /// read at the moment: exit 74 or 75.
    pub fn of(home: &Home, overrides: &[String]) -> Result<Settings, Failure> {
        Settings::within(home.dir(), Some(home.private()), Some(home.id()), overrides)
    }

    /// The settings of the home in the folder `home`, whose private folder and id are `private` and `id`.
    fn within(home: &Dir, private: Option<&Dir>, id: Option<Uuid>, overrides: &[String]) -> Result<Settings, Failure> {
        let (text, ours) = (text_in(home, private)?, user_text()?);
        let id = || id_of(home, id);
        let ours = ours.as_ref().map(|(path, text)| Own { path, text, id: &id });
        // A recorder reads these every time, and most are as `init` made them: every setting a comment.
        let is_silent = says_nothing(&text);
        let path = if is_silent { PathBuf::new() } else { path_in(home, private) };
        let settings = Settings::read(&path, if is_silent { "" } else { &text }, ours, overrides)?;
        Ok(Settings { home: Some(home.path().to_owned()), ..settings })
    }

    /// The settings of the home at `home`, which need not be there yet.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn at(home: &Path, overrides: &[String]) -> Result<Settings, Failure> {
        let dir = match Dir::open(home) {
            Err(error) if error.is_not_found() => {
                let ours = user_text()?;
                let ours = ours.as_ref().map(|(path, text)| Own { path, text, id: &|| Ok(None) });
                return Settings::read(home, "", ours, overrides);
            }
            Err(error) => return Err(unreadable(home, &error)),
            Ok(dir) => dir,
        };
        let private = private_of(&dir).map_err(|error| unreadable(&path_in(&dir, None), &error))?;
        let id = private.as_ref().and_then(|private| identity(&dir, private).ok().flatten()).map(|it| it.id);
        Settings::within(&dir, private.as_ref(), id, overrides)
    }

    /// The settings that `text` says, the content of the home's file at `path`, with those of the user's own file (`ours`)
    /// and under those of the environment and `overrides`.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn read(path: &Path, text: &str, ours: Option<Own<'_>>, overrides: &[String]) -> Result<Settings, Failure> {
        let is_silent = says_nothing(text) && ours.as_ref().is_none_or(|ours| says_nothing(ours.text));
        if is_silent && overrides.is_empty() && !has_environment() {
            return Ok(Settings::default());
        }
        let layers = Layers::of(path, text, ours)?;
        let (table, _) = merged(&layers, true, overrides)?;
        let exit = if overrides.is_empty() { Exit::NoHome } else { Exit::Usage };
        let wrong = |error| Failure::new(exit, "a setting makes no sense").because(&in_one_line(&error));
        Settings::of_table(table).map_err(wrong)
    }

    /// The settings that the user's own file says, and nothing else.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn of_own(ours: Own<'_>) -> Result<Settings, Failure> {
        let layers = Layers::of(ours.path, "", Some(ours))?;
        let (table, _) = merged(&layers, false, &[])?;
        Settings::of_table(table).map_err(|error| mend(ours.path).because(&in_one_line(&error)))
    }

    /// The settings that `table` says, and the defaults for those that it does not.
    ///
    /// # Errors
    /// A setting that there is not, or a value that it cannot have.
    pub fn of_table(table: toml::Table) -> Result<Settings, toml::de::Error> {
        table.try_into()
    }

    /// Every setting of `home`, and where its value comes from.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn explained(home: &Home, overrides: &[String]) -> Result<Explained, Failure> {
        let _ = Settings::of(home, overrides)?;
        let ours = user_text()?;
        let id = || id_of(home.dir(), Some(home.id()));
        let ours = ours.as_ref().map(|(path, text)| Own { path, text, id: &id });
        let layers = Layers::of(&path_of(home), &text_of(home)?, ours)?;
        let (_, settings) = merged(&layers, true, overrides)?;
        Ok(Explained { settings, notices: layers.notices })
    }

    /// How batches are made.
    pub fn batch(&self) -> pipeline::Options {
        pipeline::Options {
            records_due: self.worker.records_due,
            records_max: self.worker.records_max,
            segment_bytes_max: self.journal.segment_bytes_max,
            keep: seconds(self.journal.keep_s),
            index_wait: milliseconds(self.worker.index_wait_ms),
            history: self.history(),
            ..pipeline::Options::default()
        }
    }

    /// The git program; `None` if it is not wanted, not there, or the home was not trusted by this user.
    fn git_program(&self) -> Option<PathBuf> {
        let program = Some(&self.history.git_program).filter(|program| !program.is_empty())?;
        let is_trusted = |home: &PathBuf| matches!(user::standing(home), Ok(Standing::Trusted | Standing::Moved(_)));
        self.home.as_ref().filter(|home| is_trusted(home)).and_then(|_| os::program(Path::new(program)))
    }

    /// How the history is kept.
    pub fn history(&self) -> HistoryOptions {
        HistoryOptions {
            author_name: self.history.author_name.clone(),
            author_email: self.history.author_email.clone(),
            packs_max: self.history.packs_max,
            pointer: self.history.pointer,
            git_program: self.git_program(),
            ..HistoryOptions::default()
        }
    }

    /// How provenance is completed and which of it is kept, in a process with the provenance `process`.
    pub fn sources(&self, process: Provenance, project_ids: Option<PathBuf>) -> Sources {
        let label = Some(self.sync.name.trim()).filter(|name| !name.is_empty());
        Sources { process, project_ids, host: label.map(str::to_owned), kept: self.record.provenance.clone() }
    }

    /// What hooks record.
    pub fn rules(&self) -> Rules {
        Rules {
            severity: Severity::new(self.hook.severity).unwrap_or(Severity::LOW),
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

    /// Why hooks cannot record anything with these settings.
    pub fn hook_trouble(&self) -> Option<String> {
        let failure = (self.hook.record && self.redact.hooks).then(|| self.redactor().err()).flatten()?;
        Some(format!("hooks record nothing: {}: {}", failure.what, failure.causes.join(": ")))
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

/// Every setting of a home, and what a person should know of them.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The settings.
    pub settings: Vec<Setting>,
    /// What is in the home's file and does not hold.
    pub notices: Vec<String>,
}

/// The user's own file.
#[derive(Clone, Copy)]
pub struct Own<'o> {
    /// Where it lies.
    pub path: &'o Path,
    /// What it says.
    pub text: &'o str,
    /// By which id it knows the home. Looked up only if it says something of single homes.
    pub id: &'o dyn Fn() -> Result<Option<Uuid>, Failure>,
}

/// What each file says, checked on its own, so that an error names the file.
#[derive(Default)]
struct Layers {
    user: toml::Table,
    home: toml::Table,
    user_home: toml::Table,
    notices: Vec<String>,
}

impl Layers {
    fn of(path: &Path, text: &str, ours: Option<Own<'_>>) -> Result<Layers, Failure> {
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

    /// Takes out of the home's settings what is not a home's to decide.
    fn confine(&mut self, path: &Path) {
        let mut ignored = Vec::new();
        for (section, keys) in &mut self.home {
            let Some(keys) = keys.as_table_mut() else { continue };
            keys.retain(|key, value| {
                let stays = !is_the_users(section, key) || is_harmless(section, key, value);
                let says_something = value.as_table().is_none_or(|table| !table.is_empty());
                if !stays && says_something {
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

    /// By origin, in the order in which each overrides those before it.
    fn all(&self) -> [(Origin, &toml::Table); 3] {
        [(Origin::User, &self.user), (Origin::File, &self.home), (Origin::UserHome, &self.user_home)]
    }

    /// Every pattern: the user's, and the home's beside them. A home adds patterns; none takes the place of another.
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
        let what = format!("a setting in {} makes no sense", text::path(path));
        Failure::new(Exit::NoHome, what).because(&in_one_line(&error))
    };
    if table.is_empty() { Ok(()) } else { Settings::of_table(table.clone()).map(drop).map_err(wrong) }
}

/// What the table `homes` of the user's own file says of the home that is meant.
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

/// By which id the user's own file knows the home at `home`, which says that its id is `id`.
///
/// # Errors
/// If the notes of trusted homes cannot be read.
pub fn id_of(home: &Dir, id: Option<Uuid>) -> Result<Option<Uuid>, Failure> {
    let Some(id) = id else { return Ok(None) };
    let what = "your own settings of single homes cannot be told apart";
    let notes = user::state_folder().map(|state| Notes::read(&state)).transpose();
    let notes = notes.map_err(|error| Failure::of(what, &error))?.unwrap_or_default();
    Ok(notes.id_of(home.path(), id))
}

/// Where the configuration file of `home` lies.
pub fn path_of(home: &Home) -> PathBuf {
    path_in(home.dir(), Some(home.private()))
}

fn path_in(home: &Dir, private: Option<&Dir>) -> PathBuf {
    private.map_or_else(|| home.path().join(PRIVATE), |private| private.path().to_owned()).join(CONFIG)
}

/// What the configuration file of `home` says; nothing where there is none.
///
/// # Errors
/// Exit 78 if it can never be read, 74 or 75 if it cannot at the moment.
pub fn text_of(home: &Home) -> Result<String, Failure> {
    text_in(home.dir(), Some(home.private()))
}

fn text_in(home: &Dir, private: Option<&Dir>) -> Result<String, Failure> {
    let text = private.map(|private| private.content(CONFIG, CONFIG_BYTES_MAX)).transpose();
    let text = text.map_err(|error| unreadable(&path_in(home, private), &error))?.flatten();
    String::from_utf8(text.unwrap_or_default()).map_err(|error| mend(&path_in(home, private)).because(&error))
}

/// Where the user's own configuration file lies, wherever links lead; `None` if the user's own folder is not known.
pub fn user_path() -> Option<PathBuf> {
    let path = user::config_folder()?.join(CONFIG);
    Some(os::real_path(&path).unwrap_or(path))
}

/// The user's own configuration file, and what it says; `None` where there is none. One that belongs to another user, as
/// root can come by with that user's environment, is not this user's.
///
/// # Errors
/// As [`text_of`]; exit 77 if others can change it.
pub fn user_text() -> Result<Option<(PathBuf, String)>, Failure> {
    let Some(path) = user::config_folder().map(|folder| folder.join(CONFIG)) else { return Ok(None) };
    let text = match own::read(&path) {
        Err(own::Error::Changeable { others: os::Others::Owner(_), .. }) => return Ok(None),
        Err(own::Error::Fs(error)) => return Err(unreadable(&path, &error)),
        Err(error) => return Err(Failure::of("your own settings are not used", &error)),
        Ok(text) => text,
    };
    let text = text.map(String::from_utf8).transpose().map_err(|error| mend(&path).because(&error))?;
    Ok(text.map(|text| (path, text)))
}

/// Whether settings that make no sense as a whole may still ask for secrets to be taken out of every record: the user's, or
/// those of the home at `home`. Rather too often than not at all: what is recorded stays for ever.
pub fn may_redact(home: &Home) -> bool {
    let asks = |line: &str| {
        let said = line.split('#').next().unwrap_or_default();
        said.contains("records") && said.contains("true")
    };
    let asks = |text: &str| text.lines().any(asks);
    std::env::var_os("INDELIBLE_REDACT_RECORDS").is_some()
        || text_of(home).is_ok_and(|text| asks(&text))
        || user_text().map_or(true, |ours| ours.is_some_and(|(_, text)| asks(&text)))
}

/// What is wrong with settings, without the picture of the line that it comes with.
fn in_one_line(error: &toml::de::Error) -> std::io::Error {
    let said = error.to_string();
    let is_picture = |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    std::io::Error::other(said.lines().filter(|line| !is_picture(line)).collect::<Vec<_>>().join(", "))
}

/// What the files say, overridden by the environment, if that is asked, and that by `overrides`; and every setting there is.
fn merged(layers: &Layers, environment: bool, overrides: &[String]) -> Result<(toml::Table, Vec<Setting>), Failure> {
    let mut table = toml::Table::new();
    let mut settings = every_setting();
    for setting in &mut settings {
        let (section, key) = setting.key.split_once('.').expect("it was made with one");
        let says_something = |value: &&toml::Value| value.as_table().is_none_or(|table| !table.is_empty());
        for (origin, file) in layers.all() {
            if let Some(value) = file.get(section).and_then(|section| section.get(key)).filter(says_something) {
                (setting.value, setting.origin) = (value.clone(), origin);
            }
        }
        if let Some(patterns) = layers.patterns().filter(|_| setting.key == "redact.patterns") {
            setting.value = patterns;
        }
        if environment && let Ok(text) = std::env::var(&setting.variable) {
            (setting.value, setting.origin) = (value_like(&setting.default, &text), Origin::Environment);
        }
        if setting.origin != Origin::Default {
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

/// A failure to understand the settings in the file at `path`.
fn mend(path: &Path) -> Failure {
    Failure::new(Exit::NoHome, format!("the settings in {} cannot be read", text::path(path)))
        .hint("mend the file, or move it away to go on with the defaults")
}

/// A failure to read the file at `path`. Unless it is not a file that could hold settings, nothing is wrong with what it
/// says: it only cannot be read at the moment.
fn unreadable(path: &Path, error: &FsError) -> Failure {
    use std::io::ErrorKind::{FileTooLarge, InvalidInput, IsADirectory};
    let source = match error {
        FsError::Io { source, .. } if !matches!(source.kind(), FileTooLarge | InvalidInput | IsADirectory) => source,
        _ => return mend(path).because(error),
    };
    let (exit, hint) = match os::is_shortage(source) {
        true => (Exit::TryAgain, "nothing was done; run the same command again"),
        false => (Exit::Io, "nothing was done; see to it that the file can be read, and run the same command again"),
    };
    Failure::new(exit, format!("the settings in {} cannot be read at the moment", text::path(path)))
        .because(error)
        .hint(hint)
}

/// Whether settings could only not be read at the moment.
pub fn is_passing(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::TryAgain | Exit::Io)
}

/// Whether a configuration file sets nothing: only comments and headings are in it.
fn says_nothing(text: &str) -> bool {
    let mut seen = [false; HEADINGS.len()];
    // A heading that comes twice is an error, which the parser names.
    let mut is_new =
        |line| HEADINGS.iter().position(|it| *it == line).is_some_and(|at| !std::mem::replace(&mut seen[at], true));
    text.lines().all(|line| line.is_empty() || line.starts_with('#') || is_new(line))
}

const HEADINGS: [&str; 10] = [
    "[record]",
    "[worker]",
    "[journal]",
    "[history]",
    "[log]",
    "[hook]",
    "[hook.events]",
    "[hook.tools]",
    "[redact]",
    "[redact.patterns]",
];

/// Whether some variable may be a setting. Every recorder asks, so which settings there are is not looked at.
fn has_environment() -> bool {
    let is_none = |name: &[u8]| {
        let is_field = |spec: &FieldSpec| spec.name.as_bytes().eq_ignore_ascii_case(name);
        matches!(name, b"HOME" | b"LOG" | b"TRUST") || PROVENANCE.iter().any(is_field)
    };
    let may_be = |name: &[u8]| name.strip_prefix(b"INDELIBLE_").is_some_and(|name| !is_none(name));
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
        let mut shown: toml::Table = toml::from_str(&shown).expect("the defaults are TOML");
        assert_eq!(shown.remove("redact"), Some(toml::from_str("patterns = {}").expect("it is a table")));
        let mut all = toml::Table::try_from(Settings::default()).expect("settings are numbers and text");
        for (section, keys) in &mut all {
            keys.as_table_mut().expect("it is one").retain(|key, _| !is_the_users(section, key));
        }
        all.retain(|_, keys| keys.as_table().is_some_and(|keys| !keys.is_empty()));
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
            let read = Settings::read(Path::new("config.toml"), text, None, &[]);
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
        let read = |text: &str| Settings::read(Path::new("config.toml"), text, None, &[]).expect("it makes sense");
        let settings = format!("{:?}", Settings::default());
        assert_eq!(format!("{:?}", read(TEMPLATE)), settings, "as it is not parsed");
        assert_eq!(format!("{:?}", read(&format!("{TEMPLATE}\n"))), settings, "as it is parsed");
    }
}
