"""A Python process that is killed is a process that is killed: nothing that was sent is lost, nothing that was acknowledged comes again."""

import os
import random
import subprocess
import time

import pytest

import ringway
from conftest import PATIENCE

SEND = """
    import sys, ringway
    sender = ringway.open(sys.argv[1]).sender()
    print("ready")
    for number in range(sender.sent, 1 << 40):
        {send}
"""
WAYS_TO_SEND = {
    "copies": "sender.send(b'%020d' % number)",
    "claims": """
        with sender.claim(20) as view:
            view[:] = b'%020d' % number""",
    "batches": """
        if number == sender.sent:
            sender.send_many(b'%020d' % n for n in range(number, number + 5))""",
}


@pytest.mark.parametrize("how", WAYS_TO_SEND)
def test_what_a_killed_sender_has_sent_comes_whole_and_in_order(how, name, child):
    ring = ringway.create(name, capacity=1 << 16)
    receiver = ring.receiver()
    expected = 0
    for _ in range(5):
        other = child(SEND.format(send=WAYS_TO_SEND[how]), name)
        other.line()
        for _ in range(random.randrange(1, 3000)):
            assert receiver.recv(timeout=PATIENCE) == b"%020d" % expected
            expected += 1
        other.kill()
        with pytest.raises(ringway.PeerDied):
            while True:
                assert receiver.recv(timeout=PATIENCE) == b"%020d" % expected
                expected += 1
        assert ring.stat().sent == expected


def test_a_message_that_a_killed_receiver_held_comes_again(name, child):
    ring = ringway.create(name, kind="mpmc", slabs=[(1 << 20, 4)])
    sender = ring.sender()
    receiver = None
    for message in (b"short", bytes(1 << 20)):
        sender.send(message)
        other = child(
            """
            import sys, time, ringway
            receiver = ringway.open(sys.argv[1]).receiver()
            view = memoryview(receiver.recv_view())
            print(len(view))
            time.sleep(1000)
            """,
            name,
        )
        assert other.line() == str(len(message))
        receiver = receiver or ring.receiver()
        with pytest.raises(ringway.Empty):
            receiver.try_recv()
        other.kill()
        with receiver.recv_view(timeout=PATIENCE) as view:
            assert bytes(view) == message
        assert ring.stat().slabs[0].free == 4


def test_a_claim_of_a_killed_sender_is_given_up(name, child):
    ring = ringway.create(name, kind="mpmc")
    receiver = ring.receiver()
    other = child(
        """
        import sys, time, ringway
        sender = ringway.open(sys.argv[1]).sender()
        view = memoryview(sender.claim(1000))
        view[:] = bytes(1000)
        print("claimed")
        time.sleep(1000)
        """,
        name,
    )
    assert other.line() == "claimed"
    ring.sender().send(b"behind it")
    with pytest.raises(ringway.Empty):
        receiver.try_recv()
    other.kill()
    assert receiver.recv(timeout=PATIENCE) == b"behind it"


def test_who_waits_for_one_that_is_killed_is_told(name, child):
    ring = ringway.create(name)
    other = child(
        """
        import sys, time, ringway
        sender = ringway.open(sys.argv[1]).sender()
        print("ready")
        time.sleep(1000)
        """,
        name,
    )
    other.line()
    receiver = ring.receiver()
    os.kill(other.pid, 19)  # SIGSTOP: that is no death
    with pytest.raises(ringway.TimedOut):
        receiver.recv(timeout=0.2)
    other.process.kill()
    with pytest.raises(ringway.PeerDied):
        receiver.recv(timeout=PATIENCE)
    assert receiver.peer == "died"


WORKER = """
    import sys, ringway
    jobs = ringway.open(sys.argv[1]).receiver()
    done = ringway.open(sys.argv[2]).sender()
    print("ready")
    while True:
        try:
            with jobs.recv_view() as job:
                done.send(job)
        except (ringway.Closed, ringway.PeerDied):
            jobs.wait_for_peer()
"""


def test_workers_are_killed_and_no_job_is_lost(name, child):
    jobs, done = ringway.create(name, kind="mpmc", capacity=1 << 14), ringway.create(f"{name}-done", kind="mpmc")
    try:
        sender, receiver = jobs.sender(), done.receiver()
        workers = [child(WORKER, name, f"{name}-done") for _ in range(3)]
        for worker in workers:
            worker.line()
        count, kills, got, sent = 4000, 0, [], 0
        while len(set(got)) < count:
            for _ in range(100):
                if sent < count:
                    try:
                        sender.try_send(b"%d" % sent)
                        sent += 1
                    except (ringway.Full, ringway.PeerDied):
                        # The last one may be dead before the next has come.
                        break
            if len(set(got)) == sent:
                # There was no room, for a job that is answered and not yet acknowledged; no answer is on its way.
                continue
            try:
                got += map(int, receiver.recv_many(1000, timeout=PATIENCE))
            except ringway.PeerDied:
                pass
            if len(got) > 500 * (kills + 1) and kills < 6:
                workers.pop(random.randrange(len(workers))).kill()
                kills += 1
                workers.append(child(WORKER, name, f"{name}-done"))
        assert sorted(set(got)) == list(range(count))
        # One that is killed between sending the answer and acknowledging the job has it done again.
        assert len(got) - count <= kills
    finally:
        ringway.remove(done.address, force=True)


def cli(*arguments):
    """The command of ringway, with Python on the other side."""
    command = os.environ.get("RINGWAY_COMMAND")
    if not command:
        pytest.skip("RINGWAY_COMMAND does not say where the command is (cargo xtask python does)")
    return subprocess.Popen([command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_command_receives_from_a_python_process_that_is_killed(name, child):
    ring = ringway.create(name)
    receive = cli("recv", name, "--quiet")
    other = child(SEND.format(send=WAYS_TO_SEND["copies"]), name)
    other.line()
    time.sleep(0.2)
    other.kill()
    out, _ = receive.communicate(timeout=PATIENCE)
    got = [int(line) for line in out.split()]
    assert receive.returncode == 1, "the sender died before it closed"
    assert got == list(range(ring.stat().sent)) and ring.stat().messages == 0


def test_a_python_process_receives_from_the_command_that_is_killed(name):
    ring = ringway.create(name, capacity=4096)
    send = cli("send", name, "--quiet")
    receiver = ring.receiver()
    for number in range(2000):
        send.stdin.write(f"{number}\n")
    send.stdin.flush()
    for number in range(1000):
        assert receiver.recv(timeout=PATIENCE) == b"%d" % number
    send.kill()
    send.communicate()
    got = []
    with pytest.raises(ringway.PeerDied):
        while True:
            got.append(int(receiver.recv(timeout=PATIENCE)))
    assert got == list(range(1000, 1000 + len(got)))
