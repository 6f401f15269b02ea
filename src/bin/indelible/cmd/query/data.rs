//! An answer, and how `query.py` prints it: as text, JSON or CSV.
//!
//! It prints the values of its own language, so a missing text is `None`, a truth is `True`, and an answer that has no
//! form as CSV, since it is not a list, is printed as that language writes it in source code.

use std::fmt::Write as _;

use indelible::framework::{FROM, Row, Value};
use indelible::model::text::is_hidden;

use super::args::Format;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Value(Value),
    List(Vec<Data>),
    /// Names and values. A name is missing where rows are counted by a column that is NULL.
    Map(Vec<(Option<String>, Data)>),
}

impl Data {
    /// A map with these names.
    pub fn map<const N: usize>(entries: [(&str, Data); N]) -> Data {
        Data::Map(entries.into_iter().map(|(name, value)| (Some(name.to_owned()), value)).collect())
    }

    pub fn text(text: impl Into<String>) -> Data {
        Data::Value(Value::Text(text.into()))
    }

    pub fn number(number: i64) -> Data {
        Data::Value(Value::Integer(number))
    }

    pub fn count(items: usize) -> Data {
        Data::number(i64::try_from(items).unwrap_or(i64::MAX))
    }

    pub fn rows(rows: &[Row]) -> Data {
        Data::List(rows.iter().map(Data::from).collect())
    }

    /// How often each value occurs.
    pub fn counts(counts: Vec<(Value, i64)>) -> Data {
        let name = |value: Value| (value != Value::Null).then(|| plain(&value));
        Data::Map(counts.into_iter().map(|(value, count)| (name(value), Data::number(count))).collect())
    }

    /// The answer in `format`, without a line feed at the end.
    pub fn shown(&self, format: Format) -> String {
        match format {
            Format::Text => self.as_text(),
            Format::Json => {
                let mut out = String::new();
                self.write_json(&mut out, 0);
                out
            }
            Format::Csv => self.as_csv(),
        }
    }

    fn as_text(&self) -> String {
        let lines: Vec<String> = match self {
            Data::Value(value) => return plain(value),
            Data::Map(entries) => entries
                .iter()
                .map(|(name, value)| {
                    let name = name.as_deref().unwrap_or("None");
                    let gap = if matches!(value, Data::Value(_)) { " " } else { "\n" };
                    format!("{name}:{gap}{}", value.as_text())
                })
                .collect(),
            Data::List(items) => {
                let item = |(at, item): (usize, &Data)| format!("\n--- Item {} ---\n{}", at + 1, item.as_text());
                items.iter().enumerate().map(item).collect()
            }
        };
        lines.join("\n")
    }

    fn write_json(&self, out: &mut String, depth: usize) {
        let entries: Vec<(Option<String>, &Data)> = match self {
            Data::Value(value) => return out.push_str(&json_value(value)),
            Data::List(items) => items.iter().map(|item| (None, item)).collect(),
            Data::Map(entries) => {
                let name = |name: &Option<String>| json_text(name.as_deref().unwrap_or("null"));
                entries.iter().map(|(its, value)| (Some(name(its)), value)).collect()
            }
        };
        let (open, close) = if matches!(self, Data::List(_)) { ('[', ']') } else { ('{', '}') };
        out.push(open);
        for (at, (name, value)) in entries.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\n{}", "  ".repeat(depth + 1));
            if let Some(name) = name {
                let _ = write!(out, "{name}: ");
            }
            value.write_json(out, depth + 1);
        }
        if !entries.is_empty() {
            let _ = write!(out, "\n{}", "  ".repeat(depth));
        }
        out.push(close);
    }

    /// A list of maps as CSV, with the names of the first one, and with [`FROM`] if one of them has it; anything else as source code.
    fn as_csv(&self) -> String {
        let Data::List(items) = self else { return self.as_source() };
        let Some(Data::Map(first)) = items.first() else { return self.as_source() };
        let mut names: Vec<String> = first.iter().map(|(name, _)| name.clone().unwrap_or_default()).collect();
        let has_from = |item: &Data| matches!(item, Data::Map(entries) if entries.iter().any(is_from));
        let have_from = items.iter().any(has_from);
        if have_from && !has_from(&items[0]) {
            names.push(FROM.to_owned());
        }
        let mut out = csv_line(&names);
        for item in items {
            let Data::Map(entries) = item else { continue };
            let cell = |value: &Data| if *value == Data::Value(Value::Null) { String::new() } else { value.as_text() };
            let mut cells: Vec<String> = entries.iter().map(|(_, value)| cell(value)).collect();
            if have_from && !has_from(item) {
                cells.push(String::new());
            }
            out.push_str(&csv_line(&cells));
        }
        out
    }

    /// The answer as Python writes it in source code.
    fn as_source(&self) -> String {
        match self {
            Data::Value(value) => source_value(value),
            Data::List(items) => format!("[{}]", items.iter().map(Data::as_source).collect::<Vec<_>>().join(", ")),
            Data::Map(entries) => {
                let name = |name: &Option<String>| name.as_deref().map_or_else(|| "None".to_owned(), source_text);
                let entry = |(its, value): &(Option<String>, Data)| format!("{}: {}", name(its), value.as_source());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Whether this column says which other home a row came from.
fn is_from((name, _): &(Option<String>, Data)) -> bool {
    name.as_deref() == Some(FROM)
}

impl From<&Row> for Data {
    fn from(row: &Row) -> Data {
        Data::Map(row.columns().map(|(name, value)| (Some(name.to_owned()), Data::Value(value.clone()))).collect())
    }
}

/// A value as text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => float(*number),
        Value::Text(text) => text.clone(),
        Value::Truth(truth) => if *truth { "True" } else { "False" }.into(),
        Value::Time(time) => {
            let micros = time.subsec_nanosecond() / 1000;
            let whole = time.strftime("%Y-%m-%d %H:%M:%S");
            if micros == 0 { whole.to_string() } else { format!("{whole}.{micros:06}") }
        }
    }
}

/// A number as Python writes it.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}").replace(".0e", "e")
}

