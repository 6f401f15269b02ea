//! Requests to a running worker: a small file with the request, and one with the answer.
//!
//! `flush`, `recover` and `erase` need the worker's lock, which a running worker holds for life. So they ask the worker instead.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | the asker | a request, or an answer that is never read | the worker answers all the same; the next one sweeps it |
//! | the worker | a request without an answer | the asker gets the lock and does it, or the next worker does |
//!
//! A request to stop is answered before the worker ends, and is complete when the lock is free. It is meant for the
//! running worker: a worker that starts removes stale ones, and an asker that still wants no worker asks again.
//!
//! A worker removes a request that it cannot read, such as one of a newer program: the asker sees that it is gone without an answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::erase;
use crate::fs::{Dir, Durability, Error};
use crate::home::{self, Home};
use crate::model::layout::{ANSWER, REQUEST, REQUESTS, TEMPORARY};
use crate::model::text::chain;
use crate::model::{RecordId, Revision};
use crate::recover::Report;

const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A larger request is not one of ours.
const REQUEST_BYTES_MAX: u64 = 16 << 20;
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
    /// Erase the records that the request names.
    Erase,
}

/// The class of an error of an erasure, for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// [`erase::Error::Unsupported`].
    Unsupported,
    /// [`erase::Error::InTheWay`].
    InTheWay,
    /// [`erase::Error::Unfinished`].
    Unfinished,
    /// Any other error. It may have begun.
    Failed,
}

/// What the worker answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why the request failed.
    pub error: Option<String>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<erase::Report>,
    /// The class of the error, if the request was to erase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl Answer {
    /// The answer to a request to erase.
    pub(super) fn of_erasure(done: Result<erase::Report, erase::Error>) -> Answer {
        let fault = |error: &erase::Error| match error {
            erase::Error::Unsupported(_) => Fault::Unsupported,
            erase::Error::InTheWay(_) => Fault::InTheWay,
            erase::Error::Unfinished(_) => Fault::Unfinished,
            _ => Fault::Failed,
        };
        match done {
            Ok(report) => Answer { erased: Some(report), ..Answer::default() },
            Err(error) => {
                let text = match &error {
                    erase::Error::Unfinished(still) => still.clone(),
                    error => chain(error),
                };
                Answer { error: Some(text), fault: Some(fault(&error)), ..Answer::default() }
            }
        }
    }
}

/// A request that a worker has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    id: Uuid,
    /// The request.
    pub want: Want,
    /// The records to erase, with the revision of each one's erasure.
    pub(super) ids: BTreeMap<RecordId, Revision>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    want: Want,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ids: BTreeMap<RecordId, Revision>,
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
            let body = self.dir.content(&name, REQUEST_BYTES_MAX).ok().flatten();
            match body.and_then(|body| serde_json::from_slice::<Body>(&body).ok()) {
                Some(Body { want, ids }) => asked.push(Asked { id, want, ids }),
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
            let _ = self.answer(&asked, &Answer { error: Some(why.to_owned()), ..Answer::default() });
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
        Request::write(home, Body { want, ids: BTreeMap::new() })
    }

    /// Asks the worker of `home` to erase the records `ids`; the operation of each has its revision.
    ///
    /// # Errors
    /// As [`Request::ask`].
    pub fn ask_to_erase(home: &Home, ids: BTreeMap<RecordId, Revision>) -> Result<Request, home::Error> {
        Request::write(home, Body { want: Want::Erase, ids })
    }

    fn write(home: &Home, body: Body) -> Result<Request, home::Error> {
        let (dir, temporary, id) =
            (home.private_folder(REQUESTS)?, home.private_folder(TEMPORARY)?, crate::random::id());
        let text = serde_json::to_vec(&body).expect("a request is made of words and ids");
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
                let garbled = || Answer { error: Some("the worker's answer is garbled".into()), ..Answer::default() };
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
