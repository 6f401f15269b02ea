//! systemd's user manager: one unit for each home, an instance of `indelible@`.
//!
//! The unit is enabled by making the link that `systemctl --user enable` would make. So it works without a bus to the manager,
//! as after `su` or in a container.

use std::path::{Path, PathBuf};

use indelible::model::text::shell_path;

use super::{MARK, Manager, Service, Started, State, ask, config_folder, foreign, not_started, unwritable};
use crate::exit::Failure;

/// The first version with growing pauses between restarts.
const VERSION_WITH_STEPS: u32 = 254;

pub struct Systemd;

/// Whether this machine was started by systemd.
pub fn is_here() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// `path` as a part of a unit's name, as `systemd-escape --path` spells it.
pub fn escape_path(path: &str) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return "-".into();
    }
    let escape = |(at, byte): (usize, u8)| match byte {
        b'/' => "-".to_owned(),
        b'.' if at == 0 => "\\x2e".to_owned(),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    path.bytes().enumerate().map(escape).collect()
}

fn unit(service: &Service) -> String {
    format!("indelible@{}.service", service.instance("indelible@.service".len()))
}

fn link(service: &Service, file: &Path) -> PathBuf {
    file.with_file_name("default.target.wants").join(unit(service))
}

/// A part of a command line, as a unit spells it.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%"))
}

/// The version of systemd, or `None` if it is not installed.
fn version() -> Option<u32> {
    let said = ask("systemctl", &["--version"]).ok()?;
    said.split_whitespace().nth(1)?.parse().ok()
}

fn definition(service: &Service, version: Option<u32>) -> String {
    let Service { home, program } = service;
    // Without growing pauses: long enough that a home that cannot be opened does not fill the log.
    let pauses = match version {
        Some(version) if version < VERSION_WITH_STEPS => "RestartSec=30",
        _ => "RestartSec=5\nRestartSteps=6\nRestartMaxDelaySec=300",
    };
    format!(
        "# {MARK}, which would overwrite it; `indelible service uninstall` removes it.\n\
         [Unit]\n\
         Description=indelible worker of {description}\n\
         # It may fail as often as it likes, and is started again with pauses.\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         # The colon: no variable is put in.\n\
         ExecStart=:{program} --home {home} worker\n\
         ExecReload=kill -HUP $MAINPID\n\
         Restart=on-failure\n\
         {pauses}\n\
         # It is asked to stop, and ends what it has started by itself.\n\
         KillMode=mixed\n\
         # Recorders wait for the disk together with it: low, but never last.\n\
         Nice=10\n\
         IOSchedulingClass=best-effort\n\
         IOSchedulingPriority=7\n\
         UMask=0077\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         RestrictRealtime=yes\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        description = home.replace('%', "%%"),
        program = quoted(program),
        home = quoted(home),
    )
}

impl Manager for Systemd {
    fn file(&self, service: &Service) -> Result<PathBuf, Failure> {
        Ok(config_folder()?.join("systemd/user").join(unit(service)))
    }

    fn definition(&self, service: &Service) -> String {
        definition(service, version())
    }

    fn unread(&self) -> Option<&'static str> {
        (!is_here()).then_some("it was not started by systemd")
    }

    fn start(&self, service: &Service, changed: bool) -> Result<Started, Failure> {
        let file = self.file(service)?;
        enable(&link(service, &file), &file)?;
        let unit = unit(service);
        if let Err(why) = ask("systemctl", &["--user", "daemon-reload"]) {
            let todo = format!(
                "from a login session, run: systemctl --user daemon-reload && systemctl --user start '{unit}'; until \
                 then, `indelible --home {} worker --detach` starts one",
                shell_path(Path::new(&service.home))
            );
            return Ok(Started::AtLogin { why, todo });
        }
        let verb = if changed { "restart" } else { "start" };
        let hint = || format!("see `journalctl --user -u '{unit}'`");
        ask("systemctl", &["--user", verb, "--", &unit]).map_err(|why| not_started(why, hint()))?;
        Ok(Started::Now)
    }

    fn stop(&self, service: &Service) -> Result<(), Failure> {
        let link = link(service, &self.file(service)?);
        // Without a manager to ask, nothing runs.
        let _ = ask("systemctl", &["--user", "stop", "--", &unit(service)]);
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(unwritable(&link, "the service was not removed").because(&error))
            }
            _ => Ok(()),
        }
    }

    fn forget(&self) {
        let _ = ask("systemctl", &["--user", "daemon-reload"]);
    }

    fn is_enabled(&self, service: &Service) -> Result<bool, Failure> {
        let file = self.file(service)?;
        Ok(leads_to(&link(service, &file), &file))
    }

    fn state(&self, service: &Service) -> State {
        let properties = "--property=ActiveState,SubState,MainPID,NRestarts";
        let said = match ask("systemctl", &["--user", "show", properties, "--", &unit(service)]) {
            Ok(said) => said,
            Err(why) => return State { said: Some(why), ..State::default() },
        };
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or("");
        State {
            running: Some(value("ActiveState") == "active"),
            process: value("MainPID").parse().ok().filter(|process| *process != 0),
            said: Some(format!("{}, {} restarts", value("SubState"), value("NRestarts"))),
        }
    }
}

fn leads_to(link: &Path, file: &Path) -> bool {
    let to = std::fs::read_link(link).ok().and_then(|to| link.parent()?.join(to).canonicalize().ok());
    to.is_some() && to == file.canonicalize().ok()
}

/// Makes the link that `systemctl --user enable` would make.
fn enable(link: &Path, file: &Path) -> Result<(), Failure> {
    const WHAT: &str = "the service was not enabled";
    if leads_to(link, file) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        return Err(foreign(link, WHAT));
    }
    let make = || {
        std::fs::create_dir_all(link.parent().unwrap_or(link))?;
        indelible::fs::os::link_to(file, link)
    };
    make().map_err(|error| unwritable(link, WHAT).because(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_as_systemd_does_it() {
        for (path, escaped) in [
            ("/", "-"),
            ("/home/me/notes", "home-me-notes"),
            ("/.a/b-c d", "\\x2ea-b\\x2dc\\x20d"),
            ("/ü/a.b:c_d", "\\xc3\\xbc-a.b:c_d"),
        ] {
            assert_eq!(escape_path(path), escaped, "{path}");
        }
    }

    #[test]
    fn pauses_grow_where_the_version_can() {
        let service = Service { home: "/h".into(), program: "/p".into() };
        assert!(definition(&service, Some(252)).contains("RestartSec=30\n"));
        assert!(!definition(&service, Some(252)).contains("RestartSteps"));
        for version in [Some(254), Some(257), None] {
            assert!(definition(&service, version).contains("RestartMaxDelaySec=300\n"), "{version:?}");
        }
    }
}
