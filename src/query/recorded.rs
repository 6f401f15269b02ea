//! A record as readers see it, and its form as data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::model::{
    Amended, ExperimentResult, Field, Intent, Kind, OtherHome, PROVENANCE, Provenance, Record, RecordId, RecordPath,
    Request, Revision, Severity, Shape, fields_of,
};
use crate::page::{self, Parsed};
use crate::search::{Age, State};
use crate::target::index::Stored;

use super::states::result_of;

/// A record as readers see it: what the stores have, with pending operations applied.
///
/// As data it is one JSON object. Fields that its kind lacks, and provenance that is not known, are absent. `title` is
/// always there; `docs/reading.md` lists the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The record.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its content last changed.
    pub updated_at: Timestamp,
    /// Its amendments; `None` if it is as first recorded.
    pub amended: Option<Amended>,
    /// The home that recorded it, if that is another one.
    pub from: Option<OtherHome>,
    /// Its state.
    pub state: State,
    /// Its page, or its folder if it is an experiment; relative to the home.
    pub path: String,
    /// Its row; `None` if it has none yet, or the index could not be read.
    pub row_id: Option<i64>,
    /// Its fields, key and provenance.
    pub request: Request,
}

impl Recorded {
    /// The record in the row `stored`.
    pub(super) fn of_row(stored: Stored) -> Recorded {
        let Stored { known, request, amended, updated_at, from, is_golden, .. } = stored;
        // A row keeps whole seconds. The amendments' ids have the milliseconds.
        let amended_at = amended.as_ref().and_then(page::amended_at);
        let is_in = |second: Timestamp| amended_at.filter(|at| at.as_second() == second.as_second());
        let updated_at = amended.as_ref().and(updated_at);
        let updated_at = updated_at.map_or(known.created_at, |second| is_in(second).unwrap_or(second));
        Recorded {
            id: known.id,
            created_at: known.created_at,
            updated_at: updated_at.max(known.created_at),
            amended,
            from,
            state: if is_golden { State::Golden } else { State::Active },
            path: known.path,
            row_id: known.row_id,
            request,
        }
    }

    /// The record of `intent`, which has no row yet.
    pub(super) fn of_intent(intent: &Intent) -> Recorded {
        Recorded {
            id: intent.id,
            created_at: intent.created_at,
            updated_at: changed_at(intent.created_at, intent.amended.as_ref()),
            amended: intent.amended.clone(),
            from: intent.from.as_ref().map(|from| OtherHome(from.home)),
            state: State::Active,
            path: intent.path().to_owned(),
            row_id: None,
            request: intent.request(),
        }
    }

    /// The record on the page `parsed`, which lies at `path`; `None` if the page is an experiment's log.
    pub(super) fn of_page(parsed: Parsed, path: &str) -> Option<Recorded> {
        let amended = parsed.amended();
        let Parsed { id, created_at, request, .. } = parsed;
        let updated_at = changed_at(created_at, amended.as_ref());
        let path = RecordPath(path).shown().to_owned();
        let state = State::Active;
        let request = request?;
        Some(Recorded { id, created_at, updated_at, amended, from: None, state, path, row_id: None, request })
    }

    /// Every byte of its page, as its fields say.
    pub fn page(&self) -> Vec<u8> {
        let Recorded { id, created_at, amended, request, .. } = self;
        page::page(*id, *created_at, request, amended.as_ref()).into_bytes()
    }

    /// How new it is.
    pub(super) fn age(&self) -> Age {
        Age::new(self.created_at, self.id)
    }

    /// The revision of its content.
    pub fn revision(&self) -> Revision {
        self.amended.as_ref().map_or(Revision::first(self.id), |amended| amended.revision)
    }

    /// The amended fields, each with its revision.
    pub fn amended_fields(&self) -> BTreeMap<String, Revision> {
        self.amended.as_ref().map(|amended| amended.fields.clone()).unwrap_or_default()
    }

    /// Its fields.
    pub fn record(&self) -> &Record {
        &self.request.record
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.request.provenance
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.request.record.kind()
    }

    /// The one line that names it.
    pub fn title(&self) -> &str {
        self.request.record.headline()
    }

