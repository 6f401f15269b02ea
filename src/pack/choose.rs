//! What goes into a pack, and in which order.
//!
//! | part | candidates | weight |
//! | --- | --- | --- |
//! | golden rules | all of them, the newest [`GOLDEN_READ`] | confidence, as its verdicts leave it, x age |
//! | rules | the project's newest [`RULES_READ`] | confidence x age |
//! | failures | of the project's newest [`FAILURES_READ`], and those that came again of late, the same ones together (`group`) | sessions x severity x age, twice if something followed |
//! | experiments | the project's newest [`EXPERIMENTS_READ`] that have not ended | age |
//!
//! At a prompt, only what shares rare words with it, and its session does not know, is a candidate (`prompt`).
//!
//! Age halves the weight every [`HALF_LIFE_WEEKS`], counted in whole weeks from the project's newest record. What search
//! finds for a task weighs up to four times as much.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::group::{self, Group, date, domain};
use super::may_tell::{As, NOTED_MAX, Scope, Withheld, may_tell, weeks};
use super::same::{self, Same};
use super::write::{Room, plain_name, span};
use super::{Ask, Depth, Entry, LeftOut, Pack, Prompt, Section, place, prompt};
use crate::model::{Kind, Origin, OtherHome, Provenance, Record, RecordId};
use crate::query::{self, Brief, Briefs, CameAgain, Error, Hit, View, came_again, judged_together, newest_again};
use crate::rules::{Rule, Standing, State, standing};
use crate::search::{self, Filter};

/// How many are read of each.
const GOLDEN_READ: usize = 60;
const RULES_READ: usize = 100;
const FAILURES_READ: usize = 120;
const SUCCESSES_READ: usize = 60;
/// How many of the newest verdicts are looked at for failures that came again, and the most failures that are read because of them.
const AGAIN_READ: u32 = 500;
const FAILURES_AGAIN_READ: usize = 60;
const EXPERIMENTS_READ: usize = 20;
/// The most rules whose verdicts are read.
const JUDGED_MAX: usize = 60;
/// Why a record is left out that weighs less than many others.
const MANY: &str = "there are so many of its kind that weigh more";
/// Why a rule is left out that is the same as another one.
const SAME: &str = "it is the same rule as another one, which stands for both";
/// The weeks in which a weight is halved: 90 days.
const HALF_LIFE_WEEKS: f64 = 90.0 / 7.0;
/// How much more the best hit of a search for the task weighs.
const TASK_BONUS: f64 = 3.0;

/// What was read.
#[derive(Default)]
struct Found {
    golden: Vec<Brief>,
    rules: Vec<Brief>,
    failures: Vec<Brief>,
    /// The verdicts that these came again.
    again: CameAgain,
    successes: Vec<Brief>,
    experiments: Vec<Brief>,
    /// The project's first record.
    first: Option<Brief>,
    /// When its newest one was made.
    newest: Option<Timestamp>,
    /// How much more what fits the task weighs.
    bonus: HashMap<RecordId, f64>,
}

impl Found {
    /// Where all that the project has comes from, and when it was recorded.
    fn of_project(&self) -> impl Iterator<Item = (&Provenance, Timestamp)> {
        let records = [&self.rules, &self.failures, &self.successes, &self.experiments].into_iter().flatten();
        let again = self.again.values().flatten().map(|it| (&it.provenance, it.at));
        records.map(|it| (&it.provenance, it.created_at)).chain(again)
    }
}

pub(super) fn pack(view: &View<'_>, ask: &Ask<'_>, prompt: Option<&Prompt<'_>>) -> Result<Pack, Error> {
    let hits = prompt.map(|prompt| prompt.hits(view, ask)).transpose()?;
    if hits.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Pack::default());
    }
    let mut briefs = Briefs::of(view)?;
    let found = read(view, &mut briefs, ask, hits)?;
    let project = ask.place.map(|place| place.project.as_str());
    let is_known = |place| place::is_known(place, found.first.as_ref(), found.of_project(), ask.host);
    let scope = Scope { project, is_known_place: ask.place.is_none_or(is_known), host: ask.host, newest: found.newest };
    let golden = found.golden.iter().map(|it| it.created_at);
    let newest = golden.chain(found.newest).max().unwrap_or(Timestamp::UNIX_EPOCH);
    let is_of_new_place = !scope.is_known_place;
    let mut choice = Choice { ask, prompt, scope, newest, found: &found, entries: Vec::new(), left_out: Vec::new() };
    choice.add_rules(view)?;
    choice.add_failures();
    choice.add_experiments(&briefs)?;
    let notes = view.notes().iter().chain(briefs.notes()).cloned().collect();
    let (is_of_project, is_of_prompt) = (project.is_some(), prompt.is_some());
    Ok(Pack { notes, is_of_new_place, is_of_project, is_of_prompt, ..choice.within_limits() })
}

