"""cbp.explain's web page: what stands in the file, and what a real Chromium makes of it."""

from __future__ import annotations

import html
import itertools
import json
import re
import time

import browser
import numpy as np
import pytest

import cbp
from cbp import explain
from cbp.explain import _scene, page
from cbp.explain._typeset import aligned, exact, integer, short

PHONE, DESK = 360, 1280
VIEWS = ("sweep", "paths", "work", "descent")


def net_c():
    """The graph of the article's net C."""
    net = cbp.Network([2, 2, 2], "sigmoid", "sigmoid", bias=False, dtype="float64")
    net.parameters[:] = 0.1, 0.2, 0.5, 0.6, 0.3, 0.7, 0.4, 0.8
    return explain.graph(net, [1.5, -2.0], [0.25, 0.75], "squared_error")


def some(sizes, hidden, output, **options):
    """The graph of a network in general position."""
    net = cbp.Network(sizes, hidden, output, dtype="float64", seed=3, **options)
    for b in net.biases:
        if b is not None:
            b[:] = 0.1 * np.arange(1, len(b) + 1)
    return explain.graph(net, np.linspace(-1.0, 2.0, sizes[0]), np.eye(sizes[-1])[-1])


def masked():
    """A net whose first layer sees its inputs in two groups, and whose last unit leads nowhere."""
    first = np.kron(np.eye(2), np.ones((2, 2))).astype(bool)
    last = np.array([[1, 1], [1, 1], [1, 0], [0, 0]], dtype=bool)
    layers = [cbp.Dense(4, "tanh", mask=first), cbp.Dense(2, "identity", mask=last)]
    net = cbp.Network([4, *layers], dtype="float64", seed=3)
    return explain.graph(net, [1.0, -1.0, 0.5, 2.0], [0.25, 0.75], "squared_error")


GRAPHS = {
    "C": net_c,
    "deep": lambda: some([3, 4, 3, 2], "tanh", "identity"),
    "soft": lambda: some([2, 3, 3], "relu", "softmax"),
    "masked": lambda: masked(),
    "one": lambda: some([1, 1], "tanh", "sigmoid"),
    "big": lambda: some([784, 30, 10], "sigmoid", "sigmoid", bias=False),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The page of each graph."""
    folder = tmp_path_factory.mktemp("pages")
    for name, make in GRAPHS.items():
        make().to_html(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in GRAPHS}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless browser."""
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium, or set CBP_CHROMIUM")
    with browser.browser(program, tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def tab(chromium):
    """The browser with a window of a desk's width, light, without motion."""
    chromium.look(DESK, still=True)
    return chromium



def in_browser(test):
    """Mark a test that needs Chromium: a minute for all of them."""
    return pytest.mark.slow(pytest.mark.no_sanitizer(test))


# All that is visible of a kind, as [text, left, top, right, bottom].
BOXES = """
[...document.querySelectorAll(%s)].filter(e => e.getClientRects().length
    && getComputedStyle(e).visibility === 'visible').map(e => {
  const r = e.getBoundingClientRect(), x = scrollX, y = scrollY;
  return [e.textContent, r.left + x, r.top + y, r.right + x, r.bottom + y] })
"""


def boxes(tab, selector):
    """Text and place of whatever is visible."""
    return tab.run(BOXES % json.dumps(selector))


def texts(tab, selector):
    """The texts of whatever is visible."""
    return [box[0] for box in boxes(tab, selector)]


def visible_net(tab):
    """The net's class for the one of the two drawings that is shown."""
    return "right" if tab.run("innerWidth") >= 900 else "down"


# ---- the file -----------------------------------------------------------------------------------


def embedded(text):
    """The JSON of a page, read strictly."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found, parse_constant=refuse)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_page_is_one_file_that_asks_for_nothing(name, files):
    """No address but the SVG namespace's and an empty icon; a policy forbids the rest."""
    text = files[name].read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"<link[^>]*>", text) == ['<link rel="icon" href="data:,">']
    assert not re.search(r"<script[^>]+src|@import|url\(|<iframe|<img", text)
    assert "default-src 'none'" in text
    assert len(text) < 400_000


def test_the_numbers_of_the_page_are_pythons(files):
    """Parameters, gradients, paths and products of net C, written with twelve decimals."""
    g, data = net_c(), embedded(files["C"].read_text(encoding="utf-8"))
    assert [p["name"] for p in data["parameters"]] == [f"w{k}" for k in range(1, 9)]
    for p in data["parameters"]:
        assert p["value"] == aligned(g.parameters[p["name"]])
        assert p["exact"] == exact(g.gradients[p["name"]])
    shares = [float(p["exact"].replace("−", "-")) for p in data["paths"]["w5"]["shown"]]
    assert shares == pytest.approx([-0.009377682854621643, 0.009902952467966724], rel=5e-14)
    for name, found in data["paths"].items():
        for path, one in zip(found["shown"], explain.paths(g, name), strict=True):
            products = itertools.accumulate((v for _, v in one.factors), lambda a, b: a * b)
            assert path["exact"] == exact(one.product)
            assert path["products"] == [aligned(v) for v in products]
            assert path["values"] == [aligned(v) for _, v in one.factors]


def test_the_rest_of_many_paths_is_told():
    """The paths that are not followed are counted and summed up: together with the others, ∂L/∂w."""
    g = some([2, 6, 6, 6, 2], "tanh", "identity")
    data = embedded(page.html(g))
    found = data["paths"]["w1_1_1"]
    assert found["count"] == integer(6 * 6 * 2) and len(found["shown"]) < 72
    assert found["left"] == integer(72 - len(found["shown"]))
    number = float(found["rest"].replace("−", "-"))
    number += sum(float(path["exact"].replace("−", "-")) for path in found["shown"])
    assert number == pytest.approx(g.gradients["w1_1_1"], abs=1e-11)


def test_nothing_breaks_out_of_the_page():
    """A title may hold anything: it can end neither the script nor an element."""
    title = "</script><b id='out'>&amp; {{css}} \u2028 \"quoted\"</b>"
    text = page.html(net_c(), title=title)
    assert embedded(text)["title"] == title
    assert "<b id='out'>" not in text and text.count("</script>") == 2
    assert "<title>&lt;/script&gt;" in text


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"language": "de"}, ValueError, "`language` must be \"en\" or \"zh\", got 'de'"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be above 0 and finite, got 0"),
        ({"learning_rate": float("nan")}, ValueError, "`learning_rate` must be above 0 and finite"),
        ({"learning_rate": "fast"}, TypeError, "`learning_rate` must be a number, got 'fast'"),
        ({"weight": "w9"}, ValueError, "'w9'"),
        ({"title": 3}, TypeError, "`title` must be text, got 3"),
    ],
)
def test_bad_arguments_are_refused(options, kind, message, tmp_path):
    """Each refusal says what was expected, and no file is written."""
    with pytest.raises(kind, match=re.escape(message)):
        net_c().to_html(tmp_path / "page.html", **options)
    assert not (tmp_path / "page.html").exists()


