//! What an agent waits for: hooks that have nothing to say, hooks that recall a failure, the start of a session, and the
//! server that it asks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::index::until_current;
use super::reading::sizes;
use super::record::{HOOKS, UNKNOWN, hook_bursts, hook_table};
use crate::corpus::{tool_event, word};
use crate::homes;
use crate::lab::{Lab, indelible, output};
use crate::process::{MIB, Usage, measured, told};
use crate::report::Report;
use crate::samples::{Contender, Samples, grouped, interleave, number};

/// The largest home that hooks run in.
const RECORDS_MAX: usize = 100_000;
/// How many sessions had the known failure before.
const SESSIONS: usize = 3;
const COMMAND: &str = "cargo test --locked";

/// Where hooks run.
struct Place<'l> {
    lab: &'l Lab,
    home: PathBuf,
    /// The project's folder.
    folder: PathBuf,
    /// What hosts send, each in a file of its own.
    events: PathBuf,
}

pub fn run(lab: &Lab, report: &mut Report) {
    let all = sizes(lab);
    let records = all.iter().copied().filter(|it| *it <= RECORDS_MAX).max().unwrap_or(all[0]);
    // A host hands them over through a pipe: they are on no disk.
    let events = lab.memory("agents-events").unwrap_or_else(|| lab.scratch("agents-events"));
    std::fs::create_dir_all(&events).expect("a folder beneath target can be made");
    let place = Place { lab, home: homes::of_text(lab, records), folder: homes::checkout(lab), events };
    place.teach();
    report.text(format!(
        "In the home of {} records that the topic of reading has. A known failure is one that {SESSIONS} other sessions had in the \
         same project; its agent is told. No worker runs meanwhile.",
        grouped(records as i64)
    ));
    hooks(&place, report);
    at_once(&place, report);
    session_start(&place, report);
    server(&place, report);
    place.tidy();
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Works,
    FailsAsKnown,
    FailsAsNew,
}

impl Place<'_> {
    /// The hook as `hooks install` installs it.
    fn hook(&self) -> Command {
        indelible(&self.home, &["hook", "--host", "claude", "--context", "start,failure"])
    }

    /// Writes what a host sends, and returns where.
    fn event(&self, name: &str, event: &Value) -> PathBuf {
        let path = self.events.join(name);
        std::fs::write(&path, event.to_string()).expect("it can be written");
        path
    }

    /// A call in the session of this name.
    fn call(&self, call: Call, session: &str) -> PathBuf {
        let at = crc32c::crc32c(session.as_bytes()) as usize;
        let module = if call == Call::FailsAsKnown { "cart".into() } else { word(UNKNOWN + at) };
        let error = format!(
            "Exit code 101\n   Compiling shop v0.3.1\nrunning 12 tests\ntest {module}::adds ... FAILED\n\n---- \
             {module}::adds stdout ----\nthread '{module}::adds' panicked at src/{module}.rs:12:5:\nassertion failed: \
             {module}.is_empty()\n\nfailures:\n    {module}::adds\n\ntest result: FAILED. 11 passed; 1 failed"
        );
        let name = if call == Call::Works { "PostToolUse" } else { "PostToolUseFailure" };
        let folder = self.folder.display().to_string();
        self.event(
            &format!("{session}.json"),
            &tool_event(name, session, &folder, &format!("{session}-1"), COMMAND, &error),
        )
    }

    /// Makes the known failure known, and sees that an agent is told of it, and of the others is not.
    fn teach(&self) {
        let run = format!("{}-{}", std::process::id(), jiff::Timestamp::now().as_millisecond());
        for number in 0..SESSIONS {
            let path = self.call(Call::FailsAsKnown, &format!("{run}{number}-before"));
            measured(self.lab, &self.hook(), Some(&path));
        }
        self.tidy();
        for (call, is_told) in [(Call::Works, false), (Call::FailsAsNew, false), (Call::FailsAsKnown, true)] {
            let said = self.said(&self.call(call, &format!("{run}-trial-{call:?}")));
            assert_eq!(said.contains("indelible: "), is_told, "{call:?}: {said}");
        }
    }

    /// The answer to an event.
    fn said(&self, event: &Path) -> String {
        let mut hook = self.hook();
        output(hook.stdin(std::fs::File::open(event).expect("it was just written")))
    }

    /// Nothing waits, and what is known of failures is up to date.
    fn tidy(&self) {
        until_current(&self.home);
    }
}

fn hooks(place: &Place<'_>, report: &mut Report) {
    report.heading("Hooks, one at a time");
    let calls = [
        ("a call that worked", Call::Works),
        ("a failure, not known", Call::FailsAsNew),
        ("a known failure, told", Call::FailsAsKnown),
    ];
    let mut usages: Vec<Vec<Usage>> = calls.iter().map(|_| Vec::new()).collect();
    let mut contenders: Vec<_> = calls
        .iter()
        .zip(&mut usages)
        .map(|((name, call), usages)| {
            Contender::new(*name, 1, move |round| {
                let path = place.call(*call, &format!("one-{}-{round}-{call:?}", std::process::id()));
                let usage = measured(place.lab, &place.hook(), Some(&path));
                usages.push(usage);
                usage.wall_ms
            })
        })
        .collect();
    let turns = interleave(place.lab.scale.rounds, 2, &mut contenders);
    drop(contenders);
    let more = turns.difference(2, 1);
    let rows = (0..calls.len()).map(|at| {
        let times = turns.of(at);
        let median = |of: fn(&Usage) -> f64| number(Samples::new(usages[at].iter().map(of).collect()).median());
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| format!("{} ms", number(times.at(percent))));
        let [cpu, memory] = [median(|usage| usage.cpu_ms), median(|usage| usage.memory / MIB)];
        vec![calls[at].0.into(), p50, p95, p99, format!("{cpu} ms"), format!("{memory} MiB")]
    });
    report.table(&["a hook", "p50", "p95", "p99", "CPU", "peak memory"], rows.collect());
    let pairs = usages[2].iter().zip(&usages[1]);
    let more_cpu = Samples::new(pairs.map(|(known, new)| known.cpu_ms - new.cpu_ms).collect());
    report.text(format!(
        "A known failure takes {} ms more than one that is not known, and {} ms more of CPU time.",
        more.spread().show(),
        more_cpu.spread().show()
    ));
    report.figure("hook, known failure: ms more", more.spread());
}

