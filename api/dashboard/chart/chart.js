/** The candle chart of the chosen instrument: history over REST, new and forming candles from the broadcast. */

import { Candles, lengthMs } from "./candles.js";
import { openCanvas } from "./canvas.js";
import { paintLegend } from "./legend.js";
import { readAmountsAfter } from "./amounts.js";
import { readBarsFrom, readCandles } from "./source.js";
import { isOfFlow, isOfTime } from "./timeframe.js";
import { precision, wayOf } from "../format.js";
import { paintCalmly, sleep, write } from "../page.js";

const UNMET_TRIES = 3; // a flow may still store what lies between: so many answers that do not meet the chart wait for it
const UNMET_UNDER_WAY = 10; // the same while the flow says that it fetches them
const HOLE_PAUSES_MS = [3_000, 6_000, 12_000, 24_000, 48_000]; // a hole that is still there after these is one of the market
const MARGIN = 40; // candles left of the view, and of what its indicators need, below which older ones are fetched
const DAY_MS = 86_400_000;
const USUAL_MS = 60_000; // of a bar that has no length of its own, while there is only one
const MOST_PAGES = 40; // read at once to reach a time
const MOMENT_MS = 50;
const SETTLED_MS = 300; // by then what a new view needs is being read
const TRIES = 8;
const WHOLE_MS = 60_000; // as long as the API does not repeat a request to the flow (ASK_AGAIN_MS)
const FAILED_MS = 3_000;
const LOADING_MS = 1_000; // a chart that is empty for longer waits for its first candles

export class Chart {
  #canvas = null;
  #focus = null;
  #candles = null;
  #generation = 0;
  #reserve;
  #early = [];
  #changed = new Map(); // times of candles to draw; true: it is before the last one
  #drawnTo = 0;
  #loadingOlder = false;
  #filling = null; // the generation whose holes are being filled
  #wholeUntil = 0;
  #isWhole = false;
  #unmet = 0; // answers in a row that do not meet the chart
  #marketHoles = new Set(); // times of the candles after holes that stay
  #cursor = null;
  #chosenAt = 0;
  #price = null;
  #left = Infinity; // candles left of the view

  /**
   * `parts` are its elements. `onClosed()`: the chart was read anew, or has its first candle, or a closed one more.
   * `onCursor(time)`: the cursor is at another candle; null: at none. `onView()`: another part of it is in view.
   */
  constructor({ parts, onClosed, onCursor = () => {}, onView = () => {} }) {
    Object.assign(this, { parts, onClosed, onCursor, onView });
    this.onPaint = () => {}; // the last candle, or the one under the cursor, is another
    this.onDraw = () => {}; // all candles were drawn anew
    this.#reserve = 0;
  }

