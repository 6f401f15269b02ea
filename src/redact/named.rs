//! Secrets behind their names within a line: `host=db password=hunter2 dbname=x`. Pure.
//!
//! Names in lower case are those of code as well, so the value decides: `password=None`, `token=next_token` and
//! `secret=config.secret` stay. No regex: most texts with such a name hold no secret, and to compile one costs a process more
//! than all else that it does.

use std::ops::Range;

use super::rules::is_no_placeholder;

/// The rule's name in the placeholder.
pub(super) const NAME: &str = "named-secret";

/// The ends of names, in lower case, with what stands between them and their values.
pub(super) const LITERALS: &[&str] = &[
    "password=",
    "passwd=",
    "passphrase=",
    "pwd=",
    "pass=",
    "secret=",
    "token=",
    "key=",
    "credential=",
    "credentials=",
    "password:",
    "passwd:",
    "passphrase:",
    "-password ",
    "-passwd ",
    "-passphrase ",
    "-secret ",
    "-token ",
    "-apikey ",
];
/// How much of a name, of a value and of the line around them is looked at, in bytes.
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 256;
const LINE_BYTES_MAX: usize = 256;
/// What ends a value.
const ENDS: &[char] = &['"', '\'', '`', '\\', ';', ',', '&', '|', '<', '>', '(', ')', '[', ']', '{', '}'];
/// What begins a path, a reference or an operator.
const NO_BEGINNINGS: [&str; 14] = ["/", "./", "../", "~", "@", "#", "-", "+", "=", ":", "*", "http", "file:", "arn:"];
/// Ends of names for keys.
const KEYS: [&str; 10] =
    ["api", "access", "secret", "private", "auth", "account", "signing", "encryption", "master", "storage"];
/// What may stand before `pass` in a name: a pass is also one of a compiler or a renderer.
const PASSES: [&str; 14] =
    ["", "db", "user", "admin", "root", "smtp", "mail", "ftp", "ssh", "mysql", "redis", "ldap", "proxy", "auth"];
/// Names of algorithms.
const ALGORITHMS: [&str; 9] = ["sha1", "sha256", "sha512", "md5", "base64", "argon2", "argon2id", "pbkdf2", "scrypt"];
/// Words in names of secrets: `next_token_2` is one.
const WORDS: [&str; 7] = ["pass", "pwd", "secret", "token", "credential", "key", "auth"];
/// Other fields of the account that a string for a connection has.
const OF_CONNECTIONS: [&str; 9] =
    ["host=", "hostaddr=", "dbname=", "server=", "data source=", "database=", "sslmode=", "initial catalog=", "uid="];

/// The fewest letters of a password that is nothing but letters, where no other field is beside it.
const LETTERS_MIN: usize = 8;
/// Words for what is with a password, of as many letters.
const STATES: [&str; 43] = [
    "accepted",
    "anonymous",
    "autofill",
    "changeme",
    "configured",
    "dangerous",
    "default",
    "defaults",
    "deprecated",
    "different",
    "disabled",
    "encrypted",
    "example",
    "expected",
    "forbidden",
    "forgotten",
    "generated",
    "hardcoded",
    "identical",
    "included",
    "incorrect",
    "interactive",
    "internal",
    "matching",
    "mismatch",
    "omitted",
    "optional",
    "plaintext",
    "prompted",
    "protected",
    "provided",
    "readonly",
    "received",
    "rejected",
    "required",
    "sensitive",
    "something",
    "supplied",
    "undefined",
    "unchanged",
    "unlocked",
    "unsupported",
    "whatever",
];
/// What names of code and what fills in for a value have in them.
const OF_NAMES: [&str; 18] = [
    "pass",
    "pwd",
    "word",
    "secret",
    "token",
    "credential",
    "hash",
    "value",
    "input",
    "param",
    "field",
    "user",
    "string",
    "text",
    "name",
    "from",
    "file",
    "your",
];

/// What a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// A person may have chosen it.
    Password,
    /// A machine made it.
    Token,
}

/// A longer value is not looked into for names of its own, in bytes.
const LOOKED_INTO_BYTES_MAX: usize = 512;

