//! The trail from a failure to the success of the same command, in the log of its session.
//!
//! ```text
//! a command fails ─▶ a failure's record ─▶ Opened
//! later calls ─────────────────────────▶ Step, Step, ...        while it is open
//! a turn ends, a person stops a call ──▶ Turn                   a person speaks next
//! the same command works ─▶ a success's record, which names the failure ─▶ Closed
//! ```
//!
//! 1. A call without an open failure costs one look at the log, and nothing more.
//! 2. A failure is open until its command works, until [`Limits`] end it, until the session ends, or until the context is
//!    cleared or compacted.
//! 3. Everything noted is redacted first. What a step says is decided by `followed`.
//! 4. The success has a key made of the session and the failure: however often it is found, it is one record. A failure that came again
//!    without a record of its own is open as any other; its success names the record that it came again of.
//!
//! | killed | on disk | and then |
//! | --- | --- | --- |
//! | before the failure is noted as open | its record | nothing follows it |
//! | within a step | the step, or not | one step less |
//! | between the success's record and its note | both records; the failure is open | the next success of the command has the same key: it makes no second record |

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::checkout::Checkout;
use super::context::Context;
use super::{End, Event, EventKind, Rules, Tool, compose, rules};
use crate::followed::{Called, Followed, Subject, steps, steps_beside};
use crate::home::Home;
use crate::known::{Signed, Stored};
use crate::model::{Kind, Record, RecordId};
use crate::record::{Redacted, Redaction};
use crate::session::{Closed, Entry, Noted, Opened, SessionLog, Step};

/// The most successes that one event makes: one for each signature that the command failed with.
const SUCCESSES_MAX: usize = 3;
/// A longer command is not waited for, in bytes.
const COMMAND_BYTES_MAX: usize = 4 << 10;

/// How long a failure stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many calls: steps, and failures that are opened after it. With 0, nothing is opened.
    pub calls: usize,
    /// How long.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { calls: 50, time: Duration::from_secs(30 * 60) }
    }
}

/// The open failures of the session and the agent of an event.
#[derive(Debug)]
pub struct Trail<'h> {
    log: Option<SessionLog<'h>>,
    open: Vec<Open>,
}

/// An open failure, and what happened since.
#[derive(Clone, Debug)]
struct Open {
    opened: Opened,
    steps: Vec<Step>,
    /// Whether a turn has ended since.
    spoke: bool,
    /// What its command is, once it was asked for: there can be many, and each is compared more than once.
    subject: OnceCell<Option<Subject>>,
}

/// What an event means for the open failures.
#[derive(Debug, Default)]
pub struct Course {
    /// The successes that it makes.
    pub successes: Vec<Redacted>,
    /// What is to be noted of it, once they are recorded.
    entries: Vec<Entry>,
    /// The failure to open, but for its record's id.
    opening: Option<Opened>,
    /// Its signature.
    signed: Option<Signed>,
}

impl Course {
    /// The signature of the failure that it opens, with the folder that it was computed for.
    pub fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }
}

/// What an event is to the open failures of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A tool was called.
    Call,
    /// A person speaks, or is about to.
    Person,
    /// The session ends.
    End,
}

impl Moment {
    /// `None` if the event does not concern them.
    fn of(event: &Event) -> Option<Moment> {
        match (&event.kind, event.name.as_str()) {
            // Who stopped it has something to say.
            (EventKind::Tool(tool), _) if tool.end == End::Stopped => Some(Moment::Person),
            (EventKind::Tool(_), _) => Some(Moment::Call),
            (_, "SessionEnd" | "sessionEnd" | "session.deleted") => Some(Moment::End),
            (EventKind::Prompt(_), _) => Some(Moment::Person),
            (EventKind::AgentStop { .. }, _) => Some(Moment::Person),
            _ => None,
        }
    }
}

/// Whether what is noted of the session ends with `event`: the agent no longer knows what it was told and what it did.
pub fn forgets(event: &Event) -> bool {
    let is_cleared = matches!(event.source.as_deref(), Some("clear" | "compact"));
    event.kind == EventKind::Start && is_cleared || matches!(event.name.as_str(), "PostCompact" | "session.compacted")
}

