//! What is known of one failure in one place, and by what a failure is known.

use sha1_smol::Sha1;
use uuid::Uuid;

use super::{Signed, Stored};
use crate::followed::Followed;
use crate::model::{Learning, Origin, Provenance, Record, RecordId};
use crate::signature::{Key, Signature, TEXT_CHARS_MAX, VERSION};

/// The class of a failure without a signature, which is known by its whole command.
const COMMAND: &str = "command";
/// The most bytes of a program, and of a place. What has more is not known by them.
const PROGRAM_BYTES_MAX: usize = 1 << 10;
const PLACE_BYTES_MAX: usize = 8 << 10;
/// The most letters of a session that an agent is shown.
const SHORT_CHARS_MAX: usize = 8;
/// The most characters of a machine's label.
const HOST_CHARS_MAX: usize = 40;
/// The most times that are kept one by one. Earlier ones are only counted.
pub(super) const TIMES_MAX: usize = 16;
/// The most successes that followed, and the most steps of each.
const FOLLOWED_MAX: usize = 8;
const STEPS_MAX: usize = 12;

/// By what a failure is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its signature; or, if it has none, one of our making: its command.
    pub signature: Signature,
}

impl Failure {
    /// By what the failure is known that a hook made `record` of; `None` if it is no such record, or there is nothing to know
    /// it by. `provenance` is the record's own, as far as it is kept.
    pub fn of(record: &Record, provenance: &Provenance) -> Option<Failure> {
        Failure::with(record, provenance, None)
    }

    /// As [`Failure::of`]. `signed`, which was computed of the same record, is used if it is for the same folder.
    pub fn with(record: &Record, provenance: &Provenance, signed: Option<&Signed>) -> Option<Failure> {
        let Record::Failure(Learning { summary, tags, .. }) = record else { return None };
        if !matches!(provenance.origin, None | Some(Origin::Hook)) {
            return None;
        }
        let stored = Stored::of(summary, tags);
        let cwd = provenance.cwd.as_deref().unwrap_or_default();
        let known = signed.filter(|it| it.cwd == cwd).map(|it| it.signature.clone());
        let signature = known.unwrap_or_else(|| stored.signature(cwd)).or_else(|| {
            let text = whole(stored.command.as_deref()?.trim());
            Some(Signature { version: VERSION, class: COMMAND, program: String::new(), text })
        })?;
        (signature.program.len() <= PROGRAM_BYTES_MAX).then_some(Failure { signature })
    }

    /// Whether `record`, which it is of, says no more than what it is known by: a failure without a signature can have any output. Then it
    /// is the same as another one with all that matters.
    pub fn is_all_of(&self, record: &Record) -> bool {
        let Record::Failure(Learning { summary, tags, .. }) = record else { return false };
        self.signature.class != COMMAND || Stored::of(summary, tags).says_nothing()
    }

    /// Where it counts as the same: its project or, outside of one, its folder; for a command both. `None` if that is not known.
    pub fn place(&self, provenance: &Provenance) -> Option<String> {
        let (project, cwd) = (provenance.project.as_deref(), provenance.cwd.as_deref());
        let place = match (project, cwd) {
            (_, None) if self.signature.class == COMMAND => return None,
            (Some(project), Some(cwd)) if self.signature.class == COMMAND => format!("project {project}\nfolder {cwd}"),
            (Some(project), _) => format!("project {project}"),
            (None, Some(cwd)) => format!("folder {cwd}"),
            (None, None) => return None,
        };
        (place.len() <= PLACE_BYTES_MAX).then_some(place)
    }
}

/// `command`, or its beginning and a digest of all of it.
fn whole(command: &str) -> String {
    match command.char_indices().nth(TEXT_CHARS_MAX - 40) {
        None => command.to_owned(),
        Some((end, _)) => format!("{} {}", &command[..end], Uuid::new_v5(&Uuid::NAMESPACE_OID, command.as_bytes())),
    }
}

/// A session, so that it is recognised and can be named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// A digest of its id.
    pub digest: u64,
    /// The first letters of its id.
    pub short: String,
}

impl Session {
    /// The session with this id.
    pub fn of(id: &str) -> Session {
        let digest = Sha1::from(id).digest().bytes();
        let plain = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let short = plain.take(SHORT_CHARS_MAX).collect();
        Session { digest: u64::from_le_bytes(std::array::from_fn(|at| digest[at])), short }
    }
}

/// One time that a failure was recorded, or several of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The record: the failure, or the verdict that it came again.
    pub record: RecordId,
    /// The failure's record.
    pub of: RecordId,
    /// For how many times it stands.
    pub count: u32,
    /// When, in seconds since 1970.
    pub at: i64,
    /// In which session, if that is known.
    pub session: Option<Session>,
    /// The label of the machine, if it has one.
    pub host: String,
}

