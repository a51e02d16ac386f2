"""Standardisation that belongs to a network: statistics, arithmetic, what it is for, warnings."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import cbp
from cbp import scaling

RNG = np.random.default_rng(0)


def rows(n=300, dtype=np.float64):
    """Four columns of very different sizes."""
    X = RNG.normal(size=(n, 4)) * [1.0, 1e3, 1e-3, 5.0] + [0.0, 1e4, 1.0, -3.0]
    return X.astype(dtype)


def trained(X, Y, *, sizes=(4, 8, 1), dtype="float32", epochs=3, **options):
    """A network that standardises, after a few epochs."""
    net = cbp.Network(list(sizes), "tanh", standardize=True, dtype=dtype, seed=1)
    trainer = cbp.Trainer(net, seed=1, **options)
    trainer.fit(X, Y, epochs=epochs)
    return net, trainer


# ---- statistics -------------------------------------------------------------------------------


def test_statistics_of_a_far_column():
    """A column with mean 1e8 and standard deviation 1: relative error at most 1e-6."""
    for n in (10, 5000, 100_000):
        exact = RNG.normal(size=(n, 1))
        exact = (exact - exact.mean()) / exact.std()
        mean, std = scaling.statistics(exact + 1e8)
        assert abs(mean[0] - 1e8) <= 1e-6 and abs(std[0] - 1.0) <= 1e-6


def test_statistics_are_those_of_numpy():
    """Means and standard deviations agree with NumPy's, of all rows and of some."""
    X = rows(9000)
    which = RNG.permutation(9000)[:5000]
    for some in (None, which):
        mean, std = scaling.statistics(X, some)
        part = X if some is None else X[some]
        assert np.allclose(mean, part.mean(0), rtol=1e-12, atol=1e-12)
        assert np.allclose(std, part.std(0), rtol=1e-12)


def test_statistics_follow_the_rule(isa):
    """Bit for bit docs/numerics.md, 15, in Python's own doubles, with every instruction set."""
    X = rows(5000)[:, :2]
    mean, std = scaling.statistics(X)
    for column in range(2):
        values, n = X[:, column].tolist(), len(X)

        def total(centre, squared):
            result = 0.0
            for first in range(0, n, 4096):
                chunk = 0.0
                for value in values[first : first + 4096]:
                    d = value - centre
                    chunk += d * d if squared else d
                result += chunk
            return result

        first = total(0.0, False) / n
        rest, square = total(first, False), total(first, True)
        assert mean[column] == first + rest / n
        assert std[column] == math.sqrt(max(square - rest * (rest / n), 0.0) / n)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64, bool, np.float16, ">f8"])
def test_statistics_take_any_type_and_layout(dtype):
    """The same numbers in any type, order or stride give the same bits."""
    X = RNG.integers(0, 2 if dtype is bool else 200, size=(5000, 3)).astype(np.float64)
    expected = scaling.statistics(X)
    for same in (X.astype(dtype), np.asfortranarray(X.astype(dtype)),
                 np.repeat(X.astype(dtype), 2, axis=0)[::2]):  # fmt: skip
        assert all(map(np.array_equal, scaling.statistics(same), expected))


def test_constant_columns_are_moved_and_not_stretched():
    """A column of one number, however it rounds, has scale 1 and becomes 0."""
    X = np.stack([np.full(1000, 0.1), np.full(1000, 1e8 / 3), np.zeros(1000), np.arange(1000.0)], 1)
    found = scaling.fitted(X, None, 1)
    assert found.input_scale[:3].tolist() == [1.0, 1.0, 1.0]
    assert np.allclose(found.input_shift[:3], X[0, :3], rtol=1e-15)


def test_masked_targets_do_not_count():
    """NaN in a target stands for nothing."""
    Y = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])
    found = scaling.fitted(np.zeros((3, 1)), Y, 2)
    assert found.output_shift.tolist() == [2.0, 6.0] and found.output_scale.tolist() == [1.0, 1.0]
    Y[:, 1] = np.nan  # a target that nobody has
    found = scaling.fitted(np.zeros((3, 1)), Y, 2)
    assert found.output_shift.tolist() == [2.0, 0.0] and found.output_scale.tolist() == [1.0, 1.0]
    scaling.warn(np.zeros((3, 1)), Y)  # warnings are errors
    with pytest.warns(cbp.ScalingWarning, match="mean 2e.05"):
        scaling.warn(np.zeros((3, 1)), Y * 1e5)


