//! Which calls change nothing. Pure.
//!
//! A failure that "came and went without a change" is told so for months, so a call counts as one that only looks if it is
//! known to be: the program, its subcommand, its options, and where its output goes. All else may have changed something.

use super::line::{Simple, simples};
use crate::signature::subcommand;

/// Programs that only look, print or wait, but for what [`acts`] says.
const LOOKERS: [&str; 76] = [
    "ls", "cat", "bat", "head", "tail", "less", "more", "grep", "egrep", "fgrep", "rg", "ag", "find", "fd", "tree",
    "wc", "sort", "uniq", "cut", "tr", "awk", "sed", "column", "diff", "cmp", "stat", "file", "du", "df", "ps", "top",
    "pgrep", "which", "whereis", "type", "man", "echo", "printf", "true", "false", ":", "test", "[", "pwd", "cd",
    "pushd", "popd", "date", "sleep", "wait", "env", "printenv", "id", "whoami", "uname", "hostname", "jq", "yq",
    "history", "nproc", "xxd", "od", "nl", "tac", "seq", "basename", "dirname", "realpath", "readlink", "md5sum",
    "strings", "free", "uptime", "getent", "set", "yes",
];
/// Options with which some of these change something: one letter, also within others (`-ni`), or a whole word.
const ACTING: [(&str, &[&str]); 16] = [
    ("sort", &["o", "--output"]),
    ("sed", &["i", "f", "--in-place", "--file"]),
    ("yq", &["i", "s", "--inplace", "--in-place", "--split-exp"]),
    ("awk", &["i", "f", "--include", "--file"]),
    ("date", &["s", "--set"]),
    ("hostname", &["F", "b", "--file", "--boot"]),
    ("find", &["-exec", "-ok", "-delete", "-fprint", "-fls"]),
    ("fd", &["x", "X", "--exec"]),
    ("rg", &["--pre"]),
    ("tree", &["o", "R", "--output"]),
    ("less", &["o", "O", "--log-file", "--LOG-FILE"]),
    ("file", &["C", "--compile"]),
    ("printf", &["v"]),
    ("history", &["c", "d", "w", "a", "r", "n"]),
    ("set", &["a"]),
    ("bat", &["cache"]),
];
/// Subcommands that only look.
const LOOKING: [(&str, &[&str]); 8] = [
    (
        "git",
        &[
            "status",
            "log",
            "diff",
            "show",
            "blame",
            "grep",
            "ls-files",
            "ls-tree",
            "ls-remote",
            "rev-parse",
            "rev-list",
            "merge-base",
            "shortlog",
            "describe",
            "cat-file",
        ],
    ),
    ("cargo", &["tree", "metadata", "search", "version", "locate-project"]),
    ("npm", &["ls", "list", "view", "outdated", "why", "explain", "root"]),
    ("pip", &["list", "show", "freeze", "check"]),
    ("docker", &["ps", "logs", "images", "inspect", "version", "info"]),
    ("kubectl", &["get", "describe", "logs", "explain", "version"]),
    ("gh", &["status"]),
    ("systemctl", &["status", "is-active", "is-enabled", "list-units"]),
];
/// Subcommands of `git` that look if nothing stands behind them, or one of these words: of options, nothing else.
const LISTING: [(&str, &[&str]); 3] = [
    ("remote", &["-v", "--verbose", "show", "get-url"]),
    ("branch", &["-a", "-r", "-v", "-vv", "--all", "--remotes", "--list", "--show-current"]),
    ("tag", &["-l", "--list"]),
];

/// Whether `call` changes nothing.
pub(super) fn only_looks(call: &Simple) -> bool {
    let name = call.name();
    let words: Vec<&str> = call.args().iter().map(|word| word.text.as_str()).collect();
    if !call.writes.is_empty() || !call.runs.iter().all(|text| runs_lookers(text)) {
        return false;
    }
    if matches!(words.as_slice(), ["--version" | "-V" | "--help" | "-h"]) {
        return true;
    }
    match name.as_str() {
        // Of assignments alone, a later call may see some.
        "" => call.assigned.is_empty(),
        "export" => words.iter().all(|word| super::subject::is_neutral_assignment(word)),
        "command" => matches!(words.first(), Some(&("-v" | "-V"))),
        "git" => git_looks(&words),
        name if LOOKERS.contains(&name) => !acts(name, &words),
        name => looks_by_subcommand(name, &words),
    }
}

/// Whether all that `text` runs looks.
fn runs_lookers(text: &str) -> bool {
    simples(text).is_some_and(|calls| calls.iter().all(only_looks))
}

fn looks_by_subcommand(name: &str, words: &[&str]) -> bool {
    let does = subcommand(name, words);
    let first = does.split(' ').next().unwrap_or_default();
    LOOKING.iter().any(|(program, they)| *program == name && they.contains(&first))
}

