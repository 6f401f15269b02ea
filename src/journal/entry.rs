//! One entry to bytes and back. Pure.
//!
//! ```text
//! "\n" checksum " " length " " json "\n"
//! ```
//!
//! - `checksum`: eight lower-case hex digits, the CRC-32C (Castagnoli, as in RFC 3720, appendix B.4) of everything from
//!   the first digit of `length` to the last byte of `json`; or `--------` in an entry that was voided.
//! - `length`: the bytes of `json`, in decimal, without leading zeros.
//! - `json`: one JSON object in UTF-8 without a line feed.
//!
//! The leading line feed ends anything that a dead writer left before it. So a line is one whole entry or part of one,
//! never parts of two.
//!
//! A power cut can leave zeros in place of unsynced bytes if the file system kept the new size. The zeros follow
//! everything that was synced, so they end a line, and there they count as not written. A line of zeros alone is torn.
//! An entry before zeros is whole, although its line feed may be missing. If a disk zeroes synced bytes, what follows
//! the zeros is hardly ever the start of a line, and that is damage.

/// The largest entry, everything included: 32 MiB.
pub const ENTRY_BYTES_MAX: usize = 32 << 20;

/// Replaces the checksum of an entry whose writer could not sync it.
pub(super) const VOID: &[u8; 8] = b"--------";

/// Encodes `json` as an entry.
pub fn encode(json: &[u8]) -> Vec<u8> {
    debug_assert!(!json.contains(&b'\n'), "an entry is one line");
    let length = json.len().to_string();
    let checksum = checksum_of(&length, json);
    let mut entry = Vec::with_capacity(json.len() + length.len() + 12);
    entry.extend_from_slice(format!("\n{checksum:08x} {length} ").as_bytes());
    entry.extend_from_slice(json);
    entry.push(b'\n');
    entry
}

fn checksum_of(length: &str, json: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(length.as_bytes()), b" "), json)
}

/// The meaning of one line of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Empty: the line feed before an entry.
    Blank,
    /// A whole entry whose checksum matches.
    Whole {
        /// Its JSON.
        json: &'a [u8],
        /// Its checksum.
        checksum: u32,
    },
    /// An entry that its own writer voided.
    Voided,
    /// The start of an entry, or the zeros that a power cut left of one: its writer died.
    Torn,
    /// Neither an entry nor the start of one.
    Damaged(&'static str),
}

impl<'a> Line<'a> {
    /// Parses `line`, without its line feed.
    pub fn of(line: &'a [u8]) -> Line<'a> {
        let kept = without_zeros(line);
        match line.len() - kept.len() {
            _ if line.is_empty() => Line::Blank,
            0 => Line::of_text(line),
            _ if kept.is_empty() => Line::Torn,
            _ => match Line::of_text(kept) {
                Line::Damaged(_) => Line::Damaged("zeros end it"),
                kept => kept,
            },
        }
    }

    fn of_text(line: &'a [u8]) -> Line<'a> {
        let Some((checksum, rest)) = line.split_at_checked(8) else { return beginning(line, is_checksum) };
        if !is_checksum(checksum) {
            return Line::Damaged("it does not begin with a checksum");
        }
        let Some(rest) = rest.strip_prefix(b" ") else { return beginning(rest, |_| false) };
        let Some(space) = rest.iter().position(|byte| *byte == b' ') else { return beginning(rest, is_length) };
        let (length, json) = (&rest[..space], &rest[space + 1..]);
        let Some(bytes) = parse_length(length) else { return Line::Damaged("it has no length") };
        match json.len() {
            // A dead writer leaves the start of an object, never all of one.
            shorter if shorter < bytes && is_complete(json) => {
                Line::Damaged("it is shorter than its length, and whole")
            }
            shorter if shorter < bytes => Line::Torn,
            longer if longer > bytes => Line::Damaged("it is longer than its length"),
            _ if checksum == VOID => Line::Voided,
            _ => whole(checksum, &rest[..=space + bytes], json),
        }
    }
}

/// `line` without its trailing zeros.
fn without_zeros(line: &[u8]) -> &[u8] {
    let zeros = line.iter().rev().take_while(|byte| **byte == 0).count();
    &line[..line.len() - zeros]
}

fn whole<'a>(checksum: &[u8], summed: &[u8], json: &'a [u8]) -> Line<'a> {
    let expected = std::str::from_utf8(checksum).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    match expected {
        Some(checksum) if checksum == crc32c::crc32c(summed) => Line::Whole { json, checksum },
        _ => Line::Damaged("its checksum does not bear it out"),
    }
}

