// Shows and hides what the page holds.  Every number was worked out and written by Python.
"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const VIEWS = ["sweep", "paths", "work", "descent"];
const PACE = {sweep: 1100, paths: 900, work: 160, descent: 700};

const WORDS = {
  en: {
    other: "中文", dark: "Dark", light: "Light",
    heading: "Why backwards?", network: "{0} network", standardised: "in standardised units",
    views: "Views", player: "Steps", net: "The network",
    sweep: "Forward, then backward", paths: "One weight, path by path", work: "The work", descent: "The step",
    sweep_short: "Sweeps", paths_short: "Paths", work_short: "Work", descent_short: "Step",
    key_value: "value", key_gradient: "∂L/∂node, at z called δ", key_plus: "positive", key_minus: "negative",
    key_lines: "Lines show", by_partial: "∂end/∂beginning", by_contribution: "that times ∂L/∂end",
    first: "Back to the start", back: "Back", next: "Next", play: "Play", pause: "Pause", place: "Step",
    inputs: "{0} inputs", inputs_1: "1 input", layer: "layer {1}: {0} units", layer_1: "layer {1}: 1 unit",
    output: "output: {0} units", output_1: "output: 1 unit", loss: "loss", more: "more",
    forward: "Forward", backward: "Backward",
    idle: "The inputs, the weights and the targets are known. Step forward to find everything else.",
    z: "Add up what arrives at this unit.", a: "Send the sum through the activation.",
    L: "Hold the outputs against the targets: the loss.",
    start: "The way back begins at the loss itself.", dy: "How does the loss change with this output?",
    dz: "One edge further back. This is δ: worked out once, kept for all that lies behind it.",
    dw: "The weight’s derivative: the δ it leads to, times the value it carries.",
    dh: "Gather what comes back along every edge.",
    others: "… and in the same way for {0} more.",
    parameter: "weight", value: "value", renewed: "new value", not_listed: "and {0} more weights that are not drawn",
    choose: "Weight", none: "choose one", no_weight: "Choose a weight here, or click one in the net.",
    one_path: "One path leads from {0} to the loss. The product of its partial derivatives is the gradient.",
    many_paths: "{1} paths lead from {0} to the loss. Multiply the partial derivatives along each path; then add the paths.",
    rest: "{0} more paths, together", sum: "sum over the paths",
    factor: "factor", product: "product so far",
    visits_note: "On the lines: how often the path sum walks along them, {0} edges in all. Back-propagation uses each of the {1} edges once.",
    work_note: "Six ways to the same gradient, side by side: multiplications for all weights together. The local partial derivatives are taken as given; finite differences do without them and pay with whole forward passes.",
    clock: "Multiplications so far:", linear: "", logarithmic: "The bars are logarithmic: equal steps are equal factors.",
    m_paths: "Path sum", s_paths: "every path of every weight, multiplied out",
    m_recursion: "Recursion", s_recursion: "each δ asks for those behind it, again and again",
    m_memo: "Recursion with a memory", s_memo: "top-down: each δ is kept once it is known",
    m_delta: "Back-propagation", s_delta: "bottom-up: δ layer by layer, from the loss",
    m_forward: "Forward mode", s_forward: "one pass of derivatives for every weight",
    m_central: "Finite differences", s_central: "two forward passes for every weight",
    of: "of {0}", passes: "passes: {0}", additions: "additions: {0}",
    rate: "Learning rate η", now: "L now", after: "L after {0} steps", after_1: "L after 1 step",
    falls: "Every weight goes a little against its gradient, and the loss falls.",
    rises: "The first step is too long: the loss rises.",
    keys: "Keys: ← → step · Home, End · Space plays · 1 to 4 choose a view · Esc lets go of the weight",
    weight_label: "choose {0}",
  },
  zh: {
    other: "English", dark: "深色", light: "浅色",
    heading: "为什么要反向？", network: "{0} 网络", standardised: "数值均为标准化后的单位",
    views: "视图", player: "步骤", net: "网络图",
    sweep: "先前向，再反向", paths: "一个权重，逐条路径", work: "计算量", descent: "走一步",
    sweep_short: "前向反向", paths_short: "路径", work_short: "计算量", descent_short: "走一步",
    key_value: "节点的值", key_gradient: "∂L/∂节点（在 z 处即 δ）", key_plus: "正", key_minus: "负",
    key_lines: "连线表示", by_partial: "∂终点/∂起点", by_contribution: "再乘以 ∂L/∂终点",
    first: "回到开头", back: "上一步", next: "下一步", play: "播放", pause: "暂停", place: "步骤",
    inputs: "{0} 个输入", inputs_1: "1 个输入", layer: "第 {1} 层：{0} 个单元", layer_1: "第 {1} 层：1 个单元",
    output: "输出层：{0} 个单元", output_1: "输出层：1 个单元", loss: "损失", more: "个未画出",
    forward: "前向传播", backward: "反向传播",
    idle: "输入、权重和目标都是已知的。一步一步向前，求出其余的一切。",
    z: "把到达这个单元的各项相加。", a: "让这个和通过激活函数。",
    L: "把输出与目标相比较，得到损失。",
    start: "反向从损失本身出发。", dy: "这个输出变化时，损失怎样变化？",
    dz: "再往回走一条边。这就是 δ：只算一次，存起来，供它之前的所有权重使用。",
    dw: "权重的偏导数：它所通向的 δ，乘以它所传递的值。",
    dh: "把沿每条边传回来的量加在一起。",
    others: "……其余 {0} 个照此计算。",
    parameter: "权重", value: "值", renewed: "新值", not_listed: "另有 {0} 个权重未画出",
    choose: "权重", none: "请选择", no_weight: "请在这里选一个权重，或在网络图中点击一个。",
    one_path: "从 {0} 到损失只有一条路径。按链式法则，路径上各偏导数的乘积就是梯度。",
    many_paths: "从 {0} 到损失有 {1} 条路径。按链式法则，把每条路径上的偏导数相乘，再把各条路径相加。",
    rest: "其余 {0} 条路径合计", sum: "各路径之和",
    factor: "因子", product: "累乘积",
    visits_note: "连线上的数：逐条路径求和经过它的次数，总共走过 {0} 条边。反向传播只用每条边一次，共 {1} 条。",
    work_note: "六种方法求同一个梯度，并排计数：求出全部权重的梯度所需的乘法次数。局部偏导数视为已知；有限差分不用偏导数，代价是一次次完整的前向传播。",
    clock: "已做乘法次数：", linear: "", logarithmic: "条形按对数刻度：每一格表示相同的倍数。",
    m_paths: "逐条路径求和", s_paths: "每个权重的每条路径都从头乘起",
    m_recursion: "递归", s_recursion: "每个 δ 都反复重算它后面的 δ",
    m_memo: "带记忆的递归", s_memo: "自顶向下：每个 δ 算出后就存起来",
    m_delta: "反向传播", s_delta: "自底向上：从损失出发，逐层求 δ",
    m_forward: "前向模式求导", s_forward: "每个权重各做一遍导数的前向传递",
    m_central: "有限差分", s_central: "每个权重各做两次前向传播",
    of: "共 {0}", passes: "遍数：{0}", additions: "加法：{0}",
    rate: "学习率 η", now: "现在的 L", after: "{0} 步之后的 L", after_1: "1 步之后的 L",
    falls: "每个权重都逆着自己的梯度走一小步，损失下降。",
    rises: "第一步迈得太大，损失反而上升。",
    keys: "按键：← → 逐步 · Home、End 首尾 · 空格播放 · 1 至 4 切换视图 · Esc 放开权重",
    weight_label: "选择 {0}",
  },
};

