/** The line at the bottom, which is there only if something is wrong: what, since when, and what to do. */
import { time } from "../lib/format.js";
import { waitingFor } from "../lib/health.js";
import { plain } from "../lib/marked.js";
import { html, useComputed } from "../lib/preact.js";
import { link } from "../lib/router.js";
import { connection } from "../lib/stream.js";

export function StatusLine() {
  const lost = useComputed(() => connectionText(connection.value)); // seldom another text than before
  const lines = [lost.value, healthText(waitingFor.value)].filter(Boolean);
  return html`<div class="status" role="status">${lines.map((line) => html`<p>${line}</p>`)}</div>`;
}

function connectionText({ state, since, newest, problem }) {
  if (state !== "lost") return null;
  if (problem) return `${plain(problem.sentence)} What you see does not change by itself until then.`;
  const shown = newest === null ? "" : ` What you see is of ${time(newest / 1000)}.`;
  return `The service has not answered since ${time(since / 1000)}.${shown} The page goes on by itself once it answers.`;
}

function healthText(reasons) {
  if (!reasons.length) return null;
  return html`The service waits for ${reasons.join(", and for ")}. Runs wait; nothing stored is lost.${" "}
    <a href=${link("system")}>What to do</a>`;
}
