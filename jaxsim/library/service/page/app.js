// The page: the query on the left, and the views.

import { get, post, upload } from "./api.js";
import { combobox } from "./combobox.js";
import { announce, byId, html, latest, signed } from "./dom.js";
import * as hits from "./hits.js";
import * as judge from "./judge.js";
import * as map from "./map.js";
import * as playlist from "./playlist.js";
import { playButton } from "./player.js";
import { markPresets, showPresets, takeNames } from "./presets.js";
import { addSeed, changed, remembered, removeSeed, request, seed, setWeights, state, word } from "./state.js";
import { cover, group, named, tags } from "./tracks.js";
import { showWords, takeWords } from "./words.js";

const PAGE = 20;
const MOST = 200;
const MAX_BYTES = 100 * 2 ** 20; // the server's limit
const views = { search: null, map, playlist, judge };
let top = PAGE;

// The search

const search = latest(async () => {
  byId("welcome").hidden = state.seeds.length > 0;
  byId("summary").hidden = !state.seeds.length;
  if (!state.seeds.length) {
    state.answer = null;
    hits.clear();
    byId("more").hidden = true;
    state.dispatchEvent(new Event("answer"));
    return;
  }
  try {
    state.answer = await (state.by === "track" ? post("api/search", { ...request(), top, ...state.limits }) : findGroups());
    hits.show(state.answer);
    byId("more").hidden = state.answer.hits.length < top || top >= MOST;
    byId("where-status").textContent = "";
    state.dispatchEvent(new Event("answer"));
  } catch (error) {
    const isCondition = error.message.startsWith("where: ");
    if (isCondition) byId("adjust").open = byId("filters").open = true;
    byId(isCondition ? "where-status" : "status").textContent = error.message;
  }
});

/** Artists or albums in the form of an answer with tracks: each by its best track. */
async function findGroups() {
  const began = performance.now();
  const { groups, query } = await post("api/groups", { ...request(), by: state.by, top });
  const hits = groups.map(({ name, tracks, best }) => ({
    ...best,
    track: { ...best.track, ...group(`${state.by}:${name}`), artist: `${tracks === 1 ? "1 track" : `${tracks} tracks`}; closest: ${named(best.track)}`, best: best.track.id },
  }));
  return { hits, query, tracks: shown.tracks, of: `tracks’ ${state.by}s`, milliseconds: performance.now() - began };
}

byId("by").addEventListener("change", ({ target }) => {
  state.by = target.value;
  top = PAGE;
  hits.clear();
  search();
});

byId("more").addEventListener("click", () => {
  top = Math.min(top + PAGE, MOST);
  search();
});

state.addEventListener("change", ({ detail }) => {
  if (detail.seeds) {
    top = PAGE;
    showSeeds();
    if (state.seeds.length && location.hash !== "#map") show("search");
  }
  showWeights();
  search();
});

// Seeds

function showSeeds() {
  byId("seeds").replaceChildren(
    ...state.seeds.filter(({ isWord }) => !isWord).map((track) =>
      html(
        "li",
        { class: "seed" },
        track.art && cover(track),
        track.audio && playButton(track),
        html("div", {}, html("strong", {}, track.title ?? track.id), html("span", {}, track.artist ?? ""), tags(track)),
        html("button", { class: "quiet", "aria-label": `Remove ${named(track)} from the query`, onclick: () => { removeSeed(track.id); byId("find").focus(); } }, "✕"),
      ),
    ),
  );
  showWords();
}

async function suggest() {
  const tracks = await get("api/tracks/random", { count: 6 });
  byId("suggestions").replaceChildren(
    ...tracks.map((track) =>
      html("li", {}, html("button", { onclick: () => seed(track) }, html("strong", {}, track.title ?? track.id), html("span", {}, track.artist ?? ""), tags(track))),
    ),
  );
}

