//! Parses the framework's own pages, of every age, into fields, and renders such pages. No I/O.
//!
//! No page is refused: a field that is missing or invalid gets a default. Parsing is lenient on purpose: plain and bold
//! fields, severities as words, Windows line ends, dates with and without dashes, YAML front matter, and bytes that are not
//! UTF-8 (they become U+FFFD).

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::model::text::visible_line;
use crate::model::{Confidence, Severity};
use crate::page::front_and_rest;

/// A failure's or a success's page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learning {
    pub title: String,
    pub domain: Option<String>,
    pub severity: u8,
    pub tags: String,
    /// The first line of the summary, which is what the framework keeps in the row.
    pub summary: String,
    pub created_at: Option<Timestamp>,
}

/// One heuristic on a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// The row that its heading names.
    pub row: Option<i64>,
    pub domain: String,
    pub rule: String,
    pub explanation: String,
    pub source: Option<String>,
    pub confidence: f64,
    pub created_at: Option<Timestamp>,
}

/// A heuristic as front matter.
#[derive(Deserialize)]
struct RuleFront {
    rule: String,
    domain: Option<String>,
    explanation: Option<String>,
    source_type: Option<String>,
    source: Option<String>,
    confidence: Option<String>,
    created: Option<String>,
}

/// The head of a page, before its first H2 heading, and the rest.
struct Page<'t> {
    title: Option<&'t str>,
    fields: Vec<(String, &'t str)>,
    /// The lines of the head that are neither title nor field.
    text: Vec<&'t str>,
    sections: Vec<Section<'t>>,
}

struct Section<'t> {
    heading: &'t str,
    lines: Vec<&'t str>,
}

/// A page's bytes as text with plain line ends.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { text }
}

impl<'t> Page<'t> {
    fn of(text: &'t str) -> Page<'t> {
        let mut page = Page { title: None, fields: Vec::new(), text: Vec::new(), sections: Vec::new() };
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                page.sections.push(Section { heading: heading.trim(), lines: Vec::new() });
            } else if let Some(section) = page.sections.last_mut() {
                section.lines.push(line);
            } else if let Some(title) = line.strip_prefix("# ").filter(|_| page.title.is_none()) {
                page.title = Some(title.trim());
            } else if let Some(field) = field(line) {
                page.fields.push(field);
            } else if !matches!(line.trim(), "" | "---") {
                page.text.push(line.trim());
            }
        }
        page
    }

    fn field(&self, name: &str) -> Option<&'t str> {
        field_of(&self.fields, name)
    }
}

fn field_of<'t>(fields: &[(String, &'t str)], name: &str) -> Option<&'t str> {
    fields.iter().find(|(found, value)| found == name && !value.is_empty()).map(|(_, value)| *value)
}

/// The fields that pages have.
const FIELDS: [&str; 12] = [
    "title",
    "name",
    "domain",
    "severity",
    "tags",
    "date",
    "rule",
    "explanation",
    "confidence",
    "source",
    "source_type",
    "created",
];

/// `**Domain**: x`, `- **Domain:** x`, `Domain: x` and `domain: "x"`.
fn field(line: &str) -> Option<(String, &str)> {
    let line = line.trim().trim_start_matches(['-', '*', ' ']);
    let (name, value) = line.split_once(':')?;
    let name = name.trim().trim_end_matches('*').trim().to_ascii_lowercase();
    let value = value.trim().trim_start_matches("**").trim();
    let unquoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let value = unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value);
    FIELDS.contains(&name.as_str()).then_some((name, value))
}

