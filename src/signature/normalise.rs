//! What differs between two occurrences of one failure is taken out of a line: folders, numbers, times, sums.

use super::{TEXT_CHARS_MAX, number, path};

/// How many of one sign in a row are kept.
const RUN_MAX: usize = 3;
/// How long is the checksum behind a text, with what stands before it, in characters.
const SUM_CHARS: usize = " #00000000".len();
/// How much of a line is normalised, in bytes.
const LINE_BYTES_MAX: usize = 2 << 10;

/// Words whose number says what failed. The number behind them stays.
const NUMBERED: [&str; 19] = [
    "port",
    "status",
    "code",
    "errno",
    "http",
    "exit",
    "error",
    "signal",
    "sqlstate",
    "statuscode",
    "exitcode",
    "fehler",
    "fehlercode",
    "errorcode",
    "host",
    "ポート",
    "コード",
    "端口",
    "状态",
];

/// Signs before the version that is required, without a space between.
const REQUIRED: [&str; 6] = [">=", "<=", "==", "~=", "!=", "^"];

/// The parts of a text, joined, at most [`TEXT_CHARS_MAX`] characters. Of a longer one the end is a checksum of the whole, so that it
/// differs where only the rest does.
pub(super) fn joined(parts: &[String]) -> String {
    let text = parts.join(" | ");
    if text.chars().nth(TEXT_CHARS_MAX).is_none() {
        return text;
    }
    let end = text.char_indices().nth(TEXT_CHARS_MAX - SUM_CHARS).map_or(text.len(), |(end, _)| end);
    format!("{} #{:08x}", text[..end].trim_end(), crc32c::crc32c(text.as_bytes()))
}

/// `text` without the checksum that [`joined`] has put at its end.
pub(super) fn without_sum(text: &str) -> &str {
    match text.rsplit_once(" #") {
        Some((before, sum)) if sum.len() == 8 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) => before,
        _ => text,
    }
}

/// `line` without what differs between two occurrences of one failure. `cwd` is the folder that the command ran in.
pub(super) fn normalised(line: &str, cwd: &str) -> String {
    let line = &line[..line.floor_char_boundary(LINE_BYTES_MAX)];
    let line = without_cwd(&with_one_quote(line), cwd);
    let line = without_folders_in_quotes(&line);
    let mut writer = Writer::default();
    writer.write(&line);
    let text = writer.out.trim_end_matches(['.', ' ', '。', '!', '．']).trim_start();
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text.to_owned(),
    }
}

/// Every kind of quote becomes `'`.
fn with_one_quote(line: &str) -> String {
    let one = |c: char| match c {
        '"' | '`' | '´' | '‘' | '’' | '‚' | '“' | '”' | '„' | '«' | '»' | '‹' | '›' | '「' | '」' | '『' | '』' => {
            '\''
        }
        c => c,
    };
    line.chars().map(one).collect()
}

/// `cwd` is taken off the paths beneath it, and is `<dir>` itself.
fn without_cwd(line: &str, cwd: &str) -> String {
    let cwd = cwd.trim_end_matches('/');
    if cwd.len() < 2 {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(cwd) {
        let behind = &rest[at + cwd.len()..];
        let goes_on = behind.starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c) && !is_stop(behind));
        out.push_str(&rest[..at]);
        match behind.strip_prefix('/') {
            _ if goes_on => out.push_str(cwd),
            Some(beneath) if beneath.starts_with(|c: char| !c.is_whitespace() && c != '\'') => {
                rest = beneath;
                continue;
            }
            _ => out.push_str("<dir>"),
        }
        rest = if goes_on { behind } else { behind.strip_prefix('/').unwrap_or(behind) };
    }
    out.push_str(rest);
    out
}

/// Whether `text` begins with a stop that ends a sentence.
fn is_stop(text: &str) -> bool {
    text.strip_prefix('.').is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\'']))
}

/// A path in quotes keeps its last part, also with spaces in it.
fn without_folders_in_quotes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\'') {
        let is_open = !rest[..at].ends_with(char::is_alphanumeric);
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let is_path = ["/", "./", "../", "~/"].iter().any(|begin| rest.starts_with(begin));
        let close = rest
            .char_indices()
            .find(|(at, c)| *c == '\'' && !rest[at + 1..].starts_with(|c: char| c.is_alphanumeric()));
        if let (true, true, Some((close, _))) = (is_open, is_path, close) {
            let last = path::last_part(&rest[..close]);
            out.push_str(if last.is_empty() { "/" } else { last });
            rest = &rest[close..];
        }
    }
    out.push_str(rest);
    out
}

