//! Exit codes. Each is a promise about what was kept.

use std::error::Error;

use indelible::fs::Error as FsError;
use indelible::fs::lock::Holder;
use indelible::model::text;
use indelible::model::text::shell_path;
use indelible::page::Presence;
use indelible::{
    adopt, audit, erase, home, init, journal, own, pipeline, query, record, recover, revise, target, trust, verify,
    worker,
};
use target::{files, history, index};

/// The exit code of the process. Never 101, and never 2, which agents' hook runners read as "block the tool call"; but
/// `query` has the codes of the framework's `query.py`, 2 and 3 among them: no hook runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The intent is on disk; file, row and commit follow, whatever happens next. Or: the command did what it was asked.
    Done = 0,
    /// `verify` found disagreement, `status --check` found something that needs attention, or a reader found nothing.
    Disagreement = 1,
    /// `query` could not read the database.
    Database = 2,
    /// `query` took longer than it was given.
    Timeout = 3,
    /// Invalid flags. Nothing was recorded.
    Usage = 64,
    /// An invalid field. Nothing was recorded.
    Input = 65,
    /// An error of the disk. Nothing was recorded; if a sync failed, the entry was voided, and the message says so.
    Io = 74,
    /// Another process holds a lock, or a resource is short. Nothing was done; trying again is safe.
    TryAgain = 75,
    /// Refused for safety: a symbolic link, an escaping path, another user's folder. Nothing was recorded.
    Refused = 77,
    /// No home, a broken one, or one that cannot keep the promises. Nothing was recorded.
    NoHome = 78,
}

impl Exit {
    /// `search`, `recall` and `show` found nothing.
    pub const NOTHING_FOUND: Exit = Exit::Disagreement;
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What the command did not do.
    pub what: String,
    /// Why.
    pub causes: Vec<String>,
    /// Whether the causes are a list, of what could be meant, and not a chain.
    pub is_list: bool,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure to do `what`.
    pub fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), causes: Vec::new(), is_list: false, hint: None }
    }

    /// The failure of `what` that could mean any of `candidates`.
    pub fn ambiguous(what: impl Into<String>, candidates: Vec<String>) -> Failure {
        Failure { causes: candidates, is_list: true, ..Failure::new(Exit::Input, what) }
    }

    /// With the causes that `error` carries.
    pub fn because(mut self, error: &dyn Error) -> Failure {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let line = indelible::model::text::visible_line(&error.to_string()).into_owned();
            if self.causes.last() != Some(&line) {
                self.causes.push(line);
            }
            cause = error.source();
        }
        self
    }

    /// With what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The failure of a command to do `what`, because of `error`.
    pub fn of<E: Error + Promise + 'static>(what: &str, error: &E) -> Failure {
        let failure = Failure::new(error.exit(), what).because(error);
        match error.advice() {
            Some(advice) => failure.hint(advice),
            None => failure,
        }
    }
}

/// The exit code of a library's error. Each error has one.
pub trait Promise {
    /// The exit code.
    fn exit(&self) -> Exit;
    /// What to do next.
    fn advice(&self) -> Option<String> {
        None
    }
}

impl Promise for FsError {
    fn exit(&self) -> Exit {
        match self {
            FsError::Refused { .. } => Exit::Refused,
            FsError::Io { .. } => Exit::Io,
        }
    }

    fn advice(&self) -> Option<String> {
        use std::io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        Some(match self.io_kind() {
            None => "something was put there that does not belong; look at it before anything else".into(),
            Some(StorageFull | QuotaExceeded | FileTooLarge) => {
                "nothing was changed; free some space and run the same command again".into()
            }
            Some(PermissionDenied | ReadOnlyFilesystem) => {
                "make the folder writable and run the same command again".into()
            }
            Some(_) => return None,
        })
    }
}

impl Promise for home::Error {
    fn exit(&self) -> Exit {
        match self {
            home::Error::NotYours { .. } => Exit::Refused,
            home::Error::Fs(error) => error.exit(),
            _ => Exit::NoHome,
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            home::Error::Missing(path) => format!("make one with `indelible init {}`", shell_path(path)),
            home::Error::Broken { path, .. } => {
                format!("`indelible init {}` adds what is missing, then run `indelible recover`", shell_path(path))
            }
            home::Error::Newer { .. } => "use the version of the program that made it, or a newer one".into(),
            home::Error::TooLong { .. } => {
                "move it to a folder with a shorter path, or choose another with --home".into()
            }
            home::Error::Unsuitable { .. } => "choose a folder on a local disk with --home".into(),
            home::Error::NotYours { .. } => "run as its owner, or choose another home with --home".into(),
            home::Error::Fs(error) => return error.advice(),
        })
    }
}

