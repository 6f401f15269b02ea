//! The git program as a child process: started in an environment that is built here, with nothing to ask and an end in
//! bounded time.
//!
//! 1. The environment is made, not cleaned: of git's own variables only those that say how to reach a server (`KEPT`), so that
//!    neither a hook that runs us nor `GIT_NAMESPACE` and the like lead git elsewhere. Other programs' variables stay: a credential
//!    helper may read any of them.
//! 2. Nothing is asked: no terminal, no askpass, ssh in batch mode. What needs an answer fails instead.
//! 3. The child has a session of its own. At the deadline, or when its caller has to stop, the whole group is asked to end, and
//!    killed two seconds later: no process of it is left.
//! 4. No hook of the user runs on this side, nothing is signed, no garbage collector starts.
//! 5. The repository, addresses and settings go through the environment, which other users cannot read, and not through the arguments.

use std::ffi::OsString;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fs::os;
use crate::model::text;

use super::url;
use super::{Class, Error};

/// How long a child that is asked to end has for it before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long output is waited for once the child has ended: a process that it left behind can hold the pipe open.
const OUTPUT_WAIT: Duration = Duration::from_millis(500);
/// The first pause between two looks at a child that has closed its output.
const PAUSE_MIN: Duration = Duration::from_micros(100);
/// The longest pause between two looks at a running child.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// So much of what a child says on stderr is kept.
const STDERR_MAX: usize = 64 << 10;
/// So many characters of it go into an error.
const SAID_MAX: usize = 400;

/// The variables of git that are kept: how to reach a server, and where the user's configuration is.
const KEPT: &[&str] = &[
    "GIT_ALLOW_PROTOCOL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_HTTP_USER_AGENT",
    "GIT_PROXY_COMMAND",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_PROXY_SSL_CERT",
    "GIT_PROXY_SSL_KEY",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_CIPHER_LIST",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_SSL_VERSION",
];
/// What every child gets, whatever the user has.
const FIXED: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("LC_ALL", "C"),
    ("LANGUAGE", ""),
];
/// The settings of every child.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("core.fsync", "all"),
    ("push.gpgSign", "false"),
    ("push.pushOption", ""),
    ("push.followTags", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.useForceIfIncludes", "false"),
    ("fetch.fsckObjects", "true"),
    ("fetch.prune", "false"),
    ("fetch.pruneTags", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.recurseSubmodules", "no"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "20"),
    ("credential.interactive", "false"),
];
/// What is appended to the user's ssh command.
const SSH_OPTIONS: &str = "-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=10";

/// How far a child may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'l> {
    /// When it is ended.
    pub until: Instant,
    /// Whether it has to be ended now.
    pub stop: &'l AtomicBool,
    /// So many bytes of stdout are kept; the rest is read and dropped.
    pub bytes_max: usize,
    /// A folder that may not get more bytes in its files than so many: the child is ended then.
    pub folder: Option<(&'l Path, u64)>,
}

/// What a child that ended said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, shortened, and without credentials.
    pub stderr: String,
}

impl Output {
    /// Its stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its stdout, if it succeeded.
    ///
    /// # Errors
    /// The class of what it said on stderr.
    pub fn ok(self, doing: &str) -> Result<Output, Error> {
        match self.success {
            true => Ok(self),
            false => Err(Error::said(doing, &self.stderr)),
        }
    }
}

/// The git program, with what it is called with.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    git_dir: PathBuf,
    settings: Vec<(String, String)>,
    variables: Vec<(OsString, OsString)>,
}

impl Git {
    /// The program `program` for the repository at `git_dir`.
    pub fn new(program: &Path, git_dir: &Path) -> Git {
        let settings = SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Git { program: program.to_owned(), git_dir: git_dir.to_owned(), settings, variables: Vec::new() }
    }

    /// For the repository at `git_dir`.
    #[must_use]
    pub fn at(mut self, git_dir: &Path) -> Git {
        self.git_dir = git_dir.to_owned();
        self
    }

    /// With the setting `key`, which overrides the user's own.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Git {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With the variable `name`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Git {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// With the user's ssh command, made to ask nothing. `configured` is `core.sshCommand`, if it is set.
    #[must_use]
    pub fn quiet_ssh(self, configured: Option<&str>) -> Git {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let own = set("GIT_SSH_COMMAND").or_else(|| configured.map(str::to_owned));
        // A program of another kind has other options.
        if own.is_none() && set("GIT_SSH").is_some() || set("GIT_SSH_VARIANT").is_some_and(|variant| variant != "ssh") {
            return self;
        }
        let own = own.unwrap_or_else(|| "ssh".to_owned());
        if own.to_ascii_lowercase().contains("plink") {
            return self;
        }
        self.variable("GIT_SSH_COMMAND", format!("{own} {SSH_OPTIONS}"))
    }