fn at_once(place: &Place<'_>, report: &mut Report) {
    report.heading(format!("Hooks, {HOOKS} at once"));
    let mut rows = Vec::new();
    for (name, call) in [("a failure, not known", Call::FailsAsNew), ("a known failure, told", Call::FailsAsKnown)] {
        let write = |round: usize, number: usize| {
            place.call(call, &format!("burst-{}-{round}-{number}-{call:?}", std::process::id()))
        };
        rows.push(hook_bursts(place.lab, report, name, &|| place.hook(), &write));
    }
    hook_table(place.lab, report, rows);
}

fn session_start(place: &Place<'_>, report: &mut Report) {
    report.heading("A session starts");
    place.tidy();
    let event = |number: &str| {
        let session = format!("start-{}-{number}", std::process::id());
        let event = json!({
            "session_id": session,
            "cwd": place.folder,
            "hook_event_name": "SessionStart",
            "source": "startup",
        });
        place.event(&format!("{session}.json"), &event)
    };
    let said = place.said(&event("trial"));
    assert!(said.contains("<indelible-memory>"), "a session that starts is told nothing: {said}");
    let mut context = indelible(&place.home, &["context", "--json"]);
    let context: Value = serde_json::from_str(&output(context.current_dir(&place.folder))).expect("a context is JSON");
    let mut usages = Vec::new();
    let mut contenders = [Contender::new("a session starts", 1, |round| {
        let usage = measured(place.lab, &place.hook(), Some(&event(&round.to_string())));
        usages.push(usage);
        usage.wall_ms
    })];
    let turns = interleave((place.lab.scale.rounds / 4).max(4), 1, &mut contenders);
    drop(contenders);
    let times = turns.of(0);
    let median = |of: fn(&Usage) -> f64| number(Samples::new(usages.iter().map(of).collect()).median());
    let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| format!("{} ms", number(times.at(percent))));
    let [tokens, entries] = [context["tokens"].as_u64(), context["entries"].as_array().map(|it| it.len() as u64)];
    let rows = vec![vec![
        format!("{} records in {} tokens", entries.unwrap_or(0), tokens.unwrap_or(0)),
        p50,
        p95,
        p99,
        format!("{} ms", median(|usage| usage.cpu_ms)),
        format!("{} MiB", median(|usage| usage.memory / MIB)),
    ]];
    report.table(&["a session is told", "p50", "p95", "p99", "CPU", "peak memory"], rows);
    report.figure("session start p50, ms", times.spread());
}

/// A server, as a host starts one.
struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(home: &Path) -> Server {
        let mut command = indelible(home, &["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the server starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Server { child, input, output }
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.input.write_all(format!("{request}\n").as_bytes()).expect("the server reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the server answers");
        let answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
        assert!(answer["result"].is_object(), "{method}: {answer}");
        answer
    }

    /// Peak memory in MiB.
    fn memory(&self) -> f64 {
        told(Path::new(&format!("/proc/{}/status", self.child.id())), "VmHWM").unwrap_or(0.0) * 1024.0 / MIB
    }

    fn end(self) {
        let Server { mut child, input, .. } = self;
        drop(input);
        let status = child.wait().expect("it is our child");
        assert!(status.success(), "the server ended with {status}");
    }
}

fn server(place: &Place<'_>, report: &mut Report) {
    report.heading("The server of MCP");
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "a-client", "version": "1" },
    });
    let words = [6, 400, 9_000].map(word).join(" ");
    let search = json!({ "name": "search", "arguments": { "query": words, "project": "all" } });
    let (mut first, mut call, mut memory, mut memory_after) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..(place.lab.scale.rounds / 4).max(4) {
        let start = Instant::now();
        let mut server = Server::start(&place.home);
        server.ask("initialize", &hello);
        first.push(start.elapsed().as_secs_f64() * 1e3);
        memory.push(server.memory());
        let start = Instant::now();
        let answer = server.ask("tools/call", &search);
        call.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        memory_after.push(server.memory());
        server.end();
    }
    let [first, call, memory, memory_after] = [first, call, memory, memory_after].map(Samples::new);
    let row = |name: &str, times: &Samples, memory: &Samples| {
        let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| format!("{} ms", number(times.at(percent))));
        vec![name.into(), p50, p95, p99, format!("{} MiB", memory.spread().show())]
    };
    let rows = vec![
        row("its start, and the first answer (`initialize`)", &first, &memory),
        row("`search` for three words, then", &call, &memory_after),
    ];
    report.table(&["", "p50", "p95", "p99", "peak memory by then"], rows);
    report.figure("mcp, first answer p50, ms", first.spread());
    report.figure("mcp, memory", memory.spread());
    report.figure("mcp, memory after a search", memory_after.spread());
}
