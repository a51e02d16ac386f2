"""The command `python -m cbp explain`.

What lives here: its options, the network they mean, and which of the room's answers is printed or
written. Every mistake is one sentence.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cbp

from .building import graph
from .chains import full, paths, shown
from .names import Names
from .nodes import Graph
from .secants import sensitivity
from .steps import trace
from .tables import compare

__all__ = ["add", "joined", "run"]

_NUMBERS = ("--x", "--t", "--weights")
_OPTIONS = {  # of what the library's sentences call by the names of its arguments
    "x": "--x", "t": "--t", "weight": "--weight", "loss": "--loss", "activation": "--activation",
    "output_activation": "--output",
}  # fmt: skip
# The article's own nets: what they see and what they are to answer.
_X = {1: (1.5,), 2: (1.5, -2.0)}
_T = {1: (0.25,), 2: (0.25, 0.75)}
_MOST_GRADIENTS = 40
_MOST_VALUES = 8

EPILOG = """examples:
  python -m cbp explain 2-2-2 --weight w5
  python -m cbp explain 1-2-1 --weights .1,.2,.3,.4 --x 1.5 --t .25 --trace
  python -m cbp explain 2-2-2 --x 1.5,-2 --t .25,.75 --weight w5 -o page.html
  python -m cbp explain model.safetensors --x 0.2,0.4,0.1 --t 1 --svg net.svg
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the command line, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="show a network's gradient, path by path, forward against backward",
        description="Show how one gradient comes about: every path of a weight, and what the "
        "ways to the whole gradient take. Nets of sizes 1-2-1, 2-2-1 and 2-2-2 have names, weights "
        "and data of their own where none are given: docs/explain.md tells why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="sizes such as 2-2-2, or the file of a saved network")
    parser.add_argument("--x", metavar="A,B,...", help="the inputs")
    parser.add_argument(
        "--t", metavar="A,B,...", help="the targets; a class's number for a softmax output"
    )
    parser.add_argument("--weight", metavar="NAME", help="the weight or bias to follow, as w5")
    parser.add_argument(
        "--weights",
        metavar="A,B,...",
        help="all weights, w1 first; of other nets than the article's all parameters, in the order "
        "of net.parameters (default: .1,.2,... in the article's nets, else drawn with seed 1)",
    )
    parser.add_argument(
        "--activation", metavar="NAME", help="of the hidden layers (default: sigmoid)"
    )
    parser.add_argument("--output", metavar="NAME", help="the output activation (default: sigmoid)")
    parser.add_argument(
        "--loss", metavar="NAME", help="squared_error by default; of a saved network, auto"
    )
    parser.add_argument(
        "--bias", action="store_true", help="give the layers biases, which start at 0"
    )
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument("--text", action="store_true", help="print the answer (the default)")
    answers.add_argument("--trace", action="store_true", help="print every step of both passes")
    answers.add_argument("-o", metavar="FILE.html", help="write a page that steps through it all")
    answers.add_argument("--svg", metavar="FILE.svg", help="write a drawing")
    return parser


def joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with "--x -2,1" as "--x=-2,1", which argparse takes for a value."""
    result: list[str] = []
    for argument in arguments:
        if result and result[-1] in _NUMBERS and re.match(r"-[\d.]", argument):
            result[-1] += f"={argument}"
        else:
            result.append(argument)
    return result


def run(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Answer; leave with a sentence and exit code 2 if the command line is wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters shows "?"
    try:
        g = _graph(chosen)
        if chosen.weight is not None:
            g.place(chosen.weight)
        if chosen.o:
            g.to_html(chosen.o, weight=chosen.weight)
        elif chosen.svg:
            g.draw(chosen.weight).save(chosen.svg)
        elif chosen.trace:
            print(trace(g))
        else:
            print(_text(g, chosen.weight))
    except BrokenPipeError:  # nobody reads on: see cbp.__main__.main
        raise
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {_sentence(error)}\n")


def _sentence(error: Exception) -> str:
    """Return an error as the command line says it: the options have other names there."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename!r}."
    sentence = re.sub(r"`output_activation='(\w+)'`", r"`--output \1`", str(error))
    for argument, option in _OPTIONS.items():
        sentence = sentence.replace(f"`{argument}`", f"`{option}`")
    return sentence


