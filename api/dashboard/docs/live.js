/** The WebSocket of the broadcast to try: messages of the chosen channels as they come. */

import { byId, element, write } from "../page.js";
import { get, token } from "../rest.js";
import { seenFromHere } from "../broadcast/place.js";

const MOST_SHOWN = 30;
const MOST_LETTERS = 2_000;
const USUAL = ["MarketData"];

export class Live {
  #socket = null;
  #count = 0;
  #token;

  /** `channels` are the names of all; `token()` is what the reader entered. */
  constructor(channels, readToken) {
    this.#token = readToken;
    byId("live-channels").append(...channels.map((name) => {
      const box = Object.assign(element("input"), { type: "checkbox", value: name, checked: USUAL.includes(name) });
      box.onchange = () => this.#paintRequest();
      return element("label", "", box, ` ${name}`);
    }));
    byId("live-symbols").oninput = () => this.#paintRequest();
    byId("live").onsubmit = (event) => {
      event.preventDefault();
      void (this.#socket ? this.#close("closed") : this.#open());
    };
    this.#paintRequest();
  }

  get #request() {
    const channels = [...byId("live-channels").querySelectorAll("input:checked")].map(({ value }) => value);
    const symbols = byId("live-symbols").value.split(/[\s,]+/).filter(Boolean);
    return { op: "subscribe", channels, ...(symbols.length ? { symbols } : {}) };
  }

  #paintRequest() {
    write(byId("live-request"), JSON.stringify(this.#request));
  }

  async #open() {
    this.#count = 0;
    byId("live-messages").replaceChildren();
    try {
      const { hub_urls: [url] } = await get("/api/status");
      const shown = this.#token() || token();
      this.#socket = new WebSocket(seenFromHere(url) + (shown ? `?${new URLSearchParams({ token: shown })}` : ""));
    } catch (error) {
      return this.#say(error.message);
    }
    const socket = this.#socket;
    this.#say("connecting…");
    write(byId("live-open"), "Disconnect");
    socket.onopen = () => socket.send(JSON.stringify(this.#request));
    socket.onmessage = ({ data }) => this.#show(data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#close(`closed with ${code} ${reason}`);
  }

  #close(text) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    write(byId("live-open"), "Connect");
    this.#say(text);
  }

  #show(text) {
    this.#count += 1;
    this.#say(`${this.#count} messages`);
    const shown = text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}… ${text.length} letters` : text;
    byId("live-messages").prepend(element("li", "", element("code", "", shown)));
    while (byId("live-messages").children.length > MOST_SHOWN) byId("live-messages").lastChild.remove();
  }

  #say(text) {
    write(byId("live-said"), text);
  }
}
