// The OpenAPI document of the service as a page.

import { get } from "./api.js";
import { byId, html } from "./dom.js";

const spec = await get("openapi.json");
const resolve = (schema) => (schema?.$ref ? spec.components.schemas[schema.$ref.split("/").at(-1)] : schema);

/** A schema in a few words: "array of Hit". */
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.const) return JSON.stringify(schema.const);
  if (schema.type === "array") return `array of ${kind(schema.items) || schema.prefixItems?.map(kind).join(", ")}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${kind(schema.additionalProperties)}`;
  return schema.type ?? "";
}

const table = (rows) =>
  html("table", {}, html("tbody", {}, ...rows.map(([name, type, text]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, type), html("td", {}, text ?? "")))));

const fields = (schema) => Object.entries(resolve(schema)?.properties ?? {}).map(([name, of]) => [name, kind(of), of.description]);

function operation(path, method, what) {
  const body = Object.entries(what.requestBody?.content ?? {})[0];
  const parameters = (what.parameters ?? []).map((p) => [p.name, `${kind(p.schema)}, in ${p.in}`, p.description ?? p.schema.description]);
  const answers = Object.entries(what.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? ["", null];
    return [status, kind(content?.schema) || type, answer.description];
  });
  return html(
    "article",
    {},
    html("h3", {}, html("span", { class: "method" }, method.toUpperCase()), path),
    html("p", {}, what.description ?? what.summary),
    parameters.length > 0 && table(parameters),
    body && html("p", { class: "hint" }, `Body: ${body[0]} ${kind(body[1].schema)}`),
    body && fields(body[1].schema).length > 0 && table(fields(body[1].schema)),
    html("p", { class: "hint" }, "Answers"),
    table(answers),
  );
}

const groups = Map.groupBy(
  Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, what]) => [path, method, what])),
  ([, , what]) => what.tags?.[0] ?? "other",
);
const example = `curl ${new URL("api/search", location.href)} -H 'content-type: application/json' \\
  -d '{"like": ["ID"], "weights": {"genre": 1, "tempo": 2, "mood": -0.5}, "top": 5}'
curl "${new URL("api/embed", location.href)}?name=song.mp3" --data-binary @song.mp3`;
byId("docs").append(
  html("section", {}, html("h1", {}, spec.info.summary), html("p", {}, spec.info.description), html("pre", {}, example)),
  ...[...groups].map(([name, all]) => html("section", {}, html("h2", {}, name), ...all.map((each) => operation(...each)))),
  html(
    "section",
    {},
    html("h2", {}, "Requests and answers"),
    ...Object.entries(spec.components.schemas).map(([name, schema]) =>
      html("article", {}, html("h3", {}, name), schema.description && html("p", {}, schema.description), table(fields(schema))),
    ),
  ),
);
