/** Small parts that every page uses: sentences, times, empty states, text to copy, pages of a list. */
import { duration, fullTime, secondsSince, time } from "../lib/format.js";
import { marked } from "../lib/marked.js";
import { html, useEffect, useState } from "../lib/preact.js";

/** Why something failed: the API's sentence. `retry` adds a button. Nothing without a problem. */
export function ProblemSentence({ problem, retry }) {
  if (!problem) return null;
  return html`<p class="problem" role="alert">
    ${marked(problem.sentence ?? String(problem))}
    ${retry && html`${" "}<button type="button" class="link" onClick=${retry}>Try again</button>`}
  </p>`;
}

/** What to do when there is nothing to show. Children are the ways to begin. */
export function Empty({ title, children }) {
  return html`<section class="empty"><h2>${title}</h2>${children}</section>`;
}

/** A moment in the viewer's zone; its title has the date and the zone. */
export function Time({ at }) {
  if (at === null || at === undefined) return null;
  const date = at instanceof Date ? at : typeof at === "number" ? new Date(at * 1000) : new Date(at);
  return html`<time datetime=${date.toISOString()} title=${fullTime(date)}>${time(date)}</time>`;
}

/** The time since then, counting: "0:42". */
export function Since({ at }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((old) => old + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="numbers" title=${fullTime(at)}>${duration(secondsSince(at))}</span>`;
}

/** Text to copy as it is, such as a curl command. */
export function Copyable({ text, label = "Copy" }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    } catch {
      setCopied(false); // no permission: the text can be selected
    }
  };
  return html`<div class="copyable">
    <pre tabindex="0"><code>${text}</code></pre>
    ${navigator.clipboard &&
    html`<button type="button" onClick=${copy} aria-live="polite">${isCopied ? "Copied" : label}</button>`}
  </div>`;
}

/** Previous and next page of a list. Functions that are missing disable their button. `children`: what is shown. */
export function Pager({ previous, next, children, label = "Pages" }) {
  if (!previous && !next && !children) return null;
  return html`<nav class="pager" aria-label=${label}>
    <button type="button" disabled=${!previous} onClick=${previous}>Previous</button>
    <span class="quiet numbers">${children}</span>
    <button type="button" disabled=${!next} onClick=${next}>Next</button>
  </nav>`;
}

/**
 * Cursors of the pages before this one: `{cursor, page, previous, next(nextCursor), first}`. It begins anew when
 * `key` changes, such as the filters.
 */
export function usePages(key) {
  const [state, setState] = useState({ key, cursors: [null] });
  const cursors = state.key === key ? state.cursors : [null];
  return {
    cursor: cursors[cursors.length - 1],
    page: cursors.length,
    previous: cursors.length > 1 ? () => setState({ key, cursors: cursors.slice(0, -1) }) : null,
    next: (cursor) => (cursor ? () => setState({ key, cursors: [...cursors, cursor] }) : null),
    first: () => setState({ key, cursors: [null] }),
  };
}

/** How far something is: a bar with its percentage as text for those who do not see it. */
export function Bar({ percent, label }) {
  return html`<progress class="bar" max="100" value=${percent ?? 0} aria-label=${label}>${percent ?? 0} %</progress>`;
}

/** Set the title of the window. */
export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${title} · videoanalysis` : "videoanalysis";
  }, [title]);
}
