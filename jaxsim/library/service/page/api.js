// Requests to the service; any failure is an Error with a message for people, and the status of the answer.

export async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server is not responding. Is it still running?");
  }
  if (answer.ok) return answer;
  let message = `${answer.status} ${answer.statusText}`;
  try {
    message = (await answer.json()).error ?? message;
  } catch {
    // Not from the service: the status is all we know.
  }
  throw Object.assign(new Error(message), { status: answer.status });
}

export async function get(path, parameters = {}, options = {}) {
  const query = new URLSearchParams(parameters).toString();
  return (await send(query ? `${path}?${query}` : path, options)).json();
}

export async function write(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.status === 204 ? null : answer.json();
}

export const post = (path, body) => write("POST", path, body);

/** Embeds a file so that it can be used in searches. */
export async function upload(file) {
  const answer = await send(`api/embed?${new URLSearchParams({ name: file.name.slice(-300) })}`, {
    method: "POST",
    headers: { "content-type": "application/octet-stream" },
    body: file,
  });
  return answer.json();
}

/** Points of the map of an edition of the library, or null while they are being computed. */
export async function points(space, edition) {
  const answer = await send(`api/map/${encodeURIComponent(space)}?${new URLSearchParams({ edition })}`);
  return answer.status === 202 ? null : answer.arrayBuffer();
}
