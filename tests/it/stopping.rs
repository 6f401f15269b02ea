//! Signals to commands that run git: no child is left, whatever it waits for.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use crate::hosts::Remote;
use crate::support::{Cmd, TestHome, wait_for, write_program};

/// A home that has pushed to its remote, which hangs now: git waits for an ssh that sleeps.
struct Hanging {
    home: TestHome,
    remote: Remote,
    id: String,
}

impl Hanging {
    fn new() -> Hanging {
        let (home, remote) = (TestHome::new(), Remote::new());
        let id = home.record("failure", "waits").id;
        let hanging = Hanging { home, remote, id };
        let ssh = |text: &str| {
            let path = hanging.home.user().join("ssh");
            write_program(&path, format!("#!/bin/sh\n{text}\n").as_bytes());
        };
        ssh("for it; do :; done; eval \"exec $it\"");
        let _ = hanging.cmd(&["env"], &["sync"]).ok();
        let _ = hanging.home.record("failure", "waits, too");
        hanging.home.flush();
        let pid = hanging.home.user().join("pid");
        ssh(&format!("echo $$ >{0}.new; mv {0}.new {0}\nwhile :; do sleep 77; done", pid.display()));
        hanging
    }

    fn url(&self) -> String {
        format!("git@host:{}", self.remote.path().display())
    }

    fn cmd(&self, wrapper: &[&str], args: &[&str]) -> Cmd {
        let cmd = self.home.under(wrapper, args).env("INDELIBLE_REMOTE", self.url());
        cmd.env("GIT_SSH_COMMAND", self.home.user().join("ssh").to_str().expect("UTF-8"))
    }

    /// Starts it, and waits until git waits. Returns the process, and that of ssh.
    fn start(&self, wrapper: &[&str], args: &[&str]) -> (Child, String) {
        let child = self.cmd(wrapper, args).into_command().spawn().expect("it starts");
        let pid = self.home.user().join("pid");
        wait_for("git waits for the server", || pid.exists().then_some(()));
        let waiting = std::fs::read_to_string(&pid).expect("it is there").trim().to_owned();
        std::fs::remove_file(&pid).expect("it was there");
        (child, waiting)
    }
}

fn signal(child: &Child, signal: Signal) {
    let process = Pid::from_raw(child.id().cast_signed()).expect("a process");
    kill_process(process, signal).expect("it can be asked");
}

/// How often a sync is started that has to get two signals.
const TRIES: usize = 5;

#[track_caller]
fn assert_gone(process: &str, what: &str) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{what} has left {stat}");
}

#[test]
fn every_command_that_asks_the_remote_ends_git_when_it_is_asked_to_stop() {
    let hanging = Hanging::new();
    let (id, url) = (hanging.id.clone(), hanging.url());
    for args in [
        &["remote", "add", &url, "--yes"][..],
        &["remote", "test"],
        &["where", &id, "--check"],
        &["verify", "--remote"],
    ] {
        let (mut child, waiting) = hanging.start(&["env"], args);
        signal(&child, Signal::TERM);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(75), "{args:?}");
        assert_gone(&waiting, &args.join(" "));
    }
}

/// Git and what it has started do not listen to the first signal, and are given a while: the second one does not wait for them.
#[test]
fn a_second_signal_ends_a_sync_at_once_with_what_it_started() {
    let hanging = Hanging::new();
    let git = hanging.home.user().join("deaf-git");
    write_program(&git, b"#!/bin/sh\ntrap '' TERM INT HUP\nexec git \"$@\"\n");
    let program = format!("INDELIBLE_HISTORY_GIT_PROGRAM={}", git.display());
    for (command, ends) in [("sync", Signal::TERM), ("drain", Signal::INT), ("sync", Signal::HUP)] {
        // On a busy machine a sync can be done with the first signal before the second one comes: that says nothing, and is tried again.
        let mut ended = (0..TRIES).map(|_| {
            let (mut child, waiting) = hanging.start(&["env", &program], &[command]);
            let status: ExitStatus = wait_for("it ends", || {
                signal(&child, ends);
                child.try_wait().expect("it can be asked")
            });
            assert_gone(&waiting, command);
            status
        });
        let status = ended.find(|status| status.code() != Some(75)).expect("a second signal ends it");
        assert_eq!(status.signal(), Some(ends.as_raw()), "{command}: {status}");
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_still_is() {
    let hanging = Hanging::new();
    let (mut child, waiting) = hanging.start(&["nohup"], &["drain"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
        u64::from_str_radix(line.trim(), 16).expect("a mask")
    };
    let (hup, term) = (1 << 0, 1 << 14);
    assert_eq!((mask("SigIgn:") & hup, mask("SigCgt:") & hup), (hup, 0), "{status}");
    assert_eq!(mask("SigCgt:") & term, term, "{status}");
    signal(&child, Signal::HUP);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().expect("it ends").code(), Some(75));
    assert_gone(&waiting, "drain");
}
