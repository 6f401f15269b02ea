//! How a recorder treats every request before it is validated: provenance is completed, then secrets are replaced.
//!
//! Only a person's process records as a person. What a person wrote is told to agents unasked, in every session of the project, so
//! a request that says `person` in a process that is no person's is by an agent: by flag, environment, line of a batch, hook or
//! MCP alike. The caller says whose process it is ([`Sources::process`]).

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Origin, PROVENANCE, Provenance, RecordId, Request};
use crate::project;
use crate::redact::Redactor;

/// How a recorder treats every request: what the settings say about recording.
#[derive(Debug)]
pub struct Policy {
    /// What happens to secrets.
    pub redaction: Redaction,
    /// How provenance is completed, and which of it is kept.
    pub sources: Sources,
    /// The longest wait for SQLite, per record. With `None` the recorder does not open the index: the worker inserts the
    /// rows, and finds out whether a key was recorded before.
    pub index_wait: Option<Duration>,
    /// Who inserts the row of a record that needs no look at the index.
    pub rows: Rows,
    /// Among whose records a key names one.
    pub keys: Keys,
}

/// Among whose records a key names one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keys {
    /// Among those of this home.
    #[default]
    Home,
    /// Among those of all homes that sync with one remote.
    Group,
}

/// Who inserts rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// A worker with its next batch, if one runs; the recorder, if none does.
    #[default]
    Auto,
    /// The recorder.
    Recorder,
}

impl Policy {
    /// A policy with `redaction` that adds no provenance, and leaves the index to the worker.
    pub fn new(redaction: Redaction) -> Policy {
        Policy {
            redaction,
            sources: Sources::default(),
            index_wait: None,
            rows: Rows::default(),
            keys: Keys::default(),
        }
    }

    /// `request` with its provenance complete, and redacted.
    pub(super) fn redact(&self, mut request: Request) -> Redacted {
        request.provenance = self.sources.completed(request.provenance);
        if let Some(redactor) = &self.redaction.0 {
            redactor.request(&mut request);
        }
        Redacted::composed(request)
    }

    /// As [`Policy::redact`], but it still says who it is by.
    pub(super) fn redact_verdict(&self, request: Request) -> Redacted {
        let origin = self.sources.origin(request.provenance.origin);
        let mut redacted = self.redact(request);
        redacted.request.provenance.origin = origin;
        redacted
    }

    /// `request`, which passed redaction before, with its provenance complete, and that redacted.
    pub(super) fn complete(&self, Redacted { mut request, again_of }: Redacted) -> Redacted {
        request.provenance = self.sources.completed(request.provenance);
        if let Some(redactor) = &self.redaction.0 {
            for spec in &PROVENANCE {
                let text = request.provenance.text_mut(spec.field).and_then(Option::as_mut);
                text.into_iter().for_each(|text| redactor.string(text));
            }
        }
        Redacted { request, again_of }
    }
}

/// What happens to the secrets in a request. There is no default: a caller says which.
#[derive(Debug)]
pub struct Redaction(Option<Redactor>);

impl Redaction {
    /// Texts are kept as given.
    pub const fn off() -> Redaction {
        Redaction(None)
    }

    /// Secrets are replaced as `redactor` does.
    pub fn with(redactor: Redactor) -> Redaction {
        Redaction(Some(redactor))
    }

    /// `text` without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.as_ref().map_or(Cow::Borrowed(text), |redactor| redactor.text(text))
    }

    /// Redacts every text in `value`.
    pub fn value(&self, value: &mut serde_json::Value) {
        if let Some(redactor) = &self.0 {
            redactor.value(value);
        }
    }
}

/// A request that has passed a [`Redaction`]: what a hook judged, and what a recorder validates.
///
/// ```
/// # use indelible::record::{Error, Receipt, Recorder, Redaction};
/// use indelible::hook::{Event, Rules, judge};
///
/// fn keep(recorder: &mut Recorder, event: &Event, redaction: &Redaction) -> Vec<Result<Receipt, Error>> {
///     let judged = judge(event, &Rules::default(), redaction);
///     recorder.record_redacted(judged.unwrap_or_default())
/// }
/// ```
///
/// # What does not compile
///
/// To record a request as redacted that is not:
///
/// ```compile_fail,E0308
/// # use indelible::{model::Request, record::Recorder};
/// fn keep(recorder: &mut Recorder, request: Request) {
///     recorder.record_redacted(vec![request]);
/// }
/// ```
///
/// To claim that a request is redacted:
///
/// ```compile_fail,E0451
/// # use indelible::{model::Request, record::Redacted};
/// fn claim(request: Request) -> Redacted {
///     Redacted { request, again_of: None }
/// }
/// ```
///
/// ```compile_fail,E0624
/// # use indelible::{model::Request, record::Redacted};
/// fn claim(request: Request) -> Redacted {
///     Redacted::composed(request)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Redacted {
    request: Request,
    again_of: Option<RecordId>,
}

impl Redacted {
    /// A request whose texts were all redacted before it was composed. A hook does that: a secret that is cut in the middle
    /// has no shape by which it could be found later.
    pub(crate) fn composed(request: Request) -> Redacted {
        Redacted { request, again_of: None }
    }

    /// The same request for a failure that is there as the record `first`: it becomes a verdict that it came again.
    #[must_use]
    pub fn again_of(self, first: RecordId) -> Redacted {
        Redacted { again_of: Some(first), ..self }
    }

