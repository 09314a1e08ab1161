/** Where we are: the hash of the address. The paths belong to the API. */
import { signal } from "./preact.js";

/** Patterns and the module in pages/ that shows them. */
const PATTERNS = [
  ["", "overview"],
  ["scenarios/:id", "scenario"],
  ["scenarios/:id/zones", "zones"],
  ["events", "events"],
  ["new", "new"],
  ["batches", "batches"],
  ["batches/:id", "batch"],
  ["models", "models"],
  ["system", "system"],
  ["login", "login"],
];

/** The present route: `{hash, page, params, query}`; `page` is null if no page has this address. */
export const route = signal(read(location.hash));

addEventListener("hashchange", () => {
  route.value = read(location.hash);
});

function read(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const query = Object.fromEntries(new URLSearchParams(search));
  const segments = path.replace(/\/+$/, "").split("/");
  for (const [pattern, page] of PATTERNS) {
    const params = matched(pattern.split("/"), segments);
    if (params) return { hash, page, params, query };
  }
  return { hash, page: null, params: {}, query };
}

function matched(pattern, segments) {
  if (pattern.length !== segments.length) return null;
  const params = {};
  for (const [index, part] of pattern.entries()) {
    if (part.startsWith(":") && segments[index]) params[part.slice(1)] = decoded(segments[index]);
    else if (part !== segments[index]) return null;
  }
  return params;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Return the address of a page for `href`: link("scenarios/1", {t: 12.3}). Empty values are left out. */
export function link(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

/** Go to a page. With `replace`, the back button does not lead here. */
export function go(href, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", href);
    route.value = read(location.hash);
  } else {
    location.hash = href;
  }
}

/** Change parameters of the present address; null or "" removes one. The back button skips it. */
export function setQuery(changes) {
  const [path] = route.value.hash.replace(/^#\/?/, "").split("?");
  go(link(path, { ...route.value.query, ...changes }), { replace: true });
}
