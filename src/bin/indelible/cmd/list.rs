//! `list`: what was recorded, filtered and in an order.

use indelible::fs::os::Stream;
use indelible::model::text::{counted, number};
use indelible::query::{self, Listing, Recorded, Retracted, Selection, Sort, State, States, View, list, retracted};
use indelible::search::{Filter, UnknownValue};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::args::ListArgs;
use crate::reading::screen::{Screen, line_of};
use crate::reading::{self, csv, pager};

const WHAT: &str = "the records could not be listed";

/// So many records are counted for people; to count a million takes longer than to list the first.
const COUNT_MAX: u64 = 10_000;
/// The state of records that are not shown, only counted with when and why.
const RETRACTED: &str = "retracted";

pub fn run(context: &Context, args: &ListArgs) -> Result<Exit, Failure> {
    let sort = sort_of(&args.sort)?;
    let is_retracted = args.filter.state.iter().any(|state| state.eq_ignore_ascii_case(RETRACTED));
    let states: Vec<String> =
        args.filter.state.iter().filter(|it| !it.eq_ignore_ascii_case(RETRACTED)).cloned().collect();
    if is_retracted && !states.is_empty() {
        let why = std::io::Error::other("--state: retracted stands alone");
        return Err(Failure::new(Exit::Usage, WHAT).because(&why));
    }
    let filter = reading::filter(&args.filter, &args.kind, WHAT)?;
    let states = reading::states(&states, &[RETRACTED], WHAT)?;
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    if is_retracted {
        let only_kind_and_time =
            Filter { kinds: filter.kinds.clone(), since: filter.since, until: filter.until, ..Filter::default() };
        if filter != only_kind_and_time {
            let why = std::io::Error::other(
                "of a retracted record only id, kind, time and reason are kept for reading: filter by kind, --since, --until",
            );
            return Err(Failure::new(Exit::Usage, WHAT).because(&why));
        }
        let found = retracted(&view, &filter).map_err(reading::failed(WHAT))?;
        say_retracted(context, args, &found, view.notes());
        return Ok(Exit::Done);
    }
    let is_text = !(context.json || args.jsonl || args.csv);
    let count_max = is_text.then_some(COUNT_MAX);
    let states = (!states.is_empty()).then(|| States::of(&view, &states)).transpose().map_err(reading::failed(WHAT))?;
    let wanted = Selection { filter: &filter, states: states.as_ref(), sort, limit: args.limit, count_max };
    let listing = list(&view, wanted).map_err(reading::failed(WHAT))?;
    let note = states.as_ref().and_then(States::note);
    let notes: Vec<String> = view.notes().iter().chain(&listing.notes).chain(&note).cloned().collect();
    reading::say_notes(is_object(context, args), &notes);
    let shown = Shown { context, args, view: &view, sort, states: states.as_ref() };
    shown.say(listing, &notes).map_err(reading::failed(WHAT))?;
    Ok(Exit::Done)
}

/// Whether the answer is one object, which has the notes.
fn is_object(context: &Context, args: &ListArgs) -> bool {
    context.json && !args.jsonl && !args.csv
}

fn sort_of(text: &str) -> Result<Sort, Failure> {
    let found = Sort::ALL.into_iter().find(|sort| sort.name().eq_ignore_ascii_case(text.trim()));
    let known = Sort::ALL.map(Sort::name).to_vec();
    found.ok_or_else(|| reading::unknown(WHAT, &UnknownValue { filter: "sort", value: text.into(), known }))
}

/// How a list is shown.
struct Shown<'s> {
    context: &'s Context,
    args: &'s ListArgs,
    view: &'s View<'s>,
    sort: Sort,
    states: Option<&'s States>,
}

