// One player for the page; the tracks' buttons follow it.

import { byId, clock, html } from "./dom.js";
import { cover, named } from "./tracks.js";

const audio = new Audio();
audio.preload = "metadata";
let current = null;
let queue = [];
const buttons = new Set();

export const element = audio;

/** A button that plays and pauses a track. `label` replaces the title where that is secret. */
export function playButton(track, { label = named(track), secret = false } = {}) {
  const button = html("button", { class: "play", type: "button", onclick: () => toggle(track, { label, secret }) });
  const entry = { button, track, label };
  buttons.add(entry);
  show(entry);
  return button;
}

/** Plays a track, or pauses it if it is playing; `then`: the tracks to play after it. */
export function toggle(track, { label = named(track), secret = false, then = [] } = {}) {
  if (current?.track.audio === track.audio) {
    if (audio.paused) audio.play().catch(failed);
    else audio.pause();
    return;
  }
  current = { track, label, secret };
  queue = then;
  audio.src = track.audio;
  audio.play().catch(failed);
  build();
}

export function playAll(tracks) {
  if (!tracks.length) return;
  current = null;
  toggle(tracks[0], { then: tracks.slice(1) });
}

/** Stops what is playing, so that the player cannot give a secret title away. */
export function stop() {
  audio.pause();
  audio.removeAttribute("src");
  audio.load();
  current = null;
  queue = [];
  byId("player").hidden = true;
  document.body.classList.remove("playing");
  update();
}

function failed(error) {
  if (error.name === "AbortError" || !current) return;
  fields.message.textContent = "This file cannot be played here.";
  explain();
}

/** Asks the server why a file does not play; if the server sends it, its format is the problem. */
async function explain() {
  const failing = current;
  const answer = await fetch(failing.track.audio, { headers: { range: "bytes=0-0" } }).catch(() => null);
  if (!answer || current !== failing) return;
  fields.message.textContent = answer.ok
    ? "Your browser cannot play this format."
    : ((await answer.json().catch(() => ({}))).error ?? `${answer.status}`);
}

const fields = {};

function build() {
  const footer = byId("player");
  fields.button = html("button", { class: "play", onclick: () => toggle(current.track) });
  fields.title = html("p", { class: "now" });
  fields.message = html("p", { class: "error", role: "alert" });
  fields.seek = html("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, class: "seek", "aria-label": "Position", oninput: seek });
  fields.time = html("span", { class: "time" });
  fields.next = html("button", { class: "quiet next", "aria-label": "Next track", onclick: next }, "⏭");
  const close = html("button", { class: "quiet close", "aria-label": "Stop", onclick: stop }, "✕");
  fields.title.append(html("strong", {}, current.secret ? current.label : (current.track.title ?? current.label)));
  if (!current.secret && current.track.artist) fields.title.append(html("span", {}, current.track.artist));
  const picture = current.secret || !current.track.art ? [] : [cover(current.track)]; // it would give a title away
  footer.replaceChildren(...picture, fields.button, fields.title, fields.seek, fields.time, fields.message, ...(queue.length ? [fields.next] : []), close);
  footer.hidden = false;
  document.body.classList.add("playing");
  if (navigator.mediaSession && globalThis.MediaMetadata) {
    navigator.mediaSession.metadata = new MediaMetadata(
      current.secret ? { title: current.label } : { title: current.track.title ?? "", artist: current.track.artist ?? "", artwork: current.track.art ? [{ src: current.track.art }] : [] },
    );
  }
  update();
}

function seek() {
  if (Number.isFinite(audio.duration)) audio.currentTime = Number(fields.seek.value) * audio.duration;
}

function next() {
  const [track, ...then] = queue;
  if (!track) return;
  current = null;
  toggle(track, { then });
}

function show({ button, track, label }) {
  const isCurrent = current?.track.audio === track.audio;
  const plays = isCurrent && !audio.paused;
  button.classList.toggle("current", isCurrent);
  button.classList.toggle("plays", plays);
  button.setAttribute("aria-label", `${plays ? "Pause" : "Play"} ${label}`);
}

function update() {
  for (const entry of buttons) {
    if (entry.button.isConnected) entry.wasShown = true;
    else if (entry.wasShown) buttons.delete(entry);
    show(entry);
  }
  if (!current) return;
  const plays = !audio.paused;
  fields.button.classList.toggle("plays", plays);
  fields.button.setAttribute("aria-label", plays ? "Pause" : "Play");
  position();
}

function position() {
  if (!current) return;
  const known = Number.isFinite(audio.duration) && audio.duration > 0;
  const share = known ? audio.currentTime / audio.duration : 0;
  fields.seek.value = share;
  fields.seek.style.setProperty("--share", share);
  fields.seek.setAttribute("aria-valuetext", `${clock(audio.currentTime)} of ${clock(audio.duration)}`);
  fields.time.textContent = `${clock(audio.currentTime)} / ${clock(audio.duration)}`;
}

for (const event of ["play", "pause", "emptied"]) audio.addEventListener(event, update);
for (const event of ["timeupdate", "durationchange", "seeked"]) audio.addEventListener(event, position);
audio.addEventListener("ended", next);
audio.addEventListener("error", () => audio.hasAttribute("src") && failed(audio.error ?? new Error()));

document.addEventListener("keydown", (event) => {
  const taken = event.target.closest("input, select, textarea, button, summary, a, canvas, [role=tab]");
  if (event.key === " " && current && !taken) {
    event.preventDefault();
    toggle(current.track);
  }
});
