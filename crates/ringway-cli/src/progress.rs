//! How far something is, on a terminal; and how much it was, at its end.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::say::say;
use crate::units::counted;

/// How often the line is drawn anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// What was sent or received, how far that is, and the line that says so at the end.
#[derive(Clone)]
pub(crate) struct Progress {
    /// Shared with whoever ends the process when a signal comes.
    tally: Arc<Tally>,
    bar: Option<ProgressBar>,
    /// Bytes that there will be, if that is known.
    total: Option<u64>,
    drawn: Instant,
}

struct Tally {
    /// What is done with the messages.
    verb: &'static str,
    is_quiet: bool,
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Unset before there is anything to send to or to receive from.
    started: OnceLock<Instant>,
    /// What an end would lose now, in words.
    loss: Mutex<Option<String>>,
    has_ended: AtomicBool,
}

impl Progress {
    /// Says nothing if `is_quiet`. Draws nothing if standard error is no terminal, or if the data is typed or shown on
    /// the same terminal.
    pub(crate) fn new(verb: &'static str, is_quiet: bool, data: &impl IsTerminal) -> Self {
        let is_visible = !is_quiet && stderr().is_terminal() && !data.is_terminal();
        let bar = is_visible.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let tally = Tally {
            verb,
            is_quiet,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            started: OnceLock::new(),
            loss: Mutex::new(None),
            has_ended: AtomicBool::new(false),
        };
        Self {
            tally: Arc::new(tally),
            bar,
            total: None,
            drawn: Instant::now() - INTERVAL,
        }
    }

    /// The time begins to run: there is something to send to or to receive from.
    pub(crate) fn begin(&self) {
        let _ = self.tally.started.set(Instant::now());
    }

    /// Counts `messages` with `bytes` in all.
    pub(crate) fn add(&mut self, messages: u64, bytes: usize) {
        // Whoever looks at them when the process ends does so when this thread is idle, or does not mind.
        self.tally.messages.fetch_add(messages, Ordering::Relaxed);
        self.tally.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
        self.messages() > 0 || self.bytes() > 0
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> u64 {
        self.tally.messages.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.tally.bytes.load(Ordering::Relaxed)
    }

    /// What is lost if the process ends before this is said again; nothing if that is `None`.
    pub(crate) fn set_loss(&self, loss: Option<String>) {
        *self.loss() = loss;
    }

    fn loss(&self) -> MutexGuard<'_, Option<String>> {
        let loss = self.tally.loss.lock();
        loss.unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the line, and says how much it was, once, if it has begun.
    pub(crate) fn end(&self) {
        let tally = &*self.tally;
        if tally.has_ended.swap(true, Ordering::Relaxed) {
            return;
        }
        self.clear();
        if let Some(loss) = self.loss().take() {
            say(loss);
        }
        if let Some(started) = tally.started.get()
            && !tally.is_quiet
        {
            say(format_args!(
                "{} {}, {}, in {:.3} seconds",
                tally.verb,
                counted(self.messages(), "message"),
                counted(self.bytes(), "byte"),
                started.elapsed().as_secs_f64()
            ));
        }
    }

    /// Clears the line.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    #[cold]
    fn draw(&mut self) {
        let Some(bar) = &self.bar else { return };
        let (messages, bytes) = (self.messages(), self.bytes());
        let started = self.tally.started.get();
        let elapsed = started.map_or(Duration::ZERO, Instant::elapsed);
        let rate = bytes as f64 / elapsed.as_secs_f64().max(1e-9);
        let (done, speed) = (HumanBytes(bytes), HumanBytes(rate as u64));
        bar.set_message(match self.total {
            Some(total) => {
                let left = total.saturating_sub(bytes) as f64 / rate.max(1.0);
                let left = HumanDuration(Duration::from_secs(left as u64));
                format!("{done} of {}, {speed}/s, {left} left", HumanBytes(total))
            }
            None => {
                let messages = HumanCount(messages);
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
