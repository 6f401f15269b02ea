//! Records as a table for spreadsheets: CSV as in RFC 4180, with a line of names.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and recorded text is not to be trusted with
//! one. So such a cell, and one that begins with a tab or a line end, has a `'` before it, as spreadsheets themselves mark
//! text (OWASP, "CSV Injection"). JSON has the exact text.

use indelible::model::Field;
use indelible::query::{Recorded, Retracted};

/// The columns of a record.
const COLUMNS: [&str; 18] = [
    "id",
    "kind",
    "title",
    "domain",
    "severity",
    "tags",
    "confidence",
    "created_at",
    "updated_at",
    "state",
    "path",
    "project",
    "origin",
    "session",
    "agent",
    "host",
    "cwd",
    "from",
];

/// The line of names.
pub fn names() -> String {
    line(COLUMNS.iter().map(|name| (*name).to_owned()))
}

/// The line of `recorded`, which is in `state`.
pub fn of(recorded: &Recorded, state: &str) -> String {
    let provenance = recorded.provenance();
    let cell = |name: &&str| match *name {
        "id" => recorded.id.to_string(),
        "kind" => recorded.kind().to_string(),
        "title" => recorded.title().to_owned(),
        "domain" => recorded.domain().unwrap_or_default().into_owned(),
        "severity" => recorded.severity().map(|it| it.to_string()).unwrap_or_default(),
        "tags" => recorded.tags().join(","),
        "confidence" => recorded.field(Field::Confidence).unwrap_or_default().into_owned(),
        "created_at" => format!("{:.3}", recorded.created_at),
        "updated_at" => format!("{:.3}", recorded.updated_at),
        "state" => state.to_owned(),
        "path" => recorded.path.clone(),
        "from" => recorded.from.map(|from| from.says()).unwrap_or_default(),
        name => {
            let spec = indelible::model::FieldSpec::named(name);
            spec.and_then(|spec| provenance.text(spec.field)).unwrap_or_default().into_owned()
        }
    };
    line(COLUMNS.iter().map(cell))
}

/// The line of names for retracted records.
pub fn names_of_retracted() -> String {
    line(["id", "kind", "state", "at", "because"].map(str::to_owned))
}

/// The line of a retracted record.
pub fn of_retracted(it: &Retracted) -> String {
    let at = it.at.map(|at| format!("{at:.3}")).unwrap_or_default();
    let kind = it.kind.map(|kind| kind.to_string()).unwrap_or_default();
    line([it.id.to_string(), kind, "retracted".into(), at, it.because.clone().unwrap_or_default()])
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| quoted(&cell)).collect();
    format!("{}\r\n", cells.join(","))
}

fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_as_in_the_rfc_and_never_a_formula() {
        for (cell, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("@SUM(A1,B2)", "\"'@SUM(A1,B2)\""),
            ("-1", "'-1"),
            ("", ""),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
