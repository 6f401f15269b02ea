//! `record KIND` at a terminal without a required field: a person is asked for the fields, sees what will be recorded, and says
//! whether it is.
//!
//! Nothing is opened for writing before the person has said `y` to what they saw, typed after they saw it: lines that were
//! pasted or mistyped into the questions are no record. However the dialogue ends otherwise, nothing is recorded, and the
//! exit code is not 0.

use std::collections::BTreeMap;

use indelible::fs::os;
use indelible::model::text::{counted, visible_line};
use indelible::model::{Field, FieldSpec, Invalid, Kind, PROVENANCE, Provenance, Record, Request, Shape, fields_of};
use indelible::record::Redaction;

use super::record::invalid;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::prompt::{End, Prompter};

/// How many lines of a body are shown before it is recorded.
const LINES_SHOWN_MAX: usize = 6;

/// A request that lacks fields.
pub struct Draft {
    /// The kind of its record.
    pub kind: Kind,
    /// The fields that are known.
    pub texts: BTreeMap<Field, String>,
    /// Its key.
    pub key: Option<String>,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl Draft {
    /// The request. A field without a text is as it is by default.
    ///
    /// # Errors
    /// [`Invalid`] for a required field without a text, and for a severity or a confidence that is not one.
    pub fn request(mut self) -> Result<Request, Invalid> {
        let record = Record::build(self.kind, |spec| Ok::<_, Invalid>(self.texts.remove(&spec.field)))?;
        Ok(Request { record, key: self.key, provenance: self.provenance })
    }

    /// Asks a person for the fields that are not known, shows what will be recorded, which `redaction` has a say in, and
    /// asks whether it is. [`End`] if it is not.
    ///
    /// # Errors
    /// Exit 65 for an invalid field that was given.
    pub fn completed(mut self, redaction: &Redaction) -> Result<Result<Request, End>, Failure> {
        for (field, text) in &self.texts {
            FieldSpec::of(*field).check(text).map_err(invalid)?;
        }
        match self.ask(redaction) {
            Ok(()) => self.request().map(Ok).map_err(invalid),
            Err(end) => Ok(Err(end)),
        }
    }

    fn ask(&mut self, redaction: &Redaction) -> Result<(), End> {
        let mut prompter = Prompter::new()?;
        output::say("Ctrl-D ends, and nothing is recorded.");
        for spec in fields_of(self.kind).filter(|spec| spec.is_asked_for()) {
            if !self.texts.contains_key(&spec.field) {
                self.ask_for(spec, &mut prompter)?;
            }
        }
        self.show(redaction);
        loop {
            let answer = prompter.fresh_line("Record it? [y/n, or the field to change]")?;
            match answer.trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(()),
                "n" | "no" => return Err(End::Closed),
                name => match self.field_named(name) {
                    Some(spec) => {
                        self.ask_for(spec, &mut prompter)?;
                        self.show(redaction);
                    }
                    None => {
                        let names: Vec<_> = self.changeable().map(|spec| spec.flag()).collect();
                        output::say(&format!("y records it, n does not; or one of: {}", names.join(", ")));
                    }
                },
            }
        }
    }

