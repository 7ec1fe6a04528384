/** The page: the chosen instrument, and the wiring of panels, broadcast and REST API. */

import { Accounts } from "./accounts.js";
import { Analysis } from "./analysis.js";
import { Book } from "./book.js";
import { Capabilities } from "./capabilities.js";
import { Chart, refresh } from "./chart/chart.js";
import { Compare } from "./compare.js";
import { Broadcast } from "./connection.js";
import { Contract } from "./contract.js";
import { Extras } from "./extras.js";
import { Freshness, LIQUIDATIONS, OF_BOOK, OF_CANDLES, OF_MARK, OF_PRICE, OF_TRADES } from "./freshness.js";
import { age, compact, fixed, percent, precision, signed } from "./format.js";
import { byId, note, paintSoon, sleep, write } from "./page.js";
import { Prices, wayOf } from "./prices.js";
import { Quality } from "./quality.js";
import { get, post, unlock } from "./rest.js";
import { Symbols } from "./symbols.js";
import { openTheme } from "./theme.js";
import { Trades } from "./trades.js";

const TIMEFRAMES = ["1m", "5m", "15m", "1h", "4h", "1d"];
const PAINT_MS = 500; // ages count seconds; a flow silent for 2 s shows as unknown within 3 s
const FLUSHED_MS = 2_000; // by then the trade store has the trades that were buffered
const ORIGINS = {
  live: "",
  testnet: "testnet: these are not the market's prices",
  replay: "replay: recorded data, not the market of now",
  synthetic: "synthetic: generated data, not a market",
};

let focus = null;
let heardAt = 0;
let heldStats = null;
let down = []; // sentences for dependencies and venue connections that are down

const freshness = new Freshness();
const book = new Book();
const trades = new Trades();
const contract = new Contract(() => focus && freshness.timeOf(focus.venue, focus.symbol));
const quality = new Quality();
const capabilities = new Capabilities();
const compare = new Compare();
const analysis = new Analysis();
const accounts = new Accounts((account) => freshness.ofAccount(account), get, (...of) => prices.latest(...of));
const chart = new Chart({ onClosed: onCandles });
const extras = new Extras(chart);
const prices = new Prices({ onChoose: (instrument) => choose(instrument), onRemove: (gone) => symbols.drop(gone) });
const symbols = new Symbols(prices);
const broadcast = new Broadcast({
  onMessage,
  onLive,
  onOpen,
  onReset: (url, venue) => {
    onOpen(url, venue);
    if (venue === focus?.venue) clearMarket();
  },
  onCut: (url) => freshness.close(url),
  onState: paintStates,
  onOrigin: paintOrigin,
});

/** What is made of candles is read when there are some. */
function onCandles() {
  void extras.refresh();
  if (chart.candles.length && !analysis.isKnown) void analysis.refresh();
}

// --- messages of the broadcast ---

function onOpen(url, venue) {
  freshness.open(url, venue);
  accounts.clear(venue);
}

function onMessage(message, venue, fromSnapshot, url) {
  const { type, data } = message;
  heardAt = performance.now();
  if (type === "MarketData") {
    quality.measure(message, venue, fromSnapshot);
    takePrice(data, venue);
  } else if (type === "Incident") {
    quality.onIncident(data);
  } else if (type === "Balance" || type === "Position" || type === "Account") {
    accounts.take(type, data);
  } else if (type === "Status") {
    freshness.take(data, url);
    if (data.state === "removed") for (const symbol of data.symbols) prices.forget(venue, symbol);
    paintSoon(paintStates);
  } else if (venue === focus?.venue && data.symbol === focus.symbol) {
    ofFocus[type]?.(data);
  }
}

const ofFocus = {
  Candle: (data) => chart.take(data),
  OrderBook: (data) => book.take(data),
  Trade: (data) => trades.take(data.trades),
  MarkPrice: (data) => contract.take("MarkPrice", data),
  Funding: (data) => contract.take("Funding", data),
  OpenInterest: (data) => contract.take("OpenInterest", data),
  Liquidation: (data) => contract.takeOrders([data]),
  Stats: (data) => {
    heldStats = data;
    paintSoon(paintHead);
  },
};

function takePrice(data, venue) {
  prices.take(data, venue);
  if (data.symbol === focus?.symbol && venue === focus.venue) paintSoon(paintHead);
}

/** Connected, or messages were lost: reads from the stores what was missed. */
function onLive(venue) {
  if (focus?.venue !== venue) return;
  void chart.reload();
  void readTrades();
}

async function readTrades() {
  const chosen = focus;
  for (const pause of [0, FLUSHED_MS]) {
    await sleep(pause);
    try {
      const page = await get("/api/trades", { symbol: chosen.symbol, venue: chosen.venue, limit: 60 });
      if (!isChosen(chosen)) return;
      trades.take(page.trades);
    } catch {
      return; // without a trade store only the broadcast's trades are shown
    }
  }
}

