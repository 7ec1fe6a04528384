/** Cells that are lit for a moment; without animations, which would cost a paint each frame. */

import { paintSoon, put } from "../page.js";

const FLASH_MS = 450;
const lit = new Map(); // cells, with the time when they go out
let isWaiting = false;

/** Lights a cell, `up` or `down`; "" puts it out. */
export function flash(cell, way) {
  put(cell, "data-flash", way || null);
  if (!way) return lit.delete(cell);
  lit.set(cell, performance.now() + FLASH_MS);
  waitForNext(FLASH_MS);
}

function waitForNext(ms) {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => paintSoon(putOut), ms); // with what else is painted: a frame of its own costs as much as a busy one
}

function putOut() {
  const now = performance.now();
  for (const [cell, until] of lit) {
    if (until > now) continue;
    put(cell, "data-flash", null);
    lit.delete(cell);
  }
  isWaiting = false;
  if (lit.size) waitForNext(Math.min(...lit.values()) - now);
}
