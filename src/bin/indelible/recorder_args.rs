//! Parses plain command lines of `record`, `hook` and `mcp` without clap.
//!
//! Before clap parses anything, it builds every command with its flags and its help. That would be a quarter of a recorder's
//! computing time. Hooks write plain command lines: each flag once, as `--flag value`. A line that is not plain, or invalid, is
//! left to clap. A line that is parsed here means exactly what it means to clap.

use std::ffi::OsString;

use indelible::model::{Kind, PROVENANCE, fields_of};

use crate::args::{Args, Command, HookArgs};
use crate::field_args::{FieldArgs, RecordCommand};
use crate::mcp_args::McpCommands;

/// Flags without a value.
const SWITCHES: [&str; 4] = ["--json", "--dry-run", "--installed", "--new"];

/// Parses the arguments after the program's name, if they are a plain command line of `record` or `hook`, or start the server of `mcp`.
pub fn read(arguments: impl Iterator<Item = OsString>) -> Option<Args> {
    let mut line = Line::default();
    let mut arguments = arguments.peekable();
    line.take_flags(&mut arguments)?;
    // The flags of a command follow its name, and those of a kind follow the kind.
    let command = arguments.next().filter(|_| line.has_only_global_flags())?;
    line.take_flags(&mut arguments)?;
    let kind = match command.to_str()? {
        "hook" => None,
        "mcp" => {
            let is_all = arguments.next().is_none();
            return if is_all { line.mcp() } else { None };
        }
        "record" => {
            let kind = arguments.next().filter(|_| line.has_only_global_flags())?;
            line.take_flags(&mut arguments)?;
            Some(kind)
        }
        _ => return None,
    };
    if arguments.next().is_some() {
        return None;
    }
    match kind {
        None => line.hook(),
        Some(kind) => line.record(kind.to_str()?),
    }
}

/// The flags that were given.
#[derive(Default)]
struct Line {
    /// Each with its value.
    flags: Vec<(OsString, OsString)>,
    /// Those that have none.
    switches: Vec<OsString>,
}

impl Line {
    /// Takes flags up to the next word that is not a flag; `None` if one of them is not plain.
    fn take_flags(&mut self, arguments: &mut std::iter::Peekable<impl Iterator<Item = OsString>>) -> Option<()> {
        // A single dash is a value: it stands for stdin.
        let is_flag = |word: &OsString| word != "-" && word.as_encoded_bytes().starts_with(b"-");
        while let Some(flag) = arguments.next_if(is_flag) {
            let is_repeated = self.flags.iter().any(|(name, _)| *name == flag) || self.switches.contains(&flag);
            if SWITCHES.iter().any(|switch| flag == *switch) && !is_repeated {
                self.switches.push(flag);
                continue;
            }
            let value = arguments.next().filter(|value| !is_repeated && !value.is_empty() && !is_flag(value))?;
            // Clap expands it.
            if flag == "--home" && value.as_encoded_bytes().starts_with(b"~") {
                return None;
            }
            self.flags.push((flag, value));
        }
        Some(())
    }

    fn take(&mut self, flag: &str) -> Option<OsString> {
        let at = self.flags.iter().position(|(name, _)| name == flag)?;
        Some(self.flags.swap_remove(at).1)
    }

    /// Takes the flag of the field `name`, which has dashes for underscores.
    fn take_field(&mut self, name: &str) -> Option<OsString> {
        let is_flag = |flag: &OsString| {
            let flag = flag.as_encoded_bytes().strip_prefix(b"--").unwrap_or_default();
            let same = |(given, byte): (&u8, u8)| *given == if byte == b'_' { b'-' } else { byte };
            flag.len() == name.len() && flag.iter().zip(name.bytes()).all(same)
        };
        let at = self.flags.iter().position(|(flag, _)| is_flag(flag))?;
        Some(self.flags.swap_remove(at).1)
    }

    fn switch(&mut self, switch: &str) -> bool {
        let at = self.switches.iter().position(|given| given == switch);
        at.map(|at| self.switches.swap_remove(at)).is_some()
    }

    fn has_only_global_flags(&self) -> bool {
        self.flags.iter().all(|(flag, _)| flag == "--home") && self.switches.iter().all(|switch| switch == "--json")
    }

    fn hook(mut self) -> Option<Args> {
        let mut text = |flag| self.take(flag).map(OsString::into_string).transpose().ok();
        let (host, context) = (text("--host")?, text("--context")?);
        let (dry_run, installed) = (self.switch("--dry-run"), self.switch("--installed"));
        let args = HookArgs { host, dry_run, context, installed };
        self.args(Command::Hook(args))
    }

