//! Git's tree objects, as bytes: parsed without loss, and rewritten with some entries changed.
//!
//! A tree is a run of `<mode in octal> <name>\0<20 bytes of id>`, ordered by name, where a folder's name sorts as if
//! it ended in `/`. Names are bytes: a user's need not be UTF-8, and are copied unchanged.

use std::cmp::Ordering;

use git2::{ObjectType, Odb, OdbObject, Oid};

use super::Error;

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    File,
    Folder,
    Link,
    Submodule,
}

impl Shape {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shape::File => "a file",
            Shape::Folder => "a folder",
            Shape::Link => "a symbolic link",
            Shape::Submodule => "a submodule",
        }
    }
}

/// One entry of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) mode: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) id: Oid,
}

impl<'a> Entry<'a> {
    /// An entry for our file.
    pub(crate) fn file(name: &'a str, id: Oid) -> Entry<'a> {
        Entry { mode: b"100644", name: name.as_bytes(), id }
    }

    /// A folder.
    pub(crate) fn folder(name: &'a str, id: Oid) -> Entry<'a> {
        Entry { mode: b"40000", name: name.as_bytes(), id }
    }

    /// A marker for removing the entry of this name and shape.
    pub(crate) fn removed(of: &Entry<'a>) -> Entry<'a> {
        Entry { id: Oid::ZERO_SHA1, ..*of }
    }

    fn is_removal(&self) -> bool {
        self.id == Oid::ZERO_SHA1
    }

    pub(crate) fn shape(&self) -> Shape {
        match self.mode {
            b"40000" | b"040000" => Shape::Folder,
            b"120000" => Shape::Link,
            b"160000" => Shape::Submodule,
            _ => Shape::File,
        }
    }

    /// Git's order: bytewise, a folder as if its name ended in `/`.
    pub(crate) fn order(&self, other: &Entry<'_>) -> Ordering {
        let end = |it: &Entry<'_>| if it.shape() == Shape::Folder { b'/' } else { 0 };
        let common = self.name.len().min(other.name.len());
        let byte = |it: &Entry<'_>| it.name.get(common).copied().unwrap_or_else(|| end(it));
        self.name[..common]
            .cmp(&other.name[..common])
            .then_with(|| byte(self).cmp(&byte(other)))
            .then_with(|| self.name.len().cmp(&other.name.len()))
    }
}

/// The bytes are not a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The entries of a tree's bytes, in their order.
pub(crate) struct Entries<'a>(&'a [u8]);

/// Parses a tree's bytes. After a [`Malformed`] the iterator ends.
pub(crate) fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries(bytes)
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let parsed = split_first(self.0);
        self.0 = parsed.map_or(&[], |(_, rest)| rest);
        Some(parsed.map(|(entry, _)| entry).ok_or(Malformed))
    }
}

fn split_first(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let space = bytes.iter().take(8).position(|&byte| byte == b' ')?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let end = rest.iter().position(|&byte| byte == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(20)?;
    let entry = Entry { mode, name, id: Oid::from_bytes(id).ok()? };
    (!mode.is_empty() && !name.is_empty()).then_some((entry, rest))
}

/// The tree `base` with `changes` applied: an entry of the same name and order is replaced or removed, all others
/// stay.
pub(crate) fn with_changes(base: &[u8], mut changes: Vec<Entry<'_>>) -> Result<Vec<u8>, Malformed> {
    changes.sort_by(Entry::order);
    let mut out = Vec::with_capacity(base.len() + changes.iter().map(|it| it.name.len() + 28).sum::<usize>());
    let mut changes = changes.into_iter().peekable();
    for kept in entries(base) {
        let kept = kept?;
        while let Some(change) = changes.next_if(|it| it.order(&kept) == Ordering::Less) {
            push(&mut out, &change);
        }
        match changes.next_if(|it| it.order(&kept) == Ordering::Equal) {
            Some(change) => push(&mut out, &change),
            None => push(&mut out, &kept),
        }
    }
    changes.for_each(|change| push(&mut out, &change));
    Ok(out)
}

fn push(out: &mut Vec<u8>, entry: &Entry<'_>) {
    if entry.is_removal() {
        return;
    }
    out.extend_from_slice(entry.mode);
    out.push(b' ');
    out.extend_from_slice(entry.name);
    out.push(0);
    out.extend_from_slice(entry.id.as_bytes());
}

/// The bytes of the tree `id`, which is the folder `path`.
pub(crate) fn read<'o>(objects: &'o Odb<'_>, id: Oid, path: &str) -> Result<OdbObject<'o>, Error> {
    let what = || format!("the folder {path:?}");
    let object = objects.read(id).map_err(|source| Error::unreadable(id, what(), source))?;
    match object.kind() {
        ObjectType::Tree => Ok(object),
        _ => Err(Error::Damaged { object: id.to_string(), what: what(), source: None }),
    }
}

/// The error for an invalid tree.
pub(crate) fn malformed(id: Oid, path: &str) -> Error {
    Error::Damaged { object: id.to_string(), what: format!("the folder {path:?}, which is malformed"), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(byte: u8) -> Oid {
        Oid::from_bytes(&[byte; 20]).expect("20 bytes are an id")
    }

    #[test]
    fn a_folder_is_ordered_as_if_it_ended_in_a_slash() {
        let changes = vec![
            Entry::file("a0", id(1)),
            Entry::folder("a", id(2)),
            Entry::file("a-b", id(3)),
            Entry::file("a.b", id(4)),
        ];
        let bytes = with_changes(&[], changes).expect("an empty tree is well formed");
        let names: Vec<_> = entries(&bytes).map(|it| it.expect("written by us").name.to_owned()).collect();
        assert_eq!(names, [&b"a-b"[..], b"a.b", b"a", b"a0"]);
    }

    #[test]
    fn what_is_not_ours_is_carried_over_byte_for_byte() {
        let mut base = Vec::new();
        for (mode, name) in [("100664", &b"\xff\xfe"[..]), ("160000", b"\xff\xff")] {
            push(&mut base, &Entry { mode: mode.as_bytes(), name, id: id(7) });
        }
        let bytes = with_changes(&base, vec![Entry::file("a", id(1))]).expect("well formed");
        assert!(bytes.ends_with(&base) && bytes.len() > base.len());
        assert_eq!(with_changes(&bytes, vec![Entry::file("a", id(1))]), Ok(bytes));
    }

    #[test]
    fn an_entry_is_removed_and_its_neighbours_stay() {
        let all = vec![Entry::file("a", id(1)), Entry::folder("b", id(2)), Entry::file("c", id(3))];
        let bytes = with_changes(&[], all.clone()).expect("well formed");
        let less = with_changes(&bytes, vec![Entry::removed(&all[1]), Entry::removed(&Entry::file("x", id(4)))]);
        let names =
            |bytes: &[u8]| entries(bytes).map(|it| it.expect("written by us").name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&less.expect("well formed")), [b"a", b"c"]);
    }

    #[test]
    fn malformed_bytes_are_said_to_be() {
        let mut whole = Vec::new();
        push(&mut whole, &Entry::file("a", id(1)));
        for cut in 1..whole.len() {
            assert_eq!(with_changes(&whole[..cut], Vec::new()), Err(Malformed), "{cut} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = entries(&bytes).count();
        }
    }
}
