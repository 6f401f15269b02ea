//! What verdicts add to the row of a rule: how often it was validated and violated, and whether it is golden.
//!
//! 1. The columns are not ours alone: the framework's hooks count in them too. So they change by increments, and `counted`
//!    says which part of them is ours. Nothing that another program adds is overwritten or counted twice.
//! 2. [`settle`] adds the difference between what the verdicts say now (`rules::tally`) and what `counted` says. Called once
//!    more it changes nothing. It runs in the transaction that inserts, hides, restores or amends a verdict, and in the one
//!    that inserts or restores a rule, so a rebuilt index has the same counts whatever came first.
//! 3. `is_golden` changes only when the latest promotion or demotion does.
//! 4. A table that refuses the change (a trigger that is not ours) keeps its row as it is; the verdict counts for our own
//!    readers all the same.
//! 5. The first verdict makes the index's schema 2, so that a program without verdicts names the version instead of
//!    taking them for damage.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the commit | neither the verdict's row nor its count (SQLite rolls back) | replay of the journal |
//! | after it | both; after a power cut perhaps neither | replay of the journal |

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::insert::{RowImage, is_refusal};
use super::query::parsed;
use super::schema::{SCHEMA, columns_of, has_table};
use super::{Error, Index, changes};
use crate::model::{Kind, Origin, Record, RecordId, Ruling};
use crate::rules::{self, Given};

/// A rule as its row and its verdicts have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Every verdict on it that counts or ever can, in the order of their times.
    pub given: Vec<Given>,
    /// How often other programs say that it was validated: what the column has beyond our verdicts.
    pub validated_elsewhere: u64,
    /// How often other programs say that it was violated.
    pub violated_elsewhere: u64,
    /// Whether the row says that it is golden.
    pub is_marked_golden: bool,
}

impl Index {
    /// The verdicts on the record `id`, and what other programs have added to its row.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn judged(&self, id: RecordId) -> Result<Judged, Error> {
        judged(&self.connection, &id.to_string()).map_err(self.error("read the verdicts on a record"))
    }

    /// Those of the rules `ids` that were ever retired; some may have been revived since.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Corrupt`], [`Error::Sqlite`].
    pub fn once_retired(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, Error> {
        let read = || {
            let mut retired = Vec::new();
            if ids.is_empty() || !has_table(&self.connection, "verdicts")? {
                return Ok(retired);
            }
            let sql = "SELECT 1 FROM verdicts WHERE about = ?1 AND verdict = ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            for id in ids {
                if statement.exists([id.to_string(), Ruling::Retired.to_string()])? {
                    retired.push(*id);
                }
            }
            Ok(retired)
        };
        read().map_err(self.error("read the verdicts on a record"))
    }
}

/// The verdicts on the record `rule`, and what its row says beyond them.
pub(super) fn judged(connection: &Connection, rule: &str) -> Result<Judged, rusqlite::Error> {
    let mut judged = Judged::default();
    let mut counted = Counted::default();
    if has_table(connection, "verdicts")? {
        judged.given = given(connection, rule)?;
        counted = self::counted(connection, rule)?;
    }
    let columns = ["times_validated", "times_violated", "is_golden"];
    let columns = super::schema::columns_or_null(connection, "heuristics", &columns)?;
    let sql = format!(
        "SELECT {columns} FROM heuristics
         WHERE heuristics.id = (SELECT row_id FROM records WHERE id = ?1 AND kind = 'heuristic')"
    );
    let number = |row: &Row<'_>, at: usize| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_i64().unwrap_or(0));
    let columns = |row: &Row<'_>| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?));
    let found = connection.prepare_cached(&sql)?.query_row([rule], columns).optional()?;
    if let Some((validated, violated, golden)) = found {
        let beyond = |all: i64, ours: i64| u64::try_from(all.saturating_sub(ours)).unwrap_or(0);
        judged.validated_elsewhere = beyond(validated, counted.validated);
        judged.violated_elsewhere = beyond(violated, counted.violated);
        judged.is_marked_golden = golden != 0;
    }
    Ok(judged)
}

