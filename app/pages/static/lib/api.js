/** Requests to the API. Addresses are relative to these files, so a proxy's path prefix needs no setting. */

/** The address that the API's paths begin with. */
export const ROOT = new URL("../../", import.meta.url);

const NO_ANSWER =
  "The service does not answer. Check that it runs and that this computer reaches it; the page tries again by itself.";

const PATIENCE = 60_000; // ms for an answer: a connection that died says nothing

const listeners = new Set();

/** Call `fn(problem)` for each request that failed. Returns a function that ends this. */
export function onProblem(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** A request that failed. `sentence` says what is wrong and what to do. Status 0: there was no answer. */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", type = "", field = undefined, ...rest }) {
    super(detail || title);
    Object.assign(this, { status, title, detail, type, field, rest });
  }

  get sentence() {
    return this.detail || this.title;
  }
}

/**
 * Return the URL of a path such as "scenarios/1/frame.jpg". Parameters that are null, undefined or "" are left
 * out; an array is repeated.
 * @param {string} path
 * @param {Record<string, unknown>} [params]
 */
export function url(path, params = {}) {
  const address = new URL(path.replace(/^\/+/, ""), ROOT);
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") address.searchParams.append(name, String(each));
    }
  }
  return address.href;
}

/** Return the Problem of a status and the text of a body, a problem document if the API wrote it. */
export function problemOf(status, text) {
  try {
    const document = JSON.parse(text);
    if (document && typeof document.title === "string") return new Problem({ ...document, status });
  } catch {
    // A proxy's page, for example.
  }
  const title = `The service, or a proxy before it, answered with status ${status}. Try again in a moment.`;
  return new Problem({ status, title });
}

/**
 * Send a request, and return the Response. Throws Problem; an aborted request throws AbortError. What is read must
 * arrive within a minute, unless `isEndless`.
 */
export async function request(method, path, { params, body, headers = {}, signal, isEndless = false } = {}) {
  const options = { method, headers: { ...headers }, signal, credentials: "same-origin" };
  if (method === "GET" && !isEndless) {
    const timeout = AbortSignal.timeout(PATIENCE);
    if (!signal) options.signal = timeout;
    else if (AbortSignal.any) options.signal = AbortSignal.any([signal, timeout]); // older browsers do not have it
  }
  if (body instanceof Blob) {
    options.body = body;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(url(path, params), options);
  } catch (error) {
    throw unanswered(error);
  }
  if (response.ok) return response;
  throw told(problemOf(response.status, await response.text().catch(() => "")));
}

/** Return what is thrown for a request or a body that did not arrive. */
function unanswered(error) {
  return error.name === "AbortError" ? error : told(new Problem({ status: 0, detail: NO_ANSWER }));
}

function told(problem) {
  for (const fn of listeners) fn(problem);
  return problem;
}

async function parsed(response) {
  const text = await response.text().catch((error) => {
    throw unanswered(error);
  });
  return text === "" ? null : JSON.parse(text);
}

/** Return the body of a response as a Blob. Throws Problem. */
export const blobOf = (response) =>
  response.blob().catch((error) => {
    throw unanswered(error);
  });

/** Return the JSON at a path. `options.signal` aborts it. Throws Problem. */
export const get = async (path, params, options) => parsed(await request("GET", path, { params, ...options }));
/** Post JSON, or a Blob as it is, and return the answer's JSON or null. Throws Problem. */
export const post = async (path, body, options) => parsed(await request("POST", path, { body, ...options }));
export const patch = async (path, body, options) => parsed(await request("PATCH", path, { body, ...options }));
export const put = async (path, body, options) => parsed(await request("PUT", path, { body, ...options }));
export const del = async (path, params, options) => parsed(await request("DELETE", path, { params, ...options }));
