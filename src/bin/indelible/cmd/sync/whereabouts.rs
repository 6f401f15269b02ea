//! `where`: in which stores a record is, here and on the remote.

use std::time::Instant;

use indelible::model::{RecordId, RecordPath};
use indelible::query::{Details, Named, Place as FilePlace, Shown, View, lookup, show};
use indelible::sync::{Place, Session, Where, where_is};
use serde_json::{Value, json};

use super::{failure, stop};
use crate::cmd::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading;
use crate::sync_args::WhereArgs;

const WHAT: &str = "where the record is cannot be said";

pub fn run(context: &Context, args: &WhereArgs) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let options = context.settings(&home)?.sync()?;
    if args.check {
        let mut session = Session::open(&home, &options, Instant::now() + options.timeout, stop());
        let checked = session.as_mut().map_err(|error| error.clone()).and_then(|session| session.recheck());
        checked.map_err(|error| failure(WHAT, &error))?;
    }
    let view = reading::view(context, &home)?;
    let folder = std::env::current_dir().ok();
    let (id, path) = match lookup(&view, &args.id, folder.as_deref()).map_err(reading::failed(WHAT))? {
        Named::One { id, path } => (id, path),
        Named::Several { ids, is_more } => {
            let candidates = reading::candidates(ids.iter().map(ToString::to_string), is_more);
            return Err(Failure::ambiguous(
                format!("{} is the end of several ids; name more of one", args.id),
                candidates,
            ));
        }
        Named::Nothing => return Err(unknown(&args.id)),
    };
    let shown = show(&view, id, path.as_deref(), false).map_err(reading::failed(WHAT))?;
    let is_pending = view.pending().has(id);
    let mut data = match &shown {
        Shown::Visible(details) => of_visible(details),
        Shown::Hidden(mark) => json!({
            "id": id, "kind": null, "path": state_file(id), "state": mark.as_ref().map(|mark| mark.state),
            "file": null, "row_id": null, "commit": commit_of_state(&view, id),
        }),
        Shown::Unknown => return Err(unknown(&args.id)),
    };
    let path = match &shown {
        Shown::Visible(details) => RecordPath(&details.recorded.path).page().into_owned(),
        _ => state_file(id),
    };
    let remote = where_is(&home, &options, &path).map_err(|error| failure(WHAT, &error))?;
    data["pending"] = json!(is_pending);
    data["origin"] = match &shown {
        Shown::Visible(details) => details.recorded.from.map_or(Value::Null, |home| json!({ "home": home })),
        _ => Value::Null,
    };
    data["remote"] = json!(remote);
    match context.json {
        true => output::json(&data),
        false => say(&data, &remote),
    }
    Ok(Exit::Done)
}

fn of_visible(details: &Details) -> Value {
    let Details { recorded, file, commit, .. } = details;
    let file = match file {
        FilePlace::There => "whole",
        FilePlace::Missing => "missing",
        FilePlace::Other => "other",
    };
    json!({
        "id": recorded.id, "kind": recorded.kind(), "path": recorded.path, "state": recorded.state_name(), "file": file,
        "row_id": recorded.row_id, "commit": commit.as_ref().map(|commit| commit.commit.to_string()),
    })
}

fn say(data: &Value, remote: &Where) {
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    output::line(&format!("id        {}", text("id").unwrap_or_default()));
    output::line(&format!("state     {}", text("state").unwrap_or_else(|| "retracted".to_owned())));
    output::line(&format!(
        "journal   {}",
        if data["pending"] == true { "pending: not committed yet" } else { "nothing pending" }
    ));
    output::line(&format!(
        "file      {}, {}",
        text("path").unwrap_or_default(),
        text("file").unwrap_or_else(|| "a state file".to_owned())
    ));
    output::line(&format!(
        "row       {}",
        data["row_id"].as_i64().map_or_else(|| "none".to_owned(), |row| row.to_string())
    ));
    let home = data["origin"]["home"].as_str().map(|home| format!("none here: the home {home} recorded it"));
    output::line(&format!("commit    {}", text("commit").or(home).unwrap_or_else(|| "none yet".to_owned())));
    let as_of = remote.as_of.map(|at| format!(", as of {at:.0}")).unwrap_or_default();
    let at = remote.lane_commit.as_ref().or(remote.trunk_commit.as_ref()).map(|commit| format!(" by {commit}"));
    output::line(&format!(
        "remote    {}",
        match remote.state {
            Place::Acknowledged => format!("acknowledged{}{as_of}", at.unwrap_or_default()),
            Place::Unpushed => format!("not there yet{as_of}"),
            Place::Held => format!("held: {}", remote.why.as_deref().unwrap_or_default()),
            Place::Never => "none".to_owned(),
        }
    ));
}

/// The newest commit of the state file of the record `id`.
fn commit_of_state(view: &View<'_>, id: RecordId) -> Option<String> {
    let commits = view.history()?.commits_of(&state_file(id)).ok()?;
    commits.first().map(|commit| commit.commit.to_string())
}

fn state_file(id: RecordId) -> String {
    indelible::model::path::state_file(id)
}

/// The failure for a text that names no record.
fn unknown(text: &str) -> Failure {
    let why = std::io::Error::other(format!("no record here has the id, the end of an id, or the path {text:?}"));
    Failure::new(Exit::Input, WHAT).because(&why).hint("`indelible list` shows the newest records")
}
