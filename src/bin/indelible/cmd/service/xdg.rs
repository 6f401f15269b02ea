//! Autostart of the desktop, for Linux without systemd: an entry for each home.
//!
//! The desktop starts the worker at login and never again. With `worker.autostart`, recorders start it after a failure.

use std::path::PathBuf;

use super::{MARK, Manager, Service, config_folder};
use crate::exit::Failure;

pub struct Xdg;

/// A part of a command line, as a desktop entry spells it: quoted, and then escaped as every value is.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '%' => quoted.push_str("%%"),
            '"' | '`' | '$' | '\\' => quoted.extend(['\\', letter]),
            _ => quoted.push(letter),
        }
    }
    format!("{quoted}\"").replace('\\', "\\\\")
}

/// Whether there is a desktop: one runs, or can be chosen at login.
fn has_desktop() -> bool {
    let runs = ["XDG_CURRENT_DESKTOP", "DESKTOP_SESSION", "WAYLAND_DISPLAY", "DISPLAY"];
    if runs.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return true;
    }
    let folders = std::env::var_os("XDG_DATA_DIRS").filter(|folders| !folders.is_empty());
    let folders = folders.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let sessions = |folder: PathBuf| ["xsessions", "wayland-sessions"].map(|sessions| folder.join(sessions));
    let has_names = |folder: PathBuf| std::fs::read_dir(folder).is_ok_and(|mut names| names.next().is_some());
    std::env::split_paths(&folders).flat_map(sessions).any(has_names)
}

impl Manager for Xdg {
    fn unread(&self) -> Option<&'static str> {
        (!has_desktop()).then_some("it has no systemd and no desktop")
    }

    fn file(&self, service: &Service) -> Result<PathBuf, Failure> {
        let name = format!("indelible-{}.desktop", service.instance("indelible-.desktop".len()));
        Ok(config_folder()?.join("autostart").join(name))
    }

    fn definition(&self, service: &Service) -> String {
        let Service { home, program } = service;
        format!(
            "# {MARK}, which would overwrite it; `indelible service uninstall` removes it.\n\
             [Desktop Entry]\n\
             Type=Application\n\
             Name=indelible worker\n\
             Comment=Commits what is recorded in {comment}\n\
             Exec={program} --home {home} worker --log file\n\
             Terminal=false\n\
             NoDisplay=true\n",
            comment = home.replace('\\', "\\\\"),
            program = quoted(program),
            home = quoted(home),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_gives_a_meaning_to_is_escaped() {
        assert_eq!(quoted("/a b"), "\"/a b\"");
        assert_eq!(quoted("/50%"), "\"/50%%\"");
        assert_eq!(quoted("/$x`\"\\"), "\"/\\\\$x\\\\`\\\\\"\\\\\\\\\"");
    }
}
