/** Read from the API in a component, and read again when something changes. */
import { get, url } from "./api.js";
import { useEffect, useRef, useState } from "./preact.js";
import { Repeater } from "./reading.js";
import { onChange } from "./stream.js";

/**
 * Return `{data, problem, isLoading, reload}` of a path; `path` null reads nothing. What was read stays while it is
 * read again, so that nothing jumps. It is read again after a lost connection, whenever `on(kind, data)` returns true
 * for a change of the stream, when `version` changes, and, while the page is visible, every so many milliseconds:
 * `every`, if it is given. Reads never overlap, and are at least a second apart.
 * @param {string | null} path
 * @param {Record<string, unknown>} [params]
 * @param {{on?: (kind: string, data: any) => boolean, version?: unknown, every?: number | null}} [options]
 */
export function useGet(path, params = {}, { on, version, every = null } = {}) {
  const key = path === null ? null : url(path, params);
  const [state, setState] = useState({ key: null, data: null, problem: null });

  const repeater = useRepeater(
    async (signal) => {
      if (key === null) return;
      try {
        const data = await get(path, params, { signal });
        setState({ key, data, problem: null });
      } catch (problem) {
        if (problem.name !== "AbortError") setState((old) => ({ key, data: old.data, problem }));
        throw problem;
      }
    },
    key,
    { on, version, every },
  );
  const isCurrent = state.key === key;
  return {
    data: state.data,
    problem: isCurrent ? state.problem : null,
    isLoading: key !== null && !isCurrent,
    reload: () => repeater.now(),
  };
}

/**
 * Return the Repeater that calls `read(signal)`: at once and when `key` changes, and in a while for the reasons that
 * useGet names. A hidden page waits until it is visible.
 */
export function useRepeater(read, key, { on, version, every = null } = {}) {
  const present = useRef({});
  present.current = { read, on };
  const repeater = useRef(null);
  repeater.current ??= new Repeater((signal) => present.current.read(signal));
  const own = repeater.current;

  useEffect(() => {
    own.now();
  }, [key]);
  const known = useRef(version);
  useEffect(() => {
    if (known.current !== version) own.ask();
    known.current = version;
  }, [version]);
  useEffect(() => {
    let isLate = false;
    const ask = (isBack) => {
      isLate = document.hidden;
      if (!isLate) own.ask(isBack);
    };
    const seen = () => isLate && ask(false);
    const end = onChange((kind, data) => {
      if (kind === "resync" || present.current.on?.(kind, data)) ask(kind === "resync");
    });
    document.addEventListener("visibilitychange", seen);
    return () => {
      end();
      document.removeEventListener("visibilitychange", seen);
      own.end();
    };
  }, []);
  useEffect(() => {
    if (every === null) return undefined;
    const timer = setInterval(() => !document.hidden && own.ask(), every);
    return () => clearInterval(timer);
  }, [every]);
  return own;
}