/// Writes a line chunk by chunk.
#[derive(Default)]
struct Writer {
    out: String,
    /// The last word, in lower case.
    word: String,
    /// Whether the last chunk was a number, so that a unit can follow.
    is_number: bool,
}

fn is_of_chunk(c: char) -> bool {
    c.is_alphanumeric() || "_-./\\:@~+%#$".contains(c)
}

impl Writer {
    fn write(&mut self, line: &str) {
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            if rest.starts_with('<')
                && let Some(end) = placeholder(rest)
            {
                self.push(&rest[..end]);
                rest = &rest[end..];
            } else if is_of_chunk(c) {
                let mut end = rest.find(|c| !is_of_chunk(c)).unwrap_or(rest.len());
                if rest[..end].contains("://") {
                    end = rest.find(|c: char| c.is_whitespace() || "'()<>{}[],;|".contains(c)).unwrap_or(rest.len());
                }
                self.chunk(&rest[..end], &rest[end..]);
                rest = &rest[end..];
            } else if c.is_whitespace() {
                if !self.out.is_empty() && !self.out.ends_with(' ') {
                    self.out.push(' ');
                }
                rest = &rest[c.len_utf8()..];
            } else {
                // How long a line of signs is says nothing.
                if self.out.chars().rev().take_while(|it| *it == c).count() < RUN_MAX {
                    self.out.push(c);
                }
                self.is_number = false;
                rest = &rest[c.len_utf8()..];
            }
        }
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.is_number = false;
    }

    fn number(&mut self) {
        self.out.push_str("<n>");
        self.is_number = true;
    }

    fn chunk(&mut self, chunk: &str, behind: &str) {
        let core = chunk.trim_end_matches(['.', ':']);
        let end = &chunk[core.len()..];
        // `HTTP/1.1 404` and `404 Not Found`
        let is_of_unit = || behind.trim_start().split(' ').next().is_some_and(number::is_unit);
        let is_kept = NUMBERED.contains(&self.word.trim_start_matches('-'))
            || self.word.starts_with("http/")
            || REQUIRED.iter().filter_map(|sign| self.out.strip_suffix(sign)).any(|before| !before.is_empty());
        let is_status = core.len() == 3
            && core.starts_with(['4', '5'])
            && behind.strip_prefix(' ').is_some_and(|it| it.starts_with(|c: char| c.is_ascii_uppercase()));
        if core.contains("://") {
            self.push(&path::address(core));
        } else if number::is_unit(core) && self.is_number {
            // Only the amount differs.
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.is_number = false;
        } else if number::is_number(core) && (is_kept && !is_of_unit() || is_status)
            || number::is_ipv4(core)
            || number::is_ipv6(core)
        {
            self.push(core);
        } else if number::is_clock(core) {
            self.push("<time>");
        } else if number::is_marked_hex(core) {
            self.push(if is_kept { core } else { "<x>" });
        } else if let Some(date) = number::date(core) {
            self.push(&core[..date.start]);
            self.push("<time>");
            self.name(&core[date.end..]);
        } else if number::is_number(core) || number::is_amount(core) {
            self.number();
        } else {
            self.name(core);
        }
        let is_word = core.chars().any(char::is_alphabetic);
        let is_between = core == "number" && NUMBERED.contains(&self.word.as_str());
        if number::is_ipv4(core) {
            // A number behind it is a port: `('127.0.0.1', 8000)`.
            "host".clone_into(&mut self.word);
        } else if !is_between && (is_word || !end.contains(':')) {
            self.word = core.to_lowercase();
        }
        self.out.push_str(end);
    }

    /// A word, a path or the name of a file.
    fn name(&mut self, name: &str) {
        let in_port = name.split('/').next().filter(|first| name.len() > first.len() && path::ends_in_port(first));
        let name = in_port.or_else(|| path::without_folders(name)).unwrap_or(name);
        let name = path::without_place(name).unwrap_or(name);
        if number::is_uuid(name) {
            return self.push("<id>");
        }
        if number::is_number(name) || is_share(name) {
            return self.number();
        }
        let name = match number::temporary(name) {
            Some(length) => {
                self.push("<tmp>");
                &name[length..]
            }
            None => name,
        };
        self.is_number = false;
        let mut was_drawn = false;
        let mut before = 0;
        for part in name.split_inclusive(['-', '_', '.', ':', '@', '+', '/']) {
            let bare = part.trim_end_matches(['-', '_', '.', ':', '@', '+', '/']);
            let is_drawn =
                number::is_drawn(bare) || number::is_marked_hex(bare) || was_drawn && number::is_pod_end(bare);
            match is_drawn {
                _ if is_place(&name[..before], bare) => self.out.push_str(&format!("<n>{}", &part[bare.len()..])),
                true => self.out.push_str(&format!("<x>{}", &part[bare.len()..])),
                false => self.out.push_str(part),
            }
            was_drawn = is_drawn;
            before += part.len();
        }
    }
}

