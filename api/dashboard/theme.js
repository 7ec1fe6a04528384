/** Dark or light: the system's setting, until the user switches. */

import { byId } from "./page.js";

const KEPT = "marketflow.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function openTheme(onChange) {
  const apply = () => {
    const chosen = localStorage.getItem(KEPT);
    const shown = chosen ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = shown;
    byId("theme").title = `switch to ${shown === "dark" ? "light" : "dark"}`;
    onChange();
  };
  byId("theme").onclick = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    if (next === (dark.matches ? "dark" : "light")) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, next);
    apply();
  };
  dark.onchange = apply;
  apply();
}
