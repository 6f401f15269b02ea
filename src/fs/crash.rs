//! The named steps at which a crash, or a fault of the disk, changes what is left behind.
//!
//! Every durable step calls [`at`] with its name just before it is taken. The same name is the error's context, the
//! field of a log event and, in builds that can crash on purpose, the crash point in tests.
//!
//! This module uses only the standard library, so that every other module can use it.

use std::io;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A durable step. The variants follow the life of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Point { $($(#[$doc])* $name,)* }

        impl Point {
            /// Every point: a test compares its table with this.
            pub const ALL: &'static [Point] = &[$(Point::$name,)*];

            /// The point's name, as environment variables and logs spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Point::$name => stringify!($name),)* }
            }
        }
    };
}

points! {
    /// A private folder is about to move into the git folder of the user's repository.
    MoveBeforeRename,
    /// A private folder has moved, and the names in neither folder are synced.
    MoveAfterRename,
    /// Commits that are on the branch are about to be taken in.
    TakeInBefore,
    /// The branch that shows the history is about to move, and its target is noted.
    PointerBeforeMove,
    /// That branch has moved, and it may have been checked out meanwhile.
    PointerAfterMove,
    /// The home's folders are being made.
    InitFolders,
    /// The home's identity is about to appear.
    InitIdentity,
    /// The first segment is about to appear.
    InitJournal,
    /// The index is about to be created.
    InitIndex,
    /// The repository is about to be created.
    InitHistory,
    /// The list of ignored files of the user's own repository is about to be replaced.
    InitIgnored,
    /// The token of a home that is to be trusted is about to be drawn into it.
    TrustBeforeToken,
    /// A home has its token, and the user's notes do not yet have it.
    TrustBeforeNote,
    /// An entry is about to be written.
    AppendBeforeWrite,
    /// Half of an entry is written, and the rest will not be.
    AppendShortWrite,
    /// An entry is written but not yet synced.
    AppendBeforeSync,
    /// An entry is synced: its record is acknowledged.
    AppendAfterSync,
    /// A synced entry may lie in a segment already sealed, and is about to be written again.
    AppendAgain,
    /// An entry whose sync failed is about to be voided.
    AppendVoid,
    /// A record's file is about to be written beside its place.
    PlaceBeforeWrite,
    /// Half of a record's file is written beside its place.
    PlaceHalfWritten,
    /// A record's file is written and about to be put in its place.
    PlaceBeforeRename,
    /// A record's file is in its place.
    PlaceAfterRename,
    /// A file is about to replace another.
    ReplaceBeforeRename,
    /// A file has replaced another, and its folder is not yet synced.
    ReplaceAfterRename,
    /// A torn or foreign file is about to be set aside.
    SetAsideBefore,
    /// The file of a record that is retracted is about to be removed; its state file is in place.
    HideBeforeRemove,
    /// The trunk is merged, and about to be pushed.
    TrunkBeforePush,
    /// Git has pushed the trunk, and nothing is noted.
    TrunkAfterPush,
    /// Lanes that the trunk has are about to be deleted on the remote.
    FoldBeforePush,
    /// Git has deleted some of the lanes that can go, the others are there, and nothing is noted.
    FoldHalfDone,
    /// `sync.git` is made again without what was erased, and about to be put in the old one's place.
    SyncBeforePack,
    /// What other homes recorded is about to be written to the journal.
    ImportBeforeAppend,
    /// It is in the journal, and that is not noted.
    ImportBeforeMark,
    /// An operation that joins two others is about to be written to the journal.
    ChangeBeforeAppend,
    /// A recorder has seen that a worker runs, and leaves its row to it.
    RowLeft,
    /// A row is about to be committed to the index.
    RowBeforeCommit,
    /// A row has been committed to the index.
    RowAfterCommit,
    /// The next segment is about to be created.
    RotateBeforeCreate,
    /// The next segment exists without its header.
    RotateBeforeHeader,
    /// The next segment has its header, and the last one's final size is not yet taken.
    RotateAfterHeader,
    /// The journal is about to be synced, before any of it may reach git.
    BatchBeforeSync,
    /// An entry that cannot be applied is about to be parked.
    ParkBefore,
    /// Lagging rows are in the index, and their pages are neither rendered nor committed.
    CatchUpBeforePages,
    /// No page lags any more, but the watermark still says that some do.
    CatchUpBeforeMark,
    /// A batch is applied, and nothing of it is in git yet.
    CommitBeforePack,
    /// The batch's pack is written to the staging folder.
    CommitStaged,
    /// The batch's pack has its `.keep` in the repository, and nothing else.
    CommitKept,
    /// The batch's pack is in the repository without its index.
    CommitBeforeIndex,
    /// The batch's objects are in the repository; the branch has not moved.
    CommitBeforeBranch,
    /// A reference is locked and has not moved.
    CommitLocked,
    /// The branch has moved; the pack's `.keep` is still there.
    CommitAfterBranch,
    /// The `.keep` is gone; the anchor has not moved.
    CommitBeforeAnchor,
    /// The batch is finished.
    CommitAfterAnchor,
    /// The anchors of the journal's earlier ids are removed, and the ids are still remembered.
    AnchorsRemoved,
    /// Small packs are about to be repacked into one.
    RepackBefore,
    /// The new pack is in place, and the small ones are about to be removed.
    RepackBeforeRemoval,
    /// The small packs are removed, and the new pack's `.keep` is still there.
    RepackAfterRemoval,
    /// An erasure is about to be noted, or where references were: until the first note, it has not begun.
    EraseBeforeNote,
    /// The operations of an erasure are about to be written to the journal.
    EraseBeforeAppend,
    /// The rows of erased records are about to be deleted from the index, or from a copy of it.
    EraseBeforeRows,
    /// They are deleted, and their bytes are in free pages and in the log.
    EraseBeforeVacuum,
    /// A file that has something erased is about to be removed or replaced.
    EraseBeforeFile,
    /// A reference of ours is about to move to commits without what is erased.
    EraseBeforeReference,
    /// All of them have moved, and their old objects are there.
    EraseAfterReferences,
    /// A pack is written without what is erased, and is about to be placed beside the old one.
    EraseBeforePack,
    /// It is in place, and the old one is about to be removed.
    EraseBeforeOldPack,
    /// A loose object with something erased is about to be removed.
    EraseBeforeLoose,
    /// All of an erasure is proved to be done, and its note is about to go.
    EraseBeforeDone,
    /// A finished segment's files and rows are about to be made durable.
    PruneBeforeSync,
    /// A finished segment is about to be removed.
    PruneBeforeUnlink,
    /// A finished segment has been removed.
    PruneAfterUnlink,
    /// The search database has a file and no tables.
    SearchBeforeMake,
    /// What changed is about to be committed to the search database.
    SearchBeforeCommit,
    /// It is committed, and the index's feed is not trimmed.
    SearchAfterCommit,
    /// The log of a search database that is thrown away is gone, and the database is about to go.
    SearchBeforeRemove,
    /// What changed is about to be appended to the file of known failures.
    KnownBeforeAppend,
    /// Half of it is appended.
    KnownHalfAppended,
    /// The objects of a lane's next commit are written, and its tip has not moved.
    SyncBeforeTip,
    /// The tip has moved, and nothing is pushed.
    SyncAfterTip,
    /// Git has pushed the lane, and nothing is noted.
    SyncAfterPush,
    /// It is noted in `sync.git` that the remote has it, and not in `sync.json`.
    SyncAfterAcked,
    /// Recovery is about to empty the folder of temporary files.
    RecoverBeforeSweep,
    /// Recovery is about to rewrite the intent of a record that history or the index lacks.
    RecoverBeforeReappend,
    /// Recovery is about to rebuild the index.
    RebuildBeforeReset,
    /// Recovery has emptied the index of an adopted home, and is about to insert its owner's rows.
    RebuildBeforeCopy,
    /// Recovery has emptied the index and is about to fill it.
    RebuildBeforeFill,
    /// The daily copy of an adopted home's database is about to be made.
    CopyBefore,
    /// The daily copy is made, and is about to replace the last one.
    CopyBeforeRename,
    /// The database of a home that is being adopted is about to be copied.
    AdoptBeforeBackup,
    /// The copy exists. The home's original state is about to be noted, and nothing has changed yet.
    AdoptBeforeNote,
    /// The home's original state is noted. Its database is about to be changed.
    AdoptBeforeDatabase,
    /// The original of a script that will be replaced is about to be kept.
    AdoptBeforeScript,
    /// A script is about to be replaced, and its original is kept.
    AdoptScriptKept,
    /// The file of a row that lacks one is about to be placed.
    AdoptBeforeMend,
    /// Everything is committed, and a script is about to be put back.
    ReleaseBeforeScript,
    /// The home's identity is about to be removed.
    ReleaseBeforeIdentity,
    /// The database is about to return to its original journal mode.
    ReleaseBeforeDatabase,
    /// Indelible's lines are about to be removed from the list of ignored files.
    ReleaseBeforeExclude,
    /// The journal is about to be closed.
    ReleaseBeforeEnd,
    /// The private folder is about to be set aside.
    ReleaseBeforeAside,
    /// The private folder is set aside, and that is not yet synced.
    ReleaseAfterAside,
}

