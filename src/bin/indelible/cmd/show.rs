//! `show`: one record, from all stores.

use indelible::fs::os::Stream;
use indelible::model::text::{counted, path, visible_on_screen as visible};
use indelible::model::{Field, FieldSpec, Kind, OtherHome, PROVENANCE, RecordId, Ruling, body_of, fields_of};
use indelible::page::{Presence, StateFile};
use indelible::query::{Details, Named, Place, Recorded, Shown, View, lookup, raw, show};
use indelible::rules::{Given, Standing, tally};
use indelible::target::history::FileCommit;
use indelible::target::index::Judged;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::args::ShowArgs;
use crate::reading::screen::{Screen, line_of, word_of};
use crate::reading::{self, pager};

const WHAT: &str = "the record could not be shown";

pub fn run(context: &Context, args: &ShowArgs) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let folder = std::env::current_dir().ok();
    let mut found = Vec::new();
    let (mut missing, mut several) = (Vec::new(), Vec::new());
    for text in &args.ids {
        match lookup(&view, text, folder.as_deref()).map_err(reading::failed(WHAT))? {
            Named::One { id, path } => {
                match show(&view, id, path.as_deref(), args.history).map_err(reading::failed(WHAT))? {
                    Shown::Visible(details) => found.push(*details),
                    Shown::Hidden(mark) => missing.push(hidden(id, mark.as_ref())),
                    Shown::Unknown => missing.push(unknown(text)),
                }
            }
            Named::Several { ids, is_more } => several.push(ambiguous(&view, text, &ids, is_more)),
            Named::Nothing => missing.push(unknown(text)),
        }
    }
    let unread = found.iter().find_map(|it| it.history_error.as_ref());
    let unread = unread.map(|why| format!("commits are not shown: {why}: `indelible verify` says what is damaged"));
    let notes: Vec<String> = view.notes().iter().chain(&unread).cloned().collect();
    reading::say_notes(context.json && !args.raw, &notes);
    match (args.raw, context.json) {
        (true, _) => say_raw(&view, &found)?,
        (false, true) => {
            let records: Vec<Value> = found.iter().map(data).collect();
            if missing.is_empty() && several.is_empty() || !records.is_empty() {
                output::json(&json!({ "count": records.len(), "records": records, "notes": notes }));
            }
        }
        (false, false) => {
            let screen = Screen::of_stdout();
            let texts: Vec<String> = found.iter().map(|it| text_of(&screen, it)).collect();
            pager::show(&screen, &texts.join("\n"));
        }
    }
    // The last one's exit code is the command's: what is ambiguous says more than what is missing.
    let mut missing = missing.into_iter().chain(several);
    let Some(last) = missing.next_back() else { return Ok(Exit::Done) };
    missing.for_each(|failure| output::failure(&failure, context.json));
    Err(last)
}

/// The failure for a text that names no record.
fn unknown(text: &str) -> Failure {
    let text = line_of(text);
    let why = std::io::Error::other(format!("no record here has the id, the end of an id, or the path {text:?}"));
    let hint = "`indelible list` shows the newest records, and `indelible search` finds words in them";
    Failure::new(Exit::NOTHING_FOUND, WHAT).because(&why).hint(hint)
}

fn hidden(id: RecordId, mark: Option<&StateFile>) -> Failure {
    let state = mark.map_or(Presence::Retracted, |mark| mark.state).name();
    let at = mark.map(|mark| format!(" at {:.0}", mark.at)).unwrap_or_default();
    let because = mark.and_then(|mark| mark.because.as_ref()).map(|why| format!(": {why}")).unwrap_or_default();
    let why = std::io::Error::other(format!("{id} was {state}{at}{because}"));
    let failure = Failure::new(Exit::NOTHING_FOUND, WHAT).because(&why);
    if mark.is_some_and(|mark| mark.state == Presence::Erased) {
        return failure.hint("nothing brings it back");
    }
    failure.hint("`indelible list --state retracted` lists what was retracted; the history keeps it")
}

fn ambiguous(view: &View<'_>, text: &str, ids: &[RecordId], is_more: bool) -> Failure {
    let candidate = |id: &RecordId| {
        let title = view.get(*id, None).ok().and_then(|seen| seen.visible());
        let title = title.map(|it| format!("  {}: {}", it.kind(), line_of(it.title()))).unwrap_or_default();
        format!("{id}{title}")
    };
    let what = format!("{text} is the end of several ids; name more of one");
    Failure::ambiguous(what, reading::candidates(ids.iter().map(candidate), is_more))
}

