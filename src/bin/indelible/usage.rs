//! Usage errors and help, as text or as JSON.

use indelible::fs::os::Stream;
use indelible::model::text::visible;

use crate::exit::{Exit, Failure};
use crate::output;

/// Writes what clap found: a usage error, or help and version.
pub fn say(error: &clap::Error, as_json: bool) -> Exit {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let text = error.render();
    match error.kind() {
        DisplayHelp | DisplayVersion => {
            let colours = output::has_colours(Stream::Output);
            output::write(Stream::Output, &if colours { text.ansi().to_string() } else { text.to_string() });
            return Exit::Done;
        }
        _ if !as_json => output::write(Stream::Errors, &visible(&text.to_string())),
        DisplayHelpOnMissingArgumentOrSubcommand => {
            output::failure(&Failure::new(Exit::Usage, "a command is missing").hint("see `indelible --help`"), true);
        }
        _ => output::failure(&parts(&text.to_string()), true),
    }
    Exit::Usage
}

/// The parts of clap's message.
fn parts(text: &str) -> Failure {
    let text = visible(text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("bad usage");
    let mut failure = Failure::new(Exit::Usage, what.strip_prefix("error: ").unwrap_or(what));
    let mut hints = Vec::new();
    for line in lines.filter(|line| !line.starts_with("For more information")) {
        match line.strip_prefix("tip: ") {
            Some(tip) => hints.push(tip),
            None if line.starts_with("Usage: ") => hints.push(line),
            None => failure.causes.push(line.to_owned()),
        }
    }
    failure.hint = (!hints.is_empty()).then(|| hints.join("; "));
    failure
}
