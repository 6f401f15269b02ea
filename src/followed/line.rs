//! A command line as a list of calls, as far as what followed needs it. Pure.

use std::ops::Range;

use crate::shell::{self, Call, EXPANSION, End};
use crate::signature::{behind_wrapper, program_name};

/// A longer command is not taken apart, in bytes.
const BYTES_MAX: usize = 4 << 10;
/// How deep shells within shells are taken apart.
const DEPTH_MAX: usize = 3;
/// Words by which a shell decides, repeats or groups. What a list with them has run is not known.
const SYNTAX: [&str; 22] = [
    "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "case", "esac", "select", "function",
    "in", "{", "}", "!", "[[", "]]", "coproc", "eval",
];
/// Shells.
pub(super) const SHELLS: [&str; 9] = ["sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "pwsh", "powershell"];
/// Programs that run the command behind their own options, and change nothing in what it does.
const WRAPPERS: [&str; 6] = ["timeout", "gtimeout", "nice", "ionice", "stdbuf", "unbuffer"];
/// The same, without options of their own.
const PREFIXES: [&str; 7] = ["time", "nohup", "command", "builtin", "exec", "chronic", "env"];
/// Files that what is written to them changes nothing.
const KEEPING_NOTHING: [&str; 4] = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];

/// A word of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Its text; with a variable or a substitution in it, as it was typed.
    pub(super) text: String,
    /// Whether it was typed without quotes, and without variables and substitutions.
    pub(super) is_plain: bool,
}

/// A call of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Simple {
    /// The assignments before it.
    pub(super) assigned: Vec<String>,
    /// The program and its arguments.
    pub(super) words: Vec<Word>,
    /// What it is given to read: here-documents, and names of files behind `<`.
    pub(super) reads: Vec<String>,
    /// The files that it writes to, behind `>`: not those of the system that keep nothing.
    pub(super) writes: Vec<Word>,
    /// What its words have a shell run: `$(...)` and backticks.
    pub(super) runs: Vec<String>,
    /// What ends it.
    pub(super) end: End,
}

impl Simple {
    /// The program's name, without folders; empty if there are assignments alone.
    pub(super) fn name(&self) -> String {
        self.words.first().map(|word| program_name(&word.text)).unwrap_or_default()
    }

    pub(super) fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Whether two pipelines are the same calls, whatever ends them.
pub(super) fn do_the_same(one: &[Simple], other: &[Simple]) -> bool {
    let is_same = |(one, other): (&Simple, &Simple)| *one == Simple { end: one.end, ..other.clone() };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

/// The calls of `command`, in order. `None` if it is too long, has a shell's own syntax in it, or nothing at all.
pub(super) fn simples(command: &str) -> Option<Vec<Simple>> {
    within(command, 0)
}

fn within(command: &str, depth: usize) -> Option<Vec<Simple>> {
    if command.len() > BYTES_MAX {
        return None;
    }
    let calls = shell::calls(command);
    if let [call] = calls.as_slice()
        && let Some(inner) = inner_of(call).filter(|_| depth < DEPTH_MAX)
    {
        return within(inner, depth + 1);
    }
    let simples = calls.iter().map(|call| simple(command, call)).collect::<Option<Vec<_>>>()?;
    (!simples.is_empty()).then_some(simples)
}

/// The text that a call of a shell runs: `bash -lc 'make'`.
fn inner_of(call: &Call) -> Option<&str> {
    let [shell, options @ .., text] = call.words.as_slice() else { return None };
    let is_shell = SHELLS.contains(&program_name(&shell.text).as_str()) && call.inputs.is_empty();
    let is_c = options.last()?.text.starts_with('-') && options.last()?.text.ends_with('c');
    let only_options = options.iter().all(|word| word.text.starts_with('-'));
    (is_shell && is_c && only_options && !text.text.contains(EXPANSION)).then_some(text.text.as_str())
}

fn simple(command: &str, call: &Call) -> Option<Simple> {
    let typed = |word: &shell::Word| match word.text.contains(EXPANSION) {
        true => command[word.range.clone()].to_owned(),
        false => word.text.clone(),
    };
    let word = |word: &shell::Word| {
        let raw = &command[word.range.clone()];
        Word { text: typed(word), is_plain: word.inner.is_empty() && raw == word.text }
    };
    let (mut assigned, mut rest) = (Vec::new(), call.words.as_slice());
    while let Some((first, behind)) = rest.split_first() {
        let name = program_name(&first.text);
        if SYNTAX.contains(&first.text.as_str()) {
            return None;
        } else if shell::is_assignment(&first.text) {
            assigned.push(typed(first));
            rest = behind;
        } else if WRAPPERS.contains(&name.as_str()) {
            let words: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
            rest = &rest[behind_wrapper(&words)?..];
        } else if PREFIXES.contains(&first.text.as_str()) && behind.first().is_some_and(|it| !it.text.starts_with('-'))
        {
            rest = behind;
        } else {
            break;
        }
    }
    let runs = call.words.iter().flat_map(|word| substitutions(command, word)).map(str::to_owned).collect();
    let writes = call.writes.iter().map(word).filter(|it| !KEEPING_NOTHING.contains(&it.text.as_str())).collect();
    let reads = call.inputs.iter().chain(&call.files).map(|range| command[range.clone()].to_owned()).collect();
    Some(Simple { assigned, words: rest.iter().map(word).collect(), reads, writes, runs, end: call.end })
}

/// The texts in `word` that a shell runs to put their output there.
fn substitutions<'c>(command: &'c str, word: &shell::Word) -> impl Iterator<Item = &'c str> {
    let is_run =
        |range: &&Range<usize>| command[..range.start].ends_with("$(") || command[..range.start].ends_with('`');
    word.inner.iter().filter(is_run).map(|range| &command[range.clone()])
}

/// `path` from the folder `from`, without `.` and `..`. `None` if it leads above the root, or is no plain path.
pub(super) fn joined(from: &str, path: &str) -> Option<String> {
    if path.starts_with('~') || path.contains(['\0', '$', '`', '*', '?', '\n']) {
        return None;
    }
    let whole = if is_absolute(path) { path.to_owned() } else { format!("{from}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let root = if whole.starts_with('/') { "/" } else { "" };
    Some(format!("{root}{}", parts.join("/")))
}

fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with('/') || matches!(bytes, [letter, b':', b'/', ..] if letter.is_ascii_alphabetic())
}
