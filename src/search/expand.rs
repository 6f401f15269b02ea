//! Text as the words that it is found by: the same for what is indexed and for what is asked.
//!
//! 1. Words are runs of letters and digits, in lower case and without marks: `Café` is `cafe`.
//! 2. An identifier is found whole and by its parts, in every spelling: `parseConfigFile`, `parse_config_file`,
//!    `parse-config-file` and `parse::config::file` all give `parse`, `config`, `file` and `parseconfigfile`. A path is found
//!    by its ends and by each two neighbours as well: `src/fs/mod.rs` by `mod.rs` and `fs/mod`.
//! 3. Scripts without spaces give single characters and pairs; an emoji is a word.
//! 4. The words of the text itself ([`Role::is_base`]) come in its order; phrases are made of them. What is joined from them
//!    follows the last of its parts.
//! 5. Every word is one token to FTS5's `unicode61`, which leaves it as it is.
//!
//! The work is linear in the text: a compound has no more than [`PARTS_MAX`] parts.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// The parts of one compound; a longer one is cut.
const PARTS_MAX: usize = 12;
/// The bytes of a word that was joined; a longer one is left out.
const JOINED_BYTES_MAX: usize = 60;
/// The bytes of a word; a longer one is cut: it is encoded data, not a word.
const WORD_BYTES_MAX: usize = 120;
/// The characters that may lie between two parts of a compound.
const CONNECTOR_CHARS_MAX: usize = 3;
/// The changes between letters and digits in a run that is split there: `log4j`. A run with more is a hash or an id.
const DIGIT_CHANGES_MAX: usize = 2;
/// The parts of a run of letters and digits; one with more is not a name that a person wrote.
const RUN_PARTS_MAX: usize = 8;

/// How a word comes from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It stands in the text on its own.
    Word,
    /// It is a part of an identifier.
    Part,
    /// It is an identifier, joined from its parts.
    Whole,
    /// A piece of an identifier: a path without its first folders, two neighbours.
    Piece,
    /// A character of a script without spaces.
    Single,
    /// Two such characters.
    Pair,
}

impl Role {
    /// Whether it is a word of the text itself: it has a place of its own, and phrases are made of it.
    pub(super) fn is_base(self) -> bool {
        matches!(self, Role::Word | Role::Part | Role::Single)
    }
}

/// One word.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// In lower case, without marks.
    pub text: &'a str,
    /// The bytes of the text that it comes from.
    pub range: Range<usize>,
    /// How.
    pub role: Role,
}

/// Calls `each` with every word of `text`.
pub(super) fn expand(text: &str, each: impl FnMut(Token<'_>)) {
    let (folded, joined, units, parts) = (String::new(), String::new(), Vec::new(), Vec::new());
    Expander { text, each, folded, joined, units, parts, glue: Glue::Start, end: 0 }.run();
}

/// Appends the letters and digits of `text` to `to` as words have them, without what holds the parts of an identifier
/// together, and with a blank where no word goes on. Each word of the text stands in it as a whole, but for the `p` that
/// [`expand`] puts between two numbers.
pub(super) fn run_together(text: &str, to: &mut Vec<u8>) {
    let (letters, mut rest, mut folded) = (&*ASCII, text, String::new());
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (plain, others) = rest.split_at(ascii);
        to.extend(plain.bytes().map(|byte| letters[usize::from(byte)]).filter(|letter| *letter != 0));
        let mut chars = others.chars();
        if let Some(c) = chars.next() {
            folded.clear();
            match class(c) {
                Class::Lower | Class::Upper | Class::Digit | Class::Letter | Class::Dense => fold(c, &mut folded),
                Class::Mark | Class::Connector | Class::Apostrophe => {}
                Class::Emoji => folded = emoji(c),
                Class::Other => folded.push(' '),
            }
            to.extend_from_slice(folded.as_bytes());
        }
        rest = chars.as_str();
    }
    // `C++` and `C#` are names of their own.
    let signs = [("++", "plusplus"), ("#", "sharp")];
    for (at, name) in signs.into_iter().flat_map(|(sign, name)| text.match_indices(sign).map(move |it| (it.0, name))) {
        if let Some(letter) = text[..at].chars().rev().find(|c| class(*c) != Class::Mark) {
            folded.clear();
            folded.push(' ');
            fold(letter, &mut folded);
            to.extend_from_slice(folded.as_bytes());
            to.extend_from_slice(name.as_bytes());
        }
    }
}

