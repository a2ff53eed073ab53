//! How far something is, on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on standard error that tells how far a transfer is.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    messages: u64,
    bytes: u64,
    /// Bytes that there will be, if that is known.
    total: Option<u64>,
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
            total: None,
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

    /// Counts `bytes` of a message in pieces, which has `total` in all, if that is known.
    pub(crate) fn advance(&mut self, bytes: usize, total: Option<u64>) {
        self.total = total;
        self.add(0, bytes);
    }

    /// Whether anything was counted.
    pub(crate) fn has_begun(&self) -> bool {
        self.messages > 0 || self.bytes > 0
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    #[cold]
    fn draw(&mut self) {
        let Some(bar) = &self.bar else { return };
        let elapsed = self.started.elapsed().as_secs_f64();
        let rate = self.bytes as f64 / elapsed.max(1e-9);
        let (done, speed) = (HumanBytes(self.bytes), HumanBytes(rate as u64));
        bar.set_message(match self.total {
            Some(total) => {
                let left = total.saturating_sub(self.bytes) as f64 / rate.max(1.0);
                let left = HumanDuration(Duration::from_secs(left as u64));
                format!("{done} of {}, {speed}/s, {left} left", HumanBytes(total))
            }
            None => {
                let messages = HumanCount(self.messages);
                format!("{messages} messages, {done}, {speed}/s")
            }
        });
        bar.tick();
        self.drawn = Instant::now();
    }
}

/// A bar of so many steps. Draws nothing if `quiet`, or if standard error is no terminal.
pub(crate) fn bar(quiet: bool, steps: u64) -> ProgressBar {
    let bar = match quiet {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(steps),
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
