"""The article's rows: what it says, and that cbp does it.

What lives here: the rows of the article on forward and backward propagation that no other test of
`cbp.explain` names. S1, S5, S6 and S28 are in test_explain_tables.py; S12, S13, S15, S18, S30 and
S32 in test_explain_paths.py; S14 in test_explain.py; S16, S19, S20, S22 and S23 in
test_explain_methods.py. S4, S17 and S29 are remarks, not behaviour.
"""

from __future__ import annotations

import re

import article
import numpy as np
import pytest
from explained import NETS, article_graph, article_net

import cbp
from cbp import explain
from cbp.explain import expression

SUM = cbp.SquaredError(reduction="sum")
EXACT = {"rel": 5e-14, "abs": 0}
CASES = dict(zip("ABC", (article.NETS[0], article.NETS[2], article.NETS[3])))


def test_every_row_has_a_test(repo_root):
    """The names of the tests hold every row of the article, but for the three remarks."""
    files = (repo_root / "tests").glob("test_*.py")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    rows = {int(row) for row in re.findall(r"^def test_S(\d+)_\w+\(", text, re.M)}
    assert rows == set(range(1, 37)) - {4, 17, 29}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("letter", NETS)
def test_the_fifty_digit_values(letter):
    """Every z, h, y, L, δ and gradient of the three nets is right within 5e-14."""
    g, known = article_graph(letter), CASES[letter].known
    for mine, theirs in zip([*g.z, *g.a[1:]], [*known["z"], *known["a"]], strict=True):
        np.testing.assert_allclose(mine, theirs[0], rtol=5e-14)
    assert g.value == pytest.approx(known["loss"], **EXACT)
    for mine, theirs in zip(g.weight_gradients, known["weight_gradients"], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=5e-14)
    for mine, theirs in zip(g.deltas, known.get("deltas", [])):
        np.testing.assert_allclose(mine, theirs[0], rtol=5e-14)
    net, x, t = article_net(letter)
    core = net.gradient(x, [t], "squared_error")
    for mine, theirs in zip(g.deltas, core.deltas, strict=True):
        np.testing.assert_allclose(mine, theirs[0], rtol=5e-14)
    for mine, theirs in zip(g.weight_gradients, core.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=5e-14)
    central = explain.derive(g, "central").gradient
    np.testing.assert_allclose(central, g.gradient, rtol=0, atol=2e-11)


def test_S2_the_nine_equations_of_1986():
    """Gradient summed over all cases, ε and α: two sweeps of a 2-3-2 net, equation by equation."""
    rng = np.random.default_rng(5)
    X, D = rng.random((4, 2)), rng.random((4, 2))
    net = cbp.Network([2, 3, 2], "sigmoid", "sigmoid", dtype="float64", seed=1)
    net.parameters[:] = rng.normal(size=net.n_parameters)
    W, b = [w.copy() for w in net.weights], [v.copy() for v in net.biases]
    v = [np.zeros_like(p) for p in (*W, *b)]
    optimizer = cbp.SGD(0.1, momentum=0.9)
    trainer = cbp.Trainer(net, SUM, optimizer, batch_size=None, shuffle=False)
    for _ in range(2):
        y1 = sigmoid(X @ W[0] + b[0])  # (1), (2)
        y2 = sigmoid(y1 @ W[1] + b[1])
        E = 0.5 * ((y2 - D) ** 2).sum()  # (3)
        dx2 = (y2 - D) * y2 * (1 - y2)  # (4), (5)
        dx1 = (dx2 @ W[1].T) * y1 * (1 - y1)  # (7), (5)
        dW = [X.T @ dx1, y1.T @ dx2, dx1.sum(axis=0), dx2.sum(axis=0)]  # (6)
        v = [-0.1 * g + 0.9 * velocity for g, velocity in zip(dW, v)]  # (8), (9)
        W, b = [W[0] + v[0], W[1] + v[1]], [b[0] + v[2], b[1] + v[3]]
        history = trainer.fit(X, D, 1)
        assert history["loss"][0] == pytest.approx(E, rel=1e-13)
        for mine, theirs in zip([*net.weights, *net.biases], [*W, *b]):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("page", ["explain.md", "backpropagation.md"])
def test_S2_the_docs_tell_who_came_before(repo_root, page):
    """They name Linnainmaa and Werbos, and call nobody of 1986 the inventor."""
    text = (repo_root / "docs" / page).read_text(encoding="utf-8")
    assert "Linnainmaa" in text and "Werbos" in text
    assert "invented by" not in text.lower() and "inventor" not in text.lower()


