//! Where the benchmarks work, and the programs they work with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::scale::Scale;

pub struct Lab {
    pub scale: Scale,
    root: PathBuf,
}

impl Lab {
    /// A place beneath `target`, with the C programs compiled.
    pub fn new(scale: Scale) -> Lab {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        let lab = Lab { scale, root };
        let _ = std::fs::remove_dir_all(lab.root.join("scratch"));
        let inner = ["homes", "scratch", "programs"].map(|folder| lab.root.join(folder));
        for folder in inner.into_iter().chain([lab.results(), lab.docs()]) {
            std::fs::create_dir_all(folder).expect("a folder beneath target can be made");
        }
        for source in ["nothing", "bare", "measure"] {
            assert!(
                lab.compile(source, source, &["-static"], &[]) || lab.compile(source, source, &[], &[]),
                "cc failed"
            );
        }
        lab
    }

    /// Where what was found is kept between runs, and for other clones.
    pub fn results(&self) -> PathBuf {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
        if self.scale.is_trial { self.root.join("tiny/results") } else { results }
    }

    /// Where the document goes.
    pub fn docs(&self) -> PathBuf {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        if self.scale.is_trial { self.root.join("tiny") } else { docs }
    }

    pub fn homes(&self) -> PathBuf {
        self.root.join("homes")
    }

    /// A path at which there is nothing; it lies on the disk that the homes are on. What was there is removed, and the
    /// disk has done so, and the next program that is measured does not wait for it.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let path = self.root.join("scratch").join(name);
        if std::fs::remove_dir_all(&path).is_ok() || std::fs::remove_file(&path).is_ok() {
            rustix::fs::sync();
        }
        path
    }

    /// A path of which everything stays in memory, where a sync costs nothing; `None` where the system has no such place.
    pub fn memory(&self, name: &str) -> Option<PathBuf> {
        let folder = Path::new("/dev/shm").join(format!("indelible-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).ok()?;
        let path = folder.join(name);
        let _ = std::fs::remove_dir_all(&path);
        Some(path)
    }

    /// A program of benches/programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("programs").join(name)
    }

    /// Compiles a program of benches/programs. Whether that worked.
    pub fn compile(&self, source: &str, name: &str, options: &[&str], libraries: &[&str]) -> bool {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs").join(format!("{source}.c"));
        let mut command = Command::new("cc");
        command.arg("-O2").args(options).arg("-o").arg(self.program(name)).arg(source).args(libraries);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.root.join("scratch"));
        let _ = std::fs::remove_dir_all(format!("/dev/shm/indelible-bench-{}", std::process::id()));
    }
}

/// The program that is measured: a copy, as an installed one is. What a linker has just written lies in the page cache in single
/// pages, and starts a fifth slower (decision 0061).
pub fn program() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench/programs/indelible");
        let _ = std::fs::remove_file(&copy);
        std::fs::copy(env!("CARGO_BIN_EXE_indelible"), &copy).expect("a file beneath target can be made");
        copy
    })
}

/// The program that is measured, on `home`.
pub fn indelible(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("--home").arg(home).args(args).stdin(Stdio::null());
    command
}

/// Runs what has to work for a benchmark to mean anything, and returns its output.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program is there to take part. `arg` makes it say something and end.
pub fn has(program: &str, arg: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(arg).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
