/** The layout that the viewer chose: which panels are shown, and how large they are. The browser keeps it. */

import { byId } from "./page.js";

const KEPT = "marketflow.layout";
const STEP_PX = 24; // of a key
const SAID_MS = 300; // the page's layout is not computed for what is said of an edge
const PANELS = ["watch", "book", "tape", "analysis"];

/** Where a size is dragged: `way` is 1 where the panel grows to the right or below, -1 otherwise. */
const EDGES = {
  watch: { of: "watch", isWide: true, way: 1 },
  side: { of: "side", isWide: true, way: -1 },
  below: { of: "analysis", isWide: false, way: -1 },
};

export class Layout {
  #kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");

  constructor() {
    for (const [name, edge] of Object.entries(EDGES)) this.#openEdge(byId(`edge-${name}`), name, edge);
    for (const panel of PANELS) {
      const box = byId(`show-${panel}`);
      box.checked = !this.#kept.hidden?.includes(panel);
      box.onchange = () => this.#keepHidden();
    }
    byId("usual-layout").onclick = () => this.#reset();
    this.#paint();
  }

  /** The panels that are not shown. */
  get hidden() {
    return this.#kept.hidden ?? [];
  }

  set hidden(panels) {
    this.#kept.hidden = panels;
    for (const panel of PANELS) byId(`show-${panel}`).checked = !panels.includes(panel);
    this.#keep();
    this.#paint();
  }

  #openEdge(handle, name, { of, isWide, way }) {
    const sizeOf = () => byId(of).getBoundingClientRect()[isWide ? "width" : "height"];
    const grow = (size) => {
      this.#kept.sizes = { ...this.#kept.sizes, [name]: Math.max(1, Math.round(size)) };
      this.#paint();
    };
    handle.onpointerdown = (down) => {
      handle.setPointerCapture(down.pointerId);
      const from = isWide ? down.clientX : down.clientY, size = sizeOf();
      handle.onpointermove = (move) => grow(size + way * ((isWide ? move.clientX : move.clientY) - from));
    };
    handle.onpointerup = handle.onpointercancel = () => {
      handle.onpointermove = null;
      this.#keep();
    };
    handle.onkeydown = (event) => {
      const step = isWide ? { ArrowLeft: -1, ArrowRight: 1 }[event.key] : { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation(); // arrows choose symbols elsewhere
      grow(sizeOf() + way * step * STEP_PX);
      this.#keep();
    };
  }

  #keepHidden() {
    this.hidden = PANELS.filter((panel) => !byId(`show-${panel}`).checked);
  }

  #reset() {
    this.#kept = {};
    for (const panel of PANELS) byId(`show-${panel}`).checked = true;
    this.#keep();
    this.#paint();
  }

  #keep() {
    localStorage.setItem(KEPT, JSON.stringify(this.#kept));
  }

  #paint() {
    const { hidden = [], sizes = {} } = this.#kept;
    for (const panel of PANELS) document.body.classList.toggle(`no-${panel}`, hidden.includes(panel));
    for (const [name, { of, isWide }] of Object.entries(EDGES)) {
      const size = sizes[name];
      if (size) document.documentElement.style.setProperty(`--own-${name}`, `${size}px`);
      else document.documentElement.style.removeProperty(`--own-${name}`);
      const sizeOf = () => byId(of).getBoundingClientRect()[isWide ? "width" : "height"];
      setTimeout(() => byId(`edge-${name}`).setAttribute("aria-valuenow", Math.round(sizeOf())), SAID_MS);
    }
  }
}
