//! The server for agents on its wire: real processes, and every line that they write is looked at.

mod clients;
mod install;
mod lifetime;
mod tools;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::{Cmd, PATIENCE, TestHome};

const STATELESS: &str = "2026-07-28";
const WITH_HANDSHAKE: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// A server and its only client. Every line that the server writes has to be a message.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    last_id: u64,
}

impl Client {
    fn new(home: &TestHome) -> Client {
        Client::of(home.cmd(["mcp"]))
    }

    fn of(command: Cmd) -> Client {
        let mut command = command.into_command();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let (send, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let input = child.stdin.take();
        Client { child, input, lines, last_id: 0 }
    }

    /// Sends the bytes of one line.
    fn send(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("it is open");
        input.write_all(&[line.as_ref(), b"\n"].concat()).expect("the server reads");
    }

    /// The next message of the server.
    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the server answers");
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for message in message.as_array().unwrap_or(&vec![message.clone()]) {
            assert_eq!(message["jsonrpc"], "2.0", "{line}");
            let id = message.get("id");
            assert!(id.is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64()), "{line}");
        }
        message
    }

    /// Asks without a version, and returns the answer.
    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// Asks as revision 2026-07-28 does.
    #[track_caller]
    fn ask_stateless(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = meta();
        self.ask(method, params)
    }

    #[track_caller]
    fn shake_hands(&mut self, version: &str) -> Value {
        let client = json!({ "name": "a-test", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        let answer = self.ask("initialize", params);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer["result"].clone()
    }

    /// Calls a tool, and returns whether that was an error, and the text.
    #[track_caller]
    fn call(&mut self, name: &str, arguments: Value) -> (bool, String) {
        let answer = self.ask_stateless("tools/call", json!({ "name": name, "arguments": arguments }));
        let result = &answer["result"];
        let content = result["content"].as_array().unwrap_or_else(|| panic!("a result: {answer}"));
        assert!(content.len() == 1 && content[0]["type"] == "text", "{answer}");
        let text = content[0]["text"].as_str().expect("it is text").to_owned();
        (result["isError"].as_bool().expect("it says so"), text)
    }

    /// Calls a tool, which has to work.
    #[track_caller]
    fn ok(&mut self, name: &str, arguments: Value) -> String {
        let (is_error, text) = self.call(name, arguments);
        assert!(!is_error, "{text}");
        text
    }

    /// Calls a tool, which has to refuse.
    #[track_caller]
    fn refused(&mut self, name: &str, arguments: Value) -> String {
        let (is_error, text) = self.call(name, arguments);
        assert!(is_error, "{text}");
        text
    }

    /// Closes the server's input, and waits for its end.
    fn close(mut self) -> (ExitStatus, Vec<String>) {
        self.input = None;
        let status = self.child.wait().expect("it is our child");
        (status, self.lines.iter().collect())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "a-test", "version": "1" },
    })
}

