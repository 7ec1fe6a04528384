/** The REST API: every response is `{"success", "data", "error"}`; an error is thrown as a `Failure`. */

const KEPT = "marketflow.token";
const EARLY_CANDLES = 500; // of the chart that is requested first

/** What the viewer reads where the API's own text is for operators and programs. */
const SENTENCES = {
  unreachable: "marketflow does not answer. Is it running? This page goes on by itself when it is back.",
  no_data: "there is no data of it yet",
  collecting: "there are too few trades of it so far",
  not_ready: "marketflow is not ready yet; this page tries again",
  request_timeout: "the connection to marketflow is too slow at the moment",
  store_unavailable: "stored data cannot be reached at the moment",
  trade_store_absent: "trades are not stored here",
  too_many_connections: "too many viewers are connected at the moment",
  unauthorized: "this needs a token",
  no_right: "the token does not open this",
  wrong_origin: "marketflow does not serve this page's address",
  wrong_host: "marketflow does not serve this page's address",
  unreadable_data: "a part of the stored data cannot be read",
  internal: "something went wrong in marketflow; its log has the details",
};

export class Failure extends Error {
  /** `code` is the API's, or `unreachable`; `detail` is the text for operators. */
  constructor(code, detail) {
    super(SENTENCES[code] ?? detail);
    this.code = code;
    this.detail = detail;
  }
}

/** The API's token where one is set; "" otherwise. */
export const token = () => sessionStorage.getItem(KEPT) ?? "";

export async function get(path, query = {}) {
  const early = await earlyAnswer(path, query);
  return early ? early.data : ask("GET", path, query);
}
export const post = (path, body) => ask("POST", path, {}, body);
export const remove = (path, query = {}) => ask("DELETE", path, query);

/** What the page has requested before its modules were there (early.js). */
async function earlyAnswer(path, { limit, venue, ...others }) {
  const isNewest = path.startsWith("/api/chart/") && limit === EARLY_CANDLES && venue && Object.values(others).every((value) => value === undefined);
  const isPlain = limit === undefined && venue === undefined && !Object.keys(others).length;
  return isNewest || isPlain ? globalThis.early?.answerOf(path, venue) : null;
}

async function ask(method, path, query, body) {
  const named = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const address = named.length ? `${path}?${new URLSearchParams(named)}` : path;
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let response, answer;
  try {
    response = await fetch(address, { method, headers, body: body && JSON.stringify(body) });
    answer = await response.json();
  } catch (error) {
    throw new Failure("unreachable", error.message);
  }
  if (response.status === 401 && askForToken("This page needs the token of marketflow (setting api.token):")) return ask(method, path, query, body);
  if (!answer.success) throw new Failure(answer.error.code, answer.error.message);
  return answer.data;
}

/** The text of an answer that is none of the above form; of an error, its failure. */
export async function getText(path) {
  let response;
  try {
    response = await fetch(path, { headers: token() ? { Authorization: `Bearer ${token()}` } : {} });
    if (response.ok) return await response.text();
  } catch (error) {
    throw new Failure("unreachable", error.message);
  }
  const answer = await response.json().catch(() => null);
  throw new Failure(answer?.error?.code ?? "unreachable", answer?.error?.message ?? response.statusText);
}

let refused = false;

/** Whether the user entered a token; after declining, the prompt is not repeated by itself. */
function askForToken(text) {
  const shown = refused ? null : prompt(text);
  refused = !shown;
  if (shown) sessionStorage.setItem(KEPT, shown);
  return !refused;
}

/** Takes the token with the right to accounts from the user, and opens the page with it. */
export function unlock() {
  refused = false;
  if (askForToken("Balances and positions need their own token (api.account_token, hub.account_token):")) location.reload();
}
