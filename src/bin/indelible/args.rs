//! The command line, as clap sees it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::amend_args::{AmendArgs, EditArgs};
use crate::backup_args::BackupCommand;
use crate::cmd::complete;
use crate::field_args::RecordCommand;
pub use crate::hooks_args::{ContextName, HooksArgs, HooksCommand, HostName, Scope};
use crate::mcp_args::McpCommands;
use crate::presence_args::PresenceCommand;
use crate::reading::args;
pub use crate::service_args::{ManagerName, ServiceCommand};
use crate::sync_args::SyncCommand;
use crate::user;
use crate::verdict_args::VerdictCommand;

const EXAMPLES: &str = "\
Examples:
  indelible init                                  make a home in the data folder
  indelible record failure --title 'Build broke' --domain ci --severity high
  indelible record heuristic --domain rust --rule 'Run clippy before you push'
  some-tool | indelible record failure --title 'It broke' --domain ops --summary -
  indelible worker                                commit what is recorded, until stopped
  indelible status --check                        exit 1 if something needs your attention

Exit codes: 0 done, 1 disagreement found, 64 bad usage, 65 bad input, 74 I/O error,
75 try again later, 77 refused for safety, 78 no usable home.
If `record` exits 0, the record cannot be lost.";

/// A crash-safe recorder for what AI agents learn.
#[derive(Debug, Parser)]
#[command(name = "indelible", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(propagate_version = true)]
pub struct Args {
    /// The home to work on [default: INDELIBLE_HOME, the nearest trusted home above this folder, or the data folder]
    #[arg(long, global = true, value_name = "DIR", value_parser = path())]
    pub home: Option<PathBuf>,
    /// Print JSON: one object, or one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no notes and no progress; answers, warnings and errors stay
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Override a setting, as in worker.age_ms=200
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// This process's command line.
    pub fn try_read() -> Result<Args, clap::Error> {
        Args::try_parse_from(args::with_exclusions_apart(std::env::args_os().collect()))
    }

    /// Whether `words`, the arguments of a command line that makes no sense, ask for JSON.
    pub fn want_json(words: impl IntoIterator<Item = OsString>) -> bool {
        words.into_iter().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
    }

    /// Whether `words`, the arguments of a command line that makes no sense, name the command `hook`: a host takes
    /// every exit code but 0 for an error, and shows it to people who cannot do anything about it.
    pub fn mean_a_hook(words: impl IntoIterator<Item = OsString>) -> bool {
        let mut words = words.into_iter().skip(1);
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--home" | "--set") => drop(words.next()),
                Some(flag) if flag.starts_with('-') => {}
                other => return other == Some("hook"),
            }
        }
        false
    }
}

/// Reads a path: `~` at its beginning is the user's own folder, as in `--home=~/notes`, which no shell expands.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(user::expanded)
}

impl Command {
    /// Whether its exit code says what is kept, whether or not its answer could be written: a caller that is told of an
    /// error would record the same again.
    pub fn records(&self) -> bool {
        matches!(
            self,
            Command::Record { .. } | Command::Amend(_) | Command::Edit(_) | Command::Verdict(_) | Command::Hook(_)
        )
    }
}

