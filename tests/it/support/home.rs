//! A home in a temporary folder, made by the real binary.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tempfile::TempDir;

use super::{Cmd, Outcome, PATIENCE, Receipt};

const BINARY: &str = env!("CARGO_BIN_EXE_indelible");

/// The five kinds of record.
pub const KINDS: [&str; 5] = ["failure", "success", "observation", "heuristic", "experiment"];

/// A home, and the folder of the user whom it belongs to.
pub struct TestHome {
    root: TempDir,
    path: PathBuf,
}

impl TestHome {
    /// A new home.
    pub fn new() -> TestHome {
        let home = TestHome::absent();
        let _ = home.cmd(["init"]).ok();
        home
    }

    /// A folder that a home can be made in, with nothing there.
    pub fn absent() -> TestHome {
        let root = tempfile::Builder::new().prefix("indelible-it-").tempdir().expect("a temporary folder");
        let path = root.path().canonicalize().expect("it was just made").join("home");
        TestHome { root, path }
    }

    /// A new home in the folder `within`, which has to outlive it.
    pub fn within(within: &Path) -> TestHome {
        let root = tempfile::Builder::new().prefix("indelible-it-").tempdir_in(within).expect("a temporary folder");
        let path = root.path().canonicalize().expect("it was just made").join("home");
        let home = TestHome { root, path };
        let _ = home.cmd(["init"]).ok();
        home
    }

    /// The home at `path`, or a place for one, which outlives this; its user's own folder is elsewhere.
    pub fn at(path: PathBuf) -> TestHome {
        TestHome { path, ..TestHome::absent() }
    }

    /// A new home that lies at `path` in its user's own folder.
    pub fn named(path: impl AsRef<Path>) -> TestHome {
        let mut home = TestHome::absent();
        home.path = home.path.with_file_name("").join(path);
        let _ = home.cmd(["init"]).ok();
        home
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the user, which the home lies in.
    pub fn user(&self) -> &Path {
        self.root.path()
    }

    /// The user's own settings.
    pub fn user_config(&self) -> PathBuf {
        self.user().join(".config/indelible/config.toml")
    }

    /// Writes the user's own settings.
    pub fn configure_user(&self, text: &str) {
        let path = self.user_config();
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    /// What lies at `path`; the private folder is called `.indelible` here, wherever it lies.
    pub fn join(&self, path: &str) -> PathBuf {
        let private = path.strip_prefix(".indelible").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match private {
            Some("") => self.private(),
            Some(rest) => self.private().join(rest.trim_start_matches('/')),
            None => self.path.join(path),
        }
    }

    /// The private folder: in a user's repository it lies in the git folder.
    pub fn private(&self) -> PathBuf {
        let git = self.path.join(".git");
        let named = std::fs::read_to_string(&git).unwrap_or_default();
        let git = named.strip_prefix("gitdir: ").map_or(git, |named| self.path.join(named.trim_end()));
        let in_git = git.join("indelible");
        if in_git.is_dir() { in_git } else { self.path.join(".indelible") }
    }

    /// Where the private folder lies in a user's repository.
    pub fn private_in_git(&self) -> PathBuf {
        self.path.join(".git/indelible")
    }

    /// The home's id, as its private folder says.
    pub fn id(&self) -> String {
        self.id_in("home.json")
    }

    /// The journal's id.
    pub fn journal_id(&self) -> String {
        self.id_in("journal.json")
    }

    #[track_caller]
    fn id_in(&self, name: &str) -> String {
        let text = std::fs::read(self.private().join(name)).expect("it is a home");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        value["id"].as_str().expect("it has an id").to_owned()
    }

    /// The product, on this home.
    pub fn cmd<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self.bare().args([self.path.as_os_str()]).args(args)
    }

    /// The product with nothing but `--home` so far: the folder is for the caller to name.
    fn bare(&self) -> Cmd {
        Cmd::new(BINARY, self.user()).args(["--home"])
    }

    /// The product without a word about which home is meant.
    pub fn homeless<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Cmd::new(BINARY, self.user()).args(args)
    }

    /// `command`, with the product and this home behind its own arguments.
    pub fn under(&self, command: &[&str], args: &[&str]) -> Cmd {
        let (program, own) = command.split_first().expect("a command has a name");
        Cmd::new(program, self.user()).args(own).args([BINARY, "--home"]).args([self.path.as_os_str()]).args(args)
    }

    /// A recorder of `kind` whose headline is `headline`.
    pub fn recorder(&self, kind: &str, headline: &str) -> Cmd {
        self.cmd(record_args(kind, headline))
    }

    /// Records one thing.
    pub fn record(&self, kind: &str, headline: &str) -> Receipt {
        self.recorder(kind, headline).ok().receipt()
    }

    /// Records one of each kind, and returns their receipts.
    pub fn record_each(&self, headline: &str) -> Vec<Receipt> {
        KINDS.iter().map(|kind| self.record(kind, &format!("{headline} {kind}"))).collect()
    }

    /// Commits what is pending.
    pub fn flush(&self) {
        let _ = self.cmd(["flush"]).ok();
    }

    /// Brings everything back, and returns the report.
    pub fn recover(&self) -> serde_json::Value {
        self.cmd(["recover", "--json"]).ok().json()
    }

    pub fn verify(&self) -> Outcome {
        self.cmd(["verify"]).run()
    }

    pub fn status(&self) -> serde_json::Value {
        self.cmd(["status", "--json"]).ok().json()
    }

    /// Recovers, and holds that this was all there was to do: a second run does nothing, `verify` agrees, and so do git
    /// and SQLite.
    #[track_caller]
    pub fn recover_fully(&self) {
        let _ = self.recover();
        self.assert_settled();
    }

