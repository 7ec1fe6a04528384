/** The elements of a chart of the page, by the names that they have there (`data-part`). */

export function partsOf(root) {
  const parts = [...root.querySelectorAll("[data-part]")].map((each) => [each.dataset.part, each]);
  return { root, ...Object.fromEntries(parts) };
}

/** Those of a further chart: a copy of the first one's. Ids stay with the first. */
export function copyOf(parts) {
  const root = parts.root.cloneNode(true);
  for (const each of [root, ...root.querySelectorAll("[id]")]) each.removeAttribute("id");
  for (const each of root.querySelectorAll("[data-first]")) each.remove();
  const copied = partsOf(root);
  copied.canvas.replaceChildren();
  copied.lines.replaceChildren();
  copied.legend.hidden = true;
  copied.state.textContent = copied.reasons.textContent = "";
  return copied;
}
