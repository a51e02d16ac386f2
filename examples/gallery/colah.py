"""Olah's computational graph, forward, backward, and path by path.

C. Olah, Calculus on Computational Graphs: Backpropagation (2015).
Run it with: python examples/gallery/colah.py
"""

from verdict import Verdicts

from cbp.explain.expression import link, variable


def main():
    table = Verdicts("Olah, Calculus on Computational Graphs")
    a, b = variable("a", 2), variable("b", 1)
    c, d = (a + b).named("c"), (b + 1).named("d")
    e = (c * d).named("e")

    table.part("e = (a + b)(b + 1) at a = 2, b = 1")
    table.numbers("a, b, c, d, e", "2, 1, 3, 2, 6", e.nodes().values())
    partials = {edge.label: edge.partial for edge in e.edges()}
    names = "∂c/∂a, ∂c/∂b, ∂d/∂b, ∂e/∂c, ∂e/∂d"
    table.numbers(names, "1, 1, 1, 2, 3", [partials[name] for name in names.split(", ")])

    table.part("Forward mode: one pass for each input")
    from_b, from_a = e.forward(b), e.forward(a)
    table.numbers("∂a/∂b, ∂b/∂b, ∂c/∂b, ∂d/∂b, ∂e/∂b", "0, 1, 1, 1, 5", from_b.derivatives.values())
    table.numbers("∂a/∂a, ∂b/∂a, ∂c/∂a, ∂d/∂a, ∂e/∂a", "1, 0, 1, 0, 2", from_a.derivatives.values())

    table.part("Reverse mode: one pass for all of them")
    back = e.reverse()
    names = "∂e/∂e, ∂e/∂c, ∂e/∂d, ∂e/∂a, ∂e/∂b"
    table.numbers(
        names, "1, 2, 3, 2, 5", [back.derivatives[name[-1]] for name in names.split(", ")]
    )
    touched = (from_b.edges, from_a.edges, back.edges)
    table.holds("edges touched by each pass", "each once: 5", touched, touched == (5, 5, 5))

    table.part("Sums over paths")
    products = [path.product for path in e.paths(b)]
    table.holds("∂e/∂b", "1·2 + 1·3", " + ".join(f"{p:g}" for p in products), products == [2, 3])

    table.part("Factoring them")
    x = variable("X", 1.0)
    y = link(x, {"α": 2.0, "β": 3.0, "γ": 5.0}).named("Y")
    z = link(y, {"δ": 7.0, "ε": 11.0, "ζ": 13.0}).named("Z")
    factored = z.factored(x)
    table.holds("paths from X to Z", 9, factored.paths, factored.paths == len(z.paths(x)) == 9)
    text = "(α+β+γ)(δ+ε+ζ)"
    got = factored.text.replace(" ", "")
    table.holds("their sum", text, got, got == text)
    for _ in range(8):  # ten stages of three edges
        z = link(z, {"p": 0.5, "q": 0.5, "r": 0.5})
    ten = z.factored(x)
    table.holds("paths through ten stages", "3^10 = 59049", ten.paths, ten.paths == 3**10)
    work = (ten.path_multiplications, ten.multiplications)
    table.holds("multiplications", "531441 or 9", f"{work[0]} or {work[1]}", work == (531_441, 9))
    table.end()


if __name__ == "__main__":
    main()
