//! How much an agent may record: 20 records and verdicts in the life of a server, 200 a day in a home.
//!
//! `mcp.tally` in the private folder has a line for each record that was asked for: the day, in UTC. A line is appended
//! before the lines are counted, so that servers at once count each other's lines. It is not synced.
//!
//! | killed | on disk |
//! | --- | --- |
//! | after the line, before the record | a line too many: the day has one record less |
//! | while another day's lines are dropped | the old file or the new one, and perhaps a temporary one, which recovery removes |
//! | by a power cut | perhaps fewer lines |

use std::io::ErrorKind::FileTooLarge;

use indelible::fs::{Dir, Durability, Error};
use indelible::model::layout::{MCP_TALLY, TEMPORARY};
use jiff::Timestamp;

use super::tools::Refusal;

/// The most records of one server.
const SESSION_MAX: u32 = 20;
/// The most records of a day.
const DAY_MAX: usize = 200;
/// The largest file that is read.
const BYTES_MAX: u64 = 64 << 10;

/// Counts one record more than the `recorded` of this server, and returns how many that are.
///
/// # Errors
/// A limit is reached.
pub fn count(private: &Dir, recorded: u32) -> Result<u32, Refusal> {
    if recorded >= SESSION_MAX {
        return Err(Refusal(format!(
            "{SESSION_MAX} records and verdicts were made in this session; that is the limit"
        )));
    }
    let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
    // Without the file, the limit of the session is left.
    match count_today(private, &today) {
        Ok(count) if count > DAY_MAX => Err(Refusal(format!(
            "{DAY_MAX} records and verdicts were made by these tools today (UTC); that is the limit"
        ))),
        _ => Ok(recorded + 1),
    }
}

/// Adds a line of `today`, unless the limit is reached, and counts those that are there.
fn count_today(private: &Dir, today: &str) -> Result<usize, Error> {
    let lines_of_today =
        |text: &[u8]| text.split(|byte| *byte == b'\n').filter(|line| *line == today.as_bytes()).count();
    let before = private.content(MCP_TALLY, BYTES_MAX);
    // A file that is too large is not ours.
    let before =
        before.or_else(|error| if error.io_kind() == Some(FileTooLarge) { Ok(Some(vec![0])) } else { Err(error) })?;
    let before = before.unwrap_or_default();
    let count = lines_of_today(&before);
    if count >= DAY_MAX {
        return Ok(count + 1);
    }
    if before.split(|byte| *byte == b'\n').any(|line| !line.is_empty() && line != today.as_bytes()) {
        private.replace(MCP_TALLY, b"", &private.folder(TEMPORARY)?, Durability::None)?;
    }
    let file = match private.append(MCP_TALLY) {
        Err(error) if error.is_not_found() => match private.create_empty(MCP_TALLY) {
            Err(error) if error.is_already_there() => private.append(MCP_TALLY)?,
            created => created?,
        },
        opened => opened?,
    };
    file.write_once(format!("{today}\n").as_bytes())?;
    Ok(lines_of_today(&private.content(MCP_TALLY, BYTES_MAX)?.unwrap_or_default()))
}