    /// Runs it with `args`, without input.
    ///
    /// # Errors
    /// [`Class::Config`] if the program cannot be started or has filled its folder, [`Class::Later`] if it was ended at the deadline or because of a stop.
    pub fn run(&self, args: &[&str], limits: &Limits<'_>) -> Result<Output, Error> {
        self.run_with_input(args, None, limits)
    }

    /// As [`Git::run`], with `input` on stdin.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn run_with_input(&self, args: &[&str], input: Option<&[u8]>, limits: &Limits<'_>) -> Result<Output, Error> {
        let doing = args.first().copied().unwrap_or_default();
        let mut command = self.command(args);
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = os::start_in_session(&mut command)
            .map_err(|error| Error::new(Class::Config, format!("{} cannot be run: {error}", self.program.display())))?;
        let (is_closing, closing) = mpsc::channel();
        let output = Kept::of(child.stdout.take(), limits.bytes_max, Some(is_closing));
        let errors = Kept::of(child.stderr.take(), STDERR_MAX, None);
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            let input = input.to_vec();
            // It ends with the child, which closes the other end.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let ended = wait(&mut child, &closing, limits)
            .map_err(|error| Error::new(Class::Later, format!("git {doing}: {error}")))?;
        let (stdout, stderr) = (output.taken(), errors.taken());
        match ended {
            Ended::Itself(success) => Ok(Output { success, stdout, stderr: said(&stderr) }),
            Ended::Full => {
                let text = format!("git {doing} was ended, as it fetched more than is looked at");
                Err(Error::new(Class::Config, text))
            }
            Ended::Late => {
                Err(Error::new(Class::Later, format!("git {doing} took too long and was ended: {}", said(&stderr))))
            }
            Ended::Stopped => {
                Err(Error::new(Class::Later, format!("git {doing} was ended, as this process has to stop")))
            }
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(kept_variables());
        if let Ok(path) = std::env::join_paths(os::absolute_paths()) {
            command.env("PATH", path);
        }
        command.envs(FIXED.iter().copied()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        // Neither its arguments nor its folder lie in the home: who looks for a git program that is at work there does not mean this one.
        command.env("GIT_DIR", &self.git_dir).args(args).current_dir(if cfg!(windows) { "." } else { "/" });
        command
    }
}

/// This process's variables, as far as a child gets them.
fn kept_variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        match name.as_ref() {
            name if name.starts_with("GIT_") => KEPT.contains(&name),
            name => !name.starts_with("INDELIBLE_") && !name.starts_with("SSH_ASKPASS") && !name.starts_with("LC_"),
        }
    })
}

enum Ended {
    Itself(bool),
    Late,
    Stopped,
    Full,
}

