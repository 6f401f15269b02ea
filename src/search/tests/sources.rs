//! Several sources are one collection.

use std::collections::HashSet;

use super::*;

/// A source with `samples`.
fn source(samples: &[Sample]) -> Connection {
    let mut connection = empty();
    put(&mut connection, samples);
    connection
}

/// Each hit's number, source and score, in order.
fn hits(sources: &[&Connection], text: &str, gone: &[u128]) -> Vec<(u128, usize, f64)> {
    let query = Query::parse(text, &now()).expect("a query");
    let gone: HashSet<RecordId> = gone.iter().map(|it| RecordId(Uuid::from_u128(*it))).collect();
    let options = Options { limit: 10, project: None, now: noon(), gone: Some(&gone), chosen: None };
    let hits = find(sources, &query, &Filter::default(), &options).expect("an answer").hits;
    hits.into_iter().map(|hit| (hit.id.0.as_u128(), hit.source, hit.score)).collect()
}

fn numbers(hits: &[(u128, usize, f64)]) -> Vec<(u128, usize)> {
    hits.iter().map(|hit| (hit.0, hit.1)).collect()
}

/// Records of which each has some of a few words, and more of others.
fn samples() -> Vec<Sample> {
    let words = ["stale", "cache", "flaky", "upload", "borrow"];
    let text = |number: usize| {
        let words: Vec<&str> = (0..=number % 7).map(|at| words[(number + at * at) % 5]).collect();
        failure(number as u128, words[0], &words.join(" "))
    };
    (1..=20).map(text).collect()
}

#[test]
fn a_score_is_the_same_wherever_a_record_is() {
    let samples = samples();
    let whole = source(&samples);
    for at in [1, 7, 19] {
        let parts = [source(&samples[..at]), source(&samples[at..])];
        for text in ["stale", "flaky borrow", "\"stale cache\" upload", "upload -flaky", "domain:ci borrow"] {
            let expected = hits(&[&whole], text, &[]);
            let found = hits(&[&parts[0], &parts[1]], text, &[]);
            assert!(!found.is_empty());
            assert_eq!(found.len(), expected.len(), "{text}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((found.0, found.1), (expected.0, usize::from(expected.0 > at as u128)), "{text}");
                assert!((found.2 - expected.2).abs() < 1e-9, "{text}: {found:?}, {expected:?}");
            }
        }
    }
}

#[test]
fn the_later_source_wins_and_what_is_gone_is_of_the_first_alone() {
    let first = source(&[failure(1, "old words", ""), failure(2, "old words", ""), failure(3, "old words", "")]);
    let second = source(&[failure(2, "new words", "")]);
    let third = source(&[failure(3, "newest words", ""), failure(2, "newest words", "")]);
    let all = [&first, &second, &third];
    assert_eq!(numbers(&hits(&all, "old", &[])), [(1, 0)], "the other two say something else now");
    assert_eq!(numbers(&hits(&all, "new", &[])), []);
    let mut words = numbers(&hits(&all, "words", &[]));
    words.sort_unstable();
    assert_eq!(words, [(1, 0), (2, 2), (3, 2)], "each once");
    assert_eq!(numbers(&hits(&[&first, &second], "words kind:failure", &[1, 2])), [(3, 0), (2, 1)]);
    assert_eq!(numbers(&hits(&[&first], "words", &[1, 2, 3])), []);
    assert_eq!(numbers(&hits(&[], "words", &[])), []);
}

#[test]
fn a_name_that_one_source_does_not_know_is_found_in_the_other() {
    let mut other = failure(2, "upload", "");
    let Record::Failure(it) = &mut other.record else { panic!("it is a failure") };
    it.domain = "ops".into();
    let (first, second) = (source(&[failure(1, "upload", "")]), source(&[other]));
    for (text, expected) in
        [("domain:ops", &[(2, 1)][..]), ("upload domain:ci", &[(1, 0)]), ("upload -domain:ci", &[(2, 1)])]
    {
        assert_eq!(numbers(&hits(&[&first, &second], text, &[])), expected, "{text}");
    }
}

/// `count` records about databases, every second of them in `ops`; number 7 alone says that they vanish.
fn many(count: u128) -> Connection {
    let text = |number: u128| {
        let mut sample =
            failure(number, "databases", if number == 7 { "databases vanish" } else { "vanish from databases" });
        let Record::Failure(it) = &mut sample.record else { panic!("it is a failure") };
        it.domain = if number % 2 == 1 { "ops".into() } else { "ci".into() };
        sample
    };
    source(&(1..=count).map(text).collect::<Vec<_>>())
}

