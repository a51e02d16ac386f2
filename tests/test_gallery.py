"""The gallery's scripts: what their sources say comes out, and they notice where it does not.

What lives here: no numbers of the sources; each script holds its own and prints a verdict a line.
The family trees' cases and rule of descent, which test_citations.py trains, come from the gallery.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "examples" / "gallery"
HELPERS = {"verdict.py", "starts.py"}
# Each with the number of lines it must print at least.
FAST = {
    "article_nets.py": 60, "mazur.py": 30, "colah.py": 30, "trask.py": 25,
    "nielsen_neuron.py": 10, "ng.py": 30,
}  # fmt: skip
SLOW = {"symmetry.py": 10, "family_trees.py": 8, "pdp_chapter_8.py": 25}
MNIST = "nielsen_mnist.py"


def run(script: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True, encoding="utf-8", timeout=600,
    )  # fmt: skip


def verdicts(result: subprocess.CompletedProcess[str]) -> int:
    """How many lines agree, where all do."""
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    lines = re.findall(r"  (?:agrees|differs, as it should)$", result.stdout, re.M)
    assert result.stdout.endswith(f"\nall {len(lines)} lines agree\n")
    return len(lines)


@pytest.mark.parametrize(
    ("name", "lines"),
    [*FAST.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW.items())],
)
def test_the_script_agrees_with_its_source(name, lines):
    """Every number that should agree does, and none was left out."""
    assert verdicts(run(GALLERY / name)) >= lines


@pytest.mark.slow
def test_nielsens_seeded_runs(mnist_folder):
    """Four runs of ten years ago read the same numbers of digits right, to the last digit."""
    assert verdicts(run(GALLERY / MNIST, "--seeded", "--data", str(mnist_folder))) >= 19


def test_without_mnist_the_script_says_how_to_get_it(tmp_path):
    """One sentence, and exit code 1."""
    result = run(GALLERY / MNIST, "--data", str(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    assert "get its four files" in result.stderr and "Traceback" not in result.stderr


def test_no_script_is_forgotten():
    """Each is tested here, and stands in the gallery's table."""
    scripts = {file.name for file in GALLERY.glob("*.py")} - HELPERS
    assert scripts == {*FAST, *SLOW, MNIST}
    table = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[(\w+\.py)\]\(\1\) ", table, re.M)) == scripts


@pytest.mark.parametrize(
    ("name", "digits", "other"),
    [
        ("ng.py", "7.4070", "7.4071"),
        ("article_nets.py", "0.0093302141112770277", "0.0093302142112770277"),
        ("colah.py", '"1, 1, 1, 2, 3"', '"1, 1, 1, 3, 3"'),
        ("trask.py", "0.0035101225678616788", "0.0035101225778616788"),
        ("article_nets.py", "(18, 12, 52, 40, 16)", "(18, 12, 52, 40, 15)"),
        ("mazur.py", '"E after 1 step", "0.291027924", together', '"E", "0.291027774", together'),
    ],
)
def test_a_wrong_number_is_noticed(tmp_path, name, digits, other):
    """With one digit of the source changed, one line says so, and the exit code is 1."""
    copy = Path(shutil.copytree(GALLERY, tmp_path / "gallery")) / name
    text = copy.read_text(encoding="utf-8")
    assert digits in text
    copy.write_text(text.replace(digits, other, 1), encoding="utf-8")
    result = run(copy)
    assert result.returncode == 1 and re.match(r"\n1 of \d+ lines DO NOT AGREE", result.stderr)
    assert result.stdout.count("DOES NOT AGREE") == 1


def test_a_terminal_without_greek_letters():
    """It shows "?" for them, and every number."""
    plain, greek = (
        run(GALLERY / "colah.py", PYTHONIOENCODING=encoding).stdout
        for encoding in ("ascii", "utf-8")
    )
    assert "∂" in greek and plain == greek.encode("ascii", "replace").decode()


@pytest.fixture
def gallery(monkeypatch):
    """A function that imports a module of the gallery."""
    monkeypatch.syspath_prepend(str(GALLERY))
    return importlib.import_module


def test_near_goes_by_the_printed_digits(gallery):
    """Half a unit of the last digit, or a billionth of the number."""
    near = gallery("verdict").near
    assert near(0.12349, "0.1235") and not near(0.12344, "0.1235")
    assert near(-2.0, "-2") and not near(-2.6, "-2")
    assert near(3.51001e-05, "3.510e-05") and not near(3.512e-05, "3.510e-05")
    assert near(0.1234567890123457, "0.1234567890123456") and near(1 / 3, "0.33333333333333333333")
    assert not near(0.12345678, "0.1234567890123456") and not near(float("nan"), "0.5")


def test_shown_has_the_printed_digits(gallery):
    """cbp's number stands under the source's, digit under digit."""
    shown = gallery("verdict").shown
    assert shown(0.5, "0.500") == "0.500" and shown(2.0, "3") == "2"
    assert shown(1 / 3, "3.33e-01") == "3.33e-01"
