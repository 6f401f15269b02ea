//! Homes made by the real binary, commands in a clean environment, workers that end with their test, and readers that
//! look at the stores without the product's own code.

mod command;
mod framework;
mod home;
mod http;
mod parallel;
mod repository;
mod search;
mod stores;
mod tools;
mod worker;

use std::time::{Duration, Instant};

pub use command::{Cmd, Outcome, Receipt, Running};
pub use framework::{Git, Tables, assert_files_kept, assert_rows_kept, everything, framework, rows};
pub use home::{KINDS, TestHome, record_args};
pub use http::{Answer, HttpGit};
pub use parallel::{OWN_ROW, beside, in_parallel, recorders_at_once};
pub use repository::{repository, theirs};
pub use search::{SEARCH, SearchDb, assert_search_agrees, opened as opened_search};
pub use stores::{Stores, assert_absent_or_whole, assert_exactly_once};
pub use tools::{has, has_strace, skipped, write_program};
pub use worker::Worker;

/// How long an event may take before a test gives up on it. Far beyond what any takes, so that a slow machine is no
/// failure.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `happened` gives something.
pub fn wait_for<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = happened() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        // What is asked is often a process: for long waits it is asked seldom.
        std::thread::sleep((start.elapsed() / 10).clamp(Duration::from_millis(2), Duration::from_millis(100)));
    }
}

/// A fixed sequence of numbers that look random, so that a failing test fails again.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
