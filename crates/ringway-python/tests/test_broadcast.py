"""Receivers of a broadcast ring that take part as they wish: where they begin, what becomes of the sender, and names."""

import pytest

import ringway
from conftest import PATIENCE


@pytest.fixture
def ring():
    with ringway.create("memfd:", kind="broadcast", capacity=4096) as ring:
        yield ring


def numbers(*wanted):
    return [b"%d" % number for number in wanted]


def test_where_a_receiver_begins(ring):
    sender = ring.sender()
    sender.send_many(numbers(*range(10)))
    receivers = {
        0: ring.subscribe(),
        7: ring.subscribe(last=3),
        4: ring.subscribe(number=4),
        10: ring.subscribe(start="latest"),
    }
    sender.send(b"10")
    for first, receiver in receivers.items():
        assert receiver.recv_many(100) == numbers(*range(first, 11))
    assert ring.subscribe(start="oldest").recv() == b"0"


def test_a_lossy_receiver_is_told_what_it_missed(ring):
    sender, receiver = ring.sender(), ring.subscribe(policy="lossy")
    for number in numbers(*range(1000)):
        sender.send(number)
    with pytest.raises(ringway.Lagged) as error:
        receiver.recv()
    missed = error.value.missed
    assert missed > 500 and receiver.recv() == b"%d" % missed and receiver.lost == missed
    [one] = [one for one in ring.stat().participants if one.role == "receiver"]
    assert one.policy == "lossy" and not one.evicted and one.next_number == missed + 1
    assert one.behind == 1000 - one.next_number


@pytest.mark.parametrize("limit", [{"evict_bytes": 1000}, {"evict_after": 0.01}])
def test_a_receiver_that_is_too_slow_is_evicted(ring, limit):
    sender, receiver = ring.sender(), ring.subscribe(policy="evict", **limit)
    for number in numbers(*range(1000)):
        sender.send(number, timeout=PATIENCE)
    with pytest.raises(ringway.Evicted) as error:
        while True:
            receiver.recv(timeout=PATIENCE)
    assert "subscribe again" in error.value.remedy


def test_a_name_keeps_its_place(name, child):
    ring = ringway.create(name, kind="broadcast")
    sender = ring.sender()
    other = child(
        """
        import sys, time, ringway
        receiver = ringway.open(sys.argv[1]).subscribe(name="audit")
        print("ready")
        while True:
            with receiver.recv_view() as message:
                print(str(message, "ascii"))
        """,
        name,
    )
    assert other.line() == "ready"
    with pytest.raises(ringway.RoleTaken):
        ring.subscribe(name="audit")
    sender.send_many(numbers(*range(1000)))
    seen = [int(other.line()) for _ in range(500)]
    other.kill()
    sender.send(b"last")
    sender.close()
    seen += [int(line) for line in other.process.stdout.read().split()]
    assert seen == list(range(len(seen)))
    sent = numbers(*range(1000)) + [b"last"]
    rest = list(ring.subscribe(name="audit"))
    # One that was shown and not acknowledged comes again.
    assert rest in (sent[len(seen) :], sent[len(seen) - 1 :])


def test_what_is_allowed(ring):
    with ringway.create("memfd:", kind="broadcast", policies=["block", "lossy"]) as strict:
        strict.subscribe(policy="lossy")
        with pytest.raises(ringway.Unsupported):
            strict.subscribe(policy="evict", evict_bytes=5)
    with pytest.raises(ringway.Unsupported):
        ringway.create("memfd:").subscribe(policy="lossy")
    for wrong in (
        {"policy": "none"},
        {"start": "none"},
        {"start": "latest", "last": 5},
        {"last": 5, "number": 5},
        {"policy": "evict"},
        {"policy": "evict", "evict_bytes": 5, "evict_after": 5},
        {"policy": "lossy", "evict_bytes": 5},
    ):
        with pytest.raises(ValueError):
            ring.subscribe(**wrong)
    with pytest.raises(ValueError, match="block, lossy, evict"):
        ringway.create("memfd:", kind="broadcast", policies=["none"])
