//! What was asked, parsed. Any text is a query.
//!
//! | typed | is |
//! | --- | --- |
//! | `word` | a word, found by any record that has it; an identifier by its parts as well |
//! | `"some words"` | a phrase: its words, and records that have them side by side come first |
//! | `-word`, `-"some words"` | left out: records that have it |
//! | `kind:failure`, `domain:ci,ops`, ... ([`FILTERS`]) | a filter; with `-` before it, what it takes is left out |
//! | `--flag`, `-9`, `-rf`, `note:`, anything else | words |
//!
//! 1. A filter's name counts at the beginning of a word and before a value alone: `kind: of` is two words.
//! 2. A quote counts at the beginning of a word; one that is not closed is no quote.
//! 3. A query that only leaves out words is these words: `-fwrapv`.
//! 4. After a dash, one or two letters are options, as in `rm -rf build`: to leave out what was asked for would be worse
//!    than to look for what was to be left out. `-"ci"` leaves out so short a word.
//! 5. The work is bounded: [`BYTES_MAX`] bytes and [`WORDS_MAX`] different words are looked at.

use jiff::Zoned;

use super::expand::{Role, Token, expand};
use super::filter::{FILTERS, Filter, UnknownValue};
use super::score::{TITLE, Totals, about};
use super::sequence::hash;
use super::state::AskedState;
use super::stem::stemmed;
use crate::rules;

/// The bytes of a query that are looked at.
pub const BYTES_MAX: usize = 64 << 10;
/// The different words of a query that are looked for.
pub const WORDS_MAX: usize = 64;
/// The different words of a query of which it is looked up how rare they are, so that the rarest can be looked for.
const WORDS_LOOKED_UP_MAX: usize = 512;
/// So many letters and digits after a dash are options.
const OPTIONS_MAX: usize = 2;
/// The phrases, exclusions and excluding filters that are looked at, each.
const ITEMS_MAX: usize = 64;

/// A query.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub(super) words: Vec<Word>,
    /// The words for which there was no room.
    pub(super) more: Vec<Word>,
    pub(super) phrases: Vec<Phrase>,
    pub(super) without: Vec<Phrase>,
    pub(super) without_filters: Vec<Filter>,
    /// The states that were typed: of each list one, or none of it.
    states: Vec<(Vec<AskedState>, bool)>,
    /// The filters that were typed.
    pub filter: Filter,
    pub(super) is_cut: bool,
}

/// A word that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// As it is expanded: what a person is shown.
    pub token: String,
    /// As the full-text index has it.
    pub stem: String,
    pub hash: u32,
    pub role: Role,
}

/// Words side by side; of exclusions, perhaps a single one.
#[derive(Clone, Debug)]
pub(super) struct Phrase {
    pub tokens: Vec<String>,
    pub stems: Vec<String>,
    pub hashes: Vec<u32>,
    /// Of each beginning of the phrase, by its last word: how many words at its end are a beginning too.
    pub borders: Vec<usize>,
}

impl Word {
    /// How much it counts beside others of the query: an identifier's parts count less than words that were chosen one by
    /// one, because all of them come with the whole.
    pub fn weight(&self) -> f64 {
        match self.role {
            Role::Whole => 1.5,
            Role::Word | Role::Single => 1.0,
            Role::Part | Role::Pair => 0.7,
            Role::Piece => 0.5,
        }
    }
}

impl Query {
    /// Parses what was typed. Dates are of the zone of `now`.
    ///
    /// # Errors
    /// [`UnknownValue`] of a filter with closed values.
    pub fn parse(text: &str, now: &Zoned) -> Result<Query, UnknownValue> {
        let end = end_of(text);
        let mut query = Query { is_cut: end < text.len(), ..Query::default() };
        for item in Items(&text[..end]) {
            query.add(item, now)?;
        }
        let leaves_out_only = query.words.is_empty() && query.filter.is_empty() && !query.has_excluding_or_states();
        if leaves_out_only && !query.without.is_empty() {
            query.without.clear();
            query.add_words(&text[..end]);
        }
        Ok(query)
    }

    /// A query of the words of `text`, whatever syntax it has: for text that was not written as a query.
    pub fn of_words(text: &str) -> Query {
        let end = end_of(text);
        let mut query = Query { is_cut: end < text.len(), ..Query::default() };
        query.add_words(&text[..end]);
        query
    }

