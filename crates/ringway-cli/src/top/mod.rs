//! `ringway top`: all that there is, again and again, in a terminal or as text.

mod keys;
mod model;
mod rows;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::model::Model;
use crate::cli::TopArgs;
use crate::failure::Failure;
use crate::{observe, output, signals};

pub(crate) fn run(args: &TopArgs) -> Result<(), Failure> {
    let mut model = Model::new(args.by, args.filter.clone());
    let most = match args.once {
        true => Some(1),
        false => args.iterations,
    };
    let is_bare = args.json || args.once || !io::stdout().is_terminal();
    match is_bare {
        true => bare(args, &mut model, most),
        false => in_terminal(args, &mut model, most),
    }
}

fn look(args: &TopArgs, model: &mut Model) {
    let found = observe::all(&args.files);
    let failures = found.failures.len();
    model.take(found.reports, failures, Instant::now());
}

/// Without a terminal: a listing each time.
fn bare(args: &TopArgs, model: &mut Model, most: Option<u64>) -> Result<(), Failure> {
    if args.once {
        // What moves is seen by the second look.
        look(args, model);
        thread::sleep(args.interval.min(Duration::from_millis(200)));
    }
    let mut left = most.unwrap_or(u64::MAX);
    loop {
        look(args, model);
        match args.json {
            true => output::print_json_line(&model.shown())?,
            false => output::print(&rows::text(model))?,
        }
        left -= 1;
        if left == 0 {
            return Ok(());
        }
        thread::sleep(args.interval);
    }
}

fn in_terminal(args: &TopArgs, model: &mut Model, most: Option<u64>) -> Result<(), Failure> {
    // Whoever ends it gets the terminal back as it was.
    signals::take_over(|| {
        let _ = ratatui::try_restore();
    })?;
    let unusable = |error| Failure::error(format_args!("the terminal cannot be used: {error}"));
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    let outcome = converse(args, model, most, &mut terminal);
    let restored = ratatui::try_restore();
    outcome.and(restored).map_err(unusable)
}

/// Looks and draws, and does what the keys say, until it is told to end or has looked so often.
fn converse(
    args: &TopArgs,
    model: &mut Model,
    most: Option<u64>,
    terminal: &mut DefaultTerminal,
) -> io::Result<()> {
    let mut left = most.unwrap_or(u64::MAX);
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            if left == 0 {
                return Ok(());
            }
            if !model.is_paused {
                look(args, model);
            }
            left -= 1;
            next = Instant::now() + args.interval;
        }
        terminal.draw(|frame| view::draw(frame, model))?;
        let wait = next.saturating_duration_since(Instant::now());
        if !event::poll(wait)? {
            continue;
        }
        // A key that is held is several; all that is there is done before it is drawn.
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key)
                    if key.kind != KeyEventKind::Release
                        && keys::press(model, key) == keys::Then::End =>
                {
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}
