"""The examples in the docstrings run, and print what they say."""

import doctest
import importlib
import pkgutil
import re

import pytest

import cbp

MODULES = ["cbp", *(
    module.name for module in pkgutil.walk_packages(cbp.__path__, "cbp.")
    if not module.name.endswith("__main__")
)]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    """Each example of a module gives the printed result."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if name.startswith("cbp._") or (error.name or "").startswith("cbp"):
            raise
        pytest.skip(f"{name} needs {error.name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_there_are_examples():
    """The test above would pass on a package without examples."""
    found = [case for name in MODULES[:1] + ["cbp.network", "cbp.trainer", "cbp.losses"]
             for case in doctest.DocTestFinder().find(importlib.import_module(name))
             if case.examples]
    assert len(found) >= 8


@pytest.mark.parametrize("name", cbp.__all__)
def test_every_public_name_has_a_docstring(name):
    """help() on what the door offers is never empty, nor on the public methods of a class."""
    thing = getattr(cbp, name)
    assert (thing.__doc__ or "").strip()
    if isinstance(thing, type):
        for attribute, value in vars(thing).items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                assert (value.__doc__ or "").strip(), f"{name}.{attribute}"


def test_the_tour_of_explain(repo_root):
    """Every line of docs/explain.md that is typed into Python prints what stands there."""
    text = (repo_root / "docs" / "explain.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, re.M | re.S)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        test = parser.get_doctest(block, names, f"block {number}", "docs/explain.md", 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.failures == 0 and runner.tries > 30
