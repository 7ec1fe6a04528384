/** The REST API: every response is `{"success", "data", "error"}`; an error is thrown as a `Failure`. */

const KEPT = "marketflow.token";

export class Failure extends Error {
  /** `code` is the API's, or `unreachable`. */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The API's token where one is set; "" otherwise. */
export const token = () => sessionStorage.getItem(KEPT) ?? "";

export const get = (path, query = {}) => ask("GET", path, query);
export const post = (path, body) => ask("POST", path, {}, body);
export const remove = (path, query = {}) => ask("DELETE", path, query);

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
    throw new Failure("unreachable", `the interface does not answer: ${error.message}`);
  }
  if (response.status === 401 && askForToken("This interface needs its token (api.token):")) return ask(method, path, query, body);
  if (!answer.success) throw new Failure(answer.error.code, answer.error.message);
  return answer.data;
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
