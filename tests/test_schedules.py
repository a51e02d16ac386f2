"""Schedules: their formulas, their bits, and the runs that follow them."""

import hashlib
import math
import pickle
import re

import numpy as np
import pytest

import cbp
from cbp import schedules

rng = np.random.default_rng(4)
X = rng.normal(size=(50, 6)).astype(np.float32)
T = np.tanh(X[:, :3] * 2).astype(np.float32)
OPTIMIZERS = ["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion"]
ALL = [
    cbp.Constant(warm_up=5), cbp.Step(7, 0.5), cbp.Step([3, 11], 0.1), cbp.Exponential(0.9, 3),
    cbp.Cosine(40, warm_up=6, final=0.1), cbp.OneCycle(40), cbp.InverseScaling(0.5, 7, 50),
]  # fmt: skip


def trainer(**options):
    net = cbp.Network([6, 8, 3], "tanh", seed=1)
    return cbp.Trainer(net, **{"batch_size": 8, "seed": 2, **options})


def same(one, other):
    np.testing.assert_array_equal(one.net.parameters, other.net.parameters)


# ---- formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule, formula", [
    (cbp.Constant(), lambda t: 1.0),
    (cbp.Constant(warm_up=4), lambda t: min((t + 1) / 4, 1.0)),
    (cbp.Step(7, 0.5), lambda t: 0.5 ** (t // 7)),
    (cbp.Step([3, 11, 11], 0.1), lambda t: 0.1 ** ((t >= 3) + 2 * (t >= 11))),
    (cbp.Exponential(0.9, 3), lambda t: 0.9 ** (t / 3)),
    (cbp.Exponential(1.5), lambda t: 1.5**t),
    (cbp.Cosine(40), lambda t: (1 + math.cos(math.pi * min(t / 40, 1))) / 2),
    (cbp.Cosine(40, 10, 0.2), lambda t: (t + 1) / 10 if t < 10 else
     0.2 + 0.8 * (1 + math.cos(math.pi * min((t - 10) / 30, 1))) / 2),
    (cbp.InverseScaling(0.5), lambda t: 1 / math.sqrt(1 + t)),
    (cbp.InverseScaling(0.3, 7, 50), lambda t: (1 + 50 * (t // 7)) ** -0.3),
])  # fmt: skip
def test_formulas(schedule, formula):
    """Each schedule is the formula of its docstring, times the learning rate."""
    expected = [0.3 * formula(t) for t in range(60)]
    np.testing.assert_allclose(schedule.rates(range(60), 0.3), expected, rtol=1e-14, atol=1e-16)


def test_one_cycle():
    """Up from start to the full rate at peak, down to final: PyTorch's points and cosines."""
    rates = cbp.OneCycle(100).rates(range(110), 0.1)
    assert rates[0] == pytest.approx(0.004) and rates[29] == pytest.approx(0.1)
    assert rates[99] == pytest.approx(4e-7) and (rates[100:] == rates[99]).all()
    half = (1 + math.cos(math.pi * 14 / 29)) / 2
    assert rates[14] == pytest.approx(0.1 + (0.004 - 0.1) * half, rel=1e-13)
    assert rates.argmax() == 29


def test_scikit_learns_inverse_scaling():
    """With an epoch's minibatches and rows it is scikit-learn's "invscaling"."""
    network = pytest.importorskip("sklearn.neural_network")
    model = network.MLPRegressor(hidden_layer_sizes=(3,), solver="sgd", learning_rate="invscaling", batch_size=10,
                                 max_iter=1, learning_rate_init=0.05, power_t=0.5,
                                 random_state=1)  # fmt: skip
    schedule = cbp.InverseScaling(0.5, every=5, count=50)
    for epoch in range(1, 4):
        model.partial_fit(X.astype(float), T.astype(float))
        ours = schedule.rates([5 * epoch], 0.05)[0]
        assert model._optimizer.learning_rate == pytest.approx(ours, rel=1e-12)


@pytest.mark.parametrize("base", [0.1, 0.5, 1.0, 3.0, 1e10])
def test_power(base):
    """The power without libm, within its bound of the exact one."""
    mpmath = pytest.importorskip("mpmath")
    for exponent in (-3.7, -1.0, 0.0, 1e-9, 0.5, 12.3):
        exact = mpmath.mpf(base) ** mpmath.mpf(exponent)
        got = float(schedules.power(base, exponent))
        bound = 2.0**-52 * (2 + abs(exponent * math.log(base)))
        assert abs(got / exact - 1) <= bound


def test_bits():
    """The rates have the same bits on every machine: this hash is part of the format."""
    digest = hashlib.sha256()
    for schedule in ALL:
        digest.update(schedule.rates(range(100), 0.1).astype("<f8").tobytes())
    assert digest.hexdigest()[:32] == "63dcfc139cac9ed4cca1a634857569dd"


# ---- runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_a_run_takes_each_steps_rate(schedule, optimizer):
    """fit with a schedule is train_on_batch with its rate set before each step, bit for bit."""
    optimizer = cbp.optimizers.OPTIMIZERS[optimizer]
    one, other = trainer(schedule=schedule, shuffle=False, optimizer=optimizer), trainer(
        optimizer=optimizer)  # fmt: skip
    one.fit(X, T, 3)
    rates = schedule.rates(range(21), optimizer.learning_rate)
    for step, rate in enumerate(rates):
        first = step % 7 * 8
        other.learning_rate = rate
        other.train_on_batch(X[first : first + 8], T[first : first + 8])
    same(one, other)


def test_train_on_batch_follows_the_schedule():
    """The steps of train_on_batch count as well."""
    one, other = trainer(schedule=cbp.Cosine(20)), trainer(schedule=cbp.Cosine(20), shuffle=False)
    for _ in range(2):
        for first in range(0, 50, 8):
            one.train_on_batch(X[first : first + 8], T[first : first + 8])
    other.fit(X, T, 2)
    same(one, other)


@pytest.mark.parametrize("schedule", [
    cbp.Cosine(300, warm_up=7), cbp.Step([150], 0.5), cbp.Exponential(1.5)], ids=repr)  # fmt: skip
def test_rates_made_ahead_are_the_rates(schedule):
    """One result, whether rates are made ahead or step by step, across places and base rates; a
    rate that is not finite is refused at its own step."""
    one, other = trainer(schedule=schedule), trainer(schedule=schedule)

    def step():
        with np.errstate(over="ignore"):
            other._ahead = (0, 0.0, [])
            results = []
            for run, rows in ((one, X[:8]), (other, X[:8].tolist())):  # a list is checked in words
                try:
                    results.append(run.train_on_batch(rows, T[:8]))
                except (ValueError, cbp.DivergenceError) as error:
                    results.append(str(error))
        assert results[0] == results[1]
        return results[0]

    for k in range(250):
        if k == 30:
            one.learning_rate = other.learning_rate = one.learning_rate / 2
        if isinstance(step(), str):
            break
    same(one, other)
    assert one._place == other._place
    twin = pickle.loads(pickle.dumps(one))
    assert twin._ahead == (0, 0.0, [])


def test_train_on_batch_keeps_to_compiled_checks(monkeypatch):
    """With a schedule, and where inputs are standardised, too."""
    run = trainer(schedule=cbp.Cosine(20))
    run.net.scaling = cbp.Scaling(*np.zeros((1, X.shape[1])), np.ones(X.shape[1]), [0] * 3, [1] * 3)
    monkeypatch.setattr(run, "_data", None)
    for _ in range(3):
        run.train_on_batch(X[:8], T[:8])


def test_fit_again_goes_on_along_the_schedule(monkeypatch):
    """2 + 3 epochs are 5; how many rates are made at once does not show."""
    from cbp import _run

    once, twice = (trainer(schedule=cbp.Cosine(30, warm_up=5)) for _ in range(2))
    once.fit(X, T, 5)
    monkeypatch.setattr(_run, "_MOST_RATES", 4)
    twice.fit(X, T, 2)
    twice.fit(X, T, 3)
    same(once, twice)
    assert once.history["loss"] == twice.history["loss"]


def test_a_function_gives_the_rate_itself():
    """It is called with the number of updates so far; wrong rates are refused by name."""
    one, other = trainer(schedule=lambda t: 0.01 / (1 + t)), trainer(
        schedule=cbp.InverseScaling(1.0), optimizer=cbp.Adam(0.01))  # fmt: skip
    one.fit(X, T, 2)
    other.fit(X, T, 2)
    np.testing.assert_allclose(one.net.parameters, other.net.parameters, rtol=1e-4)
    run = trainer(schedule=lambda t: 0.1 if t < 9 else -1.0)
    with pytest.raises(ValueError, match=r"^`schedule\(9\)` must be a finite number at least 0, "
                       r"got -1\.0\.$"):
        run.fit(X, T, 2)
    with pytest.raises(ValueError, match=r"^`schedule` must give rates that fit float32, got 1e\+40"
                       r" for step 0\.$"):
        trainer(schedule=lambda t: 1e40).fit(X, T, 1)


def test_a_rate_of_zero_moves_nothing():
    """From the end of a cosine on, the parameters stay."""
    run = trainer(schedule=cbp.Cosine(7))
    run.fit(X, T, 1)
    before = run.net.parameters.copy()
    run.fit(X, T, 1)
    np.testing.assert_array_equal(run.net.parameters, before)


def test_learning_rate_scales_the_schedule():
    """It stays readable and settable, and is what the schedule starts from."""
    run, other = trainer(schedule=cbp.Step(7, 0.5)), trainer()
    run.learning_rate = 0.02
    run.fit(X, T, 2)
    for rate in (0.02, 0.01):
        other.learning_rate = rate
        other.fit(X, T, 1)
    same(run, other)
    assert run.learning_rate == 0.02


def test_reduce_on_plateau():
    """The rate falls after `patience` epochs without an improvement, and stays for `cooldown`."""
    schedule = cbp.ReduceOnPlateau(0.5, patience=2, cooldown=1, least=0.02, monitor="val_loss")
    run = trainer(schedule=schedule, optimizer=cbp.SGD(0.1))
    values = iter([5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    run._measure = lambda data, names: {"loss": next(values)}
    history = run.fit(X, T, 14, validation_data=(X, T))
    assert history["learning_rate"] == [0.1] * 4 + [0.05] * 3 + [0.025] * 4 + [0.02] * 3
    assert run.learning_rate == 0.1


def test_reduce_on_plateau_goes_on():
    """Its state belongs to the trainer: 3 + 5 epochs are 8, over the training loss too."""
    make = lambda: trainer(  # noqa: E731
        schedule=cbp.ReduceOnPlateau(0.5, patience=1), optimizer=cbp.SGD(2.0))
    once, twice = make(), make()
    once.fit(X, T, 8)
    twice.fit(X, T, 3)
    twice.fit(X, T, 5)
    same(once, twice)
    assert once.history["learning_rate"] == twice.history["learning_rate"]
    assert min(once.history["learning_rate"]) < 2.0


# ---- wrong arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("make, error, words", [
    (lambda: cbp.Cosine(0), ValueError, "`steps` must be at least 1, got 0"),
    (lambda: cbp.Cosine(10, warm_up=10), ValueError, "`warm_up` must be at most 9, got 10"),
    (lambda: cbp.Cosine(10, final=1.5), ValueError,
     "`final` must be a finite number from 0 to 1, got 1.5"),
    (lambda: cbp.Step(0), ValueError, "`every` must be at least 1, got 0"),
    (lambda: cbp.Step([5, 3]), ValueError, "`every` must name steps in ascending order"),
    (lambda: cbp.Step(2.5), TypeError, "`every` must be an integer, got 2.5"),
    (lambda: cbp.Exponential(0.0), ValueError, "`factor` must be a finite number above 0, got 0.0"),
    (lambda: cbp.OneCycle(3), ValueError,
     "`peak` times `steps` must exceed 1, got 0.9: make the cycle longer"),
    (lambda: cbp.InverseScaling(-1.0), ValueError,
     "`power` must be a finite number at least 0, got -1.0"),
    (lambda: cbp.ReduceOnPlateau(1.0), ValueError,
     "`factor` must be a finite number above 0 and below 1, got 1.0"),
    (lambda: cbp.ReduceOnPlateau(monitor=3), TypeError, "`monitor` must be a string, got 3"),
    (lambda: trainer(schedule=cbp.Cosine), TypeError,
     "`schedule` must be a schedule such as cbp.Cosine(1000), or a function of the step that "
     "returns the rate, got the class Cosine"),
])  # fmt: skip
def test_wrong_arguments(make, error, words):
    """Refused when the object is made, in one sentence."""
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == words + "."


def test_a_column_that_is_not_there():
    """A plateau can only be seen where something is measured."""
    run = trainer(schedule=cbp.ReduceOnPlateau(monitor="val_loss"))
    with pytest.raises(ValueError, match=r"^`monitor` must be one of 'loss', got 'val_loss'\.$"):
        run.fit(X, T, 1)


# ---- the finder -------------------------------------------------------------------------------


def test_finder_changes_nothing():
    """Network, states, place and history stay as they are; the rates grow by one factor."""
    run, other = trainer(), trainer()
    run.fit(X, T, 2)
    other.fit(X, T, 2)
    curve = run.find_learning_rate(X, T, lowest=1e-5, highest=1e-1, steps=50)
    same(run, other)
    assert run._place == other._place and dict(run.history) == dict(other.history)
    np.testing.assert_allclose(curve.rates, 1e-5 * 10 ** (np.arange(50) * 4 / 49), rtol=1e-13)
    run.fit(X, T, 1)
    other.fit(X, T, 1)
    same(run, other)


def test_finder_is_a_run_with_these_rates():
    """Its losses are those of updates at its rates; the running mean is weighted as it says."""
    curve = trainer(shuffle=False).find_learning_rate(X, T, highest=0.1, steps=14)
    other = trainer()
    for step, rate in enumerate(curve.rates):
        other.learning_rate = rate
        first = step % 7 * 8
        loss = other.train_on_batch(X[first : first + 8], T[first : first + 8])
        assert loss == pytest.approx(curve.losses[step], rel=1e-12)
    weights = 0.9 ** np.arange(14)[::-1]
    assert curve.smoothed[-1] == pytest.approx(curve.losses @ weights / weights.sum(), rel=1e-12)


def test_finder_ends_early_and_suggests():
    """Plain descent explodes near the end; the suggestion trains well."""
    run = trainer(optimizer="sgd")
    curve = run.find_learning_rate(X, T, highest=1e6)
    assert 10 < len(curve.rates) < 200 and np.isfinite(curve.losses).all()
    assert curve.suggestion == curve.rates[curve.smoothed.argmin()] / 10
    run.learning_rate = curve.suggestion
    history = run.fit(X, T, 50)
    assert history["loss"][-1] < 0.2 * history["loss"][0]


def test_finder_with_standardize():
    """A network that has no scaling yet is scaled in the copy alone."""
    net = cbp.Network([6, 8, 3], "tanh", standardize=True, seed=1)
    run = cbp.Trainer(net, seed=1)
    assert len(run.find_learning_rate(X * 100 + 5, T * 1e4, steps=20).rates) == 20
    assert net.scaling is None


def test_finder_says_little_of_itself():
    """One line, with the suggestion."""
    curve = trainer().find_learning_rate(X, T, steps=5)
    assert re.fullmatch(r"RateCurve\(5 steps, rates 1e-06 to 10, suggestion [-.e\d]+\)", repr(curve))


def test_finder_draws():
    """A figure with a logarithmic axis of rates, and the suggestion."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = trainer().find_learning_rate(X, T).plot()
    (panel,) = figure.axes
    assert panel.get_xscale() == "log" and panel.get_xlabel() == "learning rate"
    assert "suggestion" in panel.get_legend().get_texts()[2].get_text()
    pyplot.close(figure)


def test_finder_without_matplotlib(monkeypatch):
    """One sentence names the extra to install."""
    import sys

    curve = trainer().find_learning_rate(X, T, steps=5)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^`plot` needs matplotlib: pip install cbp\[plot\]$"):
        curve.plot()


def test_finder_refuses():
    """Wrong ranges, data without weight, and a loss that is not finite from the start."""
    run = trainer()
    with pytest.raises(ValueError, match=r"^`highest` must be a finite number above 1, got 0\.5"):
        run.find_learning_rate(X, T, lowest=1.0, highest=0.5)
    with pytest.raises(ValueError, match=r"^`steps` must be at least 2, got 1\.$"):
        run.find_learning_rate(X, T, steps=1)
    with pytest.raises(ValueError, match=r"^The sample weights must not all be 0"):
        run.find_learning_rate(X, T, sample_weight=np.zeros(50))
    run.net.parameters[0] = np.nan
    with pytest.raises(cbp.DivergenceError, match=r"layer 1's parameters are not finite"):
        run.find_learning_rate(X, T)
