//! `watch`: a home, live in the terminal.
//!
//! `window` takes the terminal over and gives it back, `look` reads the home when it has changed, `app` says what a key does, `draw`
//! draws. One loop waits for keys, looks every [`TICK`] whether something has changed, and draws only if so: with nothing to
//! do it takes some ten system calls four times a second.
//!
//! A change goes the same way as by `validate` and `retract`: this process is at a terminal, so it is a person's.

mod app;
mod draw;
mod look;
mod window;

use std::io;
use std::time::Duration;

use indelible::fs::os::Stream;
use indelible::home::Home;
use indelible::model::text::path;
use indelible::model::{RecordId, Ruling};
use indelible::revise::Asked as Revision;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind};

use super::{Context, judge, revising};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::reading::{self, zone};

use app::{Action, App, Change, Mode};
use draw::{Look, draw};
use look::Looker;
use window::{Asked, Window};

const WHAT: &str = "nothing can be watched";
/// How often it is looked whether something has changed, and the longest wait of a signal.
const TICK: Duration = Duration::from_millis(250);
/// How long to wait for what is there: without any time, the reader of keys does not look.
const AT_ONCE: Duration = Duration::from_millis(1);
/// The most keys that are read before what they did is drawn.
const KEYS_MAX: usize = 100;
/// The most keys that are dropped before a question.
const KEYS_DROPPED_MAX: usize = 100_000;

pub fn run(context: &Context) -> Result<Exit, Failure> {
    if !window::is_possible() || output::is_dumb() || context.json {
        let why = io::Error::other("that needs a terminal that can be drawn on");
        let hint = "`indelible status` and `indelible list` are for everything else";
        return Err(Failure::new(Exit::Usage, WHAT).because(&why).hint(hint));
    }
    let home = context.open(WHAT)?;
    let settings = context.settings(&home)?;
    let mut looker = Looker::new(&home, settings.history(), settings.sync()?);
    let look = Look {
        colours: output::has_colours(Stream::Output),
        zone: zone::local(),
        home: format!("indelible  {}", path(home.path())),
    };
    let mut window = Window::open().map_err(|error| Failure::new(Exit::Io, WHAT).because(&error))?;
    let ended = watched(context, &home, &mut window, &mut looker, &look);
    drop(window);
    match ended {
        // A terminal that was closed cannot be drawn on: that is an end like any other.
        Err(_) if !window::is_possible() => Ok(Exit::Done),
        ended => ended.map(|()| Exit::Done).map_err(|error| Failure::new(Exit::Io, "the watch ended").because(&error)),
    }
}

/// Watches until a person or a signal ends it.
fn watched(
    context: &Context,
    home: &Home,
    window: &mut Window,
    looker: &mut Looker<'_>,
    look: &Look,
) -> io::Result<()> {
    let mut app = App::new(looker.read());
    let (mut is_stale, mut size) = (true, None);
    loop {
        match window.asked() {
            Some(Asked::End) => return Ok(()),
            Some(Asked::Suspend) => {
                window.suspend()?;
                is_stale = true;
            }
            Some(Asked::Resumed) => {
                window.resume()?;
                is_stale = true;
            }
            None => {}
        }
        if looker.is_due() {
            // What was found may have moved on, or gone.
            let found = app.found.as_ref().and_then(|(words, _)| looker.search(words).ok());
            app.update(looker.read(), found);
            is_stale = true;
        }
        // The event of a change of size can get lost behind a key.
        let now = window.terminal().size()?;
        if is_stale || size != Some(now) {
            window.terminal().draw(|frame| draw(frame, &mut app, look))?;
            (is_stale, size) = (false, Some(now));
        }
        if !window.wait(TICK) {
            return Ok(());
        }
        for _ in 0..KEYS_MAX {
            if !event::poll(AT_ONCE)? {
                break;
            }
            is_stale = true;
            let was_asking = matches!(app.mode, Mode::Asking(..));
            let action = read_key(&mut app)?;
            // The answer is one to the question that a person has read: what was there before it was drawn is dropped.
            if !was_asking && matches!(app.mode, Mode::Asking(..)) {
                drop_keys()?;
                break;
            }
            match action {
                None => {}
                Some(Action::End) => return Ok(()),
                Some(Action::Suspend) => window.suspend()?,
                Some(action) => act(context, home, looker, &mut app, action),
            }
        }
    }
}

/// Reads what is there, a key or pasted text, and returns what it asks for.
fn read_key(app: &mut App) -> io::Result<Option<Action>> {
    Ok(match event::read()? {
        // Builds for tests have a key that fails.
        Event::Key(key) if cfg!(debug_assertions) && key.code == KeyCode::F(12) => panic!("F12 was pressed"),
        Event::Key(key) if key.kind != KeyEventKind::Release => app.key(key),
        Event::Paste(text) => {
            app.paste(&text);
            None
        }
        _ => None,
    })
}

/// Drops the keys that are there by now.
fn drop_keys() -> io::Result<()> {
    for _ in 0..KEYS_DROPPED_MAX {
        if !event::poll(AT_ONCE)? {
            break;
        }
        let _ = event::read()?;
    }
    Ok(())
}

/// Does what a key asks for, and shows what came of it.
fn act(context: &Context, home: &Home, looker: &mut Looker<'_>, app: &mut App, action: Action) {
    match action {
        Action::End | Action::Suspend => {}
        Action::Search(words) => {
            let found = looker.search(&words);
            app.show_found(words, found);
        }
        Action::Change(change, id) => {
            app.message = Some(changed(context, home, change, id).unwrap_or_else(|failure| said(&failure)));
            looker.hurry();
        }
    }
}

/// Validates or retracts the record `id`. Returns what was done.
fn changed(context: &Context, home: &Home, change: Change, id: RecordId) -> Result<String, Failure> {
    // One that says nothing: the screen is drawn on.
    let quiet = context.for_another_call();
    match change {
        Change::Validate => {
            judge::give(&quiet, home, id, Ruling::Validated)?;
            Ok(format!("validated: {}", id.short()))
        }
        Change::Retract => {
            let what = "nothing was changed";
            let settings = quiet.settings(home)?;
            let reviser = revising::reviser(home, &settings, false)?;
            let planned = {
                let view = reading::view(&quiet, home)?;
                let target = revising::Target { id, path: None };
                revising::plan(&reviser, &view, &[target], &Revision::Retract, None, what)?
            };
            revising::keep(&quiet, home, &settings, &reviser, &planned, what)?;
            Ok(output::hint(&format!("retracted: {0}; `indelible restore {0}` brings it back", id.short())))
        }
    }
}

/// A failure on one line.
fn said(failure: &Failure) -> String {
    let causes = failure.causes.join(": ");
    if causes.is_empty() { format!("error: {}", failure.what) } else { format!("error: {}: {causes}", failure.what) }
}
