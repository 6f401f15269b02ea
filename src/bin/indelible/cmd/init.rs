//! `init`: makes a home, or adds what is missing to one.

use std::path::PathBuf;

use indelible::init::init;
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings::{self, Settings, TEMPLATE};

pub fn run(context: &Context, dir: Option<PathBuf>) -> Result<Exit, Failure> {
    let path = match dir.or_else(|| context.home.clone()) {
        Some(path) => path,
        None => match std::env::var_os("INDELIBLE_HOME").filter(|path| !path.is_empty()) {
            Some(path) => path.into(),
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
            "reference": made.reference,
            "guest": made.guest,
            "index_damaged": made.index_damaged,
        }));
        return Ok(Exit::Done);
    }
    let shown = path.display();
    match made.added.as_slice() {
        [] => output::line(&format!("{shown} is a home already; nothing was missing")),
        added => output::line(&format!("{shown} is a home now (added: {})", added.join(", "))),
    }
    if made.guest {
        let branch = made.branch.trim_start_matches("refs/heads/");
        output::line(&format!(
            "it is a git repository of yours: records go to {}, the branch {branch} shows them, and nothing else is touched",
            made.reference
        ));
        if branch != "indelible" && made.branch != made.reference {
            output::line("(the name indelible, or one beneath it, is taken)");
        }
        if let Some(advice) = &made.advice {
            output::line(advice);
        }
    }
    if made.index_damaged {
        output::warn("its index is damaged: run `indelible repair`");
    }
    Ok(Exit::Done)
}
