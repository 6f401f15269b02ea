//! What must hold after a power cut, before and after recovery.

use std::collections::{BTreeMap, BTreeSet};

use super::tally::Tally;
use super::{Firsts, Life, Limits, Stage, World, check, lock, open, read};
use crate::fs::simulated::{Dice, Disk, Machine, outside};
use crate::home::Home;
use crate::journal::{Reader, Records};
use crate::model::path::state_file;
use crate::model::{FileImage, Intent};
use crate::page;
use crate::quarantine::Contents;
use crate::state::State;

impl Life<'_> {
    /// Asserts that every record that must survive is there, before any repair. If a recorder's sync had failed, other
    /// writers' data was lost with it; what of that was committed is in git alone.
    pub(super) fn look_at_wreck(&self, sync_failed: bool) {
        let (home, mut world, disk) = (open(&self.machine), lock(&self.world), self.machine.disk());
        let files = files_of_records(&disk);
        let intents = read(&home, &mut world);
        self.options.look_at_rows(&home, &world, &intents, sync_failed);
        self.options.look_at_ops_in_wreck(&home, &world, &files, sync_failed);
        let in_files = |id, wanted: &[FileImage]| wanted.iter().all(|it| world.is_intact(id, it, files.get(&it.path)));
        for promise in &world.promised {
            let committed = world.committed.iter().find(|intent| intent.id == promise.id);
            let files = committed.filter(|_| promise.keyed).map_or(&promise.files, |intent| &intent.files);
            // What an operation changed is looked at by its own.
            let applied = committed.is_some() && (world.is_changed(promise.id) || in_files(promise.id, files));
            assert!(
                intents.contains_key(&promise.id) || applied,
                "{} was acknowledged and is lost: {:?}",
                promise.id,
                promise.files[0].path
            );
        }
        for intent in world.committed.iter().filter(|intent| !sync_failed && !world.is_changed(intent.id)) {
            let refused = world.refused.contains(intent.record.headline());
            let kept = refused || intents.contains_key(&intent.id) || in_files(intent.id, &intent.files);
            assert!(kept, "{} was committed before it was durable", intent.path());
        }
        if let Some((_, position)) = world.history.position.filter(|_| !sync_failed && world.refused.is_empty()) {
            let noted = State::read(home.private()).expect("readable").and_then(|state| state.noted);
            let positions = [Some(position), noted.map(|noted| noted.position)];
            let is_there = |position| Reader::from_position(home.journal(), position).expect("readable").is_some();
            assert!(
                positions.into_iter().flatten().any(is_there),
                "the journal does not have the history's watermark {position}"
            );
        }
        for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with("/README.md")) {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            assert!(page::is_unedited(text), "the page {path} is torn: {} bytes", bytes.len());
        }
    }

    /// Asserts that the rows have reached the history.
    fn look_at_watermark(&self, home: &Home, world: &World) {
        let Some(mark) = world.rows.mark() else { return };
        let reader = Reader::from_position(home.journal(), mark.position).expect("readable");
        assert!(reader.is_some(), "the rows' watermark is into a part of the journal that is gone");
        assert_eq!(mark.pages, None, "pages lag after a recovery");
    }

    /// Asserts that everything is in order.
    pub(super) fn look(&mut self) {
        let (home, mut world, disk) = (open(&self.machine), lock(&self.world), self.machine.disk());
        let mut files = files_of_records(&disk);
        for promise in &world.promised {
            assert!(world.is_committed(promise.id), "{} was acknowledged and is not committed", promise.id);
        }
        let mut headlines = BTreeSet::new();
        let mut checked = std::mem::take(&mut world.checked);
        for intent in &world.committed {
            if !world.is_forgotten(intent.id) {
                check(intent, &world.asked, &mut checked);
            }
            assert!(headlines.insert(intent.record.headline()), "{:?} is there twice", intent.record.headline());
            for file in &intent.files {
                let found = files.remove(&file.path);
                let bytes = found.as_ref().map(Vec::len);
                let is_intact = world.is_intact(intent.id, file, found.as_ref());
                let in_tree = world.history.tree.get(&file.path).map(Vec::len);
                assert!(is_intact, "{} is not what was recorded: {bytes:?} bytes, and {in_tree:?} in git", file.path);
            }
            if let Some(found) = files.remove(&state_file(intent.id)) {
                let wanted = world.history.tree.get(&state_file(intent.id));
                assert_eq!(Some(&found), wanted, "the state file of {} is not the one in the history", intent.path());
            }
        }
        world.checked = checked;
        self.look_at_changes(&world, &disk);
        let is_plain = |intent: &&Intent| !world.is_changed(intent.id) && !world.is_forgotten(intent.id);
        for intent in world.committed.iter().filter(is_plain) {
            // The entry of a refused record can have been voided before its row was inserted.
            let row = match world.rows.get(intent.id) {
                None if world.is_refused(intent) => continue,
                row => row.unwrap_or_else(|| panic!("{} has no row", intent.path())),
            };
            let is_own = row.request.record == intent.record || world.edits.contains_key(&intent.files[0].path);
            assert!(is_own && row.path == intent.path(), "the row of {} is another record's", intent.path());
        }
        self.look_at_watermark(&home, &world);
        for folder in world.domains() {
            let page = files.remove(&format!("{folder}/README.md"));
            // A worker can have inserted the row of a record that its recorder voided later.
            let rows = [false, true].map(|refused| world.page(&folder, refused));
            let is_right = rows.iter().any(|text| page.as_deref() == text.as_ref().map(String::as_bytes));
            let text = page.map(|page| String::from_utf8_lossy(&page).into_owned());
            assert!(is_right, "the page in {folder} is not its heuristics': {text:?}");
        }
        self.look_at_others(&world, files);
        assert!(disk.files(".indelible/tmp").is_empty(), "temporary files are left");
        let contents = Contents::of(&home).expect("it can be listed");
        self.look_at_parked(&world, &disk, &contents);
        let edited = contents.set_aside.iter().find(|name| name.contains("edited"));
        assert!(edited.is_none(), "a page was taken for edited: {contents:?}");
        count(&mut self.tally, &world, &home, &contents);
    }

    /// Asserts that `files`, which no committed record has, are those of refused records, or pages without a record.
    fn look_at_others(&self, world: &World, files: BTreeMap<String, Vec<u8>>) {
        for (path, bytes) in files {
            // A power cut can have torn it: it is known by its name.
            let refused = world.refused.iter().any(|headline| path.contains(&headline.replace(' ', "-")));
            let is_uncommitted = |headline: &String| !world.committed.iter().any(|it| it.record.headline() == headline);
            let mut asked = world.asked.keys().filter(|headline| path.contains(&headline.replace(' ', "-")));
            let refused = refused || world.is_journal_restored && asked.any(is_uncommitted);
            let without_record = page::parse(&bytes).is_ok_and(|parsed| parsed.request.is_none());
            assert!(refused || without_record || self.tally.failed_syncs > 0, "{path} belongs to no record");
        }
    }
}

