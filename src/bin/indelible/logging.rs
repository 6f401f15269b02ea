//! Where events go: to stderr in the foreground, to a rotated file under the home otherwise.

use std::io::IsTerminal;

use indelible::home::Home;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;

use crate::args::LogTo;
use crate::settings::LogSettings;

/// Sends the worker's events where `to` says. `INDELIBLE_LOG` overrides the level of the configuration.
pub fn start(home: &Home, to: LogTo, settings: &LogSettings) -> Result<(), String> {
    let stderr = std::io::stderr().is_terminal() || std::env::var_os("JOURNAL_STREAM").is_some();
    match to {
        LogTo::Stderr => to_stderr(&settings.level),
        LogTo::Auto if stderr => to_stderr(&settings.level),
        LogTo::File | LogTo::Auto => to_file(home, settings),
    }
}

/// Sends events of the other commands to stderr, if `INDELIBLE_LOG` asks for them.
pub fn start_if_asked() {
    if std::env::var_os("INDELIBLE_LOG").is_some() {
        let _ = to_stderr("warn");
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = std::env::var("INDELIBLE_LOG").unwrap_or_else(|_| level.to_owned());
    EnvFilter::try_new(&directives).map_err(|error| format!("log level {directives:?}: {error}"))
}

fn to_stderr(level: &str) -> Result<(), String> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_timer(Clock);
    subscriber.try_init().map_err(|error| error.to_string())
}

fn to_file(home: &Home, settings: &LogSettings) -> Result<(), String> {
    let folder = home.private_folder("logs").map_err(|error| error.to_string())?;
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("worker")
        .filename_suffix("log")
        .max_log_files(settings.files_max)
        .build(folder.path())
        .map_err(|error| error.to_string())?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter(&settings.level)?)
        .with_writer(std::sync::Mutex::new(appender))
        .with_ansi(false)
        .with_target(false)
        .with_timer(Clock);
    subscriber.try_init().map_err(|error| error.to_string())
}

/// Timestamps as records have them.
struct Clock;

impl tracing_subscriber::fmt::time::FormatTime for Clock {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}
