//! Hostile homes: every file of a home is replaced by each of what another user could put there. Whatever it is, every
//! command ends soon and with a promised code, nothing outside of the home is touched, no program is run, no secret is
//! recorded, and nothing panics.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Cmd, TestHome, in_parallel, write_program};

/// No command takes nearly as long, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a file is replaced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Garbage,
    Nothing,
    Link,
    Pipe,
    Folder,
    Huge,
    Foreign,
    OtherHomes,
}

use Plant::{Folder, Foreign, Garbage, Huge, Link, Nothing, OtherHomes, Pipe};

const PLANTS: [Plant; 8] = [Garbage, Nothing, Link, Pipe, Folder, Huge, Foreign, OtherHomes];

/// A home to copy from, another one, and what lies outside of both.
struct Stage {
    user: TestHome,
    home: PathBuf,
    other: PathBuf,
    outside: PathBuf,
    secret: String,
    /// There once a program was run that a home names.
    ran: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let user = TestHome::absent();
        let root = user.user().canonicalize().expect("it is there");
        let (home, other, outside) = (root.join("home"), root.join("other"), root.join("outside"));
        let secret = format!("ghp_{}", "a1B2".repeat(9));
        let ran = root.join("ran");
        let stage = Stage { user, home, other, outside, secret, ran };
        fs::write(&stage.outside, "outside\n").expect("it can be written");
        stage.user.configure_user("[redact]\nrecords = true\n");
        for home in [&stage.home, &stage.other] {
            for args in [&["init"][..], &["record", "heuristic", "--domain", "d", "--rule", "r"], &["flush"]] {
                let _ = stage.cmd(home, args).ok();
            }
            let _ = stage.cmd(home, &["record", "experiment", "--name", "n", "--hypothesis", "h"]).ok();
            let _ = stage.cmd(home, &["record", "failure", "--title", "t", "--domain", "d"]).ok();
            let _ = stage.cmd(home, &["hook"]).stdin(stage.event("before")).ok();
            stage.name_programs(home);
        }
        stage
    }

    /// Has the home name a program wherever one can be named.
    fn name_programs(&self, home: &Path) {
        let tool = self.user.user().join("tool");
        write_program(&tool, format!("#!/bin/sh\ntouch '{}'\ncat\n", self.ran.display()).as_bytes());
        let tool = tool.display();
        let config = home.join(".git/config");
        let text = fs::read_to_string(&config).expect("it is there");
        let names = format!(
            "[core]\n\tfsmonitor = {tool}\n\tsshCommand = {tool}\n\thooksPath = {}\n\tpager = {tool}\n[gpg]\n\tprogram = {tool}\n\
             [gc]\n\trecentObjectsHook = {tool}\n[uploadpack]\n\tpackObjectsHook = {tool}\n[alias]\n\tpack-objects = !{tool}\n",
            home.join(".git/hooks").display()
        );
        fs::write(&config, text + &names).expect("it can be written");
        fs::create_dir(home.join(".git/hooks")).expect("there are none");
        for hook in ["reference-transaction", "pre-auto-gc", "post-commit", "update"] {
            fs::copy(self.user.user().join("tool"), home.join(".git/hooks").join(hook)).expect("it can be written");
        }
        let own = format!("[history]\ngit_program = \"{tool}\"\npacks_max = 2\n[worker]\nautostart = true\n");
        fs::write(home.join(".indelible/config.toml"), own).expect("it can be written");
    }

    fn cmd(&self, home: &Path, args: &[&str]) -> Cmd {
        self.user.homeless(["--home", home.to_str().expect("it is text")]).args(args)
    }

    fn event(&self, session: &str) -> String {
        let said = format!("[LEARNED:ci] Always push with {}", self.secret);
        json!({"hook_event_name": "Stop", "session_id": session, "last_assistant_message": said}).to_string()
    }

    /// Every file of the home, by its path in it.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.home.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("it is ours").flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path.strip_prefix(&self.home).expect("it is in it").display().to_string()),
                }
            }
        }
        files.sort();
        files
    }

    /// A copy of the home, in which `file` is replaced.
    fn planted(&self, number: usize, file: &str, plant: Plant) -> PathBuf {
        let home = self.user.user().canonicalize().expect("it is there").join(format!("planted{number}"));
        let _ = Cmd::new("cp", self.user.user()).args(["-a"]).args([&self.home, &home]).ok();
        let path = home.join(file);
        if plant == Foreign {
            let _ = Cmd::new("chown", self.user.user()).args(["1001"]).args([&path]).run();
            return home;
        }
        fs::remove_file(&path).expect("it is there");
        match plant {
            Garbage => fs::write(&path, b"\0garbage \xff {{{ [[[\nref: ../../../x\n".repeat(50)).expect("it is free"),
            Link => std::os::unix::fs::symlink(&self.outside, &path).expect("it is free"),
            Pipe => drop(Cmd::new("mkfifo", self.user.user()).args([&path]).ok()),
            Folder => fs::create_dir(&path).expect("it is free"),
            Huge => fs::File::create(&path).and_then(|it| it.set_len(1 << 40)).expect("a file with holes"),
            OtherHomes => drop(fs::copy(self.other.join(file), &path)),
            Nothing | Foreign => {}
        }
        home
    }

    /// Runs every command on `home`. Returns what was wrong.
    fn attempt(&self, home: &Path) -> Result<(), String> {
        let title = format!("with {}", self.secret);
        let commands: [&[&str]; 12] = [
            &["record", "failure", "--title", &title, "--domain", "d"],
            &["hook"],
            &["status"],
            &["list", "--json"],
            &["search", "t"],
            &["show", "memory/failures", "aa", "--history"],
            &["recall", "--command", "t"],
            &["flush", "--timeout", "5", "--set", "history.packs_max=2"],
            &["verify"],
            &["recover", "--timeout", "5"],
            &["repair", "--timeout", "5"],
            &["config", "list"],
        ];
        for args in commands {
            let command = self.cmd(home, args).stdin(self.event("after")).env("INDELIBLE_TRUST", home);
            let mut running = command.spawn();
            let start = Instant::now();
            while running.child().try_wait().expect("it is our child").is_none() {
                if start.elapsed() > PATIENCE {
                    return Err(format!("{args:?} hangs"));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let outcome = running.wait();
            if !outcome.code().is_some_and(|code| [0, 1, 64, 65, 74, 75, 77, 78].contains(&code)) {
                return Err(format!("not a promised code: {outcome}"));
            }
            if outcome.stderr.contains("panicked") || outcome.stderr.contains("bug of its own") {
                return Err(format!("it panicked: {outcome}"));
            }
        }
        self.outcome(home)
    }

    /// What was wrong with what the commands left.
    fn outcome(&self, home: &Path) -> Result<(), String> {
        if fs::read_to_string(&self.outside).ok().as_deref() != Some("outside\n") {
            return Err("what lies outside was changed".to_owned());
        }
        if fs::metadata(&self.outside).is_ok_and(|it| it.permissions().mode() & 0o777 != 0o600) {
            return Err("the mode of what lies outside was changed".to_owned());
        }
        if self.ran.exists() {
            return Err("a program that the home names was run".to_owned());
        }
        let small =
            Cmd::new("find", self.user.user()).args([home]).args(["-type", "f", "-size", "-50M", "-exec", "grep"]);
        let found = small.args(["-laF", &self.secret, "{}", "+"]).run();
        if !found.stdout.is_empty() {
            return Err(format!("a secret was recorded: {found}"));
        }
        Ok(())
    }
}

/// Holds that nothing comes of replacing any of `files` by any of `plants`.
fn hold(stage: &Stage, files: &[String], plants: &[Plant]) {
    fs::set_permissions(&stage.outside, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let wrong = Mutex::new(Vec::new());
    in_parallel(files.len() * plants.len(), 4, |number| {
        let (file, plant) = (&files[number / plants.len()], plants[number % plants.len()]);
        let home = stage.planted(number, file, plant);
        if let Err(error) = stage.attempt(&home) {
            wrong
                .lock()
                .expect("no thread panics while it holds the lock")
                .push(format!("{file} by {plant:?}: {error}"));
        }
        let _ = fs::remove_dir_all(&home);
    });
    let wrong = wrong.into_inner().expect("no thread panics while it holds the lock");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn whatever_lies_in_a_private_folder() {
    let stage = Stage::new();
    let files: Vec<_> = stage.files().into_iter().filter(|file| file.starts_with(".indelible/")).collect();
    assert!(files.len() > 8, "{files:?}");
    hold(&stage, &files, &PLANTS);
}

#[test]
fn whatever_lies_among_the_records() {
    let stage = Stage::new();
    let files: Vec<_> = stage.files().into_iter().filter(|file| !file.starts_with('.')).collect();
    assert!(files.len() > 3, "{files:?}");
    hold(&stage, &files, &PLANTS);
}

#[test]
fn whatever_lies_in_the_history() {
    let stage = Stage::new();
    let files: Vec<_> = stage.files().into_iter().filter(|file| file.starts_with(".git/")).collect();
    assert!(files.len() > 4, "{files:?}");
    hold(&stage, &files, &PLANTS);
}

/// What a repository names elsewhere is opened as if it were its own.
#[test]
fn whatever_a_repository_names_elsewhere() {
    let stage = Stage::new();
    let elsewhere = stage.user.user().canonicalize().expect("it is there").join("elsewhere");
    fs::create_dir_all(elsewhere.join("pack")).expect("it can be made");
    fs::create_dir_all(stage.home.join(".git/objects/info")).expect("it can be made");
    let pipe = elsewhere.join("pack/multi-pack-index");
    let _ = Cmd::new("mkfifo", stage.user.user()).args([&pipe]).ok();
    let config = stage.home.join(".git/config");
    let before = fs::read_to_string(&config).expect("it is there");
    let again = "[include]\n\tpath = config\n".repeat(30);
    fs::set_permissions(&stage.outside, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let (pipe, folder) = (pipe.display(), elsewhere.display());
    for (added, alternates) in [
        (format!("[include]\n\tpath = {pipe}\n"), String::new()),
        (format!("[includeIf \"gitdir:/\"] PATH = \"{pipe}\"\n"), String::new()),
        ("[include]\n\tpath = /dev/zero\n".to_owned(), String::new()),
        (again, String::new()),
        ("[x \"y\"]\n".repeat(10 << 20), String::new()),
        (String::new(), format!("{folder}\n")),
        (String::new(), format!("{pipe}\n")),
    ] {
        fs::write(&config, before.clone() + &added).expect("it can be written");
        fs::write(stage.home.join(".git/objects/info/alternates"), &alternates).expect("it can be written");
        let shown: String = added.chars().take(60).collect();
        stage.attempt(&stage.home).unwrap_or_else(|wrong| panic!("{shown:?} {alternates:?}: {wrong}"));
    }
}

/// So it is with a repository that a home is made in.
#[test]
fn whatever_lies_in_a_repository_around_a_home() {
    let user = TestHome::absent();
    let pipe = user.user().canonicalize().expect("it is there").join("pipe");
    let mkfifo = |path: &Path| drop(Cmd::new("mkfifo", user.user()).args([path]).ok());
    mkfifo(&pipe);
    for (number, plant) in
        [".gitignore", "k/.gitignore", ".git/info/exclude", "include.path", "core.excludesFile"].into_iter().enumerate()
    {
        let outer = user.user().join(format!("outer{number}"));
        fs::create_dir_all(outer.join("k")).expect("it can be made");
        let _ = user.git_in(&outer, ["init", "-q"]).ok();
        if plant.contains('/') || plant.starts_with('.') {
            let _ = fs::remove_file(outer.join(plant));
            mkfifo(&outer.join(plant));
        } else {
            let _ = user.git_in(&outer, ["config", plant, pipe.to_str().expect("it is text")]).ok();
        }
        let mut running = user.homeless(["init", outer.join("k").to_str().expect("it is text")]).spawn();
        let start = Instant::now();
        while running.child().try_wait().expect("it is our child").is_none() {
            assert!(start.elapsed() < PATIENCE, "{plant}: it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
        let outcome = running.wait();
        assert!(outcome.code().is_some_and(|code| [0, 74, 77, 78].contains(&code)), "{plant}: {outcome}");
    }
}
