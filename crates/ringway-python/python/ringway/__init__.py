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
    Cancelled,
    Changing,
    Closed,
    CompanionLost,
    Corrupt,
    Empty,
    Error,
    Evicted,
    Failed,
    ForeignOwner,
    Forked,
    Full,
    HalfMade,
    HandleClosed,
    Incompatible,
    InUse,
    InvalidAddress,
    InvalidCapacity,
    InvalidKey,
    Lagged,
    LetGo,
    NoPriorities,
    NoServer,
    NoSpace,
    NotARing,
    NotFound,
    NotPicklable,
    NotTaken,
    PeerDied,
    PermissionDenied,
    Removed,
    RoleTaken,
    ServerDied,
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
    Answers,
    Board,
    Claim,
    Client,
    Entry,
    Found,
    GcReport,
    Message,
    Participant,
    Reader,
    Receiver,
    Request,
    Ring,
    Sender,
    Server,
    SlabStat,
    Stat,
    Watcher,
    Writer,
    connect as _connect,
    connect_board as _connect_board,
    connect_client as _connect_client,
    gc,
    list_rings,
    remove,
    start_server as _start_server,
    stat,
    take_over,
    take_over_board,
    wait_any,
)


class Options(TypedDict, total=False):
    """What a ring is to be like, as keyword arguments of `create`, `open` and `open_or_create`.

    A ring that is found must be as those say that were given: else `Incompatible` names what it has and what was asked for. A queue (`mq:`,
    `sysvmq:`) takes mode, any_owner, wait, messages, message_len and priorities. None is the same as not given.
    """

    #: Who may take part: one (s) or many (m) producers (p) and consumers (c), each message to one of these; or one producer, and each message to
    #: every consumer ("broadcast"; `Ring.subscribe` says how). "spsc" if it is not given.
    kind: Literal["spsc", "mpsc", "spmc", "mpmc", "broadcast"] | None
    #: Bytes for messages, rounded up to a power of two: 4 MiB.
    capacity: int | None
    #: What the participants exclude and wake each other by: "futex".
    sync: Literal["futex", "pthread", "posix-sem", "sysv-sem", "mqueue"] | None
    #: How many may be attached at once in a role that there are many of, from 1 to 60: 32.
    participants: int | None
    #: Bytes of a cell, in rings that have cells: 128.
    cell_len: int | None
    #: Which policies the receivers of a broadcast ring may choose: all.
    policies: list[Literal["block", "lossy", "evict"]] | None
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


class BoardOptions(TypedDict, total=False):
    """What a board is to be like, as keyword arguments of `create_board`, `open_board` and `open_or_create_board`.

    One that is found must be as those say that were given. None is the same as not given.
    """

    #: How many entries it can have, up to 4096: 64, or as many as there are keys.
    entries: int | None
    #: How many processes may write to it at once, from 2 to 120: 32. Readers do not count.
    writers: int | None
    #: Bytes of the longest value, rounded up to a power of two: 4096.
    value_len: int | None
    #: Keys of entries to add at once.
    keys: list[str] | None
    #: Permission bits: 0o600.
    mode: int | None
    #: Whether collectors leave the board alone, whoever dies holding it.
    persistent: bool | None
    #: Whether to touch every page of it at once: yes.
    prefault: bool | None
    #: Whether to lock it into memory.
    lock_memory: bool | None
    #: Whether to open what belongs to another user.
    any_owner: bool | None
    #: For how many seconds `open_board` waits for it to be made.
    wait: float | None


class ServeOptions(TypedDict, total=False):
    """How calls are served, as keyword arguments of `serve`.

    A service that is found must be as clients, part_len, mode and persistent say, if they were given. None is the same as not given.
    """

    #: How many client handles a new service has room for, up to 2032: 240.
    clients: int | None
    #: Bytes, with their header, that go in one piece, rounded up to a power of two: 4096. Longer requests and answers go in several.
    part_len: int | None
    #: Permission bits of a new service: 0o600. Who calls needs the right to write.
    mode: int | None
    #: Whether collectors leave a new service alone, whoever dies holding it.
    persistent: bool | None
    #: Whether to serve at what belongs to another user.
    any_owner: bool | None
    #: Bytes of the longest request that is taken: 64 MiB.
    max_request: int | None
    #: For how many seconds a caller that lives may let a part of an answer wait: 10.
    patience: float | None
    #: How it waits, as `wait` of `Ring.sender`.
    spin: float | Literal["spin", "park"] | None


