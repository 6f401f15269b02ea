//! What search finds for a task; and at a prompt the records of the project that are about it, which for most prompts are none.
//!
//! A record is about a prompt if its title has two rare words of it, or one, and its text two others. A word is rare if at most one
//! record in [`RARE_IN`] has it, in a small home at most [`FEW`] records, and if it is no common word of English. The parts of one
//! word of the prompt (`src/cart.rs`) count once. Chinese, Japanese and Korean are searched in pairs of characters; four of them
//! count as two words.
//!
//! Nothing of a prompt is kept. The work is bounded: [`CHARS_READ`] characters are looked at, one search is made, and what it finds is
//! told only if [`may_tell`](super::may_tell) says so.

use std::collections::HashSet;
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::Ask;
use crate::model::RecordId;
use crate::query::{self, Ask as SearchAsk, Brief, Error, Hit, Selection, Sort, View};
use crate::search::{Filter, Parts, Query};

/// The most entries that are told at a prompt.
pub(super) const MOST: usize = 3;
/// How many characters of a prompt are looked at.
const CHARS_READ: usize = 4_000;
/// How many hits of a search are looked at.
const HITS_READ: usize = 20;
/// A word is rare if at most one record in so many has it.
const RARE_IN: f64 = 50.0;
/// In a small home a word is rare if at most so many records have it.
const FEW: f64 = 8.0;
/// From so many records on, a home is not small: [`RARE_IN`] times [`FEW`].
const SMALL: u64 = 400;
/// What a rare word counts.
const WORD: u32 = 2;
/// What a rare pair of characters counts.
const PAIR: u32 = 1;
/// What a record has to have in common with a prompt.
const ENOUGH: u32 = 2 * WORD;
/// The fewest characters of a word that counts.
const WORD_CHARS_MIN: usize = 3;

/// What a person has asked for, and what the session knows already.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'p> {
    /// Its text.
    pub text: &'p str,
    /// The session.
    pub session: &'p str,
    /// The records that the session was told of.
    pub told: &'p HashSet<RecordId>,
}

impl Prompt<'_> {
    /// The records of the project that are about it, the best first.
    pub(super) fn hits(&self, view: &View<'_>, ask: &Ask<'_>) -> Result<Vec<Hit>, Error> {
        let Some(place) = ask.place else { return Ok(Vec::new()) };
        let end = self.text.char_indices().nth(CHARS_READ).map_or(self.text.len(), |(at, _)| at);
        let terms = terms(&self.text[..end]);
        if terms.iter().map(|term| term.counts).sum::<u32>() < ENOUGH {
            return Ok(Vec::new());
        }
        let words: Vec<&str> = terms.iter().map(|term| term.text).collect();
        let query = Query::of_words(&words.join(" "));
        let project = place.project.as_str();
        let filter = Filter { projects: vec![project.to_owned()], domains: ask.domains.to_vec(), ..Filter::default() };
        // Without a time, so that the same records are found at any time.
        let now = Timestamp::UNIX_EPOCH;
        let asked =
            SearchAsk { query: &query, filter: &filter, states: &[], limit: HITS_READ, project: Some(project), now };
        let found = query::search(view, &asked)?;
        if found.hits.is_empty() {
            return Ok(Vec::new());
        }
        let all = Filter::default();
        let counted = Selection { filter: &all, states: None, sort: Sort::Newest, limit: 1, count_max: Some(SMALL) };
        let rare = rarity_from(query::list(view, counted)?.count);
        Ok(found.hits.into_iter().filter(|hit| is_about(&terms, &hit.parts, rare)).collect())
    }

    /// Whether the session was told of none of `records`, and not all of them are its own.
    pub(super) fn is_new(&self, records: &[&Brief]) -> bool {
        let is_own = |it: &&Brief| it.provenance.session.as_deref() == Some(self.session);
        !records.iter().all(is_own) && !records.iter().any(|it| self.told.contains(&it.id))
    }
}

