//! Pushing the own lane: with a lease, by the first prefix that the remote takes, and without the records that it refuses.
//!
//! 1. What became of a push is taken from git's flags (`answer.rs`), never from a sentence.
//! 2. Every push names the value that the lane must have. If it has another, the lane is compared (`compare.rs`), and the push repeated
//!    or another lane begun: the value decides, not this home's memory of it.
//! 3. A remote that refuses a commit refuses some record in it: the batch is halved until that record is alone. It is held, and all
//!    others arrive. If none has arrived before it, the lane is pushed without any: a remote that refuses that, too, refuses the lane,
//!    and no record is held for it. What was held before for such a reason is not asked about again.

use git2::Oid;
use jiff::Timestamp;

use crate::fs::crash::{self, Point};
use crate::random;

use super::answer::{Answer, answer_of};
use super::compare::Compared;
use super::project::{Candidate, is_closed, records_of};
use super::session::REMOTE;
use super::store::{ACKED, At, Held, LANE};
use super::{Class, Error, Session};

/// The most pushes that one sync repeats for a lane that others move.
const RACES_MAX: u32 = 5;
/// The most pushes in one sync that a remote refuses: 20,000 records are halved 15 times.
const REFUSALS_MAX: u32 = 120;

const SHA_256: &str = "the remote names its objects by SHA-256; one with SHA-1 is needed";

/// What a push is to do beside bringing what is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Whether the lane is closed afterwards: it may be folded at once.
    pub close: bool,
    /// Whether a remote that lost everything of ours is filled again.
    pub refill: bool,
    /// Whether what the remote refused is tried again.
    pub retry_held: bool,
    /// Whether the remote's lane is compared though nothing is new.
    pub compare: bool,
    /// Whether nothing is pushed, and no trunk merged: what others recorded is imported alone.
    pub fetch_only: bool,
    /// Whether lanes are merged and what others recorded is imported, once this home's lane is pushed.
    pub combine: bool,
}

/// What a push has done, also if it ended with an error.
#[derive(Clone, Debug, Default)]
pub struct Pushed {
    /// How many records' pages were acknowledged.
    pub records: u64,
    /// How often git was asked to push.
    pub attempts: u32,
}

/// What became of the lane.
enum Sent {
    Taken,
    Refused(String),
    /// The remote's lane was taken over: what is to be pushed has to be decided again.
    TakenOver,
}

