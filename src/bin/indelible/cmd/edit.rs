//! `edit`: a record in its owner's editor.
//!
//! The text lies in the private folder, `edits/<id>.md`, from before the editor opens until an amendment of it is durable, or nothing
//! was changed in it.
//!
//! | killed | on disk | what becomes of the text |
//! | --- | --- | --- |
//! | before the editor | the record's page in `edits/` | the next `edit` opens it |
//! | in the editor, or at a question | what was saved until then | the next `edit` goes on with it |
//! | between the amendment and the removal | the text, and the amendment | the next `edit` finds that nothing differs |

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use indelible::fs::{Dir, Durability};
use indelible::home::Home;
use indelible::model::layout::{EDITS, TEMPORARY};
use indelible::model::text::shell_path;
use indelible::model::{RecordId, limits};
use indelible::page;
use indelible::query::{Recorded, View, raw};
use indelible::revise::{self, Asked, Planned, Reviser};

use super::amend::{NOT_ALL, NOT_SEEN, say, say_kept_title, shown};
use super::revising::Target;
use super::unapplied::{self, note_left, unapplied};
use super::{Context, revising};
use crate::amend_args::EditArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::prompt::{self, Answer};
use crate::reading;

const WHAT: &str = "nothing was amended";

/// A record's page while it is edited.
struct Draft {
    dir: Dir,
    name: String,
}

impl Draft {
    /// The draft of an edit of `recorded`: one that was not finished, unless `discard` says to drop it.
    fn open(home: &Home, view: &View<'_>, recorded: &Recorded, discard: bool) -> Result<Draft, Failure> {
        let failed = |error: indelible::fs::Error| Failure::of(WHAT, &error);
        let dir = home.private().make_folder(EDITS).map_err(failed)?;
        let draft = Draft { dir, name: format!("{}.md", recorded.id) };
        if !discard && draft.dir.find(&draft.name).map_err(failed)?.is_some() {
            let place = shell_path(&draft.path());
            output::say(&format!("going on with an edit that was not finished ({place}; --discard drops it)"));
            return Ok(draft);
        }
        let file = raw(view, recorded).ok().filter(|bytes| {
            // Its owner's own lines stay in it.
            page::parse(bytes)
                .is_ok_and(|it| it.amended().map(|it| it.revision) == recorded.amended.as_ref().map(|it| it.revision))
        });
        let text = file.unwrap_or_else(|| recorded.page());
        let temporary = home.private_folder(TEMPORARY).map_err(|error| Failure::of(WHAT, &error))?;
        draft.dir.replace(&draft.name, &text, &temporary, Durability::Full).map_err(failed)?;
        Ok(draft)
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(&self.name)
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        let bytes = self.dir.content(&self.name, limits::FILE_BYTES_MAX as u64);
        let gone = || Failure::new(Exit::Io, WHAT).because(&std::io::Error::other("the editor removed the file"));
        bytes.map_err(|error| Failure::of(WHAT, &error))?.ok_or_else(gone)
    }

    /// Where the text is, in a hint.
    fn kept(&self, failure: Failure) -> Failure {
        failure.hint(format!("your text is kept in {}; `indelible edit` goes on with it", shell_path(&self.path())))
    }
}

