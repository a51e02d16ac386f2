"""cbp.explain.derive and counts: the ways to one gradient, and what each of them takes.

What lives here: the published and independently computed counts, the formulas against them, and
what is counted while the work is done against the formulas.
"""

from __future__ import annotations

import numpy as np
import pytest
from explained import article_graph

import cbp
from cbp import explain

CIRESAN = (784, 2500, 2000, 1500, 1000, 500, 10)
# Without biases: parameters, edges, paths, multiplications of the path sum and of the recursion,
# passes and multiplications of central differences, passes, sparse and dense multiplications of
# forward mode, multiplications of the reverse pass, and of forward and reverse together.
TABLE = {
    (1, 2, 1): (4, 10, 4, 12, 12, 8, 40, 4, 16, 32, 9, 16),
    (2, 2, 1): (6, 12, 6, 20, 20, 12, 84, 6, 26, 60, 11, 20),
    (2, 2, 2): (8, 18, 12, 40, 32, 16, 160, 8, 44, 112, 16, 28),
    (10, 10, 10, 10): (
        300, 540, 11_100, 64_200, 24_600, 600, 186_000, 300, 17_700, 102_000, 530, 860,
    ),
    (784, 30, 10): (
        23_820, 24_170, 235_500, 941_400, 518_040, 47_640, 1_135_261_200,
        23_820, 753_540, 568_583_400, 24_160, 48_020,
    ),
    (784, 100, 10): (
        79_400, 80_520, 785_000, 3_138_000, 1_726_800, 158_800, 12_610_308_000,
        79_400, 2_511_800, 6_313_888_000, 80_510, 160_020,
    ),
    (784, 300, 100, 10): (
        266_200, 297_620, 235_501_000, 1_412_402_000, 518_572_400, 532_400, 141_730_204_000,
        266_200, 288_377_400, 70_974_244_000, 297_610, 564_220,
    ),
}  # fmt: skip
# With biases: parameters, edges, paths, path sum, central passes and multiplications, forward
# passes, sparse, dense, reverse.
BIASED = {
    (2, 2, 2): (12, 22, 18, 60, 24, 240, 12, 66, 168, 16),
    (10, 10, 10, 10): (330, 570, 12_210, 70_620, 660, 204_600, 330, 19_470, 112_200, 530),
    (784, 30, 10): (
        23_860, 24_210, 235_810, 942_620, 47_720, 1_137_167_600, 23_860, 754_530, 569_538_200,
        24_160,
    ),
}  # fmt: skip
# Width 10, L = 1 ... 8, no biases.
NAIVE = (200, 4200, 64200, 864200, 10864200, 130864200, 1530864200, 17530864200)
CALLS = (100, 1200, 12300, 123400, 1234500, 12345600)
SPARSE = (300, 3500, 17700, 42900, 79100, 126300, 184500, 253700)
REVERSE = (110, 320, 530, 740, 950, 1160, 1370, 1580)


def row(c):
    work = c.work
    return (
        c.parameters, c.edges, c.paths, work["paths"].multiplications,
        work["recursion"].multiplications, work["central"].passes, work["central"].multiplications,
        work["forward"].passes, work["forward"].multiplications,
        work["forward_dense"].multiplications, work["delta"].multiplications, c.whole,
    )  # fmt: skip


@pytest.mark.parametrize("sizes", TABLE, ids=str)
def test_counts_of_the_table(sizes):
    """The formulas give the table's integers."""
    assert row(explain.counts(sizes)) == TABLE[sizes]


@pytest.mark.parametrize("sizes", BIASED, ids=str)
def test_counts_with_biases(sizes):
    """Likewise with biases, whose factor 1 is multiplied by in all ways but reverse."""
    found = row(explain.counts(sizes, bias=True))
    assert found[:4] + found[5:-1] == BIASED[sizes]


