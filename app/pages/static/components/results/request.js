/** The request that made a scenario, to repeat it. */
import { url } from "../../lib/api.js";
import { html } from "../../lib/preact.js";
import { Copyable } from "../basics.js";

const FIELDS = [
  "source", "detector", "sampling", "restart", "track", "aspect", "name", "recorded_at", "tags", "tracking",
  "presence", "zones", "lines", "alerts", "notify",
];
const IS_NULL = new Set(["sampling", "tracking", "presence"]); // whose null is not the default

/** Return the body of a request for a scenario like this one; `source` has no password. */
export function bodyOf(scenario) {
  const isGiven = ([name, value]) =>
    (value !== null || IS_NULL.has(name)) && value !== "" && !(Array.isArray(value) && !value.length);
  return Object.fromEntries(FIELDS.map((name) => [name, scenario[name]]).filter(isGiven));
}

/** Return a command for a shell; `'` is the only character that quoting must escape. */
export function curlOf(scenario, address) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const body = JSON.stringify(bodyOf(scenario), null, 1);
  return `curl -X POST ${quoted(address)} -H 'Content-Type: application/json' -d ${quoted(body)}`;
}

export function RequestText({ scenario }) {
  const isHidden = scenario.source.includes("***");
  return html`
    <p class="quiet">This creates a scenario like this one.
      ${isHidden && " The source is shown without its password: write it into the address."}
      ${" "}With API keys, add <code>-H 'Authorization: Bearer …'</code>.</p>
    <${Copyable} text=${curlOf(scenario, url("scenarios"))} label="Copy" />
  `;
}
