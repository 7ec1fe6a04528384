/** What the hubs said between two batches, in its order: of what the next message replaces only the newest, of trades all. Pure. */

const REPLACED = new Set(["MarketData", "Stats", "MarkPrice", "Funding", "OpenInterest"]);
const MOST_TRADES = 2_000; // of an instrument: while the page is halted no more are kept than it holds
const MOST_BOOKS = 3_600; // of an instrument: the page keeps that of each second of an hour (depth/history.js)

const secondOf = ({ timestamp }) => Math.floor(timestamp / 1_000) % MOST_BOOKS;

/** Once a second, however long the page takes nothing. */
const isHeartbeat = (type, data) => type === "Status" && data.state === "alive";

export class Batch {
  #news = new Map();
  #count = 0;
  #era = 0; // nothing replaces what was said before a connection changed

  get isEmpty() {
    return !this.#news.size;
  }

  /** Adds what a handler of the page is given. */
  add(name, ...given) {
    this.#era += 1;
    this.#append(name, ...given);
  }

  /** Adds a message of the market. */
  addMessage({ type, data }, venue, url) {
    const key = `${this.#era} ${url} ${type} ${venue} ${data.symbol}`;
    if (type === "OrderBook") this.#replace(`${key} ${secondOf(data)}`, "onMessage", { type, data }, venue, url);
    else if (REPLACED.has(type) || isHeartbeat(type, data)) this.#replace(key, "onMessage", { type, data }, venue, url);
    else if (type === "Candle") this.#addCandle(`${key} ${data.timeframe} ${data.candle.timestamp}`, data, venue, url);
    else if (type === "Trade") this.#addTrades(key, data, venue, url);
    else this.#append("onMessage", { type, data }, venue, url);
  }

  /** All of it, as `[name, …given]`; none is left. */
  take() {
    const news = [...this.#news.values()];
    this.#news.clear();
    return news;
  }

  #append(...entry) {
    this.#news.set((this.#count += 1), entry);
  }

  #replace(key, ...entry) {
    this.#news.delete(key); // it takes its place among what came later
    this.#news.set(key, entry);
  }

  /** A closed candle is seen as such, whatever follows. */
  #addCandle(key, data, venue, url) {
    const message = { type: "Candle", data };
    if (data.candle.is_closed) this.#append("onMessage", message, venue, url);
    else this.#replace(key, "onMessage", message, venue, url);
  }

  #addTrades(key, data, venue, url) {
    const held = this.#news.get(key);
    if (!held) return this.#replace(key, "onMessage", { type: "Trade", data }, venue, url);
    const { trades } = held[1].data;
    trades.push(...data.trades);
    if (trades.length > MOST_TRADES) trades.splice(0, trades.length - MOST_TRADES);
  }
}
