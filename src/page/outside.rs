//! What a page from outside has to keep to, beyond what its fields say of themselves: its place, its times, its revisions.

use jiff::Timestamp;

use crate::model::path::up_to_id;
use crate::model::text::visible_line;
use crate::model::{Amended, Record, RecordId, RecordPath, Revision, check_path, fields_of};

/// Whether a record such as this can have its page at `path`: below its kind's folder, and named by its id.
pub(crate) fn is_path_of(id: RecordId, record: &Record, path: &str) -> bool {
    let below = path.strip_prefix(record.kind().folder()).is_some_and(|rest| rest.starts_with('/'));
    let named = up_to_id(path)
        .is_some_and(|name| [id.short(), id.to_string()].iter().any(|end| name.ends_with(&format!("-{end}"))));
    let is_page = match record {
        Record::Experiment(_) => {
            RecordPath(path).log().is_some() && *RecordPath(path).page() == *path && path.matches('/').count() == 3
        }
        _ => path.matches('/').count() <= 9,
    };
    check_path(path).is_ok() && below && named && is_page
}

/// Checks that `at` is a time that a record can have.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_time(field: &'static str, at: Timestamp) -> Result<(), String> {
    let is_of_an_age = (0..=253_402_300_799).contains(&at.as_second());
    is_of_an_age.then_some(()).ok_or_else(|| format!("{field}: from 1970 to 9999; {at} given"))
}

/// Checks that `amended` has fields of the record, and revisions of its own.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_amended(id: RecordId, record: &Record, amended: &Amended) -> Result<(), String> {
    if amended.revision <= Revision::first(id) {
        return Err("amended: its revision is not after the record's first".into());
    }
    for (name, revision) in &amended.fields {
        if !fields_of(record.kind()).any(|spec| spec.name == name) {
            return Err(format!("amended: {} has no field {:?}", record.kind(), visible_line(name)));
        }
        if *revision > amended.revision {
            return Err(format!("amended: {name} is of a revision after the record's"));
        }
    }
    Ok(())
}
