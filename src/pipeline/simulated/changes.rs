//! A process that amends, retracts and restores records, as a command does: it looks at what history and journal have
//! of a record, and appends an operation that is made from that. Others look and append at the same time, so their
//! operations have to be joined.

use uuid::Uuid;

use super::commits::History;
use super::world::Strange;
use super::{BODIES, Stage};
use crate::fs::simulated::Dice;
use crate::journal::{Appender, Records};
use crate::model::path::state_file;
use crate::model::{Amended, Amendment, Change, FieldSpec, FileImage, Intent, Op, RecordId, Request, Revision};
use crate::page::{self, Current, Parsed, Presence, Resolution, StateFile, resolve};
use crate::pipeline::Error;

/// An operation that a process appended, or tried to.
pub(super) struct Made {
    pub(super) op: Op,
    /// When its writer looked at the record.
    viewed: u64,
    /// When it was acknowledged, if it was.
    pub(super) acknowledged: Option<u64>,
}

impl Made {
    /// Whether the writer of `later` saw this.
    pub(super) fn is_before(&self, later: &Made) -> bool {
        self.acknowledged.is_some_and(|at| at < later.viewed)
    }

    /// Whether neither of the two writers saw the other's operation.
    pub(super) fn is_beside(&self, other: &Made) -> bool {
        !self.is_before(other) && !other.is_before(self)
    }
}

/// A record as a process sees it, with what is pending.
pub(super) struct View {
    id: RecordId,
    path: String,
    /// The last page that it has or had.
    page: Vec<u8>,
    current: Current,
    /// The greatest revision of all.
    greatest: Revision,
}

impl View {
    /// Where its page is, or was.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn lay(&mut self, op: &Op) {
        self.greatest = self.greatest.max(op.revision());
        let state = |change: &Change, state| Some(StateFile::of_change(change, state).text().into_bytes());
        match (resolve(op, &self.current), op) {
            (Resolution::Append(joined), _) => self.lay(&joined),
            (Resolution::Apply, Op::Amend(amendment)) => self.show(amendment.record.files[0].text.as_bytes().to_vec()),
            (Resolution::Apply, Op::Retract(change)) => {
                self.current = Current {
                    state: state(change, Presence::Retracted),
                    retraction: Some(change.revision),
                    ..Current::default()
                };
            }
            (Resolution::Apply, Op::Restore(change)) => {
                self.current.state = state(change, Presence::Restored);
                self.show(self.page.clone());
            }
            _ => {}
        }
    }

    fn show(&mut self, page: Vec<u8>) {
        self.page.clone_from(&page);
        self.current.page = Some((self.path.clone(), page));
    }

    /// The revision that the next operation is made from.
    fn base(&self) -> Revision {
        let state = self.current.state.as_ref().and_then(|bytes| StateFile::parse(self.id, bytes));
        let page = page::later_revision_of(self.id, &self.page).unwrap_or(Revision::first(self.id));
        state.map_or(page, |state| state.revision.max(page))
    }

    fn change(&self, dice: &mut Dice) -> Change {
        let revision = Revision { n: self.greatest.n + 1, op: op_id(dice) };
        let because = (dice.below(2) == 0).then(|| "it was wrong".to_owned());
        let path = Some(self.path.clone());
        Change { of: self.id, revision, base: self.base(), at: jiff::Timestamp::UNIX_EPOCH, path, because }
    }

    /// The next operation on the record.
    pub(super) fn op(&self, dice: &mut Dice) -> Op {
        match (&self.current.page, dice.below(6)) {
            (None, 0) => Op::Retract(self.change(dice)),
            (None, _) => Op::Restore(self.change(dice)),
            (Some(_), 0 | 1) => Op::Retract(self.change(dice)),
            (Some(_), 2) if self.current.state.is_some() => Op::Restore(self.change(dice)),
            (Some((_, page)), _) => self.amend(page, dice),
        }
    }

    fn amend(&self, page: &[u8], dice: &mut Dice) -> Op {
        let parsed = page::parse(page).expect("the history has pages");
        let Parsed { id, created_at, request: Some(mut request), mut fields, .. } = parsed else {
            panic!("the history has a record's page")
        };
        let change = Change { path: Some(self.path.clone()), ..self.change(dice) };
        let names =
            ["summary", "tags", "domain", "severity", "explanation", "source", "hypothesis", "failure_criteria"];
        let specs: Vec<_> = names.iter().filter_map(|name| FieldSpec::named(name)).collect();
        let specs: Vec<_> = specs.into_iter().filter(|spec| request.record.text(spec.field).is_some()).collect();
        for _ in 0..1 + dice.below(2) {
            let spec = dice.one_of(&specs);
            let text = match spec.name {
                "severity" => (1 + dice.below(5)).to_string(),
                "tags" | "domain" | "source" => format!("{} {:04}", spec.name, dice.below(10_000)),
                _ => format!("{:04} word ", dice.below(10_000)).repeat(dice.one_of(&BODIES).div_ceil(10)),
            };
            request.record.set(spec.field, text).expect("it is a value of the field");
            fields.insert(spec.name.to_owned(), change.revision);
        }
        let amended = Amended { revision: change.revision, fields };
        let text = page::amended_page(id, created_at, &request, &amended);
        let files = vec![FileImage { path: self.path.clone(), text }];
        let Request { record, key, provenance } = request;
        let record = Intent { id, created_at, key, record, provenance, amended: Some(amended), files, from: None };
        Op::Amend(Box::new(Amendment { change, record }))
    }
}

/// The id of an operation, which the seed decides: it can decide between two revisions.
fn op_id(dice: &mut Dice) -> Uuid {
    let bytes = u128::from(dice.next()) << 64 | u128::from(dice.next());
    uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid()
}

