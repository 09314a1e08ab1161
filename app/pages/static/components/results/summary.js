/** How a scenario is, and why it does not go on. */
import { count, duration, fps, plural } from "../../lib/format.js";
import { marked, sentence } from "../../lib/marked.js";
import { html } from "../../lib/preact.js";
import { link } from "../../lib/router.js";
import { StateBadge } from "../badge.js";
import { Bar, Since } from "../basics.js";

const MOST_LABELS = 8;

/**
 * `labels`: what was found in all of the video, the most frequent first. `happened`: counts of events, of which those of
 * objects tell how many were followed.
 */
export function Summary({ scenario, labels, happened, children }) {
  const { progress, reason } = scenario;
  const isRunning = scenario.state !== "inactive";
  const title = scenario.name || scenario.source;
  return html`
    <header class="summary">
      <div class="row row-between">
        <h1 class="break"><bdi>${title}</bdi></h1>
        <${StateBadge} scenario=${scenario} />
      </div>
      <p class="quiet small break">${[
        scenario.name && scenario.source,
        scenario.detector.type,
        `attempt ${count(scenario.attempt)}`,
        scenario.runner_id,
        ...scenario.tags,
      ].filter(Boolean).join(" · ")}</p>
      ${isRunning &&
      progress.percent !== null &&
      html`<div>
        <${Bar} percent=${progress.percent} label="Progress" />
        <p class="quiet small numbers">${[
          `${Math.floor(progress.percent)} %`,
          fps(progress.fps),
          progress.eta_seconds !== null && `${duration(progress.eta_seconds)} left`,
        ].filter(Boolean).join(" · ")}</p>
      </div>`}
      ${reason && html`<p class="note">${marked(sentence(reason.text))} (for <${Since} at=${reason.since} />)</p>`}
      ${scenario.error && html`<p class="problem">${marked(sentence(scenario.error))}</p>`}
      ${scenario.warnings.map((warning) => html`<p class="note small">${marked(warning.text)}</p>`)}
      <p class="counts numbers">
        ${labels.slice(0, MOST_LABELS).map(
          ({ label, frames }) => html`<span key=${label} class="break">
            <bdi><strong>${label}</strong></bdi>${objectsText(happened, label)} in ${plural(frames, "frame")}
          </span>`,
        )}
        <span class="quiet">${framesText(progress)}</span>
      </p>
      ${scenario.replaced_by &&
      html`<p><a href=${link(`scenarios/${scenario.replaced_by}`)}>The scenario that replaced this one</a></p>`}
      ${scenario.replaces &&
      html`<p><a href=${link(`scenarios/${scenario.replaces}`)}>The scenario before this one</a></p>`}
      ${children}
    </header>
  `;
}

function objectsText(happened, label) {
  const objects = happened.find((each) => each.kind === "object" && each.label === label)?.events;
  return objects ? html`: <span title="Each is followed from frame to frame, under its number">${plural(objects, "object")}</span>` : "";
}

function framesText(progress) {
  const parts = [`${plural(progress.frames_sampled, "frame")} analysed`];
  if (progress.frames_dropped) parts.push(`${count(progress.frames_dropped)} dropped`);
  if (progress.frames_failed) parts.push(`${count(progress.frames_failed)} failed`);
  return parts.join(", ");
}
