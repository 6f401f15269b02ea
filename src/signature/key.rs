//! The key that a signature is looked up by.

use std::fmt;

use sha1_smol::Sha1;

use super::Signature;

/// The bytes of a block of SHA-1.
const BLOCK_BYTES: usize = 64;

/// 128 bits for a signature, made with the secret of a home: what failed cannot be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The first 16 bytes of HMAC-SHA1 with `secret` over version, class, program and text, each with its length before it.
    pub(super) fn of(signature: &Signature, secret: &[u8]) -> Key {
        let mut block = [0; BLOCK_BYTES];
        match secret.len() > BLOCK_BYTES {
            true => block[..20].copy_from_slice(&Sha1::from(secret).digest().bytes()),
            false => block[..secret.len()].copy_from_slice(secret),
        }
        let mut inner = Sha1::from(block.map(|byte| byte ^ 0x36));
        inner.update(&[signature.version]);
        for part in [signature.class, &signature.program, &signature.text] {
            inner.update(&(part.len() as u64).to_le_bytes());
            inner.update(part.as_bytes());
        }
        let mut outer = Sha1::from(block.map(|byte| byte ^ 0x5c));
        outer.update(&inner.digest().bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&outer.digest().bytes()[..16]);
        Key(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(class: &'static str, program: &str, text: &str) -> Signature {
        Signature { version: 1, class, program: program.into(), text: text.into() }
    }

    #[test]
    fn each_part_and_the_secret_make_another_key() {
        let of = |signature: Signature, secret: &[u8]| signature.key(secret);
        let long = [7; 100];
        let keys = [
            of(signature("fatal", "git", "a b"), b"one"),
            of(signature("fatal", "git", "a b"), b"two"),
            of(signature("fatal", "git", "a b"), &long),
            of(signature("fatal", "git", "a b"), &long[..99]),
            of(signature("fatal", "gita", " b"), b"one"),
            of(signature("program", "git", "a b"), b"one"),
            of(signature("fatal", "git", "a c"), b"one"),
            of(Signature { version: 2, ..signature("fatal", "git", "a b") }, b"one"),
        ];
        let different: std::collections::HashSet<Key> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn a_key_stays_the_same_for_good() {
        // As Python's `hmac` has it.
        assert_eq!(format!("{:?}", signature("fatal", "git", "a b").key(b"one")), "11c73cedb8320e1052df9da44eb92eb9");
    }
}
