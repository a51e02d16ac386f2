"""The NumPy reference against mathematics that it does not share: central differences, complex
steps, closed forms, 50-digit arithmetic, and optimizer steps worked out by hand.

What lives here: the ground that every other test stands on; no compiled code is involved.
"""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbp import reference
from cbp.reference.losses import LOSSES, row_weights

HIDDEN = [a for a in reference.ACTIVATIONS if "softmax" not in a]
HEADS = [(a, "squared_error") for a in reference.ACTIVATIONS] + [
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "categorical_cross_entropy"),
]
WEIGHTINGS = [  # sample_weight, l2, reduction
    (None, 0.0, "mean"),
    (None, 0.3, "sum"),
    ([0.5, 2.0, 0.0, 1.25], 0.3, "mean"),
    ([0.5, 2.0, 0.0, 1.25], 0.0, "sum"),
]
U = 2.0**-53  # half a unit in the last place of 1


def problem(n_hidden, hidden, output, loss, bias, seed=0):
    """A small net with random parameters, and four rows of data that suit its loss."""
    rng = np.random.default_rng(seed)
    sizes = [3, *[4, 3, 2, 3][:n_hidden], 3]
    weights = [rng.normal(size=shape) for shape in itertools.pairwise(sizes)]
    biases = [rng.normal(size=n) if bias else None for n in sizes[1:]]
    X, Y = rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    if loss == "categorical_cross_entropy":
        Y /= Y.sum(axis=1, keepdims=True)
    return X, Y, weights, biases, [hidden] * n_hidden + [output]


def parameters(weights, biases):
    """W1, b1, W2, b2, ... as one vector."""
    pairs = itertools.chain.from_iterable(zip(weights, biases))
    return np.concatenate([np.ravel(p) for p in pairs if p is not None])


def from_parameters(theta, weights, biases):
    """The inverse of `parameters`, in the shapes of weights and biases."""
    new_weights, new_biases, start = [], [], 0
    for W, b in zip(weights, biases):
        new_weights.append(theta[start : start + W.size].reshape(W.shape))
        start += W.size
        new_biases.append(None if b is None else theta[start : start + b.size])
        start += 0 if b is None else b.size
    return new_weights, new_biases


def objective(theta, X, Y, weights, biases, activations, loss, sample_weight, l2, reduction):
    """The loss and the L2 penalty, for real or complex parameters."""
    weights, biases = from_parameters(theta, weights, biases)
    f = reference.forward(X, weights, biases, activations)
    s = row_weights(len(X), sample_weight, reduction)
    penalty = 0.5 * l2 * sum((W * W).sum() for W in weights)
    return s @ LOSSES[loss](f.z[-1], f.a[-1], Y) + penalty


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("output, loss", HEADS)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("n_hidden", range(5))
def test_gradient_against_complex_step(n_hidden, hidden, output, loss, bias):
    """The gradient equals Im L(θ + ih) / h, which has no cancellation, to 1e-13."""
    net = problem(n_hidden, hidden, output, loss, bias)
    theta = parameters(*net[2:4]).astype(complex)
    h = 1e-100
    for sample_weight, l2, reduction in WEIGHTINGS:
        got = reference.gradient(
            *net, loss, sample_weight=sample_weight, l2=l2, reduction=reduction
        )
        expected = np.zeros(len(theta))
        for k in range(len(theta)):
            moved = theta.copy()
            moved[k] += 1j * h
            expected[k] = objective(moved, *net, loss, sample_weight, l2, reduction).imag / h
        error = np.linalg.norm(parameters(got.weights, got.biases) - expected)
        assert error <= 1e-13 * np.linalg.norm(expected)


