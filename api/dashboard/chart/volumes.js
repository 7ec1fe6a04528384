/** Volume by price in one chart: of what is in view or of the last day, prices that hardly traded, and footprints. */

import { Footprints } from "./footprints.js";
import { FootprintOverlay, ProfileOverlay, VacuumOverlay } from "./overlays.js";
import { get } from "../rest.js";

const SETTLED_MS = 400; // a view that is still moving is not read of
const EVERY_MS = 15_000;
const FORMING_MS = 2_000;
const LEAST_TRADES = 100;
const ZONES = 12; // the nearest to the price
const WIDTH_LEAST = 2e-5; // of the price: narrower zones are single ticks

export class Volumes {
  #focus = null;
  #settled;
  #profile = new ProfileOverlay();
  #vacuums = new VacuumOverlay();
  #footprint = new FootprintOverlay();
  #footprints = new Footprints();
  #formedAt = 0;

  /** `extras` says which are on. */
  constructor(chart, extras) {
    this.chart = chart;
    this.extras = extras;
    setInterval(() => document.hidden || this.refresh(), EVERY_MS);
  }

  /** The chart is there. */
  open() {
    for (const overlay of [this.#vacuums, this.#profile, this.#footprint]) this.chart.canvas.attach(overlay);
    this.recolour();
  }

  choose(focus) {
    this.#focus = focus;
    this.#profile.show(null);
    this.#vacuums.show([]);
    this.#footprints.choose(focus);
    this.#footprint.show(null);
  }

  recolour() {
    for (const overlay of [this.#vacuums, this.#profile, this.#footprint]) overlay.paint(this.chart.canvas.colours);
  }

  /** Reads those that are on again. */
  async refresh() {
    if (!this.#focus || !this.chart.canvas) return;
    await Promise.all([this.#readProfile(), this.#readVacuums(), this.#readFootprints()]);
  }

  /** Another part of the chart is in view. */
  move() {
    clearTimeout(this.#settled);
    this.#settled = setTimeout(() => {
      if (this.extras.isOn("profile") && this.extras.profileOf === "view") void this.#readProfile();
      void this.#readFootprints();
    }, SETTLED_MS);
  }

  /** The last candle moved. */
  follow() {
    if (!this.#footprint.drawn || performance.now() - this.#formedAt < FORMING_MS) return;
    this.#formedAt = performance.now();
    void this.#readFootprints();
  }

  /** What is drawn. */
  get shown() {
    return { profile: this.#profile.drawn, footprint: this.#footprint.drawn };
  }

  async #readProfile() {
    if (!this.extras.isOn("profile")) return this.#profile.show(null);
    const span = this.extras.profileOf === "view" ? this.chart.viewTimes : {};
    if (!span) return;
    const path = `/api/volume-profile/${encodeURIComponent(this.#focus.symbol)}`;
    const least = this.extras.profileOf === "view" ? 1 : LEAST_TRADES;
    const answer = await this.#read("profile", path, { min_trades: least, ...span });
    if (answer !== undefined) this.#profile.show(answer?.profile ?? null);
  }

  async #readVacuums() {
    if (!this.extras.isOn("vacuums")) return this.#vacuums.show([]);
    const path = `/api/liquidity-vacuums/${encodeURIComponent(this.#focus.symbol)}`;
    const answer = await this.#read("vacuums", path, { min_trades: LEAST_TRADES });
    const wide = ({ low, high }) => (high - low) / high >= WIDTH_LEAST;
    if (answer) this.#vacuums.show(answer.vacuums.filter(wide).slice(0, ZONES));
  }

  /** Where candles are wide enough for the figures of their prices. */
  async #readFootprints() {
    const { canvas } = this.chart;
    const scale = this.extras.isOn("footprint") && canvas ? canvas.footprintScale : null;
    if (this.extras.isOn("footprint") && !this.chart.isOfTime) {
      this.extras.say("footprint", "footprints are of candles of a length in time");
      return this.#footprint.show(null);
    }
    if (!scale) {
      this.extras.say("footprint", this.extras.isOn("footprint") && canvas ? "zoom in until candles have room for figures" : "");
      return this.#footprint.show(null);
    }
    const focus = this.#focus;
    try {
      const found = await this.#footprints.read(this.chart.candlesInView, scale);
      if (focus !== this.#focus || !this.extras.isOn("footprint")) return;
      this.extras.say("footprint", "");
      this.#footprint.show(found);
    } catch (error) {
      if (focus === this.#focus) this.extras.say("footprint", error.message);
    }
  }

  /** The answer; null where it is an error, undefined where another chart was chosen meanwhile. */
  async #read(name, path, query) {
    const focus = this.#focus;
    let answer = null, why = "";
    try {
      answer = await get(path, { venue: focus.venue, ...query });
    } catch (error) {
      why = error.message;
    }
    if (focus !== this.#focus) return undefined;
    this.extras.say(name, why);
    return answer;
  }
}
