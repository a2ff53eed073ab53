//! Times of one case.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How long the survivors waited: for the first event, and for the one that follows it, if any.
pub(crate) struct Times([Histogram<u64>; 2]);

impl Times {
    pub(crate) fn new() -> Result<Self, String> {
        let new = || Histogram::new(3).map_err(|error| error.to_string());
        Ok(Self([new()?, new()?]))
    }

    pub(crate) fn record(&mut self, event: usize, time: Duration) -> Result<(), String> {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0[event].record(ns).map_err(|error| error.to_string())
    }

    /// How often the event was recorded, and its percentiles.
    pub(crate) fn of(&self, event: usize) -> Figures {
        let times = &self.0[event];
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
        Figures {
            kills: times.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: times.max() as f64 / 1e6,
        }
    }
}

/// What is shown of a histogram.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Figures {
    pub(crate) kills: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}
