"""The backends: cbp and its peers behind one interface, each in a process of its own.

What lives here: the same training step, prediction and gradient, written as well as each library
allows (benchmarks/README.md says what every timed block does). What must not: tables, ratios.
Invariant: a backend does the step of `NumPy` below; bench.py compares the weights before it times.

Run as a program (by bench.py), this module serves one backend over stdin and stdout.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import os
import pickle
import resource
import sys
import time
import traceback
import warnings
from typing import Any

import numpy as np
from cases import BETA_1, BETA_2, EPSILON, LEARNING_RATES, MOMENTUM, Case, Data, blocks
from cases import data as make_data
from cases import initial as initial_parameters


class Unable(Exception):
    """The backend does not do this cell's work; the text says why."""


class Backend:
    """What every backend answers to. `variants` are ways to do the same work; the harness times
    each and goes on with the fastest."""

    variants: tuple[str, ...] = ("",)
    other_epsilon = False  # whether its Adam adds ε before the bias correction

    def __init__(self, variant: str, n_threads: int) -> None:
        self.variant = variant
        self.n_threads = n_threads

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        """Take the initial parameters (flat) and the data; raise Unable if that cannot be."""
        raise NotImplementedError

    def steps(self, k: int) -> int:
        """Make k training steps from minibatch 0 on, in order and around; return how many were
        made (sklearn rounds up to whole passes)."""
        raise Unable("it does not train")

    def weights(self) -> Any:
        """Return the parameters, flat."""
        raise Unable("it has no weights to show")

    def predict(self) -> Any:
        """Return the outputs for all rows."""
        raise Unable("it does not predict")

    def gradient(self) -> Any:
        """Return the gradient of the loss over all rows, flat."""
        raise Unable("it has no gradients to show")


class Cbp(Backend):
    """The public API, all of its checks included."""

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        import cbp

        output, loss = {
            "softmax_ce": ("softmax", "categorical_cross_entropy"),
            "sigmoid_bce": ("sigmoid", "binary_cross_entropy"),
            "linear_quad": ("identity", "squared_error"),
            "sigmoid_quad": ("sigmoid", "squared_error"),
        }[case.head]
        rate = LEARNING_RATES[case.optimizer]
        optimizer = {
            "sgd": cbp.SGD(rate),
            "momentum": cbp.SGD(rate, momentum=MOMENTUM),
            "adam": cbp.Adam(rate, BETA_1, BETA_2, EPSILON),
        }[case.optimizer]
        self.case, self.data, self.loss = case, data, loss
        self.net = cbp.Network(
            list(case.sizes), case.activation, output, dtype=data.X.dtype, init="zeros"
        )
        self.net.parameters[...] = weights
        self.trainer = cbp.Trainer(
            self.net, loss, optimizer, batch_size=case.batch, shuffle=False, seed=0
        )
        self.out = np.empty((len(data.X), case.sizes[-1]), data.X.dtype)
        self.ask = self.net.predictor() if len(data.X) == 1 else self.net.predict
        self.orders: dict[int, Any] = {}

    def steps(self, k: int) -> int:
        if k not in self.orders:
            self.orders[k] = np.arange(k * self.case.batch) % len(self.data.X)
        self.trainer.fit(*self.data, 1, order=self.orders[k], progress=False)
        return k

    def weights(self) -> Any:
        return self.net.parameters

    def predict(self) -> Any:
        return self.ask(self.data.X, self.out)

    def gradient(self) -> Any:
        return self.net.loss_and_gradient(*self.data, self.loss)[1]


