/** Rows of the page of operations: a name, figures, and a small chart of what they were since the page is open. */

import { element, write } from "../page.js";
import { pathOf } from "./series.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 150;
const HEIGHT = 20;

function chart() {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("viewBox", `0 -1 ${WIDTH} ${HEIGHT + 2}`);
  drawn.setAttribute("aria-hidden", "true");
  const path = drawn.appendChild(document.createElementNS(SVG, "path"));
  return { drawn, path };
}

export class Table {
  #rows = new Map(); // by key
  #body;

  constructor(body) {
    this.#body = body;
  }

  /**
   * Shows these rows: `{ key, head, cells, mood, values, most }`; `mood` is `good`, `warn`, `bad` or "", `values` are for the chart, if there
   * is one, up to `most`. Rows that stay keep their elements.
   */
  show(rows) {
    const shown = rows.map((row) => this.#shown(row));
    for (const key of this.#rows.keys()) if (!rows.some((row) => row.key === key)) this.#rows.delete(key);
    if (shown.length !== this.#body.children.length || shown.some((line, index) => line !== this.#body.children[index])) this.#body.replaceChildren(...shown);
  }

  #shown({ key, head, cells, mood = "", values, most }) {
    let row = this.#rows.get(key);
    if (!row || row.cells.length !== cells.length) {
      row = { cells: cells.map(() => element("td")), head: element("th"), chart: values ? chart() : null };
      row.head.scope = "row";
      row.line = element("tr", "", row.head, ...row.cells, ...(row.chart ? [element("td", "chart", row.chart.drawn)] : []));
      this.#rows.set(key, row);
    }
    write(row.head, head);
    cells.forEach((text, index) => write(row.cells[index], text));
    row.line.dataset.mood = mood;
    if (row.chart) row.chart.path.setAttribute("d", pathOf(values, { width: WIDTH, height: HEIGHT, most }));
    return row.line;
  }
}
