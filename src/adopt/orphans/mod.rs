//! Finds and mends orphans: the framework's files without a row, and its rows without a file.
//!
//! Records of this program are skipped: `verify` and `repair` handle them. No existing file or row changes. A missing file is
//! placed, a missing row inserted.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the rows are committed | no new row (SQLite rolls back) | mending again inserts them |
//! | between the files | some files, each whole, also after a power cut | mending again places the others |

mod mend;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::Value;
use serde::Serialize;

pub(super) use self::mend::mend;
use self::rows::{HeuristicRow, LearningRow, Rows};
use super::legacy;
use crate::audit::walk;
use crate::fs::{self, Dir};
use crate::model::check_path;
use crate::model::layout::{
    DOMAIN_PAGE, EXPERIMENTS_ACTIVE, EXPERIMENTS_COMPLETED, FAILURES, HEURISTICS, HYPOTHESIS, OBSERVATIONS, SUCCESSES,
    join,
};
use crate::model::text::visible_line;
use crate::page;
use crate::target::index;

/// The folders of failures, successes and observations, with the type in their rows.
const LEARNINGS: [(&str, &str); 3] = [(FAILURES, "failure"), (SUCCESSES, "success"), (OBSERVATIONS, "observation")];
/// A page is never larger.
const READ_BYTES_MAX: u64 = 16 << 20;

/// All orphans of a home.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Orphans {
    /// How many of the framework's pages and folders were looked at.
    pub looked_at: u64,
    /// Files, and heuristics on pages, without a row.
    pub files: Vec<Orphan>,
    /// Rows without a file, or without an entry on their domain's page.
    pub rows: Vec<Orphan>,
    /// Rows that share their file with a later row, which overwrote it. They are left as they are.
    pub shared: Vec<Orphan>,
}

/// One orphan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Orphan {
    /// The file; relative to the home.
    pub path: String,
    /// Its row, as `table 12`, if it has one.
    pub row: Option<String>,
    /// Its title, rule or name.
    pub headline: String,
    /// Why it cannot be mended, if it cannot.
    pub left: Option<String>,
    /// What would mend it.
    #[serde(skip)]
    mend: Option<Mend>,
}

#[derive(Clone, Debug, PartialEq)]
enum Mend {
    /// Values for a new row.
    Row { table: &'static str, values: Vec<(&'static str, Value)> },
    /// The text of a new file.
    File(String),
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mended {
    /// Rows inserted.
    pub rows: u64,
    /// Files placed.
    pub files: u64,
    /// What could not be mended, and why.
    pub left: Vec<String>,
}

/// Finds orphans among the framework's files beneath `home` and the rows in `database`.
///
/// # Errors
/// Every error of reading files or rows.
pub(super) fn find(home: &Dir, database: Option<&Connection>) -> Result<Orphans, super::Error> {
    let rows = match database {
        Some(database) => Rows::read(database).map_err(failed("read the rows"))?,
        None => Rows::default(),
    };
    let mut looking = Looking { home, rows, orphans: Orphans::default() };
    looking.learnings()?;
    looking.heuristics()?;
    looking.experiments()?;
    Ok(looking.orphans)
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> super::Error {
    move |source| index::Error::Sqlite { doing, source }.into()
}

struct Looking<'h> {
    home: &'h Dir,
    rows: Rows,
    orphans: Orphans,
}

