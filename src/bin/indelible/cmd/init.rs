//! `init`: makes a home, or adds what is missing to one.

use std::path::{Path, PathBuf};

use indelible::fs::os;
use indelible::home;
use indelible::init::{self, Made, init};
use indelible::model::text;
use serde_json::json;

use super::{Context, trust};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{Settings, TEMPLATE};
use crate::which::{self, By};

/// Refuses if root runs with another user's `HOME`: that user could not write into the folders that root makes there.
fn not_in_the_folders_of_another(path: &Path) -> Result<(), Failure> {
    let above = path.ancestors().find(|above| above.exists()).unwrap_or(path);
    let owner = os::owner_of(above).filter(|owner| os::user() == 0 && *owner != 0);
    owner.map_or(Ok(()), |owner| Err(Failure::of(NOT_MADE, &home::Error::NotYours { path: above.into(), owner })))
}

const NOT_MADE: &str = "the home was not made";

pub fn run(context: &Context, dir: Option<PathBuf>, from: Option<&str>) -> Result<Exit, Failure> {
    let path = match dir.or_else(|| context.home.clone()) {
        Some(path) => path,
        None => {
            let (path, by) = match which::named(None)? {
                Some(named) => named,
                None => (which::data_folder()?, By::Default),
            };
            output::note(&format!("home: {} ({})", text::path(&path), by.words()));
            if by == By::Default {
                not_in_the_folders_of_another(&path)?;
            }
            path
        }
    };
    let settings = Settings::at(&path, &context.overrides)?;
    let is_new = !home::is_home(&path);
    let made = init(&path, settings.history(), TEMPLATE).map_err(|error| {
        let failure = Failure::of(NOT_MADE, &error);
        match &error {
            init::Error::History(error) if error.is_unsupported() && !home::is_home(&path) => {
                failure.hint("nothing was changed; choose a folder without that repository")
            }
            _ => failure,
        }
    })?;
    let path = indelible::fs::os::real_path(&path).unwrap_or(path);
    trust::note(&path);
    let imported = match from {
        Some(url) => Some(super::sync::import_from(context, &path, url)?),
        None if is_new => import_if_named(context, &path),
        None => None,
    };
    if context.json {
        output::json(&json!({
            "home": path.display().to_string(),
            "added": made.added,
            "branch": made.branch,
            "reference": made.reference,
            "guest": made.guest,
            "others": made.others,
            "index_damaged": made.index_damaged,
            "imported": imported,
        }));
    } else {
        say(&path, &made);
        if let Some(imported) = imported {
            output::line(&format!("{} imported", output::count(imported, "record was", "records were")));
        }
    }
    Ok(Exit::Done)
}

/// Imports into a new home from the remote that `INDELIBLE_REMOTE` names. A container without its remote records all the same: a
/// failure is a warning.
fn import_if_named(context: &Context, path: &Path) -> Option<u64> {
    super::sync::import_into_new(context, path).unwrap_or_else(|failure| {
        // Another home may have been named besides.
        let home = text::shell_path(path);
        let why = failure.causes.join(": ");
        output::warn(&format!("{}: {why} (`indelible --home {home} sync` tries again)", failure.what));
        None
    })
}

/// Says what was made, for people.
fn say(path: &Path, made: &Made) {
    let shown = text::path(path);
    match made.added.as_slice() {
        [] => output::line(&format!("{shown} is a home already; nothing was missing")),
        added => output::line(&format!("{shown} is a home now (added: {})", added.join(", "))),
    }
    if made.guest {
        let branch = made.branch.trim_start_matches("refs/heads/");
        let shows = match made.branch == made.reference {
            true => "no branch shows them".to_owned(),
            false => format!("the branch {branch} shows them"),
        };
        output::line(&format!(
            "it is a git repository of yours: records go to {}, {shows}, and nothing else is touched",
            made.reference
        ));
        if branch != "indelible" && made.branch != made.reference {
            output::line("(the name indelible, or one beneath it, is taken)");
        }
    }
    if let Some(advice) = &made.advice {
        output::line(advice);
    }
    made.others.iter().for_each(|other| output::line(other));
    if made.index_damaged {
        output::warn("its index is damaged: run `indelible repair`");
    }
}
