"""The same fit by scikit-learn and by cbp: one import line apart, and a time ratio.

Run with ``python examples/sklearn_digits.py``; needs ``pip install cbp[sklearn]``.
"""

import time

import sklearn.neural_network
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import cbp.sklearn

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

seconds = {}
for module in (sklearn.neural_network, cbp.sklearn):
    model = make_pipeline(
        MinMaxScaler(),
        module.MLPClassifier((64,), max_iter=300, early_stopping=True, random_state=0),
    )
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds[module] = time.perf_counter() - start
    mlp = model[-1]
    print(
        f"{module.__name__:22}  {seconds[module]:6.3f} s  {mlp.n_iter_} epochs  "
        f"loss {mlp.loss_:.9f}  accuracy {model.score(X_test, y_test):.4f}"
    )
print(f"{seconds[sklearn.neural_network] / seconds[cbp.sklearn]:.1f} times as fast")
