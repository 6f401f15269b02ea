//! The rows' watermark, and the state stored with it.

use serde::{Deserialize, Serialize};

use crate::model::JournalId;
use crate::model::position::Position;
use crate::target::index::{self, Index};
use crate::target::{Error, Log, VoidReason, Watermark};

/// The rows' watermark, as the index stores it, and the state stored with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsMark {
    /// The journal of the position.
    pub journal: JournalId,
    /// All rows of the journal up to here are in the index.
    pub position: Position,
    /// The pages' watermark where they lag behind the rows: from here on pages in the history may be stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Position>,
    /// The files of the journal up to the position were seen in place in this boot.
    pub boot: String,
    /// The identity of `memory/` at that time; `None` if the file system has no lasting ones.
    pub memory: Option<String>,
}

impl RowsMark {
    /// Interprets `mark`, as stored in an index, for the journal of `log`.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn watermark(mark: Option<&RowsMark>, log: &Log<'_>) -> Result<Watermark, Error> {
        let lost = Watermark::Lost(VoidReason::RowsLost);
        let Some(mark) = mark else {
            return Ok(if log.is_whole()? { Watermark::Beginning } else { lost });
        };
        if mark.journal != log.id {
            return Ok(lost);
        }
        if let Some(pages) = mark.pages
            && log.find(pages)?.is_none()
        {
            return Ok(lost);
        }
        Ok(log.find(mark.position)?.map_or(lost, Watermark::At))
    }
}

/// The watermark in `index`; `None` if it has none.
///
/// # Errors
/// [`index::Error`].
pub fn mark_in(index: &Index) -> Result<Option<RowsMark>, index::Error> {
    Ok(index.watermark()?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Formats a watermark for the index.
pub fn text_of(mark: &RowsMark) -> String {
    serde_json::to_string(mark).expect("it is made of strings")
}
