/** What is in view of a long list: lines are made for that part alone, and used again for others as the list is scrolled. */

import { element } from "../page.js";
import { COLUMNS } from "./columns.js";
import { Line } from "./line.js";
import { Places } from "./places.js";

const MORE = 6; // lines on both sides that are out of view
const STRIP = matchMedia("(max-width: 760px), (max-height: 500px)"); // as in style.css
const USUAL_PX = 28;
const SETTLED_MS = 120; // after the last scrolling
const NAME_GAP_PX = 28; // beside a name in the strip
const FIGURES_GAP_PX = 28; // beside them all
const CELL_GAP_PX = 8;
const [FIGURE_SHARE, TITLE_SHARE] = [0.92, 0.8]; // of the size of a name: as in list.css
const CLOSE_PX = 40; // of the chosen one, beside its name
const CLOSE_GAP_PX = 36; // and beside its figures, which a finger on it must not hide
const HELD_MS = 5_000; // so long a line that was chosen stays in view while others come, unless the viewer scrolls

export class Viewport {
  #scroller;
  #list;
  #lines = new Map(); // by record
  #records = [];
  #places = new Places([]);
  #length = USUAL_PX; // of a line
  #seen = 0; // pixels of the list that are seen
  #settles; // the timer until the document is in order again
  #widths = new Map(); // of texts, in pixels
  #held = { record: null, until: 0 }; // stays in view, in the page's time, ms
  #at = 0; // where the list was last put or left by this class: elsewhere, the viewer has scrolled
  #on;

  /**
   * `on` is that of `Line`; `on.paint(line)` writes one that came into view, `on.chosen()` is the record that is always there,
   * `on.columns()` are those of a line.
   */
  constructor(scroller, list, on) {
    this.#scroller = scroller;
    this.#list = list;
    this.#on = on;
    scroller.addEventListener("scroll", () => (this.#noticeScrolling(), this.#show()), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroller);
    STRIP.addEventListener("change", () => requestAnimationFrame(() => this.hold(this.#on.chosen())));
  }

  /** Whether the lines stand beside each other. */
  get isStrip() {
    return STRIP.matches;
  }

  /** The lines that are made, with their records. */
  get lines() {
    return this.#lines;
  }

  /** The lines of these records, one behind the other. */
  arrange(records) {
    this.#records = records;
    this.measure();
    this.#putInOrder();
  }

  /** Sizes may have changed. */
  measure() {
    this.#noticeScrolling(); // whose event may still be to come
    this.#length = Number.parseFloat(getComputedStyle(this.#scroller).getPropertyValue("--row")) || USUAL_PX;
    const { clientWidth, clientHeight } = this.#scroller; // read before anything is changed: the next layout is that of the frame
    this.#seen = STRIP.matches ? clientWidth : clientHeight - this.#list.offsetTop;
    this.#places = new Places(this.#records.map((record) => (STRIP.matches ? this.#widthOf(record) : this.#length)));
    this.#list.style.height = STRIP.matches ? "" : `${this.#places.whole}px`;
    this.#list.style.width = STRIP.matches ? `${this.#places.whole}px` : "";
    if (this.#at) this.#at = this.#from; // a shorter list may not reach as far
    this.#show();
    if (performance.now() < this.#held.until) this.reveal(this.#held.record);
  }

  /** Shows a line, and goes on to while sizes and what else is in the list change. */
  hold(record) {
    this.#held = { record, until: performance.now() + HELD_MS };
    this.reveal(record);
  }

  /** Scrolls no further than needed to see a line as a whole. */
  reveal(record) {
    const index = this.#records.indexOf(record);
    if (index < 0) return;
    const far = this.#places.distance(index, this.#at, this.#seen);
    if (!far) return;
    this.#scroller.scrollBy(STRIP.matches ? { left: far } : { top: far });
    this.#at = this.#from;
    this.#show();
  }

  #noticeScrolling() {
    const from = this.#from;
    if (from === this.#at) return;
    this.#at = from;
    this.#held.until = 0; // by the viewer
  }

  /** Where what is seen of the list begins, in its own pixels: the head of the columns stands before it. */
  get #from() {
    return STRIP.matches ? this.#scroller.scrollLeft : this.#scroller.scrollTop;
  }

  /** Lines that went out of view are those that come into it: nothing is taken out of the document while it is scrolled. */
  #show() {
    const wanted = this.#wanted();
    const free = [];
    for (const [record, line] of this.#lines) {
      if (wanted.has(record)) continue;
      this.#lines.delete(record);
      free.push(line);
    }
    for (const [record, index] of wanted) this.#place(record, index, free);
    for (const line of free) line.element.remove();
    clearTimeout(this.#settles);
    this.#settles = setTimeout(() => this.#putInOrder(), SETTLED_MS);
  }

  /** The number of each record that is shown: those in view, one that has the focus, and the chosen one. */
  #wanted() {
    const [first, end] = this.#places.between(this.#at, this.#at + this.#seen, MORE);
    const wanted = new Map();
    for (let index = first; index < end; index++) wanted.set(this.#records[index], index);
    const focused = [...this.#lines.values()].find((line) => line.element.contains(document.activeElement));
    for (const record of [focused?.record, this.#on.chosen()]) {
      if (!record || wanted.has(record)) continue;
      const index = this.#records.indexOf(record);
      if (index >= 0) wanted.set(record, index);
    }
    return wanted;
  }

  #place(record, index, free) {
    let line = this.#lines.get(record);
    if (!line) {
      line = free.pop() ?? new Line(this.#on);
      line.take(record);
      this.#lines.set(record, line);
      if (!line.element.isConnected) this.#list.append(line.element);
    }
    const [begin, count] = [this.#places.begin(index), this.#records.length];
    line.place({ begin, length: this.#places.end(index) - begin, index, count, isStrip: STRIP.matches });
    if (line.isFresh) this.#on.paint(line);
  }

  /** The order of the document is that which is read out, and gone through by keys. */
  #putInOrder() {
    const elements = [...this.#lines.values()].sort((one, other) => one.index - other.index).map((line) => line.element);
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    let next = this.#list.firstElementChild;
    for (const one of elements) {
      if (one === next) next = next.nextElementSibling;
      else this.#list.insertBefore(one, next);
    }
    if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true }); // an element that moves loses it
  }

  #widthOf({ symbol, venue, priceText = "" }) {
    const name = Math.max(this.#textWidth(symbol), this.#textWidth(venue));
    const widthOfCell = (column) => {
      if (column === "price") return this.#textWidth("0".repeat(priceText.length));
      const { title, longest } = COLUMNS[column];
      return FIGURE_SHARE * this.#textWidth(longest) + (column === "change" ? 0 : TITLE_SHARE * this.#textWidth(`${title} `));
    };
    const figures = this.#on.columns().reduce((sum, column) => sum + widthOfCell(column) + CELL_GAP_PX, 0);
    const isChosen = this.#on.chosen()?.symbol === symbol && this.#on.chosen()?.venue === venue;
    return Math.ceil(Math.max(name + NAME_GAP_PX + (isChosen ? CLOSE_PX : 0), figures + (isChosen ? CLOSE_GAP_PX : FIGURES_GAP_PX)));
  }

  #textWidth(text) {
    if (!this.#widths.has(text)) {
      this.#context ??= element("canvas").getContext("2d");
      const { fontFamily, fontSize } = getComputedStyle(this.#list);
      this.#context.font = `600 ${fontSize} ${fontFamily}`;
      this.#widths.set(text, this.#context.measureText(text).width);
    }
    return this.#widths.get(text);
  }

  #context;
}
