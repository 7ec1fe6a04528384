/** Small tools for the document: elements, painting once a frame, notes to the user. */

export const byId = (id) => document.getElementById(id);

/** An element with a class, and children or text. */
export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Sets text only where it changed, and within its node: the rest of the page needs no layout. */
export function write(target, text) {
  const node = target.firstChild;
  if (!node) target.textContent = text;
  else if (node.data !== text) node.data = text;
}

const PAINT_MS = 100; // more often nobody can read, and each time costs a layout
const waiting = new Set();
let paintedAt = 0;

/**
 * Calls `paint` before one of the next frames, once however often it is asked for until then. It is not called within
 * the frame: the chart draws in the frame after it was told, and so that is the same one and not another.
 */
export function paintSoon(paint) {
  if (!waiting.size) setTimeout(paintSeen, paintedAt + PAINT_MS - performance.now());
  waiting.add(paint);
}

/** While nobody looks there are no frames, and nothing is painted. */
function paintSeen() {
  if (document.hidden) requestAnimationFrame(paintAll);
  else paintAll();
}

function paintAll() {
  paintedAt = performance.now();
  const paints = [...waiting];
  waiting.clear();
  for (const paint of paints) paint();
}

/** Shows a sentence for a few seconds. */
export function note(text, { bad = false } = {}) {
  const shown = element("div", bad ? "note bad" : "note", text);
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), 6_000);
}

/** A colour of the style sheet as the browser resolved it: dark or light. */
export function colour(name) {
  const probe = byId("probe");
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
