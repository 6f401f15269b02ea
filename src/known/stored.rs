//! What a hook stored of a failure: its command and its error, as `hook` composes them in a record's summary.

use crate::signature::{Signature, error_line, says_nothing, signature};

/// The command and the error in the summary of a failure that a hook recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The command, if a shell ran it.
    pub command: Option<String>,
    /// The error.
    pub error: Option<String>,
    /// The exit code, if the host said it.
    pub exit: Option<i32>,
}

/// The signature of a failure, computed for a folder. To compute it is a large part of what a hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The folder that it happened in.
    pub cwd: String,
    /// Its signature, if it has one.
    pub signature: Option<Signature>,
}

impl Stored {
    /// What is in `summary` and in `tags`, which are separated by commas.
    pub fn of(summary: &str, tags: &str) -> Stored {
        let exit = tags.split(',').find_map(|tag| tag.trim().strip_prefix("exit-")?.parse().ok());
        Stored { command: block(summary, "Command"), error: block(summary, "Error"), exit }
    }

    /// The signature of the failure, which happened in the folder `cwd`, if it has one.
    pub fn signature(&self, cwd: &str) -> Option<Signature> {
        let (command, error) = (self.command.as_ref()?, self.error.as_ref()?);
        let was_cut = error.lines().any(|line| line.starts_with("… ") && line.ends_with(" bytes are left out …"));
        signature(command, cwd, self.exit, error.as_bytes(), was_cut)
    }

    /// Whether the error says nothing but that the command failed.
    pub fn says_nothing(&self) -> bool {
        self.error.as_ref().is_none_or(|error| says_nothing(error.as_bytes()))
    }

    /// The line of the error that the signature was made of, as it was printed.
    pub fn error_line(&self, cwd: &str) -> Option<String> {
        error_line(&self.signature(cwd)?, cwd, self.error.as_ref()?.as_bytes())
    }
}

/// The text under the heading `heading` of a hook's summary.
fn block(summary: &str, heading: &str) -> Option<String> {
    let (_, rest) = summary.split_once(&format!("**{heading}**\n\n"))?;
    let (fence, rest) = rest.split_once('\n')?;
    (fence.len() >= 3 && fence.bytes().all(|byte| byte == b'`')).then_some(())?;
    let (text, _) = rest.split_once(&format!("\n{fence}\n"))?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hooks_block_is_read_whatever_is_in_it() {
        let summary = "**Tool**: Bash\n\n**Command**\n\n````\ncat <<E\n```\nE\n````\n\n**Error**\n\n```\nno\n```\n\n";
        let stored = Stored::of(summary, "hook, exit-3,exit-4");
        let (command, error) = (Some("cat <<E\n```\nE".to_owned()), Some("no".to_owned()));
        assert_eq!(stored, Stored { command, error, exit: Some(3) });
        assert_eq!(Stored::of("**Error** no", ""), Stored { command: None, error: None, exit: None });
        assert!(!stored.says_nothing());
        for (error, says_nothing) in [("Exit code 1\n\n", true), ("Exit code 1\n./a differs", false), ("…", false)] {
            let stored = Stored { command: None, error: Some(error.to_owned()), exit: Some(1) };
            assert_eq!(stored.says_nothing(), says_nothing, "{error:?}");
        }
    }
}
