//! Rules that came again on a day that is over: the day's verdict is amended, and says how often.
//!
//! The tally of the day (`crate::repeats`) says who repairs what a crash leaves.

use super::{Error, Pipeline};
use crate::fs;
use crate::journal::Appender;
use crate::model::path::RecordPath;
use crate::model::{Op, Record, RecordId, Ruling, Verdict, limits};
use crate::repeats;
use crate::rules::counted;

use super::edits::made_at;

impl Pipeline<'_> {
    /// Counts the days that are over: appends the amendments to the journal, for the next batches. Returns how many. While the
    /// index is out of reach or lags, or verdicts of such a day are not committed, it waits for the next call.
    ///
    /// # Errors
    /// [`Error::History`], [`Error::Journal`], and [`Error::Fs`] for an error of the disk.
    pub fn count_repeats(&mut self) -> Result<usize, Error> {
        let private = self.home.private();
        let days = repeats::over(private, fs::now())?;
        if days.is_empty() || self.is_lagging() || !self.reading.is_empty() {
            return Ok(0);
        }
        match self.reach_index() {
            Err(error) if error.is_index_out_of_reach() || error.is_index_unopenable() => return Ok(0),
            reached => reached?,
        }
        let mut count = 0;
        for day in days {
            let mut ops = Vec::new();
            for (verdict, times) in &day.times {
                ops.extend(self.counted(*verdict, *times)?);
            }
            if !ops.is_empty() {
                let jsons: Vec<Vec<u8>> = ops.iter().map(Op::to_json).collect();
                let _ = Appender::open_for_operations(self.home.journal())?.append(&jsons)?.sync()?;
                count += ops.len();
            }
            repeats::remove(private, &day)?;
        }
        Ok(count)
    }

    /// The amendment that has the verdict `id` say that it stands for so many `times`; `None` if it says so, or is gone.
    fn counted(&self, id: RecordId, times: u64) -> Result<Option<Op>, Error> {
        let Some(known) = self.rows.find(id)? else { return Ok(None) };
        let path = RecordPath(&known.path).page().into_owned();
        let Some(tip) = self.commits.read(&path)? else { return Ok(None) };
        let Some(current) = self.amendable(&path, &tip)?.filter(|it| it.id == id) else { return Ok(None) };
        let Record::Verdict(verdict) = &current.request.record else { return Ok(None) };
        let because = counted(&verdict.because, times).filter(|it| it.len() <= limits::BODY_BYTES_MAX);
        let Some(because) = because.filter(|_| verdict.verdict == Ruling::Again) else { return Ok(None) };
        let record = Record::Verdict(Verdict { because, ..verdict.clone() });
        Ok(current.amended(record, Some("the day is over".to_owned()), made_at))
    }
}
