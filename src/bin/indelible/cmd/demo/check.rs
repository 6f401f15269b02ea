//! Checks that every record is where it should be, exactly once. No I/O.
//!
//! | the recorder | the record must be |
//! | --- | --- |
//! | exited 0 | whole: in every place exactly once, and the same in all |
//! | was killed before it could | whole, or nowhere |
//! | exited with anything else | nowhere; and it is an error, because nothing else uses the home |

use std::collections::HashMap;

use indelible::model::layout::{DOMAIN_PAGE, LOG, split};
use indelible::model::text::visible_line;
use indelible::model::{Kind, RecordPath};

use super::evidence::{CommitSeen, Entry, Evidence, Files, Front, Row, front};
use super::fire::{Receipt, Shot};
use super::plan::{Planned, Tokens};

const LOG_KIND: &str = "experiment-log";

/// The result of the check.
#[derive(Default)]
pub struct Checked {
    /// Recorders that exited 0.
    pub acknowledged: usize,
    /// Records' own files in the home.
    pub files: usize,
    /// Rows in the tables.
    pub rows: usize,
    /// Records' own files in the branch's newest commit.
    pub in_git: usize,
    /// Acknowledged records that are missing in some place.
    pub lost: usize,
    /// Records that are in some place more than once.
    pub doubled: usize,
    /// Recorders that acknowledged before they could be killed.
    pub too_late: usize,
    /// Records of killed recorders that were not acknowledged and are whole.
    pub kept: usize,
    /// Records of killed recorders that are nowhere.
    pub gone: usize,
    /// Every error that was found.
    pub problems: Vec<String>,
}

/// The traces of one record.
#[derive(Default)]
struct Seen<'e> {
    /// Its own files in the home, and its logs if it is an experiment.
    files: Vec<(&'e str, Front)>,
    logs: Vec<&'e str>,
    rows: Vec<&'e Row>,
    entries: Vec<&'e Entry>,
    /// Its own files in the newest commit, and its logs.
    in_git: Vec<&'e str>,
    logs_in_git: Vec<&'e str>,
    /// How many commits added one of its own files.
    commits: usize,
    /// The pages that it has a heading on, once for each.
    pages: Vec<&'e str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Whole,
    Nowhere,
    Doubled,
    Partial,
}

/// Compares what was found with what the recorders were told.
pub fn check(planned: &[Planned], shots: &[Shot], evidence: &Evidence) -> Checked {
    let mut checked = Checked { problems: evidence.trouble.clone(), ..Checked::default() };
    let seen = sort(planned, evidence, &mut checked.problems);
    for ((planned, shot), seen) in planned.iter().zip(shots).zip(&seen) {
        checked.files += seen.files.len();
        checked.rows += seen.rows.len();
        checked.in_git += seen.in_git.len();
        checked.acknowledged += usize::from(shot.acknowledged());
        checked.too_late += usize::from(shot.target && shot.acknowledged());
        let presence = presence(seen.places(planned.kind).iter().map(|(_, count)| *count));
        if let Some(wrong) = checked.judge(presence, shot) {
            checked.problems.push(seen.described(wrong, planned, shot));
        } else if presence == Presence::Whole {
            let differences = seen.differences(planned.kind, shot, evidence);
            checked.problems.extend(differences.into_iter().map(|what| format!("{}: {what}", planned.token)));
        }
    }
    checked
}

impl Checked {
    /// What is wrong with one record, if anything.
    fn judge(&mut self, presence: Presence, shot: &Shot) -> Option<&'static str> {
        let killed = shot.target && indelible::fs::os::was_killed(shot.status);
        let (count, wrong) = match (presence, shot.acknowledged()) {
            (Presence::Whole, true) => return None,
            (Presence::Doubled, _) => (&mut self.doubled, Some("doubled")),
            (Presence::Nowhere | Presence::Partial, true) => (&mut self.lost, Some("lost")),
            (Presence::Whole, false) if killed => (&mut self.kept, None),
            (Presence::Nowhere, false) if killed => (&mut self.gone, None),
            (Presence::Partial, false) => return Some("half there"),
            (Presence::Whole, false) => return Some("refused, and there all the same"),
            (Presence::Nowhere, false) => return Some("refused"),
        };
        *count += 1;
        wrong
    }
}