class NumPy(Backend):
    """Written by hand: flat parameters, every array preallocated, `out=` everywhere."""

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        self.case, self.X = case, data.X
        self.T = data.targets
        if case.head == "softmax_ce":
            self.T = np.eye(case.sizes[-1], dtype=data.X.dtype)[data.targets]
        self.theta = weights.copy()
        self.grad, self.first, self.second, self.scratch = (
            np.zeros_like(weights) for _ in range(4)
        )
        self.W, self.dW = blocks(self.theta, case.sizes), blocks(self.grad, case.sizes)
        n = case.batch
        self.batches = [
            (self.X[at : at + n], self.T[at : at + n]) for at in range(0, len(self.X), n)
        ]
        self.A, self.D, self.M = (
            [np.empty((n, o), data.X.dtype) for o in case.sizes[1:]] for _ in range(3)
        )
        self.row = np.empty((n, 1), data.X.dtype)
        self.place, self.t = 0, 0
        self.scale = data.X.dtype.type(1.0 / n)

    def _forward(self, x: Any) -> None:
        last = len(self.W) - 1
        for layer, (W, b) in enumerate(self.W):
            a = self.A[layer]
            np.matmul(x, W, out=a)
            a += b
            kind = self.case.head if layer == last else self.case.activation
            if kind == "relu":
                np.maximum(a, 0, out=a)
            elif kind == "tanh":
                np.tanh(a, out=a)
            elif kind == "softmax_ce":
                np.max(a, axis=1, keepdims=True, out=self.row)
                a -= self.row
                np.exp(a, out=a)
                np.sum(a, axis=1, keepdims=True, out=self.row)
                a /= self.row
            elif kind != "linear_quad":
                np.negative(a, out=a)
                np.exp(a, out=a)
                a += 1
                np.reciprocal(a, out=a)
            x = a

    def _differentiate(self, x: Any, t: Any) -> None:
        self._forward(x)
        last = len(self.W) - 1
        d = self.D[last]
        np.subtract(self.A[last], t, out=d)
        d *= self.scale
        if self.case.head == "sigmoid_quad":
            self._times_derivative(last, "sigmoid")
        for layer in range(last, -1, -1):
            d = self.D[layer]
            below = self.A[layer - 1] if layer else x
            np.matmul(below.T, d, out=self.dW[layer][0])
            np.sum(d, axis=0, out=self.dW[layer][1])
            if layer:
                np.matmul(d, self.W[layer][0].T, out=self.D[layer - 1])
                self._times_derivative(layer - 1, self.case.activation)

    def _times_derivative(self, layer: int, activation: str) -> None:
        a, d, m = self.A[layer], self.D[layer], self.M[layer]
        if activation == "relu":
            np.greater(a, 0, out=m)
        elif activation == "tanh":
            np.multiply(a, a, out=m)
            np.subtract(1, m, out=m)
        else:
            np.subtract(1, a, out=m)
            m *= a
        d *= m

    def steps(self, k: int) -> int:
        rate = LEARNING_RATES[self.case.optimizer]
        g, s = self.grad, self.scratch
        for _ in range(k):
            self._differentiate(*self.batches[self.place])
            self.place = (self.place + 1) % len(self.batches)
            if self.case.optimizer == "sgd":
                g *= rate
                self.theta -= g
            elif self.case.optimizer == "momentum":
                g *= rate
                self.first *= MOMENTUM
                self.first -= g
                self.theta += self.first
            else:
                self.t += 1
                np.multiply(g, 1 - BETA_1, out=s)
                self.first *= BETA_1
                self.first += s
                g *= g
                g *= 1 - BETA_2
                self.second *= BETA_2
                self.second += g
                np.multiply(self.second, 1 / (1 - BETA_2**self.t), out=s)
                np.sqrt(s, out=s)
                s += EPSILON / (1 - BETA_2**self.t) ** 0.5 if self.other_epsilon else EPSILON
                np.divide(self.first, s, out=s)
                s *= rate / (1 - BETA_1**self.t)
                self.theta -= s
        return k

    def weights(self) -> Any:
        return self.theta

    def predict(self) -> Any:
        self._forward(self.X)
        return self.A[-1]

    def gradient(self) -> Any:
        self._differentiate(*self.batches[0])
        return self.grad


