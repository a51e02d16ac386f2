"""cbp.explain: the graph of a network, its nodes, edges and names."""

from __future__ import annotations

import itertools

import numpy as np
import outputs
import pytest
from explained import article_graph, article_net

import cbp
from cbp import explain


@pytest.mark.parametrize("letter, edges", [("A", 10), ("B", 12), ("C", 18)])
def test_S14_every_edge_is_one_partial(letter, edges):
    """1-2-1 has 10 edges, 2-2-1 12, 2-2-2 18; y -> L, which is not drawn, counts."""
    g = article_graph(letter)
    assert len(g.edges) == g.n_edges == edges
    assert len({edge.name for edge in g.edges}) == edges
    assert sum(edge.target == "L" for edge in g.edges) == len(g.t)


def test_edges_with_biases():
    """A bias is one more edge: 22 in 2-2-2."""
    net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", seed=1)
    g = explain.graph(net, [1, 2], [0, 1], "squared_error")
    assert len(g.edges) == 22
    assert [edge.name for edge in g.edges if edge.source == "b3"] == ["∂z3/∂b3"]


def test_names_of_the_article():
    """w5 leads from x2 to z1, w6 to z2; w7 and w8 to the second output."""
    g = article_graph("C")
    wires = {e.parameter: (e.source, e.target) for e in g.edges if e.parameter}
    assert wires == {
        "w1": ("x1", "z1"), "w2": ("x1", "z2"), "w5": ("x2", "z1"), "w6": ("x2", "z2"),
        "w3": ("h1", "z3"), "w4": ("h2", "z3"), "w7": ("h1", "z4"), "w8": ("h2", "z4"),
    }  # fmt: skip
    names = "x1 x2 z1 z2 h1 h2 z3 z4 y1 y2 L"
    assert [node.name for node in g.nodes] == names.split()
    assert [node.name for node in article_graph("A").nodes] == "x z1 z2 h1 h2 z3 y L".split()
    assert g.parameters == {f"w{k}": k / 10 for k in (1, 2, 5, 6, 3, 7, 4, 8)}


HIDDEN = [name for name in cbp.reference.ACTIVATIONS if "softmax" not in name]
OUTPUTS = [
    *((name, "squared_error") for name in ("identity", "sigmoid", "tanh", "relu")),
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "categorical_cross_entropy"),
]


@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize(
    "hidden, output, loss",
    [*(("tanh", *pair) for pair in OUTPUTS), *((name, *OUTPUTS[1]) for name in HIDDEN)],
)
def test_gradients_are_the_compiled_ones(hidden, output, loss, bias):
    """Every δ and gradient is the compiled float64 core's within 5e-14, and so is the loss."""
    net = cbp.Network([3, 5, 4, 3], hidden, output, bias=bias, dtype="float64", seed=7)
    rng = np.random.default_rng(3)
    net.parameters[:] = rng.normal(size=net.n_parameters)
    for x in rng.normal(size=(5, 3)):
        t = np.array([0.0, 1.0, 0.0])
        g, core = explain.graph(net, x, t, loss), net.gradient(x, t[None], loss)
        close = dict(rtol=5e-14, atol=5e-14 * abs(g.gradient).max())
        np.testing.assert_allclose(g.value, core.loss, rtol=5e-14)
        np.testing.assert_allclose(g.gradient, net.loss_and_gradient(x, t[None], loss)[1], **close)
        for mine, theirs in zip(g.deltas, core.deltas, strict=True):
            np.testing.assert_allclose(mine, theirs[0], **close)


