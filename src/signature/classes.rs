//! The classes of error lines, in order: the first one that has a line wins.

use super::view::{Found, View};
use super::{languages, plain, suites};

/// What of the command belongs to a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// Nothing: the line says it all.
    Nothing,
    /// The program.
    Program,
    /// The program and its subcommand.
    Call,
}

/// One kind of error line.
pub(super) struct Class {
    pub(super) name: &'static str,
    /// Whether its line is certain although another part of the output is missing.
    pub(super) is_strong: bool,
    pub(super) asks: Asks,
    /// The line, with what belongs to it.
    pub(super) find: fn(&View<'_>) -> Option<Found>,
}

/// The name of the class of the last line of a short output.
pub(super) const LAST: &str = "last";

const fn strong(name: &'static str, asks: Asks, find: fn(&View<'_>) -> Option<Found>) -> Class {
    Class { name, is_strong: true, asks, find }
}

const fn weak(name: &'static str, asks: Asks, find: fn(&View<'_>) -> Option<Found>) -> Class {
    Class { name, is_strong: false, asks, find }
}

pub(super) const CLASSES: [Class; 14] = [
    strong("rust", Asks::Nothing, languages::rust),
    strong("panic", Asks::Nothing, languages::panic),
    strong("pytest", Asks::Nothing, suites::pytest),
    strong("test", Asks::Nothing, suites::test),
    strong("java", Asks::Nothing, languages::java),
    strong("exception", Asks::Nothing, languages::exception),
    strong("compiler", Asks::Nothing, languages::compiler),
    strong("linker", Asks::Nothing, languages::linker),
    strong("conflict", Asks::Call, plain::conflict),
    strong("rejected", Asks::Call, plain::rejected),
    strong("fatal", Asks::Program, plain::fatal),
    strong("program", Asks::Nothing, plain::program),
    weak("generic", Asks::Call, plain::generic),
    weak(LAST, Asks::Call, plain::last),
];
