//! The worker as a service: the files that are written, a real user manager that runs one, upgrades of the program under
//! it, and recorders that start one where there is no manager.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group};
use serde_json::Value;

use crate::support::{Cmd, TestHome, Worker, assert_exactly_once, has, in_parallel, skipped, wait_for, write_program};

const BINARY: &str = env!("CARGO_BIN_EXE_indelible");
/// Everything in a path that some service manager gives a meaning to.
const ODD: &str = "a b%n $HOME 'q' \"q\" \\n & <ü>";

/// `service ...` without a reachable service manager: neither a bus nor a folder for one.
fn service(home: &TestHome, args: &[&str]) -> Cmd {
    home.cmd(["service"]).args(args).env("XDG_RUNTIME_DIR", home.user().join("no-run"))
}

fn installed(home: &TestHome, manager: &str) -> Value {
    service(home, &["status", "--manager", manager, "--json"]).ok().json()
}

#[test]
fn a_unit_is_what_systemd_takes() {
    let home = TestHome::named(ODD);
    let _ = service(&home, &["install", "--manager", "systemd"]).ok();
    let status = installed(&home, "systemd");
    assert!(status["installed"] == true && status["enabled"] == true && status["current"] == true, "{status}");
    let file = PathBuf::from(status["file"].as_str().expect("it is text"));
    let unit = file.file_name().and_then(|it| it.to_str()).expect("it is text").to_owned();
    assert!(file.starts_with(home.user().canonicalize().expect("it is there")), "it is not the test's own: {file:?}");
    if !has("systemd-analyze", "whether systemd takes the unit") {
        return;
    }
    let escaped = Cmd::new("systemd-escape", home.user()).args(["--path"]).args([home.path()]).ok().stdout;
    assert_eq!(unit, format!("indelible@{}.service", escaped.trim_end()));
    let run = home.user().join("run");
    std::fs::create_dir(&run).expect("it can be made");
    let verify = Cmd::new("systemd-analyze", home.user()).args(["--user", "verify"]).args([&file]);
    let verified = verify.env("XDG_RUNTIME_DIR", &run).ok();
    assert_eq!(verified.stderr, "", "systemd complains: {verified}");
}

#[test]
fn installing_and_removing_are_safe_to_repeat() {
    let home = TestHome::named(ODD);
    for manager in ["systemd", "xdg"] {
        let with = |command: &'static str| service(&home, &[command, "--manager", manager]);
        assert_eq!(with("install").args(["--json"]).ok().json()["changed"], true);
        assert_eq!(with("install").args(["--json"]).ok().json()["changed"], false);
        let status = installed(&home, manager);
        let file = PathBuf::from(status["file"].as_str().expect("it is text"));
        // As an older version would have left it.
        let text = std::fs::read_to_string(&file).expect("it was written");
        std::fs::write(&file, text.replace("--home", "--old-home")).expect("it can be written");
        assert_eq!(installed(&home, manager)["current"], false);
        assert_eq!(with("install").args(["--json"]).ok().json()["changed"], true);
        assert_eq!(std::fs::read_to_string(&file).expect("it was written"), text);
        assert_eq!(with("uninstall").args(["--json"]).ok().json()["removed"], true);
        assert_eq!(with("uninstall").args(["--json"]).ok().json()["removed"], false);
        let status = installed(&home, manager);
        assert!(status["installed"] == false && status["enabled"] == false, "{status}");
    }
    let left = files_beneath(&home.user().join(".config"));
    assert!(left.is_empty(), "something was left behind: {left:?}");
}