impl Limits {
    /// Asserts that no row is lost: each is in the index, or the journal still has its record.
    fn look_at_rows(self, home: &Home, world: &World, intents: &Firsts, sync_failed: bool) {
        if self.rows_bytes_max == 1 << 30 && !sync_failed {
            for intent in world.committed.iter().filter(|intent| !world.is_changed(intent.id)) {
                let refused = world.refused.contains(intent.record.headline());
                let kept = refused || world.rows.get(intent.id).is_some() || intents.contains_key(&intent.id);
                assert!(kept, "the row of {} is lost, and its segment is gone", intent.path());
            }
        }
        for (id, first) in intents.iter().filter(|(_, intent)| intent.key.is_some()) {
            let Some(record) = world.committed.iter().find(|intent| intent.id == *id) else { continue };
            let is_first = record.created_at == first.created_at || !is_in_journal(home, record);
            assert!(
                is_first || !world.refused.is_empty(),
                "a later intent of the key of {} is the record",
                record.path()
            );
        }
    }
}

impl Stage<'_> {
    /// Asserts that the stores have what the journal has no more, just after a segment was removed. Makes no call on the
    /// machine's disk, so that older seeds give the same lives.
    pub(super) fn look_at_removal(self) {
        let machine = Machine::new(self.machine.disk(), Dice::of(0));
        let (sync_failed, files) = (self.machine.failed_syncs() > 0, files_of_records(&machine.disk()));
        outside(|| {
            let (home, mut world) = (open(&machine), self.world());
            let intents = read(&home, &mut world);
            self.options.look_at_rows(&home, &world, &intents, sync_failed);
            self.options.look_at_ops_in_wreck(&home, &world, &files, sync_failed);
        });
    }
}

/// The files of all records, and the pages, with their bytes.
fn files_of_records(disk: &Disk) -> BTreeMap<String, Vec<u8>> {
    disk.files("memory").into_iter().chain(disk.files("experiments")).collect()
}

fn is_in_journal(home: &Home, record: &Intent) -> bool {
    let mut records = Records::from_start(home.journal()).expect("readable");
    while let Some(intent) = records.as_mut().and_then(|records| records.next_intent().expect("readable")) {
        if intent.id == record.id && intent.created_at == record.created_at {
            return true;
        }
    }
    false
}

/// Counts what the life has come to.
fn count(tally: &mut Tally, world: &World, home: &Home, contents: &Contents) {
    tally.damaged = contents.damaged.len() as u64;
    tally.set_aside = contents.set_aside.len() as u64;
    tally.segments = home.journal().newest().map_or(0, |number| number.0);
    let acknowledged = world.made.iter().filter(|made| made.acknowledged.is_some());
    tally.changed = acknowledged.count() as u64;
    tally.joined = world.history.joins() as u64;
    tally.acknowledged = world.promised.len() as u64;
    tally.edited = world.edits.values().filter(|edit| edit.durable).count() as u64;
}
