//! Many hosts: what this home recorded, on a plain git remote, and back.
//!
//! ```text
//! home's branch ──projection──▶ own lane in sync.git ──push, with a lease──▶ remote: one reference of our own
//!
//! lanes of all homes ──merge──▶ trunk ──import──▶ journal ──▶ files, rows
//!         ▲                       │
//!         └─────────fold──────────┘   a lane goes once the trunk has it
//! ```
//!
//! 1. Each home writes one reference of its own on the remote, its **lane**. No other home moves it forward, so a push needs no
//!    fetch and cannot conflict. A record is on the remote once the remote's lane has it.
//! 2. All of it happens in a private repository, `sync.git` in the private folder, by the user's git program. The home's or project's
//!    own repository gets no reference, remote, object or setting. `sync.git` is a cache: if it is missing or broken, it is made
//!    again.
//! 3. A lane's commit is a **projection**: the records' pages of the home's branch that the lane lacks, decided when it is pushed, and a
//!    pure function of them (`project.rs`). Nothing else of a repository can get into it.
//! 4. Nothing that was pushed is rewritten, except without erased records (`purge`). Every push names the value that it expects
//!    (`--force-with-lease`).
//! 5. Nothing here is in the way of a record or a commit: recorders know nothing of it, and the worker does it in a thread of its own.
//!
//! | killed | is where | and then |
//! | --- | --- | --- |
//! | while `sync.git` is made | a folder among the temporary files | made again; recovery sweeps |
//! | lane objects written, the tip not moved | objects that nothing names, or half of a pack (`objects.rs`) | projected again, to the same commit |
//! | the tip moved, not pushed | `refs/indelible/lane` | the same commit is pushed |
//! | within the push, or its answer lost | perhaps the remote | the same push again: up to date |
//! | pushed, `refs/indelible/acked` not moved | the remote | as above |
//! | `acked` moved, `sync.json` not written | both repositories | the next push notes it |
//! | `git` itself, holding a lock of `sync.git` | a file `*.lock` | removed by the next holder of `sync.lock` |

mod answer;
mod auto;
mod combine;
mod compare;
mod error;
mod fetch;
pub mod fold;
pub mod git;
pub mod import;
mod keys;
pub mod merge;
pub mod message;
mod objects;
mod project;
pub mod purge;
mod push;
pub mod remote;
mod schedule;
mod secret;
mod session;
mod standing;
mod state;
pub mod store;
pub mod tree;
mod trunk;
mod update;
mod url;
mod whose;

#[cfg(test)]
mod model;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::redact::Redactor;
use crate::target::history::HistoryOptions;

pub use auto::Auto;
pub use combine::Combined;
pub use error::{Class, Error};
pub use project::Preview;
pub use push::{Asked, Pushed};
pub use session::Session;
pub use standing::{
    HeldRecord, LeftOut, Place, Standing, SyncError, Where, acknowledged, standing, to_purge, where_is,
};
pub use store::{Held, SyncState, forget};
pub use url::{whole, without_credentials};

/// The prefixes of lanes on a remote, in the order in which they are tried.
pub const LANES: [&str; 2] = ["refs/indelible/hosts/", "refs/heads/indelible-host/"];

/// Whether `text` can be the prefix of a lane: the beginning of a reference's full name, with nothing that git allows in no name.
pub fn is_prefix(text: &str) -> bool {
    git2::Reference::is_valid_name(&format!("{text}x")) && text.starts_with("refs/") && text != "refs/"
}

/// Whether `text` is the full name of a reference.
pub fn is_reference(text: &str) -> bool {
    git2::Reference::is_valid_name(text) && text.starts_with("refs/")
}

/// How a home is synced.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of the remote; empty if there is none.
    pub remote: String,
    /// The git program; `None` if there is none, or the user does not trust the home.
    pub git: Option<PathBuf>,
    /// Whether the worker syncs by itself.
    pub auto: bool,
    /// The prefixes of lanes, in the order in which they are tried.
    pub lanes: Vec<String>,
    /// How long a record may wait for its push by the worker.
    pub push_age: Duration,
    /// How often the worker looks at the remote though nothing is new.
    pub look_every: Duration,
    /// The full name of the trunk's reference; `None` if it is to fit the remote.
    pub trunk: Option<String>,
    /// Finds secrets; records with secrets are held. `None` if they are pushed all the same.
    pub secrets: Option<Arc<Redactor>>,
    /// Whether this home merges lanes into the trunk.
    pub merge: bool,
    /// Which records of other homes are imported.
    pub import: import::Options,
    /// Whether a remote that everybody can read is accepted.
    pub public: bool,
    /// Whether git signs the commits of the lane with the user's key.
    pub sign: bool,
    /// How long one call of git may take.
    pub timeout: Duration,
    /// From what age on unpushed records need a person's attention.
    pub alert: Duration,
    /// How the home's history is read.
    pub history: HistoryOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            remote: String::new(),
            git: None,
            auto: true,
            lanes: LANES.map(str::to_owned).to_vec(),
            push_age: Duration::from_secs(30),
            look_every: Duration::from_secs(300),
            trunk: None,
            secrets: None,
            merge: true,
            import: import::Options::default(),
            public: false,
            sign: false,
            timeout: Duration::from_secs(60),
            alert: Duration::from_secs(24 * 3600),
            history: HistoryOptions::default(),
        }
    }
}
