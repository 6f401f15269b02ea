//! Making an amendment: which fields differ, and what the page says then. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::amended_page;
use crate::model::{
    Amended, Amendment, Change, Field, FileImage, Intent, Op, Record, RecordId, Request, Revision, fields_of,
};

/// A record that is to be amended, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Amendable {
    /// The record.
    pub id: RecordId,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its page, relative to the home.
    pub path: String,
    /// Its fields, key and provenance.
    pub request: Request,
    /// Its amendments until now.
    pub fields: BTreeMap<String, Revision>,
    /// The revision of its content.
    pub revision: Revision,
    /// The greatest revision that was seen of it, of its presence included.
    pub latest: Revision,
}

/// A field that an amendment changes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldChange {
    /// Its name.
    pub field: &'static str,
    /// Its text until now.
    pub before: String,
    /// Its text from now on.
    pub after: String,
}

/// The fields in which `after` differs from `before`, in the order of the table. Both are of one kind.
pub fn differences(before: &Record, after: &Record) -> Vec<FieldChange> {
    let text = |record: &Record, field: Field| record.text(field).unwrap_or_default().into_owned();
    let changes = fields_of(before.kind()).map(|spec| FieldChange {
        field: spec.name,
        before: text(before, spec.field),
        after: text(after, spec.field),
    });
    changes.filter(|change| change.before != change.after).collect()
}

impl Amendable {
    /// The amendment that makes `record` of it, for the reason `because`; `None` if no field differs. `made_at` is when the
    /// operation with a new revision was made.
    pub fn amended(
        &self,
        record: Record,
        because: Option<String>,
        made_at: impl FnOnce(Revision) -> Timestamp,
    ) -> Option<Op> {
        let differing = differences(&self.request.record, &record);
        (!differing.is_empty()).then_some(())?;
        let revision = self.latest.next();
        let mut fields = self.fields.clone();
        fields.extend(differing.into_iter().map(|change| (change.field.to_owned(), revision)));
        let amended = Amended { revision, fields };
        let request = Request { record, ..self.request.clone() };
        let text = amended_page(self.id, self.created_at, &request, &amended);
        Some(self.operation(request, amended, text, because, made_at(revision)))
    }

    /// The amendment of this `revision` that makes `record` of it, made at `at`: every field of its kind has that revision, whether it
    /// differs or not.
    pub fn replaced(&self, record: Record, revision: Revision, at: Timestamp) -> Op {
        let fields = fields_of(record.kind()).map(|spec| (spec.name.to_owned(), revision)).collect();
        let amended = Amended { revision, fields };
        let request = Request { record, ..self.request.clone() };
        let text = amended_page(self.id, self.created_at, &request, &amended);
        self.operation(request, amended, text, None, at)
    }

    fn operation(
        &self,
        request: Request,
        amended: Amended,
        text: String,
        because: Option<String>,
        at: Timestamp,
    ) -> Op {
        let Amendable { id, created_at, path, latest, .. } = self;
        let Request { record, key, provenance } = request;
        let path = path.clone();
        let change =
            Change { of: *id, revision: amended.revision, base: *latest, at, path: Some(path.clone()), because };
        let files = vec![FileImage { path, text }];
        let (id, created_at, amended) = (*id, *created_at, Some(amended));
        let record = Intent { id, created_at, key, record, provenance, amended, files, from: None };
        Op::Amend(Box::new(Amendment { change, record }))
    }
}
