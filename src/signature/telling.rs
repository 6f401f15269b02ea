//! Whether a text tells something: a failure that is known by "Build failed" alone would be any failure.

use super::words::EMPTY;

/// From how many letters on a run of a script without spaces counts as two words.
const LONG_RUN: usize = 4;

/// Whether two words remain beside placeholders and empty words, or one and a quoted name.
pub(super) fn tells(text: &str) -> bool {
    let words = text.split(is_between).filter(|word| !word.is_empty());
    let mut left = 0;
    for word in words {
        left += weight(word);
    }
    left >= 2 || left == 1 && has_quoted_name(text)
}

fn is_between(c: char) -> bool {
    !(c.is_alphanumeric() || c == '_' || c == '\'' || c == '<' || c == '>')
}

/// How much a word counts.
fn weight(word: &str) -> usize {
    let word = word.trim_matches('\'');
    if word.starts_with('<') || word.chars().nth(1).is_none() || !word.chars().any(char::is_alphabetic) {
        return 0;
    }
    if EMPTY.contains(&word.to_lowercase().as_str()) {
        return 0;
    }
    let is_spaceless =
        |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    match word.chars().filter(|c| is_spaceless(*c)).count() >= LONG_RUN {
        true => 2,
        false => 1,
    }
}

/// Whether something with a letter in it stands in quotes.
fn has_quoted_name(text: &str) -> bool {
    let mut parts = text.split('\'');
    parts.next();
    let mut inside = true;
    for part in parts {
        if inside && part.chars().any(char::is_alphanumeric) && part.len() < text.len() {
            return true;
        }
        inside = !inside;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_something_or_it_does_not() {
        for text in [
            "invalid input",
            "KeyError: 'id'",
            "no such file",
            "接続が拒否されました",
            "Datei nicht gefunden",
            "QuotaExceeded: project",
        ] {
            assert!(tells(text), "{text}");
        }
        for text in [
            "Build failed",
            "AssertionError",
            "error: process exited with code 3",
            "exit status <n>",
            "<x> <n>",
            "",
            "'",
            "Fehler 3",
            "failed: <dir>",
        ] {
            assert!(!tells(text), "{text}");
        }
    }
}
