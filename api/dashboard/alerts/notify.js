/** Notifications of the browser, on the viewer's request: what fires while the page is not looked at. */

import { byId, note } from "../page.js";

const KEPT = "marketflow.notify";
const ICON = "/static/icon.svg";

export class Notifications {
  constructor() {
    byId("notify").hidden = !("Notification" in globalThis);
    byId("notify").onclick = () => void this.#toggle();
    this.#paint();
  }

  /** The viewer wants them, and the browser lets the page. */
  get isOn() {
    return localStorage.getItem(KEPT) === "on" && globalThis.Notification?.permission === "granted";
  }

  /** Shows an alert, once; not while the page is looked at, where it is a note. */
  show({ id, text, symbol }) {
    if (!this.isOn || (!document.hidden && document.hasFocus())) return;
    try {
      const shown = new Notification(`${symbol || "marketflow"}: alert`, { body: text, tag: id, icon: ICON });
      shown.onclick = () => {
        focus();
        shown.close();
      };
    } catch (error) {
      this.#keep("off"); // some browsers of phones have them for installed pages alone
      note("this browser shows no notifications of pages", { bad: true, about: error.message });
    }
  }

  async #toggle() {
    if (this.isOn) return this.#keep("off");
    const permission = await Notification.requestPermission();
    if (permission === "granted") return this.#keep("on");
    note("the browser does not let this page show notifications: its settings for this address have the choice", { bad: true });
  }

  #keep(state) {
    localStorage.setItem(KEPT, state);
    this.#paint();
  }

  #paint() {
    byId("notify").setAttribute("aria-pressed", String(this.isOn));
  }
}
