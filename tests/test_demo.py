"""Promises of the command line, of the demonstration's recipe, and of the README's example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cbp
from cbp.__main__ import BATCH_SIZE, EPOCHS, GREYS, pictures, recipe
from cbp.datasets import load_digits


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run Python on its installed packages alone, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-I", *arguments], capture_output=True, text=True, timeout=timeout
    )


def test_five_fold_accuracy_of_the_recipe():
    """Mean held-out accuracy over all 1,797 digits is at least 97 %.

    Fold k holds, within each class and in the order of `load_digits` (training rows, then test
    rows), the rows k, k + 5, k + 10, ...
    """
    digits = load_digits()
    X = np.concatenate([digits.X_train, digits.X_test])
    y = np.concatenate([digits.y_train, digits.y_test])
    fold = np.empty(len(y), dtype=int)
    for label in range(10):
        rows = np.flatnonzero(y == label)
        fold[rows] = np.arange(len(rows)) % 5
    assert len(y) == 1797 and all(355 <= n <= 365 for n in np.bincount(fold))
    accuracies = []
    for k in range(5):
        trainer = recipe()
        history = trainer.fit(X[fold != k], y[fold != k], EPOCHS, progress=False)
        assert history.epochs == EPOCHS
        predicted = trainer.net.predict(X[fold == k]).argmax(axis=1)
        accuracies.append(np.mean(predicted == y[fold == k]))
    assert np.mean(accuracies) >= 0.97, accuracies


def test_demo_prints_what_it_promises():
    """Progress, held-out accuracy, time, rows a second, agreement, and misread digits."""
    result = run("-m", "cbp", "demo")
    assert (result.returncode, result.stderr) == (0, "")
    text = result.stdout
    progress = re.findall(rf"^ *(\d+)/{EPOCHS} +(\d\.\d+) +(\d+\.\d\d) %$", text, re.M)
    assert [int(epoch) for epoch, _, _ in progress] == list(range(6, 61, 6))
    losses = [float(loss) for _, loss, _ in progress]
    assert losses[-1] < 0.05 < losses[0]
    found = re.search(r"^trained in ([\d.]+) s: ([\d,]+) rows a second on \d+ thread", text, re.M)
    assert found
    seconds, rate = float(found[1]), int(found[2].replace(",", ""))
    assert seconds * rate == pytest.approx(EPOCHS * 1442, rel=0.1)  # seconds have two decimals
    found = re.search(r"^test accuracy: ([\d.]+) % \((\d+) of 355 held-out digits\)$", text, re.M)
    assert found
    assert float(found[1]) == round(100 * int(found[2]) / 355, 2) >= 95
    for name, bound in (("float32", 1e-5), ("float64", 1e-13)):
        found = re.search(rf"^  compiled {name}   outputs (\S+)   gradient (\S+)$", text, re.M)
        assert found
        assert 0 <= float(found[1]) < bound and 0 <= float(found[2]) < bound
    n_right = int(re.search(r"(\d+) of 355", text)[1])
    assert f"\n4 of the {355 - n_right} misread digits:" in text
    assert text.count(", read as ") == 4


def test_demo_heeds_its_options():
    """--epochs, --seed and --threads do what they say, and threads change no result."""
    outputs = []
    for limit, used in (("1", "1 thread"), ("2", "(1 thread|2 threads)")):
        result = run("-m", "cbp", "demo", "--epochs", "3", "--seed", "7", "--threads", limit)
        assert result.returncode == 0, result.stderr
        assert "seed 7" in result.stdout and " 3/3 " in result.stdout
        assert re.search(f" on {used} ", result.stdout)
        outputs.append(re.sub(r"trained in .*", "", result.stdout))
    assert outputs[0] == outputs[1]


def test_pictures_show_grey_levels_and_probabilities():
    """Each pixel is two characters from light to dark; label, answer and probabilities follow."""
    X = np.zeros((1, 64), dtype=np.float32)
    X[0, :10] = np.arange(10) / 9
    y = np.full((1, 10), 0.01, dtype=np.float32)
    y[0, 3] = 0.91
    lines = pictures(X, np.array([5]), y).splitlines()
    assert lines[0] == "".join(2 * grey for grey in GREYS[:8])
    assert lines[1] == 2 * GREYS[8] + 2 * GREYS[9]
    assert lines[8:] == ["5, read as 3", "3: 91.0 %", "5: 1.0 %"]


def test_the_recipe_is_what_its_docstring_says():
    """The measured numbers belong to these settings."""
    trainer = recipe()
    assert trainer.net.sizes == (64, 128, 10)
    assert trainer.net.activations == ("relu", "softmax")
    assert trainer.optimizer == cbp.Adam(0.002)
    assert trainer.batch_size == BATCH_SIZE == 32


def test_info_tells_what_runs():
    """Versions, instruction set, threads, OpenMP, compiler, and the variables that are heeded."""
    result = run("-m", "cbp", "info")
    assert (result.returncode, result.stderr) == (0, "")
    config = cbp._runtime.config()
    text = result.stdout
    assert re.search(rf"^cbp +{re.escape(cbp.__version__)}$", text, re.M)
    assert re.search(rf"^NumPy +{re.escape(np.__version__)}$", text, re.M)
    assert re.search(rf"^instruction set +{config['isa']} \(", text, re.M)
    assert all(name in text for name in config["isas"])
    assert re.search(rf"^threads +{config['threads']} usable", text, re.M)
    assert re.search(rf"^OpenMP +{'yes' if config['openmp'] else 'no'}", text, re.M)
    assert config["compiler"] in text
    for name in ("CBP_ISA", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "CBP_MNIST"):
        assert re.search(rf"^{name} +\S", text, re.M)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dance"], r"invalid choice: 'dance' \(choose from .*demo.*info"),
        ([], "the following arguments are required: command"),
        (["demo", "--epochs", "0"], "must be a whole number from 1 to 1000000, got '0'"),
        (["demo", "--epochs", "many"], "must be a whole number from 1 to 1000000, got 'many'"),
        (["demo", "--seed", "-1"], "must be a whole number from 0 to 18446744073709551615"),
        (["demo", "--threads", "0"], "must be a whole number from 1 to 1024, got '0'"),
        (["info", "--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_a_wrong_command_line_ends_in_a_sentence(arguments, sentence):
    """Exit code 2, nothing on stdout, no traceback."""
    result = run("-m", "cbp", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.search(sentence, result.stderr) and "Traceback" not in result.stderr


def test_help_names_every_command_and_option():
    """--help answers on stdout, with exit code 0."""
    result = run("-m", "cbp", "--help")
    assert result.returncode == 0 and {"demo", "info"} <= set(result.stdout.split())
    result = run("-m", "cbp", "demo", "--help")
    assert result.returncode == 0
    assert all(option in result.stdout for option in ("--epochs", "--seed", "--threads"))


@pytest.mark.parametrize("arguments", [["info"], ["demo", "--epochs", "3"], ["--help"]])
def test_a_reader_who_leaves_early_gets_no_traceback(arguments):
    """`cbp info | head -1`: the pipe is closed before the output ends; exit code 1, in silence."""
    reader, writer = os.pipe()
    os.close(reader)  # closed from the start: every write fails
    with os.fdopen(writer, "w") as pipe:
        result = subprocess.run(
            [sys.executable, "-I", "-m", "cbp", *arguments],
            stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")


def test_the_example_of_the_readme_runs(repo_root: Path):
    """The README's 12 lines are a program, and print what the README says they print."""
    readme = (repo_root / "README.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```\s+.*?```text\n(.*?)```", readme, re.S).groups()
    assert len([line for line in code.splitlines() if line.strip()]) == 12
    result = run("-c", code)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == printed


