//! Whether a text names what failed. A line of prose alone can be of any failure of its kind.

/// How the name of an exception ends.
const OF_EXCEPTIONS: [&str; 4] = ["Error", "Exception", "Failure", "Warning"];
/// Names that any program has.
const COMMON: [&str; 24] = [
    "main",
    "error",
    "Error",
    "<string>",
    "<module>",
    "stdin",
    "test",
    "build",
    "NoneType",
    "int",
    "str",
    "list",
    "dict",
    "tuple",
    "set",
    "float",
    "bool",
    "bytes",
    "function",
    "method",
    "module",
    "object",
    "undefined",
    "null",
];
/// The longest ending of a file's name, in bytes.
const ENDING_BYTES_MAX: usize = 5;

/// Whether something in `text`, which is normalised, names what failed: a word in quotes, or one that is no word of a language:
/// `tax_rate`, `TaxRate`, `tax::rate`, `@shop/tax`, `x2y`. The name of a file says where, that of an exception says how, and a
/// code such as `TS2322` what kind; a number behind a word such as `port` does name something.
pub(super) fn names(text: &str) -> bool {
    // What begins a line and leads on says who speaks, or the name of an exception.
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = if first.ends_with(':') { rest } else { text };
    has_name_in_quotes(text) || rest.split(is_between).any(is_name)
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || "'()[]{},;|=!?\"".contains(c)
}

/// Whether a word stands in quotes, which is not the key of a list.
fn has_name_in_quotes(text: &str) -> bool {
    let mut rest = text;
    while let Some(open) = rest.find('\'') {
        let is_open = !rest[..open].ends_with(char::is_alphanumeric);
        rest = &rest[open + 1..];
        let Some(close) = rest.find('\'').filter(|_| is_open) else { continue };
        let (inside, behind) = (&rest[..close], &rest[close + 1..]);
        let is_word = !inside.contains(char::is_whitespace) && inside.contains(char::is_alphabetic);
        let is_other = inside.contains("://") || inside.starts_with('<');
        if is_word && !is_other && !behind.starts_with(':') && !COMMON.contains(&inside) {
            return true;
        }
        rest = behind;
    }
    false
}

/// Whether `word` is a name, and no word of a language.
fn is_name(word: &str) -> bool {
    let word = word.split_once('<').map_or(word, |(before, _)| before);
    let word = word.trim_matches([':', '.', '-', '#', '*', '$', '%', '~', '+']);
    if word.contains("://") || !word.contains(char::is_alphabetic) || COMMON.contains(&word) {
        return false;
    }
    let last = word.rsplit(['.', ':', '\\', '/']).next().unwrap_or(word);
    if OF_EXCEPTIONS.iter().any(|ending| last.ends_with(ending)) || is_code(word) || is_of_file(word) {
        return false;
    }
    let bytes = word.as_bytes();
    let is_joined = word.contains("::") || bytes[1..].iter().any(|byte| b"_@\\/.".contains(byte));
    let has_hump = bytes.windows(2).any(|it| it[0].is_ascii_lowercase() && it[1].is_ascii_uppercase());
    let has_digit = bytes.windows(2).any(|it| it[0].is_ascii_digit() && it[1].is_ascii_alphabetic());
    is_joined || has_hump || has_digit || word.starts_with(['@', '\\'])
}

/// Whether `word` is the number of a message: `E0308`, `TS2322`, `GHC-88464`.
fn is_code(word: &str) -> bool {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '-' || c == '_');
    digits.len() < word.len() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `word` ends like the name of a file.
fn is_of_file(word: &str) -> bool {
    let Some((stem, ending)) = word.rsplit_once('.') else { return false };
    let is_ending = !ending.is_empty()
        && ending.len() <= ENDING_BYTES_MAX
        && ending.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_ending && !stem.is_empty() && !stem.contains(['(', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_word_of_a_language() {
        for text in [
            "cannot find 'left-pad'",
            "Unresolved reference: taxRate",
            "relation tax_rates is missing",
            "peer react@<n> from tax@<n>",
            "Undefined variable tax::rate",
            "l.<n> \\rate",
            "no rule for web2db",
            "unexpected argument '--frob' found",
        ] {
            assert!(names(text), "{text}");
        }
        for text in [
            "Build failed",
            "AssertionError: expected <n> to equal <n>",
            "shop.orm.OperationalError: no such table",
            "Main.hs: error: [GHC-88464]",
            "App.java:[<n>,<n>] cannot find symbol",
            "process 'sh -c pip install' did not complete",
            "https://registry.npmjs.org: Not Found - 404",
            "{'changed': false}",
            "Exception in thread 'main'",
            "it's what doesn't work",
            "",
        ] {
            assert!(!names(text), "{text}");
        }
    }
}
