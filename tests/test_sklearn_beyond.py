"""cbp.sklearn beyond scikit-learn: what its users have asked for; by default nothing changes."""

from __future__ import annotations

import inspect
import pickle
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import scipy.sparse
import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import cbp
from cbp.activations import ACTIVATIONS
from cbp.sklearn import MLPClassifier, MLPRegressor

X, Y = datasets.load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
ROUGH, T = datasets.load_diabetes(return_X_y=True)


@pytest.fixture(autouse=True)
def _few_epochs_are_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def quick(kind=MLPClassifier, **options):
    return kind(**{"hidden_layer_sizes": (10,), "random_state": 0, "max_iter": 30, **options})


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_are_scikit_learns_and_then_others(name):
    """The same names, kinds and defaults in the same order; what is new is keyword-only."""
    ours = list(inspect.signature(getattr(cbp.sklearn, name).__init__).parameters.values())
    others = list(inspect.signature(getattr(theirs, name).__init__).parameters.values())
    if "loss" not in [other.name for other in others] and name == "MLPRegressor":
        ours = [own for own in ours if own.name != "loss"]  # older than scikit-learn 1.7
    for own, other in zip(ours, others):
        assert (own.name, own.default, own.kind) == (other.name, other.default, other.kind)
    new = ours[len(others) :]
    assert len(new) >= 12 and all(own.kind is own.KEYWORD_ONLY for own in new)


# ---- layers -------------------------------------------------------------------------------------


HIDDEN = sorted(set(ACTIVATIONS) - {"softmax", "log_softmax"})


@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation_of_the_network(activation):
    """Any name that cbp.Network knows, hidden and, for a regressor, at the output."""
    assert len(HIDDEN) >= 14
    options = {"max_iter": 150, "learning_rate_init": 0.01}
    model = quick(activation=activation, **options).fit(X, Y)
    assert model.network_.activations == (activation, "softmax")
    assert model.score(X, Y) > 0.9
    y = cbp.Network([4, 1], [activation], seed=2).predict(X)[:, 0]
    model = quick(MLPRegressor, output_activation=activation, activation="tanh", **options)
    assert model.fit(X, y).network_.activations == ("tanh", activation)
    assert model.score(X, y) > 0.7


def test_an_activation_of_ones_own():
    """Two functions in a cbp.Activation; cloned and grid-searched as any other parameter."""
    square = cbp.Activation(np.square, lambda z: 2 * z, "square")
    model = clone(quick(activation=square, max_iter=100, learning_rate_init=0.01)).fit(X, Y)
    assert model.network_.activations == ("square", "softmax") and model.score(X, Y) > 0.9


def test_an_activation_for_each_hidden_layer():
    """A list; its draws are those of the one name where all are the same."""
    model = quick(hidden_layer_sizes=(6, 5), activation=["tanh", "relu"]).fit(X, Y)
    assert model.network_.activations == ("tanh", "relu", "softmax")
    same = quick(hidden_layer_sizes=(6, 5), activation=["logistic"] * 2).fit(X, Y)
    one = quick(hidden_layer_sizes=(6, 5), activation="logistic").fit(X, Y)
    assert (same.coefs_[1] == one.coefs_[1]).all()
    with pytest.raises(ValueError, match="must name 2 hidden layers, got 1"):
        quick(hidden_layer_sizes=(6, 5), activation=["tanh"]).fit(X, Y)
    for wrong in ("rleu", "softmax"):
        with pytest.raises(ValueError, match="The 'activation' parameter of MLPClassifier must be"):
            quick(activation=wrong).fit(X, Y)
    with pytest.raises(ValueError, match="`activation` must be one of"):
        quick(activation=["rleu"]).fit(X, Y)


