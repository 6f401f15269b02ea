//! `amend`: new texts for fields of records.

use std::ffi::OsString;

use indelible::model::{Field, FieldSpec, Invalid, body_of};
use indelible::page::FieldChange;
use indelible::revise::{Asked, Planned};
use serde_json::json;

use super::{Context, record, revising};
use crate::amend_args::{AmendArgs, NewTexts};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading;
use crate::reading::screen::line_of;

const WHAT: &str = "nothing was amended";
/// How much of a text is shown, in characters.
const SHOWN_CHARS_MAX: usize = 100;

pub fn run(context: &Context, args: AmendArgs) -> Result<Exit, Failure> {
    let AmendArgs { ids, because, dry_run, redact, fields } = args;
    let fields = texts(fields)?;
    if fields.is_empty() {
        let why = std::io::Error::other("no field was given a new text");
        let hint = "give the fields that change, as with --title";
        return Err(Failure::new(Exit::Usage, WHAT).because(&why).hint(hint));
    }
    context.name_home()?;
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let reviser = revising::reviser(&home, &settings, redact)?;
    let planned = {
        let view = reading::view(context, &home)?;
        let targets = revising::targets(&view, &ids, WHAT)?;
        revising::plan(&reviser, &view, &targets, &Asked::Fields(fields), because.as_deref(), WHAT)?
    };
    let applied = match dry_run {
        true => false,
        false => revising::keep(context, &home, &settings, &reviser, &planned, WHAT)?,
    };
    planned.iter().for_each(|it| say(context, it, dry_run, applied));
    Ok(Exit::Done)
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

/// Says what became of one record.
pub fn say(context: &Context, planned: &Planned, dry_run: bool, applied: bool) {
    let Planned { id, before, changes, op, .. } = planned;
    let Some(before) = before else { return };
    if context.json {
        output::json(&json!({
            "id": id, "kind": before.kind(), "path": before.path, "changed": op.is_some() && !dry_run,
            "revision": op.as_ref().map_or(before.revision(), |op| op.revision()),
            "fields": changes, "applied": applied, "dry_run": dry_run,
        }));
        return;
    }
    let what = match (op, dry_run) {
        (None, _) => "unchanged",
        (Some(_), true) => "would be amended",
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
