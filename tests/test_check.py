"""Bad input ends in one clear sentence, good input of any kind in the same bits.

What lives here: the table of refusals, word for word, and the table of accepted kinds.
"""

import datetime
import decimal
import fractions
import pickle
import re

import numpy as np
import pytest

import cbp
from cbp import _check
from cbp.metrics import accuracy, r2

NAN, INF = float("nan"), float("inf")
X = np.zeros((5, 3), dtype=np.float32)
Y = np.zeros((5, 2), dtype=np.float32)


def net(output="identity", sizes=(3, 2), **options):
    return cbp.Network(list(sizes), output_activation=output, seed=0, **options)


def trainer(output="identity", **options):
    return cbp.Trainer(net(output), seed=0, **options)


def with_value(value, dtype=np.float64):
    bad = np.zeros((5, 3), dtype=dtype)
    bad[3, 1] = value
    return bad


def predict_into_parameters(network):
    return network.predict(X[:1], network.parameters[:2].reshape(1, 2))


class Sparse:
    """Looks like a matrix of scipy.sparse."""

    nnz = 0

    def toarray(self):
        raise AssertionError("must not be called")


MASKED = np.ma.masked_array(X, mask=np.eye(5, 3))
RECORDS = np.zeros(5, dtype=[("a", "f4"), ("b", "f4"), ("c", "f4")])
DATES = np.zeros((5, 3), dtype="datetime64[s]")

BAD_X = [
    ("width", np.zeros((5, 4)), ValueError,
     "`X` must have 3 columns (the network's inputs), got 4."),
    ("empty columns", np.zeros((5, 0)), ValueError,
     "`X` must have 3 columns (the network's inputs), got 0."),
    ("one wide row", np.zeros(4), ValueError,
     "`X` must have 3 columns (the network's inputs), got 4."),
    ("0-d", np.float32(1), ValueError,
     "`X` must be 2-d, (n_samples, 3), got a single number."),
    ("3-d", np.zeros((5, 3, 1)), ValueError,
     "`X` must be 2-d, (n_samples, 3), got 3-d of shape (5, 3, 1): `X.reshape(len(X), -1)` makes "
     "each a row."),
    ("3-d of other sizes", np.zeros((5, 2, 2)), ValueError,
     "`X` must be 2-d, (n_samples, 3), got 3-d of shape (5, 2, 2)."),
    ("nan", with_value(NAN), ValueError,
     "`X` must be finite, got nan in row 3, column 1: remove or replace such values."),
    ("nan as float32", with_value(NAN, np.float32), ValueError,
     "`X` must be finite, got nan in row 3, column 1: remove or replace such values."),
    ("inf", with_value(-INF), ValueError,
     "`X` must be finite, got -inf in row 3, column 1: remove or replace such values."),
    ("inf and -inf", [[INF, -INF, 0]], ValueError,
     "`X` must be finite, got inf in row 0, column 0: remove or replace such values."),
    ("beyond float32", with_value(1e39), ValueError,
     "`X` must fit float32, got 1e+39 in row 3, column 1: scale it down or use "
     "`dtype='float64'`."),
    ("strings", [["1", "2", "3"]], TypeError,
     "`X` must hold numbers, got strings, the first in row 0, column 0: convert them to numbers "
     "first."),
    ("one string", [[1, 2, 3], [1, "2", 3]], TypeError,
     "`X` must hold numbers, got strings, the first in row 1, column 1: convert them to numbers "
     "first."),
    ("bytes", np.array([[b"1", b"2", b"3"]]), TypeError,
     "`X` must hold numbers, got strings, the first in row 0, column 0: convert them to numbers "
     "first."),
    ("string objects", np.array([["1", "2", "3"]], dtype=object), TypeError,
     "`X` must hold numbers, got str in row 0, column 0: convert such values to numbers first."),
    ("complex", with_value(1j, complex), TypeError, "`X` must hold numbers, got complex numbers."),
    ("masked", MASKED, ValueError,
     "`X` has masked values: replace them first, as with `X.filled(0.0)`."),
    ("None", None, TypeError, "`X` must be an array of numbers, got NoneType."),
    ("dict", {}, TypeError, "`X` must be an array of numbers, got dict."),
    ("object", [[1, 2, 3], [1, 2, None]], TypeError,
     "`X` must hold numbers, got NoneType in row 1, column 2: remove or replace such values."),
    ("signaling nan", [[decimal.Decimal("sNaN"), 2, 3]], ValueError,
     "`X` must be finite, got sNaN in row 0, column 0: remove or replace such values."),
    ("ragged", [[1, 2, 3], [1, 2]], ValueError,
     "`X` must be a rectangular array of numbers, got rows of different lengths."),
    ("large integer", [[1, 2, 10**400]], ValueError,
     "`X` holds an integer too large for float64."),
    ("dates", DATES, TypeError, "`X` must hold numbers, got dates."),
    ("date objects", [[datetime.date(1986, 10, 9)] * 3], TypeError,
     "`X` must hold numbers, got date in row 0, column 0: convert such values to numbers first."),
    ("time differences", DATES - DATES, TypeError, "`X` must hold numbers, got time differences."),
    ("structured", RECORDS, TypeError, "`X` must hold numbers, got a structured array."),
    ("sparse", Sparse(), TypeError, "`X` is a sparse matrix: pass `X.toarray()`."),
]  # fmt: skip


