"""Messages come out as they went in, by every call; and the calls that wait, wait as long as they are told to."""

import os
import time

import pytest

import ringway


@pytest.fixture(params=["spsc", "mpmc", "slabs", "queue"])
def pair(request, queue_name):
    """A sender and a receiver of one ring, of each sort."""
    match request.param:
        case "slabs":
            ring = ringway.create("memfd:", slabs=[(1 << 20, 4)])
        case "queue":
            ring = ringway.create(queue_name, messages=10, message_len=4096)
        case kind:
            ring = ringway.create("memfd:", kind=kind)
    with ring, ring.sender() as sender, ring.receiver() as receiver:
        yield sender, receiver


def test_what_is_sent_is_received(pair):
    sender, receiver = pair
    messages = [b"", b"a", bytes(range(256)), bytes(3000)]
    for message in messages:
        sender.send(message)
    assert [receiver.recv(), receiver.recv(timeout=1), receiver.try_recv(), receiver.recv_view().tobytes()] == messages


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview], ids=lambda make: make.__name__)
def test_whatever_has_memory_is_sent(pair, make):
    sender, receiver = pair
    sender.send(make(b"hello"))
    sender.try_send(make(b"world"))
    assert [receiver.recv(), receiver.recv()] == [b"hello", b"world"]


def test_what_has_no_memory_is_refused(pair):
    sender, receiver = pair
    with pytest.raises(TypeError):
        sender.send("text")
    with pytest.raises(BufferError):
        sender.send(memoryview(b"abcdef")[::2])
    with pytest.raises(ringway.Empty):
        receiver.try_recv()


def test_parts_become_one_message(pair):
    sender, receiver = pair
    sender.send_parts([b"one ", bytearray(b"and "), b"", memoryview(b"two")])
    assert receiver.recv() == b"one and two"


def test_many_are_sent_and_received_in_order(pair):
    sender, receiver = pair
    messages = [b"%d" % number for number in range(8)]
    assert sender.send_many(iter(messages)) == 8
    got = receiver.recv_many(3)
    assert got == messages[:3]
    while len(got) < 8:
        got += receiver.recv_many(100)
    assert got == messages
    assert receiver.recv_many(0) == []


def test_many_of_all_lengths_are_sent():
    ring = ringway.create("memfd:", capacity=1 << 16, slabs=[(1 << 20, 2)])
    sender, receiver = ring.sender(copy_limit=1000), ring.receiver()
    messages = [bytes([number]) * length for number, length in enumerate([10, 1000, 2000, 1 << 20, 0, 5000])]
    assert sender.send_many(messages) == 6
    assert [receiver.recv() for _ in messages] == messages


def test_many_that_find_no_room_say_how_many_were_sent():
    ring = ringway.create("memfd:", capacity=4096)
    sender, receiver = ring.sender(), ring.receiver()
    with pytest.raises(ringway.TimedOut) as error:
        sender.send_many([bytes(1000)] * 8, timeout=0.01)
    sent = error.value.sent
    assert 0 < sent < 8
    assert len(receiver.recv_many(100)) == sent
    with pytest.raises(ringway.TooLarge) as error:
        sender.send_many([b"fits", bytes(1 << 20), b"is behind"])
    assert error.value.sent == 1
    assert receiver.recv() == b"fits"


def test_a_batch_goes_as_a_whole_or_not_at_all():
    ring = ringway.create("memfd:", capacity=4096)
    sender, receiver = ring.sender(), ring.receiver()
    sender.try_send_batch([b"one", b"two"])
    with pytest.raises(ringway.Full):
        sender.try_send_batch([bytes(1000)] * 8)
    assert receiver.recv_many(10) == [b"one", b"two"]


def test_a_buffer_that_is_too_small_leaves_the_message(pair):
    sender, receiver = pair
    sender.send(b"hello")
    buffer = bytearray(4)
    with pytest.raises(ringway.BufferTooSmall) as error:
        receiver.recv_into(buffer)
    assert (error.value.len, buffer) == (5, bytearray(4))
    buffer = bytearray(8)
    assert (receiver.recv_into(buffer), buffer) == (5, bytearray(b"hello\0\0\0"))
    with pytest.raises(BufferError):
        receiver.try_recv_into(b"read-only")
    with pytest.raises(ringway.Empty):
        receiver.try_recv_into(buffer)


def test_times_are_seconds(pair):
    _, receiver = pair
    for call in (receiver.recv, receiver.recv_view, receiver.wait, lambda timeout: receiver.recv_into(bytearray(1), timeout)):
        begin = time.monotonic()
        with pytest.raises(ringway.TimedOut):
            call(timeout=0.12)
        assert time.monotonic() - begin >= 0.12
        with pytest.raises(ringway.TimedOut):
            call(timeout=0)
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError):
                call(timeout=wrong)


def test_a_full_ring_is_waited_for_as_long_as_told():
    ring = ringway.create("memfd:", capacity=4096)
    sender = ring.sender()
    with pytest.raises(ringway.Full):
        while True:
            sender.try_send(bytes(1000))
    for call in (sender.send, lambda message, timeout: sender.send_parts([message], timeout), lambda message, timeout: sender.claim(1000, timeout)):
        begin = time.monotonic()
        with pytest.raises(ringway.TimedOut):
            call(bytes(1000), timeout=0.12)
        assert time.monotonic() - begin >= 0.12


