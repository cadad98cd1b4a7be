// The map: every track is a point, close to tracks that are alike.

import { get, points, post } from "./api.js";
import { byId, html, latest } from "./dom.js";
import { playButton, toggle } from "./player.js";
import { addSeed, request, seed, state } from "./state.js";
import { named, tags } from "./tracks.js";

const CELLS = 96; // of the grid that finds points, along each side
const REACH = 14; // pixels from a point that still hit it
const MARGIN = 24; // pixels
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
const OUTDATED = 409; // the status if the tracks have changed since their ids were listed
const known = new Map(); // tracks by id

// Between two editions of the library a point is known by its track's id: its index may become another track's.
let tracks = null; // {edition, ids, x, y, place, grid}; place: indices by id
let values = null; // {kind, labels, values, low, high}, of the same edition
let view = { scale: 1, x: 0, y: 0 };
let chosen = null; // an id
let hovered = null; // an id
let frame = 0;

const canvas = byId("map-canvas");
const context = canvas.getContext("2d");

export function prepare() {
  const option = (value, text = value) => html("option", { value }, text);
  byId("map-space").replaceChildren(option("all", "everything"), ...state.dimensions.map(({ name }) => option(name)));
  const texts = Object.keys(state.fields).filter((field) => state.fields[field] === "text" && !["title", "album", "album_artist"].includes(field));
  const numbers = Object.keys(state.fields).filter((field) => state.fields[field] === "number" && !["track_number", "disc_number", "compilation"].includes(field));
  byId("map-colour").replaceChildren(
    option("none", "nothing"),
    html("optgroup", { label: "Metadata" }, ...[...texts, ...numbers].map((field) => option(`field ${field}`, field))),
    html("optgroup", { label: "Likeness to the query" }, option("query score", "score"), ...state.dimensions.map(({ name }) => option(`query ${name}`, name))),
  );
  if (texts.includes("genre")) byId("map-colour").value = "field genre";
  byId("map-space").addEventListener("change", load);
  byId("map-colour").addEventListener("change", colour);
  byId("map-whole").addEventListener("click", whole);
  state.addEventListener("answer", () => {
    if (byId("map").hidden) return;
    if (byId("map-colour").value.startsWith("query ")) colour();
    draw();
  });
  state.addEventListener("library", () => {
    if (byId("map").hidden) tracks = null;
    else load();
  });
  state.addEventListener("theme", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  interact();
}

export async function open() {
  if (!tracks) await load();
  else if (byId("map-colour").value.startsWith("query ")) await colour();
  draw();
}

const load = latest(async () => {
  const space = byId("map-space").value;
  const waiting = byId("map-waiting");
  let found = null;
  try {
    const { edition, ids } = await get("api/tracks/ids");
    while (!(found = await points(space, edition))) {
      waiting.hidden = false;
      await new Promise((resolve) => setTimeout(resolve, 700));
      if (byId("map-space").value !== space) return;
    }
    found = { edition, ids, ...read(found, ids) };
  } catch (error) {
    if (error.status === OUTDATED) return void load();
    waiting.textContent = error.message;
    waiting.hidden = false;
    return;
  }
  waiting.hidden = true;
  tracks = found;
  values = hovered = null;
  known.clear();
  if (!tracks.place.has(chosen)) {
    chosen = null;
    byId("map-selected").replaceChildren();
  }
  whole();
  await colour();
});

/** Positions of the points, and a grid to find them in. */
function read(buffer, ids) {
  const data = new DataView(buffer);
  const count = ids.length;
  const result = { x: new Float32Array(count), y: new Float32Array(count), place: new Map(), grid: new Map() };
  for (let i = 0; i < count; i++) {
    result.x[i] = data.getUint16(8 * i + 4, true) / 65535;
    result.y[i] = data.getUint16(8 * i + 6, true) / 65535;
    result.place.set(ids[i], i);
    const cell = cellOf(result.x[i], result.y[i]);
    if (!result.grid.has(cell)) result.grid.set(cell, []);
    result.grid.get(cell).push(i);
  }
  return result;
}

const cellOf = (x, y) => Math.floor(Math.min(x, 0.9999) * CELLS) * CELLS + Math.floor(Math.min(y, 0.9999) * CELLS);

// Colours

const colour = latest(async () => {
  if (!tracks) return;
  const [kind, by] = byId("map-colour").value.split(" ");
  const { edition } = tracks;
  let found = null;
  let note = null;
  values = null;
  try {
    if (kind === "field") found = await get("api/map/values", { by, edition });
    else if (kind === "query" && state.seeds.length) found = await post(`api/map/likeness?${new URLSearchParams({ edition })}`, { ...request(), by });
    else if (kind === "query") note = "Choose a track first: there is no query yet.";
  } catch (error) {
    if (error.status === OUTDATED) return void load();
    note = error.message;
  }
  if (tracks?.edition !== edition) return; // the new map asks again
  values = found;
  if (values?.kind === "number") {
    const sorted = values.values.filter((value) => value !== null).sort((a, b) => a - b);
    // Without the extremes: a single one would leave one colour for all the others.
    values.low = sorted[Math.floor(0.02 * (sorted.length - 1))] ?? 0;
    values.high = sorted[Math.ceil(0.98 * (sorted.length - 1))] ?? 1;
  }
  showLegend(note, by);
  draw();
});

function showLegend(note, by) {
  const legend = byId("map-legend");
  if (note) legend.replaceChildren(html("li", { class: "hint" }, note));
  else if (values?.kind === "text") {
    const unknown = values.values.some((value) => value === null);
    legend.replaceChildren(
      ...values.labels.map((text, i) => html("li", {}, html("i", { class: `mark c${i}` }), text)),
      unknown && html("li", {}, html("i", { class: "mark unknown" }), "unknown") || "",
    );
  } else if (values) {
    const digits = values.high - values.low > 20 ? 0 : 1;
    legend.replaceChildren(html("li", { class: "ramp" }, values.low.toFixed(digits), html("i", {}), `${values.high.toFixed(digits)} ${by}`));
  } else legend.replaceChildren();
}

function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const i = Math.min(Math.floor(at), RAMP.length - 2);
  return `rgb(${RAMP[i].map((low, c) => Math.round(low + (RAMP[i + 1][c] - low) * (at - i))).join()})`;
}

