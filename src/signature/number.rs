//! Times, sums, ids and amounts within a text. Each function looks at one chunk of it.

/// Units that an amount ends in.
const UNITS: [&str; 36] = [
    "%", "B", "b", "d", "G", "GB", "GiB", "h", "k", "K", "kB", "KB", "kb", "KiB", "M", "m", "MB", "MiB", "min", "ms",
    "ns", "px", "s", "sec", "secs", "T", "TB", "us", "µs", "x", "B/s", "kB/s", "KB/s", "MB/s", "MiB/s", "KiB/s",
];
/// Units that stand behind a number as a word.
const UNIT_WORDS: [&str; 20] = [
    "ms", "s", "sec", "secs", "second", "seconds", "minute", "minutes", "hours", "bytes", "byte", "B", "kB", "KB",
    "KiB", "MB", "MiB", "GB", "GiB", "µs",
];

/// From how many letters on a run of letters is a word.
const WORD_LETTERS_MIN: usize = 3;

/// The alphabet of the ends of names that Kubernetes makes.
const POD_LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

pub(super) fn is_unit(word: &str) -> bool {
    UNIT_WORDS.contains(&word)
}

/// Whether `chunk` is a number: digits with signs, points and colons among them, or a version.
pub(super) fn is_number(chunk: &str) -> bool {
    let digits = chunk.strip_prefix(['v', '#', '+', '-', '~']).unwrap_or(chunk);
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit() || b".:-+_%".contains(&byte));
    let is_word = chunk.starts_with('v') && !chunk.contains('.');
    digits.starts_with(|c: char| c.is_ascii_digit()) && is_digits && !is_word
}

/// Whether `chunk` is a number with a unit, or several: `12ms`, `1m30s`, `4KiB`.
pub(super) fn is_amount(chunk: &str) -> bool {
    let mut rest = chunk.strip_prefix(['+', '-', '~']).unwrap_or(chunk);
    let mut count = 0;
    while !rest.is_empty() {
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        if behind.len() == rest.len() || !UNITS.contains(&&behind[..unit]) {
            return false;
        }
        rest = &behind[unit..];
        count += 1;
    }
    count > 0
}

/// Whether `chunk` is an IPv4 address, with a port or without.
pub(super) fn is_ipv4(chunk: &str) -> bool {
    let host = chunk.split(':').next().unwrap_or(chunk);
    let mut parts = host.split('.');
    let is_part = |part: &str| !part.is_empty() && part.len() <= 3 && part.parse::<u8>().is_ok();
    parts.by_ref().take(4).filter(|part| is_part(part)).count() == 4 && host.split('.').count() == 4
}

/// Whether `chunk` is a clock: `10:19:29`, with a fraction or without.
pub(super) fn is_clock(chunk: &str) -> bool {
    let bytes = chunk.as_bytes();
    let begin = usize::from(bytes.get(1) == Some(&b':'));
    let pairs = |at: usize| {
        let two = bytes.get(at..at + 2);
        two.is_some_and(|two| two.iter().all(u8::is_ascii_digit))
    };
    let first = 2 - begin;
    bytes.len() >= first + 6
        && bytes[..first].iter().all(u8::is_ascii_digit)
        && (bytes[first], bytes[first + 3]) == (b':', b':')
        && pairs(first + 1)
        && pairs(first + 4)
        && bytes[first + 6..].iter().all(|byte| byte.is_ascii_digit() || b".,Z+:-".contains(byte))
}