/// Whether `name` says how much of what: `7.5/10`.
fn is_share(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.split_once('/').is_some_and(|(part, whole)| is_number(part) && is_number(whole))
}

/// Whether `part`, behind `before`, is a line: in `a.rst:12:label` and in `l.12`.
fn is_place(before: &str, part: &str) -> bool {
    let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_behind_file = || before.strip_suffix(':').is_some_and(path::is_source_file);
    is_number && (before == "l." || is_behind_file())
}

/// Where the placeholder ends that `text` begins with.
fn placeholder(text: &str) -> Option<usize> {
    ["<dir>", "<n>", "<x>", "<time>", "<tmp>", "<id>"].iter().find(|it| text.starts_with(*it)).map(|it| it.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(line: &str, expected: &str) {
        assert_eq!(normalised(line, "/home/me/my project"), expected, "{line}");
    }

    #[test]
    fn what_differs_between_occurrences_is_taken_out() {
        for (line, expected) in [
            ("a “b” `c` ‘d’ „e“ \"f\"", "a 'b' 'c' 'd' 'e' 'f'"),
            ("in /home/me/my project: x", "in <dir>: x"),
            ("in /home/me/my project/a/b.c.", "in b.c"),
            ("in /home/me/my projects/a", "in my projects/a"),
            ("can't open file '/srv/other one/nosuch.py': x", "can't open file 'nosuch.py': x"),
            ("at 2026-11-29T10:19:29.832Z or 10:19:29, 0xdeadbeef", "at <time> or <time>, <x>"),
            ("id 00000000-0000-4000-8000-00000000000a done", "id <id> done"),
            ("took 12ms, 1.5 MB of 100 KiB, 45%", "took <n>, <n> of <n>, <n>"),
            ("commit 9f3c2a1 and 9F3C2A1D", "commit <x> and <x>"),
            ("get http://u:p@a.b:80/x?y=1 failed", "get http://a.b:80 failed"),
            ("/tmp/ccpI446Z.o: a.c:12:5: x", "<tmp>.o: a.c: x"),
            ("at /tmp/tmpab12cd34/x.py:3", "at x.py"),
            ("/tmp/tmpab12cd34 is full", "<tmp> is full"),
            ("deps/demo-8182f94260834439 and web-7d4b9c6f5d-x2x9z", "deps/demo-<x> and web-<x>-<x>"),
            ("line 12, column 3 of 1,234", "line <n>, column <n> of <n>,<n>"),
            ("  a \t b  ", "a b"),
            ("a.rst:12:label and l.12 of TaxTest.adds:12", "a.rst:<n>:label and l.<n> of TaxTest.adds"),
            ("rated 7.5/10, status 12 bytes ═════", "rated <n>, status <n> ═══"),
            ("stopped.  Stop.", "stopped. Stop"),
        ] {
            becomes(line, expected);
        }
    }

    #[test]
    fn what_says_what_failed_stays() {
        for line in [
            "port 5432 failed",
            "returned error: 500",
            "HTTP/1.1 404",
            "HTTP 503",
            "npm 404 Not Found",
            "status code: 404",
            "exit status 3",
            "[Errno 2] no",
            "localhost:8080 refused",
            "db.example.com:5432",
            "127.0.0.1 port 80",
            "error[E0308] and TS2345",
            "left-pad@99.0.0",
            "@a/core and @b/core",
            "git@host:a/b.git",
            "std::string has no lenx",
            "u8 and x86_64",
            "port=5432",
            "exit code 0xC0000005",
            "cannot bind --port=3000",
            "port number 3000 is taken",
            "('127.0.0.1', 8000)",
            "connect to 2001:db8::1",
            "not in '>=3.9'",
            "relation tmp_invoice",
        ] {
            becomes(line, line);
        }
    }

    #[test]
    fn a_text_is_300_characters_at_most() {
        assert_eq!(normalised(&"wörd ".repeat(1000), "/a").chars().count(), 299);
        let long = |end: &str| joined(&["é".repeat(200), "é".repeat(200) + end]);
        assert_eq!(long("a").chars().count(), 300);
        assert_ne!(long("a"), long("b"), "what is left out does not matter");
    }
}
