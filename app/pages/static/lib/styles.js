/** Style sheets that one page needs: `export const styles = ["overview"]` in its module loads styles/overview.css. */
const loaded = new Map();

/** Load styles/<name>.css once, and return when it applies. The page is shown without it if it cannot be loaded. */
export function loadStyle(name) {
  if (!loaded.has(name)) {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL(`../styles/${name}.css`, import.meta.url).href;
    loaded.set(
      name,
      new Promise((resolve) => {
        link.onload = resolve;
        link.onerror = () => (loaded.delete(name), link.remove(), resolve());
      }),
    );
    document.head.append(link);
  }
  return loaded.get(name);
}
