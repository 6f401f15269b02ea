//! A disk with a volatile cache: what was written is seen at once, and kept only from the next flush on.
//!
//! It is a FUSE file system with one file, which a loop device makes a disk of. A flush of that disk arrives here as an
//! fsync of the file. When the power is cut, each sector written since the last flush may have reached the medium or not,
//! in whatever order: that is all that a disk promises, and so all that a file system on it may count on.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, Request, WriteFlags,
};

use crate::support::Dice;

/// The name of the one file.
pub const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
const BLOCK_BYTES: usize = 4096;
/// A file system's superblock lies here, which no file system survives half of: a disk that tears it is broken.
const SUPERBLOCK_END: u64 = 4096;
const FOREVER: Duration = Duration::from_secs(3600);

/// What is on a medium. Copies share what they have in common.
#[derive(Clone)]
pub struct Medium {
    blocks: Vec<Arc<[u8; BLOCK_BYTES]>>,
}

impl Medium {
    /// A medium that holds `bytes`.
    pub fn of(bytes: &[u8]) -> Medium {
        let empty = Arc::new([0; BLOCK_BYTES]);
        let block = |bytes: &[u8]| match bytes.iter().all(|byte| *byte == 0) {
            true => Arc::clone(&empty),
            false => Arc::new(bytes.try_into().expect("a medium is made of whole blocks")),
        };
        Medium { blocks: bytes.chunks_exact(BLOCK_BYTES).map(block).collect() }
    }

    /// Every byte of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.iter().copied()).collect()
    }

    fn size(&self) -> u64 {
        (self.blocks.len() * BLOCK_BYTES) as u64
    }

    /// Calls `visit` with each block that `offset..offset + bytes` lies in, where in it, and where in those bytes.
    fn spans(&self, offset: u64, bytes: usize, mut visit: impl FnMut(usize, usize, std::ops::Range<usize>)) {
        let offset = usize::try_from(offset).expect("the medium fits into memory");
        let end = (offset + bytes).min(self.blocks.len() * BLOCK_BYTES);
        let mut at = offset;
        while at < end {
            let within = at % BLOCK_BYTES;
            let length = (BLOCK_BYTES - within).min(end - at);
            visit(at / BLOCK_BYTES, within, at - offset..at - offset + length);
            at += length;
        }
    }

    fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut read = Vec::with_capacity(bytes);
        self.spans(offset, bytes, |block, within, span| {
            read.extend_from_slice(&self.blocks[block][within..within + span.len()]);
        });
        read
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut spans = Vec::new();
        self.spans(offset, bytes.len(), |block, within, span| spans.push((block, within, span)));
        for (block, within, span) in spans {
            let block = Arc::make_mut(&mut self.blocks[block]);
            block[within..within + span.len()].copy_from_slice(&bytes[span]);
        }
    }
}

/// A write that no flush has followed yet.
#[derive(Clone)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
}

/// When the power goes.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// Within the write or flush after so many.
    After(u64),
    /// As soon as so many writes wait for a flush.
    Unsynced(u64),
    /// When it is cut, and not before.
    Told,
}

/// What was on the medium for good when the power went, and what was on its way there.
pub struct Cut {
    durable: Medium,
    unsynced: Vec<Write>,
}

impl Cut {
    /// A medium that may be found afterwards, and what it has of the writes that no flush had followed.
    pub fn survivor(&self, sector: usize, dice: &mut Dice) -> (Medium, String) {
        let mut medium = self.durable.clone();
        let kept = match dice.below(4) {
            // Nothing that was not flushed.
            0 => "none of",
            // A prefix, whose last write is torn.
            1 => {
                let whole = usize::try_from(dice.below(self.unsynced.len() as u64 + 1)).expect("it is a length");
                self.unsynced[..whole].iter().for_each(|write| medium.write(write.offset, &write.bytes));
                if let Some(torn) = self.unsynced.get(whole) {
                    keep_some(&mut medium, torn, sector, 2, dice);
                }
                "the first of"
            }
            // Some of the sectors, few or many, of all of it.
            2 => {
                let odds = 1 + dice.below(9);
                for write in &self.unsynced {
                    keep_some(&mut medium, write, sector, odds, dice);
                }
                "sectors of"
            }
            // All but a few whole writes.
            _ => {
                for write in &self.unsynced {
                    if dice.below(8) > 0 {
                        medium.write(write.offset, &write.bytes);
                    }
                }
                "most of"
            }
        };
        (medium, format!("{kept} {}", self.unsynced.len()))
    }
}

