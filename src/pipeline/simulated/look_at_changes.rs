//! What must hold for records that were amended, retracted or restored: file, row, history and state file come to the
//! same revision, and that is the one which the acknowledged operations promise.
//!
//! 1. Of each field the value of the latest amendment stands, whichever operations came in between.
//! 2. A record is as the last retraction or restoration says. Of those whose writers did not see each other's, either.
//! 3. An amendment has no effect only if a retraction raced it.
//! 4. The history has every revision, in order: it never goes back (`commits` checks that).
//! 5. What cannot be applied is in quarantine.
//!
//! An operation that was joined with another is passed, and its segment may be gone, while the join waits in the journal.
//! So before a recovery an operation is kept if something later in the journal carries all that it changed.

use std::collections::{BTreeMap, HashSet};

use super::changes::Made;
use super::{Life, Limits, Stage, World, lock};
use crate::fs::simulated::Disk;
use crate::home::Home;
use crate::journal::{Found, Records};
use crate::model::path::state_file;
use crate::model::{Amendment, Intent, Op, RecordPath, Revision};
use crate::page::{self, Parsed, Presence, StateFile};
use crate::quarantine::Contents;

/// Whether `op`, which the journal has, carries what `made` changed.
fn carries(op: &Op, made: &Op) -> bool {
    match (op, made) {
        _ if op.of() != made.of() => false,
        (Op::Amend(later), Op::Amend(made)) => own_fields(made).all(|(name, revision)| {
            later.record.amended.as_ref().is_some_and(|later| later.fields.get(name) >= Some(revision))
        }),
        (Op::Retract(later) | Op::Restore(later), Op::Retract(made) | Op::Restore(made)) => {
            later.revision >= made.revision
        }
        _ => false,
    }
}

/// The fields that an amendment changed, with its revision.
fn own_fields(Amendment { record, .. }: &Amendment) -> impl Iterator<Item = (&String, &Revision)> {
    let amended = record.amended.as_ref().expect("an amendment says so");
    amended.fields.iter().filter(|(_, revision)| **revision == amended.revision)
}

/// What the history has of a record.
struct Committed<'w> {
    /// The record's first intent.
    first: &'w Intent,
    page: Option<&'w Vec<u8>>,
    /// The last page that it has or had.
    last: Parsed,
    state: Option<StateFile>,
    made: Vec<&'w Made>,
}

impl World {
    /// What the history has of the records that were changed; nothing of those that it never had.
    fn changed(&self) -> Vec<Committed<'_>> {
        let changed = self.committed.iter().filter(|intent| self.is_changed(intent.id));
        let committed = changed.map(|first| {
            let path = &first.files[0].path;
            let last = self.history.versions.get(path).and_then(|versions| versions.last()).expect("it is committed");
            let last = page::parse(last).expect("the history has whole pages");
            let state = self.history.tree.get(&state_file(first.id));
            let state =
                state.map(|bytes| StateFile::parse(first.id, bytes).expect("the history has whole state files"));
            let made = self.made.iter().filter(|made| made.op.of() == first.id).collect();
            Committed { first, page: self.history.tree.get(path), last, state, made }
        });
        committed.collect()
    }
}

impl Committed<'_> {
    fn presence(&self) -> Presence {
        self.state.as_ref().map_or(Presence::Restored, |state| state.state)
    }

    /// The revision of the last page.
    fn content(&self) -> Revision {
        self.last.amended().map_or(Revision::first(self.first.id), |amended| amended.revision)
    }

    /// Whether the history shows that `made` was applied, or that it had to have no effect.
    fn has(&self, made: &Made) -> bool {
        match &made.op {
            Op::Amend(amendment) => {
                let mut own = own_fields(amendment);
                let is_there = own.all(|(name, revision)| self.last.fields.get(name) >= Some(revision));
                is_there || self.raced(made) || self.is_parked(amendment)
            }
            op => self.state.as_ref().is_some_and(|state| state.revision >= op.revision()),
        }
    }

    /// Whether `amendment` waits in quarantine for a restoration that its writer saw, and that was never acknowledged.
    fn is_parked(&self, amendment: &Amendment) -> bool {
        let base = amendment.change.base;
        let restoration = self.made.iter().find(|made| made.op.revision() == base);
        restoration.is_some_and(|made| matches!(made.op, Op::Restore(_)) && made.acknowledged.is_none())
            && self.state.as_ref().is_some_and(|state| state.state.is_hidden() && state.revision < base)
    }

    /// Whether a retraction raced the amendment `made`.
    fn raced(&self, made: &Made) -> bool {
        self.made.iter().any(|other| matches!(other.op, Op::Retract(_)) && other.is_beside(made))
    }

    fn check(&self) {
        let path = self.first.path();
        assert_eq!(self.page.is_none(), self.presence().is_hidden(), "{path} is {:?}", self.presence());
        for made in self.made.iter().filter(|made| made.acknowledged.is_some()) {
            let (op, state, fields) = (&made.op, &self.state, &self.last.fields);
            assert!(self.has(made), "{} of {path} had no effect: {op:?}\n{state:?}\n{fields:?}", op.name());
        }
        self.check_fields();
        self.check_presence();
    }

    /// Asserts that each field has the value of an operation.
    fn check_fields(&self) {
        let last = &self.last.request.as_ref().expect("it is a record's page").record;
        for spec in crate::model::fields_of(last.kind()) {
            let text = last.text(spec.field);
            let Some(revision) = self.last.fields.get(spec.name) else {
                assert_eq!(text, self.first.record.text(spec.field), "{} of {}", spec.name, self.first.path());
                continue;
            };
            let made = self.made.iter().find(|made| made.op.revision() == *revision);
            let Some(Op::Amend(amendment)) = made.map(|made| &made.op) else {
                panic!("{revision} of {}, which nothing has", self.first.path())
            };
            assert_eq!(text, amendment.record.record.text(spec.field), "{} of {}", spec.name, self.first.path());
        }
    }

    /// Asserts that the record is as its last retraction or restoration says.
    fn check_presence(&self) {
        let shows = |made: &Made| match made.op {
            Op::Retract(_) => Some(false),
            Op::Restore(_) => Some(true),
            _ => None,
        };
        let is_shown = !self.presence().is_hidden();
        let mut wanted = self.made.iter().filter(|made| shows(made) == Some(is_shown));
        let others: Vec<_> = self.made.iter().filter(|made| shows(made) == Some(!is_shown)).collect();
        let acknowledged = |made: &&&&Made| made.acknowledged.is_some();
        let is_last = |made: &&Made| !others.iter().filter(acknowledged).any(|other| made.is_before(other));
        let is_right = match (&self.state, others.iter().any(|made| made.acknowledged.is_some())) {
            (None, others) => !others,
            (Some(_), _) => wanted.any(is_last),
        };
        assert!(is_right, "{} is {:?}, which is not the last", self.first.path(), self.presence());
    }
}

