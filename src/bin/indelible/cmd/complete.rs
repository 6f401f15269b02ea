//! `complete`: what shells call at each press of the Tab key. The scripts of `completions` name it; people do not.
//!
//! It writes one candidate a line, and nothing else: an error, a home that is not there and a locked index are silence, as
//! anything on stderr would be drawn over the line that is being typed. It waits for no lock and changes nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::engine::{CompletionCandidate, complete};
use indelible::fs::os::Stream;
use indelible::home::Home;
use indelible::model::text::{shell_word, shortened, visible_line};
use indelible::model::{ExperimentResult, Kind, Origin, Severity};
use indelible::query::{self, Recorded, Retracted, Selection, Sort, State, View, known, list};
use indelible::search::{Filter, Name};
use indelible::target::history::HistoryOptions;

use crate::args::Args;
use crate::output;
use crate::reading::args::CompleteArgs;
use crate::settings::{Settings, choices};
use crate::{user, which};

/// How many records are offered.
const RECORDS_MAX: usize = 50;
/// How many names of one sort are offered.
const NAMES_MAX: usize = 500;
/// How long a title is shown beside an id, in characters.
const TITLE_CHARS_MAX: usize = 60;

/// The home that the line to be completed names.
static HOME: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Writes the candidates for the word at `args.at`.
pub fn run(args: CompleteArgs) {
    let at = args.at.unwrap_or(args.words.len().saturating_sub(1));
    let (words, at, before) = match args.with_help {
        true => (args.words, at, String::new()),
        false => joined(args.words, at),
    };
    let home = home_in(&words).and_then(|home| user::expanded(PathBuf::from(home)).ok());
    let _ = HOME.set(home);
    let folder = std::env::current_dir().ok();
    let mut command = Args::command();
    let Ok(candidates) = complete(&mut command, words, at, folder.as_deref()) else { return };
    for candidate in candidates {
        let value = candidate.get_value().to_string_lossy();
        let value = value.strip_prefix(&before).unwrap_or(&value);
        let help = candidate.get_help().map(|help| visible_line(&help.to_string()).into_owned());
        // A candidate of several lines would be several candidates.
        if value.chars().any(indelible::model::text::is_hidden) {
            continue;
        }
        match (args.with_help, help) {
            (true, Some(help)) => output::write(Stream::Output, &format!("{value}\t{help}\n")),
            (true, None) => output::write(Stream::Output, &format!("{value}\n")),
            // Bash inserts it as it is, and recorded names can be anything: `$(reboot)`, `*`.
            (false, _) => output::write(Stream::Output, &format!("{}\n", shell_word(OsStr::new(value)))),
        }
    }
}

/// The home that the line names.
fn home_in(words: &[OsString]) -> Option<OsString> {
    words.iter().enumerate().find_map(|(at, word)| match word.to_str()?.strip_prefix("--home")? {
        "" => words.get(at + 1).cloned(),
        value => value.strip_prefix('=').map(OsString::from),
    })
}

/// The words with those joined that bash splits at `=` and `:`, the place of the word at `at`, and the part of it that bash
/// keeps.
fn joined(words: Vec<OsString>, at: usize) -> (Vec<OsString>, usize, String) {
    let (mut joined, mut place, mut before) = (Vec::<OsString>::new(), at, String::new());
    let mut words = words.into_iter().enumerate();
    while let Some((number, word)) = words.next() {
        let is_flag = joined.last().is_some_and(|last| last.as_encoded_bytes().starts_with(b"--"));
        if joined.len() > 1 && (word == ":" || word == "=" && is_flag) {
            let mut whole = joined.pop().unwrap_or_default();
            whole.push(&word);
            if number + 1 >= at {
                before = whole.to_string_lossy().into_owned();
            }
            whole.extend(words.next().map(|(_, value)| value));
            joined.push(whole);
        } else {
            joined.push(word);
        }
        if number <= at {
            place = joined.len() - 1;
        }
    }
    (joined, place, before)
}

/// The settings of the home that the line names, and the home.
fn home() -> Option<(Home, Settings)> {
    let flag = HOME.get()?.as_deref();
    let home = Home::open(&which::meant(flag).ok()?.path).ok()?;
    let settings = Settings::of(&home, &[]).ok()?;
    Some((home, settings))
}

/// Reads the home, if there is one. It waits for no lock.
fn read<T>(read: impl FnOnce(&View<'_>) -> Option<T>) -> Option<T> {
    let (home, _) = home()?;
    read(&View::open(&home, HistoryOptions::default(), Duration::ZERO))
}

fn values<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<CompletionCandidate> {
    values.into_iter().map(CompletionCandidate::new).collect()
}

/// The newest records, each by the end of its id.
pub fn ids() -> Vec<CompletionCandidate> {
    ids_of(&Filter::default())
}

/// The newest experiments, each by the end of its id.
pub fn experiments() -> Vec<CompletionCandidate> {
    ids_of(&Filter { kinds: vec![Kind::Experiment], ..Filter::default() })
}

/// How an experiment can end.
pub fn results() -> Vec<CompletionCandidate> {
    values(ExperimentResult::ALL.map(ExperimentResult::name))
}

/// The newest rules, each by the end of its id: verdicts are of rules alone.
pub fn rules() -> Vec<CompletionCandidate> {
    ids_of(&Filter { kinds: vec![Kind::Heuristic], ..Filter::default() })
}

fn ids_of(filter: &Filter) -> Vec<CompletionCandidate> {
    let newest = |view: &View<'_>| {
        let wanted = Selection { filter, states: None, sort: Sort::Newest, limit: RECORDS_MAX, count_max: Some(0) };
        let listing = list(view, wanted).ok()?;
        listing.records(view).ok()
    };
    let records = read(newest).unwrap_or_default();
    let candidate = |(at, it): (usize, Recorded)| {
        let help = format!("{}: {}", it.kind(), shortened(&visible_line(it.title()), TITLE_CHARS_MAX));
        CompletionCandidate::new(it.id.short()).help(Some(help.into())).display_order(Some(at))
    };
    records.into_iter().enumerate().map(candidate).collect()
}

