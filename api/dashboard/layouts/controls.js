/** The layout's part of the tools: how many charts, what links them, and a link that brings all of it. */

import { addressOf } from "../address.js";
import { decodeDrawings, encodeDrawings, takeDrawings } from "../drawings/shared.js";
import { byId, note } from "../page.js";
import { COUNTS } from "./kept.js";
import { decodeLayout, encodeLayout } from "./link.js";

export class LayoutControls {
  /** `kept` is the layout of charts, `panes` the charts, `layout` the panels, `extras` and `tools` what is drawn. */
  constructor({ kept, panes, layout, extras, tools }) {
    Object.assign(this, { kept, panes, layout, extras, tools });
    for (const count of COUNTS) byId(`charts-${count}`).onclick = () => this.#setCount(count);
    for (const name of ["symbol", "time"]) byId(`link-${name}`).onchange = () => this.#setLinks();
    byId("copy-link").onclick = () => void this.#copy();
    this.#paint();
  }

  /** Shows the layout of a link, if it has one, and its lines; the viewer's own can be had back. */
  take(text) {
    if (text) void takeDrawings(decodeDrawings(text));
    const found = text ? decodeLayout(text) : null;
    if (!found) return;
    const own = this.#current;
    if (encodeLayout(own) === encodeLayout(found)) return;
    this.#apply(found);
    note("this is the layout of a link", { action: { text: "Back to mine", run: () => this.#apply(own) } });
  }

  get #current() {
    const { count, active, charts, links } = this.kept.all;
    const { labels, overlays } = this.extras;
    return { count, active, charts, links, hidden: this.layout.hidden, labels, overlays, scale: this.tools.scale };
  }

  #apply(layout) {
    this.kept.set({ ...layout, active: 0 });
    this.layout.hidden = layout.hidden;
    this.extras.set(layout);
    this.tools.scale = layout.scale;
    this.panes.set(layout);
    this.#paint();
  }

  #setCount(count) {
    this.kept.count = count;
    this.panes.arrange();
    this.panes.onCharts();
    this.#paint();
  }

  #setLinks() {
    this.kept.links = { symbol: byId("link-symbol").checked, time: byId("link-time").checked };
    if (this.kept.links.symbol) this.panes.choose(this.panes.active.focus);
  }

  #paint() {
    for (const count of COUNTS) byId(`charts-${count}`).ariaPressed = String(count === this.kept.count);
    for (const name of ["symbol", "time"]) {
      byId(`link-${name}`).checked = this.kept.links[name];
      byId(`link-${name}`).disabled = this.kept.count === 1;
    }
  }

  /** Those that are shown, each once, the active one first. */
  get #instruments() {
    const shown = [this.panes.active, ...this.panes.all].flatMap(({ focus }) => focus ?? []);
    return [...new Map(shown.map((one) => [`${one.venue}:${one.symbol}`, one])).values()];
  }

  async #copy() {
    const { focus } = this.panes.active;
    const address = new URL(location.href);
    const drawings = byId("link-lines").checked ? encodeDrawings(this.#instruments) : [];
    address.hash = `${focus ? addressOf(focus) : "#"}?${[encodeLayout(this.#current), ...drawings].join("&")}`;
    try {
      await navigator.clipboard.writeText(address.href);
      note("the link is in the clipboard");
    } catch {
      prompt("The link of this layout:", address.href);
    }
  }
}
