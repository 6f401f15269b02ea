//! What a call between a failure and its success did, in words that may be told. Pure, except for what `is_file` asks.
//!
//! 1. Spelled are: the program, its subcommand, the names of options, and operands that are files of the project or names of
//!    packages. Never the value of an option, quoted text, a variable, an address, or what is given to read.
//! 2. An operand behind an option may be its value, so it is not spelled, unless the option is known to take none.
//! 3. What needs a second thought is counted, and never spelled ([`is_risky`]): to be told is to be tempted.
//! 4. What only looks is no step ([`only_looks`]), unless what it prints goes to a file: then the file was edited.

use serde_json::Value;

use super::line::{SHELLS, Simple, Word, joined, simples};
use super::looks::only_looks;
use crate::session::Step;
use crate::shell::End;
use crate::signature::{behind_wrapper, program_name, subcommand};

/// The longest operand that is spelled, in characters.
const OPERAND_CHARS_MAX: usize = 100;
/// The longest command that is spelled, in characters.
const SPELLED_CHARS_MAX: usize = 120;
/// The most calls of one command that become steps of their own.
const CALLS_MAX: usize = 8;
/// The most files of one call that are named.
const FILES_MAX: usize = 8;

/// Tools that edit a file, by their names in lower case, without signs.
const EDITORS: [&str; 14] = [
    "edit",
    "write",
    "multiedit",
    "notebookedit",
    "patch",
    "applypatch",
    "replace",
    "writefile",
    "editfile",
    "createfile",
    "strreplace",
    "searchreplace",
    "delete",
    "deletefile",
];
/// The fields of their inputs that name the file.
const FILE_FIELDS: [&str; 8] = [
    "file_path",
    "filePath",
    "notebook_path",
    "path",
    "target_file",
    "absolute_path",
    "filename",
    "relative_workspace_path",
];
/// How a patch names its files.
const PATCHED: [&str; 4] = ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: "];
/// Programs that install packages, and the subcommands behind which the packages are named.
const INSTALLERS: [(&str, &[&str]); 22] = [
    ("npm", &["install", "i", "add", "ci", "remove", "uninstall", "update"]),
    ("pnpm", &["install", "i", "add", "remove", "update"]),
    ("yarn", &["add", "remove", "upgrade", "install"]),
    ("bun", &["add", "install", "remove", "update"]),
    ("pip", &["install", "uninstall"]),
    ("uv", &["add", "remove", "sync", "pip"]),
    ("poetry", &["add", "remove", "update", "install"]),
    ("pdm", &["add", "remove", "update"]),
    ("pipenv", &["install", "uninstall"]),
    ("conda", &["install", "remove", "update"]),
    ("mamba", &["install", "remove", "update"]),
    ("cargo", &["add", "remove", "install", "update"]),
    ("go", &["get", "install"]),
    ("apt", &["install", "remove"]),
    ("apt-get", &["install", "remove"]),
    ("dnf", &["install", "remove"]),
    ("apk", &["add", "del"]),
    ("brew", &["install", "upgrade", "uninstall"]),
    ("gem", &["install", "uninstall"]),
    ("bundle", &["add", "install", "update"]),
    ("composer", &["require", "remove", "update"]),
    ("rustup", &["component", "target", "toolchain", "update"]),
];
/// Options that take no value.
const WITHOUT_VALUE: [&str; 24] = [
    "-y",
    "--yes",
    "-D",
    "--dev",
    "--save-dev",
    "--save",
    "-g",
    "--global",
    "-U",
    "--upgrade",
    "--locked",
    "--frozen",
    "--offline",
    "--release",
    "--all",
    "--workspace",
    "-q",
    "--quiet",
    "-v",
    "--verbose",
    "--no-deps",
    "--user",
    "--fix",
    "--write",
];
/// Words of a command that need a second thought.
const RISKY: [&str; 16] = [
    "publish",
    "push",
    "deploy",
    "release",
    "destroy",
    "apply",
    "delete",
    "drop",
    "prune",
    "purge",
    "reset",
    "rebase",
    "filter-branch",
    "shutdown",
    "reboot",
    "unlock",
];
/// Options that do, up to a further dash or sign.
const RISKY_OPTIONS: [&str; 9] =
    ["--force", "--no-verify", "--hard", "--dangerously", "--delete", "--prune", "--purge", "--yolo", "--unsafe"];
/// Programs that do.
const RISKY_PROGRAMS: [&str; 24] = [
    "sudo", "doas", "su", "eval", "dd", "mkfs", "fdisk", "chmod", "chown", "chattr", "kill", "pkill", "killall",
    "shred", "twine", "ssh", "scp", "rsync", "curl", "wget", "mysql", "psql", "sqlite3", "iptables",
];

/// A call between a failure and its success.
pub struct Called<'a> {
    /// The tool, as the host spells it.
    pub tool: &'a str,
    /// Its input, redacted as far as it is read.
    pub input: &'a Value,
    /// The command, redacted, if it is a shell.
    pub command: Option<&'a str>,
    /// The folder that it ran in.
    pub folder: &'a str,
    /// The project's folder.
    pub root: &'a str,
    /// Whether it failed. Of a command, the last call failed then.
    pub failed: bool,
    /// Whether there is a file at a path below the project's folder.
    pub is_file: &'a dyn Fn(&str) -> bool,
}

