//! Progress callbacks of steps that can take long.

/// Progress callbacks.
pub trait Progress {
    /// A step begins that goes through `total` things; 0 if the number is unknown.
    fn begin(&mut self, step: &'static str, total: u64);
    /// So many things have been gone through.
    fn at(&mut self, done: u64);
    /// The step is done.
    fn end(&mut self) {}
}

impl Progress for () {
    fn begin(&mut self, _: &'static str, _: u64) {}
    fn at(&mut self, _: u64) {}
}