/// What [`run_together`] makes of each ASCII character; 0 is nothing.
static ASCII: LazyLock<[u8; 128]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        // It is less than 128.
        let byte = byte as u8;
        match class(char::from(byte)) {
            Class::Other => b' ',
            Class::Connector | Class::Apostrophe => 0,
            _ => byte.to_ascii_lowercase(),
        }
    })
});

/// An emoji as a word.
fn emoji(c: char) -> String {
    format!("u{:x}", u32::from(c))
}

/// What a character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    /// A letter without case.
    Letter,
    /// Of a script without spaces.
    Dense,
    Emoji,
    /// Not seen: a mark on the letter before, a joiner.
    Mark,
    Connector,
    Apostrophe,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Lower,
        'A'..='Z' => Class::Upper,
        '0'..='9' => Class::Digit,
        '_' | '-' | '.' | '/' | '\\' | ':' | '@' | '#' | '+' | '~' | '=' => Class::Connector,
        '\'' | '\u{2019}' => Class::Apostrophe,
        '\0'..='\x7f' => Class::Other,
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{1f3fb}'..='\u{1f3ff}' => Class::Mark,
        '\u{2010}' | '\u{2011}' => Class::Connector,
        // Marks to FTS5's tables, letters to newer ones.
        '\u{19b0}'..='\u{19c0}' | '\u{19c8}' | '\u{19c9}' | '\u{1cf2}' | '\u{1cf3}' => Class::Mark,
        _ if is_combining_mark(c) => Class::Mark,
        _ if is_dense(c) => Class::Dense,
        '\u{2190}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2900}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' => {
            Class::Emoji
        }
        _ if c.is_numeric() => Class::Digit,
        _ if c.is_lowercase() => Class::Lower,
        _ if c.is_uppercase() => Class::Upper,
        _ if c.is_alphabetic() => Class::Letter,
        _ => Class::Other,
    }
}

/// Whether `c` is a letter of a script that sets no spaces between words, or whose words carry their endings (Korean).
fn is_dense(c: char) -> bool {
    let range = matches!(c,
        '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}' | '\u{3105}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}'
        | '\u{20000}'..='\u{3134f}');
    range && c.is_alphabetic()
}

/// Appends `c` in lower case, without marks, in its plain form.
fn fold(c: char, to: &mut String) {
    if c.is_ascii() {
        to.push(c.to_ascii_lowercase());
        return;
    }
    let mut lower = |c: char| {
        let letters = c.to_lowercase().filter(|c| c.is_alphanumeric() && !is_combining_mark(*c));
        // To FTS5, a final sigma is one like any other.
        to.extend(letters.map(|c| if c == 'ς' { 'σ' } else { c }));
    };
    match c {
        // Decomposed, a syllable falls into its letters, and a voiced kana loses its voice.
        '\u{3041}'..='\u{30ff}' | '\u{ac00}'..='\u{d7a3}' => lower(c),
        _ => decompose_compatible(c, lower),
    }
}

/// Why a part begins where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glue {
    /// It is the first.
    Start,
    /// The case changed, or letters and digits met.
    Inner,
    /// `_`, `-`, or others that hold one name together.
    Name,
    /// `/`, `::`, `.`: another name.
    Path,
}

#[derive(Clone, Debug)]
struct Part {
    /// In `folded`.
    word: Range<usize>,
    /// In the text.
    source: Range<usize>,
    glue: Glue,
}

/// One character of a run.
struct Unit {
    class: Class,
    /// Where it begins in `folded`.
    word: usize,
    /// Where it begins in the text.
    source: usize,
}

struct Expander<'t, F> {
    text: &'t str,
    each: F,
    /// The words of the compound that is being read, without anything between them.
    folded: String,
    joined: String,
    /// The run that is being read.
    units: Vec<Unit>,
    /// The parts of the compound, without those of the run.
    parts: Vec<Part>,
    /// What lies before the run.
    glue: Glue,
    /// Where the run ends, in the text.
    end: usize,
}

