//! The lines of an output: the first and the last part of it, without colours, progress and what the host adds.

use std::borrow::Cow;

use super::{number, words};

/// How much of the beginning of an output is read, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// How much of its end is read, in bytes.
const TAIL_BYTES: usize = 192 << 10;
/// How much of a line is read, in bytes.
const LINE_BYTES_MAX: usize = 4 << 10;

/// What hosts put around an output: how a line of theirs begins.
const HOST_LINES: [&str; 11] = [
    "Exit code ",
    "Chunk ID",
    "Wall time",
    "Process exited with code",
    "Original token count",
    "Total output lines",
    "Exit Code: ",
    "Process Group PGID",
    "<untrusted_context>",
    "</untrusted_context>",
    // What this program has told an agent is no output of the command either.
    "indelible: ",
];

/// What a host puts before an output: on a line of its own, or before its first line.
const HOST_PREFIX: &str = "Output:";

/// The lines of an output.
pub(super) struct Cut<'o> {
    /// The lines that have something in them, cleaned. Spaces at their beginning are kept.
    pub(super) lines: Vec<Cow<'o, str>>,
    /// Whether a part of the output is missing.
    pub(super) is_cut: bool,
}

/// The parts of `output` that are read: all of it, or its beginning and its end.
pub(super) fn parts(output: &[u8]) -> Vec<Cow<'_, str>> {
    if output.len() <= HEAD_BYTES + TAIL_BYTES {
        return vec![text(output)];
    }
    let (head, tail) = (&output[..HEAD_BYTES], &output[output.len() - TAIL_BYTES..]);
    // A line that is not whole is dropped.
    let head = &head[..head.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)];
    let tail = &tail[tail.iter().position(|byte| *byte == b'\n').unwrap_or(0)..];
    vec![text(head), text(tail)]
}

/// `bytes` as text. Most are valid, and to see that takes a tenth of the time that mending takes.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The lines in `parts`. `was_cut` says that the host has left something out.
pub(super) fn cut<'o>(parts: &'o [Cow<'o, str>], was_cut: bool) -> Cut<'o> {
    let mut cut = Cut { lines: Vec::new(), is_cut: was_cut || parts.len() > 1 };
    // Most outputs have no such word: then no line is searched for it.
    let can_miss = parts.iter().any(|part| part.contains("truncated") || part.contains("omitted"));
    for line in parts.iter().flat_map(|part| part.split('\n')) {
        let Some(line) = shown(line) else { continue };
        if can_miss && says_that_a_part_is_missing(&line) {
            cut.is_cut = true;
        } else if !is_of_host(&line) && !is_progress(&line) {
            cut.lines.push(line);
        }
    }
    cut
}

/// What a terminal shows of a line in the end, without what stands before each line of a log or a box. Nothing if it is blank.
fn shown(line: &str) -> Option<Cow<'_, str>> {
    let is_blank = |part: &str| part.bytes().all(|byte| byte == b' ' || byte == b'\t');
    let line = line.strip_prefix(HOST_PREFIX).map_or(line, |rest| rest.strip_prefix(' ').unwrap_or(rest));
    let part = match memchr::memchr(b'\r', line.as_bytes()) {
        None => Some(clean(line)).filter(|part| !is_blank(part))?,
        Some(_) => line.rsplit('\r').map(clean).find(|part| !is_blank(part))?,
    };
    let skipped = prefix(&part);
    let line = match part {
        _ if skipped == 0 => part,
        Cow::Borrowed(part) => Cow::Borrowed(&part[skipped..]),
        Cow::Owned(part) => Cow::Owned(part[skipped..].to_owned()),
    };
    (!is_blank(&line)).then_some(line)
}

/// `part` without escape sequences and control characters.
fn clean(part: &str) -> Cow<'_, str> {
    let part = &part[..part.floor_char_boundary(LINE_BYTES_MAX)];
    // U+0080 to U+009F begin with the byte C2.
    let is_odd = |byte: u8| (byte < 0x20) & (byte != b'\t') | (byte == 0x7f) | (byte == 0xc2);
    if !part.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        return Cow::Borrowed(part);
    }
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_until_final(&mut chars),
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Skips what follows an ESC: a control sequence, a command for the system, or another sequence.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => skip_until_final(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{1b}' {
                    chars.next();
                }
                if matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}') {
                    return;
                }
            }
        }
        Some(' '..='/') => {
            let _ = chars.find(|c| !matches!(c, ' '..='/'));
        }
        _ => {}
    }
}

/// Skips the parameters of a control sequence, and the character that ends it.
fn skip_until_final(chars: &mut std::str::Chars<'_>) {
    let _ = chars.find(|c| matches!(c, '@'..='~'));
}

/// How long is what stands before the text of a line: the time of a log, the side of a box.
fn prefix(line: &str) -> usize {
    let time = time(line);
    let behind = &line[time..];
    match ["╷", "│", "╵"].iter().find_map(|side| behind.strip_prefix(side)) {
        Some(rest) => line.len() - rest.strip_prefix(' ').unwrap_or(rest).len(),
        None => time,
    }
}