class ScikitLearn(Backend):
    """MLPClassifier or MLPRegressor; one `fit` (warm start, no shuffling) of many epochs."""

    other_epsilon = True

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        if case.head == "sigmoid_quad":
            raise Unable("scikit-learn has no squared error on a sigmoid output")
        if case.job == "gradient":
            raise Unable("scikit-learn has no public gradient")
        warnings.simplefilter("ignore", ConvergenceWarning)
        kind = MLPRegressor if case.head == "linear_quad" else MLPClassifier
        self.model = kind(
            hidden_layer_sizes=case.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(case.activation, case.activation),
            solver="adam" if case.optimizer == "adam" else "sgd", alpha=0.0,
            batch_size=min(case.batch, len(data.X)), shuffle=False, max_iter=1, tol=0.0,
            n_iter_no_change=np.inf, warm_start=True, nesterovs_momentum=False,
            learning_rate_init=LEARNING_RATES[case.optimizer],
            momentum=MOMENTUM if case.optimizer == "momentum" else 0.0,
            beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, random_state=0,
        )  # fmt: skip
        self.data = Data(data.X, data.targets.ravel() if case.sizes[-1] == 1 else data.targets)
        if case.job == "predict":  # one pass over a few rows that hold every class
            n_classes = case.sizes[-1]
            rows = np.zeros((n_classes, case.sizes[0]), data.X.dtype)
            self.model.set_params(batch_size=n_classes).fit(rows, np.arange(n_classes))
        else:
            if case.head == "softmax_ce" and len(np.unique(data.targets)) < case.sizes[-1]:
                raise Unable("the data do not hold every class")
            self.model.fit(*self.data)
        for layer, (W, b) in enumerate(blocks(weights, case.sizes)):
            self.model.coefs_[layer] = W.copy()
            self.model.intercepts_[layer] = b.copy()
        self.n_batches = max(1, len(data.X) // case.batch)

    def steps(self, k: int) -> int:
        passes = -(-k // self.n_batches)
        self.model.max_iter = passes
        self.model.fit(*self.data)
        return passes * self.n_batches

    def weights(self) -> Any:
        pairs = zip(self.model.coefs_, self.model.intercepts_)
        return np.concatenate([array.ravel() for pair in pairs for array in pair])

    def predict(self) -> Any:
        return self.model.predict_proba(self.data.X)


class TorchEager(Backend):
    """nn.Sequential, autograd, torch.optim: what its users write."""

    variants = ("default", "fused")

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        import torch
        from torch import nn
        from torch.nn import functional

        torch.set_num_threads(self.n_threads)
        self.torch, self.case = torch, case
        hidden = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[case.activation]
        layers: list[Any] = []
        dtype = torch.float32 if data.X.dtype == np.float32 else torch.float64
        self.linear = []
        for layer, (W, b) in enumerate(blocks(weights, case.sizes)):
            linear = nn.Linear(*W.shape, dtype=dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b.copy()))
            self.linear.append(linear)
            layers += [linear] + [hidden()] * (layer < len(case.sizes) - 2)
        if case.head == "sigmoid_quad":
            layers.append(nn.Sigmoid())
        self.model = nn.Sequential(*layers)
        self.head = {"softmax_ce": nn.Softmax(1), "sigmoid_bce": nn.Sigmoid()}.get(
            case.head, nn.Identity()
        )

        def half_squares(y: Any, t: Any) -> Any:
            return functional.mse_loss(y, t, reduction="sum") * (0.5 / len(t))

        self.loss = {
            "softmax_ce": functional.cross_entropy,
            "sigmoid_bce": functional.binary_cross_entropy_with_logits,
        }.get(case.head, half_squares)
        rate, fused = LEARNING_RATES[case.optimizer], True if self.variant == "fused" else None
        if case.optimizer == "adam":
            self.optimizer: Any = torch.optim.Adam(
                self.model.parameters(), rate, (BETA_1, BETA_2), EPSILON, fused=fused
            )
        else:
            momentum = MOMENTUM if case.optimizer == "momentum" else 0.0
            self.optimizer = torch.optim.SGD(self.model.parameters(), rate, momentum, fused=fused)
        self.X, targets = torch.from_numpy(data.X), torch.from_numpy(data.targets)
        starts = range(0, len(data.X), case.batch)
        self.batches = [
            (self.X[at : at + case.batch], targets[at : at + case.batch]) for at in starts
        ]
        self.place = 0

    def steps(self, k: int) -> int:
        optimizer, model, loss, batches = self.optimizer, self.model, self.loss, self.batches
        for _ in range(k):
            x, t = batches[self.place]
            self.place = (self.place + 1) % len(batches)
            optimizer.zero_grad()
            loss(model(x), t).backward()
            optimizer.step()
        return k

    def weights(self) -> Any:
        parts = []
        for linear in self.linear:
            parts += [linear.weight.detach().numpy().T.ravel(), linear.bias.detach().numpy()]
        return np.concatenate(parts)

    def predict(self) -> Any:
        with self.torch.inference_mode():
            return self.head(self.model(self.X)).numpy()

    def gradient(self) -> Any:
        self.optimizer.zero_grad()
        x, t = self.batches[0]
        self.loss(self.model(x), t).backward()
        parts = []
        for linear in self.linear:
            parts += [linear.weight.grad.numpy().T.ravel(), linear.bias.grad.numpy()]
        return np.concatenate(parts)


class TorchByHand(Backend):
    """Forward and backward written out: flat parameters, everything preallocated, `out=`."""

    variants = ("operations", "fused")

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        import torch

        torch.set_num_threads(self.n_threads)
        torch.set_grad_enabled(False)
        if self.variant == "fused" and case.optimizer != "adam":
            raise Unable("there is nothing to fuse")
        self.torch, self.case = torch, case
        self.theta = torch.from_numpy(weights.copy())
        self.grad, self.first, self.second, self.scratch = (
            torch.zeros_like(self.theta) for _ in range(4)
        )

        def pairs(flat: Any) -> list[tuple[Any, Any]]:
            views = blocks(flat.numpy(), case.sizes)
            return [(torch.from_numpy(W), torch.from_numpy(b)) for W, b in views]

        self.W, self.dW = pairs(self.theta), pairs(self.grad)
        self.Wt = [W.t() for W, _ in self.W]
        if self.variant == "fused":
            self.parameter = torch.nn.Parameter(self.theta)
            self.parameter.grad = self.grad
            self.adam = torch.optim.Adam(
                [self.parameter], LEARNING_RATES["adam"], (BETA_1, BETA_2), EPSILON, fused=True
            )
        targets = data.targets
        if case.head == "softmax_ce":
            targets = np.eye(case.sizes[-1], dtype=data.X.dtype)[data.targets]
        self.X, T = torch.from_numpy(data.X), torch.from_numpy(targets)
        n = case.batch
        self.batches = [
            (self.X[at : at + n], self.X[at : at + n].t(), T[at : at + n])
            for at in range(0, len(data.X), n)
        ]
        self.A, self.D, self.M = (
            [torch.empty((n, o), dtype=self.X.dtype) for o in case.sizes[1:]] for _ in range(3)
        )
        self.At = [a.t() for a in self.A]
        self.one = torch.ones((), dtype=self.X.dtype)
        self.place, self.t = 0, 0

    def _forward(self, x: Any) -> None:
        torch, last = self.torch, len(self.W) - 1
        for layer, (W, b) in enumerate(self.W):
            a = self.A[layer]
            torch.addmm(b, x, W, out=a)
            kind = self.case.head if layer == last else self.case.activation
            if kind == "relu":
                a.relu_()
            elif kind == "tanh":
                a.tanh_()
            elif kind == "softmax_ce":
                torch.softmax(a, 1, out=a)
            elif kind != "linear_quad":
                a.sigmoid_()
            x = a

    def _differentiate(self, x: Any, xt: Any, t: Any) -> None:
        torch = self.torch
        self._forward(x)
        last = len(self.W) - 1
        d = self.D[last]
        torch.sub(self.A[last], t, out=d)
        d.mul_(1.0 / self.case.batch)
        if self.case.head == "sigmoid_quad":
            self._times_derivative(last, "sigmoid")
        for layer in range(last, -1, -1):
            d = self.D[layer]
            dW, db = self.dW[layer]
            torch.mm(self.At[layer - 1] if layer else xt, d, out=dW)
            torch.sum(d, 0, out=db)
            if layer:
                torch.mm(d, self.Wt[layer], out=self.D[layer - 1])
                self._times_derivative(layer - 1, self.case.activation)

    def _times_derivative(self, layer: int, activation: str) -> None:
        torch = self.torch
        a, d, m = self.A[layer], self.D[layer], self.M[layer]
        if activation == "relu":
            torch.gt(a, 0, out=m)
        elif activation == "tanh":
            torch.addcmul(self.one, a, a, value=-1, out=m)
        else:
            torch.addcmul(a, a, a, value=-1, out=m)
        d.mul_(m)

    def steps(self, k: int) -> int:
        torch, rule = self.torch, self.case.optimizer
        rate, g, s = LEARNING_RATES[rule], self.grad, self.scratch
        for _ in range(k):
            self._differentiate(*self.batches[self.place])
            self.place = (self.place + 1) % len(self.batches)
            if rule == "sgd":
                self.theta.add_(g, alpha=-rate)
            elif rule == "momentum":
                self.first.mul_(MOMENTUM).add_(g, alpha=-rate)
                self.theta.add_(self.first)
            elif self.variant == "fused":
                self.adam.step()
            else:
                self.t += 1
                self.first.lerp_(g, 1 - BETA_1)
                self.second.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
                torch.sqrt(self.second, out=s)
                s.div_((1 - BETA_2**self.t) ** 0.5).add_(EPSILON)
                self.theta.addcdiv_(self.first, s, value=-rate / (1 - BETA_1**self.t))
        return k

    def weights(self) -> Any:
        return self.theta.numpy()

    def predict(self) -> Any:
        self._forward(self.X)
        return self.A[-1].numpy()

    def gradient(self) -> Any:
        self._differentiate(*self.batches[0])
        return self.grad.numpy()


class Jax(Backend):
    """jit of lax.scan over the minibatches; gradients by jax.grad; buffers donated."""

    variants = ("scan", "scan, unrolled by 8")

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        import jax
        from jax import numpy as jnp

        jax.config.update("jax_enable_x64", data.X.dtype == np.float64)
        if case.job != "train" and self.variant != "scan":
            raise Unable("there is nothing to unroll")
        self.jax, self.case = jax, case
        rule, rate = case.optimizer, LEARNING_RATES[case.optimizer]
        activation = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[
            case.activation
        ]

        def logits(W: Any, x: Any) -> Any:
            for w, b in W[:-1]:
                x = activation(x @ w + b)
            return x @ W[-1][0] + W[-1][1]

        def loss(W: Any, x: Any, t: Any) -> Any:
            z = logits(W, x)
            if case.head == "softmax_ce":
                picked = jnp.take_along_axis(jax.nn.log_softmax(z), t[:, None], 1)
                return -picked.sum() / len(x)
            if case.head == "sigmoid_bce":
                return (jax.nn.softplus(z) - t * z).sum() / len(x)
            y = jax.nn.sigmoid(z) if case.head == "sigmoid_quad" else z
            return 0.5 * ((y - t) ** 2).sum() / len(x)

        def update(state: Any, batch: Any) -> Any:
            W, first, second, t = state
            g = jax.grad(loss)(W, *batch)
            each = jax.tree.map
            if rule == "sgd":
                W = each(lambda w, d: w - rate * d, W, g)
            elif rule == "momentum":
                first = each(lambda v, d: MOMENTUM * v - rate * d, first, g)
                W = each(lambda w, v: w + v, W, first)
            else:
                t = t + 1
                first = each(lambda m, d: BETA_1 * m + (1 - BETA_1) * d, first, g)
                second = each(lambda v, d: BETA_2 * v + (1 - BETA_2) * d * d, second, g)
                c1, c2 = 1 - BETA_1**t, 1 - BETA_2**t
                W = each(
                    lambda w, m, v: w - rate * (m / c1) / (jnp.sqrt(v / c2) + EPSILON),
                    W, first, second,
                )  # fmt: skip
            return W, first, second, t

        unroll = 8 if self.variant.endswith("8") else 1

        def run(state: Any, X: Any, T: Any, places: Any) -> Any:
            def body(state: Any, place: Any) -> Any:
                return update(state, (X[place], T[place])), None

            return jax.lax.scan(body, state, places, unroll=unroll)[0]

        def zeros() -> Any:
            return [tuple(jnp.zeros(a.shape, a.dtype) for a in pair) for pair in
                    blocks(weights, case.sizes)]  # fmt: skip

        W = [tuple(jnp.array(a) for a in pair) for pair in blocks(weights, case.sizes)]
        t = jnp.zeros((), data.X.dtype)
        stateful = {"sgd": 0, "momentum": 1, "adam": 2}[rule]
        self.state = (W, zeros() if stateful > 0 else (), zeros() if stateful > 1 else (), t)
        shape = (-1, min(case.batch, len(data.X)))
        self.X = jnp.asarray(data.X.reshape(*shape, data.X.shape[1]))
        targets = data.targets
        self.T = jnp.asarray(targets.reshape(*shape, *targets.shape[1:]))
        self.run = jax.jit(run, donate_argnums=0)
        self.differentiate = jax.jit(jax.grad(loss))
        finish = {"softmax_ce": jax.nn.softmax, "linear_quad": lambda z: z}.get(
            case.head, jax.nn.sigmoid
        )
        self.answer = jax.jit(lambda W, x: finish(logits(W, x)))
        self.rows = data.X
        self.places: dict[int, Any] = {}

    def steps(self, k: int) -> int:
        if k not in self.places:
            self.places[k] = self.jax.numpy.arange(k, dtype="int32") % len(self.X)
        self.state = self.run(self.state, self.X, self.T, self.places[k])
        self.jax.block_until_ready(self.state)
        return k

    def _flat(self, W: Any) -> Any:
        return np.concatenate([np.asarray(array).ravel() for pair in W for array in pair])

    def weights(self) -> Any:
        return self._flat(self.state[0])

    def predict(self) -> Any:
        return np.asarray(self.answer(self.state[0], self.rows))

    def gradient(self) -> Any:
        W = self.differentiate(self.state[0], self.X[0], self.T[0])
        return self.jax.block_until_ready(W)

    def gradient_flat(self, W: Any) -> Any:
        """What `gradient` returned, as the others return it."""
        return self._flat(W)


class OnnxRuntime(Backend):
    """An ONNX graph of Gemm and activations; prediction only."""

    variants = ("run", "io binding")

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        if case.job != "predict":
            raise Unable("ONNX Runtime only predicts")
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        kind = TensorProto.FLOAT if data.X.dtype == np.float32 else TensorProto.DOUBLE
        hidden = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}[case.activation]
        head = {"softmax_ce": "Softmax", "linear_quad": "Identity"}.get(case.head, "Sigmoid")
        nodes, constants, source = [], [], "x"
        pairs = blocks(weights, case.sizes)
        for layer, (W, b) in enumerate(pairs):
            constants.append(numpy_helper.from_array(W.copy(), f"W{layer}"))
            constants.append(numpy_helper.from_array(b.copy(), f"b{layer}"))
            nodes.append(
                helper.make_node("Gemm", [source, f"W{layer}", f"b{layer}"], [f"z{layer}"])
            )
            last = layer == len(pairs) - 1
            source = "y" if last else f"a{layer}"
            nodes.append(helper.make_node(head if last else hidden, [f"z{layer}"], [source]))
        graph = helper.make_graph(
            nodes, "net",
            [helper.make_tensor_value_info("x", kind, [None, case.sizes[0]])],
            [helper.make_tensor_value_info("y", kind, [None, case.sizes[-1]])],
            constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.X = data.X
        self.out = np.empty((len(data.X), case.sizes[-1]), data.X.dtype)
        self.binding = None
        if self.variant == "io binding":
            self.binding = self.session.io_binding()
            element = data.X.dtype.type
            for bind, name, array in (
                (self.binding.bind_input, "x", self.X),
                (self.binding.bind_output, "y", self.out),
            ):
                bind(name, "cpu", 0, element, array.shape, array.ctypes.data)

    def predict(self) -> Any:
        if self.binding is None:
            return self.session.run(None, {"x": self.X})[0]
        self.session.run_with_iobinding(self.binding)
        return self.out


class _Connection(ctypes.Structure):
    _fields_ = [
        ("source", ctypes.c_uint),
        ("target", ctypes.c_uint),
        ("weight", ctypes.c_float),
    ]


class _TrainData(ctypes.Structure):
    _fields_ = [
        ("errno", ctypes.c_int),
        ("log", ctypes.c_void_p),
        ("text", ctypes.c_char_p),
        ("n", ctypes.c_uint),
        ("n_inputs", ctypes.c_uint),
        ("n_outputs", ctypes.c_uint),
        ("X", ctypes.POINTER(ctypes.POINTER(ctypes.c_float))),
        ("T", ctypes.POINTER(ctypes.POINTER(ctypes.c_float))),
    ]


class Fann(Backend):
    """libfloatfann through ctypes: batch training on each minibatch, incremental for one row."""

    def prepare(self, case: Case, weights: Any, data: Data) -> None:
        if data.X.dtype != np.float32:
            raise Unable("libfloatfann works in float32")
        if (case.activation, case.head, case.optimizer) != ("sigmoid", "sigmoid_quad", "sgd"):
            raise Unable("FANN does other work: it has no such output, loss or update")
        if case.job == "gradient" or (case.job == "predict" and case.batch > 1):
            raise Unable("FANN has no such call")
        name = ctypes.util.find_library("floatfann")
        if name is None:
            raise Unable("libfloatfann is not installed")
        lib = ctypes.CDLL(name)
        pointer, floats = ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)
        for function in ("fann_create_standard_array", "fann_create_train"):
            getattr(lib, function).restype = pointer
        lib.fann_run.restype = floats
        lib.fann_run.argtypes = lib.fann_train.argtypes = None
        sizes = (ctypes.c_uint * len(case.sizes))(*case.sizes)
        net = pointer(lib.fann_create_standard_array(len(sizes), sizes))
        sigmoid, linear_error, incremental, batch = 3, 0, 0, 1  # fann_data.h's codes
        lib.fann_set_activation_function_hidden(net, sigmoid)
        lib.fann_set_activation_function_output(net, sigmoid)
        half = ctypes.c_float(0.5)  # 1 / (1 + exp(-2 s z)): this s is the plain sigmoid
        lib.fann_set_activation_steepness_hidden(net, half)
        lib.fann_set_activation_steepness_output(net, half)
        lib.fann_set_train_error_function(net, linear_error)
        lib.fann_set_training_algorithm(net, incremental if case.batch == 1 else batch)
        lib.fann_set_learning_rate(net, ctypes.c_float(LEARNING_RATES["sgd"]))
        lib.fann_set_learning_momentum(net, ctypes.c_float(0.0))
        self.lib, self.net, self.case = lib, net, case
        self.connections = (_Connection * lib.fann_get_total_connections(net))()
        self._exchange(weights.copy(), write=True)
        self.X, self.T = data
        self.training, self.rows = [], []
        for at in range(0, len(self.X), case.batch):
            n = min(case.batch, len(self.X) - at)
            made = lib.fann_create_train(n, case.sizes[0], case.sizes[-1])
            struct = ctypes.cast(made, ctypes.POINTER(_TrainData)).contents
            for row in range(n):
                np.ctypeslib.as_array(struct.X[row], (case.sizes[0],))[:] = self.X[at + row]
                np.ctypeslib.as_array(struct.T[row], (case.sizes[-1],))[:] = self.T[at + row]
            self.training.append(pointer(made))
            self.rows.append((struct.X[0], struct.T[0]))
        self.place = 0

    def _exchange(self, flat: Any, write: bool) -> None:
        """Copy `flat` into the net or the net into `flat`. A FANN layer ends with a bias neuron,
        so layer l's first neuron is the number of all units and bias neurons before it."""
        self.lib.fann_get_connection_array(self.net, self.connections)
        table = np.ctypeslib.as_array(self.connections)
        first = np.cumsum([0, *(size + 1 for size in self.case.sizes)])
        for layer, (W, b) in enumerate(blocks(flat, self.case.sizes)):
            inside = (table["target"] >= first[layer + 1]) & (table["target"] < first[layer + 2])
            source = table["source"][inside] - first[layer]
            target = table["target"][inside] - first[layer + 1]
            both = np.vstack([W, b[None]])
            if write:
                weight = table["weight"]
                weight[inside] = both[source, target]
            else:
                both[source, target] = table["weight"][inside]
                W[...], b[...] = both[:-1], both[-1]
        if write:
            self.lib.fann_set_weight_array(self.net, self.connections, len(table))

    def steps(self, k: int) -> int:
        lib, net = self.lib, self.net
        for _ in range(k):
            if self.case.batch == 1:
                lib.fann_train(net, *self.rows[self.place])
            else:
                lib.fann_train_epoch(net, self.training[self.place])
            self.place = (self.place + 1) % len(self.training)
        return k

    def weights(self) -> Any:
        flat = np.empty(self.case.n_parameters, np.float32)
        self._exchange(flat, write=False)
        return flat

    def predict(self) -> Any:
        return self.lib.fann_run(self.net, self.rows[0][0])

    def predict_array(self, answer: Any) -> Any:
        """What `predict` returned, as the others return it."""
        return np.ctypeslib.as_array(answer, (self.case.sizes[-1],))[None].copy()


