"""cbp.explain: compare, growth, sensitivity and trace, in numbers and as they are printed."""

from __future__ import annotations

import builtins
import re

import article
import numpy as np
import pytest
from explained import article_graph, article_net

import cbp
from cbp import explain
from cbp.explain._typeset import integer


def test_S1_both_ways_on_the_same_net():
    """One call runs forward and backward: equal gradients, 40 against 16 multiplications."""
    table = explain.compare(*article_net("C"), "squared_error")
    rows = {row.method: row for row in table.rows}
    assert rows["paths"].counted.multiplications == 40
    assert rows["delta"].counted.multiplications == 16
    assert table.agree and table.largest_difference < 1e-16
    assert rows["central"].difference < 1e-10 and rows["one_sided"].difference < 1e-7
    assert all(row.seconds > 0 for row in table.rows)


@pytest.mark.parametrize("letter", "ABC")
def test_largest_differences(letter):
    """Every exact way is within 3e-17 of the compiled core, central differences within 9e-11."""
    table = explain.compare(*article_net(letter), "squared_error")
    assert table.largest_difference <= 3e-17
    assert [row.difference for row in table.rows if row.method == "central"][0] <= 9e-11


def test_compare_as_text():
    """A line for every way, with counts beside their formulas."""
    text = str(explain.compare(*article_net("C"), "squared_error"))
    lines = text.split("\n")
    assert lines[0] == "2-2-2: one gradient of 8 numbers, 18 edges, 12 paths"
    assert re.match(r"path by path +8 +52 +40 +40 +4 +4 ", lines[2])
    assert re.match(r"stored δ \(bottom-up\) +1 +4 +16 +16 +2 +2 ", lines[5])
    assert lines[-1].startswith("compiled core (stored δ)") and len(lines) == 11


def test_compare_leaves_out_what_would_take_long():
    """Beyond the limit a row has the formula alone, and says that it was not done."""
    net = cbp.Network([20] * 7, "tanh", dtype="float64", seed=1)
    table = explain.compare(net, np.ones(20), np.zeros(20), limit=10**5)
    rows = {row.method: row for row in table.rows}
    assert rows["paths"].counted is None and rows["paths"].difference is None
    assert rows["paths"].formula.multiplications > 10**9
    assert rows["delta"].counted == rows["delta"].formula and table.agree
    assert "not done" in str(table).split("\n")[2]


def test_compare_of_any_network():
    """Biases, softmax and other losses: counts agree with the formulas as well."""
    net = cbp.Network([3, 4, 3], "relu", "softmax", seed=3)
    table = explain.compare(net, [1.0, 2.0, -1.0], 2)
    assert table.agree and table.largest_difference < 1e-15
    assert "<table" in table.to_html() and table._repr_html_() == table.to_html()
    assert "3-4-3" in repr(table)


def test_growth_is_exponential_against_linear():
    """Width 10: the path sum grows tenfold and more, stored δ's by 210 a layer."""
    g = explain.growth(10, range(1, 9))
    assert g.multiplications("delta") == list(range(110, 1581, 210))
    assert g.multiplications("paths")[:3] == [200, 4200, 64200]
    assert str(g).split("\n")[-1].split()[:2] == ["8", "17,530,864,200"]
    assert "17,530,864,200" in g.to_html() and "width 10" in repr(g)
    assert "2.018e23" in str(explain.growth(100, [10]))
    with pytest.raises(ValueError, match="at least 1, got 10 and "):
        explain.growth(10, [])


def test_S5_secants_tend_to_the_gradient():
    """ΔL/Δw1 of net A for steps 1, .1, .01, .001, on its way to ∂L/∂w1."""
    s = explain.sensitivity(*article_net("A"), "w1", loss="squared_error")
    expected = list(article.NET_A_SECANTS.values())
    rounding = 1e-17 / np.array(list(article.NET_A_SECANTS))
    np.testing.assert_array_less(np.abs(s.secants - expected), 1e-9 * np.abs(expected) + rounding)
    distances = np.abs(s.secants - s.gradient)
    assert (np.diff(distances) < 0).all()
    assert s.gradient == pytest.approx(0.0093302141112770277246, rel=5e-14)


