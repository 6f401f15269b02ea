//! Machines that lack what programs take for granted: random bytes, threads, watches, `/dev`, a machine's id.

use rustix::process::Signal;

use crate::support::{Cmd, Receipt, TestHome, Worker, assert_exactly_once, has_strace, skipped};

/// What puts a shell's commands before a program, in a mount namespace of its own; nothing where that is not possible.
fn within(commands: &str) -> Option<Vec<String>> {
    let script = format!("{commands} && exec \"$0\" \"$@\"");
    let wrapper = ["unshare", "-m", "sh", "-c", &script].map(str::to_owned).to_vec();
    let tried = std::process::Command::new(&wrapper[0]).args(&wrapper[1..]).arg("true").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(wrapper);
    }
    skipped(format!("no machine with `{commands}`: it needs root, and mounts of its own"));
    None
}

/// A command of the home with `wrapper` before it.
fn under(home: &TestHome, wrapper: &[String], args: &[&str]) -> Cmd {
    home.under(&wrapper.iter().map(String::as_str).collect::<Vec<_>>(), args)
}

const NO_DEV: &str = "mount -t tmpfs none /dev";
const RECORD: [&str; 7] = ["record", "failure", "--json", "--title", "without devices", "--domain", "ci"];

/// strace as a wrapper that makes every call of these fail with `error`.
fn failing(calls: &str, error: &str) -> Vec<String> {
    let inject = format!("inject={calls}:error={error}");
    ["strace", "-f", "-qq", "-o/dev/null", "-e", &inject].map(str::to_owned).to_vec()
}

#[test]
fn without_dev_everything_works() {
    let Some(wrapper) = within(NO_DEV) else { return };
    let home = TestHome::new();
    let mut receipts = vec![under(&home, &wrapper, &RECORD).ok().receipt()];
    let _ = under(&home, &wrapper, &["flush"]).ok();
    receipts.push(home.record("failure", "with devices"));
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut worker = Worker::launch_under(&home, &wrapper, &["worker.age_ms=20"]);
    worker.wait_for_line("worker started");
    worker.wait_until_committed(&home);
    assert!(worker.stop(Signal::TERM).success());
    assert_exactly_once(&home, &receipts);
    let detached = home.under(&wrapper, &["worker", "--detach"]).run().exits(74);
    assert!(detached.stderr.contains("/dev/null: No such file"), "{detached}");
}

/// Neither the system call nor the device.
#[test]
fn without_random_bytes_nothing_is_recorded_and_it_says_so() {
    let Some(mut wrapper) = within(NO_DEV).filter(|_| has_strace()) else { return };
    let home = TestHome::new();
    let trace = home.user().join("trace");
    for error in ["ENOSYS", "EPERM"] {
        let mut strace = failing("getrandom", error);
        strace[3] = format!("-o{}", trace.display());
        let wrapper = [wrapper.as_slice(), &strace].concat();
        for args in [&RECORD[..], &["flush"], &["init"], &["verify"]] {
            let outcome = under(&home, &wrapper, args).run().exits(74);
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(said.contains("no random bytes") && !said.contains("panicked"), "{outcome}");
            assert!(said.contains("/dev/urandom") && said.contains("nothing was recorded"), "{outcome}");
        }
        let event = r#"{"hook_event_name":"PostToolUseFailure","tool_name":"Bash","error":"boom","session_id":"s"}"#;
        let outcome = under(&home, &wrapper, &["hook"]).stdin(event).run().exits(0);
        assert_eq!(outcome.stderr, "", "a hook disturbs no host");
    }
    assert_eq!(home.status()["pending"]["records"], 0, "something was recorded");
    // With the device alone it goes on.
    wrapper = failing("getrandom", "ENOSYS");
    let receipt = under(&home, &wrapper, &RECORD).ok().receipt();
    home.flush();
    assert_exactly_once(&home, &[receipt]);
}

