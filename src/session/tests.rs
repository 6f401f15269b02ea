//! The session log with real files, real processes and what else can lie at its path.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::fs::Dir;
use crate::model::RecordId;
use crate::target::history::HistoryOptions;

/// Names the home of [`a_process_of_a_race`].
const HOME: &str = "INDELIBLE_TEST_SESSION_HOME";

struct Place {
    folder: tempfile::TempDir,
    home: Home,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("home");
    crate::init::init(&path, HistoryOptions::default(), "").expect("a home can be made");
    let home = Home::open(&path).expect("it was just made");
    Place { folder, home }
}

impl Place {
    fn log(&self) -> SessionLog<'_> {
        SessionLog::of(&self.home, "s", None)
    }

    fn file(&self) -> PathBuf {
        let name = self.log().path.expect("there is a session");
        self.home.private().path().join(name)
    }

    /// Puts something else where the log would be.
    fn put(&self, put: impl FnOnce(&std::path::Path)) {
        let file = self.file();
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder");
        let _ = std::fs::remove_file(&file);
        put(&file);
    }
}

fn step(does: &str) -> Entry {
    Entry::Step(Step { does: does.into(), ..Step::default() })
}

fn opened() -> Opened {
    Opened {
        again_of: None,
        failure: RecordId::new(),
        command: "make".into(),
        folder: "/w".into(),
        root: "/w".into(),
        branch: String::new(),
        signature: String::new(),
        prompt: String::new(),
    }
}

#[test]
fn entries_come_back_in_order_each_agent_has_its_own() {
    let place = place();
    let log = place.log();
    assert!(log.entries().is_empty() && !place.file().exists(), "asking makes nothing");
    let opened = opened();
    let all = [
        Entry::Opened(opened.clone()),
        step("a\nb"),
        Entry::Turn {},
        Entry::Closed(Closed { failure: opened.failure }),
    ];
    for entry in &all {
        assert!(log.append(entry));
    }
    assert_eq!(log.entries().into_iter().map(|it| it.entry).collect::<Vec<_>>(), all);
    for other in [SessionLog::of(&place.home, "s", Some("reviewer")), SessionLog::of(&place.home, "t", None)] {
        assert!(other.entries().is_empty());
    }
    let without = SessionLog::of(&place.home, " ", None);
    assert!(!without.append(&step("a")) && !without.tell_once("k") && without.entries().is_empty());
}

#[test]
fn only_a_failure_that_is_open_and_young_is_looked_at() {
    let place = place();
    let log = place.log();
    let (ever, never) = (Timestamp::MIN, Timestamp::MAX);
    assert!(log.tell_once("k"));
    assert!(log.open(ever, 50).is_empty());
    let opened = opened();
    assert!(log.append(&step("before")) && log.append(&Entry::Opened(opened.clone())) && log.append(&step("after")));
    assert!(log.tell_once("k2"));
    let entries = |noted: Vec<Noted>| noted.into_iter().map(|it| it.entry).collect::<Vec<_>>();
    assert_eq!(entries(log.open(ever, 50)), [Entry::Opened(opened.clone()), step("after")]);
    assert!(log.open(never, 50).is_empty());
    assert!(log.append(&Entry::Closed(Closed { failure: opened.failure })));
    assert!(log.open(ever, 50).is_empty());
}

#[test]
fn a_failure_is_open_for_so_many_calls_whichever_they_are() {
    let place = place();
    let log = place.log();
    let first = opened();
    assert!(log.append(&Entry::Opened(first.clone())));
    let is_open =
        |calls: usize| log.open(Timestamp::MIN, calls).iter().any(|it| it.entry == Entry::Opened(first.clone()));
    assert!(is_open(1) && !is_open(0));
    // A copy of a hook notes the same, and a turn is no call.
    let call = Entry::Step(Step { does: "a".into(), call: "c".into(), ..Step::default() });
    for entry in [&Entry::Opened(first.clone()), &call, &call, &Entry::Turn {}] {
        assert!(log.append(entry));
    }
    assert!(is_open(3), "the copy is the last line that opens it");
    for _ in 0..3 {
        assert!(log.append(&Entry::Opened(opened())));
    }
    assert!(is_open(5) && !is_open(4), "a step, and three failures");
}

#[test]
fn of_a_long_log_hardly_more_is_read_than_what_is_open() {
    let place = place();
    let log = place.log();
    for number in 0..600 {
        assert!(log.append(&Entry::Opened(opened())) && log.tell_once(&format!("failure {number}")), "{number}");
    }
    let last = opened();
    assert!(log.append(&Entry::Opened(last.clone())));
    let open = log.open(Timestamp::MIN, 50);
    assert_eq!((open.len(), open.last().map(|it| it.entry.clone())), (50, Some(Entry::Opened(last))));
    let tail = log.open(Timestamp::MIN, usize::MAX).len();
    assert!((200..600).contains(&tail), "{tail} of those in the tail");
    assert!(!log.tell_once("failure 0") && log.tell_once("failure 600") && log.was_told("failure 599"));
    assert!(!log.was_told("failure") && !log.was_told("0198f3a2"), "a part of a key, or what is no key, is not told");
    assert_eq!((log.told().len(), log.told()[1].as_str()), (602, "failure 1"));
}

