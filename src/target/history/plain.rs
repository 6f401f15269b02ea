//! Checks for files on which libgit2 would block forever, before it opens a repository. It opens files by path, and
//! opening a pipe that has no writer never returns.
//!
//! For the same reason, this program's own reads go through [`content`].
//!
//! The files that a configuration includes and alternate object folders can lie anywhere; they are checked too, and so
//! is the amount of data there is to read.
//!
//! Only what libgit2 opens without being asked for an object is checked. A pipe in the place of a loose object, or one
//! that appears later, is not found; our own objects are in packs. A batch opens the repository several times in a row:
//! a check that has passed holds for [`HOLDS`].

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use crate::fs::os;

/// The largest file of a repository that this program reads.
const BYTES_MAX: u64 = 64 << 20;

/// The largest configuration that is read, in bytes.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// The limit on files that a configuration includes, each inclusion counted, and on alternate object folders. libgit2
/// bounds only their depth.
const NAMED_MAX: usize = 100;

/// How long a check that has passed holds.
const HOLDS: Duration = Duration::from_secs(1);

/// When the check of a repository passed the last time.
#[derive(Debug, Default)]
pub(super) struct Passed(Mutex<Option<Instant>>);

impl Passed {
    /// Whether the check has to be made again.
    pub(super) fn is_due(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| at.elapsed() > HOLDS)
    }

    /// It has passed now.
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The content of the file at `path`; `None` if it does not exist. A pipe, a socket or a device is an error, without
/// blocking.
pub(super) fn content(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    Ok(os::read_own_file(path, BYTES_MAX)?.map(|file| file.bytes))
}

/// As [`content`], as text; empty if it cannot be read.
pub(super) fn text(path: &Path) -> String {
    let bytes = content(path).ok().flatten().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The folders of a repository whose files are opened by name, and whether their subfolders' files are, too.
const FOLDERS: [(&str, bool); 5] =
    [("", false), ("refs", true), ("objects/info", false), ("objects/pack", false), ("info", false)];

/// Checks that the repository `repository` of the home `home` has only plain files where libgit2 opens files.
///
/// # Errors
/// [`Error::Unsupported`] for anything else.
pub(super) fn check(home: &Path, repository: &Path) -> Result<(), Error> {
    let refused = |path: &Path, what: &str| {
        let shown = path.strip_prefix(home).unwrap_or(path).display();
        Err(Error::Unsupported { home: home.to_owned(), what: format!("{shown} {what}") })
    };
    if let Some(path) = FOLDERS.into_iter().find_map(|(name, beneath)| odd(&repository.join(name), beneath)) {
        return refused(&path, ODD);
    }
    if let Some((path, what)) = odd_objects(&repository.join("objects"), &mut Vec::new()) {
        return refused(&path, what);
    }
    for name in ["config", "config.worktree"] {
        if let Some((path, what)) = odd_config(&repository.join(name), &mut 0) {
            return refused(&path, what);
        }
    }
    Ok(())
}

/// The usual finding.
const ODD: &str = "is a pipe, a socket or a device, and no file";

/// Whether `path`, with links followed, is neither file nor folder.
pub(super) fn is_odd(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// The first odd path in the alternates of the object folder `objects`, and what is wrong with it; `seen` were checked
/// before.
fn odd_objects(objects: &Path, seen: &mut Vec<PathBuf>) -> Option<(PathBuf, &'static str)> {
    let listed = text(&objects.join("info/alternates"));
    for line in listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let other = objects.join(line);
        let odd = || ["", "info", "pack"].into_iter().find_map(|name| odd(&other.join(name), false));
        if let Some(path) = Some(other.clone()).filter(|other| is_odd(other)).or_else(odd) {
            return Some((path, ODD));
        }
        let Ok(real) = fs::canonicalize(&other) else { continue };
        if seen.contains(&real) {
            continue;
        }
        if seen.len() >= NAMED_MAX {
            return Some((other, "is one of too many folders of objects that it names"));
        }
        seen.push(real);
        if let Some(found) = odd_objects(&other, seen) {
            return Some(found);
        }
    }
    None
}

/// The first odd path among the configuration at `path` and those it includes, and what is wrong with it; `read`
/// counts the files read. Conditions of an include are ignored.
fn odd_config(path: &Path, read: &mut usize) -> Option<(PathBuf, &'static str)> {
    if is_odd(path) {
        return Some((path.to_owned(), ODD));
    }
    if fs::metadata(path).is_ok_and(|found| found.len() > CONFIG_BYTES_MAX) {
        return Some((path.to_owned(), "is too large for a configuration"));
    }
    *read += 1;
    if *read > NAMED_MAX {
        return Some((path.to_owned(), "is one of too many files that the configuration includes"));
    }
    let bytes = content(path).ok().flatten()?;
    let folder = path.parent().unwrap_or(path);
    included(&String::from_utf8_lossy(&bytes)).iter().find_map(|name| {
        let own = name.strip_prefix("~/").and_then(|rest| Some(etcetera::home_dir().ok()?.join(rest)));
        odd_config(&own.unwrap_or_else(|| folder.join(name)), read)
    })
}

/// The values of every key `path` in the configuration `text` (git-config(1), "Syntax"), in any section: deliberately
/// too many.
fn included(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    while !rest.is_empty() {
        rest = rest.trim_start();
        if let Some(section) = rest.strip_prefix('[') {
            rest = after_section(section);
            continue;
        }
        let line = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let (name, value) = rest[..line].split_once('=').unwrap_or((&rest[..line], ""));
        if rest.starts_with(['#', ';']) || value.is_empty() {
            rest = &rest[line..];
            continue;
        }
        let (value, end) = value_of(&rest[name.len() + 1..]);
        if name.trim().eq_ignore_ascii_case("path") {
            values.push(value);
        }
        rest = &rest[name.len() + 1 + end..];
    }
    values
}

/// The text after the heading of a section, whose `[` was read.
fn after_section(text: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return &text[at..],
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// The value at the start of `text`, and where it ends. Quotes, escapes and continued lines are read as by git.
fn value_of(text: &str) -> (String, usize) {
    let (mut value, mut quoted, mut comment) = (String::new(), false, false);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return (value.trim().to_owned(), at),
            _ if comment => {}
            '"' => quoted = !quoted,
            '#' | ';' if !quoted => comment = true,
            '\\' => match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('b') => value.push('\u{8}'),
                Some('\n') | None => {}
                Some('\r') => drop(chars.next()),
                Some(other) => value.push(other),
            },
            c => value.push(c),
        }
    }
    (value.trim().to_owned(), text.len())
}

