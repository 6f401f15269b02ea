//! Where the program begins and ends on Linux with glibc: without Rust's runtime. That would read and parse `/proc/self/maps` to find
//! the end of the main thread's stack, and install a handler that names a stack overflow: 17 system calls, and a sixth of what a
//! short hook runs. What else it does is done here: closed standard streams, broken pipes, the exit code of a panic, and what is left in
//! stdout's buffer at the end (docs/decisions/0071-without-the-runtime.md).

/// Where the system's C library begins the program.
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    /// As Rust's runtime exits after a panic.
    const PANICKED: i32 = 101;
    let exit = match indelible::fs::os::begin() {
        Err(_) => crate::exit::Exit::Io as i32,
        Ok(()) => std::panic::catch_unwind(|| crate::run() as i32).unwrap_or(PANICKED),
    };
    // It writes what stdout still has.
    std::process::exit(exit)
}
