//! A line of a batch: JSON becomes a request. Pure.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::text::{looks_like_utf16, visible_line, without_mark};
use crate::model::{FIELDS, FieldSpec, Invalid, Kind, PROVENANCE, Provenance, Record, Request, Shape, fields_of};

impl Request {
    /// Parses a line of a batch. The request may still have invalid fields ([`Request::check`]).
    ///
    /// # Errors
    /// A line that is not a JSON object, lacks a field, or has an unknown one.
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

/// Why a verdict is not taken where records are.
pub(super) const NO_VERDICT: &str = "a verdict is given by `indelible validate`, `violate`, `demote`, `retire` or `revive`, or by a person who promotes";

/// One line of a batch: its fields as text, by name.
struct Line {
    kind: Kind,
    key: Option<String>,
    values: HashMap<&'static str, String>,
}

impl Line {
    fn request(mut self) -> Result<Request, Invalid> {
        if self.kind == Kind::Verdict {
            return Err(Invalid::new("kind", NO_VERDICT));
        }
        let record = Record::build(self.kind, |spec| Ok::<_, Invalid>(self.values.remove(spec.name)))?;
        let mut provenance = Provenance::default();
        for spec in &PROVENANCE {
            if let Some(text) = self.values.remove(spec.name) {
                provenance.set(spec.field, text)?;
            }
        }
        // A field that is left would be lost, and the line acknowledged.
        let left = FIELDS.iter().find(|spec| self.values.contains_key(spec.name));
        if let Some(spec) = left {
            let known: Vec<&str> = fields_of(self.kind).map(|spec| spec.name).collect();
            let problem = format!("{} has no such field; it has {}", self.kind, known.join(", "));
            return Err(Invalid::new(spec.name, problem));
        }
        Ok(Request { record, key: self.key, provenance })
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let (mut kind, mut key, mut values) = (None, None, HashMap::new());
        while let Some(name) = map.next_key::<String>()? {
            let repeated = |name| serde::de::Error::duplicate_field(name);
            match (name.as_str(), FieldSpec::named(&name)) {
                ("kind", _) if kind.is_some() => return Err(repeated("kind")),
                ("kind", _) => kind = Some(map.next_value()?),
                ("key", _) if key.is_some() => return Err(repeated("key")),
                ("key", _) => key = Some(map.next_value()?),
                (_, Some(spec)) if values.contains_key(spec.name) => return Err(repeated(spec.name)),
                (_, Some(spec)) => {
                    if let Some(text) = text_of(spec.shape, &mut map)? {
                        values.insert(spec.name, text);
                    }
                }
                (unknown, None) => return Err(unknown_field(unknown)),
            }
        }
        let kind = kind.ok_or_else(|| serde::de::Error::missing_field("kind"))?;
        Ok(Line { kind, key: key.flatten(), values })
    }
}

fn unknown_field<E: serde::de::Error>(name: &str) -> E {
    let known = FIELDS.iter().chain(&PROVENANCE).map(|spec| spec.name).chain(["kind", "key"]);
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    E::custom(format!("unknown field `{name}`, expected one of {}", known.join(", ")))
}

/// The value of a field whose text has `shape`; `None` for null.
fn text_of<'de, A: MapAccess<'de>>(shape: Shape, map: &mut A) -> Result<Option<String>, A::Error> {
    match shape {
        Shape::Line { .. } | Shape::Body | Shape::Origin | Shape::Ruling | Shape::Result | Shape::Id => {
            map.next_value()
        }
        Shape::List { .. } => map.next_value::<Option<List>>().map(|list| list.map(List::text)),
        Shape::Severity | Shape::Confidence => {
            map.next_value::<Option<Scalar>>().map(|scalar| scalar.map(Scalar::text))
        }
    }
}

/// Items as one text, or as an array.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or an array of texts")]
enum List {
    Text(String),
    Items(Vec<String>),
}

impl List {
    fn text(self) -> String {
        match self {
            List::Text(text) => text,
            List::Items(items) => items.join(","),
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
