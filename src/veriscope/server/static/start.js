// What every script of a page needs: elements that only make sense with a script are shown.
export function ready(root = document) {
  root.documentElement.classList.add("has-script");
  root.querySelectorAll(".needs-script").forEach((element) => element.classList.remove("hidden"));
}

// A small piece of text is read out by screen readers only when it changes.
export function say(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}
