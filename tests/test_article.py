"""The article's numbers, and those of the works it cites, from every engine.

What lives here: the cases of article.py run through the NumPy reference and through the compiled
core in float64 and float32. What a source leaves open (its trap, its typo) stands in article.py.
"""

import dataclasses

import article
import numpy as np
import pytest
from article import CASES

import cbp
from cbp import reference

LOSSES = {
    "squared_error": "SquaredError",
    "binary_cross_entropy": "BinaryCrossEntropy",
}


class Reference:
    """A case run by cbp.reference."""

    dtype = np.float64

    def __init__(self, case):
        self.case = case
        self.weights, self.biases = case.weights, case.biases
        self.optimizer = reference.SGD(case.learning_rate, case.momentum)

    def forward(self):
        case = self.case
        return reference.forward(case.X, self.weights, self.biases, case.activations)

    def gradient(self):
        case = self.case
        return reference.gradient(
            case.X,
            case.Y,
            self.weights,
            self.biases,
            case.activations,
            case.loss,
            l2=case.l2,
            reduction=case.reduction,
        )

    def train(self, epochs):
        case = self.case
        trainable = [(True, case.train_biases)] * len(case.weights)
        run = reference.train(
            case.X,
            case.Y,
            self.weights,
            self.biases,
            case.activations,
            case.loss,
            self.optimizer,
            epochs,
            trainable=trainable,
            l2=case.l2,
            reduction=case.reduction,
        )
        self.weights, self.biases = run.weights, run.biases
        return run.losses


class Compiled:
    """A case run by the compiled core, through the public API."""

    dtype = np.float64

    def __init__(self, case):
        self.case = case
        n_inputs, *sizes = case.sizes
        if case.train_biases:
            layers = sizes
        else:
            layers = [cbp.Dense(n, "sigmoid", trainable="weights") for n in sizes]
        self.net = cbp.Network(
            [n_inputs, *layers],
            activation="sigmoid",
            output_activation="sigmoid",
            bias=case.has_biases,
            dtype=self.dtype,
        )
        for layer, (W, b) in enumerate(zip(case.weights, case.biases)):
            self.net.weights[layer] = W
            if b is not None:
                self.net.biases[layer] = b
        self.loss = getattr(cbp, LOSSES[case.loss])(reduction=case.reduction)
        if case.trains:
            self.trainer = cbp.Trainer(
                self.net,
                loss=self.loss,
                optimizer=cbp.SGD(case.learning_rate, case.momentum),
                batch_size=len(case.X),
                shuffle=False,
                l2=case.l2,
            )

    @property
    def weights(self):
        return self.net.weights

    @property
    def biases(self):
        return self.net.biases

    def forward(self):
        return self.net.forward(self.case.X)

    def gradient(self):
        return self.net.gradient(self.case.X, self.case.Y, loss=self.loss, l2=self.case.l2)

    def train(self, epochs):
        return self.trainer.fit(self.case.X, self.case.Y, epochs=epochs)["loss"]


class CompiledFloat32(Compiled):
    dtype = np.float32


ENGINES = {"reference": Reference, "float64": Compiled, "float32": CompiledFloat32}


@pytest.fixture(params=ENGINES.values(), ids=ENGINES)
def engine(request):
    return request.param


def close(engine, got, expected, decimals=None, float32_rtol=1e-4):
    """Assert equality: in float64 to 1e-9 of every element, or to the decimals that are printed;
    in float32 to 1e-4 of the largest element of the array.
    """
    got, expected = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    expected = expected.reshape(got.shape)
    atol = 0.0 if decimals is None else 0.51 * 10.0**-decimals
    rtol = 1e-9 if decimals is None else 0.0
    if engine.dtype == np.float32:
        atol, rtol = max(atol, float32_rtol * np.abs(expected).max()), 0.0
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def parametrize(condition):
    return pytest.mark.parametrize(
        "case", [case for case in CASES if condition(case)], ids=lambda case: case.name
    )


@parametrize(lambda case: "loss" in case.known)
def test_forward_and_gradient(engine, case):
    """Every z, activation, δ and gradient that is known of a case comes out, and its loss."""
    run, known = engine(case), case.known
    z, a = run.forward()
    gradient = run.gradient()
    loss = gradient.loss
    if case.penalty:
        loss += 0.5 * case.l2 * sum((W**2).sum() for W in case.weights)
    close(engine, loss, known["loss"])
    found = {"z": z, "a": a[1:], "deltas": gradient.deltas, "weight_gradients": gradient.weights}
    for name, arrays in found.items():
        if name in known:
            assert len(arrays) == len(known[name])
            for got, expected in zip(arrays, known[name]):
                close(engine, got, expected)


TRAINING = [
    pytest.param(engine, case, id=f"{name}-{case.name}")
    for name, engine in ENGINES.items()
    for case in CASES
    if (case.trains or "outputs" in case.known)
    and not (case.long and engine is Reference)
    and not (case.float32_rtol is None and engine is CompiledFloat32)
]


