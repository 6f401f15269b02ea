//! Lines that are never the error line: they only say that there was an error, warn, explain, or quote the source.

use super::closing::closes;
use super::words::begins_with;

/// How such a line begins.
const BEGINS: &[&str] = &[
    "error: could not compile",
    "aborting due to",
    "error: aborting due to",
    "error: test failed",
    "error: doctest failed",
    "error: process didn't exit successfully",
    "collect2:",
    "tar: Child returned",
    "test result:",
    "===",
    "note:",
    "help:",
    "hint:",
    "For more information",
    "fatal: Could not read from remote",
    "During handling of",
    "The above exception",
    "Traceback (most",
    "compilation terminated",
    "BEGIN failed",
    "FAILED (",
    "Build failed",
    "BUILD FAILED",
    "File \"",
    "-->",
    ":::",
    "|",
    "...",
    "+ ",
    "> ",
    "$ ",
    "ok ",
    "ok\t",
    "PASS",
    "INFO",
    "[INFO",
    "info:",
    "DEBUG",
    "[DEBUG",
    "debug:",
    "TRACE",
    "✓",
    "✔",
    "√",
    "# ",
    "Ran ",
    "no tests ran",
    "Please make sure",
    "Note: ",
    "Picked up ",
    "(Use `node",
];

/// How a warning begins.
const WARNS: &[&str] = &[
    "warning:",
    "Warning:",
    "WARNING",
    "WARN",
    "warn",
    "npm warn",
    "npm WARN",
    "[WARN",
    "W: ",
    "Warnung:",
    "警告:",
    "avertissement",
];

/// What such a line has in it.
const CONTAINS: &[&str] = &[
    ": *** [",
    "In function",
    "in function ",
    "Entering directory",
    "Leaving directory",
    " 0 errors",
    "no failures",
    "errors=0",
    "0 failures",
    ": note:",
    "aborted due to",
    "due to previous error",
    "is not recoverable: exiting",
    "build stopped: ",
    "terminated because of errors",
    "not remade because",
    "Nothing to be done",
    "In member function",
    "nable to load certificate",
    "nable to load Private Key",
    "Waiting for unfinished",
    "(core dumped)",
];

/// What a warning has in it.
const OF_WARNINGS: &[&str] = &[": warning:", ": Warnung:", ": 警告", "Warning: "];

/// What follows `npm error` in such a line.
const OF_NPM: [&str; 12] = [
    "A complete log",
    "code ",
    "errno ",
    "syscall ",
    "path ",
    "command ",
    "Lifecycle script",
    "workspace ",
    "location ",
    "signal ",
    "cwd ",
    "For a full report",
];

/// What is said of a program that a signal has ended: its exit code says the same.
const SIGNALS: [&str; 8] = [
    "Segmentation fault",
    "Killed",
    "Terminated",
    "Aborted",
    "Bus error",
    "Illegal instruction",
    "Floating point exception",
    "Hangup",
];

/// The text behind `npm error`, or behind what earlier versions wrote for it.
pub(super) fn behind_npm(line: &str) -> Option<&str> {
    ["npm error", "npm ERR!"].iter().find_map(|begin| line.strip_prefix(begin)).map(str::trim_start)
}

/// Whether `line` can never be the line that says what went wrong.
pub(super) fn is_never_the_error(line: &str) -> bool {
    let line = line.trim();
    if let Some(rest) = behind_npm(line) {
        return rest.is_empty() || OF_NPM.iter().any(|begin| rest.starts_with(begin));
    }
    begins_with(line, BEGINS)
        || is_warning(line)
        || CONTAINS.iter().any(|part| line.contains(part))
        || line.ends_with("Connection closed")
        || line.starts_with("0 errors")
        || is_stack_of_openssl(line)
        || is_passed(line)
        || is_source(line)
        || is_count(line)
        || closes(line)
        || is_signal(line)
}

/// Whether `line` warns.
pub(super) fn is_warning(line: &str) -> bool {
    let line = line.trim();
    begins_with(line, WARNS) || OF_WARNINGS.iter().any(|part| line.contains(part))
}

