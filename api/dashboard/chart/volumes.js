/** Volume by price in one chart: of what is in view or of the last day, prices that hardly traded, and footprints. */

import { Footprints, whyMissing } from "./footprints.js";
import { FootprintOverlay, ProfileOverlay, VacuumOverlay } from "./overlays.js";
import { write } from "../page.js";
import { get } from "../rest.js";

const SETTLED_MS = 400; // a view that is still moving is not read of
const EVERY_MS = 15_000;
const FORMING_MS = 2_000;
const LEAST_TRADES = 100;
const ZONES = 12; // the nearest to the price
const TITLES = { profile: "Profile", vacuums: "Vacuums", footprint: "Footprint" };
const WIDTH_LEAST = 2e-5; // of the price: narrower zones are single ticks

export class Volumes {
  #focus = null;
  #settled;
  #profile = new ProfileOverlay();
  #vacuums = new VacuumOverlay();
  #footprint = new FootprintOverlay();
  #footprints = new Footprints();
  #formedAt = 0;
  #reasons = new Map(); // why one that is on is not drawn, by name

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
    this.#reasons.clear();
    this.#paintReasons();
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
    if (!this.extras.isOn("profile")) return this.#end("profile", this.#profile);
    const span = this.extras.profileOf === "view" ? this.chart.viewTimes : {};
    if (!span) return;
    const path = `/api/volume-profile/${encodeURIComponent(this.#focus.symbol)}`;
    const least = this.extras.profileOf === "view" ? 1 : LEAST_TRADES;
    const answer = await this.#read("profile", path, { min_trades: least, ...span });
    if (answer !== undefined) this.#profile.show(answer?.profile ?? null);
  }

  async #readVacuums() {
    if (!this.extras.isOn("vacuums")) return this.#end("vacuums", this.#vacuums);
    const path = `/api/liquidity-vacuums/${encodeURIComponent(this.#focus.symbol)}`;
    const answer = await this.#read("vacuums", path, { min_trades: LEAST_TRADES });
    const wide = ({ low, high }) => (high - low) / high >= WIDTH_LEAST;
    if (answer) this.#vacuums.show(answer.vacuums.filter(wide).slice(0, ZONES));
  }

  /** Where candles are wide enough for the figures of their prices. */
  async #readFootprints() {
    const { canvas } = this.chart;
    if (!this.extras.isOn("footprint") || !canvas) return this.#end("footprint", this.#footprint);
    if (!this.chart.isOfTime) return this.#end("footprint", this.#footprint, "footprints are of candles of a length in time");
    const scale = canvas.footprintScale;
    if (!scale) return this.#end("footprint", this.#footprint, "zoom in until candles have room for figures");
    const focus = this.#focus;
    const isWanted = () => focus === this.#focus && this.extras.isOn("footprint");
    try {
      const seen = this.chart.candlesInView;
      const found = await this.#footprints.read(seen, scale);
      if (!isWanted()) return;
      this.#footprint.show(found);
      const hasTrades = found.candles.length > 0 || (await this.#footprints.hasTrades());
      if (isWanted()) this.#say("footprint", whyMissing(seen, found.candles, { symbol: focus.symbol, hasTrades }));
    } catch (error) {
      if (isWanted()) this.#say("footprint", error.message);
    }
  }

  /** Draws one no more, for a reason where it is on. */
  #end(name, overlay, why = "") {
    this.#say(name, why);
    overlay.show(overlay === this.#vacuums ? [] : null);
  }

  /** Says at the button and in the chart why something is not drawn, or not all of it; "" where it is. */
  #say(name, why) {
    this.extras.say(name, why);
    if (this.#reasons.get(name) === why) return;
    this.#reasons.set(name, why);
    this.#paintReasons();
  }

  #paintReasons() {
    const said = [...this.#reasons].filter(([, why]) => why).map(([name, why]) => `${TITLES[name]}: ${why}`);
    write(this.chart.parts.reasons, said.join("; "));
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
    this.#say(name, this.extras.isOn(name) ? why : "");
    return answer;
  }
}
