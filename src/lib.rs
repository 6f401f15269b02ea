//! indelible: records that cannot be lost.

pub mod adopt;
pub mod batch;
pub mod fs;
pub mod home;
pub mod hook;
pub mod init;
pub mod intent;
pub mod journal;
pub mod position;
pub mod private;
pub mod record;
pub mod recover;
pub mod redact;
pub mod state;
pub mod status;
pub mod store;
pub mod survey;
pub mod text;
pub mod verify;
pub mod worker;
