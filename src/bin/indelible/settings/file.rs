//! The two files that settings come from: where they lie, how they are read, and what to say if they cannot be.

use std::path::{Path, PathBuf};

use indelible::fs::{Dir, Error as FsError, os};
use indelible::home::Home;
use indelible::model::HomeId;
use indelible::model::layout::{CONFIG, PRIVATE};
use indelible::model::text;
use indelible::model::{FieldSpec, PROVENANCE};
use indelible::own;
use indelible::trust::Notes;

use super::TEMPLATE;
use crate::exit::{Exit, Failure};
use crate::user;

/// The largest configuration file, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The id by which the user's own file knows the home at `home`, whose own file says `id`.
///
/// # Errors
/// If the notes of trusted homes cannot be read.
pub fn id_of(home: &Dir, id: Option<HomeId>) -> Result<Option<HomeId>, Failure> {
    let Some(id) = id else { return Ok(None) };
    let what = "cannot determine which of your own settings are for this home";
    let notes = user::state_folder().map(|state| Notes::read(&state)).transpose();
    let notes = notes.map_err(|error| Failure::of(what, &error))?.unwrap_or_default();
    Ok(notes.id_of(home.path(), id))
}

/// The path of the configuration file of `home`.
pub fn path_of(home: &Home) -> PathBuf {
    path_in(home.dir(), Some(home.private()))
}

pub(super) fn path_in(home: &Dir, private: Option<&Dir>) -> PathBuf {
    private.map_or_else(|| home.path().join(PRIVATE), |private| private.path().to_owned()).join(CONFIG)
}

/// The text of the configuration file of `home`; empty if there is no file.
///
/// # Errors
/// Exit 78 if the file is invalid, 74 or 75 if it cannot be read right now.
pub fn text_of(home: &Home) -> Result<String, Failure> {
    text_in(home.dir(), Some(home.private()))
}

pub(super) fn text_in(home: &Dir, private: Option<&Dir>) -> Result<String, Failure> {
    let text = private.map(|private| private.content(CONFIG, CONFIG_BYTES_MAX)).transpose();
    let text = text.map_err(|error| unreadable(&path_in(home, private), &error))?.flatten();
    String::from_utf8(text.unwrap_or_default()).map_err(|error| mend(&path_in(home, private)).because(&error))
}

/// The path of the user's own configuration file, with links resolved; `None` if the user's own folder is not known.
pub fn user_path() -> Option<PathBuf> {
    let path = user::config_folder()?.join(CONFIG);
    Some(os::real_path(&path).unwrap_or(path))
}

/// The path and the text of the user's own configuration file; `None` if there is no file. A file that belongs to another
/// user is ignored: root may run with another user's environment.
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

/// Whether invalid settings, the user's or those of `home`, may ask for redaction of every record. If in doubt, yes: what is
/// recorded stays for ever.
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

/// A failure to parse the settings in the file at `path`.
pub(super) fn mend(path: &Path) -> Failure {
    Failure::new(Exit::NoHome, format!("the settings in {} cannot be read", text::path(path)))
        .hint("fix the file, or move it away to use the defaults")
}

/// A failure to read the file at `path`. Unless it is a folder or too large, its content may be valid, and it only cannot be
/// read right now.
pub(super) fn unreadable(path: &Path, error: &FsError) -> Failure {
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

/// Whether `failure` says that settings cannot be read right now, not that they are invalid.
pub fn is_passing(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::TryAgain | Exit::Io)
}

/// Whether a configuration file sets nothing: it has only comments and headings, as the one that `init` writes.
pub(super) fn says_nothing(text: &str) -> bool {
    if text == TEMPLATE {
        return true;
    }
    let mut seen = [false; HEADINGS.len()];
    // A heading that occurs twice is an error, and the parser names it.
    let mut is_new =
        |line| HEADINGS.iter().position(|it| *it == line).is_some_and(|at| !std::mem::replace(&mut seen[at], true));
    text.lines().all(|line| line.is_empty() || line.starts_with('#') || is_new(line))
}

/// The headings that a file can have: of each section, and of the tables in a section.
pub(super) const HEADINGS: [&str; 12] = [
    "[record]",
    "[worker]",
    "[journal]",
    "[history]",
    "[log]",
    "[hook]",
    "[hook.events]",
    "[hook.tools]",
    "[mcp]",
    "[redact]",
    "[redact.patterns]",
    "[sync]",
];

/// What the names of this program's variables begin with.
const VARIABLES: &str = "INDELIBLE_";

/// Whether some variable may be a setting. Every recorder asks, so this does not list the settings.
pub(super) fn has_environment() -> bool {
    let is_none = |name: &[u8]| {
        let is_field = |spec: &FieldSpec| spec.name.as_bytes().eq_ignore_ascii_case(name);
        matches!(name, b"HOME" | b"LOG" | b"REMOTE" | b"TRUST") || PROVENANCE.iter().any(is_field)
    };
    let may_be = |name: &[u8]| name.strip_prefix(VARIABLES.as_bytes()).is_some_and(|name| !is_none(name));
    os::has_variable(VARIABLES) && std::env::vars_os().any(|(name, _)| may_be(name.as_encoded_bytes()))
}