def test_numbers_of_numpy_are_numbers():
    """A learning rate or a number of units may be NumPy's."""
    assert page.html(net_c(), learning_rate=np.float32(0.5)) == page.html(net_c())
    assert net_c().draw(max_units=np.int64(6)).svg == net_c().draw().svg


def test_deep_nets_have_a_page_of_bounded_size():
    """Of 20 and 50 layers fewer paths are told; more layers than that are refused."""
    for n_layers in (20, 50):
        text = page.html(some([2] * (n_layers + 1), "tanh", "sigmoid"))
        assert len(text) < 3_000_000
        assert all(of["shown"] for of in embedded(text)["paths"].values())
    message = r"up to 50 layers, and this network has 51: `explain.trace\(graph\)` prints"
    with pytest.raises(ValueError, match=message):
        page.html(some([2] * 52, "tanh", "sigmoid"))


def test_a_standardised_network_says_so():
    """The numbers of the page are in the network's units, and its facts say that."""
    net = cbp.Network([2, 2, 1], "tanh", standardize=True, dtype="float64", seed=1)
    X = np.array([[1.0, 200.0], [2.0, 100.0], [4.0, 300.0]])
    cbp.Trainer(net, seed=1).fit(X, X.sum(axis=1), epochs=1, progress=False)
    facts = [name for name, _ in embedded(page.html(explain.graph(net, X[0], 201.0)))["facts"]]
    assert facts == ["x", "t", "f", "L", "standardised"]
    assert "standardised" not in [name for name, _ in embedded(page.html(net_c()))["facts"]]


def test_a_step_that_leads_nowhere(tmp_path):
    """Where a learning rate lets everything overflow the page is written without a warning."""
    cube = cbp.Activation(lambda z: z**3, lambda z: 3 * z**2, name="cube")
    net = cbp.Network([2, 3, 2], cube, dtype="float64", seed=1)
    explain.graph(net, [1, 2], [0, 1]).to_html(tmp_path / "page.html", learning_rate=1e6)
    losses = embedded((tmp_path / "page.html").read_text(encoding="utf-8"))["descent"][-1]
    assert losses["after"][-1][1] == "nan" and not losses["falls"]


