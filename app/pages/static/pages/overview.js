/** All scenarios: live sources as tiles, and a list of everything with filters and actions. */
import { Confirm } from "../components/dialog.js";
import { Empty, Pager, ProblemSentence, usePages, useTitle } from "../components/basics.js";
import { FirstVisit } from "../components/first_visit.js";
import { ScenarioRow } from "../components/rows.js";
import { TilePlaces, Tiles } from "../components/tiles.js";
import { count, plural } from "../lib/format.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { setQuery } from "../lib/router.js";
import { deleteScenario, forEachScenario, startScenario, stopScenario, withProgress } from "../lib/scenarios.js";
import { can } from "../lib/session.js";
import { onChange } from "../lib/stream.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["overview"];

const ROWS = 50;
const TILES = 12;

const SHOWN = [
  ["", "All states", {}],
  ["running", "Running", { state: "active" }],
  ["waiting", "Waiting", { state: "init_startup" }],
  ["completed", "Completed", { outcome: "completed" }],
  ["stopped", "Stopped", { outcome: "stopped" }],
  ["failed", "Failed", { outcome: "failed" }],
];
const KINDS = [
  ["", "All sources", {}],
  ["live", "Live sources", { live: true }],
  ["recordings", "Recordings", { live: false }],
];
const ORDERS = [
  ["", "Newest first", {}],
  ["oldest", "Oldest first", { order: "asc" }],
  ["name", "By name", { order: "name" }],
];

const changes = (kind) => kind === "scenario";

export default function Overview({ query }) {
  useTitle("Overview");
  const filters = {
    text: query.text,
    name: query.name,
    tag: query.tag,
    batch: query.batch,
    found: query.found,
    ...chosen(SHOWN, query.show),
    ...chosen(KINDS, query.kind),
  };
  const counts = useGet("scenarios/counts", {}, { on: changes });
  const progress = useProgress();
  if (counts.data?.total === 0) return html`<${FirstVisit} />`;
  return html`<div class="stack">
    <h1 class="visually-hidden">Overview</h1>
    <${ProblemSentence} problem=${counts.data ? null : counts.problem} retry=${counts.reload} />
    ${counts.data?.live > 0 && html`<${Live} progress=${progress} number=${Math.min(counts.data.live, TILES)} />`}
    ${counts.data && html`<${List} query=${query} filters=${filters} counts=${counts.data} progress=${progress} />`}
  </div>`;
}

function chosen(choices, name = "") {
  return (choices.find(([each]) => each === name) ?? choices[0])[2];
}

/** Return the newest progress of each scenario by id. */
function useProgress() {
  const [progress, setProgress] = useState(() => new Map());
  useEffect(() => {
    let pending = null;
    const news = new Map();
    const end = onChange((kind, data) => {
      if (kind !== "progress") return;
      news.set(data.scenario_id, data);
      pending ??= requestAnimationFrame(() => {
        pending = null;
        setProgress(new Map(news));
      });
    });
    return () => {
      end();
      if (pending !== null) cancelAnimationFrame(pending);
    };
  }, []);
  return progress;
}

const merged = (items, progress) =>
  items.map((item) => (progress.has(item.id) ? withProgress(item, progress.get(item.id)) : item));

function Live({ progress, number }) {
  const pages = usePages("live");
  const { data, problem } = useGet(
    "scenarios",
    { live: true, ended: false, order: "asc", limit: TILES, cursor: pages.cursor },
    { on: changes },
  );
  return html`<section class="stack" aria-labelledby="live">
    <h2 id="live">Live</h2>
    <${ProblemSentence} problem=${data ? null : problem} />
    ${data && html`<${Tiles} scenarios=${merged(data.items, progress)} />`}
    ${!data && !problem && html`<${TilePlaces} number=${number} />`}
    ${data &&
    (pages.previous || data.next_cursor) &&
    html`<${Pager} label="Pages of live sources" previous=${pages.previous} next=${pages.next(data.next_cursor)}>
      page ${pages.page}
    <//>`}
  </section>`;
}

function List({ query, filters, counts, progress }) {
  const order = chosen(ORDERS, query.order);
  const isFiltered = Object.values(filters).some((value) => value !== undefined && value !== "");
  const pages = usePages(JSON.stringify([filters, order]));
  const read = useGet("scenarios", { ...filters, ...order, limit: ROWS, cursor: pages.cursor }, { on: changes });
  const [selected, setSelected] = useState(() => new Set());
  const { data, problem } = read;
  const select = (id, isSelected) => {
    const next = new Set(selected);
    if (isSelected) next.add(id);
    else next.delete(id);
    setSelected(next);
  };
  const ids = data?.items.map((item) => item.id) ?? [];
  const hasAll = ids.length > 0 && ids.every((id) => selected.has(id));
  const selectAll = (event) => {
    const next = new Set(selected);
    for (const id of ids) {
      if (event.target.checked) next.add(id);
      else next.delete(id);
    }
    setSelected(next);
  };
  return html`<section class="stack" aria-labelledby="all">
    <div class="row row-between">
      <h2 id="all">Scenarios ${!isFiltered && html`<span class="quiet numbers">${count(counts.total)}</span>`}</h2>
      <${Filters} query=${query} counts=${counts} />
    </div>
    <${ProblemSentence} problem=${problem} retry=${read.reload} />
    ${can.write && html`<${Actions} selected=${selected} clear=${() => setSelected(new Set())} />`}
    ${data && data.items.length > 0
      ? html`<div>
            ${can.write &&
            html`<label class="check small quiet select-all">
              <input type="checkbox" checked=${hasAll} onChange=${selectAll} /> Select all of this page
            </label>`}
            <ul class="scenarios">
              ${merged(data.items, progress).map(
                (item) =>
                  html`<${ScenarioRow}
                    key=${item.id}
                    scenario=${item}
                    selected=${selected.has(item.id)}
                    onSelect=${select}
                  />`,
              )}
            </ul>
          </div>
          ${(pages.previous || data.next_cursor) &&
          html`<${Pager} label="Pages of scenarios" previous=${pages.previous} next=${pages.next(data.next_cursor)}>
            page ${pages.page}
          <//>`}`
      : data && !problem && html`<${NothingFits} isLater=${pages.page > 1} />`}
  </section>`;
}

function NothingFits({ isLater }) {
  const clear = () => setQuery({ text: "", name: "", tag: "", batch: "", found: "", show: "", kind: "" });
  return html`<${Empty} title=${isLater ? "This page is empty now" : "No scenario fits these filters"}>
    <p><button type="button" onClick=${clear}>Show all scenarios</button></p>
  <//>`;
}