def test_several_outputs_of_a_target_share_its_scale():
    """Outputs j k ... j k + k - 1 belong to target j, as levels of a quantile do."""
    Y = np.array([[0.0, 10.0], [2.0, 30.0]])
    found = scaling.fitted(np.zeros((2, 1)), Y, 6)
    assert found.output_shift.tolist() == [1, 1, 1, 20, 20, 20]
    assert found.output_scale.tolist() == [1, 1, 1, 10, 10, 10]


def test_what_has_no_statistics_is_refused():
    """Values whose squares overflow are named, not turned into NaN."""
    with pytest.raises(ValueError, match="`X` cannot be standardised: column 1"):
        scaling.statistics(np.array([[1.0, 1e300], [2.0, -1e300]]))


# ---- arithmetic -------------------------------------------------------------------------------


@pytest.mark.usefixtures("all_threads")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(4, 1), (17, 33, 5), (16, 16, 16)])
def test_every_way_through_the_network_scales_alike(isa, dtype, sizes):
    """`predict`, `predictor` and `forward` agree in every bit with the arithmetic in NumPy."""
    net = cbp.Network(sizes, "tanh", dtype=dtype, seed=1)
    n_in, n_out = sizes[0], sizes[-1]
    net.scaling = cbp.Scaling(
        RNG.normal(size=n_in) * 100, RNG.uniform(0.01, 100, n_in),
        RNG.normal(size=n_out) * 100, RNG.uniform(0.01, 100, n_out),
    )  # fmt: skip
    twin = cbp.Network(sizes, "tanh", dtype=dtype, seed=1)
    X = (RNG.normal(size=(70, n_in)) * 50).astype(dtype)
    forward = net.forward(X)
    s = net.scaling
    inputs = ((X.astype(float) - s.input_shift) * (1.0 / s.input_scale)).astype(dtype)
    assert np.array_equal(forward.a[0], inputs)
    assert np.array_equal(forward.a[-1], twin.predict(inputs))
    expected = (forward.a[-1].astype(float) * s.output_scale + s.output_shift).astype(dtype)
    for n_threads in (1, 2, 3):
        assert np.array_equal(net.predict(X, n_threads=n_threads), expected)
    assert np.array_equal(np.stack([net.predictor()(x) for x in X]), expected)
    net.scaling = None
    assert np.array_equal(net.predict(X), twin.predict(X))


