//! `amend`: new texts for fields of records.

use std::cell::RefCell;
use std::ffi::OsString;

use indelible::home::Home;
use indelible::model::{Field, FieldSpec, Invalid, RecordId, RecordPath, body_of, limits};
use indelible::page::{self, FieldChange};
use indelible::query::View;
use indelible::revise::{self, Asked, Planned, Reviser};
use serde_json::json;

use super::revising::Target;
use super::unapplied::{self, Unapplied, note_left, unapplied};
use super::{Context, record, revising};
use crate::amend_args::{AmendArgs, NewTexts};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading;
use crate::reading::screen::line_of;

const WHAT: &str = "nothing was amended";
/// The failures of what comes after an amendment is durable.
pub const NOT_SEEN: &str = "the amendment is kept, and what became of it could not be looked at";
pub const NOT_ALL: &str = "not every record is amended";
/// The fields that paths and messages are named after.
const TITLES: [&str; 3] = ["title", "rule", "name"];
/// How much of a text is shown, in characters.
const SHOWN_CHARS_MAX: usize = 100;

pub fn run(context: &Context, args: AmendArgs) -> Result<Exit, Failure> {
    let AmendArgs { ids, because, from_files, dry_run, redact, fields } = args;
    let fields = texts(fields)?;
    if from_files && !fields.is_empty() {
        let why = std::io::Error::other("with --from-files the new texts are those of the files");
        return Err(Failure::new(Exit::Usage, WHAT).because(&why));
    }
    if fields.is_empty() && !from_files {
        let why = std::io::Error::other("no field was given a new text");
        let hint = "give the fields that change, as with --title";
        return Err(Failure::new(Exit::Usage, WHAT).because(&why).hint(hint));
    }
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = revising::reviser(&home, &settings, redact)?;
    let (planned, left, unclean) = {
        let view = reading::view(context, &home)?;
        let unclean = RefCell::default();
        let files =
            FromFiles { home: &home, view: &view, reviser: &reviser, because: because.as_deref(), unclean: &unclean };
        let (planned, left) = match (from_files, ids.is_empty()) {
            (true, true) => files.of_all()?,
            (true, false) => (files.of(&revising::targets(&view, &ids, WHAT)?)?, Vec::new()),
            (false, _) => {
                let targets = revising::targets(&view, &ids, WHAT)?;
                let asked = Asked::Fields(fields);
                (revising::plan(&reviser, &view, &targets, &asked, because.as_deref(), WHAT)?, Vec::new())
            }
        };
        (planned, left, unclean.into_inner())
    };
    let applied = match dry_run {
        true => false,
        false => {
            unclean.iter().try_for_each(|file| clean(&reviser, file))?;
            revising::keep(context, &home, &settings, &reviser, &planned, WHAT)?
        }
    };
    let unapplied = if applied { unapplied(&home, &planned, NOT_SEEN)? } else { Vec::new() };
    planned.iter().for_each(|it| say(context, it, dry_run, applied, &unapplied));
    if !context.json {
        say_kept_title(&planned);
        note_left(&unapplied);
    }
    unapplied::check(&unapplied, NOT_ALL)?;
    if from_files && planned.is_empty() && left.is_empty() && !context.json {
        output::line("no file was edited");
    }
    match left.is_empty() {
        true => Ok(Exit::Done),
        false => Err(Failure { causes: left, ..Failure::new(Exit::Input, "some files were left as they are") }),
    }
}

/// Amendments by what was edited in files.
struct FromFiles<'a> {
    home: &'a Home,
    view: &'a View<'a>,
    reviser: &'a Reviser<'a>,
    because: Option<&'a str>,
    /// The files that have secrets to replace.
    unclean: &'a RefCell<Vec<Unclean>>,
}

/// A file that was edited, and has secrets.
struct Unclean {
    path: String,
    seen: Vec<u8>,
    cleaned: Vec<u8>,
}

