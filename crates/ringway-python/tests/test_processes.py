"""multiprocessing with each start method: addresses go to other processes, handles do not, and nothing is cleaned away from under anybody."""

import copy
import multiprocessing
import os
import pickle
import warnings

import pytest

import ringway
from conftest import PATIENCE


def work(address):
    """Another process: sends what it is."""
    with ringway.open(address).sender() as sender:
        sender.send(b"%d" % os.getpid())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_an_address_goes_to_another_process(method, name):
    ring = ringway.create(name)
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        # Of newer versions, which say that pytest has threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        other = context.Process(target=work, args=(ring.address,))
        other.start()
    receiver = ring.receiver()
    assert receiver.recv(timeout=PATIENCE) == b"%d" % other.pid
    other.join(PATIENCE)
    assert other.exitcode == 0
    with pytest.raises(ringway.Closed):
        receiver.recv(timeout=PATIENCE)
    # What the other process had open is still there.
    assert ring.address in ringway.list_rings() and not ring.is_removed()


def test_a_process_that_ends_says_nothing_and_removes_nothing(name, child):
    """No resource tracker warns of what leaked, or unlinks what others use."""
    other = child(
        """
        import multiprocessing, sys, ringway
        ring = ringway.create(sys.argv[1])
        sender, receiver = ring.sender(), ring.receiver()
        sender.send(b"hello")
        message = receiver.recv_view()
        """,
        name,
    )
    assert other.end() == (0, "")
    receiver = ringway.open(name).receiver()
    assert receiver.recv(timeout=PATIENCE) == b"hello", "it was not acknowledged"


def test_handles_refuse_to_be_pickled():
    ring = ringway.create("memfd:", slabs=[(4096, 4)])
    sender, receiver = ring.sender(), ring.receiver()
    sender.send(b"hello")
    message, claim = receiver.recv_view(), sender.claim(10)
    for handle in (ring, sender, receiver, message, claim):
        for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(ringway.NotPicklable) as error:
                refuse(handle)
            assert isinstance(error.value, TypeError) and "address" in error.value.remedy


def test_addresses_are_pickled_compared_and_hashed():
    for text in ("shm:orders", "file:/tmp/my%20ring", "sysv:0x00001234", "memfd:", "mq:/orders", "auto:orders"):
        address = ringway.Address(text)
        again = pickle.loads(pickle.dumps(address))
        assert again == address and hash(again) == hash(address) and str(again) == text
        assert copy.deepcopy(address) == address and ringway.Address(address) == address
    assert ringway.Address("shm:a") != ringway.Address("shm:b")
    assert ringway.Address("shm:a") != "shm:a"


def test_a_child_of_fork_is_told_so(name, child):
    """Also when what it inherits is in use, held in place, or dropped there; and the parent goes on."""
    other = child(
        """
        import gc, os, sys, ringway
        ring = ringway.create(sys.argv[1], kind="mpmc", slabs=[(1 << 20, 4)])
        sender, receiver = ring.sender(), ring.receiver()
        sender.send(b"one"); sender.send(bytes(1 << 20)); sender.send(b"two")
        assert receiver.recv() == b"one"
        kept = receiver.recv_view().detach()
        message, claim = receiver.recv_view(), sender.claim(10)
        pid = os.fork()
        if pid == 0:
            refused = 0
            for call in (
                sender.claim, receiver.recv, receiver.try_recv, ring.sender, ring.receiver, message.release, message.give_back,
                claim.commit, claim.abort, kept.release, kept.tobytes, lambda: memoryview(message), lambda: sender.sent,
            ):
                try:
                    call(*([5] if call == sender.claim else []))
                except ringway.Forked as error:
                    assert isinstance(error, RuntimeError) and "open the ring again" in error.remedy
                    refused += 1
                except ringway.HandleClosed:
                    refused += call != claim.commit
            sender.close(); receiver.leave()
            del sender, receiver, message, claim, kept, call
            gc.collect()
            own = ringway.open(sys.argv[1])
            with own.sender() as again:
                again.send(b"from the child")
            os._exit(0 if refused == 13 else 9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert message.tobytes() == b"two" and kept.tobytes() == bytes(1 << 20)
        message.release(); kept.release(); claim.abort()
        assert receiver.recv(timeout=60) == b"from the child"
        sender.send(b"three")
        assert receiver.recv() == b"three"
        print("done")
        """,
        name,
    )
    assert other.line() == "done"
    assert other.end() == (0, "")


def test_a_child_of_fork_is_told_so_while_a_thread_of_the_parent_waits(name, child):
    other = child(
        """
        import os, sys, threading, time, ringway
        ring = ringway.create(sys.argv[1], kind="mpmc")
        receiver = ring.receiver(wait="park")
        thread = threading.Thread(target=receiver.recv)
        thread.start()
        while not any(one.waits_for for one in ring.stat().participants):
            time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            try:
                receiver.recv()
            except ringway.Forked:
                os._exit(0)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        ring.sender().send(b"hello")
        thread.join()
        print("done")
        """,
        name,
    )
    assert other.line() == "done"
    status, errors = other.end()
    assert status == 0, errors


def test_a_ring_without_a_name_is_handed_over():
    import socket

    ring = ringway.create("memfd:", kind="mpmc")
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            taken, _ = ringway.take_over(there)
            taken.sender().send(b"from the child")
        finally:
            os._exit(0)
    peer = ring.hand_over(here)
    assert peer[1:] == (os.getuid(), os.getgid())
    assert ring.receiver().recv(timeout=PATIENCE) == b"from the child"
    os.waitpid(pid, 0)
    here.close()
    there.close()
    with pytest.raises(ValueError):
        ring.hand_over(here)
