//! `search`: words to records.

use std::ffi::OsString;

use console::Style;
use indelible::model::text::{counted, shortened, visible_line_on_screen as visible_line};
use indelible::query::{Ask, Found, Hit, search};
use indelible::rules;
use indelible::search::{BestLine, Parts, Query};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::args::SearchArgs;
use crate::reading::screen::{Screen, line_of};
use crate::reading::{self, pager, zone};

const WHAT: &str = "nothing was searched";
/// The most characters of a query that are repeated in a message.
const QUERY_CHARS_MAX: usize = 80;
/// The columns that the line about a hit has beside the domain: id, kind, severity, time, and blanks.
const BESIDE_DOMAIN: usize = 51;

pub fn run(context: &Context, args: &SearchArgs) -> Result<Exit, Failure> {
    let text = words_of(&args.words);
    let query = Query::parse(&text, &zone::now()).map_err(|error| reading::unknown(WHAT, &error))?;
    let filter = reading::filter(&args.filter, &args.kind, WHAT)?;
    let states = reading::states(&args.filter.state, &[], WHAT)?;
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let project = reading::here();
    let ask = Ask {
        query: &query,
        filter: &filter,
        states: &states,
        limit: args.limit,
        project: project.as_deref(),
        now: Timestamp::now(),
    };
    let mut found = search(&view, &ask).map_err(reading::failed(WHAT))?;
    let has_filter = query.filters().next().is_some() || query.states().next().is_some() || !filter.is_empty();
    if query.is_empty() && !has_filter && states.is_empty() {
        // Any record would do, so none is a hit.
        found.hits.clear();
        found.notes.push("there is no word in it to look for; `indelible list` shows the newest records".to_owned());
    }
    let notes: Vec<String> = view.notes().iter().chain(&found.notes).cloned().collect();
    reading::say_notes(context.json && !args.jsonl, &notes);
    if args.jsonl {
        found.hits.iter().for_each(|hit| output::json(&data(hit, args.explain)));
    } else if context.json {
        let hits: Vec<Value> = found.hits.iter().map(|hit| data(hit, args.explain)).collect();
        output::json(&json!({ "query": text, "hits": hits, "looked": found.looked, "notes": notes }));
    } else {
        say(&text, &found, args.explain);
    }
    Ok(if found.hits.is_empty() { Exit::NOTHING_FOUND } else { Exit::Done })
}

