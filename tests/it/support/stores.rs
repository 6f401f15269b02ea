//! What the three stores hold, read without the product: files as text, rows by SQLite, history by the git program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Receipt, TestHome};

/// A row of `records`.
#[derive(Clone, Debug)]
pub struct Row {
    pub kind: String,
    pub path: String,
    pub row_id: i64,
    /// The title, rule or name in its own table; none where that lacks the row.
    pub headline: Option<String>,
}

impl Row {
    /// The record's own page.
    fn page(&self) -> String {
        if self.kind == "experiment" { format!("{}/hypothesis.md", self.path) } else { self.path.clone() }
    }
}

/// All three stores, as they are at one moment.
pub struct Stores {
    /// By id, the pages that carry it.
    pub files: BTreeMap<String, Vec<String>>,
    /// By id.
    pub rows: BTreeMap<String, Row>,
    /// How many rows each table has, and how many `records` say that it has.
    tables: Vec<(&'static str, i64, i64)>,
    /// Paths that two rows of a table share.
    doubled: Vec<String>,
    /// By path, the commits that introduced it.
    pub introduced: BTreeMap<String, Vec<String>>,
    /// By path, its blob in the branch's tree.
    pub tree: BTreeMap<String, String>,
    /// By path, the blob that its file would be.
    on_disk: BTreeMap<String, String>,
    /// By domain folder, its page.
    pages: BTreeMap<String, String>,
}

impl Stores {
    pub fn read(home: &TestHome) -> Stores {
        let mut paths = Vec::new();
        for folder in ["memory", "experiments"] {
            markdown(home.path(), folder, &mut paths);
        }
        let mut files = BTreeMap::<String, Vec<String>>::new();
        let mut pages = BTreeMap::new();
        for path in &paths {
            let text = std::fs::read(home.join(path)).expect("a file that was listed");
            let text = String::from_utf8_lossy(&text).into_owned();
            if path.starts_with("memory/heuristics/") && path.ends_with("/README.md") {
                pages.insert(path.trim_end_matches("/README.md").to_owned(), text);
            } else if let Some(id) = id_in(&text).filter(|_| !path.ends_with("/log.md")) {
                files.entry(id).or_default().push(path.clone());
            }
        }
        let (rows, tables, doubled) = rows(home);
        let on_disk = hashes(home, &paths);
        Stores { files, rows, tables, doubled, introduced: introduced(home), tree: tree(home), on_disk, pages }
    }

    /// Every id that any store knows.
    pub fn ids(&self) -> BTreeSet<String> {
        let in_git = self.tree.keys().filter_map(|path| self.id_of_path(path));
        self.files.keys().chain(self.rows.keys()).cloned().chain(in_git).collect()
    }

    fn id_of_path(&self, path: &str) -> Option<String> {
        self.rows.iter().find(|(_, row)| row.page() == path).map(|(id, _)| id.clone())
    }