@pytest.mark.parametrize("letter", NETS)
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_S3_training_lowers_the_loss(letter, rate):
    """fit() updates every edge's weight so that the loss falls, at every one of 100 steps."""
    net, x, t = article_net(letter)
    before = net.parameters.copy()
    trainer = cbp.Trainer(net, SUM, cbp.SGD(rate), batch_size=None)
    losses = trainer.fit([x], [t], 100)["loss"]
    assert (np.diff(losses) < 0).all() and (net.parameters != before).all()


@pytest.mark.parametrize("rate", [0.5, 1.0, 0.01])
def test_S7_gradient_descent(rate):
    """One step is w - η ∂L/∂w to the last bits; η is the user's."""
    net, x, t = article_net("C")
    g = explain.graph(net, x, t, "squared_error")
    expected = net.parameters - rate * net.loss_and_gradient(x, [t], SUM)[1]
    cbp.Trainer(net, SUM, cbp.SGD(rate), batch_size=None).fit([x], [t], 1)
    np.testing.assert_array_max_ulp(net.parameters, expected, 1)
    assert explain.graph(net, x, t, "squared_error").value < g.value


def test_S8_nets_without_a_hidden_layer():
    """[n, m]: three factors for each weight, and δ · x."""
    net = cbp.Network([3, 2], output_activation="sigmoid", dtype="float64", seed=1)
    g = explain.graph(net, [1.0, -2.0, 0.5], [1, 0], "squared_error")
    assert len(g.edges) == 3 * 2 + 2 + 2 + 2
    for name in g.parameters:
        (path,) = explain.paths(g, name)
        assert len(path.factors) == 3
        assert path.product == pytest.approx(g.gradients[name], rel=1e-15)
    np.testing.assert_allclose(g.weight_gradients[0], np.outer(g.x, g.deltas[0]), rtol=1e-15)


def test_S9_net_a_node_by_node():
    """1-2-1 without biases, weights by hand: z1, z2, h1, h2, z3 and y come out separately."""
    net, x, _ = article_net("A")
    assert net.biases[0] is None and net.biases[1] is None
    (z1, z2), (z3,) = (z[0] for z in net.forward(x).z)
    (h1, h2), (y,) = (a[0] for a in net.forward(x).a[1:])
    assert (z1, z2) == pytest.approx((0.1 * 1.5, 0.2 * 1.5), rel=1e-15)
    assert (h1, h2) == pytest.approx((sigmoid(z1), sigmoid(z2)), rel=1e-15)
    assert z3 == pytest.approx(0.3 * h1 + 0.4 * h2, rel=1e-15)
    assert y == pytest.approx(sigmoid(z3), rel=1e-15)
    g = article_graph("A")
    names = ("z1", "z2", "h1", "h2", "z3", "y")
    assert [g.node(name).value for name in names] == [z1, z2, h1, h2, z3, y]


def test_S10_the_slope_of_the_logistic_from_its_output():
    """Every edge z -> h has the partial h (1 - h), z -> y has y (1 - y)."""
    g = article_graph("C")
    edges = [edge for edge in g.edges if edge.parameter is None and edge.source[0] == "z"]
    assert len(edges) == 4
    for edge in edges:
        a = g.node(edge.target).value
        assert edge.partial == a * (1 - a)
    z = [-1.0, -0.5, 0.0, 0.5, 1.0]
    slopes = [expression.sigmoid(expression.variable("z", v)).edges()[0].partial for v in z]
    expected = [0.19661193324148185, 0.2350037122015945, 0.25]
    np.testing.assert_allclose(slopes, [*expected, *expected[1::-1]], rtol=1e-15)
    for v, slope in zip(z, slopes):
        net = cbp.Network([1, 1], output_activation="sigmoid", bias=False, dtype="float64")
        net.parameters[:] = v
        assert explain.graph(net, 1.0, 0.5).slopes[0][0] == pytest.approx(slope, rel=1e-15)


def test_S11_half_the_square_of_one_sample():
    """L = ½ (y - t)², not averaged, ∂L/∂y = y - t."""
    g = article_graph("A")
    y = g.node("y").value
    assert g.value == pytest.approx(0.5 * (y - 0.25) ** 2, rel=1e-15)
    assert g.node("y").gradient == pytest.approx(y - 0.25, rel=1e-15)


