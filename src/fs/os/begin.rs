//! What a process does before anything else, where Rust's runtime does not do it (`bin/indelible/entry.rs`), and a look at its
//! environment that copies nothing.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// The descriptors that a process is given.
const STANDARD: [c_int; 3] = [0, 1, 2];
const SIGPIPE: c_int = 13;
const SIG_IGN: usize = 1;

unsafe extern "C" {
    static environ: *const *const c_char;
    fn signal(number: c_int, handler: usize) -> usize;
}

/// Makes broken pipes ordinary errors, and opens `/dev/null` for each of stdin, stdout and stderr that is closed: else the next file
/// to be opened would take its number, and what is printed would be written into that file.
///
/// # Errors
/// If `/dev/null` cannot be opened.
pub fn begin() -> io::Result<()> {
    // SAFETY: no handler is called: the signal is ignored.
    unsafe { signal(SIGPIPE, SIG_IGN) };
    // SAFETY: nothing closes them while they are looked at: no other thread runs yet. One that is closed is only asked for.
    let given = STANDARD.map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    let mut asked = given.each_ref().map(|it| PollFd::from_borrowed_fd(*it, PollFlags::empty()));
    loop {
        match poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let closed = asked.iter().filter(|asked| asked.revents().contains(PollFlags::NVAL)).count();
    for _ in 0..closed {
        // It gets the lowest number that is free: that of a closed one.
        std::mem::forget(open("/dev/null", OFlags::RDWR, Mode::empty())?);
    }
    Ok(())
}

/// Whether the name of a variable of the environment begins with `begin`. The standard library would copy every variable first: a
/// twentieth of what a hook runs.
pub fn has_variable(begin: &str) -> bool {
    // SAFETY: it is null, or points to pointers to strings, up to a null pointer. Nothing changes it: this program sets variables only
    // for the programs that it starts.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            if CStr::from_ptr(*next).to_bytes().starts_with(begin.as_bytes()) {
                return true;
            }
            next = next.add(1);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_by_how_their_names_begin() {
        for (name, _) in std::env::vars_os().filter(|(name, _)| !name.is_empty()) {
            let name = name.to_str().expect("a test has plain variables");
            assert!(has_variable(name) && has_variable(&name[..1]), "{name}");
        }
        assert!(!has_variable("INDELIBLE_NO_SUCH_VARIABLE"));
    }
}
