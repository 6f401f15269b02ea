//! A domain's page: all of its heuristics, rendered.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::write::{heading, plain};
use crate::model::{RecordId, RecordPath};

/// The first line before the checksum.
const OPENING: &str =
    "<!-- indelible renders this page from its heuristics and sets edits by hand aside; edit their own files. crc32c:";
const CLOSING: &str = " -->";

/// One heuristic on its domain's page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageEntry {
    /// The record's id.
    pub id: RecordId,
    /// The rule, exactly.
    pub rule: String,
    /// The explanation, exactly; may be empty.
    pub explanation: String,
    /// Its source.
    pub source: String,
    /// 0 to 1.
    pub confidence: f64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its file, relative to the home.
    pub path: String,
}

/// Renders the page of the domain `title`, with `entries` in the order given.
///
/// The same arguments always give the same page. Each entry is one H2 heading that no other entry's text can swallow,
/// and there are no other H2 headings. The first line is a comment with a checksum of the rest, for [`is_unedited`].
pub fn domain_page(title: &str, entries: impl Iterator<Item = PageEntry>) -> String {
    let mut shown = String::new();
    let mut count = 0_usize;
    for entry in entries {
        count += 1;
        render(&mut shown, &entry);
    }
    let noun = if count == 1 { "heuristic" } else { "heuristics" };
    let top = format!("\n# Heuristics: {}\n\n{count} {noun}.\n", heading(title));
    let sum = crc32c::crc32c_append(crc32c::crc32c(top.as_bytes()), shown.as_bytes());
    format!("{OPENING}{sum:08x}{CLOSING}\n{top}{shown}")
}

/// Whether `page` is a domain's page exactly as it was rendered: unedited, and with the generated first line.
pub fn is_unedited(page: &str) -> bool {
    let Some((first, rest)) = page.split_once('\n') else { return false };
    let sum = first.strip_prefix(OPENING).and_then(|first| first.strip_suffix(CLOSING));
    sum.is_some_and(|sum| sum == format!("{:08x}", crc32c::crc32c(rest.as_bytes())))
}

/// Whether `page` is a domain's page that indelible rendered, edited by hand or not.
pub fn is_rendered(page: &[u8]) -> bool {
    page.starts_with(OPENING.as_bytes())
}

fn render(out: &mut String, entry: &PageEntry) {
    let created = entry.created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let fields = [
        format!("\n## H-{}: {}\n", entry.id.short(), heading(&entry.rule)),
        format!("- **Confidence**: {:?}", entry.confidence),
        format!("- **Source**: {}", plain(&entry.source)),
        format!("- **Created**: {created}"),
    ];
    for line in fields {
        out.push_str(&line);
        out.push('\n');
    }
    quote(out, &entry.explanation);
    out.push_str("\n[The record](");
    link(out, &entry.path);
    out.push_str(")\n");
}

/// Writes the text as a block quote that shows its lines and escapes all other markdown. Two spaces at the end of a
/// line keep the line break.
fn quote(out: &mut String, text: &str) {
    let text = text.trim_matches('\n');
    if text.trim().is_empty() {
        return;
    }
    out.push('\n');
    let mut lines = text.lines().map(|line| plain(&line.replace('\t', " "))).peekable();
    while let Some(line) = lines.next() {
        let more = lines.peek().is_some_and(|next| !next.is_empty());
        out.push_str(match line.is_empty() {
            true => ">",
            false => "> ",
        });
        out.push_str(&line);
        out.push_str(if more && !line.is_empty() { "  \n" } else { "\n" });
    }
}

/// Writes the path of the file at `path`, relative to its domain's page. Every byte that could break a link is escaped.
fn link(out: &mut String, path: &str) {
    let (up, path) = RecordPath(path).beneath_domain().map_or(("../../../", path), |rest| ("", rest));
    out.push_str(up);
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
}
