//! A line of a batch: JSON becomes a request. Pure.

use serde::Deserialize;

use super::{Invalid, Request, parse_confidence, parse_severity};
use crate::intent::{Experiment, Heuristic, Kind, Learning, Record};
use crate::text::{looks_like_utf16, visible_line, without_mark};

impl Request {
    /// The request that a line of a batch makes, which may still have fields that are not as they must be.
    ///
    /// # Errors
    /// A line that is no such object, lacks a field, or has one too many.
    pub fn of_line(bytes: &[u8]) -> Result<Request, Invalid> {
        let bytes = without_mark(bytes);
        let object = bytes.trim_ascii_start().first() == Some(&b'{');
        let shape = "must be a JSON object with `kind` and the fields of that kind";
        if looks_like_utf16(bytes) {
            let convert = "must be UTF-8, and looks like UTF-16: convert it first, as with `iconv -f UTF-16 -t UTF-8`";
            return Err(Invalid::new("line", convert));
        }
        if !object {
            return Err(Invalid::new("line", shape));
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let line: Result<Line, _> = serde_path_to_error::deserialize(&mut json);
        let line = line.map_err(|error| {
            let what = visible_line(&error.inner().to_string()).into_owned();
            match error.path().to_string().as_str() {
                "." => Invalid::new("line", format!("{shape}: {what}")),
                field => Invalid::new("line", format!("its field `{field}`: {what}")),
            }
        })?;
        json.end().map_err(|error| Invalid::new("line", format!("{shape}: {error}")))?;
        line.request()
    }
}

/// One line of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: Kind,
    title: Option<String>,
    domain: Option<String>,
    severity: Option<Scalar>,
    tags: Option<Tags>,
    summary: Option<String>,
    rule: Option<String>,
    explanation: Option<String>,
    source: Option<String>,
    confidence: Option<Scalar>,
    name: Option<String>,
    hypothesis: Option<String>,
    success_criteria: Option<String>,
    failure_criteria: Option<String>,
    key: Option<String>,
}

/// Tags as they are kept, or one by one.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or an array of texts")]
enum Tags {
    Text(String),
    List(Vec<String>),
}

impl Tags {
    fn text(self) -> String {
        match self {
            Tags::Text(text) => text,
            Tags::List(list) => list.join(","),
        }
    }
}

/// A number, or a word for one.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number or a word for one")]
enum Scalar {
    Number(serde_json::Number),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
        }
    }
}

fn needed(field: &'static str, value: Option<String>) -> Result<String, Invalid> {
    value.ok_or_else(|| Invalid::new(field, "is required and was not given"))
}

impl Line {
    fn request(self) -> Result<Request, Invalid> {
        let record = match self.kind {
            Kind::Failure | Kind::Success | Kind::Observation => {
                let severity = self.severity.map_or(Ok(3), |severity| parse_severity(&severity.text()))?;
                let it = Learning {
                    title: needed("title", self.title)?,
                    domain: needed("domain", self.domain)?,
                    severity,
                    tags: self.tags.map(Tags::text).unwrap_or_default(),
                    summary: self.summary.unwrap_or_default(),
                };
                match self.kind {
                    Kind::Success => Record::Success(it),
                    Kind::Observation => Record::Observation(it),
                    _ => Record::Failure(it),
                }
            }
            Kind::Heuristic => Record::Heuristic(Heuristic {
                domain: needed("domain", self.domain)?,
                rule: needed("rule", self.rule)?,
                explanation: self.explanation.unwrap_or_default(),
                source: self.source.unwrap_or_else(|| "observation".into()),
                confidence: self.confidence.map_or(Ok(0.5), |confidence| parse_confidence(&confidence.text()))?,
            }),
            Kind::Experiment => Record::Experiment(Experiment {
                name: needed("name", self.name)?,
                hypothesis: needed("hypothesis", self.hypothesis)?,
                success_criteria: self.success_criteria.unwrap_or_default(),
                failure_criteria: self.failure_criteria.unwrap_or_default(),
            }),
        };
        Ok(Request { record, key: self.key })
    }
}
