"""Calls are answered, whole and in parts; who waits is told of whatever ends that; and a killed process is a killed process."""

import asyncio
import os
import pickle
import signal
import threading
import time

import pytest

import ringway
import ringway.aio
from conftest import PATIENCE

#: In one piece, in several, and a whole number of them.
LENGTHS = [0, 1, 100, 4000, 4096, 10_000, 300_000]


@pytest.fixture
def server(name):
    with ringway.serve(name) as server:
        yield server


def upper(body):
    if body == b"fail":
        raise ringway.Failed("on purpose", status=7)
    return body.upper()


def start(server, work=upper):
    def run():
        with pytest.raises(ringway.HandleClosed):
            server.run(work)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_calls_are_answered(server):
    servers = [server, server.another(), server.another()]
    threads = [start(each) for each in servers]
    first = ringway.connect(server.address, wait=PATIENCE)
    assert first.servers == 1 and first.address == server.address

    def call(client):
        for round in range(10):
            for length in LENGTHS:
                body = bytes([ord("a") + round]) * length
                assert client.call(memoryview(body), timeout=PATIENCE) == body.upper()
            with pytest.raises(ringway.Failed) as failed:
                client.call(b"fail")
            assert failed.value.status == 7 and failed.value.failure == b"on purpose"
            assert "on purpose" in str(failed.value)

    callers = [threading.Thread(target=call, args=(first.another(),)) for _ in range(4)]
    for caller in callers:
        caller.start()
    call(first)
    for caller in callers:
        caller.join()
    # That ends who waits.
    for each, thread in zip(servers, threads):
        each.close()
        thread.join()


