/** What happened to a scenario, oldest first, and why. */
import { count } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { ProblemSentence, Time } from "../basics.js";

/** `changes`: of GET /scenarios/{id}/history; null while they are read. */
export function History({ changes, problem }) {
  return html`
    <${ProblemSentence} problem=${problem} />
    <ol class="history">
      ${changes?.map(
        (change) => html`<li key=${change.id ?? `source-${change.number}`}>
          <${Time} at=${change.at} />${" "}<strong>${nameOf(change)}</strong>
          <span class="quiet"> attempt ${count(change.attempt)}${change.runner_id ? `, ${change.runner_id}` : ""}</span>
          <p class="break">${reasonText(change)}</p>
        </li>`,
      )}
    </ol>
  `;
}

function reasonText({ reason, error }) {
  return error && error !== reason ? `${reason}: ${error}` : reason;
}

function nameOf(change) {
  if (change.kind === "source") return `source ${change.state}`;
  return change.outcome ?? change.to.replaceAll("_", " ");
}
