// Buttons tell the page what was clicked; after an answer, the focus returns to the button or to one in its place.
let last = null;
const buttons = () => [...element.querySelectorAll("button[data-act]")];
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (!button) return;
  const { act, key } = button.dataset;
  last = { act, key, place: buttons().indexOf(button) };
  trigger("click", { act, key });
});
watch("value", () => {
  const wanted = last;
  last = null;
  if (!wanted || document.activeElement !== document.body) return;
  const all = buttons();
  const same = all.find((one) => one.dataset.act === wanted.act && one.dataset.key === wanted.key);
  (same || all[Math.min(wanted.place, all.length - 1)])?.focus({ preventScroll: true });
});
