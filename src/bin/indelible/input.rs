//! Stdin, read to its end also where it does not block: whoever shares it with us may have set that.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use indelible::fs::os;

/// How long it is waited for at a time. A number that every system takes.
const WAIT: Duration = Duration::from_secs(3600);

/// Stdin, which waits for more where it would say that there is nothing yet.
pub struct Stdin(std::io::StdinLock<'static>);

/// Stdin, for this thread alone.
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
