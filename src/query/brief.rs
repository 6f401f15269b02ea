//! Bounded reading: the newest records that a filter accepts, for callers that have some milliseconds.
//!
//! 1. Never all rows are read. search.db lists the ids; beside it, at most [`BESIDE_MAX`] rows that it lacks and
//!    [`PENDING_MAX`] records of the journal are read. Without search.db a home of at most [`SMALL`] rows is read whole,
//!    and a larger one not at all.
//! 2. So the answer can lack records. [`Briefs::notes`] says so; the caller tells less, and nothing else.
//! 3. What is found is what the row says now, and after the journal's operations. What was retracted or erased is not found.

use std::collections::HashSet;

use jiff::Timestamp;

use super::judged::is_promoted;
use super::list::accepts;
use super::{Error, Recorded, View};
use crate::model::{Field, Kind, OtherHome, Provenance, Record, RecordId};
use crate::search::{self, Filter, Located, Order, State};
use crate::target::index::{Document, Documents, Facts};

/// The most rows that are read beside search.db.
pub const BESIDE_MAX: usize = 300;
/// The most records of the journal that are read.
pub const PENDING_MAX: usize = 1_000;
/// A home of at most so many rows is read whole if there is no search.db.
pub const SMALL: usize = 1_000;
/// In a home with at most so many rules, a rule that another program made golden is found.
const RULES_FEW: u64 = 2_000;
/// The most marks of golden rules that are looked at.
const MARKS_MAX: usize = 2000;

/// A record, as far as it is read here.
#[derive(Clone, Debug, PartialEq)]
pub struct Brief {
    /// Its id.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its state.
    pub state: State,
    /// Its fields. In an adopted home its summary can be cut.
    pub record: Record,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The home that recorded it, if that is another one.
    pub from: Option<OtherHome>,
}

impl Brief {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.record.kind()
    }

    fn of_document(document: Document) -> Brief {
        let Document { id, created_at, record, provenance, from, golden, .. } = document;
        let state = if golden { State::Golden } else { State::Active };
        Brief { id, created_at, state, record, provenance, from }
    }

    fn facts(&self) -> Facts {
        let text = |field| self.record.text(field).map(|text| text.into_owned());
        Facts {
            id: self.id,
            kind: self.kind(),
            created_at: self.created_at,
            domain: text(Field::Domain),
            tags: text(Field::Tags).unwrap_or_default(),
            severity: text(Field::Severity).and_then(|text| text.parse().ok()),
            project: self.provenance.project.clone(),
            origin: self.provenance.origin,
            session: self.provenance.session.clone(),
            agent: self.provenance.agent.clone(),
            is_golden: self.state == State::Golden,
            has_row: true,
        }
    }
}

impl From<Recorded> for Brief {
    fn from(recorded: Recorded) -> Brief {
        let Recorded { id, created_at, state, from, request, .. } = recorded;
        Brief { id, created_at, state, record: request.record, provenance: request.provenance, from }
    }
}

/// Reads a view's records, the newest first.
pub struct Briefs<'v> {
    view: &'v View<'v>,
    documents: Option<Documents<'v>>,
    /// What search.db lacks or has in an older form; without search.db all there is.
    beside: Vec<Brief>,
    /// The records of `beside`, and those that are hidden by now: what search.db has of them does not count.
    stale: HashSet<RecordId>,
    notes: Vec<String>,
}

