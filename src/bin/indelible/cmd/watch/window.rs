//! The terminal while it is watched, and back on every way out.
//!
//! 1. [`Window`] takes the terminal over: raw mode, the alternate screen, no cursor, and pasted text apart from keys. Dropped, it gives
//!    it back; so does a panic, before its message is printed.
//! 2. SIGTERM, SIGHUP and SIGINT are remembered, and end the loop, which drops the window. If it does not end in [`END_WITHIN`], the
//!    process ends without it. SIGQUIT gives the terminal back and ends the process at once, as it does any other.
//! 3. SIGTSTP, or Ctrl-Z, gives the terminal back, stops the job as the shell expects, and takes the terminal over again when it
//!    goes on. So does SIGCONT alone: another program may have used the terminal meanwhile.
//! 4. A terminal that is gone ends the loop. It is looked at before keys are read: the reader of keys would look for more and more
//!    without an end.
//!
//! Killed by SIGKILL, the terminal stays as it was: `reset` helps.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// How long the loop has to end after a signal.
#[cfg(unix)]
const END_WITHIN: Duration = Duration::from_secs(2);

/// The terminal, taken over.
pub struct Window {
    /// Never dropped: it would show the cursor, and panic if the terminal is gone.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    signals: Signals,
}

/// Why the window was asked to do something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// End.
    End,
    /// Stop, until the shell says to go on.
    Suspend,
    /// It was stopped, and goes on.
    Resumed,
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide, EnableBracketedPaste)
}

/// Gives the terminal back. It may be gone, so errors are of no use.
fn give_back() {
    let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = io::stdout().flush();
    let _ = disable_raw_mode();
}

impl Window {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// The terminal's, and the system's that refuses to remember a signal.
    pub fn open() -> io::Result<Window> {
        let signals = Signals::remember()?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        // From here on, dropping it gives the terminal back.
        let window = Window { terminal, signals };
        take_over()?;
        Ok(window)
    }

    pub fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.terminal
    }

    /// What a signal has asked for, or the terminal's end.
    pub fn asked(&self) -> Option<Asked> {
        match self.signals.next() {
            None if is_gone() => Some(Asked::End),
            asked => asked,
        }
    }

    /// Waits until a key was pressed, something else is to be looked at, or `wait` has passed. Returns false if the terminal is gone.
    #[cfg(unix)]
    pub fn wait(&self, wait: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdin = io::stdin();
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        let wait = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        // A signal ends the wait: a window that was resized is to be drawn.
        let _ = poll(&mut keys, Some(&wait));
        !keys[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
    }

    #[cfg(not(unix))]
    pub fn wait(&self, wait: Duration) -> bool {
        let _ = ratatui::crossterm::event::poll(wait);
        true
    }

    /// Gives the terminal back and stops the job; returns when it goes on, with the terminal taken over again.
    ///
    /// # Errors
    /// The terminal's.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        self.signals.stop_process();
        self.resume()
    }

    /// Takes the terminal over again, and draws everything.
    ///
    /// # Errors
    /// The terminal's.
    pub fn resume(&mut self) -> io::Result<()> {
        let _ = self.signals.resumed.swap(false, Ordering::Relaxed);
        take_over()?;
        // A new one knows nothing of what was drawn. To clear the old one asks where the cursor is, which not every terminal answers.
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether the terminal was closed.
#[cfg(unix)]
fn is_gone() -> bool {
    rustix::termios::tcgetattr(io::stdout()).is_err()
}

#[cfg(not(unix))]
fn is_gone() -> bool {
    !io::stdout().is_terminal()
}

/// Whether the process has a terminal to read from and to write to.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The signals that came.
struct Signals {
    end: Arc<AtomicBool>,
    suspend: Arc<AtomicBool>,
    resumed: Arc<AtomicBool>,
}

impl Signals {
    #[cfg(unix)]
    fn remember() -> io::Result<Signals> {
        use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
        let flag = || Arc::new(AtomicBool::new(false));
        let signals = Signals { end: flag(), suspend: flag(), resumed: flag() };
        for (signal, flag) in [
            (SIGTERM, &signals.end),
            (SIGHUP, &signals.end),
            (SIGINT, &signals.end),
            (SIGTSTP, &signals.suspend),
            (SIGCONT, &signals.resumed),
        ] {
            signal_hook::flag::register(signal, Arc::clone(flag))?;
        }
        end_in_any_case()?;
        Ok(signals)
    }

    #[cfg(not(unix))]
    fn remember() -> io::Result<Signals> {
        let flag = || Arc::new(AtomicBool::new(false));
        let signals = Signals { end: flag(), suspend: flag(), resumed: flag() };
        indelible::fs::os::note_stop(&signals.end)?;
        Ok(signals)
    }

    fn next(&self) -> Option<Asked> {
        let came = |flag: &AtomicBool| flag.swap(false, Ordering::Relaxed);
        match () {
            () if came(&self.end) => Some(Asked::End),
            () if came(&self.suspend) => Some(Asked::Suspend),
            () if came(&self.resumed) => Some(Asked::Resumed),
            () => None,
        }
    }

    /// Stops the job that this process belongs to, as Ctrl-Z does where keys are not read one by one: what started this process
    /// from a shell, as npm's command does, must not wait on for it.
    #[cfg(unix)]
    fn stop_process(&self) {
        use rustix::process::{Signal, getpgrp, kill_current_process_group};
        let has_terminal = rustix::termios::tcgetpgrp(rustix::stdio::stdin()).is_ok_and(|group| group == getpgrp());
        let _ = match has_terminal {
            true => kill_current_process_group(Signal::STOP).map_err(io::Error::from),
            // Without job control this process is all there is to stop.
            false => signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP),
        };
    }

    #[cfg(not(unix))]
    fn stop_process(&self) {}
}

/// Ends the process at SIGQUIT, and some time after another signal that asks for it, if the loop has not.
#[cfg(unix)]
fn end_in_any_case() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT])?;
    let wait = move || match signals.forever().next() {
        Some(SIGQUIT) => {
            give_back();
            let _ = signal_hook::low_level::emulate_default_handler(SIGQUIT);
        }
        Some(_) => {
            std::thread::sleep(END_WITHIN);
            give_back();
            std::process::exit(0);
        }
        None => {}
    };
    std::thread::Builder::new().name("end".to_owned()).spawn(wait).map(drop)
}
