// Named weights.

import { get, write } from "./api.js";
import { byId, html, signed } from "./dom.js";
import { setWeights, state } from "./state.js";

export async function showPresets() {
  const presets = await get("api/presets");
  byId("presets").replaceChildren(
    ...Object.entries(presets).map(([name, { weights, deviations }]) =>
      html(
        "li",
        {},
        html(
          "button",
          {
            class: "preset", "data-weights": JSON.stringify(bounded(weights)),
            title: Object.entries(weights).map(([key, w]) => `${key} ${signed(w)}${deviations ? ` ± ${deviations[key].toFixed(2)}` : ""}`).join(", "),
            onclick: () => setWeights(bounded(weights)),
          },
          name,
        ),
        html("button", {
          class: "quiet", "aria-label": `Delete the weights ${name}`,
          onclick: () => forget(name),
        }, "✕"),
      ),
    ),
  );
  markPresets();
}

/** Weights within the sliders' range: a common factor does not change the ranking. */
function bounded(weights) {
  const most = Math.max(...Object.values(weights).map(Math.abs), 0);
  const factor = most > 2 ? 2 / most : 1;
  return Object.fromEntries(Object.entries(weights).map(([name, weight]) => [name, weight * factor]));
}

async function forget(name) {
  try {
    await write("DELETE", `api/presets/${encodeURIComponent(name)}`);
    byId("preset-status").textContent = `Deleted ${name}`;
  } catch (error) {
    byId("preset-status").textContent = error.message;
  }
  await showPresets();
}

/** Marks the preset that the sliders show. */
export function markPresets() {
  for (const button of byId("presets").querySelectorAll("button.preset")) {
    const weights = JSON.parse(button.dataset.weights);
    const same = state.dimensions.every(({ name }) => Math.abs(weights[name] - state.weights[name]) < 0.051);
    button.setAttribute("aria-pressed", String(same));
  }
}

/** Saves the weights under the name typed in. */
export function takeNames() {
  byId("save-preset").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = byId("preset-name").value.trim();
    if (!name) return;
    try {
      await write("PUT", `api/presets/${encodeURIComponent(name)}`, { weights: state.weights });
      byId("preset-name").value = "";
      byId("preset-status").textContent = `Saved ${name}`;
      await showPresets();
    } catch (error) {
      byId("preset-status").textContent = error.message;
    }
  });
}
