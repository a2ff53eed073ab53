"""Threads: a call that waits lets the others run; a handle that several have is used in turns, and closing it ends who waits."""

import os
import signal
import threading
import time

import pytest

import ringway
from conftest import PATIENCE


def in_thread(work):
    """Runs it beside this thread; gives what waits for its outcome."""
    outcome = []

    def run():
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - it is what the test wants to see
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join():
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return outcome[0]

    return join


def until(says):
    deadline = time.monotonic() + PATIENCE
    while not says():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def sleeps(ring, role):
    """Whether somebody sleeps in the ring, which has cells."""
    return any(one.waits_for for one in ring.stat().participants if one.role == role)


def test_a_receive_that_waits_lets_others_run():
    ring = ringway.create("memfd:", kind="mpmc")
    receiver = ring.receiver(wait="park")
    join = in_thread(receiver.recv)
    until(lambda: sleeps(ring, "receiver"))
    ring.sender().send(b"hello")
    assert join() == b"hello"


def test_a_send_that_waits_lets_others_run():
    ring = ringway.create("memfd:", capacity=4096, kind="mpmc")
    sender, receiver = ring.sender(wait="park"), ring.receiver()
    number = 0
    with pytest.raises(ringway.Full):
        while True:
            sender.try_send(b"%d" % number)
            number += 1
    join = in_thread(lambda: sender.send(bytearray(b"last")))
    until(lambda: sleeps(ring, "sender"))
    for expected in range(number):
        assert receiver.recv(timeout=PATIENCE) == b"%d" % expected
    assert receiver.recv(timeout=PATIENCE) == b"last"
    assert join() is None


def test_threads_take_turns_with_one_handle():
    ring = ringway.create("memfd:", capacity=4096)
    sender, receiver = ring.sender(), ring.receiver()
    each = 2000
    joins = [in_thread(lambda: [sender.send(b"%d" % number) for number in range(each)] and None) for _ in range(3)]
    got, lock = [], threading.Lock()

    def receive():
        while True:
            try:
                message = receiver.recv(timeout=PATIENCE)
            except ringway.Closed:
                return
            with lock:
                got.append(int(message))

    receivers = [in_thread(receive) for _ in range(2)]
    assert [join() for join in joins] == [None] * 3
    sender.close()
    assert [join() for join in receivers] == [None] * 2
    assert sorted(got) == sorted(list(range(each)) * 3)


def test_who_waits_for_its_turn_waits_no_longer_than_told():
    ring = ringway.create("memfd:", kind="mpmc")
    receiver = ring.receiver(wait="park")
    join = in_thread(receiver.recv)
    until(lambda: sleeps(ring, "receiver"))
    with pytest.raises(ringway.TimedOut, match="another thread"):
        receiver.recv(timeout=0.06)
    ring.sender().send(b"hello")
    assert join() == b"hello"


@pytest.mark.parametrize("end", ["close", "leave"])
def test_closing_ends_the_call_of_another_thread(end):
    ring = ringway.create("memfd:", kind="mpmc")
    receiver = ring.receiver(wait="park")
    join = in_thread(receiver.recv)
    until(lambda: sleeps(ring, "receiver"))
    getattr(receiver, end)()
    assert isinstance(join(), ringway.HandleClosed)
    assert receiver.closed
    assert not ring.stat().participants


def test_a_handler_of_a_signal_may_close_what_it_interrupts():
    ring = ringway.create("memfd:", kind="mpmc")
    receiver = ring.receiver(wait="park")
    within = []

    def handle(*_):
        try:
            receiver.try_recv()
        except ringway.StillHeld as error:
            within.append(error)
        receiver.close()

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        main = threading.main_thread().ident
        in_thread(lambda: (until(lambda: sleeps(ring, "receiver")), signal.pthread_kill(main, signal.SIGUSR1)))
        with pytest.raises(ringway.HandleClosed):
            receiver.recv()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert within and receiver.closed
    assert not ring.stat().participants


def test_a_handler_of_a_signal_that_returns_ends_nothing():
    ring = ringway.create("memfd:")
    sender, receiver = ring.sender(), ring.receiver()
    before = signal.signal(signal.SIGUSR1, lambda *_: sender.send(b"from the handler"))
    try:
        in_thread(lambda: (time.sleep(0.05), os.kill(os.getpid(), signal.SIGUSR1)))
        assert receiver.recv() == b"from the handler"
    finally:
        signal.signal(signal.SIGUSR1, before)