@pytest.mark.parametrize("name, output", outputs.PAIRS, ids=outputs.name_of)
def test_every_loss_at_every_output(name, output):
    """Graph, methods and compiled core agree for every pair that a network can be trained with."""
    loss, rng = outputs.LOSSES[name][0], np.random.default_rng(4)
    for hidden in ("tanh", "silu"):
        net = cbp.Network([3, 4, outputs.N_OUTPUTS], hidden, output, dtype="float64", seed=7)
        x = rng.normal(size=3)
        t = outputs.targets(loss, output, 1, rng)[0]
        g, core = explain.graph(net, x, t, loss), net.gradient(x, t[None], loss)
        np.testing.assert_allclose(g.value, core.loss, rtol=1e-13)
        for mine, theirs in zip(g.deltas, core.deltas, strict=True):
            np.testing.assert_allclose(mine, theirs[0], rtol=1e-12, atol=1e-14)
        for method in ("recursion", "delta", "forward"):
            gradient = explain.derive(g, method).gradient
            np.testing.assert_allclose(gradient, g.gradient, rtol=1e-12, atol=1e-14)
        central = explain.derive(g, "central").gradient
        np.testing.assert_allclose(central, g.gradient, rtol=1e-5, atol=1e-7)


def test_activations_of_ones_own():
    """A pair of Python functions is differentiated as a name is, and counted as well."""
    bump = cbp.Activation(lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z), "bump")
    net = cbp.Network([2, 3, 2], bump, dtype="float64", seed=1)
    g, expected = explain.graph(net, [1, 2], [0, 1]), net.loss_and_gradient([1, 2], [[0, 1]])[1]
    np.testing.assert_allclose(g.gradient, expected, rtol=1e-13)
    assert explain.compare(net, [1, 2], [0, 1]).agree
    assert "bump(z1_1)" in str(explain.trace(g))


@pytest.mark.parametrize("z", [-800.0, -40.0, 40.0, 800.0])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_saturated_probabilities(z, t):
    """Where a sigmoid or softmax output rounds to 0 or 1, the partials still give δ = y - t."""
    net = cbp.Network([1, 1], output_activation="sigmoid", dtype="float64")
    net.parameters[:] = z, 0.0
    g = explain.graph(net, 1.0, t)
    d = net.gradient([[1.0]], [t]).deltas[0][0]
    np.testing.assert_allclose(g.deltas[0], d, rtol=5e-14, atol=2e-16)  # y - 1 has rounded
    net = cbp.Network([1, 2], output_activation="softmax", dtype="float64")
    net.parameters[:2] = z, 0.0
    g = explain.graph(net, 1.0, int(t))
    d = net.gradient([[1.0]], [int(t)]).deltas[0][0]
    np.testing.assert_allclose(g.deltas[0], d, rtol=5e-14, atol=2e-16)


def test_nodes_hold_the_values_of_the_forward_pass():
    """Values are net.forward's to the last bit; edges carry what the graph says they do."""
    net, x, t = article_net("C")
    g, forward = explain.graph(net, x, t, "squared_error"), net.forward(x)
    for layer, (z, a) in enumerate(zip(forward.z, forward.a[1:])):
        for j in range(2):
            assert g.node(g.names.z(layer, j)).value == z[0, j]
            assert g.node(g.names.a(layer, j)).value == a[0, j]
    partial = {edge.name: edge.partial for edge in g.edges}
    assert partial["∂z1/∂w5"] == -2.0 and partial["∂z4/∂h1"] == 0.7
    assert partial["∂z4/∂w7"] == g.node("h1").value
    y = g.node("y2").value
    assert partial["∂y2/∂z4"] == y * (1 - y) and partial["∂L/∂y2"] == y - 0.75


def test_gradient_of_a_node_is_the_sum_over_its_successors():
    """∂L/∂node = Σ ∂successor/∂node × ∂L/∂successor at every node, inputs included."""
    net = cbp.Network([3, 4, 2], "tanh", "softmax", seed=5)
    g = explain.graph(net, [1.0, -2.0, 0.5], 1)
    gradient = {node.name: node.gradient for node in g.nodes}
    for node in g.nodes:
        if node.kind in "zhy":
            leaving = [e for e in g.edges if e.source == node.name and e.parameter is None]
            total = sum(edge.partial * gradient[edge.target] for edge in leaving)
            assert node.gradient == pytest.approx(total, rel=1e-13)
        if node.kind == "x":
            W, d = g.weights[0], g.deltas[0]
            assert node.gradient == pytest.approx(W[node.index] @ d, rel=1e-13)
    assert g.node("L").gradient == 1.0


