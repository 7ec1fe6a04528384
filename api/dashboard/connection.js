/** The broadcast: all hubs together. They are read in a thread of their own (broadcast/worker.js), and what they say comes in batches. */

import { seenFromHere } from "./broadcast/place.js";
import { token } from "./rest.js";

export class Broadcast {
  #worker = null;
  #chosen = { focus: null, charts: [] };
  #states = new Map(); // `{ name, url, retryAt }` of the connections, by address
  #handlers;

  /** `handlers` are those of a line (broadcast/line.js), with `onState()` for any of them, and `onLatencies(list)` of new prices, ms. */
  constructor(handlers) {
    this.#handlers = { ...handlers, onState: (...of) => this.#takeState(...of) };
    this.onState = handlers.onState;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  /** Follows these hubs from now on; the URLs are as seen by the API's machine. */
  follow(urls) {
    if (!this.#worker) this.#begin();
    const seen = urls.map((each) => seenFromHere(each));
    for (const url of seen) if (!this.#states.has(url)) this.#states.set(url, { name: "connecting", url, retryAt: 0 });
    this.#send({ op: "follow", urls: seen, token: token() });
  }

  /** Follows the chosen instrument, null for none, and the candles of `charts`, `{ venue, symbol, timeframe }`. */
  focus(focus, charts = []) {
    this.#chosen = { focus, charts };
    this.#send({ op: "focus", ...this.#chosen });
  }

  #begin() {
    this.#worker = new Worker(new URL("./broadcast/worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#send({ op: "focus", ...this.#chosen });
  }

  retryNow() {
    this.#send({ op: "retry" });
  }

  /** `live` when every connection is; otherwise the state of the worst, and the time of the next attempt. */
  get state() {
    const lines = [...this.#states.values()];
    const cut = lines.find(({ name }) => name === "waiting") ?? lines.find(({ name }) => name !== "live");
    return cut ?? { name: lines.length ? "live" : "connecting" };
  }

  /** What cannot be taken harms nothing that follows. */
  #take({ news, latencies }) {
    for (const [name, ...given] of news) {
      try {
        this.#handlers[name](...given);
      } catch (error) {
        reportError(error);
      }
    }
    this.#handlers.onLatencies(latencies);
    this.#send({ op: "taken" });
  }

  #takeState(url, name, retryAt) {
    this.#states.set(url, { name, url, retryAt: retryAt - performance.timeOrigin });
    this.onState();
  }

  #send(order) {
    this.#worker?.postMessage(order);
  }
}
