//! The processes that use a home: recorders, writers of operations, a worker and its owner. All run the real code.

use std::sync::MutexGuard;
use std::time::Duration;

use super::commits::FakeCommits;
use super::rows::FakeRows;
use super::world::{Edit, Promise, World};
use super::{Ops, Stage, files_of, lock};
use crate::exclusive::Exclusive;
use crate::fs::lock::WorkerLock;
use crate::fs::simulated::Dice;
use crate::fs::{Dir, Durability};
use crate::model::Request;
use crate::model::layout::{TEMPORARY, split};
use crate::pipeline::{Error, Options, Pipeline};
use crate::record::{Policy, Recorder, Redaction};
use crate::recover::{self, Scope};
use crate::target::commits::Commits;

/// A process that uses the home until the power goes.
pub(super) enum Process {
    /// A process for each group of requests.
    Recorder(Vec<Vec<Request>>),
    /// A worker, restarted when it fails or dies.
    Worker { steps: u64, dice: Dice },
    /// The home's owner, who edits records by hand.
    Owner { edits: u64, dice: Dice },
    /// A process that amends, retracts and restores records.
    Writer { ops: u64, dice: Dice },
}

impl Process {
    pub(super) fn run(self, stage: Stage<'_>) {
        match self {
            Process::Recorder(groups) => groups.into_iter().for_each(|requests| stage.record(requests)),
            Process::Worker { mut steps, mut dice } => {
                while steps > 0 && !stage.machine.is_dark() {
                    stage.machine.revive();
                    let _ = stage.serve(&mut steps, &mut dice);
                }
            }
            Process::Owner { edits, mut dice } => {
                for _ in 0..edits {
                    if stage.ops != Ops::Records {
                        stage.wait();
                    }
                    let _ = stage.edit(&mut dice);
                }
            }
            Process::Writer { ops, mut dice } => {
                let mut last = None;
                for _ in 0..ops {
                    stage.wait();
                    let _ = match stage.ops.are_many() {
                        true => stage.change_often(&mut last, &mut dice),
                        false => stage.change(&mut dice),
                    };
                }
            }
        }
    }
}

impl<'s> Stage<'s> {
    pub(super) fn world(&self) -> MutexGuard<'s, World> {
        lock(self.world)
    }

    /// Waits for the process's turn: what it looks at until its next call does not change meanwhile.
    fn wait(&self) {
        let _ = self.machine.step("wait");
    }

    fn temporary(&self) -> Result<Dir, Error> {
        Ok(self.home.private_folder(TEMPORARY)?)
    }

    fn record(self, requests: Vec<Request>) {
        self.machine.revive();
        let policy = Policy { index_wait: Some(Duration::ZERO), ..Policy::new(Redaction::off()) };
        let Ok(mut recorder) = Recorder::new(self.home, policy) else { return };
        let asked: Vec<_> = requests.iter().map(|request| (request.record.clone(), request.key.clone())).collect();
        for (outcome, (record, key)) in recorder.record_all(requests).into_iter().zip(asked) {
            match outcome {
                Ok(receipt) => {
                    let files = files_of(receipt.id, receipt.created_at, &record, key.as_ref());
                    self.world().promised.push(Promise { id: receipt.id, keyed: key.is_some(), files });
                }
                Err(_) if self.machine.is_dark() => {}
                Err(_) => drop(self.world().refused.insert(record.headline().to_owned())),
            }
        }
    }

    /// Edits the file of a record, and waits until that is durable.
    fn edit(self, dice: &mut Dice) -> Result<(), Error> {
        self.machine.revive();
        let temporary = self.temporary()?;
        // Ordered by path, since those that were acknowledged when the power went have no order.
        let world = self.world();
        let unchanged = world.promised.iter().filter(|promise| !world.is_changed(promise.id));
        let mut files: Vec<_> = unchanged.map(|promise| promise.files[0].clone()).collect();
        drop(world);
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        if files.is_empty() {
            return Ok(());
        }
        let file = dice.one_of(&files).clone();
        let (folder, name) = split(&file.path);
        let folder = self.home.dir().folder(folder)?;
        let found = folder.content(name, u64::MAX)?;
        if found.is_none_or(|found| found != file.text.as_bytes()) {
            return Ok(());
        }
        let text = format!("{}\nEdited by hand.\n", file.text).into_bytes();
        {
            let mut world = self.world();
            if world.promised.iter().any(|it| it.files[0].path == file.path && world.is_changed(it.id)) {
                return Ok(());
            }
            world.edits.insert(file.path.clone(), Edit { text: text.clone(), durable: false });
        }
        folder.replace(name, &text, &temporary, Durability::Full)?;
        self.home.dir().sync_file_system()?;
        self.world().edits.insert(file.path, Edit { text, durable: true });
        Ok(())
    }

    /// A worker's life, until a step fails.
    fn serve(self, steps: &mut u64, dice: &mut Dice) -> Result<(), recover::Error> {
        *steps -= 1;
        let exclusive = self.lock()?;
        let mut pipeline =
            self.pipeline(&exclusive, FakeRows::new(self, Dice::of(dice.next()), self.options.locked))?;
        recover::recover(&mut pipeline, Scope::Start, &mut ())?;
        let mut removed = 0;
        while *steps > 0 {
            *steps -= 1;
            pipeline.look()?;
            if pipeline.wants_audit() {
                recover::recover(&mut pipeline, Scope::Start, &mut ())?;
            }
            let committed = pipeline.commit()?.is_some();
            if committed && !pipeline.is_lagging() && pipeline.audit_due().is_none() {
                self.look_at_rows_that_follow(pipeline.has_joined);
            }
            if committed && dice.below(6) == 0 {
                // What is committed by now must be durable without further help.
                self.machine.cut();
            }
            if dice.below(2) == 0 {
                exclusive.journal().rotate().map_err(Error::from)?;
            }
            if dice.below(self.options.catches_up) == 0 {
                pipeline.catch_up()?;
            }
            pipeline.maintain()?;
            if std::mem::replace(&mut removed, pipeline.counts().segments_removed) < pipeline.counts().segments_removed
            {
                self.look_at_removal();
            }
        }
        Ok(())
    }

    fn lock(self) -> Result<Exclusive<'s>, Error> {
        // A machine has one worker at a time. But a process that another test is just starting has, for an instant,
        // every file open that this one has, and so the last worker's lock.
        let lock = WorkerLock::take_for_worker(self.real, Duration::from_secs(60))?;
        Ok(Exclusive::simulated(self.home, lock.expect("no process takes so long to start")))
    }

    /// The real pipeline, with fakes for what is not on the disk.
    fn pipeline<'c>(self, exclusive: &'c Exclusive<'c>, rows: FakeRows<'c>) -> Result<Pipeline<'c>, Error>
    where
        's: 'c,
    {
        let options = Options { rows_bytes_max: self.options.rows_bytes_max, ..Options::default() };
        let commits =
            |journal| -> Result<Box<dyn Commits + 'c>, Error> { Ok(Box::new(FakeCommits { stage: self, journal })) };
        Pipeline::open_with(exclusive, options, Box::new(rows), commits)
    }

    /// What a worker, or `recover`, does after a boot.
    pub(super) fn recover(self, scope: Scope) -> Result<(), recover::Error> {
        let exclusive = self.lock()?;
        let mut pipeline = self.pipeline(&exclusive, FakeRows::new(self, Dice::of(1), 0))?;
        recover::recover(&mut pipeline, scope, &mut ())?;
        Ok(pipeline.maintain()?)
    }
}