/// Called just before the step `point` is taken.
///
/// In a build that can crash on purpose (debug builds, or the feature `crash-points`), the process aborts here if
/// `INDELIBLE_CRASH_AT` is the point's name, or `NAME:N` for the N-th time it is reached. It returns an error if
/// `INDELIBLE_FAIL_AT` is `NAME=ERRNO` or `NAME:N=ERRNO`. If `INDELIBLE_STOP_AT` names the point, spelled as in
/// `INDELIBLE_CRASH_AT`, the process stops here until it is continued. In other builds this does nothing.
///
/// # Errors
/// The injected error only.
#[inline]
pub fn at(point: Point) -> io::Result<()> {
    #[cfg(any(debug_assertions, feature = "crash-points"))]
    return inject::at(point);
    #[cfg(not(any(debug_assertions, feature = "crash-points")))]
    {
        let _ = point;
        Ok(())
    }
}

/// Whether a test asked for `point` to be taken in two halves.
#[inline]
pub fn wanted(point: Point) -> bool {
    #[cfg(any(debug_assertions, feature = "crash-points"))]
    return inject::wanted(point);
    #[cfg(not(any(debug_assertions, feature = "crash-points")))]
    {
        let _ = point;
        false
    }
}

#[cfg(any(debug_assertions, feature = "crash-points"))]
mod inject {
    use super::Point;
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Trap {
        name: String,
        /// The visit that triggers; 0 for every visit.
        nth: u64,
        errno: i32,
        visits: AtomicU64,
    }