/// The range of a date in `chunk`, with the time behind it.
pub(super) fn date(chunk: &str) -> Option<std::ops::Range<usize>> {
    let bytes = chunk.as_bytes();
    let is_date = |window: &[u8]| {
        let digits = [0, 1, 2, 3, 5, 6, 8, 9].iter().all(|at| window[*at].is_ascii_digit());
        digits && (window[4] == b'-' && window[7] == b'-' || window[4] == b'/' && window[7] == b'/')
    };
    let at = bytes.windows(10).position(is_date)?;
    if at > 0 && bytes[at - 1].is_ascii_digit() {
        return None;
    }
    let mut end = at + 10;
    let is_time = |byte: u8| byte.is_ascii_digit() || b":._,Z+T".contains(&byte);
    while end < bytes.len()
        && (is_time(bytes[end]) || bytes[end] == b'-' && bytes.get(end + 1).is_some_and(u8::is_ascii_digit))
    {
        end += 1;
    }
    // The dot before a file's ending does not belong to it.
    while end > at + 10 && bytes[end - 1] == b'.' {
        end -= 1;
    }
    Some(at..end)
}

/// Whether `chunk` is a UUID.
pub(super) fn is_uuid(chunk: &str) -> bool {
    let bytes = chunk.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether `chunk` is a number in hexadecimal that says so.
pub(super) fn is_marked_hex(chunk: &str) -> bool {
    let digits = chunk.strip_prefix("0x").or_else(|| chunk.strip_prefix("0X"));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether `part` is a sum, or another text that a machine has drawn.
pub(super) fn is_drawn(part: &str) -> bool {
    let bytes = part.as_bytes();
    let has = |test: fn(&u8) -> bool| bytes.iter().any(test);
    let is_hex = bytes.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        || bytes.iter().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte));
    let has_digit = has(u8::is_ascii_digit);
    let is_sum = bytes.len() >= 7 && is_hex && has_digit && has(u8::is_ascii_alphabetic);
    let is_all = bytes.iter().all(u8::is_ascii_alphanumeric);
    let changes = bytes.windows(2).filter(|it| it[0].is_ascii_digit() != it[1].is_ascii_digit()).count();
    let is_mixed = bytes.len() >= 16 && is_all && has_digit && changes >= 4;
    is_sum || is_mixed && has(u8::is_ascii_alphabetic) && !is_of_words(bytes)
}

/// Whether `bytes`, of letters and digits, are a name that is made of words, as `base64ToInt32Array` is: few digits in one case, and
/// else words for at least half of the letters.
fn is_of_words(bytes: &[u8]) -> bool {
    let count = |test: fn(&u8) -> bool| bytes.iter().filter(|byte| test(byte)).count();
    let letters = count(u8::is_ascii_alphabetic);
    if count(u8::is_ascii_lowercase) == 0 || count(u8::is_ascii_uppercase) == 0 {
        return (bytes.len() - letters) * 4 < bytes.len();
    }
    let mut of_words = 0;
    let mut word = 0;
    for (at, byte) in bytes.iter().enumerate() {
        word = if byte.is_ascii_lowercase() || word == 0 && byte.is_ascii_uppercase() {
            word + 1
        } else {
            usize::from(byte.is_ascii_uppercase())
        };
        let ends = bytes.get(at + 1).is_none_or(|next| !next.is_ascii_lowercase());
        of_words += if ends && word >= WORD_LETTERS_MIN { word } else { 0 };
        word = if ends { 0 } else { word };
    }
    of_words * 2 >= letters
}

/// Whether `part` is the end of the name of a pod.
pub(super) fn is_pod_end(part: &str) -> bool {
    part.len() == 5 && part.chars().all(|c| POD_LETTERS.contains(c))
}

/// Whether `text` looks drawn, as the names of temporary files are: a digit within it, or letters of both cases. Words that are
/// joined to `tmp` by a line begin with it.
fn looks_drawn(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has = |test: fn(&u8) -> bool| bytes.iter().any(test);
    let has_digit_within = bytes.windows(2).any(|it| it[0].is_ascii_digit() && !it[1].is_ascii_digit());
    let has_both_cases = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    !text.starts_with('_') && (has_digit_within || has_both_cases)
}