// Only the arguments of the subcommand that is run are built: all of them would cost a third of a start. A doc comment on a
// struct of arguments would replace that of its subcommand, so those have plain comments.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Make a home, or add what is missing to one (safe to repeat)
    ///
    /// In a folder that already is a git repository, records go to a branch of their own, `indelible`. The repository's
    /// index, HEAD, branches and files are never touched.
    #[command(after_help = "Example:\n  indelible init ~/notes/agents")]
    Init {
        /// The folder [default: --home, INDELIBLE_HOME, or the data folder]
        #[arg(value_parser = path())]
        dir: Option<PathBuf>,
        /// Use this git remote, and import what other homes have pushed there
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
    /// Take over a home of the Emergent Learning Framework, without changing what it has
    ///
    /// It first says what it would do. With --yes, or after a yes at a terminal, it does it. Records go to a branch of their
    /// own, and `release` undoes all of it.
    #[command(
        after_help = "Example:\n  indelible adopt\n  indelible adopt ~/.claude/emergent-learning --scripts --yes"
    )]
    Adopt {
        #[command(flatten)]
        asked: AdoptionArgs,
        /// Replace its scripts by drop-in scripts of the same names; the old ones are kept
        #[arg(long)]
        scripts: bool,
        /// Add missing rows for its files, and missing files for its rows
        #[arg(long)]
        repair: bool,
    },
    /// Undo `adopt`: give the home back as it was, with the records added since
    #[command(after_help = "Example:\n  indelible release ~/.claude/emergent-learning --yes")]
    Release {
        #[command(flatten)]
        asked: AdoptionArgs,
        /// Remove the private folder, and the copy of the database in it, instead of moving it aside
        #[arg(long)]
        remove: bool,
    },
    /// Report as the framework's `sync-db-markdown.sh` does; for the drop-in script of that name
    #[command(hide = true)]
    SyncReport {
        /// Repair what is reported
        #[arg(long)]
        fix: bool,
        /// Say more
        #[arg(long)]
        verbose: bool,
    },
    /// Trust a home that is found above the working folder, list trusted homes, or stop trusting one
    ///
    /// A home above the working folder may be part of a repository that you cloned. It is used only if you made, adopted or
    /// trusted it on this machine. Otherwise it is skipped, and the next home further up is tried, then the default home. A
    /// home that you moved stays trusted; a copy must be trusted itself. Other users must not be able to change the home or a
    /// folder above it. A home that --home or INDELIBLE_HOME names need not be trusted.
    ///
    /// Without a state folder (containers, CI), INDELIBLE_TRUST=/a/home:/another lists the homes to trust.
    #[command(
        after_help = "Examples:\n  indelible trust ~/project\n  indelible trust --list\n  indelible trust --revoke ~/project"
    )]
    Trust(TrustArgs),
    /// Record something; if it exits 0, the record cannot be lost
    #[command(after_help = "Example:\n  indelible record success --title 'Retry with backoff' --domain network")]
    Record {
        #[command(subcommand)]
        what: RecordCommand,
        /// Replace secrets of known shapes, in every field, by a placeholder
        #[arg(long, global = true)]
        redact: bool,
    },
    /// Correct records: new texts under the same ids and paths, everywhere at once
    ///
    /// With --from-files, what you edited by hand in their files. File, row, domain page and search follow, and git shows the change as a change of that file. Several ids: all or none. An
    /// amendment that changes nothing exits 0 and says so. What was retracted or erased is not amended (exit 65). Where a record
    /// comes from, its key and its kind stay.
    #[command(
        after_help = "Examples:\n  indelible amend 7e18e7c3 --title 'The cache grew' --because 'a typo'\n  indelible amend 7e18e7c3 2b40c4d1 --domain ops --dry-run\n  indelible amend --from-files"
    )]
    Amend(AmendArgs),
    /// Open a record in your editor ($VISUAL, $EDITOR), and amend it when the editor is closed
    ///
    /// It checks what comes back, and shows what would change. If that is not valid, you can go on editing. The text is kept until it is
    /// taken: after a crash, or a refused save, `edit` goes on with it.
    #[command(after_help = "Example:\n  indelible edit 7e18e7c3 --because 'what really happened'")]
    Edit(EditArgs),
    /// Commit what is recorded, in batches, until SIGTERM or SIGINT
    ///
    /// One worker runs per home; a second one exits 75. It commits everything pending before it exits 0.
    #[command(after_help = "Example:\n  indelible worker --detach\n  indelible worker --stop")]
    Worker {
        /// Where its log goes
        #[arg(long, value_enum, default_value_t = LogTo::Auto)]
        log: LogTo,
        /// Start it in the background, log to a file, and return
        #[arg(long, conflicts_with = "log")]
        detach: bool,
        /// Stop the running worker: it commits what is pending and ends; exit 75 if that takes too long
        #[arg(long, conflicts_with_all = ["log", "detach"])]
        stop: bool,
        /// Seconds to wait until it has ended
        #[arg(long, default_value_t = 60, value_name = "SECONDS", requires = "stop")]
        timeout: u64,
    },
    /// Have the system start the worker at login, and restart it when it fails
    #[command(after_help = "Example:\n  indelible service install\n  indelible service status")]
    Service {
        #[command(subcommand)]
        what: ServiceCommand,
    },
    /// Show or change the settings of a home
    #[command(
        after_help = "Examples:\n  indelible config list\n  indelible config set worker.age_ms 200\n  indelible config edit"
    )]
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Commit everything pending now, with or without a running worker
    #[command(after_help = "Example:\n  indelible flush && git -C ~/.local/share/indelible log -1")]
    Flush {
        /// Seconds to wait
        #[arg(long, default_value_t = 120, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Repair a home after a crash: replay, clean up, restore, commit, and report (safe at any time)
    #[command(after_help = "Example:\n  indelible recover")]
    Recover {
        /// Seconds to wait for a running worker to do it
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Check that journal, files, index and git agree (exits 1 if they do not; changes nothing)
    #[command(after_help = "Example:\n  indelible verify --json | jq .disagreements")]
    Verify {
        /// Compare this home's lane on its remote with what it recorded, too
        #[arg(long)]
        remote: bool,
    },
    /// Repair what `verify` lists (exits 1 if something is left)
    #[command(after_help = "Example:\n  indelible repair")]
    Repair {
        /// Also stop reporting what you have seen: the quarantine, replaced drop-in scripts, and lost hook events
        #[arg(long)]
        dismiss: bool,
        /// Seconds to wait for a running worker to do it
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Show what was recorded, what is pending, what the worker does, and what needs your attention
    #[command(
        after_help = "Examples:\n  indelible status --check || notify-send 'indelible needs you'\n  indelible status --metrics > /var/lib/node_exporter/textfile/indelible.prom"
    )]
    Status {
        /// Exit 1 if something needs your attention
        #[arg(long)]
        check: bool,
        /// Print OpenMetrics text, for a collector of text files
        #[arg(long, conflicts_with = "json")]
        metrics: bool,
    },
    /// Show what hooks cost: calls, times and tokens told, by host and session
    ///
    /// And how often a failure that an agent was told of did not come again in the same session. Times are from the start of the hook to
    /// its answer, without the start of its process.
    #[command(after_help = "Example:\n  indelible cost --since 7d")]
    Cost {
        /// Only what was then or later: 7d, today, 2026-11; a day counts whole
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
    },
    /// Watch live in the terminal what is recorded, by whom, and where each record is by now
    ///
    /// Keys: arrows move, Enter opens a record, / searches, v validates a rule, r retracts a record, ? shows all keys, q quits.
    #[command(after_help = "Example:\n  indelible watch")]
    Watch,
    /// Show the worker's log, and with --follow what comes
    #[command(after_help = "Examples:\n  indelible logs --lines 100\n  indelible logs -f")]
    Logs {
        /// Go on printing lines as they come, until Ctrl-C
        #[arg(long, short)]
        follow: bool,
        /// How many of the newest lines are printed first
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        lines: usize,
    },
    /// List what was recorded, the newest first
    #[command(after_help = args::LIST)]
    List(args::ListArgs),
    /// Find records by words, the best first
    #[command(after_help = args::SEARCH)]
    Search(args::SearchArgs),
    /// Say what happened the last times that a command failed or an error came, and what followed
    #[command(after_help = args::RECALL)]
    Recall(args::RecallArgs),
    /// Print what a session that starts in this folder is told
    #[command(after_help = args::CONTEXT)]
    Context(args::ContextArgs),
    /// Show a record: its fields, its file, its row, its commit, and how it was amended
    #[command(after_help = args::SHOW)]
    Show(args::ShowArgs),
    #[command(flatten)]
    Backup(BackupCommand),
    #[command(flatten)]
    Presence(PresenceCommand),
    #[command(flatten)]
    Sync(SyncCommand),
    #[command(flatten)]
    Verdict(VerdictCommand),
    /// Answer the questions of the framework's query.py, with its flags and in its words (reads only)
    ///
    /// The first of these that is given is answered: --validate, --health-check, --context, --golden-rules, --decisions,
    /// --spikes, --assumptions, --invariants, --domain, --tags, --recent, --experiments, --ceo-reviews, --stats, --violations,
    /// --accountability-banner. Exit codes are query.py's: 1 for an invalid value (QS001) and a database that is not sound,
    /// 2 if the database cannot be read (QS002), 3 if it takes too long (QS003). Bad flags exit 64.
    #[command(
        args_override_self = true,
        infer_long_args = true,
        after_help = "Examples:\n  indelible query --context --domain ci --task 'speed up the build'\n  indelible query --domain ci --limit 5 --format json"
    )]
    Query(Box<crate::cmd::query::args::QueryArgs>),
    /// Read one hook event from stdin and record it if it is worth keeping (always exits 0)
    ///
    /// For the hooks of Claude Code, Codex CLI, Gemini CLI, Cursor and OpenCode, which `indelible hooks install` sets up.
    /// It prints `{}`, or what the host passes on to the agent, if `hooks install` or `hook.context` asked for that. It waits for no lock
    /// and makes no home. Where `worker.autostart` is set, it starts a worker once it has answered.
    #[command(
        after_help = "Example:\n  echo '{\"hook_event_name\":\"Stop\",\"last_assistant_message\":\"[LEARNED:ci] Never skip tests\"}' \\\n    | indelible hook --dry-run"
    )]
    Hook(HookArgs),
    /// Add `hook` to an agent's settings: Claude Code, Codex CLI, Gemini CLI, Cursor, OpenCode
    #[command(after_help = "Example:\n  indelible hooks install claude")]
    Hooks {
        #[command(subcommand)]
        what: HooksCommand,
    },
    #[command(flatten)]
    Mcp(McpCommands),
    /// Run 200 recorders, a worker and crashes in a temporary home, then check that nothing was lost
    #[command(after_help = "Example:\n  indelible demo --keep")]
    Demo {
        /// Keep the home and say where it is
        #[arg(long)]
        keep: bool,
    },
    /// Print a completion script for a shell, or install those for bash, fish and zsh
    #[command(
        after_help = "Example:\n  indelible completions --install\n  indelible completions bash > ~/.local/share/bash-completion/completions/indelible"
    )]
    Completions {
        /// The shell
        #[arg(required_unless_present = "install")]
        shell: Option<clap_complete::Shell>,
        #[command(flatten)]
        to: InstallArgs,
    },
    /// What shells call to complete a word
    #[command(hide = true)]
    Complete(args::CompleteArgs),
    /// Print the manual page, or install a page for each command
    #[command(after_help = "Example:\n  indelible man --install && man indelible-record\n  indelible man | man -l -")]
    Man {
        /// Write the pages to this folder
        #[arg(long, value_name = "DIR", conflicts_with = "install", value_parser = path())]
        dir: Option<PathBuf>,
        #[command(flatten)]
        to: InstallArgs,
    },
}