  /** Whether the chart library is installed; without it all but the drawing works. */
  async open() {
    try {
      this.#canvas = await openCanvas(this.parts.canvas);
    } catch {
      this.parts.absent.hidden = false;
      return;
    }
    this.#canvas.onScroll((left) => {
      this.#left = left;
      this.#loadForView();
      this.onView();
    });
    this.#canvas.onCursor((time) => {
      this.#cursor = time;
      this.#paintLegend();
      this.onCursor(time);
    });
    const sizes = new ResizeObserver(() => this.#leaveRoom());
    for (const part of [this.parts.legend, this.parts.head, this.parts.canvas]) sizes.observe(part);
    if (!this.#focus) return;
    this.#canvas.setTimes(this.#isOfDays); // what was read meanwhile is drawn
    if (!this.#candles) return;
    this.#draw();
    this.#canvas.showNewest();
    this.onClosed();
  }

  /** Prices begin below the legend. Under the cursor that may be longer for the moment, which moves nothing. */
  #leaveRoom() {
    if (this.#cursor !== null) return;
    const { legend, head, root } = this.parts;
    const last = legend.offsetHeight ? legend : head;
    this.#canvas.head = last.offsetHeight ? last.getBoundingClientRect().bottom - root.getBoundingClientRect().top : 0;
  }

  get canvas() {
    return this.#canvas;
  }

  /** `{ venue, symbol, timeframe }`; null without one. */
  get focus() {
    return this.#focus;
  }

  get candles() {
    return this.#candles?.list ?? [];
  }

  /** The candles as they are drawn: the forming one goes on with the price. */
  get shown() {
    const list = this.candles;
    return list.length ? [...list.slice(0, -1), this.#drawn(list.at(-1))] : list;
  }

  /** Time of the candle under the cursor, null without one. */
  get cursor() {
    return this.#cursor;
  }

  /** Puts the cursor at a candle, null for none, as one chart does for others. */
  point(candle) {
    this.#canvas?.setCursor(candle);
    this.#cursor = candle?.time ?? null; // the library does not say that it is gone
    this.#paintLegend();
  }

  /** Candles that are loaded besides those in view, for what is computed of them. */
  set reserve(candles) {
    this.#reserve = candles;
    this.#loadForView();
  }

  #loadForView() {
    if (this.#left < MARGIN + this.#reserve) void this.#loadOlder();
  }

  /** Whether there were no older candles when they were read last: what is loaded is all. */
  get isWhole() {
    return this.#isWhole;
  }

  /** Whether there is nothing to show, and has not been for a while. */
  get isWaiting() {
    return this.#focus !== null && !this.candles.length && performance.now() - this.#chosenAt > LOADING_MS;
  }

  /** Switches to another chart. */
  async choose(focus) {
    this.#focus = focus;
    this.#chosenAt = performance.now();
    this.#candles = null;
    this.#changed.clear();
    this.#cursor = null;
    this.#wholeUntil = 0;
    this.#isWhole = false;
    this.#unmet = 0;
    this.#marketHoles.clear();
    this.#price = null;
    this.#canvas?.setPrice(null);
    this.#canvas?.setTimes(this.#isOfDays);
    this.#paintLegend();
    this.parts.canvas.classList.add("loading");
    await this.reload({ fresh: true });
  }

  /** Shows nothing. */
  close() {
    this.#generation++;
    this.#focus = null;
    this.#candles = null;
    this.#price = null;
    this.#changed.clear();
    this.#canvas?.setPrice(null);
    this.#canvas?.setCandles([]);
    this.parts.canvas.classList.remove("loading");
    this.#say("");
    this.#paintLegend();
  }

  /** Length of its candles in ms; the mean one where they have no length of their own. */
  get lengthMs() {
    if (!this.#focus) return 0;
    if (this.isOfTime) return lengthMs(this.#focus.timeframe);
    const list = this.candles;
    return list.length > 1 ? Math.max(1, (list.at(-1).time - list[0].time) / (list.length - 1)) : USUAL_MS;
  }

  /** Whether its candles have a length in time. */
  get isOfTime() {
    return !this.#focus || isOfTime(this.#focus.timeframe);
  }

  get #isOfDays() {
    return this.isOfTime && this.lengthMs >= DAY_MS;
  }

  /** Reads the newest candles again, after a disconnect or a refresh; the view stays. */
  async reload({ fresh = false } = {}) {
    const generation = ++this.#generation;
    this.#early = [];
    this.#loadingOlder = false;
    const held = fresh ? null : this.#candles;
    const answer = await this.#read(generation, {});
    if (generation !== this.#generation) return;
    const page = isUnderWay(answer) ? meeting(answer, new Candles(this.#focus.timeframe)) : answer?.candles;
    this.parts.canvas.classList.remove("loading");
    const meets = held?.last && !(page?.length && page[0].timestamp > held.last.time);
    const candles = meets ? held : new Candles(this.#focus.timeframe); // after a long disconnect `held` is too old
    candles.merge(page ?? []);
    this.#candles = candles;
    for (const candle of this.#early) candles.put(candle);
    this.#early = null;
    this.#draw();
    if (page && !candles.list.length) this.#say(FIRST);
    if (!meets) this.#canvas?.showNewest();
    void this.#fillHoles(generation);
    this.onClosed();
  }

  /** Takes the latest price, `{ price, timestamp }`; undefined without one. */
  takePrice(data) {
    if (!data || data.price === this.#price?.price) {
      if (data) this.#price = data;
      return;
    }
    this.#price = data;
    paintCalmly(this.#paintPrice);
  }

  /**
   * A candle as it is drawn. Prices never wait, candles wait for trades that are late: until these have come, the forming
   * one goes on with the price, as all else on the page.
   */
  #drawn(candle) {
    const { price, timestamp } = this.#price ?? {};
    const isLast = candle === this.#candles.last && !candle.is_closed;
    if (!isLast || price === undefined || !(timestamp > (candle.asOf ?? 0))) return candle;
    if (timestamp < candle.time || timestamp >= candle.time + this.#candles.lengthMs) return candle;
    return { ...candle, close: price, high: Math.max(candle.high, price), low: Math.min(candle.low, price) };
  }

  /** Takes a candle of the broadcast; `timestamp` is the time of what made this version of it. */
  take({ venue, symbol, timeframe, candle: version, timestamp }) {
    if (!this.isOf({ venue, symbol }) || timeframe !== this.#focus.timeframe) return;
    const candle = { ...version, asOf: timestamp };
    if (this.#early) {
      this.#early.push(candle);
      return;
    }
    const isFirst = !this.#candles.list.length;
    const outcome = this.#candles.put(candle);
    if (outcome === "old") return;
    if (isFirst) this.#say("");
    if (outcome === "hole") {
      void this.reload();
      return;
    }
    if (outcome === "late") {
      this.#draw();
      return;
    }
    this.#changed.set(candle.timestamp, outcome === "amended");
    paintCalmly(this.#paintChanged);
    if (isFirst || candle.is_closed) this.onClosed();
  }

  isOf({ venue, symbol }) {
    return venue === this.#focus?.venue && symbol === this.#focus.symbol;
  }

  /** Reads the newest bars again where the flow says nothing of them. */
  async poll() {
    const last = this.#candles?.last, generation = this.#generation, focus = this.#focus;
    if (!last || this.#early || isOfFlow(focus.timeframe)) return;
    try {
      const now = this.#price?.timestamp ?? last.time;
      const candles = this.isOfTime ? (await readBarsFrom(focus, last.time)).candles : await readAmountsAfter(focus, this.#candles.list, now);
      if (generation !== this.#generation) return;
      for (const candle of candles) this.take({ ...focus, candle, timestamp: 0 });
    } catch {
      return; // the price goes on, and the next time comes soon
    }
  }

  recolour() {
    this.#canvas?.recolour();
    if (this.#candles) this.#draw();
  }

  /** Another time zone was chosen. */
  retime() {
    if (this.#focus) this.#canvas?.setTimes(this.#isOfDays);
    this.#paintLegend();
  }

  showNewest() {
    this.#canvas?.showNewest();
  }

  /** The candles in view. */
  get candlesInView() {
    const { shown } = this;
    const { from, to } = this.#canvas?.view(shown.length) ?? { from: 0, to: 0 };
    return shown.slice(from, to);
  }

  /** `{ start, end }` of the candles in view, ms UTC; null without any. */
  get viewTimes() {
    const seen = this.candlesInView;
    const last = seen.at(-1);
    return last ? { start: Math.floor(seen[0].time), end: last.closes ? last.closes + 1 : last.time + this.lengthMs } : null;
  }

  /** Scrolls to the candle of a time, ms UTC, and reads what lies between; false where there is none. */
  async showTime(time) {
    const focus = this.#focus;
    let pages = 0, shownAt = null;
    while (this.#focus === focus && pages < MOST_PAGES) {
      if (this.#early || this.#loadingOlder || !this.#candles) {
        await sleep(MOMENT_MS);
        continue;
      }
      const list = this.#candles.list;
      if (list[0]?.time <= time) {
        const index = list.findLastIndex((candle) => candle.time <= time);
        if (index === shownAt) return time < list[index].time + this.#candles.lengthMs;
        this.#canvas?.showCandle(list[index], index);
        shownAt = index; // what is read for this view moves it: then it is shown again
        await sleep(SETTLED_MS);
        continue;
      }
      if (!list.length || performance.now() < this.#wholeUntil) return false;
      pages += 1;
      await this.#loadOlder();
    }
    return this.#focus !== focus; // another chart was chosen meanwhile
  }

  async #loadOlder() {
    if (this.#loadingOlder || performance.now() < this.#wholeUntil || this.#early || !this.#candles?.first) return;
    this.#loadingOlder = true;
    const generation = this.#generation;
    const answer = await this.#read(generation, { end: this.#candles.first.time });
    if (generation !== this.#generation) return;
    this.#loadingOlder = false;
    const page = this.#unmet < mostUnmet(answer) ? meeting(answer, this.#candles) : answer?.candles;
    if (!page?.length && answer?.candles.length) {
      this.#unmet += 1;
      this.#wholeUntil = performance.now() + FAILED_MS; // what meets the chart is still being fetched
      return;
    }
    if (!page?.length) {
      this.#wholeUntil = performance.now() + (page ? WHOLE_MS : FAILED_MS);
      if (page && !this.#isWhole) {
        this.#isWhole = true;
        this.onClosed();
      }
      return;
    }
    this.#unmet = 0;
    this.#isWhole = false;
    this.#candles.merge(page);
    this.#draw();
    void this.#fillHoles(generation);
    this.onClosed();
  }

  /** Reads what holes lack, the newest first, until it is there or no more is to be expected. */
  async #fillHoles(generation) {
    if (this.#filling === generation) return;
    this.#filling = generation;
    let edge;
    while ((edge = this.#candles.edges().find((time) => !this.#marketHoles.has(time)))) {
      let isSmaller = false;
      for (const pause of HOLE_PAUSES_MS) {
        await sleep(pause);
        if (generation !== this.#generation) return;
        const answer = await this.#read(generation, { end: edge });
        if (generation !== this.#generation) return;
        isSmaller = answer?.candles.length && this.#candles.fill(answer.candles, edge);
        if (isSmaller) break;
      }
      if (isSmaller) this.#draw();
      else this.#marketHoles.add(edge);
    }
    this.#filling = null;
  }

  /** The answer with the candles of a range. The flow may have to fetch them first: then the request is repeated. */
  async #read(generation, span) {
    const focus = this.#focus;
    for (let tries = 0; tries < TRIES && generation === this.#generation; tries++) {
      let answer;
      try {
        answer = await readCandles(focus, span);
      } catch (error) {
        if (error.code !== "no_data") {
          this.#say(error.message);
          return null;
        }
        if (!tries) break; // there are none; requested ones may not be stored yet
        answer = { wait_s: 1 };
      }
      if (answer.candles) {
        this.#say("");
        return answer;
      }
      this.#say("older candles are being fetched from the exchange");
      await sleep(1_000 * Math.max(1, answer.wait_s));
    }
    this.#say("");
    return { candles: [] };
  }

  #say(text) {
    write(this.parts.state, text);
  }

  #draw() {
    const list = this.#candles.list;
    this.#changed.clear();
    this.#drawnTo = this.#candles.last?.time ?? 0;
    const decimals = precision.see(this.#focus, ...list.slice(-200).map((candle) => candle.close));
    this.#canvas?.setDecimals(decimals);
    this.#canvas?.setCandles(this.shown);
    this.#paintPrice();
    this.onDraw();
  }

  #paintChanged = () => {
    for (const [time, amended] of this.#changed) {
      const last = this.#drawnTo;
      this.#canvas?.update(this.#drawn(this.#candles.at(time)), amended || time < last);
      this.#drawnTo = Math.max(last, time);
    }
    this.#changed.clear();
    this.#paintPrice();
  };

  /** The price at the axis, and in the forming candle. */
  #paintPrice = () => {
    const last = this.#candles?.last;
    const drawn = last && this.#drawn(last);
    if (drawn && drawn !== last && last.time === this.#drawnTo) this.#canvas?.update(drawn, false); // a later one waits for those before it
    const price = this.#price?.price ?? last?.close;
    this.#canvas?.setPrice(price ?? null, wayOf(price - (last?.open ?? price)));
    this.#paintLegend();
  };

  #paintLegend() {
    const found = this.#candles?.at(this.#cursor) ?? this.#candles?.last;
    paintLegend(this.parts, found ? this.#drawn(found) : null, this.#focus, this.#isOfDays);
    this.onPaint();
  }
}

const FIRST = "no candle is there yet: the first one comes with the next trade";
const isUnderWay = (answer) => ["open", "running"].includes(answer?.history?.state);
const mostUnmet = (answer) => (isUnderWay(answer) ? UNMET_UNDER_WAY : UNMET_TRIES);

/** Candles of an answer without those behind a hole. */
const meeting = (answer, held) => answer && held.meeting(answer.candles, held.first?.time);
