//! One process from its start to its end: time, memory, bytes written, system calls.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::Lab;

/// The unit that memory is told in.
pub const MIB: f64 = 1024.0 * 1024.0;

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// From before its start to after its end, in milliseconds.
    pub wall_ms: f64,
    /// Peak memory in bytes.
    pub memory: f64,
    /// Bytes that it made the disk owe, in pages of 4 kB as the system counts them.
    pub written: f64,
    /// Bytes that it passed to writing calls.
    pub passed: f64,
    /// Its exit code.
    pub exit: i32,
    /// CPU time, in milliseconds: what a busy machine lengthens least.
    pub cpu_ms: f64,
}

/// Runs `command` and says what it took. Its stdin is kept, its output goes nowhere.
pub fn measure(lab: &Lab, command: &Command, stdin: Option<&Path>) -> Usage {
    let report = lab.program("measured");
    let mut measured =
        wrapped(&[lab.program("measure").to_str().expect("a plain path"), &report.display().to_string()], command);
    give(&mut measured, stdin);
    measured.stdout(Stdio::null()).stderr(Stdio::null());
    let status = measured.status().expect("it was compiled");
    assert!(status.success(), "{command:?} could not be measured: {status}");
    let text = std::fs::read_to_string(&report).expect("it was just written");
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [wall, memory, written, passed, exit, cpu] = numbers[..] else { panic!("not a measurement: {text:?}") };
    Usage { wall_ms: wall / 1e6, memory: memory * 1024.0, written, passed, exit: exit as i32, cpu_ms: cpu / 1e6 }
}

/// As [`measure`], for what has to succeed.
pub fn measured(lab: &Lab, command: &Command, stdin: Option<&Path>) -> Usage {
    let usage = measure(lab, command, stdin);
    assert_eq!(usage.exit, 0, "{command:?} failed");
    usage
}

fn give(command: &mut Command, stdin: Option<&Path>) {
    match stdin {
        Some(path) => command.stdin(std::fs::File::open(path).expect("input was written before")),
        None => command.stdin(Stdio::null()),
    };
}

/// `command` as arguments of `wrapper`.
pub fn wrapped(wrapper: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    outer
}

/// How often a process makes each system call, the most frequent first; `None` without strace.
pub fn system_calls(lab: &Lab, command: &Command, stdin: Option<&Path>) -> Option<Vec<(String, u64)>> {
    let counts = lab.program("calls");
    let mut traced = wrapped(&["strace", "-f", "-c", "-U", "calls,name", "-o", &counts.display().to_string()], command);
    give(&mut traced, stdin);
    traced.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    let text = std::fs::read_to_string(&counts).ok()?;
    let mut calls: Vec<(String, u64)> = text.lines().filter_map(call).collect();
    calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    (!calls.is_empty()).then_some(calls)
}

fn call(line: &str) -> Option<(String, u64)> {
    let (count, name) = line.trim().split_once(char::is_whitespace)?;
    let name = name.trim();
    (name != "total").then_some((name.to_owned(), count.parse().ok()?))
}

/// How many of `calls` make something durable.
pub fn syncs(calls: &[(String, u64)]) -> u64 {
    let all = ["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"];
    calls.iter().filter(|(name, _)| all.contains(&name.as_str())).map(|(_, count)| count).sum()
}

/// How many instructions a process executes; `None` without valgrind.
pub fn instructions(command: &Command) -> Option<u64> {
    let mut traced = wrapped(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], command);
    let output = traced.stdin(Stdio::null()).stdout(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "))?;
    collected.1.trim().parse().ok()
}

/// A number that the kernel tells of a running process under /proc, such as `VmHWM` or `voluntary_ctxt_switches`, in the
/// unit that it tells it in.
pub fn told(status: &Path, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How often the first thread of a running process went to sleep, and so was woken, and how often all of them did.
pub fn wakeups(process: u32) -> (f64, f64) {
    let of = |thread: &Path| told(&thread.join("status"), "voluntary_ctxt_switches").unwrap_or_default();
    let folder = format!("/proc/{process}/task");
    let threads = std::fs::read_dir(&folder).expect("it runs");
    (of(&Path::new(&folder).join(process.to_string())), threads.flatten().map(|thread| of(&thread.path())).sum())
}

/// CPU time of a running process and of its children that have ended.
pub fn cpu(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    // utime, stime, cutime and cstime; the kernel counts them in hundredths of a second for every program.
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
