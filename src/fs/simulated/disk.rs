//! What is durable on the disk, and what is only visible so far.

use std::collections::{BTreeMap, BTreeSet};

use rustix::io::Errno;

use super::Dice;
use crate::model::layout::parts;

pub type Inode = u64;

/// The folder that contains all others.
pub const ROOT: Inode = 1;

/// A disk, and the system's page cache of it.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The unit of an atomic write, in bytes.
    sector: usize,
    nodes: BTreeMap<Inode, Node>,
    next: Inode,
    /// Unsynced changes of names, in order.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Node {
    Folder(Folder),
    File(File),
}

#[derive(Clone, Debug, Default)]
struct Folder {
    seen: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
}

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The sectors that may differ from `durable`, by their number.
    unsynced: BTreeMap<usize, Sector>,
    /// The lengths since the last sync.
    lengths: Vec<usize>,
    names: u64,
    /// The number of failed syncs.
    failures: u64,
}

/// A sector's versions since the last sync.
#[derive(Clone, Debug, Default)]
struct Sector {
    contents: Vec<Vec<u8>>,
    /// Whether a sync would write it; false after a failed sync.
    dirty: bool,
}

/// Names that change together.
type Change = Vec<Named>;

#[derive(Clone, Debug)]
struct Named {
    folder: Inode,
    name: String,
    now: Option<Inode>,
}

impl Named {
    fn place(&self) -> (Inode, &str) {
        (self.folder, &self.name)
    }
}

/// The metadata of a path.
pub struct Stat {
    pub inode: Inode,
    pub is_folder: bool,
    pub size: u64,
    pub names: u64,
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8], sector: usize) {
        let end = offset + bytes.len();
        if end > self.seen.len() {
            self.seen.resize(end, 0);
            self.lengths.push(end);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        for number in offset / sector..end.div_ceil(sector) {
            let content = self.seen[number * sector..self.seen.len().min((number + 1) * sector)].to_vec();
            let unsynced = self.unsynced.entry(number).or_default();
            unsynced.contents.push(content);
            unsynced.dirty = true;
        }
    }

    fn sync(&mut self, sector: usize) {
        self.durable.resize(self.seen.len(), 0);
        self.lengths.clear();
        let (written, dropped) = std::mem::take(&mut self.unsynced).into_iter().partition(|(_, it)| it.dirty);
        self.unsynced = dropped;
        let written: BTreeMap<usize, Sector> = written;
        for (number, Sector { contents, .. }) in written {
            put(&mut self.durable, number * sector, contents.last().map_or(&[], Vec::as_slice));
        }
    }

    /// A possible version of it after a power cut.
    fn survivor(&self, sector: usize, odds: Odds, dice: &mut Dice) -> File {
        let mut length = self.durable.len();
        if let Some(longest) = self.lengths.last()
            && odds.keeps(dice)
        {
            let mut lengths = self.lengths.clone();
            lengths.extend((length / sector + 1..).map(|end| end * sector).take_while(|end| end < longest));
            length = if dice.below(2) == 0 { *longest } else { *dice.one_of(&lengths) };
        }
        let mut bytes = self.durable.clone();
        bytes.resize(length, 0);
        for (number, Sector { contents, .. }) in &self.unsynced {
            if odds.keeps(dice) {
                let last = contents.last().expect("it was written");
                let content = if dice.below(2) == 0 { last } else { dice.one_of(contents) };
                put(&mut bytes, number * sector, content);
            }
        }
        File { seen: bytes.clone(), durable: bytes, ..File::default() }
    }
}

/// Overwrites `bytes` at `offset` with `content`, as far as it fits.
fn put(bytes: &mut [u8], offset: usize, content: &[u8]) {
    let start = offset.min(bytes.len());
    let end = (offset + content.len()).min(bytes.len());
    bytes[start..end].copy_from_slice(&content[..end - start]);
}

/// How much of the unsynced data survives: so many in 8.
#[derive(Clone, Copy)]
struct Odds(u64);

impl Odds {
    /// Draws from nothing to everything.
    fn draw(dice: &mut Dice) -> Odds {
        Odds(dice.below(9))
    }

    fn keeps(self, dice: &mut Dice) -> bool {
        dice.below(8) < self.0
    }
}

impl Disk {
    /// An empty disk that writes `sector` bytes at a time.
    pub fn new(sector: usize) -> Disk {
        let nodes = BTreeMap::from([(ROOT, Node::Folder(Folder::default()))]);
        Disk { sector, nodes, next: ROOT + 1, unsynced: Vec::new() }
    }

    fn folder(&self, inode: Inode) -> Result<&Folder, Errno> {
        match self.nodes.get(&inode) {
            Some(Node::Folder(folder)) => Ok(folder),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn folder_mut(&mut self, inode: Inode) -> &mut Folder {
        match self.nodes.get_mut(&inode) {
            Some(Node::Folder(folder)) => folder,
            _ => panic!("inode {inode} is no folder"),
        }
    }

    fn file(&self, inode: Inode) -> Result<&File, Errno> {
        match self.nodes.get(&inode) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::ISDIR),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(Errno::ISDIR),
        }
    }

