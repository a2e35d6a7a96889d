// The page of a running relay. Totals come once a second from /events; rates are made here.

// Seconds, and points of a chart: how many are kept, and how many a chart that has just begun has room for.
const HISTORY = 300;
const SHORTEST = 60;
const $ = (id) => document.getElementById(id);

// MARK: Words

const scaled = (value, units, base = 1000) => {
  let unit = 0;
  while (value >= base * 0.9995 && unit < units.length - 1) { value /= base; unit += 1; }
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)}${units[unit]}`;
};
const bits = (value) => scaled(value, [" bit/s", " kbit/s", " Mbit/s", " Gbit/s", " Tbit/s"]);
const count = (value) => scaled(value, ["", " k", " M", " G", " T"]);
const rate = (value) => `${count(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))}/s`;
const span = (microseconds) => scaled(microseconds, [" µs", " ms", " s"]);
const bytes = (value) => scaled(value, [" B", " KiB", " MiB", " GiB"], 1024);
const percent = (value) => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
const words = (name) => name.replaceAll("_", " ");

// MARK: Charts

const colours = new Map();
const planeOrder = ["xdp", "io-uring", "socket"];
const colour = (name, names) => {
  const fixed = planeOrder.indexOf(name);
  if (fixed >= 0) return `var(--series-${fixed + 1})`;
  if (!colours.has(name)) colours.set(name, names.indexOf(name) % 8 + 1);
  return `var(--series-${colours.get(name)})`;
};

const svgNode = (name, attributes, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

class Chart {
  /** `stacked` series add up and are filled; `lowest` is the least that the axis reaches to. */
  constructor(id, format, { stacked = false, lowest = 1 } = {}) {
    this.format = format;
    this.stacked = stacked;
    this.lowest = lowest;
    this.points = [];
    this.figure = $(id);
    this.title = this.figure.querySelector("h2").textContent;
    this.svg = svgNode("svg", { role: "img" });
    this.legend = document.createElement("div");
    this.legend.className = "legend";
    this.figure.append(this.svg, this.legend);
    this.pointer = null;
    this.svg.addEventListener("pointermove", (event) => { this.pointer = event.offsetX; this.draw(); });
    this.svg.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  /** One point a second: `values` by name; null where nothing is known. */
  add(values) {
    this.points.push(values);
    if (this.points.length > HISTORY) this.points.shift();
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth, height = this.svg.clientHeight;
    if (!width || !height) return;
    const names = [...new Set(this.points.flatMap((point) => Object.keys(point ?? {})))];
    const frame = { left: 4, right: width - 4, top: 14, bottom: height - 16 };
    const sums = this.points.map((point) => {
      const values = names.map((name) => point?.[name] ?? 0);
      return this.stacked ? values.reduce((sum, value) => sum + value, 0) : Math.max(0, ...values);
    });
    const top = niceCeiling(Math.max(...sums, this.lowest));
    this.seconds = Math.min(HISTORY, Math.max(SHORTEST, Math.ceil(this.points.length / 60) * 60));
    const step = (frame.right - frame.left) / (this.seconds - 1);
    const x = (index) => frame.right - (this.points.length - 1 - index) * step;
    const y = (value) => frame.bottom - value / top * (frame.bottom - frame.top);
    this.svg.replaceChildren(...this.grid(frame, top, y), ...this.lines(names, x, y));
    this.label(names, frame, x, step);
  }

  grid(frame, top, y) {
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(top * share)) + 0.5;
      parts.push(svgNode("line", { class: "grid", x1: frame.left, x2: frame.right, y1: at, y2: at }));
      if (share > 0) parts.push(svgNode("text", { x: frame.left, y: at - 3 }, this.format(top * share)));
    }
    parts.push(svgNode("text", { x: frame.left, y: frame.bottom + 13 }, `${this.seconds / 60} min ago`));
    parts.push(svgNode("text", { x: frame.right, y: frame.bottom + 13, "text-anchor": "end" }, "now"));
    return parts;
  }

  lines(names, x, y) {
    const floor = this.points.map(() => 0);
    return names.flatMap((name, order) => {
      const under = [...floor];
      const upper = this.points.map((point, index) => {
        const value = (point?.[name] ?? 0) + (this.stacked ? floor[index] : 0);
        if (this.stacked) floor[index] = value;
        return value;
      });
      const line = runs(this.points, upper, x, y);
      const stroke = svgNode("path", { d: line, fill: "none", "stroke-width": 1.75, "stroke-linejoin": "round" });
      stroke.style.stroke = colour(name, names);
      if (!this.stacked) {
        // A line that lies on another one lets it be seen.
        if (order > 0) stroke.setAttribute("stroke-dasharray", "7 4");
        return [stroke];
      }
      const area = svgNode("path", { d: areas(this.points, upper, under, x, y), "fill-opacity": 0.22 });
      area.style.fill = colour(name, names);
      return [area, stroke];
    });
  }

  label(names, frame, x, step) {
    let index = this.points.length - 1;
    if (this.pointer !== null && this.points.length > 0) {
      index = Math.min(Math.max(index - Math.round((frame.right - this.pointer) / step), 0), index);
      this.svg.append(
        svgNode("line", { class: "cursor", x1: x(index), x2: x(index), y1: frame.top, y2: frame.bottom }));
    }
    const shown = names.map((name) => {
      const entry = document.createElement("span");
      entry.style.setProperty("--colour", colour(name, names));
      const value = document.createElement("b");
      value.textContent = this.format(this.points[index]?.[name] ?? 0);
      entry.append(`${words(name)} `, value);
      return entry;
    });
    if (shown.length === 0) shown.push("none so far");
    this.legend.replaceChildren(...shown);
    this.svg.setAttribute("aria-label", `${this.title}: ${this.legend.textContent}`);
  }
}

/** The next round number whose half is one too. */
const niceCeiling = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 6, 10].find((factor) => value <= factor * power * 1.0001);
};

/** A path that is broken where a point is missing. */
const runs = (points, values, x, y) =>
  values.map((value, index) => {
    if (points[index] === null) return "";
    const move = index === 0 || points[index - 1] === null ? "M" : "L";
    return `${move}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
  }).join("");

