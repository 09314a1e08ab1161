/** Pictures of the API, decoded. Those who fetch them tell users the sentence of the Problem that is thrown. */
import { Problem, request } from "../../lib/api.js";

/**
 * Return the picture at a path, with the frame and the time that its headers tell, or null if there is no later
 * one. The caller closes `bitmap`. Throws Problem.
 * @returns {Promise<{bitmap: ImageBitmap, frame: number|null, time: number|null}|null>}
 */
export async function fetchPicture(path, params = {}, signal = undefined) {
  const response = await request("GET", path, { params, signal });
  if (response.status === 204) return null;
  const number = (name) => (response.headers.has(name) ? Number(response.headers.get(name)) : null);
  try {
    const bitmap = await createImageBitmap(await response.blob());
    return { bitmap, frame: number("Frame-Number"), time: number("Frame-Time") };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, detail: "The picture did not arrive whole. Try again in a moment." });
  }
}

/** Return null if the recording at a path can be fetched, otherwise the sentence that says why not. */
export async function refusalOf(path) {
  try {
    await request("GET", path, { headers: { Range: "bytes=0-0" } });
    return null;
  } catch (problem) {
    return problem.sentence;
  }
}

/** Draw a picture over a whole canvas, which takes its size; without a picture the canvas is empty. */
export function paint(canvas, bitmap) {
  canvas.width = bitmap?.width ?? 16;
  canvas.height = bitmap?.height ?? 9;
  if (bitmap) canvas.getContext("2d").drawImage(bitmap, 0, 0);
}