/// The bytes in the files of `folder`, without those in its folders.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// Waits until the child has ended. It is looked at soon after it has closed its output, which `closing` says, and now and then.
fn wait(child: &mut Child, closing: &mpsc::Receiver<()>, limits: &Limits<'_>) -> io::Result<Ended> {
    let (mut pause, mut is_open) = (Duration::from_micros(500), true);
    loop {
        if let Some(status) = os::ended(child)? {
            return Ok(Ended::Itself(status.success()));
        }
        let now = Instant::now();
        let why = match limits.stop.load(Ordering::Relaxed) {
            true => Some(Ended::Stopped),
            false if now >= limits.until => Some(Ended::Late),
            false => limits.folder.filter(|(folder, max)| bytes_in(folder) > *max).map(|_| Ended::Full),
        };
        if let Some(why) = why {
            os::end_session(child, PATIENCE)?;
            return Ok(why);
        }
        let slept = pause.min(limits.until - now);
        if !is_open {
            std::thread::sleep(slept);
        } else if closing.recv_timeout(slept) != Err(RecvTimeoutError::Timeout) {
            (pause, is_open) = (PAUSE_MIN, false);
            continue;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What is read from a pipe, in a thread that ends with the pipe.
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Kept {
    /// `is_closed` is told when the pipe has ended.
    fn of(pipe: Option<impl Read + Send + 'static>, bytes_max: usize, is_closed: Option<mpsc::Sender<()>>) -> Kept {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = pipe.map(|mut pipe| {
            let bytes = Arc::clone(&bytes);
            std::thread::spawn(move || {
                let mut piece = vec![0; 64 << 10];
                while let Ok(read @ 1..) = pipe.read(&mut piece) {
                    let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = bytes_max.saturating_sub(bytes.len());
                    bytes.extend_from_slice(&piece[..read.min(room)]);
                }
                drop(is_closed);
            })
        });
        Kept { bytes, reader }
    }

    /// All of it, or what there is if a process that was left behind holds the pipe open.
    fn taken(self) -> Vec<u8> {
        let until = Instant::now() + OUTPUT_WAIT;
        if let Some(reader) = &self.reader {
            while !reader.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a child said, in one line, without credentials.
fn said(stderr: &[u8]) -> String {
    let all = url::without_credentials(&String::from_utf8_lossy(stderr));
    let lines: Vec<&str> = all.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // The end says why: the beginning is progress.
    let mut kept = Vec::new();
    let mut chars = 0;
    for line in lines.iter().rev() {
        chars += line.chars().count() + 2;
        if chars > SAID_MAX && !kept.is_empty() {
            break;
        }
        kept.push(text::shortened(line, SAID_MAX).into_owned());
    }
    kept.reverse();
    text::visible_line(&kept.join("; ")).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn limits(stop: &AtomicBool, wait: Duration) -> Limits<'_> {
        Limits { until: Instant::now() + wait, stop, bytes_max: 1 << 20, folder: None }
    }

    /// A program that stands for git.
    fn script(folder: &Path, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("git");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it can be made a program");
        path
    }

    fn is_running(process: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn a_child_that_hangs_is_ended_with_everything_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        // It ignores SIGTERM, and so does what it starts.
        let program = script(
            folder.path(),
            &format!(
                "cd {}; trap '' TERM; sleep 600 & echo $! >child; echo $$ >self; wait; sleep 600",
                folder.path().display()
            ),
        );
        let git = Git::new(&program, &folder.path().join("x.git"));
        let stop = AtomicBool::new(false);
        let error = git.run(&["push"], &limits(&stop, Duration::from_millis(300))).expect_err("it hangs");
        assert_eq!(error.class(), Class::Later, "{error}");
        for name in ["self", "child"] {
            let process = std::fs::read_to_string(folder.path().join(name)).expect("it was started");
            assert!(!is_running(process.trim()), "{name} is left");
        }
    }

    #[test]
    fn a_stop_ends_a_child_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = script(folder.path(), "sleep 600");
        let git = Git::new(&program, &folder.path().join("x.git"));
        let stop = AtomicBool::new(true);
        let error = git.run(&["push"], &limits(&stop, Duration::from_secs(3600))).expect_err("it is stopped");
        assert!(error.to_string().contains("has to stop"), "{error}");
    }

    #[test]
    fn a_child_that_fills_its_folder_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let script_of = script(folder.path(), "head -c 3000000 /dev/zero >\"$GIT_DIR/pack\"; sleep 600");
        let repository = folder.path().join("x.git");
        std::fs::create_dir(&repository).expect("it can be made");
        let stop = AtomicBool::new(false);
        let limits = Limits { folder: Some((&repository, 1 << 20)), ..limits(&stop, Duration::from_secs(60)) };
        let error = Git::new(&script_of, &repository).run(&["fetch"], &limits).expect_err("it has too much");
        assert_eq!((error.class(), error.to_string().contains("more than")), (Class::Config, true), "{error}");
    }

    #[test]
    fn output_is_read_however_long_and_kept_up_to_a_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = script(folder.path(), "head -c 3000000 /dev/zero; echo why >&2; exit 3");
        let stop = AtomicBool::new(false);
        let git = Git::new(&program, &folder.path().join("x.git"));
        let output = git.run(&["x"], &limits(&stop, Duration::from_secs(60))).expect("it ends");
        assert_eq!((output.success, output.stdout.len(), output.stderr.as_str()), (false, 1 << 20, "why"));
    }

    #[test]
    fn a_process_that_is_left_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let program =
            script(folder.path(), &format!("cd {}; sleep 600 & echo $! >child; echo done", folder.path().display()));
        let stop = AtomicBool::new(false);
        let git = Git::new(&program, &folder.path().join("x.git"));
        let output = git.run(&["x"], &limits(&stop, Duration::from_secs(60))).expect("it ends");
        assert_eq!(output.text(), "done\n");
        let child = std::fs::read_to_string(folder.path().join("child")).expect("it was started");
        let _ = Command::new("kill").arg(child.trim()).status();
    }

    #[test]
    fn no_git_program_is_a_matter_of_configuration() {
        let stop = AtomicBool::new(false);
        let git = Git::new(Path::new("/nonexistent/git"), Path::new("/tmp/x.git"));
        let error = git.run(&["x"], &limits(&stop, Duration::from_secs(60))).expect_err("there is none");
        assert_eq!(error.class(), Class::Config);
    }

    #[test]
    fn an_ssh_command_is_made_quiet_and_stays_the_users() {
        let git = |configured| Git::new(Path::new("git"), Path::new("x.git")).quiet_ssh(configured).variables;
        let quiet = git(Some("ssh -i key"));
        assert_eq!(quiet[0].1, OsString::from(format!("ssh -i key {SSH_OPTIONS}")));
        assert!(git(Some("plink -x")).is_empty());
    }
}
