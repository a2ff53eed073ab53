"""In asyncio what waits is awaited: the loop runs meanwhile, a cancelled call has lost nothing, and no thread waits."""

import asyncio
import threading

import pytest

import ringway
import ringway.aio
from conftest import PATIENCE


def run(main):
    return asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.fixture(params=["spsc", "mpmc"])
def ring(request):
    with ringway.create("memfd:", kind=request.param, capacity=4096) as ring:
        yield ring


def test_who_waits_lets_others_run(ring):
    async def main():
        with ringway.aio.Sender(ring) as sender, ringway.aio.Receiver(ring) as receiver:

            async def send():
                for number in range(2000):
                    await sender.send(b"%d" % number)
                    if number % 100 == 0:
                        # So both sides wait now and then.
                        await asyncio.sleep(0.001)
                sender.close()

            sending = asyncio.create_task(send())
            got = [int(message) async for message in receiver]
            await sending
            assert got == list(range(2000))
            assert asyncio.get_running_loop().remove_reader(receiver.receiver.fileno()) is False

    run(main)


def test_a_call_that_is_cancelled_has_lost_nothing(ring):
    async def main():
        sender, receiver = ring.sender(), ringway.aio.Receiver(ring)
        for number in range(100):
            waiting = asyncio.create_task(receiver.recv())
            await asyncio.sleep(0)
            if number % 2:
                sender.send(b"%d" % number)
            waiting.cancel()
            try:
                assert await waiting == b"%d" % number
            except asyncio.CancelledError:
                if number % 2:
                    assert await receiver.recv() == b"%d" % number
        with pytest.raises(ringway.Empty):
            receiver.receiver.try_recv()
        # A blocking call goes on where an awaited one was cancelled.
        sender.send(b"last")
        assert receiver.receiver.recv(timeout=1) == b"last"

    run(main)


def test_every_call_waits(ring):
    async def main():
        sender, receiver = ringway.aio.Sender(ring), ringway.aio.Receiver(ring)

        async def later(call):
            waiting = asyncio.create_task(call)
            await asyncio.sleep(0.001)
            assert not waiting.done()
            return waiting

        waiting = await later(receiver.recv_into(buffer := bytearray(5)))
        await sender.send(b"hello")
        assert (await waiting, buffer) == (5, b"hello")
        waiting = await later(receiver.recv_many(10))
        await sender.send_parts([b"one ", bytearray(b"two")])
        assert await waiting == [b"one two"]
        waiting = await later(receiver.recv_view())
        with await sender.claim(3) as view:
            view[:] = b"abc"
        with await waiting as view:
            assert bytes(view) == b"abc"

        with pytest.raises(ringway.Full):
            while True:
                sender.sender.try_send(bytes(500))
        for call, size in ((sender.send(bytes(500)), 500), (sender.send_parts([bytes(499)]), 499)):
            waiting = await later(call)
            while not waiting.done():
                last = await receiver.recv()
                await asyncio.sleep(0)
            await waiting
            while receiver.receiver.is_drained() is False:
                last = await receiver.recv()
            assert len(last) == size
            with pytest.raises(ringway.Full):
                while True:
                    sender.sender.try_send(bytes(500))
        waiting = await later(sender.claim(500))
        while not waiting.done():
            # What is claimed is no message, for which one could wait.
            receiver.receiver.recv_many(1) if not receiver.receiver.is_drained() else None
            await asyncio.sleep(0.001)
        (await waiting).abort()

    run(main)


def test_ends_and_deaths_are_told(ring, name, child):
    async def main():
        receiver = ringway.aio.Receiver(ring)
        sender = ring.sender()
        waiting = asyncio.create_task(receiver.recv())
        await asyncio.sleep(0.001)
        sender.close()
        with pytest.raises(ringway.Closed):
            await waiting

        theirs = ringway.create(name)
        other = child("import sys, time, ringway; s = ringway.open(sys.argv[1]).sender(); print('ready'); time.sleep(1000)", name)
        other.line()
        receiver = ringway.aio.Receiver(theirs)
        waiting = asyncio.create_task(receiver.recv())
        await asyncio.sleep(0.001)
        other.kill()
        with pytest.raises(ringway.PeerDied):
            await waiting

    run(main)


def test_a_handle_is_for_one_task_at_a_time(ring):
    async def main():
        receiver = ringway.aio.Receiver(ring)
        waiting = asyncio.create_task(receiver.recv())
        await asyncio.sleep(0.001)
        with pytest.raises(ringway.StillHeld):
            await receiver.recv()
        ring.sender().send(b"hello")
        assert await waiting == b"hello"

    run(main)


def test_many_rings_need_no_thread_of_python():
    async def main():
        rings = [ringway.create("memfd:", capacity=4096) for _ in range(40)]
        receivers = [ringway.aio.Receiver(ring) for ring in rings]
        waiting = [asyncio.create_task(receiver.recv()) for receiver in receivers]
        await asyncio.sleep(0.01)
        assert threading.active_count() == 1
        for number, ring in enumerate(rings):
            ring.sender().send(b"%d" % number)
        assert await asyncio.gather(*waiting) == [b"%d" % number for number in range(40)]

    run(main)


def test_a_queue_is_refused(queue_name):
    async def main():
        with pytest.raises(ringway.Unsupported):
            await ringway.aio.Receiver(ringway.create(queue_name)).recv()

    run(main)


def test_ctrl_c_ends_a_program_that_waits(name, child):
    import signal

    ringway.create(name)
    other = child(
        """
        import asyncio, sys, ringway, ringway.aio

        async def main():
            with ringway.aio.Receiver(ringway.open(sys.argv[1])) as receiver:
                print("ready")
                await receiver.recv()

        asyncio.run(main())
        """,
        name,
    )
    assert other.line() == "ready"
    other.process.send_signal(signal.SIGINT)
    status, errors = other.end()
    assert status == -signal.SIGINT and "KeyboardInterrupt" in errors
