/** Dragging a line of the list: into a group beside it, or to another place of the shown group. Keys do the same: ▤, and Alt with the arrows. */

import { byId, element } from "../page.js";

const MOVED_PX = 6; // less is a click
const EDGE_PX = 28; // of the list: there it is scrolled
const SCROLL_PX = 12;
const BESIDE_PX = 8;

export class Drag {
  #list;
  #on;
  #held = null; // `{ record, x, y, isMoving }`
  #targets = byId("drop-groups");
  #target = null; // the element that is marked

  /**
   * `on.recordOf(line)`; `on.groups()` are the names of the viewer's groups, `on.group()` is the one that is shown, "" for none;
   * `on.put(record, name)` into one, `on.make(record, element)` into a new one; `on.place(record, before)` of the shown one,
   * before another record, at the end for null. `on.isFixed()`: lines are not dragged now.
   */
  constructor(list, on) {
    this.#list = list;
    this.#on = on;
    list.addEventListener("pointerdown", (event) => this.#press(event));
    list.addEventListener("pointermove", (event) => this.#move(event));
    list.addEventListener("pointerup", (event) => this.#release(event));
    list.addEventListener("pointercancel", () => this.#end());
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#held?.isMoving) return;
      event.stopPropagation();
      this.#end();
    }, { capture: true });
  }

  #press(event) {
    const line = event.target.closest("#prices li");
    if (!line || event.button !== 0 || event.pointerType === "touch" || event.target.closest("button") || this.#on.isFixed()) return;
    this.#held = { record: this.#on.recordOf(line), x: event.clientX, y: event.clientY, isMoving: false };
  }

  #move(event) {
    const held = this.#held;
    if (!held) return;
    if (!(event.buttons & 1)) return this.#end();
    if (!held.isMoving && Math.hypot(event.clientX - held.x, event.clientY - held.y) < MOVED_PX) return;
    if (!held.isMoving) this.#begin(event);
    this.#scroll(event.clientY);
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
    const { right } = this.#list.getBoundingClientRect(), { style, offsetHeight } = this.#targets;
    style.left = `${right + BESIDE_PX}px`;
    style.top = `${Math.max(BESIDE_PX, Math.min(event.clientY, innerHeight - offsetHeight - BESIDE_PX))}px`;
  }

  /** `{ element, drop }` of what is at the pointer; null where nothing is done with the line. */
  #targetOf({ clientX, clientY }) {
    const found = document.elementFromPoint(clientX, clientY), { record } = this.#held;
    const group = found?.closest("#drop-groups li:not(.head)");
    if (group) {
      const { group: name } = group.dataset;
      return { element: group, mark: "target", drop: () => (name === undefined ? this.#on.make(record, group) : this.#on.put(record, name)) };
    }
    if (!this.#on.group() || !found?.closest("#list")) return null;
    const line = found.closest("#prices li");
    if (!line) return { element: this.#list.querySelector("#prices"), mark: "end", drop: () => this.#on.place(record, null) };
    const other = this.#on.recordOf(line);
    if (other === record) return null;
    const { top, height } = line.getBoundingClientRect();
    const isAfter = clientY > top + height / 2;
    return { element: line, mark: isAfter ? "after" : "before", drop: () => this.#on.place(record, other, isAfter) };
  }

  #mark(target) {
    if (this.#target) this.#target.element.classList.remove(this.#target.mark);
    this.#target = target;
    target?.element.classList.add(target.mark);
  }

  #scroll(y) {
    const { top, bottom } = this.#list.getBoundingClientRect();
    if (y < top + EDGE_PX) this.#list.scrollBy(0, -SCROLL_PX);
    else if (y > bottom - EDGE_PX) this.#list.scrollBy(0, SCROLL_PX);
  }

  #release(event) {
    if (!this.#held?.isMoving) return this.#end();
    const target = this.#targetOf(event);
    dropNextClick();
    const { record } = this.#held;
    this.#end();
    if (target) setTimeout(() => target.drop(record)); // a dialog that opens within a release would close with it
  }

  #end() {
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
  setTimeout(() => removeEventListener("click", drop, { capture: true }));
}