#[test]
fn every_handshake_is_answered_in_its_own_version() {
    let home = TestHome::new();
    for (asked, wanted) in WITH_HANDSHAKE.map(|it| (it, it)).into_iter().chain([
        (STATELESS, "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
        ("", "2025-11-25"),
        ("\u{1b}[31m", "2025-11-25"),
    ]) {
        let mut client = Client::new(&home);
        let agreed = client.shake_hands(asked);
        assert_eq!(agreed["protocolVersion"], wanted, "{agreed}");
        assert_eq!(agreed["serverInfo"]["name"], "indelible");
        let instructions = agreed["instructions"].as_str().expect("there are some");
        assert!(instructions.chars().count() <= 600 && instructions.contains("do you remember"), "{instructions}");
        let tools = client.ask("tools/list", json!({}))["result"].clone();
        let names: Vec<&str> =
            tools["tools"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
        assert!(names.starts_with(&["search", "get"]) && names.contains(&"record"), "{tools}");
        assert!(tools.get("ttlMs").is_none() && tools.get("resultType").is_none(), "of another revision: {tools}");
        assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
        let missing = client.ask("resources/read", json!({ "uri": "indelible://record/00000000" }));
        assert_eq!(missing["error"]["code"], -32002, "{missing}");
        assert_eq!(client.ask("server/discover", json!({}))["error"]["code"], -32601);
        assert!(client.close().0.success());
    }
}

#[test]
fn a_stateless_request_needs_no_handshake_and_says_what_may_be_kept() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    let found = client.ask_stateless("server/discover", json!({}))["result"].clone();
    assert_eq!(found["supportedVersions"], json!([STATELESS]));
    for method in ["server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list"] {
        let result = client.ask_stateless(method, json!({}))["result"].clone();
        assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("public")), "{result}");
        assert!(result["ttlMs"].as_u64() > Some(0), "{result}");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "indelible");
    }
    let golden = client.ask_stateless("resources/read", json!({ "uri": "indelible://golden" }))["result"].clone();
    assert_eq!((&golden["ttlMs"], &golden["cacheScope"]), (&json!(0), &json!("private")), "{golden}");
    let code = |answer: Value| answer["error"]["code"].clone();
    assert_eq!(code(client.ask_stateless("ping", json!({}))), -32601);
    assert_eq!(code(client.ask_stateless("initialize", json!({ "protocolVersion": "2025-11-25" }))), -32601);
    assert_eq!(code(client.ask("tools/list", json!({}))), -32602, "neither `_meta` nor a handshake");
    let old = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2025-11-25" } });
    let refused = client.ask("tools/list", old)["error"].clone();
    let data = json!({ "supported": [STATELESS], "requested": "2025-11-25" });
    assert_eq!((&refused["code"], &refused["data"]), (&json!(-32022), &data), "{refused}");
    let bare = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": STATELESS } });
    assert_eq!(code(client.ask("tools/list", bare)), -32602);
    // Both kinds in one process.
    assert_eq!(client.shake_hands("2025-06-18")["protocolVersion"], "2025-06-18");
    assert!(client.ask("tools/list", json!({}))["result"]["tools"].is_array());
    assert_eq!(client.ask_stateless("tools/list", json!({}))["result"]["resultType"], "complete");
}

#[test]
fn what_does_not_exist_is_an_error_of_the_protocol() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    for (method, params, code) in [
        ("no/such/method", json!({}), -32601),
        ("completion/complete", json!({}), -32601),
        ("logging/setLevel", json!({ "level": "debug" }), -32601),
        ("resources/subscribe", json!({ "uri": "indelible://golden" }), -32601),
        ("tools/call", json!({}), -32602),
        ("tools/call", json!({ "name": 7 }), -32602),
        ("tools/call", json!({ "name": "delete" }), -32602),
        ("tools/call", json!({ "name": "Search" }), -32602),
        ("tools/call", json!({ "name": "search", "arguments": [] }), -32602),
        ("tools/list", json!({ "cursor": "x" }), -32602),
        ("tools/list", json!({ "cursor": "" }), -32602),
        ("resources/list", json!({ "cursor": 7 }), -32602),
        ("prompts/list", json!({ "cursor": "x" }), -32602),
        ("resources/read", json!({}), -32602),
        ("resources/read", json!({ "uri": "indelible://record/" }), -32602),
        ("resources/read", json!({ "uri": "indelible://record/../../etc/passwd" }), -32602),
        ("resources/read", json!({ "uri": "indelible://record/memory/index.db" }), -32602),
        ("resources/read", json!({ "uri": "file:///etc/passwd" }), -32602),
        ("prompts/get", json!({ "name": "x" }), -32602),
        ("prompts/get", json!({ "name": "checkin", "arguments": { "x": "y" } }), -32602),
        ("prompts/get", json!({ "name": "checkin", "arguments": { "task": 7 } }), -32602),
        ("subscriptions/listen", json!({}), -32602),
    ] {
        let answer = client.ask_stateless(method, params.clone());
        assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
        assert!(answer.get("result").is_none(), "{answer}");
    }
    let prompt = client
        .ask_stateless("prompts/get", json!({ "name": "checkin", "arguments": { "task": "a `b`\n[LEARNED] c" } }));
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().expect("a text");
    assert!(text.contains("search") && text.ends_with("task: `a 'b' [ LEARNED] c`"), "{text}");
}

#[test]
fn any_line_gets_at_most_one_answer_and_never_an_end() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    let deep = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"m","params":{}"#, "[".repeat(100_000));
    for line in [
        &b"hello"[..],
        b"{",
        b"[1,",
        b"\xff\xfe\x00",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"\xff\"}}",
        b"[]",
        b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        b"null",
        b"\"text\"",
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":\"a\"}",
        deep.as_bytes(),
    ] {
        client.send(line);
        let answer = client.next();
        assert!(answer["error"]["code"].is_i64(), "{}: {answer}", String::from_utf8_lossy(line));
    }
    // None of these is answered.
    for line in [
        &b""[..],
        b"  \r",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\"params\":7}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":77}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\"}}",
    ] {
        client.send(line);
    }
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
    assert!(client.close().0.success());
}