impl Looking<'_> {
    /// A row's path, relative to the home. On Windows it can have backslashes, which are part of a name elsewhere.
    fn beneath(&self, path: &str) -> String {
        let home = self.home.path().to_string_lossy();
        let path = path.strip_prefix(&*home).unwrap_or(path);
        let plain = |path: &str| path.trim_start_matches("./").trim_matches('/').to_owned();
        let is_file = |path: &String| matches!(self.home.find(path), Ok(Some(_)));
        let as_it_is = plain(path);
        match plain(&path.replace('\\', "/")) {
            with_slashes if !is_file(&as_it_is) && is_file(&with_slashes) => with_slashes,
            _ => as_it_is,
        }
    }

    /// Whether something lies at `path`. A path that leaves the home counts as missing.
    fn is_there(&self, path: &str) -> bool {
        !path.is_empty() && !matches!(self.home.find(path), Ok(None))
    }

    fn learnings(&mut self) -> Result<(), super::Error> {
        let mut by_path: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, row) in self.rows.learnings.iter().enumerate() {
            by_path.entry(self.beneath(&row.path)).or_default().push(at);
        }
        for (folder, kind) in LEARNINGS {
            let mut found = Vec::new();
            walk::<super::Error>(self.home, folder.trim_end_matches('/'), &mut |dir, name, path| {
                if is_page(name) && !by_path.contains_key(path) {
                    found.push((name.to_owned(), path.to_owned(), read(dir, name)?));
                } else if is_page(name) {
                    found.push((name.to_owned(), path.to_owned(), None));
                }
                Ok(())
            })?;
            for (name, path, bytes) in found {
                self.learning_file(kind, &name, path, bytes);
            }
        }
        for (path, rows) in by_path {
            self.learning_rows(&path, &rows);
        }
        Ok(())
    }

    fn learning_file(&mut self, kind: &str, name: &str, path: String, bytes: Option<Vec<u8>>) {
        self.orphans.looked_at += 1;
        let Some(bytes) = bytes else { return };
        if page::id_of(&bytes).is_some() {
            self.orphans.looked_at -= 1;
            return;
        }
        let found = legacy::learning(&bytes, name);
        let at = created_at(found.created_at);
        let values = vec![
            ("type", Value::Text(kind.to_owned())),
            ("filepath", Value::Text(path.clone())),
            ("title", Value::Text(found.title.clone())),
            ("summary", Value::Text(found.summary)),
            ("tags", Value::Text(found.tags)),
            ("domain", Value::Text(found.domain.unwrap_or_default())),
            ("severity", Value::Integer(found.severity.into())),
            ("created_at", Value::Text(at.clone())),
            ("updated_at", Value::Text(at)),
        ];
        self.orphans.files.push(Orphan {
            path,
            row: None,
            headline: found.title,
            left: None,
            mend: Some(Mend::Row { table: "learnings", values }),
        });
    }

    fn learning_rows(&mut self, path: &str, rows: &[usize]) {
        let named = |row: &LearningRow, left, mend| Orphan {
            path: path.to_owned(),
            row: Some(format!("learnings {}", row.id)),
            headline: row.fields.title.clone(),
            left,
            mend,
        };
        if self.is_there(path) {
            // The file is the last one's; of the others nothing but the row is left.
            let (_, others) = rows.split_last().expect("a path is here for a row of it");
            let why = "a later row has the file";
            let others = others.iter().map(|at| named(&self.rows.learnings[*at], Some(why.to_owned()), None));
            self.orphans.shared.extend(others.collect::<Vec<_>>());
            return;
        }
        for (nth, row) in rows.iter().map(|at| &self.rows.learnings[*at]).enumerate() {
            let orphan = match check_path(path) {
                Err(_) => named(row, Some("its path is not one of a page beneath the home".to_owned()), None),
                Ok(()) if !LEARNINGS.iter().any(|(folder, _)| path.starts_with(folder)) => {
                    named(row, Some("its page is not one of a failure, a success or an observation".to_owned()), None)
                }
                Ok(()) if nth > 0 => named(row, Some("an earlier row names the same file".to_owned()), None),
                Ok(()) => named(row, None, Some(Mend::File(legacy::learning_page(row.id, &row.fields)))),
            };
            self.orphans.rows.push(orphan);
        }
    }

    fn heuristics(&mut self) -> Result<(), super::Error> {
        let dir = match self.home.folder(HEURISTICS) {
            Err(_) => None,
            dir => dir.ok(),
        };
        let (mut rules, mut pages) = (Vec::new(), HashSet::new());
        for name in dir.as_ref().map(Dir::names).transpose()?.unwrap_or_default() {
            let (Some(stem), Some(dir)) = (name.strip_suffix(".md"), &dir) else { continue };
            if !is_page(&name) || !dir.find(&name)?.is_some_and(|found| found.is_file) {
                continue;
            }
            self.orphans.looked_at += 1;
            pages.insert(stem.to_owned());
            let bytes = read(dir, &name)?.unwrap_or_default();
            rules.extend(legacy::rules(&bytes, stem).into_iter().map(|rule| (join(HEURISTICS, &name), rule)));
        }
        let by_id: HashMap<i64, &HeuristicRow> = self.rows.heuristics.iter().map(|row| (row.id, row)).collect();
        let by_rule: HashSet<&str> = self.rows.heuristics.iter().map(|row| row.rule.trim()).collect();
        let mut without_row = Vec::new();
        for (path, rule) in &rules {
            let known = rule.row.is_some_and(|row| by_id.contains_key(&row)) || by_rule.contains(rule.rule.as_str());
            if !known {
                without_row.push(heuristic_row(path, rule));
            }
        }
        let shown: HashSet<&str> = rules.iter().map(|(_, rule)| rule.rule.as_str()).collect();
        let named: HashSet<i64> = rules.iter().filter_map(|(_, rule)| rule.row).collect();
        let without_entry =
            self.rows.heuristics.iter().filter(|row| !named.contains(&row.id) && !shown.contains(row.rule.trim()));
        let without_entry = heuristic_pages(without_entry.collect(), &pages);
        self.orphans.files.extend(without_row);
        self.orphans.rows.extend(without_entry);
        Ok(())
    }

    fn experiments(&mut self) -> Result<(), super::Error> {
        let known: HashSet<String> = self.rows.experiments.iter().map(|row| self.beneath(&row.path)).collect();
        let names: HashSet<String> = self.rows.experiments.iter().map(|row| row.name.clone()).collect();
        for (above, status) in [(EXPERIMENTS_ACTIVE, "active"), (EXPERIMENTS_COMPLETED, "success")] {
            let Ok(dir) = self.home.folder(above) else { continue };
            for folder in dir.names()? {
                let path = format!("{above}/{folder}");
                if !dir.find(&folder)?.is_some_and(|found| found.is_folder) {
                    continue;
                }
                let bytes = dir.folder(&folder)?.content(HYPOTHESIS, READ_BYTES_MAX).ok().flatten();
                let Some(bytes) = bytes.filter(|bytes| page::id_of(bytes).is_none()) else { continue };
                self.orphans.looked_at += 1;
                let (name, hypothesis) = legacy::experiment(&bytes, &folder);
                if known.contains(&path) || names.contains(&name) {
                    continue;
                }
                let values = vec![
                    ("name", Value::Text(name.clone())),
                    ("hypothesis", Value::Text(hypothesis)),
                    ("status", Value::Text(status.to_owned())),
                    ("folder_path", Value::Text(path.clone())),
                ];
                let mend = Some(Mend::Row { table: "experiments", values });
                self.orphans.files.push(Orphan { path, row: None, headline: name, left: None, mend });
            }
        }
        for row in &self.rows.experiments {
            let folder = self.beneath(&row.path);
            if folder.is_empty() || self.is_there(&folder) {
                continue;
            }
            let path = join(&folder, HYPOTHESIS);
            let (left, mend) = match check_path(&path) {
                Ok(()) => (None, Some(Mend::File(legacy::experiment_page(row.id, &row.name, &row.hypothesis)))),
                Err(_) => (Some("its path is not one of a folder beneath the home".to_owned()), None),
            };
            let (named, headline) = (Some(format!("experiments {}", row.id)), row.name.clone());
            self.orphans.rows.push(Orphan { path, row: named, headline, left, mend });
        }
        Ok(())
    }
}

