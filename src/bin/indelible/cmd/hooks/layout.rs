//! Where a child goes in a text of JSON, and how its lines look, so that every other byte stays. Pure.

use std::ops::Range;

use jsonc_parser::ast::{Array, Object};
use jsonc_parser::common::Ranged;

/// JSON whose fields have an order.
#[derive(Clone, Debug)]
pub enum Json {
    /// A text.
    Text(String),
    /// A number.
    Number(u32),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(&'static str, Json)>),
}

/// An object or a list in a text: its range, brackets included, and the range of each child.
pub struct Place {
    range: Range<usize>,
    children: Vec<Range<usize>>,
}

impl Place {
    /// The place of `object`.
    pub fn of_object(object: &Object<'_>) -> Place {
        let children = object.properties.iter().map(|it| it.range.start..it.range.end).collect();
        Place { range: object.range.start..object.range.end, children }
    }

    /// The place of `list`.
    pub fn of_list(list: &Array<'_>) -> Place {
        let children = list.elements.iter().map(|it| it.range().start..it.range().end).collect();
        Place { range: list.range.start..list.range.end, children }
    }
}

/// The layout of a text: line ends and indentation.
pub struct Style<'t> {
    text: &'t str,
    newline: &'static str,
    /// One step of indentation.
    step: String,
}

impl<'t> Style<'t> {
    /// The layout of `text`, whose outermost object is `root`.
    pub fn of(text: &'t str, root: &Object<'_>) -> Style<'t> {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let first = root.properties.first().map(|property| indentation(text, property.range.start));
        let step = first.filter(|step| !step.is_empty()).unwrap_or("  ").to_owned();
        Style { text, newline, step }
    }

    /// The text with `value` as the last child of `place`, under the name `name` if that is an object.
    pub fn inserted(&self, place: &Place, value: &Json, name: Option<&str>) -> String {
        let name = name.map(|name| format!("\"{name}\": ")).unwrap_or_default();
        let outer = indentation(self.text, place.range.start);
        let (Some(first), Some(last)) = (place.children.first(), place.children.last()) else {
            let indent = format!("{outer}{}", self.step);
            let (open, close) = (place.range.start + 1, place.range.end - 1);
            // Replaces white space between the brackets; keeps a comment.
            let comment = self.text[open..close].trim_end();
            let child = format!("{}{indent}{name}{}", self.newline, self.in_lines(value, &indent));
            let head = &self.text[..open];
            return format!("{head}{comment}{child}{}{outer}{}", self.newline, &self.text[close..]);
        };
        let behind = &self.text[last.end..place.range.end - 1];
        let indent = indentation(self.text, first.start);
        let child = match behind.contains('\n') {
            true => format!("{}{indent}{name}{}", self.newline, self.in_lines(value, indent)),
            false => format!(" {name}{}", in_line(value)),
        };
        let at = last.end + behind.trim_end().len();
        match comma(behind) {
            Some(_) => format!("{}{child},{}", &self.text[..at], &self.text[at..]),
            None => format!("{},{}{child}{}", &self.text[..last.end], &self.text[last.end..at], &self.text[at..]),
        }
    }

    /// `value` over several lines, of which the last has the indentation `indent`.
    fn in_lines(&self, value: &Json, indent: &str) -> String {
        let inner = format!("{indent}{}", self.step);
        let lines = |open: char, children: Vec<String>, close: char| {
            let (newline, separator) = (self.newline, format!(",{}{inner}", self.newline));
            format!("{open}{newline}{inner}{}{newline}{indent}{close}", children.join(&separator))
        };
        match value {
            Json::List(items) if items.iter().any(|item| matches!(item, Json::Object(_))) => {
                lines('[', items.iter().map(|item| self.in_lines(item, &inner)).collect(), ']')
            }
            Json::Object(fields) => {
                let field = |(name, value): &(&str, Json)| format!("\"{name}\": {}", self.in_lines(value, &inner));
                lines('{', fields.iter().map(field).collect(), '}')
            }
            plain => in_line(plain),
        }
    }
}

/// `value` on one line.
pub fn in_line(value: &Json) -> String {
    match value {
        Json::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Json::Number(number) => number.to_string(),
        Json::List(items) => format!("[{}]", items.iter().map(in_line).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            let field = |(name, value): &(&str, Json)| format!("\"{name}\": {}", in_line(value));
            format!("{{ {} }}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `text` without the child number `child` of `place`, the space before it and its comma.
pub fn removed(text: &str, place: &Place, child: usize) -> String {
    let range = &place.children[child];
    let close = place.range.end - 1;
    let begin = text[..range.start].trim_end().len();
    if place.children.len() == 1 {
        let end = if text[range.end..close].trim().is_empty() { close } else { range.end };
        return format!("{}{}", &text[..begin], &text[end..]);
    }
    let behind = &text[range.end..place.children.get(child + 1).map_or(close, |next| next.start)];
    if let Some(comma) = comma(behind) {
        return format!("{}{}{}", &text[..begin], &behind[..comma], &text[range.end + comma + 1..]);
    }
    // The last of several: removes the comma before it, and keeps a comment between them.
    let before = place.children[child - 1].end;
    let between = &text[before..begin];
    let comma = comma(between).expect("two values are parted by a comma");
    format!("{}{}{}{}", &text[..before], &between[..comma], &between[comma + 1..], &text[range.end..])
}

/// The position of the comma in the text behind a value: spaces, comments, and perhaps a comma.
fn comma(behind: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &behind[at..];
        at += match rest.chars().next()? {
            ',' => return Some(at),
            '/' if rest.starts_with("//") => rest.find('\n')?,
            '/' if rest.starts_with("/*") => rest.find("*/")? + 2,
            other => other.len_utf8(),
        };
    }
}

/// The indentation of the line with the position `at`.
fn indentation(text: &str, at: usize) -> &str {
    let line = &text[text[..at].rfind('\n').map_or(0, |feed| feed + 1)..at];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}
