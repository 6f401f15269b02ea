//! The journal's own id, which distinguishes it from its copies.
//!
//! A home that was copied, or restored from a backup, has the same journal as another home. If it kept the id, it could
//! mistake the other's positions in git for its own. So the id is stored beside the journal together with its place:
//! the folder's inode and the machine. A journal in another place is a copy, and gets a new id.
//!
//! 1. A place is the same if the inode and the machine are the same. A machine is the same if it has an id that it had
//!    here before, or has not been rebooted since. So a home that a container and its host use in turn is not a copy,
//!    although their machine ids differ.
//! 2. A copy remembers the ids that it replaces until their anchors in git are removed. A worker or a flush removes
//!    them once the new anchor is set.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before or while the new id replaces the old one | the old id, in a copy | the next command that opens it |
//! | after that | the new id, and the old one's anchor | the next worker, flush or recovery |
//! | while anchors are removed, or before they are forgotten | some anchors, and all of their ids | the same |
//!
//! An id is not used before it is durable.

use serde::{Deserialize, Serialize};

use super::{Error, Journal};
use crate::fs::{self, Dir, Durability, os};
use crate::model::JournalId;
use crate::model::layout::JOURNAL_ID;
use crate::random;

/// The file beside the journal's folder.
const BYTES_MAX: u64 = 16 << 10;
/// The most machine ids remembered for one place. Containers can have a new one each.
const MACHINES_MAX: usize = 16;
/// The most replaced ids remembered.
const REPLACED_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    id: JournalId,
    machine: String,
    inode: u64,
    /// The boot in which this was written.
    #[serde(default)]
    boot: String,
    /// Other ids that the machine has had here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    machines: Vec<String>,
    /// Ids that this one has replaced, and whose anchors may still exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
}

/// An id that the journal, or the one it is a copy of, had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The id.
    pub id: JournalId,
    /// Whether the journal was elsewhere then, so that another home may still use that id.
    pub elsewhere: bool,
}

impl Journal {
    /// The journal's id. If it has none yet, or is a copy, a new id is made durable. For the holder of the worker's
    /// lock, and for `init`.
    ///
    /// # Errors
    /// [`Error::Fs`] if it cannot be read or written.
    pub(crate) fn ensure_id(&self, private: &Dir, temporary: &Dir) -> Result<JournalId, Error> {
        let (machine, boot, inode) = (os::machine_id(), os::boot_id(), self.dir.stat()?.inode);
        let known = owner(private)?;
        let now = match &known {
            Some(owner) if owner.is_at(&machine, &boot, inode) => owner.seen_at(machine, boot),
            _ => Owner::after(known.as_ref(), machine, boot, inode),
        };
        if known.as_ref() != Some(&now) {
            now.write(private, temporary)?;
        }
        Ok(now.id)
    }
}

impl Owner {
    /// Whether this was written for the journal whose folder is `inode` on this machine.
    fn is_at(&self, machine: &String, boot: &str, inode: u64) -> bool {
        let is_same_boot = !boot.is_empty() && self.boot == boot;
        self.inode == inode && (is_same_boot || self.machine == *machine || self.machines.contains(machine))
    }

    /// The same, seen in this boot on the machine with the id `machine`.
    fn seen_at(&self, machine: String, boot: String) -> Owner {
        let mut machines = self.machines.clone();
        if machine != self.machine && !machines.contains(&machine) {
            machines.push(machine);
            machines.drain(..machines.len().saturating_sub(MACHINES_MAX));
        }
        Owner { boot, machines, ..self.clone() }
    }

    /// The owner of a new journal, or of a copy of the one that `old` was written for.
    fn after(old: Option<&Owner>, machine: String, boot: String, inode: u64) -> Owner {
        let mut replaced = Vec::new();
        if let Some(old) = old {
            let elsewhere = old.inode != inode;
            let before = old.replaced.iter().map(|it| Replaced { elsewhere: elsewhere || it.elsewhere, ..*it });
            replaced.extend(before.chain([Replaced { id: old.id, elsewhere }]));
            replaced.drain(..replaced.len().saturating_sub(REPLACED_MAX));
        }
        Owner { id: JournalId(random::id()), machine, inode, boot, machines: Vec::new(), replaced }
    }