/// Porter's stem of `databases` is `databas`, whose stem is `databa`: the full-text index has to be asked for the word itself.
#[test]
fn a_frequent_word_is_not_stemmed_twice() {
    let many = many(2_400);
    for text in ["databases", "databases domain:ops", "databases vanish -domain:ci"] {
        let found = hits(&[&many], text, &[]);
        assert_eq!(found.len(), 10, "{text}");
        let is_odd = |hit: &(u128, usize, f64)| hit.0 % 2 == 1;
        assert!(!text.contains("domain") || found.iter().all(is_odd), "{text}: {found:?}");
        assert_eq!(
            found[0].0,
            if text.contains("domain") { 2_399 } else { 2_400 },
            "{text}: of equals, the newest: {found:?}"
        );
    }
    assert_eq!(hits(&[&many], "\"databases vanish\" domain:ops", &[])[0].0, 7);
    // What is left out does not count among the candidates.
    assert_eq!(numbers(&hits(&[&many], "databases -from", &[])), [(7, 0)]);
}

#[test]
fn of_equals_in_several_sources_the_newest_are_found() {
    let at = |number: u128, hour: i64| Sample {
        created_at: noon() + jiff::SignedDuration::from_hours(hour),
        ..failure(number, "widget broke", "")
    };
    // What is read beside search.db may be old: an amendment.
    let first = source(&(1..=600).map(|number| at(number, 1)).collect::<Vec<_>>());
    let beside = source(&(601..=1_200).map(|number| at(number, i64::from(number == 900) * 2)).collect::<Vec<_>>());
    let query = Query::parse("widget", &now()).expect("a query");
    let options = Options { limit: 1_000, project: None, now: noon(), gone: None, chosen: None };
    let hits = find(&[&first, &beside], &query, &Filter::default(), &options).expect("an answer").hits;
    let found: Vec<u128> = hits.iter().map(|hit| hit.id.0.as_u128()).collect();
    assert_eq!(found, [900].into_iter().chain((202..=600).rev()).collect::<Vec<_>>());
}

#[test]
fn what_came_late_is_not_taken_for_new() {
    let at = |number: u128, day: i64| Sample {
        created_at: noon() + jiff::SignedDuration::from_hours(24 * day),
        ..failure(number, "widget broke", "")
    };
    let newest = |connection: &Connection, text: &str| -> Vec<u128> {
        let query = Query::parse(text, &now()).expect("a query");
        let options = Options { limit: 400, project: None, now: noon(), gone: None, chosen: None };
        let hits = find(&[connection], &query, &Filter::default(), &options).expect("an answer").hits;
        hits.iter().map(|hit| hit.id.0.as_u128()).collect()
    };
    // Another home's, from the day before; it is frequent, and it is not.
    for count in [1_500, 300] {
        let mut all = source(&(1..=count).map(|number| at(number, 1)).collect::<Vec<_>>());
        put(&mut all, &(2_001..=2_600).map(|number| at(number, 0)).collect::<Vec<_>>());
        let late = (2_001..=2_600).rev();
        let wanted: Vec<u128> = (1..=count).rev().chain(late).take(400).collect();
        for text in ["widget", "widget broke", "\"widget broke\"", "kind:failure"] {
            assert_eq!(newest(&all, text), wanted, "{text}, {count}");
        }
    }
}

/// What is left out of the sources counts in how rare words are.
#[test]
fn left_out_records_count_in_how_rare_words_are() {
    let samples = samples();
    let query = Query::parse("borrow stale", &now()).expect("a query");
    let options = Options { limit: 30, project: None, now: noon(), gone: None, chosen: None };
    let rarities = |sources: &[&Connection], left_out: &LeftOut| -> Vec<(String, f64)> {
        let hits = find_beside(sources, left_out, &query, &Filter::default(), &options).expect("an answer").hits;
        let mut words: Vec<_> =
            hits.iter().flat_map(|hit| &hit.parts.words).map(|word| (word.word.clone(), word.rarity)).collect();
        words.sort_by(|a, b| a.0.cmp(&b.0));
        words.dedup();
        words
    };
    let all = rarities(&[&source(&samples)], &LeftOut::default());
    let mut sieve = Sieve::of(&query);
    let (kept, others) = samples.split_at(12);
    let mut left_out = LeftOut { docs: others.len() as u64, with_word: vec![0; query.len()] };
    for it in others {
        let words = sieve.words(&it.record.text(crate::model::Field::Summary).expect("it has one"));
        (0..query.len()).for_each(|at| left_out.with_word[at] += words >> at & 1);
    }
    assert_eq!(rarities(&[&source(kept)], &left_out), all);
    assert_ne!(rarities(&[&source(kept)], &LeftOut::default()), all);
}
