//! Shows text on a terminal through the user's pager, if it is longer than the screen.
//!
//! 1. Only a terminal has a pager, and only the user's environment names it (`PAGER`). Without one it is `less -FRX`, if
//!    there is one. `PAGER=cat` or an empty one shows the text as it is.
//! 2. A pager that is closed early, or that cannot be started, is no error.
//! 3. While it runs, Ctrl-C is the pager's.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use indelible::fs::os::{self, Stream};

use super::screen::Screen;
use crate::output;

/// Writes `text` to stdout, through a pager if the screen is a terminal that has too few lines for it.
pub fn show(screen: &Screen, text: &str) {
    let is_long = screen.rows.is_some_and(|rows| screen.lines_of(text) >= rows);
    if !(is_long && through_pager(text)) {
        output::write(Stream::Output, text);
    }
}

/// The user's pager; `None` if the user wants none, or there is none.
fn command() -> Option<Command> {
    let wanted = std::env::var_os("PAGER");
    match wanted {
        Some(wanted) if wanted.is_empty() || wanted == "cat" => None,
        Some(wanted) => Some(of_shell(&wanted)),
        None => {
            let mut command = Command::new(os::program(Path::new("less"))?);
            command.arg("-FRX");
            Some(command)
        }
    }
}

/// `PAGER` can have arguments, so a shell reads it, as git does.
#[cfg(unix)]
fn of_shell(wanted: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(wanted);
    command
}

#[cfg(not(unix))]
fn of_shell(wanted: &std::ffi::OsStr) -> Command {
    Command::new(wanted)
}

/// Whether a pager has shown `text`, or as much of it as was wanted.
fn through_pager(text: &str) -> bool {
    let Some(mut command) = command() else { return false };
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return false };
    let _ = os::remember_signals();
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text.as_bytes());
    }
    // A shell that does not find the program, or cannot run it, says so with these codes, and nothing was shown.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