def test_large_networks_scale_as_small_ones(isa):
    """Where weights are packed, layer by layer, the inputs are standardised as well."""
    net = cbp.Network([600, 800, 3], "tanh", seed=1)
    net.scaling = scaling.fitted(RNG.normal(size=(50, 600)) * 9 + 5, RNG.normal(size=(50, 3)), 3)
    X = (RNG.normal(size=(100, 600)) * 9 + 5).astype(np.float32)
    one = np.concatenate([net.predict(x) for x in X])
    assert np.array_equal(net.predict(X), one)
    Y = RNG.normal(size=(100, 3))
    twin = cbp.Network([600, 800, 3], "tanh", seed=1)
    inputs = net.forward(X).a[0]
    s = net.scaling
    targets = scaling.standardised(Y, s.output_shift, s.output_scale, net.dtype)
    assert np.array_equal(
        net.loss_and_gradient(X, Y)[1], twin.loss_and_gradient(inputs, targets)[1]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_equals_training_on_standardised_data(isa, dtype):
    """Bit for bit what a network without scaling learns from data standardised before."""
    X, Y = rows(), RNG.normal(size=(300, 1)) * 1e3 + 1e4
    net, trainer = trained(X, Y, dtype=dtype)
    s = net.scaling
    twin = cbp.Network([4, 8, 1], "tanh", dtype=dtype, seed=1)
    other = cbp.Trainer(twin, seed=1)
    inputs = scaling.standardised(X.astype(dtype), s.input_shift, s.input_scale, net.dtype)
    targets = scaling.standardised(Y, s.output_shift, s.output_scale, net.dtype)
    history = other.fit(inputs, targets, epochs=3)
    assert np.array_equal(net.parameters, twin.parameters)
    assert trainer.history["loss"] == history["loss"]
    assert net.gradient(X, Y).loss == twin.gradient(inputs, targets).loss
    assert trainer.evaluate(X, Y)["loss"] == other.evaluate(inputs, targets)["loss"]


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_large_inputs_of_other_types_are_scaled_too(tmp_path, dtype):
    """Rows that are converted batch by batch, from a memory map for instance, are standardised
    behind the conversion."""
    X = RNG.integers(0, 200, size=(30_000, 40)).astype(dtype)
    Y = X[:, :1].astype(float) * 1e3 + 1e4
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    nets = [trained(inputs, Y, sizes=(40, 8, 1), epochs=1, batch_size=64)[0]
            for inputs in (mapped, X.astype(np.float32))]  # fmt: skip
    assert all(map(np.array_equal, nets[0].scaling, nets[1].scaling))
    assert np.array_equal(nets[0].parameters, nets[1].parameters)
    assert np.array_equal(nets[0].predict(mapped), nets[1].predict(X.astype(np.float32)))


@pytest.mark.usefixtures("all_threads")
def test_threads_do_not_show():
    """Statistics and training are the same for any number of threads."""
    X, Y = rows(5000), RNG.normal(size=(5000, 1))
    nets = [trained(X, Y, n_threads=n)[0] for n in (1, 2, 3)]
    for net in nets[1:]:
        assert all(map(np.array_equal, net.scaling, nets[0].scaling))
        assert np.array_equal(net.parameters, nets[0].parameters)


def test_standardising_standardised_data_changes_nothing():
    """Statistics of standardised data are 0 and 1 to rounding, and inputs stay as they are."""
    X = rows(1000)
    s = scaling.fitted(X, None, 1)
    once = scaling.standardised(X, s.input_shift, s.input_scale, np.dtype(np.float64))
    again = scaling.fitted(once, None, 1)
    assert np.abs(again.input_shift).max() <= 1e-11
    assert np.abs(again.input_scale - 1.0).max() <= 1e-11


def test_metrics_are_in_the_units_of_the_targets():
    """What `evaluate` measures compares predictions and targets as they were given."""
    X, Y = rows(), RNG.normal(size=(300, 1)) * 1e3 + 1e4
    net, trainer = trained(X, Y, metrics="r2", epochs=30)
    y = net.predict(X)
    expected = 1.0 - ((y - Y) ** 2).sum() / ((Y - Y.mean()) ** 2).sum()
    assert abs(trainer.evaluate(X, Y)["r2"] - expected) <= 1e-5


def test_classifiers_standardise_inputs_alone():
    """Class numbers and probabilities are left as they are."""
    X = rows()
    net = cbp.Network([4, 8, 3], "tanh", "softmax", standardize=True, seed=1)
    cbp.Trainer(net, seed=1).fit(X, np.arange(300) % 3, epochs=2)
    assert not net.scaling.moves_outputs and np.allclose(net.predict(X).sum(1), 1.0, atol=1e-5)
    assert np.allclose(net.scaling.input_shift, X.mean(0))


def test_losses_that_cannot_follow_are_refused():
    """Where outputs are in standardised units, so must the targets be."""
    X, Y = rows(), RNG.normal(size=(300, 1)) * 1e3 + 1e4
    net, _ = trained(X, Y)
    with pytest.raises(ValueError, match="`loss` poisson does not go with"):
        net.gradient(X, np.abs(Y), "poisson")


# ---- what belongs to the network --------------------------------------------------------------


def test_the_first_fit_sets_it_and_no_other():
    """Further calls, and a scaling that was there before, keep the numbers."""
    X, Y = rows(), RNG.normal(size=(300, 1))
    net, trainer = trained(X, Y)
    first = net.scaling
    trainer.fit(X * 2, Y, epochs=1)
    cbp.Trainer(net).fit(X * 3, Y, epochs=1)
    assert net.scaling is first
    given = cbp.Scaling(np.zeros(4), np.full(4, 2.0), np.zeros(1), np.ones(1))
    net = cbp.Network([4, 1], standardize=True)
    net.scaling = given
    cbp.Trainer(net).fit(X, Y, epochs=1)
    assert np.array_equal(net.scaling.input_scale, given.input_scale)


def test_rows_that_are_not_trained_on_do_not_count():
    """Neither what a split leaves out, nor what an order does not name."""
    X, Y = rows(), RNG.normal(size=(300, 1))
    net = cbp.Network([4, 1], standardize=True, seed=1)
    cbp.Trainer(net, seed=1).fit(X, Y, epochs=1, validation_split=0.25, split="last")
    assert np.array_equal(net.scaling.input_shift, scaling.statistics(X[:225])[0])
    net = cbp.Network([4, 1], standardize=True, seed=1)
    cbp.Trainer(net, seed=1).fit(X, Y, epochs=2, order=[[7, 3, 5], [3, 5, 9]])
    assert np.array_equal(net.scaling.input_shift, scaling.statistics(X[[3, 5, 7, 9]])[0])


def test_parts_of_the_data_are_not_guessed_from():
    """A stream or a single batch wants a scaling that is there."""
    X, Y = rows(), RNG.normal(size=(300, 1))
    trainer = cbp.Trainer(cbp.Network([4, 1], standardize=True, seed=1), seed=1)
    with pytest.raises(ValueError, match="cannot see all the data in a single batch: set `net.sc"):
        trainer.train_on_batch(X, Y)
    with pytest.raises(ValueError, match="cannot see all the data in a stream: set `net.scaling`"):
        trainer.fit(lambda: [(X, Y)], epochs=1)
    assert trainer.net.scaling is None
    trainer.net.scaling = scaling.fitted(X, Y, 1)
    trainer.train_on_batch(X, Y)
    trainer.fit(lambda: [(X, Y)], epochs=1)


def test_a_refused_fit_changes_nothing():
    """No scaling is set, and no warning issued, where the arguments are wrong."""
    X, Y = rows(), RNG.normal(size=(300, 1)) * 1e3
    for standardize in (False, True):
        net = cbp.Network([4, 1], standardize=standardize)
        with pytest.raises(ValueError):
            cbp.Trainer(net).fit(X, Y[:10], epochs=1)
        with pytest.raises(ValueError):
            cbp.Trainer(net).fit(X, Y, epochs=1, validation_data=(X[:, :2], Y))
        with pytest.raises(ValueError):
            cbp.Trainer(net).fit(X, Y, epochs=1, order=[300])
        assert net.scaling is None


def test_copies_pickles_and_files_keep_it(tmp_path):
    """The scaling goes where the network goes."""
    X, Y = rows(), RNG.normal(size=(300, 1)) * 1e3 + 1e4
    net, _ = trained(X, Y)
    net.save(tmp_path / "net")
    twins = [net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net)),
             cbp.load(tmp_path / "net")]  # fmt: skip
    for twin in twins:
        assert twin.standardize and all(map(np.array_equal, twin.scaling, net.scaling))
        assert np.array_equal(twin.predict(X), net.predict(X))


