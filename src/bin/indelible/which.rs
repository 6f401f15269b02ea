//! Which home a command uses: `--home`, then `INDELIBLE_HOME`, then the nearest trusted home above the working folder, then
//! the default home in the user's data folder.
//!
//! A home above the working folder that is not trusted is skipped, even a broken one. It is never an error: the next one is
//! used.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use indelible::home::is_home;
use indelible::model::text;
use indelible::trust::{self, Reason, Standing};

use crate::exit::{Exit, Failure};
use crate::user;

/// The home that a command uses.
#[derive(Clone, Debug)]
pub struct Meant {
    /// Its path.
    pub path: PathBuf,
    /// What named it.
    pub by: By,
    /// Nearer homes that are not trusted, the nearest first.
    pub passed: Vec<(PathBuf, Reason)>,
    /// Its last path, if it was moved since then.
    pub moved_from: Option<PathBuf>,
}

/// What named the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `--home`.
    Flag,
    /// `INDELIBLE_HOME`.
    Variable,
    /// It is above the working folder.
    Found,
    /// Nothing: it is the default home.
    Default,
}

impl By {
    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            By::Flag => "named by --home",
            By::Variable => "named by INDELIBLE_HOME",
            By::Found => "the nearest above this folder",
            By::Default => "the default home",
        }
    }
}

/// The home that `--home` (`flag`) or `INDELIBLE_HOME` names, if either does.
///
/// # Errors
/// Exit 64 for `~name` in the variable.
pub fn named(flag: Option<&Path>) -> Result<Option<(PathBuf, By)>, Failure> {
    if let Some(path) = flag {
        return Ok(Some((path.to_owned(), By::Flag)));
    }
    let Some(variable) = std::env::var_os("INDELIBLE_HOME").filter(|path| !path.is_empty()) else { return Ok(None) };
    let wrong = |why| Failure::new(Exit::Usage, "INDELIBLE_HOME names no home").because(&std::io::Error::other(why));
    let path = user::expanded(variable.into()).map_err(|why: String| wrong(why))?;
    Ok(Some((path, By::Variable)))
}

/// The home that a command uses.
///
/// # Errors
/// Exit 78 if it would be the default home, and the user's own folder is not known; the hint names skipped homes. Exit 74 or
/// 75 if a home was found, and the notes of trusted homes cannot be read right now.
pub fn meant(flag: Option<&Path>) -> Result<Meant, Failure> {
    if let Some((path, by)) = named(flag)? {
        return Ok(Meant { path, by, passed: Vec::new(), moved_from: None });
    }
    let found = found()?;
    if let Some((path, by, moved_from)) = found.home {
        return Ok(Meant { path, by, passed: found.passed, moved_from });
    }
    match data_folder() {
        Ok(path) => Ok(Meant { path, by: By::Default, passed: found.passed, moved_from: None }),
        Err(failure) => Err(match found.passed.first() {
            Some((path, reason)) => failure.hint(passed_by(path, reason)),
            None => failure,
        }),
    }
}

struct Found {
    home: Option<(PathBuf, By, Option<PathBuf>)>,
    passed: Vec<(PathBuf, Reason)>,
}

/// The nearest trusted home above the working folder, and the homes skipped on the way.
///
/// # Errors
/// If a home may be trusted, and the notes of trusted homes cannot be read right now.
fn found() -> Result<Found, Failure> {
    let mut found = Found { home: None, passed: Vec::new() };
    let Ok(here) = std::env::current_dir() else { return Ok(found) };
    let state = user::state_folder();
    for folder in here.ancestors().filter(|folder| is_home(folder)) {
        if user::is_default(folder) {
            found.home = Some((folder.to_owned(), By::Default, None));
            return Ok(found);
        }
        let unknown = |error| {
            let what = format!("cannot determine whether you trust the home at {}", text::path(folder));
            Failure::of(&what, &error).hint("nothing was done; run the same command again")
        };
        match user::standing(folder).map_err(unknown)? {
            Standing::Passed(reason) => found.passed.push((folder.to_owned(), reason)),
            Standing::Trusted => {
                found.home = Some((folder.to_owned(), By::Found, None));
                return Ok(found);
            }
            Standing::Moved(from) => {
                if let Some(state) = &state {
                    let _ = trust::note_move(state, folder);
                }
                found.home = Some((folder.to_owned(), By::Found, Some(from)));
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The nearest home above the working folder, trusted or not.
pub fn nearest() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().find(|folder| is_home(folder)).map(Path::to_owned)
}

/// The message for a skipped home at `path`.
pub fn passed_by(path: &Path, reason: &Reason) -> String {
    let begin = format!("passed by the home at {}", text::path(path));
    let trust = format!("indelible trust {}", text::shell_path(path));
    match reason {
        Reason::NotTrusted => format!("{begin}: you have not trusted it here; {trust}"),
        Reason::CopyOf(other) => {
            format!(
                "{begin}: you have not trusted it here, and it is a copy of the one at {}; {trust}",
                text::path(other)
            )
        }
        Reason::Changeable { path, others } => {
            format!(
                "{begin}: it cannot be trusted, since {} could be changed by another user: {others}",
                text::path(path)
            )
        }
    }
}

/// The report about the skipped home at `path`, if `records` were made within it.
pub fn told_of_passed(path: &Path, records: u64) -> String {
    let records = text::counted(records, "record", "records");
    let (shown, pasted) = (text::path(path), text::shell_path(path));
    format!("{records} came from within {shown}, a home that you have not trusted: indelible trust {pasted}")
}

/// Indelible's folder in the platform's folder for a user's data.
///
/// # Errors
/// Exit 78 if the user's own folder is not known.
pub fn data_folder() -> Result<PathBuf, Failure> {
    let none = || Failure::new(Exit::NoHome, "there is no home to record into");
    if let Err(error) = etcetera::choose_base_strategy().map(|strategy| strategy.data_dir()) {
        return Err(none().because(&error).hint("name one with --home or INDELIBLE_HOME"));
    }
    let why = std::io::Error::other("HOME is not an absolute path");
    user::data_folder().ok_or_else(|| none().because(&why).hint("name one with --home or INDELIBLE_HOME"))
}
