"""Arrays of numpy go in and come out without a copy."""

import gc

import numpy
import pytest

import ringway

SLAB = 1 << 20


def address(array):
    return array.__array_interface__["data"][0]


@pytest.fixture
def ring():
    with ringway.create("memfd:", capacity=1 << 16, slabs=[(SLAB, 4)]) as ring:
        yield ring


def test_an_array_is_sent_and_received(ring):
    sender, receiver = ring.sender(), ring.receiver()
    frame = numpy.arange(1000, dtype=numpy.float32).reshape(10, 100)
    sender.send(frame)
    into = numpy.empty_like(frame)
    assert receiver.recv_into(into) == frame.nbytes
    assert (into == frame).all()
    with pytest.raises((BufferError, ValueError)):
        sender.send(frame[:, ::2])


def test_an_array_is_made_in_a_slab_and_read_there(ring):
    sender, receiver = ring.sender(), ring.receiver()
    claim = sender.claim(SLAB)
    frame = numpy.frombuffer(claim, dtype=numpy.float64).reshape(-1, 8)
    where = address(frame)
    frame[:] = numpy.arange(8)
    with pytest.raises(BufferError):
        claim.commit()
    del frame
    claim.commit()

    message = receiver.recv_view()
    got = numpy.frombuffer(message, dtype=numpy.float64).reshape(-1, 8)
    # One mapping, one slab: it lies where it was written.
    assert address(got) == where
    assert not got.flags.writeable and not got.flags.owndata
    assert (got == numpy.arange(8)).all()
    with pytest.raises(BufferError):
        message.release()
    del got
    message.release()


def test_a_block_with_arrays(ring):
    sender, receiver = ring.sender(), ring.receiver()
    with sender.claim(800) as view:
        numpy.copyto(numpy.frombuffer(view, dtype=numpy.int64), numpy.arange(100))
    with receiver.recv_view() as view:
        total = numpy.frombuffer(view, dtype=numpy.int64).sum()
    assert total == 4950


def test_an_array_keeps_a_detached_message(ring):
    sender, receiver = ring.sender(), ring.receiver()
    frames = []
    for number in range(4):
        sender.send(numpy.full(SLAB, number, dtype=numpy.uint8))
        frames.append(numpy.frombuffer(receiver.recv_view().detach(), dtype=numpy.uint8))
    assert [int(frame[-1]) for frame in frames] == [0, 1, 2, 3]
    with pytest.raises(ringway.Full):
        while True:
            sender.try_send(bytes(SLAB))
    del frames[1]
    gc.collect()
    sender.send(numpy.full(SLAB, 9, dtype=numpy.uint8), timeout=10)
    assert receiver.recv()[0] == 9
    assert [int(frame[0]) for frame in frames] == [0, 2, 3]
