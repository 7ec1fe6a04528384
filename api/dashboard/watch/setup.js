/** How the viewer wants the list: columns, order, groups. The head of the columns, the choice of a group, and two dialogs. */

import { byId, element, note, write } from "../page.js";
import { COLUMNS, firstWayOf, OWN_ORDER, USUAL_COLUMNS } from "./columns.js";

const OWN = { about: "the own order of a group" };
const NAME = { title: "Name", about: "the venue's own name" };
const PRICE_EM = 0.62; // a digit

export class Setup {
  #groups;
  #view;
  #page;
  #options = "";
  #heads = "";
  #member = null; // the instrument whose groups are chosen

  /**
   * `view` is `{ column, way, group, columns, onlyStarred }`, changed here; `page.venues()` has numbers of instruments by venue,
   * `page.sizeOf(group)` of a group; `page.onView()` and `page.onGroups()` are called after changes.
   */
  constructor(groups, view, page) {
    this.#groups = groups;
    this.#view = view;
    this.#page = page;
    byId("group").onchange = () => this.#change({ group: byId("group").value });
    byId("starred").onclick = () => this.#change({ onlyStarred: !this.#view.onlyStarred });
    byId("sort").append(...Object.entries({ name: NAME, [OWN_ORDER]: OWN, ...COLUMNS }).map(([name, { about }]) => Object.assign(element("option", "", about), { value: name })));
    byId("sort").onchange = () => this.#sortBy(byId("sort").value, firstWayOf(byId("sort").value));
    byId("sort-way").onclick = () => this.#sortBy(this.#view.column, -this.#view.way);
    byId("add-group").onsubmit = (event) => this.#onNew(event, byId("new-group"));
    byId("add-membership").onsubmit = (event) => this.#onNew(event, byId("new-membership"));
    byId("usual-columns").onclick = () => this.#change({ columns: [...USUAL_COLUMNS] });
    byId("chosen-columns").append(...Object.entries(COLUMNS).map(([name, { title, about }]) => this.#columnBox(name, title, about)));
    this.#paintGroups();
  }

  /** Paints it again, with so many lines in the list. */
  paint(count) {
    this.#paintChoice();
    this.#paintHead();
    byId("starred").setAttribute("aria-pressed", String(this.#view.onlyStarred));
    byId("sort").value = this.#view.column;
    write(byId("sort-way"), this.#view.way > 0 ? "rising" : "falling");
    for (const box of byId("chosen-columns").querySelectorAll("input")) box.checked = this.#view.columns.includes(box.value);
    const isFiltered = this.#view.group || this.#view.onlyStarred;
    byId("none-shown").hidden = count > 0 || !isFiltered;
    byId("watch").classList.toggle("grouped", this.#groups.names.length > 0 || this.#page.venues().size > 1);
  }

  /** The groups of an instrument, beside the button that was pressed. */
  showGroupsOf(record, key, button) {
    this.#member = key;
    write(byId("member"), record.symbol);
    this.#paintMembership();
    const { left, bottom } = button.getBoundingClientRect();
    const { style } = byId("membership");
    byId("membership").showPopover();
    const { offsetWidth, offsetHeight } = byId("membership");
    style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
    style.top = `${Math.max(8, Math.min(bottom + 4, innerHeight - offsetHeight - 8))}px`;
  }

  #change(changes) {
    Object.assign(this.#view, changes);
    this.#page.onView();
  }

  #sortBy(column, way) {
    this.#change({ column, way });
  }

  // --- columns ---

  #columnBox(name, title, about) {
    const box = Object.assign(element("input"), { type: "checkbox", value: name });
    box.onchange = () => {
      const columns = Object.keys(COLUMNS).filter((one) => (one === name ? box.checked : this.#view.columns.includes(one)));
      this.#change({ columns });
    };
    return Object.assign(element("label", "", box, ` ${title}`), { title: about });
  }

  /** The heads of the columns sort the list; pressed again, the other way round. They stay while they are pressed. */
  #paintHead() {
    const { column, way, columns } = this.#view;
    const painted = columns.join();
    if (painted !== this.#heads) this.#makeHeads(columns);
    this.#heads = painted;
    for (const head of byId("columns").children) markHead(head, head.dataset.column === column ? way : 0);
  }

  #makeHeads(columns) {
    const heads = ["name", ...columns].map((name) => this.#head(name));
    const focused = document.activeElement?.dataset?.column;
    byId("columns").replaceChildren(...heads);
    if (focused) heads.find(({ dataset }) => dataset.column === focused)?.focus();
    const widths = columns.map((name) => (COLUMNS[name].width ? `${COLUMNS[name].width}px` : `calc(var(--longest-price, 9) * ${PRICE_EM}em + 6px)`));
    const list = byId("list"), { style } = document.documentElement;
    list.style.setProperty("--cells", ["minmax(0, 1fr)", ...widths].join(" "));
    style.setProperty("--cell-count", columns.length || 1);
    style.setProperty("--cells-width", `${columns.reduce((sum, name) => sum + (COLUMNS[name].width ?? 6) + 8, 0)}px`);
    document.body.classList.toggle("more-columns", columns.join() !== USUAL_COLUMNS.join());
  }

  #head(name) {
    const { title, about } = COLUMNS[name] ?? NAME;
    const mark = element("span");
    mark.setAttribute("aria-hidden", "true");
    const head = Object.assign(element("button", `cell ${name}`, title, mark), { title: about });
    head.dataset.column = name;
    head.onclick = () => this.#sortBy(name, this.#view.column === name ? -this.#view.way : firstWayOf(name));
    return head;
  }

  // --- groups ---

  #paintChoice() {
    const venues = [...this.#page.venues()].sort();
    const options = [["", "All", [...venues].reduce((sum, [, count]) => sum + count, 0)]];
    if (venues.length > 1) options.push(...venues.map(([venue, count]) => [`venue:${venue}`, venue, count]));
    options.push(...this.#groups.names.map((name) => [`group:${name}`, name, this.#page.sizeOf(`group:${name}`)]));
    if (!options.some(([value]) => value === this.#view.group)) this.#view.group = "";
    const painted = JSON.stringify([options, this.#view.group]);
    if (painted === this.#options) return;
    this.#options = painted;
    byId("group").replaceChildren(...options.map(([value, name, count]) => Object.assign(element("option", "", `${name} (${count})`), { value })));
    byId("group").value = this.#view.group;
  }

  #paintGroups() {
    const rows = this.#groups.names.map((name, index) => {
      const field = Object.assign(element("input"), { value: name, maxLength: 40 });
      field.setAttribute("aria-label", `Name of the group ${name}`);
      field.onchange = () => this.#rename(name, field);
      const up = Object.assign(element("button", "", "↑"), { disabled: index === 0, onclick: () => this.#did(() => this.#groups.move(name, -1)) });
      up.setAttribute("aria-label", `Group ${name} further up`);
      const drop = Object.assign(element("button", "", "×"), { onclick: () => this.#remove(name) });
      drop.setAttribute("aria-label", `Delete the group ${name}`);
      return element("li", "", field, up, drop);
    });
    byId("groups").replaceChildren(...rows);
  }

  #paintMembership() {
    const rows = this.#groups.names.map((name) => {
      const box = Object.assign(element("input"), { type: "checkbox", checked: this.#groups.has(name, this.#member) });
      box.onchange = () => {
        this.#groups.put(name, this.#member, box.checked);
        this.#page.onGroups();
      };
      return element("li", "", element("label", "", box, ` ${name}`));
    });
    byId("memberships").replaceChildren(...rows);
  }

  #did(work) {
    work();
    this.#paintGroups();
    this.#paintMembership();
    this.#page.onGroups();
  }

  /** A new group; from the dialog of an instrument, with it. */
  #onNew(event, field) {
    event.preventDefault();
    const name = field.value.trim();
    const fault = this.#groups.name(name);
    if (fault) return note(fault, { bad: true });
    field.value = "";
    this.#did(() => field.id === "new-membership" && this.#groups.put(name, this.#member, true));
  }

  #rename(name, field) {
    const fault = this.#groups.name(field.value, name);
    if (fault) {
      note(fault, { bad: true });
      field.value = name;
      return;
    }
    if (this.#view.group === `group:${name}`) this.#change({ group: `group:${field.value.trim()}` });
    this.#did(() => {});
  }

  /** What was in it stays in the list; the group can be had back. */
  #remove(name) {
    const undo = this.#groups.removed(name);
    this.#did(() => {});
    note(`the group ${name} is deleted`, { action: { text: "Undo", run: () => this.#did(undo) } });
  }
}

/** Says on the head of a column whether the list is sorted by it: 1 rising, -1 falling, 0 not. */
function markHead(head, way) {
  const { title } = COLUMNS[head.dataset.column] ?? NAME;
  write(head.lastElementChild, way ? (way > 0 ? "▲" : "▼") : "");
  head.setAttribute("aria-pressed", String(way !== 0));
  head.setAttribute("aria-label", `Sort by ${title}${way ? `, now ${way > 0 ? "rising" : "falling"}` : ""}`);
}