    /// Its words, as they are looked for and as hits name them.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.token.as_str())
    }

    /// Whether there is nothing to look for: no word, no phrase.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// How many different words are looked for.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is more to it than words: phrases, or words that are left out.
    pub fn has_more_than_words(&self) -> bool {
        !self.phrases.is_empty() || !self.without.is_empty()
    }

    /// Whether there is something that it leaves out.
    pub(super) fn leaves_out(&self) -> bool {
        !self.without.is_empty() || self.has_excluding_or_states()
    }

    /// Whether the states that were typed take a record by what its row says, where no verdict is known.
    pub(super) fn accepts_row(&self, is_golden: bool) -> bool {
        let state = if is_golden { rules::State::Golden } else { rules::State::Active };
        self.states.iter().all(|(states, takes)| states.contains(&AskedState::Rule(state)) == *takes)
    }

    fn has_excluding_or_states(&self) -> bool {
        !self.without_filters.is_empty() || !self.states.is_empty()
    }

    /// The filters that were typed, each with whether a record has to be accepted by it, or must not be.
    pub fn filters(&self) -> impl Iterator<Item = (&Filter, bool)> {
        let with = Some(&self.filter).filter(|filter| !filter.is_empty());
        with.into_iter().map(|filter| (filter, true)).chain(self.without_filters.iter().map(|filter| (filter, false)))
    }

    /// What each word is about worth in one of `docs` records, of which `with_word` have each, to a record that has it in its
    /// headline, in its body, or in both.
    pub fn worth(&self, docs: u64, with_word: &[u64]) -> Vec<impl Fn(bool, bool) -> f64> {
        let totals = Totals { docs: docs as f64, words: 0.0 };
        let worth = |(word, with): (&Word, &u64)| {
            let rarity = totals.rarity(*with as f64) * word.weight();
            move |in_headline: bool, in_body: bool| {
                let frequency = TITLE * f64::from(u8::from(in_headline)) + f64::from(u8::from(in_body));
                if frequency > 0.0 { about(rarity, frequency) } else { 0.0 }
            }
        };
        self.words.iter().zip(with_word).map(worth).collect()
    }

    /// The states that were typed, each list with whether a record has to be in one of them, or must not be.
    pub fn states(&self) -> impl Iterator<Item = (&[AskedState], bool)> {
        self.states.iter().map(|(states, takes)| (states.as_slice(), *takes))
    }

    /// Whether identifiers are all that was asked for. Among other words, an identifier counts by being rare: a sentence has
    /// words with a hyphen that are not what it is about.
    pub(super) fn is_of_identifiers(&self) -> bool {
        !self.words.iter().any(|it| it.role == Role::Word)
    }

    /// That the query was longer than what is looked at, for people; `None` if it was not.
    pub fn note(&self) -> Option<String> {
        let bytes = crate::model::text::number(BYTES_MAX as u64);
        let note = format!(
            "the query is too long, and some of it was not looked at: the {WORDS_MAX} rarest of {WORDS_LOOKED_UP_MAX} different words are, and \
             {ITEMS_MAX} phrases, words and filters to leave out each, within {bytes} bytes"
        );
        self.is_cut().then_some(note)
    }

    /// Whether the query was longer than what is looked at.
    pub fn is_cut(&self) -> bool {
        self.is_cut || !self.more.is_empty()
    }

    fn add(&mut self, item: Item<'_>, now: &Zoned) -> Result<(), UnknownValue> {
        match item {
            Item::Words(text) => self.add_words(text),
            Item::Phrase(text) => {
                self.add_words(text);
                let phrase = phrase(text);
                if phrase.stems.len() > 1 {
                    self.is_cut |= !add_phrase(&mut self.phrases, phrase);
                }
            }
            Item::Without(text) => {
                let phrase = phrase(text);
                if !phrase.stems.is_empty() {
                    self.is_cut |= !add_phrase(&mut self.without, phrase);
                }
            }
            Item::Filter { name: "state", values, without } => self.add_states(&values, !without)?,
            Item::Filter { name, values, without: false } => add_values(&mut self.filter, name, &values, now)?,
            Item::Filter { name, values, without: true } => {
                let mut filter = Filter::default();
                add_values(&mut filter, name, &values, now)?;
                match self.without_filters.len() < ITEMS_MAX {
                    true => self.without_filters.push(filter),
                    false => self.is_cut = true,
                }
            }
        }
        Ok(())
    }

    /// Adds the states `names`. As with other filters, those of two that ask are one list.
    fn add_states(&mut self, names: &[&str], takes: bool) -> Result<(), UnknownValue> {
        let mut states = names.iter().map(|name| AskedState::named(name)).collect::<Result<Vec<_>, _>>()?;
        match self.states.iter_mut().find(|it| it.1 && takes) {
            Some((known, _)) => known.append(&mut states),
            None => self.states.push((states, takes)),
        }
        Ok(())
    }

    fn add_words(&mut self, text: &str) {
        let mut found = Vec::new();
        expand(text, |token: Token<'_>| found.push((token.text.to_owned(), token.role)));
        for at in 0..found.len() {
            let (token, role) = &found[at];
            // A character counts if it stands alone; pairs say more.
            let beside = |other: Option<&(String, Role)>| other.is_some_and(|it| it.1 == Role::Pair);
            let in_pair =
                beside(found.get(at + 1)) || beside(found.get(at + 2)) || (at > 0 && beside(found.get(at - 1)));
            if *role == Role::Single && in_pair {
                continue;
            }
            self.add_word(token, *role);
        }
    }

    fn add_word(&mut self, token: &str, role: Role) {
        let stem = stemmed(token);
        let hash = hash(stem.as_bytes());
        let mut words = self.words.iter_mut().chain(&mut self.more);
        if let Some(known) = words.find(|it| it.hash == hash && it.stem == stem) {
            let word = Word { role, ..known.clone() };
            if word.weight() > known.weight() {
                *known = word;
            }
            return;
        }
        let word = Word { token: token.to_owned(), stem, hash, role };
        match self.words.len() + self.more.len() {
            known if known < WORDS_MAX => self.words.push(word),
            known if known < WORDS_LOOKED_UP_MAX => self.more.push(word),
            _ => self.is_cut = true,
        }
    }
}

