//! Watching folders by inotify. If its one thread cannot be started, that is an error and not the end of the process.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Every change of a folder and of the files in it. Opening, reading and listing do not count as changes.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Watches for as long as it lives.
pub struct Watcher {
    /// Closed with the watcher, which ends its thread.
    _stop: OwnedFd,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// Calls `changed` whenever something changes in one of `folders`, in a thread of its own.
///
/// # Errors
/// [`io::Error`] if the system has no watch or no thread left.
pub fn watch(folders: &[PathBuf], changed: impl Fn() + Send + 'static) -> io::Result<Watcher> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    for folder in folders {
        inotify::add_watch(&events, folder.as_path(), CHANGES | WatchFlags::ONLYDIR)?;
    }
    let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let listen = move || {
        if let Err(error) = listen(&events, &stopped, &changed) {
            tracing::warn!(%error, "the journal cannot be watched any longer: the worker looks at it now and then");
            // `changed` stays, and so does its channel.
            let _ = poll(&mut [PollFd::new(&stopped, PollFlags::empty())], None);
        }
    };
    std::thread::Builder::new().name("watch".into()).spawn(listen)?;
    Ok(Watcher { _stop: stop })
}

/// Calls `changed` for each event, until the other end of `stopped` is closed.
fn listen(events: &OwnedFd, stopped: &OwnedFd, changed: &impl Fn()) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    loop {
        let mut waited = [PollFd::new(events, PollFlags::IN), PollFd::new(stopped, PollFlags::empty())];
        match poll(&mut waited, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        if !waited[1].revents().is_empty() {
            return Ok(());
        }
        let mut reader = Reader::new(events, &mut buffer);
        loop {
            match reader.next() {
                // It does not matter which change it was, or that too many came at once: an event only says "look".
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        changed();
    }
}
