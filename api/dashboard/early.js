/**
 * Runs before the page's modules are there, and requests what they will need first: the chart of the address, prices,
 * symbols and states. `early.answerOf(path, venue)` gives each answer once (rest.js). A plain script: a module would wait.
 */

globalThis.early = (() => {
  const SOON_MS = 5_000; // what was requested longer ago is not of now
  const asked = new Map();
  const shown = sessionStorage.getItem("marketflow.token");
  const headers = shown ? { Authorization: `Bearer ${shown}` } : {};

  const request = (path, query = "") => {
    const answer = fetch(path + query, { headers }).then((response) => (response.ok ? response.json() : null)).catch(() => null);
    asked.set(path, { answer, at: performance.now() });
  };

  const [address] = (location.hash || localStorage.getItem("marketflow.last") || "").replace(/^#/, "").split("?");
  const parts = address.split("/");
  const [venue, symbol, timeframe] = parts.length > 2 ? parts : ["", ...parts];
  if (symbol && /^(1m|5m|15m|1h|4h|1d)$/.test(timeframe ?? "")) {
    request(`/api/chart/${symbol}/${timeframe}`, `?limit=500${venue && `&venue=${venue}`}`);
  }
  for (const path of ["/api/prices", "/api/symbols", "/api/status"]) request(path);

  return {
    /** The answer to a request without parameters, or to that of a chart of a venue; null where there is none. */
    async answerOf(path, ofVenue) {
      const found = asked.get(path);
      asked.delete(path);
      if (!found || performance.now() - found.at > SOON_MS) return null;
      const answer = await found.answer;
      const isRight = answer?.success && (ofVenue === undefined || answer.data.venue === ofVenue);
      return isRight ? answer : null;
    },
  };
})();
