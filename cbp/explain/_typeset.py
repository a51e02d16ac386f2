"""How numbers and names look: the same digits in the picture, on the page and in the tests.

What lives here: text in, text out. What must not: any arithmetic. Every number that a reader sees
was written by one of these functions, so the page has nothing to round.
"""

from __future__ import annotations

import math
import re
from html import escape

MINUS = "\u2212"


def _with_minus(text: str) -> str:
    return text.replace("-", MINUS)


def short(value: float) -> str:
    """Return `value` in at most nine characters, for a place beside a node or a line.

    Examples
    --------
    >>> [short(v) for v in (0.5, 0.29943, -0.000262, 12.345, 1.2e9)]
    ['0.5', '0.2994', '−2.62e−4', '12.35', '1.20e9']
    """
    value += 0.0  # 0 for -0
    size = abs(value)
    if not math.isfinite(value):
        return _with_minus(str(value))
    if size and not 1e-3 <= size < 1e5:
        return scientific(value, 2)
    decimals = 4 if size < 10 else 2 if size < 1000 else 0
    text = f"{value:.{decimals}f}"
    if decimals and abs(float(text) - value) <= 1e-12 * size:  # no zeros behind 0.5
        text = text.rstrip("0").rstrip(".")
    return _with_minus(text)


def aligned(value: float, decimals: int = 12) -> str:
    """Return `value` with so many decimals, for a column of numbers; very small ones in powers.

    Examples
    --------
    >>> [aligned(v) for v in (0.5, -0.009377682854621643, 1.5e-9)]
    ['0.500000000000', '−0.009377682855', '1.50000000e−9']
    """
    value += 0.0
    if not math.isfinite(value):
        return _with_minus(str(value))
    if value and not 10 ** (-decimals // 2) <= abs(value) < 1e6:
        return scientific(value, decimals - 4)
    return _with_minus(f"{value:.{decimals}f}")


def exact(value: float) -> str:
    """Return the shortest text that reads back as the same double.

    Examples
    --------
    >>> exact(-0.009377682854621643)
    '−0.009377682854621643'
    """
    return _with_minus(repr(float(value) + 0.0))


def scientific(value: float, decimals: int) -> str:
    """Return `value` as mantissa and power of ten, the exponent without zeros or a plus sign."""
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    return _with_minus(f"{mantissa}e{int(exponent)}")


def integer(value: int) -> str:
    """Return a count in groups of three digits; from 10¹⁵ on with three digits and a power.

    Examples
    --------
    >>> integer(1412402000), integer(353175120000000000000)
    ('1,412,402,000', '3.53e20')
    """
    return f"{value:,}" if value < 10**15 else integer_in_powers(value, 2)


def integer_in_powers(value: int, decimals: int) -> str:
    """Return an integer of five digits or more, however large, as mantissa and power of ten."""
    # float(value) would overflow for very deep nets, and Python writes no more than 4,300 digits.
    power = int((value.bit_length() - 1) * math.log10(2))
    power += 10 ** (power + 1) <= value
    mantissa = round(value // 10 ** (power - 4) / 1e4, decimals)
    if mantissa >= 10:
        mantissa, power = 1.0, power + 1
    return f"{mantissa:.{decimals}f}e{power}"


def tally(count: int) -> str:
    """Return how often a line is walked along, in few characters.

    Examples
    --------
    >>> tally(12), tally(235500)
    ('12×', '2.4e5×')
    """
    return f"{count}×" if count < 10**4 else f"{integer_in_powers(count, 1)}×"


def split(name: str) -> tuple[str, str]:
    """Return a name's letters and its index: ("w", "5"), ("z", "2,1"), ("L", "")."""
    found = re.fullmatch(r"([^\W\d_]{1,2})_?(\d[\d_,]*)", name)
    return (found[1], found[2].replace("_", ",")) if found else (name, "")


def html_name(name: str) -> str:
    """Return a name as HTML: the letter in italics, the index below the line.

    Examples
    --------
    >>> html_name("w5"), html_name("<b>")
    ('<i>w</i><sub>5</sub>', '<i>&lt;b&gt;</i>')
    """
    letters, index = split(name)
    return f"<i>{escape(letters)}</i>" + (f"<sub>{escape(index)}</sub>" if index else "")


def html_partial(above: str, below: str) -> str:
    """Return ∂above/∂below as HTML."""
    return f"∂{html_name(above)}/∂{html_name(below)}"


def svg_name(name: str, size: float, behind: str = "") -> str:
    """Return a name, and text behind it, as the tspans of an SVG text of that font size."""
    letters, index = split(name)
    text = (
        f'<tspan font-family="{SERIF}" font-style="italic" font-size="{size * 1.12:g}">'
        f"{escape(letters)}</tspan>"
    )
    drop = size * 0.25
    if index:
        text += f'<tspan dy="{drop:g}" font-size="{size * 0.72:g}">{escape(index)}</tspan>'
    if behind:
        text += (f'<tspan dy="{-drop:g}">' if index else "<tspan>") + f" {escape(behind)}</tspan>"
    return text


def width(text: str, size: float) -> float:
    """Return an upper bound for the width of `text` in common fonts of that size."""
    total = 0.0
    for letter in text:
        if letter in ".,:;|ijl' ":
            total += 0.36
        elif letter in "mwMW@%" or ord(letter) > 0x2E7F:
            total += 1.0
        else:
            total += 0.63
    return total * size


def name_width(name: str, size: float, behind: str = "") -> float:
    """Return an upper bound for the width of `svg_name`."""
    letters, index = split(name)
    total = width(letters, size * 1.12) + width(index, size * 0.72)
    return total + (width(" " + behind, size) if behind else 0.0)


SERIF = (
    "Palatino, 'Palatino Linotype', 'Book Antiqua', Georgia, 'Liberation Serif', "
    "'Times New Roman', serif"
)
SANS = "'Helvetica Neue', Arial, 'Liberation Sans', 'Noto Sans CJK SC', sans-serif"
