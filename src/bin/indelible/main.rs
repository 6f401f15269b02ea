//! The command line: parse, run, report, exit.

mod args;
mod cmd;
mod exit;
mod logging;
mod output;
mod prompt;
mod recorder_args;
mod settings;
mod user;
mod which;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::Args;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    (run() as u8).into()
}

/// Does what the command line says, and returns what the process ends with.
fn run() -> Exit {
    indelible::fs::os::keep_private();
    indelible::fs::os::survive_file_size_limit();
    let args = match recorder_args::read(std::env::args_os().skip(1)).map_or_else(Args::try_parse, Ok) {
        Ok(args) => args,
        Err(error) if error.use_stderr() && Args::mean_a_hook(std::env::args_os()) => return Exit::Done,
        Err(error) => return exit::of_clap(&error),
    };
    let json = args.json;
    let outcome = catch_unwind(AssertUnwindSafe(|| cmd::run(args)));
    let failure = match outcome {
        Ok(Ok(exit)) => return exit,
        Ok(Err(failure)) => failure,
        // The panic has said on stderr what and where. What is durable by then has its exit code already.
        Err(_) => Failure::new(Exit::Io, "the program met a bug of its own and stopped")
            .hint("please report the lines above; whatever was acknowledged is kept"),
    };
    output::failure(&failure, json);
    failure.exit
}