/// What search finds for the task of `ask`, whose project has a record of the time `newest`.
pub(super) fn hits_of_task(
    view: &View<'_>,
    ask: &Ask<'_>,
    all: Filter,
    newest: Option<Timestamp>,
) -> Result<Vec<Hit>, Error> {
    // The newest record's time, so that the same records are found at any time.
    let now = newest.unwrap_or(Timestamp::UNIX_EPOCH);
    let query = ask.task.and_then(|task| Query::parse(task, &Zoned::new(now, TimeZone::UTC)).ok());
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(Vec::new()) };
    let project = ask.place.map(|place| place.project.as_str());
    let filter = Filter { domains: ask.domains.to_vec(), ..all };
    Ok(query::search(view, &SearchAsk { query: &query, filter: &filter, states: &[], limit: HITS_READ, project, now })?
        .hits)
}

/// A word of a prompt that can count.
struct Term<'t> {
    text: &'t str,
    /// How search takes it apart.
    tokens: Vec<String>,
    counts: u32,
}

/// The words of `text` that can count, each once.
fn terms(text: &str) -> Vec<Term<'_>> {
    let mut seen = HashSet::new();
    let mut terms = Vec::new();
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_word = word.chars().count() >= WORD_CHARS_MIN && word.chars().any(char::is_alphabetic);
        let lower = word.to_lowercase();
        let is_wide = word.chars().any(is_wide);
        if is_wide || is_word && !COMMON.contains(lower.as_str()) && seen.insert(lower) {
            let tokens = Query::of_words(word).tokens().map(str::to_owned).collect::<Vec<_>>();
            // Of a text without spaces each pair can count.
            let counts =
                if is_wide { PAIR * u32::try_from(tokens.len()).unwrap_or(u32::MAX).min(ENOUGH) } else { WORD };
            terms.push(Term { text: word, tokens, counts });
        }
    }
    terms
}

/// Whether a record in which `parts` were found is about the prompt that has `terms`. `rare` is the least rarity that counts.
fn is_about(terms: &[Term<'_>], parts: &Parts, rare: f64) -> bool {
    let mut left: Vec<_> =
        parts.words.iter().filter(|it| it.rarity >= rare && !COMMON.contains(it.word.as_str())).collect();
    let (mut counts, mut in_title) = (0, 0);
    for term in terms {
        let is_wide = term.text.chars().any(is_wide);
        let is_of_term = |word: &str| term.tokens.iter().any(|token| token == word);
        let found: Vec<_> = left.iter().filter(|it| is_of_term(&it.word)).copied().collect();
        if found.is_empty() {
            continue;
        }
        let count = |found: usize| if is_wide { PAIR * found as u32 } else { WORD * found.min(1) as u32 };
        counts += count(found.len());
        in_title += count(found.iter().filter(|it| it.in_title > 0).count());
        left.retain(|it| !is_of_term(&it.word));
    }
    in_title >= ENOUGH || in_title >= WORD && counts >= ENOUGH + WORD
}

/// The rarity, as search counts it, of a word that is just rare enough in a home of `records`.
fn rarity_from(records: u64) -> f64 {
    let all = (records.min(SMALL) as f64).max(FEW);
    let rare = (all / RARE_IN).max(FEW);
    // A hair less, since search adds in another order.
    ((all + 1.0) / (rare + 0.5)).ln() - 1e-6
}

/// Whether `c` is of a script that is written without spaces.
fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x1100..=0x11ff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7ff | 0xf900..=0xfaff)
}

