//! `--context`: what an agent should know before it begins.
//!
//! Golden rules come first, then what is relevant to domain, tags and task, then what is recent, then experiments and
//! questions that are open. The whole of it keeps to `--max-tokens`.

use indelible::framework::{FROM, Is, PLANS, POSTMORTEMS, Row, Select};
use indelible::model::OtherHome;
use jiff::tz::TimeZone;

use super::args::Depth;
use super::budget::Document;
use super::data::plain;
use super::lists::NEWEST;
use super::problem::Problem;
use super::relevance::{Task, best, score};
use super::{Reader, checks, golden};

/// The framework counts four characters as a token.
const TOKEN_CHARS: usize = 4;
const TOKENS_MAX: i64 = 50_000;
/// What is recent is added if more tokens than these are left.
const TOKENS_FOR_RECENT: usize = 500;
/// The task where none is given, as the framework has it.
const NO_TASK: &str = "Agent task context generation";
/// With a task, this many times the rows are looked at.
const CANDIDATES: u32 = 20;

/// Similar failures: how far back they are looked for, how many are looked at and shown, and the share of the task's words
/// that they have.
const SIMILAR_DAYS: i64 = 30;
const SIMILAR_CANDIDATES: u32 = 50;
const SIMILAR_MAX: usize = 3;
const SIMILAR_SHARE_MIN: f64 = 0.3;
/// How many plans and how many postmortems there are.
const PLANS_MAX: u32 = 3;
/// The least confidence of an assumption.
const CONFIDENCE_MIN: f64 = 0.6;

const OF_HEURISTICS: [&str; 3] = ["rule", "explanation", "domain"];
const OF_LEARNINGS: [&str; 4] = ["title", "summary", "tags", "domain"];

/// How many there are of each.
struct Limits {
    rows: u32,
    others: u32,
}

/// What is asked for.
struct Wanted<'a> {
    domain: Option<&'a str>,
    tags: Option<Vec<String>>,
    task: Option<&'a str>,
    words: Task,
    limits: Limits,
}

