//! The layout of a home. Every name in a home and in its private folder is spelt here, and only here. No I/O.
//!
//! ```text
//! <home>/
//!   memory/
//!     failures/ successes/ observations/ heuristics/   records' pages; `path` says where a record's page lies
//!     verdicts/                   what became of rules: verdicts, a page each
//!     retracted/                  state files of records that were retracted, restored or erased
//!     index.db  -wal  -shm        the index
//!   experiments/active/           experiments, a folder each
//!   .git/                         the history
//!     indelible                   a marker; in a user's repository, the private folder
//!     indelible-lock              the claim on the branch's lock
//!     objects/pack/indelible-*.staging    packs that are being made
//!   .indelible/                   the private folder, unless it is in the git folder
//!     home.json                   the identity; released.json once the home is released
//!     config.toml                 settings
//!     worker.lock  autostart      the worker's lock; the last attempt to start a worker
//!     status.json  state.json     the worker's published status; the worker's cache
//!     journal.json  journal/      the journal's id; its segments, `<number>.log`
//!     pointer.json                where the branch of a user's repository was moved
//!     erasing.json                which erasures have begun
//!     sync.git/  sync.json  sync.lock     the cache of a git remote; which lane is this home's; the lock on both
//!     hooks.tally  hooks.error    what became of hook events
//!     known.bin                   known failures, for hooks; made from the index
//!     again-<day>.tally           rules that came again on that day, until the worker has counted them
//!     mcp.tally                   the day of each record that an agent made by the tool `record`
//!     tmp/                        temporary files; `elsewhere-*` names folders on other file systems
//!     quarantine/                 what is damaged, parked or edited; dismissed/ once a person has seen it
//!     requests/                   requests to the worker, and its answers
//!     logs/                       the worker's log
//!     sessions/                   what agents were told, and what failed since; a log for each agent of each session
//!     edits/                      pages that `edit` has opened, and that were not taken yet
//!     adopted/                    what the home was before its adoption
//! ```
//!
//! `private` decides which private folder counts. `journal` names its segments by number.

/// The folder of records and index.
pub const MEMORY: &str = "memory";
/// The folder of experiments.
pub const EXPERIMENTS: &str = "experiments";
/// The folders that all records' files lie beneath.
pub const ROOTS: [&str; 2] = [MEMORY, EXPERIMENTS];
/// The folder of failures.
pub const FAILURES: &str = "memory/failures";
/// The folder of successes.
pub const SUCCESSES: &str = "memory/successes";
/// The folder of observations.
pub const OBSERVATIONS: &str = "memory/observations";
/// The folder of heuristics, with a folder for each domain.
pub const HEURISTICS: &str = "memory/heuristics";
/// The folder of verdicts.
pub const VERDICTS: &str = "memory/verdicts";
/// The folder of experiments that are recorded.
pub const EXPERIMENTS_ACTIVE: &str = "experiments/active";
/// The folder that the framework moves completed experiments to.
pub const EXPERIMENTS_COMPLETED: &str = "experiments/completed";
/// The folder of the state files.
pub const RETRACTED: &str = "memory/retracted";
/// The name of a domain's page, in its folder.
pub const DOMAIN_PAGE: &str = "README.md";
/// The name of an experiment's own page, in its folder.
pub const HYPOTHESIS: &str = "hypothesis.md";
/// The name of an experiment's log, in its folder.
pub const LOG: &str = "log.md";
/// The name of the file that says how an experiment ended, in its folder.
pub const OUTCOME: &str = "outcome.md";

/// The index, relative to the home. It lies in [`MEMORY`].
pub const INDEX: &str = "memory/index.db";
/// The search database, relative to the home.
pub const SEARCH: &str = "memory/search.db";
/// The suffix of a database's write-ahead log.
pub const WAL: &str = "-wal";
/// The suffix of a database's shared memory.
pub const SHM: &str = "-shm";
/// The index's write-ahead log, relative to the home.
pub const INDEX_WAL: &str = "memory/index.db-wal";
/// The suffixes of a database's files, after its name.
pub const DATABASE_SUFFIXES: [&str; 3] = ["", WAL, SHM];
/// SQLite also looks for a rollback journal. It makes one while a new database gets its mode, and none in WAL mode.
pub const ROLLBACK_JOURNAL: &str = "-journal";

