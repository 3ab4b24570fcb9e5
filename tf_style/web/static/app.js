// The studio's page: what is asked for on the left, the picture, and what was made.

import * as api from "./api.js";
import { $, about, button, clock, make, renew, say } from "./dom.js";
import * as pictures from "./pictures.js";
import * as settings from "./settings.js";
import * as viewer from "./viewer.js";

const runs = new Map();
let selected = null;
let isReady = false;
let isStarting = false;

const ENDED = { done: "Done", stopped: "Stopped", failed: "Failed" };

function refuse(text) {
  $("refusal").textContent = text;
}

function attempt(action) {
  return async (event) => {
    event?.preventDefault();
    try {
      refuse("");
      await action();
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error;
      refuse(error.message);
    }
  };
}

// What is gone before it could be asked for, the next event tells.
function following(action) {
  return async (state) => {
    try {
      await action(state);
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error;
    }
  };
}

// What is asked for.

async function asked() {
  const { content, styles } = pictures.chosen;
  const { settings: chosen, ...others } = settings.asked();
  const request = { ...others, settings: chosen };
  if (content) request.content = content.id;
  if (settings.isByStudent()) return request;
  if (styles.length) request.styles = styles.map((style) => style.id);
  if (styles.length === 2 && $("coarse-and-fine").checked) request.coarse_and_fine = true;
  if (styles.some((style) => style.share !== styles[0].share)) {
    chosen.style_blend = styles.map((style) => style.share);
  }
  return { ...request, ...(await pictures.masks()) };
}

async function start() {
  if (isStarting) return;
  isStarting = true;
  try {
    const run = await api.start(await asked());
    runs.set(run.id, run);
    select(run.id);
    showRuns();
    say(isReady ? "Started" : "Waits until TensorFlow is loaded");
    if (matchMedia("(max-width: 879px)").matches) $("stage").scrollIntoView();
  } finally {
    isStarting = false;
  }
}

function showStart() {
  const { content, styles } = pictures.chosen;
  $("start").disabled = !content && !styles.length;
  settings.showSeed(Boolean(content) !== styles.length > 0);
}

// One run.

function select(id) {
  selected = id;
  showSelected();
}

function showSelected() {
  const run = runs.get(selected);
  viewer.show(run);
  viewer.drawLoss(run?.losses ?? []);
  const hasEnded = run && run.state in ENDED;
  $("stop").disabled = run?.state !== "running" || run.is_stopping;
  $("progress").value = run?.state === "done" ? 1 : run?.max_iterations ? run.iteration / run.max_iterations : 0;
  $("progress-text").textContent = run ? progressOf(run) : "";
  showRemarks(run);
  for (const id of ["again", "reuse"]) $(id).disabled = !(hasEnded && (run.has_picture || id === "reuse"));
  $("delete").disabled = !run;
  $("download").setAttribute("aria-disabled", !run?.has_picture);
  if (run?.has_picture) $("download").href = api.url(`runs/${run.id}/picture`);
  else $("download").removeAttribute("href");
  $("command").value = run?.command ?? "";
  $("copy").disabled = !run;
  $("command-hint").textContent =
    run?.state === "stopped"
      ? "The line for a shell that makes the whole run, which was stopped here."
      : "The line for a shell that makes the same picture, to the same bits.";
  for (const each of document.querySelectorAll(".run > button")) {
    each.setAttribute("aria-current", each.dataset.run === selected);
  }
}

// It is read out when it changes, and only then.
function showRemarks(run) {
  const remarks = [
    ...(run?.message ? [make("li", { className: "bad" }, run.message)] : []),
    ...(run?.warnings ?? []).map((text) => make("li", {}, text)),
  ];
  const isSame = remarks.map((each) => each.textContent).join() === [...$("remarks").children].map((each) => each.textContent).join();
  if (!isSame) $("remarks").replaceChildren(...remarks);
}

function progressOf(run) {
  if (run.state === "waiting") return placeOf(run);
  if (run.state === "running" && run.is_stopping) return "Stopping, and keeping what is there";
  const done = `iteration ${run.iteration} of ${run.max_iterations}`;
  const size = `${run.width} × ${run.height} pixels`;
  if (run.state !== "running") {
    const state = ENDED[run.state];
    if (!run.iteration) return state;
    const seconds = run.started && run.ended ? `, ${about(run.ended - run.started)}` : "";
    return `${state}: ${done}, ${size}${seconds}`;
  }
  if (!run.max_iterations) return "Reading the pictures and setting up";
  const left = run.seconds_left == null ? "" : `, about ${about(run.seconds_left)} left`;
  return `Iteration ${run.iteration} of ${run.max_iterations}, ${size}${left}`;
}

function placeOf(run) {
  const waiting = [...runs.values()].filter((each) => each.state === "waiting");
  const place = waiting.findIndex((each) => each.id === run.id);
  if (!isReady) return "Waits until TensorFlow is loaded";
  return place ? `Waits: ${place} before it` : "Waits: it is next";
}

async function load(run) {
  const found = async (id) => (id ? { id, name: run.names[id] ?? "picture", ...(await measured(id)) } : null);
  const { content, styles = [], content_mask = [], style_mask = [], blend_mask = [], strength_mask, coarse_and_fine } = run.asked;
  const shares = run.asked.settings?.style_blend ?? [];
  const all = styles.map(async (id, index) => ({
    ...(await found(id)),
    share: shares[index] ?? 1,
    where: await storedMask(content_mask[index]),
    part: await storedMask(style_mask[index]),
    weight: await storedMask(blend_mask[index]),
  }));
  // Where no painting goes the photograph stays by itself.
  const paintings = (await Promise.all(all)).filter(({ id }) => id);
  pictures.chooseAll(await found(content), paintings, await storedMask(strength_mask));
  $("coarse-and-fine").checked = Boolean(coarse_and_fine);
  settings.fill(run.asked);
}

