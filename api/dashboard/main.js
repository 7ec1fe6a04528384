/** The page: the chosen instrument, and the wiring of panels, broadcast and REST API. */

import { Accounts } from "./accounts.js";
import { addressOf, instrumentOf, keepAddress, keptAddress, readAddress } from "./address.js";
import { Alerts } from "./alerts.js";
import { Analysis } from "./analysis.js";
import { Book } from "./book.js";
import { Capabilities } from "./capabilities.js";
import { refresh } from "./chart/refresh.js";
import { isOfFlow, timeframeOf, TIMEFRAMES } from "./chart/timeframe.js";
import { Compare } from "./compare.js";
import { Broadcast } from "./connection.js";
import { Contract } from "./contract.js";
import { Currency, paintOrigin } from "./currency.js";
import { BookOverTime } from "./depth/panel.js";
import { DrawingLists } from "./drawings/lists.js";
import { Extras } from "./extras.js";
import { Freshness } from "./freshness.js";
import { Head } from "./head.js";
import { Layout } from "./layout.js";
import { LayoutControls } from "./layouts/controls.js";
import { KeptCharts } from "./layouts/kept.js";
import { Panes } from "./layouts/panes.js";
import { byId, drawsFirst, firstDrawn, note, noteError, paintSoon, sleep } from "./page.js";
import { Prices } from "./prices.js";
import { Quality } from "./quality.js";
import { ReplayBar } from "./replay/bar.js";
import { get, post, unlock } from "./rest.js";
import { Search } from "./search.js";
import { Symbols } from "./symbols.js";
import { openTheme } from "./theme.js";
import { Tools } from "./tools.js";
import { Trades } from "./trades.js";
import { fillZones, momentOf, onZone, openZones, zoneLabel } from "./zone.js";

const DRAWN_MS = 1_000; // what waits for the first chart waits no longer
const PAINT_MS = 500; // ages count seconds; a flow silent for 2 s shows as unknown within 3 s
const FLUSHED_MS = 2_000; // by then the trade store has the trades that were buffered
const OWN_KEYS = "input, select, textarea, dialog *, [popover] *, .scrolls, .edge"; // where keys have a meaning of their own

const FIRST_MS = 1_500; // what was read as the page began misses what came before it was connected; that can wait
const wasLive = new Set(); // venues

let focus = null;

openZones();
const layout = new Layout();
const freshness = new Freshness();
const head = new Head();
const book = new Book();
const trades = new Trades({ onLeast: () => void readTrades() });
const contract = new Contract(() => focus && freshness.timeOf(focus.venue, focus.symbol));
const quality = new Quality();
const capabilities = new Capabilities();
const compare = new Compare();
const alerts = new Alerts(() => focus && { ...focus, price: prices.latest(focus.venue, focus.symbol)?.price });
const analysis = new Analysis();
const accounts = new Accounts((account) => freshness.ofAccount(account), get, (...of) => prices.latest(...of));
const extras = new Extras();
const kept = new KeptCharts();
const panes = new Panes({
  kept, extras, rules: alerts.rules, onCandles,
  onActive: (shown) => show(shown),
  onCharts: () => focus && broadcast.focus(focus, panes.charts),
  onAlert: ({ venue, symbol }, price) => alerts.rules.add({ kind: "price_cross", venue, symbol, price }),
  priceOf: (...of) => prices.latest(...of),
});
const drawings = new DrawingLists(panes);
const prices = new Prices({
  onRemove: (instrument) => symbols.drop(instrument),
  stateOf: (venue, symbol) => freshness.ofPrice(venue, symbol),
});
const bookOverTime = new BookOverTime(panes);
const replay = new ReplayBar();
const tools = new Tools(panes, extras, () => prices.instruments);
const controls = new LayoutControls({ kept, panes, layout, extras, tools });
const symbols = new Symbols({ onAdded, onRemoved });
const search = new Search({
  onChoose: (found) => (found.followed ? go(found) : symbols.add(found)),
  isRecorded: ({ venue, symbol }) => prices.has(venue, symbol),
});
const broadcast = new Broadcast({
  onMessage,
  onLive,
  onOpen,
  onReset: (url, venue) => {
    onOpen(url, venue);
    if (venue === focus?.venue) clearMarket();
  },
  onCut: (url) => freshness.close(url),
  onRefused: (reason) => note("the broadcast refused a request of this page", { bad: true, about: reason }),
  onState: () => currency.paint(),
  onOrigin: takeOrigin,
  onLatencies: (found) => quality.takeLatencies(found),
});
const currency = new Currency({
  focus: () => focus, freshness, broadcast, panes, prices, book, contract, quality, accounts,
});

