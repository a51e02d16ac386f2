"""cbp.sklearn in scikit-learn's world: searches, pipelines, ensembles, frames, sparse matrices."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
import scipy.sparse
import sklearn
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cbp import DivergenceError, Network
from cbp.sklearn import MLPClassifier, MLPRegressor

X, Y = datasets.load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
ROUGH, T = datasets.load_diabetes(return_X_y=True)
T = (T - T.mean()) / T.std()


@pytest.fixture(autouse=True)
def _few_epochs_are_enough():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def quick(**options):
    return MLPClassifier(
        **{"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 30, **options}
    )


# ---- searches, pipelines, ensembles -------------------------------------------------------------


def test_grid_search_in_two_processes():
    """Candidates are cloned, pickled and fitted elsewhere; the results are those of one process."""
    grid = {"learning_rate_init": [1e-3, 3e-2], "activation": ["tanh", "relu"]}
    searches = [
        GridSearchCV(quick(), grid, cv=3, n_jobs=n_jobs, error_score="raise").fit(X, Y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    assert scores[0].tolist() == scores[1].tolist()
    assert searches[1].best_params_["learning_rate_init"] == 3e-2
    assert searches[1].best_estimator_.score(X, Y) == searches[0].best_estimator_.score(X, Y)


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_no_more_threads_than_cores_under_joblib(backend):
    """Workers share the cores: a fit that pays for any number of threads takes its part."""
    threads = quick(max_iter=1).fit(X, Y)._threads
    cores = joblib.cpu_count()
    assert threads(10**9) >= min(cores, 2)
    with joblib.parallel_config(backend, n_jobs=2):
        taken = joblib.Parallel()(joblib.delayed(threads)(10**9) for _ in range(2))
    assert max(taken) <= max(cores // 2, 1)


def test_cross_validation_of_a_pipeline():
    """A scaler and a classifier, scored on five folds."""
    pipeline = make_pipeline(StandardScaler(), quick(solver="lbfgs", max_iter=200))
    assert cross_val_score(pipeline, X, Y, error_score="raise").mean() > 0.9


def test_calibration():
    """CalibratedClassifierCV takes predict_proba; its probabilities add up to 1."""
    model = CalibratedClassifierCV(quick(solver="lbfgs"), cv=3).fit(X, Y)
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert model.score(X, Y) > 0.9


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bagging(n_jobs):
    """Bags are drawn as sample weights or rows; both kinds of estimators."""
    bags = BaggingClassifier(quick(), n_estimators=4, random_state=0, n_jobs=n_jobs).fit(X, Y)
    assert bags.score(X, Y) > 0.6
    regressor = MLPRegressor(
        hidden_layer_sizes=(8,), random_state=0, max_iter=60, learning_rate_init=0.02
    )
    bags = BaggingRegressor(regressor, n_estimators=3, random_state=0, n_jobs=n_jobs)
    assert bags.fit(ROUGH * 20, T).score(ROUGH * 20, T) > 0.4


# ---- copies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_copies_predict_and_go_on_alike(solver, tmp_path):
    """pickle, joblib (memory-mapped too) and deepcopy keep weights, optimizer and counters."""
    model = quick(solver=solver).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model.joblib"),
        joblib.load(tmp_path / "model.joblib", mmap_mode="r"),
    ]
    expected = model.predict_proba(X)
    if solver != "lbfgs":
        after = copy.deepcopy(model).partial_fit(X, Y).predict_proba(X)
        assert (after != expected).any()
    for other in copies:
        assert (other.predict_proba(X) == expected).all()
        if solver != "lbfgs":
            assert (other.partial_fit(X, Y).predict_proba(X) == after).all()
    assert (model.predict_proba(X) == expected).all()


def test_clone_forgets_what_was_fitted():
    """clone keeps the parameters alone."""
    model = quick().fit(X, Y)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        twin.predict(X)
    with pytest.raises(NotFittedError):
        twin.network_


# ---- weights ------------------------------------------------------------------------------------


def test_network_shares_its_parameters():
    """network_ is a cbp.Network; writing into coefs_ or its weights changes both."""
    model = quick().fit(X, Y)
    net = model.network_
    assert isinstance(net, Network) and net.sizes == (4, 8, 3)
    assert (net.predict(X) == model.predict_proba(X)).all()
    model.coefs_[0][:] = 0.0
    assert not net.weights[0].any()
    net.biases[1][:] = [0.0, 0.0, 50.0]
    assert (model.predict(X) == 2).all()


def test_replaced_weights_count():
    """A list or an item that is replaced is what predicts and trains from then on."""
    model = quick().fit(X, Y)
    other = quick(random_state=1).fit(X, Y)
    expected = other.predict_proba(X)
    model.coefs_ = [W.copy() for W in other.coefs_]
    model.intercepts_ = [b.copy() for b in other.intercepts_]
    assert (model.predict_proba(X) == expected).all()
    model.coefs_[1] = np.zeros((8, 3))
    assert (model.predict_proba(X) != expected).any()
    assert not model.network_.weights[1].any()


# ---- inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "csr_matrix"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sparse_rows_train_like_dense_ones(kind, solver, early_stopping, monkeypatch):
    """In pieces of a few batches, with and without early stopping; never all of them at once."""
    from cbp.sklearn import runs

    rng = np.random.default_rng(0)
    dense = rng.normal(size=(300, 40)) * (rng.random((300, 40)) < 0.2)
    y = (dense[:, :20].sum(axis=1) > dense[:, 20:].sum(axis=1)).astype(int)
    sparse = getattr(scipy.sparse, kind)(dense)
    options = {"solver": solver, "batch_size": 32, "early_stopping": early_stopping}
    expected = quick(**options).fit(dense, y)
    largest = []
    toarray = type(sparse.tocsr()).toarray

    def counted(matrix, *arguments, **keywords):
        largest.append(matrix.shape[0])
        return toarray(matrix, *arguments, **keywords)

    monkeypatch.setattr(type(sparse.tocsr()), "toarray", counted)
    monkeypatch.setattr(runs, "CHUNK", 40 * 64)
    model = quick(**options).fit(sparse, y)
    assert 0 < max(largest) <= 64
    np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.loss_, expected.loss_, rtol=1e-9)
    np.testing.assert_allclose(
        model.predict_proba(sparse), expected.predict_proba(dense), rtol=1e-6
    )
    assert max(largest) <= 64


def layouts(array, folder):
    """The same numbers in every layout that has to do."""
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    yield "Fortran", np.asfortranarray(array)
    yield "strided", np.repeat(array, 2, axis=1)[:, ::2]
    yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
    np.save(folder / "rows.npy", array)
    yield "memory map", np.load(folder / "rows.npy", mmap_mode="r")
    yield "list", array.tolist()


def test_layouts_do_not_matter(tmp_path):
    """Any layout gives the same bits, and nothing is written to the caller's array."""
    expected = quick(early_stopping=True).fit(X, Y)
    for name, rows in layouts(X, tmp_path):
        model = quick(early_stopping=True).fit(rows, Y)
        assert (model.coefs_[0] == expected.coefs_[0]).all(), name
        assert (model.predict_proba(rows) == expected.predict_proba(X)).all(), name
        assert np.array_equal(np.asarray(rows), X), name


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
def test_integers_train_as_float64(dtype):
    """As in scikit-learn; and predict from integers likewise."""
    rows = (np.random.default_rng(0).random((60, 5)) * 2).astype(dtype)
    y = rows[:, 0].astype(int)
    model = quick().fit(rows, y)
    assert model.coefs_[0].dtype == np.float64
    assert (model.predict_proba(rows) == model.predict_proba(rows.astype(float))).all()


