"""Programs as people write them, run with scikit-learn's estimators and with cbp's: each must come
to the same results, attributes, warnings and errors from either import line."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import scipy.sparse
import sklearn.neural_network
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import cbp.sklearn

X, Y = datasets.load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
B, YES = datasets.load_breast_cancer(return_X_y=True)
B = StandardScaler().fit_transform(B)
R, T = datasets.load_diabetes(return_X_y=True)
R, T = R * 20, (T - T.mean()) / T.std()
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 20}
RATES = {"learning_rate_init": [1e-3, 3e-2, 1e-2]}
PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def classifier(module, **options):
    return module.MLPClassifier(**{**SMALL, **options})


def regressor(module, **options):
    return module.MLPRegressor(**{**SMALL, **options})


def told(search):
    return search.best_params_, search.cv_results_["mean_test_score"]


def scored(results):
    return {name: value for name, value in results.items() if name.startswith(("test", "train"))}


@program
def grid_search(module):
    return told(GridSearchCV(classifier(module), {**RATES, "alpha": [1e-4, 1]}, cv=3).fit(X, Y))


@program
def halving_search(module):
    rows = HalvingGridSearchCV(classifier(module), RATES, cv=3, random_state=0).fit(B, YES)
    epochs = HalvingGridSearchCV(
        regressor(module), RATES, resource="max_iter", max_resources=18, cv=3, random_state=0
    )
    return told(rows), told(epochs.fit(R, T))


@program
def many_scorers(module):
    names = ["accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"]
    several = cross_validate(classifier(module), X, Y, scoring=names, return_train_score=True)
    two = cross_validate(classifier(module), B, YES, scoring=["average_precision", "roc_auc"])
    return scored(several), scored(two)


@program
def predictions_out_of_fold(module):
    return [
        cross_val_predict(classifier(module), X, Y, method=method, cv=3)
        for method in ("predict", "predict_proba", "predict_log_proba")
    ]


@program
def columns_of_a_frame(module):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame["kind"] = np.array(["u", "v", "w"])[np.arange(150) % 3]
    parts = ColumnTransformer(
        [("numbers", StandardScaler(), list("abcd")),
         ("kinds", OneHotEncoder(sparse_output=False), ["kind"])]
    ).set_output(transform="pandas")  # fmt: skip
    model = make_pipeline(parts, classifier(module)).fit(frame, np.array(["x", "y", "z"])[Y])
    return model.predict(frame), model.predict_proba(frame), model[-1].feature_names_in_


@program
def calibration(module):
    return [
        CalibratedClassifierCV(classifier(module), method=method, cv=3, ensemble=ensemble)
        .fit(X, Y)
        .predict_proba(X)
        for method, ensemble in (("sigmoid", True), ("isotonic", False))
    ]


@program
def ensembles(module):
    bags = BaggingClassifier(classifier(module), n_estimators=3, random_state=0).fit(X, Y)
    pair = [("mlp", classifier(module)), ("logistic", LogisticRegression())]
    votes = VotingClassifier(pair, voting="soft").fit(X, Y)
    stack = StackingClassifier(pair, cv=3).fit(X, Y)
    mixed = StackingRegressor(
        [("mlp", regressor(module)), ("ridge", Ridge())], final_estimator=regressor(module), cv=3
    ).fit(R, T)
    boosted = AdaBoostRegressor(regressor(module), n_estimators=3, random_state=0).fit(R, T)
    return [m.predict_proba(X) for m in (bags, votes, stack)], mixed.predict(R), boosted.predict(R)


@program
def scaled_targets(module):
    model = TransformedTargetRegressor(regressor(module), transformer=StandardScaler())
    return model.fit(R, T * 100 + 5).predict(R)


@program
def many_outputs(module):
    both = np.c_[Y, Y % 2]
    several = MultiOutputClassifier(classifier(module)).fit(X, both)
    chain = ClassifierChain(classifier(module)).fit(X, np.c_[Y > 0, Y > 1].astype(int))
    each = MultiOutputRegressor(regressor(module)).fit(R, np.c_[T, -T])
    one = regressor(module).fit(R, np.c_[T, -T])
    return several.predict_proba(X), chain.predict_proba(X), each.predict(R), one.predict(R)


@program
def one_against_others(module):
    rest = OneVsRestClassifier(classifier(module)).fit(X, Y)
    pairs = OneVsOneClassifier(classifier(module)).fit(X, Y)
    return rest.predict_proba(X), pairs.predict(X)


@program
def inspection(module):
    model = regressor(module).fit(R, T)
    importances = permutation_importance(model, R, T, n_repeats=3, random_state=0).importances
    chosen = RFECV(
        classifier(module), importance_getter=lambda m: np.abs(m.coefs_[0]).sum(axis=1), cv=3
    ).fit(X, Y)
    return importances, partial_dependence(model, R, [0, 1]).average, chosen.support_


@program
def curves(module):
    sizes = {"train_sizes": [0.3, 1.0], "cv": 3}
    return [
        *learning_curve(classifier(module), B, YES, **sizes)[:3],
        *learning_curve(
            classifier(module), B, YES, exploit_incremental_learning=True, **sizes
        )[:3],
        *validation_curve(
            classifier(module), B, YES, param_name="alpha", param_range=[1e-4, 1.0], cv=3
        ),
    ]  # fmt: skip


@program
def stopping_early(module):
    model = classifier(module, early_stopping=True, max_iter=300, learning_rate_init=0.02)
    model.fit(B, YES)
    return model.validation_scores_, model.best_validation_score_, model.n_iter_, model.best_loss_


@program
def going_on(module):
    model, steps = classifier(module, warm_start=True), []
    for epochs in (3, 4, 5):
        model.set_params(max_iter=epochs).fit(X, Y)
        steps.append((model.n_iter_, model.t_, model.loss_, list(model.loss_curve_)))
    return steps


@program
def streams(module):
    one, two, steps = classifier(module), regressor(module), []
    for first in range(0, 150, 30):
        part = slice(first, first + 30)
        one.partial_fit(X[part], Y[part], classes=[0, 1, 2])
        two.partial_fit(R[part], T[part])
        steps.append((one.loss_, one.t_, one.score(X, Y), two.loss_, two.t_, two.n_iter_))
    return steps


@program
def sparse_of_every_kind(module):
    thin = np.where(np.abs(B) < 0.5, 0.0, B)
    found = []
    for kind in ("csr_array", "csc_array", "coo_array", "csr_matrix", "coo_matrix", "lil_matrix"):
        rows = getattr(scipy.sparse, kind)(thin)
        model = classifier(module, max_iter=5).fit(rows, YES)
        found.append((model.predict_proba(rows), model.predict(rows)))
    return found


@program
def labels_of_every_kind(module):
    pandas = pytest.importorskip("pandas")
    found = []
    for labels in (
        np.array(["b", "a", "ccc"])[Y], np.array(["b", "a", "c"], object)[Y], Y.astype(np.uint8),
        Y.astype(float), Y > 0, ["abc"[number] for number in Y], Y[:, np.newaxis],
        pandas.Series(np.array(["b", "a", "c"])[Y], dtype="category"),
        pandas.Series(Y).astype("Int64"),
    ):  # fmt: skip
        model = classifier(module, max_iter=5).fit(X, labels)
        found.append((model.predict(X), model.classes_, model.predict_proba(X), model.n_outputs_))
    return found


@program
def several_labels(module):
    rows, labels = datasets.make_multilabel_classification(200, random_state=0)
    model = classifier(module, early_stopping=True).fit(rows, labels)
    given_sparse = classifier(module).fit(rows, scipy.sparse.csr_matrix(labels)).predict(rows)
    return (
        model.predict(rows), model.predict_proba(rows), model.score(rows, labels), model.classes_,
        model.validation_scores_, type(given_sparse).__name__,
    )  # fmt: skip


@program
def half_labelled(module):
    some = np.where(np.arange(150) % 3 == 0, -1, Y)
    return SelfTrainingClassifier(classifier(module), threshold=0.4).fit(X, some).predict(X)


@program
def generators(module):
    state = np.random.RandomState(3)
    model = classifier(module, random_state=state).fit(X, Y)
    return model.loss_curve_, state.randint(1000)


@program
def copies_and_words(module):
    model = classifier(module).fit(X, Y)
    fresh = clone(model)
    return (
        copy.deepcopy(model).predict_proba(X), repr(model), repr(module.MLPRegressor(alpha=0.1)),
        sorted(name for name in vars(model) if name.endswith("_") and name[0] != "_"),
        [name for name in vars(fresh) if name.endswith("_")],
        "MLPClassifier" in model._repr_html_(), str(model.__sklearn_tags__()),
    )  # fmt: skip


def differences(theirs, ours, place="result"):
    """What is not the same in two nests of results."""
    if isinstance(theirs, (list, tuple)):
        if len(theirs) != len(ours):
            return [f"{place}: {len(theirs)} and {len(ours)} items, {theirs} and {ours}"]
        pairs = enumerate(zip(theirs, ours))
    elif isinstance(theirs, dict):
        if theirs.keys() != ours.keys():
            return [f"{place}: keys {theirs.keys()} and {ours.keys()}"]
        pairs = ((name, (theirs[name], ours[name])) for name in theirs)
    else:
        a, b = np.asarray(theirs), np.asarray(ours)
        if a.shape != b.shape or a.dtype != b.dtype:
            return [f"{place}: {a.dtype}{a.shape} and {b.dtype}{b.shape}"]
        alike = np.allclose(a, b, 1e-5, 1e-7) if a.dtype.kind == "f" else (a == b).all()
        return [] if alike else [f"{place}: {theirs} and {ours}"]
    return [line for name, pair in pairs for line in differences(*pair, f"{place}[{name}]")]


def outcome(program, module):
    """What a program comes to, or the error it ends with; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = program(module)
        except Exception as error:
            result = error
    return result, {(w.category, str(w.message)[:60]) for w in caught}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_come_to_the_same(name):
    """Numbers to 1e-5, everything else exactly."""
    (theirs, their_warnings), (ours, our_warnings) = (
        outcome(PROGRAMS[name], module) for module in (sklearn.neural_network, cbp.sklearn)
    )
    assert not isinstance(theirs, Exception), theirs
    assert not isinstance(ours, Exception), ours
    assert differences(theirs, ours) == []
    assert our_warnings == their_warnings


