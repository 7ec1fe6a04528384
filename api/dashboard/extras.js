/** Overlays of the chart: indicators, volume profile, vacuums. Each has a button whose state is stored. */

import { compute, INDICATORS, parseLabel, settleOf } from "./chart/indicators.js";
import { fixed, NONE, precision } from "./format.js";
import { byId, element, write } from "./page.js";
import { get } from "./rest.js";

const KEPT = "marketflow.extras";
const KEPT_LABELS = "marketflow.indicators";
const USUAL_LABELS = ["ema:20", "ema:50"];
const MOST_LABELS = 12;
const EVERY_MS = 15_000;
const FOLLOW_MS = 500; // indicators follow the price so often: each time costs a drawing
const ZONES = 12; // the nearest to the price
const WIDTH_LEAST = 2e-5; // of the price: narrower zones are single ticks
const PLACES = 2; // of values that are no prices

export class Extras {
  #on = new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
  #labels = new Set((JSON.parse(localStorage.getItem(KEPT_LABELS) ?? "null") ?? USUAL_LABELS).filter(parseLabel));
  #focus = null;
  #indicators = []; // with the values of all loaded candles
  #texts = new Map(); // elements of the values, by label
  #followedAt = 0;

  constructor(chart) {
    this.chart = chart;
    chart.onPaint = () => this.#follow();
    this.onLabels = () => {}; // there are others
    for (const button of byId("extras").querySelectorAll("[data-labels]")) button.onclick = () => this.#toggleLabels(button.dataset.labels.split(" "));
    this.#paintButtons();
    for (const button of byId("extras").querySelectorAll("[data-extra]")) {
      const name = button.dataset.extra;
      button.setAttribute("aria-pressed", this.#on.has(name));
      button.onclick = () => this.#toggle(button, name);
    }
    setInterval(() => document.hidden || this.refresh(), EVERY_MS);
  }

  choose(focus) {
    this.#focus = focus;
    this.chart.canvas?.showProfile(null);
    this.chart.canvas?.showVacuums([]);
    this.#indicators = [];
    this.#draw();
  }

  /** Draws the enabled overlays again. One that fails is not drawn; its button shows why. */
  async refresh() {
    if (!this.#focus || !this.chart.canvas) return;
    this.#compute();
    this.#draw();
    await Promise.all([this.#profile(), this.#vacuums()]);
  }

  #toggle(button, name) {
    if (!this.#on.delete(name)) this.#on.add(name);
    button.setAttribute("aria-pressed", this.#on.has(name));
    localStorage.setItem(KEPT, JSON.stringify([...this.#on]));
    void this.refresh();
  }

  /** The indicators that are drawn, with their parameters, as `macd:12:26:9`. */
  get labels() {
    return [...this.#labels];
  }

  add(label) {
    const parsed = parseLabel(label);
    if (parsed) this.#keepLabels([...this.#labels, [parsed.name, ...parsed.values].join(":")]);
  }

  drop(label) {
    this.#keepLabels([...this.#labels].filter((one) => one !== label));
  }

  #toggleLabels(labels) {
    const has = labels.every((label) => this.#labels.has(label));
    this.#keepLabels(has ? [...this.#labels].filter((one) => !labels.includes(one)) : [...this.#labels, ...labels]);
  }

  #keepLabels(labels) {
    this.#labels = new Set(labels.slice(-MOST_LABELS));
    localStorage.setItem(KEPT_LABELS, JSON.stringify([...this.#labels]));
    this.#paintButtons();
    this.onLabels();
    void this.refresh();
  }

  #paintButtons() {
    for (const button of byId("extras").querySelectorAll("[data-labels]")) {
      const isOn = button.dataset.labels.split(" ").every((label) => this.#labels.has(label));
      button.setAttribute("aria-pressed", String(isOn));
    }
  }

  /** The values of all loaded candles; the first ones of an average are left out until it has settled, if there are older candles. */
  #compute() {
    const candles = this.chart.shown;
    this.#indicators = (candles.length ? this.labels : []).map((label) => {
      const parsed = parseLabel(label);
      const values = compute(parsed, candles);
      const open = this.chart.isWhole ? 0 : settleOf(parsed);
      for (const column of Object.values(values)) column.fill(null, 0, Math.min(column.length, open));
      return { label, ...INDICATORS[parsed.name], name: parsed.name, parameters: parsed.values, values };
    });
    return candles;
  }

  #draw() {
    this.chart.reserve = Math.max(0, ...this.labels.map((label) => settleOf(parseLabel(label))));
    this.chart.canvas?.lines.draw(this.#indicators, this.chart.shown);
    this.#texts = new Map(this.#indicators.map((indicator) => [indicator.label, textsOf(indicator, this.chart.canvas.lines)]));
    byId("legend-lines").replaceChildren(...[...this.#texts.values()].map(({ line }) => line));
    this.#paintValues();
  }

  /** The last candle moved, or the cursor did. */
  #follow() {
    const due = this.#followedAt + FOLLOW_MS - performance.now();
    if (due <= 0 && this.#indicators.length && this.chart.cursor === null) {
      this.#followedAt = performance.now();
      const candles = this.#compute();
      if (candles.length) this.chart.canvas?.lines.update(this.#indicators, candles);
    }
    this.#paintValues();
  }

  #paintValues() {
    const candles = this.chart.candles;
    const { cursor } = this.chart;
    const found = cursor === null ? -1 : candles.findIndex(({ time }) => time === cursor);
    for (const { label, isPrice, values } of this.#indicators) {
      const places = isPrice && this.#focus ? precision.of(this.#focus) : PLACES;
      for (const [output, column] of Object.entries(values)) {
        const text = this.#texts.get(label)?.outputs[output];
        if (text) write(text, column.length ? fixed(column.at(found), places) : NONE);
      }
    }
  }

  async #profile() {
    const path = `/api/volume-profile/${encodeURIComponent(this.#focus.symbol)}`;
    const off = { profile: null };
    const answer = this.#on.has("profile") ? await this.#read(["profile"], path, { min_trades: 100 }) : off;
    if (answer) this.chart.canvas.showProfile(answer.profile);
  }

  async #vacuums() {
    const path = `/api/liquidity-vacuums/${encodeURIComponent(this.#focus.symbol)}`;
    const answer = this.#on.has("vacuums") ? await this.#read(["vacuums"], path, { min_trades: 100 }) : { vacuums: [] };
    const wide = ({ low, high }) => (high - low) / high >= WIDTH_LEAST;
    if (answer) this.chart.canvas.showVacuums(answer.vacuums.filter(wide).slice(0, ZONES));
  }

  /** The response, unless another chart was chosen meanwhile. */
  async #read(names, path, query) {
    const focus = this.#focus;
    let answer = null, why = "";
    try {
      answer = await get(path, { venue: focus.venue, ...query });
    } catch (error) {
      why = error.message;
    }
    for (const name of names) {
      const button = byId("extras").querySelector(`[data-extra=${name}]`);
      button.classList.toggle("failed", Boolean(why) && this.#on.has(name));
      button.title = why || button.dataset.about;
    }
    return focus === this.#focus ? answer : null;
  }
}

/** A line of the legend: name, parameters and a place for each value. */
function textsOf({ label, name, parameters, values }, lines) {
  const outputs = Object.fromEntries(Object.keys(values).map((output) => [output, element("b")]));
  for (const [output, text] of Object.entries(outputs)) {
    const colour = lines.colourOf(label, output);
    if (colour) text.style.color = `var(--${colour})`;
    text.title = output;
  }
  const head = `${name.toUpperCase()} ${parameters.join(" ")}`.trim();
  return { line: element("span", "", `${head} `, ...Object.values(outputs).flatMap((text) => [text, " "])), outputs };
}