const state = {
  language: data.language, view: "sweep", weight: data.weight, rate: data.descent.findIndex((d) => d.first),
  at: {sweep: 0, paths: 0, work: 0, descent: 0}, timer: null,
};
const word = (key, ...values) =>
  WORDS[state.language][key].replace(/\{(\d)\}/g, (_, k) => values[k]);
const counted = (key, n, ...values) =>
  word(n === "1" && `${key}_1` in WORDS.en ? `${key}_1` : key, n, ...values);

// ---- building blocks ---------------------------------------------------------------------------

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "html") element.innerHTML = value;  // only what Python has escaped
    else if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function symbol(name) {
  const found = /^(\p{L}{1,2})_?(\d[\d_,]*)$/u.exec(name);
  const parts = [make("i", {text: found ? found[1] : name})];
  if (found) parts.push(make("sub", {text: found[2].replaceAll("_", ",")}));
  return parts;
}
const partial = (above, below) => ["∂", ...symbol(above), "/∂", ...symbol(below)];
// The same name without markup, for lists to choose from: w₅.
function plain(name) {
  const found = /^(\p{L}{1,2})_?(\d[\d_,]*)$/u.exec(name);
  if (!found) return name;
  return found[1] + [...found[2]].map((c) => (/\d/.test(c) ? "₀₁₂₃₄₅₆₇₈₉"[c] : ",")).join("");
}