class ConnectOptions(TypedDict, total=False):
    """How calls are made, as keyword arguments of `connect`. None is the same as not given."""

    #: Whether a request whose server dies, or lets it go, is served again by the next one. Else the caller is told.
    at_least_once: bool | None
    #: How often one request is begun at most then: 10.
    attempts: int | None
    #: For how many seconds a call lasts at most that is given no time of its own.
    timeout: float | None
    #: For how many seconds a call goes on although no server is there.
    grace: float | None
    #: Bytes of the longest answer, or part of one, that is gathered: 64 MiB.
    max_answer: int | None
    #: Whether to connect to what belongs to another user.
    any_owner: bool | None
    #: For how many seconds `connect` waits for the service, and for a server of it.
    wait: float | None
    #: How calls wait, as `wait` of `Ring.sender`.
    spin: float | Literal["spin", "park"] | None


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


def create_board(address: str | Address, **options: Unpack[BoardOptions]) -> Board:
    """Makes a new board. `BoardOptions` lists what can be asked for.

    >>> import ringway
    >>> ringway.create_board("memfd:", keys=["speed"], value_len=64).entries
    1
    """
    return _connect_board("create", address, options)


def open_board(address: str | Address, **options: Unpack[BoardOptions]) -> Board:
    """Opens the board at the address; with `wait`, for so many seconds waits for it to be made.

    >>> import ringway
    >>> ringway.open_board("shm:ringway-not-there", wait=0.01)
    Traceback (most recent call last):
    ringway.TimedOut: cannot open shm:ringway-not-there: ...
    """
    return _connect_board("open", address, options)


def open_or_create_board(address: str | Address, **options: Unpack[BoardOptions]) -> Board:
    """Opens the board at the address, or makes it. Of several that come at once, one makes it and the others find it.

    >>> import ringway
    >>> ringway.open_or_create_board("memfd:").is_new
    True
    """
    return _connect_board("open_or_create", address, options)


def serve(address: str | Address, **options: Unpack[ServeOptions]) -> Server:
    """Serves the calls of the service at the address, which is made if nothing is there. Several processes may serve at one.

    >>> import os, ringway
    >>> with ringway.serve(f"shm:ringway-doc-serve-{os.getpid()}", clients=10) as server:
    ...     server.clients >= 10
    True
    >>> ringway.remove(server.address)
    """
    return _start_server(address, options)


def connect(address: str | Address, **options: Unpack[ConnectOptions]) -> Client:
    """Connects to the service at the address, to call it; with `wait`, for so many seconds waits for it and for a server.

    >>> import ringway
    >>> ringway.connect("shm:ringway-not-there", wait=0.01)
    Traceback (most recent call last):
    ringway.TimedOut: cannot open shm:ringway-not-there: ...
    """
    return _connect_client(address, options)


__all__ = [
    "Address",
    "AlreadyExists",
    "Answers",
    "Board",
    "BoardOptions",
    "BufferTooSmall",
    "Cancelled",
    "Changing",
    "Claim",
    "Client",
    "Closed",
    "CompanionLost",
    "ConnectOptions",
    "Corrupt",
    "Empty",
    "Entry",
    "Error",
    "Evicted",
    "Failed",
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
    "InvalidKey",
    "Lagged",
    "LetGo",
    "Message",
    "NoPriorities",
    "NoServer",
    "NoSpace",
    "NotARing",
    "NotFound",
    "NotPicklable",
    "NotTaken",
    "Options",
    "Participant",
    "PeerDied",
    "PermissionDenied",
    "Reader",
    "Receiver",
    "Removed",
    "Request",
    "Ring",
    "RoleTaken",
    "Sender",
    "ServeOptions",
    "Server",
    "ServerDied",
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
    "Watcher",
    "Writer",
    "connect",
    "create",
    "create_board",
    "gc",
    "list_rings",
    "open",
    "open_board",
    "open_or_create",
    "open_or_create_board",
    "remove",
    "serve",
    "stat",
    "take_over",
    "take_over_board",
    "wait_any",
]

# Tracebacks name what users import, and not where it is defined.
for _class in [value for value in globals().values() if isinstance(value, type)]:
    if issubclass(_class, Error):
        _class.__module__ = "ringway"
del _class
