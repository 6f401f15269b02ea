//! A record: the fields, exactly as given.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::field::id_in;
use super::{Confidence, ExperimentResult, Field, FieldSpec, Invalid, Kind, RecordId, Severity, Verdict, fields_of};

/// What was learned: the fields, exactly as given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A failure.
    Failure(Learning),
    /// A success.
    Success(Learning),
    /// An observation.
    Observation(Learning),
    /// A heuristic.
    Heuristic(Heuristic),
    /// An experiment.
    Experiment(Experiment),
    /// A verdict about another record.
    Verdict(Verdict),
}

/// A failure, a success or an observation. [`FIELDS`](super::FIELDS) has the limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// One line.
    pub title: String,
    /// What it is about.
    pub domain: String,
    /// How serious it is.
    pub severity: Severity,
    /// Comma-separated; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// The whole story in markdown; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Of a success: the failure after which the same command worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves: Option<RecordId>,
}

/// A rule of thumb. [`FIELDS`](super::FIELDS) has the limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heuristic {
    /// What it is about.
    pub domain: String,
    /// One line.
    pub rule: String,
    /// Why, in markdown; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// Where it comes from: `failure`, `success`, `observation` or `auto`.
    pub source: String,
    /// How sure it is.
    pub confidence: Confidence,
}

/// An experiment, under way or ended. [`FIELDS`](super::FIELDS) has the limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// One line.
    pub name: String,
    /// What is believed, in markdown.
    pub hypothesis: String,
    /// When it counts as confirmed; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub success_criteria: String,
    /// When it counts as refuted; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure_criteria: String,
    /// How it ended; `None` while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ExperimentResult>,
    /// What came of it, in markdown; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
}

impl Record {
    /// A record of `kind` whose fields are what `value` answers for each, in the order of the table: `None` stands for
    /// the default. The texts are not checked against their limits ([`Record::check`] does that).
    ///
    /// # Errors
    /// Those of `value`; [`Invalid`] for a required field without a value, and for a severity or a confidence that is not
    /// one.
    pub fn build<E: From<Invalid>>(
        kind: Kind,
        mut value: impl FnMut(&'static FieldSpec) -> Result<Option<String>, E>,
    ) -> Result<Record, E> {
        let mut record = Record::empty(kind);
        for spec in fields_of(kind) {
            let text = match value(spec)? {
                Some(text) => text,
                None if spec.required => return Err(Invalid::new(spec.name, "is required and was not given").into()),
                None => spec.default.to_owned(),
            };
            record.set(spec.field, text)?;
        }
        Ok(record)
    }

    /// A record of `kind` whose fields are empty, or as they are by default.
    fn empty(kind: Kind) -> Record {
        match kind {
            Kind::Failure => Record::Failure(Learning::default()),
            Kind::Success => Record::Success(Learning::default()),
            Kind::Observation => Record::Observation(Learning::default()),
            Kind::Heuristic => Record::Heuristic(Heuristic::default()),
            Kind::Experiment => Record::Experiment(Experiment::default()),
            Kind::Verdict => Record::Verdict(Verdict::default()),
        }
    }

    /// Sets the record's `field`, which its kind has to have, from its text.
    ///
    /// # Errors
    /// [`Invalid`] for a severity or a confidence that is not one.
    pub fn set(&mut self, field: Field, text: String) -> Result<(), Invalid> {
        match (self, field) {
            (Record::Failure(it) | Record::Success(it) | Record::Observation(it), Field::Severity) => {
                it.severity = text.parse()?;
            }
            (Record::Success(it), Field::Resolves) => {
                it.resolves = Some(text)
                    .filter(|text| !text.trim().is_empty())
                    .map(|text| id_in("resolves", &text))
                    .transpose()?;
            }
            (Record::Heuristic(it), Field::Confidence) => it.confidence = text.parse()?,
            (Record::Experiment(it), Field::Result) => {
                it.result = Some(text).filter(|text| !text.trim().is_empty()).map(|text| text.parse()).transpose()?;
            }
            (Record::Verdict(it), Field::Verdict) => it.verdict = text.parse()?,
            (Record::Verdict(it), Field::Of) => it.of = id_in("of", &text)?,
            (record, field) => *record.text_mut(field).expect("the table says which kinds have the field") = text,
        }
        Ok(())
    }

    /// The record's `field` as text; `None` if its kind has no such field.
    pub fn text(&self, field: Field) -> Option<Cow<'_, str>> {
        let text: &str = match (self, field) {
            (Record::Success(it), Field::Resolves) => {
                return Some(it.resolves.map(|id| id.to_string()).unwrap_or_default().into());
            }
            (Record::Failure(it) | Record::Success(it) | Record::Observation(it), field) => match field {
                Field::Title => &it.title,
                Field::Domain => &it.domain,
                Field::Severity => return Some(it.severity.to_string().into()),
                Field::Tags => &it.tags,
                Field::Summary => &it.summary,
                _ => return None,
            },
            (Record::Heuristic(it), field) => match field {
                Field::Rule => &it.rule,
                Field::Domain => &it.domain,
                Field::Source => &it.source,
                Field::Confidence => return Some(it.confidence.to_string().into()),
                Field::Explanation => &it.explanation,
                _ => return None,
            },
            (Record::Experiment(it), field) => match field {
                Field::Name => &it.name,
                Field::Hypothesis => &it.hypothesis,
                Field::SuccessCriteria => &it.success_criteria,
                Field::FailureCriteria => &it.failure_criteria,
                Field::Result => it.result.map_or("", ExperimentResult::name),
                Field::Outcome => &it.outcome,
                _ => return None,
            },
            (Record::Verdict(it), field) => match field {
                Field::Verdict => it.verdict.name(),
                Field::Of => return Some(it.of.to_string().into()),
                Field::Because => &it.because,
                _ => return None,
            },
        };
        Some(text.into())
    }