/// What a path begins with: the same for all records of a kind.
fn folder_of(path: &str) -> (Option<&str>, Option<&str>) {
    let mut parts = path.split('/');
    (parts.next(), parts.next())
}

impl Stage<'_> {
    /// Appends an operation on a record, an operation that is in the journal already, or one that cannot be applied.
    pub(super) fn change(self, dice: &mut Dice) -> Result<(), Error> {
        self.machine.revive();
        match dice.below(12) {
            0 => self.append_strange(dice),
            1 => self.append_again(dice),
            _ => {
                let viewed = self.world().tick();
                let Some(view) = self.view(dice)? else { return Ok(()) };
                self.append_op(view.op(dice), &view.path, viewed)
            }
        }
    }

    /// Appends an operation on one of a few records: one that is in the journal or the history already, one made from what
    /// this process saw when it made its `last` one, or one made from what it sees now.
    pub(super) fn change_often(self, last: &mut Option<(u64, View)>, dice: &mut Dice) -> Result<(), Error> {
        self.machine.revive();
        match (dice.below(4), &last) {
            (0, _) => self.append_again(dice),
            (1, Some((viewed, view))) => self.append_op(view.op(dice), &view.path, *viewed),
            _ => {
                let viewed = self.world().tick();
                let Some(view) = self.view(dice)? else { return Ok(()) };
                let (viewed, view) = last.insert((viewed, view));
                self.append_op(view.op(dice), &view.path, *viewed)
            }
        }
    }

    /// A record with what is pending; `None` if no record was acknowledged yet.
    pub(super) fn view(self, dice: &mut Dice) -> Result<Option<View>, Error> {
        let world = self.world();
        // Ordered by path, since those that were acknowledged when the power went have no order.
        let mut promised: Vec<_> = world.promised.iter().map(|it| (it.files[0].path.clone(), it.id)).collect();
        promised.retain(|(path, _)| !world.edits.contains_key(path));
        promised.sort_unstable();
        // Few records, so that many of them are changed more than once.
        match self.ops.are_many() {
            true => promised.dedup_by(|(path, _), (before, _)| folder_of(path) == folder_of(before)),
            false => promised.truncate(12),
        }
        drop(world);
        if promised.is_empty() {
            return Ok(None);
        }
        let id = dice.one_of(&promised).1;
        // The journal first: what is no longer in it is in the history by then.
        let mut ops = Vec::new();
        let mut records = Records::from_start(self.home.journal())?;
        while let Some(logged) = records.as_mut().map(Records::next_op).transpose()?.flatten() {
            ops.extend(Some(logged.op).filter(|op| op.of() == id));
        }
        let world = self.world();
        let committed = world.committed.iter().find(|intent| intent.id == id);
        // Of a key that is not committed yet, it is not known which intent will be the record.
        let pending = || ops.iter().find_map(Op::intent).filter(|intent| intent.key.is_none());
        let Some(first) = committed.or_else(pending) else { return Ok(None) };
        let path = first.files[0].path.clone();
        let History { tree, versions, .. } = &world.history;
        let page = versions.get(&path).and_then(|versions| versions.last()).cloned();
        let state = tree.get(&state_file(id)).cloned();
        let shown = match page {
            Some(_) => tree.get(&path).cloned(),
            None => Some(first.files[0].text.clone().into_bytes()),
        };
        let page = page.or(shown.clone()).unwrap_or_default();
        let page_shown = shown.map(|page| (path.clone(), page));
        let current = Current { page: page_shown, state, ..Current::default() };
        let mut view = View { id, path, page, current, greatest: Revision::first(id) };
        view.greatest = view.base();
        ops.iter().for_each(|op| view.lay(op));
        Ok(Some(view))
    }

    fn append_op(self, op: Op, path: &str, viewed: u64) -> Result<(), Error> {
        // The owner may have edited the file meanwhile.
        if self.machine.is_dark() || self.world().edits.contains_key(path) {
            return Ok(());
        }
        let json = op.to_json();
        let number = {
            let mut world = self.world();
            world.made.push(Made { op, viewed, acknowledged: None });
            world.made.len() - 1
        };
        let _ = Appender::open_for_operations(self.home.journal())?.append(&[json])?.sync()?;
        let mut world = self.world();
        let now = world.tick();
        world.made[number].acknowledged = Some(now);
        Ok(())
    }

    /// Appends an operation again, as a copied journal does.
    fn append_again(self, dice: &mut Dice) -> Result<(), Error> {
        let world = self.world();
        // An operation whose record is lost with a restored journal would make the record.
        let made: Vec<_> = world.made.iter().filter(|made| world.is_committed(made.op.of())).collect();
        if made.is_empty() {
            return Ok(());
        }
        let json = dice.one_of(&made).op.to_json();
        drop(world);
        let _ = Appender::open_for_operations(self.home.journal())?.append(&[json])?.sync()?;
        Ok(())
    }

    /// Appends an entry that has to be parked.
    fn append_strange(self, dice: &mut Dice) -> Result<(), Error> {
        let id = RecordId(op_id(dice));
        let json = match dice.below(2) {
            0 => format!(r#"{{"op":"frobnicate","of":"{id}"}}"#).into_bytes(),
            _ => {
                let revision = Revision { n: 2, op: op_id(dice) };
                let (base, at) = (Revision::first(id), jiff::Timestamp::UNIX_EPOCH);
                Op::Restore(Change { of: id, revision, base, at, path: None, because: None }).to_json()
            }
        };
        let _ = Appender::open_for_operations(self.home.journal())?.append(&[&json])?.sync()?;
        let mut world = self.world();
        let at = world.tick();
        world.strange.push(Strange { json, at });
        Ok(())
    }
}
