//! When a success pairs with a failure: whether a command that worked is the one that failed. Pure.
//!
//! A pair says that the same thing was tried again and worked. So what decides must be the exit code of that very call,
//! and nothing in the command may be other than before. A pair that is missed is silence; a wrong one is a lie.
//!
//! 1. Compared is the last list of `&&` in a command. What a shell may have skipped, negated, repeated, put into the
//!    background or piped away has no subject.
//! 2. All words are compared, and assignments, and what a call is given to read, except for what changes only how much is
//!    printed ([`is_neutral`]). So no flag is there or gone that could weaken what is checked.
//! 3. The folder is where the last call runs, `cd` included.
//! 4. A command with a redacted secret has no subject: two secrets have one placeholder.

use super::line::{Simple, joined, simples};
use crate::shell::End;

/// Calls that prepare or print, and whose exit code is not what a command is about.
const SETUP: [&str; 9] = ["cd", "set", "echo", "printf", "true", ":", "pwd", "date", "sleep"];
/// What may be piped into a call whose exit code is then that of the list.
const PRODUCERS: [&str; 4] = ["echo", "printf", "cat", "yes"];
/// What passes on what it reads, and fails only if it cannot.
const FILTERS: [&str; 8] = ["tee", "cat", "tail", "sort", "uniq", "nl", "fold", "column"];
/// What decides by itself whether the rest is run, or what the exit code is.
const DECIDING: [&str; 3] = ["trap", "exit", "return"];
/// Assignments that change only what is printed for those who look for a fault. Not those that a program may behave by, as
/// `TERM` and `LC_ALL`: they can be the very fix.
const NEUTRAL_NAMES: [&str; 6] =
    ["RUST_BACKTRACE", "RUST_LOG", "CARGO_TERM_COLOR", "CARGO_TERM_VERBOSE", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"];
/// Options that change only what is printed, for every program. Not `--quiet`: `git diff --quiet` has another exit code.
const NEUTRAL: [&str; 4] = ["--verbose", "--color", "--no-color", "--no-progress"];
/// Options of a program's own that do, and the programs. For others, `-v` is the version.
const NEUTRAL_FOR: [(&[&str], &[&str]); 4] = [
    (&["--nocapture", "--no-capture", "--show-output"], &["cargo"]),
    (&["-v", "-vv", "-vvv"], &["cargo", "pytest", "go", "pip"]),
    (&["-q", "--quiet"], &["cargo", "pytest", "pip", "npm", "mvn", "gradle", "gradlew"]),
    (&["--colors"], &["jest"]),
];
/// The same, for a test program of cargo's, behind `--`.
const NEUTRAL_FOR_TESTS: [&str; 6] = ["--nocapture", "--no-capture", "--show-output", "--color", "-q", "--quiet"];

/// What a command is about, as far as it has to be the same for a pair, and the line that it stands in.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The folder that the last call runs in.
    folder: String,
    /// The calls of the last list, each as the words that count.
    chain: Vec<Vec<String>>,
    /// All pipelines of the line.
    line: Vec<Vec<Simple>>,
    /// Which of them each call of the chain is.
    places: Vec<usize>,
}

impl Subject {
    /// The subject of `command`, run in the folder `cwd`. `None` if its exit code does not say whether one call, known in
    /// full, worked. `command` has passed redaction.
    pub fn of(command: &str, cwd: &str) -> Option<Subject> {
        if command.contains("[redacted:") || cwd.is_empty() {
            return None;
        }
        let simples = simples(command)?;
        if simples.iter().any(|call| DECIDING.contains(&call.name().as_str())) {
            return None;
        }
        let is_set = |long: &str, letter: char| {
            simples.iter().filter(|it| it.name() == "set").flat_map(Simple::args).any(|word| {
                let letters = word.text.strip_prefix('-').filter(|it| !it.starts_with('-'));
                word.text == long || letters.is_some_and(|letters| letters.contains(letter))
            })
        };
        let (pipefail, errexit) = (is_set("pipefail", '\0'), is_set("errexit", 'e'));
        let begin = begin_of_last(&simples, errexit)?;
        let mut folder = joined(cwd, "")?;
        for call in simples.iter().filter(|call| matches!(call.name().as_str(), "cd" | "pushd" | "popd")) {
            folder = changed(call, &folder)?;
        }
        let (mut chain, mut places, mut at) = (Vec::new(), Vec::new(), 0);
        let line: Vec<&[Simple]> = simples.split_inclusive(|call| call.end != End::Pipe).collect();
        for (place, pipeline) in line.iter().enumerate() {
            at += pipeline.len();
            if at <= begin {
                continue;
            }
            let subject = subject_of(pipeline, pipefail)?;
            let first = &subject[0];
            if !(SETUP.contains(&first.name().as_str()) || first.words.is_empty()) || subject.len() > 1 {
                chain.push(subject.iter().flat_map(counted).collect());
                places.push(place);
            }
        }
        let line = line.into_iter().map(<[Simple]>::to_vec).collect();
        (!chain.is_empty()).then_some(Subject { folder, chain, line, places })
    }