/// What of our verdicts is in the columns of a rule's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    validated: i64,
    violated: i64,
    golden: Option<bool>,
}

fn counted(connection: &Connection, rule: &str) -> Result<Counted, rusqlite::Error> {
    let sql = "SELECT validated, violated, golden FROM counted WHERE rule = ?1";
    let counted = |row: &Row<'_>| Ok(Counted { validated: row.get(0)?, violated: row.get(1)?, golden: row.get(2)? });
    Ok(connection.prepare_cached(sql)?.query_row([rule], counted).optional()?.unwrap_or_default())
}

fn put_counted(connection: &Connection, rule: &str, counted: Counted) -> Result<(), rusqlite::Error> {
    let Counted { validated, violated, golden } = counted;
    let sql = "INSERT OR REPLACE INTO counted (rule, validated, violated, golden) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![rule, validated, violated, golden]).map(|_| ())
}

/// The verdicts on `rule`. One that makes no sense is left out.
pub(super) fn given(connection: &Connection, rule: &str) -> Result<Vec<Given>, rusqlite::Error> {
    let sql = "SELECT records.id, records.created_at, verdicts.verdict, records.origin, records.session, records.agent,
                   records.project, verdicts.because
               FROM verdicts JOIN records ON records.id = verdicts.given AND records.row_id = verdicts.id
               WHERE verdicts.about = ?1 ORDER BY records.created_at, records.id";
    let given = |row: &Row<'_>| {
        let origin = row.get::<_, Option<String>>(3)?.and_then(|text| text.parse::<Origin>().ok());
        let Ok(ruling) = row.get::<_, String>(2)?.parse() else { return Ok(None) };
        let (id, at) = (parsed(row, 0)?, parsed(row, 1)?);
        let (session, agent, project) = (row.get(4)?, row.get(5)?, row.get(6)?);
        let because = row.get::<_, Option<String>>(7)?.unwrap_or_default();
        Ok(Some(Given { id, at, ruling, origin, session, agent, project, because }))
    };
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([rule], given)?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// `row` was inserted: a verdict counts, and a rule gets what earlier verdicts on it say.
pub(super) fn inserted(connection: &Connection, row: &RowImage<'_>) -> Result<(), rusqlite::Error> {
    match row.record {
        Record::Verdict(it) => {
            let raise = "UPDATE indelible SET value = ?1 WHERE name = 'schema' AND value < ?1";
            connection.execute(raise, [SCHEMA])?;
            settle(connection, &it.of.to_string())
        }
        Record::Heuristic(_) => begin_count(connection, &row.id.to_string(), Counted::default()),
        Record::Failure(_) | Record::Success(_) | Record::Observation(_) | Record::Experiment(_) => Ok(()),
    }
}

/// A row was put back: from `copy` with its cells, or made again.
pub(super) fn revived(
    connection: &Connection,
    row: &RowImage<'_>,
    copy: Option<&Connection>,
) -> Result<(), rusqlite::Error> {
    let id = row.id.to_string();
    match (row.record, copy) {
        (Record::Heuristic(_), Some(copy)) if has_table(copy, "counted")? => {
            begin_count(connection, &id, counted(copy, &id)?)
        }
        (Record::Heuristic(_), _) => begin_count(connection, &id, Counted::default()),
        (Record::Verdict(it), _) => settle(connection, &it.of.to_string()),
        _ => Ok(()),
    }
}

/// The row of `rule` is new, and has of our verdicts what `counted` says.
fn begin_count(connection: &Connection, rule: &str, counted: Counted) -> Result<(), rusqlite::Error> {
    // Most rules never get a verdict.
    if self::counted(connection, rule)? == counted && given(connection, rule)?.is_empty() {
        return Ok(());
    }
    put_counted(connection, rule, counted)?;
    settle(connection, rule)
}