/// Whether a file of this name is a record's page, and not about the folder.
fn is_page(name: &str) -> bool {
    name.ends_with(".md") && !name.starts_with(['.', '_']) && !matches!(name, DOMAIN_PAGE | "TEMPLATE.md" | "INDEX.md")
}

/// The content of a page; `None` if it is not a plain file, or too large.
fn read(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, fs::Error> {
    match dir.content(name, READ_BYTES_MAX) {
        Err(fs::Error::Refused { .. }) => Ok(None),
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::FileTooLarge) => Ok(None),
        content => content,
    }
}

/// A time as the framework's tables have it; the current time if it is unknown.
fn created_at(at: Option<Timestamp>) -> String {
    at.unwrap_or_else(Timestamp::now).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A rule on a page without a row.
fn heuristic_row(path: &str, rule: &legacy::Rule) -> Orphan {
    let at = created_at(rule.created_at);
    let mut values = vec![
        ("domain", Value::Text(rule.domain.clone())),
        ("rule", Value::Text(rule.rule.clone())),
        ("explanation", Value::Text(rule.explanation.clone())),
        ("source_type", Value::Text(rule.source.clone().unwrap_or_else(|| "observation".into()))),
        ("confidence", Value::Real(rule.confidence)),
        ("created_at", Value::Text(at.clone())),
        ("updated_at", Value::Text(at)),
    ];
    // Its heading names its row: it gets that number again.
    values.extend(rule.row.map(|row| ("id", Value::Integer(row))));
    let mend = Some(Mend::Row { table: "heuristics", values });
    Orphan { path: path.to_owned(), row: None, headline: rule.rule.clone(), left: None, mend }
}

/// Rows that no page shows. An existing page is its owner's and is never written to. For a missing page, one is made of all
/// rows of its domain.
fn heuristic_pages(rows: Vec<&HeuristicRow>, pages: &HashSet<String>) -> Vec<Orphan> {
    let mut by_page: BTreeMap<String, Vec<&HeuristicRow>> = BTreeMap::new();
    for row in rows {
        by_page.entry(page_name(&row.domain)).or_default().push(row);
    }
    let mut orphans = Vec::new();
    for (stem, rows) in by_page {
        let text = match () {
            () if pages.contains(&stem) => Err("its domain's page is there, and is never written to"),
            () if stem.is_empty() => Err("its domain gives no file name"),
            () => Ok(heuristics_page(&rows)),
        };
        for (nth, row) in rows.iter().enumerate() {
            let (left, mend) = match &text {
                Ok(text) if nth == 0 => (None, Some(Mend::File(text.clone()))),
                Ok(_) => (None, None),
                Err(why) => (Some((*why).to_owned()), None),
            };
            let path = format!("{HEURISTICS}/{stem}.md");
            let (row, headline) = (Some(format!("heuristics {}", row.id)), row.rule.clone());
            orphans.push(Orphan { path, row, headline, left, mend });
        }
    }
    orphans
}

/// The name that the framework gives a domain's page.
fn page_name(domain: &str) -> String {
    let spelt = domain.to_lowercase().replace(' ', "-");
    spelt.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect()
}

fn heuristics_page(rows: &[&HeuristicRow]) -> String {
    let mut page = format!("# Heuristics: {}\n", visible_line(rows.first().map_or("", |row| &row.domain)));
    for row in rows {
        let line = |text: &str| visible_line(text).into_owned();
        page.push_str(&format!(
            "\n## H-{}: {}\n\n**Confidence**: {}\n**Source**: {}\n**Created**: {}\n\n{}\n\n---\n",
            row.id,
            line(&row.rule),
            line(&row.confidence),
            line(&row.source),
            line(&row.created_at),
            crate::model::text::visible(&row.explanation),
        ));
    }
    page
}