MISTAKES = {
    "unknown parameter": lambda m: m.MLPClassifier().set_params(nope=1),
    "negative alpha": lambda m: m.MLPClassifier(alpha=-1).fit(X, Y),
    "unknown solver": lambda m: m.MLPClassifier(solver="x").fit(X, Y),
    "unknown activation": lambda m: m.MLPClassifier(activation="x").fit(X, Y),
    "unknown loss": lambda m: m.MLPRegressor(loss="x").fit(R, T),
    "no units": lambda m: m.MLPClassifier((0,)).fit(X, Y),
    "half a unit": lambda m: m.MLPClassifier((3.5,)).fit(X, Y),
    "layers in words": lambda m: m.MLPClassifier("abc").fit(X, Y),
    "no epochs": lambda m: m.MLPClassifier(max_iter=0).fit(X, Y),
    "a new Generator": lambda m: m.MLPClassifier(random_state=np.random.default_rng()).fit(X, Y),
    "solver by place": lambda m: m.MLPClassifier((3,), "relu", "adam"),
    "not fitted": lambda m: m.MLPClassifier().predict_proba(X),
    "NaN": lambda m: m.MLPClassifier().fit(X * np.nan, Y),
    "infinite targets": lambda m: m.MLPRegressor().fit(R, T * np.inf),
    "rows and labels": lambda m: m.MLPClassifier().fit(X, Y[:9]),
    "one dimension": lambda m: m.MLPClassifier().fit(X[:, 0], Y),
    "complex": lambda m: m.MLPClassifier().fit(X * 1j, Y),
    "words as rows": lambda m: m.MLPClassifier().fit([["a"], ["b"]], [0, 1]),
    "words as targets": lambda m: m.MLPRegressor().fit(R, np.array(["a"] * len(T))),
    "no labels": lambda m: m.MLPClassifier().fit(X, None),
    "labels between numbers": lambda m: m.MLPClassifier().fit(X, X[:, 0]),
    "two columns of labels": lambda m: m.MLPClassifier().fit(X, np.c_[Y, Y]),
    "nothing": lambda m: m.MLPClassifier().fit(X[:0], Y[:0]),
    "other columns": lambda m: classifier(m).fit(X, Y).predict(X[:, :2]),
    "a batch too large": lambda m: classifier(m, batch_size=9999).fit(X, Y),
    "L-BFGS cut short": lambda m: classifier(m, solver="lbfgs", max_iter=2).fit(X, Y),
    "too few to hold out": lambda m: m.MLPRegressor(early_stopping=True).fit(R[:9], T[:9]),
    "a lonely class": lambda m: m.MLPClassifier(early_stopping=True).fit(B[:20], np.eye(20)[0]),
    "partial and early": lambda m: m.MLPClassifier(early_stopping=True).partial_fit(X, Y, [0]),
    "partial without classes": lambda m: m.MLPClassifier().partial_fit(X, Y),
    "partial L-BFGS": lambda m: m.MLPClassifier(solver="lbfgs").partial_fit,
    "a new class": lambda m: m.MLPClassifier().partial_fit(X, Y, classes=[0, 1, 2])
    .partial_fit(X, Y + 1),
    "a narrower part": lambda m: m.MLPClassifier().partial_fit(X, Y, classes=[0, 1, 2])
    .partial_fit(X[:, :3], Y),
    "a warm start elsewhere": lambda m: classifier(m, warm_start=True).fit(X, Y).fit(X, Y + 1),
    "scores of others": lambda m: classifier(m).fit(X, Y).score(X, Y[:3]),
}  # fmt: skip
KINDS = (AttributeError, TypeError, ValueError, type(None))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_the_same(name):
    """The same kind of error with the same first words, or the same warnings."""
    (theirs, their_warnings), (ours, our_warnings) = (
        outcome(MISTAKES[name], module) for module in (sklearn.neural_network, cbp.sklearn)
    )
    assert isinstance(theirs, Exception) == isinstance(ours, Exception), (theirs, ours)
    if isinstance(theirs, Exception):
        for kind in KINDS:
            assert isinstance(theirs, kind) == isinstance(ours, kind), (theirs, ours)
        if name not in ("words as targets", "labels between numbers"):
            assert str(ours)[:25] == str(theirs)[:25]
    assert our_warnings == their_warnings
    assert isinstance(theirs, Exception) or ConvergenceWarning in {w for w, _ in our_warnings}
