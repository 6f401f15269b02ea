//! What leads to a record's page where its path is not kept: its kind, its time, and its id.
//!
//! They say in which folders it can lie, and how its name ends. A page that its owner has moved is not found so.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::layout::split;
use super::path::{Level, RecordPath};
use super::{Kind, RecordId};

/// Whether kind, time and id lead to `path`: a page, or an experiment's folder.
pub fn leads_to(path: &str, kind: Kind, created_at: Timestamp, id: RecordId) -> bool {
    let path = RecordPath(path);
    let shown = path.shown();
    let Some(end) = shown.strip_suffix(".md").or_else(|| path.experiment_folder()) else { return false };
    let within = match (kind, path.in_domain()) {
        (Kind::Heuristic, Some((domain, _))) => format!("{}/{domain}", kind.folder()),
        (Kind::Heuristic, None) => return false,
        _ => kind.folder().to_owned(),
    };
    is_name_of(end, id) && folders_of(&within, kind, created_at, id).iter().any(|it| it == split(shown).0)
}

/// Whether `name`, without `.md`, ends as the name of a record's page or folder does.
pub fn is_name_of(name: &str, id: RecordId) -> bool {
    [id.short(), id.to_string()].iter().any(|end| name.strip_suffix(end.as_str()).is_some_and(|it| it.ends_with('-')))
}

/// The folders in which a record of this kind, time and id can lie, beneath its kind's folder or its domain's, `within`.
pub fn folders_of(within: &str, kind: Kind, created_at: Timestamp, id: RecordId) -> Vec<String> {
    if kind == Kind::Experiment {
        return vec![within.to_owned()];
    }
    let date = created_at.to_zoned(TimeZone::UTC).date();
    let day = format!("{:04}/{:02}/{:02}", date.year(), date.month(), date.day());
    let folder =
        |level: Level| format!("{within}/{day}/{}", level.part(created_at, id)).trim_end_matches('/').to_owned();
    Level::ALL.into_iter().map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::files_of;
    use crate::model::{Experiment, Heuristic, Learning, Record};

    #[test]
    fn kind_time_and_id_lead_to_a_page_where_it_was_put() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().expect("a time");
        let id = RecordId(uuid::Uuid::from_u128(0x12_34ab));
        for record in [
            Record::Success(Learning { title: "t".into(), ..Learning::default() }),
            Record::Heuristic(Heuristic { domain: "git".into(), rule: "t".into(), ..Heuristic::default() }),
            Record::Experiment(Experiment { name: "t".into(), ..Experiment::default() }),
        ] {
            let kind = record.kind();
            let is_led_to = |path: &str| leads_to(path, kind, at, id);
            for level in Level::ALL {
                let path = files_of(id, &record, at, level).remove(0);
                let path = RecordPath(&path);
                assert!(is_led_to(path.0) && is_led_to(path.shown()) && is_led_to(&path.with_full_id(id)), "{path:?}");
                for other in [
                    path.0.replace("/t-", "/x/t-").replace("_t-", "/t-"),
                    path.0.replace("1234ab", "1234ac"),
                    path.0.replace("-001234ab", "x001234ab"),
                    path.0.replace("2026/03/04", "2026/03/05").replace("active/", "inactive/"),
                ] {
                    assert!(!is_led_to(&other), "{other}");
                }
            }
            assert!(!is_led_to("") && !is_led_to("p.md") && !is_led_to(kind.folder()), "{kind:?}");
        }
    }
}