@pytest.mark.parametrize("bad, error, sentence", [row[1:] for row in BAD_X],
                         ids=[row[0] for row in BAD_X])
def test_bad_inputs(bad, error, sentence):
    """Every method that takes X refuses it with the same sentence."""
    network, run = net(), trainer()
    calls = [network.predict, network, network.forward, lambda x: network.gradient(x, Y),
             lambda x: network.loss_and_gradient(x, Y)]
    if np.ndim(bad if sentence.startswith("`X` must have 3") else X) == 2:
        calls += [lambda x: run.fit(x, Y, 1), lambda x: run.train_on_batch(x, Y),
                  lambda x: run.evaluate(x, Y)]
    for call in calls:
        with pytest.raises(error, match="^" + re.escape(sentence) + "$"):
            call(bad)


BAD_Y = [
    ("rows", "identity", np.zeros((4, 2)), ValueError,
     "`Y` must have 5 rows (as `X` has), got 4."),
    ("columns", "identity", np.zeros((5, 3)), ValueError,
     "`Y` must have 2 columns (the network's outputs), got 3."),
    ("1-d", "identity", np.zeros(5), ValueError,
     "`Y` must have shape (5, 2), one column for each output of the network, got (5,)."),
    ("3-d", "identity", np.zeros((5, 2, 1)), ValueError,
     "`Y` must have shape (5, 2), one column for each output of the network, got (5, 2, 1)."),
    ("labels for squared error", "identity", np.zeros(5, dtype=int), ValueError,
     "`Y` must have shape (n_samples, 2) for squared error, got integer labels of shape (5,): "
     "pass `cbp.one_hot(Y, 2)`."),
    ("labels for binary", "sigmoid", [0, 1, 0, 1, 0], ValueError,
     "`Y` must have shape (n_samples, 2) for binary cross-entropy, got integer labels of shape "
     "(5,): pass `cbp.one_hot(Y, 2)`."),
    ("nan", "identity", [[0, 0], [0, NAN], [0, 0], [0, 0], [0, 0]], ValueError,
     "`Y` must be finite, got nan in row 1, column 1: remove or replace such values, or give the "
     "loss mask_nan=True."),
    ("strings", "softmax", list("abcde"), TypeError,
     "`Y` must hold numbers, got strings, the first in row 0: convert them to numbers first, as "
     "`numpy.unique(Y, return_inverse=True)[1]` does for classes."),
    ("names", "softmax", np.array(list("abcde"), dtype=object), TypeError,
     "`Y` must hold numbers, got str in row 0: convert such values to numbers first, as "
     "`numpy.unique(Y, return_inverse=True)[1]` does for classes."),
    ("binary range", "sigmoid", [[0, 1], [0, 1], [0, -1], [0, 1], [0, 1]], ValueError,
     "`Y` must lie in [0, 1] for binary cross-entropy, got -1.0 in row 2, column 1: write the two "
     "classes as 0 and 1."),
    ("label range", "softmax", [0, 1, 0, 2, 0], ValueError,
     "`Y` must hold labels from 0 to 1, got 2 in row 3."),
    ("negative label", "softmax", [0, -1, 0, 1, 0], ValueError,
     "`Y` must hold labels from 0 to 1, got -1 in row 1."),
    ("huge label", "softmax", np.array([0, 0, 0, 0, 2**64 - 1], dtype=np.uint64), ValueError,
     "`Y` must hold labels from 0 to 1, got 18446744073709551615 in row 4."),
    ("label rows", "softmax", [0, 1], ValueError, "`Y` must have 5 rows (as `X` has), got 2."),
    ("float labels", "softmax", [0.0, 1.0, 0.0, 1.0, 0.0], TypeError,
     "`Y` must hold integer labels, got float64: pass `Y.astype(int)` if they are class numbers."),
    ("column of labels", "softmax", [[0], [1], [0], [1], [0]], ValueError,
     "`Y` must hold labels of shape (5,) or have 2 columns, got (5, 1): pass `Y.ravel()`."),
    ("probability range", "softmax", [[2, -1]] * 5, ValueError,
     "`Y` must lie in [0, 1] for categorical cross-entropy, got 2.0 in row 0, column 0: pass "
     "integer labels or rows of probabilities."),
    ("probability sum", "softmax", [[0, 1], [0.5, 0.25], [0, 1], [0, 1], [0, 1]], ValueError,
     "`Y` must have rows that add up to 1 for categorical cross-entropy, got 0.75 in row 1: "
     "divide each row by its sum."),
    ("masked", "identity", np.ma.masked_array(Y, mask=np.eye(5, 2)), ValueError,
     "`Y` has masked values: replace them first, as with `Y.filled(0.0)`."),
]  # fmt: skip


