//! What a path on another home's lane can be. Pure: no byte of the file is read.

use crate::model::layout::{EXPERIMENTS_ACTIVE, LOG, OUTCOME, split};
use crate::model::path::{is_domain_page, of_state_file, up_to_id};
use crate::model::{Kind, RecordId, RecordPath, check_path};

/// The most folders above a record's page.
const FOLDERS_MAX: usize = 9;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A record's own page.
    Page(Tail),
    /// The state file of a record.
    State(RecordId),
    /// What no lane brings: what is rendered from records, and an experiment's log, which stays with its owner.
    Derived,
    /// Nothing of a record.
    Other,
}

/// The end of a name, which names the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The last 8 digits of its id.
    Short(u32),
    /// All of it.
    Full(RecordId),
}

impl Tail {
    /// Whether it is the end of `id`.
    pub fn is_of(self, id: RecordId) -> bool {
        match self {
            Tail::Short(digits) => id.0.as_u128() as u32 == digits,
            Tail::Full(full) => full == id,
        }
    }

    /// The last 8 digits.
    pub fn end(self) -> u32 {
        match self {
            Tail::Short(digits) => digits,
            Tail::Full(id) => id.0.as_u128() as u32,
        }
    }

    /// The end of the name of the page `path`.
    pub fn of(path: &str) -> Option<Tail> {
        let stem = split(up_to_id(path)?).1;
        let whole = stem.len().checked_sub(36).and_then(|at| stem.get(at..));
        if let Some(id) = whole.and_then(|whole| whole.parse().ok()) {
            return stem[..stem.len() - 36].ends_with('-').then_some(Tail::Full(id));
        }
        let (_, digits) = stem.rsplit_once('-')?;
        let is_hex = digits.len() == 8 && digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten().map(Tail::Short)
    }
}

/// What `path` is.
pub fn of(path: &str) -> Shape {
    let (folder, name) = split(path);
    let is_plain = path.is_ascii() && !folder.contains('.') && path.matches('/').count() <= FOLDERS_MAX;
    if !is_plain || check_path(path).is_err() {
        return Shape::Other;
    }
    if let Some(id) = of_state_file(path) {
        return Shape::State(id);
    }
    if is_domain_page(path) {
        return Shape::Derived;
    }
    let is_experiments = folder.strip_prefix(EXPERIMENTS_ACTIVE).is_some_and(|rest| rest.starts_with('/'));
    if is_experiments && RecordPath(path).shown() != folder {
        return Shape::Other;
    }
    match name {
        LOG | OUTCOME if is_experiments => Shape::Derived,
        _ if is_experiments && *RecordPath(folder).page() != *path => Shape::Other,
        _ if !Kind::ALL.iter().any(|kind| is_beneath(path, kind.folder())) => Shape::Other,
        _ => Tail::of(path).map_or(Shape::Other, Shape::Page),
    }
}

fn is_beneath(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_records_have_is_taken() {
        let id: RecordId = "0198f3a2-7c1e-7b3d-9a4f-5566778899aa".parse().expect("an id");
        let short = Shape::Page(Tail::Short(0x7788_99aa));
        for path in [
            "memory/failures/2026/03/04/a-slug-778899aa.md",
            "memory/heuristics/git/2026/03/04/05/06/aa/a-slug-778899aa.md",
            "memory/verdicts/2026/03/04/validated-778899aa.md",
            "experiments/active/20260304-050607_a-slug-778899aa/hypothesis.md",
        ] {
            assert_eq!(of(path), short, "{path}");
        }
        let full = format!("memory/failures/2026/03/04/a-slug-{id}.md");
        assert_eq!(of(&full), Shape::Page(Tail::Full(id)));
        assert!(Tail::Full(id).is_of(id) && Tail::Short(0x7788_99aa).is_of(id) && !Tail::Short(1).is_of(id));
        assert_eq!(of(&format!("memory/retracted/aa/{id}.md")), Shape::State(id));
        for derived in [
            "experiments/active/x-778899aa/log.md",
            "experiments/active/x-778899aa/outcome.md",
            "memory/heuristics/git/README.md",
        ] {
            assert_eq!(of(derived), Shape::Derived, "{derived}");
        }
        for other in [
            "README.md",
            ".git/config",
            "memory/index.db",
            "memory/failures/../x-778899aa.md",
            "memory/failures/.git/x-778899aa.md",
            "memory/failures/x-778899aa.md/y-778899aa.md",
            "memory/failures/2026/03/04/a\u{fffd}-778899aa.md",
            "memory/failures/2026/03/04/a-slug-778899AA.md",
            "memory/failures/2026/03/04/a-slug.md",
            "memory/notes/a-778899aa.md",
            "experiments/active/hypothesis.md",
            "experiments/active/a/b-778899aa/hypothesis.md",
            "experiments/active/a-778899aa/notes.md",
            "memory/failures/1/2/3/4/5/6/7/8/a-778899aa.md",
            &format!("memory/retracted/ab/{id}.md"),
        ] {
            assert_eq!(of(other), Shape::Other, "{other}");
        }
    }
}
