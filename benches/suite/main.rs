//! The benchmarks: every figure stands beside its partner, measured in turn with it in the same run.
//!
//!     cargo bench                                 everything, homes of up to 100,000 records; a quarter of an hour
//!     cargo bench -- record growth                these topics only
//!     cargo bench -- --scale full                 homes of up to 1,000,000 records
//!     cargo bench -- --scale tiny                 whether the benchmarks work; the numbers mean nothing
//!
//! A topic's result is kept in benches/results; docs/benchmarks.md and the curves in docs/benchmarks/ are made
//! from all results there are, by this program alone. What is run at the scale `tiny` stays in `target/bench/tiny`.
//! Large homes are built once and kept in `target/bench/homes`, which is safe to remove at any time. Nothing is asserted
//! about time: a number is reached or it is not.

mod corpus;
mod curve;
mod homes;
#[path = "../../tests/it/support/http.rs"]
#[allow(dead_code, reason = "tests have the server refuse and hang")]
mod http;
mod lab;
mod machine;
mod peers;
mod process;
mod report;
mod samples;
mod scale;
mod topics;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Parser;

use lab::Lab;
use scale::ScaleName;

/// Runs the benchmarks and writes docs/benchmarks.md.
#[derive(Debug, Parser)]
struct Args {
    /// The topics to run [default: all]
    topics: Vec<String>,
    /// How large the homes are, and how often everything is run
    #[arg(long, value_enum, default_value_t = ScaleName::Default)]
    scale: ScaleName,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    leave_cargos_environment();
    let known: Vec<_> = topics::ALL.iter().map(|topic| topic.name).collect();
    if let Some(unknown) = args.topics.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no topic {unknown}; there are {}", known.join(", "));
        std::process::exit(64);
    }
    let lab = Lab::new(args.scale.scale());
    for topic in topics::ALL {
        // The goals are read off the other topics' figures, so they follow from whatever was run.
        if !args.topics.is_empty() && !args.topics.iter().any(|name| name == topic.name) && topic.name != "goals" {
            continue;
        }
        eprintln!("{}: {}", topic.name, topic.title);
        let start = std::time::Instant::now();
        let mut report = report::Report::new(&topic, lab.scale.name);
        (topic.run)(&lab, &mut report);
        report.seconds = start.elapsed().as_secs();
        eprintln!("{}: {} s", topic.name, report.seconds);
        report.keep(&lab);
    }
    report::write_document(&lab);
}

/// Runs this program again with a user's environment in the place of cargo's, whose library path makes every program
/// that is not static search a dozen folders when it starts.
fn leave_cargos_environment() {
    if std::env::var_os("LD_LIBRARY_PATH").is_none() {
        return;
    }
    let kept = std::env::vars_os().filter(|(name, _)| ["PATH", "HOME", "LANG"].iter().any(|kept| name == kept));
    let this = std::env::current_exe().expect("it runs");
    let error = Command::new(this).args(std::env::args_os().skip(1)).env_clear().envs(kept).exec();
    panic!("the benchmarks could not be restarted: {error}");
}
