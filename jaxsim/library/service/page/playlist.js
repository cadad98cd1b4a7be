// Playlists from one song to another, in which every dimension has its own schedule.

import { get, post, send as ask } from "./api.js";
import { combobox } from "./combobox.js";
import { byId, html, svg } from "./dom.js";
import { playAll, playButton } from "./player.js";
import { state } from "./state.js";
import { named, tags } from "./tracks.js";

const SCHEDULES = {
  steadily: ["steadily", [0, 1]],
  early: ["in the first half", [0, 0.5]],
  late: ["in the second half", [0.5, 1]],
  first: ["at once", [0, 0]],
  last: ["at the very end", [1, 1]],
};
const ends = { start: null, end: null };
let boxes;
let server = null; // the music server's address

export function prepare() {
  get("api/player").then((answer) => (server = answer.server)).catch(() => {});
  boxes = {
    start: combobox(byId("playlist-start"), (track) => take("start", track)),
    end: combobox(byId("playlist-end"), (track) => take("end", track)),
  };
  for (const which of ["start", "end"]) byId(which).addEventListener("input", () => (ends[which] = null));
  byId("schedule").replaceChildren(
    ...state.dimensions.map(({ name }, i) =>
      html(
        "li",
        {},
        html("label", { for: `schedule-${name}` }, html("i", { class: `mark d${i % 8}` }), name),
        html("select", { id: `schedule-${name}` }, ...Object.entries(SCHEDULES).map(([value, [text]]) => html("option", { value }, text))),
      ),
    ),
  );
  byId("playlist-form").addEventListener("submit", (event) => {
    event.preventDefault();
    make();
  });
}

/** Starts with the query and ends with the track least like it, unless something was chosen. */
export async function open() {
  const first = state.seeds.find(({ row }) => row !== null);
  if (byId("start").value || byId("end").value || !first) return;
  boxes.start.set(first);
  ends.start = first;
  const opposite = Object.fromEntries(state.dimensions.map(({ name }) => [name, -1]));
  const { hits } = await post("api/search", { like: [first.id], weights: opposite, top: 1 });
  if (!hits.length || byId("end").value) return;
  boxes.end.set(hits[0].track);
  ends.end = hits[0].track;
}

function take(which, track) {
  ends[which] = track;
  return named(track);
}

async function make() {
  const status = byId("playlist-status");
  status.className = "message";
  if (!ends.start || !ends.end) {
    status.textContent = "Choose the first and the last song from the lists.";
    byId(ends.start ? "end" : "start").focus();
    return;
  }
  status.textContent = "";
  const weights = Object.fromEntries(Object.entries(state.weights).map(([name, weight]) => [name, Math.max(weight, 0)]));
  const schedule = Object.fromEntries(state.dimensions.map(({ name }) => [name, SCHEDULES[byId(`schedule-${name}`).value][1]]));
  try {
    const steps = await post("api/path", {
      start: ends.start.id, end: ends.end.id, length: Number(byId("length").value), weights, schedule, where: state.where || null,
    });
    show(steps);
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("error");
  }
}

function show(steps) {
  const tracks = steps.map(({ track }) => track);
  byId("playlist-result").replaceChildren(
    html(
      "div",
      { class: "row" },
      html("button", { class: "primary", onclick: () => playAll(tracks) }, "Play all"),
      html("button", { onclick: () => save(tracks) }, "Save as M3U"),
    ),
    html(
      "div",
      { class: "way" },
      html("div", { class: "ways" }, ...state.dimensions.map((dimension, i) => way(steps, dimension, i))),
      html("p", { class: "hint" }, "How far each dimension has gone from the first song to the last; dashed: its schedule."),
    ),
    html(
      "ol",
      { class: "steps" },
      ...steps.map(({ track }) =>
        html("li", {}, playButton(track), html("div", {}, html("strong", {}, track.title ?? track.id), html("span", { class: "by" }, track.artist ?? ""), tags(track))),
      ),
    ),
  );
}

/** Makes a playlist at the music server. */
async function send(tracks) {
  const status = byId("playlist-status");
  const name = `${named(tracks[0])} → ${named(tracks.at(-1))}`.slice(0, 200);
  status.className = "message";
  status.textContent = "";
  try {
    const { user } = await post("api/player/playlists", { name, tracks: tracks.map(({ id }) => id) });
    status.textContent = `“${name}” is now among ${user}’s playlists at the music server.`;
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("error");
  }
}

/** A small chart of one dimension: where its schedule wants it, and where the tracks are. */
function way(steps, { name }, number) {
  const [width, height, edge] = [220, 84, 6];
  const x = (share) => edge + share * (width - 2 * edge);
  const y = (value) => height - edge - ((Math.min(Math.max(value, -0.2), 1.2) + 0.2) / 1.4) * (height - 2 * edge);
  const line = (of, kind) => svg("polyline", { class: kind, points: steps.map((step) => `${x(step.share).toFixed(1)},${y(of(step)).toFixed(1)}`).join(" ") });
  const isAway = steps[0].reached[name] !== null;
  const caption = html("figcaption", {}, html("i", { class: `mark d${number % 8}` }), name, isAway ? "" : html("small", {}, ": alike in both songs"));
  const reached = (step) => step.reached[name];
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: `chart d${number % 8}`, role: "img", "aria-label": isAway ? `${name}: ${steps.map((step) => reached(step).toFixed(1)).join(", ")}` : `${name}: alike in both songs` },
    ...[0, 1].map((value) => svg("line", { class: "grid", x1: 0, x2: width, y1: y(value), y2: y(value) })),
    isAway && line((step) => step.targets[name], "planned"),
    isAway && line(reached, "reached"),
    ...(isAway ? steps.map((step) => svg("circle", { class: "dot", cx: x(step.share), cy: y(reached(step)), r: 3 })) : []),
  );
  return html("figure", {}, caption, picture);
}

/** A playlist of files, named from the folder of the library: to be put there, for any player. */
async function save(tracks) {
  const status = byId("playlist-status");
  try {
    const answer = await ask("api/playlist/file", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ tracks: tracks.map(({ id }) => id) }),
    });
    const address = URL.createObjectURL(await answer.blob());
    html("a", { href: address, download: "playlist.m3u8" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("error");
  }
}