/// Whether a test says here that it passed.
fn is_passed(line: &str) -> bool {
    line == "ok" || line.ends_with(" ok") || line.ends_with("PASSED") || line.contains(" PASSED ")
}

/// Whether the line is an entry of OpenSSL's stack of errors: `40A7D5F57F0000:error:80000002:system library:...`
fn is_stack_of_openssl(line: &str) -> bool {
    line.split_once(":error:").is_some_and(|(thread, _)| {
        thread.len() >= 8 && thread.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    })
}

/// Whether the line quotes the source, or is a frame of a stack.
fn is_source(line: &str) -> bool {
    let behind_number = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(' ');
    let is_marks = line.bytes().all(|byte| b"^~-_=*#+. |!".contains(&byte));
    is_marks || behind_number.starts_with('|') || is_frame(line)
}

/// The source that the line quotes, without its number, or the frame of a stack that it is.
pub(super) fn quoted(line: &str) -> Option<&str> {
    let line = line.trim();
    let behind_number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let source = behind_number.trim_start().strip_prefix('|').filter(|_| behind_number.len() < line.len());
    let has_word = |text: &&str| text.contains(char::is_alphanumeric);
    let frame = line.starts_with("at ").then_some(line).filter(|line| is_frame(line));
    source.or(frame).map(str::trim).filter(has_word)
}

/// Whether the line, without spaces around it, is a frame of a stack.
fn is_frame(line: &str) -> bool {
    line.starts_with("at ") && (line.contains('(') || line.ends_with(|c: char| c.is_ascii_digit()))
    // Dart shows one as `package:a/b.dart 12:5  name`.
        || line.starts_with("package:") && line.contains("  ")
}

/// Whether the line says no more than how many errors there were.
fn is_count(line: &str) -> bool {
    let line =
        ["Found ", "✖ ", "error: ", "[ERROR] "].iter().find_map(|begin| line.strip_prefix(begin)).unwrap_or(line);
    let behind = line.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.len() < line.len()
        && [" error", " problem", " failed", " failing", " test"].iter().any(|begin| behind.starts_with(begin))
        && !behind.contains(": ")
}

/// Whether the line says no more than that a signal ended a program: `bash: line 1: 123 Killed  ./a`.
fn is_signal(line: &str) -> bool {
    let said = line.rsplit(": ").next().unwrap_or(line).trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    SIGNALS.iter().any(|signal| {
        said.strip_prefix(signal)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("  ") || rest.starts_with(" ("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consequences_warnings_and_source_are_never_the_error() {
        for line in [
            "error: could not compile `a` (lib) due to 1 previous error",
            "make[1]: *** [Makefile:2: all] Error 1",
            "npm error code ENOENT",
            "npm ERR! A complete log of this run can be found in:",
            "npm error",
            "tar: Child returned status 2",
            "2 errors generated.",
            "error: 3 errors",
            "Found 2 errors in 1 file",
            "a.c:1:2: warning: error-prone",
            "  12 | error: x",
            "   |    ^^^ error",
            "  --> a.rs:1:2",
            "  File \"a.py\", line 1",
            "    at Object.<anonymous> (a.js:1:2)",
            "ok 3 - error is shown",
            "test error_x ... ok",
            "a.py::test_error PASSED",
            "INFO error count is 0",
            "done: 0 errors",
            "bash: line 1: 123 Segmentation fault      (core dumped) ./a",
            "Killed",
            "----",
            "/usr/bin/ld: a.o: in function `main':",
            "a.c: In function ‘main’:",
        ] {
            assert!(is_never_the_error(line), "{line}");
        }
        for line in [
            "error: linking failed",
            "make: *** No rule to make target 'a'.  Stop.",
            "npm error enoent no such file",
            "tar: a: Cannot open",
            "okay: cannot open",
            "at least one file is needed",
            "Killed by the scheduler",
            "1 error: x is missing",
        ] {
            assert!(!is_never_the_error(line), "{line}");
        }
    }
}
