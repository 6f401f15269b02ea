//! launchd on macOS: an agent of the user's for each home.
//!
//! It restarts a failed worker after ten seconds. It has no growing pauses.

use std::path::PathBuf;

use super::{MARK, Manager, Service, Started, State, ask, no_user_folder, not_started};
use crate::exit::Failure;

pub struct Launchd;

fn label(service: &Service) -> String {
    format!("indelible.{}", service.instance("indelible..plist".len()))
}

/// The user's domain of launchd.
fn domain() -> String {
    format!("gui/{}", indelible::fs::os::user())
}

fn target(service: &Service) -> String {
    format!("{}/{}", domain(), label(service))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Manager for Launchd {
    fn file(&self, service: &Service) -> Result<PathBuf, Failure> {
        let home = etcetera::home_dir().map_err(|error| no_user_folder(&error))?;
        Ok(home.join("Library/LaunchAgents").join(format!("{}.plist", label(service))))
    }

    fn definition(&self, service: &Service) -> String {
        let strings = [&service.program, "--home", &service.home, "worker", "--log", "file"]
            .map(|text| format!("        <string>{}</string>\n", xml(text)))
            .concat();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <!-- {MARK}, which would overwrite it; `indelible service uninstall` removes it. -->\n\
             <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
             <plist version=\"1.0\">\n\
             <dict>\n\
             \x20   <key>Label</key>\n\
             \x20   <string>{label}</string>\n\
             \x20   <key>ProgramArguments</key>\n\
             \x20   <array>\n\
             {strings}\
             \x20   </array>\n\
             \x20   <key>RunAtLoad</key>\n\
             \x20   <true/>\n\
             \x20   <key>KeepAlive</key>\n\
             \x20   <dict>\n\
             \x20       <key>SuccessfulExit</key>\n\
             \x20       <false/>\n\
             \x20   </dict>\n\
             \x20   <key>ThrottleInterval</key>\n\
             \x20   <integer>10</integer>\n\
             \x20   <key>ExitTimeOut</key>\n\
             \x20   <integer>60</integer>\n\
             \x20   <key>ProcessType</key>\n\
             \x20   <string>Background</string>\n\
             \x20   <key>Nice</key>\n\
             \x20   <integer>10</integer>\n\
             </dict>\n\
             </plist>\n",
            label = xml(&label(service)),
        )
    }

    fn start(&self, service: &Service, changed: bool) -> Result<Started, Failure> {
        if self.state(service).running.is_some() {
            if !changed {
                return Ok(Started::Now);
            }
            let _ = ask("launchctl", &["bootout", &target(service)]);
        }
        let file = self.file(service)?;
        let started = ask("launchctl", &["bootstrap", &domain(), &file.display().to_string()]);
        let hint = || format!("see `launchctl print {}`", target(service));
        started.map(|_| Started::Now).map_err(|why| not_started(why, hint()))
    }

    fn stop(&self, service: &Service) -> Result<(), Failure> {
        // A service that is not loaded is stopped already.
        let _ = ask("launchctl", &["bootout", &target(service)]);
        Ok(())
    }

    fn state(&self, service: &Service) -> State {
        let said = match ask("launchctl", &["print", &target(service)]) {
            Ok(said) => said,
            Err(why) => return State { said: Some(why), ..State::default() },
        };
        let value = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "));
        State {
            running: Some(value("state") == Some("running")),
            process: value("pid").and_then(|process| process.parse().ok()),
            said: value("state").map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_gives_a_meaning_to_is_escaped() {
        let service = Service { home: "/a & <b>".into(), program: "/p".into() };
        let definition = Launchd.definition(&service);
        assert!(definition.contains("<string>/a &amp; &lt;b&gt;</string>"), "{definition}");
    }
}
