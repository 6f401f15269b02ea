//! The fields of records: one table. All code that reads, checks or shows fields walks it.

use super::{Confidence, ExperimentResult, Kind, Origin, RecordId, Ruling, Severity};
use crate::model::text::{shortened, visible_line};

/// The limits, in characters unless they say bytes.
pub mod limits {
    /// A title, a rule or an experiment's name.
    pub const HEADLINE_CHARS_MAX: usize = 500;
    /// A domain.
    pub const DOMAIN_CHARS_MAX: usize = 100;
    /// All tags of a record together.
    pub const TAGS_CHARS_MAX: usize = 500;
    /// Where a heuristic comes from.
    pub const SOURCE_CHARS_MAX: usize = 100;
    /// A project, a session, an agent or a host's label.
    pub const PROVENANCE_CHARS_MAX: usize = 500;
    /// A folder.
    pub const CWD_CHARS_MAX: usize = 4096;
    /// A key.
    pub const KEY_CHARS_MAX: usize = 500;
    /// A summary, an explanation, a hypothesis or a criterion, in bytes.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
    /// A file of a record, in bytes: three bodies, each shown in its visible form and escaped in the front matter, need
    /// less than half of this. A larger file is not one that this program wrote.
    pub const FILE_BYTES_MAX: usize = 64 << 20;
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The one line that names a failure, a success or an observation.
    Title,
    /// The rule.
    Rule,
    /// An experiment's name.
    Name,
    /// What it is about.
    Domain,
    /// How serious it is.
    Severity,
    /// Tags, comma-separated.
    Tags,
    /// Where a rule comes from.
    Source,
    /// How sure a rule is.
    Confidence,
    /// The whole story.
    Summary,
    /// Why a rule holds.
    Explanation,
    /// What is believed.
    Hypothesis,
    /// When an experiment counts as confirmed.
    SuccessCriteria,
    /// When it counts as refuted.
    FailureCriteria,
    /// How an experiment ended.
    Result,
    /// What came of it.
    Outcome,
    /// The failure that a success followed.
    Resolves,
    /// What a verdict says.
    Verdict,
    /// The record that a verdict is about.
    Of,
    /// Why a verdict was given.
    Because,
    /// The project it comes from.
    Project,
    /// Who it is by.
    Origin,
    /// The agent's session.
    Session,
    /// The program that runs the agent.
    Agent,
    /// The label of the machine.
    Host,
    /// The folder it happened in.
    Cwd,
}

/// The valid texts of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One line that is not blank.
    Line {
        /// How long it may be.
        chars_max: usize,
    },
    /// Items between commas; may be empty.
    List {
        /// How long all of them may be together.
        chars_max: usize,
    },
    /// Markdown; may be empty unless the field is required.
    Body,
    /// See [`Severity`].
    Severity,
    /// See [`Confidence`].
    Confidence,
    /// See [`Origin`].
    Origin,
    /// See [`Ruling`].
    Ruling,
    /// See [`ExperimentResult`]; may be empty.
    Result,
    /// The whole id of a record; may be empty unless the field is required.
    Id,
}

/// One row of [`FIELDS`].
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Which field.
    pub field: Field,
    /// Its name in JSON and in the front matter. Its flag is the same with dashes.
    pub name: &'static str,
    /// The kinds that have it.
    pub kinds: &'static [Kind],
    /// The valid texts.
    pub shape: Shape,
    /// Whether it is required.
    pub required: bool,
    /// The default.
    pub default: &'static str,
    /// One line about it: for help, prompts and completions.
    pub about: &'static str,
}

const HEURISTIC: &[Kind] = &[Kind::Heuristic];
const EXPERIMENT: &[Kind] = &[Kind::Experiment];
const SUCCESS: &[Kind] = &[Kind::Success];
const VERDICT: &[Kind] = &[Kind::Verdict];
const LEARNINGS: &[Kind] = &Kind::LEARNINGS;
const WITH_DOMAIN: &[Kind] = &[Kind::Failure, Kind::Success, Kind::Observation, Kind::Heuristic];
const SHORT: Shape = Shape::Line { chars_max: limits::PROVENANCE_CHARS_MAX };
const HEADLINE: Shape = Shape::Line { chars_max: limits::HEADLINE_CHARS_MAX };

