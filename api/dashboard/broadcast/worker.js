/**
 * The broadcast beside the page, in a thread of its own: thousands of messages a second are read here, and the page gets one batch of them
 * as often as it paints.
 *
 * | the page says | |
 * |---|---|
 * | `{ op: "follow", urls, token }` | connects with these hubs, too |
 * | `{ op: "focus", focus, charts }` | the chosen instrument and the candles that are shown |
 * | `{ op: "retry" }` | connects now where it waits to do so |
 * | `{ op: "taken" }` | the batch was taken: the next one may come |
 *
 * A batch is `{ news, latencies }`: names of handlers with what they are given, and milliseconds.
 */

import { Batch } from "./batch.js";
import { Latencies } from "./latency.js";
import { Line } from "./line.js";

const EVERY_MS = 100;

const lines = new Map(); // by address
const batch = new Batch();
const latencies = new Latencies();
let token = "";
let chosen = { focus: null, charts: [] };
let isTaken = true;
let sentAt = -Infinity;
let timer = null;

function sendSoon() {
  if (isTaken) timer ??= setTimeout(send, sentAt + EVERY_MS - performance.now());
}

function send() {
  timer = null;
  isTaken = false;
  sentAt = performance.now();
  postMessage({ news: batch.take(), latencies: latencies.take() });
}

const say = (name) => (...given) => {
  batch.add(name, ...given);
  sendSoon();
};

const handlers = {
  ...Object.fromEntries(["onLive", "onOpen", "onReset", "onCut", "onRefused", "onOrigin"].map((name) => [name, say(name)])),
  onState: ({ url, state, retryAt }) => say("onState")(url, state, performance.timeOrigin + retryAt),
  onMessage: (message, venue, fromSnapshot, url) => {
    if (message.type === "MarketData") latencies.measure(message, venue, fromSnapshot);
    batch.addMessage(message, venue, url);
    sendSoon();
  },
};

const orders = {
  follow({ urls, token: shown }) {
    token = shown;
    for (const url of urls) {
      if (lines.has(url)) continue;
      const line = new Line(url, handlers, () => token);
      lines.set(url, line);
      if (chosen.focus) line.focus(chosen.focus, chosen.charts);
    }
  },
  focus({ focus, charts }) {
    chosen = { focus, charts };
    for (const line of lines.values()) line.focus(focus, charts);
  },
  retry() {
    for (const line of lines.values()) line.retryNow();
  },
  taken() {
    isTaken = true;
    if (!batch.isEmpty) sendSoon();
  },
};

addEventListener("message", ({ data: { op, ...given } }) => orders[op](given));
