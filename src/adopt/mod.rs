//! Adoption: a home of the Emergent Learning Framework becomes one of ours, and goes on being theirs.
//!
//! 1. No file, page or row that is there is changed, but for scripts where that was asked for, which are kept.
//! 2. Of the repository nothing is touched but our own branch and lines in `info/exclude` ([`crate::target::history`]).
//! 3. Before anything changes, the database has been copied to `adopted` in the private folder, and the copy checked and
//!    synced.
//! 4. What the home was like is noted before it changes, so that [`release`] can undo it.
//! 5. Looking ([`plan`]) changes nothing.
//!
//! Every step can be repeated. A row that an adopted table does not take is parked when it is recorded (`batch`); the plan
//! says so beforehand.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | the private folder, perhaps a copy of the database | adopting again, which makes another copy |
//! | between the note and the identity | the note; the database in WAL mode, perhaps with our tables | adopting again |
//! | after the identity | a home; scripts and orphans as far as it got | adopting again |

mod database;
mod legacy;
mod orphans;
pub mod release;
mod scripts;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use database::{Inspection, Refusal, Table};
pub use orphans::{Mended, Orphan, Orphans};
pub use scripts::{Found, Replaced, Script};

use crate::fs::{self, Dir, Durability, Point, crash};
use crate::home::{self, ADOPTED, ADOPTION, Home, INDEX};
use crate::init::{self, Made, init};
use crate::journal::{self, Journal};
use crate::private::{self, PRIVATE};
use crate::state::State;
use crate::target::history::{self, History, HistoryOptions};
use crate::target::index::{self, Index};

/// The repository's list of ignored files, as it was.
const EXCLUDE: &str = "exclude";
/// The version of the note.
const VERSION: u32 = 1;
/// A longer note, or list of ignored files, is none.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// What a home of the framework has at least one of.
const SIGNS: [&str; 4] = ["memory", "scripts/record-failure.sh", "scripts/record-heuristic.sh", "experiments"];

/// A page that no home has, for asking whether git would ignore a record's file.
const PAGE: &str = "memory/failures/2000/01/01/a-record.md";

/// What a home was like before it was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// When it was adopted.
    pub at: Timestamp,
    /// The copy of its database; relative to the home. `None` if it had none.
    pub backup: Option<String>,
    /// The journal mode of its database.
    pub journal_mode: Option<String>,
    /// Whether it had a git repository.
    pub had_repository: bool,
}

/// What a home is like, and so what adopting it would do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The home.
    pub home: PathBuf,
    /// What was noted when it was adopted; `None` if it has not been, or not to the end.
    pub adopted: Option<Note>,
    /// Whether it is a home of ours already, adopted or not.
    pub is_home: bool,
    /// Its repository; `None` if it has none.
    pub repository: Option<Repository>,
    /// Its database; `None` if it has none.
    pub database: Option<Inspection>,
    /// Files without rows, and rows without files.
    pub orphans: Orphans,
    /// What lies in the places of the scripts.
    pub scripts: Vec<Script>,
    /// Its other scripts that record something: we have no drop-in for them.
    pub uncovered: Vec<String>,
}

/// A repository that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// The branch that records go to.
    pub branch: String,
    /// Whether we made it.
    pub is_ours: bool,
    /// Where its HEAD is, for a person.
    pub head: String,
    /// Whether it tracks the database, which then shows as changed.
    pub tracks_database: bool,
    /// Whether its own rules keep records' files out of git, which our branch has.
    pub ignores_records: bool,
}

/// What is asked for beside the adoption itself.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Put our scripts into the places of the framework's, for the program at this path.
    pub scripts: Option<PathBuf>,
    /// Mend orphans.
    pub mend: bool,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Adopted {
    /// The copy of the database; relative to the home.
    pub backup: Option<String>,
    /// What was made.
    pub made: Made,
    /// How many scripts were put in their places.
    pub scripts: u64,
    /// What was mended, where that was asked for.
    pub mended: Option<Mended>,
}

