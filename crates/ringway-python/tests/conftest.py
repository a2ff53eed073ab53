"""What the tests share: names that are cleaned up, and other processes."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap

import pytest

import ringway

#: Long enough for the slowest machine; nothing waits for it that does not fail.
PATIENCE = 60

_numbers = itertools.count()

# What is started in the background by a shell ignores Ctrl-C, and so does all that it starts in turn.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def name():
    """An address that is nobody else's; what is made there is removed."""
    address = f"shm:ringway-py-{os.getpid()}-{next(_numbers)}"
    yield address
    try:
        ringway.remove(address, force=True)
    except ringway.NotFound:
        pass


@pytest.fixture
def queue_name():
    address = f"mq:/ringway-py-{os.getpid()}-{next(_numbers)}"
    yield address
    try:
        ringway.remove(address, force=True)
    except ringway.NotFound:
        pass


class Child:
    """Another Python process. It says lines on its standard output, which the test waits for."""

    def __init__(self, program, *arguments):
        command = [sys.executable, "-u", "-c", textwrap.dedent(program), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def line(self):
        """What it says next; fails with what it says on standard error if it has ended."""
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the child has ended: {self.process.stderr.read()}")
        return line.strip()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Waits for it, and returns its exit status and its standard error."""
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@pytest.fixture
def child():
    """Starts other processes, which end with the test."""
    children = []

    def start(program, *arguments):
        children.append(Child(program, *arguments))
        return children[-1]

    yield start
    for each in children:
        each.process.kill()
        each.process.communicate()