/** What is made of candles is read when there are some. */
function onCandles(pane) {
  if (panes.canvas && panes.candles.length) drawsFirst();
  if (pane === panes.active && panes.candles.length && !analysis.isKnown) void firstDrawn.then(() => analysis.refresh());
}

// --- messages of the broadcast ---

function onOpen(url, venue) {
  freshness.open(url, venue);
  accounts.clear(venue);
}

function onMessage({ type, data }, venue, url) {
  currency.hear();
  if (type === "MarketData") {
    takePrice(data, venue);
  } else if (type === "Incident") {
    quality.onIncident(data);
  } else if (type === "Candle") {
    panes.take({ ...data, venue });
  } else if (type === "Alert") {
    alerts.take(data);
  } else if (type === "Balance" || type === "Position" || type === "Account") {
    accounts.take(type, data);
  } else if (type === "Status") {
    freshness.take(data, url);
    if (data.state === "removed") for (const symbol of data.symbols) onRemoved({ venue, symbol });
    paintSoon(currency.paint);
  } else if (venue === focus?.venue && data.symbol === focus.symbol) {
    ofFocus[type]?.(data);
  }
}

const ofFocus = {
  OrderBook: (data) => {
    book.take(data);
    bookOverTime.take(data);
  },
  Trade: (data) => trades.take(data.trades),
  MarkPrice: (data) => contract.take("MarkPrice", data),
  Funding: (data) => contract.take("Funding", data),
  OpenInterest: (data) => contract.take("OpenInterest", data),
  Liquidation: (data) => contract.takeOrders([data]),
  Stats: (data) => head.takeStats(data),
};

function takePrice(data, venue) {
  prices.take(data, venue);
  const latest = prices.latest(venue, data.symbol);
  panes.takePrice(latest, { venue, symbol: data.symbol });
  if (data.symbol === focus?.symbol && venue === focus.venue) head.take(latest);
}

/** Connected, or messages were lost: reads from the stores what was missed. */
function onLive(venue) {
  const isFirst = !wasLive.has(venue);
  wasLive.add(venue);
  setTimeout(() => {
    panes.reload(venue);
    if (focus?.venue === venue) void readTrades();
  }, isFirst ? FIRST_MS : 0);
}

async function readTrades() {
  const chosen = focus;
  for (const pause of [0, FLUSHED_MS]) {
    await sleep(pause);
    try {
      const page = await get("/api/trades", { symbol: chosen.symbol, venue: chosen.venue, limit: trades.wanted });
      if (!isChosen(chosen)) return;
      trades.take(page.trades);
    } catch {
      return; // without a trade store only the broadcast's trades are shown
    }
  }
}

// --- the chosen instrument: the address names it ---

/** Goes to another chart by a new address, so that Back returns to this one. */
function go(to) {
  const { venue, symbol, timeframe } = { timeframe: TIMEFRAMES[0], ...focus, ...to };
  const address = addressOf({ venue, symbol, timeframe });
  if (address === location.hash) return;
  history.pushState(null, "", address);
  follow();
}

/** Shows what the address says: that of a link, a pasted one, one before or after in the history. */
function follow() {
  const wanted = readAddress(location.hash);
  controls.take(wanted.layout);
  const found = instrumentOf(prices.instruments, wanted);
  if (!found) {
    if (wanted.symbol && prices.instruments.length) sayUnknown(wanted);
    return chooseFirst();
  }
  show({ ...found, timeframe: knownTimeframe(wanted.timeframe) });
  if (wanted.time !== null) void showTime(wanted.time);
}

async function showTime(time) {
  if (!(await panes.active.chart.showTime(time))) note(`no candles of ${momentOf(time)} are stored`, { bad: true });
}

const knownTimeframe = (wanted) => timeframeOf(wanted) || (focus?.timeframe ?? TIMEFRAMES[0]);

function sayUnknown({ symbol, venue }) {
  const add = { text: "Add it", run: () => search.look(symbol) };
  note(`${symbol}${venue && ` of ${venue}`} is not recorded here`, { bad: true, action: add });
}

