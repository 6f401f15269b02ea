//! The official clients, and the protocol's published schemas. They are fetched into a temporary folder, and what needs them
//! is skipped where they cannot be had.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, STATELESS};
use crate::support::{Cmd, TestHome, has, skipped};

/// The versions that this was tested with.
const OF_PYPI: [&str; 2] = ["mcp==2.3.0", "jsonschema==4.26.0"];
const OF_NPM: &str = "@modelcontextprotocol/sdk@1.32.2";
/// A folder with the schemas, `2025-11-25/schema.json` and `2026-07-28/schema.json`, for a machine that cannot fetch them.
const SCHEMAS: &str = "INDELIBLE_MCP_SCHEMAS";
const REPOSITORY: &str = "https://raw.githubusercontent.com/modelcontextprotocol/modelcontextprotocol/main/schema";

/// Python with the packages from PyPI; `None` if they cannot be had.
static PYTHON: LazyLock<Option<(TempDir, PathBuf)>> = LazyLock::new(|| {
    has("python3", "the client of PyPI is not used").then_some(())?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |program: &Path, args: &[&str]| quietly(Command::new(program).args(args).current_dir(folder.path()));
    let python = folder.path().join("v/bin/python");
    let pip = [["-m", "pip", "install", "--quiet"].as_slice(), &OF_PYPI].concat();
    if run(Path::new("python3"), &["-m", "venv", "v"]) && run(&python, &pip) {
        return Some((folder, python));
    }
    skipped(format!("the client of PyPI: {} cannot be installed here", OF_PYPI.join(" ")));
    None
});

/// Runs `command` without input and output; whether it succeeded.
fn quietly(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn the_client_of_pypi_lists_calls_and_reads() {
    let Some((_, python)) = &*PYTHON else { return };
    let home = TestHome::new();
    let script = home.user().join("client.py");
    std::fs::write(&script, include_str!("client.py")).expect("it can be written");
    let program = env!("CARGO_BIN_EXE_indelible");
    let said = Cmd::new(python, home.user()).args([&script]).args([program]).args([home.path()]).ok();
    let wanted = "legacy: 2025-11-25\nauto: 2026-07-28\n2026-07-28: 2026-07-28\n";
    assert_eq!(said.stdout, wanted, "{said}");
}

#[test]
fn the_client_of_npm_lists_calls_and_reads() {
    if !has("node", "the client of npm is not used") || !has("npm", "the client of npm is not used") {
        return;
    }
    let home = TestHome::new();
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--cache", "cache", "--prefix", "."];
    if !quietly(Command::new("npm").args(install).arg(OF_NPM).current_dir(home.user())) {
        return skipped(format!("the client of npm: {OF_NPM} cannot be installed here"));
    }
    let script = home.user().join("client.mjs");
    std::fs::write(&script, include_str!("client.mjs")).expect("it can be written");
    let program = env!("CARGO_BIN_EXE_indelible");
    let said = Cmd::new("node", home.user()).args([&script]).args([program]).args([home.path()]).ok();
    assert!(said.stdout.starts_with("agreed: "), "{said}");
}

/// The schema of `version`: from the folder that the variable names, or fetched; `None` if there is neither.
fn schema(version: &str, folder: &Path) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(SCHEMAS) {
        return Some(PathBuf::from(given).join(version).join("schema.json"));
    }
    let path = folder.join(format!("{version}.json"));
    let url = format!("{REPOSITORY}/{version}/schema.json");
    let fetched = quietly(Command::new("curl").args(["-fsSL", "-m", "20", "-o"]).arg(&path).arg(&url));
    if !fetched {
        skipped(format!("the schema of {version}: it cannot be fetched here, and {SCHEMAS} names no folder"));
    }
    fetched.then_some(path)
}

/// What a client of `version` asks, and the name of the answer in its schema.
fn questions(client: &mut Client, version: &str) -> Vec<(&'static str, Value)> {
    let is_stateless = version == STATELESS;
    let mut answers = Vec::new();
    let first = match is_stateless {
        true => ("DiscoverResult", client.ask_stateless("server/discover", json!({}))),
        false => {
            let client_info = json!({ "name": "a", "version": "1" });
            let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client_info });
            ("InitializeResult", client.ask("initialize", params))
        }
    };
    answers.push(first);
    let record = json!({ "kind": "success", "title": "t", "domain": "d" });
    for (name, method, params) in [
        ("ListToolsResult", "tools/list", json!({})),
        ("ListResourcesResult", "resources/list", json!({})),
        ("ListResourceTemplatesResult", "resources/templates/list", json!({})),
        ("ListPromptsResult", "prompts/list", json!({})),
        ("CallToolResult", "tools/call", json!({ "name": "search", "arguments": { "query": "broke" } })),
        ("CallToolResult", "tools/call", json!({ "name": "record", "arguments": record })),
        ("CallToolResult", "tools/call", json!({ "name": "get", "arguments": { "ids": ["00000000"] } })),
        ("ReadResourceResult", "resources/read", json!({ "uri": "indelible://golden" })),
        ("GetPromptResult", "prompts/get", json!({ "name": "learn" })),
        ("", "tools/call", json!({ "name": "no" })),
        ("", "resources/read", json!({ "uri": "indelible://record/0" })),
        ("", "no/such", json!({})),
    ] {
        answers
            .push((name, if is_stateless { client.ask_stateless(method, params) } else { client.ask(method, params) }));
    }
    client.send("{");
    answers.push(("", client.next()));
    if is_stateless {
        let wrong =
            json!({ "io.modelcontextprotocol/protocolVersion": "1", "io.modelcontextprotocol/clientCapabilities": {} });
        answers.push(("UnsupportedProtocolVersionError", client.ask("tools/list", json!({ "_meta": wrong }))));
        let listen = json!({ "_meta": super::meta(), "notifications": {} });
        client.send(
            json!({ "jsonrpc": "2.0", "id": "s", "method": "subscriptions/listen", "params": listen }).to_string(),
        );
        answers.push(("SubscriptionsAcknowledgedNotification", client.next()));
    }
    answers
}

#[test]
fn every_line_fits_the_published_schemas() {
    let Some((folder, python)) = &*PYTHON else { return };
    for version in ["2025-11-25", STATELESS] {
        let Some(schema) = schema(version, folder.path()) else { return };
        let home = TestHome::new();
        let _ = home.record("failure", "the build broke");
        let mut client = Client::new(&home);
        let answers = questions(&mut client, version);
        let mut lines = String::new();
        for (name, answer) in &answers {
            let is_error = answer.get("error").is_some();
            let message = if is_error { "JSONRPCErrorResponse" } else { "JSONRPCMessage" };
            lines.push_str(&format!("{message}\t{answer}\n"));
            match *name {
                "" => assert!(is_error, "{answer}"),
                name if is_error || answer.get("result").is_none() => lines.push_str(&format!("{name}\t{answer}\n")),
                name => lines.push_str(&format!("{name}\t{}\n", answer["result"])),
            }
        }
        let script = home.user().join("schemas.py");
        std::fs::write(&script, include_str!("schemas.py")).expect("it can be written");
        let said = Cmd::new(python, home.user()).args([&script, &schema]).stdin(lines.clone()).ok();
        assert_eq!(said.stdout.trim(), lines.lines().count().to_string(), "{said}");
    }
}
