//! What is left of a commit once records are erased. Pure: the same commit and the same records always give the same bytes,
//! so every host that rewrites a history arrives at the same names.
//!
//! 1. A line of the message that names an erased record becomes `- erased (<short id>)`, and a subject that has its title
//!    becomes one without.
//! 2. Author, committer, dates, encoding and every other header stay. A signature goes: it is of other bytes.
//! 3. The checksum in the trailer's position goes. It would let a guess at the erased entry be tested.

use std::collections::{BTreeSet, HashMap};

use git2::Oid;

use super::super::message::POSITION;

/// The subjects of commits of one record, before its kind and title.
const OF_ONE: [&str; 2] = ["Record ", "Amend "];

/// The message `text` without the records whose short ids are `short`; `None` if it names none of them.
pub(super) fn message_without(text: &str, short: &BTreeSet<String>) -> Option<String> {
    let named = |line: &str| {
        let id = line.strip_prefix("- ")?.trim_end().strip_suffix(')')?.rsplit_once(" (")?.1;
        (short.contains(id) && !is_bare(line)).then(|| id.to_owned())
    };
    text.lines().find_map(named)?;
    let (mut lines, mut is_its) = (Vec::new(), false);
    for (at, line) in text.split('\n').enumerate() {
        // What an amendment changed, and why, follows its line.
        if is_its && line.starts_with("  ") {
            continue;
        }
        let id = named(line).filter(|_| at > 0);
        is_its = id.is_some();
        lines.push(match id {
            Some(id) => format!("- erased ({id})"),
            None if at == 0 => untitled(line),
            None => line.to_owned(),
        });
    }
    Some(lines.join("\n"))
}

/// Whether `line` names a record by its id alone.
fn is_bare(line: &str) -> bool {
    ["- erased (", "- retracted (", "- restored ("].iter().any(|bare| line.starts_with(bare))
}

/// A subject without the title in it. That of a commit of several records has none, and stays.
fn untitled(subject: &str) -> String {
    for verb in OF_ONE {
        let kind = subject.strip_prefix(verb).and_then(|rest| rest.split_once(": "));
        if let Some((kind, _)) = kind.filter(|(kind, _)| kind.bytes().all(|byte| byte.is_ascii_lowercase())) {
            return format!("{verb}1 {kind}");
        }
    }
    subject.to_owned()
}

/// The positions in the trailer of `message`, without their checksums.
fn unchecked(message: &str) -> String {
    let line = |line: &str| match line.strip_prefix(POSITION).and_then(|rest| rest.rsplit_once(':')) {
        Some((place, _)) => format!("{POSITION}{place}:00000000"),
        None => line.to_owned(),
    };
    message.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The headers and the message of the commit `raw`.
pub(super) fn parts(raw: &[u8]) -> (&[u8], &[u8]) {
    match raw.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&raw[..=end], &raw[end + 2..]),
        None => (raw, &[]),
    }
}

