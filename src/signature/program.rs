//! Which programs a command runs, and which of them it is about.

use super::path;
use crate::shell::{self, Call};

/// How much of a command is parsed, in bytes.
const COMMAND_BYTES_MAX: usize = 16 << 10;
/// How deep shells within shells are parsed.
const DEPTH_MAX: usize = 4;
/// How many programs that start programs are stepped over.
const WRAPPERS_MAX: usize = 8;

/// A program that runs the command behind its own options.
struct Wrapper {
    name: &'static str,
    /// Words that have to follow, such as `run` for `uv run`.
    then: &'static str,
    /// Its options that take a value.
    with_value: &'static [&'static str],
    /// How many operands of its own come first.
    operands: usize,
}

const fn wrapper(
    name: &'static str,
    then: &'static str,
    with_value: &'static [&'static str],
    operands: usize,
) -> Wrapper {
    Wrapper { name, then, with_value, operands }
}

const WRAPPERS: [Wrapper; 31] = [
    wrapper("sudo", "", &["-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-D", "-R", "-U", "--user", "--group"], 0),
    wrapper("doas", "", &["-u", "-C"], 0),
    wrapper("env", "", &["-u", "-C", "--unset", "--chdir"], 0),
    wrapper("timeout", "", &["-k", "-s", "--kill-after", "--signal"], 1),
    wrapper("gtimeout", "", &["-k", "-s"], 1),
    wrapper("nice", "", &["-n", "--adjustment"], 0),
    wrapper("ionice", "", &["-c", "-n", "--class", "--classdata"], 0),
    wrapper("nohup", "", &[], 0),
    wrapper("time", "", &["-f", "-o", "--format", "--output"], 0),
    wrapper("stdbuf", "", &["-i", "-o", "-e"], 0),
    wrapper("setsid", "", &[], 0),
    wrapper("command", "", &[], 0),
    wrapper("builtin", "", &[], 0),
    wrapper("exec", "", &["-a"], 0),
    wrapper("unbuffer", "", &[], 0),
    wrapper("chronic", "", &[], 0),
    wrapper("watch", "", &["-n", "--interval"], 0),
    wrapper("flock", "", &["-w", "-E", "--timeout"], 1),
    wrapper("xargs", "", &["-n", "-I", "-P", "-L", "-d", "-a", "-s", "-E"], 0),
    wrapper("strace", "", &["-e", "-o", "-s", "-p"], 0),
    wrapper("npx", "", &["-p", "--package"], 0),
    wrapper("bunx", "", &[], 0),
    wrapper("uvx", "", &["--from", "--with", "--python", "-p"], 0),
    wrapper("uv", "run", &["--with", "--python", "-p", "--project", "--extra", "--group", "--directory"], 0),
    wrapper("poetry", "run", &["-C", "--directory"], 0),
    wrapper("pipenv", "run", &[], 0),
    wrapper("pdm", "run", &["-p"], 0),
    wrapper("bundle", "exec", &[], 0),
    wrapper("pnpm", "exec", &["-C", "--filter"], 0),
    wrapper("yarn", "exec", &[], 0),
    wrapper("rustup", "run", &[], 1),
];