impl Reader<'_> {
    /// `--context`.
    pub fn context(&self) -> Result<String, Problem> {
        let args = self.args;
        let limits = match args.depth {
            Depth::Deep => Limits { rows: 25, others: 10 },
            Depth::Standard | Depth::Minimal => Limits { rows: 10, others: 5 },
        };
        let task = checks::task(args.task.as_deref())?;
        let (domain, tags) = (checks::domain(args.domain.as_deref())?, checks::tags(args.tags.as_deref())?);
        let wanted = Wanted { domain, tags, task, words: Task::new(task.unwrap_or_default()), limits };
        let label = match args.depth {
            Depth::Minimal => " (minimal)",
            Depth::Standard => "",
            Depth::Deep => " (deep)",
        };
        let task = task.unwrap_or(NO_TASK);
        let head = format!("🏢 Building Status{label}\n{}\n\n# Task Context\n\n{task}\n\n---\n\n", "━".repeat(18));
        let tokens = args.max_tokens.min(TOKENS_MAX);
        // The line feed at the end is one of them.
        let chars_max = (usize::try_from(tokens).unwrap_or_default() * TOKEN_CHARS).saturating_sub(1);
        let mut document = Document::default();
        self.add_rules(&mut document);
        if args.depth != Depth::Minimal {
            self.add_relevant(&mut document, &wanted)?;
            let used = head.chars().count() + document.chars();
            if chars_max.saturating_sub(used) > TOKENS_FOR_RECENT * TOKEN_CHARS {
                let recent = self.recent(None, 3)?;
                document.add(1, "# TIER 3: Recent Context\n\n", recent.iter().map(recent_entry).collect());
            }
            self.add_open(&mut document)?;
        }
        Ok(document.within(&head, chars_max, &format!("{tokens} tokens")))
    }

    fn add_rules(&self, document: &mut Document) {
        let mut rules = golden::rules(self.home);
        let mut of = String::new();
        if self.args.depth == Depth::Minimal {
            let categories = golden::categories(self.home);
            rules = golden::of_categories(&rules, &categories);
            of = format!(" ({})", categories.join(", "));
        }
        let parts = |text: String| golden::parts(&(text + "\n")).into_iter().map(str::to_owned).collect::<Vec<_>>();
        document.add(1, format!("# TIER 1: Golden Rules{of}\n"), Vec::new());
        if let Some(custom) = golden::custom(self.home).filter(|it| !it.is_empty()) {
            document.add(2, "\n# Custom Golden Rules\n", parts(custom));
        }
        document.add(2, "", parts(rules));
    }

    fn add_relevant(&self, document: &mut Document, wanted: &Wanted<'_>) -> Result<(), Problem> {
        if wanted.task.is_some() {
            let similar = self.similar_failures(&wanted.words)?;
            document.add_some(1, "\n## Similar Failures Detected\n\n", similar);
        }
        document.add(1, "# TIER 2: Relevant Knowledge\n\n", Vec::new());
        match wanted.domain {
            Some(domain) => self.add_domain(document, wanted, domain)?,
            None => self.add_all_domains(document, wanted)?,
        }
        if let Some(tags) = &wanted.tags {
            let found = self.of_tags(tags, wanted.candidates())?;
            let entries = self.ranked(found, wanted, &OF_LEARNINGS).iter().map(tagged_entry).collect();
            document.add(2, format!("## Tag Matches: {}\n\n", tags.join(", ")), entries);
        }
        self.add_others(document, wanted)
    }

    fn add_domain(&self, document: &mut Document, wanted: &Wanted<'_>, domain: &str) -> Result<(), Problem> {
        let (heuristics, learnings) =
            (self.heuristics_of(domain, wanted.candidates())?, self.learnings_of(domain, wanted.candidates())?);
        let heuristics = self.ranked(heuristics, wanted, &OF_HEURISTICS).iter().map(heuristic_entry).collect();
        let learnings = self.ranked(learnings, wanted, &OF_LEARNINGS).iter().map(learning_entry).collect();
        document.add(2, format!("## Domain: {domain}\n\n"), Vec::new());
        document.add_some(3, "### Heuristics:\n", heuristics);
        document.add_some(3, "### Recent Learnings:\n", learnings);
        Ok(())
    }

    /// The newest of every domain; with a task, those that fit it best.
    fn add_all_domains(&self, document: &mut Document, wanted: &Wanted<'_>) -> Result<(), Problem> {
        let fitting =
            |rows, columns: &[&str]| best(rows, wanted.limits.rows as usize, |row| wanted.words.share(row, columns));
        let heuristics = fitting(self.newest_heuristics(wanted.candidates())?, &OF_HEURISTICS);
        let learnings = fitting(self.newest_learnings(wanted.candidates())?, &OF_LEARNINGS);
        let heuristics = heuristics.iter().map(|row| {
            let (rule, domain, confidence) = (show(row, "rule"), show(row, "domain"), row.number("confidence"));
            let explanation = optional(row, "explanation", "", 100);
            format!("- **{rule}** (domain: {domain}, confidence: {confidence:.2}{})\n{explanation}\n", from(row))
        });
        let learnings = learnings.iter().map(|row| {
            let (title, kind, domain) = (show(row, "title"), show(row, "type"), show(row, "domain"));
            let (from, summary) = (from(row), optional(row, "summary", "", 100));
            format!("- **{title}** ({kind}, domain: {domain}{from})\n{summary}\n")
        });
        document.add_some(2, "## Recent Heuristics (all domains)\n\n", heuristics.collect());
        document.add_some(2, "## Recent Learnings (all domains)\n\n", learnings.collect());
        Ok(())
    }

    /// Decisions, plans, invariants, assumptions and spike reports.
    fn add_others(&self, document: &mut Document, wanted: &Wanted<'_>) -> Result<(), Problem> {
        let (domain, limit) = (wanted.domain, wanted.limits.others);
        let fewer = limit / 2 + 1;
        let mut add = |heading: &str, rows: &[Row], entry: fn(&Row) -> String| {
            document.add_some(2, format!("\n## {heading}\n\n"), rows.iter().map(entry).collect());
        };
        add("Decisions (ADRs)", &self.decisions(domain, "accepted", limit)?, decision_entry);
        self.add_plans(document, domain)?;
        let mut add = |heading: &str, rows: &[Row], entry: fn(&Row) -> String| {
            document.add_some(2, format!("\n## {heading}\n\n"), rows.iter().map(entry).collect());
        };
        add("VIOLATED INVARIANTS", &self.invariants_of(domain, "violated", fewer)?, violated_entry);
        add("Active Invariants", &self.invariants_of(domain, "active", limit)?, invariant_entry);
        let assumptions = self.assumptions_of(domain, "active", CONFIDENCE_MIN, limit)?;
        add("Active Assumptions (High Confidence)", &assumptions, assumption_entry);
        add("Challenged/Invalidated Assumptions", &self.challenged(domain, fewer)?, challenged_entry);
        add("Spike Reports (Research Knowledge)", &self.spikes(domain, None, limit)?, spike_entry);
        Ok(())
    }

    fn add_plans(&self, document: &mut Document, domain: Option<&str>) -> Result<(), Problem> {
        let domain = domain.map(|it| Is::Equal("domain", it));
        let plans = Select::from(&PLANS).where_(Is::Equal("status", "active")).where_some(domain.clone());
        let plans = self.rows(&plans.largest(NEWEST).first(PLANS_MAX))?;
        let postmortems = Select::from(&POSTMORTEMS).where_some(domain).largest(NEWEST).first(PLANS_MAX);
        let postmortems = self.rows(&postmortems)?;
        let mut entries = Vec::new();
        for row in &postmortems {
            let id = plain(row.get("plan_id"));
            let plan = self.rows(&Select::from(&PLANS).where_(Is::Equal("id", &id)).first(1))?;
            entries.push(postmortem_entry(row, plan.first()));
        }
        let between = |(at, entry): (usize, String)| if at == 0 { entry } else { format!("\n{entry}") };
        let plans = plans.iter().map(plan_entry).enumerate().map(between).collect();
        document.add_some(2, "\n## Active Plans\n\n", plans);
        document.add_some(2, "\n## Recent Postmortems\n\n", entries.into_iter().enumerate().map(between).collect());
        Ok(())
    }

    /// Active experiments and questions for the person in charge.
    fn add_open(&self, document: &mut Document) -> Result<(), Problem> {
        let experiments = self.experiments()?;
        let experiments = experiments.iter().map(|row| {
            let hypothesis = row.text("hypothesis").map(|it| format!("  Hypothesis: {it}\n\n")).unwrap_or_default();
            format!("- **{}** ({} cycles{})\n{hypothesis}", show(row, "name"), show(row, "cycles_run"), from(row))
        });
        document.add_some(1, "\n# Active Experiments\n\n", experiments.collect());
        let reviews = self.reviews()?;
        let reviews = reviews.iter().map(|row| {
            let advice = row.text("recommendation").map(|it| format!("  Recommendation: {it}\n\n"));
            let context = optional(row, "context", "Context: ", usize::MAX);
            format!("- **{}**\n{context}{}", show(row, "title"), advice.unwrap_or_default())
        });
        document.add_some(1, "\n# Pending CEO Reviews\n\n", reviews.collect());
        Ok(())
    }

    /// Failures that share words with the task.
    fn similar_failures(&self, task: &Task) -> Result<Vec<String>, Problem> {
        let columns = ["title", "summary"];
        let failures = self.learnings_since(SIMILAR_DAYS, Some("failure"), SIMILAR_CANDIDATES)?;
        let similar = best(failures, SIMILAR_MAX, |row| task.share(row, &columns));
        let similar = similar.iter().filter(|row| task.share(row, &columns) >= SIMILAR_SHARE_MIN);
        let entry = |row: &Row| {
            let (share, shared) = (task.share(row, &columns) * 100.0, task.shared(row, &columns).join(", "));
            let lesson = optional(row, "summary", "Lesson: ", 100);
            let (title, from) = (show(row, "title"), from(row));
            format!("- **[{share:.0}% match{from}] {title}**\n  Matching keywords: {shared}\n{lesson}\n")
        };
        Ok(similar.map(entry).collect())
    }

    /// The rows that come first: by the framework's score, and by the task.
    fn ranked(&self, rows: Vec<Row>, wanted: &Wanted<'_>, columns: &[&str]) -> Vec<Row> {
        let now = self.now.to_zoned(TimeZone::UTC).datetime();
        let of = |row: &Row| score(row, wanted.domain, now) + wanted.words.share(row, columns);
        best(rows, wanted.limits.rows as usize, of)
    }
}

