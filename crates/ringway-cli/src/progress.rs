//! Messages and bytes so far, on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on standard error that tells how far a transfer is.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    messages: u64,
    bytes: u64,
    started: Instant,
    drawn: Instant,
}

impl Progress {
    /// Shows nothing if `quiet`, if standard error is no terminal, or if the data is typed or shown on
    /// the same terminal.
    pub(crate) fn new(quiet: bool, data: &impl IsTerminal) -> Self {
        let visible = !quiet && stderr().is_terminal() && !data.is_terminal();
        let bar = visible.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            messages: 0,
            bytes: 0,
            started: now,
            drawn: now - INTERVAL,
        }
    }

    /// Counts `messages` with `bytes` in all.
    pub(crate) fn add(&mut self, messages: u64, bytes: usize) {
        self.messages += messages;
        self.bytes += bytes as u64;
        if self.bar.is_some() && self.drawn.elapsed() >= INTERVAL {
            self.draw();
        }
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    #[cold]
    fn draw(&mut self) {
        let Some(bar) = &self.bar else { return };
        let elapsed = self.started.elapsed().as_secs_f64();
        let rate = HumanBytes((self.bytes as f64 / elapsed.max(1e-9)) as u64);
        let (messages, bytes) = (HumanCount(self.messages), HumanBytes(self.bytes));
        bar.set_message(format!("{messages} messages, {bytes}, {rate}/s"));
        bar.tick();
        self.drawn = Instant::now();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