def test_S21_stored_deltas():
    """δ at z1 is the product of the first four factors; w1 and w5 need one more each."""
    g = article_graph("B")
    (path,) = explain.paths(g, "w1")
    product = np.prod([value for _, value in path.factors[:4]])
    assert [name for name, _ in path.factors[:4]] == ["∂L/∂y", "∂y/∂z3", "∂z3/∂h1", "∂h1/∂z1"]
    assert g.deltas[0][0] == g.node("z1").gradient == pytest.approx(product, rel=1e-15)
    assert g.gradients["w1"] == pytest.approx(g.deltas[0][0] * 1.5, rel=1e-15)
    assert g.gradients["w5"] == pytest.approx(g.deltas[0][0] * -2.0, rel=1e-15)
    net, x, t = article_net("B")
    core = net.gradient(x, [t], "squared_error").deltas
    assert core[0][0, 0] == pytest.approx(product, **EXACT)


def test_S24_the_error_gathered_at_z3():
    """δ¹ = ∂L/∂y · ∂y/∂z3."""
    g = article_graph("B")
    y = g.node("y").value
    assert g.node("z3").gradient == pytest.approx((y - 0.25) * y * (1 - y), rel=1e-15)
    assert g.node("z3").gradient == pytest.approx(0.074506655929273325904, **EXACT)


def test_S25_gradients_from_the_gathered_error():
    """∂L/∂w3 = δ¹ ∂z3/∂w3, and ∂L/∂w1 = δ¹ ∂z3/∂h1 ∂h1/∂z1 ∂z1/∂w1."""
    g = article_graph("B")
    partial = {edge.name: edge.partial for edge in g.edges}
    delta = g.node("z3").gradient
    assert g.gradients["w3"] == pytest.approx(delta * partial["∂z3/∂w3"], rel=1e-15)
    rest = partial["∂z3/∂h1"] * partial["∂h1/∂z1"] * partial["∂z1/∂w1"]
    assert g.gradients["w1"] == pytest.approx(delta * rest, rel=1e-15)
    assert g.gradients["w3"] == pytest.approx(0.022309740889610818326, **EXACT)
    assert g.gradients["w1"] == pytest.approx(0.0070332621409662309865, **EXACT)


def test_S26_deltas_one_layer_back():
    """δ²_1 = δ¹ · w3 · ∂h1/∂z1, and δ²_2 with w4."""
    g = article_graph("B")
    known = 0.0046888414273108206576, 0.0061244562770039774253
    for j, (w, value) in enumerate(zip(("w3", "w4"), known)):
        h = g.node(f"h{j + 1}").value
        product = g.node("z3").gradient * g.parameters[w] * h * (1 - h)
        assert g.node(f"z{j + 1}").gradient == pytest.approx(product, rel=1e-15)
        assert product == pytest.approx(value, **EXACT)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 5, 4, 2)], ids=str)
def test_S27_one_form_for_every_weight(sizes):
    """∂L/∂w = δ of the node it enters × output of the node it leaves, in every layer."""
    net = cbp.Network(list(sizes), "sigmoid", "sigmoid", dtype="float64", seed=2)
    g = explain.graph(net, np.linspace(-1, 1, sizes[0]), np.ones(sizes[-1]), "squared_error")
    for edge in g.edges:
        if edge.parameter is not None:
            leaves = 1.0 if edge.source.startswith("b") else g.node(edge.source).value
            assert g.gradients[edge.parameter] == g.node(edge.target).gradient * leaves


def test_S31_the_loss_sums_over_outputs():
    """L = ½ (y1 - t1)² + ½ (y2 - t2)²."""
    g = article_graph("C")
    y1, y2 = g.node("y1").value, g.node("y2").value
    assert g.value == pytest.approx(0.5 * (y1 - 0.25) ** 2 + 0.5 * (y2 - 0.75) ** 2, rel=1e-15)
    net, x, t = article_net("C")
    assert net.gradient(x, [t], "squared_error").loss == pytest.approx(g.value, rel=1e-15)


def test_S33_the_general_recursion():
    """δ²_j = ∂h_j/∂z_j · Σ_i w_ji δ¹_i."""
    g = article_graph("C")
    known = -0.00026263480667254354519, 0.00058088159989517908507
    for j, outgoing in enumerate((("w3", "w7"), ("w4", "w8"))):
        h = g.node(f"h{j + 1}").value
        terms = [g.parameters[w] * g.node(z).gradient for w, z in zip(outgoing, ("z3", "z4"))]
        delta = g.node(f"z{j + 1}").gradient
        assert delta == pytest.approx(h * (1 - h) * sum(terms), rel=1e-13)
        assert delta == pytest.approx(known[j], **EXACT)


