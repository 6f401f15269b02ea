//! Pushes of several references at once: all of them, or none.

use git2::Oid;

use super::answer::{Answer, answer_of};
use super::session::REMOTE;
use super::{Error, Session};

/// What git says where the remote knows no atomic push.
const NOT_ATOMIC: &str = "does not support --atomic";

/// A reference of the remote that is to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Update {
    /// Its full name.
    pub(super) name: String,
    /// Where it is; `None` if it is not there.
    pub(super) from: Option<Oid>,
    /// Where it is to be.
    pub(super) to: Oid,
}

impl Session<'_> {
    /// Moves the references of the remote, all or none, each only if it is where its update says. Where the remote knows no such push,
    /// they move one by one, and the next sync does the rest.
    pub(super) fn push_all_of(&self, updates: &[Update]) -> Result<Answer, Error> {
        let is_one = updates.len() == 1;
        let (output, said) = self.push_updates(updates, !is_one)?;
        if is_one || !said.contains(NOT_ATOMIC) {
            return Ok(output);
        }
        Ok(self.push_updates(updates, false)?.0)
    }

    fn push_updates(&self, updates: &[Update], is_atomic: bool) -> Result<(Answer, String), Error> {
        let mut args = Vec::new();
        args.extend(is_atomic.then_some("--atomic"));
        let lease = |it: &Update| {
            let from = it.from.map(|from| from.to_string()).unwrap_or_default();
            format!("--force-with-lease={}:{from}", it.name)
        };
        let leases: Vec<String> = updates.iter().map(lease).collect();
        let specs: Vec<String> = updates.iter().map(|it| format!("{}:{}", it.to, it.name)).collect();
        args.extend(leases.iter().map(String::as_str));
        args.push(REMOTE);
        args.extend(specs.iter().map(String::as_str));
        let output = self.run_push(&args)?;
        let text = output.text();
        let answers = updates.iter().map(|it| answer_of(&text, &it.name, &output.stderr, output.success));
        Ok((worst(answers), output.stderr.clone()))
    }
}

/// What became of a push of several references: a refusal counts more than a race, which can be its consequence.
fn worst(answers: impl Iterator<Item = Answer>) -> Answer {
    let rank = |answer: &Answer| match answer {
        Answer::Taken => 0,
        Answer::Raced => 1,
        Answer::Failed(_) => 2,
        Answer::Refused(_) => 3,
    };
    answers.max_by_key(rank).unwrap_or(Answer::Taken)
}
