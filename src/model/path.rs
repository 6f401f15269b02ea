//! Where a record's files lie, relative to the home, and what a path says of the file that lies there.
//!
//! ```text
//! memory/failures|successes|observations/YYYY/MM/DD/<slug>-<id8>.md
//! memory/heuristics/<domain>/YYYY/MM/DD/<slug>-<id8>.md      the domain's page: memory/heuristics/<domain>/README.md
//! memory/verdicts/YYYY/MM/DD/<verdict>-<id8>.md
//! experiments/active/<stamp>_<slug>-<id8>/{hypothesis,log,outcome}.md    the last when it has ended
//! memory/retracted/<last 2 digits of the id>/<id>.md         what became of a record that was retracted, restored or erased
//! ```
//!
//! `<id8>` is the end of the record's id. Where another record's file is in its place, the full id stands there.
//!
//! No folder of a day grows without bound: git writes a folder's whole tree for each commit. Below `DD` there can be
//! folders for the hour, below these for the minute, and below these for the id's last two digits. A record goes into the
//! deepest [`Level`] that is there when its path is decided; each form of path is as good as the others.

use std::borrow::Cow;

use jiff::Timestamp;

use super::layout::{self, DOMAIN_PAGE, EXPERIMENTS, HYPOTHESIS, LOG, OUTCOME, RETRACTED, ROOTS, split};
use super::{Kind, Record, RecordId};

/// The longest slug, of a title or of a domain.
const SLUG_BYTES_MAX: usize = 60;
/// The longest path of a record's file.
const PATH_BYTES_MAX: usize = 1024;

/// Where a record is: its page, or, for an experiment, its page or its folder. Every method takes either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPath<'p>(pub &'p str);

impl<'p> RecordPath<'p> {
    /// The record's own page.
    pub fn page(self) -> Cow<'p, str> {
        match self.experiment_folder() {
            Some(folder) if folder == self.0 => Cow::Owned(format!("{folder}/{HYPOTHESIS}")),
            _ => Cow::Borrowed(self.0),
        }
    }

    /// What answers "where is it": the page, or an experiment's folder.
    pub fn shown(self) -> &'p str {
        self.experiment_folder().unwrap_or(self.0)
    }

    /// An experiment's log.
    pub fn log(self) -> Option<String> {
        self.experiment_folder().map(|folder| format!("{folder}/{LOG}"))
    }

    /// The folder of the domain that a heuristic belongs to.
    pub fn domain_folder(self) -> Option<&'p str> {
        let (domain, _) = self.in_domain()?;
        self.0.get(..Kind::Heuristic.folder().len() + 1 + domain.len())
    }

    /// A heuristic's path as seen from its domain's page.
    pub fn beneath_domain(self) -> Option<&'p str> {
        self.in_domain().map(|(_, rest)| rest)
    }

    /// The page with the full `id` in the place of its last 8 digits: for when another record's file is already there.
    /// For an experiment that is in the folder's name, so all of its files move together. A path that has the full id
    /// already, or is not one of this record's, comes back as it is.
    pub fn with_full_id(self, id: RecordId) -> String {
        let end = match self.experiment_folder() {
            Some(folder) => Some(folder.len()),
            None => self.0.len().checked_sub(".md".len()),
        };
        let Some((name, rest)) = end.and_then(|end| self.0.split_at_checked(end)) else { return self.0.to_owned() };
        match name.strip_suffix(&format!("-{}", id.short())) {
            Some(stem) => format!("{stem}-{id}{rest}"),
            None => self.0.to_owned(),
        }
    }

    /// `experiments/active/<name>` of that itself and of everything in it.
    pub(super) fn experiment_folder(self) -> Option<&'p str> {
        let rest = self.0.strip_prefix(Kind::Experiment.folder())?.strip_prefix('/')?;
        let end = rest.find('/').unwrap_or(rest.len());
        self.0.get(..Kind::Experiment.folder().len() + 1 + end)
    }

    /// A heuristic's path as its domain's folder and the rest: year, month, day, what the day is spread over, and name.
    pub(super) fn in_domain(self) -> Option<(&'p str, &'p str)> {
        check_path(self.0).ok()?;
        let (domain, rest) = layout::split_first(self.0.strip_prefix(Kind::Heuristic.folder())?.strip_prefix('/')?)?;
        (4..4 + Level::ALL.len()).contains(&layout::parts(rest).count()).then_some((domain, rest))
    }
}

