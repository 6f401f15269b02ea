//! One run of a program, and what came of it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

const SIGABRT: i32 = 6;

/// A command about to be run, with nothing of the caller's environment but `PATH`.
pub struct Cmd {
    command: Command,
    stdin: Option<Vec<u8>>,
    shown: String,
}

impl Cmd {
    /// The program `program` for a user whose home folder is `user`.
    pub fn new(program: impl AsRef<OsStr>, user: &Path) -> Cmd {
        // A program that is looked for on a `PATH` which was set here is started by a fork, which copies the tables of all that
        // the tests have in memory. By its path it is not.
        let path = indelible::fs::os::program(Path::new(program.as_ref()));
        let mut command = Command::new(path.as_deref().map_or(program.as_ref(), Path::as_os_str));
        command.env_clear().env("HOME", user).current_dir(user);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Cmd { command, stdin: None, shown: program.as_ref().to_string_lossy().into_owned() }
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        for arg in args {
            self.shown.push_str(&format!(" {:?}", arg.as_ref()));
            self.command.arg(arg);
        }
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Cmd {
        self.shown = format!("{name}={:?} {}", value.as_ref(), self.shown);
        self.command.env(name, value);
        self
    }

    pub fn folder(mut self, folder: &Path) -> Cmd {
        self.command.current_dir(folder);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Cmd {
        self.stdin = Some(bytes.into());
        self
    }

    /// Starts it, with all of its output to be read.
    pub fn spawn(mut self) -> Running {
        let input = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        let feeder = self.stdin.take().map(|bytes| {
            let mut input = child.stdin.take().expect("it was asked for");
            // A program that refuses its input early closes it: that is its own affair.
            std::thread::spawn(move || drop(input.write_all(&bytes)))
        });
        Running { child: Some(child), feeder, shown: self.shown }
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Runs it to its end, which has to be a success.
    pub fn ok(self) -> Outcome {
        self.run().exits(0)
    }

    /// The command itself, for a caller who wants to arrange its input and output.
    pub fn into_command(self) -> Command {
        self.command
    }
}

/// A command that runs, and ends with the test that started it.
pub struct Running {
    /// There until it is waited for.
    child: Option<Child>,
    feeder: Option<std::thread::JoinHandle<()>>,
    shown: String,
}

impl Running {
    pub fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it was not waited for yet")
    }

    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(self.child()), signal).expect("it was not waited for yet");
    }

    /// Waits until it has stopped itself, or has ended. Returns whether it has stopped.
    pub fn stops(&mut self) -> bool {
        let process = WaitId::Pid(Pid::from_child(self.child()));
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(process, either).expect("it is our child").expect("it is waited for").stopped()
    }

    pub fn wait(mut self) -> Outcome {
        let child = self.child.take().expect("it was not waited for yet");
        let output = child.wait_with_output().expect("it was started");
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("feeding a program does not panic");
        }
        let text = |bytes| String::from_utf8(bytes).expect("what it says is UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Outcome { status: output.status, stdout, stderr, shown: std::mem::take(&mut self.shown) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What came of a command.
#[must_use = "whether it succeeded has to be looked at"]
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Outcome {
    /// What came of a command that the caller ran.
    pub fn of(status: ExitStatus, stdout: String, stderr: String) -> Outcome {
        Outcome { status, stdout, stderr, shown: "a command".into() }
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Demands the exit code `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Outcome {
        assert_eq!(self.code(), Some(code), "expected exit {code}: {self}");
        self
    }

    /// Demands that it aborted itself, as it does at a crash point.
    #[track_caller]
    pub fn aborted(self) -> Outcome {
        let how = "it should have died at its crash point, by SIGABRT; it never got there";
        assert_eq!(self.status.signal(), Some(SIGABRT), "{how}: {self}");
        self
    }

    /// Its only line of output, which has to be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON was expected: {self}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// Its output as a receipt.
    #[track_caller]
    pub fn receipt(&self) -> Receipt {
        Receipt::of(&self.json())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { status, stdout, stderr, shown } = self;
        write!(f, "{shown}\n{status}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// What a recorder said it keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    pub id: String,
    pub kind: String,
    pub path: String,
    pub row_id: Option<i64>,
    pub duplicate: bool,
}

impl Receipt {
    /// The receipt in `json`, which has exactly the fields that are promised.
    #[track_caller]
    pub fn of(json: &Value) -> Receipt {
        let names: Vec<_> = json.as_object().expect("a receipt is an object").keys().map(String::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        // Only of a known key with other content.
        sorted.retain(|name| *name != "differs" || json["duplicate"] == false);
        let promised = ["created_at", "duplicate", "id", "kind", "path", "row_id"];
        assert_eq!(sorted, promised, "a receipt has other fields than are promised: {json}");
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {json}")).to_owned();
        let row_id = json["row_id"].as_i64();
        assert!(row_id.is_some() || json["row_id"].is_null(), "row_id is a number or null: {json}");
        let duplicate = json["duplicate"].as_bool().expect("duplicate is true or false");
        Receipt { id: text("id"), kind: text("kind"), path: text("path"), row_id, duplicate }
    }

    /// The record's own page.
    pub fn page(&self) -> String {
        if self.kind == "experiment" { format!("{}/hypothesis.md", self.path) } else { self.path.clone() }
    }
}
