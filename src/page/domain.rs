//! A domain's page: all of its heuristics, rendered.
//!
//! Golden rules come first, then the surer ones, then what is doubtful, dormant or retired. Rules that are the same one
//! (`rules::equal`) are one section, of the first of them. Ages are counted from the newest record of the page, so the same
//! records always give the same page.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::write::{heading, plain};
use crate::model::text::counted;
use crate::model::{RecordId, RecordPath};
use crate::rules::{self, Given, Rule, Standing, State};

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
    /// How sure it was when it was recorded: 0 to 1.
    pub confidence: f64,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Its file, relative to the home.
    pub path: String,
    /// The verdicts on it.
    pub given: Vec<Given>,
    /// How often other programs say that it was validated, beyond these.
    pub validated_elsewhere: u64,
    /// How often other programs say that it was violated, beyond these.
    pub violated_elsewhere: u64,
}

/// The rules that are one, on their domain's page.
struct Section {
    /// The first of them, with the verdicts on all of them.
    entry: PageEntry,
    /// The files of the others.
    others: Vec<String>,
}

impl Section {
    fn standing(&self, newest: Timestamp) -> Standing {
        let PageEntry { confidence, created_at, given, validated_elsewhere, violated_elsewhere, .. } = &self.entry;
        rules::standing(&Rule {
            stated: *confidence,
            created_at: *created_at,
            given,
            validated_elsewhere: *validated_elsewhere,
            violated_elsewhere: *violated_elsewhere,
            newest,
        })
    }
}

/// Renders the page of the domain `title`, with `entries`.
///
/// The same arguments always give the same page. Each rule is one H2 heading that no other rule's text can swallow, and
/// there are no other H2 headings. The first line is a comment with a checksum of the rest, for [`is_unedited`].
pub fn domain_page(title: &str, entries: impl Iterator<Item = PageEntry>) -> String {
    let sections = sections(entries);
    let times = sections.iter().flat_map(|it| it.entry.given.iter().map(|it| it.at).chain([it.entry.created_at]));
    let newest = times.max().unwrap_or_default();
    let mut judged: Vec<(Standing, Section)> = sections.into_iter().map(|it| (it.standing(newest), it)).collect();
    judged.sort_by(|(one, _), (other, _)| order(one, other));
    let count = judged.len();
    let mut shown = String::new();
    for (standing, section) in &judged {
        render(&mut shown, standing, section);
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

/// `entries`, those that are the same rule joined to the one with the smallest id, in the order of the first.
fn sections(entries: impl Iterator<Item = PageEntry>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut by_form: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let at = *by_form.entry(rules::equal_form(&entry.rule)).or_insert(sections.len());
        match sections.get_mut(at) {
            None => sections.push(Section { entry, others: Vec::new() }),
            Some(section) => {
                let (mut first, mut other) = (section.entry.clone(), entry);
                if other.id < first.id {
                    std::mem::swap(&mut first, &mut other);
                }
                section.others.push(other.path);
                first.given.append(&mut other.given);
                first.validated_elsewhere += other.validated_elsewhere;
                first.violated_elsewhere += other.violated_elsewhere;
                section.entry = first;
            }
        }
    }
    sections
}

/// Golden rules first, then those that count, the surer ones first.
fn order(one: &Standing, other: &Standing) -> Ordering {
    let rank = |standing: &Standing| match standing.state {
        State::Golden => 0,
        State::Active => 1,
        State::Doubtful => 2,
        State::Dormant => 3,
        State::Retired => 4,
    };
    rank(one).cmp(&rank(other)).then_with(|| other.confidence.total_cmp(&one.confidence))
}

fn render(out: &mut String, standing: &Standing, section: &Section) {
    let Section { entry, others } = section;
    let created = entry.created_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let said = said(standing, section);
    let confidence = match said.is_empty() {
        true => format!("{:?}", entry.confidence),
        false => format!("{:.2}, {:?} when recorded", standing.confidence, entry.confidence),
    };
    out.push_str(&format!("\n## H-{}: {}\n\n", entry.id.short(), heading(&entry.rule)));
    if standing.state != State::Active {
        out.push_str(&format!("- **State**: {}\n", standing.state));
    }
    out.push_str(&format!("- **Confidence**: {confidence}\n"));
    if !said.is_empty() {
        out.push_str(&format!("- **Verdicts**: {said}\n"));
    }
    out.push_str(&format!("- **Source**: {}\n- **Created**: {created}\n", plain(&entry.source)));
    quote(out, &entry.explanation);
    out.push_str("\n[The record](");
    link(out, &entry.path);
    out.push(')');
    for (at, path) in others.iter().enumerate() {
        out.push_str(if at == 0 { "\nand recorded again: [" } else { ", [" });
        write!(out, "{}](", at + 2).expect("writing to a string cannot fail");
        link(out, path);
        out.push(')');
    }
    out.push('\n');
}

/// What became of a rule, in words; empty if nothing did.
fn said(standing: &Standing, section: &Section) -> String {
    let tally = &standing.tally;
    let (validated, violated) = (section.entry.validated_elsewhere, section.entry.violated_elsewhere);
    let again = tally.again + section.others.len() as u64;
    let times = |what: &str, count: u64| (count > 0).then(|| format!("{what} {}", counted(count, "time", "times")));
    let of_others = |what: &str, count: u64| times(what, count).map(|said| format!("{said} by another program"));
    let said = [
        times("validated", tally.validated),
        times("violated", tally.violated),
        of_others("validated", validated),
        of_others("violated", violated),
        times("recorded again", again),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
