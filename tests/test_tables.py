"""Summaries, notebooks and plots."""

from __future__ import annotations

import html.parser

import numpy as np
import pytest

import cbp


def cells(text: str) -> list[str]:
    """The words of a piece of HTML whose tags are all closed."""
    words, open_tags = [], []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

        def handle_data(self, data):
            words.append(data)

    Parser().feed(text)
    assert open_tags == []
    return words


def test_the_summary_tells_what_layers_have():
    """Dropout, masks, limits and scaling are in the table; what nobody has is not."""
    mask = np.ones((3, 4))
    mask[0] = 0
    net = cbp.Network(
        [3, cbp.Dense(4, "tanh", mask=mask, dropout=0.25, max_norm=3.0),
         cbp.Dense(2, nonnegative=True, trainable="biases")],
        standardize=True, seed=1,
    )  # fmt: skip
    text = net.summary()
    for words in ("dropout 0.25", "mask 8 of 12", "max-norm 3", "non-negative", "biases",
                  "the first fit will standardise"):  # fmt: skip
        assert words in text
    net.scaling = cbp.Scaling(np.zeros(3), np.ones(3), np.zeros(2), np.ones(2))
    assert "inputs are standardised" in net.summary()
    net.scaling = cbp.Scaling(np.zeros(3), np.ones(3), np.ones(2), np.ones(2))
    assert "inputs and targets are standardised" in net.summary()
    assert "also" not in cbp.Network([3, 1]).summary()


def test_columns_stand_below_each_other():
    """Numbers end, words begin, in one column of the terminal."""
    lines = cbp.Network([7, 1200, 3], ["sigmoid", "tanh"]).summary().splitlines()
    for name in ("inputs", "outputs", "parameters"):
        end = lines[0].index(name) + len(name)
        assert all(line[end - 1].isdigit() and line[end] == " " for line in lines[1:3])


def test_networks_and_histories_in_notebooks():
    """Well-formed tables with the numbers of the text."""
    net = cbp.Network([3, 5, 1], seed=1)
    found = cells(net._repr_html_())
    assert {"layer", "3", "5", "relu", "20", "26 parameters, float32, 104 bytes"} <= set(found)
    trainer = cbp.Trainer(net, seed=1)
    empty = cells(trainer.history._repr_html_())
    assert "0 epochs, 0 s" in empty
    trainer.fit(np.eye(3), np.ones(3), epochs=1)
    history = trainer.fit(np.eye(3), np.ones(3), epochs=100)
    found = cells(history._repr_html_())
    assert "…" in found and "1" in found and "100" in found and "50" not in found
    assert f"{history['loss'][-1]:.6g}" in found


def test_the_plot_has_the_numbers():
    """A panel for each number, training and validation in one, the best epoch marked."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    X = np.random.default_rng(0).normal(size=(40, 3))
    trainer = cbp.Trainer(cbp.Network([3, 8, 1], seed=1), metrics="r2", seed=1)
    trainer.fit(X, X[:, 0], epochs=2)
    history = trainer.fit(X, X[:, 0], epochs=5, validation_split=0.25)
    figure = history.plot(log=True)
    loss, r2 = figure.axes
    assert loss.get_yscale() == "log" and loss.get_ylabel() == "loss" and r2.get_ylabel() == "r2"
    training, validation, best = loss.get_lines()
    assert training.get_xdata().tolist() == [2, 3, 4, 5, 6]
    assert training.get_ydata().tolist() == history["loss"]
    assert validation.get_ydata().tolist() == history["val_loss"]
    assert best.get_xdata()[0] == history.best_epoch
    pyplot.close(figure)


def test_a_plot_of_nothing_is_refused():
    """One sentence."""
    with pytest.raises(ValueError, match="nothing to plot"):
        cbp.Trainer(cbp.Network([1, 1])).history.plot()


def test_a_plot_without_matplotlib_names_the_extra(monkeypatch):
    """One sentence that says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    history = cbp.Trainer(cbp.Network([1, 1])).fit([[0.0]], [1.0], epochs=1)
    with pytest.raises(ImportError, match=r"pip install cbp\[plot\]"):
        history.plot()
