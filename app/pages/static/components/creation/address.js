// Addresses of cameras: user name and password are percent-encoded for the user.

/** Return `text` percent-encoded for the login of a URL. */
function encode(text) {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Return `text` percent-decoded, or as it is if it is not encoded. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Return the source of a camera.
 * @param {{address: string, user: string, password: string, fingerprint: string}} camera
 */
export function sourceOf({ address, user, password, fingerprint }) {
  let text = address.trim();
  if (!text) return "";
  if (!text.includes("://") && !/^(test|scenario):/i.test(text)) text = `rtsp://${text}`;
  if (user || password) {
    const login = password ? `${encode(user)}:${encode(password)}` : encode(user);
    text = text.replace("://", () => `://${login}@`);
  }
  const print = fingerprint.trim();
  return takesFingerprint(text) && print && !text.includes("#") ? `${text}#sha256=${print}` : text;
}

/** Return whether the certificate of this address can be named by its fingerprint. */
export function takesFingerprint(address) {
  return /^https:\/\//i.test(address.trim());
}

/**
 * Return the parts of a pasted address with a login, or null if it has none.
 *
 * A login ends at the last "@" before the host's end. Cameras' addresses are often written with a password that is not
 * encoded: if it has "/", "?" or "#", it ends before what looks like a host, unless the host before is one with a port.
 */
export function splitLogin(address) {
  const [, scheme, text] = /^([a-z][a-z0-9+.-]*:\/\/)(.*)$/i.exec(address.trim()) ?? [];
  if (text === undefined) return null;
  const authority = /^[^/?#]*/.exec(text)[0];
  let end = authority.lastIndexOf("@");
  if (end < 0 && /^[^:[]+:(?!\d*$)/.test(authority)) end = text.search(/@(\[[^\]@/]+\]|[\w.-]+)(:\d+)?([/?#]|$)/i);
  if (end < 0) return null;
  const login = text.slice(0, end);
  const colon = login.indexOf(":");
  const user = colon < 0 ? login : login.slice(0, colon);
  const password = colon < 0 ? "" : login.slice(colon + 1);
  return { address: scheme + text.slice(end + 1), user: decode(user), password: decode(password) };
}
