/** What happened in all videos: newest first, with pictures that lead to the moment. */
import { Empty, Pager, ProblemSentence, Time, usePages, useTitle } from "../components/basics.js";
import { Picture } from "../components/picture.js";
import { Badge } from "../components/badge.js";
import { get } from "../lib/api.js";
import { KINDS, lengthText, whatText } from "../lib/events.js";
import { duration, zone } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/preact.js";
import { link, setQuery } from "../lib/router.js";
import { isLive, nameOf } from "../lib/scenarios.js";
import { useGet } from "../lib/use_get.js";

export const styles = ["events"];

const LIMIT = 50;
const FILTERS = ["kind", "label", "name", "state", "from", "to"];

export default function Events({ query }) {
  useTitle("Events");
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query[name] ?? ""]));
  const key = JSON.stringify(filters);
  const pages = usePages(key);
  const { from, to, ...same } = filters;
  const params = { ...same, from_time: instant(from), to_time: instant(to), order: "desc", limit: LIMIT };
  const { data, problem, isLoading, reload } = useGet("events", { ...params, cursor: pages.cursor }, {
    on: (kind) => kind === "event" && pages.page === 1,
  });
  const scenarios = useScenarios(data?.items);
  const isFiltered = Object.values(filters).some(Boolean);
  return html`<div class="stack">
    <div class="row row-between">
      <h1>Events</h1>
      <p class="quiet small">Times are in ${zone()}.</p>
    </div>
    <${Filters} filters=${filters} isFiltered=${isFiltered} />
    <${ProblemSentence} problem=${problem} retry=${reload} />
    ${data && !data.items.length && !data.next_cursor && html`<${NoEvents} isFiltered=${isFiltered} />`}
    ${data &&
    data.items.length > 0 &&
    html`<ol class=${isLoading ? "event-list waiting" : "event-list"} aria-label="Events">
      ${data.items.map(
        (event) => html`<${EventItem}
          key=${`${event.scenario_id}/${event.event_id}`}
          event=${event}
          scenario=${scenarios[event.scenario_id]}
        />`,
      )}
    </ol>`}
    ${data &&
    (data.next_cursor || pages.previous) &&
    html`<${Pager} label="Pages of events" previous=${pages.previous} next=${pages.next(data.next_cursor)}>
      Page ${pages.page}${pages.page > 1 && html`, ${" "}<button type="button" class="link" onClick=${pages.first}>to the newest</button>`}
    <//>`}
  </div>`;
}

/** Return what the API takes of a local date and time: RFC 3339, or undefined for nothing or half of one. */
function instant(text) {
  const date = new Date(text);
  return text && !Number.isNaN(date.getTime()) ? date.toISOString() : undefined;
}

function Filters({ filters, isFiltered }) {
  const change = (name) => (event) => setQuery({ [name]: event.target.value });
  const text = (name, label, placeholder) => html`<label class="filter">
    <span>${label}</span>
    <input type="search" value=${filters[name]} placeholder=${placeholder} onInput=${change(name)} />
  </label>`;
  const moment = (name, label) => html`<label class="filter">
    <span>${label}</span>
    <input type="datetime-local" step="1" value=${filters[name]} onChange=${change(name)} />
  </label>`;
  return html`<form class="filter-form" aria-label="Which events" onSubmit=${(event) => event.preventDefault()}>
    <label class="filter">
      <span>What</span>
      <select value=${filters.kind} onChange=${change("kind")}>
        <option value="">Everything</option>
        ${KINDS.map((kind) => html`<option value=${kind}>${kind}</option>`)}
      </select>
    </label>
    ${text("label", "Label", "such as person")}
    ${text("name", "Zone, line or alert", "its name")}
    <label class="filter">
      <span>State</span>
      <select value=${filters.state} onChange=${change("state")}>
        <option value="">All states</option>
        <option value="open">open: it goes on</option>
        <option value="ended">ended</option>
        <option value="interrupted">interrupted</option>
      </select>
    </label>
    ${moment("from", "From")} ${moment("to", "To")}
    ${isFiltered &&
    html`<button type="button" onClick=${() => setQuery(Object.fromEntries(FILTERS.map((name) => [name, null])))}>
      Show all
    </button>`}
    ${(filters.from || filters.to) &&
    html`<p class="quiet small filters-note">
      Events of recordings are left out if nobody said when they were recorded (<code>recorded_at</code>).
    </p>`}
  </form>`;
}

function NoEvents({ isFiltered }) {
  if (isFiltered) {
    return html`<${Empty} title="No event fits"><p>Choose something else above, or show all.</p><//>`;
  }
  return html`<${Empty} title="Nothing has happened yet">
    <p>
      Events appear here by themselves: stays of objects, visits to zones, crossings of lines, and alerts. They come
      from scenarios that follow objects (the detector <code>objects</code> does by default).
    </p>
    <p><a href=${link("new")}>Begin with a recording or a camera</a></p>
  <//>`;
}

function EventItem({ event, scenario }) {
  const moment = link(`scenarios/${event.scenario_id}`, { event: event.event_id });
  const long = lengthText(event);
  const hasLive = scenario && isLive(scenario);
  const size = event.picture?.width ? event.picture : scenario?.media;
  const canHavePicture = event.picture !== null || (scenario && !hasLive);
  return html`<li class="event-item">
    <a class="event-thumb" style=${size ? { "--ratio": size.width / size.height } : {}} href=${moment} tabindex="-1" aria-hidden="true">
      ${canHavePicture ? html`<${Thumbnail} event=${event} size=${size} />` : html`<div class="no-picture">no picture</div>`}
    </a>
    <div class="event-words">
      <a class="event-title break" href=${moment}>
        <bdi><strong>${event.label}</strong></bdi>${event.track_id === null ? "" : ` #${event.track_id}`}${" "}${whatText(event)}
      </a>
      <span class="numbers">
        ${event.at ? html`<${Time} at=${event.at} />` : `at ${duration(event.start_time, 1)} of the recording`}
        ${long && html`<span class="quiet">, ${long}</span>`}
      </span>
      <span class="quiet break">${scenario ? nameOf(scenario) : "\u00a0"}</span>
    </div>
    <div class="event-mark">
      ${event.kind === "alert" && html`<${Badge} tone="warn" sign="!">alert<//>`}
      ${event.state === "open" && html`<${Badge} tone="run" sign="▶">now<//>`}
      ${event.state === "interrupted" && html`<${Badge} tone="idle" sign="‖">interrupted<//>`}
    </div>
  </li>`;
}

function Thumbnail({ event, size }) {
  return html`<${Picture}
    path=${`scenarios/${event.scenario_id}/events/${event.event_id}/picture.jpg`}
    params=${{ annotated: true, width: 320 }}
    alt=""
    width=${size?.width}
    height=${size?.height}
  />`;
}

const known = new Map();

/** Return the scenarios of these events by their ids, as far as they are read; what is deleted stays unknown. */
function useScenarios(events) {
  const [, tell] = useState(0);
  useEffect(() => {
    const missing = new Set(events?.map((event) => event.scenario_id).filter((id) => !known.has(id)));
    for (const id of missing) {
      known.set(id, null);
      get(`scenarios/${id}`).then(
        (scenario) => {
          known.set(id, scenario);
          tell((old) => old + 1);
        },
        (problem) => problem.status !== 404 && known.delete(id), // asked again with the next events
      );
    }
  }, [events]);
  return Object.fromEntries([...known].filter(([, scenario]) => scenario));
}
