"""Messages between processes on one Linux machine, through shared memory.

A message costs a copy in, a copy out and no system call; a process that is killed, at whatever instruction, loses nothing, repeats
nothing and hangs nobody. One process:

>>> import os, ringway
>>> address = f"shm:ringway-doc-{os.getpid()}"
>>> sender = ringway.open_or_create(address).sender()
>>> sender.send(b"buy 100")

another:

>>> receiver = ringway.open(address, wait=5).receiver()
>>> receiver.recv()
b'buy 100'

A ring stays until it is removed:

>>> sender.close()
>>> receiver.close()
>>> ringway.remove(address)

The package is for threads and for `multiprocessing` with every start method: addresses can be sent to other processes, and each process
opens the ring itself. In a child of fork, handles of the parent raise `ringway.Forked`, and memoryviews and arrays of messages in place that the
parent holds must not be touched: their memory is not there.
"""

from typing import Literal, TypedDict, Unpack

from ._errors import (
    AlreadyExists,
    BufferTooSmall,
    Closed,
    CompanionLost,
    Corrupt,
    Empty,
    Error,
    ForeignOwner,
    Forked,
    Full,
    HalfMade,
    HandleClosed,
    Incompatible,
    InUse,
    InvalidAddress,
    InvalidCapacity,
    NoPriorities,
    NoSpace,
    NotARing,
    NotFound,
    NotPicklable,
    PeerDied,
    PermissionDenied,
    Removed,
    RoleTaken,
    StillHeld,
    SystemFailure,
    TimedOut,
    TooLarge,
    Truncated,
    Unmapped,
    Unsettled,
    Unsupported,
    Untrusted,
)
from ._ringway import (
    Address,
    Claim,
    Found,
    GcReport,
    Message,
    Participant,
    Receiver,
    Ring,
    Sender,
    SlabStat,
    Stat,
    connect as _connect,
    gc,
    list_rings,
    remove,
    stat,
    take_over,
    wait_any,
)


class Options(TypedDict, total=False):
    """What a ring is to be like, as keyword arguments of `create`, `open` and `open_or_create`.

    A ring that is found must be as those say that were given: else `Incompatible` names what it has and what was asked for. A queue (`mq:`,
    `sysvmq:`) takes mode, any_owner, wait, messages, message_len and priorities. None is the same as not given.
    """

    #: Who may take part: one (s) or many (m) producers (p) and consumers (c), each message to one of these; or one producer, and each message to
    #: every consumer ("broadcast"), of which the slowest keeps the sender waiting. "spsc" if it is not given.
    kind: Literal["spsc", "mpsc", "spmc", "mpmc", "broadcast"] | None
    #: Bytes for messages, rounded up to a power of two: 4 MiB.
    capacity: int | None
    #: What the participants exclude and wake each other by: "futex".
    sync: Literal["futex", "pthread", "posix-sem", "sysv-sem", "mqueue"] | None
    #: How many may be attached at once in a role that there are many of, from 1 to 60: 32.
    participants: int | None
    #: Bytes of a cell, in rings that have cells: 128.
    cell_len: int | None
    #: Slabs for long messages: (bytes, how many), for up to four lengths.
    slabs: list[tuple[int, int]] | None
    #: Whether each slab is a segment of its own.
    slab_segments: bool | None
    #: Whether a full ring loses its oldest message instead of having senders wait.
    overwrite_oldest: bool | None
    #: Whether collectors leave the ring alone, whoever dies holding it.
    persistent: bool | None
    #: Permission bits: 0o600.
    mode: int | None
    #: Whether to touch every page of the ring at once: yes.
    prefault: bool | None
    #: Whether to lock the ring into memory.
    lock_memory: bool | None
    #: Whether a new ring lies in reserved huge pages.
    huge_pages: bool | None
    #: Whether to open what belongs to another user.
    any_owner: bool | None
    #: Whether all who can write in the ring are trusted, as sync "pthread" and "posix-sem" need it.
    trust_peers: bool | None
    #: For how many seconds `open` waits for the ring to be made.
    wait: float | None
    #: Of a new queue: the most messages in it.
    messages: int | None
    #: Of a new queue: bytes of its longest message.
    message_len: int | None
    #: Of a new queue: whether it has priorities: yes.
    priorities: bool | None


def create(address: str | Address, **options: Unpack[Options]) -> Ring:
    """Makes a new ring, or, where the address says so, a queue. `Options` lists what can be asked for.

    >>> import ringway
    >>> ring = ringway.create("memfd:", kind="mpmc", capacity=1 << 20)
    >>> ring.kind, ring.capacity
    ('mpmc', 1048576)
    """
    return _connect("create", address, options)


def open(address: str | Address, **options: Unpack[Options]) -> Ring:
    """Opens what is at the address; with `wait`, for so many seconds waits for it to be made.

    >>> import ringway
    >>> ringway.open("shm:ringway-not-there", wait=0.01)
    Traceback (most recent call last):
    ringway.TimedOut: cannot open shm:ringway-not-there: ...
    """
    return _connect("open", address, options)


def open_or_create(address: str | Address, **options: Unpack[Options]) -> Ring:
    """Opens what is at the address, or makes it. Of several that come at once, one makes it and the others find it.

    >>> import ringway
    >>> ringway.open_or_create("memfd:").is_new
    True
    """
    return _connect("open_or_create", address, options)


__all__ = [
    "Address",
    "AlreadyExists",
    "BufferTooSmall",
    "Claim",
    "Closed",
    "CompanionLost",
    "Corrupt",
    "Empty",
    "Error",
    "ForeignOwner",
    "Forked",
    "Found",
    "Full",
    "GcReport",
    "HalfMade",
    "HandleClosed",
    "InUse",
    "Incompatible",
    "InvalidAddress",
    "InvalidCapacity",
    "Message",
    "NoPriorities",
    "NoSpace",
    "NotARing",
    "NotFound",
    "NotPicklable",
    "Options",
    "Participant",
    "PeerDied",
    "PermissionDenied",
    "Receiver",
    "Removed",
    "Ring",
    "RoleTaken",
    "Sender",
    "SlabStat",
    "Stat",
    "StillHeld",
    "SystemFailure",
    "TimedOut",
    "TooLarge",
    "Truncated",
    "Unmapped",
    "Unsettled",
    "Unsupported",
    "Untrusted",
    "create",
    "gc",
    "list_rings",
    "open",
    "open_or_create",
    "remove",
    "stat",
    "take_over",
    "wait_any",
]

# Tracebacks name what users import, and not where it is defined.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_class, Error):
        _class.__module__ = "ringway"
del _class
