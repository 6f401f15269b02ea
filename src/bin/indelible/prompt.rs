//! Prompts: asks a person at a terminal for missing fields.

use std::io::IsTerminal as _;

use dialoguer::Input;
use dialoguer::console::Term;
use indelible::model::FieldSpec;

/// Whether a person can be asked: there is a terminal, and the output is not JSON.
pub fn is_possible(as_json: bool) -> bool {
    !as_json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on stderr for the field `spec`, until the answer is valid.
///
/// # Errors
/// If the terminal was closed.
pub fn ask(spec: &FieldSpec) -> Result<String, dialoguer::Error> {
    let mut name = spec.name.to_owned();
    name[..1].make_ascii_uppercase();
    let check = |text: &String| spec.check(text).map_err(|invalid| invalid.problem);
    let prompt = format!("{name} ({})", spec.about);
    Input::new().with_prompt(prompt).validate_with(check).interact_text_on(&Term::stderr())
}