def test_it_cannot_be_changed_from_behind():
    """The arrays are copies, and read-only: the core has its own."""
    net = cbp.Network([2, 1])
    mine = np.array([1.0, 2.0])
    net.scaling = cbp.Scaling(mine, mine, np.zeros(1), np.ones(1))
    mine[:] = 7.0
    assert net.scaling.input_shift.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        net.scaling.input_shift[0] = 5.0


@pytest.mark.parametrize(
    "value, error, words",
    [
        (7, TypeError, "None or a cbp.Scaling"),
        ((1, 2), TypeError, "four arrays"),
        (cbp.Scaling([0], [1, 1], [0], [1]), ValueError, r"input_shift` must have shape \(2,\)"),
        (cbp.Scaling([0, 0], [1, 0], [0], [1]), ValueError, "input_scale` must be above 0"),
        (cbp.Scaling([0, 0], [1, 1], [np.nan], [1]), ValueError, "output_shift` must be finite"),
    ],
)
def test_other_values_are_refused(value, error, words):
    """A scaling is four arrays of finite numbers that fit the network, the scales above 0."""
    with pytest.raises(error, match=words):
        cbp.Network([2, 1]).scaling = value


# ---- what it is for ---------------------------------------------------------------------------


def _r2(t, y):
    return 1.0 - ((t - y) ** 2).sum() / ((t - t.mean()) ** 2).sum()


