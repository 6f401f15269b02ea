//! What records say that is not in git, or not yet: in entries of the journal, in quarantine, where parked records and operations
//! wait, and in files that were edited by hand. Read before any of it goes. Nothing is written.

use std::collections::BTreeSet;

use memchr::memmem::find;
use serde_json::Value;

use super::Error;
use super::sweep;
use crate::fs::Dir;
use crate::home::Home;
use crate::model::RecordId;
use crate::model::layout::{JOURNAL, QUARANTINE};
use crate::page;

/// A larger file is not the program's.
const BYTES_MAX: u64 = 64 << 20;
/// The depth of folders, and of texts within texts, that is looked at.
const DEPTH_MAX: usize = 4;

/// The pages of the records `ids` that wait somewhere.
///
/// # Errors
/// [`Error::Fs`] if the journal or the quarantine cannot be read.
pub(super) fn pages(home: &Home, ids: &BTreeSet<RecordId>) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Found { ids, names: ids.iter().map(RecordId::to_string).collect(), pages: Vec::new() };
    for part in [JOURNAL, QUARANTINE] {
        match home.private().folder(part) {
            Err(error) if error.is_not_found() => {}
            dir => found.folder(&dir?, 0)?,
        }
    }
    sweep::each_copy(home, ids, &mut |path| {
        found.pages.extend(home.dir().content(path, BYTES_MAX).ok().flatten());
        Ok(())
    })?;
    Ok(found.pages)
}

struct Found<'i> {
    ids: &'i BTreeSet<RecordId>,
    /// The ids as texts.
    names: Vec<String>,
    pages: Vec<Vec<u8>>,
}

impl Found<'_> {
    fn folder(&mut self, dir: &Dir, depth: usize) -> Result<(), Error> {
        for name in dir.names()? {
            let Some(found) = dir.find(&name)? else { continue };
            if found.is_folder && depth < DEPTH_MAX {
                self.folder(&dir.folder(&name)?, depth + 1)?;
            } else if found.is_file
                && let Ok(Some(bytes)) = dir.content(&name, BYTES_MAX)
            {
                self.text(&bytes, 0);
                // An entry of the journal, or a line of what was damaged.
                bytes.split(|byte| *byte == b'\n').for_each(|line| self.entry(line));
            }
        }
        Ok(())
    }

    fn entry(&mut self, line: &[u8]) {
        if let Some(start) = line.iter().position(|byte| *byte == b'{') {
            self.text(&line[start..], 0);
        }
    }

    /// Takes the pages out of a text: it is one, or JSON with texts in it.
    fn text(&mut self, bytes: &[u8], depth: usize) {
        if depth > DEPTH_MAX || !self.names.iter().any(|name| find(bytes, name.as_bytes()).is_some()) {
            return;
        }
        if page::id_of(bytes).is_some_and(|id| self.ids.contains(&id)) {
            self.pages.push(bytes.to_vec());
        } else if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
            self.value(&value, depth + 1);
        }
    }

    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.text(text.as_bytes(), depth),
            Value::Array(values) => values.iter().for_each(|value| self.value(value, depth)),
            Value::Object(values) => values.values().for_each(|value| self.value(value, depth)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_page_is_found_in_an_entry_and_in_a_parked_operation() {
        let id = RecordId(Uuid::from_u128(7));
        let ids = BTreeSet::from([id]);
        let page = format!("---\nid: {id}\nkind: failure\n---\n\n# x\n");
        let entry = serde_json::json!({ "files": [{ "path": "p", "text": page }] }).to_string();
        let parked = serde_json::json!({ "reason": "x", "operation": entry }).to_string();
        for (text, count) in [(&page, 1), (&entry, 1), (&parked, 1), (&"{\"id\":1}".to_owned(), 0)] {
            let mut found = Found { ids: &ids, names: vec![id.to_string()], pages: Vec::new() };
            found.text(text.as_bytes(), 0);
            assert_eq!(found.pages.len(), count, "{text}");
            assert!(found.pages.iter().all(|it| it == page.as_bytes()));
        }
        let mut found = Found { ids: &ids, names: vec![id.to_string()], pages: Vec::new() };
        found.entry(format!("0123abcd 77 {entry}").as_bytes());
        assert_eq!(found.pages.len(), 1);
    }
}