    /// The record that it is the same as, if it becomes a verdict that this one came again.
    pub fn first(&self) -> Option<RecordId> {
        self.again_of
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The request, to be changed: the proof is gone.
    pub fn into_request(self) -> Request {
        self.request
    }
}

/// How the provenance of a request is completed, and which fields of it are kept.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Provenance of the recording process. It fills what a request leaves open. Its origin is a person's only if a person runs it
    /// at a terminal: the caller answers for that.
    pub process: Provenance,
    /// Where the ids of repositories without an origin lie ([`project::of`]).
    pub project_ids: Option<PathBuf>,
    /// The label of this machine.
    pub host: Option<String>,
    /// The names of the fields that are kept.
    pub kept: Vec<String>,
}

impl Default for Sources {
    fn default() -> Self {
        let kept = PROVENANCE.iter().map(|spec| spec.name.to_owned()).collect();
        Sources { process: Provenance::default(), project_ids: None, host: None, kept }
    }
}

impl Sources {
    /// `given`, completed from what is known of the process and this machine, as a record has it. A folder of its own has a
    /// project of its own.
    pub fn completed(&self, given: Provenance) -> Provenance {
        let folder = given.cwd.as_deref().filter(|cwd| self.process.cwd.as_deref() != Some(*cwd));
        let project = folder.filter(|_| given.project.is_none()).map(|cwd| self.project(Path::new(cwd)));
        let origin = self.origin(given.origin);
        let mut provenance = given.or(self.process.clone());
        provenance.origin = origin;
        if let Some(project) = project {
            provenance.project = project;
        }
        provenance.host = provenance.host.or_else(|| self.host.clone());
        provenance.keep_only(&self.kept);
        provenance
    }

    /// Who a request is by that says that it is by `given`.
    fn origin(&self, given: Option<Origin>) -> Option<Origin> {
        let process = self.process.origin;
        match given {
            Some(Origin::Person) if process != Some(Origin::Person) => process.or(Some(Origin::Agent)),
            given => given.or(process),
        }
    }

    fn project(&self, cwd: &Path) -> Option<String> {
        of_folder(cwd, self.project_ids.as_deref()).project
    }
}

/// Provenance of a process in the folder `cwd`.
pub fn of_folder(cwd: &Path, project_ids: Option<&Path>) -> Provenance {
    let project = project::of(cwd, project_ids);
    Provenance { project, cwd: cwd.to_str().map(str::to_owned), ..Provenance::default() }.fitting()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Learning, Record};

    /// A secret that the built-in rules know.
    fn secret() -> String {
        format!("ghp_{}", "a1B2".repeat(9))
    }

    fn policy() -> Policy {
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        let sources = Sources { host: Some(secret()), ..Sources::default() };
        Policy { sources, ..Policy::new(Redaction::with(redactor)) }
    }

    fn request(title: String) -> Request {
        Request::new(Record::Failure(Learning { title, ..Learning::default() }))
    }

    #[test]
    fn what_the_policy_adds_is_redacted_too() {
        let request = Request { key: Some(secret()), ..request(secret()) };
        let redacted = policy().redact(request);
        assert!(!format!("{redacted:?}").contains(&secret()), "{redacted:?}");
        let hook = policy().complete(Redacted::composed(self::request("of a hook".into())));
        assert_eq!(hook.request().provenance.host.as_deref(), Some("[redacted:github-token]"));
    }

    #[test]
    fn only_a_persons_process_records_as_a_person() {
        use Origin::{Agent, Hook, Import, Person};
        for (process, given, wanted) in [
            (Some(Person), None, Some(Person)),
            (Some(Person), Some(Person), Some(Person)),
            (Some(Person), Some(Agent), Some(Agent)),
            (Some(Agent), Some(Person), Some(Agent)),
            (Some(Agent), Some(Import), Some(Import)),
            (Some(Import), Some(Person), Some(Import)),
            (None, Some(Person), Some(Agent)),
            (None, Some(Hook), Some(Hook)),
            (None, None, None),
        ] {
            let process = Provenance { origin: process, ..Provenance::default() };
            let sources = Sources { process, ..Sources::default() };
            let policy = Policy { sources, ..Policy::new(Redaction::off()) };
            let request = || Request {
                provenance: Provenance { origin: given, ..Provenance::default() },
                ..request("it".into())
            };
            for redacted in [
                policy.redact(request()),
                policy.redact_verdict(request()),
                policy.complete(Redacted::composed(request())),
            ] {
                assert_eq!(redacted.request().provenance.origin, wanted, "{policy:?} {given:?}");
            }
        }
    }

    #[test]
    fn a_request_is_completed_from_the_process_and_then_filtered() {
        let known = |text: &str| Some(text.to_owned());
        let process =
            Provenance { project: known("p"), cwd: known("/here"), agent: known("a"), ..Provenance::default() };
        let sources = Sources { process, host: known("label"), ..Sources::default() };
        let completed = |cwd: Option<&str>, host: Option<&str>| {
            let given = Provenance { cwd: cwd.and_then(known), host: host.and_then(known), ..Provenance::default() };
            sources.completed(given)
        };
        let (open, given) = (completed(None, None), completed(Some("/here"), Some("mine")));
        assert_eq!((open.project, open.cwd, open.host), (known("p"), known("/here"), known("label")));
        assert_eq!((given.project, given.host, given.agent), (known("p"), known("mine"), known("a")));
        let elsewhere = completed(Some("/no/such/folder"), None);
        assert_eq!(elsewhere.project, None, "the project of the process is not that of another folder");
        let named = Sources { kept: vec!["agent".into()], ..sources.clone() };
        assert_eq!(named.completed(Provenance::default()), Provenance { agent: known("a"), ..Provenance::default() });
    }
}
