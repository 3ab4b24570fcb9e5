// The photograph and the paintings: dropped, pasted, chosen, or of the examples; with their masks.

import * as api from "./api.js";
import { $, button, make, renew, say } from "./dom.js";
import { paintMask } from "./masks.js";

export const chosen = { content: null, styles: [], strengthMask: null };

let examples = [];
let refuse = () => {};
let onChange = () => {};

export function setUp(listOfExamples, { refusing, changing }) {
  [examples, refuse, onChange] = [listOfExamples, refusing, changing];
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    add(file, chosen.content ? "style" : "content");
  });
  // Beside a slot a dropped file would take the page's place.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => event.preventDefault());
  }
  $("strength-mask").onclick = editStrength;
  $("coarse-and-fine").onchange = () => onChange();
  show();
}

export function choose(role, picture) {
  if (role === "content") {
    chosen.content = picture;
    chosen.strengthMask = null;
    for (const style of chosen.styles) style.where = style.weight = null;
  } else {
    chosen.styles.push({ ...picture, share: 1, where: null, part: null, weight: null });
  }
  show();
}

export function chooseAll(content, styles, strengthMask) {
  Object.assign(chosen, { content, styles, strengthMask });
  show();
}

async function add(file, role) {
  try {
    say(`${file.name} is being read`);
    const picture = await api.upload(file, file.name);
    choose(role, picture);
    refuse("");
    say(`${file.name} is the ${role === "content" ? "photograph" : "painting"}`);
  } catch (error) {
    refuse(`${file.name}: ${error.message}`);
  }
}

function show() {
  renew($("content"), chosen.content ? photograph() : slot("content"));
  renew(
    $("styles"),
    make(
      "div",
      { className: "slot" },
      ...chosen.styles.map(painting),
      ...(chosen.styles.length < 8 ? [slot("style", chosen.styles.length > 0)] : []),
    ),
  );
  $("parts").hidden = chosen.styles.length !== 2;
  $("strength-mask").disabled = !chosen.content;
  $("strength-mask").textContent = chosen.strengthMask ? "Change the strength mask" : "Paint what to keep";
  onChange();
}

function slot(role, isSmall = false) {
  const what = role === "content" ? "a photograph" : isSmall ? "another painting" : "a painting";
  const input = make("input", {
    type: "file",
    accept: "image/*",
    "aria-label": `Choose ${what}`,
    onchange: () => input.files[0] && add(input.files[0], role),
  });
  const drop = make(
    "div",
    { className: isSmall ? "drop small" : "drop" },
    make("span", {}, make("strong", {}, `Choose ${what}`), isSmall ? "" : ", drop or paste it"),
    input,
  );
  drop.ondragover = () => drop.classList.add("over");
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    for (const file of event.dataTransfer.files) add(file, role);
  };
  const row = make("div", { className: "examples" }, make("span", { className: "hint" }, "or"));
  for (const example of examples.filter((each) => each.role === role)) {
    const picture = make("img", { src: api.previewOf(example.id), alt: "", width: 50, height: 40 });
    const label = `Example: ${example.name}`;
    row.append(
      make("button", { type: "button", title: label, "aria-label": label, onclick: () => choose(role, example) }, picture),
    );
  }
  return make("div", { className: "slot" }, drop, isSmall ? null : row);
}

function card(picture, ...controls) {
  const image = make("img", { src: api.previewOf(picture.id), alt: picture.name, width: 112, height: 84 });
  return make(
    "div",
    { className: "chosen" },
    image,
    make("p", { className: "name", title: picture.name }, picture.name),
    make("p", { className: "hint" }, `${picture.width} × ${picture.height}`),
    ...controls,
  );
}

function photograph() {
  const remove = button("Remove", () => choose("content", null), {
    className: "plain",
    "aria-label": `Remove the photograph ${chosen.content.name}`,
  });
  return card(chosen.content, make("div", {}, remove));
}

