//! The pack: what an agent is told at the start of a session, of what was recorded before.
//!
//! ```text
//! View ─ Briefs ─▶ candidates ─ may_tell ─▶ entries, by weight ─ budget ─▶ Pack ─▶ text
//!                      └────────── why not ──────────────┴───────▶ left out
//! ```
//!
//! 1. [`may_tell`] decides which records an agent may see unasked. Nothing else does.
//! 2. The same records make the same bytes: dates and never ages, weights relative to the newest record, order by weight and
//!    id. Nothing depends on the clock, on the session, or on what was told before.
//! 3. Recorded text stands in code spans, one line each ([`quoted`](crate::model::text::quoted)): facts with their date and
//!    the end of their id, all inside one block that says where it comes from.
//! 4. An entry is in the pack whole or not at all. The pack keeps to its budget and its characters.
//! 5. Reading is bounded ([`Briefs`](crate::query::Briefs)): a store that is out of reach makes a smaller pack, or none.
//!
//! `choose` finds, weighs and orders entries, `group` puts together failures that are the same one, `same` rules that are the same one,
//! `prompt` finds what a prompt shares rare words with, `weigh` counts tokens, `place` knows whether a folder is new to its
//! project, `write` makes the text.

mod choose;
mod group;
pub mod may_tell;
mod place;
mod prompt;
mod same;
mod weigh;
mod write;

use std::collections::HashSet;

use serde::Serialize;

use crate::hook::Host;
use crate::model::RecordId;
use crate::project::Place;
use crate::query::{Error, View};

pub use prompt::Prompt;
pub use weigh::tokens;
pub use write::{BEGIN, END};

/// The budget of a pack, in tokens.
pub const BUDGET: usize = 1_500;
/// The budget of what a sub-agent is told.
pub const BUDGET_OF_SUBAGENT: usize = 300;
/// The most tokens that Codex takes from a hook.
const CODEX_MAX: usize = 2_500;
/// The longest pack, in characters. Hosts take 10,000 and show a part of what is longer.
const CHARS_MAX: usize = 9_000;

/// What the key of an entry begins with.
const KEY: &str = "pack:";

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Golden rules.
    Minimal,
    /// What a session is told at its start.
    #[default]
    Standard,
    /// Twice as many of each, and failures that came once.
    Deep,
}

/// How long a pack may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In tokens.
    pub tokens: usize,
    /// In characters.
    pub chars: usize,
}

impl Limits {
    /// The limits of a pack for `host` with a budget of `tokens`. Without a host a larger budget has more characters.
    pub fn of(host: Option<Host>, tokens: usize) -> Limits {
        match host {
            Some(Host::Codex) => Limits { tokens: tokens.min(CODEX_MAX), chars: CHARS_MAX },
            Some(_) => Limits { tokens, chars: CHARS_MAX },
            None => Limits { tokens, chars: CHARS_MAX.max(CHARS_MAX.saturating_mul(tokens) / BUDGET) },
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Where the session is; `None` outside of a project.
    pub place: Option<&'a Place>,
    /// The label of this machine.
    pub host: Option<&'a str>,
    /// What the session is about: what search finds for it comes first.
    pub task: Option<&'a str>,
    /// Only records of these domains, besides golden rules. Empty: of all.
    pub domains: &'a [String],
    /// Only records of the project, not golden rules of others.
    pub is_here_only: bool,
    /// How much is told.
    pub depth: Depth,
    /// How long the pack may be.
    pub limits: Limits,
}

/// A part of a pack, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Rules that a person promoted.
    Golden,
    /// Rules that a person wrote.
    Rules,
    /// Rules that agents noted.
    Noted,
    /// Failures, and what followed.
    Failures,
    /// Experiments that are under way.
    Experiments,
}

/// One line of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its part.
    pub section: Section,
    /// The record whose id it shows.
    pub id: RecordId,
    /// What the record says in one line, as it was recorded.
    pub title: String,
    /// The line.
    pub line: String,
    /// The greater, the earlier in its part.
    pub weight: f64,
    /// Why it is in, for people.
    pub why: String,
}

impl Entry {
    /// What a session's log notes when the line was told: another text of the same record is another key.
    pub fn key(&self) -> String {
        format!("{KEY}{}:{:08x}", self.id, crc32c::crc32c(self.line.as_bytes()))
    }

    /// The record that `key` says was told; `None` if it is no key of an entry.
    pub fn told_by(key: &str) -> Option<RecordId> {
        key.strip_prefix(KEY)?.split_once(':')?.0.parse().ok()
    }

    /// The rule that it tells, as it was recorded and as it is quoted; empty if it tells none.
    pub fn rule(&self) -> Vec<String> {
        match self.section {
            Section::Golden | Section::Rules | Section::Noted => {
                vec![self.title.clone(), write::span(&self.title).trim_matches('`').to_owned()]
            }
            Section::Failures | Section::Experiments => Vec::new(),
        }
    }

    /// The tokens of the line, about.
    pub fn tokens(&self) -> f64 {
        tokens(&self.line) + 1.0
    }
}

/// A record that could have been told and is not.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The record.
    pub id: RecordId,
    /// The line that names it, as it was recorded.
    pub title: String,
    /// Why, for people.
    pub why: &'static str,
}

/// What is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pack {
    /// Its lines, in order.
    pub entries: Vec<Entry>,
    /// What is not in it, at most some hundreds.
    pub left_out: Vec<LeftOut>,
    /// What could not be looked at, for people.
    pub notes: Vec<String>,
    /// Whether it is for a [new place](may_tell::Scope::is_known_place) of its project, where only golden rules are told.
    pub is_of_new_place: bool,
    /// Whether it is about a project.
    is_of_project: bool,
    /// Whether only what is new is in it.
    is_rest: bool,
    /// Whether it is about a prompt.
    is_of_prompt: bool,
}

impl Pack {
    /// The pack as text; empty without entries.
    pub fn text(&self) -> String {
        write::text(self)
    }

    /// The pack without what `told` has, by the entries' keys.
    #[must_use]
    pub fn without(mut self, told: &HashSet<String>) -> Pack {
        self.entries.retain(|entry| !told.contains(&entry.key()));
        self.is_rest = true;
        self
    }
}

/// The pack that `ask` asks for.
///
/// # Errors
/// [`Error::Index`], [`Error::Search`].
pub fn pack(view: &View<'_>, ask: &Ask<'_>) -> Result<Pack, Error> {
    choose::pack(view, ask, None)
}

/// What may be told of the records that share rare words with `prompt`: nothing for most prompts.
///
/// # Errors
/// [`Error::Index`], [`Error::Search`].
pub fn at_prompt(view: &View<'_>, ask: &Ask<'_>, prompt: &Prompt<'_>) -> Result<Pack, Error> {
    choose::pack(view, ask, Some(prompt))
}