def test_float32_networks_are_worked_out_in_float64():
    """The graph of a float32 net is that of its parameters in float64, and leaves the net alone."""
    net = cbp.Network([4, cbp.Dense(3, "tanh", bias=False), 2], seed=2)
    before = net.parameters.copy()
    g = explain.graph(net, [1, 2, 3, 4], [0.5, 0.25])
    assert g.net.dtype == np.float64 and g.biases[0] is None and g.biases[1] is not None
    np.testing.assert_array_equal(g.net.parameters, before)
    g.net.parameters[:] = 0
    np.testing.assert_array_equal(net.parameters, before)
    expected = net.loss_and_gradient([[1, 2, 3, 4]], [[0.5, 0.25]])[1]
    np.testing.assert_allclose(g.gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_graphs_of_a_batch_add_up(reduction):
    """One graph a row; losses, δ and gradients add up to the batch's, sample weights included."""
    net = cbp.Network([2, 3, 1], "tanh", dtype="float64", seed=3)
    X, T, w = np.random.default_rng(1).normal(size=(3, 2)), [[1.0], [0.0], [2.0]], [1.0, 0.5, 2.0]
    loss = cbp.SquaredError(reduction=reduction)
    gs = explain.graphs(net, X, T, loss, sample_weight=w)
    value, gradient = net.loss_and_gradient(X, T, loss, sample_weight=w)
    assert sum(g.value for g in gs) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(sum(g.gradient for g in gs), gradient, rtol=1e-13)
    deltas = net.gradient(X, T, loss, sample_weight=w).deltas
    for row, g in enumerate(gs):
        np.testing.assert_allclose(g.deltas[0], deltas[0][row], rtol=1e-13)


def test_targets_may_be_written_as_one_row():
    """A number, a list, a row of a matrix and a class number mean what they look like."""
    net = cbp.Network([2, 1], dtype="float64", seed=1)
    values = {explain.graph(net, [1, 2], t).value for t in (0.5, [0.5], [[0.5]])}
    assert len(values) == 1
    net = cbp.Network([2, 3], output_activation="softmax", dtype="float64", seed=1)
    values = {explain.graph(net, [1, 2], t).value for t in (1, [1], [0, 1, 0], [[0, 1, 0]])}
    assert len(values) == 1


def test_refusals():
    """Each mistake is refused in a sentence that says what was expected."""
    net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", seed=1)
    with pytest.raises(TypeError, match="`net` must be a Network, got list"):
        explain.graph([2, 2, 2], [1, 2], [0, 1])
    with pytest.raises(ValueError, match="`x` must have 2 columns"):
        explain.graph(net, [1, 2, 3], [0, 1])
    with pytest.raises(ValueError, match="`t` must have 2 columns"):
        explain.graph(net, [1, 2], [0, 1, 1], "squared_error")
    with pytest.raises(ValueError, match="one row for `graph`, got 3: `graphs` gives one"):
        explain.graph(net, np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="categorical_cross_entropy needs a softmax output"):
        explain.graph(net, [1, 2], [0, 1], "categorical_cross_entropy")
    g = explain.graph(net, [1, 2], [0, 1])
    with pytest.raises(ValueError, match=r"There is no weight 'w9' in this network; .*w8"):
        g.place("w9")
    with pytest.raises(ValueError, match="There is no node 'z5' in this network; .*z4"):
        g.node("z5")


@pytest.mark.parametrize("sizes", [(3, 4, 2), (2, 2, 2), (1, 1), (2, 3, 2, 1)])
def test_every_name_is_its_own(sizes):
    """No two nodes or parameters share a name, and the order is that of net.parameters."""
    net = cbp.Network(list(sizes), seed=1)
    g = explain.graph(net, np.ones(sizes[0]), np.ones(sizes[-1]))
    assert len({node.name for node in g.nodes}) == len(g.nodes)
    assert len(g.parameters) == len(g.gradients) == net.n_parameters
    np.testing.assert_array_equal(list(g.parameters.values()), net.parameters)
    shapes = itertools.pairwise(sizes)
    assert len(g.nodes) == sizes[0] + sum(3 * n_out for _, n_out in shapes) + 1


def test_latex_names():
    """Names become LaTeX indices."""
    assert explain.latex("w5") == "w_{5}" and explain.latex("L") == "L"
    assert explain.latex("w1_2_3") == "w^{(1)}_{2,3}" and explain.latex("z2_1") == "z^{(2)}_{1}"


def masked_net():
    """4-4-3-2 whose first layers have some of their weights alone."""
    mask_1 = np.zeros((4, 4))
    mask_1[:2, :2] = mask_1[2:, 2:] = 1
    mask_2 = np.array([[1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]])
    layers = [cbp.Dense(4, "tanh", mask=mask_1), cbp.Dense(3, "tanh", mask=mask_2)]
    net = cbp.Network([4, *layers, cbp.Dense(2, "softmax")], seed=3)
    return net, mask_1, mask_2


def test_masked_weights_are_not_there():
    """What a mask leaves out has no name, edge or path; the rest is the compiled gradient."""
    net, mask_1, mask_2 = masked_net()
    x, present = [1.0, -1.0, 0.5, 2.0], int(mask_1.sum() + mask_2.sum())
    g = explain.graph(net, x, 1)
    assert len(g.parameters) == present + 3 * 2 + 4 + 3 + 2 and "w1_1_3" not in g.parameters
    assert len(g.edges) == g.n_edges == 8 + 4 + 4 + 2 * 6 + 3 + 3 + 2 * 6 + 2 + 4 + 2
    assert {e.parameter for e in g.edges} - {None} == set(g.parameters)
    core = net.gradient([x], [1])
    np.testing.assert_allclose(g.weight_gradients[0], core.weights[0] * mask_1, atol=1e-6)
    np.testing.assert_allclose(g.weight_gradients[1], core.weights[1] * mask_2, atol=1e-6)
    for name in g.parameters:
        ps = explain.paths(g, name)
        assert ps.count == len(ps.paths) == len({path.nodes for path in ps})
        assert ps.total == pytest.approx(g.gradients[name], rel=1e-12, abs=1e-16)
        assert net.parameters[g.position(name)] == pytest.approx(g.parameters[name], rel=1e-7)
    assert explain.paths(g, "w1_1_2").count == 1 * 2 * 2
    for method in ("paths", "recursion", "memo", "delta", "forward", "forward_dense", "central"):
        gradient = explain.derive(g, method).gradient
        np.testing.assert_allclose(gradient, g.gradient, rtol=0, atol=1e-9)
    table = explain.compare(net, x, 1)
    assert table.rows[0].formula is None and table.largest_difference < 1e-15
    assert table.rows[0].counted.visits == sum(
        len(path.factors) for name in g.parameters for path in explain.paths(g, name)
    )
    assert f"{len(g.parameters)} numbers" in str(table)
    steps = {step.name: step.formula for step in explain.trace(g)}
    assert steps["z1_1"] == "x1·w1_1_1 + x2·w1_2_1 + b1_1" and "∂L/∂w1_3_1" not in steps


def test_standardised_networks():
    """x, t and L are in the network's own units, as net.gradient's δ's and gradients are."""
    rng = np.random.default_rng(1)
    X, T = rng.normal(50, 20, (200, 3)), rng.normal(1000, 300, (200, 2))
    net = cbp.Network([3, 4, 2], "tanh", standardize=True, dtype="float64", seed=1)
    cbp.Trainer(net, seed=1).fit(X, T, 2)
    assert net.scaling is not None
    g, core = explain.graph(net, X[0], T[0]), net.gradient(X[:1], T[:1])
    assert g.value == pytest.approx(core.loss, rel=1e-12)
    np.testing.assert_array_equal(g.x, net.forward(X[:1]).a[0][0])
    for mine, theirs in zip(g.weight_gradients, core.weights):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-14)
    s = explain.sensitivity(net, X[0], T[0], "w2_1_2", [1e-5])
    assert s.loss == pytest.approx(core.loss, rel=1e-12)
    assert s.secants[0] == pytest.approx(core.weights[1][0, 1], rel=1e-3)