/// The git folder of a repository, or a file that names it.
pub const GIT: &str = ".git";
/// The list of paths that one repository ignores, in its git folder.
pub const EXCLUDE: &str = "info/exclude";
/// The name prefix of a list of ignored paths that is about to replace another.
pub const EXCLUDE_DRAFT: &str = "exclude.indelible-";
/// A user's list of ignored paths, in any folder of a work tree.
pub const GITIGNORE: &str = ".gitignore";
/// The branch of a repository that was made for a home.
pub const OWNED_BRANCH: &str = "refs/heads/main";
/// The branch that shows the history in a user's repository; the first name to try.
pub const GUEST_BRANCH: &str = "refs/heads/indelible";
/// The claim on the locks of our references, in the git folder.
pub const LOCK_CLAIM: &str = "indelible-lock";
/// The prefix of a folder in which a pack is made.
pub const STAGING_START: &str = "indelible-";
/// Its suffix.
pub const STAGING_END: &str = ".staging";
/// The line that keeps the index out of a user's git. In an adopted home it is the owner's database, which their own
/// programs add to git.
pub const EXCLUDED_INDEX: &str = "/memory/index.db";
/// Exactly what we write into a user's work tree. Git still adds the user's own files beside it.
pub const EXCLUDED: [&str; 16] = [
    EXCLUDED_INDEX,
    "/memory/index.db-wal",
    "/memory/index.db-shm",
    "/memory/index.db-journal",
    "/memory/search.db",
    "/memory/search.db-wal",
    "/memory/search.db-shm",
    "/memory/search.db-journal",
    "/memory/failures/[0-9][0-9][0-9][0-9]/",
    "/memory/successes/[0-9][0-9][0-9][0-9]/",
    "/memory/observations/[0-9][0-9][0-9][0-9]/",
    "/memory/heuristics/*/[0-9][0-9][0-9][0-9]/",
    "/memory/heuristics/*/README.md",
    "/memory/verdicts/[0-9][0-9][0-9][0-9]/",
    "/memory/retracted/[0-9a-f][0-9a-f]/",
    "/experiments/active/*-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]/",
];
/// The line that keeps the private folder out of a user's git, where it lies in the work tree.
pub const EXCLUDED_PRIVATE: &str = "/.indelible/";
/// The lines of earlier versions, in the order they were added. The last one hides the private folder in its old place.
pub const EXCLUDED_BEFORE: [&str; 3] = ["/memory/", "/experiments/", EXCLUDED_PRIVATE];

/// The private folder of a home with a repository of its own, relative to the home.
pub const PRIVATE: &str = ".indelible";
/// The private folder in the git folder of a user's repository. In a home's own repository, the marker.
pub const PRIVATE_IN_GIT: &str = "indelible";
/// That path, relative to the home, where `.git` is a folder. It is looked at first.
pub const PRIVATE_FIRST: &str = ".git/indelible";
/// A released private folder has this in its name, then a time.
pub const RELEASED_PRIVATE: &str = "-released-";

/// What makes a folder a home.
pub const IDENTITY: &str = "home.json";
/// The name of the identity while the home is being released, and afterwards.
pub const RELEASED: &str = "released.json";
/// The home's settings.
pub const CONFIG: &str = "config.toml";
/// The worker's lock.
pub const WORKER_LOCK: &str = "worker.lock";
/// The last attempt to start a worker.
pub const AUTOSTART: &str = "autostart";
/// The status that the worker publishes.
pub const STATUS: &str = "status.json";
/// The worker's cache.
pub const STATE: &str = "state.json";
/// The journal's id.
pub const JOURNAL_ID: &str = "journal.json";
/// The note about the branch of a user's repository.
pub const POINTER: &str = "pointer.json";
/// The note of erasures that have begun.
pub const ERASING: &str = "erasing.json";
/// The private repository of what a git remote has and shall have.
pub const SYNC_GIT: &str = "sync.git";
/// What is known of the remote.
pub const SYNC: &str = "sync.json";
/// The lock on both.
pub const SYNC_LOCK: &str = "sync.lock";
/// What became of hook events.
pub const HOOKS_TALLY: &str = "hooks.tally";
/// The last error of a hook.
pub const HOOKS_ERROR: &str = "hooks.error";
/// The file of known failures.
pub const KNOWN: &str = "known.bin";
/// How many records agents made today by the tool `record`.
pub const MCP_TALLY: &str = "mcp.tally";
/// By this token the user's list of trusted homes knows a home.
pub const TRUST_TOKEN: &str = "token";
/// The folder of the journal's segments.
pub const JOURNAL: &str = "journal";
/// The folder of temporary files.
pub const TEMPORARY: &str = "tmp";
/// The folder of what is damaged, edited or cannot be applied.
pub const QUARANTINE: &str = "quarantine";
/// The folder of the worker's log.
pub const LOGS: &str = "logs";
/// The name prefix of the tally of a day's repeated rules, before the day.
pub const AGAIN: &str = "again-";
/// The name suffix of a tally.
pub const TALLY: &str = ".tally";
/// The folder of session logs. It is made when the first log is.
pub const SESSIONS: &str = "sessions";
/// The folder of records' pages that are being edited. It is made when the first edit is.
pub const EDITS: &str = "edits";
/// The folder of requests to the worker.
pub const REQUESTS: &str = "requests";
/// The name suffix of a request, after its id.
pub const REQUEST: &str = ".json";
/// The name suffix of the answer to it.
pub const ANSWER: &str = ".done";
/// The folders that every private folder has.
pub const PRIVATE_FOLDERS: [&str; 5] = [JOURNAL, TEMPORARY, QUARANTINE, LOGS, REQUESTS];