def test_output_activation_of_a_regressor():
    """Bounded targets may have a bounded output."""
    y = 1 / (1 + np.exp(-X[:, 0]))
    model = quick(MLPRegressor, output_activation="logistic", learning_rate_init=0.05).fit(X, y)
    assert model.out_activation_ == "logistic" and model.score(X, y) > 0.9
    assert 0 <= model.predict(X * 100).min() and model.predict(X * 100).max() <= 1
    with pytest.raises(ValueError, match="softmax"):
        quick(MLPRegressor, output_activation="softmax").fit(X, y)


def test_output_activation_of_a_classifier():
    """One against the rest for three classes, two softmax outputs for two."""
    rest = quick(output_activation="logistic", max_iter=200, learning_rate_init=0.02).fit(X, Y)
    assert rest.out_activation_ == "logistic" and rest.score(X, Y) > 0.9
    np.testing.assert_allclose(rest.predict_proba(X).sum(axis=1), 1.0)
    two = quick(output_activation="softmax", max_iter=200, learning_rate_init=0.02).fit(X, Y == 1)
    assert two.n_outputs_ == 2 and two.predict_proba(X).shape == (150, 2)
    assert two.predict(X).dtype == bool and two.score(X, Y == 1) > 0.7
    with pytest.raises(ValueError, match="multi-label"):
        quick(output_activation="softmax").fit(X, np.eye(3, dtype=int)[Y] | np.eye(3, dtype=int)[0])


def test_dropout_changes_training_and_not_prediction():
    """The same seed, the same run; another rate, another one; prediction is without it."""
    a, b, c = (quick(dropout=p).fit(X, Y) for p in (0.3, 0.3, 0.0))
    assert (a.coefs_[0] == b.coefs_[0]).all() and (a.coefs_[0] != c.coefs_[0]).any()
    assert (a.predict_proba(X) == a.predict_proba(X)).all()
    assert (c.coefs_[0] == quick().fit(X, Y).coefs_[0]).all()


# ---- steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer", ["rmsprop", cbp.Lion(0.01), "nadam", cbp.AdamW(0.02), cbp.Rprop()]
)
def test_every_optimizer(optimizer):
    """A cbp optimizer in the place of the solver, whatever that is."""
    batch_size = 150 if isinstance(optimizer, cbp.Rprop) else 30
    model = quick(optimizer=optimizer, solver="lbfgs", batch_size=batch_size, max_iter=100)
    model.fit(X, Y)
    assert model.score(X, Y) > 0.8 and len(model.loss_curve_) > 5


def test_optimizer_object_is_the_solver_of_that_name():
    """SGD with momentum as an object is solver="sgd" with the same numbers."""
    plain = quick(solver="sgd", learning_rate_init=0.05, nesterovs_momentum=False).fit(X, Y)
    given = quick(optimizer=cbp.SGD(0.05, momentum=0.9)).fit(X, Y)
    assert given.loss_curve_ == plain.loss_curve_