def frames():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=["a", "b", "c", "d"])


def test_pandas_columns_keep_their_names():
    """Fitted on a frame, the model knows its columns and refuses others; arrays are warned about."""
    frame = frames()
    model = quick(early_stopping=True).fit(frame, Y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert (model.predict(frame) == quick(early_stopping=True).fit(X, Y).predict(X)).all()
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_pipeline_that_hands_on_pandas():
    """Transformers set to emit frames feed the model, named columns and all."""
    frame = frames()
    pipeline = make_pipeline(StandardScaler(), quick()).set_output(transform="pandas").fit(frame, Y)
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert pipeline.score(frame, Y) == make_pipeline(StandardScaler(), quick()).fit(X, Y).score(
        X, Y
    )


def test_polars_frames():
    """Polars frames are taken as pandas' are, with the names that this scikit-learn reads."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
    model = quick().fit(frame, polars.Series(Y))
    names = getattr(StandardScaler().fit(frame), "feature_names_in_", None)
    assert np.array_equal(getattr(model, "feature_names_in_", None), names)
    assert (model.predict(frame) == quick().fit(X, Y).predict(X)).all()


def test_weights_are_routed_to_fit():
    """Metadata routing brings sample_weight through a pipeline and a cross-validation."""
    weight = np.random.default_rng(0).random(len(Y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, model).fit(X, Y, sample_weight=weight)
        result = cross_validate(model, X, Y, params={"sample_weight": weight}, error_score="raise")
    expected = quick().fit(StandardScaler().fit_transform(X), Y, sample_weight=weight)
    assert (pipeline[-1].coefs_[0] == expected.coefs_[0]).all()
    assert len(result["test_score"]) == 5


# ---- what is refused, and how fits end ----------------------------------------------------------


def test_predict_of_a_row_still_checks_it():
    """The short way for a row of the fitted dtype refuses what the long way refuses."""
    model = quick().fit(X, Y)
    for row in range(0, 150, 10):
        assert model.predict(X[row : row + 1]) == model.predict(X)[row]
    for wrong, words in (
        (np.full((1, 4), np.nan), "contains NaN"),
        (np.full((1, 4), np.inf), "contains infinity"),
        (np.zeros((1, 5)), "5 features"),
        (np.zeros((0, 4)), "0 sample"),
        (np.zeros(4), "1D array"),
    ):
        with pytest.raises(ValueError, match=words):
            model.predict(wrong)


def test_weights_that_no_fit_can_use_are_refused():
    """Negative weights, and weights that are zero everywhere."""
    weight = np.ones(len(Y))
    weight[3] = -1.0
    with pytest.raises(ValueError, match="must not be negative"):
        quick().fit(X, Y, sample_weight=weight)
    with pytest.raises(ValueError, match="zero in every row|at least one non-zero"):
        quick().fit(X, Y, sample_weight=np.zeros(len(Y)))


def test_a_batch_without_weight_is_passed_over():
    """scikit-learn divides by zero there."""
    weight = np.ones(len(Y))
    weight[:40] = 0.0
    model = quick(batch_size=10, shuffle=False).fit(X, Y, sample_weight=weight)
    assert np.isfinite(model.loss_) and model.score(X[40:], Y[40:]) > 0.5


def test_warm_start_with_other_layers_is_refused():
    """The weights of the fit before do not fit."""
    model = quick(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="A warm start needs the layers of the previous fit"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X, Y)


def test_divergence_is_an_error_of_both_kinds():
    """A ValueError with scikit-learn's words, and cbp's DivergenceError."""
    model = MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights") as caught:
        model.fit(X * 1e3, Y)
    assert isinstance(caught.value, DivergenceError) and caught.value.epoch >= 1


def test_ctrl_c_ends_a_fit_with_a_warning():
    """The model keeps the completed epochs, and predicts."""
    import signal

    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(4000, 200)), rng.integers(0, 5, 4000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model = MLPClassifier((200,), max_iter=10**6, tol=0.0, n_iter_no_change=10**6).fit(
                rows, y
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert model.n_iter_ == len(model.loss_curve_) < 10**6
    assert model.predict(rows).shape == (4000,)


def test_warm_starts_may_change_how_they_stop():
    """From L-BFGS to Adam, and between the rules of stopping, where scikit-learn gives up."""
    model = quick(solver="lbfgs", warm_start=True, max_iter=5).fit(X, Y)
    before = model.score(X, Y)
    model.set_params(solver="adam").fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 5
    assert model.score(X, Y) >= before
    model.set_params(early_stopping=True).fit(X, Y)
    assert len(model.validation_scores_) == model.n_iter_
    model.set_params(early_stopping=False, max_iter=3).fit(X, Y)
    assert model.n_iter_ == 3 and np.isfinite(model.best_loss_)
