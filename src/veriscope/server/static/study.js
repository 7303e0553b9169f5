// A feed of pictures: how long each is in view is measured here, and each answer is sent as it is given.
import { ready, say } from "./start.js";

const VISIBLE = 0.5; // share of a picture that must be in view for its time to run
const feed = document.querySelector("[data-feed]");

class Post {
  constructor(element, limit) {
    this.element = element;
    this.form = element.querySelector("form");
    this.limit = limit; // milliseconds that the picture can be seen; 0 for no limit
    this.seen = 0; // milliseconds in view so far
    this.since = null;
    this.hide = null;
    this.image = element.querySelector("img");
  }

  look(visible) {
    const inView = visible && this.image.complete && !document.hidden && !this.done;
    if (inView && this.since === null) {
      this.since = performance.now();
      if (this.limit) this.hide = setTimeout(() => this.element.querySelector(".post-picture").classList.add("gone"), Math.max(0, this.limit - this.seen));
    } else if (!inView && this.since !== null) {
      this.seen += performance.now() - this.since;
      this.since = null;
      clearTimeout(this.hide);
    }
  }

  time() {
    return Math.round(this.seen + (this.since === null ? 0 : performance.now() - this.since));
  }
}

function start() {
  const posts = [...feed.querySelectorAll("[data-post]")].map((element) => new Post(element, 1000 * Number(feed.dataset.seconds)));
  const of = new Map(posts.map((post) => [post.element.querySelector(".post-picture"), post]));
  const message = feed.querySelector("[data-message]");
  const more = feed.querySelector("[data-more]");
  const inView = new Set();
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const post = of.get(entry.target);
      if (entry.isIntersecting && entry.intersectionRatio >= VISIBLE) inView.add(post); else inView.delete(post);
      post.look(inView.has(post));
    }
  }, { threshold: [0, VISIBLE] });
  of.forEach((post, picture) => {
    watcher.observe(picture);
    post.image.addEventListener("load", () => post.look(inView.has(post))); // its time runs from when it can be seen
  });
  document.addEventListener("visibilitychange", () => posts.forEach((post) => post.look(inView.has(post))));

  async function send(post, answer, button) {
    const data = new URLSearchParams(new FormData(post.form));
    data.set("answer", answer);
    data.set("milliseconds", String(post.time()));
    const buttons = [...post.form.querySelectorAll("button")];
    buttons.forEach((each) => { each.disabled = true; });
    try {
      const reply = await fetch(post.form.action, { method: "POST", body: data, headers: { Accept: "application/json" } });
      if (!reply.ok) throw new Error(String(reply.status));
      const { given, of: total } = await reply.json();
      post.look(false);
      post.done = true;
      button.setAttribute("aria-pressed", "true");
      post.form.querySelector("[data-answered]").classList.remove("hidden");
      say(feed.querySelector("[data-done]"), `${given} of ${total} answered`);
      feed.querySelector("[data-bar]").value = given;
      say(message, "");
      const next = posts.find((each) => !each.done);
      if (next) {
        next.element.scrollIntoView({ block: "start" });
        next.element.querySelector("input[type=radio]:checked").focus({ preventScroll: true });
      } else {
        more.textContent = given === total ? "See how you did" : "More pictures";
        more.classList.remove("hidden");
        more.focus();
      }
    } catch {
      buttons.forEach((each) => { each.disabled = false; });
      say(message, "The answer was not kept: the server cannot be reached or refused it. Try again.");
    }
  }

  posts.forEach((post) => post.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.submitter) send(post, event.submitter.value, event.submitter);
  }));
}

ready();
if (feed) start();