def test_schedule_of_steps():
    """A cbp schedule, or a function of the step, sets the rate of every step."""
    options = {"solver": "sgd", "momentum": 0.0, "batch_size": 50, "tol": 0.0, "max_iter": 4}
    stairs = quick(schedule=cbp.schedules.Step(6, 0.5), learning_rate_init=0.1, **options).fit(X, Y)
    by_hand = quick(schedule=lambda step: 0.1 * 0.5 ** (step // 6), **options).fit(X, Y)
    assert stairs.loss_curve_ == by_hand.loss_curve_
    constant = quick(learning_rate_init=0.1, **options).fit(X, Y)
    assert stairs.loss_curve_[:2] == constant.loss_curve_[:2]
    assert stairs.loss_curve_[3] != constant.loss_curve_[3]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_rate_falls_where_nothing_gets_better(solver):
    """ReduceOnPlateau: by the loss, or by the validation score where there is one."""
    options = {"solver": solver, "n_iter_no_change": 100, "max_iter": 12}
    rates = []

    class Rates(cbp.Callback):
        def on_epoch_end(self, epoch, logs):
            rates.append(self.trainer.estimator._optimizer.plateau["factor"])

    never = cbp.ReduceOnPlateau(0.5, patience=2, min_delta=1e9)
    model = quick(schedule=never, callbacks=Rates(), **options).fit(X, Y)
    # The first epoch is the best so far; then every second one is the last straw.
    assert rates == [1.0] + [0.5 ** (k // 2) for k in range(1, 12)]
    plain = quick(**options).fit(X, Y)
    assert model.loss_curve_[:3] == plain.loss_curve_[:3]
    assert model.loss_curve_[4] != plain.loss_curve_[4]
    rates.clear()
    watching = cbp.ReduceOnPlateau(0.5, patience=1, monitor="val_score")
    quick(schedule=watching, callbacks=Rates(), **options).fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert rates[-1] < 1.0  # one row: right or wrong, but hardly better and better
    whole, parts = (quick(schedule=never, shuffle=False, **options) for _ in range(2))
    for _ in range(12):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert parts.loss_curve_ == whole.fit(X, Y).loss_curve_
    with pytest.raises(ValueError, match="`monitor` must be one of"):
        quick(schedule=cbp.ReduceOnPlateau(monitor="val_loss"), **options).fit(X, Y)


def test_clip_norm_bounds_a_step():
    """The step is no longer than rate times clip_norm."""
    options = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "shuffle": False, "alpha": 0.0}
    options |= {"batch_size": 150, "learning_rate_init": 0.5}
    free = quick(**options).fit(X, Y)
    start = quick(**{**options, "learning_rate_init": 1e-300}).fit(X, Y)
    clipped = quick(clip_norm=0.01, **options).fit(X, Y)
    far, near = (
        np.linalg.norm(m.network_.parameters - start.network_.parameters) for m in (free, clipped)
    )
    assert far > 0.01 and near == pytest.approx(0.005, rel=1e-6)


# ---- rows ---------------------------------------------------------------------------------------


def test_class_weight():
    """A dictionary and "balanced" are sample weights; both kinds of weights multiply."""
    kept = np.r_[0:50, 50:60, 100:150]
    rows, y = X[kept], Y[kept]
    balanced = quick(class_weight="balanced").fit(rows, y)
    weight = (len(y) / 3 / np.bincount(y))[y]
    assert balanced.loss_curve_ == quick().fit(rows, y, sample_weight=weight).loss_curve_
    both = quick(class_weight={0: 1.0, 1: 5.0, 2: 1.0}).fit(rows, y, sample_weight=weight)
    assert both.loss_curve_ == quick().fit(rows, y, weight * np.where(y == 1, 5.0, 1.0)).loss_curve_
    with pytest.raises(ValueError, match="needs all rows at once"):
        balanced.partial_fit(rows, y)


def test_validation_data_of_ones_own():
    """X_val is watched after every epoch; with early_stopping it decides and nothing is held out."""
    train, val = np.arange(150) % 3 > 0, np.arange(150) % 3 == 0
    watched = quick().fit(X[train], Y[train], X_val=X[val], y_val=Y[val])
    plain = quick().fit(X[train], Y[train])
    assert watched.loss_curve_ == plain.loss_curve_
    assert len(watched.validation_scores_) == len(watched.validation_loss_curve_) == 30
    assert watched.validation_scores_[-1] == watched.score(X[val], Y[val])
    proba = watched.predict_proba(X[val])
    expected = -np.log(proba[np.arange(50), Y[val]]).mean()
    assert watched.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-9)
    stopping = quick(early_stopping=True, n_iter_no_change=2, max_iter=500, learning_rate_init=0.05)
    stopping.fit(X[train], Y[train], X_val=X[val], y_val=Y[val])
    assert stopping.n_iter_ < 500 and stopping.t_ == stopping.n_iter_ * 100
    assert stopping.score(X[val], Y[val]) == stopping.best_validation_score_
    with pytest.raises(ValueError, match="given together"):
        quick().fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="classes"):
        quick().fit(X[:100], Y[:100], X_val=X, y_val=Y)


def test_restore_best_without_stopping():
    """restore_best=True brings back the best weights and leaves the stop to the training loss."""
    options = {"max_iter": 60, "learning_rate_init": 0.1}
    model = quick(restore_best=True, **options).fit(X, Y, X_val=X[::7], y_val=Y[::7])
    assert model.score(X[::7], Y[::7]) == max(model.validation_scores_)
    with pytest.raises(ValueError, match="restore_best"):
        quick(restore_best=True).fit(X, Y)
    last = quick(early_stopping=True, restore_best=False, max_iter=25).fit(X, Y)
    assert last.loss_curve_ == quick(early_stopping=True, max_iter=25).fit(X, Y).loss_curve_


# ---- numbers ------------------------------------------------------------------------------------


def test_dtype_is_a_choice():
    """float32 arithmetic for float64 rows, and the other way round."""
    narrow, wide = quick(dtype="float32").fit(X, Y), quick(dtype="float64").fit(X, Y)
    assert narrow.coefs_[0].dtype == np.float32 and narrow.predict_proba(X).dtype == np.float32
    assert (wide.coefs_[0] == quick().fit(X, Y).coefs_[0]).all()
    np.testing.assert_allclose(narrow.predict_proba(X), wide.predict_proba(X), rtol=1e-3, atol=1e-5)
    assert quick(dtype="float64").fit(X.astype("f4"), Y).coefs_[0].dtype == np.float64


@pytest.mark.parametrize("n_threads", [1, 2, "auto"])
@pytest.mark.usefixtures("all_threads")
def test_threads_do_not_show(n_threads):
    """Whatever n_threads is, the bits are the same."""
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(1000, 50)), rng.integers(0, 4, 1000)
    options = {"hidden_layer_sizes": (64,), "max_iter": 3}
    one = quick(n_threads=1, **options).fit(rows, y)
    other = quick(n_threads=n_threads, **options).fit(rows, y)
    assert (one.coefs_[0] == other.coefs_[0]).all()
    assert (one.predict_proba(rows) == other.predict_proba(rows)).all()


