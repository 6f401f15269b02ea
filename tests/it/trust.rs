//! Which homes are used without being named, and what a home may decide.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Cmd, Outcome, TestHome, Worker, assert_exactly_once, in_parallel};

/// A user with a default home, and a folder of theirs for others.
struct User {
    home: TestHome,
}

impl User {
    fn new() -> User {
        let home = TestHome::named(".local/share/indelible");
        User { home }
    }

    fn join(&self, path: &str) -> PathBuf {
        self.home.user().canonicalize().expect("it is there").join(path)
    }

    /// The product in the folder `folder`, without a word about which home is meant.
    fn within(&self, folder: &Path, args: &[&str]) -> Cmd {
        self.home.homeless(args).folder(folder)
    }

    fn init(&self, path: &str) -> PathBuf {
        let path = self.join(path);
        let _ = self.home.homeless(["init", path.to_str().expect("it is text")]).ok();
        path
    }

    /// Records within `folder`, and returns what was said.
    fn record(&self, folder: &Path) -> Outcome {
        self.within(folder, &["record", "failure", "--title", "t", "--domain", "d"]).ok()
    }

    /// How many records wait in the home at `home`.
    fn pending(&self, home: &Path) -> u64 {
        let status = self.home.homeless(["--home", home.to_str().expect("it is text"), "status", "--json"]);
        status.ok().json()["pending"]["records"].as_u64().expect("it is a number")
    }

    fn in_default(&self) -> u64 {
        self.pending(&self.join(".local/share/indelible"))
    }

    fn trusted(&self) -> Value {
        self.home.homeless(["trust", "--list", "--json"]).ok().json()
    }

    fn copy(&self, from: &Path, to: &str) -> PathBuf {
        let to = self.join(to);
        let _ = Cmd::new("cp", self.home.user()).args(["-a"]).args([from, &to]).ok();
        to
    }
}

fn passed_by(path: &Path) -> String {
    format!(
        "passed by the home at {0}: you have not trusted it here; indelible trust {0}\n",
        path.to_str().expect("it is text")
    )
}

/// A home that runs a program of its own and starts a worker, as an archive brings it.
fn hostile_home(user: &User) -> PathBuf {
    let stranger = TestHome::new();
    let write = |path: &str, text: &str| fs::write(stranger.join(path), text).expect("it can be written");
    write("tool", "#!/bin/sh\ntouch \"$HOME/RAN\"\n");
    fs::set_permissions(stranger.join("tool"), fs::Permissions::from_mode(0o755)).expect("it is there");
    write(
        ".indelible/config.toml",
        "[history]\ngit_program = \"../tool\"\npacks_max = 2\n[worker]\nautostart = true\nage_ms = 1\n\
         [redact]\nhooks = false\n[hook.tools]\n\"*\" = []\n",
    );
    user.copy(stranger.path(), "unpacked")
}

