/** The theme: the system's, until the user chooses one. */
import { signal } from "./preact.js";

const THEMES = ["system", "light", "dark"];

/** "system", "light" or "dark". */
export const theme = signal(document.documentElement.dataset.theme ?? "system");

/** Change to the next theme, and keep the choice in this browser. */
export function nextTheme() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("theme", theme.value);
  } catch {
    // Storage may be forbidden: the choice lasts until the page is closed.
  }
}
