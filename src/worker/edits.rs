//! Looking for files that were edited by hand, at a pace that costs nothing.
//!
//! A pass walks the folders of records, newest first, and looks at the time of each file's last change (its ctime: `cp -p` and rsync
//! put the other time back). Only a file that changed since the pass before is read. A pass is cut into slices of [`SLICE`], with
//! [`PAUSE`] between them: it takes a hundredth of a core at most. The next one begins no sooner than [`REST`] times after it what the walk
//! took of the processor: while nothing changes, that is a twentieth of a percent of a core, however many records there are. What is
//! found is judged by the pipeline, after which the rest is [`REST_JUDGED`] times as long as that took.
//!
//! A failure ends nothing: the next pass begins at the start.
//!
//! Nothing here is needed by any record. What is remembered from one worker to the next is in the state: since when files have to be
//! looked at, and which were left to a person. If that is lost, the next pass reads every file once, at the same pace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Error;
use super::session::Session;
use crate::fs::{self, os};
use crate::home::Home;
use crate::model::Op;
use crate::model::layout::{RETRACTED, ROOTS};
use crate::model::path::is_companion;
use crate::model::text::chain;
use crate::pipeline::{Judged, QUIET, nanoseconds};
use crate::state::Edits;

/// How long a slice takes.
const SLICE: Duration = Duration::from_millis(5);
/// The time between slices.
const PAUSE: Duration = Duration::from_millis(500);
/// How many times as long as a walk took nothing is done after it.
const REST: u32 = 2000;
/// The same for what was judged.
const REST_JUDGED: u32 = 100;
/// The least time after a failure.
const REST_FAILED: Duration = Duration::from_secs(60);
/// The most edits that are taken at once unasked, unless one file in a hundred is more.
const TAKEN_MAX: usize = 50;
/// The most files that are named.
const LEFT_MAX: usize = 100;

/// The search for edits.
#[derive(Debug)]
pub(super) struct Search {
    /// The least time between two passes; `None` if nothing is looked for.
    every: Option<Duration>,
    /// When the next slice is due.
    due: Instant,
    /// What is known from the passes before.
    known: Edits,
    pass: Option<Pass>,
}

/// A pass under way.
#[derive(Debug)]
struct Pass {
    began: jiff::Timestamp,
    /// The processor's time that the walk took.
    walked: Duration,
    /// The processor's time that judging took.
    judged: Duration,
    /// Folders that are not walked yet; the last is the next.
    folders: Vec<String>,
    /// Files that changed, and those that were left before.
    changed: Vec<String>,
    files: usize,
    edits: Vec<Op>,
    /// How many edits were found, of which no more than can be taken are kept.
    found: usize,
    left: BTreeMap<String, String>,
    /// When the first file changed that is too young to be judged.
    young: Option<i64>,
}

impl Search {
    pub(super) fn new(every: Option<Duration>, known: Edits) -> Search {
        Search { every, due: Instant::now() + every.unwrap_or_default(), known, pass: None }
    }