def test_S6_the_sign_rule():
    """A step against the sign lowers L, one along it raises L; the secants are not equal."""
    net, x, t = article_net("C")
    before = net.parameters.copy()
    for weight in explain.graph(net, x, t, "squared_error").parameters:
        s = explain.sensitivity(net, x, t, weight, [0.01, -0.01], "squared_error")
        assert s.downhill == (-1 if s.gradient > 0 else 1)
        assert s.loss_at(s.value + 0.01 * s.downhill) < s.loss
        assert s.loss_at(s.value - 0.01 * s.downhill) > s.loss
    s = explain.sensitivity(*article_net("A"), "w1", loss="squared_error")
    assert len(set(s.secants.round(6))) == 4
    np.testing.assert_array_equal(net.parameters, before)


def test_sensitivity_as_text():
    """The sign rule in a sentence, then a line for every step."""
    s = explain.sensitivity(*article_net("A"), "w1", loss="squared_error")
    lines = str(s).split("\n")
    assert lines[0].startswith("∂L/∂w1 = 0.00933021411128") and "falls as it shrinks" in lines[0]
    assert len(lines) == 6 and "+0.009327416513" in lines[4]
    assert "0.009327416513" in s.to_html() and "w1" in repr(s)
    flat = cbp.Network([1, 1, 1], "relu", dtype="float64", bias=False, seed=1)
    flat.parameters[:] = -1.0, 1.0
    s = explain.sensitivity(flat, 1.0, 0.0, "w1_1_1")
    assert s.downhill == 0 and "does not change at first" in s.sentence()


def test_the_curve_touches_its_tangent():
    """At the weight's value both are L; the tangent's slope is the gradient; near it they part."""
    s = explain.sensitivity(*article_net("B"), "w5", loss="squared_error")
    w, loss, tangent = s.curve(reach=1.0, n=21)
    assert w[10] == s.value and loss[10] == tangent[10] == s.loss
    np.testing.assert_allclose(np.diff(tangent) / np.diff(w), s.gradient, rtol=1e-9)
    away = np.abs(loss - tangent)
    assert away[9] < away[5] < away[0] and away[11] < away[15] < away[20]


def test_sensitivity_with_the_loss_summed():
    """With reduction "sum" the losses are the same for one row."""
    loss = cbp.SquaredError(reduction="sum")
    net, x, t = article_net("C")
    s = explain.sensitivity(net, x, t, "w5", loss=loss)
    assert s.loss == pytest.approx(0.055372270372731959089, rel=5e-14)


def test_sensitivity_refuses():
    """Steps of zero and unknown weights."""
    net, x, t = article_net("A")
    with pytest.raises(ValueError, match="`steps` must be numbers other than zero"):
        explain.sensitivity(net, x, t, "w1", [0.1, 0.0])
    with pytest.raises(ValueError, match="one of w1, w2, w3, w4, got 'w9'"):
        explain.sensitivity(net, x, t, "w9")


def test_S28_the_backward_order():
    """First the δ's of the last layer, then layer by layer backwards, each with its weights."""
    steps = explain.trace(article_graph("C"))
    assert [step.name for step in steps if step.sweep == "forward"] == (
        "z1 z2 h1 h2 z3 z4 y1 y2 L".split()
    )
    back = [step.name.removeprefix("∂L/∂") for step in steps if step.sweep == "backward"]
    assert back == "y1 y2 z3 z4 w3 w4 w7 w8 h1 h2 z1 z2 w1 w5 w2 w6".split()


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_trace_tells_the_values_of_the_graph(output):
    """Every value of a trace is the node's, or the gradient, of that name."""
    net = cbp.Network([2, 3, 2], "tanh", output, dtype="float64", seed=1)
    g = explain.graph(net, [1.0, 2.0], [0, 1])
    steps = explain.trace(g)
    for step in steps:
        if step.sweep == "forward":
            assert step.value == g.node(step.name).value
        else:
            name = step.name.removeprefix("∂L/∂")
            expected = g.gradients[name] if name in g.gradients else g.node(name).gradient
            assert step.value == expected
    assert len(steps) == (5 * 2 + 1) + (2 + 5 + net.n_parameters + 3)


def test_trace_in_words():
    """A line a step: name, formula, value; long sums are cut."""
    text = str(explain.trace(article_graph("C")))
    assert "  z1 = x1·w1 + x2·w5 = −0.85" in text
    assert "  ∂L/∂h1 = w3 · ∂L/∂z3 + w7 · ∂L/∂z4 = −0.001252" in text
    assert "  ∂L/∂w5 = ∂L/∂z1 · x2 = 0.00052527" in text
    net = cbp.Network([20, 10], output_activation="softmax", seed=1)
    text = str(explain.trace(explain.graph(net, np.ones(20), 3)))
    assert "z1_1 = x1·w1_1_1 + x2·w1_2_1 + ... (18 more) + b1_1 =" in text
    assert "softmax(z1_1, z1_2, ..., z1_10)[10]" in text


