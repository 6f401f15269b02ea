//! Records whose rows a person has given up.

use super::{Action, Audit, Error, Finding, Row};
use crate::home::Home;
use crate::quarantine::Quarantine;

/// Leaves out records that a table refuses, if a person has given them up.
pub(super) fn leave_given_up(home: &Home, audit: &mut Audit) -> Result<(), Error> {
    let lacks_row = |it: &Finding| it.action == Action::AddRow && it.evidence.row == Row::Missing;
    if audit.findings.iter().any(lacks_row)
        && let Ok(quarantine) = Quarantine::new(home)
    {
        let given_up = quarantine.rows_given_up()?;
        audit.findings.retain(|it| !(lacks_row(it) && it.id.is_some_and(|id| given_up.contains(&id))));
    }
    Ok(())
}