def test_the_race_ends_with_the_counts_of_explain():
    """The last frame holds every method's count; no frame is ahead of its clock."""
    for make in (GRAPHS["C"], GRAPHS["soft"], GRAPHS["big"]):
        g = make()
        work = embedded(page.html(g))["work"]
        biases = [b is not None for b in g.biases]
        expected = explain.counts(g.sizes, bias=biases, softmax=g.slopes[-1].ndim == 2)
        for row, name in zip(work["rows"], page.METHODS, strict=True):
            assert row["multiplications"] == integer(expected.work[name].multiplications)
        clock, rows = work["frames"][-1]
        assert [row[0] for row in rows] == [row["multiplications"] for row in work["rows"]]
        for clock, rows in work["frames"]:
            done = int(clock.replace(",", ""))
            assert all(int(now.replace(",", "")) <= done for now, _, _ in rows)
        for before, after in itertools.pairwise(work["frames"]):
            assert int(before[0].replace(",", "")) <= int(after[0].replace(",", ""))


def test_a_masked_net_is_counted_by_doing_it():
    """Where weights are missing, the formulas of dense nets do not hold."""
    g = masked()
    work = embedded(page.html(g))["work"]
    for row, name in zip(work["rows"], page.METHODS, strict=True):
        assert row["multiplications"] == integer(explain.derive(g, name).work.multiplications)
    walked = sum(len(path.factors) for name in g.places for path in explain.paths(g, name))
    assert work["visits"] == integer(walked) and work["edges"] == integer(g.n_edges)


def test_lines_know_how_often_the_path_sum_walks_along_them():
    """Each line's number is what following every path of every parameter counts."""
    for make in GRAPHS.values():
        g = make()
        if len(g.places) > 100:
            continue
        walked = dict.fromkeys(((e.source, e.target) for e in g.edges), 0)
        for name in g.places:
            for path in explain.paths(g, name):
                for step in itertools.pairwise(path.nodes):
                    walked[step] = walked.get(step, 0) + 1
        for line in _scene.scene(g, (), "right", 6).lines:
            assert line.visits == walked[line.source, line.target], line


def test_the_race_of_a_net_beyond_64_bits():
    """Counts of any size become bars, in frames that grow."""
    assert [page._power(10**400, share) for share in (0.0, 0.5, 1.0)] == [0, 10**200, 10**400]


# ---- in the browser -----------------------------------------------------------------------------


@in_browser
@pytest.mark.parametrize("name", GRAPHS)
def test_no_error_and_no_request(name, files, tab):
    """Every view of every page, to its last step, in both languages: the console stays empty."""
    for view in VIEWS:
        tab.open(files[name], f"#view={view}")
        for key in ("ArrowRight", "End", "ArrowLeft", "Home"):
            tab.press(key)
        tab.click("#language")
        tab.press("End")
        assert tab.run("document.querySelector('section.open').id") == f"view-{view}"
        assert tab.complaints() == []
        assert len(tab.requests()) == 1, tab.requests()


@in_browser
def test_clicking_w5_lights_its_two_paths_and_shows_their_sum(files, tab):
    """x2 z1 h1, then z3 y1 L and z4 y2 L: these eight lines and no other; products and sum."""
    tab.open(files["C"])
    tab.click('.net.right .label[data-parameter="w5"]')
    lit = tab.run(
        "[...document.querySelectorAll('.net.right .line.lit')].map("
        "l => l.dataset.source + ' ' + l.dataset.target)"
    )
    assert sorted(lit) == sorted(
        ["x2 z1", "z1 h1", "h1 z3", "h1 z4", "z3 y1", "z4 y2", "y1 L", "y2 L"]
    )
    assert texts(tab, "#path-list .product") == [
        aligned(-0.009377682854621643), aligned(0.009902952467966724),
    ]  # fmt: skip
    total = explain.paths(net_c(), "w5").total
    assert texts(tab, "#total") == [aligned(total)]
    assert tab.run("document.getElementById('total').title") == exact(total)
    red = tab.run("getComputedStyle(document.querySelector('.net.right .line.lit .ink')).stroke")
    grey = tab.run(
        "getComputedStyle(document.querySelector('.net.right .line:not(.lit) .ink')).stroke"
    )
    assert red == "rgb(184, 15, 29)" and red != grey


@in_browser
def test_a_line_can_be_clicked_where_it_has_no_label(files, tab):
    """In a large net the lines themselves are buttons."""
    tab.open(files["big"])
    tab.click('.net.right .line[data-parameter="w1_1_1"] .handle')
    assert tab.run("document.getElementById('weight').value") == "w1_1_1"
    assert len(texts(tab, "#path-list li")) == 10