/// Programs whose first operand says what they do, with their options that take a value.
const WITH_SUBCOMMAND: [(&str, &[&str]); 37] = [
    ("git", &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path"]),
    ("cargo", &["-C", "-Z", "--config", "--color", "--manifest-path"]),
    ("npm", &["-C", "-w", "--prefix", "--workspace", "--loglevel"]),
    ("pnpm", &["-C", "-F", "--filter", "--dir"]),
    ("yarn", &["--cwd"]),
    ("bun", &["--cwd"]),
    ("deno", &[]),
    ("pip", &["--python", "--log", "--proxy", "--timeout", "--cache-dir"]),
    ("uv", &["--directory", "--project"]),
    ("poetry", &["-C", "--directory"]),
    ("conda", &[]),
    ("make", &["-C", "-f", "-I", "-o", "-W", "--directory", "--file", "--makefile"]),
    ("gmake", &["-C", "-f", "-I", "-o", "-W"]),
    ("ninja", &["-C", "-f", "-j", "-k"]),
    ("just", &["-f", "-d"]),
    ("go", &["-C"]),
    ("docker", &["-H", "-c", "-l", "--host", "--context", "--config", "--log-level"]),
    ("podman", &["--log-level", "--root", "-c"]),
    ("kubectl", &["-n", "-s", "--namespace", "--context", "--kubeconfig", "--cluster", "--user"]),
    ("helm", &["-n", "--namespace", "--kube-context", "--kubeconfig"]),
    ("terraform", &[]),
    ("tofu", &[]),
    ("apt", &["-o", "-c", "-t"]),
    ("apt-get", &["-o", "-c", "-t"]),
    ("dnf", &["-c", "--setopt"]),
    ("brew", &[]),
    ("systemctl", &["-H", "-M", "-t", "-n", "-p", "-o", "--type"]),
    ("gh", &["-R", "--repo"]),
    ("aws", &["--profile", "--region", "--output", "--endpoint-url"]),
    ("gcloud", &["--project", "--account", "--configuration"]),
    ("az", &[]),
    ("rustup", &[]),
    ("mvn", &["-f", "-P", "-s", "-pl"]),
    ("gradle", &["-p", "-b"]),
    ("gradlew", &["-p", "-b"]),
    ("dotnet", &[]),
    ("openssl", &[]),
];

/// Subcommands whose own operand says what they do.
const TWO_WORDS: [&str; 8] =
    ["npm run", "npm run-script", "pnpm run", "yarn run", "bun run", "docker compose", "git submodule", "go tool"];

pub(super) const SHELLS: [&str; 10] =
    ["sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "rbash", "pwsh", "powershell"];

/// Other programs that run scripts, whose messages can begin with the script's name.
const INTERPRETERS: [&str; 8] = ["python", "node", "perl", "ruby", "php", "lua", "deno", "bun"];

/// Programs that prepare, print or wait: a command is about them only if there is no other.
const SETUP: [&str; 36] = [
    "cd", "pushd", "popd", "export", "set", "unset", "source", ".", "ulimit", "umask", "trap", "shopt", "alias",
    "local", "readonly", "declare", "typeset", "echo", "printf", "true", "false", ":", "test", "[", "[[", "sleep",
    "wait", "exit", "return", "read", "pwd", "break", "continue", "kill", "which", "date",
];
/// The same, a little more: `mkdir out && cd out && cmake ..` is about `cmake`.
const MINOR: [&str; 12] = ["mkdir", "cp", "mv", "rm", "ln", "touch", "chmod", "chown", "ls", "cat", "tee", "rmdir"];

/// Words that begin a call without being a program.
const SYNTAX: [&str; 15] =
    ["for", "case", "select", "function", "in", "fi", "done", "esac", "}", "]]", "then", "do", "else", "coproc", ";;"];

/// Programs that pass on what is piped into them.
const FILTERS: [&str; 26] = [
    "tee", "tail", "head", "grep", "egrep", "fgrep", "rg", "ag", "sed", "awk", "gawk", "sort", "uniq", "wc", "cut",
    "tr", "less", "more", "cat", "column", "fold", "nl", "ts", "tac", "rev", "strings",
];
/// Programs that show what others have written: an error in it is not theirs.
const READERS: [&str; 10] = ["bat", "ls", "find", "diff", "xxd", "od", "hexdump", "history", "man", "zcat"];
/// Subcommands of `git` that do the same.
const GIT_READERS: [&str; 6] = ["log", "show", "diff", "grep", "blame", "cat-file"];
/// Programs that call others, whose messages are theirs.
const CALL: [(&[&str], &[&str]); 3] = [
    (&["git", "scp", "sftp", "rsync"], &["ssh"]),
    (&["gcc", "g++", "cc", "c++", "make"], &["cc1", "cc1plus", "as", "ld"]),
    (&["rustc", "cargo"], &["cc", "ld", "rust-lld"]),
];
/// Programs that are named with a version, as in `python3.11` and `gcc-12`.
const VERSIONED: [&str; 13] =
    ["python", "pip", "gcc", "g++", "clang", "clang++", "node", "perl", "ruby", "php", "lua", "pytest", "java"];

/// One program that a command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    name: String,
    subcommand: String,
    /// Whether another's output is piped into it.
    is_filter: bool,
}

/// The programs of a command.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    runs: Vec<Run>,
    /// Every name that a message can begin with: programs, what starts them, and scripts that a shell runs.
    names: Vec<String>,
    /// Which of the runs the command is about.
    main: Option<usize>,
    /// Whether the command does no more than show what was written before.
    pub(super) only_read: bool,
    /// Whether the exit code need not be that of the program: it stands before a pipe, `||`, `;` or a line break.
    pub(super) hides_exit: bool,
}

