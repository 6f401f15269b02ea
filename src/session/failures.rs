//! How often a failure came again in a session after its agent was told of it.
//!
//! What an agent is told at a failure stands in the log right behind that failure. So a told failure is known by the signature of the
//! failure that was opened before it, and it came again if one of the same signature was opened later in the same log.

use jiff::{SignedDuration, Timestamp};

use super::entry::{self, Entry};
use super::{READ_BYTES_MAX, is_name};
use crate::fs;
use crate::home::Home;
use crate::model::layout::SESSIONS;

/// What the keys of told failures begin with.
const KEY: &str = "failure ";
/// How long after a failure was opened its agent is told of it, at most.
const TOLD_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// How often agents were told of failures, and what became of them in the same session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToldFailures {
    /// How often an agent was told what is known of its failure.
    pub told: u64,
    /// How many of these failures came again in the same session.
    pub again: u64,
}

/// What the logs of `home` say of failures that agents were told of at `since` or later. Logs are kept for [`super::KEEP`].
///
/// # Errors
/// [`fs::Error`] if the folder of the logs cannot be listed. A log that cannot be read is skipped.
pub fn told_failures(home: &Home, since: Timestamp) -> Result<ToldFailures, fs::Error> {
    let folder = match home.private().folder(SESSIONS) {
        Err(error) if error.is_not_found() => return Ok(ToldFailures::default()),
        folder => folder?,
    };
    let mut found = ToldFailures::default();
    for name in folder.names()?.into_iter().filter(|name| is_name(name)) {
        if let Ok(Some(content)) = folder.content(&name, READ_BYTES_MAX) {
            of_log(&content, since, &mut found);
        }
    }
    Ok(found)
}

fn of_log(content: &[u8], since: Timestamp, found: &mut ToldFailures) {
    let mut opened: Option<(Timestamp, String)> = None;
    let mut told: Vec<(String, bool)> = Vec::new();
    for noted in entry::failures_in(content) {
        match noted.entry {
            Entry::Opened(it) => {
                for (signature, came) in &mut told {
                    *came |= !signature.is_empty() && *signature == it.signature;
                }
                opened = Some((noted.at, it.signature));
            }
            Entry::Told(it) if it.key.starts_with(KEY) && noted.at >= since => {
                let signature = opened.as_ref().filter(|(at, _)| noted.at.duration_since(*at) <= TOLD_WITHIN);
                told.push((signature.map(|(_, signature)| signature.clone()).unwrap_or_default(), false));
            }
            _ => {}
        }
    }
    found.told += told.len() as u64;
    found.again += told.iter().filter(|(_, came)| *came).count() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RecordId;
    use crate::session::{Noted, Opened, Told};

    fn log(entries: &[(i64, Entry)]) -> Vec<u8> {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        entries
            .iter()
            .flat_map(|(second, entry)| Noted { at: at(*second), entry: entry.clone() }.line().into_bytes())
            .collect()
    }

    fn opened(signature: &str) -> Entry {
        Entry::Opened(Opened {
            failure: RecordId(uuid::Uuid::from_u128(7)),
            again_of: None,
            command: "cargo test".into(),
            folder: "/x".into(),
            root: String::new(),
            branch: String::new(),
            signature: signature.into(),
            prompt: String::new(),
        })
    }

    fn told(key: &str) -> Entry {
        Entry::Told(Told { key: key.into() })
    }

    #[test]
    fn a_told_failure_came_again_if_its_signature_did() {
        let of = |entries: &[(i64, Entry)], since: i64| {
            let mut found = ToldFailures::default();
            of_log(&log(entries), Timestamp::from_second(since).expect("a time"), &mut found);
            (found.told, found.again)
        };
        let entries = [
            (1, opened("a")),
            (1, told("failure 1")),
            (5, told("pack:x")),
            (9, opened("b")),
            (9, told("failure 2")),
            (20, opened("a")),
            (21, opened("a")),
        ];
        assert_eq!(of(&entries, 0), (2, 1));
        assert_eq!(of(&entries[..5], 0), (2, 0));
        assert_eq!(of(&entries, 5), (1, 0), "only what was told since then");
        // Nothing was opened for it: it is not known whether it came again.
        assert_eq!(of(&[(1, opened("a")), (60, told("failure 1")), (70, opened("a"))], 0), (1, 0));
        assert_eq!(of(&[(1, opened("")), (1, told("failure 1")), (2, opened(""))], 0), (1, 0));
    }
}
