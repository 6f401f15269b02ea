//! indelible: records that cannot be lost.

pub mod fs;
pub mod home;
pub mod intent;
pub mod journal;
pub mod position;
pub mod store;
pub mod text;
