//! What holds of any text.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::search::expand::expand;
use crate::search::stem::stemmed;

/// What the text is found by.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    expand(text, |token| {
        words.insert(token.text.to_owned());
    });
    words
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

/// An identifier in every spelling.
fn spellings(parts: &[String]) -> Vec<String> {
    let capitals: Vec<_> = parts.iter().map(|part| capital(part)).collect();
    let camel = parts[0].clone() + &capitals[1..].concat();
    let mut spellings = vec![camel, capitals.concat(), parts.join("_").to_uppercase(), parts.join("-").to_uppercase()];
    spellings.extend(["_", "-", ".", "::", "/", "\\", ":"].map(|connector| parts.join(connector)));
    let around: Vec<_> = spellings
        .iter()
        .flat_map(|it| {
            [format!("`{it}`"), format!("{it}()"), format!("--{it}"), format!("({it}),"), format!("\"{it}\"")]
        })
        .collect();
    spellings.extend(around);
    spellings
}

/// Text with all that queries, identifiers and scripts are made of.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-zA-Z0-9]{1,8}",
        2 => "[-_./:\\\\@#+~='\"*^(){}\\[\\]<>,;!?$%&|` \t\n\0]{1,4}",
        2 => "[ぁ-ん一-龥가-힣ก-๙]{1,4}",
        1 => "[à-ÿΑ-ωа-яא-ת؀-ۿऀ-ॿ\u{300}-\u{36f}]{1,4}",
        1 => "[🌀-🫿☀-➿\u{200b}-\u{200d}\u{fe0f}\u{fffd}\u{e000}]{1,2}",
        1 => "\\PC{1,4}",
        1 => prop::sample::select(vec![
            "kind:", "kind:failure", "domain:", "since:", "since:7d", "-kind:", "until:2026", "AND", "OR", "NEAR(", "\"a b\"",
            "-\"a b\"", "--x", "don't", "C++", "tag:\"", "severity:4+", "title:"
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Endings that a stemmer cuts and changes.
const ENDINGS: [&str; 24] = [
    "", "s", "es", "ies", "ed", "eed", "ing", "y", "e", "ational", "enci", "izer", "bli", "biliti", "ousli", "fulness",
    "icate", "alize", "ness", "ement", "ll", "ion", "ator", "iviti",
];

proptest! {
    #[test]
    fn an_identifier_is_found_by_any_spelling(parts in prop::collection::vec("[a-z]{2,9}", 2..5)) {
        let joined = parts.concat();
        for spelling in spellings(&parts) {
            let words = words(&spelling);
            prop_assert!(words.contains(&joined), "{joined:?} is not in {words:?} of {spelling:?}");
            for part in &parts {
                prop_assert!(words.contains(part), "{part:?} is not in {words:?} of {spelling:?}");
            }
        }
    }

    /// What has a word of the query, the sieve lets through, however either is spelled.
    #[test]
    fn the_sieve_lets_through_all_that_a_query_finds(
        text in soup(),
        other in soup(),
        word in "[a-z]{1,6}",
        endings in (0..ENDINGS.len(), 0..ENDINGS.len(), 0..ENDINGS.len()),
    ) {
        let (one, two) = (ENDINGS[endings.0], ENDINGS[endings.1]);
        let inflected = format!("{word}{one}{two}, {word}{}", ENDINGS[endings.2]);
        for (asked, text) in [(&text, &text), (&other, &text), (&inflected, &inflected), (&word, &inflected)] {
            let now = noon().to_zoned(jiff::tz::TimeZone::UTC);
            let Ok(query) = Query::parse(asked, &now) else { continue };
            let mut stems = BTreeSet::new();
            expand(text, |token| {
                stems.insert(stemmed(token.text));
            });
            let may_have = Sieve::of(&query).words(text);
            for (at, word) in query.words.iter().enumerate().filter(|(_, word)| stems.contains(&word.stem)) {
                prop_assert!(may_have >> at & 1 == 1, "{word:?} of {asked:?} is kept back from {text:?}");
            }
        }
    }

    #[test]
    fn what_stands_between_spaces_is_found_by_itself(text in soup()) {
        let whole = words(&text);
        for item in text.split_whitespace() {
            let missing: Vec<_> = words(item).into_iter().filter(|word| !whole.contains(word)).collect();
            prop_assert!(missing.is_empty(), "{missing:?} of {item:?} are not in {whole:?}");
        }
    }

    #[test]
    fn words_are_plain_and_come_from_where_they_say(text in soup()) {
        let mut wrong = None;
        expand(&text, |token| {
            let is_plain = !token.text.is_empty() && token.text.chars().all(char::is_alphanumeric);
            if !is_plain || text.get(token.range.clone()).is_none_or(str::is_empty) {
                wrong = Some(format!("{token:?}"));
            }
        });
        prop_assert_eq!(wrong, None);
    }

    #[test]
    fn any_text_is_a_query(text in soup(), record in soup()) {
        let query = match Query::parse(&text, &now()) {
            Ok(query) => query,
            Err(error) => {
                prop_assert!(!error.known.is_empty(), "{error}");
                return Ok(());
            }
        };
        let mut connection = empty();
        let sample = failure(1, "a title", &record);
        put(&mut connection, std::slice::from_ref(&sample));
        let options = Options { limit: 10, project: None, now: noon(), gone: None, chosen: None };
        let hits = find(&[&connection], &query, &Filter::default(), &options).expect("an answer").hits;
        let parts = hits.into_iter().next().map(|hit| hit.parts).unwrap_or_default();
        let line = best_line(&query, &sample.record, &parts);
        let mut end = 0;
        for mark in line.marks {
            prop_assert!(mark.start >= end && line.text.get(mark.clone()).is_some_and(|it| !it.is_empty()), "{mark:?}");
            end = mark.end;
        }
    }
}

#[test]
fn the_work_of_a_query_is_bounded() {
    let mut connection = empty();
    let records: Vec<_> = (1..=50).map(|number| failure(number, "the same words", "again and again")).collect();
    put(&mut connection, &records);
    let long = [
        "word ".repeat(14_000),
        "\"a b\" ".repeat(20_000),
        "-ab ".repeat(30_000),
        "the again same ".repeat(7_000),
        (0..20_000).map(|number| format!("w{number} ")).collect(),
        "a_".repeat(50_000),
        "数".repeat(40_000),
        "kind:failure ".repeat(8_000),
        "-kind:success ".repeat(8_000),
        "x".repeat(100_000),
        "\0".repeat(100_000),
        "aB".repeat(50_000),
        "\"".repeat(100_000),
    ];
    for text in long {
        let query = Query::parse(&text, &now()).expect("a query");
        assert!(query.words.len() <= query::WORDS_MAX && query.phrases.len() <= 16 && query.without.len() <= 16);
        assert!(query.is_cut());
        let options = Options { limit: 10, project: None, now: noon(), gone: None, chosen: None };
        let hits = find(&[&connection], &query, &Filter::default(), &options).expect("an answer");
        assert!(hits.looked.candidates <= 50 && hits.looked.is_cut, "{:?}", hits.looked);
    }
}

#[test]
fn an_unknown_value_of_a_closed_filter_names_the_known_ones() {
    for (text, filter) in [
        ("kind:lesson x", "kind"),
        ("severity:9", "severity"),
        ("origin:robot", "origin"),
        ("state:\"half done\"", "state"),
        ("since:whenever", "since"),
        ("until:2026-13", "until"),
        ("-kind:lesson", "kind"),
    ] {
        let error = Query::parse(text, &now()).expect_err(text);
        assert_eq!(error.filter, filter);
        assert!(!error.known.is_empty() && error.to_string().contains(error.known[0]), "{error}");
    }
    for text in
        ["domain:x", "tag:y", "lesson:kind", "kind:", "kind: x", "kind::x", "https://kind:80", "\"kind:lesson\""]
    {
        assert!(Query::parse(text, &now()).is_ok(), "{text}");
    }
}
