/** The list of what is recorded: figures in the viewer's columns, order and groups. Each line is a link to its chart. */

import { precision } from "./format.js";
import { byId, note, paintSoon } from "./page.js";
import { COLUMNS, inOrder, OWN_ORDER, USUAL_COLUMNS } from "./watch/columns.js";
import { Drag } from "./watch/drag.js";
import { Figures } from "./watch/figures.js";
import { Groups, kept } from "./watch/groups.js";
import { Setup } from "./watch/setup.js";
import { Viewport } from "./watch/viewport.js";

const KEPT_VIEW = "marketflow.list";
const USUAL_VIEW = { column: "name", way: 1, group: "", columns: USUAL_COLUMNS, onlyStarred: false };
const isName = (name) => name === "name" || name === OWN_ORDER || name in COLUMNS;
const isView = ({ column, way, group, columns } = {}) =>
  isName(column) && (way === 1 || way === -1) && typeof group === "string" && Array.isArray(columns) && columns.every((name) => name in COLUMNS);

const keyOf = (venue, symbol) => `${venue}:${symbol}`;
const keyOfRecord = ({ venue, symbol }) => keyOf(venue, symbol);
const CURRENT = { isCurrent: true, about: "", state: "live" };

export class Prices {
  #records = new Map(); // all, by key
  #shown = []; // those of the chosen group, in order
  #isDirty = false; // whether there are others, or another order
  #isPlaced = true; // whether those in view have their places in this order
  #isPainted = false; // before that nothing is laid out
  #changed = new Set();
  #chosen = "";
  #timeframe = "1m";
  #longest = { name: 0, price: 0 }; // letters
  #venues = new Map(); // how many instruments each has
  #view = { ...USUAL_VIEW, ...kept(localStorage, KEPT_VIEW, {}, isView) };
  #groups = new Groups();
  #list = byId("prices");
  #sized = [document.querySelector("main"), ...["list", "columns", "prices"].map(byId)]; // whose styles have the longest name and price
  #viewport;
  #figures;
  #setup;

