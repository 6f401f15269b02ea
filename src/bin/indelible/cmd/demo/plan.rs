//! The demo's records: every kind, each with a unique token in its headline. No I/O.

use std::collections::HashMap;

use indelible::model::Kind;

/// How many recorders there are.
pub const RECORDS: usize = 200;
/// The domain of every second heuristic.
const SHARED_DOMAIN: &str = "shared";
const DOMAINS: [&str; 4] = ["builds", "networks", "storage", "tests"];

/// Headlines, some of which try to break out of a page, a commit message or a shell.
const HEADLINES: [&str; 8] = [
    "the cache grew without bound",
    "retry with a pause that grows",
    "'); DROP TABLE learnings; --",
    "tests are slower on Mondays",
    "\"quoted\", `ticked` and $(run)",
    "# no heading --- and no end of the front matter",
    "[a link](x) <b>and</b> %%a comment%% \u{1f4a5}",
    "measure before you change",
];

/// A body that looks like another record's front matter.
const BODY: &str = "First line.\n\n---\nid: 00000000-0000-0000-0000-000000000000\nkind: failure\n---\n\n## Last line\n";

const MARK: &str = "token";
const TOKEN_DIGITS: usize = 12;

/// One record to make.
pub struct Planned {
    /// Its kind.
    pub kind: Kind,
    /// The token in its title, rule or name. No other record has it.
    pub token: String,
    /// The command line of its recorder, after `record`.
    pub args: Vec<String>,
}

/// All of them: each kind in turn.
pub fn all() -> Vec<Planned> {
    (0..RECORDS)
        .map(|number| planned(Kind::LEARNED[number % Kind::LEARNED.len()], number / Kind::LEARNED.len()))
        .collect()
}

fn planned(kind: Kind, number: usize) -> Planned {
    let random = format!("{:032x}", indelible::random::id().as_u128());
    let token = format!("{MARK}{}", &random[..TOKEN_DIGITS]);
    let headline = format!("{token} {}", HEADLINES[number % HEADLINES.len()]);
    let fields = match kind {
        Kind::Failure | Kind::Success | Kind::Observation => {
            let domain = DOMAINS[number % DOMAINS.len()];
            // The most severe records are committed at once, so the worker makes more than one commit.
            let severity = (1 + number % 5).to_string();
            vec![
                ("--title", headline),
                ("--domain", domain.into()),
                ("--severity", severity),
                ("--summary", BODY.into()),
            ]
        }
        Kind::Heuristic => {
            let domain = if number.is_multiple_of(2) { SHARED_DOMAIN } else { DOMAINS[number / 2 % DOMAINS.len()] };
            vec![("--rule", headline), ("--domain", domain.into()), ("--explanation", BODY.into())]
        }
        Kind::Experiment => vec![("--name", headline), ("--hypothesis", BODY.into())],
        // No recorder makes one.
        Kind::Verdict => Vec::new(),
    };
    let fields = fields.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    Planned { kind, token, args: std::iter::once(kind.name().to_owned()).chain(fields).collect() }
}

/// Finds the record whose token is in a text.
pub struct Tokens<'p>(HashMap<&'p str, usize>);

impl<'p> Tokens<'p> {
    /// The tokens of `planned`, by their place in it.
    pub fn of(planned: &'p [Planned]) -> Tokens<'p> {
        Tokens(planned.iter().enumerate().map(|(number, planned)| (planned.token.as_str(), number)).collect())
    }

    /// The record whose token is the first in `text`.
    pub fn find(&self, text: &str) -> Option<usize> {
        text.match_indices(MARK).find_map(|(at, _)| self.0.get(text.get(at..at + MARK.len() + TOKEN_DIGITS)?).copied())
    }
}
