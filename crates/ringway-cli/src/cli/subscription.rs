//! How a receiver of a broadcast ring takes part.

use std::time::SystemTime;

use clap::Args;
use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::log;

use crate::failure::Failure;
use crate::units;

/// What heads the options of these receivers.
const OF_BROADCAST: &str = "Of a ring of kind broadcast, and of a log";

/// With which message to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// In a ring or a log.
    Start(Start),
    /// In a log.
    Time(SystemTime),
}

/// With which message to begin, and what becomes of the sender when this receiver does not keep up.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubscriptionArgs {
    /// Begin with the oldest message that the ring or the log holds, the next one, the last N of those that are there, or the one with
    /// number K; of a log, also with the first one of a time (2026-11-30T12:00:00Z), or of so long ago (ago:10min) [default: oldest]
    #[arg(long, value_parser = start, value_name = "oldest|latest|last:N|number:K|time:T|ago:D", help_heading = OF_BROADCAST)]
    from: Option<From>,

    /// When this receiver does not keep up: have the sender wait; miss messages, and be told how many; or have it wait until
    /// this receiver is so many bytes behind, or for so long, and then end with status 1 [default: block]
    #[arg(long, value_parser = policy, value_name = "block|lossy|evict-behind:SIZE|evict-after:DURATION",
          help_heading = OF_BROADCAST)]
    policy: Option<Policy>,

    /// Go on with the first message that no receiver of this name has written; at most one has it at a time
    #[arg(long, value_parser = name, value_name = "NAME", help_heading = OF_BROADCAST)]
    name: Option<String>,
}

impl SubscriptionArgs {
    /// Whether anything was chosen.
    pub(crate) fn is_given(&self) -> bool {
        self.from.is_some() || self.policy.is_some() || self.name.is_some()
    }

    /// What was chosen, of a ring.
    pub(crate) fn choice(&self) -> Result<Subscription, Failure> {
        let start = match self.from {
            None => Start::default(),
            Some(From::Start(start)) => start,
            Some(From::Time(_)) => {
                return Err(Failure::error(
                    "a ring does not know when its messages were sent: choose --from oldest, latest, last:N or number:K",
                ));
            }
        };
        let subscription = Subscription::new()
            .start(start)
            .policy(self.policy.unwrap_or_default());
        Ok(match &self.name {
            Some(name) => subscription.name(name),
            None => subscription,
        })
    }

    /// What was chosen, of a log. Where no name was, by this one, if any.
    pub(crate) fn of_log(&self, name: Option<&str>) -> Result<log::Subscription, Failure> {
        if self.policy.is_some() {
            return Err(Failure::error(
                "nobody waits for who reads a log: leave out --policy",
            ));
        }
        let subscription = log::Subscription::new().start(start_of_log(self.from));
        Ok(match self.name.as_deref().or(name) {
            Some(name) => subscription.name(name),
            None => subscription,
        })
    }
}

/// The same place in a log.
pub(crate) fn start_of_log(from: Option<From>) -> log::Start {
    match from {
        Some(From::Start(Start::Latest)) => log::Start::Latest,
        Some(From::Start(Start::Last(count))) => log::Start::Last(count),
        Some(From::Start(Start::Number(number))) => log::Start::Number(number),
        Some(From::Time(time)) => log::Start::Time(time),
        _ => log::Start::Oldest,
    }
}

/// Parses where to begin.
pub(crate) fn start(text: &str) -> Result<From, String> {
    let number = |text: &str| {
        text.parse()
            .map_err(|_| format!("{text} is no number of messages"))
    };
    match text.split_once(':') {
        None if text == "oldest" => Ok(From::Start(Start::Oldest)),
        None if text == "latest" => Ok(From::Start(Start::Latest)),
        Some(("last", count)) => number(count).map(|count| From::Start(Start::Last(count))),
        Some(("number", message)) => {
            number(message).map(|message| From::Start(Start::Number(message)))
        }
        Some(("time", time)) => (humantime::parse_rfc3339_weak(time).map(From::Time))
            .map_err(|error| format!("{time} is no time such as 2026-11-30T12:00:00Z: {error}")),
        Some(("ago", ago)) => {
            let ago = units::duration(ago)?;
            let time = SystemTime::now().checked_sub(ago);
            Ok(From::Time(time.unwrap_or(SystemTime::UNIX_EPOCH)))
        }
        _ => Err("choose oldest, latest, last:N, number:K, time:T or ago:DURATION".to_owned()),
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    match text.split_once(':') {
        None if text == "block" => Ok(Policy::Block),
        None if text == "lossy" => Ok(Policy::Lossy),
        Some(("evict-behind", size)) => {
            units::size(size).map(|bytes| Policy::Evict(EvictAfter::Bytes(bytes)))
        }
        Some(("evict-after", time)) => {
            units::duration(time).map(|time| Policy::Evict(EvictAfter::Waiting(time)))
        }
        _ => Err("choose block, lossy, evict-behind:SIZE or evict-after:DURATION".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=64 => Ok(text.to_owned()),
        _ => Err("choose a name of 1 to 64 bytes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn words_are_what_they_say() {
        assert_eq!(start("last:7"), Ok(From::Start(Start::Last(7))));
        assert_eq!(start("number:0"), Ok(From::Start(Start::Number(0))));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        assert_eq!(start("time:1970-01-02T00:00:00Z"), Ok(From::Time(time)));
        assert!(start("time:yesterday").is_err() && start("ago:x").is_err());
        assert!(start("last").is_err() && start("last:x").is_err() && start("first").is_err());
        let evict = |after| Ok(Policy::Evict(after));
        assert_eq!(policy("evict-behind:1M"), evict(EvictAfter::Bytes(1 << 20)));
        let time = Duration::from_secs(5);
        assert_eq!(policy("evict-after:5"), evict(EvictAfter::Waiting(time)));
        assert!(policy("evict").is_err() && policy("evict-after:1M").is_err());
    }
}
