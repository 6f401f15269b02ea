//! `page`: what a home has learned, as one HTML file: no script, nothing loaded, secrets replaced.
//!
//! `read` gathers, `write` lays out, `html` escapes, `plot` draws. What is shown is bounded, so that the page of 100,000 records is no
//! larger than a browser likes: everything is counted, and the surest rules, the newest failures and experiments are shown.

mod html;
mod plot;
mod read;
mod write;

use std::io::{self, IsTerminal as _};

use indelible::model::text::{counted, path};
use indelible::query::{States, Wanted};
use jiff::Timestamp;
use serde_json::json;

use super::Context;
use super::export::Out;
use crate::backup_args::{PageArgs, file};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::{self, zone};

const WHAT: &str = "the page was not made";

pub fn run(context: &Context, args: &PageArgs) -> Result<Exit, Failure> {
    let file = file(args.out.as_deref());
    if file.is_none() && (context.json || io::stdout().is_terminal()) {
        let why = io::Error::other("a page is for a browser, not for a terminal or a reader of JSON");
        return Err(Failure::new(Exit::Usage, WHAT)
            .because(&why)
            .hint("name a file: `indelible page --out page.html`"));
    }
    let filter = reading::filter(&args.filter, &args.kind, WHAT)?;
    let states = reading::states(&args.filter.state, &[], WHAT)?;
    let home = context.open(WHAT)?;
    let redactor = context.settings(&home)?.redactor()?;
    let view = reading::view(context, &home)?;
    let states = (!states.is_empty()).then(|| States::of(&view, &states)).transpose().map_err(reading::failed(WHAT))?;
    let wanted = Wanted { filter: &filter, states: states.as_ref() };
    let zone = zone::local();
    let report = read::report(&view, wanted, &zone).map_err(reading::failed(WHAT))?;
    let report = report.ok_or_else(no_index)?;
    let name = home.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let filters = args.typed();
    let frame = write::Frame {
        name: name.as_deref().unwrap_or("indelible"),
        filters: &filters,
        made_at: Timestamp::now(),
        zone: &zone,
    };
    let page = write::page(&report, &frame, &redactor);
    let written = |error: io::Error| Failure::new(Exit::Io, WHAT).because(&error);
    let mut out = Out::open(file).map_err(written)?;
    match out.write(page.as_bytes()).and_then(|()| out.finish()) {
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        done => done.map_err(written)?,
    }
    if let Some(file) = file {
        match context.json {
            true => output::json(&json!({ "file": file, "records": report.records, "bytes": page.len() })),
            false => output::line(&format!("{}: {}", path(file), counted(report.records, "record", "records"))),
        }
    }
    Ok(Exit::Done)
}

fn no_index() -> Failure {
    let why = io::Error::other("the index cannot be read");
    Failure::new(Exit::TryAgain, WHAT)
        .because(&why)
        .hint("try again when no other program holds it; `indelible repair` rebuilds it")
}
