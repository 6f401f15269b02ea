//! Replaces secrets before a record is made, so that they never reach the journal. Pure.
//!
//! 1. Every built-in rule has literals. Its regex is compiled only if one of them is in the text and what follows can match,
//!    so most texts cost one pass and no regex. `commands`, the table of programs that take secrets, works the same way: only
//!    lines with a literal are parsed.
//! 2. Only the secret itself is replaced, so that the text around it still says what it was for. The placeholder
//!    `[redacted:RULE]` names the rule.
//! 3. No rule matches a placeholder, so redacting twice changes nothing.
//!
//! `rules` finds secrets by their shape, `commands` by their place in a program's call, `named` by their names within a line.
//! Other secrets are not found.

mod commands;
mod literals;
mod named;
mod rules;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;
use uuid::Uuid;

use crate::model::Request;
use literals::{NAMED, ROW, TABLE, Wanted};
use rules::{RULES, Rule};

/// An invalid user-supplied regex.
#[derive(Debug, thiserror::Error)]
#[error("the pattern {name:?} is not a valid regular expression")]
pub struct BadPattern {
    /// Its name in the settings.
    pub name: String,
    /// What is wrong with it.
    pub source: regex::Error,
}

/// Replaces secrets by `[redacted:RULE]`.
#[derive(Debug)]
pub struct Redactor {
    /// Each rule's regex by the rule's number, compiled when it is first needed.
    compiled: Vec<OnceLock<Regex>>,
    /// The user's own rules, which are always tried.
    own: Vec<(String, Regex)>,
}

impl Redactor {
    /// A redactor with the built-in rules and the user's own: pairs of a name and a regex in the syntax of the crate `regex`. If
    /// a regex has a group named `secret`, only that group is replaced.
    ///
    /// # Errors
    /// The first invalid regex.
    pub fn new<N: Into<String>, P: AsRef<str>>(own: impl IntoIterator<Item = (N, P)>) -> Result<Redactor, BadPattern> {
        let compile = |(name, pattern): (N, P)| {
            let name = name.into();
            match Regex::new(pattern.as_ref()) {
                Ok(regex) => Ok((name, regex)),
                Err(source) => Err(BadPattern { name, source }),
            }
        };
        let own = own.into_iter().map(compile).collect::<Result<_, _>>()?;
        let compiled = RULES.iter().map(|_| OnceLock::new()).collect();
        Ok(Redactor { compiled, own })
    }

    /// `text` without its secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found = self.built_in(text);
        for (name, regex) in &self.own {
            found.extend(secrets(regex, text).map(|range| Secret { range, rank: NAMED + 1, name }));
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(replaced(text, joined(found)))
    }

    /// Redacts `text` in place.
    pub fn string(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.text(text) {
            *text = redacted;
        }
    }

    /// Redacts every string in `value`, including the names of fields.
    pub fn value(&self, value: &mut serde_json::Value) {
        use serde_json::Value::{Array, Object, String};
        match value {
            String(text) => self.string(text),
            Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Object(fields) => {
                for (mut name, mut value) in std::mem::take(fields) {
                    self.string(&mut name);
                    self.value(&mut value);
                    fields.insert(name, value);
                }
            }
            _ => {}
        }
    }

    /// Redacts every field of `request`. A key with a secret is replaced by its digest, so that it still names one record.
    pub fn request(&self, request: &mut Request) {
        request.for_each_text(|text| self.string(text));
        if let Some(key) = &mut request.key
            && let Cow::Owned(_) = self.text(key)
        {
            *key = format!("[redacted:key:{}]", Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()));
        }
    }

    fn built_in(&self, text: &str) -> Vec<Secret<'_>> {
        let Wanted { rules, rows, names } = TABLE.wanted_by(text);
        let wanted = rules.into_iter().enumerate().filter_map(|(rank, wanted)| wanted.then_some(rank));
        let found = wanted.flat_map(|rank| {
            let Rule { name, accept, .. } = &RULES[rank];
            let secrets = secrets(self.pattern(rank), text).filter(|range| accept(&text[range.clone()]));
            secrets.map(move |range| Secret { range, rank, name })
        });
        let given = commands::secrets(text, &rows).into_iter();
        let found = found.chain(given.map(|range| Secret { range, rank: ROW, name: commands::NAME }));
        let named = named::secrets(text, &names).into_iter();
        found.chain(named.map(|range| Secret { range, rank: NAMED, name: named::NAME })).collect()
    }

    fn pattern(&self, rank: usize) -> &Regex {
        self.compiled[rank].get_or_init(|| RULES[rank].compiled().expect("a test compiles every rule"))
    }
}

