//! Many hosts: what other homes recorded, from a plain git remote.
//!
//! ```text
//! lanes of all homes ──merge──▶ trunk ──import──▶ journal ──▶ files, rows
//!         ▲                       │
//!         └─────────fold──────────┘   a lane goes once the trunk has it
//! ```

pub mod fold;
pub mod import;
pub mod merge;
pub mod message;
pub mod tree;

#[cfg(test)]
mod model;
