/** Who looks: what the service lets this browser do. */
import { del, get, onProblem, post } from "./api.js";
import { signal } from "./preact.js";

/**
 * `role`: "admin", "viewer", or null if a key is needed. `isKnown`: the service has answered. `hasCookie`: logged in
 * with a key, so that logging out is possible. `hasExpired`: it was logged in until a request was refused.
 */
export const session = signal({ role: null, isKnown: false, hasCookie: false, hasExpired: false });

/** What the present user may do. A control that would be refused is not shown. */
export const can = {
  /** Create, change, stop and delete; see media and deliveries. */
  get write() {
    return session.value.role === "admin";
  },
};

/** Ask the service who we are. Throws Problem if it does not answer. */
export async function loadSession() {
  const { access, expires_at } = await get("session");
  const role = access === "none" ? null : access;
  session.value = { role, isKnown: true, hasCookie: expires_at !== null, hasExpired: false };
}

/** Exchange a key for a cookie. Throws Problem: its sentence says what is wrong with the key. */
export async function logIn(key) {
  await post("session", { key });
  await loadSession();
}

/** Forget the cookie. */
export async function logOut() {
  await del("session");
  await loadSession();
}

onProblem((problem) => {
  if (problem.status === 401 && session.value.role !== null) {
    session.value = { role: null, isKnown: true, hasCookie: false, hasExpired: true };
  }
});