def test_standardize_bears_any_scale(tmp_path):
    """Inputs of any size and targets near 10,000, where scikit-learn's fit is useless."""
    rows, y = ROUGH * 1e5 + 3e4, T * 100 + 1e4
    options = {"max_iter": 300, "learning_rate_init": 0.01}
    plain = quick(MLPRegressor, **options).fit(rows, y)
    model = quick(MLPRegressor, standardize=True, **options).fit(rows, y)
    assert model.score(rows, y) > 0.5 > plain.score(rows, y)
    assert (pickle.loads(pickle.dumps(model)).predict(rows) == model.predict(rows)).all()
    model.coefs_ = [W.copy() for W in model.coefs_]
    before = model.predict(rows)
    assert model.network_.scaling is not None and (model.predict(rows) == before).all()
    classifier = quick(standardize=True, max_iter=200, learning_rate_init=0.02).fit(
        X * 1e6 + 5.0, Y
    )
    assert classifier.score(X * 1e6 + 5.0, Y) > 0.9


# ---- the run ------------------------------------------------------------------------------------


def test_max_seconds_ends_a_fit():
    """With the epoch under way, and without a warning."""
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = quick(max_seconds=0.2, max_iter=10**8, tol=0.0, n_iter_no_change=10**8).fit(X, Y)
    assert time.monotonic() - start < 5 and 1 <= model.n_iter_ == len(model.loss_curve_) < 10**8


