//! `config edit`: a file of settings in its owner's editor.
//!
//! The text lies in the private folder, in `edits/`, from before the editor opens until the file is replaced, or nothing was changed.
//!
//! | killed | on disk | what becomes of the text |
//! | --- | --- | --- |
//! | in the editor, or at a question | the old file, and what was saved until then | the next `config edit` goes on with it |
//! | between the replacement and the removal | the new file, and the text | the next `config edit` finds that nothing differs |

use indelible::fs::{Dir, Durability};
use indelible::home::Home;
use indelible::model::layout::{CONFIG, EDITS, TEMPORARY};
use indelible::model::text::{self, shell_path};
use indelible::own;
use serde_json::json;

use super::{NOT_SET, NotSet, OWN_HEADING, OWN_WAIT, check_user, tell_worker, unknown_user, write_home};
use crate::cmd::Context;
use crate::cmd::edit::open_editor;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::prompt::{self, Answer};
use crate::settings::{self, Settings, TEMPLATE};

const BYTES_MAX: u64 = 1 << 20;

/// A file of settings while it is edited.
struct Draft<'h> {
    home: &'h Home,
    is_user: bool,
    dir: Dir,
    name: String,
    /// What the file says; `None` if there is none.
    before: Option<String>,
}

impl<'h> Draft<'h> {
    fn open(home: &'h Home, is_user: bool) -> Result<Draft<'h>, Failure> {
        let failed = |error: indelible::fs::Error| Failure::of(NOT_SET, &error);
        let before = current(home, is_user)?;
        let dir = home.private().make_folder(EDITS).map_err(failed)?;
        let name = if is_user { format!("user-{CONFIG}") } else { CONFIG.to_owned() };
        let draft = Draft { home, is_user, dir, name, before };
        if draft.dir.find(&draft.name).map_err(failed)?.is_some() {
            output::say(&format!("going on with an edit that was not finished ({})", draft.place()));
            return Ok(draft);
        }
        let text = draft.shown();
        let temporary = home.private_folder(TEMPORARY).map_err(|error| Failure::of(NOT_SET, &error))?;
        draft.dir.replace(&draft.name, text.as_bytes(), &temporary, Durability::Full).map_err(failed)?;
        Ok(draft)
    }

    /// What the editor shows where nothing was changed.
    fn shown(&self) -> &str {
        self.before.as_deref().unwrap_or(if self.is_user { OWN_HEADING } else { TEMPLATE })
    }

    fn place(&self) -> String {
        shell_path(&self.dir.path().join(&self.name))
    }

    fn kept(&self, failure: Failure) -> Failure {
        failure.hint(format!("your text is kept in {}; `indelible config edit` goes on with it", self.place()))
    }

    fn read(&self) -> Result<String, Failure> {
        let refused = |why: String| Failure::new(Exit::Input, NOT_SET).because(&std::io::Error::other(why));
        let bytes = self.dir.content(&self.name, BYTES_MAX).map_err(|error| Failure::of(NOT_SET, &error))?;
        let bytes = bytes.ok_or_else(|| refused("the editor removed the file".into()))?;
        String::from_utf8(bytes).map_err(|error| refused(error.to_string()))
    }

    /// Checks `text`, which is to be the file.
    fn check(&self, text: &str) -> Result<(), Failure> {
        let checked = match self.is_user {
            true => {
                let path = settings::user_path().ok_or_else(|| unknown_user(NOT_SET))?;
                let id = settings::id_of(self.home.dir(), Some(self.home.id()))?.unwrap_or(self.home.id());
                check_user(&path, text, id)
            }
            false => toml::from_str(text)
                .and_then(Settings::of_table)
                .map(drop)
                .map_err(|error| text::visible_line(&error.to_string().replace('\n', " ")).into_owned()),
        };
        checked.map_err(|why| Failure::new(Exit::Input, NOT_SET).because(&std::io::Error::other(why)))
    }

    /// Makes `text` the file, if that is as it was when the editor opened.
    fn take(&self, text: &str) -> Result<(), Failure> {
        let changed = || {
            let why = std::io::Error::other("the file was changed meanwhile");
            Failure::new(Exit::TryAgain, NOT_SET).because(&why)
        };
        if !self.is_user {
            return match current(self.home, false)? == self.before {
                true => write_home(self.home, text),
                false => Err(changed()),
            };
        }
        let path = settings::user_path().ok_or_else(|| unknown_user(NOT_SET))?;
        let (folder, name) = (path.parent().unwrap_or(&path), path.file_name().and_then(|it| it.to_str()));
        own::change(folder, name.unwrap_or(CONFIG), OWN_WAIT, |found| {
            match found.as_deref() == self.before.as_ref().map(String::as_bytes) {
                true => Ok((Some(text.as_bytes().to_vec()), ())),
                false => Err(NotSet(changed())),
            }
        })
        .map_err(|NotSet(failure)| failure)
    }
}

/// What the file says now; `None` if there is none, or nothing in it.
fn current(home: &Home, is_user: bool) -> Result<Option<String>, Failure> {
    match is_user {
        true => Ok(settings::user_text()?.map(|(_, text)| text)),
        false => Ok(Some(settings::text_of(home)?).filter(|text| !text.is_empty())),
    }
}

pub fn run(context: &Context, is_user: bool) -> Result<Exit, Failure> {
    let home = context.open(NOT_SET)?;
    if !is_user {
        context.name_home()?;
    }
    let draft = Draft::open(&home, is_user)?;
    let asks = prompt::is_possible(context.json);
    let text = loop {
        open_editor(&draft.dir.path().join(&draft.name), NOT_SET).map_err(|failure| draft.kept(failure))?;
        match draft.read().and_then(|text| draft.check(&text).map(|()| text)) {
            Ok(text) => break text,
            Err(failure) if !asks => return Err(draft.kept(failure)),
            Err(failure) => output::failure(&failure, false),
        }
        if prompt::decide("Edit it again?", false) == Answer::No {
            output::say(&format!("nothing was changed; your text is kept in {}", draft.place()));
            return Ok(Exit::Done);
        }
    };
    let is_changed = text != draft.shown();
    if is_changed {
        draft.take(&text).map_err(|failure| draft.kept(failure))?;
    }
    let _ = draft.dir.remove(&draft.name);
    let told = if is_changed { tell_worker(&home) } else { None };
    let file = if is_user { settings::user_path().unwrap_or_default() } else { settings::path_of(&home) };
    if context.json {
        output::json(&json!({ "file": file.display().to_string(), "changed": is_changed, "worker_told": told }));
    } else if is_changed {
        output::line(&format!("changed: {}", text::path(&file)));
    } else {
        output::line("nothing was changed");
    }
    if told == Some(false) {
        output::warn("the running worker did not say that it has read this; it does on SIGHUP, and when it is started");
    }
    Ok(Exit::Done)
}
