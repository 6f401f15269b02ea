//! indelible records what AI agents learn, and never loses an acknowledged record.
//!
//! A record is one thing that was learned: a failure, a success, an observation, a heuristic or an experiment, or a
//! verdict on a rule. A
//! [`Home`](home::Home) is the folder that keeps records: markdown files, rows in an SQLite index, and a git history.
//!
//! # Promises
//!
//! 1. When [`Recorder::record`](record::Recorder::record) returns a [`Receipt`](record::Receipt), the record is durable. It
//!    survives a crash of the process and a power cut, and ends up in file, row and commit exactly once.
//! 2. When it returns an error, nothing was recorded. The two exceptions are named in [`record::Error`].
//! 3. A recorder waits for no lock but SQLite's, and for that no longer than its policy says. It never waits for git.
//! 4. Every operation can be killed at any point and run again.
//!
//! `docs/guarantees.md` has the promises in full, and what they assume of the disk, SQLite and git.
//!
//! # Example
//!
//! Make a home, record into it, and read the record back from the journal:
//!
//! ```
//! use indelible::home::Home;
//! use indelible::init::init;
//! use indelible::journal::Records;
//! use indelible::model::{Learning, Record, Request};
//! use indelible::record::{Policy, Recorder, Redaction};
//! use indelible::redact::Redactor;
//! use indelible::target::history::HistoryOptions;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("home");
//! init(&path, HistoryOptions::default(), "")?;
//!
//! let home = Home::open(&path)?;
//! let redactor = Redactor::new::<&str, &str>([])?;
//! let mut recorder = Recorder::new(&home, Policy::new(Redaction::with(redactor)))?;
//! let failure = Learning {
//!     title: "the cache is stale after an upgrade".into(),
//!     domain: "ci".into(),
//!     ..Learning::default()
//! };
//! let receipt = recorder.record(Request::new(Record::Failure(failure)))?;
//! // From here on the record is durable, and its file is there for readers.
//! let page = receipt.path.expect("a new record has a page");
//! assert!(path.join(page).is_file());
//!
//! let mut records = Records::from_start(home.journal())?.expect("a home has a journal");
//! let intent = records.next_intent()?.expect("one record was made");
//! assert_eq!(intent.id, receipt.id);
//! assert_eq!(intent.record.headline(), "the cache is stale after an upgrade");
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! A program that embeds indelible needs [`embed`] alone: a few names with a stable meaning. The other modules are public for
//! indelible's own program and tests. From the front door down:
//!
//! | module | does |
//! | --- | --- |
//! | [`embed`] | the stable surface: make a home, record, find, judge, commit |
//! | [`record`] | the front door: redact, validate, append, sync, apply |
//! | [`hook`] | turns an event of an agent's host into redacted requests |
//! | [`redact`], [`project`] | replace secrets; name the project of a folder |
//! | [`signature`], [`known`] | say what two failures have in common; what is known of a failure |
//! | [`followed`] | says what followed a failure: which success belongs to it, and the steps |
//! | [`session`] | what an agent was told in a session, and which failures are open there |
//! | [`home`], [`init`], [`private`], [`exclusive`] | open a home; make one; its private folder; what needs the worker's lock |
//! | [`journal`] | the write-ahead log: append, read, rotate |
//! | [`target`] | what the journal is applied to: files, index, history |
//! | [`page`] | records as markdown, and back |
//! | [`pipeline`], [`worker`] | commit batches of the journal; the loop that does it |
//! | [`audit`], [`recover`], [`verify`], [`status`] | compare the targets with each other; repair them; report |
//! | [`query`] | reads a home: lists, shows and finds what was recorded |
//! | [`revise`] | the front door of what changes a record: amend, retract, restore |
//! | [`pack`] | chooses what an agent is told unasked, and words it |
//! | [`adopt`], [`framework`] | takes over a home of the Emergent Learning Framework; reads its tables |
//! | [`trust`], [`own`] | homes that the user trusts; files of the user |
//! | [`sync`] | many hosts: what this home and others recorded, on a git remote and back |
//! | [`state`], [`quarantine`] | the worker's cache; damaged files that are kept |
//! | [`fs`], [`random`] | all durable file work; ids |
//! | `objects` | git objects, written as packs |
//! | [`progress`] | progress callbacks |
//! | [`rules`] | what becomes of rules: which verdicts count, confidence, states, which are the same one |
//! | [`search`] | words to records: expansion, queries, filters, ranking |
//! | [`model`] | what a record is: kinds, fields, limits, paths, positions |
//!
//! Imports run one way; `docs/architecture.md` has the order. The program's own code (flags, settings, output) is in
//! `src/bin/indelible`, behind the feature `cli`.

pub mod adopt;
pub mod audit;
pub mod backup;
pub mod embed;
pub mod erase;
pub mod erasing;
pub mod exclusive;
pub mod followed;
pub mod framework;
pub mod fs;
pub mod home;
pub mod hook;
pub mod init;
pub mod journal;
pub mod known;
pub mod model;
mod objects;
pub mod own;
pub mod pack;
pub mod page;
pub mod pipeline;
pub mod private;
pub mod progress;
pub mod project;
pub mod quarantine;
pub mod query;
pub mod random;
pub mod record;
pub mod recover;
pub mod redact;
pub mod repeats;
pub mod revise;
pub mod rules;
pub mod search;
pub mod session;
mod shell;
pub mod signature;
pub mod state;
pub mod status;
pub mod sync;
pub mod target;
pub mod trust;
pub mod verify;
pub mod worker;
