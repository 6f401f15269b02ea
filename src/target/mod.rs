//! The targets: the stores that follow the journal. Each applies what the journal holds, and can be asked what it has.

pub mod changed_files;
pub mod files;
pub mod history;
pub mod index;
pub mod spread;