def test_each_request_has_one_end(server):
    client = ringway.connect(server.address)
    call = client.stream(b"one", timeout=PATIENCE)
    request = server.next(timeout=PATIENCE)
    assert request.body == b"one" and 0 < request.time_left <= PATIENCE and not request.is_repeated
    with pytest.raises(ringway.StillHeld):
        server.next(timeout=0)
    with pytest.raises(ringway.StillHeld):
        server.arm()
    request.answer(bytearray(b"done"))
    for end in (request.end, lambda: request.answer(b""), lambda: request.fail("no"), lambda: request.send(b"")):
        with pytest.raises(ringway.HandleClosed):
            end()
    request.let_go()
    assert list(call) == [b"done"] and list(call) == []
    # One that nobody has any more is let go.
    call = client.stream(b"two")
    server.next(timeout=PATIENCE)
    with pytest.raises(ringway.LetGo):
        next(call)
    call = client.stream(b"three")
    with server.next(timeout=PATIENCE) as request:
        assert request.time_left is None
    with pytest.raises(ringway.LetGo):
        next(call)
    # A work that raises something else ends the serving.
    call = client.stream(b"four")
    with pytest.raises(ZeroDivisionError):
        server.run(lambda body: 1 // 0)
    with pytest.raises(ringway.LetGo):
        next(call)


def test_a_call_ends_the_one_before(server):
    client = ringway.connect(server.address)
    first = client.stream(b"first")
    request = server.next(timeout=PATIENCE)
    second = client.stream(b"second")
    assert request.is_cancelled()
    with pytest.raises(ringway.Cancelled):
        request.answer(b"late")
    with pytest.raises(ringway.HandleClosed):
        next(first)
    first.cancel()
    server.next(timeout=PATIENCE).answer(b"done")
    assert list(second) == [b"done"]
    third = client.stream(b"third")
    request = server.next(timeout=PATIENCE)
    del third
    assert request.is_cancelled()


def test_answers_come_in_parts(server):
    parts = [b"one", bytes(100_000), b"", b"last"]

    def work():
        for _ in range(2):
            with server.next() as request:
                for part in parts:
                    request.send(part)
                request.end()
        assert server.finish(PATIENCE)

    thread = threading.Thread(target=work)
    thread.start()
    client = ringway.connect(server.address)
    with client.stream(b"count", timeout=PATIENCE) as answers:
        assert list(answers) == parts
    assert client.call(b"count", timeout=PATIENCE) == b"".join(parts)
    thread.join()


def test_limits_and_options(name):
    with pytest.raises(ringway.NotFound):
        ringway.connect(name)
    with pytest.raises(TypeError):
        ringway.serve(name, nonsense=1)
    with pytest.raises(TypeError):
        ringway.connect(name, nonsense=1)
    with ringway.serve(name, clients=10, part_len=256, max_request=1000, patience=0.1, spin="park") as server:
        assert server.clients >= 10
        with pytest.raises(ringway.Incompatible):
            ringway.serve(name, clients=1000)
        other = server.another()
        thread = start(other)
        options = dict(max_answer=500, at_least_once=True, attempts=2, timeout=PATIENCE, grace=1, spin=0.001)
        with ringway.connect(name, **options) as client:
            assert client.call(bytes(500)) == bytes(500)
            with pytest.raises(ringway.TooLarge):
                client.call(bytes(501))
            with pytest.raises(ringway.TooLarge):
                client.call(bytes(1001))
        with pytest.raises(ringway.HandleClosed):
            client.call(b"")
        for handle in (server, client):
            with pytest.raises(ringway.NotPicklable):
                pickle.dumps(handle)
        other.close()
        thread.join()
    with pytest.raises(ringway.HandleClosed):
        server.next()


def test_time_passes(server):
    client = ringway.connect(server.address, timeout=0.05)
    assert server.try_next() is None
    for call in (lambda: server.next(timeout=0.01), lambda: client.call(b"x"), lambda: client.call(b"x", timeout=0.01)):
        with pytest.raises(ringway.TimedOut):
            call()
    with pytest.raises(TimeoutError):
        client.call(b"x", timeout=0)


def test_a_server_that_is_not_heeded_gives_up(name):
    with ringway.serve(name, patience=0.1) as server:
        client = ringway.connect(name)
        call = client.stream(b"x")
        request = server.next(timeout=PATIENCE)
        with pytest.raises(ringway.NotTaken):
            for _ in range(3):
                request.send(b"part")
        call.cancel()
        with pytest.raises(ringway.Cancelled):
            request.send(b"part")


PROGRAM = """
    import sys, ringway
    what, address = sys.argv[1:]
    if what in ("next", "iterate", "run", "send"):
        server = ringway.serve(address)
    else:
        client = ringway.connect(address)
    def send():
        with server.next() as request:
            while True:
                request.send(bytes(10000))
    calls = {
        "next": lambda: server.next(),
        "iterate": lambda: list(server),
        "run": lambda: server.run(lambda body: body),
        "send": send,
        "call": lambda: client.call(b"x"),
        "stream": lambda: list(client.stream(b"x")),
    }
    try:
        print("ready")
        calls[what]()
    except KeyboardInterrupt:
        # The handles are of use.
        if what in ("next", "iterate", "run", "send"):
            with server.next() as request:
                request.answer(b"done")
            server.finish()
        else:
            assert client.call(b"again") == b"AGAIN"
        print("interrupted")
"""


# It begins to wait in one way and goes on in another.
@pytest.mark.parametrize("moment", [0, 0.2])
@pytest.mark.parametrize("call", ["next", "iterate", "run", "send", "call", "stream"])
def test_ctrl_c_ends_it(call, moment, name, child, server):
    # A request that comes in the same moment is let go.
    client = ringway.connect(server.address, at_least_once=True, attempts=1000)
    if call in ("next", "iterate", "run", "send"):
        server.close()
        other = child(PROGRAM, call, name)
        assert other.line() == "ready"
        if call == "send":
            kept = client.stream(b"x")
            assert len(next(kept)) == 10000
        time.sleep(moment)
        other.process.send_signal(signal.SIGINT)
        assert client.call(b"again", timeout=PATIENCE) == b"done"
    else:
        other = child(PROGRAM, call, name)
        assert other.line() == "ready"
        request = server.next(timeout=PATIENCE)
        time.sleep(moment)
        other.process.send_signal(signal.SIGINT)
        with pytest.raises(ringway.Cancelled):
            while True:
                request.send(b"")
        request.let_go()
        request = server.next(timeout=PATIENCE)
        request.answer(request.body.upper())
        server.finish(PATIENCE)
    assert other.line() == "interrupted"
    assert other.end() == (0, "")


def test_others_run_while_it_waits_and_closing_ends_it(server):
    client = ringway.connect(server.address)
    for handle, wait in ((client, lambda: client.call(b"x")), (server, server.next)):
        ended = []

        def run():
            with pytest.raises(ringway.HandleClosed):
                wait()
            ended.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        # This one runs meanwhile.
        time.sleep(0.1)
        assert thread.is_alive() and not ended
        handle.close()
        thread.join(PATIENCE)
        assert ended


def test_a_child_of_fork_is_told(server):
    client = ringway.connect(server.address)
    call = client.stream(b"x")
    request = server.next(timeout=PATIENCE)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for forked in (
                lambda: server.next(),
                lambda: client.call(b"x"),
                lambda: next(call),
                lambda: request.answer(b"x"),
                lambda: request.is_cancelled(),
            ):
                try:
                    forked()
                except ringway.Forked:
                    continue
                os._exit(2)
            request.let_go()
            call.cancel()
            client.close()
            server.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # What is the parent's is there still.
    request.answer(b"done")
    assert list(call) == [b"done"]


SERVE = """
    import sys, time, ringway
    server = ringway.serve(sys.argv[1])
    print("ready")
    for request in server:
        if request.body == b"stay":
            print("stays", request.is_repeated)
            time.sleep(1000)
        request.answer(request.body)
"""
CALL = """
    import sys, ringway
    client = ringway.connect(sys.argv[1], wait=60)
    print("ready")
    while True:
        client.call(b"hello")
"""


def test_the_death_of_a_server_is_told_or_the_next_one_does_it(name, child):
    first = child(SERVE, name)
    assert first.line() == "ready"
    once, again = ringway.connect(name), ringway.connect(name, at_least_once=True, grace=PATIENCE)
    assert once.call(b"x", timeout=PATIENCE) == b"x"
    call = once.stream(b"stay")
    assert first.line() == "stays False"
    first.kill()
    with pytest.raises(ringway.ServerDied) as died:
        next(call)
    assert isinstance(died.value, ringway.PeerDied) and died.value.remedy
    with pytest.raises(ringway.NoServer):
        once.call(b"x")
    second = child(SERVE, name)
    assert second.line() == "ready"
    call = again.stream(b"stay")
    assert second.line() == "stays False"
    second.kill()
    with ringway.serve(name) as server:
        answered = threading.Thread(target=lambda: server.next(timeout=PATIENCE).answer(b"done"))
        answered.start()
        assert list(call) == [b"done"]
        answered.join()


def test_the_death_of_a_client_is_seen_and_frees_its_place(server, name, child):
    for round in range(5):
        other = child(CALL, name)
        assert other.line() == "ready"
        for _ in range(round * 20):
            server.next(timeout=PATIENCE).answer(b"hello")
        request = server.next(timeout=PATIENCE)
        assert not request.is_cancelled()
        other.kill()
        assert request.is_cancelled()
        with pytest.raises(ringway.Cancelled):
            request.answer(b"late")
        assert server.try_next() is None


async def work(server):
    async for request in ringway.aio.Server(server):
        with request:
            await asyncio.sleep(0)
            if request.body == b"parts":
                for part in (b"one", bytes(50_000), b"two"):
                    await request.send(part)
                    await request.flush()
                request.end()
            elif request.body == b"fail":
                request.fail("on purpose", status=7)
            else:
                request.answer(request.body.upper())


def test_an_asyncio_program_serves_calls_and_makes_them(server):
    async def calls():
        with ringway.aio.Client(ringway.connect(server.address)) as client:
            for length in LENGTHS:
                assert await client.call(b"x" * length) == b"X" * length
            parts = [part async for part in client.stream(b"parts")]
            assert parts == [b"one", bytes(50_000), b"two"]
            with pytest.raises(ringway.Failed):
                await client.call(b"fail")

    async def main():
        # All in one thread: who blocked it would block all.
        serving = [asyncio.create_task(work(server.another())) for _ in range(3)]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*[calls() for _ in range(5)])
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    asyncio.run(main())


