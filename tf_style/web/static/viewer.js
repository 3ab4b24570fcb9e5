// The picture: live, before and after, at its pixels; and the loss.

import * as api from "./api.js";
import { $ } from "./dom.js";

let shown = null; // The run.
let loading = null; // The preview that is on its way; meanwhile others are left out.
let address = "";

export function setUp() {
  $("cut").oninput = () => cut($("cut").value);
  $("flip").onclick = () => cut($("flip").getAttribute("aria-pressed") === "true" ? 0 : 100);
  $("zoom").onclick = () => {
    const isOn = $("zoom").getAttribute("aria-pressed") !== "true";
    $("zoom").setAttribute("aria-pressed", isOn);
    fit();
    if (isOn) $("viewer").scrollTo(($("viewer").scrollWidth - $("viewer").clientWidth) / 2, ($("viewer").scrollHeight - $("viewer").clientHeight) / 2);
  };
  new ResizeObserver(fit).observe($("viewer"));
  const drag = (event) => {
    if (!event.buttons || $("cut").disabled) return;
    const box = $("figure").getBoundingClientRect();
    cut(Math.round(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100))));
  };
  $("figure").onpointerdown = (event) => {
    event.preventDefault();
    $("figure").setPointerCapture(event.pointerId);
    drag(event);
  };
  $("figure").onpointermove = drag;
  cut(0);
}

function cut(value) {
  $("cut").value = value;
  $("cut").setAttribute("aria-valuetext", `${value} percent of the picture before`);
  $("figure").dataset.cut = value;
  $("figure").style.setProperty("--cut", `${value}%`);
  const isBefore = Number(value) === 100;
  $("flip").setAttribute("aria-pressed", isBefore);
}

function fit() {
  const figure = $("figure");
  const { width, height } = size();
  if (!width) return;
  const isPixels = $("zoom").getAttribute("aria-pressed") === "true";
  const viewer = $("viewer");
  const scale = isPixels ? 1 / devicePixelRatio : Math.min(viewer.clientWidth / width, viewer.clientHeight / height, 4);
  figure.classList.toggle("pixels", isPixels);
  figure.style.width = `${width * scale}px`;
  figure.style.height = `${height * scale}px`;
  if (isPixels) showPicture();
}

function size() {
  if (!shown) return {};
  if (shown.width) return shown;
  const { naturalWidth, naturalHeight } = $("before");
  return { width: naturalWidth, height: naturalHeight };
}

export function show(run) {
  const isOther = shown?.id !== run?.id;
  shown = run;
  $("empty").hidden = Boolean(run);
  $("figure").hidden = !run;
  if (!run) return;
  const content = run.asked.content;
  if (isOther) {
    address = "";
    $("after").removeAttribute("src");
    delete $("after").dataset.version;
    cut(0);
    $("before").hidden = !content;
    if (content) {
      $("before").src = api.previewOf(content);
      $("before").onload = fit;
    }
    $("before").alt = content ? `Before: ${run.names[content]}` : "";
    // Until the first preview comes, the photograph is what there is.
    if (content) $("after").src = api.previewOf(content);
  }
  for (const id of ["cut", "flip"]) $(id).disabled = !content;
  $("zoom").disabled = false;
  const names = [...new Set(Object.values(run.names))].join(", ");
  $("after").alt = run.preview_version ? `Picture made of ${names}` : `Nothing yet of ${names}`;
  fit();
  showPicture();
}

async function showPicture() {
  const run = shown;
  if (!run?.preview_version) return;
  const isPixels = $("zoom").getAttribute("aria-pressed") === "true";
  const path = isPixels && run.has_picture ? `runs/${run.id}/picture` : `runs/${run.id}/preview`;
  const wanted = `${path}?${run.preview_version}`;
  if (loading || wanted === address) return;
  loading = address = wanted; // Also where there is none: it is not asked for again.
  try {
    const answer = await fetch(api.url(path, { v: run.preview_version }));
    if (answer.ok && shown?.id === run.id) {
      const blob = URL.createObjectURL(await answer.blob());
      const before = $("after").src;
      $("after").src = blob;
      $("after").dataset.version = run.preview_version;
      await $("after").decode().catch(() => {});
      if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    }
  } catch {
    address = "";
    return; // The studio is gone; the next event asks again.
  } finally {
    loading = null;
  }
  showPicture();
}

// Each working size has a line of its own: their losses are not each other's.
export function drawLoss(losses) {
  const curve = $("curve");
  curve.replaceChildren();
  const values = losses.map(([, loss]) => Math.log10(Math.max(loss, 1e-30)));
  if (values.length < 2) {
    curve.setAttribute("aria-label", "Loss: nothing yet");
    return;
  }
  const ordered = [...values].sort((a, b) => a - b);
  const [low, high] = [ordered[0], ordered[Math.floor((ordered.length - 1) * 0.98)]];
  const lines = new Map();
  values.forEach((value, index) => {
    const x = (index / (values.length - 1)) * 296 + 2;
    const y = 56 - (Math.min(1, (value - low) / (high - low || 1)) * 52);
    const level = losses[index][0];
    lines.set(level, `${lines.get(level) ?? ""} ${x.toFixed(1)},${y.toFixed(1)}`);
  });
  for (const points of lines.values()) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", points.trim());
    curve.append(line);
  }
  const last = losses.at(-1)[1].toPrecision(3);
  curve.setAttribute("aria-label", `Loss, on a logarithmic scale: ${last} after ${losses.length} evaluations`);
}
