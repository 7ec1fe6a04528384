/** The panel of accounts: whether each is current, what it is worth and was, its positions and balances. */

import { byId, element, paintSoon, write } from "./page.js";
import { choicesOf, QuoteChoice, worthOf } from "./quotes.js";
import { age, compact, decimalsOf, fixed, NONE, signed, wayOf } from "./format.js";

const MINUTES_SHOWN = 1_440;
const PRICE_PLACES = 8;
const MONEY_PLACES = 2;
const SMALL = 100, SMALL_PLACES = 6; // of a value in BTC
const OLD_PRICE_MS = 300_000;
const WIDTH = 120, HEIGHT = 22; // of the line of totals

const byKey = (one, other) => (one[0] < other[0] ? -1 : 1);
const cell = (text, way) => {
  const made = element("td", "", text);
  if (way) made.dataset.way = way;
  return made;
};
const numeric = (value) => (value == null ? NONE : fixed(value, Math.min(PRICE_PLACES, decimalsOf([value]))));
const money = (value) => fixed(value, Math.abs(value) < SMALL ? SMALL_PLACES : MONEY_PLACES);
const accountOf = ({ venue, account }) => `${venue} ${account}`;

/** The points of a line through totals, oldest first, for an SVG of `WIDTH` and `HEIGHT`; "" with fewer than two. */
export function lineOf(totals) {
  if (totals.length < 2) return "";
  const [times, values] = [totals.map(({ timestamp }) => timestamp), totals.map(({ total }) => total)];
  const [begin, end] = [times[0], times.at(-1)];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const x = (time) => ((time - begin) / (end - begin || 1)) * WIDTH;
  const y = (value) => HEIGHT - 1 - ((value - least) / (most - least || 1)) * (HEIGHT - 2);
  return totals.map(({ timestamp, total }) => `${x(timestamp).toFixed(1)},${y(total).toFixed(1)}`).join(" ");
}

/** What is known of accounts, by the messages of the broadcast. */
export class Holdings {
  #accounts = new Map();
  #balances = new Map();
  #positions = new Map();

