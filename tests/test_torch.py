"""PyTorch: 200 steps of its optimizers, and its losses and activations with their gradients.

Against committed numbers and, live, against PyTorch itself.
"""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from compare import normwise
from golden import make_torch_losses as losses
from golden import make_torch_optimizers as golden

import cbp

EACH = pytest.mark.parametrize("name", golden.CASES)


def trajectory(name):
    """What golden.trajectory returns, of cbp."""
    _, _, kind, options, of_trainer = golden.CASES[name]
    X, T, start = golden.problem()
    net = cbp.Network([5, 8, 3], "tanh", dtype="float64", seed=1)
    net.weights[0], net.biases[0], net.weights[1], net.biases[1] = start
    run = cbp.Trainer(net, optimizer=getattr(cbp, kind)(**options), batch_size=None,
                      shuffle=False, **of_trainer)  # fmt: skip
    losses = list(run.fit(X, T, golden.EARLY)["loss"])
    early = net.parameters.copy()
    losses += list(run.fit(X, T, golden.STEPS - golden.EARLY)["loss"])
    return losses, early, net.parameters


def compare(ours, theirs):
    """Losses and parameters agree to 1e-9 of their norms."""
    assert len(ours[0]) == golden.STEPS
    for got, expected in zip(ours, theirs):
        assert normwise(got, expected) <= 1e-9


@EACH
def test_against_committed_trajectories(name):
    """Every optimizer that PyTorch has, with its conventions and default numbers."""
    case = json.loads(golden.FILE.read_text())["cases"][name]
    compare(trajectory(name), (case["losses"], case["early"], case["late"]))


def test_committed_trajectories_go_somewhere():
    """Every case lowers the loss, and no two cases end at the same parameters."""
    cases = json.loads(golden.FILE.read_text())["cases"]
    assert set(cases) == set(golden.CASES)
    assert all(case["losses"][-1] < 0.95 * case["losses"][0] for case in cases.values())
    ends = np.array([case["late"] for case in cases.values()])
    apart = np.linalg.norm(ends[:, None] - ends[None], axis=2) + np.eye(len(ends))
    assert apart.min() > 1e-4


@pytest.mark.peers
@EACH
def test_against_pytorch_live(name):
    """The same with the PyTorch that is installed."""
    if importlib.util.find_spec("torch") is None:
        pytest.fail("PyTorch is not installed: make test-peers")
    compare(trajectory(name), golden.trajectory(name))


# ---- losses and activations ---------------------------------------------------------------------

OF_LOSS = pytest.mark.parametrize("name", losses.CASES)


def assert_same_loss(name, theirs):
    """Loss and gradient agree to 1e-12."""
    _, options, targets, _, kind, ours, output = losses.CASES[name]
    X, T, W, b = losses.problem(targets)
    net = cbp.Network([*W.shape], output_activation=output, dtype="float64", seed=1)
    net.weights[0], net.biases[0] = W, b
    weight = np.array(options["weight"])[T] if "weight" in options else None
    loss, gradient = net.loss_and_gradient(X, T, getattr(cbp, kind)(**ours), sample_weight=weight)
    assert loss == pytest.approx(theirs[0], rel=1e-12)
    assert normwise(gradient, theirs[1]) <= 1e-12


@OF_LOSS
def test_losses_against_committed_numbers(name):
    """Every loss and activation that PyTorch has, after the documented factor."""
    case = json.loads(losses.FILE.read_text())["cases"][name]
    assert_same_loss(name, (case["loss"], case["gradient"]))


@pytest.mark.peers
@OF_LOSS
def test_losses_against_pytorch_live(name):
    """The same with the PyTorch that is installed."""
    if importlib.util.find_spec("torch") is None:
        pytest.fail("PyTorch is not installed: make test-peers")
    assert_same_loss(name, losses.answer(name))