@in_browser
def test_paths_are_lit_one_after_another(files, tab):
    """Each step multiplies one more factor; a path's product stays when the next one begins."""
    g = net_c()
    tab.open(files["C"], "#weight=w5")
    all_factors = [path.factors for path in explain.paths(g, "w5")]
    step = 0
    for number, factors in enumerate(all_factors):
        product = 1.0
        for k, (name, value) in enumerate(factors):
            tab.press("ArrowRight")
            step += 1
            product = value if k == 0 else product * value
            cells = tab.run(
                "[...document.querySelectorAll('#factors tbody tr')].map(r => [...r.cells].map("
                "c => c.classList.contains('unknown') ? null : c.textContent))"
            )
            assert [row[0] for row in cells] == [name for name, _ in factors]
            assert cells[k][1:] == [aligned(value), aligned(product)]
            assert all(row[1:] == [None, None] for row in cells[k + 1 :])
            hot = tab.run("document.querySelectorAll('.net.right .line.hot').length")
            lit = tab.run("document.querySelectorAll('.net.right .line.lit').length")
            assert (hot, lit) == (k + 1, 5)
            known = tab.run(
                "[...document.querySelectorAll('#path-list .product')].map("
                "p => !p.classList.contains('unknown'))"
            )
            assert known == [n < number or (n == number and k == 4) for n in range(2)]
    assert texts(tab, "#count") == [f"{step} / {step + 1}"]
    tab.press("ArrowRight")
    assert not tab.run("document.getElementById('total').classList.contains('unknown')")


@in_browser
@pytest.mark.parametrize("name", ["C", "deep", "soft", "masked", "one"])
def test_stepping_fills_in_pythons_values(name, files, tab):
    """Values come forward, derivatives backward, each with Python's digits; at the end all."""
    g = GRAPHS[name]()
    tab.open(files[name])
    net = f".net.{visible_net(tab)}"
    known = (
        "[...document.querySelectorAll('%s .card')].flatMap(c => [...c.querySelectorAll('.%s')]"
        ".filter(t => getComputedStyle(t).visibility === 'visible')"
        ".map(t => [c.dataset.node, t.textContent]))"
    )
    values = {n.name: short(n.value) for n in g.nodes if n.kind != "b"}
    gradients = {n.name: short(n.gradient) for n in g.nodes if n.kind not in "bx"}
    assert dict(tab.run(known % (net, "value"))) == {
        n.name: short(n.value) for n in g.nodes if n.kind == "x"
    }
    assert tab.run(known % (net, "gradient")) == []
    n_steps = int(tab.run("document.getElementById('place').max"))
    order, seen, results = [], set(), []
    for _ in range(n_steps):
        tab.press("ArrowRight")
        now = dict(tab.run(known % (net, "value")))
        back = dict(tab.run(known % (net, "gradient")))
        assert now.items() <= values.items() and back.items() <= gradients.items()
        assert not back or now.keys() == values.keys()  # forward first
        order += [n for n in back if n not in seen]
        seen |= back.keys()
        (result,) = texts(tab, "#telling .result")
        results.append(result.removeprefix("= "))
    assert now == values and back == gradients
    layers = {n.name: n.layer for n in g.nodes}
    assert [layers[n] for n in order] == sorted((layers[n] for n in order), reverse=True)
    table = tab.run(
        "Object.fromEntries([...document.querySelectorAll('#ledger tbody tr')].map("
        "r => [r.dataset.parameter, r.cells[2].textContent]))"
    )
    assert table == {w: aligned(value) for w, value in g.gradients.items()}
    every = {exact(n.value) for n in g.nodes} | {exact(n.gradient) for n in g.nodes}
    assert set(results) <= every | {exact(value) for value in g.gradients.values()}
    if name == "C":
        forward = ("z1", "z2", "h1", "h2", "z3", "z4", "y1", "y2", "L")
        assert results[:9] == [exact(g.node(n).value) for n in forward]
        back = [g.node(n).gradient for n in ("L", "y1", "y2", "z3", "z4")]
        back += [g.gradients[w] for w in ("w3", "w4", "w7", "w8")]
        back += [g.node(n).gradient for n in ("h1", "h2", "z1", "z2")]
        back += [g.gradients[w] for w in ("w1", "w5", "w2", "w6")]
        assert results[9:] == [exact(v) for v in back]


@in_browser
def test_the_step_downhill_is_pythons(files, tab):
    """w - η ∂L/∂w for every weight; the loss before, and after 1, 10 and 100 such steps."""
    g = net_c()
    tab.open(files["C"], "#view=descent")
    assert tab.run("document.querySelectorAll('#updates .unknown').length") == 8
    tab.press("End")
    new = tab.run(
        "[...document.querySelectorAll('#updates tbody tr')].map(r => r.cells[3].textContent)"
    )
    names = sorted(g.gradients)
    assert new == [aligned(g.parameters[w] - 0.5 * g.gradients[w], 8) for w in names]
    losses = tab.run(
        "[...document.querySelectorAll('#losses td:nth-child(2)')].map(c => c.textContent)"
    )
    net, expected = g.net.copy(), [g.value]
    for n in range(1, 101):
        gradient = net.loss_and_gradient([g.x], [g.t], "squared_error")[1]
        net.parameters[:] -= 0.5 * gradient
        if n in (1, 10, 100):
            expected.append(net.loss_and_gradient([g.x], [g.t], "squared_error")[0])
    assert losses == [aligned(value) for value in expected]


