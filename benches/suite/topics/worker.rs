//! A worker that ends with the measurement that started it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::indelible;

pub struct Worker {
    child: Child,
    home: PathBuf,
}

impl Worker {
    /// Starts a worker with `settings`, and returns when it serves.
    pub fn start(home: &Path, settings: &[&str]) -> Worker {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["worker", "--log", "file"].into_iter().chain(settings).collect();
        let mut command = indelible(home, &args);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the worker starts");
        let mut worker = Worker { child, home: home.to_owned() };
        while !worker.serves() {
            let ended = worker.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the worker of {} ended: {ended:?}", home.display());
            std::thread::sleep(Duration::from_micros(100));
        }
        worker
    }

    fn published(&self) -> Option<serde_json::Value> {
        let text = fs::read_to_string(self.home.join(".indelible/status.json")).ok()?;
        let published: serde_json::Value = serde_json::from_str(&text).ok()?;
        (published["process"] == self.child.id()).then_some(published)
    }

    fn serves(&self) -> bool {
        self.published().is_some_and(|it| it["state"] == "idle" || it["state"] == "committing")
    }

    /// How many records it says that this home's workers have committed.
    pub fn committed(&self) -> u64 {
        self.published().and_then(|it| it["counts"]["records"].as_u64()).unwrap_or(0)
    }

    /// How many commits this home's workers have made.
    pub fn commits(&self) -> u64 {
        self.published().and_then(|it| it["counts"]["commits"].as_u64()).unwrap_or(0)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has committed everything and ended.
    pub fn stop(mut self) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(process, Signal::TERM).expect("it was not waited for yet");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "the worker of {} ended with {status}", self.home.display());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
