//! The signature of a failure: what two failures must have in common to be the same one. Pure: bytes in, text out.
//!
//! `docs/signature.md` has the function in full. In short: the output becomes clean lines (`cut`), the command becomes
//! programs (`program`), the first class of the table (`classes`) that has an error line wins, and its text is
//! normalised (`normalise`), so that folders, numbers and times do not matter. A text that tells nothing is no signature
//! (`telling`): a wrong match is worse than none.
//!
//! Everything is scanned by hand, in one pass over at most 256 KB: a hook has no time to compile patterns. Input is data from
//! anywhere: no bytes make this panic, and time and memory grow with the input alone.

mod account;
mod classes;
mod closing;
mod consequence;
mod cut;
mod key;
mod languages;
mod marks;
mod names;
mod normalise;
mod number;
mod path;
mod plain;
mod program;
mod suites;
mod telling;
mod view;
mod words;

use self::classes::{Asks, CLASSES, LAST};
pub use self::key::Key;
use self::program::Programs;
pub(crate) use self::program::{behind_wrapper, program_name, subcommand};
use self::view::View;

/// The version of the function. Signatures of two versions are never compared.
pub const VERSION: u8 = 2;

/// The longest text of a signature, in characters.
pub const TEXT_CHARS_MAX: usize = 300;

/// What a failure has in common with others of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The version of the function that made it.
    pub version: u8,
    /// The class of the error line: a name from the table, such as `compiler`.
    pub class: &'static str,
    /// The program, and for some classes its subcommand. Empty where the class does not ask for it.
    pub program: String,
    /// The error line, normalised. At most [`TEXT_CHARS_MAX`] characters.
    pub text: String,
}

impl Signature {
    /// The key to look the signature up by, made with the secret of a home. Two signatures with one key can still differ:
    /// compare the signatures as well.
    pub fn key(&self, secret: &[u8]) -> Key {
        Key::of(self, secret)
    }
}

/// Whether `output` has nothing but what a host adds to it: an exit code alone says all that it does.
pub fn says_nothing(output: &[u8]) -> bool {
    let parts = cut::parts(output);
    let cut = cut::cut(&parts, false);
    cut.lines.is_empty() && !cut.is_cut
}

/// The signature of a failure: what `command`, run in the folder `cwd`, has put out, after redaction.
///
/// `exit` is the exit code, if the host knows it. `was_cut` says that the host has left out a part of the output: then only
/// classes count whose error line is certain without the rest. There is no signature if nothing in the output says what
/// went wrong.
pub fn signature(command: &str, cwd: &str, exit: Option<i32>, output: &[u8], was_cut: bool) -> Option<Signature> {
    let parts = cut::parts(output);
    let cut = cut::cut(&parts, was_cut);
    if cut.lines.is_empty() {
        return None;
    }
    let programs = Programs::of(command);
    if exit == Some(0) && programs.only_read {
        return None;
    }
    let view = View { parts: &parts, lines: &cut.lines, command, cwd, programs: &programs };
    // A failure that its exit code does not show is believed only if its error line is certain.
    let strong_alone = cut.is_cut || exit == Some(0) && !programs.hides_exit;
    for class in CLASSES.iter().filter(|class| class.is_strong || !strong_alone) {
        if let Some(found) = (class.find)(&view) {
            let found = match found.number {
                Some(number) => account::completed(&view, found, number),
                None => found,
            };
            let text = normalise::joined(&found.parts);
            let program = match class.asks {
                Asks::Nothing => String::new(),
                Asks::Program => programs.name().to_owned(),
                Asks::Call => programs.call(),
            };
            let is_told = found.names_test || telling::tells(&text);
            return is_told.then_some(Signature { version: VERSION, class: class.name, program, text });
        }
    }
    None
}

/// The line of `output` that `signature` was made of, as it was printed, without colours; `None` if no line is like it. The
/// command ran in the folder `cwd`.
pub fn error_line(signature: &Signature, cwd: &str, output: &[u8]) -> Option<String> {
    // Of the class `last`, what was said before comes first.
    let line = match signature.class {
        LAST => signature.text.rsplit(" | ").next()?,
        _ => signature.text.split(" | ").next()?,
    };
    let first = normalise::without_sum(line);
    if first.is_empty() {
        return None;
    }
    let parts = cut::parts(output);
    let lines = cut::cut(&parts, false).lines;
    // What stands before the error in its line is no part of some signatures, and neither is a long line's end.
    let is_like: [fn(&str, &str) -> bool; 2] = [|line, first| line == first, |line, first| line.contains(first)];
    let find = |is_like: &fn(&str, &str) -> bool| {
        let mut likely = lines.iter().map(std::convert::AsRef::as_ref);
        likely.find(|line: &&str| is_like(&normalise::normalised(line, cwd), first)).map(|line| line.trim().to_owned())
    };
    is_like.iter().find_map(find)
}
