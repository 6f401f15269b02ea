//! The journal's own id, which tells it from its copies.
//!
//! A home that was copied, or restored from a backup, has a journal like another one. Were it to go on under the same
//! id, a position in git could pass for one of its own. So the id lies beside the journal together with the machine's id
//! and the folder's inode, which no copy shares, and is drawn anew when they differ.
//!
//! Killed before the new id has replaced the old one, or while it does, a copy still has the old one, and draws another
//! when it is opened next. After that it has the new one. Nobody uses an id that is not durable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, Journal};
use crate::fs::{self, Dir, os};
use crate::random;

/// The file beside the journal's folder.
const NAME: &str = "journal.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    id: Uuid,
    machine: String,
    inode: u64,
}

impl Journal {
    /// The journal's id. Drawn anew, and made durable, if there is none yet or the journal is a copy. For whoever has
    /// the worker's lock, and for `init`.
    ///
    /// # Errors
    /// [`Error::Fs`] if it can be neither read nor written.
    pub fn own(&self, private: &Dir, temporary: &Dir) -> Result<Uuid, Error> {
        let (machine, inode) = (os::machine_id(), self.dir.stat()?.inode);
        if let Some(owner) = owner(private)?
            && (&owner.machine, owner.inode) == (&machine, inode)
        {
            return Ok(owner.id);
        }
        let owner = Owner { id: random::id(), machine, inode };
        let text = serde_json::to_string(&owner).expect("it is made of strings and numbers");
        let _ = private.replace(NAME, text.as_bytes(), temporary)?;
        Ok(owner.id)
    }
}

fn owner(private: &Dir) -> Result<Option<Owner>, fs::Error> {
    let text = private.content(NAME, 4096)?;
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// The id that the journal has now, whether or not it is a copy; for those who may not write.
///
/// # Errors
/// [`Error::Fs`] if it cannot be read.
pub fn id(private: &Dir) -> Result<Option<Uuid>, Error> {
    Ok(owner(private)?.map(|owner| owner.id))
}
