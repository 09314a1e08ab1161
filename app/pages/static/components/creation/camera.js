// A camera as the source: address, user and password.

import { html } from "../../lib/preact.js";
import { splitLogin, takesFingerprint } from "./address.js";
import { TextField } from "./fields.js";

/**
 * @param {{camera: object, onChange: (camera: object) => void, problem: any}} props
 */
export function CameraForm({ camera, onChange, problem }) {
  const set = (change) => onChange({ ...camera, ...change });
  const split = (address) => set(splitLogin(address) ?? { address });
  // While one types, a password with "@" is not complete at its first one.
  const takeAddress = (address) => (Math.abs(address.length - camera.address.length) > 1 ? split(address) : set({ address }));
  return html`<div class="fields">
    <${TextField}
      label="Address"
      field="source"
      problem=${problem}
      value=${camera.address}
      onInput=${takeAddress}
      onChange=${(event) => split(event.currentTarget.value)}
      placeholder="rtsp://192.168.1.20/stream"
      inputmode="url"
      hint="RTSP over TCP (rtsp://, rtsps://), or MJPEG, a snapshot or HLS over http:// or https://. The
        camera's manual or its web page has it."
    />
    <div class="row">
      <${TextField} label="User" value=${camera.user} onInput=${(user) => set({ user })} autocomplete="off" />
      <${TextField}
        label="Password"
        type="password"
        value=${camera.password}
        onInput=${(password) => set({ password })}
        autocomplete="new-password"
      />
    </div>
    <p class="hint">
      Write user and password as they are. Special characters are encoded for you, and nobody is shown them later.
    </p>
    ${takesFingerprint(camera.address) &&
    html`<${TextField}
      label="Certificate's fingerprint (SHA-256)"
      value=${camera.fingerprint}
      onInput=${(fingerprint) => set({ fingerprint })}
      placeholder="9F:86:…"
      hint="Only if the camera made its certificate itself."
    />`}
  </div>`;
}
