//! The local time zone.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Where systems other than Windows keep the rules of their zone.
const LOCAL: &str = "/etc/localtime";

/// The local time zone. `TZ` names it, or else the system's file has its rules. They are read without the zone's name: to
/// find that, every zone's file would be looked at, which takes longer than to find a record.
pub fn local() -> TimeZone {
    let is_named = std::env::var_os("TZ").is_some();
    let read = || TimeZone::tzif("local", &std::fs::read(Path::new(LOCAL)).ok()?).ok();
    if is_named { None } else { read() }.unwrap_or_else(TimeZone::system)
}

/// The time, in the local time zone.
pub fn now() -> Zoned {
    Timestamp::now().to_zoned(local())
}