@pytest.mark.parametrize("output, loss", HEADS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradient_against_central_differences(hidden, output, loss):
    """The gradient equals (L(θ + h) - L(θ - h)) / 2h to 1e-7, in real arithmetic alone."""
    net = problem(2, hidden, output, loss, True)
    theta, h = parameters(*net[2:4]), 6e-6
    got = reference.gradient(*net, loss, sample_weight=WEIGHTINGS[2][0], l2=0.3)
    expected = np.array(
        [
            (
                objective(theta + step, *net, loss, *WEIGHTINGS[2])
                - objective(theta - step, *net, loss, *WEIGHTINGS[2])
            )
            / (2 * h)
            for step in h * np.eye(len(theta))
        ]
    )
    error = np.linalg.norm(parameters(got.weights, got.biases) - expected)
    assert error <= 1e-7 * np.linalg.norm(expected)


@pytest.mark.parametrize("output, loss", HEADS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_deltas_are_derivatives_of_the_reported_loss(hidden, output, loss):
    """Every δ is ∂(reported loss)/∂z: the net behind that z is fed with z + ih."""
    X, Y, weights, biases, activations = problem(3, hidden, output, loss, True)
    w, h = [0.5, 2.0, 0.0, 1.25], 1e-100
    g = reference.gradient(X, Y, weights, biases, activations, loss, sample_weight=w, l2=0.3)
    z = reference.forward(X, weights, biases, activations).z
    for layer, delta in enumerate(g.deltas):
        behind = [np.eye(z[layer].shape[1]), *weights[layer + 1 :]]
        for n, j in np.ndindex(delta.shape):
            moved = z[layer].astype(complex)
            moved[n, j] += 1j * h
            f = reference.forward(moved, behind, [None, *biases[layer + 1 :]], activations[layer:])
            total = row_weights(4, w) @ LOSSES[loss](f.z[-1], f.a[-1], Y)
            assert delta[n, j] == pytest.approx(total.imag / h, rel=1e-12, abs=1e-15)


# Closed forms


def test_derivatives_of_the_article():
    """∂L/∂w1 = (y - t) y (1 - y) w3 h1 (1 - h1) x in the article's net A."""
    w1, w2, w3, w4, x, t = 0.1, 0.2, 0.3, 0.4, 1.5, 0.25
    h1, h2 = 1 / (1 + np.exp(-w1 * x)), 1 / (1 + np.exp(-w2 * x))
    y = 1 / (1 + np.exp(-(w3 * h1 + w4 * h2)))
    g = reference.gradient(
        [[x]],
        [[t]],
        [[[w1, w2]], [[w3], [w4]]],
        [None, None],
        ["sigmoid", "sigmoid"],
        "squared_error",
    )
    assert g.biases == [None, None]
    assert g.weights[0][0, 0] == pytest.approx(
        (y - t) * y * (1 - y) * w3 * h1 * (1 - h1) * x, rel=1e-15
    )
    assert g.deltas[0][0, 1] == pytest.approx((y - t) * y * (1 - y) * w4 * h2 * (1 - h2))


def test_linear_regression():
    """Without hidden layer, dW is Xᵀ(XW - Y)/n, and zero at the least-squares solution."""
    rng = np.random.default_rng(1)
    X, Y, W = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), rng.normal(size=(3, 2))
    g = reference.gradient(X, Y, [W], [None], ["identity"], "squared_error")
    np.testing.assert_allclose(g.weights[0], X.T @ (X @ W - Y) / 20, rtol=1e-13)
    assert g.loss == pytest.approx(0.5 * ((X @ W - Y) ** 2).sum() / 20)
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    g = reference.gradient(X, Y, [best], [None], ["identity"], "squared_error")
    assert np.abs(g.weights[0]).max() < 1e-14


def test_zero_logits():
    """At zero weights a cross-entropy is log 2 an output, or log K, and δ is p - t."""
    X, zero = np.ones((2, 3)), np.zeros((3, 4))
    t = np.eye(4)[[2, 0]]
    g = reference.gradient(X, t, [zero], [None], ["sigmoid"], "binary_cross_entropy")
    assert g.loss == pytest.approx(4 * np.log(2), rel=1e-15)
    np.testing.assert_array_equal(g.deltas[0], (0.5 - t) / 2)
    g = reference.gradient(X, t, [zero], [None], ["softmax"], "categorical_cross_entropy")
    assert g.loss == pytest.approx(np.log(4), rel=1e-15)
    np.testing.assert_array_equal(g.deltas[0], (0.25 - t) / 2)


def test_derivative_of_sigmoid():
    """σ' at -1, -0.5, 0, 0.5, 1, as Ng's exercise prints it; read off the δ of one neuron."""
    z = np.array([[-1], [-0.5], [0], [0.5], [1]])
    a = reference.ACTIVATIONS["sigmoid"](z)
    g = reference.gradient(
        z, a - 1, [[[1.0]]], [None], ["sigmoid"], "squared_error", reduction="sum"
    )
    np.testing.assert_allclose(
        g.deltas[0].ravel(),
        [0.19661193324148185, 0.2350037122015945, 0.25, 0.2350037122015945, 0.19661193324148185],
        rtol=1e-15,
    )


def test_relu():
    """relu keeps NaN, and its derivative at 0 is 0."""
    z = np.array([[-2.0, 0.0, 3.0, np.nan]])
    np.testing.assert_array_equal(reference.ACTIVATIONS["relu"](z), [[0, 0, 3, np.nan]])
    g = reference.gradient(
        [[-2.0], [0.0], [3.0]],
        [1, 1, 1],
        [[[1.0]]],
        [None],
        ["relu"],
        "squared_error",
        reduction="sum",
    )
    np.testing.assert_array_equal(g.deltas[0].ravel(), [0, 0, 2])


# Large logits, against 50 digits

LOGITS = [
    0.0,
    5e-324,
    1e-300,
    1e-10,
    0.5,
    1.0,
    17.0,
    36.0,
    38.0,
    100.0,
    700.0,
    750.0,
    1e5,
    1e30,
    1e300,
]


def relative_error(got, exact):
    """|got - exact| / |exact|; results below 1e-300 may be off by their coarser spacing."""
    return float(abs(mpmath.mpf(float(got)) - exact) / max(abs(exact), mpmath.mpf("1e-300")))


@pytest.mark.parametrize("t", [0.0, 1.0, 0.3])
def test_binary_cross_entropy_of_large_logits(t):
    """The loss is finite and within 4 u of the exact one for any logit up to 1e300."""
    for z in [*LOGITS, *(-x for x in LOGITS)]:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            g = reference.gradient(
                [[z]], [t], [[[1.0]]], [None], ["sigmoid"], "binary_cross_entropy"
            )
        with mpmath.workdps(50):
            x, y = mpmath.mpf(z), mpmath.mpf(t)
            tail = mpmath.log1p(mpmath.exp(-abs(x)))
            exact = (1 - y) * max(x, 0) + y * max(-x, 0) + tail
        assert relative_error(g.loss, exact) <= 4 * U
        delta = g.deltas[0][0, 0]  # between -t and 1 - t: its sign is right where t is 0 or 1
        assert -t <= delta <= 1 - t


@pytest.mark.parametrize(
    "row",
    [
        [0.0, 0.0, 0.0],
        [1.0, 2.0, 3.0],
        [50.0, 0.0, 0.0],
        [-50.0, 50.0, 0.0],
        [700.0, -40.0, 0.0],
        [1e5, 1e5, 0.0],
        [1e30, -1e30, 0.0],
        [1e300, -1e300, 1e300],
        [-1e300, -1e300, -1e300],
    ],
)
def test_categorical_cross_entropy_of_large_logits(row):
    """The loss of every label is finite and within 4 u of the exact one for logits up to 1e300."""
    for label in range(3):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            g = reference.gradient(
                [row], [label], [np.eye(3)], [None], ["softmax"], "categorical_cross_entropy"
            )
        with mpmath.workdps(50):
            u = [mpmath.mpf(z) - mpmath.mpf(max(row)) for z in row]
            others = sum(map(mpmath.exp, sorted(u)[:-1]))  # all but one of the largest
            exact = mpmath.log1p(others) - u[label]
        assert relative_error(g.loss, exact) <= 4 * U
        delta = g.deltas[0][0]
        assert delta[label] <= 0 and (np.delete(delta, label) >= 0).all()
        assert abs(delta.sum()) <= 4 * U


@pytest.mark.parametrize("z", [*LOGITS, *(-x for x in LOGITS)])
def test_sigmoid_of_large_arguments(z):
    """sigmoid is within 4 u of the exact value, and never overflows."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = reference.ACTIVATIONS["sigmoid"](np.array([z]))[0]
    with mpmath.workdps(50):
        exact = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
    assert relative_error(got, exact) <= 4 * U


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=8))
def test_laws_of_sigmoid_and_softmax(values):
    """σ(-x) = 1 - σ(x) and σ rises; softmax rows are probabilities that sum to 1."""
    x = np.sort(np.array(values))
    sigmoid = reference.ACTIVATIONS["sigmoid"](x)
    np.testing.assert_allclose(reference.ACTIVATIONS["sigmoid"](-x), 1 - sigmoid, atol=2 * U)
    assert (np.diff(sigmoid) >= -2 * U * sigmoid[1:]).all()
    p = reference.ACTIVATIONS["softmax"](x[None, :])
    assert (p >= 0).all() and (np.diff(p) >= 0).all()
    assert abs(p.sum() - 1) <= 4 * U * np.sqrt(len(x))


# Batches, weights, targets


def test_integer_weights_repeat_rows():
    """A row of weight k counts as k rows, for the mean as for the sum."""
    net = problem(2, "tanh", "softmax", "categorical_cross_entropy", True)
    X, Y, *rest = net
    k = np.array([2, 0, 1, 3])
    for reduction in ("mean", "sum"):
        weighted = reference.gradient(
            X, Y, *rest, "categorical_cross_entropy", sample_weight=k, l2=0.1, reduction=reduction
        )
        repeated = reference.gradient(
            X.repeat(k, 0),
            Y.repeat(k, 0),
            *rest,
            "categorical_cross_entropy",
            l2=0.1,
            reduction=reduction,
        )
        assert weighted.loss == pytest.approx(repeated.loss, rel=1e-14)
        np.testing.assert_allclose(
            parameters(weighted.weights, weighted.biases),
            parameters(repeated.weights, repeated.biases),
            rtol=1e-13,
        )


def test_l2_does_not_depend_on_the_batch():
    """l2 W is added to the weight gradient, to no bias and to no loss, whatever the rows."""
    X, Y, *rest = problem(1, "tanh", "identity", "squared_error", True)
    for rows in (1, 4):
        plain = reference.gradient(X[:rows], Y[:rows], *rest, "squared_error")
        decayed = reference.gradient(X[:rows], Y[:rows], *rest, "squared_error", l2=0.5)
        assert decayed.loss == plain.loss
        for W, dW, dW_plain in zip(rest[0], decayed.weights, plain.weights):
            np.testing.assert_array_equal(dW, dW_plain + 0.5 * W)
        for db, db_plain in zip(decayed.biases, plain.biases):
            np.testing.assert_array_equal(db, db_plain)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_rows_without_weight_have_no_gradient(reduction):
    """Where all sample weights are 0, the loss and every data gradient are 0."""
    net = problem(1, "tanh", "identity", "squared_error", True)
    g = reference.gradient(*net, "squared_error", sample_weight=np.zeros(4), reduction=reduction)
    assert g.loss == 0
    assert not parameters(g.weights, g.biases).any()


def test_forms_of_targets():
    """Labels mean their one-hot rows; (n,) means (n, 1) for one output; 1-d X is one row."""
    X, _, *rest = problem(1, "tanh", "softmax", "categorical_cross_entropy", True)
    labels = [2, 0, 1, 2]
    by_label = reference.gradient(X, labels, *rest, "categorical_cross_entropy")
    one_hot = reference.gradient(X, np.eye(3)[labels], *rest, "categorical_cross_entropy")
    assert by_label.loss == one_hot.loss
    W = [np.ones((3, 1))]
    flat = reference.gradient(X, [1, 2, 3, 4], W, [None], ["identity"], "squared_error")
    column = reference.gradient(X, [[1], [2], [3], [4]], W, [None], ["identity"], "squared_error")
    assert flat.loss == column.loss
    assert reference.forward(X[0], *rest).a[-1].shape == (1, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"Y": [0, 1, 3, 0]}, r"Labels in `Y` must lie in 0 \.\.\. 2\."),
        ({"Y": [0, 1, -1, 0]}, r"Labels in `Y` must lie in 0 \.\.\. 2\."),
        (
            {"Y": [0.0, 1.0, 2.0, 0.0]},
            r"`Y` must have shape \(4, 3\), or \(4,\) with integer labels",
        ),
        ({"Y": [[0], [1], [1], [0]]}, r"`Y` must have shape \(4, 3\)"),
        ({"loss": "hinge"}, "`loss` must be one of squared_error, .*, got 'hinge'"),
        (
            {"loss": "binary_cross_entropy"},
            "`loss` binary_cross_entropy needs the output activation sigmoid, got softmax",
        ),
        ({"reduction": "none"}, "`reduction` must be 'mean' or 'sum', got 'none'"),
        ({"sample_weight": [1.0, 2.0]}, r"`sample_weight` must have shape \(4,\), got \(2,\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    """What would silently give a wrong number is a ValueError that says what is wanted."""
    X, Y, weights, biases, activations = problem(
        1, "tanh", "softmax", "categorical_cross_entropy", True
    )
    keywords = {"Y": Y, "loss": "categorical_cross_entropy"} | arguments
    with pytest.raises(ValueError, match=message):
        reference.gradient(X, weights=weights, biases=biases, activations=activations, **keywords)


@given(st.permutations(range(4)))
def test_permuted_hidden_units(order):
    """Renaming the hidden units changes no output, and permutes the gradient with them."""
    X, Y, (W1, W2), (b1, b2), activations = problem(1, "tanh", "identity", "squared_error", True)
    plain = reference.gradient(X, Y, [W1, W2], [b1, b2], activations, "squared_error")
    renamed = reference.gradient(
        X, Y, [W1[:, order], W2[order]], [b1[order], b2], activations, "squared_error"
    )
    assert renamed.loss == pytest.approx(plain.loss, rel=1e-14)
    np.testing.assert_allclose(renamed.weights[0], plain.weights[0][:, order], atol=1e-15)
    np.testing.assert_allclose(renamed.weights[1], plain.weights[1][order], atol=1e-15)


# Optimizers, worked out by hand: from w = 1 with the gradients given


@pytest.mark.parametrize(
    "optimizer, gradients, expected",
    [
        (reference.SGD(0.25), [1.0, 2.0], [0.75, 0.25]),
        # v = -1/4, then 1/2 · -1/4 - 1/2 = -5/8
        (reference.SGD(0.25, momentum=0.5), [1.0, 2.0], [0.75, 0.125]),
        # the same v; w = 1 - 1/8 - 1/4, then 5/8 - 5/16 - 1/2
        (reference.SGD(0.25, momentum=0.5, nesterov=True), [1.0, 2.0], [0.625, -0.1875]),
        # m̂ = 3, v̂ = 9, then m̂ = 1/3, v̂ = 1.9375 / 0.4375: ε = 1 shows where it stands
        (
            reference.Adam(0.1, beta_1=0.5, beta_2=0.75, epsilon=1.0),
            [3.0, -1.0],
            [1 - 0.1 * 3 / 4, 1 - 0.1 * 3 / 4 - 0.1 / 3 / (np.sqrt(1.9375 / 0.4375) + 1)],
        ),
        # without ε the first step is η, whatever the gradient's size
        (reference.Adam(0.125, epsilon=0.0), [1e-20], [0.875]),
        (reference.Adam(), [0.0, 0.0], [1.0, 1.0]),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adam, first step", "adam, no gradient"],
)
def test_optimizer_steps(optimizer, gradients, expected):
    """Each update is the one of the formula, in place, for every array of the list."""
    w, other = np.array([1.0]), np.array([[1.0, 1.0]])
    for g, value in zip(gradients, expected):
        optimizer.update([w, other], [np.array([g]), np.array([[g, g]])])
        np.testing.assert_allclose(w, value, rtol=1e-15)
        np.testing.assert_allclose(other, value, rtol=1e-15)


# The training loop


def test_one_update_is_one_step_of_gradient_descent():
    """train with one batch does what descend does, and leaves its arguments alone."""
    X, Y, weights, biases, activations = problem(2, "tanh", "identity", "squared_error", True)
    before = parameters(weights, biases)
    g = reference.gradient(X, Y, weights, biases, activations, "squared_error", l2=0.1)
    run = reference.train(
        X, Y, weights, biases, activations, "squared_error", reference.SGD(0.5), 1, l2=0.1
    )
    stepped = reference.descend(weights, biases, g, 0.5)
    np.testing.assert_array_equal(parameters(run.weights, run.biases), parameters(*stepped))
    np.testing.assert_array_equal(parameters(weights, biases), before)
    assert run.losses == [g.loss]


def test_batches_follow_the_order():
    """Batches take the rows in the order given; the last one is shorter and divides by its own n.

    The epoch's loss is the mean of the batch losses before their updates, weighted by Σw.
    """
    X, Y, weights, biases, activations = problem(1, "tanh", "identity", "squared_error", True)
    w = np.array([1.0, 2.0, 3.0, 4.0])
    order = [[3, 1, 0], [0, 2, 2]]
    run = reference.train(
        X,
        Y,
        weights,
        biases,
        activations,
        "squared_error",
        reference.SGD(0.1),
        2,
        batch_size=2,
        order=order,
        sample_weight=w,
    )
    for rows, loss in zip(order, run.losses):
        total = 0.0
        for batch in (rows[:2], rows[2:]):
            g = reference.gradient(
                X[batch],
                Y[batch],
                weights,
                biases,
                activations,
                "squared_error",
                sample_weight=w[batch],
            )
            total += w[batch].sum() * g.loss
            weights, biases = reference.descend(weights, biases, g, 0.1)
        assert loss == pytest.approx(total / w[rows].sum(), rel=1e-15)
    np.testing.assert_array_equal(parameters(run.weights, run.biases), parameters(weights, biases))


def test_frozen_arrays_stay():
    """Only what is trainable moves, layer by layer, weights and biases apart."""
    X, Y, weights, biases, activations = problem(1, "tanh", "identity", "squared_error", True)
    run = reference.train(
        X,
        Y,
        weights,
        biases,
        activations,
        "squared_error",
        reference.Adam(),
        3,
        trainable=[(True, False), (False, True)],
    )
    moved = [not np.array_equal(a, b) for a, b in zip(run.weights + run.biases, weights + biases)]
    assert moved == [True, False, False, True]


def test_a_batch_without_weight_updates_nothing():
    """A batch whose weights are all 0 moves nothing: not by momentum, not by L2."""
    X, Y, *rest = problem(1, "tanh", "identity", "squared_error", True)
    for optimizer in (reference.SGD(0.1, momentum=0.9), reference.Adam()):
        first = reference.train(X, Y, *rest, "squared_error", optimizer, 2)
        second = reference.train(
            X,
            Y,
            first.weights,
            first.biases,
            rest[2],
            "squared_error",
            optimizer,
            2,
            sample_weight=np.zeros(4),
            l2=0.1,
        )
        np.testing.assert_array_equal(
            parameters(second.weights, second.biases), parameters(first.weights, first.biases)
        )
        np.testing.assert_array_equal(second.losses, [0.0, 0.0])