impl Session<'_> {
    /// Pushes what the lane lacks. What was done so far is in `done`, whatever the result.
    ///
    /// # Errors
    /// [`Error`], by its class; every record that was not acknowledged is kept.
    pub fn push(&mut self, asked: Asked, done: &mut Pushed) -> Result<(), Error> {
        let result = self.push_all(asked, done);
        let noted = self.note(result.as_ref().err());
        result.and(noted)
    }

    fn push_all(&mut self, asked: Asked, done: &mut Pushed) -> Result<(), Error> {
        self.check_private()?;
        self.check_remote_group()?;
        self.follow_prefixes()?;
        if asked.retry_held && !self.store.state().held.is_empty() {
            self.held_before = self.store.state().held.clone();
            self.store.change(|state| {
                state.held.clear();
                state.projected = None;
            })?;
        }
        let state = self.store.state();
        if state.pushed.is_some() && self.store.is_fresh()? {
            self.take_over()?;
        }
        let mut sent = self.send_tip(asked, done)?;
        sent |= self.send_new(asked, done)?;
        if asked.close {
            sent |= self.close(asked, done)?;
        }
        if asked.compare && !sent {
            self.compare(asked, done)?;
        }
        self.tidy();
        Ok(())
    }

    /// Notes why a sync failed, or that it did not.
    pub(super) fn note(&mut self, error: Option<&Error>) -> Result<(), Error> {
        let attempts = self.store.state().error.as_ref().map_or(0, |failed| failed.attempts);
        let failed = error.map(|error| super::store::Failed {
            class: error.class(),
            message: error.to_string(),
            at: Timestamp::now(),
            attempts: attempts + 1,
        });
        self.store.change(|state| state.error = failed)
    }

    /// Pushes the tip that an earlier sync has made and the remote has not acknowledged. Returns whether there was one.
    fn send_tip(&mut self, asked: Asked, done: &mut Pushed) -> Result<bool, Error> {
        let mut has_sent = false;
        for _ in 0..RACES_MAX {
            let (tip, acked) = (self.store.target(LANE)?, self.store.target(ACKED)?);
            let Some(tip) = tip.filter(|tip| acked != Some(*tip)) else { break };
            has_sent = true;
            match self.send(tip, asked, done)? {
                Sent::Taken => done.records += self.records_between(acked, tip)?,
                // It is projected again, and halved.
                Sent::Refused(_) => self.back_to_acked()?,
                Sent::TakenOver => {}
            }
        }
        Ok(has_sent)
    }

    /// Projects and pushes until the lane lacks nothing. Returns whether anything was pushed.
    fn send_new(&mut self, asked: Asked, done: &mut Pushed) -> Result<bool, Error> {
        let mut run = Run::default();
        loop {
            if self.is_over() {
                return Err(Error::new(Class::Later, "the time was over before everything was pushed"));
            }
            let pages = match run.stack.pop() {
                Some(pages) => pages,
                None => match self.next_batch()? {
                    Some((pages, is_all)) => {
                        run.is_all = is_all;
                        pages
                    }
                    None => break,
                },
            };
            let parent = self.store.target(LANE)?;
            let is_last = run.is_all && run.stack.is_empty();
            let commit = self.commit(parent, &pages, asked.close && is_last)?;
            crash::at(Point::SyncBeforeTip)?;
            self.store.set(LANE, commit)?;
            crash::at(Point::SyncAfterTip)?;
            match self.send(commit, asked, done)? {
                Sent::Taken => {
                    done.records += pages.len() as u64;
                    run.taken = true;
                }
                Sent::TakenOver => {
                    run.stack.clear();
                    self.send_tip(asked, done)?;
                }
                Sent::Refused(why) => {
                    self.back_to_acked()?;
                    self.refused(pages, &why, &mut run, (asked, done))?;
                }
            }
        }
        Ok(run.taken)
    }

    /// What is new, with secrets held, and whether that is all; `None` if there is nothing.
    fn next_batch(&mut self) -> Result<Option<(Vec<Candidate>, bool)>, Error> {
        let batch = self.candidates()?;
        if !batch.secrets.is_empty() {
            let held: Vec<Held> = batch.secrets.iter().map(|(page, why)| hold(page, true, why)).collect();
            self.hold(held)?;
        }
        if !batch.pages.is_empty() {
            return Ok(Some((batch.pages, batch.is_all)));
        }
        // What is not there any more, or was amended and pushed, is held no longer.
        let mut held = batch.still_held;
        held.extend(batch.secrets.into_iter().map(|(page, _)| page.path));
        self.store.change(|state| {
            state.projected = batch.of;
            state.held.retain(|it| held.contains(&it.path));
        })?;
        Ok(None)
    }

    fn hold(&mut self, held: Vec<Held>) -> Result<(), Error> {
        self.store.change(|state| {
            for held in held {
                state.held.retain(|other| other.path != held.path);
                state.held.push(held);
            }
        })
    }

    /// Halves a batch that the remote refused, or holds its only record.
    fn refused(
        &mut self,
        mut pages: Vec<Candidate>,
        why: &str,
        run: &mut Run,
        (asked, done): (Asked, &mut Pushed),
    ) -> Result<(), Error> {
        run.refusals += 1;
        if pages.len() > 1 {
            let second = pages.split_off(pages.len() / 2);
            run.stack.extend([second, pages]);
        } else if let Some(page) = pages.first() {
            let held = hold(page, false, why);
            let is_known = |it: &Held| !it.secret && it.path == held.path && it.blob == held.blob;
            if !run.taken && !self.held_before.iter().any(is_known) {
                self.check_taken_without(asked, done)?;
                run.taken = true;
            }
            self.hold(vec![held])?;
        }
        match run.refusals > REFUSALS_MAX {
            true => Err(Error::new(Class::Refused, format!("the remote refuses many records: {why}"))),
            false => Ok(()),
        }
    }

    /// Checks that the remote takes the lane with a commit that brings no record. Killed, it leaves a commit that the next sync pushes.
    ///
    /// # Errors
    /// [`Class::Refused`] if it does not: it would take no record, either.
    fn check_taken_without(&mut self, asked: Asked, done: &mut Pushed) -> Result<(), Error> {
        let parent = self.store.target(LANE)?;
        let commit = self.commit(parent, &[], false)?;
        self.store.set(LANE, commit)?;
        match self.send(commit, asked, done)? {
            Sent::Taken => Ok(()),
            Sent::TakenOver => self.send_tip(asked, done).map(drop),
            Sent::Refused(why) => {
                self.back_to_acked()?;
                Err(Error::new(Class::Refused, format!("the remote refuses every record: {why}")))
            }
        }
    }

    fn back_to_acked(&self) -> Result<(), Error> {
        match self.store.target(ACKED)? {
            Some(acked) => self.store.set(LANE, acked),
            None => self.store.delete(LANE),
        }
    }

    /// Says in the lane that no more is to come. Returns whether that was pushed.
    fn close(&mut self, asked: Asked, done: &mut Pushed) -> Result<bool, Error> {
        let Some(tip) = self.store.target(LANE)? else { return Ok(false) };
        if is_closed(self.store.repository()?.find_commit(tip)?.message_bytes()) {
            return Ok(false);
        }
        let commit = self.commit(Some(tip), &[], true)?;
        self.store.set(LANE, commit)?;
        match self.send(commit, asked, done)? {
            Sent::Taken => Ok(true),
            Sent::TakenOver => self.close(asked, done),
            Sent::Refused(why) => {
                self.back_to_acked()?;
                Err(Error::new(Class::Refused, format!("the remote refuses the end of the lane: {why}")))
            }
        }
    }

    /// Compares the remote's lane with ours, and puts it right.
    fn compare(&mut self, asked: Asked, done: &mut Pushed) -> Result<(), Error> {
        let Some(tip) = self.store.target(LANE)? else { return Ok(()) };
        let compared = match asked.combine {
            // What is asked for the trunk's sake says where the lane is, too.
            true => self.compared_in_list(tip, asked)?,
            false => self.compared(tip, asked)?,
        };
        match compared {
            Compared::Same => return self.acknowledged(tip),
            Compared::Expect(None) if self.is_folded(tip, asked)? => return Ok(()),
            Compared::Expect(Some(value)) => self.store.set(ACKED, value)?,
            Compared::Expect(None) => self.store.delete(ACKED)?,
            Compared::TakenOver => return self.send_again(asked, done),
        }
        match self.send(tip, asked, done)? {
            Sent::Taken => Ok(()),
            Sent::TakenOver => self.send_again(asked, done),
            Sent::Refused(why) => Err(Error::new(Class::Refused, format!("the remote refuses the lane: {why}"))),
        }
    }

    /// Pushes what the lane is now, and what it lacks: it was taken over.
    fn send_again(&mut self, asked: Asked, done: &mut Pushed) -> Result<(), Error> {
        self.send_tip(asked, done)?;
        self.send_new(asked, done).map(drop)
    }

    /// Whether the remote would take a push of the lane; `None` if there is nothing to try it with.
    ///
    /// # Errors
    /// The class of what git says.
    pub fn would_take(&self) -> Result<Option<bool>, Error> {
        let (Some(tip), Some(prefix)) = (self.store.target(LANE)?, self.prefixes().into_iter().next()) else {
            return Ok(None);
        };
        let spec = format!("{tip}:{prefix}{}", random::id());
        let output = self.run_push(&["--dry-run", REMOTE, &spec])?;
        output.ok("the remote takes no push").map(|_| Some(true))
    }

    /// Checks that the remote names its objects as this home does. What else a push would meet does not matter here.
    ///
    /// # Errors
    /// [`Class::Config`] if it does not; [`Class::Later`] if git is ended.
    pub fn check_format(&self) -> Result<(), Error> {
        let Some(prefix) = self.prefixes().into_iter().next() else { return Ok(()) };
        // An empty remote says it to a push alone; this one would delete what is not there.
        let name = format!("{prefix}{}", random::id());
        let lease = format!("--force-with-lease={name}:");
        let output = self.run_push(&["--dry-run", &lease, REMOTE, &format!(":{name}")])?;
        match output.success || !output.stderr.contains("hash algorithm") {
            true => Ok(()),
            false => output.ok(SHA_256).map(drop),
        }
    }

    /// The prefix that worked, or all of them.
    fn prefixes(&self) -> Vec<String> {
        match &self.store.state().prefix {
            Some(prefix) => vec![prefix.clone()],
            None => self.options.lanes.clone(),
        }
    }

    /// Pushes `tip` as the lane, whatever has to be learnt of the remote's lane first.
    fn send(&mut self, tip: Oid, asked: Asked, done: &mut Pushed) -> Result<Sent, Error> {
        self.listed = None;
        let mut expected = self.store.target(ACKED)?;
        if expected.is_none() {
            // It was there before, and is not: not every lane that is gone is to be put there again.
            self.check_not_emptied(asked)?;
        }
        for _ in 0..RACES_MAX {
            match self.send_once(tip, expected, done)? {
                Answer::Taken => {
                    self.acknowledged(tip)?;
                    return Ok(Sent::Taken);
                }
                Answer::Refused(why) => return Ok(Sent::Refused(why)),
                Answer::Failed(error) => return Err(error),
                Answer::Raced => {}
            }
            match self.compared(tip, asked)? {
                Compared::Same => {
                    self.acknowledged(tip)?;
                    return Ok(Sent::Taken);
                }
                Compared::Expect(value) => expected = value,
                Compared::TakenOver => return Ok(Sent::TakenOver),
            }
        }
        Err(Error::new(Class::Later, "the lane on the remote is moved again and again"))
    }

    /// One push, by the prefix that worked, or by each of them until one works.
    fn send_once(&mut self, tip: Oid, expected: Option<Oid>, done: &mut Pushed) -> Result<Answer, Error> {
        let mut first = None;
        for prefix in self.prefixes() {
            let name = format!("{prefix}{}", self.store.state().lane);
            done.attempts += 1;
            let answer = self.push_one(&name, tip, expected)?;
            let is_refused = match &answer {
                Answer::Refused(_) => true,
                Answer::Failed(error) => error.class() == Class::Person,
                Answer::Taken | Answer::Raced => false,
            };
            if !is_refused {
                if answer == Answer::Taken || answer == Answer::Raced {
                    self.store.change(|state| state.prefix = Some(prefix))?;
                }
                return Ok(answer);
            }
            first.get_or_insert(answer);
        }
        first.ok_or_else(|| Error::new(Class::Config, "sync.lanes has no prefix"))
    }

    fn push_one(&self, name: &str, tip: Oid, expected: Option<Oid>) -> Result<Answer, Error> {
        let expected = expected.map(|id| id.to_string()).unwrap_or_default();
        let lease = format!("--force-with-lease={name}:{expected}");
        let spec = format!("{tip}:{name}");
        let output = self.run_push(&[&lease, REMOTE, &spec])?;
        crash::at(Point::SyncAfterPush)?;
        Ok(answer_of(&output.text(), name, &output.stderr, output.success))
    }

    /// Notes that the remote has `tip`.
    fn acknowledged(&mut self, tip: Oid) -> Result<(), Error> {
        if self.store.target(ACKED)? != Some(tip) {
            self.store.set(ACKED, tip)?;
        }
        crash::at(Point::SyncAfterAcked)?;
        let records = records_of(self.store.repository()?.find_commit(tip)?.message_bytes());
        let pushed = At { commit: tip.to_string(), at: Timestamp::now() };
        self.store.change(|state| {
            state.seen_at = Some(pushed.at);
            state.pushed = Some(pushed);
            state.records = records;
        })
    }

    /// How many records' pages came between two commits of the lane.
    fn records_between(&self, from: Option<Oid>, to: Oid) -> Result<u64, Error> {
        let repository = self.store.repository()?;
        let count = |id: Oid| Ok::<_, Error>(records_of(repository.find_commit(id)?.message_bytes()));
        Ok(count(to)?.saturating_sub(from.map(count).transpose()?.unwrap_or_default()))
    }
}

/// One run of halving.
#[derive(Default)]
struct Run {
    /// Batches still to be pushed; the next one is last.
    stack: Vec<Vec<Candidate>>,
    /// Whether nothing is new beside them.
    is_all: bool,
    /// Whether the remote has taken anything.
    taken: bool,
    refusals: u32,
}

fn hold(page: &Candidate, secret: bool, why: &str) -> Held {
    let (path, blob) = (page.path.clone(), page.blob.to_string());
    Held { id: page.id, path, blob, secret, why: why.to_owned(), at: Timestamp::now() }
}