/// Reads the candidates; `hits` are what a prompt is about.
fn read(view: &View<'_>, briefs: &mut Briefs<'_>, ask: &Ask<'_>, hits: Option<Vec<Hit>>) -> Result<Found, Error> {
    let mut found = Found { golden: briefs.golden(GOLDEN_READ)?, ..Found::default() };
    let Some(place) = ask.place.filter(|_| ask.depth != Depth::Minimal) else { return Ok(found) };
    let project = place.project.as_str();
    let all = Filter { projects: vec![project.to_owned()], ..Filter::default() };
    let is_here = |brief: &Brief| brief.provenance.project.as_deref() == Some(project);
    let mut newest = |kind, limit| -> Result<Vec<Brief>, Error> {
        let has_domain = kind != Kind::Experiment;
        let domains = if has_domain { ask.domains.to_vec() } else { Vec::new() };
        let mut read = briefs.newest(&Filter { kinds: vec![kind], domains, ..all.clone() }, limit)?;
        read.retain(is_here);
        Ok(read)
    };
    found.rules = newest(Kind::Heuristic, RULES_READ)?;
    found.failures = newest(Kind::Failure, FAILURES_READ)?;
    found.successes = newest(Kind::Success, SUCCESSES_READ)?;
    if ask.domains.is_empty() {
        found.experiments = newest(Kind::Experiment, EXPERIMENTS_READ)?;
    }
    found.first = briefs.oldest(&all)?.filter(is_here);
    found.newest = briefs.newest(&all, 1)?.first().filter(|it| is_here(it)).map(|it| it.created_at);
    let is_at_prompt = hits.is_some();
    let hits = match hits {
        Some(hits) => hits,
        None => prompt::hits_of_task(view, ask, all, found.newest)?,
    };
    add_hits(hits, project, &mut found);
    if !is_at_prompt {
        add_of_late(view, briefs, ask, project, &mut found)?;
    }
    let ids: Vec<RecordId> = found.failures.iter().map(|it| it.id).collect();
    found.again = came_again(view, &ids)?;
    Ok(found)
}

/// Adds the failures that came again of late, and are older than what was read.
fn add_of_late(
    view: &View<'_>,
    briefs: &mut Briefs<'_>,
    ask: &Ask<'_>,
    project: &str,
    found: &mut Found,
) -> Result<(), Error> {
    let of_late = newest_again(view, project, AGAIN_READ)?;
    let newest = of_late.values().flatten().map(|it| it.at).max();
    found.newest = found.newest.max(newest.filter(|_| found.newest.is_some()));
    let known: HashSet<RecordId> = found.failures.iter().map(|it| it.id).collect();
    let mut older: Vec<(&RecordId, Option<Timestamp>)> =
        of_late.iter().map(|(id, again)| (id, again.last().map(|it| it.at))).collect();
    older.retain(|(id, _)| !known.contains(id));
    older.sort_by_key(|(id, at)| std::cmp::Reverse((*at, **id)));
    for (id, _) in older.into_iter().take(FAILURES_AGAIN_READ) {
        let of_domains = |it: &Brief| ask.domains.is_empty() || ask.domains.iter().any(|one| one == domain(&it.record));
        let is_here = |it: &Brief| it.provenance.project.as_deref() == Some(project);
        let read = briefs.find(*id)?.filter(|it| it.kind() == Kind::Failure);
        found.failures.extend(read.filter(|it| is_here(it) && of_domains(it)));
    }
    Ok(())
}

