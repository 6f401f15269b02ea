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

/// What a person answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Yes,
    /// Do not.
    No,
    /// Go back to the editor.
    Again,
}

/// Asks `question` on stderr. If there is something to be done, the editor can be chosen instead of it. A closed terminal is a no.
pub fn decide(question: &str, can_be_done: bool) -> Answer {
    let choices = if can_be_done { "[Y/n/e to edit it again]" } else { "[Y/n]" };
    let mut input = Input::<String>::new().with_prompt(format!("{question} {choices}")).allow_empty(true);
    input = input.validate_with(|text: &String| match text.trim().to_lowercase().as_str() {
        "" | "y" | "yes" | "n" | "no" | "e" | "edit" => Ok(()),
        _ => Err("y, n or e"),
    });
    match input.interact_text_on(&Term::stderr()).map(|text| text.trim().to_lowercase()).as_deref() {
        Ok("" | "y" | "yes") => Answer::Yes,
        Ok("e" | "edit") => Answer::Again,
        _ => Answer::No,
    }
}
