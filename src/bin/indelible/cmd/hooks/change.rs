//! A change of a settings file of another program: shown, confirmed, and made in one step.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use indelible::model::text;
use indelible::redact::Redactor;
use serde_json::json;
use similar::TextDiff;

use super::file;
use crate::cmd::Context;
use crate::exit::{Exit, Failure};
use crate::output;

/// Whether a change is made, as the flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A person is asked.
    Asked,
    /// It is.
    Yes,
    /// It is not, only shown.
    DryRun,
}

impl Answer {
    /// What `--yes` and `--dry-run` say.
    pub fn of(yes: bool, dry_run: bool) -> Answer {
        match (yes, dry_run) {
            (_, true) => Answer::DryRun,
            (true, false) => Answer::Yes,
            (false, false) => Answer::Asked,
        }
    }
}

/// A change of a settings file.
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its text; `None` if it does not exist.
    pub before: Option<String>,
    /// `None` if it is removed.
    pub after: Option<String>,
    /// How many unchanged lines are shown around a changed one: they may hold another program's secrets.
    pub lines_around: usize,
}

impl Change {
    /// Reports that there is nothing to do, and `why`.
    pub fn idle(&self, context: &Context, why: &str) {
        match context.json {
            true => output::json(&self.told(false)),
            false => output::line(&format!("{} {why}", text::path(&self.path))),
        }
    }

    /// The change as JSON, and whether it was made.
    pub fn told(&self, changed: bool) -> serde_json::Value {
        json!({ "settings": self.path.display().to_string(), "changed": changed, "diff": self.diff() })
    }

    /// Shows the change, and asks whether to make it.
    ///
    /// # Errors
    /// Exit 64 if neither a flag nor a person can answer.
    pub fn agreed(&self, context: &Context, answer: Answer, what: &str) -> Result<bool, Failure> {
        if self.before == self.after {
            self.idle(context, "has them already: nothing to change");
            return Ok(false);
        }
        match context.json {
            true if answer == Answer::DryRun => output::json(&self.told(false)),
            true => {}
            false => output::line(self.diff().trim_end()),
        }
        match answer {
            Answer::DryRun => return Ok(false),
            Answer::Yes => return Ok(true),
            Answer::Asked => {}
        }
        if context.json || !io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, what)
                .because(&io::Error::other("there is no terminal to confirm the change"))
                .hint("--yes makes it without asking, --dry-run only shows it"));
        }
        output::question(&format!("change {}? [y/N] ", text::path(&self.path)));
        let mut answer = String::new();
        let _ = io::stdin().lock().read_line(&mut answer);
        let agreed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        if !agreed {
            output::line("nothing was changed");
        }
        Ok(agreed)
    }

    fn diff(&self) -> String {
        let (before, after) = (self.before.as_deref().unwrap_or(""), self.after.as_deref().unwrap_or(""));
        let path = text::path(&self.path);
        let name = |content: &Option<String>| if content.is_some() { path.clone() } else { "/dev/null".into() };
        let diff = TextDiff::from_lines(before, after);
        let mut diff = diff.unified_diff();
        diff.context_radius(self.lines_around);
        let text = diff.header(&name(&self.before), &name(&self.after)).to_string();
        // A changed line may be another program's, which got a comma.
        let text = match Redactor::new::<&str, &str>([]) {
            Ok(redactor) => redactor.text(&text).into_owned(),
            Err(_) => text,
        };
        indelible::model::text::visible(&text.replace("\r\n", "\n")).into_owned()
    }

    /// Makes the change, unless the settings have changed since they were read.
    ///
    /// # Errors
    /// Exit 75 if they have changed; exit 65 or 74 if they cannot be read or written.
    pub fn make(&self, what: &str) -> Result<(), Failure> {
        if read(&self.path, what)? != self.before {
            return Err(Failure::new(Exit::TryAgain, what)
                .because(&io::Error::other(format!("{} has changed meanwhile", text::path(&self.path))))
                .hint("run the same command again"));
        }
        let made = match &self.after {
            Some(after) => file::write(&self.path, after),
            None => file::remove(&self.path),
        };
        made.map_err(|error| unwritten(what, &self.path, &error))
    }
}

/// The text of the file at `path`; `None` if it does not exist.
///
/// # Errors
/// Exit 65 if it is not text, 74 if it cannot be read.
pub fn read(path: &Path, what: &str) -> Result<Option<String>, Failure> {
    file::read(path).map_err(|error| {
        let error = io::Error::new(error.kind(), format!("{}: {error}", text::path(path)));
        let exit = if error.kind() == io::ErrorKind::InvalidData { Exit::Input } else { Exit::Io };
        Failure::new(exit, what).because(&error).hint("nothing was changed")
    })
}

/// The failure to do `what` with the file at `path`, whose content is the reason.
pub fn refused(what: &str, path: &Path, error: &dyn std::error::Error) -> Failure {
    let error = io::Error::other(format!("{}: {error}", text::path(path)));
    Failure::new(Exit::Input, what)
        .because(&error)
        .hint("nothing was changed; fix the file and run the same command again")
}

/// The failure to do `what` with the file at `path`, which the system refused.
pub fn unwritten(what: &str, path: &Path, error: &io::Error) -> Failure {
    let error = io::Error::new(error.kind(), format!("{}: {error}", text::path(path)));
    Failure::new(Exit::Io, what).because(&error).hint("the settings are as they were")
}