def _graph(chosen: argparse.Namespace) -> Graph:
    """Return the graph that the options mean."""
    saved = not re.fullmatch(r"\d+(-\d+)+", chosen.model)
    net = _loaded(chosen) if saved else _built(chosen)
    article = not saved and Names(net.sizes).article
    x = _numbers(chosen.x, "x", net.sizes[0], "inputs", _X if article else {})
    softmax = net.activations[-1] in ("softmax", "log_softmax")
    if softmax and chosen.t is not None and re.fullmatch(r"\d+", chosen.t):
        t: Any = int(chosen.t)
    else:
        t = _numbers(chosen.t, "t", net.sizes[-1], "outputs", _T if article else {})
    return graph(net, x, t, chosen.loss or ("auto" if saved or softmax else "squared_error"))


def _loaded(chosen: argparse.Namespace) -> cbp.Network:
    for name in ("weights", "activation", "output", "bias"):
        if getattr(chosen, name):
            raise ValueError(f"--{name} goes with sizes: a saved network has its own.")
    if not Path(chosen.model).is_file():
        raise ValueError(
            f"`model` must be sizes such as 2-2-2, or the file of a saved network: there is no "
            f"file {chosen.model!r}."
        )
    return cbp.load(chosen.model)


def _built(chosen: argparse.Namespace) -> cbp.Network:
    sizes = [int(size) for size in chosen.model.split("-")]
    net = cbp.Network(
        sizes,
        chosen.activation or "sigmoid",
        chosen.output or "sigmoid",
        bias=chosen.bias,
        dtype="float64",
        seed=1,
    )
    names = Names(net.sizes)
    if not names.article:
        if chosen.weights is not None:
            n = net.n_parameters
            net.parameters[:] = _numbers(chosen.weights, "weights", n, "parameters", {})
        return net
    n_weights = sum(W.size for W in net.weights)
    default = {n_weights: [k / 10 for k in range(1, n_weights + 1)]}
    values = _numbers(chosen.weights, "weights", n_weights, "weights", default)
    for layer, W in enumerate(net.weights):
        for i, j in np.ndindex(W.shape):
            W[i, j] = values[int(names.weight(layer, i, j)[1:]) - 1]
    return net


def _numbers(text: str | None, name: str, n: int, what: str, default: Any) -> list[float]:
    """Return n numbers written with commas, or the default for n."""
    if text is None:
        if n in default:
            return list(default[n])
        raise ValueError(f"--{name} is missing: {n} numbers with commas, the {what}.")
    values = []
    for part in text.split(","):
        try:
            values.append(float(part))
        except ValueError:
            raise ValueError(
                f"--{name} must be numbers with commas between them, as 1.5,-2, got {text!r}."
            ) from None
    if len(values) != n:
        raise ValueError(f"--{name} must have {n} numbers, the {what}, got {len(values)}.")
    return values


def _text(g: Graph, weight: str | None) -> str:
    """Return the answer in words: one weight's paths and sensitivity, or the whole gradient."""
    sizes = g.names.sizes_in_words
    parts = [f"{sizes}, {g.loss.name}: L = {full(g.value)}, {g.n_edges:,} edges"]
    if g.standardised:
        parts[0] += f"\nin standardised units: x = {_list(g.x)}, t = {_list(g.t)}"
    x, t = g.x, g.t[np.newaxis]
    if weight is None:
        parts.append(_gradients(g))
    else:
        parts.append(str(paths(g, weight)))
        parts.append(str(sensitivity(g.net, x, t, weight, loss=g.loss)))
    parts.append(str(compare(g.net, x, t, g.loss)))
    return "\n\n".join(parts)


def _list(values: NDArray[np.float64]) -> str:
    """Return some numbers; of many the first and the last."""
    texts = [shown(value) for value in values.tolist()]
    if len(texts) > _MOST_VALUES:
        texts = [*texts[:2], "...", texts[-1]]
    return f"({', '.join(texts)})"


def _gradients(g: Graph) -> str:
    """Return δ's and gradients, or how many there are if there are many."""
    if len(g.gradient) > _MOST_GRADIENTS:
        return (
            f"{len(g.gradient):,} derivatives, from {g.gradient.min():.6g} to "
            f"{g.gradient.max():.6g}; --weight NAME follows one of them"
        )
    lines = [f"δ({node.name}) = {full(node.gradient)}" for node in g.nodes if node.kind == "z"]
    names = g.names.in_order(g.gradients)
    return "\n".join(lines + [f"∂L/∂{name} = {full(g.gradients[name])}" for name in names])