BACKENDS: dict[str, type[Backend]] = {
    "cbp": Cbp,
    "numpy": NumPy,
    "sklearn": ScikitLearn,
    "torch": TorchEager,
    "torch-hand": TorchByHand,
    "jax": Jax,
    "onnxruntime": OnnxRuntime,
    "fann": Fann,
}


# ---- one backend in its own process --------------------------------------------------------


class Server:
    """Answers bench.py's requests with one backend."""

    def __init__(self, name: str, n_threads: int) -> None:
        self.kind, self.n_threads = BACKENDS[name], n_threads
        self.prepared: dict[str, tuple[Case, Backend]] = {}

    def variants(self) -> tuple[str, ...]:
        """Return the ways this backend has."""
        return self.kind.variants

    def prepare(self, case: Case, dtype: str, variant: str, n_batches: int | None) -> None:
        """Make a backend ready; a second variant stands beside the first until `keep`."""
        backend = self.kind(variant, self.n_threads)
        backend.prepare(case, initial_parameters(case, dtype), make_data(case, dtype, n_batches))
        self.prepared[variant] = case, backend

    def keep(self, variant: str | None) -> None:
        """Forget every variant but this one."""
        self.prepared = {key: kept for key, kept in self.prepared.items() if key == variant}
        gc.collect()

    def result(self, variant: str, k: int) -> Any:
        """Do the cell's work (k steps of training) and return weights, outputs or gradient."""
        case, backend = self.prepared[variant]
        if case.job == "train":
            done = backend.steps(k)
            if done != k:
                raise Unable(f"asked for {k} steps, it made {done}")
            return np.array(backend.weights())
        answer = backend.predict() if case.job == "predict" else backend.gradient()
        convert = getattr(
            backend, "predict_array" if case.job == "predict" else "gradient_flat", np.array
        )
        return convert(answer)

    def time(self, variant: str, k: int) -> tuple[float, float, int]:
        """Return wall and processor seconds of one block of k steps or calls, and the k done."""
        case, backend = self.prepared[variant]
        gc.collect()
        gc.disable()
        start_cpu, start = time.process_time(), time.perf_counter()
        if case.job == "train":
            if case.per_call:
                done = sum(backend.steps(case.per_call) for _ in range(-(-k // case.per_call)))
            else:
                done = backend.steps(k)
        else:
            call = backend.predict if case.job == "predict" else backend.gradient
            for _ in range(k):
                call()
            done = k
        wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
        gc.enable()
        return wall, cpu, done

    def peak_memory(self) -> int:
        """Return the largest resident size of this process so far, in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Serve requests (method, arguments) until stdin ends."""
    name, n_threads = sys.argv[1], int(sys.argv[2])
    requests = sys.stdin.buffer
    # What a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    server = Server(name, n_threads)
    while True:
        try:
            method, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer: Any = ("ok", getattr(server, method)(*arguments))
        except Unable as error:
            answer = ("unable", str(error))
        except ImportError as error:
            answer = ("unable", f"not installed: {error}")
        except Exception:  # told to the parent, which decides
            answer = ("failed", traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