def test_callbacks_see_and_stop():
    """A function gets (epoch, logs); a cbp.Callback finds estimator, net, rate and stop()."""
    seen = []

    class Watch(cbp.Callback):
        def on_epoch_end(self, epoch, logs):
            assert self.trainer.net is self.trainer.estimator.network_
            self.trainer.learning_rate /= 2
            if epoch == 4:
                self.trainer.stop()

        def on_train_end(self, logs):
            seen.append("end")

    model = quick(callbacks=[Watch(), lambda epoch, logs: seen.append((epoch, logs["loss"]))])
    model.fit(X, Y)
    assert seen == [*enumerate(model.loss_curve_), "end"] and model.n_iter_ == 5
    assert model._optimizer.learning_rate == 0.001 / 32


@pytest.mark.parametrize("kind", ["dense", "sparse", "weighted"])
def test_callbacks_of_minibatches(kind):
    """Each is told its number and its loss; the fit is what it is without them."""
    seen = []

    class Batches(cbp.Callback):
        def on_train_batch_end(self, batch, logs):
            seen.append((batch, logs["loss"]))

    rows = scipy.sparse.csr_array(X) if kind == "sparse" else X
    weight = np.arange(150) % 7 + 0.5 if kind == "weighted" else None
    options = {"batch_size": 40, "max_iter": 3, "schedule": cbp.schedules.Exponential(0.9, 10)}
    plain = quick(**options).fit(rows, Y, weight)
    model = quick(callbacks=Batches(), **options).fit(rows, Y, weight)
    assert model.loss_curve_ == plain.loss_curve_ and (model.coefs_[0] == plain.coefs_[0]).all()
    assert [number for number, _ in seen] == [0, 1, 2, 3] * 3
    losses = np.array([loss for _, loss in seen]).reshape(3, 4)
    np.testing.assert_allclose(losses @ [40, 40, 40, 30] / 150, model.loss_curve_, rtol=1e-12)


def test_loggers_and_diagnostics_work_here(tmp_path):
    """What cbp brings for its trainer finds what it needs in an estimator's fit."""
    look = cbp.Diagnostics(X, Y)
    log = cbp.CSVLogger(tmp_path / "log.csv")
    model = quick(callbacks=[look, log], max_iter=4).fit(X, Y, X_val=X, y_val=Y)
    assert len(look.records) == 4
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 5 and {"loss", "val_score", "val_loss"} <= set(lines[0].split(","))
    assert float(lines[-1].split(",")[lines[0].split(",").index("loss")]) == model.loss_


def test_what_l_bfgs_cannot_do_is_refused():
    """Options of minibatches, rather than passed over."""
    for options in (
        {"dropout": 0.5},
        {"max_seconds": 1.0},
        {"callbacks": print},
        {"clip_norm": 1.0},
    ):
        with pytest.raises(ValueError, match="needs minibatches: set `solver`"):
            quick(solver="lbfgs", **options).fit(X, Y)


def test_progress_goes_to_stderr(capsys):
    """A line if wanted, nothing by default."""
    quick().fit(X, Y)
    assert capsys.readouterr() == ("", "")
    quick(progress=True).fit(X, Y)
    told = capsys.readouterr()
    assert told.out == "" and "30" in told.err


def test_partial_fit_takes_what_fit_takes():
    """Optimizer, schedule and dropout go on between the calls."""
    options = {"optimizer": cbp.AdamW(0.01), "dropout": 0.2, "shuffle": False, "batch_size": 40}
    options["schedule"] = cbp.schedules.Exponential(0.9, 10)
    whole = quick(tol=0.0, max_iter=5, **options).fit(X, Y)
    parts = quick(**options)
    for _ in range(5):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert parts.loss_curve_ == whole.loss_curve_


# ---- losses -------------------------------------------------------------------------------------


