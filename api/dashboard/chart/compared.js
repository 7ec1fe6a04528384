/** Other instruments in a chart, as lines of their closes on a scale of percent, with a legend. */

import { Candles } from "./candles.js";
import { readBarsFrom, readCandles } from "./source.js";
import { isOfFlow, isOfTime } from "./timeframe.js";
import { percent, wayOfPercent } from "../format.js";
import { element, note, paintCalmly, sleep, write } from "../page.js";

const COLOURS = ["line-4", "line-5", "line-2", "line-1", "line-3"];
const MOST = COLOURS.length;
const MOST_PAGES = 20;
const NO_TIME = "only candles of a length in time can be compared";
const WAITS = 5;

const keyOf = ({ venue, symbol }) => `${venue}:${symbol}`;
const seconds = ({ time }) => time / 1_000;

/** The close of a candle against another's, in percent; null where one is not known. */
export const changeOf = (candle, first) => (candle && first?.close ? 100 * (candle.close / first.close - 1) : null);

export class Compared {
  #held = new Map(); // by key, `{ instrument, colour, candles, texts }`
  #isDirty = false;
  #drawnTo = 0;

  /** `onChange()`: there are others. */
  constructor(chart, onChange) {
    this.chart = chart;
    this.onChange = onChange;
    chart.onDraw = () => this.#draw();
  }

