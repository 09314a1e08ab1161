/** What the signs of a timeline mean, as far as they occur; that of failed frames leads to them. */
import { plural } from "../../lib/format.js";
import { html } from "../../lib/preact.js";

/**
 * @param {object} props
 * @param {{alerts: number, failed: number, dropped: number, gaps: number}} props.counts what the timeline shows: alerts
 *   and gaps in the part that was read, frames in all of the video
 * @param {() => void} props.onFailed goes to the next frame that could not be analysed
 */
export function Legend({ counts, onFailed }) {
  const { alerts, failed, dropped, gaps } = counts;
  const sign = (name) => html`<span class=${`legend-sign legend-${name}`} aria-hidden="true"></span>`;
  if (!alerts && !failed && !dropped && !gaps) return null;
  return html`<ul class="legend small" aria-label="Signs of the timeline">
    ${alerts > 0 && html`<li>${sign("alert")} alert</li>`}
    ${failed > 0 &&
    html`<li>
      ${sign("failed")}
      <button type="button" class="link" title="Show the next one" onClick=${onFailed}>
        ${plural(failed, "frame")} failed
      </button>
    </li>`}
    ${dropped > 0 && html`<li>${sign("thin")} fewer frames: ${plural(dropped, "frame")} dropped</li>`}
    ${gaps > 0 && html`<li>${sign("gap")} nothing stored</li>`}
  </ul>`;
}