def test_counts_of_a_net_beyond_64_bits():
    """784-2500-...-10: 3.5e20 multiplications of paths, exactly; 22 million in reverse."""
    c = explain.counts(CIRESAN)
    assert (c.parameters, c.edges) == (11_965_000, 21_977_520)
    assert f"{c.paths:.7e}" == "2.9437515e+19"
    assert f"{c.work['paths'].multiplications:.7e}" == "3.5317512e+20"
    assert f"{c.work['recursion'].multiplications:.7e}" == "6.4774320e+19"
    assert c.work["central"].passes == 23_930_000
    assert c.work["central"].multiplications == 286_322_689_300_000
    assert f"{c.work['forward'].multiplications:.2e}" == "2.14e+13"
    assert f"{c.work['forward_dense'].multiplications:.2e}" == "1.43e+14"
    assert (c.work["delta"].multiplications, c.whole) == (21_977_510, 33_950_020)
    # The sums of the formulas, written out for this net alone.
    paths = mults = 0
    for layer in range(1, 7):
        P = 1
        for n in CIRESAN[layer + 1 :]:
            P *= n
        paths += CIRESAN[layer - 1] * CIRESAN[layer] * P
        mults += CIRESAN[layer - 1] * CIRESAN[layer] * P * (2 * (6 - layer) + 2)
    assert (c.paths, c.work["paths"].multiplications) == (paths, mults)
    assert paths > 2**64
    # Central differences against forward and reverse: the "ten million times" of Colah's essay.
    assert f"{c.work['central'].multiplications / c.whole:.1e}" == "8.4e+06"


@pytest.mark.parametrize("depth", range(1, 9))
def test_S22_exponential_against_linear(depth):
    """Width 10: paths cost 200, 4200, 64200, ...; stored δ's 110, 320, 530: +210 a layer."""
    work = explain.counts([10] * (depth + 1)).work
    assert work["paths"].multiplications == NAIVE[depth - 1]
    assert depth > len(CALLS) or work["recursion"].visits == CALLS[depth - 1]
    assert work["forward"].multiplications == SPARSE[depth - 1]
    assert work["delta"].multiplications == REVERSE[depth - 1] == 110 + 210 * (depth - 1)


@pytest.mark.parametrize("letter, visits, edges", [("A", 16, 10), ("B", 26, 12), ("C", 52, 18)])
def test_S19_paths_visit_the_same_edges_again(letter, visits, edges):
    """The path sum visits 16, 26 and 52 edges, where there are 10, 12 and 18."""
    g = article_graph(letter)
    assert explain.derive(g, "paths").work.visits == visits
    assert g.n_edges == edges
    assert sum(len(p.factors) for w in g.parameters for p in explain.paths(g, w)) == visits


ALL = tuple(explain.counts([1, 1]).work)
# Errors of the differences: rounding of L divided by the step, and the step's own.
TOLERANCE = {"one_sided": 1e-5, "central": 1e-9}


