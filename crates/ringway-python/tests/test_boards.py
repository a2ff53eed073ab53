"""Boards: entries with names, and of each the latest value. A writer that is killed leaves the last one."""

import asyncio
import os
import select
import signal
import socket
import threading
import time

import numpy
import pytest

import ringway
import ringway.aio
from conftest import PATIENCE


@pytest.fixture
def board(name):
    with ringway.create_board(name, keys=["speed", "level"], value_len=4096) as board:
        yield board


def test_the_latest_value_is_read(board):
    speed, gauge = board.writer("speed"), board.reader("speed")
    assert gauge.get() is None and gauge.try_newer() is None and gauge.number == 0
    with pytest.raises(ringway.TimedOut):
        gauge.newer(timeout=0.001)
    assert [speed.set(b"50"), speed.set(bytearray(b"60"))] == [1, 2]
    assert gauge.newer() == b"60" and gauge.number == 2
    assert gauge.try_newer() is None and gauge.get() == b"60"
    speed.set(numpy.arange(4, dtype=numpy.float64))
    assert numpy.frombuffer(gauge.newer(), dtype=numpy.float64).sum() == 6
    assert speed.number == 3 and speed.key == gauge.key == "speed"
    with pytest.raises(ringway.TooLarge) as error:
        speed.set(bytes(5000))
    assert (error.value.len, error.value.max) == (5000, 4096)


def test_one_writes_an_entry_and_any_number_read(board):
    speed = board.writer("speed")
    with pytest.raises(ringway.RoleTaken) as error:
        ringway.open_board(board.address).writer("speed")
    assert error.value.pid == os.getpid()
    readers = [board.reader("speed") for _ in range(200)]
    speed.set(b"all")
    assert {reader.get() for reader in readers} == {b"all"}
    assert readers[0].peer == "alive"
    speed.close()
    assert speed.closed and readers[0].peer == "absent"
    with board.writer("speed") as again:
        assert again.number == 1
    with pytest.raises(ringway.HandleClosed):
        speed.set(b"late")


def test_a_watcher_reads_whatever_changes(board):
    watcher = board.watch()
    assert watcher.try_newer() is None
    with pytest.raises(ringway.TimedOut):
        watcher.newer(timeout=0.001)
    board.writer("speed").set(b"50")
    board.writer("level").set(b"3")
    assert {next(watcher), watcher.newer()} == {("speed", b"50"), ("level", b"3")}
    assert watcher.try_newer() is None


def test_what_a_board_is_like(board):
    assert board.is_new and not board.is_removed() and board.entries == 2 and board.keys() == ["speed", "level"]
    again = ringway.open_or_create_board(board.address, entries=2)
    assert not again.is_new and again.max_value_len >= 4096 and again.writers == 32
    with pytest.raises(ringway.Incompatible):
        ringway.open_board(board.address, entries=50)
    with pytest.raises(ringway.AlreadyExists):
        ringway.create_board(board.address)
    with pytest.raises(ringway.InvalidKey):
        board.reader("")
    with pytest.raises(ringway.NoSpace):
        board.writer("height")
    with pytest.raises(TypeError, match="BoardOptions"):
        ringway.create_board("memfd:", capacity=5)
    speed = board.writer("speed")
    speed.set(b"50")
    entry = ringway.stat(board.address).entries[0]
    assert (entry.key, entry.number, entry.len, entry.writer) == ("speed", 1, 2, os.getpid()) and entry.writer_alive
    assert board.stat().kind == "board" and "speed" in repr(entry)


def test_a_reader_is_woken_and_lets_others_run(board):
    gauge, got = board.reader("speed", wait="park"), []
    thread = threading.Thread(target=lambda: got.append(gauge.newer(timeout=PATIENCE)))
    thread.start()
    time.sleep(0.05)
    board.writer("speed").set(b"50")
    thread.join()
    assert got == [b"50"]