/// Why a home cannot be adopted or released.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing of the framework's.
    #[error("{} is not a home of the framework: it has neither memory/ nor its scripts", .0.display())]
    NotTheirs(PathBuf),
    /// It was not adopted.
    #[error("{} has not been adopted", .0.display())]
    NotAdopted(PathBuf),
    /// A newer version of the program adopted it.
    #[error("{} was adopted by a newer version of this program", .0.display())]
    Newer(PathBuf),
    /// The database is damaged.
    #[error("its database is damaged: {}", .0.first().map_or("", String::as_str))]
    Damaged(Vec<String>),
    /// Our tables cannot be added to the database.
    #[error("tables cannot be added to its database: {0}")]
    Conflict(String),
    /// The stores disagree, and it cannot be released like this.
    #[error("{count} things of it disagree, or wait for a person; the first: {first}")]
    Unsettled {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] fs::Error),
    /// The database could not be read or written.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The repository cannot be used.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The journal could not be made.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The home could not be made.
    #[error(transparent)]
    Init(#[from] init::Error),
    /// What is pending could not be committed.
    #[error(transparent)]
    Recover(#[from] crate::recover::Error),
    /// The stores could not be compared.
    #[error(transparent)]
    Verify(#[from] crate::verify::Error),
}

/// Looks at the home at `path`. Changes nothing.
///
/// # Errors
/// [`Error::NotTheirs`], and whatever keeps it from being looked at.
pub fn plan(path: &Path, history: &HistoryOptions) -> Result<Plan, Error> {
    let home = home::open_folder(path)?;
    let is_home = home::is_home(home.path());
    let has = |sign: &&str| home.find(sign).map(|found| found.is_some());
    if !is_home && !SIGNS.iter().map(has).collect::<Result<Vec<_>, _>>()?.contains(&true) {
        return Err(Error::NotTheirs(home.path().to_owned()));
    }
    let database = match home.find(INDEX)? {
        None => None,
        Some(_) => Some(database::inspect(&home.path().join(INDEX))?),
    };
    let (database, copy) = database.unzip();
    Ok(Plan {
        adopted: note(&home)?.filter(|_| is_home),
        is_home,
        repository: repository(home.path(), history)?,
        orphans: match &database {
            Some(database) if !database.is_usable() => Orphans::default(),
            _ => orphans::find(&home, copy.as_ref().map(Index::connection))?,
        },
        database,
        scripts: scripts::find(&home)?,
        uncovered: scripts::uncovered(&home)?,
        home: home.path().to_owned(),
    })
}

fn repository(home: &Path, options: &HistoryOptions) -> Result<Option<Repository>, Error> {
    let history = match History::open(home, options.clone()) {
        Err(history::Error::Missing { .. }) => return Ok(None),
        history => history?,
    };
    let (head, tracks_database) = match history.is_owned() {
        true => (String::new(), false),
        false => history.theirs(INDEX)?,
    };
    let ignores_records = !history.is_owned() && history.ignores(PAGE)?;
    let branch = history.branch().trim_start_matches("refs/heads/").to_owned();
    Ok(Some(Repository { branch, is_ours: history.is_owned(), head, tracks_database, ignores_records }))
}

/// What was noted of the home; `None` if it was never begun to be adopted.
fn note(home: &Dir) -> Result<Option<Note>, Error> {
    let text = match home::private_of(home)?.map(|private| private.folder(ADOPTED)) {
        None => None,
        Some(Err(error)) if error.is_not_found() => None,
        Some(adopted) => adopted?.content(ADOPTION, NOTE_BYTES_MAX)?,
    };
    match text.map(|text| serde_json::from_slice::<Note>(&text)) {
        None => Ok(None),
        Some(Ok(note)) if note.version > VERSION => Err(Error::Newer(home.path().to_owned())),
        Some(Ok(note)) => Ok(Some(note)),
        Some(Err(error)) => {
            let what = format!("{ADOPTED}/{ADOPTION} in the private folder: {error}");
            Err(home::Error::Broken { path: home.path().to_owned(), what }.into())
        }
    }
}

/// Adopts the home at `path`, or does what is left of that, and what is wished beside. `config` is the text of a new
/// configuration file.
///
/// # Errors
/// Every [`Error`]; what was done until then stays done, and adopting again goes on from there.
pub fn adopt(path: &Path, wishes: &Wishes, options: HistoryOptions, config: &str) -> Result<Adopted, Error> {
    let plan = plan(path, &options)?;
    refuse_what_cannot_be(&plan)?;
    let home = home::open_folder(path)?;
    private::settle(&home, || !history::tracks(home.path(), PRIVATE))?;
    let private = home::make_private(&home)?;
    let (temporary, adopted) = (private.make_folder("tmp")?, private.make_folder(ADOPTED)?);
    init::take_back(&private)?;
    // A home that is one already may have a worker; nothing that is done to it gets in its way.
    let lock = match home::identity(&home, &private)? {
        Some(_) => None,
        None => Some(init::lock(&private, "an adoption")?),
    };
    let mut backup = None;
    if lock.is_some() {
        let note = match note(&home)? {
            Some(note) => note,
            None => prepare(&home, &plan, &adopted, &temporary, &options)?,
        };
        backup = note.backup;
        crash::at(Point::AdoptBeforeDatabase).map_err(fs::Error::io("adopt", home.path()))?;
        if plan.database.is_some() {
            database::set_journal_mode(&home.path().join(INDEX), "wal")?;
        }
    }
    let made = init(home.path(), options, config)?;
    if lock.is_some() && plan.database.as_ref().is_some_and(|database| !database.has_records) {
        // Neither the database nor a journal has known a record before: nothing has to be looked for.
        let journal = Journal::new(private.folder("journal")?).ensure_id(&private, &temporary)?;
        State::of_new(journal).create(&private, &temporary)?;
    }
    let scripts = match &wishes.scripts {
        Some(binary) => scripts::install(&home, &adopted, &temporary, binary)?,
        None => 0,
    };
    let mended = match wishes.mend {
        true => Some(orphans::mend(&home, &home.path().join(INDEX), &plan.orphans)?),
        false => None,
    };
    let _ = home.sync_file_system()?;
    Ok(Adopted { backup, made, scripts, mended })
}

/// The drop-in scripts of an adopted home that something has replaced, other than those that its owner has seen.
///
/// # Errors
/// [`Error::Fs`] if it cannot be told.
pub fn replaced_scripts(home: &Home) -> Result<Vec<Replaced>, Error> {
    match home.private().folder(ADOPTED) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        adopted => Ok(scripts::replaced(home.dir(), &adopted?)?),
    }
}

/// Notes that the owner has seen which drop-in scripts were replaced. Returns how many.
///
/// # Errors
/// [`Error::Fs`], [`Error::Home`]; nothing is noted then.
pub fn dismiss_replaced_scripts(home: &Home) -> Result<usize, Error> {
    match home.private().folder(ADOPTED) {
        Err(error) if error.is_not_found() => Ok(0),
        adopted => Ok(scripts::dismiss(home.dir(), &adopted?, &home.private_folder("tmp")?)?),
    }
}

fn refuse_what_cannot_be(plan: &Plan) -> Result<(), Error> {
    match &plan.database {
        Some(Inspection { damage, .. }) if !damage.is_empty() => Err(Error::Damaged(damage.clone())),
        Some(Inspection { conflict: Some(conflict), .. }) => Err(Error::Conflict(conflict.clone())),
        _ => Ok(()),
    }
}

/// Copies the database and notes what the home is like. Nothing of it has changed before this returns.
fn prepare(home: &Dir, plan: &Plan, adopted: &Dir, temporary: &Dir, options: &HistoryOptions) -> Result<Note, Error> {
    let step = |point| crash::at(point).map_err(fs::Error::io("adopt", home.path()));
    step(Point::AdoptBeforeBackup)?;
    let at = Timestamp::now();
    let backup = match &plan.database {
        Some(_) => Some(back_up(home, adopted, temporary, at)?),
        None => None,
    };
    if plan.repository.as_ref().is_some_and(|repository| !repository.is_ours)
        && let Some(excluded) = History::open(home.path(), options.clone())?.excluded()?
    {
        adopted.replace(EXCLUDE, &excluded, temporary, Durability::Full)?;
    }
    step(Point::AdoptBeforeNote)?;
    let note = Note {
        version: VERSION,
        at,
        backup,
        journal_mode: plan.database.as_ref().map(|database| database.journal_mode.clone()),
        had_repository: plan.repository.is_some(),
    };
    let text = serde_json::to_vec_pretty(&note).expect("it is made of strings");
    adopted.replace(ADOPTION, &text, temporary, Durability::Full)?;
    let _ = home::make_private(home)?.sync()?;
    let _ = home.sync()?;
    Ok(note)
}

/// Copies the database into the folder of the adoption, by way of `temporary`. Returns where the copy is.
fn back_up(home: &Dir, adopted: &Dir, temporary: &Dir, at: Timestamp) -> Result<String, Error> {
    let draft = format!("backup-{}.db", crate::random::id().simple());
    database::back_up(&home.path().join(INDEX), &temporary.path().join(&draft))?;
    let _ = temporary.sync_file_system()?;
    let name = temporary.set_aside(&draft, adopted, &format!("index-{}.db", at.strftime("%Y%m%dT%H%M%SZ")))?;
    let _ = adopted.sync()?;
    Ok(format!("{}/{name}", private::shown(home, adopted)))
}