function know(element, known) {
  element.classList.toggle("unknown", !known);
  if (known) element.removeAttribute("aria-hidden");
  else element.setAttribute("aria-hidden", "true");
}

const nets = all(".net");
const cards = new Map(), lines = new Map(), handles = new Map(), of = new Map();
const put = (map, key, value) => (map.has(key) ? map.get(key).push(value) : map.set(key, [value]));
for (const card of all(".net .card")) put(cards, card.dataset.node, card);
for (const line of all(".net .line")) {
  put(lines, `${line.dataset.source}>${line.dataset.target}`, line);
  if (line.dataset.parameter) put(of, line.dataset.parameter, line);
}
for (const element of all(".net .label, .net .extra[data-parameter]")) {
  put(handles, element.dataset.parameter, element);
}
const each = (map, key, act) => (map.get(key) || []).forEach(act);
const clear = (name, selector) => all(`.net ${selector}.${name}`).forEach((e) => e.classList.remove(name));

// ---- what is known in the net ------------------------------------------------------------------

// A tooltip, which is what a screen reader reads, tells no more than can be seen.
function tell(element, known) {
  const title = element.querySelector("title");
  element.told ??= title.textContent.split("\n");
  const [first, ...rest] = element.told;
  const lines = [known[0] ? first : first.split(" = ")[0], ...rest.filter((_, k) => known[k + 1])];
  title.textContent = lines.join("\n");
}

function showNet(values, gradients) {
  for (const [name, elements] of cards) {
    for (const card of elements) {
      tell(card, [card.classList.contains("x") || values.has(name), gradients.has(name)]);
      const value = card.querySelector(".value"), gradient = card.querySelector(".gradient");
      if (!card.classList.contains("x")) know(value, values.has(name));
      if (gradient) know(gradient, gradients.has(name));
    }
  }
  const shares = document.body.classList.contains("by-contribution");
  for (const elements of lines.values()) {
    for (const line of elements) {
      const {target, parameter} = line.dataset;
      tell(line, [Boolean(parameter) || values.has(target)]);
      line.classList.toggle("known", shares ? gradients.has(target) : Boolean(parameter) || values.has(target));
    }
  }
}
const everything = new Set(cards.keys());

// ---- view 1: the sweeps ------------------------------------------------------------------------

const backwardFrom = data.steps.findIndex((step) => step.kind === "start");

function telling(index) {
  if (index === 0) return [make("p", {class: "phase", text: "\u00a0"}), make("p", {class: "say", text: word("idle")})];
  const step = data.steps[index - 1];
  const phase = index - 1 < backwardFrom ? "forward" : "backward";
  const rows = [make("span", {html: step.what})];
  for (const part of [step.symbols, step.numbers]) {
    if (part) rows.push(make("span", {html: `= ${part}`}));
  }
  rows.push(make("span", {class: "result", text: `= ${step.result}`}));
  const parts = [
    make("p", {class: "phase", text: word(phase)}),
    make("p", {class: "say", text: word(step.kind)}),
    make("p", {class: "formula"}, ...rows),
  ];
  if (step.others && step.others !== "0") parts.push(make("p", {class: "note", text: word("others", step.others)}));
  return parts;
}

