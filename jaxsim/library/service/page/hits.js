// The list of hits: it is re-ranked while sliders move, and its items glide to their new places.

import { announce, byId, html, reducedMotion, signed } from "./dom.js";
import { playButton } from "./player.js";
import { bar, radar, reachOf, scaleOf } from "./radar.js";
import { addSeed, asked, seed, state } from "./state.js";
import { TAGS, cover, degree, group, named, percent, tags, why } from "./tracks.js";

const cards = new Map(); // by id: rows may be another track's later
let made = 0;

/** Shows an answer of the service. */
export function show(answer) {
  const list = byId("hits");
  const before = positions();
  const scale = scaleOf(state.dimensions, answer.hits, answer.query);
  const reach = reachOf(answer.hits);
  const ids = new Set(answer.hits.map((hit) => hit.track.id));
  for (const [id, card] of cards) {
    if (ids.has(id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  answer.hits.forEach((hit, index) => {
    const card = cards.get(hit.track.id) ?? make(hit.track);
    card.show(hit, index, { answer, scale, reach });
    // Moving an element takes the focus from it, so only those out of place are moved.
    if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
  });
  move(before);
  const milliseconds = answer.milliseconds < 10 ? answer.milliseconds.toFixed(1) : Math.round(answer.milliseconds);
  byId("status").textContent = answer.hits.length
    ? `${answer.hits.length} of ${answer.tracks.toLocaleString("en")} ${answer.of ?? "tracks"}, ranked in ${milliseconds} ms`
    : "No track meets the conditions.";
  if (answer.hits.length) announce(`First: ${named(answer.hits[0].track)}`);
}

export function clear() {
  for (const card of cards.values()) card.element.remove();
  cards.clear();
  byId("status").textContent = "";
}

function positions() {
  const tops = new Map();
  if (reducedMotion()) return tops;
  for (const [id, { element }] of cards) tops.set(id, element.getBoundingClientRect().top);
  return tops;
}

/** Lets items glide from where they were (FLIP). */
function move(before) {
  if (reducedMotion()) return;
  const shifts = [...cards].map(([id, { element }]) => [element, before.get(id), element.getBoundingClientRect().top]);
  for (const [element, old, now] of shifts) {
    if (old === undefined) element.animate([{ opacity: 0 }, { opacity: 1 }], 150);
    else if (Math.abs(old - now) > 1)
      element.animate([{ transform: `translateY(${old - now}px)` }, { transform: "none" }], { duration: 220, easing: "ease-out" });
  }
}

function make(track) {
  const rank = html("span", { class: "rank" });
  const score = html("span", { class: "score", title: "Score: the sum of the contributions" });
  const share = html("span", { class: "share" });
  const picture = html("div", { class: "mini" });
  const bars = html("div", { class: "bars" });
  const labels = html("div", { class: "labels" });
  const versions = html("p", { class: "hint", hidden: true });
  const reason = html("p", { class: "why" });
  const details = html("div", { class: "details", id: `details-${++made}`, hidden: true });
  const toggle = html(
    "button",
    { class: "quiet small", "aria-expanded": "false", "aria-controls": details.id, "aria-label": `Why ${named(track)}?`, onclick: () => open() },
    "Why?",
  );
  const element = html(
    "li",
    { class: "hit", "data-id": track.id },
    rank,
    cover(track),
    playButton(track),
    html("div", { class: "what" }, html("h3", {}, track.title ?? track.id), html("p", { class: "by" }, ...makers(track)), versions, labels, reason, bars),
    picture,
    html(
      "div",
      { class: "actions" },
      html("p", {}, score, share),
      html("button", { class: "small", "aria-label": `More like ${named(track)}`, onclick: () => { seed(track); byId("main").scrollIntoView(); } }, "More like this"),
      html(
        "div",
        { class: "pair" },
        html("button", { class: "quiet small", "aria-label": `Add ${named(track)} to the query`, onclick: () => addSeed(track) }, "+ Add"),
        toggle,
      ),
    ),
    details,
  );
  let last;
  let shownTags;
  const open = () => {
    details.hidden = !details.hidden;
    toggle.setAttribute("aria-expanded", String(!details.hidden));
    if (!details.hidden) explain(details, ...last);
  };
  const card = {
    element,
    show(hit, index, shared) {
      last = [hit, shared];
      rank.textContent = index + 1;
      score.textContent = signed(hit.score);
      share.textContent = `closer than ${percent(hit.closer_than)} of your library`;
      reason.textContent = hit.reason || why(hit, state.dimensions, state.weights);
      const others = hit.versions?.length ?? 0;
      versions.hidden = !others;
      versions.textContent = others ? `The best of ${others + 1} versions of this recording` : "";
      const common = sharedTags(track);
      if (shownTags !== common.join()) {
        shownTags = common.join();
        labels.replaceChildren(tags(track, common));
      }
      bars.replaceChildren(bar(state.dimensions, hit.contributions, shared.reach));
      picture.replaceChildren(radar({ ...drawing(hit, shared), size: 92 }));
      if (!details.hidden) explain(details, ...last);
    },
  };
  cards.set(track.id, card);
  return card;
}

/** Artist and album, each of which can be searched for as a whole. */
function makers(track) {
  if (track.isGroup) return [track.artist];
  return ["artist", "album"]
    .filter((kind) => track[kind])
    .map((kind) => html("button", { class: "maker", "aria-label": `Music like the ${kind} ${track[kind]}`, onclick: () => { seed(group(`${kind}:${track[kind]}`)); byId("main").scrollIntoView(); } }, track[kind]));
}

const drawing = (hit, { answer, scale }) => ({
  dimensions: state.dimensions, values: hit.contributions, query: answer.query, scale,
});

/** Tags that a track has in common with the seed, if there is only one. */
function sharedTags(track) {
  const [only] = state.seeds;
  if (state.seeds.length !== 1) return [];
  return TAGS.map((field) => track[field]).filter((tag, i) => tag && tag === only[TAGS[i]]);
}

function explain(element, hit, shared) {
  const said = asked();
  const rows = state.dimensions.map((dimension, i) => said.includes(dimension) &&
    html(
      "tr",
      {},
      html("th", { scope: "row" }, html("i", { class: `mark d${i % 8}` }), dimension.name),
      html("td", {}, degree(hit.likeness[dimension.name], dimension)),
      html("td", { class: "number" }, signed(hit.likeness[dimension.name])),
      html("td", { class: "number" }, dimension.speaks && percent(hit.closer_in[dimension.name])),
      html("td", { class: "number weight" }, `× ${signed(state.weights[dimension.name], 1)}`),
      html("td", { class: "number" }, signed(hit.contributions[dimension.name])),
    ),
  );
  const head = ["Dimension", "", "Likeness", "Closer than", "Weight", "Contribution"];
  element.replaceChildren(
    radar({ ...drawing(hit, shared), size: 280, labels: true }),
    html(
      "div",
      { class: "sum" },
      html(
        "table",
        {},
        html("caption", { class: "hidden" }, "What each dimension contributes to the score"),
        html("thead", {}, html("tr", {}, ...head.map((text, i) => html("th", { scope: "col", class: i > 1 && (text === "Weight" ? "number weight" : "number") }, text)))),
        html("tbody", {}, ...rows),
        html("tfoot", {}, html("tr", {}, html("th", { scope: "row", colspan: 3 }, "Score"), html("td", { class: "number" }, percent(hit.closer_than)), html("td", { class: "weight" }), html("td", { class: "number" }, signed(hit.score)))),
      ),
      html("p", { class: "hint" }, "Likeness: in standard deviations of random pairs of this library; 0 means no more alike than any two of its tracks. " +
        "Closer than: the share of the library that is less alike. " +
        "In the diagram, the dashed line is what the query itself would have, the dotted one is zero."),
    ),
  );
}