fn is_complete(json: &[u8]) -> bool {
    json.ends_with(b"}") && serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok()
}

/// Classifies a line that ends where an entry would go on: torn if its bytes could be an entry's.
fn beginning(end: &[u8], fits: impl Fn(&[u8]) -> bool) -> Line<'static> {
    match end.is_empty() || fits(end) {
        true => Line::Torn,
        false => Line::Damaged("it is not the beginning of an entry"),
    }
}

fn is_checksum(text: &[u8]) -> bool {
    let digits = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits || text.iter().all(|byte| *byte == b'-')
}

fn is_length(text: &[u8]) -> bool {
    parse_length(text).is_some()
}

fn parse_length(text: &[u8]) -> Option<usize> {
    let plain = text.len() <= 8 && text.iter().all(u8::is_ascii_digit) && !text.starts_with(b"0");
    let length = plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()?;
    (length <= ENTRY_BYTES_MAX).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(entry: &[u8]) -> &[u8] {
        &entry[1..entry.len() - 1]
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        assert_eq!(encode(b"{}"), b"\nf01f919c 2 {}\n", "docs/journal-format.md shows this entry");
    }

    #[test]
    fn every_beginning_of_an_entry_is_torn() {
        let entry = encode(br#"{"id":"x","title":"a b"}"#);
        let line = line(&entry);
        for end in 1..line.len() {
            assert_eq!(Line::of(&line[..end]), Line::Torn, "cut after {end} bytes");
            let zeros = [&line[..end], &b"\0".repeat(line.len())].concat();
            assert_eq!(Line::of(&zeros), Line::Torn, "zeros from byte {end} on");
        }
    }

    #[test]
    fn zeros_alone_are_what_a_power_cut_left() {
        assert_eq!(Line::of(b"\0"), Line::Torn);
        assert_eq!(Line::of(&[0; 9000]), Line::Torn);
    }

    #[test]
    fn zeros_behind_a_whole_entry_take_nothing_from_it() {
        let json = br#"{"id":"x"}"#;
        let mut entry = encode(json);
        let zeros = |entry: &[u8]| [line(entry), &[0; 600]].concat();
        assert!(matches!(Line::of(&zeros(&entry)), Line::Whole { json: it, .. } if it == json));
        entry[1..9].copy_from_slice(VOID);
        assert_eq!(Line::of(&zeros(&entry)), Line::Voided);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let entry = encode(br#"{"id":"x","title":"a b"}"#);
        let clean = line(&entry);
        for bit in 0..clean.len() * 8 {
            let mut flipped = clean.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(Line::of(&flipped), Line::Whole { .. }), "bit {bit} was flipped unseen");
        }
    }

    #[test]
    fn a_voided_entry_is_not_damage() {
        let mut entry = encode(b"{}");
        entry[1..9].copy_from_slice(VOID);
        assert_eq!(Line::of(line(&entry)), Line::Voided);
    }

    #[test]
    fn what_no_writer_writes_is_damage() {
        let zeros = ["\0x", "\x000000000 2 {}", "0000\x0000 2 {}\0", "00000000 2 {}\0", "f01f919c 2 {}\0x"];
        let others = ["x", "ZZZZZZZZ 2 {}", "00000000 2 {}x", "00000000 02 {}", "00000000  {}", "00000000x"];
        for text in zeros.iter().chain(&others) {
            assert!(matches!(Line::of(text.as_bytes()), Line::Damaged(_)), "{text:?}: {:?}", Line::of(text.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn an_entry_survives_its_bytes(json in "[^\n]*[^\n\\x00]") {
            let entry = encode(json.as_bytes());
            let checksum = crc32c::crc32c(format!("{} {json}", json.len()).as_bytes());
            prop_assert_eq!(Line::of(line(&entry)), Line::Whole { json: json.as_bytes(), checksum });
        }

        #[test]
        fn no_bytes_are_too_odd_to_judge(bytes in any::<Vec<u8>>()) {
            let _ = Line::of(&bytes);
        }
    }
}
