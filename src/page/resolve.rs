//! What an operation results in, for a record that may not be at the revision that the operation was made from. Pure.
//!
//! The history decides: its page says the revision of the record's content, and its state file says the revision of its
//! presence. Neither goes back. The two are apart: a retraction or restoration keeps its own revision, however far
//! merges have moved the content's. So what its writer had seen is before it, and what saw it is behind it.
//!
//! | the operation | the history has | the result |
//! | --- | --- | --- |
//! | any | its revision | done |
//! | erase | another erasure | late: nothing |
//! | erase | anything else | applied as it is |
//! | retract, restore | a later revision of the presence, or `erased` | late: nothing |
//! | retract, restore | an earlier one | applied as it is |
//! | restore | no page, now or ever | cannot be brought back |
//! | amend | a hidden record | void: it was raced by the retraction |
//! | amend, based on a later restoration | a hidden record | parked until that restoration comes |
//! | amend, based on a later revision of the content | a hidden record | void as well |
//! | amend, not knowing its last retraction | a record whose restoration is later | void, as before that restoration |
//! | amend | of each of its fields a later value | late: nothing |
//! | amend | the same value of each field, at an earlier revision | applied as it is: only the revision differs |
//! | amend | later values of other fields | merged: of each field, the later value |
//! | any other | | applied as it is |
//!
//! A merged amendment is an operation of its own: it is appended to the journal, with its bytes, before it is applied. Its
//! id is derived from the two revisions that it joins, so it is the same however often that is done.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Parsed, Presence, StateFile, amended_page, parse};
use crate::model::{Amended, Amendment, Change, FieldSpec, FileImage, Intent, Op, Record, Revision};

/// What the history has of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    /// Its page: path and bytes.
    pub page: Option<(String, Vec<u8>)>,
    /// Its state file: its bytes.
    pub state: Option<Vec<u8>>,
    /// The revision of its last retraction, if it was restored since.
    pub retraction: Option<Revision>,
    /// Whether its page has or had the revision that the operation is made from.
    pub had_base: bool,
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// It is to be applied as it is.
    Apply,
    /// The history has it: files and rows may lack it.
    Done,
    /// Later operations have overtaken it: it changes nothing.
    Late,
    /// The record was retracted or erased before it came: it changes nothing, and is counted.
    Void,
    /// This operation is appended to the journal in its place.
    Append(Box<Op>),
    /// It cannot be applied, for this reason.
    Park(&'static str),
}

/// The result of `op` for a record of which the history has `current`.
pub fn resolve(op: &Op, current: &Current) -> Resolution {
    let state = current.state.as_ref().map(|bytes| StateFile::parse(op.of(), bytes));
    match op {
        // The history itself says whether it has the record.
        Op::Record(_) => Resolution::Apply,
        Op::Amend(amendment) => amend(amendment, current, state),
        Op::Retract(change) => presence(change, current, state, false),
        Op::Restore(change) => presence(change, current, state, true),
        Op::Erase { revision, .. } => erase(*revision, state.flatten()),
    }
}

/// Resolves an erasure. It is above everything but another one.
fn erase(revision: Revision, state: Option<StateFile>) -> Resolution {
    match state.filter(|state| state.state == Presence::Erased) {
        Some(state) if state.revision == revision => Resolution::Done,
        Some(_) => Resolution::Late,
        None => Resolution::Apply,
    }
}

/// Resolves a retraction or, if it `restores`, a restoration. A torn state file, which is `Some(None)`, has no
/// revision: it is written again.
fn presence(change: &Change, current: &Current, state: Option<Option<StateFile>>, restores: bool) -> Resolution {
    let known = state.as_ref().and_then(Option::as_ref);
    if let Some(state) = known {
        if state.state == Presence::Erased || state.revision > change.revision {
            return Resolution::Late;
        }
        if state.revision == change.revision {
            return Resolution::Done;
        }
    }
    if restores && state.is_none() && current.page.is_none() {
        return Resolution::Park("nothing is known of the record that is to be brought back");
    }
    Resolution::Apply
}

