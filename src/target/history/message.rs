//! The commit message: text for people, and the trailer that a restart reads. No I/O.
//!
//! A title is data and cannot forge a trailer: it is on a line of its own that starts with `- `, without line breaks.
//! The trailer is parsed from the last paragraph only, which has no such line.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::model::position::Position;
use crate::model::text::{counted, shortened, visible_line};
use crate::model::{Amendment, HomeId, Intent, JournalId, Kind, Op, Revision};

const HOME: &str = "Indelible-Home: ";
const JOURNAL: &str = "Indelible-Journal: ";
pub(super) const POSITION: &str = "Indelible-Position: ";

/// Above this many, records are counted instead of listed.
const LINES_MAX: usize = 1000;
const TITLE_CHARS_MAX: usize = 100;
const SUBJECT_CHARS_MAX: usize = 60;
const BECAUSE_CHARS_MAX: usize = 200;

/// The position in a journal that a commit reaches: only a hint where to start looking next time. It also names the
/// home, for one that has lost every other copy of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The home's id; `None` if the commit does not name it.
    pub home: Option<HomeId>,
    /// The journal's id.
    pub journal: JournalId,
    /// The end of the batch's last entry.
    pub position: Position,
}

/// The message of a commit of these records and this many pages.
pub(super) fn compose(records: &[&Intent], pages: usize, trailer: &Trailer) -> String {
    let mut text = subject(records, pages);
    text.push_str("\n\n");
    for record in records.iter().take(LINES_MAX) {
        let title = title(record, TITLE_CHARS_MAX);
        let kind = record.record.kind();
        writeln!(text, "- {kind}: {title} ({})", record.id.short()).expect("writing to a string cannot fail");
    }
    if let Some(more) = records.len().checked_sub(LINES_MAX).filter(|&more| more > 0) {
        writeln!(text, "- and {more} more").expect("writing to a string cannot fail");
    }
    if !records.is_empty() {
        text.push('\n');
    }
    let home = trailer.home.map_or_else(String::new, |home| format!("{HOME}{home}\n"));
    write!(text, "{home}{JOURNAL}{}\n{POSITION}{}\n", trailer.journal, trailer.position)
        .expect("writing to a string cannot fail");
    text
}

/// The message of a commit for an operation other than `record`. A retracted record is named by its id only.
pub(super) fn of_change(op: &Op, trailer: &Trailer) -> String {
    let id = op.of().short();
    let (subject, line) = match op {
        Op::Amend(amendment) => {
            let (intent, kind) = (&amendment.record, amendment.record.record.kind());
            let subject = format!("Amend {kind}: {}", title(intent, SUBJECT_CHARS_MAX));
            let line = format!("- amended {kind}: {} ({id})", title(intent, TITLE_CHARS_MAX));
            (subject, line + &what_and_why(amendment))
        }
        Op::Retract(_) => ("Retract 1 record".to_owned(), format!("- retracted ({id})")),
        Op::Restore(_) => ("Restore 1 record".to_owned(), format!("- restored ({id})")),
        Op::Erase { .. } => ("Erase 1 record".to_owned(), format!("- erased ({id})")),
        Op::Record(intent) => return compose(&[intent], 0, trailer),
    };
    let trailer = compose(&[], 0, trailer);
    let trailer = trailer.split_once("\n\n").map_or("", |(_, trailer)| trailer);
    format!("{subject}\n\n{line}\n\n{trailer}")
}

/// Which fields `amendment` changed, and why. An operation that joins others changed the fields of each of them.
fn what_and_why(amendment: &Amendment) -> String {
    let Amendment { change, record } = amendment;
    let fields = record.amended.iter().flat_map(|amended| &amended.fields);
    let is_of = |revision: &Revision| *revision == change.revision;
    let own: Vec<&str> = fields.filter(|(_, revision)| is_of(revision)).map(|(name, _)| name.as_str()).collect();
    let mut text = String::new();
    if !own.is_empty() {
        let names = own.join(", ");
        write!(text, "\n  changed: {}", shortened(&visible_line(&names), BECAUSE_CHARS_MAX))
            .expect("writing to a string cannot fail");
    }
    if let Some(because) = change.because.as_deref().map(visible_line).filter(|because| !because.trim().is_empty()) {
        write!(text, "\n  because: {}", shortened(because.trim(), BECAUSE_CHARS_MAX))
            .expect("writing to a string cannot fail");
    }
    text
}

