// Try a source: its first picture, or the reason why it cannot be opened.

import { marked } from "../../lib/marked.js";
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { post } from "../../lib/api.js";
import { duration } from "../../lib/format.js";

const BUSY = 2_000; // ms; a refusal that comes sooner is of a service that tries another source
const TRIES = 15;
const PAUSE = 1_000; // ms

/** Try a source, and again while the service tries another one. Throws Problem, or AbortError. */
async function tryInTurn(body, signal) {
  for (let left = TRIES; ; left -= 1) {
    const begun = Date.now();
    try {
      return await post("sources/try", body, { signal });
    } catch (problem) {
      if (problem.status !== 503 || Date.now() - begun > BUSY || !left) throw problem;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    signal.throwIfAborted();
  }
}

/** What was found of a video, in one line. */
export function describeMedia(media) {
  if (!media) return "";
  const parts = [`${media.width} × ${media.height}`];
  if (media.codec) parts.push(media.codec);
  if (media.fps) parts.push(`${Number(media.fps.toFixed(2))} frames/s`);
  parts.push(media.live ? "live" : media.duration_seconds ? duration(media.duration_seconds) : "recording");
  return parts.join(" · ");
}

/**
 * The button "Test", and what it shows. `onTried` gets the answer, or null if the source changed.
 * @param {{source: string, track: string, isAutomatic: boolean, tried: any, onTried: (tried: any) => void}} props
 */
export function SourceTrial({ source, track, isAutomatic, tried, onTried }) {
  const [state, setState] = useState({ isBusy: false, problem: null });
  const running = useRef(null);
  const test = async () => {
    running.current?.abort();
    const abort = (running.current = new AbortController());
    setState({ isBusy: true, problem: null });
    onTried(null);
    try {
      const body = track === "" ? { source } : { source, track: Number(track) };
      onTried(await tryInTurn(body, abort.signal));
      setState({ isBusy: false, problem: null });
    } catch (problem) {
      if (abort.signal.aborted) return;
      setState({ isBusy: false, problem });
    }
  };
  useEffect(() => {
    setState({ isBusy: false, problem: null });
    onTried(null);
    if (isAutomatic && source) test();
    return () => running.current?.abort();
  }, [source, track]);
  return html`<div class="source-trial">
    <button type="button" disabled=${!source || state.isBusy} onClick=${test}>Test</button>
    <div aria-live="polite">
      ${state.isBusy && html`<p class="quiet">Opening the source; this takes 10 seconds at most.</p>`}
      ${state.problem && html`<p class="field-problem">${marked(state.problem.sentence)}</p>`}
      ${tried &&
      html`<figure class="first-picture">
        <img src=${`data:image/jpeg;base64,${tried.picture}`} alt="The first picture of the source" />
        <figcaption class="quiet">${describeMedia(tried.media)}</figcaption>
      </figure>`}
    </div>
  </div>`;
}
