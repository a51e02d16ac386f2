"""The cited works' numbers that take more than one network and a plain run.

What lives here: the family trees of 1986, Mazur's later numbers, runs from many random starts.
Everything else is data in article.py, run by test_article.py. Statements about random starts leave
room: other generators and other orders of summation solve some starts more or fewer.
"""

from __future__ import annotations

import importlib
import json

import article
import numpy as np
import pytest

import cbp

SUM = cbp.SquaredError(reduction="sum")


def solved(sizes, X, Y, rate, momentum, span, seed, sweeps):
    """(sweeps until every output is within .5 of its target or None, the net); all parameters
    start in U[-span, span]."""
    net = cbp.Network(list(sizes), "sigmoid", "sigmoid", dtype="float64", seed=seed)
    net.parameters[:] = np.random.default_rng(seed).uniform(-span, span, net.n_parameters)
    optimizer = cbp.SGD(rate, momentum=momentum)
    trainer = cbp.Trainer(net, SUM, optimizer, batch_size=None, shuffle=False, n_threads=1)
    Y = np.reshape(Y, (len(X), -1))
    for sweep in range(0, sweeps, 50):
        trainer.fit(X, Y, 50)
        if (np.abs(net.predict(X) - Y) < 0.5).all():
            return sweep + 50, net
    return None, net


def test_symmetry_is_learnt():
    """6-2-1 with ε = .05, α = .9 learns all 64 vectors from at least 18 of 20 starts."""
    X, Y = article.SYMMETRY_X, article.SYMMETRY_Y
    runs = [solved((6, 2, 1), X, Y, 0.05, 0.9, 0.3, seed, 5000)[0] for seed in range(20)]
    assert sum(run is not None for run in runs) >= 18
    assert 400 < np.median([run for run in runs if run]) < 1500


def test_the_structure_of_symmetry():
    """Weights are mirrored with opposite signs, in magnitudes 1 : 2 : 4, the units opposite."""
    X, Y = article.SYMMETRY_X, article.SYMMETRY_Y
    net = solved((6, 2, 1), X, Y, 0.05, 0.9, 0.3, 0, 5000)[1]
    cbp.Trainer(net, SUM, cbp.SGD(0.05, momentum=0.9), batch_size=None).fit(X, Y[:, None], 5000)
    W = net.weights[0]
    np.testing.assert_allclose(W[:3], -W[:2:-1], atol=1e-2)
    sizes = np.sort(np.abs(W[:3, 0]))
    np.testing.assert_allclose(sizes / sizes[0], [1, 2, 4], rtol=0.02)
    assert np.corrcoef(W.T)[0, 1] < -0.9999


def test_the_encoder_is_learnt():
    """8-3-8 with η = 1 learns its eight patterns from at least 48 of 50 starts."""
    X = np.eye(8)
    runs = [solved((8, 3, 8), X, X, 1.0, 0.0, 0.5, seed, 2000)[0] for seed in range(50)]
    assert sum(run is not None for run in runs) >= 48
    assert 200 < np.median([run for run in runs if run]) < 700


def test_xor_is_learnt_from_most_starts():
    """2-2-1 with η = .5, α = .9: at least 85 of 100; where it is stuck, E is .25 or .333."""
    X, Y = np.array(article.XOR_X, float), article.XOR_Y
    runs = [solved((2, 2, 1), X, Y, 0.5, 0.9, 0.5, seed, 5000) for seed in range(100)]
    assert sum(sweeps is not None for sweeps, _ in runs) >= 85
    stuck = [net.gradient(X, Y, SUM).loss for sweeps, net in runs if sweeps is None]
    for E in stuck:
        assert min(abs(E - 0.25), abs(E - 1 / 3)) < 0.01


def test_figure_5_never_leaves_its_minimum():
    """Descending from PDP fig. 5's weights, E goes to .25 and never below."""
    case = article.FIG_5
    net = cbp.Network([2, 2, 1], "sigmoid", "sigmoid", dtype="float64", seed=1)
    for layer in (0, 1):
        net.weights[layer], net.biases[layer] = case.weights[layer], case.biases[layer]
    trainer = cbp.Trainer(net, SUM, cbp.SGD(0.5), batch_size=None, shuffle=False, n_threads=1)
    losses = trainer.fit(case.X, case.Y, 200_000)["loss"]
    assert min(losses) >= 0.25 and losses[-1] == pytest.approx(0.25, abs=1e-3)


# ---- family trees -------------------------------------------------------------------------------

# The cases, the net with its mask, and the rule of descent of 1986 are the gallery's.