impl Programs {
    /// The programs that `command` runs.
    pub(super) fn of(command: &str) -> Programs {
        let command = &command[..command.floor_char_boundary(COMMAND_BYTES_MAX)];
        let mut programs = Programs::default();
        programs.add(command, 0);
        let rank = |run: &Run| match run.name.as_str() {
            _ if run.is_filter => 0,
            name if SETUP.contains(&name) => 1,
            name if MINOR.contains(&name) => 2,
            _ => 3,
        };
        programs.main = (0..programs.runs.len()).max_by_key(|at| (rank(&programs.runs[*at]), *at));
        let reads = |run: &Run| {
            let name = run.name.as_str();
            let is_setup = SETUP.contains(&name) && name != "false";
            is_setup
                || FILTERS.contains(&name)
                || READERS.contains(&name)
                || name == "git" && GIT_READERS.contains(&run.subcommand.as_str())
        };
        programs.only_read = programs.runs.iter().all(reads);
        let ends_early = |end: &str| command.trim_end().contains(end);
        programs.hides_exit = ["|", ";", "\n", "&\n"].into_iter().any(ends_early);
        programs
    }

    /// The program that the command is about.
    pub(super) fn name(&self) -> &str {
        self.main.map_or("", |main| &self.runs[main].name)
    }

    /// The program that the command is about, and its subcommand.
    pub(super) fn call(&self) -> String {
        let Some(run) = self.main.map(|main| &self.runs[main]) else { return String::new() };
        match run.subcommand.as_str() {
            "" => run.name.clone(),
            subcommand => format!("{} {subcommand}", run.name),
        }
    }

    /// Whether a message of one of the programs, or of a shell, can begin with `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        let runs = |it: &str| self.names.iter().any(|name| name == it);
        let is_called =
            |(callers, called): &(&[&str], &[&str])| called.contains(&name) && callers.iter().any(|it| runs(it));
        SHELLS.contains(&name) || runs(name) || CALL.iter().any(is_called)
    }

    fn add(&mut self, command: &str, depth: usize) {
        let mut is_piped = false;
        for call in shell::calls(command) {
            self.add_call(&call, is_piped, depth);
            is_piped = call.is_piped;
        }
    }

    fn add_call(&mut self, call: &Call, is_piped: bool, depth: usize) {
        let mut words: Vec<&str> = call.program().iter().map(|word| word.text.as_str()).collect();
        if words.first().is_some_and(|first| SYNTAX.contains(first)) {
            return;
        }
        for word in &call.words[..call.words.len() - words.len()] {
            self.names.push(word.text.clone());
        }
        // The lexer steps over `sudo` and `env`, but not over their options.
        if words.first().is_some_and(|first| first.starts_with('-'))
            && let Some(before) = call.words[..call.words.len() - words.len()].last()
        {
            words.insert(0, &before.text);
        }
        for _ in 0..WRAPPERS_MAX {
            let Some(behind) = behind_wrapper(&words) else { break };
            self.names.push(program_name(words[0]));
            words.drain(..behind);
        }
        let Some((first, args)) = words.split_first() else { return };
        let name = program_name(first);
        if SHELLS.contains(&name.as_str()) && depth < DEPTH_MAX {
            self.names.push(name.clone());
            if let Some(inner) = behind_c(args) {
                return self.add(inner, depth + 1);
            }
        }
        if (SHELLS.contains(&name.as_str()) || INTERPRETERS.contains(&name.as_str()))
            && let Some(script) = args.iter().find(|arg| !arg.starts_with('-'))
        {
            self.names.push(path::last_part(script).to_owned());
        }
        let run = match (name.as_str(), args) {
            ("python", [.., "-m", module]) | ("python", ["-m", module, ..]) => {
                self.names.push(name.clone());
                let module = program_name(module);
                let from = args.iter().position(|arg| *arg == "-m").map_or(args.len(), |at| at + 2);
                let subcommand = subcommand(&module, args.get(from..).unwrap_or_default());
                Run { subcommand, name: module, is_filter: false }
            }
            _ => Run {
                subcommand: subcommand(&name, args),
                is_filter: is_piped && FILTERS.contains(&name.as_str()),
                name,
            },
        };
        self.names.push(run.name.clone());
        if run.name == "git" {
            // `merge: x - not something we can merge`
            self.names.push(run.subcommand.clone());
        }
        self.runs.push(run);
    }
}

/// A program by its name alone: without folders, without a version.
pub(crate) fn program_name(word: &str) -> String {
    let name = path::last_part(word);
    let name = name.strip_suffix(".exe").or_else(|| name.strip_suffix(".cmd")).unwrap_or(name);
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    if VERSIONED.contains(&base) { base.to_owned() } else { name.to_owned() }
}