    /// The ids of records whose headline is `headline`.
    pub fn named(&self, headline: &str) -> Vec<String> {
        self.rows
            .iter()
            .filter(|(_, row)| row.headline.as_deref() == Some(headline))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// What is wrong with the record `id`, which should be in each store once.
    pub fn problems_of(&self, id: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut say = |what: String| wrong.push(format!("{id}: {what}"));
        let files = self.files.get(id).map_or(&[][..], Vec::as_slice);
        if files.len() != 1 {
            say(format!("{} files instead of one: {files:?}", files.len()));
        }
        let Some(row) = self.rows.get(id) else {
            say("no row in records".into());
            return wrong;
        };
        if row.headline.is_none() {
            say(format!("its table has no row {}", row.row_id));
        }
        let page = row.page();
        if let [file] = files
            && *file != page
        {
            say(format!("the file is at {file}, and the row says {page}"));
        }
        let mut companions = vec![page.clone()];
        if row.kind == "experiment" {
            companions.push(format!("{}/log.md", row.path));
        }
        for path in companions {
            let commits = self.introduced.get(&path).map_or(&[][..], Vec::as_slice);
            if commits.len() != 1 {
                say(format!("{} commits introduce {path} instead of one: {commits:?}", commits.len()));
            }
            match (self.tree.get(&path), self.on_disk.get(&path)) {
                (None, _) => say(format!("{path} is not in the branch's tree")),
                (_, None) => say(format!("{path} is not on disk")),
                (Some(in_git), Some(on_disk)) if in_git != on_disk => {
                    say(format!("{path} has other bytes on disk than in git"));
                }
                _ => {}
            }
        }
        if row.kind == "heuristic" {
            wrong.extend(self.page_problems(id, &row.path));
        }
        wrong
    }

    /// A heuristic is on its domain's page once, and git has that page.
    fn page_problems(&self, id: &str, path: &str) -> Vec<String> {
        let folder = path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let Some(page) = self.pages.get(&folder) else { return vec![format!("{id}: {folder} has no README.md")] };
        let link = format!("]({})", &path[folder.len() + 1..]);
        let shown = page.matches(&link).count();
        let mut wrong = Vec::new();
        if shown != 1 {
            wrong.push(format!("{id}: its domain's page shows it {shown} times"));
        }
        let readme = format!("{folder}/README.md");
        if self.tree.get(&readme) != self.on_disk.get(&readme) {
            wrong.push(format!("{id}: {readme} on disk is not the one in git"));
        }
        wrong
    }

    /// What is wrong with the stores as a whole: records that were never recorded, and duplicates.
    pub fn general_problems(&self) -> Vec<String> {
        let mut wrong: Vec<_> = self.doubled.iter().map(|path| format!("two rows say {path}")).collect();
        for (table, there, known) in &self.tables {
            if there != known {
                wrong.push(format!("{table} has {there} rows, and records know {known}"));
            }
        }
        let pages: BTreeSet<_> = self.rows.values().map(Row::page).collect();
        for path in self.tree.keys().filter(|path| path.ends_with(".md")) {
            let companion = path.ends_with("/README.md") || path.ends_with("/log.md");
            let theirs = !path.starts_with("memory/") && !path.starts_with("experiments/");
            if !companion && !theirs && !pages.contains(path) {
                wrong.push(format!("{path} is in git, and no row knows it"));
            }
        }
        wrong
    }

    /// Everything that is wrong, if every record that any store knows should be in all of them once.
    pub fn problems(&self) -> Vec<String> {
        let each = self.ids().into_iter().flat_map(|id| self.problems_of(&id));
        each.chain(self.general_problems()).collect()
    }
}

/// Holds that each record in `receipts` is in each store exactly once, and that nothing else is anywhere in part.
#[track_caller]
pub fn assert_exactly_once(home: &TestHome, receipts: &[Receipt]) -> Stores {
    let stores = Stores::read(home);
    let mut wrong: Vec<_> = receipts.iter().flat_map(|receipt| stores.problems_of(&receipt.id)).collect();
    for receipt in receipts {
        if let Some(row) = stores.rows.get(&receipt.id)
            && (row.kind.as_str(), row.path.as_str()) != (&receipt.kind, &receipt.path)
        {
            wrong.push(format!("{}: the receipt said {} at {}: {row:?}", receipt.id, receipt.kind, receipt.path));
        }
    }
    wrong.extend(stores.problems());
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "what was acknowledged is not there exactly once:\n{}", wrong.join("\n"));
    stores
}

/// Holds that what was recorded as `headline`, which was not acknowledged, is in each store once or in none. Returns how
/// many records of that name there are.
#[track_caller]
pub fn assert_absent_or_whole(home: &TestHome, headline: &str) -> usize {
    let stores = Stores::read(home);
    let wrong = stores.problems();
    assert!(wrong.is_empty(), "something is there in part:\n{}", wrong.join("\n"));
    let count = stores.named(headline).len();
    assert!(count <= 1, "{headline:?} was recorded once and is there {count} times");
    if count == 0 {
        let mentioned = home.git(["grep", "-F", "-l", "-e", headline, &home.history()]).run();
        assert_eq!(mentioned.stdout, "", "{headline:?} has no row, and git has it");
    }
    count
}

/// The id that the front matter of `text` opens with.
fn id_in(text: &str) -> Option<String> {
    let id = text.strip_prefix("---\nid: ")?.split('\n').next()?;
    (id.len() == 36).then(|| id.to_owned())
}

fn markdown(home: &Path, folder: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(home.join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("a folder that was opened can be listed");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("our names are ASCII"));
        if entry.file_type().expect("it is there").is_dir() {
            markdown(home, &path, found);
        } else if path.ends_with(".md") {
            found.push(path);
        }
    }
}

