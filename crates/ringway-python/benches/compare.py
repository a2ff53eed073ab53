"""Messages from one process to another: ringway beside what Python has, and pyzmq and iceoryx2 where they are installed.

    python compare.py [ROUNDS]

What is compared takes turns within one run, ROUNDS times (default 9), since a machine's speed changes within seconds. For each the median of its
rates is shown, and how many times as fast ringway is: in the median round, and in the rounds between which half of all lie.
"""

import ctypes
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


def iceoryx_service(name):
    import iceoryx2

    iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    # Nothing is overwritten, and the queue between the two has room for many.
    service = (
        node.service_builder(iceoryx2.ServiceName.new(name))
        .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        .enable_safe_overflow(False)
        .subscriber_max_buffer_size(1024)
        .open_or_create()
    )
    return node, service


def send_iceoryx(name, count):
    import iceoryx2

    node, service = iceoryx_service(name)
    publisher = (
        service.publisher_builder()
        .initial_max_slice_len(SMALL)
        .backpressure_strategy(iceoryx2.BackpressureStrategy.RetryUntilDelivered)
        .create()
    )
    message = bytes(SMALL)
    for _ in range(count):
        sample = publisher.loan_slice_uninit(SMALL)
        ctypes.memmove(sample.payload_ptr, message, SMALL)
        sample.assume_init().send()
    # Its memory goes with it: what is on its way must have come.
    time.sleep(0.5)


def time_iceoryx(count):
    name = f"ringway-bench-{os.getpid()}-{time.monotonic_ns()}"
    node, service = iceoryx_service(name)
    subscriber = service.subscriber_builder().create()

    def receive():
        while (sample := subscriber.receive()) is None:
            pass
        assert len(sample.payload()) == SMALL
        sample.delete()

    with started(send_iceoryx, name, count):
        receive()
        begin = time.perf_counter()
        for _ in range(count - 1):
            receive()
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
        ratios = [mine / theirs for mine, theirs in zip(rates[ours[0]], found)]
        low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rate = f"{statistics.median(found):12,.0f} a second"
        print(f"  {name:24} {rate}   ringway is {ratio:5.2f} times as fast ({low:.2f} to {high:.2f})", flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    others = {"multiprocessing.Queue": time_queue, "multiprocessing.Pipe": time_pipe}
    try:
        import zmq  # noqa: F401

        others["pyzmq, ipc"] = time_zmq
    except ImportError:
        print("pyzmq is not installed")
    try:
        import iceoryx2  # noqa: F401

        others["iceoryx2"] = time_iceoryx
    except ImportError:
        print("iceoryx2 is not installed")
    compare("1 KiB, one way: recv_view", 20_000, ("ringway", time_ringway), others, rounds)
    others = {"multiprocessing.Pipe": time_pipe_frames}
    compare("1 MiB array: claim, recv_view", 500, ("ringway", time_ringway_frames), others, rounds)


if __name__ == "__main__":
    main()
