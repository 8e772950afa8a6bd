
"use strict";
// Asks /cluster once a second and shows the answer. What nodes say goes into the page as text only.
const SPAN_S = 120;
// Nodes answer at slightly different times, so a few blocks are no delay.
const BEHIND = 10;
const history = [];
const colours = new Map();
let order = [];
const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function make(tag, text, kind) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor((sorted.length - 1) / 2)] : 0;
}

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

function duration(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

function colour(phase) {
  // A colour for each phase, in the order in which they were first seen.
  if (!colours.has(phase)) colours.set(phase, `p${(colours.size) % 6}`);
  return colours.get(phase);
}

function inOrder(phases) {
  // In the protocol's order; names that it does not know come last.
  const place = (name) => (order.indexOf(name) + order.length + 1) % (order.length + 1);
  return Object.entries(phases.seconds).sort(([a], [b]) => place(a) - place(b));
}

function took(phases) {
  return Math.max(...Object.values(phases.seconds));
}

function tiles(answer, alive, top, rate) {
  const silent = answer.nodes.length - alive.length;
  const faults = alive.flatMap((n) => n.status.faults);
  const accused = new Set(faults.map(([node]) => node));
  const tile = (value, label, kind) => {
    const box = make("div", undefined, kind);
    box.append(make("b", value), make("span", label));
    return box;
  };
  at("tiles").replaceChildren(
    tile(`${alive.length} of ${answer.nodes.length}`, `nodes answer; ${answer.tolerates} may be faulty`,
      silent > answer.tolerates ? "bad" : silent ? "warn" : ""),
    tile(whole.format(rate), "transactions per second"),
    tile(whole.format(top), "height of the ledger"),
    tile(whole.format(Math.max(0, ...alive.map((n) => n.status.transactions))), "transactions in the ledger"),
    tile(whole.format(alive.reduce((sum, n) => sum + n.status.mempool, 0)), "transactions wait, over all nodes"),
    tile(whole.format(accused.size), accused.size === 1 ? "node accused of faults" : "nodes accused of faults",
      accused.size > answer.tolerates ? "bad" : accused.size ? "warn" : ""),
  );
}

function phaseBar(last, longest) {
  const cell = make("td", undefined, "phases");
  if (!last) {
    cell.append(make("small", "–"));
    return cell;
  }
  const bar = make("div", undefined, "bar");
  let reached = 0;
  inOrder(last).forEach(([phase, end], index) => {
    if (!index) return;
    const piece = make("i", undefined, colour(phase));
    // A node may reach a phase before the one that precedes it in the protocol.
    piece.style.width = `${100 * Math.max(0, end - reached) / longest}%`;
    piece.title = `${phase}: after ${duration(end)}`;
    reached = Math.max(reached, end);
    bar.append(piece);
  });
  cell.append(bar, make("small", `${duration(took(last))}, epoch ${last.epoch}`));
  return cell;
}

function row(node, top, longest) {
  const line = make("tr");
  line.append(make("td", String(node.node)));
  const status = node.status;
  if (!status) {
    line.className = "silent";
    const state = make("td");
    state.append(make("span", "no answer", "state bad"));
    line.append(state);
    for (let i = 0; i < 9; i++) line.append(make("td", "–", i < 6 || i > 7 ? "n" : ""));
    return line;
  }
  const behind = top - status.height;
  const state = make("td");
  if (status.silent_through) {
    state.append(make("span", `mute through epoch ${whole.format(status.silent_through)}`, "state bad"));
    state.title = "It lost votes of an earlier run, so it says nothing and takes no transactions until then.";
  } else state.append(behind > BEHIND ? make("span", `${whole.format(behind)} behind`, "state warn") : make("span", "up", "state good"));
  const current = status.phases.current;
  const reached = current ? inOrder(current).at(-1)[0] : null;
  const faults = status.faults.reduce((sum, [, , count]) => sum + count, 0);
  line.append(
    state,
    make("td", whole.format(status.height), "n"),
    make("td", whole.format(status.epoch), "n"),
    make("td", whole.format(status.tx_per_s), "n"),
    make("td", whole.format(status.mempool), "n"),
    make("td", String(status.peers_connected), "n"),
    make("td", whole.format(faults), faults ? "n warn" : "n"),
    make("td", current ? `${reached}, ${duration(current.age_s)}` : "none"),
    phaseBar(status.phases.last, longest),
    make("td", span(status.uptime_s), "n"),
  );
  return line;
}

function faultRows(alive) {
  const found = new Map();
  for (const { node, status } of alive) {
    for (const [accused, kind, count] of status.faults) {
      const key = `${accused} ${kind}`;
      const entry = found.get(key) ?? { accused, kind, by: [], count: 0 };
      entry.by.push(node);
      entry.count += count;
      found.set(key, entry);
    }
  }
  const entries = [...found.values()].sort((a, b) => a.accused - b.accused || b.count - a.count);
  at("nofaults").hidden = entries.length > 0;
  at("faulttable").hidden = entries.length === 0;
  at("faults").replaceChildren(...entries.slice(0, 100).map((entry) => {
    const line = make("tr");
    line.append(
      make("td", `node ${entry.accused}`),
      make("td", entry.kind.toLowerCase().replaceAll("_", " ")),
      make("td", `node${entry.by.length > 1 ? "s" : ""} ${entry.by.join(", ")}`),
      make("td", whole.format(entry.count), "n"),
    );
    return line;
  }));
}

function legend(alive) {
  const entries = [];
  const seen = new Set();
  for (const { status } of alive) {
    const last = status.phases.last;
    const phases = last ? inOrder(last).map(([phase]) => phase) : [];
    phases.slice(1).forEach((phase, index) => {
      if (seen.has(phase)) return;
      seen.add(phase);
      const entry = make("span");
      entry.append(make("i", undefined, colour(phase)), `${phases[index]} → ${phase}`);
      entries.push(entry);
    });
  }
  at("legend").replaceChildren(...entries);
}

function chart(now) {
  while (history.length && history[0][0] < now - SPAN_S) history.shift();
  const peak = Math.max(1, ...history.map(([, rate]) => rate));
  const x = (time) => 1000 * (1 - (now - time) / SPAN_S);
  const y = (rate) => 176 - 160 * (rate / peak);
  const points = history.map(([time, rate]) => `${x(time).toFixed(1)},${y(rate).toFixed(1)}`);
  const draw = (tag, kind, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    element.setAttribute("class", kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const lines = [0, 0.5, 1].map((part) => draw("line", "grid", { x1: 0, x2: 1000, y1: y(part * peak), y2: y(part * peak) }));
  const drawn = points.length > 1 ? [
    draw("polygon", "area", { points: `${x(history[0][0])},176 ${points.join(" ")} ${x(history.at(-1)[0])},176` }),
    draw("polyline", "edge", { points: points.join(" ") }),
  ] : [];
  at("chart").replaceChildren(...lines, ...drawn);
  at("peak").textContent = `top line: ${whole.format(peak)} per second`;
}

function show(answer) {
  const alive = answer.nodes.filter((node) => node.status);
  order = answer.phases;
  const top = Math.max(0, ...alive.map((node) => node.status.height));
  const rate = median(alive.map((node) => node.status.tx_per_s));
  // Bars of all nodes have one scale, so that a slow node shows.
  const longest = Math.max(1e-4, ...alive.map((node) => node.status.phases.last).filter(Boolean)
    .map(took));
  const now = performance.now() / 1000;
  history.push([now, rate]);
  at("about").textContent =
    `${answer.protocol}, chain ${answer.chain.slice(0, 12)}…`;
  tiles(answer, alive, top, rate);
  at("nodes").replaceChildren(...answer.nodes.map((node) => row(node, top, longest)));
  legend(alive);
  faultRows(alive);
  chart(now);
}

async function look() {
  try {
    const reply = await fetch("cluster", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    show(await reply.json());
    at("trouble").hidden = true;
  } catch (error) {
    at("trouble").textContent = `The watcher does not answer (${error.message}); what is below is old.`;
    at("trouble").hidden = false;
  }
  setTimeout(look, document.hidden ? 5000 : 1000);
}

look();