const areas = (points, upper, under, x, y) => {
  let path = "";
  for (let start = 0; start < points.length; start += 1) {
    if (points[start] === null) continue;
    let end = start;
    while (end + 1 < points.length && points[end + 1] !== null) end += 1;
    const at = (values, index) => `${x(index).toFixed(1)} ${y(values[index]).toFixed(1)}`;
    const forth = [], back = [];
    for (let index = start; index <= end; index += 1) {
      forth.push(at(upper, index));
      back.unshift(at(under, index));
    }
    path += `M${[...forth, ...back].join("L")}Z`;
    start = end;
  }
  return path;
};

const throughput = new Chart("chart-throughput", bits, { stacked: true, lowest: 1000 });
const sessions = new Chart("chart-sessions", count, { lowest: 2 });
const drops = new Chart("chart-drops", rate, { stacked: true, lowest: 2 });
const turns = new Chart("chart-turns", span, { lowest: 100 });

// MARK: What an event says

let last = null;

const show = (event) => {
  const seconds = last ? (event.time_ms - last.time_ms) / 1000 : 0;
  // A relay that was started again counts from zero; a tab that slept has a gap.
  const isNext = last && Math.abs(last.started_ms - event.started_ms) < 2000 && seconds > 0.2;
  $("main").hidden = false;
  showState(event);
  if (isNext) {
    if (seconds > 5) for (const chart of [throughput, sessions, drops, turns]) chart.add(null);
    showRates(event, last, seconds);
  }
  last = event;
};

const payload = (traffic) => traffic.bytes_to_peers + traffic.bytes_to_client;
const packets = (traffic) => traffic.packets_to_peers + traffic.packets_to_client;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const difference = (now, before) =>
  Object.fromEntries(Object.keys(now).map((key) => [key, now[key] - (before[key] ?? 0)]));

const showRates = (event, before, seconds) => {
  const none = { packets_to_peers: 0, bytes_to_peers: 0, packets_to_client: 0, bytes_to_client: 0 };
  const carried = Object.entries(event.planes).map(([name, now]) => [name, difference(now, before.planes[name] ?? none)]);
  carried.sort((left, right) => planeOrder.indexOf(left[0]) - planeOrder.indexOf(right[0]));
  const perPlane = Object.fromEntries(carried.map(([name, traffic]) => [name, payload(traffic) * 8 / seconds]));
  throughput.add(perPlane);
  $("tile-bits").textContent = bits(sum(Object.values(perPlane)));
  $("tile-packets").textContent = `${count(Math.round(sum(carried.map(([, traffic]) => packets(traffic))) / seconds))} datagrams/s`;

  sessions.add({ sessions: event.allocations, channels: event.channels });

  const dropped = Object.entries(difference(event.drops, before.drops)).map(([name, value]) => [name, value / seconds]);
  const named = drops.points.flatMap((point) => Object.keys(point ?? {}));
  drops.add(Object.fromEntries(dropped.filter(([name, value]) => value > 0 || named.includes(name))));
  $("tile-drops").textContent = rate(sum(dropped.map(([, value]) => value)));

  turns.add(Object.fromEntries(event.workers.map((worker, number) => [`worker ${number}`, worker.longest_turn_us])));
  showWorkers(event, before, seconds);
};

