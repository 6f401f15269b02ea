//! The code of a session: six letters by which an agent names its session where its host tells it no id.
//!
//! It follows from the home's id and the session's, so a session always has the same one. A small file in the folder of session
//! logs, named by the code, has the session's id; the sweep of that folder removes it. It is a cache, and never synced:
//! without it a code is not known, and a verdict is of no session.

use uuid::Uuid;

use crate::fs::{self, Durability};
use crate::home::Home;
use crate::model::RecordId;
use crate::model::layout::{SESSIONS, TEMPORARY};

/// The letters of a code: no vowels, so that no code is a word.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
/// The letters of a code.
const LENGTH: usize = 6;
/// The longest id of a session that gets a code, in bytes.
const SESSION_BYTES_MAX: usize = 1 << 10;

/// The code of `session` in `home`. Touches no file.
pub fn code_of(home: &Home, session: &str) -> String {
    let mut number = RecordId::of_key(home.id(), &format!("session\0{session}")).0.as_u128();
    let mut code = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        code.push(char::from(LETTERS[(number % LETTERS.len() as u128) as usize]));
        number /= LETTERS.len() as u128;
    }
    code
}

/// The code of `session`, by which [`session_of`] finds it from now on; `None` if that cannot be noted.
pub fn note_code(home: &Home, session: &str) -> Option<String> {
    if session.trim().is_empty() || session.len() > SESSION_BYTES_MAX {
        return None;
    }
    let code = code_of(home, session);
    let put = || {
        let private = home.private();
        let folder = private.make_folder(SESSIONS)?;
        folder.replace(&name(&code), session.as_bytes(), &private.folder(TEMPORARY)?, Durability::None)
    };
    let put: Result<(), fs::Error> = put();
    put.is_ok().then_some(code)
}

/// The session whose code is `code`; `None` if it is not known here.
pub fn session_of(home: &Home, code: &str) -> Option<String> {
    if code.len() != LENGTH || !code.bytes().all(|letter| LETTERS.contains(&letter)) {
        return None;
    }
    let content = home.private().content(&format!("{SESSIONS}/{}", name(code)), SESSION_BYTES_MAX as u64).ok()??;
    String::from_utf8(content).ok().filter(|session| code_of(home, session) == code)
}

/// The name of the file, of the form that the sweep knows.
fn name(code: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("code\0{code}").as_bytes()).simple().to_string()
}