  /** The instruments. */
  get list() {
    return [...this.#held.values()].map(({ instrument }) => instrument);
  }

  has(instrument) {
    return this.#held.has(keyOf(instrument));
  }

  add({ venue, symbol }) {
    const instrument = { venue, symbol };
    if (this.has(instrument)) return;
    if (!this.chart.isOfTime) return note(NO_TIME, { bad: true });
    if (this.#held.size >= MOST) return note(`a chart compares with at most ${MOST} others`, { bad: true });
    const taken = new Set([...this.#held.values()].map(({ colour }) => colour));
    const held = { instrument, colour: COLOURS.find((one) => !taken.has(one)), candles: null, text: element("b") };
    this.#held.set(keyOf(instrument), held);
    this.#paintLegend();
    this.onChange();
    void this.#read(held);
  }

  /** Compares with none, without saying so. */
  clear() {
    for (const key of this.#held.keys()) this.chart.canvas?.dropCompared(key);
    this.#held.clear();
    this.#paintLegend();
  }

  drop(instrument) {
    if (!this.#held.delete(keyOf(instrument))) return;
    this.chart.canvas?.dropCompared(keyOf(instrument));
    this.#paintLegend();
    this.onChange();
  }

  /** Another chart was chosen: they are compared with that. */
  choose() {
    if (this.#held.size && !this.chart.isOfTime) note(`${NO_TIME}: the others are back with such a timeframe`);
    for (const held of this.#held.values()) {
      held.candles = null;
      this.chart.canvas?.setCompared(keyOf(held.instrument), [], held.colour);
      void this.#read(held);
    }
  }

  /** Messages were lost. */
  reload() {
    for (const held of this.#held.values()) void this.#read(held, true);
  }

  /** Takes a candle of the broadcast. */
  take({ venue, symbol, timeframe, candle }) {
    const held = this.#held.get(keyOf({ venue, symbol }));
    if (!held?.candles || timeframe !== this.chart.focus?.timeframe) return;
    if (held.candles.put(candle) === "hole") return void this.#read(held, true);
    this.#isDirty = true;
    paintCalmly(this.#paintLast);
  }

  /** Reads the newest bars again where the flow says nothing of them. */
  async poll() {
    const { focus } = this.chart;
    if (!focus || isOfFlow(focus.timeframe) || !isOfTime(focus.timeframe)) return;
    for (const held of this.#held.values()) {
      if (!held.candles?.last) continue;
      const { candles } = await readBarsFrom({ ...held.instrument, timeframe: focus.timeframe }, held.candles.last.time).catch(() => ({ candles: [] }));
      for (const candle of candles) this.take({ ...held.instrument, timeframe: focus.timeframe, candle });
    }
  }

  /** Writes how far each has come since the first candle in view, up to the cursor or now. */
  paintValues() {
    if (!this.#held.size) return;
    const seen = this.chart.candlesInView;
    const until = this.chart.cursor ?? seen.at(-1)?.time;
    for (const { candles, text } of this.#held.values()) {
      const first = candles && seen.map(({ time }) => candles.at(time)).find(Boolean);
      const change = changeOf(candles?.at(until) ?? (this.chart.cursor ? null : candles?.last), first);
      write(text, percent(change));
      text.dataset.way = wayOfPercent(change ?? 0);
    }
  }

  /** Reads the newest candles, then older ones as far as the chart has them. */
  async #read(held, isAgain = false) {
    const { focus } = this.chart;
    if (!focus || !isOfTime(focus.timeframe)) return;
    const of = { ...held.instrument, timeframe: focus.timeframe };
    const isMine = () => this.#held.get(keyOf(of)) === held && this.chart.focus === focus;
    let end, waits = 0;
    if (!isAgain) held.candles = null;
    for (let pages = 0; pages < MOST_PAGES && isMine(); pages++) {
      let answer;
      try {
        answer = await readCandles(of, { end });
      } catch (error) {
        if (error.code !== "no_data") note(`${of.symbol}: ${error.message}`, { bad: true, about: error.detail ?? "" });
        break;
      }
      if (!isMine()) return;
      if (!answer.candles) {
        if ((waits += 1) > WAITS) break;
        await sleep(1_000 * Math.max(1, answer.wait_s));
        continue;
      }
      held.candles ??= new Candles(focus.timeframe);
      held.candles.merge(answer.candles);
      this.#drawOne(held);
      const first = this.chart.candles[0];
      if (!answer.candles.length || isAgain || (first && held.candles.first.time <= first.time)) break;
      end = held.candles.first.time;
    }
    this.#drawOne(held);
  }

  #draw() {
    this.#drawnTo = this.chart.candles.at(-1)?.time ?? 0;
    for (const held of this.#held.values()) {
      this.#drawOne(held);
      const first = this.chart.candles[0];
      if (held.candles?.first && first?.time < held.candles.first.time) void this.#readOlder(held);
    }
  }

  async #readOlder(held) {
    if (held.isReading) return;
    held.isReading = true;
    const { focus } = this.chart;
    const { candles } = held;
    const answer = await readCandles({ ...held.instrument, timeframe: focus.timeframe }, { end: candles.first.time }).catch(() => ({}));
    if (answer.candles?.length && held.candles === candles) {
      candles.merge(answer.candles);
      held.isReading = false;
      this.#drawOne(held);
    } // where there are none older it stays marked, and is not requested again
  }

  #drawOne({ instrument, colour, candles }) {
    if (!candles || !this.chart.canvas || !this.has(instrument)) return;
    const points = this.chart.candles.map((candle) => {
      const found = candles.at(candle.time);
      return found ? { time: seconds(candle), value: found.close } : { time: seconds(candle) };
    });
    this.chart.canvas.setCompared(keyOf(instrument), points, colour);
    this.paintValues();
  }

  #paintLast = () => {
    const last = this.chart.candles.at(-1);
    if (!last || !this.#isDirty) return;
    this.#isDirty = false;
    if (last.time !== this.#drawnTo) return this.#draw();
    for (const { instrument, candles } of this.#held.values()) {
      const found = candles?.at(last.time);
      if (found) this.chart.canvas?.updateCompared(keyOf(instrument), { time: seconds(last), value: found.close });
    }
    this.paintValues();
  };

  #paintLegend() {
    const rows = [...this.#held.values()].map(({ instrument, colour, text }) => {
      const cross = Object.assign(element("button", "", "×"), { onclick: () => this.drop(instrument) });
      cross.setAttribute("aria-label", `compare no longer with ${instrument.symbol} of ${instrument.venue}`);
      const dot = element("i");
      dot.style.background = `var(--${colour})`;
      return element("span", "compared", dot, `${instrument.symbol} `, element("small", "", instrument.venue), " ", text, cross);
    });
    this.chart.parts.compared.replaceChildren(...rows);
  }
}