@in_browser
def test_the_counters_run_side_by_side(files, tab):
    """At 20 multiplications back-propagation has finished with its 16, the path sum has not."""
    tab.open(files["C"], "#view=work")
    for _ in range(48):
        tab.press("ArrowRight")
        clock = int(texts(tab, "#clock")[0])
        for name, now in zip(page.METHODS, texts(tab, "#race .tally b"), strict=True):
            assert int(now) == min(clock, explain.counts((2, 2, 2)).work[name].multiplications)
    done = tab.run("document.querySelectorAll('#race .row.done').length")
    assert done == 6 and clock == 160
    walks = dict(tab.run(
        "[...document.querySelectorAll('.net.right .visits')].map((t, k) => [k, t.textContent])"
    ))  # fmt: skip
    assert sum(int(text.removesuffix("×")) for text in walks.values()) == 52


@in_browser
def test_everything_works_from_the_keyboard(files, tab):
    """Arrows, Home, End, Space, digits, Escape, Enter on a weight; the focus can be seen."""
    tab.open(files["C"])
    count = "document.getElementById('count').textContent.replaceAll('\\u2007', '')"
    tab.press("ArrowRight", 3)
    tab.press("ArrowLeft")
    assert tab.run(count) == "2 / 26"
    tab.press("End")
    assert tab.run(count) == "26 / 26"
    tab.press("ArrowRight")
    tab.press("Home")
    assert tab.run(count) == "0 / 26"
    tab.press(" ")
    assert tab.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    tab.press(" ")
    assert tab.run("document.getElementById('play').getAttribute('aria-label')") == "Play"
    for digit, view in zip("4321", reversed(VIEWS)):
        tab.press(digit)
        assert tab.run("document.querySelector('section.open').id") == f"view-{view}"

    reached = []
    for _ in range(40):
        tab.press("Tab")
        what = tab.run(
            "(e => [e.id || e.dataset.parameter || '', getComputedStyle(e).outlineStyle,"
            " parseFloat(getComputedStyle(e).outlineWidth)])(document.activeElement)"
        )
        if what[0] in ("", reached[0] if reached else None):
            break
        assert what[1] == "solid" and what[2] >= 2, what
        reached.append(what[0])
        if what[0] == "w5" and tab.run("document.activeElement.closest('.net') !== null"):
            break
    assert {"language", "theme", "tab-sweep", "w1", "w5"} <= set(reached)
    tab.press("Enter")
    assert tab.run("document.querySelector('section.open').id") == "view-paths"
    assert tab.run("document.querySelectorAll('.net.right .line.lit').length") == 8
    tab.press("Escape")
    assert tab.run("document.querySelectorAll('.line.lit').length") == 0
    assert tab.run("document.getElementById('weight').value") == ""

    tab.run("document.getElementById('tab-paths').focus()")
    tab.press("ArrowRight")
    assert tab.run("document.activeElement.id") == "tab-work"
    assert tab.run("document.querySelector('[role=tab][aria-selected=true]').id") == "tab-work"


@in_browser
def test_every_control_has_a_name(files, tab):
    """A screen reader finds words for every button, field and group."""
    tab.open(files["deep"])
    nameless = tab.run(
        "[...document.querySelectorAll('button, input, select, [role]')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') ||"
        " e.textContent.trim() || (e.labels && e.labels.length))).map(e => e.outerHTML)"
    )
    assert nameless == []


@in_browser
@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_is_wider_than_a_phone(name, files, tab):
    """At 360 pixels no view scrolls sideways, in either language, nor does any text stick out."""
    tab.look(PHONE, 740, still=True)
    for language, view in itertools.product(("en", "zh"), VIEWS):
        tab.open(files[name], f"#view={view}&language={language}&step=end")
        assert tab.run("document.documentElement.scrollWidth") <= PHONE, (language, view)
        assert tab.run("innerWidth") == PHONE
        all_boxes = boxes(tab, "main *, header *, footer *")
        assert [b for b in all_boxes if b[3] > PHONE + 0.5 or b[1] < -0.5] == [], (language, view)


CONTRAST = """
(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const channel = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const opaque = (c) => c.length === 3 || c[3] === 1;
  function behind(e) {
    const box = e.closest('svg') && e.closest('.card, .label');
    if (box) return parse(getComputedStyle(box.querySelector('rect')).fill);
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (opaque(c)) return c;
    }
    return [255, 255, 255];
  }
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(e);
    if (!own || !e.getClientRects().length || style.visibility !== 'visible') continue;
    if (e.closest('.unknown, script, style, option, title')) continue;
    const ink = parse(e.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(e))].sort((p, q) => q - p);
    found.push([(a + .05) / (b + .05), e.textContent.trim().slice(0, 40), style.color]);
  }
  return found;
})()
"""


