//! Requests to a running worker: a small file with the request, and one with the answer.
//!
//! `flush` and `recover` need the worker's lock, which a running worker holds for life. So they ask the worker instead.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | the asker | a request, or an answer that is never read | the worker answers all the same; the next one sweeps it |
//! | the worker | a request without an answer | the asker gets the lock and does it, or the next worker does |
//!
//! A request to stop is answered before the worker ends, and is complete when the lock is free. It is meant for the
//! running worker: a worker that starts removes stale ones, and an asker that still wants no worker asks again.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fs::{Dir, Durability, Error};
use crate::home::{self, Home};
use crate::model::layout::{ANSWER, REQUEST, REQUESTS, TEMPORARY};
use crate::recover::Report;

const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The most times a request is rewritten after a recovery swept its temporary file away. Each recovery sweeps once.
const ASKED_MAX: usize = 100;

/// What a worker can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Commit everything that the journal holds now.
    Flush,
    /// Do what `recover` does.
    Recover,
    /// Reload the settings.
    Reload,
    /// Commit everything that the journal holds now, and end.
    Stop,
}

/// What the worker answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why the request failed.
    pub error: Option<String>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// A request that a worker has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    id: Uuid,
    /// The request.
    pub want: Want,
}

#[derive(Serialize, Deserialize)]
struct Body {
    want: Want,
}

/// The worker's side.
#[derive(Debug)]
pub(super) struct Requests {
    dir: Dir,
    temporary: Dir,
}

impl Requests {
    pub(super) fn open(home: &Home) -> Result<Requests, home::Error> {
        Ok(Requests { dir: home.private_folder(REQUESTS)?, temporary: home.private_folder(TEMPORARY)? })
    }

    /// Removes what was meant for earlier workers: unread answers, and requests to stop.
    pub(super) fn sweep(&self) {
        for asked in self.list().unwrap_or_default().iter().filter(|asked| asked.want == Want::Stop) {
            let _ = self.dir.remove(&format!("{}{REQUEST}", asked.id));
        }
        for name in self.dir.names().unwrap_or_default() {
            if name.ends_with(ANSWER) {
                let _ = self.dir.remove(&name);
            }
        }
    }

    pub(super) fn list(&self) -> Result<Vec<Asked>, Error> {
        let mut asked = Vec::new();
        for name in self.dir.names()? {
            let Some(id) = name.strip_suffix(REQUEST).and_then(|id| Uuid::try_parse(id).ok()) else { continue };
            let body = self.dir.content(&name, 4096).ok().flatten();
            match body.and_then(|body| serde_json::from_slice::<Body>(&body).ok()) {
                Some(Body { want }) => asked.push(Asked { id, want }),
                // Nothing that cannot be removed, not even a folder, may keep the worker from its work.
                None => drop(self.dir.remove(&name)),
            }
        }
        Ok(asked)
    }

    pub(super) fn answer(&self, asked: &Asked, answer: &Answer) -> Result<(), Error> {
        let text = serde_json::to_vec(answer).expect("an answer is made of strings and numbers");
        self.dir.replace(&format!("{}{ANSWER}", asked.id), &text, &self.temporary, Durability::None)?;
        self.dir.remove(&format!("{}{REQUEST}", asked.id))?;
        Ok(())
    }

    /// Tells all askers that their requests are refused.
    pub(super) fn refuse_all(&self, why: &str) {
        for asked in self.list().unwrap_or_default() {
            let _ = self.answer(&asked, &Answer { error: Some(why.to_owned()), report: None });
        }
    }
}

/// The asker's side: a request to a running worker. Withdrawn when dropped.
#[derive(Debug)]
pub struct Request {
    dir: Dir,
    id: Uuid,
}

impl Request {
    /// Asks the worker of `home`.
    ///
    /// # Errors
    /// [`home::Error`] if the request cannot be written.
    pub fn ask(home: &Home, want: Want) -> Result<Request, home::Error> {
        let (dir, temporary, id) =
            (home.private_folder(REQUESTS)?, home.private_folder(TEMPORARY)?, crate::random::id());
        let text = serde_json::to_vec(&Body { want }).expect("a request is made of a word");
        let mut left = ASKED_MAX;
        while let Err(error) = dir.replace(&format!("{id}{REQUEST}"), &text, &temporary, Durability::None) {
            left -= 1;
            if left == 0 || !error.is_not_found() {
                return Err(error.into());
            }
        }
        Ok(Request { dir, id })
    }

    /// Waits for the answer, for `wait_max` at the most; `None` if it has not come by then.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn wait(&self, wait_max: Duration) -> Result<Option<Answer>, Error> {
        let (name, until, mut pause) =
            (format!("{}{ANSWER}", self.id), Instant::now() + wait_max, Duration::from_millis(2));
        loop {
            if let Some(text) = self.dir.content(&name, ANSWER_BYTES_MAX)? {
                let garbled = || Answer { error: Some("the worker's answer is garbled".into()), report: None };
                return Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|_| garbled())));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Whether the request or its answer still exists: a worker that has just started sweeps requests to stop as stale.
    pub fn is_there(&self) -> bool {
        let has =
            |end: &str| self.dir.content(&format!("{}{end}", self.id), ANSWER_BYTES_MAX).is_ok_and(|it| it.is_some());
        has(REQUEST) || has(ANSWER)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let _ = self.dir.remove(&format!("{}{REQUEST}", self.id));
        let _ = self.dir.remove(&format!("{}{ANSWER}", self.id));
    }
}
