//! What a home's own file may not decide: it may have come from another user.

/// Whether only the user decides the setting `section.key`, in every home: it names a program, starts something, signs
/// commits, names this machine, is about logs, decides what hooks record or tell or which provenance is kept, or could weaken
/// redaction.
pub fn is_the_users(section: &str, key: &str) -> bool {
    match section {
        "history" | "log" | "redact" | "sync" => true,
        "record" => key == "provenance",
        "worker" => key == "autostart",
        "hook" => matches!(key, "record" | "events" | "tools" | "answers" | "context" | "fix_calls" | "fix_minutes"),
        _ => false,
    }
}

/// Whether a home may set a setting of the user's to `value`, because it only redacts more.
pub(super) fn is_harmless(section: &str, key: &str, value: &toml::Value) -> bool {
    section == "redact" && (key == "patterns" || value.as_bool() == Some(true))
}

/// The largest numbers that a home's file can set.
pub(super) const HOME_MAX: [(&str, &str, i64); 10] = [
    ("record", "index_wait_ms", 5_000),
    ("worker", "age_ms", 24 * 3600 * 1000),
    ("worker", "records_due", 100_000),
    ("worker", "records_max", 100_000),
    ("worker", "poll_s", 3600),
    ("worker", "stop_s", 600),
    ("worker", "index_wait_ms", 60_000),
    ("journal", "segment_bytes_max", 1 << 30),
    ("journal", "keep_s", 30 * 24 * 3600),
    ("mcp", "idle_s", 30 * 24 * 3600),
];

/// The largest number that a home's file can give the setting `key`, if there is a limit.
pub fn home_max(key: &str) -> Option<i64> {
    HOME_MAX.iter().find(|(section, name, _)| key.split_once('.') == Some((*section, *name))).map(|(.., max)| *max)
}