// The one line that stays in sight beside the buttons of a narrow page.
function brief(...parts) {
  $("brief").replaceChildren(...parts);
}

const sweep = {
  length: () => data.steps.length,
  show(index) {
    const values = new Set(), gradients = new Set(), parameters = new Set();
    for (const step of data.steps.slice(0, index)) {
      (step.values || []).forEach((name) => values.add(name));
      (step.gradients || []).forEach((name) => gradients.add(name));
      (step.parameters || []).forEach((name) => parameters.add(name));
    }
    showNet(values, gradients);
    const step = index ? data.steps[index - 1] : null;
    document.body.classList.toggle("backward", index > backwardFrom);
    for (const row of $("ledger").tBodies[0].rows) {
      know(row.cells[2], parameters.has(row.dataset.parameter));
      row.classList.toggle("now", Boolean(step && step.parameters && step.parameters.includes(row.dataset.parameter)));
    }
    if (step) {
      for (const name of [...(step.values || []), ...(step.gradients || [])]) each(cards, name, (c) => c.classList.add("now"));
      for (const [a, b] of step.lines) each(lines, `${a}>${b}`, (l) => l.classList.add("now"));
      const row = $("ledger").querySelector("tr.now");
      if (row) keepInSight(row);
    }
    $("telling").replaceChildren(...telling(index));
    brief(...(step ? [make("span", {html: step.what}), step.kind === "start" ? " = 1" : ` = ${step.result}`] : ["\u00a0"]));
  },
};

// Scrolls a list, never the page.
function keepInSight(row) {
  const box = row.closest(".ledger, .paths");
  if (!box || box.scrollHeight <= box.clientHeight) return;
  const frame = box.getBoundingClientRect(), place = row.getBoundingClientRect();
  if (place.top < frame.top + 30) box.scrollTop += place.top - frame.top - 30;
  else if (place.bottom > frame.bottom) box.scrollTop += place.bottom - frame.bottom;
}

// Reserves room for the tallest step, so that nothing moves while stepping.
function reserve() {
  const box = $("telling");
  if (!box.offsetParent) return;
  box.style.minHeight = "";
  let tallest = 0;
  const before = [...box.childNodes];
  for (let index = 0; index <= data.steps.length; index++) {
    box.replaceChildren(...telling(index));
    tallest = Math.max(tallest, box.offsetHeight);
  }
  box.replaceChildren(...before);
  box.style.minHeight = `${tallest}px`;
}

// ---- view 2: paths -----------------------------------------------------------------------------

// The lines of a path in the order of its factors, from L back to the weight; a bias ends without.
function linesOf(path) {
  const keys = [];
  for (let k = path.nodes.length - 1; k > 0; k--) keys.push(`${path.nodes[k - 1]}>${path.nodes[k]}`);
  return keys;
}
const factors = (path) => path.values.length;

function fillPaths() {
  const list = $("path-list"), total = $("path-total");
  list.replaceChildren();
  total.replaceChildren();
  $("factors").hidden = !state.weight;
  if (!state.weight) {
    $("paths-note").textContent = word("no_weight");
    return;
  }
  const paths = data.paths[state.weight];
  $("paths-note").textContent = paths.count === "1"
    ? word("one_path", plain(state.weight)) : word("many_paths", plain(state.weight), paths.count);
  for (const path of paths.shown) {
    const way = make("span", {class: "way"});
    path.nodes.forEach((name, k) => {
      if (k) way.append(make("span", {class: "arrow", text: "→"}), make("wbr"));
      way.append(...symbol(name));
    });
    list.append(make("li", {}, way, make("span", {class: "product", text: path.products.at(-1), title: path.exact})));
  }
  if (paths.rest !== null) {
    list.append(make("li", {class: "rest"}, make("span", {class: "way", text: word("rest", paths.left)}),
      make("span", {class: "product", text: paths.rest})));
  }
  total.append(
    make("span", {}, ...partial("L", state.weight), paths.count === "1" ? "" : ` = ${word("sum")}`),
    make("span", {class: "product", id: "total", text: paths.total, title: paths.exact}));
}

