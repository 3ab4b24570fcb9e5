// The dials: what differs from the defaults is asked for.

import { $, make } from "./dom.js";

const SHOWN = ["strength", "size", "keep_colors", "init", "seed", "preset"];
const PAINTED = ["style_blend"];
let fields = [];
let known = {};
// The settings that a student has no use for.
let ofOptimiser = [];

export function setUp(settings, presets, students) {
  known = students;
  ofOptimiser = settings.filter((each) => !each.of_students).map((each) => each.name);
  fields = settings.filter((each) => !SHOWN.includes(each.name) && !PAINTED.includes(each.name));
  $("preset").replaceChildren(
    ...Object.entries(presets).map(([name, source]) => make("option", { value: name, title: source }, name)),
  );
  $("more-settings").replaceChildren(...fields.map(field), bitDepth(), deterministic());
  $("strength").oninput = showStrength;
  $("init").onchange = $("student").onchange = showWhatCounts;
  $("student-field").hidden = !Object.keys(students).length;
  if (!$("student-field").hidden) $("init").append(make("option", { value: "student" }, "the student's picture"));
  for (const [name, { styles }] of Object.entries(students)) {
    $("student").append(make("option", { value: name }, `${name}: ${styles.join(", ")}`));
  }
}

function showStrength() {
  $("strength-text").textContent = Number($("strength").value).toFixed(2);
}

// A student that makes the picture has its own paintings.
export const isByStudent = () => $("student").value !== "" && $("init").value !== "student";

function showWhatCounts() {
  const byStudent = isByStudent();
  $("styles-section").hidden = byStudent;
  for (const name of ofOptimiser) {
    const input = $(name) ?? $(`setting-${name}`);
    // A start may be the student's picture after all, and the seed has its own rule.
    if (input && name !== "init" && name !== "seed") input.disabled = byStudent;
  }
  $("deterministic").disabled = byStudent;
  const { dial = true, strength } = byStudent ? known[$("student").value] : {};
  fixStrength(dial ? null : strength);
  showSeed();
}

// Without a dial a student has one strength; then the one that was chosen comes back.
let chosenStrength = null;

function fixStrength(fixed) {
  const input = $("strength");
  if (!input.disabled) chosenStrength = input.value;
  input.disabled = fixed !== null;
  input.value = fixed ?? chosenStrength;
  showStrength();
}

// With one picture alone a run starts from noise by itself.
let startsFromNoise = false;

export function showSeed(hasOne = startsFromNoise) {
  startsFromNoise = hasOne;
  $("seed").disabled = isByStudent() || $("init").value !== "noise" && !(hasOne && !$("init").value);
}

function field({ name, help, default: usual, kind, choices }) {
  const text = Array.isArray(usual) ? usual.join(", ") : String(usual);
  let input;
  if (choices.length && kind === "word") {
    input = make("select", {}, make("option", { value: "" }, text), ...choices.map((each) => make("option", { value: each }, each)));
  } else if (kind === "yes or no") {
    input = make("select", {}, make("option", { value: "" }, text), make("option", { value: "true" }, "yes"), make("option", { value: "false" }, "no"));
  } else {
    input = make("input", { type: "text", placeholder: choices.length ? `${text}; or ${choices.join(", ")}` : text, spellcheck: false });
  }
  input.id = `setting-${name}`;
  input.setAttribute("aria-describedby", `help-${name}`);
  return make(
    "div",
    { className: "field" },
    make("label", { htmlFor: input.id }, name.replaceAll("_", " ")),
    input,
    make("p", { id: `help-${name}`, className: "hint" }, help),
  );
}

function bitDepth() {
  const input = make("select", { id: "bit_depth" }, make("option", { value: "8" }, "8"), make("option", { value: "16" }, "16"));
  return make("div", { className: "field" }, make("label", { htmlFor: "bit_depth" }, "bit depth"), input);
}

function deterministic() {
  const input = make("input", { type: "checkbox", id: "deterministic" });
  return make("div", { className: "field" }, make("label", { className: "check" }, input, "deterministic: the same bits each time on a GPU too, more slowly"));
}

const READERS = {
  "yes or no": (text) => text === "true",
  "whole number": (text) => (Number.isInteger(Number(text)) ? Number(text) : text),
  number: (text) => (Number.isNaN(Number(text)) ? text : Number(text)),
  numbers: (text) => {
    const values = text.split(",").map(Number);
    return values.some(Number.isNaN) ? text : values.length > 1 ? values : values[0];
  },
  words: (text) => text.split(",").map((each) => each.trim()),
};
// Lists of one number are lists all the same, but for the scale, which may be one for all.
const ALWAYS_LISTS = ["style_layer_weights"];

export function asked() {
  const settings = {};
  if (!$("strength").disabled && Number($("strength").value) !== 0.5) settings.strength = Number($("strength").value);
  if (Number($("size").value) !== 512) settings.size = Number($("size").value);
  for (const name of ["keep_colors", "init"]) if ($(name).value) settings[name] = $(name).value;
  if (!$("preset").disabled && $("preset").value !== "painterly") settings.preset = $("preset").value;
  if (!$("seed").disabled && $("seed").value) settings.seed = Number($("seed").value);
  for (const { name, kind, choices } of fields) {
    const input = $(`setting-${name}`);
    const text = input.value.trim();
    if (!text || input.disabled) continue;
    const value = choices.includes(text) ? text : (READERS[kind] ?? String)(text);
    settings[name] = ALWAYS_LISTS.includes(name) && !Array.isArray(value) ? [value] : value;
  }
  const others = $("student").value ? { student: $("student").value } : {};
  if ($("bit_depth").value !== "8") others.bit_depth = Number($("bit_depth").value);
  if ($("deterministic").checked && !$("deterministic").disabled) others.deterministic = true;
  return { settings, ...others };
}

export function fill({ settings = {}, student = "", bit_depth = 8, deterministic = false }) {
  $("strength").disabled = false;
  $("strength").value = settings.strength ?? 0.5;
  $("size").value = settings.size ?? 512;
  $("keep_colors").value = settings.keep_colors ?? "";
  $("preset").value = settings.preset ?? "painterly";
  $("seed").value = settings.seed ?? "";
  $("student").value = student;
  startFrom(settings.init ?? "", "a picture");
  for (const { name } of fields) {
    const value = settings[name];
    $(`setting-${name}`).value = value === undefined ? "" : Array.isArray(value) ? value.join(",") : String(value);
  }
  $("bit_depth").value = String(bit_depth);
  $("deterministic").checked = deterministic;
  showStrength();
}

// A picture to start from is an option of its own.
export function startFrom(key, name) {
  for (const option of $("init").querySelectorAll("[data-picture]")) option.remove();
  if (![...$("init").options].some((option) => option.value === key)) {
    $("init").append(make("option", { value: key, "data-picture": "" }, name));
  }
  $("init").value = key;
  showWhatCounts();
}

export function described({ settings = {} }) {
  const words = Object.entries(settings)
    .filter(([name]) => name !== "size" && name !== "init")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return words.join(", ") || "default settings";
}