    /// The parent folder of `path`, seen from the folder `at`, and the last part.
    fn parent<'p>(&self, at: Inode, path: &'p str) -> Result<(Inode, &'p str), Errno> {
        let Some((above, name)) = path.rsplit_once('/') else { return Ok((at, path)) };
        Ok((self.find(at, above)?, name))
    }

    /// The inode at `path`, seen from the folder `at`.
    pub fn find(&self, at: Inode, path: &str) -> Result<Inode, Errno> {
        parts(path).try_fold(at, |at, part| match part {
            "." => Ok(at),
            "" | ".." => Err(Errno::XDEV),
            part => self.folder(at)?.seen.get(part).copied().ok_or(Errno::NOENT),
        })
    }

    pub fn stat(&self, inode: Inode) -> Result<Stat, Errno> {
        Ok(match self.nodes.get(&inode).ok_or(Errno::NOENT)? {
            Node::Folder(_) => Stat { inode, is_folder: true, size: 0, names: 2 },
            Node::File(file) => Stat { inode, is_folder: false, size: file.seen.len() as u64, names: file.names },
        })
    }

    /// The names in the folder `inode`, in the order in which their files were created.
    pub fn names(&self, inode: Inode) -> Result<Vec<String>, Errno> {
        let mut names: Vec<_> = self.folder(inode)?.seen.iter().map(|(name, inode)| (*inode, name.clone())).collect();
        names.sort_unstable();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    fn make(&mut self, at: Inode, path: &str, node: Node) -> Result<Inode, Errno> {
        let (folder, name) = self.parent(at, path)?;
        if self.folder(folder)?.seen.contains_key(name) {
            return Err(Errno::EXIST);
        }
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, node);
        self.change(vec![Named { folder, name: name.to_owned(), now: Some(inode) }]);
        Ok(inode)
    }

    pub fn make_folder(&mut self, at: Inode, path: &str) -> Result<Inode, Errno> {
        self.make(at, path, Node::Folder(Folder::default()))
    }

    pub fn make_file(&mut self, at: Inode, path: &str) -> Result<Inode, Errno> {
        self.make(at, path, Node::File(File::default()))
    }

    pub fn remove(&mut self, at: Inode, path: &str) -> Result<(), Errno> {
        let (folder, name) = self.parent(at, path)?;
        self.find(folder, name)?;
        self.change(vec![Named { folder, name: name.to_owned(), now: None }]);
        Ok(())
    }

    pub fn rename(&mut self, from: (Inode, &str), to: (Inode, &str), over: bool) -> Result<(), Errno> {
        let (from, to) = (self.parent(from.0, from.1)?, self.parent(to.0, to.1)?);
        let inode = self.find(from.0, from.1)?;
        if !over && self.find(to.0, to.1).is_ok() {
            return Err(Errno::EXIST);
        }
        let named = |(folder, name): (Inode, &str), now| Named { folder, name: name.to_owned(), now };
        self.change(vec![named(from, None), named(to, Some(inode))]);
        Ok(())
    }

    /// Makes `change` visible; it is not durable yet.
    fn change(&mut self, change: Change) {
        for Named { folder, name, now } in &change {
            let seen = &mut self.folder_mut(*folder).seen;
            let before = match now {
                Some(inode) => seen.insert(name.clone(), *inode),
                None => seen.remove(name),
            };
            self.count_name(before, false);
            self.count_name(*now, true);
        }
        self.unsynced.push(change);
    }

    fn count_name(&mut self, inode: Option<Inode>, more: bool) {
        if let Some(Node::File(file)) = inode.and_then(|inode| self.nodes.get_mut(&inode)) {
            file.names = if more { file.names + 1 } else { file.names - 1 };
        }
    }

    pub fn read(&self, inode: Inode, buffer: &mut [u8], offset: usize) -> Result<usize, Errno> {
        let seen = &self.file(inode)?.seen;
        let found = seen.get(offset..).unwrap_or_default();
        let read = found.len().min(buffer.len());
        buffer[..read].copy_from_slice(&found[..read]);
        Ok(read)
    }

    pub fn write(&mut self, inode: Inode, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        let sector = self.sector;
        self.file_mut(inode)?.write(offset, bytes, sector);
        Ok(())
    }

    pub fn sync_file(&mut self, inode: Inode) -> Result<(), Errno> {
        let sector = self.sector;
        self.file_mut(inode)?.sync(sector);
        Ok(())
    }

    /// A failed sync of the file `inode`: no later sync will write what this one should have.
    pub fn fail_sync(&mut self, inode: Inode) -> Result<(), Errno> {
        let file = self.file_mut(inode)?;
        file.unsynced.values_mut().for_each(|sector| sector.dirty = false);
        file.failures += 1;
        Ok(())
    }

    /// The number of failed syncs of the file `inode`.
    pub fn failures(&self, inode: Inode) -> u64 {
        self.file(inode).map_or(0, |file| file.failures)
    }

    /// Makes the changes of names in the folder `inode` durable, and earlier changes of the same names.
    pub fn sync_folder(&mut self, inode: Inode) -> Result<(), Errno> {
        self.folder(inode)?;
        let mut names = BTreeSet::new();
        let mut durable = Vec::new();
        for change in std::mem::take(&mut self.unsynced).into_iter().rev() {
            let with_it = change.iter().any(|named| named.folder == inode || names.contains(&owned(named)));
            if with_it {
                names.extend(change.iter().map(owned));
                durable.push(change);
            } else {
                self.unsynced.push(change);
            }
        }
        self.unsynced.reverse();
        durable.iter().rev().for_each(|change| self.keep(change));
        Ok(())
    }

    fn keep(&mut self, change: &Change) {
        for Named { folder, name, now } in change {
            let durable = &mut self.folder_mut(*folder).durable;
            match now {
                Some(inode) => durable.insert(name.clone(), *inode),
                None => durable.remove(name),
            };
        }
    }

    /// Makes everything durable.
    pub fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            self.keep(&change);
        }
        let sector = self.sector;
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                file.sync(sector);
            }
        }
    }

    /// A possible disk after a power cut.
    pub fn survivor(&self, dice: &mut Dice) -> Disk {
        let mut kept = self.clone();
        let names = Odds::draw(dice);
        let mut dropped = BTreeSet::new();
        for change in std::mem::take(&mut kept.unsynced) {
            if change.iter().any(|named| dropped.contains(&owned(named))) || !names.keeps(dice) {
                dropped.extend(change.iter().map(owned));
            } else {
                kept.keep(&change);
            }
        }
        let bytes = Odds::draw(dice);
        let mut survivor = Disk { next: self.next, ..Disk::new(self.sector) };
        kept.revive(ROOT, &mut survivor, bytes, dice);
        survivor
    }

    /// Copies what is durable of the folder `inode`, and of everything in it, to the disk `survivor`.
    fn revive(&self, inode: Inode, survivor: &mut Disk, odds: Odds, dice: &mut Dice) {
        let Some(Node::Folder(Folder { durable, .. })) = self.nodes.get(&inode) else { return };
        let folder = Folder { seen: durable.clone(), durable: durable.clone() };
        survivor.nodes.insert(inode, Node::Folder(folder));
        // Not in the order of the names, since some of those are random.
        let inner: BTreeSet<Inode> = durable.values().copied().collect();
        for inner in inner {
            match &self.nodes[&inner] {
                Node::Folder(_) => self.revive(inner, survivor, odds, dice),
                Node::File(file) => {
                    let file = File { names: 1, ..file.survivor(self.sector, odds, dice) };
                    survivor.nodes.insert(inner, Node::File(file));
                }
            }
        }
    }

    /// Replaces the folder `path` by that of the disk `older`, durably, as a restored backup does. If it is restored `in_place`,
    /// the folders that were there stay the same ones; the files do not.
    pub fn restore(&mut self, older: &Disk, path: &str, in_place: bool) -> Result<(), Errno> {
        self.sync_all();
        let (folder, name) = self.parent(ROOT, path)?;
        let restored = self.copy(older, older.find(ROOT, path)?, in_place);
        let folder = self.folder_mut(folder);
        for names in [&mut folder.seen, &mut folder.durable] {
            names.insert(name.to_owned(), restored);
        }
        Ok(())
    }

    /// Copies the inode `inode` of the disk `older`, and all beneath it. Returns the copy.
    fn copy(&mut self, older: &Disk, inode: Inode, in_place: bool) -> Inode {
        let node = older.nodes[&inode].clone();
        let (is_folder, fresh) = (matches!(node, Node::Folder(_)), self.next);
        let to = if is_folder && in_place { inode } else { fresh };
        self.next += 1;
        let node = match node {
            Node::Folder(Folder { seen, .. }) => {
                let seen: BTreeMap<String, Inode> =
                    seen.into_iter().map(|(name, inner)| (name, self.copy(older, inner, in_place))).collect();
                Node::Folder(Folder { durable: seen.clone(), seen })
            }
            Node::File(File { seen, .. }) => {
                Node::File(File { durable: seen.clone(), seen, names: 1, ..File::default() })
            }
        };
        self.nodes.insert(to, node);
        to
    }

    /// Every file beneath `path`, with its bytes.
    pub fn files(&self, path: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        if let Ok(inode) = self.find(ROOT, path) {
            self.collect(inode, path, &mut files);
        }
        files
    }

    fn collect(&self, inode: Inode, path: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        match &self.nodes[&inode] {
            Node::File(file) => drop(files.insert(path.to_owned(), file.seen.clone())),
            Node::Folder(folder) => {
                for (name, inner) in &folder.seen {
                    self.collect(*inner, &format!("{path}/{name}"), files);
                }
            }
        }
    }
}

fn owned(named: &Named) -> (Inode, String) {
    let (folder, name) = named.place();
    (folder, name.to_owned())
}
