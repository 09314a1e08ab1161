/**
 * One stream of changes for all tabs of this browser.
 *
 * Browsers open six connections to a service, so one tab holds the stream (by a Web Lock) and tells the others (by a
 * BroadcastChannel). Without Web Locks, which need https or localhost, each visible tab holds its own. It is read
 * with fetch, not EventSource: that shows neither comments, by which a dead connection is noticed, nor why the
 * service refuses.
 */
import { ROOT, request } from "./api.js";
import { signal } from "./preact.js";
import { Backoff } from "./reading.js";

const SILENCE = 45_000; // ms without even a comment, which comes every 15 s, after which the connection is dead
const DOUBTFUL = 20_000; // ms of silence after which a computer that woke up connects again
const RETRY = 2_000; // ms
const MOST_RETRY = 10_000; // ms
const NAME = `videoanalysis:${ROOT.pathname}`;

/**
 * Whether this browser hears of changes: "connecting", "open", "lost" or "refused" (a key is needed). `since`: when
 * that began. `newest`: when something was heard last. Both in milliseconds since 1970; `problem` says why not.
 */
export const connection = signal({ state: "connecting", since: Date.now(), newest: null, problem: null });

const listeners = new Set();
const channel = new BroadcastChannel(NAME);
let started = null; // AbortController of the whole, while started
let attempt = null; // AbortController of the connection, in the tab that holds it
let wakeUp = () => {};
let lastId = null;

/**
 * Call `fn(kind, data)` for each change: kind is "scenario", "source", "event", "progress" or "batch" with the data of GET
 * /stream, or "resync" without data: changes may have been missed, so read again what is shown. Returns a function
 * that ends this.
 */
export function onChange(fn) {
  listeners.add(fn);
  return () => listeners.delete(fn);
}

/** Begin to listen. Does nothing if it has begun. */
export function startStream() {
  if (started) return;
  const own = (started = new AbortController());
  lastId = null;
  setConnection({ state: "connecting", problem: null });
  channel.postMessage({ hello: true });
  if (navigator.locks) {
    navigator.locks.request(NAME, { signal: own.signal }, () => hold(own.signal)).catch(() => {});
  } else {
    hold(own.signal);
  }
}

/** End listening, as after logging out. */
export function stopStream() {
  started?.abort();
  attempt?.abort();
  wakeUp();
  started = null;
  setConnection({ state: "closed", problem: null });
}

function setConnection(change, isTold = false) {
  const old = connection.value;
  const since = change.state === old.state ? old.since : Date.now();
  connection.value = { ...old, since, ...change };
  if (isTold) channel.postMessage({ connection: connection.value });
}

function fire(changes) {
  for (const [kind, data] of changes) {
    for (const fn of [...listeners]) {
      try {
        fn(kind, data);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

function tell(changes) {
  fire(changes);
  if (navigator.locks) channel.postMessage({ changes, lastId });
}

channel.onmessage = ({ data }) => {
  if (!started) return;
  if (data.changes) {
    lastId = data.lastId;
    connection.value = { ...connection.value, newest: Date.now() };
    fire(data.changes);
  } else if (data.connection) {
    connection.value = data.connection;
  } else if (data.hello && attempt) {
    channel.postMessage({ connection: connection.value });
  } else if (data.wake && attempt) {
    wake();
  }
};

/** Hold the stream until this tab ends: connect again whenever the connection is lost. */
async function hold(stopped) {
  const backoff = new Backoff(RETRY, MOST_RETRY);
  let hasMissed = lastId !== null; // another tab held it before
  while (!stopped.aborted) {
    attempt = new AbortController();
    if (!navigator.locks && document.hidden) {
      await pause(Infinity);
      hasMissed = true;
      continue;
    }
    try {
      await read(attempt, () => {
        backoff.reset();
        setConnection({ state: "open", newest: Date.now(), problem: null }, true);
        if (hasMissed) tell([["resync", null]]);
      });
      setConnection({ state: "lost", problem: null }, true); // the service ended it, as when it stops
    } catch (problem) {
      if (stopped.aborted) break;
      if (problem.status === 410 || problem.status === 400) lastId = null; // too old: begin with now
      const state = problem.status === 401 || problem.status === 403 ? "refused" : "lost";
      setConnection({ state, problem: problem.status ? problem : null }, true);
    }
    hasMissed = true;
    await pause(backoff.next());
  }
  if (!started || started.signal === stopped) attempt = null;
}

/** Read one connection until it ends. Throws Problem, or AbortError if it fell silent. */
async function read(controller, opened) {
  let heard = Date.now();
  const watchdog = setInterval(() => {
    if (Date.now() - heard > SILENCE) controller.abort();
  }, 5_000);
  controller.heardAt = () => heard;
  try {
    const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
    const response = await request("GET", "stream", { headers, signal: controller.signal, isEndless: true });
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard = Date.now();
      connection.value = { ...connection.value, newest: heard };
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      const changes = parts.map(parse).filter(Boolean);
      if (changes.length) tell(changes);
    }
  } finally {
    clearInterval(watchdog);
  }
}

function parse(text) {
  let kind = null;
  let data = null;
  for (const line of text.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data = line.slice(6);
    else if (line.startsWith("id: ")) lastId = line.slice(4);
  }
  return kind && data ? [kind, JSON.parse(data)] : null;
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    wakeUp = resolve;
    if (milliseconds !== Infinity) setTimeout(resolve, milliseconds);
  });
}

/** Connect now if the connection is lost, or if it may have died while the computer slept. */
function wake() {
  if (!attempt) {
    channel.postMessage({ wake: true });
  } else if (connection.value.state !== "open") {
    wakeUp();
  } else if (Date.now() - (attempt.heardAt?.() ?? 0) > DOUBTFUL) {
    attempt.abort();
    wakeUp();
  }
}

let ticked = Date.now();
setInterval(() => {
  const slept = Date.now() - ticked > 30_000; // timers of hidden tabs are slow, so only visible ones count
  ticked = Date.now();
  if (slept && !document.hidden) wake();
}, 5_000);
addEventListener("online", wake);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) wake();
  else if (!navigator.locks) attempt?.abort();
});