    fn mcp(mut self) -> Option<Args> {
        let installed = self.switch("--installed");
        self.args(Command::Mcp(McpCommands::Mcp { what: None, installed }))
    }

    fn record(mut self, kind: &str) -> Option<Args> {
        let kind: Kind = kind.parse().ok().filter(|kind| Kind::LEARNED.contains(kind))?;
        let fields = fields_of(kind).chain(&PROVENANCE);
        let given = fields.filter_map(|spec| Some((spec.field, self.take_field(spec.name)?))).collect();
        let new = kind == Kind::Heuristic && self.switch("--new");
        let what = RecordCommand::One(FieldArgs { kind, given, key: self.take("--key"), new });
        self.args(Command::Record { what, redact: false })
    }

    /// The command line; `None` if a flag is left, which the command does not have.
    fn args(mut self, command: Command) -> Option<Args> {
        let (home, json) = (self.take("--home").map(Into::into), self.switch("--json"));
        let is_all = self.flags.is_empty() && self.switches.is_empty();
        is_all.then_some(Args { home, json, quiet: false, set: Vec::new(), command })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;

    fn read_words(words: &[&str]) -> Option<Args> {
        read(words.iter().map(OsString::from))
    }

    fn clap_reads(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once(&"indelible").chain(words))
    }

    fn assert_same(words: &[&str]) {
        if let Some(args) = read_words(words) {
            let theirs = clap_reads(words).unwrap_or_else(|error| panic!("clap refuses {words:?}: {error}"));
            assert_eq!(format!("{args:?}"), format!("{theirs:?}"), "{words:?}");
        }
    }

    #[test]
    fn what_hooks_write_is_read_here() {
        for words in [
            &["record", "failure", "--title", "x", "--domain", "y"][..],
            &["--home", "h", "--json", "record", "success", "--summary", "a b", "--severity", "5", "--tags", "a,b"],
            &["record", "--home", "h", "observation", "--title", "x", "--key", "k", "--json"],
            &["record", "heuristic", "--domain", "d", "--rule", "r", "--explanation", "e", "--source", "auto"],
            &["record", "heuristic", "--confidence", "0.5", "--key", "k", "--home", "h"],
            &["record", "experiment", "--name", "n", "--hypothesis", "h", "--success-criteria", "s"],
            &["record", "experiment", "--failure-criteria", "f", "--key", "k"],
            &["hook"],
            &["--home", "h", "hook", "--host", "claude", "--installed"],
            &["hook", "--host", "claude", "--context", "start,failure", "--installed"],
            &["hook", "--dry-run", "--json"],
            &["mcp"],
            &["--home", "h", "mcp", "--installed"],
        ] {
            assert!(read_words(words).is_some(), "left to clap: {words:?}");
            assert_same(words);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_clap_reads(words in words()) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_same(&words);
        }
    }

    /// Words of a recorder's command line, roughly in a valid order.
    fn words() -> impl Strategy<Value = Vec<String>> {
        let flags = [
            "--title",
            "--domain",
            "--severity",
            "--tags",
            "--summary",
            "--key",
            "--rule",
            "--explanation",
            "--source",
            "--confidence",
            "--name",
            "--hypothesis",
            "--success-criteria",
            "--failure-criteria",
            "--home",
            "--project",
            "--cwd",
            "--host",
            "--context",
            "--set",
            "--nope",
        ];
        let value = prop::sample::select(vec![
            "x", "", "-", "--", "-x", "--json", "--help", "a b", "é", "record", "=", "1", "~/x",
        ]);
        let pair = (prop::sample::select(flags.to_vec()), value).prop_map(|(flag, value)| vec![flag, value]);
        let alone = prop::sample::select(vec![
            "--json",
            "--dry-run",
            "--explain",
            "--installed",
            "--help",
            "-h",
            "-V",
            "--title=x",
            "--home=x",
            "x",
            "--",
            "-",
        ]);
        let some = move || {
            prop::collection::vec(prop_oneof![9 => pair.clone(), 1 => alone.clone().prop_map(|it| vec![it])], 0..4)
        };
        let command = prop::sample::select(vec!["record", "record", "record", "hook", "mcp", "flush"]);
        let kind = prop::sample::select(vec!["failure", "success", "observation", "heuristic", "experiment", "batch"]);
        (some(), command, some(), kind, some()).prop_map(|(before, command, between, kind, after)| {
            let kind = if ["hook", "mcp"].contains(&command) { vec![] } else { vec![kind] };
            let words = [before.concat(), vec![command], between.concat(), kind, after.concat()].concat();
            words.into_iter().map(str::to_owned).collect()
        })
    }
}