// --- the chosen instrument ---

function choose({ venue = focus?.venue, symbol = focus?.symbol, timeframe = focus?.timeframe ?? "1m" }) {
  const other = symbol !== focus?.symbol || venue !== focus.venue;
  if (!other && timeframe === focus.timeframe) return;
  focus = { venue, symbol, timeframe };
  history.replaceState(null, "", `#${venue}/${encodeURIComponent(symbol)}/${timeframe}`);
  for (const button of byId("timeframes").children) button.ariaPressed = String(button.value === timeframe);
  broadcast.focus(focus);
  void chart.choose(focus);
  extras.choose(focus);
  if (other) chooseSymbol();
}

/** Drops what the broadcast said of the chosen instrument. */
function clearMarket() {
  heldStats = null;
  book.clear(focus);
  trades.clear(focus);
  contract.clear(focus);
  paintSoon(paintHead);
}

function chooseSymbol() {
  prices.choose(focus.venue, focus.symbol);
  clearMarket();
  quality.choose(focus);
  compare.choose(focus);
  analysis.choose(focus);
  symbols.choose(focus, new Set(prices.instruments.map(({ venue }) => venue)).size > 1);
  void readTrades();
  void readBook();
  void quality.refresh();
  void capabilities.choose(focus);
  void compare.refresh();
  paintHead();
  paintStates();
}

const isChosen = ({ venue, symbol }) => venue === focus.venue && symbol === focus.symbol;

async function readBook() {
  const chosen = focus;
  try {
    const found = await get(`/api/orderbook/${encodeURIComponent(chosen.symbol)}`, { venue: chosen.venue });
    if (isChosen(chosen)) book.take(found);
  } catch {
    // the panel shows that there is none
  }
}

function chooseFirst() {
  const parts = location.hash.slice(1).split("/");
  const [of, name, timeframe] = parts.length > 2 ? parts : ["", ...parts]; // older links have no venue
  const known = prices.instruments.filter(({ venue }) => !of || venue === of);
  const wanted = known.find(({ symbol }) => symbol === name || encodeURIComponent(symbol) === name) ?? byTurnover(prices.instruments)[0];
  if (wanted) choose({ ...wanted, timeframe: TIMEFRAMES.includes(timeframe) ? timeframe : "1m" });
}

/** Ordered by traded value, highest first. */
function byTurnover(instruments) {
  const turnover = ({ venue, symbol }) => {
    const data = prices.latest(venue, symbol);
    return data?.volume_24h == null ? 0 : data.volume_24h * data.price;
  };
  return instruments.toSorted((one, other) => turnover(other) - turnover(one));
}

// --- states of the whole page ---

function paintHead() {
  if (!focus) return;
  const data = prices.latest(focus.venue, focus.symbol);
  const decimals = precision.of(focus);
  write(byId("symbol"), focus.symbol);
  write(byId("venue"), focus.venue);
  write(byId("price"), data ? fixed(data.price, decimals) : "–");
  const change = data?.price_change_24h;
  write(byId("change"), change == null ? "" : `${signed(change, decimals)}  ${percent(data.price_change_percent_24h)}`);
  byId("change").dataset.way = wayOf(change);
  write(byId("high"), fixed(heldStats?.high, decimals));
  write(byId("low"), fixed(heldStats?.low, decimals));
  write(byId("volume"), compact(data?.volume_24h));
}

function paintTitle() {
  const data = focus && prices.latest(focus.venue, focus.symbol);
  if (!data) return;
  const shown = `${fixed(data.price, precision.of(focus))} ${focus.symbol} · marketflow`;
  const { isCurrent, text } = freshness.ofPrice(focus.venue, focus.symbol);
  document.title = isCurrent ? shown : `(${text}) ${shown}`;
}

function paintOrigin(origin) {
  const text = ORIGINS[origin] ?? origin;
  byId("banner").hidden = !text;
  write(byId("banner"), text);
}

/** Paints all states: data that is not current is grey, with the reason. */
function paintStates() {
  freshness.atOnce(paintCurrency);
}

function paintCurrency() {
  paintLight();
  paintMissing();
  accounts.paintStates();
  for (const { venue, symbol } of prices.instruments) prices.mark(venue, symbol, freshness.ofPrice(venue, symbol));
  if (!focus) return;
  const of = (channels) => freshness.of(focus.venue, focus.symbol, channels);
  const price = freshness.ofPrice(focus.venue, focus.symbol);
  for (const [id, state] of [
    ["head", price],
    ["stage", of(OF_CANDLES)],
    ["tape", of(OF_TRADES)],
    ["analysis", of(OF_CANDLES)],
    ["book", of(OF_BOOK)],
    ["contract", of(OF_MARK)],
  ]) {
    byId(id).classList.toggle("old", !state.isCurrent);
    byId(id).dataset.currency = state.state;
  }
  const shown = price.state === "live" ? "" : price.text;
  write(byId("state"), shown);
  byId("state").title = shown && price.about;
  write(byId("tape-state"), of(OF_TRADES).isCurrent ? "" : of(OF_TRADES).text);
  book.say(of(OF_BOOK));
  contract.say(of(OF_MARK), { hasOrders: freshness.has(focus.venue, focus.symbol, LIQUIDATIONS) });
  contract.tick();
  quality.paintLatency(price.isCurrent);
}

