"""cbp.explain.paths: one weight, path by path, in numbers and in words."""

from __future__ import annotations

import html.parser
import math
import re

import article
import numpy as np
import pytest
from explained import article_graph, article_net

import cbp
from cbp import explain


def test_S12_w1_has_five_factors():
    """∂L/∂w1 = ∂L/∂y · ∂y/∂z3 · ∂z3/∂h1 · ∂h1/∂z1 · ∂z1/∂w1, in this order."""
    ps = explain.paths(article_graph("A"), "w1")
    (path,) = ps
    names = [name for name, _ in path.factors]
    assert names == ["∂L/∂y", "∂y/∂z3", "∂z3/∂h1", "∂h1/∂z1", "∂z1/∂w1"]
    assert path.nodes == ("x", "z1", "h1", "z3", "y", "L")
    assert path.product == pytest.approx(math.prod(v for _, v in path.factors), rel=0)
    assert ps.total == pytest.approx(0.0093302141112770277246, rel=5e-14)


def test_S13_w3_has_three_factors():
    """∂L/∂w3 = ∂L/∂y · ∂y/∂z3 · ∂z3/∂w3."""
    (path,) = explain.paths(article_graph("A"), "w3")
    assert [name for name, _ in path.factors] == ["∂L/∂y", "∂y/∂z3", "∂z3/∂w3"]
    assert path.product == pytest.approx(0.044823058572767365223, rel=5e-14)


def test_S15_the_closed_form_of_w1():
    """∂L/∂w1 = (y - t) · y · (1 - y) · w3 · h1 · (1 - h1) · x."""
    g = article_graph("A")
    y, h1, x = (g.node(name).value for name in ("y", "h1", "x"))
    closed = (y - 0.25) * y * (1 - y) * 0.3 * h1 * (1 - h1) * x
    assert explain.paths(g, "w1").total == pytest.approx(closed, rel=1e-15)
    assert closed == pytest.approx(0.0093302141112770277246, rel=5e-14)


def test_S18_w5_and_w1_differ_in_the_last_factor_alone():
    """In net B all factors but ∂z1/∂w are shared: the gradients are as x2 to x1."""
    g = article_graph("B")
    (one,), (five,) = explain.paths(g, "w1"), explain.paths(g, "w5")
    assert one.factors[:-1] == five.factors[:-1]
    assert one.factors[-1] == ("∂z1/∂w1", 1.5) and five.factors[-1] == ("∂z1/∂w5", -2.0)
    assert five.product / one.product == pytest.approx(-2.0 / 1.5, rel=1e-15)


def test_S30_the_edges_of_w5_include_both_outputs():
    """In net C the paths of w5 pass z3 and z4."""
    ps = explain.paths(article_graph("C"), "w5")
    assert [path.nodes for path in ps] == [
        ("x2", "z1", "h1", "z3", "y1", "L"),
        ("x2", "z1", "h1", "z4", "y2", "L"),
    ]


def test_S32_several_successors_add():
    """The two paths of w5 in net C, and their sum; ∂L/∂y1 + ∂L/∂y2 is another number."""
    g = article_graph("C")
    ps = explain.paths(g, "w5")
    assert [path.product for path in ps] == pytest.approx(article.NET_C_PATHS, rel=5e-14)
    assert ps.total == pytest.approx(0.00052526961334508709038, rel=5e-14)
    assert g.gradients["w5"] == pytest.approx(ps.total, rel=5e-14)
    literal = g.node("y1").gradient + g.node("y2").gradient
    assert literal == pytest.approx(0.15964, abs=5e-6)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_paths_add_up_to_the_gradient_of_every_parameter(output):
    """Σ of the products is the compiled gradient; there are n_{l+1} ... n_L paths, each 2(L-l)+3
    factors long; softmax multiplies them by n_L."""
    sizes = [3, 4, 2, 3]
    net = cbp.Network(sizes, "tanh", output, dtype="float64", seed=1)
    g = explain.graph(net, [1.0, -0.5, 2.0], [0, 0, 1])
    flat = net.loss_and_gradient([1.0, -0.5, 2.0], [[0, 0, 1]])[1]
    for (name, (layer, _, _)), expected in zip(g.places.items(), flat):
        ps = explain.paths(g, name)
        n = math.prod(sizes[layer + 2 :]) * (3 if output == "softmax" else 1)
        assert len(ps) == ps.count == len(list(ps)) == n
        assert {len(path.factors) for path in ps} == {2 * (2 - layer) + 3}
        assert len({path.nodes for path in ps}) == n
        assert ps.total == pytest.approx(expected, rel=5e-14, abs=5e-14 * abs(flat).max())


def test_a_bias_begins_at_its_z():
    """∂z/∂b = 1 is the last factor of a bias's path."""
    net = cbp.Network([2, 2, 1], "sigmoid", "sigmoid", dtype="float64", seed=1)
    (path,) = explain.paths(explain.graph(net, [1, 2], 1), "b2")
    assert path.nodes == ("z2", "h2", "z3", "y", "L") and path.factors[-1] == ("∂z2/∂b2", 1.0)


def test_unknown_weights_list_the_nearest():
    """A name that is none is refused with the nearest that are."""
    with pytest.raises(ValueError, match="one of w1, w2, w3, w4, got 'w7'"):
        explain.paths(article_graph("A"), "w7")
    with pytest.raises(ValueError, match="one of w1, w2, w3, w4, w5, w6, w7, w8, got 'W5'"):
        explain.paths(article_graph("C"), "W5")
    net = cbp.Network([3, 4, 5], seed=1)
    g = explain.graph(net, [1, 2, 3], np.zeros(5))
    with pytest.raises(ValueError, match=r"no weight 'w2_3_6' in .* are .*w2_3_\d"):
        explain.paths(g, "w2_3_6")
    with pytest.raises(ValueError, match="no weight 7 in"):
        explain.paths(g, 7)


