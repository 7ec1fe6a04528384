/** How long prices take from the exchange to the broadcast. Pure. */

const MOST = 200; // between two batches

export class Latencies {
  #prices = new Map(); // the last one of each instrument
  #found = [];

  /**
   * From the exchange's time to the broadcast's, both in the message: this machine's clock is not used. Only a new price
   * is measured: one that came again with later trades is published with the next 24-hour figures, however late these are.
   */
  measure({ timestamp: sent, data: { symbol, timestamp, price } }, venue, fromSnapshot) {
    const key = `${venue} ${symbol}`, known = this.#prices.get(key);
    this.#prices.set(key, price);
    if (fromSnapshot || !timestamp || known === undefined || known === price) return;
    this.#found.push(Date.parse(sent) - timestamp);
    if (this.#found.length > MOST) this.#found.shift();
  }

  /** All since the last time, ms; none is left. */
  take() {
    const found = this.#found;
    this.#found = [];
    return found;
  }
}
