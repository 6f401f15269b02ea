//! The schedules that are run.

use super::{Plan, World};

/// What goes wrong in schedules of `steps` steps, with the seed of each.
fn run(seeds: std::ops::Range<u64>, steps: u32, plan: Plan) -> Vec<(u64, String)> {
    let mut wrong = Vec::new();
    for seed in seeds {
        let mut world = World::new(seed, plan);
        (0..steps).for_each(|_| world.step());
        world.settle();
        wrong.extend(world.wrong().into_iter().map(|what| (seed, what)));
    }
    wrong
}

const NONE: Plan = Plan {
    copies: false,
    person: false,
    folds_without_lease: false,
    pushes_by_force: false,
    believes_its_ack: false,
    forgets_its_trunk: false,
    merges_lanes_raw: false,
    merges_from_nothing: false,
    forgets_what_was_hidden: false,
};

/// How many schedules the tests run; set this variable for more.
const SCHEDULES: &str = "INDELIBLE_SCHEDULES";

fn schedules(few: u64) -> std::ops::Range<u64> {
    0..std::env::var(SCHEDULES).ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[test]
fn nothing_is_lost_or_comes_back_in_any_schedule() {
    assert_eq!(run(schedules(8), 60, NONE), []);
}

#[test]
fn nothing_is_lost_with_copied_homes() {
    assert_eq!(run(schedules(4), 60, Plan { copies: true, ..NONE }), []);
}

#[test]
fn a_person_on_the_remote_loses_only_what_they_destroy() {
    assert_eq!(run(schedules(4), 60, Plan { person: true, ..NONE }), []);
}

#[test]
fn each_planted_mistake_is_noticed() {
    let (copies, person) = (Plan { copies: true, ..NONE }, Plan { person: true, ..NONE });
    // Each with the seed of a schedule that notices it, as schedules are now.
    for (seed, what, without, with) in [
        (0, "a lane is deleted without a lease", NONE, Plan { folds_without_lease: true, ..NONE }),
        (6, "a lane is pushed by force", copies, Plan { pushes_by_force: true, ..copies }),
        (4, "an acknowledgement is believed for ever", person, Plan { believes_its_ack: true, ..person }),
        (270, "a trunk that was set back is taken as it is", person, Plan { forgets_its_trunk: true, ..person }),
        (0, "a lane with an erased record is merged as it is", NONE, Plan { merges_lanes_raw: true, ..NONE }),
        (7, "lanes are merged from nothing", person, Plan { merges_from_nothing: true, ..person }),
        (0, "what was amended while it was hidden is lost", NONE, Plan { forgets_what_was_hidden: true, ..NONE }),
    ] {
        let is_noticed =
            |seed: u64| !run(seed..seed + 1, 60, with).is_empty() && run(seed..seed + 1, 60, without).is_empty();
        let noticed = std::iter::once(seed).chain(0..400).any(is_noticed);
        assert!(noticed, "{what}: not noticed");
    }
}