/// The words as one text.
fn words_of(words: &[OsString]) -> String {
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A hit as data.
fn data(hit: &Hit, explain: bool) -> Value {
    let Hit { recorded, is_retired, score, parts, matched, line } = hit;
    let mut data = json!(recorded);
    if *is_retired {
        data["state"] = json!(rules::State::Retired);
    }
    data["score"] = json!(score);
    data["matched"] = json!(matched);
    data["line"] = json!(line.text);
    data["marks"] = line.marks.iter().map(|mark| json!([mark.start, mark.end])).collect();
    if explain {
        data["explain"] = explained(parts);
    }
    data
}

fn explained(parts: &Parts) -> Value {
    let words: Vec<Value> = parts
        .words
        .iter()
        .map(|it| {
            json!({
                "word": it.word,
                "rarity": it.rarity,
                "in_title": it.in_title,
                "in_body": it.in_body,
                "score": it.score,
            })
        })
        .collect();
    json!({
        "words": words,
        "text": parts.text,
        "passage": parts.passage,
        "project": parts.project,
        "age": parts.age,
        "phrases": parts.phrases,
        "identifiers": parts.identifiers,
    })
}

fn say(query: &str, found: &Found, explain: bool) {
    if found.hits.is_empty() {
        let query = visible_line(query.trim()).into_owned();
        output::line(&format!("nothing was found for {}", shortened(&query, QUERY_CHARS_MAX)));
        return;
    }
    let screen = Screen::of_stdout();
    let text: Vec<String> = found.hits.iter().map(|hit| text_of(&screen, query, hit, explain)).collect();
    pager::show(&screen, &text.join("\n"));
}

/// A hit for people: a line about the record, its title, and the line that matched best.
fn text_of(screen: &Screen, query: &str, hit: &Hit, explain: bool) -> String {
    let Hit { recorded, line, matched, .. } = hit;
    // On a terminal what matched is to be seen: two columns for an ellipsis, and four before the line.
    let line = &screen.columns.map_or_else(|| line.clone(), |columns| line.clone().within(columns - 6));
    let mut about = vec![screen.dim(&recorded.id.short()), screen.kind(recorded.kind())];
    about.extend(Some(screen.severity(recorded.severity())).filter(|it| !it.is_empty()));
    about.extend(recorded.domain().map(|domain| screen.fitted(&line_of(&domain), BESIDE_DOMAIN)));
    about.push(screen.dim(&screen.time(recorded.created_at)));
    about.extend(hit.is_retired.then(|| rules::State::Retired.to_string()));
    about.extend(recorded.from.map(|from| screen.dim(&from.says())));
    let title = if line.is_headline { marked(screen, line) } else { screen.bold(&line_of(recorded.title())) };
    let mut text = format!("{}\n    {}\n", about.join("  "), screen.fitted(&title, 4));
    if !line.is_headline {
        text.push_str(&format!("    {}\n", screen.fitted(&marked(screen, line), 4)));
    }
    if !matched.is_empty() {
        let words: Vec<String> = as_typed(query, matched).iter().map(|word| line_of(word)).collect();
        text.push_str(&format!("    {}\n", screen.dim(&format!("matched: {}", words.join(", ")))));
    }
    if explain {
        text.push_str(&explanation(hit));
    }
    text
}

/// What matched, as it was typed where a word of the query was found whole: `src/fs/mod.rs`, and neither `srcfsmodrs` nor its
/// parts.
fn as_typed<'t>(query: &'t str, matched: &'t [String]) -> Vec<&'t str> {
    let mut parts: Vec<&str> = matched.iter().map(String::as_str).collect();
    let mut words: Vec<&str> = Vec::new();
    for word in query.split_whitespace().map(|word| word.trim_matches('"')) {
        let whole: String = word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if matched.contains(&whole) && !words.contains(&word) {
            words.push(word);
            parts.retain(|part| !whole.contains(part));
        }
    }
    words.extend(parts);
    words
}

/// A line with what matched marked: in colours, or between `[` and `]` where there are none and a person reads.
fn marked(screen: &Screen, line: &BestLine) -> String {
    let mut text = String::new();
    let mut at = 0;
    for mark in &line.marks {
        let (Some(before), Some(word)) = (line.text.get(at..mark.start), line.text.get(mark.clone())) else { continue };
        text.push_str(&visible_line(before));
        let word = visible_line(word);
        match screen.colours {
            true => text.push_str(&screen.styled(Style::new().bold().yellow(), &word)),
            false if screen.is_terminal() => text.push_str(&format!("[{word}]")),
            false => text.push_str(&word),
        }
        at = mark.end;
    }
    text.push_str(&visible_line(line.text.get(at..).unwrap_or_default()));
    let before = if line.is_cut { "… " } else { "" };
    format!("{before}{}", text.trim())
}

/// What a hit's place comes from, for people.
fn explanation(hit: &Hit) -> String {
    let Parts { words, text, passage, project, age, phrases, identifiers } = &hit.parts;
    let mut lines = format!(
        "    score {:.3}: text {text:.3}, best passage {passage:.3}, this project {project:.3}, age {age:.3}; {}, {}\n",
        hit.score,
        counted(*phrases as u64, "phrase", "phrases"),
        counted(*identifiers as u64, "whole identifier", "whole identifiers"),
    );
    for word in words {
        lines.push_str(&format!(
            "      {}: {:.3}, rarity {:.2}, {} in the title, {} in the body\n",
            line_of(&word.word),
            word.score,
            word.rarity,
            word.in_title,
            word.in_body
        ));
    }
    lines
}
