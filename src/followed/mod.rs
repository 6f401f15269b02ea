//! What followed a failure: which later success belongs to it, what was done in between, and how that is told. Pure.
//!
//! ```text
//! failure ─ step, step, ... ─ the same command works ─▶ Followed ─ to_text ─▶ a success's body
//!                                                          ▲                        │
//!                                                          └──────── of_text ◀──────┘
//! successes of one signature ─ summary ─▶ one line at the next failure
//! ```
//!
//! 1. A success is never called a fix. That the same command worked later is a fact; what made it work is not known. The
//!    more sessions share a step, the more it tells, so [`summary`] counts sessions.
//! 2. Which success belongs to a failure is decided narrowly ([`Subject`]), and what is not spelled is counted ([`steps`]).
//! 3. A record's text is data: [`Followed::of_text`] takes a step only as this program spells it.

mod line;
mod looks;
mod step;
mod subject;

use self::line::Simple;
pub use self::step::{Called, steps};
pub use self::subject::Subject;
use crate::model::text::counted;
use crate::session::Step;

/// The most steps of one success that are spelled.
const STEPS_MAX: usize = 40;
/// The most steps of one success, and of a summary, that are named.
const NAMED_MAX: usize = 6;
/// So many steps of a single session are all named: little else can have helped. Of more, the edited files are.
const FEW_STEPS: usize = 2;
/// The heading of the list of steps in a success's body.
const HEADING: &str = "**What followed**";
/// What a step that was spelled begins with.
const VERBS: [&str; 2] = ["edited", "ran"];
const ONLY_TESTS: &str = "of files, only tests were edited";
const SPOKE: &str = "a person spoke in between";

/// What followed a failure, in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// How many steps there were until the same command worked.
    pub count: usize,
    /// Those that are spelled, each once, in order: ``edited `src/cart.rs` ``, ``ran `cargo add serde` ``.
    pub steps: Vec<String>,
    /// Whether files were edited, and all of them are tests.
    pub only_tests: bool,
    /// Whether a person spoke in between: then it may have been the person who helped.
    pub spoke: bool,
}

impl Followed {
    /// What followed, from the `steps` since the failure.
    pub fn of(steps: &[Step], spoke: bool) -> Followed {
        let mut spelled: Vec<String> = Vec::new();
        for step in steps {
            if is_spelled(&step.does) && !spelled.contains(&step.does) && spelled.len() < STEPS_MAX {
                spelled.push(step.does.clone());
            }
        }
        let mut edits = steps.iter().flat_map(|step| &step.edits).peekable();
        let only_tests = edits.peek().is_some() && edits.all(|file| step::is_test(file));
        Followed { count: steps.len(), steps: spelled, only_tests, spoke }
    }

    /// The end of a title: `worked after 3 steps`.
    pub fn outcome(&self) -> String {
        match self.count {
            0 => "worked later, without a change".to_owned(),
            count => format!("worked after {}", counted(count as u64, "step", "steps")),
        }
    }

    /// It as markdown, for the body of a success.
    pub fn to_text(&self) -> String {
        let sentence = match self.count {
            0 => "The same command worked later in that session, without a change in between.".to_owned(),
            count => format!(
                "The same command worked later in that session, after {}. What of it helped is not known.",
                counted(count as u64, "step", "steps")
            ),
        };
        let notes = [(self.only_tests, ONLY_TESTS), (self.spoke, SPOKE)];
        let notes = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note);
        let list: String = self.steps.iter().map(String::as_str).chain(notes).map(|it| format!("- {it}\n")).collect();
        format!("{HEADING}\n\n{sentence}\n\n{list}{}", if list.is_empty() { "" } else { "\n" })
    }

    /// What [`Followed::to_text`] wrote into `body`. `None` if nothing of it is there.
    pub fn of_text(body: &str) -> Option<Followed> {
        let mut lines = body.lines().skip_while(|line| *line != HEADING).skip(1).skip_while(|line| line.is_empty());
        let sentence = lines.next()?.strip_prefix("The same command worked later in that session, ")?;
        let count =
            sentence.strip_prefix("after ").and_then(|rest| rest.split(' ').next()?.replace(',', "").parse().ok());
        let count = if sentence.starts_with("without") { Some(0) } else { count };
        let mut followed = Followed { count: count?, ..Followed::default() };
        for item in lines.skip_while(|line| line.is_empty()).map_while(|line| line.strip_prefix("- ")) {
            match item {
                ONLY_TESTS => followed.only_tests = true,
                SPOKE => followed.spoke = true,
                step if is_spelled(step) && followed.steps.len() < STEPS_MAX => followed.steps.push(step.to_owned()),
                _ => {}
            }
        }
        Some(followed)
    }
}