pub fn run(context: &Context, args: &EditArgs) -> Result<Exit, Failure> {
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = revising::reviser(&home, &settings, args.redact)?;
    let (target, draft) = {
        let view = reading::view(context, &home)?;
        let target = revising::targets(&view, std::slice::from_ref(&args.id), WHAT)?.swap_remove(0);
        // It refuses what cannot be amended before anything is typed.
        let nothing = Asked::Fields(Vec::new());
        let planned = reviser.plan(&view, target.id, target.path.as_deref(), &nothing, None);
        let before = planned.map_err(|error| Failure::of(WHAT, &error))?.before;
        let before = before.ok_or_else(|| Failure::of(WHAT, &revise::Error::Unknown { id: target.id }))?;
        (target, Draft::open(&home, &view, &before, args.discard)?)
    };
    let Some(planned) = edited(context, &home, &reviser, &target, &draft, args)? else {
        output::say(&format!("nothing was amended; your text is kept in {}", shell_path(&draft.path())));
        return Ok(Exit::Done);
    };
    let planned = [planned];
    let applied = revising::keep(context, &home, &settings, &reviser, &planned, WHAT);
    let applied = applied.map_err(|failure| draft.kept(failure))?;
    let _ = draft.dir.remove(&draft.name);
    let unapplied = if applied { unapplied(&home, &planned, NOT_SEEN)? } else { Vec::new() };
    planned.iter().for_each(|it| say(context, it, false, applied, &unapplied));
    if !context.json {
        say_kept_title(&planned);
        note_left(&unapplied);
    }
    unapplied::check(&unapplied, NOT_ALL)
}

/// Runs the editor until its text can be taken, and its owner wants that; `None` if they do not.
fn edited(
    context: &Context,
    home: &Home,
    reviser: &Reviser<'_>,
    target: &Target,
    draft: &Draft,
    args: &EditArgs,
) -> Result<Option<Planned>, Failure> {
    let asks = prompt::is_possible(context.json);
    loop {
        open_editor(&draft.path(), WHAT).map_err(|failure| draft.kept(failure))?;
        let planned = plan(context, home, reviser, target.id, draft, args.because.as_deref());
        let (question, planned) = match planned {
            Ok(planned) if planned.op.is_none() => return Ok(Some(planned)),
            Ok(planned) if !asks || args.yes => return Ok(Some(planned)),
            Ok(planned) => {
                planned.changes.iter().for_each(|change| output::say(&format!("  {}", shown(change))));
                ("Amend it?", Some(planned))
            }
            Err(failure) if !asks => return Err(draft.kept(failure)),
            Err(failure) => {
                output::failure(&failure, false);
                ("Edit it again?", None)
            }
        };
        match (prompt::decide(question, planned.is_some()), planned) {
            (Answer::Yes, Some(planned)) => return Ok(Some(planned)),
            (Answer::Again, _) | (Answer::Yes, None) => {}
            (Answer::No, _) => return Ok(None),
        }
    }
}

fn plan(
    context: &Context,
    home: &Home,
    reviser: &Reviser<'_>,
    id: RecordId,
    draft: &Draft,
    because: Option<&str>,
) -> Result<Planned, Failure> {
    let bytes = draft.read()?;
    // What others did meanwhile counts.
    let view = reading::view(context, home)?;
    reviser.plan(&view, id, None, &Asked::Edited(bytes), because).map_err(|error| Failure::of(WHAT, &error))
}

/// Opens the file at `path` in the user's editor, and waits until that is closed.
///
/// # Errors
/// The failure to do `what`: there is no such editor, or it failed.
pub(super) fn open_editor(path: &Path, what: &str) -> Result<(), Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let editor = variable("VISUAL").or_else(|| variable("EDITOR"));
    let editor = editor.unwrap_or_else(|| if cfg!(windows) { "notepad" } else { "vi" }.into());
    let failed = |why: String| {
        let failure = Failure::new(Exit::Io, what).because(&std::io::Error::other(why));
        failure.hint("set VISUAL or EDITOR to an editor that waits, as `code --wait` does")
    };
    let status = command(&editor).arg(path).status();
    let status =
        status.map_err(|error| failed(format!("{} could not be started: {error}", editor.to_string_lossy())))?;
    status.success().then_some(()).ok_or_else(|| failed(format!("{} ended with {status}", editor.to_string_lossy())))
}

/// The user's editor, which may have arguments: a shell splits them, as it does for git.
fn command(editor: &OsString) -> Command {
    let mut command = Command::new(if cfg!(windows) { "cmd" } else { "sh" });
    if cfg!(windows) {
        command.arg("/C").arg(editor);
    } else {
        let mut script = editor.clone();
        script.push(" \"$@\"");
        command.arg("-c").arg(script).arg("sh");
    }
    command
}
