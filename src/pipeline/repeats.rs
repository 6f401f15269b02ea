//! Rules and failures that came again on a day that is over: the day's verdict is amended, and says how often. A failure that came
//! again in the same session alone has no verdict of that day yet: it is made.
//!
//! The tally of the day (`crate::repeats`) says who repairs what a crash leaves.

use super::{Error, Pipeline};
use crate::fs;
use crate::journal::Appender;
use crate::model::path::RecordPath;
use crate::model::{Kind, Op, Record, RecordId, Ruling, Verdict, limits};
use crate::record;
use crate::repeats::{self, Times};
use crate::rules::counted;

use super::edits::made_at;

impl Pipeline<'_> {
    /// Counts the days that are over: appends the amendments and verdicts to the journal, for the next batches. Returns how many. While the
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
                ops.extend(self.counted(*verdict, times)?);
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

    /// The amendment that has the verdict `id` say that it stands for so many `times`, or that verdict; `None` if it says so, or is
    /// gone.
    fn counted(&self, id: RecordId, times: &Times) -> Result<Option<Op>, Error> {
        let Some(known) = self.rows.find(id)? else { return self.missing(id, times) };
        let path = RecordPath(&known.path).page().into_owned();
        let Some(tip) = self.commits.read(&path)? else { return Ok(None) };
        let Some(current) = self.amendable(&path, &tip)?.filter(|it| it.id == id) else { return Ok(None) };
        let Record::Verdict(verdict) = &current.request.record else { return Ok(None) };
        let last = times.last.as_ref().map(|said| said.because.as_str());
        let because = [last, None].into_iter().filter_map(|last| counted(&verdict.because, times.count, last));
        let because = because.into_iter().find(|it| it.len() <= limits::BODY_BYTES_MAX);
        let Some(because) = because.filter(|_| verdict.verdict == Ruling::Again) else { return Ok(None) };
        let record = Record::Verdict(Verdict { because, ..verdict.clone() });
        Ok(current.amended(record, Some("the day is over".to_owned()), made_at))
    }

    /// The verdict `id` that a failure came again so many `times`, which nothing has said yet; `None` if the failure is gone, or it is
    /// no failure.
    fn missing(&self, id: RecordId, times: &Times) -> Result<Option<Op>, Error> {
        let Some(said) = times.last.clone() else { return Ok(None) };
        let failure = self.rows.find(said.of)?.filter(|it| it.kind == Kind::Failure && it.row_id.is_some());
        if failure.is_none() {
            return Ok(None);
        }
        let because = counted(&said.because, times.count, None).unwrap_or_else(|| said.because.clone());
        match record::verdict_said(self.home, id, said, because) {
            Ok(intent) => Ok(intent.map(|intent| Op::Record(Box::new(intent)))),
            Err(record::Error::Fs(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}
