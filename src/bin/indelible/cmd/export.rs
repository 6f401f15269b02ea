//! `export`: the records of a home as JSON lines, to stdout or to a file that appears whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use indelible::backup::{self, Exported};
use indelible::fs::os::{self, Stream};
use indelible::model::text::{counted, path};
use indelible::query::{States, Wanted};
use serde_json::json;

use super::Context;
use crate::backup_args::{ExportArgs, file};
use crate::exit::{Exit, Failure, Promise};
use crate::output::{self, Bars};
use crate::reading;

const WHAT: &str = "the records were not exported";
/// How much is written at once.
const BUFFER_BYTES: usize = 1 << 16;

pub fn run(context: &Context, args: &ExportArgs) -> Result<Exit, Failure> {
    let filter = reading::filter(&args.filter, &args.kind, WHAT)?;
    let states = reading::states(&args.filter.state, &[], WHAT)?;
    let home = context.open(WHAT)?;
    let view = reading::view(context, &home)?;
    let states = (!states.is_empty()).then(|| States::of(&view, &states)).transpose().map_err(reading::failed(WHAT))?;
    let wanted = Wanted { filter: &filter, states: states.as_ref() };
    let file = file(args.out.as_deref());
    let mut bars = if file.is_some() { Bars::new(context.json) } else { Bars::beside_answers(context.json) };
    let mut out = Out::open(file).map_err(failed)?;
    let exported = backup::export(&home, &view, wanted, &mut bars, &mut |line| out.write(line));
    let exported = match exported {
        // The reader has seen enough, as `head` does.
        Err(backup::Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
        exported => exported.map_err(|error| Failure::of(WHAT, &error))?,
    };
    reading::say_notes(context.json, view.notes());
    out.finish().map_err(failed)?;
    say(context, exported, file);
    Ok(Exit::Done)
}

impl Promise for backup::Error {
    fn exit(&self) -> Exit {
        match self {
            backup::Error::Query(error) => error.exit(),
            backup::Error::Index(error) => error.exit(),
            backup::Error::NoIndex => Exit::TryAgain,
            backup::Error::Write(_) => Exit::Io,
            backup::Error::Journal(error) => error.exit(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            backup::Error::Query(error) => error.advice(),
            backup::Error::Index(error) => error.advice(),
            backup::Error::NoIndex => {
                Some("try again when no other program holds the index; `indelible repair` rebuilds it".into())
            }
            backup::Error::Write(_) => Some("what was written is not a whole export".into()),
            backup::Error::Journal(error) => error.advice(),
        }
    }
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Io, WHAT).because(&error).hint("what was written is not a whole export")
}

/// Says how many lines there are, where that is not among the lines.
fn say(context: &Context, Exported { records, retracted, cut }: Exported, file: Option<&Path>) {
    if cut > 0 {
        let records = counted(cut, "record", "records");
        output::warn(&format!(
            "the log, or what its owner wrote into its page, is too long for a line: left out of {records}"
        ));
    }
    let Some(file) = file else { return };
    if context.json {
        return output::json(&json!({ "records": records, "retracted": retracted, "cut": cut, "file": file }));
    }
    let also = match retracted {
        0 => String::new(),
        retracted => format!(", {}", counted(retracted, "retraction", "retractions")),
    };
    output::line(&format!("exported: {}{also}, to {}", counted(records, "record", "records"), path(file)));
}

/// Where what is written goes: to stdout, or to a file that appears whole.
pub(super) enum Out {
    Stdout(Vec<u8>),
    File { file: BufWriter<File>, temporary: PathBuf, path: PathBuf },
}

impl Out {
    /// Opens `path`, or stdout. The file gets its name when it is whole; it is readable by its owner alone.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Out> {
        let Some(path) = path else { return Ok(Out::Stdout(Vec::with_capacity(BUFFER_BYTES))) };
        // A device or a link would be replaced.
        if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other(format!("{} is there, and is no file", indelible::model::text::path(path))));
        }
        let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = BufWriter::with_capacity(BUFFER_BYTES, options.open(&temporary)?);
        Ok(Out::File { file, temporary, path: path.to_owned() })
    }

    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Out::Stdout(buffer) => {
                buffer.extend_from_slice(line);
                if buffer.len() >= BUFFER_BYTES { Out::flush(buffer) } else { Ok(()) }
            }
            Out::File { file, .. } => file.write_all(line),
        }
    }

    fn flush(buffer: &mut Vec<u8>) -> io::Result<()> {
        let written = os::write_to(Stream::Output, buffer);
        buffer.clear();
        written
    }

    /// Everything is written: the file is on the disk under its name.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Out::Stdout(buffer) => Out::flush(buffer),
            Out::File { file, temporary, path } => {
                file.flush()?;
                file.get_ref().sync_all()?;
                std::fs::rename(&*temporary, &*path)?;
                let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
            }
        }
    }
}

impl Drop for Out {
    /// What is not whole goes. After the file got its name there is nothing.
    fn drop(&mut self) {
        if let Out::File { temporary, .. } = self {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