@pytest.mark.parametrize("output, bad, error, sentence", [row[1:] for row in BAD_Y],
                         ids=[row[0] for row in BAD_Y])
def test_bad_targets(output, bad, error, sentence):
    """gradient, fit, train_on_batch and evaluate refuse targets with the same sentence."""
    network, run = net(output), trainer(output)
    for call in (lambda: network.gradient(X, bad), lambda: run.fit(X, bad, 1),
                 lambda: run.train_on_batch(X, bad), lambda: run.evaluate(X, bad)):
        with pytest.raises(error, match="^" + re.escape(sentence) + "$"):
            call()


WEIGHTS = [
    ([1, 1], "`sample_weight` must have shape (5,), one weight for each row, got (2,)."),
    ([[1]] * 5, "`sample_weight` must have shape (5,), one weight for each row, got (5, 1)."),
    ([1, 1, -1, 1, 1], "`sample_weight` must not be negative, got -1.0 in row 2."),
    ([1, 1, NAN, 1, 1], "`sample_weight` must be finite, got nan in row 2: remove or replace such "
                        "values."),
    ([1e308] * 5, "`sample_weight` must have a finite sum: divide the weights by the largest."),
]  # fmt: skip


@pytest.mark.parametrize("weight, sentence", WEIGHTS)
def test_bad_weights(weight, sentence):
    """Weights of rows are finite and not negative, one for each row."""
    with pytest.raises(ValueError, match="^" + re.escape(sentence) + "$"):
        net().gradient(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="^" + re.escape(sentence) + "$"):
        trainer().fit(X, Y, 1, sample_weight=weight)


ACTIVATIONS = ("'identity', 'sigmoid', 'tanh', 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', "
               "'mish', 'softplus', 'softsign', 'sin', 'hard_sigmoid', 'softmax', 'log_softmax'")
INITS = ("'auto', 'glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal', 'lecun_uniform', "
         "'lecun_normal', 'uniform', 'normal', 'zeros'")  # fmt: skip
MOST = 2**31 - 1

