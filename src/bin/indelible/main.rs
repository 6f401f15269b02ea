//! The command line: parse, run, report, exit.

#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

mod amend_args;
mod args;
mod backup_args;
mod cmd;
#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
mod entry;
mod exit;
mod field_args;
mod hooks_args;
mod input;
mod logging;
mod lost;
mod mcp_args;
mod output;
mod policy;
mod presence_args;
mod program;
mod prompt;
mod reading;
mod recalled;
mod recorder_args;
mod service_args;
mod settings;
mod sync_args;
mod usage;
mod user;
mod verdict_args;
mod which;

use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
use std::process::ExitCode;
use std::sync::OnceLock;

use args::Args;
use exit::{Exit, Failure};

/// What a panic said, where it is not printed.
static PANIC: OnceLock<String> = OnceLock::new();

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn main() -> ExitCode {
    (run() as u8).into()
}

/// Runs the command line, and returns the exit code.
fn run() -> Exit {
    indelible::fs::os::keep_private();
    indelible::fs::os::survive_file_size_limit();
    let args = match recorder_args::read(std::env::args_os().skip(1)).map_or_else(Args::try_read, Ok) {
        Ok(args) => args,
        Err(error) if error.use_stderr() && Args::mean_a_hook(std::env::args_os()) => {
            lost::misspelt(&error);
            return nothing_to_tell();
        }
        Err(error) => {
            let exit = usage::say(error, Args::want_json(std::env::args_os()));
            return if exit == Exit::Done { said(exit, false) } else { exit };
        }
    };
    let json = args.json;
    if let Some(home) = &args.home {
        output::hints_name(home);
    }
    if args.quiet {
        output::be_quiet();
    }
    if json {
        // What a panic says is a part of the error, which is JSON.
        std::panic::set_hook(Box::new(|info| drop(PANIC.set(info.to_string()))));
    }
    let records = args.command.records();
    let outcome = match indelible::random::prepare() {
        Ok(()) => catch_unwind(AssertUnwindSafe(|| cmd::run(args))),
        Err(_) if Args::mean_a_hook(std::env::args_os()) => return nothing_to_tell(),
        Err(error) => Ok(Err(Failure::new(Exit::Io, "the system has no random bytes for ids; nothing was recorded")
            .because(&error)
            .hint("mount /dev, or let the system call getrandom through"))),
    };
    let failure = match outcome {
        Ok(Ok(exit)) => return if records { exit } else { said(exit, json) },
        Ok(Err(failure)) => failure,
        // Without JSON, the panic has printed its message on stderr. Records that were durable before have been acknowledged.
        Err(_) => {
            let mut failure = Failure::new(Exit::Io, "a bug in indelible stopped the program")
                .hint("please report what it says; every acknowledged record is kept");
            failure.causes.extend(PANIC.get().cloned());
            failure
        }
    };
    output::failure(&failure, json);
    failure.exit
}

/// Answers a host where a hook can do nothing: some take an empty answer for an error.
fn nothing_to_tell() -> Exit {
    output::json(&serde_json::json!({}));
    Exit::Done
}

/// The exit code of a command that did what it was asked: an error if its output could not be written.
fn said(exit: Exit, json: bool) -> Exit {
    let Some(error) = output::failed() else { return exit };
    let failure = Failure::new(Exit::Io, "the output could not be written").because(error);
    output::failure(&failure.hint("the command has done the rest of what it was asked; only its output is lost"), json);
    if exit == Exit::Done { Exit::Io } else { exit }
}