#[test]
fn fifty_megabytes_in_a_line_are_refused_by_their_id() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    let long = "x".repeat(50 << 20);
    for line in [
        format!(
            r#"{{"jsonrpc":"2.0","id":"long","method":"tools/call","params":{{"name":"search","arguments":{{"query":"{long}"}}}}}}"#
        ),
        format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":"{long}","id":"long"}}"#),
    ] {
        client.send(line);
        let answer = client.next();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("long"), &json!(-32600)), "{answer}");
    }
    client.send(&long);
    assert_eq!(client.next()["error"]["code"], -32600);
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
    let status = std::fs::read_to_string(format!("/proc/{}/status", client.child.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 64 << 10, "no line of 50 MB is kept: {peak} kB");
}

#[test]
fn batches_are_of_one_revision() {
    let home = TestHome::new();
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":2,"method":"no"},7]"#;
    let mut client = Client::new(&home);
    let _ = client.shake_hands("2025-03-26");
    client.send(batch);
    let answers = client.next();
    let ids: Vec<&Value> = answers.as_array().expect("a batch").iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!(2), &Value::Null], "{answers}");
    client.send(r#"[{"jsonrpc":"2.0","method":"x"}]"#);
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}), "a batch of notifications has no answer");
    let mut client = Client::new(&home);
    let _ = client.shake_hands("2025-11-25");
    client.send(batch);
    assert_eq!(client.next()["error"]["code"], -32600);
}

#[test]
fn a_request_whose_cancellation_is_there_is_not_answered() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    let ping = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"ping"}}"#);
    let cancel =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"{id}"}}}}"#);
    // In one write, so that all of it has arrived before the first is served.
    client.send([ping("a"), ping("b"), cancel("a"), cancel("c"), ping("c")].join("\n"));
    assert_eq!((client.next()["id"].clone(), client.next()["id"].clone()), (json!("b"), json!("c")));
}

#[test]
fn a_subscription_is_open_until_it_is_cancelled_or_the_server_ends() {
    let home = TestHome::new();
    let mut client = Client::new(&home);
    for id in ["one", "two"] {
        let params = json!({ "_meta": meta(), "notifications": { "toolsListChanged": true } });
        client.send(
            json!({ "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params }).to_string(),
        );
        let said = client.next();
        assert_eq!(said["method"], "notifications/subscriptions/acknowledged", "{said}");
        assert_eq!(said["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
        assert_eq!(said["params"]["notifications"], json!({}));
    }
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"one"}}"#);
    let (status, left) = client.close();
    assert!(status.success());
    let [last] = &left[..] else { panic!("one ends: {left:?}") };
    let last: Value = serde_json::from_str(last).expect("a message");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("two"), &json!("complete")));
}

/// All that a server wrote after it was given `input`, which then ends.
fn said_after(home: &TestHome, input: impl Into<Vec<u8>>) -> String {
    let mut running = home.cmd(["mcp"]).stdin(input).spawn();
    let mut said = String::new();
    let output = running.child().stdout.as_mut().expect("it was asked for");
    output.read_to_string(&mut said).expect("it is UTF-8");
    said
}

#[test]
fn noise_is_answered_by_messages_alone() {
    let home = TestHome::new();
    let mut dice = crate::support::Dice(0x5eed);
    let parts = [
        "{",
        "}",
        "[",
        "]",
        "\"jsonrpc\":\"2.0\"",
        ",",
        "\"id\":",
        "7",
        "\"method\":",
        "\"tools/call\"",
        "null",
        ":",
        "\u{0}",
        "\u{feff}",
        "\"params\":{",
        "\n",
        "\"_meta\"",
        "\\",
        "\"",
        "1e999",
        " ",
    ];
    let mut noise = Vec::new();
    for _ in 0..20_000 {
        noise.extend_from_slice(parts[dice.below(parts.len() as u64) as usize].as_bytes());
        if dice.below(50) == 0 {
            noise.push(dice.below(256) as u8);
        }
    }
    let said = said_after(&home, noise);
    assert!(!said.is_empty());
    for line in said.lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
    }
}
