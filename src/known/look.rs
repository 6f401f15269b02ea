//! Looking one signature up in the file: what a hook does.

use super::bytes::{Frame, Header, Reader};
use super::{Case, Odd, TAIL_BYTES_MAX};
use crate::fs::{Dir, File, os};
use crate::model::layout::KNOWN;
use crate::signature::Signature;

/// A larger bucket is not as we write it, in bytes.
const BUCKET_BYTES_MAX: u64 = 256 << 10;

/// The cases of `signature`, one for each place, in the file of the home whose private folder is `private`. Empty if there are
/// none, or no file.
///
/// # Errors
/// [`Odd`]: then nothing is known.
pub fn look_up(private: &Dir, signature: &Signature) -> Result<Vec<Case>, Odd> {
    let file = match private.read(KNOWN) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        opened => opened?,
    };
    let found = file.stat()?;
    if found.owner != os::user() {
        return Err(Odd::Shape("belongs to another user"));
    }
    let header = Header::of(&exactly(&file, 0)?)?;
    if header.base_end > found.size || found.size - header.base_end > TAIL_BYTES_MAX {
        return Err(Odd::Shape("is not as long as it says"));
    }
    let key = signature.key(&header.secret);
    let bucket: [u8; 8] = exactly(&file, header.entry_of(header.bucket_of(&key)))?;
    let mut ends = Reader(&bucket);
    let (Some(begin), Some(end)) = (ends.u32().map(u64::from), ends.u32().map(u64::from)) else {
        return Err(Odd::Shape("is damaged"));
    };
    if begin > end || begin < header.table_end() || end > header.base_end || end - begin > BUCKET_BYTES_MAX {
        return Err(Odd::Shape("is damaged"));
    }
    let mut cases: Vec<Case> = Vec::new();
    for (from, to) in [(begin, end), (header.base_end, found.size)] {
        let bytes = range(&file, from, to)?;
        let mut left = &bytes[..];
        while !left.is_empty() {
            let frame = Frame::take(&mut left).ok_or(Odd::Shape("is damaged"))?;
            let Frame::Case(case) = frame else { continue };
            if case.key == key && case.is_of(signature) {
                cases.retain(|it| it.place != case.place);
                cases.push(case);
            }
        }
    }
    cases.retain(|case| !case.is_empty());
    Ok(cases)
}

/// The bytes at `offset`.
fn exactly<const N: usize>(file: &File, offset: u64) -> Result<[u8; N], Odd> {
    let mut bytes = [0; N];
    match file.read_at(&mut bytes, offset)? == N {
        true => Ok(bytes),
        false => Err(Odd::Shape("is too short")),
    }
}

/// The bytes from `from` to `to`, which are few.
fn range(file: &File, from: u64, to: u64) -> Result<Vec<u8>, Odd> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
    match bytes.is_empty() || file.read_at(&mut bytes, from)? == bytes.len() {
        true => Ok(bytes),
        false => Err(Odd::Shape("is too short")),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::known::{Book, Failure, Mark, Time};
    use crate::model::{Provenance, RecordId};
    use crate::signature::VERSION;

    fn signature(text: &str) -> Signature {
        Signature { version: VERSION, class: "fatal", program: "git".into(), text: text.into() }
    }

    fn add(book: &mut Book, text: &str, place: &str, number: u32) {
        let provenance = Provenance { session: Some("s".into()), ..Provenance::default() };
        let time = Time::of(RecordId(Uuid::from_u128(number.into())), number.into(), &provenance);
        book.add(&Failure { signature: signature(text) }, place.into(), time);
    }

    /// A folder with a file of 1000 cases, and a tail with a new one, a changed one and one that is gone.
    fn made() -> (tempfile::TempDir, Dir, Vec<u8>) {
        let mut book = Book::new();
        for number in 0..1000 {
            add(&mut book, &format!("text {number}"), "here", number);
        }
        book.reached(Mark { index: "i".into(), seq: 1, line: "l".into() });
        let mut bytes = book.base();
        book.written();
        add(&mut book, "text 5", "here", 2000);
        add(&mut book, "text 5", "there", 2001);
        add(&mut book, "new", "here", 2002);
        assert!(book.remove(RecordId(Uuid::from_u128(6))));
        bytes.extend(book.tail());
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join(KNOWN), &bytes).expect("it can be written");
        let private = Dir::open(folder.path()).expect("it was just made");
        (folder, private, bytes)
    }

    #[test]
    fn a_case_is_found_in_the_base_and_in_the_tail() {
        let (folder, private, _) = made();
        let places = |text: &str| {
            let cases = look_up(&private, &signature(text)).expect("it is whole");
            cases.into_iter().map(|case| (case.place, case.times.len())).collect::<Vec<_>>()
        };
        let here = |times: usize| vec![("here".to_owned(), times)];
        assert_eq!(places("text 999"), here(1));
        assert_eq!(places("new"), here(1));
        assert_eq!(places("text 5"), [("here".to_owned(), 2), ("there".to_owned(), 1)]);
        assert_eq!((places("text 6"), places("text 1000")), (vec![], vec![]), "gone, and never there");
        std::fs::remove_file(folder.path().join(KNOWN)).expect("it is there");
        assert_eq!(places("text 5"), []);
    }

    #[test]
    fn whatever_lies_there_is_silence() {
        let (folder, private, bytes) = made();
        let path = folder.path().join(KNOWN);
        let odd = |what: &str| {
            for text in ["text 5", "text 6", "new", "other"] {
                let looked = look_up(&private, &signature(text));
                assert!(looked.is_err(), "{what}: {looked:?}");
            }
        };
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("garbage", vec![7; 40_000]),
            ("zeros", vec![0; 40_000]),
            ("cut", bytes[..bytes.len() / 2].to_vec()),
            ("a torn tail", bytes[..bytes.len() - 1].to_vec()),
            ("of another version", [&bytes[..8], &[99], &bytes[9..]].concat()),
            ("too long a tail", [&bytes[..], &[0; 70_000]].concat()),
        ] {
            std::fs::write(&path, bytes).expect("it can be written");
            odd(what);
        }
        std::fs::remove_file(&path).expect("it is there");
        std::fs::create_dir(&path).expect("a folder can be made");
        odd("a folder");
        std::fs::remove_dir(&path).expect("it is there");
        #[cfg(unix)]
        {
            std::fs::write(folder.path().join("theirs"), &bytes).expect("it can be written");
            std::os::unix::fs::symlink("theirs", &path).expect("a link can be made");
            odd("a link");
        }
    }

    #[test]
    fn no_flipped_byte_makes_another_case() {
        let (folder, private, bytes) = made();
        let path = folder.path().join(KNOWN);
        let whole = look_up(&private, &signature("text 5")).expect("it is whole");
        for at in (0..bytes.len()).step_by(41) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x5a;
            std::fs::write(&path, flipped).expect("it can be written");
            let looked = look_up(&private, &signature("text 5"));
            assert!(looked.as_ref().is_err() || looked.as_ref().is_ok_and(|it| *it == whole), "{at}: {looked:?}");
        }
    }
}
