//! Looks for bytes that break a parser, guided by what they reach. `fuzz/run` builds and starts it.

#![no_main]

#[path = "../../tests/parsers/checks.rs"]
mod checks;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/exit.rs"]
mod exit;
#[allow(dead_code, unused_imports, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/settings/mod.rs"]
mod settings;
#[allow(dead_code, reason = "the program uses all of it")]
#[path = "../../src/bin/indelible/user.rs"]
mod user;

use std::sync::LazyLock;

/// The parser that `FUZZ_TARGET` names.
static CHECK: LazyLock<checks::Check> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a parser");
    checks::named(&wanted).expect("there is a parser of that name")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHECK(bytes));
