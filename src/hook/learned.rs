//! `[LEARNED:domain] text` and `[LEARNED] text`: what an agent says was learned. Pure.

/// One marker and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// What it is about, if it says so.
    pub domain: Option<String>,
    /// What was learned, in one line.
    pub text: String,
}

/// How a marker begins, in lower case.
const BEGINNING: &[u8] = b"[learned";
/// The most markers that one text is believed to have.
const MARKERS_MAX: usize = 50;
/// The words that make a sentence a rule.
const RULE_WORDS: [&str; 8] = ["always", "never", "should", "must", "avoid", "prefer", "don't", "shouldn't"];

impl Learned {
    /// Whether it states a rule of thumb, and is no mere observation.
    pub fn is_rule(&self) -> bool {
        let lower = self.text.to_lowercase().replace('\u{2019}', "'");
        let mut words = lower.split(|c: char| !c.is_alphanumeric() && c != '\'').map(|word| word.trim_matches('\''));
        words.any(|word| RULE_WORDS.contains(&word)) || lower.contains("do not ")
    }

    /// Whether both say the same of the same.
    pub fn is_same(&self, other: &Learned) -> bool {
        let domain = |it: &Learned| it.domain.as_deref().map(str::to_lowercase);
        domain(self) == domain(other) && self.essence() == other.essence()
    }

    /// The text as far as it makes one marker the same as another: whitespace, case and a full stop do not.
    pub fn essence(&self) -> String {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        words.join(" ").to_lowercase().trim_end_matches(['.', '!', ' ']).to_owned()
    }
}

/// Every marker in `text`, in order. A marker ends with its line. One right behind a backtick is talked about, and not
/// meant.
pub fn learned(text: &str) -> Vec<Learned> {
    let found = text.lines().flat_map(in_line);
    found.take(MARKERS_MAX).collect()
}

fn in_line(line: &str) -> Vec<Learned> {
    let begins: Vec<usize> = begins(line).collect();
    let ends = begins.iter().skip(1).copied().chain([line.len()]);
    begins.iter().copied().zip(ends).filter_map(|(begin, end)| marker(&line[..begin], &line[begin..end])).collect()
}

/// Where a marker could begin.
fn begins(line: &str) -> impl Iterator<Item = usize> {
    let bytes = line.as_bytes();
    let brackets = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'[').map(|(at, _)| at);
    brackets.filter(|at| bytes[*at..].get(..BEGINNING.len()).is_some_and(|it| it.eq_ignore_ascii_case(BEGINNING)))
}

/// The marker that `text` begins with, behind `before` in its line.
fn marker(before: &str, text: &str) -> Option<Learned> {
    let (inner, text) = text[BEGINNING.len()..].split_once(']')?;
    let domain = match inner.strip_prefix(':') {
        Some(domain) => Some(domain.trim().to_owned()).filter(|domain| !domain.is_empty()),
        None if inner.is_empty() => None,
        None => return None,
    };
    // Emphasis around the marker is none of the text.
    let text = text.trim_start_matches(['*', '_', ':']).trim();
    let text = text.trim_end_matches(['*', '_']).trim();
    let meant = !before.ends_with('`') && text.chars().any(char::is_alphanumeric);
    meant.then(|| Learned { domain, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Learned {
        match learned(text).as_slice() {
            [one] => one.clone(),
            other => panic!("{text:?} has {} markers", other.len()),
        }
    }

    #[test]
    fn a_marker_has_a_domain_or_none_and_the_rest_of_its_line() {
        let found = one("noise\n[LEARNED:ci] Always pin the toolchain\nmore noise");
        assert_eq!((found.domain.as_deref(), found.text.as_str()), (Some("ci"), "Always pin the toolchain"));
        let found = one("  - **[LEARNED]** the cache is per branch  ");
        assert_eq!((found.domain.as_deref(), found.text.as_str()), (None, "the cache is per branch"));
        let found = one("I saw: [learned: Rust 2024 ]: x is y**");
        assert_eq!((found.domain.as_deref(), found.text.as_str()), (Some("Rust 2024"), "x is y"));
    }

    #[test]
    fn two_in_a_line_are_two() {
        let found = learned("[LEARNED:a] one [LEARNED:b] two\r\n[LEARNED] three");
        let texts: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for text in [
            "[LEARNED]",
            "[LEARNED:x]  ",
            "[LEARNED:x",
            "[LEARNED] ---",
            "[LEARNEDX] y",
            "`[LEARNED:x] y`",
            "learned: x",
            "ä[LEARNE] x",
            "[",
            "",
        ] {
            assert_eq!(learned(text), [], "{text:?}");
        }
    }

    #[test]
    fn rules_are_told_from_observations() {
        for rule in [
            "Always x",
            "you must y",
            "NEVER z",
            "Don't a",
            "Don’t a",
            "do not b",
            "avoid c",
            "prefer d",
            "it should e",
        ] {
            assert!(one(&format!("[LEARNED] {rule}")).is_rule(), "{rule}");
        }
        for observation in ["the mustard is hot", "it is avoidable", "preference", "shoulder", "tests are slow"] {
            assert!(!one(&format!("[LEARNED] {observation}")).is_rule(), "{observation}");
        }
    }

    #[test]
    fn the_essence_overlooks_how_it_is_written() {
        assert_eq!(one("[LEARNED] Pin  the Toolchain.").essence(), one("[LEARNED] pin the toolchain").essence());
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_looked_through(text in "(\\PC|\\[LEARNED:?|\\]|`|\n){0,60}") {
            for found in learned(&text) {
                proptest::prop_assert!(!found.text.is_empty() && !found.text.contains('\n'));
            }
        }
    }
}
