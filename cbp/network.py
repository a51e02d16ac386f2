"""Network: layers, their parameters, and everything that is computed without changing them.

What lives here: the parameter vector and its views, prediction, forward and backward
propagation. What must not: training. Invariant: theta = W1 | b1 | W2 | b2 | ..., W (n_inputs,
n_outputs) row-major, is one C-contiguous array that the compiled core keeps a pointer to; it is
never replaced while the network lives.
"""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _check, _runtime, _tables, initializers, losses, scaling, storage
from ._backprop import Core, Predictor
from .activations import OUTPUT_ONLY, Activation, code_of, name_of
from .activations import checked as checked_activation
from .exceptions import FormatError
from .layers import MOST_UNITS, Dense, checked_dropout
from .scaling import Scaling
from .storage import MOST_LAYERS, Architecture

__all__ = ["Forward", "Gradient", "Network", "Views", "load"]

REDUCTIONS = {"mean": 0, "sum": 1}  # the core's codes


class Forward(NamedTuple):
    """What forward propagation computes: z of layers 1 ... L, and a of layers 0 ... L.

    Attributes
    ----------
    z : list of ndarray, each (n_samples, n_outputs of its layer)
        Pre-activations.
    a : list of ndarray
        ``a[0]`` is X, ``a[l]`` the output of layer l; ``a[-1]`` is bit-equal to `predict`. Both
        are in standardised units where the network has a `scaling`.
    """

    z: list[NDArray[Any]]
    a: list[NDArray[Any]]


class Gradient(NamedTuple):
    """The loss and its derivatives, one entry a layer.

    Attributes
    ----------
    loss : float
        Without the penalty of `l2`.
    deltas : list of ndarray, each (n_samples, n_outputs of its layer)
        ∂loss/∂z, the 1/n of the mean included.
    weights : list of ndarray, each (n_inputs, n_outputs) of its layer
        ∂(loss + ½ l2 Σ W²)/∂W.
    biases : list of ndarray (n_outputs,) or None
        ∂loss/∂b; None where a layer has no biases.
    """

    loss: float
    deltas: list[NDArray[Any]]
    weights: list[NDArray[Any]]
    biases: list[NDArray[Any] | None]


class Views(Sequence[Any]):
    """The weights (or biases) of all layers: a list of writable views; assigning copies into them.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([2, 1])
    >>> net.weights[0] = [[0.5], [0.25]]
    >>> net.parameters
    array([0.5 , 0.25, 0.  ], dtype=float32)
    """

    def __init__(self, name: str, views: list[NDArray[Any] | None]) -> None:
        self._name = name
        self._views = views

    def __len__(self) -> int:
        return len(self._views)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._views)

    def __getitem__(self, layer: Any) -> Any:
        return self._views[layer if isinstance(layer, slice) else self._index(layer)]

    def _index(self, layer: Any) -> int:
        """Return the number of a layer, which may count from the end."""
        n = len(self._views)
        try:
            index = operator.index(layer)
        except TypeError:
            raise TypeError(
                f"`{self._name}[...]` takes the number of one layer, from 0 to {n - 1}, "
                f"got {_check.shown(layer)}."
            ) from None
        if not -n <= index < n:
            raise IndexError(
                f"`{self._name}[...]` takes the number of one layer, from 0 to {n - 1}, "
                f"got {_check.shown(index)}."
            )
        return index

    def __setitem__(self, layer: int, values: ArrayLike) -> None:
        index = self._index(layer)
        view, name = self._views[index], f"{self._name}[{index}]"
        if view is None:
            raise ValueError(f"`{name}` cannot be set: the layer has no biases.")
        source = _check.numeric(values, name)
        if source.shape != view.shape:
            raise ValueError(f"`{name}` must have shape {view.shape}, got {source.shape}.")
        view[...] = _check.converted(source, name, view.dtype)

    def __repr__(self) -> str:
        return repr(self._views)


