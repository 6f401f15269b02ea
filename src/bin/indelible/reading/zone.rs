//! The local time zone.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Where systems other than Windows keep the rules of their zone.
const LOCAL: &str = "/etc/localtime";

/// The local time zone. `TZ` names it, or else the system's file has its rules. They are read without the zone's name: to
/// find that, every zone's file would be looked at, which takes longer than to find a record. Without the file it is UTC, as for
/// other programs.
pub fn local() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    match std::fs::read(Path::new(LOCAL)) {
        Ok(rules) => TimeZone::tzif("local", &rules).unwrap_or_else(|_| TimeZone::system()),
        Err(error) if cfg!(unix) && error.kind() == std::io::ErrorKind::NotFound => TimeZone::UTC,
        Err(_) => TimeZone::system(),
    }
}

/// The time, in the local time zone.
pub fn now() -> Zoned {
    Timestamp::now().to_zoned(local())
}
