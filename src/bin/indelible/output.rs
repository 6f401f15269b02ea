//! What the program says: calm on a terminal, exact as JSON.
//!
//! 1. All output to stdout and stderr goes through [`write`]. It waits for a full pipe, whether or not the pipe blocks.
//! 2. After a failed write to stdout nothing more is written, so that no line is missing between others. [`lost`] has the
//!    error, and `main` decides the exit code.
//! 3. Text that cannot be written to stderr is lost. There is nowhere left to report it.
//! 4. Text for people has no control characters for the terminal. JSON has them as escapes, so it is exact and safe.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use indelible::fs::os::{self, Stream};
use indelible::model::text::{counted, is_hidden, shell_path, visible_line, visible_on_screen as visible};
use indelible::pipeline::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};

/// The home that a flag named, quoted for a shell.
static HOME: OnceLock<String> = OnceLock::new();

/// Makes hints name the home `home`, as the command line did. Without it they would be about another home.
pub fn hints_name(home: &Path) {
    let _ = HOME.set(shell_path(home));
}

/// `text` with `--home` in each command in it that works on the home.
pub fn hint(text: &str) -> String {
    let Some(home) = HOME.get() else { return text.to_owned() };
    let mut parts = text.split("indelible ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let word = part.split([' ', '`']).next().unwrap_or_default();
        let is_command = out.ends_with(['`', '|']) || out.ends_with("| ");
        out.push_str("indelible ");
        if is_command && ON_A_HOME.contains(&word) {
            out.push_str(&format!("--home {home} "));
        }
        out.push_str(part);
    }
    out
}

/// The commands that need `--home` to name their home.
const ON_A_HOME: [&str; 37] = [
    "amend", "config", "context", "cost", "demote", "drain", "edit", "erase", "export", "flush", "import", "list",
    "logs", "page", "promote", "query", "recall", "record", "recover", "remote", "repair", "restore", "retire",
    "retract", "review", "revive", "search", "service", "show", "status", "sync", "validate", "verify", "violate",
    "watch", "where", "worker",
];

/// Whether notes and progress are left out.
static QUIET: OnceLock<()> = OnceLock::new();

/// Leaves out notes and progress from now on. Warnings stay: they say that something was not done, or not as asked.
pub fn be_quiet() {
    let _ = QUIET.set(());
}

fn is_quiet() -> bool {
    QUIET.get().is_some()
}

/// Why stdout could not be written.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Why something could not be written to stdout; `None` if everything was written.
pub fn lost() -> Option<&'static std::io::Error> {
    LOST.get()
}

/// As [`lost`], but it is not an error if the reader closed its pipe: it has seen enough.
pub fn failed() -> Option<&'static std::io::Error> {
    lost().filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe)
}

/// Writes `text` as it is.
pub fn write(stream: Stream, text: &str) {
    write_bytes(stream, text.as_bytes());
}

/// Writes `bytes` as they are.
pub fn write_bytes(stream: Stream, bytes: &[u8]) {
    if stream == Stream::Output && lost().is_some() {
        return;
    }
    let written = match shown_bar() {
        // The bar is drawn again below what is written.
        Some(bar) => bar.suspend(|| os::write_to(stream, bytes)),
        None => os::write_to(stream, bytes),
    };
    if let Err(error) = written
        && stream == Stream::Output
    {
        let _ = LOST.set(error);
    }
}

/// Writes one line to stdout.
pub fn line(text: &str) {
    write(Stream::Output, &format!("{}\n", visible(text)));
}

/// Writes a question to stdout, without a line feed.
pub fn question(text: &str) {
    write(Stream::Output, &visible(text));
}

/// Writes `value` as one line of JSON to stdout.
pub fn json(value: &impl Serialize) {
    write(Stream::Output, &json_line(value));
}

/// `value` as one line of JSON. Control characters for the terminal are escaped; the value is the same.
pub fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match is_hidden(c) {
            false => line.push(c),
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    line.push('\n');
    line
}

/// Whether `stream` may have colours.
pub fn has_colours(stream: Stream) -> bool {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_terminal = match stream {
        Stream::Output => std::io::stdout().is_terminal(),
        Stream::Errors => std::io::stderr().is_terminal(),
    };
    match variable("CLICOLOR_FORCE") {
        _ if variable("NO_COLOR").is_some() => false,
        Some(forced) if forced != "0" => true,
        _ => is_terminal && !is_dumb() && variable("CLICOLOR").is_none_or(|colours| colours != "0"),
    }
}

/// Whether the terminal can only show text, or may be such a one.
pub fn is_dumb() -> bool {
    match std::env::var_os("TERM") {
        Some(terminal) => terminal == "dumb" || terminal.is_empty(),
        // Windows does not set it.
        None => cfg!(unix),
    }
}