    /// Holds that nothing is left to do.
    #[track_caller]
    pub fn assert_settled(&self) {
        let report = self.recover();
        for (name, value) in report.as_object().expect("a report is an object") {
            let nothing =
                value.is_null() || *value == 0 || *value == false || value.as_array().is_some_and(Vec::is_empty);
            assert!(nothing || name == "reapplied", "a second recovery still found something to do: {report}");
        }
        self.assert_sound();
        super::assert_search_agrees(self, true);
        let _ = self.verify().exits(0);
    }

    /// Makes the home believe that it was used last on another machine, at the same place.
    pub fn change_machine(&self) {
        let path = self.join(".indelible/journal.json");
        let text = std::fs::read(&path).expect("a home has one");
        let mut value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        (value["machine"], value["boot"], value["machines"]) =
            ("another".into(), "another".into(), Vec::<u8>::new().into());
        std::fs::write(&path, value.to_string()).expect("it can be written");
    }

    /// Holds that git and SQLite find nothing wrong with their stores.
    #[track_caller]
    pub fn assert_sound(&self) {
        let fsck = self.git(["fsck", "--strict", "--no-dangling"]).ok();
        let complaint = ["error", "missing", "corrupt", "warning"].into_iter().find(|it| fsck.stderr.contains(it));
        assert_eq!(complaint, None, "git finds something wrong: {fsck}");
        let check: String = self
            .index()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("the index cannot be checked: {error}"));
        assert_eq!(check, "ok", "SQLite finds something wrong with the index");
    }

    /// The git program in the home, without any user's configuration.
    pub fn git<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        self.git_in(&self.path, args)
    }

    pub fn git_in<A: AsRef<str>>(&self, folder: &Path, args: impl IntoIterator<Item = A>) -> Cmd {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Cmd::new("git", self.user())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .folder(folder)
            .args(["-c", "core.quotePath=false"])
            .args(args)
    }

    /// The index, opened beside the product and without leaving a trace.
    pub fn index(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let index = Connection::open_with_flags(self.join("memory/index.db"), flags).expect("the index opens");
        index.busy_timeout(PATIENCE).expect("SQLite takes a timeout");
        index.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("SQLite takes the setting");
        index
    }

    /// Makes the home look as after a start of the machine: the boot is in the rows' watermark.
    pub fn simulate_reboot(&self) {
        let boot = "UPDATE indelible SET value = json_set(value, '$.boot', 'another boot') WHERE name = 'watermark'";
        self.index().execute(boot, []).expect("the index can be written");
    }

    /// Makes the last entry of the journal's newest segment four years older: a 29 February is one then, too.
    #[track_caller]
    pub fn age_last_entry(&self) {
        let (name, bytes) = self.journal().pop().expect("there is a segment");
        let text = String::from_utf8(bytes).expect("the journal is text");
        let (before, entry) = text.trim_end().rsplit_once('\n').expect("a header, and an entry");
        let json = &entry[entry.find('{').expect("an intent is an object")..];
        let at = json.find("\"created_at\":\"").expect("it says when") + 14;
        let year: u32 = json[at..at + 4].parse().expect("a year");
        let old = format!("{} {}{}{}", json.len(), &json[..at], year - 4, &json[at + 4..]);
        let aged = format!("{before}\n{:08x} {old}\n", crc32c::crc32c(old.as_bytes()));
        std::fs::write(self.private().join("journal").join(name), aged).expect("it is ours");
    }

    /// Every byte of the journal, segment by segment.
    pub fn journal(&self) -> Vec<(String, Vec<u8>)> {
        let folder = self.join(".indelible/journal");
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("the journal is there")
            .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("names are ASCII"))
            .collect();
        names.sort();
        let content = |name: &String| std::fs::read(folder.join(name)).expect("a segment can be read");
        names.into_iter().map(|name| (name.clone(), content(&name))).collect()
    }

    /// The size of the journal in bytes.
    pub fn journal_bytes(&self) -> usize {
        self.journal().iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The full name of the reference that has the history.
    pub fn history(&self) -> String {
        let id = std::fs::read_to_string(self.private().join("home.json")).ok();
        let id =
            id.and_then(|text| Some(serde_json::from_str::<serde_json::Value>(&text).ok()?["id"].as_str()?.to_owned()));
        let own = format!("refs/indelible/{}", id.unwrap_or_default());
        match self.git(["rev-parse", "-q", "--verify", &own]).run().code() {
            Some(0) => own,
            _ => format!("refs/heads/{}", self.branch()),
        }
    }

    /// The branch that shows records.
    pub fn branch(&self) -> &'static str {
        let packed = std::fs::read_to_string(self.join(".git/packed-refs")).unwrap_or_default();
        let packed = packed.lines().any(|line| line.ends_with(" refs/heads/indelible"));
        if packed || self.join(".git/refs/heads/indelible").exists() { "indelible" } else { "main" }
    }
}

/// The arguments that record something of `kind` whose headline is `headline`.
pub fn record_args(kind: &str, headline: &str) -> Vec<String> {
    let flags: &[&str] = match kind {
        // The same rule again would be a verdict.
        "heuristic" => &["--domain", "Rules of thumb", "--explanation", "Since it is so.", "--new", "--rule"],
        "experiment" => &["--hypothesis", "It is\nfaster.", "--success-criteria", "Half the time", "--name"],
        _ => &["--domain", "ci", "--tags", "a, b", "--summary", "What happened.\n\nAnd why.", "--title"],
    };
    ["record", kind, "--json"].iter().chain(flags).copied().chain([headline]).map(str::to_owned).collect()
}
