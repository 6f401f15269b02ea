//! `list`: the records that a filter accepts, in an order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;

use rusqlite::Connection;

use super::files::{FILES_FOR, PENDING_FOR};
use super::search::{ROWS_MAX, ROWS_QUICK};
use crate::model::text::{counted, number};
use crate::model::{Field, Kind, RecordId, Revision};
use crate::search;
use crate::search::{Filter, Order, State};
use crate::target::index::Facts;

use super::{Error, Recorded, Seen, States, View, files};

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// The most serious first, the newest of equals first. A record without a severity comes last.
    Severity,
}

impl Sort {
    /// All of them.
    pub const ALL: [Sort; 3] = [Sort::Newest, Sort::Oldest, Sort::Severity];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Sort::Newest => "newest",
            Sort::Oldest => "oldest",
            Sort::Severity => "severity",
        }
    }

    /// Greater is listed first.
    fn key(self, facts: &Facts) -> Key {
        let severity = facts.severity.map_or(0, |it| i64::from(it.get()));
        self.key_of(facts.created_at.as_millisecond(), severity, facts.id)
    }

    fn key_of(self, at: i64, severity: i64, id: RecordId) -> Key {
        match self {
            Sort::Newest => (at, 0, id),
            Sort::Oldest => (-at, 0, RecordId(uuid::Uuid::from_u128(!id.0.as_u128()))),
            Sort::Severity => (severity, at, id),
        }
    }

    fn order(self) -> Order {
        match self {
            Sort::Newest => Order::Newest,
            Sort::Oldest => Order::Oldest,
            Sort::Severity => Order::Severity,
        }
    }
}

type Key = (i64, i64, RecordId);

/// A list: its records are read one by one, so that a long one takes no memory.
#[derive(Debug, Default)]
pub struct Listing {
    /// How many records the filter accepts.
    pub count: u64,
    /// Whether there are more: no more were counted.
    pub is_more: bool,
    /// What could not be looked at, beside the view's own notes.
    pub notes: Vec<String>,
    /// The first of them.
    entries: Vec<Entry>,
}

/// A record of a list.
#[derive(Debug)]
enum Entry {
    /// It was read already.
    Read(Box<Recorded>),
    /// search.db has it.
    Listed(search::Listed),
    /// The index has it.
    Row(RecordId),
}

impl Listing {
    /// How many records follow; fewer if some change meanwhile.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no record follows.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls `take` for each record, in the list's order.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn for_each(self, view: &View<'_>, mut take: impl FnMut(Recorded)) -> Result<(), Error> {
        for entry in self.entries {
            match entry {
                Entry::Read(recorded) => take(*recorded),
                Entry::Row(id) => view.get(id, None)?.visible().into_iter().for_each(&mut take),
                Entry::Listed(it) => {
                    let recorded = view.get_located(it.id, &it.located)?.visible();
                    let revision = it.revision.unwrap_or(Revision::first(it.id));
                    recorded.filter(|recorded| recorded.revision() == revision).into_iter().for_each(&mut take);
                }
            }
        }
        Ok(())
    }

    /// All of its records.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn records(self, view: &View<'_>) -> Result<Vec<Recorded>, Error> {
        let mut records = Vec::with_capacity(self.len());
        self.for_each(view, |recorded| records.push(recorded))?;
        Ok(records)
    }
}

/// What a list is to have.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'f> {
    /// What is left out.
    pub filter: &'f Filter,
    /// The states that are asked for, where verdicts decide; `None` if the filter alone does.
    pub states: Option<&'f States>,
    /// The order.
    pub sort: Sort,
    /// The most records; 0 is all of them.
    pub limit: usize,
    /// How many records are counted, at least; `None` is all of them.
    pub count_max: Option<u64>,
}

impl Selection<'_> {
    /// Whether the record of `facts` is listed.
    fn accepts(&self, facts: &Facts) -> bool {
        accepts(self.filter, facts) && self.states.is_none_or(|states| states.accepts(facts.id, facts.is_golden))
    }

    /// The filter of what search.db lists, which knows the states that rows say; `None` if that is nothing.
    fn of_search(&self) -> Option<Cow<'_, Filter>> {
        let Some(states) = self.states else { return Some(Cow::Borrowed(self.filter)) };
        let states = states.of_rows();
        (!states.is_empty()).then(|| Cow::Owned(Filter { states, ..self.filter.clone() }))
    }
}

/// Lists records.
///
/// # Errors
/// [`Error::Index`].
pub fn list(view: &View<'_>, wanted: Selection<'_>) -> Result<Listing, Error> {
    view.even_without_search(|| list_in(view, wanted))
}