@pytest.mark.parametrize("problem", ["diabetes", "friedman"])
def test_scaled_targets_are_learnt_as_well(problem):
    """Targets at 1e4 ± 1e3: R² with `standardize=True` within 0.02 of the standardised problem's,
    where scikit-learn's MLPRegressor, all defaults, is worse than a constant."""
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    if problem == "diabetes":
        X, y = datasets.load_diabetes(return_X_y=True)
    else:
        X, y = datasets.make_friedman1(2000, n_features=5, noise=1.0, random_state=0)
    y = (y - y.mean()) / y.std()
    order = np.random.default_rng(1).permutation(len(X))
    train, test = order[len(X) // 4 :], order[: len(X) // 4]

    plain = cbp.Network([X.shape[1], 100, 1], seed=1)
    Z = (X - X[train].mean(0)) / X[train].std(0)
    cbp.Trainer(plain, seed=1).fit(Z[train], y[train], epochs=50)
    expected = _r2(y[test], plain.predict(Z[test])[:, 0])

    t = 1e4 + 1e3 * y
    net = cbp.Network([X.shape[1], 100, 1], standardize=True, seed=1)
    cbp.Trainer(net, seed=1).fit(X[train], t[train], epochs=50)
    got = _r2(t[test], net.predict(X[test])[:, 0])
    assert got > 0.3 and abs(got - expected) <= 0.02

    other = MLPRegressor(random_state=1)
    with pytest.warns(ConvergenceWarning):
        other.fit(X[train], t[train])
    assert _r2(t[test], other.predict(X[test])) < 0.0


# ---- the warning ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "X, Y, name",
    [
        (RNG.integers(0, 256, (50, 4), dtype=np.uint8), np.zeros(50), "`X`"),
        (RNG.normal(size=(50, 4)) + 1e3, np.zeros(50), "`X`"),
        (RNG.normal(size=(50, 4)) * 1e-4, np.zeros(50), "`X`"),
        (RNG.normal(size=(50, 4)), RNG.normal(size=50) * 1e3 + 1e4, "`Y`"),
    ],
)
def test_badly_scaled_data_are_warned_about(X, Y, name):
    """Once, in one line that names the remedy; not where the network standardises."""
    trainer = cbp.Trainer(cbp.Network([4, 1]), optimizer=cbp.SGD(1e-12))
    with pytest.warns(cbp.ScalingWarning, match=f"{name} is badly scaled.*standardize=True") as told:
        trainer.fit(X, Y, epochs=1)
    assert len(told) == 1 and told[0].filename == __file__
    trainer.fit(X, Y, epochs=1)  # warnings are errors
    net = cbp.Network([4, 1], standardize=True)
    cbp.Trainer(net).fit(X, Y, epochs=1)


@pytest.mark.parametrize("standardize", [False, True])
def test_targets_that_are_not_standardised_are_warned_about(standardize):
    """Those of the Gaussian likelihood keep their units; `standardize` is no remedy."""
    X, Y = RNG.normal(size=(50, 4)), RNG.normal(size=50)
    net = cbp.Network([4, 2], standardize=standardize)
    with pytest.warns(cbp.ScalingWarning, match="^`Y` is badly scaled.*Scale them beforehand") as told:
        cbp.Trainer(net, "gaussian_nll").fit(X, Y * 1e3 + 1e4, epochs=1)
    assert len(told) == 1 and told[0].filename == __file__
    cbp.Trainer(net.copy(), "gaussian_nll").fit(X, Y, epochs=1)  # warnings are errors


@pytest.mark.parametrize(
    "X",
    [
        RNG.normal(size=(50, 4)),
        RNG.uniform(size=(50, 4)),
        RNG.uniform(size=(50, 4)) * [0, 1, 1, 1],  # a constant column
        (RNG.uniform(size=(50, 4)) > 0.98) * 1.0,  # rare ones
        (RNG.uniform(size=(50, 4)) < 0.98) * 1.0,  # rare zeros
        np.ones((50, 4)),
        RNG.normal(size=(50, 4)) * 3 + 2,
    ],
)
def test_usual_data_are_not_warned_about(X):
    """Standardised, in [0, 1], sparse, constant: no word."""
    cbp.Trainer(cbp.Network([4, 1])).fit(X, np.zeros(len(X)), epochs=1)


def test_the_digits_are_not_warned_about():
    """Images in [0, 1] with pixels that are nearly always 0."""
    X, y, _, _ = cbp.datasets.load_digits()
    net = cbp.Network([64, 10], "tanh", "softmax")
    cbp.Trainer(net).fit(X, y, epochs=1)


class Fail(cbp.Callback):
    def on_train_begin(self, logs):
        raise InterruptedError


@pytest.mark.parametrize("of_trainer, options, error", [
    ({}, {"monitor": "val_loss"}, ValueError),
    ({}, {"class_weight": "balanced"}, ValueError),
    ({"schedule": lambda step: -1.0}, {}, ValueError),
    ({}, {"callbacks": Fail()}, InterruptedError),
])  # fmt: skip
def test_a_fit_that_learns_nothing_leaves_no_scaling(of_trainer, options, error):
    """What is refused has changed nothing: the next fit standardises its own data."""
    X, Y = rows(50), RNG.normal(size=(50, 1))
    run = cbp.Trainer(cbp.Network([X.shape[1], 3, 1], standardize=True, seed=1), **of_trainer)
    with pytest.raises(error):
        run.fit(X, Y, 1, **options)
    assert run.net.scaling is None
