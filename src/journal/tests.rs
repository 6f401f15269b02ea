//! The journal as its users see it: what was appended is read back, whatever happened around it.

use super::*;
#[cfg(target_os = "linux")]
use crate::fs::simulated::{Dice, Disk, Machine, interrupted, root};
use crate::fs::{Dir, Point};
use crate::model::position::Position;
use std::collections::BTreeSet;
#[cfg(target_os = "linux")]
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

struct Bench {
    _root: tempfile::TempDir,
    journal: Journal,
}

fn bench() -> Bench {
    let root = tempfile::tempdir().expect("a temporary folder");
    let journal = Journal::new(Dir::open(root.path()).expect("it opens"));
    assert!(journal.ensure_first().expect("it can be made"));
    Bench { _root: root, journal }
}

impl Bench {
    fn append(&self, text: &str) {
        let mut appender = Appender::open(&self.journal).expect("there is a segment");
        let written = appender.append(&[format!("{{\"t\":\"{text}\"}}")]).expect("it can be written");
        let _ = written.sync().expect("it can be synced");
    }

    fn raw(&self, number: u64, bytes: &[u8]) {
        let file = self.journal.dir().append(&SegmentNumber(number).file_name()).expect("it is there");
        file.write_all(bytes).expect("it can be written");
    }

    fn reader(&self) -> Reader<'_> {
        Reader::from_start(&self.journal).expect("readable").expect("there is a segment")
    }

    fn exclusive(&self) -> ExclusiveJournal<'_> {
        exclusive(&self.journal)
    }
}

pub(super) fn exclusive(journal: &Journal) -> ExclusiveJournal<'_> {
    ExclusiveJournal { journal }
}

/// Removes the segments before `committed`, with no files or rows to make durable first.
pub(super) fn prune(journal: &Journal, committed: SegmentNumber) {
    let finished = exclusive(journal).finished(committed).expect("they can be listed");
    let synced = finished.sync([journal.dir()], || Ok::<_, fs::Error>(true)).expect("it can be synced");
    synced.expect("there are no rows").prune().expect("they can be removed");
}

pub(super) fn drain(reader: &mut Reader<'_>) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(item) = reader.next().expect("readable") {
        found.push(match item {
            Item::Entry { json } => {
                String::from_utf8(json).expect("it was text").replace("{\"t\":\"", "").replace("\"}", "")
            }
            Item::Voided => "voided".into(),
            Item::Torn => "torn".into(),
            Item::Damaged { offset, .. } => format!("damaged@{offset}"),
        });
    }
    found
}

#[test]
fn what_is_appended_is_read_in_order_and_a_reader_goes_on_where_it_was() {
    let bench = bench();
    let mut reader = bench.reader();
    assert_eq!(drain(&mut reader), [""; 0]);
    bench.append("a");
    bench.append("b");
    assert_eq!(drain(&mut reader), ["a", "b"]);
    bench.exclusive().rotate().expect("it can be rotated");
    bench.append("c");
    assert_eq!(drain(&mut reader), ["c"]);
    assert_eq!(reader.segment(), SegmentNumber(2));
}

/// A sync names the end of the last entry that it made durable, for a writer and for a batch alike.
#[test]
fn a_sync_says_up_to_where() {
    let bench = bench();
    bench.append("before");
    let mut appender = Appender::open(&bench.journal).expect("there is a segment");
    let jsons = ["a", "longer"].map(|text| format!("{{\"t\":\"{text}\"}}"));
    let synced = appender.append(&jsons).expect("it can be written").sync().expect("it can be synced");
    bench.append("behind");
    let mut reader = Reader::from_position(&bench.journal, *synced.get()).expect("readable").expect("it is borne out");
    assert_eq!(drain(&mut reader), ["behind"]);

    let mut appender = Appender::open(&bench.journal).expect("there is a segment");
    let late = appender.append(&jsons).expect("it can be written");
    bench.exclusive().rotate().expect("it can be rotated");
    let synced = late.sync().expect("it can be synced");
    let mut reader = Reader::from_position(&bench.journal, *synced.get()).expect("readable").expect("it is borne out");
    assert_eq!(reader.segment(), SegmentNumber(2), "it lies where it was appended again");
    assert_eq!(drain(&mut reader), [""; 0]);

    let synced = bench.exclusive().sync(SegmentNumber(1), &reader).expect("it can be synced");
    assert_eq!(*synced.get(), reader.position());
    assert!(matches!(bench.exclusive().sync(SegmentNumber(3), &reader), Err(Error::Empty(_))), "nothing was synced");
}

