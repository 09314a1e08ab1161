/** The files that a scenario's results can be taken away as. */
import { url } from "../../lib/api.js";
import { html } from "../../lib/preact.js";

const FILES = [
  ["Predictions as CSV", { format: "csv" }],
  ["Predictions as JSON Lines", { format: "jsonl" }],
  ["Predictions as COCO", { format: "coco" }],
  ["Tracks as MOT", { format: "mot" }],
  ["Events as CSV", { format: "csv", what: "events" }],
  ["Events as JSON Lines", { format: "jsonl", what: "events" }],
];

/** `path`: of the scenario in the API. */
export function Exports({ path }) {
  return html`<details class="exports">
    <summary>Export</summary>
    <ul>
      ${FILES.map(([text, query]) => html`<li key=${text}><a href=${url(`${path}/export`, query)} download>${text}</a></li>`)}
    </ul>
  </details>`;
}