@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["C", "big"])
def test_contrast(name, dark, files, tab):
    """Every visible text stands out from what is behind it by 4.5 : 1 or more, in both modes."""
    tab.look(DESK, dark=dark, still=True)
    for view in VIEWS:
        for step in ("0", "4", "end"):
            weight = "&weight=" + ("w5" if name == "C" else "w1_2_3")
            tab.open(files[name], f"#view={view}&step={step}{weight}")
            found = tab.run(CONTRAST)
            assert len(found) > 40
            assert min(found)[0] >= 4.5, min(found)


@in_browser
def test_the_contrast_meter_works(files, tab):
    """The test above would pass on grey in grey if its meter did not see it."""
    tab.open(files["C"])
    tab.run("document.querySelector('h1').style.color = 'rgb(200, 200, 200)'")
    assert min(tab.run(CONTRAST))[0] < 2
    tab.run("document.querySelector('h1').style.color = ''")
    black = [ratio for ratio, text, _ in tab.run(CONTRAST) if text.startswith("Why")]
    assert black[0] > 14


def overlaps(a, b):
    """Whether two boxes share more than a pixel's rim."""
    return min(a[3], b[3]) - max(a[1], b[1]) > 1 and min(a[4], b[4]) - max(a[2], b[2]) > 1


@in_browser
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", GRAPHS)
def test_labels_do_not_overlap(name, width, files, tab):
    """No two cards, and no label and card, touch; texts stay clear of each other and in cards."""
    tab.look(width, still=True)
    for view in ("sweep", "work"):
        tab.open(files[name], f"#view={view}&step=end")
        net = ".net." + visible_net(tab)
        solid = boxes(tab, f"{net} .card > rect, {net} .label > rect")
        assert len(solid) >= len(boxes(tab, f"{net} .card > rect")) > 3
        for a, b in itertools.combinations(solid, 2):
            assert not overlaps(a, b), (view, a, b)
        words = boxes(tab, f"{net} text")
        for a, b in itertools.combinations(words, 2):
            # The boxes of lines of text include leading: a fifth of their height each.
            a, b = ([t, x, y + (v - y) / 5, u, v - (v - y) / 5] for t, x, y, u, v in (a, b))
            assert not overlaps(a, b), (view, a, b)
        outside = tab.run(
            f"[...document.querySelectorAll('{net} .card')].filter(c => c.getClientRects().length)"
            ".flatMap(c => { const r = c.querySelector('rect').getBoundingClientRect();"
            "return [...c.querySelectorAll('text')].filter(t => { const s ="
            " t.getBoundingClientRect(); return s.left < r.left || s.right > r.right || s.bottom >"
            " r.bottom + 1 || s.top < r.top - 1 }).map(t => t.textContent) })"
        )
        assert outside == [], view


STANDING = (
    "header, .tabs button, #figure, .net.right .card, .net.right text, figcaption, .player,"
    " .player > *, #ledger td, #ledger th, #telling, #path-list li, #path-list li > *, .total,"
    " #factors th, #race .row, #race .row > *, #updates td, #losses td, #descent-note, footer"
)


@in_browser
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", ["C", "deep", "soft"])
def test_nothing_jumps_while_stepping(name, width, files, tab):
    """Cards, buttons, table cells and rows stay where they are on the page, from first to last.

    The buttons of a phone stay at the bottom of its window, however the page scrolls.
    """
    tab.look(width, still=True)
    selector = STANDING.replace("right", "right" if width == DESK else "down")
    places = (
        f"[...document.querySelectorAll({json.dumps(selector)})]"
        ".filter(e => e.getClientRects().length).map(e => {"
        " const r = e.getBoundingClientRect(), bar = innerWidth < 900 && e.closest('.player');"
        " return [e.className.baseVal ?? e.id, r.left, r.top + (bar ? 0 : scrollY)]; })"
    )
    weights = {"C": "w5", "deep": "w1_2_3", "soft": "b1_2"}
    for view in VIEWS:
        tab.open(files[name], f"#weight={weights[name]}&view={view}")
        tab.run("document.querySelectorAll('.ledger, ol.paths').forEach("
                "e => { e.style.maxHeight = 'none' })")  # fmt: skip
        before = tab.run(places)
        height = tab.run("document.documentElement.scrollHeight")
        n = int(tab.run("document.getElementById('place').max"))
        assert n > 3 and len(before) > 50
        for step in range(1, n + 1):
            tab.press("ArrowRight")
            after = tab.run(places)
            assert len(after) == len(before)
            moved = [
                (step, a, b) for a, b in zip(before, after)
                if abs(a[1] - b[1]) > 0.6 or abs(a[2] - b[2]) > 0.6
            ]  # fmt: skip
            assert moved == [], view
            assert tab.run("document.documentElement.scrollHeight") == height