const showWorkers = (event, before, seconds) => {
  const rates = event.workers.map((worker, number) => {
    const was = before.workers[number] ?? worker;
    return {
      sessions: worker.allocations, datagrams: (worker.datagrams - was.datagrams) / seconds,
      busy: (worker.busy_us - was.busy_us) / 1e6 / seconds,
    };
  });
  const all = sum(rates.map((worker) => worker.datagrams));
  $("workers").tBodies[0].replaceChildren(...rates.map((worker, number) => {
    const meter = document.createElement("meter");
    meter.value = all > 0 ? worker.datagrams / all : 0;
    meter.title = percent(meter.value);
    meter.setAttribute("aria-label", `share of worker ${number}`);
    return row([`${number}`, count(worker.sessions), count(Math.round(worker.datagrams)), meter, percent(Math.min(worker.busy, 1))]);
  }));
  const busiest = Math.max(...rates.map((worker) => worker.busy));
  $("tile-busy").textContent = `busiest worker ${percent(Math.min(busiest, 1))}`;
};

const row = (cells) => {
  const made = document.createElement("tr");
  for (const cell of cells) made.insertCell().append(cell);
  return made;
};

const causes = { start: "chosen at start", swap: "asked for", fallback: "another one failed" };

const showState = (event) => {
  const plane = event.plane;
  $("version").textContent = event.version;
  $("tile-plane").textContent = plane.name;
  $("tile-plane-why").textContent = plane.settled ? causes[plane.cause] : "changing";
  $("tile-sessions").textContent = count(event.allocations);
  $("tile-channels").textContent = `${count(event.channels)} channels, ${count(event.permissions)} permissions`;
  $("tile-turn").textContent = span(Math.max(...event.workers.map((worker) => worker.longest_turn_us)));
  const sums = Object.entries(event.drops).filter(([, value]) => value > 0).sort((left, right) => right[1] - left[1]);
  $("tile-drops-sum").textContent = `${count(sum(sums.map(([, value]) => value)))} since the start`;
  $("drops").tBodies[0].replaceChildren(
    ...(sums.length > 0 ? sums.map(([name, value]) => row([words(name), value.toLocaleString("en")])) : [row(["none"])]));
  showPlanes(event);
  const uptime = Math.floor((event.time_ms - event.started_ms) / 1000);
  const [days, hours, minutes] = [Math.floor(uptime / 86400), Math.floor(uptime / 3600) % 24, Math.floor(uptime / 60) % 60];
  $("footer").textContent = `Up ${days} d ${hours} h ${minutes} min, ${bytes(event.resident_bytes)} of memory, `
    + `${event.workers.length} workers. Payload is counted without headers.`;
};

const showPlanes = (event) => {
  const plane = event.plane;
  const below = plane.slow_path === plane.name ? "" : `, above ${plane.slow_path}`;
  const next = plane.fallbacks.length > 0 ? plane.fallbacks.join(", then ") : "nothing";
  $("plane-now").textContent = `${plane.name}${below} runs: ${causes[plane.cause]}. If it fails: ${next}.`;
  const failures = new Map(plane.failures.map((failure) => [failure.plane, failure.reason]));
  $("planes").replaceChildren(...event.candidates.flatMap((candidate) => {
    const verdict = candidate.name === plane.name ? "runs"
      : failures.has(candidate.name) ? "failed"
      : candidate.name === plane.slow_path ? "runs below" : candidate.verdict;
    const mark = document.createElement("span");
    mark.className = "verdict";
    mark.dataset.verdict = verdict;
    mark.textContent = verdict;
    const term = document.createElement("dt");
    term.append(candidate.name, mark);
    const why = document.createElement("dd");
    why.textContent = failures.get(candidate.name) ?? candidate.reason ?? candidate.does ?? "";
    return [term, why];
  }));
};

// MARK: The stream

const TOKEN = "relayd-token";

const setState = (state, text) => {
  $("state").dataset.state = state;
  $("state-text").textContent = text;
};

/** Reads events until the stream ends; says whether to try again. */
const listen = async () => {
  const token = sessionStorage.getItem(TOKEN);
  const response = await fetch("/events", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (response.status === 401) {
    // Another one was entered meanwhile.
    if (sessionStorage.getItem(TOKEN) !== token) return true;
    sessionStorage.removeItem(TOKEN);
    setState("lost", token ? "the token is wrong" : "a token is needed");
    $("token-form").hidden = false;
    $("token").focus();
    return false;
  }
  if (!response.ok) {
    setState("lost", (await response.text()).trim());
    return true;
  }
  $("token-form").hidden = true;
  setState("live", "live");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return true;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) show(JSON.parse(part.slice(6)));
  }
};

let isFollowing = false;

/** Listens for as long as the page is open, or until a token is needed. */
const follow = async () => {
  // The form may be submitted more than once before an answer comes; the loop that runs takes the token that is stored.
  if (isFollowing) return;
  isFollowing = true;
  try {
    for (let pause = 1; await isToBeTried(); pause = Math.min(pause * 2, 15)) {
      if ($("state").dataset.state === "live") pause = 1;
      if ($("state").dataset.state !== "lost") setState("lost", "the relay does not answer; trying again");
      await new Promise((resume) => setTimeout(resume, pause * 1000));
    }
  } finally {
    isFollowing = false;
  }
};

const isToBeTried = async () => {
  try {
    return await listen();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return true;
  }
};

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value);
  follow();
});

follow();
