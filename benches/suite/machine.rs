//! What the numbers were taken on.

use std::process::Command;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub date: String,
    pub commit: String,
    /// How many processes ran or waited to, on average over the last minute.
    pub load: String,
    cpu: String,
    cores: usize,
    memory: String,
    kernel: String,
    file_system: String,
    tools: String,
}

pub fn here() -> Machine {
    let root = env!("CARGO_MANIFEST_DIR");
    let changed = !said("git", &["-C", root, "status", "--porcelain", "--", "src", "benches", "Cargo.lock"]).is_empty();
    let commit = said("git", &["-C", root, "rev-parse", "--short", "HEAD"]);
    let memory_kb: f64 =
        field("/proc/meminfo", "MemTotal").split_whitespace().next().unwrap_or("0").parse().unwrap_or(0.0);
    Machine {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        commit: if changed { format!("{commit} with changes") } else { commit },
        load: std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().into(),
        cpu: field("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: format!("{:.0} GB", memory_kb / 1e6),
        kernel: said("uname", &["-sr"]),
        file_system: said("df", &["--output=fstype", root]).lines().last().unwrap_or_default().to_owned(),
        tools: format!(
            "{}, {}, sqlite3 {}",
            said("rustc", &["--version"]),
            said("git", &["--version"]),
            said("sqlite3", &["--version"]).split(' ').next().unwrap_or_default()
        ),
    }
}

impl Machine {
    pub fn markdown(&self) -> String {
        format!("{}, commit {}. {}.\n", self.date, self.commit, self.name())
    }

    /// What it is: times can be compared where this is the same.
    pub fn name(&self) -> String {
        let Machine { date: _, commit: _, load: _, cpu, cores, memory, kernel, file_system, tools } = self;
        format!("{cpu}, {cores} cores, {memory}; {kernel}; {file_system}; {tools}")
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| "none".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn field(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    line.map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
}