/// Words that prompts and records share whatever they are about.
const COMMON_WORDS: &str = "\
    able about add added after again all also always and another answer any are ask avoid away back because been \
    before being better between both branch bug build but call can cannot case change changed changes check class \
    clean code command commit config correct could create current data day default delete did different directory \
    doc docs documentation does doing don't done each easy either else ensure error errors even every everything \
    everywhere example exit expected explain fail failed failing fails failure false feature few file files find \
    first fix fixed folder following for found from function get gets getting give going good handle has have help \
    here how implement import improve install instead into issue its just keep know last leave let let's like line \
    list look main make makes many may maybe merge message method might missing more most move much must name need \
    needs never new next not note nothing now null number off old once one only open option other our out over \
    package page part path please point possible prefer problem program project pull push put question read really \
    refactor remove rename report request result results return review right run running same script see set should \
    show simple some someone something start step steps still stop support sure system take tell test tests text \
    than thank thanks that the their them then there these they thing this time too tool tools true try type under \
    unit update use used user using value version very want was way were what when where which while whole why will \
    with without word words work works would write wrong you your";

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON_WORDS.split(' ').collect());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::WordScore;

    fn parts(words: &[(&str, f64, u32)]) -> Parts {
        let word = |&(word, rarity, in_title): &(&str, f64, u32)| WordScore {
            word: word.into(),
            rarity,
            in_title,
            in_body: 1,
            score: 1.0,
        };
        Parts { words: words.iter().map(word).collect(), ..Parts::default() }
    }

    fn about(prompt: &str, words: &[(&str, f64, u32)]) -> bool {
        is_about(&terms(prompt), &parts(words), 3.0)
    }

    #[test]
    fn two_rare_words_in_the_title_are_needed_or_one_and_two_in_the_text() {
        let prompt = "Please fix the flaky upload behind the proxy in src/cart.rs.";
        assert!(about(prompt, &[("upload", 4.0, 1), ("proxy", 4.0, 2)]));
        assert!(!about(prompt, &[("upload", 4.0, 1), ("proxy", 4.0, 0)]), "one of two in the title");
        assert!(about(prompt, &[("upload", 4.0, 1), ("proxy", 4.0, 0), ("flaky", 4.0, 0)]), "one of three");
        assert!(!about(prompt, &[("upload", 4.0, 0), ("proxy", 4.0, 0), ("flaky", 4.0, 0)]), "none");
        assert!(!about(prompt, &[("upload", 4.0, 1), ("proxy", 2.9, 1)]), "one is frequent");
        assert!(!about(prompt, &[("upload", 4.0, 2)]), "one is not enough");
        assert!(!about(prompt, &[("fix", 9.0, 1), ("the", 9.0, 1), ("upload", 4.0, 1)]), "common words do not count");
        let whole = [("src/cart.rs", 4.0, 1), ("src", 4.0, 1), ("cart", 4.0, 1), ("rs", 4.0, 1)];
        assert!(!about(prompt, &whole), "the parts of one word count once");
        assert!(about(prompt, &[&whole[..], &[("upload", 4.0, 1)]].concat()));
        assert!(!about("upload, Upload upload!", &[("upload", 4.0, 1)]), "the same word again is the same word");
    }

    #[test]
    fn pairs_of_characters_count_half() {
        let prompt = "\u{8a2d}\u{5b9a}\u{30d5}\u{30a1}\u{30a4}\u{30eb}";
        let tokens: Vec<String> = Query::of_words(prompt).tokens().map(str::to_owned).collect();
        let found: Vec<(&str, f64, u32)> = tokens.iter().map(|token| (token.as_str(), 4.0, 1)).collect();
        assert!(found.len() >= 4 && about(prompt, &found), "{tokens:?}");
        assert!(!about(prompt, &found[..3]));
    }

    #[test]
    fn what_is_rare_depends_on_the_homes_size_until_it_is_large() {
        let rarity = |all: f64, docs: f64| (1.0 + (all - docs + 0.5) / (docs + 0.5)).ln();
        for (records, rare, frequent) in [(10, 8.0, 9.0), (100, 8.0, 9.0), (400, 8.0, 9.0), (100_000, 2_000.0, 2_200.0)]
        {
            let from = rarity_from(records);
            assert!(rarity(records as f64, rare) >= from, "{records}");
            assert!(rarity(records as f64, frequent) < from, "{records}");
        }
        assert!(rarity_from(0).is_finite());
    }
}