def test_too_many_paths_are_refused_with_their_number():
    """Beyond the limit: the count, and what to use in place of it."""
    net = cbp.Network([1, 50, 50, 50, 50], seed=1)
    g = explain.graph(net, 1.0, np.zeros(50))
    with pytest.raises(ValueError, match=r"w1_1_1 has 125,000 paths to L, more than the limit of "
                       r"1,000: `graph.gradients\['w1_1_1'\]`"):  # fmt: skip
        explain.paths(g, "w1_1_1", limit=1000)
    assert len(explain.paths(g, "w2_1_1", limit=2500)) == 2500
    net = cbp.Network([1, 101, 101, 101, 101], seed=1)
    g = explain.graph(net, 1.0, np.zeros(101))
    with pytest.raises(ValueError, match="1,030,301 paths to L, more than the limit of 1,000,000"):
        explain.paths(g, "w1_1_1")


def test_as_plain_text():
    """Nodes, factors in symbols and numbers, product, and the sum of the two paths."""
    text = str(explain.paths(article_graph("C"), "w5"))
    lines = text.split("\n")
    assert lines[0] == "∂L/∂w5: 2 paths"
    assert lines[1] == "1. x2 → z1 → h1 → z3 → y1 → L"
    assert lines[2].strip() == "∂L/∂y1 · ∂y1/∂z3 · ∂z3/∂h1 · ∂h1/∂z1 · ∂z1/∂w5"
    assert lines[3].strip().startswith("0.301183 · 0.24738 · 0.3 · 0.209773 · −2 = −0.00937768285")
    assert lines[-1].startswith("sum = 0.00052526961334")
    numbers = [float(v.replace("−", "-")) for v in re.findall(r"= (\S+)", text)]
    assert numbers[0] + numbers[1] == pytest.approx(numbers[2], rel=1e-9)


def test_long_lists_of_paths_are_cut():
    """20 paths are written out; the rest is told in one line, with its sum."""
    net = cbp.Network([1, 6, 5, 1], dtype="float64", seed=1)
    ps = explain.paths(explain.graph(net, 1.0, 0.0), "w1_1_1")
    assert len(ps) == 5 and "more" not in str(ps)
    net = cbp.Network([1, 2, 30, 1], dtype="float64", seed=1)
    ps = explain.paths(explain.graph(net, 1.0, 0.0), "w1_1_1")
    text = str(ps)
    assert text.count("→ L") == 20
    rest = float(re.search(r"and 10 more, together (\S+)", text)[1].replace("−", "-"))
    assert rest == pytest.approx(sum(path.product for path in ps[20:]), rel=1e-11)
    assert ps.to_text(30).count("→ L") == 30
    assert r"\cdots" in ps.to_latex() and "10 more" in ps.to_html()


def test_as_latex():
    """An aligned block with balanced braces: symbols, numbers, products, sum."""
    latex = explain.paths(article_graph("C"), "w5").to_latex()
    assert latex.startswith(r"\begin{aligned}") and latex.endswith(r"\end{aligned}")
    assert r"\frac{\partial L}{\partial w_{5}} &= \frac{\partial L}{\partial y_{1}} \cdot" in latex
    assert r"0.301183 \cdot 0.24738 \cdot 0.3 \cdot 0.209773 \cdot (-2)" in latex
    assert "&= -0.00937768 + 0.00990295" in latex and "&= 0.00052527" in latex
    assert latex.count("{") == latex.count("}")
    net, x, _ = article_net("A")
    tiny = explain.paths(explain.graph(net, 1e-9, 0.5, "squared_error"), "w1").to_latex()
    assert r"\times 10^{-9}" in tiny


def test_as_html():
    """A well-formed table, one row a path, that names every factor and shows the sum."""

    class Reader(html.parser.HTMLParser):
        open, tags = [], []

        def handle_starttag(self, tag, attrs):
            if tag != "br":
                self.open.append(tag)
            self.tags.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    ps = explain.paths(article_graph("C"), "w5")
    reader = Reader()
    reader.feed(ps.to_html())
    assert reader.open == [] and reader.tags.count("tr") == 4
    for name, _ in ps[0].factors:
        assert f'title="{name}"' in ps.to_html()
    assert "0.00052526961334" in ps.to_html() and ps._repr_html_() == ps.to_html()


def test_counts_of_a_thousand_layers():
    """A number of 302 digits is told in a few of them."""
    g = explain.graph(cbp.Network([2] * 1001, "tanh", seed=1), [1, 2], [0, 1])
    with pytest.raises(ValueError, match="w1_1_1 has 5.36e300 paths to L, more than"):
        explain.paths(g, "w1_1_1")


@pytest.mark.parametrize("output", ["tanh", "softmax"])
def test_many_paths_are_printed_without_being_kept(output):
    """65,536 paths are added up one by one: the same bits, and no list of half a gigabyte."""
    net = cbp.Network([2] * (18 if output == "tanh" else 17), "tanh", output, seed=1)
    ps = explain.paths(explain.graph(net, [1, 2], [0, 1]), "w1_1_1")
    assert f"... and {65_516:,} more" in str(ps) and "cdots" in ps.to_latex() and ps.to_html()
    assert "paths" not in vars(ps)
    assert ps.total == pytest.approx(ps.graph.gradients["w1_1_1"], rel=1e-12)
    small = cbp.Network([2, 3, 3, 2], "tanh", output, seed=1)
    g = explain.graph(small, [1, 2], [0, 1])
    for name in g.parameters:
        ps = explain.paths(g, name)
        assert list(ps._products()) == [path.product for path in ps]
        assert ps.total == sum(path.product for path in ps)
