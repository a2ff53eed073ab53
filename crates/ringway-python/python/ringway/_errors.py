"""The exceptions of ringway: one family, whose members are also what Python's own code expects of such a failure."""


class Error(Exception):
    """What ringway raises, of whatever kind. Its text says what was attempted, what went wrong and what to do next; ``remedy`` is the last part.

    >>> import ringway
    >>> try:
    ...     ringway.open("shm:ringway-not-there")
    ... except ringway.Error as error:
    ...     print(type(error).__name__, "-", error.remedy != "")
    NotFound - True
    """

    #: What to do next, as one clause.
    remedy: str = ""

    def __init__(self, message: str = "", /, **details: object) -> None:
        super().__init__(message)
        for name, value in details.items():
            setattr(self, name, value)


class InvalidAddress(Error, ValueError):
    """The address does not parse."""


class InvalidCapacity(Error, ValueError):
    """The capacity, or another number that shapes a ring, is none that a ring can have, or beyond what the machine has."""


class InvalidKey(Error, ValueError):
    """The key of an entry of a board is empty, or too long."""


class AlreadyExists(Error, FileExistsError):
    """Something is at the address, and `create` makes only new rings."""


class NotFound(Error, FileNotFoundError):
    """Nothing is at the address."""


class NotARing(Error):
    """Something is at the address, but it is nothing of ringway's."""


class Incompatible(Error):
    """The ring has another layout, or is not as was asked for: the text names both."""


class Truncated(Error):
    """The ring is shorter than its header says."""


class HalfMade(Error):
    """The ring was never finished: its creator died or is stopped."""


class RoleTaken(Error):
    """Live processes have all of its places for this role."""

    #: The process id of one that has it; 0 if that is not seen from here.
    pid: int = 0


class InUse(Error):
    """A live process is attached, so that the ring is not removed."""

    #: The process id of one that is attached; 0 if that is not seen from here.
    pid: int = 0


class PermissionDenied(Error, PermissionError):
    """This process may not do that."""


class ForeignOwner(Error, PermissionError):
    """The object belongs to somebody else."""


class Untrusted(Error):
    """Others can write in a ring of a kind that needs trust, and nobody said that they are trusted."""


class NoSpace(Error, OSError):
    """Memory, disk or a limit of the machine is exhausted."""


class Unsupported(Error):
    """This kind of address, ring or kernel cannot do what was asked."""


class SystemFailure(Error, OSError):
    """The kernel refused for another reason; see `errno`."""


class TimedOut(Error, TimeoutError):
    """The time passed."""


class Forked(Error, RuntimeError):
    """The handle was inherited through fork: the child has to open the ring itself."""


class Full(Error):
    """There is no room now."""


class Empty(Error):
    """There is no message now."""


class Closed(Error):
    """The last of the other side has closed. For a receiver: all is received, and this is the end of the stream."""


class PeerDied(Error):
    """The process on the other side died without closing. A new one may attach and go on."""


class Removed(Error):
    """The ring was removed, and nobody can come any more."""


class TooLarge(Error, ValueError):
    """The message cannot ever fit."""

    #: The message's length in bytes.
    len: int = 0
    #: The largest length that the ring carries.
    max: int = 0


class BufferTooSmall(Error, ValueError):
    """The message is longer than the buffer; it stays the next one."""

    #: The message's length in bytes.
    len: int = 0


class Lagged(Error):
    """Messages that this receiver of a broadcast ring had asked for are gone. Told once: the next call goes on with the first behind them."""

    #: How many. 0 if it was overtaken again at once: a later call tells.
    missed: int = 0


class Evicted(Error):
    """The sender waited for this receiver of a broadcast ring as long as its policy allows, and went on without it: subscribe again."""


class Changing(Error):
    """The value of a board was overwritten each time while it was copied: read again."""


class Failed(Error):
    """The work of the server that was called failed. A server's work raises it for its caller: `raise ringway.Failed("no such order", status=4)`."""

    #: A number, whatever it means to the two.
    status: int = 1
    #: What the server said, as bytes. If the work gives none, it is the text.
    failure: bytes = b""


class ServerDied(PeerDied):
    """The server died with the request, which is not repeated: it may have been done, in part or in full."""


class LetGo(Error):
    """The server let the request go without an answer: its work raised something, or it ended."""


class NoServer(Error, ConnectionError):
    """No server of the service is there. The request was not begun."""


class Cancelled(Error):
    """The caller has left, died, or waits no longer: nobody wants this answer."""


class NotTaken(Error, TimeoutError):
    """The caller lives and does not take what was sent, for longer than the server's patience."""


class NoPriorities(Error):
    """The message has a priority, and the queue was made without priorities, or is a ring."""


class Unmapped(Error, OSError):
    """The segment of the slab that the message lies in cannot be mapped."""


class CompanionLost(Error, OSError):
    """What lies beside the segment of the ring, a semaphore set, cannot be used any more."""


class Unsettled(Error):
    """A process died, and this one is denied the system call that would make sure that the dead one is done."""


class Corrupt(Error):
    """The segment holds what no peer of ringway's writes."""


class HandleClosed(Error, ValueError):
    """The handle was closed, or the message in place is not held any more."""


class StillHeld(Error, BufferError):
    """A message in place is still held, or its memory is still used."""


class NotPicklable(Error, TypeError):
    """A handle belongs to its process. Addresses can be pickled."""
