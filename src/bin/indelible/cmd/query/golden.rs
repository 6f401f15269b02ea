//! The golden rules, which the framework keeps in markdown files.
//!
//! | file in the home | what |
//! | --- | --- |
//! | `memory/golden-rules.md` | the rules: `## N. title` begins one, and a line `**Category:** name` gives it a category |
//! | `custom/golden-rules.md` | the user's own, whole |
//! | `custom/config.yaml` | `always_load_categories`: what a minimal context has |

use indelible::home::Home;
use indelible::model::text;
use serde::Deserialize;

const RULES: &str = "memory/golden-rules.md";
const CUSTOM_RULES: &str = "custom/golden-rules.md";
const CONFIG: &str = "custom/config.yaml";
/// A file of rules is read up to this size.
const BYTES_MAX: u64 = 4 << 20;

const NONE: &str = "# Golden Rules\n\nNo golden rules have been established yet.";

/// The user's settings that are used here.
#[derive(Default, Deserialize)]
struct Config {
    always_load_categories: Option<Vec<String>>,
}

/// The golden rules; a line that says so if there are none.
pub fn rules(home: &Home) -> String {
    match text_of(home, RULES) {
        Ok(Some(text)) => text,
        Ok(None) => NONE.into(),
        Err(why) => format!("# Error Reading Golden Rules\n\nError: {why}"),
    }
}

/// The user's own rules.
pub fn custom(home: &Home) -> Option<String> {
    text_of(home, CUSTOM_RULES).ok().flatten()
}

/// The categories whose rules every context has.
pub fn categories(home: &Home) -> Vec<String> {
    let config = text_of(home, CONFIG).ok().flatten();
    let config: Config = config.and_then(|text| serde_saphyr::from_str(&text).ok()).unwrap_or_default();
    config.always_load_categories.unwrap_or_else(|| vec!["core".into()])
}

/// The parts of `rules`: what is before the first rule, and then each rule with what follows it.
pub fn parts(rules: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    for line in rules.split_inclusive('\n') {
        if begins_rule(line) {
            parts.push(&rules[from..at]);
            from = at;
        }
        at += line.len();
    }
    parts.push(&rules[from..]);
    parts
}

/// The rules of these categories only, with what is before the first one.
pub fn of_categories(rules: &str, categories: &[String]) -> String {
    let parts = parts(rules);
    let is_wanted = |rule: &str| {
        let of = rule.lines().filter_map(|line| line.strip_prefix("**Category:**"));
        of.map(str::trim).any(|name| categories.iter().any(|it| it.to_lowercase() == name.to_lowercase()))
    };
    let mut kept = String::new();
    for (at, part) in parts.iter().enumerate().filter(|(at, part)| *at == 0 || is_wanted(part)) {
        kept.push_str(part);
        if at + 1 == parts.len() {
            kept.push('\n');
        }
    }
    format!("{kept}*[Filtered to categories: {}]*\n", categories.join(", "))
}

fn begins_rule(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("## ") else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest[digits..].starts_with('.')
}

/// The text of the file at `path` in the home, with line feeds alone; `None` if there is no such file.
fn text_of(home: &Home, path: &str) -> Result<Option<String>, String> {
    let bytes = home.dir().content(path, BYTES_MAX).map_err(|error| text::chain(&error))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).replace("\r\n", "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_by_category_with_what_is_before_the_first() {
        let rules = "# Rules\n\n## 1. One\n> a\n**Category:** Core\n\n## Notes\n## 2. Two\n**Category:** git\n";
        assert_eq!(parts(rules).len(), 3, "{:?}", parts(rules));
        assert_eq!(parts(rules).concat(), rules);
        let of = |names: &[&str]| of_categories(rules, &names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let core = "# Rules\n\n## 1. One\n> a\n**Category:** Core\n\n## Notes\n*[Filtered to categories: core]*\n";
        assert_eq!(of(&["core"]), core);
        assert_eq!(of(&["GIT"]), "# Rules\n\n## 2. Two\n**Category:** git\n\n*[Filtered to categories: GIT]*\n");
        assert_eq!(of(&["none"]), "# Rules\n\n*[Filtered to categories: none]*\n");
    }
}
