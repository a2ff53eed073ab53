"""All errors are of one family, say what to do next, and are what Python's own code expects."""

import re

import pytest

import ringway
from ringway import _errors


def test_they_are_of_one_family():
    classes = [value for value in vars(_errors).values() if isinstance(value, type)]
    assert len(classes) > 30
    for each in classes:
        assert issubclass(each, ringway.Error) and getattr(ringway, each.__name__) is each
        assert each.__module__ == "ringway" and each.__doc__
        error = each("text", remedy="do it", errno=5)
        assert (str(error), error.remedy, error.errno) == ("text", "do it", 5)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("TimedOut", TimeoutError),
        ("NotFound", FileNotFoundError),
        ("AlreadyExists", FileExistsError),
        ("PermissionDenied", PermissionError),
        ("StillHeld", BufferError),
        ("InvalidAddress", ValueError),
        ("HandleClosed", ValueError),
        ("NotPicklable", TypeError),
        ("Forked", RuntimeError),
    ],
)
def test_they_are_what_python_expects(name, base):
    assert issubclass(getattr(ringway, name), base)


def fill(sender):
    while True:
        sender.try_send(bytes(100))


def cases():
    """What fails, and how."""
    ring = ringway.create("memfd:", capacity=4096)
    sender, receiver = ring.sender(), ring.receiver()
    yield "Empty", receiver.try_recv
    yield "TimedOut", lambda: receiver.recv(timeout=0)
    yield "Full", lambda: fill(sender)
    yield "TimedOut", lambda: sender.send(bytes(100), timeout=0)
    yield "TooLarge", lambda: sender.send(bytes(1 << 20))
    yield "BufferTooSmall", lambda: receiver.recv_into(bytearray(1))
    yield "RoleTaken", ring.sender
    held = receiver.recv_view()
    yield "StillHeld", receiver.recv
    held.release()
    yield "HandleClosed", held.release
    sender.close()
    yield "HandleClosed", lambda: sender.send(b"")
    receiver.recv_many(100)
    yield "Closed", receiver.recv
    receiver.close()
    other = ring.sender()
    yield "Closed", lambda: other.send(b"")
    yield "NotFound", lambda: ringway.open("shm:ringway-not-there")
    yield "NotFound", lambda: ringway.remove("shm:ringway-not-there")
    yield "InvalidCapacity", lambda: ringway.create("memfd:", capacity=1 << 62)
    yield "NotARing", lambda: ringway.open("file:/etc/hostname")


def test_each_says_what_to_do_next():
    for name, fail in cases():
        with pytest.raises(ringway.Error) as caught:
            fail()
        error = caught.value
        assert type(error).__name__ == name
        assert error.remedy and error.remedy in str(error) and not re.search(r"[(:]$", error.remedy), str(error)
