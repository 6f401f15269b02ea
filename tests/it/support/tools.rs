//! Programs: those that a test makes, and those that it uses and a machine may lack. What needs one of these is passed
//! over there, and that is said loudly. With `INDELIBLE_TESTS_NEED_TOOLS` set, as in `.ci/run`, it is a failure to lack
//! what that script installs.

use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `.ci/run` installs, of all that is asked for here.
const INSTALLED: [&str; 4] = ["node", "npm", "python3", "strace"];

/// Says that something is not tested here. The harness keeps what a passing test prints; this goes past it.
pub fn skipped(what: impl Display) {
    let _ = std::io::stderr().write_all(format!("\nSKIPPED: {what}\n").as_bytes());
}

/// Whether `program` can be run; if not, says that `what` is not tested.
///
/// # Panics
/// If it cannot, although `INDELIBLE_TESTS_NEED_TOOLS` says that it has been installed.
pub fn has(program: &str, what: &str) -> bool {
    let version = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    if version.is_ok() {
        return true;
    }
    let why = format!("{what}: there is no `{program}` here");
    let needed = INSTALLED.contains(&program) && std::env::var_os("INDELIBLE_TESTS_NEED_TOOLS").is_some();
    assert!(!needed, "{why}");
    skipped(why);
    false
}

/// Whether there is strace, without which no call can be counted, stopped or made to fail.
pub fn has_strace() -> bool {
    has("strace", "system calls are neither counted nor made to fail")
}

/// Makes `path` a program of these bytes. They are written by another process: what this one has open for writing, a
/// process that another test starts at the same moment has open as well, and the system runs no program that is.
pub fn write_program(path: &Path, content: &[u8]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut shell = shell.spawn().expect("a shell starts");
    shell.stdin.take().expect("it was asked for").write_all(content).expect("it reads all of it");
    assert!(shell.wait().expect("it is our child").success(), "{} could not be written", path.display());
}
