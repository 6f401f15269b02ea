//! The machine: processes take turns at its disk, one call at a time, until the power goes.
//!
//! Each process is a thread, and only the one whose turn it is makes a call; the next one is drawn. So a seed
//! determines the order of calls, whatever the real machine does. If a process is dead, or the power is gone, every
//! call returns an error and does nothing.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use rustix::io::Errno;

use super::disk::{Disk, Inode};

/// The most processes that a machine runs at a time.
const PROCESSES_MAX: usize = 8;
/// For how many calls of others a process stops before its sync.
const STOP: u64 = 1 << 12;

/// The calls that change what a power cut leaves.
const CHANGING: [&str; 10] =
    ["create", "mkdir", "write", "rename", "unlink", "fsync", "fdatasync", "syncfs", "row", "commit"];

thread_local! {
    /// The process of this thread. A thread without one is the test itself, and does not wait for a turn.
    static PROCESS: Cell<Option<usize>> = const { Cell::new(None) };
    static INTERRUPTIONS: RefCell<Interruptions> = RefCell::default();
}

/// An action just before a call of the thread, and the number of that call.
pub type Interruption = (u64, Box<dyn FnOnce()>);

#[derive(Default)]
struct Interruptions {
    calls: u64,
    left: Vec<Interruption>,
}

/// Runs `work`, outside of any process, and each of `interruptions` just before its call of that number.
pub fn interrupted<T>(interruptions: Vec<Interruption>, work: impl FnOnce() -> T) -> T {
    INTERRUPTIONS.set(Interruptions { calls: 0, left: interruptions });
    let done = work();
    INTERRUPTIONS.take();
    done
}

fn interrupt() {
    let mut all = INTERRUPTIONS.take();
    let (due, left) = all.left.into_iter().partition::<Vec<_>, _>(|(call, _)| *call == all.calls);
    // Their own calls are not counted.
    due.into_iter().for_each(|(_, work)| work());
    all = Interruptions { calls: all.calls + 1, left };
    INTERRUPTIONS.set(all);
}

/// The machine's process that this thread is, if it is one.
pub fn process() -> Option<usize> {
    PROCESS.get()
}

/// Runs `work` as the test itself: its calls wait for no turn.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    let process = PROCESS.take();
    let done = work();
    PROCESS.set(process);
    done
}

/// Pseudo-random numbers from a seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    pub fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number, of 64 bits: Vigna's splitmix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`; never if that is 0.
    pub fn once_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// One of `these`, which must not be empty.
    pub fn one_of<'t, T>(&mut self, these: &'t [T]) -> &'t T {
        &these[usize::try_from(self.below(these.len() as u64)).expect("it is an index")]
    }
}

/// The rate of each fault other than a power cut: once in so many; never if that is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A `fdatasync` fails.
    pub sync: u64,
    /// The only process whose `fdatasync` fails, if it is limited to one.
    pub sync_of: Option<usize>,
    /// A write accepts only some of the bytes, and the next one on that descriptor none: the disk is full.
    pub short: u64,
    /// A process is killed, at each of its calls.
    pub kill: u64,
    /// A process stops just before its `fdatasync`, until no other one has anything to do, or for very long.
    pub stop: u64,
}

/// A call that was made: the process, the call's name, the inode, the number of bytes.
pub type Call = (usize, &'static str, Inode, usize);

/// A machine with one disk.
#[derive(Debug)]
pub struct Machine {
    state: Mutex<State>,
    turns: [Condvar; PROCESSES_MAX],
}

#[derive(Debug)]
pub struct State {
    pub disk: Disk,
    pub dice: Dice,
    faults: Faults,
    /// The number of bytes that the next write accepts.
    next_write: Option<usize>,
    /// The number of calls that change or sync something before the power goes; `None` if it stays on.
    left: Option<u64>,
    dark: bool,
    /// The processes that are running.
    working: Vec<usize>,
    current: usize,
    /// Once in so many calls, the turn passes to another process.
    switch: u64,
    /// Once in so many calls, the process that makes it falls asleep; never if that is 0.
    sleep: u64,
    /// A process that sleeps for so many more calls.
    asleep: Option<(usize, u64)>,
    dead: [bool; PROCESSES_MAX],
    failed_syncs: u64,
    calls: Vec<Call>,
}

impl State {
    /// Draws the next turn. If a process sleeps for long, others can do a lot between two of its calls.
    fn draw_turn(&mut self) {
        if let Some((_, calls)) = &mut self.asleep {
            *calls -= 1;
            self.asleep = self.asleep.filter(|(_, calls)| *calls > 0);
        }
        let falls_asleep = self.asleep.is_none() && self.dice.once_in(self.sleep);
        if falls_asleep {
            let magnitude = 1 + self.dice.below(9);
            self.asleep = Some((self.current, 1 << magnitude));
        }
        if falls_asleep || self.dice.once_in(self.switch) {
            self.pass_turn();
        }
    }

    /// Whether the process whose turn it is stops before the call `name`; then the turn passes.
    fn stops_before(&mut self, name: &str) -> bool {
        let stops = name == "fdatasync" && self.dice.once_in(self.faults.stop);
        if stops {
            self.asleep = Some((self.current, STOP));
            self.pass_turn();
        }
        stops
    }

    fn pass_turn(&mut self) {
        let asleep = self.asleep.map(|(process, _)| process);
        let awake: Vec<_> = self.working.iter().copied().filter(|process| Some(*process) != asleep).collect();
        let awake = if awake.is_empty() { &self.working } else { &awake };
        if !awake.is_empty() {
            self.current = *self.dice.one_of(awake);
        }
    }

    /// The number of `bytes` that a write accepts.
    pub fn taken(&mut self, bytes: usize) -> usize {
        if let Some(taken) = self.next_write.take() {
            return taken.min(bytes);
        }
        match self.dice.once_in(self.faults.short) {
            true => usize::try_from(self.dice.below(bytes as u64)).unwrap_or_default(),
            false => bytes,
        }
    }

    /// Whether a sync fails.
    pub fn sync_fails(&mut self) -> bool {
        let spared = self.faults.sync_of.is_some_and(|process| PROCESS.get() != Some(process));
        let fails = !spared && self.dice.once_in(self.faults.sync);
        self.failed_syncs += u64::from(fails);
        fails
    }
}

/// Marks a process as done, also after a panic.
struct Done<'m>(&'m Machine, usize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.working.retain(|process| *process != self.1);
        state.pass_turn();
        self.0.turns[state.current].notify_all();
    }
}

