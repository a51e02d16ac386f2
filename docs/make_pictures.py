"""Draws the pictures of docs/backpropagation.md and docs/explain.md: python docs/make_pictures.py

Needs matplotlib for one of them (`pip install cbp[plot]`). Without an argument they are written
beside this file, else into the folder that is named.
"""

import sys
from pathlib import Path

import cbp
from cbp import explain

# The article's nets, weights in the order of net.parameters.
NETS = {
    "A": ([1, 2, 1], [0.1, 0.2, 0.3, 0.4], [1.5], [0.25]),
    "B": ([2, 2, 1], [0.1, 0.2, 0.5, 0.6, 0.3, 0.4], [1.5, -2.0], [0.25]),
    "C": ([2, 2, 2], [0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8], [1.5, -2.0], [0.25, 0.75]),
}


def graph(letter):
    """Return the graph of one of the article's nets."""
    sizes, parameters, x, t = NETS[letter]
    net = cbp.Network(sizes, "sigmoid", "sigmoid", bias=False, dtype="float64")
    net.parameters[:] = parameters
    return explain.graph(net, x, t, "squared_error")


def plot_growth(path):
    """Draw the work over the depth: a straight line on this scale is exponential growth."""
    import matplotlib

    matplotlib.use("svg")
    # Text stays text, and the file is the same at every run.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cbp", "font.size": 12})
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    explain.growth(10, range(1, 9)).plot(ax)
    ax.minorticks_off()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    graph("A").draw("w1").save(folder / "net-a.svg")
    graph("B").draw("w5").save(folder / "net-b.svg")
    graph("C").draw("w5").save(folder / "paths-of-w5.svg")
    graph("C").draw(color="contribution").save(folder / "backward.svg")
    plot_growth(folder / "growth.svg")


if __name__ == "__main__":
    main()
