//! The program that a worker runs, and whether an upgrade has put another in its place.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::fs::os::Stamp;

/// How long a program must be unchanged to count as complete: not every upgrade renames it into place.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// The file that the running program was started from.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// Its stamp when it was started, or that of a program refused since.
    known: Option<Stamp>,
    /// The stamp of a different file found there, and since when.
    found: Option<(Stamp, Instant)>,
}

impl Program {
    /// The program that was started from `path`, and is still there.
    pub fn at(path: PathBuf) -> Program {
        Program { known: Stamp::of(&path).ok(), path, found: None }
    }

    /// The path that it was started from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Treats the file there now as unusable. Then only a different one counts as a replacement.
    pub fn refuse(&mut self) {
        self.known = Stamp::of(&self.path).ok();
        self.found = None;
    }

    /// Whether a different program is there, and has not changed for a while. A missing program is not a replacement.
    pub(super) fn is_replaced(&mut self, now: Instant) -> bool {
        let found = Stamp::of(&self.path).ok().filter(|found| Some(*found) != self.known);
        match (found, self.found) {
            (Some(found), Some((before, since))) if found == before => {
                return now.saturating_duration_since(since) >= SETTLED;
            }
            (found, _) => self.found = found.map(|found| (found, now)),
        }
        false
    }

    /// Whether it has to be checked again soon.
    pub(super) fn is_settling(&self) -> bool {
        self.found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> (tempfile::TempDir, Program) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("program");
        std::fs::write(&path, "old").expect("it can be written");
        (folder, Program::at(path))
    }

    #[test]
    fn it_is_replaced_once_another_has_settled() {
        let (_folder, mut program) = program();
        let start = Instant::now();
        assert!(!program.is_replaced(start) && !program.is_settling(), "it was not touched");
        std::fs::remove_file(program.path()).expect("it can be removed");
        assert!(!program.is_replaced(start + SETTLED), "there is nothing to become");
        std::fs::write(program.path(), "half of the n").expect("it can be written");
        assert!(!program.is_replaced(start) && program.is_settling(), "it has only just appeared");
        std::fs::write(program.path(), "all of the new one").expect("it can be written");
        assert!(!program.is_replaced(start + SETTLED), "it has changed since it was looked at");
        assert!(!program.is_replaced(start + SETTLED + SETTLED / 2), "it may still change");
        assert!(program.is_replaced(start + SETTLED * 2), "it has been there for long enough");
    }

    #[test]
    fn one_that_was_refused_is_not_tried_again() {
        let (_folder, mut program) = program();
        let start = Instant::now();
        std::fs::write(program.path(), "not a program").expect("it can be written");
        assert!(!program.is_replaced(start));
        program.refuse();
        assert!(!program.is_replaced(start) && !program.is_replaced(start + SETTLED), "it was refused");
        std::fs::write(program.path(), "a better one").expect("it can be written");
        assert!(!program.is_replaced(start));
        assert!(program.is_replaced(start + SETTLED), "this one was not");
    }
}
