"""Training from a random start until a problem is solved: the experiment of 1986."""

import numpy as np

import cbp

LOSS = cbp.SquaredError(reduction="sum")  # E = ½ Σ (y - d)², over all cases


def start(seed, sizes, span):
    """Return a logistic net, weights and then biases uniform in [-span, span]."""
    net = cbp.Network(sizes, "sigmoid", "sigmoid", dtype="float64")
    random = np.random.default_rng(seed)
    for parts in (net.weights, net.biases):
        for part in parts:
            part[:] = random.uniform(-span, span, part.shape)
    return net


def solve(net, X, Y, rate, momentum, sweeps):
    """Train on all cases at once until each output is within .5 of its target.

    An update is Δw(t) = -ε ∂E/∂w + α Δw(t - 1). Returns how many sweeps that took, or None.
    """
    trainer = cbp.Trainer(
        net, LOSS, cbp.SGD(rate, momentum=momentum), batch_size=None, shuffle=False, n_threads=1
    )
    answers = []

    def look(epoch, logs):
        if (np.abs(net.predict(X) - Y) < 0.5).all():
            answers.append(epoch + 1)
            trainer.stop()

    trainer.fit(X, Y, sweeps, callbacks=look)
    return answers[0] if answers else None
