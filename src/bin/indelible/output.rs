//! What the program says: calm on a terminal, exact as JSON.
//!
//! Nothing here can fail a command: a closed pipe is not the record's fault.

use std::io::{IsTerminal, Write};

use indelible::batch::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};

/// Writes one line to stdout.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes `value` as one line of JSON to stdout.
pub fn json(value: &impl Serialize) {
    let text = serde_json::to_string(value).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
    line(&text);
}

/// Says on stderr why a command failed: what, why, and what to do next. Bad input gets one line.
pub fn failure(failure: &Failure, as_json: bool) {
    let mut stderr = std::io::stderr().lock();
    if as_json {
        let _ = writeln!(stderr, "{}", failure_json(failure));
        return;
    }
    if failure.exit == Exit::Input {
        let _ = writeln!(stderr, "error: {}: {}", failure.what, failure.causes.join(": "));
        return;
    }
    let mut text = format!("error: {}\n", failure.what);
    for cause in &failure.causes {
        text.push_str(&format!("cause: {cause}\n"));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = stderr.write_all(text.as_bytes());
}

/// A failure as JSON.
pub fn failure_json(failure: &Failure) -> serde_json::Value {
    json!({
        "error": failure.what,
        "causes": failure.causes,
        "hint": failure.hint,
        "exit": failure.exit as u8,
    })
}

/// A warning on stderr.
pub fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
}

/// A line on stderr that is no warning.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Progress on a terminal; nothing anywhere else.
pub struct Bars {
    bar: Option<ProgressBar>,
    shown: bool,
}

impl Bars {
    /// Shows progress on stderr if that is a terminal and nobody wants JSON.
    pub fn new(as_json: bool) -> Bars {
        Bars { bar: None, shown: !as_json && std::io::stderr().is_terminal() }
    }
}

impl Progress for Bars {
    fn begin(&mut self, step: &'static str, total: u64) {
        if !self.shown {
            return;
        }
        // Drawn only four times a second, so that what takes no time is not seen at all.
        let target = ProgressDrawTarget::stderr_with_hz(4);
        let (length, template) = match total {
            0 => (None, "{spinner} {msg}: {human_pos}"),
            _ => (Some(total), "{msg:20} [{bar:30}] {human_pos} of {human_len}, {eta} left"),
        };
        let bar = ProgressBar::with_draw_target(length, target);
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(step);
        self.bar = Some(bar);
    }

    fn at(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// `count` things, singular or plural.
pub fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
