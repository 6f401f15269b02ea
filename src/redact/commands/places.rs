//! Where the secrets are among the arguments of a call.

use std::ops::Range;

use super::rows::Place::{
    self, After, AnyNamed, Argument, Begun, Behind, Flag, Glued, Input, Last, Leading, Named, Second, Short,
};
use crate::shell::{self, EXPANSION, Word};

/// The secrets among the arguments `words` of a call in `text`, at `place`.
pub(super) fn in_args(text: &str, words: &[Word], place: &Place) -> Vec<Range<usize>> {
    let args = Args { text, words };
    let found: Vec<_> = match place {
        Argument(number) => {
            let argument = words.iter().filter(|word| is_argument(&word.text)).nth(number - 1);
            argument.map(|word| args.whole(word)).into_iter().collect()
        }
        Last => words.last().map(|word| args.whole(word)).into_iter().collect(),
        Input => Vec::new(),
        Flag(_) | Short(_) | Leading(_) | Glued(_) => {
            (0..words.len()).filter_map(|at| args.at_flag(at, place)).collect()
        }
        After(..) | Begun(..) => (0..words.len()).filter_map(|at| args.behind(at, place)).collect(),
        Second(_) | Behind(_) | Named(_) | AnyNamed => {
            (0..words.len()).filter_map(|at| args.in_word(at, place)).collect()
        }
    };
    found.into_iter().map(|range| unquoted(text, range)).filter(|range| is_secret(text, range)).collect()
}

/// The arguments of a call.
struct Args<'a> {
    text: &'a str,
    words: &'a [Word],
}

impl Args<'_> {
    fn whole(&self, word: &Word) -> Range<usize> {
        unquoted(self.text, word.range.clone())
    }

    fn raw(&self, word: &Word) -> &str {
        &self.text[self.whole(word)]
    }

    /// What is in the word `at` behind `flag`; in the next word if nothing is and it may be (`next`); right after the flag if
    /// that may be (`glued`).
    fn value(&self, at: usize, flag: &str, glued: bool, next: bool) -> Option<Range<usize>> {
        let word = &self.words[at];
        let rest = word.text.strip_prefix(flag)?;
        let begin = || Some(self.whole(word).start + self.raw(word).find(flag)? + flag.len());
        match rest.strip_prefix('=') {
            _ if rest.is_empty() => {
                let next = self.words.get(at + 1).filter(|word| next && !word.text.starts_with('-'));
                next.map(|word| self.whole(word))
            }
            Some(_) => Some(begin()? + 1..self.whole(word).end),
            None => glued.then(|| Some(begin()?..self.whole(word).end)).flatten(),
        }
    }

    /// The word after `at`, if that is several letters of which the last is that of `flag`.
    fn after_letters(&self, at: usize, flag: &str) -> Option<Range<usize>> {
        let next = self.words.get(at + 1).filter(|_| is_last_of(&self.words[at], flag));
        next.map(|word| self.whole(word))
    }

    fn behind_sign(&self, range: Range<usize>, sign: char) -> Option<Range<usize>> {
        let at = self.text[range.clone()].find(sign)?;
        Some(range.start + at + sign.len_utf8()..range.end)
    }

    fn at_flag(&self, at: usize, place: &Place) -> Option<Range<usize>> {
        match place {
            Flag(flag) => self.value(at, flag, false, true),
            Short(flag) => self.value(at, flag, true, true).or_else(|| self.after_letters(at, flag)),
            Leading(flag) => {
                let is_leading = self.words[..at].iter().all(|word| word.text.starts_with('-'));
                is_leading.then(|| self.value(at, flag, true, true)).flatten()
            }
            Glued(flag) => self.value(at, flag, true, false),
            _ => None,
        }
    }

    /// Behind a sign or a beginning, with a flag or without.
    fn behind(&self, at: usize, place: &Place) -> Option<Range<usize>> {
        let word = &self.words[at];
        match place {
            After("", sign) => {
                let begins_otherwise = self.raw(word).starts_with(['-', '/', '@', '.']);
                let range = self.behind_sign(self.whole(word), *sign).filter(|_| !begins_otherwise)?;
                let end = self.text[range.clone()].rfind('@');
                // `host:port` is no account.
                (end.is_some() || *sign != ':').then(|| range.start..end.map_or(range.end, |end| range.start + end))
            }
            After(flag, sign) => {
                let values = [self.value(at, flag, true, true), self.after_letters(at, flag)];
                values.into_iter().flatten().find_map(|range| self.behind_sign(range, *sign))
            }
            Begun("", beginning) => {
                let begins = word.text.to_lowercase().starts_with(beginning);
                begins.then(|| self.behind_sign(self.whole(word), ':')).flatten()
            }
            Begun(flag, beginning) => {
                let range = unquoted(self.text, self.value(at, flag, false, true)?);
                let begins = self.text[range.clone()].starts_with(beginning);
                begins.then(|| range.start + beginning.len()..range.end)
            }
            _ => None,
        }
    }

    /// In the word `at`, by its name or by the words before it.
    fn in_word(&self, at: usize, place: &Place) -> Option<Range<usize>> {
        let word = &self.words[at];
        match place {
            Second(name) => (at > 1 && self.words[at - 2].text == *name).then(|| self.whole(word)),
            // Any word after a share that is no option.
            Behind("\\\\") => {
                let has_share = self.words[..at].iter().any(|it| self.raw(it).starts_with("\\\\"));
                (has_share && !self.raw(word).starts_with('/')).then(|| self.whole(word))
            }
            Behind(end) => {
                let is_behind = at > 0 && self.words[at - 1].text.to_lowercase().ends_with(end);
                is_behind.then(|| self.whole(word))
            }
            Named(name) => {
                let lower = self.raw(word).to_ascii_lowercase();
                let begin = lower.find(&format!("{name}="))? + name.len() + 1;
                let is_list = !lower.contains(['"', '\'']);
                let ends: &[char] = if *name == "extraheader" { &[] } else { &[',', ' '] };
                let end = lower[begin..].find(ends).filter(|_| is_list).map_or(lower.len(), |comma| begin + comma);
                Some(self.whole(word).start + begin..self.whole(word).start + end)
            }
            AnyNamed => self.behind_sign(self.whole(word), '=').filter(|_| !word.text.starts_with('-')),
            _ => None,
        }
    }
}

