//! The documentation as a contract: its sessions run and say what is printed, its links lead somewhere, and the commands, flags,
//! settings and files that it names exist.
//!
//! `INDELIBLE_WRITE_DOCS=1` writes the pages that are generated, instead of comparing them.

mod links;
mod names;
mod reference;
mod session;

use std::path::{Path, PathBuf};

/// A page, by its path in the repository.
struct Page {
    path: String,
    text: String,
}

impl Page {
    fn read(path: &str) -> Page {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Page { path: path.to_owned(), text }
    }

    /// The lines of its blocks of code, each with the word after the fence, and the other lines with `None`.
    fn lines(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let mut block = None;
        self.text.lines().filter_map(move |line| match (line.strip_prefix("```"), block) {
            (Some(_), Some(_)) => {
                block = None;
                None
            }
            (Some(word), None) => {
                block = Some(word);
                None
            }
            (None, block) => Some((block, line)),
        })
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages for people: those of the site, the decisions among them, and those beside it.
fn pages() -> Vec<Page> {
    fn add(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => add(&path, found),
                false if path.extension().is_some_and(|it| it == "md") => found.push(path),
                false => {}
            }
        }
    }
    let mut paths = Vec::new();
    add(&root().join("docs"), &mut paths);
    let beside = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name));
    paths.extend(beside.into_iter().filter(|path| path.exists()));
    paths.sort();
    let below = |path: &PathBuf| path.strip_prefix(root()).expect("it was found there").to_str().map(Page::read);
    paths.iter().map(|path| below(path).expect("a name in ASCII")).collect()
}

/// The texts between backticks in `line`.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