/** The one of the visit before, else the one with the highest traded value. */
function chooseFirst() {
  const last = readAddress(keptAddress());
  const { instruments } = prices;
  const found = focus && instrumentOf(instruments, focus);
  const wanted = found ?? instrumentOf(instruments, last) ?? byTurnover(instruments)[0];
  if (wanted) show({ ...wanted, timeframe: focus?.timeframe ?? knownTimeframe(last.timeframe) });
}

function show(chosen) {
  const address = addressOf(chosen);
  if (address !== location.hash) history.replaceState(null, "", address);
  keepAddress(address);
  if (focus && addressOf(focus) === address) return;
  const other = !focus || !isChosen(chosen);
  focus = chosen;
  paintTimeframe();
  prices.choose(focus);
  panes.choose(focus);
  bookOverTime.choose(focus);
  tools.choose(focus);
  drawings.choose(focus);
  if (other) chooseSymbol();
}

function paintTimeframe() {
  for (const button of byId("timeframes").querySelectorAll("button")) button.ariaPressed = String(button.value === focus.timeframe);
  byId("timeframe").value = isOfFlow(focus.timeframe) ? "" : focus.timeframe;
}

/** Drops what the broadcast said of the chosen instrument. */
function clearMarket() {
  head.takeStats(null);
  book.clear(focus ?? {});
  trades.clear(focus ?? {});
  contract.clear(focus ?? {});
}

function chooseSymbol() {
  document.body.classList.toggle("empty", !focus);
  head.choose(focus, focus && prices.latest(focus.venue, focus.symbol));
  clearMarket();
  for (const panel of [quality, compare, analysis]) panel.choose(focus);
  symbols.choose(focus);
  currency.paint();
  if (focus) void firstDrawn.then(readOfFocus);
}

function readOfFocus() {
  if (!focus) return;
  void readTrades();
  void readBook();
  void quality.refresh();
  void capabilities.choose(focus);
  void compare.refresh();
}

const isChosen = ({ venue, symbol }) => venue === focus?.venue && symbol === focus.symbol;

async function readBook() {
  const chosen = focus;
  try {
    const found = await get(`/api/orderbook/${encodeURIComponent(chosen.symbol)}`, { venue: chosen.venue });
    if (isChosen(chosen)) book.take(found);
  } catch {
    // the panel shows that there is none
  }
}

/** Ordered by traded value, highest first. */
function byTurnover(instruments) {
  const turnover = ({ venue, symbol }) => {
    const data = prices.latest(venue, symbol);
    return data?.volume_24h == null ? 0 : data.volume_24h * data.price;
  };
  return instruments.toSorted((one, other) => turnover(other) - turnover(one));
}

function onAdded({ venue, symbol }) {
  prices.expect(venue, symbol);
  paintEmpty();
  if (!focus) show({ venue, symbol, timeframe: TIMEFRAMES[0] });
}

/** One that is shown gives way to its neighbour in the list; after the last one nothing is shown. */
function onRemoved(gone) {
  const next = isChosen(gone) ? prices.successor : null;
  if (!prices.forget(gone.venue, gone.symbol)) return;
  paintEmpty();
  if (!isChosen(gone)) return;
  if (!symbols.isOwn(gone)) note(`${gone.symbol} is no longer recorded: its chart and book have ended`);
  if (next) return show({ ...next, timeframe: focus.timeframe });
  focus = null;
  history.replaceState(null, "", location.pathname + location.search);
  prices.choose(null);
  broadcast.focus(null);
  panes.choose(null);
  bookOverTime.choose(null);
  tools.choose(null);
  drawings.choose(null);
  chooseSymbol();
}

/** Says why the list is empty, and what to do. */
function paintEmpty(reason = "") {
  byId("empty").hidden = prices.instruments.length > 0;
  byId("empty-reason").textContent = reason || "No symbol is recorded yet.";
  byId("empty-advice").hidden = Boolean(reason);
}

// --- states of the whole page ---

/** What is played has a bar. */
function takeOrigin(origin) {
  paintOrigin(origin);
  if (origin === "replay" || origin === "synthetic") void firstDrawn.then(() => replay.open());
}

