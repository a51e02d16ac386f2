"""cbp.explain.expression: Colah's graphs, forward, backward, and path by path."""

from __future__ import annotations

import math

import pytest

from cbp.explain import expression
from cbp.explain.expression import link, variable


@pytest.fixture
def colah():
    """e = (a + b)(b + 1) at a = 2, b = 1."""
    a, b = variable("a", 2), variable("b", 1)
    c, d = (a + b).named("c"), (b + 1).named("d")
    return a, b, (c * d).named("e")


def test_colah_values_and_edges(colah):
    """c = 3, d = 2, e = 6, and the five edges of the essay's picture."""
    _, _, e = colah
    assert e.nodes() == {"a": 2, "b": 1, "c": 3, "d": 2, "e": 6}
    assert {edge.label: edge.partial for edge in e.edges()} == {
        "∂c/∂a": 1, "∂c/∂b": 1, "∂d/∂b": 1, "∂e/∂c": 2, "∂e/∂d": 3,
    }  # fmt: skip


def test_colah_forward_mode(colah):
    """Forward from b: (0, 1, 1, 1, 5); from a: (1, 0, 1, 0, 2); a pass for each variable."""
    a, b, e = colah
    assert e.forward(b).derivatives == {"a": 0, "b": 1, "c": 1, "d": 1, "e": 5}
    assert e.forward(a).derivatives == {"a": 1, "b": 0, "c": 1, "d": 0, "e": 2}


def test_colah_reverse_mode(colah):
    """Reverse: e = 1, c = 2, d = 3, a = 2, b = 5, in one pass."""
    _, _, e = colah
    assert e.reverse().derivatives == {"e": 1, "c": 2, "d": 3, "a": 2, "b": 5}


def test_both_modes_touch_each_edge_once(colah):
    """The essay's remark: each pass touches each edge exactly once."""
    a, _, e = colah
    assert e.forward(a).edges == e.reverse().edges == len(e.edges()) == 5


def test_colah_sums_over_paths(colah):
    """∂e/∂b = 1 · 2 + 1 · 3 over two paths; ∂e/∂a = 1 · 2 over one."""
    a, b, e = colah
    assert [path.product for path in e.paths(b)] == [2, 3]
    assert [[edge.label for edge in path.edges] for path in e.paths(b)] == [
        ["∂c/∂b", "∂e/∂c"],
        ["∂d/∂b", "∂e/∂d"],
    ]
    assert [path.product for path in e.paths(a)] == [2]
    assert e.factored(b).text == "∂c/∂b ∂e/∂c + ∂d/∂b ∂e/∂d"


def test_colah_factoring_paths():
    """3 · 3 = 9 paths are (α + β + γ)(δ + ε + ζ): 9 multiplications become 1."""
    x = variable("X", 1.0)
    y = link(x, {"α": 2.0, "β": 3.0, "γ": 5.0}).named("Y")
    z = link(y, {"δ": 7.0, "ε": 11.0, "ζ": 13.0}).named("Z")
    paths = z.paths(x)
    labels = [" ".join(edge.label for edge in path.edges) for path in paths]
    assert sorted(labels) == sorted(f"{p} {q}" for p in "αβγ" for q in "δεζ")
    assert sum(path.product for path in paths) == (2 + 3 + 5) * (7 + 11 + 13)
    assert z.factored(x) == (9, 9, 1, "(α + β + γ) (δ + ε + ζ)")
    assert z.reverse().derivatives["X"] == z.forward(x).derivatives["Z"] == 310


def test_ten_stages_of_three_edges():
    """3¹⁰ = 59,049 paths: 531,441 multiplications one by one, 9 factored."""
    x = variable("x", 1.0)
    nodes = [x]
    for stage in range(1, 11):
        node = link(nodes[-1], {f"{letter}{stage}": 0.5 for letter in "abc"}).named(f"n{stage}")
        nodes.append(node)
    f = node.factored(x)
    assert (f.paths, f.path_multiplications, f.multiplications) == (59_049, 531_441, 9)
    assert node.reverse().derivatives["x"] == pytest.approx(1.5**10, rel=1e-15)
    assert sum(path.product for path in nodes[6].paths(x)) == pytest.approx(1.5**6, rel=1e-12)
    with pytest.raises(ValueError, match="59,049 paths lead from x to n10, more than .* 1,000"):
        node.paths(x, limit=1000)