def test_S34_the_four_equations_with_biases():
    """BP1-BP4 on 3-4-3-2 against the compiled δ's, and against central differences."""
    rng = np.random.default_rng(0)
    net = cbp.Network([3, 4, 3, 2], "sigmoid", "sigmoid", dtype="float64", seed=1)
    net.parameters[:] = rng.normal(size=net.n_parameters)
    x, t = rng.random(3), rng.random(2)
    core = net.gradient(x, t[None], "squared_error")
    a = [row[0] for row in net.forward(x).a]
    delta = (a[3] - t) * a[3] * (1 - a[3])  # BP1
    for layer in (2, 1, 0):
        np.testing.assert_allclose(core.deltas[layer][0], delta, rtol=1e-12)
        np.testing.assert_allclose(core.biases[layer], delta, rtol=1e-12)  # BP3
        np.testing.assert_allclose(core.weights[layer], np.outer(a[layer], delta), rtol=1e-12)
        delta = net.weights[layer] @ delta * a[layer] * (1 - a[layer])  # BP2; BP4 is above
    g = explain.graph(net, x, t, "squared_error")
    central = explain.derive(g, "central").gradient
    np.testing.assert_allclose(central, g.gradient, rtol=0, atol=1e-10)
    np.testing.assert_allclose(explain.derive(g, "paths").gradient, g.gradient, rtol=0, atol=1e-16)


def test_S35_biases_are_on_by_default():
    """A network has biases unless told otherwise; explain shows them as nodes and parameters."""
    with_biases = explain.graph(cbp.Network([2, 2, 2], seed=1), [1, 2], [0, 1])
    without = explain.graph(cbp.Network([2, 2, 2], bias=False, seed=1), [1, 2], [0, 1])
    assert [n.name for n in with_biases.nodes if n.kind == "b"] == ["b1", "b2", "b3", "b4"]
    assert not [n for n in without.nodes if n.kind == "b"]
    assert len(with_biases.parameters) - len(without.parameters) == 4


def test_S36_a_number_of_every_cited_work():
    """One number of each work that the article cites, from explain; the others: test_article.py."""
    def loss_of(case):
        biases = case.biases[0] is not None
        net = cbp.Network(list(case.sizes), "sigmoid", "sigmoid", bias=biases, dtype="float64")
        for layer, W in enumerate(case.weights):
            net.weights[layer] = W
            if biases:
                net.biases[layer] = case.biases[layer]
        return sum(g.value for g in explain.graphs(net, case.X, np.atleast_2d(case.Y).reshape(
            len(case.X), -1), SUM)), net  # fmt: skip

    assert loss_of(article.FIG_1)[0] == pytest.approx(0.34640486830085276, rel=1e-12)
    mazur, net = loss_of(article.MAZUR_CASES[0])
    assert mazur == pytest.approx(0.2983711087600027, rel=1e-14)
    g = explain.graph(net, [0.05, 0.10], [0.01, 0.99], SUM)
    assert g.gradients["w3"] == pytest.approx(0.08216704056423077, rel=1e-13)  # his dw5
    assert g.node("h1").gradient == pytest.approx(0.03635030639314466, rel=1e-13)
    assert g.node("h2").gradient == pytest.approx(0.0413703226487447, rel=1e-13)
    errors = 0.5 * (g.a[2] - g.t) ** 2
    np.testing.assert_allclose(errors, [0.274811083176155, 0.023560025583847746], rtol=1e-13)
    _, trask = loss_of(next(case for case in article.TRASK if case.name == "Trask, three layers"))
    outputs = trask.predict(article.TRASK_X).ravel()
    assert np.abs(np.ravel(article.XOR_Y) - outputs).mean() == pytest.approx(0.4964100319027255)
    toy = article.NIELSEN[0]
    _, net = loss_of(toy)
    assert explain.graph(net, 1.0, 0.0).node("y").value == pytest.approx(0.8175744761936437)
    a, b = expression.variable("a", 2), expression.variable("b", 1)
    assert ((a + b) * (b + 1)).reverse().derivatives["b"] == 5  # Colah
