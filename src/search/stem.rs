//! The stem of an English word, exactly as FTS5's tokenizer `porter` makes it: a term in the full-text index is looked up
//! by its stem, so that both have to agree byte by byte. A test compares them.
//!
//! The rules are Porter's of 1980 with what FTS5 leaves out. They work on bytes: a word of another script has suffixes
//! too if it ends in such letters.

/// Words with more bytes than this, or with fewer than [`BYTES_MIN`], are their own stem.
const BYTES_MAX: usize = 64;
const BYTES_MIN: usize = 3;

/// What has to hold of the part before a suffix.
#[derive(Clone, Copy)]
enum If {
    /// A vowel is followed by a consonant, at least once.
    Once,
    /// At least twice.
    Twice,
    /// At least twice, and it ends in `s` or `t`.
    TwiceAfterST,
}

/// A suffix, what replaces it, and when.
type Rule = (&'static str, &'static str, If);

/// Of two suffixes that end alike, the longer one comes first: the first that fits decides, whether it applies or not.
const DOUBLE_SUFFIXES: [Rule; 21] = [
    ("ational", "ate", If::Once),
    ("tional", "tion", If::Once),
    ("enci", "ence", If::Once),
    ("anci", "ance", If::Once),
    ("izer", "ize", If::Once),
    ("logi", "log", If::Once),
    ("bli", "ble", If::Once),
    ("alli", "al", If::Once),
    ("entli", "ent", If::Once),
    ("eli", "e", If::Once),
    ("ousli", "ous", If::Once),
    ("ization", "ize", If::Once),
    ("ation", "ate", If::Once),
    ("ator", "ate", If::Once),
    ("alism", "al", If::Once),
    ("iveness", "ive", If::Once),
    ("fulness", "ful", If::Once),
    ("ousness", "ous", If::Once),
    ("aliti", "al", If::Once),
    ("iviti", "ive", If::Once),
    ("biliti", "ble", If::Once),
];
const ENDINGS: [Rule; 7] = [
    ("ical", "ic", If::Once),
    ("ness", "", If::Once),
    ("icate", "ic", If::Once),
    ("iciti", "ic", If::Once),
    ("ful", "", If::Once),
    ("ative", "", If::Once),
    ("alize", "al", If::Once),
];
const SUFFIXES: [Rule; 19] = [
    ("al", "", If::Twice),
    ("ance", "", If::Twice),
    ("ence", "", If::Twice),
    ("er", "", If::Twice),
    ("ic", "", If::Twice),
    ("able", "", If::Twice),
    ("ible", "", If::Twice),
    ("ant", "", If::Twice),
    ("ement", "", If::Twice),
    ("ment", "", If::Twice),
    ("ent", "", If::Twice),
    ("ion", "", If::TwiceAfterST),
    ("ou", "", If::Twice),
    ("ism", "", If::Twice),
    ("ate", "", If::Twice),
    ("iti", "", If::Twice),
    ("ous", "", If::Twice),
    ("ive", "", If::Twice),
    ("ize", "", If::Twice),
];

fn is_vowel(byte: u8, y_too: bool) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u') || (y_too && byte == b'y')
}

/// Where the first vowel that a consonant follows has its consonant, plus one; `None` if there is no such pair. `y` is a
/// vowel after a consonant.
fn after_pair(stem: &[u8], after_consonant: bool) -> Option<usize> {
    let mut consonant = after_consonant;
    let mut is_consonant = |byte: &u8| {
        consonant = !is_vowel(*byte, consonant);
        consonant
    };
    let vowel = stem.iter().position(|byte| !is_consonant(byte))?;
    let next = stem[vowel + 1..].iter().position(is_consonant)?;
    Some(vowel + 1 + next + 1)
}

fn pairs(stem: &[u8]) -> usize {
    match after_pair(stem, false) {
        None => 0,
        Some(end) => 1 + usize::from(after_pair(&stem[end..], true).is_some()),
    }
}

/// Whether it ends in consonant, vowel, consonant, and the last is not `w`, `x` or `y`.
fn ends_short(stem: &[u8]) -> bool {
    if matches!(stem.last(), None | Some(b'w' | b'x' | b'y')) {
        return false;
    }
    let mut consonant = false;
    let mut last = 0_u8;
    for byte in stem {
        consonant = !is_vowel(*byte, consonant);
        last = (last << 1 | u8::from(consonant)) & 0b111;
    }
    last == 0b101
}