/// The steps that `called` stands for; none if it only looked.
pub fn steps(called: &Called<'_>) -> Vec<Step> {
    if let Some(files) = edited(called) {
        return match called.failed {
            true => Vec::new(),
            false => edits(called, &files),
        };
    }
    let Some(command) = called.command else { return vec![Step::default()] };
    let Some(calls) = simples(command) else { return vec![Step::default()] };
    let calls: Vec<&Simple> = calls.iter().collect();
    match pipes_into_shell(&calls) {
        true => vec![Step::default()],
        false => of_calls(called, &calls[..calls.len() - usize::from(called.failed)]),
    }
}

/// The steps that `calls` stand for: whole pipelines of a command, which worked.
pub(super) fn of_pipelines(called: &Called<'_>, calls: &[&Simple]) -> Vec<Step> {
    match pipes_into_shell(calls) {
        true => vec![Step::default()],
        false => of_calls(called, calls),
    }
}

fn pipes_into_shell(calls: &[&Simple]) -> bool {
    let is_shell = |word: &Word| SHELLS.contains(&program_name(&word.text).as_str());
    calls.windows(2).any(|two| two[0].end == End::Pipe && two[1].words.iter().any(is_shell))
}

fn of_calls(called: &Called<'_>, calls: &[&Simple]) -> Vec<Step> {
    let mut folder = called.folder.to_owned();
    let mut steps = Vec::new();
    for call in calls {
        if call.name() == "cd" {
            folder = call.args().first().and_then(|to| joined(&folder, &to.text)).unwrap_or_default();
        }
        if !only_looks(call) && steps.len() < CALLS_MAX {
            steps.push(of_call(call, &folder, called));
        }
    }
    steps
}

/// The step that `call` is.
fn of_call(call: &Simple, folder: &str, called: &Called<'_>) -> Step {
    let shown = Simple { writes: Vec::new(), runs: Vec::new(), ..call.clone() };
    if !only_looks(&shown) {
        return Step { does: spelled(call, folder, called).unwrap_or_default(), ..Step::default() };
    }
    // What looks, and writes what it sees, edits that file.
    let is_file = |file: &String| (called.is_file)(file);
    let known = |word: &Word| relative(&word.text, folder, called.root).filter(|_| word.is_plain).filter(is_file);
    match call.writes.as_slice() {
        [file] => known(file).map(edit_of).unwrap_or_default(),
        _ => Step::default(),
    }
}

/// The files that the tool edits, as its input names them; `None` if it edits none.
fn edited(called: &Called<'_>) -> Option<Vec<String>> {
    let patch = called.command.filter(|command| command.contains("*** Begin Patch"));
    let given = ["patch", "patchText", "input"].iter().find_map(|name| called.input.get(name)?.as_str());
    let named =
        |line: &str| PATCHED.iter().find_map(|start| line.strip_prefix(start)).map(|name| name.trim().to_owned());
    if let Some(patch) = patch.or(given.filter(|text| text.contains("*** Begin Patch"))) {
        return Some(patch.lines().filter_map(named).collect());
    }
    let name: String = called.tool.chars().filter(char::is_ascii_alphanumeric).collect();
    if called.command.is_some() || !EDITORS.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    let file = FILE_FIELDS.iter().find_map(|name| called.input.get(name)?.as_str());
    Some(file.into_iter().map(str::to_owned).collect())
}

fn edits(called: &Called<'_>, files: &[String]) -> Vec<Step> {
    let step = |file: &String| relative(file, called.folder, called.root).map(edit_of).unwrap_or_default();
    match files.is_empty() {
        true => vec![Step::default()],
        false => files.iter().take(FILES_MAX).map(step).collect(),
    }
}

fn edit_of(file: String) -> Step {
    Step { does: format!("edited `{file}`"), edits: vec![file], ..Step::default() }
}

/// `path`, named from `folder`, below `root`. `None` if it is not there, or has signs that are not told.
fn relative(path: &str, folder: &str, root: &str) -> Option<String> {
    let (path, root) = (slashes(path), joined(&slashes(root), "")?);
    let whole = joined(&slashes(folder), &path)?;
    let below = whole.strip_prefix(&root)?.strip_prefix('/')?;
    is_tellable(below).then(|| below.to_owned())
}

/// `path` with slashes, where another sign parts folders.
fn slashes(path: &str) -> String {
    if cfg!(windows) { path.replace('\\', "/") } else { path.to_owned() }
}

/// Whether `text` is short, and made of signs that a name of a file or a package has.
fn is_tellable(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/@+-=~^".contains(c);
    (1..=OPERAND_CHARS_MAX).contains(&text.len()) && text.chars().all(is_plain)
}