/// The record that the verdict in the row `number` is about; `None` for another kind.
pub(super) fn about(connection: &Connection, kind: Kind, number: i64) -> Result<Option<String>, rusqlite::Error> {
    if kind != Kind::Verdict {
        return Ok(None);
    }
    connection.query_row("SELECT about FROM verdicts WHERE id = ?1", [number], |row| row.get(0)).optional()
}

/// The record `id` was restored or amended; `before` is what it was about, if it is a verdict.
pub(super) fn changed(
    connection: &Connection,
    kind: Kind,
    id: RecordId,
    before: Option<String>,
) -> Result<(), rusqlite::Error> {
    match kind {
        Kind::Verdict => {
            let sql = "SELECT about FROM verdicts WHERE given = ?1";
            let now: Option<String> = connection.query_row(sql, [id.to_string()], |row| row.get(0)).optional()?;
            before.iter().chain(&now).try_for_each(|rule| settle(connection, rule))
        }
        Kind::Heuristic => settle(connection, &id.to_string()),
        _ => Ok(()),
    }
}

/// Adds to the row of `rule` what its verdicts say and the row does not have yet. Without a row, nothing.
pub(super) fn settle(connection: &Connection, rule: &str) -> Result<(), rusqlite::Error> {
    let sql = "SELECT row_id FROM records WHERE id = ?1 AND kind = 'heuristic' AND row_id > 0";
    let row: Option<i64> = connection.query_row(sql, [rule], |row| row.get(0)).optional()?;
    let Some(row) = row else { return Ok(()) };
    let was = counted(connection, rule)?;
    let tally = rules::tally(&given(connection, rule)?);
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let is = Counted { validated: number(tally.validated), violated: number(tally.violated), golden: tally.promoted };
    if is == was {
        return Ok(());
    }
    // All of it or nothing: what was added and not noted would be added again.
    connection.execute_batch("SAVEPOINT counts")?;
    let added = add(connection, row, was, is);
    connection.execute_batch(if added.is_ok() { "RELEASE counts" } else { "ROLLBACK TO counts; RELEASE counts" })?;
    match added {
        Err(error) if is_refusal(&error) => {
            tracing::warn!(rule, %error, "the row of a rule refuses what its verdicts say");
            return Ok(());
        }
        added => added?,
    }
    put_counted(connection, rule, is)?;
    // What readers are told of a rule depends on this, and nothing else of the rule's row changes with a verdict.
    if is.golden != was.golden { changes::note(connection, rule) } else { Ok(()) }
}

