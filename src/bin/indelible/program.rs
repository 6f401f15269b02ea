//! The path of this program that is written into settings and services: the one that stays valid after an upgrade.
//!
//! A version manager keeps each version in its own folder. A link (Homebrew, Nix, pipx) or a small program, a shim (mise,
//! asdf, npm), leads to the current version. The path that the system names for this process is in the folder of one version,
//! and gone after an upgrade.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use indelible::fs::os;

/// The path that stays valid after an upgrade; if there is no such path, the one that the system names.
///
/// # Errors
/// The system's, if it does not name one.
pub fn lasting() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let typed = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let names = [typed.file_name(), program.file_name()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let on_path: Vec<PathBuf> =
        folders.flat_map(|folder| names.into_iter().flatten().map(move |name| folder.join(name))).collect();
    let typed = if typed.components().count() > 1 { std::path::absolute(typed).ok() } else { None };
    let leads_here = |path: &&PathBuf| os::real_path(path).is_ok_and(|real| real == program);
    let found = || on_path.iter().chain(&typed).filter(leads_here);
    let of_all_versions = found().find(|path| !is_of_a_version(path));
    if let Some(path) = of_all_versions {
        return Ok(path.clone());
    }
    if is_of_a_version(&program)
        && let Some(shim) = on_path.iter().find(|path| !is_of_a_version(path) && is_shim(path))
    {
        return Ok(shim.clone());
    }
    Ok(found().next().unwrap_or(&program).clone())
}

/// Whether `path` belongs to one version: a folder in it has a number with a dot in its name, or it is in the Nix store.
fn is_of_a_version(path: &Path) -> bool {
    let has_version = |name: &str| {
        name.as_bytes().windows(3).any(|it| it[0].is_ascii_digit() && it[1] == b'.' && it[2].is_ascii_digit())
    };
    let folder = path.parent().unwrap_or(path);
    let names = folder.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    folder.starts_with("/nix/store") || names.into_iter().any(|name| has_version(&name))
}

/// Whether the program at `path` is this one under another path: it reports the same version.
fn is_shim(path: &Path) -> bool {
    let expected = concat!("indelible ", env!("CARGO_PKG_VERSION"));
    why_not_run(path).is_none() && {
        let said = Command::new(path).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        said.is_ok_and(|said| said.status.success() && said.stdout.trim_ascii() == expected.as_bytes())
    }
}

/// Why `program`, a path or a name on the PATH, cannot be run, as far as can be seen without running it.
pub fn why_not_run(program: &Path) -> Option<&'static str> {
    if program.components().count() == 1 {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .any(|folder| folder.is_absolute() && why_not_run(&folder.join(program)).is_none());
        return (!found).then_some("which is not on the PATH");
    }
    match std::fs::metadata(program) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some("which may not be looked at"),
        Err(_) => Some("which is gone"),
        Ok(found) if !found.is_file() => Some("which is no program"),
        Ok(found) if !is_executable(&found) => Some("which is not executable"),
        Ok(_) => None,
    }
}

#[cfg(unix)]
fn is_executable(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    found.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_one_version_are_distinguished() {
        for path in [
            "/opt/homebrew/Cellar/indelible/0.1.0/bin/indelible",
            "/home/ada/.local/share/mise/installs/indelible/0.1.0/indelible",
            "/home/ada/.nvm/versions/node/v20.1.0/bin/indelible",
            "/nix/store/abc-indelible/bin/indelible",
            "/opt/indelible-1.2/indelible",
        ] {
            assert!(is_of_a_version(Path::new(path)), "{path}");
        }
        for path in [
            "/usr/bin/indelible",
            "/home/ada/.cargo/bin/indelible",
            "/home/ada/.nix-profile/bin/indelible",
            "/x/indelible-0.1.0",
        ] {
            assert!(!is_of_a_version(Path::new(path)), "{path}");
        }
    }
}