/// Whether `message` is that of a commit for an operation other than `record`.
pub(super) fn is_of_change(message: &[u8]) -> bool {
    let subjects = ["Amend ", "Retract ", "Restore ", "Erase "];
    subjects.iter().any(|subject| message.starts_with(subject.as_bytes())) && parse(message).is_some()
}

fn subject(records: &[&Intent], pages: usize) -> String {
    match records {
        [] if pages == 0 => "Begin: what other homes recorded is in files and rows".to_owned(),
        [] => format!("Render {}", counted(pages as u64, "page", "pages")),
        [one] => format!("Record {}: {}", one.record.kind(), title(one, SUBJECT_CHARS_MAX)),
        many => {
            let counts = Kind::ALL.map(|kind| (kind, many.iter().filter(|it| it.record.kind() == kind).count()));
            let counts = counts
                .into_iter()
                .filter(|&(_, n)| n > 0)
                .map(|(kind, n)| counted(n as u64, kind.name(), kind.plural()));
            format!("Record {}", counts.collect::<Vec<_>>().join(", "))
        }
    }
}

fn title(intent: &Intent, chars_max: usize) -> String {
    let line = visible_line(intent.record.headline());
    shortened(line.trim(), chars_max).into_owned()
}

/// Parses the trailer of a commit's message, if it has one.
pub fn parse(message: &[u8]) -> Option<Trailer> {
    let text: Cow<'_, str> = String::from_utf8_lossy(message);
    let (_, last) = text.trim_end().rsplit_once("\n\n")?;
    let value = |key: &str| last.lines().rev().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let home = value(HOME).and_then(|home| home.parse().ok());
    Some(Trailer { home, journal: value(JOURNAL)?.parse().ok()?, position: value(POSITION)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::SegmentId;
    use crate::model::{Amended, Change, Learning, Provenance, Record, RecordId, Severity};
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn intent(title: &str) -> Intent {
        let learning = Learning {
            title: title.to_owned(),
            domain: "d".to_owned(),
            severity: Severity::LEAST,
            tags: String::new(),
            summary: String::new(),
            ..Learning::default()
        };
        Intent {
            id: RecordId(Uuid::from_u128(0xdead_beef)),
            created_at: Timestamp::UNIX_EPOCH,
            key: None,
            provenance: Provenance::default(),
            record: Record::Failure(learning),
            amended: None,
            files: Vec::new(),
            from: None,
        }
    }

    fn trailer() -> Trailer {
        let position = Position { segment: SegmentId(Uuid::from_u128(9)), offset: 77, checksum: 0xabc };
        Trailer { home: Some(HomeId(Uuid::from_u128(7))), journal: JournalId(Uuid::from_u128(5)), position }
    }

    #[test]
    fn a_message_counts_and_lists() {
        let (one, mut two) = (intent("disk\nfull"), intent("b"));
        two.record = match two.record {
            Record::Failure(it) => Record::Success(it),
            other => other,
        };
        let text = compose(&[&one, &two, &one], 1, &trailer());
        let expected = "Record 2 failures, 1 success\n\n\
            - failure: disk␊full (deadbeef)\n- success: b (deadbeef)\n- failure: disk␊full (deadbeef)\n\n\
            Indelible-Home: 00000000-0000-0000-0000-000000000007\n\
            Indelible-Journal: 00000000-0000-0000-0000-000000000005\n\
            Indelible-Position: 00000000-0000-0000-0000-000000000009:77:00000abc\n";
        assert_eq!(text, expected);
        assert!(compose(&[&one], 0, &trailer()).starts_with("Record failure: disk␊full\n\n- failure:"));
        assert!(compose(&[], 2, &trailer()).starts_with("Render 2 pages\n\nIndelible-Home:"));
    }

    #[test]
    fn an_operation_says_what_it_did_and_a_retraction_no_title() {
        let change = |intent: &Intent| Change {
            of: intent.id,
            revision: Revision::first(intent.id),
            base: Revision::first(intent.id),
            at: Timestamp::UNIX_EPOCH,
            path: Some("memory/failures/secret-title.md".into()),
            because: Some("secret".into()),
        };
        let one = intent("disk\nfull");
        let revision = Revision::first(one.id);
        let fields = [("title", revision), ("tags", revision), ("domain", Revision { n: 7, ..revision })];
        let fields = fields.map(|(name, revision)| (name.to_owned(), revision)).into();
        let record = Intent { amended: Some(Amended { revision, fields }), ..one.clone() };
        let because = Some("it was\n\nIndelible-Journal: forged".to_owned());
        let amended = Amendment { change: Change { because, ..change(&one) }, record };
        let text = of_change(&Op::Amend(Box::new(amended)), &trailer());
        let wanted = "Amend failure: disk␊full\n\n- amended failure: disk␊full (deadbeef)\n  changed: tags, title\n  because: it \
                      was␊␊Indelible-Journal: forged\n\nIndelible-";
        assert!(text.starts_with(wanted), "{text}");
        let retracted = of_change(&Op::Retract(change(&one)), &trailer());
        assert!(retracted.starts_with("Retract 1 record\n\n- retracted (deadbeef)\n\nIndelible-"), "{retracted}");
        assert!(!retracted.contains("secret"), "{retracted}");
        for text in [text, retracted] {
            assert_eq!(parse(text.as_bytes()), Some(trailer()));
            assert!(is_of_change(text.as_bytes()), "{text}");
        }
        for op in [Op::Restore(change(&one)), Op::Erase { of: one.id, revision: Revision::first(one.id) }] {
            assert!(is_of_change(of_change(&op, &trailer()).as_bytes()), "{op:?}");
        }
        assert!(!is_of_change(compose(&[&one], 0, &trailer()).as_bytes()));
        assert!(!is_of_change(b"Amend the build\n\nby hand"), "another author's commit");
    }

    #[test]
    fn a_thousand_are_named_and_the_rest_counted() {
        let one = intent("x");
        let text = compose(&vec![&one; 1002], 0, &trailer());
        assert_eq!(text.matches("- failure").count(), 1000);
        assert!(text.contains("\n- and 2 more\n\n"));
        assert!(!compose(&vec![&one; 1000], 0, &trailer()).contains("more"));
    }

    #[test]
    fn a_trailer_is_found_in_the_last_paragraph_alone() {
        let Trailer { journal, position, .. } = trailer();
        let forged = format!("subject\n\n{JOURNAL}{journal}\n{POSITION}{position}\n\nsomething after it\n");
        assert_eq!(parse(forged.as_bytes()), None);
        let subject = format!("{JOURNAL}{journal}\n{POSITION}{position}\n");
        assert_eq!(parse(subject.as_bytes()), None, "a subject is no trailer");
        let signed = format!("s\n\n{JOURNAL}{journal}\r\nSigned-off-by: x\n{POSITION}{position}\r\n\n");
        assert_eq!(parse(signed.as_bytes()), Some(Trailer { home: None, ..trailer() }));
        assert_eq!(parse(b"\xff\n\n\xfe"), None);
    }

    proptest! {
        #[test]
        fn any_title_leaves_the_trailer_alone(titles in proptest::collection::vec(any::<String>(), 0..4), forge in any::<bool>()) {
            let other = Uuid::from_u128(6);
            let intents: Vec<Intent> = titles.iter().map(|title| match forge {
                true => intent(&format!("{title}\n\n{HOME}{other}\n{JOURNAL}{other}\n{POSITION}{}\n\n", trailer().position)),
                false => intent(title),
            }).collect();
            let text = compose(&intents.iter().collect::<Vec<_>>(), 0, &trailer());
            prop_assert_eq!(parse(text.as_bytes()), Some(trailer()));
            prop_assert_eq!(text.lines().filter(|line| line.starts_with("Indelible-")).count(), 3);
        }
    }
}