def test_the_stream_ends_when_the_sender_closes(pair):
    sender, receiver = pair
    sender.send(b"last")
    sender.close()
    sender.close()
    assert sender.closed
    assert list(receiver) == [b"last"]
    with pytest.raises(ringway.Closed):
        receiver.recv()
    with pytest.raises(ringway.HandleClosed):
        sender.send(b"more")


def test_a_sender_that_leaves_ends_nothing():
    ring = ringway.create("memfd:")
    receiver = ring.receiver()
    ring.sender().leave()
    with pytest.raises(ringway.Empty):
        receiver.try_recv()


def test_a_block_that_fails_leaves_as_the_dead_do():
    ring = ringway.create("memfd:")
    receiver = ring.receiver()
    with pytest.raises(ZeroDivisionError):
        with ring.sender() as sender:
            sender.send(b"half of it")
            1 / 0
    assert receiver.recv() == b"half of it"
    with pytest.raises(ringway.PeerDied):
        receiver.recv()


def test_a_receiver_that_closes_refuses_further_messages():
    ring = ringway.create("memfd:")
    sender = ring.sender()
    ring.receiver().close()
    with pytest.raises(ringway.Closed):
        sender.send(b"hello")
    ring.receiver().leave()
    sender.send(b"hello")


def test_several_rings_are_waited_for_at_once():
    rings = [ringway.create("memfd:", kind="mpsc") for _ in range(3)]
    receivers = [ring.receiver() for ring in rings]
    with pytest.raises(ringway.TimedOut):
        ringway.wait_any(receivers, timeout=0.06)
    rings[2].sender().leave()
    sender = rings[1].sender()
    sender.send(b"hello")
    assert ringway.wait_any(receivers) == [receivers[1]]
    with pytest.raises(ValueError):
        ringway.wait_any([])


def test_numbers_say_what_has_happened():
    ring = ringway.create("memfd:", kind="spmc")
    sender, receiver = ring.sender(), ring.receiver()
    sender.send_many([b"one", b"two"])
    receiver.recv()
    assert (sender.sent, receiver.received, sender.peer, receiver.peer) == (2, 1, "alive", "alive")
    assert receiver.is_attached(sender.id) and not receiver.is_drained()
    assert (receiver.senders_ever, receiver.lost, sender.overwritten) == (1, 0, 0)
    stat = ring.stat()
    assert (stat.messages, stat.sent, stat.received, len(stat.participants)) == (1, 2, 1, 2)
    receiver.recv()
    sender.wait_until_drained(timeout=1)


def test_a_ring_that_overwrites_counts_what_is_lost():
    ring = ringway.create("memfd:", capacity=4096, overwrite_oldest=True)
    sender, receiver = ring.sender(), ring.receiver()
    for number in range(1000):
        sender.send(b"%d" % number)
    got = []
    with pytest.raises(ringway.TimedOut):
        # It takes a part of the cells at once.
        while True:
            got += receiver.recv_many(1000, timeout=0)
    assert got[-1] == b"999" and len(got) + receiver.lost == 1000


def test_each_receiver_of_a_broadcast_gets_every_message():
    ring = ringway.create("memfd:", kind="broadcast")
    sender, receivers = ring.sender(), [ring.receiver() for _ in range(3)]
    sender.send_many([b"one", b"two"])
    sender.close()
    assert ring.kind == "broadcast"
    assert [list(receiver) for receiver in receivers] == [[b"one", b"two"]] * 3


def test_a_queue_receives_the_most_urgent_first(queue_name):
    ring = ringway.create(queue_name)
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"later")
    sender.send(b"now", priority=7)
    assert [receiver.recv(), receiver.recv()] == [b"now", b"later"]
    assert ring.is_queue and ringway.stat(queue_name).is_queue
    with pytest.raises(ringway.NoPriorities):
        ringway.create("memfd:").sender().send(b"now", priority=7)


def test_auto_says_what_it_has_become():
    ring = ringway.create(f"auto:ringway-py-auto-{os.getpid()}")
    try:
        assert ring.address.scheme in ("shm", "mq") and ring.reason
    finally:
        ringway.remove(ring.address, force=True)


def test_what_cannot_be_is_refused(name, queue_name):
    with pytest.raises(ringway.InvalidAddress):
        ringway.create("orders")
    with pytest.raises(TypeError, match="no option colour"):
        ringway.create("memfd:", colour="red")
    with pytest.raises(ValueError, match="spsc, mpsc, spmc, mpmc, broadcast"):
        ringway.create("memfd:", kind="none")
    with pytest.raises(ringway.Unsupported):
        ringway.create(queue_name, kind="mpmc")
    with pytest.raises(ringway.Unsupported):
        ringway.create("memfd:", messages=10)
    ringway.create(name, capacity=4096)
    with pytest.raises(ringway.AlreadyExists):
        ringway.create(name)
    with pytest.raises(ringway.Incompatible, match="4 KiB and not 8 KiB"):
        ringway.open(name, capacity=8192)
    assert not ringway.open_or_create(name).is_new


def test_rings_are_found_looked_at_and_collected(name):
    ring = ringway.create(name)
    assert ring.address in ringway.list_rings()
    assert ringway.stat(ring.address).kind == "spsc"
    with ring.receiver():
        with pytest.raises(ringway.InUse) as error:
            ringway.remove(ring.address)
        assert error.value.pid == os.getpid()
    found = ringway.gc([ring.address]).found
    assert [(one.address, one.fate) for one in found] == [(ring.address, "kept")] and found[0].why
    ringway.remove(ring.address)
    assert ring.is_removed()
