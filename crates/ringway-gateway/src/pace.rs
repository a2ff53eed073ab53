//! How routes wait: for a better time, and until they are told to stop.

use std::time::Duration;

use tokio::sync::watch;

use crate::engine::Trouble;

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Waits that double, from 20 ms to a second.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<Duration>,
    /// What was said last: the same is said once.
    said: Option<String>,
}

impl Pace {
    /// Something has succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Waits. `true`: it is told to stop.
    pub(crate) async fn wait(&mut self, trouble: &Trouble, stop: &mut Stop) -> bool {
        let text = trouble.to_string();
        if self.said.as_ref() != Some(&text) {
            eprintln!("ringway-gateway: {text}; trying again");
            self.said = Some(text);
        }
        let wait = self.last.map_or(SHORTEST, |last| (last * 2).min(LONGEST));
        self.last = Some(wait);
        tokio::select! {
            biased;
            () = stop.told() => true,
            () = tokio::time::sleep(wait) => false,
        }
    }
}

/// Tells routes to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// By which a route hears of it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// One who tells, and one who hears.
    pub fn new() -> (Self, Stop) {
        let (tell, hear) = watch::channel(false);
        (Self(tell), Stop(hear))
    }

    /// Tells.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was told.
    pub(crate) fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is told.
    pub(crate) async fn told(&mut self) {
        if self.0.wait_for(|told| *told).await.is_err() {
            // Nobody can tell any more.
            std::future::pending().await
        }
    }
}