    /// The pipelines of this command's line beside those of `failed`, if this is the same command, which ends with them all.
    pub(super) fn beside(&self, failed: &Subject) -> Option<Vec<&[Simple]>> {
        if !self.repeats(failed) {
            return None;
        }
        let same = &self.places[self.places.len() - failed.places.len()..];
        let beside = self.line.iter().enumerate().filter(|(place, _)| !same.contains(place));
        Some(beside.map(|(_, pipeline)| pipeline.as_slice()).collect())
    }

    /// Whether this command, which worked, is the one that `failed`.
    pub fn repeats(&self, failed: &Subject) -> bool {
        self.folder == failed.folder && self.chain.ends_with(&failed.chain)
    }
}

/// Where the last list of `&&` begins, if nothing stands behind it that hides its exit code.
fn begin_of_last(simples: &[Simple], errexit: bool) -> Option<usize> {
    let last = simples.last()?;
    if !matches!(last.end, End::Text | End::Semicolon) || simples.iter().any(|call| call.end == End::Bracket) {
        return None;
    }
    let goes_on = |call: &Simple| matches!(call.end, End::And | End::Pipe) || errexit && call.end == End::Semicolon;
    let before = &simples[..simples.len() - 1];
    let begin = before.iter().rposition(|call| !goes_on(call)).map_or(0, |at| at + 1);
    // Behind `||` or `&` it is not known what was run, or what else still runs.
    let is_known = before[..begin].iter().all(|call| !matches!(call.end, End::Or | End::Background) || errexit);
    let is_alone = begin == 0 || !matches!(before[begin - 1].end, End::Or | End::Background);
    (is_known && is_alone).then_some(begin)
}

/// The folder after `call`, which changes it.
fn changed(call: &Simple, folder: &str) -> Option<String> {
    match call.args() {
        [to] if call.name() == "cd" && to.text != "-" && !to.text.starts_with('$') => joined(folder, &to.text),
        _ => None,
    }
}

/// The calls of a pipeline whose success its exit code shows.
fn subject_of(pipeline: &[Simple], pipefail: bool) -> Option<&[Simple]> {
    let [before @ .., last] = pipeline else { return None };
    if before.is_empty() {
        return Some(pipeline);
    }
    if pipefail {
        let is_filter = |call: &Simple| FILTERS.contains(&call.name().as_str()) && call.reads.is_empty();
        let kept = pipeline.iter().rposition(|call| !is_filter(call)).map_or(1, |at| at + 1);
        return Some(&pipeline[..kept]);
    }
    let feeds = |call: &Simple| PRODUCERS.contains(&call.name().as_str());
    (before.iter().all(feeds) && !FILTERS.contains(&last.name().as_str())).then_some(pipeline)
}

/// The words of `call` that count.
fn counted(call: &Simple) -> Vec<String> {
    let name = call.name();
    let is_kept = |assigned: &&String| !is_neutral_assignment(assigned);
    let mut counted: Vec<String> = call.assigned.iter().filter(is_kept).cloned().collect();
    // What stands behind `--` is mostly another program's.
    let own = call.words.iter().position(|word| word.text == "--").unwrap_or(call.words.len());
    let (own, others) = call.words.split_at(own);
    let is_cargo_test = name == "cargo" && own.iter().any(|word| matches!(word.text.as_str(), "test" | "t" | "bench"));
    counted.extend(own.iter().map(|word| word.text.clone()).filter(|word| !is_neutral(&name, word)));
    let is_kept = |word: &String| !(is_cargo_test && NEUTRAL_FOR_TESTS.contains(&option_of(word)));
    counted.extend(others.iter().map(|word| word.text.clone()).filter(is_kept));
    while counted.last().is_some_and(|last| last == "--") {
        counted.pop();
    }
    counted.extend(call.reads.iter().map(|read| format!("<{read}")));
    // So that the words of one call never read as those of two.
    counted.push("\n".into());
    counted
}

/// Whether `word` assigns to a variable that changes only what is printed.
pub(super) fn is_neutral_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| NEUTRAL_NAMES.contains(&name))
}