fn json_value(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Truth(truth) => truth.to_string(),
        Value::Integer(_) | Value::Real(_) => plain(value).replace("inf", "Infinity").replace("nan", "NaN"),
        Value::Text(_) | Value::Time(_) => json_text(&plain(value)),
    }
}

/// A text as JSON in ASCII.
fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        match c {
            ' '..='~' => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out
}

fn csv_line(cells: &[String]) -> String {
    let cell = |cell: &String| match cell.contains([',', '"', '\r', '\n']) || (cells.len() == 1 && cell.is_empty()) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    format!("{}\r\n", cells.iter().map(cell).collect::<Vec<_>>().join(","))
}

fn source_value(value: &Value) -> String {
    let Value::Time(time) = value else {
        return if let Value::Text(text) = value { source_text(text) } else { plain(value) };
    };
    let mut parts = vec![
        i64::from(time.year()),
        time.month().into(),
        time.day().into(),
        time.hour().into(),
        time.minute().into(),
        time.second().into(),
        (time.subsec_nanosecond() / 1000).into(),
    ];
    while parts.len() > 5 && parts.last() == Some(&0) {
        parts.pop();
    }
    format!("datetime.datetime({})", parts.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
}

fn source_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_hidden(c) || (c.is_whitespace() && c != ' ') => {
                let _ = match u32::from(c) {
                    code @ ..0x100 => write!(out, "\\x{code:02x}"),
                    code @ 0x100..0x10000 => write!(out, "\\u{code:04x}"),
                    code => write!(out, "\\U{code:08x}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_framework_writes_them() {
        for (number, text) in
            [(0.85, "0.85"), (1.0, "1.0"), (1e-5, "1e-05"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (f64::NAN, "nan")]
        {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn texts_are_quoted_as_the_framework_quotes_them() {
        for (text, source, json) in [
            ("it's", "\"it's\"", r#""it's""#),
            ("\"it's\"", "'\"it\\'s\"'", r#""\"it's\"""#),
            ("a\\b\n\x1b\u{200e}🏢", "'a\\\\b\\n\\x1b\\u200e🏢'", r#""a\\b\n\u001b\u200e\ud83c\udfe2""#),
        ] {
            assert_eq!((source_text(text).as_str(), json_text(text).as_str()), (source, json));
        }
        let time = |text: &str| Value::Time(text.parse().expect("it is a time"));
        assert_eq!(source_value(&time("2025-12-01 09:30:00")), "datetime.datetime(2025, 12, 1, 9, 30)");
        assert_eq!(source_value(&time("2025-12-01 09:30:00.000002")), "datetime.datetime(2025, 12, 1, 9, 30, 0, 2)");
        assert_eq!(plain(&time("2025-12-01 09:30:00.5")), "2025-12-01 09:30:00.500000");
    }

    #[test]
    fn a_list_of_nothing_is_shown_in_each_format() {
        let shown = |data: &Data| [Format::Text, Format::Json, Format::Csv].map(|format| data.shown(format));
        assert_eq!(shown(&Data::List(Vec::new())), ["", "[]", "[]"]);
        assert_eq!(shown(&Data::Map(Vec::new())), ["", "{}", "{}"]);
    }
}