impl<F: FnMut(Token<'_>)> Expander<'_, F> {
    fn run(mut self) {
        let mut at = 0;
        while let Some(c) = self.text[at..].chars().next() {
            let next = at + c.len_utf8();
            at = match class(c) {
                class @ (Class::Lower | Class::Upper | Class::Digit | Class::Letter) => {
                    self.push(c, class, at);
                    next
                }
                Class::Mark => next,
                Class::Connector if !self.units.is_empty() => self.connector(at),
                Class::Apostrophe if !self.units.is_empty() => self.apostrophe(next),
                Class::Dense => {
                    self.flush();
                    self.dense(at)
                }
                Class::Emoji => {
                    self.flush();
                    let name = emoji(c);
                    (self.each)(Token { text: &name, range: at..next, role: Role::Word });
                    next
                }
                Class::Connector | Class::Apostrophe | Class::Other => {
                    self.flush();
                    next
                }
            };
        }
        self.flush();
    }

    fn push(&mut self, c: char, class: Class, at: usize) {
        let word = self.folded.len();
        fold(c, &mut self.folded);
        if self.folded.len() > word {
            self.units.push(Unit { class, word, source: at });
        }
        self.end = at + c.len_utf8();
    }

    /// Reads the connector at `at`, after a run; returns where to go on.
    fn connector(&mut self, at: usize) -> usize {
        self.sign_after_a_letter(at);
        self.end_run();
        let rest = &self.text[at..];
        let length = rest.find(|c| class(c) != Class::Connector).unwrap_or(rest.len());
        let connector = &rest[..length];
        let continues = rest[length..]
            .chars()
            .next()
            .is_some_and(|c| matches!(class(c), Class::Lower | Class::Upper | Class::Digit | Class::Letter));
        if !continues || connector.chars().count() > CONNECTOR_CHARS_MAX || self.parts.len() >= PARTS_MAX {
            self.flush();
        } else {
            let is_path = connector.contains(['/', '\\', ':', '.', '@', '#', '=']);
            self.glue = if is_path { Glue::Path } else { Glue::Name };
        }
        at + length
    }

    /// `C++` and `C#` are names of their own.
    fn sign_after_a_letter(&mut self, at: usize) {
        let [unit] = self.units.as_slice() else { return };
        let rest = &self.text[at..];
        let is_letter = matches!(unit.class, Class::Lower | Class::Upper) && self.parts.is_empty();
        let (sign, name) = match () {
            () if rest.starts_with("++") => ("++", "plusplus"),
            () if rest.starts_with('#') && !rest[1..].starts_with(|c: char| c.is_alphanumeric()) => ("#", "sharp"),
            () => return,
        };
        if is_letter {
            let word = format!("{}{name}", &self.folded[unit.word..]);
            (self.each)(Token { text: &word, range: unit.source..at + sign.len(), role: Role::Whole });
        }
    }

    /// Reads what follows an apostrophe after a run: `don't` is `dont`, `user's` is `user`, `l'eau` is two words.
    fn apostrophe(&mut self, next: usize) -> usize {
        let rest = &self.text[next..];
        let length = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        match rest[..length].to_ascii_lowercase().as_str() {
            "t" if self.folded.ends_with('n') => next,
            "s" | "re" | "ve" | "ll" | "d" | "m" | "t" => {
                self.flush();
                next + length
            }
            _ => {
                self.flush();
                next
            }
        }
    }

    /// Reads the run of a script without spaces at `from`; returns where it ends.
    fn dense(&mut self, from: usize) -> usize {
        let (mut before, mut end) = (None::<(usize, usize)>, from);
        let mut pair = String::new();
        for (at, c) in self.text[from..].char_indices() {
            match class(c) {
                Class::Dense => {}
                Class::Mark => continue,
                _ => break,
            }
            let (at, word) = (from + at, self.folded.len());
            end = at + c.len_utf8();
            fold(c, &mut self.folded);
            let single = &self.folded[word..];
            (self.each)(Token { text: single, range: at..end, role: Role::Single });
            if let Some((word_before, at_before)) = before {
                pair.clear();
                pair.push_str(&self.folded[word_before..]);
                (self.each)(Token { text: &pair, range: at_before..end, role: Role::Pair });
            }
            before = Some((word, at));
        }
        self.folded.clear();
        end.max(from + 1)
    }

    /// Splits the run into parts.
    fn end_run(&mut self) {
        let Some(first) = self.units.first() else { return };
        let (word_end, source_end) = (self.folded.len(), self.end);
        let mut from = Part { word: first.word..word_end, source: first.source..source_end, glue: self.glue };
        let before = self.parts.len();
        let digits = self.units.windows(2).filter(|it| digits_meet_letters(&it[0], &it[1])).count();
        for at in 1..self.units.len() {
            if is_seam(&self.units, at, digits <= DIGIT_CHANGES_MAX) {
                let unit = &self.units[at];
                let rest = Part { word: unit.word..word_end, source: unit.source..source_end, glue: Glue::Inner };
                from.word.end = rest.word.start;
                from.source.end = rest.source.start;
                self.parts.push(std::mem::replace(&mut from, rest));
            }
        }
        self.parts.push(from);
        if self.parts.len() - before > RUN_PARTS_MAX {
            let (word, source) = (first.word..word_end, first.source..source_end);
            self.parts.truncate(before);
            self.parts.push(Part { word, source, glue: self.glue });
        }
        self.units.clear();
    }

    /// Ends the compound: its parts, and what is joined from them.
    fn flush(&mut self) {
        self.end_run();
        let role = if self.parts.len() == 1 { Role::Word } else { Role::Part };
        for part in &self.parts {
            let word = cut(&self.folded[part.word.clone()]);
            (self.each)(Token { text: word, range: part.source.clone(), role });
        }
        if self.parts.len() > 1 {
            self.join();
        }
        self.parts.clear();
        self.folded.clear();
        self.glue = Glue::Start;
    }

    fn join(&mut self) {
        let count = self.parts.len();
        for (from, to) in joints(&self.parts) {
            self.joined.clear();
            for part in &self.parts[from..to] {
                let word = &self.folded[part.word.clone()];
                let ends_in_digit = self.joined.ends_with(|c: char| c.is_numeric());
                if ends_in_digit && word.starts_with(|c: char| c.is_numeric()) {
                    // 1.23 is not 12.3.
                    self.joined.push('p');
                }
                self.joined.push_str(word);
            }
            if self.joined.len() <= JOINED_BYTES_MAX {
                let range = self.parts[from].source.start..self.parts[to - 1].source.end;
                let role = if to - from == count { Role::Whole } else { Role::Piece };
                (self.each)(Token { text: &self.joined, range, role });
            }
        }
    }
}

/// The runs of parts that are words of their own: each run of letters and digits, each name, each end of a path, each two
/// neighbours on it.
fn joints(parts: &[Part]) -> Vec<(usize, usize)> {
    let starts = |least: &[Glue]| -> Vec<usize> {
        let begins = |at: &usize| *at == 0 || least.contains(&parts[*at].glue);
        (0..parts.len()).filter(begins).chain([parts.len()]).collect()
    };
    let (runs, names) = (starts(&[Glue::Name, Glue::Path]), starts(&[Glue::Path]));
    let mut joints = Vec::new();
    joints.extend(runs.windows(2).map(|it| (it[0], it[1])));
    joints.extend(names.windows(2).map(|it| (it[0], it[1])));
    joints.extend(names.windows(3).map(|it| (it[0], it[2])));
    joints.extend(names.iter().map(|from| (*from, parts.len())));
    joints.retain(|(from, to)| to - from > 1);
    joints.sort_unstable();
    joints.dedup();
    joints
}

fn digits_meet_letters(a: &Unit, b: &Unit) -> bool {
    (a.class == Class::Digit) != (b.class == Class::Digit)
}

/// Whether a part begins at `at`.
fn is_seam(units: &[Unit], at: usize, split_digits: bool) -> bool {
    let (before, unit) = (&units[at - 1], &units[at]);
    if digits_meet_letters(before, unit) {
        return split_digits;
    }
    let lower = |at: usize| units.get(at).is_some_and(|it| it.class == Class::Lower);
    match (before.class, unit.class) {
        (Class::Lower, Class::Upper) => true,
        // HTTPServer, but not URLs.
        (Class::Upper, Class::Upper) => lower(at + 1) && lower(at + 2),
        _ => false,
    }
}

fn cut(word: &str) -> &str {
    match word.char_indices().map(|(at, _)| at).find(|at| *at > WORD_BYTES_MAX) {
        Some(end) => &word[..end],
        None => word,
    }
}