fn files_beneath(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().expect("it can be told").is_dir() {
            true => files.extend(files_beneath(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

#[test]
fn foreign_files_are_left_alone() {
    let home = TestHome::new();
    for manager in ["systemd", "xdg"] {
        let shown = service(&home, &["install", "--manager", manager, "--print", "--json"]).ok().json();
        let file = PathBuf::from(shown["file"].as_str().expect("it is text"));
        assert!(!file.exists(), "to show it wrote it");
        let folder = file.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder).expect("it can be made");
        std::fs::write(&file, "[Unit]\nDescription=mine\n").expect("it can be written");
        for command in ["install", "uninstall"] {
            let refused = service(&home, &[command, "--manager", manager]).run().exits(77);
            assert!(refused.stderr.contains(file.to_str().expect("it is text")), "it does not say which: {refused}");
        }
        assert_eq!(installed(&home, manager)["foreign"], true);
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "[Unit]\nDescription=mine\n");
        // A link is foreign as well, wherever it leads.
        std::fs::write(folder.join("elsewhere"), shown["definition"].as_str().expect("it is text")).expect("written");
        std::fs::remove_file(&file).expect("it is there");
        std::os::unix::fs::symlink("elsewhere", &file).expect("it can be made");
        let _ = service(&home, &["install", "--manager", manager]).run().exits(77);
    }
}

#[test]
fn each_home_has_a_service_of_its_own() {
    let (one, other) = (TestHome::new(), TestHome::named(ODD));
    for home in [&one, &other] {
        let install = service(home, &["install", "--manager", "systemd"]).env("HOME", one.user());
        let _ = install.ok();
    }
    let units = one.user().join(".config/systemd/user");
    assert_eq!(files_beneath(&units).len(), 4, "two units and the links that enable them");
    // The other home is gone, and its service can still be taken away.
    std::fs::remove_dir_all(other.path()).expect("it is there");
    let _ = service(&other, &["uninstall", "--manager", "systemd"]).env("HOME", one.user()).ok();
    assert_eq!(files_beneath(&units).len(), 2);
    let _ = service(&other, &["install", "--manager", "systemd"]).run().exits(78);
}

#[test]
fn a_path_too_long_for_a_name_has_a_number_instead() {
    let deep: PathBuf = (0..10).map(|_| "a-folder-with-quite-a-long-name").collect();
    let home = TestHome::named(deep);
    let _ = service(&home, &["install", "--manager", "systemd"]).ok();
    assert_eq!(installed(&home, "systemd")["enabled"], true);
}

#[test]
fn without_a_bus_it_is_said_what_to_run() {
    let home = TestHome::new();
    let outcome = service(&home, &["install", "--manager", "systemd"]).ok();
    assert!(outcome.stderr.contains("systemctl --user start"), "{outcome}");
    let outcome = service(&home, &["install", "--manager", "systemd", "--json"]).ok().json();
    assert!(outcome["started"] == false && outcome["why_not_started"].is_string(), "{outcome}");
    // What the manager does not say, the lock does.
    assert_eq!(installed(&home, "systemd")["running"], false);
    let worker = Worker::start(&home, &[]);
    assert_eq!(installed(&home, "systemd")["running"], true);
    drop(worker);
}

#[test]
fn where_nothing_would_start_it_none_is_installed() {
    let home = TestHome::new();
    if Path::new("/run/systemd/system").exists() {
        return skipped("whether a service is refused: systemd would start it");
    }
    let bare = |args: &[&str]| service(&home, args).env("XDG_DATA_DIRS", home.user());
    // What the user has set stays.
    home.configure_user("[worker]\nautostart = false\n");
    let outcome = bare(&["install"]).run().exits(64);
    assert!(outcome.stderr.contains("worker --detach`"), "it does not say what to do instead: {outcome}");
    assert!(!home.user().join(".config/systemd").exists(), "something was written");
    assert!(!home.join(".indelible/worker.json").exists() && home.status()["worker"].is_null(), "a worker was started");
    // Who names a manager gets its file, and is told.
    let outcome = bare(&["install", "--manager", "xdg"]).ok();
    assert!(!outcome.stdout.contains("is a service now"), "{outcome}");
    assert!(outcome.stderr.contains("nothing on this machine reads"), "{outcome}");
    assert!(outcome.stderr.contains("worker --detach`"), "{outcome}");
    let status = bare(&["status", "--json"]).ok().json();
    assert!(status["installed"] == true && status["read"] == false && status["running"] == false, "{status}");
    assert!(bare(&["status"]).ok().stdout.contains("nothing on this machine"), "status does not say so");
    // A desktop reads it.
    std::fs::create_dir_all(home.user().join("xsessions/some")).expect("it can be made");
    let outcome = bare(&["install"]).ok();
    assert!(outcome.stdout.contains("is a service now"), "{outcome}");
    assert_eq!(bare(&["status", "--json"]).ok().json()["read"], true);
}

#[test]
fn where_nothing_would_start_it_recorders_and_hooks_do() {
    if Path::new("/run/systemd/system").exists() {
        return skipped("whether recorders start the worker: systemd would");
    }
    let it = Autostart { home: TestHome::new() };
    let bare = |args: &[&str]| service(&it.home, args).env("XDG_DATA_DIRS", it.home.user());
    let set = || it.home.cmd(["config", "get", "worker.autostart"]).ok().stdout;
    assert_eq!(set(), "false\n");
    let outcome = bare(&["install"]).ok();
    assert!(outcome.stdout.starts_with("nothing on this machine would start it: "), "{outcome}");
    for said in ["worker.autostart is true", "worker --detach`", "worker --stop`"] {
        assert!(outcome.stdout.contains(said), "it does not say {said}: {outcome}");
    }
    assert_eq!(set(), "true\n");
    assert!(!it.home.user().join(".config/autostart").exists(), "it wrote what nothing reads");
    let _ = it.wait_for_process();
    // Again: nothing to change, and one worker is enough.
    let outcome = bare(&["install", "--json"]).ok().json();
    assert!(outcome["changed"] == false && outcome["started"] == false && outcome["autostart"] == true, "{outcome}");
    assert_eq!(bare(&["status", "--json"]).ok().json()["autostart"], true);
    assert!(bare(&["status"]).ok().stdout.contains("recorders and hooks, where none runs (worker.autostart)"));
    assert!(it.home.cmd(["worker", "--stop"]).ok().stderr.contains("recorders and hooks start a worker again"));
    assert_eq!(it.process(), None);
    // A recorder does what was promised.
    let _ = it.home.record("failure", "to be committed");
    let _ = it.wait_for_process();
    assert!(
        bare(&["uninstall"]).ok().stderr.contains("worker.autostart false`"),
        "it leaves the worker without a word"
    );
}

#[test]
fn a_worker_is_stopped_when_asked_for() {
    let home = TestHome::new();
    let stop = |args: &[&str]| home.cmd(["worker", "--stop"]).args(args);
    assert_eq!(stop(&["--json"]).ok().json()["stopped"], false);
    let mut worker = Worker::start(&home, &["worker.age_ms=3600000"]);
    let receipt = home.record("failure", "pending");
    assert_eq!(stop(&["--json"]).ok().json()["stopped"], true);
    assert!(worker.wait().success(), "it did not end in good order");
    assert_exactly_once(&home, &[receipt]);
    let status = home.status();
    assert!(status["worker"].is_null() && status["published"]["state"] == "stopped", "{status}");
    assert_eq!(std::fs::read_dir(home.join(".indelible/requests")).expect("it is there").count(), 0);
    // One that does not answer is waited for no longer than that, and the request goes with its asker.
    let worker = Worker::start(&home, &[]);
    worker.signal(Signal::STOP);
    let outcome = stop(&["--timeout", "1"]).run().exits(75);
    assert!(outcome.stderr.contains(&format!("process {}", worker.id())), "{outcome}");
    worker.signal(Signal::CONT);
    home.flush();
    assert!(!home.status()["worker"].is_null(), "a request that was taken back has stopped it");
    assert!(stop(&[]).ok().stdout.contains("has ended"));
    // One whose asker was killed is for no worker that starts later.
    let request = home.join(".indelible/requests/01a2271a-3d28-74f1-81e4-cce66d4eb69b.json");
    std::fs::write(&request, r#"{"want":"stop"}"#).expect("it can be written");
    let worker = Worker::start(&home, &[]);
    home.flush();
    assert!(!home.status()["worker"].is_null() && !request.exists(), "a request from before has stopped it");
    assert!(worker.stop(Signal::TERM).success());
    // One that has just started, and sweeps that request as it does those from before, is asked again.
    let mut worker = Worker::start(&home, &[]);
    worker.signal(Signal::STOP);
    let stopping = stop(&[]).spawn();
    let request = || std::fs::read_dir(home.join(".indelible/requests")).ok()?.flatten().map(|it| it.path()).next();
    std::fs::remove_file(wait_for("a request", request)).expect("it is there");
    let _ = wait_for("another request", request);
    worker.signal(Signal::CONT);
    assert_eq!(stopping.wait().code(), Some(0));
    assert!(worker.wait().success());
    // One that cannot commit stops all the same.
    let mut worker = Worker::start(&home, &["worker.stop_s=0"]);
    let packs = home.join(".git/objects/pack");
    std::fs::remove_dir_all(&packs).and_then(|()| std::fs::write(&packs, "")).expect("it is ours");
    let _ = home.recorder("failure", "not yet").args(["--severity", "5"]).ok();
    wait_for("it to fail", || (home.status()["published"]["state"] == "retrying").then_some(()));
    let _ = stop(&[]).ok();
    assert!(!worker.wait().success(), "what is pending was not committed");
    for args in [&["--detach"][..], &["--log", "file"]] {
        let _ = stop(args).run().exits(64);
    }
    let _ = home.cmd(["worker", "--timeout", "5"]).run().exits(64);
}

/// A user manager of systemd's own, with folders, a bus and a control group of its own: nothing else of the user's can be
/// touched by it, and all that it runs ends with it.
struct UserManager {
    child: Child,
    run: PathBuf,
}

impl UserManager {
    const SCRIPT: &'static str = r#"
        mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit 1
        for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
            [ -e "$tree/cgroup.procs" ] && mkdir -p "$tree/$GROUP" && echo $$ > "$tree/$GROUP/cgroup.procs"
        done
        exec /lib/systemd/systemd --user"#;

    /// Starts one for the user of `home`, or says why it cannot.
    fn start(home: &TestHome) -> Option<UserManager> {
        let why = "a service under a real user manager";
        if !["/lib/systemd/systemd", "systemctl", "unshare"].iter().all(|program| has(program, why)) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            skipped(format!("{why}: only root can start one beside yours"));
            return None;
        }
        let run = home.user().join("run");
        std::fs::create_dir(&run).expect("it can be made");
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        let unshare = ["--mount", "--", "sh", "-c"];
        let command = Cmd::new("unshare", home.user()).args(unshare).args([UserManager::SCRIPT]);
        let command = command.env("XDG_RUNTIME_DIR", &run).env("GROUP", UserManager::group(&run));
        let mut command = command.into_command();
        let child = command.stdin(Stdio::null()).spawn().expect("it starts");
        let manager = UserManager { child, run };
        wait_for("the user manager", || {
            let up = manager.systemctl(home, &["show", "--property=SystemState"]).run();
            matches!(up.stdout.trim(), "SystemState=running" | "SystemState=degraded").then_some(())
        });
        Some(manager)
    }

    fn group(run: &Path) -> String {
        let folder = run.parent().and_then(Path::file_name).expect("it lies in the test's folder");
        folder.to_string_lossy().into_owned()
    }

    fn systemctl(&self, home: &TestHome, args: &[&str]) -> Cmd {
        Cmd::new("systemctl", home.user()).args(["--user"]).args(args).env("XDG_RUNTIME_DIR", &self.run)
    }

    /// `service ...` of the program at `program`, which is the one that is run then.
    fn service(&self, home: &TestHome, program: &Path, args: &[&str]) -> Cmd {
        let command = Cmd::new(program, home.user()).args(["--home"]).args([home.path()]).args(["service"]);
        command.args(args).args(["--manager", "systemd"]).env("XDG_RUNTIME_DIR", &self.run)
    }

    fn status(&self, home: &TestHome) -> Value {
        self.service(home, Path::new(BINARY), &["status", "--json"]).ok().json()
    }

    /// The service's process, once it runs and is not `before`.
    fn wait_for_process(&self, home: &TestHome, before: Option<u64>) -> u64 {
        wait_for("the service to run", || {
            let status = self.status(home);
            let process = status["process"].as_u64().filter(|it| Some(*it) != before)?;
            let has_lock = status["worker"].as_str()?.ends_with(&format!("process {process}"));
            (status["running"] == true && has_lock).then_some(process)
        })
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let group = UserManager::group(&self.run);
        for tree in ["systemd", "unified", "."] {
            end_group(&Path::new("/sys/fs/cgroup").join(tree).join(&group));
        }
    }
}

/// Ends what runs in a control group and in those within it, and removes them.
fn end_group(group: &Path) {
    let within = std::fs::read_dir(group).into_iter().flatten().flatten().map(|it| it.path());
    within.filter(|it| it.is_dir()).for_each(|it| end_group(&it));
    wait_for("a control group to be empty", || {
        let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines().filter_map(|it| Pid::from_raw(it.parse().ok()?)) {
            let _ = kill_process(process, Signal::KILL);
        }
        processes.is_empty().then_some(())
    });
    let _ = std::fs::remove_dir(group);
}

#[test]
fn a_real_user_manager_runs_it() {
    let home = TestHome::named(ODD);
    let Some(manager) = UserManager::start(&home) else { return };
    let program = copy_of_program(&home);
    std::fs::write(home.join(".indelible/config.toml"), "[worker]\npoll_s = 1\n").expect("it can be written");
    let pending = home.record_each("before");
    let outcome = manager.service(&home, &program, &["install", "--json"]).ok().json();
    assert_eq!(outcome["started"], true, "{outcome}");
    let first = manager.wait_for_process(&home, None);
    wait_for("the service to commit", || (home.status()["pending"]["records"] == 0).then_some(()));
    let unit = PathBuf::from(outcome["file"].as_str().expect("it is text"));
    let unit = unit.file_name().and_then(|it| it.to_str()).expect("it is text");
    let shown = manager.systemctl(&home, &["show", "--property=Nice,IOSchedulingPriority,UMask", "--", unit]).ok();
    assert_eq!(shown.stdout, "UMask=0077\nNice=10\nIOSchedulingPriority=7\n");
    assert_eq!(manager.service(&home, &program, &["install", "--json"]).ok().json()["changed"], false);
    assert_eq!(manager.status(&home)["process"], first, "installing it again restarted it");

    // It is started again when it dies. The pause is not what is tested.
    let pause = manager.run.join("systemd/user").join(format!("{unit}.d"));
    std::fs::create_dir_all(&pause).expect("it can be made");
    std::fs::write(pause.join("soon.conf"), "[Service]\nRestartSec=100ms\n").expect("it can be written");
    let _ = manager.systemctl(&home, &["daemon-reload"]).ok();
    let _ = manager.systemctl(&home, &["kill", "--signal=KILL", "--", unit]).ok();
    let second = manager.wait_for_process(&home, Some(first));
    let after = home.record_each("after it was killed");
    wait_for("the service to commit", || (home.status()["pending"]["records"] == 0).then_some(()));

    // A reload and an upgrade are the same process's own affair, and to stop it is no failure.
    let started_at = || home.status()["published"]["started_at"].clone();
    let before = started_at();
    let _ = manager.systemctl(&home, &["reload", "--", unit]).ok();
    wait_until_serving_since(&home, &before);
    let before = started_at();
    replace(&program, &std::fs::read(BINARY).expect("it is there"));
    wait_until_serving_since(&home, &before);
    let runs = std::fs::read_link(format!("/proc/{second}/exe")).expect("it runs");
    assert_eq!(runs, program.canonicalize().expect("it is there"));
    assert_eq!(manager.wait_for_process(&home, None), second);
    let last = home.record("failure", "pending when it is removed");
    let _ = manager.service(&home, &program, &["uninstall"]).ok();
    let state = manager.systemctl(&home, &["is-failed", "--", unit]).run();
    assert_eq!(state.stdout.trim(), "inactive", "to stop it counts as a failure: {state}");
    assert_eq!(manager.status(&home)["worker"], Value::Null);
    assert_eq!(home.status()["published"]["state"], "stopped");
    assert_exactly_once(&home, &[pending, after, vec![last]].concat());
    let left = files_beneath(&home.user().join(".config"));
    assert!(left.is_empty(), "something was left behind: {left:?}");
}

/// Waits for a worker that was started at another time than `before`.
fn wait_until_serving_since(home: &TestHome, before: &Value) {
    wait_for("the upgrade to be taken up", || {
        let published = home.status()["published"].clone();
        (published["started_at"] != *before && published["state"] == "idle").then_some(())
    });
}

/// A copy of the program that a test can replace.
fn copy_of_program(home: &TestHome) -> PathBuf {
    let program = home.user().join("indelible");
    write_program(&program, &std::fs::read(BINARY).expect("it is there"));
    program
}

/// Puts `content` where `program` lies, as package managers do it: beside it, then by its name.
fn replace(program: &Path, content: &[u8]) {
    let beside = program.with_extension("new");
    write_program(&beside, content);
    std::fs::rename(&beside, program).expect("it can be renamed");
}

/// How many files a process has open, beside the search database, which a worker opens when it has time for it.
fn open_files(process: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let files = open.filter_map(|entry| std::fs::read_link(entry.expect("an entry").path()).ok());
    let (search, others): (Vec<_>, Vec<_>) = files.partition(|file| file.to_string_lossy().contains("/search.db"));
    assert!(search.len() <= 3, "search is open more than once: {search:?}");
    others.len()
}

#[test]
fn an_upgrade_is_taken_up_in_the_same_process() {
    let home = TestHome::new();
    let program = copy_of_program(&home);
    let mut worker = Worker::launch_program(&home, &program, &["worker.poll_s=1", "worker.age_ms=3600000"]);
    worker.wait_for_line("worker started");
    wait_until_serving_since(&home, &Value::Null);
    let pending = home.record_each("pending at the upgrade");
    let (process, priority, files) = (worker.id(), nice_of(worker.id()), open_files(worker.id()));
    let upgraded = std::fs::read(BINARY).expect("it is there");
    for _ in 0..2 {
        let before = home.status()["published"]["started_at"].clone();
        replace(&program, &upgraded);
        worker.wait_for_line("going on as the new one");
        worker.wait_for_line("worker started");
        wait_until_serving_since(&home, &before);
    }
    let running = std::fs::read_link(format!("/proc/{process}/exe")).expect("it runs");
    assert_eq!(running, program.canonicalize().expect("it is there"), "the old program still runs");
    assert_eq!(nice_of(process), priority, "each upgrade lowers its priority further");
    // It may have one open for a moment.
    wait_for("as few open files as before the upgrades", || (open_files(process) <= files).then_some(()));
    home.flush();
    assert!(worker.is_running(), "the flush was not the worker's");
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    assert_exactly_once(&home, &pending);
}

fn nice_of(process: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("its name ends");
    fields.split_whitespace().nth(16).expect("it has a priority").to_owned()
}

#[test]
fn what_cannot_be_run_is_no_upgrade() {
    let home = TestHome::new();
    let program = copy_of_program(&home);
    let mut worker = Worker::launch_program(&home, &program, &["worker.poll_s=1"]);
    worker.wait_for_line("worker started");
    replace(&program, b"#!/bin/sh\necho 'a library is missing' >&2\nexit 127\n");
    let line = worker.wait_for_line("going on as the old one");
    assert!(line.contains("a library is missing"), "it does not say why: {line}");
    let receipts = home.record_each("after the failed upgrade");
    worker.wait_until_committed(&home);
    replace(&program, &std::fs::read(BINARY).expect("it is there"));
    worker.wait_for_line("going on as the new one");
    worker.wait_for_line("worker started");
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    assert_exactly_once(&home, &receipts);
}

/// A home whose recorders may start a worker, which is ended with it.
struct Autostart {
    home: TestHome,
}

impl Autostart {
    fn new() -> Autostart {
        let home = TestHome::new();
        home.configure_user("[worker]\nautostart = true\n");
        Autostart { home }
    }

    /// The process that has the worker's lock.
    fn process(&self) -> Option<Pid> {
        let status = self.home.cmd(["status", "--json"]).ok().json();
        let process = status["worker"].as_str()?.strip_prefix("a worker, process ")?.parse().ok()?;
        Pid::from_raw(process)
    }

    fn wait_for_process(&self) -> Pid {
        wait_for("a worker to be started", || self.process())
    }

    /// Ends the worker at once, and waits until its lock is free.
    fn kill(&self) {
        if let Some(process) = self.process() {
            let _ = kill_process(process, Signal::KILL);
            wait_for("its lock to be free", || self.process().is_none().then_some(()));
        }
    }

    fn attempt(&self) -> PathBuf {
        self.home.join(".indelible/autostart")
    }

    /// How often a worker said that it started.
    fn starts(&self) -> usize {
        let logs = std::fs::read_dir(self.home.join(".indelible/logs")).expect("it is there").flatten();
        let said: String = logs.map(|log| std::fs::read_to_string(log.path()).expect("it is text")).collect();
        said.matches("worker started").count()
    }
}

impl Drop for Autostart {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kill();
        } else if let Some(process) = self.process() {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

#[test]
fn no_command_starts_a_worker_unasked() {
    let home = TestHome::new();
    let _ = home.record_each("quietly");
    assert!(!home.join(".indelible/autostart").exists());
    assert_eq!(home.status()["worker"], Value::Null);
}

#[test]
fn a_worker_is_started_on_its_own_when_asked_for() {
    let it = Autostart::new();
    let _ = it.home.cmd(["worker", "--detach"]).ok();
    let process = it.wait_for_process();
    assert_eq!(getsid(Some(process)).expect("it runs"), process, "it is in another process's session");
    let again = it.home.cmd(["worker", "--detach"]).run().exits(75);
    assert!(again.stderr.contains("another has the lock"), "{again}");
    let receipt = it.home.record("failure", "to be committed by it");
    wait_for("it to be committed", || (it.home.status()["pending"]["records"] == 0).then_some(()));
    assert_exactly_once(&it.home, &[receipt]);
}

/// Runs `words` as a host runs a hook: in a process group of its own that is killed in the end, with pipes that are read to
/// their end, one of them inherited under a number of its own. Holds that the worker it starts shares nothing with it.
fn starts_a_worker_that_shares_nothing(words: &[&str], stdin: &[u8]) {
    let it = Autostart::new();
    let script = "exec 9>&1 8<&0; \"$@\"; echo answered";
    let args = ["-c", script, "hook", BINARY, "--home"];
    let command = Cmd::new("sh", it.home.user()).args(args).args([it.home.path()]).args(words);
    let mut command = command.env("HOOK_SECRET", "x").into_command();
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut hook = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = hook.stdin.take().expect("it was asked for");
    input.write_all(stdin).expect("it reads");
    let mut said = String::new();
    // A worker with the pipe would keep it open for as long as it lives.
    let mut output = hook.stdout.take().expect("it was asked for");
    let reader = std::thread::spawn(move || output.read_to_string(&mut said).map(|_| said));
    let process = it.wait_for_process();
    wait_for("the hook's pipe to end", || reader.is_finished().then_some(()));
    let said = reader.join().expect("it does not panic").expect("it is text");
    assert!(said.ends_with("answered\n"), "the record was not answered: {said}");
    let group = i32::try_from(hook.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
    assert!(hook.wait().expect("it is our child").success());
    let _ = kill_process_group(group, Signal::KILL);
    assert!(input.write_all(b"x").is_err(), "a process still has the hook's input open");

    assert_eq!(getsid(Some(process)).expect("it runs"), process, "it is in another process's session");
    let about = PathBuf::from(format!("/proc/{}", process.as_raw_nonzero()));
    assert_eq!(std::fs::read_link(about.join("cwd")).expect("it runs"), Path::new("/"));
    for number in ["0", "1", "2"] {
        let leads_to = std::fs::read_link(about.join("fd").join(number)).expect("it is open");
        assert_eq!(leads_to, Path::new("/dev/null"), "{number}");
    }
    let environment = String::from_utf8(std::fs::read(about.join("environ")).expect("it runs")).expect("it is text");
    assert!(!environment.contains("HOOK_SECRET"), "{environment}");
    wait_for("it to commit", || (it.home.status()["pending"]["records"] == 0).then_some(()));
    // It ends when it is asked to, however it was started.
    let _ = it.home.cmd(["worker", "--stop"]).ok();
    assert_eq!(it.process(), None);
}

#[test]
fn a_recorder_starts_a_worker_that_shares_nothing_with_it() {
    let record = ["record", "failure", "--title", "first", "--domain", "ci", "--severity", "critical", "--json"];
    starts_a_worker_that_shares_nothing(&record, b"");
}

#[test]
fn a_hook_starts_a_worker_that_shares_nothing_with_it() {
    starts_a_worker_that_shares_nothing(&["hook"], &event("PostToolUseFailure"));
}

fn event(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/hooks/claude/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("a fixture")
}

#[test]
fn a_hook_with_nothing_to_record_starts_none() {
    let it = Autostart::new();
    for (flag, name) in [("--installed", "PostToolUse-quiet"), ("--installed", "SessionStart"), ("--dry-run", "Stop")] {
        let _ = it.home.cmd(["hook", flag]).stdin(event(name)).ok();
    }
    let off = it.home.cmd(["--set", "worker.autostart=false", "hook"]).stdin(event("Stop")).ok();
    assert_eq!(off.stdout, "{}\n");
    // The attempt is noted before a worker is started.
    assert!(!it.attempt().exists());
    assert_eq!(it.home.cmd(["hook"]).stdin(event("PostToolUseFailure")).ok().stdout, "{}\n");
    assert!(it.attempt().exists());
    let _ = it.wait_for_process();
}

#[test]
fn a_worker_is_started_at_most_once_a_minute() {
    let it = Autostart::new();
    in_parallel(20, 20, |number| drop(it.home.record("failure", &format!("number {number}"))));
    let _ = it.wait_for_process();
    let attempt = std::fs::metadata(it.attempt()).and_then(|it| it.modified()).expect("it was noted");
    wait_for("it to say so", || (it.starts() > 0).then_some(()));
    it.kill();
    let _ = it.home.record("failure", "too soon");
    let again = std::fs::metadata(it.attempt()).and_then(|it| it.modified()).expect("it was noted");
    assert_eq!(again, attempt, "it was tried twice within a minute");
    assert_eq!(it.starts(), 1, "more than one worker was started");

    let file = std::fs::File::options().write(true).open(it.attempt()).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(61)).expect("it can be set");
    let lines = "{\"kind\":\"failure\",\"title\":\"later\",\"domain\":\"ci\"}\n".repeat(3);
    let _ = it.home.cmd(["record", "batch"]).stdin(lines).ok();
    let _ = it.wait_for_process();
    wait_for("everything to be committed", || (it.home.status()["pending"]["records"] == 0).then_some(()));
    assert_eq!(it.starts(), 2);
    it.home.assert_sound();
}

/// A recorder's promise does not depend on what becomes of the worker.
#[test]
fn a_worker_that_cannot_be_started_fails_no_recorder() {
    let it = Autostart::new();
    std::fs::create_dir(it.attempt()).expect("nothing is there");
    let outcome = it.home.recorder("failure", "kept all the same").ok();
    assert_eq!(outcome.stderr, "", "{outcome}");
}