/** Indices of the points by their colour, so that each colour is set once. */
function byColour(colours) {
  const groups = new Map();
  const { unknown, palette } = colours;
  const span = values ? Math.max(values.high - values.low, 1e-9) : 1;
  for (let i = 0; i < tracks.ids.length; i++) {
    const value = values?.values[i];
    let fill = unknown;
    if (!values) fill = palette[0];
    else if (value !== null && value !== undefined) fill = values.kind === "text" ? palette[value] : ramp(Math.round((32 * (value - values.low)) / span) / 32);
    if (!groups.has(fill)) groups.set(fill, []);
    groups.get(fill).push(i);
  }
  // Unknown values are drawn below the others.
  return [...groups].sort(([one], [other]) => (other === unknown) - (one === unknown));
}

/** The colours of the style sheet as the canvas understands them, in the current theme. */
function resolved() {
  const probe = byId("map-frame");
  const colour = (name) => {
    probe.style.setProperty("accent-color", `var(${name})`);
    return getComputedStyle(probe).accentColor;
  };
  const colours = {
    unknown: colour("--unknown"), strong: colour("--text"), accent: colour("--accent"),
    palette: Array.from({ length: 10 }, (_, i) => colour(`--c${i}`)),
  };
  probe.style.removeProperty("accent-color");
  return colours;
}

// Drawing

function draw() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(paint);
}

const side = () => Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * MARGIN;
const toScreen = (i) => [
  canvas.clientWidth / 2 + (tracks.x[i] - 0.5 - view.x) * side() * view.scale,
  canvas.clientHeight / 2 + (tracks.y[i] - 0.5 - view.y) * side() * view.scale,
];

function paint() {
  const density = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
  }
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!tracks) return;
  const colours = resolved();
  const radius = Math.min(Math.max(60 / Math.sqrt(tracks.ids.length), 1), 5) * Math.sqrt(view.scale);
  context.globalAlpha = tracks.ids.length > 5000 ? 0.7 : 0.9;
  for (const [fill, members] of byColour(colours)) {
    context.fillStyle = fill;
    context.beginPath();
    for (const i of members) {
      const [x, y] = toScreen(i);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      if (radius < 1.6) context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      else {
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 7);
      }
    }
    context.fill();
  }
  context.globalAlpha = 1;
  const { strong, accent } = colours;
  for (const hit of state.answer?.hits ?? []) ring(hit.track.best ?? hit.track.id, radius + 3, accent, 1.5);
  for (const { id } of state.seeds) ring(id, radius + 5, accent, 4);
  ring(hovered, radius + 3, strong, 1.5);
  ring(chosen, radius + 5, strong, 2.5);
}

function ring(id, radius, stroke, width) {
  const i = tracks.place.get(id);
  if (i === undefined) return;
  const [x, y] = toScreen(i);
  context.strokeStyle = stroke;
  context.lineWidth = width;
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.stroke();
}

// Pointing

/** The id of the track whose point is nearest to a place on the screen, or null. */
function nearest(left, top) {
  if (!tracks) return null;
  const unit = side() * view.scale;
  const x = (left - canvas.clientWidth / 2) / unit + 0.5 + view.x;
  const y = (top - canvas.clientHeight / 2) / unit + 0.5 + view.y;
  const reach = Math.ceil((REACH / unit) * CELLS);
  const [cx, cy] = [Math.floor(x * CELLS), Math.floor(y * CELLS)];
  let [best, distance] = [null, (REACH / unit) ** 2];
  for (let i = Math.max(cx - reach, 0); i <= Math.min(cx + reach, CELLS - 1); i++)
    for (let j = Math.max(cy - reach, 0); j <= Math.min(cy + reach, CELLS - 1); j++)
      for (const k of tracks.grid.get(i * CELLS + j) ?? []) {
        const d = (tracks.x[k] - x) ** 2 + (tracks.y[k] - y) ** 2;
        if (d < distance) [best, distance] = [tracks.ids[k], d];
      }
  return best;
}

