//! The messages of commits on lanes and on the trunk: what their trailers say. Pure.
//!
//! A message holds counts and ids, and nothing of a record. It comes from other homes: a trailer that does not parse is not there.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use git2::Oid;
use uuid::Uuid;

use crate::model::text::counted;
use crate::model::{HomeId, RecordId};

/// The format of lanes and trunk that this program writes. It reads no later one.
pub const FORMAT: u32 = 1;

const OF_FORMAT: &str = "Indelible-Format: ";
const OF_HOME: &str = "Indelible-Home: ";
const OF_LANE: &str = "Indelible-Lane: ";
const OF_GROUP: &str = "Indelible-Group: ";
const OF_MERGED: &str = "Indelible-Merged: ";
const OF_PURGED: &str = "Indelible-Purged: ";
const CLOSED: &str = "Indelible-Closed: true";
/// A forge that sees this last runs no checks.
const SKIP_CHECKS: &str = "skip-checks: true";

/// What the trailers of a commit say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers {
    /// The format; `None` if the commit is not from sync.
    pub format: Option<u32>,
    /// The home that made a lane's commit.
    pub home: Option<HomeId>,
    /// The lane.
    pub lane: Option<Uuid>,
    /// The group of homes that a trunk is of.
    pub group: Option<Uuid>,
    /// The tips that a commit of the trunk has merged.
    pub merged: Vec<(Uuid, Oid)>,
    /// The erased records that neither the trunk up to this commit nor what it merged has in any commit.
    pub purged: Vec<RecordId>,
    /// Whether nothing more comes on the lane.
    pub is_closed: bool,
}

/// Reads the trailers in the last paragraph of `message`.
pub fn parse(message: &[u8]) -> Trailers {
    let mut trailers = Trailers::default();
    let text = String::from_utf8_lossy(message);
    let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
    for line in last.lines() {
        let after = |name: &str| line.strip_prefix(name).map(str::trim);
        if let Some(value) = after(OF_FORMAT) {
            trailers.format = value.parse().ok();
        } else if let Some(value) = after(OF_HOME) {
            trailers.home = value.parse().ok();
        } else if let Some(value) = after(OF_LANE) {
            trailers.lane = value.parse().ok();
        } else if let Some(value) = after(OF_GROUP) {
            trailers.group = value.parse().ok();
        } else if let Some((lane, tip)) = after(OF_MERGED).and_then(|value| value.split_once(' ')) {
            trailers.merged.extend(lane.parse().ok().zip(Oid::from_str(tip.trim()).ok()));
        } else if let Some(value) = after(OF_PURGED) {
            trailers.purged.extend(value.parse::<RecordId>());
        } else if line.trim_end() == CLOSED {
            trailers.is_closed = true;
        }
    }
    trailers
}

/// What a commit of the trunk says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'m> {
    /// How many records it has that the trunk lacked, or had at an earlier revision.
    pub records: usize,
    /// The homes that they are from.
    pub homes: &'m BTreeSet<HomeId>,
    /// The group of homes.
    pub group: Uuid,
    /// The tips that it merges, by lane.
    pub merged: &'m [(Uuid, Oid)],
    /// The erased records that its history has no more.
    pub purged: &'m BTreeSet<RecordId>,
    /// Whether checks of the forge are to be skipped: the trunk is a branch.
    pub skips_checks: bool,
}

/// The message of a commit of the trunk.
pub fn of_merge(merge: &Merge<'_>) -> String {
    let records = counted(merge.records as u64, "record", "records");
    let hosts = counted(merge.homes.len() as u64, "host", "hosts");
    let subject = match merge.merged.is_empty() && !merge.purged.is_empty() {
        true => format!("Erase {}", counted(merge.purged.len() as u64, "record", "records")),
        false => format!("Merge {records} of {hosts}"),
    };
    let mut text = format!("{subject}\n\n{OF_FORMAT}{FORMAT}\n{OF_GROUP}{}\n", merge.group);
    for (lane, tip) in merge.merged {
        writeln!(text, "{OF_MERGED}{lane} {tip}").expect("writing to a string cannot fail");
    }
    for id in merge.purged {
        writeln!(text, "{OF_PURGED}{id}").expect("writing to a string cannot fail");
    }
    if merge.skips_checks {
        writeln!(text, "{SKIP_CHECKS}").expect("writing to a string cannot fail");
    }
    text
}

/// The commit `raw`, whose parents were rewritten, with the tips that its trailers name as `renamed` says.
pub fn with_tips(raw: &[u8], renamed: &HashMap<Oid, Oid>) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let tip =
            std::str::from_utf8(line).ok().and_then(|line| line.trim_end().strip_prefix(OF_MERGED)?.split_once(' '));
        let new = tip.and_then(|(lane, tip)| Some((lane, renamed.get(&Oid::from_str(tip).ok()?)?)));
        match new {
            Some((lane, new)) => out.extend_from_slice(format!("{OF_MERGED}{lane} {new}\n").as_bytes()),
            None => out.extend_from_slice(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_says_what_it_merged_and_nothing_else_is_believed() {
        let (lane, group) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let tip = Oid::from_bytes(&[9; 20]).expect("20 bytes are a name");
        let homes = BTreeSet::from([HomeId(Uuid::from_u128(1))]);
        let purged = BTreeSet::from([RecordId(Uuid::from_u128(5))]);
        let merge =
            Merge { records: 2, homes: &homes, group, merged: &[(lane, tip)], purged: &purged, skips_checks: true };
        let text = of_merge(&merge);
        let wanted = format!(
            "Merge 2 records of 1 host\n\nIndelible-Format: 1\nIndelible-Group: {group}\nIndelible-Merged: {lane} {tip}\n\
             Indelible-Purged: 00000000-0000-0000-0000-000000000005\nskip-checks: true\n"
        );
        assert_eq!(text, wanted);
        let trailers = parse(text.as_bytes());
        assert_eq!((trailers.format, trailers.group, trailers.merged), (Some(1), Some(group), vec![(lane, tip)]));
        assert_eq!(trailers.purged, [RecordId(Uuid::from_u128(5))]);
        let new = Oid::from_bytes(&[8; 20]).expect("20 bytes are a name");
        let renamed = with_tips(text.as_bytes(), &HashMap::from([(tip, new)]));
        assert_eq!(renamed, text.replace(&tip.to_string(), &new.to_string()).as_bytes());
        for odd in
            ["", "x", "Indelible-Format: x\nIndelible-Merged: 1 2\nIndelible-Group: \n", "Indelible-Format: 1\n\nx"]
        {
            assert_eq!(parse(odd.as_bytes()), Trailers::default(), "{odd:?}");
        }
        let closed = parse(b"Close\n\nIndelible-Format: 1\nIndelible-Closed: true\n");
        assert!(closed.is_closed && closed.format == Some(1));
    }
}