@pytest.mark.parametrize("engine, case", TRAINING)
def test_training(engine, case):
    """Losses, outputs and weights are the known ones after every number of updates."""
    run, known, losses = engine(case), case.known, []

    def check(got, name, t, decimals=None):
        if t in known.get(name, {}):
            close(engine, got, known[name][t], decimals, case.float32_rtol)

    names = {"losses", "outputs", "mean_errors", "weights_after"} & known.keys()
    for t in sorted({t for name in names for t in known[name]}):
        if t > len(losses):
            losses.extend(run.train(t - len(losses)))
        assert len(losses) == t
        outputs = np.asarray(run.forward().a[-1], dtype=float)
        check(run.gradient().loss, "losses", t)
        check(outputs, "outputs", t, case.output_decimals)
        check(np.abs(outputs - np.reshape(case.Y, outputs.shape)).mean(), "mean_errors", t)
        for layer, W in enumerate(known.get("weights_after", {}).get(t, [])):
            close(engine, run.weights[layer], W, float32_rtol=case.float32_rtol)
    for t, loss in enumerate(losses):
        check(loss, "losses", t)  # the history's loss number t is the one before update t + 1


def test_frozen_biases_stay(engine):
    """A layer whose weights alone are trainable keeps its biases to the last bit."""
    case = article.MAZUR_CASES[0]
    run = engine(case)
    before = [np.array(b) for b in run.biases]
    run.train(10)
    for b, expected in zip(run.biases, before):
        np.testing.assert_array_equal(b, expected)


def test_secants_tend_to_the_derivative(engine):
    """ΔL / Δw1 of net A has the known values, and comes nearer to ∂L/∂w1 with every step."""
    case = article.NETS[0]
    run = engine(case)
    loss, derivative = run.gradient().loss, run.gradient().weights[0][0, 0]
    distances = []
    for step, expected in article.NET_A_SECANTS.items():
        W = np.array(case.weights[0])
        W[0, 0] += step
        moved = dataclasses.replace(case, weights=[W, case.weights[1]])
        secant = (engine(moved).gradient().loss - loss) / step
        # The difference of two losses carries their rounding errors, divided by the step.
        rounding = 8 * float(np.finfo(engine.dtype).eps) * loss / step
        assert secant == pytest.approx(expected, rel=1e-9, abs=rounding)
        distances.append(abs(expected - derivative))
    assert distances == sorted(distances, reverse=True)


def test_w5_differs_from_w1_in_the_last_factor(engine):
    """In net B, (∂L/∂w5) / (∂L/∂w1) = x2 / x1."""
    case = article.NETS[2]
    dW = engine(case).gradient().weights[0]
    rounding = 4 * float(np.finfo(engine.dtype).eps)
    assert dW[1, 0] / dW[0, 0] == pytest.approx(-2.0 / 1.5, rel=rounding)


def test_two_paths_of_w5(engine):
    """In net C, ∂L/∂w5 is the sum over the paths through y1 and through y2."""
    case = article.NETS[3]
    run = engine(case)
    a, gradient = run.forward().a, run.gradient()
    h1 = a[1][0, 0]
    paths = [
        gradient.deltas[1][0, k] * case.weights[1][0, k] * h1 * (1 - h1) * case.X[0, 1]
        for k in (0, 1)
    ]
    close(engine, paths, article.NET_C_PATHS)
    assert gradient.weights[0][1, 0] == pytest.approx(sum(paths), abs=1e-5 * abs(paths[0]))


def test_symmetry_of_figure_1(engine):
    """The weights of fig. 1 (1986) tell all 64 vectors; both extreme outputs are the known."""
    outputs = np.ravel(engine(article.FIG_1).forward().a[-1])
    symmetric = article.SYMMETRY_Y == 1
    close(engine, outputs[symmetric], np.full(8, article.FIG_1_SYMMETRIC_OUTPUT))
    close(engine, outputs[~symmetric].max(), article.FIG_1_LARGEST_OTHER)


def test_symmetry_of_figure_9(engine):
    """The weights of PDP fig. 9 tell all 64 vectors."""
    outputs = np.ravel(engine(article.FIG_9).forward().a[-1])
    np.testing.assert_array_equal(outputs > 0.5, article.SYMMETRY_Y == 1)


def test_local_minimum_of_figure_5(engine):
    """PDP fig. 5's net gives the four printed outputs, at a gradient that is nearly zero."""
    run = engine(article.FIG_5)
    close(engine, run.forward().a[-1], article.FIG_5_OUTPUTS, decimals=4)
    gradient = run.gradient()
    norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in gradient.weights + gradient.biases))
    close(engine, norm, article.FIG_5_GRADIENT_NORM, decimals=4)


def test_outputs_of_the_stuck_xor(engine):
    """The XOR run that gets stuck ends with two outputs at one half."""
    run = engine(article.GOLDEN[2])
    run.train(1000)
    close(engine, run.forward().a[-1], article.XOR_STUCK_OUTPUTS, decimals=3)


@pytest.mark.parametrize(
    "case, listing, decimals",
    [
        *((case, article.NG_GRADIENT, 10) for case in article.NG[:3]),
        *((case, article.NG_CHECK_GRADIENT, 12) for case in article.NG[3:]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_gradient_of_ng(engine, case, listing, decimals):
    """The published gradient, and λ/m W more of it in the weights, in Octave's order."""
    gradient = engine(case).gradient()
    thetas = [
        np.column_stack([db, (dW - case.l2 * W).T])
        for db, dW, W in zip(gradient.biases, gradient.weights, case.weights)
    ]
    flat = np.concatenate([theta.ravel(order="F") for theta in thetas])
    close(engine, flat[: len(listing)], listing, decimals=decimals)