    /// When the next slice is due; `None` if nothing is looked for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.due)
    }

    /// Takes the search a slice further. A failure is retried with the next pass.
    pub(super) fn slice(&mut self, home: &Home, session: &mut Session<'_>) {
        if let Err(error) = self.try_slice(home, session) {
            tracing::warn!(error = chain(&error), "the search for edits by hand failed");
            self.due = Instant::now() + self.every.unwrap_or_default().max(REST_FAILED);
        }
    }

    fn try_slice(&mut self, home: &Home, session: &mut Session<'_>) -> Result<(), Error> {
        let start = Instant::now();
        let mut pass = self.pass.take().unwrap_or_else(|| Pass::new(&self.known));
        let mut is_done = false;
        while start.elapsed() < SLICE && !is_done {
            is_done = !pass.step(home, session, self.known.since)?;
        }
        self.due = Instant::now() + PAUSE;
        if !is_done {
            self.pass = Some(pass);
            return Ok(());
        }
        let rest = (pass.walked * REST).max(pass.judged * REST_JUDGED);
        self.due = Instant::now() + self.every.unwrap_or_default().max(rest);
        self.finish(pass, session)
    }

    fn finish(&mut self, pass: Pass, session: &mut Session<'_>) -> Result<(), Error> {
        let too_many = if pass.found > pass.edits.len() { pass.found as u64 } else { 0 };
        if too_many == 0 {
            session.append_edits(&pass.edits)?;
        }
        let began = nanoseconds(pass.began).saturating_sub(QUIET.as_nanos() as i64);
        // Edits that are not taken are found again.
        let since = if too_many > 0 { self.known.since } else { began.min(pass.young.unwrap_or(began)) };
        let more = (pass.left.len().saturating_sub(LEFT_MAX)) as u64;
        let left: Vec<(String, String)> = pass.left.into_iter().take(LEFT_MAX).collect();
        let is_new = left != self.known.left || too_many != self.known.too_many || !pass.edits.is_empty();
        self.known = Edits { since, left, more, too_many };
        for (path, why) in self.known.left.iter().filter(|_| is_new) {
            tracing::warn!(path, why, "an edit by hand cannot be taken: the file is left as it is");
        }
        // A pass that found nothing writes nothing: the next worker looks at some files once more.
        if is_new { session.note_edits(self.known.clone()) } else { Ok(()) }
    }

    /// Notes what the next worker has to know.
    pub(super) fn note(&self, session: &mut Session<'_>) {
        if let Err(error) = session.note_edits(self.known.clone()) {
            tracing::debug!(error = chain(&error), "the next worker looks at more files");
        }
    }
}

impl Pass {
    fn new(known: &Edits) -> Pass {
        Pass {
            began: fs::now(),
            walked: Duration::ZERO,
            judged: Duration::ZERO,
            folders: ROOTS.iter().map(|root| (*root).to_owned()).collect(),
            changed: known.left.iter().map(|(path, _)| path.clone()).collect(),
            files: 0,
            edits: Vec::new(),
            found: 0,
            left: BTreeMap::new(),
            young: None,
        }
    }

    /// Judges a file, or walks a folder. Returns whether there is more to do.
    fn step(&mut self, home: &Home, session: &Session<'_>, since: i64) -> Result<bool, Error> {
        let before = os::thread_time();
        let took = || os::thread_time().saturating_sub(before);
        if let Some(path) = self.changed.pop() {
            self.judge(&path, home, session)?;
            self.judged += took();
            return Ok(true);
        }
        let Some(folder) = self.folders.pop() else { return Ok(false) };
        self.walk(&folder, home, since)?;
        self.walked += took();
        Ok(true)
    }

    /// Adds the folders in `folder`, and the files in it that changed.
    fn walk(&mut self, folder: &str, home: &Home, since: i64) -> Result<(), Error> {
        let (dir, mut names) = match home.dir().folder(folder).and_then(|dir| Ok((dir.names()?, dir))) {
            Ok((names, dir)) => (dir, names),
            // It was removed in between, or is a link: no record lies there.
            Err(error) if error.is_not_found() || matches!(error, fs::Error::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        names.sort_unstable();
        for name in names {
            let path = format!("{folder}/{name}");
            if path == RETRACTED {
                continue;
            }
            let Some(found) = dir.find(&name)? else { continue };
            if found.is_folder {
                self.folders.push(path);
            } else if name.ends_with(".md") && !is_companion(&path) {
                self.files += 1;
                if found.changed >= since {
                    self.changed.push(path);
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, path: &str, home: &Home, session: &Session<'_>) -> Result<(), Error> {
        match session.judge_edit(path)? {
            Judged::Same => {}
            Judged::Young => {
                let changed = home.dir().find(path)?.map_or(i64::MAX, |found| found.changed);
                self.young = Some(self.young.unwrap_or(i64::MAX).min(changed));
            }
            Judged::Edit(op) => {
                self.found += 1;
                if self.edits.len() < TAKEN_MAX.max(self.files / 100) {
                    self.edits.push(*op);
                }
            }
            Judged::Left(why) => drop(self.left.insert(path.to_owned(), why)),
        }
        Ok(())
    }
}
