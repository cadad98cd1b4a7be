// Words in the query: "mood:dark" is a seed like a track, and is shown as a chip.

import { get } from "./api.js";
import { combobox } from "./combobox.js";
import { byId, html } from "./dom.js";
import { addSeed, removeSeed, state, word } from "./state.js";

export function showWords() {
  byId("words").replaceChildren(
    ...state.seeds.filter(({ isWord }) => isWord).map((seed) =>
      html(
        "li",
        { class: "chip" },
        html("span", {}, `${seed.artist}: ${seed.title}`),
        html("button", { class: "quiet", "aria-label": `Remove ${seed.artist}: ${seed.title} from the query`, onclick: () => remove(seed) }, "✕"),
      ),
    ),
  );
}

function remove({ id }) {
  removeSeed(id);
  byId("word").focus();
}

async function find(text) {
  const { words, known } = await get("api/words", { text: text.slice(0, 200) });
  const found = words.map(({ like }) => word(like));
  return { found, note: known ? "" : found.length ? `“${text}” is not a known word; the nearest are:` : `No word is like “${text}”` };
}

/** Lets words be typed in, if the library's model knows any. */
export async function takeWords() {
  const known = await get("api/words", { limit: 1 }).catch(() => null);
  byId("find-word").hidden = !known?.words.length;
  combobox(byId("find-word"), (seed) => void addSeed(seed), { find, kind: "words" });
  byId("word").addEventListener("keydown", (event) => {
    const last = state.seeds.findLast(({ isWord }) => isWord);
    if (event.key === "Backspace" && !byId("word").value && last) remove(last);
  });
}