function fillFactors(path, done) {
  const body = $("factors").tBodies[0];
  body.replaceChildren(...path.values.map((value, k) => {
    const n = path.nodes.length;
    const name = make("td");
    const last = k === path.values.length - 1;
    name.append(...partial(path.nodes[n - 1 - k], last ? state.weight : path.nodes[n - 2 - k]));
    const cells = [make("td", {text: value}), make("td", {text: path.products[k]})];
    cells.forEach((cell) => know(cell, k < done));
    return make("tr", {class: k === done - 1 ? "now" : ""}, name, ...cells);
  }));
  keepInSight(body.rows[done - 1]);
}

const paths = {
  length() {
    if (!state.weight || !data.paths[state.weight].shown.length) return 0;
    return data.paths[state.weight].shown.reduce((sum, path) => sum + factors(path), 0) + 1;
  },
  show(index) {
    showNet(everything, everything);
    document.body.classList.toggle("choosing", Boolean(state.weight));
    if (!state.weight) return brief("\u00a0");
    const {shown, rest} = data.paths[state.weight];
    each(handles, state.weight, (e) => e.classList.add("chosen"));
    $("factors").hidden = !shown.length;
    if (!shown.length) return brief(...partial("L", state.weight), ` = ${data.paths[state.weight].total}`);
    const complete = index === 0 || index === paths.length();
    let current = 0, done = index;
    while (!complete && done > factors(shown[current])) done -= factors(shown[current++]);
    if (complete) [current, done] = [index ? shown.length - 1 : 0, factors(shown[0])];
    fillFactors(shown[current], done);
    const light = (path, name) => {
      linesOf(path).forEach((key) => each(lines, key, (l) => l.classList.add(name)));
      if (name === "lit") path.nodes.slice(-factors(path)).forEach((node) => each(cards, node, (c) => c.classList.add("lit")));
    };
    shown.forEach((path, k) => light(path, complete || k === current ? "lit" : "ghost"));
    if (complete && rest !== null) lightAll();
    if (!complete) {
      const keys = linesOf(shown[current]).slice(0, done);
      keys.forEach((key) => each(lines, key, (l) => l.classList.add("hot")));
      each(lines, keys.at(-1), (l) => l.classList.add("newest"));
    }
    const items = [...$("path-list").children];
    items.forEach((item, k) => {
      const known = complete || k < current || (k === current && done === factors(shown[current]));
      know(item.querySelector(".product"), known && (complete || !item.classList.contains("rest")));
      item.classList.toggle("now", !complete && k === current);
    });
    if (!complete) keepInSight(items[current]);
    know($("total"), complete);
    const path = shown[current], n = path.nodes.length, last = done === factors(path);
    if (complete) brief(...partial("L", state.weight), ` = ${data.paths[state.weight].total}`);
    else brief(`${current + 1}. … × `, ...partial(path.nodes[n - done], last ? state.weight : path.nodes[n - 1 - done]), ` = ${path.products[done - 1]}`);
  },
};

// Lights whatever a weight's paths visit, by following the lines from its unit on.
function lightAll() {
  const reached = new Set();
  const first = data.paths[state.weight].shown[0].nodes;
  reached.add(first.at(-factors(data.paths[state.weight].shown[0])));
  for (const [key, elements] of lines) {
    const {source, target} = elements[0].dataset;
    if (!reached.has(source)) continue;
    reached.add(target);
    elements.forEach((l) => l.classList.add("lit"));
  }
  reached.forEach((name) => each(cards, name, (c) => c.classList.add("lit")));
}

function choose(weight) {
  state.weight = weight;
  state.at.paths = 0;
  $("weight").value = weight || "";
  fillPaths();
  if (state.view === "paths") show();
  else open("paths");
}

// ---- view 3: the work --------------------------------------------------------------------------

