/**
 * How current each instrument is: the states that the flows publish, valid while their heartbeats arrive.
 *
 * When a flow misses two heartbeats, or its hub is not connected, the state is `unknown`. Ages count in the venue's
 * time of the heartbeats, advanced by this machine's monotonic clock; they never stand still.
 */

import { age } from "./format.js";

export const UNKNOWN_MS = 2_000; // two heartbeats
const SET_BACK_MS = 2_000; // the time for which all sure heartbeats must say an earlier time until it is believed
const NAMES_SHOWN = 5;
const CURRENT = new Set(["live", "quiet"]);
const WORDS = {
  silent: "exchange silent",
  behind: "flow behind",
  cut: "line cut",
  halted: "trading halted",
  gone: "not listed",
  unsynced: "not in step",
};

/** The channels that each part of the page uses, best first. */
export const OF_PRICE = ["trades", "klines", "ticker"];
export const OF_TRADES = ["trades"];
export const OF_CANDLES = ["trades", "klines"];
export const OF_BOOK = ["book", "best"];
export const OF_MARK = ["mark"];
export const LIQUIDATIONS = "liquidations";

/** One venue of a hub: the states of its instruments, and its last heartbeat. */
class Hub {
  isOpen = true;
  states = new Map();
  beatAt = null;
  #offset = null;
  #isSettled = false; // a sure heartbeat has come
  #earlier = null; // since when the sure ones say an earlier time, and the largest offset of them

  constructor(url, venue, now) {
    this.url = url;
    this.venue = venue;
    this.openedAt = now;
  }

  /**
   * An unsure time sets the clock forward only; a sure one may have waited while this page was halted: then it is no sign
   * of life, until one comes that is of now.
   */
  beat(time, now, isSure) {
    const offset = time ? Date.parse(time) - now : null;
    const isLate = isSure && offset !== null && this.#offset !== null && offset < this.#offset - UNKNOWN_MS;
    if (!isLate || this.silentMs(now) <= UNKNOWN_MS) this.beatAt = now;
    if (offset === null) return;
    if (this.#offset === null || offset >= this.#offset || (isSure && !this.#isSettled)) {
      this.#offset = offset;
      this.#earlier = null;
    } else if (isSure) {
      this.#takeEarlier(offset, now);
    }
    this.#isSettled ||= isSure;
  }

  #takeEarlier(offset, now) {
    const { since, largest } = this.#earlier ?? { since: now, largest: offset };
    this.#earlier = { since, largest: Math.max(largest, offset) };
    if (now - since < SET_BACK_MS) return;
    this.#offset = this.#earlier.largest;
    this.#earlier = null;
    this.beatAt = now;
  }

  get publishesStates() {
    return this.states.size > 0 || this.beatAt !== null;
  }

  silentMs(now) {
    return now - (this.beatAt ?? this.openedAt);
  }

  isAlive(now) {
    return this.isOpen && this.silentMs(now) <= UNKNOWN_MS;
  }

  timeAt(now) {
    return this.#offset === null ? null : now + this.#offset;
  }
}

export class Freshness {
  #hubs = new Map();
  #moment = null;

  /** `now()` returns monotonic milliseconds. */
  constructor(now = () => performance.now()) {
    this.now = now;
  }

  /** A hub was connected; for each venue of it: its snapshot replaces all earlier state. */
  open(url, venue) {
    this.#hubs.set(`${url} ${venue}`, new Hub(url, venue, this.now()));
  }

