//! indelible: records that cannot be lost.

pub mod fs;
pub mod intent;
pub mod position;
pub mod store;
pub mod text;