/// Whether `chunk` is an IPv6 address.
pub(super) fn is_ipv6(chunk: &str) -> bool {
    let is_of_it = chunk.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    is_of_it && chunk.contains("::") && chunk.bytes().any(|byte| byte.is_ascii_digit())
}

/// How much of `name` is the name of a temporary file: `tmpab12cd34`, `tmp.Xy12Ab34`, `ccAbCdEf.o`.
pub(super) fn temporary(name: &str) -> Option<usize> {
    let run =
        |from: usize| name[from..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let length = match name {
        _ if name.starts_with("tmp.") && run(4) >= 6 && looks_drawn(&name[4..4 + run(4)]) => 4 + run(4),
        _ if name.starts_with("tmp") && run(3) == 8 && looks_drawn(&name[3..11]) => 11,
        _ if name.starts_with("cc") && run(2) == 6 && is_of_compiler(&name[8..]) => 8,
        _ if name.starts_with("rustc") && run(5) == 6 => 11,
        _ => return None,
    };
    Some(length)
}

fn is_of_compiler(ending: &str) -> bool {
    [".o", ".s", ".c", ".ltrans", ".res", ".ld"].iter().any(|it| ending.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known() {
        for chunk in ["12", "-5", "+1.5", "1.2.3", "v1.2.3", "#123", "1:5", "12-14"] {
            assert!(is_number(chunk), "{chunk}");
        }
        for chunk in ["E0308", "v2", "x86_64", "u8", "", "-", "a1"] {
            assert!(!is_number(chunk), "{chunk}");
        }
        for chunk in ["12ms", "0.25s", "1m30s", "45%", "4KiB", "100KB/s", "3µs"] {
            assert!(is_amount(chunk), "{chunk}");
        }
        for chunk in ["12", "ms", "12apples", "2to3", ""] {
            assert!(!is_amount(chunk), "{chunk}");
        }
        assert!(
            is_ipv4("127.0.0.1:80")
                && is_ipv4("10.0.0.1")
                && !is_ipv4("1.2.3")
                && !is_ipv4("1.2.3.4.5")
                && !is_ipv4("1.2.3.400")
        );
        assert!(is_clock("10:19:29.832") && is_clock("9:01:02") && !is_clock("10:19") && !is_clock("10:19:2"));
        assert!(is_uuid("00000000-0000-4000-8000-00000000000a") && !is_uuid("0"));
        assert!(is_marked_hex("0xFf") && !is_marked_hex("0x") && !is_marked_hex("ff"));
        for part in ["8182f94260834439", "9f3c2a1", "9F3C2A1", "Xy12Ab34Cd56Ef78"] {
            assert!(is_drawn(part), "{part}");
        }
        for part in [
            "base64ToInt32Array",
            "float32ToFloat64Array",
            "convertUtf8ToUtf16Le",
            "convertutf8toutf16be2x",
            "1234567",
            "deadbeef",
            "9f3C2a1",
            "feedbac",
            "internationalization",
            "python311",
        ] {
            assert!(!is_drawn(part), "{part}");
        }
        assert_eq!(date("2026-11-29T10_19_29_832Z-debug-0.log"), Some(0..24));
        assert_eq!(date("app-2026-11-29.log"), Some(4..14));
        assert_eq!(date("12026-11-29"), None);
        assert_eq!(temporary("ccpI446Z.o"), Some(8));
        assert_eq!(temporary("tmpab12_d34.py"), Some(11));
        assert_eq!(temporary("tmp.Xy12Ab34Cd"), Some(14));
        assert_eq!((temporary("tmp_invoice"), temporary("tmp_order01"), temporary("tmp.invoice")), (None, None, None));
        assert!(is_ipv6("2001:db8::1") && is_ipv6("::1") && !is_ipv6("std::string") && !is_ipv6("10:19:29"));
        assert_eq!((temporary("tmpfile"), temporary("ccache01"), temporary("template")), (None, None, None));
    }
}