function painting(style, index) {
  const remove = button(
    "Remove",
    () => {
      chosen.styles.splice(index, 1);
      show();
    },
    { className: "plain", "aria-label": `Remove the painting ${style.name}` },
  );
  const where = button(style.where ? "Change where it goes" : "Where it goes", () => editWhere(style), {
    className: "plain",
    disabled: !chosen.content,
    "aria-label": `Where ${style.name} goes`,
  });
  const part = button(style.part ? "Change its part" : "Which part of it", () => editPart(style), {
    className: "plain",
    disabled: !chosen.content,
    "aria-label": `Which part of ${style.name} is meant`,
  });
  const weight = button(style.weight ? "Change its weight" : "Weight by place", () => editWeight(style), {
    className: "plain",
    disabled: !chosen.content,
    "aria-label": `Weight of ${style.name} by place`,
  });
  const share = make("input", {
    type: "range",
    min: 0,
    max: 4,
    step: 0.1,
    value: style.share,
    "aria-label": `Share of ${style.name}`,
    oninput: () => {
      style.share = Number(share.value);
      onChange();
    },
  });
  const isOneOfSeveral = chosen.styles.length > 1;
  return card(
    style,
    make("div", {}, remove),
    make("div", { className: "wide buttons" }, where, part, isOneOfSeveral ? weight : null),
    isOneOfSeveral ? make("label", { className: "wide check" }, "Share", share) : null,
  );
}

async function edit(picture, mask, options) {
  const painted = await paintMask(picture, mask, options);
  if (painted === undefined) return mask;
  if (painted === null) return null;
  try {
    say("The mask is being stored");
    return await storedMask(painted);
  } catch (error) {
    refuse(error.message);
    return mask;
  }
}

async function storedMask(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return { ...(await api.upload(blob, "mask", "mask")), canvas };
}

// A start waits until all that was painted is stored.
let edited = Promise.resolve();

function editing(picture, owner, name, options) {
  const isOfContent = picture === chosen.content;
  const editedNow = edit(picture, owner[name], options).then((mask) => {
    if (isOfContent && picture !== chosen.content) return; // Another photograph was chosen meanwhile.
    owner[name] = mask;
    show();
  });
  edited = Promise.all([edited, editedNow]);
}

function editWhere(style) {
  editing(chosen.content, style, "where", {
    title: `Where ${style.name} goes`,
    hint: "Paint where it goes. Elsewhere the photograph stays, or another painting goes.",
  });
}

function editPart(style) {
  editing(style, style, "part", {
    title: `Which part of ${style.name}`,
    hint: "Paint the part whose manner is meant.",
  });
}

function editWeight(style) {
  editing(chosen.content, style, "weight", {
    title: `Weight of ${style.name} by place`,
    hint: "Paint where it is to prevail over the others.",
  });
}

function editStrength() {
  editing(chosen.content, chosen, "strengthMask", {
    title: "Strength by place",
    hint: "Paint where the photograph is to be kept, wholly or in part.",
    isStrength: true,
  });
}

// The masks as a run takes them: one for each painting or none. Where only some paintings have been
// given a place, the others go where those do not.
export async function masks() {
  await edited;
  const { content, styles, strengthMask } = chosen;
  const asked = {};
  if (strengthMask) asked.strength_mask = strengthMask.id;
  const hasPart = styles.some((style) => style.part);
  if (content && (hasPart || styles.some((style) => style.where))) {
    const rest = await restOf(content, styles.map((style) => style.where).filter(Boolean));
    asked.content_mask = styles.map((style) => (style.where ?? rest).id);
  }
  const weighed = styles.filter((style) => style.weight);
  if (content && styles.length > 1 && weighed.length) {
    // To the last one goes what the others leave.
    const isRest = weighed.length === styles.length - 1 && !styles.at(-1).weight;
    const rest = isRest || weighed.length === styles.length ? null : await restOf(content, weighed.map((style) => style.weight));
    asked.blend_mask = (isRest ? weighed : styles).map((style) => (style.weight ?? rest).id);
  }
  if (hasPart) asked.style_mask = styles.map((style) => style.part?.id ?? null);
  return asked;
}

async function restOf(content, wheres) {
  const canvas = make("canvas", {});
  const scale = Math.min(1, 1024 / Math.max(content.width, content.height));
  canvas.width = wheres[0]?.canvas?.width ?? Math.round(content.width * scale);
  canvas.height = wheres[0]?.canvas?.height ?? Math.round(content.height * scale);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  // White less what the others cover.
  context.globalCompositeOperation = "difference";
  const union = make("canvas", { width: canvas.width, height: canvas.height });
  const over = union.getContext("2d");
  over.globalCompositeOperation = "lighten";
  for (const where of wheres) over.drawImage(where.canvas, 0, 0, canvas.width, canvas.height);
  if (wheres.length) context.drawImage(union, 0, 0);
  return storedMask(canvas);
}
