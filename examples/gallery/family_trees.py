"""Hinton's family trees: a masked first layer, a recipe that fails, and one that works.

Rumelhart, Hinton and Williams, Nature 323 (1986), figs. 2-4: two families of twelve with the same
tree, one English, one Italian. From a person and a relation ("Colin", "aunt") a net names those who
stand so to the person. Person and relation first go to six units each, which see nothing else: a
mask on the first layer. As printed, the recipe (ε = .01, every weight less .2 % after each sweep)
does not learn: the decay wins. Larger steps, less decay and a wider start do. Takes about 10 s.
Run it with: python examples/gallery/family_trees.py
"""

import itertools

import numpy as np
from verdict import Verdicts

import cbp

ENGLISH = (
    "Christopher Penelope Andrew Christine Margaret Arthur Victoria James Jennifer Charles "
    "Colin Charlotte"
).split()
ITALIAN = (
    "Roberto Maria Pierro Francesca Gina Emilio Lucia Marco Angela Tomaso Alfonso Sophia"
).split()
PEOPLE = ENGLISH + ITALIAN
# Pairs of (husband, wife), and of whom which pair are the parents: places in either list.
COUPLES = [(0, 1), (2, 3), (5, 4), (7, 6), (9, 8)]
PARENTS = {5: (0, 1), 6: (0, 1), 7: (2, 3), 8: (2, 3), 10: (7, 6), 11: (7, 6)}
MEN = {0, 2, 5, 7, 9, 10}
RELATIONS = {  # the man's name and the woman's
    "parents": ("father", "mother"),
    "spouse": ("husband", "wife"),
    "children": ("son", "daughter"),
    "aunts": ("uncle", "aunt"),
    "siblings": ("brother", "sister"),
    "nieces": ("nephew", "niece"),
}
NAMES = [name for pair in RELATIONS.values() for name in pair]
SIZES = (36, 12, 12, 6, 24)
LOSS = cbp.SquaredError(reduction="sum")


def relatives(p):
    """Return who stands in which kind of relation to a person of a tree."""

    def spouses(q):
        return {w if q == h else h for h, w in COUPLES if q in (h, w)}

    def children(q):
        return {c for c, parents in PARENTS.items() if q in parents}

    def siblings(q):
        return {s for s in PARENTS if q in PARENTS and PARENTS[s] == PARENTS[q] and s != q}

    def all_of(kin, people):
        return set().union(*map(kin, people))

    parents = set(PARENTS.get(p, ()))
    aunts = all_of(siblings, parents)
    return {
        "parents": parents,
        "spouse": spouses(p),
        "children": children(p),
        "aunts": aunts | all_of(spouses, aunts),
        "siblings": siblings(p),
        "nieces": all_of(children, siblings(p) | all_of(siblings, spouses(p))),
    }


def cases():
    """Return the 104 cases as (person, relation, answers)."""
    found = []
    for tree in (ENGLISH, ITALIAN):
        for p in range(12):
            for kind, people in relatives(p).items():
                for name, sex in zip(RELATIONS[kind], (MEN, set(range(12)) - MEN)):
                    if people & sex:
                        found.append((tree[p], name, [tree[q] for q in sorted(people & sex)]))
    return found


def arrays():
    """Return X (104, 36), a one for the person and one for the relation, and Y (104, 24)."""
    X, Y = np.zeros((104, 36)), np.zeros((104, 24))
    for row, (person, relation, answers) in enumerate(cases()):
        X[row, PEOPLE.index(person)] = X[row, 24 + NAMES.index(relation)] = 1
        Y[row, [PEOPLE.index(answer) for answer in answers]] = 1
    return X, Y


class Net:
    """The net of 1986, with its own rule of descent on cbp's gradient."""

    def __init__(self, parameters):
        groups = np.zeros((36, 12))
        groups[:24, :6] = groups[24:, 6:] = 1
        layers = [cbp.Dense(12, mask=groups), *SIZES[2:]]
        self.net = cbp.Network([36, *layers], "sigmoid", "sigmoid", dtype="float64", seed=1)
        self.kept = np.ones(self.net.n_parameters)
        self.kept[: groups.size] = groups.ravel()
        self.net.parameters[:] = parameters * self.kept
        self.velocity = np.zeros_like(self.kept)

    def targets(self, X, Y):
        """Return Y, with no error where an output that should be 1 is above .8, or 0 below .2."""
        y = self.net.predict(X)
        return np.where(((Y == 1) & (y > 0.8)) | ((Y == 0) & (y < 0.2)), y, Y)

    def sweep(self, X, Y, rate, momentum, decay):
        """Update once, by the gradient summed over all cases; then every weight decays."""
        _, gradient = self.net.loss_and_gradient(X, self.targets(X, Y), LOSS)
        self.velocity = momentum * self.velocity - rate * self.kept * gradient
        self.net.parameters[:] = (self.net.parameters + self.velocity) * (1 - decay)

    def right(self, X, Y):
        """Return, for each case, whether every output is within .5 of its target."""
        return (np.abs(self.net.predict(X) - Y) < 0.5).all(axis=1)


def run(seed, X, Y, rate, decay, span):
    """Return the shares of 100 training cases and 4 others that are right after 1500 sweeps."""
    random = np.random.default_rng(seed)
    net = Net(random.uniform(-span, span, sum(i * o + o for i, o in itertools.pairwise(SIZES))))
    rows = random.permutation(104)
    held_out, training = rows[:4], rows[4:]
    for sweep in range(1500):
        net.sweep(X[training], Y[training], rate, 0.5 if sweep < 20 else 0.9, decay)
    return net.right(X[training], Y[training]).mean(), net.right(X[held_out], Y[held_out]).mean()


def main():
    table = Verdicts("Family trees: Rumelhart, Hinton and Williams, Nature 323 (1986), figs. 2-4")
    X, Y = arrays()
    table.part("The cases")
    kept = int(Net(np.ones(1)).kept.sum())
    for what, source, got in (
        ("people", 24, len(PEOPLE)), ("relations", 12, len(NAMES)), ("cases", 104, len(cases())),
        ("facts", 112, int(Y.sum())), ("weights and biases", 630, kept),
    ):  # fmt: skip
        table.holds(what, source, got, source == got)

    table.part("Right after 1,500 sweeps, of the 100 training cases", "independently")
    for name, rate, decay, span, seeds, known, low, high in (
        ("as printed: ε .01, decay .002", 0.01, 0.002, 0.3, 3, "0 %", 0, 1),
        ("so, started in ±1", 0.01, 0.002, 1.0, 3, "0 %", 0, 1),
        ("ε .05, decay .0002, in ±1", 0.05, 0.0002, 1.0, 12, "94.7 %", 90, 100),
    ):
        print(f"  {seeds} starts ...", flush=True)
        shares, others = zip(*(run(seed, X, Y, rate, decay, span) for seed in range(seeds)))
        mean = 100 * np.mean(shares)
        table.holds(name, known, f"{mean:.1f} %", low <= mean <= high)
    whole = sum(share == 1 for share in shares)
    print(f"  The last learns all 100 from {whole} of {seeds} starts. Of the four cases held out,")
    print(
        f"  all right in the paper, {100 * np.mean(others):.0f} % are right; independently, 39 %."
    )
    table.end()


if __name__ == "__main__":
    main()
