/** What was seen of figures since the page is open: so many values of each, oldest first. Pure. */

export const KEPT = 180;

export class Series {
  #values = new Map(); // by name
  #counters = new Map(); // by name, `[value, seconds]` of the last look

  /** Takes a figure as it is; null where it is not known now. */
  take(name, value) {
    const values = this.#values.get(name) ?? [];
    values.push(value);
    if (values.length > KEPT) values.shift();
    this.#values.set(name, values);
    return value;
  }

  /** Takes a counter at a time in seconds, and gives what it rose by a second; null at the first look, and after it began anew. */
  rate(name, value, seconds) {
    const [before, at] = this.#counters.get(name) ?? [];
    this.#counters.set(name, [value, seconds]);
    const isKnown = before !== undefined && value >= before && seconds > at;
    return this.take(name, isKnown ? (value - before) / (seconds - at) : null);
  }

  of(name) {
    return this.#values.get(name) ?? [];
  }

  /** Forgets figures that are not among these. */
  keep(names) {
    for (const name of this.#values.keys()) {
      if (names.has(name)) continue;
      this.#values.delete(name);
      this.#counters.delete(name);
    }
  }
}

/** The path of a line chart of values in a box, from its left to its right edge; what is not known is a gap. `most` is at the top. */
export function pathOf(values, { width, height, most = Math.max(...values.filter(Number.isFinite), 0) }) {
  const step = width / (KEPT - 1), from = width - (values.length - 1) * step;
  let path = "", isOpen = false;
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      isOpen = false;
      return;
    }
    const y = most > 0 ? height - (value / most) * height : height;
    path += `${isOpen ? "L" : "M"}${round(from + index * step)} ${round(y)}`;
    isOpen = true;
  });
  return path;
}

const round = (number) => Math.round(number * 10) / 10;
