//! Words side by side. The full-text index knows no places: the sequences have them.

use super::*;

/// The records that have all phrases of `text` side by side, the best first.
fn with_phrase(connection: &Connection, text: &str) -> Vec<u128> {
    let query = Query::parse(text, &now()).expect("a query");
    let options = Options { limit: 50, project: None, now: noon(), gone: None, chosen: None };
    let hits = find(&[connection], &query, &Filter::default(), &options).expect("an answer").hits;
    let is_whole = |hit: &&Hit| hit.parts.phrases == query.phrases.len();
    let whole: Vec<u128> = hits.iter().take_while(is_whole).map(|hit| hit.id.0.as_u128()).collect();
    assert_eq!(hits.iter().filter(is_whole).count(), whole.len(), "{text}: they come first");
    whole
}

#[test]
fn words_count_as_a_phrase_only_side_by_side() {
    let mut connection = empty();
    let records = [
        failure(1, "the stale cache", "was never emptied"),
        failure(2, "the cache is stale", "a cache that is stale, and a stale old cache"),
        failure(3, "something stale", "cache of the page"),
        failure(4, "nothing here", "they emptied caches, stale caches"),
        failure(5, "again and again", "it fails again, again and once more"),
        failure(6, "it is again slow", "and again"),
        failure(7, "\u{6570}\u{636e}\u{5e93}\u{9501}\u{5b9a}", "\u{6570}\u{636e}"),
        failure(8, "\u{9501}\u{5b9a}", "\u{6570}\u{636e}\u{5e93}"),
        failure(9, "parseConfigFile panics", "config file parse"),
        failure(10, "a plain line", "\u{4e00}\u{6570} \u{636e}\u{5e93}"),
    ];
    put(&mut connection, &records);
    for (text, mut right) in [
        ("\"stale cache\"", vec![1, 4]),
        ("\"cache stale\"", vec![4]),
        ("\"stale caches\"", vec![1, 4]),
        ("\"again again\"", vec![5]),
        ("\"again and again\"", vec![5]),
        ("\"again and once more\"", vec![5]),
        ("\"\u{6570}\u{636e}\u{5e93}\u{9501}\"", vec![7]),
        ("\"\u{6570}\u{636e}\u{5e93}\"", vec![7, 8, 10]),
        ("\"parse config file\"", vec![9]),
        ("\"config file parse\"", vec![9]),
        ("\"stale cache\" \"never emptied\"", vec![1]),
        ("\"no such words\"", vec![]),
    ] {
        let mut found = with_phrase(&connection, text);
        found.sort_unstable();
        right.sort_unstable();
        assert_eq!(found, right, "{text}");
    }
    assert_eq!(found(&connection, "emptied -\"stale cache\""), Vec::<u128>::new());
    assert_eq!(found(&connection, "something -\"stale cache\""), [3], "the title's end and the body's start");
}

/// Many records have the words, and the oldest alone has them side by side.
#[test]
fn a_phrase_of_frequent_words_is_looked_for_in_many_records() {
    let mut connection = empty();
    let text = |number| match number {
        1 => "the upload failed at noon".to_owned(),
        _ => format!("the upload of number {number} has failed"),
    };
    put(&mut connection, &(1..=2_000).map(|number| failure(number, "upload", &text(number))).collect::<Vec<_>>());
    assert_eq!(with_phrase(&connection, "\"upload failed\""), [1]);
    assert_eq!(with_phrase(&connection, "\"upload failed\" domain:ci"), [1]);
    assert_eq!(with_phrase(&connection, "\"upload failed\" domain:ops"), Vec::<u128>::new());
    let query = Query::parse("\"upload failed\"", &now()).expect("a query");
    let options = Options { limit: 50, project: None, now: noon(), gone: None, chosen: None };
    assert!(!find(&[&connection], &query, &Filter::default(), &options).expect("an answer").hits.is_empty());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Of two words, beginnings of a phrase are soon ends of it as well.
    #[test]
    fn a_phrase_that_repeats_itself_is_found_wherever_it_stands(
        body in proptest::collection::vec("ab|cd", 1..30),
        phrase in proptest::collection::vec("ab|cd", 2..6),
    ) {
        let mut connection = empty();
        put(&mut connection, &[failure(1, "title", &body.join(" "))]);
        let is_there = body.windows(phrase.len()).any(|it| it == phrase);
        let found = with_phrase(&connection, &format!("\"{}\"", phrase.join(" ")));
        proptest::prop_assert_eq!(found, if is_there { vec![1] } else { vec![] });
    }
}