/// Every field of every kind, in the order of the front matter.
pub const FIELDS: [FieldSpec; 19] = [
    FieldSpec::required(Field::Title, "title", LEARNINGS, HEADLINE, "one line that names it"),
    FieldSpec::required(Field::Rule, "rule", HEURISTIC, HEADLINE, "the rule, in one line"),
    FieldSpec::required(Field::Name, "name", EXPERIMENT, HEADLINE, "one line that names it"),
    FieldSpec::required(
        Field::Domain,
        "domain",
        WITH_DOMAIN,
        Shape::Line { chars_max: limits::DOMAIN_CHARS_MAX },
        "what it is about",
    ),
    FieldSpec::optional(
        Field::Severity,
        "severity",
        LEARNINGS,
        Shape::Severity,
        "3",
        "1 to 5, or low, medium, high, critical",
    ),
    FieldSpec::optional(
        Field::Tags,
        "tags",
        LEARNINGS,
        Shape::List { chars_max: limits::TAGS_CHARS_MAX },
        "",
        "comma-separated",
    ),
    FieldSpec::optional(
        Field::Source,
        "source",
        HEURISTIC,
        Shape::Line { chars_max: limits::SOURCE_CHARS_MAX },
        "observation",
        "where it comes from: failure, success, observation or auto",
    ),
    FieldSpec::optional(
        Field::Confidence,
        "confidence",
        HEURISTIC,
        Shape::Confidence,
        "0.5",
        "0 to 1, or low, medium, high",
    ),
    FieldSpec::optional(Field::Summary, "summary", LEARNINGS, Shape::Body, "", "the whole story in markdown"),
    FieldSpec::optional(Field::Explanation, "explanation", HEURISTIC, Shape::Body, "", "why, in markdown"),
    FieldSpec::required(Field::Hypothesis, "hypothesis", EXPERIMENT, Shape::Body, "what is believed, in markdown"),
    FieldSpec::optional(
        Field::SuccessCriteria,
        "success_criteria",
        EXPERIMENT,
        Shape::Body,
        "",
        "when it counts as confirmed",
    ),
    FieldSpec::optional(
        Field::FailureCriteria,
        "failure_criteria",
        EXPERIMENT,
        Shape::Body,
        "",
        "when it counts as refuted",
    ),
    FieldSpec::optional(
        Field::Result,
        "result",
        EXPERIMENT,
        Shape::Result,
        "",
        "how it ended: success, failed or inconclusive; empty while it is under way",
    ),
    FieldSpec::optional(Field::Outcome, "outcome", EXPERIMENT, Shape::Body, "", "what came of it, in markdown"),
    FieldSpec::optional(
        Field::Resolves,
        "resolves",
        SUCCESS,
        Shape::Id,
        "",
        "the whole id of the failure after which the same command worked",
    ),
    FieldSpec::required(
        Field::Verdict,
        "verdict",
        VERDICT,
        Shape::Ruling,
        "validated, violated, again, promoted, demoted, retired or revived",
    ),
    FieldSpec::required(Field::Of, "of", VERDICT, Shape::Id, "the id of the record that it is about"),
    FieldSpec::optional(Field::Because, "because", VERDICT, Shape::Body, "", "why, in markdown"),
];

/// Where a record comes from: what every kind has beside its fields, if it is known.
pub const PROVENANCE: [FieldSpec; 6] = [
    FieldSpec::of_provenance(
        Field::Project,
        "project",
        SHORT,
        "the project: host and path of its git origin; found out if not given",
    ),
    FieldSpec::of_provenance(Field::Origin, "origin", Shape::Origin, "who it is by: person, agent, hook or import"),
    FieldSpec::of_provenance(Field::Session, "session", SHORT, "the agent's session"),
    FieldSpec::of_provenance(Field::Agent, "agent", SHORT, "the program that runs the agent, as in 'Claude Code'"),
    FieldSpec::of_provenance(Field::Host, "host", SHORT, "a label for this machine"),
    FieldSpec::of_provenance(
        Field::Cwd,
        "cwd",
        Shape::Line { chars_max: limits::CWD_CHARS_MAX },
        "the folder it happened in",
    ),
];

