//! What a search does not look at: as little as may be, and it says so.

use std::collections::HashSet;

use super::*;

fn options(chosen: Option<Chosen<'_>>) -> Options<'_> {
    Options { limit: 10_000, project: None, now: noon(), gone: None, chosen }
}

/// The words of `text` that are looked for in `connection`, and whether some are not.
fn chosen_words(connection: &Connection, text: &str, is_all: bool) -> (Vec<String>, bool) {
    let query = Query::parse(text, &now()).expect("a query");
    let rarest = query.of_rarest(&[connection], is_all).expect("an answer").unwrap_or(query);
    (rarest.tokens().map(str::to_owned).collect(), rarest.is_cut())
}

/// A word of letters alone.
fn word(begin: &str, number: u8) -> String {
    format!("{begin}{}{}q", (b'a' + number / 26) as char, (b'a' + number % 26) as char)
}

/// A query has room for so many words, wherever the telling ones stand.
#[test]
fn of_too_many_words_the_rarest_that_are_there_are_looked_for() {
    let mut connection = empty();
    let common: Vec<String> = (0..70).map(|n| word("common", n)).collect();
    let text = common.join(" ");
    put(&mut connection, &(1..=5).map(|number| failure(number, "usual", &text)).collect::<Vec<_>>());
    put(&mut connection, &[failure(6, "quokka", ""), failure(7, "wombat", "")]);
    let unknown: String = (0..100).map(|n| word("zzz", n) + " ").collect();
    // What no record has takes no room from what one has, and is no loss.
    let (words, is_cut) = chosen_words(&connection, &format!("{unknown} quokka wombat"), true);
    assert_eq!((words.len(), is_cut), (64, false));
    assert!(words.ends_with(&["quokka".to_owned(), "wombat".to_owned()]), "{words:?}");
    let (_, is_cut) = chosen_words(&connection, &format!("{unknown} quokka wombat"), false);
    assert!(is_cut, "other records may have the others");
    // Rare words go before frequent ones.
    let (words, is_cut) = chosen_words(&connection, &format!("{text} quokka wombat"), true);
    assert_eq!((words.len(), is_cut), (64, true));
    assert!(words.ends_with(&["quokka".to_owned(), "wombat".to_owned()]), "{words:?}");
    // There is an end to it.
    let many = |begin: &str| -> String { (0..200).map(|n| word(begin, n) + " ").collect() };
    let many = many("u") + &many("v") + &many("w");
    let (words, is_cut) = chosen_words(&connection, &format!("{many} quokka"), true);
    assert!(is_cut && !words.contains(&"quokka".to_owned()));
    assert_eq!(chosen_words(&connection, "quokka usual", true), (vec!["quokka".to_owned(), "usual".to_owned()], false));
}

#[test]
fn of_very_many_records_in_a_state_it_is_said_how_many_were_left_over() {
    let mut connection = empty();
    let all: Vec<_> = (1..=5_003).map(|number| failure(number, "widget", "")).collect();
    put(&mut connection, &all);
    let ids: HashSet<RecordId> = all.iter().map(|it| it.id).collect();
    let query = Query::parse("widget", &now()).expect("a query");
    let accepts = |_, _| true;
    let find_in = |ids: &HashSet<RecordId>| {
        let chosen = Chosen { accepts: &accepts, ids: Some(ids) };
        let found = find(&[&connection], &query, &Filter::default(), &options(Some(chosen))).expect("an answer");
        (found.hits.len(), found.looked.left_over)
    };
    assert_eq!(find_in(&ids), (5_000, 3));
    assert_eq!(find_in(&ids.iter().copied().take(5_000).collect()), (5_000, 0));
}

/// The records that are looked at for phrases do not grow with their number, and rare phrases are looked for to the end.
#[test]
fn many_phrases_share_what_is_looked_at() {
    let mut connection = empty();
    let text = |number| match number {
        1 => "old upload failed, and a quokka sleeps".to_owned(),
        _ => "upload that failed".to_owned(),
    };
    put(&mut connection, &(1..=400).map(|number| failure(number, "upload", &text(number))).collect::<Vec<_>>());
    let others: String = (0..40).map(|n| format!("\"upload failed{}\" ", " failed".repeat(n + 1))).collect();
    let query = Query::parse(&format!("{others} \"quokka sleeps\""), &now()).expect("a query");
    let found = find(&[&connection], &query, &Filter::default(), &options(None)).expect("an answer");
    assert_eq!(found.hits[0].id.0.as_u128(), 1);
    // All of them have the words of 40 phrases.
    let looked_at = found.looked.phrase_records;
    assert!((5_000..=6_000).contains(&looked_at), "{looked_at} of 16,001");
}
