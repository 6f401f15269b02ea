//! Where a record comes from.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::field::quoted;
use super::{Field, Invalid, PROVENANCE};

/// Who a record is by. What agents are told unasked depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A person, at a terminal.
    Person,
    /// An agent, which ran the command or called the tool.
    Agent,
    /// A hook: it was taken from an event of an agent's host.
    Hook,
    /// An import.
    Import,
}

impl Origin {
    /// All of them.
    pub const ALL: [Origin; 4] = [Origin::Person, Origin::Agent, Origin::Hook, Origin::Import];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Person => "person",
            Origin::Agent => "agent",
            Origin::Hook => "hook",
            Origin::Import => "import",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Origin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Origin::ALL.into_iter().find(|origin| origin.name().eq_ignore_ascii_case(text.trim()));
        let problem = || format!("person, agent, hook or import; {} given", quoted(text));
        known.ok_or_else(|| Invalid::new("origin", problem()))
    }
}

/// Where a record comes from, as far as it is known and may be kept. [`PROVENANCE`] has the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The project: the host and path of its git repository's origin, or an id of this machine's making.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Who it is by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The agent's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The program that runs the agent: `Claude Code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The label that this machine was given, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The folder it happened in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

impl Provenance {
    /// `field` as text; `None` if it is not known.
    pub fn text(&self, field: Field) -> Option<Cow<'_, str>> {
        let text = match field {
            Field::Project => &self.project,
            Field::Origin => return self.origin.map(|origin| origin.name().into()),
            Field::Session => &self.session,
            Field::Agent => &self.agent,
            Field::Host => &self.host,
            Field::Cwd => &self.cwd,
            _ => return None,
        };
        text.as_deref().map(Cow::Borrowed)
    }

    /// `field`, to change it; `None` for one that is not text, or not of a provenance.
    pub fn text_mut(&mut self, field: Field) -> Option<&mut Option<String>> {
        match field {
            Field::Project => Some(&mut self.project),
            Field::Session => Some(&mut self.session),
            Field::Agent => Some(&mut self.agent),
            Field::Host => Some(&mut self.host),
            Field::Cwd => Some(&mut self.cwd),
            _ => None,
        }
    }

    /// Sets `field` to `text`; a blank one is not known.
    ///
    /// # Errors
    /// [`Invalid`] for an origin that is not one.
    pub fn set(&mut self, field: Field, text: String) -> Result<(), Invalid> {
        let text = Some(text).filter(|text| !text.trim().is_empty());
        match self.text_mut(field) {
            Some(value) => *value = text,
            None => self.origin = text.map(|text| text.parse()).transpose()?,
        }
        Ok(())
    }

    /// What is known of `self`, and beyond that what is known of `other`.
    #[must_use]
    pub fn or(self, other: Provenance) -> Provenance {
        Provenance {
            project: self.project.or(other.project),
            origin: self.origin.or(other.origin),
            session: self.session.or(other.session),
            agent: self.agent.or(other.agent),
            host: self.host.or(other.host),
            cwd: self.cwd.or(other.cwd),
        }
    }

    /// Forgets every field whose name is not among `kept`.
    pub fn keep_only(&mut self, kept: &[impl AsRef<str>]) {
        for spec in PROVENANCE.iter().filter(|spec| !kept.iter().any(|name| name.as_ref() == spec.name)) {
            match self.text_mut(spec.field) {
                Some(value) => *value = None,
                None => self.origin = None,
            }
        }
    }

    /// Clears every invalid field. A value that was only detected, perhaps in a folder that another user filled, is no reason to
    /// refuse a record.
    #[must_use]
    pub fn fitting(mut self) -> Provenance {
        for spec in &PROVENANCE {
            let fits = self.text(spec.field).is_none_or(|text| spec.check(&text).is_ok());
            if let Some(value) = self.text_mut(spec.field).filter(|_| !fits) {
                *value = None;
            }
        }
        self
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn check(&self) -> Result<(), Invalid> {
        PROVENANCE.iter().try_for_each(|spec| self.text(spec.field).map_or(Ok(()), |text| spec.check(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_table_is_set_read_and_in_its_json() {
        let mut provenance = Provenance::default();
        for spec in &PROVENANCE {
            assert_eq!(provenance.text(spec.field), None);
            let text = if spec.field == Field::Origin { "hook".to_owned() } else { format!("the {}", spec.name) };
            provenance.set(spec.field, text.clone()).expect("it is as it must be");
            assert_eq!(provenance.text(spec.field).as_deref(), Some(&*text));
            assert_eq!(serde_json::to_value(&provenance).expect("it is text")[spec.name], text);
        }
        assert_eq!(provenance.check(), Ok(()));
        let mut kept = provenance.clone();
        kept.keep_only(&["agent"]);
        assert_eq!(serde_json::to_string(&kept).expect("it is text"), r#"{"agent":"the agent"}"#);
        assert_eq!(kept.or(provenance.clone()), provenance);
        assert!(provenance.set(Field::Origin, "robot".into()).is_err());
        provenance.set(Field::Origin, " ".into()).expect("blank is not known");
        assert_eq!(provenance.origin, None);
    }
}