/// The row of the key; every kind can have one.
pub const KEY: Shape = Shape::Line { chars_max: limits::KEY_CHARS_MAX };

impl FieldSpec {
    const fn required(
        field: Field,
        name: &'static str,
        kinds: &'static [Kind],
        shape: Shape,
        about: &'static str,
    ) -> FieldSpec {
        FieldSpec { field, name, kinds, shape, required: true, default: "", about }
    }

    const fn optional(
        field: Field,
        name: &'static str,
        kinds: &'static [Kind],
        shape: Shape,
        default: &'static str,
        about: &'static str,
    ) -> FieldSpec {
        FieldSpec { field, name, kinds, shape, required: false, default, about }
    }

    const fn of_provenance(field: Field, name: &'static str, shape: Shape, about: &'static str) -> FieldSpec {
        FieldSpec::optional(field, name, &Kind::ALL, shape, "", about)
    }

    /// The row of the field called `name`, in either table.
    pub fn named(name: &str) -> Option<&'static FieldSpec> {
        FIELDS.iter().chain(&PROVENANCE).find(|spec| spec.name == name)
    }

    /// The row of `field`.
    pub fn of(field: Field) -> &'static FieldSpec {
        FIELDS.iter().chain(&PROVENANCE).nth(field as usize).expect("a test compares the tables with `Field`")
    }

    /// Whether the field says where a record comes from.
    pub fn is_provenance(&self) -> bool {
        self.field >= Field::Project
    }

    /// Whether a person who records something is asked for it. What only later events bring is not: how an experiment ended, and
    /// which failure a success followed.
    pub fn is_asked_for(&self) -> bool {
        !self.is_provenance() && !matches!(self.field, Field::Result | Field::Outcome | Field::Resolves)
    }

    /// The environment variable that records of `kind` take the field from: `FAILURE_TITLE`, `INDELIBLE_SESSION`.
    pub fn variable(&self, kind: Kind) -> String {
        let prefix = if self.is_provenance() { "INDELIBLE" } else { kind.name() };
        format!("{prefix}_{}", self.name).to_uppercase()
    }

    /// The field's flag, without the dashes before it: `success-criteria`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Checks `text` as a value of this field.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, text: &str) -> Result<(), Invalid> {
        if self.required && text.trim().is_empty() {
            return not_blank(self.name, text);
        }
        self.shape.check(self.name, text)
    }
}

/// The fields that records of `kind` have, in the order of the front matter.
pub fn fields_of(kind: Kind) -> impl Iterator<Item = &'static FieldSpec> {
    FIELDS.iter().filter(move |spec| spec.kinds.contains(&kind))
}

/// The field that is the body of a page of `kind`; the others stand in its front matter.
pub fn body_of(kind: Kind) -> Option<Field> {
    let bodies = [Field::Summary, Field::Explanation, Field::Hypothesis, Field::Because];
    fields_of(kind).map(|spec| spec.field).find(|field| bodies.contains(field))
}

impl Shape {
    /// Checks `text`, the value of the field `name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(self, name: &'static str, text: &str) -> Result<(), Invalid> {
        match self {
            Shape::Line { chars_max } => not_blank(name, text).and_then(|()| chars(name, text, chars_max)),
            Shape::List { chars_max } => chars(name, text, chars_max),
            Shape::Body => body(name, text),
            Shape::Severity => text.parse::<Severity>().map(|_| ()),
            Shape::Confidence => text.parse::<Confidence>().map(|_| ()),
            Shape::Origin => text.parse::<Origin>().map(|_| ()),
            Shape::Id | Shape::Result if text.is_empty() => Ok(()),
            Shape::Result => text.parse::<ExperimentResult>().map(|_| ()),
            Shape::Ruling => text.parse::<Ruling>().map(|_| ()),
            Shape::Id => id_in(name, text).map(|_| ()),
        }
    }
}

/// The record's id that `text`, the value of the field `name`, is.
pub(super) fn id_in(name: &'static str, text: &str) -> Result<RecordId, Invalid> {
    text.trim().parse().map_err(|_| Invalid::new(name, format!("the whole id of a record; {} given", quoted(text))))
}

