"""cbp: compiled back-propagation. Trains and runs fully connected networks on CPUs.

>>> import cbp
>>> net = cbp.Network([2, 8, 1], "tanh", "sigmoid", seed=1)
>>> trainer = cbp.Trainer(net, optimizer=cbp.Adam(0.05), seed=1)
>>> history = trainer.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=200)
>>> net.predict([[1, 0]]).round()
array([[1.]], dtype=float32)
"""

from typing import TYPE_CHECKING

from ._load import show_config  # first: it loads the runtime
from . import initializers, metrics, reference  # isort: skip
from .activations import Activation
from .callbacks import Callback
from .exceptions import DivergenceError, FormatError, ScalingWarning
from .history import History
from .layers import Dense
from .losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    CustomLoss,
    Focal,
    GaussianNLL,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
    one_hot,
)
from .network import Forward, Gradient, Network, load
from .optimizers import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop, Rprop
from .scaling import Scaling
from .schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Step,
)
from .trainer import Trainer

if TYPE_CHECKING:
    from .diagnostics import Diagnostics
    from .loggers import CSVLogger, JSONLLogger, TensorBoard

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AbsoluteError",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "CategoricalCrossEntropy",
    "Constant",
    "Cosine",
    "CustomLoss",
    "Dense",
    "Diagnostics",
    "DivergenceError",
    "Exponential",
    "Focal",
    "FormatError",
    "Forward",
    "GaussianNLL",
    "Gradient",
    "History",
    "Huber",
    "InverseScaling",
    "JSONLLogger",
    "Lion",
    "Nadam",
    "Network",
    "OneCycle",
    "Poisson",
    "Quantile",
    "RMSprop",
    "ReduceOnPlateau",
    "Rprop",
    "Scaling",
    "ScalingWarning",
    "SquaredError",
    "Step",
    "TensorBoard",
    "Trainer",
    "initializers",
    "load",
    "metrics",
    "one_hot",
    "reference",
    "show_config",
]

_ROOMS = frozenset({"datasets", "explain"})  # opened by their first use, so that `import cbp` stays light
_INSIDE = {
    "CSVLogger": "loggers",
    "Diagnostics": "diagnostics",
    "JSONLLogger": "loggers",
    "TensorBoard": "loggers",
}


def __getattr__(name: str) -> object:
    if name in _ROOMS or name in _INSIDE:
        from importlib import import_module

        room = import_module(f"{__name__}.{_INSIDE.get(name, name)}")
        return getattr(room, name) if name in _INSIDE else room
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