impl<'v> Briefs<'v> {
    /// Begins to read `view`.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub fn of(view: &'v View<'v>) -> Result<Briefs<'v>, Error> {
        let documents = view.index.as_ref().map(|index| index.documents()).transpose()?;
        let mut briefs = Briefs { view, documents, beside: Vec::new(), stale: HashSet::new(), notes: Vec::new() };
        briefs.read_pending()?;
        match (view.search(), &view.index) {
            (Some(search), Some(_)) => {
                briefs.read_beside()?;
                if !search.is_complete() {
                    briefs.read_small_home("search.db is not finished: older records may be missing".into())?;
                }
            }
            (None, Some(_)) => {
                let why = view.without_search().says();
                briefs.read_small_home(format!("{why}: only records that wait for a worker were read"))?;
            }
            (Some(_), None) => {}
            (None, None) => briefs.notes.push("neither the index nor search.db can be read".into()),
        }
        Ok(briefs)
    }

    /// What could not be looked at, beside the view's own notes.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The newest records that `filter` accepts, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub fn newest(&mut self, filter: &Filter, limit: usize) -> Result<Vec<Brief>, Error> {
        self.first(filter, Order::Newest, limit)
    }

    /// The oldest record that `filter` accepts.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub fn oldest(&mut self, filter: &Filter) -> Result<Option<Brief>, Error> {
        Ok(self.first(filter, Order::Oldest, 1)?.into_iter().next())
    }

    fn first(&mut self, filter: &Filter, order: Order, limit: usize) -> Result<Vec<Brief>, Error> {
        let mut found: Vec<Brief> = self.beside.iter().filter(|it| accepts(filter, &it.facts())).cloned().collect();
        if let Some(search) = self.view.search() {
            let listed = search::listed(search.connection(), filter, order, limit.saturating_add(self.stale.len()))?;
            let fresh = listed.into_iter().filter(|it| !self.stale.contains(&it.id)).take(limit);
            for it in fresh.collect::<Vec<_>>() {
                found.extend(self.brief(it.id, Some(&it.located))?.filter(|it| accepts(filter, &it.facts())));
            }
        }
        found.sort_by_key(|it| (it.created_at, it.id));
        if order == Order::Newest {
            found.reverse();
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The rules that a person promoted, the newest first, at most `limit`. Another program's mark counts for nothing.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Search`].
    pub fn golden(&mut self, limit: usize) -> Result<Vec<Brief>, Error> {
        let mut found: Vec<Brief> = self.beside.iter().filter(|it| it.state == State::Golden).cloned().collect();
        if let Some(search) = self.view.search() {
            let mut ids = search::golden(search.connection())?;
            let rules = Filter { kinds: vec![Kind::Heuristic], ..Filter::default() };
            let (count, are_more) = search::count(search.connection(), &rules, Some(RULES_FEW))?;
            if let Some(index) = self.view.index.as_ref().filter(|_| count <= RULES_FEW && !are_more) {
                ids.extend(index.golden()?);
            }
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|id| !self.stale.contains(id));
            for id in ids.into_iter().rev().take(MARKS_MAX) {
                if found.len() < limit && is_promoted(self.view, id)? {
                    found.extend(self.brief(id, None)?.filter(|it| it.state == State::Golden));
                }
            }
        }
        found.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
        found.truncate(limit);
        Ok(found)
    }

    /// The record `id`; `None` if it is not there.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn find(&mut self, id: RecordId) -> Result<Option<Brief>, Error> {
        match self.stale.contains(&id) {
            true => Ok(self.beside.iter().find(|it| it.id == id).cloned()),
            false => self.brief(id, None),
        }
    }

    /// Whether `experiment` has not ended yet.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn is_open(&self, experiment: RecordId) -> Result<bool, Error> {
        self.view.index.as_ref().map_or(Ok(true), |index| Ok(index.is_open(experiment)?))
    }

    /// A record of which nothing is pending.
    fn brief(&mut self, id: RecordId, located: Option<&Located>) -> Result<Option<Brief>, Error> {
        match &mut self.documents {
            Some(documents) => Ok(documents.find(id)?.map(Brief::of_document)),
            None => {
                let seen = located.map_or_else(|| self.view.get(id, None), |it| self.view.get_located(id, it));
                Ok(seen?.visible().map(Brief::from))
            }
        }
    }

    /// Reads what the journal has and the stores may lack.
    fn read_pending(&mut self) -> Result<(), Error> {
        let pending = &self.view.pending;
        let ids: Vec<RecordId> = pending.ids().collect();
        if ids.len() > PENDING_MAX {
            self.notes.push("so many records wait for a worker that not all were read".into());
        }
        self.stale.extend(&ids);
        for id in ids.into_iter().rev().take(PENDING_MAX) {
            let seen = self.view.get(id, pending.path_of(id))?;
            self.beside.extend(seen.visible().map(Brief::from));
        }
        Ok(())
    }

    /// Reads the rows that search.db lacks.
    fn read_beside(&mut self) -> Result<(), Error> {
        let ids = self.view.rows_beside(BESIDE_MAX)?;
        if ids.len() > BESIDE_MAX {
            self.notes.push("search.db is far behind: newer records may be missing".into());
        }
        for id in ids {
            if self.stale.insert(id) {
                let found = self.brief(id, None)?;
                self.beside.extend(found);
            }
        }
        Ok(())
    }

    /// Reads all rows, if they are few; else `lacks` says what is missing.
    fn read_small_home(&mut self, lacks: String) -> Result<(), Error> {
        let Some(index) = &self.view.index else { return Ok(()) };
        let ids = index.ids_after("", SMALL + 1)?;
        if ids.len() > SMALL {
            self.notes.push(lacks);
            return Ok(());
        }
        for id in ids.iter().filter_map(|id| id.parse().ok()) {
            if self.stale.insert(id) {
                let found = self.brief(id, None)?;
                self.beside.extend(found);
            }
        }
        Ok(())
    }
}
