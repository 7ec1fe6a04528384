/** Tools of the charts: indicators with their parameters, price scale, drawing, comparing, files, the full screen. */

import { instrumentOf } from "./address.js";
import { INDICATORS } from "./chart/indicators.js";
import { csvOf, download } from "./chart/save.js";
import { nameOf } from "./extras.js";
import { byId, element, note, removable } from "./page.js";

const KEPT_SCALE = "marketflow.scale";
const DRAWN = ["measure", "trend", "alert"]; // tools of the pointer

export class Tools {
  #focus = null;

  /** `panes` are the charts, `extras` has their indicators, `instruments()` are those of the list. */
  constructor(panes, extras, instruments) {
    Object.assign(this, { panes, extras, instruments });
    extras.onChange(() => this.#paintIndicators());
    panes.onTool = (name) => this.#paintTool(name);
    this.#openIndicators();
    this.#openScale();
    this.#openCompare();
    for (const name of DRAWN) byId(`draw-${name}`).onclick = () => this.toggle(name);
    addEventListener("keydown", (event) => event.key === "Escape" && panes.tool && panes.use(""));
    byId("save-picture").onclick = () => this.#savePicture();
    byId("save-table").onclick = () => this.#saveTable();
    byId("full-screen").onclick = () => void this.#toggleFullScreen();
  }

  choose(focus) {
    this.#focus = focus;
  }

  /** Takes a tool of the pointer, or puts it away. */
  toggle(name) {
    this.panes.use(this.panes.tool === name ? "" : name);
    if (this.panes.tool) byId("tools").hidePopover();
  }

  #paintTool(name) {
    for (const each of DRAWN) byId(`draw-${each}`).ariaPressed = String(each === name);
  }

  // --- indicators ---

  #openIndicators() {
    const options = Object.entries(INDICATORS).map(([name, { about }]) => {
      return Object.assign(element("option", "", `${name.toUpperCase()} · ${about}`), { value: name });
    });
    byId("indicator").append(...options);
    byId("indicator").onchange = () => this.#paintParameters();
    byId("add-indicator").onsubmit = (event) => {
      event.preventDefault();
      const values = [...byId("parameters").querySelectorAll("input")].map(({ value }) => value);
      this.extras.add([byId("indicator").value, ...values].join(":"));
    };
    byId("profile-of").value = this.extras.profileOf;
    byId("profile-of").onchange = () => (this.extras.profileOf = byId("profile-of").value);
    this.#paintParameters();
    this.#paintIndicators();
  }

  #paintParameters() {
    const { parameters } = INDICATORS[byId("indicator").value];
    const fields = parameters.map(({ name, least, most, usual, step = 1 }) => {
      const field = Object.assign(element("input"), { type: "number", min: least, max: most, step, value: usual, required: true });
      return element("label", "", `${name} `, field);
    });
    byId("parameters").replaceChildren(...fields);
  }

  #paintIndicators() {
    const rows = this.extras.labels.map((label) => removable(nameOf(label), () => this.extras.drop(label)));
    byId("indicators").replaceChildren(...rows);
  }

  // --- price scale ---

  get scale() {
    return byId("scale").value;
  }

  set scale(name) {
    byId("scale").value = name;
    localStorage.setItem(KEPT_SCALE, name);
    this.panes.scale = name;
  }

  #openScale() {
    this.scale = localStorage.getItem(KEPT_SCALE) ?? "linear";
    byId("scale").onchange = () => (this.scale = this.scale);
  }

  // --- other instruments in the chart ---

  #openCompare() {
    const field = byId("compare-with");
    field.onfocus = () => {
      const options = this.instruments().map(({ venue, symbol }) => Object.assign(element("option"), { value: `${venue}:${symbol}` }));
      byId("compare-names").replaceChildren(...options);
    };
    byId("add-compared").onsubmit = (event) => {
      event.preventDefault();
      const [symbol, venue = ""] = field.value.trim().split(":").reverse();
      const found = instrumentOf(this.instruments(), { venue, symbol });
      if (!found) return note(`${field.value} is not recorded here`, { bad: true });
      this.panes.active.compared.add(found);
      field.value = "";
    };
  }

  // --- files, the full screen ---

  get #name() {
    const { venue, symbol, timeframe } = this.#focus;
    return [venue, symbol, timeframe].join("-");
  }

  #savePicture() {
    if (!this.#focus || !this.panes.canvas) return;
    this.panes.canvas.picture().toBlob((blob) => download(blob, `${this.#name}.png`));
  }

  /** The candles in view, with the values of the indicators. */
  #saveTable() {
    if (!this.#focus || !this.panes.canvas) return;
    const { chart, studies } = this.panes.active;
    const all = chart.shown;
    const { from, to } = chart.canvas.view(all.length);
    const columns = {};
    for (const label of this.extras.labels) {
      for (const [output, column] of Object.entries(studies.valuesOf(label))) columns[`${label}/${output}`] = column.slice(from, to);
    }
    download(new Blob([csvOf(all.slice(from, to), columns)], { type: "text/csv" }), `${this.#name}.csv`);
  }

  async #toggleFullScreen() {
    byId("tools").hidePopover();
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await byId("chart").requestFullscreen();
    } catch {
      note("this browser gives no full screen", { bad: true });
    }
  }
}
