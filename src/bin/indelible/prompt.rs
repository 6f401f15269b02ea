//! Asking somebody at a terminal for what a command lacks.

use std::io::IsTerminal as _;

use dialoguer::Input;
use dialoguer::console::Term;
use indelible::model::FieldSpec;

/// Whether somebody is there to be asked: not behind a pipe, and not where JSON is wanted, which nobody reads.
pub fn is_possible(as_json: bool) -> bool {
    !as_json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on stderr for the field `spec`, until the answer is one that a record can have.
///
/// # Errors
/// If the terminal was closed instead.
pub fn ask(spec: &FieldSpec) -> Result<String, dialoguer::Error> {
    let mut name = spec.name.to_owned();
    name[..1].make_ascii_uppercase();
    let check = |text: &String| spec.check(text).map_err(|invalid| invalid.problem);
    let prompt = format!("{name} ({})", spec.about);
    Input::new().with_prompt(prompt).validate_with(check).interact_text_on(&Term::stderr())
}
