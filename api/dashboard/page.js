/** Document helpers: elements, painting once a frame, notes to the user. */

export const byId = (id) => document.getElementById(id);

/** An element with a class, and children or text. */
export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Sets text only where it changed, in the existing text node: the rest of the page needs no layout. */
export function write(target, text) {
  const node = target.firstChild;
  if (!node) target.textContent = text;
  else if (node.data !== text) node.data = text;
}

const PAINT_MS = 100; // faster is not readable, and each time costs a layout
const waiting = new Set();
let paintedAt = 0;

/**
 * Calls `paint` once before one of the next frames, however often it was requested. It runs outside the frame: the
 * chart draws in the frame after a change, so both are painted in the same frame.
 */
export function paintSoon(paint) {
  if (!waiting.size) setTimeout(paintSeen, paintedAt + PAINT_MS - performance.now());
  waiting.add(paint);
}

/** While the page is hidden there are no frames, and nothing is painted. */
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
