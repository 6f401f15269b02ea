//! Which rules are the same one: by their text, made equal, in one domain.
//!
//! Case does not count in prose. It is kept where it means something: in code spans, options (`-d` is not `-D`), paths, names
//! with dots, underscores or digits, words with capitals inside, and single letters. White space, the mark at the end, and
//! the shape of quotes and dashes do not count. To join two rules that differ is worse than to keep two that do not.

use uuid::Uuid;

/// The name under which two rules that are the same one have the same hash.
const SPACE: Uuid = Uuid::from_u128(0x6f1b_52f0_0a44_5c5e_9d3a_7c6d_52a1_90e7);

/// The hash of a rule's domain and text, made equal: the same for rules that are the same one.
pub fn alike(domain: &str, rule: &str) -> String {
    let domain = domain.trim().to_lowercase();
    Uuid::new_v5(&SPACE, format!("{domain}\n{}", equal_form(rule)).as_bytes()).simple().to_string()
}

/// `text` without what does not count.
pub fn equal_form(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    let is_end = |c: char| c.is_whitespace() || matches!(c, '.' | '!' | ';' | ',' | ':');
    let mut rest = text.trim().trim_end_matches(is_end);
    while !rest.is_empty() {
        let is_code = rest.starts_with('`');
        let end = match is_code {
            true => rest[1..].find('`').map_or(rest.len(), |at| at + 2),
            false => rest.find('`').unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        match is_code {
            true => form.push_str(part),
            false => prose(&mut form, part),
        }
        rest = after;
    }
    form
}

/// Appends prose word by word, with one space where there is white space.
fn prose(form: &mut String, part: &str) {
    let space = |form: &mut String| {
        if !form.is_empty() && !form.ends_with(' ') {
            form.push(' ');
        }
    };
    if part.starts_with(char::is_whitespace) {
        space(form);
    }
    for (at, word) in part.split_whitespace().enumerate() {
        if at > 0 {
            space(form);
        }
        match keeps_case(word) {
            true => form.push_str(word),
            false => form.extend(word.chars().flat_map(char::to_lowercase).map(plain)),
        }
    }
    if part.ends_with(char::is_whitespace) {
        space(form);
    }
}

/// Whether case means something in `word`.
fn keeps_case(word: &str) -> bool {
    let word = word.trim_matches(|c: char| matches!(c, '"' | '\'' | '(' | ')' | ',' | ';' | ':' | '.' | '!' | '?'));
    let mut letters = word.chars().filter(|c| c.is_alphabetic());
    let first = letters.next();
    let has_inner_capital = letters.clone().any(char::is_uppercase);
    let is_single = first.is_some_and(char::is_uppercase) && letters.next().is_none() && !matches!(word, "A" | "I");
    let is_name = word.contains(['/', '\\', '_', '.', '=', '$', '~', '@', '#']) || word.starts_with('-');
    has_inner_capital || is_single || is_name || word.contains(|c: char| c.is_ascii_digit())
}

/// A quote or a dash in its ASCII form.
fn plain(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2010}'..='\u{2015}' => '-',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_count_is_made_equal() {
        for (one, other) in [
            ("Never rebase a shared branch", "never  rebase a shared\nbranch."),
            ("Don\u{2019}t skip tests!", "don't skip tests"),
            ("Use `git -d x` first", "use  `git -d x`  first"),
            ("A test before a fix", "a test before a fix"),
            ("Run it (twice)", "run it (Twice)"),
        ] {
            assert_eq!(equal_form(one), equal_form(other));
            assert_eq!(alike("Git ", one), alike("git", other));
        }
    }

    #[test]
    fn what_means_something_keeps_its_case() {
        for (one, other) in [
            ("git branch -d x", "git branch -D x"),
            ("Use `Foo`", "Use `foo`"),
            ("Look at src/Main.rs", "Look at src/main.rs"),
            ("Call parseFile", "Call parsefile"),
            ("Set PATH", "Set path"),
            ("Use C for this", "Use c for this"),
            ("Use `a  b`", "Use `a b`"),
            ("Retry 3 times", "Retry 4 times"),
            ("Cargo.toml is sorted", "cargo.toml is sorted"),
            ("a`b`", "a `b`"),
        ] {
            assert_ne!(equal_form(one), equal_form(other), "{one:?}");
        }
        assert_ne!(alike("git", "x"), alike("ci", "x"));
        assert_eq!(equal_form(""), "");
        assert_eq!(equal_form("`open"), "`open");
    }

    proptest::proptest! {
        #[test]
        fn made_equal_twice_is_made_equal_once(text in ".{0,80}") {
            let once = equal_form(&text);
            proptest::prop_assert_eq!(equal_form(&once), once.clone());
        }
    }
}
