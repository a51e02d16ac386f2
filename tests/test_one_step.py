"""One step of every optimizer against its formula in higher precision: at most 2 ULP of
max(|w|, |Δw|), a float32 step against float64 and a float64 step against longdouble."""

from __future__ import annotations

import numpy as np
import pytest
from rules import RULES

import cbp
from cbp import _runtime


def wide(kind, h, w, g, t, states):
    """Parameters after step t by the formula; `states` and everything else in type `kind`."""
    one, (a, b) = kind(1), states
    rate = kind(h["learning_rate"])
    w = w - rate * kind(h.get("weight_decay", 0)) * w
    name, epsilon = h["rule"], kind(h.get("epsilon", 0))
    beta_1, beta_2 = kind(h.get("beta_1", 0)), kind(h.get("beta_2", 0))
    mu = kind(h.get("momentum", 0))
    if name == "sgd":
        return w - rate * g
    if name in ("momentum", "nesterov"):
        v = mu * a - rate * g
        return w + (mu * v - rate * g if name == "nesterov" else v)
    if name.startswith("rmsprop"):
        step = g / (np.sqrt(beta_2 * a + (one - beta_2) * g * g) + epsilon)
        return w - rate * (mu * b + step)
    if name == "adagrad":
        rate = rate / (one + kind(t - 1) * kind(h["rate_decay"]))
        return w - rate * g / (np.sqrt(a + g * g) + epsilon)
    if name == "lion":
        return w - rate * np.sign(beta_1 * a + (one - beta_1) * g)
    m, v = beta_1 * a + (one - beta_1) * g, beta_2 * b + (one - beta_2) * g * g
    root = np.sqrt(v / (one - beta_2**t)) + epsilon
    if name == "adam":
        return w - rate * (m / (one - beta_1**t)) / root
    base = kind(h["power_base"])
    mus = [beta_1 * (one - base**j / 2) for j in range(1, t + 2)]
    done = np.prod(np.array(mus[:-1], kind))
    step = (one - mus[-2]) * g / (one - done) + mus[-1] * m / (one - done * mus[-1])
    return w - rate * step / root


@pytest.mark.parametrize("dtype, kind", [("float32", np.float64), ("float64", np.longdouble)])
@pytest.mark.parametrize("rule", [name for name in RULES if not name.startswith("rprop")])
def test_one_step_is_within_two_ulp(isa, rule, dtype, kind):
    """Steps 1 ... 5, each from the states that the compiled steps left, of weights of 0.5 to 2 (near
    0, where the terms of Δw cancel, the roundings of the terms show: about 5 ULP were seen)."""
    optimizer = RULES[rule][0]
    net = cbp.Network([40, 1], bias=False, dtype=dtype, seed=1)
    run = cbp.Trainer(net, optimizer=optimizer)
    h = {**optimizer.hyper, "rule": optimizer.rule}
    for t in range(1, 6):
        rng = np.random.default_rng(t)
        x = rng.normal(size=(1, 40)).astype(dtype)
        net.weights[0] = rng.choice([-1, 1], (40, 1)) * rng.uniform(0.5, 2, (40, 1))
        target = [[float(t)]]
        g = net.gradient(x, target).weights[0].ravel().astype(kind)
        before = net.parameters.astype(kind)
        states = [s.astype(kind) for s in run._states]
        states += [np.zeros(40, kind)] * (2 - len(states))
        exact = wide(kind, h, before, g, t, states)
        run.train_on_batch(x, target)
        scale = np.maximum(np.abs(before), np.abs(exact - before)).astype(dtype)
        error = np.abs(net.parameters.astype(kind) - exact) / np.spacing(scale)
        # Without FMA, a product and a sum round twice.
        assert error.max() <= (2.0 if _runtime.has_fma() else 4.0)