/// Writes a failure to stderr: what failed, why, and what to do next. Bad input gets one line, and a hint if there is one.
pub fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        return write(Stream::Errors, &json_line(&failure_json(failure)));
    }
    let what = visible_line(&failure.what);
    let lines = |begin: &str| -> String { failure.causes.iter().map(|cause| format!("{begin}{cause}\n")).collect() };
    let mut text = match failure.exit {
        _ if failure.is_list => format!("error: {what}\n{}", lines("  ")),
        Exit::Input => format!("error: {what}: {}\n", failure.causes.join(": ")),
        _ => format!("error: {what}\n{}", lines("cause: ")),
    };
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("hint: {}\n", visible(&self::hint(hint))));
    }
    write(Stream::Errors, &text);
}

/// A failure as JSON.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    json!({
        "error": failure.what,
        "causes": failure.causes,
        "hint": failure.hint.as_deref().map(hint),
        "exit": failure.exit as u8,
    })
}

/// A warning on stderr.
pub fn warn(text: &str) {
    write(Stream::Errors, &format!("warning: {}\n", visible(&hint(text))));
}

/// A line on stderr that is not a warning, and can be left out.
pub fn note(text: &str) {
    if !is_quiet() {
        say(&hint(text));
    }
}

/// A line on stderr, of a dialogue.
pub fn say(text: &str) {
    write(Stream::Errors, &format!("{}\n", visible(text)));
}

/// The bar on the screen.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown_bar() -> Option<ProgressBar> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn show_bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// How often a bar is drawn. A task that is shorter shows none.
const DRAWN_EVERY: Duration = Duration::from_millis(250);
/// A terminal with fewer columns gets a percentage instead of a bar.
const BAR_COLUMNS_MIN: u16 = 60;

/// Progress on a terminal, with the time left where the total is known; nothing elsewhere.
pub struct Bars {
    bar: Option<ProgressBar>,
    shown: bool,
}

impl Bars {
    /// Shows progress on stderr, if that is a terminal and the output is not JSON.
    pub fn new(as_json: bool) -> Bars {
        Bars { bar: None, shown: !as_json && !is_quiet() && std::io::stderr().is_terminal() && !is_dumb() }
    }

    /// As [`Bars::new`], for a command whose answer is written while it works: nothing if that goes to a terminal.
    pub fn beside_answers(as_json: bool) -> Bars {
        let mut bars = Bars::new(as_json);
        bars.shown &= !std::io::stdout().is_terminal();
        bars
    }

    fn show(&mut self, step: &'static str, total: u64, (done, of): (&str, &str)) {
        self.end();
        if !self.shown {
            return;
        }
        let length = (total > 0).then_some(total);
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(4));
        let is_narrow = console::Term::stderr().size().1 < BAR_COLUMNS_MIN;
        bar.set_style(style(&match (length, is_narrow) {
            (None, true) => "{spinner} {msg}".to_owned(),
            (None, false) => "{spinner} {msg}, {elapsed}".to_owned(),
            (Some(_), true) => "{msg} {percent}%{left}".to_owned(),
            (Some(_), false) => format!("{{msg:20}} [{{wide_bar}}] {{{done}}} of {{{of}}}{{left}}"),
        }));
        bar.set_message(step);
        bar.enable_steady_tick(DRAWN_EVERY);
        show_bar(Some(bar.clone()));
        self.bar = Some(bar);
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").tick_chars("|/-\\ ").with_key(
        "left",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // Before the first item is done, there is nothing to tell it from.
            if state.pos() > 0 {
                let _ = write!(out, ", {:#} left", HumanDuration(state.eta()));
            }
        },
    )
}

impl Progress for Bars {
    fn begin(&mut self, step: &'static str, total: u64) {
        self.show(step, total, ("human_pos", "human_len"));
    }

    fn begin_bytes(&mut self, step: &'static str, total: u64) {
        self.show(step, total, ("bytes", "total_bytes"));
    }

    fn at(&mut self, done: u64) {
        let Some(bar) = &self.bar else { return };
        // More came meanwhile.
        if bar.length().is_some_and(|length| length < done) {
            bar.set_length(done);
        }
        bar.set_position(done);
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            show_bar(None);
            bar.finish_and_clear();
        }
    }

    fn is_watched(&self) -> bool {
        self.shown
    }
}

impl Drop for Bars {
    /// A step that failed leaves no bar on the screen.
    fn drop(&mut self) {
        self.end();
    }
}

/// `count` things, singular or plural.
pub fn count(count: u64, one: &str, many: &str) -> String {
    counted(count, one, many)
}
