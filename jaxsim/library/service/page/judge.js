// The judge: answers to "which is more like the first?" become weights.

import { get, post } from "./api.js";
import { announce, byId, html, signed, svg } from "./dom.js";
import { playButton, stop } from "./player.js";
import { showPresets } from "./presets.js";
import { state } from "./state.js";
import { named, tags } from "./tracks.js";

let asked = null; // the latest answer of the service
let busy = false;
let turn = 0; // of the newest request

const path = () => `api/judge/${encodeURIComponent(byId("listener").value.trim() || "personal")}`;

export function prepare() {
  byId("listener").addEventListener("change", open);
  byId("reveal").addEventListener("change", () => asked && showQuestion());
  document.addEventListener("keydown", (event) => {
    if (byId("judge").hidden || event.target.closest("input:not([type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const action = { 1: "anchor", 2: "a", 3: "b" }[key];
    if (action) byId("question").querySelector(`[data-which=${action}] .play`)?.click();
    else if (["a", "b", "s"].includes(key)) choose(key === "s" ? "skip" : key);
    else return;
    event.preventDefault();
  });
}

export const open = () => show(() => get(path()));

async function choose(choice) {
  if (!asked || busy) return;
  const ids = Object.fromEntries(["anchor", "a", "b"].map((which) => [which, asked.question[which].id]));
  stop();
  await show(async () => {
    try {
      return await post(path(), { ...ids, choice });
    } catch (error) {
      byId("judge-status").textContent = error.message;
      return get(path()); // it may have been answered in another window
    }
  });
}

/** Shows the state that a request returns, unless there is a newer request. */
async function show(request) {
  const mine = ++turn;
  const question = byId("question");
  busy = true;
  question.setAttribute("aria-busy", "true");
  byId("judge-status").textContent = "";
  let found = null;
  try {
    found = await request();
  } catch (error) {
    if (mine === turn) byId("judge-status").textContent = error.message;
  }
  if (mine !== turn) return;
  asked = found ?? asked;
  if (asked) {
    showQuestion();
    showWeights();
  }
  busy = false;
  question.setAttribute("aria-busy", "false");
}

function showQuestion() {
  const secret = !byId("reveal").checked;
  const card = (which, title) => {
    const track = asked.question[which];
    const label = secret ? title : `${title}: ${named(track)}`;
    return html(
      "div",
      { class: "card", "data-which": which },
      html("p", { class: "letter" }, title),
      playButton(track, { label, secret }),
      secret ? html("p", { class: "by" }, "title hidden") : html("div", {}, html("strong", {}, track.title ?? track.id), html("span", { class: "by" }, track.artist ?? ""), tags(track)),
      which !== "anchor" && html("button", { class: "primary", onclick: () => choose(which) }, `${title} is closer`),
    );
  };
  byId("question").replaceChildren(
    card("anchor", "The first"),
    card("a", "A"),
    card("b", "B"),
    html("button", { class: "quiet", onclick: () => choose("skip") }, "Cannot tell: skip"),
  );
  announce(`Question ${asked.given + 1}`);
}

function showWeights() {
  const count = asked.fitted;
  const text = count
    ? `${count} answers${asked.given > count ? `, ${asked.given - count} skipped` : ""}.` +
      (asked.agreement === null ? "" : ` Weights fitted to all the others predict ${Math.round(100 * asked.agreement)}% of them correctly; guessing gives 50%, and the questions asked are the hardest.`)
    : "No answers yet: all weights are assumed to be equal. 10 to 20 answers are enough for a first estimate.";
  byId("fitted-weights").replaceChildren(
    html("p", {}, text),
    chart(),
    html("p", { class: "hint" }, "Dots: fitted weights, scaled to a mean absolute value of 1; lines: two standard deviations either side."),
    count ? html("button", { class: "primary", onclick: save }, "Save as a preset") : "",
  );
}

async function save() {
  try {
    await post(`${path()}/preset`);
    await showPresets();
    byId("judge-status").textContent = "Saved: it is now among the weights on the left.";
  } catch (error) {
    byId("judge-status").textContent = error.message;
  }
}

function chart() {
  const rows = state.dimensions.map(({ name }) => ({ name, weight: asked.weights[name], error: asked.deviations[name] }));
  const most = Math.max(1, ...rows.map(({ weight, error }) => Math.min(Math.abs(weight) + 2 * error, 6)));
  const [width, line, left] = [520, 30, 96];
  const x = (value) => left + ((Math.min(Math.max(value, -most), most) + most) / (2 * most)) * (width - left - 64);
  const height = line * rows.length + 8;
  const description = rows.map(({ name, weight, error }) => `${name} ${signed(weight)} plus or minus ${error.toFixed(2)}`).join(", ");
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "weights", role: "img", "aria-label": description },
    svg("line", { class: "grid", x1: x(0), x2: x(0), y1: 0, y2: height }),
    ...rows.flatMap(({ name, weight, error }, i) => {
      const y = line * (i + 0.5) + 4;
      return [
        svg("text", { x: left - 12, y: y + 4, "text-anchor": "end", class: "label" }, name),
        svg("line", { class: `interval d${i % 8}`, x1: x(weight - 2 * error), x2: x(weight + 2 * error), y1: y, y2: y }),
        svg("circle", { class: `dot d${i % 8}`, cx: x(weight), cy: y, r: 6 }),
        svg("text", { x: width - 56, y: y + 4, class: "label number" }, signed(weight)),
      ];
    }),
  );
}
