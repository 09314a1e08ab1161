/** What happened to a scenario, oldest first, and why. */
import { get } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { html, useEffect, useState } from "../../lib/preact.js";
import { onChange } from "../../lib/stream.js";
import { ProblemSentence, Time } from "../basics.js";

const PAGE = 1000;
const MOST_PAGES = 10;
const SETTLE = 1000; // milliseconds after a change

/** Return `{changes, problem}` of a scenario's whole history, oldest first, as it grows; `changes` is null at first. */
export function useHistory(id) {
  const [state, setState] = useState({ changes: null, problem: null });
  useEffect(() => {
    const aborter = new AbortController();
    let timer = null;
    const read = async () => {
      timer = null;
      const changes = [];
      try {
        for (let page = 0, cursor = null; page < MOST_PAGES && (page === 0 || cursor !== null); page++) {
          const query = { limit: PAGE, cursor };
          const found = await get(`scenarios/${id}/history`, query, { signal: aborter.signal });
          changes.push(...found.items);
          cursor = found.next_cursor;
        }
        setState({ changes, problem: null });
      } catch (problem) {
        if (problem.name !== "AbortError") setState((old) => ({ ...old, problem }));
      }
    };
    read();
    const end = onChange((kind, data) => {
      const isChange = kind === "resync" || ((kind === "scenario" || kind === "source") && data.scenario_id === id);
      if (isChange && timer === null) timer = setTimeout(read, SETTLE);
    });
    return () => {
      end();
      clearTimeout(timer);
      aborter.abort();
    };
  }, [id]);
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
