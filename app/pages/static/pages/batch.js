/** One batch: how far it is, which files failed and why, and its scenarios. */
import { BatchProgress, BatchState, countsText } from "../components/batches/progress.js";
import { ProblemSentence, Time, usePages, Pager, useTitle } from "../components/basics.js";
import { Confirm } from "../components/dialog.js";
import { ScenarioRow } from "../components/rows.js";
import { del, patch, post, url } from "../lib/api.js";
import { plural } from "../lib/format.js";
import { marked } from "../lib/marked.js";
import { html, useRef, useState } from "../lib/preact.js";
import { go, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["batches", "overview"];

const OUTCOMES = [
  ["", "All states"],
  ["completed", "Completed"],
  ["failed", "Failed"],
  ["stopped", "Stopped"],
];

const EXPORTS = [
  ["csv", "CSV"],
  ["jsonl", "JSON Lines"],
  ["coco", "COCO"],
  ["mot_zip", "MOT"],
];

export default function Batch({ params }) {
  const hasEnded = useRef(false); // then the stream tells of its scenarios alone, such as one that is deleted
  const isNews = (kind, data) =>
    kind === "batch" ? data.batch_id === params.id : kind === "scenario" && hasEnded.current;
  const { data: batch, problem, reload } = useGet(`batches/${params.id}`, {}, { on: isNews });
  hasEnded.current = ["done", "stopped"].includes(batch?.state);
  useTitle(batch ? batch.name || batch.sources : "Batch");
  return html`<div class="stack">
    <p class="small"><a href=${link("batches")}>All batches</a></p>
    <${ProblemSentence} problem=${problem} retry=${reload} />
    ${batch &&
    html`<${Head} batch=${batch} reload=${reload} />
      <${Notes} title="Failed" notes=${batch.failures} total=${batch.counts.failed} tone="failed" />
      <${Notes} title="Warnings" notes=${batch.warnings} tone="warned" />
      <${Scenarios} id=${batch.id} />`}
  </div>`;
}

function Head({ batch, reload }) {
  return html`<section class="stack" aria-label="The batch">
    <div class="row row-between">
      <h1 class="break">${batch.name || batch.sources}</h1>
      ${can.write && html`<${Actions} batch=${batch} reload=${reload} />`}
    </div>
    <p class="row">
      <${BatchState} batch=${batch} />
      <span class="batch-detail"><${BatchProgress} batch=${batch} /></span>
      <span class="numbers">${countsText(batch.counts)}</span>
    </p>
    <p>
      Export predictions: ${EXPORTS.map(([format, text]) => html`<a href=${url(`batches/${batch.id}/export`, { format })}>${text}</a>, `)}
      events: <a href=${url(`batches/${batch.id}/export`, { format: "csv", what: "events" })}>CSV</a>
    </p>
    ${batch.problem && html`<p class="note">${marked(batch.problem)}</p>`}
    <dl class="facts">
      <dt>Files</dt>
      <dd><code class="break">${batch.sources}</code>${batch.watch ? ", watched" : ""}</dd>
      <dt>Finds</dt>
      <dd>${batch.scenario.detector.type}</dd>
      ${batch.recorded_at &&
      html`<dt>Dates</dt>
        <dd><code class="break">${batch.recorded_at}</code> in ${batch.timezone}</dd>`}
      <dt>At once</dt>
      <dd>${plural(batch.at_once, "scenario")}</dd>
      <dt>Created</dt>
      <dd><${Time} at=${batch.created_at} /></dd>
      ${batch.scanned_at &&
      html`<dt>Looked for files</dt>
        <dd><${Time} at=${batch.scanned_at} /></dd>`}
    </dl>
  </section>`;
}

function Actions({ batch, reload }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [isDeleting, setDeleting] = useState(false);
  const path = `batches/${batch.id}`;
  const act = (action) => async () => {
    setBusy(true);
    setProblem(null);
    try {
      await action();
      reload();
    } catch (failed) {
      setProblem(failed);
    } finally {
      setBusy(false);
    }
  };
  const button = (text, action) =>
    html`<button type="button" disabled=${isBusy} onClick=${act(action)}>${text}</button>`;
  const { state, watch, counts } = batch;
  if (state === "deleting") return null;
  const remove = async () => {
    await del(path, { stop: true });
    go(link("batches"));
  };
  return html`<div class="stack">
    <div class="row" role="toolbar" aria-label="What to do with the batch">
      ${state === "running" && button("Stop", () => post(`${path}/stop`))}
      ${state === "stopped" && button("Start", () => post(`${path}/start`))}
      ${(state === "done" || state === "stopped") && counts.failed > 0 && button("Start with what failed", () => post(`${path}/start?failed=true`))}
      ${button(watch ? "Watch no longer" : "Watch", () => patch(path, { watch: !watch }))}
      <button type="button" class="danger" disabled=${isBusy} onClick=${() => setDeleting(true)}>Delete</button>
    </div>
    <${ProblemSentence} problem=${problem} />
    ${isDeleting &&
    html`<${Confirm} title="Delete this batch?" verb="Delete" action=${remove} onClose=${() => setDeleting(false)}>
      <p>
        Its ${plural(counts.files, "file")} stay. What was found in them is deleted, with events and their pictures. What
        runs is stopped.
      </p>
    <//>`}
  </div>`;
}

function Notes({ title, notes, total = notes.length, tone }) {
  if (!notes.length) return null;
  const more = total - notes.length;
  return html`<section class="stack" aria-label=${title}>
    <h2>${title} <span class="quiet numbers">${total}</span></h2>
    <ul class="notes">
      ${notes.map(
        (note) => html`<li key=${note.path}>
          ${note.scenario_id
            ? html`<a class="break" href=${link(`scenarios/${note.scenario_id}`)}>${note.path}</a>`
            : html`<span class="break">${note.path}</span>`}
          <span class=${`${tone} break`}>${marked(note.text)}</span>
        </li>`,
      )}
    </ul>
    ${more > 0 && html`<p class="quiet">The latest are shown; ${more} more are below, among the scenarios.</p>`}
  </section>`;
}

function Scenarios({ id }) {
  const [outcome, setOutcome] = useState("");
  const pages = usePages(outcome);
  const query = { batch: id, outcome, limit: 50, cursor: pages.cursor };
  const { data, problem, reload } = useGet("scenarios", query, { on: (kind) => kind === "scenario" });
  return html`<section class="stack" aria-labelledby="scenarios">
    <div class="row row-between">
      <h2 id="scenarios">Scenarios</h2>
      <select aria-label="Which scenarios" value=${outcome} onChange=${(event) => setOutcome(event.target.value)}>
        ${OUTCOMES.map(([value, text]) => html`<option value=${value}>${text}</option>`)}
      </select>
    </div>
    <${ProblemSentence} problem=${problem} retry=${reload} />
    ${data && !data.items.length && html`<p class="quiet">There are none${outcome ? " of these" : " yet"}.</p>`}
    ${data &&
    data.items.length > 0 &&
    html`<ul class="scenarios">
      ${data.items.map((scenario) => html`<${ScenarioRow} key=${scenario.id} scenario=${scenario} />`)}
    </ul>`}
    ${data &&
    (data.next_cursor || pages.previous) &&
    html`<${Pager} label="Pages of scenarios" previous=${pages.previous} next=${pages.next(data.next_cursor)}>
      page ${pages.page}
    <//>`}
  </section>`;
}