// Which homes are trusted.
#[derive(Debug, ClapArgs)]
pub struct TrustArgs {
    /// The home to trust [default: --home, INDELIBLE_HOME, or the nearest home above this folder]
    #[arg(value_hint = clap::ValueHint::DirPath, value_parser = path())]
    pub dir: Option<PathBuf>,
    /// Show which homes are trusted, and which of them are missing
    #[arg(long, conflicts_with_all = ["dir", "revoke"])]
    pub list: bool,
    /// Stop trusting the home at DIR, at its former places as well; nothing in it changes
    #[arg(long, value_name = "DIR", conflicts_with = "dir", value_hint = clap::ValueHint::DirPath, value_parser = path())]
    pub revoke: Option<PathBuf>,
}

// Which home of the framework's is meant, and whether it is to be done.
#[derive(Debug, ClapArgs)]
pub struct AdoptionArgs {
    /// The home [default: --home, INDELIBLE_HOME, the nearest trusted home above this folder, or ~/.claude/emergent-learning]
    #[arg(value_parser = path())]
    pub dir: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, ClapArgs)]
pub struct InstallArgs {
    /// Install to the usual folders below the prefix
    #[arg(long)]
    pub install: bool,
    /// The prefix [default: ~/.local]
    #[arg(long, value_name = "DIR", requires = "install", value_parser = path())]
    pub prefix: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogTo {
    /// Stderr if it is a terminal or journald, else a file
    Auto,
    /// Stderr
    Stderr,
    /// A daily file in the private folder
    File,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, its value, and where that comes from
    #[command(
        after_help = "Example:\n  indelible config list --json | jq '.settings[] | select(.origin != \"default\")'"
    )]
    List,
    /// Show the value of one setting
    #[command(after_help = "Example:\n  indelible config get worker.age_ms")]
    Get {
        /// The setting, as `config list` spells it
        #[arg(value_name = "SECTION.KEY", add = ArgValueCandidates::new(complete::settings))]
        key: String,
    },
    /// Change one setting of a home, keeping comments and order
    ///
    /// A setting that a home may decide goes into its config.toml, in the private folder. A setting that names a program,
    /// starts something or has to do with secrets, hooks and logs goes into your own, ~/.config/indelible/config.toml, under
    /// the home's id. An invalid value is refused, and nothing is changed. A running worker takes up the change.
    #[command(
        after_help = "Examples:\n  indelible config set worker.age_ms 200\n  indelible config set history.author_name 'My agents'"
    )]
    Set {
        /// The setting, as `config list` spells it
        #[arg(value_name = "SECTION.KEY", add = ArgValueCandidates::new(complete::settings))]
        key: String,
        /// Its new value
        #[arg(allow_hyphen_values = true, add = ArgValueCompleter::new(complete::setting_values))]
        value: String,
    },
    /// Remove one setting of a home from the file that `config set` puts it into; the default holds again
    #[command(after_help = "Example:\n  indelible config unset worker.age_ms")]
    Unset {
        /// The setting, as `config list` spells it
        #[arg(value_name = "SECTION.KEY", add = ArgValueCandidates::new(complete::settings))]
        key: String,
    },
    /// Open the settings of a home in your editor ($VISUAL, $EDITOR)
    ///
    /// What comes back is checked before it is taken. An invalid text is kept, and the next `config edit` goes on with it.
    #[command(after_help = "Examples:\n  indelible config edit\n  indelible config edit --user")]
    Edit {
        /// Your own settings, for every home
        #[arg(long)]
        user: bool,
    },
    /// Print the path of the settings of a home
    #[command(after_help = "Example:\n  cat \"$(indelible config path)\"")]
    Path {
        /// Your own settings, for every home
        #[arg(long)]
        user: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub struct HookArgs {
    /// The host that sends it: claude, codex, gemini, cursor or opencode [default: detected from the event]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Only show on stderr what the event would record, and what its agent would be told; record and count nothing
    #[arg(long, visible_alias = "explain")]
    pub dry_run: bool,
    /// When agents are told what was recorded: start, failure, prompt; the setting `hook.context` overrides it
    #[arg(long, value_name = "WHEN")]
    pub context: Option<String>,
    /// Put there by `hooks install`, which finds it by this flag; it changes nothing
    #[arg(long, hide = true)]
    pub installed: bool,
}