class Network:
    """A fully connected feed-forward network.

    Parameters
    ----------
    sizes : list of int and Dense
        Inputs, then units of every layer, the output last: ``[784, 128, 10]``. Any entry but the
        first may be a `cbp.Dense`, which has its own say in what follows. ``[4, 1]`` has no
        hidden layer.
    activation : str or Activation, or a list of them
        Of the hidden layers: "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu",
        "gelu", "silu", "mish", "softplus", "softsign", "sin" or "hard_sigmoid" (formulas:
        docs/training.md), or a `cbp.Activation` of your own. A list names every layer's, the
        output's included.
    output_activation : str or Activation
        Of the last layer; "softmax" and "log_softmax" may stand here as well.
    bias : bool
        Whether the layers have biases.
    init : str, Normal or Uniform
        How weights start; biases start at zero. "glorot_uniform", "glorot_normal", "he_uniform",
        "he_normal", "lecun_uniform", "lecun_normal", "uniform" (±0.05), "normal" (standard
        deviation 0.05), "zeros", or an object of `cbp.initializers`. "auto": he_normal for relu,
        leaky_relu, elu, gelu, silu and mish layers, lecun_normal for selu, glorot_uniform for the
        others.
    dropout : float
        Probability that training drops an output of a hidden layer, at least 0 and below 1; see
        `cbp.Dense`.
    standardize : bool
        Whether the first `Trainer.fit` takes the means and standard deviations of its training
        rows into the network (see `scaling`), so that inputs and targets may be of any size.
    dtype : {"float32", "float64"}
        Of parameters, results and arithmetic.
    seed : int, optional
        Governs the initial weights; 0 ... 2⁶⁴ - 1. Drawn from the operating system by default,
        and readable as `seed`.

    Attributes
    ----------
    sizes : tuple of int
    layers : tuple of Dense
        One for each layer, with nothing left open.
    activations : tuple of str
        One for each layer.
    weights : Views
        ``weights[l]`` is the writable view (n_inputs, n_outputs) of layer l, counted from 0.
        ``weights[l] = A`` copies A into it.
    biases : Views
        ``biases[l]`` likewise (n_outputs,), or None without biases.
    parameters : ndarray, (n_parameters,)
        W1 | b1 | W2 | b2 ..., the writable vector that the views belong to.
    n_parameters : int
    dtype : numpy.dtype
    seed : int
    standardize : bool
    scaling : Scaling or None
        What is done to inputs and targets; may be set.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, not in its range, or not a known name.
    MemoryError
        The parameters do not fit into memory.

    Notes
    -----
    Every method takes X as (n_samples, n_inputs), or as (n_inputs,) for one row, in this way:

    =====================================  ========================================================
    bool, integers, float16 to longdouble  converted to `dtype`; any byte order
    list, memmap, matrix, DataFrame, ...   whatever `numpy.asarray` makes an array of numbers of
    strided, transposed, read-only, ...    any layout; not copied if it is a C-ordered `dtype`
    object                                 converted if it holds Python numbers alone
    masked                                 taken if nothing is masked
    NaN, infinity, values beyond `dtype`   ValueError that names the first
    complex, text, dates, records, sparse  TypeError
    0-d, 3-d, another number of columns    ValueError
    no rows                                `predict` and `forward` return no rows; else ValueError
    =====================================  ========================================================

    No argument is ever modified, and every result but the views is a fresh array. Results do not
    depend on the number of threads, and a row's not on the rows beside it. Several threads may
    use one network at once as long as none trains it.

    References
    ----------
    Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, Nature 323
    (1986) 533-536.

    Examples
    --------
    >>> import cbp
    >>> net = cbp.Network([4, 3, 2], activation="tanh", seed=1)
    >>> net.predict([[0, 1, 2, 3]]).shape
    (1, 2)
    """

    def __init__(
        self,
        sizes: Sequence[int | Dense],
        activation: str | Activation | Sequence[str | Activation] = "relu",
        output_activation: str | Activation = "identity",
        *,
        bias: bool = True,
        init: str | initializers.Normal | initializers.Uniform = "auto",
        dropout: float = 0.0,
        standardize: bool = False,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        n_inputs, layers = _layers(sizes, activation, output_activation, bias, init, dropout)
        self._build(n_inputs, layers, _check.float_type(dtype), _check.seed(seed))
        self._standardize = _check.flag(standardize, "standardize")
        for index, layer in enumerate(layers):
            assert layer.init is not None and layer.activation is not None
            W = self.weights[index]
            n_in, n_out = W.shape
            with np.errstate(over="ignore", invalid="ignore"):
                W[...] = initializers.initial_weights(
                    layer.init, self.activations[index], n_in, n_out, self.seed, index
                )
            if layer.mask is not None:
                W[np.logical_not(layer.mask)] = 0.0
            if layer.nonnegative:
                np.abs(W, out=W)
            if not _check.is_finite(W):
                raise ValueError(
                    f"`init` of layer {index + 1} must give weights that are finite in "
                    f"{W.dtype}, got {layer.init}: make it narrower."
                )

    def _build(
        self, n_inputs: int, layers: tuple[Dense, ...], dtype: np.dtype[Any], seed: int
    ) -> None:
        """Allocate the parameters, all zero, and make the core that works on them."""
        self._standardize = False
        self._scaling: Scaling | None = None
        self._n_inputs = n_inputs
        self._layers = layers
        self._sizes = (n_inputs, *(layer.n_outputs for layer in layers))
        self._activations = tuple(name_of(layer.activation) for layer in layers)
        self._dtype = dtype
        self._seed = seed
        sizes = self.sizes
        self._n_weights = sum(i * o for i, o in zip(sizes, sizes[1:]))
        n_parameters = self._n_weights + sum(lay.n_outputs for lay in layers if lay.bias)
        self._theta = parameter_like(n_parameters, dtype)
        weights, biases = _split(self._theta, sizes, layers)
        self._weights = Views("weights", list(weights))
        self._biases = Views("biases", biases)
        self._core = Core(
            self._theta,
            list(sizes),
            [code_of(layer.activation) for layer in layers],
            [bool(layer.bias) for layer in layers],
            [layer.activation for layer in layers],
        )

    # ---- what it is ---------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, then units of every layer."""
        return self._sizes

    @property
    def layers(self) -> tuple[Dense, ...]:
        """What every layer was asked to be, with nothing left open."""
        return self._layers

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of every layer."""
        return self._activations

    @property
    def weights(self) -> Views:
        """Writable views (n_inputs, n_outputs), one a layer."""
        return self._weights

    @property
    def biases(self) -> Views:
        """Writable views (n_outputs,), one a layer; None without biases."""
        return self._biases

    @property
    def parameters(self) -> NDArray[Any]:
        """The writable vector W1 | b1 | W2 | b2 ..."""
        return self._theta

    @property
    def n_parameters(self) -> int:
        """How many weights and biases there are."""
        return len(self._theta)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._dtype

    @property
    def seed(self) -> int:
        """What the initial weights were drawn from."""
        return self._seed

    @property
    def standardize(self) -> bool:
        """Whether the first fit sets `scaling`."""
        return self._standardize

    @property
    def scaling(self) -> Scaling | None:
        """How inputs and targets are standardised; None: not at all (yet).

        With one, ``forward(X).a[0]`` is (X - input_shift) / input_scale and `predict` returns
        ``a[-1] * output_scale + output_shift``; losses, deltas and gradients belong to targets
        (Y - output_shift) / output_scale, and X and Y are given as ever, in their own units.
        Setting it leaves the parameters alone. RuntimeError while the network is in use.
        """
        return self._scaling

    @scaling.setter
    def scaling(self, value: Scaling | None) -> None:
        if value is None:
            self._core.scale(None, None)
        else:
            value = scaling.checked(value, self._n_inputs, self._layers[-1].n_outputs)
            self._core.scale(scaling.input_terms(value), scaling.output_terms(value))
        self._scaling = value

    def __repr__(self) -> str:
        return (
            f"Network({list(self.sizes)}, activations={list(self.activations)}, "
            f"dtype={self._dtype.name!r}, seed={self._seed})"
        )

    def summary(self) -> str:
        """Return a table of the layers, and of what else a layer has beside its parameters.

        Examples
        --------
        >>> import cbp
        >>> print(cbp.Network([784, 30, 10], "sigmoid").summary())
        layer  inputs  outputs  activation  parameters  trainable
        1         784       30  sigmoid         23,550  yes
        2          30       10  identity           310  yes
        23,860 parameters, float32, 95,440 bytes
        """
        return _tables.of_network(self).text()

    def _repr_html_(self) -> str:
        """Return `summary` as a notebook shows it."""
        return _tables.of_network(self).html()

    def _views_of(
        self, flat: NDArray[Any]
    ) -> tuple[list[NDArray[Any]], list[NDArray[Any] | None]]:
        """Return the weights and biases in a vector like the parameters."""
        return _split(flat, self.sizes, self._layers)

    def _mask(self) -> NDArray[Any] | None:
        """Return 1 for every parameter and 0 where a mask is, like the parameters; None without."""
        if all(layer.mask is None for layer in self._layers):
            return None
        flat = parameter_like(self.n_parameters, self._dtype)
        flat.fill(1.0)
        for W, layer in zip(self._views_of(flat)[0], self._layers):
            if layer.mask is not None:
                W[...] = layer.mask
        return flat

    # ---- copies -------------------------------------------------------------------------------

    def copy(self) -> Network:
        """Return an independent network with the same layers and parameters.

        `copy.copy`, `copy.deepcopy` and `pickle` do the same.

        Raises
        ------
        RuntimeError
            The network is being trained by another thread.
        """
        twin = Network.__new__(type(self))
        twin._build(self._n_inputs, self._layers, self._dtype, self._seed)
        self._read_into(twin._theta)
        twin._standardize, twin.scaling = self._standardize, self._scaling
        return twin

    def _read_into(self, theta: NDArray[Any]) -> NDArray[Any]:
        """Copy the parameters, all of one update; RuntimeError while somebody trains them."""
        self._core.begin_reading()
        try:
            theta[...] = self._theta
        finally:
            self._core.end_reading()
        return theta

    def __copy__(self) -> Network:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "n_inputs": self._n_inputs,
            "layers": self._layers,
            "dtype": self._dtype.name,
            "seed": self._seed,
            "standardize": self._standardize,
            "scaling": self._scaling,
            "parameters": self._read_into(np.empty_like(self._theta)),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._build(state["n_inputs"], state["layers"], np.dtype(state["dtype"]), state["seed"])
        self._standardize, self.scaling = state["standardize"], state["scaling"]
        self._theta[...] = state["parameters"]

    # ---- files --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, from which `cbp.load` makes it again, to the bit.

        Parameters
        ----------
        path : str or path-like
            An old file of that name is replaced, through links, and keeps its permissions.

        Raises
        ------
        TypeError, ValueError
            `path` is no name of a file, or a layer has an activation of your own, which is code.
        OSError
            The file cannot be written; an old one is as it was.
        RuntimeError
            The network is being trained by another thread.

        Notes
        -----
        A safetensors file, which any reader of that format opens: tensors "layers.0.weight"
        (n_inputs, n_outputs), "layers.0.bias", ..., and a checksum. The same network gives the
        same bytes. The file is complete and on the disk before it gets its name, so that neither
        a killed process nor a full disk can leave a broken one. docs/format.md describes it.
        """
        architecture, arrays = self._parts()
        storage.write(path, "network", {"network": architecture.said()}, arrays)

    def _parts(self) -> tuple[Architecture, dict[str, NDArray[Any]]]:
        """Return what a file holds of the network; the arrays are a copy."""
        theta = self._read_into(np.empty_like(self._theta))
        weights, biases = _split(theta, self.sizes, self._layers)
        arrays = {f"layers.{index}.weight": W for index, W in enumerate(weights)}
        arrays |= {f"layers.{index}.bias": b for index, b in enumerate(biases) if b is not None}
        if self._scaling is not None:
            arrays |= {f"scaling.{name}": a for name, a in self._scaling._asdict().items()}
        masks = {k: np.asarray(layer.mask, np.uint8) for k, layer in enumerate(self._layers)
                 if layer.mask is not None}  # fmt: skip
        arrays |= {f"layers.{k}.mask": mask for k, mask in masks.items()}
        return Architecture(
            self._n_inputs, self._layers, self._dtype, self._seed, self._standardize,
            self._scaling is not None, tuple(masks),
        ), arrays  # fmt: skip

    # ---- forward ------------------------------------------------------------------------------

    def predict(
        self, X: ArrayLike, out: NDArray[Any] | None = None, *, n_threads: int | str | None = None
    ) -> NDArray[Any]:
        """Return the outputs for X, after the output activation.

        Parameters
        ----------
        X : array_like, (n_samples, n_inputs) or (n_inputs,)
            Copied only if it is not a C-ordered array of the network's dtype.
        out : ndarray, (n_samples, n_outputs), optional
            Where to write the outputs: C-ordered, of the network's dtype, apart from X and
            the parameters.
        n_threads : int, optional
            The most threads that run: as many as the work pays for, and the machine allows by
            default.

        Returns
        -------
        ndarray, (n_samples, n_outputs)
            A fresh array, or `out`. One row in gives one row out, (1, n_outputs).

        Raises
        ------
        TypeError, ValueError
            X is not finite numbers with n_inputs columns (see the class), or `out` does not fit.
            Where X is not finite, some rows of `out` may be written.
        RuntimeError
            The network is being trained by another thread.
        """
        X = _check.rows(X, self._n_inputs, self._dtype, one_row=True, typed=True, unseen=True)
        shape = (len(X), self._layers[-1].n_outputs)
        if out is None:
            out = np.empty(shape, self._dtype)
        else:
            _check_out(out, shape, self._dtype, X)
            if np.may_share_memory(out, self._theta):
                raise ValueError("`out` must not share memory with the network's parameters.")
        if not self._core.predict(X, out, self._threads(n_threads, 2e-6 * len(X))):
            _check.name_culprit(X, X, "X")
        return out

    def __call__(self, X: ArrayLike) -> NDArray[Any]:
        """Return the outputs for X: see `predict`."""
        return self.predict(X)

    def predictor(self) -> Predictor:
        """Return a function of one row, for loops that ask for one row after another.

        Returns
        -------
        callable (x, out=None) -> ndarray
            ``f(x)`` are the outputs for one row: (n_outputs,) for x of shape (n_inputs,),
            (1, n_outputs) for (1, n_inputs); a fresh array, or `out`. It sees every later change
            of the parameters.

        Notes
        -----
        The bits are those of `predict`. About a microsecond is saved on a C-ordered row of the
        network's dtype: the checks (width, finite values) are compiled. Anything else is handed
        to `predict`, with what it accepts and refuses.

        Examples
        --------
        >>> import cbp, numpy as np
        >>> net = cbp.Network([2, 3, 1], seed=1)
        >>> f = net.predictor()
        >>> x = np.array([0.5, -1.0], dtype=np.float32)
        >>> bool(f(x)[0] == net.predict(x)[0, 0])
        True
        """
        return Predictor(self._core, self._dtype.char, self._predict_row)

    def _predict_row(self, x: Any, out: NDArray[Any] | None) -> NDArray[Any]:
        """Return the outputs for what the predictor does not take itself."""
        X = _check.numeric(x, "X")
        if X.ndim != 1:
            return self.predict(X, out)
        if not isinstance(out, np.ndarray):
            return self.predict(X, out)[0]
        if out.shape != (self._layers[-1].n_outputs,):
            # X comes first, as in `predict`.
            _check.rows(X, self._n_inputs, self._dtype, one_row=True)
            raise ValueError(
                f"`out` must have shape ({self._layers[-1].n_outputs},) for one row of shape "
                f"({self._n_inputs},), got {out.shape}."
            )
        self.predict(X, out[np.newaxis])
        return out

    def forward(self, X: ArrayLike, *, n_threads: int | str | None = None) -> Forward:
        """Return every layer's pre-activation z and activation a.

        Parameters
        ----------
        X : array_like, (n_samples, n_inputs) or (n_inputs,)
        n_threads : int, optional
            The most threads that run: as many as the work pays for, and the machine allows by
            default.

        Returns
        -------
        Forward
            Fresh arrays; ``a[0]`` is a copy of X, ``a[-1]`` is bit-equal to `predict`; both in
            standardised units where the network has a `scaling`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `predict`.

        Examples
        --------
        >>> import cbp
        >>> net = cbp.Network([2, 3, 1])
        >>> [z.shape for z in net.forward([[1.0, 2.0]]).z]
        [(1, 3), (1, 1)]
        """
        rows = np.array(_check.rows(X, self._n_inputs, self._dtype, one_row=True))
        z, a = self._like_outputs(len(rows)), self._like_outputs(len(rows))
        self._core.forward(rows, z, a, self._threads(n_threads, 2e-6 * len(rows)))
        if self._scaling is not None:
            shift, scale = self._scaling.input_shift, self._scaling.input_scale
            rows = scaling.standardised(rows, shift, scale, self._dtype)
        return Forward(z, [rows, *a])

    # ---- backward -----------------------------------------------------------------------------

    def gradient(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        loss: str | losses.Loss = "auto",
        *,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        n_threads: int | str | None = None,
    ) -> Gradient:
        """Return the loss and its derivative with respect to every z, weight and bias.

        Parameters
        ----------
        X : array_like, (n_samples, n_inputs) or (n_inputs,)
        Y : array_like
            Targets (n_samples, n_outputs), or (n_samples,) for one output; integer labels
            (n_samples,) for a softmax output.
        loss : str or loss object
            A name or an object as `Trainer` takes it, ``cbp.SquaredError(reduction="sum")`` for
            instance. "auto": the cross-entropy of a softmax, log_softmax or sigmoid output, else
            squared error.
        sample_weight : array_like, (n_samples,), optional
            How much each row counts, at least 0; 1 by default.
        l2 : float
            Adds l2 W to the gradient of the weights (not of the biases).
        n_threads : int, optional
            The most threads that run: as many as the work pays for, and the machine allows by
            default.

        Returns
        -------
        Gradient
            Fresh arrays. Frozen layers have their gradients too.

        Raises
        ------
        TypeError, ValueError
            X, Y or `sample_weight` is not finite numbers of the right shape and range, or the
            loss does not go with the output activation.
        RuntimeError
            The network is being trained by another thread.

        References
        ----------
        Rumelhart, Hinton & Williams, Nature 323 (1986), eqs. 3 to 7.

        Examples
        --------
        >>> import cbp
        >>> net = cbp.Network([1, 1], dtype="float64")
        >>> net.weights[0] = [[2.0]]
        >>> net.gradient([[3.0]], [5.0]).weights
        [array([[3.]])]
        """
        flat = parameter_like(self.n_parameters, self._dtype)
        value, deltas = self._differentiate(X, Y, loss, sample_weight, l2, n_threads, flat, True)
        return Gradient(value, deltas, *_split(flat, self.sizes, self._layers))

    def loss_and_gradient(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        loss: str | losses.Loss = "auto",
        *,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        n_threads: int | str | None = None,
    ) -> tuple[float, NDArray[Any]]:
        """Return the objective and its gradient as one vector, for SciPy and the like.

        Parameters
        ----------
        X, Y, loss, sample_weight, l2, n_threads
            As in `gradient`.

        Returns
        -------
        objective : float
            The loss, plus the penalty ½ l2 Σ W² whose gradient is in the vector.
        gradient : ndarray, (n_parameters,)
            In the order of `parameters`.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As in `gradient`.
        """
        flat = parameter_like(self.n_parameters, self._dtype)
        value, _ = self._differentiate(X, Y, loss, sample_weight, l2, n_threads, flat, False)
        if l2:
            value += 0.5 * l2 * sum(_runtime.square_sum(W.ravel()) for W in self._weights)
        return value, flat

    def _differentiate(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        loss: str | losses.Loss,
        sample_weight: ArrayLike | None,
        l2: float,
        n_threads: int | str | None,
        flat: NDArray[Any],
        wants_deltas: bool,
    ) -> tuple[float, list[NDArray[Any]]]:
        """Fill `flat` with the gradient; return the loss and the deltas, if wanted."""
        loss = losses.checked(loss, self.activations[-1], self.sizes[-1])
        l2 = _check.number(l2, "l2", least=0.0)
        X = _check.rows(X, self._n_inputs, self._dtype, one_row=True, least=1)
        values, labels = self._targets(loss, Y, len(X))
        weight = None if sample_weight is None else _check.row_weights(sample_weight, len(X))
        deltas = self._like_outputs(len(X)) if wants_deltas else []
        value, _ = self._core.gradient(
            X,
            values,
            labels,
            weight,
            loss.objective(self.activations[-1]),
            REDUCTIONS[loss.reduction],
            l2,
            flat,
            deltas if wants_deltas else None,
            self._threads(n_threads, 6e-6 * len(X)),
        )
        return value, deltas

    def _targets(self, loss: losses.Loss, Y: ArrayLike, n_rows: int) -> losses.Targets:
        """Return checked targets as the core takes them: standardised where the outputs are."""
        n_outputs = self._layers[-1].n_outputs
        if self._scaling is None or not self._scaling.moves_outputs:
            return loss.targets(Y, n_rows, n_outputs, self._dtype, self.activations[-1])
        if not scaling.moves_targets(loss.name, self.activations[-1]):
            raise ValueError(
                f"`loss` {loss.name} does not go with a network whose targets are standardised: "
                "set `net.scaling` to one with `output_shift` 0 and `output_scale` 1."
            )
        output = self.activations[-1]
        values = loss.targets(Y, n_rows, n_outputs, np.dtype(np.float64), output).values
        assert values is not None
        each = n_outputs // values.shape[1]
        shift, scale = self._scaling.output_shift[::each], self._scaling.output_scale[::each]
        values = scaling.standardised(values, shift, scale, self._dtype)
        return losses.Targets(values, None)

    def _in_own_units(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return targets that `_targets` gave in the units they came in."""
        if self._scaling is None or not self._scaling.moves_outputs:
            return values
        each = self._layers[-1].n_outputs // values.shape[1]
        shift, scale = self._scaling.output_shift[::each], self._scaling.output_scale[::each]
        return scaling.restored(values, shift, scale)

    def _prepare(
        self, loss: losses.Loss, X: ArrayLike, Y: ArrayLike, which: NDArray[np.intp] | None = None
    ) -> bool:
        """Set the scaling from training rows, or warn where there should be one; whether set."""
        rows, n_outputs = _check.numeric(X, "X"), self._layers[-1].n_outputs
        targets, free = None, scaling.moves_targets(loss.name, self.activations[-1])
        if free or loss.name == "gaussian_nll":
            targets = loss.targets(
                Y, len(rows), n_outputs, np.dtype(np.float64), self.activations[-1]
            ).values
        if self._standardize:
            self.scaling = scaling.fitted(rows, targets if free else None, n_outputs, which)
        if not self._standardize or not free:
            scaling.warn(None if self._standardize else rows, targets, free)
        return self._standardize

    # ---- small helpers ------------------------------------------------------------------------

    def _threads(self, n_threads: int | str | None, mflop_per_weight: float) -> int:
        """Return how many threads a call uses."""
        mflop = mflop_per_weight * self._n_weights
        return _runtime.threads_for(mflop, _check.threads(n_threads))

    def _like_outputs(self, n_rows: int) -> list[NDArray[Any]]:
        """Return an array (n_rows, n_outputs) for every layer."""
        return [np.empty((n_rows, layer.n_outputs), self._dtype) for layer in self._layers]


def load(path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Network:
    """Return the network that `Network.save` wrote to a file.

    Parameters
    ----------
    path : str or path-like
    allow_nonfinite : bool
        Whether parameters may be infinite or NaN.

    Returns
    -------
    Network
        With the bits of the saved one.

    Raises
    ------
    FormatError
        The file is not one that `Network.save` wrote, or was damaged or changed since.
    OSError
        There is no such file, or it cannot be read.

    Notes
    -----
    Nothing in the file can run code or name another file. It is read strictly: whatever is not
    exactly as cbp writes it is refused, before any memory is taken for it.

    Examples
    --------
    >>> import cbp, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
    >>> cbp.Network([2, 3, 1], "tanh", seed=1).save(path)
    >>> cbp.load(path)
    Network([2, 3, 1], activations=['tanh', 'identity'], dtype='float32', seed=1)
    """
    _check.flag(allow_nonfinite, "allow_nonfinite")
    with storage.opened(path, "network", ("network",)) as file:
        architecture = Architecture.heard(file.sections["network"])
        arrays = file.arrays(architecture.tensors())
        if not allow_nonfinite:
            storage.check_finite(arrays)
        return from_parts(architecture, arrays)


def from_parts(architecture: Architecture, arrays: Mapping[str, NDArray[Any]]) -> Network:
    """Return the network of a file; ValueError where its layers do not go together."""
    n_inputs, layers, dtype, seed, standardize, scaled, masked = architecture
    for k in masked:
        mask = arrays[f"layers.{k}.mask"]
        if mask.max() > 1:
            raise FormatError(f"layers.{k}.mask holds other numbers than 0 and 1")
        layers = (*layers[:k], dataclasses.replace(layers[k], mask=mask == 1), *layers[k + 1 :])
    _layers([n_inputs, *layers], "identity", "identity", True, "auto", 0.0)
    net = Network.__new__(Network)
    net._build(n_inputs, layers, dtype, seed)
    for index in range(len(layers)):
        net.weights[index][...] = arrays[f"layers.{index}.weight"]
        if layers[index].bias:
            net.biases[index][...] = arrays[f"layers.{index}.bias"]
    net._standardize = standardize
    if scaled:
        net.scaling = Scaling(*(arrays[f"scaling.{name}"] for name in Scaling._fields))
    return net


def parameter_like(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return n zeros that begin on a cache line and have 16 readable zeros behind them."""
    spare = 64 // dtype.itemsize
    whole = np.zeros(n + 16 + spare, dtype)
    first = -whole.ctypes.data % 64 // dtype.itemsize
    return whole[first : first + n]


def _split(
    flat: NDArray[Any], sizes: Sequence[int], layers: Iterable[Dense]
) -> tuple[list[NDArray[Any]], list[NDArray[Any] | None]]:
    """Return the views of a vector like the parameters: weights and biases of every layer."""
    weights: list[NDArray[Any]] = []
    biases: list[NDArray[Any] | None] = []
    at = 0
    for i, o, layer in zip(sizes, sizes[1:], layers):
        weights.append(flat[at : at + i * o].reshape(i, o))
        at += i * o
        biases.append(flat[at : at + o] if layer.bias else None)
        at += o if layer.bias else 0
    return weights, biases


def _check_out(out: Any, shape: tuple[int, int], dtype: np.dtype[Any], X: NDArray[Any]) -> None:
    """Refuse an `out` that the core could not write to."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"`out` must be an array, got {type(out).__name__}.")
    if out.shape != shape:
        raise ValueError(f"`out` must have shape {shape}, got {out.shape}.")
    if out.dtype != dtype:
        raise ValueError(f"`out` must have the network's dtype {dtype.name}, got {out.dtype}.")
    if not out.flags.carray:
        raise ValueError("`out` must be C-contiguous, aligned and writable: use `np.empty`.")
    if np.may_share_memory(out, X):
        raise ValueError("`out` must not share memory with `X`.")


def _layers(
    sizes: Any, activation: Any, output_activation: Any, bias: Any, init: Any, dropout: Any
) -> tuple[int, tuple[Dense, ...]]:
    """Return the number of inputs, and the layers with nothing left open."""
    if not isinstance(sizes, (list, tuple, np.ndarray)):
        raise TypeError(f"`sizes` must be a list of integers, got {type(sizes).__name__}.")
    n_layers = len(sizes) - 1
    if n_layers < 1:
        raise ValueError(
            "`sizes` must name the inputs and at least one layer, as in [784, 10], "
            f"got {_check.count(len(sizes), 'entry').replace('entrys', 'entries')}."
        )
    if n_layers > MOST_LAYERS:
        raise ValueError(f"`sizes` must have at most {MOST_LAYERS} layers, got {n_layers}.")
    if isinstance(sizes[0], Dense):
        raise TypeError("`sizes[0]` must be an integer, the number of inputs, got a Dense.")
    n_inputs = _check.integer(sizes[0], "sizes[0]", 1, MOST_UNITS)
    bias, init = _check.flag(bias, "bias"), initializers.checked(init)
    dropout = checked_dropout(dropout)
    names = _activation_names(activation, output_activation, n_layers)
    layers: list[Dense] = []
    for index, (entry, name) in enumerate(zip(sizes[1:], names)):
        if not isinstance(entry, Dense):
            entry = Dense(_check.integer(entry, f"sizes[{index + 1}]", 1, MOST_UNITS))
        is_output = index == n_layers - 1
        if is_output and entry.dropout:
            raise ValueError("`dropout` must not be set for the output layer: give it to others.")
        default = 0.0 if is_output else dropout
        layer = replace(
            entry,
            n_outputs=int(entry.n_outputs),
            activation=entry.activation or name,
            bias=bias if entry.bias is None else bool(entry.bias),
            init=init if entry.init is None else entry.init,
            dropout=default if entry.dropout is None else float(entry.dropout),
        )
        n_in = n_inputs if index == 0 else layers[-1].n_outputs
        if layer.mask is not None and len(np.asarray(layer.mask)) != n_in:
            raise ValueError(
                f"`mask` of layer {index + 1} must have {n_in} rows (the layer's inputs), "
                f"got {len(np.asarray(layer.mask))}."
            )
        if layer.activation in OUTPUT_ONLY and index < n_layers - 1:
            raise ValueError(
                f"`activation` of layer {index + 1} must not be {layer.activation}, which is for "
                f"the output: set `output_activation={layer.activation!r}`."
            )
        if layer.activation in OUTPUT_ONLY and layer.n_outputs == 1:
            raise ValueError(
                f"A {layer.activation} output must have at least 2 units, got 1: use sigmoid."
            )
        if layer.trainable == "biases" and not layer.bias:
            raise ValueError(
                f"`trainable` of layer {index + 1} must not be 'biases': the layer has none."
            )
        layers.append(layer)
    _check_memory(n_inputs, layers)
    return n_inputs, tuple(layers)


def _activation_names(
    activation: Any, output_activation: Any, n_layers: int
) -> list[str | Activation]:
    """Return a name, or an activation of the user's, for each layer."""
    output = checked_activation(output_activation, "output_activation")
    if not isinstance(activation, (list, tuple)):
        return [checked_activation(activation, "activation")] * (n_layers - 1) + [output]
    names = [
        checked_activation(name, f"activation[{index}]")
        for index, name in enumerate(activation)
    ]
    if len(names) != n_layers:
        raise ValueError(
            f"`activation` must name {_check.count(n_layers, 'layer')}, the output included, "
            f"got {len(names)}."
        )
    if output not in ("identity", names[-1]):
        raise ValueError(
            f"`activation` ends with {names[-1]!r} but `output_activation` is {output!r}: "
            "give one of them."
        )
    return names


def _check_memory(n_inputs: int, layers: Iterable[Dense]) -> None:
    """Refuse a network larger than the machine's memory before anything is allocated."""
    total, i = 0, n_inputs
    for layer in layers:
        total += (i + 1) * layer.n_outputs
        i = layer.n_outputs
    memory = _check.memory_bytes()
    if 4 * total > memory:
        raise MemoryError(
            f"The network's {total:,} parameters need more than the {memory / 1e9:.0f} GB of this "
            "machine: make its layers smaller."
        )