    fn parse(text: &str) -> Option<Trap> {
        let (target, errno) = text.split_once('=').unwrap_or((text, "0"));
        let (name, nth) = match target.split_once(':') {
            Some((name, nth)) => (name, nth.parse().ok()?),
            None => (target, 0),
        };
        Some(Trap { name: name.to_owned(), nth, errno: errno.parse().ok()?, visits: AtomicU64::new(0) })
    }

    fn trap(cell: &'static OnceLock<Option<Trap>>, variable: &str) -> Option<&'static Trap> {
        cell.get_or_init(|| std::env::var(variable).ok().as_deref().and_then(parse)).as_ref()
    }

    fn crash() -> Option<&'static Trap> {
        static CRASH: OnceLock<Option<Trap>> = OnceLock::new();
        trap(&CRASH, "INDELIBLE_CRASH_AT")
    }

    fn fail() -> Option<&'static Trap> {
        static FAIL: OnceLock<Option<Trap>> = OnceLock::new();
        trap(&FAIL, "INDELIBLE_FAIL_AT")
    }

    fn stop() -> Option<&'static Trap> {
        static STOP: OnceLock<Option<Trap>> = OnceLock::new();
        trap(&STOP, "INDELIBLE_STOP_AT")
    }

    impl Trap {
        fn sprung(&self, point: Point) -> bool {
            self.name == point.name() && {
                let visit = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
                self.nth == 0 || self.nth == visit
            }
        }
    }

    /// Stops this process until another one continues it.
    #[cfg(unix)]
    fn pause() {
        const SIGSTOP: std::ffi::c_int = if cfg!(target_os = "linux") { 19 } else { 17 };
        unsafe extern "C" {
            fn raise(signal: std::ffi::c_int) -> std::ffi::c_int;
        }
        // SAFETY: it takes a number and touches no memory of this process; no handler runs for this signal.
        unsafe { raise(SIGSTOP) };
    }

    /// Stops this process until another one ends it: no process could continue it.
    #[cfg(windows)]
    fn pause() {
        loop {
            std::thread::park();
        }
    }

    pub fn wanted(point: Point) -> bool {
        crash().is_some_and(|trap| trap.name == point.name())
    }

    pub fn at(point: Point) -> io::Result<()> {
        if crash().is_some_and(|trap| trap.sprung(point)) {
            std::process::abort();
        }
        if stop().is_some_and(|trap| trap.sprung(point)) {
            pause();
        }
        match fail() {
            Some(trap) if trap.sprung(point) => Err(io::Error::from_raw_os_error(trap.errno)),
            _ => Ok(()),
        }
    }
}