/// The commit `raw` with the tree `tree` and its parents as `renamed` says, without the records whose short ids are
/// `short`. `None` if all of that leaves it as it is.
pub(crate) fn commit_without(
    raw: &[u8],
    tree: Option<Oid>,
    renamed: &HashMap<Oid, Oid>,
    short: &BTreeSet<String>,
) -> Option<Vec<u8>> {
    let (headers, message) = parts(raw);
    // A message in another encoding than UTF-8 is not ours.
    let text = std::str::from_utf8(message).ok();
    let without = text.and_then(|text| message_without(text, short));
    let mut has_changed = tree.is_some() || without.is_some();
    let mut out = Vec::with_capacity(raw.len());
    let mut is_signature = false;
    for line in headers.split_inclusive(|byte| *byte == b'\n') {
        let is_more = line.starts_with(b" ");
        is_signature = if is_more { is_signature } else { line.starts_with(b"gpgsig") };
        if is_signature {
            continue;
        }
        let id = |name: &[u8]| Oid::from_str(std::str::from_utf8(line.strip_prefix(name)?.trim_ascii_end()).ok()?).ok();
        if let (Some(tree), Some(_)) = (tree, id(b"tree ")) {
            out.extend_from_slice(format!("tree {tree}\n").as_bytes());
        } else if let Some(parent) = id(b"parent ").and_then(|id| renamed.get(&id)) {
            has_changed = true;
            out.extend_from_slice(format!("parent {parent}\n").as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    if !has_changed {
        return None;
    }
    out.push(b'\n');
    match without.as_deref().or(text) {
        Some(text) => out.extend_from_slice(unchecked(text).as_bytes()),
        None => out.extend_from_slice(message),
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn id(byte: u8) -> Oid {
        Oid::from_bytes(&[byte; 20]).expect("20 bytes are an id")
    }

    #[test]
    fn a_message_loses_title_and_line_of_what_is_erased_and_nothing_else() {
        let one = "Record failure: a secret\n\n- failure: a secret (deadbeef)\n\nIndelible-Home: x\n";
        let without = message_without(one, &short(&["deadbeef"])).expect("it names it");
        assert_eq!(without, "Record 1 failure\n\n- erased (deadbeef)\n\nIndelible-Home: x\n");
        assert_eq!(message_without(&without, &short(&["deadbeef"])), None, "once more changes nothing");
        let two = "Record 2 failures\n\n- failure: a secret (deadbeef)\n- failure: (deadbeef) (cafecafe)\n\nx\n";
        let without = message_without(two, &short(&["deadbeef"])).expect("it names it");
        assert_eq!(without, "Record 2 failures\n\n- erased (deadbeef)\n- failure: (deadbeef) (cafecafe)\n\nx\n");
        let amended = "Amend heuristic: a: secret\n\n- amended heuristic: a: secret (deadbeef)\n  changed: rule\n  \
                       because: a secret\n\nx\n";
        let without = message_without(amended, &short(&["deadbeef"])).expect("it names it");
        assert_eq!(without, "Amend 1 heuristic\n\n- erased (deadbeef)\n\nx\n");
        let retracted = "Retract 1 record\n\n- retracted (deadbeef)\n\nx\n";
        assert_eq!(message_without(retracted, &short(&["deadbeef"])), None);
        assert_eq!(message_without(one, &short(&["00000000"])), None);
    }

    #[test]
    fn a_commit_keeps_author_and_dates_and_loses_signature_and_checksum() {
        let (old, new, tree) = (id(1), id(2), id(3));
        let headers = format!("parent {old}\nauthor a <b> 1 +0100\ncommitter c <d> 2 -0300\n");
        let signed = "gpgsig -----BEGIN\n more\n -----END\n";
        let trailer = "Indelible-Position: 00000000-0000-0000-0000-000000000009:77:00000abc\n";
        let raw = format!("tree {old}\n{headers}{signed}encoding UTF-8\n\nsubject\n\n{trailer}");
        let renamed = HashMap::from([(old, new)]);
        let made = commit_without(raw.as_bytes(), Some(tree), &renamed, &short(&[])).expect("it changes");
        let expected = format!(
            "tree {tree}\nparent {new}\nauthor a <b> 1 +0100\ncommitter c <d> 2 -0300\nencoding UTF-8\n\nsubject\n\n\
             Indelible-Position: 00000000-0000-0000-0000-000000000009:77:00000000\n"
        );
        assert_eq!(String::from_utf8(made).expect("text"), expected);
        assert_eq!(commit_without(raw.as_bytes(), None, &HashMap::new(), &short(&[])), None, "nothing to change");
        let latin = [raw.as_bytes(), b"\xff"].concat();
        let made = commit_without(&latin, Some(tree), &HashMap::new(), &short(&["x"])).expect("it changes");
        assert!(made.ends_with(b"\xff"), "bytes that are not text are carried over");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = commit_without(&raw, None, &HashMap::new(), &short(&["deadbeef"]));
        }
    }
}
