"""The article's nets A, B and C as cbp.explain's tests use them."""

import cbp
from cbp import explain

# In the order of net.parameters: w5 and w6 stand behind w1 and w2, w7 behind w3.
NETS = {
    "A": ([1, 2, 1], [0.1, 0.2, 0.3, 0.4], [1.5], [0.25]),
    "B": ([2, 2, 1], [0.1, 0.2, 0.5, 0.6, 0.3, 0.4], [1.5, -2.0], [0.25]),
    "C": ([2, 2, 2], [0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8], [1.5, -2.0], [0.25, 0.75]),
}


def article_net(letter):
    """(net, x, t) of the article's net A, B or C."""
    sizes, parameters, x, t = NETS[letter]
    net = cbp.Network(sizes, "sigmoid", "sigmoid", bias=False, dtype="float64")
    net.parameters[:] = parameters
    return net, x, t


def article_graph(letter):
    """Its graph, with the article's loss."""
    return explain.graph(*article_net(letter), "squared_error")