def test_closing_ends_who_waits(board):
    for handle in (board.reader("speed"), board.watch()):
        outcome = []

        def wait(handle=handle, outcome=outcome):
            try:
                handle.newer()
            except ringway.HandleClosed as error:
                outcome.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        handle.close()
        thread.join(PATIENCE)
        assert outcome and handle.closed


def test_descriptors(board):
    gauge, watcher, speed = board.reader("speed"), board.watch(), board.writer("speed")
    assert gauge.arm() and watcher.arm()
    assert select.select([gauge, watcher], [], [], 0)[0] == []
    speed.set(b"50")
    for handle in (gauge, watcher):
        assert select.select([handle], [], [], PATIENCE)[0] == [handle]
        assert not handle.arm()
        assert handle.try_newer() is not None
        assert handle.arm()
        handle.disarm()


def test_in_asyncio(board):
    async def main():
        speed = board.writer("speed")
        gauge, watcher = ringway.aio.Reader(board.reader("speed")), ringway.aio.Watcher(board.watch())

        async def watch():
            last = None
            async for key, value in watcher:
                assert key == "speed" and (last is None or int(value) > last)
                last = int(value)
                if last == 99:
                    return

        watching = asyncio.create_task(watch())
        for number in range(100):
            waiting = asyncio.create_task(gauge.newer())
            await asyncio.sleep(0)
            speed.set(b"%d" % number)
            assert await waiting == b"%d" % number
        await watching

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


WRITER = """
    import sys, ringway
    writer = ringway.open_board(sys.argv[1]).writer("speed")
    print("ready")
    number = writer.number
    while True:
        number += 1
        assert writer.set(b"%d " % number * 300) == number
"""


def test_a_writer_that_is_killed_leaves_a_whole_value(board, child):
    gauge, last = board.reader("speed"), 0
    for _ in range(5):
        other = child(WRITER, board.address)
        other.line()
        while gauge.number < last + 100:
            value = gauge.newer(timeout=PATIENCE)
            assert value == b"%d " % gauge.number * 300
        other.kill()
        with pytest.raises(ringway.PeerDied):
            while True:
                gauge.newer(timeout=PATIENCE)
        last = gauge.number
        assert gauge.get() == b"%d " % last * 300 and gauge.peer == "died"
    # Told once.
    with pytest.raises(ringway.TimedOut):
        gauge.newer(timeout=0.01)


def test_a_task_hears_of_the_writers_death(board, child):
    other = child(WRITER, board.address)
    other.line()

    async def main():
        gauge = ringway.aio.Reader(board.reader("speed"))
        await gauge.newer()
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(asyncio.TimeoutError):
            while True:
                await asyncio.wait_for(gauge.newer(), 0.1)
        other.kill()
        with pytest.raises(ringway.PeerDied):
            while True:
                await asyncio.wait_for(gauge.newer(), PATIENCE)

    asyncio.run(main())


def test_a_board_without_a_name_is_handed_over():
    here, there = socket.socketpair()
    with here, there:
        board = ringway.create_board("memfd:")
        board.hand_over(here)
        same, peer = ringway.take_over_board(there)
        assert peer[0] == os.getpid()
        board.writer("speed").set(b"50")
        assert same.reader("speed").get() == b"50"


def test_a_child_of_fork_is_told_so(board):
    gauge, speed, watcher = board.reader("speed"), board.writer("speed"), board.watch()
    pid = os.fork()
    if pid == 0:
        told = 0
        for call in (gauge.get, gauge.newer, lambda: speed.set(b""), watcher.newer, gauge.fileno):
            try:
                call()
            except ringway.Forked:
                told += 1
        own = ringway.open_board(board.address)
        own.writer("level").set(b"from the child")
        os._exit(0 if told == 5 else 9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert board.reader("level").get() == b"from the child"
    speed.set(b"on")
    assert gauge.newer() == b"on"
