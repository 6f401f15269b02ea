//! What becomes of rules: which verdicts count, how sure a rule is by now, and in which state it is. Pure, and judged when
//! reading: nothing here is stored, and nothing depends on a timer.
//!
//! 1. `counting` says which verdicts count: one of each sort a session, or a day; an agent's validations one a project and
//!    day. A verdict that came again is never a validation.
//! 2. `standing` says how sure a rule is, and its state. Old verdicts weigh less: half after 90 days, counted from the
//!    newest record of its scope, never from now, so the same records always give the same answer.
//! 3. What other programs add to a rule's counts weighs a quarter, and never makes a rule golden or eligible.
//! 4. A rule is golden because a person promoted it. Counts only make it eligible.
//! 5. `equal` says which rules are the same one.

mod counted;
mod counting;
mod equal;
mod standing;

pub use counted::{counted, times};
pub use counting::{Given, Tally, tally};
pub use equal::{alike, equal_form};
pub use standing::{Rule, Standing, State, standing};