/// An invalid field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's name, as the command line and JSON spell it.
    pub field: &'static str,
    /// The limit, and what was given; one line.
    pub problem: String,
}

impl Invalid {
    /// The field `field` has `problem`.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Invalid {
        Invalid { field, problem: problem.into() }
    }
}

fn not_blank(field: &'static str, text: &str) -> Result<(), Invalid> {
    match text.trim().is_empty() {
        false => Ok(()),
        true if text.is_empty() => Err(Invalid::new(field, "must not be empty")),
        true => Err(Invalid::new(field, format!("must not be blank; {} blank characters given", text.chars().count()))),
    }
}

fn chars(field: &'static str, text: &str, chars_max: usize) -> Result<(), Invalid> {
    no_nul(field, text)?;
    let given = text.chars().count();
    let problem = || format!("at most {chars_max} characters; {given} given, beginning {}", quoted(text));
    (given <= chars_max).then_some(()).ok_or_else(|| Invalid::new(field, problem()))
}

fn body(field: &'static str, text: &str) -> Result<(), Invalid> {
    no_nul(field, text)?;
    let problem = || format!("at most {} bytes; {} given", limits::BODY_BYTES_MAX, text.len());
    (text.len() <= limits::BODY_BYTES_MAX).then_some(()).ok_or_else(|| Invalid::new(field, problem()))
}

fn no_nul(field: &'static str, text: &str) -> Result<(), Invalid> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(Invalid::new(field, format!("must not contain NUL; there is one at byte {at}"))),
    }
}

/// The beginning of `text`, safe to show on one line.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", visible_line(&shortened(text, 40)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_its_fields_and_names_each_once() {
        for (number, spec) in FIELDS.iter().chain(&PROVENANCE).enumerate() {
            assert_eq!(spec.field as usize, number, "{}", spec.name);
            assert_eq!(spec.is_provenance(), number >= FIELDS.len());
            assert_eq!(FieldSpec::named(spec.name).map(|spec| spec.field), Some(spec.field));
            assert!(spec.default.is_empty() || spec.check(spec.default).is_ok(), "{}", spec.name);
        }
        assert_eq!(FieldSpec::named("severity").map(|spec| spec.default.parse()), Some(Ok(Severity::DEFAULT)));
        assert_eq!(FieldSpec::named("confidence").map(|spec| spec.default.parse()), Some(Ok(Confidence::DEFAULT)));
    }

    #[test]
    fn names_of_flags_and_variables_follow_from_the_name() {
        let spec = FieldSpec::named("success_criteria").expect("there is one");
        assert_eq!(
            (spec.flag().as_str(), spec.variable(Kind::Experiment).as_str()),
            ("success-criteria", "EXPERIMENT_SUCCESS_CRITERIA")
        );
    }

    #[test]
    fn limits_count_characters_and_are_inclusive() {
        let check = |name, text: &str| FieldSpec::named(name).expect("there is one").check(text);
        assert_eq!(check("title", &"ä".repeat(500)), Ok(()));
        let error = check("title", &"ä".repeat(501)).expect_err("one too many");
        assert!(error.to_string().starts_with("title: at most 500 characters; 501 given"), "{error}");
        assert_eq!(check("summary", &"x".repeat(1 << 20)), Ok(()));
        assert!(check("summary", &"x".repeat((1 << 20) + 1)).is_err());
    }

    #[test]
    fn what_is_refused_names_its_field() {
        for (name, text) in [
            ("title", " \t\n"),
            ("title", "a\0b"),
            ("domain", ""),
            ("tags", &"x".repeat(501)),
            ("severity", "9"),
            ("confidence", "1.2"),
            ("summary", "\0"),
            ("hypothesis", " "),
            ("resolves", "0198f3a2"),
        ] {
            let checked = FieldSpec::named(name).expect("there is one").check(text);
            assert_eq!(checked.map_err(|error| error.field), Err(name), "{text:?}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_was_given() {
        let title = FieldSpec::named("title").expect("there is one");
        let error = title.check(&"\x1b[31m\n".repeat(200)).expect_err("too long");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
}