@pytest.fixture(scope="module")
def trees(repo_root):
    """examples/gallery/family_trees.py, imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo_root / "examples" / "gallery"))
        return importlib.import_module("family_trees")


def test_the_cases_of_the_family_trees(trees):
    """104 cases, 112 facts, 8 cases with two answers, which are uncles and aunts."""
    cases, (X, Y) = trees.cases(), trees.arrays()
    assert len(cases) == 104 and Y.sum() == 112 and X.sum() == 208
    assert sum(len(answers) == 2 for _, _, answers in cases) == 8
    assert {r for _, r, answers in cases if len(answers) == 2} == {"uncle", "aunt"}
    count = {r: sum(relation == r for _, relation, _ in cases) for r in trees.NAMES}
    assert count == {
        "son": 12, "daughter": 12, "father": 12, "mother": 12, "wife": 10, "husband": 10,
        "nephew": 8, "niece": 8, "sister": 6, "brother": 6, "uncle": 4, "aunt": 4,
    }  # fmt: skip


def test_the_cases_are_hintons(trees, shared_data):
    """Derived from who is married to whom and whose child, they are those of the data file."""
    data = json.loads((shared_data / "family_trees.json").read_text(encoding="utf-8"))
    assert [list(case) for case in trees.cases()] == data["cases"]
    assert (trees.PEOPLE, trees.NAMES) == (data["people"], data["relations"])


TREE_ERRORS = {
    0: 322.7981382671137,
    1: 282.9190074668265,
    2: 231.30862443399866,
    20: 80.79304519099068,
    21: 82.44249957843003,
    100: 77.31789292820379,
}


def sine_start(trees):
    """Parameters .3 sin(1), .3 sin(2), ..."""
    sine = article._sine(trees.SIZES, 0.3)
    layers = zip(sine["weights"], sine["biases"])
    run = trees.Net(np.concatenate([part.ravel() for layer in layers for part in layer]))
    assert run.kept.sum() == 630
    return run


def test_golden_sweeps_of_the_family_trees(trees):
    """E is the known one before sweeps 0 to 100."""
    X, Y = trees.arrays()
    run = sine_start(trees)
    E = []
    for sweep in range(101):
        E.append(run.net.gradient(X, Y, SUM).loss)
        run.sweep(X, Y, *((0.005, 0.5) if sweep < 20 else (0.01, 0.9)), 0.002)
    assert {t: E[t] for t in TREE_ERRORS} == pytest.approx(TREE_ERRORS, rel=1e-9)


def test_golden_sweeps_of_the_trainer(trees):
    """The compiled step with its mask gives the same first twenty sweeps."""
    X, Y = trees.arrays()
    run = sine_start(trees)
    net = run.net
    trainer = cbp.Trainer(
        net, SUM, cbp.SGD(0.005, momentum=0.5), batch_size=None, shuffle=False, seed=1
    )
    E = []
    for _ in range(21):
        E.append(net.gradient(X, Y, SUM).loss)
        trainer.fit(X, run.targets(X, Y), 1)
        net.parameters[:] *= 1 - 0.002
    assert (net.parameters[run.kept == 0] == 0).all()
    for t in (0, 1, 2, 20):
        assert E[t] == pytest.approx(TREE_ERRORS[t], rel=1e-9)


@pytest.mark.slow
def test_family_trees_are_learnt(trees):
    """ε = .05, decay .0002, start ±1: on average at least 90 % of the training cases are right."""
    X, Y = trees.arrays()
    assert np.mean([trees.run(seed, X, Y, 0.05, 0.0002, 1.0)[0] for seed in range(12)]) >= 0.9


def test_the_printed_recipe_does_not_learn(trees):
    """ε = .01 with decay .002 after every sweep leaves no case right: the decay wins."""
    assert trees.run(0, *trees.arrays(), 0.01, 0.002, 0.3)[0] == 0


# ---- Mazur --------------------------------------------------------------------------------------


def mazur():
    case = article.MAZUR_CASES[0]
    net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", dtype="float64", seed=1)
    for layer in (0, 1):
        net.weights[layer], net.biases[layer] = case.weights[layer], case.biases[layer]
    return net, case.X, case.Y


def test_mazurs_later_numbers_mix_two_programs():
    """His .291027924 and final outputs come from updating the output layer first; his
    .0000351085 is the error after 9,999 simultaneous updates."""
    net, X, T = mazur()
    errors = []
    for _ in range(10_000):
        g, h = net.gradient(X, T, SUM), net.forward(X).a[1]
        net.weights[1] = net.weights[1] - 0.5 * g.weights[1]
        delta = (g.deltas[1] @ net.weights[1].T) * h * (1 - h)  # with the new w5 ... w8
        net.weights[0] = net.weights[0] - 0.5 * X.T @ delta
        errors.append(net.gradient(X, T, SUM).loss)
    assert errors[0] == pytest.approx(0.29102792390544197, rel=1e-12)
    assert errors[-1] == pytest.approx(3.5084786296312774e-05, rel=1e-9)
    outputs = net.predict(X)[0]
    assert outputs == pytest.approx([0.0159121963260343, 0.9840657344855291], rel=1e-9)
    assert [f"{y:.9f}" for y in outputs] == ["0.015912196", "0.984065734"]
    assert f"{errors[0]:.9f}" == "0.291027924"
    assert f"{article.MAZUR_CASES[0].known['losses'][9999]:.10f}" == "0.0000351085"


def test_mazurs_rounded_weights():
    """His printed weights after the first step give the error of simultaneous updates, not his."""
    net, X, T = mazur()
    net.weights[0] = [[0.149780716, 0.24975114], [0.19956143, 0.29950229]]
    net.weights[1] = [[0.35891648, 0.511301270], [0.408666186, 0.561370121]]
    assert net.gradient(X, T, SUM).loss == pytest.approx(0.2910277737, abs=5e-11)


def test_mazur_with_one_shared_bias_a_layer():
    """If each layer's one bias is trained, its gradient is the sum over the layer."""
    net, X, T = mazur()
    for step in range(10_000):
        g = net.gradient(X, T, SUM)
        for layer in (0, 1):
            net.weights[layer] = net.weights[layer] - 0.5 * g.weights[layer]
            net.biases[layer] = net.biases[layer] - 0.5 * g.biases[layer].sum()
        if step == 0:
            assert net.gradient(X, T, SUM).loss == pytest.approx(0.2857508866992965, rel=1e-12)
    assert net.gradient(X, T, SUM).loss == pytest.approx(4.355321066163729e-06, rel=1e-9)


