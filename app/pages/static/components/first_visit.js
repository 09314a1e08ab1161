/** What a new user sees: one sentence, and three ways to begin. */
import { post } from "../lib/api.js";
import { html, useState } from "../lib/preact.js";
import { go, link } from "../lib/router.js";
import { can } from "../lib/session.js";
import { Empty, ProblemSentence } from "./basics.js";

export function FirstVisit() {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const trySample = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const scenario = await post("scenarios", await post("sample"));
      go(link(`scenarios/${scenario.id}`));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  if (!can.write) {
    return html`<${Empty} title="Nothing is analysed yet">
      <p>Somebody with a key that may change things can add a recording or a camera; then it is shown here.</p>
    <//>`;
  }
  return html`<${Empty} title="Find out what happens in your videos">
    <p>
      Give the service a recording or a camera and choose what to look for: it finds people, things or markers in each
      sampled frame, follows them, and tells who came, went, and crossed a line.
    </p>
    <div class="ways">
      <button type="button" class="primary" disabled=${isBusy} onClick=${trySample}>
        ${isBusy ? "Drawing the sample…" : "Try the sample"}
      </button>
      <span class="quiet">A clip of 12 seconds, drawn on this machine: markers move, and some cross a line.</span>
      <a class="button" href=${link("new", { kind: "recording" })}>Add a recording</a>
      <span class="quiet">Choose a file of the media folder, or upload one.</span>
      <a class="button" href=${link("new", { kind: "camera" })}>Add a camera</a>
      <span class="quiet">RTSP or HTTP. It is tested before anything is created.</span>
    </div>
    <${ProblemSentence} problem=${problem} />
  <//>`;
}