/// Records that were retracted, the newest first.
pub fn retracted() -> Vec<CompletionCandidate> {
    let found = read(|view| query::retracted(view, &Filter::default()).ok()).unwrap_or_default();
    let candidate = |(at, it): (usize, &Retracted)| {
        let help =
            shortened(&visible_line(it.because.as_deref().unwrap_or("no reason given")), TITLE_CHARS_MAX).into_owned();
        CompletionCandidate::new(it.id.short()).help(Some(help.into())).display_order(Some(at))
    };
    found.iter().take(RECORDS_MAX).enumerate().map(candidate).collect()
}

fn names(name: Name) -> Vec<CompletionCandidate> {
    let found = read(|view| known(view, name, NAMES_MAX).ok()).unwrap_or_default();
    found.iter().map(CompletionCandidate::new).collect()
}

/// Domains that records have.
pub fn domains() -> Vec<CompletionCandidate> {
    names(Name::Domain)
}

/// Tags that records have.
pub fn tags() -> Vec<CompletionCandidate> {
    names(Name::Tag)
}

/// Projects that records come from.
pub fn projects() -> Vec<CompletionCandidate> {
    names(Name::Project)
}

/// Programs of agents.
pub fn agents() -> Vec<CompletionCandidate> {
    names(Name::Agent)
}

/// Sessions of agents.
pub fn sessions() -> Vec<CompletionCandidate> {
    names(Name::Session)
}

/// The kinds.
pub fn kinds() -> Vec<CompletionCandidate> {
    values(Kind::ALL.map(Kind::name))
}

/// The severities.
pub fn severities() -> Vec<CompletionCandidate> {
    values(Severity::WORDS.map(|(word, _)| word))
}

/// The states.
pub fn states() -> Vec<CompletionCandidate> {
    values(State::names().into_iter().chain(["retracted"]))
}

/// The origins.
pub fn origins() -> Vec<CompletionCandidate> {
    values(Origin::ALL.map(Origin::name))
}

/// The orders of a list.
pub fn sorts() -> Vec<CompletionCandidate> {
    values(Sort::ALL.map(Sort::name))
}

/// The settings.
pub fn settings() -> Vec<CompletionCandidate> {
    let explained = home().and_then(|(home, _)| Settings::explained(&home, &[]).ok());
    let settings = explained.map(|all| all.settings).unwrap_or_default();
    let candidate = |it: &crate::settings::Setting| {
        CompletionCandidate::new(&it.key).help(Some(format!("now {}", it.value).into()))
    };
    settings.iter().map(candidate).collect()
}

/// The value of the setting that the line names, and the others of one that has few.
pub fn setting_values(current: &OsStr) -> Vec<CompletionCandidate> {
    let words: Vec<String> = std::env::args().collect();
    let key = words.iter().rev().skip(1).find(|word| word.contains('.'));
    let explained = home().and_then(|(home, _)| Settings::explained(&home, &[]).ok());
    let settings = explained.map(|all| all.settings).unwrap_or_default();
    let Some(setting) = key.and_then(|key| settings.iter().find(|it| it.key == *key)) else { return Vec::new() };
    let text = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut values = vec![text(&setting.value)];
    if setting.value.is_bool() {
        values = vec!["true".into(), "false".into()];
    }
    let others = choices(&setting.key).iter().map(|it| (*it).to_owned()).filter(|it| *it != values[0]);
    values.extend(others.collect::<Vec<_>>());
    let begins = |value: &String| current.to_str().is_some_and(|current| value.starts_with(current));
    values.iter().filter(|value| begins(value)).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_and_its_value_that_bash_splits_are_one_word() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let (all, at, before) = joined(words(&["indelible", "list", "--domain", "=", "c"]), 4);
        assert_eq!((all, at, before.as_str()), (words(&["indelible", "list", "--domain=c"]), 2, "--domain="));
        let (all, at, before) = joined(words(&["indelible", "list", "--domain", "="]), 3);
        assert_eq!((all, at, before.as_str()), (words(&["indelible", "list", "--domain="]), 2, "--domain="));
        let (all, at, before) = joined(words(&["indelible", "list", "--domain", "c"]), 3);
        assert_eq!((all, at, before.as_str()), (words(&["indelible", "list", "--domain", "c"]), 3, ""));
        let (all, at, before) = joined(words(&["indelible", "list", "--tag", "=", "a", ":", "b"]), 6);
        assert_eq!((all, at, before.as_str()), (words(&["indelible", "list", "--tag=a:b"]), 2, "--tag=a:"));
    }
}