/// The secrets in `text` behind `hits`, the places of [`LITERALS`], in order.
pub(super) fn secrets(text: &str, hits: &[usize]) -> Vec<Range<usize>> {
    let (mut found, mut done) = (Vec::new(), 0);
    for hit in hits.iter().copied().filter(|hit| text.is_char_boundary(*hit)) {
        let separator = text[hit..].find(['=', ':', ' ']).map_or(hit, |at| hit + at);
        // A value that was looked at is not looked at again, whatever names are in it.
        if separator < done {
            continue;
        }
        let Some(named) = name_before(text, separator) else { continue };
        let value = value_behind(text, separator);
        let is_secret = is_secret(text, separator, &value, named);
        // A harmless one can have a name with a secret in it, as an address does. Long ones are looked through once.
        done = if is_secret || value.len() > LOOKED_INTO_BYTES_MAX { value.end } else { separator + 1 };
        if is_secret {
            found.push(value);
        }
    }
    found
}

/// What the name that ends at `end` says; `None` if it is not that of a secret.
fn name_before(text: &str, end: usize) -> Option<Named> {
    let begin = text.floor_char_boundary(end.saturating_sub(NAME_BYTES_MAX));
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let word = text[begin..end].rsplit(|c| !is_in_name(c)).next().unwrap_or_default();
    if text[end..].starts_with(' ') && (!word.starts_with('-') || word.starts_with("--")) {
        // `--token x` is found by its shape, and `the access-token is` is prose.
        return None;
    }
    // `/etc/passwd:root:x` is a file's line.
    let is_path = text[begin..end - word.len()].ends_with(['/', '\\']);
    if is_path && text[end..].starts_with(':') && !text[end + 1..].starts_with(' ') {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let ends = |end: &str| lower.strip_suffix(end).map(|before| before.trim_end_matches(['_', '-', '.']));
    let last = |before: &str| before.rsplit(['_', '-', '.']).next().unwrap_or_default().to_owned();
    if ["password", "passwd", "passphrase", "pwd"].iter().any(|it| lower.ends_with(it)) {
        return Some(Named::Password);
    }
    if let Some(before) = ends("pass") {
        return PASSES.contains(&last(before).as_str()).then_some(Named::Password);
    }
    let is_key = ends("key").is_some_and(|before| KEYS.iter().any(|it| before.ends_with(it)));
    let is_token = ["secret", "token", "credential", "credentials"].iter().any(|it| lower.ends_with(it));
    (is_key || is_token).then_some(Named::Token)
}

/// The value behind the separator.
fn value_behind(text: &str, separator: usize) -> Range<usize> {
    let behind = &text[separator + 1..];
    let spaces = match &text[separator..=separator] {
        "=" => 0,
        _ => behind.len() - behind.trim_start_matches([' ', '\t']).len(),
    };
    let mut begin = separator + 1 + spaces;
    if text[separator..].starts_with(' ') && text[begin..].starts_with(['"', '\'']) {
        begin += 1;
    }
    let length = text[begin..].find(|c: char| c.is_whitespace() || ENDS.contains(&c));
    begin..length.map_or(text.len(), |length| begin + length)
}

/// Whether `value`, behind a name, is a secret.
fn is_secret(text: &str, separator: usize, value: &Range<usize>, named: Named) -> bool {
    let whole = &text[value.clone()];
    let part = &whole[..whole.floor_char_boundary(VALUE_BYTES_MAX)];
    let behind = text[value.end..].chars().next().unwrap_or(' ');
    // What is called, indexed or filled in is code.
    if matches!(behind, '(' | '[' | '{' | '<') || !is_no_placeholder(part) || is_reference(part) {
        return false;
    }
    let has_digit = part.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = part.bytes().any(|byte| byte.is_ascii_alphabetic());
    match (named, &text[separator..=separator]) {
        (Named::Token, _) => part.len() >= 8 && has_digit && has_letter,
        (Named::Password, "=") => {
            let has_sign = part.contains(['!', '#', '@', '^', '~', '$']);
            let is_made = part.len() >= 6 && (has_digit || has_sign && has_letter);
            is_made || part.len() >= 3 && is_of_connection(text, separator, value) || is_chosen(text, separator, value)
        }
        (Named::Password, _) => part.len() >= 6 && has_digit && has_letter,
    }
}

/// Whether `value` is a password of letters alone that a person chose: no word that says what is with a password, and no name of
/// code.
fn is_chosen(text: &str, separator: usize, value: &Range<usize>) -> bool {
    let word = text[value.clone()].trim_end_matches(['.', '!', '?', ':']);
    let is_of_letters =
        word.bytes().skip(1).all(|byte| byte.is_ascii_lowercase()) && word.starts_with(char::is_alphabetic);
    let lower = word.to_ascii_lowercase();
    let name = text[..separator].rsplit(|c: char| c.is_whitespace() || ENDS.contains(&c)).next().unwrap_or_default();
    word.len() >= LETTERS_MIN
        && is_of_letters
        && !name.contains('.')
        && !STATES.contains(&lower.as_str())
        && !OF_NAMES.iter().any(|part| lower.contains(part))
        && !Around::of(text, separator, value).is_argument()
}

/// Whether `value` names something: a path, a field, another variable.
fn is_reference(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let parts: Vec<&str> = lower.split('.').collect();
    let is_field = parts.len() > 1 && parts.iter().all(|part| is_name(part));
    let is_compound = parts.iter().all(|part| is_name(part)) && (lower.contains('_') || parts.len() > 1);
    let drive = value.as_bytes().get(1) == Some(&b':') && value.len() == 2;
    NO_BEGINNINGS.iter().any(|it| lower.starts_with(it))
        || ALGORITHMS.contains(&lower.as_str())
        || lower.contains("::")
        || is_field && parts[0].bytes().all(|byte| !byte.is_ascii_digit())
        || is_compound && WORDS.iter().any(|word| lower.contains(word))
        || drive
}

/// What stands around a name and its value in their line.
struct Around<'t> {
    /// What stands before the name.
    fields: &'t str,
    behind: &'t str,
}