/// `call` as it may be told; `None` if it is counted only.
fn spelled(call: &Simple, folder: &str, called: &Called<'_>) -> Option<String> {
    let all: Vec<&str> = call.words.iter().map(|word| word.text.as_str()).collect();
    if is_risky(&call.name(), &all) {
        return None;
    }
    // `npx tsc` and `uv run pytest` are about what they run.
    let behind = behind_wrapper(&all).unwrap_or(0);
    let words = &call.words[behind..];
    let inner = Simple { words: words.to_vec(), ..call.clone() };
    let name = inner.name();
    if is_risky(&name, &all[behind..]) || SHELLS.contains(&name.as_str()) && inner.args().is_empty() {
        return None;
    }
    let is_name = |text: &str| is_tellable(text) && text.len() <= 40 && !text.contains(['=', '@', '/']);
    words.first().filter(|word| word.is_plain && is_name(&name))?;
    let mut told = vec![name.clone()];
    let mut args = inner.args();
    let texts: Vec<&str> = args.iter().map(|word| word.text.as_str()).collect();
    let does = subcommand(&name, &texts);
    // The subcommand is told only if the words stand at the beginning: behind options, one may be an option's value.
    let begins =
        does.split(' ').filter(|_| !does.is_empty()).zip(args).all(|(does, word)| does == word.text && word.is_plain);
    if !does.is_empty() && begins && does.split(' ').all(is_name) {
        let parts = does.split(' ').count();
        args = &args[parts..];
        told.push(does.clone());
    }
    let packages = INSTALLERS
        .iter()
        .any(|(program, they)| *program == name && they.contains(&does.split(' ').next().unwrap_or_default()));
    told.extend(operands(args, packages, folder, called));
    let told = told.join(" ");
    (told.len() <= SPELLED_CHARS_MAX).then(|| format!("ran `{told}`"))
}

/// The names of options, and the operands that may be told.
fn operands(args: &[Word], packages: bool, folder: &str, called: &Called<'_>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut may_be_value = false;
    for word in args {
        let text = word.text.as_str();
        if text == "--" {
            may_be_value = false;
        } else if text.starts_with('-') {
            told.extend(option_name(text).filter(|name| !told.contains(name)));
            may_be_value = !text.contains('=') && !WITHOUT_VALUE.contains(&text);
        } else {
            let operand =
                (!std::mem::take(&mut may_be_value) && word.is_plain).then(|| operand(text, packages, folder, called));
            told.extend(operand.flatten());
        }
    }
    told
}

/// The name in an option: `--features=x` is `--features`. `None` if it cannot be told from its value.
fn option_name(text: &str) -> Option<String> {
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    let letters = name.strip_prefix("--");
    let is_long = letters
        .is_some_and(|it| (2..=30).contains(&it.len()) && it.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
    let is_short = name.len() == 2 && name.ends_with(|c: char| c.is_ascii_alphabetic());
    (is_long || is_short).then(|| name.to_owned())
}

/// `text` as a package's name, or as a file of the project by its path there.
fn operand(text: &str, packages: bool, folder: &str, called: &Called<'_>) -> Option<String> {
    if text.contains("[redacted") {
        return None;
    }
    if let Some(file) = relative(text, folder, called.root)
        && (called.is_file)(&file)
    {
        return Some(file);
    }
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@') && text.len() <= 60;
    (packages && is_name && is_tellable(text)).then(|| text.to_owned())
}

/// Whether a call of the program `name` needs a second thought.
fn is_risky(name: &str, words: &[&str]) -> bool {
    let args = words.get(1..).unwrap_or_default();
    let letters =
        |word: &str, letter: &[char]| word.starts_with('-') && !word.starts_with("--") && word.contains(letter);
    RISKY_PROGRAMS.contains(&name)
        || RISKY.contains(&name.split(['.', '-', '_']).next().unwrap_or_default())
        || name == "rm" && args.iter().any(|it| letters(it, &['r', 'R']) || it.starts_with("--recursive"))
        || args.iter().any(|word| {
            let begin = word.split([':', '=', '-']).next().unwrap_or_default();
            let is_option = RISKY_OPTIONS.iter().any(|option| word.starts_with(option));
            is_option || RISKY.contains(word) || RISKY.contains(&begin)
        })
        || matches!(name, "git" | "npm" | "docker") && args.iter().any(|word| letters(word, &['f']))
        || name == "git" && args.iter().any(|word| matches!(*word, "-n" | "clean") || word.starts_with('+'))
}

/// Whether `path`, below a project's folder, is that of a test.
pub(super) fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let (folders, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let in_tests =
        ["test", "tests", "__tests__", "spec", "specs", "testdata", "fixtures", "__snapshots__", "snapshots"];
    folders.split('/').any(|folder| in_tests.contains(&folder))
        || ["test_", "tests_"].iter().any(|start| stem.starts_with(start))
        || ["_test", "_tests", "_spec", "-test", "-spec"].iter().any(|end| stem.ends_with(end))
        || matches!(stem, "test" | "tests" | "conftest")
        || [".test.", ".spec.", ".snap"].iter().any(|part| name.contains(part))
        || path.rsplit('/').next().is_some_and(|name| {
            ["Test.java", "Tests.java", "Test.kt", "Test.php", "Tests.cs"].iter().any(|end| name.ends_with(end))
        })
}
