/** Overlays of the chart: indicators, volume profile, vacuums. Each has a button whose state is stored. */

import { byId } from "./page.js";
import { get } from "./rest.js";

const KEPT = "marketflow.extras";
const INDICATORS = { ema: ["ema:20", "ema:50"], bands: ["bbands"], rsi: ["rsi"] };
const EVERY_MS = 15_000;
const ZONES = 12; // the nearest to the price
const WIDTH_LEAST = 2e-5; // of the price: narrower zones are single ticks

export class Extras {
  #on = new Set(JSON.parse(localStorage.getItem(KEPT) ?? '["ema"]'));
  #focus = null;

  constructor(chart) {
    this.chart = chart;
    for (const button of byId("extras").querySelectorAll("button")) {
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
    this.chart.canvas?.showIndicators([], []);
  }

  /** Reads the enabled overlays again. One that fails is not drawn; its button shows why. */
  async refresh() {
    if (!this.#focus || !this.chart.canvas) return;
    await Promise.all([this.#indicators(), this.#profile(), this.#vacuums()]);
  }

  #toggle(button, name) {
    if (!this.#on.delete(name)) this.#on.add(name);
    button.setAttribute("aria-pressed", this.#on.has(name));
    localStorage.setItem(KEPT, JSON.stringify([...this.#on]));
    void this.refresh();
  }

  async #indicators() {
    const names = Object.keys(INDICATORS).filter((name) => this.#on.has(name));
    const wishes = this.chart.candles.length ? names.flatMap((name) => INDICATORS[name]) : []; // of nothing there is none
    const { timeframe, symbol } = this.#focus;
    const limit = Math.min(1_000, Math.max(1, this.chart.candles.length));
    const answer = wishes.length
      ? await this.#read(Object.keys(INDICATORS), `/api/indicators/${encodeURIComponent(symbol)}/${timeframe}`, { names: wishes, limit })
      : { timestamps: [], indicators: [] };
    if (!answer) return;
    const drawn = answer.indicators.map((indicator, index) => ({ wish: wishes[index], values: indicator.values }));
    this.chart.canvas.showIndicators(answer.timestamps, drawn);
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
