/** The head of the page and its title: the chosen instrument, its price and the figures of 24 hours. */

import { compact, fixed, NONE, percent, precision, signed, wayOfPercent } from "./format.js";
import { assetsOf } from "./instruments.js";
import { byId, firstDrawn, paintSoon, write } from "./page.js";

export class Head {
  #focus = null;
  #data;
  #stats = null;
  #base = "";

  /** Another instrument, or with null none. */
  choose(focus, data) {
    this.#focus = focus;
    this.#data = data;
    this.#stats = null;
    this.#base = "";
    this.#paint();
    if (focus) void this.#readUnit(focus);
  }

  /** Takes a price of the hub or the REST API. */
  take(data) {
    this.#data = data;
    paintSoon(this.#paint);
  }

  /** Takes statistics of 24 hours; null: what was known is void. */
  takeStats(stats) {
    this.#stats = stats;
    paintSoon(this.#paint);
  }

  /** The title of the page, with the state of a price that is not current. */
  paintTitle({ isCurrent, text } = { isCurrent: true }) {
    if (!this.#focus || !this.#data) {
      document.title = "marketflow";
      return;
    }
    const shown = `${fixed(this.#data.price, precision.of(this.#focus))} ${this.#focus.symbol} · marketflow`;
    document.title = isCurrent ? shown : `(${text}) ${shown}`;
  }

  async #readUnit(focus) {
    await firstDrawn;
    try {
      const { base } = await assetsOf(focus);
      if (focus === this.#focus) this.#base = base;
    } catch {
      return; // the unit is not known, and not guessed
    }
    paintSoon(this.#paint);
  }

  #paint = () => {
    const focus = this.#focus, data = this.#data;
    const decimals = focus ? precision.of(focus) : 0;
    write(byId("symbol"), focus?.symbol ?? NONE);
    write(byId("venue"), focus?.venue ?? "");
    write(byId("price"), data ? fixed(data.price, decimals) : NONE);
    const change = data?.price_change_24h, share = data?.price_change_percent_24h;
    write(byId("change"), change == null ? "" : `${signed(change, decimals)}  ${percent(share)}`);
    byId("change").dataset.way = wayOfPercent(share);
    write(byId("high"), fixed(this.#stats?.high, decimals));
    write(byId("low"), fixed(this.#stats?.low, decimals));
    const volume = data?.volume_24h;
    write(byId("volume"), volume == null ? NONE : `${compact(volume)} ${this.#base}`.trim());
  };
}
