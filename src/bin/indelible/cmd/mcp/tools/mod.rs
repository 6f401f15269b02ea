//! The tools: what they are called, what they take, and what came of a call.
//!
//! A wrong or missing value, an id that is not known and a home that cannot be used are results with `isError`, in words
//! that a model can act on. Only a tool that does not exist is an error of the protocol.

mod arguments;
mod context;
mod get;
mod judge;
mod record;
mod search;

use indelible::home::Home;
use serde_json::{Value, json};

use super::protocol::Object;
use super::server::members;
use crate::cmd::Context;
use crate::exit::Failure;
use arguments::Arguments;
pub use context::told;
pub use get::record as record_text;

/// A tool.
struct Tool {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// The JSON schema of each parameter, by name.
    parameters: fn() -> Value,
    required: &'static [&'static str],
    /// Whether it changes nothing.
    is_read_only: bool,
    call: fn(&mut Session, &Arguments<'_>) -> Result<String, Refusal>,
}

/// Every tool, in the order of the list.
const TOOLS: [Tool; 5] = [search::TOOL, get::TOOL, context::TOOL, record::TOOL, judge::TOOL];

/// What lasts from call to call: nothing of the home.
pub struct Session {
    context: Context,
    /// What the client calls itself.
    pub client: Option<String>,
    /// How many records were asked for.
    recorded: u32,
}

impl Session {
    pub fn new(context: &Context) -> Session {
        Session { context: context.for_another_call(), client: None, recorded: 0 }
    }

    /// The home of this call, looked up and opened again: it may have been made, moved or trusted meanwhile.
    pub fn open(&self) -> Result<(Context, Home), Refusal> {
        let context = self.context.for_another_call();
        let home = context.open("the memory cannot be used")?;
        Ok((context, home))
    }
}

/// Why a call did not do what it was asked: for a model to read.
#[derive(Debug, PartialEq)]
pub struct Refusal(pub String);

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let parts = [failure.what].into_iter().chain(failure.causes).chain(failure.hint);
        Refusal(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
    }
}

/// Whether `text` is an id, or can be the end of one. A path is not one: a client names no file.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The tools as `tools/list` shows them.
pub fn list() -> Vec<Value> {
    TOOLS.iter().map(shown).collect()
}

fn shown(tool: &Tool) -> Value {
    json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": {
            "type": "object",
            "properties": (tool.parameters)(),
            "required": tool.required,
            "additionalProperties": false,
        },
        "annotations": {
            "title": tool.title,
            "readOnlyHint": tool.is_read_only,
            "destructiveHint": false,
            "openWorldHint": false,
        },
    })
}

/// Calls the tool `name`; `None` if there is no such tool.
pub fn call(session: &mut Session, name: &str, arguments: &Object) -> Option<Object> {
    let tool = TOOLS.iter().find(|tool| tool.name == name)?;
    let known = members((tool.parameters)());
    let called = Arguments::new(arguments, &known).and_then(|arguments| (tool.call)(session, &arguments));
    let (text, is_error) = match called {
        Ok(text) => (text, false),
        Err(Refusal(text)) => (text, true),
    };
    Some(members(json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text costs at most, in tokens: a generous weight for each character.
    fn tokens(text: &str) -> f64 {
        text.chars()
            .map(|c| {
                if c.is_ascii_lowercase() {
                    0.31
                } else if c == ' ' {
                    0.2
                } else {
                    1.0
                }
            })
            .sum()
    }

    #[test]
    fn descriptions_fit_into_a_prompt() {
        let of_parameters = |tool: &Tool| -> Vec<String> {
            let described = |it: &Value| it["description"].as_str().unwrap_or_default().to_owned();
            members((tool.parameters)()).values().map(described).collect()
        };
        let texts = TOOLS.iter().flat_map(|tool| [vec![tool.description.to_owned()], of_parameters(tool)].concat());
        let all: f64 = texts.map(|text| tokens(&text)).sum();
        assert!(all < 1000.0, "{all} tokens");
        let instructions = super::super::server::INSTRUCTIONS;
        assert!(instructions.chars().count() <= 600, "{} characters", instructions.chars().count());
    }

    #[test]
    fn a_tool_has_the_parameters_that_it_requires_and_a_name_that_hosts_take() {
        for tool in &TOOLS {
            let parameters = members((tool.parameters)());
            assert!(tool.required.iter().all(|name| parameters.contains_key(*name)), "{}", tool.name);
            assert!(tool.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", tool.name);
        }
    }
}
