/** Figures of columns that no message of the broadcast brings for all instruments: read while such a column is shown. */

import { get } from "../rest.js";

const TICKS_MS = 3_000;
const FUNDING_MS = 30_000;
const READINGS_MS = 5_000;
const READINGS = 10; // instruments at a time: each is an analysis of all timeframes
const KEPT_MS = 60_000; // a reading is of the last minute

export class Figures {
  #page;
  #isReading = new Set();
  #readingsAt = new Map(); // by record

  /**
   * `records` by `venue:symbol`; `isShown(column)`; `inView()` are the records that are seen, which come first;
   * `onFigures(records)`: these have others.
   */
  constructor(page) {
    this.#page = page;
    for (const [ms, read] of [[TICKS_MS, this.#ticks], [FUNDING_MS, this.#funding], [READINGS_MS, this.#readings]]) {
      setInterval(() => document.hidden || void read(), ms);
    }
  }

  /** Another column is shown. */
  refresh() {
    setTimeout(() => {
      for (const read of [this.#ticks, this.#funding, this.#readings]) void read();
    });
  }

  #ticks = () => this.#read("spread", async () => this.#take(await get("/api/ticks"), (record, tick) => { record.tick = tick; }));

  #funding = () => this.#read("funding", async () => this.#take(await get("/api/funding"), (record, funding) => { record.funding = funding; }));

  /** Those in view first, then the others in turn. */
  #readings = () => this.#read("signal", async () => {
    const now = performance.now();
    const due = (record) => now - (this.#readingsAt.get(record) ?? -Infinity) > KEPT_MS;
    const wanted = [...new Set([...this.#page.inView(), ...this.#page.records.values()])].filter(due).slice(0, READINGS);
    for (const [venue, records] of Map.groupBy(wanted, ({ venue }) => venue)) {
      for (const record of records) this.#readingsAt.set(record, now);
      const rows = await get("/api/overview", { venue, symbols: records.map(({ symbol }) => symbol).join(",") });
      this.#take(rows, (record, reading) => { record.reading = reading; });
    }
    for (const record of this.#readingsAt.keys()) if (!this.#page.records.has(`${record.venue}:${record.symbol}`)) this.#readingsAt.delete(record);
  });

  async #read(column, work) {
    if (!this.#page.isShown(column) || this.#isReading.has(column)) return;
    this.#isReading.add(column);
    try {
      await work();
    } catch {
      // the column keeps what it has; that nothing is reached is said by the page
    } finally {
      this.#isReading.delete(column);
    }
  }

  #take(rows, put) {
    const changed = [];
    for (const row of rows) {
      const record = this.#page.records.get(`${row.venue}:${row.symbol}`);
      if (!record) continue;
      put(record, row);
      changed.push(record);
    }
    if (changed.length) this.#page.onFigures(changed);
  }
}
