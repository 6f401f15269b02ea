//! A worker that ends with the test that started it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Cmd, PATIENCE, TestHome, wait_for};

/// A running worker, whose log is read line by line.
pub struct Worker {
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    said: Vec<String>,
}

impl Worker {
    /// Starts a worker with `settings` and waits until it serves.
    pub fn start(home: &TestHome, settings: &[&str]) -> Worker {
        let mut worker = Worker::launch(home, settings, &[]);
        worker.wait_for_line("worker started");
        worker.wait_for_state(home, &["idle", "committing"]);
        worker
    }

    /// Starts a worker that commits soon.
    pub fn quick(home: &TestHome) -> Worker {
        Worker::start(home, &["worker.age_ms=50"])
    }

    /// Starts a worker, and waits for nothing.
    pub fn launch(home: &TestHome, settings: &[&str], environment: &[(&str, &str)]) -> Worker {
        let mut command = home.cmd(Worker::args(settings));
        for (name, value) in environment {
            command = command.env(name, value);
        }
        Worker::of(command)
    }

    /// Starts a worker with `wrapper` before its own arguments, and waits for nothing.
    pub fn launch_under(home: &TestHome, wrapper: &[&str], settings: &[&str]) -> Worker {
        Worker::of(home.under(wrapper, &Worker::args(settings)))
    }

    /// Starts a worker of the program at `program`, and waits for nothing.
    pub fn launch_program(home: &TestHome, program: &Path, settings: &[&str]) -> Worker {
        let command = Cmd::new(program, home.user()).args(["--home"]).args([home.path()]);
        Worker::of(command.args(Worker::args(settings)))
    }

    fn args<'s>(settings: &[&'s str]) -> Vec<&'s str> {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        ["worker", "--log", "stderr"].into_iter().chain(settings).collect()
    }

    fn of(command: Cmd) -> Worker {
        let mut command = command.into_command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker starts");
        let stderr = BufReader::new(child.stderr.take().expect("it was asked for"));
        let (send, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Worker { child, lines, said: Vec::new() }
    }

    /// Waits until it says a line with `text` in it.
    #[track_caller]
    pub fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the worker never said {text:?}; it said:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    /// Waits until it has published one of `states` itself.
    fn wait_for_state(&mut self, home: &TestHome, states: &[&str]) {
        wait_for(&format!("the worker to be in one of the states {states:?}"), || {
            let text = std::fs::read_to_string(home.join(".indelible/status.json")).ok()?;
            let published: serde_json::Value = serde_json::from_str(&text).ok()?;
            let mine = published["process"] == self.child.id();
            (mine && states.contains(&published["state"].as_str()?)).then_some(())
        });
    }

    /// Waits until nothing is pending.
    pub fn wait_until_committed(&self, home: &TestHome) {
        wait_for("the worker to commit everything", || {
            let status = home.status();
            (status["pending"]["records"] == 0).then_some(())
        });
    }

    /// Waits until every record of the journal is in git, or the worker has ended; `why` says what it has to get over.
    #[track_caller]
    pub fn wait_until_all_committed(&mut self, home: &TestHome, why: &str) {
        let start = Instant::now();
        loop {
            let status = home.cmd(["status", "--json"]).run();
            if status.code() == Some(0) && status.json()["pending"]["records"] == 0 {
                return;
            }
            assert!(self.is_running(), "{why}\nthe worker ended: {}", self.said());
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("{why}\nthe worker did not get over it: {status}\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(process, signal).expect("the worker was not waited for yet");
    }

    /// Asks it to stop by `signal` and waits for its end.
    pub fn stop(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Ends it at once, wherever it is.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let status = self.wait();
        assert_eq!(status.signal(), Some(9), "it was ended by something else: {status}");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the worker to end", || child.try_wait().expect("it is our child"))
    }

    /// Everything it has said until its end.
    pub fn said(&mut self) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        self.said.join("\n")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
