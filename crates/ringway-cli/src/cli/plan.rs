//! What somebody plans, as `doctor --plan` takes it.

use crate::units;

/// Rings that are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Bytes of each.
    pub(crate) capacity: u64,
    /// How many there will be.
    pub(crate) rings: u64,
    /// How many take part in one, on the side that has more.
    pub(crate) clients: u64,
    /// Bytes of the longest message.
    pub(crate) message: u64,
    pub(crate) kind: PlanKind,
    pub(crate) backing: PlanBacking,
    /// Whether they are to be locked in memory.
    pub(crate) lock: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanKind {
    Spsc,
    Mpmc,
    Broadcast,
    Service,
}

impl PlanKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spsc => "a ring of kind spsc",
            Self::Mpmc => "a ring of kind mpmc",
            Self::Broadcast => "a broadcast ring",
            Self::Service => "a service",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanBacking {
    Shm,
    Sysv,
    File,
}

/// `capacity=64M,clients=200`
pub(super) fn parse(text: &str) -> Result<Plan, String> {
    let mut plan = Plan {
        capacity: 4 << 20,
        rings: 1,
        clients: 2,
        message: 0,
        kind: PlanKind::Mpmc,
        backing: PlanBacking::Shm,
        lock: false,
    };
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("{part} has no value: write KEY=VALUE,KEY=VALUE"))?;
        let number = || {
            let number: Result<u64, _> = value.parse();
            number.map_err(|error| format!("{key}={value}: {error}"))
        };
        let size = || units::size(value).map_err(|error| format!("{key}: {error}"));
        let wrong = |words: &str| Err(format!("{key} is one of {words}"));
        match key {
            "capacity" => plan.capacity = size()?.clamp(4096, 1 << 46),
            "message" => plan.message = size()?.min(1 << 46),
            "rings" => plan.rings = number()?,
            "clients" => plan.clients = number()?,
            "kind" => {
                plan.kind = match value {
                    "spsc" => PlanKind::Spsc,
                    "mpsc" | "spmc" | "mpmc" => PlanKind::Mpmc,
                    "broadcast" => PlanKind::Broadcast,
                    "service" => PlanKind::Service,
                    _ => return wrong("spsc, mpsc, spmc, mpmc, broadcast, service"),
                }
            }
            "backing" => {
                plan.backing = match value {
                    "shm" => PlanBacking::Shm,
                    "sysv" => PlanBacking::Sysv,
                    "file" => PlanBacking::File,
                    _ => return wrong("shm, sysv, file"),
                }
            }
            "lock" => {
                plan.lock = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return wrong("yes, no"),
                }
            }
            _ => {
                return Err(format!(
                    "there is no {key}: write capacity, message, rings, clients, kind, backing or lock"
                ));
            }
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_or_refused() {
        let plan = parse("capacity=64M,clients=200,kind=service,lock=yes").unwrap();
        assert_eq!((plan.capacity, plan.clients), (64 << 20, 200));
        assert_eq!(
            (plan.kind, plan.lock, plan.rings),
            (PlanKind::Service, true, 1)
        );
        for wrong in [
            "",
            "capacity",
            "capacity=x",
            "kind=a",
            "colour=red",
            "clients=-1",
            "lock=maybe",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