fn amend(amendment: &Amendment, current: &Current, state: Option<Option<StateFile>>) -> Resolution {
    let Amendment { change, record: theirs } = amendment;
    if !is_its_page(amendment) {
        return Resolution::Park("its page is not that of the record and the revision that it is about");
    }
    let known = state.as_ref().and_then(Option::as_ref);
    if state.is_some() && known.is_none_or(|state| state.state.is_hidden()) {
        return of_hidden(change, known, current.had_base);
    }
    let Some((path, bytes)) = &current.page else { return Resolution::Apply };
    let Ok(ours) = parse(bytes) else { return Resolution::Park("the record's page in the history cannot be read") };
    let Parsed { id, created_at, request: Some(request), .. } = &ours else {
        return Resolution::Park("the page in the history is not the record's");
    };
    if *id != change.of {
        return Resolution::Park("the page in the history is another record's");
    }
    let ours = ours.amended();
    let latest = ours.as_ref().map_or(Revision::first(change.of), |ours| ours.revision);
    if latest == change.revision {
        return Resolution::Done;
    }
    let ours = ours.map(|ours| ours.fields).unwrap_or_default();
    let Some(Amended { fields: of_theirs, .. }) = &theirs.amended else { return Resolution::Late };
    let taken: Vec<&String> =
        of_theirs.iter().filter(|(name, revision)| is_later(&ours, name, revision)).map(|(name, _)| name).collect();
    let kept = ours.iter().any(|(name, revision)| is_later(of_theirs, name, revision));
    let latest = latest.max(known.map_or(latest, |state| state.revision));
    match (taken.is_empty(), kept) {
        // Joined elsewhere from the same amendments, in another order: only the revision is another.
        (true, false) if change.revision > latest && theirs.record == request.record => return Resolution::Apply,
        (true, _) => return Resolution::Late,
        // It came, or came again, after a later restoration: it was raced by the retraction before that.
        _ if known.is_some_and(|state| state.revision > change.revision)
            && current.retraction.is_none_or(|retraction| change.base < retraction) =>
        {
            return Resolution::Void;
        }
        (false, false) if change.revision > latest => return Resolution::Apply,
        (false, _) => {}
    }
    let mut record = request.record.clone();
    taken.iter().for_each(|name| take(&mut record, &theirs.record, name));
    let mut fields = ours;
    for (name, revision) in of_theirs {
        let latest = fields.entry(name.clone()).or_insert(*revision);
        *latest = (*latest).max(*revision);
    }
    let revision = joined(change.revision, latest);
    let change = Change { revision, base: latest, ..change.clone() };
    let amended = Amended { revision, fields };
    let mut request = request.clone();
    request.record = record.clone();
    let text = amended_page(*id, *created_at, &request, &amended);
    let files = vec![FileImage { path: path.clone(), text }];
    let (key, provenance) = (request.key, request.provenance);
    let record =
        Intent { id: *id, created_at: *created_at, key, record, provenance, amended: Some(amended), files, from: None };
    Resolution::Append(Box::new(Op::Amend(Box::new(Amendment { change, record }))))
}

/// The result of an amendment for a hidden record. It never brings the record back by itself: revisions alone do not prove
/// that its author saw a restoration. It waits for that only if it is made from one, not from an amendment.
fn of_hidden(change: &Change, state: Option<&StateFile>, had_base: bool) -> Resolution {
    let is_content = had_base || is_merge(change.base);
    match state.is_some_and(|it| it.state == Presence::Retracted && it.revision < change.base && !is_content) {
        true => Resolution::Park("the restoration of the record that it is based on is not here yet"),
        false => Resolution::Void,
    }
}

/// Whether the value of the field `name` with `revision` is later than that in `fields`.
pub(crate) fn is_later(fields: &BTreeMap<String, Revision>, name: &str, revision: &Revision) -> bool {
    fields.get(name).is_none_or(|known| known < revision)
}

/// Sets the field `name` of `record` to the value in `other`. A name that is not a field of its kind changes nothing.
pub(crate) fn take(record: &mut Record, other: &Record, name: &str) {
    if let Some(spec) = FieldSpec::named(name)
        && let Some(text) = other.text(spec.field)
    {
        let _ = record.set(spec.field, text.into_owned());
    }
}

/// Whether the page that an amendment carries says what the amendment says.
fn is_its_page(Amendment { change, record }: &Amendment) -> bool {
    let parsed = record.files.first().and_then(|file| parse(file.text.as_bytes()).ok());
    parsed.is_some_and(|parsed| {
        parsed.id == change.of
            && parsed.amended() == record.amended
            && parsed.request.is_some_and(|request| request.record == record.record)
    })
}

