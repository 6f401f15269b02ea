//! Keeps a few unreadable events for a person, without secrets.
//!
//! Each is a file in the folder `quarantine`, named by a digest of its bytes, so equal events are one file. Nothing is synced:
//! the files are only for people. Killed before the rename, there is a temporary file, which recovery removes in a home.

use uuid::Uuid;

use crate::fs::{self, Dir, Durability};
use crate::model::layout::{EVENT, QUARANTINE, TEMPORARY};
use crate::redact::Redactor;

/// The most events that are kept; further ones are only counted.
const KEPT_MAX: usize = 20;
/// How much of an event is kept, in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Keeps the event `bytes` in the quarantine beneath `private`. Returns whether it is new.
///
/// # Errors
/// [`fs::Error`] if it could not be written. The caller goes on as before.
pub fn keep(private: &Dir, bytes: &[u8], redactor: &Redactor) -> Result<bool, fs::Error> {
    let folder = private.folder(QUARANTINE)?;
    let name = format!("{EVENT}{}.txt", Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes));
    let names = folder.names()?;
    if names.contains(&name) || names.iter().filter(|name| name.starts_with(EVENT)).count() >= KEPT_MAX {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(bytes);
    // Cut after redaction: half a secret has no shape to find it by.
    let text = redactor.text(&text);
    let text = &text[..text.floor_char_boundary(BYTES_MAX)];
    folder.replace(&name, text.as_bytes(), &private.folder(TEMPORARY)?, Durability::None)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_and_none_with_a_secret() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [TEMPORARY, QUARANTINE] {
            std::fs::create_dir(folder.path().join(name)).expect("it is empty");
        }
        let private = Dir::open(folder.path()).expect("it was just made");
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        let secret = format!("ghp_{}", "a1B2".repeat(9));
        let event = |number: usize| format!("{{{number} {secret} \u{fffd} {}", "x".repeat(BYTES_MAX)).into_bytes();
        assert!(keep(&private, &event(0), &redactor).expect("kept"));
        assert!(!keep(&private, &event(0), &redactor).expect("it is there"));
        for number in 1..100 {
            let _ = keep(&private, &event(number), &redactor).expect("kept, or not");
        }
        let kept: Vec<_> = std::fs::read_dir(folder.path().join(QUARANTINE)).expect("there").collect();
        assert_eq!(kept.len(), KEPT_MAX);
        for file in kept {
            let text = std::fs::read_to_string(file.expect("listed").path()).expect("text");
            assert!(text.len() <= BYTES_MAX && !text.contains(&secret), "{} bytes", text.len());
        }
    }
}