ARGUMENTS = [
    # sizes
    (lambda: cbp.Network(3), TypeError, "`sizes` must be a list of integers, got int."),
    (lambda: cbp.Network("32"), TypeError, "`sizes` must be a list of integers, got str."),
    (lambda: cbp.Network([]), ValueError,
     "`sizes` must name the inputs and at least one layer, as in [784, 10], got 0 entries."),
    (lambda: cbp.Network([3]), ValueError,
     "`sizes` must name the inputs and at least one layer, as in [784, 10], got 1 entry."),
    (lambda: cbp.Network([3, 0, 2]), ValueError, "`sizes[1]` must be at least 1, got 0."),
    (lambda: cbp.Network([3, -4, 2]), ValueError, "`sizes[1]` must be at least 1, got -4."),
    (lambda: cbp.Network([0, 2]), ValueError, "`sizes[0]` must be at least 1, got 0."),
    (lambda: cbp.Network([3, True]), TypeError, "`sizes[1]` must be an integer, got True."),
    (lambda: cbp.Network([3, 2.0]), TypeError, "`sizes[1]` must be an integer, got 2.0."),
    (lambda: cbp.Network([3, "2"]), TypeError, "`sizes[1]` must be an integer, got '2'."),
    (lambda: cbp.Network([3, None]), TypeError, "`sizes[1]` must be an integer, got None."),
    (lambda: cbp.Network([3, 2**40]), ValueError,
     f"`sizes[1]` must be at most {MOST}, got {2**40}."),
    (lambda: cbp.Network([1] * 10**6), ValueError,
     "`sizes` must have at most 1000 layers, got 999999."),
    (lambda: cbp.Network([cbp.Dense(3), 2]), TypeError,
     "`sizes[0]` must be an integer, the number of inputs, got a Dense."),
    (lambda: cbp.Network([3, 10**5000]), ValueError,
     f"`sizes[1]` must be at most {MOST}, got an integer of 16610 bits."),
    (lambda: cbp.Network([3, 1], output_activation="softmax"), ValueError,
     "A softmax output must have at least 2 units, got 1: use sigmoid."),
    # names
    (lambda: net(activation="relo"), ValueError,
     f"`activation` must be one of {ACTIVATIONS}, got 'relo'."),
    (lambda: net(activation=None), TypeError,
     f"`activation` must be one of {ACTIVATIONS}, got None."),
    (lambda: net("sine"), ValueError,
     f"`output_activation` must be one of {ACTIVATIONS}, got 'sine'."),
    (lambda: net(activation=["relu", "tan", "relu"], sizes=(3, 4, 4, 2)), ValueError,
     f"`activation[1]` must be one of {ACTIVATIONS}, got 'tan'."),
    (lambda: net(activation=["relu"], sizes=(3, 4, 2)), ValueError,
     "`activation` must name 2 layers, the output included, got 1."),
    (lambda: net("sigmoid", activation=["relu", "tanh"], sizes=(3, 4, 2)), ValueError,
     "`activation` ends with 'tanh' but `output_activation` is 'sigmoid': give one of them."),
    (lambda: net(activation="softmax", sizes=(3, 4, 2)), ValueError,
     "`activation` of layer 1 must not be softmax, which is for the output: set "
     "`output_activation='softmax'`."),
    (lambda: net(init="he"), ValueError, f"`init` must be one of {INITS}, got 'he'."),
    (lambda: net(init=0.1), TypeError, f"`init` must be one of {INITS}, got 0.1."),
    (lambda: net(dtype="float16"), ValueError,
     "`dtype` must be 'float32' or 'float64', got 'float16'."),
    (lambda: net(dtype=">f4"), ValueError, "`dtype` must be 'float32' or 'float64', got '>f4'."),
    (lambda: net(dtype="real"), ValueError, "`dtype` must be 'float32' or 'float64', got 'real'."),
    (lambda: net(dtype=None), ValueError, "`dtype` must be 'float32' or 'float64', got 'None'."),
    (lambda: net(dtype=3), ValueError, "`dtype` must be 'float32' or 'float64', got 3."),
    (lambda: net(dtype={"a": 1}), ValueError,
     "`dtype` must be 'float32' or 'float64', got dict."),
    (lambda: net(bias=1), TypeError, "`bias` must be True or False, got 1."),
    # seeds
    (lambda: cbp.Network([3, 2], seed=-1), ValueError, "`seed` must be at least 0, got -1."),
    (lambda: cbp.Network([3, 2], seed=1.5), TypeError, "`seed` must be an integer, got 1.5."),
    (lambda: cbp.Network([3, 2], seed=2**64), ValueError,
     f"`seed` must be at most {2**64 - 1}, got {2**64}."),
    (lambda: cbp.Trainer(net(), seed="7"), TypeError, "`seed` must be an integer, got '7'."),
    # layers
    (lambda: cbp.Dense(0), ValueError, "`n_outputs` must be at least 1, got 0."),
    (lambda: cbp.Dense(4, "softmux"), ValueError,
     f"`activation` must be one of {ACTIVATIONS}, got 'softmux'."),
    (lambda: cbp.Dense(4, bias="no"), TypeError, "`bias` must be True or False, got 'no'."),
    (lambda: cbp.Dense(4, trainable="bias"), ValueError,
     "`trainable` must be True, False, 'weights' or 'biases', got 'bias'."),
    (lambda: cbp.Dense(4, trainable=np.ones(2)), TypeError,
     "`trainable` must be True, False, 'weights' or 'biases', got ndarray."),
    (lambda: cbp.Network([3, cbp.Dense(2, trainable="biases")], bias=False), ValueError,
     "`trainable` of layer 1 must not be 'biases': the layer has none."),
    # initializers
    (lambda: cbp.initializers.Normal(-1.0), ValueError,
     "`std` must be a finite number at least 0, got -1.0."),
    (lambda: cbp.initializers.Uniform(INF), ValueError,
     "`limit` must be a finite number at least 0, got inf."),
    (lambda: cbp.initializers.Normal("1"), TypeError, "`std` must be a number, got '1'."),
    (lambda: net(init=cbp.initializers.Normal(1e300)), ValueError,
     "`init` of layer 1 must give weights that are finite in float32, got Normal(std=1e+300): "
     "make it narrower."),
    # losses
    (lambda: net().gradient(X, Y, "mse"), ValueError,
     "`loss` must be one of 'auto', 'squared_error', 'absolute_error', 'huber', 'quantile', "
     "'poisson', 'gaussian_nll', 'binary_cross_entropy', 'categorical_cross_entropy', 'focal', "
     "got 'mse'."),
    (lambda: trainer(loss=cbp.SquaredError), TypeError,
     "`loss` must be a name or an object, got the class SquaredError: call it, `SquaredError()`."),
    (lambda: trainer(optimizer=cbp.Adam), TypeError,
     "`optimizer` must be a name or an object, got the class Adam: call it, `Adam()`."),
    (lambda: net().predict("one.csv"), TypeError,
     "`X` must hold numbers, got strings: convert them to numbers first."),
    (lambda: cbp.SquaredError("average"), ValueError,
     "`reduction` must be one of 'mean', 'sum', got 'average'."),
    (lambda: trainer(loss="binary_cross_entropy"), ValueError,
     "`loss` binary_cross_entropy needs a sigmoid output, which is a probability, got identity: "
     "set `output_activation='sigmoid'` or use squared_error."),
    (lambda: trainer("sigmoid", loss="categorical_cross_entropy"), ValueError,
     "`loss` categorical_cross_entropy needs a softmax output, which is a probability, got "
     "sigmoid: set `output_activation='softmax'` or use squared_error."),
    (lambda: net("softmax").gradient(X, Y, "squared_error"), ValueError,
     "`loss` squared_error does not go with a softmax output: use categorical_cross_entropy."),
    (lambda: net().gradient(X, Y, l2=-1), ValueError,
     "`l2` must be a finite number at least 0, got -1."),
    (lambda: net().gradient(X, Y, l2=NAN), ValueError,
     "`l2` must be a finite number at least 0, got nan."),
    # optimizers
    (lambda: trainer(optimizer="adadelta"), ValueError,
     "`optimizer` must be one of 'sgd', 'momentum', 'nesterov', 'rmsprop', "
     "'adagrad', 'adam', 'adamw', 'nadam', 'lion', 'rprop', got 'adadelta'."),
    (lambda: trainer(optimizer=0.1), TypeError,
     "`optimizer` must be one of 'sgd', 'momentum', 'nesterov', 'rmsprop', "
     "'adagrad', 'adam', 'adamw', 'nadam', 'lion', 'rprop', got 0.1."),
    (lambda: cbp.SGD(NAN), ValueError,
     "`learning_rate` must be a finite number above 0, got nan."),
    (lambda: cbp.SGD(INF), ValueError, "`learning_rate` must be a finite number above 0, got inf."),
    (lambda: cbp.SGD(10**400), ValueError,
     "`learning_rate` must be a finite number above 0, got an integer of 1329 bits."),
    (lambda: cbp.SGD(fractions.Fraction(10**400)), ValueError,
     "`learning_rate` must be a finite number above 0, got Fraction."),
    (lambda: trainer(optimizer=cbp.SGD(1e39)), ValueError,
     "`learning_rate` must fit float32, got 1e+39: lower it."),
    (lambda: setattr(trainer(), "learning_rate", 1e39), ValueError,
     "`learning_rate` must fit float32, got 1e+39: lower it."),
    (lambda: cbp.SGD(0), ValueError, "`learning_rate` must be a finite number above 0, got 0."),
    (lambda: cbp.Adam(-0.1), ValueError,
     "`learning_rate` must be a finite number above 0, got -0.1."),
    (lambda: cbp.SGD("fast"), TypeError, "`learning_rate` must be a number, got 'fast'."),
    (lambda: cbp.SGD(True), TypeError, "`learning_rate` must be a number, got True."),
    (lambda: cbp.SGD(momentum=1.5), ValueError,
     "`momentum` must be a finite number at least 0 and below 1, got 1.5."),
    (lambda: cbp.SGD(nesterov=True), ValueError,
     "`nesterov` needs a momentum: give `momentum=0.9`, say."),
    (lambda: cbp.Adam(beta_2=1.0), ValueError,
     "`beta_2` must be a finite number at least 0 and below 1, got 1.0."),
    (lambda: cbp.Adam(epsilon=0.0), ValueError,
     "`epsilon` must be a finite number above 0, got 0.0."),
    # trainer
    (lambda: cbp.Trainer([3, 2]), TypeError, "`net` must be a Network, got list."),
    (lambda: trainer(batch_size=0), ValueError, "`batch_size` must be at least 1, got 0."),
    (lambda: trainer(batch_size=1.5), TypeError, "`batch_size` must be an integer, got 1.5."),
    (lambda: trainer(shuffle=1), TypeError, "`shuffle` must be True or False, got 1."),
    (lambda: trainer(l2=-0.1), ValueError, "`l2` must be a finite number at least 0, got -0.1."),
    (lambda: trainer(metrics="mse"), ValueError,
     "`metrics` must be one of 'accuracy', 'auc', 'mae', 'r2', 'rmse', 'top_5', got 'mse'."),
    (lambda: trainer(metrics=accuracy), TypeError,
     "`metrics` must be a name or a list of names, got function."),
    (lambda: trainer("softmax", metrics="r2"), ValueError,
     "`metrics` r2 does not go with a softmax output: use 'accuracy'."),
    (lambda: trainer(metrics="accuracy"), ValueError,
     "`metrics` accuracy needs a sigmoid or softmax output, got identity: use 'r2'."),
    (lambda: trainer(n_threads=0), ValueError, "`n_threads` must be at least 1, got 0."),
    (lambda: net().predict(X, n_threads=0), ValueError, "`n_threads` must be at least 1, got 0."),
    (lambda: net().predict(X, n_threads=1.0), TypeError,
     "`n_threads` must be an integer, got 1.0."),
    (lambda: net().predict(X, n_threads="all"), ValueError,
     "`n_threads` must be 'auto' or at least 1, got 'all'."),
    (lambda: setattr(trainer(), "learning_rate", 0), ValueError,
     "`learning_rate` must be a finite number above 0, got 0."),
    (lambda: trainer().fit(X, Y, 0), ValueError, "`epochs` must be at least 1, got 0."),
    (lambda: trainer().fit(X, Y, 1.0), TypeError, "`epochs` must be an integer, got 1.0."),
    (lambda: trainer().fit(X[0], Y[:1], 1), ValueError,
     "`X` must be 2-d, (n_samples, 3), got 1-d of shape (3,): `X[None, :]` makes it one row, "
     "`X[:, None]` one column."),
    (lambda: trainer().fit(X[:0], Y[:0], 1), ValueError, "`X` must have at least 1 row, got 0."),
    (lambda: trainer().evaluate(X[:0], Y[:0]), ValueError,
     "`X` must have at least 1 row, got 0."),
    (lambda: net().gradient(X[:0], Y[:0]), ValueError, "`X` must have at least 1 row, got 0."),
    (lambda: trainer().fit(X, Y, 1, validation_data=X), TypeError,
     "`validation_data` must be (X, Y) or (X, Y, sample_weight), got ndarray."),
    (lambda: trainer().fit(X, Y, 1, validation_data=(X, Y[:4])), ValueError,
     "In `validation_data`, `Y` must have 5 rows (as `X` has), got 4."),
    (lambda: trainer().fit(X, Y, 1, progress="always"), ValueError,
     "`progress` must be True, False or 'auto', got 'always'."),
    (lambda: trainer().fit(X, Y, 1, order=[0, 5]), ValueError,
     "`order` must hold row numbers from 0 to 4, got 5."),
    (lambda: trainer().fit(X, Y, 1, order=[0, -1]), ValueError,
     "`order` must hold row numbers from 0 to 4, got -1."),
    (lambda: trainer().fit(X, Y, 1, order=[0.0]), TypeError,
     "`order` must hold row numbers, which are integers, got float64."),
    (lambda: trainer().fit(X, Y, 3, order=[[0], [1]]), ValueError,
     "`order` must have shape (n,) or (3, n), got (2, 1)."),
    (lambda: trainer().fit(X, Y, 1, order=np.zeros(0, dtype=int)), ValueError,
     "`order` must have shape (n,) or (1, n), got (0,)."),
    # out
    (lambda: net().predict(X, [[0.0, 0.0]]), TypeError, "`out` must be an array, got list."),
    (lambda: net().predict(X, np.empty((4, 2), np.float32)), ValueError,
     "`out` must have shape (5, 2), got (4, 2)."),
    (lambda: net().predict(X, np.empty((5, 2))), ValueError,
     "`out` must have the network's dtype float32, got float64."),
    (lambda: net().predict(X, np.empty((2, 5), np.float32).T), ValueError,
     "`out` must be C-contiguous, aligned and writable: use `np.empty`."),
    (lambda: net(sizes=(3, 3)).predict(X, X), ValueError,
     "`out` must not share memory with `X`."),
    (lambda: predict_into_parameters(net()), ValueError,
     "`out` must not share memory with the network's parameters."),
    (lambda: net().predictor()(X[0], [0, 0]), TypeError, "`out` must be an array, got list."),
    (lambda: net().predictor()(X[0], np.zeros((1, 2), np.float32)), ValueError,
     "`out` must have shape (2,) for one row of shape (3,), got (1, 2)."),
    (lambda: net().predictor()(X[0], np.zeros(3, np.float32)), ValueError,
     "`out` must have shape (2,) for one row of shape (3,), got (3,)."),
    # parameters
    (lambda: net().weights.__setitem__(7, 0.0), IndexError,
     "`weights[...]` takes the number of one layer, from 0 to 0, got 7."),
    (lambda: net().biases[7], IndexError,
     "`biases[...]` takes the number of one layer, from 0 to 0, got 7."),
    (lambda: net().weights.__setitem__(slice(0, 1), [np.zeros((3, 2))]), TypeError,
     "`weights[...]` takes the number of one layer, from 0 to 0, got slice."),
    (lambda: net().weights.__setitem__(0, np.zeros((2, 3))), ValueError,
     "`weights[0]` must have shape (3, 2), got (2, 3)."),
    (lambda: net().biases.__setitem__(0, [0.0, NAN]), ValueError,
     "`biases[0]` must be finite, got nan in row 1: remove or replace such values."),
    (lambda: net(bias=False).biases.__setitem__(0, [0.0, 0.0]), ValueError,
     "`biases[0]` cannot be set: the layer has no biases."),
    # helpers
    (lambda: cbp.one_hot([0, 3], 3), ValueError,
     "`labels` must hold labels from 0 to 2, got 3 in row 1."),
    (lambda: cbp.one_hot([[0]], 3), ValueError,
     "`labels` must have shape (n_samples,), got (1, 1)."),
    (lambda: accuracy([0, 1], np.zeros((3, 2))), ValueError,
     "`y_true` must have shape (3,) or (3, 2) (as `y_pred` has), got (2,)."),
    (lambda: r2([0.0, 1.0], np.zeros((3, 2))), ValueError,
     "`y_true` must have shape (3, 2) (as `y_pred` has), got (2, 1)."),
]  # fmt: skip