#[test]
fn a_key_is_told_once_until_a_reset() {
    let place = place();
    let log = place.log();
    let long = "k".repeat(10_000);
    for key in ["k", "k2", &long] {
        assert!(!log.was_told(key));
        assert_eq!((log.tell_once(key), log.tell_once(key), log.was_told(key)), (true, false, true), "{key}");
    }
    log.reset();
    assert!(log.entries().is_empty() && log.tell_once("k"));
    log.reset();
    log.reset();
}

#[test]
fn of_many_processes_at_once_exactly_one_tells() {
    let place = place();
    let path = place.folder.path().join("home");
    for key in ["a", "b", "c"] {
        let mut children: Vec<Child> = (0..8)
            .map(|_| {
                Command::new(std::env::current_exe().expect("it runs"))
                    .args(["--exact", "session::tests::a_process_of_a_race", "--nocapture"])
                    .env(HOME, &path)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("it can be started")
            })
            .collect();
        // Each waits for its key.
        for child in &mut children {
            writeln!(child.stdin.as_mut().expect("it is piped"), "{key}").expect("it reads");
        }
        let told = |mut child: Child| {
            drop(child.stdin.take());
            let mut said = String::new();
            child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
            assert!(child.wait().expect("it ends").success() && said.contains("told: "), "{said}");
            said.contains("told: true")
        };
        assert_eq!(children.into_iter().map(told).filter(|told| *told).count(), 1, "of key {key}");
    }
    assert_eq!(place.log().entries().len(), 24, "each has appended its line");
}

/// One of the processes that [`of_many_processes_at_once_exactly_one_tells`] starts; alone, it does nothing.
#[test]
fn a_process_of_a_race() {
    let Some(path) = std::env::var_os(HOME) else { return };
    let home = Home::open(std::path::Path::new(&path)).expect("it is a home");
    let log = SessionLog::of(&home, "s", None);
    let mut key = String::new();
    std::io::stdin().read_line(&mut key).expect("there is one");
    println!("told: {}", log.tell_once(key.trim()));
}

#[test]
fn garbage_is_skipped_and_costs_no_line_after_it() {
    let place = place();
    let log = place.log();
    let garbage: [&[u8]; 8] = [
        b"{\"at\":1,\"told\":{\"key\":\"k\"",
        b"\xff\xfe\0\0",
        b"{\"at\":1,\"unknown\":{}}\n",
        b"{\"at\":99999999999999999999,\"turn\":{}}\n",
        b"{\"at\":-5,\"step\":7}\n",
        b"[]\n{}\nnull\n{\"at\":",
        b"{\"at\":1,\"opened\":{\"failure\":\"no id\"}}",
        &[0; 4096],
    ];
    place.put(|_| {});
    for (number, bytes) in garbage.iter().enumerate() {
        let mut file = std::fs::File::options().append(true).create(true).open(place.file()).expect("it opens");
        file.write_all(bytes).expect("there is room");
        assert!(log.append(&step(&number.to_string())));
    }
    let kept: Vec<_> = log.entries().into_iter().map(|it| it.entry).collect();
    assert_eq!(kept, (0..garbage.len()).map(|number| step(&number.to_string())).collect::<Vec<_>>());
    assert!(log.tell_once("k"), "half a line has told nothing");
    assert!(!log.tell_once("k"));
}

/// Whether nothing is told, noted or found.
fn is_silent(log: &SessionLog<'_>) -> bool {
    let silent = !log.append(&step("a")) && !log.tell_once("k") && !log.was_told("k") && log.entries().is_empty();
    log.reset();
    silent
}

#[test]
#[cfg(unix)]
fn what_is_no_plain_file_of_its_own_is_silence() {
    use std::os::unix::fs::symlink;
    let place = place();
    let other = place.folder.path().join("other");
    std::fs::write(&other, "").expect("written");
    place.put(|file| symlink(&other, file).expect("a link"));
    assert!(is_silent(&place.log()), "a symbolic link");
    place.put(|file| std::fs::hard_link(&other, file).expect("a link"));
    assert!(is_silent(&place.log()), "a second name of a file elsewhere");
    place.put(|file| {
        let made = Command::new("mkfifo").arg(file).status().expect("it is installed");
        assert!(made.success());
    });
    assert!(is_silent(&place.log()), "a FIFO");
    place.put(|file| std::fs::create_dir(file).expect("a folder"));
    assert!(is_silent(&place.log()), "a folder");
    std::fs::remove_dir(place.file()).expect("it is still there");
    let folder = place.file().parent().expect("it has one").to_owned();
    std::fs::remove_dir(&folder).expect("it is empty");
    symlink(place.folder.path(), &folder).expect("a link");
    assert!(is_silent(&place.log()), "a link in place of the folder");
    assert_eq!(std::fs::read(&other).expect("it is there"), b"", "nothing was written through a link");
}