/// Replaces the secrets in an edited file: the amendment will not have them, and without this the file would.
fn clean(reviser: &Reviser<'_>, Unclean { path, seen, cleaned }: &Unclean) -> Result<(), Failure> {
    match reviser.clean(path, seen, cleaned) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let why = std::io::Error::other(format!("{} was changed meanwhile", line_of(path)));
            Err(Failure::new(Exit::TryAgain, WHAT).because(&why).hint("run the same command again"))
        }
        Err(error) => Err(Failure::new(Exit::Io, WHAT).because(&error)),
    }
}

impl FromFiles<'_> {
    /// Plans the edits in the files of `targets`, or fails if one of them cannot be taken.
    fn of(&self, targets: &[Target]) -> Result<Vec<Planned>, Failure> {
        let mut planned = Vec::new();
        let mut refused: Option<Failure> = None;
        for target in targets {
            match (self.of_one(target), &mut refused) {
                (Ok(it), _) => planned.push(it),
                (Err(failure), Some(refused)) => refused.causes.extend(failure.causes),
                (Err(failure), none) => *none = Some(failure),
            }
        }
        refused.map_or(Ok(planned), Err)
    }

    fn of_one(&self, Target { id, path }: &Target) -> Result<Planned, Failure> {
        let refused = |why: String| Failure::new(Exit::Input, WHAT).because(&std::io::Error::other(why));
        let own = self.view.get(*id, path.as_deref()).map_err(reading::failed(WHAT))?.visible();
        let own = own.map(|it| RecordPath(&it.path).page().into_owned()).or_else(|| path.clone());
        let own = own.ok_or_else(|| Failure::of(WHAT, &revise::Error::Unknown { id: *id }))?;
        let named = path.as_ref().filter(|path| **path != own);
        let place = match named {
            // Its owner moved it there.
            Some(named) if !self.is_there(&own) => named,
            Some(copy) => {
                return Err(refused(format!("{} is a copy: the file of {id} is {}", line_of(copy), line_of(&own))));
            }
            None => &own,
        };
        let bytes = self.home.dir().content(place, limits::FILE_BYTES_MAX as u64);
        let bytes = bytes.map_err(|error| Failure::new(Exit::Input, WHAT).because(&error))?;
        let bytes = bytes.ok_or_else(|| {
            refused(format!("{} is not there; if you moved it, name the file by its path", line_of(place)))
        })?;
        self.plan(*id, place, bytes)
    }

    /// Whether something is at `path`.
    fn is_there(&self, path: &str) -> bool {
        !matches!(self.home.dir().find(path), Ok(None))
    }

    fn plan(&self, id: RecordId, path: &str, bytes: Vec<u8>) -> Result<Planned, Failure> {
        let cleaned = self.reviser.cleaned(&bytes);
        let asked = Asked::Edited(cleaned.clone().unwrap_or_else(|| bytes.clone()));
        let planned = self.reviser.plan(self.view, id, Some(path), &asked, self.because);
        let planned = planned.map_err(|error| Failure::of(WHAT, &error))?;
        if let Some(cleaned) = cleaned.filter(|_| planned.op.is_some()) {
            self.unclean.borrow_mut().push(Unclean { path: path.to_owned(), seen: bytes, cleaned });
        }
        Ok(planned)
    }

    /// Plans the edits in the files of all records. Also returns why others cannot be taken.
    fn of_all(&self) -> Result<(Vec<Planned>, Vec<String>), Failure> {
        let (mut planned, mut left): (Vec<Planned>, Vec<String>) = (Vec::new(), Vec::new());
        let mut failed = None;
        self.view.for_each_file(|path, bytes| {
            let Some(id) = bytes.and_then(page::id_of) else { return };
            let recorded = match self.view.get(id, Some(path)) {
                Ok(seen) => seen.visible(),
                Err(error) => return failed = Some(reading::failed(WHAT)(error)),
            };
            let Some(recorded) = recorded.filter(|it| RecordPath(&it.path).page() == path) else { return };
            let bytes = bytes.unwrap_or_default();
            if bytes == self.view.as_kept(recorded).page() {
                return;
            }
            match self.plan(id, path, bytes.to_vec()) {
                Ok(it) if it.op.is_some() => planned.push(it),
                Ok(_) => {}
                Err(failure) => left.push(format!("{}: {}", line_of(path), failure.causes.join(": "))),
            }
        });
        failed.map_or(Ok((planned, left)), Err)
    }
}