impl Machine {
    /// A machine that has `disk`, and draws everything from `dice`.
    pub fn new(disk: Disk, dice: Dice) -> Arc<Machine> {
        let state = State {
            disk,
            dice,
            faults: Faults::default(),
            next_write: None,
            left: None,
            dark: false,
            working: Vec::new(),
            current: 0,
            switch: 1,
            sleep: 0,
            asleep: None,
            dead: [false; PROCESSES_MAX],
            failed_syncs: 0,
            calls: Vec::new(),
        };
        Arc::new(Machine { state: Mutex::new(state), turns: Default::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|panicked| panicked.into_inner())
    }

    /// Runs `processes` until all are done, or the power goes after `calls` calls that change or sync something.
    /// Returns whether it went.
    pub fn run(&self, calls: Option<u64>, faults: Faults, processes: Vec<Box<dyn FnOnce() + Send + '_>>) -> bool {
        assert!(processes.len() <= PROCESSES_MAX, "a machine runs {PROCESSES_MAX} processes at the most");
        let mut state = self.state();
        (state.left, state.faults) = (calls, faults);
        (state.working, state.dead) = ((0..processes.len()).collect(), [false; PROCESSES_MAX]);
        state.switch = *state.dice.one_of(&[1, 2, 4, 12, 40]);
        state.sleep = *state.dice.one_of(&[0, 10, 30, 100]);
        state.asleep = None;
        state.pass_turn();
        drop(state);
        std::thread::scope(|scope| {
            for (number, process) in processes.into_iter().enumerate() {
                scope.spawn(move || {
                    let _done = Done(self, number);
                    PROCESS.set(Some(number));
                    process();
                });
            }
        });
        self.state().dark
    }

    /// Waits for the calling process's turn, for the call `name` on `inode` with so many `bytes`.
    ///
    /// # Errors
    /// `EIO` if the process is dead or the power is gone.
    pub fn call(&self, name: &'static str, inode: Inode, bytes: usize) -> Result<MutexGuard<'_, State>, Errno> {
        let Some(process) = PROCESS.get() else {
            interrupt();
            return Ok(self.state());
        };
        let mut state = self.wait(self.state(), process);
        if !state.dark && !state.dead[process] {
            if !state.stops_before(name) {
                state.draw_turn();
            }
            if state.current != process {
                self.turns[state.current].notify_all();
                state = self.wait(state, process);
            }
        }
        let changes = CHANGING.contains(&name);
        if changes && state.left == Some(0) && !state.dark {
            state.dark = true;
            self.turns.iter().for_each(Condvar::notify_all);
        }
        if state.dark || state.dead[process] {
            return Err(Errno::IO);
        }
        state.left = state.left.map(|left| left - u64::from(changes));
        state.calls.push((process, name, inode, bytes));
        let kill = state.faults.kill;
        if state.dice.once_in(kill) {
            state.dead[process] = true;
            return Err(Errno::IO);
        }
        Ok(state)
    }

    fn wait<'m>(&'m self, state: MutexGuard<'m, State>, process: usize) -> MutexGuard<'m, State> {
        let not_yet = |state: &mut State| state.current != process && !state.dark;
        self.turns[process].wait_while(state, not_yet).unwrap_or_else(|panicked| panicked.into_inner())
    }

    /// A step `name` of a store that is not on the disk, at which the power may go.
    ///
    /// # Errors
    /// `EIO` if the process is dead or the power is gone.
    pub fn step(&self, name: &'static str) -> Result<(), Errno> {
        self.call(name, super::disk::ROOT, 0).map(drop)
    }

    /// Limits the next write to `bytes`.
    pub fn cut_short(&self, bytes: usize) {
        self.state().next_write = Some(bytes);
    }

    /// Cuts the power before the next call that changes or syncs something.
    pub fn cut(&self) {
        self.state().left = Some(0);
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.state().dark
    }

    /// Restarts the calling process if it is dead.
    pub fn revive(&self) {
        let mut state = self.state();
        if let Some(process) = PROCESS.get() {
            state.dead[process] = false;
        }
    }

    /// How many syncs have failed.
    pub fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The visible disk.
    pub fn disk(&self) -> Disk {
        self.state().disk.clone()
    }

    /// Replaces the folder `path` by that of the disk `older`.
    pub fn restore(&self, older: &Disk, path: &str, in_place: bool) {
        self.state().disk.restore(older, path, in_place).expect("every home has the folder");
    }

    /// A machine with the same disk, as the power cut may have left it.
    pub fn after_power_cut(&self, dice: &mut Dice) -> Arc<Machine> {
        Machine::new(self.state().disk.survivor(dice), Dice::of(dice.next()))
    }
}