    /// The field `field`, if its kind has it.
    pub fn field(&self, field: Field) -> Option<Cow<'_, str>> {
        self.request.record.text(field)
    }

    /// The name of its state: that of an experiment that has ended is its result.
    pub fn state_name(&self) -> &'static str {
        result_of(self).map_or(self.state.name(), ExperimentResult::name)
    }

    /// What it is about; `None` for an experiment.
    pub fn domain(&self) -> Option<Cow<'_, str>> {
        self.field(Field::Domain)
    }

    /// Its severity, if its kind has one.
    pub fn severity(&self) -> Option<Severity> {
        self.field(Field::Severity).and_then(|text| text.parse().ok())
    }

    /// Its tags.
    pub fn tags(&self) -> Vec<String> {
        let tags = self.field(Field::Tags).unwrap_or_default();
        tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
    }
}

/// The time in an operation's id.
/// When the content of a record of that time, with these amendments, last changed.
fn changed_at(created_at: Timestamp, amended: Option<&Amended>) -> Timestamp {
    amended.and_then(page::amended_at).map_or(created_at, |at| at.max(created_at))
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("kind", &self.kind())?;
        map.serialize_entry("title", self.title())?;
        for spec in fields_of(self.kind()) {
            let Some(text) = self.field(spec.field) else { continue };
            match spec.shape {
                _ if spec.field == Field::Title => {}
                Shape::Id | Shape::Result if text.is_empty() => {}
                Shape::Severity => map.serialize_entry(spec.name, &self.severity())?,
                Shape::Confidence => map.serialize_entry(spec.name, &text.parse::<f64>().ok())?,
                Shape::List { .. } => map.serialize_entry(spec.name, &self.tags())?,
                _ => map.serialize_entry(spec.name, &text)?,
            }
        }
        map.serialize_entry("path", &self.path)?;
        map.serialize_entry("row_id", &self.row_id)?;
        map.serialize_entry("created_at", &format!("{:.3}", self.created_at))?;
        map.serialize_entry("updated_at", &format!("{:.3}", self.updated_at))?;
        map.serialize_entry("revision", &self.revision())?;
        map.serialize_entry("state", self.state_name())?;
        if let Some(from) = &self.from {
            map.serialize_entry("from", from)?;
        }
        if let Some(key) = &self.request.key {
            map.serialize_entry("key", key)?;
        }
        for spec in &PROVENANCE {
            if let Some(text) = self.provenance().text(spec.field) {
                map.serialize_entry(spec.name, &text)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Heuristic, Learning};

    fn recorded(record: Record) -> Recorded {
        let id: RecordId = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".parse().expect("an id");
        let at = "2026-03-04T05:06:07.089Z".parse().expect("a time");
        Recorded {
            id,
            created_at: at,
            updated_at: at,
            amended: None,
            from: None,
            state: State::Active,
            path: "memory/x.md".into(),
            row_id: Some(3),
            request: Request::new(record),
        }
    }

    #[test]
    fn golden_data() {
        let learning =
            Learning { title: "t\u{1b}".into(), domain: "d".into(), tags: "a, b,".into(), ..Learning::default() };
        let data = serde_json::to_string(&recorded(Record::Failure(learning))).expect("text and numbers");
        let wanted = r#"{"id":"0198f3a2-7c1e-7b3d-9a4f-5566778899aa","kind":"failure","title":"t\u001b","domain":"d","severity":3,"tags":["a","b"],"summary":"","path":"memory/x.md","row_id":3,"created_at":"2026-03-04T05:06:07.089Z","updated_at":"2026-03-04T05:06:07.089Z","revision":"1:0198f3a2-7c1e-7b3d-9a4f-5566778899aa","state":"active"}"#;
        assert_eq!(data, wanted);
    }

    #[test]
    fn a_title_is_always_there_beside_the_field_as_recorded() {
        let rule = Heuristic { rule: "r".into(), domain: "d".into(), ..Heuristic::default() };
        let data = serde_json::to_value(recorded(Record::Heuristic(rule))).expect("text and numbers");
        assert_eq!((&data["title"], &data["rule"], &data["confidence"]), (&"r".into(), &"r".into(), &0.5.into()));
    }
}
