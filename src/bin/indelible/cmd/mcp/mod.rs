//! `mcp`: a server of the Model Context Protocol on stdin and stdout, for agents that ask.
//!
//! | file | knows |
//! | --- | --- |
//! | `protocol` | messages, revisions, errors; pure |
//! | `lifetime` | lines of input, and when to end |
//! | `server` | methods: what each revision has, and their answers |
//! | `tools`, `resources`, `prompts` | what is offered |
//! | `quoting` | recorded text as data |
//! | `limit` | how much an agent may record |
//! | `install` | the hosts' settings |
//!
//! 1. Nothing but JSON-RPC is written to stdout: one message a line.
//! 2. Each call opens the home, and closes it before the answer is written. Between calls no file of it is open.
//! 3. A panic within a call is that call's error.
//! 4. What a client says is data: it starts no program, names no file, and is repeated in quotes alone.
//!
//! | killed | on disk |
//! | --- | --- |
//! | within `record`, before its sync | as with the command `record`: nothing, or the record; the client got no answer |
//! | after its sync | the record; a client that asks again with the same key gets the same record |
//! | within any other call | nothing was written |

mod install;
mod lifetime;
mod limit;
mod prompts;
mod protocol;
mod quoting;
mod resources;
mod server;
mod tools;

use indelible::fs::os::Stream;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::mcp_args::McpCommand;
use crate::output;
use crate::settings::{McpSettings, seconds};
use lifetime::Input;
use server::Server;

pub fn run(context: &Context, what: Option<McpCommand>) -> Result<Exit, Failure> {
    match what {
        None => Ok(serve(context)),
        Some(what) => install::run(context, what),
    }
}

/// Serves one client until it is gone.
fn serve(context: &Context) -> Exit {
    let mut input = Input::new(|| seconds(settings(context).idle_s));
    let mut server = Server::new(context);
    while let Some(line) = input.next_line() {
        server.serve(line, &mut |id| input.cancels(id), &mut write);
        if output::lost().is_some() {
            break;
        }
    }
    server.close(&mut write);
    Exit::Done
}

fn write(message: &serde_json::Value) {
    output::write(Stream::Output, &output::json_line(message));
}

/// The settings of the home, if it can be read now. The server starts without one: its tools say what is missing.
fn settings(context: &Context) -> McpSettings {
    let context = context.for_another_call();
    let settings = context.open("").and_then(|home| context.settings(&home));
    settings.map(|settings| settings.mcp).unwrap_or_default()
}
