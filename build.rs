//! Links the program with the static C library where there is one, and with the functions that recorders and hooks call
//! beside each other.
//!
//! A recorder lives for less than a millisecond; loading shared libraries takes a tenth of one. Where the C compiler has
//! no static library (on Fedora, the package glibc-static), the program is linked as any other and does the same, later.
//!
//! rustc takes its own target feature for this, `crt-static`, only for a whole build, macros included, and they cannot be
//! static. So this gives the linker of the program alone a folder in which the libraries that rustc names are the static
//! ones. The program lies at a fixed address (its heap, its stack and the kernel's pages do not), since moving it would
//! mean rewriting 33 pages of addresses at each start; `INDELIBLE_LINK=static-pie` has it moved, and
//! `INDELIBLE_LINK=dynamic` leaves all of this be.
//!
//! Debug builds have their shared libraries, so that tests can put one of theirs before the system's. They lie at a fixed
//! address too: tests start them by the ten thousand, and half of a start was the rewriting of 140,000 addresses.
//!
//! What a recorder runs is 5 % of the program, and the kernel maps a file in parts of 64 kB: `build/order.ld`, a linker script
//! that `build/order` writes, gathers these functions. A name in it that is not there orders nothing.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The libraries that rustc names, and the files that they are. libgcc_s has one half that can be static.
const LIBRARIES: [(&str, &str); 7] = [
    ("libgcc_s.a", "libgcc_eh.a"),
    ("libutil.a", "libutil.a"),
    ("librt.a", "librt.a"),
    ("libpthread.a", "libpthread.a"),
    ("libm.a", "libm.a"),
    ("libdl.a", "libdl.a"),
    ("libc.a", "libc.a"),
];

/// The order of the functions.
const ORDER: &str = "build/order.ld";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=INDELIBLE_LINK");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    if !is_wanted() {
        return;
    }
    if variable("PROFILE") != "release" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        return;
    }
    let folder = PathBuf::from(variable("OUT_DIR")).join("static");
    if gather(&folder).is_none() {
        return;
    }
    let mut arguments = Vec::new();
    for more in [of_libraries(&folder), of_order()] {
        let with_more: Vec<String> = arguments.iter().cloned().chain(more).collect();
        if links(&folder, &with_more) {
            arguments = with_more;
        }
    }
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// Only where cargo builds for this machine with glibc: what lies here is for no other.
fn is_wanted() -> bool {
    let glibc = variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let by_rustc = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    glibc && !by_rustc && variable("HOST") == variable("TARGET") && variable("INDELIBLE_LINK") != "dynamic"
}

/// What orders the functions: nothing for a processor that it was not made on, or where the user chose a linker, which may
/// not know such scripts.
fn of_order() -> Vec<String> {
    println!("cargo::rerun-if-changed={ORDER}");
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let is_chosen = ["linker", "link-arg", "fuse-ld"].iter().any(|flag| flags.contains(flag));
    let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join(ORDER);
    match variable("CARGO_CFG_TARGET_ARCH").as_str() {
        "x86_64" if !is_chosen => vec![format!("-Wl,-T,{}", script.display())],
        _ => Vec::new(),
    }
}

fn of_libraries(folder: &Path) -> Vec<String> {
    let kind: &[&str] = match variable("INDELIBLE_LINK").as_str() {
        "static-pie" => &["-static-pie"],
        _ => &["-static", "-no-pie"],
    };
    // Each of the three needs another.
    let group = "-Wl,--start-group,-lc,-lgcc,-lgcc_s,--end-group";
    let folder = format!("-L{}", folder.display());
    kind.iter().map(|&argument| argument.to_owned()).chain([folder, group.to_owned()]).collect()
}

fn compiler() -> Command {
    Command::new(env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into()))
}

/// Makes the folder of static libraries; `None` where one is missing.
fn gather(folder: &Path) -> Option<()> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).ok()?;
    for (name, file) in LIBRARIES {
        let found = compiler().arg(format!("-print-file-name={file}")).output().ok()?.stdout;
        // A compiler that does not find it says its bare name.
        let path = PathBuf::from(String::from_utf8(found).ok()?.trim());
        std::fs::copy(path.is_absolute().then_some(path)?, folder.join(name)).ok()?;
    }
    Some(())
}

/// Whether a program that is linked in this way runs.
fn links(folder: &Path, arguments: &[String]) -> bool {
    let (source, program) = (folder.join("probe.c"), folder.join("probe"));
    let written =
        std::fs::write(&source, "#include <math.h>\nint main(int n, char **a) { return n > 9 ? (int)log(n) : 0; }\n");
    let mut link = compiler();
    link.arg(&source).args(["-pie", "-nodefaultlibs", "-lgcc_s", "-lm", "-lc"]).args(arguments);
    let linked = written.is_ok() && link.arg("-o").arg(&program).output().is_ok_and(|output| output.status.success());
    linked && Command::new(&program).status().is_ok_and(|status| status.success())
}