/// Whether `path` is where a domain's page is rendered to.
pub fn is_domain_page(path: &str) -> bool {
    split(path).1 == DOMAIN_PAGE && path.strip_prefix(Kind::Heuristic.folder()).is_some_and(|it| it.starts_with('/'))
}

/// Whether `path` is a file beside records' pages: an experiment's log or outcome, or a domain's page.
pub fn is_companion(path: &str) -> bool {
    let is_experiments = || layout::split_first(path).is_some_and(|(root, _)| root == EXPERIMENTS);
    is_domain_page(path) || [LOG, OUTCOME].contains(&split(path).1) && is_experiments()
}

/// The part of a page's path that ends in its record's id: an experiment's folder, or a page without `.md`.
pub fn up_to_id(page: &str) -> Option<&str> {
    match split(page) {
        (folder, HYPOTHESIS) => Some(folder),
        _ => page.strip_suffix(".md"),
    }
}

/// The log and the outcome beside the page of an experiment, wherever its owner keeps it; empty for any other page.
pub fn beside(page: &str) -> Vec<String> {
    let (folder, name) = split(page);
    let names = if name == HYPOTHESIS { &[LOG, OUTCOME][..] } else { &[] };
    names.iter().map(|name| layout::join(folder, name)).collect()
}

/// The outcome beside the page of an experiment, wherever its owner keeps it; `None` for any other page.
pub fn outcome_beside(page: &str) -> Option<String> {
    let (folder, name) = split(page);
    (name == HYPOTHESIS).then(|| layout::join(folder, OUTCOME))
}

/// The page of an experiment beside its log or its outcome, wherever its owner keeps it; `None` for any other file.
pub fn page_beside(companion: &str) -> Option<String> {
    let (folder, name) = split(companion);
    [LOG, OUTCOME].contains(&name).then(|| layout::join(folder, HYPOTHESIS))
}

/// The path of the state file of the record `id`.
pub fn state_file(id: RecordId) -> String {
    format!("{RETRACTED}/{:02x}/{id}.md", id.0.as_u128() as u8)
}

/// The record whose state file lies at `path`; `None` if no state file does.
pub fn of_state_file(path: &str) -> Option<RecordId> {
    let name = path.strip_prefix(RETRACTED)?.strip_prefix('/')?;
    let id = split(name).1.strip_suffix(".md")?.parse().ok()?;
    (state_file(id) == path).then_some(id)
}

/// Why a path cannot be a record's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path that a record can have beneath the home")]
pub struct BadPath {
    /// The path as it was given.
    pub path: String,
}

/// Checks that `path` stays beneath the home and in a record's place: relative, plain parts only, beneath one of the
/// [`ROOTS`], and no more than 1024 bytes.
///
/// # Errors
/// [`BadPath`] for anything else; a journal line from elsewhere is judged by this before it is applied.
pub fn check_path(path: &str) -> Result<(), BadPath> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0', ':']) && part.len() <= 255;
    let rooted = layout::split_first(path).is_some_and(|(root, _)| ROOTS.contains(&root));
    let fine = rooted && path.len() <= PATH_BYTES_MAX && path.ends_with(".md") && layout::parts(path).all(plain);
    fine.then_some(()).ok_or_else(|| BadPath { path: path.chars().take(200).collect() })
}

/// How far the records of a day are spread over folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of a day in one folder.
    #[default]
    Day,
    /// A folder for each hour.
    Hour,
    /// A folder for each minute.
    Minute,
    /// A folder for each of the 256 values of the ids' last two digits.
    Id,
}

impl Level {
    /// All of them, outermost first.
    pub const ALL: [Level; 4] = [Level::Day, Level::Hour, Level::Minute, Level::Id];

