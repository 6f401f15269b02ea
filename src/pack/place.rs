//! Whether a place is known to its project: whether records of the project were made there before. Pure.
//!
//! Any repository can name the origin of another as its own. So in a place that is new to a project, a session is told golden
//! rules alone, until a second session has recorded there. The place of a project's first record is known. Only folders that
//! this machine noted count.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::may_tell::{day, is_of_host};
use crate::model::Provenance;
use crate::project::Place;
use crate::query::Brief;

/// The sessions that have to have recorded in a place.
const SESSIONS_MIN: usize = 2;

/// Whether `place` is known, as the project's `first` record and its newest ones, `records`, say: where they come from, and when they were
/// made. `host` is this machine's label.
pub(super) fn is_known<'b>(
    place: &Place,
    first: Option<&Brief>,
    records: impl Iterator<Item = (&'b Provenance, Timestamp)>,
    host: Option<&str>,
) -> bool {
    let is_there = |provenance: &Provenance| {
        let folder = provenance.cwd.as_deref();
        is_of_host(provenance, host) && folder.is_some_and(|folder| is_beneath(folder, &place.roots))
    };
    let there = records.filter(|(provenance, _)| is_there(provenance)).map(|(provenance, at)| session(provenance, at));
    // Nothing of the project is known, so there is nothing to tell either.
    !place.is_by_origin
        || first.is_none_or(|first| is_there(&first.provenance))
        || there.collect::<HashSet<_>>().len() >= SESSIONS_MIN
}

/// What names the session of a record of `provenance` that was made at `at`: where no host named one, its day.
pub(super) fn session(provenance: &Provenance, at: Timestamp) -> String {
    provenance.session.clone().unwrap_or_else(|| day(at).to_string())
}

fn is_beneath(folder: &str, roots: &[PathBuf]) -> bool {
    let folder = Path::new(folder);
    let is_plain = !folder.components().any(|part| matches!(part, std::path::Component::ParentDir));
    is_plain && roots.iter().any(|root| folder.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Learning, Provenance, Record, RecordId};
    use crate::search::State;

    fn brief(cwd: Option<&str>, session: Option<&str>) -> Brief {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Brief {
            id: RecordId(uuid::Uuid::from_u128(1)),
            created_at: "2026-03-04T05:06:07Z".parse().expect("a time"),
            state: State::Active,
            record: Record::Failure(Learning::default()),
            provenance: Provenance { cwd: text(cwd), session: text(session), ..Provenance::default() },
            from: None,
        }
    }

    fn from(brief: &Brief) -> (&Provenance, Timestamp) {
        (&brief.provenance, brief.created_at)
    }

    #[test]
    fn a_place_is_known_by_two_sessions_or_as_the_first() {
        let place = Place { project: "h/p".into(), is_by_origin: true, roots: vec!["/a/p".into(), "/b/p".into()] };
        let is = |first: &Brief, records: &[Brief]| is_known(&place, Some(first), records.iter().map(from), None);
        let elsewhere = brief(Some("/x/p"), Some("0"));
        assert!(is(&brief(Some("/a/p/src"), Some("0")), &[]), "the project's first record was made here");
        assert!(!is(&elsewhere, &[]));
        let one = brief(Some("/a/p"), Some("1"));
        assert!(!is(&elsewhere, &[one.clone(), one.clone()]), "one session");
        assert!(is(&elsewhere, &[one.clone(), brief(Some("/b/p/x"), Some("2"))]));
        for folder in [None, Some("/a/pp"), Some("/a/p/../q"), Some("p"), Some("")] {
            assert!(!is(&elsewhere, &[one.clone(), brief(folder, Some("2"))]), "{folder:?}");
        }
        assert!(is_known(&place, None, std::iter::empty(), None));
        let by_path = Place { is_by_origin: false, ..place.clone() };
        assert!(is_known(&by_path, Some(&elsewhere), std::iter::empty(), None), "its path is its name");
        let mut other_host = brief(Some("/a/p"), Some("2"));
        other_host.provenance.host = Some("build-7".into());
        assert!(!is(&elsewhere, &[one, other_host]), "another machine has the same path");
    }
}
