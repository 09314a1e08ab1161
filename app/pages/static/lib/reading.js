/** Reads that are repeated: one at a time, and slower while they take long or fail. No DOM but timers. */

const LEAST_PAUSE = 1_000; // ms between two reads
const FIRST_DELAY = 2_000; // ms after a first failure
const MOST_DELAY = 30_000;

/** Delays between tries that fail: each twice as long as the one before, up to `most`. In milliseconds. */
export class Backoff {
  constructor(least = FIRST_DELAY, most = MOST_DELAY) {
    Object.assign(this, { least, most });
    this.reset();
  }

  /** Return how long to wait before the next try. */
  next() {
    const delay = this.delay;
    this.delay = Math.min(2 * delay, this.most);
    return delay;
  }

  /** Begin anew, after a success. */
  reset() {
    this.delay = this.least;
  }
}

/** Whether the service may answer otherwise in a moment: it is away, busy or has a fault. */
export const isPassing = (problem) =>
  problem.status === 0 || problem.status === 408 || problem.status === 429 || problem.status >= 500;

/**
 * Calls `read(signal)`, an async function, whenever it is asked to.
 *
 * What is asked for during a read is read once after it, so reads never overlap. Between two reads it pauses as long
 * as the last one took, so that a slow service is never kept busy by one page. If a read throws a Problem that may
 * pass, it is repeated after a backoff.
 */
export class Repeater {
  constructor(read) {
    this.read = read;
    this.backoff = new Backoff();
    this.running = null; // AbortController of the read that goes on
    this.isAsked = false; // another time, after the read that goes on
    this.timer = null;
    this.notBefore = 0;
    this.isEnded = false;
  }

  /** Read soon. `isBack`: the service answers again, so a backoff is over. */
  ask(isBack = false) {
    if (this.isEnded) return;
    if (isBack) this.forgetDelays();
    if (this.running) this.isAsked = true;
    else this.timer ??= setTimeout(() => this.now(), Math.max(0, this.notBefore - Date.now()));
  }

  /** Read at once, as a user asks. A read that goes on is given up. */
  async now() {
    if (this.isEnded) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.isAsked = false;
    this.running?.abort();
    const own = (this.running = new AbortController());
    const began = Date.now();
    let problem = null;
    try {
      await this.read(own.signal);
    } catch (error) {
      problem = error;
    }
    if (this.running !== own) return;
    this.running = null;
    if (problem === null) this.backoff.reset();
    const pause = problem === null ? LEAST_PAUSE : this.backoff.next();
    this.notBefore = Date.now() + Math.max(pause, Math.min(Date.now() - began, MOST_DELAY));
    if (this.isAsked || (problem !== null && isPassing(problem))) this.ask();
  }

  forgetDelays() {
    this.backoff.reset();
    this.notBefore = 0;
    clearTimeout(this.timer);
    this.timer = null;
  }

  /** Read no more. */
  end() {
    this.isEnded = true;
    clearTimeout(this.timer);
    this.running?.abort();
  }
}
