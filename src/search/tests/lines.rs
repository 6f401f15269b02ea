//! The line that a hit is shown with.

use super::*;
use crate::model::Learning;

/// The line that the record 1 is shown with, beside two others, and what is marked in it.
fn line(text: &str, [title, tags, summary]: [&str; 3]) -> (String, Vec<String>) {
    let mut connection = empty();
    let mut sample = failure(1, title, summary);
    let Record::Failure(Learning { tags: its, .. }) = &mut sample.record else { panic!("it is a failure") };
    *its = tags.into();
    let others = [failure(2, "the test is slow", "a cache was cold"), failure(3, "the test", "the disk was full")];
    put(&mut connection, &[&[sample.clone()], &others[..]].concat());
    let query = Query::parse(text, &now()).expect("a query");
    let options = Options { limit: 10, project: None, now: noon(), gone: None, chosen: None };
    let hits = find(&[&connection], &query, &Filter::default(), &options).expect("an answer").hits;
    let hit = hits.iter().find(|hit| hit.id == sample.id).expect("it is found");
    let line = best_line(&query, &sample.record, &hit.parts);
    let marked = line.marks.iter().map(|mark| line.text[mark.clone()].to_owned()).collect();
    (line.text, marked)
}

#[test]
fn the_line_says_more_than_the_title() {
    let record = ["Cache grew without bound", "cache,memory", "It kept every session.\nThe limit was never set."];
    for (text, shown, marked) in [
        ("cache limit", "The limit was never set.", &["limit"][..]),
        ("cache", "Cache grew without bound", &["Cache"]),
        ("cache bound was", "Cache grew without bound", &["Cache", "bound"]),
        ("session", "It kept every session.", &["session"]),
        ("memory", "cache,memory", &["memory"]),
        ("memory limit", "The limit was never set.", &["limit"]),
        ("memory cache", "cache,memory", &["cache", "memory"]),
        ("domain:ci", "Cache grew without bound", &[]),
    ] {
        let (line, words) = line(text, record);
        assert_eq!(
            (line.as_str(), words.as_slice()),
            (shown, &marked.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]),
            "{text}"
        );
    }
}

#[test]
fn rare_words_count_more_than_many_common_ones() {
    let record = ["a thing", "", "the test was the slow one, it is the test\nonly quicksilver helps"];
    assert_eq!(line("the test was quicksilver", record).0, "only quicksilver helps");
    let record = ["a thing", "quicksilver,test", "the slow test was\nquicksilver spilt in the test"];
    assert_eq!(line("the quicksilver test", record).0, "quicksilver spilt in the test");
}

#[test]
fn a_long_line_is_shown_around_what_matched() {
    let long = format!("{}needle{}", "a word ".repeat(100), " word".repeat(100));
    let (line, marked) = line("needle", ["a thing", "", &long]);
    assert_eq!(marked, ["needle"]);
    assert!(line.chars().count() <= 160 && line.contains("word needle word"), "{line}");
    assert!(line.starts_with("word ") || line.starts_with("a word "), "it begins with a word: {line}");
}