impl Shown<'_> {
    fn say(&self, listing: Listing, notes: &[String]) -> Result<(), query::Error> {
        let (count, is_more, shown) = (listing.count, listing.is_more, listing.len());
        if self.args.jsonl {
            listing.for_each(self.view, |it| output::json(&self.data(it)))?;
        } else if self.args.csv {
            let is_terminal = Screen::of_stdout().is_terminal();
            say_csv(is_terminal, &csv::names());
            listing.for_each(self.view, |it| say_csv(is_terminal, &csv::of(&it, self.state(&it))))?;
        } else if self.context.json {
            let records = listing.records(self.view)?;
            let records: Vec<_> = records.into_iter().map(|it| self.data(it)).collect();
            output::json(&json!({ "count": count, "records": records, "notes": notes }));
        } else {
            let screen = Screen::of_stdout();
            let records = lines(&screen, &listing.records(self.view)?);
            pager::show(&screen, &format!("{}\n{records}", heading(count, is_more, shown, self.sort)));
        }
        Ok(())
    }

    /// The state of `recorded`, as its verdicts leave it if states were asked for, else as its row says.
    fn state(&self, recorded: &Recorded) -> &'static str {
        let judged = self.states.and_then(|states| states.judged(recorded.id));
        judged.map_or(recorded.state_name(), State::name)
    }

    fn data(&self, recorded: Recorded) -> Data {
        let Some(state) = self.states.and_then(|states| states.judged(recorded.id)) else {
            return Data::AsRow(Box::new(recorded));
        };
        let mut data = json!(recorded);
        data["state"] = state.name().into();
        Data::Judged(data)
    }
}

/// A record as data.
#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    /// In the state that its row says.
    AsRow(Box<Recorded>),
    /// In another one.
    Judged(Value),
}

/// How many there are, and which of them follow.
fn heading(count: u64, is_more: bool, shown: usize, sort: Sort) -> String {
    let more = if is_more { "more than " } else { "" };
    let records = format!("{more}{}", counted(count, "record", "records"));
    let order = match sort {
        Sort::Newest => "the newest",
        Sort::Oldest => "the oldest",
        Sort::Severity => "the most serious",
    };
    match shown as u64 {
        shown if shown == count && !is_more => records,
        1 => format!("{records}, {order}:"),
        shown => format!("{records}, {order} {}:", number(shown)),
    }
}

/// A line for each record.
pub fn lines(screen: &Screen, records: &[Recorded]) -> String {
    let line = |it: &Recorded| {
        let mut cells = vec![
            screen.dim(&screen.time(it.created_at)),
            screen.kind(it.kind()),
            screen.severity(it.severity()),
            line_of(&it.domain().unwrap_or_default()),
            line_of(it.title()),
            screen.dim(&it.id.short()),
        ];
        cells.extend(it.from.map(|from| screen.dim(&from.says())));
        cells
    };
    // Long domains give way to titles, and on a narrow screen everything but when, what and which.
    let shorter = [(4, 30), (3, 10), (4, 10), (2, 0), (3, 0), (1, 0)];
    screen.table(&records.iter().map(line).collect::<Vec<_>>(), &shorter)
}

fn say_retracted(context: &Context, args: &ListArgs, found: &[Retracted], notes: &[String]) {
    reading::say_notes(is_object(context, args), notes);
    let count = found.len() as u64;
    let shown = &found[..if args.limit == 0 { found.len() } else { args.limit.min(found.len()) }];
    let data = |it: &Retracted| {
        let mut data = json!(it);
        data["state"] = RETRACTED.into();
        data
    };
    if args.jsonl {
        shown.iter().for_each(|it| output::json(&data(it)));
    } else if args.csv {
        let is_terminal = Screen::of_stdout().is_terminal();
        say_csv(is_terminal, &csv::names_of_retracted());
        shown.iter().for_each(|it| say_csv(is_terminal, &csv::of_retracted(it)));
    } else if context.json {
        let records: Vec<_> = shown.iter().map(data).collect();
        output::json(&json!({ "count": count, "records": records, "notes": notes }));
    } else {
        let screen = Screen::of_stdout();
        let line = |it: &Retracted| {
            vec![
                screen.dim(&it.at.map(|at| screen.time(at)).unwrap_or_default()),
                it.kind.map(|kind| screen.kind(kind)).unwrap_or_default(),
                line_of(it.because.as_deref().unwrap_or("no reason given")),
                it.id.to_string(),
            ]
        };
        let records = counted(count, "retracted record", "retracted records");
        let table = screen.table(&shown.iter().map(line).collect::<Vec<_>>(), &[(2, 10)]);
        pager::show(&screen, &format!("{records}\n{table}"));
    }
}

/// Writes a line of CSV: exact for a program, and safe to look at.
fn say_csv(is_terminal: bool, line: &str) {
    match is_terminal {
        true => output::line(line.trim_end()),
        false => output::write(Stream::Output, line),
    }
}