async function listen(file) {
  const status = byId("upload-status");
  status.classList.remove("error");
  if (file.size > MAX_BYTES) return complain(status, `${file.name} is too large, expected at most 100 MB`);
  status.textContent = `Listening to ${file.name}…`;
  status.classList.add("busy");
  try {
    const { id, name } = await upload(file);
    addSeed({ id, row: null, title: name, artist: "your file", audio: URL.createObjectURL(file) });
    status.textContent = "";
  } catch (error) {
    complain(status, `${file.name}: ${error.message}`);
  } finally {
    status.classList.remove("busy");
  }
}

function complain(element, message) {
  element.textContent = message;
  element.classList.add("error");
}

function takeFiles() {
  const drop = byId("drop");
  byId("file").addEventListener("change", async ({ target }) => {
    for (const file of target.files) await listen(file);
    target.value = "";
  });
  let depth = 0;
  const over = (by) => {
    depth += by;
    drop.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault(); // anywhere: a browser would leave the page for the file
    over(-depth);
    for (const file of event.dataTransfer.files) await listen(file);
  });
}

// Weights

function makeSliders() {
  byId("sliders").replaceChildren(
    ...state.dimensions.map(({ name, speaks }, i) => {
      const id = `weight-${name}`;
      const input = html("input", {
        type: "range", id, min: -2, max: 2, step: 0.1, list: null, "data-dimension": name,
        oninput: ({ target }) => { state.weights[name] = Number(target.value); changed({ weights: true }); },
        ondblclick: () => { state.weights[name] = 0; changed({ weights: true }); },
      });
      return html(
        "li",
        { class: `d${i % 8}` },
        html("label", { for: id }, html("i", { class: `mark d${i % 8}` }), name),
        html("output", { for: id }),
        html("button", { class: "quiet small", "aria-label": `Only ${name}`, onclick: () => setWeights({ [name]: 1 }) }, "only"),
        input,
        !speaks && html("p", { class: "hint" }, "All tracks of this library are alike in this dimension."),
      );
    }),
  );
}

function showWeights() {
  for (const input of byId("sliders").querySelectorAll("input")) {
    const weight = state.weights[input.dataset.dimension];
    if (Number(input.value) !== weight) input.value = weight;
    input.style.setProperty("--share", (weight + 2) / 4);
    const meaning = weight > 0 ? "alike" : weight < 0 ? "unlike" : "does not count";
    input.setAttribute("aria-valuetext", `${signed(weight, 1)}, ${meaning}`);
    input.parentElement.querySelector("output").textContent = signed(weight, 1);
  }
  markPresets();
  showAdjusted();
}

/** Says what is out of sight while the weights and filters are folded away. */
function showAdjusted() {
  const weights = state.dimensions.filter(({ name }) => state.weights[name] !== 1).map(({ name }) => `${name} ${signed(state.weights[name], 1)}`);
  const limits = Object.entries(state.limits).filter(([, most]) => most).map(([name, most]) => `${most} ${name.slice(4).replace("_", " ")}`);
  byId("adjusted").textContent = [...weights, state.where, ...limits].filter(Boolean).join(", ");
}

byId("equal").addEventListener("click", () => setWeights(Object.fromEntries(state.dimensions.map(({ name }) => [name, 1]))));

// Filters

byId("where").addEventListener("input", ({ target }) => {
  state.where = target.value.trim();
  changed();
});
for (const limit of ["max-per-artist", "max-per-album"]) {
  byId(limit).addEventListener("input", ({ target }) => {
    const number = Math.floor(Number(target.value));
    state.limits[limit.replaceAll("-", "_")] = number >= 1 ? number : null;
    changed();
  });
}

// On a phone (as in style.css) weights and filters are folded away, so that the hits come first.

const phone = matchMedia("(max-width: 700px), (max-width: 980px) and (max-height: 500px)");
function fold() {
  // A keyboard on the screen can make the window a low one: what is being typed in must not close.
  if (!phone.matches || !byId("adjust").contains(document.activeElement)) byId("adjust").open = !phone.matches;
}

