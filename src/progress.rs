//! Progress callbacks of slow steps.

/// Progress callbacks.
///
/// Totals are what the stores said when the step began. Records that arrive meanwhile can make a step longer: `done` may
/// become greater than its total.
pub trait Progress {
    /// A step begins that processes `total` items; 0 if the number is unknown.
    fn begin(&mut self, step: &'static str, total: u64);
    /// A step begins that processes `total` bytes; 0 if the number is unknown.
    fn begin_bytes(&mut self, step: &'static str, total: u64) {
        self.begin(step, total);
    }
    /// The number of items or bytes processed so far.
    fn at(&mut self, done: u64);
    /// The step is done.
    fn end(&mut self) {}
    /// Whether a person sees it. A total that costs something is worth it only then.
    fn is_watched(&self) -> bool {
        false
    }
}

impl Progress for () {
    fn begin(&mut self, _: &'static str, _: u64) {}
    fn at(&mut self, _: u64) {}
}

/// How often a [`Counter`] says how far it is.
const SAID_EVERY: u64 = 256;

/// A step whose items are counted one by one.
pub(crate) struct Counter<'p> {
    progress: &'p mut dyn Progress,
    done: u64,
}

impl<'p> Counter<'p> {
    /// Begins a step of `total` items; 0 if the number is unknown.
    pub(crate) fn begin(progress: &'p mut dyn Progress, step: &'static str, total: u64) -> Counter<'p> {
        progress.begin(step, total);
        Counter { progress, done: 0 }
    }

    /// One more is done.
    pub(crate) fn one(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(SAID_EVERY) {
            self.progress.at(self.done);
        }
    }

    /// The step is done.
    pub(crate) fn end(self) {
        self.progress.end();
    }
}
