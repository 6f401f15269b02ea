//! The product as its users meet it: real processes, a real SQLite, a real git, and what is left after each of them is
//! stopped at the worst moment.

mod abuse;
mod adopt;
mod adopted;
#[cfg(target_os = "linux")]
mod again;
mod amend;
mod asking;
#[cfg(target_os = "linux")]
mod backup;
mod changes;
mod cli;
#[cfg(target_os = "linux")]
mod clock;
mod combinations;
mod concurrency;
mod config;
mod contention;
mod cost;
mod crash;
mod daemon;
mod damage;
mod docs;
mod durability;
mod edit;
mod erase;
mod erase_adopted;
mod erase_beside;
mod erase_everywhere;
mod erase_guest;
mod erase_left;
mod faults;
mod finding;
mod fleet;
mod followed;
mod formats;
mod git_load;
#[cfg(target_os = "linux")]
mod group_keys;
mod guest;
mod hook;
mod hooks_settings;
mod hostile;
#[cfg(target_os = "linux")]
mod hosts;
mod identity;
mod keys;
mod known;
mod lanes;
mod manual;
mod mcp;
mod model;
#[cfg(target_os = "linux")]
mod odd_lanes;
mod outcome;
mod output;
#[cfg(target_os = "linux")]
mod pack;
mod page;
#[cfg(target_os = "linux")]
mod places;
#[cfg(target_os = "linux")]
mod power;
mod presentation;
mod prompts;
mod provenance;
mod purge;
mod query_py;
mod reading;
mod reading_terminal;
mod rebuild;
#[cfg(target_os = "linux")]
mod red_team;
#[cfg(target_os = "linux")]
mod remote;
#[cfg(target_os = "linux")]
mod restored;
mod retract;
#[cfg(target_os = "linux")]
mod rows;
mod sandbox;
mod search_db;
mod service;
mod soak;
mod spread;
mod status;
#[cfg(target_os = "linux")]
mod stopping;
mod support;
mod terminal;
#[cfg(target_os = "linux")]
mod trunk;
mod trust;
mod turn;
mod user_git;
mod verdicts;
#[cfg(target_os = "linux")]
mod watch;
