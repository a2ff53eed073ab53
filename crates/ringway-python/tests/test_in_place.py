"""Messages in place: their memory is the ring's or a slab's, and stays as long as anybody has a view of it, and no longer."""

import gc
import weakref

import pytest

import ringway

SLAB = 1 << 20


@pytest.fixture
def ring():
    with ringway.create("memfd:", capacity=1 << 16, slabs=[(SLAB, 4)]) as ring:
        yield ring


def test_a_view_is_read_only_and_acknowledged_at_the_end_of_the_block(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"one")
    sender.send(b"two")
    with receiver.recv_view() as view:
        assert (view.readonly, view.format, bytes(view)) == (True, "B", b"one")
        with pytest.raises(TypeError):
            view[0] = 0
    with pytest.raises(ValueError):
        view[0]
    assert receiver.recv() == b"two"


def test_a_block_that_fails_gives_the_message_back(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"one")
    with pytest.raises(ZeroDivisionError):
        with receiver.recv_view():
            1 / 0
    message = receiver.recv_view()
    assert (message.tobytes(), message.deliveries, message.redelivered) == (b"one", 2, True)
    message.release()
    with pytest.raises(ringway.Empty):
        receiver.try_recv_view()


def test_a_message_that_is_dropped_comes_again(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"one")
    number = receiver.recv_view().number
    gc.collect()
    assert receiver.recv_view().number == number


def test_while_a_view_is_used_the_message_stays(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"hello")
    message = receiver.recv_view()
    view = memoryview(message)
    part = view[1:3]
    for call in (message.release, message.give_back, message.detach):
        with pytest.raises(BufferError) as error:
            call()
        assert isinstance(error.value, ringway.StillHeld) and error.value.remedy
    view.release()
    with pytest.raises(BufferError):
        message.release()
    assert bytes(part) == b"el"
    part.release()
    message.release()
    for call in (message.release, message.tobytes, lambda: memoryview(message), lambda: len(message), lambda: message.number):
        with pytest.raises(ringway.HandleClosed):
            call()


def test_a_block_cannot_end_while_its_view_is_used(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"hello")
    with pytest.raises(ringway.StillHeld, match="before the block ends") as error:
        with receiver.recv_view() as view:
            part = memoryview(view)
    assert bytes(part) == b"hello"
    with pytest.raises(ringway.StillHeld):
        receiver.recv()
    del part, view, error
    gc.collect()
    assert receiver.recv() == b"hello", "it was not acknowledged, and comes again"


def test_while_a_message_is_held_its_receiver_says_so(ring):
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"hello")
    with receiver.recv_view():
        for call in (receiver.recv, receiver.try_recv, receiver.recv_view, receiver.close, receiver.wait, lambda: receiver.peer):
            with pytest.raises(ringway.StillHeld, match="of this receiver"):
                call()
    with pytest.raises(ringway.Empty):
        receiver.try_recv()


def test_a_detached_message_stays_while_others_come(ring):
    sender, receiver = ring.sender(), ring.receiver()
    kept = []
    for number in range(4):
        sender.send(bytes([number]) * SLAB)
        kept.append(receiver.recv_view().detach())
    assert ring.stat().slabs[0].free == 0 and not kept[0].is_copy
    with kept[2] as view:
        assert view[0] == view[SLAB - 1] == 2
    kept[0].release()
    assert ring.stat().slabs[0].free == 2
    sender.send(b"short")
    short = receiver.recv_view().detach()
    assert (short.is_copy, short.tobytes(), len(short)) == (True, b"short", 5)
    receiver.close()
    assert kept[1].tobytes() == bytes([1]) * SLAB
    del kept
    gc.collect()
    assert ring.stat().slabs[0].free == 4


def test_a_message_of_a_queue_is_held_alike(queue_name):
    ring = ringway.create(queue_name)
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"one")
    with pytest.raises(ZeroDivisionError):
        with receiver.recv_view():
            1 / 0
    kept = receiver.recv_view().detach()
    sender.send(b"two")
    assert (receiver.recv(), kept.tobytes(), kept.is_copy) == (b"two", b"one", True)
    with pytest.raises(ringway.Unsupported):
        sender.claim(5)
    sender.send(b"three")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("size", [0, 5, 70_000, SLAB])
def test_a_claim_is_written_and_sent_at_the_end_of_the_block(ring, in_place, size):
    sender, receiver = ring.sender(), ring.receiver()
    with sender.claim(size, in_place=in_place) as view:
        assert (len(view), view.readonly) == (size, False)
        view[:] = bytes(range(256)) * (size // 256) + bytes(size % 256)
        with pytest.raises(ringway.Empty):
            receiver.try_recv()
    assert receiver.recv() == bytes(range(256)) * (size // 256) + bytes(size % 256)


def test_a_claim_whose_block_fails_is_not_sent(ring):
    sender, receiver = ring.sender(), ring.receiver()
    with pytest.raises(ZeroDivisionError):
        with sender.claim(5):
            1 / 0
    sender.send(b"next")
    assert receiver.recv() == b"next"


def test_a_claim_can_be_committed_in_part_or_aborted(ring):
    sender, receiver = ring.sender(), ring.receiver()
    claim = sender.claim(10)
    with memoryview(claim) as view:
        view[:5] = b"hello"
        with pytest.raises(BufferError):
            claim.commit()
        with pytest.raises(ringway.StillHeld, match="of this sender"):
            sender.send(b"between")
    claim.commit(5)
    sender.claim(10).abort()
    sender.claim(10)
    gc.collect()
    sender.send(b"next")
    assert [receiver.recv(), receiver.recv()] == [b"hello", b"next"]
    for call in (claim.commit, claim.abort, lambda: memoryview(claim)):
        with pytest.raises(ringway.HandleClosed):
            call()


def test_a_claim_is_filled_by_a_system_call(ring):
    sender, receiver = ring.sender(), ring.receiver()
    with sender.claim(SLAB) as view, open("/dev/zero", "rb", buffering=0) as zeroes:
        assert zeroes.readinto(view) == SLAB
    assert receiver.recv() == bytes(SLAB)


def test_a_claim_that_is_still_written_is_not_sent(ring):
    sender, receiver = ring.sender(), ring.receiver()
    with pytest.raises(ringway.StillHeld):
        with sender.claim(5) as view:
            other = memoryview(view)
    del view, other
    gc.collect()
    sender.send(b"next")
    assert receiver.recv() == b"next"


def test_who_forgets_a_block_leaves_no_cycle_behind(ring):
    """The message has the view of its block, and the view has the message."""
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"hello")

    def begin():
        view = receiver.recv_view().__enter__()
        return weakref.ref(view)

    forgotten = begin()
    gc.collect()
    assert forgotten() is None
    assert receiver.recv() == b"hello"


def test_a_message_outlives_the_names_of_its_receiver_and_ring():
    ring = ringway.create("memfd:", slabs=[(SLAB, 1)])
    ring.sender().send(bytes(SLAB))
    view = memoryview(ring.receiver().recv_view())
    del ring
    gc.collect()
    assert view[SLAB - 1] == 0