impl Wanted<'_> {
    /// How many rows are looked at: with a task, more than are shown.
    fn candidates(&self) -> u32 {
        self.limits.rows * if self.task.is_some() { CANDIDATES } else { 1 }
    }
}

/// A value as text.
fn show(row: &Row, column: &str) -> String {
    plain(row.get(column))
}

/// Which home the row came from, after a comma, if that is another one.
fn from(row: &Row) -> String {
    row.text(FROM).map(|home| format!(", {}", OtherHome(home.parse().ok()).says())).unwrap_or_default()
}

/// The first `chars_max` characters of `text`, and dots if there are more.
fn short(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// An indented line with the name and the text of `column`, if it has any.
fn optional(row: &Row, column: &str, name: &str, chars_max: usize) -> String {
    row.text(column).map(|text| format!("  {name}{}\n", short(text, chars_max))).unwrap_or_default()
}

fn percent(row: &Row, column: &str) -> String {
    format!("{:.0}%", row.number(column) * 100.0)
}

fn heuristic_entry(row: &Row) -> String {
    let (confidence, validated) = (row.number("confidence"), show(row, "times_validated"));
    let rule = show(row, "rule");
    let (from, explanation) = (from(row), show(row, "explanation"));
    format!("- **{rule}** (confidence: {confidence:.2}, validated: {validated}x{from})\n  {explanation}\n\n")
}

fn learning_entry(row: &Row) -> String {
    let summary = optional(row, "summary", "", usize::MAX);
    let (title, kind, tags, from) = (show(row, "title"), show(row, "type"), show(row, "tags"), from(row));
    format!("- **{title}** ({kind}{from})\n{summary}  Tags: {tags}\n\n")
}

fn tagged_entry(row: &Row) -> String {
    let (title, kind, domain) = (show(row, "title"), show(row, "type"), show(row, "domain"));
    let summary = optional(row, "summary", "", usize::MAX);
    let (tags, from) = (show(row, "tags"), from(row));
    format!("- **{title}** ({kind}, domain: {domain}{from})\n{summary}  Tags: {tags}\n\n")
}

fn recent_entry(row: &Row) -> String {
    let summary = row.text("summary").map(|it| format!("  {it}\n\n")).unwrap_or_default();
    let (title, kind, at, from) = (show(row, "title"), show(row, "type"), show(row, "created_at"), from(row));
    format!("- **{title}** ({kind}, {at}{from})\n{summary}")
}

fn decision_entry(row: &Row) -> String {
    let domain = row.text("domain").map(|it| format!(" (domain: {it})")).unwrap_or_default();
    let (decision, why) =
        (optional(row, "decision", "Decision: ", 150), optional(row, "rationale", "Rationale: ", 150));
    format!("- **{}**{domain}\n{decision}{why}\n", show(row, "title"))
}

fn plan_entry(row: &Row) -> String {
    let (domain, approach, risks) = (
        optional(row, "domain", "Domain: ", usize::MAX),
        optional(row, "approach", "Approach: ", 100),
        optional(row, "risks", "Risks: ", 80),
    );
    format!("- **{}** (task: {})\n{domain}{approach}{risks}", show(row, "title"), show(row, "task_id"))
}

fn postmortem_entry(row: &Row, plan: Option<&Row>) -> String {
    let plan = plan.and_then(|it| it.text("title")).map(|it| format!(" [Plan: {it}]")).unwrap_or_default();
    let mut entry = format!("- **{}**{plan}\n", show(row, "title"));
    for (column, name, chars_max) in [
        ("domain", "Domain: ", usize::MAX),
        ("actual_outcome", "Outcome: ", 80),
        ("lessons", "Lessons: ", 100),
        ("divergences", "Divergences: ", 80),
    ] {
        entry.push_str(&optional(row, column, name, chars_max));
    }
    entry
}

fn violated_entry(row: &Row) -> String {
    let (times, statement) = (row.number("violation_count"), short(&show(row, "statement"), 100));
    let (severity, scope) = (show(row, "severity"), show(row, "scope"));
    let why = optional(row, "rationale", "Rationale: ", 100);
    format!("- **[VIOLATED {times}x] {statement}**\n  Severity: {severity} | Scope: {scope}\n{why}\n")
}

fn invariant_entry(row: &Row) -> String {
    let statement = short(&show(row, "statement"), 100);
    let domain = row.text("domain").map(|it| format!(" (domain: {it})")).unwrap_or_default();
    let check = row.text("validation_type").map(|it| format!(" | Validation: {it}")).unwrap_or_default();
    let (severity, scope) = (show(row, "severity"), show(row, "scope"));
    format!("- **{statement}**{domain}\n  Severity: {severity} | Scope: {scope}{check}\n\n")
}

fn assumption_entry(row: &Row) -> String {
    let (assumption, confidence) = (short(&show(row, "assumption"), 100), percent(row, "confidence"));
    let verified = times(row, "verified_count", ", verified: ");
    let (context, source) =
        (optional(row, "context", "Context: ", 100), optional(row, "source", "Source: ", usize::MAX));
    format!("- **{assumption}** (confidence: {confidence}{verified})\n{context}{source}\n")
}

fn challenged_entry(row: &Row) -> String {
    let status = if row.text("status") == Some("invalidated") { "INVALIDATED" } else { "CHALLENGED" };
    let (assumption, challenged) = (short(&show(row, "assumption"), 80), row.number("challenged_count"));
    let (verified, confidence) = (times(row, "verified_count", ", verified "), percent(row, "confidence"));
    let context = optional(row, "context", "Original context: ", 80);
    let counts = format!("Challenged {challenged}x{verified} | Confidence: {confidence}");
    format!("- **[{status}] {assumption}**\n  {counts}\n{context}\n")
}

/// `name` and a count, unless it is 0.
fn times(row: &Row, column: &str, name: &str) -> String {
    let times = row.number(column);
    if times > 0.0 { format!("{name}{times}x") } else { String::new() }
}

fn spike_entry(row: &Row) -> String {
    let minutes = row.number("time_invested_minutes");
    let invested = if minutes == 0.0 { String::new() } else { format!(" ({minutes} min invested)") };
    let mut entry = format!("- **{}**{invested}\n", show(row, "title"));
    for (column, name, chars_max) in
        [("topic", "Topic: ", 100), ("findings", "Findings: ", 200), ("gotchas", "Gotchas: ", 100)]
    {
        entry.push_str(&optional(row, column, name, chars_max));
    }
    let useful = row.number("usefulness_score");
    if useful > 0.0 {
        entry.push_str(&format!("  Usefulness: {useful:.1}/5\n"));
    }
    entry + "\n"
}
