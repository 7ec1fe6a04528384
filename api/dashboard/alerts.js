/** Alerts: what fired last, and the rules, in a dialog. A new one is also a note, and the button counts those that were not seen yet. */

import { RuleForm } from "./alerts/form.js";
import { Notifications } from "./alerts/notify.js";
import { Rules, textOf } from "./alerts/rules.js";
import { byId, element, note, paintSoon, removable, write } from "./page.js";
import { get } from "./rest.js";
import { momentOf } from "./zone.js";

const SHOWN = 20;
const NOTES = 3; // at a time: what fires with many others is in the dialog
const NOTES_MS = 6_000;
const READ_MS = 1_000; // what fires with many others is read of once

export class Alerts {
  rules = new Rules();
  #form = new RuleForm(this.rules);
  #notifications = new Notifications();
  #fired = new Map(); // by id, the newest last
  #unseen = 0;
  #notedAt = [];
  #reading = null;

  /** `focusOf()` is the shown instrument with its `price`; null without one. */
  constructor(focusOf) {
    this.rules.onChange(() => this.paint());
    byId("alerts").addEventListener("toggle", ({ newState }) => {
      this.#unseen = 0;
      if (newState === "open") {
        const shown = focusOf();
        this.#form.choose(shown, shown?.price);
        void this.refresh();
      }
      this.paint();
    });
  }

  /** One that has just fired. */
  take(alert) {
    if (this.#fired.has(alert.id)) return;
    this.#keep([alert]);
    if (!byId("alerts").matches(":popover-open")) this.#unseen += 1;
    this.#announce(alert.text);
    this.#notifications.show(alert);
    paintSoon(this.paint);
    this.#reading ??= setTimeout(() => {
      this.#reading = null;
      void this.#readRules(); // its rule may have ended with it
    }, READ_MS);
  }

  /** Reads the rules, and what has fired; as it was where it cannot be read. */
  async refresh() {
    await Promise.all([this.#readRules(), this.#readFired()]);
    this.paint();
  }

  async #readRules() {
    await this.rules.refresh().catch(() => {});
  }

  async #readFired() {
    try {
      this.#keep((await get("/api/alerts/history", { limit: SHOWN })).alerts.toReversed());
    } catch {
      return; // what is known of them stays
    }
  }

  paint = () => {
    const { list, isOn } = this.rules;
    byId("alerted").hidden = !list.length && !this.#fired.size && !isOn;
    byId("draw-alert").hidden = byId("add-rule").hidden = !isOn;
    write(byId("alerted"), this.#unseen ? `Alerts (${this.#unseen})` : "Alerts");
    write(byId("rule-count"), list.length === 1 ? "1 rule" : `${list.length} rules`);
    byId("rules").replaceChildren(...list.map((rule) => this.#rowOfRule(rule)));
    const rows = [...this.#fired.values()].toReversed().map(rowOf);
    byId("fired").replaceChildren(...(rows.length ? rows : [element("p", "", "Nothing has fired yet.")]));
  };

  #rowOfRule(rule) {
    const isOver = this.rules.isOver(rule);
    const text = textOf(rule) + (isOver ? " · has fired" : rule.watched ? "" : " · alerts are off");
    const row = rule.origin === "api" ? removable(text, () => void this.rules.drop(rule)) : element("li", "", element("span", "", `${text} · of the settings`));
    row.classList.toggle("over", isOver || !rule.watched);
    return row;
  }

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
