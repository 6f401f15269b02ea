//! What is in the way of operations that are durable: a file that its owner edited keeps its bytes, and what cannot be
//! applied at all waits in quarantine. It is asked after the operations had their turn.

use indelible::fs;
use indelible::home::Home;
use indelible::model::text::chain;
use indelible::model::{Op, RecordId, RecordPath, Revision, limits};
use indelible::page;
use indelible::quarantine::Quarantine;
use indelible::revise::Planned;

use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::screen::line_of;

/// An operation that is durable, and that its record's file has not.
pub struct Unapplied {
    /// The record.
    pub id: RecordId,
    /// Its file, relative to the home; empty if it is not known.
    pub path: String,
    /// What is in the way.
    pub why: String,
    /// Whether no store has it: it waits in quarantine. Otherwise index and git have it.
    pub is_parked: bool,
}

/// Why a record's file does not have an operation.
struct Obstacle {
    why: String,
    /// Whether no file can be put there.
    blocks: bool,
}

/// The operations of `planned`, which had their turn, that the files of their records do not have.
///
/// # Errors
/// The failure of `what`: quarantine cannot be read.
pub fn unapplied(home: &Home, planned: &[Planned], what: &str) -> Result<Vec<Unapplied>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Io, what).because(error);
    let mut found = Vec::new();
    for op in planned.iter().filter_map(|it| it.op.as_ref()) {
        let quarantine = Quarantine::new(home).map_err(|error| failed(&error))?;
        let parked = quarantine.why_parked(op).map_err(|error| failed(&error))?;
        let path = path_of(op).map(|path| RecordPath(path).page().into_owned()).unwrap_or_default();
        let obstacle = Some(&path).filter(|path| !path.is_empty()).and_then(|path| obstacle(home, op, path));
        let is_parked = parked.is_some() || obstacle.as_ref().is_some_and(|it| it.blocks);
        let why = match (obstacle, parked) {
            (Some(obstacle), _) if obstacle.blocks || matches!(op, Op::Amend(_)) => obstacle.why,
            (_, Some(parked)) => parked,
            _ => continue,
        };
        found.push(Unapplied { id: op.of(), path, why, is_parked });
    }
    Ok(found)
}

fn path_of(op: &Op) -> Option<&str> {
    match op {
        Op::Amend(amendment) => amendment.record.files.first().map(|file| file.path.as_str()),
        Op::Retract(change) | Op::Restore(change) => change.path.as_deref(),
        Op::Record(_) | Op::Erase { .. } => None,
    }
}

/// What the file at `path` is instead of the record's page as `op` leaves it.
fn obstacle(home: &Home, op: &Op, path: &str) -> Option<Obstacle> {
    let kept = |why| Some(Obstacle { why, blocks: false });
    let bytes = match home.dir().content(path, limits::FILE_BYTES_MAX as u64) {
        Err(error) if error.is_not_found() => return None,
        Err(error) => return Some(Obstacle { why: chain(&error), blocks: matches!(error, fs::Error::Refused { .. }) }),
        Ok(bytes) => bytes?,
    };
    let of = op.of();
    match page::parse(&bytes) {
        Err(why) => kept(chain(&why)),
        Ok(parsed) if parsed.id != of => kept(format!("it has another id, {}", parsed.id)),
        Ok(parsed) if parsed.amended().map_or(Revision::first(of), |it| it.revision) >= op.revision() => None,
        Ok(_) => kept("it was edited by hand before".to_owned()),
    }
}

/// Says on stderr which files were left as they are, although index and git have their records' amendments.
pub fn note_left(unapplied: &[Unapplied]) {
    for Unapplied { path, why, .. } in unapplied.iter().filter(|it| !it.is_parked) {
        output::note(&format!(
            "note: {} is left as it is: {}; index and git have the amendment. `indelible amend --from-files` takes an edit that \
             can be read; of a file that is removed, `indelible recover` brings back what git has",
            line_of(path),
            line_of(why)
        ));
    }
}

/// Fails to do `what` if an operation is in no store.
///
/// # Errors
/// Each that waits in quarantine is named.
pub fn check(unapplied: &[Unapplied], what: &str) -> Result<Exit, Failure> {
    let mut failure = Failure::new(Exit::Disagreement, what);
    for Unapplied { id, why, .. } in unapplied.iter().filter(|it| it.is_parked) {
        let why = format!("{id}: {}: the operation waits in quarantine", line_of(why));
        failure = failure.because(&std::io::Error::other(why));
    }
    match failure.causes.is_empty() {
        true => Ok(Exit::Done),
        false => {
            Err(failure.hint("`indelible status` names it; once nothing is in the way, `indelible recover` applies it"))
        }
    }
}
