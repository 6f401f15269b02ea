//! `completions` and `man`: shell completions and manual pages, generated from the command line.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use indelible::model::text::{self, shell_path};
use serde_json::json;

use super::Context;
use crate::args::{Args, InstallArgs};
use crate::exit::{Exit, Failure};
use crate::output;

const NAME: &str = "indelible";
/// Shells that load completions from a file, and its path beneath a prefix.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/indelible"),
    (Shell::Fish, "share/fish/vendor_completions.d/indelible.fish"),
    (Shell::Zsh, "share/zsh/site-functions/_indelible"),
];
/// The scripts ask the program that is being typed, so what they offer is never older than it. The others, which
/// `clap_complete` generates, know commands and flags alone.
const BASH: &str = include_str!("completions.bash");
const FISH: &str = include_str!("completions.fish");
const ZSH: &str = include_str!("completions.zsh");
const MANUALS: &str = "share/man/man1";

pub fn completions(context: &Context, shell: Option<Shell>, to: &InstallArgs) -> Result<Exit, Failure> {
    let script = |shell| match shell {
        Shell::Bash => BASH.as_bytes().to_vec(),
        Shell::Fish => FISH.as_bytes().to_vec(),
        Shell::Zsh => ZSH.as_bytes().to_vec(),
        shell => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), NAME, &mut script);
            script
        }
    };
    if let (Some(shell), false) = (shell, to.install) {
        output::line(String::from_utf8_lossy(&script(shell)).trim_end());
        return Ok(Exit::Done);
    }
    indelible::fs::os::keep_readable();
    let mut written = Vec::new();
    for (shell, file) in SHELLS.into_iter().filter(|(it, _)| shell.is_none_or(|shell| shell == *it)) {
        let file = prefix(to)?.join(file);
        make(file.parent().unwrap_or(&file))?;
        std::fs::write(&file, script(shell)).map_err(|error| unwritable(&file).because(&error))?;
        written.push(file);
    }
    if written.is_empty() {
        let why = std::io::Error::other("only bash, fish and zsh have a place for them");
        return Err(Failure::new(Exit::Usage, "no completions were installed").because(&why));
    }
    say(context, &written);
    if let Some(zsh) = written.iter().find(|file| file.ends_with("_indelible")).and_then(|file| file.parent()) {
        let why = format!("zsh looks there if ~/.zshrc has, before compinit: fpath=({} $fpath)", shell_path(zsh));
        advise(context, &why);
    }
    Ok(Exit::Done)
}

pub fn man(context: &Context, dir: Option<&Path>, to: &InstallArgs) -> Result<Exit, Failure> {
    let folder = match dir {
        None if !to.install => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Args::command().disable_help_subcommand(true)).render(&mut page);
            rendered.map_err(|error| Failure::new(Exit::Io, "the manual was not made").because(&error))?;
            output::line(String::from_utf8_lossy(&page).trim_end());
            return Ok(Exit::Done);
        }
        None => prefix(to)?.join(MANUALS),
        Some(dir) => dir.to_owned(),
    };
    indelible::fs::os::keep_readable();
    make(&folder)?;
    clap_mangen::generate_to(Args::command(), &folder).map_err(|error| unwritable(&folder).because(&error))?;
    say(context, &[folder]);
    if dir.is_none() {
        let (bin, share) = (prefix(to)?.join("bin"), prefix(to)?.join("share/man"));
        let (bin, share) = (text::path(&bin), shell_path(&share));
        let why = format!("man looks there if {bin} is in PATH, or with: export MANPATH={share}:");
        advise(context, &why);
    }
    Ok(Exit::Done)
}

fn prefix(to: &InstallArgs) -> Result<PathBuf, Failure> {
    if let Some(prefix) = &to.prefix {
        return Ok(prefix.clone());
    }
    let home = etcetera::home_dir();
    let none = |error| Failure::new(Exit::Usage, "nothing was installed").because(&error).hint("name a --prefix");
    home.map(|home| home.join(".local")).map_err(none)
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder).because(&error))
}

fn unwritable(folder: &Path) -> Failure {
    Failure::new(Exit::Io, format!("{} could not be written to", text::path(folder)))
}

fn say(context: &Context, written: &[PathBuf]) {
    if context.json {
        let written: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
        output::json(&json!({ "written": written }));
    } else {
        written.iter().for_each(|path| output::line(&format!("written: {}", text::path(path))));
    }
}

fn advise(context: &Context, what: &str) {
    if !context.json {
        output::line(what);
    }
}