/// The revision of an operation that joins two: later than both, and the same in whichever order they came.
pub(crate) fn joined(one: Revision, other: Revision) -> Revision {
    let (first, second) = (one.min(other), one.max(other));
    Revision { n: second.n + 1, op: Uuid::new_v5(&first.op, second.to_string().as_bytes()) }
}

/// Whether `revision` is one that [`joined`] made: only amendments are merged.
fn is_merge(revision: Revision) -> bool {
    revision.op.get_version_num() == 5
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Learning, Provenance, RecordId, Request, Severity};

    fn id() -> RecordId {
        RecordId(Uuid::from_u128(7))
    }

    fn op_id(n: u64, op: u128) -> Revision {
        Revision { n, op: Uuid::from_u128(op) }
    }

    fn learning(title: &str, domain: &str) -> Record {
        let severity = Severity::LEAST;
        Record::Failure(Learning { title: title.into(), domain: domain.into(), severity, ..Learning::default() })
    }

    fn page(record: &Record, amended: Option<&Amended>) -> Vec<u8> {
        let request = Request::new(record.clone());
        match amended {
            Some(amended) => amended_page(id(), Timestamp::UNIX_EPOCH, &request, amended),
            None => super::super::files(id(), Timestamp::UNIX_EPOCH, &request, crate::model::Level::Day).remove(0).text,
        }
        .into_bytes()
    }

    fn change(revision: Revision) -> Change {
        let (of, base) = (id(), Revision::first(id()));
        Change { of, revision, base, at: Timestamp::UNIX_EPOCH, path: Some("p.md".into()), because: None }
    }

    fn amendment(revision: Revision, record: Record, fields: &[&str]) -> Op {
        let fields = fields.iter().map(|name| ((*name).to_owned(), revision)).collect();
        let amended = Amended { revision, fields };
        let text = String::from_utf8(page(&record, Some(&amended))).expect("it is text");
        let record = Intent {
            id: id(),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            record,
            provenance: Provenance::default(),
            amended: Some(amended),
            files: vec![FileImage { path: "p.md".into(), text }],
            from: None,
        };
        Op::Amend(Box::new(Amendment { change: change(revision), record }))
    }

    fn first() -> Current {
        Current { page: Some(("p.md".into(), page(&learning("t", "d"), None))), ..Current::default() }
    }

    /// What the history has after `op` was applied to `current`.
    fn after(op: &Op, current: &Current) -> Current {
        let state = |change, state| Some(StateFile::of_change(change, state).text().into_bytes());
        match op {
            Op::Amend(it) => {
                let file = &it.record.files[0];
                Current { page: Some((file.path.clone(), file.text.clone().into_bytes())), ..current.clone() }
            }
            Op::Retract(change) => Current { state: state(change, Presence::Retracted), ..Current::default() },
            Op::Restore(change) => {
                let retracted = current.state.as_ref().and_then(|bytes| StateFile::parse(id(), bytes));
                let retraction = retracted.map(|state| state.revision);
                Current { state: state(change, Presence::Restored), retraction, ..first() }
            }
            Op::Record(_) | Op::Erase { .. } => current.clone(),
        }
    }

    /// Applies `ops` as a worker does: a merged operation takes the place of the one that it came from.
    fn run(ops: &[Op]) -> Current {
        let (mut current, mut queue) = (first(), std::collections::VecDeque::from(ops.to_vec()));
        let mut steps = 0;
        while let Some(op) = queue.pop_front() {
            steps += 1;
            assert!(steps < 1000, "it never ends");
            match resolve(&op, &current) {
                Resolution::Apply => current = after(&op, &current),
                Resolution::Append(op) => queue.push_front(*op),
                Resolution::Done | Resolution::Late | Resolution::Void | Resolution::Park(_) => {}
            }
        }
        current
    }

    fn record_of(current: &Current) -> Record {
        let (_, bytes) = current.page.as_ref().expect("there is a page");
        parse(bytes).expect("it is a page").request.expect("it is a record's").record
    }

    #[test]
    fn what_joins_two_amendments_is_of_the_day_of_the_later_one() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        let of = |n, seconds: i64| {
            let milliseconds = seconds.cast_unsigned() * 1000;
            Revision { n, op: uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid() }
        };
        let (one, other) = (of(3, 5_000), of(2, 9_000));
        let fields = [("title".to_owned(), one), ("domain".to_owned(), other)].into();
        let joined = Amended { revision: joined(one, other), fields };
        assert_eq!(crate::page::amended_at(&joined), Some(at(9_000)));
        let untimed = Amended { revision: op_id(2, 7), fields: BTreeMap::new() };
        assert_eq!(crate::page::amended_at(&untimed), None);
    }

    #[test]
    fn amendments_of_one_revision_are_merged_by_field_in_either_order() {
        let title = amendment(op_id(2, 1), learning("new title", "d"), &["title"]);
        let domain = amendment(op_id(2, 2), learning("t", "new domain"), &["domain"]);
        let both = amendment(op_id(2, 3), learning("newest title", "newest domain"), &["title", "domain"]);
        for ops in [[title.clone(), domain.clone()], [domain.clone(), title.clone()]] {
            assert_eq!(record_of(&run(&ops)), learning("new title", "new domain"));
        }
        assert_eq!(run(&[title.clone(), domain.clone()]), run(&[domain, title.clone()]), "to the byte");
        for ops in [[title.clone(), both.clone()], [both, title]] {
            assert_eq!(
                record_of(&run(&ops)),
                learning("newest title", "newest domain"),
                "of one that both changed, the later"
            );
        }
    }

    #[test]
    fn an_amendment_with_another_page_is_parked() {
        let other = amendment(op_id(2, 1), learning("another", "d"), &["title"]);
        let Op::Amend(other) = other else { panic!("it amends") };
        for text in ["garbage".to_owned(), String::from_utf8(page(&learning("x", "d"), None)).expect("it is text")]
            .into_iter()
            .chain(other.record.files.iter().map(|file| file.text.clone()))
        {
            let Op::Amend(mut op) = amendment(op_id(2, 2), learning("x", "d"), &["title"]) else { panic!("it amends") };
            op.record.files[0].text = text;
            let resolution = resolve(&Op::Amend(op), &first());
            assert!(matches!(resolution, Resolution::Park(_)), "{resolution:?}");
        }
    }

    #[test]
    fn a_retraction_raced_by_an_amendment_hides_the_record_all_the_same() {
        let amended = amendment(op_id(2, 9), learning("x", "d"), &["title"]);
        let retracted = Op::Retract(change(op_id(2, 1)));
        for ops in [[amended.clone(), retracted.clone()], [retracted, amended]] {
            let current = run(&ops);
            assert_eq!(current.page, None);
            let state = StateFile::parse(id(), current.state.as_deref().expect("it has one")).expect("it is whole");
            assert_eq!(state.state, Presence::Retracted);
        }
    }

    #[test]
    fn an_amendment_is_void_only_if_it_did_not_know_of_the_retraction() {
        let (retract, restore) = (Op::Retract(change(op_id(2, 5))), Op::Restore(change(op_id(3, 5))));
        let based_on = |base: Revision, op: Op| match op {
            Op::Amend(mut it) => {
                it.change.base = base;
                Op::Amend(it)
            }
            op => op,
        };
        let amend = |n| amendment(op_id(n, 7), learning("x", "d"), &["title"]);
        let knowing = based_on(op_id(3, 5), amend(4));
        let retracted = after(&retract, &first());
        assert!(matches!(resolve(&knowing, &retracted), Resolution::Park(_)), "it is kept, and brings nothing back");
        let restored = after(&restore, &retracted);
        assert_eq!(resolve(&knowing, &restored), Resolution::Apply);
        // Another restoration is joined to a later revision; nothing was retracted in between.
        let rejoined =
            Current { retraction: Some(op_id(2, 5)), ..after(&Op::Restore(change(op_id(5, 1))), &retracted) };
        assert!(matches!(resolve(&knowing, &rejoined), Resolution::Append(_)), "it knew of the only retraction");
        assert_eq!(resolve(&amend(2), &rejoined), Resolution::Void);
        let Resolution::Append(joined) = resolve(&knowing, &rejoined) else { panic!("it is joined") };
        assert_eq!(resolve(&joined, &rejoined), Resolution::Apply);
    }

    /// Amendments that raced a retraction are merged, so the content's revision is above what its writer saw.
    #[test]
    fn a_restoration_that_saw_a_retraction_stands_however_far_merges_have_moved_the_content() {
        let amend = |op, name: &str| amendment(op_id(2, op), learning("x", "y"), &[name]);
        let (retract, restore) = (Op::Retract(change(op_id(2, 5))), Op::Restore(change(op_id(3, 5))));
        let ops = [amend(1, "title"), amend(2, "domain"), amend(3, "severity"), retract, restore];
        let hidden = run(&ops[..4]);
        assert_eq!(hidden.page, None);
        let current = run(&ops);
        assert!(current.page.is_some());
        let state = StateFile::parse(id(), current.state.as_deref().expect("it has one")).expect("it is whole");
        assert_eq!((state.state, state.revision), (Presence::Restored, op_id(3, 5)));
    }

    #[test]
    fn an_amendment_of_a_hidden_record_waits_for_a_restoration_alone() {
        let retracted = after(&Op::Retract(change(op_id(2, 1))), &first());
        let resolved = |base: Revision, had_base: bool| {
            let Op::Amend(mut op) = amendment(op_id(5, 7), learning("x", "d"), &["title"]) else { panic!("it amends") };
            op.change.base = base;
            resolve(&Op::Amend(op), &Current { had_base, ..retracted.clone() })
        };
        let merge = joined(op_id(2, 8), op_id(3, 9));
        assert!(matches!(resolved(op_id(4, 7), false), Resolution::Park(_)));
        assert_eq!(resolved(op_id(4, 7), true), Resolution::Void, "the history had that content");
        assert_eq!(resolved(merge, false), Resolution::Void, "a merge is no restoration");
    }

    #[test]
    fn what_was_done_is_done_and_what_is_older_is_late() {
        let (retract, restore) = (Op::Retract(change(op_id(2, 1))), Op::Restore(change(op_id(3, 1))));
        let amend = amendment(op_id(2, 1), learning("x", "d"), &["title"]);
        let retracted = after(&retract, &first());
        assert_eq!(resolve(&retract, &retracted), Resolution::Done);
        assert_eq!(resolve(&amend, &retracted), Resolution::Void);
        let restored = after(&restore, &retracted);
        assert_eq!(resolve(&retract, &restored), Resolution::Late);
        assert_eq!(resolve(&restore, &restored), Resolution::Done);
        assert_eq!(
            resolve(&amend, &restored),
            Resolution::Void,
            "again, behind the restoration, it is as void as before"
        );
        let later = amendment(op_id(4, 1), learning("x", "d"), &["title"]);
        assert_eq!(resolve(&later, &restored), Resolution::Apply);
        let amended = after(&amend, &first());
        assert_eq!(resolve(&amend, &amended), Resolution::Done);
        let torn = Current { state: Some(Vec::new()), ..Current::default() };
        assert_eq!((resolve(&retract, &torn), resolve(&amend, &torn)), (Resolution::Apply, Resolution::Void));
        assert!(matches!(resolve(&restore, &Current::default()), Resolution::Park(_)));
        assert_eq!(resolve(&retract, &Current::default()), Resolution::Apply, "of an unknown record too");
    }

    proptest! {
        /// Amendments made independently of each other lead to the same record in every order, however often each
        /// comes.
        #[test]
        fn every_order_of_amendments_comes_to_the_same_record(
            made in proptest::collection::vec((2_u64..4, 1_u128..100, any::<bool>(), any::<bool>()), 1..5),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)
        ) {
            // Every operation has its own id.
            let ids: BTreeMap<_, _> = made.iter().map(|(n, op, title, domain)| ((n, op), (title, domain))).collect();
            let ops: Vec<Op> = ids.iter().map(|((n, op), (title, domain))| {
                let fields: Vec<_> = [("title", **title), ("domain", **domain)].into_iter().filter(|it| it.1).map(|it| it.0).collect();
                let text = format!("{n} {op}");
                amendment(op_id(**n, **op), learning(if **title { &text } else { "t" }, if **domain { &text } else { "d" }), &fields)
            }).collect();
            let once = run(&ops);
            let mut again = ops.clone();
            again.reverse();
            again.extend(order.iter().map(|index| index.get(&ops).clone()));
            prop_assert_eq!(record_of(&run(&again)), record_of(&once));
        }
    }
}
