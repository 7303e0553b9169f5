// Dropping, pasting and choosing pictures; progress while they are sent. Without this the form sends itself.
import { ready, say } from "./start.js";

function size(bytes) {
  return bytes >= 1e6 ? (bytes / 1e6).toFixed(1) + " MB" : Math.max(1, Math.round(bytes / 1e3)) + " kB";
}

function watch(form) {
  const input = form.querySelector("input[type=file]");
  const message = form.querySelector("[data-message]");
  const sending = form.querySelector("[data-sending]");
  const bar = sending.querySelector("progress");
  const words = sending.querySelector("[data-sent-text]");
  const button = form.querySelector("button.primary");
  const most = Number(form.dataset.mostBytes);
  const mostFiles = Number(form.dataset.mostFiles);

  function refuse(text) {
    sending.classList.add("hidden");
    button.disabled = false;
    say(message, text);
  }

  function send(files) {
    const large = files.find((file) => file.size > most);
    if (!files.length) return refuse("No picture was chosen.");
    if (files.length > mostFiles) return refuse(`At most ${mostFiles} pictures at once; these are ${files.length}.`);
    if (large) return refuse(`${large.name} is ${size(large.size)}; at most ${size(most)} can be examined.`);
    say(message, "");
    const data = new FormData(form);
    data.delete(input.name);
    files.forEach((file) => data.append(input.name, file, file.name || "pasted.png"));
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json, text/html;q=0.1");
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      words.textContent = event.loaded < event.total ? `${size(event.loaded)} of ${size(event.total)}` : "sent, being stored";
    });
    request.addEventListener("load", () => {
      if (request.status < 400) return location.assign(request.responseURL);
      let problem = {};
      try { problem = JSON.parse(request.responseText); } catch { /* not JSON: the status tells enough */ }
      const after = request.getResponseHeader("Retry-After");
      const wait = request.status === 429 && after ? ` Try again in ${after} s.` : "";
      refuse(`${problem.title || "The pictures were not taken (error " + request.status + ")"}. ${problem.detail || ""}${wait}`);
    });
    request.addEventListener("error", () => refuse("The server cannot be reached. Nothing was sent; try again."));
    button.disabled = true;
    sending.classList.remove("hidden");
    request.send(data);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send([...input.files]);
  });
  return send;
}

function pictures(transfer) {
  return transfer ? [...transfer.files] : [];
}

ready();
const forms = [...document.querySelectorAll("[data-drop]")].map((form) => ({ form, send: watch(form) }));
if (forms.length) {
  const { form, send } = forms[0];
  const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  let depth = 0;
  const shade = () => form.classList.toggle("over", depth > 0);
  document.addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; shade(); } });
  document.addEventListener("dragleave", (event) => { if (carries(event)) { depth = Math.max(0, depth - 1); shade(); } });
  document.addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    shade();
    form.closest("details")?.setAttribute("open", "");
    send(pictures(event.dataTransfer));
  });
  document.addEventListener("paste", (event) => {
    const found = pictures(event.clipboardData);
    if (!found.length) return;
    event.preventDefault();
    form.closest("details")?.setAttribute("open", "");
    send(found);
  });
}
