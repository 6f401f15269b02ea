//! How many tokens a text takes, about: counted by the kinds of its characters. Pure.
//!
//! Hosts do not say how they count. The weights are above what tokenizers need for nearly every line; characters divided by
//! four are not, for a third of the lines in English and for most in Chinese.

/// The share of a budget that is used, since the weights are no tokenizer: ten percent are taken off.
const USED: f64 = 0.9;

/// The weight of an ASCII letter in a word of lower-case letters.
const LOWER: f64 = 0.31;
/// The weight of an ASCII letter in any other word.
const MIXED: f64 = 0.5;
/// The weight of a letter or a digit in a word that has digits.
const WITH_DIGITS: f64 = 0.75;

/// The tokens of `text`, about.
pub fn tokens(text: &str) -> f64 {
    let mut sum = 0.0;
    let mut word = String::new();
    let mut last = '\0';
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            word.push(c);
        } else {
            sum += of_word(&word);
            word.clear();
            // A blank goes with the word behind it.
            let is_joined = c == ' ' && last != ' ';
            sum += if is_joined { 0.0 } else { of_char(c) };
        }
        last = c;
    }
    sum + of_word(&word)
}

/// The tokens that fit into a budget of `budget`.
pub fn usable(budget: usize) -> f64 {
    budget as f64 * USED
}

fn of_word(word: &str) -> f64 {
    let length = word.len() as f64;
    match () {
        () if word.is_empty() => 0.0,
        () if word.bytes().any(|byte| byte.is_ascii_digit()) => length * WITH_DIGITS,
        () if word.bytes().all(|byte| byte.is_ascii_lowercase()) => (length * LOWER).max(1.0),
        () => (length * MIXED).max(1.0),
    }
}

fn of_char(c: char) -> f64 {
    match u32::from(c) {
        0..=0x7f => 1.0,
        0x80..=0x7ff => 1.25,
        // Devanagari to Thai, Lao and Tibetan.
        0x900..=0xfff => 2.0,
        0x2000..=0x2bff => 1.5,
        // CJK with kana and their signs, hangul, wide forms.
        0x1100..=0x11ff | 0x3000..=0x9fff | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xff00..=0xffef => 1.25,
        _ => 3.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_weigh_as_the_table_says() {
        for (text, wanted) in [
            ("", 0.0),
            ("a", 1.0),
            ("abcdefghij", 3.1),
            ("a bc", 2.0),
            ("Abcdef", 3.0),
            ("abc123", 4.5),
            ("- x\n", 3.0),
            ("a  b", 3.0),
            ("\u{e4}", 1.25),
            ("\u{4e2d}\u{6587}", 2.5),
            ("\u{2014}", 1.5),
            ("\u{939}", 2.0),
            ("\u{e01}", 2.0),
            ("\u{12a0}", 3.0),
        ] {
            assert!((tokens(text) - wanted).abs() < 1e-9, "{text:?}: {}", tokens(text));
        }
        assert!((usable(1_500) - 1_350.0).abs() < 1e-9);
    }
}
