"""What a source says beside what cbp computes, and whether the two agree.

A number of a source stands in a script as it is printed there, as text, so that its digits say how
exact it is. Every script of the gallery ends with `Verdicts.end`, which tells how many lines agree,
and whose exit code is 1 if one does not.
"""

import sys
from decimal import Decimal

ROUNDING = 1e-9  # relative: what other orders of summation may change in a long run


class Verdicts:
    """Prints lines `what | source | cbp | verdict`, and remembers whether all agree."""

    def __init__(self, title):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters shows "?"
        self.lines = self.wrong = 0
        print(title)

    def part(self, text, source="the source"):
        """Begin a new part of the table."""
        print(f"\n{text}\n{'':36}{source:>24}{'cbp':>25}", flush=True)

    def number(self, what, source, got):
        """A number agrees if it is the source's to the last digit printed there."""
        self._line(what, source, shown(got, source), near(got, source))

    def numbers(self, what, sources, got):
        """Several numbers, one a line: names and the source's numbers, separated by commas."""
        for name, source, number in zip(what.split(", "), sources.split(", "), got, strict=True):
            self.number(name, source, number)

    def differs(self, what, source, got):
        """A number that cbp must not reproduce, since the source is mistaken."""
        agrees = not near(got, source)
        self._line(what, source, shown(got, source), agrees, "differs, as it should")

    def holds(self, what, source, got, truth):
        """A statement, with the source's words and cbp's."""
        self._line(what, str(source), str(got), bool(truth))

    def _line(self, what, source, got, agrees, words="agrees"):
        self.lines += 1
        self.wrong += not agrees
        print(f"  {what:34}{source:>24} {got:>24}  {words if agrees else 'DOES NOT AGREE'}")

    def end(self):
        """Print the sum, and leave with exit code 1 if a line does not agree."""
        if self.wrong:
            sys.exit(f"\n{self.wrong} of {self.lines} lines DO NOT AGREE")
        print(f"\nall {self.lines} lines agree")


def near(got, source):
    """Whether a number is the printed one, to half of its last digit."""
    unit = 10.0 ** Decimal(source).as_tuple().exponent
    return abs(got - float(source)) <= max(0.51 * unit, ROUNDING * abs(float(source)))


def shown(got, source):
    """Return the number with as many digits as the source prints."""
    if "e" in source:
        return f"{got:.{len(Decimal(source).as_tuple().digits) - 1}e}"
    return f"{got:.{max(0, -Decimal(source).as_tuple().exponent)}f}"
