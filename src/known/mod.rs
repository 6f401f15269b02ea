//! Known failures: one small file says of each failure that was recorded when, how often and in which sessions, so that a hook
//! can tell an agent in the moment it fails again. Pure, except for [`look_up`], which reads that file.
//!
//! ```text
//!   header   magic, versions, secret, number of buckets, end of the base     44 bytes, with a checksum
//!   table    where each bucket begins                                        4 bytes a bucket, with a checksum behind them
//!   base     a frame for each case, by bucket; then one for the mark         replaced as a whole
//!   tail     frames of cases that changed since, and marks                   appended to, 64 KB at most
//! ```
//!
//! 1. A [`Case`] is what is known of one failure in one place: a signature in a project, or a whole command in a folder of a
//!    project. Its [key](crate::signature::Key) is made with a secret of the file, and is never trusted alone: class, program,
//!    text and place are compared too.
//! 2. A frame is its length, a checksum (CRC-32C) and a body, so that no reader takes torn or foreign bytes for a case. A
//!    frame in the tail replaces the case in the base. One without a time removes it.
//! 3. A reader reads the header, two entries of the table, one bucket and the tail: no lock, no SQLite, no pattern, and the same
//!    few calls however large the file is. Whatever is odd about the file, the answer is silence, and [`Odd`] says why.
//! 4. The file is derived: the worker makes it from the index's rows (`target::known`), which also says who repairs what a
//!    crash leaves. The mark says how far it follows them.
//! 5. It never holds what a tool put out, but for the normalised error line that a signature is, after redaction. A text for an
//!    agent ([`told`]) has counts, dates, the first letters of sessions, the labels of machines, and steps as `followed` spells
//!    them, nothing else.

mod book;
mod bytes;
mod case;
mod look;
mod stored;
mod told;

pub use book::{Book, CASES_MAX, FILE_BYTES_MAX, TAIL_BYTES_MAX};
pub use bytes::Mark;
pub use case::{Case, Failure, Session, Success, Time};
pub use look::look_up;
pub use stored::{Signed, Stored};
pub use told::{TOLD_CHARS_MAX, told};

/// Why the file of known failures cannot be used. Never a failure of what asked.
#[derive(Debug, thiserror::Error)]
pub enum Odd {
    /// It is not as we write it.
    #[error("the file of known failures {0}")]
    Shape(&'static str),
    /// It cannot be opened or read.
    #[error(transparent)]
    Fs(#[from] crate::fs::Error),
}