/// The first path in `folder`, and with `beneath` in its subfolders, that is neither file nor folder. An unreadable
/// path is left to libgit2, which reports it.
fn odd(folder: &Path, beneath: bool) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().find_map(|entry| odd_entry(&entry, beneath))
}

fn odd_entry(entry: &DirEntry, beneath: bool) -> Option<PathBuf> {
    let mut kind = entry.file_type().ok()?;
    if kind.is_symlink() {
        kind = fs::metadata(entry.path()).ok()?.file_type();
    } else if kind.is_dir() && beneath {
        return odd(&entry.path(), beneath);
    }
    (!kind.is_file() && !kind.is_dir()).then(|| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_passed_is_made_again_later_and_not_at_once() {
        let passed = Passed::default();
        assert!(passed.is_due(), "nothing was checked yet");
        passed.note();
        assert!(!passed.is_due(), "it was checked just now");
        *passed.0.lock().expect("no other thread") = Instant::now().checked_sub(HOLDS * 2);
        assert!(passed.is_due(), "it was checked long ago");
    }

    #[test]
    fn every_file_that_a_configuration_includes_is_found() {
        for text in [
            "[include]\n\tpath = /a/b\n",
            "\u{feff}[core]\n\tbare\n[INCLUDE] PATH=/a/b",
            "[x]\n\ty = \"\\\n[\"\n[includeIf \"gitdir:]\\\"\"]\n# path = /x\n\tpath = \"/a\\\n/b\" # why\n",
            "[include \"\n]\n[include]\r\npath = /a/\\\r\nb\r\n",
            "[a \"b\"] [include] path = \"/a\"/b ; = \n",
        ] {
            assert_eq!(included(text), ["/a/b"], "{text}");
        }
        for text in ["", "[", "[include", "path", "=", "\\", "path = \\", "[\"", "\"\n=\"", "path =\n= x"] {
            let _ = included(text);
        }
    }

    #[test]
    fn folders_of_objects_that_name_each_other_are_looked_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let objects = |number: usize| folder.path().join(number.to_string());
        let all: String = (0..90).map(|number| format!("{}\n", objects(number).display())).collect();
        for number in 0..90 {
            fs::create_dir_all(objects(number).join("info")).expect("it can be made");
            fs::write(objects(number).join("info/alternates"), &all).expect("it can be written");
        }
        assert_eq!(odd_objects(&objects(0), &mut Vec::new()), None);
        let more: String = (0..200).map(|number| format!("{}/{number}\n", folder.path().display())).collect();
        (0..200).for_each(|number| fs::create_dir_all(objects(number)).expect("it can be made"));
        fs::write(objects(0).join("info/alternates"), more).expect("it can be written");
        assert!(odd_objects(&objects(0), &mut Vec::new()).is_some());
    }

    #[test]
    fn what_includes_itself_or_very_many_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it can be written");
        let config = folder.path().join("config");
        write("config", "[include]\npath = other\n");
        write("other", "[core]\n");
        assert_eq!(odd_config(&config, &mut 0), None);
        write("other", "[include]\npath = config\n");
        assert!(odd_config(&config, &mut 0).is_some());
        write("config", &"[include]\npath = other\n".repeat(10));
        write("other", &"[include]\npath = last\n".repeat(10));
        write("last", "[core]\n");
        assert!(odd_config(&config, &mut 0).is_some());
    }
}
