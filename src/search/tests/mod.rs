//! Search as a whole: small collections, real databases.

mod bounds;
mod lines;
mod phrases;
mod properties;
mod sources;
mod terms;
mod tricky;
mod whole;

use jiff::{Timestamp, Zoned};
use rusqlite::Connection;
use uuid::Uuid;

use super::*;
use crate::model::{Learning, Provenance, Record, RecordId};

/// A record of a test's collection.
#[derive(Clone)]
pub struct Sample {
    pub id: RecordId,
    pub created_at: Timestamp,
    pub record: Record,
    pub provenance: Provenance,
    pub golden: bool,
}

/// 2026-11-01, at noon.
pub fn noon() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().expect("a time")
}

pub fn now() -> Zoned {
    noon().to_zoned(jiff::tz::TimeZone::UTC)
}

pub fn failure(number: u128, title: &str, summary: &str) -> Sample {
    let learning =
        Learning { title: title.into(), domain: "ci".into(), summary: summary.into(), ..Learning::default() };
    Sample {
        id: RecordId(Uuid::from_u128(number)),
        created_at: noon(),
        record: Record::Failure(learning),
        provenance: Provenance::default(),
        golden: false,
    }
}

/// An empty search database.
pub fn empty() -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    connection.execute_batch(PRAGMAS).expect("pragmas");
    create(&connection).expect("tables");
    connection
}

pub fn put(connection: &mut Connection, samples: &[Sample]) {
    let transaction = connection.transaction().expect("a transaction");
    let mut writer = Writer::open(&transaction).expect("a writer");
    for it in samples {
        let (created_at, provenance, golden) = (it.created_at, &it.provenance, it.golden);
        let doc = Doc { id: it.id, revision: None, created_at, path: "p.md", record: &it.record, provenance, golden };
        writer.put(&doc).expect("it is put");
    }
    writer.finish().expect("it is finished");
    transaction.commit().expect("it is committed");
}

/// The numbers of the records that `text` finds, the best first.
pub fn found(connection: &Connection, text: &str) -> Vec<u128> {
    let query = Query::parse(text, &now()).expect("a query");
    let options = Options { limit: 10, project: None, now: noon(), gone: None, chosen: None };
    let hits = find(&[connection], &query, &Filter::default(), &options).expect("an answer");
    hits.hits.iter().map(|hit| hit.id.0.as_u128()).collect()
}