fn git_looks(words: &[&str]) -> bool {
    let does = subcommand("git", words);
    let first = does.split(' ').next().unwrap_or_default();
    let at = words.iter().position(|word| *word == first).map_or(words.len(), |at| at + 1);
    let behind = &words[at..];
    if let Some((_, looking)) = LISTING.iter().find(|(it, _)| *it == first) {
        let is_listed = behind.first().is_none_or(|word| looking.contains(word));
        let are_options = behind.iter().all(|word| looking.contains(word));
        return is_listed && (are_options || !behind.iter().any(|word| word.starts_with('-')));
    }
    // A pager of its own is another program.
    let is_written = |word: &str| ["--output", "--open-files-in-pager", "-O"].iter().any(|it| word.starts_with(it));
    looks_by_subcommand("git", words) && !behind.iter().any(|word| is_written(word))
}

/// Whether the looker `name` changes something with these `words`.
fn acts(name: &str, words: &[&str]) -> bool {
    let has = |option: &&str, word: &&str| {
        let letters = word.strip_prefix('-').filter(|it| !it.starts_with('-'));
        match option.len() {
            1 => letters.is_some_and(|letters| letters.contains(*option)),
            _ => word.starts_with(option),
        }
    };
    let options = ACTING.iter().find(|(program, _)| *program == name).map_or(&[][..], |(_, options)| options);
    let operands = || words.iter().filter(|word| !word.starts_with('-'));
    let many = || operands().filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit())).count() > 1;
    options.iter().any(|option| words.iter().any(|word| has(option, word)))
        || match name {
            // What they run instead, with another environment.
            "env" => !words.is_empty(),
            // The second file is written.
            "uniq" | "xxd" => many(),
            "hostname" => operands().next().is_some(),
            "date" => {
                operands().any(|word| word.len() >= 8 && word.bytes().all(|it| it.is_ascii_digit() || it == b'.'))
            }
            "awk" => operands().any(|text| text.contains('>') || text.contains("system(") || text.contains("| \"")),
            "sed" => operands().any(|text| writes_in_sed(text)),
            _ => false,
        }
}

/// Whether the program `text` of `sed` may write to a file or run something: `w file`, `s/a/b/e`.
fn writes_in_sed(text: &str) -> bool {
    let is_command = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphabetic() && c != 'g');
    text.match_indices("w ").any(|(at, _)| is_command(at)) || text.ends_with("/e") || text.ends_with("/ge")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(command: &str) -> bool {
        runs_lookers(command)
    }

    #[test]
    fn what_is_known_to_change_nothing_looks() {
        for command in [
            "ls -la src | sort -rn | uniq -c | head -5",
            "sort -k2,2 -t: f",
            "sed -n 1,5p f",
            "sed -e 's/how are/you/' f",
            "awk '{print $1}' f",
            "yq -r .a f.yaml",
            "jq .a f.json 2>/dev/null",
            "grep -i x f >/dev/null 2>&1",
            "find . -name '*.o' -newer x",
            "date +%s",
            "date -d '2 days ago' +%F",
            "hostname -f",
            "env | grep PATH",
            "command -v cargo",
            "git remote -v",
            "git -C sub remote get-url origin",
            "git remote",
            "git branch",
            "git branch --show-current",
            "git tag -l",
            "git log --oneline -3",
            "git ls-files -o",
            "git diff HEAD~1 -- src",
            "echo $(date) \"$(git rev-parse HEAD)\" `pwd`",
            "export RUST_BACKTRACE=1",
            "xxd -l 64 f",
            "set -euo pipefail",
            "docker ps -a",
            "ship --help",
        ] {
            assert!(looks(command), "{command}");
        }
    }

    #[test]
    fn all_else_may_change_something() {
        for command in [
            "cat > gen.py <<'EOF'\nprint(1)\nEOF\n",
            "echo A=1 >> .env",
            "> empty",
            "echo x &> log",
            "jq .a p.json > q.json",
            "git show HEAD:a > a",
            "pip freeze >| requirements.txt",
            "cargo --help > help.txt",
            "yq -i .a=1 f.yaml",
            "yq -yi .a=1 f.yaml",
            "awk -i inplace 1 f",
            "awk '{print > \"out\"}' f",
            "awk 'BEGIN { system(\"make\") }'",
            "sort -o f f",
            "sort -uof f",
            "sort --output=f f",
            "sed -ni 1p f",
            "sed -i.bak s/a/b/ f",
            "sed -n '/x/w out' f",
            "sed 's/a/b/gw out' f",
            "sed -f script f",
            "uniq a b",
            "find . -fprint out",
            "find . -execdir rm {} +",
            "fd x --exec rm",
            "date -s 12:00",
            "date 120100002027",
            "hostname web-1",
            "env -i ./setup.sh",
            "env -u X make",
            "history -c",
            "git remote add origin x",
            "git remote set-url origin x",
            "git remote update",
            "git branch topic",
            "git branch -v topic",
            "git tag v1",
            "git diff --output=p.patch",
            "git stash",
            "git config user.email a",
            "echo x | tee .env",
            "ls | xargs rm",
            "echo $(make)",
            "echo \"$(cargo add serde)\"",
            "ls `make`",
            "export SKIP=1",
            "SKIP=1",
            ". .venv/bin/activate",
            "source .env",
            "unset A",
            "ulimit -n 4096",
            "python x.py",
            "command make",
        ] {
            assert!(!looks(command), "{command}");
        }
    }
}
