"""A small graph of any expression, with derivatives carried forward, backward, or path by path.

What lives here: expressions of numbers that remember how they were made, as in Colah's essay on
back-propagation: e = (a + b)(b + 1). For networks there is `cbp.explain.graph`.

References
----------
Olah, Calculus on Computational Graphs: Backpropagation (2015).

>>> from cbp.explain import expression
>>> a, b = expression.variable("a", 2.0), expression.variable("b", 1.0)
>>> c, d = (a + b).named("c"), (b + 1).named("d")
>>> e = (c * d).named("e")
>>> e.reverse().derivatives
{'a': 2.0, 'b': 5.0, 'c': 2.0, 'd': 3.0, 'e': 1.0}
>>> e.forward(b).derivatives
{'a': 0.0, 'b': 1.0, 'c': 1.0, 'd': 1.0, 'e': 5.0}
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Union

from ._typeset import integer

__all__ = [
    "Edge", "Expression", "Factoring", "Path", "Sweep", "cos", "exp", "link", "log", "sigmoid",
    "sin", "sqrt", "tanh", "variable",
]  # fmt: skip

LIMIT = 10**6
_NAME = 80  # characters of a formula that serves as a name
_TEXT = 4000  # characters of a factored sum


class Edge(NamedTuple):
    """One partial derivative: of `target` with respect to `source`, under the name `label`."""

    source: str
    target: str
    partial: float
    label: str


class Sweep(NamedTuple):
    """What one pass gives.

    Attributes
    ----------
    derivatives : dict of float
        Forward: ∂node/∂variable of every node. Reverse: ∂result/∂node.
    edges : int
        How many edges the pass touched: each exactly once.
    multiplications, additions : int
    """

    derivatives: dict[str, float]
    edges: int
    multiplications: int
    additions: int


class Path(NamedTuple):
    """One path: its edges from the variable to the result, and the product of their partials."""

    edges: tuple[Edge, ...]
    product: float


class Factoring(NamedTuple):
    """What adding up at the nodes saves.

    Attributes
    ----------
    paths : int
    path_multiplications : int
        If every path is multiplied out on its own.
    multiplications : int
        If the sum is factored, node by node.
    text : str
        The factored sum, in the labels of the edges; its middle is left out if it is very long.
    """

    paths: int
    path_multiplications: int
    multiplications: int
    text: str


class _Arrow(NamedTuple):
    """An edge into a node: where it comes from, its partial, its own label if it has one."""

    source: Expression
    partial: float
    label: str | None = None


Operand = Union["Expression", float, int]


class Expression:
    """A number that remembers what it was made of; made by `variable`, operators and functions.

    Attributes
    ----------
    name : str
        As given by `named`, or the formula, whose middle is left out if it is long.
    value : float
    """

    def __init__(self, name: str, value: float, arrows: Iterable[_Arrow] = ()) -> None:
        self.name, self.value = _cut(name, _NAME), float(value)
        self._arrows = tuple(arrows)

    def named(self, name: str) -> Expression:
        """Give the expression a name, and return it."""
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"<{self.name} = {self.value:g}>"

    # ---- arithmetic -----------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Expression:
        return _made("{} + {}", self, other, lambda a, b: a + b, lambda a, b: (1.0, 1.0))

    def __radd__(self, other: Operand) -> Expression:
        return _made("{} + {}", other, self, lambda a, b: a + b, lambda a, b: (1.0, 1.0))

    def __sub__(self, other: Operand) -> Expression:
        return _made("{} - {}", self, other, lambda a, b: a - b, lambda a, b: (1.0, -1.0))

    def __rsub__(self, other: Operand) -> Expression:
        return _made("{} - {}", other, self, lambda a, b: a - b, lambda a, b: (1.0, -1.0))

    def __mul__(self, other: Operand) -> Expression:
        return _made("{} * {}", self, other, lambda a, b: a * b, lambda a, b: (b, a))

    def __rmul__(self, other: Operand) -> Expression:
        return _made("{} * {}", other, self, lambda a, b: a * b, lambda a, b: (b, a))

    def __truediv__(self, other: Operand) -> Expression:
        return _made(
            "{} / {}", self, other, lambda a, b: a / b, lambda a, b: (1.0 / b, -a / (b * b))
        )

    def __rtruediv__(self, other: Operand) -> Expression:
        return _made(
            "{} / {}", other, self, lambda a, b: a / b, lambda a, b: (1.0 / b, -a / (b * b))
        )

    def __pow__(self, power: float) -> Expression:
        if isinstance(power, Expression):
            raise TypeError("The power must be a number: write `exp(b * log(a))` for a ** b.")
        if self.value < 0.0 and power != int(power):
            raise ValueError(f"{self.name} ** {power:g} has no real value at {self.value:g}.")
        slope = power * self.value ** (power - 1) if power else 0.0
        return Expression(f"{_inner(self)} ** {power:g}", self.value**power, [_Arrow(self, slope)])

    def __neg__(self) -> Expression:
        return Expression(f"-{_inner(self)}", -self.value, [_Arrow(self, -1.0)])

    # ---- the graph ------------------------------------------------------------------------------

    def _order(self) -> list[Expression]:
        """Return every node below, sources first, as they were asked for; itself last."""
        order: list[Expression] = []
        seen: set[int] = set()
        stack: list[tuple[Expression, bool]] = [(self, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((a.source, False) for a in reversed(node._arrows))
        variables = [node for node in order if not node._arrows]
        return variables + [node for node in order if node._arrows]

    def _names(self, order: list[Expression]) -> dict[int, str]:
        """Return a name of its own for every node: a second "a + b" is "a + b #2"."""
        names: dict[int, str] = {}
        times: dict[str, int] = {}
        for node in order:
            times[node.name] = times.get(node.name, 0) + 1
            n = times[node.name]
            names[id(node)] = node.name if n == 1 else f"{node.name} #{n}"
        return names

    def nodes(self) -> dict[str, float]:
        """Return every node's value by its name: variables first, the expression itself last."""
        order = self._order()
        names = self._names(order)
        return {names[id(node)]: node.value for node in order}

    def edges(self) -> tuple[Edge, ...]:
        """Return every edge with its partial; a * a has two from a."""
        order = self._order()
        names = self._names(order)
        return tuple(_edge(arrow, node, names) for node in order for arrow in node._arrows)

    # ---- derivatives ----------------------------------------------------------------------------

    def forward(self, variable: Expression) -> Sweep:
        """Return ∂node/∂variable of every node, carried forward from the variable.

        Raises
        ------
        ValueError
            The expression does not depend on the variable.
        """
        order = self._order()
        self._demand(variable, order)
        slopes: dict[int, float] = {}
        edges = mults = adds = 0
        for node in order:
            if node is variable:
                slopes[id(node)] = 1.0
                edges += len(node._arrows)
                continue
            total = None
            for arrow in node._arrows:
                edges += 1
                mults += 1
                term = arrow.partial * slopes[id(arrow.source)]
                adds += total is not None
                total = term if total is None else total + term
            slopes[id(node)] = 0.0 if total is None else total
        names = self._names(order)
        return Sweep({names[id(n)]: slopes[id(n)] for n in order}, edges, mults, adds)

    def reverse(self) -> Sweep:
        """Return ∂self/∂node of every node, carried backward from the result."""
        order = self._order()
        slopes: dict[int, float] = {id(self): 1.0}
        edges = mults = adds = 0
        for node in reversed(order):
            for arrow in node._arrows:
                edges += 1
                mults += 1
                term = arrow.partial * slopes[id(node)]
                at = id(arrow.source)
                adds += at in slopes
                slopes[at] = slopes[at] + term if at in slopes else term
        names = self._names(order)
        return Sweep({names[id(n)]: slopes[id(n)] for n in order}, edges, mults, adds)

    def paths(self, variable: Expression, *, limit: int = LIMIT) -> tuple[Path, ...]:
        """Return every path from a variable; their products add up to the derivative.

        Raises
        ------
        ValueError
            The expression does not depend on the variable, or there are more than `limit` paths.
        """
        order = self._order()
        self._demand(variable, order)
        names = self._names(order)
        number = self.factored(variable).paths
        if number > limit:
            raise ValueError(
                f"{integer(number)} paths lead from {variable.name} to {self.name}, more than the "
                f"limit of {limit:,}: `reverse()` gives their sum, `factored()` their number."
            )

        def behind(node: Expression) -> Iterator[tuple[Edge, ...]]:
            if node is variable:
                yield ()
            for arrow in node._arrows:
                for path in behind(arrow.source):
                    yield (*path, _edge(arrow, node, names))

        # Edges nearest to the variable vary slowest.
        return tuple(Path(edges, math.prod(e.partial for e in edges)) for edges in behind(self))

    def factored(self, variable: Expression) -> Factoring:
        """Return the sum over all paths from a variable, factored, and what that saves.

        Raises
        ------
        ValueError
            The expression does not depend on the variable.

        Examples
        --------
        >>> from cbp.explain import expression
        >>> x = expression.variable("x", 1.0)
        >>> y = expression.link(x, {"α": 1.0, "β": 2.0, "γ": 3.0}).named("y")
        >>> z = expression.link(y, {"δ": 4.0, "ε": 5.0, "ζ": 6.0}).named("z")
        >>> z.factored(x).text, z.factored(x).paths
        ('(α + β + γ) (δ + ε + ζ)', 9)
        """
        order = self._order()
        self._demand(variable, order)
        names = self._names(order)
        above: dict[int, list[tuple[_Arrow, Expression]]] = {}
        for node in order:
            for arrow in node._arrows:
                above.setdefault(id(arrow.source), []).append((arrow, node))
        # From every node to the result: paths, their edges together, the factored sum, its terms.
        paths, lengths, texts, terms = {id(self): 1}, {id(self): 0}, {id(self): ""}, {id(self): 1}
        mults = 0
        for node in reversed(self._reached(variable, order)):
            at = id(node)
            if node is self:
                continue
            groups: dict[int, list[tuple[_Arrow, Expression]]] = {}
            for arrow, target in above[at]:
                groups.setdefault(id(target), []).append((arrow, target))
            paths[at] = sum(paths[id(target)] for _, target in above[at])
            lengths[at] = sum(paths[id(t)] + lengths[id(t)] for _, t in above[at])
            sums = []
            for to, group in groups.items():
                labels = [_edge(arrow, target, names).label for arrow, target in group]
                text = labels[0] if len(labels) == 1 else f"({' + '.join(labels)})"
                mults += bool(texts[to])
                rest = texts[to] if terms[to] == 1 else f"({texts[to]})"
                sums.append(f"{text} {rest}".strip())
            texts[at], terms[at] = _cut(" + ".join(sums), _TEXT), len(sums)
        at = id(variable)
        return Factoring(paths[at], lengths[at] - paths[at], mults, texts[at] or "1")

    def _reached(self, variable: Expression, order: list[Expression]) -> list[Expression]:
        """Return the nodes that depend on the variable, itself included, sources first."""
        reached = {id(variable)}
        for node in order:
            if any(id(arrow.source) in reached for arrow in node._arrows):
                reached.add(id(node))
        return [node for node in order if id(node) in reached]

    def _demand(self, variable: Expression, order: list[Expression]) -> None:
        if not any(node is variable for node in order):
            raise ValueError(f"{self.name} does not depend on {variable.name}.")


