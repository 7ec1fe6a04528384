/** Lists that the browser keeps for each instrument: one entry of its storage for a kind of drawing. */

const keyOf = ({ venue, symbol }) => `${venue}:${symbol}`;

export class KeptBySymbol {
  #name;
  #most;
  #listeners = new Set();

  /** `name` of the entry; `most` items of an instrument. */
  constructor(name, most) {
    this.#name = name;
    this.#most = most;
    addEventListener("storage", ({ key }) => key === name && this.#tell()); // another tab has changed it
  }

  /** How many an instrument has at most. */
  get most() {
    return this.#most;
  }

  /** Calls `work` when something has changed. */
  onChange(work) {
    this.#listeners.add(work);
  }

  /** Those of an instrument; none without one. */
  of(instrument) {
    return (instrument && this.#read()[keyOf(instrument)]) ?? [];
  }

  set(instrument, items) {
    const { [keyOf(instrument)]: _, ...others } = this.#read();
    const kept = items.length ? { ...others, [keyOf(instrument)]: items.slice(-this.#most) } : others;
    localStorage.setItem(this.#name, JSON.stringify(kept));
    this.#tell();
  }

  #read() {
    try {
      return JSON.parse(localStorage.getItem(this.#name) ?? "{}");
    } catch {
      return {}; // what is no list of ours is written anew with the next drawing
    }
  }

  #tell() {
    for (const work of this.#listeners) work();
  }
}

/** Horizontal lines: prices. */
export const levels = new KeptBySymbol("marketflow.levels", 50);

/** Trend lines: `{ from, to, isRay }` of points `{ time, price }`, ms UTC; a ray goes on beyond `to`. */
export const trends = new KeptBySymbol("marketflow.trends", 100);