impl<'h> Trail<'h> {
    /// The open failures that `event` can concern: one look at the log, or none if it can concern none.
    pub fn of(home: &'h Home, event: &Event, limits: Limits) -> Trail<'h> {
        if Moment::of(event).is_none() || limits.calls == 0 {
            return Trail { log: None, open: Vec::new() };
        }
        let log = event.log(home);
        let now = crate::fs::now();
        let since = now.checked_sub(limits.time).unwrap_or(Timestamp::MIN);
        let mut open = open_in(log.open(since, limits.calls), since);
        open.retain(|it| it.steps.len() < limits.calls);
        Trail { log: Some(log), open }
    }

    /// What `event`, of which `records` are made, means for the open failures. Nothing is written.
    pub fn follow(&self, event: &Event, records: &[Redacted], rules: &Rules, redaction: &Redaction) -> Course {
        let context = Context { event, redaction };
        let entries = match (Moment::of(event), &event.kind) {
            _ if self.log.is_none() => Vec::new(),
            (Some(Moment::Call), EventKind::Tool(tool)) => return self.of_tool(&context, tool, records, rules),
            (Some(Moment::Person), _) if !self.open.is_empty() => vec![Entry::Turn {}],
            (Some(Moment::End), _) => closed(&self.open).collect(),
            _ => Vec::new(),
        };
        Course { entries, ..Course::default() }
    }

    /// The record of the failure of `course`, if it is open in this session already: the same one, in the same place. `own` is the id
    /// that a record of its own would have; if that is open, this is another copy of the hook, and the failure did not come again.
    pub fn repeated(&self, course: &Course, own: RecordId) -> Option<RecordId> {
        let new = course.opening.as_ref()?;
        let is_same = |open: &&Open| {
            let it = &open.opened;
            let is_command = it.signature.is_empty() && it.command == new.command && it.folder == new.folder;
            it.signature == new.signature && (is_command || !it.signature.is_empty() && it.root == new.root)
        };
        let is_copy = self.open.iter().any(|open| open.opened.failure == own);
        self.open.iter().find(is_same).filter(|_| !is_copy).map(|open| open.opened.record())
    }

    /// Notes `course`, once its records are kept. `failure` is the id of the event's failure, if it has one, and `again_of` the record
    /// that it came again of.
    pub fn note(&self, course: Course, failure: Option<RecordId>, again_of: Option<RecordId>) {
        let Some(log) = &self.log else { return };
        let opened = course.opening.zip(failure);
        let opened = opened.map(|(opened, failure)| Entry::Opened(Opened { failure, again_of, ..opened }));
        for entry in course.entries.into_iter().chain(opened) {
            // A log that cannot be written is silence.
            let _ = log.append(&entry);
        }
    }

    fn of_tool(&self, context: &Context<'_>, tool: &Tool, records: &[Redacted], rules: &Rules) -> Course {
        let has_failed = matches!(tool.end, End::Failed { .. });
        let first = records.first().map(|it| it.request().record.kind());
        let is_recorded = has_failed && first == Some(Kind::Failure);
        if self.open.is_empty() && !is_recorded {
            return Course::default();
        }
        let command = tool.command.as_deref().map(|command| context.redacted(command));
        let folder = context.event.folder.as_deref().unwrap_or_default();
        let subject = command.as_deref().and_then(|command| Subject::of(command, &context.redacted(folder)));
        let mut course = Course::default();
        if is_recorded && subject.is_some() {
            let opening = command.as_deref().and_then(|command| opening(context, tool, command, records));
            (course.opening, course.signed) = opening.unzip();
        }
        if self.open.is_empty() || rules::only_looks(tool) {
            return course;
        }
        let worked = subject.as_ref().filter(|_| tool.exited_well);
        let (paired, rest): (Vec<&Open>, Vec<&Open>) = self
            .open
            .iter()
            .partition(|open| worked.is_some_and(|worked| open.subject().is_some_and(|failed| worked.repeats(failed))));
        // Only now: to read the branch costs some calls.
        let branch = if paired.is_empty() { String::new() } else { context.redacted(&Checkout::of(folder).branch) };
        let paired: Vec<&Open> = paired.into_iter().filter(|open| open.opened.branch == branch).collect();
        if let Some(worked) = worked.filter(|_| !paired.is_empty()) {
            course.successes = self.successes(context, tool, worked, &paired, rules);
        }
        course.entries.extend(closed(paired.iter().copied()));
        if let Some(open) = rest.first().copied().or(self.open.first().filter(|_| paired.is_empty())) {
            let own = subject.as_ref().and_then(|again| Some((again, same_as_open(again, &self.open)?)));
            let steps = called(context, tool, command.as_deref(), &open.opened.root, |called| match own {
                // Trying again changes nothing.
                Some((again, failed)) => steps_beside(called, again, failed),
                None => steps(called),
            });
            course.entries.extend(steps.into_iter().map(Entry::Step));
        }
        course
    }

    /// A success for each signature that the command failed with: it names the record of the first failure of these.
    fn successes(
        &self,
        context: &Context<'_>,
        tool: &Tool,
        worked: &Subject,
        paired: &[&Open],
        rules: &Rules,
    ) -> Vec<Redacted> {
        let is_first = |at: &usize| paired[..*at].iter().all(|it| it.opened.signature != paired[*at].opened.signature);
        let firsts = (0..paired.len()).filter(is_first).map(|at| paired[at]);
        let success = |open: &Open| {
            let mut steps = open.steps.clone();
            let beside = |called: &Called<'_>| open.subject().map(|it| steps_beside(called, worked, it));
            let beside = called(context, tool, None, &open.opened.root, |called| beside(called).unwrap_or_default());
            steps.extend(beside);
            let prompt = context.event.prompt.as_deref().filter(|_| !open.opened.prompt.is_empty());
            let spoke = prompt.map_or(open.spoke, |prompt| digest_of(prompt) != open.opened.prompt);
            let followed = Followed::of(&steps, spoke);
            compose::of_success(context, tool, &open.opened, &followed, rules.severity)
        };
        let mut successes: Vec<Redacted> = firsts.map(success).collect();
        // The latest are the likeliest to have been what was worked on.
        let left_out = successes.len().saturating_sub(SUCCESSES_MAX);
        successes.drain(..left_out);
        successes
    }
}

impl Open {
    fn subject(&self) -> Option<&Subject> {
        self.subject.get_or_init(|| Subject::of(&self.opened.command, &self.opened.folder)).as_ref()
    }
}

/// The failures of `noted` that were opened after `since` and not closed, with what was noted after each.
fn open_in(noted: Vec<Noted>, since: Timestamp) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    for Noted { at, entry } in noted {
        match entry {
            Entry::Opened(opened) if at > since && open.iter().all(|it| it.opened.failure != opened.failure) => {
                open.push(Open { opened, steps: Vec::new(), spoke: false, subject: OnceCell::new() });
            }
            Entry::Closed(closed) => open.retain(|it| it.opened.failure != closed.failure),
            Entry::Turn {} => open.iter_mut().for_each(|it| it.spoke = true),
            Entry::Step(step) => {
                for it in &mut open {
                    // Two copies of a hook note one call twice.
                    let is_copy = |known: &Step| known.call == step.call && known.does == step.does;
                    if step.call.is_empty() || !it.steps.iter().any(is_copy) {
                        it.steps.push(step.clone());
                    }
                }
            }
            Entry::Opened(_) | Entry::Told(_) => {}
        }
    }
    open
}