def _edge(arrow: _Arrow, target: Expression, names: dict[int, str]) -> Edge:
    source, to = names[id(arrow.source)], names[id(target)]
    return Edge(source, to, arrow.partial, arrow.label or f"∂{to}/∂{source}")


def _inner(operand: Operand) -> str:
    """Return an operand's name, in brackets if it is a formula."""
    if not isinstance(operand, Expression):
        return f"{operand:g}"
    bare = operand.name.replace("_", "").isalnum() or operand.name.endswith(")")
    return operand.name if bare and " " not in operand.name else f"({operand.name})"


def _made(
    pattern: str,
    a: Operand,
    b: Operand,
    value: Callable[[float, float], float],
    partials: Callable[[float, float], tuple[float, float]],
) -> Expression:
    """Return the expression of two operands, at least one of which is an Expression."""
    for operand in (a, b):
        if not isinstance(operand, (Expression, int, float)):
            raise TypeError(f"An operand must be a number, got {type(operand).__name__}.")
    x, y = (o.value if isinstance(o, Expression) else float(o) for o in (a, b))
    arrows = [
        _Arrow(operand, partial)
        for operand, partial in zip((a, b), partials(x, y))
        if isinstance(operand, Expression)
    ]
    return Expression(pattern.format(_inner(a), _inner(b)), value(x, y), arrows)


