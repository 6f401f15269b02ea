//! Adoption: a home of the Emergent Learning Framework becomes a home of this program, and the framework still works on it.
//!
//! 1. No existing file, page or row changes. Scripts are replaced only on request, and the old ones are kept.
//! 2. In the repository, only our reference, our branch and lines in `info/exclude` change ([`crate::target::history`]).
//! 3. Before anything changes, the database is copied to `adopted` in the private folder, and the copy is checked and synced.
//! 4. A note of what the home was is written before the home changes, so that [`release`] can undo the adoption.
//! 5. [`plan`] changes nothing.
//!
//! Every step can be repeated. A record whose row an adopted table refuses is parked ([`crate::pipeline`]); the plan warns of
//! it.
//!
//! | killed | on disk | repaired by |
//! | --- | --- | --- |
//! | before the note | the private folder, perhaps a copy of the database | adopting again, which makes another copy |
//! | between the note and the identity | the note; the database in WAL mode, perhaps with our tables | adopting again |
//! | after the identity | a home; some of the scripts and orphans are done | adopting again |

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
pub use scripts::{Occupant, Replaced, Script};

use crate::fs::{self, Dir, Durability, Point, crash};
use crate::home::{self, Home};
use crate::init::{self, Made, init};
use crate::journal::{self, Journal};
use crate::model::layout::{
    ADOPTED, ADOPTED_EXCLUDE, ADOPTION, DATABASE, EXPERIMENTS, INDEX, INDEX_COPY, JOURNAL, MEMORY, PRIVATE, TEMPORARY,
};
use crate::private;
use crate::state::State;
use crate::target::history::{self, History, HistoryOptions};
use crate::target::index::{self, Index};

/// The version of the note.
const VERSION: u32 = 1;
/// A note, or a list of ignored files, is never longer.
const NOTE_BYTES_MAX: u64 = 1 << 20;
/// A home of the framework has at least one of these.
const SIGNS: [&str; 4] = [MEMORY, "scripts/record-failure.sh", "scripts/record-heuristic.sh", EXPERIMENTS];

/// A path for asking whether git would ignore a record's file. No home has it.
const PAGE: &str = "memory/failures/2000/01/01/a-record.md";

/// The note of what a home was before its adoption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// When it was adopted.
    pub at: Timestamp,
    /// The copy of its database, relative to the home. `None` if it had no database.
    pub backup: Option<String>,
    /// The journal mode of its database.
    pub journal_mode: Option<String>,
    /// Whether it had a git repository.
    pub had_repository: bool,
}

/// What a home has, and so what adopting it would do.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The home.
    pub home: PathBuf,
    /// The note of its adoption; `None` if it is not adopted, or not completely.
    pub adopted: Option<Note>,
    /// Whether it is a home of this program already, adopted or not.
    pub is_home: bool,
    /// Its repository, if it has one.
    pub repository: Option<Repository>,
    /// Its database, if it has one.
    pub database: Option<Inspection>,
    /// Files without rows, and rows without files.
    pub orphans: Orphans,
    /// The scripts, each with what lies in its place.
    pub scripts: Vec<Script>,
    /// Other scripts that record something. There is no drop-in for them.
    pub uncovered: Vec<String>,
}

/// The repository of a home.
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
    /// Whether its own rules ignore records' files. Our branch has them anyway.
    pub ignores_records: bool,
}

/// Options of an adoption.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Replace the framework's scripts with ours, for the program at this path.
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
    /// What was mended, if that was requested.
    pub mended: Option<Mended>,
}

/// Why a home cannot be adopted or released.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing in the folder is the framework's.
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
    /// The stores disagree, so the home cannot be released.
    #[error("{count} things in it disagree or need attention; the first: {first}")]
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

/// Inspects the home at `path`. Changes nothing.
///
/// # Errors
/// [`Error::NotTheirs`], and every error of reading it.
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

/// The note of an adoption, if one was begun.
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

/// Adopts the home at `path`, or completes its adoption, with the options `wishes`. `config` is the text of a new configuration
/// file.
///
/// # Errors
/// Every [`Error`]. What was done stays, and adopting again continues from there.
pub fn adopt(path: &Path, wishes: &Wishes, options: HistoryOptions, config: &str) -> Result<Adopted, Error> {
    let plan = plan(path, &options)?;
    refuse_what_cannot_be(&plan)?;
    let home = home::open_folder(path)?;
    private::settle(&home, || !history::tracks(home.path(), PRIVATE))?;
    let private = home::make_private(&home)?;
    let (temporary, adopted) = (private.make_folder(TEMPORARY)?, private.make_folder(ADOPTED)?);
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
        let journal = Journal::new(private.folder(JOURNAL)?).ensure_id(&private, &temporary)?;
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

/// The drop-in scripts of an adopted home that were replaced or removed, except for those that its owner has dismissed.
///
/// # Errors
/// [`Error::Fs`] if a file cannot be read.
pub fn replaced_scripts(home: &Home) -> Result<Vec<Replaced>, Error> {
    match home.private().folder(ADOPTED) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        adopted => Ok(scripts::replaced(home.dir(), &adopted?)?),
    }
}

/// Dismisses the replaced drop-in scripts, since the owner has seen them. Returns how many.
///
/// # Errors
/// [`Error::Fs`], [`Error::Home`]; nothing is noted then.
pub fn dismiss_replaced_scripts(home: &Home) -> Result<usize, Error> {
    match home.private().folder(ADOPTED) {
        Err(error) if error.is_not_found() => Ok(0),
        adopted => Ok(scripts::dismiss(home.dir(), &adopted?, &home.private_folder(TEMPORARY)?)?),
    }
}

fn refuse_what_cannot_be(plan: &Plan) -> Result<(), Error> {
    match &plan.database {
        Some(Inspection { damage, .. }) if !damage.is_empty() => Err(Error::Damaged(damage.clone())),
        Some(Inspection { conflict: Some(conflict), .. }) => Err(Error::Conflict(conflict.clone())),
        _ => Ok(()),
    }
}

/// Copies the database and writes the note. Nothing else of the home has changed when this returns.
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
        adopted.replace(ADOPTED_EXCLUDE, &excluded, temporary, Durability::Full)?;
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
    let name =
        temporary.set_aside(&draft, adopted, &format!("{INDEX_COPY}{}{DATABASE}", at.strftime("%Y%m%dT%H%M%SZ")))?;
    let _ = adopted.sync()?;
    Ok(format!("{}/{name}", private::shown(home, adopted)))
}
