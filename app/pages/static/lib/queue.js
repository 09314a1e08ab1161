/** At most a few requests at once, so that pictures never hold all connections that a browser opens. */

/** Return `run(work)`, which calls at most `most` of the async functions `work` at once, oldest first. */
export function limited(most) {
  let running = 0;
  const waiting = [];
  const next = () => {
    running -= 1;
    waiting.shift()?.();
  };
  return async (work) => {
    if (running >= most) await new Promise((resolve) => waiting.push(resolve));
    running += 1;
    try {
      return await work();
    } finally {
      next();
    }
  };
}

/** The queue of all pictures of a page. */
export const pictureQueue = limited(3);
