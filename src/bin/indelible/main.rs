//! The command line: parse, run, report, exit.

mod args;
mod cmd;
mod exit;
mod logging;
mod output;
mod prompt;
mod settings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use args::Args;
use exit::{Exit, Failure};

fn main() -> ExitCode {
    indelible::fs::os::keep_private();
    // A file size limit is then an error like any other instead of the end of the process.
    let ignored = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, ignored);
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && Args::mean_a_hook(std::env::args_os()) => return Exit::Done.into(),
        Err(error) => return exit::of_clap(&error).into(),
    };
    let json = args.json;
    let outcome = catch_unwind(AssertUnwindSafe(|| cmd::run(args)));
    let failure = match outcome {
        Ok(Ok(exit)) => return exit.into(),
        Ok(Err(failure)) => failure,
        // The panic has said on stderr what and where. What is durable by then has its exit code already.
        Err(_) => Failure::new(Exit::Io, "the program met a bug of its own and stopped")
            .hint("please report the lines above; whatever was acknowledged is kept"),
    };
    output::failure(&failure, json);
    failure.exit.into()
}