@pytest.mark.parametrize("call, error, sentence", ARGUMENTS,
                         ids=[re.sub(r"\W+", " ", row[2])[:60] for row in ARGUMENTS])
def test_bad_arguments(call, error, sentence):
    """Every argument out of its kind or range is named, with what it must be and what it was."""
    with pytest.raises(error, match="^" + re.escape(sentence) + "$"):
        call()


def test_a_network_larger_than_memory():
    """Layers that no machine holds are refused before anything is allocated."""
    with pytest.raises(MemoryError, match=r"^The network's 4,\d{3},\d{3},\d{3},\d{3},\d{3},\d{3} "
                       r"parameters need more than the \d+ GB of this machine: make its layers "
                       r"smaller\.$"):
        cbp.Network([MOST, MOST])


def test_numpy_flags():
    """NumPy's True is True."""
    assert cbp.Dense(2, trainable=np.True_).trains == (True, True)
    assert cbp.Dense(2, trainable=np.False_) == cbp.Dense(2, trainable=False)


# ---- what is accepted -------------------------------------------------------------------------

VALUES = np.arange(15.0).reshape(5, 3) % 7 - 2


def misaligned(values):
    raw = np.zeros(values.nbytes + 1, dtype=np.uint8)[1:]
    raw[:] = np.frombuffer(values.tobytes(), dtype=np.uint8)
    return raw.view(values.dtype).reshape(values.shape)


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


