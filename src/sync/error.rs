//! Why a sync did not do all of it, in classes that say what to do.

use serde::{Deserialize, Serialize};

use crate::fs;
use crate::home;
use crate::journal;
use crate::target::history;

use super::url;

/// What has to happen before a sync can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Time has to pass: the network, the server, a lock.
    Later,
    /// A person has to give access.
    Person,
    /// The remote refuses what is pushed.
    Refused,
    /// Another process was faster.
    Raced,
    /// The remote or the configuration is not what it must be.
    Config,
}

impl Class {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Class::Later => "later",
            Class::Person => "person",
            Class::Refused => "refused",
            Class::Raced => "raced",
            Class::Config => "config",
        }
    }

    /// Whether a person has to do something.
    pub fn needs_a_person(self) -> bool {
        matches!(self, Class::Person | Class::Config)
    }
}

/// Why a sync did not do all of it. What was recorded is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    class: Class,
    message: String,
}

impl Error {
    /// An error of the class `class`. Credentials in `message` are replaced.
    pub fn new(class: Class, message: impl AsRef<str>) -> Error {
        Error { class, message: url::without_credentials(message.as_ref()) }
    }

    /// The error of a child that did `doing` and said `stderr`.
    pub(super) fn said(doing: &str, stderr: &str) -> Error {
        Error::new(class_of(stderr), format!("{doing}: {}", if stderr.is_empty() { "git failed" } else { stderr }))
    }

    /// What has to happen.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Whether the server has said that there were too many calls.
    pub(super) fn is_throttled(&self) -> bool {
        self.message.contains("returned error: 429")
    }
}

/// The class of what git said when it could not speak with the remote at all. What became of a reference is never taken from a
/// sentence, but from the flags of `--porcelain`.
fn class_of(stderr: &str) -> Class {
    let said = stderr.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["returned error: 413"]) {
        Class::Refused
    } else if has(&["hash algorithm", "object format", "mismatched algorithms"]) {
        Class::Config
    } else if has(&[
        "returned error: 403",
        "returned error: 401",
        "authentication failed",
        "could not read username",
        "could not read password",
        "unable to get password",
        "terminal prompts disabled",
        "permission denied",
        "host key verification failed",
        "access denied",
        "not authorized",
    ]) {
        Class::Person
    } else if has(&[
        "returned error: 404",
        "not found",
        "does not appear to be a git repository",
        "does not exist",
        "no such file or directory",
        "unable to find remote helper",
        "transport '",
        "is not a git command",
        "dubious ownership",
        "not a git repository",
    ]) {
        Class::Config
    } else {
        Class::Later
    }
}

macro_rules! later {
    ($($error:ty)*) => { $(
        impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::new(Class::Later, crate::model::text::chain(&error))
            }
        }
    )* };
}

later! { fs::Error home::Error journal::Error history::Error git2::Error std::io::Error }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_has_a_class() {
        for (said, class) in [
            ("fatal: unable to access 'http://h/': Could not resolve host: h", Class::Later),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 503", Class::Later),
            ("error: RPC failed; HTTP 429 curl 22 The requested URL returned error: 429", Class::Later),
            ("fatal: unable to access 'http://h/': The requested URL returned error: 403", Class::Person),
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", Class::Person),
            ("fatal: unable to get password from user", Class::Person),
            ("git@h: Permission denied (publickey).; fatal: Could not read from remote repository.", Class::Person),
            ("Host key verification failed.", Class::Person),
            ("fatal: repository 'http://h/x.git/' not found", Class::Config),
            ("fatal: '/srv/x.git' does not appear to be a git repository", Class::Config),
            ("fatal: the receiving end does not support this repository's hash algorithm", Class::Config),
            ("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", Class::Refused),
            ("fatal: the remote end hung up unexpectedly", Class::Later),
            ("", Class::Later),
        ] {
            assert_eq!(class_of(said), class, "{said}");
        }
    }

    #[test]
    fn an_error_shows_no_credentials() {
        let error =
            Error::said("push", "fatal: unable to access 'https://a:b@h/': The requested URL returned error: 403");
        assert_eq!(
            error.to_string(),
            "push: fatal: unable to access 'https://***@h/': The requested URL returned error: 403"
        );
    }
}
