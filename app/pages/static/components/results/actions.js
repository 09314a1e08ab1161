/** What can be done with a scenario, for those who may. */
import { del, post, url } from "../../lib/api.js";
import { html, useState } from "../../lib/preact.js";
import { go, link } from "../../lib/router.js";
import { can } from "../../lib/session.js";
import { ProblemSentence } from "../basics.js";
import { Confirm } from "../dialog.js";

/** `frame`: the stored frame that is shown, if there is one; `hasFile`: whether the recording can be fetched. */
export function Actions({ scenario, path, frame, hasFile, reload }) {
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
      ${can.write && !isInactive && html`<button type="button" disabled=${isBusy} onClick=${send("stop")}>Stop</button>`}
      ${can.write &&
      isInactive &&
      scenario.outcome !== "completed" &&
      html`<button type="button" disabled=${isBusy} onClick=${send("start")}>Start</button>`}
      ${can.write && html`<a class="button" href=${link(`scenarios/${scenario.id}/zones`)}>Zones</a>`}
      ${hasFile && html`<a class="button" href=${url(`${path}/video`)} download>Download the video</a>`}
      ${frame !== null &&
      html`<a class="button" target="_blank" rel="noopener" href=${url(`${path}/frame.jpg`, { frame, annotated: true })}>
        This frame as a picture
      </a>`}
      ${can.write &&
      isInactive &&
      html`<button type="button" class="danger" onClick=${() => setAsking(true)}>Delete</button>`}
    </div>
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
