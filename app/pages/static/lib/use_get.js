/** Read from the API in a component, and read again when something changes. */
import { get, url } from "./api.js";
import { useEffect, useRef, useState } from "./preact.js";
import { onChange } from "./stream.js";

const LEAST_INTERVAL = 1_000; // ms between reads that changes cause

/**
 * Return `{data, problem, isLoading, reload}` of a path; `path` null reads nothing. What was read stays while it is
 * read again, so that nothing jumps. It is read again after a lost connection, and whenever `on(kind, data)` returns
 * true for a change of the stream, at most once a second.
 * @param {string | null} path
 * @param {Record<string, unknown>} [params]
 * @param {{on?: (kind: string, data: any) => boolean}} [options]
 */
export function useGet(path, params = {}, { on } = {}) {
  const key = path === null ? null : url(path, params);
  const [state, setState] = useState({ key: null, data: null, problem: null });
  const [version, setVersion] = useState(0);
  const filter = useRef(on);
  filter.current = on;

  useEffect(() => {
    if (key === null) return undefined;
    const aborter = new AbortController();
    get(path, params, { signal: aborter.signal }).then(
      (data) => setState({ key, data, problem: null }),
      (problem) => {
        if (problem.name !== "AbortError") setState((old) => ({ key, data: old.data, problem }));
      },
    );
    return () => aborter.abort();
  }, [key, version]);

  useEffect(() => {
    let timer = null;
    let readAt = 0;
    const read = () => {
      timer = null;
      readAt = Date.now();
      setVersion((old) => old + 1);
    };
    const end = onChange((kind, data) => {
      if (kind !== "resync" && !filter.current?.(kind, data)) return;
      if (timer === null) timer = setTimeout(read, Math.max(0, readAt + LEAST_INTERVAL - Date.now()));
    });
    return () => {
      end();
      clearTimeout(timer);
    };
  }, []);

  const isCurrent = state.key === key;
  return {
    data: state.data,
    problem: isCurrent ? state.problem : null,
    isLoading: key !== null && !isCurrent,
    reload: () => setVersion((old) => old + 1),
  };
}

/** Call `reload` every `milliseconds` while the page is visible: for what the stream does not tell. */
export function useRepeated(reload, milliseconds) {
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), milliseconds);
    return () => clearInterval(timer);
  }, []);
}