@in_browser
def test_digits_stand_below_each_other(files, tab):
    """Numbers are right-aligned and tabular: decimal points of a column share one place."""
    tab.open(files["C"], "#view=sweep&step=end")
    points = tab.run("""
      [...document.querySelectorAll('#ledger tbody tr')].map(r => [...r.cells].slice(1).map(c => {
        const node = c.firstChild, at = node.textContent.indexOf('.'), range = document.createRange();
        range.setStart(node, at); range.setEnd(node, at + 1);
        return range.getBoundingClientRect().left; }))""")
    for column in zip(*points):
        assert max(column) - min(column) < 0.5


@in_browser
@pytest.mark.parametrize("still", [False, True])
def test_motion_is_left_out_where_unwelcome(still, files, tab):
    """The lines of the present step flow, unless the reader prefers reduced motion."""
    tab.look(DESK, still=still)
    tab.open(files["C"], "#step=3")
    name = tab.run("getComputedStyle(document.querySelector('.line.now .ink')).animationName")
    assert name == ("none" if still else "flow")


@in_browser
def test_playing_walks_to_the_end_and_stops(files, tab):
    """The play button goes step by step; a click on it pauses."""
    tab.open(files["C"], "#view=work&step=45")
    tab.click("#play")
    until = time.monotonic() + 20
    while tab.run("document.getElementById('place').value") != "48":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert tab.run("document.getElementById('play').getAttribute('aria-label')") == "Play"


@in_browser
def test_chinese(files, tab, tmp_path):
    """A button switches every word; the page can also open in Chinese."""
    tab.open(files["C"])
    tab.click("#language")
    assert tab.run("document.documentElement.lang") == "zh-Hans"
    words = " ".join(texts(tab, "[role=tab], h1, #facts, .net.right .caption, button, label"))
    assert "前向" in words and "反向" in words and "路径" in words and "损失" in words
    left = tab.run(
        "[...document.querySelectorAll('[data-text], .net .caption, .net .word')]"
        ".filter(e => /[A-Za-z]{4}/.test(e.textContent)).map(e => e.textContent)"
    )
    assert [text for text in left if text not in ("Home", "End")] == [
        text for text in left if "Home" in text
    ]
    tab.click("#language")
    assert texts(tab, "h1") == ["Why backwards?"]
    net_c().to_html(tmp_path / "zh.html", language="zh", weight="w5", title="网络 C")
    tab.open(tmp_path / "zh.html")
    assert tab.run("document.querySelector('section.open').id") == "view-paths"
    assert texts(tab, "h1") == ["网络 C"]
    note = texts(tab, "#paths-note")[0]
    assert "2 条路径" in note and "链式法则" in note and "偏导数" in note


@in_browser
def test_the_dark_mode_has_a_switch(files, tab):
    """The system's preference holds until the button is pressed."""
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.open(files["C"])
    light = tab.run(paper)
    tab.click("#theme")
    dark = tab.run(paper)
    assert light == "rgb(251, 250, 246)" and dark == "rgb(23, 24, 27)"
    tab.look(DESK, dark=True, still=True)
    tab.open(files["C"])
    assert tab.run(paper) == dark
    tab.click("#theme")
    assert tab.run(paper) == light


@in_browser
def test_the_lines_can_show_contributions(files, tab):
    """w7 > 0 is orange as a partial derivative, and blue as what it brings back, since δ4 < 0."""
    tab.open(files["C"], "#step=end")
    ink = (
        "getComputedStyle(document.querySelector("
        "'.net.right .line[data-parameter=w7] .ink')).stroke"
    )
    orange = tab.run(ink)
    tab.click("#by-contribution")
    assert (orange, tab.run(ink)) == ("rgb(192, 106, 0)", "rgb(28, 108, 176)")


@in_browser
def test_a_title_cannot_break_out(tab, tmp_path):
    """Whatever the heading holds is shown as text."""
    title = "</script><img src=x onerror=alert(1)> & <b>bold</b>"
    net_c().to_html(tmp_path / "page.html", title=title)
    tab.open(tmp_path / "page.html")
    assert tab.run("document.querySelector('h1').textContent") == title
    assert tab.run("document.querySelectorAll('img, h1 b').length") == 0
    assert tab.complaints() == []


@in_browser
def test_a_deep_net_is_followed(tab, tmp_path):
    """Where a net is wider than the page, or taller than a phone, a step is brought into sight."""
    some([2, 3, 3, 3, 3, 3, 2], "tanh", "identity").to_html(tmp_path / "page.html")
    seen = (
        "(() => { const c = [...document.querySelectorAll('.card.now')].find("
        "e => e.getClientRects().length).getBoundingClientRect(), bottom = innerWidth < 900 ?"
        " document.querySelector('.player').getBoundingClientRect().top : innerHeight;"
        " return c.left >= 0 && c.right <= innerWidth && c.top >= 0 && c.bottom <= bottom + 1 })()"
    )
    for width, height in ((DESK, 900), (PHONE, 640)):
        tab.look(width, height, still=True)
        tab.open(tmp_path / "page.html")
        n = int(tab.run("document.getElementById('place').max"))
        for _ in range(n):
            tab.press("ArrowRight")
            if tab.run("document.querySelector('.card.now') !== null"):
                assert tab.run(seen), (width, tab.run("document.getElementById('count').textContent"))