/// Adds what search found.
fn add_hits(hits: Vec<Hit>, project: &str, found: &mut Found) {
    let best = hits.first().map_or(1.0, |hit| hit.score.max(f64::MIN_POSITIVE));
    for hit in hits {
        let brief = Brief::from(hit.recorded);
        found.bonus.insert(brief.id, 1.0 + TASK_BONUS * (hit.score / best).clamp(0.0, 1.0));
        let of_kind = match brief.kind() {
            Kind::Heuristic => &mut found.rules,
            Kind::Failure => &mut found.failures,
            Kind::Experiment => &mut found.experiments,
            _ => continue,
        };
        if brief.provenance.project.as_deref() == Some(project) && of_kind.iter().all(|it| it.id != brief.id) {
            of_kind.push(brief);
        }
    }
}

/// Entries, as they are found.
struct Choice<'c> {
    ask: &'c Ask<'c>,
    prompt: Option<&'c Prompt<'c>>,
    scope: Scope<'c>,
    /// What ages are counted from.
    newest: Timestamp,
    found: &'c Found,
    entries: Vec<(Entry, Timestamp)>,
    left_out: Vec<LeftOut>,
}

impl Choice<'_> {
    /// The most entries of a part.
    fn most(&self, section: Section) -> usize {
        if self.prompt.is_some() {
            return prompt::MOST;
        }
        let most = match section {
            Section::Golden => 20,
            Section::Rules => 12,
            Section::Noted => return NOTED_MAX,
            Section::Failures => 10,
            Section::Experiments => 4,
        };
        if self.ask.depth == Depth::Deep { 2 * most } else { most }
    }

    /// The factor for the age of a record, and for how well it fits the task.
    fn factor(&self, id: RecordId, at: Timestamp) -> (f64, String) {
        let weeks = weeks(at, self.newest);
        let age = 0.5_f64.powf(weeks as f64 / HALF_LIFE_WEEKS);
        let bonus = self.found.bonus.get(&id).copied();
        let fits = bonus.map(|bonus| format!(", fits the task ({bonus:.2})")).unwrap_or_default();
        let said = format!("age {age:.2} ({weeks} weeks before the newest){fits}");
        (age * bonus.unwrap_or(1.0), said)
    }

    fn add(&mut self, entry: Entry, at: Timestamp) {
        self.entries.push((entry, at));
    }

    fn leave_out(&mut self, brief: &Brief, why: &'static str) {
        self.left_out.push(LeftOut { id: brief.id, title: brief.record.headline().to_owned(), why });
    }

    fn add_rules(&mut self, view: &View<'_>) -> Result<(), Error> {
        let found = self.found;
        let mut seen = HashSet::new();
        let candidates = found.golden.iter().chain(&found.rules).filter(|it| self.is_candidate(&[*it]));
        let read: Vec<&Brief> = candidates.filter(|it| seen.insert(it.id)).collect();
        // Those that are golden, and whether in all projects.
        let mut promoted = HashMap::new();
        // What its verdicts come to is looked up only if it could be told.
        for brief in read.iter().filter(|it| it.state == search::State::Golden) {
            let tally = query::tallied(view, brief.id)?;
            if tally.promoted == Some(true) {
                promoted.insert(brief.id, tally.is_everywhere);
            }
        }
        let is_promoted = |brief: &Brief| promoted.contains_key(&brief.id);
        let may = |brief: &Brief| match self.may_be_told(brief, promoted.get(&brief.id).copied()) {
            Err(why) => {
                self.leave_out(brief, why.says());
                false
            }
            Ok(()) => true,
        };
        let mut rules = same::together(read.into_iter(), may, is_promoted);
        let stated = |brief: &Brief| confidence(brief) * self.factor(brief.id, brief.created_at).0;
        let rank = |it: &Same<'_>| (is_promoted(it.told), stated(it.told));
        rules.sort_by(|one, other| rank(other).partial_cmp(&rank(one)).unwrap_or(std::cmp::Ordering::Equal));
        for it in rules.drain(JUDGED_MAX.min(rules.len())..).collect::<Vec<_>>() {
            self.leave_out(it.told, MANY);
        }
        for it in &rules {
            let brief = it.told;
            for other in &it.others {
                self.leave_out(other, SAME);
            }
            let standing = standing_of(view, it, self.scope.project, self.newest)?;
            match may_tell(brief, standing.state, standing.tally.is_everywhere, &self.scope) {
                Err(why) => self.leave_out(brief, why.says()),
                Ok(told) => self.add_rule(brief, told, standing.confidence),
            }
        }
        Ok(())
    }

    /// Whether the rule `brief` may be told, whatever its verdicts say beyond that it is golden: `promoted` says whether in all
    /// projects.
    fn may_be_told(&self, brief: &Brief, promoted: Option<bool>) -> Result<(), Withheld> {
        let is_elsewhere = brief.provenance.project.as_deref() != self.scope.project;
        let state = if promoted.is_some() { State::Golden } else { State::Active };
        match may_tell(brief, state, promoted == Some(true), &self.scope)? {
            As::Golden if self.ask.is_here_only && is_elsewhere => Err(Withheld::OtherProject),
            _ => Ok(()),
        }
    }

    fn add_rule(&mut self, brief: &Brief, told: As, confidence: f64) {
        let section = match told {
            As::Golden => Section::Golden,
            As::Rule => Section::Rules,
            As::Noted | As::Fact => Section::Noted,
        };
        let (factor, said) = self.factor(brief.id, brief.created_at);
        let about =
            [plain_name(domain(&brief.record)).to_owned(), date(brief.created_at), elsewhere(brief), brief.id.short()];
        let about = about.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
        let line = format!("- {} ({about})", span(brief.record.headline()));
        let why = format!("{}: confidence {confidence:.2}, {said}", origin(brief));
        let (title, weight) = (brief.record.headline().to_owned(), confidence * factor);
        self.add(Entry { section, id: brief.id, title, line, weight, why }, brief.created_at);
    }

    fn add_failures(&mut self) {
        let found = self.found;
        let mut groups: BTreeMap<group::Same, Vec<&Brief>> = BTreeMap::new();
        for brief in &found.failures {
            match may_tell(brief, State::Active, false, &self.scope) {
                Err(why) => self.leave_out(brief, why.says()),
                Ok(_) => groups.entry(group::Same::of(brief)).or_default().push(brief),
            }
        }
        let mut weighed = Vec::new();
        for mut times in groups.into_values() {
            times.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
            let group = Group::of(times, &found.again, &found.successes);
            if !self.is_candidate(&group.times) {
                continue;
            }
            let is_asked_for = self.ask.depth == Depth::Deep || self.fits_task(&group) && self.prompt.is_none();
            if !group.is_telling() && !is_asked_for {
                self.leave_out(group.last(), "it came in one session, and nothing is known to have followed");
                continue;
            }
            let (factor, said) = self.factor(group.last().id, group.last_at);
            weighed.push((group.weight() * factor, group, said));
        }
        weighed.sort_by(|(weight, group, _), (other, another, _)| {
            let (id, other_id) = (group.last().id, another.last().id);
            before((*weight, group.last_at, id), (*other, another.last_at, other_id))
        });
        // To word a line costs as much as all the rest: of those that weigh less, none is made.
        for (_, group, _) in weighed.drain(self.most(Section::Failures).min(weighed.len())..) {
            self.leave_out(group.last(), MANY);
        }
        for (weight, group, said) in weighed {
            let why = format!(
                "failed in {} sessions: severity {}, {}{said}",
                group.sessions,
                group.severity(),
                if group.followed.is_empty() { "" } else { "something followed, " }
            );
            let (id, line) = (group.last().id, group.line(self.scope.host));
            let title = group.last().record.headline().to_owned();
            self.add(Entry { section: Section::Failures, id, title, line, weight, why }, group.last_at);
        }
    }

    fn fits_task(&self, group: &Group<'_>) -> bool {
        group.times.iter().any(|it| self.found.bonus.contains_key(&it.id))
    }

    /// Whether an entry about `records` can be told: at a prompt, if it is about one of them, and they are new to its session.
    fn is_candidate(&self, records: &[&Brief]) -> bool {
        let is_about = || records.iter().any(|it| self.found.bonus.contains_key(&it.id));
        self.prompt.is_none_or(|prompt| is_about() && prompt.is_new(records))
    }

    fn add_experiments(&mut self, briefs: &Briefs<'_>) -> Result<(), Error> {
        let found = self.found;
        for brief in found.experiments.iter().filter(|it| self.is_candidate(&[it])).collect::<Vec<_>>() {
            if let Err(why) = may_tell(brief, State::Active, false, &self.scope) {
                self.leave_out(brief, why.says());
            } else if matches!(&brief.record, Record::Experiment(it) if it.result.is_some())
                || !briefs.is_open(brief.id)?
            {
                self.leave_out(brief, "it has ended");
            } else {
                let (weight, said) = self.factor(brief.id, brief.created_at);
                let title = brief.record.headline().to_owned();
                let from = Some(elsewhere(brief)).filter(|from| !from.is_empty()).map(|from| format!("{from}, "));
                let about =
                    format!("begun {}, {}{}", date(brief.created_at), from.unwrap_or_default(), brief.id.short());
                let line = format!("- {} ({about})", span(brief.record.headline()));
                let why = format!("an experiment that has not ended: {said}");
                self.add(
                    Entry { section: Section::Experiments, id: brief.id, title, line, weight, why },
                    brief.created_at,
                );
            }
        }
        Ok(())
    }

    /// The entries that the limits leave, each part in its order.
    fn within_limits(mut self) -> Pack {
        let order = |(one, at): &(Entry, Timestamp), (other, other_at): &(Entry, Timestamp)| {
            let by_weight = before((one.weight, *at, one.id), (other.weight, *other_at, other.id));
            one.section.cmp(&other.section).then(by_weight)
        };
        self.entries.sort_by(order);
        let mut counts: HashMap<Section, usize> = HashMap::new();
        let mut candidates = Vec::new();
        for (entry, _) in std::mem::take(&mut self.entries) {
            let count = counts.entry(entry.section).or_default();
            *count += 1;
            match *count <= self.most(entry.section) {
                true => candidates.push((entry, false)),
                false => self.left_out.push(crowded_out(&entry, MANY)),
            }
        }
        let mut room = Room::of(self.ask.limits, self.scope.project.is_some());
        let shares = |section| if self.ask.depth == Depth::Minimal { 1.0 } else { share(section) };
        for whole in [false, true] {
            for (entry, is_in) in candidates.iter_mut().filter(|it| !it.1) {
                *is_in = room.take(entry, if whole { 1.0 } else { shares(entry.section) });
            }
        }
        let (mut kept, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|it| it.1);
        self.left_out.extend(others.iter().map(|(entry, _)| crowded_out(entry, "it has no room in the budget")));
        if self.prompt.is_some() {
            kept.truncate(prompt::MOST);
        }
        Pack { entries: kept.into_iter().map(|it| it.0).collect(), left_out: self.left_out, ..Pack::default() }
    }
}