impl Life<'_> {
    /// Asserts that the stores have the same revision of each record that was changed, and that it is the right one.
    pub(super) fn look_at_changes(&self, world: &World, disk: &Disk) {
        let states = disk.files("memory/retracted");
        for committed in world.changed() {
            committed.check();
            let Committed { first, page, last, state, .. } = &committed;
            let path = first.path();
            let on_disk = states.get(&state_file(first.id));
            assert_eq!(on_disk, world.history.tree.get(&state_file(first.id)), "the state file of {path}");
            assert_eq!(world.rows.marks().get(&first.id), state.as_ref(), "the mark of {path}");
            let Some(row) = world.rows.get(first.id) else {
                assert!(page.is_none(), "{path} has no row");
                continue;
            };
            assert!(page.is_some(), "{path} has a row");
            assert_eq!(row.amended, last.amended(), "the revision of the row of {path}");
            assert_eq!(Some(&row.request), last.request.as_ref(), "the row of {path}");
            assert_eq!(row.path, RecordPath(&first.files[0].path).shown());
        }
    }

    /// Asserts that what cannot be applied is in quarantine, and nothing else.
    pub(super) fn look_at_parked(&self, world: &World, disk: &Disk, contents: &Contents) {
        let files = disk.files(".indelible/quarantine");
        let mut left: HashSet<&String> = contents.parked.iter().collect();
        for strange in &world.strange {
            let text = String::from_utf8(strange.json.clone()).expect("it is text");
            let quoted = serde_json::to_string(&text).expect("it is text");
            let holds = |bytes: &Vec<u8>| *bytes == strange.json || String::from_utf8_lossy(bytes).contains(&quoted);
            let found = files.iter().find(|(_, bytes)| holds(bytes));
            assert!(found.is_some(), "{text} is neither applied nor in quarantine: {contents:?}");
        }
        left.retain(|name| {
            let bytes = [(*name).clone(), name.replace(".json", ".bin")];
            let bytes = bytes.iter().filter_map(|name| files.get(&format!(".indelible/quarantine/{name}")));
            !bytes.map(|bytes| String::from_utf8_lossy(bytes)).any(|text| {
                text.contains("frobnicate")
                    || text.contains("nothing is known of the record that is to be brought back")
                    || text.contains("the restoration of the record that it is based on is not here yet")
            })
        });
        assert!(left.is_empty(), "what was recorded can be applied: {left:?}");
    }

    /// Asserts that nothing on the visible disk says that a record exists while its row is marked as retracted, or its
    /// file is gone.
    pub(super) fn look_at_order(&self) {
        let (world, disk) = (lock(&self.world), self.machine.disk());
        let (files, experiments) = (disk.files("memory"), disk.files("experiments"));
        let state_of = |of| files.get(&state_file(of)).and_then(|bytes| StateFile::parse(of, bytes));
        for mark in world.rows.marks().values().filter(|mark| mark.state.is_hidden()) {
            let is_there = state_of(mark.of).is_some_and(|state| state.revision >= mark.revision);
            assert!(is_there, "the row of {} is marked, and its state file is not written", mark.of);
        }
        for Committed { first, page, .. } in world.changed() {
            let path = &first.files[0].path;
            let is_gone = page.is_some() && !files.contains_key(path) && !experiments.contains_key(path);
            let is_hidden = || state_of(first.id).is_some_and(|state| state.state.is_hidden());
            assert!(!is_gone || is_hidden(), "{path} is gone, and its state file is not written");
        }
    }
}