function Filters({ query, counts }) {
  const shown = {
    "": counts.total,
    running: counts.states.active ?? 0,
    waiting: counts.states.init_startup ?? 0,
    completed: counts.outcomes.completed ?? 0,
    stopped: counts.outcomes.stopped ?? 0,
    failed: counts.outcomes.failed ?? 0,
  };
  return html`<div class="row filters">
    <${Choice} label="State" name="show" query=${query} choices=${SHOWN} counts=${shown} />
    <${Choice} label="Kind of source" name="kind" query=${query} choices=${KINDS} />
    <${Choice} label="Order" name="order" query=${query} choices=${ORDERS} />
    <${FoundLabel} label=${query.found ?? ""} />
    ${["text", "name", "tag", "batch", "found"].map(
      (name) =>
        query[name] &&
        html`<button type="button" class="chosen" title="Remove this filter" onClick=${() => setQuery({ [name]: "" })}>
          ${name === "text" ? "" : `${name}: `}${query[name]} <span aria-hidden="true">✕</span>
          <span class="visually-hidden">(remove this filter)</span>
        </button>`,
    )}
  </div>`;
}

/** A field for a label. It has no `value`, because the page is drawn each second, which would undo what is typed. */
function FoundLabel({ label }) {
  const field = useRef(null);
  useEffect(() => {
    field.current.value = label;
  }, [label]);
  const submit = (event) => {
    event.preventDefault();
    setQuery({ found: field.current.value.trim() });
  };
  return html`<form onSubmit=${submit}>
    <input
      ref=${field}
      type="text"
      aria-label="A label that was found"
      placeholder="Found label"
      onChange=${submit}
    />
  </form>`;
}

function Choice({ label, name, query, choices, counts }) {
  return html`<select
    aria-label=${label}
    value=${query[name] ?? ""}
    onChange=${(event) => setQuery({ [name]: event.target.value })}
  >
    ${choices.map(
      ([value, text]) =>
        html`<option value=${value}>${text}${counts && value ? ` (${count(counts[value])})` : ""}</option>`,
    )}
  </select>`;
}

/** What can be done with the selected scenarios. */
function Actions({ selected, clear }) {
  const [failed, setFailed] = useState([]);
  const [isBusy, setBusy] = useState(false);
  const [isDeleting, setDeleting] = useState(false);
  const act = async (action) => {
    setBusy(true);
    setFailed([]);
    const problems = await forEachScenario([...selected], action);
    setFailed(problems);
    setBusy(false);
    if (!problems.length) clear();
  };
  if (!selected.size && !failed.length) return null;
  const many = plural(selected.size, "scenario");
  return html`<div class="selection stack">
    ${selected.size > 0 &&
    html`<div class="row" role="toolbar" aria-label="Actions for the selected scenarios">
      <strong class="numbers">${many} selected</strong>
      <button type="button" disabled=${isBusy} onClick=${() => act(stopScenario)}>Stop</button>
      <button type="button" disabled=${isBusy} onClick=${() => act(startScenario)}>Start</button>
      <button type="button" class="danger" disabled=${isBusy} onClick=${() => setDeleting(true)}>Delete</button>
      <button type="button" class="link" onClick=${clear}>Clear the selection</button>
    </div>`}
    ${failed.slice(0, 5).map(({ problem }) => html`<${ProblemSentence} problem=${problem} />`)}
    ${failed.length > 5 && html`<p class="problem">${count(failed.length - 5)} more failed.</p>`}
    ${isDeleting &&
    html`<${Confirm}
      title=${`Delete ${many}?`}
      verb="Delete"
      action=${() => act(deleteScenario)}
      onClose=${() => setDeleting(false)}
    >
      <p>What was found is deleted, with events and their pictures. Recordings themselves stay. What runs is stopped.</p>
    <//>`}
  </div>`;
}
