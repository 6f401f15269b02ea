//! What is measured, one module each.

use crate::lab::Lab;
use crate::report::Report;

mod agents;
mod anatomy;
mod batch;
mod drain;
mod fleet;
mod goals;
mod growth;
mod index;
mod latency;
mod provenance;
mod reading;
mod record;
mod recovery;
mod repository;
mod search;
mod worker;

/// Something that is measured.
pub struct Topic {
    pub name: &'static str,
    pub title: &'static str,
    pub run: fn(&Lab, &mut Report),
}

/// All topics, in the order of the document. The last is read off the others.
pub const ALL: [Topic; 14] = [
    Topic { name: "record", title: "One record", run: record::run },
    Topic { name: "provenance", title: "What provenance costs", run: provenance::run },
    Topic { name: "anatomy", title: "Where a recorder's time goes", run: anatomy::run },
    Topic { name: "batch", title: "Many records from one process", run: batch::run },
    Topic { name: "drain", title: "Committing what is pending", run: drain::run },
    Topic { name: "growth", title: "Growth with the home", run: growth::run },
    Topic { name: "recovery", title: "Recovery", run: recovery::run },
    Topic { name: "latency", title: "A steady load", run: latency::run },
    Topic { name: "repository", title: "The repository after many small batches", run: repository::run },
    Topic { name: "search", title: "Search", run: search::run },
    Topic { name: "reading", title: "Reading", run: reading::run },
    Topic { name: "agents", title: "What an agent waits for", run: agents::run },
    Topic { name: "fleet", title: "Many hosts", run: fleet::run },
    Topic { name: "goals", title: "Goals", run: goals::run },
];