async function readStatus() {
  try {
    const status = await get("/api/status");
    if (status.origin) takeOrigin(status.origin);
    void firstDrawn.then(() => broadcast.follow(status.hub_urls));
    const parts = status.parts.filter(({ name, up }) => !up && !name.startsWith("hub "));
    const lines = status.lines.filter(({ state }) => state !== "live");
    currency.takeDown([
      ...parts.map(({ name, since, reason }) => `${name} is down since ${since ? momentOf(since) : "the start"}: ${reason}`),
      ...lines.map(({ venue, line, state, reason }) => `line ${line} of ${venue} is ${state}: ${reason}`),
    ]);
  } catch (error) {
    currency.takeDown([error.message]);
  }
}

/** Reads the recorded symbols and their prices; the list says why it is empty. */
async function readList() {
  try {
    const [found, states] = await Promise.all([get("/api/prices"), get("/api/symbols")]);
    for (const price of found) takePrice(price, price.venue);
    for (const { venue, symbol, followed, wanted } of states) if (followed || wanted) prices.expect(venue, symbol);
    paintEmpty();
  } catch (error) {
    paintEmpty(error.message);
    if (prices.instruments.length) noteError(error);
  }
}

// --- actions of the user ---

function onKey(event) {
  if (event.target.matches(OWN_KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const timeframe = TIMEFRAMES[Number(event.key) - 1];
  const tool = { t: "trend", a: "alert", m: "measure" }[event.key];
  if (event.key === "/") byId("add-symbol").focus();
  else if (!focus) return;
  else if (step) go(prices.neighbour(step));
  else if (timeframe) go({ timeframe });
  else if (event.key === "End") panes.active.chart.showNewest();
  else if (tool && !byId(`draw-${tool}`).hidden) tools.toggle(tool);
  else if (["Delete", "Backspace"].includes(event.key) && !event.target.closest("#prices")) {
    if (!panes.dropSelected()) return;
  }
  else return;
  event.preventDefault();
}

for (const timeframe of TIMEFRAMES) {
  const button = Object.assign(document.createElement("button"), { value: timeframe, textContent: timeframe });
  button.title = `key ${TIMEFRAMES.indexOf(timeframe) + 1}`;
  button.onclick = () => focus && go({ timeframe });
  byId("timeframe").before(button);
}
byId("timeframe").onchange = ({ target }) => {
  const timeframe = timeframeOf(target.value);
  if (timeframe && focus) go({ timeframe });
  else if (target.value.trim()) note(`${target.value} is no timeframe: write a length, as 7m, or an amount, as 500t (trades), 12.5v (volume) or $250k (value)`, { bad: true });
  if (focus) paintTimeframe();
};
byId("timeframe").onkeydown = ({ key, target }) => key === "Enter" && target.blur();
byId("light").onclick = () => broadcast.retryNow();
byId("unlock").onclick = unlock;
byId("refresh").onclick = async () => {
  if (!focus) return;
  byId("refresh").disabled = true;
  try {
    await refresh(focus, post);
    await panes.active.reload({ fresh: true });
  } catch (error) {
    noteError(error);
  }
  byId("refresh").disabled = false;
};
addEventListener("keydown", onKey);
addEventListener("hashchange", follow);
addEventListener("popstate", follow);
globalThis.marketflow = panes; // for the console: marketflow.candles

function paintZone() {
  for (const shown of document.querySelectorAll(".zone-label")) shown.textContent = zoneLabel();
}
onZone(() => {
  paintZone();
  panes.retime();
  trades.retime();
  contract.retime();
  quality.retime();
  alerts.paint();
});
paintZone();

/** Calls `work` periodically while the page is visible. */
function every(ms, work) {
  setInterval(() => document.hidden || work(), ms);
}

openTheme(() => {
  for (const part of [panes, book, bookOverTime]) part.recolour();
});
every(PAINT_MS, currency.paint);
setInterval(() => head.paintTitle(focus ? freshness.ofPrice(focus.venue, focus.symbol) : undefined), 1_000); // also in a background tab
every(5_000, readStatus);
every(5_000, () => focus ?? readList().then(follow)); // a deployment that has just started
every(10_000, () => quality.refresh());
every(2_000, () => compare.refresh());
every(5_000, () => prices.arrange());
every(30_000, () => panes.candles.length && analysis.refresh());
every(60_000, () => accounts.refresh());
every(2_000, () => panes.poll());
setTimeout(drawsFirst, DRAWN_MS);
void panes.open();
void readStatus();
await readList();
follow();
await firstDrawn;
void accounts.refresh();
void alerts.refresh();
fillZones();