/// Parses the page of a failure or a success with the file name `name`.
pub(super) fn learning(bytes: &[u8], name: &str) -> Learning {
    let text = text(bytes);
    let page = Page::of(&text);
    let summary = page.sections.iter().find(|it| it.heading.eq_ignore_ascii_case("summary"));
    let said = |lines: &[&str]| lines.iter().map(|line| line.trim()).find(|line| !line.is_empty()).map(str::to_owned);
    let summary = summary.and_then(|it| said(&it.lines)).or_else(|| said(&page.text));
    let title = page.title.or_else(|| page.field("title")).filter(|title| !title.is_empty());
    Learning {
        title: title.map_or_else(|| title_of(name), str::to_owned),
        domain: page.field("domain").map(str::to_owned),
        severity: page.field("severity").and_then(severity).unwrap_or(Severity::DEFAULT.get()),
        tags: page.field("tags").unwrap_or_default().to_owned(),
        summary: summary.unwrap_or_default(),
        created_at: page.field("date").and_then(date).or_else(|| date(name)),
    }
}

fn confidence(text: &str) -> Option<f64> {
    text.parse().ok().map(Confidence::get)
}

/// A severity as pages spell it: `4`, `high`, `4/5`, `4 (high)`.
fn severity(text: &str) -> Option<u8> {
    let word = text.split([' ', '/', '(']).next()?;
    word.parse().ok().map(Severity::get)
}

/// The title in a file's name.
fn title_of(name: &str) -> String {
    let stem = name.strip_suffix(".md").unwrap_or(name);
    let stem = stem.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_'));
    let title = stem.replace(['-', '_'], " ");
    if title.trim().is_empty() { "untitled".to_owned() } else { title.trim().to_owned() }
}

/// Parses a page of heuristics; `stem` is its file's name without the extension.
pub(super) fn rules(bytes: &[u8], stem: &str) -> Vec<Rule> {
    let text = text(bytes);
    if let Some(rule) = rule_as_front(&text, stem) {
        return vec![rule];
    }
    let page = Page::of(&text);
    let domain = page.field("domain").unwrap_or(stem).to_owned();
    // Front matter that is not quite YAML.
    if let Some(rule) = page.field("rule") {
        let explanation = page.field("explanation").map_or_else(|| page.text.join("\n"), str::to_owned);
        return vec![rule_of(None, rule, &domain, &page.fields, explanation)];
    }
    page.sections.iter().filter_map(|section| rule_in(section, &domain)).collect()
}

/// The heuristic in a page's front matter, if it has one.
fn rule_as_front(text: &str, stem: &str) -> Option<Rule> {
    let (front, rest) = front_and_rest::<RuleFront>(text)?;
    let rule = front.rule.trim();
    let explanation = front.explanation.filter(|it| !it.trim().is_empty());
    let explanation = explanation.unwrap_or_else(|| Page::of(rest).text.join("\n"));
    (!rule.is_empty()).then(|| Rule {
        row: None,
        domain: front.domain.unwrap_or_else(|| stem.to_owned()),
        rule: rule.to_owned(),
        explanation: explanation.trim().to_owned(),
        source: front.source_type.or(front.source),
        confidence: front.confidence.and_then(|text| confidence(&text)).unwrap_or(Confidence::DEFAULT.get()),
        created_at: front.created.as_deref().and_then(date),
    })
}

/// The heuristic in a section: its heading is `H-12: rule`, or in older pages `3. rule`.
fn rule_in(section: &Section<'_>, domain: &str) -> Option<Rule> {
    let (row, rule) = match section.heading.strip_prefix("H-").and_then(|rest| rest.split_once(':')) {
        Some((row, rule)) => (row.trim().parse().ok(), rule),
        None => {
            let (number, rule) = section.heading.split_once('.')?;
            number.parse::<u32>().ok()?;
            (None, rule)
        }
    };
    let fields: Vec<_> = section.lines.iter().filter_map(|line| field(line)).collect();
    let explanation = section
        .lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !matches!(*line, "" | "---") && field(line).is_none());
    let rule = rule.trim();
    let explanation = explanation.collect::<Vec<_>>().join("\n");
    (!rule.is_empty()).then(|| rule_of(row, rule, domain, &fields, explanation))
}

