//! The log: on stderr in the foreground, otherwise in a rotated file under the home.
//!
//! If the log cannot be written, its lines are lost, and nothing else stops. Only a symbolic link in the place of the log is
//! an error: the log would be written where it leads.

use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use indelible::fs::Dir;
use indelible::fs::os::Stream;
use indelible::home::Home;
use indelible::model::layout::LOGS;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

use crate::args::LogTo;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{LEVELS, LogSettings};

/// Sends the worker's log to `to`. `INDELIBLE_LOG` overrides the level of the configuration.
pub fn start(home: &Home, to: LogTo, settings: &LogSettings) -> Result<(), Failure> {
    let filter = filter(&settings.level).map_err(|error| Failure::new(Exit::Usage, error))?;
    let stderr = std::io::stderr().is_terminal() || std::env::var_os("JOURNAL_STREAM").is_some();
    let started = match to {
        LogTo::Stderr => to_stderr(filter),
        LogTo::Auto if stderr => to_stderr(filter),
        LogTo::File | LogTo::Auto => match folder(home, settings.files_max) {
            Ok(appender) => to_appender(appender, filter),
            Err(refused @ Failure { exit: Exit::Refused, .. }) => return Err(refused),
            Err(failure) => {
                crate::output::warn(&format!("{}: {}; going on without", failure.what, failure.causes.join(": ")));
                Ok(())
            }
        },
    };
    started.map_err(|error| Failure::new(Exit::Usage, error))
}

const WHAT: &str = "the worker's log cannot be written";

/// Checks the settings of the log.
///
/// # Errors
/// What is invalid.
pub fn check(settings: &LogSettings) -> Result<(), String> {
    let level = &settings.level;
    // An unknown word would be read as the name of a module.
    let known = LEVELS.contains(&level.as_str()) || level.contains('=');
    known.then_some(()).ok_or_else(|| format!("{level:?} is not one of {}", LEVELS.join(", ")))?;
    EnvFilter::try_new(level).map(drop).map_err(|error| error.to_string())
}

/// Sends the log of the other commands to stderr, if `INDELIBLE_LOG` is set.
pub fn start_if_asked() {
    if std::env::var_os("INDELIBLE_LOG").is_some() {
        let _ = filter("warn").and_then(to_stderr);
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = std::env::var("INDELIBLE_LOG").unwrap_or_else(|_| level.to_owned());
    EnvFilter::try_new(&directives).map_err(|error| format!("log level {directives:?}: {error}"))
}

fn to_stderr(filter: EnvFilter) -> Result<(), String> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(output::has_colours(Stream::Errors))
        .with_target(false)
        .with_timer(Clock);
    subscriber.try_init().map_err(|error| error.to_string())
}

/// The file in the home's folder of logs.
fn folder(home: &Home, files_max: usize) -> Result<RollingFileAppender, Failure> {
    let folder = home.private_folder(LOGS).map_err(|error| Failure::of(WHAT, &error))?;
    refuse_links(&folder)?;
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("worker")
        .filename_suffix("log")
        .max_log_files(files_max)
        .build(folder.path())
        .map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))
}

fn to_appender(appender: RollingFileAppender, filter: EnvFilter) -> Result<(), String> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::sync::Mutex::new(Careful(appender)))
        .with_ansi(false)
        .with_target(false)
        .with_timer(Clock);
    subscriber.try_init().map_err(|error| error.to_string())
}

/// Fails if the path is a link: the appender opens files by path, and would follow it.
fn refuse_links(folder: &Dir) -> Result<(), Failure> {
    for name in folder.names().map_err(|error| Failure::of(WHAT, &error))? {
        let found = folder.find(&name).map_err(|error| Failure::of(WHAT, &error))?;
        if found.is_some_and(|found| !found.is_file || found.links > 1) {
            let path = folder.path().join(name);
            return Err(Failure::new(
                Exit::Refused,
                format!("refused {}: it is not a plain file with a single name", path.display()),
            ));
        }
    }
    Ok(())
}

/// Stderr, written by [`output`]. Lines that cannot be written are lost: the libraries would report an error on stderr, and
/// end the process if that fails.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        output::write_bytes(Stream::Errors, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A writer without errors. The libraries would report a full disk or a closed pipe on stderr, and end the process if that
/// fails.
struct Careful<W>(W);

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.write_all(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.flush()));
        Ok(())
    }
}

/// Timestamps as records have them.
struct Clock;

impl tracing_subscriber::fmt::time::FormatTime for Clock {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}