impl<'t> Around<'t> {
    fn of(text: &'t str, separator: usize, value: &Range<usize>) -> Around<'t> {
        let begin = text.floor_char_boundary(separator.saturating_sub(LINE_BYTES_MAX));
        let before = text[begin..separator].rsplit('\n').next().unwrap_or_default();
        let end = text.floor_char_boundary(value.end.saturating_add(LINE_BYTES_MAX));
        let behind = text[value.end..end].split('\n').next().unwrap_or_default();
        let fields = before.trim_end_matches(|c: char| !c.is_whitespace() && c != ';').trim_end();
        Around { fields, behind }
    }

    /// Whether the value is an argument in code.
    fn is_argument(&self) -> bool {
        self.fields.ends_with([',', '(']) || self.behind.starts_with([',', ')'])
    }
}

/// Whether the line around `value` is a string for a connection: other fields of one, parted by spaces or by `;`.
fn is_of_connection(text: &str, separator: usize, value: &Range<usize>) -> bool {
    let around = Around::of(text, separator, value);
    let has_field = |part: &str| {
        let lower = part.to_ascii_lowercase();
        OF_CONNECTIONS.iter().any(|field| lower.contains(field))
    };
    let is_exported = around.fields.ends_with("export");
    !around.is_argument() && (is_exported || has_field(around.fields) || has_field(around.behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_names_a_text_has_each_value_is_looked_at_once() {
        for part in ["token=", "password:", "password: ", " -token ", "host=password=", "key=token=", "a;password=ab "]
        {
            let text = part.repeat(200_000);
            let hits: Vec<usize> = LITERALS.iter().flat_map(|it| text.match_indices(it).map(|(at, _)| at)).collect();
            let _ = secrets(&text, &hits);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_secrets_within_it(text in "(\\PC|password[=:]| -token |pass=|['\"; ]|ä|host=|a1b2c3d4){0,30}") {
            let hits: Vec<usize> = LITERALS.iter().flat_map(|it| text.match_indices(it).map(|(at, _)| at)).collect();
            for range in secrets(&text, &hits) {
                proptest::prop_assert!(!text[range].is_empty());
            }
        }
    }
}
