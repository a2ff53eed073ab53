"""Messages from one process to another: ringway beside what Python has, and pyzmq and iceoryx2 where they are installed.

    python compare.py [ROUNDS]

What is compared takes turns within one run, ROUNDS times (default 9), since a machine's speed changes within seconds. For each the median of its
rates is shown, and how many times as fast ringway is: in the median round, and in the rounds between which half of all lie.

Each turn is a group of processes of its own. One that is not over after DEADLINE seconds is ended, says where it was, and takes no further turn.
"""

import contextlib
import ctypes
import faulthandler
import glob
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

import ringway

SMALL, FRAME = 1024, 1 << 20
DEADLINE = 30


def own_name():
    """How all begins that a turn makes in /dev/shm, and what its directory for iceoryx2 is called."""
    return name_of(os.getpgrp())


def name_of(group):
    return f"ringway-bench-{group}-"



def send_ringway(address, count):
    message = bytes(SMALL)
    with ringway.open(address).sender() as sender:
        for _ in range(count):
            sender.send(message)


def time_ringway(count):
    address = f"shm:{own_name()}ring"
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
    address = f"shm:{own_name()}ring"
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
    # What it leaves behind is found by its name.
    config = iceoryx2.config.default()
    config.global_cfg.prefix = iceoryx2.FileName.new(own_name())
    config.global_cfg.root_path = iceoryx2.Path.new(os.path.join(tempfile.gettempdir(), own_name()))
    node = iceoryx2.NodeBuilder.new().config(config).create(iceoryx2.ServiceType.Ipc)
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
    # Its memory goes with it, and with that what is on its way.
    signal.pause()


def time_iceoryx(count):
    name = f"{own_name()}service"
    node, service = iceoryx_service(name)
    subscriber = service.subscriber_builder().create()

    def receive():
        while (sample := subscriber.receive()) is None:
            pass
        assert sample.payload().len() == SMALL
        sample.delete()

    # In some runs a few hundred of the first messages do not come: more are sent than are received, until it is killed. (Not a child of `fork`,
    # which would go on with what its parent had.)
    with started(send_iceoryx, name, 2 * count, method="spawn") as other:
        receive()
        begin = time.perf_counter()
        for _ in range(count - 1):
            receive()
        seconds = time.perf_counter() - begin
        other.process.kill()
        return seconds


class started:
    """Another process, for as long as the block lasts."""

    def __init__(self, work, *arguments, method="fork"):
        context = multiprocessing.get_context(method)
        self.process = context.Process(target=limited, args=(work, *arguments))

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, failed, *_):
        if failed:
            # Who sends to nobody could wait for ever.
            self.process.kill()
        self.process.join()


def limited(work, *arguments):
    """Does it, and is killed if that lasts although nobody is left to end it."""
    signal.alarm(2 * DEADLINE)
    return work(*arguments)


def measured(measure, count):
    """Seconds that it took, in a group of processes of its own; None if it failed or had to be ended."""
    command = [sys.executable, __file__, "--turn", measure.__name__, str(count)]
    turn = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = turn.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        told = ""
        # All of them say where they are.
        os.killpg(turn.pid, signal.SIGUSR1)
        time.sleep(1)
    # Whoever of them is left. (If its leader was waited for, and nobody is left, there is no such group.)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(turn.pid, signal.SIGKILL)
    turn.wait()
    for path in glob.glob(f"/dev/shm/{name_of(turn.pid)}*"):
        os.unlink(path)
    shutil.rmtree(os.path.join(tempfile.gettempdir(), name_of(turn.pid)), ignore_errors=True)
    return float(told) if turn.returncode == 0 and told else None


def compare(title, count, ours, others, rounds):
    """Whether all took all their turns."""
    contestants = {ours[0]: ours[1], **others}
    rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in list(contestants.items()):
            seconds = measured(measure, count)
            if seconds is None:
                print(f"{name}: no result; it says above why, and takes no further turn", flush=True)
                del contestants[name]
            else:
                rates[name].append(count / seconds)
    print(title)
    for name, found in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(rates[ours[0]], found)]
        if not ratios:
            continue
        low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rate = f"{statistics.median(found):12,.0f} a second"
        print(f"  {name:24} {rate}   ringway is {ratio:5.2f} times as fast ({low:.2f} to {high:.2f})", flush=True)
    return len(contestants) == 1 + len(others)


def main():
    if sys.argv[1:2] == ["--turn"]:
        measure, count = sys.argv[2:]
        faulthandler.register(signal.SIGUSR1)
        print(limited(globals()[measure], int(count)))
        return
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
    small = compare("1 KiB, one way: recv_view", 20_000, ("ringway", time_ringway), others, rounds)
    others = {"multiprocessing.Pipe": time_pipe_frames}
    frames = compare("1 MiB array: claim, recv_view", 500, ("ringway", time_ringway_frames), others, rounds)
    if not (small and frames):
        sys.exit(1)


if __name__ == "__main__":
    main()
