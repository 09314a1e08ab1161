// The picture of a scenario's source on which zones are drawn: a moment of a recording, or the newest one.

import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { duration } from "../../lib/format.js";
import { Backoff } from "../../lib/reading.js";
import { ProblemSentence } from "../basics.js";
import { loadPicture } from "../picture.js";

/** Return `{src, problem, isBusy, reload}` of the picture at `time`, in seconds; null: the newest one. */
export function useSourcePicture(id, time) {
  const [state, setState] = useState({ src: null, problem: null, isBusy: true });
  const [version, setVersion] = useState(0);
  const shown = useRef(null);
  const backoff = useRef(null);
  backoff.current ??= new Backoff();
  useEffect(() => {
    const abort = new AbortController();
    setState((old) => ({ ...old, isBusy: true }));
    loadPicture(`scenarios/${id}/frame.jpg`, { time, width: 1280 }, abort.signal).then(
      ({ source }) => {
        if (shown.current) URL.revokeObjectURL(shown.current);
        shown.current = source;
        backoff.current.reset();
        setState({ src: source, problem: null, isBusy: false });
      },
      (problem) => problem.name !== "AbortError" && setState((old) => ({ ...old, problem, isBusy: false })),
    );
    return () => abort.abort();
  }, [id, time, version]);
  useEffect(() => {
    if (state.problem?.status !== 503) return undefined; // a source that has no picture yet
    const timer = setTimeout(() => setVersion((old) => old + 1), backoff.current.next());
    return () => clearTimeout(timer);
  }, [state.problem]);
  useEffect(() => () => shown.current && URL.revokeObjectURL(shown.current), []);
  return { ...state, reload: () => setVersion((old) => old + 1) };
}

/** The choice of a moment, or of a new picture. */
export function PictureChoice({ media, time, onTime, picture }) {
  const length = media && !media.live ? media.duration_seconds : null;
  return html`<div class="picture-choice">
    ${length
      ? html`<label class="row">
          <span class="quiet numbers">Picture at ${duration(time ?? 0, 1)}</span>
          <input
            type="range"
            min="0"
            max=${length}
            step="0.1"
            value=${time ?? 0}
            aria-valuetext=${duration(time ?? 0, 1)}
            onChange=${(event) => onTime(event.currentTarget.valueAsNumber)}
          />
        </label>`
      : html`<button type="button" disabled=${picture.isBusy} onClick=${picture.reload}>Take a new picture</button>`}
    ${picture.isBusy && html`<span class="quiet">The picture is being read.</span>`}
    <${ProblemSentence} problem=${picture.problem} retry=${picture.reload} />
  </div>`;
}
