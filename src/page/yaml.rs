//! Front matter is written here, and only here: one `name: value` a line. Reading is left to a YAML library.

use std::fmt::Write as _;

use crate::model::text;

/// Front matter under construction.
#[derive(Default)]
pub(super) struct Front(String);

impl Front {
    /// A generated value (an id, a kind, a time, a number), which needs no quotes.
    pub(super) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name}: {value}").expect("writing to a string cannot fail");
    }

    /// Any string.
    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.0.push_str(name);
        self.0.push_str(": ");
        quote(&mut self.0, value);
        self.0.push('\n');
    }

    /// A list of strings.
    pub(super) fn list<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        self.0.push_str(name);
        self.0.push_str(": [");
        for (nth, value) in values.into_iter().enumerate() {
            self.0.push_str(if nth == 0 { "" } else { ", " });
            quote(&mut self.0, value);
        }
        self.0.push_str("]\n");
    }

    /// Its lines.
    pub(super) fn lines(&self) -> &str {
        &self.0
    }

    /// The whole of a file that is front matter alone.
    pub(super) fn alone(self) -> String {
        format!("---\n{}---\n", self.0)
    }

    /// The whole page: this front matter, a heading of one line, and a body that is shown as it is.
    pub(super) fn page(self, heading: &str, body: &str) -> String {
        let mut page = String::with_capacity(self.0.len() + heading.len() + body.len() + 16);
        page.push_str("---\n");
        page.push_str(&self.0);
        page.push_str("---\n\n# ");
        page.push_str(heading);
        page.push('\n');
        if !body.is_empty() {
            page.push('\n');
            page.push_str(body);
            page.push('\n');
        }
        page
    }
}

/// Appends `value` in YAML's double quotes, on one line.
fn quote(out: &mut String, value: &str) {
    out.reserve(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if !is_unseen(c) => out.push(c),
            c => escape(out, c as u32),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, code: u32) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02X}"),
        0x100..=0xffff => write!(out, "\\u{code:04X}"),
        _ => write!(out, "\\U{code:08X}"),
    };
    written.expect("writing to a string cannot fail");
}

/// Whether `c` would be invisible. The joiners and the variation selectors of the basic plane stay as they are: emoji
/// and whole scripts are spelt with them, and they change only their neighbours.
fn is_unseen(c: char) -> bool {
    // Most characters are ASCII, and repairs read most pages again and again.
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let noncharacter = (c as u32) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}');
    noncharacter
        || text::is_hidden(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(value: &str) -> String {
        let mut out = String::new();
        quote(&mut out, value);
        out
    }

    #[test]
    fn what_could_end_or_hide_a_string_is_escaped() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("\r\n\t\x1b\x7f\u{85}"), r#""\r\n\t\x1B\x7F\x85""#);
        assert_eq!(quoted("\u{2028}\u{202e}\u{feff}\u{ffff}"), r#""\u2028\u202E\uFEFF\uFFFF""#);
        assert_eq!(quoted("\u{1fffe}\u{e0041}"), r#""\U0001FFFE\U000E0041""#);
        assert_eq!(quoted("äöü 👩\u{200d}👧 ❤\u{fe0f}"), "\"äöü 👩\u{200d}👧 ❤\u{fe0f}\"");
    }
}