/// The bytes of the pages. On a terminal what would steer it is made visible.
fn say_raw(view: &View<'_>, found: &[Details]) -> Result<(), Failure> {
    let screen = Screen::of_stdout();
    for details in found {
        let bytes = raw(view, &details.recorded).map_err(reading::failed(WHAT))?;
        match screen.is_terminal() {
            true => pager::show(&screen, &visible(&String::from_utf8_lossy(&bytes))),
            false => output::write_bytes(Stream::Output, &bytes),
        }
    }
    Ok(())
}

/// A record as data, with what the other stores have of it.
fn data(details: &Details) -> Value {
    let Details { recorded, file, commit, history, judged, elsewhere, standing, .. } = details;
    let mut data = json!(recorded);
    data["file"] = json!(file);
    data["commit"] = commit.as_ref().map_or(Value::Null, commit_data);
    let amendments = recorded.amended_fields();
    let amendments = amendments.iter().map(|(field, revision)| {
        let at = RecordId(revision.op).time().map(|at| format!("{at:.3}"));
        json!({ "field": field, "revision": revision, "at": at })
    });
    data["amendments"] = amendments.collect();
    data["verdicts"] =
        judged.given.iter().map(|given| verdict_data(given, elsewhere.get(&given.id).copied())).collect();
    if let Some(again) = came_again(details) {
        data["again"] = json!(again);
    }
    if let Some(standing) = standing {
        data["standing"] = json!({
            "state": standing.state, "everywhere": standing.tally.is_everywhere, "confidence": standing.confidence,
            "validated": standing.tally.validated, "violated": standing.tally.violated, "again": standing.tally.again,
            "validated_elsewhere": judged.validated_elsewhere, "violated_elsewhere": judged.violated_elsewhere,
            "eligible": standing.is_eligible,
        });
    }
    if let Some(history) = history {
        data["history"] = history.iter().map(commit_data).collect();
    }
    data
}

/// How often the failure came again, as far as its verdicts say; `None` for a record of another kind.
fn came_again(details: &Details) -> Option<u64> {
    (details.recorded.kind() == Kind::Failure).then(|| tally(&details.judged.given).again).filter(|again| *again > 0)
}

fn verdict_data(it: &Given, from: Option<OtherHome>) -> Value {
    let Given { id, at, ruling, origin, session, agent, project, because } = it;
    json!({
        "id": id, "at": format!("{at:.3}"), "verdict": ruling, "origin": origin, "session": session, "agent": agent,
        "project": project, "because": because, "from": from,
    })
}

fn commit_data(commit: &FileCommit) -> Value {
    let FileCommit { commit, at, subject, change } = commit;
    json!({ "commit": commit.to_string(), "at": format!("{at:.3}"), "subject": subject, "change": change })
}