function paintLight() {
  const { name, url, retryAt } = broadcast.state;
  const cut = name !== "live";
  const silent = heardAt ? `data ${age(performance.now() - heardAt)} old` : "no data yet";
  const waits = Math.max(0, Math.ceil((retryAt - performance.now()) / 1_000));
  const again = name === "waiting" ? `again in ${waits} s` : "connecting…";
  document.body.classList.toggle("cut", cut && heardAt > 0);
  if (cut) return light(name, `${silent} · ${again}`, `${url ?? "the broadcast"} is not reached; click to try now`);
  if (!focus) return light("connecting", "waiting for the first prices", "the broadcast is live, and has no price yet");
  const { state, text, about, isCurrent } = stateOfFocus();
  if (isCurrent && chart.isWaiting) return light("connecting", "waiting for the first candles", about || "the broadcast is live");
  light(state, text, about);
}

/** The worst state of the chosen instrument; while all is current, that of its price. */
function stateOfFocus() {
  const whole = freshness.of(focus.venue, focus.symbol);
  return whole.isCurrent ? freshness.ofPrice(focus.venue, focus.symbol) : whole;
}

/** What is down by the API's status, and what is not current by the states of this page. */
function paintMissing() {
  const missing = [...down, ...freshness.missing()];
  byId("missing").hidden = !missing.length;
  write(byId("missing"), missing.join(" · "));
}

function light(state, text, about) {
  byId("light").dataset.state = state;
  byId("light").title = about;
  write(byId("light-text"), text);
}

async function readStatus() {
  try {
    const status = await get("/api/status");
    if (status.origin) paintOrigin(status.origin);
    broadcast.follow(status.hub_urls);
    const parts = status.parts.filter(({ name, up }) => !up && !name.startsWith("hub "));
    const lines = status.lines.filter(({ state }) => state !== "live");
    down = [
      ...parts.map(({ name, since, reason }) => `${name} is down since ${since}: ${reason}`),
      ...lines.map(({ venue, line, state, reason }) => `line ${line} of ${venue} is ${state}: ${reason}`),
    ];
  } catch (error) {
    down = [error.message];
  }
  paintStates();
}

async function readPrices() {
  try {
    for (const price of await get("/api/prices")) takePrice(price, price.venue);
  } catch (error) {
    note(error.message, { bad: true });
  }
}

async function readSymbols() {
  try {
    const followed = (await get("/api/symbols")).filter((state) => state.followed || state.wanted);
    for (const { venue, symbol } of followed) prices.expect(venue, symbol);
  } catch (error) {
    note(error.message, { bad: true });
  }
}

// --- actions of the user ---

function onKey(event) {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey || !focus) return;
  const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const timeframe = TIMEFRAMES[Number(event.key) - 1];
  if (step) choose(prices.neighbour(step));
  else if (timeframe) choose({ timeframe });
  else if (event.key === "/") byId("add-symbol").focus();
  else if (event.key === "End") chart.showNewest();
  else return;
  event.preventDefault();
}

for (const timeframe of TIMEFRAMES) {
  const button = Object.assign(document.createElement("button"), { value: timeframe, textContent: timeframe });
  button.title = `key ${TIMEFRAMES.indexOf(timeframe) + 1}`;
  button.onclick = () => choose({ timeframe });
  byId("timeframes").append(button);
}
byId("light").onclick = () => broadcast.retryNow();
byId("unlock").onclick = unlock;
byId("refresh").onclick = async () => {
  byId("refresh").disabled = true;
  try {
    await refresh(focus, post);
    await chart.reload({ fresh: true });
  } catch (error) {
    note(error.message, { bad: true });
  }
  byId("refresh").disabled = false;
};
addEventListener("keydown", onKey);
globalThis.marketflow = chart; // for the console: marketflow.candles

/** Calls `work` periodically while the page is visible. */
function every(ms, work) {
  setInterval(() => document.hidden || work(), ms);
}

openTheme(() => chart.recolour());
every(PAINT_MS, paintStates);
setInterval(paintTitle, 1_000); // also in a background tab
every(5_000, readStatus);
every(5_000, () => focus ?? readPrices().then(chooseFirst)); // a deployment that has just started
every(10_000, () => quality.refresh());
every(2_000, () => compare.refresh());
every(30_000, () => chart.candles.length && analysis.refresh());
every(60_000, () => accounts.refresh());
await Promise.all([chart.open(), readPrices(), readStatus(), readSymbols()]);
chooseFirst();
void accounts.refresh();