/// The order within a part, by weight, time and id: what weighs more comes first, then what is newer.
fn before(one: (f64, Timestamp, RecordId), other: (f64, Timestamp, RecordId)) -> std::cmp::Ordering {
    other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)).then(one.2.cmp(&other.2))
}

/// How sure `brief` was when it was recorded.
fn confidence(brief: &Brief) -> f64 {
    match &brief.record {
        Record::Heuristic(rule) => rule.confidence.get(),
        _ => 0.0,
    }
}

/// What the verdicts on a rule come to, in a session of `project`.
fn standing_of(view: &View<'_>, same: &Same<'_>, project: Option<&str>, newest: Timestamp) -> Result<Standing, Error> {
    let brief = same.told;
    let projects = [project, brief.provenance.project.as_deref()];
    let judged =
        judged_together(view, &same.ids(projects), (domain(&brief.record), brief.record.headline()), projects)?;
    Ok(standing(&Rule {
        stated: confidence(brief),
        created_at: brief.created_at,
        given: &judged.given,
        validated_elsewhere: judged.validated_elsewhere,
        violated_elsewhere: judged.violated_elsewhere,
        newest,
    }))
}

/// The share of a budget that is used when a part is full, with the parts before it. What is left then is for any part.
const fn share(section: Section) -> f64 {
    match section {
        Section::Golden => 0.5,
        Section::Rules => 0.7,
        Section::Noted => 0.8,
        Section::Failures => 0.95,
        Section::Experiments => 1.0,
    }
}

fn crowded_out(entry: &Entry, why: &'static str) -> LeftOut {
    LeftOut { id: entry.id, title: entry.title.clone(), why }
}

/// The home that recorded `brief`, if that is another one; else empty.
fn elsewhere(brief: &Brief) -> String {
    brief.from.map(OtherHome::says).unwrap_or_default()
}

fn origin(brief: &Brief) -> &'static str {
    match brief.provenance.origin {
        Some(Origin::Person) => "by a person",
        Some(Origin::Agent) => "by an agent",
        Some(Origin::Hook) => "by an agent, in a session",
        Some(Origin::Import) => "imported",
        None => "of unknown origin",
    }
}