/// How long is the time that the line begins with, with one space behind it: `2026-11-29T10:19:29Z `, `[10:19:29] `,
/// `[2026-11-29 10:19:29 +0000] `.
fn time(line: &str) -> usize {
    let mut at = 0;
    let mut has_clock = false;
    for _ in 0..3 {
        if !line[at..].starts_with(|c: char| c == '[' || c.is_ascii_digit() || has_clock && matches!(c, '+' | '-')) {
            break;
        }
        let token = line[at..].split(' ').next().unwrap_or_default();
        let bare = token.trim_start_matches('[').trim_end_matches([']', ':']);
        let is_date = number::date(bare).is_some_and(|date| date == (0..bare.len()));
        let offset = bare.strip_prefix(['+', '-']).filter(|_| has_clock);
        let is_zone = offset.is_some_and(|it| it.len() == 4 && it.bytes().all(|byte| byte.is_ascii_digit()));
        if !(is_date || number::is_clock(bare) || is_zone) {
            break;
        }
        has_clock |= bare.contains(':');
        at = (at + token.len() + 1).min(line.len());
    }
    if has_clock { at } else { 0 }
}

/// Whether a host says here that it has left something out. Such a line can be the rest of two that are not whole.
fn says_that_a_part_is_missing(line: &str) -> bool {
    (line.contains("truncated") || line.contains("omitted"))
        && (line.contains("...") || line.contains('…'))
        && ["lines", "characters", "chars", "tokens", "bytes", "output"].iter().any(|unit| line.contains(unit))
}

fn is_of_host(line: &str) -> bool {
    words::begins_with(line, &HOST_LINES)
}

/// Whether the line only says how far something is.
fn is_progress(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t']);
    let says_more = || line.contains("rror") || line.contains("ail") || line.contains("annot");
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    if first.starts_with(|c: char| c.is_ascii_uppercase()) && words::PROGRESS.contains(&first) {
        return !says_more() && line.len() > first.len();
    }
    let Some(percent) = line.find('%') else {
        // `[3/17] Building`
        let counted = line.strip_prefix(['[', '(']).and_then(|rest| rest.split([']', ')']).next());
        let is_count = |of: &str| of.contains('/') && of.bytes().all(|it| it.is_ascii_digit() || b"/ ".contains(&it));
        return counted.is_some_and(is_count) && !says_more() || is_meter(line) || line.starts_with("Dload ");
    };
    let has_number = percent > 0 && line.as_bytes()[percent - 1].is_ascii_digit();
    let is_bar = line.starts_with(|c: char| c.is_ascii_digit() || "[(#=|".contains(c)) || line.ends_with('%');
    has_number && is_bar && !says_more() || line.starts_with("% Total")
}

/// Whether the line is of the meter that curl shows.
fn is_meter(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit()) && line.contains("--:--:--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(output: &str) -> Vec<String> {
        let parts = parts(output.as_bytes());
        cut(&parts, false).lines.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_line_is_what_a_terminal_shows_in_the_end() {
        for (output, expected) in [
            ("a\r\nb\r\n", &["a", "b"][..]),
            ("10 %\r20 %\rdone\r", &["done"]),
            ("half\r\u{1b}[K", &["half"]),
            ("\u{1b}[1;31merror\u{1b}[0m: x", &["error: x"]),
            ("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{7} here", &["link here"]),
            ("\u{1b}(Ba\u{1b}=b\u{9b}31mc\u{0}d", &["abcd"]),
            ("\u{1b}[", &[]),
            ("│ Error: a\n╵", &["Error: a"]),
            ("2026-11-29T10:19:29.832Z error: x\n[10:19:29] error: y\n12:3 z", &["error: x", "error: y", "12:3 z"]),
            ("10:19:29 [Über] x\n12:00:01 [✓ok] y\n12:00:01 +0200 z", &["[Über] x", "[✓ok] y", "z"]),
            ("Exit code 1\nWall time: 3 s\nOutput:\n  a", &["  a"]),
            ("Output: a.c:3:5: error: x\nExit Code: 1\nProcess Group PGID: 7", &["a.c:3:5: error: x"]),
            ("   Compiling a v1.0\n[3/17] Building b\n 45% done\n[ 12%] x\nCompiling failed", &["Compiling failed"]),
        ] {
            assert_eq!(lines(output), expected, "{output:?}");
        }
    }

    #[test]
    fn a_part_that_is_missing_is_noticed() {
        let is_cut = |output: &[u8]| cut(&parts(output), false).is_cut;
        assert!(!is_cut(b"a\nb"));
        assert!(is_cut(b"a\n... [120 lines truncated] ...\nb"));
        assert!(is_cut("half…120 tokens truncated…of".as_bytes()));
        let long = "a line of 16 bytes\n".repeat(20_000);
        assert!(is_cut(long.as_bytes()));
        assert!(lines(&long).iter().all(|line| line == "a line of 16 bytes"), "a line that is not whole was kept");
    }
}