/// No thread at all, only the one for signals, no watch.
#[test]
fn a_worker_goes_on_without_threads_and_watches() {
    if !has_strace() {
        return;
    }
    for (calls, error, words) in [
        ("clone,clone3", "EAGAIN", &["no thread for signals", "cannot be watched"][..]),
        ("clone,clone3", "EAGAIN:when=2+", &["cannot be watched"]),
        ("inotify_init1", "EMFILE", &["cannot be watched"]),
        ("inotify_add_watch", "ENOSPC", &["cannot be watched"]),
    ] {
        let home = TestHome::new();
        let wrapper = failing(calls, error);
        let wrapper: Vec<&str> = ["strace", "-D"].into_iter().chain(wrapper[1..].iter().map(String::as_str)).collect();
        let mut worker = Worker::launch_under(&home, &wrapper, &["worker.age_ms=20", "worker.poll_s=600"]);
        for words in words {
            worker.wait_for_line(words);
        }
        worker.wait_for_line("worker started");
        let receipts: Vec<Receipt> = ["one", "two"]
            .into_iter()
            .map(|title| {
                let receipt = home.record("failure", title);
                worker.wait_until_committed(&home);
                receipt
            })
            .collect();
        worker.signal(Signal::HUP);
        worker.wait_for_line("settings");
        worker.signal(Signal::TERM);
        let ended = worker.wait();
        let said = worker.said();
        assert!(ended.success() && !said.contains("panicked"), "{calls} {error}: {ended}\n{said}");
        assert_exactly_once(&home, &receipts);
    }
}

#[test]
fn without_threads_every_other_command_works_or_says_why() {
    if !has_strace() {
        return;
    }
    let home = TestHome::new();
    let wrapper = failing("clone,clone3,vfork", "EAGAIN");
    let receipt = under(&home, &wrapper, &RECORD).ok().receipt();
    for args in [&["status"][..], &["flush"], &["verify"], &["recover"], &["repair"], &["init"]] {
        let _ = under(&home, &wrapper, args).ok();
    }
    for args in [&["worker", "--detach"][..], &["demo"]] {
        let outcome = under(&home, &wrapper, args).run().exits(74);
        assert!(
            outcome.stderr.contains("temporarily unavailable") && !outcome.stderr.contains("panicked"),
            "{outcome}"
        );
    }
    assert_exactly_once(&home, &[receipt]);
}

/// The names of the anchors in the home's git.
fn anchors(home: &TestHome) -> Vec<String> {
    let refs = home.git(["for-each-ref", "--format=%(refname)", "refs/indelible/"]).ok().stdout;
    refs.lines().map(str::to_owned).collect()
}

#[test]
fn a_machine_that_has_another_id_each_time_leaves_one_anchor() {
    let home = TestHome::new();
    let mut receipts = home.record_each("before");
    home.flush();
    for round in 0..4 {
        let before = anchors(&home);
        assert_eq!(before.len(), 1, "round {round}: {before:?}");
        home.change_machine();
        receipts.extend(home.record_each(&format!("round {round}")));
        home.flush();
        assert!(anchors(&home) != before, "round {round}: it is not on another machine");
    }
    assert_eq!(anchors(&home).len(), 1);
    assert_exactly_once(&home, &receipts);
}

/// A container and its host have two ids and one kernel, and use one home in turn.
#[test]
fn a_container_on_the_same_kernel_is_no_other_machine() {
    let id = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(id.path(), "0123456789abcdef0123456789abcdef\n").expect("it is ours");
    let home = TestHome::new();
    let mount = |id: &std::path::Path| within(&format!("mount --bind {} /etc/machine-id", id.display()));
    if !std::path::Path::new("/etc/machine-id").exists() {
        skipped("there is no machine id to mount another over");
        return;
    }
    let Some(container) = mount(id.path()) else { return };
    let mut receipts = home.record_each("before");
    home.flush();
    let before = anchors(&home);
    for round in 0..2 {
        receipts.extend(home.record_each(&format!("round {round}")));
        let _ = under(&home, &container, &["flush"]).ok();
        home.flush();
    }
    assert_eq!(anchors(&home), before, "it was taken for a copy");
    assert_exactly_once(&home, &receipts);
}

#[test]
fn a_worker_in_another_pid_namespace_is_recognised() {
    let wrapper = ["unshare", "-pf", "--kill-child", "--mount-proc"];
    let tried = std::process::Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        skipped("no PID namespace: it needs root");
        return;
    }
    let home = TestHome::new();
    let mut worker = Worker::launch_under(&home, &wrapper, &["worker.age_ms=20"]);
    worker.wait_for_line("worker started");
    let told = home.cmd(["worker"]).run().exits(75);
    assert!(told.stderr.contains("a worker, process 1 of another container or PID namespace"), "{told}");
    worker.kill();
}
