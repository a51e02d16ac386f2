"""cbp.explain's drawings: well-formed SVG that needs nothing, and matplotlib where asked."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import cbp
from cbp import explain
from cbp.explain import _scene, _typeset

SVG = "{http://www.w3.org/2000/svg}"
RED = "#c3121f"


def net_c():
    """The graph of the article's net C."""
    net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, dtype="float64")
    net.parameters[:] = 0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8
    return explain.graph(net, [1.5, -2.0], [0.25, 0.75], "squared_error")


def some(sizes, hidden="tanh", output="identity", **options):
    """The graph of a network with biases, in general position."""
    net = cbp.Network(sizes, hidden, output, dtype="float64", seed=3, **options)
    x = np.linspace(-1.0, 2.0, sizes[0])
    return explain.graph(net, x, np.eye(sizes[-1])[0])


GRAPHS = {
    "1-2-1": lambda: some([1, 2, 1]),
    "2-2-2": net_c,
    "3-4-3-2": lambda: some([3, 4, 3, 2]),
    "2-3-3 softmax": lambda: some([2, 3, 3], output="softmax"),
    "4-1": lambda: some([4, 1]),
    "784-30-10": lambda: some([784, 30, 10], "sigmoid", bias=False),
    "6-6-6-6": lambda: some([6, 6, 6, 6]),
}


def elements(picture, kind):
    """The elements of one class."""
    root = ElementTree.fromstring(picture.svg)
    return [e for e in root.iter() if kind in e.get("class", "").split()]


def inks(picture):
    """The lines between the nodes."""
    return elements(picture, "ink")


@pytest.mark.parametrize("flow", ["right", "down"])
@pytest.mark.parametrize("name", GRAPHS)
def test_svg_is_well_formed_and_needs_nothing(name, flow):
    """The drawing is XML, draws every card, and refers to nothing outside itself."""
    g = GRAPHS[name]()
    picture = g.draw(flow=flow)
    root = ElementTree.fromstring(picture.svg)
    assert root.tag == SVG + "svg"
    assert not re.search(r"url\(|href|<script|<image|@import", picture.svg)
    names = [e.get("data-node") for e in elements(picture, "card")]
    assert len(names) == len(set(names)) and {"L", g.names.x(0), g.names.z(0, 0)} <= set(names)


def test_every_edge_of_net_c_is_drawn_once():
    """4 + 4 lines carry weights, 4 lead from z to its output, 2 to L; all values are there."""
    picture = net_c().draw()
    assert len(inks(picture)) == 14
    values = ["".join(e.itertext()) for e in elements(picture, "value")]
    assert values == [
        "1.5", "−2", "−0.85", "−0.9", "0.2994", "0.2891", "0.2055", "0.4408", "0.5512", "0.6085",
        "0.0554",
    ]  # fmt: skip
    deltas = ["".join(e.itertext()) for e in elements(picture, "gradient")]
    assert deltas[:2] == ["−2.63e−4", "5.81e−4"] and deltas[-1] == "1"


def test_the_paths_of_a_weight_are_red():
    """w5 leads over z1 and h1 to both outputs: 1 + 1 + 2 + 2 + 2 red lines, and no other."""
    g = net_c()
    picture = g.draw("w5")
    red = [e for e in inks(picture) if e.get("stroke") == RED]
    assert len(red) == 8
    cards = [e for e in elements(picture, "card") if e.find(SVG + "rect").get("stroke") == RED]
    assert {e.get("data-node") for e in cards} == {"z1", "h1", "z3", "y1", "z4", "y2", "L"}
    assert f"∂L/∂w5 = {g.gradients['w5']!r}, the sum over its 2 paths" in picture.svg


def test_the_path_of_a_bias_is_red():
    """A bias has no line of its own; its name in the card is red."""
    picture = some([3, 4, 3, 2]).draw("b1_2")
    (extra,) = [e for e in elements(picture, "extra") if e.get("fill") == RED]
    assert "".join(extra.itertext()) == "b1,2 0"
    red = [e for e in inks(picture) if e.get("stroke") == RED]
    assert len(red) == 1 + 3 + 3 + 6 + 2 + 2


def test_softmax_mixes_its_outputs():
    """Every z of a softmax layer leads to every y."""
    lines = inks(GRAPHS["2-3-3 softmax"]().draw())
    assert len(lines) == 6 + 3 + 9 + 9 + 3


def test_large_layers_are_cut_short():
    """784-30-10 is drawn with four units a layer and says how many there are."""
    picture = GRAPHS["784-30-10"]().draw()
    assert len(inks(picture)) == 16 + 4 + 16 + 4 + 4
    counts = ["".join(e.itertext()) for e in elements(picture, "gap")]
    assert counts == ["780more", "26more", "26more", "6more", "6more"]
    captions = ["".join(e.itertext()) for e in elements(picture, "caption")]
    assert captions == ["784 inputs", "layer 1: 30 units", "output: 10 units", "loss"]
    assert len(picture.svg) < 60_000