type Rows = (BTreeMap<String, Row>, Vec<(&'static str, i64, i64)>, Vec<String>);

fn rows(home: &TestHome) -> Rows {
    let index = home.index();
    let sql = "SELECT r.id, r.kind, r.path, r.row_id, CASE
            WHEN r.kind = 'heuristic' THEN (SELECT rule FROM heuristics WHERE id = r.row_id)
            WHEN r.kind = 'verdict' THEN (SELECT verdict FROM verdicts WHERE id = r.row_id AND given = r.id)
            WHEN r.kind = 'experiment' THEN (SELECT name FROM experiments WHERE id = r.row_id AND folder_path = r.path)
            ELSE (SELECT title FROM learnings WHERE id = r.row_id AND filepath = r.path AND type = r.kind) END
        FROM records r";
    let mut statement = index.prepare(sql).expect("the tables are there");
    let rows = statement.query_map([], |row| {
        let value = Row { kind: row.get(1)?, path: row.get(2)?, row_id: row.get(3)?, headline: row.get(4)? };
        Ok((row.get(0)?, value))
    });
    let rows = rows.and_then(Iterator::collect).expect("the records can be read");
    let count = |sql: &str| index.query_row(sql, [], |row| row.get(0)).expect("rows can be counted");
    let learning = "kind IN ('failure', 'success', 'observation')";
    let tables = [
        ("learnings", learning),
        ("heuristics", "kind = 'heuristic'"),
        ("experiments", "kind = 'experiment'"),
        ("verdicts", "kind = 'verdict' AND row_id > 0"),
    ];
    let tables = tables.map(|(table, kinds)| {
        let known = count(&format!("SELECT count(DISTINCT row_id) FROM records WHERE {kinds}"));
        (table, count(&format!("SELECT count(*) FROM {table}")), known)
    });
    let doubled = "SELECT filepath FROM learnings GROUP BY filepath HAVING count(*) > 1
        UNION ALL SELECT folder_path FROM experiments GROUP BY folder_path HAVING count(*) > 1
        UNION ALL SELECT path FROM records GROUP BY path HAVING count(*) > 1";
    let mut statement = index.prepare(doubled).expect("the tables are there");
    let doubled = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("paths can be read");
    (rows, tables.to_vec(), doubled)
}

/// By path, the commits of our branch that introduced it.
fn introduced(home: &TestHome) -> BTreeMap<String, Vec<String>> {
    let mut introduced = BTreeMap::<String, Vec<String>>::new();
    if !has_branch(home) {
        return introduced;
    }
    let log = home.git(["log", "--format=%H", "--name-status", "--no-renames", &home.history()]).ok();
    let mut commit = "";
    for line in log.stdout.lines().filter(|line| !line.is_empty()) {
        match line.split_once('\t') {
            None => commit = line,
            Some(("A", path)) => introduced.entry(path.to_owned()).or_default().push(commit.to_owned()),
            Some(_) => {}
        }
    }
    introduced
}

fn tree(home: &TestHome) -> BTreeMap<String, String> {
    if !has_branch(home) {
        return BTreeMap::new();
    }
    let listed = home.git(["ls-tree", "-r", &home.history()]).ok();
    let entry = |line: &str| {
        let (object, path) = line.split_once('\t').expect("git lists a path");
        (path.to_owned(), object.rsplit(' ').next().expect("git lists an object").to_owned())
    };
    listed.stdout.lines().map(entry).collect()
}

fn has_branch(home: &TestHome) -> bool {
    let name = home.history();
    home.git(["rev-parse", "-q", "--verify", &name]).run().code() == Some(0)
}

fn hashes(home: &TestHome, paths: &[String]) -> BTreeMap<String, String> {
    let input = paths.join("\n");
    let hashed = home.git(["hash-object", "--no-filters", "--stdin-paths"]).stdin(input).ok();
    paths.iter().cloned().zip(hashed.stdout.lines().map(str::to_owned)).collect()
}