/// Whether `arg` is `word`, or has its letter among several: `-nS`.
pub(super) fn is(arg: &Word, word: &str) -> bool {
    let letter = word.strip_prefix('-').filter(|letter| letter.len() == 1);
    let letters = arg.text.strip_prefix('-').filter(|it| it.bytes().all(|byte| byte.is_ascii_alphabetic()));
    arg.text == word || letter.zip(letters).is_some_and(|(letter, letters)| letters.contains(letter))
}

/// Whether `arg` is several letters, the last of them that of `flag`: `-xw`.
fn is_last_of(arg: &Word, flag: &str) -> bool {
    flag.len() == 2 && arg.text.len() > 2 && arg.text.ends_with(&flag[1..]) && is(arg, flag)
}

/// Whether `word` is neither a flag nor `name=value`. The `=` at the end of base64 does not count.
fn is_argument(word: &str) -> bool {
    let is_padding = word.trim_end_matches('=').find('=').is_none();
    !word.starts_with('-') && (is_padding || !shell::is_assignment(word))
}

/// `range` without the quotes around it, including a shell's quotes within JSON.
pub(super) fn unquoted(text: &str, range: Range<usize>) -> Range<usize> {
    let raw = &text[range.clone()];
    for quote in ["\\\"", "\\'", "\"", "'"] {
        let inner = raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote));
        if inner.is_some() {
            return range.start + quote.len()..range.end - quote.len();
        }
    }
    range
}

/// Whether the text in `range` is a secret, and not a reference to one.
pub(super) fn is_secret(text: &str, range: &Range<usize>) -> bool {
    let raw = text[range.clone()].trim();
    let is_quoted = text[..range.start].ends_with('\'');
    let is_reference = raw.starts_with(['$', '`']) && !is_quoted && !raw.starts_with("$'")
        || raw.starts_with('%') && raw.ends_with('%') && raw.len() > 1
        || raw.starts_with('<') && raw.ends_with('>')
        || raw.starts_with("{{")
        || raw.contains("[redacted:")
        || raw.contains(EXPANSION);
    let is_other =
        raw.is_empty() || raw == "-" || raw.chars().all(|c| matches!(c, '*' | '.' | '…' | '\\' | '"' | '\''));
    !is_reference && !is_other
}
