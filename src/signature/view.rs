//! What a class looks at.

use std::borrow::Cow;

use super::consequence::is_never_the_error;
use super::normalise::normalised;
use super::program::Programs;
use super::telling;

/// How many lines of a class are tried for one that tells something.
const TRIES_MAX: usize = 32;
/// How many lines of a class are looked at for those.
const CANDIDATES_MAX: usize = 500;

/// The lines of an output, and what is known of the command.
pub(super) struct View<'v> {
    /// The text that the lines are of, as it was put out.
    pub(super) parts: &'v [Cow<'v, str>],
    pub(super) lines: &'v [Cow<'v, str>],
    pub(super) command: &'v str,
    pub(super) cwd: &'v str,
    pub(super) programs: &'v Programs,
}

/// What a class has found.
pub(super) struct Found {
    /// The error line and what belongs to it, normalised each.
    pub(super) parts: Vec<String>,
    /// Whether a test's name is in it, which tells enough.
    pub(super) names_test: bool,
    /// The number of the error line, if what stands around it is to name what failed where it does not.
    pub(super) number: Option<usize>,
    /// Whether it takes along what stands around it, whatever it names.
    pub(super) is_doubtful: bool,
    /// Whether the lines right behind it that say that something is wrong belong to it, whatever it names.
    pub(super) goes_on: bool,
}

impl Found {
    /// The error line and what belongs to it, but for what is empty.
    pub(super) fn new(parts: impl IntoIterator<Item = String>) -> Found {
        Found {
            parts: parts.into_iter().filter(|part| !part.is_empty()).collect(),
            names_test: false,
            number: None,
            is_doubtful: false,
            goes_on: false,
        }
    }

    /// The same, where what stands around the line `number` is to name what failed if this does not.
    pub(super) fn at(number: usize, parts: impl IntoIterator<Item = String>) -> Found {
        Found { number: Some(number), ..Found::new(parts) }
    }
}

impl<'v> View<'v> {
    /// The lines with their numbers, from the first.
    pub(super) fn numbered(&self) -> impl DoubleEndedIterator<Item = (usize, &'v str)> + use<'v> {
        self.lines.iter().enumerate().map(|(number, line)| (number, line.as_ref()))
    }

    /// The lines from `number` on, at most `count`.
    pub(super) fn next(&self, number: usize, count: usize) -> impl DoubleEndedIterator<Item = &'v str> + use<'v> {
        let end = self.lines.len().min(number.saturating_add(count));
        self.lines[number.min(end)..end].iter().map(AsRef::as_ref)
    }

    /// `line` normalised.
    pub(super) fn normal(&self, line: &str) -> String {
        normalised(line, self.cwd)
    }

    /// The first of `lines` that can be an error line and tells something, with its text.
    pub(super) fn first_that_tells<'l>(
        &self,
        lines: impl Iterator<Item = (usize, &'l str)>,
    ) -> Option<(usize, String)> {
        let candidates = lines.take(CANDIDATES_MAX).filter(|(_, line)| !is_never_the_error(line)).take(TRIES_MAX);
        candidates.map(|(number, line)| (number, self.normal(line))).find(|(_, text)| telling::tells(text))
    }
}