/// A hidden folder of temporary files, above a path that is on another file system than [`TEMPORARY`].
pub const TEMPORARY_BESIDE: &str = ".indelible-tmp";
/// The name prefix of a note in [`TEMPORARY`] that names the folder above such a hidden one.
pub const ELSEWHERE: &str = "elsewhere-";
/// The name prefix of an incomplete copy, in a folder that something is moved to.
pub const COPYING: &str = ".copying-";

/// The folder within the quarantine of what a person has seen.
pub const DISMISSED: &str = "dismissed";
/// The name prefix of a damaged stretch of the journal.
pub const DAMAGED: &str = "damaged-";
/// The name prefix of what cannot be applied.
pub const PARKED: &str = "parked-";
/// The name suffix of a parked record whose file could not be placed.
pub const PARKED_FILE: &str = "-file.json";
/// The name suffix of a parked record whose row the table refuses.
pub const PARKED_ROW: &str = "-row.json";
/// The name of a parked record ends with this if it could not be committed.
pub const PARKED_COMMIT: &str = "-commit.json";
/// The name prefix of a hook event that could not be parsed.
pub const EVENT: &str = "event-";
/// The name prefix of a file that its owner edited, and that was in the way.
pub const EDITED: &str = "edited-";
/// The name prefix, in [`DISMISSED`], of a parked record that could be applied after all.
pub const APPLIED: &str = "applied-";

/// The folder of an adoption, in the private folder of an adopted home.
pub const ADOPTED: &str = "adopted";
/// The note of what the home was before its adoption, in [`ADOPTED`]. A home is adopted once it is there.
pub const ADOPTION: &str = "adoption.json";
/// The daily copy of the database, in [`ADOPTED`]; the worker makes it.
pub const DAILY: &str = "daily.db";
/// The name prefix of a copy of the database, in [`ADOPTED`] and in [`QUARANTINE`].
pub const INDEX_COPY: &str = "index-";
/// The suffix of a database.
pub const DATABASE: &str = ".db";
/// The list of ignored paths of before the adoption, in [`ADOPTED`].
pub const ADOPTED_EXCLUDE: &str = "exclude";
/// The framework's scripts, relative to the home; and the folder in [`ADOPTED`] of those that ours replaced.
pub const SCRIPTS: &str = "scripts";
/// The note of our scripts, in [`ADOPTED`].
pub const SCRIPTS_NOTE: &str = "scripts.json";

/// Splits `a/b/c` into the folder `a/b` and the name `c`. What has no folder is in `.`.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

/// Splits `a/b/c` into the outermost folder `a` and the rest `b/c`; `None` for a name without a folder.
pub fn split_first(path: &str) -> Option<(&str, &str)> {
    path.split_once('/')
}

/// The parts of `a/b/c`, outermost first.
pub fn parts(path: &str) -> std::str::Split<'_, char> {
    path.split('/')
}

/// The path of `name` in `folder`; in the outermost folder if that is empty.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn names_agree_with_each_other() {
        assert_eq!(split(INDEX).0, MEMORY);
        assert_eq!(INDEX_WAL, format!("{INDEX}{WAL}"));
        assert_eq!(PRIVATE_FIRST, join(GIT, PRIVATE_IN_GIT));
        assert_eq!(EXCLUDED_INDEX, format!("/{INDEX}"));
        assert_eq!(EXCLUDED_PRIVATE, format!("/{PRIVATE}/"));
        for database in [INDEX, SEARCH] {
            for suffix in DATABASE_SUFFIXES.into_iter().chain([ROLLBACK_JOURNAL]) {
                let line = format!("/{database}{suffix}");
                assert!(EXCLUDED.contains(&line.as_str()), "git would see {line}");
            }
        }
        for folder in Kind::ALL.map(Kind::folder).iter().chain([&RETRACTED]) {
            assert!(ROOTS.contains(&split(folder).0), "{folder} is beneath no root");
            let excluded = format!("/{folder}/");
            assert!(EXCLUDED.iter().any(|line| line.starts_with(&excluded)), "git would see {folder}");
        }
    }

    #[test]
    fn a_path_is_split_at_its_ends() {
        assert_eq!((split("a/b/c"), split("c")), (("a/b", "c"), (".", "c")));
        assert_eq!((split_first("a/b/c"), split_first("c")), (Some(("a", "b/c")), None));
        assert_eq!(parts("a/b").collect::<Vec<_>>(), ["a", "b"]);
    }
}
