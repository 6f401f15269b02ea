//! The demo's output: one table, or one JSON object.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use indelible::model::text::{number, shell_path};

use super::Told;
use super::evidence::CommitSeen;
use super::fire::{AT_ONCE, KILLED, percentile};
use crate::output::{count, json as print_json, line};

/// How many of the last commits are shown, and how many files of each.
const COMMITS_SHOWN: usize = 3;
const FILES_SHOWN: usize = 4;

/// Prints everything as one object. `home` is where it is, if it is left there.
pub fn as_json(told: &Told, home: Option<&Path>) {
    let checked = &told.checked;
    print_json(&json!({
        "recorders": told.shots.len(),
        "at_once": AT_ONCE,
        "acknowledged": checked.acknowledged,
        "files": checked.files,
        "rows": checked.rows,
        "in_git": checked.in_git,
        "commits": told.commits.len(),
        "lost": checked.lost,
        "doubled": checked.doubled,
        "p50_ms": milliseconds(told, 50),
        "p99_ms": milliseconds(told, 99),
        "killed": {
            "worker": 1,
            "recorders": KILLED,
            "acknowledged_before": checked.too_late,
            "kept_all_the_same": checked.kept,
            "nowhere": checked.gone,
        },
        "last_commits": told.commits.iter().take(COMMITS_SHOWN).map(commit_json).collect::<Vec<_>>(),
        "problems": checked.problems,
        "ok": checked.problems.is_empty(),
        "seconds": (told.took.as_secs_f64() * 1000.0).round() / 1000.0,
        "home": home.map(|home| home.display().to_string()),
    }));
}

fn commit_json(commit: &CommitSeen) -> Value {
    json!({ "commit": commit.id, "subject": commit.subject, "files": brought(commit).collect::<Vec<_>>() })
}

/// The files of a commit: new files, and changed pages.
fn brought(commit: &CommitSeen) -> impl Iterator<Item = &String> {
    commit.added.iter().chain(&commit.changed)
}

/// A percentile of the recorders' times, in milliseconds with two digits behind the point.
fn milliseconds(told: &Told, percent: usize) -> f64 {
    let time = percentile(told.shots.iter(), percent).unwrap_or(Duration::ZERO);
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Prints everything as a table.
pub fn as_table(told: &Told) {
    let checked = &told.checked;
    line(&format!(
        "{} recorders, {AT_ONCE} at a time; killed with SIGKILL: the worker once, {KILLED} recorders at random\n",
        told.shots.len()
    ));
    let row = |name: &str, value: String| line(&format!("{name:<13} {value:>8}"));
    row("acknowledged", number(checked.acknowledged as u64));
    row("files", number(checked.files as u64));
    row("rows", number(checked.rows as u64));
    row("in git", number(checked.in_git as u64));
    row("commits", number(told.commits.len() as u64));
    row("lost", number(checked.lost as u64));
    row("doubled", number(checked.doubled as u64));
    row("recorder p50", format!("{:.1} ms", milliseconds(told, 50)));
    row("recorder p99", format!("{:.1} ms", milliseconds(told, 99)));
    line(&format!("\n{}\n", killed(checked.too_late, checked.kept, checked.gone)));
    line("the last commits and their files:");
    told.commits.iter().take(COMMITS_SHOWN).for_each(show_commit);
    line("");
    checked.problems.iter().for_each(|problem| line(problem));
    line(&match checked.problems.len() {
        0 => format!(
            "every acknowledged record is in its file, its row and one commit, exactly once ({:.1} s)",
            told.took.as_secs_f64()
        ),
        problems => format!("{} ({:.1} s)", count(problems as u64, "problem", "problems"), told.took.as_secs_f64()),
    });
}

/// The outcome of the killed recorders' records, in a line.
fn killed(acknowledged: usize, survived: usize, gone: usize) -> String {
    let survived = match survived {
        0 => String::new(),
        1 => "1 had not but its record survived, ".to_owned(),
        many => format!("{many} had not but their records survived, "),
    };
    format!("killed {KILLED} recorders: {acknowledged} had acknowledged, {survived}{gone} left no trace")
}

fn show_commit(commit: &CommitSeen) {
    line(&format!("  {:.10}  {}", commit.id, indelible::model::text::visible_line(&commit.subject)));
    let files = brought(commit).count();
    // With one more, the line that counts the rest would be needed for one line only.
    let shown = if files == FILES_SHOWN + 1 { files } else { FILES_SHOWN };
    brought(commit).take(shown).for_each(|path| line(&format!("    {path}")));
    if files > shown {
        line(&format!("    and {} more", files - shown));
    }
}

/// Says how to inspect the home that is left.
pub fn where_to_look(home: &Path) {
    let home = shell_path(home);
    line(&format!("\nthe home is left to look at:\n  git -C {home} log --stat -3\n  indelible --home {home} status"));
}

#[cfg(test)]
mod tests {
    use super::killed;

    #[test]
    fn survivors_are_named_only_if_there_are_any() {
        assert_eq!(killed(2, 0, 3), "killed 5 recorders: 2 had acknowledged, 3 left no trace");
        let one = "killed 5 recorders: 1 had acknowledged, 1 had not but its record survived, 3 left no trace";
        assert_eq!(killed(1, 1, 3), one);
        assert!(killed(0, 2, 3).contains("2 had not but their records survived, 3"));
    }
}