impl Promise for journal::Error {
    fn exit(&self) -> Exit {
        match self {
            journal::Error::Empty(_) | journal::Error::Newer { .. } | journal::Error::Format { .. } => Exit::NoHome,
            journal::Error::TooLarge { .. } => Exit::Input,
            journal::Error::Fs(error) => error.exit(),
            _ => Exit::Io,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            journal::Error::Empty(_) => Some("run `indelible init` and then `indelible recover`".into()),
            journal::Error::Short { .. } => {
                Some("nothing was recorded; free some space and run the same command again".into())
            }
            journal::Error::Sync { .. } => Some(
                "the entry was voided; only a worker that read it in that instant can have taken it, and then the \
                 record appears all the same. Check the disk before you go on"
                    .into(),
            ),
            journal::Error::NotVoided { .. } => Some("check the disk before you go on".into()),
            journal::Error::Fs(error) => error.advice(),
            _ => None,
        }
    }
}

impl Promise for record::Error {
    fn exit(&self) -> Exit {
        match self {
            record::Error::Invalid(_) => Exit::Input,
            record::Error::Home(error) => error.exit(),
            record::Error::Fs(error) => error.exit(),
            record::Error::Journal(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            record::Error::Invalid(_) => None,
            record::Error::Home(error) => error.advice(),
            record::Error::Fs(error) => error.advice(),
            record::Error::Journal(error) => error.advice(),
        }
    }
}

impl Promise for erase::Error {
    fn exit(&self) -> Exit {
        use erase::Error;
        match self {
            Error::Unsupported(_) => Exit::Input,
            Error::InTheWay(_) | Error::Unfinished(_) => Exit::TryAgain,
            Error::Unreadable { .. } => Exit::Io,
            Error::Recover(error) => error.exit(),
            Error::History(error) => error.exit(),
            Error::Index(error) => error.exit(),
            Error::Home(error) => error.exit(),
            Error::Fs(error) => error.exit(),
            Error::Journal(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        use erase::Error;
        match self {
            Error::Unsupported(_) => {
                Some("`indelible retract` takes it out of files, rows, pages and search; git keeps it".into())
            }
            Error::InTheWay(_) => Some("nothing was changed; run the same command again".into()),
            Error::Unfinished(_) => Some("end what is in the way, and run the same command again".into()),
            _ => None,
        }
    }
}

impl Promise for revise::Error {
    fn exit(&self) -> Exit {
        match self {
            revise::Error::Query(error) => error.exit(),
            revise::Error::Journal(error) => error.exit(),
            _ => Exit::Input,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            revise::Error::Query(error) => error.advice(),
            revise::Error::Journal(error) => error.advice(),
            revise::Error::Hidden { state: Presence::Retracted, id, .. } => {
                Some(format!("`indelible restore {}` brings it back", id.short()))
            }
            _ => None,
        }
    }
}

impl Promise for query::Error {
    fn exit(&self) -> Exit {
        match self {
            query::Error::Index(error) => error.exit(),
            query::Error::Search(_) => Exit::Io,
            query::Error::History(error) => error.exit(),
            query::Error::Fs(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            query::Error::Index(error) => error.advice(),
            query::Error::Search(_) => {
                Some("`indelible repair` throws search.db away, and a worker makes it again".into())
            }
            query::Error::History(error) => error.advice(),
            query::Error::Fs(error) => error.advice(),
        }
    }
}

impl Promise for index::Error {
    fn exit(&self) -> Exit {
        match self {
            index::Error::Busy { .. } => Exit::TryAgain,
            index::Error::Newer { .. } | index::Error::Missing(_) => Exit::NoHome,
            _ => Exit::Io,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            index::Error::Unopenable { path, .. } => Some(format!(
                "records are kept and committed all the same. If `indelible repair` does not fix it, give {} to this \
                 user, or move it away",
                path.display()
            )),
            _ => self.is_lost().then(|| "run `indelible repair`: it rebuilds the index from the files".into()),
        }
    }
}

impl Promise for history::Error {
    fn exit(&self) -> Exit {
        match self {
            history::Error::Inside { .. } => Exit::Refused,
            error if error.is_unsupported() => Exit::NoHome,
            history::Error::Missing { .. } => Exit::NoHome,
            history::Error::Locked { .. } | history::Error::Contended { .. } => Exit::TryAgain,
            _ => Exit::Io,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            history::Error::Missing { .. } => {
                Some("run `indelible recover`: it rebuilds the history from the files".into())
            }
            history::Error::Inside { .. } => Some("nothing was changed".into()),
            error if error.is_unsupported() => {
                Some("records stay in the journal until there is a repository that can take them".into())
            }
            _ => None,
        }
    }
}

impl Promise for files::Error {
    fn exit(&self) -> Exit {
        match self {
            files::Error::Path(_) => Exit::Refused,
            files::Error::Fs(error) => error.exit(),
            files::Error::Home(error) => error.exit(),
            files::Error::Index(error) => error.exit(),
        }
    }
}

impl Promise for pipeline::Error {
    fn exit(&self) -> Exit {
        match self {
            pipeline::Error::Home(error) => error.exit(),
            pipeline::Error::Fs(error) => error.exit(),
            pipeline::Error::Journal(error) => error.exit(),
            pipeline::Error::Apply { source, .. } | pipeline::Error::Page { source, .. } => source.exit(),
            pipeline::Error::Nowhere { .. } => Exit::Io,
            pipeline::Error::Index(error) => error.exit(),
            pipeline::Error::History(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            pipeline::Error::Home(error) => error.advice(),
            pipeline::Error::Fs(error) => error.advice(),
            pipeline::Error::Journal(error) => error.advice(),
            pipeline::Error::Apply { .. } | pipeline::Error::Page { .. } | pipeline::Error::Nowhere { .. } => None,
            pipeline::Error::Index(error) => error.advice(),
            pipeline::Error::History(error) => error.advice(),
        }
    }
}

impl Promise for Holder {
    fn exit(&self) -> Exit {
        Exit::TryAgain
    }

    fn advice(&self) -> Option<String> {
        Some("wait for it and run the same command again".into())
    }
}

impl Promise for adopt::Error {
    fn exit(&self) -> Exit {
        use adopt::Error;
        match self {
            Error::NotTheirs(_) | Error::NotAdopted(_) | Error::Newer(_) => Exit::NoHome,
            Error::Damaged(_) | Error::Conflict(_) => Exit::NoHome,
            Error::Unsettled { .. } => Exit::Disagreement,
            Error::Home(error) => error.exit(),
            Error::Fs(error) => error.exit(),
            Error::Index(error) => error.exit(),
            Error::History(error) => error.exit(),
            Error::Journal(error) => error.exit(),
            Error::Init(error) => error.exit(),
            Error::Recover(error) => error.exit(),
            Error::Verify(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        use adopt::Error;
        match self {
            Error::NotTheirs(_) | Error::Home(home::Error::Missing(_)) => {
                Some("name the framework's home, or make a new one with `indelible init`".into())
            }
            Error::NotAdopted(_) => Some("there is nothing to release".into()),
            Error::Newer(_) => Some("use the version of the program that adopted it, or a newer one".into()),
            Error::Damaged(_) => Some("repair it first (sqlite3's .recover, or a copy); nothing was changed".into()),
            Error::Conflict(_) => {
                Some("one of its tables or views has a name that indelible needs; nothing was changed".into())
            }
            Error::Unsettled { .. } => {
                Some("see `indelible verify`; `indelible repair` fixes it; with --dismiss it stops reporting it".into())
            }
            Error::Index(index::Error::Busy { .. }) => Some(
                "some process has the database open; wait for it, or end it, and run the same command again".into(),
            ),
            Error::Home(error) => error.advice(),
            Error::Fs(error) => error.advice(),
            Error::Index(_) => None,
            Error::History(error) => error.advice(),
            Error::Journal(error) => error.advice(),
            Error::Init(error) => error.advice(),
            Error::Recover(error) => error.advice(),
            Error::Verify(error) => error.advice(),
        }
    }
}

impl Promise for own::Error {
    fn exit(&self) -> Exit {
        match self {
            own::Error::Changeable { .. } => Exit::Refused,
            own::Error::Busy(_) => Exit::TryAgain,
            own::Error::Fs(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            own::Error::Changeable { path, .. } => Some(for_oneself(path)),
            own::Error::Busy(_) => Some("wait for it and run the same command again".into()),
            own::Error::Fs(error) => error.advice(),
        }
    }
}

fn for_oneself(path: &std::path::Path) -> String {
    format!("allow only yourself to change it (`chmod go-w {}`), or move it", text::shell_path(path))
}

impl Promise for trust::Error {
    fn exit(&self) -> Exit {
        match self {
            trust::Error::Home(error) => error.exit(),
            trust::Error::Changeable { .. } => Exit::Refused,
            trust::Error::NotText(_) => Exit::Input,
            trust::Error::NoFolder | trust::Error::Damaged { .. } => Exit::NoHome,
            trust::Error::Notes(own::Error::Fs(error)) | trust::Error::Fs(error) if error.is_passing() => {
                Exit::TryAgain
            }
            trust::Error::Notes(error) => error.exit(),
            trust::Error::Fs(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            trust::Error::Home(error) => return error.advice(),
            trust::Error::Changeable { path, .. } => for_oneself(path),
            trust::Error::NotText(_) => "name it with --home or INDELIBLE_HOME instead, or rename the folder".into(),
            trust::Error::NoFolder => "set HOME or XDG_STATE_HOME, or name the home in INDELIBLE_TRUST".into(),
            trust::Error::Damaged { path, .. } => {
                format!("move {} away, and trust your homes again", text::shell_path(path))
            }
            trust::Error::Notes(error) => return error.advice(),
            trust::Error::Fs(error) => return error.advice(),
        })
    }
}

/// Errors that have the promise of their cause.
macro_rules! promise_of_their_cause {
    ($($error:ty: $($variant:ident)*;)*) => { $(
        impl Promise for $error {
            fn exit(&self) -> Exit {
                match self { $(Self::$variant(error) => error.exit(),)* }
            }

            fn advice(&self) -> Option<String> {
                match self { $(Self::$variant(error) => error.advice(),)* }
            }
        }
    )* };
}

promise_of_their_cause! {
    init::Error: Busy Home Fs Journal Index History;
    audit::Error: Fs Journal Index History;
    recover::Error: Pipeline Audit;
    verify::Error: Home Fs Journal Index History Audit Pipeline;
    worker::Error: Erase Home Fs Pipeline Recover;
}
