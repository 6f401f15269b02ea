//! Counts, which show how much was tested.

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) cuts: u64,
    pub(super) cuts_of_recoveries: u64,
    pub(super) calls: u64,
    pub(super) failed_syncs: u64,
    pub(super) acknowledged: u64,
    pub(super) edited: u64,
    pub(super) segments: u64,
    pub(super) set_aside: u64,
    pub(super) damaged: u64,
    /// Acknowledged operations on records.
    pub(super) changed: u64,
    /// Operations in the history that are joins of two.
    pub(super) joined: u64,
    pub(super) restored: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Tally) {
        self.cuts += other.cuts;
        self.cuts_of_recoveries += other.cuts_of_recoveries;
        self.calls += other.calls;
        self.failed_syncs += other.failed_syncs;
        self.acknowledged += other.acknowledged;
        self.edited += other.edited;
        self.segments += other.segments;
        self.set_aside += other.set_aside;
        self.damaged += other.damaged;
        self.changed += other.changed;
        self.joined += other.joined;
        self.restored += other.restored;
    }
}