/// What it means to be in each place this many times.
fn presence(counts: impl Iterator<Item = usize> + Clone) -> Presence {
    match (counts.clone().min(), counts.max()) {
        (_, Some(2..)) => Presence::Doubled,
        (Some(1), _) => Presence::Whole,
        (_, Some(1)) => Presence::Partial,
        _ => Presence::Nowhere,
    }
}

/// Sorts what was found by record, and names what belongs to no record.
fn sort<'e>(planned: &[Planned], evidence: &'e Evidence, problems: &mut Vec<String>) -> Vec<Seen<'e>> {
    let tokens = Tokens::of(planned);
    let mut seen: Vec<Seen<'_>> = std::iter::repeat_with(Seen::default).take(planned.len()).collect();
    sort_files(&evidence.disk, "the home", &tokens, problems, |number, path, front| match front.kind == LOG_KIND {
        true => seen[number].logs.push(path),
        false => seen[number].files.push((path, front)),
    });
    sort_files(&evidence.tree, "git", &tokens, problems, |number, path, front| match front.kind == LOG_KIND {
        true => seen[number].logs_in_git.push(path),
        false => seen[number].in_git.push(path),
    });
    sort_rows(evidence, &tokens, problems, &mut seen);
    sort_headings(&evidence.disk, &tokens, &mut seen);
    sort_commits(&evidence.commits, problems, &mut seen);
    seen
}

fn sort_files<'e>(
    files: &'e Files,
    place: &str,
    tokens: &Tokens<'_>,
    problems: &mut Vec<String>,
    mut take: impl FnMut(usize, &'e str, Front),
) {
    for (path, bytes) in files.iter().filter(|(path, _)| split(path).1 != DOMAIN_PAGE) {
        let found = front(bytes).and_then(|front| Some((tokens.find(&front.headline)?, front)));
        match found {
            Some((number, front)) => take(number, path, front),
            None => problems.push(format!("a file in {place} is no record's: {path}")),
        }
    }
}

fn sort_rows<'e>(evidence: &'e Evidence, tokens: &Tokens<'_>, problems: &mut Vec<String>, seen: &mut [Seen<'e>]) {
    let mut owners = HashMap::new();
    for row in &evidence.rows {
        match tokens.find(&row.headline) {
            Some(number) => {
                owners.insert((row.kind.as_str(), row.row_id), number);
                seen[number].rows.push(row);
            }
            None => problems.push(format!("a row is no record's: {} {}", row.kind, row.row_id)),
        }
    }
    for entry in &evidence.entries {
        match owners.get(&(entry.kind.as_str(), entry.row_id)) {
            Some(number) => seen[*number].entries.push(entry),
            None => problems.push(format!("the entry of {} {} has no row", entry.kind, entry.id)),
        }
    }
}

fn sort_headings<'e>(disk: &'e Files, tokens: &Tokens<'_>, seen: &mut [Seen<'e>]) {
    for (path, bytes) in disk.iter().filter(|(path, _)| split(path).1 == DOMAIN_PAGE) {
        let text = String::from_utf8_lossy(bytes);
        for number in text.lines().filter(|line| line.starts_with("## ")).filter_map(|line| tokens.find(line)) {
            seen[number].pages.push(path);
        }
    }
}