fn has_vowel(stem: &[u8]) -> bool {
    stem.iter().enumerate().any(|(at, byte)| is_vowel(*byte, at > 0))
}

fn applies(condition: If, stem: &[u8]) -> bool {
    match condition {
        If::Once => pairs(stem) > 0,
        If::Twice => pairs(stem) > 1,
        If::TwiceAfterST => matches!(stem.last(), Some(b's' | b't')) && pairs(stem) > 1,
    }
}

fn replace(word: &mut Vec<u8>, rules: &[Rule]) {
    let Some(&end) = word.last_chunk::<2>() else { return };
    for (suffix, by, condition) in rules {
        // Two bytes are compared first: to compare slices of any length is a call, and most suffixes are not the word's.
        let is_possible = suffix.as_bytes().last_chunk::<2>() == Some(&end);
        if is_possible && word.len() > suffix.len() && word.ends_with(suffix.as_bytes()) {
            let stem = word.len() - suffix.len();
            if applies(*condition, &word[..stem]) {
                word.truncate(stem);
                word.extend_from_slice(by.as_bytes());
            }
            return;
        }
    }
}

/// `sses` to `ss`, `ies` to `i`, other plurals.
fn plural(word: &mut Vec<u8>) {
    let n = word.len();
    if word[n - 1] != b's' {
        return;
    }
    match word[n - 2] {
        b'e' => {
            let two = (n > 4 && &word[n - 4..n - 2] == b"ss") || (n > 3 && word[n - 3] == b'i');
            word.truncate(if two { n - 2 } else { n - 1 });
        }
        b's' => {}
        _ => word.truncate(n - 1),
    }
}

/// `eed`, `ed`, `ing`, and what is put right after them.
fn tense(word: &mut Vec<u8>) {
    let n = word.len();
    if n > 3 && word.ends_with(b"eed") {
        if pairs(&word[..n - 3]) > 0 {
            word.truncate(n - 1);
        }
        return;
    }
    let cut = match () {
        () if n > 2 && word.ends_with(b"ed") => 2,
        () if n > 3 && word.ends_with(b"ing") => 3,
        () => return,
    };
    if !has_vowel(&word[..n - cut]) {
        return;
    }
    word.truncate(n - cut);
    let n = word.len();
    if n > 2 && [b"at", b"bl", b"iz"].iter().any(|end| word.ends_with(*end)) {
        word.push(b'e');
        return;
    }
    let last = word[n - 1];
    // A word of one letter is left as it is here; FTS5 compares with the byte before it, which is not in the word.
    if n > 1 && !is_vowel(last, false) && !matches!(last, b'l' | b's' | b'z') && last == word[n - 2] {
        word.pop();
    } else if pairs(word) == 1 && ends_short(word) {
        word.push(b'e');
    }
}

fn last_letters(word: &mut Vec<u8>) {
    let n = word.len();
    if word[n - 1] == b'e' {
        let stem = &word[..n - 1];
        let count = pairs(stem);
        if count > 1 || (count == 1 && !ends_short(stem)) {
            word.pop();
        }
    }
    let n = word.len();
    if n > 1 && word.ends_with(b"ll") && pairs(&word[..n - 1]) > 1 {
        word.pop();
    }
}

/// Makes `word`, in lower case, its stem.
pub(super) fn stem(word: &mut Vec<u8>) {
    if word.len() > BYTES_MAX || word.len() < BYTES_MIN {
        return;
    }
    plural(word);
    tense(word);
    let n = word.len();
    if word[n - 1] == b'y' && has_vowel(&word[..n - 1]) {
        word[n - 1] = b'i';
    }
    replace(word, &DOUBLE_SUFFIXES);
    replace(word, &ENDINGS);
    replace(word, &SUFFIXES);
    last_letters(word);
}

/// The stem of `token`, as the full-text index has it.
pub(super) fn stemmed(token: &str) -> String {
    let mut word = token.as_bytes().to_vec();
    stem(&mut word);
    // Only ASCII letters are cut or put: what is left is UTF-8.
    String::from_utf8(word).unwrap_or_else(|_| token.to_owned())
}