#[test]
fn a_writer_that_saw_no_rotation_appends_again() {
    let bench = bench();
    let mut appender = Appender::open(&bench.journal).expect("there is a segment");
    let written = appender.append(&["{\"t\":\"late\"}"]).expect("it can be written");
    bench.exclusive().rotate().expect("it can be rotated");
    let _ = written.sync().expect("it can be synced");
    assert_eq!(drain(&mut bench.reader()), ["late", "late"], "one in each segment");
}

#[test]
fn a_writer_whose_segment_was_removed_appends_again() {
    let bench = bench();
    let mut appender = Appender::open(&bench.journal).expect("there is a segment");
    let written = appender.append(&["{\"t\":\"late\"}"]).expect("it can be written");
    bench.exclusive().rotate().expect("it can be rotated");
    bench.exclusive().rotate().expect("it can be rotated");
    prune(&bench.journal, SegmentNumber(3));
    let _ = written.sync().expect("it can be synced");
    assert_eq!(drain(&mut bench.reader()), ["late"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_batch_that_is_cut_short_voids_only_its_own_entries() {
    let batch = ["1", "2", "3"].map(|text| format!("{{\"t\":\"{text}\"}}"));
    let bytes: usize = batch.iter().map(|json| encode(json.as_bytes()).len()).sum();
    for (taken, call) in (0..bytes - 1).flat_map(|taken| (1..6).map(move |call| (taken, call))) {
        let machine = Machine::new(Disk::new(512), Dice::of(1));
        let journal = Journal::new(root(&machine));
        journal.ensure_first().expect("it can be made");
        let mut appender = Appender::open(&journal).expect("there is a segment");
        let kept: Rc<Cell<Option<&str>>> = Rc::default();
        let (other, acknowledged) = (machine.clone(), kept.clone());
        let another_writer = move || {
            let journal = Journal::new(root(&other));
            let mut appender = Appender::open(&journal).expect("there is a segment");
            let written = appender.append(&[r#"{"t":"kept"}"#]).expect("it can be written");
            let _ = written.sync().expect("it can be synced");
            acknowledged.set(Some("kept"));
        };
        machine.cut_short(taken);
        let result = interrupted(vec![(call, Box::new(another_writer))], || appender.append(&batch));
        assert!(matches!(result, Err(Error::Short { .. })), "{taken} of {bytes} bytes: {result:?}");
        let mut found = drain(&mut Reader::from_start(&journal).expect("readable").expect("there is a segment"));
        found.retain(|item| !matches!(item.as_str(), "voided" | "torn"));
        // If there is nothing to void, there are fewer calls, and the other writer never comes.
        assert!(found.iter().eq(kept.get().iter()), "{taken} of {bytes} bytes, before call {call}: {found:?}");
    }
}

/// A worker's work, one step for each letter of `steps`: `r` rotates and reads everything, `x` removes all but the
/// newest segment.
#[cfg(target_os = "linux")]
fn rotate_and_remove(journal: &Journal, steps: &str, seen: &mut BTreeSet<String>) {
    for step in steps.chars() {
        if step == 'r' {
            exclusive(journal).rotate().expect("it can be rotated");
            let mut reader = Reader::from_start(journal).expect("readable").expect("there is a segment");
            seen.extend(drain(&mut reader));
        } else {
            prune(journal, journal.newest().expect("there is one"));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn wherever_a_writer_stands_still_its_entry_is_read() {
    // More than a writer creates if nothing overtakes it.
    let calls = 12;
    let steps = ["r", "rx", "x", "xrx"];
    for (first, second) in (0..calls).flat_map(|first| (first..calls).map(move |second| (first, second))) {
        for (early, late) in steps.into_iter().flat_map(|early| steps.map(|late| (early, late))) {
            let machine = Machine::new(Disk::new(512), Dice::of(1));
            let journal = Journal::new(root(&machine));
            journal.ensure_first().expect("it can be made");
            let seen: Rc<RefCell<BTreeSet<String>>> = Rc::default();
            let worker = |call: u64, steps: &'static str| -> (u64, Box<dyn FnOnce()>) {
                let (machine, seen) = (machine.clone(), seen.clone());
                let work = move || rotate_and_remove(&Journal::new(root(&machine)), steps, &mut seen.borrow_mut());
                (call, Box::new(work))
            };
            interrupted(vec![worker(first, early), worker(second, late)], || {
                let mut appender = Appender::open(&journal).expect("there is a segment");
                let written = appender.append(&[r#"{"t":"kept"}"#]).expect("it can be written");
                let _ = written.sync().expect("it can be synced");
            });
            rotate_and_remove(&journal, "xr", &mut seen.borrow_mut());
            assert!(seen.borrow().contains("kept"), "lost: {early} before call {first}, {late} before call {second}");
        }
    }
}

/// Whatever a power cut leaves of a journal's end, and of its removal, the journal stays reopened.
#[test]
#[cfg(target_os = "linux")]
fn an_ended_journal_goes_on_whenever_the_power_fails() {
    let machine = Machine::new(Disk::new(512), Dice::of(1));
    let temporary = root(&machine).make_folder("tmp").expect("it can be made");
    let folder = root(&machine).make_folder("journal").expect("it can be made");
    let journal = Journal::new(folder);
    let append = |journal: &Journal, json: &str| {
        let mut appender = Appender::open(journal)?;
        appender.append(&[json])?.sync().map(|_| ())
    };
    journal.ensure_first().expect("it can be made");
    append(&journal, r#"{"t":"a"}"#).expect("it goes on");
    root(&machine).sync().expect("it can be synced");
    exclusive(&journal).close(&temporary).expect("it can be ended");
    let ended = append(&journal, r#"{"t":"nobody's"}"#);
    assert!(matches!(ended, Err(Error::Format { .. })), "{ended:?}");
    let there = |machine: &_| Journal::new(root(machine).folder("journal").expect("it is there"));
    for seed in 0..100 {
        let first = machine.after_power_cut(&mut Dice::of(seed));
        let end = there(&first).dir().content("0000000002.log", 100).expect("readable");
        assert!(end.as_ref().is_none_or(|end| end.ends_with(b"with-its-home\n")), "seed {seed}: {end:?}");
        exclusive(&there(&first)).reopen().expect("it can go on");
        let second = first.after_power_cut(&mut Dice::of(seed));
        for machine in [&first, &second] {
            let journal = there(machine);
            append(&journal, r#"{"t":"b"}"#).unwrap_or_else(|error| panic!("seed {seed}: it has ended: {error}"));
            let found = drain(&mut Reader::from_start(&journal).expect("readable").expect("there is a segment"));
            assert_eq!(found, ["a", "b"], "seed {seed}");
        }
    }
}

#[test]
fn dead_writers_and_damage_hide_nothing_behind_them() {
    let bench = bench();
    bench.append("a");
    let whole = encode(b"{\"t\":\"x\"}");
    bench.raw(1, &whole[..whole.len() - 4]);
    bench.append("b");
    let mut damaged = whole.clone();
    damaged[14] ^= 1;
    bench.raw(1, &damaged);
    bench.append("c");
    let mut voided = whole.clone();
    voided[1..9].copy_from_slice(b"--------");
    bench.raw(1, &voided);
    // Everything but the last line feed is a whole entry.
    bench.raw(1, &whole[..whole.len() - 1]);
    let mut reader = bench.reader();
    let found = drain(&mut reader);
    assert_eq!(found[..3], ["a", "torn", "b"]);
    assert!(found[3].starts_with("damaged@"), "{found:?}");
    assert_eq!(found[4..], ["c", "voided", "x"]);
    bench.append("d");
    assert_eq!(drain(&mut reader), ["d"]);
}

#[test]
fn an_unfinished_line_is_left_alone_until_its_segment_is_sealed() {
    let bench = bench();
    let whole = encode(b"{\"t\":\"x\"}");
    bench.raw(1, &whole[..9]);
    let mut reader = bench.reader();
    assert_eq!(drain(&mut reader), [""; 0], "its writer may be at work");
    bench.raw(1, &whole[9..]);
    assert_eq!(drain(&mut reader), ["x"]);
    bench.raw(1, &whole[..9]);
    bench.exclusive().rotate().expect("it can be rotated");
    assert_eq!(drain(&mut reader), ["torn"]);
}

#[test]
fn a_position_leads_back_to_its_place_and_nowhere_else() {
    let bench = bench();
    for text in ["a", "b", "c"] {
        bench.append(text);
    }
    let mut reader = bench.reader();
    let mut positions = vec![reader.position()];
    while reader.next().expect("readable").is_some() {
        positions.push(reader.position());
    }
    for (read, position) in positions.iter().enumerate() {
        let reader = Reader::from_position(&bench.journal, *position).expect("readable");
        assert_eq!(drain(&mut reader.expect("it is borne out")), ["a", "b", "c"][read..]);
        for wrong in [
            crate::model::position::Position { checksum: position.checksum ^ 1, ..*position },
            crate::model::position::Position { offset: position.offset + 1, ..*position },
            crate::model::position::Position {
                segment: crate::model::position::SegmentId(uuid::Uuid::nil()),
                ..*position
            },
        ] {
            assert!(Reader::from_position(&bench.journal, wrong).expect("readable").is_none(), "{wrong} was borne out");
        }
    }
}

#[test]
fn large_entries_and_endless_lines_are_read_across_chunks() {
    let bench = bench();
    let large = "l".repeat(700_000);
    bench.append("a");
    bench.append(&large);
    bench.raw(1, b"\n");
    bench.raw(1, &vec![b'z'; 2 * ENTRY_BYTES_MAX + 100_000]);
    bench.append("b");
    let found = drain(&mut bench.reader());
    assert_eq!((found.len(), &found[0], found[1].len(), &found[3]), (4, &"a".into(), 700_000, &"b".into()));
    assert!(found[2].starts_with("damaged@"), "{}", &found[2][..40]);
}

/// The kept start of an endless line proves too little: it may look like the start of an entry, or zeros, that entries
/// follow.
#[test]
fn an_endless_line_is_damage_however_it_begins() {
    let entry = encode(format!("{{\"t\":\"{}\"}}", "e".repeat(ENTRY_BYTES_MAX - 100)).as_bytes());
    for beginning in [&entry[1..entry.len() - 1], b"", b"01234567 9000 {\"t\""] {
        let bench = bench();
        bench.append("a");
        bench.raw(1, b"\n");
        bench.raw(1, beginning);
        bench.raw(1, &vec![0; 2 * ENTRY_BYTES_MAX + 100_000]);
        bench.raw(1, b"what was synced\n");
        bench.append("b");
        let found = drain(&mut bench.reader());
        assert!(found.len() == 3 && found[1].starts_with("damaged@") && found[2] == "b", "{found:?}");
    }
}

/// An entry whose final line feed was not written is acknowledged all the same, and a power cut can leave zeros of the
/// next one.
#[test]
fn zeros_behind_an_entry_without_its_line_feed_do_not_hide_it() {
    let bench = bench();
    let whole = encode(b"{\"t\":\"x\"}");
    bench.raw(1, &whole[..whole.len() - 1]);
    bench.raw(1, &[0; 700]);
    let mut reader = bench.reader();
    assert_eq!(drain(&mut reader), ["x"]);
    let position = reader.position();
    bench.append("b");
    assert_eq!(drain(&mut reader), ["b"]);
    assert_eq!(drain(&mut bench.reader()), ["x", "b"]);
    let behind = Reader::from_position(&bench.journal, position).expect("readable").expect("it is borne out");
    assert_eq!(drain(&mut { behind }), ["b"]);
}

#[test]
fn racing_writers_and_a_rotating_reader_lose_nothing() {
    let bench = bench();
    let (writers, entries) = (8, 60);
    let mut seen = BTreeSet::new();
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..writers)
            .map(|writer| {
                let bench = &bench;
                scope.spawn(move || {
                    for entry in 0..entries {
                        let text = format!("{writer}-{entry}-{}", "x".repeat(entry * 37));
                        bench.append(&text);
                    }
                })
            })
            .collect();
        let mut reader = bench.reader();
        loop {
            let done = handles.iter().all(std::thread::ScopedJoinHandle::is_finished);
            seen.extend(drain(&mut reader));
            if done {
                seen.extend(drain(&mut reader));
                break;
            }
            bench.exclusive().rotate().expect("it can be rotated");
            prune(&bench.journal, reader.segment());
        }
    });
    assert_eq!(seen.len(), writers * entries, "an acknowledged entry was lost, or a torn one was seen");
    assert!(seen.iter().all(|text| text.contains('-')), "{seen:?}");
}

#[test]
fn every_point_has_a_name_of_its_own() {
    let names: BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(names.len(), Point::ALL.len());
}

fn format_of(bench: &Bench, number: u64) -> String {
    let bytes = bench.journal.dir().content(&SegmentNumber(number).file_name(), 1 << 20).expect("readable");
    let text = String::from_utf8(bytes.expect("it is there")).expect("it is text");
    let header = text.lines().find_map(|line| line.strip_prefix("indelible-journal ")).expect("it has a header");
    header.split(' ').next().expect("a header names its format").to_owned()
}

fn append_operation(bench: &Bench, text: &str) {
    let mut appender = Appender::open_for_operations(&bench.journal).expect("there is a segment");
    let written = appender.append(&[format!("{{\"t\":\"{text}\"}}")]).expect("it can be written");
    let _ = written.sync().expect("it can be synced");
}

#[test]
fn only_an_operation_makes_a_journal_one_that_older_programs_refuse() {
    let bench = bench();
    bench.append("a");
    bench.exclusive().rotate().expect("it can be rotated");
    bench.append("b");
    assert_eq!([1, 2].map(|number| format_of(&bench, number)), ["1", "1"]);
    append_operation(&bench, "op");
    bench.append("c");
    append_operation(&bench, "op 2");
    assert_eq!(format_of(&bench, 3), "2");
    assert_eq!(bench.journal.newest().expect("there is one"), SegmentNumber(3), "one segment takes all of them");
    bench.exclusive().rotate().expect("it can be rotated");
    assert_eq!(format_of(&bench, 4), "2", "what comes after operations is not for those who do not know them");
    // Created and left without a header: the next recorder writes it.
    bench.journal.dir().create_empty(&SegmentNumber(5).file_name()).expect("it is new");
    bench.append("d");
    assert_eq!(format_of(&bench, 5), "2");
    assert_eq!(drain(&mut bench.reader()), ["a", "b", "op", "c", "op 2", "d"]);
}

#[test]
fn an_operation_never_stands_in_a_segment_of_records() {
    let bench = bench();
    bench.append("a");
    let mut appender = Appender::open_for_operations(&bench.journal).expect("there is a segment");
    let written = appender.append(&[r#"{"t":"op"}"#]).expect("it can be written");
    bench.exclusive().rotate().expect("it can be rotated");
    let _ = written.sync().expect("it can be synced");
    assert_eq!(format_of(&bench, 3), "2", "appended again, it is in a segment for operations as well");
    assert_eq!(drain(&mut bench.reader()), ["a", "op", "op"]);
}

/// A segment behind the newest, as a newer program would write it.
fn newer_segment(bench: &Bench) -> SegmentNumber {
    let number = bench.journal.newest().expect("there is one").next();
    bench.journal.dir().create_empty(&number.file_name()).expect("it is new");
    bench.raw(
        number.0,
        format!("indelible-journal 3 {}\n\nwhat only a newer program reads\n", uuid::Uuid::nil()).as_bytes(),
    );
    number
}

#[test]
fn recorders_go_on_behind_a_segment_of_a_newer_program() {
    let bench = bench();
    bench.append("a");
    let newer = newer_segment(&bench);
    let before = bench.journal.dir().content(&newer.file_name(), 1 << 20).expect("readable");
    bench.append("b");
    bench.append("c");
    assert_eq!(format_of(&bench, 3), "2", "both sorts of writer know it");
    assert_eq!(bench.journal.newest().expect("there is one"), SegmentNumber(3));
    assert_eq!(bench.journal.dir().content(&newer.file_name(), 1 << 20).expect("readable"), before, "it was touched");
    // All of what lies before it is read, and the reader does not pass it.
    let mut reader = bench.reader();
    assert!(matches!(reader.next(), Ok(Some(Item::Entry { .. }))));
    for _ in 0..2 {
        assert!(matches!(reader.next(), Err(Error::Newer { number: 2, found: 3 })));
    }
    // A later segment can hold the position, of a newer program that has read that far.
    let start = bench.journal.beginning(SegmentNumber(3)).expect("readable").expect("it has a header");
    let mut behind = Reader::from_position(&bench.journal, start).expect("readable").expect("it is there");
    assert_eq!(drain(&mut behind), ["b", "c"]);
    let position = behind.position();
    assert!(Reader::from_position(&bench.journal, position).expect("readable").is_some());
    let nowhere = Position { offset: position.offset + 1, ..position };
    assert!(matches!(Reader::from_position(&bench.journal, nowhere), Err(Error::Newer { number: 2, .. })));
    assert_eq!(bench.journal.ids().expect("readable").iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3]);
}
