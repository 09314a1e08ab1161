/** Times of a video as text: seconds from its beginning, or the time of day of a live source. */
import { duration, fullTime, toDate } from "../../lib/format.js";

/** Return a moment with milliseconds, and of a live source with date and zone. */
export function momentText(time, isDated) {
  if (!isDated) return duration(time, 3);
  const tenths = Math.floor((time % 1) * 10);
  return fullTime(time).replace(/(:\d\d:\d\d)/, `$1.${tenths}`);
}

/** Return a function that names ticks which are `step` seconds from each other. */
export function tickTextOf(isDated, step) {
  if (!isDated) return (time) => duration(time, step < 1 ? 1 : 0);
  const day = { day: "numeric", month: "short" };
  const clock = { hour: "2-digit", minute: "2-digit", ...(step < 60 && { second: "2-digit" }) };
  const [days, times] = [day, clock].map((each) => new Intl.DateTimeFormat(undefined, each));
  return (time) => {
    const date = toDate(time);
    const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    return (isMidnight && step >= 60 ? days : times).format(date);
  };
}
