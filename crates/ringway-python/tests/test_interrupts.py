"""Ctrl-C ends whatever call waits, with KeyboardInterrupt; and what was there before is there still. A call that waits does nothing meanwhile."""

import re
import signal
import time

import pytest

import ringway

PROGRAM = """
    import sys
    import ringway
    from threading import Thread

    call, address = sys.argv[1:]
    ring = ringway.open(address)
    sender, receiver = ring.sender(), None
    if call in ("recv", "iterate", "recv_view", "recv_into", "recv_many", "wait", "wait_any", "wait_for_senders"):
        receiver = ring.receiver()
    else:
        while True:
            try:
                sender.try_send(bytes(1000))
            except ringway.Full:
                break
    calls = {
        "recv": lambda: receiver.recv(),
        "iterate": lambda: list(receiver),
        "recv_view": lambda: receiver.recv_view(),
        "recv_into": lambda: receiver.recv_into(bytearray(10)),
        "recv_many": lambda: receiver.recv_many(10),
        "wait": lambda: receiver.wait(),
        "wait_any": lambda: ringway.wait_any([receiver]),
        "wait_for_senders": lambda: receiver.wait_for_senders(5),
        "send": lambda: sender.send(bytes(1000)),
        "send_parts": lambda: sender.send_parts([bytes(1000)]),
        "send_many": lambda: sender.send_many([bytes(1000)] * 3),
        "claim": lambda: sender.claim(1000),
        "wait_until_drained": lambda: sender.wait_until_drained(),
        "wait_for_peer": lambda: sender.wait_for_peer(),
    }
    try:
        print("ready")
        calls[call]()
    except KeyboardInterrupt:
        # The handles are of use.
        if receiver:
            sender.send(b"hello")
            assert receiver.recv() == b"hello"
        else:
            assert ring.receiver().recv() == bytes(1000)
        print("interrupted")
"""

CALLS = [
    "recv", "iterate", "recv_view", "recv_into", "recv_many", "wait", "wait_any", "wait_for_senders",
    "send", "send_parts", "send_many", "claim", "wait_until_drained", "wait_for_peer",
]  # fmt: skip


# It begins to wait in one way and goes on in another.
@pytest.mark.parametrize("moment", [0, 0.2])
@pytest.mark.parametrize("call", CALLS)
def test_it_ends(call, moment, name, child):
    ringway.create(name, capacity=4096, kind="mpmc")
    other = child(PROGRAM, call, name)
    assert other.line() == "ready"
    time.sleep(moment)
    other.process.send_signal(signal.SIGINT)
    assert other.line() == "interrupted"
    assert other.end() == (0, "")


def test_a_program_that_does_not_catch_it_ends_by_it(name, child):
    ringway.create(name)
    other = child(
        """
        import sys, ringway
        with ringway.open(sys.argv[1]).receiver() as receiver:
            print("ready")
            receiver.recv()
        """,
        name,
    )
    assert other.line() == "ready"
    other.process.send_signal(signal.SIGINT)
    status, errors = other.end()
    assert status == -signal.SIGINT and "KeyboardInterrupt" in errors
    assert not ringway.stat(name).participants or not ringway.stat(name).participants[0].alive


@pytest.mark.parametrize("handle", ["reader", "watcher"])
def test_it_ends_who_reads_a_board(handle, name, child):
    ringway.create_board(name)
    other = child(
        """
        import sys, ringway
        board = ringway.open_board(sys.argv[1])
        handle = board.watch() if sys.argv[2] == "watcher" else board.reader("speed")
        print("ready")
        try:
            handle.newer()
        except KeyboardInterrupt:
            board.writer("speed").set(b"50")
            print(handle.newer() in (b"50", ("speed", b"50")))
        """,
        name,
        handle,
    )
    assert other.line() == "ready"
    time.sleep(0.1)
    other.process.send_signal(signal.SIGINT)
    assert other.line() == "True"
    assert other.end() == (0, "")


def test_signals_end_calls_again_and_again(name, child):
    """At whatever moment of a call they come: none is lost, and none stays for a call that comes later."""
    ringway.create(name)
    other = child(
        """
        import random, signal, sys, time, ringway
        receiver = ringway.open(sys.argv[1]).receiver()
        rounds = 0
        print("ready")
        while rounds < 200:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
            begun = time.monotonic()
            try:
                # Around the moment at which the one way of waiting ends and the other begins.
                signal.setitimer(signal.ITIMER_REAL, random.choice([0.0001, random.uniform(0.005, 0.015)]))
                receiver.recv(timeout=30)
            except KeyboardInterrupt:
                rounds += 1
                longest = time.monotonic() - begun
                assert longest < 20, longest
        try:
            receiver.recv(timeout=0.05)
        except ringway.TimedOut:
            print("done")
        """,
        name,
    )
    assert other.line() == "ready"
    assert other.line() == "done"
    assert other.end() == (0, "")


def test_a_call_that_waits_does_nothing_meanwhile(name, child):
    """It does not wake up to look for signals many times a second."""
    ringway.create(name)
    other = child(
        """
        import sys, ringway
        receiver = ringway.open(sys.argv[1]).receiver()
        print("ready")
        receiver.recv()
        """,
        name,
    )
    assert other.line() == "ready"

    def naps():
        with open(f"/proc/{other.pid}/status") as status:
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])

    time.sleep(0.5)
    before = naps()
    time.sleep(2)
    # Once a second it looks for signals that came in the wrong moment, and once whether the ring is still there.
    assert naps() - before < 12
