//! How a receiver of a broadcast ring takes part.

use clap::Args;
use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};

use crate::units;

/// What heads the options of these receivers.
const OF_BROADCAST: &str = "Of a ring of kind broadcast";

/// With which message to begin, and what becomes of the sender when this receiver does not keep up.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubscriptionArgs {
    /// Begin with the oldest message that the ring holds, the next one, the last N of those that are there, or the one with
    /// number K [default: oldest]
    #[arg(long, value_parser = start, value_name = "oldest|latest|last:N|number:K", help_heading = OF_BROADCAST)]
    from: Option<Start>,

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

    /// What was chosen.
    pub(crate) fn choice(&self) -> Subscription {
        let subscription = Subscription::new()
            .start(self.from.unwrap_or_default())
            .policy(self.policy.unwrap_or_default());
        match &self.name {
            Some(name) => subscription.name(name),
            None => subscription,
        }
    }
}

fn start(text: &str) -> Result<Start, String> {
    let number = |text: &str| {
        text.parse()
            .map_err(|_| format!("{text} is no number of messages"))
    };
    match text.split_once(':') {
        None if text == "oldest" => Ok(Start::Oldest),
        None if text == "latest" => Ok(Start::Latest),
        Some(("last", count)) => number(count).map(Start::Last),
        Some(("number", message)) => number(message).map(Start::Number),
        _ => Err("choose oldest, latest, last:N or number:K".to_owned()),
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
        assert_eq!(start("last:7"), Ok(Start::Last(7)));
        assert_eq!(start("number:0"), Ok(Start::Number(0)));
        assert!(start("last").is_err() && start("last:x").is_err() && start("first").is_err());
        let evict = |after| Ok(Policy::Evict(after));
        assert_eq!(policy("evict-behind:1M"), evict(EvictAfter::Bytes(1 << 20)));
        let time = Duration::from_secs(5);
        assert_eq!(policy("evict-after:5"), evict(EvictAfter::Waiting(time)));
        assert!(policy("evict").is_err() && policy("evict-after:1M").is_err());
    }
}
