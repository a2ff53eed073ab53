"""The examples in the documentation are run, and everything public has documentation."""

import doctest
import inspect
import types

import pytest

import ringway
import ringway.aio


def documented():
    """Everything public, by its name."""
    yield "ringway", ringway
    yield "aio", ringway.aio
    everything = [(name, getattr(ringway, name)) for name in ringway.__all__]
    everything += [(f"aio.{name}", getattr(ringway.aio, name)) for name in ringway.aio.__all__]
    for name, value in everything:
        yield name, value
        if not inspect.isclass(value):
            continue
        for member, part in vars(value).items():
            if not member.startswith("_") and (callable(part) or inspect.isdatadescriptor(part)):
                yield f"{name}.{member}", part


@pytest.mark.parametrize(("name", "value"), list(documented()), ids=lambda part: part if isinstance(part, str) else "")
def test_it_is_documented_and_its_examples_are_true(name, value):
    text = getattr(value, "__doc__", None)
    assert text, f"{name} has no documentation"
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    outcome = runner.run(test, out=said.append)
    assert outcome.failed == 0, "".join(said)


def test_there_are_examples():
    texts = [value.__doc__ or "" for _, value in documented() if not isinstance(value, types.ModuleType)]
    assert sum(">>>" in text for text in texts) > 15
