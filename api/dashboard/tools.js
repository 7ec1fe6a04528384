/** Tools of the chart: indicators with their parameters, price scale, lines, measuring, files, the full screen. */

import { compute, INDICATORS, parseLabel } from "./chart/indicators.js";
import { Measure } from "./chart/measure.js";
import { csvOf, download } from "./chart/save.js";
import { decimalsOf, fixed, precision } from "./format.js";
import { byId, element, note } from "./page.js";

const KEPT_SCALE = "marketflow.scale";
const KEPT_LEVELS = "marketflow.levels";
const MOST_LEVELS = 50; // of an instrument

const keyOf = ({ venue, symbol }) => `${venue}:${symbol}`;
const readLevels = () => JSON.parse(localStorage.getItem(KEPT_LEVELS) ?? "{}");

export class Tools {
  #focus = null;
  #measure;

  /** `extras` has the indicators, which are added and removed here. */
  constructor(chart, extras) {
    this.chart = chart;
    this.extras = extras;
    extras.onLabels = () => this.#paintIndicators();
    this.#measure = new Measure({
      placeAt: (x, y) => chart.canvas?.placeAt(x, y) ?? { price: null, index: 0 },
      of: () => ({ lengthMs: chart.lengthMs, decimals: precision.of(this.#focus ?? {}) }),
      onEnd: () => byId("measure-on").setAttribute("aria-pressed", "false"),
    });
    this.#openIndicators();
    this.#openScale();
    this.#openLevels();
    byId("measure-on").onclick = () => this.#toggleMeasure();
    addEventListener("keydown", (event) => event.key === "Escape" && this.#measure.isOn && (this.#measure.isOn = false));
    byId("save-picture").onclick = () => this.#savePicture();
    byId("save-table").onclick = () => this.#saveTable();
    byId("full-screen").onclick = () => void this.#toggleFullScreen();
  }

  choose(focus) {
    this.#focus = focus;
    this.#paintLevels();
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
    const rows = this.extras.labels.map((label) => {
      const { name, values } = parseLabel(label);
      return removable(`${name.toUpperCase()} ${values.join(" ")}`.trim(), () => this.extras.drop(label));
    });
    byId("indicators").replaceChildren(...rows);
  }

  // --- price scale ---

  #openScale() {
    byId("scale").value = localStorage.getItem(KEPT_SCALE) ?? "linear";
    byId("scale").onchange = () => {
      localStorage.setItem(KEPT_SCALE, byId("scale").value);
      this.chart.canvas?.setScale(byId("scale").value);
    };
  }

  /** The chart is there. */
  open() {
    this.chart.canvas?.setScale(byId("scale").value);
    this.#paintLevels();
  }

  // --- lines, kept by instrument ---

  #openLevels() {
    byId("add-level").onsubmit = (event) => {
      event.preventDefault();
      this.#addLevel(byId("level").valueAsNumber);
      byId("level").value = "";
    };
    byId("stage").addEventListener("click", (event) => {
      if (!event.altKey || !this.chart.canvas || this.#measure.isOn) return;
      const box = byId("canvas").getBoundingClientRect();
      const { price } = this.chart.canvas.placeAt(event.clientX - box.left, event.clientY - box.top);
      if (price !== null) this.#addLevel(Number(price.toFixed(precision.of(this.#focus ?? {}))));
    });
  }

  get #levels() {
    return (this.#focus && readLevels()[keyOf(this.#focus)]) ?? [];
  }

  #addLevel(price) {
    if (!this.#focus || !(price > 0)) return;
    this.#keepLevels([...new Set([...this.#levels, price])].sort((one, other) => other - one).slice(0, MOST_LEVELS));
  }

  #keepLevels(levels) {
    localStorage.setItem(KEPT_LEVELS, JSON.stringify({ ...readLevels(), [keyOf(this.#focus)]: levels }));
    this.#paintLevels();
  }

  #paintLevels() {
    const levels = this.#levels;
    this.chart.canvas?.setLevels(levels);
    const text = (price) => fixed(price, Math.max(precision.of(this.#focus), decimalsOf([price])));
    const drop = (price) => this.#keepLevels(levels.filter((one) => one !== price));
    byId("levels").replaceChildren(...levels.map((price) => removable(text(price), () => drop(price))));
  }

  // --- measuring, files, the full screen ---

  #toggleMeasure() {
    this.#measure.isOn = !this.#measure.isOn;
    byId("measure-on").setAttribute("aria-pressed", String(this.#measure.isOn));
    if (this.#measure.isOn) byId("tools").hidePopover();
  }

  get #name() {
    const { venue, symbol, timeframe } = this.#focus;
    return [venue, symbol, timeframe].join("-");
  }

  #savePicture() {
    if (!this.#focus || !this.chart.canvas) return;
    this.chart.canvas.picture().toBlob((blob) => download(blob, `${this.#name}.png`));
  }

  /** The candles in view, with the values of the indicators. */
  #saveTable() {
    if (!this.#focus || !this.chart.canvas) return;
    const all = this.chart.shown;
    const { from, to } = this.chart.canvas.view(all.length);
    const columns = {};
    for (const label of this.extras.labels) {
      for (const [output, column] of Object.entries(compute(parseLabel(label), all))) columns[`${label}/${output}`] = column.slice(from, to);
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

/** An entry of a list, with a cross that removes it. */
function removable(text, drop) {
  const cross = Object.assign(element("button", "", "×"), { type: "button", onclick: drop });
  cross.setAttribute("aria-label", `remove ${text}`);
  return element("li", "", element("span", "", text), cross);
}
