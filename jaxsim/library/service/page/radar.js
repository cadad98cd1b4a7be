// The Kiviat diagram of a hit: its contributions, over those that the query itself would have.

import { signed, svg } from "./dom.js";

const HOLE = 0.08; // of the radius: the smallest value is not in the centre, so that shapes can be seen

/** The scale that all hits of an answer share: from the lowest contribution (or 0) to the highest. */
export function scaleOf(dimensions, hits, query) {
  const values = dimensions.flatMap(({ name }) => [query[name], ...hits.map((hit) => hit.contributions[name])]);
  const low = Math.min(0, ...values);
  return { low, high: Math.max(...values, low + 1e-6) };
}

/** An SVG of `size` pixels; with `labels`, names and numbers are placed around it. */
export function radar({ dimensions, values, query, scale, size, labels = false }) {
  const middle = size / 2;
  const radius = middle - (labels ? 46 : 4);
  const count = dimensions.length;
  const point = (value, index, extra = 0) => {
    const share = HOLE + ((1 - HOLE) * (value - scale.low)) / (scale.high - scale.low);
    const angle = (2 * Math.PI * index) / count - Math.PI / 2;
    const distance = radius * Math.min(Math.max(share, 0), 1) + extra;
    return [middle + distance * Math.cos(angle), middle + distance * Math.sin(angle)];
  };
  const polygon = (of, name) =>
    svg("polygon", { class: name, points: dimensions.map((d, i) => point(of(d), i).map((x) => x.toFixed(1)).join()).join(" ") });

  const description = dimensions.map(({ name }) => `${name} ${signed(values[name])}`).join(", ");
  const width = labels ? size + 40 : size;
  const picture = svg("svg", {
    class: labels ? "radar large" : "radar", viewBox: `${labels ? -20 : 0} 0 ${width} ${size}`, width, height: size,
    role: "img", "aria-label": `Contributions: ${description}`,
  });
  picture.append(
    polygon(() => scale.high, "frame"),
    svg("path", { class: "axis", d: dimensions.map((d, i) => `M${middle} ${middle}L${point(scale.high, i).map((x) => x.toFixed(1)).join(" ")}`).join("") }),
    polygon(() => 0, "zero"),
    polygon(({ name }) => query[name], "of-query"),
    polygon(({ name }) => values[name], "of-hit"),
  );
  if (!labels) return picture; // there are many of them, and they are redrawn while a slider moves
  dimensions.forEach((d, i) => {
    const [cx, cy] = point(values[d.name], i);
    picture.append(svg("circle", { class: `dot d${i % 8}`, cx, cy, r: 4 }), label(d.name, values[d.name], point(scale.high, i, 12), middle));
  });
  return picture;
}

function label(name, value, [x, y], middle) {
  const anchor = Math.abs(x - middle) < 4 ? "middle" : x > middle ? "start" : "end";
  const above = y < middle - 4 ? -12 : y > middle + 4 ? 2 : -5;
  return svg(
    "text",
    { x, y: y + above, "text-anchor": anchor, class: "label", "aria-hidden": "true" },
    svg("tspan", { x, dy: "0.7em" }, name),
    svg("tspan", { x, dy: "1.1em", class: "number" }, signed(value)),
  );
}

/** A bar of all contributions: those for a hit to the right of the line, those against to the left. */
export function bar(dimensions, contributions, reach) {
  const width = 200;
  const zero = (width * reach.left) / (reach.left + reach.right);
  const unit = width / (reach.left + reach.right);
  let left = zero;
  let right = zero;
  const picture = svg("svg", { class: "bar", viewBox: `0 0 ${width} 12`, preserveAspectRatio: "none", "aria-hidden": "true" });
  dimensions.forEach(({ name }, i) => {
    const length = Math.abs(contributions[name]) * unit;
    if (contributions[name] < 0) left -= length;
    picture.append(svg("rect", { class: `d${i % 8}`, x: contributions[name] < 0 ? left : right, y: 2, width: length, height: 8 }));
    if (contributions[name] > 0) right += length;
  });
  picture.append(svg("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: 12 }));
  return picture;
}

/** How far the bars of an answer reach on either side. */
export function reachOf(hits) {
  let left = 0;
  let right = 1e-6;
  for (const { contributions } of hits) {
    const values = Object.values(contributions);
    right = Math.max(right, values.reduce((sum, value) => sum + Math.max(value, 0), 0));
    left = Math.max(left, values.reduce((sum, value) => sum - Math.min(value, 0), 0));
  }
  return { left, right };
}