# ---- Trask, Ng ----------------------------------------------------------------------------------


def test_trasks_first_weights():
    """NumPy's old generator still draws the weights that his two-layer net starts from."""
    (two_layers,) = [case for case in article.TRASK if case.name == "Trask, two layers"]
    np.testing.assert_allclose(two_layers.weights[0], article.TRASK_FIRST_WEIGHTS, rtol=1e-14)


def test_ngs_gradient_check():
    """At a step of 1e-4 the gradient of his checking net, penalty included, is within 2.6e-11 of
    central differences, as he measures it."""
    for case in article.NG[3:]:
        net = cbp.Network(list(case.sizes), "sigmoid", "sigmoid", dtype="float64")
        for layer, (W, b) in enumerate(zip(case.weights, case.biases)):
            net.weights[layer], net.biases[layer] = W, b
        loss = cbp.BinaryCrossEntropy()
        gradient = net.loss_and_gradient(case.X, case.Y, loss, l2=case.l2)[1].copy()
        slopes = np.empty_like(gradient)
        for k, value in enumerate(net.parameters.copy()):
            J = []
            for moved in (value + 1e-4, value - 1e-4):
                net.parameters[k] = moved
                penalty = case.l2 / 2 * sum((W**2).sum() for W in net.weights)
                J.append(net.gradient(case.X, case.Y, loss).loss + penalty)
            net.parameters[k] = value
            slopes[k] = (J[0] - J[1]) / 2e-4
        apart = np.linalg.norm(slopes - gradient) / np.linalg.norm(slopes + gradient)
        assert apart < 2.6e-11


# ---- sizes and single numbers -------------------------------------------------------------------


def test_nielsens_neuron_ends_with_this_bias():
    """w = .6, b = .9, 300 epochs at .15: w goes to -1.28, b to -.98."""
    net = cbp.Network([1, 1], output_activation="sigmoid", dtype="float64", seed=1)
    net.parameters[:] = 0.6, 0.9
    cbp.Trainer(net, SUM, cbp.SGD(0.15), batch_size=None).fit([[1.0]], [0.0], 300)
    assert net.parameters == pytest.approx([-1.2831324334215497, -0.9831324334215481], rel=1e-12)


@pytest.mark.parametrize(
    "sizes, n",
    [
        ((400, 25, 10), 10_285),  # Ng
        ((784, 300, 100, 10), 266_610),  # LeCun
        ((841, 1000, 500, 10), 1_347_510),  # Ciresan: 29 x 29 inputs
        ((841, 1500, 1000, 500, 10), 3_269_510),
        ((841, 2000, 1500, 1000, 500, 10), 6_692_010),
        ((841, *[1000] * 9, 10), 8_860_010),
        ((841, 2500, 2000, 1500, 1000, 500, 10), 12_115_010),
        ((784, 2500, 2000, 1500, 1000, 500, 10), 11_972_510),
    ],
    ids=str,
)
def test_parameters_of_published_nets(sizes, n):
    """As many parameters as the sources say."""
    assert cbp.explain.counts(sizes, bias=True).parameters == n
    if n < 10**6:
        assert cbp.Network(list(sizes), init="zeros").n_parameters == n
