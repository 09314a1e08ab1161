/** The events of a scenario: a list with pictures, which leads to their moments. */
import { get } from "../../lib/api.js";
import { KINDS, lengthText, whatText } from "../../lib/events.js";
import { duration } from "../../lib/format.js";
import { html, useState } from "../../lib/preact.js";
import { useRepeater } from "../../lib/use_get.js";
import { ProblemSentence, Time } from "../basics.js";
import { Picture } from "../picture.js";

const PAGE = 50;

/**
 * @param {object} props
 * @param {string} props.path of the scenario in the API
 * @param {boolean} props.isDated whether times are Unix time; then the newest event comes first
 * @param {number|null} props.chosen the event that is shown
 * @param {(event: object) => void} props.onChoose
 * @param {number} props.version changes if there may be new events
 */
export function EventList({ path, scenario, isDated, chosen, onChoose, version }) {
  const [filter, setFilter] = useState({ kind: "", label: "", name: "" });
  const [state, setState] = useState({ key: null, items: null, cursor: null, problem: null });
  const query = { ...filter, order: isDated ? "desc" : "asc", limit: PAGE };
  const key = JSON.stringify(query);

  const load = async (cursor, signal) => {
    try {
      const page = await get(`${path}/events`, { ...query, cursor }, { signal });
      setState((old) => ({
        key,
        items: cursor ? [...old.items, ...page.items] : page.items,
        cursor: page.next_cursor,
        problem: null,
      }));
    } catch (problem) {
      if (problem.name !== "AbortError") setState((old) => ({ ...old, problem }));
      throw problem;
    }
  };
  const read = async (signal) => {
    // What was added by "Show more" stays until the filter changes.
    if (!state.items || state.items.length <= PAGE || state.key !== key) await load(null, signal);
  };
  const repeater = useRepeater(read, key, { version });
  const more = () => load(state.cursor).catch(() => {}); // its sentence is shown

  const change = (name) => (event) => setFilter({ ...filter, [name]: event.target.value });
  const names = [...scenario.zones, ...scenario.lines, ...scenario.alerts].map((each) => each.name);
  const isFiltered = Object.values(filter).some(Boolean);
  return html`
    ${(isFiltered || state.items?.length > 0) &&
    html`<div class="row result-filters">
      <select aria-label="Kind of events" value=${filter.kind} onChange=${change("kind")}>
        <option value="">All kinds</option>
        ${KINDS.map((kind) => html`<option value=${kind}>${kind}</option>`)}
      </select>
      ${names.length > 0 &&
      html`<select aria-label="Zone, line or alert" value=${filter.name} onChange=${change("name")}>
        <option value="">All zones, lines and alerts</option>
        ${[...new Set(names)].map((name) => html`<option value=${name}>${name}</option>`)}
      </select>`}
      <input type="search" aria-label="Label" placeholder="Label" value=${filter.label} onInput=${change("label")} />
    </div>`}
    <${ProblemSentence} problem=${state.problem} retry=${() => repeater.now()} />
    ${state.items?.length === 0 && html`<p class="quiet">${emptyText(scenario, isFiltered)}</p>`}
    <ol class="events">
      ${state.items?.map(
        (event) => html`<${EventRow}
          key=${`${event.scenario_id}/${event.event_id}`}
          event=${event}
          isDated=${isDated}
          isChosen=${event.event_id === chosen && event.scenario_id === scenario.id}
          onChoose=${onChoose}
        />`,
      )}
    </ol>
    ${state.cursor && html`<button type="button" onClick=${more}>Show more</button>`}
  `;
}

function EventRow({ event, isDated, isChosen, onChoose }) {
  const { picture } = event;
  const long = lengthText(event);
  return html`<li>
    <button type="button" class="event" aria-current=${isChosen ? "true" : null} onClick=${() => onChoose(event)}>
      <span class="event-picture">
        ${picture &&
        html`<${Picture}
          path=${`scenarios/${event.scenario_id}/events/${event.event_id}/picture.jpg`}
          params=${{ annotated: true, width: 320 }}
          alt=""
        />`}
      </span>
      <span class="event-text">
        <span class="break">
          <bdi><strong>${event.label}</strong></bdi>${event.track_id === null ? "" : ` #${event.track_id}`}
        </span>
        <span class="quiet break">${whatText(event)}</span>
        <span class="quiet numbers">
          ${isDated ? html`<${Time} at=${event.start_time} />` : duration(event.start_time, 1)}${long && `, ${long}`}
        </span>
      </span>
    </button>
  </li>`;
}

function emptyText(scenario, isFiltered) {
  if (isFiltered) return "No event fits. Choose another kind, or empty the label.";
  if (!scenario.tracking && !scenario.presence) {
    return "There are no events, because objects are not followed in this scenario. Create one with “Follow objects from frame to frame”.";
  }
  if (scenario.state !== "inactive") return "Nothing has happened yet. Events appear here by themselves.";
  if (!scenario.progress.frames_sampled) return "There are no events, because nothing was analysed.";
  return "Nothing happened in this video.";
}