/// The end of what of `text` is looked at: between two words, if there are two.
fn end_of(text: &str) -> usize {
    if text.len() <= BYTES_MAX {
        return text.len();
    }
    let mut end = BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].rfind(char::is_whitespace).unwrap_or(end)
}

fn add_values(filter: &mut Filter, name: &str, values: &[&str], now: &Zoned) -> Result<(), UnknownValue> {
    values.iter().try_for_each(|value| filter.add(name, value, now))
}

/// The values that `text` begins with, which commas separate, and what follows them. What stands in quotes can have spaces.
fn values(text: &str) -> (Vec<&str>, &str) {
    let (mut values, mut rest) = (Vec::new(), text);
    loop {
        match quoted(rest) {
            Some((inside, after)) => {
                values.extend(inside.split(','));
                rest = after;
            }
            None => {
                let (plain, after) =
                    rest.split_at(rest.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(rest.len()));
                values.push(plain);
                rest = after;
            }
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    values.retain(|value| !value.trim().is_empty());
    (values, rest)
}

/// Adds a phrase that is not there. False if there are too many.
fn add_phrase(phrases: &mut Vec<Phrase>, phrase: Phrase) -> bool {
    let is_there = phrases.iter().any(|it| it.stems == phrase.stems);
    let has_room = phrases.len() < ITEMS_MAX;
    if !is_there && has_room {
        phrases.push(phrase);
    }
    is_there || has_room
}

fn phrase(text: &str) -> Phrase {
    let (mut tokens, mut wholes) = (Vec::new(), Vec::new());
    expand(text, |token| match token.role {
        Role::Whole => wholes.push(token.text.to_owned()),
        role if role.is_base() => tokens.push(token.text.to_owned()),
        _ => {}
    });
    // `C++` is not `C`.
    if tokens.len() == 1 && !wholes.is_empty() {
        tokens = wholes;
    }
    let stems: Vec<String> = tokens.iter().map(|token| stemmed(token)).collect();
    let hashes: Vec<u32> = stems.iter().map(|stem| hash(stem.as_bytes())).collect();
    let mut borders = Vec::with_capacity(hashes.len());
    for (at, word) in hashes.iter().enumerate() {
        let before = if at == 0 { None } else { Some(follow(&hashes, &borders, borders[at - 1], *word)) };
        borders.push(before.unwrap_or(0));
    }
    Phrase { tokens, stems, hashes, borders }
}

impl Phrase {
    /// How many words of the phrase stand before a place of a text, `word` included, if these were `had` without it. It must
    /// not be all of them.
    pub fn follow(&self, had: usize, word: u32) -> usize {
        follow(&self.hashes, &self.borders, had, word)
    }
}

fn follow(hashes: &[u32], borders: &[usize], mut had: usize, word: u32) -> usize {
    while had > 0 && hashes[had] != word {
        had = borders[had - 1];
    }
    had + usize::from(hashes[had] == word)
}

/// A piece of what was typed.
#[derive(Debug, PartialEq)]
enum Item<'t> {
    Words(&'t str),
    Phrase(&'t str),
    Without(&'t str),
    Filter { name: &'static str, values: Vec<&'t str>, without: bool },
}

/// The pieces, in order.
struct Items<'t>(&'t str);

impl<'t> Iterator for Items<'t> {
    type Item = Item<'t>;

    fn next(&mut self) -> Option<Item<'t>> {
        self.0 = self.0.trim_start();
        if self.0.is_empty() {
            return None;
        }
        let (item, rest) = first_item(self.0);
        self.0 = rest;
        Some(item)
    }
}

fn first_item(text: &str) -> (Item<'_>, &str) {
    let inner = text.strip_prefix('-');
    let after = inner.unwrap_or(text);
    if let Some((name, after)) = filter_name(after) {
        let (values, rest) = values(after);
        if !values.is_empty() {
            return (Item::Filter { name, values, without: inner.is_some() }, rest);
        }
    }
    if let Some((words, rest)) = quoted(after) {
        return (if inner.is_some() { Item::Without(words) } else { Item::Phrase(words) }, rest);
    }
    // Not before it is needed: many quotes without a space would be read through for each of them.
    let (plain, rest) = until_space(text);
    match plain.strip_prefix('-').filter(|word| is_exclusion(word)) {
        Some(word) => (Item::Without(word), rest),
        None => (Item::Words(plain), rest),
    }
}

/// Whether what follows a dash is a word to leave out, and not options or a number.
fn is_exclusion(word: &str) -> bool {
    let is_options = word.len() <= OPTIONS_MAX && word.bytes().all(|it| it.is_ascii_alphanumeric());
    word.starts_with(char::is_alphanumeric)
        && word.chars().nth(1).is_some()
        && !is_options
        && !word.bytes().all(|it| it.is_ascii_digit())
}

fn until_space(text: &str) -> (&str, &str) {
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// The words in the quotes that `text` begins with.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let is_quote = |c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}');
    let inside = text.strip_prefix(is_quote)?;
    let end = inside.find(is_quote)?;
    let after = inside[end..].chars().next().map_or(0, char::len_utf8);
    Some((&inside[..end], &inside[end + after..]))
}

/// The filter that `text` begins with, and what follows the colon.
fn filter_name(text: &str) -> Option<(&'static str, &str)> {
    let has_name = |name: &&str| {
        let start = text.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name)) && text[name.len()..].starts_with(':')
    };
    let name = FILTERS.into_iter().find(has_name)?;
    let rest = &text[name.len() + 1..];
    // `kind::of` is a path.
    (!rest.starts_with(':')).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_is_a_value_wherever_it_stands_in_a_list() {
        let tags = |text: &str| {
            let now = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
            let query = Query::parse(text, &now).expect("a query");
            let words: Vec<String> = query.tokens().map(str::to_owned).collect();
            (query.filter.tags.join("|"), words.join("|"))
        };
        for (text, wanted) in [
            ("tag:zed,\"x y\" word", ("zed|x y", "word")),
            ("tag:\"x y\",zed,\"a b\" word", ("x y|zed|a b", "word")),
            ("tag:\"a,b\" word", ("a|b", "word")),
            ("tag:a, b", ("a", "b")),
            ("tag:a,\"b c", ("a|\"b", "c")),
            ("tag:a,,b", ("a|b", "")),
        ] {
            let (tags, words) = tags(text);
            assert_eq!((tags.as_str(), words.as_str()), wanted, "{text}");
        }
    }
}
