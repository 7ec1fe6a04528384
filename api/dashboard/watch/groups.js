/** Groups of instruments, and stars: the viewer's own. The browser keeps them; what is recorded does not depend on them. */

const KEPT_STARS = "marketflow.stars";
const KEPT_GROUPS = "marketflow.groups";
const MOST_GROUPS = 50;
const MOST_LETTERS = 40;

/** What is kept under a name; `usual` where there is nothing, or something that this page cannot have written. */
export function kept(storage, name, usual, isRight) {
  try {
    const found = JSON.parse(storage.getItem(name));
    return found !== null && isRight(found) ? found : usual;
  } catch {
    return usual;
  }
}

const isTexts = (value) => Array.isArray(value) && value.every((one) => typeof one === "string");
const isGroups = (value) => Array.isArray(value) && value.every((one) => typeof one?.name === "string" && isTexts(one.members));

/** Instruments are named by keys, `venue:symbol`. */
export class Groups {
  #storage;
  #stars;
  #groups; // by name, in the viewer's order

  constructor(storage = localStorage) {
    this.#storage = storage;
    this.#stars = new Set(kept(storage, KEPT_STARS, [], isTexts));
    this.#groups = new Map(kept(storage, KEPT_GROUPS, [], isGroups).map(({ name, members }) => [name, new Set(members)]));
  }

  isStarred(key) {
    return this.#stars.has(key);
  }

  toggleStar(key) {
    if (!this.#stars.delete(key)) this.#stars.add(key);
    this.#storage.setItem(KEPT_STARS, JSON.stringify([...this.#stars]));
  }

  get names() {
    return [...this.#groups.keys()];
  }

  sizeOf(name) {
    return this.#groups.get(name)?.size ?? 0;
  }

  has(name, key) {
    return this.#groups.get(name)?.has(key) ?? false;
  }

  /** Makes a group, or renames one in its place. Why it cannot be, "" where it was done. */
  name(text, before = null) {
    const name = text.trim();
    const others = this.names.filter((one) => one !== before);
    if (!name) return "a group needs a name";
    if (name.length > MOST_LETTERS) return `a name has at most ${MOST_LETTERS} letters`;
    if (others.some((one) => one.toLowerCase() === name.toLowerCase())) return `there is a group ${name} already`;
    if (before === null && others.length >= MOST_GROUPS) return `there are at most ${MOST_GROUPS} groups`;
    if (before === null) this.#groups.set(name, new Set());
    else this.#groups = new Map([...this.#groups].map(([one, members]) => [one === before ? name : one, members]));
    this.#keep();
    return "";
  }

  /** Deletes a group; what is returned makes it again, in its place. */
  removed(name) {
    const before = [...this.#groups].map(([one, members]) => [one, new Set(members)]);
    const place = this.names.indexOf(name);
    this.#groups.delete(name);
    this.#keep();
    return () => {
      if (this.#groups.has(name)) return;
      const entries = [...this.#groups];
      entries.splice(place, 0, before[place]);
      this.#groups = new Map(entries);
      this.#keep();
    };
  }

  /** Puts a group so many places further down, a negative number up. */
  move(name, step) {
    const names = this.names;
    const from = names.indexOf(name), to = Math.min(names.length - 1, Math.max(0, from + step));
    names.splice(to, 0, ...names.splice(from, 1));
    this.#groups = new Map(names.map((one) => [one, this.#groups.get(one)]));
    this.#keep();
  }

  put(name, key, isIn) {
    if (isIn) this.#groups.get(name)?.add(key);
    else this.#groups.get(name)?.delete(key);
    this.#keep();
  }

  /** Puts the members of a group into an order; those that it does not name come last. */
  order(name, keys) {
    const members = this.#groups.get(name);
    if (!members) return;
    this.#groups.set(name, new Set([...keys.filter((key) => members.has(key)), ...members]));
    this.#keep();
  }

  /** The place of each member of a group, by key. */
  placesOf(name) {
    return new Map([...(this.#groups.get(name) ?? [])].map((key, index) => [key, index]));
  }

  #keep() {
    const groups = [...this.#groups].map(([name, members]) => ({ name, members: [...members] }));
    this.#storage.setItem(KEPT_GROUPS, JSON.stringify(groups));
  }
}