/// The new texts that the flags give. `-` stands for stdin in the field that is the body of a record's page.
fn texts(NewTexts(given): NewTexts) -> Result<Vec<(Field, String)>, Failure> {
    let is_body = |spec: &FieldSpec| spec.kinds.iter().any(|kind| body_of(*kind) == Some(spec.field));
    let text = |(field, value): (Field, OsString)| {
        let spec = FieldSpec::of(field);
        let text = match value == "-" && is_body(spec) {
            true => record::stdin(spec.name).map_err(|record::Refused(failure)| failure),
            false => value.into_string().map_err(|_| {
                Failure::new(Exit::Input, WHAT).because(&Invalid::new(spec.name, "must be UTF-8, and is not"))
            }),
        };
        let text = text.map_err(|failure| Failure { what: WHAT.to_owned(), ..failure })?;
        Ok((field, text))
    };
    given.into_iter().map(text).collect()
}

/// Says what became of one record. `applied` says whether amendments had their turn, and `unapplied` what was in the way of which.
pub fn say(context: &Context, planned: &Planned, dry_run: bool, applied: bool, unapplied: &[Unapplied]) {
    let Planned { id, before, changes, op, .. } = planned;
    let Some(before) = before else { return };
    let obstacle = unapplied.iter().find(|it| it.id == *id);
    let is_parked = obstacle.is_some_and(|it| it.is_parked);
    if context.json {
        output::json(&json!({
            "id": id, "kind": before.kind(), "path": before.path, "changed": op.is_some() && !dry_run && !is_parked,
            "revision": op.as_ref().filter(|_| !is_parked).map_or(before.revision(), |op| op.revision()),
            "fields": changes, "applied": applied && obstacle.is_none(), "dry_run": dry_run,
            "obstacle": obstacle.map(|it| &it.why),
        }));
        return;
    }
    let what = match (op, dry_run) {
        (None, _) => "unchanged",
        (Some(_), true) => "would be amended",
        (Some(_), false) if is_parked => "not amended",
        (Some(_), false) => "amended",
    };
    output::line(&format!("{what}: {} {} in {}", before.kind(), id, before.path));
    for change in changes {
        output::line(&format!("  {}", shown(change)));
    }
    if op.is_none() {
        output::line("  it says that already");
    }
}

/// Says where the words of a former title stay: who corrects a secret there has to know.
pub fn say_kept_title(planned: &[Planned]) {
    let has_new_title = |it: &&Planned| it.changes.iter().any(|change| TITLES.contains(&change.field));
    let ids: Vec<String> =
        planned.iter().filter(|it| it.op.is_some()).filter(has_new_title).map(|it| it.id.short()).collect();
    if !ids.is_empty() {
        output::note(&output::hint(&format!(
            "note: paths, messages and the history keep the words of a former title; only `indelible erase {}` takes them out",
            ids.join(" ")
        )));
    }
}

/// A change in one line.
pub fn shown(FieldChange { field, before, after }: &FieldChange) -> String {
    let short = |text: &str| {
        let lines = text.trim_end().lines().count();
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let first = indelible::model::text::shortened(first, SHOWN_CHARS_MAX).into_owned();
        match lines {
            _ if text.is_empty() => "(empty)".to_owned(),
            0 | 1 => line_of(&first),
            lines => format!("{} ({lines} lines)", line_of(&first)),
        }
    };
    let name = field.replace('_', " ");
    match (short(before), short(after)) {
        (one, other) if one == other => format!("{name}: {other}, changed further on"),
        (one, other) => format!("{name}: {one} -> {other}"),
    }
}
