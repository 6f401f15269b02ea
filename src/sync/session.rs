//! One sync: the store, the git program set up for the remote, and how far it may go.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use git2::{ConfigLevel, Repository};

use crate::home::Home;
use crate::target::history::History;

use super::git::{Git, Limits, Output};
use super::remote::Refs;
use super::store::{Held, Store};
use super::{Class, Error, Options, url};

/// The name that git knows the remote by, in no file.
pub const REMOTE: &str = "indelible-sync";
/// So many bytes of output are kept, if not said otherwise: a remote can have a hundred thousand references.
const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// From so many packs on, `sync.git` is repacked.
const PACKS_MAX: usize = 50;
/// The settings of a project's own configuration that say how to reach its remotes. A CI job keeps its token there.
const OF_PROJECT: &str = "^(credential|http|url)\\.|^core\\.sshcommand$";

/// One sync of a home.
pub struct Session<'h> {
    /// The home.
    pub home: &'h Home,
    /// Its history, which is only read.
    pub history: History,
    /// What is kept, with its lock.
    pub store: Store,
    /// The git program, set up for the remote.
    pub git: Git,
    /// The same for a push, once there is one.
    push: OnceCell<Git>,
    /// What the remote has, as it was just asked; nothing was pushed since.
    pub(super) listed: Option<Refs>,
    /// What was held before this sync, which tries it again.
    pub(super) held_before: Vec<Held>,
    /// How to sync.
    pub options: &'h Options,
    /// When it has to be over.
    pub until: Instant,
    /// Whether it has to end now.
    pub stop: &'h AtomicBool,
}

impl<'h> Session<'h> {
    /// Opens what a sync of `home` needs.
    ///
    /// # Errors
    /// [`Class::Config`] without a remote or a git program; [`Class::Later`] if another process syncs, or the disk refuses.
    pub fn open(
        home: &'h Home,
        options: &'h Options,
        until: Instant,
        stop: &'h AtomicBool,
    ) -> Result<Session<'h>, Error> {
        check(options)?;
        let Some(program) = &options.git else {
            return Err(Error::new(
                Class::Config,
                "there is no git program to sync with (history.git_program), or this home is not one that you trust",
            ));
        };
        let history = History::open(home.path(), options.history.clone())?;
        let store = Store::open(home, &options.remote, until, stop)?;
        let git = Git::new(program, store.path());
        let mut session = Session {
            home,
            history,
            store,
            git,
            push: OnceCell::new(),
            listed: None,
            held_before: Vec::new(),
            options,
            until,
            stop,
        };
        session.git = session.set_up()?;
        Ok(session)
    }

    /// The git program with what says how to reach the remote.
    fn set_up(&self) -> Result<Git, Error> {
        let mut git = self.git.clone();
        let mut ssh = None;
        for (key, value) in self.settings_of_project()? {
            if key == "core.sshcommand" {
                ssh = Some(value);
            } else {
                git = git.setting(&key, &value);
            }
        }
        // After the user's own: they decide whom to ask, and not whether.
        git = git.setting("credential.interactive", "false");
        let remote = &self.options.remote;
        git = git.setting(&format!("remote.{REMOTE}.url"), remote);
        if !url::may_be_ssh(remote) {
            return Ok(git);
        }
        if ssh.is_none() {
            let found = self.git.run(&["config", "--get", "core.sshCommand"], &self.limits())?;
            ssh = Some(found.text().trim().to_owned()).filter(|command| found.success && !command.is_empty());
        }
        Ok(git.quiet_ssh(ssh.as_deref()))
    }

    /// The command that takes a push into a folder, if the remote is one. Git starts it with the user's own configuration, whose
    /// `core.hooksPath` would run the user's hooks as the remote's: it gets the path of the remote's own.
    fn receive_pack(&self) -> Result<Option<String>, Error> {
        let remote = &self.options.remote;
        if !url::is_folder(remote) {
            return Ok(None);
        }
        // By an address that the user's git replaces, it is another place.
        let there = self.git.run(&["ls-remote", "--get-url", remote], &self.limits())?.text();
        if there.trim_end() != remote {
            return Ok(None);
        }
        let Ok(repository) = Repository::open(remote.strip_prefix("file://").unwrap_or(remote)) else {
            return Ok(None);
        };
        let own = repository.config().and_then(|config| config.open_level(ConfigLevel::Local));
        let own = own.and_then(|config| config.get_string("core.hookspath")).ok();
        let hooks = match own {
            Some(path) => path,
            None => repository.path().join("hooks").to_str().map(str::to_owned).unwrap_or_default(),
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let program = self.options.git.as_deref().and_then(Path::to_str).unwrap_or("git");
        Ok(Some(format!("{} -c {} receive-pack", quoted(program), quoted(&format!("core.hooksPath={hooks}")))))
    }

    /// What the configuration of a guest home's project says about reaching remotes. It is read, and never written.
    fn settings_of_project(&self) -> Result<Vec<(String, String)>, Error> {
        if self.history.is_owned() {
            return Ok(Vec::new());
        }
        let project = Git::new(self.options.git.as_deref().unwrap_or_else(|| "git".as_ref()), self.history.common());
        let args = ["config", "--local", "--includes", "-z", "--get-regexp", OF_PROJECT];
        let found = project.run(&args, &self.limits())?.text();
        let pair = |entry: &str| entry.split_once('\n').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(found.split('\0').filter_map(pair).collect())
    }

    /// How far the next call of git may go.
    pub fn limits(&self) -> Limits<'h> {
        let until = self.until.min(Instant::now() + self.options.timeout);
        Limits { until, stop: self.stop, bytes_max: OUTPUT_BYTES_MAX, folder: None }
    }

    /// Runs git for the remote.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn run(&self, args: &[&str]) -> Result<Output, Error> {
        self.git.run(args, &self.limits())
    }

    /// Runs git's `push` for the remote, with `args`.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub(super) fn run_push(&self, args: &[&str]) -> Result<Output, Error> {
        let git = match self.push.get() {
            Some(git) => git,
            None => {
                let command = self.receive_pack()?;
                self.push.get_or_init(|| match command {
                    Some(command) => self.git.clone().setting(&format!("remote.{REMOTE}.receivepack"), &command),
                    None => self.git.clone(),
                })
            }
        };
        let all = ["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags"];
        git.run(&[&all, args].concat(), &self.limits())
    }

    /// Rolls the packs of `sync.git` together once there are many: each push adds one. It is a cache, so a failure ends nothing.
    pub(super) fn tidy(&self) {
        let packs = std::fs::read_dir(self.store.path().join("objects/pack")).into_iter().flatten().flatten();
        let count = packs.filter(|entry| entry.path().extension().is_some_and(|it| it == "pack")).count();
        if count <= PACKS_MAX {
            return;
        }
        match self.run(&["repack", "-d", "-q", "--geometric=2", "--no-write-bitmap-index"]) {
            Ok(output) if output.success => {}
            Ok(output) => tracing::debug!(said = output.stderr, "sync.git was not repacked"),
            Err(error) => tracing::debug!(%error, "sync.git was not repacked"),
        }
    }

    /// Whether the deadline has passed, or a stop was asked for.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.stop.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Checks that `options` have a remote.
fn check(options: &Options) -> Result<(), Error> {
    if options.remote.is_empty() {
        return Err(Error::new(Class::Config, "this home has no remote"));
    }
    match url::trouble(&options.remote) {
        None => Ok(()),
        Some(why) => Err(Error::new(Class::Config, format!("{:?} cannot be a remote: {why}", options.remote))),
    }
}
