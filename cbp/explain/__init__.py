"""See why back-propagation is needed: a network's chain rule, path by path, forward and backward.

What lives here: the computational graph of a network, and what can be told, counted and drawn of
it. A room of its own: NumPy and the public names of cbp alone; the core never enters it.

>>> import cbp
>>> net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, dtype="float64")
>>> net.parameters[:] = 0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8
>>> g = cbp.explain.graph(net, [1.5, -2.0], [0.25, 0.75], "squared_error")
>>> len(g.edges), round(g.gradients["w5"], 9)
(18, 0.00052527)
"""

from . import expression
from .building import graph, graphs
from .chains import Path, Paths, paths
from .formulas import Counts, Work, counts
from .methods import Derived, derive
from .names import Names, latex
from .nodes import Edge, Graph, Node
from .picture import Picture
from .secants import Curve, Sensitivity, sensitivity
from .steps import Step, Trace, trace
from .tables import Comparison, Growth, compare, growth

__all__ = [
    "Comparison",
    "Counts",
    "Curve",
    "Derived",
    "Edge",
    "Graph",
    "Growth",
    "Names",
    "Node",
    "Path",
    "Paths",
    "Picture",
    "Sensitivity",
    "Step",
    "Trace",
    "Work",
    "compare",
    "counts",
    "derive",
    "expression",
    "graph",
    "graphs",
    "growth",
    "latex",
    "paths",
    "sensitivity",
    "trace",
]
