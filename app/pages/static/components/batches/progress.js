/** How far a batch is. */
import { count, percent, plural } from "../../lib/format.js";
import { html } from "../../lib/preact.js";
import { Badge } from "../badge.js";
import { Bar } from "../basics.js";

const STATES = {
  running: ["run", "▶"],
  stopping: ["wait", "■"],
  stopped: ["idle", "■"],
  done: ["done", "✓"],
  deleting: ["wait", "✕"],
};

export function BatchState({ batch }) {
  const { growing, waiting, running } = batch.counts;
  if (batch.state === "running" && batch.watch && batch.scanned_at && !growing && !waiting && !running) {
    return html`<${Badge} tone="done" sign="◉">watching<//>`;
  }
  const [tone, sign] = batch.state === "done" && batch.counts.failed ? ["bad", "✕"] : (STATES[batch.state] ?? ["idle", "?"]);
  return html`<${Badge} tone=${tone} sign=${sign}>${batch.state}<//>`;
}

export function BatchProgress({ batch }) {
  if (batch.percent === null || batch.percent === undefined) return null;
  return html`<${Bar} percent=${batch.percent} label=${`Progress of ${batch.name || batch.sources}`} />
    <span class="numbers">${percent(batch.percent)}</span>`;
}

/** "12 of 40 files · 4 running · 2 failed" */
export function countsText(counts) {
  if (!counts.files) return "no files yet";
  const parts = [`${count(counts.completed)} of ${plural(counts.files, "file")} analysed`];
  for (const name of ["running", "waiting", "growing", "stopped", "failed"]) {
    if (counts[name]) parts.push(`${count(counts[name])} ${name}`);
  }
  return parts.join(" · ");
}