function fillRace() {
  // All rows have columns of the same width, and counts room to grow.
  const longest = (key) => Math.max(...data.work.rows.map((row) => row[key].length));
  $("race").style.setProperty("--tally", `${0.62 * longest("multiplications") + 2}em`);
  $("race").style.setProperty("--rest", `${0.5 * longest("additions") + 5}em`);
  $("race").replaceChildren(...data.work.rows.map((row) => {
    const tally = make("div", {class: "tally"}, make("b"), make("div", {class: "of", text: word("of", row.multiplications)}));
    return make("div", {class: "row", "data-method": row.name},
      make("div", {class: "name"}, word(`m_${row.name}`), make("div", {class: "small", text: word(`s_${row.name}`)})),
      make("div", {class: "track", "aria-hidden": "true"}, make("div", {class: "bar"})), tally,
      make("div", {class: "small rest"}, make("div", {text: word("passes", row.passes)}), make("div", {text: word("additions", row.additions)})));
  }));
  $("visits-note").textContent = word("visits_note", data.work.visits, data.work.edges);
  $("scale").textContent = word(data.work.linear ? "linear" : "logarithmic");
}

const work = {
  length: () => data.work.frames.length - 1,
  show(index) {
    showNet(everything, everything);
    document.body.classList.add("working");
    const [clock, row] = data.work.frames[index];
    $("clock").textContent = clock;
    brief(`${word("clock")} ${clock}`);
    [...$("race").children].forEach((element, k) => {
      const [now, part, done] = row[k];
      element.querySelector("b").textContent = now;
      element.querySelector(".bar").style.width = `${part}%`;
      element.classList.toggle("done", done);
    });
  },
};

// ---- view 4: the step --------------------------------------------------------------------------

const few = data.parameters.length <= 12;

function fillDescent() {
  const one = data.descent[state.rate];
  $("updates").tBodies[0].replaceChildren(...data.parameters.map((p, k) =>
    make("tr", {"data-parameter": p.name}, make("td", {}, ...symbol(p.name)), make("td", {text: p.short_value}),
      make("td", {text: p.short_gradient}), make("td", {text: one.new[k]}))));
  const rows = [make("tr", {}, make("td", {text: word("now")}), make("td", {text: one.before[0], title: one.before[1]}))];
  for (const [n, value, exact] of one.after) {
    rows.push(make("tr", {}, make("td", {text: counted("after", n)}), make("td", {text: value, title: exact})));
  }
  $("losses").tBodies[0].replaceChildren(...rows);
  $("descent-note").textContent = word(one.falls ? "falls" : "rises");
}

const descent = {
  length: () => (few ? data.parameters.length : 1) + data.descent[state.rate].after.length,
  show(index) {
    showNet(everything, everything);
    const updates = few ? data.parameters.length : 1;
    [...$("updates").tBodies[0].rows].forEach((row, k) => {
      const now = few ? k === index - 1 : index === 1;
      know(row.cells[3], few ? k < index : index > 0);
      row.classList.toggle("now", now);
      if (now) each(of, row.dataset.parameter, (l) => l.classList.add("now"));
      if (now && few) keepInSight(row);
    });
    [...$("losses").tBodies[0].rows].forEach((row, k) => {
      know(row.cells[1], k === 0 || index >= updates + k);
      row.classList.toggle("now", k > 0 && index === updates + k);
    });
    const note = $("descent-note");
    note.style.visibility = index > updates ? "visible" : "hidden";
    const one = data.descent[state.rate], k = index - updates - 1;
    if (k >= 0) brief(`${counted("after", one.after[k][0])}: ${one.after[k][1]}`);
    else if (index && few) brief(...symbol(data.parameters[index - 1].name), ` ← ${one.new[index - 1]}`);
    else brief(`${word("now")}: ${one.before[0]}`);
  },
};

// ---- the page ----------------------------------------------------------------------------------

const views = {sweep, paths, work, descent};

function show() {
  const view = views[state.view], n = view.length();
  const at = state.at[state.view] = Math.max(0, Math.min(n, state.at[state.view]));
  for (const name of ["now", "lit", "hot", "newest", "ghost", "chosen"]) clear(name, "");
  document.body.classList.remove("choosing", "backward", "working");
  view.show(at);
  $("place").max = n;
  $("place").value = at;
  $("place").setAttribute("aria-valuetext", `${at} / ${n}`);
  $("count").textContent = `${String(at).padStart(String(n).length, "\u2007")} / ${n}`;
  $("count").style.minWidth = `${String(n).length * 1.3 + 1.4}em`;
  for (const [id, off] of [["first", at === 0], ["back", at === 0], ["next", at === n]]) {
    $(id).setAttribute("aria-disabled", String(off));
  }
  if (at === n) stop();
}

