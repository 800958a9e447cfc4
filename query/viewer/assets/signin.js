// What people see who are not signed in.
import * as api from "./api.js";
import { h, icon } from "./dom.js";
import { t } from "./i18n.js";

/** signInView asks for the token, or links to where people sign in. done() is called after it. */
export function signInView(title, url, done) {
  if (url) {
    return h("main", { class: "signin" }, h("div", { class: "card" }, logo(), h("h1", null, title),
      h("p", null, t("Sign in to see who changed what.")), h("a", { class: "button primary", href: url }, t("Sign in"))));
  }
  const token = h("input", { type: "password", id: "token", name: "token", required: true, autocomplete: "off", spellcheck: "false", autofocus: true, "aria-describedby": "token-help" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const button = h("button", { class: "primary" }, t("Sign in"));
  const form = h("form", { class: "card", method: "post" }, logo(), h("h1", null, title), h("p", null, t("Sign in to see who changed what.")),
    h("label", { for: "token" }, t("Access token")), token, wrong, button,
    h("p", { class: "help", id: "token-help" }, icon("lock"), t("The token is kept in a cookie that no script can read, until you sign out.")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    wrong.textContent = "";
    token.removeAttribute("aria-invalid");
    try {
      await api.signIn(token.value.trim());
      token.value = "";
      done();
    } catch (problem) {
      wrong.textContent = problem.status === 401 ? t("This token is not valid.") : [problem.message, problem.detail].filter(Boolean).join(": ");
      token.setAttribute("aria-invalid", "true");
      token.select();
      token.focus();
    } finally {
      button.disabled = false;
    }
  });
  return h("main", { class: "signin" }, form);
}

/** logo gives the picture of the page, from the icon in its head. */
export function logo() {
  return h("img", { class: "logo", src: document.querySelector('link[rel="icon"]').href, alt: "", width: "32", height: "32" });
}