/// Counts the commits that added a record's file. None may have changed or removed one since.
fn sort_commits(commits: &[CommitSeen], problems: &mut Vec<String>, seen: &mut [Seen<'_>]) {
    let mut added: HashMap<&str, usize> = HashMap::new();
    for commit in commits {
        commit.added.iter().for_each(|path| *added.entry(path).or_default() += 1);
        let touched = commit.changed.iter().filter(|path| split(path).1 != DOMAIN_PAGE).chain(&commit.removed);
        problems.extend(touched.map(|path| format!("the commit {} changes or removes {path}", commit.id)));
    }
    for seen in seen {
        let mut paths: Vec<&str> =
            seen.files.iter().map(|(path, _)| *path).chain(seen.in_git.iter().copied()).collect();
        paths.sort_unstable();
        paths.dedup();
        seen.commits = paths.iter().filter_map(|path| added.get(path)).sum();
    }
}

impl Seen<'_> {
    /// Every place that must have a record of this kind, and how often the record is there.
    fn places(&self, kind: Kind) -> Vec<(&'static str, usize)> {
        let mut places = vec![
            ("files", self.files.len()),
            ("rows", self.rows.len()),
            ("entries", self.entries.len()),
            ("in git", self.in_git.len()),
            ("commits", self.commits),
        ];
        match kind {
            Kind::Heuristic => places.push(("headings", self.pages.len())),
            Kind::Experiment => places.extend([("logs", self.logs.len()), ("logs in git", self.logs_in_git.len())]),
            _ => {}
        }
        places
    }

    fn described(&self, wrong: &str, planned: &Planned, shot: &Shot) -> String {
        let places: Vec<_> =
            self.places(planned.kind).iter().map(|(place, count)| format!("{place} {count}")).collect();
        let Planned { kind, token, .. } = planned;
        let said = visible_line(shot.said.trim());
        format!("{wrong}: {kind} {token} ({}); its recorder: {}, {said}", places.join(", "), shot.status)
    }

    /// Differences between the places of a record that is in each of them once.
    fn differences(&self, kind: Kind, shot: &Shot, evidence: &Evidence) -> Vec<String> {
        let (Some((path, front)), Some(row), Some(entry)) =
            (self.files.first(), self.rows.first(), self.entries.first())
        else {
            return Vec::new();
        };
        let place = match kind {
            Kind::Experiment => RecordPath(path).shown(),
            _ => path,
        };
        let mut differences = Vec::new();
        let mut same = |equal: bool, what: &str| {
            if !equal {
                differences.push(what.to_owned());
            }
        };
        same(front.kind == kind.name() && row.kind == kind.name(), "its file or its row is of another kind");
        same(entry.id == front.id, "its entry and its file have different ids");
        same(entry.path == place, "its entry says that it is elsewhere");
        same(row.path.as_deref().is_none_or(|path| path == place), "its row says that it is elsewhere");
        same(self.in_git == [*path], "git has it elsewhere");
        let everything = self.logs.iter().chain([path]);
        let equal = everything.clone().all(|path| evidence.disk.get(*path) == evidence.tree.get(*path));
        same(equal, "git has other bytes than the file");
        same(self.logs.iter().all(|log| split(log) == (place, LOG)), "its log is elsewhere");
        let on_page = |page: &&str| path.starts_with(page.trim_end_matches(DOMAIN_PAGE));
        same(self.pages.iter().all(on_page), "it is on another domain's page");
        same(
            self.pages.iter().all(|page| evidence.disk.get(*page) == evidence.tree.get(*page)),
            "git has another page of its domain",
        );
        if shot.acknowledged() {
            let receipt = shot.receipt();
            same(receipt.is_some_and(|it| agrees(&it, entry)), "its recorder said something else");
        }
        differences
    }
}

/// Whether a recorder's output is right. It does not know the row if the worker inserted it.
fn agrees(receipt: &Receipt, entry: &Entry) -> bool {
    let Receipt { id, kind, path, row_id } = receipt;
    (id, kind, path) == (&entry.id, &entry.kind, &entry.path) && row_id.is_none_or(|row_id| row_id == entry.row_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_follows_from_the_number_of_places() {
        let of = |counts: &[usize]| presence(counts.iter().copied());
        assert_eq!(of(&[1, 1, 1]), Presence::Whole);
        assert_eq!(of(&[0, 0, 0]), Presence::Nowhere);
        assert_eq!(of(&[1, 0, 1]), Presence::Partial);
        assert_eq!(of(&[1, 2, 0]), Presence::Doubled);
    }
}
