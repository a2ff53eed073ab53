//! What a ring is to be like, as keyword arguments. `ringway.Options` in `__init__.py` describes each of them.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use ringway::broadcast::{EvictAfter, Policy, Start, Subscription};
use ringway::mq::QueueBuilder;
use ringway::{Address, Builder, Kind, SyncKind, WaitStrategy};

use crate::errors;
use crate::waiting::{duration, longest};

/// How a ring or a queue is made or found.
pub(crate) struct Options {
    pub(crate) ring: Builder,
    /// At an address of a queue.
    pub(crate) queue: Option<QueueBuilder>,
}

impl Options {
    pub(crate) fn new(address: Address, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let is_queue = matches!(address.scheme(), "mq" | "sysvmq");
        let default = Self {
            queue: is_queue.then(|| QueueBuilder::at(address.clone())),
            ring: Builder::at(address),
        };
        apply(options, "Options", default, Self::with)
    }

    fn with(self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let Self { ring, queue } = self;
        let ring = match name {
            "kind" => ring.kind(kind(value)?),
            "capacity" => ring.capacity(value.extract()?),
            "sync" => ring.sync(sync(value)?),
            "participants" => ring.participants(value.extract()?),
            "cell_len" => ring.cell_len(value.extract()?),
            "slabs" => {
                let classes: Vec<(u64, u32)> = value.extract()?;
                let with = |ring: Builder, (len, count)| ring.slabs(len, count);
                classes.into_iter().fold(ring, with)
            }
            "policies" => {
                let names: Vec<String> = value.extract()?;
                let allowed: PyResult<Vec<Policy>> =
                    names.iter().map(|name| policy(name, None)).collect();
                ring.policies(&allowed?)
            }
            "slab_segments" => ring.slab_segments(value.extract()?),
            "overwrite_oldest" => ring.overwrite_oldest(value.extract()?),
            "persistent" => ring.persistent(value.extract()?),
            "mode" => ring.mode(value.extract()?),
            "prefault" => ring.prefault(value.extract()?),
            "lock_memory" => ring.lock_memory(value.extract()?),
            "huge_pages" => ring.huge_pages(value.extract()?),
            "any_owner" => ring.any_owner(value.extract()?),
            "trust_peers" => ring.trust_peers(value.extract()?),
            "wait" => ring.wait(time(value)?),
            "messages" | "message_len" | "priorities" if queue.is_some() => ring,
            "messages" | "message_len" | "priorities" => {
                return Err(errors::only_of_queues(value.py(), name));
            }
            _ => return Ok(None),
        };
        let queue = match (queue, name) {
            (Some(queue), "messages") => Some(queue.messages(value.extract()?)),
            (Some(queue), "message_len") => Some(queue.message_len(value.extract()?)),
            (Some(queue), "priorities") => Some(queue.priorities(value.extract()?)),
            (Some(queue), "mode") => Some(queue.mode(value.extract()?)),
            (Some(queue), "any_owner") => Some(queue.any_owner(value.extract()?)),
            (Some(queue), "wait") => Some(queue.wait(time(value)?)),
            (Some(_), _) => return Err(errors::not_of_queues(value.py(), name)),
            (None, _) => None,
        };
        Ok(Some(Self { ring, queue }))
    }
}

