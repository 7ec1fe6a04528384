/** Where the page reaches a hub. */

/**
 * For a page from another host, a hub on the API's loopback is on the API's host. A page that came by TLS came through a
 * proxy, and may only connect by TLS: there that hub is behind the same proxy, at the page's own address.
 */
export function seenFromHere(url, page = location) {
  if (url.startsWith("/")) return `${page.protocol === "https:" ? "wss" : "ws"}://${page.host}${url}`;
  const address = new URL(url);
  const local = (name) => ["127.0.0.1", "localhost", "[::1]"].includes(name);
  if (!local(address.hostname) || local(page.hostname)) return address.href;
  if (page.protocol === "https:") return `wss://${page.host}${address.pathname}`;
  address.hostname = page.hostname;
  return address.href;
}