function go(to) {
  state.at[state.view] = to;
  show();
  follow();
}

// Brings what a step is about into sight: sideways where a deep net is wider than the page, and
// down a narrow page unless the reader is below the net.
function follow() {
  const marked = all(".net .line.now, .net .card.now, .net .line.newest");
  const here = marked.filter((e) => e.getClientRects().length).at(-1);
  if (!here) return;
  const wide = here.closest(".wide"), box = here.getBoundingClientRect();
  if (wide) {
    const frame = wide.getBoundingClientRect();
    if (box.left < frame.left) wide.scrollLeft += box.left - frame.left - 60;
    else if (box.right > frame.right) wide.scrollLeft += box.right - frame.right + 60;
    return;
  }
  const bar = document.querySelector(".player").getBoundingClientRect();
  if (document.querySelector("section.open").getBoundingClientRect().top < innerHeight) return;
  if (box.top < 0) scrollBy(0, box.top - 12);
  else if (box.bottom > bar.top) scrollBy(0, box.bottom - bar.top + 12);
}
const move = (by) => go(state.at[state.view] + by);

function stop() {
  clearInterval(state.timer);
  state.timer = null;
  showPlay();
}

function play() {
  if (state.timer !== null) return stop();
  if (state.at[state.view] >= views[state.view].length()) go(0);
  move(1);
  if (state.at[state.view] < views[state.view].length()) {
    state.timer = setInterval(() => move(1), PACE[state.view]);
  }
  showPlay();
}

function showPlay() {
  const playing = state.timer !== null;
  $("play").querySelector(".sign").textContent = playing ? "❙❙" : "▶";
  const both = [make("span", {text: word("play"), class: playing ? "" : "on"}), make("span", {text: word("pause"), class: playing ? "on" : ""})];
  $("play-word").replaceChildren(...both);
  $("play").setAttribute("aria-label", word(playing ? "pause" : "play"));
}

function open(view) {
  stop();
  state.view = view;
  for (const name of VIEWS) {
    const selected = name === view;
    $(`view-${name}`).classList.toggle("open", selected);
    $(`tab-${name}`).setAttribute("aria-selected", String(selected));
    $(`tab-${name}`).tabIndex = selected ? 0 : -1;
  }
  $("brief").setAttribute("aria-live", view === "sweep" ? "off" : "polite");  // the telling is live
  if (view === "sweep") reserve();
  show();
}

