//! `review`: the rules that need a person.

use std::collections::BTreeMap;

use indelible::query::{View, newest, rules};
use indelible::rules::{Standing, State, alike};
use indelible::target::index::RuleRow;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::screen::{Screen, line_of};
use crate::reading::{self, pager};

const WHAT: &str = "the rules could not be reviewed";

/// The rules that need a person, by why.
#[derive(Default)]
struct Reviewed {
    eligible: Vec<Judged>,
    doubtful: Vec<Judged>,
    /// Each time a rule that was recorded more than once, the first record of it first.
    twice: Vec<Vec<Judged>>,
    /// Rules that another program marks as golden, and no person promoted here.
    marked: Vec<Judged>,
}

#[derive(Clone)]
struct Judged {
    row: RuleRow,
    standing: Standing,
}

pub fn run(context: &Context, limit: usize) -> Result<Exit, Failure> {
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let reviewed = reviewed(&view)?;
    reading::say_notes(context.json, view.notes());
    let limit = if limit == 0 { usize::MAX } else { limit };
    if context.json {
        output::json(&data(&reviewed, limit, view.notes()));
    } else {
        let screen = Screen::of_stdout();
        pager::show(&screen, &text(&screen, &reviewed, limit));
    }
    Ok(Exit::Done)
}

fn reviewed(view: &View<'_>) -> Result<Reviewed, Failure> {
    let rows = rules(view).map_err(reading::failed(WHAT))?;
    let newest = newest(view).map_err(reading::failed(WHAT))?.unwrap_or_default();
    let mut reviewed = Reviewed::default();
    let mut same: BTreeMap<String, Vec<Judged>> = BTreeMap::new();
    for row in rows {
        let standing = row.standing(newest);
        let judged = Judged { row, standing };
        let is_retired = judged.standing.state == State::Retired;
        let is_marked = judged.row.judged.is_marked_golden && judged.standing.tally.promoted.is_none();
        for (is_it, list) in [
            (judged.standing.is_eligible, &mut reviewed.eligible),
            (judged.standing.is_doubtful && !is_retired, &mut reviewed.doubtful),
            (is_marked && !is_retired, &mut reviewed.marked),
        ] {
            if is_it {
                list.push(judged.clone());
            }
        }
        if !is_retired {
            same.entry(alike(&judged.row.domain, &judged.row.rule)).or_default().push(judged);
        }
    }
    reviewed.twice = same.into_values().filter(|rules| rules.len() > 1).collect();
    for rules in &mut reviewed.twice {
        rules.sort_by_key(|it| it.row.id);
    }
    reviewed.twice.sort_by_key(|rules| rules[0].row.id);
    reviewed.eligible.sort_by(|one, other| other.standing.confidence.total_cmp(&one.standing.confidence));
    reviewed.doubtful.sort_by(|one, other| one.standing.confidence.total_cmp(&other.standing.confidence));
    Ok(reviewed)
}

fn data(reviewed: &Reviewed, limit: usize, notes: &[String]) -> Value {
    let list = |rules: &[Judged]| rules.iter().take(limit).map(rule_data).collect::<Vec<_>>();
    let twice: Vec<_> = reviewed.twice.iter().take(limit).map(|rules| list(rules)).collect();
    json!({
        "eligible": list(&reviewed.eligible),
        "doubtful": list(&reviewed.doubtful),
        "twice": twice,
        "marked_elsewhere": list(&reviewed.marked),
        "notes": notes,
    })
}

/// A rule and its standing as data.
fn rule_data(it: &Judged) -> Value {
    let Judged { row, standing } = it;
    json!({
        "id": row.id, "domain": row.domain, "rule": row.rule, "path": row.path, "origin": row.origin,
        "state": standing.state, "everywhere": standing.tally.is_everywhere, "confidence": standing.confidence, "stated": row.stated,
        "validated": standing.tally.validated, "violated": standing.tally.violated, "again": standing.tally.again,
        "days": standing.tally.days, "projects": standing.tally.projects, "by_person": standing.tally.by_person,
        "validated_elsewhere": row.judged.validated_elsewhere, "violated_elsewhere": row.judged.violated_elsewhere,
    })
}

fn text(screen: &Screen, reviewed: &Reviewed, limit: usize) -> String {
    let mut text = String::new();
    let mut add = |heading: &str, rules: &[Judged], hint: &str| {
        if rules.is_empty() {
            return;
        }
        let shown: Vec<Vec<String>> = rules.iter().take(limit).map(|it| line(screen, it)).collect();
        text.push_str(&format!("{heading}\n{}", screen.table(&shown, &[(2, 30), (1, 10)])));
        let left = rules.len().saturating_sub(limit);
        if left > 0 {
            text.push_str(&format!("and {left} more: --limit 0 shows all\n"));
        }
        text.push_str(&format!("{hint}\n\n"));
    };
    add(
        "Could be promoted:",
        &reviewed.eligible,
        "promote one with `indelible promote ID`, in all projects with --everywhere",
    );
    add(
        "Doubtful:",
        &reviewed.doubtful,
        "retire one with `indelible retire ID`, or `indelible demote ID` a golden one",
    );
    for rules in reviewed.twice.iter().take(limit) {
        add("Recorded more than once:", rules, "they count as one; nothing has to be done");
    }
    let hint = "another program marks these as golden; `indelible promote ID` says that a person does";
    add("Marked as golden elsewhere:", &reviewed.marked, hint);
    if text.is_empty() { "nothing needs you: no rule is eligible, doubtful or there twice\n".to_owned() } else { text }
}

fn line(screen: &Screen, it: &Judged) -> Vec<String> {
    let Judged { row, standing } = it;
    vec![
        row.id.short(),
        line_of(&row.domain),
        line_of(&row.rule),
        standing.state.to_string(),
        format!("{:.2}", standing.confidence),
        screen.dim(&format!("+{} -{}", standing.tally.validated, standing.tally.violated)),
    ]
}
