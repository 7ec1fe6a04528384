/** What is proven of the shown venue's data, by which witness, and what is not: in the words of the venue's folder. */

import { byId, element } from "./page.js";
import { get } from "./rest.js";

export class Capabilities {
  #venue = "";

  /** Reads them once for a venue; those that could not be read are read again with the next choice. */
  async choose({ venue }) {
    if (venue === this.#venue) return;
    this.#venue = venue;
    let rows = [];
    try {
      const [found] = await get("/api/quality/capabilities", { venue });
      rows = found?.capabilities ?? [];
    } catch {
      if (venue === this.#venue) this.#venue = "";
    }
    byId("proven").hidden = !rows.length;
    byId("capabilities").replaceChildren(element("h2", "", `What is proven at ${venue}`), ...rows.map(entryOf));
  }
}

/** What is proven of one kind of data, and its blind spots. */
export function entryOf({ kind, proven, witness, blind_spots: blind }) {
  const text = proven ? `${proven}. Witness: ${witness}.` : "not proven.";
  const entry = element("div", "", element("b", "", kind), " ", ...wordsOf(text));
  if (blind.length) entry.append(element("ul", "", ...blind.map((spot) => element("li", "", ...wordsOf(spot)))));
  return entry;
}

/** A text with what stands between backticks as code. */
const wordsOf = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", "", part) : part));