  close(url) {
    for (const hub of this.#hubs.values()) if (hub.url === url) hub.isOpen = false;
  }

  /** Takes a message of the channel `Status`: of a venue connection, an instrument or the flow. */
  take(data, url) {
    const hub = this.#hubs.get(`${url} ${data.venue}`);
    if (!hub) return;
    if (data.symbol) hub.states.set(data.symbol, data);
    else if (data.state === "alive") hub.beat(data.time, this.now(), data.clock !== "unsure");
    else if (data.state === "removed") for (const symbol of data.symbols) hub.states.delete(symbol);
  }

  /** `{state, isCurrent, text, about}` of the first of these channels that the instrument has, or of it. */
  of(venue, symbol, channels = []) {
    const hub = this.#hubOf(venue, symbol);
    const now = this.#moment ?? this.now();
    if (!hub) return judged("unknown", null, "no hub tells of it");
    if (!hub.publishesStates && hub.isOpen) return judged("live", null, "");
    if (!hub.isOpen) return judged("unknown", hub.silentMs(now), "the broadcast is not reached");
    if (!hub.isAlive(now)) return judged("unknown", hub.silentMs(now), "the flow gives no sign of life");
    const status = hub.states.get(symbol);
    if (!status) return judged("unknown", null, "the flow says nothing of it");
    const channel = channels.map((name) => status.channels.find((one) => one.channel === name)).find(Boolean) ?? status;
    const time = hub.timeAt(now);
    const forMs = channel.since && time !== null ? Math.max(0, time - Date.parse(channel.since)) : null;
    return judged(channel.state, forMs, channel.reason);
  }

  /** State of an account by the `data` of its newest message; unknown while no heartbeats of the flow come. */
  ofAccount(data) {
    const hub = this.#hubOf(data.venue, "");
    const now = this.#moment ?? this.now();
    if (!hub?.isOpen) return judged("unknown", hub?.silentMs(now) ?? null, "the broadcast is not reached");
    if (!hub.isAlive(now)) return judged("unknown", hub.silentMs(now), "the flow gives no sign of life");
    const time = hub.timeAt(now);
    const forMs = data.since && time !== null ? Math.max(0, time - Date.parse(data.since)) : null;
    return judged(data.state, forMs, data.reason);
  }

  /** Whether an instrument has a channel: true also while its channels are not known. */
  has(venue, symbol, channel) {
    const channels = this.#hubOf(venue, symbol)?.states.get(symbol)?.channels ?? [];
    return !channels.length || channels.some((one) => one.channel === channel);
  }

  /** The venue's time of an instrument, ms UTC; null while it is not known. */
  timeOf(venue, symbol) {
    return this.#hubOf(venue, symbol)?.timeAt(this.#moment ?? this.now()) ?? null;
  }

  /** All calls within `work` use the same time. */
  atOnce(work) {
    this.#moment = this.now();
    try {
      work();
    } finally {
      this.#moment = null;
    }
  }

  /** State of the price of an instrument; where the instrument's is the same, that one, with its begin. */
  ofPrice(venue, symbol) {
    const [whole, price] = [this.of(venue, symbol), this.of(venue, symbol, OF_PRICE)];
    return whole.state === price.state ? whole : price;
  }

  /** Sentences for the instruments that are not current, with the times of `of`; equal ones are merged. Instruments
   * of a hub that is not connected are left out.
   */
  missing() {
    const names = new Map();
    for (const { venue, isOpen, states } of this.#hubs.values()) {
      for (const symbol of isOpen ? states.keys() : []) {
        const { isCurrent, about } = this.of(venue, symbol);
        if (isCurrent) continue;
        if (names.has(about)) names.get(about).push(symbol);
        else names.set(about, [symbol]);
      }
    }
    return [...names].map(([about, symbols]) => `${someOf(symbols)}: ${about}`);
  }

  /** The hub that reports an instrument, connected ones first. */
  #hubOf(venue, symbol) {
    const hubs = [...this.#hubs.values()].filter((hub) => hub.venue === venue);
    const telling = hubs.filter((hub) => hub.states.has(symbol));
    const found = telling.length ? telling : hubs;
    return found.find((hub) => hub.isOpen) ?? found[0];
  }
}

function someOf(symbols) {
  const more = symbols.length - NAMES_SHOWN;
  const shown = symbols.slice(0, NAMES_SHOWN).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

function judged(state, forMs, reason) {
  const words = WORDS[state] ?? state;
  const text = state === "live" || forMs === null ? words : `${words} for ${age(forMs)}`;
  return { state, isCurrent: CURRENT.has(state), text, about: reason ? `${text}: ${reason}` : text };
}
