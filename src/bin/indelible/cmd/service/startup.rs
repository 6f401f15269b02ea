//! The Startup folder of Windows: a batch file for each home.
//!
//! Windows starts the batch file at login and never again. With `worker.autostart`, recorders start the worker after a
//! failure. The batch file shows a window while it starts the worker, which has none.

use std::path::{Path, PathBuf};

use super::{MARK, Manager, Service, config_folder};
use crate::exit::Failure;

pub struct Startup;

/// A part of a command line, as a batch file spells it. No path has a quote in it there.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('%', "%%"))
}

impl Manager for Startup {
    fn file(&self, service: &Service) -> Result<PathBuf, Failure> {
        let folder = ["Microsoft", "Windows", "Start Menu", "Programs", "Startup"].iter().collect::<PathBuf>();
        // systemd's spelling of a path has characters that are not allowed in file names.
        Ok(config_folder()?.join(folder).join(format!("indelible-{}.cmd", service.number())))
    }

    /// Windows opens every file in the folder itself at login, even half a file.
    fn written_in<'f>(&self, folder: &'f Path) -> &'f Path {
        folder.parent().unwrap_or(folder)
    }

    fn definition(&self, service: &Service) -> String {
        let (program, home) = (quoted(&service.program), quoted(&service.home));
        format!(
            "@rem {MARK}, which would overwrite it; `indelible service uninstall` removes it.\r\n\
             @rem The paths below are UTF-8.\r\n\
             @chcp 65001 >nul\r\n\
             @{program} --home {home} worker --detach\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_file_gives_a_meaning_to_is_escaped() {
        let service = Service { home: r"C:\50% & more".into(), program: r"C:\i.exe".into() };
        let definition = Startup.definition(&service);
        assert!(definition.contains(r#"@"C:\i.exe" --home "C:\50%% & more" worker --detach"#), "{definition}");
        assert!(definition.lines().take(3).any(|line| line.contains(MARK)), "it would not be recognized");
    }
}