/** What is known about a track; null if it is gone: then the map is drawn anew. */
async function trackOf(id) {
  try {
    if (!known.has(id)) known.set(id, await get("api/track", { id }));
  } catch (error) {
    if (error.status !== 404) throw error;
    load();
    return null;
  }
  return known.get(id);
}

async function choose(id) {
  chosen = id;
  draw();
  const track = await trackOf(id);
  if (!track || chosen !== id) return;
  byId("map-selected").replaceChildren(
    playButton(track),
    html("div", {}, html("strong", {}, track.title ?? track.id), html("span", { class: "by" }, track.artist ?? ""), tags(track)),
    html("button", { class: "small", "aria-label": `More like ${named(track)}`, onclick: () => seed(track) }, "More like this"),
    html("button", { class: "quiet small", "aria-label": `Add ${named(track)} to the query`, onclick: () => addSeed(track) }, "+ Add"),
  );
}

const hover = latest(async () => {
  const tip = byId("map-tip");
  const id = hovered;
  if (id === null) {
    tip.hidden = true;
    return;
  }
  const track = await trackOf(id).catch(() => null);
  if (!track || hovered !== id || !tracks?.place.has(id)) return;
  const [x, y] = toScreen(tracks.place.get(id));
  tip.textContent = named(track);
  tip.style.left = `${Math.min(Math.max(x, 90), canvas.clientWidth - 90)}px`;
  tip.style.top = `${y}px`;
  tip.hidden = false;
});

function interact() {
  let grab = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    grab = { at: place(event), view: { ...view }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (grab) {
      const [dx, dy] = [x - grab.at[0], y - grab.at[1]];
      grab.moved ||= Math.hypot(dx, dy) > 4;
      if (grab.moved) {
        view.x = grab.view.x - dx / (side() * view.scale);
        view.y = grab.view.y - dy / (side() * view.scale);
      }
    }
    hovered = grab?.moved ? null : nearest(x, y);
    canvas.classList.toggle("over", hovered !== null);
    hover();
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const id = grab?.moved === false ? nearest(...place(event)) : null;
    grab = null;
    if (id !== null) choose(id);
  });
  canvas.addEventListener("pointercancel", () => (grab = null));
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    hover();
    draw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), place(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoom(2, place(event)));
  canvas.addEventListener("keydown", onKey);
}

function zoom(factor, [x, y] = [canvas.clientWidth / 2, canvas.clientHeight / 2]) {
  const scale = Math.min(Math.max(view.scale * factor, 1), 60);
  const [dx, dy] = [(x - canvas.clientWidth / 2) / side(), (y - canvas.clientHeight / 2) / side()];
  view.x += dx / view.scale - dx / scale;
  view.y += dy / view.scale - dy / scale;
  view.scale = scale;
  draw();
}

function whole() {
  view = { scale: 1, x: 0, y: 0 };
  draw();
}

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

async function onKey(event) {
  if (!tracks || event.ctrlKey || event.metaKey) return;
  if (event.key in DIRECTIONS) step(...DIRECTIONS[event.key]);
  else if (event.key === "Enter" && chosen !== null) await withChosen(seed);
  else if (event.key.toLowerCase() === "p" && chosen !== null) await withChosen(toggle);
  else if (event.key === "+" || event.key === "=") zoom(1.5);
  else if (event.key === "-") zoom(1 / 1.5);
  else return;
  event.preventDefault();
}

async function withChosen(action) {
  const track = await trackOf(chosen);
  if (track) action(track);
}

/** Chooses the nearest point in a direction, within 45 degrees of it. */
function step(dx, dy) {
  if (chosen === null) {
    const first = tracks.place.has(state.seeds[0]?.id) ? state.seeds[0].id : nearestToCentre();
    if (first !== null) choose(first);
    return;
  }
  const from = tracks.place.get(chosen);
  let [best, distance] = [null, Infinity];
  for (let i = 0; i < tracks.ids.length; i++) {
    const [x, y] = [tracks.x[i] - tracks.x[from], tracks.y[i] - tracks.y[from]];
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy) + Math.abs(y * dx);
    if (along > 0 && across <= along && Math.hypot(x, y) < distance) [best, distance] = [i, Math.hypot(x, y)];
  }
  if (best === null) return;
  choose(tracks.ids[best]);
  const [x, y] = toScreen(best);
  if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
    view.x = tracks.x[best] - 0.5;
    view.y = tracks.y[best] - 0.5;
  }
}

function nearestToCentre() {
  let [best, distance] = [null, Infinity];
  tracks.ids.forEach((id, i) => {
    const d = (tracks.x[i] - 0.5) ** 2 + (tracks.y[i] - 0.5) ** 2;
    if (d < distance) [best, distance] = [id, d];
  });
  return best;
}