def test_plots(tmp_path):
    """Comparison, growth and sensitivity draw themselves where matplotlib is installed."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pictures = [
        explain.compare(*article_net("C"), "squared_error").plot(),
        explain.growth(10, range(1, 9)).plot(),
        explain.sensitivity(*article_net("C"), "w5", loss="squared_error").plot(),
    ]
    bars, lines, curve = pictures
    assert [patch.get_width() for patch in bars.patches][-1] == 40
    assert bars.get_xscale() == lines.get_yscale() == "log"
    assert list(lines.lines[0].get_ydata())[:2] == [200, 4200]
    assert curve.get_xlabel() == "w5" and len(curve.lines) == 3
    for number, ax in enumerate(pictures):
        ax.figure.savefig(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000
    from matplotlib import pyplot

    pyplot.close("all")


def test_plots_without_matplotlib(monkeypatch):
    """Its absence is one sentence that names the extra to install."""
    original = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"Plots need matplotlib: `pip install cbp\[plot\]`"):
        explain.growth(10, [1]).plot()


def test_integers_beyond_all_floats():
    """Counts of more than 308 digits, and of more than 4,300, are printed; plots leave them out."""
    pytest.importorskip("matplotlib")
    g = explain.growth(10, [1, 400])
    assert "8.886e403" in str(g) and "83,900" in str(g)
    assert [np.isfinite(y) for y in g.plot().lines[0].get_ydata()] == [True, False]
    assert "2.000e5008" in str(explain.growth(10**5, [1000]))
    assert integer(123_456 * 10**6000) == "1.23e6005" and integer(99_999 * 10**400) == "1.00e405"
    assert integer(10**15 - 1) == "999,999,999,999,999"
    for power in range(16, 400):
        assert integer(10**power) == integer(10**power - 1) == f"1.00e{power}"
        assert integer(2 * 10**power - 1) == f"2.00e{power}"


def test_recursions_deeper_than_the_stack():
    """Of a net of 1,000 layers the recursions are not done, and say so; all else is."""
    net = cbp.Network([1] * 1001, "tanh", seed=1)
    g = explain.graph(net, 1.0, 0.5)
    with pytest.raises(RecursionError, match='"memo" asks layer after layer, and 1,000 layers are'):
        explain.derive(g, "memo")
    table = explain.compare(net, 1.0, 0.5, limit=10**4)
    done = {row.method for row in table.rows if row.seconds is not None}
    assert done == {"delta", "compiled"} and table.agree
    assert str(table).count("not done") == 7


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda: explain.growth(3, 4), "`depths` must be a list of integers, got 4"),
        (lambda: explain.growth(2.5, [1]), "`width` must be an integer, got 2.5"),
        (lambda: explain.counts([2, 2.5]), r"`sizes\[1\]` must be an integer, got 2.5"),
        (lambda: explain.paths(article_graph("C"), "w5", limit="1"), "`limit` must be an integer"),
        (lambda: explain.sensitivity(*article_net("C"), "w5", "squared_error"),
         "`steps` must be a list of numbers, got 'squared_error'; a loss goes by its name, `loss=`"),
    ],
)  # fmt: skip
def test_the_wrong_kind(ask, message):
    """What is no integer, or no list, is refused by name and never cut down to one."""
    with pytest.raises(TypeError, match=message):
        ask()


def test_a_gradient_of_zero_is_said_once():
    """No "−0", and no "0 = 0"."""
    net = cbp.Network([1, 1, 1], "relu", dtype="float64", bias=False)
    net.parameters[:] = -0.5, 1.0
    s = explain.sensitivity(net, 1.0, 0.25, "w1_1_1")
    assert s.sentence() == "∂L/∂w1_1_1 = 0 at w1_1_1 = −0.5: L does not change at first."


def test_bars_tell_their_numbers():
    """Every bar of a comparison has its count beside it, within the axes; none is infinite."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    for sizes in ([2, 2, 2], [6, 20, 20, 3], [10] * 401):
        net = cbp.Network(sizes, "tanh", seed=1)
        ax = explain.compare(net, np.ones(sizes[0]), np.ones(sizes[-1]), limit=10**4).plot()
        ax.figure.canvas.draw()
        texts = [text for text in ax.texts if text.get_text()]
        assert len(texts) == len(ax.patches) >= 6
        frame = ax.get_window_extent()
        assert all(text.get_window_extent().x1 <= frame.x1 for text in texts), sizes
    from matplotlib import pyplot

    pyplot.close("all")
