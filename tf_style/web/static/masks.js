// A mask painted with a brush on a picture. It is kept as opacity, and given out as grey.

import { previewOf } from "./api.js";
import { $, make } from "./dom.js";

const MAX_UNDO = 20;
const LONGEST_PX = 1024;

// Resolves with a canvas of greys, null to have no mask, undefined to leave things as they were.
export function paintMask(picture, mask, { title, hint, isStrength = false }) {
  const dialog = $("mask-dialog");
  const screen = $("mask-canvas");
  const scale = Math.min(1, LONGEST_PX / Math.max(picture.width, picture.height));
  screen.width = Math.max(1, Math.round(picture.width * scale));
  screen.height = Math.max(1, Math.round(picture.height * scale));
  const { width, height } = screen;
  const paint = make("canvas", { width, height });
  const context = paint.getContext("2d", { willReadFrequently: true });
  const undo = [];
  const cursor = { x: width / 2, y: height / 2, isShown: false };

  // What is painted is what differs from no mask: for the strength where the photograph is kept.
  if (mask?.canvas) fromGrey(context, mask.canvas, isStrength);
  $("mask-title").textContent = title;
  $("mask-hint").textContent = hint;
  $("mask-picture").src = previewOf(picture.id);
  $("mask-picture").width = width;
  $("mask-picture").height = height;
  $("mask-paint").textContent = isStrength ? "keep" : "paint";
  $("brush-amount-label").hidden = !isStrength;
  $("mask-remove").disabled = !mask;

  const size = () => ($("brush-width").value / 100) * 0.4 * Math.max(width, height) + 1;
  const softened = () => {
    const soft = make("canvas", { width, height });
    const softContext = soft.getContext("2d");
    softContext.filter = `blur(${($("brush-soft").value / LONGEST_PX) * Math.max(width, height)}px)`;
    softContext.drawImage(paint, 0, 0);
    return soft;
  };

  function draw() {
    const view = screen.getContext("2d");
    view.globalCompositeOperation = "copy";
    view.drawImage(softened(), 0, 0);
    view.globalCompositeOperation = "source-in";
    view.fillStyle = "rgb(255 64 129 / 62%)";
    view.fillRect(0, 0, width, height);
    if (!cursor.isShown) return;
    view.globalCompositeOperation = "source-over";
    for (const [colour, line] of [["#000", 4], ["#fff", 2]]) {
      view.strokeStyle = colour;
      view.lineWidth = line;
      view.beginPath();
      view.arc(cursor.x, cursor.y, size() / 2, 0, 7);
      view.stroke();
    }
  }

  function remember() {
    undo.push(context.getImageData(0, 0, width, height));
    if (undo.length > MAX_UNDO) undo.shift();
  }

  function stroke(from, to) {
    const isErased = $("mask-form").elements.brush.value === "erase";
    context.lineCap = "round";
    context.lineWidth = size();
    const line = (operation, alpha) => {
      context.globalCompositeOperation = operation;
      context.strokeStyle = `rgb(255 255 255 / ${alpha})`;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x + 0.01, to.y);
      context.stroke();
    };
    line("destination-out", 1);
    if (!isErased) line("source-over", isStrength ? 1 - $("brush-amount").value : 1);
    context.globalCompositeOperation = "source-over";
    draw();
  }

  const place = (event) => {
    const box = screen.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * width,
      y: ((event.clientY - box.top) / box.height) * height,
    };
  };
  let last = null;
  screen.onpointerdown = (event) => {
    event.preventDefault();
    screen.focus();
    screen.setPointerCapture(event.pointerId);
    remember();
    last = place(event);
    stroke(last, last);
  };
  screen.onpointermove = (event) => {
    Object.assign(cursor, place(event), { isShown: true });
    if (last) {
      const next = place(event);
      stroke(last, next);
      last = next;
    } else draw();
  };
  screen.onpointerup = screen.onpointercancel = () => (last = null);
  screen.onpointerleave = () => {
    cursor.isShown = document.activeElement === screen;
    draw();
  };
  screen.onkeydown = (event) => {
    const step = Math.max(width, height) / 50;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const from = { x: cursor.x, y: cursor.y };
    if (x || y) {
      cursor.x = Math.min(width, Math.max(0, cursor.x + x * step));
      cursor.y = Math.min(height, Math.max(0, cursor.y + y * step));
    } else if (event.key !== " ") return;
    event.preventDefault();
    cursor.isShown = true;
    if (event.key === " " || event.shiftKey) {
      remember();
      stroke(from, cursor);
    } else draw();
  };
  screen.onfocus = () => {
    cursor.isShown = true;
    draw();
  };

  const change = (how) => () => {
    remember();
    how();
    draw();
  };
  $("mask-undo").onclick = () => {
    if (undo.length) context.putImageData(undo.pop(), 0, 0);
    draw();
  };
  $("mask-clear").onclick = change(() => context.clearRect(0, 0, width, height));
  $("mask-invert").onclick = change(() => {
    context.globalCompositeOperation = "xor";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "source-over";
  });
  $("brush-soft").oninput = $("brush-width").oninput = draw;

  return new Promise((resolve) => {
    const end = (value) => {
      dialog.close();
      resolve(value);
    };
    $("mask-form").onsubmit = (event) => {
      event.preventDefault();
      end(toGrey(softened(), isStrength));
    };
    $("mask-remove").onclick = () => end(null);
    $("mask-cancel").onclick = () => end(undefined);
    dialog.oncancel = () => resolve(undefined);
    dialog.showModal();
    draw();
  });
}

// Opaque greys, white where there is paint; for the strength black there.
function toGrey(paint, isStrength) {
  const { width, height } = paint;
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = isStrength ? "#fff" : "#000";
  context.fillRect(0, 0, width, height);
  if (isStrength) context.globalCompositeOperation = "difference";
  context.drawImage(paint, 0, 0);
  return canvas;
}

function fromGrey(context, canvas, isStrength) {
  context.drawImage(canvas, 0, 0, context.canvas.width, context.canvas.height);
  const { width, height } = context.canvas;
  const pixels = context.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    pixels.data[i + 3] = isStrength ? 255 - pixels.data[i] : pixels.data[i];
    pixels.data.fill(255, i, i + 3);
  }
  context.putImageData(pixels, 0, 0);
}