  take(type, data) {
    if (type === "Account") this.#accounts.set(accountOf(data), data);
    if (type === "Balance") put(this.#balances, `${accountOf(data)} ${data.asset}`, data, data.total);
    if (type === "Position") put(this.#positions, `${accountOf(data)} ${data.symbol} ${data.side}`, data, data.quantity);
  }

  /** Drops those of a venue: its hub sends the present again. */
  clear(venue) {
    for (const held of [this.#accounts, this.#balances, this.#positions]) {
      for (const [key, data] of held) if (data.venue === venue) held.delete(key);
    }
  }

  get accounts() {
    return sorted(this.#accounts);
  }

  get balances() {
    return sorted(this.#balances);
  }

  get positions() {
    return sorted(this.#positions);
  }

  balancesOf(account) {
    return this.balances.filter((one) => accountOf(one) === accountOf(account));
  }

  /** When something came last from the venue of an account, by its clock. */
  timeOf(data) {
    return this.#accounts.get(accountOf(data))?.timestamp;
  }
}

function put(held, key, data, amount) {
  if (amount) held.set(key, data);
  else held.delete(key);
}

const sorted = (held) => [...held].sort(byKey).map(([, data]) => data);

export class Accounts {
  #held = new Holdings();
  #totals = new Map();
  #choice = new QuoteChoice(byId("quote"), () => paintSoon(this.#paint));

  /** `stateOf(account)` is `{isCurrent, text, about}`; `read(path, query)` queries the REST API; `priceOf(venue, symbol)`
   * is the newest `{price, timestamp}`. */
  constructor(stateOf, read, priceOf) {
    this.stateOf = stateOf;
    this.read = read;
    this.priceOf = priceOf;
  }

  take(type, data) {
    this.#held.take(type, data);
    paintSoon(this.#paint);
  }

  clear(venue) {
    this.#held.clear(venue);
    paintSoon(this.#paint);
  }

  /** Reads the totals of the last day. Without the right to them there is no panel, and a button for the token. */
  async refresh() {
    try {
      const limit = MINUTES_SHOWN * Math.max(1, this.#held.accounts.length);
      const { totals } = await this.read("/api/account/history", { limit });
      this.#totals = Map.groupBy(totals, accountOf);
      byId("unlock").hidden = true;
    } catch (error) {
      this.#totals = new Map();
      byId("unlock").hidden = error.code !== "no_right";
    }
    paintSoon(this.#paint);
  }

  /** Greys what is not current; ages go on without messages. */
  paintStates() {
    if (byId("accounts").hidden) return;
    const states = new Map(this.#held.accounts.map((one) => [accountOf(one), this.stateOf(one)]));
    for (const row of byId("accounts").querySelectorAll("tr[data-account]")) {
      const state = states.get(row.dataset.account);
      row.classList.toggle("old", !state?.isCurrent);
      row.title = state?.about ?? "nothing is known of its account";
      const shown = row.querySelector(".state");
      if (shown) write(shown, state.text);
    }
  }

  #paint = () => {
    const { accounts, positions, balances } = this.#held;
    byId("accounts").hidden = !accounts.length;
    byId("positions").hidden = !positions.length;
    byId("balances").hidden = !balances.length;
    byId("account-rows").replaceChildren(...accounts.map((one) => this.#accountRow(one)));
    byId("position-rows").replaceChildren(...positions.map(positionRow));
    byId("balance-rows").replaceChildren(...balances.map((one) => this.#balanceRow(one)));
    this.#offer(balances);
    this.paintStates();
  };

  /** The quotes that each venue's prices know. */
  #offer(balances) {
    const venues = new Set(balances.map(({ venue }) => venue));
    const of = (venue) => choicesOf(balances.filter((one) => one.venue === venue), this.#pricesOf(venue));
    const own = balances.find(({ quote }) => quote)?.quote ?? "";
    this.#choice.offer([...new Set([...venues].flatMap(of))].sort(), own);
  }

  #pricesOf(venue) {
    return (symbol) => this.priceOf(venue, symbol);
  }

  /** What balances of an account are worth in the chosen quote, grey where a price in it is old. */
  #valueCell(data, balances, written) {
    const worth = worthOf(balances, this.#choice.wanted, this.#pricesOf(data.venue));
    if (!worth) return cell(NONE);
    const made = cell(`${written(worth.value)} ${worth.quote}`);
    const oldMs = worth.time == null ? 0 : (this.#held.timeOf(data) ?? worth.time) - worth.time;
    if (oldMs > OLD_PRICE_MS) {
      made.classList.add("old");
      made.append(element("small", "", ` price ${age(oldMs)} old`));
    }
    return made;
  }

  #balanceRow(data) {
    return rowOf(
      data,
      nameOf(data.asset, data.venue),
      cell(numeric(data.total)),
      this.#valueCell(data, [data], (value) => (Math.abs(value) < 1 ? fixed(value, SMALL_PLACES) : compact(value))),
      cell(numeric(data.free)),
      cell(numeric(data.locked)),
    );
  }

  #accountRow(account) {
    const totals = this.#totals.get(accountOf(account)) ?? [];
    return rowOf(
      account,
      nameOf(account.venue, account.account),
      element("td", "state"),
      this.#valueCell(account, this.#held.balancesOf(account), money),
      element("td", "line", chartOf(totals)),
    );
  }
}

function chartOf(totals) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  const moved = totals.length ? totals.at(-1).total - totals[0].total : 0;
  svg.setAttribute("aria-label", totals.length > 1 ? `24 hours: ${signed(moved, MONEY_PLACES)} ${totals[0].quote}` : "no totals yet");
  svg.dataset.way = wayOf(moved, MONEY_PLACES);
  const line = document.createElementNS(svg.namespaceURI, "polyline");
  line.setAttribute("points", lineOf(totals));
  svg.append(line);
  return svg;
}

const nameOf = (name, about) => element("th", "", name, " ", element("small", "", about));

function rowOf(data, ...cells) {
  const row = element("tr", "", ...cells);
  row.dataset.account = accountOf(data);
  return row;
}

function positionRow(data) {
  const profit = cell(data.unrealised_pnl == null ? NONE : signed(data.unrealised_pnl, MONEY_PLACES), wayOf(data.unrealised_pnl, MONEY_PLACES));
  if (data.is_computed) profit.append(element("small", "", " est."));
  profit.title = data.is_computed ? "carried on by the market's price since the exchange's last word" : "as the exchange says it";
  return rowOf(
    data,
    nameOf(data.symbol, data.venue),
    cell(data.side === "LONG" ? "long" : "short", data.side === "LONG" ? "up" : "down"),
    cell(numeric(data.quantity)),
    profit,
    cell(numeric(data.mark_price)),
    cell(numeric(data.entry_price)),
    cell(data.leverage ? `${data.leverage}× ${data.margin_type ?? ""}` : NONE),
    cell(data.liquidation_price ? numeric(data.liquidation_price) : NONE),
  );
}
