/** The stored frames of a scenario as a table, with the filters of the API. */
import { url } from "../../lib/api.js";
import { confidence, count } from "../../lib/format.js";
import { html, useState } from "../../lib/preact.js";
import { useGet } from "../../lib/use_get.js";
import { Pager, ProblemSentence, usePages } from "../basics.js";
import { momentText } from "../timeline/texts.js";

const PAGE = 25;
const MOST_DETECTIONS = 20; // of a frame

/** `onChoose(frame)` is called with the prediction that is to be shown. */
export function PredictionTable({ path, isDated, from, onChoose }) {
  const [filter, setFilter] = useState({ label: "", min_confidence: "", from_time: "" });
  const pages = usePages(JSON.stringify(filter));
  const query = { ...filter, limit: PAGE };
  const { data, problem } = useGet(`${path}/predictions`, { ...query, cursor: pages.cursor });
  const change = (name) => (event) => setFilter({ ...filter, [name]: event.target.value });
  return html`
    <div class="row result-filters">
      <input type="search" aria-label="Label" placeholder="Label" value=${filter.label} onInput=${change("label")} />
      <input type="number" aria-label="Least confidence" placeholder="Least confidence" min="0" max="1" step="0.05"
        value=${filter.min_confidence} onInput=${change("min_confidence")} />
      <button type="button" aria-pressed=${filter.from_time !== ""}
        onClick=${() => setFilter({ ...filter, from_time: filter.from_time === "" ? from() : "" })}>
        ${filter.from_time === "" ? "From the moment shown" : `From ${momentText(filter.from_time, isDated)}`}
      </button>
      <a
        class="button"
        target="_blank"
        rel="noopener"
        title="The first 1,000 frames that fit, as the API returns them"
        href=${url(`${path}/predictions`, { ...query, limit: 1000 })}
      >JSON</a>
    </div>
    <${ProblemSentence} problem=${problem} />
    ${data?.items.length === 0 && html`<p class="quiet">No stored frame fits. Empty a filter.</p>`}
    ${data?.items.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="Predictions">
      <table>
        <thead><tr><th class="number">Frame</th><th class="number">Time</th><th>Found</th></tr></thead>
        <tbody>
          ${data.items.map(
            (frame) => html`<tr key=${frame.frame}>
              <td class="number">
                <button type="button" class="link" onClick=${() => onChoose(frame)}>${count(frame.frame)}</button>
              </td>
              <td class="number">${momentText(frame.time, isDated)}</td>
              <td class="break">${foundText(frame)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}
    <${Pager} previous=${pages.previous} next=${pages.next(data?.next_cursor)} label="Pages of predictions">
      ${`Page ${count(pages.page)}`}
    <//>
  `;
}

function foundText({ detections, error }) {
  if (error !== undefined) return error;
  const texts = detections
    .slice(0, MOST_DETECTIONS)
    .map((each) => `${each.track_id === null ? "" : `#${each.track_id} `}${each.label} ${confidence(each.confidence)}`);
  const more = detections.length - MOST_DETECTIONS;
  return texts.join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
}