/// What keyword arguments make of `default`, those that have a value: `with` says what one does, or that there is none of its name.
/// `described` is the class whose help has all of them.
pub(crate) fn apply<T>(
    options: Option<&Bound<'_, PyDict>>,
    described: &str,
    default: T,
    with: impl Fn(T, &str, &Bound<'_, PyAny>) -> PyResult<Option<T>>,
) -> PyResult<T> {
    let mut made = default;
    for (name, value) in options.into_iter().flatten() {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        made = with(made, &name, &value)?.ok_or_else(|| {
            let problem = format!("there is no option {name}; help(ringway.{described}) lists all");
            PyTypeError::new_err(problem)
        })?;
    }
    Ok(made)
}

/// The time that an option says.
pub(crate) fn time(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    longest(Some(value.extract()?))
}

/// A policy by its name; of "evict" with its limit, which only says what is allowed if it is not given.
fn policy(name: &str, limit: Option<EvictAfter>) -> PyResult<Policy> {
    match (name, limit) {
        ("block", None) => Ok(Policy::Block),
        ("lossy", None) => Ok(Policy::Lossy),
        ("evict", limit) => Ok(Policy::Evict(
            limit.unwrap_or(EvictAfter::Waiting(Duration::ZERO)),
        )),
        ("block" | "lossy", Some(_)) => Err(PyValueError::new_err(
            "evict_bytes and evict_after are limits of policy \"evict\"",
        )),
        _ => Err(PyValueError::new_err(format!(
            "policy is one of block, lossy, evict, and not {name:?}"
        ))),
    }
}

/// How a receiver of a broadcast ring takes part, as keyword arguments of `Ring.subscribe`.
pub(crate) struct Wishes {
    pub(crate) start: Option<String>,
    pub(crate) last: Option<u64>,
    pub(crate) number: Option<u64>,
    pub(crate) policy: Option<String>,
    pub(crate) evict_bytes: Option<u64>,
    pub(crate) evict_after: Option<f64>,
    pub(crate) name: Option<String>,
}

impl Wishes {
    pub(crate) fn subscription(self) -> PyResult<Subscription> {
        let start = match (self.start.as_deref(), self.last, self.number) {
            (None | Some("oldest"), None, None) => Start::Oldest,
            (Some("latest"), None, None) => Start::Latest,
            (None, Some(count), None) => Start::Last(count),
            (None, None, Some(number)) => Start::Number(number),
            (Some(start), None, None) => {
                return Err(PyValueError::new_err(format!(
                    "start is \"oldest\" or \"latest\", and not {start:?}"
                )));
            }
            _ => {
                return Err(PyValueError::new_err(
                    "start, last and number each say where to begin: give one of them",
                ));
            }
        };
        let limit = match (self.evict_bytes, duration(self.evict_after)?) {
            (None, None) => None,
            (Some(bytes), None) => Some(EvictAfter::Bytes(bytes)),
            (None, Some(time)) => Some(EvictAfter::Waiting(time)),
            (Some(_), Some(_)) => {
                return Err(PyValueError::new_err(
                    "evict_bytes and evict_after are both limits: give one of them",
                ));
            }
        };
        let name = self.policy.as_deref().unwrap_or("block");
        if name == "evict" && limit.is_none() {
            return Err(PyValueError::new_err(
                "policy \"evict\" needs a limit: evict_bytes or evict_after",
            ));
        }
        let subscription = Subscription::new()
            .start(start)
            .policy(policy(name, limit)?);
        Ok(match self.name {
            Some(name) => subscription.name(name),
            None => subscription,
        })
    }
}

fn kind(value: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let name: String = value.extract()?;
    choose(&name, Kind::ALL, Kind::name, "kind")
}

fn sync(value: &Bound<'_, PyAny>) -> PyResult<SyncKind> {
    let name: String = value.extract()?;
    choose(&name, SyncKind::ALL, SyncKind::name, "sync")
}

fn choose<T: Copy, const N: usize>(
    asked: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
    option: &str,
) -> PyResult<T> {
    let found = all.into_iter().find(|one| name(*one) == asked);
    found.ok_or_else(|| {
        let names = all.map(&name).join(", ");
        PyValueError::new_err(format!("{option} is one of {names}, and not {asked:?}"))
    })
}

/// How blocked calls wait: "spin", "park", or seconds to spin before the kernel is asked to wake one.
pub(crate) fn strategy(value: &Bound<'_, PyAny>) -> PyResult<WaitStrategy> {
    if let Ok(seconds) = value.extract::<f64>() {
        let spin = duration(Some(seconds))?;
        return Ok(spin.map_or(WaitStrategy::Spin, WaitStrategy::Adaptive));
    }
    let name: String = value.extract()?;
    match name.as_str() {
        "spin" => Ok(WaitStrategy::Spin),
        "park" => Ok(WaitStrategy::Park),
        _ => Err(PyValueError::new_err(format!(
            "wait is \"spin\", \"park\", or a number of seconds to spin first, and not {name:?}"
        ))),
    }
}
