/** The documentation of the interface: groups of calls from the OpenAPI document, the broadcast, SignalR. */

import { byId, element, write } from "../page.js";
import { openTheme } from "../theme.js";
import { Call, code, languagesOf, tableOf, words } from "./call.js";
import { Live } from "./live.js";
import { PROGRAMS } from "./programs.js";
import { fieldsOf } from "./schema.js";

const NAMES = { udf: "TradingView (UDF)", openbb: "OpenBB", replay: "Replay exchange", metrics: "Metrics", refresh: "Fetching again" };
const readToken = () => byId("token").value.trim();

openTheme(() => {});

const titleOf = (name) => NAMES[name] ?? name[0].toUpperCase() + name.slice(1);

function groupOf({ name, description }, calls) {
  const section = element("section", "group-of-calls", element("h2", "", titleOf(name)), element("p", "about", ...words(description ?? "")), ...calls.map((call) => call.element));
  section.id = `group-${name}`;
  return section;
}

function callsOf(document, tag) {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations)
      .filter(([, operation]) => operation.tags.includes(tag))
      .map(([method, operation]) => new Call({ method, path, operation, document, token: readToken })),
  );
}

function linkTo(id, text) {
  const link = Object.assign(element("a", "", text), { href: `#${id}` });
  return element("li", "", link);
}

/** The channels with the fields of their messages. */
function showChannels({ "x-channels": channels, components }) {
  const entries = Object.entries(channels).map(([name, { anyOf }]) => {
    const forms = anyOf.flatMap((schema) => {
      const { description = "" } = components.schemas[schema.$ref.split("/").pop()];
      return [element("p", "about", ...words(description)), tableOf(fieldsOf(schema, components.schemas))];
    });
    const details = element("details", "call", element("summary", "", element("code", "", name)), element("div", "inside", ...forms));
    details.id = `channel-${name}`;
    return details;
  });
  byId("channels").replaceChildren(...entries);
}

/** Programs for the broadcast and SignalR, in the languages that there are. */
function showPrograms(id, programs) {
  const shown = code();
  const paint = (name) => {
    mark(name);
    shown.shown.textContent = programs[name](location);
  };
  const { group, mark } = languagesOf(Object.keys(programs), paint);
  byId(id).replaceChildren(group, shown.block);
  paint(Object.keys(programs)[0]);
}

function search() {
  const wanted = byId("search").value.trim().toLowerCase().split(/\s+/);
  for (const section of document.querySelectorAll(".group-of-calls")) {
    const calls = [...section.querySelectorAll(":scope > .call")];
    for (const call of calls) call.hidden = !wanted.every((word) => call.dataset.words.includes(word));
    section.hidden = calls.length > 0 && calls.every((call) => call.hidden);
  }
}

/** Opens the call that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") named.open = true;
  named?.scrollIntoView();
}

async function show() {
  const document = await (await fetch("/openapi.json")).json();
  const groups = document.tags.map((tag) => ({ tag, calls: callsOf(document, tag.name) }));
  byId("operations").replaceChildren(...groups.map(({ tag, calls }) => groupOf(tag, calls)));
  byId("contents").prepend(...groups.map(({ tag: { name } }) => linkTo(`group-${name}`, titleOf(name))));
  write(byId("version"), document.info.version);
  showChannels(document);
  showPrograms("broadcast-programs", PROGRAMS.broadcast);
  showPrograms("signalr-programs", PROGRAMS.signalr);
  new Live(Object.keys(document["x-channels"]), readToken);
}

byId("search").oninput = search;
byId("token").oninput = () => {
  for (const form of document.querySelectorAll(".call form")) form.dispatchEvent(new Event("input"));
};
addEventListener("hashchange", openNamed);
try {
  await show();
  openNamed();
} catch (error) {
  byId("missing").hidden = false;
  write(byId("missing"), `the description is not there: ${error.message}`);
}
