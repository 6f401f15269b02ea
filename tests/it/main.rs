//! The product as its users meet it: real processes, a real SQLite, a real git, and what is left after each of them is
//! stopped at the worst moment.

mod abuse;
mod adopt;
mod cli;
#[cfg(target_os = "linux")]
mod clock;
mod concurrency;
mod config;
mod contention;
mod crash;
mod daemon;
mod damage;
mod durability;
mod faults;
mod git_load;
mod guest;
mod hook;
mod hooks_settings;
mod manual;
#[cfg(target_os = "linux")]
mod power;
mod rebuild;
#[cfg(target_os = "linux")]
mod remote;
mod service;
mod soak;
mod support;
mod terminal;
mod user_git;