#[test]
fn a_log_is_bounded_and_a_huge_file_is_silence() {
    let place = place();
    let log = place.log();
    assert!(!log.append(&step(&"x".repeat(LINE_BYTES_MAX))), "a line is bounded");
    let mut appended = 0;
    while log.append(&step(&"x".repeat(1000))) {
        appended += 1;
    }
    let size = std::fs::metadata(place.file()).expect("it is there").len();
    assert!((BYTES_MAX..BYTES_MAX + 2000).contains(&size) && log.entries().len() == appended, "{size}");
    assert!(!log.tell_once("k"), "in a full log nothing is told");
    let file = std::fs::File::options().write(true).open(place.file()).expect("it opens");
    file.set_len(1 << 40).expect("it becomes a hole");
    assert!(log.entries().is_empty() && !log.tell_once("k"));
    log.reset();
    assert!(log.tell_once("k"), "a reset begins a new file");
}

/// Runs `script` in namespaces of its own, if that is possible here.
#[cfg(target_os = "linux")]
fn with_mount(place: &Place, options: &str, act: &str) -> Option<String> {
    let folder = place.home.private().path().join(SESSIONS);
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = format!("mount -t tmpfs -o {options} tmpfs {0} && {act} && exec \"$@\"", folder.display());
    let script = script.replace("FOLDER", &folder.display().to_string());
    let test = std::env::current_exe().expect("it runs");
    let mut child = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script, "sh"])
        .arg(test)
        .args(["--exact", "session::tests::a_process_of_a_race", "--nocapture"])
        .env(HOME, place.home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let _ = child.stdin.take().map(|mut stdin| writeln!(stdin, "k"));
    let mut said = String::new();
    child.stdout.take()?.read_to_string(&mut said).ok()?;
    child.wait().ok()?.success().then_some(said)
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_and_a_read_only_folder_are_silence() {
    let place = place();
    let Some(said) = with_mount(&place, "size=64k", "true") else {
        eprintln!("skipped: namespaces cannot be made here");
        return;
    };
    assert!(said.contains("told: true"), "there is room: {said}");
    for (options, act) in
        [("size=64k", "{ cat /dev/zero >FOLDER/full 2>/dev/null; true; }"), ("size=64k", "mount -o remount,ro FOLDER")]
    {
        let said = with_mount(&place, options, act).expect("it was possible before");
        assert!(said.contains("told: false"), "{act}: {said}");
    }
}

#[test]
fn old_logs_are_swept_and_nothing_else() {
    let place = place();
    assert_eq!(sweep(&place.home).expect("there is no folder"), 0);
    assert!(place.log().append(&step("a")));
    assert!(SessionLog::of(&place.home, "young", None).append(&step("a")));
    let folder = place.home.private().path().join(SESSIONS);
    std::fs::write(folder.join("notes.txt"), "").expect("written");
    let old = SystemTime::now() - KEEP - Duration::from_secs(60);
    for file in [place.file(), folder.join("notes.txt")] {
        std::fs::File::options().write(true).open(file).expect("it opens").set_modified(old).expect("it is ours");
    }
    assert_eq!(sweep(&place.home).expect("it can be listed"), 1);
    let left = Dir::open(&folder).expect("it is there").names().expect("it can be listed");
    assert!(left.len() == 2 && !place.file().exists() && left.contains(&"notes.txt".to_owned()), "{left:?}");
}

#[test]
#[cfg(unix)]
fn a_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    assert!(place.log().append(&step("a")));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&place.file()), mode(place.file().parent().expect("it has one"))), (0o600, 0o700));
}

#[test]
fn a_code_is_known_once_it_was_noted_and_garbage_is_no_code() {
    let place = place();
    let home = &place.home;
    let code = code_of(home, "s");
    assert_eq!((code.len(), session_of(home, &code)), (6, None), "it was not noted");
    assert_eq!((note_code(home, "s"), note_code(home, "s")), (Some(code.clone()), Some(code.clone())));
    assert_eq!(session_of(home, &code).as_deref(), Some("s"));
    assert_ne!(note_code(home, "t"), Some(code.clone()));
    for odd in ["", "bcdfg", "bcdfghj", "BCDFGH", "../../", "aeioua", "b\u{e9}cdf", "s"] {
        assert_eq!(session_of(home, odd), None, "{odd:?}");
    }
    for odd in ["", " ", &"x".repeat(2_000)] {
        assert_eq!(note_code(home, odd), None);
    }
    // What another put there is not believed.
    let name = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("code\0{code}").as_bytes()).simple().to_string();
    let file = home.private().path().join(SESSIONS).join(&name);
    assert!(is_name(&name), "the sweep takes it for a log");
    for odd in [&b"another session"[..], b"\xff\xfe", b"", &[b'x'; 5_000]] {
        std::fs::write(&file, odd).expect("it was noted");
        assert_eq!(session_of(home, &code), None);
    }
    std::fs::remove_file(&file).expect("it is there");
    std::fs::create_dir(&file).expect("nothing is there");
    assert_eq!((note_code(home, "s"), session_of(home, &code)), (None, None));
}