def _value(formula):
    """What a formula in numbers comes to, as Python reads it."""
    text = html.unescape(formula).replace("−", "-").replace("½", "0.5*").replace("²", "**2")
    text = text.replace("·", "*").replace("σ(", "sigmoid(")
    text = re.sub(r"ln ?\(?(1 - )?([\d.]+)\)?", r"log(\1\2)", text)  # ln 0.4, ln(1 - 0.4)
    text = re.sub(r"(?<=[\d.)]) (?=log)", "*", text)
    names = {"log": np.log, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "max": max}
    return eval(text, {"__builtins__": {}}, {**names, "tanh": np.tanh})  # what page.py wrote


@pytest.mark.parametrize("name", ["C", "deep", "masked", "one"])
def test_the_formulas_in_numbers_come_to_their_results(name):
    """Every step's numbers, worked out as they stand, give its result to the digits shown."""
    for step in embedded(page.html(GRAPHS[name]()))["steps"]:
        if step["numbers"]:
            result = float(step["result"].replace("−", "-"))
            assert _value(step["numbers"]) == pytest.approx(result, rel=0.02, abs=2e-3), step


@in_browser
def test_lists_scroll_to_the_step(files, tab, tmp_path):
    """In every list that is longer than its box the row of the present step can be seen."""
    some([2] * 21, "tanh", "sigmoid").to_html(tmp_path / "layers.html")
    in_sight = """(() => {
      const row = document.querySelector('section.open tr.now');
      if (!row) return null;
      const box = row.closest('.ledger'), a = box.getBoundingClientRect();
      const b = row.getBoundingClientRect();
      return [b.top >= a.top - 1 && b.bottom <= a.bottom + 1, box.scrollTop > 0];
    })()"""
    for file, view, steps in (
        (files["deep"], "#view=sweep", range(1, 60)),
        (tmp_path / "layers.html", "#view=paths&weight=w1_1_1", range(1, 41)),
    ):
        tab.open(file, view)
        seen = []
        for _ in steps:
            tab.press("ArrowRight")
            seen.append(tab.run(in_sight))
        seen = [found for found in seen if found]
        assert all(found[0] for found in seen) and any(found[1] for found in seen)


@in_browser
def test_a_dark_page_is_printed_on_white(files, tab):
    """On paper the colours are the light ones, and no list is cut."""
    tab.open(files["deep"], "#theme=dark")
    ink = "getComputedStyle(document.body).color"
    light, box = "rgb(30, 29, 26)", "getComputedStyle(document.querySelector('.ledger')).maxHeight"
    assert tab.run(ink) != light and tab.run(box) != "none"
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    tab.send("Emulation.setEmulatedMedia", media="print", features=[dark])
    try:
        assert tab.run(ink) == light and tab.run(box) == "none"
    finally:
        tab.send("Emulation.setEmulatedMedia", media="", features=[])


@in_browser
def test_tables_and_drawing_have_names(files, tab):
    """What a screen reader announces: every table, figure, button and slider by a name."""
    tab.open(files["C"], "#view=paths&weight=w5")
    tab.send("Accessibility.enable")
    for view in "1234":
        tab.press(view)
        roles = {"table", "figure", "button", "slider", "combobox", "tab", "tablist", "tabpanel"}
        for node in tab.send("Accessibility.getFullAXTree")["nodes"]:
            if not node["ignored"] and node["role"]["value"] in roles:
                assert node["name"]["value"].strip(), node["role"]


@in_browser
def test_tooltips_tell_what_is_known(files, tab):
    """Neither a tooltip nor a screen reader is ahead of the steps; at the end all is told."""
    tab.open(files["C"], "#view=sweep")
    titles = "[...document.querySelectorAll('.net.right title')].map(e => e.textContent)"
    at_first = tab.run(titles)
    assert "z1" in at_first and "∂h1/∂z1" in at_first and "x1 = 1.5" in at_first
    assert "w5 = 0.5" in at_first and not any("∂L/∂z" in title for title in at_first)
    tab.press("ArrowRight")
    assert "z1 = −0.85" in tab.run(titles) and "h1" in tab.run(titles)
    tab.press("End")
    g = net_c()
    assert f"z1 = −0.85\n∂L/∂z1 = {exact(g.node('z1').gradient)}" in tab.run(titles)
    assert f"∂h1/∂z1 = {exact(g.slopes[0][0])}" in tab.run(titles)
    tab.press("Home")
    assert tab.run(titles) == at_first