@pytest.mark.skipif(
    "loss" not in inspect.signature(theirs.MLPRegressor).parameters,
    reason="scikit-learn has the Poisson loss from 1.7 on",
)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("weighted", [False, True])
def test_poisson_follows_scikit_learn(solver, weighted):
    """The curve holds scikit-learn's constants too; predictions are rates."""
    rng = np.random.default_rng(0)
    rate = np.exp(0.5 * X[:, 0] + 0.2)
    y, weight = rng.poisson(rate).astype(float), rng.random(150) if weighted else None
    options = {"loss": "poisson", "solver": solver, "max_iter": 8, "batch_size": 40}
    a, b = (quick(m.MLPRegressor, **options).fit(X, y, weight) for m in (theirs, cbp.sklearn))
    np.testing.assert_allclose(b.loss_, a.loss_, rtol=1e-7)
    if solver != "lbfgs":
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-7)
    np.testing.assert_allclose(b.predict(X), a.predict(X), rtol=1e-5)
    assert b.out_activation_ == a.out_activation_ == "exp" and b.predict(X).min() > 0
    with pytest.raises(ValueError, match="negative|at least 0|below 0"):
        quick(MLPRegressor, loss="poisson").fit(X, y - 1)


# Noise whose size grows with x: what a mean does not tell.
GROWING = np.random.default_rng(0)
GRID = GROWING.uniform(0, 2, (2000, 1))
NOISY = 2 * GRID[:, 0] + (0.1 + 0.4 * GRID[:, 0]) * GROWING.normal(size=2000)
SLOW = {"hidden_layer_sizes": (16,), "learning_rate_init": 0.02, "max_iter": 60, "tol": 0.0}


def test_quantile_loss_gives_intervals():
    """Each level is exceeded as often as it says; predict gives the level nearest the median."""
    levels = [0.1, 0.5, 0.9]
    model = quick(MLPRegressor, loss=cbp.Quantile(levels), **SLOW).fit(GRID, NOISY)
    bands = model.predict_quantiles(GRID)
    assert bands.shape == (2000, 3) and (bands[:, 1] == model.predict(GRID)).all()
    below = (NOISY[:, np.newaxis] <= bands).mean(axis=0)
    np.testing.assert_allclose(below, levels, atol=0.04)
    wide, narrow = (
        np.diff(bands[part][:, [0, 2]]).mean() for part in (GRID[:, 0] > 1.5, GRID[:, 0] < 0.5)
    )
    assert wide > 2 * narrow  # as the noise
    two = quick(MLPRegressor, loss=cbp.Quantile(levels), standardize=True, **SLOW)
    two.fit(GRID, np.c_[NOISY, 1000 - 100 * NOISY])
    assert two.predict(GRID).shape == (2000, 2)
    bands = two.predict_quantiles(GRID)
    assert bands.shape == (2000, 2, 3) and (bands[:, :, 1] == two.predict(GRID)).all()
    below = (np.c_[NOISY, 1000 - 100 * NOISY][:, :, np.newaxis] <= bands).mean(axis=0)
    np.testing.assert_allclose(below, [levels, levels], atol=0.06)
    one = quick(MLPRegressor, loss="quantile", **SLOW).fit(GRID, NOISY)
    assert one.predict_quantiles(GRID).shape == (2000, 1)
    with pytest.raises(AttributeError, match="no attribute 'predict_quantiles'"):
        quick(MLPRegressor).fit(X, X[:, 0]).predict_quantiles(X)


def test_gaussian_likelihood_gives_standard_deviations():
    """predict(X, return_std=True), as Gaussian processes and Bayesian ridges have it."""
    model = quick(MLPRegressor, loss="gaussian_nll", **SLOW).fit(GRID, NOISY)
    mean, std = model.predict(GRID, return_std=True)
    assert mean.shape == std.shape == (2000,) and (mean == model.predict(GRID)).all()
    np.testing.assert_allclose(mean, 2 * GRID[:, 0], atol=0.25)
    np.testing.assert_allclose(std, 0.1 + 0.4 * GRID[:, 0], atol=0.25)
    nll = (0.5 * np.log(std**2) + 0.5 * ((NOISY - mean) / std) ** 2).mean()
    assert nll == pytest.approx(model.loss_, abs=0.05)
    two = quick(MLPRegressor, loss=cbp.GaussianNLL(1e-3), **SLOW)
    mean, std = two.fit(GRID, np.c_[NOISY, NOISY]).predict(GRID[:7], return_std=True)
    assert mean.shape == std.shape == (7, 2)
    with pytest.raises(ValueError, match="`return_std` needs a loss that knows one"):
        quick(MLPRegressor).fit(X, X[:, 0]).predict(X, return_std=True)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", cbp.Huber(0.1)])