@pytest.mark.parametrize(
    "output, loss",
    [("identity", "squared_error"), ("sigmoid", "squared_error"), *OUTPUTS[4:]],
)
def test_losses_without_a_formula_here(monkeypatch, output, loss):
    """Such a loss and its ∂L/∂y come from the compiled core; every δ is as with the formula."""
    net = cbp.Network([3, 4, 3], "tanh", output, dtype="float64", seed=5)
    rng = np.random.default_rng(2)
    for x in 3 * rng.normal(size=(5, 3)):
        known = explain.graph(net, x, [0, 1, 0], loss)
        with monkeypatch.context() as patch:
            patch.setattr(explain.local.Head, "_plain", lambda head, t: False)
            g = explain.graph(net, x, [0, 1, 0], loss)
            central = explain.derive(g, "central").gradient
        assert g.value == pytest.approx(known.value, rel=1e-14)
        np.testing.assert_allclose(g.loss_slope, known.loss_slope, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(g.gradient, known.gradient, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(central, known.gradient, rtol=0, atol=1e-8)


def test_numbers_that_are_not_finite_are_refused():
    """A network that overflows, or has diverged, is refused: the first such number is named."""
    net = cbp.Network([2, 2, 2], "relu", dtype="float64", seed=1)
    net.parameters[:] = 1e200
    with pytest.raises(ValueError, match=r"must be finite to be explained: z1 is inf in row 0"):
        explain.graph(net, [1e200, 1.0], [0, 1])
    net.parameters[:] = 0
    with pytest.raises(ValueError, match=r"L is inf in row 1"):
        explain.graphs(net, [[0, 0], [1, 1]], [[0, 1], [1e200, 1e200]])
    net.parameters[:] = np.nan
    with pytest.raises(ValueError, match="must be finite to be explained: b1 is nan"):
        explain.graph(net, [1, 2], [0, 1])


def test_rows_of_different_lengths():
    """A ragged x is refused in words, not in NumPy's."""
    net = cbp.Network([2, 1], seed=1)
    with pytest.raises(ValueError, match="`x` must be a rectangular array of numbers, got rows"):
        explain.graph(net, [[1, 2], [3]], [1])


@pytest.mark.parametrize("ask", [lambda g: explain.paths(g, "w5"), explain.derive, explain.trace])
def test_a_network_is_no_graph(ask):
    """Whoever hands a network to what wants its graph is told how to get it."""
    with pytest.raises(TypeError, match=r"a Graph, which `explain.graph\(net, x, t\)` returns, got N"):
        ask(article_net("C")[0])


def test_deep_networks_have_short_names():
    """The sizes of 1,000 layers are not spelled out."""
    net = cbp.Network([2] * 1001, "tanh", seed=1)
    assert "2-2-2-...-2 (1,000 layers): 11,998 edges" in repr(explain.graph(net, [1, 2], [0, 1]))


def test_errors_call_arguments_by_their_names():
    """x and t of `graph`, X and T of `graphs`: not X and Y, as `Network.gradient` has it."""
    net = cbp.Network([2, 3], output_activation="softmax", seed=1)
    with pytest.raises(ValueError, match="^`x` must have 2 columns"):
        explain.graph(net, [1, 2, 3], 1)
    with pytest.raises(ValueError, match="^`t` must hold labels from 0 to 2, got 7"):
        explain.graph(net, [1, 2], 7)
    with pytest.raises(ValueError, match="^`X` must have 2 columns"):
        explain.graphs(net, [[1, 2, 3]], [1])
    with pytest.raises(ValueError, match="^`T` must hold labels from 0 to 2, got 7 in row 1"):
        explain.graphs(net, [[1, 2], [1, 2]], [1, 7])


def test_a_graph_tells_its_loss():
    """A sigmoid output without the name of a loss is a cross-entropy: who looks can see it."""
    net, x, t = article_net("C")
    assert repr(explain.graph(net, x, t)).endswith("18 edges, binary_cross_entropy L = 1.35681>")
