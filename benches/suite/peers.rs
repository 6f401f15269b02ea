//! What a recorder is set against: floors that nothing can be faster than, and what people do otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::homes::HeldOpen;
use crate::lab::{Lab, has, output};
use crate::report::Report;

/// One way to keep a record: makes the command for the record of a given number.
pub struct Peer {
    pub name: &'static str,
    /// It takes part in every so many rounds.
    pub every: usize,
    pub command: Box<dyn Fn(usize) -> Command + Sync>,
    /// What has to be held open meanwhile.
    pub index: Option<HeldOpen>,
}

impl Peer {
    fn new(name: &'static str, every: usize, command: impl Fn(usize) -> Command + Sync + 'static) -> Peer {
        Peer { name, every, command: Box::new(command), index: None }
    }
}

/// A C program that is spawned, appends 512 bytes to a journal, syncs it and exits.
pub fn bare(lab: &Lab, name: &str) -> Peer {
    let (program, journal) = (lab.program("bare"), lab.scratch(name));
    Peer::new("bare floor: append, sync", 1, move |_| {
        let mut command = Command::new(&program);
        command.arg(&journal);
        command
    })
}

/// The same, and one file and one row; `None` without SQLite's library and header.
pub fn full(lab: &Lab, name: &str, report: &mut Report) -> Option<Peer> {
    let libraries = ["-lsqlite3", "-lm", "-lpthread", "-ldl"];
    if !lab.compile("full", "full", &["-static"], &libraries) && !lab.compile("full", "full", &[], &libraries) {
        report.skip("the full floor (SQLite's library and header, libsqlite3-dev, are not installed)");
        return None;
    }
    let (program, folder) = (lab.program("full"), lab.scratch(name));
    for inner in ["tmp", "files"] {
        std::fs::create_dir_all(folder.join(inner)).expect("folders can be made");
    }
    let database = folder.join("index.db");
    let made = rusqlite::Connection::open(&database).and_then(|made| {
        made.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE r (id TEXT PRIMARY KEY, body TEXT)")
    });
    made.expect("a database can be made");
    let mut peer = Peer::new("full floor: the same, a file and a row", 1, move |_| {
        let mut command = Command::new(&program);
        command.arg(&folder);
        command
    });
    peer.index = Some(HeldOpen::database(&database, "SELECT count(*) FROM r"));
    Some(peer)
}

/// What people do otherwise, as far as it is installed and works here.
pub fn others(lab: &Lab, report: &mut Report) -> Vec<Peer> {
    type Make = fn(&Lab) -> Option<Peer>;
    let makers: [(&str, Make); 6] = [
        ("sqlite3", sqlite3),
        ("git", git),
        ("atuin", atuin),
        ("git-annex", git_annex),
        ("jj", jj),
        ("basic-memory", basic_memory),
    ];
    let mut peers = Vec::new();
    for (program, make) in makers {
        if !has(program, "--version") && !has(program, "version") {
            report.skip(format!("{program} (not installed)"));
            continue;
        }
        match make(lab).filter(|peer| works(&(peer.command)(0))) {
            Some(peer) => peers.push(peer),
            None => report.skip(format!("{program} (installed, but keeps no record here)")),
        }
    }
    peers
}

fn works(command: &Command) -> bool {
    let mut trial = crate::process::wrapped(&["env"], command);
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

fn made(command: &mut Command) -> Option<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then_some(())
}

fn shell(folder: &Path, script: String) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(folder).arg("-c").arg(script);
    command
}

fn folder(lab: &Lab, name: &str) -> PathBuf {
    let folder = lab.scratch(name);
    std::fs::create_dir_all(&folder).expect("folders can be made");
    folder
}

/// A database in WAL mode with a table for one row each.
fn sqlite3(lab: &Lab) -> Option<Peer> {
    let database = folder(lab, "peer-sqlite3").join("alone.db");
    let schema = "PRAGMA journal_mode = WAL; CREATE TABLE r (id INTEGER PRIMARY KEY, body TEXT);";
    output(Command::new("sqlite3").arg(&database).arg(schema));
    Some(Peer::new("`sqlite3`: one row", 2, move |number| {
        let mut command = Command::new("sqlite3");
        command.arg(&database).arg(format!("INSERT INTO r (body) VALUES ('record {number}')"));
        command
    }))
}

const IDENTITY: &str = "-c user.name=b -c user.email=b@localhost";

fn git(lab: &Lab) -> Option<Peer> {
    let folder = folder(lab, "peer-git");
    made(Command::new("git").args(["init", "-q"]).arg(&folder))?;
    Some(Peer::new("`git add`, `git commit` in an almost empty repository", 4, move |number| {
        let add = format!("echo record {number} > {number}.md && git add {number}.md");
        shell(&folder, format!("{add} && git {IDENTITY} commit -q --allow-empty -m 'record {number}'"))
    }))
}

fn git_annex(lab: &Lab) -> Option<Peer> {
    let folder = folder(lab, "peer-git-annex");
    made(Command::new("git").args(["init", "-q"]).arg(&folder))?;
    for (name, value) in [("user.name", "b"), ("user.email", "b@localhost")] {
        made(Command::new("git").arg("-C").arg(&folder).args(["config", name, value]))?;
    }
    made(Command::new("git").arg("-C").arg(&folder).args(["annex", "init", "-q"]))?;
    Some(Peer::new("`git annex add`, `git commit`", 20, move |number| {
        let add = format!("echo record {number} > {number}.md && git annex add -q {number}.md");
        shell(&folder, format!("{add} && git commit -q --allow-empty -m 'record {number}'"))
    }))
}

fn jj(lab: &Lab) -> Option<Peer> {
    let folder = folder(lab, "peer-jj");
    made(Command::new("jj").args(["git", "init"]).arg(&folder))?;
    Some(Peer::new("`jj commit`", 20, move |number| {
        shell(&folder, format!("echo record {number} > {number}.md && jj commit -q -m 'record {number}'"))
    }))
}

fn atuin(lab: &Lab) -> Option<Peer> {
    let folder = folder(lab, "peer-atuin");
    Some(Peer::new("`atuin history start`", 4, move |number| {
        let mut command = shell(&folder, format!("atuin history start -- 'record {number}'"));
        command.env("HOME", &folder).env("ATUIN_SESSION", "00000000000000000000000000000001");
        command
    }))
}

fn basic_memory(lab: &Lab) -> Option<Peer> {
    let folder = folder(lab, "peer-basic-memory");
    Some(Peer::new("`basic-memory tool write-note`", 100, move |number| {
        let note = format!("--title 'record {number}' --folder notes --content 'record {number}'");
        let mut command = shell(&folder, format!("basic-memory tool write-note {note}"));
        command.env("HOME", &folder);
        command
    }))
}
