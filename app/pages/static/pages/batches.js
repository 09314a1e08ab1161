/** Folders of recordings, each as one thing. */
import { BatchForm } from "../components/batches/form.js";
import { BatchProgress, BatchState, countsText } from "../components/batches/progress.js";
import { Empty, Pager, ProblemSentence, Time, usePages, useTitle } from "../components/basics.js";
import { marked } from "../lib/marked.js";
import { html } from "../lib/preact.js";
import { go, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["batches"];

const EVERY = 30_000; // ms: the stream does not tell that a scenario of a batch that has ended is deleted
const changes = (kind) => kind === "batch";

export default function Batches({ query }) {
  useTitle("Batches");
  const pages = usePages("batches");
  const { data, problem, reload } = useGet("batches", { limit: 20, cursor: pages.cursor }, { on: changes, every: EVERY });
  const isNew = query.new !== undefined && can.write;
  return html`<div class="stack">
    <div class="row row-between">
      <h1>Batches</h1>
      ${can.write && !isNew && html`<a class="button primary" href=${link("batches", { new: "1" })}>Analyse a folder</a>`}
    </div>
    <${ProblemSentence} problem=${problem} retry=${reload} />
    ${isNew &&
    html`<${BatchForm}
      onCreated=${(batch) => go(link(`batches/${batch.id}`))}
      onCancel=${() => go(link("batches"))}
    />`}
    ${data && !data.items.length && !isNew && html`<${NoBatches} />`}
    ${data &&
    data.items.length > 0 &&
    html`<ul class="batches" aria-label="Batches">
      ${data.items.map((batch) => html`<${BatchRow} key=${batch.id} batch=${batch} />`)}
    </ul>`}
    ${data &&
    (data.next_cursor || pages.previous) &&
    html`<${Pager} label="Pages of batches" previous=${pages.previous} next=${pages.next(data.next_cursor)}>
      page ${pages.page}
    <//>`}
  </div>`;
}

function BatchRow({ batch }) {
  return html`<li class="batch">
    <div class="batch-name">
      <a class="ellipsis" href=${link(`batches/${batch.id}`)}>${batch.name || batch.sources}</a>
      <span class="quiet small ellipsis">
        ${batch.name ? `${batch.sources} · ` : ""}${batch.scenario.detector.type}${batch.watch ? " · watched" : ""}
      </span>
    </div>
    <div><${BatchState} batch=${batch} /></div>
    <div class="batch-detail">
      <${BatchProgress} batch=${batch} />
      <span class="numbers break">${marked(batch.problem ?? countsText(batch.counts))}</span>
    </div>
    <span class="quiet small"><${Time} at=${batch.created_at} /></span>
  </li>`;
}

function NoBatches() {
  return html`<${Empty} title="No folder is analysed yet">
    <p>
      A batch analyses each recording of a folder, a few at once, and tells what came of all of them. It can watch the
      folder: recordings that come later follow by themselves.
    </p>
    ${can.write
      ? html`<p><a class="button primary" href=${link("batches", { new: "1" })}>Analyse a folder</a></p>`
      : html`<p>Who has an API key can create one.</p>`}
  <//>`;
}