/// Where the command of a wrapper begins in `words`, if they begin with one.
pub(crate) fn behind_wrapper(words: &[&str]) -> Option<usize> {
    let name = program_name(words.first()?);
    let wrapper =
        WRAPPERS.iter().find(|it| it.name == name && (it.then.is_empty() || words.get(1) == Some(&it.then)))?;
    let mut at = 1 + usize::from(!wrapper.then.is_empty());
    let mut operands = wrapper.operands;
    while let Some(word) = words.get(at) {
        if *word == "--" {
            at += 1;
            break;
        } else if word.starts_with('-') && word.len() > 1 {
            at += 1 + usize::from(wrapper.with_value.contains(word));
        } else if shell::is_assignment(word) {
            at += 1;
        } else if operands > 0 {
            operands -= 1;
            at += 1;
        } else {
            break;
        }
    }
    (at < words.len()).then_some(at)
}

/// The text that a shell runs: the word behind `-c`, `-lc` and their like.
fn behind_c<'w>(args: &[&'w str]) -> Option<&'w str> {
    let is_c = |arg: &&str| {
        let letters = arg.strip_prefix('-').unwrap_or_default();
        letters.eq_ignore_ascii_case("command") || !letters.starts_with('-') && letters.ends_with('c')
    };
    let at = args.iter().position(is_c)?;
    args[..at].iter().all(|arg| arg.starts_with(['-', '+']) || *arg == "pipefail").then(|| args.get(at + 1).copied())?
}

/// What the program `name` is to do, by its first operand. Empty if it has no subcommands.
pub(crate) fn subcommand(name: &str, args: &[&str]) -> String {
    let Some((_, with_value)) = WITH_SUBCOMMAND.iter().find(|(it, _)| *it == name) else { return String::new() };
    let mut operands = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if with_value.contains(arg) {
            args.next();
        } else if !(arg.starts_with(['-', '+'])
            || shell::is_assignment(arg)
            || arg.bytes().all(|it| it.is_ascii_digit()))
        {
            operands.push(arg.replace(shell::EXPANSION, "$"));
        }
        if operands.len() == 2 {
            break;
        }
    }
    let Some(first) = operands.first() else { return String::new() };
    let needs_two = TWO_WORDS.contains(&format!("{name} {first}").as_str());
    if needs_two { operands.join(" ") } else { first.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_about_one_program() {
        for (command, expected) in [
            ("cargo +nightly test -p a", "cargo test"),
            ("git -C sub -c a.b=c checkout x", "git checkout"),
            ("bash -lc 'cd x && git pull'", "git pull"),
            ("sudo -u me env A=1 timeout -k 5 30 make -C sub dist", "make dist"),
            ("sudo apt-get install -y jq", "apt-get install"),
            ("if cargo check; then echo ok; fi", "cargo check"),
            ("set -euo pipefail\ncd x\nnpm run build 2>&1 | tee log | tail -5", "npm run build"),
            ("cargo build 2>&1 | grep error | head", "cargo build"),
            ("mkdir -p out && cd out && cmake ..", "cmake"),
            ("mkdir out", "mkdir"),
            ("cd nowhere", "cd"),
            ("python3 -m pytest -q", "pytest"),
            ("python3.11 -m pip install x", "pip install"),
            ("/usr/bin/gcc-12 a.c", "gcc"),
            ("A=1 B=2 ./run.sh --now", "run.sh"),
            ("npx tsc -p .", "tsc"),
            ("uv run --with x pytest", "pytest"),
            ("docker compose up -d", "docker compose up"),
            ("false || true", "true"),
            ("false", "false"),
            ("for f in a b; do jq . $f; done", "jq"),
            ("make -j 4 all", "make all"),
            ("", ""),
            ("'", "'"),
        ] {
            assert_eq!(Programs::of(command).call(), expected, "{command}");
        }
    }

    #[test]
    fn messages_begin_with_programs_and_what_starts_them() {
        let programs = Programs::of("sudo timeout 5 bash deploy.sh && /opt/x/psql -c 'select 1'");
        for name in ["sudo", "timeout", "bash", "deploy.sh", "psql", "zsh"] {
            assert!(programs.has(name), "{name}");
        }
        assert!(!programs.has("select") && !programs.has("error"));
    }

    #[test]
    fn what_only_shows_text_is_noticed() {
        for (command, only_read, hides_exit) in [
            ("cat log | grep error", true, true),
            ("cd x && git log -3", true, false),
            ("cargo test", false, false),
            ("false | tail -3", false, true),
            ("false; echo", false, true),
            ("make && echo ok", false, false),
        ] {
            let programs = Programs::of(command);
            assert_eq!((programs.only_read, programs.hides_exit), (only_read, hides_exit), "{command}");
        }
    }
}
