//! A filter in the numbers of one source: what a row is held against, and what the full-text index is asked.

use rusqlite::{Connection, params};

use super::filter::{Filter, Name, State};
use super::schema::{fact, kind_number, origin_number};
use super::source::Row;

/// The periods that the full-text index is asked for; a longer time is held against rows alone.
const PERIODS_MAX: i64 = 40;

/// A filter, resolved. Of each list a row needs one; `None` takes everything.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    kinds: Option<Vec<i64>>,
    severities: Option<Vec<u8>>,
    origins: Option<Vec<i64>>,
    golden: Option<bool>,
    domains: Option<Vec<i64>>,
    projects: Option<Vec<i64>>,
    is_of_no_project: bool,
    sessions: Option<Vec<i64>>,
    agents: Option<Vec<i64>>,
    tags: Option<Vec<i64>>,
    since: Option<i64>,
    until: Option<i64>,
}

fn list<T, N>(wanted: &[T], number: impl Fn(&T) -> N) -> Option<Vec<N>> {
    (!wanted.is_empty()).then(|| wanted.iter().map(number).collect())
}

/// The numbers of the names that one of `wanted` asks for.
pub(super) fn names(c: &Connection, what: Name, wanted: &[String]) -> rusqlite::Result<Option<Vec<i64>>> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::new();
    if what == Name::Session {
        // There are many sessions, and only beginnings of them are asked for.
        let sql = "SELECT n FROM names WHERE what = ?1 AND name >= ?2 AND name < ?2 || char(1114111) LIMIT 1000";
        let mut statement = c.prepare(sql)?;
        for start in wanted.iter().filter(|it| !it.is_empty()) {
            let rows = statement.query_map(params![what as i64, start], |row| row.get(0))?;
            for row in rows {
                found.push(row?);
            }
        }
        return Ok(Some(found));
    }
    let mut statement = c.prepare("SELECT n, name FROM names WHERE what = ?1")?;
    let mut rows = statement.query([what as i64])?;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(1)?.as_str().unwrap_or_default();
        if wanted.iter().any(|it| what.matches(name, it)) {
            found.push(row.get(0)?);
        }
    }
    Ok(Some(found))
}

impl Narrow {
    /// `filter` in the numbers of the database.
    pub fn resolve(c: &Connection, filter: &Filter) -> rusqlite::Result<Narrow> {
        let is_golden = |wanted: bool| filter.states.contains(if wanted { &State::Golden } else { &State::Active });
        let golden = match (is_golden(true), is_golden(false)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        };
        Ok(Narrow {
            kinds: list(&filter.kinds, |it| kind_number(*it)),
            severities: list(&filter.severities, |it| it.get()),
            origins: list(&filter.origins, |it| origin_number(*it)),
            golden,
            domains: names(c, Name::Domain, &filter.domains)?,
            projects: names(c, Name::Project, &filter.projects)?,
            is_of_no_project: filter.is_of_no_project,
            sessions: names(c, Name::Session, &filter.sessions)?,
            agents: names(c, Name::Agent, &filter.agents)?,
            tags: names(c, Name::Tag, &filter.tags)?,
            since: filter.since.map(|it| it.as_millisecond()),
            until: filter.until.map(|it| it.as_millisecond()),
        })
    }

    /// Whether the filter takes the row.
    pub fn accepts(&self, row: &Row) -> bool {
        fn one<T: PartialEq>(wanted: Option<&Vec<T>>, is: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| is.is_some_and(|is| wanted.contains(is)))
        }
        one(self.kinds.as_ref(), Some(&row.kind))
            && one(self.severities.as_ref(), row.severity.as_ref())
            && one(self.origins.as_ref(), row.origin.as_ref())
            && self.golden.is_none_or(|golden| golden == row.golden)
            && one(self.domains.as_ref(), row.domain.as_ref())
            && one(self.projects.as_ref(), row.project.as_ref())
            && (!self.is_of_no_project || row.project.is_none())
            && one(self.sessions.as_ref(), row.session.as_ref())
            && one(self.agents.as_ref(), row.agent.as_ref())
            && self.tags.as_ref().is_none_or(|wanted| row.tags.iter().any(|tag| wanted.contains(tag)))
            && self.since.is_none_or(|since| row.created >= since)
            && self.until.is_none_or(|until| row.created < until)
    }

    /// What the full-text index is asked, so that it finds all that the filter takes, and not much else. `None` if there is
    /// nothing to ask. `created` are the times of the oldest and the newest record.
    pub fn expressions(&self, created: (i64, i64)) -> Vec<String> {
        let mut lists: Vec<Vec<String>> = Vec::new();
        lists.extend(self.kinds.as_ref().map(|it| it.iter().map(|it| fact::kind(*it)).collect()));
        lists.extend(self.severities.as_ref().map(|it| it.iter().map(|it| fact::severity(*it)).collect()));
        lists.extend(self.origins.as_ref().map(|it| it.iter().map(|it| fact::origin(*it)).collect()));
        lists.extend((self.golden == Some(true)).then(|| vec![fact::GOLDEN.to_owned()]));
        let names = [&self.domains, &self.projects, &self.sessions, &self.agents, &self.tags];
        lists.extend(names.into_iter().flatten().map(|it| it.iter().map(|it| fact::name(*it)).collect()));
        if self.since.is_some() || self.until.is_some() {
            let first = fact::period_of(self.since.unwrap_or(created.0).max(created.0));
            let last = fact::period_of(self.until.unwrap_or(created.1).min(created.1));
            if last - first < PERIODS_MAX {
                lists.push((first..=last).map(fact::period).collect());
            }
        }
        let expression = |words: Vec<String>| {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("({})", quoted.join(" OR "))
        };
        // A list without a word takes nothing, and is no expression.
        let none = || vec![format!("\"{}\"", fact::NONE)];
        if lists.iter().any(Vec::is_empty) { none() } else { lists.into_iter().map(expression).collect() }
    }
}
