//! The lines in a user's list of ignored files (`info/exclude`) that name what we write into their work tree.

/// The index. In an adopted home it is the owner's database, which their own programs add to git.
pub(super) const EXCLUDED_INDEX: &str = "/memory/index.db";
/// Exactly what we write into a user's work tree. Git still adds the user's own files beside it.
pub(super) const EXCLUDED: [&str; 13] = [
    EXCLUDED_INDEX,
    "/memory/index.db-wal",
    "/memory/index.db-shm",
    "/memory/search.db",
    "/memory/search.db-wal",
    "/memory/search.db-shm",
    "/memory/failures/[0-9][0-9][0-9][0-9]/",
    "/memory/successes/[0-9][0-9][0-9][0-9]/",
    "/memory/observations/[0-9][0-9][0-9][0-9]/",
    "/memory/heuristics/*/[0-9][0-9][0-9][0-9]/",
    "/memory/heuristics/*/README.md",
    "/memory/retracted/[0-9a-f][0-9a-f]/",
    "/experiments/active/*-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]/",
];
/// The lines of earlier versions, in the order they were added. The last one hides the private folder in its old place.
pub(super) const EXCLUDED_BEFORE: [&str; 3] = ["/memory/", "/experiments/", "/.indelible/"];