impl Limits {
    /// Asserts that each acknowledged operation is in the journal or applied, and that each store has what the history
    /// has of it, or the journal still has it.
    pub(super) fn look_at_ops_in_wreck(
        self,
        home: &Home,
        world: &World,
        files: &BTreeMap<String, Vec<u8>>,
        sync_failed: bool,
    ) {
        let (mut ops, mut has_voided) = (Vec::new(), false);
        let mut records = Records::from_start(home.journal()).expect("readable");
        while let Some(found) = records.as_mut().and_then(|records| records.next().expect("readable")) {
            match found {
                Found::Op(logged) => ops.push(logged.op),
                Found::Voided => has_voided = true,
                _ => {}
            }
        }
        let changed = world.changed();
        let of = |id| changed.iter().find(|committed| committed.first.id == id);
        for made in world.made.iter().filter(|made| made.acknowledged.is_some()) {
            let (id, revision) = (made.op.of(), made.op.revision());
            let is_logged = ops.iter().any(|op| carries(op, &made.op));
            let is_kept = is_logged || of(id).is_some_and(|committed| committed.has(made));
            assert!(is_kept, "{} of {id} was acknowledged and is lost: {revision}", made.op.name());
        }
        // Where a writer voided what the worker had applied, the audit takes it from the history.
        let is_voided = |id| has_voided && world.made.iter().any(|it| it.op.of() == id && it.acknowledged.is_none());
        for committed in changed.iter().filter(|it| !sync_failed && !is_voided(it.first.id)) {
            let (id, path) = (committed.first.id, &committed.first.files[0].path);
            let is_current = files.get(path) == committed.page;
            let presence = committed.state.as_ref().map(|state| state.revision);
            let latest = presence.max(Some(committed.content())).expect("it has one");
            // A later operation may be half applied.
            let is_kept = |wanted| ops.iter().any(|op| op.of() == id && op.revision() >= wanted);
            let state = files.get(&state_file(id)) == world.history.tree.get(&state_file(id));
            assert!(state || presence.is_none_or(is_kept), "the state file of {path} is lost");
            // Beside a state file that says that the record is there, its content alone is missing.
            let is_content = |op: &Op| {
                matches!(op, Op::Record(_) | Op::Amend(_)) && op.of() == id && op.revision() >= committed.content()
            };
            let has_content = committed.page.is_some() && ops.iter().any(is_content);
            // A page that was removed can be back, even with a later content than the removal's: the journal removes it again.
            let is_removed = || committed.page.is_none() && presence.is_some_and(is_kept);
            let is_page_kept = is_current || is_kept(latest) || state && has_content || is_removed();
            assert!(is_page_kept, "{path} is not at {latest}, and the journal has not that");
            if self.rows_bytes_max < 1 << 30 {
                continue;
            }
            let has_mark = world.rows.marks().get(&id) == committed.state.as_ref();
            assert!(has_mark || presence.is_none_or(is_kept), "the mark of {path} is lost");
            let row = world.rows.get(id);
            let is_current = row.map(|row| row.amended.clone()) == committed.page.map(|_| committed.last.amended());
            let is_row_kept = is_current || is_kept(latest) || has_mark && has_content;
            assert!(is_row_kept, "the row of {path} is not at {latest}");
        }
    }
}

impl Stage<'_> {
    /// Asserts that no row is behind the history, as long as rows do not lag. They can be ahead of it. An amendment that joins
    /// two others was committed with the second of them, and has an entry of its own behind both: where the worker
    /// `has_joined`, a row that lagged follows with that.
    pub(super) fn look_at_rows_that_follow(self, has_joined: bool) {
        let world = self.world();
        for committed in world.changed() {
            let (id, path) = (committed.first.id, committed.first.path());
            let mark = world.rows.marks().get(&id).map(|mark| mark.revision);
            let state = committed.state.as_ref().map(|state| state.revision);
            assert!(mark >= state, "rows do not lag, and the mark of {path} is at {mark:?}, before {state:?}");
            let (row, wanted) = (world.rows.get(id), committed.content());
            let row = row.map(|row| row.amended.as_ref().map_or(Revision::first(id), |amended| amended.revision));
            let is_joined = || has_joined && world.made.iter().all(|made| made.op.revision() != wanted);
            let is_right = committed.page.is_none() || mark > state || row >= Some(wanted) || is_joined();
            assert!(is_right, "rows do not lag, and the row of {path} is at {row:?}, before {wanted}");
        }
        let is_plain = |intent: &&Intent| !world.is_changed(intent.id) && !world.is_refused(intent);
        for intent in world.committed.iter().filter(is_plain) {
            assert!(world.rows.get(intent.id).is_some(), "rows do not lag, and that of {} is missing", intent.path());
        }
    }
}