/// Changes the columns of a rule's row by the difference between two counts.
fn add(connection: &Connection, row: i64, was: Counted, is: Counted) -> Result<(), rusqlite::Error> {
    let there = columns_of(connection, "heuristics")?;
    let has = |column: &str| there.iter().any(|it| it == column);
    for (column, more) in
        [("times_validated", is.validated - was.validated), ("times_violated", is.violated - was.violated)]
    {
        if more != 0 && has(column) {
            let sql = format!("UPDATE heuristics SET {column} = max(0, coalesce({column}, 0) + ?2) WHERE id = ?1");
            connection.execute(&sql, params![row, more])?;
        }
    }
    if is.golden != was.golden && has("is_golden") {
        let golden = is.golden == Some(true);
        connection.execute("UPDATE heuristics SET is_golden = ?2 WHERE id = ?1", params![row, golden])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{Timestamp, ToSpan as _};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Heuristic, HomeId, Provenance, Revision, Ruling, Verdict};
    use crate::page::{Presence, StateFile};

    fn id(n: u128) -> RecordId {
        RecordId(Uuid::from_u128(n))
    }

    fn rule() -> (RecordId, Record) {
        (id(1), Record::Heuristic(Heuristic { rule: "r".into(), domain: "d".into(), ..Heuristic::default() }))
    }

    /// The verdict `n`: of 4 sessions and 3 days, a third of them by a person.
    fn verdict(n: u128) -> (RecordId, Record, Provenance, Timestamp) {
        let ruling = Ruling::ALL[n as usize % Ruling::ALL.len()];
        let record = Record::Verdict(Verdict { verdict: ruling, of: id(1), because: String::new() });
        let origin = Some(if n.is_multiple_of(3) { Origin::Person } else { Origin::Agent });
        let session = n.is_multiple_of(2).then(|| (n % 4).to_string());
        let provenance = Provenance { origin, session, ..Provenance::default() };
        let at = Timestamp::UNIX_EPOCH + (24 * (n as i64 % 3)).hours();
        (id(100 + n), record, provenance, at)
    }

    fn insert(index: &mut Index, (id, record, provenance, created_at): &(RecordId, Record, Provenance, Timestamp)) {
        let (key, amended, path) = (None, None, "p");
        let row = RowImage { id: *id, created_at: *created_at, key, record, provenance, amended, path, from: None };
        index.insert(&[row]).expect("it is taken");
    }

    fn columns(index: &Index) -> Option<(i64, i64)> {
        let sql = "SELECT times_validated, times_violated FROM heuristics";
        index.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional().expect("readable")
    }

    #[derive(Clone, Debug)]
    enum Step {
        Give(u128),
        Hide(u128),
        Show(u128),
        /// Another program counts.
        Count(i64, i64),
        HideRule,
        ShowRule,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => (0_u128..14).prop_map(Step::Give),
            2 => (0_u128..14).prop_map(Step::Hide),
            2 => (0_u128..14).prop_map(Step::Show),
            1 => (0_i64..3, 0_i64..3).prop_map(|(one, other)| Step::Count(one, other)),
            1 => Just(Step::HideRule),
            1 => Just(Step::ShowRule),
        ];
        proptest::collection::vec(step, 0..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is given, hidden and shown, in whatever order, beside whatever another program counts: the columns are what
        /// that program counted, and what the verdicts that are there come to.
        #[test]
        fn the_columns_are_what_others_count_and_what_the_verdicts_come_to(steps in steps()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().canonicalize().expect("it is there").join("index.db");
            Index::create(&path, HomeId::default()).expect("it can be made");
            let mut index = Index::open(&path, Duration::from_secs(5)).expect("it opens");
            let (rule_id, record) = rule();
            let rule = (rule_id, record, Provenance::default(), Timestamp::UNIX_EPOCH);
            let mut n = 1;
            let mut mark = |of, state| {
                n += 1;
                let revision = Revision { n, op: Uuid::from_u128(n.into()) };
                StateFile { of, state, revision, at: Timestamp::UNIX_EPOCH, because: None }
            };
            let mut others = (0, 0);
            // Verdicts may come before their rule.
            for (at, step) in steps.iter().enumerate() {
                if at == steps.len() / 3 {
                    insert(&mut index, &rule);
                }
                match step {
                    Step::Give(n) => insert(&mut index, &verdict(*n)),
                    Step::Hide(n) => drop(index.hide(&mark(id(100 + n), Presence::Retracted)).expect("taken")),
                    Step::Show(n) => drop(index.unhide(&mark(id(100 + n), Presence::Restored), None).expect("taken")),
                    Step::HideRule => drop(index.hide(&mark(id(1), Presence::Retracted)).expect("taken")),
                    Step::ShowRule => drop(index.unhide(&mark(id(1), Presence::Restored), None).expect("taken")),
                    Step::Count(validated, violated) => {
                        let sql = "UPDATE heuristics SET times_validated = times_validated + ?1,
                                       times_violated = times_violated + ?2";
                        if index.connection.execute(sql, [validated, violated]).expect("taken") > 0 {
                            others = (others.0 + validated, others.1 + violated);
                        }
                    }
                }
                if let Some(columns) = columns(&index) {
                    let judged = index.judged(id(1)).expect("readable");
                    let tally = rules::tally(&judged.given);
                    let expected = (others.0 + tally.validated as i64, others.1 + tally.violated as i64);
                    prop_assert_eq!(columns, expected, "after {:?}", step);
                    let elsewhere = (judged.validated_elsewhere as i64, judged.violated_elsewhere as i64);
                    prop_assert_eq!(elsewhere, others);
                }
            }
        }
    }
}