async function image(id) {
  const element = make("img", { src: api.previewOf(id) });
  await element.decode().catch(() => {
    throw new api.Refusal("A picture that this one was made from is gone.");
  });
  return element;
}

async function measured(id) {
  const { naturalWidth: width, naturalHeight: height } = await image(id);
  return { width, height };
}

async function storedMask(id) {
  if (!id) return null;
  const element = await image(id);
  const canvas = make("canvas", { width: element.naturalWidth, height: element.naturalHeight });
  canvas.getContext("2d").drawImage(element, 0, 0);
  return { id, canvas };
}

// All runs.

function showRuns() {
  const all = [...runs.values()].reverse();
  renew($("runs"), ...all.map(card));
  $("no-runs").hidden = all.length > 0;
}

function titleOf({ asked, names }) {
  const pictures = [asked.content, ...(asked.styles ?? [])].filter(Boolean).map((key) => names[key]);
  return [...pictures, asked.student].filter(Boolean).join(" + ");
}

function card(run) {
  const title = titleOf(run);
  const state = run.state === "waiting" ? placeOf(run) : run.state === "running" ? "Under way" : ENDED[run.state];
  const picture = run.preview_version
    ? make("img", { src: api.url(`runs/${run.id}/preview`, { v: run.preview_version }), alt: "", loading: "lazy" })
    : make("span", { className: "none" }, state);
  const caption = make(
    "span",
    { className: "caption" },
    make("strong", {}, title),
    make("span", {}, settings.described(run.asked)),
    make("span", {}, `${clock(run.created)} · ${state}`),
  );
  const open = make("button", { type: "button", "data-run": run.id, "data-key": run.id, "aria-current": run.id === selected }, picture, caption);
  open.onclick = attempt(async () => {
    runs.set(run.id, { ...(await api.run(run.id)) });
    select(run.id);
  });
  return make("li", { className: "run" }, open, run.state === "waiting" ? button("Remove", attempt(() => api.remove(run.id)), { className: "plain", "aria-label": `Remove ${title} from the queue` }) : null);
}

async function refresh() {
  const found = await api.runs();
  const known = new Map(runs);
  runs.clear();
  for (const run of found) runs.set(run.id, { ...run, losses: known.get(run.id)?.losses ?? [] });
  if (!runs.has(selected)) selected = found.find((run) => run.state === "running")?.id ?? found.at(-1)?.id ?? null;
  const now = runs.get(selected);
  if (now && !now.losses.length && now.state in ENDED) runs.set(selected, await api.run(selected));
  const isNews = (run) => known.has(run.id) && known.get(run.id).state !== run.state;
  const news = found.filter((run) => isNews(run) && (run.id === selected || run.state === "failed"));
  if (news.length) say(news.map((run) => (run.id === selected ? "" : `${titleOf(run)}: `) + progressOf(run)).join(". "));
  showRuns();
  showSelected();
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return document.execCommand("copy"); // Over an unencrypted network there is no other way.
  }
}

function showStatus(studio) {
  isReady = studio.ready;
  const isBusy = [...runs.values()].some((run) => run.state === "running");
  const waiting = studio.waiting.length;
  const queue = waiting ? `, ${waiting} waiting` : "";
  $("status").dataset.state = studio.trouble ? "lost" : !isReady ? "loading" : isBusy ? "busy" : "ready";
  $("status").textContent = studio.trouble ?? (!isReady ? `Loading TensorFlow${queue}` : isBusy ? `Painting${queue}` : `Ready${queue}`);
}

async function showKept() {
  const studio = await api.studio();
  const shown = (bytes) =>
    bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  $("kept").textContent = `${shown(studio.used_bytes)} of ${shown(studio.quota_bytes)} kept`;
  $("kept").title = studio.folder;
  return studio;
}

async function begin() {
  const studio = await showKept();
  settings.setUp(studio.settings, studio.presets, studio.students);
  pictures.setUp(studio.examples, { refusing: refuse, changing: showStart });
  viewer.setUp();
  $("controls").onsubmit = attempt(start);
  $("stop").onclick = attempt(() => api.stop(selected));
  $("delete").onclick = attempt(async () => {
    if (confirm("Delete this picture?")) await api.remove(selected);
  });
  $("reuse").onclick = attempt(async () => load(runs.get(selected)));
  $("again").onclick = attempt(async () => {
    const run = runs.get(selected);
    await load(run);
    settings.startFrom(`run-${run.id}`, `the picture of ${clock(run.created)}`);
    say("The settings of this picture, from which the next one starts. Change the dial, and start.");
    $("strength").focus();
  });
  $("copy").onclick = async () => {
    $("command").select();
    const isCopied = await copied($("command").value);
    say(isCopied ? "The command is copied" : "The command is selected, to be copied by hand");
    $("copy").textContent = isCopied ? "Copied" : "Copy what is selected";
    setTimeout(() => ($("copy").textContent = "Copy as command"), 2000);
  };
  await refresh();
  api.follow({
    studio: following(async (state) => {
      showStatus(state);
      await refresh();
      showStatus(state);
      await showKept();
    }),
    run: (state) => {
      const before = runs.get(state.id);
      const losses = state.losses_anew ? state.losses : [...(before?.losses ?? []), ...state.losses];
      runs.set(state.id, { ...state, losses });
      if (state.id !== selected) return;
      showSelected();
      say(progressOf(runs.get(selected)), { isUrgent: false });
    },
    error: () => {
      $("status").dataset.state = "lost";
      $("status").textContent = "The studio does not answer";
    },
  });
}

attempt(begin)();
