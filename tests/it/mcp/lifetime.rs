//! When a server ends, and what it holds until then.

use std::io::BufRead as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use serde_json::json;

use super::Client;
use crate::support::{Cmd, TestHome, has_strace, wait_for};

#[test]
fn it_ends_with_its_input_and_answers_what_came_before() {
    let home = TestHome::new();
    let said = super::said_after(&home, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(said, "{\"id\":1,\"jsonrpc\":\"2.0\",\"result\":{}}\n", "without a line feed at its end");
    assert_eq!(super::said_after(&home, ""), "");
}

#[test]
fn it_ends_when_nothing_comes() {
    let home = TestHome::new();
    let mut client = Client::of(home.cmd(["mcp", "--set", "mcp.idle_s=1"]));
    assert_eq!(client.ask("ping", json!({}))["result"], json!({}));
    assert!(client.child.wait().expect("it is our child").success());
}

#[test]
fn it_ends_when_its_parent_is_gone_though_its_input_stays_open() {
    let home = TestHome::new();
    let fifo = home.user().join("input");
    // The shell that starts the server is killed; `sleep` keeps the input open for as long as the test needs.
    let script = "mkfifo \"$1\"; sleep 600 > \"$1\" & echo $!; \"$2\" --home \"$3\" mcp < \"$1\" & echo $!; wait";
    let program = env!("CARGO_BIN_EXE_indelible");
    let mut command = Cmd::new("sh", home.user())
        .args(["-c", script, "sh"])
        .args([&fifo])
        .args([program])
        .args([home.path()])
        .into_command();
    let mut shell = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a shell starts");
    let mut lines = std::io::BufReader::new(shell.stdout.take().expect("it was asked for")).lines();
    let mut process = || -> Pid {
        let line = lines.next().expect("it says so").expect("it is text");
        Pid::from_raw(line.trim().parse().expect("a number")).expect("not zero")
    };
    let (keeper, server) = (process(), process());
    wait_for("the server starts", || {
        let name = std::fs::read(format!("/proc/{}/cmdline", server.as_raw_nonzero())).ok()?;
        name.ends_with(b"mcp\0").then_some(())
    });
    // It is past its start, where it learns who its parent is.
    wait_for("it waits for input", || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", server.as_raw_nonzero())).ok()?;
        state.contains(") S ").then_some(())
    });
    shell.kill().expect("it runs");
    let _ = shell.wait();
    wait_for("the server ends", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.as_raw_nonzero())).unwrap_or_default();
        (test_kill_process(server).is_err() || stat.contains(") Z ")).then_some(())
    });
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).expect("it runs still: the input was open");
}

#[test]
fn it_ends_when_its_output_is_closed() {
    let home = TestHome::new();
    let mut command = home.cmd(["mcp"]).into_command();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("it was asked for");
    use std::io::Write as _;
    input.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n").expect("it reads");
    assert!(child.wait().expect("it is our child").success(), "its reader has seen enough");
}

#[test]
fn between_calls_no_file_of_the_home_is_open() {
    let home = TestHome::new();
    let _ = home.record("failure", "the build broke");
    home.flush();
    let mut client = Client::new(&home);
    let _ = client.ok("search", json!({ "query": "build" }));
    let _ = client.ok("record", json!({ "kind": "success", "title": "t", "domain": "d" }));
    let _ = client.ask_stateless("resources/read", json!({ "uri": "indelible://golden" }));
    let folder = format!("/proc/{}/fd", client.child.id());
    let open = std::fs::read_dir(folder).expect("it runs").filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    let of_home: Vec<_> = open.filter(|path| path.starts_with(home.path())).collect();
    assert!(of_home.is_empty(), "{of_home:?}");
    // Nothing is locked either.
    let index = home.index();
    index.busy_timeout(Duration::ZERO).expect("SQLite takes a timeout");
    index.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").expect("no one has it");
}

/// A host waits for the first answer, and a search is to be found sooner than the rules of all time zones.
#[test]
fn nothing_is_read_before_the_first_answer_and_no_time_zone_but_the_local_one() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let _ = home.record("failure", "the build broke");
    home.flush();
    let trace = home.user().join("trace");
    let name = trace.to_str().expect("UTF-8");
    let strace = ["strace", "-f", "-o", name, "-e", "trace=open,openat,openat2,write"];
    let ask = |id: u32, method: &str, params: serde_json::Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string() + "\n"
    };
    let hello =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } });
    let search = json!({ "name": "search", "arguments": { "query": "build", "project": "all", "since": "7d" } });
    let input = ask(1, "initialize", hello) + &ask(2, "tools/call", search);
    let said = home.under(&strace, &["mcp", "--installed"]).stdin(input).ok().stdout;
    assert!(said.contains("the build broke"), "{said}");
    let traced = std::fs::read_to_string(&trace).expect("it was written");
    let first = traced.find("write(1, ").expect("it answered");
    let of_home: Vec<&str> = traced[..first].lines().filter(|line| line.contains("config.toml")).collect();
    assert!(of_home.is_empty(), "{of_home:#?}");
    let zones: Vec<&str> =
        traced.lines().filter(|line| line.contains("zoneinfo") && line.contains("O_DIRECTORY")).collect();
    assert!(zones.is_empty(), "{zones:#?}");
}
