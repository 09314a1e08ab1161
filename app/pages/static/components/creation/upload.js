// Upload a recording into the media folder, with progress.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { Problem, problemOf, url } from "../../lib/api.js";
import { bytes } from "../../lib/format.js";
import { Drop } from "../drop.js";
import { TextField } from "./fields.js";

const OFF = "This process takes no uploads: set VA_UPLOADS=true, or copy the file below VA_MEDIA_ROOT yourself.";
const ACCEPTED = "video/*,.mkv,.ts,.avi,.flv,.mp4,.mov,.webm,.m2ts,.mts,.mpg,.wmv,.ogv,.3gp";
const LOST = "The upload ended, because the connection was lost. Check the network, and upload the file again.";

/**
 * Send a file; fetch() would tell no progress of what is sent. Throws Problem, or AbortError if `signal` ends it.
 * @param {File} file
 * @param {string} name the file's name in the folder of uploads
 * @param {{onProgress: (sent: number) => void, signal: AbortSignal}} options
 * @returns {Promise<any>} the API's answer
 */
function send(file, name, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url(`media/uploads/${encodeURIComponent(name)}`));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status >= 400) reject(problemOf(request.status, request.responseText));
      else resolve(request.responseText ? JSON.parse(request.responseText) : null);
    });
    request.addEventListener("error", () => reject(new Problem({ status: 0, detail: LOST })));
    request.addEventListener("abort", () => reject(new DOMException("The upload was cancelled.", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Return another name for a file: "clip-2.mp4". */
function otherName(name) {
  const [, stem, number, suffix] = /^(.*?)(?:-(\d+))?(\.[^.]*)?$/s.exec(name);
  return `${stem}-${Number(number ?? 1) + 1}${suffix ?? ""}`;
}

function Refused({ file, name, problem, onAgain }) {
  const [other, setOther] = useState(otherName(name));
  return html`<p class="field-problem">${name}: ${marked(problem.sentence)}</p>
    ${problem.field === "name" &&
    html`<div class="row">
      <${TextField} label="Name of the file" value=${other} onInput=${setOther} />
      <button type="button" onClick=${() => onAgain(file, other)}>Upload under this name</button>
    </div>`}`;
}

/**
 * @param {{most: number | null | undefined, onDone: (source: string) => void}} props `most`: bytes that a file may
 *   have, null if none is taken; `onDone` gets what a scenario takes as its source
 */
export function Upload({ most, onDone }) {
  const [state, setState] = useState(null); // {file, name, sent, problem}
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  const start = async (file, name) => {
    if (file.size > (most ?? Infinity)) {
      const detail = `It has ${bytes(file.size)}; an upload may have at most ${bytes(most)} (VA_UPLOAD_MAX_GB).`;
      setState({ file, name, sent: 0, problem: new Problem({ detail }) });
      return;
    }
    const abort = (running.current = new AbortController());
    setState({ file, name, sent: 0, problem: null });
    try {
      const onProgress = (sent) => setState({ file, name, sent, problem: null });
      const { source } = await send(file, name, { onProgress, signal: abort.signal });
      setState(null);
      onDone(source);
    } catch (problem) {
      setState(problem.name === "AbortError" ? null : { file, name, sent: 0, problem });
    }
  };
  const { file, name, sent, problem } = state ?? {};
  const isSending = state !== null && !problem;
  if (most === null) return html`<p class="quiet">${OFF}</p>`;
  return html`<${Drop}
    text="Drop a recording here, or"
    button="Choose a file"
    accept=${ACCEPTED}
    isDisabled=${isSending}
    onFile=${(chosen) => start(chosen, chosen.name)}
  >
    <div aria-live="polite">
      ${isSending && html`<p>${sent < file.size ? `Uploading ${name}` : `The service checks ${name}.`}</p>`}
      ${problem && html`<${Refused} key=${name} ...${{ file, name, problem }} onAgain=${start} />`}
    </div>
    ${isSending &&
    html`<div class="row">
      <progress aria-label=${`Upload of ${name}`} max=${file.size || 1} value=${sent}></progress>
      <span class="numbers">${bytes(sent)} of ${bytes(file.size)}</span>
      <button type="button" onClick=${() => running.current.abort()}>Cancel</button>
    </div>`}
  <//>`;
}