impl Time {
    /// The time that is recorded as the failure `record`, at `at` seconds since 1970.
    pub fn of(record: RecordId, at: i64, provenance: &Provenance) -> Time {
        let session = provenance.session.as_deref().map(Session::of);
        let host = provenance.host.as_deref().unwrap_or_default().chars().take(HOST_CHARS_MAX).collect();
        Time { record, of: record, count: 1, at, session, host }
    }

    /// The `count` times that are recorded as the verdict `verdict` that the failure `of` came again.
    pub fn again(verdict: RecordId, of: RecordId, count: u64, at: i64, provenance: &Provenance) -> Time {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Time { of, count, ..Time::of(verdict, at, provenance) }
    }
}

/// A success that followed a failure in its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// Its record.
    pub record: RecordId,
    /// The failure's record.
    pub failure: RecordId,
    /// When it was recorded, in seconds since 1970.
    pub at: i64,
    /// The session.
    pub session: Session,
    /// What was done in between.
    pub followed: Followed,
}

impl Success {
    /// What a hook recorded of a success as `record`, at `at` seconds since 1970; `None` if the record names no failure, or is not
    /// a hook's.
    pub fn of(id: RecordId, at: i64, record: &Record, provenance: &Provenance) -> Option<Success> {
        let Record::Success(Learning { resolves: Some(failure), summary, .. }) = record else { return None };
        if provenance.origin.is_some_and(|origin| origin != Origin::Hook) {
            return None;
        }
        let session = Session::of(provenance.session.as_deref()?);
        let mut followed = Followed::of_text(summary)?;
        followed.steps.truncate(STEPS_MAX);
        Some(Success { record: id, failure: *failure, at, session, followed })
    }
}

/// What is known of one failure in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is looked up by.
    pub key: Key,
    /// Class, program and text of its signature.
    pub class: String,
    /// See `class`.
    pub program: String,
    /// See `class`.
    pub text: String,
    /// Where it is known ([`Failure::place`]).
    pub place: String,
    /// When it was recorded, the newest 16 times, oldest first.
    pub times: Vec<Time>,
    /// How often it was recorded before these.
    pub earlier: u32,
    /// When it was recorded first, in seconds since 1970.
    pub first: i64,
    /// What followed, oldest first.
    pub successes: Vec<Success>,
}

impl Case {
    /// A case of `signature`, of which nothing is known yet.
    pub(super) fn new(signature: &Signature, key: Key, place: String) -> Case {
        let Signature { class, program, text, .. } = signature.clone();
        Case {
            key,
            class: class.to_owned(),
            program,
            text,
            place,
            times: Vec::new(),
            earlier: 0,
            first: i64::MAX,
            successes: Vec::new(),
        }
    }

    /// Whether it is of a failure with this signature.
    pub fn is_of(&self, signature: &Signature) -> bool {
        self.class == signature.class && self.program == signature.program && self.text == signature.text
    }

    /// Whether it is known by its whole command alone.
    pub fn is_command(&self) -> bool {
        self.class == COMMAND
    }

    /// When it was recorded last.
    pub(super) fn last(&self) -> i64 {
        self.times.last().map_or(self.first, |time| time.at)
    }

    /// Adds a time, unless it has it. If there are too many, the oldest is only counted from now on.
    pub(super) fn add(&mut self, time: Time) {
        // What is older than all that is kept was counted when it was dropped.
        let is_counted = self.earlier > 0 && self.times.first().is_some_and(|oldest| time.at < oldest.at);
        if is_counted || self.times.iter().any(|it| it.record == time.record) {
            return;
        }
        self.first = self.first.min(time.at);
        let at = self.times.partition_point(|it| (it.at, it.record) < (time.at, time.record));
        self.times.insert(at, time);
        if self.times.len() > TIMES_MAX {
            let dropped = self.times.remove(0);
            self.earlier = self.earlier.saturating_add(dropped.count);
        }
    }

    /// Adds a success, unless it has it. If there are too many, the oldest goes.
    pub(super) fn add_success(&mut self, success: Success) {
        self.successes.retain(|it| it.record != success.record);
        let at = self.successes.partition_point(|it| (it.at, it.record) < (success.at, success.record));
        self.successes.insert(at, success);
        if self.successes.len() > FOLLOWED_MAX {
            self.successes.remove(0);
        }
    }

    /// Takes `record` out, which is a time of it or a success that followed. With a failure goes what followed it, and what says that
    /// it came again. Returns whether it had it.
    pub(super) fn remove(&mut self, record: RecordId) -> bool {
        let before = self.times.len() + self.successes.len();
        self.times.retain(|time| time.record != record && time.of != record);
        self.successes.retain(|it| it.record != record && it.failure != record);
        if self.earlier == 0 {
            self.first = self.times.first().map_or(i64::MAX, |time| time.at);
        }
        self.times.len() + self.successes.len() < before
    }

    /// The failure's first record, as far as it is known: what comes again is a verdict on that one.
    pub fn first_record(&self) -> Option<RecordId> {
        self.times.iter().map(|time| time.of).min()
    }