def test_robust_losses_bear_outliers(loss):
    """A tenth of the targets is nonsense: the fit is that of the rest."""
    y = NOISY.copy()
    y[::10] = 100.0
    robust = quick(MLPRegressor, loss=loss, **SLOW).fit(GRID, y)
    squared = quick(MLPRegressor, **SLOW).fit(GRID, y)
    off = [np.abs(m.predict(GRID) - 2 * GRID[:, 0]).mean() for m in (robust, squared)]
    assert off[0] < 0.5 and off[1] > 5


def test_missing_targets_count_for_nothing():
    """mask_nan: several targets, each with rows that lack it, in fit and in validation scores."""
    Z = np.c_[NOISY, -NOISY]
    gaps = Z.copy()
    gaps[::2, 0] = gaps[1::3, 1] = np.nan
    loss = cbp.SquaredError(mask_nan=True)
    model = quick(MLPRegressor, loss=loss, early_stopping=True, **SLOW).fit(GRID, gaps)
    assert model.score(GRID, Z) > 0.6 and model.best_validation_score_ > 0.5
    with pytest.raises(ValueError, match="NaN"):
        quick(MLPRegressor).fit(GRID, gaps)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick(MLPRegressor, loss=loss).fit(GRID, gaps[1:])


@pytest.mark.parametrize(
    "loss",
    [cbp.Focal(), cbp.Focal(1.0, alpha=0.3), cbp.CategoricalCrossEntropy(label_smoothing=0.1)],
)
def test_losses_of_classifiers(loss):
    """Focal and smoothed cross-entropies, in fit, in L-BFGS and in early stopping."""
    for options in ({"max_iter": 150}, {"solver": "lbfgs"}, {"early_stopping": True}):
        model = quick(loss=loss, learning_rate_init=0.02, **options).fit(X, Y)
        assert model.score(X, Y) > 0.75
    Xv = {"X_val": X, "y_val": Y}
    model = quick(loss=loss, learning_rate_init=0.02).fit(X, Y, **Xv)
    own = model.network_.gradient(X, Y, loss).loss
    assert model.validation_loss_curve_[-1] == pytest.approx(own, rel=1e-12)


def test_a_loss_of_ones_own():
    """A pair of functions of outputs and targets."""
    smooth = cbp.CustomLoss(
        lambda y, t: np.log(np.cosh(y - t)).sum(axis=1), lambda y, t: np.tanh(y - t)
    )
    y = np.tanh(X[:, 0])
    model = quick(MLPRegressor, loss=smooth, max_iter=200, learning_rate_init=0.02, alpha=0.0)
    assert model.fit(X, y).score(X, y) > 0.9
    error = np.log(np.cosh(model.predict(X) - y)).mean()
    assert model.loss_ == pytest.approx(error, rel=0.3)


def test_losses_that_do_not_go_are_refused():
    """With this output, with this kind of problem, or by that name."""
    for model, words in (
        (quick(loss="poisson"), "`loss` poisson"),
        (quick(loss="hinge"), "The 'loss' parameter of MLPClassifier must be"),
        (quick(MLPRegressor, loss="log_loss"), "The 'loss' parameter of MLPRegressor must be"),
        (quick(MLPRegressor, loss="binary_cross_entropy"), "sigmoid"),
        (quick(MLPRegressor, loss="poisson", output_activation="tanh"), "logarithm of a rate"),
        (quick(MLPRegressor, loss=cbp.SquaredError("sum")), "`reduction='mean'`"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(X, Y)
