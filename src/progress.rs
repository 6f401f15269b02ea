//! Progress callbacks of slow steps.

/// Progress callbacks.
pub trait Progress {
    /// A step begins that processes `total` items; 0 if the number is unknown.
    fn begin(&mut self, step: &'static str, total: u64);
    /// The number of items processed so far.
    fn at(&mut self, done: u64);
    /// The step is done.
    fn end(&mut self) {}
}

impl Progress for () {
    fn begin(&mut self, _: &'static str, _: u64) {}
    fn at(&mut self, _: u64) {}
}