    fn write(&self, private: &Dir, temporary: &Dir) -> Result<(), Error> {
        let text = serde_json::to_string(self).expect("it is made of strings and numbers");
        private.replace(JOURNAL_ID, text.as_bytes(), temporary, Durability::Full).map_err(Into::into)
    }
}

/// The ids that the journal had before, and whose anchors may still exist.
///
/// # Errors
/// [`Error::Fs`] if they cannot be read.
pub fn replaced(private: &Dir) -> Result<Vec<Replaced>, Error> {
    Ok(owner(private)?.map(|owner| owner.replaced).unwrap_or_default())
}

/// Keeps only `left` of the ids that the journal had before.
///
/// # Errors
/// [`Error::Fs`] if it cannot be read or written.
pub(crate) fn keep_replaced(private: &Dir, temporary: &Dir, left: Vec<Replaced>) -> Result<(), Error> {
    match owner(private)? {
        Some(owner) => Owner { replaced: left, ..owner }.write(private, temporary),
        None => Ok(()),
    }
}

fn owner(private: &Dir) -> Result<Option<Owner>, fs::Error> {
    let text = private.content(JOURNAL_ID, BYTES_MAX)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// The journal's current id, whether or not it is a copy; for callers that may not write.
///
/// # Errors
/// [`Error::Fs`] if it cannot be read.
pub fn id(private: &Dir) -> Result<Option<JournalId>, Error> {
    Ok(owner(private)?.map(|owner| owner.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_folder_and_its_machine() {
        let owner = Owner::after(None, "host".to_owned(), "boot 1".to_owned(), 7);
        let is_at = |owner: &Owner, machine: &str, boot, inode| owner.is_at(&machine.to_owned(), boot, inode);
        assert!(is_at(&owner, "host", "boot 2", 7), "the machine was started anew");
        assert!(is_at(&owner, "container", "boot 1", 7), "a container has the same kernel");
        assert!(!is_at(&owner, "container", "boot 2", 7), "nothing says that this is the same machine");
        assert!(!is_at(&owner, "host", "boot 1", 8), "another folder");
        assert!(
            !is_at(&Owner { boot: String::new(), ..owner.clone() }, "other", "", 7),
            "an unknown boot says nothing"
        );
        let owner = owner.seen_at("container".to_owned(), "boot 1".to_owned());
        for machine in ["host", "container"] {
            assert!(is_at(&owner, machine, "boot 2", 7), "{machine} was here before");
        }
        let many = (0..100).fold(owner, |owner, number| owner.seen_at(number.to_string(), "boot 1".to_owned()));
        assert_eq!(many.machines.len(), MACHINES_MAX);
    }

    #[test]
    fn a_copy_remembers_what_it_replaces_and_whether_another_home_may_still_have_it() {
        let first = Owner::after(None, "a".to_owned(), String::new(), 7);
        let second = Owner::after(Some(&first), "b".to_owned(), String::new(), 7);
        assert_eq!(second.replaced, [Replaced { id: first.id, elsewhere: false }]);
        let copy = Owner::after(Some(&second), "b".to_owned(), String::new(), 8);
        let of = |owner: &Owner| Replaced { id: owner.id, elsewhere: true };
        assert_eq!(copy.replaced, [of(&first), of(&second)]);
    }

    #[test]
    fn what_was_written_before_there_were_boots_is_understood() {
        let old = r#"{"id":"00000000-0000-0000-0000-000000000001","machine":"m","inode":7}"#;
        let owner: Owner = serde_json::from_str(old).expect("understood");
        assert!(owner.is_at(&"m".to_owned(), "boot", 7) && owner.replaced.is_empty());
    }
}
