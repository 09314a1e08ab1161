/** Log in with a key, for those who are not on the service's machine. */
import { ProblemSentence, useTitle } from "../components/basics.js";
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { go, link } from "../lib/router.js";
import { logIn, session } from "../lib/session.js";

export const styles = ["login"];

export default function Login({ query }) {
  useTitle("Log in");
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const field = useRef(null);
  const next = query.next?.startsWith("#/") ? query.next : link("");
  const { role, hasExpired } = session.value;

  useEffect(() => {
    if (role !== null) go(next, { replace: true });
    else field.current?.focus();
  }, [role]);

  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await logIn(field.current.value.trim());
    } catch (error) {
      setProblem(error);
      setBusy(false);
      field.current.select();
    }
  };
  return html`<form class="login stack" onSubmit=${submit}>
    <h1>videoanalysis</h1>
    ${hasExpired && !problem && html`<p class="note">The session has ended. Log in again to go on.</p>`}
    <div class="field">
      <label for="key">Key</label>
      <input
        id="key"
        ref=${field}
        type="password"
        autocomplete="current-password"
        required
        aria-invalid=${problem ? "true" : null}
        aria-describedby="key-hint"
      />
      <span class="hint" id="key-hint">
        One of the keys of VA_API_KEYS, which may do everything, or of VA_VIEWER_KEYS, which may look. Whoever runs the
        service has them.
      </span>
    </div>
    <${ProblemSentence} problem=${problem} />
    <div class="row"><button class="primary" disabled=${isBusy}>${isBusy ? "Logging in…" : "Log in"}</button></div>
  </form>`;
}
