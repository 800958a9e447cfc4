// The language of the page. English texts are their own keys; a file has the texts of another language.

const root = document.documentElement;
const offered = Object.fromEntries((root.dataset.languages || "en=English").split("\n").map((line) => line.split("=")));

/** languages gives [tag, name] of each language that there is. */
export const languages = Object.entries(offered);

/** language is the tag of the chosen one: that of the address, of the application, or of the browser. */
export const language = (() => {
  const wanted = [new URLSearchParams(location.search).get("lang"), root.dataset.language, ...navigator.languages];
  for (const tag of wanted) {
    const found = [tag, (tag || "").split("-")[0]].find((name) => Object.hasOwn(offered, name || ""));
    if (found) return found;
  }
  return "en";
})();

const texts = new Map();
if (language !== "en") {
  try {
    const answer = await fetch(new URL(`lang-${language}.json`, import.meta.url));
    for (const [key, text] of Object.entries(await answer.json())) texts.set(key, text);
  } catch {
    // English is better than no page.
  }
}
root.lang = texts.size > 0 ? language : "en";

const plural = new Intl.PluralRules(root.lang);
const categories = ["zero", "one", "two", "few", "many", "other"].filter((c) => plural.resolvedOptions().pluralCategories.includes(c));

/** number gives a number as it is written in the language. */
export const number = (n) => Number(n).toLocaleString(root.lang);

/**
 * t gives a text in the language. {name} is replaced by values.name. A text with | has one form for each
 * plural category of the language, in the order of CLDR, and n says which.
 */
export function t(key, values = {}) {
  let text = texts.get(key) || key;
  if (text.includes("|")) {
    const forms = text.split("|");
    const at = categories.indexOf(plural.select(Number(values.n)));
    text = forms[Math.min(Math.max(at, 0), forms.length - 1)];
  }
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? (name === "n" ? number(values.n) : String(values[name])) : whole));
}