@pytest.mark.parametrize(("edges", "stages"), [(2, 5), (3, 4), (5, 3), (4, 1)])
def test_the_formulas_of_factoring(edges, stages):
    """k stages of m edges: m^k paths, (k - 1) m^k multiplications one by one, k - 1 factored."""
    node = variable("x", 1.0)
    x = node
    for _ in range(stages):
        node = link(node, {f"e{edge}": 0.5 for edge in range(edges)})
    f = node.factored(x)
    paths = edges**stages
    assert f[:3] == (paths, (stages - 1) * paths, stages - 1)
    assert len(node.paths(x)) == paths


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: a * b - b / a + 2 / b,
        lambda a, b: (a - 1) ** 3 * -b + (5 - a) / 2,
        lambda a, b: expression.exp(-a * a) * expression.sin(b) + expression.cos(a * b),
        lambda a, b: expression.log(a) * expression.sqrt(b) + expression.tanh(a - b),
        lambda a, b: 0.5 * (expression.sigmoid(a * 0.3 - b) - 0.25) ** 2,
        lambda a, b: 1 - a * a * a + a**0 + b * b,
    ],
)
def test_every_operator_against_differences(make):
    """Forward, reverse and path sums agree, and with central differences, for every operation."""
    a, b = variable("a", 1.3), variable("b", 0.7)
    e = make(a, b)
    reverse = e.reverse().derivatives
    name = list(e.nodes())[-1]
    step = 1e-6
    for v, x, y in ((a, step, 0), (b, 0, step)):
        above, below = (
            make(variable("a", 1.3 + s * x), variable("b", 0.7 + s * y)).value for s in (1, -1)
        )
        slope = reverse[v.name]
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-8, abs=1e-9)
        assert e.forward(v).derivatives[name] == pytest.approx(slope, rel=1e-14)
        assert sum(path.product for path in e.paths(v)) == pytest.approx(slope, rel=1e-14)


def test_values():
    """Operators compute what they look like, reflected ones too."""
    a, b = variable("a", 3.0), variable("b", 2.0)
    assert (1 - a + b * 4 - b).value == 4 and (6 / a / b).value == 1 and (-(a**2)).value == -9
    assert (a + a * b).name == "a + (a * b)" and repr(a) == "<a = 3>"
    assert expression.sigmoid(variable("x", -800.0)).value == 0.0
    assert expression.log(expression.exp(a)).value == pytest.approx(3.0)
    assert expression.sigmoid(a).value == pytest.approx(1 / (1 + math.exp(-3)))


def test_equal_formulas_are_different_nodes():
    """Two nodes of the same formula keep names of their own."""
    a, b = variable("a", 3.0), variable("b", 2.0)
    e = (a + b) * (a + b)
    assert list(e.nodes()) == ["a", "b", "a + b", "a + b #2", "(a + b) * (a + b)"]
    assert e.reverse().derivatives["a"] == 10 and e.factored(a).paths == 2


def test_refusals(colah):
    """What cannot be answered is refused in one sentence."""
    a, b, e = colah
    other = variable("k", 1.0)
    for ask in (e.forward, e.paths, e.factored):
        with pytest.raises(ValueError, match="e does not depend on k"):
            ask(other)
    with pytest.raises(TypeError, match=r"write `exp\(b \* log\(a\)\)`"):
        a**b
    with pytest.raises(TypeError, match="An operand must be a number, got str"):
        a + "1"


def test_formulas_do_not_grow_without_end():
    """y = y * y, sixty times, is a name that would double each time; it stays short, as sums do."""
    x = y = expression.variable("x", 1.0)
    for _ in range(60):
        y = y * y
    assert len(y.name) < 100 and y.reverse().derivatives["x"] == 2.0**60
    assert y.factored(x).paths == 2**60
    with pytest.raises(ValueError, match="1.15e18 paths lead from x to"):
        y.paths(x)
    older, newer = x, x + 1  # a sum that no bracket shortens
    for _ in range(80):
        older, newer = newer, newer + older
    assert len(newer.factored(x).text) < 5000


def test_variables_are_numbers_with_names():
    """Anything else is refused by the argument's name."""
    with pytest.raises(TypeError, match="`value` must be a number, got '2'"):
        expression.variable("a", "2")
    with pytest.raises(TypeError, match="`name` must be text, got 2"):
        expression.variable(2, 1.0)


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda a: expression.log(a), ValueError, "`log` and its slope need a number above 0, got -1"),
        (lambda a: expression.sqrt(a + 1), ValueError, "`sqrt` and its slope .* above 0, got 0"),
        (lambda a: a**0.5, ValueError, r"a \*\* 0.5 has no real value at -1"),
        (lambda a: expression.tanh(2.0), TypeError, "`tanh` takes an expression, got float"),
    ],
)
def test_where_a_function_is_not_defined(make, kind, message):
    """Neither a complex number nor "math domain error": a sentence with the number."""
    with pytest.raises(kind, match=message):
        make(expression.variable("a", -1.0))