@pytest.mark.parametrize("sizes", [*list(TABLE)[:4], (3, 4, 2, 3), (4, 2), (5, 1, 3, 2)], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_every_way_counts_what_its_formula_says(sizes, bias, output):
    """Counted where it happens, every number equals the formula's, and the gradients agree."""
    if output == "softmax" and sizes[-1] == 1:
        output = "identity"
    net = cbp.Network(list(sizes), "sigmoid", output, bias=bias, dtype="float64", seed=4)
    x, t = np.linspace(-1, 1, sizes[0]), np.eye(sizes[-1])[0]
    g = explain.graph(net, x, t)
    expected = net.loss_and_gradient(x, t[None])[1]
    formula = explain.counts(sizes, bias=bias, softmax=output == "softmax")
    assert formula.edges == len(g.edges)
    assert formula.paths == sum(explain.paths(g, name).count for name in g.parameters)
    for method in ALL:
        done = explain.derive(g, method)
        assert done.work == formula.work[method], method
        atol = TOLERANCE.get(method, 1e-15) * max(1.0, g.value)
        np.testing.assert_allclose(done.gradient, expected, rtol=0, atol=atol, err_msg=method)


@pytest.mark.parametrize(
    "sizes, bias, methods",
    [
        ((784, 30, 10), False, ("paths", "recursion", "memo", "delta", "forward")),
        ((784, 30, 10), True, ("paths", "recursion", "memo", "delta", "forward")),
        ((10, 10, 10, 10, 10), False, ("paths", "recursion", "memo", "delta", "forward")),
        pytest.param((784, 30, 10), False, ("forward_dense", "central"), marks=pytest.mark.slow),
        pytest.param(
            (784, 100, 10), False, ("paths", "recursion", "memo", "delta", "forward"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_brute_force_of_larger_nets(sizes, bias, methods):
    """Up to a million paths are really followed: counts as the formula's, gradients as reverse's."""
    net = cbp.Network(list(sizes), "sigmoid", "sigmoid", bias=bias, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    g = explain.graph(net, rng.random(sizes[0]), np.eye(10)[3], "squared_error")
    formula = explain.counts(sizes, bias=bias)
    for method in methods:
        done = explain.derive(g, method)
        assert done.work == formula.work[method], method
        atol = TOLERANCE.get(method, 3e-17)
        np.testing.assert_allclose(done.gradient, g.gradient, rtol=1e-12, atol=atol)


def test_S20_three_things_under_three_names():
    """Path sum, forward mode and reverse are different work for one gradient."""
    g = article_graph("C")
    done = {way: explain.derive(g, way) for way in ("paths", "forward", "delta")}
    assert [d.work.multiplications for d in done.values()] == [40, 44, 16]
    assert [d.work.passes for d in done.values()] == [8, 8, 1]
    for d in done.values():
        np.testing.assert_allclose(d.gradient, g.gradient, rtol=5e-14)


def test_S23_top_down_and_bottom_up_are_dual():
    """Recursion with memo and the δ recursion: same δ's, same gradient bits, same work."""
    g = article_graph("C")
    top_down, bottom_up = explain.derive(g, "memo"), explain.derive(g, "delta")
    assert top_down.work == bottom_up.work == (1, 4, 16, 2)
    np.testing.assert_array_equal(top_down.gradient, bottom_up.gradient)


def test_S16_the_forward_pass_is_used_by_every_way():
    """Once y and h are known everything is: no way but differences goes forward again."""
    g = article_graph("A")
    g.net.parameters[:] = np.nan  # nothing may ask the net, nor recompute z
    for method in ("paths", "recursion", "memo", "delta", "forward"):
        slope, a, W = g.slopes, g.a, [np.array([[0.1, 0.2]]), np.array([[0.3], [0.4]])]
        g.weights = W
        gradient = explain.derive(g, method).gradient
        assert gradient[0] == pytest.approx(0.0093302141112770277246, rel=5e-14)
        assert g.slopes is slope and g.a is a


def test_fewer_than_three_forward_passes():
    """A gradient with its forward pass costs 3 + 2N/W forward passes at most: 2.02, 2.87."""
    for sizes, ratio in (((784, 30, 10), 2.02), ((10, 10, 10, 10), 2.87)):
        c = explain.counts(sizes)
        assert round(c.whole / c.parameters, 2) == ratio


def test_unknown_methods_and_sizes():
    """Names and sizes that are none are refused in one sentence."""
    with pytest.raises(ValueError, match="`method` must be one of paths, .* got 'naive'"):
        explain.derive(article_graph("A"), "naive")
    with pytest.raises(ValueError, match=r"`sizes` must name the inputs and at least one layer"):
        explain.counts([3])
    with pytest.raises(ValueError, match=r"with 1 unit or more, got \[3, 0\]"):
        explain.counts([3, 0])
    with pytest.raises(ValueError, match="`bias` must name 2 layers, got 3"):
        explain.counts([3, 2, 1], bias=[True] * 3)
