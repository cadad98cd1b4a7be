// A field that lists tracks, or something else, as you type: the combobox pattern of the ARIA authoring practices.

import { get } from "./api.js";
import { announce, html, latest } from "./dom.js";
import { named } from "./tracks.js";

async function findTracks(text) {
  const found = await get("api/tracks", { text: text.slice(0, 200), limit: 12 });
  return { found, note: found.length ? "" : `No track matches “${text}”` };
}

/**
 * Makes a combobox of an element with an input in it.
 * chosen(track) is called with the chosen track and returns the text that the field then shows.
 * find(text) gives what is listed, and a note if that is not what was typed: then it must be chosen.
 */
export function combobox(element, chosen, { find = findTracks, kind = "tracks" } = {}) {
  const input = element.querySelector("input");
  const list = html("ul", { role: "listbox", id: `${input.id}-list`, "aria-label": kind, hidden: true });
  element.append(list);
  let found = [];
  let active = -1;
  let listed = ""; // the text that the list belongs to
  let taken = ""; // the text of the chosen track: Enter on it is not meant for the list
  let hasty = false; // whether Enter came before the list for the typed text

  for (const [name, value] of Object.entries({
    role: "combobox", "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list",
  })) input.setAttribute(name, value);

  const open = (state) => {
    list.hidden = !state;
    input.setAttribute("aria-expanded", String(state));
    if (!state) activate(-1);
  };

  const activate = (index) => {
    active = index;
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === index)));
    const option = list.children[index];
    if (option?.id) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };

  const choose = (index) => {
    const track = found[index];
    if (!track) return;
    input.value = taken = chosen(track) ?? "";
    listed = "";
    found = [];
    open(false);
  };

  const show = (text, note) => {
    list.replaceChildren(
      ...found.map((track, index) =>
        html(
          "li",
          {
            role: "option", id: `${list.id}-${index}`, "aria-selected": "false",
            // Before the field loses the focus, which would close the list.
            onpointerdown: (event) => { event.preventDefault(); choose(index); },
          },
          html("span", { class: "name" }, track.title ?? track.id),
          html("span", { class: "by" }, track.artist ?? ""),
        ),
      ),
    );
    if (note) list.append(html("li", { class: "nothing", role: "presentation" }, note));
    announce([note, found.length && `${found.length} ${kind}`].filter(Boolean).join(" "));
    open(true);
    activate(found.length && !note ? 0 : -1);
    listed = text;
    if (hasty && text === input.value.trim()) {
      hasty = false;
      choose(active);
    }
  };

  const search = latest(async () => {
    const text = input.value.trim();
    if (!text) {
      found = [];
      open(false);
      return;
    }
    let note;
    try {
      ({ found, note } = await find(text));
    } catch (error) {
      found = [];
      list.replaceChildren(html("li", { class: "nothing" }, error.message));
      open(true);
      return;
    }
    if (document.activeElement === input) show(text, note);
  });

  input.addEventListener("input", () => {
    hasty = false;
    search();
  });
  input.addEventListener("blur", () => open(false));
  input.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: active + 1, ArrowUp: active - 1 + found.length, PageDown: found.length - 1, PageUp: 0 };
    if (event.key in moves && found.length) {
      event.preventDefault();
      if (list.hidden) open(true);
      activate(moves[event.key] % found.length);
    } else if (event.key === "Enter" && input.value.trim() && input.value !== taken) {
      event.preventDefault();
      if (listed !== input.value.trim()) hasty = true;
      else if (!list.hidden && active >= 0) choose(active);
    } else if (event.key === "Escape") {
      if (list.hidden) input.value = "";
      open(false);
    }
  });
  return { set: (track) => (input.value = taken = named(track)) };
}
