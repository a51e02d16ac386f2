"""Diagnostics: what is told of the layers is so, and telling it changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cbp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, :1] ** 2


def test_diagnostics_are_what_they_say():
    """The numbers of a look are those of forward, gradient and the weights."""
    look = cbp.Diagnostics(X, Y)
    trainer = cbp.Trainer(cbp.Network([3, 8, 1], "tanh", seed=1), l2=0.01, seed=1)
    trainer.fit(X, Y, epochs=1, callbacks=look)
    before = [W.copy() for W in trainer.net.weights]
    trainer.fit(X, Y, epochs=1)  # nobody looks here
    look.on_train_begin({})
    trainer.fit(X, Y, epochs=2, callbacks=look)
    assert [record.epoch for record in look.records] == [0, 2, 3]
    net, record = trainer.net, look.records[-1]
    a, gradient = net.forward(X).a, net.gradient(X, Y, l2=0.01)
    for index, layer in enumerate(record.layers):
        assert layer.layer == index + 1
        assert layer.activation_mean == pytest.approx(a[index + 1].mean(), rel=1e-5)
        assert layer.activation_std == pytest.approx(a[index + 1].std(), rel=1e-5)
        assert layer.delta_rms == pytest.approx(np.sqrt((gradient.deltas[index] ** 2).mean()))
        assert layer.gradient_rms == pytest.approx(np.sqrt((gradient.weights[index] ** 2).mean()))
        assert layer.weight_rms == pytest.approx(np.sqrt((net.weights[index] ** 2).mean()))
        assert 0.0 < layer.update_ratio < 0.1 and before[index].shape == net.weights[index].shape
    assert math.isnan(look.records[1].layers[0].update_ratio)
    assert math.isnan(record.layers[1].saturated) and 0.0 <= record.layers[0].saturated <= 1.0


def test_dead_and_saturated_units_are_found():
    """A relu whose bias keeps it at 0, a tanh whose bias keeps it at 1."""
    net = cbp.Network([3, cbp.Dense(4, "relu"), cbp.Dense(5, "tanh"), 1], seed=1)
    net.biases[0][2] = -100.0
    net.biases[1][3] = 100.0
    look = cbp.Diagnostics(X, Y)
    cbp.Trainer(net, optimizer=cbp.SGD(1e-9), seed=1).fit(X, Y, epochs=1, callbacks=look)
    first, second, _ = look.records[0].layers
    assert first.dead == (2,) and second.dead == (3,)
    assert first.zeros >= 0.25 and second.saturated >= 0.2
    assert "layer 1, dead units: 2" in look.report() and "layer 2, dead units: 3" in look.report()
    assert "<table>" in look._repr_html_()


def test_diagnostics_change_nothing():
    """A run that is looked at has the bits of one that is not."""
    nets = [cbp.Network([3, cbp.Dense(8, "tanh", dropout=0.5), 1], seed=1) for _ in range(2)]
    for net, callbacks in zip(nets, ([], [cbp.Diagnostics(X, Y, every=2)])):
        cbp.Trainer(net, seed=1).fit(X, Y, epochs=6, callbacks=callbacks)
    assert np.array_equal(nets[0].parameters, nets[1].parameters)
    assert [record.epoch for record in callbacks[0].records] == [1, 3, 5]


@pytest.mark.parametrize("rows, words", [
    ((X, Y[:3]), "`Y` must have 40 rows"), ((X[:, :2], Y), "`X` must have 3 columns")])  # fmt: skip
def test_rows_that_do_not_fit_are_refused_beforehand(rows, words):
    """Not at the end of an epoch, when hours may have passed."""
    trainer = cbp.Trainer(cbp.Network([3, 1], seed=1))
    before = trainer.net.parameters.copy()
    with pytest.raises(ValueError, match=f"^In `Diagnostics`, {words}"):
        trainer.fit(X, Y, epochs=1, callbacks=cbp.Diagnostics(*rows))
    np.testing.assert_array_equal(trainer.net.parameters, before)


def test_a_report_before_the_first_look():
    """There is one, and it says so."""
    assert "no epoch has been looked at" in cbp.Diagnostics(X, Y).report()
