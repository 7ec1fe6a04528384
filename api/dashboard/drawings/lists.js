/** The lines of the active chart in the dialog of tools: added there, listed, and removed by the keyboard, too. */

import { decimalsOf, fixed, precision } from "../format.js";
import { byId, removable } from "../page.js";
import { levels, trends } from "./kept.js";
import { keepLevels, priceAt } from "./price_lines.js";

export class DrawingLists {
  #focus = null;

  /** `panes` are the charts; `isFree()`: whether no tool is in use. */
  constructor(panes) {
    this.panes = panes;
    levels.onChange(() => this.#paint());
    trends.onChange(() => this.#paint());
    byId("add-level").onsubmit = (event) => {
      event.preventDefault();
      this.#addLevel(this.#focus, byId("level").valueAsNumber);
      byId("level").value = "";
    };
    byId("panes").addEventListener("click", (event) => this.#onClick(event));
  }

  choose(focus) {
    this.#focus = focus;
    this.#paint();
  }

  /** Alt and a click add a horizontal line. */
  #onClick(event) {
    const pane = this.panes.all.find(({ parts }) => parts.canvas.contains(event.target));
    if (!event.altKey || !pane?.chart.canvas || this.panes.tool) return;
    const price = priceAt(pane.chart, event.clientY - pane.parts.canvas.getBoundingClientRect().top);
    if (price !== null) this.#addLevel(pane.focus, price);
  }

  #addLevel(focus, price) {
    if (focus && price > 0) keepLevels(focus, [...levels.of(focus), price]);
  }

  #paint() {
    const focus = this.#focus;
    const text = (price) => fixed(price, Math.max(precision.of(focus), decimalsOf([price])));
    const held = levels.of(focus);
    byId("levels").replaceChildren(
      ...held.map((price) => removable(text(price), () => keepLevels(focus, held.filter((one) => one !== price)))),
    );
    const lines = trends.of(focus);
    byId("trends").replaceChildren(
      ...lines.map((line, index) => {
        const drop = () => trends.set(focus, lines.filter((_, each) => each !== index));
        const shown = (price) => fixed(price, precision.of(focus));
        return removable(`trend ${shown(line.from.price)} to ${shown(line.to.price)}`, drop);
      }),
    );
  }
}
