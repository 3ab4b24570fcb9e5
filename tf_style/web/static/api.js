// The server: every request has the token of the page's own address.

const token = new URLSearchParams(location.search).get("token") ?? "";

export const url = (path, query = {}) => `${path}?${new URLSearchParams({ ...query, token })}`;

export class Refusal extends Error {}

async function ask(path, options = {}, query = {}) {
  let answer;
  try {
    answer = await fetch(url(path, query), options);
  } catch {
    throw new Refusal("The studio does not answer. Is stylize-web still running?");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({ error: `The studio answered ${answer.status}.` }));
  if (!answer.ok) throw new Refusal(body.error);
  return body;
}

export const studio = () => ask("studio");
export const runs = async () => (await ask("runs")).runs;
export const run = (id) => ask(`runs/${id}`);
export const stop = (id) => ask(`runs/${id}/stop`, { method: "POST" });
export const remove = (id) => ask(`runs/${id}`, { method: "DELETE" });
export const start = (asked) =>
  ask("runs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(asked),
  });
export const upload = (file, name, kind = "picture") =>
  ask(
    "uploads",
    { method: "POST", headers: { "content-type": "application/octet-stream" }, body: file },
    { name, kind },
  );

export const previewOf = (id) =>
  id.startsWith("run-") ? url(`runs/${id.slice(4)}/preview`) : url(`uploads/${id}/preview`);

export function follow(handlers) {
  const source = new EventSource(url("events"));
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(event.data && JSON.parse(event.data)));
  }
}