class ArrayLike:
    """What polars and others offer."""

    def __array__(self, dtype=None, copy=None):
        return VALUES.astype(dtype or np.float64)


KINDS = {
    "float32": VALUES.astype(np.float32),
    "float64": VALUES,
    "float16": VALUES.astype(np.float16),
    "longdouble": VALUES.astype(np.longdouble),
    "int8": VALUES.astype(np.int8),
    "int64": VALUES.astype(np.int64),
    "big-endian": VALUES.astype(">f8"),
    "big-endian float32": VALUES.astype(">f4"),
    "list": VALUES.tolist(),
    "fractions": [[fractions.Fraction(v) for v in row] for row in VALUES.astype(int).tolist()],
    "decimals": [[decimal.Decimal(v) for v in row] for row in VALUES.tolist()],
    "matrix": VALUES.view(np.matrix),
    "nothing masked": np.ma.masked_array(VALUES, mask=np.zeros((5, 3))),
    "fortran": np.asfortranarray(VALUES.astype(np.float32)),
    "transposed": np.ascontiguousarray(VALUES.T).T,
    "strided": np.repeat(VALUES.astype(np.float32), 2, axis=0)[::2],
    "negative strides": VALUES[::-1, ::-1].copy()[::-1, ::-1],
    "misaligned": misaligned(VALUES.astype(np.float32)),
    "misaligned float64": misaligned(VALUES),
    "read-only": read_only(VALUES.astype(np.float32)),
    "__array__": ArrayLike(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_inputs(kind):
    """Any kind and layout of the same numbers gives the same bits, and is left as it was."""
    given = KINDS[kind]
    before = pickle.dumps(given) if not isinstance(given, ArrayLike) else b""
    targets = VALUES[:, :2] / 8
    plain = VALUES.astype(np.float32)
    network = net("tanh", sizes=(3, 4, 2))
    np.testing.assert_array_equal(network.predict(given), network.predict(plain))
    trained = []
    for rows in (plain, given):
        run = cbp.Trainer(net("tanh", sizes=(3, 4, 2)), batch_size=2, seed=1)
        run.fit(rows, targets, 3)
        trained.append(run.net.parameters)
    np.testing.assert_array_equal(*trained)
    if before:
        assert pickle.dumps(given) == before


def test_zero_strides():
    """A broadcast row counts as often as it is said to."""
    row = np.float32([[1, 2, 3]])
    rows = np.broadcast_to(row, (5, 3))
    np.testing.assert_array_equal(net().predict(rows), np.repeat(net().predict(row), 5, axis=0))


def test_memory_map(tmp_path):
    """A file mapped into memory is read where it is."""
    VALUES.astype(np.float32).tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", np.float32, "r", shape=(5, 3))
    np.testing.assert_array_equal(net().predict(rows), net().predict(VALUES))


def test_data_frames():
    """Data frames and series are arrays; a missing value is refused."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(VALUES, columns=list("abc"))
    np.testing.assert_array_equal(net().predict(frame), net().predict(VALUES))
    nullable = frame.astype("Float64")
    np.testing.assert_array_equal(net().predict(nullable), net().predict(VALUES))
    nullable.iloc[1, 1] = pandas.NA
    with pytest.raises((TypeError, ValueError), match=r"^`X` must (hold numbers|be finite), got"):
        net().predict(nullable)


def test_large_unsigned_integers():
    """uint64 beyond 2**53 is rounded to the nearest number, not wrapped."""
    network = net(sizes=(1, 1), dtype="float64", bias=False)
    network.weights[0] = [[1.0]]
    big = np.array([[2**64 - 1]], dtype=np.uint64)
    assert network.predict(big)[0, 0] == 2.0**64


def test_finite_numbers_whose_sum_overflows():
    """The cheap scan by the sum does not refuse what is finite."""
    large = np.full((400, 300), 3e38, dtype=np.float32)
    large[::2] *= -1
    assert _check.is_finite(large) and _check.is_finite(np.abs(large))
    for value in (NAN, INF, -INF):
        large[399, 299] = value
        assert not _check.is_finite(large)


def test_no_copy_of_what_fits():
    """A C-ordered array of the right type is used where it lies."""
    rows = VALUES.astype(np.float32)
    assert _check.rows(rows, 3, np.dtype(np.float32)) is rows
