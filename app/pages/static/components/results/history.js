/** What happened to a scenario, oldest first, and why. */
import { get } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { marked, sentence } from "../../lib/marked.js";
import { html, useState } from "../../lib/preact.js";
import { useRepeater } from "../../lib/use_get.js";
import { STATES } from "../badge.js";
import { ProblemSentence, Time } from "../basics.js";

const PAGE = 1000;
const MOST_PAGES = 10;

/** Return `{changes, problem}` of a scenario's whole history, oldest first, as it grows; `changes` is null at first. */
export function useHistory(id) {
  const [state, setState] = useState({ changes: null, problem: null });
  const read = async (signal) => {
    const changes = [];
    try {
      for (let page = 0, cursor = null; page < MOST_PAGES && (page === 0 || cursor !== null); page++) {
        const found = await get(`scenarios/${id}/history`, { limit: PAGE, cursor }, { signal });
        changes.push(...found.items);
        cursor = found.next_cursor;
      }
      setState({ changes, problem: null });
    } catch (problem) {
      if (problem.name !== "AbortError") setState((old) => ({ ...old, problem }));
      throw problem;
    }
  };
  useRepeater(read, id, { on: (kind, data) => ["scenario", "source"].includes(kind) && data.scenario_id === id });
  return state;
}

/** `changes`: of GET /scenarios/{id}/history; null while they are read. */
export function History({ changes, problem }) {
  return html`
    <${ProblemSentence} problem=${problem} />
    <ol class="history">
      ${changes?.map(
        (change) => html`<li key=${change.id ?? `source-${change.number}`}>
          <${Time} at=${change.at} />${" "}<strong>${nameOf(change)}</strong>
          <span class="quiet"> attempt ${count(change.attempt)}${change.runner_id ? `, ${change.runner_id}` : ""}</span>
          <p class="break">${marked(sentence(reasonText(change)))}</p>
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
  return STATES[change.outcome ?? change.to]?.[1] ?? change.to;
}