fn list_in(view: &View<'_>, wanted: Selection<'_>) -> Result<Listing, Error> {
    // search.db has no verdicts.
    let database = view.search().filter(|_| !wanted.filter.kinds.contains(&Kind::Verdict));
    match (&view.index, database) {
        (Some(_), Some(search)) if search.is_complete() => {
            let mut beside = view.rows_beside(ROWS_MAX)?;
            if wanted.states.is_some() || !wanted.filter.states.is_empty() {
                beside.extend(view.states_beside()?);
            }
            if beside.len() <= ROWS_MAX {
                return list_search(view, search.connection(), &beside, wanted);
            }
        }
        (None, Some(search)) => return list_search(view, search.connection(), &[], wanted),
        (None, None) => return Ok(list_files(view, wanted)),
        (Some(_), _) => {}
    }
    list_index(view, wanted)
}

/// Lists what search.db has, and beside it what it does not have: the rows of `beside`, and what the journal has.
fn list_search(
    view: &View<'_>,
    search: &Connection,
    beside: &[RecordId],
    wanted: Selection<'_>,
) -> Result<Listing, Error> {
    let Selection { sort, limit, count_max, states, .. } = wanted;
    let judged = states.into_iter().flat_map(States::ids);
    let beside: HashSet<RecordId> = beside.iter().copied().chain(view.pending.ids()).chain(judged).collect();
    let filter = wanted.of_search();
    let counted = filter.as_ref().map(|filter| search::count(search, filter, count_max)).transpose()?;
    let (mut count, is_more) = counted.unwrap_or_default();
    let mut found: Vec<(Key, Entry)> = Vec::new();
    for id in &beside {
        let is_listed = filter.as_ref().filter(|_| !is_more).map(|filter| search::is_listed(search, filter, *id));
        count = count.saturating_sub(u64::from(is_listed.transpose()? == Some(true)));
        if let Seen::Visible(recorded) = view.get(*id, view.pending.path_of(*id))? {
            let facts = facts_of(&recorded);
            if wanted.accepts(&facts) {
                count += u64::from(!is_more);
                found.push((sort.key(&facts), Entry::Read(recorded)));
            }
        }
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    let listed = |filter| search::listed(search, filter, sort.order(), limit.saturating_add(beside.len()));
    for it in filter.as_deref().map(listed).transpose()?.unwrap_or_default() {
        if !beside.contains(&it.id) {
            found.push((sort.key_of(it.created_ms, it.severity, it.id), Entry::Listed(it)));
        }
    }
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    found.truncate(limit);
    let entries = found.into_iter().map(|(_, entry)| entry).collect();
    Ok(Listing { count, is_more, notes: Vec::new(), entries })
}

/// Lists what index and journal have, without search.db.
fn list_index(view: &View<'_>, wanted: Selection<'_>) -> Result<Listing, Error> {
    let Selection { sort, limit, .. } = wanted;
    let mut top = Top::new(sort, limit);
    let (mut with_row, mut without_row) = (HashSet::new(), Vec::new());
    let mut rows = 0;
    if let Some(index) = &view.index {
        index.for_each_facts(|facts| {
            rows += 1;
            if !facts.has_row {
                without_row.push(facts.id);
                return ControlFlow::Continue(());
            }
            if view.pending.has(facts.id) {
                with_row.insert(facts.id);
            }
            if !view.pending.changes(facts.id) && wanted.accepts(&facts) {
                top.add(&facts);
            }
            ControlFlow::Continue(())
        })?;
    }
    let mut changed = HashMap::new();
    without_row.retain(|id| !view.pending.has(*id));
    let pending = view.pending.ids().filter(|id| view.pending.changes(*id) || !with_row.contains(id));
    for id in pending.chain(without_row) {
        if let Seen::Visible(recorded) = view.get(id, None)? {
            let facts = facts_of(&recorded);
            if wanted.accepts(&facts) {
                top.add(&facts);
                changed.insert(id, recorded);
            }
        }
    }
    let (count, ids) = top.in_order();
    let entry = |id: RecordId| changed.remove(&id).map_or(Entry::Row(id), Entry::Read);
    let entries = ids.into_iter().map(entry).collect();
    // Verdicts are in the index alone: no search.db would make this faster.
    let could_be_faster = !wanted.filter.kinds.contains(&Kind::Verdict);
    let notes = view.without_search().note(rows).filter(|_| could_be_faster).into_iter().collect();
    Ok(Listing { count, is_more: false, notes, entries })
}

/// Lists what files and journal have.
fn list_files(view: &View<'_>, wanted: Selection<'_>) -> Listing {
    let Selection { sort, limit, .. } = wanted;
    let deadline = Instant::now() + FILES_FOR;
    let mut top = Top::new(sort, limit);
    let mut found: HashMap<RecordId, Box<Recorded>> = HashMap::new();
    let mut take = |recorded: Recorded| {
        let facts = facts_of(&recorded);
        if wanted.accepts(&facts) {
            top.add(&facts);
            found.insert(recorded.id, Box::new(recorded));
        }
    };
    let mut seen = 0_u64;
    let is_whole = files::for_each(view.home, |path| {
        if Instant::now() > deadline {
            return ControlFlow::Break(());
        }
        seen += 1;
        if let Some(recorded) = files::at(view.home, path).filter(|it| !view.pending.has(it.id)) {
            take(recorded);
        }
        ControlFlow::Continue(())
    });
    let mut notes = Vec::new();
    if !is_whole {
        notes.push(format!("only the newest {} were looked at", counted(seen, "file", "files")));
    }
    let deadline = Instant::now() + PENDING_FOR;
    for (looked_at, id) in (0..).zip(view.pending.newest_first()) {
        if looked_at >= ROWS_QUICK && Instant::now() >= deadline {
            let (newest, all) = (number(looked_at as u64), number(view.pending.ids().count() as u64));
            notes.push(format!("of {all} records in the journal, the newest {newest} were looked at"));
            break;
        }
        // Its file may be older than the operations on it, and the view reads both.
        if let Ok(Seen::Visible(recorded)) = view.get_from_files(id) {
            take(*recorded);
        }
    }
    let (count, ids) = top.in_order();
    let entries = ids.into_iter().filter_map(|id| found.remove(&id)).map(Entry::Read).collect();
    Listing { count, is_more: false, notes, entries }
}

/// Whether `filter` accepts the record of `facts`.
pub(super) fn accepts(filter: &Filter, facts: &Facts) -> bool {
    let tags = facts.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let tags: Vec<String> = if filter.tags.is_empty() { Vec::new() } else { tags.map(str::to_owned).collect() };
    // Verdicts are about what was learned: they are listed where they are asked for.
    let is_listed = facts.kind != Kind::Verdict || filter.kinds.contains(&Kind::Verdict);
    is_listed
        && filter.accepts(&search::Facts {
            kind: facts.kind,
            severity: facts.severity,
            origin: facts.origin,
            golden: facts.is_golden,
            created_at: facts.created_at,
            domain: facts.domain.as_deref(),
            tags: &tags,
            project: facts.project.as_deref(),
            session: facts.session.as_deref(),
            agent: facts.agent.as_deref(),
        })
}

/// What filters look at, of a record that was read.
pub(super) fn facts_of(recorded: &Recorded) -> Facts {
    let provenance = recorded.provenance();
    Facts {
        id: recorded.id,
        kind: recorded.kind(),
        created_at: recorded.created_at,
        domain: recorded.domain().map(Into::into),
        tags: recorded.field(Field::Tags).unwrap_or_default().into_owned(),
        severity: recorded.severity(),
        project: provenance.project.clone(),
        origin: provenance.origin,
        session: provenance.session.clone(),
        agent: provenance.agent.clone(),
        is_golden: recorded.state == State::Golden,
        has_row: recorded.row_id.is_some(),
    }
}

/// The greatest keys of all that were added.
struct Top {
    sort: Sort,
    limit: usize,
    count: u64,
    /// The least of them is on top.
    keys: BinaryHeap<Reverse<Key>>,
}

impl Top {
    fn new(sort: Sort, limit: usize) -> Top {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Top { sort, limit, count: 0, keys: BinaryHeap::new() }
    }

    fn add(&mut self, facts: &Facts) {
        self.count += 1;
        let key = self.sort.key(facts);
        if self.keys.len() >= self.limit {
            match self.keys.peek() {
                Some(Reverse(least)) if *least < key => {
                    self.keys.pop();
                }
                _ => return,
            }
        }
        self.keys.push(Reverse(key));
    }

    /// How many were added, and the ids of the greatest in their order.
    fn in_order(self) -> (u64, Vec<RecordId>) {
        let sort = self.sort;
        let id = |Reverse((_, _, id)): Reverse<Key>| match sort {
            Sort::Oldest => RecordId(uuid::Uuid::from_u128(!id.0.as_u128())),
            Sort::Newest | Sort::Severity => id,
        };
        (self.count, self.keys.into_sorted_vec().into_iter().map(id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Severity};

    fn facts(n: u128, at: i64, severity: Option<u8>) -> Facts {
        Facts {
            id: RecordId(uuid::Uuid::from_u128(n)),
            kind: Kind::Failure,
            created_at: jiff::Timestamp::from_millisecond(at).expect("a time"),
            domain: None,
            tags: String::new(),
            severity: severity.map(|it| Severity::new(it).expect("a severity")),
            project: None,
            origin: None,
            session: None,
            agent: None,
            is_golden: false,
            has_row: true,
        }
    }

    #[test]
    fn the_first_of_each_order_are_kept() {
        let all = [facts(1, 10, Some(2)), facts(2, 30, None), facts(3, 20, Some(5)), facts(4, 20, Some(5))];
        for (sort, wanted) in [(Sort::Newest, [2, 4, 3]), (Sort::Oldest, [1, 3, 4]), (Sort::Severity, [4, 3, 1])] {
            let mut top = Top::new(sort, 3);
            all.iter().for_each(|facts| top.add(facts));
            let (count, ids) = top.in_order();
            let ids: Vec<u128> = ids.into_iter().map(|id| id.0.as_u128()).collect();
            assert_eq!((count, ids), (4, wanted.to_vec()), "{sort:?}");
        }
    }
}
