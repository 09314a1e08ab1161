/** What can be done with a scenario, for those who may. */
import { del, post, url } from "../../lib/api.js";
import { html, useState } from "../../lib/preact.js";
import { go, link } from "../../lib/router.js";
import { can } from "../../lib/session.js";
import { ProblemSentence } from "../basics.js";
import { Confirm } from "../dialog.js";
import { Exports } from "./exports.js";

/** `playback`: null if the source was not opened. */
export function Actions({ scenario, path, playback, reload }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const isInactive = scenario.state === "inactive";
  const send = (action) => async () => {
    setBusy(true);
    setProblem(null);
    try {
      await post(`${path}/${action}`);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
    reload();
  };
  return html`
    <div class="row">
      ${can.write &&
      !isInactive &&
      html`<button type="button" disabled=${isBusy} onClick=${send("stop")}>Stop</button>`}
      ${can.write &&
      isInactive &&
      scenario.outcome !== "completed" &&
      html`<button type="button" disabled=${isBusy} onClick=${send("start")}>Start</button>`}
      ${can.write && html`<a class="button" href=${link(`scenarios/${scenario.id}/zones`)}>Zones</a>`}
      ${playback?.mode.value === "video" &&
      html`<a class="button" href=${url(`${path}/video`)} download>Download the video</a>`}
      ${playback && html`<${FrameLink} playback=${playback} path=${path} />`}
      ${can.write &&
      isInactive &&
      html`<button type="button" class="danger" onClick=${() => setAsking(true)}>Delete</button>`}
    </div>
    <${Exports} path=${path} />
    <${ProblemSentence} problem=${problem} />
    ${isAsking &&
    html`<${Confirm}
      title="Delete this scenario?"
      verb="Delete"
      action=${async () => {
        await del(path);
        go(link(""));
      }}
      onClose=${() => setAsking(false)}
    >
      <p>Its predictions, events and pictures of events are deleted, too. The source is not touched.</p>
    <//>`}
  `;
}

/** The frame that is shown, as a file; a live source keeps none. */
function FrameLink({ playback, path }) {
  const frame = playback.prediction.value?.frame;
  if (playback.isLive || frame === undefined) return null;
  const href = url(`${path}/frame.jpg`, { frame, annotated: true });
  return html`<a class="button" target="_blank" rel="noopener" href=${href}>This frame as a picture</a>`;
}
