/** Document helpers: elements, painting once a frame, notes and questions to the user. */

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

/** Sets an attribute only where it changed; null takes it away. */
export function put(target, name, value) {
  if (value === null) target.removeAttribute(name);
  else if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

const turnOf = (ms) => ({ ms, at: -Infinity, paints: new Set() });
const soon = turnOf(100); // faster is not readable, and each time costs a layout
const calm = turnOf(200); // what moves as a whole, and costs the most
const TOGETHER_MS = 50; // what is due so soon after the other is painted with it: each frame has a cost of its own
let timer;
let timerAt = Infinity;

/**
 * Calls `paint` once before one of the next frames, however often it was requested; the first time after a pause at once.
 * It runs outside the frame: the chart draws in the frame after a change, so both are painted in the same frame.
 */
export const paintSoon = (paint) => request(soon, paint);

/** The same, half as often. */
export const paintCalmly = (paint) => request(calm, paint);

function request(turn, paint) {
  turn.paints.add(paint);
  waitFor(turn);
}

function waitFor({ at, ms }) {
  if (at + ms >= timerAt) return;
  clearTimeout(timer);
  timerAt = at + ms;
  timer = setTimeout(paintSeen, timerAt - performance.now());
}

/** While the page is hidden there are no frames, and nothing is painted. */
function paintSeen() {
  if (document.hidden) requestAnimationFrame(paintDue);
  else paintDue();
}

function paintDue() {
  const now = performance.now();
  timerAt = Infinity;
  const due = [soon, calm].filter(({ at, ms, paints }) => paints.size && at + ms <= now + TOGETHER_MS);
  const paints = due.flatMap((turn) => [...turn.paints]);
  for (const turn of due) {
    turn.at = now;
    turn.paints.clear();
  }
  for (const paint of paints) paint();
  for (const turn of [soon, calm]) if (turn.paints.size) waitFor(turn);
}

let draws;

/** Resolves when the first chart is drawn, or is not after all: what it does not need waits until then. */
export const firstDrawn = new Promise((resolve) => (draws = resolve));

/** The first chart is drawn with the next frame, and seen with the one after; a hidden page has none. */
export function drawsFirst() {
  if (document.hidden) draws();
  else requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(draws)));
}

const NOTE_MS = 6_000;
const ACTION_MS = 20_000; // time to read it, and to reach the button

/** Shows a sentence for a while; with `action`, `{ text, run }`, a button beside it. `about` is for operators. */
export function note(text, { bad = false, action = null, about = "" } = {}) {
  const shown = element("div", bad ? "note bad" : "note", element("span", "", text));
  shown.title = about;
  if (action) {
    const button = element("button", "", action.text);
    button.onclick = () => {
      shown.remove();
      action.run();
    };
    shown.append(button);
  }
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), action ? ACTION_MS : NOTE_MS);
}

/** Shows what an error says to the viewer; its text for operators is in the tooltip. */
export const noteError = (error) => note(error.message, { bad: true, about: error.detail ?? "" });

/** Whether the user agrees to `action` in a dialog; Escape, and whatever else closes it, is a no. */
export function agreed({ title, text, action }) {
  const question = byId("question");
  write(byId("question-title"), title);
  write(byId("question-text"), text);
  write(byId("question-yes"), action);
  question.returnValue = "";
  question.showModal();
  return new Promise((resolve) => {
    question.onclose = () => resolve(question.returnValue === "yes");
  });
}

/** A colour of the style sheet as the browser resolved it: dark or light. */
export function colour(name) {
  const probe = byId("probe");
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

/** Several colours by their names, for one computation of the page's styles. */
export function coloursOf(names) {
  const probes = names.map((name) => {
    const probe = element("i");
    probe.style.color = `var(--${name})`;
    return probe;
  });
  byId("probe").replaceChildren(...probes);
  const found = Object.fromEntries(probes.map((probe, index) => [names[index], getComputedStyle(probe).color]));
  byId("probe").replaceChildren();
  return found;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** An entry of a list, with a cross that removes it. */
export function removable(text, drop) {
  const cross = Object.assign(element("button", "", "×"), { type: "button", onclick: drop });
  cross.setAttribute("aria-label", `remove ${text}`);
  return element("li", "", element("span", "", text), cross);
}
