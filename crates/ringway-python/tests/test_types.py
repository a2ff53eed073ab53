"""The stubs say what is there, and a program that uses all of it is well typed."""

import subprocess
import sys
import textwrap


def run(*arguments, cwd):
    return subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=cwd)


def test_the_stubs_are_true(tmp_path):
    # Before Python 3.12 what has memory does not say so by a method.
    exceptions = tmp_path / "exceptions"
    exceptions.write_text(r"ringway\._ringway\.(Claim|Message)\.__buffer__")
    options = ("--allowlist", str(exceptions), "--ignore-unused-allowlist")
    done = run("mypy.stubtest", "ringway", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_program_is_well_typed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import numpy
            import ringway

            with ringway.create("memfd:", kind="mpmc", slabs=[(1 << 20, 4)]) as ring:
                sender: ringway.Sender = ring.sender(copy_limit=1000)
                sender.send(numpy.zeros(10), timeout=1.0)
                count: int = sender.send_many([b"one", bytearray(2)])
                receiver = ring.receiver(wait="park")
                with receiver.recv_view() as view:
                    total = numpy.frombuffer(view, dtype=numpy.float64).sum()
                for message in receiver:
                    length: int = len(message)
                pid: int | None = ring.stat().participants[0].pid
                try:
                    receiver.recv()
                except ringway.TimedOut as error:
                    text: str = error.remedy
            """
        )
    )
    done = run("mypy", "--strict", "--python-version", "3.12", str(program), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    program.write_text("import ringway\nringway.create('memfd:', kind='none')\nringway.create(5)\n")
    done = run("mypy", "--strict", "--python-version", "3.12", str(program), cwd=tmp_path)
    assert done.stdout.count("error:") == 2, done.stdout