def test_an_asyncio_program_serves_processes(name, child):
    other = child(
        """
        import asyncio, sys, ringway, ringway.aio

        async def main():
            with ringway.aio.Server(ringway.serve(sys.argv[1])) as server:
                print("ready")
                async for request in server:
                    await asyncio.sleep(0)
                    request.answer(request.body.upper())
                    if request.body == b"end":
                        break
                await server.finish()
        asyncio.run(main())
        """,
        name,
    )
    assert other.line() == "ready"
    clients = [ringway.connect(name) for _ in range(3)]
    for number in range(100):
        body = b"call %d" % number * 100
        assert clients[number % 3].call(body, timeout=PATIENCE) == body.upper()
    assert clients[0].call(b"end", timeout=PATIENCE) == b"END"
    assert other.end() == (0, "")


def test_what_is_cancelled_has_taken_no_request(server):
    async def main():
        serving = ringway.aio.Server(server)
        client = ringway.aio.Client(ringway.connect(server.address))
        for number in range(50):
            calling = asyncio.create_task(client.call(b"%d" % number, timeout=PATIENCE))
            while True:
                try:
                    async with asyncio.timeout(0.0005 * (number % 3)):
                        request = await serving.next()
                    break
                except TimeoutError:
                    pass
            assert request.body == b"%d" % number
            if number % 4 == 0:
                calling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await calling
                assert request.request.is_cancelled()
                request.let_go()
            else:
                request.answer(request.body)
                assert await calling == request.body

    asyncio.run(main())


def test_a_task_that_waits_does_nothing_meanwhile(server):
    async def main():
        serving = asyncio.create_task(ringway.aio.Server(server).next())
        await asyncio.sleep(0.2)
        before = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - before < 0.1
        serving.cancel()

    asyncio.run(main())