    /// Whether a time of it is recorded as `record`.
    pub fn has(&self, record: RecordId) -> bool {
        self.times.iter().any(|time| time.record == record)
    }

    /// Whether it was recorded in `session`, as far as is known.
    pub fn was_in(&self, session: &Session) -> bool {
        self.times.iter().any(|time| time.session.as_ref() == Some(session))
    }

    /// Whether nothing is left of it that could be told.
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(command: &str, error: &str) -> Record {
        let summary = format!("**Command**\n\n```\n{command}\n```\n\n**Error**\n\n```\n{error}\n```\n\n");
        Record::Failure(Learning { summary, tags: "hook,exit-1".into(), ..Learning::default() })
    }

    fn place(project: Option<&str>, cwd: Option<&str>) -> Provenance {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Provenance { project: text(project), cwd: text(cwd), origin: Some(Origin::Hook), ..Provenance::default() }
    }

    #[test]
    fn a_failure_is_known_by_its_signature_or_by_its_command() {
        let here = place(Some("h/o/p"), Some("/home/me/p"));
        let signed = Failure::of(&failure("git push", "fatal: unable to access 'https://a.b/c': timed out"), &here);
        let signed = signed.expect("it has a signature");
        assert_eq!((signed.signature.class, signed.place(&here).as_deref()), ("fatal", Some("project h/o/p")));
        assert_eq!(signed.place(&place(None, Some("/x"))).as_deref(), Some("folder /x"));
        assert_eq!(signed.place(&place(None, None)), None);
        let plain = Failure::of(&failure(" ./check ", "Exit code 1"), &here).expect("it has a command");
        assert_eq!((plain.signature.class, plain.signature.text.as_str()), (COMMAND, "./check"));
        assert_eq!(plain.place(&here).as_deref(), Some("project h/o/p\nfolder /home/me/p"));
        assert_eq!(plain.place(&place(Some("h/o/p"), None)), None, "the folder matters");
        let long = |end: &str| Failure::of(&failure(&format!("{}{end}", "x".repeat(500)), ""), &here);
        assert!(long("a").is_some_and(|it| it.signature.text.chars().count() <= TEXT_CHARS_MAX));
        assert_ne!(long("a"), long("b"), "all of the command counts");
        let by_hand = Provenance { origin: Some(Origin::Agent), ..here.clone() };
        assert_eq!(Failure::of(&failure("git push", "fatal: no"), &by_hand), None);
        assert_eq!(Failure::of(&Record::Success(Learning::default()), &here), None);
    }

    #[test]
    fn the_newest_times_are_kept_and_the_others_counted_once() {
        let signature = Signature { version: VERSION, class: "fatal", program: "git".into(), text: "a b".into() };
        let mut case = Case::new(&signature, signature.key(b"s"), "folder /x".into());
        let id = |number: u128| RecordId(Uuid::from_u128(number));
        let at = |number: u128| i64::try_from(number).expect("it is small");
        let time = |number: u128| Time::of(id(number), at(number), &Provenance::default());
        for number in [3, 2, 1, 2].into_iter().chain(4..=20) {
            case.add(time(number));
        }
        assert_eq!((case.times.len(), case.earlier, case.first, case.last()), (16, 4, 1, 20));
        case.add(time(2));
        assert_eq!((case.times.len(), case.earlier), (16, 4), "it was counted before");
        assert!(case.remove(RecordId(Uuid::from_u128(20))) && !case.remove(RecordId(Uuid::from_u128(2))));
        assert_eq!(case.last(), 19);
    }

    #[test]
    fn a_verdict_that_it_came_again_counts_as_often_as_it_says_and_goes_with_its_failure() {
        let signature = Signature { version: VERSION, class: "fatal", program: "git".into(), text: "a b".into() };
        let mut case = Case::new(&signature, signature.key(b"s"), "folder /x".into());
        let id = |number: u128| RecordId(Uuid::from_u128(number));
        let session = |name: &str| Provenance { session: Some(name.into()), ..Provenance::default() };
        case.add(Time::of(id(5), 5, &session("a")));
        case.add(Time::again(id(2), id(5), 30, 6, &session("b")));
        assert_eq!((case.first_record(), case.has(id(2)), case.has(id(5))), (Some(id(5)), true, true));
        assert!(case.was_in(&Session::of("b")) && !case.was_in(&Session::of("c")));
        for number in 10..26 {
            case.add(Time::of(id(number), 10, &session("c")));
        }
        assert_eq!((case.times.len(), case.earlier), (16, 31), "its times are only counted from now on");
        case.add(Time::again(id(3), id(10), 2, 40, &session("b")));
        assert!(case.remove(id(10)) && !case.has(id(3)), "the failure is gone, and so is what came of it");
    }

    #[test]
    fn a_session_is_named_by_letters_that_mean_nothing() {
        let session = Session::of("`\n[LEARNED] 0198f3a2-7c1e");
        assert_eq!(session.short, "LEARNED0");
        assert_ne!(Session::of("a").digest, Session::of("b").digest);
    }
}
