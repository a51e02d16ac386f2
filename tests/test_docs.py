"""The examples in docstrings and docs run, print what they say, and the docs' numbers are right."""

import doctest
import importlib
import itertools
import pkgutil
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from explained import article_graph, article_net

import cbp
from cbp import explain

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


@pytest.mark.parametrize(("page", "lines"), [("explain.md", 30), ("backpropagation.md", 12)])
def test_what_is_typed_into_python(repo_root, page, lines):
    """Every line of the page that is typed into Python prints what stands there."""
    text = (repo_root / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, re.M | re.S)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        test = parser.get_doctest(block, names, f"block {number}", page, 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.failures == 0 and runner.tries > lines


# ---- docs/backpropagation.md --------------------------------------------------------------------


@pytest.fixture
def story(repo_root):
    """The page's text."""
    return (repo_root / "docs" / "backpropagation.md").read_text(encoding="utf-8")


def rows(text, first):
    """The cells of every row of the table whose head begins with `first`, the head left out."""
    table = re.search(rf"^\| {first} \|.*\n(?:\|.*\n)+", text, re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in table[0].splitlines()[2:]]  # fmt: skip


def test_the_price_of_every_path(story):
    """The counts of the three nets are what is counted on their graphs."""
    cells = rows(story, "net")
    assert [row[0] for row in cells] == ["A, 1-2-1", "B, 2-2-1", "C, 2-2-2"]
    for letter, row in zip("ABC", cells):
        g = article_graph(letter)
        work = explain.derive(g, "paths").work
        paths = sum(explain.paths(g, name).count for name in g.parameters)
        expected = (len(g.parameters), len(g.edges), paths, work.visits, work.multiplications)
        assert tuple(map(int, row[1:])) == expected
    assert "26 visits to 12 edges" in story and "Net A has 10 edges" in " ".join(story.split())


def test_the_table_of_growth(story):
    """Its integers are growth's; so are the large net's in the text."""
    growth = explain.growth(10, range(1, 9))
    expected = zip(range(1, 9), growth.multiplications("paths"), growth.multiplications("delta"))
    found = [tuple(int(cell.replace(",", "")) for cell in row) for row in rows(story, "layers of 10")]
    assert found == list(expected)
    steps = {b[2] - a[2] for a, b in itertools.pairwise(found)}
    assert steps == {210} and "210 more" in story
    c = explain.counts([784, 2500, 2000, 1500, 1000, 500, 10])
    text = " ".join(story.split())
    assert f"has {c.paths:.2e} paths".replace("e+", "e") in text
    work = c.work["paths"].multiplications
    assert f"takes {work:.2e} multiplications".replace("e+", "e") in text
    assert 1.0e4 < work / 1e9 / (365 * 24 * 3600) < 1.2e4  # "more than ten thousand years"
    assert f"takes {c.work['delta'].multiplications:,}." in text


def test_the_table_of_six_ways(story):
    """Passes and multiplications are those of the formulas, which other tests count."""
    ways = ("paths", "recursion", "memo", "delta", "forward", "central")
    nets = ([2, 2, 2], [10] * 4, [784, 30, 10])
    for way, (_, passes, *cells) in zip(ways, rows(story, "way"), strict=True):
        for sizes, cell in zip(nets, cells, strict=True):
            c = explain.counts(sizes)
            assert int(cell.replace(",", "")) == c.work[way].multiplications
            words = {1: "1", c.parameters: "one a weight", 2 * c.parameters: "two a weight"}
            assert passes == words[c.work[way].passes]


def test_the_other_numbers_of_the_story(story):
    """Losses of the descent, secants, the shorthand taken at its word, the twentieth."""
    net, x, t = article_net("A")
    losses = cbp.Trainer(net, "squared_error", cbp.SGD(0.5)).fit([x], [t], 101)["loss"]
    (found,) = rows(story, "steps")
    assert found[1:] == [f"{losses[k]:.10f}" for k in (0, 1, 10, 100)]
    s = explain.sensitivity(*article_net("A"), "w1", [1, 0.1, 0.01], loss="squared_error")
    text = " ".join(story.split())
    one, two, three = (f"{v:.7f}" for v in s.secants)
    assert f"it is {one} at a shift of 1, {two} at 0.1, {three} at 0.01" in text
    assert f"the derivative is {s.gradient:.7f}" in text
    g = article_graph("C")
    literal = g.node("y1").gradient + g.node("y2").gradient
    assert f"it is {literal:.5f}, not {g.gradients['w5']:.5g}" in text
    first = explain.paths(g, "w5")[0].product
    assert abs(g.gradients["w5"] / first) == pytest.approx(1 / 20, rel=0.15)


def drawn(text):
    """A drawing but for digits that nobody can see."""
    return re.sub(r"\d\.\d{12,}", "#", text)


def test_the_pictures_are_what_the_script_draws(repo_root, tmp_path, story):
    """docs/make_pictures.py draws every picture of the docs again; none is large."""
    matplotlib = pytest.importorskip("matplotlib")
    docs = repo_root / "docs"
    subprocess.run([sys.executable, str(docs / "make_pictures.py"), str(tmp_path)], check=True)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {file.name for file in docs.glob("*.svg")}
    assert names == set(re.findall(r"\]\(([\w-]+\.svg)\)", story))
    for name in names:
        shown = (docs / name).read_text(encoding="utf-8")
        assert len(shown.encode()) < 40_000 and ET.fromstring(shown).tag.endswith("svg")
        if name != "growth.svg":
            assert drawn(shown) == drawn((tmp_path / name).read_text(encoding="utf-8")), name
    words = (docs / "growth.svg").read_text(encoding="utf-8")
    assert all(f">{word}<" in words for word in ("path by path", "stored δ (bottom-up)", "layers"))
    if f"Matplotlib v{matplotlib.__version__}" in words:
        assert words == (tmp_path / "growth.svg").read_text(encoding="utf-8")
