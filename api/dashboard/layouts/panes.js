/** The charts of the page: one, two or four, of which one is active: the head, the book and the address are its. */

import { copyOf, partsOf } from "../chart/parts.js";
import { isOfFlow, TIMEFRAMES } from "../chart/timeframe.js";
import { byId } from "../page.js";
import { Pane } from "./pane.js";


export class Panes {
  #panes = [];
  #active = 0;
  #kept;
  #tool = "";
  #scale = "linear";
  #isOpen = false;
  #isFollowing = false;
  #leader = null; // the one under the pointer, which the others follow

  /**
   * `kept` is the viewer's layout (layouts/kept.js). `onActive(focus)`: another one is active. `onCharts()`: others are
   * shown. `onCandles(pane)`, `onTool(name)`, and `onAlert(focus, price)` as for a pane. `priceOf(venue, symbol)` is
   * the latest one.
   */
  constructor({ kept, extras, rules, onActive, onCharts, onCandles, onTool, onAlert, priceOf }) {
    Object.assign(this, { extras, rules, onActive, onCharts, onCandles, onTool, onAlert, priceOf });
    this.#kept = kept;
    this.#grow(partsOf(byId("stage")));
    this.#active = Math.min(kept.active, kept.count - 1);
    this.#resize();
  }

  get active() {
    return this.#panes[this.#active];
  }

  get all() {
    return this.#panes;
  }

  /** Of the active one: for the console, as `marketflow.candles`. */
  get candles() {
    return this.active.chart.candles;
  }

  get canvas() {
    return this.active.chart.canvas;
  }