/// A secret in a text, and the rule that found it.
struct Secret<'r> {
    range: Range<usize>,
    /// The position of its rule in the table. If two rules overlap, the first one names the secret.
    rank: usize,
    name: &'r str,
}

/// The secrets that `regex` finds: its group `secret`, or the whole match.
fn secrets(regex: &Regex, text: &str) -> impl Iterator<Item = Range<usize>> {
    let found = regex.captures_iter(text).filter_map(|captures| captures.name("secret").or_else(|| captures.get(0)));
    found.map(|found| found.range()).filter(|range| !range.is_empty())
}

/// Sorts secrets by their place in the text, and merges overlapping ones.
fn joined(mut found: Vec<Secret<'_>>) -> Vec<Secret<'_>> {
    found.sort_by_key(|secret| (secret.range.start, secret.rank));
    let mut joined: Vec<Secret<'_>> = Vec::new();
    for secret in found {
        match joined.last_mut() {
            Some(last) if secret.range.start < last.range.end => {
                last.range.end = last.range.end.max(secret.range.end);
                if secret.rank < last.rank {
                    (last.rank, last.name) = (secret.rank, secret.name);
                }
            }
            _ => joined.push(secret),
        }
    }
    joined
}

fn replaced(text: &str, secrets: Vec<Secret<'_>>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for Secret { range, name, .. } in secrets {
        out.push_str(&text[at..range.start]);
        out.push_str(&format!("[redacted:{name}]"));
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldSpec, Invalid, Kind, Learning, Provenance, Record, Shape};

    /// A case on each line: the rule, and a text in which `«` and `»` enclose what has to go. `¦` is nothing: it keeps
    /// the case itself from having the shape of a secret.
    const SECRETS: &str = include_str!("../../tests/fixtures/redact/secrets.txt");
    /// A text on each line that has to stay as it is.
    const HARMLESS: &str = include_str!("../../tests/fixtures/redact/harmless.txt");

    fn redactor() -> Redactor {
        Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong")
    }

    fn cases(text: &str) -> impl Iterator<Item = String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.replace('¦', "").replace("\\n", "\n"))
    }

    #[test]
    fn every_rule_compiles_and_needs_a_literal() {
        for rule in RULES {
            assert!(rule.compiled().is_ok(), "{}: {:?}", rule.name, rule.compiled());
            assert!(!rule.literals.is_empty(), "{} would never be tried", rule.name);
            assert!(rule.literals.iter().all(|it| it.is_ascii() && it.len() > 1), "{}: no such literals", rule.name);
            assert!(rule.literals.iter().all(|it| it.to_ascii_lowercase() == **it), "{} is not lower case", rule.name);
        }
    }

    #[test]
    fn secrets_go_and_what_is_around_them_stays() {
        let redactor = redactor();
        let mut seen = 0;
        for case in cases(SECRETS) {
            let (rule, text) = case.split_once(' ').expect("a rule, and a text");
            let given = text.replace(['«', '»'], "");
            let mut wanted = String::new();
            for (number, part) in text.split(['«', '»']).enumerate() {
                wanted.push_str(&if number % 2 == 1 { format!("[redacted:{rule}]") } else { part.to_owned() });
            }
            assert_eq!(redactor.text(&given), wanted, "the case: {text}");
            assert_eq!(redactor.text(&wanted), wanted, "a second time changes nothing");
            seen += 1;
        }
        assert!(seen >= 60, "{seen} cases are too few");
    }

    #[test]
    fn what_is_no_secret_stays() {
        let redactor = redactor();
        let mut seen = 0;
        for text in cases(HARMLESS) {
            assert_eq!(redactor.text(&text), text);
            seen += 1;
        }
        assert!(seen >= 60, "{seen} cases are too few");
    }

    #[test]
    fn every_rule_has_a_case() {
        let tried: Vec<String> = cases(SECRETS).filter_map(|case| Some(case.split_once(' ')?.0.to_owned())).collect();
        for name in RULES.iter().map(|rule| rule.name).chain([commands::NAME, named::NAME]) {
            assert!(tried.iter().any(|tried| tried == name), "no case for {name}");
        }
    }

    #[test]
    fn what_holds_no_literal_compiles_no_pattern() {
        let redactor = redactor();
        for text in [
            "error[E0308]: mismatched types in src/main.rs, line 12",
            "test result: FAILED. 3 passed; 1 failed. KeyError: 'id', unexpected token '}'",
            "see https://example.org/a, and git@example.org:a/b.git",
        ] {
            let _ = redactor.text(text);
            let compiled = redactor.compiled.iter().position(|pattern| pattern.get().is_some());
            assert_eq!(compiled.map(|rank| RULES[rank].name), None, "compiled for nothing: {text}");
        }
    }

    #[test]
    fn own_patterns_are_tried_and_bad_ones_named() {
        let own = Redactor::new([("ticket", r"id=(?P<secret>T-[0-9]+)")]).expect("it is a pattern");
        assert_eq!(own.text("see id=T-42, T-43"), "see id=[redacted:ticket], T-43");
        let error = Redactor::new([("broken", "(")]).expect_err("it is no pattern");
        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn every_field_of_every_kind_is_redacted() {
        let secret = format!("ghp_{}", "a1B2".repeat(9));
        for kind in Kind::ALL {
            let value = |spec: &FieldSpec| {
                Ok::<_, Invalid>(match spec.shape {
                    Shape::Severity | Shape::Confidence | Shape::Result => None,
                    Shape::Ruling => Some("again".to_owned()),
                    Shape::Id => Some(crate::model::RecordId::new().to_string()),
                    _ => Some(secret.clone()),
                })
            };
            let record = Record::build(kind, value).expect("every text is there");
            let text = || Some(secret.clone());
            let (project, session, agent, host, cwd) = (text(), text(), text(), text(), text());
            let provenance = Provenance { project, origin: None, session, agent, host, cwd };
            let mut request = Request { record, key: Some(format!("k {secret}")), provenance };
            redactor().request(&mut request);
            let json = serde_json::to_string(&(&request.record, &request.provenance)).expect("a record is JSON");
            assert!(!json.contains(&secret) && !request.key.expect("it had one").contains(&secret), "{json}");
        }
    }

    #[test]
    fn keys_with_different_secrets_stay_different() {
        let redacted = |key: String| {
            let learning = Learning { title: "t".into(), domain: "d".into(), ..Learning::default() };
            let mut request = Request { key: Some(key), ..Request::new(Record::Failure(learning)) };
            redactor().request(&mut request);
            request.key
        };
        let (one, other) = (format!("ghp_{}", "a1B2".repeat(9)), format!("ghp_{}", "a1B3".repeat(9)));
        assert_ne!(redacted(one.clone()), redacted(other));
        assert_eq!(redacted(one.clone()), redacted(one));
    }

    proptest::proptest! {
        #[test]
        fn no_placeholder_is_taken_for_a_secret(
            parts in proptest::collection::vec(proptest::sample::select(PARTS.to_vec()), 0..40),
            other in "\\PC{0,20}",
        ) {
            static REDACTOR: std::sync::LazyLock<Redactor> = std::sync::LazyLock::new(redactor);
            let redactor = &REDACTOR;
            let once = redactor.text(&(parts.concat() + &other)).into_owned();
            let twice = redactor.text(&once).into_owned();
            for name in RULES.iter().map(|rule| rule.name).chain([commands::NAME, named::NAME]) {
                let placeholder = format!("[redacted:{name}]");
                let (before, after) = (once.matches(&placeholder).count(), twice.matches(&placeholder).count());
                proptest::prop_assert!(after >= before, "{:?} became {:?}", once, twice);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_rule_that_finds_something_is_passed_over(
            parts in NAME_AND_VALUE.map(|choices| proptest::sample::select(choices.to_vec())),
        ) {
            static REDACTOR: std::sync::LazyLock<Redactor> = std::sync::LazyLock::new(redactor);
            let text = parts.concat();
            let wanted = TABLE.wanted_by(&text).rules;
            for (rank, rule) in RULES.iter().enumerate() {
                let finds = REDACTOR.pattern(rank).is_match(&text);
                proptest::prop_assert!(wanted[rank] || !finds, "{} in {:?}", rule.name, text);
            }
        }
    }

    /// Part by part, how a secret and its name may be written.
    const NAME_AND_VALUE: [&[&str]; 9] = [
        &["", "- ", "x_", "://ada:", "\""],
        &["api_key", "TOKEN", "PASS", "password", "Credentials"],
        &["", "", "_2", "\"", "'", "\\\""],
        &["", " ", "\n", "\u{a0}"],
        &["=", ":", ":=", "=>", "@"],
        &["", " ", "\t", "\u{a0}"],
        &["", "b", "R", "\\"],
        &["", "\"", "'", "`"],
        &["a1b2c3d4e5f6", "a1b2c3d4e5f6\"", "a1b2c3d4e5f6'", "a1b2c3d4e5f6`", "a@b"],
    ];

    /// What secrets, and what stands around them, are made of.
    const PARTS: [&str; 22] = [
        "://",
        ":",
        "@",
        "=",
        "\"",
        " ",
        "\n",
        "token",
        "PASSWORD",
        "Authorization",
        "Bearer ",
        "a1b2c3d4e5f6",
        "A1B2C3D4E5F6",
        "0123456789abcdef0123456789abcdef",
        "ghp_",
        "AKIA",
        "eyJ",
        ".",
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "?key=",
        "ä",
    ];
}