/// Keeps one sector of `write` in `odds`.
fn keep_some(medium: &mut Medium, write: &Write, sector: usize, odds: u64, dice: &mut Dice) {
    if write.offset < SUPERBLOCK_END {
        if dice.below(odds) == 0 {
            medium.write(write.offset, &write.bytes);
        }
        return;
    }
    for (number, bytes) in write.bytes.chunks(sector).enumerate() {
        if dice.below(odds) == 0 {
            medium.write(write.offset + (number * sector) as u64, bytes);
        }
    }
}

struct State {
    seen: Medium,
    durable: Medium,
    unsynced: Vec<Write>,
    when: When,
    cut: Option<Cut>,
    on_cut: Box<dyn FnMut() + Send>,
}

impl State {
    /// One more write or flush is about to have happened.
    fn count(&mut self) {
        match &mut self.when {
            When::After(0) => self.cut(),
            When::After(left) => *left -= 1,
            When::Unsynced(enough) if self.unsynced.len() as u64 >= *enough => self.cut(),
            When::Unsynced(_) | When::Told => {}
        }
    }

    fn cut(&mut self) {
        self.when = When::Told;
        if self.cut.is_none() {
            self.cut = Some(Cut { durable: self.durable.clone(), unsynced: self.unsynced.clone() });
            (self.on_cut)();
        }
    }
}

/// The disk. What happens after the cut, until everybody is gone, happens to nothing that is looked at again.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// A disk with `medium` in it.
    pub fn new(medium: Medium) -> Disk {
        let (seen, durable) = (medium.clone(), medium);
        let state = State { seen, durable, unsynced: Vec::new(), when: When::Told, cut: None, on_cut: Box::new(|| ()) };
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    /// Puts the disk's file into the folder `there`.
    pub fn attach(&self, there: &std::path::Path) -> std::io::Result<BackgroundSession> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("power".to_owned())];
        fuser::spawn_mount(self.clone(), there, &config)
    }

    /// Cuts the power at the time `when`, and calls `on_cut` in that very moment.
    pub fn cut_when(&self, when: When, on_cut: impl FnMut() + Send + 'static) {
        let mut state = self.state();
        (state.when, state.on_cut) = (when, Box::new(on_cut));
    }

    /// Cuts the power now, unless that has happened.
    pub fn cut(&self) {
        self.state().cut();
    }

    /// What the cut left.
    pub fn take_cut(&self) -> Cut {
        self.state().cut.take().expect("the power was cut")
    }

    /// What is seen, whether or not it is durable.
    pub fn seen(&self) -> Medium {
        self.state().seen.clone()
    }

    fn attributes(&self, file: INodeNo) -> FileAttr {
        let (size, kind) = match file {
            FILE => (self.state().seen.size(), FileType::RegularFile),
            _ => (0, FileType::Directory),
        };
        FileAttr {
            ino: file,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: if kind == FileType::Directory { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES as u32,
            flags: 0,
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == NAME {
            true => reply.entry(&FOREVER, &self.attributes(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, file: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(file));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(&self.state().seen.read(offset, size as usize));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        state.seen.write(offset, data);
        state.unsynced.push(Write { offset, bytes: data.to_vec() });
        state.count();
        reply.written(u32::try_from(data.len()).expect("the kernel writes less at a time"));
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        // A cut in a flush finds it not done yet; one in the next event finds it done.
        state.count();
        let State { durable, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|write| durable.write(write.offset, &write.bytes));
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
