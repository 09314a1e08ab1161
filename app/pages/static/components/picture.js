/** A picture of the API, or the sentence that says why there is none. */
import { blobOf, request } from "../lib/api.js";
import { marked, plain } from "../lib/marked.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { pictureQueue } from "../lib/queue.js";

/** Return whether an element is near the visible part of the page, and a ref for it. */
export function useVisible() {
  const element = useRef(null);
  const [isVisible, setVisible] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => setVisible(entry.isIntersecting), {
      rootMargin: "200px",
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, isVisible];
}

/**
 * `<${Picture} path="scenarios/1/frame.jpg" params=${{ frame: 7, width: 320 }} alt="…" />`: loaded when it is near the
 * visible part of the page, a few at once. What was loaded stays while the next one loads. `width` and `height` keep
 * its place free.
 */
export function Picture({ path, params = {}, alt, width = 16, height = 9, onLoad, children }) {
  const [element, isVisible] = useVisible();
  const [state, setState] = useState({ source: null, problem: null });
  const shown = useRef(null);
  const key = JSON.stringify([path, params]);

  useEffect(() => {
    if (!isVisible) return undefined;
    const aborter = new AbortController();
    loadPicture(path, params, aborter.signal).then(
      ({ source, headers }) => {
        if (source === null) return;
        if (shown.current) URL.revokeObjectURL(shown.current);
        shown.current = source;
        setState({ source, problem: null });
        onLoad?.(headers);
      },
      (problem) => {
        if (problem.name !== "AbortError") setState((old) => ({ ...old, problem }));
      },
    );
    return () => aborter.abort();
  }, [key, isVisible]);
  useEffect(() => () => shown.current && URL.revokeObjectURL(shown.current), []);

  return html`<div ref=${element} class="picture" style=${{ aspectRatio: `${width} / ${height}` }}>
    ${state.source && html`<img src=${state.source} alt=${alt} decoding="async" />`}
    ${state.problem && !state.source && html`<p class="picture-problem" title=${plain(state.problem.sentence)}>
      ${marked(state.problem.sentence)}
    </p>`}
    ${children}
  </div>`;
}

/** Return `{source, headers}` of a picture: an address for <img>, null if there is no newer one. Throws Problem. */
export function loadPicture(path, params, signal) {
  return pictureQueue(async () => {
    signal?.throwIfAborted();
    const response = await request("GET", path, { params, signal });
    if (response.status === 204) return { source: null, headers: response.headers };
    const blob = await blobOf(response);
    signal?.throwIfAborted();
    return { source: URL.createObjectURL(blob), headers: response.headers };
  });
}
