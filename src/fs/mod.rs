//! All durable file work, other than what SQLite and libgit2 do themselves.

pub mod point;

pub use point::Point;
