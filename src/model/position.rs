//! A place in the journal, as a commit's trailer carries it. No I/O.
//!
//! A position names the segment by its random id, the offset at which an entry ends, and that entry's checksum. If the bytes do
//! not match all three, the position is void. So no entry of a journal that was truncated, deleted, restored or copied can
//! pass for committed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The random id in a segment's header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentId(pub Uuid);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The end of one entry of the journal, or of a segment's header.
///
/// Displayed, parsed and serialised as `<segment id>:<offset>:<checksum>`, the offset in decimal and the checksum as
/// eight hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The segment's id.
    pub segment: SegmentId,
    /// Bytes from the segment's start to the end of the entry, its newline included.
    pub offset: u64,
    /// The entry's CRC-32C; 0 where the position is the end of a header.
    pub checksum: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{:08x}", self.segment, self.offset, self.checksum)
    }
}

/// A text that is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a journal position (segment:offset:checksum): {0:?}")]
pub struct ParsePositionError(String);

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.split(':');
            let (segment, offset, checksum) = (parts.next()?, parts.next()?, parts.next()?);
            let whole = parts.next().is_none() && checksum.len() == 8;
            whole.then_some(())?;
            Some(Position {
                segment: SegmentId(Uuid::try_parse(segment).ok()?),
                offset: offset.parse().ok()?,
                checksum: u32::from_str_radix(checksum, 16).ok()?,
            })
        };
        parse().ok_or_else(|| ParsePositionError(text.chars().take(80).collect()))
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let position = Position { segment: SegmentId(Uuid::from_u128(7)), offset: 8_388_608, checksum: 0x00ab_cdef };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn anything_else_is_refused() {
        let id = Uuid::nil();
        for text in
            ["", "x:1:00000000", &format!("{id}:1:0"), &format!("{id}:-1:00000000"), &format!("{id}:1:00000000:")]
        {
            assert!(text.parse::<Position>().is_err(), "{text:?} was taken for a position");
        }
    }
}
