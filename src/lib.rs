//! indelible: records that cannot be lost.

pub mod adopt;
pub mod audit;
pub mod exclusive;
pub mod fs;
pub mod home;
pub mod hook;
pub mod init;
pub mod journal;
pub mod model;
pub mod own;
pub mod page;
pub mod pipeline;
pub mod private;
pub mod project;
pub mod quarantine;
pub mod random;
pub mod record;
pub mod recover;
pub mod redact;
mod shell;
pub mod state;
pub mod status;
pub mod target;
pub mod trust;
pub mod verify;
pub mod worker;