/// A record for people.
fn text_of(screen: &Screen, details: &Details) -> String {
    let Details { recorded, file, commit, history, judged, elsewhere, standing, history_error } = details;
    let mut text =
        format!("{} {}\n{}\n\n", screen.kind(recorded.kind()), recorded.id, screen.bold(&line_of(recorded.title())));
    let mut show =
        |name: &str, value: &str| text.push_str(&format!("{} {value}\n", screen.dim(&format!("{name:<11}"))));
    for spec in fields_of(recorded.kind()).chain(&PROVENANCE) {
        if let Some(value) = shown(recorded, spec) {
            show(&spec.name.replace('_', " "), &value);
        }
    }
    show("recorded", &screen.whole_time(recorded.created_at));
    if let Some(from) = recorded.from {
        show("recorded in", from.says().trim_start_matches("from "));
    }
    if let Some(key) = &recorded.request.key {
        show("key", &line_of(key));
    }
    match standing {
        None => show("state", recorded.state_name()),
        Some(standing) => {
            let by_another = judged.is_marked_golden && standing.tally.promoted.is_none();
            let note = if by_another { "; another program marks it as golden" } else { "" };
            show("state", &format!("{}{note}", standing.state));
            show("by now", &sureness(standing, judged));
        }
    }
    if let Some(again) = came_again(details) {
        show("came again", &counted(again, "time", "times"));
    }
    for given in &judged.given {
        show("verdict", &verdict_line(screen, given, elsewhere.get(&given.id).copied()));
    }
    for (field, revision) in recorded.amended_fields() {
        let at = RecordId(revision.op).time().map(|at| screen.whole_time(at)).unwrap_or_default();
        show("amended", &format!("{} {at}", line_of(&field)));
    }
    let place = path(std::path::Path::new(&recorded.path));
    match file {
        Place::There => show("file", &place),
        Place::Missing => show("file", &format!("{place} (not there)")),
        Place::Other => show("file", &format!("{place} (something else is there)")),
    }
    show("row", &recorded.row_id.map_or_else(|| "none yet".into(), |row| row.to_string()));
    match history_error {
        None => show("commit", &commit_text(screen, recorded, commit.as_ref())),
        Some(_) => show("commit", "not known: the history cannot be read"),
    }
    for commit in history.iter().flatten() {
        let change = format!("{:?}", commit.change).to_lowercase();
        show(&change, &format!("{}  {}", commit_line(screen, commit), line_of(&commit.subject)));
    }
    for field in bodies(recorded) {
        let body = recorded.field(field).unwrap_or_default();
        if !body.trim().is_empty() {
            text.push_str(&format!("\n{}\n", visible(body.trim_end())));
        }
    }
    text
}

/// How sure a rule is by now, and why.
fn sureness(standing: &Standing, judged: &Judged) -> String {
    let tally = &standing.tally;
    let mut text =
        format!("confidence {:.2}: validated {}, violated {}", standing.confidence, tally.validated, tally.violated);
    if judged.validated_elsewhere + judged.violated_elsewhere > 0 {
        let (validated, violated) = (judged.validated_elsewhere, judged.violated_elsewhere);
        text.push_str(&format!("; by another program {validated} and {violated}, which weigh a quarter"));
    }
    text
}

fn verdict_line(screen: &Screen, given: &Given, from: Option<OtherHome>) -> String {
    let by = given.origin.map_or_else(|| "unknown".to_owned(), |origin| origin.to_string());
    // What came again can be long: its first line names it, or says how often.
    let because = match given.ruling {
        Ruling::Again => line_of(given.because.trim().lines().next().unwrap_or_default()),
        _ => line_of(given.because.trim()),
    };
    let because = if because.is_empty() { String::new() } else { format!(": {because}") };
    let from = from.map(|home| format!(" {}", home.says())).unwrap_or_default();
    format!("{}  {}  by {by}{from}  {}{because}", given.ruling, screen.whole_time(given.at), given.id.short())
}

/// The commit that introduced `recorded`, or why none is shown.
fn commit_text(screen: &Screen, recorded: &Recorded, commit: Option<&FileCommit>) -> String {
    match commit {
        Some(it) => commit_line(screen, it),
        None if recorded.from.is_some() => "none here: another home recorded it".to_owned(),
        None => "none found: it waits for the worker, or its history is long".to_owned(),
    }
}

fn commit_line(screen: &Screen, commit: &FileCommit) -> String {
    format!("{}  {}", &commit.commit.to_string()[..12], screen.whole_time(commit.at))
}

/// The value of a field that is one line; `None` for others, and for one that is not known.
fn shown(recorded: &Recorded, spec: &FieldSpec) -> Option<String> {
    if [Field::Title, Field::Rule, Field::Name].contains(&spec.field) || bodies(recorded).contains(&spec.field) {
        return None;
    }
    let value = recorded.field(spec.field).or_else(|| recorded.provenance().text(spec.field));
    let value = value.filter(|value| !value.trim().is_empty())?;
    match (spec.field, recorded.severity()) {
        (Field::Severity, Some(severity)) if word_of(severity) != *value => {
            Some(format!("{value}, {}", word_of(severity)))
        }
        _ => Some(line_of(&value)),
    }
}

/// The fields that are texts of many lines.
fn bodies(recorded: &Recorded) -> Vec<Field> {
    let criteria = [Field::SuccessCriteria, Field::FailureCriteria];
    let has = |field: &Field| recorded.field(*field).is_some();
    body_of(recorded.kind()).into_iter().chain(criteria.into_iter().filter(has)).collect()
}
