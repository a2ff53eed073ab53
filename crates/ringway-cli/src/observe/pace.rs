//! What moves: by looking more than once.

use std::collections::HashMap;
use std::time::Instant;

use super::report::{Activity, Report};

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    seen: HashMap<String, Sight>,
}

#[derive(Clone, Copy, Debug)]
struct Sight {
    at: Instant,
    counters: [Option<u64>; 3],
    moved: Option<Instant>,
    /// Since when a producer has been seen to wait for room, without a message sent.
    blocked: Option<Instant>,
    /// Which making of it that is: another one's counters begin anew.
    created_ns: Option<u64>,
}

impl Pace {
    /// Writes into each report what moved since the last time, and forgets what is not there any more.
    pub(crate) fn mark(&mut self, reports: &mut [Report], at: Instant) {
        let mut seen = HashMap::with_capacity(reports.len());
        for report in reports {
            let before = self.seen.get(&report.address).copied();
            let before = before.filter(|before| before.created_ns == report.created_ns);
            let counters = counters(report);
            let sent = |counters: [Option<u64>; 3]| counters[0];
            let is_blocked = report.held_up_by.is_some();
            let mut sight = Sight {
                at,
                counters,
                moved: None,
                blocked: is_blocked.then_some(at),
                created_ns: report.created_ns,
            };
            if let Some(before) = before {
                let over = at.saturating_duration_since(before.at).as_secs_f64();
                let moved = before.counters != counters;
                sight.moved = if moved { Some(at) } else { before.moved };
                if is_blocked && sent(before.counters) == sent(counters) {
                    sight.blocked = before.blocked.or(sight.blocked);
                }
                let rate = |which: usize| {
                    let difference = counters[which]?.saturating_sub(before.counters[which]?);
                    (over > 0.0).then(|| difference as f64 / over)
                };
                let since = |then: Instant| at.saturating_duration_since(then).as_secs_f64();
                report.activity = Some(Activity {
                    over_seconds: over,
                    moved,
                    sent_per_second: rate(0),
                    received_per_second: rate(1),
                    idle_seconds: sight.moved.map(since),
                    blocked_seconds: sight.blocked.map(since),
                });
            }
            seen.insert(report.address.clone(), sight);
        }
        self.seen = seen;
    }
}

/// Sent, received, and what waits, which is all that a queue tells.
fn counters(report: &Report) -> [Option<u64>; 3] {
    let sent = report.sent.or(report.next_number);
    [sent, report.received, report.messages]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(sent: u64, received: u64) -> [Report; 1] {
        [Report {
            address: "shm:a".to_owned(),
            sent: Some(sent),
            received: Some(received),
            held_up_by: (sent > received).then(Vec::new),
            ..Report::default()
        }]
    }

    fn activity(pace: &mut Pace, mut report: [Report; 1], at: Instant) -> Option<Activity> {
        pace.mark(&mut report, at);
        let [report] = report;
        report.activity
    }

    #[test]
    fn what_moves_is_seen_by_the_second_look_and_how_long_nothing_has_by_the_third() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert!(activity(&mut pace, report(10, 10), start).is_none());
        let second = activity(&mut pace, report(30, 20), after(2)).unwrap();
        assert!(second.moved);
        assert_eq!(second.sent_per_second, Some(10.0));
        assert_eq!(second.received_per_second, Some(5.0));
        assert_eq!(second.idle_seconds, Some(0.0));
        assert_eq!(second.blocked_seconds, Some(0.0));
        let third = activity(&mut pace, report(30, 20), after(5)).unwrap();
        assert!(!third.moved);
        assert_eq!(third.idle_seconds, Some(3.0));
        assert_eq!(third.blocked_seconds, Some(3.0));
    }

    #[test]
    fn a_ring_that_was_made_anew_begins_anew() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let _ = activity(&mut pace, report(10, 10), start);
        let mut again = report(0, 0);
        again[0].created_ns = Some(1);
        assert!(activity(&mut pace, again, start + Duration::from_secs(1)).is_none());
    }
}
