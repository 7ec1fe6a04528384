/** A call of the interface: what it takes, what it answers, programs that make it, and a button that does. */

import { element, note } from "../page.js";
import { addressOf, LANGUAGES } from "./examples.js";
import { boundsOf, exampleOf, fieldsOf, resolved } from "./schema.js";

const KEPT_LANGUAGE = "marketflow.language";
const MOST_SHOWN = 200_000; // letters of an answer

let language = localStorage.getItem(KEPT_LANGUAGE) in LANGUAGES ? localStorage.getItem(KEPT_LANGUAGE) : "curl";
const followers = new Set(); // calls whose programs are shown

/** A text with what stands between backticks as code. */
export const words = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", "", part) : part));

/** A text of code, with a button that copies it. */
export function code(text = "") {
  const shown = element("code", "", text);
  const copy = Object.assign(element("button", "copy", "Copy"), { type: "button" });
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(shown.textContent);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1_500);
    } catch {
      note("this browser does not let the page copy", { bad: true });
    }
  };
  const block = element("pre", "", shown);
  block.tabIndex = 0;
  return { block: element("div", "code", block, copy), shown };
}

/** Choosers of the language; all calls follow. */
export function languagesOf(names, onChoose) {
  const buttons = names.map((name) => {
    const button = Object.assign(element("button", "", name), { type: "button" });
    button.onclick = () => onChoose(name);
    return button;
  });
  const group = element("div", "group", ...buttons);
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Language");
  const mark = (chosen) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === chosen)));
  return { group, mark };
}

export class Call {
  #document;
  #operation;
  #method;
  #path;
  #token;
  #fields = new Map();
  #body = null;

  /** `token()` is what the reader entered. */
  constructor({ method, path, operation, document, token }) {
    [this.#method, this.#path, this.#operation, this.#document, this.#token] = [method.toUpperCase(), path, operation, document, token];
    const summary = element(
      "summary", "", element("span", "method", this.#method), element("code", "", path), element("span", "about", ...words(operation.summary)),
    );
    this.element = element("details", "call", summary);
    this.element.id = operation.operationId;
    this.element.dataset.words = `${method} ${path} ${operation.summary}`.toLowerCase();
    this.element.addEventListener("toggle", () => this.element.open && this.#open());
  }

  /** What is inside is made when it is looked at. */
  #open() {
    if (this.element.children.length > 1) return this.#paint();
    const { parameters, requestBody } = this.#operation;
    const form = element("form", "", ...this.#inputs(parameters), ...this.#bodyInput(requestBody));
    const { group, mark } = languagesOf(Object.keys(LANGUAGES), (name) => {
      language = name;
      localStorage.setItem(KEPT_LANGUAGE, name);
      for (const follow of followers) follow();
    });
    const program = code();
    this.#paint = () => {
      mark(language);
      program.shown.textContent = this.#program();
    };
    followers.add(() => this.#paint());
    const send = Object.assign(element("button", "send", "Send"), { type: "submit" });
    const answer = code();
    answer.block.hidden = true;
    const said = element("p", "said");
    said.setAttribute("role", "status");
    form.append(send);
    form.oninput = () => this.#paint();
    form.onsubmit = (event) => {
      event.preventDefault();
      void this.#send(said, answer);
    };
    this.element.append(element("div", "inside", form, group, program.block, said, answer.block, ...this.#answerTable(), ...this.#errors()));
    this.#paint();
  }

  #paint = () => {};

  #inputs(parameters) {
    return parameters.map(({ name, required, schema }) => {
      const field = Object.assign(element("input"), { name, required, autocomplete: "off", spellcheck: false, value: required ? (schema.examples?.[0] ?? "") : "" });
      this.#fields.set(name, field);
      const about = boundsOf(schema);
      return element("label", "", element("span", "", element("code", "", name), required ? " needed" : ""), field, element("small", "", about));
    });
  }

  #bodyInput(body) {
    if (!body) return [];
    const { schema } = body.content["application/json"];
    this.#body = Object.assign(element("textarea"), { rows: 4, spellcheck: false, value: JSON.stringify(exampleOf(schema, this.#document.components.schemas), null, 1) });
    this.#body.setAttribute("aria-label", "Body, as JSON");
    const fields = fieldsOf(schema, this.#document.components.schemas);
    return [element("label", "body", element("span", "", "body"), this.#body), tableOf(fields)];
  }

  get #values() {
    return Object.fromEntries([...this.#fields].map(([name, field]) => [name, field.value.trim()]));
  }

  get #json() {
    return this.#body ? JSON.parse(this.#body.value) : undefined;
  }

  get #address() {
    return addressOf(this.#path, this.#operation.parameters, this.#values);
  }

  get #isRaw() {
    return !this.#operation.responses["200"]?.content?.["application/json"]?.schema && !this.#operation.responses["202"];
  }

  #program() {
    let body;
    try {
      body = this.#json;
    } catch {
      return "the body is not JSON";
    }
    const needsToken = Boolean(this.#token() && this.#operation.security);
    return LANGUAGES[language]({ method: this.#method, url: location.origin + this.#address, body, isRaw: this.#isRaw, needsToken });
  }

  async #send(said, answer) {
    said.textContent = "…";
    const begin = performance.now();
    try {
      const headers = this.#token() ? { Authorization: `Bearer ${this.#token()}` } : {};
      const body = this.#json;
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const response = await fetch(this.#address, { method: this.#method, headers, body: body && JSON.stringify(body) });
      const text = await textOf(response);
      said.textContent = `${response.status} ${response.statusText} in ${Math.round(performance.now() - begin)} ms`;
      said.dataset.mood = response.ok ? "good" : "bad";
      answer.shown.textContent = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}\n… ${text.length - MOST_SHOWN} letters more` : text;
      answer.block.hidden = false;
    } catch (error) {
      said.textContent = `${this.#method} ${this.#address}: ${error.message}`;
      said.dataset.mood = "bad";
    }
  }

  #answerTable() {
    const found = this.#operation.responses["200"] ?? this.#operation.responses["202"];
    const schema = found?.content?.["application/json"]?.schema;
    const { schemas } = this.#document.components;
    const data = schema?.properties?.data;
    if (!data) return [element("p", "about", `Answers ${Object.keys(found?.content ?? {}).join(" or ")}, without the usual form.`)];
    const { description } = resolved(data.type === "array" ? data.items : data, schemas);
    return [element("h3", "", data.type === "array" ? "Answer: a list of" : "Answer"), element("p", "about", ...words(description ?? "")), tableOf(fieldsOf(data, schemas))];
  }

  #errors() {
    const rows = Object.entries(this.#operation.responses).filter(([status]) => status >= "400");
    const text = rows.map(([status, { description }]) => `${status}: ${description.replace("error.code: ", "")}`).join(" · ");
    return [element("h3", "", "Errors"), element("p", "about", text)];
  }
}

async function textOf(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.includes("json")) return JSON.stringify(await response.json(), null, 2);
  return type.startsWith("text/") ? response.text() : `${(await response.blob()).size} bytes of ${type}`;
}

/** Fields with their types, those of inner objects further in. */
export function tableOf(fields) {
  const rows = fields.map(({ name, type, about, depth }) => {
    const head = element("th", "", element("code", "", name));
    head.style.paddingLeft = `${depth * 14}px`;
    head.scope = "row";
    return element("tr", "", head, element("td", "", type), element("td", "", ...words(about)));
  });
  return rows.length ? element("table", "fields", element("tbody", "", ...rows)) : element("span");
}
