//! Where a record's files lie.

use jiff::Timestamp;

use crate::intent::{Kind, Record, RecordId};

/// The longest slug, of a title or of a domain.
const SLUG_BYTES_MAX: usize = 60;

/// Where a record's own page lies, or an experiment's folder, for a record whose name ends in `tail`.
pub(super) fn of(record: &Record, created_at: Timestamp, tail: &str) -> String {
    let folder = record.kind().folder();
    let slug = slug(record.headline());
    let day = created_at.strftime("%Y/%m/%d");
    match record {
        Record::Failure(_) | Record::Success(_) | Record::Observation(_) => format!("{folder}/{day}/{slug}-{tail}.md"),
        Record::Heuristic(it) => format!("{folder}/{}/{day}/{slug}-{tail}.md", domain_slug(&it.domain)),
        Record::Experiment(_) => format!("{folder}/{}_{slug}-{tail}", created_at.strftime("%Y%m%d-%H%M%S")),
    }
}

/// `path`, of a file of the record `id`, with the full id in the place of its last 8 digits: for when another record's
/// file is already there. For an experiment that is in the folder's name, so all of its files move together. A path
/// that has the full id already, or is not one of this record's, comes back as it is.
pub fn with_full_id(path: &str, id: RecordId) -> String {
    let in_folder = path.strip_prefix(Kind::Experiment.folder()).is_some_and(|rest| rest.starts_with('/'));
    let end = if in_folder { path.rfind('/') } else { path.len().checked_sub(".md".len()) };
    let Some((name, rest)) = end.and_then(|end| path.split_at_checked(end)) else { return path.to_owned() };
    match name.strip_suffix(&format!("-{}", id.short())) {
        Some(stem) => format!("{stem}-{id}{rest}"),
        None => path.to_owned(),
    }
}

/// `text` as part of a file's name: ASCII letters and digits in lower case, one dash for every run of anything else.
fn slug(text: &str) -> String {
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
fn domain_slug(domain: &str) -> String {
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
    use crate::intent::{Experiment, Heuristic};

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
        let (id, at) = (RecordId::default(), Timestamp::UNIX_EPOCH);
        let long = "x".repeat(500);
        let text = String::new;
        let (hypothesis, success_criteria, failure_criteria) = (text(), text(), text());
        let experiment = Experiment { name: long.clone(), hypothesis, success_criteria, failure_criteria };
        let (explanation, source) = (text(), text());
        let heuristic = Heuristic { domain: long.clone(), rule: long, explanation, source, confidence: 0.5 };
        for record in [Record::Experiment(experiment), Record::Heuristic(heuristic)] {
            let folder = matches!(record, Record::Experiment(_));
            let path = of(&record, at, &id.short()) + if folder { "/hypothesis.md" } else { "" };
            for name in with_full_id(&path, id).split('/') {
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
