"""Ctrl-C ends whatever call waits, with KeyboardInterrupt; and what was there before is there still."""

import signal

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


@pytest.mark.parametrize("call", CALLS)
def test_it_ends(call, name, child):
    ringway.create(name, capacity=4096, kind="mpmc")
    other = child(PROGRAM, call, name)
    assert other.line() == "ready"
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
