//! The three places a record ends up in: its file, its row, and git.

pub mod apply;
pub mod history;
pub mod index;
pub mod page;
pub mod quarantine;
pub mod spread;