@pytest.mark.parametrize(
    ("name", "said"),
    [("digits.py", "held-out digits: loss"), ("xor.py", "answers: [0 1 1 0] wanted: [0 1 1 0]")],
)
def test_examples_run(repo_root: Path, name, said):
    """Every example that needs no data of the user's runs, and ends well."""
    result = run(str(repo_root / "examples" / name))
    assert result.returncode == 0, result.stderr
    assert said in result.stdout


@pytest.mark.parametrize("name", ["seed_article.py", "digits.py"])
def test_examples_run_where_stdout_is_ascii(repo_root: Path, name):
    """A terminal without Greek letters shows "?" for them; every number is still there."""
    outputs = []
    for encoding in ("ascii", "utf-8"):
        result = subprocess.run(
            [sys.executable, str(repo_root / "examples" / name)],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True, timeout=120,
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, b"")
        outputs.append(result.stdout.decode(encoding))
    assert "δ" in outputs[1]
    assert outputs[0] == outputs[1].encode("ascii", "replace").decode()


def test_the_mnist_example_runs_on_the_real_files(repo_root: Path, mnist_folder: Path):
    """One epoch of Nielsen's network reads more than 90 % of the test images."""
    script = repo_root / "examples" / "mnist.py"
    result = run(str(script), "--data", str(mnist_folder), "--epochs", "1", "--seeds", "2")
    assert result.returncode == 0, result.stderr
    assert float(re.search(r"median of 2: ([\d.]+) %", result.stdout)[1]) > 90


def test_the_mnist_example_says_how_to_get_the_files(repo_root: Path, tmp_path: Path):
    """Without the files the example ends in one sentence."""
    result = run(str(repo_root / "examples" / "mnist.py"), "--data", str(tmp_path))
    assert result.returncode == 1
    assert "get its four files" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("threads", ["-3", "0", "1025"])
def test_the_mnist_example_refuses_a_wrong_number_of_threads(repo_root: Path, threads):
    """One sentence, before any file is read."""
    result = run(str(repo_root / "examples" / "mnist.py"), "--threads", threads)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"--threads must be from 1 to 1024, got {threads}" in result.stderr
    assert "Traceback" not in result.stderr
