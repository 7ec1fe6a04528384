/**
 * Dragging a line of the list: into a group beside it, or to another place of the shown group; a finger rests on it first. Keys do the
 * same: ▤, and Alt with the arrows.
 */

import { byId, element } from "../page.js";

const MOVED_PX = 6; // less is a click
const EDGE_PX = 28; // of the list: there it is scrolled
const SCROLL_PX = 12;
const BESIDE_PX = 8;
const AFTER_CLICK_MS = 50; // of a finger it comes a little after the release
const REST_MS = 400; // of a finger: one that moves earlier scrolls

export class Drag {
  #list;
  #on;
  #held = null; // `{ record, line, x, y, isTouch, isMoving, hasMoved }`
  #rests; // the timer of a finger
  #targets = byId("drop-groups");
  #target = null; // the element that is marked

  /**
   * `on.recordOf(line)`; `on.groups()` are the names of the viewer's groups, `on.group()` is the one that is shown, "" for none;
   * `on.put(record, name)` into one, `on.make(record, element)` into a new one; `on.place(record, before)` of the shown one,
   * before another record, at the end for null. `on.isStrip()`: lines stand beside each other.
   */
  constructor(list, on) {
    this.#list = list;
    this.#on = on;
    list.addEventListener("pointerdown", (event) => this.#press(event));
    list.addEventListener("pointermove", (event) => this.#move(event));
    list.addEventListener("pointerup", (event) => this.#release(event));
    list.addEventListener("pointercancel", () => this.#end());
    // a finger that holds a line neither scrolls the list nor opens a menu
    list.addEventListener("touchmove", (event) => this.#held?.isMoving && event.cancelable && event.preventDefault(), { passive: false });
    list.addEventListener("contextmenu", (event) => this.#held?.isTouch && event.preventDefault());
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#held?.isMoving) return;
      event.stopPropagation();
      this.#end();
    }, { capture: true });
  }

  #press(event) {
    const line = event.target.closest("#prices li");
    if (!line || event.button !== 0 || !event.isPrimary || event.target.closest("button")) return;
    const { clientX: x, clientY: y, pointerId } = event, isTouch = event.pointerType === "touch";
    this.#end();
    this.#held = { record: this.#on.recordOf(line), line, x, y, isTouch, isMoving: false, hasMoved: false };
    if (isTouch) this.#rests = setTimeout(() => this.#begin({ clientX: x, clientY: y, pointerId }), REST_MS);
  }

  #move(event) {
    const held = this.#held;
    if (!held) return;
    if (!(event.buttons & 1)) return this.#end();
    if (!held.hasMoved && Math.hypot(event.clientX - held.x, event.clientY - held.y) < MOVED_PX) return;
    if (held.isTouch && !held.isMoving) return this.#end();
    if (!held.isMoving) this.#begin(event);
    held.hasMoved = true;
    this.#scroll(event);
    this.#mark(this.#targetOf(event));
  }

  #begin(event) {
    this.#held.isMoving = true;
    this.#list.setPointerCapture(event.pointerId);
    document.body.classList.add("dragging");
    const names = this.#on.groups().filter((name) => name !== this.#on.group());
    const rows = names.map((name) => {
      const row = element("li", "", name);
      row.dataset.group = name;
      return row;
    });
    const more = element("li", "more", "New group…");
    this.#targets.replaceChildren(element("li", "head", this.#held.record.symbol), ...rows, more);
    this.#targets.hidden = false;
    const { right, bottom } = this.#list.getBoundingClientRect(), { style, offsetWidth, offsetHeight } = this.#targets;
    const [left, top] = this.#on.isStrip() ? [event.clientX - offsetWidth / 2, bottom + BESIDE_PX] : [right + BESIDE_PX, event.clientY];
    style.left = `${Math.max(BESIDE_PX, Math.min(left, innerWidth - offsetWidth - BESIDE_PX))}px`;
    style.top = `${Math.max(BESIDE_PX, Math.min(top, innerHeight - offsetHeight - BESIDE_PX))}px`;
  }

  /** `{ element, drop }` of what is at the pointer; null where nothing is done with the line. */
  #targetOf({ clientX, clientY }) {
    const found = document.elementFromPoint(clientX, clientY), { record, line: held } = this.#held;
    const group = found?.closest("#drop-groups li:not(.head)");
    if (group) {
      const { group: name } = group.dataset;
      return { element: group, mark: "target", drop: () => (name === undefined ? this.#on.make(record, held) : this.#on.put(record, name)) };
    }
    if (!this.#on.group() || !found?.closest("#list")) return null;
    const line = found.closest("#prices li");
    if (!line) return { element: this.#list.querySelector("#prices"), mark: "end", drop: () => this.#on.place(record, null) };
    const other = this.#on.recordOf(line);
    if (other === record) return null;
    const { left, top, width, height } = line.getBoundingClientRect();
    const isAfter = this.#on.isStrip() ? clientX > left + width / 2 : clientY > top + height / 2;
    return { element: line, mark: isAfter ? "after" : "before", drop: () => this.#on.place(record, other, isAfter) };
  }

  #mark(target) {
    if (this.#target) this.#target.element.classList.remove(this.#target.mark);
    this.#target = target;
    target?.element.classList.add(target.mark);
  }

  #scroll({ clientX, clientY }) {
    const { left, right, top, bottom } = this.#list.getBoundingClientRect();
    const isStrip = this.#on.isStrip();
    const [at, first, last] = isStrip ? [clientX, left, right] : [clientY, top, bottom];
    if (isStrip && clientY > bottom) return; // on its way to the groups
    const by = at < first + EDGE_PX ? -SCROLL_PX : at > last - EDGE_PX ? SCROLL_PX : 0;
    if (by) this.#list.scrollBy(isStrip ? { left: by } : { top: by });
  }

  #release(event) {
    if (!this.#held?.isMoving) return this.#end();
    const { record, line, hasMoved } = this.#held;
    const drop = hasMoved ? this.#targetOf(event)?.drop : () => this.#on.make(record, line); // a finger that only rested
    dropNextClick();
    this.#end();
    if (drop) setTimeout(drop, AFTER_CLICK_MS); // a dialog that opens within a release would close with it
  }

  #end() {
    clearTimeout(this.#rests);
    this.#held = null;
    this.#mark(null);
    this.#targets.hidden = true;
    document.body.classList.remove("dragging");
  }
}

/** A link that was dragged is not followed. */
function dropNextClick() {
  const drop = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener("click", drop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", drop, { capture: true }), AFTER_CLICK_MS);
}
