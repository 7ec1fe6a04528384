/** Alerts: what fired last, in a dialog. A new one is also a note, and the button counts those that were not seen yet. */

import { byId, element, note, paintSoon, write } from "./page.js";
import { get } from "./rest.js";
import { momentOf } from "./zone.js";

const SHOWN = 20;
const NOTES = 3; // at a time: what fires with many others is in the dialog
const NOTES_MS = 6_000;

export class Alerts {
  #fired = new Map(); // by id, the newest last
  #rules = 0;
  #unseen = 0;
  #notedAt = [];

  constructor() {
    byId("alerts").addEventListener("toggle", ({ newState }) => {
      this.#unseen = 0;
      if (newState === "open") void this.refresh();
      this.paint();
    });
  }

  /** One that has just fired. */
  take(alert) {
    if (this.#fired.has(alert.id)) return;
    this.#keep([alert]);
    if (!byId("alerts").matches(":popover-open")) this.#unseen += 1;
    this.#announce(alert.text);
    paintSoon(this.paint);
  }

  /** Reads how many rules there are, and what has fired; as it was where it cannot be read. */
  async refresh() {
    try {
      const [{ rules }, { alerts }] = await Promise.all([
        get("/api/alerts"), get("/api/alerts/history", { limit: SHOWN }),
      ]);
      this.#rules = rules.length;
      this.#keep(alerts.toReversed());
    } catch {
      return;
    }
    this.paint();
  }

  paint = () => {
    byId("alerted").hidden = !this.#rules && !this.#fired.size;
    write(byId("alerted"), this.#unseen ? `Alerts (${this.#unseen})` : "Alerts");
    const rows = [...this.#fired.values()].toReversed().map(rowOf);
    const rules = this.#rules === 1 ? "1 rule" : `${this.#rules} rules`;
    byId("alerts").replaceChildren(
      element("h2", "", "Alerts ", element("small", "", rules)),
      ...(rows.length ? rows : [element("p", "", "Nothing has fired yet.")]),
    );
  };

  #keep(alerts) {
    for (const alert of alerts) {
      this.#fired.delete(alert.id);
      this.#fired.set(alert.id, alert);
    }
    const newest = [...this.#fired.values()].sort((one, other) => one.timestamp - other.timestamp).slice(-SHOWN);
    this.#fired = new Map(newest.map((alert) => [alert.id, alert]));
  }

  #announce(text) {
    const now = performance.now();
    this.#notedAt = this.#notedAt.filter((at) => now - at < NOTES_MS);
    if (this.#notedAt.length >= NOTES) return;
    this.#notedAt.push(now);
    note(text);
  }
}

const rowOf = ({ text, timestamp, rule }) => {
  const row = element("p", "", element("small", "", timestamp ? momentOf(timestamp) : "–"), " ", text);
  row.title = `rule ${rule}`;
  return row;
};