  async open() {
    this.#isOpen = true;
    await Promise.all(this.#panes.map((pane) => pane.open()));
  }

  /** Shows a chart in the active one, and its instrument in all that are linked. */
  choose(focus) {
    this.active.choose(focus);
    this.#price(this.active);
    if (!focus) for (const pane of this.#panes) pane.choose(null);
    else if (this.#kept.links.symbol) for (const pane of this.#others) this.#choose(pane, { ...pane.focus, venue: focus.venue, symbol: focus.symbol });
    this.arrange();
    this.#keep();
    this.onCharts();
  }

  /** Shows as many charts as the layout has, each with what it showed before. */
  arrange() {
    const { count, charts } = this.#kept;
    const { focus } = this.active;
    if (this.#active >= count) {
      this.#panes[0].choose(focus);
      this.#active = 0;
    }
    this.#resize();
    for (const [index, pane] of this.#panes.entries()) {
      if (pane.focus || !focus) continue;
      const known = charts[index];
      this.#choose(pane, this.#kept.links.symbol ? { ...focus, timeframe: known?.timeframe || longer(focus.timeframe, index) } : known?.symbol ? chartOf(known) : focus);
    }
    for (const [index, pane] of this.#panes.entries()) for (const other of charts[index]?.compared ?? []) pane.compared.add(other);
  }

  /** Another layout was chosen; its charts are those that it names. */
  set({ active = 0 }) {
    const { charts } = this.#kept.all;
    for (const pane of this.#panes) pane.compared.clear();
    if (this.#active >= this.#kept.count) this.#panes[0].choose(this.active.focus);
    this.#active = Math.min(active, this.#kept.count - 1);
    this.#resize();
    this.#panes.forEach((pane, index) => charts[index]?.symbol && this.#choose(pane, chartOf(charts[index])));
    for (const [index, pane] of this.#panes.entries()) for (const other of charts[index]?.compared ?? []) pane.compared.add(other);
    this.arrange();
    this.#keep();
    this.onCharts();
    if (this.active.focus) this.onActive(this.active.focus);
  }

  /** As many charts as the layout has; new ones are empty. */
  #resize() {
    const { count } = this.#kept;
    while (this.#panes.length > count) {
      const { parts, compared } = this.#panes.pop();
      compared.clear();
      parts.root.remove();
    }
    while (this.#panes.length < count) {
      const parts = copyOf(this.#panes[0].parts);
      byId("panes").append(parts.root);
      const pane = this.#grow(parts);
      if (this.#isOpen) void pane.open();
    }
    byId("panes").dataset.count = count;
    for (const pane of this.#panes) pane.parts.head.hidden = count === 1;
    if (count === 1) byId("panes").classList.remove("single");
    this.#paintActive();
  }

  #paintActive() {
    const isOne = this.#panes.length === 1;
    for (const [index, { parts }] of this.#panes.entries()) parts.root.classList.toggle("active", !isOne && index === this.#active);
  }

  /** Every `{ venue, symbol, timeframe }` of which the flow's candles are shown. */
  get charts() {
    const shown = this.#panes.flatMap(({ focus, compared }) => (focus ? [focus, ...compared.list.map((one) => ({ ...one, timeframe: focus.timeframe }))] : []));
    const unique = new Map(shown.map((one) => [`${one.venue} ${one.symbol} ${one.timeframe}`, one]));
    return [...unique.values()].filter(({ timeframe }) => isOfFlow(timeframe));
  }

  take(data) {
    for (const pane of this.#panes) pane.take(data);
  }

  takePrice(latest, instrument) {
    for (const pane of this.#panes) if (pane.chart.isOf(instrument)) pane.takePrice(latest);
  }

  /** Connected again, or messages were lost: reads from the stores what was missed. */
  reload(venue) {
    for (const pane of this.#panes) if (pane.focus?.venue === venue || pane.compared.list.some((one) => one.venue === venue)) void pane.reload();
  }

  poll() {
    for (const pane of this.#panes) pane.poll();
  }

  recolour() {
    for (const pane of this.#panes) pane.recolour();
  }

  retime() {
    for (const { chart } of this.#panes) chart.retime();
  }

  set scale(name) {
    this.#scale = name;
    for (const pane of this.#panes) pane.scale = name;
  }

  get tool() {
    return this.#tool;
  }

  /** Takes a tool in all of them; "" puts it away. */
  use(name) {
    this.#tool = name;
    for (const pane of this.#panes) pane.use(name);
    this.onTool(name);
  }

  /** Greys those whose candles are not of now. */
  paintStates(stateOf) {
    for (const { focus, parts } of this.#panes) {
      if (!focus) continue;
      const { isCurrent, state } = stateOf(focus);
      parts.root.classList.toggle("old", !isCurrent);
      parts.root.dataset.currency = state;
    }
  }

  /** Deletes the trend line that is selected; whether one was. */
  dropSelected() {
    return this.#panes.some((pane) => pane.trends.dropSelected());
  }

  get #others() {
    return this.#panes.filter((pane) => pane !== this.active);
  }

  #grow(parts) {
    const pane = new Pane(parts, {
      extras: this.extras,
      rules: this.rules,
      onCandles: (one) => this.onCandles(one),
      onCursor: (one, time) => this.#onCursor(one, time),
      onView: (one) => this.#onView(one),
      onCompared: () => {
        this.#keep();
        this.onCharts();
      },
      onAlert: (focus, price) => this.onAlert(focus, price),
      onToolDone: () => this.use(""),
    });
    pane.scale = this.#scale;
    pane.use(this.#tool);
    parts.root.addEventListener("pointerenter", () => (this.#leader = pane));
    parts.root.addEventListener("pointerdown", () => {
      this.#leader = pane;
      this.#activate(this.#panes.indexOf(pane));
    }, { capture: true });
    parts.root.addEventListener("focusin", () => this.#activate(this.#panes.indexOf(pane)));
    parts.large.onclick = () => this.#enlarge(pane);
    this.#panes.push(pane);
    return pane;
  }

  #activate(index) {
    if (index < 0 || index === this.#active) return;
    this.#active = index;
    this.#paintActive();
    this.#keep();
    if (this.active.focus) this.onActive(this.active.focus);
  }

  #enlarge(pane) {
    const isLarge = pane.parts.root.classList.toggle("large");
    for (const other of this.#panes) if (other !== pane) other.parts.root.classList.remove("large");
    byId("panes").classList.toggle("single", isLarge);
    pane.parts.large.ariaPressed = String(isLarge);
  }

  #choose(pane, focus) {
    pane.choose(focus);
    this.#price(pane);
  }

  #price(pane) {
    if (pane.focus) pane.takePrice(this.priceOf(pane.focus.venue, pane.focus.symbol));
  }

  #onCursor(pane, time) {
    if (pane !== this.#leader || !this.#kept.links.time) return;
    for (const other of this.#panes) if (other !== pane) other.point(time);
  }

  #onView(pane) {
    if (pane !== this.#leader || !this.#kept.links.time || this.#panes.length === 1 || this.#isFollowing) return;
    this.#isFollowing = true;
    requestAnimationFrame(() => {
      this.#isFollowing = false;
      const { span } = pane;
      if (span) for (const other of this.#panes) if (other !== pane) other.follow(span);
    });
  }

  #keep() {
    const charts = this.#panes.map(({ focus, compared }) => focus && { ...focus, compared: compared.list });
    this.#kept.keepCharts(charts.some((one) => !one) ? null : charts, this.#active);
  }
}

const chartOf = ({ venue, symbol, timeframe }) => ({ venue, symbol, timeframe });

/** The timeframe of a further chart: a longer one than the first's, as long as there is one. */
function longer(timeframe, steps) {
  const place = TIMEFRAMES.indexOf(timeframe);
  return TIMEFRAMES[Math.min(TIMEFRAMES.length - 1, place + steps)] ?? timeframe;
}
