//! Settings: flags over environment over files over defaults.
//!
//! Every setting is `section.key`. In a file it is `key` under `[section]`, in the environment `INDELIBLE_SECTION_KEY`, on the
//! command line `--set section.key=value`. There are two files:
//!
//! - The home's file. It may come from another user, so it decides only what is harmless: it cannot name a program, start
//!   something, decide who signs commits, what is logged or what hooks record, or weaken redaction ([`is_the_users`]). Such
//!   settings are ignored, with a notice. Its numbers have an upper limit.
//! - The user's file (`~/.config/indelible/config.toml`), for every home. Its table `[home."<id>".section]` is for one home
//!   and overrides that home's file. The id is the one noted when the home was trusted, not the one that it has now.

mod file;
mod layers;
mod limits;
mod options;
mod sections;

use std::path::{Path, PathBuf};

use indelible::fs::Dir;
use indelible::home::{Home, identity, private_of};
use indelible::model::HomeId;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

use file::{has_environment, mend, path_in, says_nothing, text_in, unreadable};
pub use file::{id_of, is_passing, may_redact, path_of, text_of, user_path, user_text};
use layers::{Layers, in_one_line, merged, wrong_one};
pub use layers::{Origin, Own, Setting, every_setting, value_like};
pub use limits::{home_max, is_the_users};
pub use options::{milliseconds, seconds};
pub use sections::{
    HistorySettings, HookSettings, JournalSettings, LogSettings, McpSettings, RecordSettings, RedactSettings,
    SyncSettings, Telling, WorkerSettings,
};
pub use sections::{LEVELS, choices};

/// The text of a new home's configuration file: every setting with its default, commented out.
pub const TEMPLATE: &str = include_str!("../config.toml");

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
    /// The server for agents that ask.
    pub mcp: McpSettings,
    /// Secrets.
    pub redact: RedactSettings,
    /// This machine among others.
    pub sync: SyncSettings,
    /// The home with these settings, if it is known.
    #[serde(skip)]
    home: Option<PathBuf>,
}

impl Settings {
    /// The settings of `home`, with `overrides` from the command line (`section.key=value`).
    ///
    /// # Errors
    /// An unknown setting or an invalid value: exit 78 in a file, 64 in a flag. A file that cannot be read right now: exit 74
    /// or 75.
    pub fn of(home: &Home, overrides: &[String]) -> Result<Settings, Failure> {
        Settings::within(home.dir(), Some(home.private()), Some(home.id()), overrides)
    }

    /// The settings of the home in the folder `home`, whose private folder and id are `private` and `id`.
    fn within(
        home: &Dir,
        private: Option<&Dir>,
        id: Option<HomeId>,
        overrides: &[String],
    ) -> Result<Settings, Failure> {
        let (text, ours) = (text_in(home, private)?, user_text()?);
        let id = || id_of(home, id);
        let ours = ours.as_ref().map(|(path, text)| Own { path, text, id: &id });
        // A recorder reads these every time, and most are as `init` made them: every setting a comment.
        let is_silent = says_nothing(&text);
        let path = if is_silent { PathBuf::new() } else { path_in(home, private) };
        let settings = Settings::read(&path, if is_silent { "" } else { &text }, ours, overrides)?;
        Ok(Settings { home: Some(home.path().to_owned()), ..settings })
    }

    /// The settings of the home at `home`, which may not exist yet.
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

    /// The settings of `text`, the content of the home's file at `path`, with those of the user's file (`ours`), overridden by
    /// the environment and `overrides`.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn read(path: &Path, text: &str, ours: Option<Own<'_>>, overrides: &[String]) -> Result<Settings, Failure> {
        let is_silent = says_nothing(text) && ours.as_ref().is_none_or(|ours| says_nothing(ours.text));
        if is_silent && overrides.is_empty() && !has_environment() {
            return Ok(Settings::default());
        }
        let layers = Layers::of(path, text, ours)?;
        // Without variables and flags, the files are all there is: then the settings are not listed.
        let (table, listed) = match overrides.is_empty() && !has_environment() {
            true => (layers.table(), Vec::new()),
            false => merged(&layers, true, overrides)?,
        };
        let exit = if overrides.is_empty() { Exit::NoHome } else { Exit::Usage };
        let wrong = |error| {
            let by = wrong_one(&listed).map_or_else(String::new, |by| format!(", by {by}"));
            Failure::new(exit, format!("invalid setting{by}")).because(&in_one_line(&error))
        };
        Settings::of_table(table).map_err(wrong)
    }

    /// The settings of the user's file alone.
    ///
    /// # Errors
    /// As [`Settings::of`].
    pub fn of_own(ours: Own<'_>) -> Result<Settings, Failure> {
        let layers = Layers::of(ours.path, "", Some(ours))?;
        Settings::of_table(layers.table()).map_err(|error| mend(ours.path).because(&in_one_line(&error)))
    }

    /// The settings of `table`, and the defaults for the rest.
    ///
    /// # Errors
    /// An unknown setting, or an invalid value.
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
}

/// Every setting of a home, with notices for people.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The settings.
    pub settings: Vec<Setting>,
    /// Settings of the home's file that are ignored or limited.
    pub notices: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_for_a_setting_is_taken() {
        for key in ["log.level", "record.row", "sync.keys", "sync.import"] {
            assert!(choices(key).len() > 1, "{key}");
            let (section, name) = key.split_once('.').expect("it has both");
            for choice in choices(key) {
                let table = toml::from_str(&format!("[{section}]\n{name} = \"{choice}\"")).expect("it is TOML");
                let _ = Settings::of_table(table).expect("it is a value of the setting");
            }
        }
    }

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
            read.expect_err("it is invalid").causes.join("; ")
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
        let read = |text: &str| Settings::read(Path::new("config.toml"), text, None, &[]).expect("it is valid");
        let settings = format!("{:?}", Settings::default());
        assert!(says_nothing(TEMPLATE), "each recorder and each hook would parse it");
        assert_eq!(format!("{:?}", read(TEMPLATE)), settings, "as it is not parsed");
        assert_eq!(format!("{:?}", read(&format!("{TEMPLATE} \n"))), settings, "as it is parsed");
    }

    #[test]
    fn every_section_is_a_heading() {
        let all = toml::Table::try_from(Settings::default()).expect("settings are numbers and text");
        for (section, keys) in &all {
            assert!(file::HEADINGS.contains(&format!("[{section}]").as_str()), "[{section}]");
            for (key, _) in keys.as_table().into_iter().flatten().filter(|(_, value)| value.is_table()) {
                assert!(file::HEADINGS.contains(&format!("[{section}.{key}]").as_str()), "[{section}.{key}]");
            }
        }
    }
}