  /** `onRemove(instrument)`: the user wants to record one no more. `stateOf(venue, symbol)` is how current its price is. */
  constructor({ onRemove, stateOf = () => CURRENT }) {
    this.onRemove = onRemove;
    this.stateOf = stateOf;
    this.#list.onkeydown = (event) => this.#onKey(event);
    this.#viewport = new Viewport(byId("list"), this.#list, {
      star: (record) => this.#toggleStar(record),
      group: (record, button) => this.#setup.showGroupsOf(record, keyOfRecord(record), button),
      remove: ({ venue, symbol }) => this.onRemove({ venue, symbol }),
      paint: (line) => this.#paintLine(line),
      chosen: () => this.#records.get(this.#chosen),
      columns: () => this.#view.columns,
    });
    new Drag(byId("list"), {
      recordOf: ({ dataset: { venue, symbol } }) => this.#records.get(keyOf(venue, symbol)),
      groups: () => this.#groups.names,
      group: () => this.#ownGroup,
      put: (record, name) => this.#put(record, name),
      make: (record, near) => this.#setup.showGroupsOf(record, keyOfRecord(record), near),
      place: (record, other, isAfter) => this.#place(record, other, isAfter),
      isStrip: () => this.#viewport.isStrip,
    });
    this.#figures = new Figures({
      records: this.#records, isShown: (name) => this.#view.columns.includes(name) || this.#view.column === name,
      inView: () => [...this.#viewport.lines.keys()],
      onFigures: (records) => {
        for (const record of records) this.#changed.add(record);
        paintSoon(this.#paint);
      },
    });
    this.#setup = new Setup(this.#groups, this.#view, {
      venues: () => this.#venues, sizeOf: (group) => this.#membersOf(group).length, onView: () => this.#keepView(), onGroups: () => this.arrange(),
    });
    this.#keepView();
  }

  has(venue, symbol) {
    return this.#records.has(keyOf(venue, symbol));
  }

  /** Puts the lines into their order again: what they are sorted by changes. */
  arrange() {
    this.#isDirty = true;
    paintSoon(this.#paint);
  }

  #keepView() {
    localStorage.setItem(KEPT_VIEW, JSON.stringify({ ...this.#view, onlyStarred: false })); // that is for the moment
    if (this.#viewport.isStrip) this.#viewport.hold(this.#records.get(this.#chosen)); // lines are longer, or elsewhere
    this.#figures.refresh();
    this.arrange();
    for (const { record } of this.#viewport.lines.values()) this.#changed.add(record);
  }

  #toggleStar(record) {
    this.#groups.toggleStar(keyOfRecord(record));
    this.#viewport.lines.get(record) && this.#mark(this.#viewport.lines.get(record));
    this.arrange();
  }

  /** Takes a price of the hub or the REST API. */
  take(data, venue) {
    const record = this.#record(venue, data.symbol);
    if (record.data && data.timestamp < record.data.timestamp) return;
    record.moved += record.data ? data.price - record.data.price : 0;
    record.data = data;
    precision.see(record, data.price);
    this.#changed.add(record);
    paintSoon(this.#paint);
  }

  /** A symbol that is wanted but has no price yet. */
  expect(venue, symbol) {
    this.#record(venue, symbol);
  }

  /** Whether it was there. */
  forget(venue, symbol) {
    if (!this.#records.delete(keyOf(venue, symbol))) return false;
    this.#count(venue, -1);
    this.#isDirty = true;
    this.#paint();
    return true;
  }

  /** Greys the prices in view that are not current, and says why. */
  paintStates() {
    for (const line of this.#viewport.lines.values()) line.paintState(this.#stateOf(line.record));
  }

  /** Shows the chosen one, null for none; links lead to the chosen timeframe. */
  choose(focus) {
    const had = this.#list.contains(document.activeElement);
    const isOther = this.#chosen !== (this.#chosen = focus ? keyOf(focus.venue, focus.symbol) : "");
    if (focus) {
      this.#timeframe = focus.timeframe;
      this.#record(focus.venue, focus.symbol);
    }
    const record = this.#records.get(this.#chosen);
    if (!this.#isPainted) {
      if (isOther && record) this.#viewport.hold(record);
      return this.arrange();
    }
    if (this.#isDirty || isOther) this.#arrangeNow();
    for (const line of this.#viewport.lines.values()) this.#mark(line);
    if (!focus) return;
    if (isOther) this.#viewport.hold(record);
    if (had) this.#viewport.lines.get(record)?.link.focus();
  }

  latest(venue, symbol) {
    return this.#records.get(keyOf(venue, symbol))?.data;
  }

  /** All of them, those in the shown order first. */
  get instruments() {
    if (this.#isDirty) this.#orderNow();
    const shown = new Set(this.#shown);
    const others = [...this.#records.values()].filter((record) => !shown.has(record));
    return [...this.#shown, ...others].map(({ venue, symbol }) => ({ venue, symbol }));
  }

  /** The instrument `step` lines below the chosen one, wrapping around; from outside the shown group into it. */
  neighbour(step) {
    if (this.#isDirty) this.#orderNow();
    const lines = this.#shown.length ? this.#shown : [...this.#records.values()];
    const index = lines.findIndex((record) => keyOfRecord(record) === this.#chosen);
    return index < 0 ? lines.at(step > 0 ? 0 : -1) : lines.at((index + step) % lines.length);
  }

  /** What is shown once the chosen one is gone: its neighbour, or where the group has no other, any; null without one. */
  get successor() {
    const isOther = (record) => record && keyOfRecord(record) !== this.#chosen;
    return [this.neighbour(1), ...this.#records.values()].find(isOther) ?? null;
  }

  /** The name of the viewer's group that is shown; "" without one. */
  get #ownGroup() {
    const { group } = this.#view;
    return group.startsWith("group:") ? group.slice("group:".length) : "";
  }

  #put(record, name) {
    const key = keyOfRecord(record), wasIn = this.#groups.has(name, key);
    const put = (isIn) => {
      this.#groups.put(name, key, isIn);
      this.arrange();
    };
    put(true);
    if (wasIn) note(`${record.symbol} is in ${name} already`);
    else note(`${record.symbol} is in ${name}`, { action: { text: "Undo", run: () => put(false) } });
  }

  /** Puts a line of the shown group before another one or after it, at the end for null: the order is the viewer's own from then on. */
  #place(record, other, isAfter = false) {
    const shown = this.#shown.filter((one) => one !== record);
    const index = other ? shown.indexOf(other) + (isAfter ? 1 : 0) : shown.length;
    shown.splice(index, 0, record);
    this.#groups.order(this.#ownGroup, shown.map(keyOfRecord));
    Object.assign(this.#view, { column: OWN_ORDER, way: 1 });
    this.#keepView();
    this.#arrangeNow(); // the next key may come before the page is painted
  }

  /** Alt and an arrow on a line of a group. */
  #step(line, step) {
    const record = this.#records.get(keyOf(line.dataset.venue, line.dataset.symbol));
    const other = this.#shown[this.#shown.indexOf(record) + step];
    if (other) this.#place(record, other, step > 0);
  }

  #onKey(event) {
    const line = event.target.closest("li");
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (line && step && event.altKey && this.#ownGroup) {
      event.preventDefault();
      return this.#step(line, step);
    }
    if (event.key !== "Delete" || !line) return;
    event.preventDefault();
    this.onRemove({ venue: line.dataset.venue, symbol: line.dataset.symbol });
  }

  #record(venue, symbol) {
    const key = keyOf(venue, symbol);
    if (!this.#records.has(key)) {
      this.#records.set(key, { venue, symbol, moved: 0 });
      this.#count(venue, 1);
      this.#makeRoom("name", symbol.length);
      this.arrange();
    }
    return this.#records.get(key);
  }

  #count(venue, more) {
    const count = (this.#venues.get(venue) ?? 0) + more;
    if (count) this.#venues.set(venue, count);
    else this.#venues.delete(venue);
    byId("list").classList.toggle("venues", this.#venues.size > 1); // where there is more than one they are named
  }

  /** A group of the viewer's, `venue:` and a venue, or "" for all. */
  #membersOf(group) {
    const records = [...this.#records.values()];
    if (!group) return records;
    if (group.startsWith("venue:")) return records.filter(({ venue }) => venue === group.slice("venue:".length));
    const name = group.slice("group:".length);
    return records.filter((record) => this.#groups.has(name, keyOfRecord(record)));
  }

  #arrangeNow() {
    this.#orderNow();
    this.#isPlaced = true;
    this.#viewport.arrange(this.#shown);
    for (const line of this.#viewport.lines.values()) this.#mark(line);
    this.#setup.paint(this.#shown.length);
  }

  #orderNow() {
    this.#isDirty = this.#isPlaced = false;
    const { column, way, group, onlyStarred } = this.#view;
    if (column === "state") for (const record of this.#records.values()) this.#stateOf(record);
    const isStarred = (record) => this.#groups.isStarred(keyOfRecord(record));
    const members = this.#membersOf(group).filter((record) => !onlyStarred || isStarred(record) || keyOfRecord(record) === this.#chosen);
    const places = this.#groups.placesOf(this.#ownGroup);
    this.#shown = inOrder(members, { column, way, isStarred, placeOf: (record) => places.get(keyOfRecord(record)) });
  }

  #stateOf(record) {
    const state = this.stateOf(record.venue, record.symbol);
    record.state = state.state;
    return state;
  }

  /** The tab key reaches one of the lines, and the others from there: the chosen one, or the first where it is not shown. */
  #mark(line) {
    const key = keyOfRecord(line.record);
    const isChosen = key === this.#chosen;
    const first = this.#shown[0];
    const isReached = isChosen || (line.record === first && !this.#shown.includes(this.#records.get(this.#chosen)));
    line.mark({ isChosen, isReached, isStarred: this.#groups.isStarred(key), timeframe: this.#timeframe });
  }

  /** The panel is as wide as the longest name and price need; it grows only, so that it does not move with each price. */
  #makeRoom(part, letters) {
    if (letters <= this.#longest[part]) return;
    this.#longest[part] = letters;
    for (const one of this.#sized) one.style.setProperty(`--longest-${part}`, letters);
  }

  #paintLine(line) {
    if (line.isFresh) this.#mark(line);
    line.paint(this.#view.columns, this.#stateOf(line.record));
  }

  #paint = () => {
    let isLonger = false;
    for (const record of this.#changed) {
      if (!record.data) continue;
      const text = COLUMNS.price.text(record);
      isLonger ||= text.length > (record.priceText?.length ?? 0);
      record.priceText = text;
      this.#makeRoom("price", text.length);
    }
    this.#isPainted = true;
    if (this.#isDirty || !this.#isPlaced) this.#arrangeNow();
    else if (isLonger) this.#viewport.measure();
    for (const record of this.#changed) {
      const line = this.#viewport.lines.get(record);
      if (line) this.#paintLine(line);
      else record.moved = 0;
    }
    this.#changed.clear();
  };
}

