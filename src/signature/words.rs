//! Lists of words that lines are compared with.

/// Words that a line of progress begins with.
pub(super) const PROGRESS: &[&str] = &[
    "Compiling",
    "Checking",
    "Downloading",
    "Downloaded",
    "Fetching",
    "Updating",
    "Locking",
    "Adding",
    "Building",
    "Installing",
    "Receiving",
    "Resolving",
    "Unpacking",
    "Collecting",
    "Counting",
    "Compressing",
    "Fresh",
    "Blocking",
    "Preparing",
    "Extracting",
    "Pulling",
    "Waiting",
    "Progress:",
    "Reading",
    "Setting",
    "Selecting",
];

/// Words of an error, in lower case. They count as whole words.
pub(super) const BAD: &[&str] = &[
    "***",
    "abort",
    "aborted",
    "already exists",
    "are not",
    "can't",
    "cannot",
    "conflict",
    "corrupt",
    "corrupted",
    "could not",
    "couldn't",
    "denied",
    "did not",
    "does not",
    "doesn't",
    "duplicate",
    "err!",
    "error",
    "errors",
    "exceeded",
    "exception",
    "expected",
    "expired",
    "fail",
    "failed",
    "failure",
    "fails",
    "fatal",
    "forbidden",
    "illegal",
    "impossible",
    "incompatible",
    "invalid",
    "is not",
    "isn't",
    "mismatch",
    "missing",
    "must",
    "no such",
    "no valid",
    "not a",
    "not allowed",
    "not found",
    "not supported",
    "out of",
    "overflow",
    "panic",
    "refused",
    "refusing",
    "rejected",
    "timed out",
    "timeout",
    "unable",
    "unauthorized",
    "undefined",
    "unexpected",
    "unhandled",
    "unknown",
    "unreachable",
    "unrecognized",
    "unresolved",
    "unsupported",
    "violation",
    "was not",
    "were not",
    "won't",
    "wrong",
    // German, French
    "fehler",
    "fehlgeschlagen",
    "fehlt",
    "kann",
    "kein",
    "keine",
    "konnte",
    "nicht",
    "unbekannt",
    "ungültig",
    "verweigert",
    "erreur",
    "échec",
];

/// The same in scripts without spaces: they count anywhere.
pub(super) const BAD_ANYWHERE: &[&str] =
    &["エラー", "失敗", "できません", "ありません", "拒否", "错误", "失败", "无法", "拒绝", "오류"];

/// Words that say no more than that something failed, in lower case.
pub(super) const EMPTY: &[&str] = &[
    "a",
    "abort",
    "aborted",
    "aborting",
    "about",
    "above",
    "again",
    "all",
    "an",
    "and",
    "any",
    "are",
    "as",
    "assertionerror",
    "at",
    "be",
    "been",
    "below",
    "broken",
    "build",
    "by",
    "check",
    "code",
    "command",
    "compilation",
    "complete",
    "completed",
    "details",
    "did",
    "do",
    "does",
    "done",
    "due",
    "encountered",
    "err",
    "error",
    "errors",
    "exception",
    "execution",
    "exit",
    "exited",
    "fail",
    "failed",
    "failing",
    "failure",
    "failures",
    "fatal",
    "fehler",
    "fehlgeschlagen",
    "finished",
    "following",
    "for",
    "from",
    "full",
    "had",
    "has",
    "have",
    "in",
    "info",
    "information",
    "is",
    "it",
    "job",
    "line",
    "log",
    "logs",
    "make",
    "more",
    "non",
    "nonzero",
    "not",
    "occurred",
    "of",
    "on",
    "one",
    "or",
    "output",
    "please",
    "previous",
    "problem",
    "process",
    "recipe",
    "result",
    "returned",
    "run",
    "running",
    "script",
    "see",
    "seen",
    "some",
    "status",
    "step",
    "stop",
    "stopping",
    "successfully",
    "target",
    "task",
    "test",
    "tests",
    "that",
    "the",
    "there",
    "this",
    "to",
    "try",
    "was",
    "were",
    "with",
    "your",
    "zero",
    "os",
    "errno",
    "unsuccessful",
];

/// How a command that a tool repeats begins.
pub(super) const ECHOED: &[&str] = &[
    "echo", "printf", "cat", "grep", "egrep", "rg", "sed", "awk", "cp", "mv", "rm", "mkdir", "touch", "ln", "install",
    "chmod", "test", "cd", "if", "for", "while", "gcc", "g++", "cc", "c++", "clang", "clang++", "ar", "ld", "python",
    "python3", "node", "npm", "npx", "cargo", "go", "sh", "bash", "git", "find", "tee",
];

/// Whether `line` begins with one of `begins`. Most lines are told apart by their first byte.
pub(super) fn begins_with(line: &str, begins: &[&str]) -> bool {
    let Some(first) = line.as_bytes().first() else { return false };
    begins.iter().any(|begin| begin.as_bytes()[0] == *first && line.starts_with(begin))
}

/// Whether a word of `text` is the name of an error or of an exception: `AssertionError: 1 !== 2`.
pub(super) fn has_name_of_error(text: &str) -> bool {
    text.split([' ', ':', '(']).any(|word| word.ends_with("Error") || word.ends_with("Exception"))
}

/// Whether `text` has a word of an error, as a word of its own: `error_list`, `error.log`, `-Werror` and `/error` are none.
pub(super) fn has_bad(text: &str) -> bool {
    if !text.is_ascii() && BAD_ANYWHERE.iter().any(|bad| text.contains(bad)) {
        return true;
    }
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let first = text.as_bytes()[at].to_ascii_lowercase();
        let begins = !(joins(before) || before == '.');
        if begins && BAD.iter().any(|bad| bad.as_bytes()[0] == first && is_word_at(text, at, bad)) {
            return true;
        }
        before = c;
    }
    false
}

fn joins(c: char) -> bool {
    c.is_alphanumeric() || "_-/\\=+@#".contains(c)
}

/// Whether `bad` stands at `at`, in capitals or not, and ends there.
fn is_word_at(text: &str, at: usize, bad: &str) -> bool {
    let Some(word) = text.get(at..at + bad.len()) else { return false };
    let behind = &text[at + word.len()..];
    // `error: x` is one, `error.log` is not.
    let is_extension = || behind.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
    word.eq_ignore_ascii_case(bad) && !behind.starts_with(joins) && !is_extension()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_word_stands_alone() {
        for text in [
            "an error",
            "Error: x",
            "was DENIED.",
            "(timeout)",
            "datei nicht da",
            "失敗しました",
            "*** no rule",
            "it can't",
        ] {
            assert!(has_bad(text), "{text}");
        }
        for text in [
            "error_list",
            "cat error.log",
            "cc -Werror a.c",
            "test_error ok",
            "/var/error",
            "terror",
            "all fine",
            "é",
            "",
        ] {
            assert!(!has_bad(text), "{text}");
        }
    }
}
