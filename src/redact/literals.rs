//! Which rules a text needs, found in one pass. Pure.

use super::commands::ROWS;
use super::named;
use super::rules::RULES;

/// Finds every literal of every built-in rule and row in one pass. Most processes search one short text: an automaton would take
/// longer to build than this takes to search, and so would this table, which the compiler makes.
#[derive(Debug)]
pub(super) struct Literals {
    /// Each literal with the number of its rule, or [`ROW`] for rows of `commands`, or [`NAMED`], by [`Literals::place`] of its first
    /// two bytes.
    placed: [(&'static [u8], usize); LITERALS],
    /// Where the literals of each place begin in `placed`, and where the last ones end.
    begins: [usize; PLACES + 1],
}

/// Instead of a rule's number, for a literal of a row of `commands`.
pub(super) const ROW: usize = RULES.len();
/// The same, for a literal of `named`.
pub(super) const NAMED: usize = ROW + 1;
/// How many rules and rows there are, and one more for `named`.
const GROUPS: usize = RULES.len() + ROWS.len() + 1;
/// How many places there are.
const PLACES: usize = 256;
/// How many literals rules and rows have.
const LITERALS: usize = {
    let (mut count, mut number) = (0, 0);
    while number < GROUPS {
        count += literals_of(number).len();
        number += 1;
    }
    count
};
/// The table.
pub(super) static TABLE: Literals = Literals::new();

/// The literals of the rule `number` or, after these, of the row or, after these, of `named`.
const fn literals_of(number: usize) -> &'static [&'static str] {
    if number < ROW {
        RULES[number].literals
    } else if number < GROUPS - 1 {
        ROWS[number - ROW].literals
    } else {
        named::LITERALS
    }
}

const fn begins_with(text: &[u8], begin: &[u8]) -> bool {
    let mut at = 0;
    while at < begin.len() {
        if at >= text.len() || text[at] != begin[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The literals that a text has.
pub(super) struct Wanted {
    /// By the rule's number: whether one of its literals is there, and what follows can match.
    pub(super) rules: [bool; RULES.len()],
    /// The places of rows' literals.
    pub(super) rows: Vec<usize>,
    /// The places of names.
    pub(super) names: Vec<usize>,
}

impl Literals {
    const fn new() -> Literals {
        let all = Literals::all();
        let mut table = Literals { placed: [(&[], 0); LITERALS], begins: [0; PLACES + 1] };
        let (mut place, mut end) = (0, 0);
        while place < PLACES {
            let mut at = 0;
            while at < LITERALS {
                let literal = all[at].0;
                let is_here = Literals::place(literal[0], literal[1]) == place;
                if is_here && !Literals::is_found_by_another(&all, at) {
                    table.placed[end] = all[at];
                    end += 1;
                }
                at += 1;
            }
            place += 1;
            table.begins[place] = end;
        }
        table
    }

    /// Every literal, those of rules first.
    const fn all() -> [(&'static [u8], usize); LITERALS] {
        let mut all: [(&[u8], usize); LITERALS] = [(&[], 0); LITERALS];
        let (mut end, mut number) = (0, 0);
        while number < GROUPS {
            let literals = literals_of(number);
            let mut at = 0;
            while at < literals.len() {
                let kind = if number == GROUPS - 1 { NAMED } else { ROW };
                all[end] = (literals[at].as_bytes(), if number < ROW { number } else { kind });
                end += 1;
                at += 1;
            }
            number += 1;
        }
        all
    }

    /// Whether the literal at `at` is found by one before it: all rows share one mark.
    const fn is_found_by_another(all: &[(&[u8], usize); LITERALS], at: usize) -> bool {
        let mut before = 0;
        while all[at].1 == ROW && before < at {
            if all[before].1 == ROW && begins_with(all[at].0, all[before].0) {
                return true;
            }
            before += 1;
        }
        false
    }

    /// The place for two bytes in any case, which few other pairs share.
    const fn place(first: u8, second: u8) -> usize {
        (first.to_ascii_lowercase().wrapping_mul(29) ^ second.to_ascii_lowercase()) as usize
    }

    /// The literals of a place.
    fn at(&self, place: usize) -> &[(&'static [u8], usize)] {
        &self.placed[self.begins[place]..self.begins[place + 1]]
    }

    pub(super) fn wanted_by(&self, text: &str) -> Wanted {
        let mut wanted = Wanted { rules: [false; RULES.len()], rows: Vec::new(), names: Vec::new() };
        for (at, pair) in text.as_bytes().windows(2).enumerate() {
            for &(literal, number) in self.at(Literals::place(pair[0], pair[1])) {
                let is_new = wanted.rules.get(number).is_none_or(|wanted| !wanted);
                let here = text.as_bytes().get(at..at + literal.len());
                if is_new && here.is_some_and(|here| here.eq_ignore_ascii_case(literal)) {
                    match RULES.get(number) {
                        Some(rule) => wanted.rules[number] = (rule.follows)(&text[at + literal.len()..]),
                        None if number == ROW => wanted.rows.push(at),
                        None => wanted.names.push(at),
                    }
                }
            }
        }
        wanted
    }
}
