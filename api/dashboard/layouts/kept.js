/** The layout of charts that the browser keeps: how many, what each shows, and what links them. */

const KEPT = "marketflow.charts";
export const COUNTS = [1, 2, 4];
const USUAL = { count: 1, links: { symbol: true, time: true }, charts: [], active: 0 };

export class KeptCharts {
  #kept = { ...USUAL };

  constructor() {
    try {
      this.set(JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
    } catch {
      this.set({}); // what is no layout of ours is the usual one
    }
  }

  get count() {
    return this.#kept.count;
  }

  set count(count) {
    this.set({ ...this.#kept, count });
  }

  /** `{ symbol, time }`: whether all charts show the same. */
  get links() {
    return this.#kept.links;
  }

  set links(links) {
    this.set({ ...this.#kept, links });
  }

  /** What each chart showed, `{ venue, symbol, timeframe, compared }`; those that are not shown now stay known. */
  get charts() {
    return this.#kept.charts;
  }

  get active() {
    return this.#kept.active;
  }

  get all() {
    return structuredClone(this.#kept);
  }

  keepCharts(charts, active) {
    if (charts) this.set({ ...this.#kept, charts: [...charts, ...this.#kept.charts.slice(charts.length)], active });
  }

  /** What is missing or wrong is as usual. */
  set({ count, links, charts, active }) {
    this.#kept = {
      count: COUNTS.includes(count) ? count : USUAL.count,
      links: { symbol: links?.symbol !== false, time: links?.time !== false },
      charts: Array.isArray(charts) ? charts.slice(0, COUNTS.at(-1)).map(chartOf) : [],
      active: Number.isInteger(active) && active >= 0 && active < COUNTS.at(-1) ? active : 0,
    };
    localStorage.setItem(KEPT, JSON.stringify(this.#kept));
  }
}

function chartOf(given) {
  const { venue = "", symbol = "", timeframe = "", compared = [] } = given ?? {};
  return { venue, symbol, timeframe, compared: Array.isArray(compared) ? compared : [] };
}
