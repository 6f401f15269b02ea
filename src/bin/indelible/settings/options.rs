//! Settings as options of the library.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indelible::fs::os;
use indelible::hook::Rules;
use indelible::hook::trail::Limits;
use indelible::model::{Provenance, Severity};
use indelible::pipeline::Secrets;
use indelible::record::Sources;
use indelible::redact::Redactor;
use indelible::target::history::HistoryOptions;
use indelible::trust::Standing;
use indelible::{pipeline, sync, worker};

use super::Settings;
use super::sections::{AUTO, days, time};
use crate::exit::{Exit, Failure};
use crate::user;

/// The variable that names a remote, in containers and CI jobs.
const REMOTE: &str = "INDELIBLE_REMOTE";

impl Settings {
    /// Options of the pipeline.
    pub fn batch(&self) -> pipeline::Options {
        pipeline::Options {
            records_due: self.worker.records_due,
            records_max: self.worker.records_max,
            segment_bytes_max: self.journal.segment_bytes_max,
            keep: seconds(self.journal.keep_s),
            index_wait: milliseconds(self.worker.index_wait_ms),
            removals_max: self.history.removals_max,
            secrets: self.secrets(),
            history: self.history(),
            ..pipeline::Options::default()
        }
    }

    /// What the worker does with edits by hand that say secrets: what `record` would replace does not get into git.
    fn secrets(&self) -> Secrets {
        if !self.redact.records {
            return Secrets::Taken;
        }
        self.redactor().map_or(Secrets::Unknown, |redactor| Secrets::Left(Arc::new(redactor)))
    }

    /// The git program; `None` if it is switched off or missing, or this user does not trust the home.
    fn git_program(&self) -> Option<PathBuf> {
        let program = Some(&self.history.git_program).filter(|program| !program.is_empty())?;
        let is_trusted = |home: &PathBuf| matches!(user::standing(home), Ok(Standing::Trusted | Standing::Moved(_)));
        self.home.as_ref().filter(|home| is_trusted(home)).and_then(|_| os::program(Path::new(program)))
    }

    /// Options of the history.
    pub fn history(&self) -> HistoryOptions {
        HistoryOptions {
            author_name: self.history.author_name.clone(),
            author_email: self.history.author_email.clone(),
            packs_max: self.history.packs_max,
            pointer: self.history.pointer,
            git_program: self.git_program(),
            ..HistoryOptions::default()
        }
    }

    /// How the home is synced.
    ///
    /// # Errors
    /// Exit 78 for an invalid pattern of secrets, unless there is no remote: nothing is pushed before it is known what to hold.
    pub fn sync(&self) -> Result<sync::Options, Failure> {
        let (remote, history) = (self.remote(), self.history());
        let secrets = (self.sync.hold_secrets && !remote.is_empty()).then(|| self.redactor()).transpose()?;
        Ok(sync::Options {
            remote,
            git: history.git_program.clone(),
            auto: self.sync.auto,
            lanes: self.sync.lanes.clone(),
            push_age: seconds(self.sync.push_age_s),
            look_every: seconds(self.sync.fetch_s),
            secrets: secrets.map(Arc::new),
            merge: self.sync.merge,
            import: sync::import::Options {
                what: self.sync.import,
                since: time(&self.sync.import_since),
                days: days(&self.sync.import_since),
                keys: self.sync.keys,
            },
            trunk: Some(self.sync.trunk.clone()).filter(|trunk| trunk != AUTO),
            public: self.sync.public,
            sign: self.sync.sign,
            timeout: seconds(self.sync.timeout_s),
            alert: seconds(self.sync.alert_s),
            history,
        })
    }

    /// The remote; empty if there is none.
    fn remote(&self) -> String {
        let remote = std::env::var(REMOTE).ok().filter(|remote| !remote.is_empty());
        remote.unwrap_or_else(|| self.sync.remote.clone())
    }

    /// How the worker syncs; `None` if it does not.
    fn sync_by_itself(&self) -> Option<sync::Options> {
        if !self.sync.auto || self.remote().is_empty() {
            return None;
        }
        let say = |failure: &Failure| {
            tracing::error!(causes = failure.causes.join(": "), "nothing is synced: {}", failure.what);
        };
        self.sync().inspect_err(say).ok()
    }

    /// How provenance is completed and which of it is kept, in a process with the provenance `process`.
    pub fn sources(&self, process: Provenance, project_ids: Option<PathBuf>) -> Sources {
        Sources { process, project_ids, host: self.label().map(str::to_owned), kept: self.record.provenance.clone() }
    }

    /// The label of this machine, if it has one.
    pub fn label(&self) -> Option<&str> {
        Some(self.sync.name.trim()).filter(|name| !name.is_empty())
    }

    /// What hooks record.
    pub fn rules(&self) -> Rules {
        Rules {
            severity: Severity::new(self.hook.severity).unwrap_or(Severity::LOW),
            answers: self.hook.answers.clone(),
            events: self.hook.events.clone(),
            tools: self.hook.tools.clone(),
        }
    }

    /// How long a failure that a hook recorded waits for its command to succeed.
    pub fn trail(&self) -> Limits {
        Limits { calls: self.hook.fix_calls, time: Duration::from_secs(self.hook.fix_minutes * 60) }
    }

    /// The redactor with the built-in rules and the user's patterns.
    ///
    /// # Errors
    /// Exit 78 for an invalid pattern.
    pub fn redactor(&self) -> Result<Redactor, Failure> {
        Redactor::new(&self.redact.patterns).map_err(|error| {
            Failure::new(Exit::NoHome, "invalid setting").because(&error).hint("fix [redact.patterns]")
        })
    }

    /// Why hooks cannot record anything with these settings, if they cannot.
    pub fn hook_trouble(&self) -> Option<String> {
        let failure = (self.hook.record && self.redact.hooks).then(|| self.redactor().err()).flatten()?;
        Some(format!("hooks record nothing: {}: {}", failure.what, failure.causes.join(": ")))
    }

    /// Options of the worker.
    pub fn worker(&self) -> worker::Options {
        worker::Options {
            batch: self.batch(),
            age_max: milliseconds(self.worker.age_ms),
            urgent: self.worker.urgent_severity,
            poll: seconds(self.worker.poll_s),
            stop: seconds(self.worker.stop_s),
            edits: (self.worker.edits_s > 0).then(|| seconds(self.worker.edits_s)),
            sync: self.sync_by_itself(),
            ..worker::Options::default()
        }
    }
}

/// A duration in seconds, a hundred years at most: the clock cannot show much more.
pub fn seconds(number: u64) -> Duration {
    Duration::from_secs(number.min(100 * 366 * 24 * 3600))
}

/// A duration in milliseconds, with the limit of [`seconds`].
pub fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number).min(seconds(u64::MAX))
}
