//! Stdin, read to its end even if it is non-blocking: another process that shares it may have set that.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use indelible::fs::os;

/// The wait of one poll. Every system takes this number.
const WAIT: Duration = Duration::from_secs(3600);

/// Stdin that waits for input instead of returning `WouldBlock`.
pub struct Stdin(std::io::StdinLock<'static>);

/// Stdin, locked by this thread.
pub fn stdin() -> Stdin {
    Stdin(std::io::stdin().lock())
}

impl Read for Stdin {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(os::is_readable(&self.0, WAIT)),
                read => return read,
            }
        }
    }
}
