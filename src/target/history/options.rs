//! The options of a history, and the author of its commits.

use std::path::PathBuf;
use std::time::Duration;

use git2::{Signature, Time};
use jiff::Timestamp;

use super::{Doing as _, Error};

/// Options of a history.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// The author name of our commits.
    pub author_name: String,
    /// The author address of our commits.
    pub author_email: String,
    /// The limit on packs, large ones not counted. From half as many on, [`History::repack_if_needed`](super::History::repack_if_needed) rolls small
    /// packs together.
    pub packs_max: usize,
    /// The limit on objects in one roll, whose memory use grows with them.
    pub roll_objects_max: u64,
    /// The git program that rolls packs together, by path or by name; without one, libgit2 does.
    pub git_program: Option<PathBuf>,
    /// How long the git program may run before it is killed and libgit2 takes over.
    pub repack_wait: Duration,
    /// Whether a branch shows the history in a user's own repository.
    pub pointer: bool,
    /// How long to wait for another program's lock on a branch.
    pub lock_wait: Duration,
    /// A lock that has not changed for this long, within one wait, may be stale.
    pub lock_stale_after: Duration,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        HistoryOptions {
            author_name: "indelible".to_owned(),
            author_email: "indelible@localhost".to_owned(),
            packs_max: 32,
            roll_objects_max: 100_000,
            git_program: Some(PathBuf::from("git")),
            repack_wait: Duration::from_secs(600),
            pointer: true,
            lock_wait: Duration::from_secs(10),
            lock_stale_after: Duration::from_secs(5),
        }
    }
}

/// The author of a commit, at the current time. No time zone, for privacy: it would tell where a machine is.
pub(super) fn signature(options: &HistoryOptions) -> Result<Signature<'static>, Error> {
    let now = Time::new(Timestamp::now().as_second(), 0);
    Signature::new(&options.author_name, &options.author_email, &now).doing("signing")
}

/// `text` in a form that git accepts in a name or an address, whatever the configuration says.
pub(super) fn name_for_git(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
    // Git strips these at either end, and refuses a name that has nothing else.
    let kept = kept.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | ',' | ':' | ';' | '"' | '\\' | '\''));
    if kept.is_empty() { "indelible".to_owned() } else { kept.to_owned() }
}