def test_a_chosen_weight_is_never_left_out():
    """The units at the ends of w1_500_7 are drawn, and the gaps on both sides are counted."""
    picture = GRAPHS["784-30-10"]().draw("w1_500_7")
    cards = {e.get("data-node") for e in elements(picture, "card")}
    assert {"x500", "z1_7", "h1_7"} <= cards
    counts = ["".join(e.itertext()) for e in elements(picture, "gap")]
    assert counts[:2] == ["496more", "283more"]
    labels = ["".join(e.itertext()) for e in elements(picture, "label")]
    assert len(labels) == 1 and labels[0].startswith("w1,500,7 ")


@pytest.mark.parametrize("flow", ["right", "down"])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_boxes_overlap(name, flow):
    """Cards, labels and gaps keep clear of each other, and of the margins."""
    g = GRAPHS[name]()
    scene = _scene.scene(g, list(g.parameters)[:1], flow, 6)
    boxes = [c.box for c in scene.cards] + [gap.box for gap in scene.gaps]
    boxes += [line.label for line in scene.lines if line.label]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other), (one, other)
    for box in boxes:
        assert 0 <= box.x and box.x + box.w <= scene.width + 1e-9
        assert 0 <= box.y and box.y + box.h <= scene.height + 1e-9


@pytest.mark.parametrize("name", GRAPHS)
def test_texts_fit_their_cards(name):
    """No row of a card is wider than the card, in either direction of flow."""
    g = GRAPHS[name]()
    for flow in ("right", "down"):
        scene = _scene.scene(g, (), flow, 6)
        for card in scene.cards:
            for value in (card.node.value, card.node.gradient):
                assert _typeset.width(_typeset.short(value), scene.font) <= card.box.w


def test_width_and_colour_tell_the_partials():
    """A weight of 0.8 is drawn wider than one of 0.3, in orange; a negative one in blue."""
    g = net_c()
    by_name = {e.find(SVG + "title").text.split(" ")[0]: e.find(SVG + "line")
               for e in ElementTree.fromstring(g.draw().svg).iter(SVG + "g")
               if e.find(SVG + "line") is not None}  # fmt: skip
    assert float(by_name["w8"].get("stroke-width")) > float(by_name["w3"].get("stroke-width"))
    assert by_name["w8"].get("stroke") == "#c06a00"
    assert by_name["∂L/∂y2"].get("stroke") == "#1c6cb0"
    by_share = g.draw(color="contribution").svg
    assert by_share.count("#1c6cb0") > g.draw().svg.count("#1c6cb0")  # w7 δ4 < 0, though w7 > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"color": "red"}, '`color` must be "partial" or "contribution", got \'red\''),
        ({"flow": "up"}, '`flow` must be "right" or "down", got \'up\''),
        ({"backend": "gd"}, '`backend` must be "svg" or "matplotlib", got \'gd\''),
        ({"max_units": 1}, "`max_units` must be at least 2, got 1"),
        ({"weight": "w99"}, "'w99'"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    """Each refusal says what was expected."""
    with pytest.raises(ValueError, match=re.escape(message)):
        net_c().draw(**options)


def test_max_units_must_be_an_integer():
    """2.5 units cannot be drawn."""
    with pytest.raises(TypeError, match="`max_units` must be an integer, got 2.5"):
        net_c().draw(max_units=2.5)


def test_save_writes_the_drawing(tmp_path):
    """The file holds the SVG; other formats are refused with the way to get them."""
    picture = net_c().draw()
    picture.save(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == picture.svg + "\n"
    assert picture._repr_svg_() is picture.svg
    assert net_c()._repr_svg_() == picture.svg  # a notebook shows a graph as its drawing
    with pytest.raises(ValueError, match='must end in .svg, got .*net.png.*backend="matplotlib"'):
        picture.save(tmp_path / "net.png")


def test_matplotlib_draws_the_same_scene():
    """Every card and every line of the SVG is in the figure."""
    pytest.importorskip("matplotlib")
    g = some([3, 4, 3, 2])
    figure = g.draw("w1_2_3", backend="matplotlib")
    (axes,) = figure.axes
    assert len(axes.lines) == len(inks(g.draw()))
    assert len(axes.patches) == len(elements(g.draw(), "card"))
    texts = [t.get_text() for t in axes.texts]
    assert "h1_3" in texts and "output: 2 units" in texts


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    """The sentence says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=re.escape("pip install cbp[plot]")):
        net_c().draw(backend="matplotlib")


@pytest.mark.parametrize(
    "value, text",
    [(0.0, "0"), (-0.0, "0"), (-0.9000000000000001, "−0.9"), (123456.0, "1.23e5"), (1e-300, "1.00e−300"),
     (float("inf"), "inf"), (-0.00123, "−0.0012"), (999.996, "1000.00"), (12.5, "12.5")],
)  # fmt: skip
def test_short_numbers(value, text):
    """At most nine characters, no zeros behind short decimals, a true minus."""
    assert _typeset.short(value) == text and len(text) <= 9


@pytest.mark.parametrize(
    "count, text",
    [(0, "0"), (999999, "999,999"), (35317512 * 10**13, "3.53e20"), (99999 * 10**14, "1.00e19"),
     (10**400, "1.00e400")],
)  # fmt: skip
def test_large_counts(count, text):
    """Counts beyond 10¹⁵ are rounded to three digits, however large."""
    assert _typeset.integer(count) == text
