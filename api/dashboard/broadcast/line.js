/**
 * The connection to a hub, reconnected with a growing delay.
 *
 * Channels of all symbols are requested when a connection opens; those of the chosen instrument follow `focus`. Each
 * request is answered with a snapshot, so a new connection needs no state of the previous one.
 */

const EVERYTHING = ["MarketData", "Status", "Incident", "Alert"];
const OF_SYMBOL = ["Trade", "OrderBook", "Stats", "MarkPrice", "Funding", "OpenInterest", "Liquidation"];
const OF_TIMEFRAME = ["Candle"];
const OF_ACCOUNTS = ["Balance", "Position", "Account"]; // left out by the hub without the right to them
const CHANNELS = new Set([...EVERYTHING, ...OF_SYMBOL, ...OF_TIMEFRAME, ...OF_ACCOUNTS]);
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
const SILENCE_MS = 10_000;
const FOCUS_MS = 200; // a hub closes connections with more than 20 requests a second

/** Delay before an attempt after `failures`, randomized so that pages do not all reconnect at once. */
export const delayAfter = (failures, chance = Math.random()) =>
  Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures) * (0.75 + chance / 4);

/**
 * One hub. Of `handlers`, `onMessage(message, venue, fromSnapshot, url)` gets messages of snapshots one by one, `onOpen(url, venue)`, for each
 * venue of the hub, and `onCut(url)` report the connection, `onLive(venue)` that it begins or lost messages, `onReset(url, venue)` that all it
 * said is void, `onRefused(reason)` a request that the hub refused, `onState(line)` every change of the connection. `token()` is the API's.
 */
export class Line {
  state = "connecting";
  failures = 0;
  retryAt = 0;
  #venue = ""; // the first of the hub
  #venues = [];
  #socket;
  #focus;
  #charts = [];
  #focused; // the timer of its request
  #hasFocus = false; // whether this connection has its channels
  #heardAt = 0;
  #timer;
  #watch;

  constructor(url, handlers, token = () => "") {
    Object.assign(this, { url, handlers, token });
    this.#open();
  }

  /** Follows the chosen instrument, and the candles of `charts`. */
  focus(focus, charts) {
    this.#focus = focus;
    this.#charts = charts;
    clearTimeout(this.#focused);
    this.#focused = setTimeout(() => this.#sendFocus(), FOCUS_MS);
  }

  retryNow() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#open();
  }

  #open() {
    this.#become("connecting");
    const token = this.token();
    const shown = token ? `?${new URLSearchParams({ token })}` : "";
    const socket = new WebSocket(this.url + shown);
    this.#socket = socket;
    this.#heardAt = performance.now();
    this.#hasFocus = false;
    socket.onopen = () => {
      this.#send({ op: "subscribe", channels: EVERYTHING, optional: OF_ACCOUNTS });
      this.#sendFocus();
    };
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = () => this.#retry();
    this.#watch = setInterval(() => this.#check(), SILENCE_MS / 2);
  }

  #retry() {
    clearInterval(this.#watch);
    const delay = delayAfter(this.failures++);
    this.retryAt = performance.now() + delay;
    this.handlers.onCut(this.url);
    this.#become("waiting");
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  /** A connection may die unnoticed: a silent hub is pinged, then disconnected. */
  #check() {
    const silent = performance.now() - this.#heardAt;
    if (silent > 2 * SILENCE_MS) this.#socket.close();
    else if (silent > SILENCE_MS) this.#send({ op: "ping" });
  }

  #take(message) {
    this.#heardAt = performance.now();
    if (message.type === "Subscribed") {
      this.#venue = message.data.venue;
      const { venue, origin, origins = { [venue]: origin } } = message.data;
      this.handlers.onOrigin(Object.values(origins).find((one) => one !== "live") ?? origin);
      if (this.state !== "live") {
        this.failures = 0;
        this.#venues = Object.keys(origins);
        for (const one of this.#venues) this.handlers.onOpen(this.url, one);
        this.#become("live");
        this.#renew();
      }
    } else if (!this.#venue) {
      return; // messages before the first reply are in its snapshot
    } else if (message.type === "Snapshot") {
      for (const part of message.data.messages) {
        if (CHANNELS.has(part.type) && part.data) this.handlers.onMessage(part, part.data.venue ?? this.#venue, true, this.url);
      }
    } else if (message.type === "Reset") {
      for (const one of this.#venues) this.handlers.onReset(this.url, one); // a snapshot with all that holds follows
      this.#renew();
    } else if (message.type === "Lagged") {
      this.#renew();
    } else if (CHANNELS.has(message.type) && message.data) {
      this.handlers.onMessage(message, message.data.venue ?? this.#venue, false, this.url);
    } else if (message.type === "Error") {
      this.handlers.onRefused(message.data?.reason ?? "without a reason");
    } // others, as a Pong, only show that the hub is there
  }

  #renew() {
    for (const venue of this.#venues) this.handlers.onLive(venue);
  }

  #sendFocus() {
    if (this.#hasFocus) this.#send({ op: "unsubscribe", channels: [...OF_SYMBOL, ...OF_TIMEFRAME] });
    this.#hasFocus = Boolean(this.#focus);
    if (!this.#focus) return;
    const { venue, symbol } = this.#focus;
    this.#send({ op: "subscribe", channels: OF_SYMBOL, symbols: [symbol], venues: [venue] });
    const alike = Map.groupBy(this.#charts, ({ venue: of, timeframe }) => `${of} ${timeframe}`);
    for (const charts of alike.values()) {
      const symbols = charts.map((one) => one.symbol);
      this.#send({ op: "subscribe", channels: OF_TIMEFRAME, symbols, timeframes: [charts[0].timeframe], venues: [charts[0].venue] });
    }
  }

  #send(request) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }

  #become(state) {
    this.state = state;
    this.handlers.onState(this);
  }
}
