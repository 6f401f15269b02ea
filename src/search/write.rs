//! Puts records into a search database, and takes them out.
//!
//! Everything happens in the caller's transaction: killed before its commit, nothing has changed.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Statement, Transaction, params};

use super::age::Age;
use super::dictionary::Numbers;
use super::filter::Name;
use super::schema::{LATE, SAMPLE, fact, kind_number, meta, origin_number, set_meta};
use super::sequence::Builder;
use crate::model::lead::leads_to;
use crate::model::{Field, Kind, Provenance, Record, RecordId, Revision, fields_of};

/// A record as it is searched.
#[derive(Clone, Copy, Debug)]
pub struct Doc<'a> {
    /// Its id.
    pub id: RecordId,
    /// Its revision, where it is not the first.
    pub revision: Option<Revision>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its page, relative to the home.
    pub path: &'a str,
    /// What was learned.
    pub record: &'a Record,
    /// Where it comes from.
    pub provenance: &'a Provenance,
    /// Whether it is a golden rule.
    pub golden: bool,
}

impl Doc<'_> {
    /// Its domain; an experiment has none.
    fn domain(&self) -> Option<&str> {
        match self.record {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => Some(&it.domain),
            Record::Heuristic(it) => Some(&it.domain),
            Record::Experiment(_) | Record::Verdict(_) => None,
        }
        .map(|domain| domain.trim())
        .filter(|domain| !domain.is_empty())
    }

    /// Its tags.
    fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = match self.record {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => it.tags.as_str(),
            Record::Heuristic(_) | Record::Experiment(_) | Record::Verdict(_) => "",
        };
        tags.split(',').map(str::trim).filter(|tag| !tag.is_empty())
    }
}

/// The fields that are the body of a record of `kind`, in order.
pub(super) fn body_fields(kind: Kind) -> impl Iterator<Item = Field> {
    let is_body = |field: &Field| {
        !matches!(
            field,
            Field::Title
                | Field::Rule
                | Field::Name
                | Field::Severity
                | Field::Confidence
                | Field::Source
                | Field::Verdict
                | Field::Of
                | Field::Result
        )
    };
    fields_of(kind).map(|spec| spec.field).filter(is_body)
}

/// The newest record.
fn newest_of(c: &Connection) -> rusqlite::Result<Option<Age>> {
    let sql = "SELECT created, id FROM docs WHERE created = (SELECT max(created) FROM docs) ORDER BY id DESC LIMIT 1";
    c.query_row(sql, [], Age::of_row).optional()
}

/// The numbers in `docs.tags`.
pub(super) fn numbers(tags: &str) -> impl Iterator<Item = i64> {
    tags.split(' ').filter_map(|it| it.parse().ok())
}

/// Writes into a search database, in one transaction. What is put in by age, the oldest first, is found best: numbers go up as
/// records are put in, and of the records with a word the greatest numbers are looked at. [`finish`](Writer::finish) it before the transaction is committed.
pub struct Writer<'t> {
    connection: &'t Connection,
    statements: Statements<'t>,
    /// Numbers by what and name.
    names: HashMap<(i64, String), i64>,
    /// How many records more have a name, by its number.
    counts: HashMap<i64, i64>,
    /// In how many sampled records more a word is.
    sampled: HashMap<u32, i64>,
    /// The numbers of frequent words.
    numbers: Numbers,
    builder: Builder,
    /// Used again for each record.
    sequence: Vec<u8>,
    /// The number of the next record.
    next: i64,
    /// The newest record so far.
    newest: Option<Age>,
    /// How many records more have a greater number than a newer one.
    late: i64,
    /// How many records and words there are more.
    docs: i64,
    words: i64,
}

struct Statements<'t> {
    find: Statement<'t>,
    names_of: Statement<'t>,
    insert: Statement<'t>,
    insert_text: Statement<'t>,
    insert_sequence: Statement<'t>,
    delete: Statement<'t>,
    delete_text: Statement<'t>,
    delete_sequence: Statement<'t>,
    name: Statement<'t>,
    insert_name: Statement<'t>,
}

