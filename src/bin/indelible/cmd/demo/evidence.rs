//! Reads what is in the home, from the files, the tables and the git objects themselves.
//!
//! 1. The library's readers are not used: they are what is checked.
//! 2. Nothing is written, and no setting of the user, of git or otherwise, changes what is found.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use git2::{Commit, ObjectType, Odb, Oid, Repository, TreeWalkMode, TreeWalkResult};
use rusqlite::{Connection, OpenFlags};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files by path, relative to the home.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Everything that was found.
#[derive(Default)]
pub struct Evidence {
    /// The files in the home.
    pub disk: Files,
    /// Rows of the tables that tools read.
    pub rows: Vec<Row>,
    /// Rows of the table that maps records to rows.
    pub entries: Vec<Entry>,
    /// The files in the branch's newest commit.
    pub tree: Files,
    /// The branch's commits, newest first.
    pub commits: Vec<CommitSeen>,
    /// What could not be read, is damaged, or was left behind.
    pub trouble: Vec<String>,
}

/// A row of `learnings`, `heuristics` or `experiments`.
pub struct Row {
    pub kind: String,
    pub row_id: i64,
    pub headline: String,
    /// The path of its record, in tables with that column.
    pub path: Option<String>,
}

/// A row of `records`.
pub struct Entry {
    pub kind: String,
    pub id: String,
    pub path: String,
    pub row_id: i64,
}

/// A commit, and how its tree differs from its parent's.
pub struct CommitSeen {
    pub id: String,
    pub subject: String,
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// The front matter of a record's file, as far as the check needs it.
pub struct Front {
    pub id: String,
    pub kind: String,
    /// The title, rule or name, quoted as in the file.
    pub headline: String,
}

/// Reads everything in `home`.
pub fn gather(home: &Path) -> Evidence {
    let mut evidence = Evidence::default();
    let mut trouble = Vec::new();
    let mut note = |what: &str, outcome: Outcome<()>| {
        if let Err(error) = outcome {
            trouble.push(format!("{what} cannot be read: {error}"));
        }
    };
    for folder in ["memory", "experiments"] {
        note(folder, read_folder(home, folder, &mut evidence.disk));
    }
    note("the index", read_index(home, &mut evidence));
    note("the history", read_history(home, &mut evidence));
    for folder in [".indelible/tmp", ".indelible/quarantine", ".git/objects/pack"] {
        note(folder, find_leftovers(home, folder, &mut evidence.trouble));
    }
    evidence.trouble.extend(trouble);
    evidence
}

fn read_folder(home: &Path, folder: &str, files: &mut Files) -> Outcome<()> {
    for entry in std::fs::read_dir(home.join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(home, &path, files)?;
        } else if !["memory/index.db", "memory/search.db"].iter().any(|database| path.starts_with(database)) {
            files.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// After a recovery nothing may be left behind: no temporary file, nothing in quarantine, and no staged pack.
fn find_leftovers(home: &Path, folder: &str, trouble: &mut Vec<String>) -> Outcome<()> {
    for entry in std::fs::read_dir(home.join(folder))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !folder.starts_with(".git") || name.ends_with(".keep") {
            trouble.push(format!("{folder}/{name} was left behind"));
        }
    }
    Ok(())
}

const ROWS: &str = "SELECT type, id, title, filepath FROM learnings
    UNION ALL SELECT 'heuristic', id, rule, NULL FROM heuristics
    UNION ALL SELECT 'experiment', id, name, folder_path FROM experiments";
const ENTRIES: &str = "SELECT kind, id, path, row_id FROM records";

fn read_index(home: &Path, evidence: &mut Evidence) -> Outcome<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(home.join("memory/index.db"), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            evidence.trouble.push(format!("the index: {line}"));
        }
    }
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row { kind: row.get(0)?, row_id: row.get(1)?, headline: row.get(2)?, path: row.get(3)? })
    };
    let entry = |row: &rusqlite::Row<'_>| {
        Ok(Entry { kind: row.get(0)?, id: row.get(1)?, path: row.get(2)?, row_id: row.get(3)? })
    };
    evidence.rows = connection.prepare(ROWS)?.query_map([], row)?.collect::<Result<_, _>>()?;
    evidence.entries = connection.prepare(ENTRIES)?.query_map([], entry)?.collect::<Result<_, _>>()?;
    Ok(())
}