    /// The level within a folder of this one; `None` within the last.
    pub fn next(self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| *level > self)
    }

    /// The level of the records that lie in `folder`; `None` if `folder` is not one for records.
    pub fn of_folder(folder: &str) -> Option<Level> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| folder.strip_prefix(kind.folder()).is_some_and(|rest| rest.starts_with('/')))?;
        let mut parts = layout::parts(&folder[kind.folder().len() + 1..]);
        match kind {
            Kind::Experiment => return None,
            Kind::Heuristic => drop(parts.next()?),
            _ => {}
        }
        let date = parts.by_ref().take(3).map(|part| is_number(part).then_some(())).collect::<Option<Vec<_>>>()?;
        (date.len() == 3).then_some(())?;
        Level::ALL.into_iter().nth(parts.count())
    }

    /// The name of the folder of this level for a record of this time and id; none for a day, whose folder is its date.
    pub fn name(self, created_at: Timestamp, id: RecordId) -> Option<String> {
        match self {
            Level::Day => None,
            Level::Hour => Some(created_at.strftime("%H").to_string()),
            Level::Minute => Some(created_at.strftime("%M").to_string()),
            Level::Id => Some(format!("{:02x}", id.0.as_u128() as u8)),
        }
    }

    /// The names of all folders of this level.
    pub fn names(self) -> Vec<String> {
        match self {
            Level::Day => Vec::new(),
            Level::Hour => (0..24).map(|hour| format!("{hour:02}")).collect(),
            Level::Minute => (0..60).map(|minute| format!("{minute:02}")).collect(),
            Level::Id => (0..256).map(|digits| format!("{digits:02x}")).collect(),
        }
    }

    /// The part of a path between the day and the file's name, for a record that goes to this level: `14/05/`.
    pub(super) fn part(self, created_at: Timestamp, id: RecordId) -> String {
        let levels = Level::ALL.into_iter().filter(|level| *level <= self);
        levels.filter_map(|level| level.name(created_at, id)).map(|name| name + "/").collect()
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The folder of the day that a record of this time belongs to; `None` for an experiment, which has a folder of its own.
pub fn day_of(record: &Record, created_at: Timestamp) -> Option<String> {
    let folder = record.kind().folder();
    let day = created_at.strftime("%Y/%m/%d");
    match record {
        Record::Failure(_) | Record::Success(_) | Record::Observation(_) | Record::Verdict(_) => {
            Some(format!("{folder}/{day}"))
        }
        Record::Heuristic(it) => Some(format!("{folder}/{}/{day}", domain_slug(&it.domain))),
        Record::Experiment(_) => None,
    }
}

/// The paths of the files of `record`, its own page first, in the folders of `level`.
pub fn files_of(id: RecordId, record: &Record, created_at: Timestamp, level: Level) -> Vec<String> {
    let (slug, tail) = (slug(record.headline()), id.short());
    match day_of(record, created_at) {
        Some(day) => vec![format!("{day}/{}{slug}-{tail}.md", level.part(created_at, id))],
        None => {
            let folder = Kind::Experiment.folder();
            let path = format!("{folder}/{}_{slug}-{tail}", created_at.strftime("%Y%m%d-%H%M%S"));
            vec![format!("{path}/{HYPOTHESIS}"), format!("{path}/{LOG}")]
        }
    }
}

/// `text` as part of a file's name: ASCII letters and digits in lower case, one dash for every run of anything else.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(SLUG_BYTES_MAX);
    for c in text.chars() {
        let dash = !c.is_ascii_alphanumeric();
        if dash && (slug.is_empty() || slug.ends_with('-')) {
            continue;
        }
        if slug.len() == SLUG_BYTES_MAX {
            break;
        }
        slug.push(if dash { '-' } else { c.to_ascii_lowercase() });
    }
    slug.truncate(slug.trim_end_matches('-').len());
    if slug.is_empty() { "untitled".to_owned() } else { slug }
}

/// The name of a domain's folder: in lower case, dashes for spaces, nothing but letters, digits and dashes.
///
/// Where that loses something, or gives a name that some system reserves, six digits of the exact domain's checksum
/// follow, so that `C`, `C++` and `C#` have a folder each. A domain that itself ends like such a checksum gets one too,
/// so that `c-634e16` is not in the folder of `C++`.
pub(crate) fn domain_slug(domain: &str) -> String {
    let spelt = domain.to_ascii_lowercase().replace(' ', "-");
    let mut slug: String = spelt.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    slug.truncate(SLUG_BYTES_MAX);
    let slug = slug.trim_matches('-');
    if slug == spelt && !slug.is_empty() && !is_reserved(slug) && !ends_in_checksum(slug) {
        return spelt;
    }
    let stem = if slug.is_empty() { "domain" } else { slug };
    format!("{stem}-{:06x}", crc32c::crc32c(domain.as_bytes()) & 0xff_ffff)
}