    /// The fields that a person can change.
    fn changeable(&self) -> impl Iterator<Item = &'static FieldSpec> {
        fields_of(self.kind).filter(|spec| spec.is_asked_for())
    }

    /// The field called `name`, or as the only one something that begins with it.
    fn field_named(&self, name: &str) -> Option<&'static FieldSpec> {
        let name = name.replace([' ', '_'], "-");
        let fits = |spec: &&FieldSpec| spec.flag().starts_with(&name);
        if let Some(spec) = self.changeable().find(|spec| spec.flag() == name) {
            return Some(spec);
        }
        let mut found = self.changeable().filter(fits);
        found.next().filter(|_| !name.is_empty() && found.next().is_none())
    }

    /// Asks for the field `spec` until the answer is valid.
    fn ask_for(&mut self, spec: &'static FieldSpec, prompter: &mut Prompter) -> Result<(), End> {
        let mut question = question(spec);
        let mut begun = self.texts.get(&spec.field).cloned().unwrap_or_default();
        loop {
            let answer = prompter.line(&question, &begun)?;
            match judged(spec, &answer) {
                Judged::Valid(text) => drop(self.texts.insert(spec.field, text)),
                Judged::Default => drop(self.texts.remove(&spec.field)),
                Judged::Refused { why, begin } => {
                    (question, begun) = (why, begin);
                    continue;
                }
            }
            return Ok(());
        }
    }

    /// Shows what will be recorded.
    fn show(&self, redaction: &Redaction) {
        let kind = self.kind.name();
        let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "An" } else { "A" };
        output::say(&format!("\n{article} {kind}:"));
        for spec in fields_of(self.kind) {
            let text = self.texts.get(&spec.field).map_or(spec.default, String::as_str);
            show_field(&name_of(spec).to_lowercase(), &redaction.text(text));
        }
        if let Some(key) = &self.key {
            show_field("key", &redaction.text(key));
        }
        for spec in &PROVENANCE {
            if let Some(text) = self.provenance.text(spec.field) {
                show_field(spec.name, &redaction.text(&text));
            }
        }
    }
}

/// Says that nothing was recorded. After Ctrl-C the process ends by its signal.
pub fn ended(end: End) -> Exit {
    output::say("nothing was recorded");
    if end == End::Interrupted {
        os::end_as_interrupted();
    }
    Exit::Usage
}

fn name_of(spec: &FieldSpec) -> String {
    let mut name = spec.name.replace('_', " ");
    name[..1].make_ascii_uppercase();
    name
}

fn question(spec: &FieldSpec) -> String {
    let (name, about) = (name_of(spec), spec.about);
    let lines = if spec.shape == Shape::Body { "; Alt-Enter begins a new line" } else { "" };
    let default = match (spec.required, spec.default) {
        (true, _) => String::new(),
        (false, "") => "; Enter for none".to_owned(),
        (false, default) => format!("; Enter for {default}"),
    };
    format!("{name}: {about}{lines}{default}")
}

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// It is this text.
    Valid(String),
    /// It is empty, and the field does not need one.
    Default,
    /// It cannot be taken.
    Refused {
        /// Why, for the person.
        why: String,
        /// What the next answer begins as.
        begin: String,
    },
}

fn judged(spec: &FieldSpec, answer: &str) -> Judged {
    let answer = match spec.shape {
        // Its first line may be indented.
        Shape::Body => answer.trim_end().trim_start_matches(['\n', '\r']),
        _ => answer.trim(),
    };
    let name = name_of(spec);
    if answer.is_empty() {
        let why = || format!("{name} is needed: {}. Ctrl-D ends, and nothing is recorded.", spec.about);
        return match spec.required {
            true => Judged::Refused { why: why(), begin: String::new() },
            false => Judged::Default,
        };
    }
    let lines: Vec<&str> = answer.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > 1 && spec.shape != Shape::Body {
        let why = format!("{name} is one line, and these are {}. Here they are as one:", lines.len());
        return Judged::Refused { why, begin: lines.join(" ") };
    }
    match spec.check(answer) {
        Ok(()) => Judged::Valid(answer.to_owned()),
        Err(error) => {
            // A word is typed again sooner than it is mended.
            let is_long = matches!(spec.shape, Shape::Line { .. } | Shape::List { .. } | Shape::Body);
            let begin = if is_long { answer.to_owned() } else { String::new() };
            Judged::Refused { why: format!("{name}: {}", error.problem), begin }
        }
    }
}

/// Shows a field and its text, unless that is empty.
fn show_field(name: &str, text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    match lines[..] {
        [] => {}
        [line] => output::say(&format!("  {name}: {}", visible_line(line))),
        _ => {
            output::say(&format!("  {name}:"));
            lines.iter().take(LINES_SHOWN_MAX).for_each(|line| output::say(&format!("    {}", visible_line(line))));
            let left = lines.len().saturating_sub(LINES_SHOWN_MAX);
            if left > 0 {
                output::say(&format!("    (and {})", counted(left as u64, "more line", "more lines")));
            }
        }
    }
}