    /// The record's `field`, to change it; `None` if its kind has no such field, or it is a number.
    pub fn text_mut(&mut self, field: Field) -> Option<&mut String> {
        match (self, field) {
            (Record::Failure(it) | Record::Success(it) | Record::Observation(it), field) => match field {
                Field::Title => Some(&mut it.title),
                Field::Domain => Some(&mut it.domain),
                Field::Tags => Some(&mut it.tags),
                Field::Summary => Some(&mut it.summary),
                _ => None,
            },
            (Record::Heuristic(it), field) => match field {
                Field::Rule => Some(&mut it.rule),
                Field::Domain => Some(&mut it.domain),
                Field::Source => Some(&mut it.source),
                Field::Explanation => Some(&mut it.explanation),
                _ => None,
            },
            (Record::Experiment(it), field) => match field {
                Field::Name => Some(&mut it.name),
                Field::Hypothesis => Some(&mut it.hypothesis),
                Field::SuccessCriteria => Some(&mut it.success_criteria),
                Field::FailureCriteria => Some(&mut it.failure_criteria),
                Field::Outcome => Some(&mut it.outcome),
                _ => None,
            },
            (Record::Verdict(it), field) => match field {
                Field::Because => Some(&mut it.because),
                _ => None,
            },
        }
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn check(&self) -> Result<(), Invalid> {
        fields_of(self.kind()).try_for_each(|spec| spec.check(&self.text(spec.field).unwrap_or_default()))
    }

    /// Which of the six it is.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Failure(_) => Kind::Failure,
            Record::Success(_) => Kind::Success,
            Record::Observation(_) => Kind::Observation,
            Record::Heuristic(_) => Kind::Heuristic,
            Record::Experiment(_) => Kind::Experiment,
            Record::Verdict(_) => Kind::Verdict,
        }
    }

    /// The one line that names it: title, rule, name, or what a verdict says.
    pub fn headline(&self) -> &str {
        match self {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => &it.title,
            Record::Heuristic(it) => &it.rule,
            Record::Experiment(it) => &it.name,
            Record::Verdict(it) => it.verdict.name(),
        }
    }

    /// How urgent its commit is.
    pub fn severity(&self) -> Severity {
        match self {
            Record::Failure(it) | Record::Success(it) | Record::Observation(it) => it.severity,
            Record::Heuristic(_) | Record::Experiment(_) | Record::Verdict(_) => Severity::LEAST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Shape;

    fn filled(kind: Kind) -> Record {
        let value = |spec: &FieldSpec| {
            Ok::<_, Invalid>(Some(match spec.shape {
                Shape::Severity => "4".to_owned(),
                Shape::Confidence => "0.25".to_owned(),
                Shape::Ruling => "again".to_owned(),
                Shape::Result => "failed".to_owned(),
                Shape::Id => "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".to_owned(),
                _ => format!("the {}", spec.name),
            }))
        };
        Record::build(kind, value).expect("every value is as it must be")
    }

    #[test]
    fn every_field_of_the_table_is_set_read_and_in_its_json() {
        for kind in Kind::ALL {
            let record = filled(kind);
            let json = serde_json::to_value(&record).expect("it is made of strings and numbers");
            assert_eq!(json["kind"], kind.name());
            assert_eq!(json.as_object().expect("an object").len(), 1 + fields_of(kind).count(), "{json}");
            for spec in fields_of(kind) {
                let text = record.text(spec.field).expect("the kind has it").into_owned();
                let written = json[spec.name].as_str().map_or_else(|| json[spec.name].to_string(), str::to_owned);
                assert_eq!(text, written, "{kind} {}", spec.name);
                let is_number = matches!(
                    spec.shape,
                    Shape::Severity | Shape::Confidence | Shape::Ruling | Shape::Result | Shape::Id
                );
                assert_eq!(record.clone().text_mut(spec.field).is_none(), is_number, "{kind} {}", spec.name);
            }
            assert_eq!(serde_json::from_value::<Record>(json).expect("it was just written"), record);
            assert_eq!(record.check(), Ok(()));
        }
    }

    #[test]
    fn what_is_not_given_is_the_default_or_an_error() {
        let only = |names: &'static [&'static str]| {
            move |spec: &FieldSpec| Ok::<_, Invalid>(names.contains(&spec.name).then(|| "x".to_owned()))
        };
        let record = Record::build(Kind::Heuristic, only(&["rule", "domain"])).expect("the rest has defaults");
        let Record::Heuristic(it) = record else { panic!("another kind") };
        assert_eq!((it.source.as_str(), it.confidence), ("observation", Confidence::DEFAULT));
        for kind in Kind::ALL {
            let first = fields_of(kind).find(|spec| spec.required).expect("every kind has one");
            let built = Record::build(kind, only(&[]));
            assert_eq!(built.map_err(|error| error.field), Err(first.name));
        }
    }

    #[test]
    fn a_number_out_of_range_is_no_record() {
        for json in [
            r#"{"kind":"failure","title":"t","domain":"d","severity":9}"#,
            r#"{"kind":"heuristic","rule":"r","domain":"d","source":"auto","confidence":1.5}"#,
        ] {
            assert!(serde_json::from_str::<Record>(json).is_err(), "{json}");
        }
    }
}