/// Whether Windows takes a file of this name for a device.
fn is_reserved(slug: &str) -> bool {
    let numbered =
        |stem| slug.strip_prefix(stem).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit());
    matches!(slug, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

fn ends_in_checksum(slug: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    slug.rsplit_once('-').is_some_and(|(_, tail)| tail.len() == 6 && tail.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Experiment, Heuristic, Learning};

    fn id() -> RecordId {
        RecordId(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn a_day_is_spread_over_hours_minutes_and_ids() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().expect("a time");
        let id = RecordId(uuid::Uuid::from_u128(0x12_34ab));
        for record in [
            Record::Success(Learning { title: "t".into(), ..Learning::default() }),
            Record::Heuristic(Heuristic { domain: "git".into(), rule: "t".into(), ..Heuristic::default() }),
        ] {
            let day = day_of(&record, at).expect("it has one");
            let levels = [(Level::Day, ""), (Level::Hour, "05/"), (Level::Minute, "05/06/"), (Level::Id, "05/06/ab/")];
            for (level, part) in levels {
                let path = files_of(id, &record, at, level).remove(0);
                assert_eq!(path, format!("{day}/{part}t-001234ab.md"));
                assert_eq!(check_path(&path), Ok(()));
                assert_eq!(Level::of_folder(split(&path).0), Some(level), "{path}");
                assert_eq!(RecordPath(&path).domain_folder().is_some(), record.kind() == Kind::Heuristic);
                let name = level.name(at, id);
                assert!(name.is_none_or(|name| level.names().contains(&name)), "{level:?}");
            }
        }
        for folder in [
            "memory/failures",
            "memory/failures/2026/03",
            "memory/failures/x/03/04",
            "memory/x/2026/03/04",
            "experiments/active/2026/03/04",
            "memory/failures/2026/03/04/05/06/ab/x",
            "memory/heuristics/2026/03/04",
        ] {
            assert_eq!(Level::of_folder(folder), None, "{folder}");
        }
        assert_eq!(Level::Id.next(), None);
    }

    #[test]
    fn a_state_file_is_known_by_its_path() {
        let path = state_file(id());
        assert_eq!(path, "memory/retracted/07/00000000-0000-0000-0000-000000000007.md");
        assert_eq!((of_state_file(&path), check_path(&path)), (Some(id()), Ok(())));
        let others = [
            "memory/retracted/08/00000000-0000-0000-0000-000000000007.md",
            "memory/retracted/00000000-0000-0000-0000-000000000007.md",
            "memory/retracted/07/x.md",
            "memory/failures/07/00000000-0000-0000-0000-000000000007.md",
        ];
        for other in others {
            assert_eq!(of_state_file(other), None, "{other}");
        }
    }

    #[test]
    fn paths_that_leave_the_home_are_refused() {
        assert_eq!(check_path("memory/failures/2026/01/02/x-00000000.md"), Ok(()));
        let bad = [
            "",
            "/etc/x.md",
            "memory/../x.md",
            "memory//x.md",
            "memory/./x.md",
            ".indelible/x.md",
            "memory\\x.md",
            "memory/x",
            "memory/a\0.md",
            "memory",
            "memory/c:x.md",
            "memoryx/c.md",
        ];
        for path in bad {
            assert!(check_path(path).is_err(), "{path:?} was let through");
        }
    }

    #[test]
    fn an_experiment_is_known_by_its_folder_and_by_its_page() {
        let folder = "experiments/active/20260102-030405_x-00000007";
        let experiment = Record::Experiment(Experiment::default());
        let files = files_of(id(), &experiment, Timestamp::UNIX_EPOCH, Level::Hour);
        assert_eq!(RecordPath(&files[0]).log().as_ref(), files.get(1));
        for path in [folder, &format!("{folder}/hypothesis.md")] {
            let path = RecordPath(path);
            assert_eq!((path.shown(), path.page().as_ref()), (folder, &*format!("{folder}/hypothesis.md")));
            assert_eq!(path.domain_folder(), None);
        }
        assert!(is_companion(&format!("{folder}/log.md")) && !is_companion(&format!("{folder}/hypothesis.md")));
    }

    #[test]
    fn a_heuristic_belongs_to_its_domains_folder() {
        let record = Record::Heuristic(Heuristic { domain: "git".into(), rule: "r".into(), ..Heuristic::default() });
        let files = files_of(id(), &record, Timestamp::UNIX_EPOCH, Level::Day);
        let path = RecordPath(&files[0]);
        assert_eq!(path.domain_folder(), Some("memory/heuristics/git"));
        assert_eq!(path.beneath_domain(), Some("1970/01/01/r-00000007.md"));
        assert_eq!((path.shown(), path.page().as_ref(), path.log()), (&*files[0], &*files[0], None));
        for elsewhere in
            ["memory/heuristics/git.md", "memory/heuristics/git/README.md", "memory/failures/2026/01/02/x.md"]
        {
            assert_eq!(RecordPath(elsewhere).domain_folder(), None, "{elsewhere}");
        }
        assert!(is_domain_page("memory/heuristics/git/README.md") && !is_domain_page("memory/heuristicsx/README.md"));
    }

    #[test]
    fn a_slug_is_plain_and_short() {
        assert_eq!(slug("  Hello,   World! 42"), "hello-world-42");
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("--rf"), "rf");
        assert_eq!(slug("日本語"), "untitled");
        assert_eq!(slug(""), "untitled");
        assert_eq!(slug("Größe"), "gr-e");
        assert_eq!(slug(&"é".repeat(500)), "untitled");
        assert_eq!(slug(&"ab ".repeat(500)).len(), 59, "a cut slug does not end in a dash");
        assert_eq!(slug(&"x".repeat(500)).len(), SLUG_BYTES_MAX);
    }

    #[test]
    fn every_name_fits_where_names_are_short() {
        // eCryptfs takes 143 bytes. What is set aside or parked gets a few more.
        const BYTES_MAX: usize = 143 - 20;
        let long = "x".repeat(500);
        let (id, at) = (RecordId(uuid::Uuid::from_u128(u128::MAX)), Timestamp::UNIX_EPOCH);
        let experiment = Experiment { name: long.clone(), ..Experiment::default() };
        let heuristic = Heuristic { domain: long.clone(), rule: long, ..Heuristic::default() };
        for record in [Record::Experiment(experiment), Record::Heuristic(heuristic)] {
            let path = files_of(id, &record, at, Level::Id).remove(0);
            for name in layout::parts(&RecordPath(&path).with_full_id(id)) {
                assert!(name.len() <= BYTES_MAX, "{name} has {} bytes", name.len());
            }
        }
    }

    #[test]
    fn a_domain_that_loses_nothing_keeps_its_name() {
        assert_eq!(domain_slug("rust"), "rust");
        assert_eq!(domain_slug("Error Handling"), "error-handling");
        assert_eq!(domain_slug("a  b"), "a--b");
    }

    #[test]
    fn domains_that_differ_have_folders_that_differ() {
        let domains =
            ["C", "C++", "C#", "c/", "", " ", "-c", "c-", "日本", "日本語", "con", "con.", "..", "../c", "com1"];
        let long = ["x".repeat(60), "x".repeat(61), "x".repeat(62)];
        let mut folders: Vec<_> = domains.into_iter().chain(long.iter().map(String::as_str)).map(domain_slug).collect();
        let spelt_alike = domain_slug(&domain_slug("C++"));
        assert_ne!(spelt_alike, domain_slug("C++"));
        folders.sort();
        let all = folders.len();
        folders.dedup();
        assert_eq!(folders.len(), all, "{folders:?}");
        for folder in folders {
            assert!(!is_reserved(&folder) && !folder.starts_with(['-', '.']) && folder.len() <= 67, "{folder}");
        }
    }

    #[test]
    fn reserved_names_are_known() {
        for name in ["con", "nul", "aux", "prn", "com0", "com9", "lpt1"] {
            assert!(is_reserved(name), "{name}");
            assert_ne!(domain_slug(name), name);
        }
        for name in ["com", "com10", "console", "lpt"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
