// The way to the server. Every answer is JSON, every error a Problem.

// This file is assets/<version>/api.js under the viewer's own address.
export const base = new URL("../../", import.meta.url);

export class Problem extends Error {
  constructor(status, body) {
    super(body.title || "The request failed");
    this.status = status;
    this.detail = body.detail || "";
    this.errors = Array.isArray(body.errors) ? body.errors : [];
    this.requestId = body.request_id || "";
  }
}

/** Exact is a number that a JavaScript number cannot hold as it was written. */
export class Exact {
  constructor(source) {
    this.source = source;
  }
  toString() {
    return this.source;
  }
  toJSON() {
    return JSON.rawJSON ? JSON.rawJSON(this.source) : Number(this.source);
  }
}

/** parse reads JSON and keeps numbers exact, in browsers that show their text. */
export function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context && context.source && String(value) !== context.source ? new Exact(context.source) : value);
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path, base), { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "The server cannot be reached", detail: "Check the connection, then try again." });
  }
  if (answer.status === 204) return null;
  let body;
  try {
    body = parse(await answer.text());
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(answer.status, { title: "The answer cannot be read", detail: `Status ${answer.status}. A proxy may have answered instead of the server.` });
  }
  if (!answer.ok) throw new Problem(answer.status, body);
  return body;
}

export const facets = (params, signal) => call("api/facets/?" + params, { signal });
export const histogram = (params, signal) => call("api/histogram/?" + params, { signal });
export const meta = () => call("api/meta/");
const objectPath = (type, id) => `api/objects/${encodeURIComponent(type)}/${encodeURIComponent(id)}/`;
export const history = (type, id, params, signal) => call(objectPath(type, id) + "history/?" + params, { signal });
export const state = (type, id, at, signal) => call(objectPath(type, id) + "state/" + (at ? "?at=" + encodeURIComponent(at) : ""), { signal });
export const batch = (id, params, signal) => call("api/batches/" + encodeURIComponent(id) + "/?" + params, { signal });
export const search = (params, signal) => call("api/search/?" + params, { signal });
export const detail = (id, signal) => call("api/detail/" + encodeURIComponent(id) + "/", { signal });
export const whoIs = () => call("session");
export const signOut = () => call("session", { method: "DELETE" });
export const signIn = (token) =>
  call("session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