fn rule_of(row: Option<i64>, rule: &str, domain: &str, fields: &[(String, &str)], explanation: String) -> Rule {
    let confidence = field_of(fields, "confidence").and_then(confidence);
    Rule {
        row,
        domain: domain.to_owned(),
        rule: rule.to_owned(),
        explanation,
        source: field_of(fields, "source_type").or_else(|| field_of(fields, "source")).map(str::to_owned),
        confidence: confidence.unwrap_or(Confidence::DEFAULT.get()),
        created_at: field_of(fields, "created").and_then(date),
    }
}

/// The name of the experiment in the folder `folder`, from its `hypothesis.md`, and its hypothesis.
pub(super) fn experiment(bytes: &[u8], folder: &str) -> (String, String) {
    let text = text(bytes);
    let page = Page::of(&text);
    let title = page.title.map(|title| title.strip_prefix("Experiment:").unwrap_or(title).trim());
    let name = title.or_else(|| page.field("name")).filter(|name| !name.is_empty());
    let said = page.sections.first().map_or(&page.text, |section| &section.lines);
    let hypothesis = said.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    (name.map_or_else(|| title_of(folder), str::to_owned), hypothesis.join("\n"))
}

/// A time in UTC as pages and file names spell it: `2025-12-01 10:11:12`, `2025-12-01`, `20251201`, `20251201-101112`.
fn date(text: &str) -> Option<Timestamp> {
    let digits: String = text
        .trim()
        .chars()
        .take_while(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ' | 'T'))
        .filter(char::is_ascii_digit)
        .collect();
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<i8>().ok();
    let year = digits.get(0..4)?.parse::<i16>().ok().filter(|year| (1990..2100).contains(year))?;
    let (month, day) = (part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10).unwrap_or(0), part(10, 12).unwrap_or(0), part(12, 14).unwrap_or(0));
    let at = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// The page that the framework would have for the row of a failure or a success.
pub(super) fn learning_page(row: i64, fields: &RowFields) -> String {
    let RowFields { title, domain, severity, tags, created_at, text } = fields;
    let line = |text: &str| visible_line(text).into_owned();
    format!(
        "# {}\n\n**Domain**: {}\n**Severity**: {}\n**Tags**: {}\n**Date**: {}\n\n## Summary\n\n{}\n\n\
         <!-- Written from row {row}: the file was missing when indelible looked. -->\n",
        line(title),
        line(domain),
        line(severity),
        line(tags),
        line(created_at),
        crate::model::text::visible(text),
    )
}

/// The page that the framework would have for an experiment's row.
pub(super) fn experiment_page(row: i64, name: &str, hypothesis: &str) -> String {
    format!(
        "# {}\n\n## Hypothesis\n\n{}\n\n<!-- Written from row {row}: the file was missing when indelible looked. -->\n",
        visible_line(name),
        crate::model::text::visible(hypothesis),
    )
}

/// A row's value as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowFields {
    pub title: String,
    pub domain: String,
    pub severity: String,
    pub tags: String,
    pub created_at: String,
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_any_age_is_read() {
        let new = "# Build broke\n\n**Domain**: ci\n**Severity**: 4\n**Tags**: a, b\n**Date**: 2025-12-01\n\n## Summary\n\n\
                   The cache.\nMore.\n\n## What Happened\n\nx\n";
        let expected = Learning {
            title: "Build broke".into(),
            domain: Some("ci".into()),
            severity: 4,
            tags: "a, b".into(),
            summary: "The cache.".into(),
            created_at: "2025-12-01T00:00:00Z".parse().ok(),
        };
        assert_eq!(learning(new.as_bytes(), "20251201_build-broke.md"), expected);
        let old = "\u{feff}# Build broke\r\n\r\nDomain: ci\r\nSeverity: high\r\nTags: a, b\r\nDate: 20251201\r\n\r\nThe cache.\r\n";
        assert_eq!(learning(old.as_bytes(), "x.md"), expected);
        let listed =
            "# Build broke\n- **Domain:** ci\n- **Severity:** 4/5\n- **Tags:** a, b\n\n## Summary\nThe cache.\n";
        assert_eq!(learning(listed.as_bytes(), "2025-12-01_build-broke.md"), expected);
    }

    #[test]
    fn a_page_without_anything_still_has_a_title() {
        let found = learning(b"", "20251201_build-broke.md");
        assert_eq!((found.title.as_str(), found.domain, found.severity), ("build broke", None, 3));
        assert_eq!(learning(b"\xff\xfe\x00", "x.md").title, "x");
        assert_eq!(learning(b"# \n", "2025.md").title, "untitled");
        assert_eq!(learning(b"**Severity**: 9\n", "x.md").severity, 3);
    }

    #[test]
    fn heuristics_of_any_age_are_read() {
        let page = "# Heuristics: git\n\nText.\n\n## H-12: Never rebase\n\n**Confidence**: 0.9\n**Source**: failure\n\
                    **Created**: 2025-12-01\n\nSince others pull.\n\n---\n\n## 3. Commit often\n\n## Notes\n\nno rule\n";
        let found = rules(page.as_bytes(), "git");
        let short: Vec<_> = found.iter().map(|it| (it.row, it.rule.as_str(), it.confidence)).collect();
        assert_eq!(short, [(Some(12), "Never rebase", 0.9), (None, "Commit often", 0.5)]);
        assert_eq!(found[0].explanation, "Since others pull.");
        assert_eq!(found[0].source.as_deref(), Some("failure"));
        let yaml =
            "---\nrule: \"Never rebase\"\ndomain: git\nexplanation: pulled\nconfidence: high\nsource_type: auto\n---\n";
        let found = rules(yaml.as_bytes(), "x");
        assert_eq!((found[0].domain.as_str(), found[0].rule.as_str()), ("git", "Never rebase"));
        assert_eq!((found[0].confidence, found[0].source.as_deref()), (0.85, Some("auto")));
    }

    #[test]
    fn yaml_is_read_as_yaml() {
        let page = "---\nrule: \"Quote \\\"all\\\" of it\" # always\ndomain: 'it''s'\nconfidence: 0.9\ntags: [a, b]\n\
                    explanation: >\n  Two lines\n  of it.\nsource_type: failure\ncreated: 2025-12-01\n---\n\nMore.\n";
        let found = &rules(page.as_bytes(), "x")[0];
        assert_eq!((found.rule.as_str(), found.domain.as_str()), ("Quote \"all\" of it", "it's"));
        assert_eq!((found.explanation.as_str(), found.confidence), ("Two lines of it.", 0.9));
        assert_eq!(found.created_at, "2025-12-01T00:00:00Z".parse().ok());
        // What stands after it explains it, and what is no YAML is read line by line.
        assert_eq!(rules(b"---\nrule: a\n---\n# a\n\nSince b.\n", "x")[0].explanation, "Since b.");
        let broken = rules(b"---\nrule: Never: do that\nconfidence: high\n---\n", "x");
        assert_eq!((broken[0].rule.as_str(), broken[0].confidence), ("Never: do that", 0.85));
    }

    #[test]
    fn dates_that_are_none_are_none() {
        for text in ["", "yesterday", "2025", "20251301", "99999999_x"] {
            assert_eq!(date(text), None, "{text:?}");
        }
        assert_eq!(date("20251201-101112_x"), "2025-12-01T10:11:12Z".parse().ok());
    }

    #[test]
    fn a_page_written_from_a_row_is_read_back() {
        let fields = RowFields {
            title: "Build\nbroke".into(),
            domain: "ci".into(),
            severity: "2".into(),
            tags: "a".into(),
            created_at: "2025-12-01 10:11:12".into(),
            text: "The cache.".into(),
        };
        let read = learning(learning_page(7, &fields).as_bytes(), "x.md");
        assert_eq!(
            (read.title.as_str(), read.severity, read.summary.as_str()),
            ("Build\u{240a}broke", 2, "The cache.")
        );
        assert_eq!(read.created_at, "2025-12-01T10:11:12Z".parse().ok());
        let (name, hypothesis) = experiment(experiment_page(7, "Smaller", "It is\nfaster").as_bytes(), "x");
        assert_eq!((name.as_str(), hypothesis.lines().next()), ("Smaller", Some("It is")));
    }
}