impl<'t> Statements<'t> {
    fn prepare(c: &'t Connection) -> rusqlite::Result<Statements<'t>> {
        Ok(Statements {
            find: c.prepare("SELECT doc FROM docs WHERE substr(id, 13) = substr(?1, 13) AND id = ?1")?,
            names_of: c.prepare("SELECT words, domain, project, session, agent, tags FROM docs WHERE doc = ?1")?,
            insert: c.prepare(
                "INSERT INTO docs (doc, id, revision, created, kind, severity, origin, golden, domain, project, session, \
                 agent, tags, path, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?,
            insert_text: c.prepare("INSERT INTO text (rowid, words) VALUES (?1, ?2)")?,
            insert_sequence: c.prepare("INSERT INTO sequences (doc, words) VALUES (?1, ?2)")?,
            delete: c.prepare("DELETE FROM docs WHERE doc = ?1")?,
            delete_text: c.prepare("DELETE FROM text WHERE rowid = ?1")?,
            delete_sequence: c.prepare("DELETE FROM sequences WHERE doc = ?1")?,
            name: c.prepare("SELECT n FROM names WHERE what = ?1 AND name = ?2")?,
            insert_name: c.prepare("INSERT INTO names (what, name) VALUES (?1, ?2)")?,
        })
    }
}

impl<'t> Writer<'t> {
    /// A writer within `transaction`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(transaction: &'t Transaction<'_>) -> rusqlite::Result<Writer<'t>> {
        let connection: &'t Connection = transaction;
        Ok(Writer {
            connection,
            statements: Statements::prepare(connection)?,
            names: HashMap::new(),
            counts: HashMap::new(),
            sampled: HashMap::new(),
            numbers: Numbers::read(connection)?,
            builder: Builder::default(),
            sequence: Vec::new(),
            next: connection.query_row("SELECT coalesce(max(doc), 0) + 1 FROM docs", [], |row| row.get(0))?,
            newest: newest_of(connection)?,
            late: 0,
            docs: 0,
            words: 0,
        })
    }

    /// Puts a record in, in place of an earlier one with its id.
    ///
    /// # Errors
    /// SQLite's.
    pub fn put(&mut self, doc: &Doc<'_>) -> rusqlite::Result<()> {
        let id = doc.id.0.as_bytes();
        let known: Option<i64> = self.statements.find.query_row([id], |row| row.get(0)).optional()?;
        let number = known.unwrap_or(self.next);
        match known {
            Some(number) => self.delete(number)?,
            None => {
                self.next += 1;
                let age = Some(Age::new(doc.created_at, doc.id));
                self.late += i64::from(age < self.newest);
                self.newest = self.newest.max(age);
            }
        }
        let words = self.expand(doc.record);
        let facts = self.put_row(doc, number, words)?;
        self.put_words(number, &facts)?;
        self.docs += 1;
        self.words += words;
        Ok(())
    }

    /// Expands the record; returns how many words it has.
    fn expand(&mut self, record: &Record) -> i64 {
        let builder = &mut self.builder;
        builder.clear();
        builder.title(record.headline());
        body_fields(record.kind()).filter_map(|field| record.text(field)).for_each(|text| builder.body(&text));
        i64::try_from(builder.words()).unwrap_or(i64::MAX)
    }

    /// Writes the record's row; returns its facts as words.
    fn put_row(&mut self, doc: &Doc<'_>, number: i64, words: i64) -> rusqlite::Result<String> {
        let Doc { record, provenance, .. } = doc;
        let created = doc.created_at.as_millisecond();
        let domain = self.name(Name::Domain, doc.domain())?;
        let project = self.name(Name::Project, provenance.project.as_deref())?;
        let session = self.name(Name::Session, provenance.session.as_deref())?;
        let agent = self.name(Name::Agent, provenance.agent.as_deref())?;
        let severity = match record {
            Record::Failure(_) | Record::Success(_) | Record::Observation(_) => Some(record.severity().get()),
            Record::Heuristic(_) | Record::Experiment(_) | Record::Verdict(_) => None,
        };
        let origin = provenance.origin.map(origin_number);
        let kind = kind_number(record.kind());
        let revision = doc.revision.map(|it| it.to_string());
        let mut tags = Vec::new();
        for tag in doc.tags() {
            let Some(tag) = self.name(Name::Tag, Some(tag))? else { continue };
            match tags.contains(&tag) {
                true => *self.counts.entry(tag).or_default() -= 1,
                false => tags.push(tag),
            }
        }
        let tag_column =
            (!tags.is_empty()).then(|| tags.iter().fold(" ".to_owned(), |all, tag| format!("{all}{tag} ")));
        let path = Some(doc.path).filter(|it| !leads_to(it, record.kind(), doc.created_at, doc.id));
        let id = doc.id.0.as_bytes();
        self.statements.insert.execute(params![
            number, id, revision, created, kind, severity, origin, doc.golden, domain, project, session, agent,
            tag_column, path, words
        ])?;
        let mut facts = vec![fact::kind(kind), fact::period(fact::period_of(created))];
        facts.extend(severity.map(fact::severity));
        facts.extend(origin.map(fact::origin));
        facts.extend(doc.golden.then(|| fact::GOLDEN.to_owned()));
        facts.extend([domain, project, session, agent].into_iter().flatten().chain(tags).map(fact::name));
        Ok(facts.join(" "))
    }

    /// Writes what was expanded.
    fn put_words(&mut self, number: i64, facts: &str) -> rusqlite::Result<()> {
        let (title, body) = self.builder.texts();
        let mut words = format!("{title}{body}{facts}");
        title.split_ascii_whitespace().for_each(|word| words.extend([" ", &fact::title(word)]));
        self.statements.insert_text.execute(params![number, words])?;
        if number % SAMPLE == 0 {
            for hash in self.builder.hashes() {
                let docs = self.sampled.entry(hash).or_default();
                *docs += 1;
                self.numbers.counted(hash, *docs);
            }
        }
        self.builder.write(&self.numbers, &mut self.sequence);
        self.statements.insert_sequence.execute(params![number, self.sequence])?;
        Ok(())
    }

    /// Takes a record out; whether it was there.
    ///
    /// # Errors
    /// SQLite's.
    pub fn remove(&mut self, id: RecordId) -> rusqlite::Result<bool> {
        let id = id.0.as_bytes();
        match self.statements.find.query_row([id], |row| row.get(0)).optional()? {
            Some(number) => self.delete(number).map(|()| true),
            None => Ok(false),
        }
    }

    fn delete(&mut self, number: i64) -> rusqlite::Result<()> {
        let (words, mut names, tags) = self.statements.names_of.query_row([number], |row| {
            let names: [Option<i64>; 4] = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            let names: Vec<i64> = names.into_iter().flatten().collect();
            Ok((row.get::<_, i64>(0)?, names, row.get::<_, Option<String>>(5)?))
        })?;
        names.extend(numbers(tags.as_deref().unwrap_or_default()));
        for name in names {
            *self.counts.entry(name).or_default() -= 1;
        }
        let Statements { delete, delete_text, delete_sequence, .. } = &mut self.statements;
        for statement in [delete, delete_text, delete_sequence] {
            statement.execute([number])?;
        }
        self.docs -= 1;
        self.words -= words;
        Ok(())
    }

    /// The number of a name; a new one is written. Counts a record more for it.
    fn name(&mut self, what: Name, name: Option<&str>) -> rusqlite::Result<Option<i64>> {
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return Ok(None) };
        let key = (what as i64, name.to_owned());
        let number = match self.names.get(&key) {
            Some(number) => *number,
            None => {
                let known = self.statements.name.query_row(params![key.0, key.1], |row| row.get(0)).optional()?;
                let number = match known {
                    Some(number) => number,
                    None => {
                        self.statements.insert_name.execute(params![key.0, key.1])?;
                        self.connection.last_insert_rowid()
                    }
                };
                self.names.insert(key, number);
                number
            }
        };
        *self.counts.entry(number).or_default() += 1;
        Ok(Some(number))
    }

    /// Writes what was counted.
    ///
    /// # Errors
    /// SQLite's.
    pub fn finish(mut self) -> rusqlite::Result<()> {
        let c = self.connection;
        let mut count = c.prepare("UPDATE names SET docs = docs + ?2 WHERE n = ?1")?;
        for (number, more) in self.counts.iter().filter(|(_, more)| **more != 0) {
            count.execute(params![number, more])?;
        }
        let mut sample = c.prepare(
            "INSERT INTO sampled (hash, docs) VALUES (?1, ?2) \
             ON CONFLICT (hash) DO UPDATE SET docs = docs + excluded.docs RETURNING docs",
        )?;
        let mut sampled: Vec<_> = self.sampled.into_iter().collect();
        sampled.sort_unstable();
        for (hash, docs) in sampled {
            let docs = sample.query_row(params![hash, docs], |row| row.get(0))?;
            self.numbers.counted(hash, docs);
        }
        self.numbers.write(c)?;
        for (name, more) in [("docs", self.docs), ("words", self.words), (LATE, self.late)] {
            let before = meta::<i64>(c, name)?.unwrap_or(0);
            set_meta(c, name, before.saturating_add(more).max(0))?;
        }
        Ok(())
    }
}