/// A clone of a repository that has the home at `home` in it.
fn cloned(user: &User, home: &Path) -> PathBuf {
    let (repository, clone) = (user.copy(home, "repository"), user.join("clone"));
    fs::remove_dir_all(repository.join(".git")).expect("it is there");
    let git = |args: &[&str]| drop(user.home.git_in(&repository, args).ok());
    git(&["init", "-q"]);
    let empty = Cmd::new("find", user.home.user()).args([&repository]);
    let _ = empty.args(["-type", "d", "-empty", "-not", "-path", "*/.git/*", "-exec", "touch", "{}/x", ";"]).ok();
    git(&["add", "-f", ".indelible", "memory", "tool"]);
    git(&["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]);
    let _ = Cmd::new("git", user.home.user()).args(["clone", "-q"]).args([&repository, &clone]).ok();
    assert!(clone.join(".indelible/home.json").is_file(), "the clone brings no home");
    clone
}

#[test]
fn a_cloned_home_is_passed_by_and_decides_nothing() {
    let user = User::new();
    let clone = hostile_home(&user);
    let journal = |home: &Path| {
        let made = fs::read_dir(home.join(".indelible/journal")).expect("it is there");
        made.flatten().map(|it| it.metadata().expect("it is there").len()).max()
    };
    // What git has checked out is not even looked at.
    let checked_out = cloned(&user, &clone);
    let before = journal(&checked_out);
    assert_eq!(user.record(&checked_out.join("memory")).stderr, "");
    assert_eq!((user.in_default(), journal(&checked_out)), (1, before));
    let _ = user.home.homeless(["trust", checked_out.to_str().expect("it is text")]).run().exits(78);
    user.home.flush();
    for number in 0..8 {
        let said = user.record(&clone.join("memory"));
        assert_eq!(said.stderr, passed_by(&clone), "run {number}");
    }
    let event =
        json!({"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": "[LEARNED:ci] Always pin it."});
    let hook = user.within(&clone, &["hook"]).stdin(event.to_string()).ok();
    assert_eq!((hook.stdout.as_str(), hook.stderr.as_str()), ("{}\n", ""), "a hook is silent");
    assert_eq!(user.in_default(), 9, "what was recorded within the clone is in the default home");
    assert!(!user.join("RAN").exists(), "the clone's program was run");
    assert_eq!(journal(&clone), before, "something is in its journal");

    // The user sees how many records came from within, where a person or an agent looks.
    let status = user.within(&user.join(""), &["status", "--json"]).ok().json();
    assert_eq!(status["passed"], json!([{ "path": clone, "records": 9 }]));
    let start = json!({"hook_event_name": "SessionStart", "session_id": "s"}).to_string();
    let told = user.within(&clone, &["hook"]).stdin(start).ok().stdout;
    let words = format!(
        "9 records came from within {0}, a home that you have not trusted: indelible trust {0}",
        clone.display()
    );
    assert!(told.contains(&words), "{told}");

    // Trusted, it is used; what it says of others' affairs is ignored and named.
    let trusted = user.home.homeless(["trust", clone.to_str().expect("it is text")]).ok();
    assert!(trusted.stdout.contains("9 records came from within it"), "{trusted}");
    let said = user.record(&clone);
    assert_eq!((said.stderr.as_str(), user.in_default()), ("", 9));
    let _ = user.within(&clone, &["flush"]).ok();
    let _ = user.within(&clone, &["recover"]).ok();
    assert!(!user.join("RAN").exists(), "the trusted home's program was run");
    let list = user.within(&clone, &["config", "list", "--json"]).ok().json();
    let notice = list["notices"][0].as_str().expect("there is a notice");
    for key in ["history.git_program", "history.packs_max", "worker.autostart", "redact.hooks", "hook.tools"] {
        assert!(notice.contains(key), "{notice}");
    }
    let status = user.within(&clone, &["status", "--json"]).ok().json();
    assert_eq!(status["settings_notices"][0], notice);
    assert_eq!((&status["worker"], &status["passed"]), (&Value::Null, &json!([])), "a worker was started");
}

/// What a stranger gains if a user works in the stranger's folder.
#[test]
fn a_clone_does_not_decide_what_is_redacted() {
    let user = User::new();
    let clone = hostile_home(&user);
    let _ = user.home.homeless(["trust", clone.to_str().expect("it is text")]).ok();
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let said = format!("[LEARNED:ci] Always push with {secret}.");
    let event = json!({"hook_event_name": "Stop", "session_id": "s", "last_assistant_message": said});
    let _ = user.within(&clone, &["hook"]).stdin(event.to_string()).ok();
    assert_eq!(user.pending(&clone), 1);
    let _ = Cmd::new("grep", user.home.user()).args(["-rlaF", &secret]).args([&clone]).run().exits(1);
}

#[test]
fn a_home_may_add_to_what_is_redacted() {
    let home = TestHome::new();
    home.configure_user("[redact]\nrecords = true\n[redact.patterns]\nticket = \"T-[0-9]+\"\n");
    let text = "[redact]\nhooks = false\nrecords = false\n[redact.patterns]\nticket = \"never\"\nours = \"X-[0-9]+\"\n";
    fs::write(home.join(".indelible/config.toml"), text).expect("it is ours");
    let _ = home.cmd(["record", "failure", "--title", "T-42 and X-43", "--domain", "d"]).ok();
    let title: String =
        home.index().query_row("SELECT title FROM learnings", [], |row| row.get(0)).expect("it is there");
    assert_eq!(title, "[redacted:ticket] and [redacted:ours]");
    // To redact more is no harm.
    home.configure_user("");
    fs::write(home.join(".indelible/config.toml"), "[redact]\nrecords = true\n").expect("it is ours");
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let _ = home.cmd(["record", "failure", "--title", &secret, "--domain", "d"]).ok();
    let count = "SELECT count(*) FROM learnings WHERE title = '[redacted:github-token]'";
    assert_eq!(home.index().query_row(count, [], |row| row.get::<_, i64>(0)).expect("it can be asked"), 1);
}

#[test]
fn the_next_home_is_taken_further_up_and_then_the_default_one() {
    let user = User::new();
    let outer = user.init("outer");
    let inner = user.init("outer/a/inner");
    let deep = inner.join("x/y");
    fs::create_dir_all(&deep).expect("it can be made");
    assert_eq!(user.record(&deep).stderr, "");
    assert_eq!((user.pending(&inner), user.pending(&outer)), (1, 0));
    let _ = user.home.homeless(["trust", "--revoke", inner.to_str().expect("it is text")]).ok();
    assert_eq!(user.record(&deep).stderr, passed_by(&inner));
    assert_eq!((user.pending(&inner), user.pending(&outer)), (1, 1));
    let _ = user.within(&outer, &["trust", "--revoke", "."]).ok();
    assert_eq!(user.record(&deep).stderr, passed_by(&inner), "one line, of the nearest");
    assert_eq!((user.pending(&outer), user.in_default()), (1, 1));
    // Named, it is used.
    let _ =
        user.within(&deep, &["record", "failure", "--title", "t", "--domain", "d"]).env("INDELIBLE_HOME", &inner).ok();
    assert_eq!(user.pending(&inner), 2);
    let again = user.within(&deep, &["trust", "--revoke", "."]).run().exits(64);
    assert!(again.stderr.contains("trust --list"), "{again}");
}

#[test]
fn a_moved_home_is_known_again_and_a_copy_is_not() {
    let user = User::new();
    let first = user.init("first");
    let second = user.join("second");
    fs::rename(&first, &second).expect("it moves");
    let said = user.record(&second);
    assert!(said.stderr.contains("was at") && said.stderr.lines().count() == 1, "{said}");
    assert_eq!(user.record(&second).stderr, "", "it is said once");
    assert_eq!(user.pending(&second), 2);
    let copy = user.copy(&second, "copy");
    let said = user.record(&copy);
    assert!(said.stderr.starts_with(&format!("passed by the home at {}", copy.display())), "{said}");
    assert!(said.stderr.contains("it is a copy of the one at"), "{said}");
    assert_eq!((user.pending(&copy), user.in_default()), (2, 1));
    // A copy that is trusted is another home, and the first one stays what it was.
    let trusted = user.within(&copy, &["trust", "--json"]).ok().json();
    assert_eq!((&trusted["was_trusted"], &trusted["same_id"]), (&json!(false), &json!(second)));
    assert_eq!((user.record(&copy).stderr.as_str(), user.record(&second).stderr.as_str()), ("", ""));
    // What was revoked does not come back as one that was moved.
    let _ = user.within(&second, &["trust", "--revoke", "."]).ok();
    assert!(user.record(&second).stderr.contains("you have not trusted it here"));
}

/// What the user said of one home does not hold for another that claims its id.
#[test]
fn no_home_takes_the_settings_of_another() {
    let user = User::new();
    let (mine, theirs) = (user.init("mine"), user.init("theirs"));
    let _ = user.within(&mine, &["config", "set", "redact.records", "true"]).ok();
    let _ = user.within(&mine, &["config", "set", "hook.record", "false"]).ok();
    let get = |home: &Path, key: &str| user.within(home, &["config", "get", key]).ok().stdout;
    assert_eq!((get(&mine, "hook.record"), get(&theirs, "hook.record")), ("false\n".into(), "true\n".into()));
    let identity = |home: &Path| home.join(".indelible/home.json");
    let of_theirs = fs::read(identity(&theirs)).expect("it is there");
    fs::copy(identity(&mine), identity(&theirs)).expect("it can be planted");
    assert_eq!(get(&theirs, "hook.record"), "true\n", "it has the settings of another");
    fs::write(identity(&mine), of_theirs).expect("it can be planted");
    assert_eq!(get(&mine, "redact.records"), "true\n", "it has got rid of its user's settings");
}

#[test]
fn what_others_can_change_is_not_trusted() {
    let user = User::new();
    let above = user.join("above");
    let home = user.init("above/home");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    let private = home.join(".indelible");
    for (path, bits) in [(&above, 0o777), (&above, 0o775), (&home, 0o777), (&home, 0o1777), (&private, 0o777)] {
        mode(path, bits);
        let said = user.record(&home);
        assert!(said.stderr.contains("could be changed by another user"), "{bits:o}: {said}");
        let refused = user.home.homeless(["trust", home.to_str().expect("it is text")]).run().exits(77);
        assert!(refused.stderr.contains(&format!("chmod go-w {}", path.display())), "{refused}");
        mode(path, 0o755);
    }
    // In a folder like /tmp everybody can make names, and only their owners can change them.
    mode(&above, 0o1777);
    assert_eq!(user.record(&home).stderr, "");
    assert_eq!((user.pending(&home), user.in_default()), (1, 5));
    // Notes that others can write are no notes.
    mode(&user.join(".local/state/indelible/homes.json"), 0o666);
    assert_eq!(user.record(&home).stderr, passed_by(&home));
}

#[test]
fn the_home_of_another_user_is_passed_by() {
    if rustix::process::geteuid().as_raw() != 0 {
        eprintln!("skipped: only root can give a home away");
        return;
    }
    let user = User::new();
    let home = user.init("theirs/home");
    let give = |path: &Path, whose: &str| Cmd::new("chown", user.home.user()).args(["-R", whose]).args([path]).ok();
    for path in ["theirs/home", "theirs/home/.indelible", "theirs"] {
        let _ = give(&user.join(path), "1001");
        let said = user.record(&home);
        assert!(said.stderr.starts_with("passed by the home at "), "{path}: {said}");
        let _ = give(&user.join(path), "0");
    }
    assert_eq!((user.pending(&home), user.in_default()), (0, 3));
    let _ = give(&user.join("theirs/home"), "1001");
    let _ = user.home.homeless(["trust", home.to_str().expect("it is text")]).run().exits(77);
}

#[test]
fn without_a_state_folder_only_what_the_variable_names_is_trusted() {
    let user = User::new();
    let home = user.init("home");
    let record = || {
        user.within(&home, &["record", "failure", "--title", "t", "--domain", "d"])
            .env("XDG_STATE_HOME", user.join("none"))
    };
    assert_eq!(record().ok().stderr, passed_by(&home));
    for (named, is_used) in [
        (format!("/elsewhere:{}", home.display()), true),
        (format!("{}/", home.display()), true),
        (home.parent().expect("it has one").display().to_string(), false),
        (".".to_owned(), false),
        (String::new(), false),
    ] {
        let said = record().env("INDELIBLE_TRUST", &named).ok();
        assert_eq!(said.stderr.is_empty(), is_used, "{named:?}: {said}");
    }
    assert!(!user.join("none/indelible/homes.json").exists());
    // Without a user's own folder nothing is, not even what lies in the working folder by that name.
    let bare = user.within(&home, &["record", "failure", "--title", "t", "--domain", "d"]);
    for folder in ["", ".", "relative"] {
        let _ = user.within(&home, &["trust", "--list"]).env("HOME", folder).run();
    }
    let said = bare.env("HOME", ".").run().exits(78);
    assert!(said.stderr.contains("passed by the home at"), "{said}");
}

#[test]
fn planted_and_broken_homes_are_never_an_error() {
    let user = User::new();
    let plant = |name: &str| {
        let planted = user.join(name);
        fs::create_dir_all(planted.join(".indelible")).expect("it can be made");
        planted
    };
    let token = plant("token");
    fs::write(token.join(".indelible/home.json"), "garbage").expect("it can be written");
    fs::write(token.join(".indelible/token"), "0".repeat(32)).expect("it can be written");
    let folder = plant("folder");
    fs::write(folder.join(".indelible/home.json"), "").expect("it can be written");
    fs::create_dir(folder.join(".indelible/token")).expect("it can be made");
    let pipe = plant("pipe");
    fs::write(pipe.join(".indelible/home.json"), "{}").expect("it can be written");
    let _ = Cmd::new("mkfifo", user.home.user()).args([pipe.join(".indelible/token")]).ok();
    let link = user.join("link");
    fs::create_dir(&link).expect("it can be made");
    std::os::unix::fs::symlink(user.join(".local/share/indelible/.indelible"), link.join(".indelible"))
        .expect("a link");
    // A token that is known, in a home that is not its own.
    let real = user.init("real");
    let thief = plant("thief");
    fs::copy(real.join(".indelible/home.json"), thief.join(".indelible/home.json")).expect("it is there");
    fs::copy(real.join(".indelible/token"), thief.join(".indelible/token")).expect("it is there");
    // A private folder elsewhere makes no home.
    assert_eq!(user.record(&link).stderr, "");
    let planted = [token, folder, pipe, thief];
    for planted in &planted {
        let said = user.record(planted);
        assert!(said.stderr.starts_with(&format!("passed by the home at {}", planted.display())), "{said}");
    }
    assert_eq!(user.in_default(), 5);
}

#[test]
fn paths_are_shown_safely_and_can_be_pasted() {
    let user = User::new();
    let home = user.init("it's a $(touch x)\n\x1b[31mhome");
    let _ = user.within(&home, &["trust", "--revoke", "."]).ok();
    let said = user.record(&home);
    assert_eq!(said.stderr.lines().count(), 1, "{said}");
    assert!(!said.stderr.contains('\x1b'), "{said}");
    let command = said.stderr.trim_end().rsplit_once("; indelible ").expect("there is a command").1;
    let script = format!("exec \"$0\" {command}");
    let _ = Cmd::new("bash", user.home.user()).args(["-c", &script, env!("CARGO_BIN_EXE_indelible")]).ok();
    assert_eq!(user.record(&home).stderr, "");
    assert!(!user.join("x").exists());
}

#[test]
fn what_is_trusted_can_be_listed() {
    let user = User::new();
    let (stays, goes, safe) = (user.init("stays"), user.init("goes"), user.init("safe"));
    fs::remove_dir_all(&goes).expect("it is there");
    fs::set_permissions(&safe, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let list = user.trusted();
    let places: Vec<_> =
        list["homes"].as_array().expect("a list").iter().map(|home| home["places"][0].clone()).collect();
    for (path, state) in [(&stays, "trusted"), (&goes, "gone"), (&safe, "unsafe")] {
        assert!(places.contains(&json!({ "path": path, "state": state })), "{list}");
    }
    assert_eq!(list["default"], json!(user.join(".local/share/indelible")));
    let shown = user.home.homeless(["trust", "--list"]).ok().stdout;
    assert!(shown.contains("by its place") && shown.contains(goes.to_str().expect("it is text")), "{shown}");
    let refused = user.within(&user.join(""), &["trust"]).run().exits(78);
    assert!(refused.stderr.contains("indelible trust DIR"), "{refused}");
    let refused = user.within(&user.join(""), &["trust", "stays/nothing"]).run().exits(78);
    assert!(refused.stderr.contains("indelible init"), "{refused}");
}

/// Many at once, and some of them die in the middle: the notes are whole, and have all that was acknowledged.
#[test]
fn many_homes_are_trusted_at_once() {
    let user = User::new();
    in_parallel(24, 8, |number| {
        let path = user.join(&format!("home{number}"));
        let init = user.home.homeless(["init", path.to_str().expect("it is text")]);
        match number % 3 {
            0 => drop(init.env("INDELIBLE_CRASH_AT", "TrustBeforeNote").run().aborted()),
            _ => drop(init.ok()),
        }
    });
    let trusted = |user: &User| user.trusted()["homes"].as_array().expect("a list").len();
    assert_eq!(trusted(&user), 17, "sixteen and the default one");
    for number in (0..24).step_by(3) {
        let path = user.join(&format!("home{number}"));
        assert!(user.record(&path).stderr.starts_with("passed by"), "{number}");
        let trust = user.home.homeless(["trust", path.to_str().expect("it is text")]);
        let _ = trust.env("INDELIBLE_CRASH_AT", "ReplaceAfterRename:2").run().aborted();
        let _ = user.home.homeless(["trust", path.to_str().expect("it is text")]).ok();
        assert_eq!(user.record(&path).stderr, "", "{number}");
    }
    assert_eq!(trusted(&user), 25);
    let left = user.join(".local/state/indelible/homes.json.tmp");
    assert_eq!(fs::read_dir(left).expect("it is there").count(), 0, "something is left");
}

/// In another user's folders nothing is made.
#[test]
fn root_leaves_the_state_folder_of_another_user_alone() {
    if rustix::process::geteuid().as_raw() != 0 {
        eprintln!("skipped: only root acts for others");
        return;
    }
    let user = User::new();
    let other = tempfile::tempdir().expect("a temporary folder");
    let _ = Cmd::new("chown", user.home.user()).args(["1001"]).args([other.path()]).ok();
    let config = other.path().join(".config/indelible");
    fs::create_dir_all(&config).expect("it can be made");
    fs::write(config.join("config.toml"), "[hook]\nseverity = 5\n[worker]\nautostart = true\n")
        .expect("it can be written");
    let _ = Cmd::new("chown", user.home.user()).args(["-R", "1001"]).args([other.path().join(".config")]).ok();
    let home = user.join("home");
    let made = user.home.homeless(["init", home.to_str().expect("it is text")]).env("HOME", other.path()).ok();
    assert!(made.stderr.contains("belongs to user 1001"), "{made}");
    let refused = user.home.homeless(["init"]).env("HOME", other.path()).run().exits(77);
    assert!(refused.stderr.contains("belongs to user 1001"), "{refused}");
    assert!(!other.path().join(".local").exists());
    let get = |key: &str| {
        user.home
            .homeless(["--home", home.to_str().expect("it is text"), "config", "get", key])
            .env("HOME", other.path())
            .ok()
    };
    assert_eq!((get("hook.severity").stdout, get("worker.autostart").stdout), ("2\n".into(), "false\n".into()));
}

/// A link to one of root's own files, or this user's, is not a file of theirs.
#[test]
fn no_other_user_names_the_settings_and_notes_by_a_link() {
    if rustix::process::geteuid().as_raw() != 0 {
        eprintln!("skipped: only root acts for others");
        return;
    }
    let user = User::new();
    let home = user.init("home");
    let notes = user.join(".local/state/indelible/homes.json");
    let settings = user.join("settings.toml");
    fs::write(&settings, "[hook]\nseverity = 5\n").expect("it can be written");
    let get = |folder: &Path| {
        let get = ["--home", home.to_str().expect("it is text"), "config", "get", "hook.severity"];
        user.home.homeless(get).env("HOME", folder).run()
    };
    let record = |folder: &Path| {
        let record = user.within(&home, &["record", "failure", "--title", "t", "--domain", "d"]);
        record.env("HOME", folder).env("XDG_DATA_HOME", user.join(".local/share")).ok().stderr
    };
    let other = tempfile::tempdir().expect("a temporary folder");
    let (config, state) = (other.path().join(".config/indelible"), other.path().join(".local/state/indelible"));
    fs::create_dir_all(&config).expect("it can be made");
    fs::create_dir_all(&state).expect("it can be made");
    std::os::unix::fs::symlink(&settings, config.join("config.toml")).expect("a link");
    std::os::unix::fs::symlink(&notes, state.join("homes.json")).expect("a link");
    // As for a user whose settings lie elsewhere.
    assert_eq!((get(other.path()).stdout.as_str(), record(other.path()).as_str()), ("5\n", ""));
    let _ = Cmd::new("chown", user.home.user()).args(["-R", "-h", "1001"]).args([other.path()]).ok();
    assert_eq!(get(other.path()).exits(0).stdout, "2\n", "another user has linked to them");
    assert_eq!(record(other.path()), passed_by(&home));
    for path in [".config", ".config/indelible", ".local", ".local/state", ".local/state/indelible"] {
        let _ = Cmd::new("chown", user.home.user()).args(["0"]).args([other.path().join(path)]).ok();
    }
    assert_eq!(get(other.path()).exits(0).stdout, "2\n", "another user can replace the folder");
    assert_eq!(record(other.path()), passed_by(&home));
    // A folder in which everybody can put something in the place of the file.
    let _ = Cmd::new("chown", user.home.user()).args(["0"]).args([other.path()]).ok();
    assert_eq!(get(other.path()).exits(0).stdout, "5\n");
    fs::set_permissions(settings.parent().expect("it has one"), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let refused = get(other.path()).exits(77);
    assert!(refused.stderr.contains("could be changed by another user"), "{refused}");
}

/// In a sandbox with a single user, root's folders are shown as those of the user `nobody`.
#[test]
fn a_home_is_trusted_in_a_sandbox_without_root() {
    if rustix::process::geteuid().as_raw() != 0 {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let user = User::new();
    let home = user.init("home");
    user.home.configure_user("[hook]\nseverity = 5\n");
    let _ = Cmd::new("chown", user.home.user()).args(["-R", "1001:1001"]).args([user.join("")]).ok();
    let sandbox = |program: &str, args: &[&str]| {
        let become_it = ["--reuid", "1001", "--regid", "1001", "--clear-groups", "unshare", "-U", "--map-user=1001"];
        let command = Cmd::new("setpriv", user.home.user()).args(become_it).args(["--map-group=1001", program]);
        command.args(args).folder(&home)
    };
    if sandbox("true", &[]).run().code() != Some(0) {
        eprintln!("skipped: no user namespace can be had");
        return;
    }
    let binary = env!("CARGO_BIN_EXE_indelible");
    assert_eq!(sandbox("stat", &["-c", "%u", "/"]).ok().stdout, "65534\n");
    assert_eq!(sandbox(binary, &["record", "failure", "--title", "t", "--domain", "d"]).ok().stderr, "");
    assert_eq!(sandbox(binary, &["config", "get", "hook.severity"]).ok().stdout, "5\n");
}

/// A git program is found on `PATH`, and never in the working folder.
#[test]
fn no_program_comes_from_the_working_folder() {
    let home = TestHome::new();
    let folder = home.user().join("work");
    fs::create_dir(&folder).expect("it can be made");
    // A git program works in the repository, so that is a working folder too.
    for planted in [folder.join("git"), home.join("git"), home.join(".git/git")] {
        fs::write(&planted, "#!/bin/sh\ntouch \"$HOME/RAN\"\nexit 1\n").expect("it can be written");
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o755)).expect("it is there");
    }
    let path = std::env::var("PATH").expect("there is one");
    for path in [format!(":{path}"), format!(".:{path}"), format!("../work:{path}"), String::from(".")] {
        for number in 0..4 {
            let _ = home.record("failure", &format!("{path} {number}"));
            home.flush();
        }
        let _ = home.cmd(["recover", "--set", "history.packs_max=2"]).folder(&folder).env("PATH", &path).ok();
        let _ = home.cmd(["status"]).folder(&folder).env("PATH", &path).ok();
    }
    for program in ["./git", "work/git", "../work/git"] {
        let set = format!("history.git_program={program}");
        let refused = home.cmd(["recover", "--set", &set]).folder(&folder).run().exits(64);
        assert!(refused.stderr.contains("an absolute path or a plain name"), "{refused}");
    }
    assert!(!home.user().join("RAN").exists(), "a program of the working folder was run");
}

/// What a repository can make a git program run is not run.
#[test]
fn a_repack_runs_nothing_that_the_repository_names() {
    let home = TestHome::new();
    let ran = home.user().join("RAN");
    let tool = home.user().join("tool");
    fs::write(&tool, format!("#!/bin/sh\ntouch '{}'\ncat >/dev/null\n", ran.display())).expect("it can be written");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("it is there");
    let config = fs::read_to_string(home.join(".git/config")).expect("it is there");
    let tool = tool.display();
    let planted = format!(
        "{config}[core]\n\tfsmonitor = {tool}\n\thooksPath = {hooks}\n\tsshCommand = {tool}\n\tpager = {tool}\n\teditor = {tool}\n\
         \taskPass = {tool}\n\tgitProxy = {tool}\n\talternateRefsCommand = {tool}\n[gpg]\n\tprogram = {tool}\n[commit]\n\tgpgSign = true\n\
         [gc]\n\trecentObjectsHook = {tool}\n[uploadpack]\n\tpackObjectsHook = {tool}\n[filter \"x\"]\n\tclean = {tool}\n\tsmudge = {tool}\n\
         \tprocess = {tool}\n[diff]\n\texternal = {tool}\n[credential]\n\thelper = {tool}\n[remote \"origin\"]\n\turl = ssh://x/y\n\
         \tpromisor = true\n\tpartialclonefilter = blob:none\n\tuploadpack = {tool}\n[alias]\n\tpack-objects = !{tool}\n",
        hooks = home.join(".git/hooks").display()
    );
    fs::write(home.join(".git/config"), planted).expect("it is ours");
    fs::create_dir_all(home.join(".git/hooks")).expect("it can be made");
    for hook in
        ["reference-transaction", "post-index-change", "pre-auto-gc", "post-rewrite", "update", "fsmonitor-watchman"]
    {
        fs::copy(home.user().join("tool"), home.join(".git/hooks").join(hook)).expect("it can be planted");
    }
    let log = home.user().join("log");
    for number in 0..6 {
        let _ = home.record("failure", &format!("one {number}"));
        home.flush();
    }
    let packs = || fs::read_dir(home.join(".git/objects/pack")).expect("it is there").count();
    let before = packs();
    let recover = ["recover", "--set", "history.packs_max=2"];
    let said =
        home.cmd(recover).env("INDELIBLE_LOG", "debug").env("GIT_TRACE", &log).env("GIT_SSH_COMMAND", "touch RAN").ok();
    assert!(said.stderr.contains("by: Git"), "the git program did not do it: {said}");
    assert!(packs() < before, "nothing was rolled together");
    assert!(!ran.exists(), "a program that the repository names was run");
    assert!(!log.exists(), "a variable of the caller reached the git program");
    home.assert_sound();
}

/// In a home that this user has not trusted, the library rolls packs together, without a git program.
#[test]
fn no_git_program_runs_in_an_untrusted_home() {
    let home = TestHome::new();
    let _ = home.cmd(["trust", "--revoke", home.path().to_str().expect("it is text")]).ok();
    for number in 0..6 {
        let _ = home.record("failure", &format!("one {number}"));
        home.flush();
    }
    let recover = ["recover", "--set", "history.packs_max=2"];
    let said = home.cmd(recover).env("INDELIBLE_LOG", "debug").ok();
    assert!(said.stderr.contains("by: Library"), "{said}");
}

/// One rule for every command: the home that is stood in is the one that is acted on, and it is named before.
#[test]
fn every_command_means_the_same_home() {
    let user = User::new();
    let home = user.init("home");
    let shown = home.to_str().expect("it is text");
    let named = |args: &[&str]| user.within(&home, args).run();
    for args in
        [&["flush"][..], &["recover"], &["repair"], &["repair", "--dismiss"], &["config", "set", "worker.age_ms", "7"]]
    {
        let said = named(args);
        assert!(said.stderr.starts_with(&format!("home: {shown} (the nearest above this folder)\n")), "{said}");
        let variable = user.within(&user.join(""), args).env("INDELIBLE_HOME", &home).ok();
        assert!(variable.stderr.starts_with(&format!("home: {shown} (named by INDELIBLE_HOME)\n")), "{variable}");
    }
    let status = named(&["status", "--json"]).json();
    assert_eq!(status["home"], shown);
}

#[test]
fn release_and_adopt_mean_the_home_that_is_stood_in() {
    let user = User::new();
    let framework = |path: &str| {
        let path = user.join(path);
        fs::create_dir_all(path.join("memory/failures")).expect("it can be made");
        let schema = "CREATE TABLE learnings (id INTEGER PRIMARY KEY, type TEXT, filepath TEXT, title TEXT)";
        rusqlite::Connection::open(path.join("memory/index.db"))
            .expect("it opens")
            .execute(schema, [])
            .expect("it is new");
        let _ = user.home.homeless(["adopt", path.to_str().expect("it is text"), "--yes"]).ok();
        path
    };
    let (usual, here) = (framework(".claude/emergent-learning"), framework("here"));
    let said = user.within(&here, &["release"]).ok();
    assert!(said.stdout.starts_with(&format!("home: {} (the nearest above this folder)\n", here.display())), "{said}");
    let said = user.within(&user.join(""), &["release"]).env("INDELIBLE_HOME", &here).ok();
    assert!(said.stdout.starts_with(&format!("home: {} (named by INDELIBLE_HOME)\n", here.display())), "{said}");
    let said = user.within(&user.join(""), &["adopt"]).env("INDELIBLE_HOME", &here).ok();
    assert!(said.stdout.starts_with(&format!("home: {}", here.display())), "{said}");
    let said = user.within(&here, &["release", "--yes"]).ok();
    assert!(said.stdout.starts_with(&format!("home: {}", here.display())), "it is not named before: {said}");
    assert!(!here.join(".indelible/home.json").exists() && usual.join(".indelible/home.json").exists());
    let said = user.within(&user.join(""), &["release"]).ok();
    assert!(said.stdout.starts_with(&format!("home: {} (the framework's usual place)\n", usual.display())), "{said}");
}

/// Settings that cannot be read for a moment are not bad settings.
#[test]
fn settings_that_cannot_be_read_at_the_moment_are_not_called_bad() {
    let user = TestHome::new();
    if Cmd::new("strace", user.user()).args(["-V"]).into_command().output().is_err() {
        eprintln!("skipped: without strace no call can fail");
        return;
    }
    let faulty = |file: &Path, error: &str, args: &[&str]| {
        let inject = format!("inject=openat,openat2:error={error}");
        let path = file.to_str().expect("it is text");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=openat,openat2", "-e", &inject];
        user.under(&strace, args).run()
    };
    user.configure_user("[worker]\nstop_s = 3\n");
    let before = user.journal();
    for file in [user.user_config()] {
        for (error, exit) in [("EMFILE", 75), ("ENFILE", 75), ("ENOMEM", 75), ("EIO", 74), ("EACCES", 74)] {
            for args in
                [&["record", "failure", "--title", "t", "--domain", "d"][..], &["flush"], &["status"], &["worker"]]
            {
                let said = faulty(&file, error, args).exits(exit);
                assert!(said.stderr.contains("cannot be read at the moment"), "{said}");
                assert!(!said.stderr.contains("mend"), "{said}");
            }
        }
    }
    assert_eq!(user.journal(), before);

    // Whether a home is trusted, too: for want of a descriptor no record goes elsewhere.
    let other = User::new();
    let home = other.init("home");
    let notes = other.join(".local/state/indelible/homes.json");
    let binary = env!("CARGO_BIN_EXE_indelible");
    for error in ["EMFILE", "EIO"] {
        let inject = format!("inject=openat,openat2:error={error}");
        let strace = Cmd::new("strace", other.home.user()).args(["-qq", "-o", "/dev/null", "-P"]).args([&notes]);
        let strace = strace.args(["-e", "trace=openat,openat2", "-e", &inject, binary]);
        let said = strace.args(["record", "failure", "--title", "t", "--domain", "d"]).folder(&home).run().exits(75);
        assert!(said.stderr.contains("cannot determine whether you trust the home at"), "{said}");
    }
    assert_eq!((other.pending(&home), other.in_default()), (0, 0));
}

/// A worker goes on with the settings that it had, and reads them again by itself.
#[test]
fn a_worker_reads_again_what_it_could_not_read() {
    let home = TestHome::new();
    home.configure_user("[worker]\nage_ms = 3600000\n");
    let mut worker = Worker::start(&home, &[]);
    let config = home.user_config();
    fs::remove_file(&config).expect("it is there");
    std::os::unix::fs::symlink(&config, &config).expect("a link that leads to itself");
    worker.signal(Signal::HUP);
    worker.wait_for_line("cannot be read at the moment; the old ones stay");
    let receipt = home.recorder("failure", "waits").env("HOME", home.user().join("none")).ok().receipt();
    fs::remove_file(&config).expect("it is there");
    home.configure_user("[worker]\nage_ms = 1\n");
    worker.wait_for_line("the settings were read again");
    worker.wait_until_committed(&home);
    assert_eq!(worker.stop(Signal::TERM).code(), Some(0));
    assert_exactly_once(&home, &[receipt]);
}
