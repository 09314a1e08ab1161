// Send a recording to the media folder, with progress. fetch() tells no progress of what is sent.

import { Problem, problemOf, url } from "../../lib/api.js";

const LOST = "The upload ended, because the connection was lost. Check the network, and upload the file again.";

/**
 * Send a file. Throws Problem, or AbortError if `signal` ends it.
 * @param {File} file
 * @param {string} name the file's name in the folder of uploads
 * @param {{onProgress: (sent: number, total: number) => void, signal: AbortSignal}} options
 * @returns {Promise<any>} the API's answer
 */
export function upload(file, name, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url(`media/uploads/${encodeURIComponent(name)}`));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total || file.size));
    request.addEventListener("load", () => {
      if (request.status >= 400) reject(problemOf(request.status, request.responseText));
      else resolve(request.responseText ? JSON.parse(request.responseText) : null);
    });
    request.addEventListener("error", () => reject(new Problem({ status: 0, detail: LOST })));
    request.addEventListener("abort", () => reject(new DOMException("The upload was cancelled.", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
