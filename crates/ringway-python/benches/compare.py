"""Messages from one process to another: ringway beside what Python has, and pyzmq where it is installed.

    python compare.py [ROUNDS]

What is compared takes turns within one run, ROUNDS times (default 7), since a machine's speed changes within seconds. For each the median of its
rates is shown, and how many times as fast ringway is in the median round.
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time

import numpy

import ringway

SMALL, FRAME = 1024, 1 << 20


def send_ringway(address, count):
    message = bytes(SMALL)
    with ringway.open(address).sender() as sender:
        for _ in range(count):
            sender.send(message)


def time_ringway(count):
    address = f"shm:ringway-bench-{os.getpid()}"
    ring = ringway.create(address)
    try:
        with ring.receiver() as receiver, started(send_ringway, address, count):
            receiver.wait()
            begin = time.perf_counter()
            for _ in range(count):
                with receiver.recv_view() as view:
                    assert len(view) == SMALL
            return time.perf_counter() - begin
    finally:
        ringway.remove(address, force=True)


def send_ringway_frames(address, count):
    with ringway.open(address).sender() as sender:
        for number in range(count):
            with sender.claim(FRAME, in_place=True) as view:
                numpy.frombuffer(view, dtype=numpy.uint8)[:] = number & 255


def time_ringway_frames(count):
    address = f"shm:ringway-bench-{os.getpid()}"
    ring = ringway.create(address, capacity=1 << 16, slabs=[(FRAME, 4)])
    try:
        with ring.receiver() as receiver, started(send_ringway_frames, address, count):
            receiver.wait()
            begin = time.perf_counter()
            for number in range(count):
                with receiver.recv_view() as view:
                    assert numpy.frombuffer(view, dtype=numpy.uint8)[-1] == number & 255
            return time.perf_counter() - begin
    finally:
        ringway.remove(address, force=True)


def send_queue(queue, count):
    message = bytes(SMALL)
    for _ in range(count):
        queue.put(message)


def time_queue(count):
    queue = multiprocessing.Queue()
    with started(send_queue, queue, count):
        queue.get()
        begin = time.perf_counter()
        for _ in range(count - 1):
            queue.get()
        return time.perf_counter() - begin


def send_pipe(pipe, count):
    message = bytes(SMALL)
    for _ in range(count):
        pipe.send_bytes(message)


def time_pipe(count):
    here, there = multiprocessing.Pipe(duplex=False)
    with started(send_pipe, there, count):
        here.recv_bytes()
        begin = time.perf_counter()
        for _ in range(count - 1):
            here.recv_bytes()
        return time.perf_counter() - begin


def send_pipe_frames(pipe, count):
    frame = numpy.empty(FRAME, dtype=numpy.uint8)
    for number in range(count):
        frame[:] = number & 255
        pipe.send_bytes(frame)


def time_pipe_frames(count):
    here, there = multiprocessing.Pipe(duplex=False)
    with started(send_pipe_frames, there, count):
        here.recv_bytes()
        begin = time.perf_counter()
        for number in range(1, count):
            assert numpy.frombuffer(here.recv_bytes(), dtype=numpy.uint8)[-1] == number & 255
        return time.perf_counter() - begin


def send_zmq(address, count):
    import zmq

    message = bytes(SMALL)
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(address)
        for _ in range(count):
            socket.send(message)


def time_zmq(count):
    import zmq

    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context, context.socket(zmq.PULL) as socket:
        address = f"ipc://{folder}/socket"
        socket.bind(address)
        with started(send_zmq, address, count):
            socket.recv()
            begin = time.perf_counter()
            for _ in range(count - 1):
                socket.recv()
            return time.perf_counter() - begin


class started:
    """Another process, for as long as the block lasts."""

    def __init__(self, work, *arguments):
        self.process = multiprocessing.Process(target=work, args=arguments)

    def __enter__(self):
        self.process.start()

    def __exit__(self, *_):
        self.process.join()


def compare(title, count, ours, others, rounds):
    rates = {name: [] for name in (ours[0], *others)}
    for _ in range(rounds):
        for name, measure in (ours, *others.items()):
            rates[name].append(count / measure(count))
    print(title)
    for name, found in rates.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(rates[ours[0]], found))
        print(f"  {name:24} {statistics.median(found):12,.0f} a second   ringway is {ratio:5.1f} times as fast")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    others = {"multiprocessing.Queue": time_queue, "multiprocessing.Pipe": time_pipe}
    try:
        import zmq  # noqa: F401

        others["pyzmq, ipc"] = time_zmq
    except ImportError:
        print("pyzmq is not installed")
    compare("1 KiB, one way: recv_view", 20_000, ("ringway", time_ringway), others, rounds)
    others = {"multiprocessing.Pipe": time_pipe_frames}
    compare("1 MiB array: claim, recv_view", 500, ("ringway", time_ringway_frames), others, rounds)


if __name__ == "__main__":
    main()