phone.addEventListener("change", fold);
fold();

// Views

const allTabs = () => Object.keys(views).map((name) => byId(`tab-${name}`));

function show(name) {
  for (const other of Object.keys(views)) {
    const isIt = other === name;
    byId(other).hidden = !isIt;
    byId(`tab-${other}`).setAttribute("aria-selected", String(isIt));
    byId(`tab-${other}`).tabIndex = isIt ? 0 : -1;
  }
  history.replaceState(null, "", `${location.pathname}${location.search}${name === "search" ? "" : `#${name}`}`);
  if (document.body.dataset.view !== name) scrollTo(0, 0);
  document.body.dataset.view = name;
  views[name]?.open();
}

for (const [name] of Object.entries(views)) byId(`tab-${name}`).addEventListener("click", () => show(name));
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const tabs = allTabs();
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  const tab = tabs[to % tabs.length];
  tab.focus();
  tab.click();
});
addEventListener("hashchange", () => show(location.hash.slice(1) in views ? location.hash.slice(1) : "search"));
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    byId("find").focus();
  }
});

// Colours

const THEMES = { auto: ["◐", "follow the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = THEMES[theme][0];
  byId("theme").setAttribute("aria-label", `Colours: ${THEMES[theme][1]}`);
  state.dispatchEvent(new Event("theme"));
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  localStorage.setItem("theme", next);
  setTheme(next);
});

// The library, which may change while the page is open

const LOOK_AGAIN = 10_000; // milliseconds
let shown;

/** Versions are counted from 0 again when the server is restarted. */
const isChanged = ({ version, edition }) => version !== shown.version || edition !== shown.edition;

function showLibrary(library) {
  const change = shown ? library.tracks - shown.tracks : 0;
  const news = change > 0 ? `${change.toLocaleString("en")} new` : change < 0 ? `${(-change).toLocaleString("en")} gone` : "updated";
  const isNews = shown && isChanged(library);
  byId("library").replaceChildren(
    html("strong", {}, library.name),
    ` ${library.tracks.toLocaleString("en")} tracks`,
    ...(isNews ? [html("span", { class: "news", id: "news" }, ` (${news})`)] : []),
  );
  if (isNews) announce(`The library has changed: ${library.tracks} tracks, ${news}`);
  shown = library;
}

/** Shows tracks that were embedded, or are gone, since the page was opened. */
async function lookAgain() {
  if (document.hidden) return;
  const library = await get("api/library").catch(() => null); // it may be starting again
  if (!library || !isChanged(library)) return;
  showLibrary(library);
  state.dimensions = library.dimensions;
  state.fields = library.fields;
  state.dispatchEvent(new Event("library"));
  await search();
}

// Start
async function begin() {
  setTheme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");
  takeFiles();
  takeNames();
  combobox(byId("find-track"), (track) => void addSeed(track));
  const library = await get("api/library");
  state.dimensions = library.dimensions;
  state.fields = library.fields;
  showLibrary(library);
  document.title = `jaxsim: ${library.name}`;
  const { like, weights, where } = remembered();
  state.dimensions.forEach(({ name }, i) => (state.weights[name] = weights?.[i] ?? 1));
  state.where = byId("where").value = where;
  byId("filters").open = Boolean(where);
  makeSliders();
  await Promise.all([showPresets(), suggest(), takeWords()]);
  const found = await Promise.all(like.slice(0, 20).map((id) => get("api/track", { id }).catch(() => group(id) ?? word(id))));
  state.seeds = found.filter(Boolean);
  for (const view of [map, playlist, judge]) view.prepare();
  showSeeds();
  showWeights();
  const view = location.hash.slice(1);
  show(view in views ? view : "search");
  await search();
  setInterval(lookAgain, LOOK_AGAIN);
  document.addEventListener("visibilitychange", lookAgain); // whoever comes back need not wait
  document.body.dataset.ready = "true";
}

begin().catch((error) => complain(byId("status"), error.message));
