//! Values of the framework's tables, as its readers take them. Pure.
//!
//! SQLite gives a value the type that its writer chose; a column says what its readers make of it. A value of another
//! type stays as it is: nothing is refused.

use jiff::civil::DateTime;
use rusqlite::types::ValueRef;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Real,
    /// Text.
    Text,
    /// 0 or 1.
    Truth,
    /// Text such as `2025-12-01 09:30:00`.
    Time,
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL, or a column that the table lacks.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text. Bytes that are not UTF-8 are replaced.
    Text(String),
    /// True or false.
    Truth(bool),
    /// A time, in the zone of its writer: UTC, as the framework stores it.
    Time(DateTime),
}

impl Value {
    pub(super) fn of(found: ValueRef<'_>, shape: Shape) -> Value {
        match (found, shape) {
            (ValueRef::Null, _) => Value::Null,
            (ValueRef::Integer(number), Shape::Truth) => Value::Truth(number != 0),
            #[expect(clippy::cast_precision_loss, reason = "a confidence stored as a whole number")]
            (ValueRef::Integer(number), Shape::Real) => Value::Real(number as f64),
            (ValueRef::Integer(number), _) => Value::Integer(number),
            (ValueRef::Real(number), _) => Value::Real(number),
            (ValueRef::Text(bytes) | ValueRef::Blob(bytes), shape) => {
                let text = String::from_utf8_lossy(bytes);
                match text.parse() {
                    Ok(time) if shape == Shape::Time => Value::Time(time),
                    _ => Value::Text(text.into_owned()),
                }
            }
        }
    }

    /// The text, if it is text that is not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Real(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "counts are small")]
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }
}

/// A row: its columns in the order of the table's definition, and where it came from, if that is another home.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(super) Vec<(&'static str, Value)>);

impl Row {
    /// The columns and their values.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The value of `column`; NULL if the row does not have it.
    pub fn get(&self, column: &str) -> &Value {
        self.0.iter().find(|(name, _)| *name == column).map_or(&Value::Null, |(_, value)| value)
    }

    /// The text of `column`, if it is text that is not empty.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.get(column).text()
    }

    /// The number in `column`, or 0.
    pub fn number(&self, column: &str) -> f64 {
        self.get(column).number().unwrap_or_default()
    }

    /// The row with these columns only, in this order.
    pub fn only(&self, columns: &[&'static str]) -> Row {
        Row(columns.iter().map(|name| (*name, self.get(name).clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_decides_what_a_value_is_and_an_odd_one_stays() {
        let text = |text: &'static str| ValueRef::Text(text.as_bytes());
        let time: DateTime = "2025-12-01T09:30:00.5".parse().expect("it is a time");
        for (found, shape, value) in [
            (ValueRef::Null, Shape::Time, Value::Null),
            (ValueRef::Integer(1), Shape::Truth, Value::Truth(true)),
            (ValueRef::Integer(1), Shape::Real, Value::Real(1.0)),
            (text("high"), Shape::Integer, Value::Text("high".into())),
            (text("2025-12-01 09:30:00.500000"), Shape::Time, Value::Time(time)),
            (text("yesterday"), Shape::Time, Value::Text("yesterday".into())),
            (text("2025-12-01"), Shape::Text, Value::Text("2025-12-01".into())),
            (ValueRef::Blob(b"\xff"), Shape::Text, Value::Text("\u{fffd}".into())),
        ] {
            assert_eq!(Value::of(found, shape), value, "{found:?} as {shape:?}");
        }
    }
}
