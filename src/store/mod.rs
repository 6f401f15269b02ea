//! The three places a record ends up in: its file, its row, and git.

pub mod page;