/// Whether `word`, among its own, changes only what the program `name` prints.
fn is_neutral(name: &str, word: &str) -> bool {
    let is_for =
        |(options, programs): &(&[&str], &[&str])| options.contains(&option_of(word)) && programs.contains(&name);
    NEUTRAL.contains(&option_of(word)) || NEUTRAL_FOR.iter().any(is_for)
}

/// `--color=never` is `--color`.
fn option_of(word: &str) -> &str {
    word.split_once('=').map_or(word, |(option, _)| option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(failed: &str, worked: &str) -> bool {
        let subject = |command| Subject::of(command, "/w");
        subject(failed).zip(subject(worked)).is_some_and(|(failed, worked)| worked.repeats(&failed))
    }

    #[test]
    fn the_same_command_pairs_however_it_is_wrapped() {
        for (failed, worked) in [
            ("cargo test --locked", "cargo test --locked"),
            ("cargo test", "cargo  'test'\n"),
            ("cargo test", "RUST_BACKTRACE=1 cargo test -v"),
            ("cargo test", "cargo test -- --nocapture --color=always -q"),
            ("cargo test x", "cargo -v test --quiet x"),
            ("pip install -r r.txt", "pip install -q -r r.txt"),
            ("npm ci", "npm ci --quiet"),
            ("go test ./...", "go test -v ./..."),
            ("make check", "make --verbose check"),
            ("cargo test 2>&1", "cargo test > out 2>&1"),
            ("cargo test", "timeout 300 cargo test"),
            ("cargo test", "time cargo test;"),
            ("cargo test", "bash -lc 'cargo test'"),
            ("cargo test", "echo start; cargo test"),
            ("cargo test", "set -o pipefail; cargo test 2>&1 | tee log | tail -5"),
            ("cargo test", "set -euo pipefail\ncargo test | tail -5"),
            ("cargo test", "cargo clean && cargo test"),
            ("cd a && make", "cd a/b/.. && make"),
            ("cd a && make", "cd /w/a && make"),
            ("make", "cd /w && make"),
            ("make a && make b", "make a && make b"),
            ("echo 'select 1' | psql shop", "echo 'select 1' | psql shop"),
            ("psql shop <a.sql", "psql shop < a.sql"),
            ("A=1 make", "env A=1 make"),
            ("sudo systemctl restart x", "sudo systemctl restart x"),
            ("$HOME/bin/x $Y", "$HOME/bin/x $Y"),
        ] {
            assert!(pairs(failed, worked), "{failed} -> {worked}");
        }
    }

    /// A command that failed, one that worked, and why they do not pair.
    const NO_PAIRS: [(&str, &str, &str); 69] = [
        ("cargo test", "cargo build", "another subcommand"),
        ("cargo test", "npm test", "another program"),
        ("cargo test", "cargo test cart", "another operand"),
        ("cargo test -p a", "cargo test -p b", "another option value"),
        ("cargo test a b", "cargo test a", "an operand less"),
        ("cargo test", "cargo test || true", "|| behind"),
        ("cargo test", "cargo test; true", "; behind"),
        ("cargo test", "cargo test &", "& behind"),
        ("cargo test", "cargo test | tail -5", "a pipe without pipefail"),
        ("cargo test", "cargo test |& tee log", "a pipe without pipefail"),
        ("cargo test", "set -o pipefail; cargo test | tail || true", "|| behind a pipe"),
        ("cargo test", "set -o pipefail; cargo test | xargs echo", "a pipe into more than a filter"),
        ("cargo test", "cargo test && echo ok && git push", "not the last of its list"),
        ("cargo test", "! cargo test", "negated"),
        ("cargo test", "if cargo test; then echo ok; fi", "a condition"),
        ("cargo test", "while ! cargo test; do sleep 1; done", "a loop"),
        ("cargo test", "for i in 1 2; do cargo test; done", "a loop"),
        ("cargo test", "(cargo test)", "a shell of its own"),
        ("cargo test", "(cargo test) || true", "a shell of its own"),
        ("cargo test", "true || cargo test", "perhaps never run"),
        ("cargo test", "sleep 9 & cargo test", "beside another"),
        ("cargo test", "echo $(cargo test)", "within another"),
        ("cargo test", "eval cargo test", "evaluated"),
        ("git commit -m x", "git commit -m x --no-verify", "a flag that weakens it"),
        ("git commit -m x", "HUSKY=0 git commit -m x", "an assignment that weakens it"),
        ("git push", "git push --force", "a flag that weakens it"),
        ("pytest", "pytest -k 'not slow'", "a flag that weakens it"),
        ("pytest", "pytest --ignore=tests/slow", "a flag that weakens it"),
        ("pytest", "pytest -x", "a flag that may weaken it"),
        ("npm test", "npm test -- --passWithNoTests", "a flag that weakens it"),
        ("npm install", "npm install --legacy-peer-deps", "a flag that weakens it"),
        ("cargo clippy -- -D warnings", "cargo clippy", "a flag gone that made it strict"),
        ("cargo test --locked", "cargo test", "a flag gone that made it strict"),
        ("gcc -Werror a.c", "gcc a.c", "a flag gone that made it strict"),
        ("grep x f", "grep -v x f", "-v does something for this program"),
        ("apt install jq", "sudo apt install jq", "another user"),
        ("cd a && make", "make", "another folder"),
        ("make", "cd b && make", "another folder"),
        ("make", "cd $X && make", "a folder that is not known"),
        ("make", "cd - && make", "a folder that is not known"),
        ("make", "pushd a && make", "a folder that is not known"),
        ("make a && make b", "make b", "only the rest of the list"),
        ("make a && make b", "make a; make b", "a list in which the first may fail"),
        ("psql shop <a.sql", "psql shop <b.sql", "another input"),
        ("psql shop <<E\nselect 1\nE\n", "psql shop <<E\nselect 2\nE\n", "another input"),
        ("python - <<'E'\nprint(1)\nE\n", "python -", "another input"),
        ("diff <(a) b", "diff <(a) b", "an input that is not known"),
        ("mysql -p[redacted:command-secret] shop", "mysql -p[redacted:command-secret] shop", "perhaps another secret"),
        ("npm test", "npm test -v", "-v is the version"),
        ("mvn test", "mvn -v test", "-v is the version"),
        ("gradle build", "gradle -v build", "-v is the version"),
        ("jest", "jest -v", "-v is the version"),
        ("yarn test", "yarn -v test", "-v is the version"),
        ("pnpm test", "pnpm test -v", "-v is the version"),
        ("rspec", "rspec -v", "-v is the version"),
        ("git diff --quiet", "git diff", "--quiet sets the exit code"),
        ("git diff", "git diff --quiet", "--quiet sets the exit code"),
        ("grep --quiet x f", "grep x f", "--quiet sets the exit code"),
        ("python3 a.py", "LC_ALL=C.UTF-8 python3 a.py", "an assignment that may be the fix"),
        ("./tui.sh", "TERM=xterm ./tui.sh", "an assignment that may be the fix"),
        ("npm test", "NO_COLOR=1 npm test", "an assignment that may be the fix"),
        ("cargo run", "cargo run -- -v", "another program's option"),
        ("npm run lint", "npm run lint -- --quiet", "another program's option"),
        ("cargo test", "trap 'exit 0' EXIT; cargo test", "an exit code that is set"),
        ("cargo test", "trap 'exit 0' EXIT\ncargo test", "an exit code that is set"),
        ("cargo test", "test -f x && exit 0; cargo test", "perhaps never run"),
        ("cargo test", "exit 0; cargo test", "never run"),
        ("echo a", "echo a", "nothing that can fail"),
        ("", "", "nothing"),
    ];

    #[test]
    fn what_does_not_pair() {
        for (failed, worked, why) in NO_PAIRS {
            assert!(!pairs(failed, worked), "{why}: {failed} -> {worked}");
        }
        let subject = Subject::of("make", "/w").expect("it has one");
        assert!(!Subject::of("make", "/v").expect("it has one").repeats(&subject), "another folder");
        assert!(Subject::of("make", "").is_none(), "no folder");
        assert!(Subject::of(&"make ".repeat(2000), "/w").is_none(), "too long");
    }

    #[test]
    fn what_stands_beside_the_same_command_is_known() {
        let subject = |command| Subject::of(command, "/w").expect("it has one");
        let worked = subject("cd .; A=1; npm ci && echo x | npm test");
        let failed = subject("echo x | npm test");
        let beside = worked.beside(&failed).expect("it is the same");
        let words = |it: &[Simple]| it[0].words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        assert_eq!(beside.into_iter().map(words).collect::<Vec<_>>(), [vec!["cd", "."], vec![], vec!["npm", "ci"]]);
        assert!(failed.beside(&worked).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_subject_or_none(text in "(\\PC|['\"\\\\$`(){}<>|&;# \n]|cd |set -e){0,40}") {
            if let Some(subject) = Subject::of(&text, "/w") {
                proptest::prop_assert!(subject.repeats(&subject));
            }
        }
    }
}
