//! Proofs: what a returned sync shows to be on disk.

/// The outcome of a sync that has returned. `T` names what is on disk.
///
/// Only the journal makes one, so code that requires one cannot run too early:
///
/// - `Synced<Position>`: the journal, up to the position. [`Written::sync`](super::Written::sync) gives it for the
///   segment that the entries lie in, and [`ExclusiveJournal::sync`](super::ExclusiveJournal::sync) for all that a
///   batch has read. Applying to files requires it.
/// - `Synced<Finished>`: the files and rows of all records in some segments. [`Finished::sync`](super::Finished::sync)
///   gives it; only that lets the segments be removed.
///
/// They are two types because a synced journal says nothing about the files and rows that it was applied to.
///
/// ```
/// use indelible::journal::{Appender, Error};
/// use indelible::model::Intent;
/// use indelible::target::files::{self, Applier, Expect};
///
/// fn keep(appender: &mut Appender, applier: &Applier, json: &str, intent: &Intent) -> Result<(), Error> {
///     let synced = appender.append(&[json])?.sync()?;
///     // The record is acknowledged. What cannot be applied now, the worker applies.
///     let _ = applier.files(intent, Expect::Nothing, &synced);
///     Ok(())
/// }
/// ```
///
/// # What does not compile
///
/// Applying what is written but not synced:
///
/// ```compile_fail,E0308
/// # use indelible::{journal::Written, model::Intent, target::files::{Applier, Expect}};
/// fn apply(applier: &Applier, intent: &Intent, written: &Written) {
///     let _ = applier.files(intent, Expect::Nothing, written);
/// }
/// ```
///
/// Applying after a sync of something else:
///
/// ```compile_fail,E0308
/// # use indelible::{home::Home, model::Intent, target::files::{Applier, Expect}};
/// fn apply(home: &Home, applier: &Applier, intent: &Intent) {
///     let synced = home.dir().sync().unwrap();
///     let _ = applier.files(intent, Expect::Nothing, &synced);
/// }
/// ```
///
/// Claiming that something is synced:
///
/// ```compile_fail,E0423
/// # use indelible::{journal::Synced, model::position::Position};
/// fn claim(position: Position) -> Synced<Position> {
///     Synced(position)
/// }
/// ```
///
/// Syncing what was written a second time, as after a failed sync:
///
/// ```compile_fail,E0382
/// # use indelible::journal::Written;
/// fn sync(written: Written) {
///     let _ = written.sync();
///     let _ = written.sync();
/// }
/// ```
///
/// Appending before what was written is synced:
///
/// ```compile_fail,E0499
/// # use indelible::journal::Appender;
/// fn append(appender: &mut Appender) {
///     let first = appender.append(&["{}"]).unwrap();
///     let second = appender.append(&["{}"]).unwrap();
///     let _ = (first.sync(), second.sync());
/// }
/// ```
///
/// Removing segments whose files and rows may not be durable:
///
/// ```compile_fail,E0599
/// # use indelible::journal::Finished;
/// fn prune(finished: Finished) {
///     let _ = finished.prune();
/// }
/// ```
///
/// Removing segments because the journal itself is synced:
///
/// ```compile_fail,E0599
/// # use indelible::{journal::Synced, model::position::Position};
/// fn prune(synced: Synced<Position>) {
///     let _ = synced.prune();
/// }
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced<T>(pub(super) T);

impl<T> Synced<T> {
    /// What is on disk.
    pub fn get(&self) -> &T {
        &self.0
    }
}