/// The commit of the branch, from git's ref files.
pub fn tip(home: &Path) -> std::io::Result<String> {
    let git = home.join(".git");
    let head = std::fs::read_to_string(git.join("HEAD"))?;
    let branch = head.trim().strip_prefix("ref: ").unwrap_or("HEAD");
    Ok(std::fs::read_to_string(git.join(branch))?.trim().to_owned())
}

/// Reads the whole branch. Only the objects are opened, not the repository: its configuration, or that of the machine, could
/// prevent that.
fn read_history(home: &Path, evidence: &mut Evidence) -> Outcome<()> {
    let objects = home.join(".git/objects");
    let odb = Odb::new()?;
    odb.add_disk_alternate(objects.to_str().ok_or("its path is not UTF-8")?)?;
    let repository = Repository::from_odb(odb)?;
    let mut commit = repository.find_commit(Oid::from_str(&tip(home)?)?)?;
    let mut tree = paths(&repository, &commit)?;
    for (path, id) in &tree {
        evidence.tree.insert(path.clone(), repository.find_blob(*id)?.content().to_vec());
    }
    loop {
        let parent = if commit.parent_count() == 0 { None } else { Some(commit.parent(0)?) };
        let before = match &parent {
            Some(parent) => paths(&repository, parent)?,
            None => BTreeMap::new(),
        };
        evidence.commits.push(seen(&commit, &tree, &before));
        if commit.parent_count() > 1 {
            evidence.trouble.push(format!("the commit {} has more than one parent", commit.id()));
        }
        let Some(parent) = parent else { return Ok(()) };
        (commit, tree) = (parent, before);
    }
}

/// Every file in the tree of `commit`.
fn paths(repository: &Repository, commit: &Commit<'_>) -> Outcome<BTreeMap<String, Oid>> {
    let mut paths = BTreeMap::new();
    let tree = repository.find_tree(commit.tree_id())?;
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() != Some(ObjectType::Tree) {
            let folder = String::from_utf8_lossy(folder.as_ref()).into_owned();
            paths.insert(folder + &String::from_utf8_lossy(entry.name_bytes()), entry.id());
        }
        TreeWalkResult::Ok
    })?;
    Ok(paths)
}

fn seen(commit: &Commit<'_>, tree: &BTreeMap<String, Oid>, before: &BTreeMap<String, Oid>) -> CommitSeen {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let such = |keep: &dyn Fn(&String, &Oid) -> bool| {
        tree.iter().filter(|(path, id)| keep(path, id)).map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    CommitSeen {
        id: commit.id().to_string(),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        added: such(&|path, _| !before.contains_key(path)),
        changed: such(&|path, id| before.get(path).is_some_and(|old| old != id)),
        removed: before.keys().filter(|path| !tree.contains_key(*path)).cloned().collect(),
    }
}

/// The front matter of a file; `None` if it is not a record's file.
pub fn front(bytes: &[u8]) -> Option<Front> {
    let (opening, rest) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let (matter, _) = rest.split_once("\n---\n")?;
    let value = |keys: &[&str]| {
        let mut fields = matter.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(key, _)| keys.contains(key)).map(|(_, value)| value.to_owned())
    };
    let front = Front { id: value(&["id"])?, kind: value(&["kind"])?, headline: value(&["title", "rule", "name"])? };
    (opening == "---").then_some(front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_read_up_to_its_end() {
        let page = b"---\nid: 7\nkind: failure\ntitle: \"a: b\"\n---\n\n# a\n\n---\nid: 8\n---\n";
        let front = front(page).expect("it is a record's file");
        assert_eq!((front.id.as_str(), front.kind.as_str(), front.headline.as_str()), ("7", "failure", "\"a: b\""));
    }

    #[test]
    fn what_is_torn_or_has_no_id_is_no_records_file() {
        for page in ["", "---\nid: 7\nkind: failure\ntitle: a\n", "# a\n", "---\nkind: failure\ntitle: a\n---\n"] {
            assert!(front(page.as_bytes()).is_none(), "{page:?}");
        }
    }
}
