//! What the machine allows.

use nix::sys::resource::{Resource, getrlimit};

/// The limits of POSIX queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posix {
    /// fs.mqueue.msg_max: most messages of a queue, for the unprivileged.
    pub(crate) messages: u64,
    /// fs.mqueue.msgsize_max: bytes of the longest message, likewise.
    pub(crate) message_len: u64,
    /// fs.mqueue.queues_max.
    pub(crate) queues: u64,
    /// RLIMIT_MSGQUEUE: bytes of all queues of a user.
    pub(crate) bytes: u64,
}

impl Posix {
    pub(crate) fn now() -> Self {
        let bytes = getrlimit(Resource::RLIMIT_MSGQUEUE).map_or(819_200, |(soft, _)| soft);
        Self {
            messages: sysctl("fs/mqueue/msg_max", 10),
            message_len: sysctl("fs/mqueue/msgsize_max", 8192),
            queues: sysctl("fs/mqueue/queues_max", 256),
            bytes,
        }
    }

    /// What the kernel books for a queue: each message, and 128 bytes to keep it, which is a bit more than any
    /// architecture takes.
    pub(crate) fn cost(messages: u64, len: u64) -> u64 {
        messages.saturating_mul(len.saturating_add(128))
    }
}

/// The limits of System V queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sysv {
    /// kernel.msgmax: bytes of the longest message.
    pub(crate) message_len: u64,
    /// kernel.msgmnb: bytes of a queue, for the unprivileged.
    pub(crate) bytes: u64,
    /// kernel.msgmni.
    pub(crate) queues: u64,
}

impl Sysv {
    pub(crate) fn now() -> Self {
        Self {
            message_len: sysctl("kernel/msgmax", 8192),
            bytes: sysctl("kernel/msgmnb", 16384),
            queues: sysctl("kernel/msgmni", 32000),
        }
    }
}

fn sysctl(name: &str, otherwise: u64) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/sys/{name}"));
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(otherwise)
}
