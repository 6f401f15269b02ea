//! What the commands that read share: the home to read, filters, output.

pub mod args;
pub mod csv;
pub mod pager;
pub mod screen;
pub mod zone;

use std::time::Duration;

use indelible::home::Home;
use indelible::project;
use indelible::query::{self, State, View};
use indelible::search::{Filter, UnknownValue};

use crate::cmd::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::policy;
use args::FilterArgs;

/// How long a command waits for a lock on the index that another program holds.
const INDEX_WAIT: Duration = Duration::from_millis(300);

/// Opens `home` to read it.
///
/// # Errors
/// An invalid setting.
pub fn view<'h>(context: &Context, home: &'h Home) -> Result<View<'h>, Failure> {
    let settings = context.settings(home)?;
    Ok(View::open(home, settings.history(), INDEX_WAIT))
}

/// Says on stderr what could not be looked at, unless it is in the answer, as it is in one object of JSON.
pub fn say_notes(are_in_answer: bool, notes: &[String]) {
    if !are_in_answer {
        notes.iter().for_each(|note| output::note(&format!("note: {}", output::hint(note))));
    }
}

/// The records that a text can mean, a line each, and that there are more of them if so.
pub fn candidates(lines: impl Iterator<Item = String>, is_more: bool) -> Vec<String> {
    lines.chain(is_more.then(|| "and more".to_owned())).collect()
}

/// The failure of a reader to do `what`.
pub fn failed(what: &'static str) -> impl Fn(query::Error) -> Failure {
    move |error| Failure::of(what, &error)
}

/// The filter that the flags ask for, with the values `kinds` for the filter of that name. Of states, see [`states`].
///
/// # Errors
/// Exit 65 for a value that a filter does not know, and for `--here` outside of a project.
pub fn filter(args: &FilterArgs, kinds: &[String], what: &str) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    let now = zone::now();
    let mut add = |name: &'static str, values: &[String]| {
        values.iter().try_for_each(|value| filter.add(name, value, &now).map_err(|error| unknown(what, &error)))
    };
    add("kind", kinds)?;
    for (name, values) in [
        ("domain", &*args.domain),
        ("tag", &args.tag),
        ("project", &args.project),
        ("severity", &args.severity),
        ("agent", &args.agent),
        ("session", &args.session),
        ("origin", &args.origin),
    ] {
        add(name, values)?;
    }
    add("since", args.since.as_slice())?;
    add("until", args.until.as_slice())?;
    if args.here {
        let none = || {
            let why =
                std::io::Error::other("--here: this folder is in no git repository that anything was recorded from");
            Failure::new(Exit::Input, what).because(&why)
        };
        filter.projects.push(here().ok_or_else(none)?);
    }
    Ok(filter)
}

/// The states that are named `names`. In a message, `more` are known as well: the caller takes these out.
///
/// # Errors
/// Exit 65 for a name that is not known.
pub fn states(names: &[String], more: &[&'static str], what: &str) -> Result<Vec<State>, Failure> {
    let state = |name: &String| {
        State::named(name).map_err(|mut error| {
            error.known.extend(more);
            unknown(what, &error)
        })
    };
    names.iter().map(state).collect()
}

/// The project of the working folder.
pub fn here() -> Option<String> {
    project::known(&std::env::current_dir().ok()?, policy::project_ids().as_deref())
}

/// The failure for a value that a filter does not know: the known ones, and what was probably meant.
pub fn unknown(what: &str, error: &UnknownValue) -> Failure {
    let meant = nearest(&error.value, &error.known).map(|meant| format!("; did you mean {meant}?"));
    let why = std::io::Error::other(format!("{error}{}", meant.unwrap_or_default()));
    Failure::new(Exit::Input, what).because(&why)
}

/// The one of `known` that `value` is most like; `None` if it is like none of them.
fn nearest<'k>(value: &str, known: &[&'k str]) -> Option<&'k str> {
    let value = value.trim().to_lowercase();
    let likeness = |known: &&&str| strsim::jaro_winkler(&value, known);
    let best = known.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(&best) > 0.75).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let kinds = ["failure", "success", "observation", "heuristic", "experiment"];
        for (value, meant) in [
            ("failures", Some("failure")),
            ("Heuristics", Some("heuristic")),
            ("sucess", Some("success")),
            ("qqq", None),
        ] {
            assert_eq!(nearest(value, &kinds), meant, "{value}");
        }
    }
}