function translate() {
  document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
  for (const element of all("[data-text]")) element.textContent = word(element.dataset.text);
  for (const element of all("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label));
  for (const element of all(".net .word")) element.textContent = word("more");
  for (const c of all(".net .caption")) c.textContent = counted(c.dataset.kind, Number(c.dataset.units).toLocaleString("en"), c.dataset.layer);
  $("title").textContent = data.title ?? word("heading");
  $("facts").replaceChildren(make("span", {text: word("network", data.sizes)}), ...data.facts.map(([name, text]) =>
    make("span", {}, ...(name === "x" || name === "t" ? [make("i", {text: name}), ` = ${text}`] : [text || word(name)]))));
  $("language").textContent = word("other");
  $("language").lang = state.language === "zh" ? "en" : "zh-Hans";
  $("more").textContent = data.more === "0" ? "" : word("not_listed", data.more);
  $("weight").options[0].textContent = word("none");
  for (const button of all("#ledger button")) button.setAttribute("aria-label", word("weight_label", plain(button.dataset.parameter)));
  showTheme();
  showPlay();
  fillPaths();
  fillRace();
  fillDescent();
  reserve();
  show();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (prefersDark.matches ? "dark" : "light");
const showTheme = () => { $("theme").textContent = word(theme() === "dark" ? "light" : "dark"); };

function setColour(name) {
  document.body.classList.toggle("by-partial", name === "partial");
  document.body.classList.toggle("by-contribution", name !== "partial");
  $("by-partial").setAttribute("aria-pressed", String(name === "partial"));
  $("by-contribution").setAttribute("aria-pressed", String(name !== "partial"));
  show();
}

// ---- set up ------------------------------------------------------------------------------------

$("weight").append(make("option", {value: ""}), ...data.parameters.map((p) => make("option", {value: p.name, text: plain(p.name)})));
$("rate").append(...data.descent.map((d, k) => make("option", {value: k, text: d.rate})));
$("rate").value = state.rate;
$("weight").value = state.weight || "";
$("ledger").tBodies[0].append(...data.parameters.map((p) => {
  const button = make("button", {type: "button", "data-parameter": p.name}, ...symbol(p.name));
  button.addEventListener("click", () => choose(p.name));
  return make("tr", {"data-parameter": p.name}, make("td", {}, button), make("td", {text: p.value}),
    make("td", {text: p.gradient, title: p.exact}));
}));

for (const tab of all("[role=tab]")) tab.addEventListener("click", () => open(tab.dataset.view));
$("first").addEventListener("click", () => { stop(); go(0); });
$("back").addEventListener("click", () => { stop(); move(-1); });
$("next").addEventListener("click", () => { stop(); move(1); });
$("play").addEventListener("click", play);
$("place").addEventListener("input", (event) => { stop(); go(Number(event.target.value)); });
$("weight").addEventListener("change", (event) => choose(event.target.value || null));
$("rate").addEventListener("change", (event) => { state.rate = Number(event.target.value); fillDescent(); show(); });
$("language").addEventListener("click", () => { state.language = state.language === "en" ? "zh" : "en"; translate(); });
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark"; showTheme(); });
prefersDark.addEventListener("change", showTheme);
$("by-partial").addEventListener("click", () => setColour("partial"));
$("by-contribution").addEventListener("click", () => setColour("contribution"));
for (const net of nets) {
  net.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-parameter]");
    if (chosen) choose(chosen.dataset.parameter);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target, key = event.key;
  const field = target.closest("select, input");
  const tab = target.closest("[role=tab]");
  const forward = key === "ArrowRight" || key === "ArrowDown", back = key === "ArrowLeft" || key === "ArrowUp";
  if (key === "Escape") { stop(); if (state.view === "paths") choose(null); }
  else if (field) return;
  else if (tab && (key === "ArrowRight" || key === "ArrowLeft")) {
    const view = VIEWS[(VIEWS.indexOf(state.view) + (forward ? 1 : VIEWS.length - 1)) % VIEWS.length];
    open(view);
    $(`tab-${view}`).focus();
  }
  else if ((key === "Enter" || key === " ") && target.closest(".net [data-parameter]")) choose(target.closest("[data-parameter]").dataset.parameter);
  else if (key === " " && target.closest("button")) return;
  else if (key === "ArrowRight") { stop(); move(1); }
  else if (key === "ArrowLeft") { stop(); move(-1); }
  else if (key === "Home") { stop(); go(0); }
  else if (key === "End") { stop(); go(views[state.view].length()); }
  else if (key === " ") play();
  else if (/^[1-4]$/.test(key)) open(VIEWS[key - 1]);
  else return;
  event.preventDefault();
});

// The room that the tallest step needs depends on the width.
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; reserve(); } });

setColour("partial");
if (state.weight) state.view = "paths";
// #view=paths&weight=w5&step=3&language=zh&theme=dark opens the page there.
const asked = new URLSearchParams(location.hash.slice(1));
if (asked.get("language") in WORDS) state.language = asked.get("language");
if (["dark", "light"].includes(asked.get("theme"))) document.documentElement.dataset.theme = asked.get("theme");
if (asked.get("weight") in data.paths) { state.weight = asked.get("weight"); state.view = "paths"; $("weight").value = state.weight; }
if (VIEWS.includes(asked.get("view"))) state.view = asked.get("view");
translate();
open(state.view);
if (asked.has("step")) go(asked.get("step") === "end" ? views[state.view].length() : Number(asked.get("step")) || 0);
})();
