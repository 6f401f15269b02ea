//! Words are to FTS5 what they are here.

use rusqlite::Connection;

use crate::search::expand::{Role, expand};
use crate::search::stem::stemmed;

/// The terms that FTS5 makes of each text.
fn terms_of_fts5(texts: &[String]) -> Vec<Vec<String>> {
    let connection = Connection::open_in_memory().expect("memory");
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE t USING fts5(a, content='', tokenize='porter unicode61 remove_diacritics 2');
             CREATE VIRTUAL TABLE v USING fts5vocab(t, instance); BEGIN",
        )
        .expect("tables");
    let mut insert = connection.prepare("INSERT INTO t (rowid, a) VALUES (?1, ?2)").expect("a statement");
    for (at, text) in texts.iter().enumerate() {
        insert.execute(rusqlite::params![at as i64, text]).expect("it is put");
    }
    let mut found: Vec<Vec<(i64, String)>> = vec![Vec::new(); texts.len()];
    let mut select = connection.prepare("SELECT doc, offset, term FROM v").expect("a statement");
    let mut rows = select.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let doc: i64 = row.get(0).expect("a number");
        found[doc as usize].push((row.get(1).expect("a number"), row.get(2).expect("a term")));
    }
    let in_order = |mut terms: Vec<(i64, String)>| {
        terms.sort();
        terms.into_iter().map(|it| it.1).collect()
    };
    found.into_iter().map(in_order).collect()
}

#[test]
fn stems_are_those_of_fts5() {
    // Beginnings and endings of every rule, in every combination, and each letter before them.
    let endings = [
        "", "s", "es", "ies", "sses", "ss", "eed", "ed", "ing", "ated", "bled", "ized", "y", "ational", "tional",
        "enci", "anci", "izer", "logi", "bli", "alli", "entli", "eli", "ousli", "ization", "ation", "ator", "alism",
        "iveness", "fulness", "ousness", "aliti", "iviti", "biliti", "ical", "ness", "icate", "iciti", "ful", "ative",
        "alize", "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "sion",
        "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize", "e", "ll", "le", "tting", "lled", "ooing", "yed",
        "ying",
    ];
    let starts = [
        "", "a", "b", "y", "s", "t", "tr", "sk", "ca", "cat", "oat", "trouble", "hop", "fail", "fix", "tax", "bow",
        "say", "oper", "gener", "relat", "condit", "val", "hesit", "digit", "conform", "radic", "differ", "vil",
        "anal", "predic", "feud", "decis", "hope", "call", "form", "elect", "adjust", "rev", "infer", "homo", "commun",
        "activ", "angul", "bow", "defens", "irrit", "depend", "adopt", "x9", "é", "ñandu",
    ];
    let words: Vec<String> =
        starts.iter().flat_map(|start| endings.iter().map(move |end| format!("{start}{end}"))).collect();
    let words: Vec<String> = words.into_iter().filter(|word| word.is_ascii() && !word.is_empty()).collect();
    for (word, terms) in words.iter().zip(terms_of_fts5(&words)) {
        assert_eq!(terms, [stemmed(word)], "{word}");
    }
}

#[test]
fn every_word_of_ours_is_one_term_of_fts5() {
    let mut words = Vec::new();
    for c in '\0'..=char::MAX {
        expand(&format!("x{c}"), |token| {
            if !token.text.is_ascii() && token.role != Role::Pair {
                words.push(token.text.to_owned());
            }
        });
    }
    words.sort();
    words.dedup();
    assert!(words.len() > 100_000, "{}", words.len());
    let terms = terms_of_fts5(&words);
    let odd: Vec<_> = words.iter().zip(&terms).filter(|(word, terms)| **terms != [stemmed(word)]).collect();
    assert!(odd.is_empty(), "{odd:?}");
}