fn closed<'a>(open: impl IntoIterator<Item = &'a Open>) -> impl Iterator<Item = Entry> {
    open.into_iter().map(|it| Entry::Closed(Closed { failure: it.opened.failure }))
}

/// The open failure whose command is that of `again`, no more and no less.
fn same_as_open<'a>(again: &Subject, open: &'a [Open]) -> Option<&'a Subject> {
    open.iter().filter_map(Open::subject).find(|failed| again.repeats(failed) && failed.repeats(again))
}

/// The failure of `tool`, to be opened, and its signature.
fn opening(context: &Context<'_>, tool: &Tool, command: &str, records: &[Redacted]) -> Option<(Opened, Signed)> {
    let (event, End::Failed { .. }) = (context.event, &tool.end) else { return None };
    let folder = event.folder.as_deref().filter(|_| command.len() <= COMMAND_BYTES_MAX)?;
    let Record::Failure(it) = &records.first()?.request().record else { return None };
    let signature = Stored::of(&it.summary, &it.tags).signature(folder);
    let digest = signature.as_ref().map(|it| format!("{}\0{}\0{}", it.class, it.program, it.text));
    let Checkout { root, branch } = Checkout::of(folder);
    let opened = Opened {
        failure: RecordId(Uuid::nil()),
        again_of: None,
        command: command.to_owned(),
        folder: context.redacted(folder),
        root: context.redacted(&root),
        branch: context.redacted(&branch),
        signature: digest.map(|text| digest_of(&text)).unwrap_or_default(),
        prompt: event.prompt.as_deref().map(digest_of).unwrap_or_default(),
    };
    Some((opened, Signed { cwd: folder.to_owned(), signature }))
}

/// The steps that `of` finds in the call of `tool`, named.
fn called(
    context: &Context<'_>,
    tool: &Tool,
    command: Option<&str>,
    root: &str,
    of: impl FnOnce(&Called<'_>) -> Vec<Step>,
) -> Vec<Step> {
    let event = context.event;
    let is_file = |path: &str| std::fs::symlink_metadata(Path::new(root).join(path)).is_ok_and(|it| it.is_file());
    let found = of(&Called {
        tool: &tool.name,
        input: &tool.input,
        command,
        folder: event.folder.as_deref().unwrap_or_default(),
        root,
        failed: matches!(tool.end, End::Failed { .. }),
        is_file: &is_file,
    });
    let call = digest_of(tool.call.as_deref().unwrap_or(&event.digest.to_string()));
    let named = |step: Step| {
        // A path was not redacted before.
        let does = context.redacted(&step.does);
        let edits = step.edits.iter().map(|file| context.redacted(file)).collect();
        Step { does, edits, call: call.clone() }
    };
    found.into_iter().map(named).collect()
}

fn digest_of(text: &str) -> String {
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string();
    digest[..16].to_owned()
}
