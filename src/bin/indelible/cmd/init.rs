//! `init`: makes a home, or adds what is missing to one.

use std::path::PathBuf;

use indelible::init::init;
use indelible::text;
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{self, Settings, TEMPLATE};

pub fn run(context: &Context, dir: Option<PathBuf>) -> Result<Exit, Failure> {
    let path = match dir.or_else(|| context.home.clone()) {
        Some(path) => path,
        None => match std::env::var_os("INDELIBLE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => settings::named_by_variable(path.into())?,
            None => settings::data_folder()?,
        },
    };
    let settings = Settings::at(&path, &context.overrides)?;
    let made =
        init(&path, settings.history(), TEMPLATE).map_err(|error| Failure::of("the home was not made", &error))?;
    let path = indelible::fs::os::real_path(&path).unwrap_or(path);
    if context.json {
        output::json(&json!({
            "home": path.display().to_string(),
            "added": made.added,
            "branch": made.branch,
            "guest": made.guest,
            "index_damaged": made.index_damaged,
        }));
        return Ok(Exit::Done);
    }
    let shown = text::path(&path);
    match made.added.as_slice() {
        [] => output::line(&format!("{shown} is a home already; nothing was missing")),
        added => output::line(&format!("{shown} is a home now (added: {})", added.join(", "))),
    }
    if made.guest {
        let branch = made.branch.trim_start_matches("refs/heads/");
        output::line(&format!(
            "it is a git repository of yours: records go to the branch {branch}, and nothing else is touched"
        ));
    }
    if made.index_damaged {
        output::warn("its index is damaged: run `indelible repair`");
    }
    Ok(Exit::Done)
}
