//! Asking somebody at a terminal for what a command lacks.

use std::io::IsTerminal as _;

use dialoguer::Input;
use dialoguer::console::Term;
use indelible::record;

/// Whether somebody is there to be asked: not behind a pipe, and not where JSON is wanted, which nobody reads.
pub fn is_possible(as_json: bool) -> bool {
    !as_json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on stderr for the field `field`, until the answer is one that a record can have.
///
/// # Errors
/// If the terminal was closed instead.
pub fn ask(field: &'static str) -> Result<String, dialoguer::Error> {
    let what = match field {
        "title" => "Title, one line that names it",
        "domain" => "Domain, what it is about",
        "rule" => "Rule, in one line",
        "name" => "Name, one line",
        "hypothesis" => "Hypothesis, what is believed",
        other => other,
    };
    let check = |text: &String| record::check(field, text).map_err(|invalid| invalid.problem);
    Input::new().with_prompt(what).validate_with(check).interact_text_on(&Term::stderr())
}