/// The steps of the line of `again` beside the command that `failed`, which it repeats, as far as they are new in it: `cargo clean && cargo
/// test` has one. A line from which only something is gone has one that is not spelled. None if it does not repeat it.
pub fn steps_beside(called: &Called<'_>, again: &Subject, failed: &Subject) -> Vec<Step> {
    let (Some(now), Some(then)) = (again.beside(failed), failed.beside(failed)) else { return Vec::new() };
    let is_in = |those: &[&[Simple]], it: &[Simple]| those.iter().any(|other| line::do_the_same(other, it));
    // Where a folder is changed, all of the line behind it is meant.
    let is_new = |it: &&&[Simple]| it[0].name() == "cd" || !is_in(&then, it);
    let new: Vec<&Simple> = now.iter().filter(is_new).copied().flatten().collect();
    let mut steps = step::of_pipelines(called, &new);
    let is_gone = |it: &&[Simple]| !it.iter().all(looks::only_looks) && !is_in(&now, it);
    if steps.is_empty() && then.iter().any(is_gone) {
        steps.push(Step::default());
    }
    steps
}

/// Whether `text` is a step as this program spells it.
fn is_spelled(text: &str) -> bool {
    let Some((verb, rest)) = text.split_once(" `") else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._/@+-=~^:".contains(c);
    let inner = rest.strip_suffix('`').filter(|inner| !inner.is_empty() && inner.chars().all(is_plain));
    VERBS.contains(&verb) && text.len() <= 140 && inner.is_some()
}

/// What followed the failures of one signature, in one line of at most `chars_max` characters, for an agent that has it
/// again: `each` has one of each session, newest first. `None` if nothing followed, or nothing fits.
///
/// It says what was done, never that it helps: after one session its steps if there were few, else the names of edited files;
/// after several the steps that they share; and no steps at all once it worked without a change.
pub fn summary(each: &[Followed], chars_max: usize) -> Option<String> {
    let all = each.len();
    let unchanged = each.iter().filter(|it| it.count == 0).count();
    let (opening, steps) = match each {
        [] => return None,
        _ if unchanged > 0 => (format!("it came and went without a change, {}", times(unchanged, all)), Vec::new()),
        [one] => {
            let is_named = |step: &&String| one.count <= FEW_STEPS || step.starts_with(VERBS[0]);
            let named = one.steps.iter().filter(is_named).cloned().collect();
            let steps = counted(one.count as u64, "step", "steps");
            (format!("the same command worked later in that session, after {steps}"), named)
        }
        _ => match shared(each) {
            steps if steps.is_empty() => {
                (format!("the same command worked later in {all} sessions, which share no step"), steps)
            }
            steps => (format!("the same command worked later in {all} sessions; steps that they share"), steps),
        },
    };
    let mut notes = String::new();
    if unchanged == 0 && each.iter().all(|it| it.only_tests) {
        notes.push_str(&format!("; {ONLY_TESTS}"));
    }
    match each.iter().filter(|it| it.spoke).count() {
        0 => {}
        _ if all == 1 => notes.push_str(&format!("; {SPOKE}")),
        spoke => notes.push_str(&format!("; {SPOKE}, {}", times(spoke, all))),
    }
    // As many steps as fit.
    (0..=steps.len().min(NAMED_MAX))
        .rev()
        .map(|named| line(&opening, &steps, named, &notes))
        .find(|line| line.chars().count() <= chars_max)
}

fn line(opening: &str, steps: &[String], named: usize, notes: &str) -> String {
    let mut line = opening.to_owned();
    if named > 0 {
        line.push_str(&format!(": {}", steps[..named].join(", ")));
    }
    match steps.len() - named {
        0 => {}
        left if named > 0 => line.push_str(&format!(", and {left} more")),
        left => line.push_str(&format!(": {left}, too long to name here")),
    }
    line + notes
}

/// The steps of two sessions and more, each with how many had it, the most frequent first.
fn shared(each: &[Followed]) -> Vec<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for step in each.iter().flat_map(|it| &it.steps) {
        match counts.iter_mut().find(|(known, _)| known == step) {
            Some((_, count)) => *count += 1,
            None => counts.push((step, 1)),
        }
    }
    counts.retain(|(_, count)| *count > 1);
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.into_iter().map(|(step, count)| format!("{step} ({})", times(count, each.len()))).collect()
}

fn times(count: usize, of: usize) -> String {
    format!("{count} of {}", counted(of as u64, "time", "times"))
}

#[cfg(test)]
mod tests;
