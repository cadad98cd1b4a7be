// The query: seeds, weights and filters. Whatever shows them listens for "change", and for "library" if that has changed.

export const state = Object.assign(new EventTarget(), {
  dimensions: [], // as the service describes them
  fields: {}, // metadata that at least one track has
  seeds: [], // tracks, and uploads: {id, title, artist, audio, row} with row null; rows may be of an older edition
  weights: {}, // by dimension
  where: "",
  limits: { max_per_artist: null, max_per_album: null },
  by: "track", // what is listed: or "artist", "album"
  answer: null, // of the last search
});

/** Announces a change; `seeds` if the query is a new one, not the same with new weights. */
export function changed(detail = {}) {
  remember();
  state.dispatchEvent(new CustomEvent("change", { detail }));
}

export function seed(track) {
  state.seeds = [track];
  changed({ seeds: true });
}

export function addSeed(track) {
  if (!state.seeds.some(({ id }) => id === track.id)) state.seeds = [...state.seeds, track];
  changed({ seeds: true });
}

export function removeSeed(id) {
  state.seeds = state.seeds.filter((track) => track.id !== id);
  changed({ seeds: true });
}

export function setWeights(weights) {
  for (const { name } of state.dimensions) state.weights[name] = weights[name] ?? 0;
  changed({ weights: true });
}

const WORD = /^([a-z]+):(?:"([^"]+)"|([^\s"]\S*))$/i;

/** A seed that is a word, from an id such as "mood:dark"; null for other ids. */
export function word(id) {
  const [, dimension, quoted, plain] = WORD.exec(id) ?? [];
  const isKnown = state.dimensions.some(({ name }) => name === dimension?.toLowerCase());
  return isKnown ? { id, title: quoted ?? plain, artist: dimension.toLowerCase(), row: null, isWord: true } : null;
}

/** The dimensions of which the query says something: of words alone, only theirs. */
export function asked() {
  const isWords = state.seeds.length && state.seeds.every(({ isWord }) => isWord);
  return state.dimensions.filter(({ name }) => !isWords || state.seeds.some(({ artist }) => artist === name));
}

/** The body of a search. */
export const request = () => ({
  like: state.seeds.map(({ id }) => id),
  weights: Object.fromEntries(asked().map(({ name }) => [name, state.weights[name]])),
  where: state.where || null,
});

/** Puts the query into the address, so that it can be bookmarked and shared. */
function remember() {
  const parameters = new URLSearchParams();
  for (const { id, row, isGroup, isWord } of state.seeds) if (row !== null || isGroup || isWord) parameters.append("like", id);
  const weights = state.dimensions.map(({ name }) => state.weights[name]);
  if (weights.some((weight) => weight !== 1)) parameters.set("weights", weights.join());
  if (state.where) parameters.set("where", state.where);
  const query = parameters.toString();
  history.replaceState(null, "", `${query ? `?${query}` : location.pathname}${location.hash}`);
}

/** The ids, weights and condition in the address. */
export function remembered() {
  const parameters = new URLSearchParams(location.search);
  const weights = parameters.get("weights")?.split(",").map(Number);
  const fits = weights?.length === state.dimensions.length && weights.every((w) => Math.abs(w) <= 2);
  return { like: parameters.getAll("like"), weights: fits ? weights : null, where: parameters.get("where") ?? "" };
}
