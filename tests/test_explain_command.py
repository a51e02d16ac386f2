"""`python -m cbp explain`: what it prints and writes, and its sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from explained import article_net

import cbp
from cbp import explain
from cbp.__main__ import main


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command line."""
    try:
        code = main(["explain", *arguments])
    except SystemExit as leaving:
        code = leaving.code
    return (code, *capsys.readouterr())


def test_the_example_of_the_article(tmp_path):
    """The command as documented, in a process of its own: paths, sum, sign rule, table."""
    result = subprocess.run(
        [sys.executable, "-m", "cbp", "explain", "2-2-2", "--x", "1.5,-2", "--t", ".25,.75",
         "--weight", "w5", "--text"],
        capture_output=True, text=True, encoding="utf-8", cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    text = result.stdout
    net, x, t = article_net("C")
    g = explain.graph(net, x, t, "squared_error")
    assert text.startswith("2-2-2, squared_error: L = 0.0553722703727,")
    assert str(explain.paths(g, "w5")) in text
    assert str(explain.sensitivity(net, x, t, "w5", loss="squared_error")) in text
    assert "path by path                           8      52               40          40" in text


def test_terminals_without_greek_letters(tmp_path):
    """Where a letter cannot be written "?" is, and nothing fails."""
    result = subprocess.run(
        [sys.executable, "-m", "cbp", "explain", "1-2-1", "--weight", "w1"],
        capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert result.returncode == 0 and "?L/?w1 = 0.0093302141112" in result.stdout


@pytest.mark.parametrize("letter, sizes", [("A", "1-2-1"), ("B", "2-2-1"), ("C", "2-2-2")])
def test_the_whole_gradient_of_the_articles_nets(capsys, letter, sizes):
    """Without options the nets are the article's; every δ and gradient is printed."""
    code, text, _ = run(capsys, sizes)
    assert code == 0
    g = explain.graph(*article_net(letter), "squared_error")
    for name, value in g.gradients.items():
        assert f"∂L/∂{name} = {value:.12g}".replace("-", "−") in text
    assert text.count("δ(z") == sum(node.kind == "z" for node in g.nodes)


def test_a_negative_number_may_come_first(capsys):
    """--x -2,1 is a value, not an option."""
    code, text, _ = run(capsys, "2-2-1", "--x", "-2,1", "--t", "-.5", "--output", "tanh")
    net, _, _ = article_net("B")
    twin = cbp.Network([2, 2, 1], "sigmoid", "tanh", bias=False, dtype="float64")
    twin.parameters[:] = net.parameters
    value = explain.graph(twin, [-2, 1], -0.5, "squared_error").value
    assert code == 0 and f"L = {value:.12g}," in text


def test_weights_of_ones_own(capsys):
    """w1 first in the article's nets; all parameters in the order of the network in others."""
    _, text, _ = run(capsys, "2-2-2", "--weights", "8,7,6,5,4,3,2,1")
    net, x, t = article_net("C")
    net.parameters[:] = 8, 7, 4, 3, 6, 2, 5, 1
    value = explain.graph(net, x, t, "squared_error").value
    assert f"L = {value:.12g}," in text
    _, text, _ = run(capsys, "1-1", "--bias", "--weights", "2,-1", "--x", "3", "--t", "0",
                     "--output", "identity")  # fmt: skip
    assert "L = 12.5," in text and "∂L/∂w1_1_1 = 15\n" in text and "∂L/∂b1_1 = 5\n" in text


def test_the_trace(capsys):
    """--trace prints the steps of both passes."""
    code, text, _ = run(capsys, "2-2-2", "--trace")
    assert code == 0 and text.split("\n")[0] == "forward"
    assert "∂L/∂h1 = w3 · ∂L/∂z3 + w7 · ∂L/∂z4 = −0.001252" in text


def test_large_nets_are_summed_up(capsys):
    """Of many derivatives the range is told, and how to follow one."""
    code, text, _ = run(capsys, "20-10-3", "--x", ",".join(["1"] * 20), "--t", "2",
                        "--output", "softmax")  # fmt: skip
    assert code == 0 and "230 derivatives, from " in text and "categorical_cross_entropy" in text


def test_drawings(capsys, tmp_path):
    """--svg writes a drawing with the weight's paths in it."""
    file = tmp_path / "net.svg"
    assert run(capsys, "2-2-2", "--weight", "w5", "--svg", str(file)) == (0, "", "")
    assert file.read_text().startswith("<svg")
    other = tmp_path / "plain.svg"
    run(capsys, "2-2-2", "--svg", str(other))
    assert other.read_text() != file.read_text()


def test_pages(capsys, tmp_path):
    """-o writes one page, which knows the chosen weight."""
    file = tmp_path / "net.html"
    assert run(capsys, "2-2-2", "--weight", "w5", "-o", str(file)) == (0, "", "")
    assert file.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    net, x, t = article_net("C")
    other = tmp_path / "other.html"
    explain.graph(net, x, t, "squared_error").to_html(other, weight="w5")
    assert file.read_bytes() == other.read_bytes()


def test_saved_networks(capsys, tmp_path):
    """The file of a saved network is explained as the network itself is."""
    net = cbp.Network([3, 4, 2], "tanh", "softmax", seed=5)
    file = tmp_path / "net.safetensors"
    net.save(file)
    code, text, _ = run(capsys, str(file), "--x", "1,2,3", "--t", "1", "--weight", "b2_1")
    g = explain.graph(net, [1, 2, 3], 1)
    assert code == 0 and f"categorical_cross_entropy: L = {g.value:.12g}," in text
    assert str(explain.paths(g, "b2_1")) in text


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["2-2-2", "--weight", "w9"], "`--weight` must be one of w1, w2, .* got 'w9'."),
        (["3-4-2", "--x", "1,2,3", "--t", "1,0", "--weight", "w1_4_1"], "no weight 'w1_4_1' in"),
        (["2-2-2", "--x", "1"], "--x must have 2 numbers, the inputs, got 1."),
        (["2-2-2", "--t", "1,2,3"], "--t must have 2 numbers, the outputs, got 3."),
        (["2-2-2", "--weights", "1,2"], "--weights must have 8 numbers, the weights, got 2."),
        (["3-2", "--t", "1,2"], "--x is missing: 3 numbers with commas, the inputs."),
        (["3-2", "--x", "1,2,c"], "--x must be numbers with commas between them, .* got '1,2,c'."),
        (["nix.cbp"], "there is no file 'nix.cbp'."),
        (["nix.cbp", "--bias"], "--bias goes with sizes: a saved network has its own."),
        (["2-2-2", "--loss", "nix"], "`--loss` must be one of 'auto', "),
        (["2-2-2", "--output", "nix"], "`--output` must be one of "),
        (["2-2-2", "--loss", "poisson"], "`--loss` poisson needs .* set `--output identity` or"),
        (["2-2-2", "-o", "net.svg"], "`path` must end in .html, got 'net.svg'"),
        (["2-0-2"], r"`sizes\[1\]` must be at least 1, got 0."),
        (["2-2-2", "--x", "1,inf"], "`--x` must be finite, got inf"),
        (["2-2-2", "--svg", "/nix/a.svg"], "No such file or directory: '/nix/a.svg'."),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, sentence):
    """A wrong command line ends with exit code 2 and one sentence on stderr."""
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("python -m cbp explain: error: ") and err.count("\n") == 1
    assert re.search(sentence, err), err


def test_readers_that_stop_early(tmp_path):
    """Where nobody reads to the end, as in `... | head -1`, the exit code is 1, without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "cbp", "explain", "2-2-2", "--trace"],
            stdout=closed, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, "")


def test_a_standardised_network(capsys, tmp_path):
    """Inputs are given as the data are; the answer says which numbers the net makes of them."""
    net = cbp.Network([1, 1], standardize=True, dtype="float64", seed=1)
    cbp.Trainer(net, seed=1).fit([[0.0], [4.0]], [[10.0], [30.0]], epochs=1, progress=False)
    net.save(tmp_path / "net.safetensors")
    code, out, _ = run(capsys, str(tmp_path / "net.safetensors"), "--x", "3", "--t", "40")
    assert code == 0 and "in standardised units: x = (0.5), t = (2)\n" in out
