use super::*;
use crate::fs::Dir;
use crate::journal::{Journal, Reader};
use crate::model::JournalId;
use crate::target::Mark;
use crate::target::VoidReason;

#[test]
fn a_watermark_into_a_segment_that_is_gone_is_a_loss() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let journal = Journal::new(Dir::open(root.path()).expect("it opens"));
    journal.ensure_first().expect("it can be made");
    let id = JournalId::default();
    let log = Log { journal: &journal, id, state: None };
    let reader = Reader::from_start(&journal).expect("readable").expect("there is a segment");
    let position = reader.position();
    let mark = RowsMark { journal: id, position, pages: None, boot: String::new(), memory: None };
    let judged = |mark: Option<&RowsMark>| RowsMark::watermark(mark, &log).expect("readable");
    let lost = Watermark::Lost(VoidReason::RowsLost);
    assert_eq!(judged(None), Watermark::Beginning, "nothing of the journal is gone");
    assert_eq!(judged(Some(&mark)), Watermark::At(Mark::of(&reader)));
    let elsewhere = Position { offset: position.offset + 100, ..position };
    assert_eq!(judged(Some(&RowsMark { position: elsewhere, ..mark.clone() })), lost);
    assert_eq!(judged(Some(&RowsMark { pages: Some(elsewhere), ..mark.clone() })), lost);
    let segment = |number: u64| root.path().join(format!("{number:010}.log"));
    std::fs::rename(segment(1), segment(2)).expect("it can be renamed");
    assert_eq!(judged(None), lost, "a segment is gone, and what was in it");
}