def _cut(text: str, most: int) -> str:
    """Return a text of bounded length: where nodes are shared, formulas double from each to each."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def variable(name: str, value: float) -> Expression:
    """Return a variable: a node that nothing leads to."""
    if not isinstance(name, str):
        raise TypeError(f"`name` must be text, got {name!r}.")
    if not isinstance(value, numbers.Real):
        raise TypeError(f"`value` must be a number, got {value!r}.")
    return Expression("", float(value)).named(name)


def link(source: Expression, partials: dict[str, float]) -> Expression:
    """Return Σ partial × source with an edge of its own for every label.

    Parameters
    ----------
    source : Expression
    partials : dict of float
        Labels and values of the edges, which run side by side.
    """
    value = sum(partials.values()) * source.value
    arrows = [_Arrow(source, float(p), label) for label, p in partials.items()]
    return Expression(f"link({source.name})", value, arrows)


def _function(name: str, x: Expression, value: float, slope: float) -> Expression:
    return Expression(f"{name}({x.name})", value, [_Arrow(x, slope)])


def _at(name: str, x: Expression, above_zero: bool = False) -> float:
    """Return where a function is asked for, if it is defined there."""
    if not isinstance(x, Expression):
        raise TypeError(f"`{name}` takes an expression, got {type(x).__name__}.")
    if above_zero and not x.value > 0.0:
        raise ValueError(f"`{name}` and its slope need a number above 0, got {x.value:g}.")
    return x.value


def exp(x: Expression) -> Expression:
    """Return the exponential."""
    value = math.exp(_at("exp", x))
    return _function("exp", x, value, value)


def log(x: Expression) -> Expression:
    """Return the natural logarithm."""
    at = _at("log", x, above_zero=True)
    return _function("log", x, math.log(at), 1.0 / at)


def sqrt(x: Expression) -> Expression:
    """Return the square root."""
    value = math.sqrt(_at("sqrt", x, above_zero=True))
    return _function("sqrt", x, value, 0.5 / value)


def sin(x: Expression) -> Expression:
    """Return the sine."""
    at = _at("sin", x)
    return _function("sin", x, math.sin(at), math.cos(at))


def cos(x: Expression) -> Expression:
    """Return the cosine."""
    at = _at("cos", x)
    return _function("cos", x, math.cos(at), -math.sin(at))


def tanh(x: Expression) -> Expression:
    """Return the hyperbolic tangent."""
    value = math.tanh(_at("tanh", x))
    return _function("tanh", x, value, 1.0 - value * value)


def sigmoid(x: Expression) -> Expression:
    """Return the logistic function 1 / (1 + exp(-x))."""
    at = _at("sigmoid", x)
    e = math.exp(-abs(at))
    value = (1.0 if at >= 0 else e) / (1.0 + e)
    return _function("sigmoid", x, value, value * (1.0 - value))
