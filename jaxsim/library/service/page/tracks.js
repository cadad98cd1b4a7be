// Tracks in words: their names and tags, and how alike two of them are.

import { html } from "./dom.js";

export const TAGS = ["genre", "mood", "instrument", "era", "key"];

export const named = (track) => [track.title ?? track.id, track.artist].filter(Boolean).join(", ");

const missing = new Set(); // addresses where there was no picture

/** The picture of a track's album, or else a letter, in a box of the same size; decoration, so it has no text. */
export function cover(track) {
  const box = html("span", { class: "cover", "aria-hidden": "true" });
  const showLetter = () => {
    missing.add(track.art);
    box.dataset.letter = letter(track.isGroup ? track.title : (track.album ?? track.title ?? ""));
    box.replaceChildren();
  };
  if (missing.has(track.art)) showLetter();
  else box.append(html("img", { alt: "", loading: "lazy", decoding: "async", width: 56, height: 56, onerror: showLetter, src: track.art }));
  return box;
}

/** The first letter or digit of a text; a note if there is none. */
const letter = (text) => /[\p{L}\p{N}]/u.exec(text)?.[0].toUpperCase() ?? "♪";

const GROUP = /^(artist|album):(.+)$/s;

/** A seed that is an artist or an album, from an id such as "artist:NAME"; null for other ids. */
export function group(id) {
  const [, kind, name] = GROUP.exec(id) ?? [];
  return name ? { id, title: name, artist: `all of the ${kind}’s tracks`, row: null, isGroup: true } : null;
}

/** Tags and tempo of a track, as a list of small texts; those in `shared` stand out. */
export function tags(track, shared = []) {
  const texts = TAGS.map((field) => track[field]).filter(Boolean);
  if (track.tempo) texts.push(`${Math.round(track.tempo)} BPM`);
  return html("ul", { class: "tags" }, ...texts.map((text) => html("li", { class: shared.includes(text) ? "shared" : null }, text)));
}

/** A likeness in words, as a share of the likeness of a track to itself. */
export function degree(likeness, dimension) {
  if (!dimension.speaks) return "cannot be told apart";
  const share = likeness / ((1 - dimension.mean) / dimension.deviation);
  if (share > 0.9) return "almost the same";
  if (share > 0.6) return "very alike";
  if (share > 0.25) return "somewhat alike";
  if (share > -0.25) return "neither alike nor unlike";
  if (share > -0.6) return "rather unlike";
  return "very unlike";
}

/** A share in whole percents, rounded down. */
export const percent = (share) => `${Math.floor(100 * share + 1e-9)} %`;

const MOST_NAMED = 3; // dimensions in a sentence

const listed = (names) => new Intl.ListFormat("en-GB").format(names.slice(0, MOST_NAMED));
const within = (names) => `${names.length > MOST_NAMED ? "most of all " : ""}in ${listed(names)}`;

/** Why a hit is where it is: which dimensions speak for it, and which against. */
export function why(hit, dimensions, weights) {
  const all = dimensions.map((dimension) => ({
    name: dimension.name,
    weight: weights[dimension.name],
    value: hit.contributions[dimension.name],
  }));
  const most = Math.max(...all.map((each) => Math.abs(each.value)), 1e-9);
  const telling = all.filter((each) => Math.abs(each.value) > 0.2 * most);
  telling.sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  const names = (test) => telling.filter(test).map((each) => each.name);
  const alike = names((each) => each.value > 0 && each.weight > 0);
  const unlike = names((each) => each.value > 0 && each.weight < 0);
  const against = names((each) => each.value < 0);
  const parts = [];
  if (alike.length) parts.push(`Alike ${within(alike)}`);
  if (unlike.length) parts.push(`${parts.length ? "unlike" : "Unlike"} ${within(unlike)}, as asked`);
  if (against.length) parts.push(`${parts.length ? "against" : "Against"} it: ${listed(against)}`);
  return parts.length ? `${parts.join("; ")}.` : "No dimension sets it apart from the others.";
}
