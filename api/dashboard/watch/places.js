/** Places of lines one behind the other, and which of them are in view. Pure. */

export class Places {
  #ends; // where each line ends

  /** `lengths` are those of the lines, in pixels. */
  constructor(lengths) {
    this.#ends = new Float64Array(lengths.length);
    let end = 0;
    lengths.forEach((length, index) => {
      this.#ends[index] = end += length;
    });
  }

  get count() {
    return this.#ends.length;
  }

  get whole() {
    return this.#ends.at(-1) ?? 0;
  }

  begin(index) {
    return index ? this.#ends[index - 1] : 0;
  }

  end(index) {
    return this.#ends[index];
  }

  /** `[first, end)` of the lines that are at least partly between two places, and so many on both sides. */
  between(from, to, more = 0) {
    const first = this.#firstEndingBehind(from);
    let end = first;
    while (end < this.count && this.begin(end) < to) end++;
    return [Math.max(0, first - more), Math.min(this.count, end + more)];
  }

  /** How far a window that shows `[from, from + length)` has to move so that a line is in view as a whole. */
  distance(index, from, length) {
    if (this.begin(index) < from) return this.begin(index) - from;
    return Math.max(0, Math.min(this.begin(index) - from, this.end(index) - from - length));
  }

  #firstEndingBehind(place) {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle] > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
